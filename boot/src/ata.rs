//! Reads the boot disk by bus-master DMA, where the BIOS says that it is an ATA disk at a PCI controller with its usual ports.
//!
//! A BIOS reads such a disk word by word, and an emulated machine is left and entered for each of them: a start takes three times
//! as long so. What is not as expected here is left to the BIOS for good: another kind of disk or controller, a read that fails, and
//! a disk that brings another boot header than the BIOS read. Standards: Enhanced Disk Drive Specification 3.0 (INT 13h AH=48h, its
//! device path and the device parameter table extension), ATA-6 (READ DMA EXT), "Programming Interface for Bus Master IDE Controller" 1.0.

use crate::direct::{LOOKS, MOST_SECTORS};

/// Physical region descriptors that the most sectors need: of 64 KiB each, and one more where they begin within such.
const DESCRIPTORS: u32 = MOST_SECTORS / 128 + 1;

core::arch::global_asm!(
    r#"
    .section .boot.stage2, "ax"
    .code16
    # Ask what the boot drive is. Without an answer the table stays empty.
ata_ask16:
    mov ah, 0x48
    mov dl, [boot_drive]
    mov si, offset ata_drive
    int 0x13
    ret

    .code32
    # Find the ports of the boot disk: EAX = the routine that reads it. Carry: not by this way.
ata_find:
    mov eax, offset ata_ask16
    call mode_real
    # The key of a device path; behind it the bus and the interface.
    cmp word ptr [ata_drive + 30], 0xbedd
    jne ata_find_fail
    cmp dword ptr [ata_drive + 36], 0x20494350
    jne ata_find_fail
    cmp dword ptr [ata_drive + 40], 0x20415441
    jne ata_find_fail
    # The table extension: its sum is 0, and the disk knows LBA.
    movzx esi, word ptr [ata_drive + 26]
    movzx eax, word ptr [ata_drive + 28]
    shl eax, 4
    add esi, eax
    mov ecx, 15
    mov al, [esi + 15]
ata_find_sum:
    add al, [esi + ecx - 1]
    dec ecx
    jnz ata_find_sum
    test al, al
    jnz ata_find_fail
    mov al, [esi + 4]
    test al, 0x40
    jz ata_find_fail
    mov [ata_device], al
    mov ax, [esi + 2]
    mov [ata_control], ax
    mov ax, [esi]
    mov [ata_command], ax
    # ECX = where the channel's registers lie among those of the bus master.
    cmp ax, 0x1f0
    je ata_find_pci
    mov cl, 8
    cmp ax, 0x170
    jne ata_find_fail

    # EBX = the configuration address of the controller: bus, device and function are a byte each in the path.
ata_find_pci:
    mov eax, [ata_drive + 48]
    movzx ebx, al
    or bh, 0x80
    shl ebx, 16
    movzx edx, ah
    and edx, 31
    shl edx, 11
    or ebx, edx
    shr eax, 8
    and eax, 0x700
    or ebx, eax
    # IDE, and a bus master.
    mov al, 0x08
    call direct_config
    in eax, dx
    shr eax, 8
    and eax, 0xffff80
    cmp eax, 0x010180
    jne ata_find_fail
    mov al, 0x20
    call direct_config
    in eax, dx
    test al, 1
    jz ata_find_fail
    and eax, 0xfff0
    jz ata_find_fail
    add eax, ecx
    mov [ata_master], ax
    mov al, 0x04
    call direct_config
    in ax, dx
    or al, 5
    out dx, ax

    mov eax, offset ata_read
    jmp direct_try
ata_find_fail:
    stc
    ret

    # As direct_read has it.
ata_read:
    pushad
    # Descriptors: address and bytes, up to the next 64 KiB each; 0 bytes are 64 KiB. The last is marked.
    mov ebx, offset ata_descriptors - 8
    mov esi, ecx
    shl esi, 9
ata_read_descriptor:
    add ebx, 8
    movzx edx, di
    neg edx
    add edx, 0x10000
    cmp edx, esi
    jbe ata_read_room
    mov edx, esi
ata_read_room:
    mov [ebx], edi
    mov [ebx + 4], dx
    mov word ptr [ebx + 6], 0
    add edi, edx
    sub esi, edx
    jnz ata_read_descriptor
    mov byte ptr [ebx + 7], 0x80
    mov esi, eax
    call ata_wait
    jc ata_read_fail
    # No interrupt at the end: the BIOS has its own ideas of those.
    mov al, 0x0a
    out dx, al
    movzx ebx, word ptr [ata_command]
    mov al, [ata_device]
    lea edx, [ebx + 6]
    out dx, al
    call ata_wait
    jc ata_read_fail
    # Each register holds two bytes, of which the upper is written first; the LBA ends below 2^32.
    lea edx, [ebx + 2]
    mov al, ch
    out dx, al
    mov eax, esi
    shr eax, 24
    inc edx
    out dx, al
    mov al, 0
    inc edx
    out dx, al
    inc edx
    out dx, al
    lea edx, [ebx + 2]
    mov al, cl
    out dx, al
    mov eax, esi
    inc edx
    out dx, al
    shr eax, 8
    inc edx
    out dx, al
    shr eax, 8
    inc edx
    out dx, al
    # To memory, marks of before cleared; then READ DMA EXT, then start.
    mov dx, [ata_master]
    mov al, 8
    out dx, al
    add edx, 2
    in al, dx
    or al, 6
    out dx, al
    add edx, 2
    mov eax, offset ata_descriptors
    out dx, eax
    lea edx, [ebx + 7]
    mov al, 0x25
    out dx, al
    mov dx, [ata_master]
    mov al, 9
    out dx, al
    mov ecx, {LOOKS}
ata_read_look:
    mov dx, [ata_master]
    add edx, 2
    in al, dx
    test al, 1
    jz ata_read_done
    # A disk that fails leaves the bus master waiting.
    mov dx, [ata_control]
    in al, dx
    and al, 0x81
    dec al
    jz ata_read_fail
    pause
    dec ecx
    jnz ata_read_look
ata_read_fail:
    mov al, 0
    call ata_stop
    mov eax, offset ata_reset16
    call mode_real
    popad
    stc
    ret
ata_read_done:
    call ata_stop
    # An error of the bus master, or of the disk: fault, data left, error.
    test al, 2
    jnz ata_read_fail
    call ata_wait
    jc ata_read_fail
    test al, 0x29
    jnz ata_read_fail
    popad
    clc
    ret

    # Stop the bus master, take what the disk wants to say, and let it interrupt again. Keeps AL.
ata_stop:
    mov ah, al
    mov dx, [ata_master]
    mov al, 0
    out dx, al
    mov dx, [ata_command]
    add edx, 7
    in al, dx
    mov dx, [ata_control]
    mov al, 8
    out dx, al
    mov al, ah
    ret

    # Wait until no command is being executed: AL = the status, DX = the port of it. Carry: in vain.
ata_wait:
    push ecx
    mov dx, [ata_control]
    # The status holds 400 ns after a write: four reads.
    in al, dx
    in al, dx
    in al, dx
    in al, dx
    mov ecx, {LOOKS}
ata_wait_look:
    in al, dx
    test al, 0x80
    jz ata_wait_end
    pause
    dec ecx
    jnz ata_wait_look
    stc
ata_wait_end:
    pop ecx
    ret

    .code16
ata_reset16:
    mov dl, [boot_drive]
    xor ah, ah
    int 0x13
    ret

    .balign 4
    # Physical region descriptors.
ata_descriptors:
    .zero 8 * {DESCRIPTORS}
    # First ports of the channel's command registers and of the bus master's.
ata_command:
    .word 0
ata_master:
    .word 0
    # The port of the alternate status and of the device control.
ata_control:
    .word 0
ata_device:
    .byte 0
    .balign 4
    # The result buffer of INT 13h AH=48h, with room for a device path.
ata_drive:
    .word 66
    .zero 64
    "#,
    LOOKS = const LOOKS,
    DESCRIPTORS = const DESCRIPTORS,
);
