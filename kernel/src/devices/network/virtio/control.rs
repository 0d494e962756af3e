//! The queue of commands (section 5.1.6.5).

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
/// Looks at the device, each of which costs an exit to the host, before it is taken to be deaf.
const PATIENCE: usize = 100_000;

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
        let is_answered = (0..PATIENCE).any(|_| {
            transport.status();
            self.queue.take_used().is_some()
        });
        let answer: u8 = self.memory.read(ANSWER);
        // The device knows where queue and memory are.
        core::mem::forget(self);
        is_answered && answer == DONE
    }
}
