//! A line that is being typed on the keyboard: it can be edited until its end is typed, as terminals do it (POSIX.1-2017, chapter 11,
//! "Canonical Mode Input Processing").

use super::keyboard::{KeyEvent, character};

/// Longest line, with its end; more is not taken.
const MAX_BYTES: usize = 256;

const END_OF_FILE: u8 = 4;
const BACKSPACE: u8 = 8;
const ERASE: u8 = 0x7F;
const KILL: u8 = 0x15;

/// The line so far.
pub(super) struct Line {
    bytes: [u8; MAX_BYTES],
    len: usize,
}

/// What a key has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Typed {
    /// Nothing that is seen.
    Nothing,
    /// It shows as this character.
    Shown(u8),
    /// So many characters are gone.
    Erased(usize),
    /// The line is complete, or as much of it as there is without its end.
    Complete,
    /// There is no more input.
    EndOfFile,
}

impl Line {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; MAX_BYTES],
            len: 0,
        }
    }

    /// Takes a key.
    pub(super) fn take(&mut self, event: KeyEvent) -> Typed {
        let Some(byte) = character(event).filter(|_| event.is_pressed) else {
            return Typed::Nothing;
        };
        match byte {
            END_OF_FILE if self.len == 0 => Typed::EndOfFile,
            END_OF_FILE => Typed::Complete,
            BACKSPACE | ERASE if self.len == 0 => Typed::Nothing,
            BACKSPACE | ERASE => {
                self.len -= 1;
                Typed::Erased(1)
            }
            KILL => Typed::Erased(core::mem::take(&mut self.len)),
            b'\n' => {
                // There is always room for the end.
                self.bytes[self.len] = byte;
                self.len += 1;
                Typed::Complete
            }
            _ if self.len + 1 >= MAX_BYTES => Typed::Nothing,
            _ => {
                self.bytes[self.len] = byte;
                self.len += 1;
                match byte {
                    b' '..=b'~' => Typed::Shown(byte),
                    _ => Typed::Nothing,
                }
            }
        }
    }

    /// The complete line; the next one begins.
    pub(super) fn finish(&mut self) -> &[u8] {
        &self.bytes[..core::mem::take(&mut self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::keyboard::{KeyEvent, modifier};
    use super::{Line, Typed};

    fn press(line: &mut Line, code: u16, modifiers: u8) -> Typed {
        line.take(KeyEvent {
            code,
            modifiers,
            is_pressed: true,
        })
    }

    #[test]
    fn a_line_is_edited_until_its_end() {
        let mut line = Line::new();
        assert_eq!(press(&mut line, 0x0E, 0), Typed::Nothing);
        assert_eq!(press(&mut line, 0x1E, 0), Typed::Shown(b'a'));
        assert_eq!(press(&mut line, 0x30, modifier::SHIFT), Typed::Shown(b'B'));
        assert_eq!(press(&mut line, 0x0E, 0), Typed::Erased(1));
        assert_eq!(press(&mut line, 0x2E, 0), Typed::Shown(b'c'));
        assert_eq!(press(&mut line, 0x1C, 0), Typed::Complete);
        assert_eq!(line.finish(), b"ac\n");
        assert_eq!(line.finish(), b"");
    }

    #[test]
    fn a_line_ends_where_its_room_does() {
        let mut line = Line::new();
        for _ in 0..1000 {
            press(&mut line, 0x1E, 0);
        }
        assert_eq!(press(&mut line, 0x1C, 0), Typed::Complete);
        assert_eq!(line.finish().len(), 256);
    }

    #[test]
    fn the_end_of_the_file_is_typed_on_an_empty_line() {
        let mut line = Line::new();
        assert_eq!(press(&mut line, 0x20, modifier::CONTROL), Typed::EndOfFile);
        press(&mut line, 0x1E, 0);
        assert_eq!(press(&mut line, 0x20, modifier::CONTROL), Typed::Complete);
        assert_eq!(line.finish(), b"a");
    }
}
