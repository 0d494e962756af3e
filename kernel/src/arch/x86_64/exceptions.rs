//! Processor exceptions (Intel SDM volume 3A, chapter 6): page faults that map a page, and everything else, which is reported.

use core::arch::global_asm;

use super::cpu;
use super::descriptors::{EXCEPTION_STACK, LAST_STACK, PAGE_FAULT_STACK};
use crate::memory::areas::{self, Fault};

/// Registers at an exception, as the entry code lays them out.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    /// Vector registers and x87 state, as `fxsave` writes them.
    pub floating_point: [u64; 64],
    /// r15, r14, r13, r12, r11, r10, r9, r8.
    pub extended: [u64; 8],
    /// rdi.
    pub rdi: u64,
    /// rsi.
    pub rsi: u64,
    /// rbp.
    pub rbp: u64,
    /// rbx.
    pub rbx: u64,
    /// rdx.
    pub rdx: u64,
    /// rcx.
    pub rcx: u64,
    /// rax.
    pub rax: u64,
    /// Number of the exception.
    pub vector: u64,
    /// What the processor says of the cause; 0 where it says nothing.
    pub error_code: u64,
    /// Instruction that caused it (or the next one).
    pub rip: u64,
    /// Code segment.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u64,
}

/// Number of the page fault.
pub const PAGE_FAULT: u64 = 14;

global_asm!(
    r#"
    .irp vector,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
toro_exception_\vector:
    // Vectors 8, 10–14, 17, 21, 29 and 30 push an error code; for the others a zero takes its place.
    .if (0x60227D00 >> \vector) & 1 == 0
    push 0
    .endif
    push \vector
    jmp toro_exception
    .endr

toro_exception:
    push rax
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    sub rsp, 512
    fxsave [rsp]
    cld
    mov rdi, rsp
    mov rbp, rsp
    call {handler}
    mov rsp, rbp
    fxrstor [rsp]
    add rsp, 512
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    pop rdx
    pop rcx
    pop rax
    add rsp, 16
    iretq

    .section .rodata.toro.exceptions, "a"
    .align 8
toro_exception_entries:
    .irp vector,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .quad toro_exception_\vector
    .endr
    .text
    "#,
    handler = sym handle,
);

unsafe extern "C" {
    #[link_name = "toro_exception_entries"]
    static ENTRIES: [usize; 32];
}

/// The gates of the exceptions: vector, handler, stack.
pub fn gates() -> impl Iterator<Item = (u8, usize, u8)> {
    // SAFETY: the table is constant data of the assembly above.
    let entries = unsafe { &ENTRIES };
    entries.iter().enumerate().map(|(vector, &handler)| {
        let stack = match vector {
            2 | 8 | 18 => LAST_STACK,
            14 => PAGE_FAULT_STACK,
            _ => EXCEPTION_STACK,
        };
        (vector as u8, handler, stack)
    })
}

extern "C" fn handle(frame: &mut Frame) {
    if frame.vector == PAGE_FAULT {
        let address = cpu::cr2();
        let is_present = frame.error_code & 1 != 0;
        let is_write = frame.error_code & 2 != 0;
        match areas::on_page_fault(address, is_write, is_present) {
            Fault::Mapped => return,
            fault => crate::epitaph::exception(frame, Some((address, fault))),
        }
    }
    crate::epitaph::exception(frame, None)
}
