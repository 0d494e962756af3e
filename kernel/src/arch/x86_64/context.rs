//! Switching from one thread to another, and the stack of a thread that has not run yet.

use core::arch::{asm, naked_asm};

/// Saves the callee-saved registers and the floating-point control words on the stack, its pointer in `*save`, and continues where the
/// context behind `load` was saved. Nothing else needs saving: the switch is a function call (System V ABI, x86-64, section 3.2.1).
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
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

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
    /// Default floating-point control: exceptions masked, round to nearest (MXCSR 0x1F80, x87 0x037F).
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

/// Touches the next `bytes` of the stack below this frame, page by page.
#[inline(always)]
pub fn touch_stack(bytes: usize) {
    let mut below = 4096;
    while below <= bytes {
        // SAFETY: reads the stack below the frame: mapped by the page fault handler, or a guard page, whose touch is reported as
        // the stack overflow that was about to happen.
        unsafe {
            asm!("neg {0}", "test byte ptr [rsp + {0}], 0", inout(reg) below => _, options(nostack, readonly));
        }
        below += 4096;
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
