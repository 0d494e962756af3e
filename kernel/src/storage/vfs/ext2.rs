//! ext2 file systems on disks, read only, behind the traits of [`super::node`]. The crate [`ext2`] does the work.
//!
//! What is wrong with a disk is logged with the field that is wrong; the program gets `EUCLEAN`.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ext2::{Error, FileType, Inode, MountOptions};

use super::node::{DirEntry, FileSystem, Metadata, Node, NodeKind, NodeRef, Timestamp, Usage};
use crate::error::{Errno, Result};
use crate::storage::disks::Volume;

const EXT2_MAGIC: i64 = 0xEF53;

/// A mounted ext2 file system.
pub struct Ext2 {
    shared: Arc<Shared>,
}

struct Shared {
    /// The disk's name in messages.
    what: String,
    file_system: ext2::FileSystem<Volume>,
}

struct Ext2Node {
    shared: Arc<Shared>,
    inode: Inode,
}

impl Ext2 {
    /// Mounts what is on a volume; `what` names it in messages.
    ///
    /// # Errors
    /// What is wrong with the disk.
    pub fn mount(volume: Volume, what: String) -> core::result::Result<Self, Error> {
        let file_system = ext2::FileSystem::mount(volume, MountOptions { read_only: true })?;
        // The root is read now, so that a disk without a sound one is refused at the start.
        file_system.inode(file_system.root())?;
        Ok(Self {
            shared: Arc::new(Shared { what, file_system }),
        })
    }
}

impl Shared {
    fn errno(&self, error: &Error) -> Errno {
        Errno(match error {
            Error::NotFound => libc::ENOENT,
            Error::NotADirectory => libc::ENOTDIR,
            Error::IsADirectory => libc::EISDIR,
            Error::NotAFile | Error::NotASymlink => libc::EINVAL,
            Error::NameTooLong => libc::ENAMETOOLONG,
            Error::TooManySymlinks => libc::ELOOP,
            Error::OutOfMemory => libc::ENOMEM,
            Error::Device(_) => libc::EIO,
            damage => {
                log::error!("{}: {damage}", self.what);
                libc::EUCLEAN
            }
        })
    }
}

impl FileSystem for Ext2 {
    fn root(&self) -> Result<NodeRef> {
        let inode = self
            .shared
            .file_system
            .inode(self.shared.file_system.root());
        let inode = inode.map_err(|error| self.shared.errno(&error))?;
        Ok(Arc::new(Ext2Node {
            shared: self.shared.clone(),
            inode,
        }))
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn usage(&self) -> Usage {
        let facts = self.shared.file_system.facts();
        Usage {
            block_len_bytes: u64::from(facts.block_size),
            blocks: u64::from(facts.blocks),
            free_blocks: u64::from(facts.free_blocks),
            nodes: u64::from(facts.inodes),
            free_nodes: u64::from(facts.free_inodes),
            magic: EXT2_MAGIC,
        }
    }
}

fn kind_of(file_type: FileType) -> NodeKind {
    match file_type {
        FileType::File => NodeKind::File,
        FileType::Directory => NodeKind::Directory,
        FileType::Symlink => NodeKind::Symlink,
        FileType::CharacterDevice => NodeKind::CharacterDevice,
        FileType::BlockDevice => NodeKind::BlockDevice,
        FileType::Fifo => NodeKind::Fifo,
        FileType::Socket => NodeKind::Socket,
    }
}

impl Node for Ext2Node {
    fn kind(&self) -> NodeKind {
        kind_of(self.inode.file_type())
    }

    fn number(&self) -> u64 {
        u64::from(self.inode.number().0)
    }

    fn metadata(&self) -> Result<Metadata> {
        let inode = &self.inode;
        let at = |seconds| Timestamp {
            seconds,
            nanoseconds: 0,
        };
        Ok(Metadata {
            number: self.number(),
            kind: self.kind(),
            permissions: u32::from(inode.mode()) & 0o7777,
            links: u64::from(inode.links()),
            uid: inode.uid(),
            gid: inode.gid(),
            len_bytes: inode.size(),
            blocks_of_512: inode.blocks_of_512(),
            accessed: at(inode.accessed()),
            modified: at(inode.modified()),
            changed: at(inode.changed()),
            created: None,
            device: (0, 0),
        })
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let shared = &self.shared;
        shared
            .file_system
            .read(&self.inode, offset, buf)
            .map_err(|error| shared.errno(&error))
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        let shared = &self.shared;
        shared
            .file_system
            .read_link(&self.inode)
            .map_err(|error| shared.errno(&error))
    }

    fn lookup(&self, name: &[u8]) -> Result<NodeRef> {
        let inode = self.shared.file_system.find(&self.inode, name);
        let inode = inode.map_err(|error| self.shared.errno(&error))?;
        Ok(Arc::new(Ext2Node {
            shared: self.shared.clone(),
            inode,
        }))
    }

    fn read_dir(&self, cookie: u64, max: usize) -> Result<Vec<DirEntry>> {
        let fail = |error: Error| self.shared.errno(&error);
        let mut found = Vec::new();
        for entry in self
            .shared
            .file_system
            .read_dir(&self.inode, cookie)
            .map_err(fail)?
        {
            match entry {
                Ok(entry) if entry.is_dot() => continue,
                Ok(entry) => found.push(DirEntry {
                    number: u64::from(entry.inode.0),
                    kind: entry.file_type.map(kind_of),
                    name: Box::from(entry.name()),
                    next_cookie: entry.next_cookie,
                }),
                // What came before the damage is handed out first.
                Err(_) if !found.is_empty() => break,
                Err(error) => return Err(fail(error)),
            }
            if found.len() >= max {
                break;
            }
        }
        Ok(found)
    }
}
