//! Error messages (POSIX.1-2017, `string.h`; the texts are Linux's usual ones).

use alloc::collections::BTreeMap;
use alloc::ffi::CString;
use core::ffi::{c_char, c_int};

use crate::sync::SpinLock;

/// Messages of the errors that programs of this machine can meet.
fn message(error: c_int) -> &'static str {
    match error {
        0 => "Success",
        libc::EPERM => "Operation not permitted",
        libc::ENOENT => "No such file or directory",
        libc::EINTR => "Interrupted system call",
        libc::EIO => "Input/output error",
        libc::ENXIO => "No such device or address",
        libc::E2BIG => "Argument list too long",
        libc::EBADF => "Bad file descriptor",
        libc::ECHILD => "No child processes",
        libc::EAGAIN => "Resource temporarily unavailable",
        libc::ENOMEM => "Cannot allocate memory",
        libc::EACCES => "Permission denied",
        libc::EFAULT => "Bad address",
        libc::EBUSY => "Device or resource busy",
        libc::EEXIST => "File exists",
        libc::EXDEV => "Invalid cross-device link",
        libc::ENODEV => "No such device",
        libc::ENOTDIR => "Not a directory",
        libc::EISDIR => "Is a directory",
        libc::EINVAL => "Invalid argument",
        libc::EMFILE => "Too many open files",
        libc::ENOTTY => "Inappropriate ioctl for device",
        libc::EFBIG => "File too large",
        libc::ENOSPC => "No space left on device",
        libc::ESPIPE => "Illegal seek",
        libc::EROFS => "Read-only file system",
        libc::EMLINK => "Too many links",
        libc::EPIPE => "Broken pipe",
        libc::EDOM => "Numerical argument out of domain",
        libc::ERANGE => "Numerical result out of range",
        libc::EDEADLK => "Resource deadlock avoided",
        libc::ENAMETOOLONG => "File name too long",
        libc::ENOSYS => "Function not implemented",
        libc::ENOTEMPTY => "Directory not empty",
        libc::ELOOP => "Too many levels of symbolic links",
        libc::EPROTO => "Protocol error",
        libc::EOVERFLOW => "Value too large for defined data type",
        libc::EUCLEAN => "Structure needs cleaning",
        libc::ENOTSOCK => "Socket operation on non-socket",
        libc::EDESTADDRREQ => "Destination address required",
        libc::EMSGSIZE => "Message too long",
        libc::EPROTOTYPE => "Protocol wrong type for socket",
        libc::ENOPROTOOPT => "Protocol not available",
        libc::EPROTONOSUPPORT => "Protocol not supported",
        libc::EOPNOTSUPP => "Operation not supported",
        libc::EAFNOSUPPORT => "Address family not supported by protocol",
        libc::EADDRINUSE => "Address already in use",
        libc::EADDRNOTAVAIL => "Cannot assign requested address",
        libc::ENETDOWN => "Network is down",
        libc::ENETUNREACH => "Network is unreachable",
        libc::ECONNABORTED => "Software caused connection abort",
        libc::ECONNRESET => "Connection reset by peer",
        libc::ENOBUFS => "No buffer space available",
        libc::EISCONN => "Transport endpoint is already connected",
        libc::ENOTCONN => "Transport endpoint is not connected",
        libc::ESHUTDOWN => "Cannot send after transport endpoint shutdown",
        libc::ETIMEDOUT => "Connection timed out",
        libc::ECONNREFUSED => "Connection refused",
        libc::EHOSTUNREACH => "No route to host",
        libc::EALREADY => "Operation already in progress",
        libc::EINPROGRESS => "Operation now in progress",
        libc::ECANCELED => "Operation canceled",
        _ => "Unknown error",
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __xpg_strerror_r(error: c_int, out: *mut c_char, len: usize) -> c_int {
    let text = message(error).as_bytes();
    if len == 0 {
        return libc::ERANGE;
    }
    let copied = text.len().min(len - 1);
    // SAFETY: `out` has `len` bytes, more than are written.
    unsafe {
        out.copy_from_nonoverlapping(text.as_ptr().cast(), copied);
        *out.add(copied) = 0;
    }
    if copied < text.len() { libc::ERANGE } else { 0 }
}

/// As glibc has it without POSIX: returns a text, here always its own.
#[unsafe(no_mangle)]
extern "C" fn strerror_r(error: c_int, _out: *mut c_char, _len: usize) -> *const c_char {
    strerror(error)
}

/// The text of an error, which ends with a zero byte and stays.
#[unsafe(no_mangle)]
pub(super) extern "C" fn strerror(error: c_int) -> *const c_char {
    /// Texts with their zero bytes, made when they are first asked for; there are no more than error numbers.
    static TEXTS: SpinLock<BTreeMap<c_int, CString>> = SpinLock::new(BTreeMap::new());
    // Numbers without a text of their own share one.
    let error = if message(error) == message(-1) {
        -1
    } else {
        error
    };
    let mut texts = TEXTS.lock();
    let text = texts
        .entry(error)
        .or_insert_with(|| CString::new(message(error)).unwrap_or_default());
    // Entries are never changed, and their text does not move with them.
    text.as_ptr()
}
