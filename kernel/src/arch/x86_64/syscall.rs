//! The instruction `syscall` (Intel SDM volume 2B; System V ABI, x86-64, section A.2.1), which some crates issue themselves. In ring 0 it is a far call:
//! it stays on the caller's stack, and the way back is a jump.

use core::arch::naked_asm;

use super::cpu::{self, msr};
use super::extended_state::{self, load_state, save_state};
use crate::sync::OnceCell;

/// What a system call was made with.
#[repr(C)]
#[derive(Debug)]
pub struct Arguments {
    /// The call.
    pub number: usize,
    /// Its arguments; how many count is the call's to say.
    pub values: [usize; 6],
}

/// Carries out a system call; returns its result, or an error number negated.
pub type Handler = fn(&Arguments) -> isize;

static HANDLER: OnceCell<Handler> = OnceCell::new();

/// `EFER`: the instruction exists.
const ENABLE: u64 = 1;
/// Code segment that the instruction loads; the stack segment is the one behind it (descriptors: 8 and 16).
const SEGMENTS: u64 = 8 << 32;
/// Flags that are cleared: trap, direction, nested task, alignment check. Interrupts stay as they are.
const CLEARED_FLAGS: u64 = 1 << 8 | 1 << 10 | 1 << 14 | 1 << 18;

/// Has `handler` carry out system calls.
pub fn set_handler(handler: Handler) {
    // Set once, before the program runs.
    let _ = HANDLER.set(handler);
}

/// Makes the instruction work on the core that calls.
pub fn initialise() {
    // SAFETY: the registers exist on every x86-64 processor; no code that runs relies on their values.
    unsafe {
        cpu::write_msr(msr::STAR, SEGMENTS);
        cpu::write_msr(msr::LSTAR, enter as *const () as u64);
        cpu::write_msr(msr::FMASK, CLEARED_FLAGS);
        cpu::write_msr(msr::EFER, cpu::read_msr(msr::EFER) | ENABLE);
    }
}

/// Where the instruction leads: `rcx` is where it came from, `r11` the flags there. All other registers but `rax` are kept, vector and x87 state
/// with them. The caller may have data in the 128 bytes below its stack pointer.
#[unsafe(naked)]
unsafe extern "C" fn enter() {
    naked_asm!(
        "lea rsp, [rsp - 128]",
        "push rbp",
        "mov rbp, rsp",
        "push rcx",
        "push r11",
        "push rdi",
        "push rsi",
        "push rdx",
        "push r8",
        "push r9",
        "push r10",
        // The arguments, the last first.
        "push r9",
        "push r8",
        "push r10",
        "push rdx",
        "push rsi",
        "push rdi",
        "push rax",
        "mov rdi, rsp",
        save_state!(),
        "call {handle}",
        "mov rcx, rax",
        load_state!(),
        "mov rax, rcx",
        "lea rsp, [rbp - 64]",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "pop r11",
        "pop rcx",
        "pop rbp",
        "push r11",
        "popfq",
        "lea rsp, [rsp + 128]",
        "jmp rcx",
        handle = sym handle,
        components = sym extended_state::COMPONENTS,
        area_bytes = sym extended_state::AREA_BYTES,
    )
}

extern "C" fn handle(arguments: &Arguments) -> isize {
    match HANDLER.get() {
        Some(handler) => handler(arguments),
        None => -(libc::ENOSYS as isize),
    }
}
