//! Bytes from pipes and into them without the program's hands on them (Linux: splice(2), tee(2), vmsplice(2)). They are copied; what could not be
//! passed on goes back to where it came from.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::{c_int, c_uint};

use super::channel::Channel;
use super::convert::{bytes, bytes_mut, c_count, get, put};
use super::object::{self, Description};
use super::{fifo, pipe, signal};
use crate::error::{Errno, Result};
use crate::storage::vfs::file::OpenFile;

/// What is passed on at once, at most.
const PIECE_BYTES: usize = 64 << 10;
const FLAGS: c_uint =
    libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MORE | libc::SPLICE_F_GIFT;

/// An end of a pipe.
#[derive(Clone)]
pub(super) struct PipeEnd {
    pub(super) channel: Arc<Channel>,
    pub(super) can_read: bool,
    pub(super) can_write: bool,
}

/// The pipe's end behind a descriptor, if it is one.
pub(super) fn end_of(description: &Description) -> Option<PipeEnd> {
    pipe::end_of(description).or_else(|| fifo::end_of(description))
}

fn room_for(len: usize) -> Result<Vec<u8>> {
    let mut buf = Vec::new();
    buf.try_reserve_exact(len)
        .map_err(|_| Errno(libc::ENOMEM))?;
    buf.resize(len, 0);
    Ok(buf)
}

/// Where in a file: at an offset of its own, which only files have, or where the file is read and written.
///
/// # Errors
/// `ESPIPE` of what has no offsets, `EINVAL` before the beginning.
///
/// # Safety
/// 1. `offset` is null or can be read.
unsafe fn start(description: &Description, offset: *const i64) -> Result<Option<u64>> {
    // SAFETY: (1).
    let Some(offset) = (unsafe { get(offset) }) else {
        return Ok(None);
    };
    if description.downcast::<OpenFile>().is_none() {
        return Err(Errno(libc::ESPIPE));
    }
    u64::try_from(offset)
        .map(Some)
        .map_err(|_| Errno(libc::EINVAL))
}

/// Moves up to `len` bytes from a pipe to anything, or from anything to a pipe; how many, 0 at the end.
///
/// # Errors
/// `EINVAL` if neither is a pipe, both are the same one, the flags are unknown, or the target only appends; `ESPIPE` for an offset of what has
/// none; `EAGAIN` where the pipe would have to be waited for and that is not wanted; those of reading and writing.
///
/// # Safety
/// The offsets are null, or can be read and written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn splice(
    from: c_int,
    from_offset: *mut i64,
    to: c_int,
    to_offset: *mut i64,
    len: usize,
    flags: c_uint,
) -> isize {
    c_count((|| {
        let (source, target) = (object::get(from)?, object::get(to)?);
        if flags & !FLAGS != 0 {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: the same contract.
        let starts = unsafe { (start(&source, from_offset)?, start(&target, to_offset)?) };
        let is_nonblocking = flags & libc::SPLICE_F_NONBLOCK != 0;
        let count = match (end_of(&source), end_of(&target)) {
            (Some(one), Some(other)) if Arc::ptr_eq(&one.channel, &other.channel) => {
                return Err(Errno(libc::EINVAL));
            }
            (Some(pipe), _) => out_of(&pipe, &source, &target, starts.1, len, is_nonblocking)?,
            (None, Some(pipe)) => into(&pipe, &source, starts.0, &target, len, is_nonblocking)?,
            (None, None) => return Err(Errno(libc::EINVAL)),
        };
        for (place, start) in [(from_offset, starts.0), (to_offset, starts.1)] {
            if let Some(start) = start {
                // SAFETY: not null, as there is an offset; the caller's.
                unsafe { put(place, (start + count as u64) as i64) }?;
            }
        }
        Ok(count)
    })())
}

/// From a pipe.
fn out_of(
    pipe: &PipeEnd,
    source: &Description,
    target: &Description,
    at: Option<u64>,
    len: usize,
    is_nonblocking: bool,
) -> Result<usize> {
    if !pipe.can_read {
        return Err(Errno(libc::EBADF));
    }
    let file = target.downcast::<OpenFile>();
    if file.is_some() && target.flags() & libc::O_APPEND as u32 != 0 {
        return Err(Errno(libc::EINVAL));
    }
    let mut len = len.min(PIECE_BYTES);
    if let Some(other) = end_of(target) {
        if !other.can_write {
            return Err(Errno(libc::EBADF));
        }
        // Another pipe takes what it has room for.
        let is_nonblocking = is_nonblocking || target.is_nonblocking();
        let room = signal::with_broken_pipe(other.channel.wait_for_room(is_nonblocking))?;
        len = len.min(room);
    }
    let mut buf = room_for(len)?;
    let is_nonblocking = is_nonblocking || source.is_nonblocking();
    let count = pipe.channel.read(&mut buf, is_nonblocking, false, None)?;
    let data = &buf[..count];
    let written = match (file, at) {
        _ if count == 0 => Ok(0),
        (Some(file), Some(at)) => file.write_at(at, data),
        _ => target.object().write(data, target.is_nonblocking()),
    };
    pipe.channel
        .put_back(&data[*written.as_ref().unwrap_or(&0)..]);
    written
}

/// Into a pipe.
fn into(
    pipe: &PipeEnd,
    source: &Description,
    at: Option<u64>,
    target: &Description,
    len: usize,
    is_nonblocking: bool,
) -> Result<usize> {
    if !pipe.can_write {
        return Err(Errno(libc::EBADF));
    }
    let is_nonblocking = is_nonblocking || target.is_nonblocking();
    // What is read must find room, or it would have to be given back.
    let room = signal::with_broken_pipe(pipe.channel.wait_for_room(is_nonblocking))?;
    let mut buf = room_for(len.min(room).min(PIECE_BYTES))?;
    let count = match (source.downcast::<OpenFile>(), at) {
        (Some(file), Some(at)) => file.read_at(at, &mut buf)?,
        _ => source.object().read(&mut buf, source.is_nonblocking())?,
    };
    signal::with_broken_pipe(pipe.channel.write(&buf[..count], false, None))
}

/// Copies up to `len` bytes from a pipe to another, and leaves them in the first.
///
/// # Errors
/// `EINVAL` if one is no pipe or both are the same; `EAGAIN` where one would have to be waited for and that is not wanted; `EPIPE`.
#[unsafe(no_mangle)]
pub(super) extern "C" fn tee(from: c_int, to: c_int, len: usize, flags: c_uint) -> isize {
    c_count((|| {
        let (source, target) = (object::get(from)?, object::get(to)?);
        let invalid = Errno(libc::EINVAL);
        let (one, other) = (
            end_of(&source).ok_or(invalid)?,
            end_of(&target).ok_or(invalid)?,
        );
        if flags & !FLAGS != 0 || Arc::ptr_eq(&one.channel, &other.channel) {
            return Err(invalid);
        }
        if !one.can_read || !other.can_write {
            return Err(Errno(libc::EBADF));
        }
        let is_nonblocking = |description: &Description| {
            flags & libc::SPLICE_F_NONBLOCK != 0 || description.is_nonblocking()
        };
        let room = other.channel.wait_for_room(is_nonblocking(&target));
        let room = signal::with_broken_pipe(room)?;
        let mut buf = room_for(len.min(room).min(PIECE_BYTES))?;
        let is_peek = true;
        let count = one
            .channel
            .read(&mut buf, is_nonblocking(&source), is_peek, None)?;
        signal::with_broken_pipe(other.channel.write(&buf[..count], false, None))
    })())
}

/// Writes the program's memory into a pipe, or reads from one into it.
///
/// # Errors
/// `EBADF` if it is no pipe, `EINVAL` for too many parts; those of pipes.
///
/// # Safety
/// `parts` are `count` buffers, which can be read, or written if the pipe's end is that to read from.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn vmsplice(
    descriptor: c_int,
    parts: *const libc::iovec,
    count: usize,
    flags: c_uint,
) -> isize {
    c_count((|| {
        let description = object::get(descriptor)?;
        let pipe = end_of(&description).ok_or(Errno(libc::EBADF))?;
        if flags & !FLAGS != 0 || count > libc::UIO_MAXIOV as usize {
            return Err(Errno(libc::EINVAL));
        }
        let is_nonblocking = flags & libc::SPLICE_F_NONBLOCK != 0 || description.is_nonblocking();
        let mut total = 0;
        for index in 0..count {
            // SAFETY: the caller's parts.
            let part = unsafe { parts.add(index).read() };
            let step = if pipe.can_write {
                // SAFETY: the caller's buffer.
                let data = unsafe { bytes(part.iov_base.cast_const(), part.iov_len) }?;
                signal::with_broken_pipe(pipe.channel.write(data, is_nonblocking, None))
            } else {
                // SAFETY: the caller's buffer.
                let buf = unsafe { bytes_mut(part.iov_base, part.iov_len) }?;
                // What is there is enough.
                let is_nonblocking = is_nonblocking || total != 0;
                pipe.channel.read(buf, is_nonblocking, false, None)
            };
            match step {
                Ok(done) => {
                    total += done;
                    if done < part.iov_len {
                        break;
                    }
                }
                Err(_) if total != 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    })())
}
