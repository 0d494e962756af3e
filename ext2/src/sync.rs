//! Mounting for writing, making durable, and unmounting. `writeback.rs` does the work.
//!
//! The superblock says "in use" (`s_state`) from the first change on until [`FileSystem::unmount`]: a
//! file system that is only read is not touched. One that was found so keeps that mark until e2fsck
//! has seen it, as on Linux. A mark beside it says that this crate wrote it: only then is it safe to
//! write to what was not unmounted (`writeback.rs`).

use alloc::vec::Vec;

use zerocopy::FromBytes;

use crate::bitmap;
use crate::features::READ_ONLY_LARGE_FILE;
use crate::filesystem::FileSystem;
use crate::layout::{STATE_CLEAN, STATE_ERRORS, SUPERBLOCK_OFFSET, Superblock};
use crate::superblock::order_mark;
use crate::{BlockDevice, Error, InodeNumber};

impl<D: BlockDevice> FileSystem<D> {
    /// Returns when a file is on the medium, with all that leads to it: its data, its inode, and the
    /// names on the way from the root. (So is everything else that was changed before.)
    ///
    /// # Errors
    /// [`Error::Device`]; after that the file system is read-only. [`Error::ReadOnly`] if it became so
    /// earlier by a failure.
    pub fn fsync(&mut self, number: InodeNumber) -> Result<(), Error> {
        let _ = number;
        self.check_not_failed()?;
        self.write_back()
    }

    /// Returns when everything is on the medium, and what was removed is free.
    ///
    /// # Errors
    /// As [`FileSystem::fsync`].
    pub fn sync(&mut self) -> Result<(), Error> {
        self.check_not_failed()?;
        self.write_back_all()
    }

    /// Syncs, and says on the disk that it is no longer in use, if it was found so. The next change says
    /// the opposite again.
    ///
    /// # Errors
    /// As [`FileSystem::fsync`].
    pub fn mark_clean(&mut self) -> Result<(), Error> {
        self.sync()?;
        if !self.write.is_marked {
            return Ok(());
        }
        let found = self.write.found_state;
        // Files that have no name but are in use would stay on the disk for ever.
        if self.write.orphans.is_empty() {
            self.with_superblock(|superblock| superblock.state = found.into());
        }
        let result = self.write_superblock().and_then(|()| self.flush());
        if result.is_err() {
            self.give_up();
        }
        self.write.is_marked = false;
        result
    }

    /// Unmounts, and hands back the device. Files that were removed and are still pinned go.
    ///
    /// # Errors
    /// As [`FileSystem::fsync`].
    pub fn unmount(mut self) -> Result<D, Error> {
        let pins: Vec<u32> = core::mem::take(&mut self.write.pins).into_keys().collect();
        for number in pins {
            self.pin(InodeNumber(number));
            self.unpin(InodeNumber(number))?;
        }
        self.mark_clean()?;
        Ok(self.device)
    }

    fn check_not_failed(&self) -> Result<(), Error> {
        match self.facts.read_only {
            Some(reason @ crate::ReadOnlyReason::Failed) => Err(Error::ReadOnly(reason)),
            _ => Ok(()),
        }
    }

    /// Prepares for writing when mounting.
    pub(crate) fn begin_writing(&mut self) -> Result<(), Error> {
        self.device
            .read(SUPERBLOCK_OFFSET, &mut self.write.superblock)?;
        if let Ok(superblock) = Superblock::ref_from_bytes(&self.write.superblock) {
            self.write.found_state = superblock.state.get();
        }
        let descriptors = self.geometry.descriptor_blocks().saturating_add(1);
        let table_blocks = self.geometry.inode_table_blocks();
        let pieces = self.groups.iter().flat_map(|group| {
            [
                (group.block_bitmap, 1),
                (group.inode_bitmap, 1),
                (group.inode_table, table_blocks),
            ]
        });
        // Those of a group mostly follow each other, and are one run.
        let (mut start, mut count) = (self.geometry.first_data_block, descriptors);
        for (piece, blocks) in pieces {
            if start.saturating_add(count) == piece {
                count = count.saturating_add(blocks);
            } else {
                self.write.system.insert(start, count);
                (start, count) = (piece, blocks);
            }
        }
        self.write.system.insert(start, count);
        self.count_free()?;
        if let Err(error) = self.free_old_orphans() {
            // It can still be read.
            self.give_up();
            if let Error::Device(_) = error {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Counts what is free: from the groups' counts, or, if those may be old, from the bitmaps.
    fn count_free(&mut self) -> Result<(), Error> {
        let per_group = self.geometry.inodes_per_group;
        let mut scratch = Vec::new();
        let (mut blocks, mut inodes) = (0u32, 0u32);
        for index in 0..self.geometry.groups_count() {
            let blocks_here = self.blocks_in_group(index);
            let Some(group) = self.groups.get(index as usize) else {
                break;
            };
            let (mut free_blocks, mut free_inodes) = (group.free_blocks, group.free_inodes);
            if !self.facts.is_clean {
                let (at_blocks, at_inodes) = (group.block_bitmap, group.inode_bitmap);
                free_blocks = bitmap::count_clear(self.look(at_blocks, &mut scratch)?, blocks_here);
                free_inodes = bitmap::count_clear(self.look(at_inodes, &mut scratch)?, per_group);
                self.write.are_counts_changed = true;
            }
            if let Some(group) = self.groups.get_mut(index as usize) {
                group.is_changed = !self.facts.is_clean;
                group.free_blocks = free_blocks.min(blocks_here);
                group.free_inodes = free_inodes.min(per_group);
                blocks = blocks.saturating_add(group.free_blocks);
                inodes = inodes.saturating_add(group.free_inodes);
            }
        }
        self.facts.free_blocks = blocks;
        self.facts.free_inodes = inodes;
        Ok(())
    }

    fn with_superblock(&mut self, change: impl FnOnce(&mut Superblock)) {
        if let Ok(superblock) = Superblock::mut_from_bytes(&mut self.write.superblock) {
            change(superblock);
        }
    }

    /// Says on the disk that the file system is in use, before the first change.
    pub(crate) fn mark_in_use(&mut self) -> Result<(), Error> {
        if self.write.is_marked {
            return Ok(());
        }
        self.write.is_marked = true;
        let now = self.now_seconds();
        self.with_superblock(|superblock| {
            superblock.state = (superblock.state.get() & !STATE_CLEAN).into();
            superblock.mount_count = superblock.mount_count.get().saturating_add(1).into();
            superblock.mount_time = now.into();
            superblock.write_time = now.into();
            superblock.last_mounted = order_mark(superblock);
        });
        // What else changed in it comes later, in order.
        let superblock = self.write.superblock;
        self.write_device(SUPERBLOCK_OFFSET, &superblock)?;
        self.flush()
    }

    fn now_seconds(&self) -> u32 {
        u32::try_from(self.write.now.seconds).unwrap_or(0)
    }

    /// Brings counts and time in the superblock up to date.
    pub(crate) fn fill_superblock(&mut self) {
        let now = self.now_seconds();
        // Damaged bitmaps can count more than there are, and with that it could not be mounted again.
        let (blocks, inodes) = (
            self.facts.free_blocks.min(self.facts.blocks),
            self.facts.free_inodes.min(self.facts.inodes),
        );
        self.with_superblock(|superblock| {
            superblock.free_blocks_count = blocks.into();
            superblock.free_inodes_count = inodes.into();
            superblock.write_time = now.into();
        });
    }

    /// Notes in the superblock that errors were found.
    pub(crate) fn record_errors(&mut self) {
        self.with_superblock(|superblock| {
            superblock.state = (superblock.state.get() & !STATE_CLEAN | STATE_ERRORS).into();
        });
    }

    /// Notes in the superblock that there is a file of 2 GiB or more.
    pub(crate) fn record_large_file(&mut self) {
        let mut is_new = false;
        self.with_superblock(|superblock| {
            let features = superblock.features_read_only.get();
            is_new = features & READ_ONLY_LARGE_FILE == 0;
            superblock.features_read_only = (features | READ_ONLY_LARGE_FILE).into();
        });
        self.write.is_superblock_changed |= is_new;
    }
}
