//! The transmit ring: descriptors with a buffer each, and completions that say how far the device is.

use core::sync::atomic::{Ordering, fence};

use super::registers::{COMPLETION_GENERATION, ENTRY_BYTES, TRANSMIT_INDEX, shared};
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::network::{Device, Offload, Transmitter};
use crate::devices::registers::Registers;
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

const DESCRIPTORS: usize = 64;
const BUFFER_BYTES: usize = 2048;
const COMPLETIONS_AT: usize = DESCRIPTORS * ENTRY_BYTES;
/// A completion, which may interrupt, is asked for once in so many frames: it stands for those before.
const COMPLETION_BATCH: usize = 16;

// Third and fourth doubleword of a descriptor.
const GENERATION: u32 = 1 << 14;
const CHECKSUM_AT: u32 = 18;
const CHECKSUM: u32 = 2 << 10;
const END_OF_PACKET: u32 = 1 << 12;
const WANTS_COMPLETION: u32 = 1 << 13;
/// Of a completion: the descriptor it is for.
const INDEX: u32 = 0xFFF;

/// The sending half.
pub(super) struct TransmitRing<R> {
    queues: R,
    ring: DmaBuffer,
    buffers: DmaBuffer,
    /// The descriptor to fill next, and the generation bit it gets.
    next: usize,
    generation: u32,
    /// Oldest descriptor that the device may still be using.
    oldest: usize,
    /// The completion to look at next, and its generation bit when it is there.
    completion: usize,
    completion_generation: u32,
    is_unpublished: bool,
}

impl<R: Registers> TransmitRing<R> {
    /// Allocates the ring and describes it in the shared memory.
    pub(super) fn new(queues: R, shared: &DmaBuffer) -> Result<Self, OutOfMemory> {
        let ring = DmaBuffer::new(2 * DESCRIPTORS * ENTRY_BYTES)?;
        let at = shared::TRANSMIT_QUEUE;
        shared.write(at + shared::RING, ring.phys());
        let completions = ring.phys() + COMPLETIONS_AT as u64;
        shared.write(at + shared::COMPLETIONS, completions);
        shared.write(at + shared::RING_LEN, DESCRIPTORS as u32);
        shared.write(at + shared::COMPLETIONS_LEN, DESCRIPTORS as u32);
        Ok(Self {
            queues,
            ring,
            buffers: DmaBuffer::uncleared(DESCRIPTORS * BUFFER_BYTES)?,
            next: 0,
            generation: GENERATION,
            oldest: 0,
            completion: 0,
            completion_generation: COMPLETION_GENERATION,
            is_unpublished: false,
        })
    }

    fn is_full(&self) -> bool {
        (self.next + 1) % DESCRIPTORS == self.oldest
    }

    /// Takes the completions that are there.
    fn collect(&mut self) {
        for _ in 0..DESCRIPTORS {
            let at = COMPLETIONS_AT + self.completion * ENTRY_BYTES;
            let flags: u32 = self.ring.read(at + 12);
            if flags & COMPLETION_GENERATION != self.completion_generation {
                return;
            }
            let index = (self.ring.read::<u32>(at) & INDEX) as usize;
            self.completion = (self.completion + 1) % DESCRIPTORS;
            if self.completion == 0 {
                self.completion_generation ^= COMPLETION_GENERATION;
            }
            // Only what the device has can be done.
            let distance = |to: usize| (to + DESCRIPTORS - self.oldest) % DESCRIPTORS;
            if index < DESCRIPTORS && distance(index) < distance(self.next) {
                self.oldest = (index + 1) % DESCRIPTORS;
            }
        }
    }
}

impl<R: Registers> Transmitter for TransmitRing<R> {}

impl<R: Registers> Device for TransmitRing<R> {
    fn has_room(&mut self) -> bool {
        if self.is_full() {
            self.collect();
        }
        !self.is_full()
    }

    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        let start = self.next * BUFFER_BYTES;
        self.buffers.bytes_mut(start..start + len_bytes)
    }

    fn send(&mut self, len_bytes: usize, offload: Offload) {
        let at = self.next * ENTRY_BYTES;
        let mut second = len_bytes.min(BUFFER_BYTES) as u32 | self.generation;
        let mut third = END_OF_PACKET;
        if (self.next + 1).is_multiple_of(COMPLETION_BATCH) {
            third |= WANTS_COMPLETION;
        }
        if let Some(request) = offload.checksum {
            second |= u32::from(request.at) << CHECKSUM_AT;
            third |= u32::from(request.start) | CHECKSUM;
        }
        let address = self.buffers.phys() + (self.next * BUFFER_BYTES) as u64;
        self.ring.write(at, address);
        self.ring.write(at + 12, third);
        // The generation bit last: it gives the descriptor away.
        fence(Ordering::SeqCst);
        self.ring.write(at + 8, second);
        self.next = (self.next + 1) % DESCRIPTORS;
        if self.next == 0 {
            self.generation ^= GENERATION;
        }
        self.is_unpublished = true;
    }

    fn flush(&mut self) {
        if self.is_unpublished {
            self.is_unpublished = false;
            self.queues.write(TRANSMIT_INDEX, self.next as u32);
        }
    }
}
