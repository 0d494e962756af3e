//! The receive ring: each buffer is a page. An answer lies where the request lay whose buffer it is for, as the header promises; what it
//! says of that is not looked at.

use alloc::sync::Arc;

use super::Channel;
use crate::arch::interrupts::Irq;
use crate::devices::network::{Frame, Receiver};
use crate::devices::xen::grants::{Lent, PAGE_BYTES, Table};
use crate::devices::xen::ring::Ring;
use crate::memory::OutOfMemory;
use crate::sync::SpinLock;

const ENTRY_BYTES: usize = 8;
/// Buffers: a power of two, and no more than the ring has entries.
const BUFFERS: u32 = 128;
/// As many buffers are given back at once.
const RETURN_BATCH: u32 = 16;
const MIN_FRAME_BYTES: usize = 14;

// Flags of an answer.
const IS_VALIDATED: u16 = 1;
const IS_BLANK: u16 = 2;
const HAS_MORE: u16 = 4;
const HAS_EXTRA: u16 = 8;

/// The receiving half.
pub(super) struct ReceiveRing {
    channel: Arc<Channel>,
    irq: Option<Irq>,
    ring: Ring,
    buffers: Lent,
    /// Buffers given back that the other end was not told of.
    unpublished: u32,
    /// The next answer goes on with the frame of the last one.
    is_continued: bool,
}

/// What an answer says.
struct Answer {
    /// Where the frame is in the buffers.
    start: usize,
    len_bytes: usize,
    flags: u16,
}

impl ReceiveRing {
    /// A ring with all buffers in it.
    pub(super) fn new(
        channel: Arc<Channel>,
        table: &SpinLock<Table>,
        domain: u16,
        irq: Option<Irq>,
    ) -> Result<Self, OutOfMemory> {
        let mut this = Self {
            channel,
            irq,
            ring: Ring::new(table, domain, ENTRY_BYTES)?,
            buffers: Lent::new(table, BUFFERS as usize * PAGE_BYTES, domain, false)?,
            unpublished: 0,
            is_continued: false,
        };
        for _ in 0..BUFFERS {
            this.give();
        }
        // The other end looks when it comes.
        let _ = this.ring.publish();
        this.unpublished = 0;
        Ok(this)
    }

    /// By what the other end knows the ring.
    pub(super) fn reference(&self) -> u32 {
        self.ring.reference()
    }

    /// Offers the next buffer. They come back in the order in which they are offered, so it is free.
    fn give(&mut self) {
        let (number, at) = self.ring.next();
        let request =
            u64::from(number as u16) | u64::from(self.buffers.reference(number % BUFFERS)) << 32;
        self.ring.page().write(at, request);
        self.ring.push();
        self.unpublished += 1;
    }

    fn publish(&mut self) {
        self.unpublished = 0;
        if self.ring.publish() {
            self.channel.notify();
        }
    }

    /// The oldest answer, if it is a whole frame; `Err` if it is anything else.
    fn answer(&mut self) -> Option<Result<Answer, ()>> {
        let (number, at) = self.ring.answer()?;
        // Read once: it may change at any time.
        let words: u64 = self.ring.page().read(at);
        let [offset, flags, status] = [16, 32, 48].map(|shift| (words >> shift) as u16);
        let offset = usize::from(offset);
        let has_more = flags & HAS_MORE != 0;
        let is_part = core::mem::replace(&mut self.is_continued, has_more) || has_more;
        // Negative ones are errors.
        let len_bytes = usize::from(status);
        let is_inside =
            (MIN_FRAME_BYTES..=PAGE_BYTES).contains(&len_bytes) && offset <= PAGE_BYTES - len_bytes;
        if is_part || !is_inside || flags & HAS_EXTRA != 0 {
            return Some(Err(()));
        }
        Some(Ok(Answer {
            start: (number % BUFFERS) as usize * PAGE_BYTES + offset,
            len_bytes,
            flags,
        }))
    }

    fn give_back(&mut self) {
        self.ring.take();
        self.give();
        if self.unpublished >= RETURN_BATCH {
            self.publish();
        }
    }

    fn frame_of(&self, answer: &Answer) -> Frame<'_> {
        Frame {
            bytes: self
                .buffers
                .bytes(answer.start..answer.start + answer.len_bytes),
            is_verified: answer.flags & (IS_VALIDATED | IS_BLANK) != 0,
        }
    }
}

impl Receiver for ReceiveRing {
    fn irq(&self) -> Option<Irq> {
        self.irq
    }

    /// There is nothing to take away: events are cleared for all who wait for them.
    fn acknowledge(&mut self) {}

    fn listen(&mut self) -> bool {
        if self.unpublished != 0 {
            self.publish();
        }
        self.ring.listen()
    }

    #[inline]
    fn is_ready(&self) -> bool {
        self.ring.waiting() != 0
    }

    fn frame(&mut self) -> Option<Frame<'_>> {
        // As many rounds as there are buffers, so that who always has another answer cannot keep us here.
        for _ in 0..BUFFERS {
            match self.answer()? {
                Ok(answer) => return Some(self.frame_of(&answer)),
                Err(()) => self.give_back(),
            }
        }
        None
    }

    fn release(&mut self) {
        if self.is_ready() {
            self.give_back();
        }
    }

    fn serve(&mut self, most: usize, take: &mut dyn FnMut(&[u8], bool)) -> usize {
        for count in 0..most {
            let Some(answer) = self.answer() else {
                return count;
            };
            if let Ok(answer) = answer {
                let frame = self.frame_of(&answer);
                take(frame.bytes, frame.is_verified);
            }
            self.give_back();
        }
        most
    }
}
