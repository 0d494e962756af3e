//! Taking the core from code of the program that does not give it away.
//!
//! The timer's handler comes here. If it has interrupted the program's own code, on a stack with room, it lays all registers on that
//! stack, below the red zone, lets interrupts in and calls the scheduler like any function would; when the thread's turn has come again, the
//! registers are loaded and the code goes on. The kernel's code is never taken from the core, wherever it was called from, nor are
//! services, which run on the stack of whatever thread is there. A tick that comes at such a moment is repeated soon.
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
    mov rcx, rax
    "#,
    load_state!(),
    r#"
    mov rsp, rbp
    test rcx, rcx
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
    lea rsp, [rsp + 8]                    // keeps the flags of the test
    jnz 1f
    iretq
    // The frame and three registers to work with move to the interrupted stack.
1:  push rax
    push rbx
    push rcx
    mov rbx, [rsp + 6 * 8]                // rsp
    lea rbx, [rbx - 128 - 8 * 8]
    and rbx, -16
    .irp word,0,1,2,3,4,5,6,7
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
    push rbp
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

/// Whether the core is to be taken from the code that the timer has interrupted. Runs in the handler.
#[cfg(not(test))]
extern "C" fn on_tick(rip: usize, rsp: usize) -> usize {
    let core = core_local::current();
    if !is_enabled() || core.is_halted.load(Ordering::Relaxed) {
        return 0;
    }
    // The scheduler, and services that it calls, can run on a stack if it is the running thread's and its last part, which is
    // the kernel's, is free.
    let has_room = core.preemptible_stack().contains(&rsp);
    if has_room && !core.is_serving() && image::is_program_code(rip) {
        return 1;
    }
    let now_ns = clock::now_ns();
    local_apic::set_timer(now_ns + REPEAT_NS, now_ns);
    0
}
