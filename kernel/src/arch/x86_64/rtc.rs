//! The real-time clock (Motorola MC146818, as in every PC).

use super::port;

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
const UPDATE_IN_PROGRESS: u8 = 0x80;
const BINARY: u8 = 4;
const HOURS_24: u8 = 2;
const PM: u8 = 0x80;

fn register(index: u8) -> u8 {
    port::write8(INDEX, index);
    port::read8(DATA)
}

/// Seconds, minutes, hours, day, month, year, century as the chip has them.
fn fields() -> [u8; 7] {
    [0, 2, 4, 7, 8, 9, 0x32].map(register)
}

/// Seconds since 1970-01-01 00:00 UTC; 0 if the clock makes no sense.
pub fn read_unix_seconds() -> u64 {
    const MAX_TRIES: u32 = 100_000;
    let mut fields_now = fields();
    // Two equal readings outside of an update are a consistent one.
    for _ in 0..MAX_TRIES {
        if register(0x0A) & UPDATE_IN_PROGRESS != 0 {
            continue;
        }
        let again = fields();
        if again == fields_now {
            break;
        }
        fields_now = again;
    }
    unix_seconds(fields_now, register(0x0B)).unwrap_or(0)
}

/// Seconds since 1970 of the chip's fields in the format that its status register B tells.
fn unix_seconds(fields: [u8; 7], status_b: u8) -> Option<u64> {
    let decode = |value: u8| {
        if status_b & BINARY != 0 {
            value
        } else {
            (value >> 4) * 10 + (value & 15)
        }
    };
    let [second, minute, hour, day, month, year, century] = fields;
    let mut hours = decode(hour & !PM);
    if status_b & HOURS_24 == 0 {
        hours = hours % 12 + if hour & PM != 0 { 12 } else { 0 };
    }
    let century = match decode(century) {
        c @ 19..=25 => u64::from(c),
        _ => 20,
    };
    let year = century * 100 + u64::from(decode(year));
    let (month, day) = (u64::from(decode(month)), u64::from(decode(day)));
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds =
        u64::from(hours) * 3600 + u64::from(decode(minute)) * 60 + u64::from(decode(second));
    Some(days_since_1970(year, month, day) * 86400 + seconds)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    days - 719_468
}

#[cfg(test)]
mod tests {
    use super::unix_seconds;

    #[test]
    fn bcd_and_binary_dates_become_unix_time() {
        assert_eq!(unix_seconds([0, 0, 0, 1, 1, 0x70, 0x19], 2), Some(0));
        assert_eq!(
            unix_seconds([0x59, 0x59, 0x23, 0x29, 0x02, 0x24, 0x20], 2),
            Some(1_709_251_199)
        );
        assert_eq!(
            unix_seconds([40, 46, 1, 9, 9, 1, 20], 6),
            Some(1_000_000_000)
        );
    }

    #[test]
    fn twelve_hour_clocks_know_noon_and_midnight() {
        assert_eq!(unix_seconds([0, 0, 0x12, 1, 1, 0x70, 0x19], 0), Some(0));
        assert_eq!(
            unix_seconds([0, 0, 0x92, 1, 1, 0x70, 0x19], 0),
            Some(12 * 3600)
        );
    }

    #[test]
    fn a_senseless_clock_is_refused() {
        assert_eq!(unix_seconds([0, 0, 0, 0, 0, 0, 0], 2), None);
        assert_eq!(unix_seconds([0xFF; 7], 2), None);
    }
}
