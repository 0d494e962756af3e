//! What `openat2` asks for (Linux: openat2(2)): flags, and bounds of the way.

use core::ffi::c_int;

use super::namespace::Bounds;
use crate::error::{Errno, Result};

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
const PERMISSIONS: u64 = 0o7777;

/// Flags and bounds, if they are ones that can be.
///
/// # Errors
/// `EINVAL` for others; `EAGAIN` where only what is at hand would do.
pub fn checked(how: &libc::open_how) -> Result<(c_int, Bounds)> {
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
