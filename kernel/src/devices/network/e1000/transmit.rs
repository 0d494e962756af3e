//! The transmit ring (manual, section 3.3): data descriptors with a buffer each, and a context descriptor before the first frame of
//! another checksum layout.

use super::registers::{Registers, TDBAH, TDBAL, TDH, TDLEN, TDT};
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::network::{ChecksumRequest, Device, Offload, Transmitter};
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

const DESCRIPTORS: usize = 64;
const DESCRIPTOR_BYTES: usize = 16;
const BUFFER_BYTES: usize = 2048;

// Second half of a data descriptor (section 3.3.7).
const EXTENDED_DATA: u64 = 1 << 20 | 1 << 29;
const END_OF_PACKET: u64 = 1 << 24;
const INSERT_FCS: u64 = 1 << 25;
const REPORT_STATUS: u64 = 1 << 27;
const DONE: u64 = 1 << 32;
const INSERT_TRANSPORT_CHECKSUM: u64 = 1 << 41;

// Second half of a context descriptor (section 3.3.6): extended, type 0.
const CONTEXT: u64 = 1 << 29;
const CONTEXT_TCP: u64 = 1 << 24;

/// The sending half of a controller.
pub(super) struct TransmitRing<R> {
    registers: R,
    descriptors: DmaBuffer,
    buffers: DmaBuffer,
    /// The descriptor to fill next.
    next: usize,
    /// Oldest descriptor that the device may still be using.
    oldest: usize,
    /// What the tail register holds.
    flushed: usize,
    /// The checksum layout the device has in its context.
    context: Option<ChecksumRequest>,
}

impl<R: Registers> TransmitRing<R> {
    /// Allocates the ring and tells the device of it. The transmitter is not on yet.
    pub(super) fn new(registers: R) -> Result<Self, OutOfMemory> {
        let descriptors = DmaBuffer::new(DESCRIPTORS * DESCRIPTOR_BYTES)?;
        let buffers = DmaBuffer::uncleared(DESCRIPTORS * BUFFER_BYTES)?;
        registers.write(TDBAL, descriptors.phys() as u32);
        registers.write(TDBAH, (descriptors.phys() >> 32) as u32);
        registers.write(TDLEN, (DESCRIPTORS * DESCRIPTOR_BYTES) as u32);
        registers.write(TDH, 0);
        registers.write(TDT, 0);
        Ok(Self {
            registers,
            descriptors,
            buffers,
            next: 0,
            oldest: 0,
            flushed: 0,
            context: None,
        })
    }

    fn free_descriptors(&self) -> usize {
        // One stays free: head equal to tail means empty.
        DESCRIPTORS - 1 - (self.next + DESCRIPTORS - self.oldest) % DESCRIPTORS
    }

    fn push(&mut self, first: u64, second: u64) {
        let descriptor = self.next * DESCRIPTOR_BYTES;
        self.descriptors.write(descriptor, first);
        self.descriptors.write(descriptor + 8, second);
        self.next = (self.next + 1) % DESCRIPTORS;
    }

    fn push_context(&mut self, request: ChecksumRequest) {
        let checksum = u64::from(request.start) << 32 | u64::from(request.at) << 40;
        // An end of 0 means to the end of the packet. The status is reported, so that the ring empties in order.
        self.push(checksum, CONTEXT | REPORT_STATUS | CONTEXT_TCP);
        self.context = Some(request);
    }

    /// Takes the descriptors back that the device is done with.
    fn collect(&mut self) {
        while self.oldest != self.next {
            let status: u64 = self.descriptors.read(self.oldest * DESCRIPTOR_BYTES + 8);
            if status & DONE == 0 {
                return;
            }
            self.oldest = (self.oldest + 1) % DESCRIPTORS;
        }
    }
}

impl<R: Registers> Transmitter for TransmitRing<R> {
    fn has_sent_all(&mut self) -> bool {
        self.collect();
        self.oldest == self.next
    }
}

impl<R: Registers> Device for TransmitRing<R> {
    fn has_room(&mut self) -> bool {
        // A frame needs two descriptors at most. Only when they run out the finished ones are collected.
        if self.free_descriptors() < 2 {
            self.collect();
        }
        self.free_descriptors() >= 2
    }

    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        // The buffer one further on, because a context descriptor may come in between.
        let start = (self.next + 1) % DESCRIPTORS * BUFFER_BYTES;
        self.buffers.bytes_mut(start..start + len_bytes)
    }

    fn send(&mut self, len_bytes: usize, offload: Offload) {
        let start = (self.next + 1) % DESCRIPTORS * BUFFER_BYTES;
        let address = self.buffers.phys() + start as u64;
        let len = len_bytes.min(BUFFER_BYTES) as u64;
        let mut second = len | EXTENDED_DATA | END_OF_PACKET | INSERT_FCS | REPORT_STATUS;
        if let Some(request) = offload.checksum {
            if self.context != Some(request) {
                self.push_context(request);
            }
            second |= INSERT_TRANSPORT_CHECKSUM;
        }
        self.push(address, second);
    }

    fn flush(&mut self) {
        if self.flushed != self.next {
            self.registers.write(TDT, self.next as u32);
            self.flushed = self.next;
        }
    }
}
