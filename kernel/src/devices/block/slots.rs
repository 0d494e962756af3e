//! Requests that are with a controller: which there are, and what became of them. Nothing here waits.

use alloc::vec::Vec;
use core::mem;

use super::BlockError;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

/// Most bytes of data in a request.
pub(crate) const MAX_DATA_BYTES: usize = 64 << 10;
/// Requests that can be with a controller at once. Their buffers are made when they are first needed.
pub(crate) const MAX_SLOTS: u16 = 4;

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The device says so; it may go better the next time.
    Passing(BlockError),
    /// The device says so, and that another attempt is for nothing.
    Lasting(BlockError),
    /// The controller was reset for another request's sake: it is to be sent once more.
    Aborted,
}

/// The right to have a request with the controller, and the buffer for its data.
pub(crate) struct Slot {
    index: u16,
    buffer: DmaBuffer,
}

impl Slot {
    /// Its number, below [`MAX_SLOTS`].
    pub(crate) fn index(&self) -> u16 {
        self.index
    }

    /// Where the device finds the buffer: contiguous, page aligned.
    pub(crate) fn phys(&self) -> u64 {
        self.buffer.phys()
    }

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
    Answered(Result<(), Fault>),
}

/// The slots of a controller.
pub(crate) struct Slots {
    progress: Vec<Progress>,
    idle: Vec<Slot>,
    /// Slots made so far.
    made: u16,
}

impl Slots {
    /// `count` slots, at least one and at most [`MAX_SLOTS`]. The first is made at once, so that the disk works however little memory is
    /// left later.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn new(count: u16) -> Result<Self, OutOfMemory> {
        let mut this = Self::empty(count);
        let first = this.take().ok_or(OutOfMemory)?;
        this.idle.push(first);
        Ok(this)
    }

    /// The same, but none is made before it is needed.
    pub(crate) fn empty(count: u16) -> Self {
        let count = count.clamp(1, MAX_SLOTS);
        Self {
            progress: (0..count).map(|_| Progress::None).collect(),
            idle: Vec::with_capacity(usize::from(count)),
            made: 0,
        }
    }

    /// Whether any was made so far.
    pub(crate) fn has_any(&self) -> bool {
        self.made > 0
    }

    /// A slot, if one is free or another can be made.
    pub(crate) fn take(&mut self) -> Option<Slot> {
        if let Some(slot) = self.idle.pop() {
            return Some(slot);
        }
        if usize::from(self.made) == self.progress.len() {
            return None;
        }
        let buffer = DmaBuffer::uncleared(MAX_DATA_BYTES).ok()?;
        let index = self.made;
        self.made += 1;
        Some(Slot { index, buffer })
    }

    /// Takes a slot back whose request is answered.
    pub(crate) fn give_back(&mut self, slot: Slot) {
        self.idle.push(slot);
    }

    /// The device gets the request of this slot.
    pub(crate) fn set_sent(&mut self, slot: &Slot) {
        self.progress[usize::from(slot.index)] = Progress::Sent;
    }

    /// The device answered the request of the slot with this number. Answers to what was not asked mean nothing.
    pub(crate) fn answer(&mut self, index: u16, answer: Result<(), Fault>) {
        let Some(progress) = self.progress.get_mut(usize::from(index)) else {
            return;
        };
        match mem::replace(progress, Progress::None) {
            Progress::Sent => *progress = Progress::Answered(answer),
            Progress::Abandoned(slot) => self.idle.push(slot),
            other => *progress = other,
        }
    }

    /// The device has no requests any more: all that it had are answered so.
    pub(crate) fn answer_all(&mut self, answer: Result<(), Fault>) {
        for index in 0..self.made {
            self.answer(index, answer);
        }
    }

    /// The answer to a slot's request, if it is there.
    pub(crate) fn take_answer(&mut self, slot: &Slot) -> Option<Result<(), Fault>> {
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
}

#[cfg(test)]
mod tests {
    use super::{Fault, MAX_SLOTS, Slots};

    #[test]
    fn the_buffer_of_a_request_without_an_answer_is_not_used_again_before_there_is_one() {
        let mut slots = Slots::new(MAX_SLOTS).expect("memory");
        let taken: Vec<_> = (0..MAX_SLOTS)
            .map(|_| slots.take().expect("a slot"))
            .collect();
        for slot in taken {
            slots.set_sent(&slot);
            slots.abandon(slot);
        }
        assert!(slots.take().is_none());
        slots.answer(2, Ok(()));
        let slot = slots.take().expect("the slot that came back");
        assert_eq!(slot.index(), 2);
        assert!(slots.take().is_none());
        assert!(slots.take_answer(&slot).is_none(), "of the new request");
    }

    #[test]
    fn answers_to_what_was_not_asked_mean_nothing() {
        let mut slots = Slots::new(MAX_SLOTS).expect("memory");
        let slot = slots.take().expect("a slot");
        for index in [0, 1, MAX_SLOTS, u16::MAX] {
            slots.answer(index, Ok(()));
        }
        slots.set_sent(&slot);
        assert!(slots.take_answer(&slot).is_none());
        slots.answer(slot.index(), Err(Fault::Aborted));
        // The first answer holds.
        slots.answer(slot.index(), Ok(()));
        assert_eq!(slots.take_answer(&slot), Some(Err(Fault::Aborted)));
        assert_eq!(slots.take_answer(&slot), None);
    }
}
