//! Removing names, and what has no name any more.

use alloc::vec::Vec;

use crate::buffers::Kind;
use crate::bytes::{put, u32_at};
use crate::directory_write::check_name;
use crate::error::corrupt;
use crate::filesystem::FileSystem;
use crate::order::Unnamed;
use crate::{BlockDevice, Error, FileType, Inode, InodeNumber, Place};

/// `h_magic` of a block of extended attributes, and where it counts its users.
const ATTRIBUTES_MAGIC: u32 = 0xEA02_0000;
const ATTRIBUTES_USERS: usize = 4;

impl<D: BlockDevice> FileSystem<D> {
    /// Removes a name of something that is no directory. With the last name the file goes, or, if it
    /// is pinned, as soon as it no longer is: see [`FileSystem::pin`].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::IsADirectory`], [`Error::NotADirectory`], [`Error::ReadOnly`],
    /// [`Error::Device`], [`Error::Corrupt`].
    pub fn unlink(&mut self, directory: InodeNumber, name: &[u8]) -> Result<(), Error> {
        check_name(name)?;
        self.begin(0)?;
        let result = self.unlink_entry(directory, name);
        self.end(result)
    }

    fn unlink_entry(&mut self, directory: InodeNumber, name: &[u8]) -> Result<(), Error> {
        let parent = self.directory(directory)?;
        let entry = self.live_entry(&parent, name)?.ok_or(Error::NotFound)?;
        let inode = self.inode(entry.inode)?;
        if inode.is_directory() {
            return Err(Error::IsADirectory);
        }
        let inode = self.with_sure_links(inode)?;
        self.remove_entry(directory, name, &entry)?;
        self.lose_name(&inode, directory)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`Error::NotEmpty`]; else as [`FileSystem::unlink`].
    pub fn remove_directory(&mut self, directory: InodeNumber, name: &[u8]) -> Result<(), Error> {
        check_name(name)?;
        self.begin(0)?;
        let result = self.remove_directory_entry(directory, name);
        self.end(result)
    }

    fn remove_directory_entry(&mut self, directory: InodeNumber, name: &[u8]) -> Result<(), Error> {
        let parent = self.directory(directory)?;
        let entry = self.live_entry(&parent, name)?.ok_or(Error::NotFound)?;
        let inode = self.enter(&parent, name, entry.inode, None)?;
        if !inode.is_directory() {
            return Err(Error::NotADirectory);
        }
        if !self.is_empty(&inode)? {
            return Err(Error::NotEmpty);
        }
        self.remove_entry(directory, name, &entry)?;
        self.drop_inode(inode, directory)?;
        self.remove_link(directory)
    }

    /// Counts one name less, which was in `directory`, of something that is no directory.
    pub(crate) fn lose_name(&mut self, inode: &Inode, directory: InodeNumber) -> Result<(), Error> {
        if inode.links > 1 {
            self.remove_link(inode.number)
        } else {
            self.drop_inode(inode.clone(), directory)
        }
    }

    /// Lets an inode go that has no name any more: at once, or when it is no longer pinned. Its last one
    /// was in `directory`.
    pub(crate) fn drop_inode(
        &mut self,
        mut inode: Inode,
        directory: InodeNumber,
    ) -> Result<(), Error> {
        self.hold(inode.number, 1);
        if self.write.created.remove(inode.number.0).is_none() {
            self.write.unnamed.push(Unnamed {
                number: inode.number.0,
                is_directory: inode.is_directory(),
                directory: directory.0,
            });
        }
        inode.links = 0;
        inode.changed = self.write.now;
        if self.write.pins.contains_key(&inode.number.0) {
            self.store(&inode)?;
            return self.add_orphan(inode.number);
        }
        self.free_inode(inode)
    }

    /// Frees an inode and all of its blocks.
    pub(crate) fn free_inode(&mut self, mut inode: Inode) -> Result<(), Error> {
        let has_blocks = match inode.file_type {
            FileType::File | FileType::Directory => true,
            FileType::Symlink => !self.is_short_link(&inode),
            _ => false,
        };
        if has_blocks {
            self.cut_blocks(&mut inode, 0)?;
        }
        if inode.attributes_block != 0 {
            self.free_attributes(&inode)?;
        }
        let seconds = u32::try_from(self.write.now.seconds).unwrap_or(0);
        let least = self.facts.inodes.saturating_add(1);
        self.change_raw(inode.number, |raw| {
            raw.links_count = 0.into();
            raw.size = 0.into();
            raw.size_high = 0.into();
            raw.blocks = 0.into();
            raw.attributes_block = 0.into();
            raw.block = [0.into(); 15];
            // A small number would be one of the orphan list.
            raw.delete_time = seconds.max(least).into();
        })?;
        self.write.room.remove(inode.number.0);
        self.write.names.forget(inode.number.0);
        let freed = (inode.number.0, inode.is_directory());
        self.write.freed.inodes.push(freed);
        Ok(())
    }

    /// Frees the block of extended attributes of an inode, if no other has it too.
    fn free_attributes(&mut self, inode: &Inode) -> Result<(), Error> {
        let block = inode.attributes_block;
        let place = Place::Inode(inode.number.0);
        if self.check_block(inode, block)?.is_none() {
            return Ok(());
        }
        self.check_foreign(inode, block, 1)?;
        let mut scratch = Vec::new();
        let bytes = self.look(block, &mut scratch)?;
        if u32_at(bytes, 0) != ATTRIBUTES_MAGIC {
            return Err(corrupt!(place, "block {block} has no extended attributes"));
        }
        match u32_at(bytes, ATTRIBUTES_USERS) {
            0 | 1 => self.free_blocks(block, 1),
            users => {
                let users = users.saturating_sub(1);
                let bytes = self.edit(block, Kind::Attributes)?;
                put(bytes, ATTRIBUTES_USERS, &users.to_le_bytes());
                Ok(())
            }
        }
    }
}
