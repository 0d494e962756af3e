//! The host's terminal while a program's console is in it: it edits lines, shows what is typed and interrupts, as the program wants it
//! (ARCHITECTURE.md, "What is typed"). On Windows it stays as it is.

use crate::host;
use std::sync::atomic::{AtomicBool, Ordering};
use terminal_size::{Height, Width, terminal_size_of};

/// How a program wants what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// It comes by lines; else each key at once.
    pub is_by_lines: bool,
    /// It shows.
    pub is_shown: bool,
    /// Some keys interrupt the program; else they are keys like others.
    pub has_interrupts: bool,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            is_by_lines: true,
            is_shown: true,
            has_interrupts: true,
        }
    }
}

impl Wishes {
    /// From the number that the kernel says, if it is one.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        (number < 8).then_some(Self {
            is_by_lines: number & 1 != 0,
            is_shown: number & 2 != 0,
            has_interrupts: number & 4 != 0,
        })
    }
}

/// Columns and rows of the terminal at standard output, if there is one that tells.
pub fn size() -> Option<(u16, u16)> {
    let (Width(columns), Height(rows)) = terminal_size_of(std::io::stdout())?;
    (columns != 0 && rows != 0).then_some((columns, rows))
}

/// Ctrl-\, which stands for Ctrl-C where that is a key like others.
const WAY_OUT: u8 = 0x1c;

/// Where the program reads lines: what ends its input, and what has the next byte come as it is.
const END: u8 = 4;
const LITERAL: u8 = 0x16;

/// The program reads lines.
static HAS_LINES: AtomicBool = AtomicBool::new(true);

/// Ctrl-C is the program's.
static HAS_ALL_KEYS: AtomicBool = AtomicBool::new(false);

/// The terminal at standard input; as it was before when this is dropped.
#[derive(Debug, Default)]
pub struct Terminal {
    /// What it was before, once it was changed.
    before: Option<host::TerminalSettings>,
    now: Wishes,
}

impl Terminal {
    /// Has it be as the program wants it, if there is one, and this command is the one that has it.
    pub fn adapt(&mut self, wishes: Wishes) {
        if wishes == self.now {
            return;
        }
        self.now = wishes;
        HAS_LINES.store(wishes.is_by_lines, Ordering::Relaxed);
        if self.before.is_none() {
            self.before = host::terminal_settings(&std::io::stdin());
        }
        if let Some(before) = &self.before {
            host::set_terminal(&std::io::stdin(), before, wishes);
            HAS_ALL_KEYS.store(!wishes.has_interrupts, Ordering::Relaxed);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.adapt(Wishes::default());
    }
}

/// What was read from standard input, as the guest's serial console takes it; nothing read is an end, the last one if `is_last`. Who reads keys
/// is told of no end.
pub fn as_typed(read: &[u8], is_last: bool) -> Vec<u8> {
    as_typed_for(HAS_LINES.load(Ordering::Relaxed), read, is_last)
}

fn as_typed_for(has_lines: bool, read: &[u8], is_last: bool) -> Vec<u8> {
    match read {
        _ if !has_lines => read.to_vec(),
        [] if is_last => vec![END; 2],
        [] => vec![END],
        read => {
            let mut typed = Vec::with_capacity(read.len());
            for &byte in read {
                if matches!(byte, END | LITERAL | b'\r') {
                    typed.push(LITERAL);
                }
                typed.push(byte);
            }
            typed
        }
    }
}

/// Whether somebody who has no Ctrl-C typed what stands for it.
pub fn is_way_out(typed: &[u8]) -> bool {
    HAS_ALL_KEYS.load(Ordering::Relaxed) && typed.contains(&WAY_OUT)
}

#[cfg(test)]
mod tests {
    use super::as_typed_for;

    #[test]
    fn ends_are_told_to_who_reads_lines_and_bytes_stay_what_they_are() {
        for (has_lines, read, is_last, expected) in [
            (true, &b"a\n"[..], false, &b"a\n"[..]),
            (true, b"\x04\x16\r\n", false, b"\x16\x04\x16\x16\x16\r\n"),
            (true, b"", false, b"\x04"),
            (true, b"", true, b"\x04\x04"),
            (false, b"\x04\r", false, b"\x04\r"),
            (false, b"", true, b""),
        ] {
            assert_eq!(as_typed_for(has_lines, read, is_last), expected, "{read:?}");
        }
    }
}
