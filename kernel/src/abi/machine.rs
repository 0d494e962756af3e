//! What programs ask about the machine: names, numbers of cores and sizes of memory, random numbers (POSIX.1-2017, `sys/utsname.h`, `unistd.h`;
//! Linux: sysinfo(2), getrandom(2), getauxval(3)).

use core::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use core::ptr::null;

use super::convert::{bytes_mut, c_count, c_status, put};
use super::{errno, load};
use crate::arch::{clock, entropy};
use crate::error::Errno;
use crate::memory::frames;
use crate::scheduler;

const PAGE_BYTES: c_long = 4096;
/// The unit in which times of processes are told, as a part of a second.
const CLOCK_TICKS: c_ulong = 100;
/// As a container without a name of its own has it.
pub(super) const HOST_NAME: &str = "toro";
/// The version of Linux whose interfaces are offered.
pub(super) const RELEASE: &str = "6.1.0-toro";
/// What it really is.
pub(super) const VERSION: &str = concat!("Toro ", env!("CARGO_PKG_VERSION"));

/// Asks a number about the system.
#[unsafe(no_mangle)]
pub(super) extern "C" fn sysconf(name: c_int) -> c_long {
    match name {
        libc::_SC_PAGESIZE => PAGE_BYTES,
        libc::_SC_NPROCESSORS_ONLN | libc::_SC_NPROCESSORS_CONF => {
            scheduler::core_count() as c_long
        }
        libc::_SC_PHYS_PAGES => frames::usage().1 as c_long / PAGE_BYTES,
        libc::_SC_AVPHYS_PAGES => frames::usage().0 as c_long / PAGE_BYTES,
        libc::_SC_CLK_TCK => CLOCK_TICKS as c_long,
        libc::_SC_OPEN_MAX => super::object::descriptor_limit() as c_long,
        libc::_SC_HOST_NAME_MAX => 64,
        libc::_SC_IOV_MAX => 1024,
        libc::_SC_ARG_MAX => 2 << 20,
        libc::_SC_THREAD_STACK_MIN => 16384,
        libc::_SC_LEVEL1_DCACHE_LINESIZE => 64,
        libc::_SC_MONOTONIC_CLOCK | libc::_SC_THREADS | libc::_SC_TIMERS => 200_809,
        // The answers for names that have no limit: no error either.
        libc::_SC_GETPW_R_SIZE_MAX | libc::_SC_GETGR_R_SIZE_MAX | libc::_SC_SYMLOOP_MAX => -1,
        _ => c_long::from(errno::set(Errno(libc::EINVAL))),
    }
}

/// What the loader of a program tells it: numbers of facts and their values, to be closed by a pair of zeros.
pub(super) fn auxiliary_vector() -> [[c_ulong; 2]; 10] {
    let headers = crate::image::program_headers();
    [
        [libc::AT_PAGESZ, PAGE_BYTES as c_ulong],
        [libc::AT_CLKTCK, CLOCK_TICKS],
        [libc::AT_PHDR, headers.as_ptr() as c_ulong],
        [libc::AT_PHNUM, headers.len() as c_ulong],
        [libc::AT_PHENT, size_of::<libc::Elf64_Phdr>() as c_ulong],
        [libc::AT_UID, 0],
        [libc::AT_EUID, 0],
        [libc::AT_GID, 0],
        [libc::AT_EGID, 0],
        [libc::AT_SECURE, 0],
    ]
}

/// Asks what the loader of a program would know.
#[unsafe(no_mangle)]
pub(super) extern "C" fn getauxval(kind: c_ulong) -> c_ulong {
    let known = auxiliary_vector();
    match known.iter().find(|fact| fact[0] == kind) {
        Some(fact) => fact[1],
        None => {
            errno::set(Errno(libc::ENOENT));
            0
        }
    }
}

/// The size of a page.
#[unsafe(no_mangle)]
pub(super) extern "C" fn getpagesize() -> c_int {
    PAGE_BYTES as c_int
}

/// The core that calls.
#[unsafe(no_mangle)]
pub(super) extern "C" fn sched_getcpu() -> c_int {
    scheduler::current_core() as c_int
}

/// How many cores there are.
#[unsafe(no_mangle)]
pub(super) extern "C" fn get_nprocs() -> c_int {
    scheduler::core_count() as c_int
}

/// How many cores there are.
#[unsafe(no_mangle)]
pub(super) extern "C" fn get_nprocs_conf() -> c_int {
    scheduler::core_count() as c_int
}

/// The version whose interfaces are offered; std asks in order to work around old ones.
#[unsafe(no_mangle)]
pub(super) extern "C" fn gnu_get_libc_version() -> *const c_char {
    c"2.36".as_ptr()
}

/// There is no dynamic linker: no symbol is found by name.
#[unsafe(no_mangle)]
pub(super) extern "C" fn dlsym(_: *mut c_void, _: *const c_char) -> *mut c_void {
    null::<c_void>().cast_mut()
}

/// There is no dynamic linker: no library is opened.
#[unsafe(no_mangle)]
pub(super) extern "C" fn dlopen(_: *const c_char, _: c_int) -> *mut c_void {
    null::<c_void>().cast_mut()
}

/// What [`dlopen`] and [`dlsym`] say.
#[unsafe(no_mangle)]
pub(super) extern "C" fn dlerror() -> *const c_char {
    c"there is no dynamic linker".as_ptr()
}

/// Nothing was opened.
#[unsafe(no_mangle)]
pub(super) extern "C" fn dlclose(_: *mut c_void) -> c_int {
    -1
}

/// Fills a buffer with bytes nobody can guess.
///
/// # Safety
/// `len` bytes at `buf` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getrandom(buf: *mut c_void, len: usize, flags: u32) -> isize {
    c_count((|| {
        if flags & !(libc::GRND_NONBLOCK | libc::GRND_RANDOM | libc::GRND_INSECURE) != 0 {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: the caller's buffer.
        let buf = unsafe { bytes_mut(buf, len) }?;
        entropy::fill(buf);
        Ok(buf.len())
    })())
}

/// As [`getrandom`], of at most 256 bytes.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getentropy(buf: *mut c_void, len: usize) -> c_int {
    if len > 256 {
        return errno::set(Errno(libc::EIO));
    }
    // SAFETY: the same contract.
    match unsafe { getrandom(buf, len, 0) } {
        -1 => -1,
        _ => 0,
    }
}

fn field<const LEN: usize>(text: &[u8]) -> [c_char; LEN] {
    let mut field = [0; LEN];
    for (slot, byte) in field[..LEN - 1].iter_mut().zip(text) {
        *slot = *byte as c_char;
    }
    field
}

/// Tells the names of system and machine.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn uname(out: *mut libc::utsname) -> c_int {
    let names = libc::utsname {
        sysname: field(b"Linux"),
        nodename: field(HOST_NAME.as_bytes()),
        release: field(RELEASE.as_bytes()),
        version: field(VERSION.as_bytes()),
        machine: field(b"x86_64"),
        domainname: field(b"(none)"),
    };
    // SAFETY: the caller's place.
    c_status(unsafe { put(out, names) })
}

/// Tells the machine's name.
///
/// # Safety
/// `len` bytes at `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn gethostname(out: *mut c_char, len: usize) -> c_int {
    c_status((|| {
        // SAFETY: the caller's buffer.
        let out = unsafe { bytes_mut(out.cast(), len) }?;
        let name = out.get_mut(..=HOST_NAME.len());
        let name = name.ok_or(Errno(libc::ENAMETOOLONG))?;
        name[..HOST_NAME.len()].copy_from_slice(HOST_NAME.as_bytes());
        name[HOST_NAME.len()] = 0;
        Ok(())
    })())
}

/// Tells how long the machine runs and how much memory it has.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sysinfo(out: *mut libc::sysinfo) -> c_int {
    let (free, total) = frames::usage();
    // SAFETY: a structure of integers, for which zeros are values.
    let mut info: libc::sysinfo = unsafe { core::mem::zeroed() };
    info.uptime = (clock::now_ns() / 1_000_000_000) as c_long;
    info.totalram = total as c_ulong;
    info.freeram = free as c_ulong;
    info.procs = (0..scheduler::core_count())
        .map(scheduler::thread_count)
        .sum::<usize>() as u16;
    info.mem_unit = 1;
    // Linux's `SI_LOAD_SHIFT`.
    info.loads = load::averages().map(|load| (load * 65536.0) as c_ulong);
    // SAFETY: the caller's place.
    c_status(unsafe { put(out, info) })
}

/// A place in a set of strings that Linux's headers ask with `gnu_get_libc_release`.
#[unsafe(no_mangle)]
pub(super) extern "C" fn gnu_get_libc_release() -> *const c_char {
    const STABLE: &CStr = c"stable";
    STABLE.as_ptr()
}
