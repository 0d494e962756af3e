//! What a mounted file system remembers for writing: the transaction.
//!
//! Everything in here is of the time since the last write-back (`writeback.rs`), but for what is said
//! to last longer.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::Time;
use crate::buffers::Buffer;
use crate::layout::SUPERBLOCK_LEN;
use crate::names::Names;
use crate::numbered::Numbered;
use crate::order::{NewName, Unnamed};
use crate::runs::Runs;

/// Blocks and inodes that nothing in memory leads to any more, but perhaps something on the disk.
#[derive(Debug, Default)]
pub(crate) struct Freed {
    pub(crate) blocks: Runs,
    /// Numbers of inodes, and whether they were directories.
    pub(crate) inodes: Vec<(u32, bool)>,
}

impl Freed {
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.inodes.is_empty()
    }
}

/// From where on a directory may have room: a block, and a record in it that is in use, or the first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    pub(crate) logical: u64,
    pub(crate) offset: usize,
}

/// The state of writing.
#[derive(Debug)]
pub(crate) struct WriteState {
    /// Blocks of metadata that were changed, and some that were only looked at. They last.
    pub(crate) buffers: Numbered<Buffer>,
    /// Those of them that differ from the disk.
    pub(crate) changed: BTreeSet<u32>,
    /// The superblock as it is to be on the disk, but for its counts. It lasts.
    pub(crate) superblock: [u8; SUPERBLOCK_LEN],
    pub(crate) is_superblock_changed: bool,
    /// `s_state` as it was found. It lasts.
    pub(crate) found_state: u16,
    /// The disk says that the file system is in use. It lasts.
    pub(crate) is_marked: bool,
    /// Counts of free blocks and inodes differ from those on the disk.
    pub(crate) are_counts_changed: bool,
    /// Links were counted since mounting (`link_counts.rs`). It lasts.
    pub(crate) are_links_counted: bool,
    /// Something was written since the last flush of the device.
    pub(crate) needs_flush: bool,
    /// The current operation has changed something in memory.
    pub(crate) is_touched: bool,
    /// Inodes that lost names, or are let go, with how many names they lost: those count on the disk
    /// until they are gone there.
    pub(crate) holds: Numbered<u16>,
    /// Names that were removed, by directory: the disk still has them.
    pub(crate) removed: BTreeSet<(u32, Vec<u8>)>,
    /// Inodes that are new, by number, and where their names are.
    pub(crate) created: Numbered<NewName>,
    /// Free inodes that the disk has as used, and those it will have so by this transaction: the names of
    /// the former may come to the disk before anything else (`order.rs`).
    pub(crate) marked: BTreeSet<u32>,
    pub(crate) marking: BTreeSet<u32>,
    /// Inodes that are new and were marked before.
    pub(crate) early: BTreeSet<u32>,
    /// How many names new inodes were given.
    pub(crate) created_count: u64,
    /// Inodes that lost their last names, in order.
    pub(crate) unnamed: Vec<Unnamed>,
    /// Inodes that lost a name because it leads elsewhere now.
    pub(crate) replaced: BTreeSet<u32>,
    /// Files that became shorter.
    pub(crate) shrunk: BTreeSet<u32>,
    /// What this transaction freed.
    pub(crate) freed: Freed,
    /// What the transaction before freed, where the inodes are not yet on the disk.
    pub(crate) freed_before: Freed,
    /// Blocks that hold bitmaps, inode tables, the superblock and the descriptors. It lasts.
    pub(crate) system: Runs,
    /// Inodes in use by the caller, and how often. They last.
    pub(crate) pins: BTreeMap<u32, u32>,
    /// Inodes without a name that are still in use. They last.
    pub(crate) orphans: BTreeSet<u32>,
    /// Where in a directory there may be room. Hints; they last.
    pub(crate) room: Numbered<Room>,
    /// Where names of large directories are. It lasts.
    pub(crate) names: Names,
    /// The time for what happens now. It lasts.
    pub(crate) now: Time,
}

impl Default for WriteState {
    fn default() -> Self {
        Self {
            buffers: Numbered::default(),
            changed: BTreeSet::new(),
            superblock: [0; SUPERBLOCK_LEN],
            is_superblock_changed: false,
            found_state: 0,
            is_marked: false,
            are_counts_changed: false,
            are_links_counted: false,
            needs_flush: false,
            is_touched: false,
            holds: Numbered::default(),
            removed: BTreeSet::new(),
            created: Numbered::default(),
            marked: BTreeSet::new(),
            marking: BTreeSet::new(),
            early: BTreeSet::new(),
            created_count: 0,
            unnamed: Vec::new(),
            replaced: BTreeSet::new(),
            shrunk: BTreeSet::new(),
            freed: Freed::default(),
            freed_before: Freed::default(),
            system: Runs::default(),
            pins: BTreeMap::new(),
            orphans: BTreeSet::new(),
            room: Numbered::default(),
            names: Names::default(),
            now: Time::default(),
        }
    }
}
