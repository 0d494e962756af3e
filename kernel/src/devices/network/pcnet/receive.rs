//! The receive ring (data sheet, "Receive Descriptors"): descriptors with a buffer each for ever. The device looks for buffers by itself.

use super::registers::{DATA, STATUS_EVENTS, STATUS_INTERRUPTS};
use super::{DESCRIPTOR_BYTES, DESCRIPTORS};
use crate::arch::interrupts::Irq;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::network::{Frame, Receiver};
use crate::devices::registers::Registers;
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

const BUFFER_BYTES: usize = 1536;
const MIN_FRAME_BYTES: usize = 14;
/// The frame check sequence counts.
const CHECK_BYTES: usize = 4;

// Where the words of a descriptor are.
const ADDRESS: usize = 0;
const STATUS: usize = 4;
const LENGTH: usize = 8;

const OWN: u32 = 1 << 31;
const ERROR: u32 = 1 << 30;
const BEGIN_AND_END: u32 = 3 << 24;
/// The device's, with the length of its buffer: the two's complement in twelve bits below four that are ones.
const EMPTY: u32 = OWN | (BUFFER_BYTES as u32).wrapping_neg() & 0xFFFF;
const LENGTH_MASK: u32 = 0xFFF;

/// The receiving half.
pub(super) struct ReceiveRing<R> {
    registers: R,
    irq: Option<Irq>,
    descriptors: DmaBuffer,
    buffers: DmaBuffer,
    next: usize,
}

impl<R: Registers> ReceiveRing<R> {
    /// Allocates the ring, full of empty buffers.
    pub(super) fn new(registers: R, irq: Option<Irq>) -> Result<Self, OutOfMemory> {
        let descriptors = DmaBuffer::new(DESCRIPTORS * DESCRIPTOR_BYTES)?;
        let buffers = DmaBuffer::uncleared(DESCRIPTORS * BUFFER_BYTES)?;
        for index in 0..DESCRIPTORS {
            let at = index * DESCRIPTOR_BYTES;
            let address = buffers.phys() + (index * BUFFER_BYTES) as u64;
            descriptors.write(at + ADDRESS, address as u32);
            descriptors.write(at + STATUS, EMPTY);
        }
        Ok(Self {
            registers,
            irq,
            descriptors,
            buffers,
            next: 0,
        })
    }

    /// Where the ring is.
    pub(super) fn descriptors(&self) -> u32 {
        self.descriptors.phys() as u32
    }

    fn status(&self) -> u32 {
        self.descriptors.read(self.next * DESCRIPTOR_BYTES + STATUS)
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
        let events = self.registers.read(DATA) & STATUS_EVENTS;
        self.registers.write(DATA, events | STATUS_INTERRUPTS);
        irq.done();
    }

    #[inline]
    fn is_ready(&self) -> bool {
        self.status() & OWN == 0
    }

    fn frame(&mut self) -> Option<Frame<'_>> {
        // As many rounds as there are descriptors, so that a device that owns none of them cannot keep us here.
        for _ in 0..DESCRIPTORS {
            let status = self.status();
            if status & OWN != 0 {
                return None;
            }
            let length: u32 = self.descriptors.read(self.next * DESCRIPTOR_BYTES + LENGTH);
            let len = (length & LENGTH_MASK) as usize;
            if status & (ERROR | BEGIN_AND_END) == BEGIN_AND_END
                && (MIN_FRAME_BYTES + CHECK_BYTES..=BUFFER_BYTES).contains(&len)
            {
                let start = self.next * BUFFER_BYTES;
                return Some(Frame {
                    bytes: self.buffers.bytes(start..start + len - CHECK_BYTES),
                    is_verified: false,
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
        self.descriptors
            .write(self.next * DESCRIPTOR_BYTES + STATUS, EMPTY);
        self.next = (self.next + 1) % DESCRIPTORS;
    }
}
