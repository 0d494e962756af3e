//! The transmit list (manual, section 4.2.3): a ring of descriptors with a buffer each, the first of which carries a setup frame, which
//! tells the device whose frames to receive (section 4.2.3.1).

use core::sync::atomic::{Ordering, fence};

use super::registers::{TRANSMIT_LIST, TRANSMIT_POLL};
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::network::{Device, Offload, Transmitter};
use crate::devices::patience::wait_until;
use crate::devices::registers::Registers;
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

const DESCRIPTORS: usize = 64;
const DESCRIPTOR_BYTES: usize = 16;
const BUFFER_BYTES: usize = 2048;

const OWN: u32 = 1 << 31;
const END_OF_RING: u32 = 1 << 25;
const BEGIN_AND_END: u32 = 3 << 29;
const SETUP: u32 = 1 << 27;
const SETUP_BYTES: usize = 192;
/// Addresses in a setup frame.
const SETUP_ADDRESSES: usize = 16;
const SETUP_LIMIT_NS: u64 = 100_000_000;

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
    /// Allocates the list and tells the device of it. The transmitter is not on yet.
    pub(super) fn new(registers: R) -> Result<Self, OutOfMemory> {
        let descriptors = DmaBuffer::new(DESCRIPTORS * DESCRIPTOR_BYTES)?;
        registers.write(TRANSMIT_LIST, descriptors.phys() as u32);
        Ok(Self {
            registers,
            descriptors,
            buffers: DmaBuffer::uncleared(DESCRIPTORS * BUFFER_BYTES)?,
            next: 0,
            is_unpublished: false,
        })
    }

    /// Has the device, whose transmitter is on, receive frames to `mac` and broadcasts; whether it took that.
    pub(super) fn set_up(&mut self, mac: [u8; 6]) -> bool {
        let at = self.next * DESCRIPTOR_BYTES;
        let frame = self.buffer(SETUP_BYTES);
        // Each address three times two bytes, each two in a longword.
        for (index, entry) in frame.chunks_exact_mut(12).enumerate() {
            let is_ours = index == SETUP_ADDRESSES - 1;
            let address = if is_ours { mac } else { [0xFF; 6] };
            for (word, pair) in entry.chunks_exact_mut(4).zip(address.chunks_exact(2)) {
                word[..2].copy_from_slice(pair);
            }
        }
        self.push(SETUP | SETUP_BYTES as u32);
        self.flush();
        wait_until(SETUP_LIMIT_NS, || {
            self.descriptors.read::<u32>(at) & OWN == 0
        })
    }

    /// Gives the next descriptor to the device.
    fn push(&mut self, control: u32) {
        let at = self.next * DESCRIPTOR_BYTES;
        let is_last = self.next == DESCRIPTORS - 1;
        let end = if is_last { END_OF_RING } else { 0 };
        let address = self.buffers.phys() + (self.next * BUFFER_BYTES) as u64;
        self.descriptors.write(at + 4, control | end);
        self.descriptors.write(at + 8, address as u32);
        fence(Ordering::SeqCst);
        self.descriptors.write(at, OWN);
        self.next = (self.next + 1) % DESCRIPTORS;
        self.is_unpublished = true;
    }
}

impl<R: Registers> Transmitter for TransmitRing<R> {
    fn has_sent_all(&mut self) -> bool {
        let last = (self.next + DESCRIPTORS - 1) % DESCRIPTORS;
        self.descriptors.read::<u32>(last * DESCRIPTOR_BYTES) & OWN == 0
    }
}

impl<R: Registers> Device for TransmitRing<R> {
    fn has_room(&mut self) -> bool {
        // One descriptor stays empty: it stops the device, which else would go round.
        let after = (self.next + 1) % DESCRIPTORS;
        self.descriptors.read::<u32>(after * DESCRIPTOR_BYTES) & OWN == 0
    }

    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        let start = self.next * BUFFER_BYTES;
        self.buffers.bytes_mut(start..start + len_bytes)
    }

    fn send(&mut self, len_bytes: usize, _: Offload) {
        self.push(BEGIN_AND_END | len_bytes.min(BUFFER_BYTES - 1) as u32);
    }

    fn flush(&mut self) {
        if self.is_unpublished {
            self.is_unpublished = false;
            self.registers.write(TRANSMIT_POLL, 1);
        }
    }
}
