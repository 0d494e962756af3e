//! A pair of queues: commands to the controller, completions from it (NVM Express 1.4, section 4.1).

use core::sync::atomic::{Ordering, fence};

use super::registers::{Command, DOORBELLS};
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::registers::Registers;
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

/// Entries of either queue: more than there are commands at once, so neither is ever full. A page of commands.
pub(super) const ENTRIES: u16 = 16;
const COMMAND_BYTES: usize = 64;
const COMPLETION_BYTES: usize = 16;
/// The completions' page.
const COMPLETIONS_AT: usize = 4096;

/// What became of a command.
pub(super) struct Completion {
    /// The command's identifier, as the device says.
    pub(super) id: u16,
    /// Its status, 0 for success, without the phase.
    pub(super) status: u16,
}

/// A pair of queues.
pub(super) struct QueuePair {
    memory: DmaBuffer,
    /// Where the doorbells of both are.
    doorbells: [usize; 2],
    tail: u16,
    head: u16,
    /// What new completions have in their phase bit.
    phase: bool,
}

impl QueuePair {
    /// Pair `number`, 0 for the admin queues, of a controller with doorbells so far apart.
    pub(super) fn new(number: u16, stride_bytes: usize) -> Result<Self, OutOfMemory> {
        let first = DOORBELLS + 2 * usize::from(number) * stride_bytes;
        Ok(Self {
            memory: DmaBuffer::new(2 * COMPLETIONS_AT)?,
            doorbells: [first, first + stride_bytes],
            tail: 0,
            head: 0,
            phase: true,
        })
    }

    /// Addresses of commands and completions.
    pub(super) fn addresses(&self) -> [u64; 2] {
        [
            self.memory.phys(),
            self.memory.phys() + COMPLETIONS_AT as u64,
        ]
    }

    /// As new; the controller must have let go of it.
    pub(super) fn clear(&mut self) {
        self.memory.bytes_mut(0..2 * COMPLETIONS_AT).fill(0);
        (self.tail, self.head, self.phase) = (0, 0, true);
    }

    /// Gives a command to the controller.
    pub(super) fn submit(&mut self, registers: &impl Registers, id: u16, command: &Command) {
        let at = usize::from(self.tail) * COMMAND_BYTES;
        let first = u32::from(command.opcode) | u32::from(id) << 16;
        self.memory.write(at, first);
        self.memory.write(at + 4, command.namespace);
        for unused in [8, 16] {
            self.memory.write(at + unused, 0u64);
        }
        for (index, address) in command.data.into_iter().enumerate() {
            self.memory.write(at + 24 + 8 * index, address);
        }
        let words = command.words.into_iter().chain([0; 3]);
        for (index, word) in words.enumerate() {
            self.memory.write(at + 40 + 4 * index, word);
        }
        self.tail = (self.tail + 1) % ENTRIES;
        fence(Ordering::SeqCst);
        registers.write(self.doorbells[0], u32::from(self.tail));
    }

    /// The next completion, if there is one.
    pub(super) fn next_completion(&mut self, registers: &impl Registers) -> Option<Completion> {
        let at = COMPLETIONS_AT + usize::from(self.head) * COMPLETION_BYTES;
        let last: u32 = self.memory.read(at + 12);
        let status = (last >> 16) as u16;
        if (status & 1 != 0) != self.phase {
            return None;
        }
        self.head = (self.head + 1) % ENTRIES;
        self.phase ^= self.head == 0;
        registers.write(self.doorbells[1], u32::from(self.head));
        Some(Completion {
            id: last as u16,
            status: status >> 1,
        })
    }
}

const _: () = assert!(ENTRIES as usize * COMMAND_BYTES <= COMPLETIONS_AT);
