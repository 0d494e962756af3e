//! Files and directories with names that nobody has (POSIX.1-2017, `mkstemp`, `mkdtemp`).

use core::ffi::{CStr, c_char, c_int};

use super::convert::c_result;
use super::directory::mkdir;
use super::errno;
use super::file::open64;
use crate::arch::entropy;
use crate::error::{Errno, Result};

const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const TRIES: usize = 100;

/// Replaces the six `X` before the last `suffix_len` bytes until `make` finds the name free.
///
/// # Safety
/// 1. `template` is a C string that can be written.
pub(super) unsafe fn with_name(
    template: *mut c_char,
    suffix_len: c_int,
    make: impl Fn(*const c_char) -> c_int,
) -> Result<c_int> {
    // SAFETY: (1).
    let len = unsafe { CStr::from_ptr(template) }.count_bytes();
    let start = usize::try_from(suffix_len)
        .ok()
        .and_then(|suffix| len.checked_sub(suffix)?.checked_sub(6))
        .ok_or(Errno(libc::EINVAL))?;
    // SAFETY: inside of the string (1).
    let place = unsafe { core::slice::from_raw_parts_mut(template.add(start).cast::<u8>(), 6) };
    if place != b"XXXXXX" {
        return Err(Errno(libc::EINVAL));
    }
    for _ in 0..TRIES {
        let mut random = entropy::random_u64();
        for byte in &mut *place {
            *byte = LETTERS[(random % 62) as usize];
            random /= 62;
        }
        match make(template) {
            -1 if errno::get() != libc::EEXIST => return Err(Errno(errno::get())),
            -1 => {}
            made => return Ok(made),
        }
    }
    Err(Errno(libc::EEXIST))
}

/// Makes a file; its descriptor.
///
/// # Safety
/// `template` is a C string that can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn mkostemps(
    template: *mut c_char,
    suffix_len: c_int,
    flags: c_int,
) -> c_int {
    let flags = flags | libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    // SAFETY: the caller's string.
    c_result(unsafe { with_name(template, suffix_len, |path| open64(path, flags, 0o600)) })
}

/// As [`mkostemps`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn mkostemp(template: *mut c_char, flags: c_int) -> c_int {
    // SAFETY: the same contract.
    unsafe { mkostemps(template, 0, flags) }
}

/// As [`mkostemps`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn mkstemps(template: *mut c_char, suffix_len: c_int) -> c_int {
    // SAFETY: the same contract.
    unsafe { mkostemps(template, suffix_len, 0) }
}

/// As [`mkostemps`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn mkstemp(template: *mut c_char) -> c_int {
    // SAFETY: the same contract.
    unsafe { mkostemps(template, 0, 0) }
}

/// Makes a directory; the template, which is its name then.
///
/// # Safety
/// `template` is a C string that can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn mkdtemp(template: *mut c_char) -> *mut c_char {
    // SAFETY: the caller's string.
    let made = unsafe { with_name(template, 0, |path| mkdir(path, 0o700)) };
    c_result(made.map_or_else(Err, |_| Ok(template)))
}

super::convert::also_named! {
    mkstemp64 = mkstemp(template: *mut c_char) -> c_int;
    mkostemp64 = mkostemp(template: *mut c_char, flags: c_int) -> c_int;
    mkstemps64 = mkstemps(template: *mut c_char, suffix_len: c_int) -> c_int;
}
