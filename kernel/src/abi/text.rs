//! Error messages (POSIX.1-2017, `string.h`; the texts are Linux's usual ones).

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::ffi::CString;
use alloc::format;
use core::ffi::{c_char, c_int};

use crate::sync::SpinLock;

/// Messages of errors; `None` for numbers that are none.
fn message(error: c_int) -> Option<&'static str> {
    Some(match error {
        0 => "Success",
        libc::EPERM => "Operation not permitted",
        libc::ENOENT => "No such file or directory",
        libc::ESRCH => "No such process",
        libc::EINTR => "Interrupted system call",
        libc::EIO => "Input/output error",
        libc::ENXIO => "No such device or address",
        libc::E2BIG => "Argument list too long",
        libc::ENOEXEC => "Exec format error",
        libc::EBADF => "Bad file descriptor",
        libc::ECHILD => "No child processes",
        libc::EAGAIN => "Resource temporarily unavailable",
        libc::ENOMEM => "Cannot allocate memory",
        libc::EACCES => "Permission denied",
        libc::EFAULT => "Bad address",
        libc::ENOTBLK => "Block device required",
        libc::EBUSY => "Device or resource busy",
        libc::EEXIST => "File exists",
        libc::EXDEV => "Invalid cross-device link",
        libc::ENODEV => "No such device",
        libc::ENOTDIR => "Not a directory",
        libc::EISDIR => "Is a directory",
        libc::EINVAL => "Invalid argument",
        libc::ENFILE => "Too many open files in system",
        libc::EMFILE => "Too many open files",
        libc::ENOTTY => "Inappropriate ioctl for device",
        libc::ETXTBSY => "Text file busy",
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
        libc::ENOLCK => "No locks available",
        libc::ENOSYS => "Function not implemented",
        libc::ENOTEMPTY => "Directory not empty",
        libc::ELOOP => "Too many levels of symbolic links",
        libc::ENOMSG => "No message of desired type",
        libc::EIDRM => "Identifier removed",
        libc::ECHRNG => "Channel number out of range",
        libc::EL2NSYNC => "Level 2 not synchronized",
        libc::EL3HLT => "Level 3 halted",
        libc::EL3RST => "Level 3 reset",
        libc::ELNRNG => "Link number out of range",
        libc::EUNATCH => "Protocol driver not attached",
        libc::ENOCSI => "No CSI structure available",
        libc::EL2HLT => "Level 2 halted",
        libc::EBADE => "Invalid exchange",
        libc::EBADR => "Invalid request descriptor",
        libc::EXFULL => "Exchange full",
        libc::ENOANO => "No anode",
        libc::EBADRQC => "Invalid request code",
        libc::EBADSLT => "Invalid slot",
        libc::EBFONT => "Bad font file format",
        libc::ENOSTR => "Device not a stream",
        libc::ENODATA => "No data available",
        libc::ETIME => "Timer expired",
        libc::ENOSR => "Out of streams resources",
        libc::ENONET => "Machine is not on the network",
        libc::ENOPKG => "Package not installed",
        libc::EREMOTE => "Object is remote",
        libc::ENOLINK => "Link has been severed",
        libc::EADV => "Advertise error",
        libc::ESRMNT => "Srmount error",
        libc::ECOMM => "Communication error on send",
        libc::EPROTO => "Protocol error",
        libc::EMULTIHOP => "Multihop attempted",
        libc::EDOTDOT => "RFS specific error",
        libc::EBADMSG => "Bad message",
        libc::EOVERFLOW => "Value too large for defined data type",
        libc::ENOTUNIQ => "Name not unique on network",
        libc::EBADFD => "File descriptor in bad state",
        libc::EREMCHG => "Remote address changed",
        libc::ELIBACC => "Can not access a needed shared library",
        libc::ELIBBAD => "Accessing a corrupted shared library",
        libc::ELIBSCN => ".lib section in a.out corrupted",
        libc::ELIBMAX => "Attempting to link in too many shared libraries",
        libc::ELIBEXEC => "Cannot exec a shared library directly",
        libc::EILSEQ => "Invalid or incomplete multibyte or wide character",
        libc::ERESTART => "Interrupted system call should be restarted",
        libc::ESTRPIPE => "Streams pipe error",
        libc::EUSERS => "Too many users",
        libc::ENOTSOCK => "Socket operation on non-socket",
        libc::EDESTADDRREQ => "Destination address required",
        libc::EMSGSIZE => "Message too long",
        libc::EPROTOTYPE => "Protocol wrong type for socket",
        libc::ENOPROTOOPT => "Protocol not available",
        libc::EPROTONOSUPPORT => "Protocol not supported",
        libc::ESOCKTNOSUPPORT => "Socket type not supported",
        libc::EOPNOTSUPP => "Operation not supported",
        libc::EPFNOSUPPORT => "Protocol family not supported",
        libc::EAFNOSUPPORT => "Address family not supported by protocol",
        libc::EADDRINUSE => "Address already in use",
        libc::EADDRNOTAVAIL => "Cannot assign requested address",
        libc::ENETDOWN => "Network is down",
        libc::ENETUNREACH => "Network is unreachable",
        libc::ENETRESET => "Network dropped connection on reset",
        libc::ECONNABORTED => "Software caused connection abort",
        libc::ECONNRESET => "Connection reset by peer",
        libc::ENOBUFS => "No buffer space available",
        libc::EISCONN => "Transport endpoint is already connected",
        libc::ENOTCONN => "Transport endpoint is not connected",
        libc::ESHUTDOWN => "Cannot send after transport endpoint shutdown",
        libc::ETOOMANYREFS => "Too many references: cannot splice",
        libc::ETIMEDOUT => "Connection timed out",
        libc::ECONNREFUSED => "Connection refused",
        libc::EHOSTDOWN => "Host is down",
        libc::EHOSTUNREACH => "No route to host",
        libc::EALREADY => "Operation already in progress",
        libc::EINPROGRESS => "Operation now in progress",
        libc::ESTALE => "Stale file handle",
        libc::EUCLEAN => "Structure needs cleaning",
        libc::ENOTNAM => "Not a XENIX named type file",
        libc::ENAVAIL => "No XENIX semaphores available",
        libc::EISNAM => "Is a named type file",
        libc::EREMOTEIO => "Remote I/O error",
        libc::EDQUOT => "Disk quota exceeded",
        libc::ENOMEDIUM => "No medium found",
        libc::EMEDIUMTYPE => "Wrong medium type",
        libc::ECANCELED => "Operation canceled",
        libc::ENOKEY => "Required key not available",
        libc::EKEYEXPIRED => "Key has expired",
        libc::EKEYREVOKED => "Key has been revoked",
        libc::EKEYREJECTED => "Key was rejected by service",
        libc::EOWNERDEAD => "Owner died",
        libc::ENOTRECOVERABLE => "State not recoverable",
        libc::ERFKILL => "Operation not possible due to RF-kill",
        libc::EHWPOISON => "Memory page has hardware error",
        _ => return None,
    })
}

/// The message, with the number where there is none.
fn full_message(error: c_int) -> Cow<'static, str> {
    match message(error) {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(format!("Unknown error {error}")),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __xpg_strerror_r(error: c_int, out: *mut c_char, len: usize) -> c_int {
    let text = full_message(error);
    let text = text.as_bytes();
    if len == 0 {
        return libc::ERANGE;
    }
    let copied = text.len().min(len - 1);
    // SAFETY: `out` has `len` bytes, more than are written.
    unsafe {
        out.copy_from_nonoverlapping(text.as_ptr().cast(), copied);
        *out.add(copied) = 0;
    }
    if copied < text.len() {
        libc::ERANGE
    } else if message(error).is_none() {
        libc::EINVAL
    } else {
        0
    }
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
    // All numbers without a text share one, so that the table has an end.
    if message(error).is_none() {
        return c"Unknown error".as_ptr();
    }
    let mut texts = TEXTS.lock();
    let text = texts
        .entry(error)
        .or_insert_with(|| CString::new(&*full_message(error)).unwrap_or_default());
    // Entries are never changed, and their text does not move with them.
    text.as_ptr()
}

/// What a signal means; the texts are Linux's usual ones.
#[unsafe(no_mangle)]
extern "C" fn strsignal(signal: c_int) -> *const c_char {
    match signal {
        libc::SIGHUP => c"Hangup",
        libc::SIGINT => c"Interrupt",
        libc::SIGQUIT => c"Quit",
        libc::SIGILL => c"Illegal instruction",
        libc::SIGTRAP => c"Trace/breakpoint trap",
        libc::SIGABRT => c"Aborted",
        libc::SIGBUS => c"Bus error",
        libc::SIGFPE => c"Floating point exception",
        libc::SIGKILL => c"Killed",
        libc::SIGUSR1 => c"User defined signal 1",
        libc::SIGSEGV => c"Segmentation fault",
        libc::SIGUSR2 => c"User defined signal 2",
        libc::SIGPIPE => c"Broken pipe",
        libc::SIGALRM => c"Alarm clock",
        libc::SIGTERM => c"Terminated",
        libc::SIGSTKFLT => c"Stack fault",
        libc::SIGCHLD => c"Child exited",
        libc::SIGCONT => c"Continued",
        libc::SIGSTOP => c"Stopped (signal)",
        libc::SIGTSTP => c"Stopped",
        libc::SIGTTIN => c"Stopped (tty input)",
        libc::SIGTTOU => c"Stopped (tty output)",
        libc::SIGURG => c"Urgent I/O condition",
        libc::SIGXCPU => c"CPU time limit exceeded",
        libc::SIGXFSZ => c"File size limit exceeded",
        libc::SIGVTALRM => c"Virtual timer expired",
        libc::SIGPROF => c"Profiling timer expired",
        libc::SIGWINCH => c"Window changed",
        libc::SIGIO => c"I/O possible",
        libc::SIGPWR => c"Power failure",
        libc::SIGSYS => c"Bad system call",
        34..=64 => c"Real-time signal",
        _ => c"Unknown signal",
    }
    .as_ptr()
}
