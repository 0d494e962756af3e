//! Urgent data (RFC 9293, section 3.8.5; RFC 6093): one byte of the stream that is marked, on the way in and on the way out.
//!
//! As in all that is in use, the pointer of a segment names the number behind the urgent byte (RFC 6093, section 3.1), there is one mark at a
//! time, and reading stops before it. Unless the program wants it in line, the byte is read by a call of its own and passed over by the others.
//! The short ways know nothing of this: [`Bits::URGENT`] leads away from them.

use super::{Bits, Connection, Context, News, Plan};
use crate::error::Error;
use crate::seq::Seq;
use crate::wire::tcp::{Flags, Segment};

/// The urgent byte of a stream that is read.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Bytes that are to be read before it.
    distance: usize,
    byte: UrgentByte,
}

/// How far an urgent byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrgentByte {
    /// The peer has told of it, but it has not come.
    Awaited,
    /// It can be read.
    Here(u8),
    /// It was read, though not all that is before it.
    Taken,
}

/// The marks of a connection.
#[derive(Default)]
#[cfg_attr(test, derive(Clone, Debug))]
pub(super) struct Urgent {
    incoming: Option<Mark>,
    /// The number behind the last urgent byte that is sent.
    outgoing: Option<Seq>,
}

impl Connection {
    /// Takes note of a segment's pointer, before its payload is taken.
    #[inline(never)]
    pub(super) fn receive_urgent(&mut self, segment: &Segment<'_>) -> News {
        let offset = u32::from(segment.urgent.saturating_sub(1));
        let at = segment.seq + offset;
        if self.state.can_receive() && !at.is_before(self.rcv_nxt) {
            let distance = self.incoming.len() + (at - self.rcv_nxt) as usize;
            if self
                .urgent
                .incoming
                .is_none_or(|mark| mark.distance < distance)
            {
                self.set_mark(distance);
            }
        }
        let byte = segment.payload.get(offset as usize);
        match (&mut self.urgent.incoming, byte) {
            (Some(mark), Some(byte))
                if mark.byte == UrgentByte::Awaited && !at.is_before(self.rcv_nxt) =>
            {
                mark.byte = UrgentByte::Here(*byte);
                News::READABLE
            }
            _ => News::empty(),
        }
    }

    fn set_mark(&mut self, mut distance: usize) {
        // One that is next and was not asked for makes way; one further back becomes a byte like others.
        let is_next = self
            .urgent
            .incoming
            .is_some_and(|mark| mark.distance == 0 && !self.settings.is_urgent_inline);
        if is_next && self.incoming.len() != 0 {
            self.incoming.consume(1);
            distance -= 1;
        }
        self.urgent.incoming = Some(Mark {
            distance,
            byte: UrgentByte::Awaited,
        });
        self.bits |= Bits::URGENT;
    }

    /// How many bytes a read passes over, and how many it may take then.
    fn span(&self) -> (usize, usize) {
        let len = self.incoming.len();
        match self.urgent.incoming {
            None => (0, len),
            Some(mark) if mark.distance != 0 => (0, len.min(mark.distance)),
            Some(_) if self.settings.is_urgent_inline => (0, len),
            Some(_) => (len.min(1), len.saturating_sub(1)),
        }
    }

    /// How many bytes can be read before the mark, or behind it.
    pub(super) fn readable_around_mark(&self) -> usize {
        self.span().1
    }

    /// Bytes before the mark, if there is one that is not in line, else all (`FIONREAD`).
    pub(super) fn unread_before_mark(&self) -> usize {
        let len = self.incoming.len();
        match self.urgent.incoming {
            Some(mark) if !self.settings.is_urgent_inline => len.min(mark.distance),
            _ => len,
        }
    }

    /// See [`Connection::read`].
    ///
    /// # Errors
    /// See there.
    #[inline(never)]
    pub(super) fn read_around_mark(
        &mut self,
        bytes: &mut [u8],
        is_peek: bool,
        cx: &mut Context<'_>,
    ) -> Result<usize, Error> {
        let (skipped, most) = self.span();
        let count = bytes.len().min(most);
        let bytes = bytes.get_mut(..count).unwrap_or_default();
        let count = self.incoming.read(skipped, bytes);
        if !is_peek {
            self.consume(skipped + count, cx);
        }
        match most {
            0 => self.nothing_to_read(),
            _ => Ok(count),
        }
    }

    /// Bytes were read or passed over: the mark comes nearer, or is behind them.
    #[inline(never)]
    pub(super) fn advance_mark(&mut self, count: usize) {
        if let Some(mark) = &mut self.urgent.incoming {
            match mark.distance.checked_sub(count) {
                Some(distance) => mark.distance = distance,
                None => self.urgent.incoming = None,
            }
        }
        self.rest_urgent();
    }

    fn rest_urgent(&mut self) {
        let Urgent { incoming, outgoing } = &self.urgent;
        let is_any = incoming.is_some() || outgoing.is_some();
        self.bits.set(Bits::URGENT, is_any);
    }

    /// The urgent byte, if there is a mark that is not in line; with `is_peek` it stays to be read.
    pub(crate) fn urgent_byte(&mut self, is_peek: bool) -> Option<UrgentByte> {
        if self.settings.is_urgent_inline {
            return None;
        }
        let mark = self.urgent.incoming.as_mut()?;
        let byte = mark.byte;
        if matches!(byte, UrgentByte::Here(_)) && !is_peek {
            mark.byte = UrgentByte::Taken;
        }
        Some(byte)
    }

    /// Whether an urgent byte waits to be read.
    pub(crate) fn has_urgent(&self) -> bool {
        let mark = self.urgent.incoming;
        mark.is_some_and(|mark| matches!(mark.byte, UrgentByte::Here(_)))
    }

    /// Whether the next byte is the urgent one (`sockatmark`).
    pub(crate) fn is_at_mark(&self) -> bool {
        self.urgent.incoming.is_some_and(|mark| mark.distance == 0)
    }

    /// The last of the bytes that are queued is urgent.
    pub(crate) fn mark_urgent(&mut self) {
        self.urgent.outgoing = Some(self.data_end());
        self.bits |= Bits::URGENT;
    }

    /// Tells the peer of the mark, as long as it has not got what is before it.
    #[inline(never)]
    pub(super) fn tell_urgent(&mut self, plan: &mut Plan) {
        let Some(end) = self.urgent.outgoing else {
            return;
        };
        if !self.una.is_before(end) {
            self.urgent.outgoing = None;
            return self.rest_urgent();
        }
        // What the pointer cannot reach yet is told later.
        if plan.seq.is_before(end)
            && let Ok(pointer) = u16::try_from(end - plan.seq)
        {
            plan.flags |= Flags::URG;
            plan.urgent = pointer;
        }
    }
}
