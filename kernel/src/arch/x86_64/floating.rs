//! The control registers of the units that compute with floating point (Intel SDM, volume 1, sections 8.1.5 and 10.2.3), and numbers of 80 bits
//! as calls of C hand them over (System V ABI for AMD64, section 3.2.3): in the stack, and back in the older unit's first register.

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

/// Defines functions of C on `long double` by those on `double`: as exact as these.
macro_rules! long_double {
    (unary: $($name:ident = $real:ident;)*) => {$(
        /// On a `long double`.
        ///
        /// # Safety
        /// It is only called by C, which puts the number into the stack.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                // The return address, then the number. 8 bytes of room keep the stack aligned.
                "sub rsp, 8",
                "fld tbyte ptr [rsp + 16]",
                "fstp qword ptr [rsp]",
                "movsd xmm0, [rsp]",
                "call {real}",
                "movsd [rsp], xmm0",
                "fld qword ptr [rsp]",
                "add rsp, 8",
                "ret",
                real = sym $real,
            )
        }
    )*};
    (binary: $($name:ident = $real:ident;)*) => {$(
        /// On two `long double`.
        ///
        /// # Safety
        /// It is only called by C, which puts the numbers into the stack.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "sub rsp, 8",
                "fld tbyte ptr [rsp + 16]",
                "fstp qword ptr [rsp]",
                "movsd xmm0, [rsp]",
                "fld tbyte ptr [rsp + 32]",
                "fstp qword ptr [rsp]",
                "movsd xmm1, [rsp]",
                "call {real}",
                "movsd [rsp], xmm0",
                "fld qword ptr [rsp]",
                "add rsp, 8",
                "ret",
                real = sym $real,
            )
        }
    )*};
    (to_double: $($name:ident = $real:ident;)*) => {$(
        /// A `long double` by other arguments, which are in registers and go on as they are.
        ///
        /// # Safety
        /// It is only called by C, with what the function on `double` takes.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "sub rsp, 8",
                "call {real}",
                "movsd [rsp], xmm0",
                "fld qword ptr [rsp]",
                "add rsp, 8",
                "ret",
                real = sym $real,
            )
        }
    )*};
    (from_double: $($name:ident = $real:ident;)*) => {$(
        /// A whole number of a `long double`, in the register for results.
        ///
        /// # Safety
        /// It is only called by C, which puts the number into the stack.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "sub rsp, 8",
                "fld tbyte ptr [rsp + 16]",
                "fstp qword ptr [rsp]",
                "movsd xmm0, [rsp]",
                "call {real}",
                "add rsp, 8",
                "ret",
                real = sym $real,
            )
        }
    )*};
}
pub(crate) use long_double;
