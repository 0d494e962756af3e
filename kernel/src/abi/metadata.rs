//! Facts about files: the `stat` family, permissions, owners, times (POSIX.1-2017; Linux: stat(2), statx(2), utimensat(2)).

use alloc::sync::Arc;
use core::ffi::{c_char, c_int, c_uint};

use super::convert::{also_named, c_status, get, put, text};
use super::file::{entry_at, with_file};
use super::object;
use crate::error::{Errno, Result};
use crate::storage::vfs::file::OpenFile;
use crate::storage::vfs::namespace::{Entry, LastLink};
use crate::storage::vfs::node::{Changes, NodeKind, Timestamp};
use crate::storage::vfs::operations::check_writable;
use crate::storage::vfs::watch;

/// What `st_blksize` says: a good size for reads.
const GOOD_READ_LEN: i64 = 4096;

/// Fills in `stat` for a file; returns what does not fit in: when it was created.
pub(super) fn fill(stat: &mut libc::stat64, entry: &Entry) -> Result<Option<Timestamp>> {
    let facts = entry.node.metadata()?;
    stat.st_dev = entry.mount.device;
    stat.st_ino = facts.number;
    stat.st_mode = facts.kind.mode_bits() | facts.permissions;
    stat.st_nlink = facts.links;
    stat.st_uid = facts.uid;
    stat.st_gid = facts.gid;
    stat.st_rdev = libc::makedev(facts.device.0, facts.device.1);
    stat.st_size = facts.len_bytes as i64;
    stat.st_blksize = GOOD_READ_LEN;
    stat.st_blocks = facts.blocks_of_512 as i64;
    (stat.st_atime, stat.st_atime_nsec) = split(facts.accessed);
    (stat.st_mtime, stat.st_mtime_nsec) = split(facts.modified);
    (stat.st_ctime, stat.st_ctime_nsec) = split(facts.changed);
    Ok(facts.created)
}

fn split(time: Timestamp) -> (i64, i64) {
    (time.seconds, i64::from(time.nanoseconds))
}

/// Link handling that `AT_SYMLINK_NOFOLLOW` asks for.
fn last_link(flags: c_int) -> LastLink {
    if flags & libc::AT_SYMLINK_NOFOLLOW != 0 {
        LastLink::FollowBeforeSlash
    } else {
        LastLink::Follow
    }
}

/// Fills in `stat` for what a path leads to, or what is behind a descriptor; returns when that was created, where it is known.
fn stat_at(
    stat: &mut libc::stat64,
    directory: c_int,
    path: &[u8],
    flags: c_int,
) -> Result<Option<Timestamp>> {
    if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 && directory != libc::AT_FDCWD {
        let description = object::get(directory)?;
        return match description.downcast::<OpenFile>() {
            Some(file) => fill(stat, file.entry()),
            None => {
                description.object().stat(stat)?;
                if stat.st_ino == 0 {
                    stat.st_ino = description.number().into();
                }
                Ok(None)
            }
        };
    }
    fill(stat, &*entry_at(directory, path, flags, last_link(flags))?)
}

/// A place of the caller's, filled with zeros.
///
/// # Safety
/// Null, or where a `T` can be written for `'a`; zeros are a valid `T`.
unsafe fn zeroed<'a, T>(place: *mut T) -> Result<&'a mut T> {
    if place.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: not null; the rest is the caller's promise.
    unsafe {
        place.write_bytes(0, 1);
        Ok(&mut *place)
    }
}

/// Facts about what is behind a descriptor.
///
/// # Safety
/// `stat` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fstat64(descriptor: c_int, stat: *mut libc::stat64) -> c_int {
    c_status((|| {
        // A negative descriptor could mean the current directory below.
        let descriptor = if descriptor < 0 { -1 } else { descriptor };
        // SAFETY: the caller's structure, of integers.
        let stat = unsafe { zeroed(stat) }?;
        stat_at(stat, descriptor, b"", libc::AT_EMPTY_PATH).map(|_| ())
    })())
}

/// Facts about what a path leads to.
///
/// # Safety
/// `path` is a C string; `stat` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stat64(path: *const c_char, stat: *mut libc::stat64) -> c_int {
    // SAFETY: the same contract.
    unsafe { fstatat64(libc::AT_FDCWD, path, stat, 0) }
}

/// As [`stat64`], of a link itself.
///
/// # Safety
/// `path` is a C string; `stat` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lstat64(path: *const c_char, stat: *mut libc::stat64) -> c_int {
    // SAFETY: the same contract.
    unsafe { fstatat64(libc::AT_FDCWD, path, stat, libc::AT_SYMLINK_NOFOLLOW) }
}

/// As [`stat64`], by a path from a directory.
///
/// # Safety
/// `path` is a C string; `stat` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fstatat64(
    directory: c_int,
    path: *const c_char,
    stat: *mut libc::stat64,
    flags: c_int,
) -> c_int {
    c_status((|| {
        // SAFETY: a C string, and the caller's structure, of integers.
        let (path, stat) = unsafe { (text(path)?, zeroed(stat)?) };
        stat_at(stat, directory, path, flags).map(|_| ())
    })())
}

/// As [`fstatat64`], with the time of creation.
///
/// # Safety
/// `path` is a C string; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn statx(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mask: c_uint,
    out: *mut libc::statx,
) -> c_int {
    let _ = mask;
    c_status((|| {
        // SAFETY: a C string, and the caller's structure, of integers.
        let (path, out) = unsafe { (text(path)?, zeroed(out)?) };
        // SAFETY: a structure of integers, for which zeros are valid.
        let mut stat = unsafe { core::mem::zeroed() };
        let created = stat_at(&mut stat, directory, path, flags)?;
        extend(out, &stat, created);
        Ok(())
    })())
}

/// Fills in the structure of `statx`.
fn extend(out: &mut libc::statx, stat: &libc::stat64, created: Option<Timestamp>) {
    out.stx_mask = libc::STATX_BASIC_STATS;
    out.stx_blksize = stat.st_blksize as u32;
    out.stx_nlink = stat.st_nlink as u32;
    out.stx_uid = stat.st_uid;
    out.stx_gid = stat.st_gid;
    out.stx_mode = stat.st_mode as u16;
    out.stx_ino = stat.st_ino;
    out.stx_size = stat.st_size as u64;
    out.stx_blocks = stat.st_blocks as u64;
    out.stx_dev_major = libc::major(stat.st_dev);
    out.stx_dev_minor = libc::minor(stat.st_dev);
    out.stx_rdev_major = libc::major(stat.st_rdev);
    out.stx_rdev_minor = libc::minor(stat.st_rdev);
    (out.stx_atime.tv_sec, out.stx_atime.tv_nsec) = (stat.st_atime, stat.st_atime_nsec as u32);
    (out.stx_mtime.tv_sec, out.stx_mtime.tv_nsec) = (stat.st_mtime, stat.st_mtime_nsec as u32);
    (out.stx_ctime.tv_sec, out.stx_ctime.tv_nsec) = (stat.st_ctime, stat.st_ctime_nsec as u32);
    if let Some(created) = created {
        out.stx_mask |= libc::STATX_BTIME;
        (out.stx_btime.tv_sec, out.stx_btime.tv_nsec) = (created.seconds, created.nanoseconds);
    }
}

/// Whether a file can be used so. Programs are root here, so only what nobody can do is refused.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn faccessat(
    directory: c_int,
    path: *const c_char,
    mode: c_int,
    flags: c_int,
) -> c_int {
    c_status((|| {
        // SAFETY: a C string.
        let path = unsafe { text(path) }?;
        let entry = entry_at(directory, path, flags, last_link(flags))?;
        let kind = entry.node.kind();
        if mode & libc::W_OK != 0 && matches!(kind, NodeKind::File | NodeKind::Directory) {
            check_writable(&entry)?;
        }
        let is_program = || {
            entry
                .node
                .metadata()
                .map(|facts| facts.permissions & 0o111 != 0)
        };
        if mode & libc::X_OK != 0 && kind == NodeKind::File && !is_program()? {
            return Err(Errno(libc::EACCES));
        }
        Ok(())
    })())
}

/// See [`faccessat`].
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn access(path: *const c_char, mode: c_int) -> c_int {
    // SAFETY: the same contract.
    unsafe { faccessat(libc::AT_FDCWD, path, mode, 0) }
}

fn change(entry: &Arc<Entry>, changes: &Changes) -> Result<()> {
    check_writable(entry)?;
    entry.node.change(changes)?;
    watch::changed(entry, changes);
    Ok(())
}

/// Changes facts about what a path leads to.
///
/// # Safety
/// `path` is a C string.
unsafe fn change_at(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    changes: &Changes,
) -> c_int {
    // SAFETY: a C string.
    c_status(unsafe { text(path) }.and_then(|path| {
        change(
            &entry_at(directory, path, flags, last_link(flags))?,
            changes,
        )
    }))
}

fn change_open(descriptor: c_int, changes: &Changes) -> c_int {
    c_status(with_file(descriptor, libc::EINVAL, |file| {
        change(file.entry(), changes)
    }))
}

fn permissions(mode: libc::mode_t) -> Changes {
    Changes {
        permissions: Some(mode & 0o7777),
        ..Changes::default()
    }
}

/// Sets permissions.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chmod(path: *const c_char, mode: libc::mode_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { change_at(libc::AT_FDCWD, path, 0, &permissions(mode)) }
}

/// Sets permissions of an open file.
#[unsafe(no_mangle)]
pub extern "C" fn fchmod(descriptor: c_int, mode: libc::mode_t) -> c_int {
    let nameless = object::get(descriptor)
        .ok()
        .filter(|description| description.downcast::<OpenFile>().is_none());
    match nameless {
        Some(description) => c_status(description.object().set_permissions(mode & 0o7777)),
        None => change_open(descriptor, &permissions(mode)),
    }
}

/// Sets permissions, by a path from a directory.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fchmodat(
    directory: c_int,
    path: *const c_char,
    mode: libc::mode_t,
    flags: c_int,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { change_at(directory, path, flags, &permissions(mode)) }
}

/// Owner and group; all ones leave one as it is.
fn owners(uid: libc::uid_t, gid: libc::gid_t) -> Changes {
    let given = |id: u32| (id != u32::MAX).then_some(id);
    Changes {
        uid: given(uid),
        gid: given(gid),
        ..Changes::default()
    }
}

/// Sets owner and group, by a path from a directory.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fchownat(
    directory: c_int,
    path: *const c_char,
    uid: libc::uid_t,
    gid: libc::gid_t,
    flags: c_int,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { change_at(directory, path, flags, &owners(uid, gid)) }
}

/// Sets owner and group.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chown(path: *const c_char, uid: libc::uid_t, gid: libc::gid_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { fchownat(libc::AT_FDCWD, path, uid, gid, 0) }
}

/// Sets owner and group, of a link itself.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lchown(path: *const c_char, uid: libc::uid_t, gid: libc::gid_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { fchownat(libc::AT_FDCWD, path, uid, gid, libc::AT_SYMLINK_NOFOLLOW) }
}

/// Sets owner and group of an open file.
#[unsafe(no_mangle)]
pub extern "C" fn fchown(descriptor: c_int, uid: libc::uid_t, gid: libc::gid_t) -> c_int {
    change_open(descriptor, &owners(uid, gid))
}

/// Times to set: null is now for both.
///
/// # Safety
/// Null, or two times that can be read.
unsafe fn times_of(times: *const libc::timespec) -> Result<Changes> {
    let now = Timestamp::now();
    // SAFETY: null, or the caller's pair.
    let Some(pair) = (unsafe { get(times.cast::<[libc::timespec; 2]>()) }) else {
        return Ok(Changes {
            accessed: Some(now),
            modified: Some(now),
            ..Changes::default()
        });
    };
    let time = |given: &libc::timespec| match given.tv_nsec {
        libc::UTIME_NOW => Ok(Some(now)),
        libc::UTIME_OMIT => Ok(None),
        nanoseconds @ 0..=999_999_999 => Ok(Some(Timestamp {
            seconds: given.tv_sec,
            nanoseconds: nanoseconds as u32,
        })),
        _ => Err(Errno(libc::EINVAL)),
    };
    Ok(Changes {
        accessed: time(&pair[0])?,
        modified: time(&pair[1])?,
        ..Changes::default()
    })
}

/// Sets the times of an open file.
///
/// # Safety
/// `times` is null, or two times that can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn futimens(descriptor: c_int, times: *const libc::timespec) -> c_int {
    // SAFETY: the same contract.
    match unsafe { times_of(times) } {
        Ok(changes) => change_open(descriptor, &changes),
        Err(error) => c_status(Err(error)),
    }
}

/// Sets the times of a file. A null path is the descriptor's file.
///
/// # Safety
/// `path` is null or a C string; `times` is null, or two times that can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn utimensat(
    directory: c_int,
    path: *const c_char,
    times: *const libc::timespec,
    flags: c_int,
) -> c_int {
    if path.is_null() {
        // SAFETY: the same contract.
        return unsafe { futimens(directory, times) };
    }
    // SAFETY: the same contract.
    match unsafe { times_of(times) } {
        // SAFETY: a C string.
        Ok(changes) => unsafe { change_at(directory, path, flags, &changes) },
        Err(error) => c_status(Err(error)),
    }
}

/// Sets the times of a file, in microseconds.
///
/// # Safety
/// `path` is a C string; `times` is null, or two times that can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn utimes(path: *const c_char, times: *const libc::timeval) -> c_int {
    // SAFETY: null, or the caller's pair.
    let pair = unsafe { get(times.cast::<[libc::timeval; 2]>()) };
    let pair = pair.map(|pair| {
        pair.map(|time| libc::timespec {
            tv_sec: time.tv_sec,
            // What is out of range stays so.
            tv_nsec: time.tv_usec.saturating_mul(1000),
        })
    });
    let times = pair
        .as_ref()
        .map_or(core::ptr::null(), |pair| pair.as_ptr());
    // SAFETY: the same contract; the times are a local variable.
    unsafe { utimensat(libc::AT_FDCWD, path, times, 0) }
}

fn usage_of(entry: &Entry) -> libc::statvfs64 {
    let usage = entry.mount.file_system.usage();
    // SAFETY: a structure of integers, for which zeros are valid.
    let mut out: libc::statvfs64 = unsafe { core::mem::zeroed() };
    out.f_bsize = usage.block_len_bytes;
    out.f_frsize = usage.block_len_bytes;
    out.f_blocks = usage.blocks;
    out.f_bfree = usage.free_blocks;
    out.f_bavail = usage.free_blocks;
    out.f_files = usage.nodes;
    out.f_ffree = usage.free_nodes;
    out.f_favail = usage.free_nodes;
    out.f_fsid = entry.mount.device;
    out.f_flag = if entry.mount.is_read_only() {
        libc::ST_RDONLY
    } else {
        0
    };
    out.f_namemax = 255;
    out
}

/// How full the file system of a path is.
///
/// # Safety
/// `path` is a C string; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn statvfs64(path: *const c_char, out: *mut libc::statvfs64) -> c_int {
    // SAFETY: a C string.
    let found = unsafe { text(path) }
        .and_then(|path| entry_at(libc::AT_FDCWD, path, 0, LastLink::Follow))
        .map(|entry| usage_of(&entry));
    // SAFETY: the caller's structure.
    c_status(found.and_then(|found| unsafe { put(out, found) }))
}

/// How full the file system of an open file is.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fstatvfs64(descriptor: c_int, out: *mut libc::statvfs64) -> c_int {
    let found = with_file(descriptor, libc::EINVAL, |file| Ok(usage_of(file.entry())));
    // SAFETY: the caller's structure.
    c_status(found.and_then(|found| unsafe { put(out, found) }))
}

also_named! {
    fstat = fstat64(descriptor: c_int, stat: *mut libc::stat64) -> c_int;
    stat = stat64(path: *const c_char, out: *mut libc::stat64) -> c_int;
    lstat = lstat64(path: *const c_char, out: *mut libc::stat64) -> c_int;
    fstatat = fstatat64(directory: c_int, path: *const c_char, out: *mut libc::stat64, flags: c_int) -> c_int;
    statvfs = statvfs64(path: *const c_char, out: *mut libc::statvfs64) -> c_int;
    fstatvfs = fstatvfs64(descriptor: c_int, out: *mut libc::statvfs64) -> c_int;
}
