//! How many cores sleep for good, and whether they have slept all the while that somebody looked.
//!
//! The core that falls asleep last looks at all threads, one after the other. Meanwhile another core may wake, let a thread that was seen
//! waiting run, and fall asleep again: each thread would then have been seen waiting, though they never waited all at once. So
//! wake-ups are counted together with the cores, and what was seen counts only if none came. Tried in all orders by `tests/models`.

use super::atomic::{AtomicUsize, Ordering};

/// Cores asleep in the low bits, wake-ups so far above them. Zero at the start.
pub(super) struct Asleep(pub(super) AtomicUsize);

/// Above the number of cores.
const WAKE_UP: usize = 1 << 16;

/// All cores slept when this was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AllAsleep(usize);

impl Asleep {
    /// A core falls asleep; whether it is the last one of `cores`.
    pub(super) fn enter(&self, cores: usize) -> Option<AllAsleep> {
        // With the others' changes of the number this forms one order: what their threads did before they slept is seen from here on.
        let now = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        (now % WAKE_UP >= cores).then_some(AllAsleep(now))
    }

    /// A core that called [`Asleep::enter`] runs again. To be called before any thread of the core runs.
    pub(super) fn leave(&self) {
        self.0.fetch_add(WAKE_UP - 1, Ordering::SeqCst);
    }

    /// Whether no core has run since. What was read (acquiring) before this call was then true all at once.
    pub(super) fn is_still(&self, since: AllAsleep) -> bool {
        self.0.load(Ordering::SeqCst) == since.0
    }
}
