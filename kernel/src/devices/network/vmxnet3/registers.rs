//! Registers and shared memory of VMware's vmxnet3, revision 1, as the public drivers describe them (there is no data sheet).

/// Windows of BAR 0 and BAR 1.
pub(super) const WINDOW_BYTES: usize = 0x1000;

/// BAR 0: mask of interrupt 0; the index after the last descriptor given, of transmission and of the first receive ring.
pub(super) const INTERRUPT_MASK: usize = 0x000;
pub(super) const TRANSMIT_INDEX: usize = 0x600;
pub(super) const RECEIVE_INDEX: usize = 0x800;

/// BAR 1: revisions there are and the one chosen, of the device and of its transport.
pub(super) const REVISION: usize = 0x00;
pub(super) const TRANSPORT_REVISION: usize = 0x08;
/// Address of the shared memory.
pub(super) const SHARED_LOW: usize = 0x10;
pub(super) const SHARED_HIGH: usize = 0x18;
/// Commands, and what they return.
pub(super) const COMMAND: usize = 0x20;
pub(super) const ACTIVATE: u32 = 0xCAFE_0000;
pub(super) const RESET: u32 = 0xCAFE_0002;
pub(super) const SET_RECEIVE_MODE: u32 = 0xCAFE_0003;
pub(super) const GET_LINK: u32 = 0xF00D_0002;
pub(super) const LINK_UP: u32 = 1;
/// Hardware address.
pub(super) const MAC_LOW: usize = 0x28;
pub(super) const MAC_HIGH: usize = 0x30;
/// Interrupt cause; reading clears it and lets the pin fall.
pub(super) const INTERRUPT: usize = 0x38;
/// Events; writing ones clears them.
pub(super) const EVENTS: usize = 0x40;
pub(super) const EVENT_LINK: u32 = 1 << 2;
pub(super) const EVENT_QUEUE_ERRORS: u32 = 3;

/// The shared memory: what the driver tells the device of itself. Offsets in bytes.
pub(super) mod shared {
    pub(crate) const MAGIC: (usize, u32) = (0, 0xBABE_FEE1);
    pub(crate) const DRIVER_VERSION: usize = 8;
    /// 64-bit, of a kind of its own.
    pub(crate) const GUEST: (usize, u32) = (12, 2);
    pub(crate) const REVISION: usize = 16;
    pub(crate) const TRANSPORT_REVISION: usize = 20;
    pub(crate) const FEATURES: usize = 24;
    /// It shall verify checksums of what it receives.
    pub(crate) const FEATURE_CHECKSUM: u64 = 1;
    pub(crate) const QUEUES: usize = 40;
    pub(crate) const QUEUES_LEN: usize = 52;
    pub(crate) const MTU: usize = 56;
    /// Numbers of transmit and receive queues.
    pub(crate) const TRANSMIT_QUEUES: usize = 62;
    pub(crate) const RECEIVE_QUEUES: usize = 63;
    /// Number of interrupts, and the one for events.
    pub(crate) const INTERRUPTS: usize = 81;
    pub(crate) const EVENT_INTERRUPT: usize = 82;
    pub(crate) const RECEIVE_MODE: usize = 120;
    /// Frames to its own address, to all, and to any group: the engine knows which are wanted.
    pub(crate) const RECEIVE_OWN_AND_GROUPS: u32 = 1 | 4 | 8;
    pub(crate) const EVENTS: usize = 696;

    /// Behind it: descriptions of the transmit queue and the receive queue, aligned to 128 bytes.
    pub(crate) const TRANSMIT_QUEUE: usize = 1024;
    pub(crate) const RECEIVE_QUEUE: usize = TRANSMIT_QUEUE + QUEUE_BYTES;
    pub(crate) const QUEUE_BYTES: usize = 256;
    pub(crate) const LEN_BYTES: usize = RECEIVE_QUEUE + QUEUE_BYTES;

    // In a description, both alike: addresses of the first ring, of the second or of data, of completions, then their lengths in entries.
    pub(crate) const RING: usize = 16;
    pub(crate) const SECOND_RING: usize = 24;
    pub(crate) const COMPLETIONS: usize = 32;
    pub(crate) const RING_LEN: usize = 56;
    pub(crate) const SECOND_RING_LEN: usize = 60;
    pub(crate) const COMPLETIONS_LEN: usize = 64;
    /// The device has stopped the queue.
    pub(crate) const IS_STOPPED: usize = 80;
    /// In the receive queue's: it wants to be told of buffers given back.
    pub(crate) const WANTS_INDEX: usize = 0;
}

/// Descriptors and completions have 16 bytes each.
pub(super) const ENTRY_BYTES: usize = 16;
/// Of a completion, in its last doubleword: toggles with each round.
pub(super) const COMPLETION_GENERATION: u32 = 1 << 31;
