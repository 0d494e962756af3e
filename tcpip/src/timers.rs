//! When something must be looked at next, though nothing comes in. Each key has at most one time.

use alloc::collections::BTreeSet;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A TCP connection, by its slot.
    Connection(u32),
    /// Handshakes that peers began.
    HalfOpen,
    /// The connections in TIME-WAIT.
    TimeWait,
    /// Neighbours that were asked for their hardware addresses.
    Neighbors,
    /// Packets that lack fragments.
    Fragments,
    /// The DHCP client.
    Dhcp,
    /// Routers, and addresses that are tried or end.
    Autoconfiguration,
    /// Reports of groups.
    Groups,
}

/// Times in microseconds, in order.
#[derive(Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(u64, Key)>,
    /// The first of them, so that asking costs a load; `u64::MAX`: none.
    first: u64,
    /// Where the timers that are not connections' are set, by their order in [`Key`].
    others: [u64; 7],
}

/// No time.
pub(crate) const UNSET: u64 = u64::MAX;

impl Timers {
    /// None set.
    pub(crate) fn new() -> Self {
        Self {
            queue: BTreeSet::new(),
            first: UNSET,
            others: [UNSET; 7],
        }
    }

    /// Sets or moves a timer that now is at `current`, and stores where it is. A timer is only ever moved to an earlier time: one that
    /// goes off too early costs one look, and moving it with each packet would cost more.
    #[inline]
    pub(crate) fn arrange(&mut self, key: Key, current: &mut u64, wanted: u64) {
        if wanted < *current {
            self.advance(key, current, wanted);
        }
    }

    #[inline(never)]
    fn advance(&mut self, key: Key, current: &mut u64, wanted: u64) {
        self.cancel(key, current);
        self.queue.insert((wanted, key));
        self.first = self.first.min(wanted);
        *current = wanted;
    }

    /// Forgets a timer.
    pub(crate) fn cancel(&mut self, key: Key, current: &mut u64) {
        if *current != UNSET {
            self.queue.remove(&(*current, key));
            *current = UNSET;
            self.find_first();
        }
    }

    /// Sets a timer that is no connection's, if it is not set to an earlier time.
    pub(crate) fn set(&mut self, key: Key, wanted: u64) {
        if let Some(place) = key.place() {
            let mut current = self.others.get(place).copied().unwrap_or(UNSET);
            self.arrange(key, &mut current, wanted);
            if let Some(slot) = self.others.get_mut(place) {
                *slot = current;
            }
        }
    }

    fn find_first(&mut self) {
        self.first = self.queue.first().map_or(UNSET, |(at, _)| *at);
    }

    /// The earliest time; [`UNSET`] if there is none.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.first
    }

    /// Takes a timer whose time has come; a connection must note that its is set no more.
    pub(crate) fn pop(&mut self, now: u64) -> Option<Key> {
        if self.first > now {
            return None;
        }
        let (_, key) = self.queue.pop_first()?;
        if let Some(slot) = key.place().and_then(|place| self.others.get_mut(place)) {
            *slot = UNSET;
        }
        self.find_first();
        Some(key)
    }

    /// How many are set.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

impl Key {
    fn place(self) -> Option<usize> {
        Some(match self {
            Self::Connection(_) => return None,
            Self::HalfOpen => 0,
            Self::TimeWait => 1,
            Self::Neighbors => 2,
            Self::Fragments => 3,
            Self::Dhcp => 4,
            Self::Autoconfiguration => 5,
            Self::Groups => 6,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, Timers, UNSET};

    #[test]
    fn timers_come_in_order_and_only_when_due() {
        let (mut timers, mut a, mut b) = (Timers::new(), UNSET, UNSET);
        timers.arrange(Key::Connection(1), &mut a, 50);
        timers.arrange(Key::Connection(2), &mut b, 40);
        timers.set(Key::Dhcp, 45);
        assert_eq!((timers.next(), timers.len()), (40, 3));
        assert_eq!(timers.pop(39), None);
        assert_eq!(timers.pop(60), Some(Key::Connection(2)));
        assert_eq!(timers.pop(60), Some(Key::Dhcp));
        assert_eq!(timers.pop(60), Some(Key::Connection(1)));
        assert_eq!((timers.pop(60), timers.next()), (None, UNSET));
    }

    #[test]
    fn a_timer_only_moves_to_an_earlier_time() {
        let (mut timers, mut a) = (Timers::new(), UNSET);
        for (wanted, set) in [(50, 50), (70, 50), (30, 30)] {
            timers.arrange(Key::Connection(1), &mut a, wanted);
            assert_eq!((a, timers.next(), timers.len()), (set, set, 1));
        }
        timers.cancel(Key::Connection(1), &mut a);
        assert_eq!((a, timers.next(), timers.len()), (UNSET, UNSET, 0));
    }
}
