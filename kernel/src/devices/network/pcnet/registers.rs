//! Registers of the PCnet (Am79C973/Am79C975 data sheet, "User Accessible Registers"): a window of 32 bytes, and behind it two sets of
//! numbered registers, control and status (CSR) and bus configuration (BCR). [`SELECT`] chooses for both.

use crate::arch::port;
use crate::devices::registers::Registers;

/// Length of the window.
pub(super) const WINDOW_PORTS: u16 = 0x20;

// In the window, as it is for accesses of 32 bits.
/// The hardware address, four bytes and two.
pub(super) const HARDWARE_ADDRESS: [usize; 2] = [0x00, 0x04];
/// The control and status register that is selected.
pub(super) const DATA: usize = 0x10;
pub(super) const SELECT: usize = 0x14;
/// Reading resets.
pub(super) const RESET: usize = 0x18;
/// The bus configuration register that is selected.
pub(super) const BUS_DATA: usize = 0x1C;

/// CSR0: status, whose events are cleared by writing ones, and commands.
pub(super) const STATUS: u32 = 0;
pub(super) const STATUS_INITIALISE: u32 = 1;
pub(super) const STATUS_START: u32 = 1 << 1;
pub(super) const STATUS_STOP: u32 = 1 << 2;
/// Has the device look at its transmit ring at once.
pub(super) const STATUS_TRANSMIT: u32 = 1 << 3;
/// Interrupts are on. Not kept by writes that leave it out.
pub(super) const STATUS_INTERRUPTS: u32 = 1 << 6;
pub(super) const STATUS_INITIALISED: u32 = 1 << 8;
/// All events.
pub(super) const STATUS_EVENTS: u32 = 0x7F00;
/// CSR1, CSR2: where the initialisation block is.
pub(super) const BLOCK: [u32; 2] = [1, 2];
/// CSR3: events that do not interrupt. These are babble, a frame missed, a memory error, one sent, and initialised.
pub(super) const MASKS: u32 = 3;
pub(super) const MASKS_ALL_BUT_RECEIVE: u32 = 1 << 14 | 1 << 12 | 1 << 11 | 1 << 9 | 1 << 8;
/// CSR4: short frames are filled up; four more events that do not interrupt.
pub(super) const FEATURES: u32 = 4;
pub(super) const FEATURES_FIXED: u32 = 1 << 11 | 1 << 8 | 1 << 4 | 1 << 2 | 1;

/// BCR20: the software style, and that of 32 bits.
pub(super) const STYLE: u32 = 20;
pub(super) const STYLE_32_BIT: u32 = 2;

/// The window, from this port on.
#[derive(Clone, Copy)]
pub(super) struct Ports(pub(super) u16);

impl Registers for Ports {
    fn read(&self, offset: usize) -> u32 {
        port::read32(self.0 + offset as u16)
    }

    fn write(&self, offset: usize, value: u32) {
        port::write32(self.0 + offset as u16, value);
    }
}
