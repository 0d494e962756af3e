//! Conditions (POSIX.1-2017, `pthread_cond_wait` and its kin), which a thread waits for with a mutex.

use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, Ordering};

use super::{Mutex, code, deadline, sleep, wake};
use crate::abi::convert::get;
use crate::error::Result;

/// What lies in a `pthread_cond_t`.
#[repr(C)]
struct Condition {
    /// Counts signals.
    sequence: AtomicU32,
    waiters: AtomicU32,
    /// Whether times are those of the monotonic clock.
    is_monotonic: AtomicU32,
}

const _: () = assert!(size_of::<Condition>() <= size_of::<libc::pthread_cond_t>());

impl Condition {
    /// # Safety
    /// 1. `pointer` is an initialised condition.
    unsafe fn of<'a>(pointer: *mut libc::pthread_cond_t) -> &'a Self {
        // SAFETY: the caller's promise (1).
        unsafe { &*pointer.cast() }
    }

    fn wait(&self, mutex: &Mutex, deadline_ns: Option<u64>) -> Result<()> {
        let sequence = self.sequence.load(Ordering::Acquire);
        self.waiters.fetch_add(1, Ordering::SeqCst);
        if let Err(error) = mutex.unlock() {
            self.waiters.fetch_sub(1, Ordering::SeqCst);
            return Err(error);
        }
        let result = sleep(&self.sequence, sequence, deadline_ns);
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        mutex.lock(None)?;
        result
    }

    fn wake(&self, most: usize) {
        if self.waiters.load(Ordering::SeqCst) != 0 {
            self.sequence.fetch_add(1, Ordering::Release);
            wake(&self.sequence, most);
        }
    }
}

/// Makes a condition.
///
/// # Safety
/// `out` can be written; `attributes` is null or initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_cond_init(
    out: *mut libc::pthread_cond_t,
    attributes: *const libc::pthread_condattr_t,
) -> c_int {
    // SAFETY: null, or the caller's, whose first word is the clock.
    let clock = unsafe { get(attributes.cast::<c_int>()) };
    // SAFETY: the caller's place, in which a condition has room.
    unsafe {
        out.write(libc::PTHREAD_COND_INITIALIZER);
        let is_monotonic = u32::from(clock == Some(libc::CLOCK_MONOTONIC));
        (*out.cast::<Condition>()).is_monotonic = AtomicU32::new(is_monotonic);
    }
    0
}

/// Ends a condition.
#[unsafe(no_mangle)]
extern "C" fn pthread_cond_destroy(_: *mut libc::pthread_cond_t) -> c_int {
    0
}

/// Unlocks, waits for a signal, locks.
///
/// # Safety
/// Both are initialised, and the caller holds the mutex.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_cond_wait(
    condition: *mut libc::pthread_cond_t,
    mutex: *mut libc::pthread_mutex_t,
) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { Condition::of(condition).wait(Mutex::of(mutex), None) })
}

/// As [`pthread_cond_wait`], until a time of the condition's clock.
///
/// # Safety
/// As there; `time` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_cond_timedwait(
    condition: *mut libc::pthread_cond_t,
    mutex: *mut libc::pthread_mutex_t,
    time: *const libc::timespec,
) -> c_int {
    // SAFETY: the caller's.
    let is_monotonic = unsafe { Condition::of(condition) }
        .is_monotonic
        .load(Ordering::Relaxed);
    let clock = if is_monotonic != 0 {
        libc::CLOCK_MONOTONIC
    } else {
        libc::CLOCK_REALTIME
    };
    // SAFETY: the same contract.
    unsafe { pthread_cond_clockwait(condition, mutex, clock, time) }
}

/// As [`pthread_cond_wait`], until a time of a clock.
///
/// # Safety
/// As there; `time` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_cond_clockwait(
    condition: *mut libc::pthread_cond_t,
    mutex: *mut libc::pthread_mutex_t,
    clock: libc::clockid_t,
    time: *const libc::timespec,
) -> c_int {
    // SAFETY: the caller's.
    code(unsafe {
        deadline(clock, time)
            .and_then(|at_ns| Condition::of(condition).wait(Mutex::of(mutex), at_ns))
    })
}

/// Wakes one who waits.
///
/// # Safety
/// `condition` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_cond_signal(condition: *mut libc::pthread_cond_t) -> c_int {
    // SAFETY: the caller's.
    unsafe { Condition::of(condition) }.wake(1);
    0
}

/// Wakes all who wait.
///
/// # Safety
/// `condition` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_cond_broadcast(condition: *mut libc::pthread_cond_t) -> c_int {
    // SAFETY: the caller's.
    unsafe { Condition::of(condition) }.wake(usize::MAX);
    0
}

/// Makes attributes of a condition.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_condattr_init(out: *mut libc::pthread_condattr_t) -> c_int {
    // SAFETY: the caller's place; the attributes are an integer.
    unsafe { out.cast::<c_int>().write(libc::CLOCK_REALTIME) };
    0
}

/// Ends attributes.
#[unsafe(no_mangle)]
extern "C" fn pthread_condattr_destroy(_: *mut libc::pthread_condattr_t) -> c_int {
    0
}

/// Sets the clock of a condition's times.
///
/// # Safety
/// `out` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_condattr_setclock(
    out: *mut libc::pthread_condattr_t,
    clock: libc::clockid_t,
) -> c_int {
    if ![libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC].contains(&clock) {
        return libc::EINVAL;
    }
    // SAFETY: the caller's attributes.
    unsafe { out.cast::<c_int>().write(clock) };
    0
}
