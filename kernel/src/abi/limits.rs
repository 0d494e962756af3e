//! Limits of resources (POSIX.1-2017, `sys/resource.h`; Linux: getrlimit(2)), as the user 0 has them: that of descriptors holds, and can be
//! changed. Those that do not bind that user, or limit what is not there, can be set and are kept. The others stay as they are.

use core::ffi::{c_int, c_uint};

use super::convert::{c_status, get, put};
use super::object::{MAX_DESCRIPTORS, set_descriptor_limit};
use super::process::PROCESS;
use crate::error::{Errno, Result};
use crate::sync::SpinLock;

const NONE: u64 = libc::RLIM64_INFINITY;
const COUNT: usize = 16;

/// Soft and hard limits, in the order of their numbers.
static LIMITS: SpinLock<[(u64, u64); COUNT]> = SpinLock::new({
    let mut limits = [(NONE, NONE); COUNT];
    let stack = crate::start::MAIN_STACK_BYTES as u64;
    limits[libc::RLIMIT_STACK as usize] = (stack, stack);
    // No core files.
    limits[libc::RLIMIT_CORE as usize] = (0, NONE);
    let descriptors = MAX_DESCRIPTORS as u64;
    limits[libc::RLIMIT_NOFILE as usize] = (descriptors, descriptors);
    limits
});

/// Whether a limit can be set: it holds, or it does not bind, or there is nothing that it would limit.
fn can_be_set(resource: c_uint) -> bool {
    matches!(
        resource,
        libc::RLIMIT_NOFILE
            | libc::RLIMIT_NPROC
            | libc::RLIMIT_MEMLOCK
            | libc::RLIMIT_CORE
            | libc::RLIMIT_RSS
            | libc::RLIMIT_LOCKS
            | libc::RLIMIT_SIGPENDING
            | libc::RLIMIT_MSGQUEUE
            | libc::RLIMIT_NICE
            | libc::RLIMIT_RTPRIO
            | libc::RLIMIT_RTTIME
    )
}

/// The soft and the hard limit of a resource; `RLIM64_INFINITY` where there is none.
///
/// # Errors
/// `EINVAL` where there is no such resource.
pub(super) fn limits_of(resource: c_uint) -> Result<(u64, u64)> {
    let limits = LIMITS.lock();
    let limits = limits.get(resource as usize);
    limits.copied().ok_or(Errno(libc::EINVAL))
}

fn set(resource: c_uint, soft: u64, hard: u64) -> Result<()> {
    let now = limits_of(resource)?;
    if soft > hard {
        return Err(Errno(libc::EINVAL));
    }
    if now == (soft, hard) {
        return Ok(());
    }
    let is_descriptors = resource == libc::RLIMIT_NOFILE;
    if !can_be_set(resource) || is_descriptors && hard > MAX_DESCRIPTORS as u64 {
        return Err(Errno(libc::EPERM));
    }
    let mut limits = LIMITS.lock();
    limits[resource as usize] = (soft, hard);
    if is_descriptors {
        set_descriptor_limit(soft as usize);
    }
    Ok(())
}

/// Tells a limit.
///
/// # Safety
/// `out` is null or can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getrlimit(resource: c_uint, out: *mut libc::rlimit64) -> c_int {
    c_status(limits_of(resource).and_then(|(rlim_cur, rlim_max)| {
        // SAFETY: the caller's place.
        unsafe { put(out, libc::rlimit64 { rlim_cur, rlim_max }) }
    }))
}

/// Sets a limit.
///
/// # Safety
/// `new` is null or can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn setrlimit(resource: c_uint, new: *const libc::rlimit64) -> c_int {
    // SAFETY: null, or the caller's.
    let new = unsafe { get(new) }.ok_or(Errno(libc::EFAULT));
    c_status(new.and_then(|new| set(resource, new.rlim_cur, new.rlim_max)))
}

/// As [`getrlimit`] and [`setrlimit`], of a process; `old` is what was before.
///
/// # Safety
/// `new` is null or can be read, `old` is null or can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn prlimit64(
    process: libc::pid_t,
    resource: c_uint,
    new: *const libc::rlimit64,
    old: *mut libc::rlimit64,
) -> c_int {
    c_status((|| {
        if process != 0 && process != PROCESS {
            return Err(Errno(libc::ESRCH));
        }
        let (rlim_cur, rlim_max) = limits_of(resource)?;
        // SAFETY: null, or the caller's; read before anything is written, as they may be one.
        if let Some(new) = unsafe { get(new) } {
            set(resource, new.rlim_cur, new.rlim_max)?;
        }
        if old.is_null() {
            return Ok(());
        }
        // SAFETY: not null; the caller's place.
        unsafe { put(old, libc::rlimit64 { rlim_cur, rlim_max }) }
    })())
}

super::convert::also_named! {
    getrlimit64 = getrlimit(resource: c_uint, out: *mut libc::rlimit64) -> c_int;
    prlimit = prlimit64(process: libc::pid_t, resource: c_uint, new: *const libc::rlimit64, old: *mut libc::rlimit64) -> c_int;
    setrlimit64 = setrlimit(resource: c_uint, new: *const libc::rlimit64) -> c_int;
}
