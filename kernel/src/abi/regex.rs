//! Regular expressions of C (POSIX.1-2017, `regex.h`), in the locale `C`: characters are bytes. [`pattern`] reads them, [`program`] searches.

mod pattern;
mod program;

use alloc::boxed::Box;
use core::ffi::{CStr, c_char, c_int};

use self::pattern::{Manner, NO_SPACE, read};
use self::program::{Program, Search};
use super::convert::text;

/// `REG_EXTENDED` and its kin, of `regcomp` and of `regexec`.
const EXTENDED: c_int = 1;
const FOLDED: c_int = 2;
const LINES: c_int = 4;
const BRIEF: c_int = 8;
const CUT_BEFORE: c_int = 1;
const CUT_BEHIND: c_int = 2;
const FROM_TO: c_int = 4;
/// `REG_NOMATCH`, `REG_BADPAT`.
const NO_MATCH: c_int = 1;
const BAD_PATTERN: c_int = 2;

/// `regex_t` as glibc has it; what is behind the number of groups is ours as far as we need it.
#[repr(C)]
pub(super) struct Regex {
    program: *mut Program,
    lengths: [u64; 3],
    places: [*mut u8; 2],
    groups: usize,
    /// Flags of `regcomp`.
    flags: u64,
}

const _: () = assert!(size_of::<Regex>() == 64 && core::mem::offset_of!(Regex, groups) == 48);

/// `regmatch_t`: where something begins, and where what is behind it does; -1: nowhere.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Place {
    start: c_int,
    end: c_int,
}

/// Makes a pattern ready for searches; 0, or why it is none.
///
/// # Safety
/// `regex` can be written, `pattern` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn regcomp(regex: *mut Regex, pattern: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's string.
    let Ok(bytes) = (unsafe { text(pattern) }) else {
        return BAD_PATTERN;
    };
    let manner = Manner {
        is_extended: flags & EXTENDED != 0,
        is_folded: flags & FOLDED != 0,
        has_lines: flags & LINES != 0,
    };
    let program = read(bytes, manner)
        .and_then(|pattern| Program::new(&pattern, manner.is_folded, manner.has_lines));
    let (program, error) = match program {
        Ok(program) => (Some(program), 0),
        Err(error) => (None, error),
    };
    let groups = program.as_ref().map_or(0, Program::groups);
    let program = program.map_or(core::ptr::null_mut(), |program| {
        Box::into_raw(Box::new(program))
    });
    let value = Regex {
        program,
        lengths: [0; 3],
        places: [core::ptr::null_mut(); 2],
        groups,
        flags: flags as u64,
    };
    // SAFETY: the caller's place.
    unsafe { regex.write(value) };
    error
}

/// Searches a string; 0, or `REG_NOMATCH`, or `REG_ESPACE`: with references a search may take too long.
///
/// # Safety
/// 1. `regex` is of [`regcomp`], `string` a C string, or what the first place says (`REG_STARTEND`).
/// 2. `count` places can be written, unless the pattern or nobody asks for them.
#[unsafe(no_mangle)]
unsafe extern "C" fn regexec(
    regex: *const Regex,
    string: *const c_char,
    count: usize,
    places: *mut Place,
    flags: c_int,
) -> c_int {
    // SAFETY: (1).
    let regex = unsafe { &*regex };
    // SAFETY: a program of `regcomp`, or null.
    let Some(program) = (unsafe { regex.program.as_ref() }) else {
        return BAD_PATTERN;
    };
    let mut start = 0;
    // SAFETY: (1): a C string, or as long as the first place says.
    let text = unsafe {
        match flags & FROM_TO != 0 && !places.is_null() {
            true => {
                let Place { start: from, end } = *places;
                let (Ok(from), Ok(end)) = (usize::try_from(from), usize::try_from(end)) else {
                    return NO_MATCH;
                };
                start = from;
                core::slice::from_raw_parts(string.add(from).cast(), end.saturating_sub(from))
            }
            false => CStr::from_ptr(string).to_bytes(),
        }
    };
    let count = match regex.flags as c_int & BRIEF != 0 {
        true => 0,
        false => count,
    };
    let search = Search {
        text,
        is_cut_before: flags & CUT_BEFORE != 0,
        is_cut_behind: flags & CUT_BEHIND != 0,
    };
    let groups = match program.find(&search) {
        Ok(Some(groups)) => groups,
        Ok(None) => return NO_MATCH,
        Err(error) => return error,
    };
    let offset = |at: usize| c_int::try_from(at.saturating_add(start)).unwrap_or(-1);
    for index in 0..count {
        let (from, to) = groups
            .get(index)
            .copied()
            .unwrap_or((usize::MAX, usize::MAX));
        let place = match from == usize::MAX || to == usize::MAX {
            true => Place { start: -1, end: -1 },
            false => Place {
                start: offset(from),
                end: offset(to),
            },
        };
        // SAFETY: (2).
        unsafe { places.add(index).write(place) };
    }
    0
}

/// Lets go of a pattern.
///
/// # Safety
/// `regex` is of [`regcomp`].
#[unsafe(no_mangle)]
unsafe extern "C" fn regfree(regex: *mut Regex) {
    // SAFETY: the caller's; the program came from a box.
    unsafe {
        let program = core::mem::replace(&mut (*regex).program, core::ptr::null_mut());
        if !program.is_null() {
            drop(Box::from_raw(program));
        }
    }
}

/// What an error is, in words; how much room they need.
///
/// # Safety
/// `room` bytes can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn regerror(
    error: c_int,
    _regex: *const Regex,
    out: *mut c_char,
    room: usize,
) -> usize {
    const WORDS: [&str; 17] = [
        "Success",
        "No match",
        "Invalid regular expression",
        "Invalid collation character",
        "Invalid character class name",
        "Trailing backslash",
        "Invalid back reference",
        "Unmatched [, [^, [:, [., or [=",
        "Unmatched ( or \\(",
        "Unmatched \\{",
        "Invalid content of \\{\\}",
        "Invalid range end",
        "Memory exhausted",
        "Invalid preceding regular expression",
        "Premature end of regular expression",
        "Regular expression too big",
        "Unmatched ) or \\)",
    ];
    const _: () = assert!(NO_SPACE == 12);
    let words = usize::try_from(error)
        .ok()
        .and_then(|error| WORDS.get(error));
    let words = words.copied().unwrap_or("Unknown error");
    if room != 0 {
        let len = words.len().min(room - 1);
        // SAFETY: with the zero not more than the caller's room.
        unsafe {
            out.copy_from_nonoverlapping(words.as_ptr().cast(), len);
            out.add(len).write(0);
        }
    }
    words.len() + 1
}
