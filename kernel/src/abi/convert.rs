//! Between C and Rust: strings and buffers of callers, and results as a value and `errno`.

use core::ffi::{CStr, c_char, c_int, c_void};

use super::errno;
pub(super) use super::errno::{count as c_count, status as c_status};
use crate::error::{Errno, Result};

/// What a C function returns when it fails: a value that cannot be a result, with the reason in `errno`.
pub(super) trait Failure {
    /// The value.
    const FAILED: Self;
}

impl Failure for c_int {
    const FAILED: Self = -1;
}

impl Failure for isize {
    const FAILED: Self = -1;
}

impl Failure for i64 {
    const FAILED: Self = -1;
}

impl<T> Failure for *mut T {
    const FAILED: Self = core::ptr::null_mut();
}

/// A result as C has it.
pub(super) fn c_result<T: Failure>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| {
        errno::set(error);
        T::FAILED
    })
}

/// The most that one call reads or writes, as on Linux.
pub(super) const MAX_COUNT: usize = 0x7FFF_F000;

/// A string of the caller's.
///
/// # Safety
/// Null, or a string that ends with a zero byte and stays as it is for `'a`.
pub(super) unsafe fn text<'a>(string: *const c_char) -> Result<&'a [u8]> {
    if string.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: not null; the rest is the caller's promise.
    Ok(unsafe { CStr::from_ptr(string) }.to_bytes())
}

/// A buffer of the caller's to read from.
///
/// # Safety
/// `len` bytes at `start` can be read, and stay as they are for `'a`.
pub(super) unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if start.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: not null; the rest is the caller's promise.
    Ok(unsafe { core::slice::from_raw_parts(start.cast(), len.min(MAX_COUNT)) })
}

/// A buffer of the caller's to fill.
///
/// # Safety
/// `len` bytes at `start` can be written, and belong to the callee for `'a`.
pub(super) unsafe fn bytes_mut<'a>(start: *mut c_void, len: usize) -> Result<&'a mut [u8]> {
    if len == 0 {
        return Ok(&mut []);
    }
    if start.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: not null; the rest is the caller's promise. C callers need not have initialised the bytes: they are only written.
    Ok(unsafe { core::slice::from_raw_parts_mut(start.cast(), len.min(MAX_COUNT)) })
}

/// Puts a value where the caller wants it.
///
/// # Safety
/// Null, or where a `T` can be written.
pub(super) unsafe fn put<T>(place: *mut T, value: T) -> Result<()> {
    if place.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: not null; the rest is the caller's promise.
    unsafe { place.write(value) };
    Ok(())
}

/// A copy of a value of the caller's; `None` for null.
///
/// # Safety
/// Null, or where a `T` can be read.
pub(super) unsafe fn get<T: Copy>(place: *const T) -> Option<T> {
    // SAFETY: the caller's promise.
    (!place.is_null()).then(|| unsafe { place.read() })
}

/// The same function under a second name: on x86-64, files have 64-bit offsets with and without the suffix.
macro_rules! also_named {
    ($($second:ident = $first:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {$(
        #[doc = concat!("See [`", stringify!($first), "`].\n\n# Safety\nAs there.")]
        #[unsafe(no_mangle)]
        pub(in crate::abi) unsafe extern "C" fn $second($($argument: $kind),*) -> $result {
            // SAFETY: the same contract.
            unsafe { $first($($argument),*) }
        }
    )*};
}
pub(super) use also_named;
