//! Requests of a virtio disk (section 5.2.6) as they lie on the queue: three entries each, for header, data and status.

use alloc::sync::Arc;

use super::UNIT_BYTES;
use crate::devices::block::BlockError;
use crate::devices::block::exchange::{Controller, Kind, Request};
use crate::devices::block::slots::{Fault, MAX_SLOTS};
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::virtio::queue::Queue;
use crate::devices::virtio::{Error, Transport};
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

/// Header, data, status.
const ENTRIES: u16 = 3;
/// Room for a header and a status in the buffer of headers.
const HEADER_STRIDE: usize = 32;
const HEADER_BYTES: u32 = 16;
const STATUS_AT: usize = 16;

const STATUS_OK: u8 = 0;
const STATUS_UNSUPPORTED: u8 = 2;
/// What no device answers: it stays where the device wrote no status.
const STATUS_NONE: u8 = 0xFF;

/// A queue of a disk.
pub(crate) struct Requests {
    transport: Arc<dyn Transport>,
    /// Its number.
    number: u16,
    queue: Queue,
    headers: DmaBuffer,
    /// What the device counts in, in a sector.
    units_per_sector: u64,
}

impl Requests {
    /// Length of a queue with room for so many requests at once.
    pub(crate) const fn queue_len(slots: u16) -> u16 {
        (slots * ENTRIES).next_power_of_two()
    }

    /// No requests yet, on `queue` with that number, and how many there can be.
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        number: u16,
        queue: Queue,
        sector_len_bytes: usize,
    ) -> Result<(Self, u16), Error> {
        let slots = (queue.len() / ENTRIES).min(MAX_SLOTS);
        if slots == 0 {
            return Err(Error::NoQueue);
        }
        let this = Self {
            transport,
            number,
            queue,
            headers: DmaBuffer::new(usize::from(slots) * HEADER_STRIDE)?,
            units_per_sector: (sector_len_bytes / UNIT_BYTES) as u64,
        };
        Ok((this, slots))
    }

    /// Asks the device not to interrupt, or to do so.
    pub(crate) fn set_silent(&mut self, is_silent: bool) {
        self.queue.set_silent(is_silent);
    }
}

impl Controller for Requests {
    fn send(&mut self, index: u16, phys: u64, request: &Request) {
        let kind: u32 = match request.kind {
            Kind::Read => 0,
            Kind::Write => 1,
            Kind::Flush => 4,
        };
        let at = usize::from(index) * HEADER_STRIDE;
        let first_unit = request.first_sector * self.units_per_sector;
        self.headers.write(at, [u64::from(kind), first_unit]);
        self.headers.write(at + STATUS_AT, STATUS_NONE);
        let address = self.headers.phys() + at as u64;
        let (header, data) = (index * ENTRIES, index * ENTRIES + 1);
        let status = data + 1;
        self.queue.set_buffer(header, address, HEADER_BYTES, false);
        self.queue
            .set_buffer(status, address + STATUS_AT as u64, 1, true);
        if request.kind == Kind::Flush {
            self.queue.link(header, status);
        } else {
            let is_read = request.kind == Kind::Read;
            self.queue
                .set_buffer(data, phys, request.len_bytes, is_read);
            self.queue.link(header, data);
            self.queue.link(data, status);
        }
        self.queue.offer(header);
        if self.queue.publish() {
            self.transport.notify(self.number);
        }
    }

    /// What the device says of lengths is not used: an answer is good if the device wrote that it is.
    fn next_answer(&mut self) -> Option<(u16, Result<(), Fault>)> {
        let (entry, _) = self.queue.take_used()?;
        let index = entry / ENTRIES;
        let at = usize::from(index) * HEADER_STRIDE + STATUS_AT;
        if index >= MAX_SLOTS || at >= self.headers.len_bytes() {
            return Some((u16::MAX, Ok(())));
        }
        let status = self.headers.read(at);
        let error = BlockError::Device { status, error: 0 };
        let answer = match status {
            STATUS_OK => Ok(()),
            STATUS_UNSUPPORTED => Err(Fault::Lasting(error)),
            _ => Err(Fault::Passing(error)),
        };
        Some((index, answer))
    }

    /// What the device says with this is for all of its queues, and is gone when it was read. So it is read once, for the first of them,
    /// before the answers of any are taken: what comes later interrupts again.
    fn acknowledge(&mut self) {
        if self.number == 0 {
            self.transport.acknowledge_interrupt();
        }
    }
}
