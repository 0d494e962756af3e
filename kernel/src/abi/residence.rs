//! Where pages are (POSIX.1-2017, `sys/mman.h`; Linux: mlock(2), mincore(2)): nothing is ever swapped out, so every page that was touched
//! stays in memory, and to lock pages is nothing to be done.

use core::ffi::{c_int, c_uint, c_void};

use super::convert::c_status;
use super::mapping::madvise;
use crate::error::{Errno, Result};

const PAGE_BYTES: usize = 4096;

/// Keeps pages in memory, where they are.
#[unsafe(no_mangle)]
pub(super) extern "C" fn mlock(_start: *const c_void, _len_bytes: usize) -> c_int {
    0
}

/// As [`mlock`]; `flags` may say "when they are touched".
#[unsafe(no_mangle)]
pub(super) extern "C" fn mlock2(_start: *const c_void, _len_bytes: usize, flags: c_uint) -> c_int {
    let on_fault = libc::MLOCK_ONFAULT as c_uint;
    c_status(check(flags & !on_fault == 0))
}

/// Ends what [`mlock`] began.
#[unsafe(no_mangle)]
pub(super) extern "C" fn munlock(_start: *const c_void, _len_bytes: usize) -> c_int {
    0
}

/// Keeps all pages in memory, where they are.
#[unsafe(no_mangle)]
pub(super) extern "C" fn mlockall(flags: c_int) -> c_int {
    let known = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    c_status(check(
        flags & !known == 0 && flags & !libc::MCL_ONFAULT != 0,
    ))
}

/// Ends what [`mlockall`] began.
#[unsafe(no_mangle)]
pub(super) extern "C" fn munlockall() -> c_int {
    0
}

fn check(is_valid: bool) -> Result<()> {
    match is_valid {
        true => Ok(()),
        false => Err(Errno(libc::EINVAL)),
    }
}

/// Tells which pages are in memory: all of them.
///
/// # Safety
/// A byte for each page of the range can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn mincore(start: *mut c_void, len: usize, out: *mut u8) -> c_int {
    c_status((|| {
        check((start as usize).is_multiple_of(PAGE_BYTES))?;
        if out.is_null() {
            return Err(Errno(libc::EFAULT));
        }
        // SAFETY: not null, and the caller's.
        unsafe { out.write_bytes(1, len.div_ceil(PAGE_BYTES)) };
        Ok(())
    })())
}

/// Says how memory will be used; returns an error number. No advice of POSIX's loses content, as one of [`madvise`]'s does.
#[unsafe(no_mangle)]
pub(super) extern "C" fn posix_madvise(start: *mut c_void, len: usize, advice: c_int) -> c_int {
    match advice {
        libc::POSIX_MADV_DONTNEED => 0,
        libc::POSIX_MADV_NORMAL..=libc::POSIX_MADV_WILLNEED => madvise(start, len, advice),
        _ => libc::EINVAL,
    }
}
