//! Text as dates (POSIX.1-2017, `strptime`), in the locale `C`.

use core::ffi::{c_char, c_int};
use core::ptr::null_mut;

use super::calendar::{day_of, gmtime_r};
use super::convert::text;
use super::date_text::{DAYS, MONTHS};

/// What was read, and what of it has to be put together at the end.
#[derive(Default)]
struct Known {
    century: Option<c_int>,
    year_of_century: Option<c_int>,
    is_afternoon: Option<bool>,
    has_hour12: bool,
    has_year: bool,
    has_date: bool,
    has_weekday: bool,
    has_day_of_year: bool,
}

/// Text that is read from its front.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn skip_spaces(&mut self) {
        let spaces = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        self.0 = &self.0[spaces..];
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[wanted])?;
        Some(())
    }

    /// A number of at most so many digits, between two bounds.
    fn number(&mut self, most_digits: usize, low: i64, high: i64) -> Option<i64> {
        self.skip_spaces();
        let digits = self
            .0
            .iter()
            .take(most_digits)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (number, rest) = self.0.split_at(digits);
        let value = core::str::from_utf8(number).ok()?.parse::<i64>().ok()?;
        self.0 = rest;
        (low..=high).contains(&value).then_some(value)
    }

    /// Which of the names it is, whole or by its first three letters.
    fn name(&mut self, names: &[&str]) -> Option<c_int> {
        let (index, len) = names.iter().enumerate().find_map(|(index, name)| {
            let is_it = |len: usize| {
                let text = self.0.get(..len)?;
                text.eq_ignore_ascii_case(&name.as_bytes()[..len])
                    .then_some((index, len))
            };
            is_it(name.len()).or_else(|| is_it(3))
        })?;
        self.0 = &self.0[len..];
        Some(index as c_int)
    }
}

/// Reads text by a format; what is left of it, or `None` if it does not fit.
fn read(
    input: &mut Input<'_>,
    format: &[u8],
    date: &mut libc::tm,
    known: &mut Known,
) -> Option<()> {
    let mut rest = format;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte.is_ascii_whitespace() {
            input.skip_spaces();
            continue;
        }
        if byte != b'%' {
            input.take(byte)?;
            continue;
        }
        // Other forms of the locale, of which there are none, and how glibc writes numbers.
        while let [b'E' | b'O' | b'-' | b'_' | b'0' | b'^' | b'#', more @ ..] = rest {
            rest = more;
        }
        let (&letter, behind) = rest.split_first()?;
        rest = behind;
        read_one(input, letter, date, known)?;
    }
    Some(())
}

fn read_one(
    input: &mut Input<'_>,
    letter: u8,
    date: &mut libc::tm,
    known: &mut Known,
) -> Option<()> {
    let mut together = |format: &[u8]| read(input, format, date, known);
    match letter {
        b'c' => return together(b"%a %b %e %H:%M:%S %Y"),
        b'D' | b'x' => return together(b"%m/%d/%y"),
        b'F' => return together(b"%Y-%m-%d"),
        b'r' => return together(b"%I:%M:%S %p"),
        b'R' => return together(b"%H:%M"),
        b'T' | b'X' => return together(b"%H:%M:%S"),
        b'a' | b'A' => {
            date.tm_wday = input.name(&DAYS)?;
            known.has_weekday = true;
        }
        b'b' | b'B' | b'h' => {
            date.tm_mon = input.name(&MONTHS)?;
            known.has_date = true;
        }
        b'C' => known.century = Some(input.number(2, 0, 99)? as c_int),
        b'd' | b'e' => {
            date.tm_mday = input.number(2, 1, 31)? as c_int;
            known.has_date = true;
        }
        b'H' | b'k' => {
            date.tm_hour = input.number(2, 0, 23)? as c_int;
            known.has_hour12 = false;
        }
        b'I' | b'l' => {
            date.tm_hour = input.number(2, 1, 12)? as c_int % 12;
            known.has_hour12 = true;
        }
        b'j' => {
            date.tm_yday = input.number(3, 1, 366)? as c_int - 1;
            known.has_day_of_year = true;
        }
        b'm' => {
            date.tm_mon = input.number(2, 1, 12)? as c_int - 1;
            known.has_date = true;
        }
        b'M' => date.tm_min = input.number(2, 0, 59)? as c_int,
        b'n' | b't' => input.skip_spaces(),
        b'p' | b'P' => {
            let is_afternoon = match input.0.get(..2)? {
                text if text.eq_ignore_ascii_case(b"am") => false,
                text if text.eq_ignore_ascii_case(b"pm") => true,
                _ => return None,
            };
            input.0 = &input.0[2..];
            known.is_afternoon = Some(is_afternoon);
        }
        b's' => {
            let seconds = input.number(18, 0, i64::MAX)?;
            // SAFETY: local variables.
            let filled = unsafe { gmtime_r(&raw const seconds, date) };
            if filled.is_null() {
                return None;
            }
        }
        b'S' => date.tm_sec = input.number(2, 0, 61)? as c_int,
        b'u' => {
            date.tm_wday = input.number(1, 1, 7)? as c_int % 7;
            known.has_weekday = true;
        }
        b'w' => {
            date.tm_wday = input.number(1, 0, 6)? as c_int;
            known.has_weekday = true;
        }
        // Read, and of no effect, as in glibc.
        b'g' => drop(input.number(2, 0, 99)?),
        b'G' => drop(input.number(4, 0, 9999)?),
        b'U' | b'V' | b'W' => drop(input.number(2, 0, 53)?),
        b'y' => known.year_of_century = Some(input.number(2, 0, 99)? as c_int),
        b'Y' => {
            date.tm_year = input.number(4, 0, 9999)? as c_int - 1900;
            known.century = None;
            known.year_of_century = None;
            known.has_year = true;
        }
        b'z' => {
            input.skip_spaces();
            if input.take(b'Z').is_some() {
                date.tm_gmtoff = 0;
                return Some(());
            }
            let sign = match input.0.first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            input.0 = &input.0[1..];
            let hours = input.number(2, 0, 14)?;
            let _ = input.take(b':');
            let minutes = match input.0.first() {
                Some(byte) if byte.is_ascii_digit() => input.number(2, 0, 59)?,
                _ => 0,
            };
            date.tm_gmtoff = sign * (hours * 3600 + minutes * 60);
        }
        // Names of zones are passed over.
        b'Z' => {
            let letters = input
                .0
                .iter()
                .take_while(|byte| byte.is_ascii_alphabetic())
                .count();
            input.0 = &input.0[letters..];
        }
        b'%' => input.take(b'%')?,
        _ => return None,
    }
    Some(())
}

/// Puts together what depends on several fields.
fn complete(date: &mut libc::tm, known: &Known) {
    if known.has_hour12 && known.is_afternoon == Some(true) {
        date.tm_hour += 12;
    }
    match (known.century, known.year_of_century) {
        (Some(century), year) => date.tm_year = century * 100 + year.unwrap_or(0) - 1900,
        // Two digits are those of 1969 to 2068 (POSIX).
        (None, Some(year)) => date.tm_year = if year < 69 { year + 100 } else { year },
        (None, None) => {}
    }
    let year = i64::from(date.tm_year) + 1900;
    let has_date = known.has_date
        || known.has_year
        || known.century.is_some()
        || known.year_of_century.is_some();
    if known.has_day_of_year && !known.has_date {
        let first = day_of(year, 0, 1);
        let mut month = 11;
        while month > 0 && day_of(year, month, 1) > first + i64::from(date.tm_yday) {
            month -= 1;
        }
        date.tm_mon = month as c_int;
        date.tm_mday = (first + i64::from(date.tm_yday) - day_of(year, month, 1)) as c_int + 1;
    }
    if has_date || known.has_day_of_year {
        let day = day_of(year, i64::from(date.tm_mon), i64::from(date.tm_mday));
        date.tm_yday = (day - day_of(year, 0, 1)) as c_int;
        if !known.has_weekday {
            date.tm_wday = (day + 4).rem_euclid(7) as c_int;
        }
    }
}

/// Reads a date by a format; what is left of the text, or null if it does not fit. Fields that the format does not name stay as they were.
///
/// # Safety
/// `string` and `format` are C strings, `date` can be read and written.
#[unsafe(no_mangle)]
unsafe extern "C" fn strptime(
    string: *const c_char,
    format: *const c_char,
    date: *mut libc::tm,
) -> *mut c_char {
    // SAFETY: the caller's.
    let (Ok(whole), Ok(format)) = (unsafe { text(string) }, unsafe { text(format) }) else {
        return null_mut();
    };
    // SAFETY: the caller's.
    let date = unsafe { &mut *date };
    let mut input = Input(whole);
    let mut known = Known::default();
    match read(&mut input, format, date, &mut known) {
        None => null_mut(),
        Some(()) => {
            complete(date, &known);
            // SAFETY: inside of the string.
            unsafe { string.add(whole.len() - input.0.len()) }.cast_mut()
        }
    }
}
