//! Extended attributes (Linux: xattr(7)): no file system here has them. What a path or descriptor leads to is looked at all the same, so
//! that the error is the one that Linux gives.

use core::ffi::{c_char, c_int, c_void};

use super::convert::{c_count, c_status, text};
use super::object;
use crate::error::{Errno, Result};
use crate::storage::vfs::{self, namespace::LastLink};

/// What every question ends with.
const NONE: Errno = Errno(libc::EOPNOTSUPP);

/// # Safety
/// 1. `path` is null or a C string.
unsafe fn of_path(path: *const c_char, last_link: LastLink) -> Result<usize> {
    // SAFETY: the caller's promise (1).
    vfs::resolve(unsafe { text(path) }?, last_link).and(Err(NONE))
}

fn of_descriptor(descriptor: c_int) -> Result<usize> {
    object::get(descriptor).and(Err(NONE))
}

macro_rules! of_paths {
    ($($get:ident $list:ident $set:ident $remove:ident $last_link:ident;)*) => {$(
        /// Reads an attribute.
        ///
        /// # Safety
        /// `path` is a C string.
        #[unsafe(no_mangle)]
        pub(super) unsafe extern "C" fn $get(
            path: *const c_char,
            _name: *const c_char,
            _value: *mut c_void,
            _len: usize,
        ) -> isize {
            // SAFETY: the caller's string.
            c_count(unsafe { of_path(path, LastLink::$last_link) })
        }

        /// Lists attributes.
        ///
        /// # Safety
        /// `path` is a C string.
        #[unsafe(no_mangle)]
        pub(super) unsafe extern "C" fn $list(
            path: *const c_char,
            _list: *mut c_char,
            _len: usize,
        ) -> isize {
            // SAFETY: the caller's string.
            c_count(unsafe { of_path(path, LastLink::$last_link) })
        }

        /// Sets an attribute.
        ///
        /// # Safety
        /// `path` is a C string.
        #[unsafe(no_mangle)]
        pub(super) unsafe extern "C" fn $set(
            path: *const c_char,
            _name: *const c_char,
            _value: *const c_void,
            _len: usize,
            _flags: c_int,
        ) -> c_int {
            // SAFETY: the caller's string.
            c_status(unsafe { of_path(path, LastLink::$last_link) }.map(drop))
        }

        /// Removes an attribute.
        ///
        /// # Safety
        /// `path` is a C string.
        #[unsafe(no_mangle)]
        pub(super) unsafe extern "C" fn $remove(path: *const c_char, _name: *const c_char) -> c_int {
            // SAFETY: the caller's string.
            c_status(unsafe { of_path(path, LastLink::$last_link) }.map(drop))
        }
    )*};
}

of_paths! {
    getxattr listxattr setxattr removexattr Follow;
    lgetxattr llistxattr lsetxattr lremovexattr Keep;
}

/// Reads an attribute of an open file.
#[unsafe(no_mangle)]
pub(super) extern "C" fn fgetxattr(
    descriptor: c_int,
    _name: *const c_char,
    _value: *mut c_void,
    _len: usize,
) -> isize {
    c_count(of_descriptor(descriptor))
}

/// Lists attributes of an open file.
#[unsafe(no_mangle)]
pub(super) extern "C" fn flistxattr(descriptor: c_int, _list: *mut c_char, _len: usize) -> isize {
    c_count(of_descriptor(descriptor))
}

/// Sets an attribute of an open file.
#[unsafe(no_mangle)]
pub(super) extern "C" fn fsetxattr(
    descriptor: c_int,
    _name: *const c_char,
    _value: *const c_void,
    _len: usize,
    _flags: c_int,
) -> c_int {
    c_status(of_descriptor(descriptor).map(drop))
}

/// Removes an attribute of an open file.
#[unsafe(no_mangle)]
pub(super) extern "C" fn fremovexattr(descriptor: c_int, _name: *const c_char) -> c_int {
    c_status(of_descriptor(descriptor).map(drop))
}
