//! Signals, by calls of their own numbers (Linux, x86-64): rustix has none of them.

use std::arch::{asm, naked_asm};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use rustix::{process, thread};

const RT_SIGACTION: usize = 13;
const RT_SIGPROCMASK: usize = 14;
const RT_SIGPENDING: usize = 127;
const RT_SIGTIMEDWAIT: usize = 128;
const SIGALTSTACK: usize = 131;
const TKILL: usize = 200;
const TGKILL: usize = 234;

const SIGKILL: usize = 9;
const SIGUSR1: usize = 10;
const SIGUSR2: usize = 12;
const SA_RESTORER: usize = 0x0400_0000;
const BLOCK: usize = 0;
const UNBLOCK: usize = 1;

static HANDLED: AtomicUsize = AtomicUsize::new(0);

#[repr(C)]
#[derive(Default)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

fn call(number: usize, arguments: [usize; 4]) -> isize {
    let [a, b, c, d] = arguments;
    let result;
    // SAFETY: the callers' arguments are numbers, null, or lead to local variables of the call's types.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            out("rcx") _, out("r11") _)
    };
    result
}

extern "C" fn handle(signal: i32) {
    HANDLED.fetch_add(signal as usize, Ordering::Relaxed);
}

/// Where Linux has handlers return to: `rt_sigreturn`.
#[unsafe(naked)]
extern "C" fn restore() {
    naked_asm!("mov eax, 15", "syscall")
}

fn address<T>(value: &mut T) -> usize {
    &raw mut *value as usize
}

fn change(how: usize, signal: usize) -> (isize, bool) {
    let (mut set, mut before) = (1_u64 << (signal - 1), 0_u64);
    let arguments = [how, address(&mut set), address(&mut before), 8];
    (call(RT_SIGPROCMASK, arguments), before & set != 0)
}

fn wait_for(signal: usize) -> isize {
    let mut set = 1_u64 << (signal - 1);
    call(RT_SIGTIMEDWAIT, [address(&mut set), 0, 0, 8])
}

pub(crate) fn run() {
    let me = thread::gettid().as_raw_nonzero().get() as usize;
    let program = process::getpid().as_raw_nonzero().get() as usize;
    let mut action = Action {
        handler: handle as *const () as usize,
        flags: SA_RESTORER,
        restorer: restore as *const () as usize,
        mask: 0,
    };
    let new = address(&mut action);
    println!("action {}", call(RT_SIGACTION, [SIGUSR1, new, 0, 8]));
    println!("size {}", call(RT_SIGACTION, [SIGUSR1, new, 0, 4]));
    println!("kill {}", call(RT_SIGACTION, [SIGKILL, new, 0, 8]));
    println!("no signal {}", call(RT_SIGACTION, [65, new, 0, 8]));
    let mut old = Action::default();
    let asked = call(RT_SIGACTION, [SIGUSR1, 0, address(&mut old), 8]);
    let is_ours = old.handler == action.handler && old.flags == action.flags;
    println!("asked {asked} {is_ours}");
    println!("sent {}", call(TKILL, [me, SIGUSR1, 0, 0]));
    println!("handled {}", HANDLED.load(Ordering::Relaxed));
    println!("blocked {:?}", change(BLOCK, SIGUSR1));
    println!("sent {}", call(TGKILL, [program, me, SIGUSR1, 0]));
    println!("handled {}", HANDLED.load(Ordering::Relaxed));
    let mut pending = 0_u64;
    let asked = call(RT_SIGPENDING, [address(&mut pending), 8, 0, 0]);
    println!("pending {asked} {pending:#x}");
    println!("let go {:?}", change(UNBLOCK, SIGUSR1));
    println!("handled {}", HANDLED.load(Ordering::Relaxed));
    println!("mask {}", change(7, SIGUSR1).0);
    let missing = [
        call(TKILL, [0x3F_FFFF, 0, 0, 0]),
        call(TKILL, [0, SIGUSR1, 0, 0]),
        call(TKILL, [me, 65, 0, 0]),
        call(TKILL, [me, 0, 0, 0]),
        call(TGKILL, [program, 0, SIGUSR1, 0]),
    ];
    println!("missing {missing:?}");
    let mut small = [0_usize, 0, 16];
    println!(
        "small {}",
        call(SIGALTSTACK, [address(&mut small), 0, 0, 0])
    );
    let mut before = [0_usize; 3];
    println!(
        "stack {}",
        call(SIGALTSTACK, [0, address(&mut before), 0, 0])
    );
    let (tell, told) = mpsc::channel();
    let waits = std::thread::spawn(move || {
        let blocked = change(BLOCK, SIGUSR2);
        let id = thread::gettid().as_raw_nonzero().get() as usize;
        tell.send(id).expect("somebody to be told");
        (blocked, wait_for(SIGUSR2))
    });
    let other = told.recv().expect("a thread");
    println!("to another {}", call(TGKILL, [program, other, SIGUSR2, 0]));
    println!("taken {:?}", waits.join().ok());
}
