//! Opens the A20 line, without which every odd mebibyte is the even one below it.
//!
//! Three ways, each tried only if the line is still closed, each verified: INT 15h AX=2401h, the
//! "fast" gate in port 92h, the output port of the keyboard controller (8042).

core::arch::global_asm!(
    r#"
    .section .boot.stage2, "ax"
    .code16
a20_enable16:
    call a20_is_closed16
    jnc a20_end

    # The BIOS knows best.
    mov ax, 0x2401
    int 0x15
    call a20_wait16
    jnc a20_end

    # Port 92h: bit 1 is A20, bit 0 would reset the machine.
    in al, 0x92
    or al, 2
    and al, 0xfe
    out 0x92, al
    call a20_wait16
    jnc a20_end

    # The keyboard controller: keyboard off, read the output port, set bit 1, write it, keyboard on.
    # Without interrupts, or the BIOS would take the answer for a key.
    cli
    mov al, 0xad
    call a20_command16
    mov al, 0xd0
    call a20_command16
    call a20_output16
    in al, 0x60
    or al, 2
    mov ah, al
    mov al, 0xd1
    call a20_command16
    call a20_input16
    mov al, ah
    out 0x60, al
    mov al, 0xae
    call a20_command16
    call a20_input16
    sti
    call a20_wait16
    jnc a20_end
    mov si, offset a20_message
    jmp fail16
a20_end:
    ret

    # Give the command AL to the keyboard controller when it is ready.
a20_command16:
    call a20_input16
    out 0x64, al
    ret

    # Wait, a bounded time, until the controller has taken its input.
a20_input16:
    push ax
    xor cx, cx
a20_input16_wait:
    in al, 0x64
    test al, 2
    loopnz a20_input16_wait
    pop ax
    ret

    # Wait, a bounded time, until the controller has output for us.
a20_output16:
    xor cx, cx
a20_output16_wait:
    in al, 0x64
    test al, 1
    loopz a20_output16_wait
    ret

    # Wait until the line is open: carry is set if it stays closed.
a20_wait16:
    mov cx, 0x1000
a20_wait16_again:
    call a20_is_closed16
    jnc a20_wait16_end
    loop a20_wait16_again
    # LOOP leaves the flags alone, so carry is still set.
a20_wait16_end:
    ret

    # Carry set: the word at a20_probe is the one 1 MiB above it (ffff:x+10h), also after a change.
a20_is_closed16:
    push es
    push ax
    push cx
    mov ax, 0xffff
    mov es, ax
    mov cx, 2
a20_is_closed16_compare:
    inc word ptr [a20_probe]
    # A write to an unused port takes the time that the change may need.
    out 0x80, al
    mov ax, [a20_probe]
    cmp ax, word ptr es:[a20_probe + 0x10]
    loope a20_is_closed16_compare
    pop cx
    pop ax
    pop es
    jne a20_is_open
    stc
    ret
a20_is_open:
    clc
    ret

    .balign 2
a20_probe:
    .word 0
a20_message:
    .asciz "the A20 line stays closed\r\n"
    "#
);
