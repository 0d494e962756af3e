//! Judges the superblock: every field that is used afterwards is checked here, once.
//!
//! "The Second Extended File System", chapter "Superblock Structure". The bounds are those that
//! e2fsck and Linux's `fs/ext2/super.c` hold to.

use alloc::format;
use core::fmt;

use zerocopy::FromBytes;

use crate::error::corrupt;
use crate::features::{
    COMPATIBLE_JOURNAL, INCOMPATIBLE_FILETYPE, INCOMPATIBLE_KNOWN, INCOMPATIBLE_RECOVER,
    IncompatibleFeatures, READ_ONLY_KNOWN, ReadOnlyFeatures,
};
use crate::geometry::Geometry;
use crate::layout::{
    FIRST_INODE, INODE_LEN_MIN, MAGIC, STATE_CLEAN, STATE_ERRORS, SUPERBLOCK_LEN,
    SUPERBLOCK_OFFSET, Superblock,
};
use crate::{BlockDevice, Error, Place};

/// What the superblock says about the file system as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Size of a block in bytes: 1024, 2048 or 4096.
    pub block_size: u32,
    /// All blocks.
    pub blocks: u32,
    /// Blocks that are free.
    pub free_blocks: u32,
    /// Free blocks that only root may use.
    pub reserved_blocks: u32,
    /// All inodes.
    pub inodes: u32,
    /// Inodes that are free.
    pub free_inodes: u32,
    /// Bytes of an inode.
    pub inode_size: u16,
    /// 0 or 1.
    pub revision: u32,
    /// The name given to the file system, zero-padded.
    pub label: [u8; 16],
    /// The number given to the file system; zero in revision 0.
    pub uuid: [u8; 16],
    /// It was unmounted cleanly.
    pub is_clean: bool,
    /// Why it must not be written, if so.
    pub read_only: Option<ReadOnlyReason>,
}

impl Facts {
    /// The label without its padding.
    #[must_use]
    pub fn label(&self) -> &[u8] {
        self.label
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default()
    }
}

/// Why a file system may only be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOnlyReason {
    /// Whoever mounted it wants it so.
    Asked,
    /// It has features that can be left alone when reading, but not when writing.
    Features(ReadOnlyFeatures),
    /// It has a journal, which a write would have to go through.
    Journal,
    /// Errors were found in it earlier, and e2fsck has not been run since.
    ErrorsRecorded,
    /// It was not unmounted by another system that had it, and those do not write in an order that makes
    /// the bitmaps safe to go by.
    NotUnmounted,
    /// A write failed, or damage was found while writing, and what was on the disk was left as it was.
    Failed,
}

impl fmt::Display for ReadOnlyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("mounted read-only"),
            Self::Features(features) => write!(f, "has features unknown to ext2: {features}"),
            Self::Journal => f.write_str("has a journal (ext3)"),
            Self::ErrorsRecorded => f.write_str("has recorded errors: run e2fsck"),
            Self::NotUnmounted => {
                f.write_str("was not unmounted by the system that had it last: run e2fsck")
            }
            Self::Failed => f.write_str("an error came up while writing: run e2fsck"),
        }
    }
}

/// A superblock that holds.
pub(crate) struct Checked {
    pub(crate) geometry: Geometry,
    pub(crate) facts: Facts,
    /// The first inode that is not reserved.
    pub(crate) first_inode: u32,
    /// Directory entries carry a file type.
    pub(crate) has_file_types: bool,
}

/// What `s_last_mounted` says while this crate has the file system mounted for writing. Count and time
/// of the mount are in it: another system that mounts it changes those.
pub(crate) fn order_mark(raw: &Superblock) -> [u8; 64] {
    let (count, time) = (raw.mount_count.get(), raw.mount_time.get());
    let text = format!("toro, in order, mount {count} at {time}");
    let mut mark = [0; 64];
    crate::bytes::put(&mut mark, 0, text.as_bytes());
    mark
}

/// Reads and checks the superblock.
pub(crate) fn read(device: &impl BlockDevice, is_read_only: bool) -> Result<Checked, Error> {
    let device_bytes = device.len_bytes();
    let least = SUPERBLOCK_OFFSET.saturating_add(SUPERBLOCK_LEN as u64);
    if device_bytes < least {
        return Err(Error::Truncated {
            device_bytes,
            file_system_bytes: least,
        });
    }
    let mut bytes = [0; SUPERBLOCK_LEN];
    device.read(SUPERBLOCK_OFFSET, &mut bytes)?;
    let raw = Superblock::ref_from_bytes(&bytes)
        .map_err(|_| corrupt!(Place::Superblock, "is not {SUPERBLOCK_LEN} bytes long"))?;

    if raw.magic.get() != MAGIC {
        return Err(corrupt!(
            Place::Superblock,
            "magic is {:#06x}, expected 0xEF53 (no ext2 file system here)",
            raw.magic.get()
        ));
    }
    let revision = raw.revision.get();
    if revision > 1 {
        return Err(Error::Unsupported {
            field: "revision",
            value: u64::from(revision),
            supported: "0 or 1",
        });
    }
    let is_dynamic = revision == 1;
    let (compatible, incompatible, read_only_features) = if is_dynamic {
        (
            raw.features_compatible.get(),
            raw.features_incompatible.get(),
            raw.features_read_only.get(),
        )
    } else {
        (0, 0, 0)
    };
    check_features(incompatible)?;
    let geometry = check_geometry(raw, is_dynamic)?;
    let inodes = check_counts(raw, &geometry)?;
    if device_bytes < geometry.len_bytes() {
        return Err(Error::Truncated {
            device_bytes,
            file_system_bytes: geometry.len_bytes(),
        });
    }

    let first_inode = if is_dynamic {
        raw.first_inode.get()
    } else {
        FIRST_INODE
    };
    if first_inode < FIRST_INODE || first_inode > inodes {
        return Err(corrupt!(
            Place::Superblock,
            "first inode is {first_inode}, must be {FIRST_INODE} to {inodes}"
        ));
    }
    let unknown = read_only_features & !READ_ONLY_KNOWN;
    let read_only = if is_read_only {
        Some(ReadOnlyReason::Asked)
    } else if unknown != 0 {
        Some(ReadOnlyReason::Features(ReadOnlyFeatures(unknown)))
    } else if compatible & COMPATIBLE_JOURNAL != 0 {
        Some(ReadOnlyReason::Journal)
    } else if raw.state.get() & STATE_ERRORS != 0 {
        Some(ReadOnlyReason::ErrorsRecorded)
    } else if raw.state.get() & STATE_CLEAN == 0 && raw.last_mounted != order_mark(raw) {
        Some(ReadOnlyReason::NotUnmounted)
    } else {
        None
    };
    Ok(Checked {
        facts: Facts {
            block_size: geometry.block_size,
            blocks: geometry.blocks_count,
            free_blocks: raw.free_blocks_count.get(),
            reserved_blocks: raw.reserved_blocks_count.get(),
            inodes,
            free_inodes: raw.free_inodes_count.get(),
            inode_size: geometry.inode_size,
            revision,
            label: if is_dynamic { raw.label } else { [0; 16] },
            uuid: if is_dynamic { raw.uuid } else { [0; 16] },
            is_clean: raw.state.get() & STATE_CLEAN != 0,
            read_only,
        },
        geometry,
        first_inode,
        has_file_types: incompatible & INCOMPATIBLE_FILETYPE != 0,
    })
}

fn check_features(incompatible: u32) -> Result<(), Error> {
    let unknown = incompatible & !INCOMPATIBLE_KNOWN;
    if unknown == INCOMPATIBLE_RECOVER {
        return Err(Error::NeedsRecovery);
    }
    if unknown != 0 {
        return Err(Error::UnknownFeatures(IncompatibleFeatures(unknown)));
    }
    Ok(())
}

/// Checks the sizes, so that no arithmetic on them can go wrong later.
fn check_geometry(raw: &Superblock, is_dynamic: bool) -> Result<Geometry, Error> {
    let place = Place::Superblock;
    let log_block_size = raw.log_block_size.get();
    if log_block_size > 6 {
        return Err(corrupt!(
            place,
            "block size is 1024 << {log_block_size} bytes"
        ));
    }
    let block_size = 1024u32.wrapping_shl(log_block_size);
    if block_size > 4096 {
        return Err(Error::Unsupported {
            field: "block size",
            value: u64::from(block_size),
            supported: "1024, 2048 or 4096",
        });
    }

    let first_data_block = raw.first_data_block.get();
    let expected = u32::from(block_size == 1024);
    if first_data_block != expected {
        return Err(corrupt!(
            place,
            "first data block is {first_data_block}, must be {expected} with blocks of {block_size} bytes"
        ));
    }
    let blocks_count = raw.blocks_count.get();
    if blocks_count <= first_data_block {
        return Err(corrupt!(place, "has {blocks_count} blocks"));
    }

    // A bitmap is one block, so a group has at most as many blocks and inodes as that has bits.
    let bits_per_block = block_size.saturating_mul(8);
    let blocks_per_group = raw.blocks_per_group.get();
    if blocks_per_group < 256
        || blocks_per_group > bits_per_block
        || !blocks_per_group.is_multiple_of(8)
    {
        return Err(corrupt!(
            place,
            "blocks per group is {blocks_per_group}, must be 256 to {bits_per_block} in steps of 8"
        ));
    }
    let inodes_per_group = raw.inodes_per_group.get();
    if inodes_per_group == 0 || inodes_per_group > bits_per_block {
        return Err(corrupt!(
            place,
            "inodes per group is {inodes_per_group}, must be 1 to {bits_per_block}"
        ));
    }
    let inode_size = if is_dynamic {
        raw.inode_size.get()
    } else {
        INODE_LEN_MIN
    };
    if !inode_size.is_power_of_two()
        || inode_size < INODE_LEN_MIN
        || u32::from(inode_size) > block_size
    {
        return Err(corrupt!(
            place,
            "inode size is {inode_size}, must be a power of two from {INODE_LEN_MIN} to {block_size}"
        ));
    }
    Ok(Geometry {
        block_size,
        blocks_count,
        first_data_block,
        blocks_per_group,
        inodes_per_group,
        inode_size,
    })
}

/// Checks the counts against the sizes and returns the number of inodes.
fn check_counts(raw: &Superblock, geometry: &Geometry) -> Result<u32, Error> {
    let place = Place::Superblock;
    let inodes = raw.inodes_count.get();
    let expected = geometry.inodes_count();
    if u64::from(inodes) != expected {
        return Err(corrupt!(
            place,
            "has {inodes} inodes, but {} groups of {} are {expected}",
            geometry.groups_count(),
            geometry.inodes_per_group
        ));
    }
    for (what, count, all) in [
        (
            "free blocks",
            raw.free_blocks_count.get(),
            geometry.blocks_count,
        ),
        (
            "reserved blocks",
            raw.reserved_blocks_count.get(),
            geometry.blocks_count,
        ),
        ("free inodes", raw.free_inodes_count.get(), inodes),
    ] {
        if count > all {
            return Err(corrupt!(place, "has {count} {what} of {all}"));
        }
    }
    Ok(inodes)
}
