//! `setjmp` and `longjmp` (ISO C17, section 7.13): the registers that calls keep, stored and loaded. Masks of signals are not looked at.

use core::ffi::c_int;

/// Stores where the caller is; returns 0, and a second time what `longjmp` says.
///
/// # Safety
/// `buf` is a `jmp_buf`.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn setjmp(buf: *mut u64) -> c_int {
    core::arch::naked_asm!(
        "mov [rdi], rbx",
        "mov [rdi + 8], rbp",
        "mov [rdi + 16], r12",
        "mov [rdi + 24], r13",
        "mov [rdi + 32], r14",
        "mov [rdi + 40], r15",
        // The stack as it is after the return, and where that leads.
        "lea rax, [rsp + 8]",
        "mov [rdi + 48], rax",
        "mov rax, [rsp]",
        "mov [rdi + 56], rax",
        "xor eax, eax",
        "ret",
    )
}

/// Goes on where `setjmp` stored, in a function that has not returned.
///
/// # Safety
/// `buf` was filled by `setjmp`, whose caller has not returned, on this thread.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn longjmp(buf: *const u64, value: c_int) -> ! {
    core::arch::naked_asm!(
        // 0 would look like the first return: it becomes 1.
        "mov eax, esi",
        "cmp eax, 1",
        "adc eax, 0",
        "mov rbx, [rdi]",
        "mov rbp, [rdi + 8]",
        "mov r12, [rdi + 16]",
        "mov r13, [rdi + 24]",
        "mov r14, [rdi + 32]",
        "mov r15, [rdi + 40]",
        "mov rsp, [rdi + 48]",
        "jmp qword ptr [rdi + 56]",
    )
}

macro_rules! second_names {
    ($($name:ident = $first:ident;)*) => {$(
        #[doc = concat!("See [`", stringify!($first), "`].\n\n# Safety\nAs there.")]
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            // A jump, not a call: `setjmp` stores the frame it is called in.
            core::arch::naked_asm!("jmp {first}", first = sym $first)
        }
    )*};
}

second_names! {
    _setjmp = setjmp;
    __sigsetjmp = setjmp;
    sigsetjmp = setjmp;
    _longjmp = longjmp;
    siglongjmp = longjmp;
    __longjmp_chk = longjmp;
}
