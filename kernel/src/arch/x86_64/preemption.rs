//! Taking the core from code of the program that does not give it away.
//!
//! The timer's handler comes here. If it has interrupted the program's own code, it lays all registers on the thread's stack, below the red
//! zone, lets interrupts in and calls the scheduler like any function would; when the thread's turn has come again, the registers are loaded
//! and the code goes on. Where the code runs on a stack that the program made itself, of which nobody knows the end, the registers go to the
//! core's spare stack instead, which is the thread's until its turn comes, and the interrupted stack is not touched. The kernel's code is never
//! taken from the core, wherever it was called from, nor are services, which run on the stack of whatever thread is there. A tick that
//! comes at such a moment is repeated soon.
//!
//! Vector registers are kept as [`super::extended_state`] says.

use core::sync::atomic::{AtomicPtr, Ordering};

#[cfg(not(test))]
use super::descriptors::DATA_SELECTOR;
#[cfg(not(test))]
use super::extended_state::{self, load_state, save_state};
#[cfg(not(test))]
use super::{clock, core_local, local_apic};
#[cfg(not(test))]
use crate::image;

/// A tick that came in the kernel is repeated after this time.
#[cfg(not(test))]
const REPEAT_NS: u64 = 1_000_000;

/// What gives the core to other threads, and returns when the interrupted one's turn has come again.
static PREEMPT: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Has `preempt` called when the timer interrupts code of the program.
pub fn enable(preempt: extern "C" fn()) {
    PREEMPT.store(preempt as *mut (), Ordering::Release);
}

/// Whether code of the program may be interrupted for long.
#[inline]
pub fn is_enabled() -> bool {
    !PREEMPT.load(Ordering::Relaxed).is_null()
}

#[cfg(not(test))]
core::arch::global_asm!(
    r#"
    // From the handler of interrupts: the interrupt is acknowledged; on the stack are rdx, rcx, rax, the line, and what the processor pushed.
toro_tick:
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push rbp
    mov rbp, rsp
    mov rdi, [rsp + 11 * 8]               // rip
    mov rsi, [rsp + 14 * 8]               // rsp
    "#,
    save_state!(),
    r#"
    cld
    call {on_tick}
    mov [rbp + 10 * 8], rax               // in place of the line
    "#,
    load_state!(),
    r#"
    mov rsp, rbp
    pop rbp
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    cmp qword ptr [rsp], 0
    jne 1f
    add rsp, 8
    iretq
    // The frame and three registers to work with move to the stack that was chosen.
1:  push rax
    push rbx
    push rcx
    mov rbx, [rsp + 3 * 8]
    lea rbx, [rbx - 9 * 8]
    and rbx, -16
    .irp word,0,1,2,3,4,5,6,7,8
    mov rcx, [rsp + 8 * \word]
    mov [rbx + 8 * \word], rcx
    .endr
    mov rsp, rbx
    // The processor has emptied ss; an emulator takes one that IRETQ finds empty for that of another mode, and translates everything again.
    mov ecx, {data_selector}
    mov ss, ecx
    pop rcx
    pop rbx
    pop rax
    mov [rsp], rbp                        // in place of where the stack was
    mov rbp, rsp
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    "#,
    save_state!(),
    r#"
    // Its numbers on the x87 stack would be in the way of the next thread's.
    fninit
    cld
    sti
    call [{preempt}]
    "#,
    load_state!(),
    r#"
    lea rsp, [rbp - 9 * 8]
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    pop rbp
    iretq
    "#,
    on_tick = sym on_tick,
    preempt = sym PREEMPT,
    data_selector = const DATA_SELECTOR,
    components = sym extended_state::COMPONENTS,
    area_bytes = sym extended_state::AREA_BYTES,
);

/// Below a stack pointer, code may use so many bytes without saying so (System V ABI, x86-64, 3.2.2).
#[cfg(not(test))]
const RED_ZONE_BYTES: usize = 128;

/// The end of the stack on which the thread that the timer has interrupted is to wait, or 0 if it keeps the core. Runs in the handler.
#[cfg(not(test))]
extern "C" fn on_tick(rip: usize, rsp: usize) -> usize {
    let core = core_local::current();
    if !is_enabled() || core.is_halted.load(Ordering::Relaxed) {
        return 0;
    }
    if !core.is_serving() && image::is_program_code(rip) {
        // The scheduler, and services that it calls, can run on a stack if it is the running thread's and its last part, which is
        // the kernel's, is free.
        let stack = match core.preemptible_stack().contains(&rsp) {
            true => rsp - RED_ZONE_BYTES,
            false => core.take_spare_stack(),
        };
        if stack != 0 {
            return stack;
        }
    }
    let now_ns = clock::now_ns();
    local_apic::set_timer(now_ns + REPEAT_NS, now_ns);
    0
}
