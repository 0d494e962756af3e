//! A channel: one set of registers and up to two drives, and the PIO and DMA protocols (ATA/ATAPI-7 volume 2, clause 5).
//!
//! Whether a drive is ready is seen in its status; between two looks, [`Registers::rest_until`] may sleep until it interrupts. Every wait
//! ends. A command that fails is tried again, after a reset of the channel, before its error is returned.

use super::bus_master::Dma;
use super::identify::{self, IdentifyError, Identity};
use super::registers::{Register, Registers};
use crate::devices::block::BlockError;

const STATUS_ERR: u8 = 1;
const STATUS_DRQ: u8 = 1 << 3;
const STATUS_DF: u8 = 1 << 5;
const STATUS_BSY: u8 = 1 << 7;
/// What an empty bus reads as.
const FLOATING: u8 = 0xFF;

const CONTROL_NO_INTERRUPTS: u8 = 1 << 1;
const CONTROL_RESET: u8 = 1 << 2;

const DEVICE_LBA: u8 = 0xE0;

/// The commands, from ATA/ATAPI-8 ACS.
mod command {
    pub(super) const READ: u8 = 0x20;
    pub(super) const READ_EXT: u8 = 0x24;
    pub(super) const READ_DMA_EXT: u8 = 0x25;
    pub(super) const READ_MULTIPLE_EXT: u8 = 0x29;
    pub(super) const WRITE: u8 = 0x30;
    pub(super) const WRITE_EXT: u8 = 0x34;
    pub(super) const WRITE_DMA_EXT: u8 = 0x35;
    pub(super) const WRITE_MULTIPLE_EXT: u8 = 0x39;
    pub(super) const READ_MULTIPLE: u8 = 0xC4;
    pub(super) const WRITE_MULTIPLE: u8 = 0xC5;
    pub(super) const SET_MULTIPLE: u8 = 0xC6;
    pub(super) const READ_DMA: u8 = 0xC8;
    pub(super) const WRITE_DMA: u8 = 0xCA;
    pub(super) const FLUSH: u8 = 0xE7;
    pub(super) const FLUSH_EXT: u8 = 0xEA;
    pub(super) const IDENTIFY: u8 = 0xEC;
}

const MS: u64 = 1_000_000;
/// How long a drive may take to answer a command; a sleeping one has to spin up first.
const COMMAND_LIMIT_NS: u64 = 10_000 * MS;
/// How long a drive may take to say who it is, when we look for drives.
const PROBE_LIMIT_NS: u64 = 2_000 * MS;
const ATTEMPTS: usize = 3;
/// Sectors a command moves at most: what both kinds of command can say.
const MAX_SECTORS: usize = 256;

/// Which of a channel's two drives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// Device 0.
    Master,
    /// Device 1.
    Slave,
}

impl Position {
    fn device_bits(self) -> u8 {
        match self {
            Self::Master => 0,
            Self::Slave => 1 << 4,
        }
    }
}

/// A drive of a channel, as the channel needs to know it.
#[derive(Clone, Copy, Debug)]
pub struct Drive {
    /// Where it hangs.
    pub position: Position,
    /// Bytes in a sector.
    pub sector_len_bytes: usize,
    /// Whether it takes 48-bit addresses.
    pub has_lba48: bool,
    /// Whether it moves data by DMA, where the channel can.
    pub has_dma: bool,
    /// Whether it has a cache to flush.
    pub has_flush: bool,
    /// Sectors that READ MULTIPLE moves for one DRQ: set by SET MULTIPLE MODE, 0 when that is off.
    pub multiple: u8,
}

/// A channel with its registers.
pub struct Channel<R> {
    registers: R,
    /// Bits of the device control register that stay.
    control: u8,
    /// DMA went wrong once, so data is moved by the processor.
    is_dma_off: bool,
}

/// A step of a command failed.
enum Fault {
    Timeout,
    Reported { status: u8, error: u8 },
}

impl From<Fault> for BlockError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Timeout => Self::Timeout,
            Fault::Reported { status, error } => Self::Device { status, error },
        }
    }
}

impl<R: Registers> Channel<R> {
    /// Takes over a channel's registers; `None` where nothing answers.
    pub fn new(mut registers: R) -> Option<Self> {
        if registers.read(Register::StatusCommand) == FLOATING {
            return None;
        }
        registers.control(CONTROL_NO_INTERRUPTS);
        Some(Self {
            registers,
            control: CONTROL_NO_INTERRUPTS,
            is_dma_off: false,
        })
    }

    /// Lets the drives interrupt.
    pub fn enable_interrupts(&mut self) {
        self.control = 0;
        self.registers.control(self.control);
    }

    /// The registers.
    pub fn registers_mut(&mut self) -> &mut R {
        &mut self.registers
    }

    /// Asks for a drive: `None` where there is none, or none that is an ATA disk (ATAPI drives answer otherwise).
    pub fn identify(&mut self, position: Position) -> Option<Result<Identity, IdentifyError>> {
        let r = &mut self.registers;
        r.write(Register::Device, DEVICE_LBA | position.device_bits());
        self.settle();
        let r = &mut self.registers;
        // An absent drive's registers do not keep what is written.
        r.write(Register::SectorCount, 0x55);
        r.write(Register::LbaLow, 0xAA);
        if r.read(Register::SectorCount) != 0x55 || r.read(Register::LbaLow) != 0xAA {
            return None;
        }
        if matches!(r.read(Register::StatusCommand), 0 | FLOATING) {
            return None;
        }
        self.wait_not_busy(PROBE_LIMIT_NS).ok()?;
        self.registers
            .write(Register::StatusCommand, command::IDENTIFY);
        self.settle();
        if self.registers.read(Register::StatusCommand) == 0 {
            return None;
        }
        // A packet device aborts the command.
        self.wait_data(PROBE_LIMIT_NS).ok()?;
        let mut bytes = [0; 512];
        self.registers.read_data(&mut bytes);
        let mut words = [0; 256];
        for (word, pair) in words.iter_mut().zip(bytes.chunks_exact(2)) {
            *word = u16::from_le_bytes([pair[0], pair[1]]);
        }
        Some(identify::parse(&words))
    }

    /// Turns on READ and WRITE MULTIPLE with blocks of up to 16 sectors; returns their size, 0 when the drive has no such mode.
    pub fn set_multiple(&mut self, position: Position, max_multiple: u8) -> u8 {
        let count = match max_multiple.min(16) {
            0 | 1 => return 0,
            max => 1 << max.ilog2(),
        };
        let is_set = self.select(position, 0).is_ok() && {
            self.registers.write(Register::SectorCount, count);
            self.registers
                .write(Register::StatusCommand, command::SET_MULTIPLE);
            self.settle();
            self.wait_done(PROBE_LIMIT_NS).is_ok()
        };
        if is_set { count } else { 0 }
    }

    /// Reads whole sectors; the caller has checked the range.
    pub fn read(&mut self, drive: &Drive, first: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let sectors = self.max_sectors(drive);
        let chunks = buf.chunks_mut(sectors * drive.sector_len_bytes);
        for (lba, chunk) in (first..).step_by(sectors).zip(chunks) {
            self.with_retries(drive, |channel| channel.read_once(drive, lba, chunk))?;
        }
        Ok(())
    }

    /// Writes whole sectors; the caller has checked the range.
    pub fn write(&mut self, drive: &Drive, first: u64, buf: &[u8]) -> Result<(), BlockError> {
        let sectors = self.max_sectors(drive);
        let chunks = buf.chunks(sectors * drive.sector_len_bytes);
        for (lba, chunk) in (first..).step_by(sectors).zip(chunks) {
            self.with_retries(drive, |channel| channel.write_once(drive, lba, chunk))?;
        }
        Ok(())
    }

    /// Has the drive write its cache to the medium.
    pub fn flush(&mut self, drive: &Drive) -> Result<(), BlockError> {
        if !drive.has_flush {
            return Ok(());
        }
        let flush = if drive.has_lba48 {
            command::FLUSH_EXT
        } else {
            command::FLUSH
        };
        self.with_retries(drive, |channel| {
            channel.select(drive.position, 0)?;
            channel.registers.write(Register::StatusCommand, flush);
            channel.settle();
            channel.wait_done(3 * COMMAND_LIMIT_NS)
        })
    }

    /// How many sectors a command moves at most.
    fn max_sectors(&mut self, drive: &Drive) -> usize {
        let dma_sectors = |dma: &mut dyn Dma| dma.max_bytes() / drive.sector_len_bytes;
        self.dma(drive)
            .map_or(MAX_SECTORS, dma_sectors)
            .clamp(1, MAX_SECTORS)
    }

    /// What moves data from and to a drive by DMA, if anything does.
    fn dma(&mut self, drive: &Drive) -> Option<&mut dyn Dma> {
        if self.is_dma_off || !drive.has_dma {
            return None;
        }
        self.registers.dma()
    }

    fn with_retries(
        &mut self,
        drive: &Drive,
        mut attempt: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), BlockError> {
        let mut tried = 0;
        loop {
            let fault = match attempt(self) {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            tried += 1;
            if self.dma(drive).is_some() {
                log::warn!("IDE: DMA failed; the processor moves data instead");
                self.is_dma_off = true;
            }
            if tried == ATTEMPTS || self.reset().is_err() {
                return Err(fault.into());
            }
            if drive.multiple != 0 && self.set_multiple(drive.position, drive.multiple) == 0 {
                return Err(fault.into());
            }
        }
    }

    fn read_once(&mut self, drive: &Drive, lba: u64, buf: &mut [u8]) -> Result<(), Fault> {
        if self.dma(drive).is_some() {
            self.move_by_dma(drive, lba, buf.len(), true)?;
            if let Some(dma) = self.registers.dma() {
                buf.copy_from_slice(dma.buffer(buf.len()));
            }
            return Ok(());
        }
        self.start(
            drive,
            lba,
            buf.len(),
            &[
                command::READ,
                command::READ_MULTIPLE,
                command::READ_EXT,
                command::READ_MULTIPLE_EXT,
            ],
        )?;
        for block in buf.chunks_mut(usize::from(drive.multiple.max(1)) * drive.sector_len_bytes) {
            self.wait_data(COMMAND_LIMIT_NS)?;
            self.registers.read_data(block);
            self.settle();
        }
        self.wait_done(COMMAND_LIMIT_NS)
    }

    fn write_once(&mut self, drive: &Drive, lba: u64, buf: &[u8]) -> Result<(), Fault> {
        if let Some(dma) = self.dma(drive) {
            dma.buffer(buf.len()).copy_from_slice(buf);
            return self.move_by_dma(drive, lba, buf.len(), false);
        }
        self.start(
            drive,
            lba,
            buf.len(),
            &[
                command::WRITE,
                command::WRITE_MULTIPLE,
                command::WRITE_EXT,
                command::WRITE_MULTIPLE_EXT,
            ],
        )?;
        for block in buf.chunks(usize::from(drive.multiple.max(1)) * drive.sector_len_bytes) {
            self.wait_data(COMMAND_LIMIT_NS)?;
            self.registers.write_data(block);
            self.settle();
        }
        self.wait_done(COMMAND_LIMIT_NS)
    }

    /// Moves bytes between the drive and the start of the DMA buffer.
    fn move_by_dma(
        &mut self,
        drive: &Drive,
        lba: u64,
        len_bytes: usize,
        is_read: bool,
    ) -> Result<(), Fault> {
        let (short, long) = match is_read {
            true => (command::READ_DMA, command::READ_DMA_EXT),
            false => (command::WRITE_DMA, command::WRITE_DMA_EXT),
        };
        if let Some(dma) = self.registers.dma() {
            dma.prepare(len_bytes, is_read);
        }
        self.start(drive, lba, len_bytes, &[short, short, long, long])?;
        if let Some(dma) = self.registers.dma() {
            dma.start();
        }
        let waited = self.wait_dma();
        // Whatever happened: nothing writes to the buffer any more.
        let is_whole = self.registers.dma().is_some_and(|dma| dma.stop());
        waited?;
        self.wait_done(COMMAND_LIMIT_NS)?;
        if is_whole {
            Ok(())
        } else {
            let status = self.registers.alternate_status();
            Err(self.reported(status))
        }
    }

    /// Waits until DMA is done, or the drive has ended the command with an error.
    fn wait_dma(&mut self) -> Result<(), Fault> {
        let end = self.registers.now_ns().saturating_add(COMMAND_LIMIT_NS);
        while self.registers.dma().is_some_and(|dma| dma.is_active()) {
            let status = self.registers.alternate_status();
            if status & STATUS_BSY == 0 && status & (STATUS_ERR | STATUS_DF) != 0 {
                return Ok(());
            }
            if self.registers.now_ns() >= end {
                return Err(Fault::Timeout);
            }
            self.registers.rest_until(end);
        }
        Ok(())
    }

    /// Issues a transfer of at most [`MAX_SECTORS`]; `commands` are those for one sector a DRQ and for several, with 28 and
    /// with 48 bits of address.
    fn start(
        &mut self,
        drive: &Drive,
        lba: u64,
        len_bytes: usize,
        commands: &[u8; 4],
    ) -> Result<(), Fault> {
        let count = len_bytes / drive.sector_len_bytes;
        let is_long = lba + count as u64 > 1 << 28;
        let top = if is_long { 0 } else { (lba >> 24) as u8 & 0x0F };
        self.select(drive.position, top)?;
        let r = &mut self.registers;
        if is_long {
            // Each register is two deep: the high halves go first.
            r.write(Register::SectorCount, (count >> 8) as u8);
            r.write(Register::LbaLow, (lba >> 24) as u8);
            r.write(Register::LbaMid, (lba >> 32) as u8);
            r.write(Register::LbaHigh, (lba >> 40) as u8);
        }
        r.write(Register::SectorCount, count as u8);
        r.write(Register::LbaLow, lba as u8);
        r.write(Register::LbaMid, (lba >> 8) as u8);
        r.write(Register::LbaHigh, (lba >> 16) as u8);
        let which = 2 * usize::from(is_long) + usize::from(drive.multiple != 0);
        r.write(Register::StatusCommand, commands[which]);
        self.settle();
        Ok(())
    }

    fn select(&mut self, position: Position, top: u8) -> Result<(), Fault> {
        self.wait_not_busy(COMMAND_LIMIT_NS)?;
        self.registers
            .write(Register::Device, DEVICE_LBA | position.device_bits() | top);
        self.settle();
        self.wait_not_busy(COMMAND_LIMIT_NS).map(|_| ())
    }

    /// Software reset of both drives (ATA/ATAPI-7 volume 2, 9.3).
    fn reset(&mut self) -> Result<(), Fault> {
        self.registers.control(self.control | CONTROL_RESET);
        self.delay(5_000);
        self.registers.control(self.control);
        self.delay(2 * MS);
        self.wait_not_busy(COMMAND_LIMIT_NS).map(|_| ())
    }

    fn delay(&mut self, ns: u64) {
        let end = self.registers.now_ns().saturating_add(ns);
        while self.registers.now_ns() < end {
            core::hint::spin_loop();
        }
    }

    /// Gives the drive the 400 ns it may take to show a valid status: each access to a register of the bus takes 100 and more.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.registers.alternate_status();
        }
    }

    /// Waits for a status without BSY, and returns it.
    fn wait_not_busy(&mut self, limit_ns: u64) -> Result<u8, Fault> {
        let mut end = None;
        loop {
            let status = self.registers.read(Register::StatusCommand);
            if status & STATUS_BSY == 0 {
                return Ok(status);
            }
            let now = self.registers.now_ns();
            let end = *end.get_or_insert(now.saturating_add(limit_ns));
            if now >= end {
                return Err(Fault::Timeout);
            }
            self.registers.rest_until(end);
        }
    }

    /// Waits for the end of a command.
    fn wait_done(&mut self, limit_ns: u64) -> Result<(), Fault> {
        let status = self.wait_not_busy(limit_ns)?;
        if status & (STATUS_ERR | STATUS_DF) != 0 {
            return Err(self.reported(status));
        }
        Ok(())
    }

    /// Waits until the drive wants data to be moved.
    fn wait_data(&mut self, limit_ns: u64) -> Result<(), Fault> {
        let status = self.wait_not_busy(limit_ns)?;
        if status & (STATUS_ERR | STATUS_DF) != 0 || status & STATUS_DRQ == 0 {
            return Err(self.reported(status));
        }
        Ok(())
    }

    fn reported(&mut self, status: u8) -> Fault {
        let error = self.registers.read(Register::Error);
        Fault::Reported { status, error }
    }
}
