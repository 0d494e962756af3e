//! The memory functions that compilers call: `memcpy`, `memmove`, `memset`, `memcmp`, `bcmp`, `strlen`.
//!
//! By vector registers, 16 bytes at a time, or 32 where AVX is switched on: fast on processors, and in emulators, where a `rep` instruction
//! costs one step an iteration. In assembly, since a loop in Rust would be compiled into a call of itself.

use core::arch::naked_asm;
use core::sync::atomic::AtomicBool;
#[cfg(not(test))]
use core::sync::atomic::Ordering;

mod wide;

/// Whether AVX is switched on, on all cores that run.
static HAS_AVX: AtomicBool = AtomicBool::new(false);

/// Has copies go by 32 bytes from now on. AVX is switched on.
#[cfg(not(test))]
pub(super) fn use_avx() {
    HAS_AVX.store(true, Ordering::Relaxed);
}

/// Copies `n` bytes to memory that does not overlap.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 32",
        "ja 2f",
        "cmp edx, 16",
        "jb 4f",
        // 16 to 32: the first 16 and the last 16, which may overlap; in the same way up to 256. All is loaded before anything is stored.
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + rdx - 16], xmm1",
        "ret",
        "2: cmp byte ptr [rip + {has_avx}], 0",
        "jne {wide}",
        "cmp rdx, 64",
        "ja 3f",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + rdx - 32]",
        "movups xmm3, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + rdx - 32], xmm2",
        "movups [rdi + rdx - 16], xmm3",
        "ret",
        "3: cmp rdx, 128",
        "ja 8f",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + 32]",
        "movups xmm3, [rsi + 48]",
        "movups xmm4, [rsi + rdx - 64]",
        "movups xmm5, [rsi + rdx - 48]",
        "movups xmm6, [rsi + rdx - 32]",
        "movups xmm7, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + 32], xmm2",
        "movups [rdi + 48], xmm3",
        "movups [rdi + rdx - 64], xmm4",
        "movups [rdi + rdx - 48], xmm5",
        "movups [rdi + rdx - 32], xmm6",
        "movups [rdi + rdx - 16], xmm7",
        "ret",
        "8: lea r8, [rdi + rdx - 128]",
        "movups xmm8, [rsi + rdx - 128]",
        "movups xmm9, [rsi + rdx - 112]",
        "movups xmm10, [rsi + rdx - 96]",
        "movups xmm11, [rsi + rdx - 80]",
        "movups xmm12, [rsi + rdx - 64]",
        "movups xmm13, [rsi + rdx - 48]",
        "movups xmm14, [rsi + rdx - 32]",
        "movups xmm15, [rsi + rdx - 16]",
        "cmp rdx, 256",
        "ja 9f",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + 32]",
        "movups xmm3, [rsi + 48]",
        "movups xmm4, [rsi + 64]",
        "movups xmm5, [rsi + 80]",
        "movups xmm6, [rsi + 96]",
        "movups xmm7, [rsi + 112]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + 32], xmm2",
        "movups [rdi + 48], xmm3",
        "movups [rdi + 64], xmm4",
        "movups [rdi + 80], xmm5",
        "movups [rdi + 96], xmm6",
        "movups [rdi + 112], xmm7",
        "jmp 13f",
        // More: the last 128 are kept, then 128 or 256 at a time from the start, then the last 128.
        "9: cmp rdx, 640",
        "jb 12f",
        "lea r9, [r8 - 256]",
        "20: movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + 32]",
        "movups xmm3, [rsi + 48]",
        "movups xmm4, [rsi + 64]",
        "movups xmm5, [rsi + 80]",
        "movups xmm6, [rsi + 96]",
        "movups xmm7, [rsi + 112]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + 32], xmm2",
        "movups [rdi + 48], xmm3",
        "movups [rdi + 64], xmm4",
        "movups [rdi + 80], xmm5",
        "movups [rdi + 96], xmm6",
        "movups [rdi + 112], xmm7",
        "movups xmm0, [rsi + 128]",
        "movups xmm1, [rsi + 144]",
        "movups xmm2, [rsi + 160]",
        "movups xmm3, [rsi + 176]",
        "movups xmm4, [rsi + 192]",
        "movups xmm5, [rsi + 208]",
        "movups xmm6, [rsi + 224]",
        "movups xmm7, [rsi + 240]",
        "movups [rdi + 128], xmm0",
        "movups [rdi + 144], xmm1",
        "movups [rdi + 160], xmm2",
        "movups [rdi + 176], xmm3",
        "movups [rdi + 192], xmm4",
        "movups [rdi + 208], xmm5",
        "movups [rdi + 224], xmm6",
        "movups [rdi + 240], xmm7",
        "add rsi, 256",
        "add rdi, 256",
        "cmp rdi, r9",
        "jbe 20b",
        "cmp rdi, r8",
        "jae 13f",
        "12: movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + 32]",
        "movups xmm3, [rsi + 48]",
        "movups xmm4, [rsi + 64]",
        "movups xmm5, [rsi + 80]",
        "movups xmm6, [rsi + 96]",
        "movups xmm7, [rsi + 112]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + 32], xmm2",
        "movups [rdi + 48], xmm3",
        "movups [rdi + 64], xmm4",
        "movups [rdi + 80], xmm5",
        "movups [rdi + 96], xmm6",
        "movups [rdi + 112], xmm7",
        "add rsi, 128",
        "add rdi, 128",
        "cmp rdi, r8",
        "jb 12b",
        "13: movups [r8], xmm8",
        "movups [r8 + 16], xmm9",
        "movups [r8 + 32], xmm10",
        "movups [r8 + 48], xmm11",
        "movups [r8 + 64], xmm12",
        "movups [r8 + 80], xmm13",
        "movups [r8 + 96], xmm14",
        "movups [r8 + 112], xmm15",
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
        has_avx = sym HAS_AVX,
        wide = sym wide::copy,
    )
}

/// Copies `n` bytes to memory that may overlap.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        // Up to 256 bytes `memcpy` loads everything before it stores; beyond, it goes upwards, which is right for a lower target.
        "mov rcx, rdi",
        "sub rcx, rsi",
        "cmp rcx, rdx",
        "jae {memcpy}",
        "cmp rdx, 256",
        "jbe {memcpy}",
        // The target begins inside the source: downwards, the first 32 bytes kept for last.
        "mov rax, rdi",
        "cmp byte ptr [rip + {has_avx}], 0",
        "jne {wide}",
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
        has_avx = sym HAS_AVX,
        wide = sym wide::copy_downwards,
    )
}

/// Fills `n` bytes.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
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
        "lea r8, [rdi + rdx - 64]",
        "cmp rdx, 128",
        "ja 8f",
        // Up to 128 from both ends, which may overlap.
        "movups [rdi], xmm0",
        "movups [r8 + 48], xmm0",
        "cmp rdx, 32",
        "jbe 7f",
        "movups [rdi + 16], xmm0",
        "movups [r8 + 32], xmm0",
        "cmp rdx, 64",
        "jbe 7f",
        "movups [rdi + 32], xmm0",
        "movups [rdi + 48], xmm0",
        "movups [r8], xmm0",
        "movups [r8 + 16], xmm0",
        "7: ret",
        // More: 128 at a time, then the last 128.
        "8: cmp byte ptr [rip + {has_avx}], 0",
        "jne {wide}",
        "sub r8, 64",
        "2: movups [rdi], xmm0",
        "movups [rdi + 16], xmm0",
        "movups [rdi + 32], xmm0",
        "movups [rdi + 48], xmm0",
        "movups [rdi + 64], xmm0",
        "movups [rdi + 80], xmm0",
        "movups [rdi + 96], xmm0",
        "movups [rdi + 112], xmm0",
        "add rdi, 128",
        "cmp rdi, r8",
        "jb 2b",
        "movups [r8], xmm0",
        "movups [r8 + 16], xmm0",
        "movups [r8 + 32], xmm0",
        "movups [r8 + 48], xmm0",
        "movups [r8 + 64], xmm0",
        "movups [r8 + 80], xmm0",
        "movups [r8 + 96], xmm0",
        "movups [r8 + 112], xmm0",
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
        has_avx = sym HAS_AVX,
        wide = sym wide::fill,
    )
}

/// Compares `n` bytes: negative, zero or positive as the first difference, of unsigned bytes.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
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
        // Fewer than 16: the first eight (or four) and the last, which overlap; big-endian numbers compare as their bytes do.
        "4: cmp edx, 8",
        "jb 5f",
        "mov rax, [rdi]",
        "mov rcx, [rsi]",
        "cmp rax, rcx",
        "jne 8f",
        "mov rax, [rdi + rdx - 8]",
        "mov rcx, [rsi + rdx - 8]",
        "cmp rax, rcx",
        "je 6f",
        "8: bswap rax",
        "bswap rcx",
        "9: cmp rax, rcx",
        "sbb eax, eax",
        "or eax, 1",
        "ret",
        "5: cmp edx, 4",
        "jb 7f",
        "mov eax, [rdi]",
        "mov ecx, [rsi]",
        "cmp eax, ecx",
        "jne 8b",
        "mov eax, [rdi + rdx - 4]",
        "mov ecx, [rsi + rdx - 4]",
        "cmp eax, ecx",
        "jne 8b",
        "6: xor eax, eax",
        "ret",
        // One to three bytes, most significant first.
        "7: test edx, edx",
        "jz 6b",
        "mov r8d, edx",
        "shr r8d, 1",
        "movzx eax, byte ptr [rdi]",
        "movzx ecx, byte ptr [rsi]",
        "shl eax, 8",
        "shl ecx, 8",
        "mov al, [rdi + r8]",
        "mov cl, [rsi + r8]",
        "shl eax, 8",
        "shl ecx, 8",
        "mov al, [rdi + rdx - 1]",
        "mov cl, [rsi + rdx - 1]",
        "cmp eax, ecx",
        "jne 9b",
        "xor eax, eax",
        "ret",
    )
}

/// Whether `n` bytes differ.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

/// Length of a C string.
#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
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

#[cfg(test)]
mod tests {
    use super::{HAS_AVX, bcmp, memcmp, memcpy, memmove, memset, strlen};
    use std::sync::Mutex;
    use std::sync::atomic::Ordering;

    /// Runs `test` with SSE, and with AVX where this machine has it.
    fn in_both_widths(test: impl Fn()) {
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for has_avx in [false, std::is_x86_feature_detected!("avx")] {
            HAS_AVX.store(has_avx, Ordering::Relaxed);
            test();
        }
    }

    fn pattern(len: usize, seed: u8) -> Vec<u8> {
        (0..len)
            .map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed))
            .collect()
    }

    /// Around the lengths from which copies go by 256 or 512 bytes, and where their last part begins.
    const LONG: [usize; 19] = [
        383, 384, 385, 511, 512, 513, 639, 640, 641, 767, 768, 769, 895, 1023, 1024, 1025, 1279,
        1281, 5000,
    ];

    #[test]
    fn copies_of_every_length_touch_nothing_else() {
        in_both_widths(copy_all);
    }

    fn copy_all() {
        for len in (0..300).chain(LONG) {
            for offset in [0, 1, 7] {
                let from = pattern(len + 16, 1);
                let mut to = pattern(len + 48, 99);
                let before = to.clone();
                // SAFETY: both are longer than what is copied.
                unsafe {
                    memcpy(
                        to.as_mut_ptr().add(16 + offset),
                        from.as_ptr().add(offset),
                        len,
                    )
                };
                assert_eq!(to[..16 + offset], before[..16 + offset]);
                assert_eq!(
                    to[16 + offset..16 + offset + len],
                    from[offset..offset + len]
                );
                assert_eq!(to[16 + offset + len..], before[16 + offset + len..]);
            }
        }
    }

    #[test]
    fn moves_over_themselves_in_both_directions() {
        in_both_widths(move_all);
    }

    fn move_all() {
        for len in (0..300).chain(LONG) {
            for (from, to) in [
                (0, 1),
                (0, 8),
                (0, 17),
                (0, 40),
                (1, 0),
                (8, 0),
                (17, 0),
                (40, 0),
                (5, 5),
            ] {
                let mut bytes = pattern(len + 64, 3);
                let mut expected = bytes.clone();
                expected.copy_within(from..from + len, to);
                // SAFETY: both ends are inside the vector.
                unsafe { memmove(bytes.as_mut_ptr().add(to), bytes.as_ptr().add(from), len) };
                assert_eq!(bytes, expected, "{len} bytes from {from} to {to}");
            }
        }
    }

    #[test]
    fn fills_of_every_length_touch_nothing_else() {
        in_both_widths(fill_all);
    }

    fn fill_all() {
        for len in (0..300).chain(LONG) {
            let mut bytes = pattern(len + 32, 5);
            let mut expected = bytes.clone();
            expected[16..16 + len].fill(0xA5);
            // SAFETY: inside the vector.
            unsafe { memset(bytes.as_mut_ptr().add(16), 0x7A5, len) };
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn comparisons_order_by_the_first_difference_of_unsigned_bytes() {
        for len in 0..80 {
            let a = pattern(len, 7);
            // SAFETY: both have `len` bytes.
            assert_eq!(unsafe { memcmp(a.as_ptr(), a.clone().as_ptr(), len) }, 0);
            for at in 0..len {
                for value in [0u8, 0x7F, 0x80, 0xFF] {
                    let mut b = a.clone();
                    b[at] = value;
                    // A later difference does not matter.
                    b[len - 1] = if at == len - 1 { value } else { !b[len - 1] };
                    // SAFETY: as above.
                    let (order, differs) = unsafe {
                        (
                            memcmp(a.as_ptr(), b.as_ptr(), len),
                            bcmp(a.as_ptr(), b.as_ptr(), len),
                        )
                    };
                    assert_eq!(order.cmp(&0), a.cmp(&b), "{len} bytes, difference at {at}");
                    assert_eq!(differs != 0, a != b);
                }
            }
        }
    }

    #[test]
    fn lengths_of_texts_at_every_alignment() {
        for len in 0..70 {
            for offset in 0..20 {
                let mut bytes = vec![1u8; offset + len];
                bytes.push(0);
                // SAFETY: the text ends with a zero.
                assert_eq!(unsafe { strlen(bytes.as_ptr().add(offset)) }, len);
            }
        }
    }
}
