//! Descriptors: the table of typed objects behind small integers, one for std and for the native API.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Errno, Result};
use crate::scheduler::{Notifier, Readiness};
use crate::sync::SpinLock;

/// Something a program holds a descriptor of.
pub trait Object: Any + Send + Sync {
    /// Reads into `buf`; 0 is the end. Blocks unless `is_nonblocking`, when it returns `EAGAIN` instead.
    ///
    /// # Errors
    /// The error number that `read` sets.
    fn read(&self, buf: &mut [u8], is_nonblocking: bool) -> Result<usize> {
        let _ = (buf, is_nonblocking);
        Err(Errno(libc::EINVAL))
    }

    /// Writes from `buf`. Blocks unless `is_nonblocking`.
    ///
    /// # Errors
    /// The error number that `write` sets.
    fn write(&self, buf: &[u8], is_nonblocking: bool) -> Result<usize> {
        let _ = (buf, is_nonblocking);
        Err(Errno(libc::EINVAL))
    }

    /// What would not block now.
    fn readiness(&self) -> Readiness {
        Readiness::READABLE | Readiness::WRITABLE
    }

    /// Who wants to know of changes of readiness; `None` for what is always ready (files), which `epoll` refuses.
    fn notifier(&self) -> Option<&Notifier> {
        None
    }

    /// Fills in `stat` (zeroed before).
    ///
    /// # Errors
    /// The error number that `fstat` sets.
    fn stat(&self, stat: &mut libc::stat64) -> Result<()>;
}

/// An open description: what duplicated descriptors share.
pub struct Description {
    object: Box<dyn Object>,
    flags: AtomicU32,
}

impl Description {
    /// The object as its own type, if it is a `T`.
    pub fn downcast<T: Object>(&self) -> Option<&T> {
        let any: &dyn Any = &*self.object;
        any.downcast_ref()
    }

    /// The object.
    pub fn object(&self) -> &dyn Object {
        &*self.object
    }

    /// Status flags (`O_NONBLOCK`, `O_APPEND`, access mode).
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Sets the status flags.
    pub fn set_flags(&self, flags: u32) {
        self.flags.store(flags, Ordering::Relaxed);
    }

    /// Whether `O_NONBLOCK` is set.
    pub fn is_nonblocking(&self) -> bool {
        self.flags() & libc::O_NONBLOCK as u32 != 0
    }
}

struct Slot {
    description: Arc<Description>,
    is_close_on_exec: bool,
}

/// As many descriptors as there can be.
pub const MAX_DESCRIPTORS: usize = 1 << 20;

static TABLE: SpinLock<Vec<Option<Slot>>> = SpinLock::new(Vec::new());

/// Puts a new object in the table and returns the lowest free descriptor.
///
/// # Errors
/// `EMFILE` when the table is full.
pub fn insert(object: Box<dyn Object>, status_flags: u32) -> Result<i32> {
    insert_description(
        Arc::new(Description {
            object,
            flags: AtomicU32::new(status_flags),
        }),
        0,
    )
}

/// Puts a description at the lowest free descriptor from `lowest` on.
///
/// # Errors
/// `EMFILE` when the table is full.
pub fn insert_description(description: Arc<Description>, lowest: usize) -> Result<i32> {
    let mut table = TABLE.lock();
    let slot = Some(Slot {
        description,
        is_close_on_exec: false,
    });
    let index = match table.iter().skip(lowest).position(Option::is_none) {
        Some(free) => lowest + free,
        None => table.len().max(lowest),
    };
    if index >= MAX_DESCRIPTORS {
        return Err(Errno(libc::EMFILE));
    }
    if index >= table.len() {
        table.resize_with(index + 1, || None);
    }
    table[index] = slot;
    Ok(index as i32)
}

/// The description behind a descriptor.
///
/// # Errors
/// `EBADF` when there is none.
pub fn get(descriptor: i32) -> Result<Arc<Description>> {
    let table = TABLE.lock();
    usize::try_from(descriptor)
        .ok()
        .and_then(|index| table.get(index)?.as_ref())
        .map(|slot| slot.description.clone())
        .ok_or(Errno(libc::EBADF))
}

/// Takes a descriptor out of the table; the object goes with its last descriptor.
///
/// # Errors
/// `EBADF` when there is none.
pub fn remove(descriptor: i32) -> Result<Arc<Description>> {
    let mut table = TABLE.lock();
    usize::try_from(descriptor)
        .ok()
        .and_then(|index| table.get_mut(index)?.take())
        .map(|slot| slot.description)
        .ok_or(Errno(libc::EBADF))
}
