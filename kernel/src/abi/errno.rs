//! `errno`, one for each thread.

use core::ffi::c_int;

use crate::error::{Errno, Result};
use crate::scheduler::thread;

/// The running thread's `errno`.
#[unsafe(no_mangle)]
pub extern "C" fn __errno_location() -> *mut c_int {
    // SAFETY: a running thread has a control block.
    unsafe { (*thread::control_block()).errno.as_ptr() }
}

/// Sets `errno` and returns -1, as C functions fail.
pub fn set(error: Errno) -> c_int {
    // SAFETY: the pointer is to the running thread's own `errno`.
    unsafe { *__errno_location() = error.0 };
    -1
}

/// The running thread's `errno`.
pub fn get() -> c_int {
    // SAFETY: as in `set`.
    unsafe { *__errno_location() }
}

/// A count as C functions return it.
pub fn count(result: Result<usize>) -> isize {
    match result {
        Ok(count) => count as isize,
        Err(error) => set(error) as isize,
    }
}

/// Success (0) or failure (-1 and `errno`) as C functions return it.
pub fn status(result: Result<()>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => set(error),
    }
}
