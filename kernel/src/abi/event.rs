//! `eventfd` (Linux: eventfd(2)): a counter behind a descriptor, with which threads wake each other.

use alloc::boxed::Box;
use core::ffi::{c_int, c_uint};

use super::convert::{c_result, c_status, put};
use super::object::{self, Object};
use crate::error::{Errno, Result};
use crate::scheduler::{Notifier, Readiness};
use crate::sync::SpinLock;

/// The most the counter holds.
const MAX: u64 = u64::MAX - 1;

struct Event {
    state: SpinLock<State>,
    /// Reads take 1 in place of all.
    is_semaphore: bool,
    notifier: Notifier,
}

struct State {
    value: u64,
    /// Somebody found no room for what is to be added.
    is_room_wanted: bool,
}

impl Object for Event {
    fn read(&self, buf: &mut [u8], is_nonblocking: bool) -> Result<usize> {
        let out = buf.first_chunk_mut::<8>().ok_or(Errno(libc::EINVAL))?;
        let mut state = self.state.lock();
        while state.value == 0 {
            if is_nonblocking {
                return Err(Errno(libc::EAGAIN));
            }
            (state, _) = self.notifier.wait(state, None);
        }
        let taken = if self.is_semaphore { 1 } else { state.value };
        let was_full = state.value == MAX;
        state.value -= taken;
        let is_room_wanted = core::mem::take(&mut state.is_room_wanted);
        drop(state);
        if was_full || is_room_wanted {
            self.notifier.notify();
        }
        *out = taken.to_ne_bytes();
        Ok(8)
    }

    fn write(&self, buf: &[u8], is_nonblocking: bool) -> Result<usize> {
        let added = buf.first_chunk().ok_or(Errno(libc::EINVAL))?;
        let added = u64::from_ne_bytes(*added);
        if added > MAX {
            return Err(Errno(libc::EINVAL));
        }
        let mut state = self.state.lock();
        while added > MAX - state.value {
            if is_nonblocking {
                return Err(Errno(libc::EAGAIN));
            }
            state.is_room_wanted = true;
            (state, _) = self.notifier.wait(state, None);
        }
        state.value += added;
        drop(state);
        self.notifier.notify();
        Ok(8)
    }

    fn readiness(&self) -> Readiness {
        let value = self.state.lock().value;
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::READABLE, value != 0);
        readiness.set(Readiness::WRITABLE, value < MAX);
        readiness
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(&self.notifier)
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        object::stat_anonymous(stat);
        Ok(())
    }
}

/// Makes a counter that begins with `initial`.
#[unsafe(no_mangle)]
pub(super) extern "C" fn eventfd(initial: c_uint, flags: c_int) -> c_int {
    if flags & !(libc::EFD_CLOEXEC | libc::EFD_NONBLOCK | libc::EFD_SEMAPHORE) != 0 {
        return c_result(Err(Errno(libc::EINVAL)));
    }
    let event = Event {
        state: SpinLock::new(State {
            value: u64::from(initial),
            is_room_wanted: false,
        }),
        is_semaphore: flags & libc::EFD_SEMAPHORE != 0,
        notifier: Notifier::new(),
    };
    let status = libc::O_RDWR | flags & (libc::O_CLOEXEC | libc::O_NONBLOCK);
    c_result(object::insert(Box::new(event), status as u32))
}

/// Reads the counter.
///
/// # Safety
/// `value` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn eventfd_read(descriptor: c_int, value: *mut u64) -> c_int {
    c_status((|| {
        let description = object::get(descriptor)?;
        let mut buf = [0; 8];
        description
            .object()
            .read(&mut buf, description.is_nonblocking())?;
        // SAFETY: the caller's place.
        unsafe { put(value, u64::from_ne_bytes(buf)) }
    })())
}

/// Adds to the counter.
#[unsafe(no_mangle)]
pub(super) extern "C" fn eventfd_write(descriptor: c_int, value: u64) -> c_int {
    c_status((|| {
        let description = object::get(descriptor)?;
        let is_nonblocking = description.is_nonblocking();
        description
            .object()
            .write(&value.to_ne_bytes(), is_nonblocking)
            .map(drop)
    })())
}
