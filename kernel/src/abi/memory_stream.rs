//! Streams over memory (POSIX.1-2017, `fmemopen`, `open_memstream`): objects behind descriptors that only their stream knows.

use alloc::boxed::Box;
use core::ffi::{c_char, c_int, c_void};
use core::ptr::null_mut;

use super::convert::{c_result, text};
use super::memory::{free, malloc, realloc};
use super::object::{self, Object};
use super::stream::File;
use super::stream_calls::{open_flags, stream};
use crate::error::{Errno, Result};
use crate::sync::SpinLock;

/// Where a stream's bytes are.
struct Place {
    /// As many bytes as `room`, of the program or of `malloc`.
    start: *mut u8,
    room: usize,
    /// Bytes that are there: the end of the file.
    len: usize,
    position: usize,
}

// SAFETY: the memory belongs to the stream, whose lock is held whenever it is used.
unsafe impl Send for Place {}

/// Who learns of the memory whenever something was written, and lets it grow.
#[derive(Clone, Copy)]
struct Told {
    start: *mut *mut c_char,
    len: *mut usize,
}

// SAFETY: as of `Place`.
unsafe impl Send for Told {}
// SAFETY: as of `Place`.
unsafe impl Sync for Told {}

struct Memory {
    place: SpinLock<Place>,
    told: Option<Told>,
    is_append: bool,
    /// The memory is the stream's: it goes with it.
    is_own: bool,
}

impl Memory {
    /// Tells where the memory is and how much of it counts.
    fn tell(&self, place: &Place) {
        if let Some(told) = self.told {
            // SAFETY: the caller of `open_memstream` keeps both places as long as the stream is open.
            unsafe {
                told.start.write(place.start.cast());
                told.len.write(place.len.min(place.position));
            }
        }
    }
}

/// Makes room for so many bytes and a zero behind, in memory that may grow.
fn grow(place: &mut Place, wanted: usize) -> Result<()> {
    if wanted < place.room {
        return Ok(());
    }
    let room = wanted
        .checked_add(1)
        .ok_or(Errno(libc::ENOMEM))?
        .max(place.room * 2);
    // SAFETY: memory of `malloc`, which nobody uses meanwhile.
    let start = unsafe { realloc(place.start.cast(), room) }.cast::<u8>();
    if start.is_null() {
        return Err(Errno(libc::ENOMEM));
    }
    // SAFETY: as long as that.
    unsafe { start.add(place.room).write_bytes(0, room - place.room) };
    (place.start, place.room) = (start, room);
    Ok(())
}

impl Object for Memory {
    fn read(&self, buf: &mut [u8], _is_nonblocking: bool) -> Result<usize> {
        let mut place = self.place.lock();
        let count = place.len.saturating_sub(place.position).min(buf.len());
        // SAFETY: inside of the memory.
        unsafe {
            buf.as_mut_ptr()
                .copy_from(place.start.add(place.position), count)
        };
        place.position += count;
        Ok(count)
    }

    fn write(&self, buf: &[u8], _is_nonblocking: bool) -> Result<usize> {
        let mut place = self.place.lock();
        if self.is_append {
            place.position = place.len;
        }
        let end = place
            .position
            .checked_add(buf.len())
            .ok_or(Errno(libc::ENOSPC))?;
        if self.told.is_some() {
            grow(&mut place, end)?;
        }
        let count = buf.len().min(place.room.saturating_sub(place.position));
        if count == 0 && !buf.is_empty() {
            return Err(Errno(libc::ENOSPC));
        }
        // SAFETY: inside of the memory.
        unsafe {
            place
                .start
                .add(place.position)
                .copy_from(buf.as_ptr(), count)
        };
        place.position += count;
        place.len = place.len.max(place.position);
        if place.len < place.room {
            // SAFETY: inside of the memory: a string that is read behind the end ends there.
            unsafe { place.start.add(place.len).write(0) };
        }
        self.tell(&place);
        Ok(count)
    }

    fn seek(&self, offset: i64, whence: c_int) -> Result<u64> {
        let mut place = self.place.lock();
        let base = match whence {
            libc::SEEK_SET => 0,
            libc::SEEK_CUR => place.position as i64,
            libc::SEEK_END => place.len as i64,
            _ => return Err(Errno(libc::EINVAL)),
        };
        let wanted = base
            .checked_add(offset)
            .and_then(|wanted| usize::try_from(wanted).ok());
        let wanted = wanted.filter(|&wanted| self.told.is_some() || wanted <= place.room);
        place.position = wanted.ok_or(Errno(libc::EINVAL))?;
        self.tell(&place);
        Ok(place.position as u64)
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        object::stat_anonymous(stat);
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.is_own {
            // SAFETY: memory of `malloc` that nobody else knows of.
            unsafe { free(self.place.lock().start.cast()) };
        }
    }
}

fn open(memory: Memory, flags: c_int) -> Result<*mut File> {
    let descriptor = object::insert(Box::new(memory), flags as u32)?;
    Ok(stream(descriptor, flags))
}

/// Opens memory of the program's, or (for null) of its own, as a file of at most so many bytes.
///
/// # Safety
/// `start` is null or has `len` bytes, as long as the stream is open; `mode` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn fmemopen(start: *mut c_void, len: usize, mode: *const c_char) -> *mut File {
    c_result((|| {
        // SAFETY: the caller's string.
        let mode = unsafe { text(mode) }?;
        let flags = open_flags(mode)?;
        let own = start.is_null();
        let memory = if own {
            super::memory::calloc(1, len.max(1))
        } else {
            start
        }
        .cast::<u8>();
        if memory.is_null() {
            return Err(Errno(libc::ENOMEM));
        }
        // What is there: all of it for reading, up to a zero for appending, nothing if it is to be empty.
        let string_len = || {
            // SAFETY: the caller's memory.
            let bytes = unsafe { core::slice::from_raw_parts(memory, len) };
            bytes.iter().position(|&byte| byte == 0).unwrap_or(len)
        };
        let filled = match mode.first() {
            Some(b'w') => {
                if len > 0 {
                    // SAFETY: the caller's memory.
                    unsafe { memory.write(0) };
                }
                0
            }
            Some(b'a') => string_len(),
            _ => len,
        };
        let place = Place {
            start: memory,
            room: len,
            len: filled,
            position: 0,
        };
        let memory = Memory {
            place: SpinLock::new(place),
            told: None,
            is_append: flags & libc::O_APPEND != 0,
            is_own: own,
        };
        open(memory, flags)
    })())
}

/// Opens memory that grows, for writing. Where it is and how long is told whenever the stream is flushed, and when it is closed; then it is the
/// program's, to be freed.
///
/// # Safety
/// Both can be written as long as the stream is open.
#[unsafe(no_mangle)]
unsafe extern "C" fn open_memstream(start: *mut *mut c_char, len: *mut usize) -> *mut File {
    c_result((|| {
        if start.is_null() || len.is_null() {
            return Err(Errno(libc::EINVAL));
        }
        const ROOM: usize = 64;
        let memory = malloc(ROOM).cast::<u8>();
        if memory.is_null() {
            return Err(Errno(libc::ENOMEM));
        }
        // SAFETY: as long as that.
        unsafe { memory.write_bytes(0, ROOM) };
        let memory = Memory {
            place: SpinLock::new(Place {
                start: memory,
                room: ROOM,
                len: 0,
                position: 0,
            }),
            told: Some(Told { start, len }),
            is_append: false,
            is_own: false,
        };
        memory.tell(&memory.place.lock());
        open(memory, libc::O_WRONLY)
    })())
}

/// Streams of wide characters are not there.
#[unsafe(no_mangle)]
extern "C" fn open_wmemstream(_start: *mut *mut i32, _len: *mut usize) -> *mut File {
    super::errno::set(Errno(libc::ENOSYS));
    null_mut()
}
