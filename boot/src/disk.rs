//! Reads the boot disk by INT 13h AH=42h (Enhanced Disk Drive Specification 3.0).
//!
//! A read that fails three times is tried again with half the sectors: some BIOSes take fewer than
//! 127. One sector that can't be read is the end.

use crate::layout::{BOUNCE, BOUNCE_SECTORS, PARTITION_LBA};

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
disk_prepare_end:
    ret

    # Read ECX bytes from byte ESI of partition 1 to EDI, which may be anywhere. Keeps registers.
disk_read:
    pushad
    mov ebp, ecx
disk_read_chunk:
    test ebp, ebp
    jz disk_read_end
    # EBX = bytes to skip in the first sector, EAX = its LBA, ECX = sectors that are left.
    mov ebx, esi
    and ebx, [disk_mask]
    lea edx, [ebx + ebp]
    add edx, [disk_mask]
    mov ecx, [disk_shift]
    shr edx, cl
    mov eax, esi
    shr eax, cl
    add eax, [disk_partition]
    mov ecx, edx
    call disk_bounce
    # ECX = bytes of the chunk that are wanted.
    mov edx, ecx
    mov ecx, [disk_shift]
    shl edx, cl
    mov ecx, edx
    sub ecx, ebx
    cmp ecx, ebp
    jbe disk_read_copy
    mov ecx, ebp
disk_read_copy:
    sub ebp, ecx
    mov edx, ecx
    lea eax, [esi + ecx]
    lea esi, [ebx + {BOUNCE}]
    shr ecx, 2
    rep movsd
    mov ecx, edx
    and ecx, 3
    rep movsb
    mov esi, eax
    jmp disk_read_chunk
disk_read_end:
    popad
    ret

    # Read sectors from LBA EAX to the bounce buffer: ECX at most, ECX is how many it were.
disk_bounce:
    cmp ecx, [disk_most]
    jbe disk_bounce_try
    mov ecx, [disk_most]
disk_bounce_try:
    mov [disk_lba], eax
    mov [disk_wanted], ecx
    mov eax, offset disk_read16
    call mode_real
    mov eax, [disk_lba]
    movzx edx, byte ptr [disk_status]
    test edx, edx
    jz disk_bounce_end
    shr ecx, 1
    jz disk_bounce_fail
    mov [disk_most], ecx
    jmp disk_bounce_try
disk_bounce_end:
    ret
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
    PARTITION_LBA = const PARTITION_LBA,
    BOUNCE = const BOUNCE,
    BOUNCE_SECTORS = const BOUNCE_SECTORS,
);
