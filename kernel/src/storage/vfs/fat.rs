//! FAT file systems (12, 16 and 32 bits, with long names) on disks, behind the traits of [`super::node`]. The crate [`hadris_fat`] does
//! the work, and checks what it reads (Microsoft, "FAT: General Overview of On-Disk Format", version 1.03).
//!
//! FAT has no owners, links or sockets (`EPERM`), of permissions only whether something may be written, times of two seconds, and names
//! that are text and equal whatever the case of their letters. Unlike ext2 it has no order of writes that makes a cut of power
//! harmless: what was synced is there afterwards, and `fsck.fat` has something to mend. At rest it is marked as unmounted.
//!
//! FAT has no inodes: a file without a name has no place to be. So a file that is removed while it is in use moves to a name in the root
//! that nobody sees ([`State::hide`]), and goes when it is let go, or at the next mount if the machine was cut off before. Where the
//! root has a fixed size (12 and 16 bits) and is full, it cannot be removed while it is in use (`ENOSPC`).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};

use hadris_fat::CacheOptions;
use hadris_fat::sync::FatFs;
use hadris_fs::{
    Clock, DateTime, DirCursor, ErrorKind, FileType, FsResult, MountOptions, Name, NodeId,
    Permissions, RenameMode, SetAttr,
};

use super::fat_device::Device;
use super::node::{
    Changes, DirEntry, FileSystem, Metadata, NewNode, Node, NodeKind, NodeRef, TakeEntry,
    Timestamp, Usage,
};
use crate::error::{Errno, Result};
use crate::scheduler::{Change, SharedTurn};
use crate::storage::disks::{Disk, Volume};
use crate::storage::write_behind;

const MSDOS_MAGIC: i64 = 0x4D44;
/// The longest name that a path can have ([`super::namespace`]); in FAT they can be longer.
const NAME_MAX: usize = 255;
/// How the names of files begin that were removed while they were in use.
const HIDDEN: &str = ".toro-removed-";
/// How many of those there can be at once.
const HIDDEN_MAX: u32 = 10_000;
/// Permissions that FAT can keep: those of all, or those without writing.
const WRITABLE: u32 = 0o222;

type Outcome<T> = FsResult<T, ext2::DeviceError>;

/// A mounted FAT.
pub struct Fat {
    shared: Arc<Shared>,
}

struct Shared {
    /// The disk's name in messages.
    what: String,
    disk: Arc<Disk>,
    state: SharedTurn<State>,
    root: NodeId,
    /// Bytes that files are made of.
    cluster_len: u64,
    /// Something was changed since [`FileSystem::write_behind`] looked.
    is_changed: AtomicBool,
    is_read_only: AtomicBool,
}

struct State {
    fat: FatFs<Device>,
    /// The nodes in use. Each is pinned once in `fat` for itself.
    nodes: BTreeMap<NodeId, Weak<FatNode>>,
    /// Nodes in use that have no name any more; of files, what they are called meanwhile.
    removed: BTreeMap<NodeId, Option<String>>,
    /// Where to look for the next such name.
    next_hidden: u32,
}

struct FatNode {
    shared: Arc<Shared>,
    id: NodeId,
    kind: NodeKind,
}

/// The wall clock, for times of files.
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> DateTime {
        date_time(Timestamp::now())
    }
}

fn date_time(time: Timestamp) -> DateTime {
    DateTime::new(time.seconds, time.nanoseconds).unwrap_or(DateTime::UNIX_EPOCH)
}

fn timestamp(time: Option<DateTime>) -> Timestamp {
    time.map_or(Timestamp::default(), |time| Timestamp {
        seconds: time.unix_seconds(),
        nanoseconds: time.nanoseconds(),
    })
}

/// Opens a FAT for [`super::super::mount`].
///
/// # Errors
/// What is wrong with the disk, in words.
pub fn open(
    volume: Volume,
    what: String,
    is_read_only: bool,
) -> core::result::Result<Arc<dyn FileSystem>, String> {
    Ok(Arc::new(Fat::mount(volume, what, is_read_only)?))
}

impl Fat {
    /// Mounts what is on a volume; `what` names it in messages. It is only read if that is asked for, or if the disk cannot be written.
    ///
    /// # Errors
    /// What is wrong with the disk, in words.
    pub fn mount(
        volume: Volume,
        what: String,
        is_read_only: bool,
    ) -> core::result::Result<Self, String> {
        let options = MountOptions::new().with_clock(&WallClock);
        let options = match is_read_only {
            true => options.read_only(),
            false => options,
        };
        let disk = volume.disk().clone();
        let device = Device::new(volume).ok_or("the disk has no sectors")?;
        let mut fat =
            FatFs::mount(device, options).map_err(|error| format!("{}", error.into_error()))?;
        // Sectors are kept below (`super::super::block_cache`); places in long files are not.
        fat = fat.with_cache(CacheOptions::new().with_blocks(0));
        if fat.was_dirty() && !is_read_only {
            log::warn!("{what} was not unmounted: fsck.fat can look for what was lost");
        }
        // The root is read now, so that a disk without a sound one is refused at the start.
        let first = fat.readdir(fat.root(), DirCursor::START);
        first.map_err(|error| format!("the root directory: {error}"))?;
        let mut state = State {
            fat,
            nodes: BTreeMap::new(),
            removed: BTreeMap::new(),
            next_hidden: 0,
        };
        let is_read_only = state.fat.is_read_only();
        if !is_read_only {
            state.remove_hidden();
        }
        Ok(Self {
            shared: Arc::new(Shared {
                what,
                disk,
                root: state.fat.root(),
                cluster_len: u64::from(state.fat.info().cluster_size()),
                state: SharedTurn::new(state),
                is_changed: AtomicBool::new(false),
                is_read_only: AtomicBool::new(is_read_only),
            }),
        })
    }
}

impl State {
    /// Removes what was without a name when the machine was cut off.
    fn remove_hidden(&mut self) {
        let root = self.fat.root();
        let mut cursor = DirCursor::START;
        let mut found = Vec::new();
        while let Ok(Some(entry)) = self.fat.readdir(root, cursor) {
            cursor = entry.next_cursor();
            if is_hidden(entry.name().as_bytes()) && entry.file_type() == FileType::File {
                found.push(Box::from(entry.name().as_bytes()));
            }
        }
        for name in &found {
            let name: &[u8] = name;
            // What stays is seen by nobody, and tried again by the next mount.
            let _ = self.fat.unlink(root, Name::new(name));
        }
    }

    /// Whether a node is in use.
    fn is_used(&self, id: NodeId) -> bool {
        self.nodes
            .get(&id)
            .is_some_and(|node| node.strong_count() > 0)
    }

    /// Takes a file's name from it.
    fn hide(&mut self, id: NodeId, directory: NodeId, name: &Name) -> Outcome<()> {
        let root = self.fat.root();
        for _ in 0..HIDDEN_MAX {
            let hidden = format!("{HIDDEN}{:04}", self.next_hidden);
            self.next_hidden = (self.next_hidden + 1) % HIDDEN_MAX;
            let to = Name::new(&hidden);
            match self
                .fat
                .rename(directory, name, root, to, RenameMode::NoReplace)
            {
                Ok(()) => {
                    self.removed.insert(id, Some(hidden));
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::Busy.into())
    }

    /// Gives a name back that [`State::hide`] took.
    fn show(&mut self, id: NodeId, directory: NodeId, name: &Name) {
        let Some(Some(hidden)) = self.removed.get(&id) else {
            return;
        };
        let (root, hidden) = (self.fat.root(), Name::new(hidden));
        let moved = self
            .fat
            .rename(root, hidden, directory, name, RenameMode::NoReplace);
        if moved.is_ok() {
            self.removed.remove(&id);
        }
    }

    /// Removes a file, which may be in use. Its pin by the caller stays.
    fn unlink(&mut self, id: NodeId, directory: NodeId, name: &Name) -> Outcome<()> {
        match self.is_used(id) {
            true => self.hide(id, directory, name),
            false => self.fat.unlink(directory, name),
        }
    }

    /// Removes a directory, which may be in use.
    fn remove_dir(&mut self, id: NodeId, directory: NodeId, name: &Name) -> Outcome<()> {
        self.fat.rmdir(directory, name)?;
        if self.is_used(id) {
            self.removed.insert(id, None);
        }
        Ok(())
    }

    /// Looks a name up for as long as `work` takes.
    fn with<T>(
        &mut self,
        directory: NodeId,
        name: &Name,
        work: impl FnOnce(&mut Self, NodeId, NodeKind) -> Outcome<T>,
    ) -> Outcome<T> {
        let id = self.fat.lookup(directory, name)?;
        let result = match self.fat.stat(id) {
            Ok(facts) => work(self, id, kind_of(facts.file_type())),
            Err(error) => Err(error),
        };
        self.fat.forget(id, 1);
        result
    }

    /// Moves a name to where another one is, which goes.
    fn replace(
        &mut self,
        (directory, name): (NodeId, &Name),
        (to, to_name): (NodeId, &Name),
    ) -> Outcome<()> {
        let source = self.with(directory, name, |_, id, kind| Ok((id, kind)))?;
        let target = self.with(to, to_name, |_, id, kind| Ok((id, kind)));
        let (id, kind) = match target {
            Ok(target) => target,
            Err(error) if error.kind() == ErrorKind::NotFound => source,
            Err(error) => return Err(error),
        };
        let rename = |state: &mut Self, mode| state.fat.rename(directory, name, to, to_name, mode);
        if id == source.0 || !self.is_used(id) {
            return rename(self, RenameMode::Replace);
        }
        match (source.1, kind) {
            (NodeKind::Directory, NodeKind::Directory) => {
                self.remove_dir(id, to, to_name)?;
                let result = rename(self, RenameMode::NoReplace);
                if result.is_err() {
                    // Whoever stands in the old one has lost it, but the name is there as before.
                    if let Ok(again) = self.fat.mkdir(to, to_name, &SetAttr::new()) {
                        self.fat.forget(again, 1);
                    }
                }
                result
            }
            (NodeKind::Directory, _) => Err(ErrorKind::NotADirectory.into()),
            (_, NodeKind::Directory) => Err(ErrorKind::IsADirectory.into()),
            _ => {
                self.hide(id, to, to_name)?;
                let result = rename(self, RenameMode::NoReplace);
                if result.is_err() {
                    self.show(id, to, to_name);
                }
                result
            }
        }
    }
}

/// Whether a name in the root is one that [`State::hide`] gives.
fn is_hidden(name: &[u8]) -> bool {
    let start = name.get(..HIDDEN.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(HIDDEN.as_bytes()))
}

fn kind_of(file_type: FileType) -> NodeKind {
    match file_type {
        FileType::Dir => NodeKind::Directory,
        _ => NodeKind::File,
    }
}

/// The permissions that FAT can keep and that come closest to these.
fn permissions(kind: NodeKind, wanted: u32) -> Permissions {
    let all = match kind {
        NodeKind::Directory => 0o755,
        _ => 0o644,
    };
    Permissions::new(match wanted & WRITABLE {
        0 => all & !WRITABLE,
        _ => all,
    })
}

impl Shared {
    fn errno(&self, error: &hadris_fs::Error<ext2::DeviceError>) -> Errno {
        Errno(match error.kind() {
            ErrorKind::NotFound => libc::ENOENT,
            ErrorKind::AlreadyExists => libc::EEXIST,
            ErrorKind::NotADirectory => libc::ENOTDIR,
            ErrorKind::IsADirectory => libc::EISDIR,
            ErrorKind::DirectoryNotEmpty => libc::ENOTEMPTY,
            ErrorKind::NoSpace => libc::ENOSPC,
            ErrorKind::ReadOnly => libc::EROFS,
            ErrorKind::InvalidInput => libc::EINVAL,
            ErrorKind::Unsupported => libc::EPERM,
            ErrorKind::NameTooLong => libc::ENAMETOOLONG,
            ErrorKind::FileTooLarge => libc::EFBIG,
            ErrorKind::LimitExceeded => libc::ENOMEM,
            ErrorKind::Busy => libc::EBUSY,
            ErrorKind::Corrupt | ErrorKind::NotRecognized => {
                log::error!("{}: {error}", self.what);
                libc::EUCLEAN
            }
            _ => libc::EIO,
        })
    }

    /// Does something that only reads.
    fn look<T>(&self, work: impl FnOnce(&mut State) -> Outcome<T>) -> Result<T> {
        let mut state = self.state.change();
        let result = work(&mut state);
        drop(state);
        result.map_err(|error| self.errno(&error))
    }

    /// Does something that changes the file system.
    fn change<T>(&self, work: impl FnOnce(&mut State) -> Outcome<T>) -> Result<T> {
        if self.is_read_only.load(Ordering::Relaxed) {
            return Err(Errno(libc::EROFS));
        }
        let mut state = self.state.change();
        let result = work(&mut state);
        self.changed(&state);
        drop(state);
        self.note_change();
        result.map_err(|error| self.errno(&error))
    }

    /// What was changed gets to the disk before long.
    fn note_change(&self) {
        if !self.is_changed.swap(true, Ordering::Relaxed) {
            write_behind::begin(self.disk.core());
        }
    }

    /// After a change, or a sync.
    fn changed(&self, state: &Change<'_, State>) {
        if state.fat.is_read_only() && !self.is_read_only.swap(true, Ordering::Relaxed) {
            log::error!(
                "{} is read-only from now on: the disk cannot be written",
                self.what
            );
        }
    }

    /// The one node of an `id` that was just pinned.
    fn node(self: &Arc<Self>, state: &mut State, id: NodeId, kind: NodeKind) -> Arc<FatNode> {
        if let Some(node) = state.nodes.get(&id).and_then(Weak::upgrade) {
            state.fat.forget(id, 1);
            return node;
        }
        let shared = self.clone();
        let node = Arc::new(FatNode { shared, id, kind });
        state.nodes.insert(id, Arc::downgrade(&node));
        node
    }

    /// Whether a name of a directory is not to be seen.
    fn is_hidden(&self, directory: NodeId, name: &[u8]) -> bool {
        directory == self.root && is_hidden(name)
    }
}

impl Drop for FatNode {
    fn drop(&mut self) {
        let mut state = self.shared.state.change();
        let row = state.nodes.get(&self.id);
        let is_own = row.is_some_and(|node| core::ptr::eq(node.as_ptr(), self));
        let mut removed = None;
        if is_own {
            state.nodes.remove(&self.id);
            removed = state.removed.remove(&self.id).flatten();
        }
        state.fat.forget(self.id, 1);
        if let Some(name) = removed
            && !self.shared.is_read_only.load(Ordering::Relaxed)
        {
            let root = self.shared.root;
            // There is nobody to tell. What stays goes at the next mount.
            let _ = state.fat.unlink(root, Name::new(&name));
            drop(state);
            self.shared.note_change();
        }
    }
}

impl FileSystem for Fat {
    fn root(&self) -> Result<NodeRef> {
        // The root is always pinned, and forgetting it does nothing.
        let mut state = self.shared.state.change();
        let node = self
            .shared
            .node(&mut state, self.shared.root, NodeKind::Directory);
        drop(state);
        Ok(node)
    }

    fn is_read_only(&self) -> bool {
        self.shared.is_read_only.load(Ordering::Relaxed)
    }

    fn has_one_case(&self) -> bool {
        true
    }

    fn usage(&self) -> Usage {
        let counts = self.shared.look(|state| state.fat.statfs());
        counts.map_or(Usage::default(), |counts| Usage {
            block_len_bytes: u64::from(counts.block_size()),
            blocks: counts.total_blocks(),
            free_blocks: counts.free_blocks(),
            nodes: 0,
            free_nodes: 0,
            magic: MSDOS_MAGIC,
        })
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.shared.state.change();
        let result = state.fat.sync();
        self.shared.changed(&state);
        drop(state);
        result.map_err(|error| self.shared.errno(&error))
    }

    fn core(&self) -> Option<usize> {
        Some(self.shared.disk.core())
    }

    fn write_behind(&self) -> bool {
        let is_changed = self.shared.is_changed.swap(false, Ordering::Relaxed);
        // With that it is also marked as unmounted.
        if is_changed && !self.is_read_only() {
            // Its errors are in the log.
            let _ = self.sync();
        }
        is_changed
    }

    fn unmount(&self) -> Result<()> {
        let shared = &self.shared;
        let was_read_only = shared.is_read_only.load(Ordering::Relaxed);
        let mut state = shared.state.change();
        // Nothing is changed from now on.
        shared.is_read_only.store(true, Ordering::Relaxed);
        if was_read_only {
            return Ok(());
        }
        let removed = core::mem::take(&mut state.removed);
        for name in removed.into_values().flatten() {
            let _ = state.fat.unlink(shared.root, Name::new(&name));
        }
        let result = state.fat.sync();
        drop(state);
        result.map_err(|error| shared.errno(&error))
    }
}

impl Node for FatNode {
    fn kind(&self) -> NodeKind {
        self.kind
    }

    fn number(&self) -> u64 {
        self.id.get()
    }

    fn metadata(&self) -> Result<Metadata> {
        let (is_removed, facts) = self.shared.look(|state| {
            let is_removed = state.removed.contains_key(&self.id);
            match state.fat.stat(self.id) {
                Ok(facts) => Ok((is_removed, Some(facts))),
                // A directory that was removed has nothing left that could be told.
                Err(_) if is_removed => Ok((true, None)),
                Err(error) => Err(error),
            }
        })?;
        let len_bytes = facts.map_or(0, |facts| facts.len());
        let modified = timestamp(facts.and_then(|facts| facts.modified()));
        Ok(Metadata {
            number: self.number(),
            kind: self.kind,
            permissions: facts.map_or(0, |facts| facts.permissions().bits()),
            links: u64::from(!is_removed),
            uid: 0,
            gid: 0,
            len_bytes,
            blocks_of_512: len_bytes.next_multiple_of(self.shared.cluster_len) / 512,
            accessed: timestamp(facts.and_then(|facts| facts.accessed())),
            modified,
            changed: modified,
            created: facts
                .and_then(|facts| facts.created())
                .map(|time| timestamp(Some(time))),
            device: (0, 0),
        })
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.shared
            .look(|state| state.fat.read(self.id, offset, buf))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize> {
        self.shared
            .change(|state| state.fat.write(self.id, offset, data))
    }

    fn append(&self, data: &[u8]) -> Result<(usize, u64)> {
        self.shared.change(|state| {
            let end = state.fat.stat(self.id)?.len();
            let written = state.fat.write(self.id, end, data)?;
            Ok((written, end.saturating_add(written as u64)))
        })
    }

    fn set_len(&self, len_bytes: u64) -> Result<()> {
        self.shared
            .change(|state| state.fat.truncate(self.id, len_bytes))
    }

    fn change(&self, changes: &Changes) -> Result<()> {
        let is_someone = |id: Option<u32>| id.is_some_and(|id| id != 0);
        if is_someone(changes.uid) || is_someone(changes.gid) {
            return Err(Errno(libc::EPERM));
        }
        let mut new = SetAttr::new();
        if let Some(wanted) = changes.permissions {
            new = new.with_permissions(permissions(self.kind, wanted));
        }
        if let Some(time) = changes.accessed {
            new = new.with_accessed(date_time(time));
        }
        if let Some(time) = changes.modified {
            new = new.with_modified(date_time(time));
        }
        self.shared.change(|state| state.fat.setattr(self.id, &new))
    }

    fn sync(&self) -> Result<()> {
        if self.shared.is_read_only.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut state = self.shared.state.change();
        let result = state.fat.fsync(self.id);
        self.shared.changed(&state);
        drop(state);
        result.map_err(|error| self.shared.errno(&error))
    }

    fn lookup(&self, name: &[u8]) -> Result<NodeRef> {
        if self.shared.is_hidden(self.id, name) {
            return Err(Errno(libc::ENOENT));
        }
        let node = self.shared.look(|state| {
            let id = state.fat.lookup(self.id, Name::new(name))?;
            match state.fat.stat(id) {
                Ok(facts) => Ok(self.shared.node(state, id, kind_of(facts.file_type()))),
                Err(error) => {
                    state.fat.forget(id, 1);
                    Err(error)
                }
            }
        })?;
        Ok(node)
    }

    fn read_dir(&self, cookie: u64, take: &mut TakeEntry<'_>) -> Result<()> {
        if self.kind != NodeKind::Directory {
            return Err(Errno(libc::ENOTDIR));
        }
        self.shared.look(|state| {
            if state.removed.contains_key(&self.id) {
                return Ok(());
            }
            let mut cursor = DirCursor::from_raw(cookie);
            while let Some(entry) = state.fat.readdir(self.id, cursor)? {
                cursor = entry.next_cursor();
                let name = entry.name().as_bytes();
                // What no path can have in it is not shown.
                let is_shown = name.len() <= NAME_MAX && !self.shared.is_hidden(self.id, name);
                let entry = DirEntry {
                    number: entry.node().get(),
                    kind: Some(kind_of(entry.file_type())),
                    name,
                    next_cookie: cursor.into_raw(),
                };
                if is_shown && !take(&entry) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn create(&self, name: &[u8], new: NewNode<'_>, wanted: u32) -> Result<NodeRef> {
        let kind = match new {
            NewNode::File => NodeKind::File,
            NewNode::Directory => NodeKind::Directory,
            NewNode::Symlink(_) | NewNode::Socket | NewNode::Fifo => {
                return Err(Errno(libc::EPERM));
            }
        };
        if self.shared.is_hidden(self.id, name) {
            return Err(Errno(libc::EPERM));
        }
        let name = Name::new(name);
        let attributes = SetAttr::new().with_permissions(permissions(kind, wanted));
        let node = self.shared.change(|state| {
            let id = match kind {
                NodeKind::Directory => state.fat.mkdir(self.id, name, &attributes),
                _ => state.fat.create(self.id, name, &attributes),
            }?;
            Ok(self.shared.node(state, id, kind))
        })?;
        Ok(node)
    }

    fn link(&self, name: &[u8], node: &NodeRef) -> Result<()> {
        let _ = (name, node);
        Err(Errno(libc::EPERM))
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        let name = Name::new(name);
        self.shared.change(|state| {
            state.with(self.id, name, |state, id, kind| match kind {
                NodeKind::Directory => Err(ErrorKind::IsADirectory.into()),
                _ => state.unlink(id, self.id, name),
            })
        })
    }

    fn remove_dir(&self, name: &[u8]) -> Result<()> {
        let name = Name::new(name);
        self.shared.change(|state| {
            state.with(self.id, name, |state, id, _| {
                state.remove_dir(id, self.id, name)
            })
        })
    }

    fn rename(&self, name: &[u8], to: &NodeRef, to_name: &[u8], may_replace: bool) -> Result<()> {
        let any: &dyn Any = &**to;
        let to = any
            .downcast_ref::<Self>()
            .filter(|to| Arc::ptr_eq(&to.shared, &self.shared))
            .ok_or(Errno(libc::EXDEV))?
            .id;
        if self.shared.is_hidden(to, to_name) {
            return Err(Errno(libc::EPERM));
        }
        let (name, to_name) = (Name::new(name), Name::new(to_name));
        self.shared.change(|state| match may_replace {
            true => state.replace((self.id, name), (to, to_name)),
            false => state
                .fat
                .rename(self.id, name, to, to_name, RenameMode::NoReplace),
        })
    }
}
