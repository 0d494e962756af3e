//! The transmit ring. Its buffers are pages that lie one behind the other and are used in turn, so that a frame to be taken apart takes as
//! many as it needs, in one piece: a request for each, and one that says how it is to be taken apart. A request has the number of its buffer.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use super::Channel;
use crate::devices::network::{Device, Offload, Transmitter};
use crate::devices::xen::grants::{Lent, PAGE_BYTES, Table};
use crate::devices::xen::ring::Ring;
use crate::memory::OutOfMemory;
use crate::sync::SpinLock;

const ENTRY_BYTES: usize = 12;
/// Buffers, and how many where frames are taken apart. With a request for each frame besides they fit into the ring.
const BUFFERS: usize = 64;
const BUFFERS_FOR_LARGE: usize = 128;
/// Largest IP packet to be taken apart: the length of its frame has 16 bits.
const LARGEST_SEND: usize = 65_535 - FRAME_HEADER_BYTES;
const FRAME_HEADER_BYTES: usize = 18;
/// The least room for which a large frame is worth it.
const LEAST_LARGE: usize = 4;

// Flags of a request.
const IS_BLANK: u16 = 1;
const IS_VALIDATED: u16 = 2;
const HAS_MORE: u16 = 4;
const HAS_EXTRA: u16 = 8;

// What is said of a frame that is to be taken apart.
const EXTRA_SEGMENTATION: u32 = 1;
const TCP_V4: u32 = 1;
const TCP_V6: u32 = 2;

/// Status of an answer to what was no buffer.
const STATUS_NOTHING: u16 = 1;

/// The sending half.
pub(super) struct TransmitRing {
    channel: Arc<Channel>,
    ring: Ring,
    buffers: Lent,
    has_segmentation: bool,
    /// How many buffers there are, and a bit for each that the other end has.
    count: usize,
    busy: u128,
    /// The buffer to be used next.
    next: usize,
}

impl TransmitRing {
    /// An empty ring.
    pub(super) fn new(
        channel: Arc<Channel>,
        table: &SpinLock<Table>,
        domain: u16,
        has_segmentation: bool,
    ) -> Result<Self, OutOfMemory> {
        let count = if has_segmentation {
            BUFFERS_FOR_LARGE
        } else {
            BUFFERS
        };
        Ok(Self {
            channel,
            ring: Ring::new(table, domain, ENTRY_BYTES)?,
            buffers: Lent::new(table, count * PAGE_BYTES, domain, true)?,
            has_segmentation,
            count,
            busy: 0,
            next: 0,
        })
    }

    /// By what the other end knows the ring.
    pub(super) fn reference(&self) -> u32 {
        self.ring.reference()
    }

    /// Takes the answers that are there. What they say of buffers that the other end does not have means nothing.
    fn collect(&mut self) {
        while let Some((_, at)) = self.ring.answer() {
            let words: u32 = self.ring.page().read(at);
            let (id, status) = (words as u16, (words >> 16) as u16);
            self.ring.take();
            if status != STATUS_NOTHING && usize::from(id) < self.count {
                self.busy &= !(1 << id);
            }
        }
    }

    /// Free buffers from the next one on that lie one behind the other, as far as there is room for requests.
    fn room(&self) -> usize {
        let free = (self.busy >> self.next).trailing_zeros() as usize;
        // One request more, where the frame is to be taken apart.
        free.min(self.count - self.next)
            .min((self.ring.room() as usize).saturating_sub(1))
    }

    /// Writes a request.
    fn request(&mut self, words: [u32; 3]) {
        let (_, at) = self.ring.next();
        for (at, word) in (at..).step_by(size_of::<u32>()).zip(words) {
            self.ring.page().write(at, word);
        }
        self.ring.push();
    }
}

impl Transmitter for TransmitRing {
    fn largest_send(&self) -> usize {
        if self.has_segmentation {
            LARGEST_SEND
        } else {
            0
        }
    }

    fn has_sent_all(&mut self) -> bool {
        self.collect();
        self.ring.is_idle() || self.channel.is_over.load(Ordering::Relaxed)
    }
}

impl Device for TransmitRing {
    fn has_room(&mut self) -> bool {
        if self.room() == 0 {
            self.collect();
            // Who waits for room is interrupted when there is some.
            if self.room() == 0 && self.ring.listen() {
                self.collect();
            }
        }
        self.room() != 0
    }

    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        let start = self.next * PAGE_BYTES;
        self.buffers.bytes_mut(start..start + len_bytes)
    }

    fn large_room(&mut self) -> usize {
        const WANTED: usize = LARGEST_SEND / PAGE_BYTES + 1;
        if self.room() < WANTED {
            self.collect();
        }
        match self.room() {
            room @ LEAST_LARGE.. => (room * PAGE_BYTES).min(LARGEST_SEND + FRAME_HEADER_BYTES),
            _ => 0,
        }
    }

    fn send(&mut self, len_bytes: usize, offload: Offload) {
        let pages = len_bytes.div_ceil(PAGE_BYTES).max(1);
        if pages > self.room() || len_bytes > usize::from(u16::MAX) {
            return;
        }
        let is_large = offload.segment_bytes != 0;
        for page in 0..pages {
            let buffer = self.next + page;
            // The first has the length of all, the others their own.
            let mut len = len_bytes;
            let mut flags = 0;
            if page != 0 {
                len = (len_bytes - page * PAGE_BYTES).min(PAGE_BYTES);
            } else if offload.checksum.is_some() {
                flags |= IS_BLANK | IS_VALIDATED;
            }
            if page == 0 && is_large {
                flags |= HAS_EXTRA;
            }
            if page + 1 != pages {
                flags |= HAS_MORE;
            }
            self.request([
                self.buffers.reference(buffer as u32),
                u32::from(flags) << 16,
                buffer as u32 | (len as u32) << 16,
            ]);
            self.busy |= 1 << buffer;
            if page == 0 && is_large {
                let kind = if offload.is_v6 { TCP_V6 } else { TCP_V4 };
                let size = u32::from(offload.segment_bytes);
                self.request([EXTRA_SEGMENTATION | size << 16, kind, 0]);
            }
        }
        self.next = (self.next + pages) % self.count;
    }

    fn flush(&mut self) {
        if self.ring.publish() {
            self.channel.notify();
        }
    }
}
