//! Waiting for a virtio disk: a thread sends its request and sleeps until the device interrupts.
//!
//! Without an interrupt the thread looks again and again, and lets other threads run in between. Either way it waits for a time only.

use alloc::sync::Arc;

use super::QUEUE;
use super::requests::{Kind, Requests, Slot};
use crate::arch::clock;
use crate::arch::interrupts::Irq;
use crate::devices::block::BlockError;
use crate::devices::virtio::Transport;
use crate::scheduler::{self, Service, WaitQueue};
use crate::sync::SpinLock;

/// How long the device may take for an answer.
const ANSWER_LIMIT_NS: u64 = 30_000_000_000;
/// Sleep at most this long: should an interrupt get lost, the queue is looked at all the same.
const MAX_REST_NS: u64 = 100_000_000;

/// A disk's requests, and who waits for what.
pub(crate) struct Exchange {
    transport: Arc<dyn Transport>,
    irq: Option<Irq>,
    requests: SpinLock<Requests>,
    /// Threads with requests.
    answered: WaitQueue,
    /// Threads without slots.
    room: WaitQueue,
}

impl Exchange {
    /// Over a device that runs.
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        mut requests: Requests,
        irq: Option<Irq>,
    ) -> Self {
        if irq.is_none() {
            requests.set_silent();
        }
        Self {
            transport,
            irq,
            requests: SpinLock::new(requests),
            answered: WaitQueue::new(),
            room: WaitQueue::new(),
        }
    }

    /// Has this core serve the interrupt, if there is one.
    pub(crate) fn register(&'static self) {
        if self.irq.is_some() {
            scheduler::register_service(self);
        }
    }

    /// The interrupt, if there is one.
    pub(crate) fn irq(&self) -> Option<Irq> {
        self.irq
    }

    /// Waits for a slot.
    ///
    /// # Errors
    /// [`BlockError::Timeout`] when no request ends.
    pub(crate) fn take_slot(&self) -> Result<Slot, BlockError> {
        let deadline_ns = clock::now_ns().saturating_add(ANSWER_LIMIT_NS);
        let mut requests = self.requests.lock();
        loop {
            if let Some(slot) = requests.take_slot() {
                return Ok(slot);
            }
            if clock::now_ns() >= deadline_ns {
                return Err(BlockError::Timeout);
            }
            // A request that was given up frees its slot when the answer comes, which nobody may be waiting for.
            let rest_end = clock::now_ns().saturating_add(MAX_REST_NS);
            (requests, _) = self.room.wait(requests, Some(rest_end));
            if requests.collect() {
                self.answered.wake_all();
            }
        }
    }

    /// Gives a slot back.
    pub(crate) fn give_back(&self, slot: Slot) {
        self.requests.lock().give_back(slot);
        self.room.wake_one();
    }

    /// Sends a request and waits for the answer. The slot comes back only with a good one; else it is taken care of.
    ///
    /// # Errors
    /// What the device says, or [`BlockError::Timeout`].
    pub(crate) fn execute(
        &self,
        slot: Slot,
        kind: Kind,
        unit: u64,
        len_bytes: usize,
    ) -> Result<Slot, BlockError> {
        let deadline_ns = clock::now_ns().saturating_add(ANSWER_LIMIT_NS);
        let mut requests = self.requests.lock();
        if requests.send(&slot, kind, unit, len_bytes) {
            self.transport.notify(QUEUE);
        }
        loop {
            if requests.collect() {
                self.answered.wake_all();
            }
            if let Some(answer) = requests.take_answer(&slot) {
                drop(requests);
                return match answer {
                    Ok(()) => Ok(slot),
                    Err(error) => {
                        self.give_back(slot);
                        Err(error)
                    }
                };
            }
            let now_ns = clock::now_ns();
            if now_ns >= deadline_ns {
                requests.abandon(slot);
                return Err(BlockError::Timeout);
            }
            if self.irq.is_some() {
                let rest_end = now_ns.saturating_add(MAX_REST_NS).min(deadline_ns);
                (requests, _) = self.answered.wait(requests, Some(rest_end));
            } else {
                drop(requests);
                scheduler::yield_now();
                requests = self.requests.lock();
            }
        }
    }
}

impl Service for Exchange {
    fn serve(&self) -> bool {
        let Some(irq) = self.irq.filter(Irq::take_pending) else {
            return false;
        };
        self.transport.acknowledge_interrupt();
        irq.done();
        if self.requests.lock().collect() {
            self.answered.wake_all();
        }
        true
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        None
    }

    fn wakes_unasked(&self) -> bool {
        false
    }
}
