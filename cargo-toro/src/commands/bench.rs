//! `cargo toro bench`: measures. Figures over their limit are no failure of the tool: they show in the table.

use crate::bench;
use crate::bench::options::Bench;
use crate::failure::exit_code;
use crate::interrupt;
use crate::shell::Shell;
use anyhow::Result;

/// Measures; returns 0, or that the user ended it.
pub(super) fn run(options: &Bench, shell: &Shell) -> Result<u8> {
    match bench::run(&options.measure, shell) {
        Err(_) if interrupt::count() > 0 => Ok(exit_code::INTERRUPTED),
        result => result.map(|()| 0),
    }
}
