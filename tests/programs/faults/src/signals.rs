//! Handlers of the signals that stand for exceptions, as crates for Linux have them.

use std::ffi::{c_int, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{divide_by_zero, illegal_instruction, overflow_the_stack, write_null};

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

/// Steps over the instruction, as an interpreter of missing instructions would.
extern "C" fn step_over(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the arguments of a handler with SA_SIGINFO.
    let (address, context) =
        unsafe { ((*info).si_addr(), &mut *context.cast::<libc::ucontext_t>()) };
    let rip = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
    // SAFETY: where the program executes.
    let code = unsafe { std::slice::from_raw_parts(*rip as *const u8, 2) };
    let len = match code {
        [0x0F, 0x0B] | [0xF7, _] => 2,
        [0x48, 0xC7] => 7,
        other => panic!("an instruction that the test does not know: {other:x?}"),
    };
    *rip += len;
    SIGNALS.fetch_add(1, Ordering::Relaxed);
    let address = if signal == libc::SIGSEGV {
        address as usize
    } else {
        0
    };
    println!("signal {signal} at {address:#x}");
}

/// Ends the program from the handler's own stack.
extern "C" fn overflowed(signal: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    println!("signal {signal} on another stack");
    std::process::exit(3);
}

pub(crate) fn handle(
    signal: c_int,
    handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void),
) {
    // SAFETY: a handler of the right type.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        let result = libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        assert_eq!(result, 0);
    }
}

pub(crate) fn repair() {
    for signal in [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE] {
        handle(signal, step_over);
    }
    illegal_instruction();
    divide_by_zero();
    write_null();
    std::thread::spawn(illegal_instruction).join().unwrap();
    println!("{} signals", SIGNALS.load(Ordering::Relaxed));
}

pub(crate) fn on_its_own_stack() {
    handle(libc::SIGSEGV, overflowed);
    // The stack that std gives its own handler is too small for what this one does.
    let stack = vec![0_u8; 64 << 10].leak();
    let stack = libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: stack.len(),
    };
    // SAFETY: memory that lives for ever.
    let result = unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
    assert_eq!(result, 0);
    println!("{}", overflow_the_stack(1));
}

/// What was done about `SIGSEGV` before [`pass_on_to`].
static BEFORE: Mutex<Option<libc::sigaction>> = Mutex::new(None);

/// Leaves a fault to whoever was there before, as those do who handle faults of their own code alone.
extern "C" fn pass_on_to(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    println!("signal {signal} is not mine");
    let before = BEFORE.lock().unwrap().expect("an action");
    // SAFETY: the action was told by `sigaction`, with the flag that says how it wants to be called.
    unsafe {
        match before.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                libc::sigaction(signal, &raw const before, std::ptr::null_mut());
            }
            function if before.sa_flags & libc::SA_SIGINFO != 0 => {
                std::mem::transmute::<usize, extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void)>(
                    function,
                )(signal, info, context);
            }
            function => std::mem::transmute::<usize, extern "C" fn(c_int)>(function)(signal),
        }
    }
}

fn install_pass_on() {
    // SAFETY: a handler of the right type; actions that are local variables.
    unsafe {
        let (mut action, mut before): (libc::sigaction, libc::sigaction) =
            (std::mem::zeroed(), std::mem::zeroed());
        action.sa_sigaction = pass_on_to as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        let result = libc::sigaction(libc::SIGSEGV, &raw const action, &raw mut before);
        assert_eq!(result, 0);
        BEFORE.lock().unwrap().replace(before);
    }
}

/// A fault that nobody repairs ends its thread, and what was there before can be put back.
pub(crate) fn pass_on() {
    install_pass_on();
    for round in 0..2 {
        let end = std::thread::spawn(write_null).join();
        println!("ended well: {}", end.is_ok());
        if round == 0 {
            let before = BEFORE.lock().unwrap().expect("an action");
            // SAFETY: what `sigaction` told.
            let result =
                unsafe { libc::sigaction(libc::SIGSEGV, &raw const before, std::ptr::null_mut()) };
            println!("put back: {}", result == 0);
        }
    }
}

/// A signal that is sent, and passed on, ends the program as it does by default.
pub(crate) fn raise_for_nobody() {
    install_pass_on();
    // SAFETY: no pointers.
    unsafe { libc::raise(libc::SIGSEGV) };
    println!("not reached");
}
