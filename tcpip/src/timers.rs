//! When something must be looked at next, though nothing comes in. Each key has at most one time.
//!
//! The times are in a heap. A time that is moved or forgotten stays there until its turn comes, and is recognised then by not being its
//! key's any more; when most are such, they are swept out.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

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
    /// The DHCPv6 client.
    Dhcp6,
    /// Routers, and addresses that are tried or end.
    Autoconfiguration,
    /// Reports of groups.
    Groups,
    /// Frames that wait for the device.
    Late,
    /// Addresses that the neighbours are to be told of.
    Announcements,
}

/// Times in microseconds, in order.
#[derive(Default)]
pub(crate) struct Timers {
    queue: BinaryHeap<Reverse<(u64, Key)>>,
    /// The first of them, so that asking costs a load; `u64::MAX`: none. It may have been forgotten.
    first: u64,
    /// How many are set.
    count: usize,
    /// Where the timers that are not connections' are set, by their order in [`Key`].
    others: [u64; OTHERS],
}

/// How many timers are not connections'.
const OTHERS: usize = 10;
/// No time.
pub(crate) const UNSET: u64 = u64::MAX;
/// As many that were forgotten may always stay.
const SPARE: usize = 64;

impl Timers {
    /// None set.
    pub(crate) fn new() -> Self {
        Self {
            queue: BinaryHeap::new(),
            first: UNSET,
            count: 0,
            others: [UNSET; OTHERS],
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
        self.count += usize::from(*current == UNSET);
        self.queue.push(Reverse((wanted, key)));
        self.first = self.first.min(wanted);
        *current = wanted;
    }

    /// Forgets a timer.
    pub(crate) fn cancel(&mut self, current: &mut u64) {
        self.count -= usize::from(*current != UNSET);
        *current = UNSET;
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

    /// The earliest time, or an earlier one that was forgotten; [`UNSET`] if there is none.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.first
    }

    /// Takes a timer whose time has come; a connection must note that its is set no more. `of_connection` says where the timer of a
    /// connection is set.
    pub(crate) fn pop(&mut self, now: u64, of_connection: impl Fn(u32) -> u64) -> Option<Key> {
        while self.first <= now {
            let Reverse((at, key)) = self.queue.pop()?;
            self.first = self.queue.peek().map_or(UNSET, |Reverse((at, _))| *at);
            if self.is_set(key, at, &of_connection) {
                self.count -= 1;
                if let Some(slot) = key.place().and_then(|place| self.others.get_mut(place)) {
                    *slot = UNSET;
                }
                return Some(key);
            }
        }
        None
    }

    /// Sweeps out what was forgotten, if that is most.
    pub(crate) fn sweep(&mut self, of_connection: impl Fn(u32) -> u64) {
        if self.queue.len() > 2 * self.count + SPARE {
            let mut queue = core::mem::take(&mut self.queue);
            queue.retain(|Reverse((at, key))| self.is_set(*key, *at, &of_connection));
            queue.shrink_to(2 * self.count + SPARE);
            self.first = queue.peek().map_or(UNSET, |Reverse((at, _))| *at);
            self.queue = queue;
        }
    }

    fn is_set(&self, key: Key, at: u64, of_connection: &impl Fn(u32) -> u64) -> bool {
        let set = match (key, key.place()) {
            (Key::Connection(slot), _) => of_connection(slot),
            (_, Some(place)) => self.others.get(place).copied().unwrap_or(UNSET),
            _ => UNSET,
        };
        set == at
    }

    /// How many are set.
    pub(crate) fn len(&self) -> usize {
        self.count
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
            Self::Late => 7,
            Self::Announcements => 8,
            Self::Dhcp6 => 9,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, SPARE, Timers, UNSET};

    #[test]
    fn timers_come_in_order_and_only_when_due() {
        let (mut timers, mut a, mut b) = (Timers::new(), UNSET, UNSET);
        timers.arrange(Key::Connection(1), &mut a, 50);
        timers.arrange(Key::Connection(2), &mut b, 40);
        timers.set(Key::Dhcp, 45);
        assert_eq!((timers.next(), timers.len()), (40, 3));
        let of_connection = |slot| [UNSET, 50, 40][slot as usize];
        assert_eq!(timers.pop(39, of_connection), None);
        assert_eq!(timers.pop(60, of_connection), Some(Key::Connection(2)));
        assert_eq!(timers.pop(60, of_connection), Some(Key::Dhcp));
        assert_eq!(timers.pop(60, of_connection), Some(Key::Connection(1)));
        assert_eq!(timers.pop(60, of_connection), None);
        assert_eq!((timers.next(), timers.len()), (UNSET, 0));
    }

    #[test]
    fn a_timer_only_moves_to_an_earlier_time_and_goes_off_once() {
        let (mut timers, mut a) = (Timers::new(), UNSET);
        for (wanted, set) in [(50, 50), (70, 50), (30, 30)] {
            timers.arrange(Key::Connection(1), &mut a, wanted);
            assert_eq!((a, timers.next(), timers.len()), (set, set, 1));
        }
        assert_eq!(timers.pop(60, |_| 30), Some(Key::Connection(1)));
        assert_eq!((timers.pop(60, |_| UNSET), timers.next()), (None, UNSET));
    }

    #[test]
    fn what_was_forgotten_does_not_go_off_and_takes_no_memory() {
        let (mut timers, mut kept) = (Timers::new(), UNSET);
        timers.arrange(Key::Connection(0), &mut kept, 5000);
        for at in 1..1000 {
            let mut timer = UNSET;
            timers.arrange(Key::Connection(1), &mut timer, at);
            timers.cancel(&mut timer);
            timers.set(Key::Groups, 10_000 - at);
            timers.sweep(|slot| [5000, UNSET][slot as usize]);
            assert!(timers.queue.len() <= 2 * timers.len() + SPARE);
        }
        assert_eq!(timers.len(), 2);
        let of_connection = |slot| [5000, UNSET][slot as usize];
        assert_eq!(timers.pop(4999, of_connection), None);
        assert_eq!(timers.pop(20_000, of_connection), Some(Key::Connection(0)));
        assert_eq!(timers.pop(20_000, of_connection), Some(Key::Groups));
        assert_eq!(timers.pop(20_000, of_connection), None);
    }
}
