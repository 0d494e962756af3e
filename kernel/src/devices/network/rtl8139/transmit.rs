//! Sending (data sheet, section 6.2): four places with a buffer each, used in turn. Writing a place's length sends what is in it.

use core::sync::atomic::{Ordering, fence};

use super::registers::{
    Ports, SUMMARY_DONE, SUMMARY_GIVEN_UP, TRANSMIT_ADDRESS, TRANSMIT_CONFIGURATION,
    TRANSMIT_FIXED, TRANSMIT_GO_ON, TRANSMIT_LENGTH, TRANSMIT_SUMMARY, TRANSMIT_THRESHOLD,
};
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::network::{Device, Offload, Transmitter};
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

const PLACES: usize = 4;
const BUFFER_BYTES: usize = 2048;
/// What the device does not fill up by itself.
const MIN_SENT_BYTES: usize = 60;
/// More than the device sends.
const MAX_SENT_BYTES: usize = 1792;

/// The sending half.
pub(super) struct TransmitPlaces<P> {
    ports: P,
    buffers: DmaBuffer,
    /// The place to use next.
    next: usize,
    /// How many from there on are known to be free.
    free: usize,
}

impl<P: Ports> TransmitPlaces<P> {
    /// Allocates the buffers and tells the device of them.
    pub(super) fn new(ports: P) -> Result<Self, OutOfMemory> {
        let buffers = DmaBuffer::uncleared(PLACES * BUFFER_BYTES)?;
        for place in 0..PLACES {
            let address = buffers.phys() + (place * BUFFER_BYTES) as u64;
            ports.write32(TRANSMIT_ADDRESS + 4 * place as u16, address as u32);
        }
        Ok(Self {
            ports,
            buffers,
            next: 0,
            free: PLACES,
        })
    }

    /// Asks the device for its places' state, and has it go on where it has given a frame up.
    fn summary(&self) -> u16 {
        let summary = self.ports.read16(TRANSMIT_SUMMARY);
        if summary & SUMMARY_GIVEN_UP != 0 {
            self.ports
                .write32(TRANSMIT_CONFIGURATION, TRANSMIT_FIXED | TRANSMIT_GO_ON);
        }
        summary
    }
}

impl<P: Ports> Transmitter for TransmitPlaces<P> {
    fn has_sent_all(&mut self) -> bool {
        self.summary() & SUMMARY_DONE == SUMMARY_DONE
    }
}

impl<P: Ports> Device for TransmitPlaces<P> {
    fn has_room(&mut self) -> bool {
        if self.free == 0 {
            let summary = self.summary();
            let is_done = |place: &usize| summary >> ((self.next + place) % PLACES) & 1 != 0;
            self.free = (0..PLACES).take_while(is_done).count();
        }
        self.free > 0
    }

    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        let start = self.next * BUFFER_BYTES;
        self.buffers.bytes_mut(start..start + len_bytes)
    }

    fn send(&mut self, len_bytes: usize, _: Offload) {
        let len = len_bytes.clamp(MIN_SENT_BYTES, MAX_SENT_BYTES);
        if len_bytes < len {
            self.buffer(len)[len_bytes..].fill(0);
        }
        fence(Ordering::SeqCst);
        self.ports.write32(
            TRANSMIT_LENGTH + 4 * self.next as u16,
            len as u32 | TRANSMIT_THRESHOLD,
        );
        self.next = (self.next + 1) % PLACES;
        self.free = self.free.saturating_sub(1);
    }

    fn flush(&mut self) {
        // Each frame is on its way already.
    }
}
