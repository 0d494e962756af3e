//! The guest's console stream: finds what the kernel says in it, and takes that out.
//!
//! The kernel writes `ESC ] toro ; exit = N BEL` as the last thing (ARCHITECTURE.md, "The end of a program"), and
//! `ESC ] toro ; keys = N BEL` when the program asks for input, or wants another kind of it ("What is typed"). The stream arrives in pieces of any size, so the
//! filter holds back what may be the beginning of such a sequence.

use crate::terminal::Wishes;

const EXIT: &[u8] = b"\x1b]toro;exit=";
const KEYS: &[u8] = b"\x1b]toro;keys=";
const ESCAPE: u8 = 0x1b;
const BEL: u8 = 7;
const MAX_DIGITS: usize = 3;

/// Splits a console stream into what the user sees and what the kernel says.
#[derive(Debug, Default)]
pub struct EndFilter {
    /// Bytes that may begin a sequence: a part of [`EXIT`] or [`KEYS`], or all and up to [`MAX_DIGITS`] digits.
    held: Vec<u8>,
    status: Option<u8>,
    wishes: Option<Wishes>,
}

impl EndFilter {
    /// Takes `bytes` from the stream and appends to `visible` what is not part of a sequence.
    pub fn push(&mut self, bytes: &[u8], visible: &mut Vec<u8>) {
        for &byte in bytes {
            if self.could_continue_with(byte) {
                self.held.push(byte);
            } else if byte == BEL && self.take() {
                self.held.clear();
            } else {
                visible.append(&mut self.held);
                if byte == ESCAPE {
                    self.held.push(byte)
                } else {
                    visible.push(byte)
                }
                self.status = None;
            }
        }
    }

    /// Gives out what was held back when the stream ended in the middle of something.
    pub fn finish(&mut self, visible: &mut Vec<u8>) {
        visible.append(&mut self.held);
    }

    /// The exit status, if the stream has ended with one so far. Output after the sequence makes it void: the kernel
    /// writes it as the last thing, so such a one was part of what the program wrote.
    pub fn status(&self) -> Option<u8> {
        self.status
    }

    /// How the program wants what is typed now, once it has asked for input.
    pub fn wishes(&self) -> Option<Wishes> {
        self.wishes
    }

    fn could_continue_with(&self, byte: u8) -> bool {
        [EXIT, KEYS].into_iter().any(|sequence| {
            let len = self.held.len();
            match sequence.get(len) {
                Some(&expected) => byte == expected && sequence.starts_with(&self.held),
                None => {
                    let is_number = byte.is_ascii_digit() && len < sequence.len() + MAX_DIGITS;
                    is_number && self.held.starts_with(sequence)
                }
            }
        })
    }

    fn take(&mut self) -> bool {
        let number = |sequence| {
            let digits = self.held.strip_prefix(sequence)?;
            std::str::from_utf8(digits).ok()?.parse::<u8>().ok()
        };
        if let Some(status) = number(EXIT) {
            self.status = Some(status);
            return true;
        }
        let wishes = number(KEYS).and_then(Wishes::from_number);
        if wishes.is_some() {
            self.wishes = wishes;
            // Nothing comes after the last thing.
            self.status = None;
        }
        wishes.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(pieces: &[&[u8]]) -> (String, Option<u8>) {
        let (mut filter, mut visible) = (EndFilter::default(), Vec::new());
        pieces
            .iter()
            .for_each(|piece| filter.push(piece, &mut visible));
        filter.finish(&mut visible);
        (String::from_utf8(visible).unwrap(), filter.status())
    }

    #[test]
    fn the_sequence_is_taken_out_at_every_cut() {
        let stream = b"bye\r\n\x1b]toro;exit=101\x07";
        for cut in 0..=stream.len() {
            let (left, right) = stream.split_at(cut);
            assert_eq!(
                filter(&[left, right]),
                ("bye\r\n".into(), Some(101)),
                "cut at {cut}"
            );
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(filter(&bytes), ("bye\r\n".into(), Some(101)));
    }

    #[test]
    fn other_escape_sequences_pass() {
        for text in [
            "\x1b[1mbold\x1b[0m",
            "\x1b]0;title\x07",
            "\x1b]toro;x\x07",
            "\x1b\x1b\x1b",
            "\x1b]toro;exit=\x07",
        ] {
            assert_eq!(filter(&[text.as_bytes()]), (text.into(), None), "{text:?}");
        }
    }

    #[test]
    fn a_status_that_does_not_fit_is_not_one() {
        for text in [
            "\x1b]toro;exit=256\x07",
            "\x1b]toro;exit=1000\x07",
            "\x1b]toro;exit=-1\x07",
        ] {
            assert_eq!(filter(&[text.as_bytes()]), (text.into(), None), "{text:?}");
        }
    }

    #[test]
    fn a_sequence_after_a_broken_one_counts() {
        assert_eq!(
            filter(&[b"\x1b]toro\x1b]toro;exit=7\x07"]),
            ("\x1b]toro".into(), Some(7))
        );
    }

    #[test]
    fn a_sequence_that_the_program_wrote_is_void() {
        assert_eq!(
            filter(&[b"\x1b]toro;exit=0\x07GET / 200\n"]),
            ("GET / 200\n".into(), None)
        );
        assert_eq!(
            filter(&[b"\x1b]toro;exit=0\x07!\x1b]toro;exit=3\x07"]),
            ("!".into(), Some(3))
        );
    }

    #[test]
    fn the_last_wish_of_a_program_counts() {
        let (mut filter, mut visible) = (EndFilter::default(), Vec::new());
        assert_eq!(filter.wishes(), None);
        for byte in b"a\x1b]toro;keys=0\x07b\x1b]toro;keys=5\x07c\x1b]toro;keys=8\x07" {
            filter.push(&[*byte], &mut visible);
        }
        assert_eq!(visible, b"abc\x1b]toro;keys=8\x07");
        assert_eq!(filter.wishes(), Wishes::from_number(5));
        filter.push(b"\x1b]toro;exit=0\x07\x1b]toro;keys=7\x07", &mut visible);
        assert_eq!(
            (filter.wishes(), filter.status()),
            (Some(Wishes::default()), None)
        );
    }

    #[test]
    fn a_stream_without_the_sequence_has_no_status() {
        assert_eq!(
            filter(&[b"ends in \x1b]toro;ex"]),
            ("ends in \x1b]toro;ex".into(), None)
        );
    }
}
