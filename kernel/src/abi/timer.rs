//! `timerfd` (Linux: timerfd_create(2)): timers behind descriptors.
//!
//! Whether a timer has expired is computed from the clock whenever somebody asks. Those who wait for it without asking (epoll) are
//! told by a thread that sleeps until the next one of all timers expires; it is started with the first timer.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::clock::{deadline_of, nanoseconds, timespec};
use super::convert::{c_result, c_status, get, put};
use super::object::{self, Object};
use crate::arch::clock;
use crate::error::{Errno, Result};
use crate::scheduler::{self, Name, Notifier, Readiness, WaitQueue};
use crate::sync::SpinLock;

const STACK_BYTES: usize = 64 * 1024;

/// A time at which a timer expires, and its number: the order in which the thread tells.
type Due = (u64, u64);

#[derive(Clone, Copy, Default)]
struct State {
    /// When it expires next, in nanoseconds since boot; `None` while it is disarmed.
    next_ns: Option<u64>,
    /// How often from then on; 0 is once.
    interval_ns: u64,
    due: Option<Due>,
}

struct Timer {
    number: u64,
    clock: libc::clockid_t,
    state: SpinLock<State>,
    notifier: Notifier,
}

struct TimerObject(Arc<Timer>);

struct Schedule {
    /// Timers that somebody has to be told of.
    due: SpinLock<BTreeMap<Due, Weak<Timer>>>,
    changed: WaitQueue,
}

static SCHEDULE: Schedule = Schedule {
    due: SpinLock::new(BTreeMap::new()),
    changed: WaitQueue::new(),
};
static NUMBERS: AtomicU64 = AtomicU64::new(0);
static IS_STARTED: AtomicBool = AtomicBool::new(false);

impl Schedule {
    /// Puts `due` in place of `old`. Called with the timer's lock held.
    fn replace(&self, old: Option<Due>, due: Option<Due>, timer: &Arc<Timer>) {
        let mut all = self.due.lock();
        if let Some(old) = old {
            all.remove(&old);
        }
        let Some(due) = due else { return };
        all.insert(due, Arc::downgrade(timer));
        if all
            .first_key_value()
            .is_some_and(|(first, _)| *first == due)
        {
            self.changed.wake_all();
        }
    }

    /// Sleeps until the next timer expires, and takes it out.
    fn next(&self) -> (Due, Weak<Timer>) {
        let mut all = self.due.lock();
        loop {
            let first_ns = all.first_key_value().map(|((at_ns, _), _)| *at_ns);
            if first_ns.is_some_and(|at_ns| at_ns <= clock::now_ns())
                && let Some(first) = all.pop_first()
            {
                return first;
            }
            (all, _) = self.changed.wait(all, first_ns);
        }
    }
}

extern "C" fn tell(_: usize) -> ! {
    scheduler::begin();
    loop {
        let (expired, timer) = SCHEDULE.next();
        let Some(timer) = timer.upgrade() else {
            continue;
        };
        {
            let mut state = timer.state.lock();
            // Unless it was set anew just now, the next expiry is told of as well.
            if state.due == Some(expired) {
                state.due = state
                    .following(expired.0)
                    .map(|at_ns| (at_ns, timer.number));
                SCHEDULE.replace(None, state.due, &timer);
            }
        }
        timer.notifier.notify();
    }
}

impl State {
    /// The first expiry after `after_ns` and after now.
    fn following(&self, after_ns: u64) -> Option<u64> {
        let next_ns = self.next_ns?;
        if self.interval_ns == 0 {
            return (next_ns > after_ns).then_some(next_ns);
        }
        let past_ns = clock::now_ns().max(after_ns);
        if next_ns > past_ns {
            return Some(next_ns);
        }
        let expirations = (past_ns - next_ns) / self.interval_ns + 1;
        Some(next_ns.saturating_add(expirations.saturating_mul(self.interval_ns)))
    }

    /// How often it has expired by now, and is then counted from here.
    fn take_expirations(&mut self) -> u64 {
        let now_ns = clock::now_ns();
        let Some(next_ns) = self.next_ns.filter(|&next_ns| next_ns <= now_ns) else {
            return 0;
        };
        if self.interval_ns == 0 {
            self.next_ns = None;
            return 1;
        }
        let count = (now_ns - next_ns) / self.interval_ns + 1;
        self.next_ns = Some(next_ns.saturating_add(count.saturating_mul(self.interval_ns)));
        count
    }

    /// As C has it: the time that remains, and the interval.
    fn as_c(&self) -> libc::itimerspec {
        let now_ns = clock::now_ns();
        let remaining_ns = match self.next_ns {
            None => 0,
            Some(next_ns) if next_ns > now_ns => next_ns - now_ns,
            Some(_) if self.interval_ns == 0 => 0,
            Some(next_ns) => self.interval_ns - (now_ns - next_ns) % self.interval_ns,
        };
        libc::itimerspec {
            it_interval: timespec(self.interval_ns),
            it_value: timespec(remaining_ns),
        }
    }
}

impl Object for TimerObject {
    /// Reads how often the timer has expired since the last read.
    fn read(&self, buf: &mut [u8], is_nonblocking: bool) -> Result<usize> {
        let out = buf.first_chunk_mut::<8>().ok_or(Errno(libc::EINVAL))?;
        let mut state = self.0.state.lock();
        let count = loop {
            match state.take_expirations() {
                0 if is_nonblocking => return Err(Errno(libc::EAGAIN)),
                0 => {
                    let deadline_ns = state.next_ns;
                    (state, _) = self.0.notifier.wait(state, deadline_ns);
                }
                count => break count,
            }
        };
        *out = count.to_ne_bytes();
        Ok(8)
    }

    fn readiness(&self) -> Readiness {
        let next_ns = self.0.state.lock().next_ns;
        match next_ns {
            Some(next_ns) if next_ns <= clock::now_ns() => Readiness::READABLE,
            _ => Readiness::empty(),
        }
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(&self.0.notifier)
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        object::stat_anonymous(stat);
        Ok(())
    }
}

impl Drop for TimerObject {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        let old = state.due.take();
        state.next_ns = None;
        SCHEDULE.replace(old, None, &self.0);
    }
}

/// Makes a timer, disarmed.
#[unsafe(no_mangle)]
pub(super) extern "C" fn timerfd_create(clock: libc::clockid_t, flags: c_int) -> c_int {
    let clocks = [
        libc::CLOCK_REALTIME,
        libc::CLOCK_MONOTONIC,
        libc::CLOCK_BOOTTIME,
    ];
    if !clocks.contains(&clock) || flags & !(libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) != 0 {
        return c_result(Err(Errno(libc::EINVAL)));
    }
    if !IS_STARTED.swap(true, Ordering::Relaxed)
        && scheduler::spawn(tell, 0, STACK_BYTES, Name::new(b"timers")).is_err()
    {
        IS_STARTED.store(false, Ordering::Relaxed);
        return c_result(Err(Errno(libc::ENOMEM)));
    }
    let timer = Arc::new(Timer {
        number: NUMBERS.fetch_add(1, Ordering::Relaxed),
        clock,
        state: SpinLock::new(State::default()),
        notifier: Notifier::new(),
    });
    let status = (libc::O_RDWR | flags) as u32;
    c_result(object::insert(Box::new(TimerObject(timer)), status))
}

fn with_timer<R>(descriptor: c_int, work: impl FnOnce(&Arc<Timer>) -> Result<R>) -> Result<R> {
    let description = object::get(descriptor)?;
    let timer = description.downcast::<TimerObject>();
    work(&timer.ok_or(Errno(libc::EINVAL))?.0)
}

/// Arms a timer, or disarms it with a time of zero.
///
/// # Safety
/// `new` is null or can be read; `old` is null or can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn timerfd_settime(
    descriptor: c_int,
    flags: c_int,
    new: *const libc::itimerspec,
    old: *mut libc::itimerspec,
) -> c_int {
    c_status(with_timer(descriptor, |timer| {
        // Nobody sets the clock, so there is nothing to be told of that.
        if flags & !(libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET) != 0 {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: null, or the caller's.
        let new = unsafe { get(new) }.ok_or(Errno(libc::EFAULT))?;
        let value_ns = nanoseconds(&new.it_value)?;
        let interval_ns = nanoseconds(&new.it_interval)?;
        let next_ns = match value_ns {
            0 => None,
            at_ns if flags & libc::TFD_TIMER_ABSTIME != 0 => Some(deadline_of(timer.clock, at_ns)?),
            span_ns => Some(clock::now_ns().saturating_add(span_ns)),
        };
        let before = {
            let mut state = timer.state.lock();
            let due = next_ns.map(|at_ns| (at_ns, timer.number));
            SCHEDULE.replace(state.due, due, timer);
            core::mem::replace(
                &mut *state,
                State {
                    next_ns,
                    interval_ns,
                    due,
                },
            )
        };
        timer.notifier.notify();
        if !old.is_null() {
            // SAFETY: not null, and the caller's.
            unsafe { put(old, before.as_c())? };
        }
        Ok(())
    }))
}

/// Tells the time that remains, and the interval.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn timerfd_gettime(
    descriptor: c_int,
    out: *mut libc::itimerspec,
) -> c_int {
    c_status(with_timer(descriptor, |timer| {
        let state = *timer.state.lock();
        // SAFETY: the caller's place.
        unsafe { put(out, state.as_c()) }
    }))
}
