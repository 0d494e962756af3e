//! What is said where a processor lacks something that it must have, before the first instruction that needs it.

use core::arch::global_asm;
use core::mem::offset_of;

use super::boot::BOOT_STACK_BYTES;

#[path = "../../../../boot/features.rs"]
mod features;

use features::{FEATURES, Feature};

/// All that it must have, in EDX of CPUID's leaves 1 and 0x80000001.
pub(super) const MASKS: [u32; 2] = features::missing([0; 2]);

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
    .code64
    "#,
    stack = const BOOT_STACK_BYTES,
    features = sym FEATURES,
    size = const size_of::<Feature>(),
    name = const offset_of!(Feature, name),
    count = const FEATURES.len(),
);
