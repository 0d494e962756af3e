//! Says why the boot ends here, in real mode by the routines of the boot sector.

core::arch::global_asm!(
    r#"
    .section .boot.stage2, "ax"
    .code32
    # Print the message at ESI and halt. Each '#' in it stands for a number in decimal: EAX first,
    # then EDX.
fail:
    mov [fail_message], esi
    mov [fail_numbers], eax
    mov [fail_numbers + 4], edx
    mov eax, offset fail_numbers16
    call mode_real

    .code16
fail_numbers16:
    call prefix16
    mov si, [fail_message]
    mov di, offset fail_numbers
fail_char:
    lodsb
    test al, al
    jz halt16
    cmp al, '#'
    je fail_number
    call print_char16
    jmp fail_char
fail_number:
    # Digits come last first: the stack turns them round.
    mov eax, [di]
    add di, 4
    mov ebx, 10
    xor cx, cx
fail_divide:
    xor edx, edx
    div ebx
    push dx
    inc cx
    test eax, eax
    jnz fail_divide
fail_digit:
    pop ax
    add al, '0'
    call print_char16
    loop fail_digit
    jmp fail_char

    .balign 4
fail_message:
    .long 0
fail_numbers:
    .long 0, 0
    "#
);
