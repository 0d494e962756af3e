//! The scheduler of a core: run queue, services, idle.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};

use super::thread::{self, Name, State, Thread, Waiting};
use super::timers::Timers;
use super::{Service, control, preempt, registry};
use crate::arch::interrupts::{Irq, Mark};
use crate::arch::x86_64::core_local::{self, CoreLocal, MAX_CORES};
use crate::arch::x86_64::{context, cpu, local_apic, preemption, tlb};
use crate::arch::{clock, interrupts};
use crate::memory::{OutOfMemory, frames, heap};
use crate::sync::OnceCell;

/// Threads that are ready to run, first come first served.
pub(super) struct RunQueue {
    pub(super) first: *const Thread,
    last: *const Thread,
}

impl RunQueue {
    pub(super) fn push(&mut self, thread: &Thread) {
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

pub(super) struct Core {
    pub(super) ready: RunQueue,
    /// What the core's threads that only poll have seen.
    pub(super) polling: control::Polling,
    timers: Timers,
    services: Vec<&'static dyn Service>,
    /// Services that have something to do only when their line has interrupted.
    handlers: Vec<(Irq, &'static dyn Service)>,
    /// Where it is noted that one of these lines has interrupted.
    handler_marks: Vec<Mark>,
    /// The thread that ended last, until another one runs.
    ended: *const Thread,
    /// The stack that the next thread waits on that is interrupted on one of its own making; that thread takes it from here.
    pub(super) spare_stack: Option<thread::Stack>,
    /// Another core ended the last wait.
    is_with_others: bool,
    /// When the timer will interrupt; `u64::MAX` when it will not.
    armed_ns: u64,
    /// The timer will interrupt before the slice of the running thread is over.
    is_slice_armed: bool,
    interrupts_seen: u64,
    polls: u32,
    /// A service or a timer has something to do that no interrupt tells of.
    is_look_due: bool,
    /// Cores for which threads were made ready and that were not interrupted yet, a bit each.
    to_interrupt: u64,
    /// How many [`InterruptsHeld`] there are.
    holding_interrupts: u32,
    /// What other cores use of this one.
    shared: &'static Shared,
}

/// What all cores may use of a core.
pub(super) struct Shared {
    pub(super) local: &'static CoreLocal,
    /// Threads of this core that other cores made ready: a stack, linked by `Thread::next`.
    inbox: AtomicPtr<Thread>,
    /// Threads that have not ended.
    threads: AtomicUsize,
    /// How long the core has been halted, in ticks of the time-stamp counter.
    halted: AtomicU64,
    /// What the counter was when the core halted, or `u64::MAX`.
    halted_since: AtomicU64,
    switches: AtomicU64,
}

const _: () = assert!(MAX_CORES <= 64, "a word has a bit for each core");

static SHARED: [OnceCell<Shared>; MAX_CORES] = [const { OnceCell::new() }; MAX_CORES];

/// A thread that computes is interrupted after this time, for others and for devices.
const SLICE_NS: u64 = 4_000_000;

/// Ready threads run this often in a row before the services are asked again, even if nothing interrupts.
const SWITCHES_PER_POLL: u32 = 16;

/// The core that runs, looked up once: a thread stays on its core, so what was looked up stays true for as long as it runs.
#[derive(Clone, Copy)]
pub(super) struct Here {
    local: &'static CoreLocal,
    core: *mut Core,
}

impl Here {
    #[inline]
    pub(super) fn find() -> Self {
        let local = core_local::current();
        let core = local.scheduler.load(Ordering::Relaxed).cast();
        Self { local, core }
    }

    #[inline]
    pub(super) fn with<R>(self, work: impl FnOnce(&mut Core) -> R) -> R {
        // SAFETY: `initialise` made it for this core, which alone uses it, never from a handler; no closure calls back into this function.
        work(unsafe { &mut *self.core })
    }

    /// Whether the timer has interrupted, or a deadline was found to be over.
    #[inline]
    fn has_look_due(self) -> bool {
        interrupts::is_timer_pending(self.local) || self.with(|core| core.is_look_due)
    }

    /// Whether there were interrupts that were not looked at.
    #[inline]
    fn has_interrupt(self) -> bool {
        self.with(|core| self.local.interrupts.load(Ordering::Relaxed) != core.interrupts_seen)
    }
}

pub(super) fn with_core<R>(work: impl FnOnce(&mut Core) -> R) -> R {
    Here::find().with(work)
}

/// Makes the scheduler of the core that calls.
fn initialise() -> &'static Shared {
    let local = core_local::current();
    let shared = SHARED[local.index()].set(Shared {
        local,
        inbox: AtomicPtr::new(null_mut()),
        threads: AtomicUsize::new(0),
        halted: AtomicU64::new(0),
        halted_since: AtomicU64::new(u64::MAX),
        switches: AtomicU64::new(0),
    });
    let Ok(shared) = shared else {
        panic!("core {} is started twice", local.index())
    };
    let core = Box::leak(Box::new(Core {
        ready: RunQueue {
            first: null(),
            last: null(),
        },
        polling: control::Polling::new(),
        timers: Timers::new(),
        services: Vec::new(),
        handlers: Vec::new(),
        handler_marks: Vec::new(),
        ended: null(),
        spare_stack: None,
        is_with_others: false,
        armed_ns: u64::MAX,
        is_slice_armed: false,
        interrupts_seen: 0,
        polls: 0,
        is_look_due: false,
        to_interrupt: 0,
        holding_interrupts: 0,
        shared,
    }));
    local
        .scheduler
        .store((&raw mut *core).cast(), Ordering::Relaxed);
    shared
}

impl Core {
    pub(super) fn index(&self) -> usize {
        self.shared.local.index()
    }

    /// The first from `next` on whose line has interrupted; `next` is behind it then.
    #[inline]
    fn next_handler(&self, next: &mut usize) -> Option<&'static dyn Service> {
        let rest = self.handlers.get(*next..)?;
        let place = rest.iter().position(|(irq, _)| irq.is_pending())?;
        *next += place + 1;
        rest.get(place).map(|(_, service)| *service)
    }

    /// What fired, early perhaps, comes no more.
    #[inline]
    fn note_timer(&mut self, local: &CoreLocal) {
        if interrupts::take_timer(local) {
            self.armed_ns = u64::MAX;
            self.is_slice_armed = false;
        }
    }

    /// Has the timer look after the thread that runs next, unless it will anyway: a thread that computes must not keep the core.
    /// The timer is set once in a slice, however many threads come and go.
    ///
    /// Only then does the timer interrupt code of the program: before, nobody has to provide for that.
    #[inline]
    fn arm_slice(here: Here) {
        let is_armed = here.with(|core| {
            core.note_timer(here.local);
            core.is_slice_armed
        });
        if !is_armed && preemption::is_enabled() {
            preempt::provide_stack(here.local);
            here.with(|core| core.begin_slice());
        }
    }

    fn begin_slice(&mut self) {
        self.is_slice_armed = true;
        let now_ns = clock::now_ns();
        if self.armed_ns > now_ns + SLICE_NS {
            self.armed_ns = local_apic::set_timer(now_ns + SLICE_NS, now_ns);
        }
    }
}

/// What is shared of the core where a thread lives.
pub(super) fn shared_of(core: usize) -> &'static Shared {
    match SHARED.get(core).and_then(OnceCell::get) {
        Some(shared) => shared,
        None => panic!("there is no core {core}"),
    }
}

/// Has the scheduler of this core call `service` from now on.
pub fn register_service(service: &'static dyn Service) {
    with_core(|core| {
        core.services.push(service);
        // What interrupted before has nobody served.
        core.is_look_due = true;
    });
}

/// Has the scheduler of this core call a service no more. It may be this service that asks for it.
pub fn remove_service(service: &'static dyn Service) {
    with_core(|core| {
        core.services
            .retain(|one| !core::ptr::addr_eq(*one, service));
        // The one behind it was passed over, where this is asked for amid a round.
        core.is_look_due = true;
    });
}

/// Has the scheduler of this core call `service` from now on whenever `irq` has interrupted: for those who have nothing else to do.
pub fn register_interrupt(irq: Irq, service: &'static dyn Service) {
    with_core(|core| {
        core.handlers.push((irq, service));
        let Mark { word, bits } = irq.mark();
        match core.handler_marks.iter_mut().find(|mark| mark.word == word) {
            Some(mark) => mark.bits |= bits,
            None => core.handler_marks.push(Mark { word, bits }),
        }
        core.is_look_due = true;
    });
}

/// Cores whose schedulers run.
pub fn core_count() -> usize {
    core_local::count()
}

/// The core that calls.
pub fn current_core() -> usize {
    core_local::current().index()
}

/// Threads that have not ended, on a core.
pub fn thread_count(core: usize) -> usize {
    shared_of(core).threads.load(Ordering::Relaxed)
}

/// Threads that have not run yet: they will need memory for their stacks.
static NOT_STARTED: AtomicUsize = AtomicUsize::new(0);

/// Whether there is memory for the first pages of so many stacks, and a part of all memory beyond: a thread that cannot have stack when
/// it needs it is the end of the program, one that cannot be started is an error.
fn has_memory_for(threads: usize) -> bool {
    const START_BYTES: usize = 16 << 10;
    let (free, total) = frames::usage();
    free >= total / 32 + threads.saturating_mul(START_BYTES)
}

/// Starts a thread on a core; it stays there. `function` must begin with [`begin`] and end with [`exit`].
///
/// # Errors
/// When there is no memory for it.
///
/// # Panics
/// When there is no such core.
pub fn spawn_on(
    core: usize,
    function: extern "C" fn(usize) -> !,
    argument: usize,
    stack_bytes: usize,
    name: Name,
) -> Result<Arc<Thread>, OutOfMemory> {
    let shared = shared_of(core);
    let waiting = NOT_STARTED.fetch_add(1, Ordering::Relaxed) + 1;
    let thread = if has_memory_for(waiting) {
        Thread::new(core, function, argument, stack_bytes, name)
    } else {
        Err(OutOfMemory)
    };
    let thread = thread.inspect_err(|_| {
        NOT_STARTED.fetch_sub(1, Ordering::Relaxed);
    })?;
    shared.threads.fetch_add(1, Ordering::Relaxed);
    registry::add(&thread);
    // The core's own reference, given back in `reap`.
    let pointer = Arc::into_raw(thread.clone());
    // SAFETY: from the `Arc` above.
    wake(unsafe { &*pointer });
    let here = Here::find();
    // The running thread may be one that has never waited.
    if core == here.local.index() && shared.threads.load(Ordering::Relaxed) > 1 {
        Core::arm_slice(here);
    }
    Ok(thread)
}

/// Starts a thread on this core; see [`spawn_on`].
///
/// # Errors
/// When there is no memory for it.
pub fn spawn(
    function: extern "C" fn(usize) -> !,
    argument: usize,
    stack_bytes: usize,
    name: Name,
) -> Result<Arc<Thread>, OutOfMemory> {
    spawn_on(current_core(), function, argument, stack_bytes, name)
}

/// Makes a blocked thread ready, on its own core.
#[inline]
pub(super) fn wake(thread: &Thread) {
    if thread.make_ready() {
        enqueue(thread);
    }
}

/// Puts a ready thread into the run queue of its core.
#[inline]
pub(super) fn enqueue(thread: &Thread) {
    let here = Here::find();
    if thread.core() == here.local.index() {
        here.with(|core| core.ready.push(thread));
    } else {
        enqueue_elsewhere(here, thread);
    }
}

#[inline(never)]
fn enqueue_elsewhere(here: Here, thread: &Thread) {
    shared_of(thread.core()).push(thread);
    let is_held = here.with(|core| {
        core.to_interrupt |= 1 << thread.core();
        core.holding_interrupts != 0
    });
    if !is_held {
        interrupt_woken();
    }
}

/// While this lives, cores for which this one has made threads ready are not interrupted; when the last of them ends, they are. Made before
/// a lock is taken under which threads are woken: else those would begin to run, and wait for that lock, while this core still holds it
/// and is busy with the interrupt.
pub(super) struct InterruptsHeld(Option<Here>);

impl InterruptsHeld {
    #[inline]
    pub(super) fn new() -> Self {
        // On the host, tests have no scheduler.
        match cfg!(test) {
            true => Self(None),
            false => Self::on(Here::find()),
        }
    }

    #[inline]
    fn on(here: Here) -> Self {
        here.with(|core| core.holding_interrupts += 1);
        Self(Some(here))
    }
}

impl Drop for InterruptsHeld {
    #[inline]
    fn drop(&mut self) {
        let Self(Some(here)) = self else {
            return;
        };
        let is_due = here.with(|core| {
            core.holding_interrupts = core.holding_interrupts.saturating_sub(1);
            core.holding_interrupts == 0 && core.to_interrupt != 0
        });
        if is_due {
            interrupt_woken();
        }
    }
}

/// Interrupts the cores for which threads were made ready, where they halt.
#[inline(never)]
fn interrupt_woken() {
    let mut cores = with_core(|core| core::mem::take(&mut core.to_interrupt));
    // Either a core sees the thread before it halts, or its mark is seen here.
    fence(Ordering::SeqCst);
    while cores != 0 {
        let local = shared_of(cores.trailing_zeros() as usize).local;
        if local.is_halted.load(Ordering::Relaxed) {
            interrupts::wake(local);
        }
        cores &= cores - 1;
    }
}

impl Shared {
    /// Puts a thread that became ready into the inbox.
    fn push(&self, thread: &Thread) {
        let pointer = (&raw const *thread).cast_mut();
        let mut first = self.inbox.load(Ordering::Relaxed);
        loop {
            thread.next.set(first);
            match self.inbox.compare_exchange_weak(
                first,
                pointer,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }
}

/// Takes over the threads that other cores made ready, in the order in which they were.
fn empty_inbox(here: Here) {
    here.with(|core| {
        if core.shared.inbox.load(Ordering::Relaxed).is_null() {
            return;
        }
        let mut thread: *const Thread = core.shared.inbox.swap(null_mut(), Ordering::Acquire);
        let mut reversed: *const Thread = null();
        while !thread.is_null() {
            // SAFETY: threads in the inbox are alive, and nobody else links them now.
            let next = unsafe { (*thread).next.replace(reversed) };
            reversed = thread;
            thread = next;
        }
        while !reversed.is_null() {
            // SAFETY: as above.
            let next = unsafe { (*reversed).next.get() };
            // SAFETY: as above.
            core.ready.push(unsafe { &*reversed });
            reversed = next;
        }
    });
}

/// Has the timer look after the running thread, which may never wait: devices are to be served all the same.
pub fn begin_slice() {
    if preemption::is_enabled() {
        with_core(|core| {
            core.begin_slice();
            // For the next thread there is more to do, however soon it comes: see [`Core::arm_slice`].
            core.is_slice_armed = false;
        });
    }
}

/// Must be called first in every thread: completes the switch to it.
pub fn begin() {
    NOT_STARTED.fetch_sub(1, Ordering::Relaxed);
    reap();
}

/// Ends the running thread.
pub fn exit(result: usize) -> ! {
    let thread = thread::current();
    registry::remove(thread);
    thread.set_state(State::Ended);
    thread.finish(result);
    with_core(|core| {
        core.shared.threads.fetch_sub(1, Ordering::Relaxed);
        core.ended = thread;
    });
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
    schedule_until(deadline_ns.unwrap_or(u64::MAX));
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
#[inline]
pub(super) fn schedule() {
    schedule_until(u64::MAX);
}

/// The same for a thread that is woken at a deadline (`u64::MAX`: none). That is noted among the timers only when another thread runs meanwhile.
fn schedule_until(mut deadline_ns: u64) {
    let here = Here::find();
    // Nobody holds interrupts back and waits; but a thread that a fault took out of a service could not let them go.
    if here.with(|core| core::mem::take(&mut core.holding_interrupts)) != 0 {
        interrupt_woken();
    }
    let current = thread::current();
    poll_services(here);
    let next = loop {
        match here.with(|core| core.ready.pop()) {
            // SAFETY: threads in the run queue are alive.
            Some(next) if control::may_run(here, unsafe { &*next }) => break next,
            Some(_) => {}
            None => {
                idle(here, deadline_ns);
                // Before the time has come, the timer has not interrupted, and idling does not find it over.
                if here.has_look_due() && clock::now_ns() >= deadline_ns {
                    deadline_ns = u64::MAX;
                    wake(current);
                }
                serve_due(here);
            }
        }
    };
    Core::arm_slice(here);
    if core::ptr::eq(next, current) {
        return;
    }
    if deadline_ns == u64::MAX {
        return switch_to(here, current, next);
    }
    here.with(|core| core.timers.insert(deadline_ns, current));
    switch_to(here, current, next);
    here.with(|core| core.timers.remove(current));
}

/// Makes a thread the running one, as far as others see it; the switch to its context follows.
///
/// # Safety
/// 1. The thread runs next on this core.
unsafe fn enter(thread: &Thread) {
    // SAFETY: the caller's promise (1).
    unsafe { core_local::set_thread_pointer(thread.thread_pointer()) };
    let (start, len_bytes) = thread.stack();
    core_local::current()
        .set_preemptible_stack(start + thread::KERNEL_STACK_BYTES..start + len_bytes);
}

fn switch_to(here: Here, current: *const Thread, next: *const Thread) {
    here.with(|core| {
        let switches = core.shared.switches.load(Ordering::Relaxed);
        core.shared.switches.store(switches + 1, Ordering::Relaxed);
    });
    // SAFETY: `next` was ready, so its context is a saved one; both threads are alive: `current` at least until `reap`.
    unsafe {
        enter(&*next);
        context::switch((*current).context.as_ptr(), (*next).context.get());
    }
    reap();
}

/// Serves what interrupts announced and deadlines that passed.
#[inline]
pub(super) fn poll_services(here: Here) {
    let is_due = here.with(|core| {
        core.polls += 1;
        !core.shared.inbox.load(Ordering::Relaxed).is_null()
            || core.is_look_due
            || core.polls >= SWITCHES_PER_POLL
    });
    if is_due || here.has_interrupt() {
        serve_due(here);
    }
}

/// Takes over what other cores have made ready, and serves if there may be something to serve.
#[inline(never)]
fn serve_due(here: Here) {
    empty_inbox(here);
    let interrupts = here.local.interrupts.load(Ordering::Relaxed);
    let is_due = here.with(|core| {
        let is_due = interrupts != core.interrupts_seen
            || core.is_look_due
            || core.polls >= SWITCHES_PER_POLL;
        if is_due {
            core.polls = 0;
            core.is_look_due = false;
            core.interrupts_seen = interrupts;
        }
        is_due
    });
    if !is_due {
        return;
    }
    let has_timers = here.with(|core| core.timers.next_ns().is_some());
    serve_all(here);
    if has_timers {
        let now_ns = clock::now_ns();
        while let Some(thread) = here.with(|core| core.timers.pop_expired(now_ns)) {
            // SAFETY: a thread with a deadline is alive.
            wake(unsafe { &*thread });
        }
    }
}

/// Asks every service once, and those whose line has interrupted.
fn serve_all(here: Here) {
    here.local.set_serving(true);
    {
        let _held = InterruptsHeld::on(here);
        let mut index = 0;
        while let Some(service) = here.with(|core| core.services.get(index).copied()) {
            service.serve();
            index += 1;
        }
        let is_due = |core: &mut Core| core.handler_marks.iter().any(|one| one.is_set(here.local));
        if here.with(is_due) {
            let mut next = 0;
            while let Some(service) = here.with(|core| core.next_handler(&mut next)) {
                service.serve();
            }
        }
    }
    here.local.set_serving(false);
}

/// As long as a core waits for another one before it halts.
const MOMENT_NS: u64 = 50_000;

/// Waits a moment for a thread that another core makes ready, where one ended the last wait: threads of two cores that wake each other in
/// turn are spared the halt and the interrupt, which cost much more in a virtual machine. Whether one came.
#[inline(never)]
fn wait_for_others(here: Here, deadline_ns: u64) -> bool {
    let until_ns = deadline_ns.min(clock::now_ns() + MOMENT_NS);
    let shared = here.with(|core| core.shared);
    loop {
        if !shared.inbox.load(Ordering::Relaxed).is_null() {
            return true;
        }
        let has_interrupt = here.has_interrupt();
        if has_interrupt || clock::now_ns() >= until_ns {
            return has_interrupt;
        }
        core::hint::spin_loop();
    }
}

/// Sees to it that the timer interrupts at a deadline or before; whether that is still to come.
#[inline(never)]
fn arm(here: Here, deadline_ns: u64) -> bool {
    let now_ns = clock::now_ns();
    let is_to_come = deadline_ns > now_ns;
    if is_to_come {
        here.with(|core| core.armed_ns = local_apic::set_timer(deadline_ns, now_ns));
    }
    is_to_come
}

/// Halts until an interrupt comes, the next deadline or `until_ns` (since boot).
pub(super) fn idle(here: Here, until_ns: u64) {
    let mut deadline_ns = here
        .with(|core| core.timers.next_ns())
        .unwrap_or(u64::MAX)
        .min(until_ns);
    // What services do later wakes no thread that does not wait for the outside.
    let is_asleep = deadline_ns == u64::MAX;
    let mut index = 0;
    while let Some(service) = here.with(|core| core.services.get(index).copied()) {
        deadline_ns = deadline_ns.min(service.next_deadline_ns().unwrap_or(u64::MAX));
        index += 1;
    }
    // A timer that is set to an earlier time has not interrupted yet, so that time is still to come, or its interrupt is not looked at.
    let is_armed = here.with(|core| {
        core.note_timer(here.local);
        deadline_ns >= core.armed_ns
    });
    if !is_armed && !arm(here, deadline_ns) {
        here.with(|core| core.is_look_due = true);
        return;
    }
    if here.with(|core| core.is_with_others) && wait_for_others(here, deadline_ns) {
        return;
    }
    heap::take_back();
    let shared = here.with(|core| core.shared);
    here.local.is_halted.store(true, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    if is_asleep {
        registry::fall_asleep();
    }
    cpu::disable_interrupts();
    if here.has_interrupt() || !shared.inbox.load(Ordering::Relaxed).is_null() {
        cpu::enable_interrupts();
    } else {
        let since = clock::tsc();
        shared.halted_since.store(since, Ordering::Relaxed);
        cpu::enable_interrupts_and_halt();
        let halted = clock::tsc().saturating_sub(since);
        shared.halted_since.store(u64::MAX, Ordering::Relaxed);
        let halted = shared.halted.load(Ordering::Relaxed) + halted;
        shared.halted.store(halted, Ordering::Relaxed);
    }
    if is_asleep {
        registry::wake_up();
    }
    here.with(|core| core.is_with_others = !shared.inbox.load(Ordering::Relaxed).is_null());
    here.local.is_halted.store(false, Ordering::SeqCst);
    tlb::catch_up();
}

/// Starts scheduling on the boot core with a first thread; does not return.
///
/// # Panics
/// When there is no memory for the thread.
pub fn start(function: extern "C" fn(usize) -> !, stack_bytes: usize) -> ! {
    initialise();
    let Ok(thread) = spawn(function, 0, stack_bytes, Name::new(b"main")) else {
        panic!("not enough memory for the main thread");
    };
    drop(thread);
    run_first()
}

/// Makes the scheduler of another core, which calls, with an idle thread of its own; [`run_core`] follows.
///
/// # Panics
/// When there is no memory for the thread.
pub fn prepare_core() {
    extern "C" fn idle_thread(_: usize) -> ! {
        begin();
        let thread = thread::current();
        thread.waiting.set(Waiting::Idle);
        thread.marks.fetch_or(thread::mark::IDLE, Ordering::Relaxed);
        loop {
            prepare_to_block();
            block(None);
        }
    }
    initialise();
    let Ok(thread) = spawn(idle_thread, 0, 0, Name::new(b"idle")) else {
        panic!("not enough memory for a core's first thread");
    };
    drop(thread);
}

/// Starts scheduling on another core.
pub extern "C" fn run_core() -> ! {
    run_first()
}

/// Switches from the stack that the core started on, which is not used again, to its first thread.
fn run_first() -> ! {
    let first = with_core(|core| core.ready.pop());
    let mut unused = 0;
    cpu::enable_interrupts();
    if let Some(first) = first {
        // SAFETY: the thread was prepared just now, is alive and runs now.
        unsafe {
            enter(&*first);
            context::switch(&raw mut unused, (*first).context.get());
        }
    }
    unreachable!("the stack of a core's start is used again");
}

/// What a core has done since its start.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Statistics {
    /// Nanoseconds that the core has been halted.
    pub halted_ns: u64,
    /// Switches from one thread to another.
    pub switches: u64,
    /// Interrupts that it has taken.
    pub interrupts: u64,
    /// Threads of the core that have not ended, its own idle thread among them.
    pub threads: u64,
}

/// What a core has done, or `None` where there is no such core. A core that halts now is counted until now.
pub fn statistics(core: usize) -> Option<Statistics> {
    let shared = SHARED.get(core)?.get()?;
    let since = shared.halted_since.load(Ordering::Relaxed);
    let halted = shared.halted.load(Ordering::Relaxed);
    Some(Statistics {
        halted_ns: clock::ticks_ns(halted + clock::tsc().saturating_sub(since)),
        switches: shared.switches.load(Ordering::Relaxed),
        interrupts: shared.local.interrupts.load(Ordering::Relaxed),
        threads: shared.threads.load(Ordering::Relaxed) as u64,
    })
}
