//! Messages with the program's name and what is wrong (glibc: err(3), error(3)), and what C programs read of themselves and of their
//! time zone as variables.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_long, c_uint};
use core::ptr::null;

use super::program::exit;
use super::variadic::{VaList, variadic};
use super::{errno, text};
use crate::devices::console;

/// A variable that programs may read and write.
#[repr(transparent)]
struct Variable<T>(UnsafeCell<T>);

// SAFETY: it is the program's alone, and a race there is the program's fault, as in C.
unsafe impl<T> Sync for Variable<T> {}

#[unsafe(no_mangle)]
static program_invocation_name: Variable<*const c_char> =
    Variable(UnsafeCell::new(c"/program".as_ptr()));
#[unsafe(no_mangle)]
static program_invocation_short_name: Variable<*const c_char> =
    Variable(UnsafeCell::new(c"program".as_ptr()));
#[unsafe(no_mangle)]
static __progname: Variable<*const c_char> = Variable(UnsafeCell::new(c"program".as_ptr()));
#[unsafe(no_mangle)]
static __progname_full: Variable<*const c_char> = Variable(UnsafeCell::new(c"/program".as_ptr()));
/// Names of the time zone, which is UTC, without and with summer time.
#[unsafe(no_mangle)]
static tzname: Variable<[*const c_char; 2]> =
    Variable(UnsafeCell::new([c"UTC".as_ptr(), c"UTC".as_ptr()]));
/// Seconds west of UTC.
#[unsafe(no_mangle)]
static timezone: Variable<c_long> = Variable(UnsafeCell::new(0));
/// Whether there is summer time.
#[unsafe(no_mangle)]
static daylight: Variable<c_int> = Variable(UnsafeCell::new(0));
/// Whether locks may be spared (`sys/single_threaded.h`): nobody counts threads here, so they may not.
#[unsafe(no_mangle)]
static __libc_single_threaded: Variable<c_char> = Variable(UnsafeCell::new(0));
/// How many messages [`verror`] has written.
#[unsafe(no_mangle)]
static error_message_count: Variable<c_uint> = Variable(UnsafeCell::new(0));

unsafe extern "C" {
    fn vasprintf(out: *mut *mut c_char, format: *const c_char, arguments: *mut VaList) -> c_int;
    fn free(memory: *mut c_char);
}

/// Writes a line: the program's name, the message, and what a number of an error means.
///
/// # Safety
/// `format` is null or a C string, and `arguments` are what it says.
unsafe fn tell(format: *const c_char, arguments: *mut VaList, number: Option<c_int>) {
    console::write(b"program: ");
    let mut message: *mut c_char = core::ptr::null_mut();
    // SAFETY: the caller's format; the text is our own then.
    unsafe {
        if !format.is_null() && vasprintf(&raw mut message, format, arguments) >= 0 {
            console::write(CStr::from_ptr(message).to_bytes());
            free(message);
        }
    }
    if let Some(number) = number {
        if !format.is_null() {
            console::write(b": ");
        }
        // SAFETY: a C string that stays.
        console::write(unsafe { CStr::from_ptr(text::strerror(number)) }.to_bytes());
    }
    console::write(b"\n");
}

macro_rules! warnings {
    ($($name:ident $end:ident $number:expr;)*) => {$(
        /// # Safety
        /// As of `vprintf`; the format may be null.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(format: *const c_char, arguments: *mut VaList) {
            // SAFETY: the same contract.
            unsafe { tell(format, arguments, $number) };
        }

        /// The same, and ends the program.
        ///
        /// # Safety
        /// As of `vprintf`; the format may be null.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $end(status: c_int, format: *const c_char, arguments: *mut VaList) -> ! {
            // SAFETY: the same contract.
            unsafe { tell(format, arguments, $number) };
            exit(status)
        }
    )*};
}

warnings! {
    vwarn verr Some(errno::get());
    vwarnx verrx None;
}

/// A message, with what a number means unless that is 0; ends the program unless the status is 0.
///
/// # Safety
/// As of `vprintf`.
unsafe extern "C" fn verror(
    status: c_int,
    number: c_int,
    format: *const c_char,
    arguments: *mut VaList,
) {
    // SAFETY: the same contract; the count is the program's.
    unsafe {
        tell(format, arguments, (number != 0).then_some(number));
        *error_message_count.0.get() += 1;
    }
    if status != 0 {
        exit(status);
    }
}

variadic! {
    warn(1) = vwarn, "rsi";
    warnx(1) = vwarnx, "rsi";
    err(2) = verr, "rdx";
    errx(2) = verrx, "rdx";
    error(3) = verror, "rcx";
}

/// Names of errors, as macros call them; null for a number without one.
#[unsafe(no_mangle)]
extern "C" fn strerrorname_np(number: c_int) -> *const c_char {
    macro_rules! names {
        ($($name:ident)*) => {
            match number {
                0 => c"0".as_ptr(),
                $(libc::$name => concat!(stringify!($name), "\0").as_ptr().cast(),)*
                _ => null(),
            }
        };
    }
    names! {
        EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV ENODEV
        ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG
        ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM ENOSTR ENODATA ETIME ENOLINK EPROTO EBADMSG EOVERFLOW EILSEQ EUSERS ENOTSOCK
        EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE
        EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETIMEDOUT ECONNREFUSED
        EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN EDQUOT ECANCELED EOWNERDEAD ENOTRECOVERABLE
    }
}
