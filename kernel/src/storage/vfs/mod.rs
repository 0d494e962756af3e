//! The virtual file system: one tree of names over all file systems.
//!
//! [`node`] is what a file system gives, [`namespace`] the tree and the way along a path, [`operations`] what is done with
//! names, [`file`] an open file, [`content`] the way to what is in it, with [`mapped`] for files in memory, [`watch`] who is told of what happens. The file systems: [`tmpfs`], [`devfs`], [`made`] (what `/proc` is), and [`ext2`] and [`fat`] for disks.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::error::{Errno, Result};
use crate::sync::{OnceCell, SpinLock};
use namespace::{Entry, LastLink, Namespace};
use node::FileSystem;

pub mod bare;
pub mod content;
pub mod devfs;
pub mod embedded;
pub mod ext2;
#[cfg(test)]
mod ext2_tests;
pub mod fat;
mod fat_device;
#[cfg(test)]
mod fat_tests;
pub mod file;
pub mod lock;
pub mod made;
pub mod mapped;
#[cfg(test)]
mod mapped_tests;
pub mod namespace;
pub mod node;
pub mod open_how;
pub mod operations;
pub mod ranges;
#[cfg(test)]
mod test_tree;
#[cfg(test)]
mod tests;
pub mod tmpfs;
pub mod watch;

static NAMES: OnceCell<Namespace> = OnceCell::new();
/// Makes the tree at its first use.
type Make = fn() -> Result<Namespace>;
static MAKE: OnceCell<Make> = OnceCell::new();
/// Another directory than the root.
static CURRENT: SpinLock<Option<Arc<Entry>>> = SpinLock::new(None);

/// Makes this the tree that programs see; from now on it stays as it is.
pub(super) fn install(names: Namespace) {
    let _ = NAMES.set(names);
}

/// Has the tree that programs see made by `make` when it is first used, unless there is one by then.
pub(super) fn install_later(make: Make) {
    let _ = MAKE.set(make);
}

/// The tree that programs see.
///
/// # Errors
/// `ENOENT` before storage was started.
pub fn names() -> Result<&'static Namespace> {
    if let Some(names) = NAMES.get() {
        return Ok(names);
    }
    let made = MAKE.get().ok_or(Errno(libc::ENOENT))?()?;
    // Another core may have been quicker.
    let _ = NAMES.set(made);
    NAMES.get().ok_or(Errno(libc::ENOENT))
}

/// The current directory: the root, until [`set_current`].
///
/// # Errors
/// `ENOENT` before storage was started.
pub fn current() -> Result<Arc<Entry>> {
    let current = CURRENT.lock().clone();
    match current {
        Some(entry) => Ok(entry),
        None => Ok(names()?.root().clone()),
    }
}

/// Changes the current directory, for all threads.
///
/// # Errors
/// `ENOTDIR` when it is none.
pub fn set_current(entry: Arc<Entry>) -> Result<()> {
    if !entry.is_directory() {
        return Err(Errno(libc::ENOTDIR));
    }
    let old = CURRENT.lock().replace(entry);
    drop(old);
    Ok(())
}

/// The path of the current directory.
///
/// # Errors
/// `ENOENT` when it was removed, or before storage was started; `EIO` when the disk fails.
pub fn current_path() -> Result<Vec<u8>> {
    path_of(&*current()?)
}

/// The path of a directory that may have been removed since it was found.
fn path_of(directory: &Entry) -> Result<Vec<u8>> {
    match directory.node.metadata()?.links {
        0 => Err(Errno(libc::ENOENT)),
        _ => Ok(directory.path()),
    }
}

/// What a path leads to, from the current directory if it is relative.
///
/// # Errors
/// As [`Namespace::resolve`].
pub fn resolve(path: &[u8], last_link: LastLink) -> Result<Arc<Entry>> {
    names()?.resolve(&current()?, path, last_link)
}

/// Returns when everything is on the media of all file systems.
///
/// # Errors
/// The first error; the other file systems are synced all the same.
pub fn sync_all() -> Result<()> {
    let mapped = content::write_back_all();
    mapped.and(for_all(|file_system| file_system.sync()))
}

/// Ends the use of all file systems, before the machine ends.
///
/// # Errors
/// The first error; the other file systems are unmounted all the same.
pub fn unmount_all() -> Result<()> {
    let mapped = content::write_back_all();
    mapped.and(for_all(|file_system| file_system.unmount()))
}

/// Makes durable what was written lately to the disks of a core; whether to call it again in a few seconds.
pub(super) fn write_behind(core: usize) -> bool {
    let mounts = names().map(Namespace::mounts).unwrap_or_default();
    // All of them, whatever the first ones say.
    mounts
        .iter()
        .map(|mount| &mount.file_system)
        .filter(|file_system| file_system.core() == Some(core) && file_system.write_behind())
        .count()
        > 0
}

fn for_all(work: impl Fn(&dyn FileSystem) -> Result<()>) -> Result<()> {
    let mut result = Ok(());
    // What was never used is not made for this.
    for mount in NAMES.get().map(Namespace::mounts).unwrap_or_default() {
        result = result.and(work(&*mount.file_system));
    }
    result
}
