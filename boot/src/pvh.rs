//! The end of the loader: finds the PVH entry in the ELF's notes, builds `hvm_start_info` and jumps
//! in the PVH start state. Standards: Xen, docs/misc/pvh.pandoc and
//! xen/include/public/arch-x86/hvm/start_info.h (version 1); note type 18 is
//! `XEN_ELFNOTE_PHYS32_ENTRY`.

use crate::layout::{
    BUFFER_LEN, COMMAND_LINE_AT, ELF_AT, HEADER, LOWEST, MEMORY_MAP, NOTES, START_INFO,
};

core::arch::global_asm!(
    r#"
    .section .boot.stage2, "ax"
    .code32
    # Look for the entry in the program header at EBX, if it is a PT_NOTE of a size to be expected.
pvh_find_entry:
    cmp dword ptr [ebx], 4
    jne pvh_find_entry_end
    mov eax, [ebx + 12]
    or eax, [ebx + 36]
    jnz pvh_find_entry_end
    mov ecx, [ebx + 32]
    cmp ecx, {BUFFER_LEN}
    ja pvh_find_entry_end
    mov esi, [ebx + 8]
    mov eax, esi
    add eax, ecx
    jc pvh_find_entry_end
    cmp eax, [elf_len]
    ja pvh_find_entry_end
    add esi, {ELF_AT}
    mov edi, {NOTES}
    call disk_read

    # ESI = a note, ECX = bytes left. A note: length of name, length of description, type; then
    # name and description, padded to 4.
    mov esi, edi
pvh_note:
    sub ecx, 12
    jb pvh_find_entry_end
    mov eax, [esi]
    mov edx, [esi + 4]
    add eax, 3
    jc pvh_find_entry_end
    and al, 0xfc
    add edx, 3
    jc pvh_find_entry_end
    and dl, 0xfc
    sub ecx, eax
    jb pvh_find_entry_end
    sub ecx, edx
    jb pvh_find_entry_end
    # EDI = the description. "Xen", type 18, at least 4 bytes?
    lea edi, [esi + eax + 12]
    cmp dword ptr [esi], 4
    jne pvh_note_next
    cmp dword ptr [esi + 8], 18
    jne pvh_note_next
    cmp dword ptr [esi + 12], 0x006e6558
    jne pvh_note_next
    cmp edx, 4
    jb pvh_note_next
    mov eax, [edi]
    mov [pvh_entry], eax
pvh_note_next:
    lea esi, [edi + edx]
    jmp pvh_note
pvh_find_entry_end:
    ret

    # Fill in hvm_start_info and go.
pvh_start:
    mov esi, offset pvh_no_entry
    cmp dword ptr [pvh_entry], {LOWEST}
    jb fail
    mov edi, {START_INFO}
    xor eax, eax
    mov ecx, 14
    rep stosd
    # Magic, version 1; no flags, no modules; the RSDP (offset 32) stays 0: the kernel looks for it.
    mov ebx, {START_INFO}
    mov dword ptr [ebx], 0x336ec578
    mov dword ptr [ebx + 4], 1
    mov dword ptr [ebx + 24], {HEADER} + {COMMAND_LINE_AT}
    mov dword ptr [ebx + 40], {MEMORY_MAP}
    mov eax, [memory_map_count]
    mov [ebx + 48], eax
    # The state: CR0 only PE (and ET, which is fixed), CR4 empty, a task state segment, flat
    # segments, interrupts off, EBX = hvm_start_info.
    mov eax, 0x11
    mov cr0, eax
    xor eax, eax
    mov cr4, eax
    mov eax, 0x28
    ltr ax
    # And EAX, which PVH leaves open, says who started the kernel ("TORO").
    mov eax, 0x4f524f54
    mov ecx, [pvh_entry]
    jmp ecx

    .balign 4
pvh_entry:
    .long 0
pvh_no_entry:
    .asciz "the ELF on the boot disk has no PVH entry\r\n"
    "#,
    BUFFER_LEN = const BUFFER_LEN,
    ELF_AT = const ELF_AT,
    LOWEST = const LOWEST,
    NOTES = const NOTES,
    START_INFO = const START_INFO,
    HEADER = const HEADER,
    COMMAND_LINE_AT = const COMMAND_LINE_AT,
    MEMORY_MAP = const MEMORY_MAP,
);
