//! Messages of netlink (RFC 3549; Linux: netlink(7), rtnetlink(7)): headers, and attributes behind a body of fixed length.

use alloc::vec::Vec;

use crate::error::{Errno, Result};

/// Length of a header.
pub(super) const HEADER: usize = 16;
/// What messages and attributes are aligned to.
const ALIGNMENT: usize = 4;
/// Length of the header of an attribute.
const ATTRIBUTE: usize = 4;
/// Flags of an attribute's type: it holds others, it is in the order of networks.
const TYPE: u16 = 0x3FFF;

/// `NLM_F_REQUEST`, `NLM_F_MULTI`, `NLM_F_ACK`, and `NLM_F_ROOT` or `NLM_F_MATCH`, which ask for all there is.
pub(super) const REQUEST: u16 = 1;
pub(super) const MULTI: u16 = 2;
pub(super) const ACK: u16 = 4;
pub(super) const DUMP: u16 = 0x300;

/// A request of a program.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    /// Everything behind the header.
    pub(super) body: &'a [u8],
    /// Header and body.
    pub(super) whole: &'a [u8],
}

impl<'a> Request<'a> {
    /// Takes the first of several messages; the rest.
    pub(super) fn take(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *header;
        let len = u32::from_ne_bytes([a, b, c, d]) as usize;
        let whole = bytes.get(..len)?;
        let request = Self {
            kind: u16::from_ne_bytes([e, f]),
            flags: u16::from_ne_bytes([g, h]),
            sequence: u32::from_ne_bytes([i, j, k, l]),
            body: whole.get(HEADER..)?,
            whole,
        };
        let next = len.checked_next_multiple_of(ALIGNMENT)?;
        Some((request, bytes.get(next..).unwrap_or_default()))
    }

    /// Whether it asks for all there is.
    pub(super) fn is_dump(&self) -> bool {
        self.flags & DUMP != 0
    }

    /// The heading of what answers it, to the socket with a number: one of several messages if it asks for all there is.
    pub(super) fn heading(&self, port: u32) -> Heading {
        Heading {
            flags: if self.is_dump() { MULTI } else { 0 },
            sequence: self.sequence,
            port,
        }
    }

    /// The body of fixed length. Who asks for everything may send less: what is missing is zero.
    ///
    /// # Errors
    /// `EINVAL`: it is cut off.
    pub(super) fn fixed<const N: usize>(&self) -> Result<[u8; N]> {
        let mut fixed = [0; N];
        match (self.body.get(..N), self.is_dump()) {
            (Some(body), _) => fixed.copy_from_slice(body),
            (None, true) => fixed[..self.body.len()].copy_from_slice(self.body),
            (None, false) => return Err(Errno(libc::EINVAL)),
        }
        Ok(fixed)
    }

    /// The attribute of a type behind a body of `fixed` bytes.
    pub(super) fn attribute(&self, fixed: usize, wanted: u16) -> Option<&'a [u8]> {
        let mut rest = self.body.get(fixed.next_multiple_of(ALIGNMENT)..)?;
        loop {
            let [a, b, c, d] = *rest.first_chunk::<ATTRIBUTE>()?;
            let len = usize::from(u16::from_ne_bytes([a, b]));
            let content = rest.get(ATTRIBUTE..len)?;
            if u16::from_ne_bytes([c, d]) & TYPE == wanted {
                return Some(content);
            }
            rest = rest.get(len.next_multiple_of(ALIGNMENT)..)?;
        }
    }
}

/// To what a message is an answer: the number of the request, and that of the socket; zeros in what was not asked for.
#[derive(Clone, Copy, Default)]
pub(super) struct Heading {
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) port: u32,
}

/// A message that is being written.
pub(super) struct Answer(Vec<u8>);

impl Answer {
    /// One of a kind.
    pub(super) fn new(kind: u16, heading: Heading, body: &[u8]) -> Self {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&heading.flags.to_ne_bytes());
        bytes.extend_from_slice(&heading.sequence.to_ne_bytes());
        bytes.extend_from_slice(&heading.port.to_ne_bytes());
        bytes.extend_from_slice(body);
        Self(bytes)
    }

    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
    }

    /// Adds an attribute.
    pub(super) fn with(mut self, kind: u16, content: &[u8]) -> Self {
        self.align();
        let len = (ATTRIBUTE + content.len()) as u16;
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(content);
        self
    }

    /// Adds an attribute that is a word.
    pub(super) fn with_word(self, kind: u16, word: u32) -> Self {
        self.with(kind, &word.to_ne_bytes())
    }

    /// The message with its length.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let len = self.0.len() as u32;
        self.align();
        if let Some(place) = self.0.first_chunk_mut() {
            *place = len.to_ne_bytes();
        }
        self.0
    }
}
