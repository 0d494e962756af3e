//! The boot header at the start of partition 1: reads and checks it.

use crate::layout::{BUFFER_LEN, COMMAND_LINE_AT, HEADER};

/// Length of the header that its CRC covers; the CRC follows.
const CHECKED_LEN: u32 = 28;
/// What is read first of the header, in bytes.
const SECTOR: u32 = 512;

core::arch::global_asm!(
    r#"
    .section .boot.stage2, "ax"
    .code32
    # Read the header, and as much of the command line as its sector has.
header_read:
    xor esi, esi
    mov edi, {HEADER}
    mov ecx, {SECTOR}
    call disk_read
    # "TOROBOOT", version 1.
    mov esi, offset header_none
    cmp dword ptr [{HEADER}], 0x4f524f54
    jne fail
    cmp dword ptr [{HEADER} + 4], 0x544f4f42
    jne fail
    mov esi, offset header_version
    mov eax, [{HEADER} + 8]
    cmp eax, 1
    jne fail

    # CRC-32 (IEEE 802.3), bit by bit: for 28 bytes a table does not pay.
    mov esi, {HEADER}
    mov ecx, {CHECKED_LEN}
    mov eax, -1
header_byte:
    xor al, [esi]
    inc esi
    mov edx, 8
header_bit:
    shr eax, 1
    jnc header_bit_next
    xor eax, 0xedb88320
header_bit_next:
    dec edx
    jnz header_bit
    dec ecx
    jnz header_byte
    not eax
    cmp eax, [{HEADER} + {CHECKED_LEN}]
    mov esi, offset header_damaged
    jne fail

    # Lengths of the command line and of the ELF: what follows counts on less than 2 GiB.
    mov eax, [{HEADER} + 12]
    cmp eax, {BUFFER_LEN} - {COMMAND_LINE_AT}
    ja fail
    mov eax, [{HEADER} + 16]
    test eax, eax
    js fail
    cmp dword ptr [{HEADER} + 20], 0
    jne fail
    mov [elf_len], eax
    jmp disk_limit

    # Read the rest of the command line, and end it with NUL.
header_rest:
    mov ecx, [{HEADER} + 12]
    mov byte ptr [ecx + {HEADER} + {COMMAND_LINE_AT}], 0
    sub ecx, {SECTOR} - {COMMAND_LINE_AT}
    jbe header_rest_end
    mov esi, {SECTOR}
    mov edi, {HEADER} + {SECTOR}
    jmp disk_read
header_rest_end:
    ret

    .balign 4
elf_len:
    .long 0
header_none:
    .asciz "no boot header at sector 2048: this is no Toro boot disk\r\n"
header_version:
    .asciz "the boot header has version #, this loader knows 1\r\n"
header_damaged:
    .asciz "the boot header is damaged\r\n"
    "#,
    HEADER = const HEADER,
    SECTOR = const SECTOR,
    BUFFER_LEN = const BUFFER_LEN,
    COMMAND_LINE_AT = const COMMAND_LINE_AT,
    CHECKED_LEN = const CHECKED_LEN,
);
