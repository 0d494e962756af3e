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

/// As many buffers are given back to the device at once, where it has others.
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
    /// Entries given back that the device was not told of, and how many there may be of them.
    unpublished: u16,
    return_batch: u16,
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
        // What the device has in any case holds the largest frame.
        let needed = merged_bytes.div_ceil(buffer_bytes) as u16;
        let return_batch = RETURN_BATCH
            .min(queue.len() / 2)
            .min(queue.len().saturating_sub(needed))
            .max(1);
        Ok(Self {
            transport,
            irq: None,
            index,
            buffers: DmaBuffer::uncleared(bytes)?,
            queue,
            buffer_bytes,
            merged_bytes,
            header,
            is_merged,
            has_checksums,
            current: None,
            more: Vec::new(),
            unpublished: 0,
            return_batch,
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

    /// Takes the cause of an interrupt away; there shall be none before [`Receiver::listen`].
    #[inline(always)]
    fn quiet(&mut self) {
        // A message has no cause that is to be taken away.
        if let Some(irq) = &self.irq
            && irq.take_pending()
            && !irq.is_message()
        {
            self.transport.acknowledge_interrupt();
            irq.done();
        }
        // With event indices, it interrupts no more before it is asked again.
        if core::mem::take(&mut self.is_listening) && !self.queue.has_event_index() {
            self.queue.set_silent(true);
        }
    }

    /// Tells the device of what was given back.
    #[inline(never)]
    fn publish(&mut self) {
        // A device that looks by itself wants no notice, for as long as it does.
        let unpublished = core::mem::take(&mut self.unpublished);
        self.returned = self.returned.saturating_add(unpublished);
        if !self.queue.publish() {
            return;
        }
        // A device that says which entry it waits for has run out; one that has only a flag would be notified all the time.
        let is_due = self.queue.has_event_index() || self.returned >= self.return_batch;
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

    /// The next frame that the device has given back, or what is none.
    #[inline]
    fn take(&mut self) -> Option<Lent> {
        let (entry, len) = self.queue.take_used()?;
        Some(self.locate(entry, len as usize))
    }

    /// The bytes of a frame, and whether they are verified.
    #[inline]
    fn bytes(&self, lent: &Lent) -> Option<(&[u8], bool)> {
        let start = lent.place?;
        let bytes = self.buffers.bytes(start..start + lent.len_bytes);
        let (header, frame) = bytes.split_at_checked(self.header)?;
        Some((frame, self.is_verified(header)))
    }

    /// The frame in an entry that the device has given back, if it lies in this one alone, as nearly all do; and whether it is verified.
    #[inline]
    fn single(&self, entry: u16, len_bytes: usize) -> Option<(&[u8], bool)> {
        if len_bytes > self.buffer_bytes {
            return None;
        }
        let start = usize::from(entry) * self.buffer_bytes;
        let bytes = self.buffers.bytes(start..start + len_bytes);
        let (header, frame) = bytes.split_at_checked(self.header)?;
        let is_single = !self.is_merged || header.last_chunk() == Some(&[1, 0]);
        (is_single && frame.len() >= MIN_FRAME_BYTES).then(|| (frame, self.is_verified(header)))
    }

    /// Whether the device has found the checksums of a frame with this header right. One whose checksum is still to be filled in has not left
    /// the host, so nothing can have damaged it.
    #[inline]
    fn is_verified(&self, header: &[u8]) -> bool {
        let flags = header.first().map_or(0, |flags| *flags);
        self.has_checksums && flags & (NEEDS_CHECKSUM | DATA_VALID) != 0
    }

    /// Hands over a frame that lies in several buffers, if it is one.
    #[inline(never)]
    fn serve_unusual(&mut self, entry: u16, len_bytes: usize, take: &mut dyn FnMut(&[u8], bool)) {
        let lent = self.locate(entry, len_bytes);
        if let Some((bytes, is_verified)) = self.bytes(&lent) {
            take(bytes, is_verified);
        }
        self.give_back(&lent);
    }

    /// Gives the buffers of a frame back to the device.
    fn give_back(&mut self, lent: &Lent) {
        let mut more = core::mem::take(&mut self.more);
        self.give_entry_back(lent.entry);
        for entry in more.drain(..) {
            self.give_entry_back(entry);
        }
        self.more = more;
    }

    #[inline]
    fn give_entry_back(&mut self, entry: u16) {
        self.queue.offer(entry);
        self.unpublished += 1;
        if self.unpublished >= self.return_batch {
            self.publish();
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
        self.quiet();
    }

    #[inline]
    fn listen(&mut self) -> bool {
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
                self.current = self.take();
            }
            if self.current.as_ref()?.place.is_some() {
                break;
            }
            self.release();
        }
        let (bytes, is_verified) = self.bytes(self.current.as_ref()?)?;
        Some(Frame { bytes, is_verified })
    }

    fn release(&mut self) {
        if let Some(lent) = self.current.take() {
            self.give_back(&lent);
        }
    }

    fn serve(&mut self, most: usize, take: &mut dyn FnMut(&[u8], bool)) -> usize {
        self.quiet();
        let mut count = 0;
        while count < most && self.queue.has_used() {
            count += 1;
            let Some((entry, len)) = self.queue.take_counted() else {
                continue;
            };
            match self.single(entry, len as usize) {
                Some((bytes, is_verified)) => {
                    take(bytes, is_verified);
                    self.give_entry_back(entry);
                }
                None => self.serve_unusual(entry, len as usize, take),
            }
        }
        count
    }
}
