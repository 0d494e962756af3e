//! Wide strings with numbers and dates in them, and what is asked of wide strings besides (ISO C17, sections 7.29.4 and 7.29.5; POSIX.1-2017,
//! `wchar.h`). Each does what its sibling on bytes does, in the locale `C`.

#![allow(
    clashing_extern_declarations,
    reason = "each file declares what it needs of the others, with the types that it knows"
)]

use alloc::vec::Vec;
use core::ffi::{c_char, c_int, c_ulong, c_void};
use core::ptr::null_mut;

/// A wide character of C.
type Wide = i32;
/// A wide character, or that there is none (`wint_t`).
type Wint = u32;

unsafe extern "C" {
    fn wcslen(string: *const Wide) -> usize;
    safe fn towlower(wide: Wint) -> Wint;
    safe fn towupper(wide: Wint) -> Wint;
    fn strtod(string: *const c_char, end: *mut *mut c_char) -> f64;
    fn strtof(string: *const c_char, end: *mut *mut c_char) -> f32;
    fn strtoll(string: *const c_char, end: *mut *mut c_char, base: c_int) -> i64;
    fn strtoull(string: *const c_char, end: *mut *mut c_char, base: c_int) -> u64;
    fn strftime(
        out: *mut c_char,
        len: usize,
        format: *const c_char,
        date: *const libc::tm,
    ) -> usize;
}

/// # Safety
/// 1. `string` is a wide string while the slice is used.
unsafe fn wide<'a>(string: *const Wide) -> &'a [Wide] {
    // SAFETY: (1).
    unsafe { core::slice::from_raw_parts(string, wcslen(string)) }
}

/// The ASCII that a string begins with, as a C string: no number goes further.
fn ascii(string: &[Wide]) -> Vec<u8> {
    let bytes = string.iter().map_while(|&wide| {
        let byte = u8::try_from(wide).ok()?;
        byte.is_ascii().then_some(byte)
    });
    bytes.chain(core::iter::once(0)).collect()
}

macro_rules! numbers {
    ($($name:ident = $sibling:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {$(
        #[doc = concat!("`", stringify!($sibling), "` of a wide string.\n\n# Safety\n`string` is a wide string; `end` is null or can be written.")]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(string: *const Wide, end: *mut *mut Wide $(, $argument: $kind)*) -> $result {
            // SAFETY: the caller's string, and a C string with its end.
            unsafe {
                let narrow = ascii(wide(string));
                let mut stop: *mut c_char = null_mut();
                let value = $sibling(narrow.as_ptr().cast(), &raw mut stop $(, $argument)*);
                if !end.is_null() {
                    let read = stop as usize - narrow.as_ptr() as usize;
                    end.write(string.add(read).cast_mut());
                }
                value
            }
        }
    )*};
}

numbers! {
    wcstod = strtod() -> f64;
    wcstof = strtof() -> f32;
    wcstol = strtoll(base: c_int) -> i64;
    wcstoll = strtoll(base: c_int) -> i64;
    wcstoimax = strtoll(base: c_int) -> i64;
    __isoc23_wcstol = strtoll(base: c_int) -> i64;
    __isoc23_wcstoll = strtoll(base: c_int) -> i64;
    wcstoul = strtoull(base: c_int) -> u64;
    wcstoull = strtoull(base: c_int) -> u64;
    wcstoumax = strtoull(base: c_int) -> u64;
    __isoc23_wcstoul = strtoull(base: c_int) -> u64;
    __isoc23_wcstoull = strtoull(base: c_int) -> u64;
}

/// Writes a date by a format; how many characters, or 0 if they do not fit or the format is not ASCII.
///
/// # Safety
/// `len` characters can be written, `format` is a wide string, `date` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsftime(
    out: *mut Wide,
    len: usize,
    format: *const Wide,
    date: *const libc::tm,
) -> usize {
    // SAFETY: the caller's; the bytes have as much room as the characters.
    unsafe {
        let format = wide(format);
        let narrow = ascii(format);
        let mut text = Vec::<u8>::new();
        if narrow.len() <= format.len() || text.try_reserve_exact(len).is_err() {
            return 0;
        }
        let count = strftime(text.as_mut_ptr().cast(), len, narrow.as_ptr().cast(), date);
        for at in 0..if count == 0 { 0 } else { count + 1 } {
            out.add(at).write(Wide::from(text.as_ptr().add(at).read()));
        }
        count
    }
}

/// Makes a string whose comparison by characters is that of the locale: a copy. Its whole length, in characters.
///
/// # Safety
/// `len` characters can be written, `from` is a wide string.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsxfrm(to: *mut Wide, from: *const Wide, len: usize) -> usize {
    // SAFETY: the caller's string and room.
    unsafe {
        let string = wide(from);
        if string.len() < len {
            core::ptr::copy_nonoverlapping(from, to, string.len() + 1);
        }
        string.len()
    }
}

/// As [`wcsftime`]: there is one locale.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsftime_l(
    out: *mut Wide,
    len: usize,
    format: *const Wide,
    date: *const libc::tm,
    _locale: *mut c_void,
) -> usize {
    // SAFETY: the same contract.
    unsafe { wcsftime(out, len, format, date) }
}

/// How many characters at the beginning are among `wanted`.
///
/// # Safety
/// Both are wide strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsspn(string: *const Wide, wanted: *const Wide) -> usize {
    // SAFETY: the caller's strings.
    let (string, wanted) = unsafe { (wide(string), wide(wanted)) };
    string.iter().take_while(|one| wanted.contains(one)).count()
}

/// How many characters at the beginning are not among `unwanted`.
///
/// # Safety
/// Both are wide strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcscspn(string: *const Wide, unwanted: *const Wide) -> usize {
    // SAFETY: the caller's strings.
    let (string, unwanted) = unsafe { (wide(string), wide(unwanted)) };
    string
        .iter()
        .take_while(|one| !unwanted.contains(one))
        .count()
}

/// The first character that is among `wanted`.
///
/// # Safety
/// Both are wide strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcspbrk(string: *const Wide, wanted: *const Wide) -> *mut Wide {
    // SAFETY: the same contract; inside of the string or at its zero.
    unsafe {
        let found = string.add(wcscspn(string, wanted));
        if *found == 0 {
            null_mut()
        } else {
            found.cast_mut()
        }
    }
}

/// The next word of a string, which is cut there.
///
/// # Safety
/// `string` is a wide string or null, then `state` is what the call before left; `separators` is a wide string.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcstok(
    string: *mut Wide,
    separators: *const Wide,
    state: *mut *mut Wide,
) -> *mut Wide {
    // SAFETY: the caller's strings, none of which is left.
    unsafe {
        let from = if string.is_null() { *state } else { string };
        if from.is_null() {
            return null_mut();
        }
        let word = from.add(wcsspn(from, separators));
        if *word == 0 {
            *state = null_mut();
            return null_mut();
        }
        let end = word.add(wcscspn(word, separators));
        *state = if *end == 0 {
            null_mut()
        } else {
            end.write(0);
            end.add(1)
        };
        word
    }
}

/// Appends at most `most` characters, and a zero.
///
/// # Safety
/// Both are wide strings, and there is room for both at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsncat(to: *mut Wide, from: *const Wide, most: usize) -> *mut Wide {
    // SAFETY: the caller's strings and room.
    unsafe {
        let end = to.add(wcslen(to));
        let len = (0..most)
            .find(|&at| from.add(at).read() == 0)
            .unwrap_or(most);
        core::ptr::copy_nonoverlapping(from, end, len);
        end.add(len).write(0);
    }
    to
}

/// Copies a string; where its zero went.
///
/// # Safety
/// `from` is a wide string, for which there is room at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcpcpy(to: *mut Wide, from: *const Wide) -> *mut Wide {
    // SAFETY: the caller's string and room.
    unsafe {
        let len = wcslen(from);
        core::ptr::copy_nonoverlapping(from, to, len + 1);
        to.add(len)
    }
}

/// # Safety
/// Both are wide strings, or have `most` characters.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsncasecmp(first: *const Wide, second: *const Wide, most: usize) -> c_int {
    for at in 0..most {
        // SAFETY: neither has ended before.
        let [one, other] =
            [first, second].map(|string| towlower(unsafe { *string.add(at) }.cast_unsigned()));
        if one != other {
            return if one < other { -1 } else { 1 };
        }
        if one == 0 {
            break;
        }
    }
    0
}

/// # Safety
/// Both are wide strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcscasecmp(first: *const Wide, second: *const Wide) -> c_int {
    // SAFETY: the same contract.
    unsafe { wcsncasecmp(first, second, usize::MAX) }
}

/// The number of a change of characters, by its name; 0: there is none.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn wctrans(name: *const c_char) -> c_ulong {
    // SAFETY: the caller's string.
    match unsafe { core::ffi::CStr::from_ptr(name) }.to_bytes() {
        b"tolower" => 1,
        b"toupper" => 2,
        _ => 0,
    }
}

/// A character after a change of [`wctrans`]'s.
#[unsafe(no_mangle)]
extern "C" fn towctrans(wide: Wint, change: c_ulong) -> Wint {
    match change {
        1 => towlower(wide),
        2 => towupper(wide),
        _ => wide,
    }
}
