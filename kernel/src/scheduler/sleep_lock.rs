//! A lock with a place for one thread that waits for what it guards to change: cheaper than a lock with a [`super::WaitQueue`].

use core::ops::{Deref, DerefMut};
use core::ptr::null;

use super::core::{block, prepare_to_block, wake};
use super::thread::{self, Thread, Waiting};
use crate::sync::{SpinGuard, SpinLock};

struct Guarded<T> {
    value: T,
    /// The thread that sleeps, or has not got the lock yet since it was woken otherwise; null: none.
    sleeper: *const Thread,
}

// SAFETY: the thread is only woken, which any core may do, and under the lock.
unsafe impl<T: Send> Send for Guarded<T> {}

/// A spin lock around a value that one thread may wait for.
pub struct SleepLock<T> {
    lock: SpinLock<Guarded<T>>,
}

/// Access to the value of a [`SleepLock`], until dropped.
pub struct SleepGuard<'a, T> {
    guard: SpinGuard<'a, Guarded<T>>,
}

impl<T> SleepLock<T> {
    /// A lock around `value`, open, for which nobody waits.
    pub const fn new(value: T) -> Self {
        let sleeper = null();
        Self {
            lock: SpinLock::new(Guarded { value, sleeper }),
        }
    }

    /// Takes the lock, spinning while another core holds it.
    #[inline]
    pub fn lock(&self) -> SleepGuard<'_, T> {
        let guard = self.lock.lock();
        SleepGuard { guard }
    }
}

impl<'a, T> SleepGuard<'a, T> {
    /// Releases the lock, sleeps until [`SleepGuard::wake`] or until `deadline_ns` (nanoseconds since boot), and takes it again. No wake-up in
    /// between is lost. As with condition variables, check the condition again. One thread at a time may sleep: of several, only the last is woken.
    pub fn sleep(mut self, deadline_ns: Option<u64>) -> Self {
        let lock: &'a SpinLock<Guarded<T>> = SpinGuard::lock_of(&self.guard);
        let thread = thread::current();
        thread.waiting.set(Waiting::Outside);
        prepare_to_block();
        self.guard.sleeper = thread;
        drop(self);
        block(deadline_ns);
        let mut guard = lock.lock();
        guard.sleeper = null();
        Self { guard }
    }

    /// Wakes the thread that sleeps, if one does.
    #[inline]
    pub fn wake(&mut self) {
        let thread = core::mem::replace(&mut self.guard.sleeper, null());
        if !thread.is_null() {
            // SAFETY: a thread that stands here takes the lock, which this guard holds, before it goes on: so it has not ended.
            wake(unsafe { &*thread });
        }
    }
}

impl<T> Deref for SleepGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.guard.value
    }
}

impl<T> DerefMut for SleepGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard.value
    }
}
