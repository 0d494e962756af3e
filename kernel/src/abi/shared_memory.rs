//! Shared memory by name (POSIX.1-2017, `shm_open`): files in memory, in a tree of their own that no path leads into.

use alloc::boxed::Box;
use core::ffi::{c_char, c_int};

use super::convert::{c_result, c_status, text};
use super::{memfd, object};
use crate::error::{Errno, Result};
use crate::storage::vfs::content;
use crate::storage::vfs::file::{Access, OpenFile};
use crate::storage::vfs::namespace::Namespace;
use crate::storage::vfs::node::NewNode;

/// What files of `shm_open` begin with, so that they are not taken for others of the tree.
const PREFIX: &[u8] = b"shm/";

/// A name without the slash that it begins with.
fn name_of(name: &[u8]) -> Result<alloc::vec::Vec<u8>> {
    let name = name.strip_prefix(b"/").unwrap_or(name);
    if name.len() > 250 {
        return Err(Errno(libc::ENAMETOOLONG));
    }
    if name.is_empty() || name.contains(&b'/') {
        return Err(Errno(libc::EINVAL));
    }
    Ok([PREFIX, name].concat())
}

/// Opens shared memory, or makes it.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn shm_open(name: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    c_result((|| {
        // SAFETY: the caller's string.
        let name = name_of(unsafe { text(name) }?)?;
        let root = memfd::tree()?.root();
        let found = match root.node.lookup(&name) {
            Ok(_) if flags & libc::O_EXCL != 0 && flags & libc::O_CREAT != 0 => {
                return Err(Errno(libc::EEXIST));
            }
            Err(Errno(libc::ENOENT)) if flags & libc::O_CREAT != 0 => {
                root.node.create(&name, NewNode::File, mode & 0o777)?
            }
            found => found?,
        };
        let can_write = flags & libc::O_ACCMODE == libc::O_RDWR;
        if can_write && flags & libc::O_TRUNC != 0 {
            content::set_len(&found, 0)?;
        }
        let access = Access {
            can_read: true,
            can_write,
        };
        let file = OpenFile::new(Namespace::created(root, &name, found), access, false);
        let status = flags & libc::O_ACCMODE | libc::O_CLOEXEC;
        object::insert(Box::new(file), status as u32)
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
        let name = name_of(unsafe { text(name) }?)?;
        memfd::tree()?.root().node.unlink(&name)
    })())
}
