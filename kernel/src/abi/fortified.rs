//! More functions that know the size of the memory they write (see [`super::fortify`]), all after one pattern; and those of compilers that
//! check the flags of `open`.

#![allow(
    clashing_extern_declarations,
    reason = "each file declares what it needs of the others, with the types that it knows"
)]

use core::ffi::{c_char, c_int, c_long, c_uint, c_void};

use libc::{mode_t, nfds_t, pollfd, sigset_t, sockaddr, socklen_t, timespec};

use super::fortify::check;

macro_rules! checked {
    ($($name:ident = $real:ident($($argument:ident: $kind:ty),*; $size:ident) -> $result:ty, if $fits:expr;)*) => {
        unsafe extern "C" {
            $(fn $real($($argument: $kind),*) -> $result;)*
        }
        $(
            #[doc = concat!("`", stringify!($real), "`, if it fits.\n\n# Safety\nAs of that.")]
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($argument: $kind,)* $size: usize) -> $result {
                check($fits);
                // SAFETY: the same contract.
                unsafe { $real($($argument),*) }
            }
        )*
    };
}

checked! {
    __mempcpy_chk = mempcpy(to: *mut c_void, from: *const c_void, len: usize; size) -> *mut c_void, if len <= size;
    __stpncpy_chk = stpncpy(to: *mut c_char, from: *const c_char, len: usize; size) -> *mut c_char, if len <= size;
    __strlcpy_chk = strlcpy(to: *mut c_char, from: *const c_char, len: usize; size) -> usize, if len <= size;
    __strlcat_chk = strlcat(to: *mut c_char, from: *const c_char, len: usize; size) -> usize, if len <= size;
    __explicit_bzero_chk = explicit_bzero(start: *mut c_void, len: usize; size) -> (), if len <= size;
    __getcwd_chk = getcwd(buf: *mut c_char, len: usize; size) -> *mut c_char, if len <= size;
    __gethostname_chk = gethostname(buf: *mut c_char, len: usize; size) -> c_int, if len <= size;
    __getdomainname_chk = getdomainname(buf: *mut c_char, len: usize; size) -> c_int, if len <= size;
    __getlogin_r_chk = getlogin_r(buf: *mut c_char, len: usize; size) -> c_int, if len <= size;
    __ttyname_r_chk = ttyname_r(descriptor: c_int, buf: *mut c_char, len: usize; size) -> c_int, if len <= size;
    __ptsname_r_chk = ptsname_r(descriptor: c_int, buf: *mut c_char, len: usize; size) -> c_int, if len <= size;
    __confstr_chk = confstr(name: c_int, buf: *mut c_char, len: usize; size) -> usize, if len <= size;
    __pread_chk = pread(descriptor: c_int, buf: *mut c_void, len: usize, offset: i64; size) -> isize, if len <= size;
    __pread64_chk = pread64(descriptor: c_int, buf: *mut c_void, len: usize, offset: i64; size) -> isize, if len <= size;
    __readlink_chk = readlink(path: *const c_char, buf: *mut c_char, len: usize; size) -> isize, if len <= size;
    __readlinkat_chk = readlinkat(folder: c_int, path: *const c_char, buf: *mut c_char, len: usize; size) -> isize, if len <= size;
    __mbstowcs_chk = mbstowcs(to: *mut i32, from: *const c_char, len: usize; size) -> usize, if len <= size;
    __wcstombs_chk = wcstombs(to: *mut c_char, from: *const i32, len: usize; size) -> usize, if len <= size;
    __wmemcpy_chk = wmemcpy(to: *mut i32, from: *const i32, len: usize; size) -> *mut i32, if len <= size;
    __wmemmove_chk = wmemmove(to: *mut i32, from: *const i32, len: usize; size) -> *mut i32, if len <= size;
    __wmemset_chk = wmemset(to: *mut i32, wide: i32, len: usize; size) -> *mut i32, if len <= size;
    __wcsncpy_chk = wcsncpy(to: *mut i32, from: *const i32, len: usize; size) -> *mut i32, if len <= size;
    __realpath_chk = realpath(path: *const c_char, resolved: *mut c_char; size) -> *mut c_char,
        if resolved.is_null() || size >= libc::PATH_MAX as usize;
    __poll_chk = poll(requests: *mut pollfd, count: nfds_t, timeout_ms: c_int; size) -> c_int,
        if size / size_of::<pollfd>() >= count as usize;
    __ppoll_chk = ppoll(requests: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t; size) -> c_int,
        if size / size_of::<pollfd>() >= count as usize;
    __getgroups_chk = getgroups(count: c_int, groups: *mut c_uint; size) -> c_int,
        if usize::try_from(count).is_ok_and(|count| count * 4 <= size);
}

unsafe extern "C" {
    fn recv(descriptor: c_int, buf: *mut c_void, len: usize, flags: c_int) -> isize;
    fn recvfrom(
        descriptor: c_int,
        buf: *mut c_void,
        len: usize,
        flags: c_int,
        from: *mut sockaddr,
        from_len: *mut socklen_t,
    ) -> isize;
    fn fread(buf: *mut c_void, size: usize, count: usize, file: *mut c_void) -> usize;
    fn fgets_unlocked(out: *mut c_char, len: c_int, file: *mut c_void) -> *mut c_char;
    fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int;
    fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int;
    fn wcslen(string: *const i32) -> usize;
    fn wcscpy(to: *mut i32, from: *const i32) -> *mut i32;
    fn wcscat(to: *mut i32, from: *const i32) -> *mut i32;
}

/// # Safety
/// As of `recv`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __recv_chk(
    descriptor: c_int,
    buf: *mut c_void,
    len: usize,
    size: usize,
    flags: c_int,
) -> isize {
    check(len <= size);
    // SAFETY: the same contract.
    unsafe { recv(descriptor, buf, len, flags) }
}

/// # Safety
/// As of `recvfrom`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __recvfrom_chk(
    descriptor: c_int,
    buf: *mut c_void,
    len: usize,
    size: usize,
    flags: c_int,
    from: *mut sockaddr,
    from_len: *mut socklen_t,
) -> isize {
    check(len <= size);
    // SAFETY: the same contract.
    unsafe { recvfrom(descriptor, buf, len, flags, from, from_len) }
}

/// # Safety
/// As of `fread`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __fread_chk(
    buf: *mut c_void,
    room: usize,
    size: usize,
    count: usize,
    file: *mut c_void,
) -> usize {
    check(size.checked_mul(count).is_some_and(|len| len <= room));
    // SAFETY: the same contract.
    unsafe { fread(buf, size, count, file) }
}

/// # Safety
/// As of `fread_unlocked`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __fread_unlocked_chk(
    buf: *mut c_void,
    room: usize,
    size: usize,
    count: usize,
    file: *mut c_void,
) -> usize {
    // SAFETY: the same contract.
    unsafe { __fread_chk(buf, room, size, count, file) }
}

/// # Safety
/// As of `fgets_unlocked`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __fgets_unlocked_chk(
    out: *mut c_char,
    size: usize,
    len: c_int,
    file: *mut c_void,
) -> *mut c_char {
    check(usize::try_from(len).unwrap_or(0) <= size);
    // SAFETY: the same contract.
    unsafe { fgets_unlocked(out, len, file) }
}

/// # Safety
/// As of `wcscpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wcscpy_chk(to: *mut i32, from: *const i32, size: usize) -> *mut i32 {
    // SAFETY: the same contract.
    unsafe {
        check(wcslen(from) < size);
        wcscpy(to, from)
    }
}

/// # Safety
/// As of `wcscat`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wcscat_chk(to: *mut i32, from: *const i32, size: usize) -> *mut i32 {
    // SAFETY: the same contract.
    unsafe {
        check(wcslen(to) + wcslen(from) < size);
        wcscat(to, from)
    }
}

/// A descriptor's bit in an `fd_set`, where a compiler only warns.
#[unsafe(no_mangle)]
extern "C" fn __fdelt_warn(descriptor: c_long) -> c_long {
    descriptor / 64
}

/// A file is opened without a mode: then none may be made.
fn check_flags(flags: c_int) {
    check(flags & libc::O_CREAT == 0 && flags & libc::O_TMPFILE != libc::O_TMPFILE);
}

macro_rules! without_mode {
    ($($name:ident)*) => {$(
        /// `open` without a mode.
        ///
        /// # Safety
        /// As of `open`.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(path: *const c_char, flags: c_int) -> c_int {
            check_flags(flags);
            // SAFETY: the same contract.
            unsafe { open(path, flags, 0) }
        }
    )*};
}

without_mode! { __open_2 __open64_2 }

macro_rules! at_without_mode {
    ($($name:ident)*) => {$(
        /// `openat` without a mode.
        ///
        /// # Safety
        /// As of `openat`.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
            check_flags(flags);
            // SAFETY: the same contract.
            unsafe { openat(folder, path, flags, 0) }
        }
    )*};
}

at_without_mode! { __openat_2 __openat64_2 }
