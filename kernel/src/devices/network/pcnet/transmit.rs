//! The transmit ring (data sheet, "Transmit Descriptors"): descriptors with a buffer each for ever.

use core::sync::atomic::{Ordering, fence};

use super::registers::{DATA, STATUS_INTERRUPTS, STATUS_TRANSMIT};
use super::{DESCRIPTOR_BYTES, DESCRIPTORS};
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::network::{Device, Offload, Transmitter};
use crate::devices::registers::Registers;
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

const BUFFER_BYTES: usize = 1536;

// Where the words of a descriptor are.
const ADDRESS: usize = 0;
const STATUS: usize = 4;
const ERRORS: usize = 8;

const OWN: u32 = 1 << 31;
const BEGIN_AND_END: u32 = 3 << 24;

/// The sending half.
pub(super) struct TransmitRing<R> {
    registers: R,
    descriptors: DmaBuffer,
    buffers: DmaBuffer,
    /// The descriptor to fill next.
    next: usize,
    is_unpublished: bool,
}

impl<R: Registers> TransmitRing<R> {
    /// Allocates the ring, empty.
    pub(super) fn new(registers: R) -> Result<Self, OutOfMemory> {
        let descriptors = DmaBuffer::new(DESCRIPTORS * DESCRIPTOR_BYTES)?;
        let buffers = DmaBuffer::uncleared(DESCRIPTORS * BUFFER_BYTES)?;
        for index in 0..DESCRIPTORS {
            let address = buffers.phys() + (index * BUFFER_BYTES) as u64;
            descriptors.write(index * DESCRIPTOR_BYTES + ADDRESS, address as u32);
        }
        Ok(Self {
            registers,
            descriptors,
            buffers,
            next: 0,
            is_unpublished: false,
        })
    }

    /// Where the ring is.
    pub(super) fn descriptors(&self) -> u32 {
        self.descriptors.phys() as u32
    }

    fn is_owned(&self, index: usize) -> bool {
        let status: u32 = self.descriptors.read(index * DESCRIPTOR_BYTES + STATUS);
        status & OWN != 0
    }
}

impl<R: Registers> Transmitter for TransmitRing<R> {
    fn has_sent_all(&mut self) -> bool {
        !self.is_owned((self.next + DESCRIPTORS - 1) % DESCRIPTORS)
    }
}

impl<R: Registers> Device for TransmitRing<R> {
    fn has_room(&mut self) -> bool {
        !self.is_owned(self.next)
    }

    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        let start = self.next * BUFFER_BYTES;
        self.buffers.bytes_mut(start..start + len_bytes)
    }

    fn send(&mut self, len_bytes: usize, _: Offload) {
        let at = self.next * DESCRIPTOR_BYTES;
        let len = len_bytes.min(BUFFER_BYTES) as u32;
        // The two's complement in twelve bits below four that are ones.
        let status = OWN | BEGIN_AND_END | len.wrapping_neg() & 0xFFFF;
        self.descriptors.write(at + ERRORS, 0_u32);
        fence(Ordering::SeqCst);
        self.descriptors.write(at + STATUS, status);
        self.next = (self.next + 1) % DESCRIPTORS;
        self.is_unpublished = true;
    }

    fn flush(&mut self) {
        if self.is_unpublished {
            self.is_unpublished = false;
            self.registers
                .write(DATA, STATUS_TRANSMIT | STATUS_INTERRUPTS);
        }
    }
}
