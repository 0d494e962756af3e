//! Directories: reading, making, removing them, and the current one (POSIX.1-2017).

use alloc::boxed::Box;
use alloc::vec::{self, Vec};
use core::ffi::{c_char, c_int, c_long};
use core::sync::atomic::{AtomicU32, Ordering};

use super::convert::{also_named, c_result, c_status, text};
use super::file::{base, close, openat64, with_file};
use super::path::give_text;
use crate::error::Errno;
use crate::storage::vfs::namespace::LastLink;
use crate::storage::vfs::node::DirEntry;
use crate::storage::vfs::{self, operations};

/// Entries that are read at once.
const READ_AHEAD: usize = 128;

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
    /// The entry that was read last; the program has a pointer to it.
    entry: libc::dirent64,
    /// Entries that are read and not yet handed out.
    ahead: vec::IntoIter<DirEntry>,
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
        // SAFETY: a structure of integers, for which zeros are valid.
        let entry = unsafe { core::mem::zeroed() };
        let place = file.seek(0, libc::SEEK_CUR)? as c_long;
        let ahead = Vec::new().into_iter();
        Ok(Box::into_raw(Box::new(DirectoryStream {
            descriptor,
            entry,
            ahead,
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
        if stream.ahead.len() == 0 {
            let entries = with_file(stream.descriptor, libc::ENOTDIR, |file| {
                file.next_entries(READ_AHEAD)
            });
            stream.ahead = entries?.into_iter();
        }
        let Some(next) = stream.ahead.next() else {
            return Ok(core::ptr::null_mut());
        };
        stream.place = next.next_cookie as c_long;
        let entry = &mut stream.entry;
        // The name with its closing zero; no file system has longer ones.
        let len = next.name.len().min(entry.d_name.len() - 1);
        for (to, from) in entry.d_name.iter_mut().zip(&next.name[..len]) {
            *to = *from as c_char;
        }
        entry.d_name[len] = 0;
        entry.d_ino = next.number;
        entry.d_off = next.next_cookie as i64;
        entry.d_type = next.kind.map_or(libc::DT_UNKNOWN, |kind| kind.entry_type());
        entry.d_reclen = size_of::<libc::dirent64>() as u16;
        Ok(core::ptr::from_mut(entry))
    })())
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
    stream.ahead = Vec::new().into_iter();
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
