//! What the tool says on standard error: status lines in the manner of cargo, a verb right-aligned in 12 columns.
//!
//! Standard output belongs to the guest's console and to answers (`--dry-run`, lists).

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result};
use std::fmt::Display;
use std::io::{self, Write};
use std::process::Command;

const STATUS: Style = AnsiColor::Green.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Speaks to the user.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shell {
    /// Also show the commands that are run.
    pub verbose: bool,
    /// Say nothing but errors (the tests' machines).
    pub quiet: bool,
}

impl Shell {
    /// One step of the work, such as `Compiling hello`.
    pub fn status(&self, verb: &str, message: impl Display) {
        if !self.quiet {
            anstream::eprintln!("{STATUS}{verb:>12}{STATUS:#} {message}");
        }
    }

    /// A detail that is shown with `--verbose` only.
    pub fn detail(&self, verb: &str, message: impl Display) {
        if self.verbose {
            self.status(verb, message);
        }
    }

    /// A command about to be run, shown with `--verbose` only.
    pub fn command(&self, command: &Command) {
        self.detail("Running", format_args!("`{}`", quoted(command)));
    }

    /// Something the user may not expect.
    pub fn note(&self, message: impl Display) {
        if !self.quiet {
            anstream::eprintln!("{NOTE}note{NOTE:#}: {message}");
        }
    }

    /// The line that ends a failed command.
    pub fn error(&self, message: impl Display) {
        anstream::eprintln!("{ERROR}error{ERROR:#}: {message}");
    }

    /// What to do about an error.
    pub fn help(&self, message: impl Display) {
        anstream::eprintln!("{NOTE}help{NOTE:#}: {message}");
    }
}

/// Writes a line to standard output, with its colours only where they are shown.
///
/// # Errors
/// [`Unread`] when nobody reads any more, and what the host says when it cannot take the line.
pub fn answer(line: impl Display) -> Result<()> {
    let written = writeln!(anstream::stdout(), "{line}");
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Unread.into()),
        result => result.context(CANNOT_WRITE),
    }
}

/// What is said when the host takes no more of standard output.
pub(crate) const CANNOT_WRITE: &str = "cannot write to standard output";

/// Whoever read the answers has seen enough, as `head` does: the rest is not wanted, and nothing failed.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output")]
pub struct Unread;

/// A command line that a POSIX shell reads back as the same words.
pub fn quoted(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| quoted_word(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word as a POSIX shell reads it back.
pub fn quoted_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_command_keeps_its_words() {
        let mut command = Command::new("qemu");
        command.args(["-m", "64", "a b", "it's", ""]);
        assert_eq!(quoted(&command), r"qemu -m 64 'a b' 'it'\''s' ''");
    }
}
