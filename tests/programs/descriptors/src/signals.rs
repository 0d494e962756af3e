//! Signals that a program sends itself.

use crate::{check, show};
use std::mem::zeroed;
use std::sync::atomic::{AtomicI32, Ordering};

static LAST: AtomicI32 = AtomicI32::new(0);
static COUNT: AtomicI32 = AtomicI32::new(0);

extern "C" fn handler(signal: i32) {
    LAST.store(signal, Ordering::Relaxed);
    COUNT.fetch_add(1, Ordering::Relaxed);
}

static SENDER: AtomicI32 = AtomicI32::new(0);

extern "C" fn told(_: i32, info: *const libc::siginfo_t, _: *const ()) {
    // SAFETY: the handler is told of the signal.
    SENDER.store(unsafe { (*info).si_pid() }, Ordering::Relaxed);
}

/// Whether a handler, and who waits, are told that the program itself sent a signal.
fn senders() -> (bool, bool) {
    // SAFETY: no pointers.
    let own = unsafe { libc::getpid() };
    let told = told as extern "C" fn(i32, *const libc::siginfo_t, *const ()) as usize;
    handle(libc::SIGUSR2, told, libc::SA_SIGINFO).expect("a handler");
    // SAFETY: no pointers.
    unsafe { libc::raise(libc::SIGUSR2) };
    let is_told = SENDER.load(Ordering::Relaxed) == own;
    block(libc::SIG_BLOCK, &[libc::SIGUSR2]);
    // SAFETY: both are local variables.
    let waited = unsafe {
        libc::kill(own, libc::SIGUSR2);
        let mut info = zeroed();
        libc::sigwaitinfo(&set_of(&[libc::SIGUSR2]), &mut info);
        info.si_pid() == own
    };
    block(libc::SIG_UNBLOCK, &[libc::SIGUSR2]);
    (is_told, waited)
}

fn handle(signal: i32, handler: usize, flags: i32) -> Result<i32, i32> {
    // SAFETY: zeros are an action; the handler only stores numbers.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        check(libc::sigaction(signal, &action, std::ptr::null_mut()))
    }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: zeros are a set, and it is a local variable.
    unsafe {
        let mut set = zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

fn block(how: i32, signals: &[i32]) -> i32 {
    // SAFETY: the set is a local variable, and the old one is not wanted.
    unsafe { libc::pthread_sigmask(how, &set_of(signals), std::ptr::null_mut()) }
}

fn seen() -> (i32, i32) {
    (LAST.load(Ordering::Relaxed), COUNT.load(Ordering::Relaxed))
}

pub(crate) fn steps() {
    let handler = handler as extern "C" fn(i32) as usize;
    show("handled", handle(libc::SIGUSR1, handler, 0));
    show("by the program", senders());
    // SAFETY: no pointers.
    show("raised", check(unsafe { libc::raise(libc::SIGUSR1) }));
    show("seen at once", seen() == (libc::SIGUSR1, 1));
    // SAFETY: as above.
    let own = || unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
    show("sent to the process", check(own()));
    show("seen twice", seen().1);
    show("blocked", block(libc::SIG_BLOCK, &[libc::SIGUSR1]));
    show("sent while blocked", check(own()));
    show("not seen yet", seen().1);
    // SAFETY: the set is a local variable.
    let is_pending = unsafe {
        let mut set = zeroed();
        libc::sigpending(&raw mut set);
        libc::sigismember(&raw const set, libc::SIGUSR1)
    };
    show("but pending", is_pending);
    show("unblocked", block(libc::SIG_UNBLOCK, &[libc::SIGUSR1]));
    show("seen now", seen().1);
    show(
        "only once",
        handle(libc::SIGUSR2, handler, libc::SA_RESETHAND),
    );
    // SAFETY: no pointers.
    show("raised once", check(unsafe { libc::raise(libc::SIGUSR2) }));
    show("seen", seen() == (libc::SIGUSR2, 4));
    // SAFETY: the action is a local variable.
    let is_default = unsafe {
        let mut action: libc::sigaction = zeroed();
        libc::sigaction(libc::SIGUSR2, std::ptr::null(), &raw mut action);
        action.sa_sigaction == libc::SIG_DFL
    };
    show("and the default again", is_default);
    show("ignored", handle(libc::SIGUSR2, libc::SIG_IGN, 0));
    // SAFETY: no pointers.
    show(
        "raised in vain",
        check(unsafe { libc::raise(libc::SIGUSR2) }),
    );
    show("not handled", seen().1);
    show("blocked to wait", block(libc::SIG_BLOCK, &[libc::SIGUSR1]));
    show("sent", check(own()));
    let mut taken = 0;
    // SAFETY: both are local variables.
    let waited = unsafe { libc::sigwait(&set_of(&[libc::SIGUSR1]), &raw mut taken) };
    show("taken by who waits", (waited, taken == libc::SIGUSR1));
    show("not by the handler", seen().1);
    show("cannot be handled", handle(libc::SIGKILL, handler, 0));
    show("no such signal", handle(65, handler, 0));
    // SAFETY: no pointers.
    show(
        "is the process there",
        check(unsafe { libc::kill(libc::getpid(), 0) }),
    );
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    show("real-time signals", (first, last));
}
