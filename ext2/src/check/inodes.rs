//! The inodes in use, and the blocks that they lead to.

use alloc::vec;

use zerocopy::FromBytes;

use super::{Checker, Known, note};
use crate::bytes::u32_at;
use crate::layout::{DIRECT_BLOCKS, ROOT_INODE, RawInode, zeroed};
use crate::{BlockDevice, Error, FileType, Inode, InodeNumber, Place};

/// `h_magic` of a block of extended attributes, and where the count of its inodes is.
const ATTRIBUTES_MAGIC: u32 = 0xEA02_0000;
const ATTRIBUTES_COUNT_AT: usize = 4;

/// The blocks of one inode while they are followed.
struct Walk {
    number: u32,
    /// Blocks, with indirect ones.
    count: u64,
    /// Behind the last block of data, counted in the file.
    end: u64,
    /// The first block of data that is not there though a later one is.
    hole: Option<u64>,
    is_directory: bool,
}

impl<D: BlockDevice> Checker<'_, D> {
    pub(super) fn check_inodes(&mut self) -> Result<(), Error> {
        let orphans = self.orphans()?;
        for number in 1..=self.disk.facts.inodes {
            let raw = self.raw(number)?;
            let is_reserved = number < self.disk.first_inode && number != ROOT_INODE;
            let links = raw.links_count.get();
            let place = Place::Inode(number);
            if is_reserved {
                self.check_reserved(number, &raw)?;
            } else if links == 0 && orphans.contains(&number) {
                self.nameless.insert(number);
                self.follow_map(number, &raw, false)?;
            } else if links == 0 {
                if raw.mode.get() != 0 && raw.delete_time.get() == 0 {
                    note!(self, place, "was removed, but says not when");
                }
            } else {
                if raw.delete_time.get() != 0 {
                    note!(self, place, "is in use, but says that it was removed");
                }
                match self.disk.inode(InodeNumber(number)) {
                    Ok(inode) => self.check_inode(&inode, &raw)?,
                    Err(error) => self.note_error(place, error)?,
                }
            }
        }
        let wrong = self
            .attributes
            .iter()
            .filter(|(_, (said, found))| said != found);
        let wrong: alloc::vec::Vec<_> = wrong.map(|(block, counts)| (*block, *counts)).collect();
        for (block, (said, found)) in wrong {
            note!(
                self,
                Place::Superblock,
                "block {block} of extended attributes belongs to {found} inodes and says {said}"
            );
        }
        Ok(())
    }

    fn raw(&self, number: u32) -> Result<RawInode, Error> {
        let (block, offset) = self.disk.inode_place(InodeNumber(number))?;
        let mut bytes = [0; size_of::<RawInode>()];
        let len = usize::from(self.disk.geometry.inode_size).min(bytes.len());
        let bytes_there = bytes.get_mut(..len).unwrap_or_default();
        self.disk.read_block(block, offset, bytes_there)?;
        Ok(RawInode::read_from_bytes(&bytes).unwrap_or_else(|_| zeroed()))
    }

    /// Inodes that were removed while in use: each leads to the next by its time of removal.
    fn orphans(&mut self) -> Result<alloc::collections::BTreeSet<u32>, Error> {
        let mut found = alloc::collections::BTreeSet::new();
        let mut next = self.last_orphan;
        while next != 0 {
            let is_possible = next >= self.disk.first_inode && next <= self.disk.facts.inodes;
            if !is_possible || !found.insert(next) {
                note!(
                    self,
                    Place::Superblock,
                    "the list of removed inodes leads to {next}"
                );
                return Ok(found);
            }
            note!(
                self,
                Place::Inode(next),
                "was removed while in use, and not freed"
            );
            next = self.raw(next)?.delete_time.get();
        }
        Ok(found)
    }

    /// Reserved inodes have blocks, such as a journal, and no names.
    fn check_reserved(&mut self, number: u32, raw: &RawInode) -> Result<(), Error> {
        self.nameless.insert(number);
        if raw.block.iter().all(|pointer| pointer.get() == 0) {
            return Ok(());
        }
        self.follow_map(number, raw, false).map(drop)
    }

    fn check_inode(&mut self, inode: &Inode, raw: &RawInode) -> Result<(), Error> {
        let number = inode.number.0;
        let known = Known {
            file_type: inode.file_type,
            links: inode.links,
            names: 0,
            parent: None,
            stated_parent: None,
        };
        self.inodes.insert(number, known);
        let attributes = self.check_attributes(inode)?;
        let is_short_link = inode.file_type == FileType::Symlink && self.disk.is_short_link(inode);
        let has_map = matches!(
            inode.file_type,
            FileType::File | FileType::Directory | FileType::Symlink
        ) && !is_short_link;
        let mut count = 0;
        if has_map {
            let walk = self.follow_map(number, raw, inode.is_directory())?;
            count = walk.count;
            self.check_size(inode, &walk);
        }
        if inode.file_type == FileType::Symlink
            && let Err(error) = self.disk.read_link(inode)
        {
            self.note_error(Place::Inode(number), error)?;
        }
        let units = u64::from(self.disk.geometry.block_size / 512);
        let expected = count.saturating_add(attributes).saturating_mul(units);
        if u64::from(inode.blocks) != expected {
            note!(
                self,
                Place::Inode(number),
                "counts {} units of 512 bytes, and has {expected}",
                inode.blocks
            );
        }
        Ok(())
    }

    fn check_size(&mut self, inode: &Inode, walk: &Walk) {
        let block_size = u64::from(self.disk.geometry.block_size);
        let place = Place::Inode(inode.number.0);
        let end = walk.end.saturating_mul(block_size);
        let (is_wrong, least) = match inode.file_type {
            FileType::Directory => (inode.size != end, end),
            _ => (
                end >= inode.size.saturating_add(block_size),
                end.saturating_sub(block_size).saturating_add(1),
            ),
        };
        if is_wrong {
            let size = inode.size;
            note!(
                self,
                place,
                "its size is {size}, but its blocks make at least {least}"
            );
        }
        if let Some(hole) = walk.hole {
            note!(self, place, "block {hole} of the directory is missing");
        }
    }

    /// Counts an inode for its block of extended attributes; returns how many blocks that is.
    fn check_attributes(&mut self, inode: &Inode) -> Result<u64, Error> {
        let block = inode.attributes_block;
        if block == 0 {
            return Ok(0);
        }
        if let Err(error) = self.disk.check_block(inode, block) {
            self.note_error(Place::Inode(inode.number.0), error)?;
            return Ok(0);
        }
        if let Some((_, found)) = self.attributes.get_mut(&block) {
            *found = found.saturating_add(1);
            return Ok(1);
        }
        let mut header = [0; 8];
        self.disk.read_block(block, 0, &mut header)?;
        let place = Place::Inode(inode.number.0);
        if u32_at(&header, 0) != ATTRIBUTES_MAGIC {
            note!(self, place, "block {block} holds no extended attributes");
        }
        if !self.use_block(block) {
            note!(self, place, "block {block} is used twice");
        }
        let said = u32_at(&header, ATTRIBUTES_COUNT_AT);
        self.attributes.insert(block, (said, 1));
        Ok(1)
    }

    fn follow_map(
        &mut self,
        number: u32,
        raw: &RawInode,
        is_directory: bool,
    ) -> Result<Walk, Error> {
        let mut walk = Walk {
            number,
            count: 0,
            end: 0,
            hole: None,
            is_directory,
        };
        let mut logical = 0;
        for (index, pointer) in (0u32..).zip(raw.block) {
            let depth = index.saturating_sub(DIRECT_BLOCKS.saturating_sub(1));
            self.follow(&mut walk, pointer.get(), depth, &mut logical)?;
        }
        Ok(walk)
    }

    /// Follows a pointer with `depth` levels of indirect blocks below it; `logical` goes past what it
    /// stands for.
    fn follow(
        &mut self,
        walk: &mut Walk,
        pointer: u32,
        depth: u32,
        logical: &mut u64,
    ) -> Result<(), Error> {
        let geometry = self.disk.geometry;
        let span = u64::from(geometry.pointers_per_block()).saturating_pow(depth);
        let start = *logical;
        let end = start.saturating_add(span);
        *logical = end;
        if pointer == 0 {
            return Ok(());
        }
        let place = Place::Inode(walk.number);
        if pointer <= geometry.first_data_block || pointer >= geometry.blocks_count {
            note!(
                self,
                place,
                "leads to block {pointer}, which is none of the file system's"
            );
            return Ok(());
        }
        walk.count = walk.count.saturating_add(1);
        let is_first = self.use_block(pointer);
        if !is_first {
            note!(self, place, "block {pointer} is used twice");
        }
        if depth == 0 {
            if walk.is_directory && walk.end != start && walk.hole.is_none() {
                walk.hole = Some(walk.end);
            }
            walk.end = end;
            return Ok(());
        }
        if !is_first {
            // What it leads to was followed where it was seen first.
            return Ok(());
        }
        let mut bytes = vec![0; geometry.block_size as usize];
        self.disk.read_block(pointer, 0, &mut bytes)?;
        *logical = start;
        for entry in bytes.chunks_exact(4) {
            self.follow(walk, u32_at(entry, 0), depth.saturating_sub(1), logical)?;
        }
        Ok(())
    }
}
