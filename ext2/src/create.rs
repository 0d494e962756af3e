//! Making files, directories and links.

use crate::alloc_blocks::Purpose;
use crate::directory_write::check_name;
use crate::filesystem::FileSystem;
use crate::symlink::SHORT_TARGET_END;
use crate::{BlockDevice, Error, FileType, Inode, InodeNumber};

/// Blocks that adding an entry may need: one of the directory, its pointers, and one of content.
const BLOCKS_MAX: u32 = 8;

/// What something new has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewAttributes {
    /// The low twelve bits of `st_mode`.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl<D: BlockDevice> FileSystem<D> {
    /// Creates an empty regular file.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::NoSpace`], [`Error::NameTooLong`], [`Error::InvalidName`],
    /// [`Error::NotFound`] if the directory was removed, [`Error::NotADirectory`],
    /// [`Error::ReadOnly`], [`Error::Device`].
    pub fn create(
        &mut self,
        directory: InodeNumber,
        name: &[u8],
        attributes: NewAttributes,
    ) -> Result<Inode, Error> {
        self.make(directory, name, FileType::File, attributes, b"")
    }

    /// Creates an empty directory.
    ///
    /// # Errors
    /// As [`FileSystem::create`]; [`Error::TooManyLinks`] if the directory has 31,998 others.
    pub fn create_directory(
        &mut self,
        directory: InodeNumber,
        name: &[u8],
        attributes: NewAttributes,
    ) -> Result<Inode, Error> {
        self.make(directory, name, FileType::Directory, attributes, b"")
    }

    /// Creates a symbolic link. Its target may be anything from 1 byte to one less than a block.
    ///
    /// # Errors
    /// As [`FileSystem::create`], also for the target.
    pub fn create_symlink(
        &mut self,
        directory: InodeNumber,
        name: &[u8],
        target: &[u8],
        attributes: NewAttributes,
    ) -> Result<Inode, Error> {
        if target.is_empty() || target.contains(&0) {
            return Err(Error::InvalidName);
        }
        if target.len() >= self.geometry.block_size as usize {
            return Err(Error::NameTooLong);
        }
        self.make(directory, name, FileType::Symlink, attributes, target)
    }

    /// Creates the name of a socket, which has no content.
    ///
    /// # Errors
    /// As [`FileSystem::create`].
    pub fn create_socket(
        &mut self,
        directory: InodeNumber,
        name: &[u8],
        attributes: NewAttributes,
    ) -> Result<Inode, Error> {
        self.make(directory, name, FileType::Socket, attributes, b"")
    }

    /// Creates the name of a pipe, which has no content.
    ///
    /// # Errors
    /// As [`FileSystem::create`].
    pub fn create_fifo(
        &mut self,
        directory: InodeNumber,
        name: &[u8],
        attributes: NewAttributes,
    ) -> Result<Inode, Error> {
        self.make(directory, name, FileType::Fifo, attributes, b"")
    }

    /// Gives a file that is no directory one more name.
    ///
    /// # Errors
    /// As [`FileSystem::create`]; [`Error::IsADirectory`], [`Error::TooManyLinks`], and
    /// [`Error::NotFound`] if the file has no name any more.
    pub fn link(
        &mut self,
        directory: InodeNumber,
        name: &[u8],
        target: InodeNumber,
    ) -> Result<(), Error> {
        check_name(name)?;
        self.begin(BLOCKS_MAX)?;
        let result = self.link_inode(directory, name, target);
        self.end(result)
    }

    fn link_inode(
        &mut self,
        directory: InodeNumber,
        name: &[u8],
        target: InodeNumber,
    ) -> Result<(), Error> {
        let parent = self.directory(directory)?;
        let inode = self.inode(target)?;
        if inode.is_directory() {
            return Err(Error::IsADirectory);
        }
        if inode.links == 0 {
            return Err(Error::NotFound);
        }
        if self.live_entry(&parent, name)?.is_some() {
            return Err(Error::Exists);
        }
        Self::check_links(&inode)?;
        self.settle_name(directory, name)?;
        if self.write.created.contains_key(target.0) {
            // Of a new inode only one name is known.
            self.write_back()?;
        }
        self.insert_entry(directory, name, target, inode.file_type)?;
        self.add_link(target)
    }

    fn make(
        &mut self,
        directory: InodeNumber,
        name: &[u8],
        file_type: FileType,
        attributes: NewAttributes,
        target: &[u8],
    ) -> Result<Inode, Error> {
        check_name(name)?;
        self.begin(BLOCKS_MAX)?;
        let result = self.make_inode(directory, name, file_type, attributes, target);
        self.end(result)
    }

    fn make_inode(
        &mut self,
        directory: InodeNumber,
        name: &[u8],
        file_type: FileType,
        attributes: NewAttributes,
        target: &[u8],
    ) -> Result<Inode, Error> {
        let is_directory = file_type == FileType::Directory;
        let parent = self.directory(directory)?;
        if self.live_entry(&parent, name)?.is_some() {
            return Err(Error::Exists);
        }
        if is_directory {
            Self::check_links(&parent)?;
        }
        self.settle_name(directory, name)?;
        let number = self.allocate_inode(directory, is_directory)?;
        let now = self.write.now;
        let mut inode = Inode {
            number,
            file_type,
            mode: file_type.mode_bits() | attributes.permissions & 0o7777,
            links: if is_directory { 2 } else { 1 },
            uid: attributes.uid,
            gid: attributes.gid,
            size: 0,
            blocks: 0,
            attributes_block: 0,
            flags: 0,
            accessed: now,
            changed: now,
            modified: now,
            created: self.geometry.has_large_inodes().then_some(now),
            map: [0; 15],
        };
        let filled = self
            .fill_new(&mut inode, directory, target)
            .and_then(|()| self.insert_entry(directory, name, number, file_type));
        let place = match filled {
            Ok(place) => place,
            Err(error) => {
                if error == Error::NoSpace {
                    let [block, ..] = inode.map;
                    if inode.blocks > 0 {
                        self.unallocate_blocks(block, 1)?;
                    }
                    self.clear_inode(number.0, is_directory)?;
                }
                return Err(error);
            }
        };
        self.note_new(number, directory, place);
        self.clear_new_inode(number)?;
        self.store(&inode)?;
        if is_directory {
            self.add_link(directory)?;
        }
        Ok(inode)
    }

    /// Makes the content of a new directory or link.
    fn fill_new(
        &mut self,
        inode: &mut Inode,
        parent: InodeNumber,
        target: &[u8],
    ) -> Result<(), Error> {
        if inode.file_type == FileType::File {
            return Ok(());
        }
        inode.size = target.len() as u64;
        if !inode.is_directory() && inode.size < SHORT_TARGET_END {
            let mut bytes = [0; 60];
            crate::bytes::put(&mut bytes, 0, target);
            for (word, from) in inode.map.iter_mut().zip(bytes.chunks_exact(4)) {
                *word = crate::bytes::u32_at(from, 0);
            }
            return Ok(());
        }
        let goal = self.goal(inode, 0)?;
        let (block, _) = self.allocate_blocks(goal, 1, Purpose::Content)?;
        if inode.is_directory() {
            inode.size = u64::from(self.geometry.block_size);
            self.write_first_block(block, inode.number, parent);
        } else {
            self.write_new(block, 0, target)?;
        }
        self.set_pointers(inode, 0, block, 1)
    }
}
