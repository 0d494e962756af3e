//! The program's own handler of exceptions (`api/src/sys/exception.rs`).

use core::mem::transmute;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::arch::x86_64::exceptions::{Interrupted, Registers};
use crate::fault::{self, Stage, Verdict};
use crate::scheduler::thread;

/// An exception as the handler sees it. `api/src/sys/exception.rs` has the same structure.
#[repr(C)]
struct Exception {
    vector: u64,
    error_code: u64,
    /// Of a page fault.
    address: u64,
    thread: u64,
    core: u64,
    registers: Registers,
}

/// Whether it has repaired what was wrong.
type Handler = extern "C" fn(&mut Exception) -> bool;

static HANDLER: AtomicPtr<()> = AtomicPtr::new(null_mut());

/// Has `handler` asked about exceptions of the program's code.
#[unsafe(no_mangle)]
extern "C" fn toro_exception_set_handler(handler: Handler) {
    HANDLER.store(handler as *mut (), Ordering::Release);
    fault::set_stage(Stage::Native, ask);
}

fn ask(fault: &mut Interrupted) -> Verdict {
    let handler = HANDLER.load(Ordering::Acquire);
    if handler.is_null() {
        return Verdict::NotMine;
    }
    // SAFETY: only `toro_exception_set_handler` stores here.
    let handler = unsafe { transmute::<*mut (), Handler>(handler) };
    let frame = &mut fault.frame;
    let thread = thread::current();
    let mut exception = Exception {
        vector: frame.vector,
        error_code: frame.error_code,
        address: fault.page_fault.map_or(0, |(address, _)| address as u64),
        thread: u64::from(thread.id()),
        core: thread.core() as u64,
        registers: frame.registers(),
    };
    if !handler(&mut exception) {
        return Verdict::NotMine;
    }
    frame.set_registers(&exception.registers);
    Verdict::GoOn
}
