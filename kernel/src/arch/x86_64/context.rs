//! Switching from one thread to another, and the stack of a thread that has not run yet.

use core::arch::{asm, naked_asm};

/// Saves the callee-saved registers and the floating-point control words on the stack, its pointer in `*save`, and continues where the
/// context behind `load` was saved. Nothing else needs saving: the switch is a function call (System V ABI, x86-64, section 3.2.1).
///
/// The x87 unit keeps the exceptions that it has met, masked or not, and raises one at the next instruction that finds it unmasked: `fldcw`
/// here, or the next thread's own. So where either thread has met one, they are exchanged too.
///
/// # Safety
/// 1. `load` was written by this function, or made by [`prepare`], and is used once.
/// 2. The caller has made `fs` the next thread's.
#[unsafe(naked)]
pub unsafe extern "C" fn switch(save: *mut usize, load: usize) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "fnstsw [rsp + 6]",
        "movzx eax, word ptr [rsp + 6]",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "ldmxcsr [rsp]",
        "or al, [rsp + 6]",
        "test al, {met}",
        "jnz 3f",
        "fldcw [rsp + 4]",
        "2: add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        // By the environment: its first three words of 32 bits are those of control, status and tags (Intel SDM volume 1, 8.1.10).
        "3: fnclex",
        "sub rsp, 32",
        "fnstenv [rsp]",
        "movzx eax, word ptr [rsp + 32 + 4]",
        "mov [rsp], eax",
        "movzx eax, word ptr [rsp + 32 + 6]",
        "mov [rsp + 4], eax",
        "fldenv [rsp]",
        "add rsp, 32",
        "jmp 2b",
        met = const X87_EXCEPTIONS,
    )
}

/// The bits of the x87 status word that tell which exceptions it has met.
const X87_EXCEPTIONS: u8 = 0x3F;

/// First instructions of a thread: `rbx` is its argument, `r12` its function; the frame below is the last of a backtrace.
#[unsafe(naked)]
unsafe extern "C" fn enter() {
    naked_asm!("xor ebp, ebp", "mov rdi, rbx", "call r12", "ud2")
}

/// Prepares a stack so that [`switch`] to the returned context calls `function(argument)`, which must not return.
///
/// # Safety
/// 1. `top` is the end of a stack of at least 128 bytes, aligned to 16, that nobody uses.
pub unsafe fn prepare(top: usize, function: extern "C" fn(usize) -> !, argument: usize) -> usize {
    /// Default floating-point control: exceptions masked, round to nearest (MXCSR 0x1F80, x87 0x037F); none met.
    const CONTROL: usize = 0x037F_0000_1F80;
    let frame: [usize; 8] = [
        CONTROL,
        0,
        0,
        0,
        function as usize,
        argument,
        0,
        enter as *const () as usize,
    ];
    // After `ret` the stack pointer must be a multiple of 16, so that the call in `enter` leaves it as the ABI wants.
    let context = top - size_of_val(&frame);
    // SAFETY: the caller's promise (1).
    unsafe { (context as *mut [usize; 8]).write(frame) };
    context
}

/// Touches the next `BYTES` of the stack below this frame, four pages at most, one after the other and without a loop.
#[inline(always)]
pub fn touch_stack<const BYTES: usize>() {
    const { assert!(BYTES <= 4 * 4096) };
    if BYTES >= 4096 {
        touch_below::<4096>();
    }
    if BYTES >= 2 * 4096 {
        touch_below::<{ 2 * 4096 }>();
    }
    if BYTES >= 3 * 4096 {
        touch_below::<{ 3 * 4096 }>();
    }
    if BYTES >= 4 * 4096 {
        touch_below::<{ 4 * 4096 }>();
    }
}

/// Touches the byte that lies so far below the stack pointer.
#[inline(always)]
fn touch_below<const BYTES: usize>() {
    // SAFETY: reads the stack below the frame: mapped by the page fault handler, or a guard page, whose touch is reported as
    // the stack overflow that was about to happen.
    unsafe {
        asm!("test byte ptr [rsp - {}], 0", const BYTES, options(nostack, readonly));
    }
}

/// The frame pointer here, for backtraces.
#[inline(always)]
pub fn frame_pointer() -> usize {
    let value: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    std::thread_local! {
        static CONTEXTS: Cell<[usize; 2]> = const { Cell::new([0; 2]) };
    }

    /// From one context of this test into the other one.
    fn change(from: usize) {
        let to = CONTEXTS.get()[1 - from];
        let save = CONTEXTS.with(|contexts| contexts.as_ptr().cast::<usize>().wrapping_add(from));
        // SAFETY: each context is used once; both are of this thread, so `fs` stays.
        unsafe { switch(save, to) };
    }

    fn status() -> u16 {
        let status: u16;
        // SAFETY: reads a register.
        unsafe { asm!("fnstsw ax", out("ax") status, options(nomem, nostack)) };
        status
    }

    /// Divides by zero with the control word, without a look at what came of it.
    fn divide_by_zero(control: u16) {
        // SAFETY: no instruction follows that would raise it.
        unsafe {
            asm!("fldcw [{0}]", "fldz", "fld1", "fdivrp", "fstp st(0)", in(reg) &raw const control);
        };
    }

    const DEFAULT: u16 = 0x037F;
    static DIVISION_RAISES: u16 = DEFAULT & !4;
    const DIVISION_BY_ZERO: u16 = 4;

    extern "C" fn other(_: usize) -> ! {
        assert_eq!(status() & u16::from(X87_EXCEPTIONS), 0);
        divide_by_zero(DEFAULT);
        change(1);
        assert_eq!(status() & u16::from(X87_EXCEPTIONS), DIVISION_BY_ZERO);
        change(1);
        unreachable!("nobody comes back");
    }

    #[test]
    fn what_the_x87_unit_has_met_is_its_own_threads() {
        let mut stack = vec![0_u128; 4096];
        let top = stack.as_mut_ptr_range().end as usize;
        // SAFETY: nobody else uses the stack, and it lives longer than its use.
        CONTEXTS.set([0, unsafe { prepare(top, other, 0) }]);
        change(0);
        // The other one has met a division by zero that it masks: here, where it is not masked, nothing is raised.
        assert_eq!(status() & u16::from(X87_EXCEPTIONS), 0);
        // SAFETY: loads a control word of this thread's.
        unsafe { asm!("fldcw [{0}]", "fld1", "fstp st(0)", in(reg) &raw const DIVISION_RAISES) };
        change(0);
        // SAFETY: as above.
        unsafe { asm!("fwait", "fninit") };
        drop(stack);
    }

    #[test]
    fn an_exception_that_waits_is_not_raised_in_the_switch() {
        extern "C" fn other(_: usize) -> ! {
            // SAFETY: an instruction that raises what waits.
            unsafe { asm!("fwait") };
            change(1);
            unreachable!("nobody comes back");
        }
        let mut stack = vec![0_u128; 4096];
        let top = stack.as_mut_ptr_range().end as usize;
        // SAFETY: as above.
        CONTEXTS.set([0, unsafe { prepare(top, other, 0) }]);
        // SAFETY: the last instruction meets the exception, and none follows that would raise it.
        unsafe {
            asm!("fldz", "fld1", "fldcw [{0}]", "fdivrp", in(reg) &raw const DIVISION_RAISES);
        };
        change(0);
        let found = status();
        // SAFETY: back to the default, which forgets the exception.
        unsafe { asm!("fninit") };
        assert_ne!(found & DIVISION_BY_ZERO, 0);
        drop(stack);
    }
}
