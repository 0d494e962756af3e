//! The memory functions that compilers call: `memcpy`, `memmove`, `memset`, `memcmp`, `bcmp`, `strlen`.
//!
//! By vector registers, 16 bytes at a time: fast on processors, and in emulators, where a `rep` instruction costs one step an
//! iteration. In assembly, since a loop in Rust would be compiled into a call of itself.

use core::arch::naked_asm;

/// Copies `n` bytes to memory that does not overlap.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 16",
        "jb 4f",
        "cmp rdx, 32",
        "ja 2f",
        // 16 to 32: the first 16 and the last 16, which may overlap.
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + rdx - 16], xmm1",
        "ret",
        // More: the last 32 are kept, then 32 at a time from the start, then the last 32.
        "2: movups xmm2, [rsi + rdx - 32]",
        "movups xmm3, [rsi + rdx - 16]",
        "lea r8, [rdi + rdx - 32]",
        "3: movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "add rsi, 32",
        "add rdi, 32",
        "cmp rdi, r8",
        "jb 3b",
        "movups [r8], xmm2",
        "movups [r8 + 16], xmm3",
        "ret",
        "4: cmp edx, 8",
        "jb 5f",
        "mov rcx, [rsi]",
        "mov r8, [rsi + rdx - 8]",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], r8",
        "ret",
        "5: cmp edx, 4",
        "jb 6f",
        "mov ecx, [rsi]",
        "mov r8d, [rsi + rdx - 4]",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], r8d",
        "ret",
        "6: test edx, edx",
        "jz 7f",
        // One to three: first, middle and last byte.
        "movzx ecx, byte ptr [rsi]",
        "movzx r8d, byte ptr [rsi + rdx - 1]",
        "mov r10d, edx",
        "shr r10d, 1",
        "movzx r9d, byte ptr [rsi + r10]",
        "mov [rdi + r10], r9b",
        "mov [rdi + rdx - 1], r8b",
        "mov [rdi], cl",
        "7: ret",
    )
}

/// Copies `n` bytes to memory that may overlap.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        // Up to 32 bytes `memcpy` loads everything before it stores; beyond, it goes upwards, which is right for a lower target.
        "mov rcx, rdi",
        "sub rcx, rsi",
        "cmp rcx, rdx",
        "jae {memcpy}",
        "cmp rdx, 32",
        "jbe {memcpy}",
        // The target begins inside the source: downwards, the first 32 bytes kept for last.
        "mov rax, rdi",
        "movups xmm2, [rsi]",
        "movups xmm3, [rsi + 16]",
        "2: movups xmm0, [rsi + rdx - 16]",
        "movups xmm1, [rsi + rdx - 32]",
        "movups [rdi + rdx - 16], xmm0",
        "movups [rdi + rdx - 32], xmm1",
        "sub rdx, 32",
        "cmp rdx, 32",
        "ja 2b",
        "movups [rdi], xmm2",
        "movups [rdi + 16], xmm3",
        "ret",
        memcpy = sym memcpy,
    )
}

/// Fills `n` bytes.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, n: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "movzx esi, sil",
        "mov rcx, 0x0101010101010101",
        "imul rcx, rsi",
        "cmp rdx, 16",
        "jb 3f",
        "movq xmm0, rcx",
        "punpcklqdq xmm0, xmm0",
        "lea r8, [rdi + rdx - 16]",
        "2: movups [rdi], xmm0",
        "add rdi, 16",
        "cmp rdi, r8",
        "jb 2b",
        "movups [r8], xmm0",
        "ret",
        "3: cmp edx, 8",
        "jb 4f",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], rcx",
        "ret",
        "4: cmp edx, 4",
        "jb 5f",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], ecx",
        "ret",
        "5: test edx, edx",
        "jz 6f",
        "mov r8d, edx",
        "shr r8d, 1",
        "mov [rdi], cl",
        "mov [rdi + r8], cl",
        "mov [rdi + rdx - 1], cl",
        "6: ret",
    )
}

/// Compares `n` bytes: negative, zero or positive as the first difference, of unsigned bytes.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    naked_asm!(
        "cmp rdx, 16",
        "jb 4f",
        "2: movups xmm0, [rdi]",
        "movups xmm1, [rsi]",
        "pcmpeqb xmm0, xmm1",
        "pmovmskb ecx, xmm0",
        "xor ecx, 0xFFFF",
        "jnz 3f",
        "sub rdx, 16",
        "jz 6f",
        "add rdi, 16",
        "add rsi, 16",
        "cmp rdx, 16",
        "jae 2b",
        // A last, overlapping, 16: what comes before is equal already.
        "lea rdi, [rdi + rdx - 16]",
        "lea rsi, [rsi + rdx - 16]",
        "mov edx, 16",
        "jmp 2b",
        "3: bsf ecx, ecx",
        "movzx eax, byte ptr [rdi + rcx]",
        "movzx edx, byte ptr [rsi + rcx]",
        "sub eax, edx",
        "ret",
        "4: test edx, edx",
        "jz 6f",
        "5: movzx eax, byte ptr [rdi]",
        "movzx ecx, byte ptr [rsi]",
        "sub eax, ecx",
        "jnz 7f",
        "inc rdi",
        "inc rsi",
        "dec edx",
        "jnz 5b",
        "6: xor eax, eax",
        "7: ret",
    )
}

/// Whether `n` bytes differ.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

/// Length of a C string.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    naked_asm!(
        // Aligned groups of 16 never cross into a page that the string does not reach.
        "mov rsi, rdi",
        "and rsi, -16",
        "mov ecx, edi",
        "and ecx, 15",
        "pxor xmm0, xmm0",
        "movdqa xmm1, [rsi]",
        "pcmpeqb xmm1, xmm0",
        "pmovmskb eax, xmm1",
        "shr eax, cl",
        "test eax, eax",
        "jnz 3f",
        "2: add rsi, 16",
        "movdqa xmm1, [rsi]",
        "pcmpeqb xmm1, xmm0",
        "pmovmskb eax, xmm1",
        "test eax, eax",
        "jz 2b",
        "bsf eax, eax",
        "sub rsi, rdi",
        "add rax, rsi",
        "ret",
        "3: bsf eax, eax",
        "ret",
    )
}
