//! Positions in a ring of slots with one writer and one reader, without a lock (Lamport, "Proving the correctness of multiprocess
//! programs", 1977), and the counter by which each tells the other that it sleeps.
//!
//! Only positions are here: what is in the slots, and where, is the owner's. All orders of events are tried by `kernel/tests/lock_free.rs`.

use super::atomic::{AtomicUsize, Ordering, fence};

/// Where writer and reader are. Positions count up and never wrap: there are 2^64 of them.
pub(super) struct Positions {
    /// The next slot to read.
    head: AtomicUsize,
    /// The next slot to write.
    tail: AtomicUsize,
    slots: usize,
}

impl Positions {
    /// Those of an empty ring of `slots` slots, at least one.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            slots: slots.max(1),
        }
    }

    /// The slot to write next, or `None` when all are full. For the writer, who calls [`Positions::written`] then.
    pub(super) fn to_write(&self) -> Option<usize> {
        let tail = self.tail.load(Ordering::Relaxed);
        // Acquire: the reader is through with the slot.
        let is_free = tail - self.head.load(Ordering::Acquire) < self.slots;
        is_free.then_some(tail % self.slots)
    }

    /// The slot is written.
    pub(super) fn written(&self) {
        let tail = self.tail.load(Ordering::Relaxed);
        self.tail.store(tail + 1, Ordering::Release);
    }

    /// The slot to read next, or `None` when all are empty. For the reader, who calls [`Positions::read`] then.
    pub(super) fn to_read(&self) -> Option<usize> {
        let head = self.head.load(Ordering::Relaxed);
        // Acquire: what the writer put into the slot.
        (head != self.tail.load(Ordering::Acquire)).then_some(head % self.slots)
    }

    /// The slot is read, and may be written again.
    pub(super) fn read(&self) {
        let head = self.head.load(Ordering::Relaxed);
        self.head.store(head + 1, Ordering::Release);
    }
}

/// Counts who sleeps until the other side has done something. The sleeper enters, looks once more, and sleeps if there is nothing; the
/// other side does its thing, then asks. Of the two at least one sees the other.
pub(super) struct Sleepers(AtomicUsize);

impl Sleepers {
    /// Nobody sleeps.
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// The caller is about to sleep. It looks once more after this.
    pub(super) fn enter(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The caller does not sleep any more.
    pub(super) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether somebody sleeps, or is about to and may not have seen what the caller did before.
    pub(super) fn are_there(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) != 0
    }
}
