//! Allocating and freeing inodes.
//!
//! Files go to the group of their directory. Directories below the root are spread over the groups,
//! so that there is room for what comes into them; deeper ones stay near their parents while there is
//! room.

use core::cmp::Reverse;

use crate::bitmap;
use crate::buffers::Kind;
use crate::error::corrupt;
use crate::filesystem::FileSystem;
use crate::layout::ROOT_INODE;
use crate::{BlockDevice, Error, InodeNumber, Place};

/// How many inodes are marked as used at once. Those that are not needed yet are free inodes, and are marked as such again by a full
/// sync: for the next ones the bitmap need not be on the disk before their names.
const MARK_AHEAD: u32 = 32;

impl<D: BlockDevice> FileSystem<D> {
    /// The group that an inode is in.
    pub(crate) fn group_of_inode(&self, number: InodeNumber) -> u32 {
        number
            .0
            .saturating_sub(1)
            .checked_div(self.geometry.inodes_per_group)
            .unwrap_or(0)
    }

    /// Allocates an inode for something in a directory.
    pub(crate) fn allocate_inode(
        &mut self,
        parent: InodeNumber,
        is_directory: bool,
    ) -> Result<InodeNumber, Error> {
        let home = if is_directory {
            self.group_for_directory(parent)
        } else {
            self.group_of_inode(parent)
        };
        let count = self.geometry.groups_count();
        for group in (home..count).chain(0..home.min(count)) {
            if let Some(number) = self.allocate_inode_in_group(group)? {
                self.count_inode(group, is_directory, false);
                return Ok(number);
            }
        }
        Err(Error::NoSpace)
    }

    /// The group that a new directory is best in.
    fn group_for_directory(&self, parent: InodeNumber) -> u32 {
        let home = self.group_of_inode(parent);
        let groups = self.geometry.groups_count().max(1);
        let average_inodes = self.facts.free_inodes.checked_div(groups).unwrap_or(0);
        let average_blocks = self.facts.free_blocks.checked_div(groups).unwrap_or(0);
        let indexed = || (0u32..).zip(&self.groups);
        let is_roomy = |index: &u32| {
            self.groups.get(*index as usize).is_some_and(|group| {
                group.free_inodes >= average_inodes.max(1) && group.free_blocks >= average_blocks
            })
        };
        if parent.0 == ROOT_INODE {
            let roomy = indexed().filter(|(index, _)| is_roomy(index));
            let best =
                roomy.min_by_key(|(_, group)| (group.directories, Reverse(group.free_blocks)));
            return best.map_or(home, |(index, _)| index);
        }
        let near = (home..groups).chain(0..home).find(is_roomy);
        near.unwrap_or(home)
    }

    fn allocate_inode_in_group(&mut self, index: u32) -> Result<Option<InodeNumber>, Error> {
        let per_group = self.geometry.inodes_per_group;
        let start = index.saturating_mul(per_group);
        let Some(group) = self.groups.get(index as usize) else {
            return Ok(None);
        };
        if group.free_inodes == 0 {
            return Ok(None);
        }
        let end = start.saturating_add(per_group);
        let ahead = start.saturating_add(1)..=end;
        if let Some(number) = self.write.marked.range(ahead.clone()).next().copied() {
            self.write.marked.remove(&number);
            self.write.early.insert(number);
            return Ok(Some(InodeNumber(number)));
        }
        if let Some(number) = self.write.marking.range(ahead).next().copied() {
            self.write.marking.remove(&number);
            return Ok(Some(InodeNumber(number)));
        }
        let at = group.inode_bitmap;
        let reserved = self.first_inode.saturating_sub(1).saturating_sub(start);
        let from = group.first_free_inode.max(reserved);
        let bits = &self.load(at, Kind::Bitmap)?.memory;
        let found = bitmap::find_clear(bits, from..per_group, 1);
        let Some(group) = self.groups.get_mut(index as usize) else {
            return Ok(None);
        };
        let Some(found) = found else {
            group.free_inodes = 0;
            return Ok(None);
        };
        let number = InodeNumber(start.saturating_add(found.end));
        self.check_free(number)?;
        let mut run = found.clone();
        while run.end < per_group && run.end.saturating_sub(run.start) < MARK_AHEAD {
            let bits = &self.load(at, Kind::Bitmap)?.memory;
            let next = InodeNumber(
                number
                    .0
                    .saturating_add(run.end)
                    .saturating_sub(found.end)
                    .saturating_add(1),
            );
            if bitmap::is_set(bits, run.end) || self.check_free(next).is_err() {
                break;
            }
            self.write.marking.insert(next.0);
            run.end = run.end.saturating_add(1);
        }
        if let Some(group) = self.groups.get_mut(index as usize) {
            group.first_free_inode = run.end;
        }
        bitmap::fill(self.edit(at, Kind::Bitmap)?, run, true);
        Ok(Some(number))
    }

    /// Fails if an inode that is marked as free is not.
    fn check_free(&self, number: InodeNumber) -> Result<(), Error> {
        let links = self.raw_inode(number)?.links_count.get();
        if links != 0 {
            return Err(corrupt!(
                Place::Inode(number.0),
                "is marked as free, but has {links} links"
            ));
        }
        Ok(())
    }

    /// Marks inodes as free that were marked as used ahead of time.
    pub(crate) fn unmark_inodes(&mut self) -> Result<(), Error> {
        let mut numbers = core::mem::take(&mut self.write.marked);
        numbers.append(&mut self.write.marking);
        for number in numbers {
            self.set_inode_free(number)?;
        }
        Ok(())
    }

    fn count_inode(&mut self, index: u32, is_directory: bool, is_freed: bool) {
        let change = |value: u32| {
            if is_freed {
                value.saturating_add(1)
            } else {
                value.saturating_sub(1)
            }
        };
        self.facts.free_inodes = change(self.facts.free_inodes);
        self.write.are_counts_changed = true;
        if let Some(group) = self.groups.get_mut(index as usize) {
            group.free_inodes = change(group.free_inodes);
            group.is_changed = true;
            if is_directory {
                group.directories = if is_freed {
                    group.directories.saturating_sub(1)
                } else {
                    group.directories.saturating_add(1)
                };
            }
        }
    }

    /// Marks an inode as free: nothing leads to it, in memory or on the disk.
    pub(crate) fn clear_inode(&mut self, number: u32, is_directory: bool) -> Result<(), Error> {
        self.set_inode_free(number)?;
        let index = self.group_of_inode(InodeNumber(number));
        self.count_inode(index, is_directory, true);
        Ok(())
    }

    /// Clears the bit of an inode.
    fn set_inode_free(&mut self, number: u32) -> Result<(), Error> {
        let index = self.group_of_inode(InodeNumber(number));
        let start = index.saturating_mul(self.geometry.inodes_per_group);
        let bit = number.saturating_sub(1).saturating_sub(start);
        let Some(group) = self.groups.get_mut(index as usize) else {
            return Ok(());
        };
        group.first_free_inode = group.first_free_inode.min(bit);
        let at = group.inode_bitmap;
        bitmap::fill(
            self.edit(at, Kind::Bitmap)?,
            bit..bit.saturating_add(1),
            false,
        );
        Ok(())
    }
}
