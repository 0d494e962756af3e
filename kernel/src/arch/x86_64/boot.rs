//! The first instructions: from the PVH start state (Xen, docs/misc/pvh.pandoc) to Rust in long mode.
//!
//! Start state: 32-bit protected mode, flat segments, paging off, interrupts off, `ebx` = physical address of the start
//! information. This code maps the first gigabyte one to one with pages of 2 MiB, enters long mode and calls
//! [`crate::start::start`] on the boot stack.

use core::arch::global_asm;

/// Size of the stack that the kernel starts on, in bytes.
pub const BOOT_STACK_BYTES: usize = 32 * 1024;

global_asm!(
    // The ELF note that tells a loader the 32-bit entry: type 18 (XEN_ELFNOTE_PHYS32_ENTRY).
    r#"
    .section .note.Xen, "a", @note
    .align 4
    .long 4, 4, 18
    .asciz "Xen"
    .long toro_pvh_start

    .section .text.toro.boot, "ax"
    .code32
    .global toro_pvh_start
toro_pvh_start:
    cld
    mov edi, ebx                          // the start information stays in edi, the first argument
    // 512 entries of 2 MiB: present, writable, large.
    mov ecx, 0
    mov eax, 0x83
1:  mov dword ptr [toro_boot_pd + ecx * 8], eax
    add eax, 0x200000
    inc ecx
    cmp ecx, 512
    jne 1b
    mov dword ptr [toro_boot_pdpt], offset toro_boot_pd + 3
    mov dword ptr [toro_boot_pml4], offset toro_boot_pdpt + 3
    mov eax, offset toro_boot_pml4
    mov cr3, eax
    mov eax, cr4
    or eax, 0x620                         // PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov ecx, 0xC0000080                   // EFER
    rdmsr
    or eax, 0x900                         // LME, NXE
    wrmsr
    mov eax, cr0
    and eax, 0x9FFFFFF3                   // caches on; EM, TS off
    or eax, 0x80010022                    // PG, WP, NE, MP
    mov cr0, eax
    lgdt [toro_boot_gdt_pointer]
    .byte 0xEA                            // far jump into the 64-bit code segment
    .long toro_boot_64
    .word 8

    .code64
toro_boot_64:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    fninit
    lea rsp, [rip + toro_boot_stack + {stack}]
    xor ebp, ebp
    mov edi, edi
    call {start}
    ud2

    .section .rodata.toro.boot, "a"
    .align 8
toro_boot_gdt:
    .quad 0, {code_64}, {data}
toro_boot_gdt_pointer:
    .word 23
    .long toro_boot_gdt

    .section .bss.toro.boot, "aw", @nobits
    .align 4096
toro_boot_pml4: .skip 4096
toro_boot_pdpt: .skip 4096
toro_boot_pd: .skip 4096
toro_boot_stack: .skip {stack}
    .text
    "#,
    stack = const BOOT_STACK_BYTES,
    start = sym crate::start::start,
    code_64 = const super::descriptors::CODE_64,
    data = const super::descriptors::DATA,
);
