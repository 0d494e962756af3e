//! The end of a thread by a fault: a panic, as if a function that the program called had panicked.
//!
//! Unwinding finds what is to be dropped by tables of calls (`landing`), and an instruction that faults is mostly no call. So the panic is
//! begun in the innermost function that waits for a call of which the table knows: its frame and those further out are unwound,
//! destructors and all; those further in are forgotten, and what they held stays as it is. Where a forgotten function would have caught what
//! its calls throw, as `thread::scope` does to wait for its threads, the end would not be sound, and the machine ends instead. So it does where
//! nobody catches: then a panic would be the end of the program too.

use alloc::format;
use alloc::string::String;
use core::ffi::{c_int, c_void};
use core::mem::transmute;

use super::dispatch::{Verdict, is_jump_astray};
use super::landing::{Landing, landing};
use crate::arch::x86_64::exceptions::{Caller, Interrupted, call_from};
use crate::devices::console;
use crate::memory::areas::Fault;
use crate::scheduler::thread;
use crate::{epitaph, image};

/// The function of `core` that panics with a message of constant text. All of std leads to it, so it is in every program.
const PANIC: &str = "core::panicking::panic";

/// The longest table of a function that is looked at, in bytes.
const MAX_TABLE_BYTES: usize = 1 << 20;

/// `core::panic::Location`: file, line and column.
#[repr(C)]
struct Place {
    file: &'static str,
    line: u32,
    column: u32,
}

/// Opaque: a frame of the crate `unwinding`.
pub(crate) enum UnwindContext {}

unsafe extern "C" {
    fn _Unwind_Backtrace(
        visit: extern "C" fn(*mut UnwindContext, *mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIPInfo(context: *mut UnwindContext, is_before: *mut c_int) -> usize;
    fn _Unwind_GetCFA(context: *mut UnwindContext) -> usize;
    fn _Unwind_GetGR(context: *mut UnwindContext, register: c_int) -> usize;
    fn _Unwind_GetLanguageSpecificData(context: *mut UnwindContext) -> *const u8;
    fn _Unwind_GetRegionStart(context: *mut UnwindContext) -> usize;
}

const GO_ON: c_int = 0;
const STOP: c_int = 5;

/// What the way outwards has shown so far.
#[derive(Default)]
struct Search {
    /// The frame of the fault was met: what comes before it is the kernel's.
    has_begun: bool,
    /// The fault was a jump astray: the frame of the fault waits for a call.
    is_astray: bool,
    /// Where the panic is to begin.
    caller: Option<Caller>,
    /// Somebody catches it.
    is_caught: bool,
}

/// What unwinding does in a frame; `None` if that cannot be known.
fn landing_of(context: *mut UnwindContext, instruction: usize) -> Option<Landing> {
    // SAFETY: the unwinder's own context, during its call.
    let (table, start) = unsafe {
        (
            _Unwind_GetLanguageSpecificData(context),
            _Unwind_GetRegionStart(context),
        )
    };
    if table.is_null() {
        return Some(Landing::Through);
    }
    let end = image::layout().text;
    let len = end.checked_sub(table as usize)?.min(MAX_TABLE_BYTES);
    // SAFETY: the table is in the image's constants, which end where the code begins.
    let table = unsafe { core::slice::from_raw_parts(table, len) };
    landing(table, instruction.checked_sub(start)?)
}

impl Search {
    fn visit(&mut self, context: *mut UnwindContext) -> c_int {
        let mut is_before = 0;
        // SAFETY: as in `landing_of`.
        let at = unsafe { _Unwind_GetIPInfo(context, &raw mut is_before) };
        let is_fault = is_before != 0;
        self.has_begun |= is_fault;
        if !self.has_begun {
            return GO_ON;
        }
        if !image::program_code().contains(&at) {
            return STOP;
        }
        let is_call = !is_fault || self.is_astray;
        match landing_of(context, at - usize::from(is_call)) {
            None | Some(Landing::Unforeseen { has_catch: true }) => return STOP,
            Some(Landing::Unforeseen { has_catch: false }) => self.caller = None,
            Some(_) if !is_call => {}
            Some(landing) => {
                if self.caller.is_none() {
                    // SAFETY: as in `landing_of`; the numbers are those of rbx, rbp and r12 to r15.
                    self.caller = Some(unsafe {
                        Caller {
                            rbx: _Unwind_GetGR(context, 3),
                            rbp: _Unwind_GetGR(context, 6),
                            extended: [12, 13, 14, 15].map(|r| _Unwind_GetGR(context, r)),
                            rsp: _Unwind_GetCFA(context),
                            rip: at,
                        }
                    });
                }
                if landing == Landing::Catch {
                    self.is_caught = true;
                    return STOP;
                }
            }
        }
        GO_ON
    }
}

extern "C" fn visit(context: *mut UnwindContext, search: *mut c_void) -> c_int {
    // SAFETY: `end_thread` passes it.
    unsafe { (*search.cast::<Search>()).visit(context) }
}

/// Ends the running thread, if that is sound; else nothing has happened.
pub fn end_thread(fault: &mut Interrupted) -> Verdict {
    let thread = thread::current();
    let (start, len_bytes) = thread.stack();
    let here = &raw const *fault as usize;
    let is_suitable = !thread.is_main()
        // An interrupted program that asks for single steps, or a page for which there is no memory, is not the thread's own fault.
        && !matches!(fault.frame.vector, 1 | 3)
        && !matches!(fault.page_fault, Some((_, Fault::OutOfMemory)))
        && (start..start + len_bytes).contains(&here)
        && !epitaph::is_stack_overflow(fault.page_fault);
    let Some(panic) = is_suitable
        .then(|| image::program_function(PANIC))
        .flatten()
    else {
        return Verdict::NotMine;
    };
    let mut search = Search {
        is_astray: is_jump_astray(&fault.frame, fault.page_fault),
        ..Search::default()
    };
    // SAFETY: `visit` gets the search, which lives until the call returns.
    unsafe { _Unwind_Backtrace(visit, (&raw mut search).cast()) };
    let (Some(caller), true) = (search.caller, search.is_caught) else {
        return Verdict::NotMine;
    };
    // In one piece: threads of other cores may have something to say too.
    let mut report = String::new();
    epitaph::report(&mut report, &fault.frame, fault.page_fault);
    console::write(report.as_bytes());
    drop(report);
    // As long as the payload of the panic may live, which nobody knows.
    let message = String::leak(format!(
        "{}",
        epitaph::Description(&fault.frame, fault.page_fault)
    ));
    let mut name = [0; image::MAX_NAME_BYTES];
    let file = match image::symbol(fault.frame.rip as usize, &mut name) {
        Some((name, _)) => format!("{name}\0"),
        None => format!("{:#x}\0", fault.frame.rip),
    };
    let file = String::leak(file);
    let place = Place {
        // The text that `core` keeps ends with a zero behind it.
        file: &file[..file.len() - 1],
        line: 0,
        column: 0,
    };
    let place: &'static Place = alloc::boxed::Box::leak(alloc::boxed::Box::new(place));
    // SAFETY: the caller waits for a call that may unwind, on this thread's stack; frames further in are the program's, which may be
    // forgotten, and the kernel's, which hold nothing now. `panic` takes a text and, as all functions that track their caller, a location.
    unsafe {
        call_from(
            &caller,
            panic,
            message.as_ptr() as usize,
            message.len(),
            transmute::<&'static Place, usize>(place),
        )
    }
}
