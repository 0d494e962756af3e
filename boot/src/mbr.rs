//! The boot sector: reads the second stage (LBA 34 and up) to `0x7e00` and goes there. Its printing
//! and the drive number serve the second stage too.
//!
//! In: DL = BIOS drive. Standards: Enhanced Disk Drive Specification 3.0 (INT 13h extensions); El Torito 1.0;
//! 440 bytes of code, then disk signature and partition table, which the tool fills in.

use crate::layout::{STACK, STAGE2_LBA};

core::arch::global_asm!(
    r#"
    .section .boot.sector, "ax"
    .code16
    .global boot_sector
boot_sector:
    # Some BIOSes start us at 07c0:0000: make the code segment 0.
    cli
    .byte 0xea
    .word mbr_start, 0
mbr_start:
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, {STACK}
    sti
    cld
    mov [boot_drive], dl
    # A CD's firmware has loaded the second stage too.
    cmp byte ptr [boot_is_cd], 0
    jne start16

    # Has this drive the INT 13h extensions, with packet access (CX bit 0)?
    mov ah, 0x41
    mov bx, 0x55aa
    int 0x13
    mov si, offset mbr_no_extensions
    jc fail16
    cmp bx, 0xaa55
    jne fail16
    test cl, 1
    jz fail16

    # Read the second stage, three times at most. A BIOS may change the count in the packet.
    mov di, 3
mbr_read:
    mov si, offset mbr_packet
    mov word ptr [si + 2], offset stage2_sectors
    mov dl, [boot_drive]
    mov ah, 0x42
    int 0x13
    jnc start16
    mov dl, [boot_drive]
    xor ah, ah
    int 0x13
    dec di
    jnz mbr_read
    mov si, offset mbr_unreadable

    # Print the message at SI and halt for ever.
fail16:
    call prefix16
    call print16
halt16:
    cli
    hlt
    jmp halt16

    # Set COM1 to 115200 baud, 8 bits, no parity, and begin a message on a line of its own.
prefix16:
    pusha
    mov dx, 0x3fb
    mov al, 0x80
    out dx, al
    mov dx, 0x3f8
    mov al, 1
    out dx, al
    inc dx
    mov al, 0
    out dx, al
    mov dx, 0x3fb
    mov al, 3
    out dx, al
    mov si, offset mbr_prefix
    call print16
    popa
    ret

    # Print the text at SI up to its NUL.
print16:
    lodsb
    test al, al
    jz print16_end
    call print_char16
    jmp print16
print16_end:
    ret

    # Print the character AL on the screen and on COM1; wait for COM1 a bounded time. A port that
    # is not there reads as 0xff, ready.
print_char16:
    pusha
    push ax
    mov ah, 0x0e
    mov bx, 7
    int 0x10
    pop ax
    mov ah, al
    mov dx, 0x3fd
    xor cx, cx
print_char16_wait:
    in al, dx
    test al, 0x20
    loopz print_char16_wait
    mov al, ah
    mov dx, 0x3f8
    out dx, al
    popa
    ret

mbr_prefix:
    .asciz "\r\nToro: "
mbr_no_extensions:
    .asciz "the BIOS has no INT 13h extensions for this drive\r\n"
mbr_unreadable:
    .asciz "the BIOS can't read the boot loader\r\n"
boot_drive:
    .byte 0
    .balign 4
    # Disk address packet: size, count, offset, segment, LBA.
mbr_packet:
    .word 16, 0, 0x7e00, 0
    .quad {STAGE2_LBA}

    # Not 0 in the copy that a CD's boot catalogue names (El Torito, no emulation): sectors have 2048 bytes there.
    .org 439
boot_is_cd:
    .byte 0
    .org 510
    .word 0xaa55
    "#,
    STACK = const STACK,
    STAGE2_LBA = const STAGE2_LBA,
);
