//! Reads the boot disk by INT 13h AH=42h (Enhanced Disk Drive Specification 3.0), or without the BIOS where `direct` can.
//!
//! Each read takes as much as the bounce buffer holds and the ELF has: a call of the BIOS costs more than the sectors, and what comes
//! next is mostly what lies behind. A read that fails three times is tried again with half the sectors: some BIOSes take fewer than
//! 127. One sector that can't be read is the end.

use crate::direct::MOST_SECTORS;
use crate::layout::{BOUNCE, BOUNCE_SECTORS, ELF_AT, PARTITION_LBA};

core::arch::global_asm!(
    r#"
    .section .boot.stage2, "ax"
    .code32
    # A CD has sectors of 2048 bytes. Keeps registers.
disk_prepare:
    cmp byte ptr [boot_is_cd], 0
    je disk_prepare_end
    mov dword ptr [disk_shift], 11
    mov dword ptr [disk_mask], 2047
    mov dword ptr [disk_most], {BOUNCE_SECTORS} / 4
    mov dword ptr [disk_partition], {PARTITION_LBA} / 4
    mov dword ptr [disk_end], {PARTITION_LBA} / 4 + 1
disk_prepare_end:
    ret

    # After the header with the length of the ELF: how far reads may reach. Keeps registers but EAX and ECX.
disk_limit:
    mov eax, [elf_len]
    add eax, {ELF_AT}
    add eax, [disk_mask]
    mov ecx, [disk_shift]
    shr eax, cl
    add eax, [disk_partition]
    mov [disk_end], eax
    ret

    # Read ECX bytes from byte ESI of partition 1 to EDI, which may be anywhere. Keeps registers.
disk_read:
    pushad
    mov ebp, ecx
disk_read_chunk:
    test ebp, ebp
    jz disk_read_end
    # Whole sectors to an even address: straight, if there is a way.
    cmp dword ptr [direct_way], 0
    je disk_read_some
    mov ecx, ebp
    shr ecx, 9
    jz disk_read_some
    test esi, 511
    jnz disk_read_some
    test edi, 1
    jnz disk_read_some
    cmp ecx, {MOST_SECTORS}
    jbe disk_read_whole
    mov ecx, {MOST_SECTORS}
disk_read_whole:
    mov eax, esi
    shr eax, 9
    add eax, [disk_partition]
    call direct_read
    jc disk_read_some
    shl ecx, 9
    add esi, ecx
    add edi, ecx
    sub ebp, ecx
    jmp disk_read_chunk
disk_read_some:
    mov eax, esi
    mov ecx, [disk_shift]
    shr eax, cl
    add eax, [disk_partition]
    call disk_bounce
    # EAX = the first wanted byte in the buffer, ECX = how many of the wanted ones are there.
    mov ebx, esi
    and ebx, [disk_mask]
    add eax, ebx
    sub ecx, ebx
    cmp ecx, ebp
    jbe disk_read_copy
    mov ecx, ebp
disk_read_copy:
    sub ebp, ecx
    lea edx, [esi + ecx]
    mov esi, eax
    call disk_copy
    mov esi, edx
    jmp disk_read_chunk
disk_read_end:
    popad
    ret

    # Copy ECX bytes from ESI to EDI, moving these on; changes EAX, EBX and ECX. In registers, since an emulator
    # takes several times as long for a repeated string instruction.
disk_copy:
    push ecx
    shr ecx, 5
    jz disk_copy_rest
disk_copy_next:
    .irp at, 0, 8, 16, 24
    mov eax, [esi + \at]
    mov ebx, [esi + \at + 4]
    mov [edi + \at], eax
    mov [edi + \at + 4], ebx
    .endr
    add esi, 32
    add edi, 32
    dec ecx
    jnz disk_copy_next
disk_copy_rest:
    pop ecx
    and ecx, 31
    rep movsb
    ret

    # Have the sector with the LBA EAX, which lies before disk_end, in the bounce buffer: EAX is where, ECX how many bytes are
    # there from it on.
disk_bounce:
    mov edx, eax
    sub edx, [disk_lba]
    jb disk_bounce_read
    mov ebx, [disk_held]
    sub ebx, edx
    jbe disk_bounce_read
    mov ecx, [disk_shift]
    shl edx, cl
    shl ebx, cl
    lea eax, [edx + {BOUNCE}]
    mov ecx, ebx
    ret
disk_bounce_read:
    mov [disk_lba], eax
    mov ecx, [disk_end]
    sub ecx, eax
    cmp ecx, [disk_most]
    jbe disk_bounce_try
    mov ecx, [disk_most]
disk_bounce_try:
    mov [disk_wanted], ecx
    mov eax, [disk_lba]
    push edi
    mov edi, {BOUNCE}
    call direct_read
    pop edi
    jnc disk_bounce_done
    mov eax, offset disk_read16
    call mode_real
disk_bounce_done:
    mov eax, [disk_lba]
    mov [disk_held], ecx
    movzx edx, byte ptr [disk_status]
    test edx, edx
    jz disk_bounce
    shr ecx, 1
    jz disk_bounce_fail
    mov [disk_most], ecx
    jmp disk_bounce_try
disk_bounce_fail:
    mov esi, offset disk_message
    jmp fail

    .code16
    # One read, tried three times. A BIOS may change the count in the packet.
disk_read16:
    mov byte ptr [disk_tries], 3
disk_read16_try:
    mov ax, [disk_wanted]
    mov [disk_count], ax
    mov si, offset disk_packet
    mov dl, [boot_drive]
    mov ah, 0x42
    int 0x13
    mov byte ptr [disk_status], 0
    jnc disk_read16_end
    # An error without a number would look like success.
    or ah, ah
    jnz disk_read16_error
    inc ah
disk_read16_error:
    mov [disk_status], ah
    xor ah, ah
    mov dl, [boot_drive]
    int 0x13
    dec byte ptr [disk_tries]
    jnz disk_read16_try
disk_read16_end:
    ret

    .balign 4
disk_shift:
    .long 9
disk_mask:
    .long 511
disk_partition:
    .long {PARTITION_LBA}
    # Behind the last sector that may be read: the header's first, until the length of the ELF is known.
disk_end:
    .long {PARTITION_LBA} + 1
    # Sectors in the bounce buffer, from disk_lba on.
disk_held:
    .long 0
disk_most:
    .long {BOUNCE_SECTORS}
disk_wanted:
    .long 0
disk_status:
    .byte 0
disk_tries:
    .byte 0
    .balign 4
    # Disk address packet: size, count, offset, segment, LBA.
disk_packet:
    .word 16
disk_count:
    .word 0
    .word 0, {BOUNCE} >> 4
disk_lba:
    .quad 0
disk_message:
    .asciz "the BIOS can't read sector # of the boot disk (INT 13h error #)\r\n"
    "#,
    ELF_AT = const ELF_AT,
    PARTITION_LBA = const PARTITION_LBA,
    BOUNCE = const BOUNCE,
    BOUNCE_SECTORS = const BOUNCE_SECTORS,
    MOST_SECTORS = const MOST_SECTORS,
);
