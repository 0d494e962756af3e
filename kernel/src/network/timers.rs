//! When something must be looked at next, though nothing comes in. Each key has at most one time.

use alloc::collections::BTreeSet;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A TCP connection, by its slot.
    Connection(u32),
    /// A sender of datagrams, by its slot.
    Sender(u32),
    /// The DHCP client.
    Dhcp,
    /// The connections in TIME-WAIT.
    TimeWait,
    /// Echo requests.
    Ping,
}

/// Times in microseconds, in order.
#[derive(Default)]
pub(super) struct Timers {
    queue: BTreeSet<(u64, Key)>,
}

impl Timers {
    /// Sets or moves a timer that now is at `current`, and stores where it is. A timer is only ever moved to an earlier time: one that
    /// fires too early costs one look, and moving it with each packet would cost more.
    pub(super) fn arrange(&mut self, key: Key, current: &mut Option<u64>, wanted: Option<u64>) {
        match (*current, wanted) {
            (_, None) => {}
            (Some(set), Some(at)) if set <= at => {}
            (_, Some(at)) => {
                self.cancel(key, current);
                self.queue.insert((at, key));
                *current = Some(at);
            }
        }
    }

    /// Forgets a timer.
    pub(super) fn cancel(&mut self, key: Key, current: &mut Option<u64>) {
        if let Some(at) = current.take() {
            self.queue.remove(&(at, key));
        }
    }

    /// The earliest time.
    pub(super) fn next(&self) -> Option<u64> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes a timer whose time has come; its owner must note that it is set no more.
    pub(super) fn pop(&mut self, now: u64) -> Option<Key> {
        let (at, _) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first().map(|(_, key)| key)
    }

    /// How many are set.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, Timers};

    #[test]
    fn a_timer_moves_forward_only_and_is_there_once() {
        let mut timers = Timers::default();
        let mut at = None;
        let key = Key::Connection(3);
        timers.arrange(key, &mut at, Some(50));
        timers.arrange(key, &mut at, Some(70));
        assert_eq!((at, timers.next()), (Some(50), Some(50)));
        timers.arrange(key, &mut at, Some(20));
        timers.arrange(key, &mut at, None);
        assert_eq!((timers.len(), timers.next()), (1, Some(20)));
        assert_eq!(timers.pop(19), None);
        assert_eq!(timers.pop(20), Some(key));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_cancelled_timer_does_not_fire() {
        let mut timers = Timers::default();
        let mut at = None;
        timers.arrange(Key::Dhcp, &mut at, Some(5));
        timers.cancel(Key::Dhcp, &mut at);
        assert_eq!((at, timers.pop(100)), (None, None));
    }
}
