//! `openat2` (Linux: openat2(2)), which C libraries do not have as a function: opening within bounds. Links of `/proc` are paths like others, so
//! that what forbids the magic ones finds none.

use core::ffi::{c_char, c_int, c_void};
use core::mem::MaybeUninit;

use super::convert::{bytes, text};
use super::file::open_within;
use crate::error::{Errno, Result};
use crate::storage::vfs::namespace::Bounds;

/// The kernel's own number for large files, which C libraries have as 0 on this processor (Linux: asm-generic/fcntl.h).
const LARGE_FILE: c_int = 0o100_000;
const FLAGS: c_int = libc::O_ACCMODE
    | libc::O_CREAT
    | libc::O_EXCL
    | libc::O_NOCTTY
    | libc::O_TRUNC
    | libc::O_APPEND
    | libc::O_NONBLOCK
    | libc::O_SYNC
    | libc::O_DSYNC
    | libc::O_ASYNC
    | libc::O_DIRECT
    | LARGE_FILE
    | libc::O_DIRECTORY
    | libc::O_NOFOLLOW
    | libc::O_NOATIME
    | libc::O_CLOEXEC
    | libc::O_PATH
    | libc::O_TMPFILE;
/// Flags that go with `O_PATH`.
const PATH_FLAGS: c_int = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_PATH | libc::O_CLOEXEC;
const RESOLVE: u64 = libc::RESOLVE_NO_XDEV
    | libc::RESOLVE_NO_MAGICLINKS
    | libc::RESOLVE_NO_SYMLINKS
    | libc::RESOLVE_BENEATH
    | libc::RESOLVE_IN_ROOT
    | libc::RESOLVE_CACHED;
/// The largest structure that is looked at.
const SIZE_MAX: usize = 4096;
const PERMISSIONS: u64 = 0o7777;

/// Opens a file as `how`, of `size` bytes, says.
///
/// # Safety
/// 1. `path` is a C string, and `size` bytes at `how` can be read.
pub(super) unsafe fn openat2(
    directory: c_int,
    path: *const c_char,
    how: *const c_void,
    size: usize,
) -> Result<usize> {
    if size < size_of::<libc::open_how>() {
        return Err(Errno(libc::EINVAL));
    }
    if size > SIZE_MAX {
        return Err(Errno(libc::E2BIG));
    }
    // SAFETY: the caller's promise (1).
    let given = unsafe { bytes(how, size) }?;
    let (known, unknown) = given.split_at(size_of::<libc::open_how>());
    if unknown.iter().any(|byte| *byte != 0) {
        return Err(Errno(libc::E2BIG));
    }
    let mut how = MaybeUninit::<libc::open_how>::uninit();
    // SAFETY: as many bytes as the structure has, which is of integers.
    let how = unsafe {
        how.as_mut_ptr()
            .cast::<u8>()
            .copy_from_nonoverlapping(known.as_ptr(), known.len());
        how.assume_init()
    };
    let (flags, bounds) = checked(&how)?;
    // SAFETY: the caller's promise (1).
    let path = unsafe { text(path) }?;
    open_within(directory, path, flags, how.mode as u32, bounds).map(|file| file as usize)
}

/// Flags and bounds, if they are ones that can be.
fn checked(how: &libc::open_how) -> Result<(c_int, Bounds)> {
    let invalid = Err(Errno(libc::EINVAL));
    let Ok(flags) = c_int::try_from(how.flags) else {
        return invalid;
    };
    let resolves = |bits: u64| how.resolve & bits != 0;
    let is_creating = flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE;
    let modes = if is_creating { PERMISSIONS } else { 0 };
    if flags & !FLAGS != 0 || how.resolve & !RESOLVE != 0 || how.mode & !modes != 0 {
        return invalid;
    }
    if resolves(libc::RESOLVE_BENEATH) && resolves(libc::RESOLVE_IN_ROOT) {
        return invalid;
    }
    if flags & libc::O_PATH != 0 && flags & !PATH_FLAGS != 0 {
        return invalid;
    }
    // Nobody promises that what is asked for is at hand.
    if resolves(libc::RESOLVE_CACHED) {
        return Err(Errno(libc::EAGAIN));
    }
    Ok((
        flags & !LARGE_FILE,
        Bounds {
            is_beneath: resolves(libc::RESOLVE_BENEATH),
            is_in_root: resolves(libc::RESOLVE_IN_ROOT),
            has_one_mount: resolves(libc::RESOLVE_NO_XDEV),
            has_no_links: resolves(libc::RESOLVE_NO_SYMLINKS),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn how(flags: c_int, mode: u64, resolve: u64) -> libc::open_how {
        // SAFETY: a structure of integers.
        let mut how: libc::open_how = unsafe { core::mem::zeroed() };
        (how.flags, how.mode, how.resolve) = (flags as u64, mode, resolve);
        how
    }

    #[test]
    fn what_linux_refuses_is_refused() {
        for (how, expected) in [
            (how(libc::O_RDONLY, 0o600, 0), libc::EINVAL),
            (how(libc::O_CREAT, 0o10_000, 0), libc::EINVAL),
            (how(0, 0, 1 << 40), libc::EINVAL),
            (
                how(0, 0, libc::RESOLVE_BENEATH | libc::RESOLVE_IN_ROOT),
                libc::EINVAL,
            ),
            (how(libc::O_PATH | libc::O_APPEND, 0, 0), libc::EINVAL),
            (how(1 << 30, 0, 0), libc::EINVAL),
            (how(-1, 0, 0), libc::EINVAL),
            (how(0, 0, libc::RESOLVE_CACHED), libc::EAGAIN),
        ] {
            assert_eq!(checked(&how), Err(Errno(expected)), "{how:?}");
        }
        let (flags, bounds) = checked(&how(
            libc::O_CREAT | LARGE_FILE,
            0o600,
            libc::RESOLVE_BENEATH,
        ))
        .expect("can be");
        assert_eq!(flags, libc::O_CREAT);
        assert!(bounds.is_beneath && !bounds.is_in_root);
    }
}
