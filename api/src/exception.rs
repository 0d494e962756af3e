//! Exceptions of the processor: what the program itself does about them.
//!
//! An exception in the code of the program (not of the kernel) is given to the program's handler, if it has one. The handler runs on the
//! thread that faulted, and may do what a function may do that the faulting code calls; but a panic in it ends the program. It
//! repairs what is wrong and lets the thread go on, or leaves the exception to what happens without a handler: a report on the console, and
//! then the thread ends as by a panic (`join` gives an error whose payload is a `&'static str` that describes the exception); if it
//! is the main thread, or the end of the thread alone would not be sound, the program ends with status 132, 136 or 139.
//!
//! ```no_run
//! use toro::exception::{self, Action, Kind};
//!
//! exception::set_handler(Kind::DivideError, |exception| {
//!     println!("{exception}");
//!     // SAFETY: the program divides by `div ecx` alone, two bytes long, and takes any quotient.
//!     unsafe { exception.registers_mut().rip += 2 };
//!     Action::Continue
//! });
//! ```
//!
//! A stack that overflows is given to no handler, as the handler would need it.

use std::fmt;

use crate::sys::exception::{self as sys, Slot};

/// Which exception it is (Intel SDM volume 3A, table 6-1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// A division by zero, or with a quotient that is too large (vector 0).
    DivideError,
    /// A step of a debugger (1).
    Debug,
    /// `int3` (3).
    Breakpoint,
    /// `into` (4).
    Overflow,
    /// `bound` (5).
    BoundRange,
    /// An instruction that does not exist (6).
    InvalidOpcode,
    /// A stack address that cannot be one (12).
    StackFault,
    /// An address that cannot be one, or an instruction that may not be (13).
    GeneralProtection,
    /// Memory that is not there or does not allow it (14).
    PageFault,
    /// An x87 operation failed that was to be reported (16).
    FloatingPoint,
    /// An address that is not aligned, where that is checked (17).
    AlignmentCheck,
    /// An SSE operation failed that was to be reported (19).
    SimdFloatingPoint,
    /// Another one, by its vector.
    Other(u8),
}

impl Kind {
    fn of(vector: u64) -> Self {
        match vector {
            0 => Self::DivideError,
            1 => Self::Debug,
            3 => Self::Breakpoint,
            4 => Self::Overflow,
            5 => Self::BoundRange,
            6 => Self::InvalidOpcode,
            12 => Self::StackFault,
            13 => Self::GeneralProtection,
            14 => Self::PageFault,
            16 => Self::FloatingPoint,
            17 => Self::AlignmentCheck,
            19 => Self::SimdFloatingPoint,
            other => Self::Other(other as u8),
        }
    }

    /// The vector.
    #[must_use]
    pub fn vector(self) -> u8 {
        match self {
            Self::DivideError => 0,
            Self::Debug => 1,
            Self::Breakpoint => 3,
            Self::Overflow => 4,
            Self::BoundRange => 5,
            Self::InvalidOpcode => 6,
            Self::StackFault => 12,
            Self::GeneralProtection => 13,
            Self::PageFault => 14,
            Self::FloatingPoint => 16,
            Self::AlignmentCheck => 17,
            Self::SimdFloatingPoint => 19,
            Self::Other(vector) => vector,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::DivideError => "divide error",
            Self::Debug => "debug",
            Self::Breakpoint => "breakpoint",
            Self::Overflow => "overflow",
            Self::BoundRange => "bound range exceeded",
            Self::InvalidOpcode => "invalid opcode",
            Self::StackFault => "stack segment fault",
            Self::GeneralProtection => "general protection fault",
            Self::PageFault => "page fault",
            Self::FloatingPoint => "x87 floating-point error",
            Self::AlignmentCheck => "alignment check",
            Self::SimdFloatingPoint => "SIMD floating-point error",
            Self::Other(vector) => return write!(out, "exception {vector}"),
        })
    }
}

/// What was done to memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read.
    Read,
    /// Written.
    Write,
    /// Executed.
    Execute,
}

/// The registers of the interrupted code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[allow(missing_docs, reason = "the names are those of the registers")]
pub struct Registers {
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rsp: u64,
    pub rip: u64,
    pub rflags: u64,
}

/// An exception that waits for what its handler decides.
pub struct Exception<'a>(&'a mut sys::Exception);

impl Exception<'_> {
    /// Which one it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of(self.0.vector)
    }

    /// The address of a page fault; `None` for other exceptions.
    #[must_use]
    pub fn address(&self) -> Option<usize> {
        (self.kind() == Kind::PageFault).then_some(self.0.address as usize)
    }

    /// What was done at the address of a page fault; `None` for other exceptions.
    #[must_use]
    pub fn access(&self) -> Option<Access> {
        // Intel SDM volume 3A, 4.7: bit 1 is set for writes, bit 4 for instructions.
        self.address().map(|_| match self.0.error_code {
            code if code & 16 != 0 => Access::Execute,
            code if code & 2 != 0 => Access::Write,
            _ => Access::Read,
        })
    }

    /// What the processor says of the cause; 0 where it says nothing.
    #[must_use]
    pub fn error_code(&self) -> u64 {
        self.0.error_code
    }

    /// Number of the thread that faulted; the main thread has 1.
    #[must_use]
    pub fn thread(&self) -> u64 {
        self.0.thread
    }

    /// The core of that thread.
    #[must_use]
    pub fn core(&self) -> usize {
        self.0.core as usize
    }

    /// The registers; `rip` is the instruction that faulted.
    #[must_use]
    pub fn registers(&self) -> &Registers {
        &self.0.registers
    }

    /// The registers with which the thread goes on after [`Action::Continue`]. Of the flags, only those of arithmetic and the direction
    /// can be changed.
    ///
    /// # Safety
    /// 1. The code at `rip` can go on with these registers.
    pub unsafe fn registers_mut(&mut self) -> &mut Registers {
        &mut self.0.registers
    }
}

impl fmt::Display for Exception<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at {:#x}", self.kind(), self.registers().rip)?;
        let access = match self.access() {
            None => return Ok(()),
            Some(Access::Read) => "read",
            Some(Access::Write) => "write",
            Some(Access::Execute) => "execution",
        };
        write!(out, ": {access} at {:#x}", self.0.address)
    }
}

impl fmt::Debug for Exception<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Exception")
            .field("kind", &self.kind())
            .field("error_code", &self.0.error_code)
            .field("address", &self.address())
            .field("thread", &self.0.thread)
            .field("core", &self.0.core)
            .field("registers", &self.0.registers)
            .finish()
    }
}

/// What a handler decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Action {
    /// The thread goes on, with the registers as they are now: it repeats the instruction, if `rip` was left alone.
    Continue,
    /// What happens without a handler.
    Default,
}

/// A handler: it is called on the thread that faulted.
pub type Handler = fn(&mut Exception<'_>) -> Action;

const VECTORS: usize = 32;
static HANDLERS: [Slot; VECTORS] = [const { Slot::new() }; VECTORS];
static FOR_ALL: Slot = Slot::new();

extern "C" fn handle(exception: &mut sys::Exception) -> bool {
    let own = HANDLERS.get(exception.vector as usize).and_then(Slot::get);
    [own, FOR_ALL.get()]
        .into_iter()
        .flatten()
        .any(|handler| handler(&mut Exception(exception)) == Action::Continue)
}

/// Has `handler` asked about exceptions of a kind, in place of the one before. There is none of [`Kind::Other`] for a vector beyond
/// 31: that does nothing.
pub fn set_handler(kind: Kind, handler: Handler) {
    if let Some(slot) = HANDLERS.get(usize::from(kind.vector())) {
        slot.set(Some(handler));
        sys::set_handler(handle);
    }
}

/// Has `handler` asked about all exceptions that have no handler of their own, or which that leaves to the default.
pub fn set_handler_for_all(handler: Handler) {
    FOR_ALL.set(Some(handler));
    sys::set_handler(handle);
}

/// Takes the handler of a kind away.
pub fn remove_handler(kind: Kind) {
    if let Some(slot) = HANDLERS.get(usize::from(kind.vector())) {
        slot.set(None);
    }
}

/// Takes the handler for all kinds away; those of single kinds stay.
pub fn remove_handler_for_all() {
    FOR_ALL.set(None);
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn kinds_and_vectors_belong_together() {
        for vector in 0..=u8::MAX {
            assert_eq!(Kind::of(u64::from(vector)).vector(), vector);
        }
    }
}
