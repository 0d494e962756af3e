//! Streams: `FILE` over descriptors (ISO C17, section 7.21; POSIX.1-2017, `stdio.h`). Text goes in and out by `print` and `scan`.
//!
//! A stream begins as glibc's does, since its macros (`getc_unlocked`, `feof_unlocked`) look inside: flags, and pointers into a buffer,
//! which here are always null, so that they call `__uflow` and `__overflow` (`stream_calls`).

use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::convert::c_status;
use super::errno;
use super::file::{lseek64, read, write};
use super::format::Sink;
use super::lock::{pthread_mutex_lock, pthread_mutex_trylock, pthread_mutex_unlock};
use super::program::at_exit;
use crate::error::{Errno, Result};
use crate::sync::SpinLock;

/// glibc's bits for the end of the file and for an error.
pub(super) const AT_END: c_int = 0x10;
pub(super) const HAS_FAILED: c_int = 0x20;
pub(super) const EOF: c_int = -1;
pub(super) const BUFFER_BYTES: usize = 4096;

/// When output leaves the buffer.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Buffering {
    Full,
    Line,
    None,
}

/// What goes through a stream (ISO C17, section 7.21.2).
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Orientation {
    Bytes,
    Wide,
}

/// A stream.
#[repr(C)]
pub(super) struct File {
    flags: UnsafeCell<c_int>,
    /// glibc's seven pointers into the buffer.
    pointers: [usize; 7],
    /// Recursive, as `flockfile` needs it. Guards all the rest.
    pub(super) lock: UnsafeCell<libc::pthread_mutex_t>,
    state: UnsafeCell<State>,
}

// SAFETY: what can change is used with the lock held; the flags alone are also read without, by `feof` and `ferror`, as in C.
unsafe impl Sync for File {}

/// What the lock guards.
pub(super) struct State {
    pub(super) descriptor: c_int,
    pub(super) buffering: Buffering,
    pub(super) is_append: bool,
    pub(super) can_read: bool,
    pub(super) can_write: bool,
    /// Whether it is of bytes or of wide characters, once that is known.
    pub(super) orientation: Option<Orientation>,
    /// Waits to be written; then `input` is empty.
    pub(super) output: Vec<u8>,
    /// Was read; the next byte is the last one, so that `ungetc` is a push.
    pub(super) input: Vec<u8>,
}

impl File {
    /// A stream with the flags of `open`.
    pub(super) const fn new(flags: c_int, descriptor: c_int, buffering: Buffering) -> Self {
        Self {
            flags: UnsafeCell::new(0),
            pointers: [0; 7],
            lock: UnsafeCell::new(libc::PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP),
            state: UnsafeCell::new(State {
                descriptor,
                buffering,
                is_append: flags & libc::O_APPEND != 0,
                can_read: flags & libc::O_ACCMODE != libc::O_WRONLY,
                can_write: flags & libc::O_ACCMODE != libc::O_RDONLY,
                orientation: None,
                output: Vec::new(),
                input: Vec::new(),
            }),
        }
    }
}

static INPUT: File = File::new(libc::O_RDONLY, 0, Buffering::Line);
static OUTPUT: File = File::new(libc::O_WRONLY, 1, Buffering::Line);
static ERROR: File = File::new(libc::O_WRONLY, 2, Buffering::None);

/// The standard streams: pointers that programs may set.
#[unsafe(no_mangle)]
pub(super) static stdin: AtomicPtr<File> = AtomicPtr::new((&raw const INPUT).cast_mut());
/// See [`stdin`].
#[unsafe(no_mangle)]
pub(super) static stdout: AtomicPtr<File> = AtomicPtr::new((&raw const OUTPUT).cast_mut());
/// See [`stdin`].
#[unsafe(no_mangle)]
pub(super) static stderr: AtomicPtr<File> = AtomicPtr::new((&raw const ERROR).cast_mut());

/// Streams that may hold output when the program ends, by address.
static WITH_OUTPUT: SpinLock<Vec<usize>> = SpinLock::new(Vec::new());
/// Nothing stays in a buffer any more: the program ends.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// A stream with its lock held.
pub(super) struct Locked<'a> {
    file: &'a File,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread holds the lock.
        unsafe { pthread_mutex_unlock(self.file.lock.get()) };
    }
}

/// Locks a stream of the caller's.
///
/// # Safety
/// 1. `file` is a stream that stays open for `'a`.
pub(super) unsafe fn locked<'a>(file: *mut File) -> Locked<'a> {
    // SAFETY: (1).
    unsafe {
        pthread_mutex_lock((*file).lock.get());
        Locked { file: &*file }
    }
}

/// What a C function on descriptors returned.
fn counted(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| Errno(errno::get()))
}

/// Writes all of it.
fn write_all(descriptor: c_int, mut data: &[u8]) -> Result<()> {
    while !data.is_empty() {
        // SAFETY: the slice can be read.
        let written = counted(unsafe { write(descriptor, data.as_ptr().cast(), data.len()) })?;
        if written == 0 {
            return Err(Errno(libc::EIO));
        }
        data = &data[written..];
    }
    Ok(())
}

impl Locked<'_> {
    pub(super) fn state(&mut self) -> &mut State {
        // SAFETY: the lock is held; `&mut self` makes this the only reference of this thread.
        unsafe { &mut *self.file.state.get() }
    }

    pub(super) fn flags(&self) -> c_int {
        // SAFETY: the lock is held.
        unsafe { *self.file.flags.get() }
    }

    pub(super) fn mark(&mut self, bits: c_int) {
        // SAFETY: the lock is held.
        unsafe { *self.file.flags.get() |= bits };
    }

    pub(super) fn unmark(&mut self, bits: c_int) {
        // SAFETY: the lock is held.
        unsafe { *self.file.flags.get() &= !bits };
    }

    /// Marks the stream if it failed.
    pub(super) fn marked<T>(&mut self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.mark(HAS_FAILED);
        }
        result
    }

    /// Makes the stream one of bytes or of wide characters.
    ///
    /// # Errors
    /// `EBADF` if it is one of the others.
    pub(super) fn orient(&mut self, wanted: Orientation) -> Result<()> {
        match *self.state().orientation.get_or_insert(wanted) == wanted {
            true => Ok(()),
            false => Err(Errno(libc::EBADF)),
        }
    }

    /// Takes bytes to write.
    pub(super) fn write(&mut self, data: &[u8]) -> Result<()> {
        self.orient(Orientation::Bytes)?;
        self.write_encoded(data)
    }

    /// As [`Locked::write`], whatever goes through the stream.
    pub(super) fn write_encoded(&mut self, data: &[u8]) -> Result<()> {
        let result = self.write_buffered(data);
        self.marked(result)
    }

    fn write_buffered(&mut self, data: &[u8]) -> Result<()> {
        if !self.state().can_write {
            return Err(Errno(libc::EBADF));
        }
        self.forget_input()?;
        let address = core::ptr::from_ref(self.file) as usize;
        let state = self.state();
        let is_direct = state.buffering == Buffering::None || IS_ENDING.load(Ordering::Relaxed);
        if is_direct {
            self.flush()?;
            return write_all(self.state().descriptor, data);
        }
        // Up to here it leaves now.
        let leaving = match state.buffering {
            Buffering::Line => data
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1),
            _ => 0,
        };
        let (now, later) = data.split_at(leaving);
        if !now.is_empty() {
            if state.output.is_empty() {
                write_all(state.descriptor, now)?;
            } else {
                state.output.extend_from_slice(now);
                self.flush()?;
            }
        }
        let state = self.state();
        if state.output.len() + later.len() > BUFFER_BYTES {
            self.flush()?;
        }
        let state = self.state();
        if later.len() >= BUFFER_BYTES {
            return write_all(state.descriptor, later);
        }
        if !later.is_empty() && state.output.is_empty() {
            remember(address);
        }
        let state = self.state();
        state.output.extend_from_slice(later);
        Ok(())
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> Result<()> {
        let state = self.state();
        let output = core::mem::take(&mut state.output);
        if output.is_empty() {
            return Ok(());
        }
        let result = write_all(state.descriptor, &output);
        self.marked(result)
    }

    /// Gives input that was read ahead back to the descriptor, where that can be.
    pub(super) fn forget_input(&mut self) -> Result<()> {
        let state = self.state();
        let ahead = core::mem::take(&mut state.input).len() as i64;
        if ahead != 0 {
            let before = errno::get();
            // SAFETY: a number. A terminal or a pipe cannot seek: what was read ahead is lost there, as in C.
            if unsafe { lseek64(state.descriptor, -ahead, libc::SEEK_CUR) } < 0 {
                errno::set(Errno(before));
            }
        }
        Ok(())
    }

    /// Reads ahead; `false` at the end.
    pub(super) fn fill(&mut self) -> Result<bool> {
        // Who asks at the terminal wants the question to be seen.
        let own = core::ptr::from_ref(self.file).cast_mut();
        let output = stdout.load(Ordering::Relaxed);
        if own == stdin.load(Ordering::Relaxed) && !output.is_null() {
            // SAFETY: the standard output is a stream. Not waited for: its holder may be waiting for input.
            if unsafe { pthread_mutex_trylock((*output).lock.get()) } == 0 {
                // SAFETY: as above, and locked.
                let file = unsafe { &*output };
                let mut output = Locked { file };
                if output.state().buffering == Buffering::Line {
                    output.flush()?;
                }
            }
        }
        self.flush()?;
        let state = self.state();
        let mut buf = [0; BUFFER_BYTES];
        let most = if state.buffering == Buffering::None {
            1
        } else {
            buf.len()
        };
        // SAFETY: the array can be written.
        let result = counted(unsafe { read(state.descriptor, buf.as_mut_ptr().cast(), most) });
        let count = self.marked(result)?;
        if count == 0 {
            self.mark(AT_END);
            return Ok(false);
        }
        let state = self.state();
        state.input.extend(buf[..count].iter().rev());
        Ok(true)
    }

    /// The next byte, which stays; `None` at the end.
    pub(super) fn peek(&mut self) -> Result<Option<u8>> {
        self.orient(Orientation::Bytes)?;
        self.peek_encoded()
    }

    /// As [`Locked::peek`], whatever goes through the stream.
    pub(super) fn peek_encoded(&mut self) -> Result<Option<u8>> {
        if !self.state().can_read {
            return self.marked(Err(Errno(libc::EBADF)));
        }
        if self.state().input.is_empty() && (self.flags() & AT_END != 0 || !self.fill()?) {
            return Ok(None);
        }
        Ok(self.state().input.last().copied())
    }

    /// The next byte; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<u8>> {
        let byte = self.peek()?;
        self.state().input.pop();
        Ok(byte)
    }

    /// Puts a byte back.
    pub(super) fn put_back(&mut self, byte: u8) {
        self.state().input.push(byte);
        self.unmark(AT_END);
    }

    /// Fills `buf`; less only at the end or after an error.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.next() {
                Ok(Some(byte)) => {
                    buf[filled] = byte;
                    filled += 1;
                }
                Ok(None) => break,
                Err(error) if filled == 0 => return Err(error),
                Err(error) => {
                    errno::set(error);
                    break;
                }
            }
        }
        Ok(filled)
    }

    pub(super) fn position(&mut self) -> Result<i64> {
        let state = self.state();
        let whence = if state.is_append && !state.output.is_empty() {
            libc::SEEK_END
        } else {
            libc::SEEK_CUR
        };
        // SAFETY: a number.
        let base = unsafe { lseek64(state.descriptor, 0, whence) };
        if base < 0 {
            return Err(Errno(errno::get()));
        }
        Ok(base + state.output.len() as i64 - state.input.len() as i64)
    }

    pub(super) fn seek(&mut self, offset: i64, whence: c_int) -> Result<()> {
        self.flush()?;
        self.forget_input()?;
        // SAFETY: a number.
        if unsafe { lseek64(self.state().descriptor, offset, whence) } < 0 {
            return Err(Errno(errno::get()));
        }
        self.unmark(AT_END);
        Ok(())
    }
}

impl Sink for Locked<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.write(bytes)
    }
}

/// Has a stream written out when the program ends.
fn remember(address: usize) {
    static IS_REGISTERED: AtomicBool = AtomicBool::new(false);
    if !IS_REGISTERED.swap(true, Ordering::Relaxed) {
        at_exit(|| {
            IS_ENDING.store(true, Ordering::Relaxed);
            // What exit functions that are called later print leaves at once.
            flush_all();
        });
    }
    let mut streams = WITH_OUTPUT.lock();
    if !streams.contains(&address) {
        streams.push(address);
    }
}

/// A stream goes: nothing of it is written at the end. Whether its memory may go, too.
pub(super) fn forget(file: *const File) -> bool {
    WITH_OUTPUT
        .lock()
        .retain(|address| *address != file as usize);
    ![&raw const INPUT, &raw const OUTPUT, &raw const ERROR].contains(&file)
}

/// Writes out what waits in all streams; 0, or [`EOF`] if that failed.
pub(super) fn flush_all() -> c_int {
    let streams = WITH_OUTPUT.lock().clone();
    let mut result = 0;
    for address in streams {
        // SAFETY: `fclose` takes a stream out of the list before it goes.
        let flushed = unsafe { locked(address as *mut File) }.flush();
        if c_status(flushed) != 0 {
            result = EOF;
        }
    }
    result
}
