//! Numbers in strings, sorting, searching (ISO C17, section 7.22).

use core::ffi::{CStr, c_char, c_int, c_long, c_longlong, c_ulong, c_ulonglong, c_void};
use core::ptr::null_mut;

use super::characters::is_space;
use super::errno;
use crate::error::Errno;

/// A number read from the beginning of a text.
struct Parsed {
    is_negative: bool,
    /// `None` when it is larger than 64 bits hold.
    magnitude: Option<u64>,
    /// Bytes that belong to it, with spaces and sign; 0 if there is no number.
    len: usize,
}

/// Reads an integer of a base from 2 to 36; 0 stands for that of C's own notation.
fn parse(text: &[u8], base: c_int) -> Parsed {
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

/// Reads a decimal number; hexadecimal ones are read up to their `x`.
#[unsafe(no_mangle)]
unsafe extern "C" fn strtod(string: *const c_char, end: *mut *mut c_char) -> f64 {
    // SAFETY: the caller's string.
    let text = unsafe { CStr::from_ptr(string) }.to_bytes();
    let spaces = text.iter().take_while(|byte| is_space(**byte)).count();
    let len = decimal_len(&text[spaces..]);
    if !end.is_null() {
        let used = if len == 0 { 0 } else { spaces + len };
        // SAFETY: the caller's place; inside of the string.
        unsafe { *end = string.add(used).cast_mut() };
    }
    let number = core::str::from_utf8(&text[spaces..spaces + len]);
    let value: f64 = number.ok().and_then(|n| n.parse().ok()).unwrap_or(0.0);
    let is_named = text[spaces..spaces + len]
        .iter()
        .any(|byte| matches!(byte, b'n' | b'N'));
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
#[unsafe(no_mangle)]
unsafe extern "C" fn qsort(base: *mut c_void, count: usize, size: usize, compare: Compare) {
    let base = base.cast::<u8>();
    // SAFETY: all indices are below `count`, so the elements are in the caller's array; the function is the caller's.
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
