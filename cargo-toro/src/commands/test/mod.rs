//! `cargo toro test`: a crate's own tests in virtual machines, or in Toro's checkout the whole suite.

mod counts;
mod documents;
mod guest;
mod machines;
mod suite;

pub(super) use self::documents::run_one as run_document;

use crate::cli::Test;
use crate::failure::exit_code;
use crate::program;
use crate::shell::{Shell, answer};
use anyhow::Result;

/// Runs the tests; the last line is the sum of all that ran.
pub(super) fn run(options: &Test, shell: &Shell) -> Result<u8> {
    let workspace = program::workspace_of(options.how.manifest_path.as_deref())?;
    let is_toro = ["cargo-toro", "toro-kernel"]
        .iter()
        .all(|name| has_package(&workspace, name));
    let counts = if is_toro && options.package.is_none() {
        suite::run(&workspace, shell)?
    } else {
        guest::run(options, &workspace, shell)?
    };
    // Who has stopped reading is told by the status.
    let _ = answer(format_args!(
        "{} passed, {} failed",
        counts.passed, counts.failed
    ));
    Ok(if counts.failed == 0 {
        0
    } else {
        exit_code::ERROR
    })
}

fn has_package(workspace: &cargo_metadata::Metadata, name: &str) -> bool {
    workspace
        .workspace_packages()
        .iter()
        .any(|package| package.name.as_str() == name)
}
