//! The registers of a channel (ATA/ATAPI-7 volume 2): a command block of eight ports and a control block of one.

use super::bus_master::{BusMaster, Dma};
use super::interrupt::Interrupt;
use crate::arch::{clock, port};

/// A register of the command block, by its offset. Reading and writing mean different registers at 1 and 7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Register {
    /// Error when read, features when written.
    Error = 1,
    /// Sectors to move; 0 means 256.
    SectorCount = 2,
    /// Address, bits 0–7.
    LbaLow = 3,
    /// Address, bits 8–15.
    LbaMid = 4,
    /// Address, bits 16–23.
    LbaHigh = 5,
    /// Which drive, and address bits 24–27.
    Device = 6,
    /// Status when read, command when written.
    StatusCommand = 7,
}

/// What a channel is driven through: ports, or a fake in tests.
pub trait Registers: Send {
    /// Reads a register of the command block.
    fn read(&mut self, register: Register) -> u8;
    /// Writes a register of the command block.
    fn write(&mut self, register: Register, value: u8);
    /// Reads the alternate status: as the status, without acknowledging an interrupt.
    fn alternate_status(&mut self) -> u8;
    /// Writes the device control register.
    fn control(&mut self, value: u8);
    /// Reads from the data register until `buf`, of even length, is full.
    fn read_data(&mut self, buf: &mut [u8]);
    /// Writes all of `buf`, of even length, to the data register.
    fn write_data(&mut self, buf: &[u8]);
    /// What moves data by DMA, if there is such.
    fn dma(&mut self) -> Option<&mut dyn Dma>;
    /// Nanoseconds since boot.
    fn now_ns(&mut self) -> u64;
    /// Lets time pass until the drive interrupts, or for as long as pleases, but not beyond a time since boot.
    fn rest_until(&mut self, deadline_ns: u64);
}

/// The real registers, at I/O ports.
pub struct Ports {
    /// First port of the command block.
    pub command: u16,
    /// Port of the alternate status and device control registers.
    pub control: u16,
    /// The channel's interrupt; without it, waiting is polling.
    pub interrupt: Option<&'static Interrupt>,
    /// The controller's DMA; without it, data is moved by the processor.
    pub bus_master: Option<BusMaster>,
}

impl Registers for Ports {
    fn read(&mut self, register: Register) -> u8 {
        port::read8(self.command + register as u16)
    }

    fn write(&mut self, register: Register, value: u8) {
        port::write8(self.command + register as u16, value);
    }

    fn alternate_status(&mut self) -> u8 {
        port::read8(self.control)
    }

    fn control(&mut self, value: u8) {
        port::write8(self.control, value);
    }

    fn read_data(&mut self, buf: &mut [u8]) {
        // SAFETY: any two bytes are a `u16`.
        let (head, words, tail) = unsafe { buf.align_to_mut::<u16>() };
        if head.is_empty() && tail.is_empty() {
            return port::read16_into(self.command, words);
        }
        for pair in buf.chunks_exact_mut(2) {
            pair.copy_from_slice(&port::read16(self.command).to_le_bytes());
        }
    }

    fn write_data(&mut self, buf: &[u8]) {
        // SAFETY: any two bytes are a `u16`.
        let (head, words, tail) = unsafe { buf.align_to::<u16>() };
        if head.is_empty() && tail.is_empty() {
            return port::write16_from(self.command, words);
        }
        for pair in buf.chunks_exact(2) {
            port::write16(self.command, u16::from_le_bytes([pair[0], pair[1]]));
        }
    }

    fn dma(&mut self) -> Option<&mut dyn Dma> {
        self.bus_master.as_mut().map(|dma| dma as &mut dyn Dma)
    }

    fn now_ns(&mut self) -> u64 {
        clock::now_ns()
    }

    fn rest_until(&mut self, deadline_ns: u64) {
        match self.interrupt {
            Some(interrupt) => {
                let dma = self.bus_master.as_mut();
                interrupt.wait(deadline_ns, || dma.is_some_and(|dma| dma.is_active()));
            }
            None => core::hint::spin_loop(),
        }
    }
}
