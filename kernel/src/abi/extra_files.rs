//! Functions on files that Linux and BSD have beside those of POSIX, and what is rarely asked for (Linux: preadv2(2), close_range(2),
//! sync_file_range(2); POSIX.1-2017, `utime`, `lockf`, `mknod`).

use core::ffi::{c_char, c_int, c_uint};

use super::convert::{also_named, c_result, c_status, get, text};
use super::descriptor::fcntl;
use super::directory::{DirectoryStream, readdir64};
use super::fifo::mkfifoat;
use super::file::{close, fdatasync, openat64, preadv64, pwritev64, readv, with_file, writev};
use super::metadata::{faccessat, utimensat};
use super::object::{self, MAX_DESCRIPTORS};
use super::{errno, temporary};
use crate::error::Errno;
use crate::storage::vfs::file::OpenFile;
use crate::storage::vfs::{self, namespace::LastLink};

/// Reads into several buffers at an offset, or (-1) where the descriptor is. Of the flags, those about speed are heeded as far as a file in
/// a cache can; one that must not wait (`RWF_NOWAIT`) is refused for files, which wait for the disk.
///
/// # Safety
/// As of [`preadv64`].
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn preadv2(
    descriptor: c_int,
    parts: *const libc::iovec,
    count: c_int,
    offset: i64,
    flags: c_int,
) -> isize {
    if flags & !libc::RWF_HIPRI != 0 {
        return errno::set(Errno(libc::EOPNOTSUPP)) as isize;
    }
    // SAFETY: the same contract.
    unsafe {
        match offset {
            -1 => readv(descriptor, parts, count),
            _ => preadv64(descriptor, parts, count, offset),
        }
    }
}

/// Writes from several buffers at an offset, or (-1) where the descriptor is. `RWF_DSYNC` and `RWF_SYNC` have it on the disk before it returns,
/// `RWF_APPEND` is refused.
///
/// # Safety
/// As of [`pwritev64`].
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pwritev2(
    descriptor: c_int,
    parts: *const libc::iovec,
    count: c_int,
    offset: i64,
    flags: c_int,
) -> isize {
    let syncs = libc::RWF_DSYNC | libc::RWF_SYNC;
    if flags & !(libc::RWF_HIPRI | syncs) != 0 {
        return errno::set(Errno(libc::EOPNOTSUPP)) as isize;
    }
    // SAFETY: the same contract.
    let written = unsafe {
        match offset {
            -1 => writev(descriptor, parts, count),
            _ => pwritev64(descriptor, parts, count, offset),
        }
    };
    if written >= 0 && flags & syncs != 0 && fdatasync(descriptor) != 0 {
        return -1;
    }
    written
}

/// Closes all descriptors of a range, or marks them to be closed by `exec`.
#[unsafe(no_mangle)]
pub(super) extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    /// Linux, `linux/close_range.h`: for a table that is shared with none, and the mark.
    const UNSHARE: c_int = 2;
    const CLOSE_ON_EXEC: c_int = 4;
    if first > last || flags & !(UNSHARE | CLOSE_ON_EXEC) != 0 {
        return c_status(Err(Errno(libc::EINVAL)));
    }
    let before = errno::get();
    for descriptor in first..=last.min(object::highest()) {
        match flags & CLOSE_ON_EXEC {
            0 => drop(close(descriptor as c_int)),
            _ => drop(object::set_close_on_exec(descriptor as c_int, true)),
        }
    }
    errno::set(Errno(before));
    0
}

/// Closes all descriptors from one on.
#[unsafe(no_mangle)]
extern "C" fn closefrom(first: c_int) {
    close_range(first.max(0) as c_uint, MAX_DESCRIPTORS as c_uint, 0);
}

/// Says that a part of a file will be read: the cache reads ahead by itself.
#[unsafe(no_mangle)]
pub(super) extern "C" fn readahead(descriptor: c_int, _offset: i64, _len: usize) -> isize {
    c_result(with_file(descriptor, libc::EINVAL, |file| {
        match file.access().can_read {
            true => Ok(0),
            false => Err(Errno(libc::EBADF)),
        }
    }))
}

/// Has a part of a file written to the disk: the content of the whole one.
#[unsafe(no_mangle)]
pub(super) extern "C" fn sync_file_range(
    descriptor: c_int,
    offset: i64,
    len: i64,
    flags: c_uint,
) -> c_int {
    let known = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    if flags & !known != 0 || offset < 0 || len < 0 {
        return c_status(Err(Errno(libc::EINVAL)));
    }
    let is_file =
        object::get(descriptor).map(|description| description.downcast::<OpenFile>().is_some());
    match is_file {
        Ok(true) if flags == 0 => 0,
        Ok(true) => fdatasync(descriptor),
        Ok(false) => c_status(Err(Errno(libc::ESPIPE))),
        Err(error) => c_status(Err(error)),
    }
}

/// Locks a part of a file from where the descriptor is, for this process, which is the only one: so it is always to be had.
#[unsafe(no_mangle)]
extern "C" fn lockf64(descriptor: c_int, command: c_int, len: i64) -> c_int {
    let kind = match command {
        libc::F_ULOCK => libc::F_UNLCK,
        libc::F_LOCK | libc::F_TLOCK => libc::F_WRLCK,
        // Nobody else has it.
        libc::F_TEST => return c_status(object::get(descriptor).map(drop)),
        _ => return c_status(Err(Errno(libc::EINVAL))),
    };
    // SAFETY: a structure of integers, for which zeros are values; a local variable.
    unsafe {
        let mut lock: libc::flock64 = core::mem::zeroed();
        lock.l_type = kind as i16;
        lock.l_whence = libc::SEEK_CUR as i16;
        lock.l_len = len;
        fcntl(descriptor, libc::F_SETLK, &raw mut lock as usize)
    }
}

/// Sets the times of a file, in seconds.
///
/// # Safety
/// `path` is a C string, `times` is null or can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn utime(path: *const c_char, times: *const libc::utimbuf) -> c_int {
    let time = |seconds| libc::timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    // SAFETY: null, or the caller's.
    let pair = unsafe { get(times) }.map(|times| [time(times.actime), time(times.modtime)]);
    let pair = pair
        .as_ref()
        .map_or(core::ptr::null(), |pair| pair.as_ptr());
    // SAFETY: the caller's string, and a local variable.
    unsafe { utimensat(libc::AT_FDCWD, path, pair, 0) }
}

/// # Safety
/// 1. `path` is null or a C string, `times` is null or two times that can be read.
unsafe fn set_times(
    directory: c_int,
    path: *const c_char,
    times: *const libc::timeval,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's promise (1).
    let pair = unsafe { get(times.cast::<[libc::timeval; 2]>()) };
    let pair = pair.map(|pair| {
        pair.map(|time| libc::timespec {
            tv_sec: time.tv_sec,
            // What is out of range stays so.
            tv_nsec: time.tv_usec.saturating_mul(1000),
        })
    });
    let pair = pair
        .as_ref()
        .map_or(core::ptr::null(), |pair| pair.as_ptr());
    // SAFETY: the caller's string, and a local variable.
    unsafe { utimensat(directory, path, pair, flags) }
}

/// Sets the times of a file, or of a link itself.
///
/// # Safety
/// `path` is a C string, `times` is null or two times that can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn lutimes(path: *const c_char, times: *const libc::timeval) -> c_int {
    // SAFETY: the same contract.
    unsafe { set_times(libc::AT_FDCWD, path, times, libc::AT_SYMLINK_NOFOLLOW) }
}

/// Sets the times of a file, by a path from a directory.
///
/// # Safety
/// As of [`lutimes`].
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn futimesat(
    directory: c_int,
    path: *const c_char,
    times: *const libc::timeval,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { set_times(directory, path, times, 0) }
}

/// Sets the times of an open file.
///
/// # Safety
/// `times` is null or two times that can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn futimes(descriptor: c_int, times: *const libc::timeval) -> c_int {
    // SAFETY: the caller's.
    unsafe { set_times(descriptor, c"".as_ptr(), times, libc::AT_EMPTY_PATH) }
}

/// Makes a file, a pipe with a name or a device (`EPERM`).
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn mknod(
    path: *const c_char,
    mode: libc::mode_t,
    device: u64,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { mknodat(libc::AT_FDCWD, path, mode, device) }
}

/// As [`mknod`], by a path from a directory.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn mknodat(
    directory: c_int,
    path: *const c_char,
    mode: libc::mode_t,
    _device: u64,
) -> c_int {
    match mode & libc::S_IFMT {
        0 | libc::S_IFREG => {
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
            // SAFETY: the caller's string.
            match unsafe { openat64(directory, path, flags, mode & 0o777) } {
                -1 => -1,
                descriptor => close(descriptor),
            }
        }
        // SAFETY: the caller's string.
        libc::S_IFIFO => unsafe { mkfifoat(directory, path, mode) },
        libc::S_IFCHR | libc::S_IFBLK | libc::S_IFSOCK => c_status(Err(Errno(libc::EPERM))),
        _ => c_status(Err(Errno(libc::EINVAL))),
    }
}

/// Whether the user may do something with a file.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn euidaccess(path: *const c_char, mode: c_int) -> c_int {
    // SAFETY: the same contract.
    unsafe { faccessat(libc::AT_FDCWD, path, mode, libc::AT_EACCESS) }
}

/// Reads the next entry of a directory into the caller's memory; returns an error number.
///
/// # Safety
/// `stream` is open; `entry` and `result` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn readdir64_r(
    stream: *mut DirectoryStream,
    entry: *mut libc::dirent64,
    result: *mut *mut libc::dirent64,
) -> c_int {
    let before = errno::get();
    errno::set(Errno(0));
    // SAFETY: the caller's.
    unsafe {
        let next = readdir64(stream);
        let error = errno::get();
        errno::set(Errno(before));
        if next.is_null() {
            result.write(next);
            return error;
        }
        entry.write(next.read());
        result.write(entry);
    }
    0
}

/// A path that nobody has yet, in the caller's memory, or in memory that the next call overwrites.
///
/// # Safety
/// `out` is null (then no other thread calls this) or has 20 bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn tmpnam(out: *mut c_char) -> *mut c_char {
    struct Shared(core::cell::UnsafeCell<[c_char; 20]>);
    // SAFETY: used by one thread, by the function's contract.
    unsafe impl Sync for Shared {}
    static SHARED: Shared = Shared(core::cell::UnsafeCell::new([0; 20]));
    let out = if out.is_null() {
        SHARED.0.get().cast()
    } else {
        out
    };
    let template = c"/tmp/fileXXXXXX";
    // SAFETY: 20 bytes, and the template has 16.
    unsafe {
        out.copy_from_nonoverlapping(template.as_ptr(), 16);
        let is_free = |path: *const c_char| match text(path)
            .and_then(|path| vfs::resolve(path, LastLink::Keep))
        {
            Ok(_) => errno::set(Errno(libc::EEXIST)),
            Err(_) => 0,
        };
        match temporary::with_name(out, 0, is_free) {
            Ok(_) => out,
            Err(_) => core::ptr::null_mut(),
        }
    }
}

/// Says how a file will be read: noted by nobody. See [`readahead`].
pub(super) extern "C" fn fadvise(
    descriptor: c_int,
    _offset: i64,
    _len: i64,
    advice: c_int,
) -> c_int {
    let result = match advice {
        0..=5 => Ok(()),
        _ => Err(Errno(libc::EINVAL)),
    };
    c_status(object::get(descriptor).and(result))
}

also_named! {
    preadv64v2 = preadv2(descriptor: c_int, parts: *const libc::iovec, count: c_int, offset: i64, flags: c_int) -> isize;
    pwritev64v2 = pwritev2(descriptor: c_int, parts: *const libc::iovec, count: c_int, offset: i64, flags: c_int) -> isize;
    eaccess = euidaccess(path: *const c_char, mode: c_int) -> c_int;
    readdir_r = readdir64_r(stream: *mut DirectoryStream, entry: *mut libc::dirent64, result: *mut *mut libc::dirent64) -> c_int;
}

/// See [`lockf64`].
#[unsafe(no_mangle)]
extern "C" fn lockf(descriptor: c_int, command: c_int, len: i64) -> c_int {
    lockf64(descriptor, command, len)
}
