//! The transmit queue. Its buffers lie one behind the other and are used in turn, so that a frame to be taken apart takes as many as it
//! needs, in one piece. The number of an entry is that of its first buffer.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::{BUFFER_BYTES, NEEDS_CHECKSUM};
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::network::{Device, Offload, Transmitter};
use crate::devices::virtio::queue::Queue;
use crate::devices::virtio::{Error, Transport};
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

/// Largest IP packet that is given to the device to be taken apart.
const LARGEST_SEND: usize = 65_535;
/// The least room for which a large frame is worth it.
const LEAST_LARGE: u16 = 4;

// Kinds of segmentation (section 5.1.6).
const TCP_V4: u8 = 1;
const TCP_V6: u8 = 4;

/// What becomes of a buffer.
#[derive(Clone, Copy, Default)]
struct Span {
    /// Buffers of the frame that begins here.
    count: u16,
    /// The device has sent it.
    is_sent: bool,
}

/// The sending half of a card.
pub(super) struct TransmitQueue {
    transport: Arc<dyn Transport>,
    index: u16,
    queue: Queue,
    buffers: DmaBuffer,
    spans: Vec<Span>,
    /// The buffer to be used next, and how many before it are in use.
    next: u16,
    used: u16,
    header: usize,
    has_segmentation: bool,
    is_unpublished: bool,
}

impl TransmitQueue {
    /// Over a queue, with a header of that length before each frame.
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        index: u16,
        mut queue: Queue,
        header: usize,
        has_segmentation: bool,
    ) -> Result<Self, Error> {
        // What was sent is collected when room runs out.
        queue.set_silent(true);
        Ok(Self {
            transport,
            index,
            buffers: DmaBuffer::uncleared(usize::from(queue.len()) * BUFFER_BYTES)?,
            spans: vec![Span::default(); usize::from(queue.len())],
            queue,
            next: 0,
            used: 0,
            header,
            has_segmentation,
            is_unpublished: false,
        })
    }

    /// Takes back what was sent, in the order in which it was given.
    fn collect(&mut self) {
        if self.queue.take_all_used() {
            self.used = 0;
            return;
        }
        while let Some((entry, _)) = self.queue.take_used() {
            if let Some(span) = self.spans.get_mut(usize::from(entry)) {
                span.is_sent = true;
            }
        }
        let len = self.queue.len();
        while self.used != 0 {
            let oldest = self.next.wrapping_sub(self.used) & (len - 1);
            let Some(span) = self.spans.get_mut(usize::from(oldest)) else {
                return;
            };
            if !span.is_sent {
                return;
            }
            self.used -= core::mem::take(span).count;
        }
    }

    /// Free buffers that lie behind one another.
    #[inline]
    fn room(&self) -> u16 {
        (self.queue.len() - self.used).min(self.queue.len() - self.next)
    }

    /// Writes the header of the next frame.
    #[inline]
    fn write_header(&mut self, start: usize, offload: Offload) {
        let (first, checksum_at) = header_of(offload);
        let bytes = self.buffers.bytes_mut(start..start + self.header);
        if let Some((low, rest)) = bytes.split_first_chunk_mut() {
            *low = first.to_le_bytes();
            let last = u32::from(checksum_at).to_le_bytes();
            match rest.first_chunk_mut() {
                Some(rest) => *rest = last,
                None => rest.copy_from_slice(&last[..2]),
            }
        }
    }
}

/// The first eight bytes of a frame's header: flags, kind of segmentation, length of the headers, payload of a segment, where the checksum
/// begins; and the two that follow: how far behind that it is stored (section 5.1.6).
#[inline]
fn header_of(offload: Offload) -> (u64, u16) {
    let Some(request) = offload.checksum else {
        return (0, 0);
    };
    let mut first = u64::from(NEEDS_CHECKSUM) | u64::from(request.start) << 48;
    if offload.segment_bytes != 0 {
        let kind = if offload.is_v6 { TCP_V6 } else { TCP_V4 };
        first |= u64::from(kind) << 8
            | u64::from(offload.header_bytes) << 16
            | u64::from(offload.segment_bytes) << 32;
    }
    (first, u16::from(request.at - request.start))
}

impl Transmitter for TransmitQueue {
    fn largest_send(&self) -> usize {
        if self.has_segmentation {
            LARGEST_SEND
        } else {
            0
        }
    }

    fn has_sent_all(&mut self) -> bool {
        self.collect();
        self.used == 0
    }
}

impl Device for TransmitQueue {
    #[inline]
    fn has_room(&mut self) -> bool {
        if self.used == self.queue.len() {
            self.collect();
        }
        self.used != self.queue.len()
    }

    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        let start = usize::from(self.next) * BUFFER_BYTES + self.header;
        self.buffers.bytes_mut(start..start + len_bytes)
    }

    fn large_room(&mut self) -> usize {
        let wanted = (LARGEST_SEND / BUFFER_BYTES + 1) as u16;
        if self.room() < wanted {
            self.collect();
        }
        match self.room() {
            room @ LEAST_LARGE.. => usize::from(room) * BUFFER_BYTES - self.header,
            _ => 0,
        }
    }

    fn send(&mut self, len_bytes: usize, offload: Offload) {
        let len = self.header + len_bytes;
        let count = match len {
            ..=BUFFER_BYTES => 1,
            len => len.div_ceil(BUFFER_BYTES) as u16,
        };
        if self.used == self.queue.len() || count > 1 && count > self.room() {
            return;
        }
        let start = usize::from(self.next) * BUFFER_BYTES;
        self.write_header(start, offload);
        let address = self.buffers.phys() + start as u64;
        self.queue.set_buffer(self.next, address, len as u32, false);
        self.queue.offer(self.next);
        if let Some(span) = self.spans.get_mut(usize::from(self.next)) {
            *span = Span {
                count,
                is_sent: false,
            };
        }
        self.next = (self.next + count) & (self.queue.len() - 1);
        self.used += count;
        self.is_unpublished = true;
    }

    fn flush(&mut self) {
        if self.is_unpublished {
            self.is_unpublished = false;
            if self.queue.publish() {
                self.transport.notify(self.index);
            }
        }
    }
}
