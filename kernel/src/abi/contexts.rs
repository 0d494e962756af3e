//! Contexts (POSIX.1-2001, `ucontext.h`; Linux: getcontext(3), makecontext(3)): where a program is, kept and gone on with, on stacks of its own.
//! Masks of signals stay as they are, as there are none that interrupt.

use core::ffi::{c_int, c_void};
use core::mem::offset_of;

use super::variadic::{VaList, variadic};

/// `ucontext_t`, as glibc has it for x86-64.
#[repr(C)]
pub(super) struct Context {
    flags: u64,
    link: *mut Context,
    stack: *mut c_void,
    stack_flags: c_int,
    stack_len: usize,
    registers: Registers,
    floating_place: *mut c_void,
    reserved: [u64; 8],
    mask: [u64; 16],
    floating: Floating,
}

/// `gregset_t`.
#[repr(C)]
struct Registers {
    r8: u64,
    r9: u64,
    r10: u64,
    r11: u64,
    r12: u64,
    r13: u64,
    r14: u64,
    r15: u64,
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rax: u64,
    rcx: u64,
    rsp: u64,
    rip: u64,
    rest: [u64; 6],
}

/// The beginning of `struct _libc_fpstate`: what `fnstenv` stores, and MXCSR.
#[repr(C)]
struct Floating {
    environment: [u8; 28],
    mxcsr: u32,
    rest: [u64; 60],
}

macro_rules! at {
    ($register:ident) => {
        offset_of!(Context, registers) + offset_of!(Registers, $register)
    };
}
const ENVIRONMENT: usize = offset_of!(Context, floating) + offset_of!(Floating, environment);
const MXCSR: usize = offset_of!(Context, floating) + offset_of!(Floating, mxcsr);

/// Keeps where the caller is: going on there looks as if this returned once more.
///
/// # Safety
/// There is room for a context.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn getcontext(context: *mut Context) -> c_int {
    core::arch::naked_asm!(
        "mov [rdi + {rbx}], rbx",
        "mov [rdi + {rbp}], rbp",
        "mov [rdi + {r12}], r12",
        "mov [rdi + {r13}], r13",
        "mov [rdi + {r14}], r14",
        "mov [rdi + {r15}], r15",
        "mov [rdi + {rdi}], rdi",
        "mov [rdi + {rsi}], rsi",
        "mov [rdi + {rdx}], rdx",
        "mov [rdi + {rcx}], rcx",
        "mov [rdi + {r8}], r8",
        "mov [rdi + {r9}], r9",
        // The stack as it is after the return, and where that leads.
        "mov rax, [rsp]",
        "mov [rdi + {rip}], rax",
        "lea rax, [rsp + 8]",
        "mov [rdi + {rsp}], rax",
        "lea rax, [rdi + {environment}]",
        "mov [rdi + {floating_place}], rax",
        // Storing it masks all exceptions: it is loaded again.
        "fnstenv [rdi + {environment}]",
        "fldenv [rdi + {environment}]",
        "stmxcsr [rdi + {mxcsr}]",
        "xor eax, eax",
        "ret",
        rbx = const at!(rbx), rbp = const at!(rbp), r12 = const at!(r12), r13 = const at!(r13), r14 = const at!(r14),
        r15 = const at!(r15), rdi = const at!(rdi), rsi = const at!(rsi), rdx = const at!(rdx), rcx = const at!(rcx),
        r8 = const at!(r8), r9 = const at!(r9), rip = const at!(rip), rsp = const at!(rsp),
        floating_place = const offset_of!(Context, floating_place),
        environment = const ENVIRONMENT,
        mxcsr = const MXCSR,
    )
}

/// Goes on where a context was kept or made.
///
/// # Safety
/// It was, on this thread, and its stack is there.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn setcontext(context: *const Context) -> c_int {
    core::arch::naked_asm!(
        "fldenv [rdi + {environment}]",
        "ldmxcsr [rdi + {mxcsr}]",
        "mov rbx, [rdi + {rbx}]",
        "mov rbp, [rdi + {rbp}]",
        "mov r12, [rdi + {r12}]",
        "mov r13, [rdi + {r13}]",
        "mov r14, [rdi + {r14}]",
        "mov r15, [rdi + {r15}]",
        "mov rsp, [rdi + {rsp}]",
        "mov rsi, [rdi + {rsi}]",
        "mov rdx, [rdi + {rdx}]",
        "mov rcx, [rdi + {rcx}]",
        "mov r8, [rdi + {r8}]",
        "mov r9, [rdi + {r9}]",
        "mov r11, [rdi + {rip}]",
        "mov rdi, [rdi + {rdi}]",
        "xor eax, eax",
        "jmp r11",
        rbx = const at!(rbx), rbp = const at!(rbp), r12 = const at!(r12), r13 = const at!(r13), r14 = const at!(r14),
        r15 = const at!(r15), rdi = const at!(rdi), rsi = const at!(rsi), rdx = const at!(rdx), rcx = const at!(rcx),
        r8 = const at!(r8), r9 = const at!(r9), rip = const at!(rip), rsp = const at!(rsp),
        environment = const ENVIRONMENT,
        mxcsr = const MXCSR,
    )
}

/// Keeps where the caller is, and goes on elsewhere.
///
/// # Safety
/// As of [`getcontext`] and [`setcontext`].
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn swapcontext(kept: *mut Context, next: *const Context) -> c_int {
    core::arch::naked_asm!(
        "push rsi",
        "call {getcontext}",
        // It has kept the place behind this call: what is kept shall be the place behind the caller's.
        "pop rsi",
        "mov rax, [rsp]",
        "mov [rdi + {rip}], rax",
        "lea rax, [rsp + 8]",
        "mov [rdi + {rsp}], rax",
        "mov rdi, rsi",
        "jmp {setcontext}",
        rip = const at!(rip),
        rsp = const at!(rsp),
        getcontext = sym getcontext,
        setcontext = sym setcontext,
    )
}

/// Where the function of a made context returns to: to the context that follows, which `rbx` has, or to the end of the thread.
#[unsafe(naked)]
unsafe extern "C" fn after() {
    core::arch::naked_asm!(
        "mov rdi, rbx",
        "test rdi, rdi",
        "jz 2f",
        "jmp {setcontext}",
        "2:",
        // As if it were called: the stack is not aligned to 16 at the beginning of a function.
        "push rdi",
        "jmp {end}",
        setcontext = sym setcontext,
        end = sym end,
    )
}

extern "C" fn end() -> ! {
    unsafe extern "C" {
        fn pthread_exit(result: *mut c_void) -> !;
    }
    // SAFETY: the value is only handed on.
    unsafe { pthread_exit(core::ptr::null_mut()) }
}

/// Makes of a context one that begins with a function, on the stack that it names.
///
/// # Safety
/// 1. The context was kept by [`getcontext`], and its stack was set; it has room for the arguments.
/// 2. As many arguments follow as it says, all integers.
unsafe extern "C" fn make_context(
    context: *mut Context,
    function: u64,
    count: c_int,
    arguments: *mut VaList,
) {
    // SAFETY: (1), (2).
    unsafe {
        let context = &mut *context;
        let count = usize::try_from(count).unwrap_or(0);
        let in_memory = count.saturating_sub(6);
        let top = (context.stack as u64 + context.stack_len as u64) & !15;
        // Aligned behind the return address, which `call` would have put there.
        let places = (in_memory * 8).next_multiple_of(16) as u64;
        let stack = (top - places - 8) as *mut u64;
        stack.write(after as *const () as u64);
        let registers = &mut context.registers;
        for at in 0..count {
            let argument = (*arguments).integer();
            match at {
                0 => registers.rdi = argument,
                1 => registers.rsi = argument,
                2 => registers.rdx = argument,
                3 => registers.rcx = argument,
                4 => registers.r8 = argument,
                5 => registers.r9 = argument,
                _ => stack.add(at - 5).write(argument),
            }
        }
        registers.rip = function;
        registers.rsp = stack as u64;
        registers.rbx = context.link as u64;
        registers.rbp = 0;
    }
}

variadic! {
    makecontext(3) = make_context, "rcx";
}
