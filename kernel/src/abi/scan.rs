//! `scanf` and its kin (ISO C17, section 7.21.6.2): values out of formatted text, from streams and strings.

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::Ordering;

use super::characters::is_space;
use super::errno;
use super::numbers::{double_of, parse};
use super::stream::{File, Locked, locked, stdin};
use super::variadic::{VaList, variadic};
use crate::error::Result;

const EOF: c_int = -1;

/// Where text comes from, a byte at a time.
trait Source {
    /// The next byte, which stays; `None` at the end.
    fn peek(&mut self) -> Result<Option<u8>>;
    /// Takes the byte that `peek` showed.
    fn take(&mut self);
}

/// A C string.
struct Memory {
    next: *const c_char,
}

impl Source for Memory {
    fn peek(&mut self) -> Result<Option<u8>> {
        // SAFETY: never behind the zero of the caller's string.
        let byte = unsafe { *self.next as u8 };
        Ok((byte != 0).then_some(byte))
    }

    fn take(&mut self) {
        // SAFETY: `peek` showed that it is not the last.
        self.next = unsafe { self.next.add(1) };
    }
}

impl Source for Locked<'_> {
    fn peek(&mut self) -> Result<Option<u8>> {
        Locked::peek(self)
    }

    fn take(&mut self) {
        // There is one: nothing can fail.
        let _ = self.next();
    }
}

/// Why the scanning stopped before the end of the format.
enum Stop {
    Mismatch,
    End,
}

struct Scanner<'a> {
    source: &'a mut dyn Source,
    /// Bytes taken.
    taken: usize,
}

impl Scanner<'_> {
    /// The next byte; an error counts as the end.
    fn peek(&mut self) -> Option<u8> {
        self.source.peek().unwrap_or_else(|error| {
            errno::set(error);
            None
        })
    }

    fn take(&mut self) {
        self.source.take();
        self.taken += 1;
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.take();
        }
    }

    /// Takes bytes as long as `belongs` wants them with those before.
    fn take_while(&mut self, most: usize, mut belongs: impl FnMut(&[u8], u8) -> bool) -> Vec<u8> {
        let mut text = Vec::new();
        while text.len() < most {
            match self.peek() {
                Some(byte) if belongs(&text, byte) => {
                    self.take();
                    text.push(byte);
                }
                _ => break,
            }
        }
        text
    }

    fn integer(&mut self, base: c_int, most: usize) -> core::result::Result<u64, Stop> {
        if self.peek().is_none() {
            return Err(Stop::End);
        }
        let text = self.take_while(most, |before, byte| {
            let unsigned = before
                .strip_prefix(b"+")
                .or(before.strip_prefix(b"-"))
                .unwrap_or(before);
            match (unsigned, byte) {
                ([], b'+' | b'-') => before.is_empty(),
                (b"0", b'x' | b'X') => matches!(base, 0 | 16),
                _ => {
                    let radix = match unsigned {
                        [b'0', b'x' | b'X', ..] => 16,
                        [b'0', ..] if base == 0 => 8,
                        _ if base == 0 => 10,
                        _ => base as u32,
                    };
                    char::from(byte).is_digit(radix)
                }
            }
        });
        let parsed = parse(&text, base);
        if parsed.len == 0 {
            return Err(Stop::Mismatch);
        }
        let magnitude = parsed.magnitude.unwrap_or(u64::MAX);
        Ok(if parsed.is_negative {
            magnitude.wrapping_neg()
        } else {
            magnitude
        })
    }

    fn double(&mut self, most: usize) -> core::result::Result<f64, Stop> {
        if self.peek().is_none() {
            return Err(Stop::End);
        }
        let text = self.take_while(most, |before, byte| match byte {
            b'0'..=b'9' => true,
            b'+' | b'-' => matches!(before.last(), None | Some(b'e' | b'E')),
            b'.' => !before.contains(&b'.'),
            b'e' | b'E' => before.iter().any(u8::is_ascii_digit) && !before.contains(&b'e'),
            _ => {
                // `inf`, `infinity`, `nan`.
                let mut word = String::from_utf8_lossy(before).to_lowercase();
                word.push(char::from(byte.to_ascii_lowercase()));
                let word = word.trim_start_matches(['+', '-']);
                "infinity".starts_with(word) || "nan".starts_with(word)
            }
        });
        match double_of(&text) {
            (_, 0) => Err(Stop::Mismatch),
            (value, _) => Ok(value),
        }
    }
}

/// Which bytes a `[…]` takes.
struct Set([bool; 256]);

/// Reads a format.
struct Format {
    next: *const c_char,
}

impl Format {
    fn peek(&self) -> u8 {
        // SAFETY: never behind the zero of the caller's format.
        unsafe { *self.next as u8 }
    }

    fn take(&mut self) -> u8 {
        let byte = self.peek();
        if byte != 0 {
            // SAFETY: not the last byte.
            self.next = unsafe { self.next.add(1) };
        }
        byte
    }

    /// What follows `%[`.
    fn set(&mut self) -> Set {
        let is_inverted = self.peek() == b'^';
        if is_inverted {
            self.take();
        }
        let mut set = [is_inverted; 256];
        let mut is_first = true;
        let mut last = None;
        loop {
            match (self.take(), last) {
                (0, _) => break,
                (b']', _) if !is_first => break,
                (b'-', Some(from)) if !matches!(self.peek(), b']' | 0) => {
                    let to = self.take();
                    for byte in from..=to {
                        set[usize::from(byte)] = !is_inverted;
                    }
                    last = None;
                }
                (byte, _) => {
                    set[usize::from(byte)] = !is_inverted;
                    last = Some(byte);
                }
            }
            is_first = false;
        }
        Set(set)
    }
}

/// Puts an integer where the caller wants it.
///
/// # Safety
/// 1. `place` has room for an integer of that length.
unsafe fn store(place: *mut c_void, length: u8, value: u64) {
    // SAFETY: (1).
    unsafe {
        match length {
            b'H' => place.cast::<u8>().write(value as u8),
            b'h' => place.cast::<u16>().write(value as u16),
            // `L` means `ll` there, as glibc has it.
            b'l' | b'L' => place.cast::<u64>().write(value),
            _ => place.cast::<u32>().write(value as u32),
        }
    }
}

/// Scans; how many values were stored, or `EOF` if the text ended before the first.
///
/// # Safety
/// 1. `format` is a C string, and `arguments` are the places that it says.
unsafe fn scan(source: &mut dyn Source, format: *const c_char, arguments: &mut VaList) -> c_int {
    let mut format = Format { next: format };
    let mut scanner = Scanner { source, taken: 0 };
    let mut stored = 0;
    loop {
        // SAFETY: (1).
        match unsafe { directive(&mut scanner, &mut format, arguments) } {
            Ok(Some(count)) => stored += count,
            Ok(None) => return stored,
            Err(Stop::Mismatch) => return stored,
            Err(Stop::End) => return if stored == 0 { EOF } else { stored },
        }
    }
}

/// One directive of the format: how many values it stored, `None` behind the last.
///
/// # Safety
/// As of [`scan`].
unsafe fn directive(
    scanner: &mut Scanner<'_>,
    format: &mut Format,
    arguments: &mut VaList,
) -> core::result::Result<Option<c_int>, Stop> {
    match format.take() {
        0 => return Ok(None),
        b'%' => {}
        byte if is_space(byte) => {
            scanner.skip_spaces();
            return Ok(Some(0));
        }
        byte => return literal(scanner, byte),
    }
    let is_suppressed = format.peek() == b'*';
    if is_suppressed {
        format.take();
    }
    let mut width = 0_usize;
    while format.peek().is_ascii_digit() {
        let digit = usize::from(format.take() - b'0');
        width = width.saturating_mul(10).saturating_add(digit);
    }
    let most = if width == 0 { usize::MAX } else { width };
    let mut length = 0;
    while matches!(
        format.peek(),
        b'h' | b'l' | b'L' | b'q' | b'j' | b'z' | b't'
    ) {
        length = match (format.take(), length) {
            (b'h', b'h') => b'H',
            (b'h', _) => b'h',
            (b'L', _) => b'L',
            _ => b'l',
        };
    }
    let letter = format.take();
    if !matches!(letter, b'c' | b'[' | b'n' | b'%') {
        scanner.skip_spaces();
    }
    // SAFETY: (1), wherever a place is asked for.
    let mut place = || (!is_suppressed).then(|| unsafe { arguments.pointer::<c_void>() });
    match letter {
        b'd' | b'u' | b'i' | b'o' | b'x' | b'X' | b'p' => {
            let base = match letter {
                b'd' | b'u' => 10,
                b'o' => 8,
                b'i' => 0,
                _ => 16,
            };
            let value = scanner.integer(base, most)?;
            let length = if letter == b'p' { b'l' } else { length };
            if let Some(place) = place() {
                // SAFETY: (1).
                unsafe { store(place, length, value) };
            }
        }
        b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' => {
            let value = scanner.double(most)?;
            if let Some(place) = place() {
                // SAFETY: (1). A `long double` gets its value by the instruction that converts.
                unsafe {
                    match length {
                        b'l' => place.cast::<f64>().write(value),
                        b'L' => core::arch::asm!(
                            "fld qword ptr [{value}]",
                            "fstp tbyte ptr [{place}]",
                            value = in(reg) &raw const value,
                            place = in(reg) place,
                            options(nostack, preserves_flags),
                        ),
                        _ => place.cast::<f32>().write(value as f32),
                    }
                }
            }
        }
        b's' | b'c' | b'[' => {
            let set = (letter == b'[').then(|| format.set());
            if scanner.peek().is_none() {
                return Err(Stop::End);
            }
            let text = match (&set, letter) {
                (Some(set), _) => scanner.take_while(most, |_, byte| set.0[usize::from(byte)]),
                (None, b'c') => {
                    let wanted = width.max(1);
                    let text = scanner.take_while(wanted, |_, _| true);
                    if text.len() < wanted {
                        return Err(Stop::End);
                    }
                    text
                }
                _ => scanner.take_while(most, |_, byte| !is_space(byte)),
            };
            if text.is_empty() {
                return Err(Stop::Mismatch);
            }
            if let Some(place) = place() {
                let place = place.cast::<u8>();
                // SAFETY: (1): room for the text, and for a zero behind a string.
                unsafe {
                    core::ptr::copy_nonoverlapping(text.as_ptr(), place, text.len());
                    if letter != b'c' {
                        place.add(text.len()).write(0);
                    }
                }
            }
        }
        b'n' => {
            if let Some(place) = place() {
                // SAFETY: (1).
                unsafe { store(place, length, scanner.taken as u64) };
            }
            return Ok(Some(0));
        }
        b'%' => {
            scanner.skip_spaces();
            return literal(scanner, b'%');
        }
        _ => return Err(Stop::Mismatch),
    }
    Ok(Some(c_int::from(!is_suppressed)))
}

/// A byte that must be there.
fn literal(scanner: &mut Scanner<'_>, byte: u8) -> core::result::Result<Option<c_int>, Stop> {
    match scanner.peek() {
        Some(next) if next == byte => {
            scanner.take();
            Ok(Some(0))
        }
        Some(_) => Err(Stop::Mismatch),
        None => Err(Stop::End),
    }
}

/// Scans a string.
///
/// # Safety
/// Both are C strings, and `arguments` are the places that the format says.
#[unsafe(no_mangle)]
unsafe extern "C" fn vsscanf(
    string: *const c_char,
    format: *const c_char,
    arguments: *mut VaList,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { scan(&mut Memory { next: string }, format, &mut *arguments) }
}

/// Scans a stream.
///
/// # Safety
/// `file` is an open stream, `format` a C string, and `arguments` are the places that it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn vfscanf(
    file: *mut File,
    format: *const c_char,
    arguments: *mut VaList,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { scan(&mut locked(file), format, &mut *arguments) }
}

/// Scans the standard input.
///
/// # Safety
/// `format` is a C string, and `arguments` are the places that it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn vscanf(format: *const c_char, arguments: *mut VaList) -> c_int {
    // SAFETY: the same contract; a stream, unless the program says otherwise.
    unsafe { vfscanf(stdin.load(Ordering::Relaxed), format, arguments) }
}

variadic! {
    scanf(1) = vscanf, "rsi";
    __isoc99_scanf(1) = vscanf, "rsi";
    __isoc23_scanf(1) = vscanf, "rsi";
    sscanf(2) = vsscanf, "rdx";
    __isoc99_sscanf(2) = vsscanf, "rdx";
    __isoc23_sscanf(2) = vsscanf, "rdx";
    fscanf(2) = vfscanf, "rdx";
    __isoc99_fscanf(2) = vfscanf, "rdx";
    __isoc23_fscanf(2) = vfscanf, "rdx";
}

super::convert::also_named! {
    __isoc99_vsscanf = vsscanf(string: *const c_char, format: *const c_char, arguments: *mut VaList) -> c_int;
    __isoc23_vsscanf = vsscanf(string: *const c_char, format: *const c_char, arguments: *mut VaList) -> c_int;
    __isoc99_vfscanf = vfscanf(file: *mut File, format: *const c_char, arguments: *mut VaList) -> c_int;
    __isoc23_vfscanf = vfscanf(file: *mut File, format: *const c_char, arguments: *mut VaList) -> c_int;
}
