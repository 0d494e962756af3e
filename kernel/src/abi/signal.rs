//! Signals (POSIX.1-2017, `signal.h`), as far as a machine with one program has them: those that the program sends itself, and the power
//! button, which is an interrupt from the keyboard (`SIGINT`).
//!
//! A signal for the program is handled at once, by the thread that sends it or that the button starts, if that thread does not block it;
//! else it waits until a thread unblocks it or takes it with `sigwait`. Nobody interrupts a thread to handle a signal, so no call
//! ends with `EINTR` but those that wait for signals.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::convert::{c_result, c_status, get, put};
use super::process::getpid;
use super::{program, trap};
use crate::arch::clock;
use crate::error::{Errno, Result};
use crate::scheduler::{self, Thread, WaitQueue, registry, thread};
use crate::sync::SpinLock;

const SIGNALS: usize = 64;
/// Signals that cannot be blocked, handled or ignored.
const UNSTOPPABLE: u64 = bit(libc::SIGKILL) | bit(libc::SIGSTOP);
/// The first two signals above Linux's are taken by glibc for itself.
const FIRST_REAL_TIME: c_int = 34;

/// What is done when a signal comes.
#[derive(Clone, Copy)]
pub(super) struct Action {
    pub(super) handler: usize,
    /// Blocked meanwhile.
    pub(super) mask: u64,
    pub(super) flags: c_int,
}

impl Action {
    /// Whether the program has a function for the signal.
    pub(super) fn is_function(&self) -> bool {
        !matches!(self.handler, libc::SIG_DFL | libc::SIG_IGN)
    }
}

static ACTIONS: SpinLock<[Action; SIGNALS]> = SpinLock::new(
    [Action {
        handler: libc::SIG_DFL,
        mask: 0,
        flags: 0,
    }; SIGNALS],
);

/// Signals for the program that every thread blocks so far.
static PENDING: AtomicU64 = AtomicU64::new(0);

/// How many handlers have run, and those who wait for a handler or a pending signal.
static EVENTS: SpinLock<u64> = SpinLock::new(0);
static WAITING: WaitQueue = WaitQueue::new();

/// Who else wants to know that signals wait: a `fn()`, or null.
static LISTENER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

fn index(signal: c_int) -> Result<usize> {
    // Below 1, it is larger than all.
    let index = (signal as usize).wrapping_sub(1);
    match index < SIGNALS {
        true => Ok(index),
        false => Err(Errno(libc::EINVAL)),
    }
}

/// Which signals wait for the process, which it ignores, and for which it has handlers: a bit for each.
pub(super) fn sets() -> [u64; 3] {
    let actions = ACTIONS.lock();
    let set = |has: fn(&Action) -> bool| {
        let all = actions.iter().enumerate();
        all.filter(|(_, action)| has(action))
            .fold(0, |set, (index, _)| set | 1 << index)
    };
    [
        PENDING.load(Ordering::Relaxed),
        set(|action| action.handler == libc::SIG_IGN),
        set(Action::is_function),
    ]
}

fn blocked() -> &'static AtomicU64 {
    &thread::current().signals.blocked
}

/// Those that threads wait for with `sigwait`; several may wait for the same.
static AWAITED: SpinLock<[u32; SIGNALS]> = SpinLock::new([0; SIGNALS]);

fn is_awaited(index: usize) -> bool {
    AWAITED.lock()[index] != 0
}

/// Whether the program handles a signal by a function of its own, or waits for it.
pub(super) fn is_wanted(signal: c_int) -> bool {
    index(signal).is_ok_and(|index| {
        let handler = ACTIONS.lock()[index].handler;
        handler != libc::SIG_DFL && handler != libc::SIG_IGN || is_awaited(index)
    })
}

/// When a handler was set last, in nanoseconds since boot.
static SET_NS: AtomicU64 = AtomicU64::new(0);

/// How long a handler is let alone after it was set.
const SETTLING_NS: u64 = 100_000_000;

/// Waits until a handler that has just been set does what it is there for. Crates that hand signals on (signal-hook, on which tokio
/// stands) first set one and then note what it shall do; a signal between the two is forgotten, and a power button is pressed once.
pub(super) fn let_handlers_settle() {
    let settled_ns = SET_NS.load(Ordering::Relaxed).saturating_add(SETTLING_NS);
    if clock::now_ns() < settled_ns {
        scheduler::sleep_until(settled_ns);
    }
}

/// Sends the program a signal that comes from no thread of its own, on a thread that is there for nothing else.
pub(super) fn send_from_outside(signal: c_int) -> Result<()> {
    let index = index(signal)?;
    let signal_bit = 1 << index;
    let is_blocked = is_awaited(index);
    blocked().store(if is_blocked { signal_bit } else { 0 }, Ordering::Relaxed);
    send(signal)
}

/// Sends the program a signal.
pub(super) fn send(signal: c_int) -> Result<()> {
    let signal_bit = 1 << index(signal)?;
    if blocked().load(Ordering::Relaxed) & signal_bit & !UNSTOPPABLE == 0 {
        handle(signal);
    } else {
        PENDING.fetch_or(signal_bit, Ordering::Relaxed);
        tell_waiting();
    }
    Ok(())
}

/// Sends a thread a signal.
pub(super) fn send_to(target: &Thread, signal: c_int) -> Result<()> {
    let signal_bit = 1 << index(signal)?;
    if core::ptr::eq(target, thread::current()) {
        let is_blocked = blocked().load(Ordering::Relaxed) & signal_bit & !UNSTOPPABLE != 0;
        if !is_blocked {
            handle(signal);
            return Ok(());
        }
    }
    // Another thread handles it when it next looks at its signals.
    target
        .signals
        .pending
        .fetch_or(signal_bit, Ordering::Relaxed);
    tell_waiting();
    Ok(())
}

fn tell_waiting() {
    *EVENTS.lock() += 1;
    WAITING.wake_all();
    let listener = LISTENER.load(Ordering::Acquire);
    if !listener.is_null() {
        // SAFETY: only `listen` stores here.
        unsafe { core::mem::transmute::<*mut (), fn()>(listener)() };
    }
}

/// Has `function` called whenever signals have begun to wait.
pub(super) fn listen(function: fn()) {
    // Else the compiler takes the only function that is ever given into every program.
    LISTENER.store(
        core::hint::black_box(function as *mut ()),
        Ordering::Release,
    );
}

/// Has signals wait for who asks, as `sigwait` does; or no longer.
pub(super) fn await_signals(set: u64, is_begun: bool) {
    let mut awaited = AWAITED.lock();
    for (index, count) in awaited.iter_mut().enumerate() {
        if set >> index & 1 != 0 {
            *count = count.wrapping_add(if is_begun { 1 } else { u32::MAX });
        }
    }
}

/// Takes one of the signals that wait out of a set, if there is one.
pub(super) fn take_waiting(set: u64) -> Option<c_int> {
    for pending in [&thread::current().signals.pending, &PENDING] {
        let wanted = pending.load(Ordering::Relaxed) & set;
        let lowest = wanted & wanted.wrapping_neg();
        if lowest != 0 && pending.fetch_and(!lowest, Ordering::Relaxed) & lowest != 0 {
            return Some(lowest.trailing_zeros() as c_int + 1);
        }
    }
    None
}

/// Sends the program a signal from a thread that is there for nothing else, with what a handler is told of it. It waits if somebody waits
/// for it, or if the main thread blocks it.
pub(super) fn send_told(info: &mut libc::siginfo_t) -> Result<()> {
    let signal = info.si_signo;
    let signal_bit = 1 << index(signal)?;
    let mut main_blocks = false;
    registry::for_each_thread(|thread| {
        let blocked = thread.signals.blocked.load(Ordering::Relaxed);
        main_blocks |= thread.is_main() && blocked & signal_bit != 0;
    });
    if main_blocks || is_awaited(index(signal)?) {
        PENDING.fetch_or(signal_bit, Ordering::Relaxed);
        tell_waiting();
        return Ok(());
    }
    blocked().store(0, Ordering::Relaxed);
    match take_action(signal) {
        Some(action) if action.is_function() => {
            // SAFETY: a structure of integers and pointers, for which zeros are values.
            let mut context = unsafe { core::mem::zeroed() };
            run(action, info, &mut context);
            if trap::is_declined(&context) {
                by_default(signal);
            }
            Ok(())
        }
        _ => send(signal),
    }
}

/// What is to be done about a signal now. One that is to be done once is forgotten.
pub(super) fn take_action(signal: c_int) -> Option<Action> {
    let index = index(signal).ok()?;
    let mut actions = ACTIONS.lock();
    let action = actions[index];
    if action.flags & libc::SA_RESETHAND != 0 {
        actions[index].handler = libc::SIG_DFL;
    }
    Some(action)
}

/// Whether the running thread blocks a signal.
pub(super) fn is_blocked(signal: c_int) -> bool {
    blocked().load(Ordering::Relaxed) & bit(signal) != 0
}

/// Does what is to be done about a signal, on this thread.
fn handle(signal: c_int) {
    let Some(action) = take_action(signal) else {
        return;
    };
    match action.handler {
        libc::SIG_IGN => return,
        libc::SIG_DFL => return by_default(signal),
        _ => {}
    }
    // SAFETY: a structure of integers and pointers, for which zeros are values.
    let mut context: libc::ucontext_t = unsafe { core::mem::zeroed() };
    run(action, &mut info_of(signal), &mut context);
    if trap::is_declined(&context) {
        by_default(signal);
    }
}

/// Calls the program's function for a signal, with what it wants to be blocked meanwhile.
pub(super) fn run(action: Action, info: &mut libc::siginfo_t, context: &mut libc::ucontext_t) {
    let signal = info.si_signo;
    let itself = if action.flags & libc::SA_NODEFER == 0 {
        bit(signal)
    } else {
        0
    };
    let before = blocked().fetch_or((action.mask | itself) & !UNSTOPPABLE, Ordering::Relaxed);
    let errno = super::errno::get();
    // SAFETY: the program gave the function for signals. One that takes less arguments leaves the others alone.
    unsafe {
        let handler = core::mem::transmute::<
            usize,
            extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void),
        >(action.handler);
        handler(signal, info, (&raw mut *context).cast());
    }
    super::errno::set(Errno(errno));
    set_blocked(before);
    tell_waiting();
}

/// The default action.
pub(super) fn by_default(signal: c_int) {
    match signal {
        // Nothing, or stopping and continuing, which a single program cannot.
        libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH | libc::SIGCONT => {}
        libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {}
        libc::SIGABRT => program::abort(),
        _ => program::_exit(128 + signal),
    }
}

/// Replaces the running thread's blocked signals, and handles those that waited and are not blocked any more.
fn set_blocked(new: u64) {
    blocked().store(new & !UNSTOPPABLE, Ordering::Relaxed);
    for pending in [&thread::current().signals.pending, &PENDING] {
        loop {
            let free = pending.load(Ordering::Relaxed) & !blocked().load(Ordering::Relaxed);
            if free == 0 {
                break;
            }
            let lowest = free & free.wrapping_neg();
            if pending.fetch_and(!lowest, Ordering::Relaxed) & lowest != 0 {
                handle(lowest.trailing_zeros() as c_int + 1);
            }
        }
    }
}

/// Puts the blocked signals back as they were, when dropped.
pub(super) struct BlockedMeanwhile(u64);

/// Blocks just these signals until the result is dropped.
pub(super) fn blocked_meanwhile(set: u64) -> BlockedMeanwhile {
    let before = blocked().load(Ordering::Relaxed);
    set_blocked(set);
    BlockedMeanwhile(before)
}

impl Drop for BlockedMeanwhile {
    fn drop(&mut self) {
        set_blocked(self.0);
    }
}

/// The result of a write; one that found nobody to read sends a signal besides.
pub(super) fn with_broken_pipe(result: Result<usize>) -> Result<usize> {
    if result == Err(Errno(libc::EPIPE)) {
        send(libc::SIGPIPE)?;
    }
    result
}

pub(super) fn bits_of(set: &libc::sigset_t) -> u64 {
    // SAFETY: the set is an array of words, of which the first holds all signals there are.
    unsafe { (&raw const *set).cast::<u64>().read() }
}

/// # Safety
/// 1. `set` is null or can be written.
unsafe fn put_bits(set: *mut libc::sigset_t, bits: u64) -> Result<()> {
    // SAFETY: an array of words, for which zeros are values.
    let mut value: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: the first word of the set; and (1).
    unsafe {
        (&raw mut value).cast::<u64>().write(bits);
        put(set, value)
    }
}

/// Whether there is such a signal.
pub(super) fn check(signal: c_int) -> Result<()> {
    index(signal).map(drop)
}

/// What there is to tell of a signal that the program sent.
pub(super) fn info_of(signal: c_int) -> libc::siginfo_t {
    // SAFETY: a structure of integers and pointers, for which zeros are values.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    info.si_signo = signal;
    info.si_code = libc::SI_USER;
    // SAFETY: the number of the sender is behind three numbers and what aligns the rest; the user, who is 0, comes after it.
    unsafe { (&raw mut info).cast::<c_int>().add(4).write(getpid()) };
    info
}

/// Sets what is done when a signal comes, if there is something new; what was.
pub(super) fn set_action(signal: c_int, new: Option<Action>) -> Result<Action> {
    let index = index(signal)?;
    let Some(new) = new.map(trap::given) else {
        return Ok(trap::shown(signal, ACTIONS.lock()[index]));
    };
    if UNSTOPPABLE & 1 << index != 0 {
        return Err(Errno(libc::EINVAL));
    }
    if new.is_function() {
        SET_NS.store(clock::now_ns(), Ordering::Relaxed);
    }
    let before = core::mem::replace(&mut ACTIONS.lock()[index], new);
    trap::expect(signal, new.handler);
    Ok(trap::shown(signal, before))
}

/// Sets what is done when a signal comes, and tells what was.
///
/// # Safety
/// `new` is null or can be read, `old` is null or can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    c_status((|| {
        // SAFETY: null, or the caller's.
        let new = unsafe { get(new) }.map(|new| Action {
            handler: new.sa_sigaction,
            mask: bits_of(&new.sa_mask),
            flags: new.sa_flags,
        });
        let before = set_action(signal, new)?;
        if old.is_null() {
            return Ok(());
        }
        // SAFETY: a structure of integers and pointers, for which zeros are values.
        let mut value: libc::sigaction = unsafe { core::mem::zeroed() };
        value.sa_sigaction = before.handler;
        value.sa_flags = before.flags;
        // SAFETY: the set is a local variable; `old` is the caller's.
        unsafe {
            put_bits(&mut value.sa_mask, before.mask)?;
            put(old, value)
        }
    })())
}

/// Sets what is done when a signal comes; returns what was (`SIG_ERR` if there is no such signal).
#[unsafe(no_mangle)]
pub(super) extern "C" fn signal(signal: c_int, handler: usize) -> usize {
    let action = Action {
        handler,
        mask: 0,
        flags: libc::SA_RESTART,
    };
    match set_action(signal, Some(action)) {
        Ok(before) => before.handler,
        Err(error) => {
            super::errno::set(error);
            libc::SIG_ERR
        }
    }
}

/// Notes a stack for handlers. They run on the stack of the thread that handles the signal, all the same; a stack that
/// overflows is reported by the kernel.
///
/// # Safety
/// `new` is null or can be read, `old` is null or can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigaltstack(
    new: *const libc::stack_t,
    old: *mut libc::stack_t,
) -> c_int {
    c_status((|| {
        // SAFETY: null, or the caller's.
        let new = unsafe { get(new) };
        let new = match new {
            Some(new) if new.ss_flags & libc::SS_DISABLE != 0 => Some((0, 0)),
            Some(new) if new.ss_size < libc::MINSIGSTKSZ => return Err(Errno(libc::ENOMEM)),
            Some(new) => Some((new.ss_sp as usize, new.ss_size)),
            None => None,
        };
        let mut stack = thread::current().signals.alternate_stack.lock();
        let before = *stack;
        *stack = new.unwrap_or(before);
        drop(stack);
        if old.is_null() {
            return Ok(());
        }
        let value = libc::stack_t {
            ss_sp: before.0 as *mut c_void,
            ss_flags: if before.1 == 0 { libc::SS_DISABLE } else { 0 },
            ss_size: before.1,
        };
        // SAFETY: not null, and the caller's.
        unsafe { put(old, value) }
    })())
}

/// Changes the signals that the running thread blocks, if there is a set; which it blocked before.
pub(super) fn change_blocked(how: c_int, set: Option<u64>) -> Result<u64> {
    let before = blocked().load(Ordering::Relaxed);
    if let Some(set) = set {
        set_blocked(match how {
            libc::SIG_BLOCK => before | set,
            libc::SIG_UNBLOCK => before & !set,
            libc::SIG_SETMASK => set,
            _ => return Err(Errno(libc::EINVAL)),
        });
    }
    Ok(before)
}

/// Changes the signals that the running thread blocks; returns an error number.
///
/// # Safety
/// `new` is null or can be read, `old` is null or can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_sigmask(
    how: c_int,
    new: *const libc::sigset_t,
    old: *mut libc::sigset_t,
) -> c_int {
    // SAFETY: null, or the caller's.
    let new = unsafe { get(new) };
    match change_blocked(how, new.map(|new| bits_of(&new))) {
        // SAFETY: not null, and the caller's.
        Ok(before) if !old.is_null() => match unsafe { put_bits(old, before) } {
            Ok(()) => 0,
            Err(error) => error.0,
        },
        Ok(_) => 0,
        Err(error) => error.0,
    }
}

/// As [`pthread_sigmask`], with the error in `errno`.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigprocmask(
    how: c_int,
    new: *const libc::sigset_t,
    old: *mut libc::sigset_t,
) -> c_int {
    // SAFETY: the same contract.
    match unsafe { pthread_sigmask(how, new, old) } {
        0 => 0,
        error => c_result(Err(Errno(error))),
    }
}

/// The signals for the running thread that wait until they are not blocked.
pub(super) fn pending() -> u64 {
    let own = thread::current().signals.pending.load(Ordering::Relaxed);
    own | PENDING.load(Ordering::Relaxed)
}

/// Tells the signals that wait until they are not blocked.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigpending(out: *mut libc::sigset_t) -> c_int {
    // SAFETY: the caller's.
    c_status(unsafe { put_bits(out, pending()) })
}

/// Makes a set empty.
///
/// # Safety
/// `set` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigemptyset(set: *mut libc::sigset_t) -> c_int {
    // SAFETY: the caller's.
    c_status(unsafe { put_bits(set, 0) })
}

/// Makes a set full.
///
/// # Safety
/// `set` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigfillset(set: *mut libc::sigset_t) -> c_int {
    // SAFETY: the caller's.
    c_status(unsafe { put_bits(set, u64::MAX) })
}

/// Applies `change` to a set and a signal's bit.
///
/// # Safety
/// 1. `set` can be read and written.
unsafe fn change_set(
    set: *mut libc::sigset_t,
    signal: c_int,
    change: impl FnOnce(u64, u64) -> u64,
) -> c_int {
    c_status(index(signal).and_then(|index| {
        // SAFETY: null, or the caller's (1).
        let bits = bits_of(&unsafe { get(set) }.ok_or(Errno(libc::EFAULT))?);
        // SAFETY: as above.
        unsafe { put_bits(set, change(bits, 1 << index)) }
    }))
}

/// Adds a signal to a set.
///
/// # Safety
/// `set` can be read and written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigaddset(set: *mut libc::sigset_t, signal: c_int) -> c_int {
    // SAFETY: the same contract.
    unsafe { change_set(set, signal, |bits, bit| bits | bit) }
}

/// Takes a signal out of a set.
///
/// # Safety
/// `set` can be read and written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigdelset(set: *mut libc::sigset_t, signal: c_int) -> c_int {
    // SAFETY: the same contract.
    unsafe { change_set(set, signal, |bits, bit| bits & !bit) }
}

/// Whether a signal is in a set: 1 or 0.
///
/// # Safety
/// `set` can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigismember(set: *const libc::sigset_t, signal: c_int) -> c_int {
    c_result(index(signal).and_then(|index| {
        // SAFETY: null, or the caller's.
        let set = unsafe { get(set) }.ok_or(Errno(libc::EFAULT))?;
        Ok((bits_of(&set) >> index & 1) as c_int)
    }))
}

/// Sends the running thread a signal.
#[unsafe(no_mangle)]
pub(super) extern "C" fn raise(signal: c_int) -> c_int {
    c_status(send_to(thread::current(), signal))
}

/// Sends a process a signal: the program is process 1 and the only one. Signal 0 only asks whether it is there.
#[unsafe(no_mangle)]
pub(super) extern "C" fn kill(process: libc::pid_t, signal: c_int) -> c_int {
    c_status(match (process, signal) {
        (-1..=1, 0) => Ok(()),
        (-1..=1, _) => send(signal),
        _ => index(signal.max(1)).and(Err(Errno(libc::ESRCH))),
    })
}

/// Sends a group of processes a signal: the program's own is the only one.
#[unsafe(no_mangle)]
pub(super) extern "C" fn killpg(group: libc::pid_t, signal: c_int) -> c_int {
    kill(group, signal)
}

/// Sends a thread a signal; returns an error number. Another thread handles it when it next changes what it blocks, or waits for signals.
///
/// # Safety
/// `handle` is that of a thread that was not joined.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_kill(handle: libc::pthread_t, signal: c_int) -> c_int {
    if signal == 0 {
        return 0;
    }
    // SAFETY: a live handle.
    match send_to(unsafe { &*(handle as *const Thread) }, signal) {
        Ok(()) => 0,
        Err(error) => error.0,
    }
}

/// How many handlers have run, and signals have begun to wait.
pub(super) fn signals_run() -> u64 {
    *EVENTS.lock()
}

/// Sleeps until a handler has run since [`signals_run`] was `before`.
pub(super) fn pause_since(before: u64) {
    let mut events = EVENTS.lock();
    while *events == before {
        (events, _) = WAITING.wait(events, None);
    }
    drop(events);
    set_blocked(blocked().load(Ordering::Relaxed));
}

/// Sleeps until a handler has run.
#[unsafe(no_mangle)]
pub(super) extern "C" fn pause() -> c_int {
    pause_since(signals_run());
    c_result(Err(Errno(libc::EINTR)))
}

/// Sleeps until a handler has run, with just these signals blocked meanwhile.
///
/// # Safety
/// `mask` is null or can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigsuspend(mask: *const libc::sigset_t) -> c_int {
    // SAFETY: null, or the caller's.
    let Some(mask) = (unsafe { get(mask) }) else {
        return c_result(Err(Errno(libc::EFAULT)));
    };
    let before = signals_run();
    let _mask = blocked_meanwhile(bits_of(&mask));
    pause_since(before);
    c_result(Err(Errno(libc::EINTR)))
}

/// Takes a pending signal out of a set; waits for one until the deadline.
fn take_pending(set: u64, deadline_ns: Option<u64>) -> Result<c_int> {
    await_signals(set, true);
    let result = wait_for_pending(set, deadline_ns);
    await_signals(set, false);
    result
}

/// As [`take_pending`], until a timeout.
pub(super) fn take_pending_until(set: u64, timeout: Option<libc::timespec>) -> Result<c_int> {
    let timeout_ns = timeout.map(|time| super::clock::nanoseconds(&time));
    let deadline_ns = timeout_ns
        .transpose()?
        .map(|ns| clock::now_ns().saturating_add(ns));
    take_pending(set, deadline_ns)
}

fn wait_for_pending(set: u64, deadline_ns: Option<u64>) -> Result<c_int> {
    let mut events = EVENTS.lock();
    loop {
        if let Some(signal) = take_waiting(set) {
            return Ok(signal);
        }
        if deadline_ns.is_some_and(|deadline_ns| deadline_ns <= clock::now_ns()) {
            return Err(Errno(libc::EAGAIN));
        }
        (events, _) = WAITING.wait(events, deadline_ns);
    }
}

/// Waits for one of the signals of a set, which the caller blocks, and takes it; returns an error number.
///
/// # Safety
/// `set` can be read, `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigwait(set: *const libc::sigset_t, out: *mut c_int) -> c_int {
    // SAFETY: null, or the caller's.
    let Some(set) = (unsafe { get(set) }) else {
        return libc::EFAULT;
    };
    // SAFETY: null, or the caller's.
    match take_pending(bits_of(&set), None).and_then(|signal| unsafe { put(out, signal) }) {
        Ok(()) => 0,
        Err(error) => error.0,
    }
}

/// As [`sigwait`], until a timeout; returns the signal.
///
/// # Safety
/// `set` can be read, `info` is null or can be written, `timeout` is null or can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigtimedwait(
    set: *const libc::sigset_t,
    info: *mut libc::siginfo_t,
    timeout: *const libc::timespec,
) -> c_int {
    c_result((|| {
        // SAFETY: null, or the caller's.
        let (set, timeout) = unsafe { (get(set), get(timeout)) };
        let set = bits_of(&set.ok_or(Errno(libc::EFAULT))?);
        let signal = take_pending_until(set, timeout)?;
        if !info.is_null() {
            // SAFETY: not null, and the caller's.
            unsafe { put(info, info_of(signal)) }?;
        }
        Ok(signal)
    })())
}

/// As [`sigtimedwait`] without a timeout.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigwaitinfo(
    set: *const libc::sigset_t,
    info: *mut libc::siginfo_t,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { sigtimedwait(set, info, core::ptr::null()) }
}

/// The first real-time signal that programs may use.
#[unsafe(no_mangle)]
pub(super) extern "C" fn __libc_current_sigrtmin() -> c_int {
    FIRST_REAL_TIME
}

/// The last real-time signal.
#[unsafe(no_mangle)]
pub(super) extern "C" fn __libc_current_sigrtmax() -> c_int {
    SIGNALS as c_int
}

/// Sends a process a signal with a value, which is dropped: handlers are told of the signal alone.
#[unsafe(no_mangle)]
extern "C" fn sigqueue(process: libc::pid_t, signal: c_int, _value: libc::sigval) -> c_int {
    kill(process, signal)
}

/// `tgkill` of the kernel as C has it: a thread of a process, by its number.
#[unsafe(no_mangle)]
extern "C" fn tgkill(process: libc::pid_t, id: libc::pid_t, signal: c_int) -> c_int {
    c_status(super::signal_calls::tgkill(process, id, signal).map(drop))
}

/// Has a handler's calls begin anew, or end with `EINTR`: no call ends so.
#[unsafe(no_mangle)]
extern "C" fn siginterrupt(signal: c_int, _interrupts: c_int) -> c_int {
    c_status(check(signal))
}
