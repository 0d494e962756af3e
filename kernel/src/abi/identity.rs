//! What programs ask about names and limits of the system beside `process`, `credentials` and `machine` (POSIX.1-2017, `unistd.h`, `sys/times.h`; Linux):
//! one process, on a machine without names of its own.

use core::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};

use super::convert::{c_result, c_status, put, text};
use super::object::{self, descriptor_limit};
use super::{clock, errno, process};
use crate::arch;
use crate::error::{Errno, Result};
use crate::scheduler;
use crate::storage::vfs::{self, namespace::LastLink};

/// Ticks of `times` in a second, as `sysconf` tells.
const TICKS: u64 = 100;

fn root_only(is_root: bool) -> c_int {
    c_status(if is_root {
        Ok(())
    } else {
        Err(Errno(libc::EPERM))
    })
}

/// Nobody logged in.
#[unsafe(no_mangle)]
extern "C" fn getlogin() -> *const c_char {
    errno::set(Errno(libc::ENXIO));
    core::ptr::null()
}

/// Nobody logged in; returns an error number.
#[unsafe(no_mangle)]
extern "C" fn getlogin_r(_out: *mut c_char, _len: usize) -> c_int {
    libc::ENXIO
}

/// The leader of a session stays in its group.
#[unsafe(no_mangle)]
extern "C" fn setpgrp() -> c_int {
    root_only(false)
}

/// Has the process be nicer by so much; how nice it is then.
#[unsafe(no_mangle)]
extern "C" fn nice(by: c_int) -> c_int {
    let wanted = process::niceness().saturating_add(by);
    if process::setpriority(libc::PRIO_PROCESS, 0, wanted) != 0 {
        // Here it is that error.
        return c_status(Err(Errno(libc::EPERM)));
    }
    process::niceness()
}

/// How many descriptors there can be.
#[unsafe(no_mangle)]
extern "C" fn getdtablesize() -> c_int {
    descriptor_limit() as c_int
}

/// A number of the machine, which has none.
#[unsafe(no_mangle)]
extern "C" fn gethostid() -> c_long {
    0
}

/// The machine's domain: none.
///
/// # Safety
/// `len` bytes can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn getdomainname(out: *mut c_char, len: usize) -> c_int {
    let name = c"(none)";
    if out.is_null() || len <= name.count_bytes() {
        return c_status(Err(Errno(libc::EINVAL)));
    }
    // SAFETY: as long as the name.
    unsafe { out.copy_from_nonoverlapping(name.as_ptr(), name.count_bytes() + 1) };
    0
}

/// Time since boot in ticks, and what the process used.
///
/// # Safety
/// `out` is null or can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn times(out: *mut libc::tms) -> c_long {
    let ticks = |ns: u64| (ns / (1_000_000_000 / TICKS)) as c_long;
    if !out.is_null() {
        // SAFETY: a structure of integers, for which zeros are values; the caller's place.
        unsafe {
            out.write_bytes(0, 1);
            (*out).tms_utime = ticks(clock::used_ns());
        }
    }
    ticks(arch::clock::now_ns())
}

/// Limits that have a number, of old: as [`super::limits::getrlimit`] has them.
#[unsafe(no_mangle)]
extern "C" fn ulimit(command: c_int) -> c_long {
    match command {
        // The size of files, in blocks of 512 bytes.
        1 => c_long::MAX / 512,
        4 => c_long::from(getdtablesize()),
        _ => c_long::from(errno::set(Errno(libc::EINVAL))),
    }
}

fn path_limit(name: c_int) -> Result<c_long> {
    Ok(match name {
        libc::_PC_LINK_MAX => 32000,
        libc::_PC_MAX_CANON | libc::_PC_MAX_INPUT => 255,
        libc::_PC_NAME_MAX => 255,
        libc::_PC_PATH_MAX | libc::_PC_PIPE_BUF => 4096,
        libc::_PC_CHOWN_RESTRICTED | libc::_PC_NO_TRUNC => 1,
        libc::_PC_VDISABLE => 0,
        libc::_PC_FILESIZEBITS => 64,
        libc::_PC_2_SYMLINKS => 1,
        libc::_PC_REC_INCR_XFER_SIZE
        | libc::_PC_REC_MIN_XFER_SIZE
        | libc::_PC_REC_XFER_ALIGN
        | libc::_PC_ALLOC_SIZE_MIN => 4096,
        // No limit, and no error.
        libc::_PC_SYMLINK_MAX | libc::_PC_REC_MAX_XFER_SIZE => -1,
        libc::_PC_SYNC_IO | libc::_PC_ASYNC_IO | libc::_PC_PRIO_IO | libc::_PC_SOCK_MAXBUF => -1,
        _ => return Err(Errno(libc::EINVAL)),
    })
}

/// Limits of a file system, by a path.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn pathconf(path: *const c_char, name: c_int) -> c_long {
    // SAFETY: the caller's string.
    let found = unsafe { text(path) }.and_then(|path| vfs::resolve(path, LastLink::Follow));
    c_result(found.and_then(|_| path_limit(name)))
}

/// Limits of a file system, by a descriptor.
#[unsafe(no_mangle)]
extern "C" fn fpathconf(descriptor: c_int, name: c_int) -> c_long {
    c_result(object::get(descriptor).and_then(|_| path_limit(name)))
}

/// Asks a text about the system; how long it is with its zero, 0 for what there is none of.
///
/// # Safety
/// `len` bytes can be written, if `out` is not null.
#[unsafe(no_mangle)]
unsafe extern "C" fn confstr(name: c_int, out: *mut c_char, len: usize) -> usize {
    /// `bits/confname.h`: the path of programs, the versions of the C library and of its threads.
    const PATH: c_int = 0;
    const LIBRARY_VERSION: c_int = 2;
    const THREADS_VERSION: c_int = 3;
    let text = match name {
        PATH => c"/bin:/usr/bin",
        LIBRARY_VERSION => c"glibc 2.36",
        THREADS_VERSION => c"NPTL 2.36",
        _ => {
            errno::set(Errno(libc::EINVAL));
            return 0;
        }
    };
    let whole = text.count_bytes() + 1;
    if !out.is_null() && len > 0 {
        let count = whole.min(len);
        // SAFETY: at most the caller's room.
        unsafe {
            out.copy_from_nonoverlapping(text.as_ptr(), count);
            out.add(count - 1).write(0);
        }
    }
    whole
}

/// The clock of a process's processor time.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_getcpuclockid(process: libc::pid_t, out: *mut c_int) -> c_int {
    match process {
        // SAFETY: the caller's place.
        0 | 1 => {
            // SAFETY: the caller's place.
            unsafe { put(out, libc::CLOCK_PROCESS_CPUTIME_ID) }.map_or_else(|error| error.0, |()| 0)
        }
        _ => libc::ESRCH,
    }
}

/// Tells core and node of the running thread.
///
/// # Safety
/// Both are null or can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getcpu(core: *mut c_uint, node: *mut c_uint) -> c_int {
    // SAFETY: not null, and the caller's.
    unsafe {
        if !core.is_null() {
            core.write(scheduler::current_core() as c_uint);
        }
        if !node.is_null() {
            node.write(0);
        }
    }
    0
}

/// How many cores a set has.
///
/// # Safety
/// `bytes` bytes can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn __sched_cpucount(bytes: usize, mask: *const u8) -> c_int {
    // SAFETY: the caller's set.
    let set = unsafe { core::slice::from_raw_parts(mask, bytes) };
    set.iter().map(|byte| byte.count_ones() as c_int).sum()
}

/// The personality of the process: that of Linux. Only asked.
#[unsafe(no_mangle)]
pub(super) extern "C" fn personality(wanted: c_ulong) -> c_int {
    match wanted {
        0 | 0xFFFF_FFFF | c_ulong::MAX => 0,
        _ => root_only(false),
    }
}

/// A key for System V IPC, of a file: as if there was any.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn ftok(path: *const c_char, project: c_int) -> c_int {
    // SAFETY: the caller's string.
    let found = unsafe { text(path) }.and_then(|path| vfs::resolve(path, LastLink::Follow));
    c_result(found.map(|entry| {
        let number = entry.node.number() as c_int & 0xFFFF;
        number | (entry.mount.device as c_int & 0xFF) << 16 | project << 24
    }))
}

/// What an error of the resolver means.
#[unsafe(no_mangle)]
extern "C" fn hstrerror(error: c_int) -> *const c_char {
    match error {
        0 => c"Resolver Error 0 (no error)",
        1 => c"Unknown host",
        2 => c"Host name lookup failure",
        3 => c"Unknown server error",
        4 => c"No address associated with name",
        _ => c"Unknown resolver error",
    }
    .as_ptr()
}

/// Reads the resolver's settings anew: they are never kept, so there is nothing to do.
#[unsafe(no_mangle)]
extern "C" fn res_init() -> c_int {
    0
}

/// Numbers about the heap, in the forms that glibc has: free and used bytes of the machine's memory; nothing else is counted.
fn heap_numbers() -> (usize, usize) {
    let (free, total) = crate::memory::frames::usage();
    (free, total - free)
}

/// What is used and free.
#[unsafe(no_mangle)]
extern "C" fn mallinfo2() -> libc::mallinfo2 {
    let (free, used) = heap_numbers();
    // SAFETY: a structure of integers, for which zeros are values.
    let mut info: libc::mallinfo2 = unsafe { core::mem::zeroed() };
    info.arena = used;
    info.uordblks = used;
    info.fordblks = free;
    info
}

/// As [`mallinfo2`], in numbers that may be too small.
#[unsafe(no_mangle)]
extern "C" fn mallinfo() -> libc::mallinfo {
    let (free, used) = heap_numbers();
    let number = |bytes: usize| c_int::try_from(bytes).unwrap_or(c_int::MAX);
    // SAFETY: as above.
    let mut info: libc::mallinfo = unsafe { core::mem::zeroed() };
    info.arena = number(used);
    info.uordblks = number(used);
    info.fordblks = number(free);
    info
}

/// Gives memory back that is not used: the heap does so by itself. 0: nothing was.
#[unsafe(no_mangle)]
extern "C" fn malloc_trim(_keep: usize) -> c_int {
    0
}

/// Sets something about the heap of glibc, which this is not: refused.
#[unsafe(no_mangle)]
extern "C" fn mallopt(_what: c_int, _value: c_int) -> c_int {
    0
}

/// Prints numbers about the heap on the console.
#[unsafe(no_mangle)]
extern "C" fn malloc_stats() {
    let (free, used) = heap_numbers();
    let text = alloc::format!("system bytes     = {used:10}\nfree bytes       = {free:10}\n");
    crate::devices::console::write(text.as_bytes());
}

/// Numbers about the heap in XML: not kept.
#[unsafe(no_mangle)]
extern "C" fn malloc_info(_options: c_int, _stream: *mut c_void) -> c_int {
    c_status(Err(Errno(libc::ENOSYS)))
}
