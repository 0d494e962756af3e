//! Timers that send signals or start threads (POSIX.1-2017, `timer_create`, `setitimer`, `alarm`).
//!
//! A thread of its own sleeps until the next of them expires; it sends the signal, so a handler runs on it. It is started with the first
//! timer. Timers of processor time are missing (`EINVAL`): nobody looks at what a thread uses while it runs.

use alloc::collections::BTreeMap;
use core::ffi::{c_int, c_uint};
use core::sync::atomic::{AtomicBool, Ordering};

use super::clock::{deadline_of, nanoseconds, timespec};
use super::convert::{c_status, get, put};
use super::notice::Notice;
use crate::arch::clock;
use crate::error::{Errno, Result};
use crate::scheduler::{self, Name, WaitQueue};
use crate::sync::SpinLock;

const STACK_BYTES: usize = 256 * 1024;
/// The number of the timer of `setitimer` and `alarm`; those of `timer_create` come behind.
const ALARM: usize = 0;

#[derive(Clone, Copy)]
struct Timer {
    clock: libc::clockid_t,
    notice: Notice,
    /// When it expires next, in nanoseconds since boot.
    next_ns: Option<u64>,
    /// How often from then on; 0 is once.
    interval_ns: u64,
    /// Expirations that were too late to be told of on their own, the last time.
    overrun: u64,
}

struct Timers {
    all: BTreeMap<usize, Timer>,
    last_number: usize,
}

static TIMERS: SpinLock<Timers> = SpinLock::new(Timers {
    all: BTreeMap::new(),
    last_number: ALARM,
});
static CHANGED: WaitQueue = WaitQueue::new();
static IS_STARTED: AtomicBool = AtomicBool::new(false);

impl Timer {
    /// Counts an expiry that is due; whether one was.
    fn expire(&mut self, now_ns: u64) -> bool {
        let Some(due_ns) = self.next_ns.filter(|&due_ns| due_ns <= now_ns) else {
            return false;
        };
        self.overrun = (now_ns - due_ns).checked_div(self.interval_ns).unwrap_or(0);
        self.next_ns = (self.interval_ns != 0).then(|| {
            let passed = self.interval_ns.saturating_mul(self.overrun + 1);
            due_ns.saturating_add(passed)
        });
        true
    }

    /// What remains, and the interval, in nanoseconds. One that is just about to expire has 1 left.
    fn remaining(&self) -> (u64, u64) {
        let left = |at_ns: u64| at_ns.saturating_sub(clock::now_ns()).max(1);
        (self.next_ns.map_or(0, left), self.interval_ns)
    }
}

/// Sleeps until a timer expires, for what is to be done then.
fn next_notice() -> Notice {
    let mut timers = TIMERS.lock();
    loop {
        let now_ns = clock::now_ns();
        let expired = timers
            .all
            .values_mut()
            .find_map(|timer| timer.expire(now_ns).then_some(timer.notice));
        if let Some(notice) = expired {
            return notice;
        }
        let first_ns = timers.all.values().filter_map(|timer| timer.next_ns).min();
        (timers, _) = CHANGED.wait(timers, first_ns);
    }
}

extern "C" fn tell(_: usize) -> ! {
    scheduler::begin();
    loop {
        next_notice().give(libc::SI_TIMER);
    }
}

fn start() -> Result<()> {
    if !IS_STARTED.swap(true, Ordering::Relaxed)
        && scheduler::spawn(tell, 0, STACK_BYTES, Name::new(b"alarms")).is_err()
    {
        IS_STARTED.store(false, Ordering::Relaxed);
        return Err(Errno(libc::ENOMEM));
    }
    Ok(())
}

/// Sets a timer; what remained, and the interval.
fn arm(number: usize, next_ns: Option<u64>, interval_ns: u64) -> Result<(u64, u64)> {
    let before = {
        let mut timers = TIMERS.lock();
        let timer = timers.all.get_mut(&number).ok_or(Errno(libc::EINVAL))?;
        let before = timer.remaining();
        timer.next_ns = next_ns;
        timer.interval_ns = interval_ns;
        before
    };
    CHANGED.wake_all();
    Ok(before)
}

/// Makes the timer of `setitimer` and sets it.
fn arm_alarm(span_ns: u64, interval_ns: u64) -> Result<(u64, u64)> {
    start()?;
    TIMERS.lock().all.entry(ALARM).or_insert(Timer {
        clock: libc::CLOCK_REALTIME,
        notice: Notice::Signal(libc::SIGALRM, 0),
        next_ns: None,
        interval_ns: 0,
        overrun: 0,
    });
    let next_ns = (span_ns != 0).then(|| clock::now_ns().saturating_add(span_ns));
    arm(ALARM, next_ns, interval_ns)
}

/// Makes a timer, disarmed.
///
/// # Safety
/// `event` is null or can be read, `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn timer_create(
    clock: libc::clockid_t,
    event: *const libc::sigevent,
    out: *mut usize,
) -> c_int {
    c_status((|| {
        let clocks = [
            libc::CLOCK_REALTIME,
            libc::CLOCK_MONOTONIC,
            libc::CLOCK_BOOTTIME,
        ];
        if !clocks.contains(&clock) {
            return Err(Errno(libc::EINVAL));
        }
        start()?;
        let number = {
            let mut timers = TIMERS.lock();
            timers.last_number += 1;
            timers.last_number
        };
        let timer = Timer {
            clock,
            // SAFETY: null, or the caller's.
            notice: match unsafe { Notice::asked_for(event) }? {
                Some(notice) => notice,
                None => Notice::Signal(libc::SIGALRM, number),
            },
            next_ns: None,
            interval_ns: 0,
            overrun: 0,
        };
        TIMERS.lock().all.insert(number, timer);
        // SAFETY: the caller's place.
        unsafe { put(out, number) }
    })())
}

/// Ends a timer.
#[unsafe(no_mangle)]
pub(super) extern "C" fn timer_delete(timer: usize) -> c_int {
    let removed = match timer {
        ALARM => None,
        _ => TIMERS.lock().all.remove(&timer),
    };
    c_status(removed.map(drop).ok_or(Errno(libc::EINVAL)))
}

fn as_c((remaining_ns, interval_ns): (u64, u64)) -> libc::itimerspec {
    libc::itimerspec {
        it_interval: timespec(interval_ns),
        it_value: timespec(remaining_ns),
    }
}

/// Arms a timer, or disarms it with a time of zero.
///
/// # Safety
/// `new` can be read; `old` is null or can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn timer_settime(
    timer: usize,
    flags: c_int,
    new: *const libc::itimerspec,
    old: *mut libc::itimerspec,
) -> c_int {
    c_status((|| {
        // SAFETY: null, or the caller's.
        let new = unsafe { get(new) }.ok_or(Errno(libc::EINVAL))?;
        let clock = TIMERS.lock().all.get(&timer).map(|timer| timer.clock);
        let clock = clock
            .filter(|_| timer != ALARM)
            .ok_or(Errno(libc::EINVAL))?;
        let next_ns = match nanoseconds(&new.it_value)? {
            0 => None,
            at_ns if flags & libc::TIMER_ABSTIME != 0 => Some(deadline_of(clock, at_ns)?),
            span_ns => Some(clock::now_ns().saturating_add(span_ns)),
        };
        let before = arm(timer, next_ns, nanoseconds(&new.it_interval)?)?;
        match old.is_null() {
            true => Ok(()),
            // SAFETY: not null, and the caller's.
            false => unsafe { put(old, as_c(before)) },
        }
    })())
}

fn timer_of(number: usize) -> Result<Timer> {
    let timers = TIMERS.lock();
    let timer = timers.all.get(&number).copied();
    timer.ok_or(Errno(libc::EINVAL))
}

/// Tells the time that remains, and the interval.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn timer_gettime(timer: usize, out: *mut libc::itimerspec) -> c_int {
    // SAFETY: the caller's place.
    c_status(timer_of(timer).and_then(|timer| unsafe { put(out, as_c(timer.remaining())) }))
}

/// Tells how often a timer expired more than it was told of, the last time.
#[unsafe(no_mangle)]
pub(super) extern "C" fn timer_getoverrun(timer: usize) -> c_int {
    super::convert::c_result(
        timer_of(timer).map(|timer| c_int::try_from(timer.overrun).unwrap_or(c_int::MAX)),
    )
}

fn span_of(time: &libc::timeval) -> Result<u64> {
    nanoseconds(&libc::timespec {
        tv_sec: time.tv_sec,
        // What is out of range stays so.
        tv_nsec: time.tv_usec.saturating_mul(1000),
    })
}

fn timeval(ns: u64) -> libc::timeval {
    libc::timeval {
        tv_sec: (ns / 1_000_000_000) as i64,
        // What is left of a microsecond counts as one: zero would be "not armed".
        tv_usec: (ns % 1_000_000_000).div_ceil(1000).min(999_999) as i64,
    }
}

/// Sends `SIGALRM` after a time, and from then on in intervals; ends that with a time of zero.
///
/// # Safety
/// `new` can be read; `old` is null or can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn setitimer(
    which: c_int,
    new: *const libc::itimerval,
    old: *mut libc::itimerval,
) -> c_int {
    c_status((|| {
        if which != libc::ITIMER_REAL {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: null, or the caller's.
        let new = unsafe { get(new) }.ok_or(Errno(libc::EFAULT))?;
        let (remaining_ns, interval_ns) =
            arm_alarm(span_of(&new.it_value)?, span_of(&new.it_interval)?)?;
        if old.is_null() {
            return Ok(());
        }
        let before = libc::itimerval {
            it_interval: timeval(interval_ns),
            it_value: timeval(remaining_ns),
        };
        // SAFETY: not null, and the caller's.
        unsafe { put(old, before) }
    })())
}

/// Tells when `SIGALRM` comes.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getitimer(which: c_int, out: *mut libc::itimerval) -> c_int {
    c_status((|| {
        if which != libc::ITIMER_REAL {
            return Err(Errno(libc::EINVAL));
        }
        let (remaining_ns, interval_ns) = timer_of(ALARM).map_or((0, 0), |timer| timer.remaining());
        let value = libc::itimerval {
            it_interval: timeval(interval_ns),
            it_value: timeval(remaining_ns),
        };
        // SAFETY: the caller's place.
        unsafe { put(out, value) }
    })())
}

/// Sends `SIGALRM` after so many seconds, or not at all (0); the seconds that remained of the last one.
#[unsafe(no_mangle)]
pub(super) extern "C" fn alarm(seconds: c_uint) -> c_uint {
    let before = arm_alarm(u64::from(seconds) * 1_000_000_000, 0);
    before.map_or(0, |(remaining_ns, _)| {
        remaining_ns.div_ceil(1_000_000_000) as c_uint
    })
}

/// As [`alarm`], in microseconds.
#[unsafe(no_mangle)]
extern "C" fn ualarm(span: c_uint, interval: c_uint) -> c_uint {
    let before = arm_alarm(u64::from(span) * 1000, u64::from(interval) * 1000);
    before.map_or(0, |(remaining_ns, _)| remaining_ns.div_ceil(1000) as c_uint)
}
