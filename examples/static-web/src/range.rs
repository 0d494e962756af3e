//! The field `Range` (RFC 9110, 14.1 and 14.2).

use std::ops::Range;

/// Which part of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it: nothing else was asked for in a way that is understood, or more than one range.
    Whole,
    /// These bytes, at least one.
    Some(Range<u64>),
    /// Nothing that is there.
    Unsatisfiable,
}

/// What the value of `Range` asks for of a file of `len` bytes.
pub(crate) fn parse(value: &[u8], len: u64) -> Part {
    let Some((unit, range)) = std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.split_once('='))
    else {
        return Part::Whole;
    };
    let Some((first, last)) = range.trim().split_once('-') else {
        return Part::Whole;
    };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Part::Whole;
    }
    // A second range, or anything that is no number, fails to be read.
    let range = match (number(first), number(last)) {
        (Number::Is(first), Number::Is(last)) if first <= last => {
            first..last.saturating_add(1).min(len)
        }
        (Number::Is(first), Number::Absent) => first..len,
        (Number::Absent, Number::Is(count)) => len.saturating_sub(count)..len,
        _ => return Part::Whole,
    };
    if range.is_empty() {
        Part::Unsatisfiable
    } else {
        Part::Some(range)
    }
}

enum Number {
    Absent,
    Is(u64),
    Wrong,
}

fn number(text: &str) -> Number {
    if text.is_empty() {
        Number::Absent
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large for 64 bits is beyond every file, as the largest is.
        Number::Is(text.parse().unwrap_or(u64::MAX))
    } else {
        Number::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_range_is_cut_to_the_file() {
        assert_eq!(parse(b"bytes=0-0", 10), Part::Some(0..1));
        assert_eq!(parse(b"bytes=2-4", 10), Part::Some(2..5));
        assert_eq!(parse(b"bytes=7-", 10), Part::Some(7..10));
        assert_eq!(
            parse(b"Bytes=7-99999999999999999999", 10),
            Part::Some(7..10)
        );
        assert_eq!(parse(b"bytes=-3", 10), Part::Some(7..10));
        assert_eq!(parse(b"bytes=-30", 10), Part::Some(0..10));
    }

    #[test]
    fn a_range_behind_the_file_cannot_be_satisfied() {
        for value in [
            "bytes=10-",
            "bytes=10-20",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(parse(value.as_bytes(), 10), Part::Unsatisfiable, "{value}");
        }
        assert_eq!(parse(b"bytes=0-", 0), Part::Unsatisfiable);
    }

    #[test]
    fn anything_else_means_the_whole_file() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=3-2",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=+1-2",
            "bytes=a-",
        ] {
            assert_eq!(parse(value.as_bytes(), 10), Part::Whole, "{value}");
        }
    }
}
