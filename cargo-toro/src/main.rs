//! `cargo toro`: builds a Rust program and the Toro kernel into one image and runs it as a virtual machine.

use cargo_toro::shell::{Shell, Unread};
use cargo_toro::{cli, commands, failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = cli::parse(std::env::args_os());
    let shell = Shell {
        verbose: arguments.verbose,
        quiet: false,
    };
    match commands::run(arguments, &shell) {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.is::<Unread>() => ExitCode::SUCCESS,
        Err(error) => {
            shell.error(failure::line(&error));
            failure::advice(&error)
                .iter()
                .for_each(|help| shell.help(help));
            ExitCode::from(failure::code(&error))
        }
    }
}
