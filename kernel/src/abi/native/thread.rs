//! Control over threads, and the hints of threads that poll (`api/src/sys/thread.rs`).

use alloc::sync::Arc;
use core::ffi::c_int;

use crate::arch::clock;
use crate::scheduler::control::{self, Ended, Killed};
use crate::scheduler::{self, Thread};

fn code(result: Result<(), Ended>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(Ended) => -libc::ESRCH,
    }
}

fn wait_code(result: Result<(), Killed>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(Killed) => -libc::EINTR,
    }
}

/// One more reference to the thread behind a `pthread_t`, which is alive or not joined yet; given back by [`toro_thread_release`].
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_thread_retain(handle: libc::pthread_t) -> *const Thread {
    let thread = handle as *const Thread;
    // SAFETY: a handle is what `Arc::as_ptr` gave.
    unsafe { Arc::increment_strong_count(thread) };
    thread
}

/// Gives back a reference.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_thread_release(thread: *const Thread) {
    // SAFETY: of `toro_thread_retain`.
    unsafe { Arc::decrement_strong_count(thread) };
}

/// Keeps a thread from running. `ESRCH` when it has ended.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_thread_suspend(thread: *const Thread) -> c_int {
    // SAFETY: the caller has a reference.
    code(control::suspend(unsafe { &*thread }))
}

/// Lets a thread run again. `ESRCH` when it has ended.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_thread_resume(thread: *const Thread) -> c_int {
    // SAFETY: the caller has a reference.
    code(control::resume(unsafe { &*thread }))
}

/// Marks a thread as one that shall end. `ESRCH` when it has ended.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_thread_kill(thread: *const Thread) -> c_int {
    // SAFETY: the caller has a reference.
    code(control::kill(unsafe { &*thread }))
}

/// The core of a thread.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_thread_core(thread: *const Thread) -> usize {
    // SAFETY: the caller has a reference.
    unsafe { &*thread }.core()
}

/// Whether a thread has ended.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_thread_has_ended(thread: *const Thread) -> bool {
    // SAFETY: the caller has a reference.
    unsafe { &*thread }.has_ended()
}

/// Whether the calling thread shall end; says so once, as it is about to unwind then.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_thread_take_kill() -> bool {
    control::take_kill()
}

/// Sleeps so many nanoseconds; for good if they are `u64::MAX`. `EINTR` when the calling thread shall end.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_thread_sleep(ns: u64) -> c_int {
    let deadline_ns = (ns != u64::MAX).then(|| clock::now_ns().saturating_add(ns));
    wait_code(control::sleep_killable(deadline_ns))
}

/// Lets other threads of the core run.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_thread_yield() {
    scheduler::yield_now();
}

/// The calling thread only polls.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_thread_polling() {
    control::polling();
}

/// The calling thread did work.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_thread_worked() {
    control::worked();
}
