//! Registers of the RTL8139 (Realtek, RTL8139C(L) data sheet, chapter 5). Each has a width of its own.

use crate::arch::port;

/// Length of the window.
pub(super) const WINDOW_PORTS: u16 = 0x100;

/// The hardware address, six bytes.
pub(super) const HARDWARE_ADDRESS: u16 = 0x00;
/// The filter of groups, 32 bits each.
pub(super) const GROUPS: [u16; 2] = [0x08, 0x0C];
/// Lengths of the four frames to send, 32 bits each; writing one sends.
pub(super) const TRANSMIT_LENGTH: u16 = 0x10;
/// Sending begins when 256 bytes are in the chip (in units of 32).
pub(super) const TRANSMIT_THRESHOLD: u32 = 8 << 16;
/// Where the four frames are, 32 bits each.
pub(super) const TRANSMIT_ADDRESS: u16 = 0x20;
/// Where the receive ring is, 32 bits.
pub(super) const RECEIVE_ADDRESS: u16 = 0x30;
/// Command, 8 bits.
pub(super) const COMMAND: u16 = 0x37;
pub(super) const COMMAND_TRANSMIT: u8 = 1 << 2;
pub(super) const COMMAND_RECEIVE: u8 = 1 << 3;
pub(super) const COMMAND_ON: u8 = COMMAND_TRANSMIT | COMMAND_RECEIVE;
pub(super) const COMMAND_RESET: u8 = 1 << 4;
/// How far the ring has been read, 16 bits; counted from [`READ_BIAS`] before its beginning.
pub(super) const READ: u16 = 0x38;
pub(super) const READ_BIAS: u16 = 16;
/// How far the ring has been written, 16 bits.
pub(super) const WRITTEN: u16 = 0x3A;
/// Interrupts that are on, 16 bits.
pub(super) const INTERRUPT_MASK: u16 = 0x3C;
/// Interrupt status, 16 bits; writing ones clears.
pub(super) const STATUS: u16 = 0x3E;
pub(super) const RECEIVED: u16 = 1;
/// The link has changed (or, says the data sheet, a frame was received that was not taken out of the ring).
pub(super) const LINK_CHANGED: u16 = 1 << 5;
pub(super) const INTERRUPTS: u16 = RECEIVED | LINK_CHANGED;
/// Transmit configuration, 32 bits: bursts of 1,024 bytes, the gap of the standard; and going on after a frame that was given up.
pub(super) const TRANSMIT_CONFIGURATION: u16 = 0x40;
pub(super) const TRANSMIT_FIXED: u32 = 6 << 8 | 3 << 24;
pub(super) const TRANSMIT_GO_ON: u32 = 1;
/// Receive configuration, 32 bits: frames to this station, to groups and to all; bursts without limit, a ring of 32 KiB that is gone round
/// within a frame, frames moved when they are whole.
pub(super) const RECEIVE_CONFIGURATION: u16 = 0x44;
pub(super) const RECEIVE_FIXED: u32 = 7 << 1 | 7 << 8 | 2 << 11 | 7 << 13;
/// Media status, 8 bits.
pub(super) const MEDIA: u16 = 0x58;
pub(super) const MEDIA_LINK_DOWN: u8 = 1 << 2;
/// Status of all four frames to send, 16 bits: the lowest four say which have been read; then which were given up.
pub(super) const TRANSMIT_SUMMARY: u16 = 0x60;
pub(super) const SUMMARY_DONE: u16 = 0xF;
pub(super) const SUMMARY_GIVEN_UP: u16 = 0xF << 4;

/// What the controller is driven through: ports, or a model in tests. Copies mean the same ports.
pub(super) trait Ports: Clone + Send + 'static {
    fn read8(&self, register: u16) -> u8;
    fn read16(&self, register: u16) -> u16;
    fn write8(&self, register: u16, value: u8);
    fn write16(&self, register: u16, value: u16);
    fn write32(&self, register: u16, value: u32);
}

/// The ports from this one on.
#[derive(Clone, Copy)]
pub(super) struct RealPorts(pub(super) u16);

impl Ports for RealPorts {
    fn read8(&self, register: u16) -> u8 {
        port::read8(self.0 + register)
    }

    fn read16(&self, register: u16) -> u16 {
        port::read16(self.0 + register)
    }

    fn write8(&self, register: u16, value: u8) {
        port::write8(self.0 + register, value);
    }

    fn write16(&self, register: u16, value: u16) {
        port::write16(self.0 + register, value);
    }

    fn write32(&self, register: u16, value: u32) {
        port::write32(self.0 + register, value);
    }
}
