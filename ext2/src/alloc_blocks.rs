//! Allocating and freeing blocks.
//!
//! A goal says where a block would be best: behind the one before it in the file. From there on the
//! group is searched, then the others. Counts per group and the place of the first free block in each
//! save looking at bitmaps in vain; both are hints that a damaged disk may have wrong.

use crate::bitmap;
use crate::buffers::Kind;
use crate::error::corrupt;
use crate::filesystem::FileSystem;
use crate::write_state::Freed;
use crate::{BlockDevice, Error, Place};

/// Free blocks that are kept for blocks of pointers: with them a file can become shorter on a disk
/// that is full, for then they are written anew.
const RESERVE: u32 = 8;

/// What blocks are allocated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Content of files and directories.
    Content,
    /// Pointers to blocks. These may use the reserve.
    Pointers,
}

impl<D: BlockDevice> FileSystem<D> {
    /// Free blocks that content may not use.
    pub(crate) fn reserve(&self) -> u32 {
        RESERVE
    }

    /// The group that a block is in.
    pub(crate) fn group_of_block(&self, block: u32) -> u32 {
        block
            .saturating_sub(self.geometry.first_data_block)
            .checked_div(self.geometry.blocks_per_group)
            .unwrap_or(0)
    }

    /// How many blocks a group has.
    pub(crate) fn blocks_in_group(&self, group: u32) -> u32 {
        self.geometry
            .blocks_count
            .saturating_sub(self.geometry.group_start(group))
            .min(self.geometry.blocks_per_group)
    }

    /// Allocates 1 to `wanted` blocks in a row, as near behind `goal` as can be.
    pub(crate) fn allocate_blocks(
        &mut self,
        goal: u32,
        wanted: u32,
        purpose: Purpose,
    ) -> Result<(u32, u32), Error> {
        let kept = match purpose {
            Purpose::Content => self.reserve(),
            Purpose::Pointers => 0,
        };
        let wanted = wanted.min(self.facts.free_blocks.saturating_sub(kept));
        if wanted == 0 {
            return Err(Error::NoSpace);
        }
        let count = self.geometry.groups_count();
        let home = self.group_of_block(goal).min(count.saturating_sub(1));
        let goal = goal.saturating_sub(self.geometry.group_start(home));
        for group in (home..count).chain(0..home) {
            let from = if group == home { goal } else { 0 };
            if let Some(found) = self.allocate_in_group(group, from, wanted)? {
                return Ok(found);
            }
        }
        Err(Error::NoSpace)
    }

    fn allocate_in_group(
        &mut self,
        index: u32,
        from: u32,
        wanted: u32,
    ) -> Result<Option<(u32, u32)>, Error> {
        let end = self.blocks_in_group(index);
        let Some(group) = self.groups.get(index as usize) else {
            return Ok(None);
        };
        if group.free_blocks == 0 {
            return Ok(None);
        }
        let (at, first_free) = (group.block_bitmap, group.first_free_block);
        let bits = &self.load(at, Kind::Bitmap)?.memory;
        let found = bitmap::find_clear(bits, from.max(first_free)..end, wanted)
            .or_else(|| bitmap::find_clear(bits, first_free..end, wanted));
        let Some(group) = self.groups.get_mut(index as usize) else {
            return Ok(None);
        };
        let Some(found) = found else {
            group.free_blocks = 0;
            return Ok(None);
        };
        if found.start == group.first_free_block {
            group.first_free_block = found.end;
        }
        let start = self.geometry.group_start(index).saturating_add(found.start);
        let count = found.end.saturating_sub(found.start);
        if self.write.system.overlaps(start, count) {
            return Err(corrupt!(
                Place::Group(index),
                "block {start} is marked as free, but belongs to the file system itself"
            ));
        }
        bitmap::fill(self.edit(at, Kind::Bitmap)?, found, true);
        self.count_blocks(index, count, false);
        Ok(Some((start, count)))
    }

    fn count_blocks(&mut self, index: u32, count: u32, is_freed: bool) {
        let change = |value: u32| {
            if is_freed {
                value.saturating_add(count)
            } else {
                value.saturating_sub(count)
            }
        };
        self.facts.free_blocks = change(self.facts.free_blocks);
        self.write.are_counts_changed = true;
        if let Some(group) = self.groups.get_mut(index as usize) {
            group.free_blocks = change(group.free_blocks);
            group.is_changed = true;
        }
    }

    /// Frees blocks in a row that nothing leads to any more. Those that something on the disk may lead
    /// to stay marked as used until that is gone.
    pub(crate) fn free_blocks(&mut self, start: u32, count: u32) -> Result<(), Error> {
        let end = start.saturating_add(count);
        let is_outside = start <= self.geometry.first_data_block
            || end > self.geometry.blocks_count
            || self.write.system.overlaps(start, count);
        let is_freed = self.write.freed.blocks.overlaps(start, count)
            || self.write.freed_before.blocks.overlaps(start, count);
        if is_outside || is_freed || !self.are_blocks_used(start, end)? {
            return Err(corrupt!(
                Place::Group(self.group_of_block(start)),
                "a file has a block from {start} to {end} that is free, another file's, or the file \
                 system's own"
            ));
        }
        self.write.is_touched = true;
        if count == 1 && self.is_fresh(start) {
            self.forget(start);
            return self.clear_blocks(start, end);
        }
        for block in start..end {
            self.forget(block);
        }
        self.write.freed.blocks.insert(start, count);
        Ok(())
    }

    /// Takes back an allocation that nothing was told of.
    pub(crate) fn unallocate_blocks(&mut self, start: u32, count: u32) -> Result<(), Error> {
        for block in start..start.saturating_add(count) {
            self.forget(block);
        }
        self.clear_blocks(start, start.saturating_add(count))
    }

    fn are_blocks_used(&mut self, start: u32, end: u32) -> Result<bool, Error> {
        let mut start = start;
        while start < end {
            let (group, bits) = self.bits_of(start, end);
            start = start.saturating_add(bits.end.saturating_sub(bits.start));
            let Some(at) = self
                .groups
                .get(group as usize)
                .map(|group| group.block_bitmap)
            else {
                return Ok(false);
            };
            let bitmap = &self.load(at, Kind::Bitmap)?.memory;
            if !bits.into_iter().all(|bit| bitmap::is_set(bitmap, bit)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The group of the first of some blocks, and the bits of those that are in it too.
    fn bits_of(&self, start: u32, end: u32) -> (u32, core::ops::Range<u32>) {
        let group = self.group_of_block(start);
        let group_start = self.geometry.group_start(group);
        let first = start.saturating_sub(group_start);
        let last = end
            .saturating_sub(group_start)
            .min(self.geometry.blocks_per_group);
        (group, first..last.max(first.saturating_add(1)))
    }

    fn clear_blocks(&mut self, start: u32, end: u32) -> Result<(), Error> {
        let mut start = start;
        while start < end {
            let (index, bits) = self.bits_of(start, end);
            let count = bits.end.saturating_sub(bits.start);
            start = start.saturating_add(count);
            let Some(group) = self.groups.get_mut(index as usize) else {
                break;
            };
            group.first_free_block = group.first_free_block.min(bits.start);
            let at = group.block_bitmap;
            bitmap::fill(self.edit(at, Kind::Bitmap)?, bits, false);
            self.count_blocks(index, count, true);
        }
        Ok(())
    }

    /// Clears what was freed in the bitmaps: nothing on the disk leads there any more.
    pub(crate) fn release(&mut self, freed: Freed) -> Result<(), Error> {
        for (start, count) in freed.blocks.iter() {
            self.clear_blocks(start, start.saturating_add(count))?;
        }
        for (number, is_directory) in freed.inodes {
            self.clear_inode(number, is_directory)?;
        }
        Ok(())
    }
}
