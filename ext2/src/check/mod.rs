//! Checking a whole file system, reading only: what e2fsck would find, as a list.
//!
//! As e2fsck does, in turn: the inodes and the blocks that they lead to (`inodes.rs`), the entries of
//! directories and how they hang together (`directories.rs`), then what bitmaps and counts say of both
//! (`counts.rs`). Not looked at are the backups of the superblock, the content of extended attributes,
//! of a journal and of the index of hashed directories.
//!
//! Its memory grows with the blocks and inodes that are on the device, not with what they say; and
//! each block is followed once.

mod counts;
mod directories;
mod inodes;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use zerocopy::FromBytes;

use crate::bitmap;
use crate::features::{
    COMPATIBLE_SPARSE_SUPER2, READ_ONLY_KNOWN, READ_ONLY_SPARSE_SUPER, ReadOnlyFeatures,
};
use crate::filesystem::FileSystem;
use crate::layout::{SUPERBLOCK_LEN, SUPERBLOCK_OFFSET, Superblock};
use crate::make::has_backup;
use crate::{BlockDevice, Error, FileType, Place, ReadOnlyReason};

/// Problems that are listed; a disk full of noise has more.
const PROBLEMS_MAX: usize = 1000;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The structure that is wrong.
    pub place: Place,
    /// What is wrong with it, in plain words.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.detail)
    }
}

/// What is known of an inode in use.
struct Known {
    file_type: FileType,
    links: u16,
    /// Entries that lead to it.
    names: u32,
    /// The directory that has an entry for it, if it is one itself.
    parent: Option<u32>,
    /// What its own `..` says.
    stated_parent: Option<u32>,
}

struct Checker<'a, D> {
    disk: &'a FileSystem<D>,
    problems: Vec<Problem>,
    /// A bit for each block of the file system that something uses.
    blocks: Vec<u8>,
    /// Inodes in use that can have names: the root, and those that are not reserved.
    inodes: BTreeMap<u32, Known>,
    /// Other inodes in use: reserved ones, and removed ones in the orphan list.
    nameless: BTreeSet<u32>,
    /// Blocks of extended attributes: how many inodes they say they belong to, and how many do.
    attributes: BTreeMap<u32, (u32, u32)>,
    last_orphan: u32,
    is_sparse: bool,
    /// The only groups with backups besides the first, where it is so.
    backup_groups: Option<[u32; 2]>,
}

/// Notes a problem with a formatted text.
macro_rules! note {
    ($checker:expr, $place:expr, $($text:tt)*) => {
        $checker.note($place, alloc::format!($($text)*))
    };
}
use note;

impl<D: BlockDevice> FileSystem<D> {
    /// Checks everything and lists what is wrong, at most about a thousand things. A file system that
    /// was not unmounted is no problem by itself: see [`crate::Facts::is_clean`]. Mount it read-only for
    /// this: mounting for writing counts what is free anew, and what was changed and not synced is not
    /// seen.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] with [`ReadOnlyReason::Features`] when it has features for which other things hold; [`Error::Device`],
    /// [`Error::OutOfMemory`].
    pub fn check(&self) -> Result<Vec<Problem>, Error> {
        let mut raw = [0; SUPERBLOCK_LEN];
        self.device.read(SUPERBLOCK_OFFSET, &mut raw)?;
        let superblock = Superblock::ref_from_bytes(&raw).map_err(|_| Error::OutOfMemory)?;
        let bytes = (self.geometry.blocks_count as usize).div_ceil(8);
        let mut blocks = Vec::new();
        blocks
            .try_reserve_exact(bytes)
            .map_err(|_| Error::OutOfMemory)?;
        blocks.resize(bytes, 0);
        let is_dynamic = superblock.revision.get() > 0;
        let features = superblock.features_read_only.get();
        let unknown = features & !READ_ONLY_KNOWN;
        if is_dynamic && unknown != 0 {
            let unknown = ReadOnlyFeatures(unknown);
            return Err(Error::ReadOnly(ReadOnlyReason::Features(unknown)));
        }
        let mut checker = Checker {
            disk: self,
            problems: Vec::new(),
            blocks,
            inodes: BTreeMap::new(),
            nameless: BTreeSet::new(),
            attributes: BTreeMap::new(),
            last_orphan: if is_dynamic {
                superblock.last_orphan.get()
            } else {
                0
            },
            is_sparse: is_dynamic && features & READ_ONLY_SPARSE_SUPER != 0,
            backup_groups: (is_dynamic
                && superblock.features_compatible.get() & COMPATIBLE_SPARSE_SUPER2 != 0)
                .then(|| superblock.backup_groups.map(|group| group.get())),
        };
        checker.check_tables();
        checker.check_inodes()?;
        checker.check_directories()?;
        checker.check_counts()?;
        Ok(checker.problems)
    }
}

impl<D: BlockDevice> Checker<'_, D> {
    fn note(&mut self, place: Place, detail: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { place, detail });
        }
    }

    /// Notes what reading came upon; what the device fails with ends the check.
    fn note_error(&mut self, place: Place, error: Error) -> Result<(), Error> {
        match error {
            Error::Device(_) | Error::OutOfMemory => Err(error),
            Error::Corrupt { place, detail } => {
                self.note(place, detail);
                Ok(())
            }
            error => {
                note!(self, place, "{error}");
                Ok(())
            }
        }
    }

    /// Has a group a copy of superblock and descriptors?
    fn has_backup(&self, group: u32) -> bool {
        match self.backup_groups {
            Some(groups) => group == 0 || groups.contains(&group),
            None => has_backup(u32::from(self.is_sparse), group),
        }
    }

    /// Marks the blocks of the file system's own tables.
    fn check_tables(&mut self) {
        let geometry = self.disk.geometry;
        let table_blocks = geometry.inode_table_blocks();
        let descriptors = geometry.descriptor_blocks().saturating_add(1);
        for (index, group) in (0u32..).zip(&self.disk.groups) {
            let start = geometry.group_start(index);
            let backup = if self.has_backup(index) {
                descriptors
            } else {
                0
            };
            let tables = [
                ("superblock and descriptors", start, backup),
                ("block bitmap", group.block_bitmap, 1),
                ("inode bitmap", group.inode_bitmap, 1),
                ("inode table", group.inode_table, table_blocks),
            ];
            for (what, first, count) in tables {
                for block in first..first.saturating_add(count) {
                    if !self.use_block(block) {
                        note!(
                            self,
                            Place::Group(index),
                            "{what}: block {block} is used twice"
                        );
                    }
                }
            }
        }
    }

    /// Marks a block as used; false if it was before.
    fn use_block(&mut self, block: u32) -> bool {
        if bitmap::is_set(&self.blocks, block) {
            return false;
        }
        bitmap::fill(&mut self.blocks, block..block.saturating_add(1), true);
        true
    }
}
