//! What C code does while a panic or an exception passes through it: functions with `__attribute__((cleanup))`, compiled with `-fexceptions`.
//!
//! The compiler tells in a table of each function which code to run for a call that is left early ([`crate::fault::cleanup`]). C never catches,
//! so that this code always ends with going on.

use core::ffi::c_int;

use unwinding::abi::{
    _Unwind_GetIPInfo, _Unwind_GetLanguageSpecificData, _Unwind_GetRegionStart, _Unwind_SetGR,
    _Unwind_SetIP, UnwindAction, UnwindContext, UnwindException, UnwindReasonCode,
};

use crate::fault::cleanup::cleanup;

/// Registers in which such code finds what is on its way, by their numbers in DWARF (System V ABI, x86-64, 3.6.2): rax and rdx.
const EXCEPTION_REGISTER: c_int = 0;
const SELECTOR_REGISTER: c_int = 1;

/// What the unwinder asks for each frame of C that has such a table.
///
/// # Safety
/// 1. The unwinder calls it: the frame's table is as the compiler wrote it.
#[unsafe(no_mangle)]
unsafe extern "C" fn __gcc_personality_v0(
    version: c_int,
    actions: UnwindAction,
    _class: u64,
    exception: *mut UnwindException,
    frame: &mut UnwindContext<'_>,
) -> UnwindReasonCode {
    if version != 1 {
        return UnwindReasonCode::FATAL_PHASE1_ERROR;
    }
    let table: *const u8 = _Unwind_GetLanguageSpecificData(frame).cast();
    if actions.contains(UnwindAction::SEARCH_PHASE) || table.is_null() {
        return UnwindReasonCode::CONTINUE_UNWIND;
    }
    let mut is_before = 0;
    let address = _Unwind_GetIPInfo(frame, &mut is_before);
    // The address where a call returns to is behind it.
    let address = address - usize::from(is_before == 0);
    let start = _Unwind_GetRegionStart(frame);
    // SAFETY: a table of the compiler's (1).
    match unsafe { cleanup(table, start, address) } {
        Some(code) => {
            _Unwind_SetGR(frame, EXCEPTION_REGISTER, exception as usize);
            _Unwind_SetGR(frame, SELECTOR_REGISTER, 0);
            _Unwind_SetIP(frame, code);
            UnwindReasonCode::INSTALL_CONTEXT
        }
        None => UnwindReasonCode::CONTINUE_UNWIND,
    }
}
