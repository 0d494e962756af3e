//! Taking turns over something that takes long, such as an access to a disk: a waiting thread sleeps.

use super::WaitQueue;
use crate::sync::SpinLock;

/// Lets one thread in at a time. What it guards is the owner's to say.
pub struct Turn {
    is_taken: SpinLock<bool>,
    waiting: WaitQueue,
}

/// A thread's turn, until dropped.
pub struct TurnGuard<'a> {
    turn: &'a Turn,
}

impl Turn {
    /// Nobody's turn yet.
    pub const fn new() -> Self {
        Self {
            is_taken: SpinLock::new(false),
            waiting: WaitQueue::new(),
        }
    }

    /// Waits for the caller's turn.
    pub fn take(&self) -> TurnGuard<'_> {
        let mut is_taken = self.is_taken.lock();
        while *is_taken {
            (is_taken, _) = self.waiting.wait(is_taken, None);
        }
        *is_taken = true;
        TurnGuard { turn: self }
    }
}

impl Default for Turn {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        *self.turn.is_taken.lock() = false;
        self.turn.waiting.wake_one();
    }
}
