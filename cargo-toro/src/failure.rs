//! Errors that know what the user can do about them.
//!
//! Everything in the tool returns `anyhow::Result`; where the way out is known, the root of the error is a
//! [`Failure`]. `main` prints the chain as `error: a: b: c` and then each failure's `help: …`.

use crate::interrupt::Interrupted;
use ext2::DeviceError;
use ext2::make::MakeError;
use std::error::Error;
use std::fmt;
use std::io;

/// The exit codes of the tool's own making; every other code is the guest's.
pub mod exit_code {
    /// The tool could not do what was asked: see the `error:` line.
    pub const ERROR: u8 = 1;
    /// The virtual machine ended without an exit status: it crashed, or QEMU did.
    pub const CRASHED: u8 = 70;
    /// The time given with `--timeout` ran out.
    pub const TIMED_OUT: u8 = 124;
    /// Ended by Ctrl-C, and the program gave no status of its own.
    pub const INTERRUPTED: u8 = 130;
}

/// An error with advice.
#[derive(Debug)]
pub struct Failure {
    message: String,
    help: String,
}

impl Failure {
    /// An error that says what is wrong (`message`) and what to do (`help`).
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }

    /// What the user can do.
    pub fn help(&self) -> &str {
        &self.help
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl Error for Failure {}

/// The chain of `error` in one line, outermost first. What the host said about an image file is told in the host's words.
pub fn line(error: &anyhow::Error) -> String {
    let words: Vec<_> = error.chain().map(words).collect();
    words.join(": ")
}

fn words(cause: &(dyn Error + 'static)) -> String {
    let device = match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(ext2::Error::Device(device)), _) | (_, Some(MakeError::Device(device))) => {
            Some(device)
        }
        _ => cause.downcast_ref::<DeviceError>(),
    };
    device.map_or_else(
        || cause.to_string(),
        |device| io::Error::from_raw_os_error(device.0).to_string(),
    )
}

/// The exit code that tells of `error`.
pub fn code(error: &anyhow::Error) -> u8 {
    match error.chain().any(|cause| cause.is::<Interrupted>()) {
        true => exit_code::INTERRUPTED,
        false => exit_code::ERROR,
    }
}

/// The advice found along the chain of `error`, outermost first.
pub fn advice(error: &anyhow::Error) -> Vec<&str> {
    let failures = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<Failure>());
    failures.map(Failure::help).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn what_was_broken_off_by_ctrl_c_is_no_error_of_the_tool() {
        let broken = anyhow::Error::new(Interrupted).context("it did not come up");
        assert_eq!(code(&broken), exit_code::INTERRUPTED);
        assert_eq!(code(&anyhow::anyhow!("interrupted")), exit_code::ERROR);
    }

    #[test]
    fn advice_is_found_below_context() {
        let error = Err::<(), _>(Failure::new("port 80 is taken", "choose another"))
            .context("cannot start")
            .unwrap_err();
        assert_eq!(format!("{error:#}"), "cannot start: port 80 is taken");
        assert_eq!(advice(&error), ["choose another"]);
    }

    #[test]
    fn what_the_host_says_about_an_image_is_told_in_its_words() {
        let device = DeviceError(28);
        let host = io::Error::from_raw_os_error(28).to_string();
        let made = anyhow::Error::new(MakeError::Device(device)).context("cannot make a.img");
        assert_eq!(line(&made), format!("cannot make a.img: {host}"));
        for error in [ext2::Error::Device(device).into(), device.into()] {
            assert_eq!(line(&error), host);
        }
        let other = anyhow::Error::new(ext2::Error::NoSpace).context("/a");
        assert_eq!(line(&other), format!("{other:#}"));
    }
}
