//! Writing the content of files.
//!
//! Content goes to the device at once, from the caller's buffer, in rows as long as the file lies in
//! one piece there; what is new lies in blocks that nothing on the disk leads to before the next
//! write-back. A new block is written whole, so that what an earlier file left in it is never seen.

use alloc::vec;

use crate::alloc_blocks::Purpose;
use crate::filesystem::FileSystem;
use crate::{BlockDevice, Error, FileType, Inode, InodeNumber};

/// Most blocks that are allocated at once.
const ROW_MAX: u32 = 1024;
/// From this size on a file needs the feature `large_file`.
const LARGE_FILE: u64 = 1 << 31;

impl<D: BlockDevice> FileSystem<D> {
    /// Writes to a regular file, and returns how much: less than asked for only when the disk is full.
    /// A file becomes longer as needed; what was skipped reads as zeros and takes no space.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::FileTooLarge`], [`Error::IsADirectory`], [`Error::NotAFile`],
    /// [`Error::ReadOnly`], [`Error::Device`].
    pub fn write(&mut self, number: InodeNumber, offset: u64, data: &[u8]) -> Result<usize, Error> {
        Ok(self.write_at(number, Some(offset), data)?.0)
    }

    /// The same at the end of a file. Returns how much was written, and where the end is now.
    ///
    /// # Errors
    /// As [`FileSystem::write`].
    pub fn append(&mut self, number: InodeNumber, data: &[u8]) -> Result<(usize, u64), Error> {
        self.write_at(number, None, data)
    }

    /// Writes at an offset, or at the end; returns how much, and where that ends.
    fn write_at(
        &mut self,
        number: InodeNumber,
        mut offset: Option<u64>,
        data: &[u8],
    ) -> Result<(usize, u64), Error> {
        let mut done = 0usize;
        while let Some(rest) = data
            .get(done..)
            .filter(|rest| !rest.is_empty() || done == 0)
        {
            self.begin(ROW_MAX)?;
            let result = self.write_row_of(number, offset, rest);
            let (len, end) = match self.end(result) {
                Ok(written) => written,
                Err(Error::NoSpace) if done > 0 => break,
                Err(error) => return Err(error),
            };
            offset = Some(end);
            if len == 0 {
                break;
            }
            done = done.saturating_add(len);
        }
        Ok((done, offset.unwrap_or(0)))
    }

    /// A regular file, to be changed.
    pub(crate) fn regular(&self, number: InodeNumber) -> Result<Inode, Error> {
        let inode = self.inode(number)?;
        match inode.file_type {
            FileType::File => Ok(inode),
            FileType::Directory => Err(Error::IsADirectory),
            _ => Err(Error::NotAFile),
        }
    }

    /// Writes what lies in one piece, or can be put there; without an offset at the end. Returns how much, and where that ends.
    fn write_row_of(
        &mut self,
        number: InodeNumber,
        offset: Option<u64>,
        data: &[u8],
    ) -> Result<(usize, u64), Error> {
        let mut inode = self.regular(number)?;
        let offset = offset.unwrap_or(inode.size);
        if data.is_empty() {
            return Ok((0, offset));
        }
        self.check_size(offset.saturating_add(data.len() as u64))?;
        if offset > inode.size {
            self.clear_tail(&inode, offset)?;
        } else if inode.size < offset.saturating_add(data.len() as u64) {
            self.settle_tail(&inode)?;
        }
        let block_size = u64::from(self.geometry.block_size);
        let logical = offset.checked_div(block_size).unwrap_or(0);
        let within = offset.checked_rem(block_size).unwrap_or(0);
        let wanted = within
            .saturating_add(data.len() as u64)
            .div_ceil(block_size)
            .min(u64::from(ROW_MAX));
        let run = self.run(&inode, logical, wanted)?;
        let count = u64::from(run.count).min(self.blocks_in_table(logical));
        let len_in = |count: u64| {
            let room = count.saturating_mul(block_size).saturating_sub(within);
            data.len().min(usize::try_from(room).unwrap_or(usize::MAX))
        };
        let len = if let Some(start) = run.start {
            self.check_foreign(&inode, start, run.count)?;
            let len = len_in(run.count.into());
            let at = self.geometry.offset_of(start).saturating_add(within);
            self.write_device(at, data.get(..len).unwrap_or_default())?;
            len
        } else {
            let goal = self.goal(&inode, logical)?;
            let count = u32::try_from(count).unwrap_or(1);
            let (start, count) = self.allocate_blocks(goal, count, Purpose::Content)?;
            let len = len_in(count.into());
            let is_written = self.write_new(start, within, data.get(..len).unwrap_or_default());
            if let Err(error) = is_written {
                self.unallocate_blocks(start, count)?;
                // All is as it was: the failure is of this write alone.
                self.write.is_touched = false;
                return Err(error);
            }
            let is_set = self.set_pointers(&mut inode, logical, start, count);
            if let Err(Error::NoSpace) = is_set {
                self.unallocate_blocks(start, count)?;
            }
            is_set?;
            len
        };
        let end = offset.saturating_add(len as u64);
        self.note_size(end);
        inode.size = inode.size.max(end);
        inode.modified = self.write.now;
        inode.changed = self.write.now;
        self.store(&inode)?;
        Ok((len, end))
    }

    /// Fails for a size that cannot be recorded.
    pub(crate) fn check_size(&self, size: u64) -> Result<(), Error> {
        let block_size = u64::from(self.geometry.block_size);
        let reachable = self.geometry.file_blocks_max().saturating_mul(block_size);
        // `i_blocks` counts 512 bytes in 32 bits, with the blocks of pointers.
        let counted = (u64::from(u32::MAX) * 512).saturating_sub(1 << 32);
        let limit = if self.facts.revision == 0 {
            LARGE_FILE.saturating_sub(1)
        } else {
            reachable.min(counted)
        };
        if size > limit {
            return Err(Error::FileTooLarge);
        }
        Ok(())
    }

    /// Records that there is a large file, if that is one.
    pub(crate) fn note_size(&mut self, size: u64) {
        if size >= LARGE_FILE {
            self.record_large_file();
        }
    }

    /// Where the next block of a file would be best.
    pub(crate) fn goal(&self, inode: &Inode, logical: u64) -> Result<u32, Error> {
        if let Some(before) = logical.checked_sub(1)
            && let Some(block) = self.run(inode, before, 1)?.start
        {
            return Ok(block.saturating_add(1));
        }
        Ok(self.geometry.group_start(self.group_of_inode(inode.number)))
    }

    /// Writes data into new blocks, with zeros before and behind it to the ends of the blocks.
    pub(crate) fn write_new(&mut self, start: u32, within: u64, data: &[u8]) -> Result<(), Error> {
        let block_size = self.geometry.block_size as usize;
        let mut offset = self.geometry.offset_of(start);
        let mut data = data;
        let within = usize::try_from(within).unwrap_or(0);
        if within > 0 {
            let (head, rest) = data.split_at(data.len().min(block_size.saturating_sub(within)));
            let mut block = vec![0; block_size];
            crate::bytes::put(&mut block, within, head);
            self.write_device(offset, &block)?;
            offset = offset.saturating_add(block_size as u64);
            data = rest;
        }
        let tail_len = data.len().checked_rem(block_size).unwrap_or(0);
        let (whole, tail) = data.split_at(data.len().saturating_sub(tail_len));
        if !whole.is_empty() {
            self.write_device(offset, whole)?;
            offset = offset.saturating_add(whole.len() as u64);
        }
        if !tail.is_empty() {
            let mut block = vec![0; block_size];
            crate::bytes::put(&mut block, 0, tail);
            self.write_device(offset, &block)?;
        }
        Ok(())
    }

    /// Makes zero what lies behind the end of a file in its last block, before it becomes longer to
    /// `end`.
    pub(crate) fn clear_tail(&mut self, inode: &Inode, end: u64) -> Result<(), Error> {
        self.settle_tail(inode)?;
        let block_size = u64::from(self.geometry.block_size);
        let within = inode.size.checked_rem(block_size).unwrap_or(0);
        if within == 0 {
            return Ok(());
        }
        let logical = inode.size.checked_div(block_size).unwrap_or(0);
        let Some(block) = self.run(inode, logical, 1)?.start else {
            return Ok(());
        };
        self.check_foreign(inode, block, 1)?;
        let len = block_size
            .saturating_sub(within)
            .min(end.saturating_sub(inode.size));
        let zeros = vec![0; usize::try_from(len).unwrap_or(0)];
        let at = self.geometry.offset_of(block).saturating_add(within);
        self.write_device(at, &zeros)
    }

    /// If a file became shorter just now, and its last block goes on being used, makes that durable
    /// first: what is behind the end now belongs to the file on the disk.
    fn settle_tail(&mut self, inode: &Inode) -> Result<(), Error> {
        let block_size = u64::from(self.geometry.block_size);
        let is_within = inode.size.checked_rem(block_size) != Some(0);
        if is_within && self.write.shrunk.contains(&inode.number.0) {
            self.write_back()?;
        }
        Ok(())
    }
}
