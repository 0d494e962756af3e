//! Disks, partitions, file systems.
//!
//! From the bottom up: drivers ([`crate::devices::block`]), [`block_cache`], [`partition`], [`disks`], the file systems and
//! the tree of names in [`vfs`]. [`start`] puts them together as the command line says ([`mount`]).

use alloc::sync::Arc;

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
pub use mount::{MountError, MountRequest};
use vfs::devfs::Devfs;
use vfs::node::{FileSystem, NewNode};
use vfs::tmpfs::Tmpfs;

/// Sizes, as parts of the memory that is free at the start: of each disk's cache, with its bounds, and of what the RAM file system may take.
const CACHE_SHARE: usize = 16;
const CACHE_MIN_BYTES: usize = 128 << 10;
const CACHE_MAX_BYTES: usize = 64 << 20;
const SCRATCH_SHARE: u64 = 2;

/// Finds the disks, if any are asked for (those at `virtio_mmio` the loader told of), mounts what is asked for, and makes the tree that programs see. Without a request for the root, it
/// is a RAM file system. Called once, before the program starts.
///
/// # Errors
/// The first request that cannot be fulfilled, in words for the developer.
pub fn start(
    requests: &[MountRequest],
    virtio_mmio: &[VirtioMmioDevice],
) -> Result<(), MountError> {
    let volumes = match requests.is_empty() {
        true => None,
        false => volumes::volumes(virtio_mmio).ok(),
    };
    let disks = volumes.map_or(&[][..], volumes::Volumes::disks);
    vfs::install(mount::mount_all(requests, disks, scratch, devices())?);
    if let Some(volumes) = volumes {
        volumes.note_mounted(requests);
    }
    Ok(())
}

/// How large the cache of each disk is.
fn cache_bytes() -> usize {
    let (memory_bytes, _) = crate::memory::frames::usage();
    (memory_bytes / CACHE_SHARE).clamp(CACHE_MIN_BYTES, CACHE_MAX_BYTES)
}

/// Makes the tree that programs see of memory alone; in the place of [`start`].
///
/// # Errors
/// When there is no memory.
pub fn start_without_disks() -> Result<(), MountError> {
    vfs::install(mount::plain(scratch(), devices())?);
    Ok(())
}

fn devices() -> Arc<dyn FileSystem> {
    Arc::new(Devfs::new(crate::arch::entropy::fill))
}

/// A RAM file system for the root.
fn scratch() -> Arc<dyn FileSystem> {
    let (memory_bytes, _) = crate::memory::frames::usage();
    let scratch = Tmpfs::new(memory_bytes as u64 / SCRATCH_SHARE);
    // Where programs put what they need for a while. It is not made on a disk that has none.
    let folder = scratch
        .root()
        .and_then(|root| root.create(b"tmp", NewNode::Directory, 0o1777));
    if let Err(error) = folder {
        log::warn!("cannot make /tmp: {error:?}");
    }
    Arc::new(scratch)
}
