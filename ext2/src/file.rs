//! Reading the content of files. Writing it is in `file_write.rs` and `truncate.rs`.

use crate::filesystem::FileSystem;
use crate::{BlockDevice, Error, FileType, Inode};

/// Neighbouring runs of blocks, gathered so that they are read at once.
struct Pending {
    /// Where they lie on the device; none for a hole.
    device_offset: Option<u64>,
    /// Where they go in the buffer.
    start: usize,
    len: usize,
}

impl Pending {
    /// Where on the device the next byte would have to lie to be read along.
    fn next(&self) -> Option<u64> {
        self.device_offset
            .map(|offset| offset.saturating_add(self.len as u64))
    }

    fn end(&self) -> usize {
        self.start.saturating_add(self.len)
    }
}

impl<D: BlockDevice> FileSystem<D> {
    /// Reads from a regular file and returns how many bytes there were: fewer than `buf` has room
    /// for only where the file ends. Holes read as zeros.
    ///
    /// What lies in one piece on the device is read in one call. Nothing is allocated.
    ///
    /// # Errors
    /// [`Error::IsADirectory`] and [`Error::NotAFile`] for what is no regular file,
    /// [`Error::Corrupt`] when a block pointer leads out of the file system.
    pub fn read(&self, inode: &Inode, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        match inode.file_type {
            FileType::File => self.read_content(inode, offset, buf),
            FileType::Directory => Err(Error::IsADirectory),
            _ => Err(Error::NotAFile),
        }
    }

    /// Where a regular file has a hole (`is_hole`), or else content, at or after byte `offset`; `None`
    /// where there is no more of it. Behind the end of the file is a hole.
    ///
    /// # Errors
    /// As [`FileSystem::read`].
    pub fn find_part(
        &self,
        inode: &Inode,
        offset: u64,
        is_hole: bool,
    ) -> Result<Option<u64>, Error> {
        match inode.file_type {
            FileType::File => {}
            FileType::Directory => return Err(Error::IsADirectory),
            _ => return Err(Error::NotAFile),
        }
        let block_size = u64::from(self.geometry.block_size);
        let end = inode.size.div_ceil(block_size);
        let mut logical = offset.checked_div(block_size).unwrap_or(0);
        while logical < end {
            let run = self.run(inode, logical, end.saturating_sub(logical))?;
            if run.start.is_none() == is_hole {
                return Ok(Some(logical.saturating_mul(block_size).max(offset)));
            }
            logical = logical.saturating_add(u64::from(run.count));
        }
        Ok(is_hole.then_some(inode.size.max(offset)))
    }

    /// [`FileSystem::read`] for whatever has its content in blocks.
    pub(crate) fn read_content(
        &self,
        inode: &Inode,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, Error> {
        let available = inode.size.saturating_sub(offset);
        let len = buf
            .len()
            .min(usize::try_from(available).unwrap_or(usize::MAX));
        let block_size = u64::from(self.geometry.block_size);
        let mut pending = Pending {
            device_offset: None,
            start: 0,
            len: 0,
        };
        while pending.end() < len {
            let position = offset.saturating_add(pending.end() as u64);
            let left = len.saturating_sub(pending.end());
            let logical = position.checked_div(block_size).unwrap_or(0);
            let within = position.checked_rem(block_size).unwrap_or(0);
            let wanted = within.saturating_add(left as u64).div_ceil(block_size);

            let run = self.run(inode, logical, wanted)?;
            let run_bytes = u64::from(run.count)
                .saturating_mul(block_size)
                .saturating_sub(within);
            let run_len = left.min(usize::try_from(run_bytes).unwrap_or(usize::MAX));
            let device_offset = run
                .start
                .map(|start| self.geometry.offset_of(start).saturating_add(within));
            if pending.next() != device_offset {
                self.read_pending(&pending, buf)?;
                pending = Pending {
                    device_offset,
                    start: pending.end(),
                    len: 0,
                };
            }
            pending.len = pending.len.saturating_add(run_len);
        }
        self.read_pending(&pending, buf)?;
        Ok(len)
    }

    fn read_pending(&self, pending: &Pending, buf: &mut [u8]) -> Result<(), Error> {
        let target = buf
            .get_mut(pending.start..pending.end())
            .unwrap_or_default();
        match pending.device_offset {
            _ if target.is_empty() => {}
            Some(offset) => self.device.read(offset, target)?,
            None => target.fill(0),
        }
        Ok(())
    }
}
