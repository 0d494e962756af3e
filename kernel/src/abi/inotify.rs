//! `inotify` (Linux: inotify(7)): what happens to files is read from a descriptor. What is watched, and by whom, is in
//! [`crate::storage::vfs::watch`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::{c_char, c_int};

use super::convert::{c_result, c_status, text};
use super::object::{self, Object};
use crate::error::{Errno, Result};
use crate::scheduler::{Notifier, Readiness};
use crate::storage::vfs;
use crate::storage::vfs::namespace::LastLink;
use crate::storage::vfs::watch::inotify::Queue;

struct InotifyObject(Arc<Queue>);

impl Object for InotifyObject {
    fn read(&self, buf: &mut [u8], is_nonblocking: bool) -> Result<usize> {
        self.0.read(buf, !is_nonblocking)
    }

    fn write(&self, _buf: &[u8], _is_nonblocking: bool) -> Result<usize> {
        Err(Errno(libc::EBADF))
    }

    fn readiness(&self) -> Readiness {
        match self.0.unread() {
            0 => Readiness::empty(),
            _ => Readiness::READABLE,
        }
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(self.0.notifier())
    }

    fn unread(&self) -> Result<usize> {
        Ok(self.0.unread())
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        object::stat_anonymous(stat);
        Ok(())
    }
}

impl Drop for InotifyObject {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Makes a descriptor to read events from. Flags: `IN_CLOEXEC`, `IN_NONBLOCK`.
#[unsafe(no_mangle)]
pub(super) extern "C" fn inotify_init1(flags: c_int) -> c_int {
    if flags & !(libc::IN_CLOEXEC | libc::IN_NONBLOCK) != 0 {
        return c_result(Err(Errno(libc::EINVAL)));
    }
    c_result(object::insert(
        Box::new(InotifyObject(Queue::new())),
        flags as u32,
    ))
}

/// Makes a descriptor to read events from.
#[unsafe(no_mangle)]
pub(super) extern "C" fn inotify_init() -> c_int {
    inotify_init1(0)
}

/// Calls `work` with the queue behind a descriptor.
fn with_queue<T>(descriptor: c_int, work: impl FnOnce(&Arc<Queue>) -> Result<T>) -> Result<T> {
    let description = object::get(descriptor)?;
    let inotify = description.downcast::<InotifyObject>();
    work(&inotify.ok_or(Errno(libc::EINVAL))?.0)
}

/// Watches what a path leads to, or changes what is watched for there; the number of the watch.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn inotify_add_watch(
    descriptor: c_int,
    path: *const c_char,
    events: u32,
) -> c_int {
    c_result(with_queue(descriptor, |queue| {
        // SAFETY: a C string.
        let path = unsafe { text(path) }?;
        let last_link = match events & libc::IN_DONT_FOLLOW {
            0 => LastLink::Follow,
            _ => LastLink::FollowBeforeSlash,
        };
        let entry = vfs::resolve(path, last_link)?;
        if events & libc::IN_ONLYDIR != 0 && !entry.is_directory() {
            return Err(Errno(libc::ENOTDIR));
        }
        queue.watch(&entry, events)
    }))
}

/// Ends a watch.
#[unsafe(no_mangle)]
pub(super) extern "C" fn inotify_rm_watch(descriptor: c_int, watch: c_int) -> c_int {
    c_status(with_queue(descriptor, |queue| queue.unwatch(watch)))
}
