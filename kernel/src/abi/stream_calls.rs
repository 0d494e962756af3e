//! The C functions on streams (ISO C17, section 7.21; POSIX.1-2017, `stdio.h`): opening, bytes in and out, lines, places and ends.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ptr::null_mut;
use core::sync::atomic::Ordering;

use super::convert::{also_named, bytes, bytes_mut, c_result, c_status, text};
use super::descriptor::fcntl;
use super::file::{close, open64};
use super::lock::{pthread_mutex_lock, pthread_mutex_trylock, pthread_mutex_unlock};
use super::memory::realloc;
use super::stream::{
    AT_END, BUFFER_BYTES, Buffering, EOF, File, HAS_FAILED, flush_all, forget, locked, stderr,
    stdin, stdout,
};
use super::{errno, object};
use crate::error::{Errno, Result};

/// The flags of `open` that a mode asks for.
pub(super) fn open_flags(mode: &[u8]) -> Result<c_int> {
    let (first, rest) = mode.split_first().ok_or(Errno(libc::EINVAL))?;
    let access = match (rest.contains(&b'+'), first) {
        (true, _) => libc::O_RDWR,
        (false, b'r') => libc::O_RDONLY,
        (false, _) => libc::O_WRONLY,
    };
    let making = match first {
        b'r' => 0,
        b'w' => libc::O_CREAT | libc::O_TRUNC,
        b'a' => libc::O_CREAT | libc::O_APPEND,
        _ => return Err(Errno(libc::EINVAL)),
    };
    let is_new = if rest.contains(&b'x') {
        libc::O_EXCL
    } else {
        0
    };
    let cloexec = if rest.contains(&b'e') {
        libc::O_CLOEXEC
    } else {
        0
    };
    Ok(access | making | is_new | cloexec)
}

pub(super) fn stream(descriptor: c_int, flags: c_int) -> *mut File {
    Box::into_raw(Box::new(File::new(flags, descriptor, Buffering::Full)))
}

/// Opens a file.
///
/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn fopen64(path: *const c_char, mode: *const c_char) -> *mut File {
    // SAFETY: the caller's strings.
    let flags = unsafe { text(mode) }.and_then(open_flags);
    c_result(flags.and_then(|flags| {
        // SAFETY: as above.
        match unsafe { open64(path, flags, 0o666) } {
            -1 => Err(Errno(errno::get())),
            descriptor => Ok(stream(descriptor, flags)),
        }
    }))
}

/// Makes a stream of a descriptor.
///
/// # Safety
/// `mode` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn fdopen(descriptor: c_int, mode: *const c_char) -> *mut File {
    c_result((|| {
        // SAFETY: the caller's string.
        let flags = open_flags(unsafe { text(mode) }?)?;
        object::get(descriptor)?;
        if flags & libc::O_APPEND != 0 {
            // SAFETY: numbers.
            unsafe {
                let now = fcntl(descriptor, libc::F_GETFL, 0);
                fcntl(descriptor, libc::F_SETFL, (now | libc::O_APPEND) as usize);
            }
        }
        Ok(stream(descriptor, flags))
    })())
}

/// Opens another file under the same stream.
///
/// # Safety
/// `path` and `mode` are C strings, `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn freopen64(
    path: *const c_char,
    mode: *const c_char,
    file: *mut File,
) -> *mut File {
    c_result((|| {
        // SAFETY: the caller's strings.
        let flags = open_flags(unsafe { text(mode) }?)?;
        // SAFETY: the caller's stream.
        let mut stream = unsafe { locked(file) };
        // An error of what was before is not one of what comes.
        let _ = stream.flush();
        let _ = stream.forget_input();
        // SAFETY: the caller's string.
        let descriptor = unsafe { open64(path, flags, 0o666) };
        if descriptor < 0 {
            return Err(Errno(errno::get()));
        }
        let state = stream.state();
        // The descriptor keeps its number.
        let result = super::descriptor::dup2(descriptor, state.descriptor);
        close(descriptor);
        if result < 0 {
            return Err(Errno(errno::get()));
        }
        state.orientation = None;
        state.is_append = flags & libc::O_APPEND != 0;
        state.can_read = flags & libc::O_ACCMODE != libc::O_WRONLY;
        state.can_write = flags & libc::O_ACCMODE != libc::O_RDONLY;
        stream.unmark(AT_END | HAS_FAILED);
        Ok(file)
    })())
}

/// Writes what waits and closes.
///
/// # Safety
/// `file` is an open stream, which is not used again.
#[unsafe(no_mangle)]
unsafe extern "C" fn fclose(file: *mut File) -> c_int {
    // SAFETY: the caller's stream.
    let mut stream = unsafe { locked(file) };
    let flushed = stream.flush();
    let _ = stream.forget_input();
    let descriptor = stream.state().descriptor;
    drop(stream);
    let is_made = forget(file);
    let closed = close(descriptor);
    if is_made {
        // SAFETY: `stream` made the box, and nobody uses it any more.
        drop(unsafe { Box::from_raw(file) });
    }
    match c_status(flushed) {
        0 if closed == 0 => 0,
        _ => EOF,
    }
}

/// Writes what waits in a stream, or in all.
///
/// # Safety
/// `file` is null or an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn fflush(file: *mut File) -> c_int {
    if file.is_null() {
        return flush_all();
    }
    // SAFETY: the caller's stream.
    let mut stream = unsafe { locked(file) };
    c_status(stream.flush().and_then(|()| stream.forget_input()))
}

/// Reads elements; how many are whole.
///
/// # Safety
/// `size * count` bytes can be written, `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn fread(out: *mut c_void, size: usize, count: usize, file: *mut File) -> usize {
    let Some(len @ 1..) = size.checked_mul(count) else {
        return 0;
    };
    // SAFETY: the caller's place and stream.
    let result = unsafe { bytes_mut(out, len).and_then(|buf| locked(file).read(buf)) };
    let result = result.inspect_err(|&error| {
        errno::set(error);
    });
    result.map_or(0, |read| read / size)
}

/// Writes elements; how many were taken.
///
/// # Safety
/// `size * count` bytes can be read, `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn fwrite(
    data: *const c_void,
    size: usize,
    count: usize,
    file: *mut File,
) -> usize {
    let Some(len @ 1..) = size.checked_mul(count) else {
        return 0;
    };
    // SAFETY: the caller's bytes and stream.
    let result = unsafe { bytes(data, len).and_then(|data| locked(file).write(data)) };
    let result = result.inspect_err(|&error| {
        errno::set(error);
    });
    result.map_or(0, |()| count)
}

/// A byte as C has it, or the end.
fn character(result: Result<Option<u8>>) -> c_int {
    match result {
        Ok(byte) => byte.map_or(EOF, c_int::from),
        Err(error) => errno::set(error),
    }
}

/// Reads a byte.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn fgetc(file: *mut File) -> c_int {
    // SAFETY: the caller's stream.
    character(unsafe { locked(file) }.next())
}

/// Reads a byte of the standard input.
#[unsafe(no_mangle)]
extern "C" fn getchar() -> c_int {
    // SAFETY: a stream, unless the program says otherwise.
    unsafe { fgetc(stdin.load(Ordering::Relaxed)) }
}

/// Puts a byte back.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn ungetc(byte: c_int, file: *mut File) -> c_int {
    if byte != EOF {
        // SAFETY: the caller's stream.
        unsafe { locked(file) }.put_back(byte as u8);
    }
    byte
}

/// Writes a byte.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn fputc(byte: c_int, file: *mut File) -> c_int {
    // SAFETY: the caller's stream.
    match unsafe { locked(file) }.write(&[byte as u8]) {
        Ok(()) => c_int::from(byte as u8),
        Err(error) => errno::set(error),
    }
}

/// Writes a byte to the standard output.
#[unsafe(no_mangle)]
extern "C" fn putchar(byte: c_int) -> c_int {
    // SAFETY: a stream, unless the program says otherwise.
    unsafe { fputc(byte, stdout.load(Ordering::Relaxed)) }
}

/// Writes a string.
///
/// # Safety
/// `string` is a C string, `file` an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn fputs(string: *const c_char, file: *mut File) -> c_int {
    // SAFETY: the caller's.
    let result = unsafe { text(string).and_then(|text| locked(file).write(text)) };
    result.map_or_else(errno::set, |()| 1)
}

/// Writes a string and a line's end to the standard output.
///
/// # Safety
/// `string` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn puts(string: *const c_char) -> c_int {
    // SAFETY: the caller's string; a stream, unless the program says otherwise.
    let result = unsafe {
        text(string).and_then(|text| {
            let mut stream = locked(stdout.load(Ordering::Relaxed));
            stream.write(text)?;
            stream.write(b"\n")
        })
    };
    result.map_or_else(errno::set, |()| 1)
}

/// Reads a line, or as much of it as fits.
///
/// # Safety
/// `len` bytes can be written, `file` is an open stream.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn fgets(
    out: *mut c_char,
    len: c_int,
    file: *mut File,
) -> *mut c_char {
    let room = usize::try_from(len - 1).unwrap_or(0);
    if len <= 0 {
        errno::set(Errno(libc::EINVAL));
        return null_mut();
    }
    // SAFETY: the caller's stream.
    let mut stream = unsafe { locked(file) };
    let mut filled = 0;
    while filled < room {
        match stream.next() {
            Ok(Some(byte)) => {
                // SAFETY: less than the caller's room.
                unsafe { out.add(filled).write(byte as c_char) };
                filled += 1;
                if byte == b'\n' {
                    break;
                }
            }
            Ok(None) if filled > 0 => break,
            Ok(None) => return null_mut(),
            Err(error) => {
                errno::set(error);
                return null_mut();
            }
        }
    }
    // SAFETY: at most the caller's last byte.
    unsafe { out.add(filled).write(0) };
    out
}

/// Reads up to a delimiter, into memory of `malloc` that grows.
///
/// # Safety
/// `line` and `len` describe such memory, or null and anything; `file` is an open stream.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getdelim(
    line: *mut *mut c_char,
    len: *mut usize,
    delimiter: c_int,
    file: *mut File,
) -> isize {
    c_result((|| {
        if line.is_null() || len.is_null() {
            return Err(Errno(libc::EINVAL));
        }
        let mut read = Vec::new();
        // SAFETY: the caller's stream.
        let mut stream = unsafe { locked(file) };
        while let Some(byte) = stream.next()? {
            read.push(byte);
            if c_int::from(byte) == delimiter {
                break;
            }
        }
        if read.is_empty() {
            return Ok(-1);
        }
        read.push(0);
        // SAFETY: the caller's memory, made large enough.
        unsafe {
            if (*line).is_null() || *len < read.len() {
                let grown = realloc((*line).cast(), read.len());
                if grown.is_null() {
                    return Err(Errno(libc::ENOMEM));
                }
                *line = grown.cast();
                *len = read.len();
            }
            core::ptr::copy_nonoverlapping(read.as_ptr(), (*line).cast(), read.len());
        }
        Ok(read.len() as isize - 1)
    })())
}

/// Reads a line, into memory of `malloc` that grows.
///
/// # Safety
/// As of [`getdelim`].
#[unsafe(no_mangle)]
unsafe extern "C" fn getline(line: *mut *mut c_char, len: *mut usize, file: *mut File) -> isize {
    // SAFETY: the same contract.
    unsafe { getdelim(line, len, c_int::from(b'\n'), file) }
}

/// Moves to another place in the file.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn fseeko64(file: *mut File, offset: i64, whence: c_int) -> c_int {
    // SAFETY: the caller's stream.
    c_status(unsafe { locked(file) }.seek(offset, whence))
}

/// The place in the file.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn ftello64(file: *mut File) -> i64 {
    // SAFETY: the caller's stream.
    c_result(unsafe { locked(file) }.position())
}

/// Moves to the beginning, and forgets an error.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn rewind(file: *mut File) {
    // SAFETY: the caller's stream.
    unsafe {
        fseeko64(file, 0, libc::SEEK_SET);
        locked(file).unmark(HAS_FAILED);
    }
}

/// Whether the end was met.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn feof(file: *mut File) -> c_int {
    // SAFETY: the caller's stream.
    c_int::from(unsafe { locked(file) }.flags() & AT_END != 0)
}

/// Whether there was an error.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn ferror(file: *mut File) -> c_int {
    // SAFETY: the caller's stream.
    c_int::from(unsafe { locked(file) }.flags() & HAS_FAILED != 0)
}

/// Forgets the end and an error.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn clearerr(file: *mut File) {
    // SAFETY: the caller's stream.
    unsafe { locked(file) }.unmark(AT_END | HAS_FAILED);
}

/// The descriptor of a stream.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn fileno(file: *mut File) -> c_int {
    // SAFETY: the caller's stream.
    unsafe { locked(file) }.state().descriptor
}

/// Sets when output leaves; the buffer is the stream's own.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn setvbuf(
    file: *mut File,
    _buffer: *mut c_char,
    mode: c_int,
    _len: usize,
) -> c_int {
    let buffering = match mode {
        libc::_IOFBF => Buffering::Full,
        libc::_IOLBF => Buffering::Line,
        libc::_IONBF => Buffering::None,
        _ => return EOF,
    };
    // SAFETY: the caller's stream.
    let mut stream = unsafe { locked(file) };
    let result = stream.flush();
    stream.state().buffering = buffering;
    c_status(result)
}

/// As `setvbuf`: fully buffered, or not without a buffer.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn setbuf(file: *mut File, buffer: *mut c_char) {
    let mode = if buffer.is_null() {
        libc::_IONBF
    } else {
        libc::_IOFBF
    };
    // SAFETY: the same contract.
    unsafe { setvbuf(file, buffer, mode, BUFFER_BYTES) };
}

/// Holds a stream for this thread, until [`funlockfile`].
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn flockfile(file: *mut File) {
    // SAFETY: the caller's stream.
    unsafe { pthread_mutex_lock((*file).lock.get()) };
}

/// Holds a stream if nobody does.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn ftrylockfile(file: *mut File) -> c_int {
    // SAFETY: the caller's stream.
    unsafe { pthread_mutex_trylock((*file).lock.get()) }
}

/// Lets a stream go.
///
/// # Safety
/// `file` is an open stream that this thread holds.
#[unsafe(no_mangle)]
unsafe extern "C" fn funlockfile(file: *mut File) {
    // SAFETY: the caller's stream.
    unsafe { pthread_mutex_unlock((*file).lock.get()) };
}

/// Writes the text of the last error to the standard error, behind `prefix`.
///
/// # Safety
/// `prefix` is null or a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn perror(prefix: *const c_char) {
    let error = super::text::strerror(errno::get());
    // SAFETY: C strings; a stream, unless the program says otherwise.
    unsafe {
        let mut stream = locked(stderr.load(Ordering::Relaxed));
        let prefix = text(prefix).unwrap_or_default();
        let pieces = [prefix, b": ", CStr::from_ptr(error).to_bytes(), b"\n"];
        let skipped = if prefix.is_empty() { 2 } else { 0 };
        // There is nowhere to tell of an error.
        let _ = stream.write(&pieces[skipped..].concat());
    }
}

/// A file without a name, which goes when it is closed.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn tmpfile64() -> *mut File {
    // SAFETY: a C string.
    match unsafe { super::memfd::memfd_create(c"tmpfile".as_ptr(), 0) } {
        -1 => null_mut(),
        descriptor => stream(descriptor, libc::O_RDWR),
    }
}

/// There are no processes to talk to.
#[unsafe(no_mangle)]
extern "C" fn popen(_command: *const c_char, _mode: *const c_char) -> *mut File {
    errno::set(Errno(libc::ENOSYS));
    null_mut()
}

/// Never has a stream of `popen`.
#[unsafe(no_mangle)]
extern "C" fn pclose(_file: *mut File) -> c_int {
    errno::set(Errno(libc::ECHILD))
}

/// There is no shell to run a command, which `system(NULL)` asks.
#[unsafe(no_mangle)]
extern "C" fn system(command: *const c_char) -> c_int {
    if command.is_null() {
        return 0;
    }
    // As a shell says that it did not find the command.
    127 << 8
}

/// Where a stream is, to be given to [`fsetpos64`]: glibc's structure begins with the offset.
///
/// # Safety
/// `file` is an open stream, `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn fgetpos64(file: *mut File, out: *mut i64) -> c_int {
    // SAFETY: the caller's.
    match unsafe { ftello64(file) } {
        -1 => -1,
        offset => {
            // SAFETY: the caller's.
            unsafe { out.write(offset) };
            0
        }
    }
}

/// Goes where a stream was.
///
/// # Safety
/// `file` is an open stream, `place` is from [`fgetpos64`].
#[unsafe(no_mangle)]
unsafe extern "C" fn fsetpos64(file: *mut File, place: *const i64) -> c_int {
    // SAFETY: the caller's.
    unsafe { fseeko64(file, place.read(), libc::SEEK_SET) }
}

/// Reads a word.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn getw(file: *mut File) -> c_int {
    let mut word: c_int = EOF;
    // SAFETY: a local variable, and the caller's stream.
    unsafe { fread((&raw mut word).cast(), size_of::<c_int>(), 1, file) };
    word
}

/// A stream's buffer by lines.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn setlinebuf(file: *mut File) {
    // SAFETY: the caller's stream.
    unsafe { setvbuf(file, null_mut(), libc::_IOLBF, 0) };
}

/// Reads a byte from the standard input.
#[unsafe(no_mangle)]
extern "C" fn getchar_unlocked() -> c_int {
    getchar()
}

/// Writes a byte to the standard output.
#[unsafe(no_mangle)]
extern "C" fn putchar_unlocked(byte: c_int) -> c_int {
    putchar(byte)
}

also_named! {
    fgetpos = fgetpos64(file: *mut File, out: *mut i64) -> c_int;
    fsetpos = fsetpos64(file: *mut File, place: *const i64) -> c_int;
    fopen = fopen64(path: *const c_char, mode: *const c_char) -> *mut File;
    freopen = freopen64(path: *const c_char, mode: *const c_char, file: *mut File) -> *mut File;
    tmpfile = tmpfile64() -> *mut File;
    fseeko = fseeko64(file: *mut File, offset: i64, whence: c_int) -> c_int;
    fseek = fseeko64(file: *mut File, offset: c_long, whence: c_int) -> c_int;
    ftello = ftello64(file: *mut File) -> i64;
    ftell = ftello64(file: *mut File) -> c_long;
    getc = fgetc(file: *mut File) -> c_int;
    getc_unlocked = fgetc(file: *mut File) -> c_int;
    fgetc_unlocked = fgetc(file: *mut File) -> c_int;
    __uflow = fgetc(file: *mut File) -> c_int;
    putc = fputc(byte: c_int, file: *mut File) -> c_int;
    putc_unlocked = fputc(byte: c_int, file: *mut File) -> c_int;
    fputc_unlocked = fputc(byte: c_int, file: *mut File) -> c_int;
    fputs_unlocked = fputs(string: *const c_char, file: *mut File) -> c_int;
    fflush_unlocked = fflush(file: *mut File) -> c_int;
    feof_unlocked = feof(file: *mut File) -> c_int;
    ferror_unlocked = ferror(file: *mut File) -> c_int;
    fileno_unlocked = fileno(file: *mut File) -> c_int;
    fread_unlocked = fread(out: *mut c_void, size: usize, count: usize, file: *mut File) -> usize;
    fwrite_unlocked = fwrite(data: *const c_void, size: usize, count: usize, file: *mut File) -> usize;
    fgets_unlocked = fgets(out: *mut c_char, len: c_int, file: *mut File) -> *mut c_char;
    __getdelim = getdelim(line: *mut *mut c_char, len: *mut usize, delimiter: c_int, file: *mut File) -> isize;
}

/// glibc's macro found no room in the buffer.
///
/// # Safety
/// `file` is an open stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn __overflow(file: *mut File, byte: c_int) -> c_int {
    // SAFETY: the same contract.
    unsafe { fputc(byte, file) }
}
