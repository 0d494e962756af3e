//! What programs ask about the system, and the function `syscall` (Linux system call numbers, x86-64).

use core::ffi::{c_char, c_int, c_long, c_ulong, c_void};
use core::ptr::null;
use core::sync::atomic::AtomicU32;

use super::{clock, errno};
use crate::arch::{clock as clocks, entropy};
use crate::error::{Errno, Result};
use crate::memory::frames;
use crate::scheduler::{self, WaitOutcome, futex, thread};

const PAGE_BYTES: c_long = 4096;

#[unsafe(no_mangle)]
extern "C" fn sysconf(name: c_int) -> c_long {
    match name {
        libc::_SC_PAGESIZE => PAGE_BYTES,
        libc::_SC_NPROCESSORS_ONLN | libc::_SC_NPROCESSORS_CONF => {
            scheduler::core_count() as c_long
        }
        libc::_SC_PHYS_PAGES => frames::usage().1 as c_long / PAGE_BYTES,
        libc::_SC_AVPHYS_PAGES => frames::usage().0 as c_long / PAGE_BYTES,
        libc::_SC_CLK_TCK => 100,
        libc::_SC_OPEN_MAX => super::object::MAX_DESCRIPTORS as c_long,
        libc::_SC_HOST_NAME_MAX => 64,
        libc::_SC_IOV_MAX => 1024,
        // The answers for names that have no limit: no error either.
        libc::_SC_GETPW_R_SIZE_MAX | libc::_SC_GETGR_R_SIZE_MAX => -1,
        _ => c_long::from(errno::set(Errno(libc::EINVAL))),
    }
}

#[unsafe(no_mangle)]
extern "C" fn getauxval(kind: c_ulong) -> c_ulong {
    match kind {
        libc::AT_PAGESZ => PAGE_BYTES as c_ulong,
        _ => {
            errno::set(Errno(libc::ENOENT));
            0
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn getpid() -> libc::pid_t {
    1
}

#[unsafe(no_mangle)]
extern "C" fn gettid() -> libc::pid_t {
    thread::current().id() as libc::pid_t
}

/// The version whose interfaces are offered; std asks in order to work around old ones.
#[unsafe(no_mangle)]
extern "C" fn gnu_get_libc_version() -> *const c_char {
    c"2.36".as_ptr()
}

/// There is no dynamic linker: no symbol is found by name.
#[unsafe(no_mangle)]
extern "C" fn dlsym(_: *mut c_void, _: *const c_char) -> *mut c_void {
    null::<c_void>().cast_mut()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, len: usize, _flags: u32) -> isize {
    // SAFETY: the caller's buffer.
    entropy::fill(unsafe { core::slice::from_raw_parts_mut(buffer.cast(), len) });
    len as isize
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getentropy(buffer: *mut c_void, len: usize) -> c_int {
    if len > 256 {
        return errno::set(Errno(libc::EIO));
    }
    // SAFETY: the caller's buffer.
    unsafe { getrandom(buffer, len, 0) };
    0
}

/// The function `syscall`: by number, what has no C function of its own in std.
///
/// Declared with six arguments; callers that give fewer leave the rest undefined, and no call reads more than it has.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    let result = match number {
        // SAFETY: the caller's arguments, as the call's manual page has them.
        libc::SYS_futex => unsafe { futex_call(a, b as c_int, c as u32, d, e, f as u32) },
        // SAFETY: as above.
        libc::SYS_getrandom => Ok(unsafe { getrandom(a as *mut c_void, b, c as u32) } as usize),
        libc::SYS_gettid => Ok(thread::current().id() as usize),
        libc::SYS_getpid => Ok(1),
        libc::SYS_sched_yield => {
            scheduler::yield_now();
            Ok(0)
        }
        _ => Err(Errno(libc::ENOSYS)),
    };
    errno::count(result) as c_long
}

/// futex(2): waiting and waking.
///
/// # Safety
/// 1. `address` leads to a futex, and `timeout` is null or a time, where the operation uses them.
unsafe fn futex_call(
    address: usize,
    operation: c_int,
    value: u32,
    timeout: usize,
    _second: usize,
    bits: u32,
) -> Result<usize> {
    let command = operation & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
    match command {
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
            // SAFETY: the caller's promise (1).
            let timeout = unsafe { (timeout as *const libc::timespec).as_ref() };
            let id = if operation & libc::FUTEX_CLOCK_REALTIME != 0 {
                libc::CLOCK_REALTIME
            } else {
                libc::CLOCK_MONOTONIC
            };
            // `FUTEX_WAIT` takes a span, `FUTEX_WAIT_BITSET` a point in time.
            let deadline_ns = match timeout {
                None => None,
                Some(time) if command == libc::FUTEX_WAIT => {
                    Some(clocks::now_ns().saturating_add(clock::nanoseconds(time)?))
                }
                Some(time) => Some(clock::deadline_of(id, clock::nanoseconds(time)?)?),
            };
            let bits = if command == libc::FUTEX_WAIT {
                u32::MAX
            } else {
                bits
            };
            // SAFETY: the caller's promise (1).
            let futex = unsafe { &*(address as *const AtomicU32) };
            match futex::wait(futex, value, bits, deadline_ns) {
                Ok(WaitOutcome::Woken) => Ok(0),
                Ok(WaitOutcome::TimedOut) => Err(Errno(libc::ETIMEDOUT)),
                Err(futex::Changed) => Err(Errno(libc::EAGAIN)),
            }
        }
        libc::FUTEX_WAKE => Ok(futex::wake(address, value as usize, u32::MAX)),
        libc::FUTEX_WAKE_BITSET => Ok(futex::wake(address, value as usize, bits)),
        _ => Err(Errno(libc::ENOSYS)),
    }
}
