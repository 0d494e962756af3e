//! The receive list (manual, section 4.2.2): a ring of descriptors with a buffer each for ever.

use super::registers::{NO_BUFFER, RECEIVE_LIST, RECEIVE_POLL, STATUS};
use crate::arch::interrupts::Irq;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::network::{Frame, Receiver};
use crate::devices::registers::Registers;
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

const DESCRIPTORS: usize = 64;
/// As often the device is told that it has buffers again, should it have run out of them.
const RETURN_BATCH: usize = 16;
const DESCRIPTOR_BYTES: usize = 16;
const BUFFER_BYTES: usize = 2048;
/// What the device may use of a buffer: a multiple of four below 2048.
const BUFFER_USED: u32 = 1536;
const MIN_FRAME_BYTES: usize = 14;
/// The frame check sequence counts.
const CHECK_BYTES: usize = 4;

const OWN: u32 = 1 << 31;
const LENGTH_AT: u32 = 16;
const LENGTH: u32 = 0x3FFF;
const ERROR: u32 = 1 << 15;
const BEGIN_AND_END: u32 = 3 << 8;
/// In the second longword: the ring ends here.
const END_OF_RING: u32 = 1 << 25;

/// The receiving half.
pub(super) struct ReceiveRing<R> {
    registers: R,
    irq: Option<Irq>,
    descriptors: DmaBuffer,
    buffers: DmaBuffer,
    next: usize,
}

impl<R: Registers> ReceiveRing<R> {
    /// Allocates the list and tells the device of it. The receiver is not on yet.
    pub(super) fn new(registers: R, irq: Option<Irq>) -> Result<Self, OutOfMemory> {
        let descriptors = DmaBuffer::new(DESCRIPTORS * DESCRIPTOR_BYTES)?;
        let buffers = DmaBuffer::uncleared(DESCRIPTORS * BUFFER_BYTES)?;
        for index in 0..DESCRIPTORS {
            let at = index * DESCRIPTOR_BYTES;
            let is_last = index == DESCRIPTORS - 1;
            let end = if is_last { END_OF_RING } else { 0 };
            descriptors.write(at + 4, BUFFER_USED | end);
            let address = buffers.phys() + (index * BUFFER_BYTES) as u64;
            descriptors.write(at + 8, address as u32);
            descriptors.write(at, OWN);
        }
        registers.write(RECEIVE_LIST, descriptors.phys() as u32);
        Ok(Self {
            registers,
            irq,
            descriptors,
            buffers,
            next: 0,
        })
    }

    fn status(&self) -> u32 {
        self.descriptors.read(self.next * DESCRIPTOR_BYTES)
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
        let causes = self.registers.read(STATUS);
        self.registers.write(STATUS, causes);
        irq.done();
        if causes & NO_BUFFER != 0 {
            self.registers.write(RECEIVE_POLL, 1);
        }
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
            let len = (status >> LENGTH_AT & LENGTH) as usize;
            if status & (ERROR | BEGIN_AND_END) == BEGIN_AND_END
                && (MIN_FRAME_BYTES + CHECK_BYTES..=BUFFER_USED as usize).contains(&len)
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
        self.descriptors.write(self.next * DESCRIPTOR_BYTES, OWN);
        self.next = (self.next + 1) % DESCRIPTORS;
        if self.next.is_multiple_of(RETURN_BATCH) {
            self.registers.write(RECEIVE_POLL, 1);
        }
    }
}
