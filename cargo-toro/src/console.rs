//! The guest's console stream: finds the sequence that ends a program and takes it out.
//!
//! The kernel writes `ESC ] toro ; exit = N BEL` as the last thing (ARCHITECTURE.md, "The end of a program"). The
//! stream arrives in pieces of any size, so the filter holds back what may be the beginning of that sequence.

const PREFIX: &[u8] = b"\x1b]toro;exit=";
const BEL: u8 = 7;
const MAX_DIGITS: usize = 3;

/// Splits a console stream into what the user sees and the exit status.
#[derive(Debug, Default)]
pub struct EndFilter {
    /// Bytes that may begin the sequence: a prefix of [`PREFIX`], then up to [`MAX_DIGITS`] digits.
    held: Vec<u8>,
    status: Option<u8>,
}

impl EndFilter {
    /// Takes `bytes` from the stream and appends to `visible` what is not part of the sequence.
    pub fn push(&mut self, bytes: &[u8], visible: &mut Vec<u8>) {
        for &byte in bytes {
            if self.could_continue_with(byte) {
                self.held.push(byte);
            } else if byte == BEL && self.take_status() {
                self.held.clear();
            } else {
                visible.append(&mut self.held);
                if byte == PREFIX[0] {
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

    fn could_continue_with(&self, byte: u8) -> bool {
        match PREFIX.get(self.held.len()) {
            Some(&expected) => byte == expected,
            None => byte.is_ascii_digit() && self.held.len() < PREFIX.len() + MAX_DIGITS,
        }
    }

    fn take_status(&mut self) -> bool {
        let digits = self.held.get(PREFIX.len()..).unwrap_or_default();
        let status = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok());
        self.status = status.or(self.status);
        status.is_some()
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
    fn a_stream_without_the_sequence_has_no_status() {
        assert_eq!(
            filter(&[b"ends in \x1b]toro;ex"]),
            ("ends in \x1b]toro;ex".into(), None)
        );
    }
}
