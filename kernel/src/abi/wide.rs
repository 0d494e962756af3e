//! Wide characters (ISO C17, sections 7.22.7, 7.29.4, 7.29.6 and 7.30), in the only locale there is, `C`, whose characters are ASCII. Wide
//! strings in [`super::extra_strings`].

#![allow(
    clashing_extern_declarations,
    reason = "each file declares what it needs of the others, with the types that it knows"
)]

use core::ffi::{c_char, c_int, c_ulong, c_void};
use core::ptr::null_mut;

use super::errno;
use super::memory::malloc;
use crate::error::Errno;

/// A wide character of C.
type Wide = i32;
/// A wide character, or that there is none (`wint_t`).
type Wint = u32;

const NONE: Wint = u32::MAX;
/// What conversions return for bytes that are no character.
const BAD: usize = usize::MAX;

/// Bytes of the longest character.
#[unsafe(no_mangle)]
extern "C" fn __ctype_get_mb_cur_max() -> usize {
    1
}

fn bad() -> usize {
    errno::set(Errno(libc::EILSEQ));
    BAD
}

/// The character of the next byte: 1, 0 for the zero that ends a string, or that it is none.
///
/// # Safety
/// `to` is null or can be written; `len` bytes at `from` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn mbrtowc(
    to: *mut Wide,
    from: *const c_char,
    len: usize,
    _state: *mut c_void,
) -> usize {
    if from.is_null() {
        return 0;
    }
    if len == 0 {
        // What comes is the beginning of a character.
        return BAD - 1;
    }
    // SAFETY: the caller's bytes.
    let byte = unsafe { from.cast::<u8>().read() };
    if !byte.is_ascii() {
        return bad();
    }
    if !to.is_null() {
        // SAFETY: the caller's place.
        unsafe { to.write(Wide::from(byte)) };
    }
    usize::from(byte != 0)
}

/// # Safety
/// As of [`mbrtowc`].
#[unsafe(no_mangle)]
unsafe extern "C" fn mbtowc(to: *mut Wide, from: *const c_char, len: usize) -> c_int {
    // SAFETY: the same contract.
    match unsafe { mbrtowc(to, from, len, null_mut()) } {
        BAD.. => -1,
        count if count == BAD - 1 => -1,
        count => count as c_int,
    }
}

/// # Safety
/// `len` bytes at `from` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn mblen(from: *const c_char, len: usize) -> c_int {
    // SAFETY: the same contract.
    unsafe { mbtowc(null_mut(), from, len) }
}

/// # Safety
/// `len` bytes at `from` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn mbrlen(from: *const c_char, len: usize, state: *mut c_void) -> usize {
    // SAFETY: the same contract.
    unsafe { mbrtowc(null_mut(), from, len, state) }
}

/// No character is ever begun only.
#[unsafe(no_mangle)]
extern "C" fn mbsinit(_state: *const c_void) -> c_int {
    1
}

/// The bytes of a character: one.
///
/// # Safety
/// `to` is null or can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcrtomb(to: *mut c_char, wide: Wide, _state: *mut c_void) -> usize {
    if to.is_null() {
        return 1;
    }
    match u8::try_from(wide).ok().filter(u8::is_ascii) {
        Some(byte) => {
            // SAFETY: the caller's place.
            unsafe { to.write(byte as c_char) };
            1
        }
        None => bad(),
    }
}

/// # Safety
/// As of [`wcrtomb`].
#[unsafe(no_mangle)]
unsafe extern "C" fn wctomb(to: *mut c_char, wide: Wide) -> c_int {
    if to.is_null() {
        return 0;
    }
    // SAFETY: the same contract.
    match unsafe { wcrtomb(to, wide, null_mut()) } {
        BAD => -1,
        count => count as c_int,
    }
}

#[unsafe(no_mangle)]
extern "C" fn btowc(byte: c_int) -> Wint {
    match u8::try_from(byte) {
        Ok(byte) if byte.is_ascii() => Wint::from(byte),
        _ => NONE,
    }
}

#[unsafe(no_mangle)]
extern "C" fn wctob(wide: Wint) -> c_int {
    match u8::try_from(wide) {
        Ok(byte) if byte.is_ascii() => c_int::from(byte),
        _ => -1,
    }
}

/// Converts up to `len` characters, or counts them where `to` is null; where the next call goes on is written to `from`.
///
/// # Safety
/// `from` points to a C string; `len` characters can be written to `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn mbsrtowcs(
    to: *mut Wide,
    from: *mut *const c_char,
    len: usize,
    state: *mut c_void,
) -> usize {
    // SAFETY: the same contract.
    unsafe { mbsnrtowcs(to, from, usize::MAX, len, state) }
}

/// As [`mbsrtowcs`], of a string of which no more than `most_bytes` are read.
///
/// # Safety
/// `from` points to a C string or so many bytes; `len` characters can be written to `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn mbsnrtowcs(
    to: *mut Wide,
    from: *mut *const c_char,
    most_bytes: usize,
    len: usize,
    _state: *mut c_void,
) -> usize {
    // SAFETY: the caller's string, read up to its end, and room.
    unsafe {
        let start = *from;
        let most = if to.is_null() { usize::MAX } else { len }.min(most_bytes);
        for count in 0..most {
            let byte = start.add(count).cast::<u8>().read();
            if !byte.is_ascii() {
                if !to.is_null() {
                    *from = start.add(count);
                }
                return bad();
            }
            if !to.is_null() {
                to.add(count).write(Wide::from(byte));
            }
            if byte == 0 {
                if !to.is_null() {
                    *from = core::ptr::null();
                }
                return count;
            }
        }
        if !to.is_null() {
            *from = start.add(most);
        }
        most
    }
}

/// The other way: see [`mbsrtowcs`].
///
/// # Safety
/// `from` points to a wide string; `len` bytes can be written to `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsrtombs(
    to: *mut c_char,
    from: *mut *const Wide,
    len: usize,
    state: *mut c_void,
) -> usize {
    // SAFETY: the same contract.
    unsafe { wcsnrtombs(to, from, usize::MAX, len, state) }
}

/// As [`wcsrtombs`], of a string of which no more than `most_wide` characters are read.
///
/// # Safety
/// `from` points to a wide string or so many characters; `len` bytes can be written to `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsnrtombs(
    to: *mut c_char,
    from: *mut *const Wide,
    most_wide: usize,
    len: usize,
    _state: *mut c_void,
) -> usize {
    // SAFETY: the caller's string, read up to its end, and room.
    unsafe {
        let start = *from;
        let most = if to.is_null() { usize::MAX } else { len }.min(most_wide);
        for count in 0..most {
            let Some(byte) = u8::try_from(start.add(count).read())
                .ok()
                .filter(u8::is_ascii)
            else {
                if !to.is_null() {
                    *from = start.add(count);
                }
                return bad();
            };
            if !to.is_null() {
                to.add(count).write(byte as c_char);
            }
            if byte == 0 {
                if !to.is_null() {
                    *from = core::ptr::null();
                }
                return count;
            }
        }
        if !to.is_null() {
            *from = start.add(most);
        }
        most
    }
}

macro_rules! kinds {
    ($($name:ident $of_bytes:ident;)*) => {
        unsafe extern "C" {
            $(safe fn $of_bytes(character: c_int) -> c_int;)*
        }
        $(
            /// The kind of a wide character.
            #[unsafe(no_mangle)]
            extern "C" fn $name(wide: Wint) -> c_int {
                c_int::try_from(wide).map_or(0, |wide| $of_bytes(wide))
            }
        )*
        /// The number of a kind of characters, by its name; 0: there is none.
        ///
        /// # Safety
        /// `name` is a C string.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn wctype(name: *const c_char) -> c_ulong {
            // SAFETY: the caller's string.
            let name = unsafe { core::ffi::CStr::from_ptr(name) }.to_bytes();
            let names = [$(stringify!($of_bytes)),*];
            let found = names.iter().position(|known| known.as_bytes().get(2..) == Some(name));
            found.map_or(0, |at| at as c_ulong + 1)
        }

        /// Whether a wide character is of a kind of [`wctype`]'s.
        #[unsafe(no_mangle)]
        extern "C" fn iswctype(wide: Wint, kind: c_ulong) -> c_int {
            let kinds: &[extern "C" fn(Wint) -> c_int] = &[$($name),*];
            let kind = usize::try_from(kind).ok().and_then(|kind| kinds.get(kind.checked_sub(1)?));
            kind.map_or(0, |is_so| is_so(wide))
        }
    };
}

kinds! {
    iswalnum isalnum; iswalpha isalpha; iswblank isblank; iswcntrl iscntrl; iswdigit isdigit; iswgraph isgraph; iswlower islower;
    iswprint isprint; iswpunct ispunct; iswspace isspace; iswupper isupper; iswxdigit isxdigit;
}

#[unsafe(no_mangle)]
extern "C" fn towlower(wide: Wint) -> Wint {
    u8::try_from(wide).map_or(wide, |byte| Wint::from(byte.to_ascii_lowercase()))
}

#[unsafe(no_mangle)]
extern "C" fn towupper(wide: Wint) -> Wint {
    u8::try_from(wide).map_or(wide, |byte| Wint::from(byte.to_ascii_uppercase()))
}

/// Columns that a character takes; -1 for one that is not printed.
#[unsafe(no_mangle)]
extern "C" fn wcwidth(wide: Wide) -> c_int {
    match wide {
        0 => 0,
        0x20..0x7F => 1,
        _ => -1,
    }
}

/// Columns that a string takes, at most so many characters of it; -1 if one of them is not printed.
///
/// # Safety
/// So many wide characters, or up to a zero, can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcswidth(string: *const Wide, most: usize) -> c_int {
    let mut columns: c_int = 0;
    for index in 0..most {
        // SAFETY: the caller's string.
        match unsafe { *string.add(index) } {
            0 => break,
            wide => match wcwidth(wide) {
                -1 => return -1,
                width => columns = columns.saturating_add(width),
            },
        }
    }
    columns
}

/// # Safety
/// `len` wide characters, or up to a zero, can be read.
unsafe fn length(string: *const Wide, most: usize) -> usize {
    // SAFETY: the caller's string.
    (0..most)
        .find(|&at| unsafe { string.add(at).read() } == 0)
        .unwrap_or(most)
}

/// # Safety
/// `len` wide characters, or up to a zero, can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsnlen(string: *const Wide, most: usize) -> usize {
    // SAFETY: the same contract.
    unsafe { length(string, most) }
}

/// # Safety
/// `from` is a wide string, for which there is room at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcscpy(to: *mut Wide, from: *const Wide) -> *mut Wide {
    // SAFETY: the caller's string and room.
    unsafe {
        core::ptr::copy_nonoverlapping(from, to, length(from, usize::MAX) + 1);
    }
    to
}

/// # Safety
/// `len` wide characters can be written; the rest is filled with zeros.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsncpy(to: *mut Wide, from: *const Wide, len: usize) -> *mut Wide {
    // SAFETY: the caller's string and room.
    unsafe {
        let count = length(from, len);
        core::ptr::copy_nonoverlapping(from, to, count);
        core::ptr::write_bytes(to.add(count), 0, len - count);
    }
    to
}

/// # Safety
/// Both are wide strings, and there is room for both at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcscat(to: *mut Wide, from: *const Wide) -> *mut Wide {
    // SAFETY: the caller's strings and room.
    unsafe { wcscpy(to.add(length(to, usize::MAX)), from) };
    to
}

/// # Safety
/// Both are wide strings, or have `most` characters.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsncmp(first: *const Wide, second: *const Wide, most: usize) -> c_int {
    for at in 0..most {
        // SAFETY: neither has ended before.
        let (one, other) = unsafe { (first.add(at).read(), second.add(at).read()) };
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
unsafe extern "C" fn wcscmp(first: *const Wide, second: *const Wide) -> c_int {
    // SAFETY: the same contract.
    unsafe { wcsncmp(first, second, usize::MAX) }
}

/// # Safety
/// As of [`wcscmp`].
#[unsafe(no_mangle)]
unsafe extern "C" fn wcscoll(first: *const Wide, second: *const Wide) -> c_int {
    // SAFETY: the same contract.
    unsafe { wcscmp(first, second) }
}

/// # Safety
/// A wide string.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcschr(string: *const Wide, wanted: Wide) -> *mut Wide {
    // SAFETY: up to its end, which can be asked for too.
    unsafe {
        let len = length(string, usize::MAX);
        let found = (0..=len).find(|&at| string.add(at).read() == wanted);
        found.map_or(null_mut(), |at| string.add(at).cast_mut())
    }
}

/// # Safety
/// A wide string.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsrchr(string: *const Wide, wanted: Wide) -> *mut Wide {
    // SAFETY: as in `wcschr`.
    unsafe {
        let len = length(string, usize::MAX);
        let found = (0..=len).rfind(|&at| string.add(at).read() == wanted);
        found.map_or(null_mut(), |at| string.add(at).cast_mut())
    }
}

/// # Safety
/// Both are wide strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsstr(string: *const Wide, part: *const Wide) -> *mut Wide {
    // SAFETY: the caller's strings.
    unsafe {
        let (len, wanted) = (length(string, usize::MAX), length(part, usize::MAX));
        let text = core::slice::from_raw_parts(string, len);
        let part = core::slice::from_raw_parts(part, wanted);
        let found =
            (0..=len.saturating_sub(wanted)).find(|&at| text.get(at..at + wanted) == Some(part));
        found.map_or(null_mut(), |at| string.add(at).cast_mut())
    }
}

/// # Safety
/// A wide string.
#[unsafe(no_mangle)]
unsafe extern "C" fn wcsdup(string: *const Wide) -> *mut Wide {
    // SAFETY: the caller's string, and room for all of it.
    unsafe {
        let bytes = (length(string, usize::MAX) + 1) * size_of::<Wide>();
        let copy = malloc(bytes).cast::<Wide>();
        if !copy.is_null() {
            wcscpy(copy, string);
        }
        copy
    }
}

/// # Safety
/// `len` wide characters can be read and written, which do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn wmemcpy(to: *mut Wide, from: *const Wide, len: usize) -> *mut Wide {
    // SAFETY: the same contract.
    unsafe { core::ptr::copy_nonoverlapping(from, to, len) };
    to
}

/// # Safety
/// `len` wide characters can be read and written.
#[unsafe(no_mangle)]
unsafe extern "C" fn wmemmove(to: *mut Wide, from: *const Wide, len: usize) -> *mut Wide {
    // SAFETY: the same contract.
    unsafe { core::ptr::copy(from, to, len) };
    to
}

/// # Safety
/// `len` wide characters can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn wmemset(to: *mut Wide, wide: Wide, len: usize) -> *mut Wide {
    // SAFETY: the caller's room.
    (0..len).for_each(|at| unsafe { to.add(at).write(wide) });
    to
}

/// # Safety
/// `len` wide characters of both can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn wmemcmp(first: *const Wide, second: *const Wide, len: usize) -> c_int {
    // SAFETY: the same contract.
    let (first, second) = unsafe {
        (
            core::slice::from_raw_parts(first, len),
            core::slice::from_raw_parts(second, len),
        )
    };
    first.cmp(second) as c_int
}
