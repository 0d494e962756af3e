//! The last words: reports of exceptions and of the kernel's own panics. Needs no memory and no lock.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::arch::x86_64::exceptions::{Frame, PAGE_FAULT};
use crate::arch::x86_64::{context, core_local, power};
use crate::devices::console::{self, Console};
use crate::memory::areas::Fault;
use crate::memory::paging;
use crate::{image, scheduler};

/// Frames of a backtrace that are shown.
const MAX_FRAMES: usize = 64;

/// Calls of a recursion that are counted instead of shown, before it is given up.
const MAX_REPEATS: usize = 1 << 20;

/// Exit status of a fault, as a shell reports the signal that Linux would send.
const STATUS_ILLEGAL_INSTRUCTION: u8 = 128 + 4;
const STATUS_FLOATING_POINT: u8 = 128 + 8;
const STATUS_SEGMENTATION_FAULT: u8 = 128 + 11;
const STATUS_ABORTED: u8 = 128 + 6;
/// Exit status of an error of the kernel or of its configuration.
const STATUS_KERNEL: u8 = 70;

/// Names of the exceptions (Intel SDM volume 3A, table 6-1).
const NAMES: [&str; 32] = [
    "divide error",
    "debug",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor segment overrun",
    "invalid task state",
    "segment not present",
    "stack segment fault",
    "general protection fault",
    "page fault",
    "reserved",
    "x87 floating-point error",
    "alignment check",
    "machine check",
    "SIMD floating-point error",
    "virtualisation",
    "control protection",
    "reserved",
    "reserved",
    "reserved",
    "reserved",
    "reserved",
    "reserved",
    "hypervisor injection",
    "VMM communication",
    "security",
    "reserved",
];

/// How often the kernel has died; a second death only ends the machine.
static DEATHS: AtomicU32 = AtomicU32::new(0);

fn die_once() {
    if DEATHS.fetch_add(1, Ordering::Relaxed) != 0 {
        console::write(b"\ntoro: the report itself failed\n");
        end(STATUS_KERNEL);
    }
}

/// Tells the host the exit status and ends the machine.
pub fn end(status: u8) -> ! {
    tell_status(status);
    power::off(status);
    let _ = writeln!(
        Console,
        "toro: this machine has no way to power itself off: it is halted"
    );
    console::finish();
    power::halt()
}

/// Tells the host the exit status; it is on the line when this returns.
pub fn tell_status(status: u8) {
    let _ = write!(Serial, "\x1b]toro;exit={status}\x07");
    console::finish();
}

struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        console::write_serial(text.as_bytes());
        Ok(())
    }
}

/// Ends the machine with a message: something that the kernel cannot run without is missing or wrong.
pub fn fatal(message: fmt::Arguments<'_>) -> ! {
    let _ = writeln!(Console, "toro: \x1b[1;31merror\x1b[0m: {message}");
    end(STATUS_KERNEL)
}

/// Reports a panic of the kernel and ends the machine.
pub fn panic(message: &dyn fmt::Display, place: &dyn fmt::Display) -> ! {
    die_once();
    let _ = writeln!(
        Console,
        "\ntoro: \x1b[1;31mthe kernel panicked\x1b[0m at {place}: {message}"
    );
    backtrace(&mut Console, None, None, context::frame_pointer());
    end(STATUS_KERNEL)
}

/// Reports an exception and ends the machine. `fault` is the address of a page fault and what was wrong there.
pub fn exception(frame: &Frame, fault: Option<(usize, Fault)>) -> ! {
    die_once();
    report(&mut Console, frame, fault);
    end(match frame.vector {
        _ if is_stack_overflow(fault) => STATUS_ABORTED,
        0 | 16 | 19 => STATUS_FLOATING_POINT,
        6 => STATUS_ILLEGAL_INSTRUCTION,
        _ => STATUS_SEGMENTATION_FAULT,
    })
}

/// Tells where this core stands, for who asked by a non-maskable interrupt.
pub fn whereabouts(frame: &Frame) {
    report(&mut Console, frame, None);
    let _ = writeln!(
        Console,
        "toro: nobody knows what the interrupt was for: going on"
    );
    // Whoever was interrupted while writing knows of its own bytes alone.
    console::finish();
}

/// Writes what a developer wants to know of an exception.
pub fn report(out: &mut dyn Write, frame: &Frame, fault: Option<(usize, Fault)>) {
    let description = Description(frame, fault);
    let _ = write!(out, "\ntoro: \x1b[1;31m{description}\x1b[0m");
    if core_local::has_thread() {
        let thread = scheduler::thread::current();
        let name = thread.name_unless_taken().unwrap_or_default();
        let name = name.shown();
        let (id, core) = (thread.id(), thread.core());
        let _ = writeln!(out, ", in thread {id} '{name}' on core {core}");
        if is_stack_overflow(fault) {
            // As std's handler of signals says it.
            let _ = writeln!(
                out,
                "\nthread '{name}' ({id}) has overflowed its stack\nfatal runtime error: stack overflow, aborting"
            );
        }
    } else {
        let _ = writeln!(out, " at boot");
    }
    registers(out, frame);
    backtrace(
        out,
        Some(frame.rip as usize),
        Some(frame.rsp as usize),
        frame.rbp as usize,
    );
}

/// Which exception it is, and what was done where.
pub struct Description<'a>(pub &'a Frame, pub Option<(usize, Fault)>);

impl fmt::Display for Description<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(frame, fault) = self;
        let name = NAMES.get(frame.vector as usize);
        out.write_str(name.copied().unwrap_or("unknown"))?;
        let Some((address, fault)) = *fault else {
            return match frame.error_code {
                0 => Ok(()),
                code => write!(out, " (error code {code:#x})"),
            };
        };
        debug_assert_eq!(frame.vector, PAGE_FAULT);
        let access = if frame.error_code & 16 != 0 {
            "execution"
        } else if frame.error_code & 2 != 0 {
            "write"
        } else {
            "read"
        };
        let place = if fault == Fault::OutOfMemory {
            "which should get memory, but there is none left"
        } else if fault == Fault::BeyondEnd {
            "a mapping of a file, behind the file's end"
        } else if address < 4096 {
            "a null pointer"
        } else if image::is_code(address) {
            "code"
        } else if frame.error_code & 1 != 0 {
            "memory that does not allow it"
        } else {
            "which is not mapped"
        };
        write!(out, ": {access} at {address:#x}, {place}")
    }
}

/// Whether a page fault is that of a thread that has used up its stack.
pub fn is_stack_overflow(fault: Option<(usize, Fault)>) -> bool {
    let Some((address, Fault::Invalid)) = fault.filter(|_| core_local::has_thread()) else {
        return false;
    };
    let (start, _) = scheduler::thread::current().stack();
    (start.saturating_sub(64 * 1024)..start).contains(&address)
}

fn registers(out: &mut dyn Write, frame: &Frame) {
    let rows = [
        [
            ("rip", frame.rip),
            ("rsp", frame.rsp),
            ("rbp", frame.rbp),
            ("rfl", frame.rflags),
        ],
        [
            ("rax", frame.rax),
            ("rbx", frame.rbx),
            ("rcx", frame.rcx),
            ("rdx", frame.rdx),
        ],
        [
            ("rsi", frame.rsi),
            ("rdi", frame.rdi),
            ("r8 ", frame.extended[7]),
            ("r9 ", frame.extended[6]),
        ],
        [
            ("r10", frame.extended[5]),
            ("r11", frame.extended[4]),
            ("r12", frame.extended[3]),
            ("r13", frame.extended[2]),
        ],
    ];
    for row in rows {
        for (name, value) in row {
            let _ = write!(out, "  {name} {value:016x}");
        }
        let _ = writeln!(out);
    }
    let _ = writeln!(
        out,
        "  r14 {:016x}  r15 {:016x}",
        frame.extended[1], frame.extended[0]
    );
}

/// Writes the calls that led here, by the chain of frame pointers; nothing on the stack is trusted.
fn backtrace(
    out: &mut dyn Write,
    instruction: Option<usize>,
    stack: Option<usize>,
    mut frame: usize,
) {
    let _ = writeln!(out, "backtrace:");
    if let Some(instruction) = instruction {
        show_call(out, 0, instruction, instruction);
        // A jump to where no code is: who jumped has just pushed where it goes on.
        if let Some(back) = stack
            .filter(|_| !image::is_code(instruction))
            .and_then(read_word)
        {
            show_call(out, 1, back, back.saturating_sub(1));
        }
    }
    let mut depth = 1;
    let mut last = 0;
    let mut repeats = 0;
    while depth < MAX_FRAMES {
        let (Some(next), Some(back)) = (read_word(frame), read_word(frame.wrapping_add(8))) else {
            break;
        };
        if back == 0 || next <= frame && next != 0 {
            break;
        }
        if back == last && repeats < MAX_REPEATS {
            repeats += 1;
        } else {
            if repeats != 0 {
                let _ = writeln!(out, "      … {repeats} more of these");
            }
            // The return address is behind the call, maybe in the next function.
            show_call(out, depth, back, back - 1);
            depth += 1;
            repeats = 0;
        }
        last = back;
        frame = next;
    }
    if repeats != 0 {
        let _ = writeln!(out, "      … {repeats} more of these");
    }
}

/// A word of the stack, if one can be read there.
pub fn read_word(address: usize) -> Option<usize> {
    let is_there = address != 0 && address.is_multiple_of(8) && paging::is_readable(address);
    // SAFETY: aligned and mapped.
    is_there.then(|| unsafe { *(address as *const usize) })
}

fn show_call(out: &mut dyn Write, depth: usize, address: usize, inside: usize) {
    let mut name = [0; image::MAX_NAME_BYTES];
    let _ = match image::symbol(inside, &mut name) {
        Some((name, offset)) => {
            writeln!(
                out,
                "  {depth:2}: {address:#x} {name}+{:#x}",
                offset + (address - inside)
            )
        }
        None => writeln!(out, "  {depth:2}: {address:#x}"),
    };
}
