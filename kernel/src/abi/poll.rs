//! `poll` (POSIX.1-2017): waiting for several descriptors.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::c_int;

use super::clock::nanoseconds;
use super::convert::{c_result, get};
use super::errno;
use super::object::{self, Description};
use crate::arch::clock;
use crate::error::{Errno, Result};
use crate::scheduler::{Observer, Readiness, WaitQueue};
use crate::sync::SpinLock;

/// A call of `poll` that may sleep.
struct Poller {
    was_notified: SpinLock<bool>,
    queue: WaitQueue,
}

impl Observer for Poller {
    fn notified(&self, _token: u64) {
        *self.was_notified.lock() = true;
        self.queue.wake_all();
    }
}

/// Fills in `revents`; whether it is any.
fn check(request: &mut libc::pollfd, description: Option<&Description>) -> bool {
    request.revents = match description {
        _ if request.fd < 0 => 0,
        None => libc::POLLNVAL,
        Some(description) => {
            let always = Readiness::ERROR | Readiness::HANGUP;
            let wanted = Readiness::from_bits_retain(request.events as u16 as u32) | always;
            description.object().readiness_of(wanted).bits() as i16
        }
    };
    request.revents != 0
}

/// Waits until one of the requests has an event, or until the deadline.
///
/// # Errors
/// `ENOMEM` is the only one it could have; memory for a few pointers is there or the kernel ends.
pub(super) fn poll_until(requests: &mut [libc::pollfd], deadline_ns: Option<u64>) -> Result<usize> {
    let has_passed = || deadline_ns.is_some_and(|deadline| deadline <= clock::now_ns());
    let mut count = 0;
    for request in requests.iter_mut() {
        let description = object::get(request.fd).ok();
        count += usize::from(check(request, description.as_deref()));
    }
    if count != 0 || deadline_ns == Some(0) || has_passed() {
        return Ok(count);
    }
    let descriptions: Vec<_> = requests.iter().map(|r| object::get(r.fd).ok()).collect();
    let poller = Arc::new(Poller {
        was_notified: SpinLock::new(false),
        queue: WaitQueue::new(),
    });
    let observer: Arc<dyn Observer> = poller.clone();
    let notifiers = || {
        descriptions
            .iter()
            .flatten()
            .filter_map(|d| d.object().notifier())
    };
    notifiers().for_each(|n| n.subscribe(0, observer.clone()));
    let count = loop {
        let all = requests.iter_mut().zip(&descriptions);
        let count = all
            .map(|(request, description)| usize::from(check(request, description.as_deref())))
            .sum();
        if count != 0 || has_passed() {
            break count;
        }
        let mut was_notified = poller.was_notified.lock();
        if !*was_notified {
            (was_notified, _) = poller.queue.wait(was_notified, deadline_ns);
        }
        *was_notified = false;
    };
    notifiers().for_each(|n| n.unsubscribe(0, &observer));
    Ok(count)
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn poll(
    requests: *mut libc::pollfd,
    count: libc::nfds_t,
    timeout_ms: c_int,
) -> c_int {
    let Ok(count) = usize::try_from(count) else {
        return errno::set(Errno(libc::EINVAL));
    };
    // SAFETY: the caller's array; an empty one may be null.
    let requests = if count == 0 {
        &mut [][..]
    } else {
        // SAFETY: the caller's array of `count` requests.
        unsafe { core::slice::from_raw_parts_mut(requests, count) }
    };
    let deadline_ns = u64::try_from(timeout_ms).ok().map(|ms| match ms {
        0 => 0,
        ms => clock::now_ns().saturating_add(ms * 1_000_000),
    });
    match poll_until(requests, deadline_ns) {
        Ok(count) => count as c_int,
        Err(error) => errno::set(error),
    }
}

/// As [`poll`], with a timeout in nanoseconds, null for ever. The set of signals is not looked at: none comes from outside.
///
/// # Safety
/// `count` requests can be read and written; `timeout` is null or can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn ppoll(
    requests: *mut libc::pollfd,
    count: libc::nfds_t,
    timeout: *const libc::timespec,
    _mask: *const libc::sigset_t,
) -> c_int {
    c_result((|| {
        let requests = match count {
            0 => &mut [][..],
            _ if requests.is_null() => return Err(Errno(libc::EFAULT)),
            // SAFETY: not null, and the caller's array.
            _ => unsafe { core::slice::from_raw_parts_mut(requests, count as usize) },
        };
        // SAFETY: null, or the caller's time.
        let timeout = unsafe { get(timeout) };
        let timeout_ns = timeout.map(|time| nanoseconds(&time)).transpose()?;
        let deadline_ns = timeout_ns.map(|ns| clock::now_ns().saturating_add(ns));
        poll_until(requests, deadline_ns).map(|count| count as c_int)
    })())
}
