//! Pipes without a name (POSIX.1-2017; Linux: pipe(2), pipe(7)); those with one: [`super::fifo`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::c_int;

use super::channel::{Channel, PIPE_BYTES};
use super::convert::{c_status, put};
use super::object::{self, Description, Object};
use super::signal;
use super::splice::{self, PipeEnd};
use crate::error::{Errno, Result};
use crate::scheduler::{Notifier, Readiness};

/// The least that a pipe holds.
const PIPE_PAGE_BYTES: u32 = 4096;
/// The most that it is let (`/proc/sys/fs/pipe-max-size`), as Linux has it.
pub(super) const MAX_PIPE_BYTES: u32 = 1 << 20;

struct ReadEnd {
    channel: Arc<Channel>,
    notifier: Arc<Notifier>,
}

struct WriteEnd {
    channel: Arc<Channel>,
    notifier: Arc<Notifier>,
}

/// The pipe's end behind a descriptor, if it is one of a pipe without a name.
pub(super) fn end_of(description: &Description) -> Option<PipeEnd> {
    let (channel, can_read) = match description.downcast::<ReadEnd>() {
        Some(end) => (&end.channel, true),
        None => (&description.downcast::<WriteEnd>()?.channel, false),
    };
    Some(PipeEnd {
        channel: channel.clone(),
        can_read,
        can_write: !can_read,
    })
}

/// How many bytes a pipe holds (`F_GETPIPE_SZ`).
///
/// # Errors
/// `EBADF` of what is no pipe.
pub(super) fn capacity(description: &Description) -> Result<c_int> {
    let end = splice::end_of(description).ok_or(Errno(libc::EBADF))?;
    Ok(end.channel.capacity_bytes() as c_int)
}

/// Sets how many bytes a pipe holds (`F_SETPIPE_SZ`): the next power of two, and a page at least; how many that is.
///
/// # Errors
/// `EBADF` of what is no pipe, `EINVAL` of more than 2 GiB, `EPERM` of more than [`MAX_PIPE_BYTES`], `EBUSY` when more is in it now.
pub(super) fn set_capacity(description: &Description, bytes: c_int) -> Result<c_int> {
    let end = splice::end_of(description).ok_or(Errno(libc::EBADF))?;
    let bytes = (bytes as u32)
        .max(PIPE_PAGE_BYTES)
        .checked_next_power_of_two();
    let bytes = bytes
        .filter(|bytes| *bytes <= 1 << 31)
        .ok_or(Errno(libc::EINVAL))?;
    if bytes > MAX_PIPE_BYTES {
        return Err(Errno(libc::EPERM));
    }
    end.channel.set_capacity_bytes(bytes as usize)?;
    Ok(bytes as c_int)
}

fn stat_pipe(stat: &mut libc::stat64) {
    object::stat_anonymous(stat);
    stat.st_mode |= libc::S_IFIFO;
}

impl Object for ReadEnd {
    fn read(&self, buf: &mut [u8], is_nonblocking: bool) -> Result<usize> {
        self.channel.read(buf, is_nonblocking, false, None)
    }

    fn write(&self, _buf: &[u8], _is_nonblocking: bool) -> Result<usize> {
        Err(Errno(libc::EBADF))
    }

    fn readiness(&self) -> Readiness {
        self.channel.readable()
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(&self.notifier)
    }

    fn unread(&self) -> Result<usize> {
        Ok(self.channel.len())
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        stat_pipe(stat);
        Ok(())
    }
}

impl Object for WriteEnd {
    fn read(&self, _buf: &mut [u8], _is_nonblocking: bool) -> Result<usize> {
        Err(Errno(libc::EBADF))
    }

    fn write(&self, buf: &[u8], is_nonblocking: bool) -> Result<usize> {
        signal::with_broken_pipe(self.channel.write(buf, is_nonblocking, None))
    }

    fn readiness(&self) -> Readiness {
        self.channel.writable()
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(&self.notifier)
    }

    fn unread(&self) -> Result<usize> {
        Ok(self.channel.len())
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        stat_pipe(stat);
        Ok(())
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        self.channel.close_reader();
    }
}

impl Drop for WriteEnd {
    fn drop(&mut self) {
        self.channel.close_writer();
    }
}

/// Puts two objects into the table, both or none, and tells their descriptors.
///
/// # Safety
/// `out` is null, or two numbers can be written there.
pub(super) unsafe fn give_two(
    out: *mut [c_int; 2],
    objects: [(Box<dyn Object>, c_int); 2],
) -> Result<()> {
    if out.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    let [(first, first_flags), (second, second_flags)] = objects;
    let first = object::insert(first, first_flags as u32)?;
    match object::insert(second, second_flags as u32) {
        // SAFETY: not null; the caller's place.
        Ok(second) => unsafe { put(out, [first, second]) },
        Err(error) => {
            drop(object::remove(first));
            Err(error)
        }
    }
}

/// Makes a pipe: its end to read from, and its end to write to.
///
/// # Safety
/// Two numbers can be written at `ends`.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pipe2(ends: *mut [c_int; 2], flags: c_int) -> c_int {
    c_status((|| {
        // Packets (`O_DIRECT`) are not there.
        if flags & !(libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
            return Err(Errno(libc::EINVAL));
        }
        let (reader, writer) = (Arc::new(Notifier::new()), Arc::new(Notifier::new()));
        let channel = Channel::new(PIPE_BYTES, reader.clone(), writer.clone());
        let read_end = ReadEnd {
            channel: channel.clone(),
            notifier: reader,
        };
        let write_end = WriteEnd {
            channel,
            notifier: writer,
        };
        // SAFETY: the same contract.
        unsafe {
            give_two(
                ends,
                [
                    (Box::new(read_end), libc::O_RDONLY | flags),
                    (Box::new(write_end), libc::O_WRONLY | flags),
                ],
            )
        }
    })())
}

/// As [`pipe2`] without flags.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pipe(ends: *mut [c_int; 2]) -> c_int {
    // SAFETY: the same contract.
    unsafe { pipe2(ends, 0) }
}
