//! Files without a name, in memory (Linux: memfd_create(2)).

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::{c_char, c_int, c_uint};

use super::convert::{c_result, text};
use super::object;
use crate::error::{Errno, Result};
use crate::memory::frames;
use crate::storage::vfs::file::{Access, OpenFile};
use crate::storage::vfs::namespace::Namespace;
use crate::storage::vfs::node::NewNode;
use crate::storage::vfs::tmpfs::Tmpfs;
use crate::storage::vfs::{content, mapped, ranges};
use crate::sync::OnceCell;

/// Where they are: a tree that no path leads into, and that may take half of the memory.
static TREE: OnceCell<Namespace> = OnceCell::new();

fn tree() -> Result<&'static Namespace> {
    if let Some(tree) = TREE.get() {
        return Ok(tree);
    }
    content::set_mapper(&mapped::Files);
    ranges::install(&ranges::Locks);
    let (_, total_bytes) = frames::usage();
    let made = Namespace::new(Arc::new(Tmpfs::new(total_bytes as u64 / 2)))?;
    // Another thread may have been quicker.
    let _ = TREE.set(made);
    TREE.get().ok_or(Errno(libc::ENOMEM))
}

/// Makes a file; its name is for debuggers only. Seals and large pages are not there (`EINVAL`).
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn memfd_create(name: *const c_char, flags: c_uint) -> c_int {
    c_result((|| {
        // SAFETY: a C string.
        let name = unsafe { text(name) }?;
        if name.len() > 249 || flags & !libc::MFD_CLOEXEC != 0 {
            return Err(Errno(libc::EINVAL));
        }
        let root = tree()?.root();
        // One at a time has the name, and only until it is open.
        let _turn = CREATING.take();
        let node = root.node.create(NAME, NewNode::File, 0o777)?;
        root.node.unlink(NAME)?;
        let access = Access {
            can_read: true,
            can_write: true,
        };
        let file = OpenFile::new(Namespace::created(root, name, node), access, false);
        let close_on_exec = if flags != 0 { libc::O_CLOEXEC } else { 0 };
        object::insert(Box::new(file), (libc::O_RDWR | close_on_exec) as u32)
    })())
}

/// A file to be read only, of this content; its descriptor.
///
/// # Errors
/// `ENOSPC` or `ENOMEM`.
pub(super) fn of_content(name: &[u8], content: &[u8], flags: c_int) -> Result<c_int> {
    let root = tree()?.root();
    let _turn = CREATING.take();
    let node = root.node.create(NAME, NewNode::File, 0o444)?;
    root.node.unlink(NAME)?;
    node.write_at(0, content)?;
    let access = Access {
        can_read: true,
        can_write: false,
    };
    let file = OpenFile::new(Namespace::created(root, name, node), access, false);
    object::insert(Box::new(file), (flags & libc::O_CLOEXEC) as u32)
}

const NAME: &[u8] = b"memfd";
static CREATING: crate::scheduler::Turn = crate::scheduler::Turn::new();
