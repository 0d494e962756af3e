//! What threads ask of other threads and of the scheduler: suspension, kills, the hints of threads that poll.
//!
//! A suspended thread is taken out when its turn comes, so a wake-up is not lost but kept until it is resumed. A kill is a mark that
//! the thread finds at its next wait of the kind that can be killed; the crate `toro` unwinds the thread from there. Threads that only
//! poll say so when they give their core away: when all that are ready have polled in vain, the core halts.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use super::core::{
    Here, block, enqueue, idle, poll_services, prepare_to_block, schedule, shared_of, wake,
    with_core, yield_now,
};
use super::thread::{self, Thread, Waiting, mark};
use crate::arch::{clock, interrupts};

/// The thread has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended;

/// The running thread shall end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Killed;

fn alive(thread: &Thread) -> Result<(), Ended> {
    if thread.has_ended() {
        Err(Ended)
    } else {
        Ok(())
    }
}

/// Keeps a thread from running: at once if it waits, else from its next wait or yield on. The running thread returns from here when
/// it is resumed.
///
/// # Errors
/// When the thread has ended.
pub fn suspend(thread: &Thread) -> Result<(), Ended> {
    alive(thread)?;
    thread.marks.fetch_or(mark::SUSPENDED, Ordering::AcqRel);
    if core::ptr::eq(thread, thread::current()) {
        yield_now();
    }
    Ok(())
}

/// Lets a suspended thread run again; does nothing to others.
///
/// # Errors
/// When the thread has ended.
pub fn resume(thread: &Thread) -> Result<(), Ended> {
    alive(thread)?;
    let before = thread
        .marks
        .fetch_and(!(mark::SUSPENDED | mark::HELD), Ordering::AcqRel);
    if before & mark::HELD != 0 {
        enqueue(thread);
    }
    Ok(())
}

/// Marks a thread as one that shall end, and wakes it if it waits in a way that this ends. A suspended thread is resumed.
///
/// # Errors
/// When the thread has ended.
pub fn kill(thread: &Thread) -> Result<(), Ended> {
    alive(thread)?;
    let before = thread.marks.fetch_or(mark::KILLED, Ordering::SeqCst);
    if before & mark::KILLABLE != 0 {
        wake(thread);
    }
    // On another core it may have ended by now.
    let _ = resume(thread);
    Ok(())
}

/// Whether the running thread shall end.
pub fn is_killed() -> bool {
    thread::current().marks.load(Ordering::Relaxed) & mark::KILLED != 0
}

/// As [`is_killed`], and forgets it.
pub fn take_kill() -> bool {
    is_killed() && {
        let marks = &thread::current().marks;
        marks.fetch_and(!mark::KILLED, Ordering::Relaxed);
        true
    }
}

/// The running thread has begun a wait ([`prepare_to_block`]) that a kill ends.
pub(super) fn begin_killable() {
    let thread = thread::current();
    let before = thread.marks.fetch_or(mark::KILLABLE, Ordering::SeqCst);
    // A kill that came before did not see that the thread can be woken.
    if before & mark::KILLED != 0 {
        wake(thread);
    }
}

/// The wait is over.
pub(super) fn end_killable() -> Result<(), Killed> {
    let marks = &thread::current().marks;
    let before = marks.fetch_and(!mark::KILLABLE, Ordering::AcqRel);
    if before & mark::KILLED == 0 {
        Ok(())
    } else {
        Err(Killed)
    }
}

/// Sleeps until a time since boot, or for good.
///
/// # Errors
/// When the thread shall end.
pub fn sleep_killable(deadline_ns: Option<u64>) -> Result<(), Killed> {
    loop {
        thread::current().waiting.set(Waiting::Nothing);
        prepare_to_block();
        begin_killable();
        block(deadline_ns);
        end_killable()?;
        if deadline_ns.is_some_and(|deadline_ns| clock::now_ns() >= deadline_ns) {
            return Ok(());
        }
    }
}

/// Whether a thread that was taken from the run queue may run; if not, it is held until it is resumed.
#[inline]
pub(super) fn may_run(here: Here, thread: &Thread) -> bool {
    let marks = thread.marks.load(Ordering::Relaxed);
    if marks & mark::POLLING == 0 {
        // Somebody works: what others poll for may come.
        here.with(|core| core.polling.in_vain = 0);
    }
    marks & mark::SUSPENDED == 0 || !hold(thread)
}

/// Holds a thread if it is suspended still; whether it is held.
#[cold]
fn hold(thread: &Thread) -> bool {
    let hold = |marks| (marks & mark::SUSPENDED != 0).then_some(marks | mark::HELD);
    thread
        .marks
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, hold)
        .is_ok()
}

/// What the threads of a core that only poll have seen.
pub(super) struct Polling {
    /// How many polls in a row found nothing, while no other thread ran.
    in_vain: usize,
    /// [`WORK`] before the first of them.
    seen_work: u64,
}

impl Polling {
    pub(super) const fn new() -> Self {
        Self {
            in_vain: 0,
            seen_work: 0,
        }
    }
}

/// How often threads have said that they did work.
static WORK: AtomicU64 = AtomicU64::new(0);
/// Cores that halt, or are about to, because their threads only poll; one bit each.
static HALTED_CORES: AtomicU64 = AtomicU64::new(0);
/// A core whose threads only poll looks again after this time, for what nobody announced.
const MAX_HALT_NS: u64 = 10_000_000;

/// The running thread polled and found nothing: gives the core to others. When all ready threads of the core have polled in vain, the
/// core halts until an interrupt comes, somebody calls [`worked`], or 10 ms have passed.
pub fn polling() {
    let thread = thread::current();
    thread.marks.fetch_or(mark::POLLING, Ordering::Relaxed);
    poll_services(Here::find());
    let should_halt = with_core(|core| {
        if core.polling.in_vain == 0 {
            // Everybody polls once more after this was read.
            core.polling.seen_work = WORK.load(Ordering::SeqCst);
        }
        core.polling.in_vain += 1;
        let mut others = 0;
        let mut next = core.ready.first;
        while !next.is_null() {
            // SAFETY: threads in the run queue are alive, and this core alone links them.
            let ready = unsafe { &*next };
            if ready.marks.load(Ordering::Relaxed) & (mark::POLLING | mark::SUSPENDED) == 0 {
                return false;
            }
            others += 1;
            next = ready.next.get();
        }
        core.polling.in_vain > others + 1
    });
    if should_halt {
        let (core, seen_work) = with_core(|core| {
            core.polling.in_vain = 0;
            (core.index(), core.polling.seen_work)
        });
        HALTED_CORES.fetch_or(1 << core, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if WORK.load(Ordering::SeqCst) == seen_work {
            idle(Here::find(), clock::now_ns() + MAX_HALT_NS);
        }
        HALTED_CORES.fetch_and(!(1 << core), Ordering::SeqCst);
    }
    with_core(|core| core.ready.push(thread));
    schedule();
    thread.marks.fetch_and(!mark::POLLING, Ordering::Relaxed);
}

/// The running thread did work: threads that poll look again, on this core and on those that halt because of it.
pub fn worked() {
    WORK.fetch_add(1, Ordering::SeqCst);
    with_core(|core| core.polling.in_vain = 0);
    let mut halted = HALTED_CORES.load(Ordering::SeqCst);
    while halted != 0 {
        let core = halted.trailing_zeros() as usize;
        halted &= halted - 1;
        interrupts::wake(shared_of(core).local);
    }
}
