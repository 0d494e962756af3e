//! Areas that show pages of files (POSIX.1-2017, `mmap`). Where the mapping is shared, or is only read, the frames are the file's own; where it is private and can be
//! written, a page is copied when it is first touched.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::{AREAS, Access, Fault, map_own};
use crate::memory::file_pages::{FilePages, Frames, Touched};
use crate::memory::frames::{FRAME_BYTES, Stock};
use crate::memory::paging::{self, PageFlags, Unmapped};
use crate::memory::{OutOfMemory, reserve_stack};

/// What an area shows.
#[derive(Clone)]
pub struct Source {
    frames: Arc<Frames>,
    /// The page of the file at the start of the area.
    first: u64,
    is_shared: bool,
    may_write: bool,
}

impl Source {
    /// The pages of a file from `first` on. What is written to a shared mapping is in the file, if that may be written; what is written to
    /// another one is seen there alone.
    pub fn new(pages: &FilePages, first: u64, is_shared: bool, may_write: bool) -> Self {
        Self {
            frames: pages.frames().clone(),
            first,
            is_shared,
            may_write: may_write || !is_shared,
        }
    }

    /// The page of the file at the start of the area.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Tells apart the files that areas show.
    pub fn id(&self) -> usize {
        id(&self.frames)
    }

    /// The area begins so many bytes later from now on.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.first += (bytes / FRAME_BYTES) as u64;
    }

    pub(super) fn may_become(&self, access: Access) -> bool {
        self.may_write || access != Access::ReadWrite
    }

    /// Whether pages that can be written are copies.
    pub(super) fn is_copied(&self) -> bool {
        !self.is_shared
    }

    /// Maps a page of an area that begins at `start`; the areas are locked.
    pub(super) fn map(&self, start: usize, page: usize, access: Access) -> Result<Fault, Fault> {
        let number = self.first + ((page - start) / FRAME_BYTES) as u64;
        let no_memory = |OutOfMemory| Fault::OutOfMemory;
        let frame = match self.frames.touch(number).map_err(no_memory)? {
            Touched::Frame(frame) => frame,
            Touched::BeyondEnd => return Err(Fault::BeyondEnd),
        };
        if self.is_copied() && access == Access::ReadWrite {
            return map_own(Stock::Common, page, access.flags(), Some(frame)).map_err(no_memory);
        }
        let flags = access.flags() | PageFlags::BORROWED;
        // SAFETY: the page is in an area; the frame is the file's, which unmaps it before it frees it.
        unsafe { paging::map_new(page, frame as u64, flags) }.map_err(no_memory)?;
        Ok(Fault::Mapped)
    }

    /// Has the file know if a page that was unmapped, of an area that begins at `start`, was written to.
    pub(super) fn note_unmapped(&self, start: usize, page: &Unmapped) {
        if page.is_borrowed() && page.is_dirty() {
            self.mark_dirty(start, page.page);
        }
    }

    fn mark_dirty(&self, start: usize, page: usize) {
        let number = ((page - start) / FRAME_BYTES) as u64;
        self.frames.mark_dirty(self.first + number);
    }

    /// The addresses at which an area shows some of the pages.
    fn addresses(&self, start: usize, end: usize, pages: &Range<u64>) -> Range<usize> {
        let address = |page: u64| {
            let bytes = page
                .saturating_sub(self.first)
                .saturating_mul(FRAME_BYTES as u64);
            usize::try_from(bytes).map_or(end, |bytes| start.saturating_add(bytes).min(end))
        };
        address(pages.start)..address(pages.end)
    }
}

fn id(frames: &Arc<Frames>) -> usize {
    Arc::as_ptr(frames) as usize
}

/// Calls `work` with each area that shows a file: its start, end and source. The areas are locked.
fn each(frames: &Arc<Frames>, mut work: impl FnMut(usize, usize, &Source)) {
    reserve_stack::<{ 4 * FRAME_BYTES }>();
    let areas = AREAS.lock();
    for (&start, area) in &areas.map {
        if let Some(source) = &area.source
            && Arc::ptr_eq(&source.frames, frames)
        {
            work(start, area.end, source);
        }
    }
}

/// Unmaps pages of a file wherever they are shown (copies of them are not the file's); whether other cores may remember one.
pub(in crate::memory) fn unmap_pages(frames: &Arc<Frames>, pages: Range<u64>) -> bool {
    let mut has_any = false;
    each(frames, |start, end, source| {
        let range = source.addresses(start, end, &pages);
        has_any |= paging::give_back(range.start, range.end);
    });
    has_any
}

/// Asks all areas that show a file which pages were written to since the last call, and marks them; whether other cores may remember that they are
/// marked.
pub(in crate::memory) fn collect_dirty(frames: &Arc<Frames>) -> bool {
    let mut has_any = false;
    each(frames, |start, end, source| {
        paging::take_dirty(start, end, |page| {
            source.mark_dirty(start, page);
            has_any = true;
        });
    });
    has_any
}

/// The pages of a file that areas show, sorted, none twice.
pub(in crate::memory) fn pages_shown(frames: &Arc<Frames>) -> Vec<Range<u64>> {
    let mut shown: Vec<Range<u64>> = Vec::new();
    let mut wanted = 0;
    loop {
        let mut count = 0;
        each(frames, |start, end, source| {
            count += 1;
            // Memory is not asked for with the lock held.
            if shown.len() < shown.capacity() {
                let pages = ((end - start) / FRAME_BYTES) as u64;
                shown.push(source.first..source.first.saturating_add(pages));
            }
        });
        if count == shown.len() {
            break;
        }
        wanted = count.max(wanted);
        shown.clear();
        shown.reserve(wanted);
    }
    shown.sort_unstable_by_key(|range| range.start);
    shown.dedup_by(|next, last| {
        let is_joined = next.start <= last.end;
        if is_joined {
            last.end = last.end.max(next.end);
        }
        is_joined
    });
    shown
}

/// What the area that contains an address shows, beginning there.
pub fn source_at(address: usize) -> Option<Source> {
    reserve_stack::<{ 4 * FRAME_BYTES }>();
    let areas = AREAS.lock();
    let (start, area) = areas.containing(address)?;
    let mut source = area.source.clone()?;
    source.skip(address - start);
    Some(source)
}

/// What is in a range of addresses.
pub struct Shown {
    /// Which files areas show there (see [`Source::id`]), none twice.
    pub ids: Vec<usize>,
    /// Areas cover all of it.
    pub is_covered: bool,
    /// No area is there.
    pub is_free: bool,
}

/// What is in a range of addresses.
pub fn ids_in(start: usize, len_bytes: usize) -> Shown {
    let end = start.saturating_add(len_bytes);
    let mut shown = Shown {
        ids: Vec::new(),
        is_covered: true,
        is_free: true,
    };
    let mut from = start;
    while from < end {
        let found = {
            reserve_stack::<{ 4 * FRAME_BYTES }>();
            let areas = AREAS.lock();
            let first = areas.containing(from).map(|(first, _)| first);
            shown.is_covered &= first.is_some();
            let mut rest = areas.map.range(first.unwrap_or(from)..end);
            rest.next()
                .map(|(_, area)| (area.end, area.source.as_ref().map(Source::id)))
        };
        let Some((reached, id)) = found else { break };
        shown.is_free = false;
        if let Some(id) = id
            && !shown.ids.contains(&id)
        {
            shown.ids.push(id);
        }
        from = reached;
    }
    shown
}
