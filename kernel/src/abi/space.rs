//! Space: what files take and file systems have left (POSIX.1-2017; Linux: fallocate(2), statfs(2), posix_fadvise(2)).

use core::ffi::{c_char, c_int};

use super::convert::{also_named, c_status, put, text};
use super::file::{entry_at, with_file};
use crate::error::{Errno, Result};
use crate::storage::vfs::namespace::{Entry, LastLink};

fn allocate(descriptor: c_int, offset: i64, len: i64) -> Result<()> {
    let range = (u64::try_from(offset), u64::try_from(len));
    let (Ok(offset), Ok(len @ 1..)) = range else {
        return Err(Errno(libc::EINVAL));
    };
    with_file(descriptor, libc::ESPIPE, |file| file.allocate(offset, len))
}

/// Makes room for a range of a file. Other modes are not there (`EOPNOTSUPP`).
///
/// # Safety
/// Always safe to call; `unsafe` only as C functions with two names are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate64(
    descriptor: c_int,
    mode: c_int,
    offset: i64,
    len: i64,
) -> c_int {
    c_status(match mode {
        0 => allocate(descriptor, offset, len),
        _ => Err(Errno(libc::EOPNOTSUPP)),
    })
}

/// Makes room for a range of a file; returns the error number.
///
/// # Safety
/// Always safe to call; `unsafe` only as C functions with two names are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_fallocate64(descriptor: c_int, offset: i64, len: i64) -> c_int {
    match allocate(descriptor, offset, len) {
        Ok(()) => 0,
        Err(Errno(number)) => number,
    }
}

/// Advice about how a file will be read, which the cache finds out by itself; returns the error number.
///
/// # Safety
/// Always safe to call; `unsafe` only as C functions with two names are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_fadvise64(
    descriptor: c_int,
    _offset: i64,
    _len: i64,
    advice: c_int,
) -> c_int {
    if !(libc::POSIX_FADV_NORMAL..=libc::POSIX_FADV_NOREUSE).contains(&advice) {
        return libc::EINVAL;
    }
    match with_file(descriptor, libc::ESPIPE, |_| Ok(())) {
        Ok(()) => 0,
        Err(Errno(number)) => number,
    }
}

fn usage_of(entry: &Entry) -> libc::statfs64 {
    let usage = entry.mount.file_system.usage();
    // SAFETY: a structure of integers, for which zeros are valid.
    let mut out: libc::statfs64 = unsafe { core::mem::zeroed() };
    out.f_type = usage.magic;
    out.f_bsize = usage.block_len_bytes as i64;
    out.f_frsize = out.f_bsize;
    out.f_blocks = usage.blocks;
    out.f_bfree = usage.free_blocks;
    out.f_bavail = usage.free_blocks;
    out.f_files = usage.nodes;
    out.f_ffree = usage.free_nodes;
    out.f_namelen = 255;
    if entry.mount.is_read_only() {
        out.f_flags = libc::ST_RDONLY as i64;
    }
    out
}

/// What kind of file system a path is in, and how full it is.
///
/// # Safety
/// `path` is a C string; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn statfs64(path: *const c_char, out: *mut libc::statfs64) -> c_int {
    // SAFETY: a C string.
    let found = unsafe { text(path) }
        .and_then(|path| entry_at(libc::AT_FDCWD, path, 0, LastLink::Follow))
        .map(|entry| usage_of(&entry));
    // SAFETY: the caller's structure.
    c_status(found.and_then(|found| unsafe { put(out, found) }))
}

/// What kind of file system an open file is in, and how full it is.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fstatfs64(descriptor: c_int, out: *mut libc::statfs64) -> c_int {
    let found = with_file(descriptor, libc::EINVAL, |file| Ok(usage_of(file.entry())));
    // SAFETY: the caller's structure.
    c_status(found.and_then(|found| unsafe { put(out, found) }))
}

also_named! {
    fallocate = fallocate64(descriptor: c_int, mode: c_int, offset: i64, len: i64) -> c_int;
    posix_fallocate = posix_fallocate64(descriptor: c_int, offset: i64, len: i64) -> c_int;
    posix_fadvise = posix_fadvise64(descriptor: c_int, offset: i64, len: i64, advice: c_int) -> c_int;
    statfs = statfs64(path: *const c_char, out: *mut libc::statfs64) -> c_int;
    fstatfs = fstatfs64(descriptor: c_int, out: *mut libc::statfs64) -> c_int;
}
