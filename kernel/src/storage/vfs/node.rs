//! What every file system gives: [`FileSystem`], and the files, directories and links in it as [`Node`]s.
//!
//! Errors are those that Linux's system calls return: a node is reached from there without a stop. The defaults of the methods are
//! the answers of a read-only file system, and of a node that is not of the kind that was needed.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Errno, Result};

/// A shared node.
pub type NodeRef = Arc<dyn Node>;

/// What kind of thing a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
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

impl NodeKind {
    /// The type bits of `st_mode`.
    pub fn mode_bits(self) -> u32 {
        match self {
            Self::File => libc::S_IFREG,
            Self::Directory => libc::S_IFDIR,
            Self::Symlink => libc::S_IFLNK,
            Self::CharacterDevice => libc::S_IFCHR,
            Self::BlockDevice => libc::S_IFBLK,
            Self::Fifo => libc::S_IFIFO,
            Self::Socket => libc::S_IFSOCK,
        }
    }

    /// The type of a directory entry, `d_type`: the same bits, moved.
    pub fn entry_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// A point in time: seconds since 1970, and nanoseconds on top.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub seconds: i64,
    /// Nanoseconds of the second.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// Now, by the wall clock.
    pub fn now() -> Self {
        let ns = crate::arch::clock::wall_ns();
        Self {
            seconds: (ns / 1_000_000_000) as i64,
            nanoseconds: (ns % 1_000_000_000) as u32,
        }
    }
}

/// The user, and above it the group, whose new nodes are.
static OWNER: AtomicU64 = AtomicU64::new(0);

/// Says whose what is created from now on is.
pub fn set_owner(uid: u32, gid: u32) {
    OWNER.store(u64::from(gid) << 32 | u64::from(uid), Ordering::Relaxed);
}

/// The user and the group whose a new node is.
pub fn owner() -> (u32, u32) {
    let owner = OWNER.load(Ordering::Relaxed);
    (owner as u32, (owner >> 32) as u32)
}

/// Facts about a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// Its number, unique in its file system.
    pub number: u64,
    /// What it is.
    pub kind: NodeKind,
    /// Permissions: the low twelve bits of `st_mode`.
    pub permissions: u32,
    /// Directory entries that lead to it.
    pub links: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub len_bytes: u64,
    /// What it takes in storage, in units of 512 bytes.
    pub blocks_of_512: u64,
    /// Last read.
    pub accessed: Timestamp,
    /// Last change of content.
    pub modified: Timestamp,
    /// Last change of any kind.
    pub changed: Timestamp,
    /// Creation, where it is known.
    pub created: Option<Timestamp>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
}

impl Metadata {
    /// Of what the kernel itself shows: root's, empty, without times.
    pub fn of_kernel(kind: NodeKind, number: u64, permissions: u32) -> Self {
        Self {
            number,
            kind,
            permissions,
            links: 1,
            uid: 0,
            gid: 0,
            len_bytes: 0,
            blocks_of_512: 0,
            accessed: Timestamp::default(),
            modified: Timestamp::default(),
            changed: Timestamp::default(),
            created: None,
            device: (0, 0),
        }
    }
}

/// An entry of a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirEntry<'a> {
    /// The node's number.
    pub number: u64,
    /// What it is, if the directory knows.
    pub kind: Option<NodeKind>,
    /// Its name.
    pub name: &'a [u8],
    /// Where the next entry is.
    pub next_cookie: u64,
}

/// Is handed entries of a directory, and says whether it took one. It is called under locks of a file system, so it does not wait.
pub type TakeEntry<'a> = dyn FnMut(&DirEntry<'_>) -> bool + 'a;

/// What to create.
#[derive(Clone, Copy, Debug)]
pub enum NewNode<'a> {
    /// An empty regular file.
    File,
    /// An empty directory.
    Directory,
    /// A symbolic link to this path.
    Symlink(&'a [u8]),
    /// The name of a socket.
    Socket,
    /// The name of a pipe.
    Fifo,
}

/// Facts to change; `None` stays as it is.
#[derive(Clone, Copy, Default, Debug)]
pub struct Changes {
    /// Permissions.
    pub permissions: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last read.
    pub accessed: Option<Timestamp>,
    /// Last change of content.
    pub modified: Option<Timestamp>,
}

/// How full a file system is.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Unit of the two counts below, in bytes.
    pub block_len_bytes: u64,
    /// All blocks.
    pub blocks: u64,
    /// Free blocks.
    pub free_blocks: u64,
    /// All nodes there can be; 0 where there is no such limit.
    pub nodes: u64,
    /// Nodes that can still be created.
    pub free_nodes: u64,
    /// Linux's number for this kind of file system.
    pub magic: i64,
}

/// A part of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// What has a place in storage, and may be anything.
    Data,
    /// What has none, and reads as zeros. Behind the end of a file is a hole.
    Hole,
}

/// A file system: where its nodes begin.
pub trait FileSystem: Send + Sync {
    /// The root directory.
    ///
    /// # Errors
    /// `EIO` when it cannot be read.
    fn root(&self) -> Result<NodeRef>;

    /// Whether nothing in it can be changed.
    fn is_read_only(&self) -> bool;

    /// Whether names are equal that differ only in the case of their letters.
    fn has_one_case(&self) -> bool {
        false
    }

    /// How full it is.
    fn usage(&self) -> Usage;

    /// Returns when everything is on the medium.
    ///
    /// # Errors
    /// `EIO` when the medium fails.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// The core that its disk belongs to, if it lies on one.
    fn core(&self) -> Option<usize> {
        None
    }

    /// Called there every few seconds after something was changed: makes durable what was changed since the last call, or, if nothing was,
    /// leaves the medium as if unmounted. Whether it wants to be called again.
    fn write_behind(&self) -> bool {
        false
    }

    /// Syncs, and leaves the medium as whoever has it next wants it. Nothing can be changed from then on.
    ///
    /// # Errors
    /// `EIO` when the medium fails.
    fn unmount(&self) -> Result<()> {
        self.sync()
    }
}

/// A file, a directory, a link.
pub trait Node: Any + Send + Sync {
    /// What it is.
    fn kind(&self) -> NodeKind;

    /// Its number, unique in its file system.
    fn number(&self) -> u64;

    /// Facts about it.
    ///
    /// # Errors
    /// `EIO` when they cannot be read.
    fn metadata(&self) -> Result<Metadata>;

    /// What whoever opens the node reads in its place: a file that is made when it is opened. `None`: the node itself.
    ///
    /// # Errors
    /// As the function that makes it.
    fn opened(&self) -> Result<Option<NodeRef>> {
        Ok(None)
    }

    /// Reads from byte `offset` on; less than asked for only at the end.
    ///
    /// # Errors
    /// `EISDIR` for a directory, `EIO` when it cannot be read.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let _ = (offset, buf);
        Err(Errno(self.not_a_file()))
    }

    /// Where a part of this kind is: `offset` if it is in one, else where the next one begins. `len_bytes` is the file's size, which is larger
    /// than `offset`. `None`: all from there on is a hole.
    ///
    /// # Errors
    /// As [`Node::read_at`].
    fn find(&self, part: Part, offset: u64, len_bytes: u64) -> Result<Option<u64>> {
        Ok(Some(match part {
            Part::Data => offset,
            Part::Hole => len_bytes,
        }))
    }

    /// Writes from byte `offset` on, and returns how much; less than asked for only when the storage is full.
    ///
    /// # Errors
    /// `EFBIG` beyond the largest size, `ENOSPC` when the storage is full.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize> {
        let _ = (offset, data);
        Err(Errno(libc::EROFS))
    }

    /// Writes at the end, and returns how much, and where the end is then.
    ///
    /// # Errors
    /// As [`Node::write_at`].
    fn append(&self, data: &[u8]) -> Result<(usize, u64)> {
        let _ = data;
        Err(Errno(libc::EROFS))
    }

    /// Cuts a regular file off, or fills it up with zeros, to this size.
    ///
    /// # Errors
    /// As [`Node::write_at`].
    fn set_len(&self, len_bytes: u64) -> Result<()> {
        let _ = len_bytes;
        Err(Errno(libc::EROFS))
    }

    /// Changes facts about it.
    ///
    /// # Errors
    /// `EROFS` when it cannot be changed.
    fn change(&self, changes: &Changes) -> Result<()> {
        let _ = changes;
        Err(Errno(libc::EROFS))
    }

    /// Returns when the node is on the medium.
    ///
    /// # Errors
    /// `EIO` when the medium fails.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `EINVAL` for anything else.
    fn read_link(&self) -> Result<Vec<u8>> {
        Err(Errno(libc::EINVAL))
    }

    /// Looks a name up in a directory. It is neither `.` nor `..`.
    ///
    /// # Errors
    /// `ENOENT` when there is none, `ENOTDIR` where there can be none.
    fn lookup(&self, name: &[u8]) -> Result<NodeRef> {
        let _ = name;
        Err(Errno(libc::ENOTDIR))
    }

    /// Hands the entries of a directory at or after `cookie` (0: the beginning), without `.` and `..`, to `take`, until it does not take
    /// one. What is added or removed meanwhile may or may not be seen; everything else is seen once.
    ///
    /// # Errors
    /// `ENOTDIR` for anything else. What comes before damage was handed out.
    fn read_dir(&self, cookie: u64, take: &mut TakeEntry<'_>) -> Result<()> {
        let _ = (cookie, take);
        Err(Errno(libc::ENOTDIR))
    }

    /// Creates a node in a directory.
    ///
    /// # Errors
    /// `EEXIST` when the name is taken, `ENOENT` when the directory was removed.
    fn create(&self, name: &[u8], new: NewNode<'_>, permissions: u32) -> Result<NodeRef> {
        let _ = (name, new, permissions);
        Err(Errno(libc::EROFS))
    }

    /// Gives a node of the same file system, not a directory, another name, in this directory.
    ///
    /// # Errors
    /// As [`Node::create`].
    fn link(&self, name: &[u8], node: &NodeRef) -> Result<()> {
        let _ = (name, node);
        Err(Errno(libc::EROFS))
    }

    /// Removes a name of something that is not a directory.
    ///
    /// # Errors
    /// `ENOENT`, or `EISDIR` for a directory.
    fn unlink(&self, name: &[u8]) -> Result<()> {
        let _ = name;
        Err(Errno(libc::EROFS))
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, or `ENOTEMPTY`.
    fn remove_dir(&self, name: &[u8]) -> Result<()> {
        let _ = name;
        Err(Errno(libc::EROFS))
    }

    /// Moves `name` of this directory to `to_name` of the directory `to` of the same file system; what was there goes, in one step.
    ///
    /// # Errors
    /// `ENOENT`; `EISDIR`, `ENOTDIR`, `ENOTEMPTY` for what cannot be replaced; `EINVAL` when a directory would end up in itself; `EEXIST`
    /// when nothing may be replaced.
    fn rename(&self, name: &[u8], to: &NodeRef, to_name: &[u8], may_replace: bool) -> Result<()> {
        let _ = (name, to, to_name, may_replace);
        Err(Errno(libc::EROFS))
    }

    /// Lets `name` of this directory and `to_name` of the directory `to` of the same file system lead to what the other one leads to, in one step.
    ///
    /// # Errors
    /// `ENOENT`; `EINVAL` when a directory would end up in itself, and on file systems that cannot do it.
    fn exchange(&self, name: &[u8], to: &NodeRef, to_name: &[u8]) -> Result<()> {
        let _ = (name, to, to_name);
        Err(Errno(libc::EINVAL))
    }

    /// The error number for a node whose content cannot be read or written.
    fn not_a_file(&self) -> i32 {
        if self.kind() == NodeKind::Directory {
            libc::EISDIR
        } else {
            libc::EINVAL
        }
    }
}
