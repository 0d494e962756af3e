//! Numbers in strings, sorting, searching (ISO C17, section 7.22).

use core::ffi::{CStr, c_char, c_int, c_long, c_longlong, c_ulong, c_ulonglong, c_void};
use core::ptr::null_mut;

use super::characters::is_space;
use super::errno;
use crate::error::Errno;

/// A number read from the beginning of a text.
pub(super) struct Parsed {
    pub(super) is_negative: bool,
    /// `None` when it is larger than 64 bits hold.
    pub(super) magnitude: Option<u64>,
    /// Bytes that belong to it, with spaces and sign; 0 if there is no number.
    pub(super) len: usize,
}

/// Reads an integer of a base from 2 to 36; 0 stands for that of C's own notation.
pub(super) fn parse(text: &[u8], base: c_int) -> Parsed {
    let spaces = text.iter().take_while(|byte| is_space(**byte)).count();
    let mut rest = &text[spaces..];
    let is_negative = rest.first() == Some(&b'-');
    if let Some((b'+' | b'-', behind)) = rest.split_first() {
        rest = behind;
    }
    let is_hex = matches!(rest, [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit());
    let base = match base {
        0 if is_hex => 16,
        0 if rest.first() == Some(&b'0') => 8,
        0 => 10,
        base => base as u32,
    };
    if base == 16 && is_hex {
        rest = &rest[2..];
    }
    let mut magnitude = Some(0_u64);
    let mut digits = 0;
    for digit in rest
        .iter()
        .map_while(|byte| char::from(*byte).to_digit(base))
    {
        digits += 1;
        magnitude = magnitude
            .and_then(|sum| sum.checked_mul(u64::from(base)))
            .and_then(|sum| sum.checked_add(u64::from(digit)));
    }
    let behind = text.len() - rest.len();
    Parsed {
        is_negative,
        magnitude,
        len: if digits == 0 { 0 } else { behind + digits },
    }
}

/// # Safety
/// 1. `string` is a C string, and `end` is null or can be written.
unsafe fn read(string: *const c_char, end: *mut *mut c_char, base: c_int) -> Option<Parsed> {
    if base != 0 && !(2..=36).contains(&base) {
        errno::set(Errno(libc::EINVAL));
        return None;
    }
    // SAFETY: the caller's promise (1).
    unsafe {
        let parsed = parse(CStr::from_ptr(string).to_bytes(), base);
        if !end.is_null() {
            *end = string.add(parsed.len).cast_mut();
        }
        Some(parsed)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strtol(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_long {
    // SAFETY: the caller's string.
    let Some(parsed) = (unsafe { read(string, end, base) }) else {
        return 0;
    };
    let limit = if parsed.is_negative {
        i64::MIN
    } else {
        i64::MAX
    };
    match parsed.magnitude.filter(|sum| *sum <= limit.unsigned_abs()) {
        Some(sum) if parsed.is_negative => (sum as i64).wrapping_neg(),
        Some(sum) => sum as i64,
        None => {
            errno::set(Errno(libc::ERANGE));
            limit
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strtoul(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_ulong {
    // SAFETY: the caller's string.
    let Some(parsed) = (unsafe { read(string, end, base) }) else {
        return 0;
    };
    match parsed.magnitude {
        Some(sum) if parsed.is_negative => sum.wrapping_neg(),
        Some(sum) => sum,
        None => {
            errno::set(Errno(libc::ERANGE));
            u64::MAX
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strtoll(
    string: *const c_char,
    end: *mut *mut c_char,
    base: c_int,
) -> c_longlong {
    // SAFETY: the caller's string.
    unsafe { strtol(string, end, base) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strtoull(
    string: *const c_char,
    end: *mut *mut c_char,
    base: c_int,
) -> c_ulonglong {
    // SAFETY: the caller's string.
    unsafe { strtoul(string, end, base) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn atoi(string: *const c_char) -> c_int {
    // SAFETY: the caller's string.
    unsafe { strtol(string, null_mut(), 10) as c_int }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn atol(string: *const c_char) -> c_long {
    // SAFETY: the caller's string.
    unsafe { strtol(string, null_mut(), 10) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn atoll(string: *const c_char) -> c_longlong {
    // SAFETY: the caller's string.
    unsafe { strtol(string, null_mut(), 10) }
}

/// How much of a text is a decimal floating-point number.
fn decimal_len(text: &[u8]) -> usize {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut len = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    for word in [&b"infinity"[..], b"inf", b"nan"] {
        let found = text.get(len..len + word.len());
        if found.is_some_and(|found| found.eq_ignore_ascii_case(word)) {
            return len + word.len();
        }
    }
    let whole = digits(len);
    len += whole;
    let mut fraction = 0;
    if text.get(len) == Some(&b'.') {
        fraction = digits(len + 1);
        len += 1 + fraction;
    }
    if whole + fraction == 0 {
        return 0;
    }
    if matches!(text.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(len + 1), Some(b'+' | b'-')));
        let exponent = digits(len + 1 + sign);
        if exponent != 0 {
            len += 1 + sign + exponent;
        }
    }
    len
}

/// The value of digits in hexadecimal notation behind `0x`, and how many bytes they are.
fn hexadecimal(text: &[u8]) -> (f64, usize) {
    let (mut mantissa, mut exponent, mut len) = (0_u64, 0_i64, 0);
    let (mut has_point, mut digits) = (false, 0);
    for &byte in text {
        match char::from(byte).to_digit(16) {
            // What no longer fits only moves the exponent; a last bit remembers that it was not zero.
            Some(digit) if mantissa >> 59 != 0 => {
                mantissa |= u64::from(digit != 0);
                exponent += if has_point { 0 } else { 4 };
            }
            Some(digit) => {
                mantissa = mantissa << 4 | u64::from(digit);
                exponent -= if has_point { 4 } else { 0 };
            }
            None if byte == b'.' && !has_point => {
                has_point = true;
                len += 1;
                continue;
            }
            None => break,
        }
        digits += 1;
        len += 1;
    }
    if digits == 0 {
        return (0.0, 0);
    }
    if let [b'p' | b'P', rest @ ..] = &text[len..] {
        let power = parse(rest, 10);
        if power.len != 0 && !is_space(rest[0]) {
            len += 1 + power.len;
            let magnitude = power.magnitude.unwrap_or(u64::MAX).min(1 << 40) as i64;
            exponent += if power.is_negative {
                -magnitude
            } else {
                magnitude
            };
        }
    }
    let exponent = exponent.clamp(-5000, 5000) as i32;
    (libm::ldexp(mantissa as f64, exponent), len)
}

/// Reads a floating-point number: its value, and how many bytes it has; 0 if there is none.
pub(super) fn double_of(text: &[u8]) -> (f64, usize) {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    if let [b'0', b'x' | b'X', rest @ ..] = &text[sign..] {
        let (value, len) = hexadecimal(rest);
        if len != 0 {
            let value = if text[0] == b'-' { -value } else { value };
            return (value, sign + 2 + len);
        }
    }
    let len = decimal_len(text);
    let number = core::str::from_utf8(&text[..len]);
    (number.ok().and_then(|n| n.parse().ok()).unwrap_or(0.0), len)
}

/// Reads a number of C's notation, decimal or hexadecimal.
#[unsafe(no_mangle)]
unsafe extern "C" fn strtod(string: *const c_char, end: *mut *mut c_char) -> f64 {
    // SAFETY: the caller's string.
    let text = unsafe { CStr::from_ptr(string) }.to_bytes();
    let spaces = text.iter().take_while(|byte| is_space(**byte)).count();
    let text = &text[spaces..];
    let (value, len) = double_of(text);
    if !end.is_null() {
        let used = if len == 0 { 0 } else { spaces + len };
        // SAFETY: the caller's place; inside of the string.
        unsafe { *end = string.add(used).cast_mut() };
    }
    let is_named = text[..len].iter().any(|byte| matches!(byte, b'n' | b'N'));
    if value.is_infinite() && !is_named {
        errno::set(Errno(libc::ERANGE));
    }
    value
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strtof(string: *const c_char, end: *mut *mut c_char) -> f32 {
    // SAFETY: the caller's string.
    unsafe { strtod(string, end) as f32 }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn atof(string: *const c_char) -> f64 {
    // SAFETY: the caller's string.
    unsafe { strtod(string, null_mut()) }
}

#[unsafe(no_mangle)]
extern "C" fn abs(number: c_int) -> c_int {
    number.wrapping_abs()
}

#[unsafe(no_mangle)]
extern "C" fn labs(number: c_long) -> c_long {
    number.wrapping_abs()
}

#[unsafe(no_mangle)]
extern "C" fn llabs(number: c_longlong) -> c_longlong {
    number.wrapping_abs()
}

type Compare = unsafe extern "C" fn(*const c_void, *const c_void) -> c_int;

/// Exchanges two elements.
///
/// # Safety
/// 1. Both have `size` bytes, and are the same or do not overlap.
unsafe fn swap(first: *mut u8, second: *mut u8, size: usize) {
    if first != second {
        // SAFETY: the caller's promise (1).
        unsafe { core::ptr::swap_nonoverlapping(first, second, size) };
    }
}

/// Sorts an array: a heap sort, which needs no memory and is never slow.
///
/// # Safety
/// 1. `base` leads to `count` elements of `size` bytes, which may be moved.
unsafe fn sort(
    base: *mut u8,
    count: usize,
    size: usize,
    compare: impl Fn(*const c_void, *const c_void) -> c_int,
) {
    // SAFETY: all indices are below `count`, so the elements are in the array (1).
    unsafe {
        let element = |index: usize| base.add(index * size);
        let is_less = |a: usize, b: usize| compare(element(a).cast(), element(b).cast()) < 0;
        let sift = |mut root: usize, count: usize| loop {
            let mut child = 2 * root + 1;
            if child >= count {
                return;
            }
            if child + 1 < count && is_less(child, child + 1) {
                child += 1;
            }
            if !is_less(root, child) {
                return;
            }
            swap(element(root), element(child), size);
            root = child;
        };
        for root in (0..count / 2).rev() {
            sift(root, count);
        }
        for end in (1..count).rev() {
            swap(element(0), element(end), size);
            sift(0, end);
        }
    }
}

/// Sorts an array.
#[unsafe(no_mangle)]
unsafe extern "C" fn qsort(base: *mut c_void, count: usize, size: usize, compare: Compare) {
    // SAFETY: the same contract; the function is the caller's.
    unsafe { sort(base.cast(), count, size, |a, b| compare(a, b)) };
}

/// Looks an element up in a sorted array; null if it is not there.
#[unsafe(no_mangle)]
unsafe extern "C" fn bsearch(
    key: *const c_void,
    base: *const c_void,
    count: usize,
    size: usize,
    compare: Compare,
) -> *mut c_void {
    let (mut start, mut end) = (0, count);
    while start < end {
        let middle = start + (end - start) / 2;
        // SAFETY: inside of the caller's array; the function is the caller's.
        let (element, order) = unsafe {
            let element = base.cast::<u8>().add(middle * size).cast::<c_void>();
            (element, compare(key, element))
        };
        match order {
            0 => return element.cast_mut(),
            ..0 => end = middle,
            _ => start = middle + 1,
        }
    }
    null_mut()
}

/// As `qsort`, with a third argument for the function.
#[unsafe(no_mangle)]
unsafe extern "C" fn qsort_r(
    base: *mut c_void,
    count: usize,
    size: usize,
    compare: unsafe extern "C" fn(*const c_void, *const c_void, *mut c_void) -> c_int,
    argument: *mut c_void,
) {
    // SAFETY: the same contract; the function is the caller's.
    unsafe { sort(base.cast(), count, size, |a, b| compare(a, b, argument)) };
}

/// A quotient and a remainder.
#[repr(C)]
struct Division<T> {
    quotient: T,
    remainder: T,
}

macro_rules! divisions {
    ($($name:ident($kind:ty);)*) => {$(
        #[doc = concat!("See `", stringify!($name), "` of C.")]
        #[unsafe(no_mangle)]
        extern "C" fn $name(number: $kind, by: $kind) -> Division<$kind> {
            Division { quotient: number / by, remainder: number % by }
        }
    )*};
}

divisions! {
    div(c_int);
    ldiv(c_long);
    lldiv(c_longlong);
}

super::convert::also_named! {
    __isoc23_strtol = strtol(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_long;
    __isoc23_strtoul = strtoul(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_ulong;
    __isoc23_strtoll = strtoll(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_longlong;
    __isoc23_strtoull = strtoull(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_ulonglong;
    strtoimax = strtol(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_long;
    strtoumax = strtoul(string: *const c_char, end: *mut *mut c_char, base: c_int) -> c_ulong;
}
