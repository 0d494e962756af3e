//! Inodes: what a file is, and where its blocks are.
//!
//! "Inode Table" and "Locating an Inode"; the extra fields after byte 128 follow Linux,
//! Documentation/filesystems/ext4/inodes.rst (timestamps beyond 2038).

use core::fmt;

use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use crate::error::corrupt;
use crate::filesystem::FileSystem;
use crate::layout::RawInode;
use crate::{BlockDevice, Error, Place, Time};

/// The number of an inode, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeNumber(pub u32);

impl fmt::Display for InodeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What kind of thing an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Each type with its bits in an inode's mode (`i_mode >> 12`), its number in a directory entry
/// (`file_type`), and its name.
const TYPES: [(FileType, u16, u8, &str); 7] = [
    (FileType::File, 0x8, 1, "regular file"),
    (FileType::Directory, 0x4, 2, "directory"),
    (FileType::CharacterDevice, 0x2, 3, "character device"),
    (FileType::BlockDevice, 0x6, 4, "block device"),
    (FileType::Fifo, 0x1, 5, "fifo"),
    (FileType::Socket, 0xC, 6, "socket"),
    (FileType::Symlink, 0xA, 7, "symbolic link"),
];

impl FileType {
    pub(crate) fn from_mode(mode: u16) -> Option<Self> {
        TYPES
            .iter()
            .find(|row| row.1 == mode >> 12)
            .map(|row| row.0)
    }

    /// The type that a directory entry states.
    pub(crate) fn from_entry(number: u8) -> Option<Self> {
        TYPES.iter().find(|row| row.2 == number).map(|row| row.0)
    }

    /// The bits of `i_mode` that say so.
    pub(crate) fn mode_bits(self) -> u16 {
        TYPES
            .iter()
            .find(|row| row.0 == self)
            .map_or(0, |row| row.1 << 12)
    }

    /// The number of it in a directory entry.
    pub(crate) fn entry_number(self) -> u8 {
        TYPES
            .iter()
            .find(|row| row.0 == self)
            .map_or(0, |row| row.2)
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = TYPES
            .iter()
            .find(|row| row.0 == *self)
            .map_or("", |row| row.3);
        f.write_str(name)
    }
}

/// Flags of an inode that change what its block pointers mean, each with its name. They belong to
/// features that ext2 has not.
const FOREIGN_FLAGS: [(u32, &str); 3] = [
    (0x800, "encrypted"),
    (0x8_0000, "extents"),
    (0x1000_0000, "inline data"),
];

/// An inode as it was when it was read: facts about a file, and where its blocks are. Whoever changes
/// the file, or may have, reads it again.
#[derive(Clone, Debug)]
pub struct Inode {
    pub(crate) number: InodeNumber,
    pub(crate) file_type: FileType,
    pub(crate) mode: u16,
    pub(crate) links: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) blocks: u32,
    pub(crate) attributes_block: u32,
    pub(crate) flags: u32,
    pub(crate) accessed: Time,
    pub(crate) changed: Time,
    pub(crate) modified: Time,
    pub(crate) created: Option<Time>,
    /// `i_block`: pointers to blocks, or the target of a short symbolic link.
    pub(crate) map: [u32; 15],
}

impl Inode {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> InodeNumber {
        self.number
    }

    /// What kind of thing it is.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        self.file_type
    }

    /// Is it a directory?
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.file_type == FileType::Directory
    }

    /// Type and permissions, as in `st_mode`.
    #[must_use]
    pub fn mode(&self) -> u16 {
        self.mode
    }

    /// How many directory entries lead to it.
    #[must_use]
    pub fn links(&self) -> u16 {
        self.links
    }

    /// The user who owns it.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The group that owns it.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What it takes on the disk, in units of 512 bytes.
    #[must_use]
    pub fn blocks_of_512(&self) -> u64 {
        u64::from(self.blocks)
    }

    /// When it was last read, in seconds since 1970.
    #[must_use]
    pub fn accessed(&self) -> i64 {
        self.accessed.seconds
    }

    /// [`Inode::accessed`] with its nanoseconds, if the disk has them.
    #[must_use]
    pub fn accessed_time(&self) -> Time {
        self.accessed
    }

    /// When it was last changed in any way, in seconds since 1970.
    #[must_use]
    pub fn changed(&self) -> i64 {
        self.changed.seconds
    }

    /// [`Inode::changed`] with its nanoseconds, if the disk has them.
    #[must_use]
    pub fn changed_time(&self) -> Time {
        self.changed
    }

    /// When its content was last changed, in seconds since 1970.
    #[must_use]
    pub fn modified(&self) -> i64 {
        self.modified.seconds
    }

    /// [`Inode::modified`] with its nanoseconds, if the disk has them.
    #[must_use]
    pub fn modified_time(&self) -> Time {
        self.modified
    }

    /// When it was made (`i_crtime`), where the disk knows: inodes of 128 bytes have no room for it.
    #[must_use]
    pub fn created_time(&self) -> Option<Time> {
        self.created
    }
}

impl<D: BlockDevice> FileSystem<D> {
    /// Reads an inode.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if there is no such inode, it is not in use, or its mode, size or flags
    /// cannot be.
    pub fn inode(&self, number: InodeNumber) -> Result<Inode, Error> {
        let place = Place::Inode(number.0);
        let (block, offset) = self.inode_place(number)?;
        let mut bytes = [0; size_of::<RawInode>()];
        let len = usize::from(self.geometry.inode_size).min(bytes.len());
        self.read_block(block, offset, bytes.get_mut(..len).unwrap_or_default())?;
        let raw = RawInode::ref_from_bytes(&bytes)
            .map_err(|_| corrupt!(place, "is not {} bytes long", bytes.len()))?;
        self.check_inode(number, raw)
    }

    /// The block of an inode table that an inode lies in, and where in it.
    pub(crate) fn inode_place(&self, number: InodeNumber) -> Result<(u32, u32), Error> {
        let place = Place::Inode(number.0);
        let inodes = self.facts.inodes;
        let Some(index) = number.0.checked_sub(1).filter(|index| *index < inodes) else {
            return Err(corrupt!(place, "is beyond the end ({inodes} inodes)"));
        };
        let per_group = self.geometry.inodes_per_group;
        let group = index.checked_div(per_group).unwrap_or_default();
        let slot = index.checked_rem(per_group).unwrap_or_default();
        let table = self
            .groups
            .get(group as usize)
            .ok_or_else(|| corrupt!(place, "is in group {group}, which is not there"))?
            .inode_table;
        let per_block = self.geometry.inodes_per_block();
        let block = table.saturating_add(slot.checked_div(per_block).unwrap_or(0));
        let slot = slot.checked_rem(per_block).unwrap_or(0);
        Ok((
            block,
            slot.saturating_mul(u32::from(self.geometry.inode_size)),
        ))
    }

    fn check_inode(&self, number: InodeNumber, raw: &RawInode) -> Result<Inode, Error> {
        let place = Place::Inode(number.0);
        let mode = raw.mode.get();
        if raw.links_count.get() == 0 && !self.write.orphans.contains(&number.0) {
            return Err(corrupt!(place, "is not in use (its link count is 0)"));
        }
        let file_type = FileType::from_mode(mode)
            .ok_or_else(|| corrupt!(place, "mode is {mode:#06x}, which is no file type"))?;
        for (flag, name) in FOREIGN_FLAGS {
            if raw.flags.get() & flag != 0 {
                return Err(corrupt!(place, "flags say {name}, which ext2 has not"));
            }
        }

        // Only regular files use the high half; directories have something else there.
        let is_large = file_type == FileType::File && self.facts.revision > 0;
        let high = if is_large {
            u64::from(raw.size_high.get())
        } else {
            0
        };
        let size = high << 32 | u64::from(raw.size.get());
        let block_size = u64::from(self.geometry.block_size);
        let size_max = self.geometry.file_blocks_max().saturating_mul(block_size);
        if size > size_max {
            return Err(corrupt!(
                place,
                "size is {size}, block pointers reach only {size_max}"
            ));
        }
        if file_type == FileType::Directory {
            if size == 0 || !size.is_multiple_of(block_size) {
                return Err(corrupt!(
                    place,
                    "size of a directory is {size}, which is not blocks of {block_size}"
                ));
            }
            if size > self.geometry.len_bytes() {
                return Err(corrupt!(
                    place,
                    "size of a directory is {size}, more than the file system's {}",
                    self.geometry.len_bytes()
                ));
            }
        }

        // The extra fields count only as far as the inode says it has them.
        let has_extra = self.geometry.has_large_inodes();
        let extra_len = if has_extra { raw.extra_size.get() } else { 0 };
        let time = |low: U32, extra: U32, end: u16| {
            Time::from_disk(low.get(), if extra_len >= end { extra.get() } else { 0 })
        };
        // Who wrote the inode without it left zeros there.
        let knows_creation = extra_len >= 20 && raw.create_time.get() != 0;
        Ok(Inode {
            number,
            file_type,
            mode,
            links: raw.links_count.get(),
            uid: u32::from(raw.uid_high.get()) << 16 | u32::from(raw.uid.get()),
            gid: u32::from(raw.gid_high.get()) << 16 | u32::from(raw.gid.get()),
            size,
            blocks: raw.blocks.get(),
            attributes_block: raw.attributes_block.get(),
            flags: raw.flags.get(),
            accessed: time(raw.access_time, raw.access_time_extra, 16),
            changed: time(raw.change_time, raw.change_time_extra, 8),
            modified: time(raw.modify_time, raw.modify_time_extra, 12),
            created: knows_creation.then(|| time(raw.create_time, raw.create_time_extra, 24)),
            map: raw.block.map(|pointer| pointer.get()),
        })
    }
}
