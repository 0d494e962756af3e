//! Open files: `open`, `read`, `write`, `lseek` and their relatives (POSIX.1-2017), on whatever is behind a descriptor.
//!
//! Neighbours: [`super::descriptor`] (`dup`, `fcntl`), [`super::directory`], [`super::metadata`], [`super::path`]. The work is done in
//! [`crate::storage::vfs`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::{c_char, c_int, c_void};
use core::mem::MaybeUninit;

use super::convert::{also_named, bytes, bytes_mut, c_count, c_result, c_status, get, put, text};
use super::generated;
use super::metadata;
use super::object::{self, Description, Object};
use crate::error::{Errno, Result};
use crate::storage::vfs::file::OpenFile;
use crate::storage::vfs::namespace::{Bounds, Entry, LastLink};
use crate::storage::vfs::node::NodeKind;
use crate::storage::vfs::{self, content, operations, watch};

/// Flags of `open` that stay with the description.
pub(super) const STATUS_FLAGS: i32 = libc::O_ACCMODE
    | libc::O_APPEND
    | libc::O_NONBLOCK
    | libc::O_SYNC
    | libc::O_DIRECT
    | libc::O_NOATIME
    | libc::O_DIRECTORY
    | libc::O_PATH
    | libc::O_CLOEXEC;
/// Parts of a vectored write that are put together and written at once, up to this size.
const GATHER_MAX: usize = 64 << 10;
/// Up to this size they are put together on the stack: an answer with its head, most of all.
const SMALL_GATHER_MAX: usize = 1 << 10;
const IOV_MAX: c_int = 1024;
/// What a copy from file to file moves at once.
const COPY_LEN: usize = 64 << 10;

impl Object for OpenFile {
    fn read(&self, buf: &mut [u8], _is_nonblocking: bool) -> Result<usize> {
        Self::read(self, buf)
    }

    fn write(&self, buf: &[u8], _is_nonblocking: bool) -> Result<usize> {
        Self::write(self, buf)
    }

    fn seek(&self, offset: i64, whence: c_int) -> Result<u64> {
        Self::seek(self, offset, whence)
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        metadata::fill(stat, self.entry()).map(|_| ())
    }
}

/// Calls `work` with the open file behind a descriptor.
pub(super) fn with_file<T>(
    descriptor: c_int,
    otherwise: i32,
    work: impl FnOnce(&OpenFile) -> Result<T>,
) -> Result<T> {
    let description = object::get(descriptor)?;
    work(description.downcast::<OpenFile>().ok_or(Errno(otherwise))?)
}

/// Where a relative path begins, in the functions that end with `at`.
pub(super) fn base(directory: c_int, path: &[u8]) -> Result<Arc<Entry>> {
    if directory == libc::AT_FDCWD || path.starts_with(b"/") {
        return vfs::current();
    }
    with_file(directory, libc::ENOTDIR, |file| {
        if file.entry().is_directory() {
            Ok(file.entry().clone())
        } else {
            Err(Errno(libc::ENOTDIR))
        }
    })
}

/// What a path leads to, or the file behind the descriptor if the path is empty and that is allowed (`AT_EMPTY_PATH`).
pub(super) fn entry_at(
    directory: c_int,
    path: &[u8],
    flags: c_int,
    last_link: LastLink,
) -> Result<Arc<Entry>> {
    if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        if directory == libc::AT_FDCWD {
            return vfs::current();
        }
        return with_file(directory, libc::EINVAL, |file| Ok(file.entry().clone()));
    }
    vfs::names()?.resolve(&base(directory, path)?, path, last_link)
}

/// Opens a file; the way to it stays within bounds.
pub(super) fn open_within(
    directory: c_int,
    path: &[u8],
    flags: c_int,
    mode: libc::mode_t,
    bounds: Bounds,
) -> Result<c_int> {
    // A path from the root may be one from the directory.
    let start = if bounds.is_in_root { b"" } else { path };
    let base = base(directory, start)?;
    let permissions = mode & !super::directory::umask_now();
    match operations::open_within(vfs::names()?, &base, path, flags, permissions, bounds) {
        Ok(file) => object::insert(Box::new(file), (flags & STATUS_FLAGS) as u32),
        Err(error) => generated::open(error, &base, path, flags, bounds),
    }
}

fn open_at(directory: c_int, path: &[u8], flags: c_int, mode: libc::mode_t) -> Result<c_int> {
    open_within(directory, path, flags, mode, Bounds::NONE)
}

/// Opens a file. `mode` counts only with `O_CREAT`: C declares it as `...`, which is passed alike.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { openat64(libc::AT_FDCWD, path, flags, mode) }
}

/// Opens a file, by a path from a directory.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mode: libc::mode_t,
) -> c_int {
    // SAFETY: a C string.
    c_result(unsafe { text(path) }.and_then(|path| open_at(directory, path, flags, mode)))
}

/// Creates a file and opens it for writing.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn creat64(path: *const c_char, mode: libc::mode_t) -> c_int {
    // SAFETY: the same contract.
    unsafe { open64(path, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode) }
}

/// Closes a descriptor.
#[unsafe(no_mangle)]
pub extern "C" fn close(descriptor: c_int) -> c_int {
    c_status(object::remove(descriptor).map(closed))
}

/// A descriptor is no more: with it go the locks that the process has on ranges of the file (POSIX.1-2017, `fcntl`).
pub(super) fn closed(description: Arc<Description>) {
    if let Some(file) = description.downcast::<OpenFile>() {
        file.release_process();
    }
}

/// Reads.
///
/// # Safety
/// `len` bytes at `buf` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(descriptor: c_int, buf: *mut c_void, len: usize) -> isize {
    c_count((|| {
        let description = object::get(descriptor)?;
        // SAFETY: the caller's buffer.
        let buf = unsafe { bytes_mut(buf, len) }?;
        description.object().read(buf, description.is_nonblocking())
    })())
}

/// Writes.
///
/// # Safety
/// `len` bytes at `buf` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(descriptor: c_int, buf: *const c_void, len: usize) -> isize {
    c_count((|| {
        let description = object::get(descriptor)?;
        // SAFETY: the caller's buffer.
        let buf = unsafe { bytes(buf, len) }?;
        description
            .object()
            .write(buf, description.is_nonblocking())
    })())
}

/// An offset that a caller gave.
fn offset_of(offset: i64) -> Result<u64> {
    u64::try_from(offset).map_err(|_| Errno(libc::EINVAL))
}

/// Reads from an offset.
///
/// # Safety
/// `len` bytes at `buf` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pread64(
    descriptor: c_int,
    buf: *mut c_void,
    len: usize,
    offset: i64,
) -> isize {
    c_count(with_file(descriptor, libc::ESPIPE, |file| {
        // SAFETY: the caller's buffer.
        file.read_at(offset_of(offset)?, unsafe { bytes_mut(buf, len) }?)
    }))
}

/// Writes at an offset.
///
/// # Safety
/// `len` bytes at `buf` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(
    descriptor: c_int,
    buf: *const c_void,
    len: usize,
    offset: i64,
) -> isize {
    c_count(with_file(descriptor, libc::ESPIPE, |file| {
        // SAFETY: the caller's buffer.
        file.write_at(offset_of(offset)?, unsafe { bytes(buf, len) }?)
    }))
}

/// The parts of a vectored call.
///
/// # Safety
/// `count` parts at `parts` can be read.
unsafe fn parts_of<'a>(parts: *const libc::iovec, count: c_int) -> Result<&'a [libc::iovec]> {
    match count {
        0 => Ok(&[]),
        1..=IOV_MAX if parts.is_null() => Err(Errno(libc::EFAULT)),
        // SAFETY: not null; the rest is the caller's promise.
        1..=IOV_MAX => Ok(unsafe { core::slice::from_raw_parts(parts, count as usize) }),
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// Fills one part after the other, until one is not filled. `read` is told how much is there already.
///
/// # Safety
/// The parts are buffers that can be written.
unsafe fn scatter(
    parts: &[libc::iovec],
    mut read: impl FnMut(&mut [u8], usize) -> Result<usize>,
) -> Result<usize> {
    let mut total = 0;
    for part in parts.iter().filter(|part| part.iov_len != 0) {
        // SAFETY: the caller's buffer.
        let buf = unsafe { bytes_mut(part.iov_base, part.iov_len) }?;
        match read(buf, total) {
            Ok(count) => {
                total += count;
                if count < part.iov_len {
                    break;
                }
            }
            Err(_) if total != 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// Writes the parts, at once if they are small. `write` is told how much is written already.
///
/// # Safety
/// The parts are buffers that can be read.
unsafe fn gather(
    parts: &[libc::iovec],
    mut write: impl FnMut(&[u8], usize) -> Result<usize>,
) -> Result<usize> {
    let len = parts
        .iter()
        .fold(0usize, |len, part| len.saturating_add(part.iov_len));
    if parts.len() > 1 && len <= SMALL_GATHER_MAX {
        let mut all = [const { MaybeUninit::<u8>::uninit() }; SMALL_GATHER_MAX];
        let mut filled = 0;
        for part in parts {
            // SAFETY: the caller's buffer.
            let part = unsafe { bytes(part.iov_base, part.iov_len) }?;
            // Another thread may have changed a length since they were added up.
            let Some(room) = all.get_mut(filled..filled + part.len()) else {
                return Err(Errno(libc::EINVAL));
            };
            room.write_copy_of_slice(part);
            filled += part.len();
        }
        // SAFETY: so many were filled.
        let all = unsafe { all[..filled].assume_init_ref() };
        return write(all, 0);
    }
    if parts.len() > 1 && len <= GATHER_MAX {
        let mut all = Vec::new();
        all.try_reserve_exact(len)
            .map_err(|_| Errno(libc::ENOMEM))?;
        for part in parts {
            // SAFETY: the caller's buffer.
            all.extend_from_slice(unsafe { bytes(part.iov_base, part.iov_len) }?);
        }
        return write(&all, 0);
    }
    let mut total = 0;
    for part in parts {
        // SAFETY: the caller's buffer.
        let buf = unsafe { bytes(part.iov_base, part.iov_len) }?;
        match write(buf, total) {
            Ok(count) => {
                total += count;
                if count < part.iov_len {
                    break;
                }
            }
            Err(_) if total != 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// Reads into several buffers.
///
/// # Safety
/// `parts` are `count` buffers that can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readv(
    descriptor: c_int,
    parts: *const libc::iovec,
    count: c_int,
) -> isize {
    c_count((|| {
        let description = object::get(descriptor)?;
        // SAFETY: the caller's buffers.
        let parts = unsafe { parts_of(parts, count) }?;
        // Only the first read may wait.
        let mut read = |buf: &mut [u8], done| {
            let is_nonblocking = done != 0 || description.is_nonblocking();
            description.object().read(buf, is_nonblocking)
        };
        // SAFETY: the caller's buffers.
        unsafe { scatter(parts, &mut read) }
    })())
}

/// Writes from several buffers.
///
/// # Safety
/// `parts` are `count` buffers that can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(
    descriptor: c_int,
    parts: *const libc::iovec,
    count: c_int,
) -> isize {
    c_count((|| {
        let description = object::get(descriptor)?;
        // SAFETY: the caller's buffers.
        let parts = unsafe { parts_of(parts, count) }?;
        let is_nonblocking = description.is_nonblocking();
        // SAFETY: the caller's buffers.
        unsafe {
            gather(parts, |buf, _| {
                description.object().write(buf, is_nonblocking)
            })
        }
    })())
}

/// Reads into several buffers from an offset.
///
/// # Safety
/// `parts` are `count` buffers that can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn preadv64(
    descriptor: c_int,
    parts: *const libc::iovec,
    count: c_int,
    offset: i64,
) -> isize {
    c_count(with_file(descriptor, libc::ESPIPE, |file| {
        let offset = offset_of(offset)?;
        // SAFETY: the caller's buffers.
        let parts = unsafe { parts_of(parts, count) }?;
        // SAFETY: the caller's buffers.
        unsafe {
            scatter(parts, |buf, done| {
                file.read_at(offset.saturating_add(done as u64), buf)
            })
        }
    }))
}

/// Writes from several buffers at an offset.
///
/// # Safety
/// `parts` are `count` buffers that can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwritev64(
    descriptor: c_int,
    parts: *const libc::iovec,
    count: c_int,
    offset: i64,
) -> isize {
    c_count(with_file(descriptor, libc::ESPIPE, |file| {
        let offset = offset_of(offset)?;
        // SAFETY: the caller's buffers.
        let parts = unsafe { parts_of(parts, count) }?;
        // SAFETY: the caller's buffers.
        unsafe {
            gather(parts, |buf, done| {
                file.write_at(offset.saturating_add(done as u64), buf)
            })
        }
    }))
}

/// Moves the offset.
///
/// # Safety
/// Always safe to call; `unsafe` only as C functions with two names are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lseek64(descriptor: c_int, offset: i64, whence: c_int) -> i64 {
    let sought =
        object::get(descriptor).and_then(|description| description.object().seek(offset, whence));
    c_result(sought.map(|offset| offset as i64))
}

/// Sets an open file's size.
///
/// # Safety
/// Always safe to call; `unsafe` only as C functions with two names are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(descriptor: c_int, len: i64) -> c_int {
    c_status(with_file(descriptor, libc::EINVAL, |file| {
        file.set_len(offset_of(len)?)
    }))
}

/// Sets a file's size.
///
/// # Safety
/// `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn truncate64(path: *const c_char, len: i64) -> c_int {
    c_status((|| {
        // SAFETY: a C string.
        let path = unsafe { text(path) }?;
        let len = offset_of(len)?;
        let entry = vfs::resolve(path, LastLink::Follow)?;
        match entry.node.kind() {
            NodeKind::File => {}
            NodeKind::Directory => return Err(Errno(libc::EISDIR)),
            _ => return Err(Errno(libc::EINVAL)),
        }
        operations::check_writable(&entry)?;
        content::set_len(&entry.node, len)?;
        watch::at(&entry, libc::IN_MODIFY);
        Ok(())
    })())
}

/// Returns when a file is on the medium.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(descriptor: c_int) -> c_int {
    c_status(with_file(descriptor, libc::EINVAL, |file| {
        content::sync(&file.entry().node)
    }))
}

/// Returns when a file's content is on the medium.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    fsync(descriptor)
}

/// Returns when everything is on the media.
#[unsafe(no_mangle)]
pub extern "C" fn sync() {
    if let Err(error) = vfs::sync_all() {
        log::error!("sync: {error:?}");
    }
}

/// Returns when everything in the file system of a file is on the medium.
#[unsafe(no_mangle)]
pub extern "C" fn syncfs(descriptor: c_int) -> c_int {
    c_status(with_file(descriptor, libc::EINVAL, |file| {
        let mapped = content::write_back_all();
        mapped.and(file.entry().mount.file_system.sync())
    }))
}

/// Moves up to `len` bytes from one description to another, from and to given offsets or those of the files.
fn copy(
    from: &Description,
    from_offset: Option<u64>,
    to: &Description,
    to_offset: Option<u64>,
    len: usize,
) -> Result<usize> {
    let source = from.downcast::<OpenFile>().ok_or(Errno(libc::EINVAL))?;
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(len.min(COPY_LEN))
        .map_err(|_| Errno(libc::ENOMEM))?;
    buffer.resize(len.min(COPY_LEN), 0);
    let mut total = 0;
    while total < len {
        let wanted = (len - total).min(buffer.len());
        let step = (|| {
            let count = match from_offset {
                Some(offset) => source.read_at(offset + total as u64, &mut buffer[..wanted])?,
                None => source.read(&mut buffer[..wanted])?,
            };
            let data = &buffer[..count];
            let written = match (to.downcast::<OpenFile>(), to_offset) {
                _ if count == 0 => 0,
                (Some(file), Some(offset)) => file.write_at(offset + total as u64, data)?,
                _ => to.object().write(data, to.is_nonblocking())?,
            };
            // What was read and not written is read again.
            if written < count && from_offset.is_none() {
                source.seek(written as i64 - count as i64, libc::SEEK_CUR)?;
            }
            Ok((count, written))
        })();
        match step {
            Ok((count, written)) => {
                total += written;
                if written < count || count == 0 {
                    break;
                }
            }
            Err(_) if total != 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// Copies from file to file.
///
/// # Safety
/// The offsets are null, or can be read and written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_offset: *mut i64,
    to: c_int,
    to_offset: *mut i64,
    len: usize,
    flags: u32,
) -> isize {
    c_count((|| {
        let (source, target) = (object::get(from)?, object::get(to)?);
        let target_file = target.downcast::<OpenFile>().ok_or(Errno(libc::EINVAL))?;
        if flags != 0 || target_file.entry().node.kind() != NodeKind::File {
            return Err(Errno(libc::EINVAL));
        }
        // SAFETY: null, or the caller's offsets.
        let offsets = unsafe { (get(from_offset), get(to_offset)) };
        let start = (
            offsets.0.map(offset_of).transpose()?,
            offsets.1.map(offset_of).transpose()?,
        );
        let count = copy(&source, start.0, &target, start.1, len.min(MAX_COPY))?;
        for (place, offset) in [(from_offset, offsets.0), (to_offset, offsets.1)] {
            if let Some(offset) = offset {
                // SAFETY: not null, as there is an offset; the caller's.
                unsafe { put(place, offset.saturating_add(count as i64)) }?;
            }
        }
        Ok(count)
    })())
}

/// The most that one call copies.
const MAX_COPY: usize = 0x7FFF_F000;

/// Copies from a file to anything.
///
/// # Safety
/// `offset` is null, or can be read and written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile64(to: c_int, from: c_int, offset: *mut i64, len: usize) -> isize {
    c_count((|| {
        let (source, target) = (object::get(from)?, object::get(to)?);
        // SAFETY: null, or the caller's offset.
        let start = unsafe { get(offset) };
        let from_offset = start.map(offset_of).transpose()?;
        let count = copy(&source, from_offset, &target, None, len.min(MAX_COPY))?;
        if let Some(start) = start {
            // SAFETY: not null, as there is an offset; the caller's.
            unsafe { put(offset, start.saturating_add(count as i64)) }?;
        }
        Ok(count)
    })())
}

also_named! {
    open = open64(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int;
    openat = openat64(directory: c_int, path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int;
    creat = creat64(path: *const c_char, mode: libc::mode_t) -> c_int;
    pread = pread64(descriptor: c_int, buf: *mut c_void, len: usize, offset: i64) -> isize;
    pwrite = pwrite64(descriptor: c_int, buf: *const c_void, len: usize, offset: i64) -> isize;
    preadv = preadv64(descriptor: c_int, parts: *const libc::iovec, count: c_int, offset: i64) -> isize;
    pwritev = pwritev64(descriptor: c_int, parts: *const libc::iovec, count: c_int, offset: i64) -> isize;
    lseek = lseek64(descriptor: c_int, offset: i64, whence: c_int) -> i64;
    ftruncate = ftruncate64(descriptor: c_int, len: i64) -> c_int;
    truncate = truncate64(path: *const c_char, len: i64) -> c_int;
    sendfile = sendfile64(to: c_int, from: c_int, offset: *mut i64, len: usize) -> isize;
}
