//! A port with its disk: command headers and tables, errors and what follows from them (AHCI 1.3.1, chapters 4 to 6).
//!
//! The commands are those of ATA/ATAPI-8 ACS, without native queueing: the device does them one after another.

use core::sync::atomic::{Ordering, fence};

use super::registers::{
    CI, CLB, CLBU, CMD, CMD_POWER, CMD_RECEIVE, CMD_RECEIVING, CMD_RUNNING, CMD_SLOT, CMD_SPIN_UP,
    CMD_START, FB, FBU, HEADER_BYTES, HEADER_FIS_LEN, HEADER_ONE_REGION, HEADER_WRITE, IDENTITY_AT,
    INT_ERRORS, INT_FIS, INT_LINK, IS, MEMORY_BYTES, PORT_IE, PORT_IS, RECEIVED_AT, REGION_AT,
    SCTL, SERR, SIG, SIG_DISK, SSTS, SSTS_DETECTION, SSTS_PRESENT, TABLE_BYTES, TABLES_AT, TFD,
    TFD_BUSY, port,
};
use crate::devices::block::BlockError;
use crate::devices::block::exchange::{Controller, Kind, Request};
use crate::devices::block::ide::identify::{self, IdentifyError, Identity};
use crate::devices::block::slots::{Fault, MAX_SLOTS};
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::devices::patience::wait_until;
use crate::devices::registers::Registers;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

const MS: u64 = 1_000_000;
/// How long a port may take to stop (10.3.2), a link to come up, and a disk to be ready for commands.
const STOP_LIMIT_NS: u64 = 500 * MS;
const LINK_LIMIT_NS: u64 = 1_000 * MS;
const READY_LIMIT_NS: u64 = 10_000 * MS;

const FIS_HOST_TO_DEVICE: u8 = 0x27;
/// The FIS has a command, not a change of the control register.
const FIS_COMMAND: u8 = 1 << 7;
const DEVICE_LBA: u8 = 1 << 6;

const READ_DMA: u8 = 0xC8;
const READ_DMA_EXT: u8 = 0x25;
const WRITE_DMA: u8 = 0xCA;
const WRITE_DMA_EXT: u8 = 0x35;
const FLUSH: u8 = 0xE7;
const FLUSH_EXT: u8 = 0xEA;
const IDENTIFY: u8 = 0xEC;

/// What a register of a device that is not there any more reads as.
const NOTHING: u32 = u32::MAX;

/// A command with its address and count.
struct Command {
    command: u8,
    first: u64,
    sectors: u16,
    is_long: bool,
}

/// A port.
pub(super) struct Port<R> {
    registers: R,
    number: u8,
    memory: DmaBuffer,
    has_lba48: bool,
    /// Bits of the slots that the device has.
    outstanding: u32,
    /// What the port interrupted for, not yet looked at.
    causes: u32,
    needs_reset: bool,
}

impl<R: Registers> Port<R> {
    /// Takes over a port; `None` where no disk is (nothing, or a packet device).
    pub(super) fn start(
        registers: R,
        number: u8,
        spins_up: bool,
        memory: DmaBuffer,
    ) -> Option<Self> {
        let this = Self {
            registers,
            number,
            memory,
            has_lba48: false,
            outstanding: 0,
            causes: 0,
            needs_reset: false,
        };
        this.stop()?;
        if spins_up {
            this.write(CMD, this.read(CMD) | CMD_POWER | CMD_SPIN_UP);
            wait_until(LINK_LIMIT_NS / 10, || this.is_present());
        }
        if !this.is_present() {
            return None;
        }
        let base = this.memory.phys();
        let received = base + RECEIVED_AT as u64;
        for (register, value) in [(CLB, base), (FB, received)] {
            this.write(register, value as u32);
        }
        for (register, value) in [(CLBU, base), (FBU, received)] {
            this.write(register, (value >> 32) as u32);
        }
        // The signature is there when the device is ready.
        if this.run().is_some() && this.read(SIG) == SIG_DISK {
            return Some(this);
        }
        this.give_up();
        None
    }

    /// Lets go of the port. Its memory is only freed if the port has stopped using it.
    pub(super) fn give_up(self) {
        if self.stop().is_none() {
            core::mem::forget(self);
        }
    }

    /// Asks the disk who it is. `None` when it does not answer.
    pub(super) fn identify(&mut self) -> Option<Result<Identity, IdentifyError>> {
        let command = Command {
            command: IDENTIFY,
            first: 0,
            sectors: 0,
            is_long: true,
        };
        self.issue(
            0,
            &command,
            Some((self.memory.phys() + IDENTITY_AT as u64, 512, false)),
        );
        let is_done = wait_until(READY_LIMIT_NS, || {
            self.read(CI) & 1 == 0 || self.read(PORT_IS) & INT_ERRORS != 0
        });
        self.outstanding = 0;
        if !is_done || self.read(PORT_IS) & INT_ERRORS != 0 {
            return None;
        }
        self.write(PORT_IS, self.read(PORT_IS));
        let words = core::array::from_fn(|at| self.memory.read(IDENTITY_AT + 2 * at));
        let identity = identify::parse(&words);
        self.has_lba48 = identity.as_ref().is_ok_and(|identity| identity.has_lba48);
        Some(identity)
    }

    /// Lets it interrupt.
    pub(super) fn enable_interrupts(&self) {
        self.write(PORT_IE, INT_FIS | INT_LINK | INT_ERRORS);
    }

    fn read(&self, register: usize) -> u32 {
        self.registers.read(port(self.number) + register)
    }

    fn write(&self, register: usize, value: u32) {
        self.registers.write(port(self.number) + register, value);
    }

    fn is_present(&self) -> bool {
        self.read(SSTS) & SSTS_DETECTION == SSTS_PRESENT && self.read(CMD) != NOTHING
    }

    /// Stops commands and receiving (10.3.2).
    fn stop(&self) -> Option<()> {
        self.write(PORT_IE, 0);
        self.write(CMD, self.read(CMD) & !CMD_START);
        let is_stopped = wait_until(STOP_LIMIT_NS, || self.read(CMD) & CMD_RUNNING == 0);
        self.write(CMD, self.read(CMD) & !CMD_RECEIVE);
        let is_silent = wait_until(STOP_LIMIT_NS, || self.read(CMD) & CMD_RECEIVING == 0);
        (is_stopped && is_silent).then_some(())
    }

    /// Starts receiving, then commands, when the disk is ready for them (10.3.1).
    fn run(&self) -> Option<()> {
        self.write(CMD, self.read(CMD) | CMD_RECEIVE);
        self.write(SERR, !0);
        self.write(PORT_IS, !0);
        self.registers.write(IS, 1 << self.number);
        if !wait_until(READY_LIMIT_NS, || self.read(TFD) & TFD_BUSY == 0) {
            return None;
        }
        self.write(CMD, self.read(CMD) | CMD_START);
        Some(())
    }

    /// Puts a command into a slot. The data: its address, its length, and whether it goes to the disk.
    fn issue(&mut self, index: u16, command: &Command, data: Option<(u64, u32, bool)>) {
        let (header, table) = (
            usize::from(index) * HEADER_BYTES,
            TABLES_AT + usize::from(index) * TABLE_BYTES,
        );
        let lba = command.first.to_le_bytes();
        // A short command has the address's highest four bits in the device register.
        let top = if command.is_long { 0 } else { lba[3] & 0xF };
        let count = command.sectors.to_le_bytes();
        let [low, high] = if command.is_long {
            [lba[3], lba[4]]
        } else {
            [0; 2]
        };
        let fis = [
            [FIS_HOST_TO_DEVICE, FIS_COMMAND, command.command, 0],
            [lba[0], lba[1], lba[2], DEVICE_LBA | top],
            [low, high, if command.is_long { lba[5] } else { 0 }, 0],
            [count[0], count[1], 0, 0],
            [0; 4],
        ];
        for (at, word) in fis.into_iter().enumerate() {
            self.memory.write(table + 4 * at, u32::from_le_bytes(word));
        }
        let mut flags = HEADER_FIS_LEN;
        if let Some((address, len_bytes, is_write)) = data {
            flags |= HEADER_ONE_REGION | if is_write { HEADER_WRITE } else { 0 };
            self.memory.write(table + REGION_AT, address);
            self.memory.write(table + REGION_AT + 8, 0u32);
            self.memory.write(table + REGION_AT + 12, len_bytes - 1);
        }
        self.memory.write(header, flags);
        self.memory.write(header + 4, 0u32);
        self.memory
            .write(header + 8, self.memory.phys() + table as u64);
        self.outstanding |= 1 << index;
        fence(Ordering::SeqCst);
        self.write(CI, 1 << index);
    }

    /// Collects what the port interrupted for.
    fn note_causes(&mut self) {
        let causes = self.read(PORT_IS);
        if causes != 0 {
            self.causes |= causes;
            self.write(PORT_IS, causes);
        }
    }

    /// Resets the link (10.4.2).
    fn reset_link(&self) -> bool {
        self.write(SCTL, 1);
        // At least a millisecond.
        wait_until(2 * MS, || false);
        self.write(SCTL, 0);
        wait_until(LINK_LIMIT_NS, || self.is_present())
    }
}

impl<R: Registers> Controller for Port<R> {
    fn send(&mut self, index: u16, phys: u64, request: &Request) {
        let is_long = self.has_lba48;
        let command = match (request.kind, is_long) {
            (Kind::Read, true) => READ_DMA_EXT,
            (Kind::Read, false) => READ_DMA,
            (Kind::Write, true) => WRITE_DMA_EXT,
            (Kind::Write, false) => WRITE_DMA,
            (Kind::Flush, true) => FLUSH_EXT,
            (Kind::Flush, false) => FLUSH,
        };
        let command = Command {
            command,
            first: request.first_sector,
            sectors: request.sectors as u16,
            is_long,
        };
        let is_write = request.kind == Kind::Write;
        let data = (request.kind != Kind::Flush).then_some((phys, request.len_bytes, is_write));
        self.issue(index, &command, data);
    }

    fn next_answer(&mut self) -> Option<(u16, Result<(), Fault>)> {
        if self.outstanding == 0 || self.needs_reset {
            return None;
        }
        // Errors first: a command that fails may be taken for done later.
        self.note_causes();
        let running = self.read(CI);
        let done = self.outstanding & !running;
        if done != 0 && self.causes & INT_ERRORS == 0 {
            let index = done.trailing_zeros();
            self.outstanding &= !(1 << index);
            return Some((index as u16, Ok(())));
        }
        if self.causes & INT_ERRORS != 0 {
            self.needs_reset = true;
            let slot = self.read(CMD) >> CMD_SLOT & 0x1F;
            let index = match self.outstanding >> slot & 1 {
                0 => self.outstanding.trailing_zeros(),
                _ => slot,
            };
            let [status, error, ..] = self.read(TFD).to_le_bytes();
            self.outstanding &= !(1 << index);
            let error = BlockError::Device { status, error };
            return Some((index as u16, Err(Fault::Passing(error))));
        }
        if self.causes & INT_LINK != 0 {
            self.causes &= !INT_LINK;
            self.needs_reset = !self.is_present();
        }
        None
    }

    fn acknowledge(&mut self) {
        self.note_causes();
        self.registers.write(IS, 1 << self.number);
    }

    fn needs_reset(&self) -> bool {
        self.needs_reset
    }

    fn can_reset(&self) -> bool {
        true
    }

    fn reset(&mut self) -> bool {
        let is_stopped = self.stop().is_some();
        if !is_stopped || self.read(TFD) & TFD_BUSY != 0 {
            // Else the link would forget what the disk was told of its modes.
            if !self.reset_link() {
                return false;
            }
        }
        if !self.is_present() || self.run().is_none() {
            return false;
        }
        self.outstanding = 0;
        self.causes = 0;
        self.needs_reset = false;
        self.enable_interrupts();
        true
    }
}

const _: () = assert!(TABLES_AT + MAX_SLOTS as usize * TABLE_BYTES <= IDENTITY_AT);
const _: () = assert!(IDENTITY_AT + 512 <= MEMORY_BYTES);
