//! The receive ring (manual, section 3.2): legacy descriptors of 16 bytes, each with a buffer of its own for ever.

use super::Model;
use super::registers::{ICR, INT_LSC, RDBAH, RDBAL, RDH, RDLEN, RDT, Registers, STATUS, STATUS_LU};
use crate::arch::interrupts::Irq;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::network::{Frame, LinkState, Receiver};
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

const DESCRIPTORS: usize = 64;
/// As many buffers are given back at once.
const RETURN_BATCH: usize = 16;
const DESCRIPTOR_BYTES: usize = 16;
/// What RCTL's size bits say; the controller never writes more into one buffer.
const BUFFER_BYTES: usize = 2048;
/// Shorter is no Ethernet frame.
const MIN_FRAME_BYTES: usize = 14;

// Where the fields of a descriptor are.
const LENGTH: usize = 8;
const STATUS_ERRORS: usize = 12;

const STATUS_DONE: u16 = 1 << 0;
const STATUS_END_OF_PACKET: u16 = 1 << 1;
const STATUS_IGNORE_CHECKSUM: u16 = 1 << 2;
const STATUS_TCP_CHECKED: u16 = 1 << 5;
const STATUS_IP_CHECKED: u16 = 1 << 6;
/// CRC or alignment, sequence, symbol, carrier extension, receive data errors: the frame is damaged.
const ERRORS_FRAME: u16 = 0x97 << 8;
/// TCP/UDP or IP checksum wrong.
const ERRORS_CHECKSUM: u16 = 0x60 << 8;

/// The receiving half of a controller.
pub(super) struct ReceiveRing<R> {
    registers: R,
    irq: Option<Irq>,
    model: &'static Model,
    link: LinkState,
    descriptors: DmaBuffer,
    buffers: DmaBuffer,
    /// The descriptor that the device fills next.
    next: usize,
    /// The rest of a frame that began in an earlier buffer is still to come (and is dropped).
    is_inside_long_frame: bool,
}

impl<R: Registers> ReceiveRing<R> {
    /// Allocates the ring and tells the device of it. The receiver is not on yet.
    pub(super) fn new(
        registers: R,
        irq: Option<Irq>,
        model: &'static Model,
    ) -> Result<Self, OutOfMemory> {
        let descriptors = DmaBuffer::new(DESCRIPTORS * DESCRIPTOR_BYTES)?;
        let buffers = DmaBuffer::uncleared(DESCRIPTORS * BUFFER_BYTES)?;
        for index in 0..DESCRIPTORS {
            let address = buffers.phys() + (index * BUFFER_BYTES) as u64;
            descriptors.write(index * DESCRIPTOR_BYTES, address);
        }
        registers.write(RDBAL, descriptors.phys() as u32);
        registers.write(RDBAH, (descriptors.phys() >> 32) as u32);
        registers.write(RDLEN, (DESCRIPTORS * DESCRIPTOR_BYTES) as u32);
        registers.write(RDH, 0);
        // Head equal to tail means empty, so one descriptor always stays with us.
        registers.write(RDT, DESCRIPTORS as u32 - 1);
        Ok(Self {
            registers,
            irq,
            model,
            link: LinkState::default(),
            descriptors,
            buffers,
            next: 0,
            is_inside_long_frame: false,
        })
    }

    fn status_errors(&self) -> u16 {
        self.descriptors
            .read(self.next * DESCRIPTOR_BYTES + STATUS_ERRORS)
    }
}

impl<R: Registers> Receiver for ReceiveRing<R> {
    fn irq(&self) -> Option<Irq> {
        self.irq
    }

    #[inline]
    fn is_ready(&self) -> bool {
        self.status_errors() & STATUS_DONE != 0
    }

    fn acknowledge(&mut self) {
        if let Some(irq) = self.irq
            && irq.take_pending()
        {
            let causes = self.registers.read(ICR);
            if self.model.is_82574 {
                self.registers.write(ICR, causes);
            }
            irq.done();
            if causes & INT_LSC != 0 {
                self.link.is(
                    self.model.driver,
                    self.registers.read(STATUS) & STATUS_LU != 0,
                );
            }
        }
    }

    fn frame(&mut self) -> Option<Frame<'_>> {
        // As many rounds as there are descriptors, so that a device that always says "done" cannot keep us here.
        for _ in 0..DESCRIPTORS {
            let status = self.status_errors();
            if status & STATUS_DONE == 0 {
                return None;
            }
            let len: u16 = self.descriptors.read(self.next * DESCRIPTOR_BYTES + LENGTH);
            let len = usize::from(len);
            let is_last = status & STATUS_END_OF_PACKET != 0;
            let is_whole = is_last && !self.is_inside_long_frame;
            self.is_inside_long_frame = !is_last;
            if is_whole
                && status & ERRORS_FRAME == 0
                && (MIN_FRAME_BYTES..=BUFFER_BYTES).contains(&len)
            {
                let start = self.next * BUFFER_BYTES;
                let checked = STATUS_TCP_CHECKED | STATUS_IP_CHECKED;
                return Some(Frame {
                    bytes: self.buffers.bytes(start..start + len),
                    is_verified: status & (checked | STATUS_IGNORE_CHECKSUM | ERRORS_CHECKSUM)
                        == checked,
                });
            }
            self.release();
        }
        None
    }

    fn release(&mut self) {
        if self.status_errors() & STATUS_DONE == 0 {
            return;
        }
        let descriptor = self.next * DESCRIPTOR_BYTES;
        self.descriptors.write(descriptor + STATUS_ERRORS, 0u16);
        let freed = self.next;
        self.next = (self.next + 1) % DESCRIPTORS;
        // Telling the device costs a trip out of the virtual machine, so it is told of several buffers at once.
        if self.next.is_multiple_of(RETURN_BATCH) {
            self.registers.write(RDT, freed as u32);
        }
    }
}
