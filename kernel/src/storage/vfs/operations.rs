//! What programs do with names: open, create, link, rename, remove. Each does what the Linux system call of that name does, and fails
//! with the error that it fails with; `base` is where a relative path begins.

use alloc::sync::Arc;

use super::content;
use super::file::{Access, OpenFile};
use super::namespace::{Bounds, Entry, Found, Last, LastLink, Namespace, PATH_MAX};
use super::node::{NewNode, Node, NodeKind};
use super::watch;
use crate::error::{Errno, Result};

type Base<'a> = &'a Arc<Entry>;

/// `open`, with the flags of Linux.
///
/// # Errors
/// As open(2).
pub fn open(
    names: &Namespace,
    base: Base<'_>,
    path: &[u8],
    flags: i32,
    permissions: u32,
) -> Result<OpenFile> {
    open_within(names, base, path, flags, permissions, Bounds::NONE)
}

/// `openat2`: the way stays within bounds.
///
/// # Errors
/// As openat2(2).
pub fn open_within(
    names: &Namespace,
    base: Base<'_>,
    path: &[u8],
    flags: i32,
    permissions: u32,
    bounds: Bounds,
) -> Result<OpenFile> {
    let has = |flag: i32| flags & flag == flag;
    let is_path_only = has(libc::O_PATH);
    let is_creating = has(libc::O_CREAT) && !is_path_only;
    let is_exclusive = is_creating && has(libc::O_EXCL);
    if has(libc::O_TMPFILE) && !is_path_only {
        return Err(Errno(libc::EOPNOTSUPP));
    }
    if is_creating && has(libc::O_DIRECTORY) {
        return Err(Errno(libc::EINVAL));
    }
    let mode = flags & libc::O_ACCMODE;
    let access = Access {
        can_read: mode != libc::O_WRONLY && !is_path_only,
        can_write: mode != libc::O_RDONLY && !is_path_only,
    };
    let last_link = match () {
        () if is_exclusive => LastLink::Keep,
        () if has(libc::O_NOFOLLOW) => LastLink::FollowBeforeSlash,
        () => LastLink::Follow,
    };
    let found = names.find_within(base, path, last_link, bounds)?;
    if is_creating && found.has_trailing_slash {
        return Err(Errno(libc::EISDIR));
    }
    let is_append = has(libc::O_APPEND);
    let Some(entry) = found.entry else {
        if !is_creating {
            return Err(Errno(libc::ENOENT));
        }
        let entry = create(&found, NewNode::File, permissions)?;
        watch::at(&entry, libc::IN_OPEN);
        return Ok(OpenFile::new(entry, access, is_append));
    };
    let kind = entry.node.kind();
    if is_exclusive {
        return Err(Errno(libc::EEXIST));
    }
    if kind != NodeKind::Directory && (found.has_trailing_slash || has(libc::O_DIRECTORY)) {
        return Err(Errno(libc::ENOTDIR));
    }
    if is_path_only {
        return Ok(OpenFile::new(entry, access, false));
    }
    match kind {
        NodeKind::Symlink => return Err(Errno(libc::ELOOP)),
        NodeKind::Directory if access.can_write || is_creating || has(libc::O_TRUNC) => {
            return Err(Errno(libc::EISDIR));
        }
        NodeKind::Fifo | NodeKind::Socket | NodeKind::BlockDevice => {
            return Err(Errno(libc::ENXIO));
        }
        NodeKind::File => {
            if (access.can_write || has(libc::O_TRUNC)) && entry.mount.is_read_only() {
                return Err(Errno(libc::EROFS));
            }
            if has(libc::O_TRUNC) {
                content::set_len(&entry.node, 0)?;
            }
            if let Some(made) = entry.node.opened()? {
                watch::at(&entry, libc::IN_OPEN);
                return Ok(OpenFile::new(entry.in_place(made), access, is_append));
            }
        }
        NodeKind::Directory | NodeKind::CharacterDevice => {}
    }
    watch::at(&entry, libc::IN_OPEN);
    if kind == NodeKind::File && has(libc::O_TRUNC) {
        watch::at(&entry, libc::IN_MODIFY);
    }
    Ok(OpenFile::new(entry, access, is_append))
}

/// `mkdir`.
///
/// # Errors
/// As mkdir(2).
pub fn make_directory(
    names: &Namespace,
    base: Base<'_>,
    path: &[u8],
    permissions: u32,
) -> Result<()> {
    let found = names.find(base, path, LastLink::Keep)?;
    if found.entry.is_some() {
        return Err(Errno(libc::EEXIST));
    }
    create(&found, NewNode::Directory, permissions).map(|_| ())
}

/// `symlink`: `path` becomes a link to `target`.
///
/// # Errors
/// As symlink(2).
pub fn make_symlink(names: &Namespace, target: &[u8], base: Base<'_>, path: &[u8]) -> Result<()> {
    if target.is_empty() {
        return Err(Errno(libc::ENOENT));
    }
    if target.len() >= PATH_MAX {
        return Err(Errno(libc::ENAMETOOLONG));
    }
    let found = find_new(names, base, path)?;
    create(&found, NewNode::Symlink(target), 0o777).map(|_| ())
}

/// `bind` of a socket, or `mkfifo`: `path` becomes the name of something that has no content.
///
/// # Errors
/// As mkfifo(3), and as bind(2) for sockets with paths.
pub fn make_name(
    names: &Namespace,
    base: Base<'_>,
    path: &[u8],
    new: NewNode<'_>,
    permissions: u32,
) -> Result<Arc<Entry>> {
    let found = find_new(names, base, path)?;
    create(&found, new, permissions)
}

/// `link`: what is at `entry` gets another name.
///
/// # Errors
/// As link(2).
pub fn make_link(names: &Namespace, entry: &Entry, base: Base<'_>, path: &[u8]) -> Result<()> {
    let found = find_new(names, base, path)?;
    if !Arc::ptr_eq(&found.directory.mount, &entry.mount) {
        return Err(Errno(libc::EXDEV));
    }
    if entry.is_directory() {
        return Err(Errno(libc::EPERM));
    }
    check_writable(&found.directory)?;
    let name = name_of(&found)?;
    found.directory.node.link(name, &entry.node)?;
    watch::created(&found.directory, name, &entry.node, true);
    Ok(())
}

/// `unlink`.
///
/// # Errors
/// As unlink(2).
pub fn unlink(names: &Namespace, base: Base<'_>, path: &[u8]) -> Result<()> {
    let found = names.find(base, path, LastLink::Keep)?;
    let Last::Name(name) = &found.last else {
        return Err(Errno(libc::EISDIR));
    };
    let entry = found.entry.as_ref().ok_or(Errno(libc::ENOENT))?;
    if found.has_trailing_slash && !entry.is_directory() {
        return Err(Errno(libc::ENOTDIR));
    }
    if entry.is_directory() {
        return Err(Errno(libc::EISDIR));
    }
    check_writable(&found.directory)?;
    remove(names, &found.directory, name, found.entry, |directory| {
        directory.unlink(name)
    })
}

/// `rmdir`.
///
/// # Errors
/// As rmdir(2).
pub fn remove_directory(names: &Namespace, base: Base<'_>, path: &[u8]) -> Result<()> {
    let found = names.find(base, path, LastLink::Keep)?;
    let name = match &found.last {
        Last::Name(name) => name,
        Last::Root => return Err(Errno(libc::EBUSY)),
        Last::Dot => return Err(Errno(libc::EINVAL)),
        Last::DotDot => return Err(Errno(libc::ENOTEMPTY)),
    };
    let entry = found.entry.as_ref().ok_or(Errno(libc::ENOENT))?;
    if !entry.is_directory() {
        return Err(Errno(libc::ENOTDIR));
    }
    check_not_mounted(&found, entry)?;
    check_writable(&found.directory)?;
    remove(names, &found.directory, name, found.entry, |directory| {
        directory.remove_dir(name)
    })
}

/// Removes a name from a directory. What is there is let go first, so that the file system does not take it for in use.
fn remove(
    names: &Namespace,
    directory: &Entry,
    name: &[u8],
    entry: Option<Arc<Entry>>,
    work: impl FnOnce(&dyn Node) -> Result<()>,
) -> Result<()> {
    names.forget(directory, name);
    let watched = entry.as_deref().and_then(watch::losing);
    drop(entry);
    let result = work(&*directory.node);
    names.forget(directory, name);
    if result.is_ok() {
        watch::removed(directory, name, watched);
    }
    result
}

/// `rename`; where nothing may be replaced it is `renameat2` with `RENAME_NOREPLACE`.
///
/// # Errors
/// As rename(2).
pub fn rename(
    names: &Namespace,
    (from_base, from_path): (Base<'_>, &[u8]),
    (to_base, to_path): (Base<'_>, &[u8]),
    may_replace: bool,
) -> Result<()> {
    let from = names.find(from_base, from_path, LastLink::Keep)?;
    let to = names.find(to_base, to_path, LastLink::Keep)?;
    if !Arc::ptr_eq(&from.directory.mount, &to.directory.mount) {
        return Err(Errno(libc::EXDEV));
    }
    let (Last::Name(from_name), Last::Name(to_name)) = (&from.last, &to.last) else {
        return Err(Errno(libc::EBUSY));
    };
    let entry = from.entry.as_ref().ok_or(Errno(libc::ENOENT))?;
    check_not_mounted(&from, entry)?;
    if !entry.is_directory() && (from.has_trailing_slash || to.has_trailing_slash) {
        return Err(Errno(libc::ENOTDIR));
    }
    if let Some(replaced) = &to.entry {
        if !may_replace {
            return Err(Errno(libc::EEXIST));
        }
        check_not_mounted(&to, replaced)?;
        if from.directory.is_in(replaced) {
            return Err(Errno(libc::ENOTEMPTY));
        }
    }
    check_writable(&from.directory)?;
    let is_directory = entry.is_directory();
    let forget = || {
        if is_directory {
            // The entries in it lead back by its old name.
            names.forget_all();
        } else {
            names.forget(&from.directory, from_name);
            names.forget(&to.directory, to_name);
        }
    };
    forget();
    let is_same = to.entry.as_ref().is_some_and(|to| to.is_same_node(entry));
    let replaced = to.entry.as_deref().and_then(watch::losing);
    drop(to.entry);
    let result = from
        .directory
        .node
        .rename(from_name, &to.directory.node, to_name, may_replace);
    forget();
    result?;
    // Two names of the same file both stay.
    if !is_same {
        let (from, to) = (
            (&*from.directory, &**from_name),
            (&*to.directory, &**to_name),
        );
        watch::renamed(&entry.node, from, to, replaced);
    }
    Ok(())
}

/// `renameat2` with `RENAME_EXCHANGE`.
///
/// # Errors
/// As rename(2).
pub fn exchange(
    names: &Namespace,
    (from_base, from_path): (Base<'_>, &[u8]),
    (to_base, to_path): (Base<'_>, &[u8]),
) -> Result<()> {
    let from = names.find(from_base, from_path, LastLink::Keep)?;
    let to = names.find(to_base, to_path, LastLink::Keep)?;
    if !Arc::ptr_eq(&from.directory.mount, &to.directory.mount) {
        return Err(Errno(libc::EXDEV));
    }
    let (Last::Name(from_name), Last::Name(to_name)) = (&from.last, &to.last) else {
        return Err(Errno(libc::EBUSY));
    };
    let entry = from.entry.as_ref().ok_or(Errno(libc::ENOENT))?;
    let other = to.entry.as_ref().ok_or(Errno(libc::ENOENT))?;
    for (found, entry) in [(&from, entry), (&to, other)] {
        if found.has_trailing_slash && !entry.is_directory() {
            return Err(Errno(libc::ENOTDIR));
        }
        check_not_mounted(found, entry)?;
    }
    if entry.is_same_node(other) {
        return Ok(());
    }
    check_writable(&from.directory)?;
    // The entries in a directory lead back by its old name.
    names.forget_all();
    let result = from
        .directory
        .node
        .exchange(from_name, &to.directory.node, to_name);
    names.forget_all();
    result?;
    let (from, to) = (
        (&*from.directory, &**from_name),
        (&*to.directory, &**to_name),
    );
    watch::renamed(&entry.node, from, to, None);
    watch::renamed(&other.node, to, from, None);
    Ok(())
}

/// Goes along a path whose last name must be free.
fn find_new<'p>(names: &Namespace, base: Base<'_>, path: &'p [u8]) -> Result<Found<'p>> {
    let found = names.find(base, path, LastLink::Keep)?;
    if found.entry.is_some() {
        return Err(Errno(libc::EEXIST));
    }
    if found.has_trailing_slash {
        return Err(Errno(libc::ENOENT));
    }
    Ok(found)
}

fn create(found: &Found<'_>, new: NewNode<'_>, permissions: u32) -> Result<Arc<Entry>> {
    check_writable(&found.directory)?;
    let name = name_of(found)?;
    let node = found
        .directory
        .node
        .create(name, new, permissions & 0o7777)?;
    watch::created(&found.directory, name, &node, false);
    Ok(Namespace::created(&found.directory, name, node))
}

/// The last name, of a path that leads to nothing: which always ends with one.
fn name_of<'a>(found: &'a Found<'_>) -> Result<&'a [u8]> {
    match &found.last {
        Last::Name(name) => Ok(name),
        _ => Err(Errno(libc::EEXIST)),
    }
}

/// A read-only file system cannot be changed.
pub fn check_writable(entry: &Entry) -> Result<()> {
    if entry.mount.is_read_only() {
        Err(Errno(libc::EROFS))
    } else {
        Ok(())
    }
}

/// What another file system is mounted on can be neither removed nor moved.
fn check_not_mounted(found: &Found<'_>, entry: &Entry) -> Result<()> {
    if Arc::ptr_eq(&entry.mount, &found.directory.mount) {
        Ok(())
    } else {
        Err(Errno(libc::EBUSY))
    }
}
