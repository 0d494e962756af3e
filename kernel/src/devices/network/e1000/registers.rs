//! Registers of the 8254x controllers (Intel, PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual,
//! 317453-006EN, chapter 13): offsets in the window of BAR 0, and the bits in use here.

/// Device control.
pub(super) const CTRL: usize = 0x0000;
/// Automatic speed detection.
pub(super) const CTRL_ASDE: u32 = 1 << 5;
/// Set link up.
pub(super) const CTRL_SLU: u32 = 1 << 6;
/// Link reset, PHY reset, invert loss of signal, VLAN mode: all off for what is done here.
pub(super) const CTRL_OFF: u32 = 1 << 3 | 1 << 31 | 1 << 7 | 1 << 30;
/// Device reset; clears itself.
pub(super) const CTRL_RST: u32 = 1 << 26;

/// Device status.
pub(super) const STATUS: usize = 0x0008;
/// Link is up.
pub(super) const STATUS_LU: u32 = 1 << 1;

/// EEPROM read.
pub(super) const EERD: usize = 0x0014;
/// Start reading.
pub(super) const EERD_START: u32 = 1;

/// Interrupt cause read; reading clears it.
pub(super) const ICR: usize = 0x00C0;
/// Least time between interrupts, in units of 256 ns: 51 µs. The first after a pause comes at once.
pub(super) const ITR: usize = 0x00C4;
pub(super) const ITR_DEFAULT: u32 = 200;
/// Interrupt mask set.
pub(super) const IMS: usize = 0x00D0;
/// Interrupt mask clear.
pub(super) const IMC: usize = 0x00D8;
/// Link status change.
pub(super) const INT_LSC: u32 = 1 << 2;
/// Receive descriptors run short.
pub(super) const INT_RXDMT0: u32 = 1 << 4;
/// Receiver overrun.
pub(super) const INT_RXO: u32 = 1 << 6;
/// Receiver timer: frames have come.
pub(super) const INT_RXT0: u32 = 1 << 7;

/// Receive control.
pub(super) const RCTL: usize = 0x0100;
/// Receiver on.
pub(super) const RCTL_EN: u32 = 1 << 1;
/// Accept all multicast: the engine knows which groups are wanted.
pub(super) const RCTL_MPE: u32 = 1 << 4;
/// Accept broadcast.
pub(super) const RCTL_BAM: u32 = 1 << 15;
/// Strip the frame check sequence. Buffers are 2048 bytes when the size bits are 0.
pub(super) const RCTL_SECRC: u32 = 1 << 26;

/// Transmit control.
pub(super) const TCTL: usize = 0x0400;
/// Transmitter on.
pub(super) const TCTL_EN: u32 = 1 << 1;
/// Pad short packets.
pub(super) const TCTL_PSP: u32 = 1 << 3;
/// Collision threshold and distance for full duplex (section 13.4.33).
pub(super) const TCTL_COLLISION: u32 = 0x0F << 4 | 0x40 << 12;
/// Transmit inter-packet gap.
pub(super) const TIPG: usize = 0x0410;
/// The gap that IEEE 802.3 asks for (section 13.4.34).
pub(super) const TIPG_DEFAULT: u32 = 10 | 8 << 10 | 6 << 20;

/// Receive descriptors: base low, base high, length, head, tail, delay timer.
pub(super) const RDBAL: usize = 0x2800;
pub(super) const RDBAH: usize = 0x2804;
pub(super) const RDLEN: usize = 0x2808;
pub(super) const RDH: usize = 0x2810;
pub(super) const RDT: usize = 0x2818;
pub(super) const RDTR: usize = 0x2820;

/// Transmit descriptors: base low, base high, length, head, tail.
pub(super) const TDBAL: usize = 0x3800;
pub(super) const TDBAH: usize = 0x3804;
pub(super) const TDLEN: usize = 0x3808;
pub(super) const TDH: usize = 0x3810;
pub(super) const TDT: usize = 0x3818;

/// Transmit descriptor control; its bit 22 is to be set on an 82574.
pub(super) const TXDCTL: usize = 0x3828;
pub(super) const TXDCTL_82574: u32 = 1 << 22;

/// Receive checksum control: check IP, TCP and UDP.
pub(super) const RXCSUM: usize = 0x5000;
/// IP and TCP/UDP checksum offload on.
pub(super) const RXCSUM_ON: u32 = 1 << 8 | 1 << 9;

/// Multicast table, 128 words.
pub(super) const MTA: usize = 0x5200;
/// Words in the multicast table.
pub(super) const MTA_WORDS: usize = 128;
/// First receive address, low and high half.
pub(super) const RAL0: usize = 0x5400;
pub(super) const RAH0: usize = 0x5404;
/// The receive address is valid.
pub(super) const RAH_VALID: u32 = 1 << 31;

/// Length of the register window that is used, in bytes.
pub(super) const WINDOW_BYTES: usize = 0x2_0000;

pub(super) use crate::devices::registers::Registers;
