//! Registers of an AHCI controller (Serial ATA AHCI 1.3.1, chapter 3) and what lies in memory for a port (chapter 4).

/// Most bytes of registers there are: the controller's and 32 ports'.
pub(super) const WINDOW_BYTES: usize = 0x1100;

/// Capabilities: bits 0–4 are the number of ports less one.
pub(super) const CAP: usize = 0x00;
pub(super) const CAP_STAGGERED_SPIN_UP: u32 = 1 << 27;
/// Global control.
pub(super) const GHC: usize = 0x04;
pub(super) const GHC_INTERRUPTS: u32 = 1 << 1;
pub(super) const GHC_AHCI: u32 = 1 << 31;
/// Which ports interrupt.
pub(super) const IS: usize = 0x08;
/// Which ports there are.
pub(super) const PI: usize = 0x0C;
/// More capabilities.
pub(super) const CAP2: usize = 0x24;
pub(super) const CAP2_HANDOFF: u32 = 1;
/// Who owns the controller, BIOS or system.
pub(super) const BOHC: usize = 0x28;
pub(super) const BOHC_BIOS: u32 = 1;
pub(super) const BOHC_SYSTEM: u32 = 1 << 1;

/// The first register of a port.
pub(super) const fn port(number: u8) -> usize {
    0x100 + 0x80 * number as usize
}

// Registers of a port, from its first.
pub(super) const CLB: usize = 0x00;
pub(super) const CLBU: usize = 0x04;
pub(super) const FB: usize = 0x08;
pub(super) const FBU: usize = 0x0C;
/// Interrupt status; writing ones clears.
pub(super) const PORT_IS: usize = 0x10;
/// Interrupt enable.
pub(super) const PORT_IE: usize = 0x14;
/// Device to host, PIO setup, DMA setup and set device bits FIS.
pub(super) const INT_FIS: u32 = 0xF;
/// The link went up or down.
pub(super) const INT_LINK: u32 = 1 << 6 | 1 << 22;
/// Task file, host bus fatal and data, interface fatal errors, overflow.
pub(super) const INT_ERRORS: u32 = 1 << 30 | 1 << 29 | 1 << 28 | 1 << 27 | 1 << 24;
/// Command and status.
pub(super) const CMD: usize = 0x18;
pub(super) const CMD_START: u32 = 1;
pub(super) const CMD_SPIN_UP: u32 = 1 << 1;
pub(super) const CMD_POWER: u32 = 1 << 2;
pub(super) const CMD_RECEIVE: u32 = 1 << 4;
pub(super) const CMD_RECEIVING: u32 = 1 << 14;
pub(super) const CMD_RUNNING: u32 = 1 << 15;
/// Bits 8–12: the slot that runs.
pub(super) const CMD_SLOT: u32 = 8;
/// Task file: status, and error above it.
pub(super) const TFD: usize = 0x20;
pub(super) const TFD_BUSY: u32 = 1 << 7 | 1 << 3;
/// What the device is.
pub(super) const SIG: usize = 0x24;
pub(super) const SIG_DISK: u32 = 0x0000_0101;
/// SATA status: bits 0–3, whether a device is there.
pub(super) const SSTS: usize = 0x28;
pub(super) const SSTS_DETECTION: u32 = 0xF;
pub(super) const SSTS_PRESENT: u32 = 3;
/// SATA control: 1 in bits 0–3 resets the link.
pub(super) const SCTL: usize = 0x2C;
/// SATA error; writing ones clears.
pub(super) const SERR: usize = 0x30;
/// Which slots have commands.
pub(super) const CI: usize = 0x38;

// What a port has in memory, in one page: 32 command headers of 32 bytes (4.2.2), received FIS (4.2.1), a command table for each slot
// (4.2.3), and room for what IDENTIFY DEVICE returns.
pub(super) const HEADER_BYTES: usize = 32;
pub(super) const RECEIVED_AT: usize = 0x400;
pub(super) const TABLES_AT: usize = 0x500;
pub(super) const TABLE_BYTES: usize = 0x100;
pub(super) const IDENTITY_AT: usize = 0xA00;
pub(super) const MEMORY_BYTES: usize = 0x1000;
/// Where the only region of a table is.
pub(super) const REGION_AT: usize = 0x80;

/// In a header: length of the command FIS in doublewords.
pub(super) const HEADER_FIS_LEN: u32 = 5;
pub(super) const HEADER_WRITE: u32 = 1 << 6;
pub(super) const HEADER_ONE_REGION: u32 = 1 << 16;
