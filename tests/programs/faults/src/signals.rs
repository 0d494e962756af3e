//! Handlers of the signals that stand for exceptions, as crates for Linux have them.

use std::ffi::{c_int, c_void};
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

fn handle(signal: c_int, handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void)) {
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
