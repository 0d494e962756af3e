//! The receive queue. Entries are offered in the order of their buffers, which lie one behind the other: so what a device spreads over several
//! lies in one piece, unless it goes round the end of the memory. Behind that end is room where the rest of such a frame is copied to.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{DATA_VALID, LARGE_RECEIVE_BUFFER_BYTES, MIN_FRAME_BYTES, NEEDS_CHECKSUM};
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

/// A frame that is lent.
struct Lent {
    /// Where it begins in the buffers; none if it is no frame.
    place: Option<usize>,
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
    /// The buffers, and behind them room for a frame that does not lie in one piece.
    buffers: DmaBuffer,
    /// Length of each.
    buffer_bytes: usize,
    /// Largest frame that may lie in several, with its header.
    merged_bytes: usize,
    /// Length of the header.
    header: usize,
    /// Frames may lie in several buffers.
    is_merged: bool,
    has_checksums: bool,
    current: Option<Lent>,
    /// Entries of the frame that is lent, without the first.
    more: Vec<u16>,
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
        // Into a small one goes all that comes in one packet.
        let merged_bytes = match is_merged && buffer_bytes >= LARGE_RECEIVE_BUFFER_BYTES {
            true => header + MAX_FRAME_BYTES,
            false => 0,
        };
        let bytes = usize::from(queue.len()) * buffer_bytes + merged_bytes;
        Ok(Self {
            transport,
            irq: None,
            index,
            buffers: DmaBuffer::new(bytes)?,
            queue,
            buffer_bytes,
            merged_bytes,
            header,
            is_merged,
            has_checksums,
            current: None,
            more: Vec::new(),
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
            place: None,
            len_bytes,
            entry,
        };
        if (self.header + MIN_FRAME_BYTES..=self.buffer_bytes).contains(&len_bytes) {
            lent.place = Some(start);
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
        // Bytes that follow on one another from the first on.
        let mut first_piece = last_len;
        let (mut is_whole, mut is_in_one_piece) = (count != 0, true);
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
            if is_in_one_piece {
                first_piece = lent.len_bytes;
            }
        }
        if !is_whole || count > self.queue.len() || lent.len_bytes > self.merged_bytes {
            lent.place = None;
        } else if !is_in_one_piece {
            self.gather(lent, first_piece);
        }
    }

    /// Copies a frame together whose buffers do not follow on one another: behind its first piece if that ends where the buffers do, else
    /// whole. All its buffers but the last are full.
    fn gather(&mut self, lent: &mut Lent, first_piece: usize) {
        let end = usize::from(self.queue.len()) * self.buffer_bytes;
        let is_at_the_end = usize::from(lent.entry) * self.buffer_bytes + first_piece == end;
        let kept = if is_at_the_end { first_piece } else { 0 };
        let mut done = kept;
        let entries = core::iter::once(&lent.entry).chain(&self.more);
        for entry in entries.skip(kept / self.buffer_bytes) {
            let from = usize::from(*entry) * self.buffer_bytes;
            let len = (lent.len_bytes - done).min(self.buffer_bytes);
            self.buffers
                .copy_within(from..from + len, end + done - kept);
            done += len;
        }
        lent.place = Some(end - kept);
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
            if self.current.as_ref()?.place.is_some() {
                break;
            }
            self.release();
        }
        let lent = self.current.as_ref()?;
        let start = lent.place?;
        let bytes = self.buffers.bytes(start..start + lent.len_bytes);
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
