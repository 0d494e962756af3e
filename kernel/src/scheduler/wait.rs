//! Queues of threads that wait for something.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, Ordering, fence};

use super::control::{self, Killed};
use super::core::{InterruptsHeld, block, prepare_to_block, wake};
use super::thread::{self, Thread, Waiting};
use crate::sync::{SpinGuard, SpinLock};

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitOutcome {
    /// Somebody woke the thread.
    Woken,
    /// The deadline passed.
    TimedOut,
}

/// What a thread of a shared queue waits for: an address, and a set of bits as futexes have them.
#[derive(Clone, Copy, Default)]
pub(super) struct Key {
    pub(super) address: usize,
    pub(super) bits: u32,
}

/// A waiting thread, on its own stack. Changed under the lock of its queue only.
struct Waiter {
    thread: *const Thread,
    next: *mut Waiter,
    previous: *mut Waiter,
    is_queued: bool,
    /// What the thread waits for, for [`WaitQueue::wake_where`].
    key: Key,
}

struct List {
    first: *mut Waiter,
    last: *mut Waiter,
}

// SAFETY: waiters stay on their threads' stacks until they are unlinked, under the lock.
unsafe impl Send for List {}

/// Threads that wait, first come first served. What they wait for is the caller's, under a lock of the caller's.
pub struct WaitQueue {
    list: SpinLock<List>,
    /// Whether somebody is in the list; changed under its lock.
    is_occupied: AtomicBool,
}

impl List {
    fn push(&mut self, waiter: &mut Waiter) {
        waiter.previous = self.last;
        waiter.is_queued = true;
        let waiter: *mut Waiter = waiter;
        if self.last.is_null() {
            self.first = waiter;
        } else {
            // SAFETY: queued waiters are alive.
            unsafe { (*self.last).next = waiter };
        }
        self.last = waiter;
    }

    /// # Safety
    /// 1. The waiter is in this list.
    unsafe fn unlink(&mut self, waiter: *mut Waiter) {
        // SAFETY: queued waiters, and so the neighbours, are alive (1).
        unsafe {
            let (next, previous) = ((*waiter).next, (*waiter).previous);
            if previous.is_null() {
                self.first = next
            } else {
                (*previous).next = next
            }
            if next.is_null() {
                self.last = previous
            } else {
                (*next).previous = previous
            }
            (*waiter).is_queued = false;
        }
    }
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            list: SpinLock::new(List {
                first: null_mut(),
                last: null_mut(),
            }),
            is_occupied: AtomicBool::new(false),
        }
    }

    /// Notes whether the list, whose lock is held, has somebody in it.
    fn note(&self, list: &List) {
        self.is_occupied
            .store(!list.first.is_null(), Ordering::Relaxed);
    }

    /// Releases `guard`, sleeps until woken or until `deadline_ns` (nanoseconds since boot), takes the lock again. No wake-up
    /// between the release and the sleep is lost. As with condition variables, check the condition again.
    pub fn wait<'a, T: ?Sized>(
        &self,
        guard: SpinGuard<'a, T>,
        deadline_ns: Option<u64>,
    ) -> (SpinGuard<'a, T>, WaitOutcome) {
        self.wait_for(Waiting::Outside, guard, deadline_ns)
    }

    /// As [`WaitQueue::wait`]; says what the thread waits for.
    pub fn wait_for<'a, T: ?Sized>(
        &self,
        waiting: Waiting,
        guard: SpinGuard<'a, T>,
        deadline_ns: Option<u64>,
    ) -> (SpinGuard<'a, T>, WaitOutcome) {
        let lock = SpinGuard::lock_of(&guard);
        let outcome = self.wait_keyed(Key::default(), waiting, deadline_ns, || drop(guard));
        (lock.lock(), outcome)
    }

    /// As [`WaitQueue::wait_for`], but a kill of the thread ends the wait.
    pub fn wait_killable<'a, T: ?Sized>(
        &self,
        waiting: Waiting,
        guard: SpinGuard<'a, T>,
        deadline_ns: Option<u64>,
    ) -> (SpinGuard<'a, T>, Result<WaitOutcome, Killed>) {
        let lock = SpinGuard::lock_of(&guard);
        let outcome = self.wait_keyed(Key::default(), waiting, deadline_ns, || {
            drop(guard);
            control::begin_killable();
        });
        let outcome = control::end_killable().map(|()| outcome);
        (lock.lock(), outcome)
    }

    /// Sleeps as one that waits for `key`; `release` is called when a wake-up cannot be lost any more.
    pub(super) fn wait_keyed(
        &self,
        key: Key,
        waiting: Waiting,
        deadline_ns: Option<u64>,
        release: impl FnOnce(),
    ) -> WaitOutcome {
        thread::current().waiting.set(waiting);
        let mut waiter = Waiter {
            thread: thread::current(),
            next: null_mut(),
            previous: null_mut(),
            is_queued: false,
            key,
        };
        let pointer = &raw mut waiter;
        prepare_to_block();
        let mut list = self.list.lock();
        // SAFETY: the waiter outlives its time in the list: it is unlinked below if nobody did it before.
        list.push(unsafe { &mut *pointer });
        self.note(&list);
        drop(list);
        release();
        block(deadline_ns);
        let mut list = self.list.lock();
        // SAFETY: under the lock nobody else changes the waiter.
        if unsafe { (*pointer).is_queued } {
            // SAFETY: it says that it is in the list.
            unsafe { list.unlink(pointer) };
            self.note(&list);
            return WaitOutcome::TimedOut;
        }
        WaitOutcome::Woken
    }

    /// Wakes up to `most` threads whose key fits, longest waiting first; how many.
    #[inline]
    pub(super) fn wake_where(&self, most: usize, fits: impl FnMut(Key) -> bool) -> usize {
        // As strong as taking the list's lock: who is in the list when the caller has changed what they wait for is seen.
        fence(Ordering::SeqCst);
        match self.is_occupied.load(Ordering::Relaxed) {
            true => self.wake_listed(most, fits),
            false => 0,
        }
    }

    #[inline(never)]
    fn wake_listed(&self, most: usize, mut fits: impl FnMut(Key) -> bool) -> usize {
        let _held = InterruptsHeld::new();
        let mut list = self.list.lock();
        let mut count = 0;
        let mut waiter = list.first;
        while !waiter.is_null() && count < most {
            // SAFETY: queued waiters are alive.
            let (next, key, thread) = unsafe { ((*waiter).next, (*waiter).key, (*waiter).thread) };
            if fits(key) {
                // SAFETY: it is in the list. The thread cannot go away before the lock is released: it takes the lock to leave `wait`.
                unsafe {
                    list.unlink(waiter);
                    wake(&*thread);
                }
                count += 1;
            }
            waiter = next;
        }
        self.note(&list);
        count
    }

    /// Wakes the thread that waits longest; whether there was one.
    pub fn wake_one(&self) -> bool {
        self.wake_where(1, |_| true) == 1
    }

    /// Wakes all; how many.
    pub fn wake_all(&self) -> usize {
        self.wake_where(usize::MAX, |_| true)
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}
