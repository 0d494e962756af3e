//! The queue of commands (section 5.6.6.1): three entries each, for the command, its data and what became of it.

use alloc::sync::Arc;

use crate::devices::block::BlockError;
use crate::devices::block::exchange::{Controller, Kind, Request};
use crate::devices::block::scsi::{self, ANSWER_BYTES, CHECK_CONDITION, Cdb, sense_key};
use crate::devices::block::slots::{Fault, MAX_SLOTS};
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::patience::wait_until;
use crate::devices::virtio::queue::Queue;
use crate::devices::virtio::{Error, Transport};
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

/// Number of the first queue of commands.
pub(super) const COMMANDS: u16 = 2;
/// Command, data, response.
const ENTRIES: u16 = 3;

// A command: unit, tag, attributes, and a command block of the length that devices have after a reset (section 5.6.4).
const TAG_AT: usize = 8;
const CDB_AT: usize = 19;
const COMMAND_BYTES: u32 = 19 + 32;
// A response: lengths, status, response, sense data of the length after a reset.
const RESPONSE_AT: usize = 64;
const STATUS_AT: usize = RESPONSE_AT + 10;
const CODE_AT: usize = RESPONSE_AT + 11;
const SENSE_AT: usize = RESPONSE_AT + 12;
const RESPONSE_BYTES: u32 = 12 + 96;
/// Room for both.
const STRIDE: usize = 192;
/// Where answers to the first commands go.
const ANSWER_AT: usize = MAX_SLOTS as usize * STRIDE;

const CODE_OK: u8 = 0;
const CODE_BAD_TARGET: u8 = 3;
/// What no device answers: it stays where the device wrote no response.
const CODE_NONE: u8 = 0xFF;

/// How long the first commands may take.
const PROBE_LIMIT_NS: u64 = 10_000_000_000;
/// A device that was reset says so once, instead of doing what it is told.
const PROBE_ATTEMPTS: usize = 4;

/// Data of a command: address, length, whether the device writes it.
type Data = (u64, u32, bool);

/// An adapter.
pub(super) struct Adapter {
    transport: Arc<dyn Transport>,
    queue: Queue,
    memory: DmaBuffer,
    /// Slots whose request is a flush.
    flushes: u32,
    /// It left one of the first commands without an answer: it is asked no more.
    is_deaf: bool,
}

impl Adapter {
    /// Length of a queue with room for all slots.
    pub(super) const QUEUE_LEN: u16 = (MAX_SLOTS * ENTRIES).next_power_of_two();

    /// No commands yet, and how many there can be.
    ///
    /// # Errors
    /// When the queue is too short, or there is no memory.
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        mut queue: Queue,
        has_interrupt: bool,
    ) -> Result<(Self, u16), Error> {
        let slots = (queue.len() / ENTRIES).min(MAX_SLOTS);
        if slots == 0 {
            return Err(Error::NoQueue);
        }
        queue.set_silent(!has_interrupt);
        let this = Self {
            transport,
            queue,
            memory: DmaBuffer::new(ANSWER_AT + ANSWER_BYTES)?,
            flushes: 0,
            is_deaf: false,
        };
        Ok((this, slots))
    }

    fn give(&mut self, index: u16, target: u32, cdb: &Cdb, data: Option<Data>) {
        let at = usize::from(index) * STRIDE;
        // One level of units, in the flat form (section 5.6.6.1).
        let [_, number, high, low] = target.to_be_bytes();
        let unit = [1, number, high | 0x40, low, 0, 0, 0, 0];
        self.memory.bytes_mut(at..at + STRIDE).fill(0);
        self.memory.write(at, u64::from_le_bytes(unit));
        self.memory.write(at + TAG_AT, u64::from(index));
        for (place, byte) in (at + CDB_AT..).zip(cdb.bytes) {
            self.memory.write(place, byte);
        }
        self.memory.write(at + CODE_AT, CODE_NONE);
        let address = self.memory.phys() + at as u64;
        let (command, content) = (index * ENTRIES, index * ENTRIES + 1);
        let response = content + 1;
        self.queue
            .set_buffer(command, address, COMMAND_BYTES, false);
        let response_at = address + RESPONSE_AT as u64;
        self.queue
            .set_buffer(response, response_at, RESPONSE_BYTES, true);
        // What the device writes comes behind what it reads, and data behind the response.
        match data {
            None => self.queue.link(command, response),
            Some((phys, len_bytes, is_written)) => {
                self.queue.set_buffer(content, phys, len_bytes, is_written);
                let (second, third) = match is_written {
                    true => (response, content),
                    false => (content, response),
                };
                self.queue.link(command, second);
                self.queue.link(second, third);
            }
        }
        self.queue.offer(command);
        if self.queue.publish() {
            self.transport.notify(COMMANDS);
        }
    }

    /// What became of a command.
    fn judge(&self, index: u16) -> Result<(), Fault> {
        let at = usize::from(index) * STRIDE;
        let [code, status]: [u8; 2] =
            [CODE_AT, STATUS_AT].map(|place| self.memory.read(at + place));
        match (code, status) {
            (CODE_OK, 0) => return Ok(()),
            (CODE_OK, _) => {}
            (CODE_BAD_TARGET, _) => {
                let (status, error) = (code, 0);
                return Err(Fault::Lasting(BlockError::Device { status, error }));
            }
            _ => return scsi::judge(code, 0, false),
        }
        let mut key = 0;
        if u16::from(status) == CHECK_CONDITION {
            let sense: u32 = self.memory.read(at + SENSE_AT);
            key = sense_key(sense.to_le_bytes());
        }
        scsi::judge(status, key, self.flushes >> index & 1 != 0)
    }
}

impl scsi::Adapter for Adapter {
    fn ask(&mut self, target: u32, cdb: &Cdb, len_bytes: u32) -> Option<&[u8]> {
        let phys = self.memory.phys() + ANSWER_AT as u64;
        let data = (phys, len_bytes.min(ANSWER_BYTES as u32), true);
        self.memory
            .bytes_mut(ANSWER_AT..ANSWER_AT + ANSWER_BYTES)
            .fill(0);
        for _ in 0..PROBE_ATTEMPTS {
            if self.is_deaf {
                return None;
            }
            self.give(0, target, cdb, Some(data));
            let mut answer = None;
            self.is_deaf = !wait_until(PROBE_LIMIT_NS, || {
                answer = self.next_answer().filter(|(index, _)| *index == 0);
                answer.is_some()
            });
            match answer? {
                (_, Ok(())) => return Some(self.memory.bytes(ANSWER_AT..ANSWER_AT + ANSWER_BYTES)),
                (_, Err(Fault::Lasting(_))) => return None,
                _ => {}
            }
        }
        None
    }
}

impl Controller for Adapter {
    fn send(&mut self, index: u16, phys: u64, request: &Request) {
        let bit = 1 << index;
        self.flushes = match request.kind {
            Kind::Flush => self.flushes | bit,
            _ => self.flushes & !bit,
        };
        let data = match request.kind {
            Kind::Flush => None,
            kind => Some((phys, request.len_bytes, kind == Kind::Read)),
        };
        self.give(index, request.target, &Cdb::of(request), data);
    }

    /// What the device says of lengths is not used: an answer is good if the device wrote that it is.
    fn next_answer(&mut self) -> Option<(u16, Result<(), Fault>)> {
        let (entry, _) = self.queue.take_used()?;
        let index = entry / ENTRIES;
        if index >= MAX_SLOTS {
            return Some((u16::MAX, Ok(())));
        }
        Some((index, self.judge(index)))
    }

    fn acknowledge(&mut self) {
        self.transport.acknowledge_interrupt();
    }
}

const _: () = assert!(SENSE_AT.is_multiple_of(4));
const _: () = assert!(RESPONSE_AT + RESPONSE_BYTES as usize <= STRIDE && MAX_SLOTS <= 32);
