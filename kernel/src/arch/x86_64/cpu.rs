//! Processor features, model-specific and control registers (Intel SDM volumes 2–4).

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, CpuidResult};
use core::sync::atomic::{Ordering, fence};

/// Model-specific registers.
pub mod msr {
    /// Base and enable of the local APIC.
    pub const APIC_BASE: u32 = 0x1B;
    /// Base of `fs`.
    pub const FS_BASE: u32 = 0xC000_0100;
    /// Base of `gs`.
    pub const GS_BASE: u32 = 0xC000_0101;
    /// Extended features.
    pub const EFER: u32 = 0xC000_0080;
    /// Segments of `syscall`.
    pub const STAR: u32 = 0xC000_0081;
    /// Entry of `syscall`.
    pub const LSTAR: u32 = 0xC000_0082;
    /// Flags that `syscall` clears.
    pub const FMASK: u32 = 0xC000_0084;
}

/// CPUID leaf `leaf`, subleaf 0; all zero where the processor has no such leaf.
#[inline(never)]
pub fn cpuid(leaf: u32) -> CpuidResult {
    let highest = __cpuid_count(leaf & 0xC000_0000, 0).eax;
    if leaf > highest {
        return CpuidResult {
            eax: 0,
            ebx: 0,
            ecx: 0,
            edx: 0,
        };
    }
    __cpuid_count(leaf, 0)
}

/// Reads a model-specific register.
///
/// # Safety
/// 1. The register exists on this processor.
#[inline]
pub unsafe fn read_msr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading has no effect on memory; the register exists (1).
    unsafe {
        asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags))
    };
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
///
/// # Safety
/// 1. The register exists on this processor.
/// 2. The value keeps the assumptions of running code (`fs`, `gs`, paging).
#[inline]
pub unsafe fn write_msr(register: u32, value: u64) {
    // SAFETY: the caller's promises (1) and (2).
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags));
    }
}

/// The faulting address of the last page fault.
pub fn cr2() -> usize {
    let value: usize;
    // SAFETY: reads a control register.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Loads the root of the page tables.
///
/// # Safety
/// 1. The tables map all memory in use at the same addresses as before.
pub unsafe fn set_page_tables(root_phys: u64) {
    // SAFETY: the caller's promise (1).
    unsafe { asm!("mov cr3, {}", in(reg) root_phys, options(nostack, preserves_flags)) };
}

/// Forgets the translation of one page.
#[inline]
pub fn flush_page(virt: usize) {
    // On the host no processor uses the tables.
    if cfg!(test) {
        return;
    }
    // SAFETY: dropping a translation only makes the processor read the tables again.
    unsafe { asm!("invlpg [{}]", in(reg) virt, options(nostack, preserves_flags)) };
}

/// A barrier between what was written for a device into memory that both see and what is then read there of the device.
///
/// QEMU's emulator leaves out barriers (before version 8.0), and makes locked instructions simple ones, for a machine with one processor,
/// although its devices run beside it in another thread of the host (tcg/tcg-op.c, `tcg_gen_mb` and `do_nonatomic_op_i64`): about one
/// notification in 100,000 was lost, and the queue stood still. For it (`is_emulated`) the barrier is `invlpg`, a serialising instruction
/// (Intel SDM volume 3, "Serializing Instructions"), which has it take a lock of the host (accel/tcg/cputlb.c, `tlb_flush_page`).
#[inline]
pub fn device_barrier(is_emulated: bool) {
    /// Nothing is mapped there.
    const NOWHERE: usize = 0xFFFF_FFFF_FFFF_F000;
    if is_emulated {
        flush_page(NOWHERE);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// Forgets all translations.
pub fn flush_all_pages() {
    // SAFETY: as for one page; the root stays the same.
    unsafe { asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags)) };
}

/// Lets interrupts in.
#[inline]
pub fn enable_interrupts() {
    // SAFETY: handlers run on stacks of their own and only mark.
    unsafe { asm!("sti", options(nomem, nostack)) };
}

/// Keeps interrupts out.
#[inline]
pub fn disable_interrupts() {
    // SAFETY: no effect on memory.
    unsafe { asm!("cli", options(nomem, nostack)) };
}

/// Lets interrupts in and halts until one comes; none can slip in between (`sti` takes effect after the next instruction).
#[inline]
pub fn enable_interrupts_and_halt() {
    // SAFETY: as for `enable_interrupts`.
    unsafe { asm!("sti", "hlt", options(nomem, nostack)) };
}

/// Stops this core for good.
pub fn halt_forever() -> ! {
    loop {
        // SAFETY: with interrupts off nothing ends the halt but a non-maskable interrupt, and then it halts again.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Shuts the processor down, which resets the machine or ends it: without a table of handlers no exception can be delivered, nor what
/// comes of that (Intel SDM, volume 3, 6.15, "Double Fault Exception").
pub fn triple_fault() -> ! {
    let no_table = [0u16; 5];
    // SAFETY: nothing of this machine is needed any more; the operand is a limit of 0 and a base, ten bytes that may be read.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) &raw const no_table, options(noreturn, nostack)) }
}

/// Runs `work` with interrupts off, and turns them on again if they were on.
#[inline]
pub fn without_interrupts<R>(work: impl FnOnce() -> R) -> R {
    let flags: u64;
    // SAFETY: reads the flags and turns interrupts off.
    unsafe { asm!("pushfq", "pop {}", "cli", out(reg) flags) };
    let result = work();
    if flags & 1 << 9 != 0 {
        enable_interrupts();
    }
    result
}
