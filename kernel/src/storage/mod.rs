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

use crate::command_line::VirtioMmioDevice;
pub use mount::{MountError, MountRequest};
use vfs::bare::Bare;
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
    let (memory_bytes, _) = crate::memory::frames::usage();
    let disks = if requests.is_empty() {
        Vec::new()
    } else {
        let cache_bytes = (memory_bytes / CACHE_SHARE).clamp(CACHE_MIN_BYTES, CACHE_MAX_BYTES);
        disks::data_disks(crate::devices::block::discover(virtio_mmio), cache_bytes)
    };
    let scratch_bytes = memory_bytes as u64 / SCRATCH_SHARE;
    let make_scratch = || -> Arc<dyn FileSystem> {
        let scratch = Tmpfs::new(scratch_bytes);
        // Where programs put what they need for a while. It is not made on a disk that has none.
        let folder = scratch
            .root()
            .and_then(|root| root.create(b"tmp", NewNode::Directory, 0o1777));
        if let Err(error) = folder {
            log::warn!("cannot make /tmp: {error:?}");
        }
        Arc::new(scratch)
    };
    let devices = Arc::new(Devfs::new(crate::arch::entropy::fill));
    vfs::install(mount::mount_all(requests, &disks, make_scratch, devices)?);
    Ok(())
}

/// Makes the tree of a program that opens no files: `/dev` and nothing else.
///
/// # Errors
/// When there is no memory.
pub fn start_bare() -> Result<(), MountError> {
    let devices = Arc::new(Devfs::new(crate::arch::entropy::fill));
    vfs::install(mount::bare_tree(Arc::new(Bare), devices)?);
    Ok(())
}
