//! Dates as text (ISO C17, section 7.27.3; POSIX.1-2017, `strftime`), in the locale `C`.

use alloc::format;
use alloc::string::String;
use core::ffi::{c_char, c_int};

use super::calendar::{day_of, seconds_of};
use super::convert::{get, text};

pub(super) const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn name(names: &'static [&'static str], index: c_int) -> &'static str {
    usize::try_from(index)
        .ok()
        .and_then(|index| names.get(index).copied())
        .unwrap_or("?")
}

/// The first three letters.
fn short(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

/// Year and week of ISO 8601: weeks begin on Monday, and the first one has the year's first Thursday.
fn iso_week(date: &libc::tm) -> (i64, i64) {
    let year = i64::from(date.tm_year) + 1900;
    let weekday = i64::from(date.tm_wday + 6) % 7;
    let week = (i64::from(date.tm_yday) - weekday + 10).div_euclid(7);
    // A year has a week 53 if it begins, or ends, with a Thursday.
    let weeks_of = |year: i64| {
        let thursday = |day: i64| (day + 4).rem_euclid(7) == 4;
        if thursday(day_of(year, 0, 1)) || thursday(day_of(year, 11, 31)) {
            53
        } else {
            52
        }
    };
    if week < 1 {
        (year - 1, weeks_of(year - 1))
    } else if week > weeks_of(year) {
        (year + 1, 1)
    } else {
        (year, week)
    }
}

/// One conversion; `None` for a letter that is none.
fn converted(date: &libc::tm, letter: u8) -> Option<String> {
    let hour12 = (date.tm_hour + 11).rem_euclid(12) + 1;
    let year = i64::from(date.tm_year) + 1900;
    let both = |formats: &[u8]| {
        let mut text = String::new();
        for &letter in formats {
            match letter {
                b' ' | b':' | b'/' | b'-' => text.push(char::from(letter)),
                letter => text.push_str(&converted(date, letter)?),
            }
        }
        Some(text)
    };
    Some(match letter {
        b'a' => short(name(&DAYS, date.tm_wday)).into(),
        b'A' => name(&DAYS, date.tm_wday).into(),
        b'b' | b'h' => short(name(&MONTHS, date.tm_mon)).into(),
        b'B' => name(&MONTHS, date.tm_mon).into(),
        b'c' => return both(b"a b e H:M:S Y"),
        b'C' => format!("{:02}", year.div_euclid(100)),
        b'd' => format!("{:02}", date.tm_mday),
        b'D' | b'x' => return both(b"m/d/y"),
        b'e' => format!("{:2}", date.tm_mday),
        b'F' => return both(b"Y-m-d"),
        b'g' => format!("{:02}", iso_week(date).0.rem_euclid(100)),
        b'G' => format!("{}", iso_week(date).0),
        b'H' => format!("{:02}", date.tm_hour),
        b'I' => format!("{hour12:02}"),
        b'j' => format!("{:03}", date.tm_yday + 1),
        b'k' => format!("{:2}", date.tm_hour),
        b'l' => format!("{hour12:2}"),
        b'm' => format!("{:02}", date.tm_mon + 1),
        b'M' => format!("{:02}", date.tm_min),
        b'n' => "\n".into(),
        b'p' => if date.tm_hour < 12 { "AM" } else { "PM" }.into(),
        b'P' => if date.tm_hour < 12 { "am" } else { "pm" }.into(),
        b'r' => return both(b"I:M:S p"),
        b'R' => return both(b"H:M"),
        b's' => format!("{}", seconds_of(date)),
        b'S' => format!("{:02}", date.tm_sec),
        b't' => "\t".into(),
        b'T' | b'X' => return both(b"H:M:S"),
        b'u' => format!("{}", (date.tm_wday + 6).rem_euclid(7) + 1),
        b'U' => format!("{:02}", (date.tm_yday + 7 - date.tm_wday) / 7),
        b'V' => format!("{:02}", iso_week(date).1),
        b'w' => format!("{}", date.tm_wday),
        b'W' => format!("{:02}", (date.tm_yday + 7 - (date.tm_wday + 6) % 7) / 7),
        b'y' => format!("{:02}", year.rem_euclid(100)),
        b'Y' => format!("{year}"),
        b'z' => {
            let minutes = date.tm_gmtoff / 60;
            let sign = if minutes < 0 { '-' } else { '+' };
            let minutes = minutes.unsigned_abs();
            format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
        }
        b'Z' => {
            // SAFETY: null, or a string that the maker of the date put there.
            let zone = unsafe { text(date.tm_zone) }.unwrap_or_default();
            String::from_utf8_lossy(zone).into_owned()
        }
        b'%' => "%".into(),
        _ => return None,
    })
}

/// Writes a date by a format; how many bytes, or 0 if they do not fit. What is no conversion stays as it is.
///
/// # Safety
/// `len` bytes can be written, `format` is a C string, `date` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn strftime(
    out: *mut c_char,
    len: usize,
    format: *const c_char,
    date: *const libc::tm,
) -> usize {
    // SAFETY: the caller's.
    let (Ok(format), Some(date)) = (unsafe { text(format) }, unsafe { get(date) }) else {
        return 0;
    };
    let mut written = alloc::vec::Vec::new();
    let mut rest = format;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            written.push(byte);
            continue;
        }
        // Other forms of the locale: there are none. Flags of glibc: no padding, spaces, zeros.
        let mut flag = None;
        let mut at = behind;
        while let [modifier @ (b'E' | b'O' | b'-' | b'_' | b'0'), more @ ..] = at {
            if matches!(modifier, b'-' | b'_' | b'0') {
                flag = Some(*modifier);
            }
            at = more;
        }
        let piece = at.first().and_then(|&letter| converted(&date, letter));
        let Some(piece) = piece else {
            written.push(byte);
            continue;
        };
        rest = &at[1..];
        let is_number = piece.trim_start().bytes().all(|byte| byte.is_ascii_digit());
        match flag {
            Some(flag) if is_number => {
                let digits = piece.trim_start_matches([' ', '0']);
                let digits = if digits.is_empty() { "0" } else { digits };
                let fill = match flag {
                    b'_' => " ",
                    b'0' => "0",
                    _ => "",
                };
                for _ in digits.len()..piece.len() {
                    written.extend_from_slice(fill.as_bytes());
                }
                written.extend_from_slice(digits.as_bytes());
            }
            _ => written.extend_from_slice(piece.as_bytes()),
        }
    }
    if written.len() >= len {
        return 0;
    }
    // SAFETY: with the zero at most the caller's room.
    unsafe {
        core::ptr::copy_nonoverlapping(written.as_ptr(), out.cast(), written.len());
        out.add(written.len()).write(0);
    }
    written.len()
}

/// A date as `Thu Jan  1 00:00:00 1970`, with a line's end, in the caller's 26 bytes.
///
/// # Safety
/// `date` can be read, 26 bytes can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn asctime_r(date: *const libc::tm, out: *mut c_char) -> *mut c_char {
    // SAFETY: the same contract.
    match unsafe { strftime(out, 26, c"%a %b %e %H:%M:%S %Y\n".as_ptr(), date) } {
        0 => core::ptr::null_mut(),
        _ => out,
    }
}

/// As [`asctime_r`], of a time.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn ctime_r(
    time: *const libc::time_t,
    out: *mut c_char,
) -> *mut c_char {
    // SAFETY: the same contract; a date of integers, zeroed.
    unsafe {
        let mut date: libc::tm = core::mem::zeroed();
        if super::calendar::localtime_r(time, &raw mut date).is_null() {
            return core::ptr::null_mut();
        }
        asctime_r(&raw const date, out)
    }
}

/// Memory that the next call overwrites.
struct Shared(core::cell::UnsafeCell<[c_char; 26]>);

// SAFETY: only the two functions use it, whose contract is that one thread calls them.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(core::cell::UnsafeCell::new([0; 26]));

/// As [`asctime_r`], in memory that the next call overwrites.
///
/// # Safety
/// `date` can be read; no other thread calls this.
#[unsafe(no_mangle)]
unsafe extern "C" fn asctime(date: *const libc::tm) -> *mut c_char {
    // SAFETY: the same contract.
    unsafe { asctime_r(date, SHARED.0.get().cast()) }
}

/// As [`ctime_r`], in memory that the next call overwrites.
///
/// # Safety
/// `time` can be read; no other thread calls this.
#[unsafe(no_mangle)]
unsafe extern "C" fn ctime(time: *const libc::time_t) -> *mut c_char {
    // SAFETY: the same contract.
    unsafe { ctime_r(time, SHARED.0.get().cast()) }
}

/// As [`strftime`]: there is one locale.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn strftime_l(
    out: *mut c_char,
    len: usize,
    format: *const c_char,
    date: *const libc::tm,
    _locale: *mut core::ffi::c_void,
) -> usize {
    // SAFETY: the same contract.
    unsafe { strftime(out, len, format, date) }
}
