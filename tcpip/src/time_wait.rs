//! Connections in TIME-WAIT (RFC 9293, section 3.6.1) that no program holds any more.
//!
//! All that is left of such a connection are its ends, two sequence numbers and its times, so that a repeated FIN is answered and strays
//! of the old connection are not taken for the next one's. It holds no buffers; the oldest give way.

use alloc::collections::VecDeque;

use hashbrown::HashMap;

use crate::address::Tuple;
use crate::hash::Seed;
use crate::seq::Seq;
use crate::wire::tcp::{Flags, Options, Segment};

/// How long strays are waited for, in microseconds.
const WAIT_US: u64 = 10_000_000;

/// What a connection leaves behind when both sides have closed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    /// The sequence number after our FIN.
    pub(crate) next_send: Seq,
    /// The sequence number after the peer's FIN.
    pub(crate) next_receive: Seq,
    /// The peer's last time, and what is added to ours.
    pub(crate) times: Option<(u32, u32)>,
    /// A request for a new connection was answered by the acknowledgement of the old one, as the numbers are those of a stray: if it was
    /// none, its sender resets the old one.
    pub(crate) is_asked_anew: bool,
}

/// What to do with a segment for a connection in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
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
    fn judge(self, segment: &Segment<'_>) -> Verdict {
        if segment.is_opening() {
            // A later time or sequence number cannot be a stray's (RFC 6191; RFC 1122, section 4.2.2.13).
            let times = self.times.zip(Options::read(segment.options).timestamps);
            let is_later = match times {
                Some(((old, _), (new, _))) if new != old => new.wrapping_sub(old) as i32 > 0,
                _ => segment.seq.is_after(self.next_receive),
            };
            return if is_later {
                Verdict::Anew
            } else {
                Verdict::Acknowledge
            };
        }
        if segment.flags.contains(Flags::RST) {
            // Only with exactly the next number (RFC 5961), and not as an answer to what was said to a stray of the old connection: the peer
            // has forgotten that, but not all strays need have come (RFC 1337).
            return match segment.seq == self.next_receive && self.is_asked_anew {
                true => Verdict::Over,
                false => Verdict::Ignore,
            };
        }
        if segment.len() != 0 {
            Verdict::Acknowledge
        } else {
            Verdict::Ignore
        }
    }
}

/// The connections in TIME-WAIT of one interface.
pub(crate) struct TimeWait {
    rests: HashMap<Tuple, (Rest, u64), Seed>,
    /// In the order of their ends, which is the order of their coming. One whose connection was begun anew is here, but with
    /// another end in the table or none.
    ends: VecDeque<(u64, Tuple)>,
    limit: usize,
}

impl TimeWait {
    /// None yet, and never more than `limit`.
    pub(crate) fn new(limit: usize, seed: u64) -> Self {
        Self {
            rests: HashMap::with_hasher(Seed::new(seed)),
            ends: VecDeque::new(),
            limit,
        }
    }

    /// The ends of all of them.
    pub(crate) fn tuples(&self) -> impl Iterator<Item = &Tuple> {
        self.rests.keys()
    }

    /// Whether the ends are those of a connection that is in TIME-WAIT.
    pub(crate) fn contains(&self, tuple: &Tuple) -> bool {
        self.rests.contains_key(tuple)
    }

    /// Keeps what is left of a connection; the oldest goes if there are too many.
    pub(crate) fn insert(&mut self, tuple: Tuple, rest: Rest, now_us: u64) {
        while self.ends.len() >= self.limit {
            let Some(oldest) = self.ends.pop_front() else {
                return;
            };
            self.forget(oldest);
        }
        if self.rests.try_reserve(1).is_err() || self.ends.try_reserve(1).is_err() {
            return;
        }
        let end_us = now_us.saturating_add(WAIT_US);
        self.rests.insert(tuple, (rest, end_us));
        self.ends.push_back((end_us, tuple));
    }

    /// What to do with a segment, if it is for one of these connections, and what is left of that.
    pub(crate) fn judge(
        &mut self,
        tuple: &Tuple,
        segment: &Segment<'_>,
    ) -> Option<(Verdict, Rest)> {
        let (kept, _) = self.rests.get_mut(tuple)?;
        let rest = *kept;
        let verdict = rest.judge(segment);
        kept.is_asked_anew |= verdict == Verdict::Acknowledge && segment.is_opening();
        if matches!(verdict, Verdict::Anew | Verdict::Over) {
            self.rests.remove(tuple);
        }
        Some((verdict, rest))
    }

    /// Forgets those whose time is over; when to look again. That is late enough to catch many at once.
    pub(crate) fn expire(&mut self, now_us: u64) -> Option<u64> {
        while let Some(&oldest) = self.ends.front()
            && oldest.0 <= now_us
        {
            self.ends.pop_front();
            self.forget(oldest);
        }
        if self.ends.is_empty() {
            self.ends = VecDeque::new();
            self.rests.shrink_to_fit();
        }
        self.ends.back().map(|(end_us, _)| *end_us)
    }

    fn forget(&mut self, (end_us, tuple): (u64, Tuple)) {
        if self
            .rests
            .get(&tuple)
            .is_some_and(|(_, end)| *end == end_us)
        {
            self.rests.remove(&tuple);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len().max(self.rests.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Rest, Seq, TimeWait, Verdict, WAIT_US};
    use crate::address::{Address, Tuple};
    use crate::wire::tcp::{Flags, Segment};

    const REST: Rest = Rest {
        next_send: Seq(100),
        next_receive: Seq(0xFFFF_FFF0),
        times: None,
        is_asked_anew: false,
    };

    fn tuple(port: u16) -> Tuple {
        Tuple {
            local: Address::v4([10, 0, 2, 15]),
            remote: Address::v4([10, 0, 2, 2]),
            local_port: 80,
            remote_port: port,
        }
    }

    fn segment(seq: Seq, flags: Flags) -> Segment<'static> {
        Segment {
            source_port: 1,
            destination_port: 80,
            seq,
            ack: REST.next_send,
            flags,
            window: 0,
            urgent: 0,
            options: &[],
            payload: &[],
        }
    }

    #[test]
    fn a_connection_is_kept_for_its_time_and_no_longer() {
        let mut table = TimeWait::new(8, 3);
        table.insert(tuple(1), REST, 0);
        table.insert(tuple(2), REST, 5);
        let ack = segment(REST.next_receive, Flags::ACK);
        assert_eq!(table.judge(&tuple(1), &ack), Some((Verdict::Ignore, REST)));
        assert_eq!(table.expire(WAIT_US), Some(WAIT_US + 5));
        assert!(!table.contains(&tuple(1)) && table.contains(&tuple(2)));
        assert_eq!(table.expire(WAIT_US + 5), None);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn strays_are_told_from_what_needs_an_answer() {
        let next = REST.next_receive;
        for (seq, flags, verdict) in [
            (next - 1, Flags::FIN | Flags::ACK, Verdict::Acknowledge),
            (next + 1, Flags::SYN, Verdict::Anew),
            (next - 1, Flags::SYN, Verdict::Acknowledge),
            (next, Flags::RST, Verdict::Ignore),
            (next + 9, Flags::RST, Verdict::Ignore),
        ] {
            assert_eq!(REST.judge(&segment(seq, flags)), verdict, "{flags:?}");
        }
        let rest = Rest {
            times: Some((50, 0)),
            ..REST
        };
        for (time, verdict) in [(51, Verdict::Anew), (49, Verdict::Acknowledge)] {
            let options = [1, 1, 8, 10, 0, 0, 0, time, 0, 0, 0, 0];
            let syn = Segment {
                options: &options,
                ..segment(next - 1000, Flags::SYN)
            };
            assert_eq!(rest.judge(&syn), verdict, "a time of {time}");
        }
    }

    /// RFC 1337, section 2: the reset that answers our acknowledgement of a stray does not end the wait; one that answers our
    /// acknowledgement of a request does.
    #[test]
    fn a_stray_does_not_have_the_peer_end_the_wait() {
        let mut table = TimeWait::new(8, 3);
        table.insert(tuple(1), REST, 0);
        let next = REST.next_receive;
        let mut judge = |seq, flags| table.judge(&tuple(1), &segment(seq, flags)).map(|it| it.0);
        let stray = judge(next - 1, Flags::FIN | Flags::ACK);
        assert_eq!(stray, Some(Verdict::Acknowledge));
        assert_eq!(judge(next, Flags::RST), Some(Verdict::Ignore));
        assert_eq!(judge(next - 9, Flags::SYN), Some(Verdict::Acknowledge));
        assert_eq!(judge(next + 1, Flags::RST), Some(Verdict::Ignore));
        assert_eq!(judge(next, Flags::RST), Some(Verdict::Over));
        assert_eq!(judge(next, Flags::RST), None);
    }

    #[test]
    fn the_oldest_give_way_and_come_back_as_new_ones() {
        let mut table = TimeWait::new(2, 3);
        for (now_us, port) in [1, 2, 1, 3].into_iter().enumerate() {
            table.insert(tuple(port), REST, now_us as u64);
            assert!(table.len() <= 2);
        }
        assert!(table.contains(&tuple(1)) && table.contains(&tuple(3)));
        assert!(!table.contains(&tuple(2)));
    }

    #[test]
    fn the_memory_of_many_is_given_back_when_all_have_gone() {
        let mut all = TimeWait::new(1000, 1);
        for port in 0..1000 {
            let remote = Address::v4([10, 0, 2, 2]);
            let tuple = Tuple {
                local: remote,
                remote,
                local_port: 80,
                remote_port: port,
            };
            all.insert(tuple, Rest::default(), 5);
        }
        assert!(all.rests.capacity() >= 1000);
        assert_eq!(all.expire(5 + WAIT_US), None);
        assert_eq!((all.rests.capacity(), all.ends.capacity()), (0, 0));
    }
}
