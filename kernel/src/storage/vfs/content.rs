//! The content of files, mapped or not: what reads and writes files goes through here. A file that is mapped (mmap) has pages in memory, which
//! mappings change without a word; so reading looks there, and writing changes both ([`super::mapped`]). For all other files, and where nothing can be
//! mapped, a node is asked itself, and one load tells.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use super::namespace::Entry;
use super::node::{NodeRef, Part};
use crate::error::Result;
use crate::memory::areas::Access;
use crate::sync::OnceCell;

/// A file that is mapped. Its functions are those of [`super::node::Node`]; `None` where it is not mapped any more.
pub trait Mapped: Send + Sync {
    /// Reads from byte `offset` on.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Option<Result<usize>>;
    /// Writes at byte `offset`, or at the end; how much, and where that ends.
    fn write(&self, offset: Option<u64>, data: &[u8]) -> Option<Result<(usize, u64)>>;
    /// Sets the length.
    fn set_len(&self, len_bytes: u64) -> Option<Result<()>>;
    /// Gives the file what mappings wrote.
    fn write_back(&self) -> Result<()>;
    /// Somebody changed the file, maybe without knowing that it is mapped: its length and so many bytes from `offset` on.
    fn refresh(&self, offset: u64, len: usize);
}

/// What a mapping is to be.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// First byte in the file: a multiple of the length of a page.
    pub offset: u64,
    /// Its length, in whole pages.
    pub len_bytes: usize,
    /// Where it is to be, in place of what is there.
    pub address: Option<usize>,
    /// What the program may do.
    pub access: Access,
    /// What is written to it is in the file.
    pub is_shared: bool,
    /// If it is shared, it may be written to.
    pub may_write: bool,
}

/// How files are mapped, where the program can have some.
pub trait Mapper: Sync {
    /// The file behind a node, if it is mapped.
    fn find(&self, node: &NodeRef) -> Option<Arc<dyn Mapped>>;
    /// Maps a file, and gives the address.
    ///
    /// # Errors
    /// `ENOMEM`, or why the file cannot be read.
    ///
    /// # Safety
    /// 1. Nobody uses the memory at `mapping.address` any more.
    unsafe fn map(&self, entry: &Arc<Entry>, mapping: &Mapping) -> Result<usize>;
    /// Moves a mapping to where it can be longer, and gives the address.
    ///
    /// # Errors
    /// As [`Mapper::map`], and `EFAULT` when there is no such mapping.
    ///
    /// # Safety
    /// 1. Nobody uses the memory at its old address any more.
    unsafe fn relocate(&self, start: usize, len_bytes: usize, new_bytes: usize) -> Result<usize>;
    /// Mappings of these files (see [`crate::memory::areas::ids_in`]) have gone: what is not mapped any more goes to the file.
    fn unmapped(&self, ids: &[usize]);
    /// Returns when what mappings of these files wrote is on the medium.
    ///
    /// # Errors
    /// Why the file could not be written.
    fn sync(&self, ids: &[usize]) -> Result<()>;
    /// Gives all files what mappings wrote.
    ///
    /// # Errors
    /// The first error; the other files are written all the same.
    fn write_back_all(&self) -> Result<()>;
}

static MAPPER: OnceCell<&'static dyn Mapper> = OnceCell::new();
/// How many files have become mapped so far.
static MAPPED_SO_FAR: AtomicU64 = AtomicU64::new(0);

/// Has files mapped by this one. Who can have files calls it, so that a program without them has none of its code.
pub fn set_mapper(mapper: &'static dyn Mapper) {
    let _ = MAPPER.set(mapper);
}

/// The mapper, if there is one.
pub fn mapper() -> Option<&'static dyn Mapper> {
    MAPPER.get().copied()
}

/// A file is mapped from now on, and found by [`Mapper::find`]; its content is looked at after this.
pub(super) fn note_mapped() {
    MAPPED_SO_FAR.fetch_add(1, Ordering::SeqCst);
}

fn mapped_so_far() -> u64 {
    MAPPED_SO_FAR.load(Ordering::SeqCst)
}

fn find(node: &NodeRef) -> Option<Arc<dyn Mapped>> {
    match mapped_so_far() {
        0 => None,
        _ => mapper()?.find(node),
    }
}

/// Asks the pages if the file is mapped.
fn if_mapped<T>(node: &NodeRef, ask: impl Fn(&dyn Mapped) -> Option<T>) -> Option<T> {
    // It may stop to be mapped, and be mapped again.
    while let Some(mapped) = find(node) {
        let answer = ask(&*mapped);
        if answer.is_some() {
            return answer;
        }
    }
    None
}

/// Changes a file that is not mapped: if it becomes so meanwhile, its pages may have been read before.
fn change<T>(
    node: &NodeRef,
    work: impl FnOnce() -> Result<T>,
    changed: impl FnOnce(&T) -> (u64, usize),
) -> Result<T> {
    let before = mapped_so_far();
    let result = work()?;
    if mapped_so_far() != before
        && let Some(mapped) = find(node)
    {
        let (offset, len) = changed(&result);
        mapped.refresh(offset, len);
    }
    Ok(result)
}

/// As [`super::node::Node::read_at`].
///
/// # Errors
/// See there.
pub fn read_at(node: &NodeRef, offset: u64, buf: &mut [u8]) -> Result<usize> {
    while let Some(mapped) = find(node) {
        if let Some(result) = mapped.read_at(offset, buf) {
            return result;
        }
    }
    node.read_at(offset, buf)
}

/// As [`super::node::Node::find`].
///
/// # Errors
/// See there.
pub fn find_part(node: &NodeRef, part: Part, offset: u64, len_bytes: u64) -> Result<Option<u64>> {
    // What a mapping wrote to a hole is none.
    write_back(node)?;
    node.find(part, offset, len_bytes)
}

/// As [`super::node::Node::write_at`].
///
/// # Errors
/// See there.
pub fn write_at(node: &NodeRef, offset: u64, data: &[u8]) -> Result<usize> {
    if let Some(result) = if_mapped(node, |mapped| mapped.write(Some(offset), data)) {
        return result.map(|(count, _)| count);
    }
    change(
        node,
        || node.write_at(offset, data),
        |&count| (offset, count),
    )
}

/// As [`super::node::Node::append`].
///
/// # Errors
/// See there.
pub fn append(node: &NodeRef, data: &[u8]) -> Result<(usize, u64)> {
    if let Some(result) = if_mapped(node, |mapped| mapped.write(None, data)) {
        return result;
    }
    let range = |&(count, end): &(usize, u64)| (end.saturating_sub(count as u64), count);
    change(node, || node.append(data), range)
}

/// As [`super::node::Node::set_len`].
///
/// # Errors
/// See there.
pub fn set_len(node: &NodeRef, len_bytes: u64) -> Result<()> {
    if let Some(result) = if_mapped(node, |mapped| mapped.set_len(len_bytes)) {
        return result;
    }
    change(node, || node.set_len(len_bytes), |()| (len_bytes, 0))
}

fn write_back(node: &NodeRef) -> Result<()> {
    find(node).map_or(Ok(()), |mapped| mapped.write_back())
}

/// As [`super::node::Node::sync`].
///
/// # Errors
/// See there.
pub fn sync(node: &NodeRef) -> Result<()> {
    write_back(node)?;
    node.sync()
}

/// Gives all files what mappings wrote.
///
/// # Errors
/// The first error; the other files are written all the same.
pub fn write_back_all() -> Result<()> {
    mapper().map_or(Ok(()), |mapper| mapper.write_back_all())
}
