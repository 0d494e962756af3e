//! What is done with descriptors themselves: `dup`, `fcntl`, `ioctl`, `flock` (POSIX.1-2017; Linux: fcntl(2), ioctl(2), flock(2)).

use core::ffi::{c_int, c_ulong};

use super::convert::{also_named, c_result, c_status, get, put};
use super::errno;
use super::file::closed;
use super::object::{self, Description};
use super::pipe;
use super::socket::mark::{SIOCATMARK, is_at_mark};
use crate::error::{Errno, Result};
use crate::storage::vfs::file::OpenFile;
use crate::storage::vfs::ranges::{self, Owner, Range};

/// Flags that `F_SETFL` changes.
const SETTABLE: u32 = (libc::O_APPEND | libc::O_NONBLOCK | libc::O_DIRECT | libc::O_NOATIME) as u32;

/// A second descriptor of the same description: the lowest that is free.
#[unsafe(no_mangle)]
pub extern "C" fn dup(descriptor: c_int) -> c_int {
    c_result(duplicate(descriptor, 0, false))
}

/// Makes `new` a second descriptor of the description of `old`.
#[unsafe(no_mangle)]
pub extern "C" fn dup2(old: c_int, new: c_int) -> c_int {
    c_result((|| {
        let description = object::get(old)?;
        if old != new
            && let Some(before) = object::replace(new, description, false)?
        {
            closed(before);
        }
        Ok(new)
    })())
}

/// As [`dup2`], with `O_CLOEXEC` or without.
#[unsafe(no_mangle)]
pub extern "C" fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int {
    c_result((|| {
        if old == new || flags & !libc::O_CLOEXEC != 0 {
            return Err(Errno(libc::EINVAL));
        }
        if let Some(before) = object::replace(new, object::get(old)?, flags != 0)? {
            closed(before);
        }
        Ok(new)
    })())
}

fn duplicate(descriptor: c_int, lowest: usize, is_close_on_exec: bool) -> Result<c_int> {
    let description = object::get(descriptor)?;
    if lowest >= object::descriptor_limit() {
        return Err(Errno(libc::EINVAL));
    }
    let new = object::insert_description(description, lowest)?;
    object::set_close_on_exec(new, is_close_on_exec)?;
    Ok(new)
}

fn set_status_flags(description: &Description, flags: u32) {
    let kept = description.flags() & !SETTABLE;
    description.set_flags(kept | flags & SETTABLE);
    if let Some(file) = description.downcast::<OpenFile>() {
        file.set_append(flags & libc::O_APPEND as u32 != 0);
    }
}

/// Asks or sets something about a descriptor. C declares the argument as `...`, which is passed alike. Locks of ranges belong to
/// processes (POSIX.1-2017, fcntl), of which there is one, or to open files (Linux: `F_OFD_SETLK`): these alone can be in somebody's way.
///
/// # Safety
/// With `F_GETLK`, `F_SETLK`, `F_SETLKW` and their kin for open files the argument points at a `flock` that can be read and written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl(descriptor: c_int, command: c_int, argument: usize) -> c_int {
    // An `int` in C: only the lower half of the register counts.
    let number = argument as c_int;
    c_result(match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => usize::try_from(number)
            .map_err(|_| Errno(libc::EINVAL))
            .and_then(|lowest| duplicate(descriptor, lowest, command == libc::F_DUPFD_CLOEXEC)),
        libc::F_GETFD => object::is_close_on_exec(descriptor)
            .map(|is_set| if is_set { libc::FD_CLOEXEC } else { 0 }),
        libc::F_SETFD => {
            object::set_close_on_exec(descriptor, number & libc::FD_CLOEXEC != 0).map(|()| 0)
        }
        libc::F_GETFL => object::get(descriptor).map(|description| description.flags() as c_int),
        libc::F_SETFL => object::get(descriptor).map(|description| {
            set_status_flags(&description, number as u32);
            0
        }),
        libc::F_GETPIPE_SZ => object::get(descriptor).and_then(|end| pipe::capacity(&end)),
        libc::F_SETPIPE_SZ => {
            object::get(descriptor).and_then(|end| pipe::set_capacity(&end, number))
        }
        libc::F_GETLK
        | libc::F_SETLK
        | libc::F_SETLKW
        | libc::F_OFD_GETLK
        | libc::F_OFD_SETLK
        | libc::F_OFD_SETLKW => {
            // SAFETY: the caller's promise.
            unsafe { lock_range(descriptor, command, argument as *mut libc::flock64) }
        }
        _ => object::get(descriptor).and(Err(Errno(libc::EINVAL))),
    })
}

/// A range as `fcntl` is told it: from the beginning of the file, from where is read and written, or from the end; forwards or backwards.
///
/// # Errors
/// `EINVAL` before the beginning, `EOVERFLOW` behind the last byte that can be.
fn range_of(file: &OpenFile, lock: &libc::flock64) -> Result<(u64, u64)> {
    let base = match c_int::from(lock.l_whence) {
        libc::SEEK_SET => 0,
        libc::SEEK_CUR => file.seek(0, libc::SEEK_CUR)?,
        libc::SEEK_END => file.entry().node.metadata()?.len_bytes,
        _ => return Err(Errno(libc::EINVAL)),
    };
    let overflow = Errno(libc::EOVERFLOW);
    let base = i64::try_from(base).map_err(|_| overflow)?;
    let from = base.checked_add(lock.l_start).ok_or(overflow)?;
    let (start, end) = match lock.l_len {
        0 => (from, i64::MAX),
        1.. => (from, from.checked_add(lock.l_len - 1).ok_or(overflow)?),
        _ => (from.saturating_add(lock.l_len), from.saturating_sub(1)),
    };
    match (u64::try_from(start), u64::try_from(end)) {
        (Ok(start), Ok(end)) => Ok((start, end)),
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// Locks or unlocks a range, for this process or for the open file alone, or asks which lock would be in the way.
///
/// # Safety
/// `lock` can be read and written.
unsafe fn lock_range(descriptor: c_int, command: c_int, lock: *mut libc::flock64) -> Result<c_int> {
    // SAFETY: the caller's structure.
    let mut wanted = unsafe { get(lock) }.ok_or(Errno(libc::EFAULT))?;
    let is_of_file = [libc::F_OFD_GETLK, libc::F_OFD_SETLK, libc::F_OFD_SETLKW].contains(&command);
    let invalid = Errno(libc::EINVAL);
    super::file::with_file(descriptor, libc::EINVAL, |file| {
        let (start, end) = range_of(file, &wanted)?;
        if is_of_file && wanted.l_pid != 0 {
            return Err(invalid);
        }
        let (is_allowed, is_exclusive) = match c_int::from(wanted.l_type) {
            libc::F_RDLCK => (file.access().can_read, Some(false)),
            libc::F_WRLCK => (file.access().can_write, Some(true)),
            libc::F_UNLCK => (true, None),
            _ => return Err(invalid),
        };
        let range = Range {
            owner: if is_of_file {
                file.owner()
            } else {
                Owner::Process
            },
            is_exclusive: is_exclusive.unwrap_or(false),
            start,
            end,
        };
        // Who has no table has no files that others could lock.
        let (key, table) = (file.lock_key(), ranges::table().ok_or(invalid)?);
        if matches!(command, libc::F_GETLK | libc::F_OFD_GETLK) {
            is_exclusive.ok_or(invalid)?;
            let Some(other) = table.in_the_way(key, range) else {
                wanted.l_type = libc::F_UNLCK as i16;
                return Ok(());
            };
            let kind = [libc::F_RDLCK, libc::F_WRLCK][usize::from(other.is_exclusive)];
            wanted.l_type = kind as i16;
            wanted.l_whence = libc::SEEK_SET as i16;
            wanted.l_start = other.start as i64;
            wanted.l_len = match other.end {
                ranges::LAST => 0,
                end => (end - other.start + 1) as i64,
            };
            wanted.l_pid = if other.owner == Owner::Process { 1 } else { -1 };
            return Ok(());
        }
        if !is_allowed {
            return Err(Errno(libc::EBADF));
        }
        match is_exclusive {
            Some(_) => {
                let may_wait = matches!(command, libc::F_SETLKW | libc::F_OFD_SETLKW);
                table.take(key, range, may_wait)
            }
            None => table.give_back(key, range),
        }
    })?;
    if matches!(command, libc::F_GETLK | libc::F_OFD_GETLK) {
        // SAFETY: the caller's structure.
        unsafe { put(lock, wanted) }?;
    }
    Ok(0)
}

/// Controls what is behind a descriptor: what holds for all kinds, and [`super::terminal`]s.
///
/// # Safety
/// `argument` points at what the request says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(descriptor: c_int, request: c_ulong, argument: *mut c_int) -> c_int {
    c_status((|| {
        let description = object::get(descriptor)?;
        match request {
            libc::FIONBIO => {
                // SAFETY: the request's argument is an `int`.
                let is_set = unsafe { get(argument) }.ok_or(Errno(libc::EFAULT))? != 0;
                let nonblock = libc::O_NONBLOCK as u32;
                let kept = description.flags() & !nonblock;
                description.set_flags(if is_set { kept | nonblock } else { kept });
                Ok(())
            }
            libc::FIONREAD => {
                let unread = c_int::try_from(description.object().unread()?).unwrap_or(c_int::MAX);
                // SAFETY: the request's argument is an `int`.
                unsafe { put(argument, unread) }
            }
            // SAFETY: the request's argument is an `int`.
            SIOCATMARK => unsafe { put(argument, is_at_mark(&description)?) },
            libc::FIOCLEX => object::set_close_on_exec(descriptor, true),
            libc::FIONCLEX => object::set_close_on_exec(descriptor, false),
            // SAFETY: the caller's promise.
            _ => match unsafe { description.object().control(request, argument.cast()) } {
                Err(Errno(libc::ENOTTY)) => {
                    // SAFETY: the caller's promise.
                    unsafe { super::terminal::control(&description, request, argument.cast()) }
                }
                result => result,
            },
        }
    })())
}

/// Whether there is a terminal: a character device with one of their major numbers (Linux: admin-guide/devices.txt).
pub(super) fn is_terminal(description: &Description) -> Result<bool> {
    const TERMINALS: [u32; 3] = [4, 5, 136];
    // SAFETY: a structure of integers, for which zeros are values.
    let mut stat: libc::stat64 = unsafe { core::mem::zeroed() };
    description.object().stat(&mut stat)?;
    let is_device = stat.st_mode & libc::S_IFMT == libc::S_IFCHR;
    Ok(is_device && TERMINALS.contains(&libc::major(stat.st_rdev)))
}

/// Whether a descriptor is a terminal's.
#[unsafe(no_mangle)]
pub extern "C" fn isatty(descriptor: c_int) -> c_int {
    let is_terminal = object::get(descriptor).and_then(|description| is_terminal(&description));
    match is_terminal {
        Ok(true) => 1,
        Ok(false) => {
            errno::set(Errno(libc::ENOTTY));
            0
        }
        Err(error) => {
            errno::set(error);
            0
        }
    }
}

/// Locks a whole file, or unlocks it.
#[unsafe(no_mangle)]
pub extern "C" fn flock(descriptor: c_int, operation: c_int) -> c_int {
    c_status(super::file::with_file(descriptor, libc::EINVAL, |file| {
        let may_wait = operation & libc::LOCK_NB == 0;
        match operation & !libc::LOCK_NB {
            libc::LOCK_SH => file.lock(false, may_wait),
            libc::LOCK_EX => file.lock(true, may_wait),
            libc::LOCK_UN => {
                file.unlock();
                Ok(())
            }
            _ => Err(Errno(libc::EINVAL)),
        }
    }))
}

also_named! {
    fcntl64 = fcntl(descriptor: c_int, command: c_int, argument: usize) -> c_int;
}
