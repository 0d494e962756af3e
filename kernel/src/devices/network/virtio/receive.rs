//! The receive queue. Entries are offered in the order of their buffers, which lie one behind the other: so what a device spreads over several
//! lies in one piece, unless it goes round the end of the memory.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{DATA_VALID, MIN_FRAME_BYTES, NEEDS_CHECKSUM};
use crate::arch::interrupts::Irq;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::network::{Frame, Receiver};
use crate::devices::virtio::queue::Queue;
use crate::devices::virtio::{Error, Transport};
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

/// As many buffers are given back to the device at once.
const RETURN_BATCH: u16 = 16;
/// Largest frame that comes in several buffers: an IP packet with the header of Ethernet and a tag.
const MAX_FRAME_BYTES: usize = 65_535 + 18;
/// Where the header says in how many buffers the frame lies (section 5.1.6).
const BUFFER_COUNT: usize = 10;

/// Where the frame is that is lent.
#[derive(Clone, Copy)]
enum Place {
    /// In the buffers, from this byte on.
    Buffers(usize),
    /// In [`ReceiveQueue::gathered`].
    Gathered,
    /// It is none.
    Nowhere,
}

/// A frame that is lent.
struct Lent {
    place: Place,
    /// With the header that travels with it.
    len_bytes: usize,
    entry: u16,
}

/// The receiving half of a card.
pub(super) struct ReceiveQueue {
    transport: Arc<dyn Transport>,
    pub(super) irq: Option<Irq>,
    index: u16,
    queue: Queue,
    buffers: DmaBuffer,
    /// Length of each.
    buffer_bytes: usize,
    /// Length of the header.
    header: usize,
    /// Frames may lie in several buffers.
    is_merged: bool,
    has_checksums: bool,
    current: Option<Lent>,
    /// Entries of the frame that is lent, without the first.
    more: Vec<u16>,
    gathered: Vec<u8>,
    /// Entries given back that the device was not told of.
    unpublished: u16,
    /// Entries given back since the device was last notified.
    returned: u16,
    is_listening: bool,
}

impl ReceiveQueue {
    /// Over a queue, all of whose entries the device gets by [`ReceiveQueue::fill`].
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        index: u16,
        queue: Queue,
        buffer_bytes: usize,
        header: usize,
        is_merged: bool,
        has_checksums: bool,
    ) -> Result<Self, Error> {
        Ok(Self {
            transport,
            irq: None,
            index,
            buffers: DmaBuffer::new(usize::from(queue.len()) * buffer_bytes)?,
            queue,
            buffer_bytes,
            header,
            is_merged,
            has_checksums,
            current: None,
            more: Vec::new(),
            gathered: Vec::new(),
            unpublished: 0,
            returned: 0,
            is_listening: true,
        })
    }

    /// Offers all buffers. The device has begun.
    pub(super) fn fill(&mut self) {
        for entry in 0..self.queue.len() {
            let address = self.buffers.phys() + (usize::from(entry) * self.buffer_bytes) as u64;
            self.queue
                .set_buffer(entry, address, self.buffer_bytes as u32, true);
            self.queue.offer(entry);
        }
        if self.queue.publish() {
            self.transport.notify(self.index);
        }
    }

    /// Tells the device of what was given back.
    fn publish(&mut self) {
        // A device that looks by itself wants no notice, for as long as it does.
        let unpublished = core::mem::take(&mut self.unpublished);
        self.returned = self.returned.saturating_add(unpublished);
        if !self.queue.publish() {
            return;
        }
        // A device that says which entry it waits for has run out; one that has only a flag would be notified all the time.
        let is_due =
            self.queue.has_event_index() || self.returned >= RETURN_BATCH.min(self.queue.len() / 2);
        if is_due {
            self.transport.notify(self.index);
            self.returned = 0;
        }
    }

    /// Where the frame lies whose first entry is this one.
    #[inline]
    fn locate(&mut self, entry: u16, len_bytes: usize) -> Lent {
        let start = usize::from(entry) * self.buffer_bytes;
        let mut lent = Lent {
            place: Place::Nowhere,
            len_bytes,
            entry,
        };
        if (self.header + MIN_FRAME_BYTES..=self.buffer_bytes).contains(&len_bytes) {
            lent.place = Place::Buffers(start);
            if self.is_merged {
                let count = self
                    .buffers
                    .bytes(start + BUFFER_COUNT..start + BUFFER_COUNT + 2);
                if *count != [1, 0] {
                    let count = u16::from_le_bytes([count[0], count[1]]);
                    self.merge(&mut lent, count);
                }
            }
        }
        lent
    }

    /// Takes the other buffers of a frame. A device that does not give them back with the first is not believed, and neither is one
    /// that leaves room in one that others follow.
    #[inline(never)]
    fn merge(&mut self, lent: &mut Lent, count: u16) {
        let (mut last, mut last_len) = (lent.entry, lent.len_bytes);
        let (mut is_whole, mut is_in_one_piece) = (count != 0, true);
        self.gathered.clear();
        for _ in 1..count.min(self.queue.len()) {
            let Some((entry, len)) = self.queue.take_used() else {
                is_whole = false;
                break;
            };
            self.more.push(entry);
            is_whole &=
                last_len == self.buffer_bytes && (1..=self.buffer_bytes).contains(&(len as usize));
            is_in_one_piece &= entry == last + 1;
            (last, last_len) = (entry, len as usize);
            lent.len_bytes += last_len.min(self.buffer_bytes);
        }
        if !is_whole
            || count > self.queue.len()
            || lent.len_bytes > self.header + MAX_FRAME_BYTES
            || !is_in_one_piece && self.gather(lent).is_err()
        {
            lent.place = Place::Nowhere;
        }
    }

    /// Copies a frame together whose buffers do not follow on one another.
    fn gather(&mut self, lent: &mut Lent) -> Result<(), Error> {
        self.gathered
            .try_reserve(lent.len_bytes)
            .map_err(|_| Error::OutOfMemory)?;
        for entry in core::iter::once(&lent.entry).chain(&self.more) {
            let start = usize::from(*entry) * self.buffer_bytes;
            let len = (lent.len_bytes - self.gathered.len()).min(self.buffer_bytes);
            self.gathered
                .extend_from_slice(self.buffers.bytes(start..start + len));
        }
        lent.place = Place::Gathered;
        Ok(())
    }
}

impl Receiver for ReceiveQueue {
    fn irq(&self) -> Option<Irq> {
        self.irq
    }

    fn acknowledge(&mut self) {
        if let Some(irq) = &self.irq
            && irq.take_pending()
        {
            self.transport.acknowledge_interrupt();
            irq.done();
        }
        // With event indices, it interrupts no more before it is asked again.
        if core::mem::take(&mut self.is_listening) && !self.queue.has_event_index() {
            self.queue.set_silent(true);
        }
    }

    fn listen(&mut self) -> bool {
        if self.unpublished != 0 {
            self.publish();
        }
        if !core::mem::replace(&mut self.is_listening, true) {
            self.queue.set_silent(false);
        }
        self.is_ready()
    }

    #[inline]
    fn is_ready(&self) -> bool {
        self.current.is_some() || self.queue.has_used()
    }

    fn frame(&mut self) -> Option<Frame<'_>> {
        // As many rounds as there are entries, so that a device that always has another cannot keep us here.
        for _ in 0..self.queue.len() {
            if self.current.is_none() {
                let Some((entry, len)) = self.queue.take_used() else {
                    break;
                };
                let lent = self.locate(entry, len as usize);
                self.current = Some(lent);
            }
            if !matches!(self.current.as_ref()?.place, Place::Nowhere) {
                break;
            }
            self.release();
        }
        let lent = self.current.as_ref()?;
        let bytes = match lent.place {
            Place::Buffers(start) => self.buffers.bytes(start..start + lent.len_bytes),
            Place::Gathered => &self.gathered,
            Place::Nowhere => return None,
        };
        let (header, frame) = bytes.split_at(self.header);
        // A frame whose checksum is still to be filled in has not left the host, so nothing can have damaged it.
        let is_verified = self.has_checksums && header[0] & (NEEDS_CHECKSUM | DATA_VALID) != 0;
        Some(Frame {
            bytes: frame,
            is_verified,
        })
    }

    fn release(&mut self) {
        if let Some(lent) = self.current.take() {
            self.queue.offer(lent.entry);
            self.unpublished += 1;
            if !self.more.is_empty() {
                for entry in self.more.drain(..) {
                    self.queue.offer(entry);
                    self.unpublished += 1;
                }
            }
            if self.unpublished >= RETURN_BATCH.min(self.queue.len() / 2) {
                self.publish();
            }
        }
    }
}
