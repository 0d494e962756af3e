//! Connections in TIME-WAIT (RFC 9293, section 3.6.1) that no program holds any more.
//!
//! All that is left of such a connection are its ends and two sequence numbers, so that a repeated FIN is answered and strays of
//! the old connection are not taken for the next one's. It holds no socket and no buffers; the oldest give way.

use alloc::collections::VecDeque;

use hashbrown::HashMap;

use super::connections::Seed;
use super::frame::{FourTuple, Segment};

/// How long strays are waited for, in microseconds.
const WAIT_US: u64 = 10_000_000;

/// What a connection leaves behind when both sides have closed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// The sequence number after our FIN.
    pub(super) next_send: u32,
    /// The sequence number after the peer's FIN.
    pub(super) next_receive: u32,
}

/// What to do with a segment for a connection in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The peer begins a new connection between the same ends.
    Anew,
    /// The peer knows nothing of the old connection.
    Over,
    /// The peer has not heard that we have everything.
    Acknowledge,
    /// A stray.
    Ignore,
}

impl Rest {
    fn judge(self, segment: &Segment) -> Verdict {
        // A later sequence number cannot be a stray's (RFC 1122, section 4.2.2.13).
        let is_later = (segment.sequence.wrapping_sub(self.next_receive) as i32) > 0;
        if segment.is_opening() && is_later {
            Verdict::Anew
        } else if segment.is_reset() && segment.sequence == self.next_receive {
            Verdict::Over
        } else if segment.is_long() && !segment.is_reset() {
            Verdict::Acknowledge
        } else {
            Verdict::Ignore
        }
    }
}

/// The connections in TIME-WAIT of one interface.
pub(super) struct TimeWait {
    rests: HashMap<FourTuple, (Rest, u64), Seed>,
    /// In the order of their ends, which is the order of their coming. One whose connection was begun anew is here, but with
    /// another end in the table or none.
    ends: VecDeque<(u64, FourTuple)>,
    limit: usize,
}

impl TimeWait {
    /// None yet, and never more than `limit`.
    pub(super) fn new(limit: usize, seed: Seed) -> Self {
        Self {
            rests: HashMap::with_hasher(seed),
            ends: VecDeque::new(),
            limit,
        }
    }

    /// Whether the ends are those of a connection that is in TIME-WAIT.
    pub(super) fn contains(&self, tuple: &FourTuple) -> bool {
        self.rests.contains_key(tuple)
    }

    /// Keeps what is left of a connection; the oldest goes if there are too many.
    pub(super) fn insert(&mut self, tuple: FourTuple, rest: Rest, now_us: u64) {
        while self.ends.len() >= self.limit {
            let Some(oldest) = self.ends.pop_front() else {
                return;
            };
            self.forget(oldest);
        }
        let end_us = now_us.saturating_add(WAIT_US);
        self.rests.insert(tuple, (rest, end_us));
        self.ends.push_back((end_us, tuple));
    }

    /// What to do with a segment, if it is for one of these connections, and what is left of that.
    #[inline]
    pub(super) fn judge(
        &mut self,
        tuple: &FourTuple,
        segment: &Segment,
    ) -> Option<(Verdict, Rest)> {
        let (rest, _) = *self.rests.get(tuple)?;
        let verdict = rest.judge(segment);
        if matches!(verdict, Verdict::Anew | Verdict::Over) {
            self.rests.remove(tuple);
        }
        Some((verdict, rest))
    }

    /// Forgets those whose time is over; when to look again. That is late enough to catch many at once.
    pub(super) fn expire(&mut self, now_us: u64) -> Option<u64> {
        while let Some(&oldest) = self.ends.front()
            && oldest.0 <= now_us
        {
            self.ends.pop_front();
            self.forget(oldest);
        }
        self.ends.back().map(|(end_us, _)| *end_us)
    }

    fn forget(&mut self, (end_us, tuple): (u64, FourTuple)) {
        if self
            .rests
            .get(&tuple)
            .is_some_and(|(_, end)| *end == end_us)
        {
            self.rests.remove(&tuple);
        }
    }

    /// How many there are, for tests of growth.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ends.len().max(self.rests.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Rest, TimeWait, Verdict, WAIT_US};
    use crate::network::connections::Seed;
    use crate::network::frame::{FourTuple, Segment};
    use core::net::{Ipv4Addr, SocketAddrV4};

    const REST: Rest = Rest {
        next_send: 100,
        next_receive: 0xFFFF_FFF0,
    };

    fn tuple(port: u16) -> FourTuple {
        FourTuple {
            local: SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 15), 80),
            remote: SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 2), port),
        }
    }

    fn ack() -> Segment {
        Segment::acknowledging(REST.next_receive, REST.next_send, 0)
    }

    #[test]
    fn a_connection_is_kept_for_its_time_and_no_longer() {
        let mut table = TimeWait::new(8, Seed::new(3));
        table.insert(tuple(1), REST, 0);
        table.insert(tuple(2), REST, 5);
        assert_eq!(
            table.judge(&tuple(1), &ack()),
            Some((Verdict::Ignore, REST))
        );
        assert_eq!(table.expire(WAIT_US), Some(WAIT_US + 5));
        assert!(!table.contains(&tuple(1)) && table.contains(&tuple(2)));
        assert_eq!(table.expire(WAIT_US + 5), None);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn the_oldest_give_way_and_come_back_as_new_ones() {
        let mut table = TimeWait::new(2, Seed::new(3));
        for (now_us, port) in [1, 2, 1, 3].into_iter().enumerate() {
            table.insert(tuple(port), REST, now_us as u64);
            assert!(table.len() <= 2);
        }
        assert!(table.contains(&tuple(1)) && table.contains(&tuple(3)));
        assert!(!table.contains(&tuple(2)));
    }
}
