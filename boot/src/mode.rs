//! From real mode to protected mode, and back for each call of the BIOS.
//!
//! The stack stays the same one. Interrupts are only on in real mode, where the BIOS's vectors
//! hold; the interrupt table register is never touched. A BIOS may load a descriptor table of its
//! own, so ours is loaded at each entry. Standard: Intel SDM volume 3, "Mode Switching".

core::arch::global_asm!(
    r#"
    .section .boot.stage2, "ax"
    .code32
    # Call the real-mode routine at EAX. Registers are kept; results go through variables.
mode_real:
    pushad
    mov [mode_routine], eax
    mov eax, offset mode_back
    push eax
    # Through a 16-bit code segment, with 16-bit data segments: their limits stay in real mode.
    .byte 0xea
    .long mode_16
    .word 0x18
    .code16
mode_16:
    mov ax, 0x20
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    mov ss, ax
    mov eax, cr0
    and al, 0xfe
    mov cr0, eax
    .byte 0xea
    .word mode_leave, 0
mode_leave:
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    mov ss, ax
    sti
    # With a 32-bit return address, as its RET expects.
    call dword ptr [mode_routine]

    # Go to protected mode, to the 32-bit address on the stack.
protect16:
    cli
    cld
    movzx esp, sp
    lgdt [mode_gdt_register]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0xea
    .word mode_32, 0x08
    .code32
mode_32:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    mov ss, eax
    ret
mode_back:
    popad
    ret

    .balign 8
mode_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff    # 0x08: code, 32 bits, all 4 GiB
    .quad 0x00cf93000000ffff    # 0x10: data, all 4 GiB
    .quad 0x00009b000000ffff    # 0x18: code, 16 bits, 64 KiB
    .quad 0x000093000000ffff    # 0x20: data, 64 KiB
    .quad 0x0000890000000067    # 0x28: task state, as PVH wants it
mode_gdt_end:
mode_gdt_register:
    .word mode_gdt_end - mode_gdt - 1
    .long mode_gdt
    .balign 4
mode_routine:
    .long 0
    "#
);
