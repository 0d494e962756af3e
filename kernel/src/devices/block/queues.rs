//! Which of its disk's queues a request goes to.
//!
//! Most disks have one queue. Where there are several (virtio), each core has its own, or shares it with others if there are fewer: so cores that read at
//! once take no lock of each other, and the answer interrupts the core that waits for it. Nothing is ordered between queues, as nothing is in
//! one: whoever needs an order waits for the answer before asking for the next, see [`BlockDriver::flush`](super::BlockDriver::flush).

use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::BlockError;
use super::exchange::{Exchange, Interrupt};
use super::slots::Slot;
#[cfg(not(test))]
use crate::scheduler::current_core;
#[cfg(test)]
use model::current_core;

/// Of [`Queues::kept_to`]: each core has its own queue.
const EACH: usize = usize::MAX;

/// A queue: who waits for its answers, and by what they are announced, which queues may share.
pub(crate) struct Queue {
    /// What is asked for, and who waits.
    pub(crate) exchange: &'static Exchange,
    /// None where the device is asked again and again.
    pub(crate) interrupt: Option<&'static Interrupt>,
}

/// The queues of a disk.
pub(crate) struct Queues {
    /// At least one, which has a buffer. Core `n` has number `n` of them, modulo how many there are.
    all: Vec<Queue>,
    /// The core whose queue all use.
    kept_to: AtomicUsize,
}

impl Queues {
    /// The first, which is always good for a request, and others, one for each further core.
    pub(crate) fn new(first: Queue, others: impl IntoIterator<Item = Queue>) -> Self {
        let mut all = vec![first];
        all.extend(others);
        Self {
            all,
            kept_to: AtomicUsize::new(EACH),
        }
    }

    /// One for all cores.
    pub(crate) fn one(exchange: &'static Exchange, interrupt: Option<&'static Interrupt>) -> Self {
        let queue = Queue {
            exchange,
            interrupt,
        };
        Self::new(queue, [])
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// The queue that a core has.
    pub(crate) fn of(&self, core: usize) -> &Queue {
        &self.all[core % self.all.len()]
    }

    /// Has all cores use the queue of this one from now on. Requests that others have under way are answered where they are.
    pub(crate) fn keep_to(&self, core: usize) {
        self.kept_to.store(core, Ordering::Relaxed);
    }

    /// Waits for a slot of the queue that is to be used on this core. Where that has none, and no memory for one, of the first.
    ///
    /// # Errors
    /// [`BlockError::Timeout`] when no request ends, [`BlockError::Gone`].
    pub(crate) fn take_slot(&self) -> Result<(&'static Exchange, Slot), BlockError> {
        let core = match self.kept_to.load(Ordering::Relaxed) {
            EACH => current_core(),
            core => core,
        };
        for queue in [self.of(core), &self.all[0]] {
            if let Some(interrupt) = queue.interrupt {
                interrupt.adopt();
            }
            if let Some(slot) = queue.exchange.take_slot()? {
                return Ok((queue.exchange, slot));
            }
        }
        Err(BlockError::Timeout)
    }
}

#[cfg(test)]
pub(crate) mod model {
    //! Cores of tests: a test's thread is on the one that it says.

    use std::cell::Cell;

    std::thread_local! {
        static CORE: Cell<usize> = const { Cell::new(0) };
    }

    /// The core that this thread is on.
    pub(crate) fn current_core() -> usize {
        CORE.get()
    }

    /// Puts this thread on a core.
    pub(crate) fn go_to(core: usize) {
        CORE.set(core);
    }
}
