//! Exceptions of the processor as signals (POSIX.1-2017, `signal.h`; signal numbers, codes and the context as Linux has them on x86-64):
//! handlers of `SIGSEGV`, `SIGFPE`, `SIGILL`, `SIGBUS` and `SIGTRAP` are called with the registers, and may change them.
//!
//! std's own handler is not called: it is there to tell of stacks that overflow, which the kernel does (`epitaph`).

use core::ffi::c_int;

use super::signal;
use crate::arch::x86_64::exceptions::Interrupted;
use crate::arch::x86_64::extended_state;
use crate::fault::{self, Verdict};
use crate::image;

/// The signals that stand for exceptions.
const OF_EXCEPTIONS: [c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGBUS,
    libc::SIGTRAP,
];

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
        14 if fault.frame.error_code & 1 == 0 => (libc::SIGSEGV, SEGV_MAPERR),
        14 => (libc::SIGSEGV, SEGV_ACCERR),
        16 | 19 => (libc::SIGFPE, FPE_FLTINV),
        17 => (libc::SIGBUS, libc::BUS_ADRALN),
        _ => (libc::SIGSEGV, SI_KERNEL),
    }
}

/// Notes that the program has a function for a signal, which may be one of an exception.
pub(super) fn expect(signal: c_int, handler: usize) {
    if OF_EXCEPTIONS.contains(&signal) && !matches!(handler, libc::SIG_DFL | libc::SIG_IGN) {
        fault::set_signal_stage(deliver, is_wanted);
    }
}

/// Whether the program has a handler of its own for some exception. Found out when there is an exception: looking for the name of std's
/// would be a part of every start.
fn is_wanted() -> bool {
    OF_EXCEPTIONS
        .into_iter()
        .filter_map(signal::handler)
        .any(|handler| !is_of_std(handler))
}

fn is_of_std(handler: usize) -> bool {
    let mut name = [0; image::MAX_NAME_BYTES];
    image::symbol(handler, &mut name)
        .is_some_and(|(name, _)| name.starts_with("std::sys::") && name.ends_with("signal_handler"))
}

/// Calls the program's handler of the signal that stands for an exception.
fn deliver(fault: &mut Interrupted) -> Verdict {
    let (signal, code) = signal_of(fault);
    if signal::is_blocked(signal) {
        return Verdict::NotMine;
    }
    let action = signal::take_action(signal).filter(signal::Action::is_function);
    let Some(action) = action.filter(|action| !is_of_std(action.handler)) else {
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
    for (slot, register) in context.uc_mcontext.gregs.iter().zip(&mut registers) {
        *register = *slot as u64;
    }
    fault.frame.set_registers(&registers);
    Verdict::GoOn
}
