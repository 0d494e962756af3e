//! `mmap` and its kin (POSIX.1-2017; mmap(2), mremap(2), madvise(2)): memory of the program's own, and files in memory
//! (`storage/vfs/mapped.rs`).

use core::ffi::{c_int, c_void};

use alloc::sync::Arc;

use super::{errno, object};
use crate::error::{Errno, Result};
use crate::memory::OutOfMemory;
use crate::memory::areas::{self, Access, ProtectError, Source};
use crate::memory::file_pages::FilePages;
use crate::storage::vfs::content::{self, Mapping};
use crate::storage::vfs::file::OpenFile;
use crate::storage::vfs::mapped;
use crate::storage::vfs::namespace::Entry;
use crate::storage::vfs::node::NodeKind;

const PAGE: usize = 4096;
/// What `mmap` returns when it fails.
const MAP_FAILED: *mut c_void = usize::MAX as *mut c_void;

fn no_memory(_: OutOfMemory) -> Errno {
    Errno(libc::ENOMEM)
}

fn or_failed(result: Result<usize>) -> *mut c_void {
    match result {
        Ok(address) => address as *mut c_void,
        Err(error) => {
            errno::set(error);
            MAP_FAILED
        }
    }
}

/// Access of a mapping. Writable and executable at once is refused (W^X).
fn access(protection: c_int) -> Result<Access> {
    match protection {
        libc::PROT_NONE => Ok(Access::None),
        libc::PROT_READ => Ok(Access::Read),
        p if p & libc::PROT_EXEC == 0 => Ok(Access::ReadWrite),
        p if p & libc::PROT_WRITE == 0 => Ok(Access::Execute),
        _ => Err(Errno(libc::EACCES)),
    }
}

/// Bytes of the pages that hold so many, if they are some and begin where a page does.
fn pages(start: usize, len_bytes: usize) -> Result<usize> {
    let len_bytes = len_bytes.checked_next_multiple_of(PAGE);
    let len_bytes = len_bytes.filter(|&len| len != 0 && start.is_multiple_of(PAGE));
    len_bytes.ok_or(Errno(libc::EINVAL))
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn mmap64(
    hint: *mut c_void,
    len_bytes: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: i64,
) -> *mut c_void {
    let hint = hint as usize;
    or_failed(map(hint, len_bytes, protection, flags, descriptor, offset))
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

fn map(
    hint: usize,
    len_bytes: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: i64,
) -> Result<usize> {
    let is_fixed = flags & (libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE) != 0;
    let len_bytes = pages(if is_fixed { hint } else { 0 }, len_bytes)?;
    let offset = u64::try_from(offset).map_err(|_| Errno(libc::EINVAL))?;
    if !offset.is_multiple_of(PAGE as u64) {
        return Err(Errno(libc::EINVAL));
    }
    let access = access(protection)?;
    let address = is_fixed.then_some(hint);
    let mut replaced = None;
    if is_fixed {
        let there = areas::ids_in(hint, len_bytes);
        if flags & libc::MAP_FIXED_NOREPLACE == libc::MAP_FIXED_NOREPLACE && !there.is_free {
            return Err(Errno(libc::EEXIST));
        }
        replaced = Some(there);
    }
    let start = if flags & libc::MAP_ANONYMOUS != 0 {
        match address {
            None => areas::create(len_bytes, access).map_err(no_memory)?,
            Some(start) => {
                // SAFETY: the program gives the range up by asking for a new mapping there.
                unsafe { areas::replace(start, len_bytes, access, None) }.map_err(no_memory)?;
                start
            }
        }
    } else {
        let is_shared = flags & libc::MAP_TYPE != libc::MAP_PRIVATE;
        let (entry, can_write) = mappable(descriptor)?;
        if is_shared && access == Access::ReadWrite && !can_write {
            return Err(Errno(libc::EACCES));
        }
        let mapping = Mapping {
            offset,
            len_bytes,
            address,
            access,
            is_shared,
            may_write: can_write,
        };
        match content::mapper() {
            // SAFETY: as above.
            Some(mapper) => unsafe { mapper.map(&entry, &mapping) }?,
            None => map_constant(&entry, &mapping)?,
        }
    };
    note_unmapped(replaced);
    Ok(start)
}

/// The file behind a descriptor, if it can be mapped, and whether it may be written to.
fn mappable(descriptor: c_int) -> Result<(Arc<Entry>, bool)> {
    let description = object::get(descriptor)?;
    let file = description.downcast::<OpenFile>();
    let file = file.ok_or(Errno(libc::ENODEV))?;
    if !file.access().can_read {
        return Err(Errno(libc::EACCES));
    }
    if file.entry().node.kind() != NodeKind::File {
        return Err(Errno(libc::ENODEV));
    }
    Ok((file.entry().clone(), file.access().can_write))
}

/// Maps a file where files never change: in a program that opens none, whose only one is `/dev/program`.
fn map_constant(entry: &Entry, mapping: &Mapping) -> Result<usize> {
    if mapping.address.is_some() || mapping.is_shared && mapping.access == Access::ReadWrite {
        return Err(Errno(libc::ENODEV));
    }
    let mut pages = FilePages::new(entry.node.metadata()?.len_bytes);
    let first = mapping.offset / PAGE as u64;
    let end = first + (mapping.len_bytes / PAGE) as u64;
    mapped::fill(&mut pages, &*entry.node, first..end)?;
    let source = Source::new(&pages, first, mapping.is_shared, false);
    areas::create_from(mapping.len_bytes, mapping.access, Some(source)).map_err(no_memory)
}

/// Has the files know whose mappings have gone.
fn note_unmapped(gone: Option<areas::Shown>) {
    if let Some(gone) = gone.filter(|gone| !gone.ids.is_empty())
        && let Some(mapper) = content::mapper()
    {
        mapper.unmapped(&gone.ids);
    }
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn munmap(address: *mut c_void, len_bytes: usize) -> c_int {
    let start = address as usize;
    errno::status(pages(start, len_bytes).map(|len_bytes| unmap(start, len_bytes)))
}

fn unmap(start: usize, len_bytes: usize) {
    let gone = areas::ids_in(start, len_bytes);
    // SAFETY: the program says that it does not use the range any more.
    unsafe { areas::remove(&[(start, len_bytes)]) };
    note_unmapped(Some(gone));
}

/// Returns when what was written to mappings of files is on the medium. `MS_ASYNC` has nothing to do: memory and file are one.
#[unsafe(no_mangle)]
pub(super) extern "C" fn msync(address: *mut c_void, len_bytes: usize, flags: c_int) -> c_int {
    let both = libc::MS_ASYNC | libc::MS_SYNC;
    let is_known = flags & !(both | libc::MS_INVALIDATE) == 0 && flags & both != both;
    let start = address as usize;
    errno::status((|| {
        if !is_known || !start.is_multiple_of(PAGE) {
            return Err(Errno(libc::EINVAL));
        }
        if len_bytes == 0 {
            return Ok(());
        }
        let there = areas::ids_in(start, pages(start, len_bytes)?);
        if !there.is_covered {
            return Err(Errno(libc::ENOMEM));
        }
        match content::mapper() {
            Some(mapper) if flags & libc::MS_SYNC != 0 => mapper.sync(&there.ids),
            _ => Ok(()),
        }
    })())
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn mprotect(
    address: *mut c_void,
    len_bytes: usize,
    protection: c_int,
) -> c_int {
    let result = access(protection).and_then(|wanted| {
        // SAFETY: the program says what it will do with its own memory.
        let changed =
            unsafe { areas::protect(address as usize, len_bytes.next_multiple_of(PAGE), wanted) };
        changed.map_err(|error| match error {
            ProtectError::NoArea => Errno(libc::ENOMEM),
            ProtectError::Forbidden => Errno(libc::EACCES),
        })
    });
    errno::status(result)
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn madvise(address: *mut c_void, len_bytes: usize, advice: c_int) -> c_int {
    if advice == libc::MADV_DONTNEED {
        // SAFETY: the program says that it does not need the content any more; that of files stays in them.
        unsafe { areas::discard(address as usize, len_bytes) };
    }
    0
}

/// Makes a mapping smaller where it is, or larger elsewhere if it may move.
///
/// # Safety
/// The range is a mapping.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn mremap(
    address: *mut c_void,
    old_bytes: usize,
    new_bytes: usize,
    flags: c_int,
) -> *mut c_void {
    let start = address as usize;
    or_failed((|| {
        let (old_bytes, new_bytes) = (pages(start, old_bytes)?, pages(start, new_bytes)?);
        if flags & !libc::MREMAP_MAYMOVE != 0 {
            return Err(Errno(libc::EINVAL));
        }
        if new_bytes <= old_bytes {
            if new_bytes < old_bytes {
                unmap(start + new_bytes, old_bytes - new_bytes);
            }
            return Ok(start);
        }
        if flags & libc::MREMAP_MAYMOVE == 0 {
            return Err(Errno(libc::ENOMEM));
        }
        let is_of_file = areas::source_at(start).is_some();
        match content::mapper().filter(|_| is_of_file) {
            // SAFETY: what is moved is the program's no more.
            Some(mapper) => unsafe { mapper.relocate(start, old_bytes, new_bytes) },
            None => {
                // SAFETY: as above.
                unsafe { areas::relocate(start, old_bytes, new_bytes) }.map_err(no_memory)
            }
        }
    })())
}
