//! What is done once (POSIX.1-2017, `pthread_once`). A function that is left by an exception of C++ or a panic was not done, and the next caller
//! does it: the kernel has no landing pads, so an entry of assembly calls the function, and the routine of the unwinder that belongs to that
//! entry's frame (Itanium C++ ABI, "Exception Handling", section 1.6) puts the word back as the frame goes.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicU32, Ordering};

use super::{sleep, wake};
use crate::fault::UnwindContext;

const RUNNING: u32 = 1;
const DONE: u32 = 2;

/// Calls a function once.
///
/// # Safety
/// `control` was 0 at first.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_once(
    control: *mut libc::pthread_once_t,
    function: extern "C" fn(),
) -> c_int {
    // SAFETY: the caller's integer.
    let word = unsafe { &*control.cast::<AtomicU32>() };
    loop {
        match word.compare_exchange(0, RUNNING, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => {
                // SAFETY: the caller's function; the word is its own.
                unsafe { call(word, function) };
                word.store(DONE, Ordering::Release);
                wake(word, usize::MAX);
                return 0;
            }
            Err(DONE) => return 0,
            // Without a deadline this does not fail.
            Err(running) => drop(sleep(word, running, None)),
        }
    }
}

/// Calls `function`, with `word` where [`on_unwinding`] finds it.
///
/// # Safety
/// 1. `word` lives as long as the call.
#[unsafe(naked)]
unsafe extern "C" fn call(word: &AtomicU32, function: extern "C" fn()) {
    core::arch::naked_asm!(
        ".cfi_startproc",
        // An offset of 32 bits from here (DW_EH_PE_pcrel | DW_EH_PE_sdata4).
        ".cfi_personality 0x1b, {routine}",
        "push rbx",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbx, -16",
        "mov rbx, rdi",
        "call rsi",
        "pop rbx",
        ".cfi_def_cfa_offset 8",
        ".cfi_restore rbx",
        "ret",
        ".cfi_endproc",
        routine = sym on_unwinding,
    )
}

unsafe extern "C" {
    fn _Unwind_GetGR(context: *mut UnwindContext, register: c_int) -> usize;
}

/// `rbx` as DWARF counts registers (System V ABI, x86-64, figure 3.36).
const RBX: c_int = 3;
/// The second walk over the frames, in which they go (`_UA_CLEANUP_PHASE`).
const CLEANUP: c_int = 2;
/// `_URC_CONTINUE_UNWIND`.
const CONTINUE: c_int = 8;

/// Asked by the unwinder about the frame of [`call`]: nothing is caught there.
unsafe extern "C" fn on_unwinding(
    _version: c_int,
    actions: c_int,
    _class: u64,
    _exception: *mut c_void,
    context: *mut UnwindContext,
) -> c_int {
    if actions & CLEANUP != 0 {
        // SAFETY: the frame is that of `call`, where the register has the word, which still lives.
        let word = unsafe { &*(_Unwind_GetGR(context, RBX) as *const AtomicU32) };
        word.store(0, Ordering::Release);
        wake(word, usize::MAX);
    }
    CONTINUE
}
