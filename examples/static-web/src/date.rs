//! Dates as HTTP writes them: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAY_SECONDS: u64 = 86_400;
/// The first second of the year 10000, which has no such date.
const END: u64 = 253_402_300_800;

/// Seconds since 1970 of `time`; what was before counts as the beginning.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The date of a number of seconds since 1970.
pub(crate) fn text(seconds: u64) -> String {
    let seconds = seconds.min(END - 1);
    let (days, second) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[(days % 7) as usize].as_bytes());
    text[8..11].copy_from_slice(MONTHS[month].as_bytes());
    let (hour, minute) = (second / 3600, second / 60 % 60);
    for (place, number) in [
        (5, day),
        (12, year / 100),
        (14, year % 100),
        (17, hour),
        (20, minute),
        (23, second % 60),
    ] {
        text[place] = b'0' + (number / 10) as u8;
        text[place + 1] = b'0' + (number % 10) as u8;
    }
    text.into_iter().map(char::from).collect()
}

/// Seconds since 1970 of a date in the one form that is in use; `None` for anything else.
pub(crate) fn parse(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.is_ascii())?;
    let (date, time) = (text.get(5..16)?, text.get(17..25)?);
    let number = |part: Option<&str>| part?.parse::<u64>().ok();
    let month = MONTHS
        .iter()
        .position(|month| Some(*month) == date.get(3..6))?;
    let days = days_before(number(date.get(7..))?.checked_sub(1970)?, month)
        .checked_add(number(date.get(..2))?.checked_sub(1)?)?;
    let second =
        number(time.get(..2))? * 3600 + number(time.get(3..5))? * 60 + number(time.get(6..))?;
    let seconds = days * DAY_SECONDS + second;
    // Whatever is not written exactly as this server writes it is not understood.
    (self::text(seconds) == text).then_some(seconds)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

const fn month_days(year: u64, month: usize) -> u64 {
    match month {
        1 => 28 + is_leap(year) as u64,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// Days from 1970 to the first of `month` (from 0) of the year 1970 + `years`.
fn days_before(years: u64, month: usize) -> u64 {
    let leaps_before = |year: u64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    let year = years + 1970;
    let days = years * 365 + leaps_before(year) - leaps_before(1970);
    days + (0..month).map(|month| month_days(year, month)).sum::<u64>()
}

/// Year, month from 0, and day from 1, of a number of days since 1970.
fn civil(days: u64) -> (u64, usize, u64) {
    // In years that begin in March a leap day is the last; these are counted from the first of March of the year 0.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on, each five months have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5;
    let is_next = u64::from(month >= 10);
    let month = (month + 2) % 12;
    (era * 400 + year + is_next, month as usize, day + 1)
}

/// The second that was written last, and its date: new connections mostly begin in it.
static LATEST: Mutex<(u64, String)> = Mutex::new((0, String::new()));

/// The date of a second that is now or was just now.
fn recent_text(second: u64) -> String {
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    if latest.0 != second || latest.1.is_empty() {
        *latest = (second, text(second));
    }
    latest.1.clone()
}

/// The date of now, written once a second.
#[derive(Debug)]
pub(crate) struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    /// A clock that shows now.
    pub(crate) fn new() -> Self {
        let second = seconds(SystemTime::now());
        Self {
            second,
            text: recent_text(second),
        }
    }

    /// Looks at the time; returns its second since 1970.
    pub(crate) fn tick(&mut self) -> u64 {
        let second = seconds(SystemTime::now());
        if second != self.second {
            (self.second, self.text) = (second, recent_text(second));
        }
        second
    }

    /// The date of the last tick.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates_are_written_and_read() {
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (END - 1, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(text(seconds), date);
            assert_eq!(parse(date.as_bytes()), Some(seconds));
        }
        assert_eq!(text(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn a_second_that_is_over_is_not_shown_again() {
        for second in [5, 5, 6, 5, 0] {
            assert_eq!(recent_text(second), text(second));
        }
    }

    #[test]
    fn every_day_is_read_back() {
        for day in 0..60_000 {
            let date = text(day * DAY_SECONDS + day);
            assert_eq!(
                parse(date.as_bytes()),
                Some(day * DAY_SECONDS + day),
                "{date}"
            );
        }
    }

    #[test]
    fn other_forms_are_not_understood() {
        for date in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
        ] {
            assert_eq!(parse(date.as_bytes()), None, "{date}");
        }
    }
}
