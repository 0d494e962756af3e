//! Translations that other cores remember (Intel SDM volume 3A, section 4.10.5): before a frame that was mapped is used for something
//! else, every core must forget where it was.
//!
//! Requests are numbered. A core that runs is interrupted and forgets; a core that halts is left alone: it forgets before it touches
//! anything but its own stack, when it wakes ([`catch_up`]).

use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use super::core_local::{self, CoreLocal};
use super::descriptors::{INTERRUPT_STACK, SetGate};
use super::{cpu, local_apic};
use crate::sync::SpinLock;

/// Vector of the request to forget. Above those of devices.
const VECTOR: u8 = 0xF0;

/// Held by the core that asks; a core that waits for it has its interrupts on, and so answers.
static TURN: SpinLock<()> = SpinLock::new(());
/// Number of the last request.
static REQUEST: AtomicU64 = AtomicU64::new(0);

global_asm!(
    r#"
toro_tlb_flush:
    push rax
    push rcx
    push rdx
    mov rax, [{request}]
    mov rcx, cr3
    mov cr3, rcx
    mov gs:[{forgotten}], rax
    mov rcx, gs:[{end_of_interrupt}]
    test rcx, rcx
    jz 1f
    mov dword ptr [rcx], 0
    jmp 2f
1:  mov ecx, 0x80B                        // the x2APIC's end of interrupt
    xor eax, eax
    xor edx, edx
    wrmsr
2:  pop rdx
    pop rcx
    pop rax
    iretq
    "#,
    request = sym REQUEST,
    forgotten = const offset_of!(CoreLocal, tlb_request),
    end_of_interrupt = const offset_of!(CoreLocal, end_of_interrupt),
);

unsafe extern "C" {
    fn toro_tlb_flush();
}

/// The gate of the request.
pub fn gates(set: SetGate<'_>) {
    set(
        VECTOR,
        toro_tlb_flush as *const () as usize,
        INTERRUPT_STACK,
    );
}

/// Forgets, if there was a request while this core halted. Called after it has stopped saying that it halts.
pub fn catch_up() {
    let core = core_local::current();
    let request = REQUEST.load(Ordering::SeqCst);
    if core.tlb_request.load(Ordering::Relaxed) != request {
        cpu::flush_all_pages();
        // A request that came just now may have been followed already by the handler, under a higher number.
        core.tlb_request.fetch_max(request, Ordering::AcqRel);
    }
}

/// Has all other cores forget their translations; returns when they have. Must be called with interrupts on and without a lock that
/// a page fault takes.
pub fn flush_other_cores() {
    let count = core_local::count();
    if count < 2 {
        return;
    }
    let _turn = TURN.lock();
    let request = REQUEST.load(Ordering::Relaxed) + 1;
    REQUEST.store(request, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    let own = core_local::current().index();
    let others = || {
        (0..count)
            .filter(|&core| core != own)
            .filter_map(core_local::get)
    };
    let has_forgotten = |core: &CoreLocal| {
        core.tlb_request.load(Ordering::Acquire) >= request || core.is_halted.load(Ordering::SeqCst)
    };
    for core in others().filter(|&core| !has_forgotten(core)) {
        local_apic::interrupt(core, VECTOR);
    }
    for core in others() {
        while !has_forgotten(core) {
            core::hint::spin_loop();
        }
    }
}
