//! Registers of the NE2000: National's DP8390D data sheet (chapter 10), with the card's data port and reset port behind them.

use crate::arch::port;

/// Command; in all pages.
pub(super) const COMMAND: u8 = 0x00;
pub(super) const STOP: u8 = 1;
pub(super) const START: u8 = 1 << 1;
pub(super) const TRANSMIT: u8 = 1 << 2;
pub(super) const REMOTE_READ: u8 = 1 << 3;
pub(super) const REMOTE_WRITE: u8 = 2 << 3;
pub(super) const REMOTE_OFF: u8 = 4 << 3;
pub(super) const PAGE_1: u8 = 1 << 6;

// Page 0.
pub(super) const RING_START: u8 = 0x01;
pub(super) const RING_END: u8 = 0x02;
/// The last page of the ring that the program has read.
pub(super) const BOUNDARY: u8 = 0x03;
pub(super) const TRANSMIT_PAGE: u8 = 0x04;
pub(super) const TRANSMIT_COUNT: [u8; 2] = [0x05, 0x06];
/// Interrupt status; writing ones clears.
pub(super) const STATUS: u8 = 0x07;
pub(super) const RECEIVED: u8 = 1;
pub(super) const TRANSMITTED: u8 = 1 << 1;
pub(super) const TRANSMIT_ERROR: u8 = 1 << 3;
pub(super) const OVERFLOW: u8 = 1 << 4;
pub(super) const REMOTE_DONE: u8 = 1 << 6;
pub(super) const RESET_DONE: u8 = 1 << 7;
pub(super) const REMOTE_START: [u8; 2] = [0x08, 0x09];
pub(super) const REMOTE_COUNT: [u8; 2] = [0x0A, 0x0B];
pub(super) const RECEIVE_CONFIGURATION: u8 = 0x0C;
pub(super) const RECEIVE_BROADCAST: u8 = 1 << 2;
/// Those groups whose bits are set in the filter.
pub(super) const RECEIVE_MULTICAST: u8 = 1 << 3;
pub(super) const RECEIVE_NOTHING: u8 = 1 << 5;
pub(super) const TRANSMIT_CONFIGURATION: u8 = 0x0D;
pub(super) const TRANSMIT_LOOPBACK: u8 = 1 << 1;
pub(super) const DATA_CONFIGURATION: u8 = 0x0E;
/// Words, no loopback, half of the chip's buffer before it uses the bus.
pub(super) const DATA_WORDS: u8 = 1 | 1 << 3 | 2 << 5;
pub(super) const INTERRUPT_MASK: u8 = 0x0F;

// Page 1.
pub(super) const ADDRESS: u8 = 0x01;
/// The page of the ring that the next frame goes to.
pub(super) const CURRENT: u8 = 0x07;
pub(super) const MULTICAST: u8 = 0x08;

/// Data goes through here, in words.
pub(super) const DATA: u8 = 0x10;
/// Reading resets.
pub(super) const RESET: u8 = 0x1F;
/// Ports of a card.
pub(super) const PORTS: u16 = 0x20;

/// What a card is driven through: ports, or a model in tests.
pub(super) trait Ports: Send + 'static {
    fn read(&mut self, register: u8) -> u8;
    fn write(&mut self, register: u8, value: u8);
    /// Reads words from the data port.
    fn read_data(&mut self, words: &mut [u16]);
    /// Writes words to the data port.
    fn write_data(&mut self, words: &[u16]);
}

/// The ports from this one on.
pub(super) struct RealPorts(pub(super) u16);

impl Ports for RealPorts {
    fn read(&mut self, register: u8) -> u8 {
        port::read8(self.0 + u16::from(register))
    }

    fn write(&mut self, register: u8, value: u8) {
        port::write8(self.0 + u16::from(register), value);
    }

    fn read_data(&mut self, words: &mut [u16]) {
        port::read16_into(self.0 + u16::from(DATA), words);
    }

    fn write_data(&mut self, words: &[u16]) {
        port::write16_from(self.0 + u16::from(DATA), words);
    }
}
