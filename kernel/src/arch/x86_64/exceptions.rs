//! Processor exceptions (Intel SDM volume 3A, chapter 6): page faults that map a page, and everything else, which is reported.

use core::arch::{global_asm, naked_asm};
use core::mem::offset_of;

use super::cpu;
use super::descriptors::{EXCEPTION_STACK, LAST_STACK, PAGE_FAULT_STACK, SetGate};
use super::extended_state::{self, load_state, save_state};
use crate::image;
use crate::memory::areas::{self, Fault};
use crate::memory::frames::Stock;

/// Registers at an exception, as the entry code lays them out.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    /// Where vector and x87 registers are, as `extended_state` saves them.
    pub floating_point: *mut u8,
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

/// The general registers, vector and what the processor pushed: so many words.
const WORDS: usize = (size_of::<Frame>() - offset_of!(Frame, extended)) / 8;

/// Place of a register among the words.
const fn word(offset: usize) -> u8 {
    ((offset - offset_of!(Frame, extended)) / 8) as u8
}

/// r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip and the flags, in Linux's order of them in a context of a signal.
pub type Registers = [u64; 18];

/// Where they are among the words.
const REGISTERS: [u8; 18] = [
    7,
    6,
    5,
    4,
    3,
    2,
    1,
    0,
    word(offset_of!(Frame, rdi)),
    word(offset_of!(Frame, rsi)),
    word(offset_of!(Frame, rbp)),
    word(offset_of!(Frame, rbx)),
    word(offset_of!(Frame, rdx)),
    word(offset_of!(Frame, rax)),
    word(offset_of!(Frame, rcx)),
    word(offset_of!(Frame, rsp)),
    word(offset_of!(Frame, rip)),
    word(offset_of!(Frame, rflags)),
];

/// Flags that a handler may change: those of arithmetic, and the direction.
const FREE_FLAGS: u64 = 0xCD5;

impl Frame {
    fn words(&mut self) -> &mut [u64; WORDS] {
        // SAFETY: from `extended` on the structure is so many words, in the layout of C.
        unsafe { &mut *(&raw mut self.extended).cast() }
    }

    /// The general registers.
    pub fn registers(&mut self) -> Registers {
        let words = self.words();
        REGISTERS.map(|word| words[usize::from(word)])
    }

    /// Sets the general registers; of the flags, only those of arithmetic and the direction.
    pub fn set_registers(&mut self, registers: &Registers) {
        let flags = self.rflags;
        let words = self.words();
        for (&word, &value) in REGISTERS.iter().zip(registers) {
            words[usize::from(word)] = value;
        }
        self.rflags = flags & !FREE_FLAGS | self.rflags & FREE_FLAGS;
    }
}

/// All exceptions masked, round to nearest (Intel SDM volume 1, 10.2.3).
const DEFAULT_MXCSR: u32 = 0x1F80;
/// Number of the non-maskable interrupt.
pub const NMI: u64 = 2;
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
    push 0
    mov rbp, rsp
    "#,
    save_state!(),
    r#"
    mov [rbp + {floating_point}], rsp
    cld
    mov rdi, rbp
    call {handler}
toro_exception_return:                    // rbp is where the registers lie (a `Frame`)
    mov rsp, [rbp + {floating_point}]
    "#,
    load_state!(),
    r#"
    lea rsp, [rbp + {extended}]
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

    // Goes on with a fault on the stack of the thread: rbx is where its registers lie (a `Frame`), rbp the stack pointer of the
    // interrupted code. Unwinders find the interrupted registers where `divert` has written them; backtraces show it by its name.
    .type toro_exception_diverted, @function
toro_exception_diverted:
    .cfi_startproc
    .cfi_signal_frame
    .cfi_def_cfa rbp, 0
    .cfi_offset rax, {saved} + 8 * 0
    .cfi_offset rdx, {saved} + 8 * 1
    .cfi_offset rcx, {saved} + 8 * 2
    .cfi_offset rbx, {saved} + 8 * 3
    .cfi_offset rsi, {saved} + 8 * 4
    .cfi_offset rdi, {saved} + 8 * 5
    .cfi_offset rbp, {saved} + 8 * 6
    .cfi_offset r8, {saved} + 8 * 8
    .cfi_offset r9, {saved} + 8 * 9
    .cfi_offset r10, {saved} + 8 * 10
    .cfi_offset r11, {saved} + 8 * 11
    .cfi_offset r12, {saved} + 8 * 12
    .cfi_offset r13, {saved} + 8 * 13
    .cfi_offset r14, {saved} + 8 * 14
    .cfi_offset r15, {saved} + 8 * 15
    .cfi_offset rip, {saved} + 8 * 16
    // Default floating-point control: the handler is not to meet the exception that it is called for.
    fninit
    push {mxcsr}
    ldmxcsr [rsp]
    add rsp, 8
    mov rdi, rbx
    call {diverted}
    mov rbp, rbx
    jmp toro_exception_return
    .cfi_endproc
    .size toro_exception_diverted, . - toro_exception_diverted

    .section .rodata.toro.exceptions, "a"
    .align 8
toro_exception_entries:
    .irp vector,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .quad toro_exception_\vector
    .endr
    .text
    "#,
    handler = sym handle,
    diverted = sym crate::fault::diverted,
    saved = const -SAVED_BYTES,
    mxcsr = const DEFAULT_MXCSR,
    floating_point = const offset_of!(Frame, floating_point),
    extended = const offset_of!(Frame, extended),
    components = sym extended_state::COMPONENTS,
    area_bytes = sym extended_state::AREA_BYTES,
);

unsafe extern "C" {
    #[link_name = "toro_exception_entries"]
    static ENTRIES: [usize; 32];
    fn toro_exception_diverted();
}

/// What the code below the stack pointer may use (System V ABI, x86-64, section 3.2.2).
const RED_ZONE_BYTES: isize = 128;
/// Registers for unwinders, by their DWARF numbers (System V ABI, x86-64, figure 3.36), begin so far below the stack pointer of the interrupted code.
const SAVED_BYTES: isize = RED_ZONE_BYTES + 17 * 8;
/// The flag that lets interrupts in.
const INTERRUPTS_ON: u64 = 1 << 9;

/// A fault with the registers there: what they are when it is over is where the thread goes on.
#[repr(C)]
#[derive(Debug)]
pub struct Interrupted {
    /// The registers.
    pub frame: Frame,
    /// The address of a page fault, and what is wrong with it.
    pub page_fault: Option<(usize, Fault)>,
}

/// The gates of the exceptions.
pub fn gates(set: SetGate<'_>) {
    // SAFETY: the table is constant data of the assembly above.
    let entries = unsafe { &ENTRIES };
    for (vector, &handler) in entries.iter().enumerate() {
        let stack = match vector {
            2 | 8 | 18 => LAST_STACK,
            14 => PAGE_FAULT_STACK,
            _ => EXCEPTION_STACK,
        };
        set(vector as u8, handler, stack);
    }
}

extern "C" fn handle(frame: &mut Frame) {
    if frame.vector == NMI {
        crate::fault::on_nmi(frame);
        return skip_halt(frame);
    }
    let mut page_fault = None;
    if frame.vector == PAGE_FAULT {
        let address = cpu::cr2();
        let is_present = frame.error_code & 1 != 0;
        let is_write = frame.error_code & 2 != 0;
        let mut fault = areas::on_page_fault(Stock::Common, address, is_write, is_present);
        if fault == Fault::OutOfMemory && is_stack_of_kernel(frame, address) {
            fault = areas::on_page_fault(Stock::Reserve, address, is_write, is_present);
        }
        if fault == Fault::Mapped {
            return;
        }
        page_fault = Some((address, fault));
    }
    crate::fault::on_exception(frame, page_fault);
}

/// Goes on behind a `hlt` that is next: the instruction before it, `sti`, keeps only other interrupts out until the core halts. One that came
/// meanwhile is taken before the halt now, and would not end it.
fn skip_halt(frame: &mut Frame) {
    const HLT: u8 = 0xF4;
    let next = frame.rip as usize;
    // SAFETY: code of the image is mapped.
    if had_interrupts(frame) && image::is_code(next) && unsafe { *(next as *const u8) } == HLT {
        frame.rip += 1;
    }
}

/// Whether code of the kernel touched the stack that it runs on, where it is now: below, as far as `memory::reserve_stack` touches ahead, or in
/// what its function has of it.
fn is_stack_of_kernel(frame: &Frame, address: usize) -> bool {
    const BELOW_BYTES: usize = 8 * 4096;
    const ABOVE_BYTES: usize = 8 * 4096;
    let stack = frame.rsp as usize;
    !image::is_program_code(frame.rip as usize)
        && (stack.saturating_sub(BELOW_BYTES)..stack.saturating_add(ABOVE_BYTES)).contains(&address)
}

/// Whether interrupts were on where an exception came from.
pub fn had_interrupts(frame: &Frame) -> bool {
    frame.rflags & INTERRUPTS_ON != 0
}

/// Bytes of stack that [`divert`] itself writes.
pub fn divert_bytes() -> usize {
    SAVED_BYTES as usize + size_of::<Interrupted>() + extended_state::room_bytes() + 16
}

/// Has the handler of an exception return to `fault::diverted`, on a stack that may wait, instead of to where the exception came from. When
/// that returns, the thread goes on with the registers that it left. Unwinders go on with the instruction `outer` and the stack pointer
/// `stack`.
///
/// # Safety
/// 1. `stack` is the interrupted stack pointer, or the end of a stack that nobody uses, and [`divert_bytes`] below it are mapped.
/// 2. There is room below that for what `fault::diverted` needs, and no lock is held that a page fault needs.
pub unsafe fn divert(
    frame: &mut Frame,
    page_fault: Option<(usize, Fault)>,
    stack: usize,
    outer: usize,
) {
    let frame_out = (stack - SAVED_BYTES as usize - size_of::<Interrupted>()) & !15;
    let (area, area_bytes) = extended_state::area_below(frame_out);
    // SAFETY: the caller's promises: the memory is below the stack's end, and beyond the red zone of who was interrupted.
    unsafe {
        let [r15, r14, r13, r12, r11, r10, r9, r8] = frame.extended;
        let saved = [
            frame.rax,
            frame.rdx,
            frame.rcx,
            frame.rbx,
            frame.rsi,
            frame.rdi,
            frame.rbp,
            stack as u64,
            r8,
            r9,
            r10,
            r11,
            r12,
            r13,
            r14,
            r15,
            outer as u64,
        ];
        ((stack - SAVED_BYTES as usize) as *mut [u64; 17]).write_unaligned(saved);
        let copy = frame_out as *mut Interrupted;
        (&raw mut (*copy).frame).copy_from_nonoverlapping(&raw const *frame, 1);
        (*copy).frame.floating_point = area;
        area.copy_from_nonoverlapping(frame.floating_point, area_bytes);
        (&raw mut (*copy).page_fault).write(page_fault);
    }
    frame.rbx = frame_out as u64;
    frame.rbp = stack as u64;
    frame.rsp = area as u64;
    frame.rip = toro_exception_diverted as *const () as u64;
    // Direction up, no single steps.
    frame.rflags &= !(1 << 10 | 1 << 8);
}

/// The registers that a function keeps for its caller, and where the caller goes on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller {
    /// rbx.
    pub rbx: usize,
    /// rbp.
    pub rbp: usize,
    /// r12 to r15.
    pub extended: [usize; 4],
    /// Stack pointer after the return.
    pub rsp: usize,
    /// Return address.
    pub rip: usize,
}

/// Calls `function(first, second, third)` as if the code at `caller.rip` had just done so; what lies deeper on the stack is forgotten.
///
/// # Safety
/// 1. `caller` are the registers of a call on this thread's stack that has not returned.
/// 2. Nobody needs the deeper frames, and nothing in them is to be dropped.
/// 3. The function wants these arguments, and may unwind into the caller.
#[unsafe(naked)]
pub unsafe extern "C" fn call_from(
    caller: &Caller,
    function: usize,
    first: usize,
    second: usize,
    third: usize,
) -> ! {
    naked_asm!(
        "mov rbx, [rdi + {rbx}]",
        "mov rbp, [rdi + {rbp}]",
        "mov r12, [rdi + {extended}]",
        "mov r13, [rdi + {extended} + 8]",
        "mov r14, [rdi + {extended} + 16]",
        "mov r15, [rdi + {extended} + 24]",
        "mov rsp, [rdi + {rsp}]",
        "push qword ptr [rdi + {rip}]",
        // Default floating-point control, and no exception that is still to be reported.
        "fninit",
        "push {mxcsr}",
        "ldmxcsr [rsp]",
        "add rsp, 8",
        "mov rax, rsi",
        "mov rdi, rdx",
        "mov rsi, rcx",
        "mov rdx, r8",
        "jmp rax",
        rbx = const offset_of!(Caller, rbx),
        rbp = const offset_of!(Caller, rbp),
        extended = const offset_of!(Caller, extended),
        rsp = const offset_of!(Caller, rsp),
        rip = const offset_of!(Caller, rip),
        mxcsr = const DEFAULT_MXCSR,
    )
}
