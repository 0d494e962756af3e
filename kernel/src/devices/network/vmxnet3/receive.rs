//! The receive ring: descriptors with a buffer each for ever, and completions that name them.

use core::sync::atomic::{Ordering, fence};

use super::registers::{
    COMMAND, COMPLETION_GENERATION, ENTRY_BYTES, EVENT_LINK, EVENT_QUEUE_ERRORS, EVENTS, GET_LINK,
    INTERRUPT, LINK_UP, RECEIVE_INDEX, shared,
};
use crate::arch::interrupts::Irq;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::network::{Frame, LinkState, Receiver};
use crate::devices::registers::Registers;
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

const DESCRIPTORS: usize = 64;
/// The second ring is for what needs more than a buffer; it stays empty, but there must be one.
const SECOND_DESCRIPTORS: usize = 32;
const COMPLETIONS: usize = DESCRIPTORS + SECOND_DESCRIPTORS;
/// As many buffers are given back at once.
const RETURN_BATCH: usize = 16;
const BUFFER_BYTES: usize = 2048;
const MIN_FRAME_BYTES: usize = 14;

const SECOND_AT: usize = DESCRIPTORS * ENTRY_BYTES;
const COMPLETIONS_AT: usize = SECOND_AT + SECOND_DESCRIPTORS * ENTRY_BYTES;

const DESCRIPTOR_GENERATION: u32 = 1 << 31;

// Of a completion, doubleword by doubleword.
const INDEX: u32 = 0xFFF;
const BEGIN_AND_END: u32 = 3 << 14;
const NOT_CHECKED: u32 = 1 << 30;
const LENGTH: u32 = 0x3FFF;
const DAMAGED: u32 = 1 << 14;
const TRANSPORT_RIGHT: u32 = 1 << 16;
const IS_TCP_OR_UDP: u32 = 3 << 17;
const IP_RIGHT: u32 = 1 << 19;
const IS_FRAGMENT: u32 = 1 << 22;

/// The receiving half.
pub(super) struct ReceiveRing<R> {
    /// Windows of BAR 0 and BAR 1.
    queues: R,
    device: R,
    /// What is shared with the device, for ever.
    shared: DmaBuffer,
    irq: Option<Irq>,
    link: LinkState,
    ring: DmaBuffer,
    buffers: DmaBuffer,
    /// The completion to look at next, and its generation bit when it is there.
    next: usize,
    generation: u32,
    /// The descriptor to give back next, and the generation bit it gets.
    give: usize,
    give_generation: u32,
}

impl<R: Registers> ReceiveRing<R> {
    /// Allocates the ring and describes it in the shared memory.
    pub(super) fn new(
        queues: R,
        device: R,
        shared: DmaBuffer,
        irq: Option<Irq>,
    ) -> Result<Self, OutOfMemory> {
        let ring = DmaBuffer::new(COMPLETIONS_AT + COMPLETIONS * ENTRY_BYTES)?;
        let buffers = DmaBuffer::uncleared(DESCRIPTORS * BUFFER_BYTES)?;
        let at = shared::RECEIVE_QUEUE;
        for (offset, place) in [
            (shared::RING, 0),
            (shared::SECOND_RING, SECOND_AT),
            (shared::COMPLETIONS, COMPLETIONS_AT),
        ] {
            shared.write(at + offset, ring.phys() + place as u64);
        }
        shared.write(at + shared::RING_LEN, DESCRIPTORS as u32);
        shared.write(at + shared::SECOND_RING_LEN, SECOND_DESCRIPTORS as u32);
        shared.write(at + shared::COMPLETIONS_LEN, COMPLETIONS as u32);
        let mut this = Self {
            queues,
            device,
            shared,
            irq,
            link: LinkState::default(),
            ring,
            buffers,
            next: 0,
            generation: COMPLETION_GENERATION,
            give: 0,
            give_generation: DESCRIPTOR_GENERATION,
        };
        // One always stays with us: else a full ring would look like an empty one.
        this.give_up_to(DESCRIPTORS - 1);
        Ok(this)
    }

    /// Tells the device of all buffers; it runs now.
    pub(super) fn start(&mut self) {
        self.queues.write(RECEIVE_INDEX, self.give as u32);
        self.note_link();
    }

    /// Gives descriptors to the device, up to that one.
    fn give_up_to(&mut self, end: usize) {
        while self.give != end {
            let at = self.give * ENTRY_BYTES;
            let address = self.buffers.phys() + (self.give * BUFFER_BYTES) as u64;
            self.ring.write(at, address);
            fence(Ordering::SeqCst);
            self.ring
                .write(at + 8, BUFFER_BYTES as u32 | self.give_generation);
            self.give = (self.give + 1) % DESCRIPTORS;
            if self.give == 0 {
                self.give_generation ^= DESCRIPTOR_GENERATION;
            }
            let wants_index: u8 = self
                .shared
                .read(shared::RECEIVE_QUEUE + shared::WANTS_INDEX);
            if self.give.is_multiple_of(RETURN_BATCH) && wants_index != 0 {
                self.queues.write(RECEIVE_INDEX, self.give as u32);
            }
        }
    }

    fn completion(&self, word: usize) -> u32 {
        self.ring
            .read(COMPLETIONS_AT + self.next * ENTRY_BYTES + 4 * word)
    }

    fn note_link(&mut self) {
        self.device.write(COMMAND, GET_LINK);
        let is_up = self.device.read(COMMAND) & LINK_UP != 0;
        self.link.is("vmxnet3", is_up);
    }
}

impl<R: Registers> Receiver for ReceiveRing<R> {
    fn irq(&self) -> Option<Irq> {
        self.irq
    }

    fn acknowledge(&mut self) {
        let Some(irq) = self.irq.filter(Irq::take_pending) else {
            return;
        };
        self.device.read(INTERRUPT);
        irq.done();
        let events: u32 = self.shared.read(shared::EVENTS);
        if events != 0 {
            self.device.write(EVENTS, events);
            if events & EVENT_QUEUE_ERRORS != 0 {
                log::error!("network: vmxnet3 has stopped a queue");
            }
            if events & EVENT_LINK != 0 {
                self.note_link();
            }
        }
    }

    #[inline]
    fn is_ready(&self) -> bool {
        self.completion(3) & COMPLETION_GENERATION == self.generation
    }

    fn frame(&mut self) -> Option<Frame<'_>> {
        // As many rounds as there are completions, so that a device that always has another cannot keep us here.
        for _ in 0..COMPLETIONS {
            let flags = self.completion(3);
            if flags & COMPLETION_GENERATION != self.generation {
                return None;
            }
            let (first, third) = (self.completion(0), self.completion(2));
            let (index, len) = ((first & INDEX) as usize, (third & LENGTH) as usize);
            if index < DESCRIPTORS
                && first & BEGIN_AND_END == BEGIN_AND_END
                && third & DAMAGED == 0
                && (MIN_FRAME_BYTES..=BUFFER_BYTES).contains(&len)
            {
                let start = index * BUFFER_BYTES;
                let right = TRANSPORT_RIGHT | IP_RIGHT;
                return Some(Frame {
                    bytes: self.buffers.bytes(start..start + len),
                    is_verified: first & NOT_CHECKED == 0
                        && flags & (right | IS_FRAGMENT) == right
                        && flags & IS_TCP_OR_UDP != 0,
                });
            }
            self.release();
        }
        None
    }

    fn release(&mut self) {
        if !self.is_ready() {
            return;
        }
        let index = (self.completion(0) & INDEX) as usize;
        self.next = (self.next + 1) % COMPLETIONS;
        if self.next == 0 {
            self.generation ^= COMPLETION_GENERATION;
        }
        // The device may have passed over descriptors. What it names is with us from now on, and all before it with the device.
        if index < DESCRIPTORS {
            self.give_up_to(index);
        }
    }
}
