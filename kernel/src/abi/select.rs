//! `select` (POSIX.1-2017): waiting for descriptors that are given as sets of bits; `poll` does the work.

use alloc::vec::Vec;
use core::ffi::c_int;

use super::clock::nanoseconds;
use super::convert::{c_result, get};
use super::poll::poll_until;
use crate::arch::clock;
use crate::error::{Errno, Result};

/// What a set asks for, and what it shows: as Linux has it.
const READ: (i16, i16) = (libc::POLLIN, libc::POLLIN | libc::POLLHUP | libc::POLLERR);
const WRITE: (i16, i16) = (libc::POLLOUT, libc::POLLOUT | libc::POLLERR);
const EXCEPTION: (i16, i16) = (libc::POLLPRI, libc::POLLPRI);

type Words = [u64; libc::FD_SETSIZE / 64];

/// # Safety
/// 1. The sets are null or can be read and written.
unsafe fn wait(
    count: c_int,
    sets: [*mut libc::fd_set; 3],
    timeout_ns: Option<u64>,
) -> Result<c_int> {
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= libc::FD_SETSIZE)
        .ok_or(Errno(libc::EINVAL))?;
    let kinds = [READ, WRITE, EXCEPTION];
    let sets = sets.map(|set| set.cast::<Words>());
    // SAFETY: (1); an `fd_set` is an array of words.
    let wanted = sets.map(|set| unsafe { get(set) }.unwrap_or_default());
    let mut requests = Vec::new();
    for index in 0..count {
        let is_in = |words: &Words| words[index / 64] >> (index % 64) & 1 != 0;
        let events = (0..3)
            .filter(|&kind| is_in(&wanted[kind]))
            .fold(0, |events, kind| events | kinds[kind].0);
        if events != 0 {
            requests.push(libc::pollfd {
                fd: index as c_int,
                events,
                revents: 0,
            });
        }
    }
    let deadline_ns = timeout_ns.map(|ns| clock::now_ns().saturating_add(ns));
    poll_until(&mut requests, deadline_ns)?;
    if requests
        .iter()
        .any(|request| request.revents & libc::POLLNVAL != 0)
    {
        return Err(Errno(libc::EBADF));
    }
    let mut ready = 0;
    let mut shown = [Words::default(); 3];
    for request in &requests {
        let index = request.fd as usize;
        for kind in 0..3 {
            let (asks, shows) = kinds[kind];
            if request.events & asks != 0 && request.revents & shows != 0 {
                shown[kind][index / 64] |= 1 << (index % 64);
                ready += 1;
            }
        }
    }
    for (set, words) in sets.into_iter().zip(shown) {
        if !set.is_null() {
            // SAFETY: (1).
            unsafe { set.write(words) };
        }
    }
    Ok(ready)
}

/// Waits; the time that is left is put into `timeout`, as Linux does.
///
/// # Safety
/// All are null or can be read and written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn select(
    count: c_int,
    read: *mut libc::fd_set,
    write: *mut libc::fd_set,
    exception: *mut libc::fd_set,
    timeout: *mut libc::timeval,
) -> c_int {
    c_result((|| {
        // SAFETY: null, or the caller's time.
        let given = unsafe { get(timeout) };
        let timeout_ns = given
            .map(|time| -> Result<u64> {
                // More than a million microseconds are more seconds, as on Linux.
                let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno(libc::EINVAL))?;
                let micros = u64::try_from(time.tv_usec).map_err(|_| Errno(libc::EINVAL))?;
                Ok(seconds
                    .saturating_mul(1_000_000_000)
                    .saturating_add(micros.saturating_mul(1000)))
            })
            .transpose()?;
        let start = clock::now_ns();
        // SAFETY: the same contract.
        let ready = unsafe { wait(count, [read, write, exception], timeout_ns) };
        if let Some(timeout_ns) = timeout_ns {
            let left = timeout_ns.saturating_sub(clock::now_ns() - start);
            let left = libc::timeval {
                tv_sec: (left / 1_000_000_000) as i64,
                tv_usec: (left / 1000 % 1_000_000) as i64,
            };
            // SAFETY: not null, since it was read.
            unsafe { timeout.write(left) };
        }
        ready
    })())
}

/// Waits. The set of signals is not looked at: none comes from outside.
///
/// # Safety
/// All are null or can be read and, but for the time, written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pselect(
    count: c_int,
    read: *mut libc::fd_set,
    write: *mut libc::fd_set,
    exception: *mut libc::fd_set,
    timeout: *const libc::timespec,
    _mask: *const libc::sigset_t,
) -> c_int {
    c_result((|| {
        // SAFETY: null, or the caller's time.
        let timeout = unsafe { get(timeout) };
        let timeout_ns = timeout.map(|time| nanoseconds(&time)).transpose()?;
        // SAFETY: the same contract.
        unsafe { wait(count, [read, write, exception], timeout_ns) }
    })())
}
