//! Setting and clearing the block pointers of files.
//!
//! A block of pointers that is on the disk is not changed but written anew elsewhere, up to the
//! inode: so what a file's inode on the disk leads to is always one state of the file, not a mixture
//! (`writeback.rs`). Where the disk is so full that there is no block for that, it is changed in
//! place.

use alloc::vec::Vec;

use crate::alloc_blocks::Purpose;
use crate::buffers::Kind;
use crate::bytes::{put, u32_at};
use crate::error::corrupt;
use crate::filesystem::FileSystem;
use crate::layout::DIRECT_BLOCKS;
use crate::{BlockDevice, Error, Inode, Place};

/// Most blocks of pointers that are written anew for one block of a file.
const TABLES_MAX: u32 = 3;

/// Where the pointer to a block of a file is.
struct Spot {
    /// The pointer of the inode that leads there.
    top: usize,
    /// How many blocks of pointers lie between.
    depth: u32,
    /// Which block below that pointer.
    index: u64,
}

impl<D: BlockDevice> FileSystem<D> {
    /// How many blocks from `logical` on have their pointers in the same place.
    pub(crate) fn blocks_in_table(&self, logical: u64) -> u64 {
        let direct = u64::from(DIRECT_BLOCKS);
        let Some(index) = logical.checked_sub(direct) else {
            return direct.saturating_sub(logical);
        };
        let per_table = u64::from(self.geometry.pointers_per_block());
        per_table.saturating_sub(index.checked_rem(per_table).unwrap_or(0))
    }

    /// Sets the pointers of `count` blocks of a file from `logical` on to blocks in a row. They were
    /// holes, and their pointers are in the same place. The inode is changed in memory only.
    ///
    /// [`Error::NoSpace`] leaves everything as it was.
    pub(crate) fn set_pointers(
        &mut self,
        inode: &mut Inode,
        logical: u64,
        start: u32,
        count: u32,
    ) -> Result<(), Error> {
        let spot = self.spot(inode, logical)?;
        if spot.depth == 0 {
            let (pointers, _) = inode.map.split_at_mut(DIRECT_BLOCKS as usize);
            for (pointer, block) in pointers
                .iter_mut()
                .skip(spot.top)
                .zip(start..)
                .take(count as usize)
            {
                *pointer = block;
            }
            self.add_blocks(inode, count);
            return Ok(());
        }
        if self.facts.free_blocks < TABLES_MAX {
            return Err(Error::NoSpace);
        }
        let leaf = self.leaf(inode, &spot, start.saturating_add(count));
        let (table, slot) = leaf.map_err(|error| match error {
            Error::NoSpace => corrupt!(Place::Superblock, "the count of free blocks is wrong"),
            error => error,
        })?;
        let bytes = self.edit(table, Kind::Pointers)?;
        for index in 0..count {
            let offset = slot.saturating_add(index).saturating_mul(4) as usize;
            put(bytes, offset, &start.saturating_add(index).to_le_bytes());
        }
        self.add_blocks(inode, count);
        Ok(())
    }

    fn spot(&self, inode: &Inode, logical: u64) -> Result<Spot, Error> {
        let Some(mut index) = logical.checked_sub(u64::from(DIRECT_BLOCKS)) else {
            let top = usize::try_from(logical).unwrap_or(usize::MAX);
            return Ok(Spot {
                top,
                depth: 0,
                index: 0,
            });
        };
        for depth in 1..=3 {
            let blocks = self.tree_blocks(depth);
            if index < blocks {
                let top = DIRECT_BLOCKS.saturating_add(depth).saturating_sub(1) as usize;
                return Ok(Spot { top, depth, index });
            }
            index = index.saturating_sub(blocks);
        }
        Err(corrupt!(
            Place::Inode(inode.number.0),
            "block {logical} of the file is beyond what block pointers reach"
        ))
    }

    /// How many blocks of a file a tree of so many levels of pointers has.
    pub(crate) fn tree_blocks(&self, depth: u32) -> u64 {
        u64::from(self.geometry.pointers_per_block()).saturating_pow(depth)
    }

    /// Counts blocks of a file, in units of 512 bytes.
    fn add_blocks(&self, inode: &mut Inode, count: u32) {
        let units = count.saturating_mul(self.geometry.block_size / 512);
        inode.blocks = inode.blocks.saturating_add(units);
    }

    /// Finds the lowest block of pointers above a place of a file, makes those on the way that are
    /// missing, and makes all of them ready to be changed. Returns it and the place in it.
    fn leaf(&mut self, inode: &mut Inode, spot: &Spot, goal: u32) -> Result<(u32, u32), Error> {
        let pointer = inode.map.get(spot.top).copied().unwrap_or(0);
        let mut table = self.table_for_change(inode, pointer, goal)?;
        if let Some(pointer) = inode.map.get_mut(spot.top) {
            *pointer = table;
        }
        let mut index = spot.index;
        for depth in (1..spot.depth).rev() {
            let span = self.tree_blocks(depth);
            let slot = index.checked_div(span).unwrap_or(0);
            index = index.checked_rem(span).unwrap_or(0);
            let offset = usize::try_from(slot.saturating_mul(4)).unwrap_or(usize::MAX);
            let pointer = u32_at(self.edit(table, Kind::Pointers)?, offset);
            let below = self.table_for_change(inode, pointer, goal)?;
            put(
                self.edit(table, Kind::Pointers)?,
                offset,
                &below.to_le_bytes(),
            );
            table = below;
        }
        Ok((table, u32::try_from(index).unwrap_or(0)))
    }

    /// The block of pointers that a pointer leads to, as one that may be changed: a new one if there
    /// is none or if it is on the disk already.
    fn table_for_change(
        &mut self,
        inode: &mut Inode,
        pointer: u32,
        goal: u32,
    ) -> Result<u32, Error> {
        let old = self.check_block(inode, pointer)?;
        if let Some(old) = old {
            self.check_foreign(inode, old, 1)?;
            if self.is_fresh(old) {
                return Ok(old);
            }
        }
        let goal = old.unwrap_or(goal);
        let new = match (self.allocate_blocks(goal, 1, Purpose::Pointers), old) {
            (Ok((new, _)), _) => new,
            (Err(Error::NoSpace), Some(old)) => return Ok(old),
            (Err(error), _) => return Err(error),
        };
        match old {
            None => {
                self.add_fresh(new, Kind::Pointers);
                self.add_blocks(inode, 1);
            }
            Some(old) => {
                let mut scratch = Vec::new();
                let content = self.look(old, &mut scratch)?.to_vec();
                put(self.add_fresh(new, Kind::Pointers), 0, &content);
                self.free_blocks(old, 1)?;
            }
        }
        Ok(new)
    }

    /// Checks that blocks of a file are not blocks of the file system itself.
    pub(crate) fn check_foreign(&self, inode: &Inode, start: u32, count: u32) -> Result<(), Error> {
        if self.write.system.overlaps(start, count) {
            return Err(corrupt!(
                Place::Inode(inode.number.0),
                "block {start} of the file belongs to the file system itself"
            ));
        }
        Ok(())
    }

    /// Frees all blocks of a file from block `keep` on. The inode is changed in memory only.
    pub(crate) fn cut_blocks(&mut self, inode: &mut Inode, keep: u64) -> Result<(), Error> {
        let mut freed = FreedRow::default();
        for (logical, pointer) in (0..u64::from(DIRECT_BLOCKS)).zip(inode.map) {
            if logical >= keep && pointer != 0 {
                self.push_freed(inode, &mut freed, pointer)?;
                if let Some(pointer) = usize::try_from(logical)
                    .ok()
                    .and_then(|index| inode.map.get_mut(index))
                {
                    *pointer = 0;
                }
            }
        }
        let mut first = u64::from(DIRECT_BLOCKS);
        for depth in 1..=3u32 {
            let top = DIRECT_BLOCKS.saturating_add(depth).saturating_sub(1) as usize;
            let pointer = inode.map.get(top).copied().unwrap_or(0);
            let kept = keep.saturating_sub(first);
            first = first.saturating_add(self.tree_blocks(depth));
            let left = self.cut_tree(inode, &mut freed, pointer, depth, kept)?;
            if let Some(pointer) = inode.map.get_mut(top) {
                *pointer = left;
            }
        }
        self.free_row(inode, &mut freed)
    }

    /// Frees what a tree has from its block `keep` on, and returns the pointer to what is left.
    fn cut_tree(
        &mut self,
        inode: &mut Inode,
        freed: &mut FreedRow,
        pointer: u32,
        depth: u32,
        keep: u64,
    ) -> Result<u32, Error> {
        let Some(table) = self.check_block(inode, pointer)? else {
            return Ok(0);
        };
        if keep >= self.tree_blocks(depth) {
            return Ok(table);
        }
        if depth == 0 {
            self.push_freed(inode, freed, table)?;
            return Ok(0);
        }
        self.check_foreign(inode, table, 1)?;
        let mut scratch = Vec::new();
        let pointers = self.look(table, &mut scratch)?.to_vec();
        let span = self.tree_blocks(depth.saturating_sub(1));
        if keep == 0 {
            // First the block itself: a tree that leads back into itself is found out by this.
            self.push_freed(inode, freed, table)?;
            self.free_row(inode, freed)?;
        }
        let mut changes = Vec::new();
        for (slot, bytes) in (0u64..).zip(pointers.chunks_exact(4)) {
            let pointer = u32_at(bytes, 0);
            let kept = keep.saturating_sub(slot.saturating_mul(span));
            if pointer == 0 || kept >= span {
                continue;
            }
            let left = self.cut_tree(inode, freed, pointer, depth.saturating_sub(1), kept)?;
            if left != pointer {
                changes.push((slot, left));
            }
        }
        if keep == 0 {
            return Ok(0);
        }
        if changes.is_empty() {
            return Ok(table);
        }
        let table = self.table_for_change(inode, table, table)?;
        let bytes = self.edit(table, Kind::Pointers)?;
        for (slot, pointer) in changes {
            let offset = usize::try_from(slot.saturating_mul(4)).unwrap_or(usize::MAX);
            put(bytes, offset, &pointer.to_le_bytes());
        }
        Ok(table)
    }

    /// Gathers blocks that are freed into rows.
    fn push_freed(
        &mut self,
        inode: &mut Inode,
        freed: &mut FreedRow,
        block: u32,
    ) -> Result<(), Error> {
        if freed.count > 0 && freed.start.checked_add(freed.count) == Some(block) {
            freed.count = freed.count.saturating_add(1);
            return Ok(());
        }
        self.free_row(inode, freed)?;
        *freed = FreedRow {
            start: block,
            count: 1,
        };
        Ok(())
    }

    fn free_row(&mut self, inode: &mut Inode, freed: &mut FreedRow) -> Result<(), Error> {
        let FreedRow { start, count } = core::mem::take(freed);
        if count > 0 {
            self.free_blocks(start, count)?;
            let units = count.saturating_mul(self.geometry.block_size / 512);
            inode.blocks = inode.blocks.saturating_sub(units);
        }
        Ok(())
    }
}

/// Blocks in a row that are to be freed.
#[derive(Default)]
struct FreedRow {
    start: u32,
    count: u32,
}
