//! Error numbers, as programs see them in `errno` (POSIX.1-2017, `errno.h`; values of Linux x86-64).
//!
//! Each subsystem has an error enum of its own; it becomes an [`Errno`] at the edge, in `abi`.

use core::fmt;

/// A Linux error number (`libc::ENOENT`, …).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

/// What kernel functions that programs reach return.
pub type Result<T> = core::result::Result<T, Errno>;

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "errno {}", self.0)
    }
}
