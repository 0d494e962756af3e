//! Disks that belong to cores, mounts while the program runs, and blocks without a file system.
//!
//! A disk is `disk0`, `disk1`, … in the order in which they were found, without the one that holds the image; its first partition is
//! `disk0.1`. Either is a *volume*: it can be mounted, or read and written as it is.
//!
//! ```no_run
//! use toro::storage;
//!
//! # fn main() -> toro::Result<()> {
//! storage::dedicate("disk0", 1)?;
//! storage::mount("disk0.1", "/data", false)?;
//! let mut sector = [0; 512];
//! storage::read("disk0", 0, &mut sector)?;
//! # Ok(())
//! # }
//! ```

use crate::error::{Error, Result};
use crate::{core, sys};

// `errno` as the kernel numbers them (Linux, `asm-generic/errno-base.h`).
const ENXIO: i32 = 6;
const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;

/// A disk, as it was when it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disk {
    /// Its name: `disk0`, `disk1`, …
    pub name: String,
    /// Where it is and what it calls itself.
    pub model: String,
    /// Its size, in bytes.
    pub len_bytes: u64,
    /// Size of its sectors, in bytes.
    pub sector_len_bytes: u32,
    /// The core that serves it.
    pub core: usize,
    /// Whether it was given to that core by [`dedicate`].
    pub is_dedicated: bool,
    /// Whether it cannot be written.
    pub is_read_only: bool,
    /// Its partitions, as far as the table is sound.
    pub partitions: Vec<Volume>,
    /// How useful its cache was so far.
    pub cache: Cache,
}

/// What a disk's cache has done since the start, in blocks of 4 KiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cache {
    /// Blocks that were in memory when they were read.
    pub hits: u64,
    /// Blocks that were read from the disk.
    pub misses: u64,
    /// Blocks that were written to memory, each as often as it was.
    pub written: u64,
    /// Commands that wrote to the disk.
    pub write_commands: u64,
    /// Memory that it has taken so far, in bytes. It is never given back, and has a bound.
    pub len_bytes: u64,
}

impl Cache {
    /// Which part of what was read came from memory, from 0 to 1; 0 where nothing was read.
    pub fn hit_rate(&self) -> f64 {
        let reads = self.hits.saturating_add(self.misses);
        self.hits as f64 / reads.max(1) as f64
    }
}

/// A disk or a partition, as it was when it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    /// Its name: `disk0`, `disk0.1`.
    pub name: String,
    /// Its size, in bytes.
    pub len_bytes: u64,
    /// Whether it cannot be written.
    pub is_read_only: bool,
    /// Where it is mounted.
    pub mounted_at: Option<String>,
}

fn error(name: &str, errno: i32) -> Error {
    match errno {
        ENODEV => Error::NoSuchDevice(name.to_owned()),
        ENOMEM => Error::OutOfMemory,
        EBUSY => Error::Busy(name.to_owned()),
        errno => Error::Device {
            device: name.to_owned(),
            errno,
        },
    }
}

fn at(index: usize) -> Result<Disk> {
    let name = format!("disk{index}");
    let info = sys::storage::disk(index).map_err(|errno| error(&name, errno))?;
    let partitions = sys::storage::partitions(index);
    Ok(Disk {
        partitions: partitions
            .map(|number| volume(&format!("{name}.{number}")))
            .collect::<Result<_>>()?,
        name,
        model: sys::storage::text(&info.model),
        len_bytes: info.len_bytes,
        sector_len_bytes: info.sector_len_bytes,
        core: info.core as usize,
        is_dedicated: info.is_dedicated,
        is_read_only: info.is_read_only,
        cache: Cache {
            hits: info.hits,
            misses: info.misses,
            written: info.written,
            write_commands: info.write_commands,
            len_bytes: info.cache_bytes,
        },
    })
}

/// All disks. Those that have not been used so far are looked for, on the core that calls.
///
/// # Errors
/// [`Error::Device`] when a disk cannot be asked.
pub fn disks() -> Result<Vec<Disk>> {
    let count = sys::storage::disk_count().map_err(|errno| error("disk0", errno))?;
    (0..count).map(at).collect()
}

/// The number of a disk of this name.
fn find(name: &str) -> Result<usize> {
    let count = sys::storage::disk_count().map_err(|errno| error(name, errno))?;
    (0..count)
        .find(|index| format!("disk{index}") == name)
        .ok_or_else(|| Error::NoSuchDevice(name.to_owned()))
}

/// The disk of a name.
///
/// # Errors
/// [`Error::NoSuchDevice`].
pub fn disk(name: &str) -> Result<Disk> {
    at(find(name)?)
}

/// A disk or a partition by its name.
///
/// # Errors
/// [`Error::NoSuchDevice`].
pub fn volume(name: &str) -> Result<Volume> {
    let info = sys::storage::volume(name).map_err(|errno| error(name, errno))?;
    let path = sys::storage::text(&info.path);
    Ok(Volume {
        name: name.to_owned(),
        len_bytes: info.len_bytes,
        is_read_only: info.is_read_only,
        mounted_at: (!path.is_empty()).then_some(path),
    })
}

/// Gives a disk to a core for good: its interrupts go there, and that core wakes whoever waits for it. It may be mounted and in use.
/// Threads of any core can go on using it; they wait while its core answers. The disks of one IDE channel share their
/// interrupt, and so their core.
///
/// # Errors
/// [`Error::NoSuchDevice`] (partitions have no core of their own), [`Error::NoSuchCore`], [`Error::AlreadyDedicated`];
/// [`Error::Unsupported`] for a disk without an interrupt that could be moved; [`Error::OutOfMemory`].
pub fn dedicate(name: &str, core: usize) -> Result<Disk> {
    let index = find(name)?;
    sys::storage::dedicate(index, core).map_err(|errno| match errno {
        ENXIO => Error::NoSuchCore {
            core,
            count: core::count(),
        },
        EBUSY => Error::AlreadyDedicated {
            device: name.to_owned(),
            core: at(index).map_or(core, |disk| disk.core),
        },
        EOPNOTSUPP => Error::Unsupported(format!("`{name}` on core {core}")),
        errno => error(name, errno),
    })?;
    at(index)
}

/// What went wrong with bytes at a place.
fn transfer_error(name: &str, offset: u64, errno: i32) -> Error {
    match errno {
        ENXIO => Error::OutOfRange {
            offset,
            len_bytes: volume(name).map_or(0, |volume| volume.len_bytes),
        },
        errno => error(name, errno),
    }
}

/// Fills `buf` with the bytes of a volume from `offset` on, whether it is mounted or not. Offset and length need not be whole sectors.
///
/// # Errors
/// [`Error::NoSuchDevice`], [`Error::OutOfRange`]; [`Error::Device`] when the disk fails.
pub fn read(name: &str, offset: u64, buf: &mut [u8]) -> Result<()> {
    sys::storage::read(name, offset, buf).map_err(|errno| transfer_error(name, offset, errno))
}

/// Writes bytes of a volume from `offset` on. They are on the medium after [`flush`]. Offset and length need not be whole sectors.
///
/// # Errors
/// As [`read`]; [`Error::Busy`] while the volume, a part of it, or the disk it is a part of is mounted; [`Error::Device`] with `EROFS` for one
/// that cannot be written.
pub fn write(name: &str, offset: u64, data: &[u8]) -> Result<()> {
    sys::storage::write(name, offset, data).map_err(|errno| transfer_error(name, offset, errno))
}

/// Returns when all that was written to a volume is on the medium.
///
/// # Errors
/// [`Error::NoSuchDevice`]; [`Error::Device`] when the disk fails.
pub fn flush(name: &str) -> Result<()> {
    sys::storage::flush(name).map_err(|errno| error(name, errno))
}

/// Mounts the file system of a volume at an absolute path, whose directories are made where they are missing.
///
/// # Errors
/// [`Error::NoSuchDevice`]; [`Error::Busy`] for a volume that is mounted, or a part of which is; [`Error::Invalid`] with the reason: a path
/// that cannot be used, something else mounted there, no file system that Toro knows: that is ext2, and FAT where the key `file-systems` asks for it.
pub fn mount(name: &str, path: &str, is_read_only: bool) -> Result<()> {
    let known = volume(name)?;
    if known.mounted_at.is_some() {
        return Err(Error::Busy(name.to_owned()));
    }
    sys::storage::mount(name, path, is_read_only).map_err(|(errno, message)| match errno {
        EINVAL => Error::Invalid(message),
        errno => error(name, errno),
    })
}

/// Ends the use of what is mounted at a path: everything is on the medium, and the volume can be mounted elsewhere or be written as it is.
///
/// # Errors
/// [`Error::Busy`] while something of it is open, is the current directory, or has something mounted in it; [`Error::Invalid`] when nothing
/// is mounted there, or it is the root; [`Error::Device`] when the disk fails.
pub fn unmount(path: &str) -> Result<()> {
    sys::storage::unmount(path).map_err(|errno| match errno {
        EINVAL => Error::Invalid(format!("nothing that could be unmounted is at {path}")),
        errno => error(path, errno),
    })
}
