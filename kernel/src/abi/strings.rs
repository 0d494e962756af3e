//! Strings of C (ISO C17, section 7.24; POSIX.1-2017, `string.h`, `strings.h`), besides those of `arch`, which compilers call. They are for C code that
//! crates bring along; they trust their callers as C does.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;

unsafe extern "C" {
    fn malloc(len: usize) -> *mut c_void;
}

/// A string's bytes.
///
/// # Safety
/// 1. A C string, which stays as it is for `'a`.
unsafe fn bytes<'a>(string: *const c_char) -> &'a [u8] {
    // SAFETY: the caller's promise (1).
    unsafe { CStr::from_ptr(string) }.to_bytes()
}

/// The bytes of a string, at most `most`.
///
/// # Safety
/// 1. A C string, or `most` bytes.
unsafe fn bytes_up_to<'a>(string: *const c_char, most: usize) -> &'a [u8] {
    // SAFETY: the caller's promise (1).
    unsafe { core::slice::from_raw_parts(string.cast(), strnlen(string, most)) }
}

/// Where a byte of a string is, in the string; null if it is nowhere.
///
/// # Safety
/// 1. `string` is a C string at least that long.
unsafe fn at(string: *const c_char, index: Option<usize>) -> *mut c_char {
    match index {
        // SAFETY: inside of the string (1).
        Some(index) => unsafe { string.add(index) }.cast_mut(),
        None => null_mut(),
    }
}

/// Puts bytes and a closing zero into memory.
///
/// # Safety
/// 1. There is room.
unsafe fn write(to: *mut c_char, text: &[u8]) {
    // SAFETY: the caller's promise (1). The text may lie in the same buffer.
    unsafe {
        to.cast::<u8>().copy_from(text.as_ptr(), text.len());
        to.add(text.len()).write(0);
    }
}

fn order(first: impl Iterator<Item = u8>, second: impl Iterator<Item = u8>) -> c_int {
    first.cmp(second) as c_int
}

/// The length, at most `most`.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn strnlen(string: *const c_char, most: usize) -> usize {
    let mut len = 0;
    // SAFETY: no byte behind the closing zero is read.
    while len < most && unsafe { *string.add(len) } != 0 {
        len += 1;
    }
    len
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strcmp(first: *const c_char, second: *const c_char) -> c_int {
    // SAFETY: the caller's strings.
    unsafe { bytes(first).cmp(bytes(second)) as c_int }
}

/// As `strcmp`: there is one locale.
#[unsafe(no_mangle)]
unsafe extern "C" fn strcoll(first: *const c_char, second: *const c_char) -> c_int {
    // SAFETY: the caller's strings.
    unsafe { strcmp(first, second) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strncmp(first: *const c_char, second: *const c_char, most: usize) -> c_int {
    // SAFETY: the caller's strings.
    unsafe { bytes_up_to(first, most).cmp(bytes_up_to(second, most)) as c_int }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strcasecmp(first: *const c_char, second: *const c_char) -> c_int {
    // SAFETY: the caller's strings.
    unsafe { strncasecmp(first, second, usize::MAX) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strncasecmp(
    first: *const c_char,
    second: *const c_char,
    most: usize,
) -> c_int {
    // SAFETY: the caller's strings.
    let (first, second) = unsafe { (bytes_up_to(first, most), bytes_up_to(second, most)) };
    let lower = |text: &'static [u8]| text.iter().map(u8::to_ascii_lowercase);
    order(lower(first), lower(second))
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn strcpy(to: *mut c_char, from: *const c_char) -> *mut c_char {
    // SAFETY: the caller's strings.
    unsafe { write(to, bytes(from)) };
    to
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn stpcpy(to: *mut c_char, from: *const c_char) -> *mut c_char {
    // SAFETY: the caller's strings.
    unsafe {
        let text = bytes(from);
        write(to, text);
        to.add(text.len())
    }
}

/// Copies at most `room` bytes and fills up with zeros: there may be no closing one.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn strncpy(
    to: *mut c_char,
    from: *const c_char,
    room: usize,
) -> *mut c_char {
    // SAFETY: the caller's string, and room.
    unsafe {
        let text = bytes_up_to(from, room);
        to.cast::<u8>()
            .copy_from_nonoverlapping(text.as_ptr(), text.len());
        to.add(text.len()).write_bytes(0, room - text.len());
    }
    to
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn strcat(to: *mut c_char, from: *const c_char) -> *mut c_char {
    // SAFETY: the caller's strings.
    unsafe { write(to.add(bytes(to).len()), bytes(from)) };
    to
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn strncat(
    to: *mut c_char,
    from: *const c_char,
    most: usize,
) -> *mut c_char {
    // SAFETY: the caller's strings.
    unsafe { write(to.add(bytes(to).len()), bytes_up_to(from, most)) };
    to
}

/// The first place of a byte; the closing zero can be looked for too.
#[unsafe(no_mangle)]
unsafe extern "C" fn strchr(string: *const c_char, byte: c_int) -> *mut c_char {
    // SAFETY: the caller's string.
    unsafe {
        let with_zero = CStr::from_ptr(string).to_bytes_with_nul();
        at(string, with_zero.iter().position(|&b| b == byte as u8))
    }
}

/// As `strchr`, or the end if the byte is nowhere.
#[unsafe(no_mangle)]
unsafe extern "C" fn strchrnul(string: *const c_char, byte: c_int) -> *mut c_char {
    // SAFETY: the caller's string.
    unsafe {
        let text = bytes(string);
        let index = text.iter().position(|&b| b == byte as u8);
        at(string, Some(index.unwrap_or(text.len())))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strrchr(string: *const c_char, byte: c_int) -> *mut c_char {
    // SAFETY: the caller's string.
    unsafe {
        let with_zero = CStr::from_ptr(string).to_bytes_with_nul();
        at(string, with_zero.iter().rposition(|&b| b == byte as u8))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memchr(start: *const c_void, byte: c_int, len: usize) -> *mut c_void {
    // SAFETY: the caller's bytes. As C has it, those behind the one that is found need not be there.
    unsafe {
        let start = start.cast::<u8>();
        for index in 0..len {
            if *start.add(index) == byte as u8 {
                return start.add(index).cast_mut().cast();
            }
        }
    }
    null_mut()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memrchr(start: *const c_void, byte: c_int, len: usize) -> *mut c_void {
    // SAFETY: the caller's bytes.
    unsafe {
        let start = start.cast::<u8>();
        for index in (0..len).rev() {
            if *start.add(index) == byte as u8 {
                return start.add(index).cast_mut().cast();
            }
        }
    }
    null_mut()
}

/// Where a string first is in another.
#[unsafe(no_mangle)]
unsafe extern "C" fn strstr(string: *const c_char, part: *const c_char) -> *mut c_char {
    // SAFETY: the caller's strings.
    unsafe {
        let (text, part) = (bytes(string), bytes(part));
        let index = match part {
            [] => Some(0),
            _ => text.windows(part.len()).position(|window| window == part),
        };
        at(string, index)
    }
}

/// Where bytes first are among others.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmem(
    start: *const c_void,
    len: usize,
    part: *const c_void,
    part_len: usize,
) -> *mut c_void {
    if part_len == 0 {
        return start.cast_mut();
    }
    // SAFETY: the caller's bytes.
    unsafe {
        let all = core::slice::from_raw_parts(start.cast::<u8>(), len);
        let part = core::slice::from_raw_parts(part.cast::<u8>(), part_len);
        let mut windows = all.windows(part_len);
        at(start.cast(), windows.position(|window| window == part)).cast()
    }
}

/// How long the beginning is that has only bytes of a set.
#[unsafe(no_mangle)]
unsafe extern "C" fn strspn(string: *const c_char, set: *const c_char) -> usize {
    // SAFETY: the caller's strings.
    unsafe {
        let set = bytes(set);
        let text = bytes(string).iter();
        text.take_while(|byte| set.contains(byte)).count()
    }
}

/// How long the beginning is that has no byte of a set.
#[unsafe(no_mangle)]
unsafe extern "C" fn strcspn(string: *const c_char, set: *const c_char) -> usize {
    // SAFETY: the caller's strings.
    unsafe {
        let set = bytes(set);
        let text = bytes(string).iter();
        text.take_while(|byte| !set.contains(byte)).count()
    }
}

/// The first byte of a set.
#[unsafe(no_mangle)]
unsafe extern "C" fn strpbrk(string: *const c_char, set: *const c_char) -> *mut c_char {
    // SAFETY: the caller's strings.
    unsafe {
        let set = bytes(set);
        at(
            string,
            bytes(string).iter().position(|byte| set.contains(byte)),
        )
    }
}

/// The next part between separators; the string's first call gives it, later ones give null.
#[unsafe(no_mangle)]
unsafe extern "C" fn strtok_r(
    string: *mut c_char,
    separators: *const c_char,
    state: *mut *mut c_char,
) -> *mut c_char {
    // SAFETY: the caller's strings and state.
    unsafe {
        let mut start = if string.is_null() { *state } else { string };
        if start.is_null() {
            return null_mut();
        }
        start = start.add(strspn(start, separators));
        if *start == 0 {
            *state = null_mut();
            return null_mut();
        }
        let end = start.add(strcspn(start, separators));
        *state = null_mut();
        if *end != 0 {
            end.write(0);
            *state = end.add(1);
        }
        start
    }
}

/// The next part between separators, empty ones too.
/// As `strtok_r`, with a place of its own. Threads that share it are the program's fault, as in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn strtok(string: *mut c_char, separators: *const c_char) -> *mut c_char {
    static REST: core::sync::atomic::AtomicPtr<c_char> =
        core::sync::atomic::AtomicPtr::new(core::ptr::null_mut());
    // SAFETY: the same contract.
    unsafe { strtok_r(string, separators, REST.as_ptr()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strsep(string: *mut *mut c_char, separators: *const c_char) -> *mut c_char {
    // SAFETY: the caller's strings.
    unsafe {
        let start = *string;
        if !start.is_null() {
            let end = start.add(strcspn(start, separators));
            *string = null_mut();
            if *end != 0 {
                end.write(0);
                *string = end.add(1);
            }
        }
        start
    }
}

/// # Safety
/// 1. `text` are bytes that stay as they are.
unsafe fn duplicate(text: &[u8]) -> *mut c_char {
    // SAFETY: the program's own allocator, of the same image; there is room for the text and the zero.
    unsafe {
        let copy = malloc(text.len() + 1).cast::<c_char>();
        if !copy.is_null() {
            write(copy, text);
        }
        copy
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strdup(string: *const c_char) -> *mut c_char {
    // SAFETY: the caller's string.
    unsafe { duplicate(bytes(string)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strndup(string: *const c_char, most: usize) -> *mut c_char {
    // SAFETY: the caller's string.
    unsafe { duplicate(bytes_up_to(string, most)) }
}

/// Overwrites with zeros; as a function of another object, it is never optimised away.
#[unsafe(no_mangle)]
unsafe extern "C" fn explicit_bzero(start: *mut c_void, len: usize) {
    // SAFETY: the caller's bytes.
    unsafe { start.cast::<u8>().write_bytes(0, len) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mempcpy(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
    // SAFETY: the caller's bytes.
    unsafe {
        to.cast::<u8>().copy_from_nonoverlapping(from.cast(), len);
        to.cast::<u8>().add(len).cast()
    }
}
