//! `printf` and its kin (ISO C17, section 7.21.6): formatted text to streams, descriptors and memory.

use alloc::vec::Vec;
use core::ffi::{c_char, c_int};
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

use super::convert::bytes;
use super::errno;
use super::file::write;
use super::format::{Sink, format_onto};
use super::memory::malloc;
use super::stream::{File, locked, stdout};
use super::variadic::{VaList, variadic};
use crate::error::{Errno, Result};

/// The caller's memory: takes what fits before a last zero, and lets the rest go.
struct Bounded {
    next: *mut c_char,
    room: usize,
}

impl Sink for Bounded {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let count = bytes.len().min(self.room);
        // SAFETY: the caller of `vsnprintf` has as much room.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.next.cast(), count);
            self.next = self.next.add(count);
        }
        self.room -= count;
        Ok(())
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.try_reserve(bytes.len())
            .map_err(|_| Errno(libc::ENOMEM))?;
        self.extend_from_slice(bytes);
        Ok(())
    }
}

fn finish(result: Result<usize>) -> c_int {
    match result {
        Ok(count) => count as c_int,
        Err(error) => errno::set(error),
    }
}

/// Formats into memory; how long the text would be with enough of it.
///
/// # Safety
/// `len` bytes can be written; `format` is a C string, and `arguments` are what it says.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn vsnprintf(
    out: *mut c_char,
    len: usize,
    format: *const c_char,
    arguments: *mut VaList,
) -> c_int {
    let mut sink = Bounded {
        next: out,
        room: len.saturating_sub(1),
    };
    // SAFETY: the same contract.
    let result = unsafe { format_onto(&mut sink, format, &mut *arguments) };
    if len > 0 {
        // SAFETY: one byte was kept for it.
        unsafe { sink.next.write(0) };
    }
    finish(result)
}

/// Formats into memory that is large enough.
///
/// # Safety
/// As of [`vsnprintf`], for any length.
#[unsafe(no_mangle)]
unsafe extern "C" fn vsprintf(
    out: *mut c_char,
    format: *const c_char,
    arguments: *mut VaList,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { vsnprintf(out, usize::MAX, format, arguments) }
}

/// Formats into memory of `malloc`.
///
/// # Safety
/// `out` can be written; `format` is a C string, and `arguments` are what it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn vasprintf(
    out: *mut *mut c_char,
    format: *const c_char,
    arguments: *mut VaList,
) -> c_int {
    let mut text = Vec::new();
    // SAFETY: the same contract; the copy is as long as its memory.
    unsafe {
        out.write(null_mut());
        let result = format_onto(&mut text, format, &mut *arguments);
        if result.is_ok() {
            text.push(0);
            let memory = malloc(text.len());
            if memory.is_null() {
                return errno::set(Errno(libc::ENOMEM));
            }
            core::ptr::copy_nonoverlapping(text.as_ptr(), memory.cast(), text.len());
            out.write(memory.cast());
        }
        finish(result)
    }
}

/// Formats to a stream.
///
/// # Safety
/// `file` is an open stream; `format` is a C string, and `arguments` are what it says.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn vfprintf(
    file: *mut File,
    format: *const c_char,
    arguments: *mut VaList,
) -> c_int {
    // The text goes out in one piece: a stream without a buffer would send each part alone.
    let mut text = Vec::new();
    // SAFETY: the same contract.
    let result = unsafe {
        format_onto(&mut text, format, &mut *arguments)
            .and_then(|count| locked(file).write(&text).map(|()| count))
    };
    finish(result)
}

/// Formats to the standard output.
///
/// # Safety
/// `format` is a C string, and `arguments` are what it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn vprintf(format: *const c_char, arguments: *mut VaList) -> c_int {
    // SAFETY: the same contract; a stream, unless the program says otherwise.
    unsafe { vfprintf(stdout.load(Ordering::Relaxed), format, arguments) }
}

/// Formats to a descriptor.
///
/// # Safety
/// `format` is a C string, and `arguments` are what it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn vdprintf(
    descriptor: c_int,
    format: *const c_char,
    arguments: *mut VaList,
) -> c_int {
    let mut text = Vec::new();
    // SAFETY: the same contract.
    let result = unsafe { format_onto(&mut text, format, &mut *arguments) };
    let written = |count| {
        // SAFETY: the bytes of a vector.
        let data = unsafe { bytes(text.as_ptr().cast(), text.len())? };
        // SAFETY: as above.
        match unsafe { write(descriptor, data.as_ptr().cast(), data.len()) } {
            -1 => Err(Errno(errno::get())),
            _ => Ok(count),
        }
    };
    finish(result.and_then(written))
}

/// As [`vsnprintf`]; a C compiler knows the size of the memory, and so checks the length.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn __vsnprintf_chk(
    out: *mut c_char,
    len: usize,
    _flag: c_int,
    size: usize,
    format: *const c_char,
    arguments: *mut VaList,
) -> c_int {
    super::fortify::check(len <= size);
    // SAFETY: the same contract.
    unsafe { vsnprintf(out, len, format, arguments) }
}

/// As [`vsprintf`], into memory of a known size.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn __vsprintf_chk(
    out: *mut c_char,
    _flag: c_int,
    size: usize,
    format: *const c_char,
    arguments: *mut VaList,
) -> c_int {
    // SAFETY: the same contract.
    let len = unsafe { vsnprintf(out, size, format, arguments) };
    super::fortify::check(len < 0 || (len as usize) < size);
    len
}

macro_rules! with_flag {
    ($($name:ident = $sibling:ident($($argument:ident: $kind:ty),*);)*) => {$(
        #[doc = concat!("As [`", stringify!($sibling), "`]; the flag asks for checks of `%n`.\n\n# Safety\nAs there.")]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(
            $($argument: $kind,)*
            _flag: c_int,
            format: *const c_char,
            arguments: *mut VaList,
        ) -> c_int {
            // SAFETY: the same contract.
            unsafe { $sibling($($argument,)* format, arguments) }
        }
    )*};
}

with_flag! {
    __vprintf_chk = vprintf();
    __vfprintf_chk = vfprintf(file: *mut File);
    __vdprintf_chk = vdprintf(descriptor: c_int);
    __vasprintf_chk = vasprintf(out: *mut *mut c_char);
}

variadic! {
    printf(1) = vprintf, "rsi";
    fprintf(2) = vfprintf, "rdx";
    dprintf(2) = vdprintf, "rdx";
    sprintf(2) = vsprintf, "rdx";
    asprintf(2) = vasprintf, "rdx";
    snprintf(3) = vsnprintf, "rcx";
    __printf_chk(2) = __vprintf_chk, "rdx";
    __fprintf_chk(3) = __vfprintf_chk, "rcx";
    __dprintf_chk(3) = __vdprintf_chk, "rcx";
    __asprintf_chk(3) = __vasprintf_chk, "rcx";
    __sprintf_chk(4) = __vsprintf_chk, "r8";
    __snprintf_chk(5) = __vsnprintf_chk, "r9";
}
