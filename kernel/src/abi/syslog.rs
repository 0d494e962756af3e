//! Messages for the system's log (POSIX.1-2017, `syslog.h`): they go to the console, where the kernel's are.

use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use super::format::format_onto;
use super::variadic::{VaList, variadic};
use crate::devices::console;

/// Which priorities are written, a bit for each.
static MASK: AtomicI32 = AtomicI32::new(0xFF);
/// What messages begin with: a string of the program's, which it keeps.
static NAME: AtomicPtr<c_char> = AtomicPtr::new(null_mut());

/// Begins messages with a name.
#[unsafe(no_mangle)]
extern "C" fn openlog(name: *const c_char, _options: c_int, _facility: c_int) {
    NAME.store(name.cast_mut(), Ordering::Release);
}

/// Begins messages with no name any more.
#[unsafe(no_mangle)]
extern "C" fn closelog() {
    NAME.store(null_mut(), Ordering::Release);
}

/// Sets which priorities are written, unless that would be none; which were.
#[unsafe(no_mangle)]
extern "C" fn setlogmask(mask: c_int) -> c_int {
    match mask {
        0 => MASK.load(Ordering::Relaxed),
        _ => MASK.swap(mask, Ordering::Relaxed),
    }
}

/// Writes a message.
///
/// # Safety
/// `format` is a C string, and `arguments` are what it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn vsyslog(priority: c_int, format: *const c_char, arguments: *mut VaList) {
    if MASK.load(Ordering::Relaxed) >> (priority & 7) & 1 == 0 {
        return;
    }
    let mut line = Vec::new();
    let name = NAME.load(Ordering::Acquire);
    if !name.is_null() {
        // SAFETY: the program keeps the string until it sets another one.
        line.extend_from_slice(unsafe { CStr::from_ptr(name) }.to_bytes());
        line.extend_from_slice(b": ");
    }
    // SAFETY: the same contract.
    if unsafe { format_onto(&mut line, format, &mut *arguments) }.is_ok() {
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        console::write(&line);
    }
}

/// As [`vsyslog`], with the size of what the format may write, which compilers check.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn __vsyslog_chk(
    priority: c_int,
    _flag: c_int,
    format: *const c_char,
    arguments: *mut VaList,
) {
    // SAFETY: the same contract.
    unsafe { vsyslog(priority, format, arguments) };
}

variadic! {
    syslog(2) = vsyslog, "rdx";
    __syslog_chk(3) = __vsyslog_chk, "rcx";
}
