//! Registers of the DECchip 21140 and 21143 (Digital, 21143 PCI/CardBus 10/100Mb/s Ethernet LAN Controller Hardware Reference Manual,
//! chapter 3), eight bytes apart.

use crate::arch::mmio::Mmio;
use crate::arch::port;
use crate::devices::registers::Registers;

/// Length of the window.
pub(super) const WINDOW_BYTES: usize = 0x80;

/// Bus mode; its lowest bit resets.
pub(super) const BUS_MODE: usize = 0x00;
pub(super) const BUS_MODE_RESET: u32 = 1;
/// Bursts of 32 longwords, aligned to 32.
pub(super) const BUS_MODE_BURSTS: u32 = 32 << 8 | 3 << 14;
/// Writing anything has the device look at its lists again.
pub(super) const TRANSMIT_POLL: usize = 0x08;
pub(super) const RECEIVE_POLL: usize = 0x10;
/// Where the lists are.
pub(super) const RECEIVE_LIST: usize = 0x18;
pub(super) const TRANSMIT_LIST: usize = 0x20;
/// Status; writing ones clears.
pub(super) const STATUS: usize = 0x28;
/// A frame was received; there was no buffer for one.
pub(super) const RECEIVED: u32 = 1 << 6;
pub(super) const NO_BUFFER: u32 = 1 << 7;
/// Sums of what is normal and what is not.
pub(super) const SUMMARIES: u32 = 3 << 15;
/// Operation mode.
pub(super) const MODE: usize = 0x30;
pub(super) const MODE_RECEIVE: u32 = 1 << 1;
/// All groups pass: the engine knows which are wanted.
pub(super) const MODE_PASS_GROUPS: u32 = 1 << 7;
pub(super) const MODE_FULL_DUPLEX: u32 = 1 << 9;
pub(super) const MODE_TRANSMIT: u32 = 1 << 13;
/// The port for 100 Mb/s, without heartbeat, sending when a whole frame is in the chip; a bit that must be one.
pub(super) const MODE_FIXED: u32 = 1 << 18 | 1 << 19 | 1 << 21 | 1 << 25;
/// Interrupts that are on.
pub(super) const INTERRUPTS: usize = 0x38;
/// Serial ROM: its pins, and reading it.
pub(super) const ROM: usize = 0x48;
pub(super) const ROM_SELECT: u32 = 1;
pub(super) const ROM_CLOCK: u32 = 1 << 1;
pub(super) const ROM_IN: u32 = 1 << 2;
pub(super) const ROM_OUT: u32 = 1 << 3;
pub(super) const ROM_READ: u32 = 1 << 11 | 1 << 14;

/// The window: ports or memory.
#[derive(Clone, Copy)]
pub(super) enum Window {
    Memory(Mmio),
    Ports(u16),
}

impl Registers for Window {
    fn read(&self, offset: usize) -> u32 {
        match self {
            Self::Memory(window) => window.read(offset),
            Self::Ports(first) => port::read32(first + offset as u16),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        match self {
            Self::Memory(window) => window.write(offset, value),
            Self::Ports(first) => port::write32(first + offset as u16, value),
        }
    }
}
