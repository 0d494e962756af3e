//! The control registers of the units that compute with floating point (Intel SDM, volume 1, sections 8.1.5 and 10.2.3).

use core::arch::asm;

/// The control and status register of the unit for `float` and `double`.
#[must_use]
pub fn mxcsr() -> u32 {
    let mut value = 0u32;
    // SAFETY: stores into a variable of ours.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
    value
}

/// Sets that register; bits that the processor does not know must be 0.
pub fn load_mxcsr(value: u32) {
    // SAFETY: reads a variable of ours. Exceptions stay masked or are the program's wish; the register is the thread's own.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags)) };
}

/// The control word of the unit for `long double`.
#[must_use]
pub fn legacy_control() -> u16 {
    let mut value = 0u16;
    // SAFETY: stores into a variable of ours.
    unsafe { asm!("fnstcw [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
    value
}

/// Sets that control word.
pub fn load_legacy_control(value: u16) {
    // SAFETY: reads a variable of ours; the word is the thread's own.
    unsafe { asm!("fldcw [{}]", in(reg) &raw const value, options(nostack, preserves_flags)) };
}

/// Forgets the exceptions that the unit for `long double` has noted.
pub fn clear_legacy() {
    // SAFETY: changes nothing but the status word.
    unsafe { asm!("fnclex", options(nostack, nomem, preserves_flags)) };
}
