//! What locks and threads may be told and asked that makes no difference here (POSIX.1-2017, `pthread.h`): there is one process, one
//! scheduling policy and one priority. What asks for another is refused. Functions return error numbers.

use core::ffi::{c_int, c_void};
use core::sync::atomic::Ordering;

use super::convert::{get, put};
use crate::error::{Errno, Result};
use crate::scheduler::{Thread, thread};

fn code(result: Result<()>) -> c_int {
    result.map_or_else(|error| error.0, |()| 0)
}

/// Settings with one possible value: the function that sets it, the one that tells it, the value, and the error of another one.
macro_rules! settings_with_one_value {
    ($($set:ident $get:ident: $value:expr, else $error:ident;)*) => {$(
        /// Sets what can be nothing else.
        #[unsafe(no_mangle)]
        extern "C" fn $set(_attributes: *mut c_void, value: c_int) -> c_int {
            if value == $value { 0 } else { libc::$error }
        }

        /// Tells what can be nothing else.
        ///
        /// # Safety
        /// `out` can be written.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $get(_attributes: *const c_void, out: *mut c_int) -> c_int {
            // SAFETY: the caller's place.
            code(unsafe { put(out, $value) })
        }
    )*};
}

settings_with_one_value! {
    pthread_attr_setschedpolicy pthread_attr_getschedpolicy: libc::SCHED_OTHER, else ENOTSUP;
    pthread_attr_setinheritsched pthread_attr_getinheritsched: libc::PTHREAD_INHERIT_SCHED, else ENOTSUP;
    pthread_attr_setscope pthread_attr_getscope: 0, else ENOTSUP;
    pthread_mutexattr_setprotocol pthread_mutexattr_getprotocol: libc::PTHREAD_PRIO_NONE, else ENOTSUP;
    pthread_mutexattr_setprioceiling pthread_mutexattr_getprioceiling: 0, else EINVAL;
}

/// Which processes may use a lock: there is one, so it makes no difference.
macro_rules! for_all_processes {
    ($($set:ident $get:ident;)*) => {$(
        /// Says which processes use the lock: the only one, in any case.
        #[unsafe(no_mangle)]
        extern "C" fn $set(_attributes: *mut c_void, value: c_int) -> c_int {
            match value {
                libc::PTHREAD_PROCESS_PRIVATE | libc::PTHREAD_PROCESS_SHARED => 0,
                _ => libc::EINVAL,
            }
        }

        /// Tells which processes use the lock.
        ///
        /// # Safety
        /// `out` can be written.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $get(_attributes: *const c_void, out: *mut c_int) -> c_int {
            // SAFETY: the caller's place.
            code(unsafe { put(out, libc::PTHREAD_PROCESS_PRIVATE) })
        }
    )*};
}

for_all_processes! {
    pthread_mutexattr_setpshared pthread_mutexattr_getpshared;
    pthread_condattr_setpshared pthread_condattr_getpshared;
    pthread_rwlockattr_setpshared pthread_rwlockattr_getpshared;
    pthread_barrierattr_setpshared pthread_barrierattr_getpshared;
}

/// Attributes that are an integer, and where it is asked for: the clock of a condition, who goes first at a
/// read-write lock.
macro_rules! attributes_of_one_integer {
    ($($get:ident;)*) => {$(
        /// Tells what was set.
        ///
        /// # Safety
        /// `attributes` are initialised, `out` can be written.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $get(attributes: *const c_int, out: *mut c_int) -> c_int {
            // SAFETY: the caller's.
            code(unsafe { get(attributes).ok_or(Errno(libc::EINVAL)).and_then(|value| put(out, value)) })
        }
    )*};
}

attributes_of_one_integer! {
    pthread_condattr_getclock;
    pthread_rwlockattr_getkind_np;
}

/// Makes attributes of a read-write lock.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_rwlockattr_init(out: *mut c_int) -> c_int {
    // SAFETY: the caller's place.
    code(unsafe { put(out, 0) })
}

/// Ends attributes.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlockattr_destroy(_: *mut c_int) -> c_int {
    0
}

/// Notes who goes first. Writers that wait are not overtaken, whatever is wished.
///
/// # Safety
/// `out` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_rwlockattr_setkind_np(out: *mut c_int, kind: c_int) -> c_int {
    match kind {
        // SAFETY: the caller's attributes.
        0..=2 => code(unsafe { put(out, kind) }),
        _ => libc::EINVAL,
    }
}

/// There are no priorities, so a mutex raises none.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_getprioceiling(_mutex: *const c_void, _out: *mut c_int) -> c_int {
    libc::EINVAL
}

/// See [`pthread_mutex_getprioceiling`].
#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_setprioceiling(_: *mut c_void, _: c_int, _: *mut c_int) -> c_int {
    libc::EINVAL
}

/// # Safety
/// 1. `parameter` is null or can be read.
unsafe fn check_priority(policy: c_int, parameter: *const libc::sched_param) -> Result<()> {
    // SAFETY: the caller's promise (1).
    let parameter = unsafe { get(parameter) }.ok_or(Errno(libc::EINVAL))?;
    match (policy, parameter.sched_priority) {
        (libc::SCHED_OTHER | libc::SCHED_BATCH | libc::SCHED_IDLE, 0) => Ok(()),
        (libc::SCHED_FIFO | libc::SCHED_RR, 1..=99) => Err(Errno(libc::EPERM)),
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// Sets the priority of threads to come: 0.
///
/// # Safety
/// `parameter` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_attr_setschedparam(
    _attributes: *mut c_void,
    parameter: *const libc::sched_param,
) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { check_priority(libc::SCHED_OTHER, parameter) })
}

/// Tells the priority of threads to come: 0.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_attr_getschedparam(
    _attributes: *const c_void,
    out: *mut libc::sched_param,
) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { put(out, libc::sched_param { sched_priority: 0 }) })
}

/// Tells how a thread is scheduled: as any.
///
/// # Safety
/// Both can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_getschedparam(
    _thread: libc::pthread_t,
    policy: *mut c_int,
    out: *mut libc::sched_param,
) -> c_int {
    // SAFETY: the caller's.
    code(unsafe {
        put(policy, libc::SCHED_OTHER)
            .and_then(|()| put(out, libc::sched_param { sched_priority: 0 }))
    })
}

/// Sets how a thread is scheduled: as any, or `EPERM`.
///
/// # Safety
/// `parameter` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_setschedparam(
    _thread: libc::pthread_t,
    policy: c_int,
    parameter: *const libc::sched_param,
) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { check_priority(policy, parameter) })
}

/// Sets a thread's priority: 0.
#[unsafe(no_mangle)]
extern "C" fn pthread_setschedprio(_thread: libc::pthread_t, priority: c_int) -> c_int {
    if priority == 0 { 0 } else { libc::EINVAL }
}

/// Tells the priority of a process: 0.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sched_getparam(
    _process: libc::pid_t,
    out: *mut libc::sched_param,
) -> c_int {
    // SAFETY: the caller's.
    super::convert::c_status(unsafe { put(out, libc::sched_param { sched_priority: 0 }) })
}

/// Sets the priority of a process: 0.
///
/// # Safety
/// `parameter` can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sched_setparam(
    _process: libc::pid_t,
    parameter: *const libc::sched_param,
) -> c_int {
    // SAFETY: the caller's.
    super::convert::c_status(unsafe { check_priority(libc::SCHED_OTHER, parameter) })
}

/// The slice of a policy that takes turns, which there is none of: as Linux has it for others, the one of a thread that computes.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sched_rr_get_interval(
    _process: libc::pid_t,
    out: *mut libc::timespec,
) -> c_int {
    // SAFETY: the caller's.
    super::convert::c_status(unsafe { put(out, super::clock::timespec(0)) })
}

/// As many threads as the program likes run at once: nothing to be set.
#[unsafe(no_mangle)]
extern "C" fn pthread_setconcurrency(_level: c_int) -> c_int {
    0
}

/// See [`pthread_setconcurrency`].
#[unsafe(no_mangle)]
extern "C" fn pthread_getconcurrency() -> c_int {
    0
}

/// Threads are not cancelled from outside: what they hold would be lost.
#[unsafe(no_mangle)]
extern "C" fn pthread_cancel(_thread: libc::pthread_t) -> c_int {
    libc::ENOSYS
}

/// Nobody cancels the thread.
#[unsafe(no_mangle)]
extern "C" fn pthread_testcancel() {}

/// The two settings about being cancelled: bits of the thread's own word.
unsafe fn exchange(bit: u8, value: c_int, old: *mut c_int) -> c_int {
    let Ok(value @ 0..=1) = u8::try_from(value) else {
        return libc::EINVAL;
    };
    let word = &thread::current().signals.cancellation;
    let before = match value {
        0 => word.fetch_and(!bit, Ordering::Relaxed),
        _ => word.fetch_or(bit, Ordering::Relaxed),
    };
    if old.is_null() {
        return 0;
    }
    // SAFETY: not null, and the caller's.
    code(unsafe { put(old, c_int::from(before & bit != 0)) })
}

/// Whether the thread could be cancelled: kept, and nobody does.
///
/// # Safety
/// `old` is null or can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int {
    // SAFETY: the caller's.
    unsafe { exchange(1, state, old) }
}

/// When the thread could be cancelled: kept, and nobody does.
///
/// # Safety
/// `old` is null or can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_setcanceltype(kind: c_int, old: *mut c_int) -> c_int {
    // SAFETY: the caller's.
    unsafe { exchange(2, kind, old) }
}

/// # Safety
/// 1. `handle` is that of a thread that was not joined.
unsafe fn has_ended(handle: libc::pthread_t) -> bool {
    // SAFETY: the caller's promise (1).
    unsafe { &*(handle as *const Thread) }.has_ended()
}

/// Joins a thread if it has ended, else `EBUSY`.
///
/// # Safety
/// `handle` is that of a thread that was not joined; `result` is null or can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_tryjoin_np(
    handle: libc::pthread_t,
    result: *mut *mut c_void,
) -> c_int {
    // SAFETY: the same contract.
    unsafe {
        match has_ended(handle) {
            true => super::thread::pthread_join(handle, result),
            false => libc::EBUSY,
        }
    }
}

/// Joins a thread, or gives up at a time of the wall clock (`ETIMEDOUT`).
///
/// # Safety
/// As for [`pthread_tryjoin_np`]; `time` is null or can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_timedjoin_np(
    handle: libc::pthread_t,
    result: *mut *mut c_void,
    time: *const libc::timespec,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { pthread_clockjoin_np(handle, result, libc::CLOCK_REALTIME, time) }
}

/// As [`pthread_timedjoin_np`], by a clock.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_clockjoin_np(
    handle: libc::pthread_t,
    result: *mut *mut c_void,
    clock: libc::clockid_t,
    time: *const libc::timespec,
) -> c_int {
    // SAFETY: the caller's.
    let Some(time) = (unsafe { get(time) }) else {
        // SAFETY: the same contract.
        return unsafe { super::thread::pthread_join(handle, result) };
    };
    let deadline_ns =
        super::clock::nanoseconds(&time).and_then(|at_ns| super::clock::deadline_of(clock, at_ns));
    let deadline_ns = match deadline_ns {
        Ok(deadline_ns) => deadline_ns,
        Err(error) => return error.0,
    };
    // SAFETY: a live handle.
    if !unsafe { &*(handle as *const Thread) }.ends_until(deadline_ns) {
        return libc::ETIMEDOUT;
    }
    // SAFETY: the same contract.
    unsafe { super::thread::pthread_join(handle, result) }
}

/// The clock of a thread's processor time.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_getcpuclockid(
    _thread: libc::pthread_t,
    out: *mut libc::clockid_t,
) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { put(out, libc::CLOCK_THREAD_CPUTIME_ID) })
}

/// Tells the cores that a thread may run on: the one it stays on.
///
/// # Safety
/// `handle` is that of a thread that was not joined; `bytes` bytes of the mask can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_getaffinity_np(
    handle: libc::pthread_t,
    bytes: usize,
    mask: *mut libc::cpu_set_t,
) -> c_int {
    if bytes < 8 || mask.is_null() {
        return libc::EINVAL;
    }
    // SAFETY: a live handle, and the caller's mask.
    unsafe {
        let core = (*(handle as *const Thread)).core();
        mask.cast::<u8>().write_bytes(0, bytes);
        mask.cast::<u64>().write_unaligned(1 << core);
    }
    0
}

/// Threads stay on their core: a set that has it is content, another one is refused.
///
/// # Safety
/// `handle` is that of a thread that was not joined; `bytes` bytes of the mask can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_setaffinity_np(
    handle: libc::pthread_t,
    bytes: usize,
    mask: *const libc::cpu_set_t,
) -> c_int {
    if bytes < 8 || mask.is_null() {
        return libc::EINVAL;
    }
    // SAFETY: a live handle, and the caller's mask.
    let (core, cores) = unsafe {
        let thread = &*(handle as *const Thread);
        (thread.core(), mask.cast::<u64>().read_unaligned())
    };
    if cores >> core & 1 != 0 {
        0
    } else {
        libc::EINVAL
    }
}

/// Sends a thread a signal with a value, which is dropped: see [`super::signal::pthread_kill`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_sigqueue(
    handle: libc::pthread_t,
    signal: c_int,
    _value: libc::sigval,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { super::signal::pthread_kill(handle, signal) }
}
