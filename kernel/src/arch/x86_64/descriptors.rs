//! Descriptor tables: segments, the task state with the interrupt stacks, the interrupt table (Intel SDM volume 3A, chapters 3, 6, 8).
//!
//! Every vector runs on a stack of the interrupt stack table, never on the interrupted one: programs use the red zone.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;

use crate::memory::{OutOfMemory, heap};

/// Stack of device interrupts.
pub const INTERRUPT_STACK: u8 = 1;
/// Stack of exceptions.
pub const EXCEPTION_STACK: u8 = 2;
/// Stack of page faults, which exception handlers may cause.
pub const PAGE_FAULT_STACK: u8 = 3;
/// Stack of double faults, NMI and machine checks.
pub const LAST_STACK: u8 = 4;

/// Descriptors of flat segments (Intel SDM volume 3A, 3.4.5), already marked as accessed: else a processor that loads one writes
/// the mark, and the tables from which other cores start are not writable.
pub(super) const CODE_64: u64 = 0x00AF_9B00_0000_FFFF;
pub(super) const CODE_32: u64 = 0x00CF_9B00_0000_FFFF;
pub(super) const DATA: u64 = 0x00CF_9300_0000_FFFF;
/// Data in long mode, without the mark of a 32-bit stack, which means nothing there: with an interrupt of a stack of its own the mark is
/// gone, and an emulator would translate all that handlers share with the rest a second time.
const DATA_64: u64 = DATA & !(1 << 54);

const CODE_SELECTOR: u16 = 8;
/// Where [`load`] puts the segment of data.
pub(super) const DATA_SELECTOR: u16 = 16;
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

/// Segments, task state and interrupt stacks of one core.
#[repr(C, align(16))]
pub struct CoreTables {
    gdt: [u64; 5],
    tss: TaskState,
    stacks: Stacks,
}

const INTERRUPT_STACK_BYTES: usize = 8192;
const EXCEPTION_STACK_BYTES: usize = 16384;
const PAGE_FAULT_STACK_BYTES: usize = 32768;
const LAST_STACK_BYTES: usize = 12288;

#[repr(C, align(16))]
struct Stacks {
    interrupt: [u8; INTERRUPT_STACK_BYTES],
    exception: [u8; EXCEPTION_STACK_BYTES],
    page_fault: [u8; PAGE_FAULT_STACK_BYTES],
    last: [u8; LAST_STACK_BYTES],
}

struct Unshared<T>(UnsafeCell<T>);

// SAFETY: written by one core at the start, read by processors afterwards.
unsafe impl<T> Sync for Unshared<T> {}

type InterruptTable = [[u64; 2]; 256];

static INTERRUPT_TABLE: Unshared<InterruptTable> = Unshared(UnsafeCell::new([[0; 2]; 256]));

static BOOT_TABLES: Unshared<CoreTables> = Unshared(UnsafeCell::new(CoreTables {
    gdt: [0; 5],
    tss: TaskState {
        reserved0: 0,
        stacks: [0; 3],
        reserved1: 0,
        interrupt_stacks: [0; 7],
        reserved2: [0; 5],
        io_map_base: 0,
    },
    stacks: Stacks {
        interrupt: [0; INTERRUPT_STACK_BYTES],
        exception: [0; EXCEPTION_STACK_BYTES],
        page_fault: [0; PAGE_FAULT_STACK_BYTES],
        last: [0; LAST_STACK_BYTES],
    },
}));

#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    base: u64,
}

/// Takes a gate: vector, address of the handler, stack.
pub type SetGate<'a> = &'a mut dyn FnMut(u8, usize, u8);

/// Fills in the interrupt table, which all cores share, and loads it and the boot core's tables. `gates` tells of the vectors in use.
///
/// # Safety
/// 1. The handlers are entered as the processor enters interrupt handlers, and return by `iretq`.
/// 2. Called once, with interrupts off, before any other core runs.
pub unsafe fn initialise(gates: impl FnOnce(SetGate<'_>)) {
    // SAFETY: called once (2), so this is the only reference.
    let table = unsafe { &mut *INTERRUPT_TABLE.0.get() };
    gates(&mut |vector, handler, stack| {
        let handler = handler as u64;
        // A 64-bit interrupt gate, present: interrupts stay off in the handler.
        table[usize::from(vector)] = [
            handler & 0xFFFF
                | u64::from(CODE_SELECTOR) << 16
                | u64::from(stack) << 32
                | 0x8E << 40
                | (handler >> 16 & 0xFFFF) << 48,
            handler >> 32,
        ];
    });
    // SAFETY: the boot core's tables, used by it alone (2).
    unsafe { load(&mut *BOOT_TABLES.0.get()) };
}

/// Makes the tables of another core.
///
/// # Errors
/// When there is no memory for them.
pub fn allocate() -> Result<&'static mut CoreTables, OutOfMemory> {
    let pointer =
        heap::allocate(size_of::<CoreTables>(), align_of::<CoreTables>()).cast::<CoreTables>();
    if pointer.is_null() {
        return Err(OutOfMemory);
    }
    // SAFETY: memory of the right size and alignment, which is never freed; all zero is a value of the type.
    unsafe {
        pointer.write_bytes(0, 1);
        Ok(&mut *pointer)
    }
}

/// Loads the tables of the core that calls, and the interrupt table.
///
/// # Safety
/// 1. The interrupt table is filled in, and nobody else uses `tables`.
pub unsafe fn load(tables: &'static mut CoreTables) {
    let stack_end =
        |offset: usize, bytes: usize| (&raw const tables.stacks as usize + offset + bytes) as u64;
    tables.tss.interrupt_stacks = [
        stack_end(offset_of!(Stacks, interrupt), INTERRUPT_STACK_BYTES),
        stack_end(offset_of!(Stacks, exception), EXCEPTION_STACK_BYTES),
        stack_end(offset_of!(Stacks, page_fault), PAGE_FAULT_STACK_BYTES),
        stack_end(offset_of!(Stacks, last), LAST_STACK_BYTES),
        0,
        0,
        0,
    ];
    tables.tss.io_map_base = size_of::<TaskState>() as u16;
    let tss = &raw const tables.tss as u64;
    let limit = size_of::<TaskState>() as u64 - 1;
    tables.gdt = [
        0,
        CODE_64,
        DATA_64,
        // A 64-bit task state descriptor, present, available (type 9).
        limit | (tss & 0xFF_FFFF) << 16 | 0x89 << 40 | (tss >> 24 & 0xFF) << 56,
        tss >> 32,
    ];
    let interrupt_table = INTERRUPT_TABLE.0.get();
    let gdt = TablePointer {
        limit: size_of_val(&tables.gdt) as u16 - 1,
        base: tables.gdt.as_ptr() as u64,
    };
    let idt = TablePointer {
        limit: size_of::<InterruptTable>() as u16 - 1,
        base: interrupt_table as u64,
    };
    // SAFETY: the tables live for ever; selector 8 is the same code segment as in the boot tables, 16 is data there too.
    unsafe {
        asm!("lgdt [{}]", in(reg) &raw const gdt, options(readonly, nostack, preserves_flags));
        asm!("mov ss, {:x}", in(reg) DATA_SELECTOR, options(nostack, preserves_flags));
        asm!("ltr {:x}", in(reg) TSS_SELECTOR, options(nostack, preserves_flags));
        asm!("lidt [{}]", in(reg) &raw const idt, options(readonly, nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::{CODE_32, CODE_64, DATA, DATA_64};

    #[test]
    fn no_processor_writes_to_a_segment_descriptor() {
        const ACCESSED: u64 = 1 << 40;
        for descriptor in [CODE_64, CODE_32, DATA, DATA_64] {
            assert_ne!(descriptor & ACCESSED, 0, "{descriptor:#x}");
        }
    }
}
