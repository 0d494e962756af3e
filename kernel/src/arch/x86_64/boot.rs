//! The first instructions: from what a loader leaves to Rust in long mode.
//!
//! There is one entry for all loaders, in whatever mode they come (below is what else they promise):
//! - PVH (Xen, docs/misc/pvh.pandoc), found by its note: 32-bit protected mode without paging, `ebx` = `hvm_start_info`.
//! - Multiboot 1 and 2 (the GNU specifications 0.6.96 and 2.0), found by their headers: as PVH, but `eax` = a magic number of
//!   theirs and `ebx` = their information. Both take the ELF's entry.
//! - The 64-bit boot protocol of Linux (Documentation/arch/x86/boot.rst), at the ELF's entry: long mode, `rsi` = the zero page.
//!
//! A processor that cannot run the kernel is told so, and halts. Who comes in long mode leaves it, so that all go on alike whatever their page tables and control registers were. This code maps the
//! first 4 GiB one to one with pages of 2 MiB, enters long mode and calls [`crate::start::start`] on the boot stack.

use core::arch::global_asm;

use super::baseline;
use super::start_info::Protocol;

/// Size of the stack that the kernel starts on, in bytes.
pub const BOOT_STACK_BYTES: usize = 32 * 1024;

global_asm!(
    // The ELF note that tells a loader the 32-bit entry: type 18 (XEN_ELFNOTE_PHYS32_ENTRY).
    r#"
    .section .note.Xen, "a", @note
    .align 4
    .long 4, 4, 18
    .asciz "Xen"
    .long toro_start

    // The header of Multiboot 1: magic, flags (a memory map), checksum. Whoever searches for it looks at the first 8 KiB of the file,
    // QEMU only at what starts in the first 8,144 bytes of them: it takes no 64-bit ELF by this protocol, and finds PVH so.
    .section .rodata.toro.multiboot1, "a"
    .align 4
    .long 0x1BADB002, 2, -(0x1BADB002 + 2)

    // The header of Multiboot 2: magic, architecture, length, checksum. Tags: a framebuffer, if it can be had (type 5,
    // optional; width, height and bits of a pixel are wishes); the end.
    .section .rodata.toro.multiboot2, "a"
    .align 8
toro_multiboot2:
    .long 0xE85250D6, 0, toro_multiboot2_end - toro_multiboot2
    .long -(0xE85250D6 + (toro_multiboot2_end - toro_multiboot2))
    .word 5, 1
    .long 20, 1024, 768, 32, 0
    .long 0, 8
toro_multiboot2_end:

    .section .text.toro.boot, "ax"
    .code32
    .global toro_start
toro_start:
    cld
    // The same bytes are other instructions in long mode: 0x41 is `inc ecx` here, and the prefix of `mov r8d, eax` there.
    xor ecx, ecx
    .byte 0x41, 0x89, 0xC0
    .byte 0xE3, 2f - 1f                   // jecxz, jrcxz: if ecx is still 0
1:  jmp 3f
    .code64
2:  jmp toro_start_64
    .code32
3:  mov edi, ebx                          // the information stays in edi, the first argument
    mov esi, eax                          // and what the loader calls itself in esi, the second one
toro_start_32:
    // What nothing here does without (`baseline`): ebp is what is missing of the extended leaf, all of it where there is no such leaf,
    // and ebx what is missing of the basic one.
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    sbb ebp, ebp
    mov eax, 0x80000001
    cpuid
    not edx
    or ebp, edx
    and ebp, {extended}
    mov eax, 1
    cpuid
    mov ebx, edx
    not ebx
    and ebx, {basic}
    mov eax, ebx
    or eax, ebp
    jnz toro_refuse
    // 2048 entries of 2 MiB: present, writable, large.
    mov ecx, 0
    mov eax, 0x83
1:  mov dword ptr [toro_boot_pd + ecx * 8], eax
    add eax, 0x200000
    inc ecx
    cmp ecx, 2048
    jne 1b
    mov dword ptr [toro_boot_pdpt], offset toro_boot_pd + 3
    mov dword ptr [toro_boot_pdpt + 8], offset toro_boot_pd + 0x1003
    mov dword ptr [toro_boot_pdpt + 16], offset toro_boot_pd + 0x2003
    mov dword ptr [toro_boot_pdpt + 24], offset toro_boot_pd + 0x3003
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

    // From long mode: into 32-bit code, and out of it with paging off.
    .code64
toro_start_64:
    cli
    mov rdi, rsi
    shr rsi, 32
    jz 1f
    xor edi, edi                          // above 4 GiB: as if there were none
1:  lgdt [rip + toro_boot_gdt_pointer]
    lea rsp, [rip + toro_boot_stack + {stack}]
    push 24
    push offset toro_leave_64
    retfq
    .code32
toro_leave_64:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov eax, 0x11                         // PE, ET
    mov cr0, eax
    mov ecx, 0xC0000080                   // EFER: LME off
    rdmsr
    and eax, 0xFFFFFEFF
    wrmsr
    xor eax, eax
    mov cr4, eax
    mov esi, {linux}
    jmp toro_start_32

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
    mov esi, esi
    call {start}
    ud2

    .section .rodata.toro.boot, "a"
    .align 8
toro_boot_gdt:
    .quad 0, {code_64}, {data}, {code_32}
toro_boot_gdt_pointer:
    .word 31
    .quad toro_boot_gdt

    .section .bss.toro.boot, "aw", @nobits
    .align 4096
toro_boot_pml4: .skip 4096
toro_boot_pdpt: .skip 4096
toro_boot_pd: .skip 4 * 4096
toro_boot_stack: .skip {stack}
    .text
    "#,
    stack = const BOOT_STACK_BYTES,
    start = sym crate::start::start,
    basic = const baseline::MASKS[0],
    extended = const baseline::MASKS[1],
    code_64 = const super::descriptors::CODE_64,
    code_32 = const super::descriptors::CODE_32,
    data = const super::descriptors::DATA,
    linux = const Protocol::LINUX.0,
);
