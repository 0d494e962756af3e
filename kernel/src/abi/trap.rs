//! Exceptions of the processor as signals (POSIX.1-2017, `signal.h`; signal numbers, codes and the context as Linux has them on x86-64):
//! handlers of `SIGSEGV`, `SIGFPE`, `SIGILL`, `SIGBUS` and `SIGTRAP` are called with the registers, and may change them.
//!
//! Where the program has no function, `sigaction` tells of one of the kernel's for `SIGSEGV` and `SIGBUS`, [`end`]: that is what becomes of a fault
//! here. So std finds that somebody deals with them, and leaves out its own handler, which is there to tell of stacks that overflow (the kernel
//! does, in `epitaph`), and with it the stack that it would map for each thread and unmap at its end.

use core::ffi::{c_int, c_ulong, c_void};

use super::signal::{self, Action};
use crate::arch::x86_64::exceptions::Interrupted;
use crate::arch::x86_64::extended_state;
use crate::fault::{self, Stage, Verdict};
use crate::memory::areas::Fault;

/// Signal and code of an exception.
fn signal_of(fault: &Interrupted) -> (c_int, c_int) {
    const FPE_INTDIV: c_int = 1;
    const FPE_FLTINV: c_int = 7;
    const ILL_ILLOPN: c_int = 2;
    const SEGV_MAPERR: c_int = 1;
    const SEGV_ACCERR: c_int = 2;
    const SI_KERNEL: c_int = 0x80;
    match fault.frame.vector {
        0 => (libc::SIGFPE, FPE_INTDIV),
        1 | 3 => (libc::SIGTRAP, SI_KERNEL),
        6 => (libc::SIGILL, ILL_ILLOPN),
        14 if matches!(fault.page_fault, Some((_, Fault::BeyondEnd))) => {
            (libc::SIGBUS, libc::BUS_ADRERR)
        }
        14 if fault.frame.error_code & 1 == 0 => (libc::SIGSEGV, SEGV_MAPERR),
        14 => (libc::SIGSEGV, SEGV_ACCERR),
        16 | 19 => (libc::SIGFPE, FPE_FLTINV),
        17 => (libc::SIGBUS, libc::BUS_ADRALN),
        _ => (libc::SIGSEGV, SI_KERNEL),
    }
}

/// Notes that the program has a function for a signal, which may be one of an exception.
pub(super) fn expect(signal: c_int, handler: usize) {
    let is_exception = matches!(
        signal,
        libc::SIGSEGV | libc::SIGFPE | libc::SIGILL | libc::SIGBUS | libc::SIGTRAP
    );
    if is_exception && !matches!(handler, libc::SIG_DFL | libc::SIG_IGN) {
        fault::set_stage(Stage::Signal, deliver);
    }
}

/// Flag of a context: who was called last for it was [`end`].
const IS_DECLINED: c_ulong = 1 << 63;

/// What becomes of a signal of a fault for which the program has no function. A handler that calls what was there before it comes here with
/// faults that are not its own; they go on as if there were no handler.
extern "C" fn end(signal: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: null, or what a handler was called with.
    match unsafe { context.cast::<libc::ucontext_t>().as_mut() } {
        Some(context) => context.uc_flags |= IS_DECLINED,
        None => signal::by_default(signal),
    }
}

/// Whether a handler has left a signal to what is done without one.
pub(super) fn is_declined(context: &libc::ucontext_t) -> bool {
    context.uc_flags & IS_DECLINED != 0
}

/// An action as the program is told of it.
pub(super) fn shown(signal: c_int, action: Action) -> Action {
    match (signal, action.handler) {
        (libc::SIGSEGV | libc::SIGBUS, libc::SIG_DFL) => Action {
            handler: end as *const () as usize,
            mask: 0,
            flags: libc::SA_SIGINFO,
        },
        _ => action,
    }
}

/// An action that the program gives: what [`shown`] told is the default.
pub(super) fn given(action: Action) -> Action {
    if action.handler == end as *const () as usize {
        return Action {
            handler: libc::SIG_DFL,
            ..action
        };
    }
    action
}

/// Calls the program's handler of the signal that stands for an exception.
fn deliver(fault: &mut Interrupted) -> Verdict {
    let (signal, code) = signal_of(fault);
    if signal::is_blocked(signal) {
        return Verdict::NotMine;
    }
    let action = signal::take_action(signal).filter(Action::is_function);
    let Some(action) = action else {
        return Verdict::NotMine;
    };
    // SAFETY: structures of integers and pointers, for which zeros are values.
    let (mut info, mut context): (libc::siginfo_t, libc::ucontext_t) =
        unsafe { core::mem::zeroed() };
    info.si_signo = signal;
    info.si_code = code;
    let address = match fault.page_fault {
        Some((address, _)) => address,
        None => fault.frame.rip as usize,
    };
    // SAFETY: of these signals the address is behind the three numbers and the padding.
    unsafe { (&raw mut info).cast::<usize>().add(2).write(address) };
    let gregs = &mut context.uc_mcontext.gregs;
    let mut registers = fault.frame.registers();
    for (slot, register) in gregs.iter_mut().zip(registers) {
        *slot = register as i64;
    }
    gregs[libc::REG_ERR as usize] = fault.frame.error_code as i64;
    gregs[libc::REG_TRAPNO as usize] = fault.frame.vector as i64;
    gregs[libc::REG_CR2 as usize] = address as i64;
    // SAFETY: a copy of what was saved at the exception.
    unsafe { extended_state::describe(fault.frame.floating_point) };
    context.uc_mcontext.fpregs = fault.frame.floating_point.cast();
    signal::run(action, &mut info, &mut context);
    if is_declined(&context) {
        return Verdict::NotMine;
    }
    for (slot, register) in context.uc_mcontext.gregs.iter().zip(&mut registers) {
        *register = *slot as u64;
    }
    fault.frame.set_registers(&registers);
    Verdict::GoOn
}
