//! From an exception to who deals with it.

use core::mem::transmute;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::arch::x86_64::core_local;
use crate::arch::x86_64::exceptions::{Frame, Interrupted, divert, divert_bytes, had_interrupts};
use crate::memory::areas::{self, Fault};
use crate::memory::frames::{FRAME_BYTES, Stock};
use crate::memory::paging;
use crate::scheduler::thread;
use crate::{epitaph, image};

/// What became of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The thread goes on with the registers as they are now.
    GoOn,
    /// Somebody else's.
    NotMine,
}

/// Who is asked about a fault of the program's code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The handler that the program gave to the crate `toro`.
    Native,
    /// Handlers of signals.
    Signal,
    /// The end of the thread.
    Thread,
}

type Function = fn(&mut Interrupted) -> Verdict;

/// The stages, in order. They are set by what needs them, so that a program without it has none of their code.
static STAGES: [AtomicPtr<()>; 3] = [const { AtomicPtr::new(null_mut()) }; 3];

/// Stack that dealing with a fault needs: memory may have to be allocated, and a report be written.
fn room_bytes() -> usize {
    divert_bytes() + 24 * 1024
}

/// Has `function` asked from now on.
pub fn set_stage(stage: Stage, function: Function) {
    STAGES[stage as usize].store(function as *mut (), Ordering::Release);
}

/// Has an exception dealt with by [`diverted`], or ends the machine.
pub fn on_exception(frame: &mut Frame, page_fault: Option<(usize, Fault)>) {
    if let Some((stack, outer)) = place(frame, page_fault) {
        // SAFETY: `place` found a stack with room that is mapped; the program's code holds no lock of the kernel.
        unsafe { divert(frame, page_fault, stack, outer) };
    } else {
        epitaph::exception(frame, page_fault)
    }
}

/// Takes a non-maskable interrupt. Hypervisors send it when somebody asks for it (`inject-nmi`), to see what a machine does that does not answer;
/// so that is told, and as nothing of the machine is wrong, it goes on.
pub fn on_nmi(frame: &Frame) {
    epitaph::whereabouts(frame);
}

/// The stack on which a fault can be dealt with, and the instruction of the program that caused it; `None` where that would not be sound.
fn place(frame: &Frame, page_fault: Option<(usize, Fault)>) -> Option<(usize, usize)> {
    let may_wait = had_interrupts(frame)
        && core_local::has_thread()
        && !core_local::current().is_serving()
        // What comes without a way back, or not because of the code that it interrupts.
        && !matches!(frame.vector, 8 | 18)
        // Where memory is missing, whoever is asked would need some.
        && !matches!(page_fault, Some((_, Fault::OutOfMemory)))
        && STAGES.iter().any(|stage| !stage.load(Ordering::Relaxed).is_null());
    let (mut stack, mut outer) = (frame.rsp as usize, frame.rip as usize);
    if may_wait && is_jump_astray(frame, page_fault) {
        // Who jumped has just pushed where it goes on.
        outer = epitaph::read_word(stack)?;
        stack += 8;
    }
    if !may_wait || !image::is_program_code(outer) {
        return None;
    }
    let thread = thread::current();
    let (start, len_bytes) = thread.stack();
    let room_bytes = room_bytes();
    if !(start + room_bytes..=start + len_bytes).contains(&stack) {
        // The stack is used up: handlers of signals may have one of their own.
        let is_handled = !STAGES[Stage::Signal as usize]
            .load(Ordering::Relaxed)
            .is_null();
        let (start, len_bytes) = *thread.signals.alternate_stack.try_lock()?;
        if !is_handled || len_bytes < room_bytes {
            return None;
        }
        stack = start.checked_add(len_bytes)?;
    }
    // Pages that are not there yet: here there must be no page fault, as this may run on the stack of page faults; and if memory ran out
    // later, in the midst of the report, nothing would be reported.
    let pages = (stack - room_bytes) & !(FRAME_BYTES - 1)..stack;
    let is_there = pages.step_by(FRAME_BYTES).all(|page| {
        paging::is_mapped(page)
            || areas::on_page_fault(Stock::Common, page, true, false) == Fault::Mapped
    });
    is_there.then_some((stack, outer))
}

/// Whether the program jumped to where no code is.
pub(super) fn is_jump_astray(frame: &Frame, page_fault: Option<(usize, Fault)>) -> bool {
    const IS_EXECUTION: u64 = 1 << 4;
    page_fault.is_some() && frame.error_code & IS_EXECUTION != 0
}

/// Deals with a fault on a stack where this may wait.
pub(crate) extern "C" fn diverted(fault: &mut Interrupted) {
    crate::arch::x86_64::cpu::enable_interrupts();
    for stage in &STAGES {
        let function = stage.load(Ordering::Acquire);
        if function.is_null() {
            continue;
        }
        // SAFETY: only `set_stage` stores here.
        let function = unsafe { transmute::<*mut (), Function>(function) };
        if function(fault) == Verdict::GoOn {
            return;
        }
    }
    epitaph::exception(&fault.frame, fault.page_fault)
}
