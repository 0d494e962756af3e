//! Shared memory by name (POSIX.1-2017, `shm_open`): files in `/dev/shm`, as on Linux (shm_overview(7)).

use alloc::vec::Vec;
use core::ffi::{c_char, c_int};

use super::convert::{c_result, c_status, text};
use super::file::open_within;
use crate::error::{Errno, Result};
use crate::storage::vfs;
use crate::storage::vfs::namespace::Bounds;
use crate::storage::vfs::operations;

const FOLDER: &[u8] = b"/dev/shm/";

/// Where a name is, with or without the slash that it begins with.
fn path_of(name: &[u8]) -> Result<Vec<u8>> {
    let name = name.strip_prefix(b"/").unwrap_or(name);
    match name {
        b"" | b"." | b".." => Err(Errno(libc::EINVAL)),
        _ if name.contains(&b'/') => Err(Errno(libc::EINVAL)),
        _ => Ok([FOLDER, name].concat()),
    }
}

/// Opens shared memory, or makes it.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn shm_open(name: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    c_result((|| {
        // SAFETY: the caller's string.
        let path = path_of(unsafe { text(name) }?)?;
        let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        open_within(libc::AT_FDCWD, &path, flags, mode, Bounds::NONE)
    })())
}

/// Takes the name away; who has it open keeps it.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn shm_unlink(name: *const c_char) -> c_int {
    c_status((|| {
        // SAFETY: the caller's string.
        let path = path_of(unsafe { text(name) }?)?;
        let names = vfs::names()?;
        operations::unlink(names, names.root(), &path)
    })())
}
