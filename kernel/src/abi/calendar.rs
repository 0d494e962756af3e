//! Dates (ISO C17, section 7.27; POSIX.1-2017, `time.h`): the time zone is UTC.

use core::ffi::{c_int, c_uint};

use super::convert::{c_result, get};
use crate::arch::clock;
use crate::error::Errno;
use crate::scheduler;

const DAY_SECONDS: i64 = 86_400;
/// Days of 400 years, after which the calendar repeats.
const CYCLE_DAYS: i64 = 146_097;

/// Year, month (0 is March) and day of the month (from 0), of a day counted from 1 March of year 0.
///
/// Years are taken from March to February, so that the leap day is the last one.
fn civil(day: i64) -> (i64, i64, i64) {
    let cycle = day.div_euclid(CYCLE_DAYS);
    let day = day.rem_euclid(CYCLE_DAYS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    (400 * cycle + year, month, of_year - (153 * month + 2) / 5)
}

/// The day, counted from 1 January 1970, of a date; months and days may be out of their ranges.
pub(super) fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let months = year * 12 + month - 2;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12));
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    days + (153 * month + 2) / 5 + day - 1 - EPOCH_DAY
}

/// 1 January 1970, counted from 1 March of year 0.
const EPOCH_DAY: i64 = 719_468;

/// Fills in a date; `None` if the year is out of range.
fn broken_down(seconds: i64) -> Option<libc::tm> {
    let (day, second) = (
        seconds.div_euclid(DAY_SECONDS),
        seconds.rem_euclid(DAY_SECONDS),
    );
    let (march_year, march_month, day_of_month) = civil(day + EPOCH_DAY);
    let year = march_year + i64::from(march_month >= 10);
    let month = (march_month + 2) % 12;
    // SAFETY: a structure of integers and a pointer, for which zeros are values.
    let mut date: libc::tm = unsafe { core::mem::zeroed() };
    date.tm_year = c_int::try_from(year - 1900).ok()?;
    date.tm_mon = month as c_int;
    date.tm_mday = day_of_month as c_int + 1;
    date.tm_hour = (second / 3600) as c_int;
    date.tm_min = (second / 60 % 60) as c_int;
    date.tm_sec = (second % 60) as c_int;
    date.tm_wday = (day + 4).rem_euclid(7) as c_int;
    date.tm_yday = (day - day_of(year, 0, 1)) as c_int;
    date.tm_zone = c"UTC".as_ptr();
    Some(date)
}

/// The time of a date, whose fields may be out of their ranges.
pub(super) fn seconds_of(date: &libc::tm) -> i64 {
    let (year, month) = (i64::from(date.tm_year) + 1900, i64::from(date.tm_mon));
    let day = day_of(year, month, i64::from(date.tm_mday));
    let minutes = i64::from(date.tm_hour) * 60 + i64::from(date.tm_min);
    day * DAY_SECONDS + minutes * 60 + i64::from(date.tm_sec)
}

/// Where `gmtime` and `localtime` put their date. Threads that share it are the program's fault, as in C.
struct Shared(core::cell::UnsafeCell<core::mem::MaybeUninit<libc::tm>>);

// SAFETY: only the two functions use it, whose contract is that one thread calls them.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(core::cell::UnsafeCell::new(core::mem::MaybeUninit::zeroed()));

/// The date of a time, in memory that the next call overwrites.
///
/// # Safety
/// `time` can be read; no other thread calls this.
#[unsafe(no_mangle)]
unsafe extern "C" fn gmtime(time: *const libc::time_t) -> *mut libc::tm {
    // SAFETY: the same contract.
    unsafe { gmtime_r(time, SHARED.0.get().cast()) }
}

/// As [`gmtime`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn localtime(time: *const libc::time_t) -> *mut libc::tm {
    // SAFETY: the same contract.
    unsafe { localtime_r(time, SHARED.0.get().cast()) }
}

/// Processor time of the program, in microseconds: of a machine with one program, the time it runs.
#[unsafe(no_mangle)]
extern "C" fn clock() -> libc::clock_t {
    (clock::now_ns() / 1000) as libc::clock_t
}

/// Seconds since 1970.
///
/// # Safety
/// `out` is null or can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn time(out: *mut libc::time_t) -> libc::time_t {
    let now = (clock::wall_ns() / 1_000_000_000) as libc::time_t;
    if !out.is_null() {
        // SAFETY: not null, and the caller's.
        unsafe { out.write(now) };
    }
    now
}

/// The date of a time.
///
/// # Safety
/// `time` can be read, `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn gmtime_r(
    time: *const libc::time_t,
    out: *mut libc::tm,
) -> *mut libc::tm {
    // SAFETY: null, or the caller's.
    let date = unsafe { get(time) }.ok_or(Errno(libc::EFAULT));
    c_result(
        date.and_then(|seconds| broken_down(seconds).ok_or(Errno(libc::EOVERFLOW)))
            .map(|date| {
                // SAFETY: the caller's place.
                unsafe { out.write(date) };
                out
            }),
    )
}

/// As [`gmtime_r`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn localtime_r(
    time: *const libc::time_t,
    out: *mut libc::tm,
) -> *mut libc::tm {
    // SAFETY: the same contract.
    unsafe { gmtime_r(time, out) }
}

/// The time of a date, whose fields are put into their ranges.
///
/// # Safety
/// `date` can be read and written.
#[unsafe(no_mangle)]
unsafe extern "C" fn timegm(date: *mut libc::tm) -> libc::time_t {
    c_result((|| {
        // SAFETY: null, or the caller's.
        let given = unsafe { get(date) }.ok_or(Errno(libc::EFAULT))?;
        let seconds = seconds_of(&given);
        let whole = broken_down(seconds).ok_or(Errno(libc::EOVERFLOW))?;
        // SAFETY: the caller's place.
        unsafe { date.write(whole) };
        Ok(seconds)
    })())
}

/// As [`timegm`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn mktime(date: *mut libc::tm) -> libc::time_t {
    // SAFETY: the same contract.
    unsafe { timegm(date) }
}

/// Seconds from one time to another.
#[unsafe(no_mangle)]
extern "C" fn difftime(end: libc::time_t, start: libc::time_t) -> f64 {
    (end - start) as f64
}

/// The time zone is what it is.
#[unsafe(no_mangle)]
extern "C" fn tzset() {}

/// Sleeps for seconds; nothing wakes it before.
#[unsafe(no_mangle)]
extern "C" fn sleep(seconds: c_uint) -> c_uint {
    scheduler::sleep_until(clock::now_ns().saturating_add(u64::from(seconds) * 1_000_000_000));
    0
}

/// Sleeps for microseconds.
#[unsafe(no_mangle)]
extern "C" fn usleep(microseconds: c_uint) -> c_int {
    scheduler::sleep_until(clock::now_ns().saturating_add(u64::from(microseconds) * 1000));
    0
}
