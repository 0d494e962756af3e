//! Requests of a virtio disk (section 5.2.6): what is on the queue, and what became of it.
//!
//! A request takes a [`Slot`]: three entries of the queue (header, data, status) and a buffer for the data. Nothing here waits; the device's
//! side is the tests'.

use alloc::vec::Vec;
use core::mem;

use crate::devices::block::BlockError;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::virtio::Error;
use crate::devices::virtio::queue::Queue;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

/// Most bytes of data in a request.
pub(crate) const MAX_DATA_BYTES: usize = 64 << 10;
/// Requests that can be with the device at once. Their buffers are made when they are first needed.
pub(crate) const MAX_SLOTS: u16 = 4;

/// Header, data, status.
const ENTRIES: u16 = 3;
/// Room for a header and a status in the buffer of headers.
const HEADER_STRIDE: usize = 32;
const HEADER_BYTES: u32 = 16;
const STATUS_AT: usize = 16;

const STATUS_OK: u8 = 0;
/// What no device answers: it stays where the device wrote no status.
const STATUS_NONE: u8 = 0xFF;

/// What a request is for, with its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum Kind {
    Read = 0,
    Write = 1,
    Flush = 4,
}

/// The right to have a request with the device, and the buffer for its data.
pub(crate) struct Slot {
    index: u16,
    buffer: DmaBuffer,
}

impl Slot {
    /// The first bytes of the buffer, at most [`MAX_DATA_BYTES`].
    pub(crate) fn data(&self, len_bytes: usize) -> &[u8] {
        self.buffer.bytes(0..len_bytes)
    }

    /// The same, to write.
    pub(crate) fn data_mut(&mut self, len_bytes: usize) -> &mut [u8] {
        self.buffer.bytes_mut(0..len_bytes)
    }
}

/// What is known of a slot's request.
enum Progress {
    /// There is none.
    None,
    /// The device has it.
    Sent,
    /// The device has it, and nobody waits for the answer any more; but until there is one, the device may use the buffer.
    Abandoned(Slot),
    /// The device answered.
    Answered(Result<(), BlockError>),
}

/// The requests of a disk.
pub(crate) struct Requests {
    queue: Queue,
    headers: DmaBuffer,
    progress: Vec<Progress>,
    idle: Vec<Slot>,
    /// Slots made so far.
    made: u16,
}

impl Requests {
    /// Length of a queue with room for so many requests at once.
    pub(crate) const fn queue_len(slots: u16) -> u16 {
        (slots * ENTRIES).next_power_of_two()
    }

    /// No requests yet, on `queue`. The first slot is made at once, so that the disk works however little memory is left later.
    pub(crate) fn new(queue: Queue) -> Result<Self, Error> {
        let slots = (queue.len() / ENTRIES).min(MAX_SLOTS);
        if slots == 0 {
            return Err(Error::NoQueue);
        }
        let mut this = Self {
            queue,
            headers: DmaBuffer::new(usize::from(slots) * HEADER_STRIDE)?,
            progress: (0..slots).map(|_| Progress::None).collect(),
            idle: Vec::with_capacity(usize::from(slots)),
            made: 0,
        };
        let first = this.take_slot().ok_or(Error::OutOfMemory)?;
        this.idle.push(first);
        Ok(this)
    }

    /// A slot, if one is free or another can be made.
    pub(crate) fn take_slot(&mut self) -> Option<Slot> {
        if let Some(slot) = self.idle.pop() {
            return Some(slot);
        }
        if usize::from(self.made) == self.progress.len() {
            return None;
        }
        let buffer = DmaBuffer::new(MAX_DATA_BYTES).ok()?;
        let index = self.made;
        self.made += 1;
        Some(Slot { index, buffer })
    }

    /// Takes a slot back whose request is answered.
    pub(crate) fn give_back(&mut self, slot: Slot) {
        self.idle.push(slot);
    }

    /// Gives a request to the device; whether the device wants to be notified.
    pub(crate) fn send(&mut self, slot: &Slot, kind: Kind, unit: u64, len_bytes: usize) -> bool {
        let at = usize::from(slot.index) * HEADER_STRIDE;
        self.headers.write(at, kind as u32);
        self.headers.write(at + 4, 0u32);
        self.headers.write(at + 8, unit);
        self.headers.write(at + STATUS_AT, STATUS_NONE);
        let address = self.headers.phys() + at as u64;
        let (header, data) = (slot.index * ENTRIES, slot.index * ENTRIES + 1);
        let status = data + 1;
        self.queue.set_buffer(header, address, HEADER_BYTES, false);
        self.queue
            .set_buffer(status, address + STATUS_AT as u64, 1, true);
        if kind == Kind::Flush {
            self.queue.link(header, status);
        } else {
            let len = len_bytes.min(MAX_DATA_BYTES) as u32;
            self.queue
                .set_buffer(data, slot.buffer.phys(), len, kind == Kind::Read);
            self.queue.link(header, data);
            self.queue.link(data, status);
        }
        self.progress[usize::from(slot.index)] = Progress::Sent;
        self.queue.offer(header);
        self.queue.publish()
    }

    /// Takes the device's answers; whether there were any. What it says of lengths is not used: an answer is good if the device wrote
    /// that it is.
    pub(crate) fn collect(&mut self) -> bool {
        let mut had_answers = false;
        // An entry is given back once for each time it was offered, so this ends.
        while let Some((entry, _)) = self.queue.take_used() {
            let index = entry / ENTRIES;
            let Some(progress) = self.progress.get_mut(usize::from(index)) else {
                continue;
            };
            had_answers = true;
            let status = self
                .headers
                .read(usize::from(index) * HEADER_STRIDE + STATUS_AT);
            let answer = match status {
                STATUS_OK => Ok(()),
                status => Err(BlockError::Device { status, error: 0 }),
            };
            if let Progress::Abandoned(slot) = mem::replace(progress, Progress::Answered(answer)) {
                *progress = Progress::None;
                self.idle.push(slot);
            }
        }
        had_answers
    }

    /// The answer to a slot's request, if it is there.
    pub(crate) fn take_answer(&mut self, slot: &Slot) -> Option<Result<(), BlockError>> {
        let progress = &mut self.progress[usize::from(slot.index)];
        match mem::replace(progress, Progress::None) {
            Progress::Answered(answer) => Some(answer),
            other => {
                *progress = other;
                None
            }
        }
    }

    /// Gives up waiting for a slot's answer. Should it come after all, the slot is free again.
    pub(crate) fn abandon(&mut self, slot: Slot) {
        let index = usize::from(slot.index);
        self.progress[index] = Progress::Abandoned(slot);
    }

    /// Asks the device not to interrupt.
    pub(crate) fn set_silent(&mut self) {
        self.queue.set_silent(true);
    }
}
