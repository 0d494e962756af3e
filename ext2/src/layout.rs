//! The structures on the disk, byte for byte, in little-endian order.
//!
//! Nothing here judges: [`crate::superblock`] and [`crate::inode`] check what they read, and
//! [`crate::make`] writes the same structures. Names and offsets follow "The Second Extended File
//! System: Internal Layout" (Dave Poirier), chapters "Superblock Structure", "Block Group
//! Descriptor Table", "Inode Table" and "Directory Structure"; what lies past byte 128 of an inode
//! follows Linux, Documentation/filesystems/ext4/inodes.rst.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `s_magic`.
pub(crate) const MAGIC: u16 = 0xEF53;
/// Where the superblock begins, in bytes, whatever the block size.
pub(crate) const SUPERBLOCK_OFFSET: u64 = 1024;
/// Length of the superblock in bytes.
pub(crate) const SUPERBLOCK_LEN: usize = 1024;
/// Length of a group descriptor in bytes (without the feature `64bit`).
pub(crate) const GROUP_DESCRIPTOR_LEN: u32 = 32;
/// Length of an inode in revision 0, and the least in revision 1.
pub(crate) const INODE_LEN_MIN: u16 = 128;
/// `s_first_ino` in revision 0, and the least in revision 1.
pub(crate) const FIRST_INODE: u32 = RESERVED_INODES + 1;
/// Inodes before that one.
pub(crate) const RESERVED_INODES: u32 = 10;
/// The inode of the root directory.
pub(crate) const ROOT_INODE: u32 = 2;
/// Pointers in an inode that lead to data without a detour.
pub(crate) const DIRECT_BLOCKS: u32 = 12;
/// Longest name of a directory entry in bytes.
pub(crate) const NAME_LEN_MAX: usize = 255;
/// Length of a directory entry without its name.
pub(crate) const DIR_ENTRY_HEADER_LEN: usize = 8;

/// `s_state`: unmounted cleanly.
pub(crate) const STATE_CLEAN: u16 = 1;
/// `s_state`: errors were found.
pub(crate) const STATE_ERRORS: u16 = 2;

/// The superblock.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Superblock {
    pub(crate) inodes_count: U32,
    pub(crate) blocks_count: U32,
    pub(crate) reserved_blocks_count: U32,
    pub(crate) free_blocks_count: U32,
    pub(crate) free_inodes_count: U32,
    pub(crate) first_data_block: U32,
    pub(crate) log_block_size: U32,
    pub(crate) log_fragment_size: U32,
    pub(crate) blocks_per_group: U32,
    pub(crate) fragments_per_group: U32,
    pub(crate) inodes_per_group: U32,
    pub(crate) mount_time: U32,
    pub(crate) write_time: U32,
    pub(crate) mount_count: U16,
    pub(crate) max_mount_count: U16,
    pub(crate) magic: U16,
    pub(crate) state: U16,
    pub(crate) errors: U16,
    pub(crate) minor_revision: U16,
    pub(crate) last_check_time: U32,
    pub(crate) check_interval: U32,
    pub(crate) creator_os: U32,
    pub(crate) revision: U32,
    pub(crate) reserved_uid: U16,
    pub(crate) reserved_gid: U16,
    // From here on only in revision 1.
    pub(crate) first_inode: U32,
    pub(crate) inode_size: U16,
    pub(crate) block_group: U16,
    pub(crate) features_compatible: U32,
    pub(crate) features_incompatible: U32,
    pub(crate) features_read_only: U32,
    pub(crate) uuid: [u8; 16],
    pub(crate) label: [u8; 16],
    pub(crate) last_mounted: [u8; 64],
    pub(crate) compression: U32,
    pub(crate) preallocate: [u8; 2],
    pub(crate) reserved_descriptor_blocks: U16,
    pub(crate) journal: [u8; 24],
    /// The first inode of the orphan list.
    pub(crate) last_orphan: U32,
    pub(crate) hash: [u8; 18],
    pub(crate) descriptor_size: U16,
    pub(crate) mount_options: U32,
    pub(crate) first_meta_group: U32,
    pub(crate) make_time: U32,
    pub(crate) unused: [u8; 80],
    pub(crate) min_extra_inode_size: U16,
    pub(crate) want_extra_inode_size: U16,
    pub(crate) newer: [u8; 236],
    /// The groups with backups, where the features say that there are only these (Linux, Documentation/filesystems/ext4/super.rst); 0 for none.
    pub(crate) backup_groups: [U32; 2],
    pub(crate) rest: [u8; 428],
}

/// One entry of the block group descriptor table.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct GroupDescriptor {
    pub(crate) block_bitmap: U32,
    pub(crate) inode_bitmap: U32,
    pub(crate) inode_table: U32,
    pub(crate) free_blocks_count: U16,
    pub(crate) free_inodes_count: U16,
    pub(crate) used_directories_count: U16,
    pub(crate) reserved: [u8; 14],
}

/// An inode with the extra fields that inodes of more than 128 bytes may have.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawInode {
    pub(crate) mode: U16,
    pub(crate) uid: U16,
    pub(crate) size: U32,
    pub(crate) access_time: U32,
    pub(crate) change_time: U32,
    pub(crate) modify_time: U32,
    pub(crate) delete_time: U32,
    pub(crate) gid: U16,
    pub(crate) links_count: U16,
    /// In units of 512 bytes.
    pub(crate) blocks: U32,
    pub(crate) flags: U32,
    pub(crate) version: U32,
    /// 12 direct pointers, then one each to a single, double and triple indirect block; or the
    /// target of a short symbolic link.
    pub(crate) block: [U32; 15],
    pub(crate) generation: U32,
    pub(crate) attributes_block: U32,
    /// Of a directory in old revisions: a block of access rules.
    pub(crate) size_high: U32,
    pub(crate) fragment: [u8; 8],
    pub(crate) uid_high: U16,
    pub(crate) gid_high: U16,
    pub(crate) reserved: U32,
    /// How many bytes of what follows are in use.
    pub(crate) extra_size: U16,
    pub(crate) checksum_high: U16,
    pub(crate) change_time_extra: U32,
    pub(crate) modify_time_extra: U32,
    pub(crate) access_time_extra: U32,
    pub(crate) create_time: U32,
    pub(crate) create_time_extra: U32,
    pub(crate) version_high: U32,
    pub(crate) project: U32,
}

/// What comes before the name in a directory entry. Without the feature `filetype`, `file_type` is
/// the high byte of the name's length.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct DirEntryHeader {
    pub(crate) inode: U32,
    pub(crate) record_len: U16,
    pub(crate) name_len: u8,
    pub(crate) file_type: u8,
}

const _: () = assert!(size_of::<Superblock>() == SUPERBLOCK_LEN);
const _: () = assert!(size_of::<GroupDescriptor>() == GROUP_DESCRIPTOR_LEN as usize);
const _: () = assert!(size_of::<RawInode>() == 160);
const _: () = assert!(size_of::<DirEntryHeader>() == DIR_ENTRY_HEADER_LEN);
const _: () = assert!(core::mem::offset_of!(Superblock, make_time) == 264);
const _: () = assert!(core::mem::offset_of!(Superblock, last_orphan) == 232);
const _: () = assert!(core::mem::offset_of!(Superblock, backup_groups) == 588);
const _: () = assert!(core::mem::offset_of!(RawInode, uid_high) == 120);

/// A structure of zeros.
pub(crate) fn zeroed<T: FromZeros>() -> T {
    T::new_zeroed()
}
