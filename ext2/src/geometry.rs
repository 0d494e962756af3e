//! The few numbers that say where everything is, shared by reading and making.

use crate::layout::{GROUP_DESCRIPTOR_LEN, INODE_LEN_MIN};

/// Sizes and counts of a file system. Whoever makes one has checked it (`superblock.rs`,
/// `make/plan.rs`): block sizes and counts per group are not zero, and every product fits in 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// 1024, 2048 or 4096 bytes.
    pub(crate) block_size: u32,
    /// All blocks, from the first byte of the device.
    pub(crate) blocks_count: u32,
    /// Where group 0 begins: block 1 if blocks have 1024 bytes (block 0 is the boot block), else 0.
    pub(crate) first_data_block: u32,
    pub(crate) blocks_per_group: u32,
    pub(crate) inodes_per_group: u32,
    /// Bytes of an inode.
    pub(crate) inode_size: u16,
}

impl Geometry {
    /// Whether inodes go on behind byte 128, with the extra fields.
    pub(crate) fn has_large_inodes(&self) -> bool {
        self.inode_size > INODE_LEN_MIN
    }

    /// How many block groups there are. The last one may be shorter.
    pub(crate) fn groups_count(&self) -> u32 {
        self.blocks_count
            .saturating_sub(self.first_data_block)
            .div_ceil(self.blocks_per_group)
    }

    /// All inodes of all groups.
    pub(crate) fn inodes_count(&self) -> u64 {
        u64::from(self.groups_count()).saturating_mul(u64::from(self.inodes_per_group))
    }

    /// Where a block lies, in bytes from the start of the device.
    pub(crate) fn offset_of(&self, block: u32) -> u64 {
        u64::from(block).saturating_mul(u64::from(self.block_size))
    }

    /// The size of the file system in bytes.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.offset_of(self.blocks_count)
    }

    /// The first block of a group.
    pub(crate) fn group_start(&self, group: u32) -> u32 {
        group
            .saturating_mul(self.blocks_per_group)
            .saturating_add(self.first_data_block)
    }

    /// How many inodes a block of an inode table holds.
    pub(crate) fn inodes_per_block(&self) -> u32 {
        self.block_size
            .checked_div(u32::from(self.inode_size))
            .unwrap_or(1)
    }

    /// Blocks of one group's inode table.
    pub(crate) fn inode_table_blocks(&self) -> u32 {
        let bytes = u64::from(self.inodes_per_group).saturating_mul(u64::from(self.inode_size));
        u32::try_from(bytes.div_ceil(u64::from(self.block_size))).unwrap_or(u32::MAX)
    }

    /// Blocks of the table of group descriptors, and of each backup of it.
    pub(crate) fn descriptor_blocks(&self) -> u32 {
        let bytes = u64::from(self.groups_count()).saturating_mul(u64::from(GROUP_DESCRIPTOR_LEN));
        u32::try_from(bytes.div_ceil(u64::from(self.block_size))).unwrap_or(u32::MAX)
    }

    /// How many block pointers an indirect block holds.
    pub(crate) fn pointers_per_block(&self) -> u32 {
        self.block_size / 4
    }

    /// How many blocks a file can have: 12 direct ones and three trees of indirect ones.
    pub(crate) fn file_blocks_max(&self) -> u64 {
        let pointers = u64::from(self.pointers_per_block());
        let double = pointers.saturating_mul(pointers);
        let triple = double.saturating_mul(pointers);
        12u64
            .saturating_add(pointers)
            .saturating_add(double)
            .saturating_add(triple)
    }
}
