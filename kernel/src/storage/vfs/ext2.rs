//! ext2 file systems on disks, behind the traits of [`super::node`]. The crate [`ext2`] does the work.
//!
//! Each inode in use has one [`Ext2Node`], so that a file that is removed while in use is kept until it no longer is. Nodes remember
//! their inode as it was last read; any change of the file system makes them read it again.
//!
//! What is wrong with a disk is logged with the field that is wrong; the program gets `EUCLEAN`.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ext2::{Error, FileType, Inode, InodeNumber, MountOptions, NewAttributes, Time};

use super::node::{
    self, Changes, DirEntry, FileSystem, Metadata, NewNode, Node, NodeKind, NodeRef, Part,
    TakeEntry, Timestamp, Usage,
};
use crate::error::{Errno, Result};
use crate::scheduler::{Change, Look, SharedTurn};
use crate::storage::disks::{Disk, Volume, VolumeName};
use crate::storage::write_behind;
use crate::sync::SpinLock;

const EXT2_MAGIC: i64 = 0xEF53;

/// A mounted ext2 file system.
pub struct Ext2 {
    shared: Arc<Shared>,
}

struct Shared {
    /// The disk's name in messages.
    what: VolumeName,
    disk: Arc<Disk>,
    file_system: SharedTurn<ext2::FileSystem<Volume>>,
    /// Counts changes: what a node remembers from before the last one may be old.
    changes: AtomicU64,
    /// Something was changed since [`FileSystem::write_behind`] looked.
    is_changed: AtomicBool,
    is_read_only: AtomicBool,
    /// The nodes in use, by number. Only locked for a moment, never while anything is dropped.
    nodes: SpinLock<BTreeMap<u32, Row>>,
}

struct Row {
    node: Weak<Ext2Node>,
    /// The file system was told that it is in use, as its last name went.
    is_pinned: bool,
}

struct Ext2Node {
    shared: Arc<Shared>,
    number: InodeNumber,
    kind: NodeKind,
    /// The inode, and how many changes there had been when it was read.
    known: SpinLock<(Inode, u64)>,
}

impl Ext2 {
    /// Mounts what is on a volume; `what` names it in messages. It is only read if that is asked for, or if the disk cannot be written, or if
    /// the file system says that it must not be.
    ///
    /// # Errors
    /// What is wrong with the disk.
    pub fn mount(
        volume: Volume,
        what: VolumeName,
        is_read_only: bool,
    ) -> core::result::Result<Self, Error> {
        let options = MountOptions {
            read_only: is_read_only || volume.is_read_only(),
        };
        let disk = volume.disk().clone();
        let file_system = ext2::FileSystem::mount(volume, options)?;
        // The root is read now, so that a disk without a sound one is refused at the start.
        file_system.inode(file_system.root())?;
        let reason = file_system.facts().read_only;
        match reason {
            Some(ext2::ReadOnlyReason::Asked) | None => {}
            Some(reason) => log::warn!("{what} is mounted read-only: {reason}"),
        }
        Ok(Self {
            shared: Arc::new(Shared {
                what,
                disk,
                file_system: SharedTurn::new(file_system),
                changes: AtomicU64::new(0),
                is_changed: AtomicBool::new(false),
                is_read_only: AtomicBool::new(reason.is_some()),
                nodes: SpinLock::new(BTreeMap::new()),
            }),
        })
    }
}

impl Shared {
    fn errno(&self, error: &Error) -> Errno {
        Errno(match error {
            Error::NotFound => libc::ENOENT,
            Error::NotADirectory => libc::ENOTDIR,
            Error::IsADirectory => libc::EISDIR,
            Error::NotAFile | Error::NotASymlink | Error::InvalidName | Error::IntoItself => {
                libc::EINVAL
            }
            Error::NameTooLong => libc::ENAMETOOLONG,
            Error::TooManySymlinks => libc::ELOOP,
            Error::OutOfMemory => libc::ENOMEM,
            Error::Exists => libc::EEXIST,
            Error::NotEmpty => libc::ENOTEMPTY,
            Error::NoSpace => libc::ENOSPC,
            Error::TooManyLinks => libc::EMLINK,
            Error::FileTooLarge => libc::EFBIG,
            Error::ReadOnly(_) => libc::EROFS,
            Error::Device(ext2::DeviceError(libc::EROFS)) => libc::EROFS,
            Error::Device(_) => libc::EIO,
            damage => {
                log::error!("{}: {damage}", self.what);
                libc::EUCLEAN
            }
        })
    }

    fn look(&self) -> Look<'_, ext2::FileSystem<Volume>> {
        self.file_system.look()
    }

    /// Does something that changes the file system, at the present time.
    fn change<T>(
        &self,
        work: impl FnOnce(&mut ext2::FileSystem<Volume>) -> core::result::Result<T, Error>,
    ) -> Result<T> {
        if self.is_read_only.load(Ordering::Relaxed) {
            return Err(Errno(libc::EROFS));
        }
        let mut file_system = self.file_system.change();
        let now = Timestamp::now();
        file_system.set_time(time(now));
        let result = work(&mut file_system);
        self.changed(&file_system);
        drop(file_system);
        if !self.is_changed.swap(true, Ordering::Relaxed) {
            write_behind::begin(self.disk.core());
        }
        result.map_err(|error| self.errno(&error))
    }

    /// After a change, or a sync.
    fn changed(&self, file_system: &Change<'_, ext2::FileSystem<Volume>>) {
        self.changes.fetch_add(1, Ordering::Release);
        if let Some(reason) = file_system.facts().read_only
            && !self.is_read_only.swap(true, Ordering::Relaxed)
        {
            log::error!("{} is read-only from now on: {reason}", self.what);
        }
    }

    /// The one node of an inode, which was read just now and cannot have gone: the caller holds the file system.
    fn node(self: &Arc<Self>, inode: Inode) -> Arc<Ext2Node> {
        let number = inode.number();
        let mut nodes = self.nodes.lock();
        let old = nodes.get(&number.0);
        if let Some(node) = old.and_then(|row| row.node.upgrade()) {
            return node;
        }
        // One that is being dropped leaves its pin to the new one.
        let is_pinned = old.is_some_and(|row| row.is_pinned);
        let node = Arc::new(Ext2Node {
            shared: self.clone(),
            number,
            kind: kind_of(inode.file_type()),
            known: SpinLock::new((inode, self.changes.load(Ordering::Acquire))),
        });
        let row = Row {
            node: Arc::downgrade(&node),
            is_pinned,
        };
        nodes.insert(number.0, row);
        node
    }

    /// Before a name of an inode goes: if it is in use, it must stay.
    fn pin_if_used(&self, file_system: &mut ext2::FileSystem<Volume>, number: InodeNumber) {
        let mut nodes = self.nodes.lock();
        if let Some(row) = nodes.get_mut(&number.0)
            && !core::mem::replace(&mut row.is_pinned, true)
        {
            file_system.pin(number);
        }
    }
}

impl Drop for Ext2Node {
    fn drop(&mut self) {
        let mut nodes = self.shared.nodes.lock();
        let is_own = nodes
            .get(&self.number.0)
            .is_some_and(|row| core::ptr::eq(row.node.as_ptr(), self));
        let is_pinned = is_own
            && nodes
                .remove(&self.number.0)
                .is_some_and(|row| row.is_pinned);
        drop(nodes);
        if is_pinned {
            // There is nobody to tell; a file system that fails says so in the log.
            let _ = self
                .shared
                .change(|file_system| file_system.unpin(self.number));
        }
    }
}

impl FileSystem for Ext2 {
    fn root(&self) -> Result<NodeRef> {
        let file_system = self.shared.look();
        let inode = file_system.inode(file_system.root());
        let inode = inode.map_err(|error| self.shared.errno(&error))?;
        Ok(self.shared.node(inode))
    }

    fn is_read_only(&self) -> bool {
        self.shared.is_read_only.load(Ordering::Relaxed)
    }

    fn usage(&self) -> Usage {
        let file_system = self.shared.look();
        let facts = file_system.facts();
        Usage {
            block_len_bytes: u64::from(facts.block_size),
            blocks: u64::from(facts.blocks),
            free_blocks: u64::from(facts.free_blocks),
            nodes: u64::from(facts.inodes),
            free_nodes: u64::from(facts.free_inodes),
            magic: EXT2_MAGIC,
        }
    }

    fn sync(&self) -> Result<()> {
        let mut file_system = self.shared.file_system.change();
        let result = file_system.sync();
        self.shared.changed(&file_system);
        result.map_err(|error| self.shared.errno(&error))
    }

    fn core(&self) -> Option<usize> {
        Some(self.shared.disk.core())
    }

    fn write_behind(&self) -> bool {
        if self.is_read_only() {
            return false;
        }
        let is_changed = self.shared.is_changed.swap(false, Ordering::Relaxed);
        let mut file_system = self.shared.file_system.change();
        // At rest it is left as if it were unmounted, so that a machine that is then cut off leaves nothing to repair.
        let result = if is_changed {
            let root = file_system.root();
            file_system.fsync(root)
        } else {
            file_system.mark_clean()
        };
        self.shared.changed(&file_system);
        if let Err(error) = result {
            log::error!("{}: {error}", self.shared.what);
        }
        is_changed
    }

    fn unmount(&self) -> Result<()> {
        let shared = &self.shared;
        let mut file_system = shared.file_system.change();
        let pinned: Vec<u32> = {
            let mut nodes = shared.nodes.lock();
            let pinned = nodes.iter_mut().filter(|(_, row)| row.is_pinned);
            pinned
                .map(|(number, row)| {
                    row.is_pinned = false;
                    *number
                })
                .collect()
        };
        // Nothing is changed from now on.
        shared.is_read_only.store(true, Ordering::Relaxed);
        if file_system.facts().read_only.is_some() {
            return Ok(());
        }
        let unpinned = pinned
            .into_iter()
            .try_for_each(|number| file_system.unpin(InodeNumber(number)));
        let result = unpinned.and_then(|()| file_system.mark_clean());
        shared.changed(&file_system);
        let counts = file_system.device().counts();
        log::info!(
            "{}: {} blocks of 4 KiB read from memory and {} from the disk, {} written in {} commands",
            shared.what,
            counts.hits,
            counts.misses,
            counts.written,
            counts.write_commands
        );
        result.map_err(|error| shared.errno(&error))
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

fn time(timestamp: Timestamp) -> Time {
    Time {
        seconds: timestamp.seconds,
        nanoseconds: timestamp.nanoseconds,
    }
}

fn timestamp(time: Time) -> Timestamp {
    Timestamp {
        seconds: time.seconds,
        nanoseconds: time.nanoseconds,
    }
}

impl Ext2Node {
    /// The inode as it is now.
    fn inode(&self, file_system: &ext2::FileSystem<Volume>) -> core::result::Result<Inode, Error> {
        // Nobody changes it while the caller holds the file system.
        let changes = self.shared.changes.load(Ordering::Acquire);
        {
            let known = self.known.lock();
            if known.1 == changes {
                return Ok(known.0.clone());
            }
        }
        let inode = file_system.inode(self.number)?;
        *self.known.lock() = (inode.clone(), changes);
        Ok(inode)
    }

    /// Looks at the inode as it is now.
    fn look<T>(
        &self,
        work: impl FnOnce(&ext2::FileSystem<Volume>, &Inode) -> core::result::Result<T, Error>,
    ) -> Result<T> {
        let file_system = self.shared.look();
        let result = self
            .inode(&file_system)
            .and_then(|inode| work(&file_system, &inode));
        drop(file_system);
        result.map_err(|error| self.shared.errno(&error))
    }
}

/// The node behind a reference, if it is in this file system.
fn own<'a>(shared: &Arc<Shared>, node: &'a NodeRef) -> Result<&'a Ext2Node> {
    let any: &dyn Any = &**node;
    any.downcast_ref::<Ext2Node>()
        .filter(|node| Arc::ptr_eq(&node.shared, shared))
        .ok_or(Errno(libc::EXDEV))
}

impl Node for Ext2Node {
    fn kind(&self) -> NodeKind {
        self.kind
    }

    fn number(&self) -> u64 {
        u64::from(self.number.0)
    }

    fn metadata(&self) -> Result<Metadata> {
        let changes = self.shared.changes.load(Ordering::Acquire);
        let known = {
            let known = self.known.lock();
            (known.1 == changes).then(|| known.0.clone())
        };
        let inode = match known {
            Some(inode) => inode,
            None => self.look(|_, inode| Ok(inode.clone()))?,
        };
        Ok(Metadata {
            number: self.number(),
            kind: self.kind,
            permissions: u32::from(inode.mode()) & 0o7777,
            links: u64::from(inode.links()),
            uid: inode.uid(),
            gid: inode.gid(),
            len_bytes: inode.size(),
            blocks_of_512: inode.blocks_of_512(),
            accessed: timestamp(inode.accessed_time()),
            modified: timestamp(inode.modified_time()),
            changed: timestamp(inode.changed_time()),
            created: inode.created_time().map(timestamp),
            device: (0, 0),
        })
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.look(|file_system, inode| file_system.read(inode, offset, buf))
    }

    fn find(&self, part: Part, offset: u64, _len_bytes: u64) -> Result<Option<u64>> {
        let is_hole = part == Part::Hole;
        self.look(|file_system, inode| file_system.find_part(inode, offset, is_hole))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize> {
        self.shared
            .change(|file_system| file_system.write(self.number, offset, data))
    }

    fn append(&self, data: &[u8]) -> Result<(usize, u64)> {
        self.shared
            .change(|file_system| file_system.append(self.number, data))
    }

    fn set_len(&self, len_bytes: u64) -> Result<()> {
        self.shared
            .change(|file_system| file_system.set_len(self.number, len_bytes))
    }

    fn change(&self, changes: &Changes) -> Result<()> {
        let changes = ext2::Changes {
            permissions: changes.permissions.map(|bits| bits as u16),
            uid: changes.uid,
            gid: changes.gid,
            accessed: changes.accessed.map(time),
            modified: changes.modified.map(time),
        };
        self.shared
            .change(|file_system| file_system.change(self.number, &changes))
    }

    fn sync(&self) -> Result<()> {
        let mut file_system = self.shared.file_system.change();
        let result = file_system.fsync(self.number);
        self.shared.changed(&file_system);
        drop(file_system);
        result.map_err(|error| match error {
            // It became so by a failure, which must not be taken for a file system that needs no sync.
            Error::ReadOnly(_) => Errno(libc::EIO),
            error => self.shared.errno(&error),
        })
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        self.look(|file_system, inode| file_system.read_link(inode))
    }

    fn lookup(&self, name: &[u8]) -> Result<NodeRef> {
        let file_system = self.shared.look();
        let found = self
            .inode(&file_system)
            .and_then(|inode| file_system.find(&inode, name));
        let node = found.map(|inode| self.shared.node(inode));
        drop(file_system);
        Ok(node.map_err(|error| self.shared.errno(&error))?)
    }

    fn read_dir(&self, cookie: u64, take: &mut TakeEntry<'_>) -> Result<()> {
        self.look(|file_system, inode| {
            file_system.list(inode, cookie, |entry| {
                entry.is_dot()
                    || take(&DirEntry {
                        number: u64::from(entry.inode.0),
                        kind: entry.file_type.map(kind_of),
                        name: entry.name,
                        next_cookie: entry.next_cookie,
                    })
            })
        })
    }

    fn create(&self, name: &[u8], new: NewNode<'_>, permissions: u32) -> Result<NodeRef> {
        let (uid, gid) = node::owner();
        let attributes = NewAttributes {
            permissions: permissions as u16,
            uid,
            gid,
        };
        let node = self.shared.change(|file_system| {
            let directory = self.number;
            let inode = match new {
                NewNode::File => file_system.create(directory, name, attributes),
                NewNode::Directory => file_system.create_directory(directory, name, attributes),
                NewNode::Symlink(target) => {
                    file_system.create_symlink(directory, name, target, attributes)
                }
                NewNode::Socket => file_system.create_socket(directory, name, attributes),
                NewNode::Fifo => file_system.create_fifo(directory, name, attributes),
            };
            Ok(self.shared.node(inode?))
        })?;
        Ok(node)
    }

    fn link(&self, name: &[u8], node: &NodeRef) -> Result<()> {
        let target = own(&self.shared, node)?.number;
        self.shared
            .change(|file_system| file_system.link(self.number, name, target))
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        self.shared.change(|file_system| {
            let target = file_system.lookup(self.number, name)?;
            self.shared.pin_if_used(file_system, target);
            file_system.unlink(self.number, name)
        })
    }

    fn remove_dir(&self, name: &[u8]) -> Result<()> {
        self.shared.change(|file_system| {
            let target = file_system.lookup(self.number, name)?;
            self.shared.pin_if_used(file_system, target);
            file_system.remove_directory(self.number, name)
        })
    }

    fn rename(&self, name: &[u8], to: &NodeRef, to_name: &[u8], may_replace: bool) -> Result<()> {
        let to = own(&self.shared, to)?.number;
        self.shared.change(|file_system| {
            match file_system.lookup(to, to_name) {
                Ok(target) => self.shared.pin_if_used(file_system, target),
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
            file_system.rename(self.number, name, to, to_name, may_replace)
        })
    }
}
