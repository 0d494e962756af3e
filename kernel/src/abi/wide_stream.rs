//! Streams of wide characters (ISO C17, sections 7.29.2 and 7.29.3): characters, lines, `wprintf` and its kin. What goes through a stream is
//! bytes, which in the locale `C` are ASCII. A stream is of wide characters or of bytes, whichever came first.

use alloc::string::String;
use core::ffi::c_int;
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

use super::convert::c_status;
use super::errno;
use super::format::{Characters, Sink, format_characters};
use super::stream::{File, HAS_FAILED, Locked, Orientation, locked, stdin, stdout};
use super::variadic::{VaList, variadic};
use crate::error::{Errno, Result};

/// A wide character of C.
type Wide = i32;
/// A wide character, or that there is none (`wint_t`).
type Wint = u32;

/// `WEOF`.
const NONE: Wint = u32::MAX;

impl Locked<'_> {
    /// The next character; `None` at the end.
    fn next_wide(&mut self) -> Result<Option<u8>> {
        self.orient(Orientation::Wide)?;
        let Some(byte) = self.peek_encoded()? else {
            return Ok(None);
        };
        if !byte.is_ascii() {
            self.mark(HAS_FAILED);
            return Err(Errno(libc::EILSEQ));
        }
        self.state().input.pop();
        Ok(Some(byte))
    }

    /// Writes characters. Those that the locale has not become `?`, as in glibc's streams.
    fn write_wide(&mut self, wide: impl Iterator<Item = Wint>) -> Result<()> {
        self.orient(Orientation::Wide)?;
        for wide in wide {
            let byte = u8::try_from(wide).ok().filter(u8::is_ascii);
            self.write_encoded(&[byte.unwrap_or(b'?')])?;
        }
        Ok(())
    }
}

/// The characters of a wide string.
///
/// # Safety
/// 1. `string` is a wide string while the iterator is used.
unsafe fn characters(string: *const Wide) -> impl Iterator<Item = Wint> {
    (0..)
        // SAFETY: (1); nothing behind the zero is read.
        .map(move |at| unsafe { string.add(at).read() }.cast_unsigned())
        .take_while(|&wide| wide != 0)
}

fn or_none(result: Result<Option<Wint>>) -> Wint {
    match result {
        Ok(wide) => wide.unwrap_or(NONE),
        Err(error) => {
            errno::set(error);
            NONE
        }
    }
}

/// The next character.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn fgetwc(file: *mut File) -> Wint {
    // SAFETY: the caller's stream.
    let next = unsafe { locked(file) }.next_wide();
    or_none(next.map(|byte| byte.map(Wint::from)))
}

/// See [`fgetwc`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn getwc(file: *mut File) -> Wint {
    // SAFETY: the same contract.
    unsafe { fgetwc(file) }
}

#[unsafe(no_mangle)]
extern "C" fn getwchar() -> Wint {
    // SAFETY: a stream, unless the program says otherwise.
    unsafe { fgetwc(stdin.load(Ordering::Relaxed)) }
}

/// Puts a character back.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn ungetwc(wide: Wint, file: *mut File) -> Wint {
    let Some(byte) = u8::try_from(wide).ok().filter(u8::is_ascii) else {
        return NONE;
    };
    // SAFETY: the caller's stream.
    let mut stream = unsafe { locked(file) };
    let put = stream.orient(Orientation::Wide).map(|()| {
        stream.put_back(byte);
        Some(wide)
    });
    or_none(put)
}

/// Writes a character.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn fputwc(wide: Wide, file: *mut File) -> Wint {
    let wide = wide.cast_unsigned();
    // SAFETY: the caller's stream.
    let written = unsafe { locked(file) }.write_wide(core::iter::once(wide));
    or_none(written.map(|()| Some(wide)))
}

/// See [`fputwc`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn putwc(wide: Wide, file: *mut File) -> Wint {
    // SAFETY: the same contract.
    unsafe { fputwc(wide, file) }
}

#[unsafe(no_mangle)]
extern "C" fn putwchar(wide: Wide) -> Wint {
    // SAFETY: a stream, unless the program says otherwise.
    unsafe { fputwc(wide, stdout.load(Ordering::Relaxed)) }
}

/// Writes a wide string.
///
/// # Safety
/// `string` is a wide string, `file` an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn fputws(string: *const Wide, file: *mut File) -> c_int {
    // SAFETY: the caller's string and stream.
    c_status(unsafe { locked(file).write_wide(characters(string)) })
}

/// Reads a line with its end, at most `len` - 1 characters of it.
///
/// # Safety
/// `len` characters can be written to `out`; `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn fgetws(out: *mut Wide, len: c_int, file: *mut File) -> *mut Wide {
    let room = usize::try_from(len).unwrap_or(0);
    if room == 0 {
        return null_mut();
    }
    // SAFETY: the caller's stream.
    let mut stream = unsafe { locked(file) };
    let mut count = 0;
    while count + 1 < room {
        match stream.next_wide() {
            Ok(Some(byte)) => {
                // SAFETY: in the caller's room.
                unsafe { out.add(count).write(Wide::from(byte)) };
                count += 1;
                if byte == b'\n' {
                    break;
                }
            }
            Ok(None) if count > 0 => break,
            Ok(None) => return null_mut(),
            Err(error) => {
                errno::set(error);
                return null_mut();
            }
        }
    }
    // SAFETY: as above.
    unsafe { out.add(count).write(0) };
    out
}

/// Makes a stream one of wide characters (above 0) or of bytes (below 0), if it is neither yet; which it is.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn fwide(file: *mut File, mode: c_int) -> c_int {
    // SAFETY: the caller's stream.
    let mut stream = unsafe { locked(file) };
    // An error says that it is the other one already.
    let _ = match mode {
        0 => Ok(()),
        1.. => stream.orient(Orientation::Wide),
        _ => stream.orient(Orientation::Bytes),
    };
    match stream.state().orientation {
        None => 0,
        Some(Orientation::Bytes) => -1,
        Some(Orientation::Wide) => 1,
    }
}

/// Wide text as UTF-8.
struct Text(String);

impl Sink for Text {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.0
            .try_reserve(bytes.len())
            .map_err(|_| Errno(libc::ENOMEM))?;
        let text = core::str::from_utf8(bytes).map_err(|_| Errno(libc::EILSEQ))?;
        self.0.push_str(text);
        Ok(())
    }
}

/// Formats wide text.
///
/// # Safety
/// 1. `format` is a wide string, and `arguments` are what it says.
unsafe fn formatted(format: *const Wide, arguments: *mut VaList) -> Result<String> {
    let mut narrow = String::new();
    // SAFETY: (1).
    for wide in unsafe { characters(format) } {
        narrow.push(char::from_u32(wide).ok_or(Errno(libc::EILSEQ))?);
    }
    narrow.push('\0');
    let mut text = Text(String::new());
    // SAFETY: (1); the copy ends with a zero.
    unsafe {
        let format = narrow.as_ptr().cast();
        format_characters(&mut text, format, &mut *arguments, Characters::Wide)?;
    }
    Ok(text.0)
}

fn counted(result: Result<usize>) -> c_int {
    match result {
        Ok(count) => count as c_int,
        Err(error) => errno::set(error),
    }
}

/// Formats to a stream.
///
/// # Safety
/// `file` is an open stream; `format` is a wide string, and `arguments` are what it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn vfwprintf(
    file: *mut File,
    format: *const Wide,
    arguments: *mut VaList,
) -> c_int {
    // SAFETY: the same contract.
    let written = unsafe { formatted(format, arguments) }.and_then(|text| {
        // SAFETY: the caller's stream.
        let mut stream = unsafe { locked(file) };
        stream.write_wide(text.chars().map(u32::from))?;
        Ok(text.chars().count())
    });
    counted(written)
}

/// Formats to the standard output.
///
/// # Safety
/// `format` is a wide string, and `arguments` are what it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn vwprintf(format: *const Wide, arguments: *mut VaList) -> c_int {
    // SAFETY: the same contract; a stream, unless the program says otherwise.
    unsafe { vfwprintf(stdout.load(Ordering::Relaxed), format, arguments) }
}

/// Formats into memory: what does not fit is an error, as ISO C has it.
///
/// # Safety
/// `len` characters can be written; `format` is a wide string, and `arguments` are what it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn vswprintf(
    out: *mut Wide,
    len: usize,
    format: *const Wide,
    arguments: *mut VaList,
) -> c_int {
    // SAFETY: the same contract.
    let text = unsafe { formatted(format, arguments) };
    let written = text.and_then(|text| {
        let room = len.checked_sub(1).ok_or(Errno(libc::EOVERFLOW))?;
        let mut count = 0;
        for character in text.chars().take(room) {
            // SAFETY: in the caller's room.
            unsafe { out.add(count).write(character as Wide) };
            count += 1;
        }
        // SAFETY: one place was kept for it.
        unsafe { out.add(count).write(0) };
        match text.chars().count() > count {
            true => Err(Errno(libc::EOVERFLOW)),
            false => Ok(count),
        }
    });
    counted(written)
}

/// As [`vswprintf`]; a C compiler knows the size of the memory, and so checks the length.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn __vswprintf_chk(
    out: *mut Wide,
    len: usize,
    _flag: c_int,
    size: usize,
    format: *const Wide,
    arguments: *mut VaList,
) -> c_int {
    super::fortify::check(len <= size);
    // SAFETY: the same contract.
    unsafe { vswprintf(out, len, format, arguments) }
}

/// As [`vfwprintf`]; the flag asks for checks of `%n`.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn __vfwprintf_chk(
    file: *mut File,
    _flag: c_int,
    format: *const Wide,
    arguments: *mut VaList,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { vfwprintf(file, format, arguments) }
}

/// As [`vwprintf`]; the flag asks for checks of `%n`.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn __vwprintf_chk(
    _flag: c_int,
    format: *const Wide,
    arguments: *mut VaList,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { vwprintf(format, arguments) }
}

variadic! {
    wprintf(1) = vwprintf, "rsi";
    fwprintf(2) = vfwprintf, "rdx";
    swprintf(3) = vswprintf, "rcx";
    __wprintf_chk(2) = __vwprintf_chk, "rdx";
    __fwprintf_chk(3) = __vfwprintf_chk, "rcx";
    __swprintf_chk(5) = __vswprintf_chk, "r9";
}
