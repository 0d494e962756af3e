//! All threads, and whether any of them can ever run again.
//!
//! When all cores halt and no timer is set, only something from outside can wake a thread. If no thread waits for such a thing, the
//! machine would halt for ever: a handler asks, reports it, and ends the machine. It is installed with the program's first
//! thread, so that a program without threads links none of it.

use core::cell::Cell;
use core::ptr::null;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use super::core::core_count;
use super::thread::{Thread, Waiting, mark};
use crate::sync::SpinLock;

/// The first of all threads that have not ended, linked by [`Thread::listed`].
struct List(Cell<*const Thread>);

// SAFETY: the pointer is used under the lock alone, and threads may be reached from every core.
unsafe impl Send for List {}

static THREADS: SpinLock<List> = SpinLock::new(List(Cell::new(null())));

/// Cores that halt with no timer set.
static ASLEEP: AtomicUsize = AtomicUsize::new(0);
/// Something may wake threads, whatever they wait for.
static EXPECTS_OUTSIDE: AtomicBool = AtomicBool::new(false);
/// What to do when no thread can ever run again, as a `fn()`; null where nobody asks.
static HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Lists a new thread.
pub(super) fn add(thread: &Thread) {
    let list = THREADS.lock();
    let first = list.0.replace(thread);
    thread.listed.set((null(), first));
    if !first.is_null() {
        // SAFETY: listed threads are alive: they leave the list before they end.
        let first = unsafe { &*first };
        first.listed.set((thread, first.listed.get().1));
    }
}

/// Takes a thread that ends out of the list.
pub(super) fn remove(thread: &Thread) {
    let list = THREADS.lock();
    let (previous, next) = thread.listed.get();
    if !next.is_null() {
        // SAFETY: as in `add`.
        let next = unsafe { &*next };
        next.listed.set((previous, next.listed.get().1));
    }
    if previous.is_null() {
        list.0.set(next);
    } else {
        // SAFETY: as in `add`.
        let previous = unsafe { &*previous };
        previous.listed.set((previous.listed.get().0, next));
    }
}

/// Whether every thread satisfies `test`, which is called with the list locked, so it must neither start nor end threads.
pub fn all_threads(mut test: impl FnMut(&Thread) -> bool) -> bool {
    let list = THREADS.lock();
    let mut thread = list.0.get();
    while !thread.is_null() {
        // SAFETY: as in `add`, and the list is locked.
        let this = unsafe { &*thread };
        if !test(this) {
            return false;
        }
        thread = this.listed.get().1;
    }
    true
}

/// From now on something that no thread waits for may wake threads: a handler of a signal, a service with callbacks. So the machine
/// is never taken for dead.
pub fn expect_wakes_from_outside() {
    EXPECTS_OUTSIDE.store(true, Ordering::Relaxed);
}

/// Has `handler` called when all cores halt and no timer is set. It asks [`is_deadlock`] then.
pub fn on_deadlock(handler: fn()) {
    HANDLER.store(handler as *mut (), Ordering::Release);
}

/// A core is about to halt with no timer set.
pub(super) fn fall_asleep() {
    let asleep = ASLEEP.fetch_add(1, Ordering::SeqCst) + 1;
    if asleep < core_count() || EXPECTS_OUTSIDE.load(Ordering::Relaxed) {
        return;
    }
    let handler = HANDLER.load(Ordering::Acquire);
    if !handler.is_null() {
        // SAFETY: `on_deadlock` stored a function of this type.
        unsafe { core::mem::transmute::<*mut (), fn()>(handler)() }
    }
}

/// A core that called [`fall_asleep`] runs again.
pub(super) fn wake_up() {
    ASLEEP.fetch_sub(1, Ordering::SeqCst);
}

/// Whether no thread can ever run again. To be asked in the handler of [`on_deadlock`].
pub fn is_deadlock() -> bool {
    all_threads(is_stuck)
}

/// Whether only another thread can let a thread run. Meaningful while all cores halt without timers.
fn is_stuck(thread: &Thread) -> bool {
    thread.marks.load(Ordering::Acquire) & mark::HELD != 0
        || thread.is_blocked() && thread.waiting() != Waiting::Outside
}

/// Whether a thread is held because it is suspended.
pub fn is_held(thread: &Thread) -> bool {
    thread.marks.load(Ordering::Acquire) & mark::HELD != 0
}
