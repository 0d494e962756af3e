//! The subcommands, one file each.

mod build;
mod doctor;
mod new;
mod run;

use crate::cli::{Arguments, Command};
use crate::shell::Shell;
use anyhow::Result;

/// Does what the arguments say; returns the exit code.
pub fn run(arguments: Arguments, shell: &Shell) -> Result<u8> {
    match arguments.command {
        Command::Run(options) => run::run(&options, shell),
        Command::Build(options) => build::run(&options, shell),
        Command::New(options) => new::run(&options, shell),
        Command::Doctor => doctor::run(),
        _ => Ok(1),
    }
}
