//! Streams over the program's own functions (glibc: fopencookie(3)): an object behind a descriptor that only the stream knows.

use alloc::boxed::Box;
use core::ffi::{c_char, c_int, c_void};

use super::convert::{c_result, text};
use super::errno;
use super::object::{self, Object};
use super::stream::File;
use super::stream_calls::{open_flags, stream};
use crate::error::{Errno, Result};

/// `cookie_io_functions_t`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Functions {
    read: Option<unsafe extern "C" fn(*mut c_void, *mut c_char, usize) -> isize>,
    write: Option<unsafe extern "C" fn(*mut c_void, *const c_char, usize) -> isize>,
    seek: Option<unsafe extern "C" fn(*mut c_void, *mut i64, c_int) -> c_int>,
    close: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
}

struct Cookie {
    /// The program's, which gets it with each call.
    pointer: usize,
    functions: Functions,
}

impl Cookie {
    fn pointer(&self) -> *mut c_void {
        self.pointer as *mut c_void
    }
}

/// What a function of the program failed with.
fn failure() -> Errno {
    Errno(errno::get())
}

impl Object for Cookie {
    fn read(&self, buf: &mut [u8], _is_nonblocking: bool) -> Result<usize> {
        let read = self.functions.read.ok_or(Errno(libc::EBADF))?;
        // SAFETY: the program's function, with room for as many bytes; the stream's lock is held.
        let count = unsafe { read(self.pointer(), buf.as_mut_ptr().cast(), buf.len()) };
        let count = usize::try_from(count).map_err(|_| failure())?;
        // More than there is room for cannot have been read.
        Ok(count.min(buf.len()))
    }

    fn write(&self, buf: &[u8], _is_nonblocking: bool) -> Result<usize> {
        let write = self.functions.write.ok_or(Errno(libc::EBADF))?;
        // SAFETY: the program's function, with as many bytes; the stream's lock is held.
        let count = unsafe { write(self.pointer(), buf.as_ptr().cast(), buf.len()) };
        // 0 is how it fails; what is below is taken alike.
        match usize::try_from(count) {
            Ok(count @ 1..) => Ok(count.min(buf.len())),
            _ => Err(failure()),
        }
    }

    fn seek(&self, offset: i64, whence: c_int) -> Result<u64> {
        let seek = self.functions.seek.ok_or(Errno(libc::ESPIPE))?;
        let mut place = offset;
        // SAFETY: the program's function, with a place that it changes; the stream's lock is held.
        match unsafe { seek(self.pointer(), &raw mut place, whence) } {
            0 => u64::try_from(place).map_err(|_| Errno(libc::EINVAL)),
            _ => Err(failure()),
        }
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        object::stat_anonymous(stat);
        Ok(())
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        if let Some(close) = self.functions.close {
            // SAFETY: the program's function; the stream is no more. What it says of its success has nobody to tell.
            unsafe { close(self.pointer()) };
        }
    }
}

/// Makes a stream of functions. What is missing fails, but for the end, as glibc has it.
///
/// # Safety
/// `mode` is a C string; the functions can be called with `cookie` as long as the stream is open.
#[unsafe(no_mangle)]
unsafe extern "C" fn fopencookie(
    cookie: *mut c_void,
    mode: *const c_char,
    functions: Functions,
) -> *mut File {
    c_result((|| {
        // SAFETY: the caller's string.
        let flags = open_flags(unsafe { text(mode) }?)?;
        let object = Cookie {
            pointer: cookie as usize,
            functions,
        };
        let descriptor = object::insert(Box::new(object), flags as u32)?;
        Ok(stream(descriptor, flags))
    })())
}
