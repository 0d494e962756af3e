//! The scheduler of a core: run queue, services, idle.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ptr::null;
use core::sync::atomic::{AtomicU64, Ordering};

use super::Service;
use super::thread::{self, Name, State, Thread};
use super::timers::Timers;
use crate::arch::x86_64::{context, core_local, cpu};
use crate::arch::{clock, interrupts};
use crate::memory::OutOfMemory;

/// Threads that are ready to run, first come first served.
struct RunQueue {
    first: *const Thread,
    last: *const Thread,
}

impl RunQueue {
    fn push(&mut self, thread: &Thread) {
        thread.next.set(null());
        if self.first.is_null() {
            self.first = thread;
        } else {
            // SAFETY: threads in the queue are alive.
            unsafe { (*self.last).next.set(thread) };
        }
        self.last = thread;
    }

    fn pop(&mut self) -> Option<*const Thread> {
        let thread = self.first;
        if thread.is_null() {
            return None;
        }
        // SAFETY: threads in the queue are alive.
        self.first = unsafe { (*thread).next.get() };
        Some(thread)
    }
}

struct Core {
    ready: RunQueue,
    timers: Timers,
    services: Vec<&'static dyn Service>,
    /// The thread that ended last, until another one runs.
    ended: *const Thread,
    /// What the timer is set to.
    armed_ns: u64,
    interrupts_seen: u64,
    polls: u32,
}

struct CoreCell(UnsafeCell<Core>);

// SAFETY: only the core itself uses its cell, and never from a handler.
unsafe impl Sync for CoreCell {}

static CORE: CoreCell = CoreCell(UnsafeCell::new(Core {
    ready: RunQueue {
        first: null(),
        last: null(),
    },
    timers: Timers::new(),
    services: Vec::new(),
    ended: null(),
    armed_ns: u64::MAX,
    interrupts_seen: 0,
    polls: 0,
}));

static HALTED_NS: AtomicU64 = AtomicU64::new(0);
static SWITCHES: AtomicU64 = AtomicU64::new(0);

/// Ready threads run this often in a row before the services are asked again, even if nothing interrupts.
const SWITCHES_PER_POLL: u32 = 16;

fn with_core<R>(work: impl FnOnce(&mut Core) -> R) -> R {
    // SAFETY: the closure runs on the core itself, handlers do not use it, and no closure calls back into this function.
    work(unsafe { &mut *CORE.0.get() })
}

/// Has the scheduler of this core call `service` from now on.
pub fn register_service(service: &'static dyn Service) {
    with_core(|core| core.services.push(service));
}

/// Starts a thread on this core. `function` must end with [`exit`].
///
/// # Errors
/// When there is no memory for it.
pub fn spawn(
    function: extern "C" fn(usize) -> !,
    argument: usize,
    stack_bytes: usize,
    name: Name,
) -> Result<Arc<Thread>, OutOfMemory> {
    let thread = Thread::new(function, argument, stack_bytes, name)?;
    thread.set_state(State::Ready);
    // The core's own reference, given back in `reap`.
    let pointer = Arc::into_raw(thread.clone());
    // SAFETY: from the `Arc` above.
    with_core(|core| core.ready.push(unsafe { &*pointer }));
    Ok(thread)
}

/// Makes a blocked thread ready.
pub(super) fn wake(thread: &Thread) {
    if thread.make_ready() {
        with_core(|core| core.ready.push(thread));
    }
}

/// Must be called first in every thread: completes the switch to it.
pub fn begin() {
    reap();
}

/// Ends the running thread.
pub fn exit(result: usize) -> ! {
    let thread = thread::current();
    thread.set_state(State::Ended);
    thread.finish(result);
    with_core(|core| core.ended = thread);
    schedule();
    unreachable!("a thread that ended runs again");
}

/// Lets go of the thread that ended before the running one was switched to.
fn reap() {
    let ended = with_core(|core| core::mem::replace(&mut core.ended, null()));
    if !ended.is_null() {
        // SAFETY: the reference that `spawn` gave to the core; the thread will not run again, and its stack is not in use.
        drop(unsafe { Arc::from_raw(ended) });
    }
}

/// Marks the running thread as one that is about to block: from now on, [`wake`] makes it ready.
pub(super) fn prepare_to_block() {
    thread::current().set_state(State::Blocked);
}

/// Blocks the running thread, which called [`prepare_to_block`], until it is woken or the deadline passes.
pub(super) fn block(deadline_ns: Option<u64>) {
    let thread = thread::current();
    if let Some(deadline_ns) = deadline_ns {
        with_core(|core| core.timers.insert(deadline_ns, thread));
    }
    schedule();
    if deadline_ns.is_some() {
        with_core(|core| core.timers.remove(thread));
    }
}

/// Lets the other ready threads of this core, and its services, run.
pub fn yield_now() {
    with_core(|core| core.ready.push(thread::current()));
    schedule();
}

/// Sleeps until a time since boot.
pub fn sleep_until(deadline_ns: u64) {
    prepare_to_block();
    block(Some(deadline_ns));
}

/// Switches to the next thread that is ready; halts while there is none. Returns when the calling thread's turn has come again.
fn schedule() {
    let current: *const Thread = thread::current();
    loop {
        poll_services();
        if let Some(next) = with_core(|core| core.ready.pop()) {
            if next != current {
                switch_to(current, next);
            }
            return;
        }
        idle();
    }
}

fn switch_to(current: *const Thread, next: *const Thread) {
    SWITCHES.store(SWITCHES.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    // SAFETY: `next` was ready, so its context is a saved one; both threads are alive: `current` at least until `reap`.
    unsafe {
        core_local::set_thread_pointer((*next).thread_pointer());
        context::switch((*current).context.as_ptr(), (*next).context.get());
    }
    reap();
}

/// Serves what interrupts announced and deadlines that passed.
fn poll_services() {
    let (is_due, has_timers) = with_core(|core| {
        core.polls += 1;
        let interrupts = interrupts::count();
        let is_due = interrupts != core.interrupts_seen
            || core.ready.first.is_null()
            || core.polls >= SWITCHES_PER_POLL;
        if is_due {
            core.polls = 0;
            core.interrupts_seen = interrupts;
        }
        (is_due, core.timers.next_ns().is_some())
    });
    if !is_due {
        return;
    }
    serve_all();
    if has_timers {
        let now_ns = clock::now_ns();
        while let Some(thread) = with_core(|core| core.timers.pop_expired(now_ns)) {
            // SAFETY: a thread with a deadline is alive.
            wake(unsafe { &*thread });
        }
    }
}

/// Asks every service once; whether any had work.
fn serve_all() -> bool {
    let mut had_work = false;
    let mut index = 0;
    while let Some(service) = with_core(|core| core.services.get(index).copied()) {
        had_work |= service.serve();
        index += 1;
    }
    had_work
}

/// Halts until an interrupt comes or the next deadline.
fn idle() {
    let mut deadline_ns = with_core(|core| core.timers.next_ns()).unwrap_or(u64::MAX);
    let mut index = 0;
    while let Some(service) = with_core(|core| core.services.get(index).copied()) {
        deadline_ns = deadline_ns.min(service.next_deadline_ns().unwrap_or(u64::MAX));
        index += 1;
    }
    let now_ns = clock::now_ns();
    if deadline_ns <= now_ns {
        return;
    }
    with_core(|core| {
        if deadline_ns != u64::MAX && (deadline_ns < core.armed_ns || core.armed_ns <= now_ns) {
            interrupts::set_timer(deadline_ns, now_ns);
            core.armed_ns = deadline_ns;
        }
    });
    cpu::disable_interrupts();
    let has_news = with_core(|core| interrupts::count() != core.interrupts_seen);
    if has_news {
        cpu::enable_interrupts();
        return;
    }
    cpu::enable_interrupts_and_halt();
    HALTED_NS.store(
        HALTED_NS.load(Ordering::Relaxed) + (clock::now_ns() - now_ns),
        Ordering::Relaxed,
    );
}

/// Starts scheduling on this core with a first thread; does not return.
///
/// # Panics
/// When there is no memory for the thread.
pub fn start(function: extern "C" fn(usize) -> !, stack_bytes: usize) -> ! {
    let Ok(thread) = spawn(function, 0, stack_bytes, Name::new(b"main")) else {
        panic!("not enough memory for the main thread");
    };
    let first = with_core(|core| core.ready.pop());
    let mut unused = 0;
    cpu::enable_interrupts();
    // SAFETY: the thread was prepared just now; the boot stack is not used again.
    unsafe {
        core_local::set_thread_pointer(thread.thread_pointer());
        drop(thread);
        context::switch(
            &raw mut unused,
            first.map_or(0, |thread| (*thread).context.get()),
        );
    }
    unreachable!("the boot stack is used again");
}

/// Nanoseconds that this core has been halted, and switches of threads.
pub fn statistics() -> (u64, u64) {
    (
        HALTED_NS.load(Ordering::Relaxed),
        SWITCHES.load(Ordering::Relaxed),
    )
}
