//! Patterns of file names (POSIX.1-2017, `fnmatch.h`, section 2.13 of the shell).

use core::ffi::{c_char, c_int};

use super::convert::text;

const NO_ESCAPE: c_int = 2;
const PATHNAME: c_int = 1;
const PERIOD: c_int = 4;
const LEADING_DIRECTORY: c_int = 8;
const FOLD_CASE: c_int = 16;
const NO_MATCH: c_int = 1;

/// What a set of characters in brackets said, and how many bytes of the pattern it took; `None` if it is none.
fn in_brackets(pattern: &[u8], byte: u8, flags: c_int) -> Option<(bool, usize)> {
    let fold = |byte: u8| match flags & FOLD_CASE {
        0 => byte,
        _ => byte.to_ascii_lowercase(),
    };
    let byte = fold(byte);
    let mut at = 1;
    let is_negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(is_negated);
    let first = at;
    let mut is_in = false;
    loop {
        match *pattern.get(at)? {
            b']' if at > first => break,
            b'[' if pattern.get(at + 1) == Some(&b':') => {
                let rest = &pattern[at + 2..];
                let len = rest.windows(2).position(|end| end == b":]")?;
                is_in |= is_of_class(&rest[..len], byte);
                at += len + 4;
            }
            mut low => {
                if low == b'\\' && flags & NO_ESCAPE == 0 {
                    at += 1;
                    low = *pattern.get(at)?;
                }
                at += 1;
                let mut high = low;
                if pattern.get(at) == Some(&b'-') && pattern.get(at + 1).is_some_and(|&b| b != b']')
                {
                    at += 1;
                    high = pattern[at];
                    if high == b'\\' && flags & NO_ESCAPE == 0 {
                        at += 1;
                        high = *pattern.get(at)?;
                    }
                    at += 1;
                }
                is_in |= (fold(low)..=fold(high)).contains(&byte);
            }
        }
    }
    Some((is_in != is_negated, at + 1))
}

/// Whether there is a class of the name: none is empty.
pub(super) fn is_class(class: &[u8]) -> bool {
    (0..=127).any(|byte| is_of_class(class, byte))
}

/// Whether a byte is of a class; nothing is of one that there is not.
pub(super) fn is_of_class(class: &[u8], byte: u8) -> bool {
    match class {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"cntrl" => byte.is_ascii_control(),
        b"digit" => byte.is_ascii_digit(),
        b"graph" => byte.is_ascii_graphic(),
        b"lower" => byte.is_ascii_lowercase(),
        b"print" => byte == b' ' || byte.is_ascii_graphic(),
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => byte.is_ascii_whitespace() || byte == 0x0B,
        b"upper" => byte.is_ascii_uppercase(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => false,
    }
}

/// How many bytes of the pattern match the first byte of the text; `None` for none. Not asked of `*`.
fn matched(pattern: &[u8], byte: u8, flags: c_int) -> Option<usize> {
    let is_same = |wanted: u8| match flags & FOLD_CASE {
        0 => wanted == byte,
        _ => wanted.eq_ignore_ascii_case(&byte),
    };
    let is_slash = flags & PATHNAME != 0 && byte == b'/';
    match *pattern.first()? {
        b'?' => (!is_slash).then_some(1),
        b'[' => match in_brackets(pattern, byte, flags) {
            Some((is_in, len)) => (is_in && !is_slash).then_some(len),
            None => is_same(b'[').then_some(1),
        },
        b'\\' if flags & NO_ESCAPE == 0 => is_same(*pattern.get(1)?).then_some(2),
        wanted => is_same(wanted).then_some(1),
    }
}

/// Whether a text matches a pattern. One place to come back to is enough for each part between slashes: the last `*` of it, as a later one can
/// take over whatever an earlier one could.
pub(super) fn matches(pattern: &[u8], name: &[u8], flags: c_int) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    let is_hidden = |n: usize| {
        flags & PERIOD != 0
            && name.get(n) == Some(&b'.')
            && (n == 0 || flags & PATHNAME != 0 && name[n - 1] == b'/')
    };
    loop {
        let rest = &pattern[p..];
        let is_stepping = match (rest.first(), name.get(n)) {
            (None, None) => return true,
            (None, Some(b'/')) if flags & LEADING_DIRECTORY != 0 => return true,
            (Some(b'*'), _) if !is_hidden(n) => {
                back = Some((p, n));
                p += 1;
                continue;
            }
            (Some(b'?' | b'['), Some(_)) if is_hidden(n) => None,
            (_, Some(&byte)) => matched(rest, byte, flags),
            _ => None,
        };
        match (is_stepping, back) {
            (Some(len), _) => {
                p += len;
                n += 1;
                // Between slashes a `*` takes nothing of other parts.
                if flags & PATHNAME != 0 && name[n - 1] == b'/' {
                    back = None;
                }
            }
            (None, Some((star, from))) => {
                let may_take = name
                    .get(from)
                    .is_some_and(|&byte| flags & PATHNAME == 0 || byte != b'/');
                if !may_take {
                    return false;
                }
                back = Some((star, from + 1));
                p = star + 1;
                n = from + 1;
            }
            (None, None) => return false,
        }
    }
}

/// Whether a name matches a pattern: 0, or 1 if not.
///
/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn fnmatch(pattern: *const c_char, name: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's strings.
    match unsafe { (text(pattern), text(name)) } {
        (Ok(pattern), Ok(name)) if matches(pattern, name, flags) => 0,
        _ => NO_MATCH,
    }
}
