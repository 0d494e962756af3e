//! Names of files: links, removing, renaming, real paths (POSIX.1-2017; Linux: renameat2(2)).

use core::ffi::{c_char, c_int, c_uint, c_void};

use super::convert::{bytes_mut, c_count, c_result, c_status, text};
use super::file::{base, entry_at};
use crate::error::{Errno, Result};
use crate::storage::vfs::namespace::LastLink;
use crate::storage::vfs::{self, operations};

/// The link to the program's own file (Linux: proc(5)), and where it leads: there is no other `/proc`.
const OWN_FILE: &[u8] = b"/proc/self/exe";
const OWN_FILE_TARGET: &[u8] = b"/dev/program";

unsafe extern "C" {
    fn malloc(len: usize) -> *mut c_void;
}

/// Gives the caller a string: in `buf`, or in memory from `malloc` if that is null.
///
/// # Safety
/// `buf` is null, or has room for the text and a closing zero.
pub(super) unsafe fn give_text(string: &[u8], buf: *mut c_char) -> Result<*mut c_char> {
    let mut out = buf;
    if out.is_null() {
        // SAFETY: the program's own allocator, of the same image.
        out = unsafe { malloc(string.len() + 1) }.cast();
        if out.is_null() {
            return Err(Errno(libc::ENOMEM));
        }
    }
    // SAFETY: there is room for the text and the zero: it was just allocated, or the caller says so.
    unsafe {
        out.cast::<u8>()
            .copy_from_nonoverlapping(string.as_ptr(), string.len());
        out.add(string.len()).write(0);
    }
    Ok(out)
}

/// Removes a name, by a path from a directory; of an empty directory with `AT_REMOVEDIR`.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(directory: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: a C string.
    c_status(unsafe { text(path) }.and_then(|path| {
        let base = base(directory, path)?;
        match flags {
            0 => operations::unlink(vfs::names()?, &base, path),
            libc::AT_REMOVEDIR => operations::remove_directory(vfs::names()?, &base, path),
            _ => Err(Errno(libc::EINVAL)),
        }
    }))
}

/// Removes a name.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { unlinkat(libc::AT_FDCWD, path, 0) }
}

/// Removes a name, or an empty directory.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn remove(path: *const c_char) -> c_int {
    // SAFETY: a C string.
    c_status(unsafe { text(path) }.and_then(|path| {
        let (names, base) = (vfs::names()?, vfs::current()?);
        match operations::unlink(names, &base, path) {
            Err(Errno(libc::EISDIR)) => operations::remove_directory(names, &base, path),
            result => result,
        }
    }))
}

/// Renames, by paths from directories, with flags: `RENAME_NOREPLACE`, or `RENAME_EXCHANGE`.
///
/// # Safety
/// The paths are C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn renameat2(
    from_directory: c_int,
    from: *const c_char,
    to_directory: c_int,
    to: *const c_char,
    flags: c_uint,
) -> c_int {
    c_status((|| {
        // SAFETY: C strings.
        let (from, to) = unsafe { (text(from)?, text(to)?) };
        if !matches!(flags, 0 | libc::RENAME_NOREPLACE | libc::RENAME_EXCHANGE) {
            return Err(Errno(libc::EINVAL));
        }
        let (from_base, to_base) = (base(from_directory, from)?, base(to_directory, to)?);
        let (names, from, to) = (vfs::names()?, (&from_base, from), (&to_base, to));
        match flags {
            libc::RENAME_EXCHANGE => operations::exchange(names, from, to),
            flags => operations::rename(names, from, to, flags == 0),
        }
    })())
}

/// Renames, by paths from directories.
///
/// # Safety
/// The paths are C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn renameat(
    from_directory: c_int,
    from: *const c_char,
    to_directory: c_int,
    to: *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { renameat2(from_directory, from, to_directory, to, 0) }
}

/// Renames.
///
/// # Safety
/// The paths are C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { renameat2(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) }
}

/// Gives a file another name, by paths from directories.
///
/// # Safety
/// The paths are C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linkat(
    old_directory: c_int,
    old: *const c_char,
    new_directory: c_int,
    new: *const c_char,
    flags: c_int,
) -> c_int {
    c_status((|| {
        // SAFETY: C strings.
        let (old, new) = unsafe { (text(old)?, text(new)?) };
        let is_followed = flags & libc::AT_SYMLINK_FOLLOW != 0;
        let last = if is_followed {
            LastLink::Follow
        } else {
            LastLink::FollowBeforeSlash
        };
        let entry = entry_at(old_directory, old, flags, last)?;
        operations::make_link(vfs::names()?, &entry, &base(new_directory, new)?, new)
    })())
}

/// Gives a file another name.
///
/// # Safety
/// The paths are C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn link(old: *const c_char, new: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { linkat(libc::AT_FDCWD, old, libc::AT_FDCWD, new, 0) }
}

/// Makes a symbolic link, by a path from a directory.
///
/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn symlinkat(
    target: *const c_char,
    directory: c_int,
    path: *const c_char,
) -> c_int {
    c_status((|| {
        // SAFETY: C strings.
        let (target, path) = unsafe { (text(target)?, text(path)?) };
        operations::make_symlink(vfs::names()?, target, &base(directory, path)?, path)
    })())
}

/// Makes a symbolic link.
///
/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn symlink(target: *const c_char, path: *const c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { symlinkat(target, libc::AT_FDCWD, path) }
}

/// The target of a symbolic link, cut off at `len` bytes, without a closing zero, by a path from a directory.
///
/// # Safety
/// `path` is a C string; `len` bytes at `buf` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readlinkat(
    directory: c_int,
    path: *const c_char,
    buf: *mut c_char,
    len: usize,
) -> isize {
    c_count((|| {
        // SAFETY: a C string.
        let path = unsafe { text(path) }?;
        if len == 0 {
            return Err(Errno(libc::EINVAL));
        }
        // Linux takes an empty path as the descriptor's own link.
        let flags = libc::AT_EMPTY_PATH;
        let target = if path == OWN_FILE {
            OWN_FILE_TARGET.to_vec()
        } else {
            let entry = entry_at(directory, path, flags, LastLink::FollowBeforeSlash)?;
            entry.node.read_link()?
        };
        let count = target.len().min(len);
        // SAFETY: the caller's buffer.
        unsafe { bytes_mut(buf.cast(), count) }?.copy_from_slice(&target[..count]);
        Ok(count)
    })())
}

/// The target of a symbolic link, cut off at `len` bytes, without a closing zero.
///
/// # Safety
/// `path` is a C string; `len` bytes at `buf` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readlink(path: *const c_char, buf: *mut c_char, len: usize) -> isize {
    // SAFETY: a C string.
    match unsafe { text(path) } {
        // Only the function with a directory takes an empty path.
        Ok([]) => c_count(Err(Errno(libc::ENOENT))),
        // SAFETY: the same contract.
        _ => unsafe { readlinkat(libc::AT_FDCWD, path, buf, len) },
    }
}

/// The path without links and dots, in `buf` (of `PATH_MAX` bytes), or in memory from `malloc` if that is null.
///
/// # Safety
/// `path` is a C string; `buf` is null or has room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realpath(path: *const c_char, buf: *mut c_char) -> *mut c_char {
    c_result((|| {
        // SAFETY: a C string.
        let path = unsafe { text(path) }?;
        let real = vfs::resolve(path, LastLink::Follow)?.path();
        if real.len() >= libc::PATH_MAX as usize {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        // SAFETY: null, or the caller's buffer of PATH_MAX bytes.
        unsafe { give_text(&real, buf) }
    })())
}
