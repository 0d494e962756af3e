//! The queue of commands (section 5.1.6.5).

use crate::arch::clock;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::virtio::queue::Queue;
use crate::devices::virtio::{Error, Transport};
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

/// How many pairs of queues are used (section 5.1.6.5.5): class and number of the command.
const SET_PAIRS: [u8; 2] = [4, 0];
/// What a command is answered with when it was followed.
const DONE: u8 = 0;
/// Before it is.
const NONE: u8 = 0xFF;
/// Where the answer lies, behind the command.
const ANSWER: usize = 8;
/// How long a device may take before it is taken to be deaf, in nanoseconds. A host that is busy with others is slow; one that has changed
/// its mind later would send frames to queues that nobody reads.
const ANSWER_LIMIT_NS: u64 = if cfg!(test) {
    20_000_000
} else {
    20_000_000_000
};

/// The queue, and memory for one command.
pub(super) struct ControlQueue {
    index: u16,
    queue: Queue,
    memory: DmaBuffer,
}

impl ControlQueue {
    /// Over a queue of two entries: command and answer.
    pub(super) fn new(index: u16, mut queue: Queue) -> Result<Self, Error> {
        if queue.len() < 2 {
            return Err(Error::NoQueue);
        }
        queue.set_silent(true);
        Ok(Self {
            index,
            queue,
            memory: DmaBuffer::new(ANSWER + 1)?,
        })
    }

    /// Has the device use so many pairs of queues; whether it does. The device has begun.
    pub(super) fn set_pairs(mut self, transport: &dyn Transport, count: u16) -> bool {
        let [class, command] = SET_PAIRS;
        let [low, high] = count.to_le_bytes();
        let words = [class, command, low, high];
        self.memory
            .bytes_mut(0..words.len())
            .copy_from_slice(&words);
        self.memory.write(ANSWER, NONE);
        let at = self.memory.phys();
        self.queue.set_buffer(0, at, words.len() as u32, false);
        self.queue.set_buffer(1, at + ANSWER as u64, 1, true);
        self.queue.link(0, 1);
        self.queue.offer(0);
        if self.queue.publish() {
            transport.notify(self.index);
        }
        // Memory alone is looked at: to leave the machine again and again would keep the host from its work. Cards are found with a lock
        // held, so this does not wait for other threads.
        let end_ns = clock::now_ns().saturating_add(ANSWER_LIMIT_NS);
        let is_answered = loop {
            // The clock first: who was away for long looks once more.
            let is_late = clock::now_ns() >= end_ns;
            if self.queue.take_used().is_some() {
                break true;
            }
            if is_late {
                break false;
            }
            core::hint::spin_loop();
        };
        let answer: u8 = self.memory.read(ANSWER);
        // The device knows where queue and memory are.
        core::mem::forget(self);
        is_answered && answer == DONE
    }
}
