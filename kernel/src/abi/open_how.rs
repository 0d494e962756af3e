//! `openat2` (Linux: openat2(2)), which C libraries do not have as a function: opening within bounds. Links of `/proc` are paths like others, so
//! that what forbids the magic ones finds none.

use core::ffi::{c_char, c_int, c_void};
use core::mem::MaybeUninit;

use super::convert::{bytes, text};
use super::file::open_within;
use crate::error::{Errno, Result};
use crate::storage::vfs::open_how::checked;

/// The largest structure that is looked at.
const SIZE_MAX: usize = 4096;

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
