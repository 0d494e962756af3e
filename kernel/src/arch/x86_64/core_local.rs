//! What belongs to one core, found through `gs`.

use core::arch::asm;
use core::sync::atomic::{AtomicU8, AtomicU64};

use super::cpu::{self, msr};

/// Interrupt lines a core can have.
pub const MAX_LINES: usize = 64;

/// Registers of the I/O APIC pin behind an interrupt line, for the handler to mask it.
#[repr(C)]
pub struct LinePin {
    /// Address of the I/O APIC's registers, 0 for lines that need no masking (edges, messages, timer).
    pub io_apic: AtomicU64,
    /// Number of the pin's low register.
    pub register: AtomicU64,
    /// Content of that register with the mask bit set.
    pub masked: AtomicU64,
}

/// Data of a core. The handlers of `interrupts` know this layout.
#[repr(C)]
pub struct CoreLocal {
    /// Where the end of an interrupt is written (local APIC, register 0xB0).
    pub end_of_interrupt: AtomicU64,
    /// Interrupts so far.
    pub interrupts: AtomicU64,
    /// Lines that fired and were not taken yet.
    pub pending: [AtomicU8; MAX_LINES],
    /// Pins of the lines.
    pub pins: [LinePin; MAX_LINES],
}

static BOOT_CORE: CoreLocal = CoreLocal {
    end_of_interrupt: AtomicU64::new(0),
    interrupts: AtomicU64::new(0),
    pending: [const { AtomicU8::new(0) }; MAX_LINES],
    pins: [const {
        LinePin {
            io_apic: AtomicU64::new(0),
            register: AtomicU64::new(0),
            masked: AtomicU64::new(0),
        }
    }; MAX_LINES],
};

/// Makes `gs` lead to the boot core's data.
pub fn initialise() {
    // SAFETY: the register exists on every x86-64 processor; nothing uses `gs` before.
    unsafe { cpu::write_msr(msr::GS_BASE, &raw const BOOT_CORE as u64) };
}

/// This core's data.
#[inline]
pub fn current() -> &'static CoreLocal {
    &BOOT_CORE
}

/// The address in `fs`: the thread control block of the running thread.
#[inline]
pub fn thread_pointer() -> usize {
    let value: usize;
    // SAFETY: the first word of a thread control block is its own address; `fs` leads to one whenever threads run.
    unsafe {
        asm!("mov {}, fs:[0]", out(reg) value, options(nostack, preserves_flags, readonly, pure))
    };
    value
}

/// Whether `fs` leads to a thread control block already.
pub fn has_thread() -> bool {
    // SAFETY: the register exists on every x86-64 processor.
    unsafe { cpu::read_msr(msr::FS_BASE) != 0 }
}

/// Makes `fs` lead to a thread control block.
///
/// # Safety
/// 1. The block is that of the thread that runs next.
#[inline]
pub unsafe fn set_thread_pointer(block: usize) {
    // SAFETY: the register exists on every x86-64 processor; (1).
    unsafe { cpu::write_msr(msr::FS_BASE, block as u64) };
}
