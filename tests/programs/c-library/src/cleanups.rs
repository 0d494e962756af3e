//! A panic that passes through a function of C with something to clean up, as a compiler of C writes it for `__attribute__((cleanup))`.

use std::arch::global_asm;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

static CLEANED: AtomicU32 = AtomicU32::new(0);

extern "C" fn clean() {
    CLEANED.fetch_add(1, Ordering::Relaxed);
}

extern "C-unwind" fn fails() {
    resume_unwind(Box::new("left early"));
}

extern "C-unwind" fn works() {}

unsafe extern "C-unwind" {
    /// Calls `function`, and `clean` in whichever way that ends.
    fn toro_test_with_cleanup(function: extern "C-unwind" fn());
    /// Calls `function` where nothing is to be cleaned up.
    fn toro_test_without_cleanup(function: extern "C-unwind" fn());
}

// One table for both: the first call has code to run, the second has none.
global_asm!(
    ".pushsection .text.toro_test_cleanup, \"ax\", @progbits",
    ".globl toro_test_with_cleanup",
    ".type toro_test_with_cleanup, @function",
    "toro_test_with_cleanup:",
    ".cfi_startproc",
    ".cfi_personality 0x9b, toro_test_personality",
    ".cfi_lsda 0x1b, .Ltoro_test_with_table",
    "push rbx",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbx, -16",
    "2: call rdi",
    "3: call {clean}",
    "pop rbx",
    ".cfi_remember_state",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_restore_state",
    "4: mov rbx, rax",
    "call {clean}",
    "mov rdi, rbx",
    "5: call _Unwind_Resume",
    "6: ud2",
    ".cfi_endproc",
    ".globl toro_test_without_cleanup",
    ".type toro_test_without_cleanup, @function",
    "toro_test_without_cleanup:",
    ".cfi_startproc",
    ".cfi_personality 0x9b, toro_test_personality",
    ".cfi_lsda 0x1b, .Ltoro_test_without_table",
    "push rbx",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbx, -16",
    "12: call rdi",
    "13: pop rbx",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_endproc",
    ".popsection",
    ".pushsection .gcc_except_table.toro_test_cleanup, \"a\", @progbits",
    // No base, no types; where calls begin, how long they are, the code to run, no action.
    ".Ltoro_test_with_table: .byte 0xff, 0xff, 1, 9f - 8f",
    "8: .uleb128 2b - toro_test_with_cleanup, 3b - 2b, 4b - toro_test_with_cleanup, 0",
    ".uleb128 5b - toro_test_with_cleanup, 6b - 5b, 0, 0",
    "9:",
    ".Ltoro_test_without_table: .byte 0xff, 0xff, 1, 19f - 18f",
    "18: .uleb128 12b - toro_test_without_cleanup, 13b - 12b, 0, 0",
    "19:",
    ".popsection",
    ".pushsection .data.rel.ro.toro_test_cleanup, \"aw\", @progbits",
    ".balign 8",
    "toro_test_personality: .quad __gcc_personality_v0",
    ".popsection",
    clean = sym clean,
);

fn outcome(with: unsafe extern "C-unwind" fn(extern "C-unwind" fn()), what: &str) {
    for (how, function) in [("works", works as extern "C-unwind" fn()), ("fails", fails)] {
        // SAFETY: both functions only call what they are given.
        let result = catch_unwind(|| unsafe { with(function) });
        let why = result
            .err()
            .and_then(|why| why.downcast_ref::<&str>().copied());
        println!(
            "{what} that {how}: {why:?}, cleaned {}",
            CLEANED.load(Ordering::Relaxed)
        );
    }
}

pub(crate) fn steps() {
    outcome(toro_test_with_cleanup, "a call with a cleanup");
    outcome(toro_test_without_cleanup, "one without");
}
