//! The tree of names: file systems mounted into each other, and the way along a path (Linux: path_resolution(7)).
//!
//! A place in the tree is an [`Entry`], which knows the way back to the root. So `..` needs nothing of a disk, and cannot leave the
//! root. A directory that is renamed keeps, for those who stand in it, the way by which they came.
//!
//! Entries are kept for the next time, in a table of fixed size: a path that is used again costs no disk, no search and no memory.
//! Whoever changes what a name means says so by [`Namespace::forget`], before and after.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use super::node::{FileSystem, NodeKind, NodeRef};
use crate::error::{Errno, Result};
use crate::sync::SpinLock;

/// Longest name, and longest path with its closing zero (Linux: `NAME_MAX`, `PATH_MAX`).
const NAME_MAX: usize = 255;
pub(super) const PATH_MAX: usize = 4096;
/// Symbolic links followed on one way.
const MAX_LINKS: u32 = 40;
/// Entries that are kept; a power of two.
const KEPT_ENTRIES: usize = 128;

/// A mounted file system.
pub struct Mount {
    /// Its device number, `st_dev`.
    pub device: u64,
    /// The file system.
    pub file_system: Arc<dyn FileSystem>,
    root: NodeRef,
    /// Where it is mounted: in this directory, by this name. `None` for the root.
    at: Option<(Arc<Entry>, Box<[u8]>)>,
}

impl Mount {
    /// Whether nothing in it can be changed, now.
    pub fn is_read_only(&self) -> bool {
        self.file_system.is_read_only()
    }

    /// Where it is mounted: the path from the root.
    pub fn path(&self) -> Vec<u8> {
        let Some((directory, name)) = &self.at else {
            return Vec::from(b"/");
        };
        let mut path = directory.path();
        if path.len() > 1 {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }
}

/// A place in the tree.
pub struct Entry {
    /// The file system it is in.
    pub mount: Arc<Mount>,
    /// What is there.
    pub node: NodeRef,
    parent: Option<Arc<Entry>>,
    name: Box<[u8]>,
}

/// One after the other: the way to a place can be longer than the stack is deep.
impl Drop for Entry {
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut entry) = next.and_then(Arc::into_inner) {
            next = entry.parent.take();
        }
    }
}

impl Entry {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.node.kind() == NodeKind::Directory
    }

    /// Whether it is the same node, by whatever name.
    pub fn is_same_node(&self, other: &Entry) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && self.node.number() == other.node.number()
    }

    /// Whether it is `directory`, or somewhere below it.
    pub fn is_in(&self, directory: &Entry) -> bool {
        let mut here = Some(self);
        while let Some(entry) = here {
            if entry.is_same_node(directory) {
                return true;
            }
            here = entry.parent.as_deref();
        }
        false
    }

    /// The same place, with another node there.
    pub(super) fn in_place(&self, node: NodeRef) -> Arc<Self> {
        Arc::new(Self {
            mount: self.mount.clone(),
            node,
            parent: self.parent.clone(),
            name: self.name.clone(),
        })
    }

    /// The path that leads here from the root.
    pub fn path(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut here = self;
        while let Some(parent) = &here.parent {
            names.push(&*here.name);
            here = parent;
        }
        if names.is_empty() {
            return Vec::from(b"/");
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        path
    }

    /// The directory and the name in it, where both are of the same file system.
    pub(super) fn place(&self) -> Option<(&Arc<Self>, &[u8])> {
        let parent = self.parent.as_ref()?;
        Arc::ptr_eq(&parent.mount, &self.mount).then_some((parent, &*self.name))
    }

    /// The directory above; the root is above itself.
    pub fn parent_or_self(self: &Arc<Self>) -> &Arc<Self> {
        self.parent.as_ref().unwrap_or(self)
    }
}

/// What to do if the last name of a path is a symbolic link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastLink {
    /// Follow it.
    Follow,
    /// Follow it if a slash comes after it.
    FollowBeforeSlash,
    /// Never follow it.
    Keep,
}

/// What a way may not do (Linux: openat2(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// It stays in the directory where it begins: what would lead out of that fails with `EXDEV`.
    pub is_beneath: bool,
    /// The directory where it begins is its root.
    pub is_in_root: bool,
    /// It stays on one mounted file system, else `EXDEV`.
    pub has_one_mount: bool,
    /// It follows no symbolic link, else `ELOOP`.
    pub has_no_links: bool,
}

impl Bounds {
    /// Any way will do.
    pub const NONE: Self = Self {
        is_beneath: false,
        is_in_root: false,
        has_one_mount: false,
        has_no_links: false,
    };
}

/// The last part of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Last<'p> {
    /// A name.
    Name(Cow<'p, [u8]>),
    /// There is none: the path is the root.
    Root,
    /// `.`
    Dot,
    /// `..`
    DotDot,
}

/// Where a path leads.
pub struct Found<'p> {
    /// The directory that holds the last name.
    pub directory: Arc<Entry>,
    /// The last name.
    pub last: Last<'p>,
    /// What is there, if anything is.
    pub entry: Option<Arc<Entry>>,
    /// Whether the path ends with a slash, and so means a directory.
    pub has_trailing_slash: bool,
}

/// The tree of all mounted file systems.
pub struct Namespace {
    /// The root comes first.
    mounts: SpinLock<Vec<Arc<Mount>>>,
    root: Arc<Entry>,
    kept: SpinLock<Kept>,
}

/// The entries that are kept.
#[derive(Default)]
struct Kept {
    /// Each at the place that its directory and name choose; empty until one is kept.
    entries: Vec<Option<Arc<Entry>>>,
    /// Counts what was forgotten: what was looked up before that may be wrong.
    changes: u64,
}

/// A device number for another mounted file system: no other tree has it either, since a number of device and one of node say which file it
/// is.
fn next_device() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Where an entry is kept (FNV-1a, begun with the directory's number).
fn place_of(directory: &Entry, name: &[u8]) -> usize {
    let start = directory.node.number() as u32 ^ 0x811C_9DC5;
    let hash = name.iter().fold(start, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    (hash ^ hash >> 15) as usize & (KEPT_ENTRIES - 1)
}

impl Namespace {
    /// A tree with this root.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn new(root: Arc<dyn FileSystem>) -> Result<Self> {
        let mount = Arc::new(Mount {
            device: next_device(),
            root: root.root()?,
            file_system: root,
            at: None,
        });
        let root = Entry {
            node: mount.root.clone(),
            mount: mount.clone(),
            parent: None,
            name: Box::default(),
        };
        Ok(Self {
            mounts: SpinLock::new(Vec::from([mount])),
            root: Arc::new(root),
            kept: SpinLock::new(Kept::default()),
        })
    }

    /// Mounts a file system by the name `name` in `directory`; what has this name there is hidden.
    ///
    /// # Errors
    /// When its root cannot be read.
    pub fn mount(
        &self,
        directory: &Arc<Entry>,
        name: &[u8],
        file_system: Arc<dyn FileSystem>,
    ) -> Result<()> {
        let mount = Arc::new(Mount {
            device: next_device(),
            root: file_system.root()?,
            file_system,
            at: Some((directory.clone(), Box::from(name))),
        });
        self.mounts.lock().push(mount);
        // What was looked up before may be hidden now.
        self.forget_all();
        Ok(())
    }

    /// Takes away what is mounted at an absolute path: everything is on the medium then, and nothing of it can be used any more.
    ///
    /// # Errors
    /// `EINVAL` when nothing is mounted there (at the root there is always something); `EBUSY` while something in it is open, is the current
    /// directory, or has something else mounted in it; `EIO` when the medium fails, whereupon it is gone all the same.
    pub fn unmount(&self, path: &[u8]) -> Result<()> {
        let mount = self
            .resolve(&self.root, path, LastLink::Follow)?
            .mount
            .clone();
        if mount.at.is_none() || mount.path() != path {
            return Err(Errno(libc::EINVAL));
        }
        super::content::write_back_all()?;
        mount.file_system.sync()?;
        let is_it = |other: &Arc<Mount>| Arc::ptr_eq(other, &mount);
        let place = {
            let mut mounts = self.mounts.lock();
            let place = mounts.iter().position(is_it).ok_or(Errno(libc::EINVAL))?;
            mounts.remove(place);
            place
        };
        self.forget_all();
        // Whatever is open in it, or mounted in it, leads to it. Nobody can find the way in any more.
        if Arc::strong_count(&mount) > 1 {
            let mut mounts = self.mounts.lock();
            let place = place.min(mounts.len());
            mounts.insert(place, mount);
            drop(mounts);
            self.forget_all();
            return Err(Errno(libc::EBUSY));
        }
        super::watch::unmounted(&mount);
        mount.file_system.unmount()
    }

    /// The root directory.
    pub fn root(&self) -> &Arc<Entry> {
        &self.root
    }

    /// All mounted file systems; the root comes first.
    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        self.mounts.lock().clone()
    }

    /// Looks a name up in a directory.
    ///
    /// # Errors
    /// As [`super::node::Node::lookup`], except that nothing there is no error.
    pub fn child(&self, directory: &Arc<Entry>, name: &[u8]) -> Result<Option<Arc<Entry>>> {
        let place = place_of(directory, name);
        let changes = {
            let kept = self.kept.lock();
            if let Some(Some(entry)) = kept.entries.get(place)
                && *entry.name == *name
                && entry
                    .parent
                    .as_ref()
                    .is_some_and(|parent| Arc::ptr_eq(parent, directory))
            {
                return Ok(Some(entry.clone()));
            }
            kept.changes
        };
        let found = self.look_up(directory, name)?;
        if let Some(entry) = &found {
            let mut kept = self.kept.lock();
            if kept.changes == changes {
                if kept.entries.is_empty() {
                    kept.entries.resize_with(KEPT_ENTRIES, || None);
                }
                let old = kept.entries[place].replace(entry.clone());
                // What was there is dropped outside the lock.
                drop(kept);
                drop(old);
            }
        }
        Ok(found)
    }

    /// What a name leads to changes, or just did: what is kept of it is wrong.
    pub fn forget(&self, directory: &Entry, name: &[u8]) {
        if directory.mount.file_system.has_one_case() {
            // It may be kept by another spelling.
            return self.forget_all();
        }
        let place = place_of(directory, name);
        let mut kept = self.kept.lock();
        kept.changes += 1;
        let is_it = |entry: &mut Arc<Entry>| {
            let parent = entry.parent.as_ref();
            *entry.name == *name && parent.is_some_and(|parent| parent.is_same_node(directory))
        };
        let slot = kept.entries.get_mut(place);
        let old = slot.and_then(|slot| slot.take_if(is_it));
        drop(kept);
        drop(old);
    }

    /// The ways to many places change: a directory moves, or something is mounted.
    pub fn forget_all(&self) {
        let mut kept = self.kept.lock();
        kept.changes += 1;
        let old = core::mem::take(&mut kept.entries);
        drop(kept);
        drop(old);
    }

    fn look_up(&self, directory: &Arc<Entry>, name: &[u8]) -> Result<Option<Arc<Entry>>> {
        let (mount, node) = match self.mounted_at(directory, name) {
            Some(mount) => (mount.clone(), mount.root.clone()),
            None => match directory.node.lookup(name) {
                Ok(node) => (directory.mount.clone(), node),
                Err(Errno(libc::ENOENT)) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        Ok(Some(Arc::new(Entry {
            mount,
            node,
            parent: Some(directory.clone()),
            name: Box::from(name),
        })))
    }

    /// A node that was just created in a directory, as a place.
    pub fn created(directory: &Arc<Entry>, name: &[u8], node: NodeRef) -> Arc<Entry> {
        Arc::new(Entry {
            mount: directory.mount.clone(),
            node,
            parent: Some(directory.clone()),
            name: Box::from(name),
        })
    }

    fn mounted_at(&self, directory: &Arc<Entry>, name: &[u8]) -> Option<Arc<Mount>> {
        let mounts = self.mounts.lock();
        // The last one mounted there is seen.
        let mount = mounts.iter().skip(1).rev().find(|mount| {
            mount
                .at
                .as_ref()
                .is_some_and(|(at, at_name)| **at_name == *name && at.is_same_node(directory))
        });
        mount.cloned()
    }

    /// Goes along a path, from `base` if it does not begin with a slash.
    ///
    /// # Errors
    /// `ENOENT` for an empty path or a missing directory on the way, `ENOTDIR`, `ELOOP`, `ENAMETOOLONG`, `EIO`.
    #[inline]
    pub fn find<'p>(
        &self,
        base: &Arc<Entry>,
        path: &'p [u8],
        last_link: LastLink,
    ) -> Result<Found<'p>> {
        self.find_within(base, path, last_link, Bounds::NONE)
    }

    /// Where a path that begins with a slash begins.
    fn root_within<'a>(&'a self, base: &'a Arc<Entry>, bounds: Bounds) -> Result<&'a Arc<Entry>> {
        match bounds {
            Bounds {
                is_beneath: true, ..
            } => Err(Errno(libc::EXDEV)),
            Bounds {
                is_in_root: true, ..
            } => Ok(base),
            _ => Ok(&self.root),
        }
    }

    /// The same within bounds.
    ///
    /// # Errors
    /// As [`Namespace::find`], and for a way out of bounds as [`Bounds`] says.
    pub fn find_within<'p>(
        &self,
        base: &Arc<Entry>,
        path: &'p [u8],
        last_link: LastLink,
        bounds: Bounds,
    ) -> Result<Found<'p>> {
        if path.is_empty() {
            return Err(Errno(libc::ENOENT));
        }
        if path.len() >= PATH_MAX {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        let mut links_left = MAX_LINKS;
        // The way, of which `position` bytes are gone. A symbolic link puts something in the place of what is left.
        let mut way = Cow::Borrowed(path);
        let mut position = 0;
        let mut here = if path.starts_with(b"/") {
            self.root_within(base, bounds)?
        } else {
            base
        }
        .clone();
        let check_mount = |next: &Entry| match bounds.has_one_mount {
            true if !Arc::ptr_eq(&next.mount, &base.mount) => Err(Errno(libc::EXDEV)),
            _ => Ok(()),
        };
        check_mount(&here)?;
        loop {
            let rest = &way[position..];
            let start = rest.iter().take_while(|byte| **byte == b'/').count();
            let end = start
                + rest[start..]
                    .iter()
                    .take_while(|byte| **byte != b'/')
                    .count();
            let (name, after) = (&rest[start..end], &rest[end..]);
            let is_last = after.iter().all(|byte| *byte == b'/');
            let has_trailing_slash = is_last && !after.is_empty();
            if !name.is_empty() && !here.is_directory() {
                return Err(Errno(libc::ENOTDIR));
            }
            let is_at_end = (bounds.is_beneath || bounds.is_in_root) && here.is_same_node(base);
            let special = match name {
                b"" => Some((Last::Root, &here)),
                b"." => Some((Last::Dot, &here)),
                b".." if is_at_end && bounds.is_beneath => return Err(Errno(libc::EXDEV)),
                b".." if is_at_end => Some((Last::DotDot, &here)),
                b".." => Some((Last::DotDot, here.parent_or_self())),
                _ => None,
            };
            if let Some((last, next)) = special {
                let next = next.clone();
                check_mount(&next)?;
                if is_last {
                    let entry = Some(next);
                    return Ok(Found {
                        directory: here,
                        last,
                        entry,
                        has_trailing_slash,
                    });
                }
                here = next;
                position += end;
                continue;
            }
            if name.len() > NAME_MAX {
                return Err(Errno(libc::ENAMETOOLONG));
            }
            let child = self.child(&here, name)?;
            child.as_deref().map_or(Ok(()), check_mount)?;
            let is_link = child
                .as_ref()
                .is_some_and(|e| e.node.kind() == NodeKind::Symlink);
            let is_followed = match last_link {
                _ if !is_last => true,
                LastLink::Follow => true,
                LastLink::FollowBeforeSlash => has_trailing_slash,
                LastLink::Keep => false,
            };
            match child {
                Some(link) if is_link && is_followed => {
                    if bounds.has_no_links {
                        return Err(Errno(libc::ELOOP));
                    }
                    links_left = links_left.checked_sub(1).ok_or(Errno(libc::ELOOP))?;
                    let mut target = link.node.read_link()?;
                    if target.is_empty() {
                        return Err(Errno(libc::ENOENT));
                    }
                    if target.starts_with(b"/") {
                        here = self.root_within(base, bounds)?.clone();
                        check_mount(&here)?;
                    }
                    target.extend_from_slice(after);
                    way = Cow::Owned(target);
                    position = 0;
                }
                entry if is_last => {
                    let name = position + start..position + end;
                    let name = match way {
                        Cow::Borrowed(way) => Cow::Borrowed(&way[name]),
                        Cow::Owned(way) => Cow::Owned(way[name].to_vec()),
                    };
                    let last = Last::Name(name);
                    return Ok(Found {
                        directory: here,
                        last,
                        entry,
                        has_trailing_slash,
                    });
                }
                Some(next) => {
                    here = next;
                    position += end;
                }
                None => return Err(Errno(libc::ENOENT)),
            }
        }
    }

    /// What a path leads to.
    ///
    /// # Errors
    /// As [`Namespace::find`], and `ENOENT` when nothing is there.
    pub fn resolve(
        &self,
        base: &Arc<Entry>,
        path: &[u8],
        last_link: LastLink,
    ) -> Result<Arc<Entry>> {
        let found = self.find(base, path, last_link)?;
        let entry = found.entry.ok_or(Errno(libc::ENOENT))?;
        if found.has_trailing_slash && !entry.is_directory() {
            return Err(Errno(libc::ENOTDIR));
        }
        Ok(entry)
    }
}
