//! The second stage from its first instruction to the kernel's: the order of things.

use crate::layout::{BUFFER_LEN, ELF_AT, PROGRAMS};

core::arch::global_asm!(
    r#"
    .section .boot.stage2, "ax"
    .code16
start16:
    call a20_enable16
    call memory_map_read16
    mov eax, offset start
    push eax
    jmp protect16

    .code32
start:
    call disk_prepare
    call header_read
    call direct_prepare
    call header_rest

    # The first bytes of the ELF, with its headers.
    mov esi, {ELF_AT}
    mov edi, {PROGRAMS}
    mov ecx, [elf_len]
    cmp ecx, {BUFFER_LEN}
    jbe start_short
    mov ecx, {BUFFER_LEN}
start_short:
    call disk_read
    call elf_check

    # Look at all segments before the first one is loaded.
    mov eax, offset elf_check_segment
    call elf_each_program
    call elf_check_memory
    # The entry first: its note lies at the start of the ELF, of which the bounce buffer still has a piece.
    mov eax, offset pvh_find_entry
    call elf_each_program
    mov eax, offset elf_load_segment
    call elf_each_program
    jmp pvh_start
    "#,
    ELF_AT = const ELF_AT,
    PROGRAMS = const PROGRAMS,
    BUFFER_LEN = const BUFFER_LEN,
);
