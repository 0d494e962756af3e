//! Clocks and sleeping (POSIX.1-2017, `time.h`).

use core::ffi::c_int;

use super::errno;
use crate::arch::clock;
use crate::error::{Errno, Result};
use crate::scheduler;

const NS_PER_S: u64 = 1_000_000_000;

/// Nanoseconds of a time specification.
///
/// # Errors
/// `EINVAL` for one that makes no sense.
pub(super) fn nanoseconds(time: &libc::timespec) -> Result<u64> {
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno(libc::EINVAL))?;
    let nanoseconds = u64::try_from(time.tv_nsec)
        .ok()
        .filter(|&n| n < NS_PER_S)
        .ok_or(Errno(libc::EINVAL))?;
    Ok(seconds.saturating_mul(NS_PER_S).saturating_add(nanoseconds))
}

/// A span of time as C has it.
pub(super) fn timespec(ns: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (ns / NS_PER_S) as i64,
        tv_nsec: (ns % NS_PER_S) as i64,
    }
}

/// Processor time so far: that of the running core.
pub(super) fn used_ns() -> u64 {
    clock::now_ns()
        .saturating_sub(scheduler::statistics(scheduler::current_core()).map_or(0, |s| s.halted_ns))
}

#[inline(never)]
fn read(id: libc::clockid_t) -> Result<u64> {
    match id {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => {
            Ok(clock::wall_ns())
        }
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_BOOTTIME => Ok(clock::now_ns()),
        libc::CLOCK_PROCESS_CPUTIME_ID | libc::CLOCK_THREAD_CPUTIME_ID => Ok(used_ns()),
        _ => Err(Errno(libc::EINVAL)),
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn clock_gettime(
    id: libc::clockid_t,
    out: *mut libc::timespec,
) -> c_int {
    // What std's `Instant` asks for goes a short way.
    let ns = match id {
        libc::CLOCK_MONOTONIC => clock::now_ns(),
        _ => match read(id) {
            Ok(ns) => ns,
            Err(error) => return errno::set(error),
        },
    };
    // SAFETY: the caller's pointer to a result.
    unsafe { *out = timespec(ns) };
    0
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn clock_getres(
    id: libc::clockid_t,
    out: *mut libc::timespec,
) -> c_int {
    if let Err(error) = read(id) {
        return errno::set(error);
    }
    if !out.is_null() {
        // SAFETY: the caller's pointer to a result.
        unsafe { *out = timespec(1) };
    }
    0
}

/// Time since boot at which a clock that reads `now_ns` shows `at_ns`.
pub(super) fn deadline_of(id: libc::clockid_t, at_ns: u64) -> Result<u64> {
    let remaining = at_ns.saturating_sub(read(id)?);
    Ok(clock::now_ns().saturating_add(remaining))
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn clock_nanosleep(
    id: libc::clockid_t,
    flags: c_int,
    request: *const libc::timespec,
    _remaining: *mut libc::timespec,
) -> c_int {
    // SAFETY: the caller's request.
    let request = unsafe { &*request };
    let deadline = nanoseconds(request).and_then(|ns| {
        if flags & libc::TIMER_ABSTIME != 0 {
            deadline_of(id, ns)
        } else {
            read(id).map(|_| clock::now_ns().saturating_add(ns))
        }
    });
    match deadline {
        Ok(deadline) => {
            scheduler::sleep_until(deadline);
            0
        }
        // This function returns the error number and leaves `errno` alone.
        Err(error) => error.0,
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn nanosleep(
    request: *const libc::timespec,
    remaining: *mut libc::timespec,
) -> c_int {
    // SAFETY: the caller's pointers.
    match unsafe { clock_nanosleep(libc::CLOCK_MONOTONIC, 0, request, remaining) } {
        0 => 0,
        error => errno::set(Errno(error)),
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn gettimeofday(
    out: *mut libc::timeval,
    _zone: *mut core::ffi::c_void,
) -> c_int {
    let ns = clock::wall_ns();
    // SAFETY: the caller's pointer to a result.
    unsafe {
        *out = libc::timeval {
            tv_sec: (ns / NS_PER_S) as i64,
            tv_usec: (ns % NS_PER_S / 1000) as i64,
        }
    };
    0
}
