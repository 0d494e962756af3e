//! Files that are mapped (POSIX.1-2017, `mmap`): while any mapping of a file lives, there is one set of pages of it in memory
//! ([`FilePages`]), which all its mappings show. Writing changes them as well as the file; reading looks at them last. So memory and file are one, at
//! once and on all cores.
//!
//! Pages are read when they are mapped, not when they are touched: a page fault can come wherever the kernel touches the program's memory, with
//! locks of file systems held, and then nothing can be read. Holes take no memory until they are touched. A page goes when no mapping shows it any
//! more. What mappings wrote is found by the marks in the page tables, and given to the file by `msync`, `fsync` and `sync`, when the mapping goes, and before
//! file systems are unmounted. What the file did not take (an error of the medium, a full disk) stays, and is tried again at the next of these.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::content::{self, Mapped, Mapper, Mapping};
use super::namespace::Entry;
use super::node::{Node, NodeRef, Part};
use crate::error::{Errno, Result};
use crate::memory::OutOfMemory;
use crate::memory::areas::{self, Source};
use crate::memory::file_pages::FilePages;
use crate::memory::frames::{self, FRAME_BYTES};
use crate::scheduler::SharedTurn;
use crate::sorted_map::SortedMap;
use crate::sync::SpinLock;

const PAGE: u64 = FRAME_BYTES as u64;
/// Pages that are read or written at once.
const RUN: u64 = 16;

/// A file that is mapped.
struct File {
    entry: Arc<Entry>,
    /// See [`Source::id`].
    id: usize,
    state: SharedTurn<State>,
}

struct State {
    pages: FilePages,
    /// Whether it is among the [`FILES`]. What is not is never used again.
    is_mapped: bool,
}

/// The files that are mapped, by the addresses of their nodes, which stay as long as the files are here.
static FILES: SpinLock<SortedMap<usize, Arc<File>>> = SpinLock::new(SortedMap::new());

/// The mapper of files.
pub struct Files;

fn no_memory(_: OutOfMemory) -> Errno {
    Errno(libc::ENOMEM)
}

fn key(node: &NodeRef) -> usize {
    Arc::as_ptr(node).cast::<()>() as usize
}

/// Room for the content of so many pages.
fn room(pages: u64) -> Result<Vec<u8>> {
    let len = pages as usize * FRAME_BYTES;
    let mut room = Vec::new();
    room.try_reserve_exact(len)
        .map_err(|_| Errno(libc::ENOMEM))?;
    room.resize(len, 0);
    Ok(room)
}

/// Reads the parts of a file that are not there yet and not holes into its pages.
pub fn fill(pages: &mut FilePages, node: &dyn Node, range: Range<u64>) -> Result<()> {
    let len = pages.len_bytes();
    let end = range.end.saturating_mul(PAGE).min(len);
    let mut at = range.start.saturating_mul(PAGE);
    let mut buffer = Vec::new();
    while at < end
        && let Some(data) = node.find(Part::Data, at, len)?
    {
        let hole = node.find(Part::Hole, data.max(at), len)?.unwrap_or(len);
        let last = hole.min(end).div_ceil(PAGE);
        let mut page = data.max(at) / PAGE;
        while page < last {
            if pages.has(page) {
                page += 1;
                continue;
            }
            let run = (page + 1..last.min(page + RUN))
                .take_while(|page| !pages.has(*page))
                .count() as u64
                + 1;
            // Memory that cannot be had is an error here, and would be a fault where it is touched.
            let (free_bytes, _) = frames::usage();
            if ((last - page) * PAGE) as usize >= free_bytes {
                return Err(Errno(libc::ENOMEM));
            }
            let run_bytes = run as usize * FRAME_BYTES;
            if buffer.len() < run_bytes {
                buffer = room(run)?;
            }
            let buffer = &mut buffer[..run_bytes];
            let count = read_all(node, page * PAGE, buffer)?;
            for (content, page) in buffer[..count].chunks(FRAME_BYTES).zip(page..) {
                pages.add(page, content).map_err(no_memory)?;
            }
            page += run;
        }
        at = last * PAGE;
    }
    Ok(())
}

/// Reads until the buffer is full, or the file ends.
fn read_all(node: &dyn Node, offset: u64, buffer: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match node.read_at(offset + done as u64, &mut buffer[done..])? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

/// Calls `work` with the parts of `all` that no part of `ranges`, which are sorted, covers.
fn gaps(ranges: &[Range<u64>], mut work: impl FnMut(Range<u64>) -> Result<()>) -> Result<()> {
    let mut from = 0;
    for range in ranges {
        if from < range.start {
            work(from..range.start)?;
        }
        from = from.max(range.end);
    }
    work(from..u64::MAX)
}

impl State {
    /// Gives the file what mappings wrote to pages in a range.
    fn write_back(&mut self, node: &dyn Node, range: Range<u64>) -> Result<()> {
        let mut buffer = Vec::new();
        let mut from = range.start;
        loop {
            let run = self.pages.take_dirty(from..range.end, RUN);
            if run.is_empty() {
                return Ok(());
            }
            let written = (|| {
                if buffer.is_empty() {
                    buffer = room(RUN)?;
                }
                let start = run.start * PAGE;
                // What is behind the end is not the file's.
                let len = self
                    .pages
                    .len_bytes()
                    .min(run.end * PAGE)
                    .saturating_sub(start);
                let data = &mut buffer[..len as usize];
                self.pages.read(start, data);
                let mut done = 0;
                while done < data.len() {
                    match node.write_at(start + done as u64, &data[done..])? {
                        0 => return Err(Errno(libc::ENOSPC)),
                        count => done += count,
                    }
                }
                Ok(())
            })();
            if let Err(error) = written {
                self.pages.mark_dirty(run);
                return Err(error);
            }
            from = run.end;
        }
    }

    /// Gives the file what mappings wrote and do not show any more, and lets go of it.
    fn let_go(&mut self, node: &dyn Node) -> Result<()> {
        self.pages.collect_dirty();
        let mapped = self.pages.mapped();
        gaps(&mapped, |gap| {
            if self
                .pages
                .next(gap.start)
                .is_none_or(|page| page >= gap.end)
            {
                return Ok(());
            }
            self.write_back(node, gap.clone())?;
            self.pages.remove(gap);
            Ok(())
        })?;
        self.is_mapped = !mapped.is_empty();
        Ok(())
    }
}

impl File {
    fn node(&self) -> &NodeRef {
        &self.entry.node
    }

    /// Changes the mapped file behind an entry, which becomes one if it is not.
    fn with<T>(entry: &Arc<Entry>, work: impl Fn(&mut State) -> Result<T>) -> Result<T> {
        let key = key(&entry.node);
        loop {
            let known = FILES.lock().get(&key).cloned();
            if let Some(file) = known {
                match file.change(&work) {
                    Some(result) => return result,
                    None => continue,
                }
            }
            let pages = FilePages::new(0);
            let file = Arc::new(Self {
                entry: entry.clone(),
                id: pages.id(),
                state: SharedTurn::new(State {
                    pages,
                    is_mapped: true,
                }),
            });
            // Whoever finds it waits until its length is known.
            let mut state = file.state.change();
            {
                let mut files = FILES.lock();
                if files.get(&key).is_some() {
                    continue;
                }
                files.insert(key, file.clone());
            }
            content::note_mapped();
            let result = entry.node.metadata().and_then(|facts| {
                state.pages.set_len(facts.len_bytes);
                work(&mut state)
            });
            if result.is_err() {
                file.let_go(&mut state);
            }
            return result;
        }
    }

    /// Changes the file, if it is still mapped.
    fn change<T>(&self, work: impl FnOnce(&mut State) -> Result<T>) -> Option<Result<T>> {
        let mut state = self.state.change();
        if !state.is_mapped {
            return None;
        }
        let result = work(&mut state);
        if result.is_err() {
            self.let_go(&mut state);
        }
        Some(result)
    }

    /// Lets go of what is not mapped any more.
    fn let_go(&self, state: &mut State) {
        if let Err(error) = state.let_go(&**self.node()) {
            let name = self.entry.path();
            let name = alloc::string::String::from_utf8_lossy(&name);
            log::error!("{name}: what a mapping wrote is not in the file yet: {error:?}");
        } else if !state.is_mapped {
            // The caller has one more.
            drop(FILES.lock().remove(&key(self.node())));
        }
    }
}

fn all() -> Vec<Arc<File>> {
    let mut all = Vec::new();
    loop {
        let files = FILES.lock();
        if files.len() <= all.capacity() {
            all.extend(files.iter().map(|(_, file)| file.clone()));
            return all;
        }
        let count = files.len();
        drop(files);
        all.reserve(count);
    }
}

impl Mapped for File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Option<Result<usize>> {
        let state = self.state.look();
        state.is_mapped.then(|| {
            let count = self.node().read_at(offset, buf)?;
            state.pages.read(offset, &mut buf[..count]);
            Ok(count)
        })
    }

    fn write(&self, offset: Option<u64>, data: &[u8]) -> Option<Result<(usize, u64)>> {
        self.change(|state| {
            let pages = &mut state.pages;
            let len = pages.len_bytes();
            let offset = offset.unwrap_or(len);
            let end = offset.saturating_add(data.len() as u64);
            // Pages that mappings show must be there: they could not be read when they are touched.
            for shown in pages.mapped() {
                let first = shown.start.max(offset / PAGE);
                for page in first..shown.end.min(end.div_ceil(PAGE)) {
                    if !pages.has(page) {
                        pages.add(page, &[]).map_err(no_memory)?;
                    }
                }
            }
            let count = self.node().write_at(offset, data)?;
            let end = offset + count as u64;
            if end > len {
                pages.set_len(end);
            }
            pages.write(offset, &data[..count]);
            Ok((count, end))
        })
    }

    fn set_len(&self, len_bytes: u64) -> Option<Result<()>> {
        self.change(|state| {
            self.node().set_len(len_bytes)?;
            state.pages.set_len(len_bytes);
            Ok(())
        })
    }

    fn write_back(&self) -> Result<()> {
        let written = self.change(|state| {
            state.pages.collect_dirty();
            state.write_back(&**self.node(), 0..u64::MAX)?;
            // What stayed because it could not be written goes now.
            self.let_go(state);
            Ok(())
        });
        written.unwrap_or(Ok(()))
    }

    fn refresh(&self, offset: u64, len: usize) {
        let refreshed = self.change(|state| {
            let node = &**self.node();
            state.pages.set_len(node.metadata()?.len_bytes);
            let mut content = Vec::new();
            content
                .try_reserve_exact(len)
                .map_err(|_| Errno(libc::ENOMEM))?;
            content.resize(len, 0);
            let count = read_all(node, offset, &mut content)?;
            state.pages.write(offset, &content[..count]);
            let end = offset.saturating_add(len as u64).div_ceil(PAGE);
            for shown in state.pages.mapped() {
                let range = shown.start.max(offset / PAGE)..shown.end.min(end);
                fill(&mut state.pages, node, range)?;
            }
            Ok::<(), Errno>(())
        });
        if let Some(Err(error)) = refreshed {
            log::error!("a mapping does not show what was written: {error:?}");
        }
    }
}

/// Makes the area of a mapping.
///
/// # Safety
/// 1. Nobody uses the memory at `mapping.address` any more.
unsafe fn place(mapping: &Mapping, source: Source) -> Result<usize> {
    let Mapping {
        len_bytes, access, ..
    } = *mapping;
    match mapping.address {
        None => areas::create_from(len_bytes, access, Some(source)).map_err(no_memory),
        Some(start) => {
            // SAFETY: the caller's promise (1).
            unsafe { areas::replace(start, len_bytes, access, Some(source)) }.map_err(no_memory)?;
            Ok(start)
        }
    }
}

impl Mapper for Files {
    fn find(&self, node: &NodeRef) -> Option<Arc<dyn Mapped>> {
        let file = FILES.lock().get(&key(node))?.clone();
        Some(file)
    }

    unsafe fn map(&self, entry: &Arc<Entry>, mapping: &Mapping) -> Result<usize> {
        let first = mapping.offset / PAGE;
        let count = (mapping.len_bytes / FRAME_BYTES) as u64;
        File::with(entry, |state| {
            fill(&mut state.pages, &*entry.node, first..first + count)?;
            let source = Source::new(&state.pages, first, mapping.is_shared, mapping.may_write);
            // SAFETY: the caller's promise (1).
            unsafe { place(mapping, source) }
        })
    }

    unsafe fn relocate(&self, start: usize, len_bytes: usize, new_bytes: usize) -> Result<usize> {
        let fault = Errno(libc::EFAULT);
        let source = areas::source_at(start).ok_or(fault)?;
        let first = source.first();
        let pages = first..first.saturating_add((new_bytes / FRAME_BYTES) as u64);
        let mut files = all().into_iter().filter(|file| file.id == source.id());
        let file = files.next().ok_or(fault)?;
        let moved = file.change(|state| {
            fill(&mut state.pages, &**file.node(), pages.clone())?;
            // SAFETY: the caller's promise (1).
            unsafe { areas::relocate(start, len_bytes, new_bytes) }.map_err(no_memory)
        });
        moved.unwrap_or(Err(fault))
    }

    fn unmapped(&self, ids: &[usize]) {
        for file in all().iter().filter(|file| ids.contains(&file.id)) {
            let _ = file.change(|state| {
                file.let_go(state);
                Ok(())
            });
        }
    }

    fn sync(&self, ids: &[usize]) -> Result<()> {
        for file in all().iter().filter(|file| ids.contains(&file.id)) {
            file.write_back()?;
            file.node().sync()?;
        }
        Ok(())
    }

    fn write_back_all(&self) -> Result<()> {
        let mut result = Ok(());
        for file in all() {
            result = result.and(file.write_back());
        }
        result
    }
}
