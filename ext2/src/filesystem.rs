//! A mounted file system: the checked superblock, the table of block groups, and the device.
//!
//! What can be done with it is in the modules named for it: `inode.rs`, `file.rs`, `directory.rs`,
//! `symlink.rs`, `path.rs`, `walk.rs`. Everything goes through `&self`, and nothing is cached here
//! but what mounting has checked: caching is the device's.

use alloc::vec::Vec;
use core::fmt;

use zerocopy::FromBytes;

use crate::error::corrupt;
use crate::geometry::Geometry;
use crate::layout::{GROUP_DESCRIPTOR_LEN, GroupDescriptor, ROOT_INODE};
use crate::superblock::{self, Facts};
use crate::{BlockDevice, DeviceError, Error, InodeNumber, Place};

/// How to mount.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountOptions {
    /// Never write, even where that would be possible.
    pub read_only: bool,
}

/// A mounted ext2 file system.
///
/// It is `Send` and `Sync` if the device is.
pub struct FileSystem<D> {
    pub(crate) device: D,
    pub(crate) geometry: Geometry,
    pub(crate) facts: Facts,
    pub(crate) first_inode: u32,
    pub(crate) has_file_types: bool,
    /// The first block of each group's inode table.
    pub(crate) inode_tables: Vec<u32>,
}

impl<D> fmt::Debug for FileSystem<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSystem")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl<D: BlockDevice> FileSystem<D> {
    /// Mounts the file system on a device: reads and checks the superblock and the group
    /// descriptors.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Truncated`], [`Error::UnknownFeatures`],
    /// [`Error::NeedsRecovery`] and [`Error::Unsupported`] say what is wrong with the disk.
    pub fn mount(device: D, options: MountOptions) -> Result<Self, Error> {
        let checked = superblock::read(&device, options.read_only)?;
        let inode_tables = read_groups(&device, &checked.geometry)?;
        Ok(Self {
            device,
            geometry: checked.geometry,
            facts: checked.facts,
            first_inode: checked.first_inode,
            has_file_types: checked.has_file_types,
            inode_tables,
        })
    }

    /// What the superblock said when the file system was mounted.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The inode of the root directory.
    pub fn root(&self) -> InodeNumber {
        InodeNumber(ROOT_INODE)
    }

    /// The device it lies on.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Unmounts and hands back the device.
    pub fn into_device(self) -> D {
        self.device
    }

    /// Reads from a block on. The range must have been checked to lie in the file system.
    pub(crate) fn read_block(
        &self,
        block: u32,
        offset_in_block: u32,
        buf: &mut [u8],
    ) -> Result<(), DeviceError> {
        let offset = self
            .geometry
            .offset_of(block)
            .saturating_add(u64::from(offset_in_block));
        self.device.read(offset, buf)
    }
}

/// Reads and checks the group descriptors, and keeps where the inode tables are.
///
/// "Block Group Descriptor Table": it begins in the block after the superblock's.
fn read_groups(device: &impl BlockDevice, geometry: &Geometry) -> Result<Vec<u32>, Error> {
    let count = geometry.groups_count();
    let table_start = geometry.first_data_block.saturating_add(1);
    let blocks_count = geometry.blocks_count;
    if table_start.saturating_add(geometry.descriptor_blocks()) > blocks_count {
        return Err(corrupt!(
            Place::Superblock,
            "{count} group descriptors do not fit in {blocks_count} blocks"
        ));
    }
    let mut inode_tables = Vec::new();
    inode_tables
        .try_reserve_exact(count as usize)
        .map_err(|_| Error::OutOfMemory)?;

    let mut offset = geometry.offset_of(table_start);
    let mut chunk = [0; 32 * GROUP_DESCRIPTOR_LEN as usize];
    let mut group = 0;
    while group < count {
        let wanted = (count.saturating_sub(group).min(32) as usize)
            .saturating_mul(GROUP_DESCRIPTOR_LEN as usize);
        let bytes = chunk.get_mut(..wanted).unwrap_or_default();
        device.read(offset, bytes)?;
        offset = offset.saturating_add(wanted as u64);
        for descriptor in <[GroupDescriptor]>::ref_from_bytes(bytes).unwrap_or_default() {
            inode_tables.push(check_group(group, descriptor, geometry)?);
            group = group.saturating_add(1);
        }
    }
    Ok(inode_tables)
}

/// Checks that what a group descriptor points at is in the file system.
fn check_group(group: u32, raw: &GroupDescriptor, geometry: &Geometry) -> Result<u32, Error> {
    let end = geometry.blocks_count;
    let table_blocks = geometry.inode_table_blocks();
    for (what, block, len) in [
        ("block bitmap", raw.block_bitmap.get(), 1),
        ("inode bitmap", raw.inode_bitmap.get(), 1),
        ("inode table", raw.inode_table.get(), table_blocks),
    ] {
        if block <= geometry.first_data_block {
            return Err(corrupt!(
                Place::Group(group),
                "{what} at block {block} lies on the superblock"
            ));
        }
        if block >= end {
            return Err(corrupt!(
                Place::Group(group),
                "{what} at block {block} is beyond the end ({end} blocks)"
            ));
        }
        if u64::from(block).saturating_add(u64::from(len)) > u64::from(end) {
            return Err(corrupt!(
                Place::Group(group),
                "{what} of {len} blocks at block {block} goes beyond the end ({end} blocks)"
            ));
        }
    }
    Ok(raw.inode_table.get())
}
