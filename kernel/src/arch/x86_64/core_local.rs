//! What belongs to one core, found through `gs`.

use alloc::boxed::Box;
use core::arch::asm;
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::cpu::{self, msr};
use crate::memory::frames::Stock;
use crate::memory::heap::LocalHeap;

/// As many cores as there can be.
pub const MAX_CORES: usize = 64;
/// Interrupt lines of the machine.
pub const MAX_LINES: usize = 64;

/// Data of a core. The handlers of `interrupts` know this layout.
#[repr(C)]
pub struct CoreLocal {
    /// Its own address, which `gs:0` gives.
    myself: AtomicPtr<CoreLocal>,
    /// Where the end of an interrupt is written (local APIC, register 0xB0); 0 with an x2APIC, which has a register of the processor for it.
    pub end_of_interrupt: AtomicU64,
    /// Interrupts so far.
    pub interrupts: AtomicU64,
    /// Lines that fired and were not taken yet: a byte each, eight in a word.
    pub pending: [AtomicU64; MAX_LINES / 8],
    /// Number of the core, from 0, in the order in which they were started.
    index: AtomicU32,
    /// Number of its local APIC.
    apic_id: AtomicU32,
    /// Set while the core halts, or is about to: then an interrupt must wake it.
    pub is_halted: AtomicBool,
    /// The last request to forget translations that the core has followed.
    pub tlb_request: AtomicU64,
    /// Set while services run, on the stack of whatever thread is there.
    is_serving: AtomicBool,
    /// Where the stack pointer of the running thread must be for it to wait on that stack when it is interrupted: start and end.
    preemptible_stack: [AtomicUsize; 2],
    /// The end of a stack for a thread that is interrupted on another one; 0 while there is none.
    spare_stack: AtomicUsize,
    /// What the scheduler keeps for the core.
    pub scheduler: AtomicPtr<()>,
    /// The core's small objects.
    pub heap: LocalHeap,
}

impl CoreLocal {
    const fn new() -> Self {
        Self {
            myself: AtomicPtr::new(null_mut()),
            end_of_interrupt: AtomicU64::new(0),
            interrupts: AtomicU64::new(0),
            pending: [const { AtomicU64::new(0) }; MAX_LINES / 8],
            index: AtomicU32::new(0),
            apic_id: AtomicU32::new(0),
            is_halted: AtomicBool::new(false),
            tlb_request: AtomicU64::new(0),
            is_serving: AtomicBool::new(false),
            preemptible_stack: [const { AtomicUsize::new(0) }; 2],
            spare_stack: AtomicUsize::new(0),
            scheduler: AtomicPtr::new(null_mut()),
            heap: LocalHeap::new(Stock::Common),
        }
    }

    /// Number of the core, from 0.
    pub fn index(&self) -> usize {
        self.index.load(Ordering::Relaxed) as usize
    }

    /// Whether services run now, on the stack of whatever thread is there.
    pub fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Relaxed)
    }

    /// Notes that services run, or that they have run.
    pub fn set_serving(&self, is_serving: bool) {
        self.is_serving.store(is_serving, Ordering::Relaxed);
    }

    /// Where the stack pointer of the running thread must be for it to wait on that stack when it is interrupted.
    pub fn preemptible_stack(&self) -> Range<usize> {
        let [start, end] = &self.preemptible_stack;
        start.load(Ordering::Relaxed)..end.load(Ordering::Relaxed)
    }

    /// Sets [`Self::preemptible_stack`], for the thread that runs next.
    #[inline]
    pub fn set_preemptible_stack(&self, stack: Range<usize>) {
        let [start, end] = &self.preemptible_stack;
        start.store(stack.start, Ordering::Relaxed);
        end.store(stack.end, Ordering::Relaxed);
    }

    /// Sets the end of the stack for a thread that is interrupted on one that is not [`Self::preemptible_stack`]; nobody uses it.
    pub fn set_spare_stack(&self, end: usize) {
        self.spare_stack.store(end, Ordering::Relaxed);
    }

    /// Takes what [`Self::set_spare_stack`] set; 0 if that was taken.
    pub fn take_spare_stack(&self) -> usize {
        self.spare_stack.swap(0, Ordering::Relaxed)
    }

    /// Whether [`Self::take_spare_stack`] would give a stack.
    pub fn has_spare_stack(&self) -> bool {
        self.spare_stack.load(Ordering::Relaxed) != 0
    }

    /// Number of the core's local APIC.
    pub fn apic_id(&self) -> u32 {
        self.apic_id.load(Ordering::Relaxed)
    }
}

static BOOT_CORE: CoreLocal = CoreLocal::new();
static CORES: [AtomicPtr<CoreLocal>; MAX_CORES] = [const { AtomicPtr::new(null_mut()) }; MAX_CORES];
static CORE_COUNT: AtomicU32 = AtomicU32::new(0);

/// Makes the boot core's data, and `gs` lead to it.
pub fn initialise_boot_core() {
    BOOT_CORE
        .myself
        .store((&raw const BOOT_CORE).cast_mut(), Ordering::Relaxed);
    add(&BOOT_CORE);
    // SAFETY: the data is the boot core's, which is the one that runs.
    unsafe { enter(&BOOT_CORE) };
}

/// Notes the number of the boot core's local APIC.
pub fn set_boot_apic_id(apic_id: u32) {
    BOOT_CORE.apic_id.store(apic_id, Ordering::Relaxed);
}

/// Makes the data of another core, which is not counted before [`add`].
pub fn allocate(apic_id: u32) -> &'static CoreLocal {
    let core: &'static CoreLocal = Box::leak(Box::new(CoreLocal::new()));
    core.myself
        .store((&raw const *core).cast_mut(), Ordering::Relaxed);
    core.apic_id.store(apic_id, Ordering::Relaxed);
    core.index
        .store(CORE_COUNT.load(Ordering::Relaxed), Ordering::Relaxed);
    core
}

/// Counts a core that runs.
pub fn add(core: &'static CoreLocal) {
    CORES[core.index()].store((&raw const *core).cast_mut(), Ordering::Release);
    CORE_COUNT.fetch_add(1, Ordering::Release);
}

/// Makes `gs` lead to a core's data.
///
/// # Safety
/// 1. The data is that of the core that calls.
pub unsafe fn enter(core: &'static CoreLocal) {
    // SAFETY: the register exists on every x86-64 processor; (1).
    unsafe { cpu::write_msr(msr::GS_BASE, &raw const *core as u64) };
}

/// How many cores run.
pub fn count() -> usize {
    CORE_COUNT.load(Ordering::Acquire) as usize
}

/// The data of a core, if it runs.
pub fn get(index: usize) -> Option<&'static CoreLocal> {
    let core = CORES.get(index)?.load(Ordering::Acquire);
    // SAFETY: the table holds null or data that lives for ever.
    unsafe { core.as_ref() }
}

/// This core's data.
#[inline]
pub fn current() -> &'static CoreLocal {
    let core: *const CoreLocal;
    // SAFETY: `gs` leads to this core's data from the first instructions on, and its first word is its address, which never changes.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) core, options(nostack, preserves_flags, readonly, pure));
        &*core
    }
}

/// The address in `fs`: the thread control block of the running thread.
#[inline]
pub fn thread_pointer() -> usize {
    let value: usize;
    // SAFETY: the first word of a thread control block is its own address; `fs` leads to one whenever threads run.
    unsafe { asm!("mov {}, fs:[0]", out(reg) value, options(nostack, preserves_flags, readonly)) };
    value
}

/// Whether `fs` leads to a thread control block already.
pub fn has_thread() -> bool {
    // SAFETY: the register exists on every x86-64 processor.
    unsafe { cpu::read_msr(msr::FS_BASE) != 0 }
}

/// Makes `fs` lead to a thread control block.
///
/// # Safety
/// 1. The block is that of the thread that runs next.
#[inline]
pub unsafe fn set_thread_pointer(block: usize) {
    // SAFETY: the register exists on every x86-64 processor; (1).
    unsafe { cpu::write_msr(msr::FS_BASE, block as u64) };
}
