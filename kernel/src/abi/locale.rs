//! Locales (POSIX.1-2017, `locale.h`, `langinfo.h`): there is one, `C`.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::{null, null_mut};

use super::characters::{KINDS, LOWER, UPPER, ZERO};
use super::convert::text;
use super::errno;
use crate::error::Errno;

/// Chooses a locale: any other name is refused. The empty one means that of the environment, which is not asked.
///
/// # Safety
/// `name` is null or a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn setlocale(_category: c_int, name: *const c_char) -> *const c_char {
    // SAFETY: the caller's string.
    match unsafe { text(name) } {
        Err(_) | Ok(b"" | b"C" | b"POSIX") => c"C".as_ptr(),
        Ok(_) => core::ptr::null(),
    }
}

/// Categories of glibc's locales, some of which it does not use.
const CATEGORIES: usize = 13;

/// What a `locale_t` leads to: the library of C++ takes the tables of characters from there.
#[repr(C)]
struct Locale {
    /// glibc's own.
    data: [*const c_void; CATEGORIES],
    kinds: *const u16,
    lower: *const i32,
    upper: *const i32,
    names: [*const c_char; CATEGORIES],
}

// SAFETY: pointers to constant data, which nobody writes.
unsafe impl Sync for Locale {}

static C: Locale = Locale {
    data: [null(); CATEGORIES],
    kinds: &raw const KINDS.table[ZERO],
    lower: &raw const LOWER.table[ZERO],
    upper: &raw const UPPER.table[ZERO],
    names: [c"C".as_ptr(); CATEGORIES],
};

/// The only locale as an object.
const ONLY: *mut c_void = (&raw const C).cast_mut().cast();

/// Makes a locale.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn newlocale(
    _mask: c_int,
    name: *const c_char,
    _base: *mut c_void,
) -> *mut c_void {
    // SAFETY: the caller's string.
    if unsafe { setlocale(0, name) }.is_null() {
        errno::set(Errno(libc::ENOENT));
        return null_mut();
    }
    ONLY
}

#[unsafe(no_mangle)]
extern "C" fn duplocale(locale: *mut c_void) -> *mut c_void {
    locale
}

#[unsafe(no_mangle)]
extern "C" fn freelocale(_locale: *mut c_void) {}

/// The locale of the running thread before.
#[unsafe(no_mangle)]
extern "C" fn uselocale(_locale: *mut c_void) -> *mut c_void {
    ONLY
}

struct Conventions(libc::lconv);

// SAFETY: pointers to constant strings, which nobody writes.
unsafe impl Sync for Conventions {}

const EMPTY: *mut c_char = c"".as_ptr().cast_mut();

/// How numbers and money are written in `C`: 127 is "not told".
static CONVENTIONS: Conventions = Conventions(libc::lconv {
    decimal_point: c".".as_ptr().cast_mut(),
    thousands_sep: EMPTY,
    grouping: EMPTY,
    int_curr_symbol: EMPTY,
    currency_symbol: EMPTY,
    mon_decimal_point: EMPTY,
    mon_thousands_sep: EMPTY,
    mon_grouping: EMPTY,
    positive_sign: EMPTY,
    negative_sign: EMPTY,
    int_frac_digits: 127,
    frac_digits: 127,
    p_cs_precedes: 127,
    p_sep_by_space: 127,
    n_cs_precedes: 127,
    n_sep_by_space: 127,
    p_sign_posn: 127,
    n_sign_posn: 127,
    int_p_cs_precedes: 127,
    int_p_sep_by_space: 127,
    int_n_cs_precedes: 127,
    int_n_sep_by_space: 127,
    int_p_sign_posn: 127,
    int_n_sign_posn: 127,
});

#[unsafe(no_mangle)]
extern "C" fn localeconv() -> *const libc::lconv {
    &raw const CONVENTIONS.0
}

/// Facts about times, from `ABDAY_1` on.
const OF_TIMES: [&CStr; 50] = [
    c"Sun",
    c"Mon",
    c"Tue",
    c"Wed",
    c"Thu",
    c"Fri",
    c"Sat",
    c"Sunday",
    c"Monday",
    c"Tuesday",
    c"Wednesday",
    c"Thursday",
    c"Friday",
    c"Saturday",
    c"Jan",
    c"Feb",
    c"Mar",
    c"Apr",
    c"May",
    c"Jun",
    c"Jul",
    c"Aug",
    c"Sep",
    c"Oct",
    c"Nov",
    c"Dec",
    c"January",
    c"February",
    c"March",
    c"April",
    c"May",
    c"June",
    c"July",
    c"August",
    c"September",
    c"October",
    c"November",
    c"December",
    c"AM",
    c"PM",
    c"%a %b %e %H:%M:%S %Y",
    c"%m/%d/%y",
    c"%H:%M:%S",
    c"%I:%M:%S %p",
    // Eras and other digits: there are none.
    c"",
    c"",
    c"",
    c"",
    c"",
    c"",
];

/// Facts about the locale; the empty string for what is none.
#[unsafe(no_mangle)]
extern "C" fn nl_langinfo(item: c_int) -> *const c_char {
    let of_times = item
        .checked_sub(libc::ABDAY_1)
        .and_then(|at| OF_TIMES.get(usize::try_from(at).ok()?));
    let fact = match item {
        libc::CODESET => c"ANSI_X3.4-1968",
        libc::RADIXCHAR => c".",
        libc::YESEXPR => c"^[yY]",
        libc::NOEXPR => c"^[nN]",
        libc::CRNCYSTR => c"-",
        _ => of_times.copied().unwrap_or(c""),
    };
    fact.as_ptr()
}

/// What C++ knows an image by where it asks for the end of its objects: there is one image.
#[unsafe(no_mangle)]
static __dso_handle: usize = 0;
