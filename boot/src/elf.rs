//! Loads the ELF: 64-bit, every `PT_LOAD` to its physical address. Standard: System V ABI, "Object
//! Files" and "Program Loading".
//!
//! Offsets in a program header: type 0, `p_offset` 8, `p_paddr` 24, `p_filesz` 32, `p_memsz` 40.

use crate::layout::{BUFFER_LEN, ELF_AT, LOWEST, PROGRAMS};

/// Most program headers that fit behind the ELF header in `PROGRAMS`.
const MOST_PROGRAMS: u32 = (BUFFER_LEN - 64) / 56;

core::arch::global_asm!(
    r#"
    .section .boot.stage2, "ax"
    .code32
    # The file header: magic, 64 bits, little-endian, x86-64, program headers right behind it.
elf_check:
    mov esi, offset elf_wrong
    cmp dword ptr [elf_len], {BUFFER_LEN}
    jb elf_check_short
elf_check_magic:
    cmp dword ptr [{PROGRAMS}], 0x464c457f
    jne fail
    cmp word ptr [{PROGRAMS} + 4], 0x0102
    jne fail
    cmp word ptr [{PROGRAMS} + 18], 62
    jne fail
    cmp dword ptr [{PROGRAMS} + 32], 64
    jne fail
    cmp dword ptr [{PROGRAMS} + 36], 0
    jne fail
    cmp word ptr [{PROGRAMS} + 54], 56
    jne fail
    movzx eax, word ptr [{PROGRAMS} + 56]
    dec eax
    cmp eax, {MOST_PROGRAMS}
    jae fail
    ret
elf_check_short:
    # Behind a short ELF the buffer is not filled: no header may come from there.
    mov ecx, {BUFFER_LEN}
    mov edi, [elf_len]
    sub ecx, edi
    add edi, {PROGRAMS}
    xor eax, eax
    rep stosb
    jmp elf_check_magic

    # Call EAX for each program header, at EBX, which it keeps.
elf_each_program:
    movzx ecx, word ptr [{PROGRAMS} + 56]
    mov ebx, {PROGRAMS} + 64
elf_each_program_next:
    push eax
    push ecx
    call eax
    pop ecx
    pop eax
    add ebx, 56
    dec ecx
    jnz elf_each_program_next
    ret

    # Check a segment; note in elf_need how far up the image reaches, in elf_lacks whether RAM is
    # missing there.
elf_check_segment:
    cmp dword ptr [ebx], 1
    jne elf_check_segment_end
    mov esi, offset elf_damaged
    # The upper halves of offset, address and sizes: all is below 4 GiB.
    mov eax, [ebx + 12]
    or eax, [ebx + 28]
    or eax, [ebx + 36]
    or eax, [ebx + 44]
    jnz fail
    # What is in the file ends before the file does, and is not more than what is in memory.
    mov eax, [ebx + 8]
    add eax, [ebx + 32]
    jc fail
    cmp eax, [elf_len]
    ja fail
    mov edx, [ebx + 40]
    cmp edx, [ebx + 32]
    jb fail
    # Not over the loader and the BIOS.
    mov eax, [ebx + 24]
    cmp eax, {LOWEST}
    jb fail
    add edx, eax
    jnc elf_check_segment_ram
    mov edx, -1
elf_check_segment_ram:
    cmp edx, [elf_need]
    jbe elf_check_segment_below
    mov [elf_need], edx
elf_check_segment_below:
    call memory_map_is_ram
    jnc elf_check_segment_end
    inc dword ptr [elf_lacks]
elf_check_segment_end:
    ret

    # After all segments have been looked at.
elf_check_memory:
    mov esi, offset elf_wrong
    mov eax, [elf_need]
    test eax, eax
    jz fail
    cmp dword ptr [elf_lacks], 0
    je elf_check_segment_end
    # In whole mebibytes, rounded up.
    dec eax
    shr eax, 20
    inc eax
    mov esi, offset elf_no_memory
    jmp fail

    # Load a segment and clear what is not in the file.
elf_load_segment:
    cmp dword ptr [ebx], 1
    jne elf_load_segment_end
    mov esi, [ebx + 8]
    add esi, {ELF_AT}
    mov edi, [ebx + 24]
    mov ecx, [ebx + 32]
    call disk_read
    add edi, ecx
    mov edx, [ebx + 40]
    sub edx, ecx
    xor eax, eax
    mov ecx, edx
    shr ecx, 5
    jz elf_clear_rest
    # In registers, as disk_copy.
elf_clear:
    .irp at, 0, 4, 8, 12, 16, 20, 24, 28
    mov [edi + \at], eax
    .endr
    add edi, 32
    dec ecx
    jnz elf_clear
elf_clear_rest:
    mov ecx, edx
    and ecx, 31
    rep stosb
elf_load_segment_end:
    ret

    .balign 4
elf_need:
    .long 0
elf_lacks:
    .long 0
elf_wrong:
    .asciz "the boot disk holds no ELF that can be loaded\r\n"
elf_damaged:
    .asciz "the ELF on the boot disk has a damaged program header\r\n"
elf_no_memory:
    .asciz "not enough memory: the image needs RAM up to # MiB\r\n"
    "#,
    BUFFER_LEN = const BUFFER_LEN,
    PROGRAMS = const PROGRAMS,
    MOST_PROGRAMS = const MOST_PROGRAMS,
    LOWEST = const LOWEST,
    ELF_AT = const ELF_AT,
);
