//! Mutexes that outlive the thread that holds them (POSIX.1-2017, `pthread_mutexattr_setrobust`): if it ends, the next one gets the lock and is told
//! (`EOWNERDEAD`), to put right what the mutex guards. LMDB has its writers wait for one in a file.

use core::ffi::{c_int, c_void};

use alloc::vec;
use alloc::vec::Vec;

use super::convert::get;
use super::lock::{Mutex, code};
use super::thread::__cxa_thread_atexit_impl;
use crate::error::{Errno, Result};
use crate::memory::paging;
use crate::scheduler::thread;
use crate::sync::SpinLock;

/// In the kind of a mutex and of attributes: where glibc has it.
pub(super) const ROBUST: c_int = 16;

/// What a thread holds.
struct Holder {
    thread: u32,
    mutexes: Vec<usize>,
}

static HOLDERS: SpinLock<Vec<Holder>> = SpinLock::new(Vec::new());

/// The running thread holds the mutex from now on.
pub(super) fn note(mutex: &Mutex) {
    let thread = thread::current().id();
    let mutex = &raw const *mutex as usize;
    let mut holders = HOLDERS.lock();
    if let Some(holder) = holders.iter_mut().find(|holder| holder.thread == thread) {
        holder.mutexes.push(mutex);
        return;
    }
    holders.push(Holder {
        thread,
        mutexes: vec![mutex],
    });
    drop(holders);
    // SAFETY: the function takes any pointer, and the thread calls it once.
    unsafe { __cxa_thread_atexit_impl(ended, core::ptr::null_mut(), core::ptr::null_mut()) };
}

/// It does not hold it any more.
pub(super) fn forget(mutex: &Mutex) {
    let thread = thread::current().id();
    let mutex = &raw const *mutex as usize;
    let mut holders = HOLDERS.lock();
    if let Some(holder) = holders.iter_mut().find(|holder| holder.thread == thread)
        && let Some(place) = holder.mutexes.iter().rposition(|held| *held == mutex)
    {
        holder.mutexes.swap_remove(place);
    }
}

/// The running thread ends.
extern "C" fn ended(_: *mut c_void) {
    let thread = thread::current().id();
    let mut holders = HOLDERS.lock();
    let place = holders.iter().position(|holder| holder.thread == thread);
    let holder = place.map(|place| holders.swap_remove(place));
    drop(holders);
    for mutex in holder.map(|holder| holder.mutexes).unwrap_or_default() {
        // A mutex may lie in a mapping of a file, which the thread may have ended before.
        if paging::is_mapped(mutex) {
            // SAFETY: the thread has locked a mutex there and not unlocked it.
            unsafe { Mutex::of(mutex as *mut libc::pthread_mutex_t) }.owner_ended();
        }
    }
}

/// Says whether mutexes outlive who holds them.
///
/// # Safety
/// `out` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_mutexattr_setrobust(
    out: *mut libc::pthread_mutexattr_t,
    robust: c_int,
) -> c_int {
    let bit = match robust {
        libc::PTHREAD_MUTEX_STALLED => 0,
        libc::PTHREAD_MUTEX_ROBUST => ROBUST,
        _ => return libc::EINVAL,
    };
    let attributes = out.cast::<c_int>();
    // SAFETY: the caller's attributes, which are an integer.
    unsafe { *attributes = *attributes & !ROBUST | bit };
    0
}

/// Tells whether they do.
///
/// # Safety
/// `attributes` are initialised, `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_mutexattr_getrobust(
    attributes: *const libc::pthread_mutexattr_t,
    out: *mut c_int,
) -> c_int {
    // SAFETY: the caller's.
    let value = unsafe { get(attributes.cast::<c_int>()) };
    code(value.ok_or(Errno(libc::EINVAL)).and_then(|value| {
        let robust = match value & ROBUST {
            0 => libc::PTHREAD_MUTEX_STALLED,
            _ => libc::PTHREAD_MUTEX_ROBUST,
        };
        if out.is_null() {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: the caller's place.
        unsafe { *out = robust };
        Ok(())
    }))
}

/// What the mutex guards is put right: the caller was told that who held it had ended.
///
/// # Safety
/// `mutex` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_mutex_consistent(mutex: *mut libc::pthread_mutex_t) -> c_int {
    // SAFETY: the caller's mutex.
    let result: Result<()> = unsafe { Mutex::of(mutex) }.put_right();
    code(result)
}
