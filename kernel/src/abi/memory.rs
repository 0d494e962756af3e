//! `malloc` and `mmap` (POSIX.1-2017; mmap(2), malloc(3)).

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

use alloc::sync::Arc;

use super::errno;
use super::object::{self, Description};
use crate::error::Errno;
use crate::memory::areas::{self, Access};
use crate::memory::heap::{self, MIN_ALIGN};
use crate::memory::mapped_files::MAPPED_FILES;
use crate::storage::vfs::file::OpenFile;
use crate::storage::vfs::node::NodeKind;

fn or_no_memory(pointer: *mut u8) -> *mut c_void {
    if pointer.is_null() {
        errno::set(Errno(libc::ENOMEM));
    }
    pointer.cast()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn malloc(size: usize) -> *mut c_void {
    or_no_memory(heap::allocate(size, MIN_ALIGN))
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else {
        return or_no_memory(null_mut());
    };
    let pointer = heap::allocate(bytes, MIN_ALIGN);
    if !pointer.is_null() {
        // SAFETY: `bytes` bytes were allocated just now.
        unsafe { pointer.write_bytes(0, bytes) };
    }
    or_no_memory(pointer)
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn free(pointer: *mut c_void) {
    // SAFETY: C's rules: a pointer from `malloc` and its kin, used no more.
    unsafe { heap::free(pointer.cast()) };
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn realloc(pointer: *mut c_void, size: usize) -> *mut c_void {
    let old = pointer.cast::<u8>();
    if old.is_null() {
        return malloc(size);
    }
    // SAFETY: C's rules: a live pointer from `malloc` and its kin.
    or_no_memory(unsafe { heap::resize(old, size, MIN_ALIGN) })
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn posix_memalign(
    out: *mut *mut c_void,
    align: usize,
    size: usize,
) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<usize>()) {
        return libc::EINVAL;
    }
    let pointer = heap::allocate(size, align);
    if pointer.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's pointer to a result.
    unsafe { *out = pointer.cast() };
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if !align.is_power_of_two() {
        errno::set(Errno(libc::EINVAL));
        return null_mut();
    }
    or_no_memory(heap::allocate(size, align.max(MIN_ALIGN)))
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    aligned_alloc(align, size)
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn malloc_usable_size(pointer: *mut c_void) -> usize {
    if pointer.is_null() {
        return 0;
    }
    // SAFETY: C's rules: a live pointer from `malloc` and its kin.
    unsafe { heap::usable_bytes(pointer.cast()) }
}

/// Access of a mapping. Writable and executable at once is refused (W^X).
fn access(protection: c_int) -> Result<Access, Errno> {
    match protection {
        libc::PROT_NONE => Ok(Access::None),
        libc::PROT_READ => Ok(Access::Read),
        p if p & libc::PROT_EXEC == 0 => Ok(Access::ReadWrite),
        p if p & libc::PROT_WRITE == 0 => Ok(Access::Execute),
        _ => Err(Errno(libc::EACCES)),
    }
}

/// What `mmap` returns when it fails.
const MAP_FAILED: *mut c_void = usize::MAX as *mut c_void;

#[unsafe(no_mangle)]
pub(super) extern "C" fn mmap64(
    hint: *mut c_void,
    len_bytes: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: i64,
) -> *mut c_void {
    match map(
        hint as usize,
        len_bytes,
        protection,
        flags,
        descriptor,
        offset,
    ) {
        Ok(address) => address as *mut c_void,
        Err(error) => {
            errno::set(error);
            MAP_FAILED
        }
    }
}

fn map(
    hint: usize,
    len_bytes: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: i64,
) -> Result<usize, Errno> {
    if len_bytes == 0 || offset < 0 || offset % 4096 != 0 {
        return Err(Errno(libc::EINVAL));
    }
    let wanted = access(protection)?;
    let is_shared = flags & libc::MAP_TYPE != libc::MAP_PRIVATE;
    let file = if flags & libc::MAP_ANONYMOUS == 0 {
        let is_written = protection & libc::PROT_WRITE != 0;
        Some(mappable(descriptor, is_shared && is_written)?)
    } else {
        None
    };
    // A file's content is filled in before the program's access holds.
    let first = if file.is_some() {
        Access::ReadWrite
    } else {
        wanted
    };
    let start = if flags & libc::MAP_FIXED != 0 {
        // Inside a mapping of the program's own: its pages start anew, with the new access.
        // SAFETY: the program gives the range up by asking for a new mapping there.
        unsafe {
            areas::discard(hint, len_bytes);
            areas::protect(hint, len_bytes, first).map_err(|_| Errno(libc::EINVAL))?;
        }
        MAPPED_FILES.lock().remove(hint, pages(len_bytes));
        hint
    } else {
        areas::create(len_bytes, first).map_err(|_| Errno(libc::ENOMEM))?
    };
    let Some(file) = file else {
        return Ok(start);
    };
    let filled = fill(&file, start, len_bytes, offset as u64).and_then(|()| {
        // SAFETY: nobody knows of the range yet, or the program gave it up.
        unsafe { areas::protect(start, len_bytes.next_multiple_of(4096), wanted) }
            .map_err(|_| Errno(libc::ENOMEM))
    });
    if let Err(error) = filled {
        if flags & libc::MAP_FIXED == 0 {
            // SAFETY: nobody knows of the range yet.
            unsafe { areas::remove(&[(start, len_bytes.next_multiple_of(4096))]) };
        }
        return Err(error);
    }
    MAPPED_FILES.lock().add(start, pages(len_bytes), is_shared);
    Ok(start)
}

/// Bytes of the pages that hold so many.
fn pages(len_bytes: usize) -> usize {
    len_bytes.saturating_add(4095) & !4095
}

/// The file behind a descriptor, if it can be mapped: by its content as it is now, in memory of the mapping's own. Changes of a mapping that
/// others would see (`MAP_SHARED` with `PROT_WRITE`) are not there (`ENODEV`).
fn mappable(descriptor: c_int, is_written_back: bool) -> Result<Arc<Description>, Errno> {
    let description = object::get(descriptor)?;
    let file = description.downcast::<OpenFile>();
    let file = file.ok_or(Errno(libc::ENODEV))?;
    if !file.access().can_read {
        return Err(Errno(libc::EACCES));
    }
    if file.entry().node.kind() != NodeKind::File || is_written_back {
        return Err(Errno(libc::ENODEV));
    }
    Ok(description)
}

/// Reads a file into a new mapping; what is behind its end stays zero.
fn fill(file: &Description, start: usize, len_bytes: usize, offset: u64) -> Result<(), Errno> {
    let file = file.downcast::<OpenFile>().ok_or(Errno(libc::ENODEV))?;
    let file_len = file.entry().node.metadata()?.len_bytes;
    let there = file_len.saturating_sub(offset);
    let len = usize::try_from(there).map_or(len_bytes, |there| there.min(len_bytes));
    // Memory that cannot be had is an error here, and would be a fault where it is touched.
    let (free_bytes, _) = crate::memory::frames::usage();
    if len > free_bytes {
        return Err(Errno(libc::ENOMEM));
    }
    // SAFETY: a mapping that can be written and that nobody else knows of, or that the program gave up.
    let mut rest = unsafe { core::slice::from_raw_parts_mut(start as *mut u8, len) };
    let mut at = offset;
    while !rest.is_empty() {
        let count = file.read_at(at, rest)?;
        if count == 0 {
            break;
        }
        rest = &mut rest[count..];
        at += count as u64;
    }
    Ok(())
}

/// Nothing is to be done: no mapping is written back.
#[unsafe(no_mangle)]
pub(super) extern "C" fn msync(address: *mut c_void, _len_bytes: usize, flags: c_int) -> c_int {
    let both = libc::MS_ASYNC | libc::MS_SYNC;
    let is_known = flags & !(both | libc::MS_INVALIDATE) == 0 && flags & both != both;
    if !is_known || !(address as usize).is_multiple_of(4096) {
        return errno::set(Errno(libc::EINVAL));
    }
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn munmap(address: *mut c_void, len_bytes: usize) -> c_int {
    if len_bytes == 0 || !(address as usize).is_multiple_of(4096) {
        return errno::set(Errno(libc::EINVAL));
    }
    MAPPED_FILES
        .lock()
        .remove(address as usize, pages(len_bytes));
    // SAFETY: the program says that it does not use the range any more.
    unsafe { areas::remove(&[(address as usize, len_bytes.next_multiple_of(4096))]) };
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn mprotect(
    address: *mut c_void,
    len_bytes: usize,
    protection: c_int,
) -> c_int {
    let result = access(protection).and_then(|wanted| {
        // What is written to a shared mapping would have to be in the file: see `mappable`.
        if wanted == Access::ReadWrite
            && MAPPED_FILES
                .lock()
                .has_any(address as usize, len_bytes, true)
        {
            return Err(Errno(libc::EACCES));
        }
        // SAFETY: the program says what it will do with its own memory.
        unsafe { areas::protect(address as usize, len_bytes.next_multiple_of(4096), wanted) }
            .map_err(|_| Errno(libc::ENOMEM))
    });
    errno::status(result)
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn madvise(address: *mut c_void, len_bytes: usize, advice: c_int) -> c_int {
    if advice == libc::MADV_DONTNEED {
        // The content would have to come from the file once more.
        if MAPPED_FILES
            .lock()
            .has_any(address as usize, len_bytes, false)
        {
            return errno::set(Errno(libc::EINVAL));
        }
        // SAFETY: the program says that it does not need the content any more.
        unsafe { areas::discard(address as usize, len_bytes) };
    }
    0
}

/// See [`mmap64`]: on x86-64, offsets have 64 bits with and without the suffix.
#[unsafe(no_mangle)]
pub(super) extern "C" fn mmap(
    hint: *mut c_void,
    len_bytes: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: i64,
) -> *mut c_void {
    mmap64(hint, len_bytes, protection, flags, descriptor, offset)
}

/// Makes a mapping of the program's own memory smaller where it is, or larger elsewhere if it may move.
///
/// # Safety
/// The range is a mapping that can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn mremap(
    address: *mut c_void,
    old_bytes: usize,
    new_bytes: usize,
    flags: c_int,
) -> *mut c_void {
    let start = address as usize;
    let pages = |bytes: usize| bytes.checked_next_multiple_of(4096).filter(|&b| b != 0);
    let moved = || {
        let invalid = Errno(libc::EINVAL);
        let old_bytes = pages(old_bytes).ok_or(invalid)?;
        let new_bytes = pages(new_bytes).ok_or(invalid)?;
        if !start.is_multiple_of(4096) || flags & !libc::MREMAP_MAYMOVE != 0 {
            return Err(invalid);
        }
        if new_bytes <= old_bytes {
            if new_bytes < old_bytes {
                MAPPED_FILES
                    .lock()
                    .remove(start + new_bytes, old_bytes - new_bytes);
                // SAFETY: the program gives the end of the mapping up.
                unsafe { areas::remove(&[(start + new_bytes, old_bytes - new_bytes)]) };
            }
            return Ok(start);
        }
        if flags & libc::MREMAP_MAYMOVE == 0 {
            return Err(Errno(libc::ENOMEM));
        }
        // What is added would have to come from the file.
        if MAPPED_FILES.lock().has_any(start, old_bytes, false) {
            return Err(invalid);
        }
        let new = areas::create(new_bytes, Access::ReadWrite).map_err(|_| Errno(libc::ENOMEM))?;
        // SAFETY: the new area is larger than the old mapping, which can be read and is the program's no more.
        unsafe {
            (new as *mut u8).copy_from_nonoverlapping(start as *const u8, old_bytes);
            areas::remove(&[(start, old_bytes)]);
        }
        Ok(new)
    };
    match moved() {
        Ok(address) => address as *mut c_void,
        Err(error) => {
            errno::set(error);
            MAP_FAILED
        }
    }
}
