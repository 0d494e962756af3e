//! The memory map: INT 15h AX=E820h (ACPI specification, "System Address Map Interfaces").
//!
//! Entries have the format of PVH's `hvm_memmap_table_entry` and the same types, so the table that
//! the BIOS fills is the one that the kernel gets. Entries beyond the 128th are left out.

use crate::layout::{MEMORY_MAP, MEMORY_MAP_END, MEMORY_MAP_ENTRY};

core::arch::global_asm!(
    r#"
    .section .boot.stage2, "ax"
    .code16
    # Fill the table; EBX is the BIOS's place in its list, 0 at both ends.
memory_map_read16:
    xor ebx, ebx
    mov di, {MAP}
    mov bp, 1024
memory_map_ask:
    # For a BIOS that knows no extended attributes: "enabled".
    mov dword ptr [di + 20], 1
    mov eax, 0xe820
    mov ecx, {ENTRY}
    mov edx, 0x534d4150
    push di
    push bp
    int 0x15
    pop bp
    pop di
    # Carry: not supported, or (with some BIOSes) the end.
    jc memory_map_end
    cmp eax, 0x534d4150
    jne memory_map_end
    # Leave out what is cut short, disabled or empty.
    cmp ecx, 20
    jb memory_map_next
    test byte ptr [di + 20], 1
    jz memory_map_next
    mov eax, [di + 8]
    or eax, [di + 12]
    jz memory_map_next
    # The attributes become PVH's reserved field.
    mov dword ptr [di + 20], 0
    inc word ptr [memory_map_count]
    add di, {ENTRY}
    cmp di, {END}
    jae memory_map_end
memory_map_next:
    # No BIOS keeps us here for ever.
    dec bp
    jz memory_map_end
    test ebx, ebx
    jnz memory_map_ask
memory_map_end:
    cmp word ptr [memory_map_count], 0
    mov si, offset memory_map_message
    je fail16
    ret

    .code32
    # Carry clear: all of [EAX, EDX) is usable RAM. Ranges that follow each other count as one.
memory_map_is_ram:
    pushad
memory_map_piece:
    # From EAX on nothing is known yet.
    cmp eax, edx
    jae memory_map_all_ram
    mov esi, {MAP}
    mov ecx, [memory_map_count]
memory_map_entry:
    # Usable, and it begins at EAX or before?
    cmp dword ptr [esi + 16], 1
    jne memory_map_not_it
    cmp dword ptr [esi + 4], 0
    jne memory_map_not_it
    mov ebx, [esi]
    cmp ebx, eax
    ja memory_map_not_it
    # Its end, or the last byte below 4 GiB if it goes on above.
    add ebx, [esi + 8]
    mov edi, [esi + 12]
    adc edi, 0
    jz memory_map_below
    mov ebx, -1
memory_map_below:
    cmp ebx, eax
    jbe memory_map_not_it
    mov eax, ebx
    jmp memory_map_piece
memory_map_not_it:
    add esi, {ENTRY}
    dec ecx
    jnz memory_map_entry
    popad
    stc
    ret
memory_map_all_ram:
    popad
    clc
    ret

    .balign 4
memory_map_count:
    .long 0
memory_map_message:
    .asciz "the BIOS gives no memory map (INT 15h AX=E820h)\r\n"
    "#,
    MAP = const MEMORY_MAP,
    END = const MEMORY_MAP_END,
    ENTRY = const MEMORY_MAP_ENTRY,
);
