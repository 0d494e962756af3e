//! Blocks of metadata in memory, as they are to be, beside what is on the disk.

use alloc::vec;
use alloc::vec::Vec;

use crate::error::corrupt;
use crate::filesystem::FileSystem;
use crate::layout::SUPERBLOCK_OFFSET;
use crate::superblock::ReadOnlyReason;
use crate::{BlockDevice, Error, Place};

/// From how many changed blocks on they are written back before the next operation.
const CHANGED_MAX: usize = 1024;
/// From how many blocks on those that were not changed are forgotten.
const BUFFERS_MAX: usize = 2048;
/// From how many runs of freed blocks on they are written back.
const FREED_MAX: usize = 16_384;

/// What a block holds; by that its changes are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bitmap. What is freed is cleared in it only when that is safe.
    Bitmap,
    /// A part of an inode table, with the number of the first inode in it.
    Inodes(u32),
    /// Entries of a directory.
    Directory,
    /// Pointers to blocks.
    Pointers,
    /// Extended attributes, of which only the count of their users is changed.
    Attributes,
}

/// A block in memory.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) kind: Kind,
    /// As it is to be.
    pub(crate) memory: Vec<u8>,
    /// As it is on the disk, where that differs.
    pub(crate) disk: Option<Vec<u8>>,
    /// Nothing on the disk leads to this block, so it has no content there yet.
    pub(crate) is_fresh: bool,
}

impl Buffer {
    pub(crate) fn is_changed(&self) -> bool {
        self.is_fresh || self.disk.is_some()
    }
}

impl<D: BlockDevice> FileSystem<D> {
    /// Starts an operation that changes something: may the file system be written, and is there
    /// memory? `blocks` is how many it may need at most.
    pub(crate) fn begin(&mut self, blocks: u32) -> Result<(), Error> {
        if let Some(reason) = self.facts.read_only {
            return Err(Error::ReadOnly(reason));
        }
        self.write.is_touched = false;
        let is_short = self.facts.free_blocks < blocks.saturating_add(self.reserve())
            || self.facts.free_inodes == 0;
        if is_short && !(self.write.freed.is_empty() && self.write.freed_before.is_empty()) {
            self.write_back_all()?;
        } else if self.write.changed.len() > CHANGED_MAX
            || self.write.freed.blocks.len() > FREED_MAX
        {
            self.write_back()?;
        }
        if self.write.buffers.len() > BUFFERS_MAX {
            self.write.buffers.retain(Buffer::is_changed);
        }
        if self.write.room.len() > BUFFERS_MAX {
            self.write.room.clear();
        }
        self.write.is_touched = false;
        Ok(())
    }

    /// Ends an operation. If it failed for the disk's sake when it had already changed something, the
    /// change is given up with all that is not yet on the disk, and nothing more is written.
    pub(crate) fn end<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if self.write.is_touched
            && let Err(Error::Device(_) | Error::Corrupt { .. }) = &result
        {
            self.give_up();
        }
        result
    }

    /// Makes the file system read-only, as `errors=remount-ro` does on Linux. The disk stays as it was
    /// last written back, which is a state that holds; what came later is forgotten.
    pub(crate) fn give_up(&mut self) {
        if self.facts.read_only.is_some() {
            return;
        }
        self.facts.read_only = Some(ReadOnlyReason::Failed);
        self.write.buffers.clear();
        self.write.changed.clear();
        self.write.names.clear();
        self.write.room.clear();
        self.write.marked.clear();
        self.write.marking.clear();
        self.write.needs_flush = false;
        // That errors were found is worth a try; if it fails too, nothing is lost.
        self.record_errors();
        let _ = self
            .device
            .write(SUPERBLOCK_OFFSET, &self.write.superblock)
            .and_then(|()| self.device.flush());
    }

    /// Reads a block of metadata, from memory or into `scratch`.
    pub(crate) fn look<'a>(
        &'a self,
        block: u32,
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], Error> {
        if let Some(buffer) = self.write.buffers.get(block) {
            return Ok(&buffer.memory);
        }
        scratch.resize(self.geometry.block_size as usize, 0);
        self.device.read(self.geometry.offset_of(block), scratch)?;
        Ok(scratch)
    }

    /// A block of metadata, kept in memory.
    pub(crate) fn load(&mut self, block: u32, kind: Kind) -> Result<&mut Buffer, Error> {
        if !self.write.buffers.contains_key(block) {
            let mut memory = Vec::new();
            self.look(block, &mut memory)?;
            let buffer = Buffer {
                kind,
                memory,
                disk: None,
                is_fresh: false,
            };
            self.write.buffers.insert(block, buffer);
        }
        match self.write.buffers.get_mut(block) {
            Some(buffer) if buffer.kind == kind => Ok(buffer),
            _ => Err(used_twice(block)),
        }
    }

    /// A block of metadata, to be changed.
    pub(crate) fn edit(&mut self, block: u32, kind: Kind) -> Result<&mut [u8], Error> {
        self.write.is_touched = true;
        if !self.write.buffers.contains_key(block) {
            self.load(block, kind)?;
        }
        let buffer = self.write.buffers.get_mut(block);
        let Some(buffer) = buffer.filter(|buffer| buffer.kind == kind) else {
            return Err(used_twice(block));
        };
        if !buffer.is_changed() {
            buffer.disk = Some(buffer.memory.clone());
            self.write.changed.insert(block);
        }
        Ok(&mut buffer.memory)
    }

    /// A newly allocated block of metadata, filled with zeros.
    pub(crate) fn add_fresh(&mut self, block: u32, kind: Kind) -> &mut [u8] {
        self.forget(block);
        self.write.is_touched = true;
        self.write.changed.insert(block);
        let buffer = Buffer {
            kind,
            memory: vec![0; self.geometry.block_size as usize],
            disk: None,
            is_fresh: true,
        };
        &mut self.write.buffers.insert(block, buffer).memory
    }

    /// Drops a block that is no longer metadata.
    pub(crate) fn forget(&mut self, block: u32) {
        self.write.buffers.remove(block);
        self.write.changed.remove(&block);
    }

    /// Was a block of metadata allocated since the last write-back?
    pub(crate) fn is_fresh(&self, block: u32) -> bool {
        self.write
            .buffers
            .get(block)
            .is_some_and(|buffer| buffer.is_fresh)
    }
}

fn used_twice(block: u32) -> Error {
    corrupt!(Place::Superblock, "block {block} is used for two things")
}
