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
    /// The device has interrupted since all descriptors were its own.
    has_news: bool,
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
            has_news: false,
        })
    }

    /// Where the ring is.
    pub(super) fn descriptors(&self) -> u32 {
        self.descriptors.phys() as u32
    }

    fn status(&self) -> u32 {
        self.status_of(self.next)
    }

    fn status_of(&self, index: usize) -> u32 {
        self.descriptors.read(index * DESCRIPTOR_BYTES + STATUS)
    }

    /// Goes on to the next descriptor that the device has filled; whether there is any. That is where it went on before, but for QEMU's: if
    /// it finds its next one still full, it takes the first empty one behind that, though the driver may have emptied the next meanwhile
    /// (`pcnet_receive`). It comes back to those that it passed over a round later.
    #[cold]
    fn find_filled(&mut self) -> bool {
        let mut ring = (self.next..DESCRIPTORS).chain(0..self.next);
        let filled = ring.find(|&index| self.status_of(index) & OWN == 0);
        self.next = filled.unwrap_or(self.next);
        filled.is_some()
    }
}

impl<R: Registers> Receiver for ReceiveRing<R> {
    fn irq(&self) -> Option<Irq> {
        self.irq
    }

    fn acknowledge(&mut self) {
        if let Some(irq) = self.irq {
            if !irq.take_pending() {
                return;
            }
            let events = self.registers.read(DATA) & STATUS_EVENTS;
            self.registers.write(DATA, events | STATUS_INTERRUPTS);
            irq.done();
        }
        self.has_news = true;
    }

    #[inline]
    fn is_ready(&self) -> bool {
        self.has_news || self.status() & OWN == 0
    }

    fn frame(&mut self) -> Option<Frame<'_>> {
        // As many rounds as there are descriptors, so that a device that owns none of them cannot keep us here.
        for _ in 0..DESCRIPTORS {
            let status = self.status();
            if status & OWN != 0 {
                self.has_news = self.has_news && self.find_filled();
                if !self.has_news {
                    return None;
                }
                continue;
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
        if self.status() & OWN != 0 {
            return;
        }
        self.descriptors
            .write(self.next * DESCRIPTOR_BYTES + STATUS, EMPTY);
        self.next = (self.next + 1) % DESCRIPTORS;
    }
}
