//! A mounted file system: the checked superblock, the table of block groups, and the device.
//!
//! What can be done with it is in the modules named for it: `inode.rs`, `file.rs`, `directory.rs`,
//! `symlink.rs`, `path.rs`, `walk.rs` for reading, which goes through `&self`; and, through
//! `&mut self`, `create.rs`, `file_write.rs`, `truncate.rs`, `remove.rs`, `rename.rs`,
//! `attributes.rs` and `sync.rs` for writing. A lock, if one is needed, is the caller's: without
//! `std` there is none to choose here, and a kernel wants readers to share it.
//!
//! Nothing is cached here but what mounting has checked, and what writing has changed and not yet
//! written back: caching is the device's.

use alloc::vec::Vec;
use core::fmt;

use zerocopy::FromBytes;

use crate::error::corrupt;
use crate::geometry::Geometry;
use crate::layout::{GROUP_DESCRIPTOR_LEN, GroupDescriptor, ROOT_INODE};
use crate::superblock::{self, Facts};
use crate::write_state::WriteState;
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
    pub(crate) groups: Vec<Group>,
    pub(crate) write: WriteState,
}

/// A block group: where its tables are, and what is free in it.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) block_bitmap: u32,
    pub(crate) inode_bitmap: u32,
    /// The first block of its inode table.
    pub(crate) inode_table: u32,
    pub(crate) free_blocks: u32,
    pub(crate) free_inodes: u32,
    pub(crate) directories: u32,
    /// No block before this one (counted in the group) is free.
    pub(crate) first_free_block: u32,
    /// No inode before this one (counted in the group) is free.
    pub(crate) first_free_inode: u32,
    /// The counts differ from those on the disk.
    pub(crate) is_changed: bool,
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
        let groups = read_groups(&device, &checked.geometry)?;
        let mut file_system = Self {
            device,
            geometry: checked.geometry,
            facts: checked.facts,
            first_inode: checked.first_inode,
            has_file_types: checked.has_file_types,
            groups,
            write: WriteState::default(),
        };
        if file_system.facts.read_only.is_none() {
            file_system.begin_writing()?;
        }
        Ok(file_system)
    }

    /// What the superblock said when the file system was mounted; what is free, as of now.
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

    /// Hands back the device as it is. What was changed and not synced is lost: see
    /// [`FileSystem::unmount`].
    pub fn into_device(self) -> D {
        self.device
    }

    /// Reads from a block of metadata, as it was last changed. The range must have been checked to lie
    /// in the file system.
    pub(crate) fn read_block(
        &self,
        block: u32,
        offset_in_block: u32,
        buf: &mut [u8],
    ) -> Result<(), DeviceError> {
        if let Some(buffer) = self.write.buffers.get(block) {
            let from = offset_in_block as usize;
            if let Some(bytes) = buffer.memory.get(from..from.saturating_add(buf.len())) {
                buf.copy_from_slice(bytes);
                return Ok(());
            }
        }
        let offset = self
            .geometry
            .offset_of(block)
            .saturating_add(u64::from(offset_in_block));
        self.device.read(offset, buf)
    }
}

/// Reads and checks the group descriptors.
///
/// "Block Group Descriptor Table": it begins in the block after the superblock's.
fn read_groups(device: &impl BlockDevice, geometry: &Geometry) -> Result<Vec<Group>, Error> {
    let count = geometry.groups_count();
    let table_start = geometry.first_data_block.saturating_add(1);
    let blocks_count = geometry.blocks_count;
    if table_start.saturating_add(geometry.descriptor_blocks()) > blocks_count {
        return Err(corrupt!(
            Place::Superblock,
            "{count} group descriptors do not fit in {blocks_count} blocks"
        ));
    }
    let mut groups = Vec::new();
    groups
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
            groups.push(check_group(group, descriptor, geometry)?);
            group = group.saturating_add(1);
        }
    }
    Ok(groups)
}

/// Checks that what a group descriptor points at is in the file system.
fn check_group(group: u32, raw: &GroupDescriptor, geometry: &Geometry) -> Result<Group, Error> {
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
    Ok(Group {
        block_bitmap: raw.block_bitmap.get(),
        inode_bitmap: raw.inode_bitmap.get(),
        inode_table: raw.inode_table.get(),
        free_blocks: u32::from(raw.free_blocks_count.get()),
        free_inodes: u32::from(raw.free_inodes_count.get()),
        directories: u32::from(raw.used_directories_count.get()),
        first_free_block: 0,
        first_free_inode: 0,
        is_changed: false,
    })
}
