//! Directories: reading, making, removing them, and the current one (POSIX.1-2017).

use alloc::boxed::Box;
use alloc::vec;
use core::ffi::{c_char, c_int, c_long};
use core::sync::atomic::{AtomicU32, Ordering};

use super::convert::{also_named, c_result, c_status, text};
use super::file::{base, close, openat64, with_file};
use super::path::give_text;
use crate::error::{Errno, Result};
use crate::storage::vfs::file::OpenFile;
use crate::storage::vfs::namespace::LastLink;
use crate::storage::vfs::{self, operations};

/// Bytes of entries that are read at once.
const AHEAD_LEN: usize = 8192;
/// An entry as a program has it. It may copy all of it, though the record is only as long as its name.
const ENTRY_LEN: usize = size_of::<libc::dirent64>();
/// Where in it the name begins.
const NAME_OFFSET: usize = core::mem::offset_of!(libc::dirent64, d_name);

/// Permissions that new files do not get.
static UMASK: AtomicU32 = AtomicU32::new(0o022);

pub(super) fn umask_now() -> u32 {
    UMASK.load(Ordering::Relaxed)
}

/// Sets the permissions that new files do not get; returns the old ones.
#[unsafe(no_mangle)]
pub extern "C" fn umask(mask: libc::mode_t) -> libc::mode_t {
    UMASK.swap(mask & 0o777, Ordering::Relaxed)
}

/// An open directory, as C has it: opaque to the program.
pub struct DirectoryStream {
    descriptor: c_int,
    /// Entries as [`put_entries`] makes them: those from `next` to `end` are not yet handed out. The program has a pointer to the one before.
    ahead: Box<[u64]>,
    next: usize,
    end: usize,
    /// Where the next entry is.
    place: c_long,
}

/// Opens a directory.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opendir(path: *const c_char) -> *mut DirectoryStream {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: a C string.
    match unsafe { openat64(libc::AT_FDCWD, path, flags, 0) } {
        -1 => core::ptr::null_mut(),
        descriptor => fdopendir(descriptor),
    }
}

/// Makes an open directory of a descriptor, which belongs to it from then on.
#[unsafe(no_mangle)]
pub extern "C" fn fdopendir(descriptor: c_int) -> *mut DirectoryStream {
    c_result(with_file(descriptor, libc::ENOTDIR, |file| {
        if !file.entry().is_directory() {
            return Err(Errno(libc::ENOTDIR));
        }
        let place = file.seek(0, libc::SEEK_CUR)? as c_long;
        Ok(Box::into_raw(Box::new(DirectoryStream {
            descriptor,
            ahead: vec![0; AHEAD_LEN / 8].into_boxed_slice(),
            next: 0,
            end: 0,
            place,
        })))
    }))
}

/// Reads the next entry; null at the end, and when it cannot be read (then `errno` says why).
///
/// # Safety
/// `stream` came from [`opendir`] or [`fdopendir`] and was not closed; no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readdir64(stream: *mut DirectoryStream) -> *mut libc::dirent64 {
    // SAFETY: the caller's promise.
    let stream = unsafe { &mut *stream };
    c_result((|| {
        if stream.next == stream.end {
            (stream.next, stream.end) = (0, 0);
            let start = stream.ahead.as_mut_ptr().cast();
            // SAFETY: the same memory, as bytes.
            let ahead = unsafe { core::slice::from_raw_parts_mut(start, AHEAD_LEN) };
            stream.end = with_file(stream.descriptor, libc::ENOTDIR, |file| {
                put_entries(file, ahead, ENTRY_LEN)
            })?;
            if stream.end == 0 {
                return Ok(core::ptr::null_mut());
            }
        }
        let start = stream.ahead.as_mut_ptr();
        // SAFETY: `put_entries` put one there, with room for a whole structure, and at multiples of 8.
        unsafe {
            let entry = start.byte_add(stream.next).cast::<libc::dirent64>();
            stream.next += usize::from((*entry).d_reclen);
            stream.place = (*entry).d_off as c_long;
            Ok(entry)
        }
    })())
}

/// Puts the next entries of a directory into `buf`, as getdents64(2) has them; each begins where `room` bytes are left at least. Returns
/// how many bytes they take: 0 at the end.
///
/// # Errors
/// `EINVAL` when not even one fits.
pub(super) fn put_entries(file: &OpenFile, buf: &mut [u8], room: usize) -> Result<usize> {
    let mut used = 0;
    let mut is_full = false;
    file.next_entries(&mut |entry| {
        let name_end = NAME_OFFSET + entry.name.len();
        let len = (name_end + 1).next_multiple_of(8);
        let left = buf.get_mut(used..).filter(|left| left.len() >= room);
        let Some(out) = left.and_then(|left| left.get_mut(..len)) else {
            is_full = true;
            return false;
        };
        // The zero behind the name, and what fills up.
        out[len - 8..].fill(0);
        out[..8].copy_from_slice(&entry.number.to_ne_bytes());
        out[8..16].copy_from_slice(&entry.next_cookie.to_ne_bytes());
        out[16..18].copy_from_slice(&(len as u16).to_ne_bytes());
        out[18] = entry
            .kind
            .map_or(libc::DT_UNKNOWN, |kind| kind.entry_type());
        out[NAME_OFFSET..name_end].copy_from_slice(entry.name);
        used += len;
        true
    })?;
    if used == 0 && is_full {
        return Err(Errno(libc::EINVAL));
    }
    Ok(used)
}

/// Closes a directory.
///
/// # Safety
/// `stream` came from [`opendir`] or [`fdopendir`] and was not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn closedir(stream: *mut DirectoryStream) -> c_int {
    // SAFETY: it was made by `Box::into_raw`, and the caller gives it up.
    let stream = unsafe { Box::from_raw(stream) };
    close(stream.descriptor)
}

/// The descriptor of an open directory.
///
/// # Safety
/// `stream` came from [`opendir`] or [`fdopendir`] and was not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dirfd(stream: *mut DirectoryStream) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { (*stream).descriptor }
}

/// Goes back to the first entry.
///
/// # Safety
/// As [`dirfd`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rewinddir(stream: *mut DirectoryStream) {
    // SAFETY: the caller's promise.
    unsafe { seekdir(stream, 0) };
}

/// Where the next entry is.
///
/// # Safety
/// As [`dirfd`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn telldir(stream: *mut DirectoryStream) -> c_long {
    // SAFETY: the caller's promise.
    unsafe { (*stream).place }
}

/// Goes to a place that [`telldir`] gave.
///
/// # Safety
/// As [`dirfd`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seekdir(stream: *mut DirectoryStream, place: c_long) {
    // SAFETY: the caller's promise.
    let stream = unsafe { &mut *stream };
    (stream.next, stream.end) = (0, 0);
    stream.place = place;
    // A place that `telldir` did not give is ignored, as there is no way to fail.
    let _ = with_file(stream.descriptor, libc::ENOTDIR, |file| {
        file.seek(place, libc::SEEK_SET)
    });
}

/// Makes a directory, by a path from a directory.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdirat(
    directory: c_int,
    path: *const c_char,
    mode: libc::mode_t,
) -> c_int {
    // SAFETY: a C string.
    c_status(unsafe { text(path) }.and_then(|path| {
        let base = base(directory, path)?;
        operations::make_directory(vfs::names()?, &base, path, mode & 0o1777 & !umask_now())
    }))
}

/// Makes a directory.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: libc::mode_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { mkdirat(libc::AT_FDCWD, path, mode) }
}

/// Removes an empty directory.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    // SAFETY: a C string.
    c_status(
        unsafe { text(path) }
            .and_then(|path| operations::remove_directory(vfs::names()?, &vfs::current()?, path)),
    )
}

/// Changes the current directory.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chdir(path: *const c_char) -> c_int {
    // SAFETY: a C string.
    c_status(
        unsafe { text(path) }
            .and_then(|path| vfs::set_current(vfs::resolve(path, LastLink::Follow)?)),
    )
}

/// Changes the current directory to an open one.
#[unsafe(no_mangle)]
pub extern "C" fn fchdir(descriptor: c_int) -> c_int {
    c_status(with_file(descriptor, libc::ENOTDIR, |file| {
        vfs::set_current(file.entry().clone())
    }))
}

/// The path of the current directory, in `buf`, or in memory from `malloc` if that is null.
///
/// # Safety
/// `len` bytes at `buf` can be written, if it is not null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getcwd(buf: *mut c_char, len: usize) -> *mut c_char {
    c_result(vfs::current_path().and_then(|path| {
        if len == 0 && !buf.is_null() {
            return Err(Errno(libc::EINVAL));
        }
        if len <= path.len() && len != 0 {
            return Err(Errno(libc::ERANGE));
        }
        // SAFETY: null, or long enough.
        unsafe { give_text(&path, buf) }
    }))
}

also_named! {
    readdir = readdir64(stream: *mut DirectoryStream) -> *mut libc::dirent64;
}
