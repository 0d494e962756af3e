//! Semaphores without names (POSIX.1-2017, `semaphore.h`).

use core::ffi::{c_int, c_uint};
use core::sync::atomic::{AtomicU32, Ordering};

use super::{deadline, sleep, wake};
use crate::abi::convert::c_status;
use crate::error::{Errno, Result};

/// What lies in a `sem_t`.
#[repr(C)]
struct Semaphore {
    value: AtomicU32,
    waiters: AtomicU32,
}

const _: () = assert!(size_of::<Semaphore>() <= size_of::<libc::sem_t>());

impl Semaphore {
    /// # Safety
    /// 1. `pointer` is an initialised semaphore.
    unsafe fn of<'a>(pointer: *mut libc::sem_t) -> &'a Self {
        // SAFETY: the caller's promise (1).
        unsafe { &*pointer.cast() }
    }

    fn try_take(&self) -> Result<()> {
        let take = |value: u32| value.checked_sub(1);
        self.value
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .map(drop)
            .map_err(|_| Errno(libc::EAGAIN))
    }

    fn take(&self, deadline_ns: Option<u64>) -> Result<()> {
        while self.try_take().is_err() {
            self.waiters.fetch_add(1, Ordering::SeqCst);
            let result = sleep(&self.value, 0, deadline_ns);
            self.waiters.fetch_sub(1, Ordering::SeqCst);
            result?;
        }
        Ok(())
    }
}

/// Makes a semaphore.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn sem_init(out: *mut libc::sem_t, _is_shared: c_int, value: c_uint) -> c_int {
    let semaphore = Semaphore {
        value: AtomicU32::new(value),
        waiters: AtomicU32::new(0),
    };
    // SAFETY: the caller's place, in which it has room.
    unsafe { out.cast::<Semaphore>().write(semaphore) };
    0
}

/// Ends a semaphore.
#[unsafe(no_mangle)]
extern "C" fn sem_destroy(_: *mut libc::sem_t) -> c_int {
    0
}

/// Takes one, or waits for it.
///
/// # Safety
/// `semaphore` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn sem_wait(semaphore: *mut libc::sem_t) -> c_int {
    // SAFETY: the caller's.
    c_status(unsafe { Semaphore::of(semaphore) }.take(None))
}

/// Takes one if there is one.
///
/// # Safety
/// `semaphore` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn sem_trywait(semaphore: *mut libc::sem_t) -> c_int {
    // SAFETY: the caller's.
    c_status(unsafe { Semaphore::of(semaphore) }.try_take())
}

/// Takes one, or gives up at a time of the wall clock.
///
/// # Safety
/// `semaphore` is initialised; `time` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn sem_timedwait(
    semaphore: *mut libc::sem_t,
    time: *const libc::timespec,
) -> c_int {
    // SAFETY: the caller's.
    c_status(unsafe {
        deadline(libc::CLOCK_REALTIME, time).and_then(|at_ns| Semaphore::of(semaphore).take(at_ns))
    })
}

/// Gives one.
///
/// # Safety
/// `semaphore` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn sem_post(semaphore: *mut libc::sem_t) -> c_int {
    // SAFETY: the caller's.
    let semaphore = unsafe { Semaphore::of(semaphore) };
    let give = |value: u32| {
        value
            .checked_add(1)
            .filter(|value| *value <= i32::MAX as u32)
    };
    let given = semaphore
        .value
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, give);
    if given.is_err() {
        return c_status(Err(Errno(libc::EOVERFLOW)));
    }
    if semaphore.waiters.load(Ordering::SeqCst) != 0 {
        wake(&semaphore.value, 1);
    }
    0
}

/// Tells how many there are.
///
/// # Safety
/// `semaphore` is initialised; `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn sem_getvalue(semaphore: *mut libc::sem_t, out: *mut c_int) -> c_int {
    // SAFETY: the caller's.
    unsafe { *out = Semaphore::of(semaphore).value.load(Ordering::Relaxed) as c_int };
    0
}
