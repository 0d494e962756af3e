//! Changing the entries of directories. `compose.rs` sees to it that the disk gets the changes in
//! order; here it only matters that the space of an entry that is still on the disk is left alone.

use alloc::vec::Vec;

use crate::alloc_blocks::Purpose;
use crate::buffers::Kind;
use crate::bytes::u32_at;
use crate::error::corrupt;
use crate::filesystem::FileSystem;
use crate::layout::NAME_LEN_MAX;
use crate::order::NewName;
use crate::records::{Record, Sought, needed, records, records_from, set_inode, set_len, write};
use crate::write_state::Room;
use crate::{BlockDevice, Error, FileType, Inode, InodeNumber, Place};

/// `i_flags`: the directory has an index of hashes (`dir_index`), which is not kept up here.
const FLAG_INDEX: u32 = 0x1000;
/// The largest directory in bytes.
const SIZE_MAX: u64 = 1 << 31;

/// Where an entry lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Which block of the directory, and where that is.
    logical: u64,
    block: u32,
    offset: usize,
    pub(crate) inode: InodeNumber,
}

/// Checks a name for an entry.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Error> {
    if name.len() > NAME_LEN_MAX {
        return Err(Error::NameTooLong);
    }
    let is_odd = name.iter().any(|byte| matches!(byte, b'/' | 0));
    if is_odd || matches!(name, b"" | b"." | b"..") {
        return Err(Error::InvalidName);
    }
    Ok(())
}

impl<D: BlockDevice> FileSystem<D> {
    /// A directory, to be changed. If it has an index, that is taken away first, on the disk too: it
    /// would be wrong, and lies where new entries may go.
    pub(crate) fn directory(&mut self, number: InodeNumber) -> Result<Inode, Error> {
        let mut inode = self.inode(number)?;
        if !inode.is_directory() {
            return Err(Error::NotADirectory);
        }
        if inode.links == 0 {
            return Err(Error::NotFound);
        }
        if inode.flags & FLAG_INDEX != 0 {
            inode.flags &= !FLAG_INDEX;
            self.store(&inode)?;
            self.write_back()?;
        }
        Ok(inode)
    }

    /// Where a block of a directory is.
    pub(crate) fn directory_block(&self, directory: &Inode, logical: u64) -> Result<u32, Error> {
        let block = self.run(directory, logical, 1)?.start;
        let block = block.ok_or_else(|| {
            corrupt!(
                Place::Directory(directory.number.0),
                "block {logical} of the directory is missing"
            )
        })?;
        self.check_foreign(directory, block, 1)?;
        Ok(block)
    }

    pub(crate) fn directory_blocks(&self, directory: &Inode) -> u64 {
        directory
            .size
            .checked_div(u64::from(self.geometry.block_size))
            .unwrap_or(0)
    }

    /// Finds the entry of a name.
    pub(crate) fn find_entry(
        &self,
        directory: &Inode,
        name: &[u8],
    ) -> Result<Option<Entry>, Error> {
        let mut scratch = Vec::new();
        if let Some(blocks) = self.write.names.blocks(directory.number.0, name) {
            let end = self.directory_blocks(directory);
            for logical in blocks.filter(|logical| *logical < end) {
                let found = self.find_in_block(directory, name, logical, &mut scratch)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            return Ok(None);
        }
        for logical in 0..self.directory_blocks(directory) {
            let found = self.find_in_block(directory, name, logical, &mut scratch)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn find_in_block(
        &self,
        directory: &Inode,
        name: &[u8],
        logical: u64,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<Entry>, Error> {
        let block = self.directory_block(directory, logical)?;
        let bytes = self.look(block, scratch)?;
        let sought = Sought::new(name);
        for record in records(bytes) {
            let record = record.map_err(|offset| damaged(directory, logical, offset))?;
            let may_be = record.inode != 0 && record.name_len == name.len();
            if may_be && sought.is(record.name(bytes)) {
                return Ok(Some(Entry {
                    logical,
                    block,
                    offset: record.offset,
                    inode: InodeNumber(record.inode),
                }));
            }
        }
        Ok(None)
    }

    /// Does a name lead to an inode that was not yet on the disk when the power was cut? On a file
    /// system that was unmounted since, such a name is damage.
    pub(crate) fn is_dead(&self, number: InodeNumber) -> Result<bool, Error> {
        if self.facts.is_clean || self.write.orphans.contains(&number.0) {
            return Ok(false);
        }
        Ok(self.raw_inode(number)?.links_count.get() == 0)
    }

    /// Finds the entry of a name that leads to something. One that does not is removed, on the disk too.
    pub(crate) fn live_entry(
        &mut self,
        directory: &Inode,
        name: &[u8],
    ) -> Result<Option<Entry>, Error> {
        self.index_names(directory)?;
        let entry = self.find_entry(directory, name)?;
        if let Some(entry) = &entry
            && self.is_dead(entry.inode)?
        {
            self.remove_entry(directory.number, name, entry)?;
            self.write_back()?;
            return Ok(None);
        }
        Ok(entry)
    }

    /// Has a directory no entries but `.` and `..`?
    pub(crate) fn is_empty(&self, directory: &Inode) -> Result<bool, Error> {
        for entry in self.read_dir(directory, 0)? {
            let entry = entry?;
            if !entry.is_dot() && !self.is_dead(entry.inode)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lets a name that was removed go on the disk too, before it is given again.
    pub(crate) fn settle_name(&mut self, directory: InodeNumber, name: &[u8]) -> Result<(), Error> {
        let is_on_disk = self.write.removed.contains(&(directory.0, name.to_vec()));
        if is_on_disk {
            self.write_back()?;
        }
        Ok(())
    }

    /// Adds an entry. The name must not be there, on the disk neither: [`FileSystem::settle_name`].
    /// Returns where it is: a block, and the offset in it.
    ///
    /// [`Error::NoSpace`] leaves everything as it was.
    pub(crate) fn insert_entry(
        &mut self,
        directory: InodeNumber,
        name: &[u8],
        inode: InodeNumber,
        file_type: FileType,
    ) -> Result<(u32, usize), Error> {
        let type_number = self.type_number(file_type);
        let mut parent = self.inode(directory)?;
        let hint = self.write.room.get(directory.0).copied();
        let hint = hint.unwrap_or_default();
        let place = match self.find_room(&parent, name.len(), hint)? {
            Some((logical, block, room)) => {
                let bytes = self.edit(block, Kind::Directory)?;
                let used = room.used();
                let mut record = room;
                if used > 0 {
                    set_len(bytes, room.offset, used);
                    record.offset = room.offset.saturating_add(used);
                    record.len = room.len.saturating_sub(used);
                }
                record.inode = inode.0;
                write(bytes, &record, type_number, name);
                let offset = record.offset;
                self.write
                    .room
                    .insert(directory.0, Room { logical, offset });
                self.write.names.add(directory.0, name, logical);
                (block, record.offset)
            }
            None => self.grow_directory(&mut parent, name, inode, type_number)?,
        };
        self.touch_directory(parent)?;
        Ok(place)
    }

    /// Notes where the name of an inode is that is not on the disk yet.
    pub(crate) fn note_new(
        &mut self,
        number: InodeNumber,
        directory: InodeNumber,
        place: (u32, usize),
    ) {
        let name = NewName {
            order: self.write.created_count,
            directory: directory.0,
            block: place.0,
            offset: place.1,
        };
        self.write.created_count = self.write.created_count.saturating_add(1);
        self.write.created.insert(number.0, name);
    }

    fn type_number(&self, file_type: FileType) -> u8 {
        if self.has_file_types {
            file_type.entry_number()
        } else {
            0
        }
    }

    fn touch_directory(&mut self, mut directory: Inode) -> Result<(), Error> {
        directory.modified = self.write.now;
        directory.changed = self.write.now;
        self.store(&directory)
    }

    /// Finds a record that has room for a name, from a place in the directory on.
    fn find_room(
        &self,
        directory: &Inode,
        name_len: usize,
        from: Room,
    ) -> Result<Option<(u64, u32, Record)>, Error> {
        let wanted = needed(name_len);
        let mut scratch = Vec::new();
        let mut offset = from.offset;
        for logical in from.logical..self.directory_blocks(directory) {
            let block = self.directory_block(directory, logical)?;
            let disk = self
                .write
                .buffers
                .get(block)
                .and_then(|buffer| buffer.disk.as_ref());
            let bytes = self.look(block, &mut scratch)?;
            for record in records_from(bytes, core::mem::take(&mut offset)) {
                let record = record.map_err(|offset| damaged(directory, logical, offset))?;
                // A record that was freed just now is still in use on the disk.
                let is_on_disk = || disk.is_some_and(|disk| u32_at(disk, record.offset) != 0);
                if record.len.saturating_sub(record.used()) >= wanted
                    && (record.inode != 0 || !is_on_disk())
                {
                    return Ok(Some((logical, block, record)));
                }
            }
        }
        Ok(None)
    }

    /// Adds a block to a directory, with one entry.
    fn grow_directory(
        &mut self,
        directory: &mut Inode,
        name: &[u8],
        inode: InodeNumber,
        type_number: u8,
    ) -> Result<(u32, usize), Error> {
        let block_size = self.geometry.block_size;
        let size = directory.size.saturating_add(u64::from(block_size));
        if size > SIZE_MAX {
            return Err(Error::NoSpace);
        }
        let logical = self.directory_blocks(directory);
        let goal = self.goal(directory, logical)?;
        let (block, _) = self.allocate_blocks(goal, 1, Purpose::Content)?;
        if let Err(error) = self.set_pointers(directory, logical, block, 1) {
            self.unallocate_blocks(block, 1)?;
            return Err(error);
        }
        directory.size = size;
        let record = Record {
            offset: 0,
            len: block_size as usize,
            inode: inode.0,
            name_len: name.len(),
        };
        let bytes = self.add_fresh(block, Kind::Directory);
        write(bytes, &record, type_number, name);
        let room = Room { logical, offset: 0 };
        self.write.room.insert(directory.number.0, room);
        self.write.names.add(directory.number.0, name, logical);
        Ok((block, 0))
    }

    /// Removes an entry.
    pub(crate) fn remove_entry(
        &mut self,
        directory: InodeNumber,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), Error> {
        set_inode(self.edit(entry.block, Kind::Directory)?, entry.offset, 0);
        let disk = self
            .write
            .buffers
            .get(entry.block)
            .and_then(|buffer| buffer.disk.as_ref());
        let is_on_disk = disk.is_some_and(|disk| u32_at(disk, entry.offset) != 0);
        if is_on_disk {
            let key = (directory.0, name.to_vec());
            self.write.removed.insert(key);
        }
        if let Some(room) = self.write.room.get_mut(directory.0)
            && (!is_on_disk || entry.logical == room.logical)
        {
            // The record that the hint named may be joined to the one before it.
            *room = Room {
                logical: entry.logical.min(room.logical),
                offset: 0,
            };
        }
        let directory = self.inode(directory)?;
        self.touch_directory(directory)
    }

    /// Lets an entry lead to another inode.
    pub(crate) fn replace_entry(
        &mut self,
        directory: InodeNumber,
        entry: &Entry,
        inode: &Inode,
    ) -> Result<(), Error> {
        let type_number = self.type_number(inode.file_type);
        let bytes = self.edit(entry.block, Kind::Directory)?;
        set_inode(bytes, entry.offset, inode.number.0);
        crate::bytes::put(bytes, entry.offset.saturating_add(7), &[type_number]);
        let directory = self.inode(directory)?;
        self.touch_directory(directory)
    }

    /// Lets a directory's `..` lead to another parent.
    pub(crate) fn set_parent(
        &mut self,
        directory: &Inode,
        parent: InodeNumber,
    ) -> Result<(), Error> {
        let entry = self.find_entry(directory, b"..")?.ok_or_else(|| {
            corrupt!(
                Place::Directory(directory.number.0),
                "has no entry \"..\" where it belongs"
            )
        })?;
        let bytes = self.edit(entry.block, Kind::Directory)?;
        set_inode(bytes, entry.offset, parent.0);
        Ok(())
    }

    /// Begins the content of a new directory: a block with `.` and `..`.
    pub(crate) fn write_first_block(&mut self, block: u32, own: InodeNumber, parent: InodeNumber) {
        let type_number = self.type_number(FileType::Directory);
        let block_size = self.geometry.block_size as usize;
        let bytes = self.add_fresh(block, Kind::Directory);
        let (dot, dots) = (needed(1), block_size.saturating_sub(needed(1)));
        for (offset, len, inode, name) in
            [(0, dot, own, b".".as_slice()), (dot, dots, parent, b"..")]
        {
            let record = Record {
                offset,
                len,
                inode: inode.0,
                name_len: name.len(),
            };
            write(bytes, &record, type_number, name);
        }
    }
}

fn damaged(directory: &Inode, logical: u64, offset: usize) -> Error {
    corrupt!(
        Place::Directory(directory.number.0),
        "entry at offset {offset} of block {logical} has a length that cannot be"
    )
}
