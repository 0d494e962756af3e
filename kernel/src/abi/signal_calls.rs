//! The system calls for signals (Linux, x86-64), for who makes them without C's functions: sets are one word here, and actions have a
//! layout of their own.
//!
//! `rt_sigreturn` is missing: handlers are called as functions, so they return without it, and no frame is there that it could end.

use core::ffi::c_int;

use super::convert::{get, put};
use super::process::getpid;
use super::signal::{
    self, Action, blocked_meanwhile, change_blocked, pause_since, pending, set_action, signals_run,
    take_pending_until,
};
use crate::error::{Errno, Result};
use crate::scheduler::{registry, thread};

/// `struct kernel_sigaction`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct CallAction {
    handler: usize,
    flags: u64,
    /// Where handlers return to on Linux; here they return to their caller.
    restorer: usize,
    mask: u64,
}

/// Sets are one word long, and callers say so.
fn check_size(set_bytes: usize) -> Result<()> {
    if set_bytes == size_of::<u64>() {
        Ok(())
    } else {
        Err(Errno(libc::EINVAL))
    }
}

/// Writes where the caller wants to be told.
///
/// # Safety
/// 1. `out` is null or can be written.
unsafe fn tell<T>(out: *mut T, value: T) -> Result<()> {
    if out.is_null() {
        return Ok(());
    }
    // SAFETY: not null; (1).
    unsafe { put(out, value) }
}

/// `rt_sigaction`: sets what is done when a signal comes.
///
/// # Safety
/// 1. `new` is null or can be read, `old` is null or can be written.
pub(super) unsafe fn rt_sigaction(
    signal: c_int,
    new: *const CallAction,
    old: *mut CallAction,
    set_bytes: usize,
) -> Result<usize> {
    check_size(set_bytes)?;
    // SAFETY: the caller's promise (1).
    let new = unsafe { get(new) }.map(|new| Action {
        handler: new.handler,
        mask: new.mask,
        flags: new.flags as c_int,
    });
    let before = set_action(signal, new)?;
    let value = CallAction {
        handler: before.handler,
        flags: u64::from(before.flags as u32),
        restorer: 0,
        mask: before.mask,
    };
    // SAFETY: the caller's promise (1).
    unsafe { tell(old, value) }.map(|()| 0)
}

/// `rt_sigprocmask`: changes the signals that the running thread blocks.
///
/// # Safety
/// 1. `new` is null or can be read, `old` is null or can be written.
pub(super) unsafe fn rt_sigprocmask(
    how: c_int,
    new: *const u64,
    old: *mut u64,
    set_bytes: usize,
) -> Result<usize> {
    check_size(set_bytes)?;
    // SAFETY: the caller's promise (1).
    let before = change_blocked(how, unsafe { get(new) })?;
    // SAFETY: as above.
    unsafe { tell(old, before) }.map(|()| 0)
}

/// `rt_sigpending`: tells the signals that wait until they are not blocked.
///
/// # Safety
/// 1. `out` can be written.
pub(super) unsafe fn rt_sigpending(out: *mut u64, set_bytes: usize) -> Result<usize> {
    check_size(set_bytes)?;
    // SAFETY: the caller's promise (1).
    unsafe { put(out, pending()) }.map(|()| 0)
}

/// `rt_sigsuspend`: sleeps until a handler has run, with just these signals blocked meanwhile.
///
/// # Safety
/// 1. `mask` is null or can be read.
pub(super) unsafe fn rt_sigsuspend(mask: *const u64, set_bytes: usize) -> Result<usize> {
    check_size(set_bytes)?;
    // SAFETY: the caller's promise (1).
    let mask = unsafe { get(mask) }.ok_or(Errno(libc::EFAULT))?;
    let before = signals_run();
    let _mask = blocked_meanwhile(mask);
    pause_since(before);
    Err(Errno(libc::EINTR))
}

/// `rt_sigtimedwait`: takes a pending signal out of a set, and waits for one until a timeout.
///
/// # Safety
/// 1. `set` can be read, `info` is null or can be written, `timeout` is null or can be read.
pub(super) unsafe fn rt_sigtimedwait(
    set: *const u64,
    info: *mut libc::siginfo_t,
    timeout: *const libc::timespec,
    set_bytes: usize,
) -> Result<usize> {
    check_size(set_bytes)?;
    // SAFETY: the caller's promise (1).
    let (set, timeout) = unsafe { (get(set), get(timeout)) };
    let signal = take_pending_until(set.ok_or(Errno(libc::EFAULT))?, timeout)?;
    // SAFETY: as above.
    unsafe { tell(info, signal::info_of(signal)) }.map(|()| signal as usize)
}

/// `tkill`: sends a thread a signal; 0 only asks whether the thread is there. Another thread handles it when it next changes what it
/// blocks, or waits for signals.
pub(super) fn tkill(id: c_int, signal: c_int) -> Result<usize> {
    let id = u32::try_from(id)
        .ok()
        .filter(|&id| id != 0)
        .ok_or(Errno(libc::EINVAL))?;
    if signal != 0 {
        signal::check(signal)?;
    }
    let current = thread::current();
    let sent = match (id == current.id(), signal) {
        (true, 0) => Some(Ok(())),
        // Handled at once, so with no lock held.
        (true, _) => Some(signal::send_to(current, signal)),
        (false, 0) => registry::with_thread(id, |_| Ok(())),
        (false, _) => registry::with_thread(id, |thread| signal::send_to(thread, signal)),
    };
    sent.ok_or(Errno(libc::ESRCH))?.map(|()| 0)
}

/// `tgkill`: as `tkill`, for a thread of a process: the program is the only one.
pub(super) fn tgkill(process: c_int, id: c_int, signal: c_int) -> Result<usize> {
    if process <= 0 || id <= 0 {
        return Err(Errno(libc::EINVAL));
    }
    if process != getpid() {
        return Err(Errno(libc::ESRCH));
    }
    tkill(id, signal)
}
