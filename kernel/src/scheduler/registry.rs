//! All threads, and whether any of them can ever run again.
//!
//! When all cores halt and no thread has a deadline, only something from outside can wake a thread. If no thread waits for such a thing, the
//! program would halt for ever: a handler asks, reports it, and ends the machine. It is installed with the program's first
//! thread, so that a program without threads links none of it. What services have to do meanwhile does not count: they wake
//! only threads that wait for the outside.

use core::cell::Cell;
use core::ptr::null;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::asleep::{AllAsleep, Asleep};
use super::core::core_count;
use super::thread::{Thread, Waiting, mark};
use crate::sync::SpinLock;

/// All threads that have not ended.
struct List {
    /// The first, linked by [`Thread::listed`].
    first: Cell<*const Thread>,
    /// One that was not stuck when it was last looked at, or null: asked first, so that a server with many threads at rest is not
    /// walked through each time it has nothing to do.
    hope: Cell<*const Thread>,
}

// SAFETY: the pointers are used under the lock alone, and threads may be reached from every core.
unsafe impl Send for List {}

static THREADS: SpinLock<List> = SpinLock::new(List {
    first: Cell::new(null()),
    hope: Cell::new(null()),
});

/// Cores that halt, none of whose threads has a deadline.
static ASLEEP: Asleep = Asleep(AtomicUsize::new(0));
/// What to do when no thread can ever run again, as a `fn()`; null where nobody asks.
static HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Lists a new thread.
pub(super) fn add(thread: &Thread) {
    let list = THREADS.lock();
    let first = list.first.replace(thread);
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
    if core::ptr::eq(list.hope.get(), thread) {
        list.hope.set(null());
    }
    let (previous, next) = thread.listed.get();
    if !next.is_null() {
        // SAFETY: as in `add`.
        let next = unsafe { &*next };
        next.listed.set((previous, next.listed.get().1));
    }
    if previous.is_null() {
        list.first.set(next);
    } else {
        // SAFETY: as in `add`.
        let previous = unsafe { &*previous };
        previous.listed.set((previous.listed.get().0, next));
    }
}

/// Calls `look` for every thread, with the list locked, so it must neither start nor end threads.
pub fn for_each_thread(mut look: impl FnMut(&Thread)) {
    find(&THREADS.lock(), |thread| {
        look(thread);
        false
    });
}

/// Calls `work` for the thread of a number, with the list locked, so it must neither start nor end threads. `None` when there is none.
pub fn with_thread<R>(id: u32, work: impl FnOnce(&Thread) -> R) -> Option<R> {
    let list = THREADS.lock();
    let thread = find(&list, |thread| thread.id() == id);
    // SAFETY: as in `add`, and the list is locked.
    unsafe { thread.as_ref() }.map(work)
}

/// The first thread that satisfies `test`, or null.
fn find(list: &List, mut test: impl FnMut(&Thread) -> bool) -> *const Thread {
    let mut thread = list.first.get();
    while !thread.is_null() {
        // SAFETY: as in `add`, and the list is locked.
        let this = unsafe { &*thread };
        if test(this) {
            break;
        }
        thread = this.listed.get().1;
    }
    thread
}

/// Has `handler` called when no thread can ever run again.
pub fn on_deadlock(handler: fn()) {
    HANDLER.store(handler as *mut (), Ordering::Release);
}

/// A core is about to halt, and no thread of it has a deadline.
pub(super) fn fall_asleep() {
    let all_asleep = ASLEEP.enter(core_count());
    let handler = HANDLER.load(Ordering::Acquire);
    if let Some(since) = all_asleep
        && !handler.is_null()
        && is_deadlock(since)
    {
        // SAFETY: `on_deadlock` stored a function of this type.
        unsafe { core::mem::transmute::<*mut (), fn()>(handler)() }
    }
}

/// A core that called [`fall_asleep`] runs again.
pub(super) fn wake_up() {
    ASLEEP.leave();
}

/// Whether no thread can ever run again, as seen by the core that fell asleep last.
fn is_deadlock(since: AllAsleep) -> bool {
    let list = THREADS.lock();
    let hope = list.hope.get();
    // SAFETY: listed threads are alive, as in `add`: who ends is not the hope any more.
    if !hope.is_null() && !is_stuck(unsafe { &*hope }) {
        return false;
    }
    list.hope.set(find(&list, |thread| !is_stuck(thread)));
    // A core that has run since will look for itself when it falls asleep.
    list.hope.get().is_null() && ASLEEP.is_still(since)
}

/// Whether only another thread can let a thread run. Meaningful while all cores sleep.
fn is_stuck(thread: &Thread) -> bool {
    is_held(thread) || thread.is_blocked() && thread.waiting() != Waiting::Outside
}

/// Whether a thread is held because it is suspended.
pub fn is_held(thread: &Thread) -> bool {
    thread.marks.load(Ordering::Acquire) & mark::HELD != 0
}
