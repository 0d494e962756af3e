//! Disks, partitions, file systems.
//!
//! From the bottom up: drivers ([`crate::devices::block`]), [`block_cache`], [`partition`], [`disks`], the file systems and
//! the tree of names in [`vfs`]. [`start`] puts them together as the command line says ([`mount`]).

use alloc::sync::Arc;
use alloc::vec::Vec;

pub mod block_cache;
pub mod disks;
pub mod mount;
#[cfg(test)]
mod mount_tests;
pub mod partition;
pub mod vfs;
pub mod volumes;
pub mod write_behind;

use crate::command_line::VirtioMmioDevice;
use crate::devices::block;
use crate::error::Errno;
pub use mount::{MountError, MountRequest};
use vfs::bare::Bare;
use vfs::devfs::Devfs;
use vfs::embedded::{Embedded, Object};
use vfs::namespace::{LastLink, Namespace};
use vfs::node::{FileSystem, NewNode, NodeRef};
use vfs::tmpfs::Tmpfs;

/// Sizes, as parts of the memory that is free at the start: of each disk's cache, with its bounds, and of what the RAM file system may take.
const CACHE_SHARE: usize = 16;
const CACHE_MIN_BYTES: usize = 128 << 10;
const CACHE_MAX_BYTES: usize = 64 << 20;
const SCRATCH_SHARE: u64 = 2;

/// Finds the disks, if any are asked for (those at `virtio_mmio` the loader told of), mounts what is asked for and the folders that are built into
/// the image, and makes the tree that programs see. With neither at the root, the root is a RAM file system. Called once, before the program starts.
///
/// # Errors
/// The first request that cannot be fulfilled, in words for the developer.
pub fn start(
    requests: Vec<MountRequest>,
    virtio_mmio: &[VirtioMmioDevice],
) -> Result<(), MountError> {
    vfs::content::set_mapper(&vfs::mapped::Files);
    vfs::ranges::install(&vfs::ranges::Locks);
    let volumes = match requests.is_empty() {
        true => None,
        false => volumes::volumes(virtio_mmio).ok(),
    };
    let disks = volumes.map_or(&[][..], volumes::Volumes::disks);
    let (memory_bytes, _) = crate::memory::frames::usage();
    let scratch_bytes = memory_bytes as u64 / SCRATCH_SHARE;
    let mut built_in = built_in()?;
    let make_root = || {
        let at_root = built_in.iter().position(|(path, _)| *path == "/");
        match at_root {
            Some(index) => built_in.swap_remove(index).1,
            None => scratch(scratch_bytes),
        }
    };
    let devices = Arc::new(Devfs::new(crate::arch::entropy::fill));
    let names = mount::mount_all(&requests, disks, make_root, devices)
        .inspect_err(|_| block::warn_of_unknown())?;
    for (path, file_system) in built_in {
        mount::mount_built_in(&names, path, file_system)?;
    }
    if let Err(error) = mount_scratch(&names, scratch_bytes) {
        log::warn!("/dev/shm, /run and /tmp are not all there: {error:?}");
    }
    vfs::install(names);
    if let Some(volumes) = volumes {
        volumes.note_mounted(requests);
    }
    Ok(())
}

/// A RAM file system for the root.
fn scratch(limit_bytes: u64) -> Arc<dyn FileSystem> {
    let scratch = Tmpfs::new(limit_bytes);
    if let Err(error) = scratch.root().and_then(|root| furnish(&root)) {
        log::warn!("cannot make the folders of the root: {error:?}");
    }
    Arc::new(scratch)
}

/// Makes the folders in which programs put locks, logs and what they need for a while, without making them first (Filesystem Hierarchy
/// Standard 3.0, chapters 3 and 5). They are not made on a disk that has none.
fn furnish(root: &NodeRef) -> Result<(), Errno> {
    root.create(b"run", NewNode::Directory, 0o755)?;
    root.create(b"tmp", NewNode::Directory, 0o1777)?;
    let var = root.create(b"var", NewNode::Directory, 0o755)?;
    for name in [&b"cache"[..], b"lib", b"log"] {
        var.create(name, NewNode::Directory, 0o755)?;
    }
    var.create(b"run", NewNode::Symlink(b"/run"), 0o777)?;
    var.create(b"tmp", NewNode::Directory, 0o1777)?;
    Ok(())
}

/// Mounts RAM file systems where programs take a folder for granted that what is mounted does not bring along: for what they need for a while
/// (Filesystem Hierarchy Standard 3.0, chapter 3), and for memory that they share by name (shm_overview(7)).
fn mount_scratch(names: &Namespace, limit_bytes: u64) -> Result<(), Errno> {
    for (folder, name) in [(&b"/dev"[..], &b"shm"[..]), (b"/", b"run"), (b"/", b"tmp")] {
        let folder = names.resolve(names.root(), folder, LastLink::Follow)?;
        if names.child(&folder, name)?.is_none() {
            names.mount(&folder, name, Arc::new(Tmpfs::new(limit_bytes)))?;
        }
    }
    Ok(())
}

/// A folder that is built into the image, with its path.
type BuiltIn = (&'static str, Arc<dyn FileSystem>);

fn built_in() -> Result<Vec<BuiltIn>, MountError> {
    let objects: Option<Vec<Object>> = crate::image::embedded_objects()
        .map(Object::parse)
        .collect();
    let objects: Arc<[Object]> = objects.unwrap_or_default().into();
    let mut folders = Vec::new();
    for path in crate::image::embedded_folders() {
        let folder = Embedded::new(objects.clone(), path.as_bytes());
        let folder = folder.ok_or_else(|| MountError::bad_image(path))?;
        let folder: Arc<dyn FileSystem> = Arc::new(folder);
        folders.push((path, folder));
    }
    Ok(folders)
}

/// How large the cache of each disk is.
fn cache_bytes() -> usize {
    let (memory_bytes, _) = crate::memory::frames::usage();
    (memory_bytes / CACHE_SHARE).clamp(CACHE_MIN_BYTES, CACHE_MAX_BYTES)
}

/// Has the tree of a program that opens no files be `/dev` and nothing else. It is made when it is asked for, if it ever is.
pub fn start_bare() {
    vfs::install_later(|| {
        let devices = Arc::new(Devfs::new(crate::arch::entropy::fill));
        mount::bare_tree(Arc::new(Bare), devices).map_err(|_| Errno(libc::EIO))
    });
}
