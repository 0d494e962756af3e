//! The subcommands, one file each.

mod bench;
mod build;
mod debug;
mod deploy;
pub(crate) mod disk;
mod doctor;
mod mkfs;
mod new;
mod run;
mod test;

use crate::cli::{Arguments, Command};
use crate::shell::Shell;
use anyhow::Result;

/// Does what the arguments say; returns the exit code.
pub fn run(arguments: Arguments, shell: &Shell) -> Result<u8> {
    match arguments.command {
        Command::Run(options) => run::run(&options, shell),
        Command::Build(options) => build::run(&options, shell),
        Command::Mkfs(options) => mkfs::run(&options, shell),
        Command::Disk(options) => disk::run(&options),
        Command::New(options) => new::run(&options, shell),
        Command::Debug(options) => debug::run(&options, shell),
        Command::Deploy(options) => deploy::run(&options, shell),
        Command::Doctor => doctor::run(),
        Command::Bench(options) => bench::run(&options, shell),
        Command::Test(options) => test::run(&options, shell),
        Command::DocTest(options) => test::run_document(&options, shell),
    }
}
