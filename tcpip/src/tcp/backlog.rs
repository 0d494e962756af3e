//! Bytes behind those that the connection has room for: what a service has sent at once, and the peer takes later. The service is told when
//! room is made, and has them move up; when it has closed the connection they do so by themselves, and what ends it comes after them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{Bits, Connection, Context, News};
use crate::error::Error;

/// Shorter pieces are copied though they need not be: to remember where they are costs as much.
const WORTH_KEEPING: usize = 256;

#[cfg_attr(test, derive(Clone, Debug))]
enum Piece {
    Copied(Vec<u8>),
    /// It is there for ever.
    Kept(&'static [u8]),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Kept(bytes) => bytes,
        }
    }
}

/// Pieces in order.
#[derive(Default)]
#[cfg_attr(test, derive(Clone, Debug))]
pub(super) struct Backlog {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that have moved up.
    taken: usize,
    /// Bytes in all.
    len: usize,
}

impl Backlog {
    /// Adds bytes; whether there was memory for them.
    fn add(&mut self, bytes: &[u8], kept: Option<&'static [u8]>) -> bool {
        if self.pieces.try_reserve(1).is_err() {
            return false;
        }
        match (kept, self.pieces.back_mut()) {
            (Some(kept), _) if kept.len() >= WORTH_KEEPING => {
                self.pieces.push_back(Piece::Kept(kept));
            }
            (_, Some(Piece::Copied(last))) => {
                if last.try_reserve(bytes.len()).is_err() {
                    return false;
                }
                last.extend_from_slice(bytes);
            }
            _ => {
                let mut copy = Vec::new();
                if copy.try_reserve(bytes.len()).is_err() {
                    return false;
                }
                copy.extend_from_slice(bytes);
                self.pieces.push_back(Piece::Copied(copy));
            }
        }
        self.len += bytes.len();
        true
    }
}

impl Connection {
    /// Queues all of these bytes, behind others if there is no room. Those of `kept`, the same bytes, stay where they are for ever: they need
    /// not be copied. How many bytes wait behind the others then.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when as many as `most` wait already, or what broke the connection: none are queued.
    #[inline]
    pub(crate) fn write_all(
        &mut self,
        bytes: &[u8],
        kept: Option<&'static [u8]>,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Result<usize, Error> {
        if self.behind.is_none() {
            let written = self.write(bytes, kept, cx);
            if written == Ok(bytes.len()) {
                return Ok(0);
            }
            return self.write_behind(bytes, kept, written, most, cx);
        }
        self.write_behind(bytes, kept, Err(Error::WouldBlock), most, cx)
    }

    #[inline(never)]
    fn write_behind(
        &mut self,
        bytes: &[u8],
        kept: Option<&'static [u8]>,
        written: Result<usize, Error>,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Result<usize, Error> {
        let written = match written {
            Ok(count) => count,
            Err(Error::WouldBlock) if self.bits.contains(Bits::FIN) => {
                return Err(Error::BrokenPipe);
            }
            Err(Error::WouldBlock) if self.backlog() < most => 0,
            Err(error) => return Err(error),
        };
        let rest = bytes.get(written..).unwrap_or_default();
        if !rest.is_empty() {
            let kept = kept.and_then(|kept| kept.get(written..));
            if !self.behind.get_or_insert_default().add(rest, kept) {
                // A part of them is under way already.
                self.fail(Some(Error::OutOfMemory), cx.pool);
                return Err(Error::OutOfMemory);
            }
        }
        Ok(self.backlog())
    }

    /// Bytes that wait behind those that there was room for.
    pub(crate) fn backlog(&self) -> usize {
        self.behind.as_ref().map_or(0, |behind| behind.len)
    }

    /// There is room again: what waits moves up. News for whoever writes.
    #[inline(never)]
    pub(crate) fn move_up(&mut self, cx: &mut Context<'_>) -> News {
        let Some(mut behind) = self.behind.take() else {
            return News::WRITABLE;
        };
        while let Some(piece) = behind.pieces.front() {
            let rest = piece.bytes().get(behind.taken..).unwrap_or_default();
            let kept = match piece {
                Piece::Kept(bytes) => bytes.get(behind.taken..),
                Piece::Copied(_) => None,
            };
            let count = match kept {
                Some(kept) if self.outgoing.len() == 0 && self.outgoing.capacity() == 0 => {
                    let count = kept.len().min(self.send_limit(cx.limits));
                    self.outgoing.keep(&kept[..count]);
                    count
                }
                _ => self.append(rest, cx),
            };
            behind.taken += count;
            behind.len -= count;
            if count < rest.len() {
                break;
            }
            behind.pieces.pop_front();
            behind.taken = 0;
        }
        if behind.len != 0 {
            if self.outgoing.len() == 0 {
                // Nothing is under way whose acknowledgement would tell that there is memory again.
                self.fail(Some(Error::OutOfMemory), cx.pool);
                return News::STATE;
            }
            self.bits |= Bits::FULL;
            self.behind = Some(behind);
        } else if self.bits.contains(Bits::FIN) {
            self.close();
        }
        News::WRITABLE
    }
}
