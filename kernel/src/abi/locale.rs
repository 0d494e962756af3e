//! Locales (POSIX.1-2017, `locale.h`, `langinfo.h`): there is one, `C`.

use core::ffi::{c_char, c_int, c_void};
use core::ptr::{null_mut, without_provenance_mut};

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

/// The only locale as an object: nobody looks inside.
const ONLY: *mut c_void = without_provenance_mut(1);

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

/// Facts about the locale: the code set and the decimal point; nothing for the rest.
#[unsafe(no_mangle)]
extern "C" fn nl_langinfo(item: c_int) -> *const c_char {
    match item {
        libc::CODESET => c"ANSI_X3.4-1968".as_ptr(),
        libc::RADIXCHAR => c".".as_ptr(),
        _ => EMPTY,
    }
}
