//! The receive ring (data sheet, section 6.1): bytes that the device goes round, with a header of four bytes in front of each frame.

use super::registers::{
    COMMAND, COMMAND_ON, COMMAND_TRANSMIT, LINK_CHANGED, MEDIA, MEDIA_LINK_DOWN, Ports, READ,
    READ_BIAS, RECEIVE_ADDRESS, RECEIVE_CONFIGURATION, RECEIVE_FIXED, STATUS, WRITTEN,
};
use crate::arch::interrupts::Irq;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::network::{Frame, LinkState, Receiver};
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

/// What [`RECEIVE_FIXED`] says.
const RING_BYTES: usize = 32 * 1024;
/// The device wants this much behind the ring.
const RING_TAIL_BYTES: usize = 16;
/// The device is told of so much at once that it can write again.
const RETURN_BYTES: usize = RING_BYTES / 4;
/// In front of a frame: status and length, 16 bits each.
const HEADER_BYTES: usize = 4;
const STATUS_GOOD: u16 = 1;
/// The length of a frame that is being moved.
const UNFINISHED: usize = 0xFFF0;
/// The frame check sequence counts.
const CHECK_BYTES: usize = 4;
const MIN_FRAME_BYTES: usize = 14;
/// With the tag of a virtual network.
pub(super) const MAX_FRAME_BYTES: usize = 1518;

/// The receiving half.
pub(super) struct ReceiveRing<P> {
    ports: P,
    irq: Option<Irq>,
    link: LinkState,
    ring: DmaBuffer,
    /// Where the next header is, a multiple of four.
    next: usize,
    /// How many bytes from there on the device has written.
    available: usize,
    /// Bytes that were read since the device was last told.
    returned: usize,
    /// The length of the frame that is lent, with its check sequence.
    lent: Option<usize>,
    /// A frame that the end of the ring cuts in two.
    joined: [u8; MAX_FRAME_BYTES],
}

impl<P: Ports> ReceiveRing<P> {
    /// Allocates the ring and tells the device of it. The receiver is not on yet.
    pub(super) fn new(ports: P, irq: Option<Irq>) -> Result<Self, OutOfMemory> {
        let ring = DmaBuffer::uncleared(RING_BYTES + RING_TAIL_BYTES)?;
        ports.write32(RECEIVE_ADDRESS, ring.phys() as u32);
        Ok(Self {
            ports,
            irq,
            link: LinkState::default(),
            ring,
            next: 0,
            available: 0,
            returned: 0,
            lent: None,
            joined: [0; MAX_FRAME_BYTES],
        })
    }

    /// Asks the device how far it has written. It never fills the ring, so as far as it was read means nothing.
    fn look(&mut self) {
        let written = usize::from(self.ports.read16(WRITTEN));
        self.available = written.wrapping_sub(self.next) % RING_BYTES;
    }

    /// The length of the next frame, with its check sequence, when it is there as a whole.
    fn whole(&mut self) -> Option<usize> {
        if self.available < HEADER_BYTES {
            return None;
        }
        let status: u16 = self.ring.read(self.next);
        let len = usize::from(self.ring.read::<u16>(self.next + 2));
        if len == UNFINISHED {
            // When it is finished, the device interrupts.
            self.available = 0;
            return None;
        }
        if HEADER_BYTES + len > self.available {
            // It may have been finished after the look.
            self.look();
        }
        if status & STATUS_GOOD == 0
            || len < MIN_FRAME_BYTES + CHECK_BYTES
            || HEADER_BYTES + len > self.available
        {
            log::warn!("network: rtl8139: the ring makes no sense; it is emptied");
            self.restart();
            return None;
        }
        Some(len)
    }

    /// Goes on behind a frame.
    fn pass(&mut self, len: usize) {
        let bytes = (HEADER_BYTES + len).next_multiple_of(4);
        self.next = (self.next + bytes) % RING_BYTES;
        self.available = self.available.saturating_sub(bytes);
        self.returned += bytes;
        if self.available < HEADER_BYTES || self.returned >= RETURN_BYTES {
            self.give_back();
        }
    }

    /// Tells the device how far the ring was read.
    fn give_back(&mut self) {
        self.returned = 0;
        self.ports
            .write16(READ, (self.next as u16).wrapping_sub(READ_BIAS));
    }

    /// Has the device begin with an empty ring.
    fn restart(&mut self) {
        self.ports.write8(COMMAND, COMMAND_TRANSMIT);
        self.ports.write8(COMMAND, COMMAND_ON);
        self.ports.write32(RECEIVE_CONFIGURATION, RECEIVE_FIXED);
        self.next = usize::from(self.ports.read16(WRITTEN)) % RING_BYTES;
        // Headers are there alone.
        self.next -= self.next % HEADER_BYTES;
        self.available = 0;
        self.lent = None;
        self.give_back();
    }
}

impl<P: Ports> Receiver for ReceiveRing<P> {
    fn irq(&self) -> Option<Irq> {
        self.irq
    }

    fn acknowledge(&mut self) {
        if self.irq.is_some_and(|irq| !irq.take_pending()) {
            return;
        }
        let causes = self.ports.read16(STATUS);
        self.ports.write16(STATUS, causes);
        if let Some(irq) = self.irq {
            irq.done();
        }
        if causes & LINK_CHANGED != 0 {
            let is_up = self.ports.read8(MEDIA) & MEDIA_LINK_DOWN == 0;
            self.link.is("rtl8139", is_up);
        }
        // After its cause was taken away: what comes behind this interrupts again.
        self.look();
    }

    #[inline]
    fn is_ready(&self) -> bool {
        self.available >= HEADER_BYTES
    }

    fn frame(&mut self) -> Option<Frame<'_>> {
        // Frames that are too long are passed: the ring cannot hold as many at once, but a device can make up more for ever.
        let len = (0..RING_BYTES / MAX_FRAME_BYTES).find_map(|_| {
            let len = self.whole();
            match len {
                Some(len) if len > MAX_FRAME_BYTES + CHECK_BYTES => {
                    self.pass(len);
                    None
                }
                _ => Some(len),
            }
        })??;
        self.lent = Some(len);
        let start = (self.next + HEADER_BYTES) % RING_BYTES;
        let bytes = len - CHECK_BYTES;
        let to_end = bytes.min(RING_BYTES - start);
        let bytes = if to_end == bytes {
            self.ring.bytes(start..start + bytes)
        } else {
            let (head, tail) = self.joined[..bytes].split_at_mut(to_end);
            head.copy_from_slice(self.ring.bytes(start..RING_BYTES));
            tail.copy_from_slice(self.ring.bytes(0..tail.len()));
            &self.joined[..bytes]
        };
        Some(Frame {
            bytes,
            is_verified: false,
        })
    }

    fn release(&mut self) {
        if let Some(len) = self.lent.take() {
            self.pass(len);
        }
    }
}
