//! Reads a boot disk that is a virtio block device with the ports of the old interface, as QEMU's PCI devices have them beside the new.
//!
//! A BIOS does not say which device its drive is, so each on bus 0 is asked for the boot header. To ask it means to take it from the
//! BIOS: once the boot disk is found, its errors are told here. Standards: Virtual I/O Device 1.1, "Legacy Interfaces" of PCI bus, split
//! virtqueues and block device; PCI Local Bus 3.0, configuration mechanism.

use crate::direct::LOOKS;
use crate::layout::{QUEUE, QUEUE_LEN};

/// Most elements of the queue: an old device names their number, its driver has no say.
const MOST_ELEMENTS: u32 = 1024;

const _: () = assert!(QUEUE.is_multiple_of(4096));
// Descriptors; flags, index, elements, event; on a page of its own flags, index, elements, event.
const _: () = assert!(
    MOST_ELEMENTS * 16 + (6 + MOST_ELEMENTS * 2) + 4095 + (6 + MOST_ELEMENTS * 8) <= QUEUE_LEN
);

core::arch::global_asm!(
    r#"
    .section .boot.stage2, "ax"
    .code32
    # Find the boot disk: EAX = the routine that reads it. Carry: not here.
virtio_find:
    mov ebx, 0x80000000
virtio_find_device:
    mov al, 0x00
    call direct_config
    in eax, dx
    cmp eax, 0x10011af4
    jne virtio_find_next
    call virtio_open
    jc virtio_find_next
    mov eax, offset virtio_read
    call direct_try
    jnc virtio_find_end
    # Another disk: reset, so that it writes nothing any more.
    call virtio_reset
virtio_find_next:
    add ebx, 1 << 11
    cmp ebx, 0x80010000
    jb virtio_find_device
    stc
virtio_find_end:
    ret

    # Make the queue of the device with the configuration address EBX, without any feature. Carry: not to be had.
virtio_open:
    mov al, 0x10
    call direct_config
    in eax, dx
    test al, 1
    jz virtio_open_fail
    and eax, 0xfffc
    jz virtio_open_fail
    mov [virtio_ports], ax
    mov al, 0x04
    call direct_config
    in ax, dx
    or al, 5
    out dx, ax
    call virtio_reset
    # The driver is here, and knows this device.
    mov al, 1
    out dx, al
    mov al, 3
    out dx, al
    xor eax, eax
    sub edx, 18 - 4
    out dx, eax
    # Queue 0 and its elements, a power of two.
    add edx, 14 - 4
    out dx, ax
    sub edx, 14 - 12
    in ax, dx
    cmp eax, {MOST_ELEMENTS}
    ja virtio_open_fail
    cmp eax, 4
    jb virtio_open_fail
    lea ecx, [eax - 1]
    test eax, ecx
    jnz virtio_open_fail
    mov [virtio_mask], ecx
    # Behind the descriptors what is available; without interrupts. On the next page what is used.
    shl eax, 4
    lea esi, [eax + {QUEUE}]
    mov [virtio_available], esi
    mov dword ptr [esi], 1
    lea esi, [esi + ecx * 2 + 8 + 4095]
    and esi, -4096
    mov [virtio_used], esi
    mov dword ptr [esi], 0
    sub edx, 12 - 8
    mov eax, {QUEUE} >> 12
    out dx, eax
    add edx, 18 - 8
    mov al, 7
    out dx, al
    clc
    ret
virtio_open_fail:
    stc
    ret

    # Reset the device: DX = the port of its status. Changes AL.
virtio_reset:
    movzx edx, word ptr [virtio_ports]
    add edx, 18
    mov al, 0
    out dx, al
    ret

    # As direct_read has it. The boot disk has three tries, and no other way if they fail.
virtio_read:
    pushad
    mov dword ptr [virtio_tries], 3
virtio_read_try:
    # A request to read; the data; the status.
    mov [virtio_request + 8], eax
    mov byte ptr [virtio_status], 0xff
    mov dword ptr [{QUEUE}], offset virtio_request
    mov dword ptr [{QUEUE} + 4], 0
    mov dword ptr [{QUEUE} + 8], 16
    mov dword ptr [{QUEUE} + 12], 1 + (1 << 16)
    mov [{QUEUE} + 16], edi
    mov dword ptr [{QUEUE} + 20], 0
    mov edx, ecx
    shl edx, 9
    mov [{QUEUE} + 24], edx
    mov dword ptr [{QUEUE} + 28], 1 + 2 + (2 << 16)
    mov dword ptr [{QUEUE} + 32], offset virtio_status
    mov dword ptr [{QUEUE} + 36], 0
    mov dword ptr [{QUEUE} + 40], 1
    mov dword ptr [{QUEUE} + 44], 2
    # The element first, then the index. Stores are seen in their order.
    mov esi, [virtio_available]
    movzx ebp, word ptr [esi + 2]
    mov edx, ebp
    and edx, [virtio_mask]
    mov word ptr [esi + 4 + edx * 2], 0
    inc ebp
    mov [esi + 2], bp
    mov ebx, eax
    xor eax, eax
    movzx edx, word ptr [virtio_ports]
    add edx, 16
    out dx, ax
    # Wait; the port of the status only takes its time.
    add edx, 2
    mov esi, [virtio_used]
    push ecx
    mov ecx, {LOOKS}
virtio_read_look:
    cmp [esi + 2], bp
    je virtio_read_done
    pause
    in al, dx
    dec ecx
    jnz virtio_read_look
    # Who says nothing is not asked again.
    mov dword ptr [virtio_tries], 1
virtio_read_done:
    pop ecx
    mov eax, ebx
    movzx edx, byte ptr [virtio_status]
    test edx, edx
    jz virtio_read_end
    dec dword ptr [virtio_tries]
    jnz virtio_read_try
    mov esi, offset virtio_message
    cmp dword ptr [direct_way], 0
    jne fail
    stc
virtio_read_end:
    popad
    ret

    .balign 8
    # Type 0: read; reserved; the first sector, of 512 bytes.
virtio_request:
    .long 0, 0
    .quad 0
virtio_available:
    .long 0
virtio_used:
    .long 0
virtio_mask:
    .long 0
virtio_tries:
    .long 0
virtio_ports:
    .word 0
virtio_status:
    .byte 0
virtio_message:
    .asciz "the virtio disk can't read from sector # of the boot disk on (status #)\r\n"
    "#,
    QUEUE = const QUEUE,
    MOST_ELEMENTS = const MOST_ELEMENTS,
    LOOKS = const LOOKS,
);
