//! Functions on strings and memory that GNU and BSD have beside the standard ones (glibc: string(3), bstring(3)), and wide strings as far as
//! the locale `C` needs them (ISO C17, section 7.29.4).

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;

use super::errno;
use super::memory::realloc;
use super::strings::strnlen;
use crate::error::Errno;

/// A wide character of C.
type Wide = i32;

/// # Safety
/// 1. A C string, which stays as it is for `'a`.
unsafe fn bytes<'a>(string: *const c_char) -> &'a [u8] {
    // SAFETY: the caller's promise (1).
    unsafe { CStr::from_ptr(string) }.to_bytes()
}

/// Finds a string in another one, whatever the case of letters.
///
/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn strcasestr(string: *const c_char, part: *const c_char) -> *mut c_char {
    // SAFETY: the caller's strings.
    let (text, part) = unsafe { (bytes(string), bytes(part)) };
    let found = (0..=text.len().saturating_sub(part.len())).find(|&start| {
        text.get(start..start + part.len())
            .is_some_and(|piece| piece.eq_ignore_ascii_case(part))
    });
    // SAFETY: inside of the string.
    found.map_or(null_mut(), |start| unsafe { string.add(start) }.cast_mut())
}

/// Copies up to a byte, with it; behind it in the copy, or null if it was not among the first `len`.
///
/// # Safety
/// `len` bytes can be read, up to the byte, and written; they do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memccpy(
    to: *mut c_void,
    from: *const c_void,
    byte: c_int,
    len: usize,
) -> *mut c_void {
    for index in 0..len {
        // SAFETY: the byte was not there before, so this one can be read and written.
        unsafe {
            let next = from.cast::<u8>().add(index).read();
            to.cast::<u8>().add(index).write(next);
            if next == byte as u8 {
                return to.cast::<u8>().add(index + 1).cast();
            }
        }
    }
    null_mut()
}

/// Copies a string into a field of `len` bytes, filled with zeros; where the first zero is, or the field's end.
///
/// # Safety
/// `from` is a C string or `len` bytes; `len` bytes can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn stpncpy(
    to: *mut c_char,
    from: *const c_char,
    len: usize,
) -> *mut c_char {
    // SAFETY: the caller's memory, up to `len`.
    unsafe {
        let count = strnlen(from, len);
        to.copy_from_nonoverlapping(from, count);
        to.add(count).write_bytes(0, len - count);
        to.add(count)
    }
}

/// Copies a string into memory of `len` bytes as far as it fits; its whole length.
///
/// # Safety
/// `from` is a C string; `len` bytes can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlcpy(to: *mut c_char, from: *const c_char, len: usize) -> usize {
    // SAFETY: the caller's string and memory.
    unsafe {
        let text = bytes(from);
        if len > 0 {
            let count = text.len().min(len - 1);
            to.copy_from_nonoverlapping(from, count);
            to.add(count).write(0);
        }
        text.len()
    }
}

/// Appends a string in memory of `len` bytes as far as it fits; the length of what was wanted.
///
/// # Safety
/// Both are C strings, `to` in `len` bytes that can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlcat(to: *mut c_char, from: *const c_char, len: usize) -> usize {
    // SAFETY: the caller's strings.
    unsafe {
        let before = strnlen(to, len);
        before + strlcpy(to.add(before), from, len - before)
    }
}

/// Compares strings as people order versions: runs of digits by their value.
///
/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn strverscmp(first: *const c_char, second: *const c_char) -> c_int {
    // SAFETY: the caller's strings.
    let (first, second) = unsafe { (bytes(first), bytes(second)) };
    let same = first.iter().zip(second).take_while(|(a, b)| a == b).count();
    let digits_before = first[..same]
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let number = |text: &[u8]| {
        let from = &text[same - digits_before..];
        let len = from.iter().take_while(|byte| byte.is_ascii_digit()).count();
        from[..len].to_vec()
    };
    let (one, other) = (number(first), number(second));
    let is_fraction = one.first() == Some(&b'0') || other.first() == Some(&b'0');
    if one.is_empty() || other.is_empty() || is_fraction {
        return first[same..].cmp(&second[same..]) as c_int;
    }
    one.len().cmp(&other.len()).then_with(|| first.cmp(second)) as c_int
}

/// Compares strings by the locale's order, made to be compared with `strcmp`: in the locale `C` as they are. The length without the zero.
///
/// # Safety
/// `from` is a C string; `len` bytes can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn strxfrm(to: *mut c_char, from: *const c_char, len: usize) -> usize {
    // SAFETY: the same contract.
    unsafe { strlcpy(to, from, len) }
}

/// Finds a byte that is there.
///
/// # Safety
/// The byte is behind `start`.
#[unsafe(no_mangle)]
unsafe extern "C" fn rawmemchr(start: *const c_void, byte: c_int) -> *mut c_void {
    let mut place = start.cast::<u8>();
    // SAFETY: not behind the byte.
    while unsafe { place.read() } != byte as u8 {
        // SAFETY: as above.
        place = unsafe { place.add(1) };
    }
    place.cast_mut().cast()
}

/// Fills memory with zeros.
///
/// # Safety
/// `len` bytes can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn bzero(start: *mut c_void, len: usize) {
    // SAFETY: the caller's memory.
    unsafe { start.write_bytes(0, len) };
}

/// Copies memory that may overlap.
///
/// # Safety
/// `len` bytes can be read and written.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcopy(from: *const c_void, to: *mut c_void, len: usize) {
    // SAFETY: the caller's memory.
    unsafe { to.copy_from(from, len) };
}

/// The lowest bit that is set, from 1; 0 for none.
#[unsafe(no_mangle)]
extern "C" fn ffs(number: c_int) -> c_int {
    ffsl(i64::from(number as u32))
}

/// As [`ffs`].
#[unsafe(no_mangle)]
extern "C" fn ffsl(number: i64) -> c_int {
    match number {
        0 => 0,
        _ => number.trailing_zeros() as c_int + 1,
    }
}

/// As [`ffs`].
#[unsafe(no_mangle)]
extern "C" fn ffsll(number: i64) -> c_int {
    ffsl(number)
}

/// Resizes an array; `ENOMEM` where its size overflows.
///
/// # Safety
/// As of [`realloc`].
#[unsafe(no_mangle)]
unsafe extern "C" fn reallocarray(old: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: the same contract.
        Some(len) => unsafe { realloc(old, len) },
        None => {
            errno::set(Errno(libc::ENOMEM));
            null_mut()
        }
    }
}

/// The part of a path behind its last slash, which changes nothing (GNU).
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn basename(path: *const c_char) -> *mut c_char {
    // SAFETY: a C string; inside of it.
    unsafe {
        let behind = bytes(path).iter().rposition(|&byte| byte == b'/');
        path.add(behind.map_or(0, |at| at + 1)).cast_mut()
    }
}

/// Cuts the slashes at the end of a path off.
fn without_slashes(text: &[u8]) -> &[u8] {
    let len = text
        .iter()
        .rposition(|&byte| byte != b'/')
        .map_or(0, |at| at + 1);
    &text[..len]
}

/// The last part of a path, whose slashes at the end are overwritten (POSIX).
///
/// # Safety
/// `path` is null or a C string that can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn __xpg_basename(path: *mut c_char) -> *mut c_char {
    // SAFETY: null, or a C string.
    let text = if path.is_null() {
        &[][..]
    } else {
        // SAFETY: as above.
        unsafe { bytes(path) }
    };
    let kept = without_slashes(text);
    match (text.len(), kept.len()) {
        (0, _) => c".".as_ptr().cast_mut(),
        (_, 0) => c"/".as_ptr().cast_mut(),
        (_, len) => {
            let start = kept
                .iter()
                .rposition(|&byte| byte == b'/')
                .map_or(0, |at| at + 1);
            // SAFETY: inside of the string, or its zero.
            unsafe {
                path.add(len).write(0);
                path.add(start)
            }
        }
    }
}

/// The folder of a path, whose end is overwritten.
///
/// # Safety
/// `path` is null or a C string that can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn dirname(path: *mut c_char) -> *mut c_char {
    // SAFETY: null, or a C string.
    let text = if path.is_null() {
        &[][..]
    } else {
        // SAFETY: as above.
        unsafe { bytes(path) }
    };
    let kept = without_slashes(text);
    let folder = kept
        .iter()
        .rposition(|&byte| byte == b'/')
        .map(|at| without_slashes(&kept[..at]));
    match folder {
        None if kept.is_empty() && !text.is_empty() => c"/".as_ptr().cast_mut(),
        None => c".".as_ptr().cast_mut(),
        Some([]) => c"/".as_ptr().cast_mut(),
        Some(folder) => {
            // SAFETY: inside of the string.
            unsafe { path.add(folder.len()).write(0) };
            path
        }
    }
}

/// The length of a wide string.
///
/// # Safety
/// It ends with a zero.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcslen(string: *const Wide) -> usize {
    // SAFETY: not behind the zero.
    (0..)
        .find(|&index| unsafe { string.add(index).read() } == 0)
        .unwrap_or(0)
}

/// Finds a wide character.
///
/// # Safety
/// `len` of them can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn wmemchr(start: *const Wide, wanted: Wide, len: usize) -> *mut Wide {
    // SAFETY: the caller's memory.
    let found = (0..len).find(|&index| unsafe { start.add(index).read() } == wanted);
    // SAFETY: inside of it.
    found.map_or(null_mut(), |index| unsafe { start.add(index) }.cast_mut())
}

/// A wide string as bytes: in the locale `C` each is one, and what is none is an error (`EILSEQ`). The length without the zero.
///
/// # Safety
/// `from` ends with a zero; `len` bytes can be written, if `to` is not null.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcstombs(to: *mut c_char, from: *const Wide, len: usize) -> usize {
    // SAFETY: not behind the zero; at most `len` bytes.
    unsafe {
        for index in 0.. {
            if !to.is_null() && index == len {
                return len;
            }
            let Ok(byte @ 0..=0x7F) = u8::try_from(from.add(index).read()) else {
                errno::set(Errno(libc::EILSEQ));
                return usize::MAX;
            };
            if !to.is_null() {
                to.add(index).write(byte as c_char);
            }
            if byte == 0 {
                return index;
            }
        }
    }
    0
}

/// Bytes as a wide string, as [`wcstombs`].
///
/// # Safety
/// `from` is a C string; `len` wide characters can be written, if `to` is not null.
#[unsafe(no_mangle)]
unsafe extern "C" fn mbstowcs(to: *mut Wide, from: *const c_char, len: usize) -> usize {
    // SAFETY: not behind the zero; at most `len` characters.
    unsafe {
        for index in 0.. {
            if !to.is_null() && index == len {
                return len;
            }
            let byte @ 0..=0x7F = from.add(index).read() as u8 else {
                errno::set(Errno(libc::EILSEQ));
                return usize::MAX;
            };
            if !to.is_null() {
                to.add(index).write(Wide::from(byte));
            }
            if byte == 0 {
                return index;
            }
        }
    }
    0
}

super::convert::also_named! {
    __memccpy = memccpy(to: *mut c_void, from: *const c_void, byte: c_int, len: usize) -> *mut c_void;
    __stpncpy = stpncpy(to: *mut c_char, from: *const c_char, len: usize) -> *mut c_char;
    __rawmemchr = rawmemchr(start: *const c_void, byte: c_int) -> *mut c_void;
}
