//! Disks and volumes (`api/src/sys/storage.rs`). Names and paths are UTF-8, with their length in bytes.

use alloc::format;
use alloc::string::ToString;
use core::ffi::c_int;

use crate::error::{Errno, Result};
use crate::start::virtio_mmio;
use crate::storage::MountRequest;
use crate::storage::volumes::{Volumes, volumes};

/// What there is to know of a disk.
#[repr(C)]
pub(super) struct DiskInfo {
    /// What the driver calls it, cut off where it is too long, with a zero at its end.
    model: [u8; 96],
    len_bytes: u64,
    sector_len_bytes: u32,
    core: u32,
    is_dedicated: bool,
    is_read_only: bool,
    /// Of the cache: its blocks that were read from memory and from the disk, those that were written, in how many commands.
    hits: u64,
    misses: u64,
    written: u64,
    write_commands: u64,
    /// And the memory that it has taken so far.
    cache_bytes: u64,
}

/// What there is to know of a volume, a disk or a partition.
#[repr(C)]
pub(super) struct VolumeInfo {
    /// Where it is mounted, with a zero at its end; empty if it is not.
    path: [u8; 256],
    len_bytes: u64,
    is_read_only: bool,
}

fn answer(result: Result<()>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(Errno(number)) => -number,
    }
}

fn all() -> Result<&'static Volumes> {
    volumes(virtio_mmio())
}

/// As much of a text as fits, and a zero.
fn put(text: &str, place: &mut [u8]) {
    let Some(most) = place.len().checked_sub(1) else {
        return;
    };
    let mut len = text.len().min(most);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    place[..len].copy_from_slice(&text.as_bytes()[..len]);
    place[len] = 0;
}

/// # Safety
/// 1. `name` can be read for `len` bytes, as long as the answer is used.
unsafe fn text<'a>(name: *const u8, len: usize) -> Result<&'a str> {
    // SAFETY: (1).
    let bytes = unsafe { core::slice::from_raw_parts(name, len) };
    core::str::from_utf8(bytes).map_err(|_| Errno(libc::EINVAL))
}

/// How many disks there are.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_storage_disk_count() -> isize {
    match all() {
        Ok(volumes) => volumes.disks().len() as isize,
        Err(Errno(number)) => -(number as isize),
    }
}

/// Describes a disk.
///
/// # Safety
/// 1. `info` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_storage_disk(index: usize, info: *mut DiskInfo) -> c_int {
    answer(all().and_then(|volumes| {
        let (core, is_dedicated) = volumes.home(index).ok_or(Errno(libc::ENODEV))?;
        let disk = volumes.disks().get(index).ok_or(Errno(libc::ENODEV))?;
        let driver = disk.cache.disk();
        let counts = disk.cache.counts();
        let mut described = DiskInfo {
            model: [0; 96],
            len_bytes: disk.cache.len_bytes(),
            sector_len_bytes: driver.sector_len_bytes() as u32,
            core: core as u32,
            is_dedicated,
            is_read_only: driver.is_read_only(),
            hits: counts.hits,
            misses: counts.misses,
            written: counts.written,
            write_commands: counts.write_commands,
            cache_bytes: disk.cache.used_bytes() as u64,
        };
        put(&driver.name(), &mut described.model);
        // SAFETY: (1).
        unsafe { info.write(described) };
        Ok(())
    }))
}

/// The number of a disk's partition at a place of its table, as far as it is sound; 0 behind the last.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_storage_partition(index: usize, place: usize) -> u32 {
    let partition = all().ok().and_then(|all| all.partitions(index).nth(place));
    partition.map_or(0, |partition| partition.number)
}

/// Gives a disk to a core.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_storage_dedicate(index: usize, core: usize) -> c_int {
    answer(all().and_then(|volumes| volumes.dedicate(index, core)))
}

/// Describes a volume.
///
/// # Safety
/// 1. `name` can be read for `name_len` bytes.
/// 2. `info` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_storage_volume(
    name: *const u8,
    name_len: usize,
    info: *mut VolumeInfo,
) -> c_int {
    // SAFETY: (1).
    let name = unsafe { text(name, name_len) };
    answer(name.and_then(|name| {
        let (len_bytes, is_read_only, mount) = all()?.facts(name)?;
        let mut described = VolumeInfo {
            path: [0; 256],
            len_bytes,
            is_read_only,
        };
        if let Some(mount) = mount {
            put(&mount.path, &mut described.path);
        }
        // SAFETY: (2).
        unsafe { info.write(described) };
        Ok(())
    }))
}

/// Reads bytes of a volume.
///
/// # Safety
/// 1. `name` can be read for `name_len` bytes.
/// 2. `buf` can be written for `len` bytes.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_storage_read(
    name: *const u8,
    name_len: usize,
    offset: u64,
    buf: *mut u8,
    len: usize,
) -> c_int {
    // SAFETY: (1), (2).
    let (name, buf) = unsafe {
        (
            text(name, name_len),
            core::slice::from_raw_parts_mut(buf, len),
        )
    };
    answer(name.and_then(|name| all()?.read(name, offset, buf)))
}

/// Writes bytes of a volume.
///
/// # Safety
/// 1. `name` can be read for `name_len` bytes.
/// 2. `data` can be read for `len` bytes.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_storage_write(
    name: *const u8,
    name_len: usize,
    offset: u64,
    data: *const u8,
    len: usize,
) -> c_int {
    // SAFETY: (1), (2).
    let (name, data) = unsafe { (text(name, name_len), core::slice::from_raw_parts(data, len)) };
    answer(name.and_then(|name| all()?.write(name, offset, data)))
}

/// Returns when a volume's bytes are on the medium.
///
/// # Safety
/// 1. `name` can be read for `name_len` bytes.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_storage_flush(name: *const u8, name_len: usize) -> c_int {
    // SAFETY: (1).
    let name = unsafe { text(name, name_len) };
    answer(name.and_then(|name| all()?.flush(name)))
}

/// Mounts a volume. What goes wrong is written to `message`, as far as it fits, with a zero at its end.
///
/// # Safety
/// 1. `name` can be read for `name_len` bytes, `path` for `path_len`.
/// 2. `message` can be written for `message_len` bytes.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_storage_mount(
    name: *const u8,
    name_len: usize,
    path: *const u8,
    path_len: usize,
    is_read_only: bool,
    message: *mut u8,
    message_len: usize,
) -> c_int {
    // SAFETY: (1).
    let (name, path) = unsafe { (text(name, name_len), text(path, path_len)) };
    // SAFETY: (2).
    let message = unsafe { core::slice::from_raw_parts_mut(message, message_len) };
    answer(name.and_then(|name| {
        let request = MountRequest::parse(&format!("{name}:/"));
        let mounted = request.and_then(|request| {
            let path = path.unwrap_or_default();
            let request = MountRequest {
                path: path.to_string(),
                is_read_only,
                ..request
            };
            let volumes = all().map_err(|errno| request.path_error(errno))?;
            volumes.mount(&request)
        });
        mounted.map_err(|error| {
            put(&error.to_string(), message);
            Errno(libc::EINVAL)
        })
    }))
}

/// Unmounts what is mounted at a path.
///
/// # Safety
/// 1. `path` can be read for `path_len` bytes.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_storage_unmount(path: *const u8, path_len: usize) -> c_int {
    // SAFETY: (1).
    let path = unsafe { text(path, path_len) };
    answer(path.and_then(|path| all()?.unmount(path)))
}
