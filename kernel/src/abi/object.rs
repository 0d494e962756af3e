//! Descriptors: the table of typed objects behind small integers, one for std and for the native API.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::ffi::{c_ulong, c_void};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::error::{Errno, Result};
use crate::memory::heap;
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

    /// What of `wanted` would not block now: for what finds out at a price.
    fn readiness_of(&self, wanted: Readiness) -> Readiness {
        self.readiness() & wanted
    }

    /// Who wants to know of changes of readiness; `None` for what is always ready (files), which `epoll` refuses.
    fn notifier(&self) -> Option<&Notifier> {
        None
    }

    /// How many bytes can be read without waiting (`FIONREAD`).
    ///
    /// # Errors
    /// `ENOTTY` when the object does not know.
    fn unread(&self) -> Result<usize> {
        Err(Errno(libc::ENOTTY))
    }

    /// What only this kind of object does (`ioctl`).
    ///
    /// # Errors
    /// `ENOTTY` for a request that it does not know.
    ///
    /// # Safety
    /// 1. `argument` points to what the request says.
    unsafe fn control(&self, _request: c_ulong, _argument: *mut c_void) -> Result<()> {
        Err(Errno(libc::ENOTTY))
    }

    /// Moves the place where is read and written.
    ///
    /// # Errors
    /// `ESPIPE` of what has none; `EINVAL` before the beginning.
    fn seek(&self, _offset: i64, _whence: i32) -> Result<u64> {
        Err(Errno(libc::ESPIPE))
    }

    /// Sets the permissions of what has no name (`fchmod`).
    ///
    /// # Errors
    /// `EINVAL` of what keeps none.
    fn set_permissions(&self, _permissions: u32) -> Result<()> {
        Err(Errno(libc::EINVAL))
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
    number: u32,
}

impl Drop for Description {
    /// Whoever watches the object, as epoll does, watches it until its last descriptor is closed.
    fn drop(&mut self) {
        if let Some(notifier) = self.object.notifier() {
            notifier.dismiss();
        }
    }
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

    /// What tells it from others, as the number of a node does: `fstat` and `/proc` name what has no other name by it. Never 0.
    pub fn number(&self) -> u32 {
        self.number
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

/// Fills in what `fstat` tells of objects that have no name: as Linux has it for its anonymous inodes.
pub(super) fn stat_anonymous(stat: &mut libc::stat64) {
    stat.st_mode = 0o600;
    stat.st_nlink = 1;
    stat.st_blksize = 4096;
}

/// Numbers of descriptions begin here: above what might be taken for a descriptor's.
const FIRST_NUMBER: u32 = 4096;

/// As many descriptors as there can be.
pub const MAX_DESCRIPTORS: usize = 1 << 20;

/// As many as the program lets itself have.
static LIMIT: AtomicUsize = AtomicUsize::new(MAX_DESCRIPTORS);

/// As many descriptors as the program lets itself have (`RLIMIT_NOFILE`): each new one is below.
pub fn descriptor_limit() -> usize {
    LIMIT.load(Ordering::Relaxed)
}

/// Sets this limit, which those that are in use do not feel.
pub fn set_descriptor_limit(limit: usize) {
    LIMIT.store(limit.min(MAX_DESCRIPTORS), Ordering::Relaxed);
}

/// The table, with a map of what is in use: one bit a descriptor, so that the lowest free one is found 64 at a time.
struct Table {
    slots: Vec<Option<Slot>>,
    in_use: Vec<u64>,
    /// All words of `in_use` before this one are full.
    first_word_with_room: usize,
}

static TABLE: SpinLock<Table> = SpinLock::new(Table {
    slots: Vec::new(),
    in_use: Vec::new(),
    first_word_with_room: 0,
});

impl Table {
    /// The lowest free descriptor from `lowest` on.
    fn lowest_free(&mut self, lowest: usize) -> usize {
        let from_hint = self.first_word_with_room * 64;
        let start = lowest.max(from_hint);
        let mut ignored = !(u64::MAX << (start % 64));
        for word in start / 64..self.in_use.len() {
            let used = self.in_use[word] | ignored;
            if used != u64::MAX {
                if lowest <= from_hint {
                    self.first_word_with_room = word;
                }
                return word * 64 + used.trailing_ones() as usize;
            }
            ignored = 0;
        }
        if lowest <= from_hint {
            self.first_word_with_room = self.in_use.len();
        }
        start.max(self.in_use.len() * 64)
    }

    /// Puts a description at the lowest free descriptor from `lowest` on.
    fn insert(
        &mut self,
        description: Arc<Description>,
        lowest: usize,
        is_close_on_exec: bool,
    ) -> Result<i32> {
        let index = self.lowest_free(lowest);
        self.put(
            index,
            Slot {
                description,
                is_close_on_exec,
            },
        )?;
        Ok(index as i32)
    }

    /// Fills a slot, which may be in use.
    fn put(&mut self, index: usize, slot: Slot) -> Result<Option<Slot>> {
        if index >= descriptor_limit() {
            return Err(Errno(libc::EMFILE));
        }
        if index >= self.slots.len() {
            if self.slots.capacity() == 0 {
                // A shorter way than growing, which each start takes. What is replaced is empty: there is nothing to free.
                core::mem::forget(core::mem::replace(&mut self.slots, Vec::with_capacity(64)));
                core::mem::forget(core::mem::replace(&mut self.in_use, Vec::with_capacity(4)));
            }
            let len = (index + 1).next_multiple_of(64);
            let further = len - self.slots.len();
            let no_memory = |_| Errno(libc::ENOMEM);
            self.slots.try_reserve(further).map_err(no_memory)?;
            self.in_use.try_reserve(further / 64).map_err(no_memory)?;
            self.slots.resize_with(len, || None);
            while self.in_use.len() < len / 64 {
                self.in_use.push(0);
            }
        }
        self.in_use[index / 64] |= 1 << (index % 64);
        Ok(self.slots[index].replace(slot))
    }

    fn take(&mut self, index: usize) -> Option<Slot> {
        let slot = self.slots.get_mut(index)?.take()?;
        self.in_use[index / 64] &= !(1 << (index % 64));
        self.first_word_with_room = self.first_word_with_room.min(index / 64);
        Some(slot)
    }

    fn slot(&mut self, descriptor: i32) -> Result<&mut Slot> {
        usize::try_from(descriptor)
            .ok()
            .and_then(|index| self.slots.get_mut(index)?.as_mut())
            .ok_or(Errno(libc::EBADF))
    }
}

/// Puts a new object in the table and returns the lowest free descriptor. `O_CLOEXEC` among the flags marks the descriptor.
///
/// # Errors
/// `EMFILE` when the table is full, `ENOMEM` when memory is short.
pub fn insert(object: Box<dyn Object>, status_flags: u32) -> Result<i32> {
    /// Numbers come again after as many as no program opens in its time.
    static NEXT: AtomicU32 = AtomicU32::new(FIRST_NUMBER);
    if heap::is_short() {
        return Err(Errno(libc::ENOMEM));
    }
    let cloexec = libc::O_CLOEXEC as u32;
    let description = Arc::new(Description {
        object,
        flags: AtomicU32::new(status_flags & !cloexec),
        number: NEXT.fetch_add(1, Ordering::Relaxed).max(1),
    });
    TABLE
        .lock()
        .insert(description, 0, status_flags & cloexec != 0)
}

/// Puts a description at the lowest free descriptor from `lowest` on.
///
/// # Errors
/// `EMFILE` when the table is full.
pub fn insert_description(description: Arc<Description>, lowest: usize) -> Result<i32> {
    TABLE.lock().insert(description, lowest, false)
}

/// Puts a description at exactly this descriptor; what was there is returned, to be dropped outside the table's lock.
///
/// # Errors
/// `EBADF` when there can be no such descriptor.
pub fn replace(
    descriptor: i32,
    description: Arc<Description>,
    is_close_on_exec: bool,
) -> Result<Option<Arc<Description>>> {
    let index = usize::try_from(descriptor).map_err(|_| Errno(libc::EBADF))?;
    let slot = Slot {
        description,
        is_close_on_exec,
    };
    let old = TABLE.lock().put(index, slot);
    match old {
        Ok(old) => Ok(old.map(|slot| slot.description)),
        Err(_) => Err(Errno(libc::EBADF)),
    }
}

/// The description behind a descriptor.
///
/// # Errors
/// `EBADF` when there is none.
pub fn get(descriptor: i32) -> Result<Arc<Description>> {
    TABLE
        .lock()
        .slot(descriptor)
        .map(|slot| slot.description.clone())
}

/// All descriptions, each once, with the lowest of its descriptors.
pub fn all() -> Vec<(i32, Arc<Description>)> {
    let mut all: Vec<(i32, Arc<Description>)> = Vec::new();
    for descriptor in 0..=highest() as i32 {
        if let Ok(description) = get(descriptor) {
            all.push((descriptor, description));
        }
    }
    all.sort_unstable_by_key(|(descriptor, description)| (description.number, *descriptor));
    all.dedup_by_key(|(_, description)| description.number);
    all
}

/// The highest descriptor that may be in use.
pub fn highest() -> u32 {
    TABLE.lock().slots.len().saturating_sub(1) as u32
}

/// Takes a descriptor out of the table; the object goes with its last descriptor.
///
/// # Errors
/// `EBADF` when there is none.
pub fn remove(descriptor: i32) -> Result<Arc<Description>> {
    usize::try_from(descriptor)
        .ok()
        .and_then(|index| TABLE.lock().take(index))
        .map(|slot| slot.description)
        .ok_or(Errno(libc::EBADF))
}

/// Whether a descriptor is marked to be closed by `exec` (which there is none of: the mark is only kept).
///
/// # Errors
/// `EBADF` when there is no such descriptor.
pub fn is_close_on_exec(descriptor: i32) -> Result<bool> {
    TABLE
        .lock()
        .slot(descriptor)
        .map(|slot| slot.is_close_on_exec)
}

/// Marks a descriptor to be closed by `exec`, or not.
///
/// # Errors
/// `EBADF` when there is no such descriptor.
pub fn set_close_on_exec(descriptor: i32, is_set: bool) -> Result<()> {
    TABLE
        .lock()
        .slot(descriptor)
        .map(|slot| slot.is_close_on_exec = is_set)
}
