//! Descriptor tables: segments, the task state with the interrupt stacks, the interrupt table (Intel SDM volume 3A, chapters 3, 6, 8).
//!
//! Every vector runs on a stack of the interrupt stack table, never on the interrupted one: programs use the red zone.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;

/// Stack of device interrupts.
pub const INTERRUPT_STACK: u8 = 1;
/// Stack of exceptions.
pub const EXCEPTION_STACK: u8 = 2;
/// Stack of page faults, which exception handlers may cause.
pub const PAGE_FAULT_STACK: u8 = 3;
/// Stack of double faults, NMI and machine checks.
pub const LAST_STACK: u8 = 4;

const CODE_SELECTOR: u16 = 8;
const TSS_SELECTOR: u16 = 24;

#[repr(C, packed(4))]
struct TaskState {
    reserved0: u32,
    stacks: [u64; 3],
    reserved1: u64,
    interrupt_stacks: [u64; 7],
    reserved2: [u16; 5],
    io_map_base: u16,
}

#[repr(C, align(16))]
struct Tables {
    idt: [[u64; 2]; 256],
    gdt: [u64; 5],
    tss: TaskState,
}

#[repr(C, align(16))]
struct Stacks {
    interrupt: [u8; 4096],
    exception: [u8; 16384],
    page_fault: [u8; 32768],
    last: [u8; 8192],
}

struct PerCore<T>(UnsafeCell<T>);

// SAFETY: written by its core during `initialise` only, read by the processor afterwards.
unsafe impl<T> Sync for PerCore<T> {}

static TABLES: PerCore<Tables> = PerCore(UnsafeCell::new(Tables {
    idt: [[0; 2]; 256],
    gdt: [0, 0x00AF_9A00_0000_FFFF, 0x00CF_9200_0000_FFFF, 0, 0],
    tss: TaskState {
        reserved0: 0,
        stacks: [0; 3],
        reserved1: 0,
        interrupt_stacks: [0; 7],
        reserved2: [0; 5],
        io_map_base: size_of::<TaskState>() as u16,
    },
}));

static STACKS: PerCore<Stacks> = PerCore(UnsafeCell::new(Stacks {
    interrupt: [0; 4096],
    exception: [0; 16384],
    page_fault: [0; 32768],
    last: [0; 8192],
}));

#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    base: u64,
}

/// Loads the tables of the boot core. `gates` are the vectors in use: number, address of the handler, stack.
///
/// # Safety
/// 1. The handlers are entered as the processor enters interrupt handlers, and return by `iretq`.
/// 2. Called once, with interrupts off.
pub unsafe fn initialise(gates: impl Iterator<Item = (u8, usize, u8)>) {
    // SAFETY: called once (2), so this is the only reference.
    let tables = unsafe { &mut *TABLES.0.get() };
    let base = STACKS.0.get() as u64;
    let ends = [
        offset_of!(Stacks, interrupt) + 4096,
        offset_of!(Stacks, exception) + 16384,
        offset_of!(Stacks, page_fault) + 32768,
        offset_of!(Stacks, last) + 8192,
    ];
    let mut interrupt_stacks = [0; 7];
    for (slot, end) in interrupt_stacks.iter_mut().zip(ends) {
        *slot = base + end as u64;
    }
    tables.tss.interrupt_stacks = interrupt_stacks;
    let tss = &raw const tables.tss as u64;
    let limit = size_of::<TaskState>() as u64 - 1;
    // A 64-bit task state descriptor, present, available (type 9).
    tables.gdt[3] = limit | (tss & 0xFF_FFFF) << 16 | 0x89 << 40 | (tss >> 24 & 0xFF) << 56;
    tables.gdt[4] = tss >> 32;
    for (vector, handler, stack) in gates {
        let handler = handler as u64;
        // A 64-bit interrupt gate, present: interrupts stay off in the handler.
        tables.idt[usize::from(vector)] = [
            handler & 0xFFFF
                | u64::from(CODE_SELECTOR) << 16
                | u64::from(stack) << 32
                | 0x8E << 40
                | (handler >> 16 & 0xFFFF) << 48,
            handler >> 32,
        ];
    }
    let gdt = TablePointer {
        limit: size_of_val(&tables.gdt) as u16 - 1,
        base: tables.gdt.as_ptr() as u64,
    };
    let idt = TablePointer {
        limit: size_of_val(&tables.idt) as u16 - 1,
        base: tables.idt.as_ptr() as u64,
    };
    // SAFETY: the tables are static; selector 8 is the same code segment as in the boot tables, 16 the same data segment.
    unsafe {
        asm!("lgdt [{}]", in(reg) &raw const gdt, options(readonly, nostack, preserves_flags));
        asm!("ltr {:x}", in(reg) TSS_SELECTOR, options(nostack, preserves_flags));
        asm!("lidt [{}]", in(reg) &raw const idt, options(readonly, nostack, preserves_flags));
    }
}
