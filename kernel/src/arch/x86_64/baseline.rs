//! What a processor must have, and what is said where it lacks some of it, before the first instruction that needs it.
//!
//! That is the baseline of the System V ABI for x86-64 (section 3.1.1), for which programs are compiled, and what the kernel itself uses.
//! CPUID shows the instruction `syscall`, which belongs to both, only in long mode (Intel SDM volume 2A, table 3-8): it is not asked for.

#[cfg(not(test))]
use core::arch::global_asm;
#[cfg(not(test))]
use core::mem::offset_of;

#[cfg(not(test))]
use super::boot::BOOT_STACK_BYTES;

/// A feature, by its bit in EDX of CPUID's leaf 1 or in that of leaf 0x80000001, and its name as it is said: as hypervisors take it, with
/// a space before it and a zero behind.
#[repr(C)]
struct Feature {
    basic: u32,
    extended: u32,
    name: [u8; 8],
}

const fn basic(bit: u32, name: [u8; 8]) -> Feature {
    let (basic, extended) = (1 << bit, 0);
    Feature {
        basic,
        extended,
        name,
    }
}

const fn extended(bit: u32, name: [u8; 8]) -> Feature {
    let (basic, extended) = (0, 1 << bit);
    Feature {
        basic,
        extended,
        name,
    }
}

const COUNT: usize = 13;

static FEATURES: [Feature; COUNT] = [
    extended(29, *b" lm\0\0\0\0\0"),
    extended(20, *b" nx\0\0\0\0\0"),
    basic(0, *b" fpu\0\0\0\0"),
    basic(4, *b" tsc\0\0\0\0"),
    basic(5, *b" msr\0\0\0\0"),
    basic(6, *b" pae\0\0\0\0"),
    basic(8, *b" cx8\0\0\0\0"),
    basic(9, *b" apic\0\0\0"),
    basic(15, *b" cmov\0\0\0"),
    basic(23, *b" mmx\0\0\0\0"),
    basic(24, *b" fxsr\0\0\0"),
    basic(25, *b" sse\0\0\0\0"),
    basic(26, *b" sse2\0\0\0"),
];

/// All of them in one word for each leaf: 1 and 0x80000001.
pub(super) const MASKS: [u32; 2] = {
    let mut masks = [0; 2];
    let mut index = 0;
    while index < COUNT {
        masks[0] |= FEATURES[index].basic;
        masks[1] |= FEATURES[index].extended;
        index += 1;
    }
    masks
};

#[cfg(not(test))]
global_asm!(
    // The end of a machine that cannot run this: `ebx` and `ebp` are what is missing of the two masks. The reason goes to the serial line
    // and onto the screen, as far as they are there.
    r#"
    .section .text.toro.boot, "ax"
    .code32
    .global toro_refuse
toro_refuse:
    mov esp, offset toro_boot_stack + {stack}
    mov edx, 0x3FB                        // line control: 115200 baud, 8 bits, no parity
    mov al, 0x80
    out dx, al
    mov dl, 0xF8
    mov al, 1
    out dx, al
    inc edx
    xor eax, eax
    out dx, al
    mov dl, 0xFB
    mov al, 3
    out dx, al
    mov edi, 0xB8000
    mov esi, offset toro_refusal
    call toro_refuse_say
    mov esi, offset {features}
1:  mov eax, [esi]
    mov edx, [esi + 4]
    and eax, ebx
    and edx, ebp
    or eax, edx
    lea eax, [esi + {size}]
    push eax
    jz 2f
    add esi, {name}
    call toro_refuse_say
2:  pop esi
    cmp esi, offset {features} + {size} * {count}
    jne 1b
    mov esi, offset toro_refusal_end
    call toro_refuse_say
3:  cli
    hlt
    jmp 3b

    // The text at `esi` up to its zero; the next place of the screen is `edi`.
toro_refuse_say:
    lodsb
    test al, al
    jz 3f
    cmp al, 32
    jb 1f
    mov ah, 0x4F                          // white on red
    stosw
1:  mov ah, al
    mov ecx, 1000000                      // a port may never be ready
    mov edx, 0x3FD
2:  in al, dx
    test al, 0x20
    loopz 2b
    mov al, ah
    mov dl, 0xF8
    out dx, al
    jmp toro_refuse_say
3:  ret

    .section .rodata.toro.boot, "a"
toro_refusal:
    .asciz "\r\ntoro: this processor lacks"
toro_refusal_end:
    .asciz " (CPUID): give the machine another model\r\n"
    .text
    "#,
    stack = const BOOT_STACK_BYTES,
    features = sym FEATURES,
    size = const size_of::<Feature>(),
    name = const offset_of!(Feature, name),
    count = const COUNT,
);

#[cfg(test)]
mod tests {
    use super::{FEATURES, MASKS};

    #[test]
    fn every_feature_is_asked_for_once_and_has_a_name() {
        let [mut basic, mut extended] = MASKS;
        for feature in &FEATURES {
            assert_eq!(
                feature.basic.count_ones() + feature.extended.count_ones(),
                1
            );
            basic ^= feature.basic;
            extended ^= feature.extended;
            let name = core::ffi::CStr::from_bytes_until_nul(&feature.name).unwrap();
            let name = name.to_str().unwrap().strip_prefix(' ').unwrap();
            assert!(
                name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{name}"
            );
        }
        assert_eq!((basic, extended), (0, 0));
    }
}
