//! Second names of functions: those that older headers and other systems use, those that take a locale (there is one, `C`), and those that
//! glibc keeps for its own headers.

#![allow(
    clashing_extern_declarations,
    reason = "each file declares what it needs of the others, with the types that it knows"
)]

use core::ffi::{c_char, c_int, c_long, c_longlong, c_uint, c_ulong, c_ulonglong, c_void};

macro_rules! named {
    ($($second:ident = $first:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {$(
        #[doc = concat!("`", stringify!($first), "`.\n\n# Safety\nAs of that.")]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $second($($argument: $kind),*) -> $result {
            unsafe extern "C" {
                fn $first($($argument: $kind),*) -> $result;
            }
            // SAFETY: the same contract.
            unsafe { $first($($argument),*) }
        }
    )*};
}

/// As above, of which the second takes a locale too.
macro_rules! with_locale {
    ($($second:ident $third:ident = $first:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {$(
        #[doc = concat!("`", stringify!($first), "` in a locale.\n\n# Safety\nAs of that.")]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $second($($argument: $kind,)* _locale: *mut c_void) -> $result {
            unsafe extern "C" {
                fn $first($($argument: $kind),*) -> $result;
            }
            // SAFETY: the same contract.
            unsafe { $first($($argument),*) }
        }

        #[doc = concat!("`", stringify!($first), "` in a locale.\n\n# Safety\nAs of that.")]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $third($($argument: $kind,)* locale: *mut c_void) -> $result {
            // SAFETY: the same contract.
            unsafe { $second($($argument,)* locale) }
        }
    )*};
}

named! {
    _Exit = _exit(status: c_int) -> !;
    index = strchr(string: *const c_char, byte: c_int) -> *mut c_char;
    rindex = strrchr(string: *const c_char, byte: c_int) -> *mut c_char;
    strtoq = strtoll(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_longlong;
    strtouq = strtoull(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_ulonglong;
    __strdup = strdup(string: *const c_char) -> *mut c_char;
    __strndup = strndup(string: *const c_char, most: usize) -> *mut c_char;
    __strtok_r = strtok_r(string: *mut c_char, separators: *const c_char, state: *mut *mut c_char) -> *mut c_char;
    __strcasecmp = strcasecmp(first: *const c_char, second: *const c_char) -> c_int;
    __strcasestr = strcasestr(string: *const c_char, part: *const c_char) -> *mut c_char;
    __stpcpy = stpcpy(to: *mut c_char, from: *const c_char) -> *mut c_char;
    __strverscmp = strverscmp(first: *const c_char, second: *const c_char) -> c_int;
    __mempcpy = mempcpy(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void;
    __memcmpeq = memcmp(first: *const c_void, second: *const c_void, len: usize) -> c_int;
    __bzero = bzero(start: *mut c_void, len: usize) -> ();
    __strerror_r = strerror_r(number: c_int, buf: *mut c_char, len: usize) -> *mut c_char;
    __getpid = getpid() -> c_int;
    __getpagesize = getpagesize() -> c_int;
    __sched_yield = sched_yield() -> c_int;
    __nanosleep = nanosleep(time: *const libc::timespec, rest: *mut libc::timespec) -> c_int;
    __clock_gettime = clock_gettime(clock: c_int, time: *mut libc::timespec) -> c_int;
    __gettimeofday = gettimeofday(time: *mut libc::timeval, zone: *mut c_void) -> c_int;
    __read = read(descriptor: c_int, buf: *mut c_void, len: usize) -> isize;
    __write = write(descriptor: c_int, buf: *const c_void, len: usize) -> isize;
    __close = close(descriptor: c_int) -> c_int;
    __sysconf = sysconf(name: c_int) -> c_long;
    __sigaction = sigaction(number: c_int, action: *const libc::sigaction, old: *mut libc::sigaction) -> c_int;
    __pthread_key_create = pthread_key_create(key: *mut c_uint, end: Option<unsafe extern "C" fn(*mut c_void)>) -> c_int;
    __getauxval = getauxval(kind: c_ulong) -> c_ulong;
    __secure_getenv = secure_getenv(name: *const c_char) -> *mut c_char;
    __libc_malloc = malloc(len: usize) -> *mut c_void;
    __libc_calloc = calloc(count: usize, len: usize) -> *mut c_void;
    __libc_realloc = realloc(old: *mut c_void, len: usize) -> *mut c_void;
    __libc_memalign = memalign(align: usize, len: usize) -> *mut c_void;
    __libc_free = free(old: *mut c_void) -> ();
    __isoc99_vscanf = vscanf(format: *const c_char, arguments: *mut c_void) -> c_int;
    __isoc23_vscanf = vscanf(format: *const c_char, arguments: *mut c_void) -> c_int;
    __isoc23_strtoimax = strtoll(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_longlong;
    __isoc23_strtoumax = strtoull(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_ulonglong;
    res_9_init = __res_init() -> c_int;
    mkostemps64 = mkostemps(template: *mut c_char, suffix_len: c_int, flags: c_int) -> c_int;
    __duplocale = duplocale(locale: *mut c_void) -> *mut c_void;
    __freelocale = freelocale(locale: *mut c_void) -> ();
    __newlocale = newlocale(mask: c_int, name: *const c_char, base: *mut c_void) -> *mut c_void;
    __uselocale = uselocale(locale: *mut c_void) -> *mut c_void;
    __strftime_l = strftime_l(out: *mut c_char, len: usize, format: *const c_char, date: *const libc::tm, locale: *mut c_void) -> usize;
    __wcsftime_l = wcsftime_l(out: *mut i32, len: usize, format: *const i32, date: *const libc::tm, locale: *mut c_void) -> usize;
    posix_basename = __xpg_basename(path: *mut c_char) -> *mut c_char;
}

with_locale! {
    strtod_l __strtod_l = strtod(string: *const c_char, end: *mut *mut c_char) -> f64;
    strtof_l __strtof_l = strtof(string: *const c_char, end: *mut *mut c_char) -> f32;
    strtol_l __strtol_l = strtol(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_long;
    strtoul_l __strtoul_l = strtoul(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_ulong;
    strtoll_l __strtoll_l = strtoll(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_longlong;
    strtoull_l __strtoull_l = strtoull(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_ulonglong;
    strcoll_l __strcoll_l = strcoll(first: *const c_char, second: *const c_char) -> c_int;
    strxfrm_l __strxfrm_l = strxfrm(to: *mut c_char, from: *const c_char, len: usize) -> usize;
    strcasecmp_l __strcasecmp_l = strcasecmp(first: *const c_char, second: *const c_char) -> c_int;
    strncasecmp_l __strncasecmp_l = strncasecmp(first: *const c_char, second: *const c_char, most: usize) -> c_int;
    strerror_l __strerror_l = strerror(number: c_int) -> *mut c_char;
    nl_langinfo_l __nl_langinfo_l = nl_langinfo(item: c_int) -> *mut c_char;
    isalnum_l __isalnum_l = isalnum(character: c_int) -> c_int;
    isalpha_l __isalpha_l = isalpha(character: c_int) -> c_int;
    isblank_l __isblank_l = isblank(character: c_int) -> c_int;
    iscntrl_l __iscntrl_l = iscntrl(character: c_int) -> c_int;
    isdigit_l __isdigit_l = isdigit(character: c_int) -> c_int;
    isgraph_l __isgraph_l = isgraph(character: c_int) -> c_int;
    islower_l __islower_l = islower(character: c_int) -> c_int;
    isprint_l __isprint_l = isprint(character: c_int) -> c_int;
    ispunct_l __ispunct_l = ispunct(character: c_int) -> c_int;
    isspace_l __isspace_l = isspace(character: c_int) -> c_int;
    isupper_l __isupper_l = isupper(character: c_int) -> c_int;
    isxdigit_l __isxdigit_l = isxdigit(character: c_int) -> c_int;
    tolower_l __tolower_l = tolower(character: c_int) -> c_int;
    toupper_l __toupper_l = toupper(character: c_int) -> c_int;
    towlower_l __towlower_l = towlower(character: c_uint) -> c_uint;
    towupper_l __towupper_l = towupper(character: c_uint) -> c_uint;
    iswctype_l __iswctype_l = iswctype(character: c_uint, kind: c_ulong) -> c_int;
    wctype_l __wctype_l = wctype(name: *const c_char) -> c_ulong;
    wcsxfrm_l __wcsxfrm_l = wcsxfrm(to: *mut i32, from: *const i32, len: usize) -> usize;
    wcscoll_l __wcscoll_l = wcscoll(first: *const i32, second: *const i32) -> c_int;
}

#[unsafe(no_mangle)]
extern "C" fn toascii(character: c_int) -> c_int {
    character & 0x7F
}

/// Files by the numbers of structures that glibc had until 2.33 (1 on x86-64).
macro_rules! versioned {
    ($($second:ident = $first:ident($($argument:ident: $kind:ty),*);)*) => {$(
        #[doc = concat!("`", stringify!($first), "`, with the version of the structure.\n\n# Safety\nAs of that.")]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $second(_version: c_int, $($argument: $kind),*) -> c_int {
            unsafe extern "C" {
                fn $first($($argument: $kind),*) -> c_int;
            }
            // SAFETY: the same contract.
            unsafe { $first($($argument),*) }
        }
    )*};
}

versioned! {
    __xstat = stat64(path: *const c_char, stat: *mut libc::stat64);
    __xstat64 = stat64(path: *const c_char, stat: *mut libc::stat64);
    __lxstat = lstat64(path: *const c_char, stat: *mut libc::stat64);
    __lxstat64 = lstat64(path: *const c_char, stat: *mut libc::stat64);
    __fxstat = fstat64(descriptor: c_int, stat: *mut libc::stat64);
    __fxstat64 = fstat64(descriptor: c_int, stat: *mut libc::stat64);
    __fxstatat = fstatat64(folder: c_int, path: *const c_char, stat: *mut libc::stat64, flags: c_int);
    __fxstatat64 = fstatat64(folder: c_int, path: *const c_char, stat: *mut libc::stat64, flags: c_int);
}
