//! What C compilers put into programs to find faults: functions that know the size of the memory they write (`_FORTIFY_SOURCE`), the
//! guard of stacks, failed assertions (Linux Standard Base 5.0, core, chapter 11). Who finds a fault ends the program.

use core::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};

use super::program::abort;
use super::stream::File;
use super::stream_calls::fgets;
use super::strings::{stpcpy, strcat, strcpy, strncat, strncpy};
use crate::devices::console;

unsafe extern "C" {
    fn strlen(string: *const c_char) -> usize;
}

/// Ends the program with a message.
fn fail(message: &[&[u8]]) -> ! {
    console::write(&message.concat());
    abort()
}

/// Ends the program if a write would be too long.
pub(super) fn check(fits: bool) {
    if !fits {
        fail(&[b"*** buffer overflow detected ***: terminated\n"]);
    }
}

/// The guard of a stack was overwritten.
#[unsafe(no_mangle)]
extern "C" fn __stack_chk_fail() -> ! {
    fail(&[b"*** stack smashing detected ***: terminated\n"])
}

/// A write would be too long.
#[unsafe(no_mangle)]
extern "C" fn __chk_fail() -> ! {
    check(false);
    abort()
}

/// A failed `assert`.
///
/// # Safety
/// All are C strings; the function's name may be null.
#[unsafe(no_mangle)]
unsafe extern "C" fn __assert_fail(
    assertion: *const c_char,
    file: *const c_char,
    line: c_uint,
    function: *const c_char,
) -> ! {
    // SAFETY: the caller's strings.
    let [assertion, file, function] = unsafe {
        [assertion, file, function].map(|text| match text.is_null() {
            true => &b"?"[..],
            false => CStr::from_ptr(text).to_bytes(),
        })
    };
    let line = alloc::format!(":{line}: ");
    let place = [file, line.as_bytes(), function];
    fail(&[&place.concat(), b": Assertion `", assertion, b"' failed.\n"])
}

/// # Safety
/// As of `memcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __memcpy_chk(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
    size: usize,
) -> *mut c_void {
    check(len <= size);
    // SAFETY: the same contract.
    unsafe { core::ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast(), len) };
    to
}

/// # Safety
/// As of `memmove`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __memmove_chk(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
    size: usize,
) -> *mut c_void {
    check(len <= size);
    // SAFETY: the same contract.
    unsafe { core::ptr::copy(from.cast::<u8>(), to.cast(), len) };
    to
}

/// # Safety
/// As of `memset`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __memset_chk(
    to: *mut c_void,
    byte: c_int,
    len: usize,
    size: usize,
) -> *mut c_void {
    check(len <= size);
    // SAFETY: the same contract.
    unsafe { core::ptr::write_bytes(to.cast::<u8>(), byte as u8, len) };
    to
}

/// # Safety
/// As of `strcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __strcpy_chk(
    to: *mut c_char,
    from: *const c_char,
    size: usize,
) -> *mut c_char {
    // SAFETY: the same contract.
    unsafe {
        check(strlen(from) < size);
        strcpy(to, from)
    }
}

/// # Safety
/// As of `stpcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __stpcpy_chk(
    to: *mut c_char,
    from: *const c_char,
    size: usize,
) -> *mut c_char {
    // SAFETY: the same contract.
    unsafe {
        check(strlen(from) < size);
        stpcpy(to, from)
    }
}

/// # Safety
/// As of `strncpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __strncpy_chk(
    to: *mut c_char,
    from: *const c_char,
    len: usize,
    size: usize,
) -> *mut c_char {
    check(len <= size);
    // SAFETY: the same contract.
    unsafe { strncpy(to, from, len) }
}

/// # Safety
/// As of `strcat`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __strcat_chk(
    to: *mut c_char,
    from: *const c_char,
    size: usize,
) -> *mut c_char {
    // SAFETY: the same contract.
    unsafe {
        check(strlen(to) + strlen(from) < size);
        strcat(to, from)
    }
}

/// # Safety
/// As of `strncat`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __strncat_chk(
    to: *mut c_char,
    from: *const c_char,
    len: usize,
    size: usize,
) -> *mut c_char {
    // SAFETY: the same contract.
    unsafe {
        check(strlen(to) + super::strings::strnlen(from, len) < size);
        strncat(to, from, len)
    }
}

/// # Safety
/// As of `fgets`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __fgets_chk(
    out: *mut c_char,
    size: usize,
    len: c_int,
    file: *mut File,
) -> *mut c_char {
    check(usize::try_from(len).unwrap_or(0) <= size);
    // SAFETY: the same contract.
    unsafe { fgets(out, len, file) }
}

/// # Safety
/// As of `read`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __read_chk(
    descriptor: c_int,
    buf: *mut c_void,
    len: usize,
    size: usize,
) -> isize {
    check(len <= size);
    // SAFETY: the same contract.
    unsafe { super::file::read(descriptor, buf, len) }
}

/// The index of a descriptor's bit in an `fd_set`.
#[unsafe(no_mangle)]
extern "C" fn __fdelt_chk(descriptor: c_long) -> c_long {
    check((0..libc::FD_SETSIZE as c_long).contains(&descriptor));
    descriptor / 64
}
