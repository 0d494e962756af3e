//! Registers of an NVMe controller (NVM Express 1.4, section 3.1), and the commands and completions in its queues (chapter 4).

/// Capabilities.
pub(super) const CAP: usize = 0x00;
/// Bits 0–15: most entries of a queue, less one.
pub(super) const CAP_ENTRIES: u64 = 0xFFFF;
/// Bits 24–31: how long it may take to be ready, in units of 500 ms.
pub(super) const CAP_TIMEOUT: u32 = 24;
/// Bits 32–35: distance of doorbells, as a shift of 4 bytes.
pub(super) const CAP_STRIDE: u32 = 32;
/// Bit 37: it takes NVM commands.
pub(super) const CAP_NVM: u64 = 1 << 37;
/// Bits 48–51: smallest page, as a shift of 4 KiB.
pub(super) const CAP_MIN_PAGE: u32 = 48;
/// Interrupt mask set and clear, for lines.
pub(super) const INTMS: usize = 0x0C;
pub(super) const INTMC: usize = 0x10;
/// Controller configuration: enabled, with commands of 64 bytes and completions of 16, and pages of 4 KiB.
pub(super) const CC: usize = 0x14;
pub(super) const CC_ENABLE: u32 = 1;
pub(super) const CC_ENTRY_SIZES: u32 = 6 << 16 | 4 << 20;
/// Controller status.
pub(super) const CSTS: usize = 0x1C;
pub(super) const CSTS_READY: u32 = 1;
pub(super) const CSTS_FATAL: u32 = 2;
/// Admin queues: lengths, addresses.
pub(super) const AQA: usize = 0x24;
pub(super) const ASQ: usize = 0x28;
pub(super) const ACQ: usize = 0x30;
/// The first doorbell.
pub(super) const DOORBELLS: usize = 0x1000;
/// Registers and the doorbells of two pairs of queues, as far apart as the specification lets them be, are not more.
pub(super) const WINDOW_BYTES: usize = 0x1000 + 4 * (4 << 15);

/// A command, in doublewords.
#[derive(Clone, Copy, Default)]
pub(super) struct Command {
    pub(super) opcode: u8,
    pub(super) namespace: u32,
    /// Where the data is: the first page, and the second or a list of the others (section 4.3).
    pub(super) data: [u64; 2],
    /// Doublewords 10 to 12.
    pub(super) words: [u32; 3],
}

// Admin commands (chapter 5).
pub(super) const CREATE_SUBMISSION_QUEUE: u8 = 0x01;
pub(super) const CREATE_COMPLETION_QUEUE: u8 = 0x05;
pub(super) const IDENTIFY: u8 = 0x06;
/// What to identify.
pub(super) const IDENTIFY_NAMESPACE: u32 = 0;
pub(super) const IDENTIFY_CONTROLLER: u32 = 1;
pub(super) const IDENTIFY_NAMESPACES: u32 = 2;
/// The queue is contiguous; its completions interrupt.
pub(super) const QUEUE_CONTIGUOUS: u32 = 1;
pub(super) const QUEUE_INTERRUPTS: u32 = 2;

// NVM commands (chapter 6).
pub(super) const FLUSH: u8 = 0x00;
pub(super) const WRITE: u8 = 0x01;
pub(super) const READ: u8 = 0x02;

/// A completion's status, without its phase: code in bits 0–7, type in bits 8–10; not worth a retry.
pub(super) const STATUS_DO_NOT_RETRY: u16 = 1 << 14;
