//! The adapter: its rings of requests and completions.

use core::sync::atomic::{Ordering, fence};

use super::registers::{
    ANSWER_AT, COMMAND, COMMAND_DATA, COMMAND_STATUS, COMPLETION_BYTES, COMPLETIONS,
    COMPLETIONS_AT, COMPLETIONS_MADE, COMPLETIONS_TAKEN, INTERRUPT_COMPLETIONS, INTERRUPT_MASK,
    INTERRUPT_STATUS, KICK_DATA, KICK_OTHER, MEMORY_BYTES, NO_DATA, PAGE_BYTES, REQUEST_BYTES,
    REQUESTS, REQUESTS_AT, REQUESTS_GIVEN, RESET_ADAPTER, SENSE_AT, SET_UP_RINGS, SET_UP_WORDS,
    TO_DEVICE, TO_HOST,
};
use crate::devices::block::exchange::{Controller, Kind, Request};
use crate::devices::block::scsi::{self, ANSWER_BYTES, CHECK_CONDITION, Cdb, sense_key};
use crate::devices::block::slots::{Fault, MAX_SLOTS};
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::patience::wait_until;
use crate::devices::registers::Registers;
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

const SENSE_BYTES: usize = 32;
/// How long the first commands may take.
const PROBE_LIMIT_NS: u64 = 10_000_000_000;
/// A device that was reset says so once, instead of doing what it is told.
const PROBE_ATTEMPTS: usize = 4;
/// What a register of an adapter that is not there any more reads as.
const NOTHING: u32 = u32::MAX;

/// An adapter.
pub(super) struct Adapter<R> {
    registers: R,
    memory: DmaBuffer,
    given: u32,
    taken: u32,
    has_interrupt: bool,
    /// Slots whose request is a flush.
    flushes: u32,
    /// It left one of the first commands without an answer: it is asked no more.
    is_deaf: bool,
}

/// A request's data: address, length, direction.
struct Data {
    phys: u64,
    len_bytes: u32,
    direction: u32,
}

impl<R: Registers> Adapter<R> {
    /// Resets an adapter and tells it of its rings.
    pub(super) fn start(registers: R) -> Result<Self, OutOfMemory> {
        let mut this = Self {
            registers,
            memory: DmaBuffer::new(MEMORY_BYTES)?,
            given: 0,
            taken: 0,
            has_interrupt: false,
            flushes: 0,
            is_deaf: false,
        };
        this.set_up();
        Ok(this)
    }

    fn set_up(&mut self) {
        self.registers.write(COMMAND, RESET_ADAPTER);
        self.memory.bytes_mut(0..MEMORY_BYTES).fill(0);
        (self.given, self.taken, self.flushes) = (0, 0, 0);
        let page = |number: u64| self.memory.phys() / PAGE_BYTES as u64 + number;
        let mut words = [0; SET_UP_WORDS];
        (words[0], words[1]) = (1, 1);
        for (at, number) in [(2, 0), (4, 1), (4 + 64, 2)] {
            words[at] = page(number) as u32;
            words[at + 1] = (page(number) >> 32) as u32;
        }
        self.registers.write(COMMAND, SET_UP_RINGS);
        for word in words {
            self.registers.write(COMMAND_DATA, word);
        }
    }

    /// Has completions interrupt.
    pub(super) fn enable_interrupts(&mut self) {
        self.has_interrupt = true;
        self.registers.write(INTERRUPT_MASK, INTERRUPT_COMPLETIONS);
    }

    /// Has the adapter forget its rings, so that their memory can be freed.
    pub(super) fn give_up(self) {
        self.registers.write(INTERRUPT_MASK, 0);
        self.registers.write(COMMAND, RESET_ADAPTER);
    }

    fn give(&mut self, index: u16, target: u32, cdb: &Cdb, data: &Data) {
        let at = REQUESTS_AT + (self.given % REQUESTS) as usize * REQUEST_BYTES;
        self.memory.bytes_mut(at..at + REQUEST_BYTES).fill(0);
        let sense = SENSE_AT + usize::from(index) * SENSE_BYTES;
        self.memory.write(sense, 0u32);
        // 0 is no good context: some adapters take it for none.
        self.memory.write(at, u64::from(index) + 1);
        self.memory.write(at + 8, data.phys);
        self.memory.write(at + 16, u64::from(data.len_bytes));
        self.memory
            .write(at + 24, self.memory.phys() + sense as u64);
        self.memory.write(at + 32, SENSE_BYTES as u32);
        self.memory.write(at + 36, data.direction);
        for (place, byte) in (at + 40..).zip(cdb.bytes) {
            self.memory.write(place, byte);
        }
        self.memory.write(at + 56, cdb.len);
        // A simple tag; the unit 0.
        self.memory.write(at + 65, 0x20u8);
        self.memory.write(at + 67, target as u8);
        fence(Ordering::SeqCst);
        self.given = self.given.wrapping_add(1);
        self.memory.write(REQUESTS_GIVEN, self.given);
        fence(Ordering::SeqCst);
        let kick = if data.direction == NO_DATA {
            KICK_OTHER
        } else {
            KICK_DATA
        };
        self.registers.write(kick, 0);
    }

    /// The next completion: a slot, and status of host and device.
    fn completion(&mut self) -> Option<(u16, u16, u16)> {
        let made: u32 = self.memory.read(COMPLETIONS_MADE);
        if made == self.taken {
            return None;
        }
        fence(Ordering::SeqCst);
        let at = COMPLETIONS_AT + (self.taken % COMPLETIONS) as usize * COMPLETION_BYTES;
        let context: u64 = self.memory.read(at);
        let (host, device) = (self.memory.read(at + 20), self.memory.read(at + 22));
        self.taken = self.taken.wrapping_add(1);
        self.memory.write(COMPLETIONS_TAKEN, self.taken);
        let index = context
            .checked_sub(1)
            .and_then(|index| index.try_into().ok());
        Some((index.unwrap_or(u16::MAX), host, device))
    }

    /// What became of a request.
    fn judge(&self, index: u16, host: u16, device: u16) -> Result<(), Fault> {
        if host == 0 && device == 0 {
            return Ok(());
        }
        let mut key = 0;
        if host == 0 && device == CHECK_CONDITION && index < MAX_SLOTS {
            let sense: u32 = self
                .memory
                .read(SENSE_AT + usize::from(index) * SENSE_BYTES);
            key = sense_key(sense.to_le_bytes());
        }
        let status = if host != 0 { host } else { device };
        scsi::judge(status as u8, key, self.flushes >> index & 1 != 0)
    }
}

impl<R: Registers> scsi::Adapter for Adapter<R> {
    fn ask(&mut self, target: u32, cdb: &Cdb, len_bytes: u32) -> Option<&[u8]> {
        let data = Data {
            phys: self.memory.phys() + ANSWER_AT as u64,
            len_bytes: len_bytes.min(ANSWER_BYTES as u32),
            direction: TO_HOST,
        };
        let is_done = (0..PROBE_ATTEMPTS).any(|_| {
            if self.is_deaf {
                return false;
            }
            self.give(0, target, cdb, &data);
            let mut answer = None;
            self.is_deaf = !wait_until(PROBE_LIMIT_NS, || {
                answer = self.completion().filter(|(index, ..)| *index == 0);
                answer.is_some()
            });
            answer.is_some_and(|(index, host, device)| self.judge(index, host, device).is_ok())
        });
        is_done.then(|| self.memory.bytes(ANSWER_AT..ANSWER_AT + ANSWER_BYTES))
    }
}

impl<R: Registers> Controller for Adapter<R> {
    fn send(&mut self, index: u16, phys: u64, request: &Request) {
        let direction = match request.kind {
            Kind::Read => TO_HOST,
            Kind::Write => TO_DEVICE,
            Kind::Flush => NO_DATA,
        };
        let bit = 1 << index;
        self.flushes = match request.kind {
            Kind::Flush => self.flushes | bit,
            _ => self.flushes & !bit,
        };
        let data = Data {
            phys,
            len_bytes: request.len_bytes,
            direction,
        };
        self.give(index, request.target, &Cdb::of(request), &data);
    }

    fn next_answer(&mut self) -> Option<(u16, Result<(), Fault>)> {
        let (index, host, device) = self.completion()?;
        if index >= MAX_SLOTS {
            return Some((index, Ok(())));
        }
        Some((index, self.judge(index, host, device)))
    }

    fn acknowledge(&mut self) {
        let causes = self.registers.read(INTERRUPT_STATUS);
        self.registers.write(INTERRUPT_STATUS, causes);
    }

    fn can_reset(&self) -> bool {
        true
    }

    fn reset(&mut self) -> bool {
        if self.registers.read(COMMAND_STATUS) == NOTHING {
            return false;
        }
        self.set_up();
        if self.has_interrupt {
            self.enable_interrupts();
        }
        true
    }
}

const _: () = assert!(SENSE_AT + MAX_SLOTS as usize * SENSE_BYTES <= ANSWER_AT);
const _: () = assert!(ANSWER_AT + ANSWER_BYTES <= MEMORY_BYTES);
