//! Where things lie in memory and on the disk. The table in the crate's documentation shows the
//! memory as a whole.

/// Boot header and command line: the first 4096 bytes of partition 1.
pub(crate) const HEADER: u32 = 0x2000;
/// ELF header and program headers: the first 4096 bytes of the ELF.
pub(crate) const PROGRAMS: u32 = 0x3200;
/// The memory map, in the format that PVH hands over.
pub(crate) const MEMORY_MAP: u32 = 0x4400;
/// End of the room for the memory map.
pub(crate) const MEMORY_MAP_END: u32 = MEMORY_MAP + 128 * MEMORY_MAP_ENTRY;
/// Bytes of one entry: address u64, length u64, type u32, reserved u32.
pub(crate) const MEMORY_MAP_ENTRY: u32 = 24;
/// `hvm_start_info`.
pub(crate) const START_INFO: u32 = 0x5000;
/// The stack grows down from here, to about `START_INFO + 64`.
pub(crate) const STACK: u32 = 0x7c00;
/// Where the BIOS reads to.
pub(crate) const BOUNCE: u32 = 0x1_0000;
/// Most sectors of one read.
pub(crate) const BOUNCE_SECTORS: u32 = 127;
/// A note segment of the ELF.
pub(crate) const NOTES: u32 = 0x2_0000;
/// The queue of a virtio disk.
pub(crate) const QUEUE: u32 = 0x2_8000;
/// Room for it.
pub(crate) const QUEUE_LEN: u32 = 0x8000;
/// Size of `HEADER`, `PROGRAMS` and `NOTES` each.
pub(crate) const BUFFER_LEN: u32 = 4096;
/// Nothing of an ELF may be loaded below: the loader and the BIOS live there.
pub(crate) const LOWEST: u32 = 0x10_0000;

/// First sector of the second stage: behind what a GPT takes at the start of a disk.
pub(crate) const STAGE2_LBA: u32 = 34;
/// First sector of partition 1.
pub(crate) const PARTITION_LBA: u32 = 2048;
/// Where the ELF starts in partition 1, in bytes.
pub(crate) const ELF_AT: u32 = 4096;
/// Where the command line starts in the header.
pub(crate) const COMMAND_LINE_AT: u32 = 64;

const _: () = assert!(HEADER + BUFFER_LEN < PROGRAMS);
const _: () = assert!(PROGRAMS + BUFFER_LEN <= MEMORY_MAP);
const _: () = assert!(MEMORY_MAP_END <= START_INFO);
const _: () = assert!(BOUNCE + BOUNCE_SECTORS * 512 <= NOTES);
const _: () = assert!(NOTES + BUFFER_LEN <= QUEUE);
