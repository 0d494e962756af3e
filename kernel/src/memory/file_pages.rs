//! The content of a file in memory, as far as it is mapped: a frame for each page that is there, which all mappings of the file share.
//!
//! [`FilePages`] belongs to who reads and writes the file (`storage/vfs/mapped.rs`). The areas that show the pages know the [`Frames`] in it, and map
//! them when they are touched ([`super::areas`]). What is not there is zeros, which get a frame when they are touched; behind the end of the file
//! there is nothing.
//!
//! The frames lie in a tree of tables as page tables are, so that large files with holes take little and a page fault, which must not use the heap,
//! can add one.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::areas;
use super::frames::{self, FRAME_BYTES, FrameInfo};
use super::{OutOfMemory, reserve_stack};
use crate::arch::x86_64::tlb;
use crate::sync::SpinLock;

const FRAME_BYTES_U64: u64 = FRAME_BYTES as u64;
/// Bits of a page's number that one table stands for.
const TABLE_BITS: u32 = 9;
const TABLE_LEN: u64 = 1 << TABLE_BITS;
/// Tables above each other, at most: pages of 2^48 bytes.
const MAX_HEIGHT: u32 = 4;
/// In the entry of a page: it was written to by a mapping, and the file does not know.
const DIRTY: u64 = 1;

type Table = [u64; TABLE_LEN as usize];

/// The pages of a file that are in memory. Its owner alone reads, adds and removes them.
pub struct FilePages {
    frames: Arc<Frames>,
}

/// What areas know of it.
pub struct Frames {
    tree: SpinLock<Tree>,
}

struct Tree {
    /// The topmost table.
    root: *mut Table,
    /// How many tables lie above each other; 0 while there is none.
    height: u32,
    /// Of the file.
    len_bytes: u64,
}

// SAFETY: the tables belong to the tree alone.
unsafe impl Send for Tree {}

/// What a page of a file is found to be when it is touched.
pub(super) enum Touched {
    /// The frame that has it.
    Frame(usize),
    /// Behind the end of the file.
    BeyondEnd,
}

impl Tree {
    /// The entry of a page, if there are tables for it.
    fn entry(&mut self, page: u64) -> Option<&mut u64> {
        if self.height == 0 || page >> (self.height * TABLE_BITS) != 0 {
            return None;
        }
        let mut table = self.root;
        for level in (1..self.height).rev() {
            // SAFETY: the index is less than the length, and the table is ours.
            let next = unsafe { (*table)[index(page, level)] };
            if next == 0 {
                return None;
            }
            table = next as *mut Table;
        }
        // SAFETY: as above; borrowed as long as the tree.
        Some(unsafe { &mut (*table)[index(page, 0)] })
    }

    /// The entry of a page, with tables made for it.
    fn new_entry(&mut self, page: u64) -> Result<&mut u64, OutOfMemory> {
        while self.height == 0 || page >> (self.height * TABLE_BITS) != 0 {
            if self.height == MAX_HEIGHT {
                return Err(OutOfMemory);
            }
            let table = new_frame()? as *mut Table;
            if self.height != 0 {
                // SAFETY: the new table is ours.
                unsafe { (*table)[0] = self.root as u64 };
            }
            self.root = table;
            self.height += 1;
        }
        let mut table = self.root;
        for level in (1..self.height).rev() {
            // SAFETY: the index is less than the length, and the table is ours.
            let next = unsafe { &mut (*table)[index(page, level)] };
            if *next == 0 {
                *next = new_frame()? as u64;
            }
            table = *next as *mut Table;
        }
        // SAFETY: as above; borrowed as long as the tree.
        Ok(unsafe { &mut (*table)[index(page, 0)] })
    }

    /// The first page from `page` on that is there, with its entry.
    fn next(&mut self, mut page: u64) -> Option<(u64, &mut u64)> {
        'search: loop {
            if self.height == 0 || page >> (self.height * TABLE_BITS) != 0 {
                return None;
            }
            let mut table = self.root;
            for level in (1..self.height).rev() {
                // SAFETY: the index is less than the length, and the table is ours.
                let next = unsafe { (*table)[index(page, level)] };
                if next == 0 {
                    page = ((page >> (level * TABLE_BITS)) + 1) << (level * TABLE_BITS);
                    continue 'search;
                }
                table = next as *mut Table;
            }
            for at in index(page, 0)..TABLE_LEN as usize {
                // SAFETY: as above; borrowed as long as the tree.
                let entry = unsafe { &mut (*table)[at] };
                if *entry != 0 {
                    return Some((page & !(TABLE_LEN - 1) | at as u64, entry));
                }
            }
            page = (page | (TABLE_LEN - 1)) + 1;
        }
    }

    fn end(&self) -> u64 {
        self.len_bytes.div_ceil(FRAME_BYTES_U64)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // SAFETY: the tables and pages are the tree's, and nobody has the tree any more.
        unsafe { free_table(self.root, self.height) };
    }
}

/// Frees a table and all that it leads to.
///
/// # Safety
/// 1. It is a table of this height, and nobody uses what it leads to any more.
unsafe fn free_table(table: *mut Table, height: u32) {
    if height == 0 {
        return;
    }
    for at in 0..TABLE_LEN as usize {
        // SAFETY: the caller's promise (1).
        let entry = unsafe { (*table)[at] };
        if entry != 0 && height > 1 {
            // SAFETY: as above.
            unsafe { free_table(entry as *mut Table, height - 1) };
        } else if entry != 0 {
            // SAFETY: as above.
            unsafe { frames::free(frame_of(entry), 1) };
        }
    }
    // SAFETY: as above.
    unsafe { frames::free(table as usize, 1) };
}

fn index(page: u64, level: u32) -> usize {
    (page >> (level * TABLE_BITS) & (TABLE_LEN - 1)) as usize
}

fn frame_of(entry: u64) -> usize {
    (entry & !(FRAME_BYTES_U64 - 1)) as usize
}

/// A frame of zeros.
fn new_frame() -> Result<usize, OutOfMemory> {
    let frame = frames::allocate(1, usize::MAX, FrameInfo::Other)?;
    // SAFETY: a frame of our own, mapped one to one.
    unsafe { core::ptr::write_bytes(frame as *mut u8, 0, FRAME_BYTES) };
    Ok(frame)
}

impl Frames {
    fn with<R>(&self, work: impl FnOnce(&mut Tree) -> R) -> R {
        // A page fault takes this lock.
        reserve_stack::<{ 2 * FRAME_BYTES }>();
        work(&mut self.tree.lock())
    }

    /// The frame of a page that a mapping touches. One that is not there is zeros.
    pub(super) fn touch(&self, page: u64) -> Result<Touched, OutOfMemory> {
        self.with(|tree| {
            if page >= tree.end() {
                return Ok(Touched::BeyondEnd);
            }
            let entry = tree.new_entry(page)?;
            if *entry == 0 {
                *entry = new_frame()? as u64;
            }
            Ok(Touched::Frame(frame_of(*entry)))
        })
    }

    /// Notes that a mapping has written to a page.
    pub(super) fn mark_dirty(&self, page: u64) {
        self.with(|tree| {
            if let Some(entry) = tree.entry(page).filter(|entry| **entry != 0) {
                *entry |= DIRTY;
            }
        });
    }
}

impl FilePages {
    /// Of a file of this length, none of whose pages is there.
    pub fn new(len_bytes: u64) -> Self {
        let tree = Tree {
            root: core::ptr::null_mut(),
            height: 0,
            len_bytes,
        };
        Self {
            frames: Arc::new(Frames {
                tree: SpinLock::new(tree),
            }),
        }
    }

    /// Tells apart the files that areas show.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.frames) as usize
    }

    /// What an area needs to show them.
    pub(super) fn frames(&self) -> &Arc<Frames> {
        &self.frames
    }

    /// Length of the file in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.frames.with(|tree| tree.len_bytes)
    }

    /// Whether a page is there.
    pub fn has(&self, page: u64) -> bool {
        self.frame(page).is_some()
    }

    fn frame(&self, page: u64) -> Option<usize> {
        self.frames.with(|tree| {
            let entry = tree.entry(page).filter(|entry| **entry != 0)?;
            Some(frame_of(*entry))
        })
    }

    /// Adds a page that is not there, with this content (at most a page) and zeros behind it.
    ///
    /// # Errors
    /// When there is no memory for it, or it is farther than files can be mapped.
    pub fn add(&mut self, page: u64, content: &[u8]) -> Result<(), OutOfMemory> {
        let frame = new_frame()?;
        let len = content.len().min(FRAME_BYTES);
        // SAFETY: a frame of our own, mapped one to one, and at most its length.
        unsafe { core::ptr::copy_nonoverlapping(content.as_ptr(), frame as *mut u8, len) };
        let unused = self.frames.with(|tree| match tree.new_entry(page) {
            Ok(entry) if *entry == 0 => {
                *entry = frame as u64;
                None
            }
            Ok(_) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        });
        let Some(result) = unused else {
            return Ok(());
        };
        // SAFETY: it was not taken.
        unsafe { frames::free(frame, 1) };
        result
    }

    /// Copies from the pages that are there to where they belong in `buf`, which begins at byte `offset` of the file.
    pub fn read(&self, offset: u64, buf: &mut [u8]) {
        self.each(offset, buf.len(), |at, place, len| {
            let buf = &mut buf[at..at + len];
            // SAFETY: the frame stays while the pages are borrowed. A mapping may be written to just now, as memory that programs share always
            // may; the bytes have no invariant.
            unsafe { core::ptr::copy(place, buf.as_mut_ptr(), len) };
        });
    }

    /// Copies to the pages that are there what belongs there of `data`, which begins at byte `offset` of the file.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        self.each(offset, data.len(), |at, place, len| {
            // SAFETY: as for reading.
            unsafe { core::ptr::copy(data[at..at + len].as_ptr(), place, len) };
        });
    }

    /// Calls `work` with each part of a range of bytes whose page is there: where it begins in the range, its memory, and how long it is. No lock is
    /// held: what is copied may have to be mapped first.
    fn each(&self, offset: u64, len: usize, mut work: impl FnMut(usize, *mut u8, usize)) {
        let end = offset.saturating_add(len as u64);
        let mut from = offset;
        while from < end {
            let next = self.frames.with(|tree| {
                let (page, entry) = tree.next(from / FRAME_BYTES_U64)?;
                Some((page, frame_of(*entry)))
            });
            let Some((page, frame)) = next else { break };
            let start = from.max(page * FRAME_BYTES_U64);
            let stop = end.min((page + 1) * FRAME_BYTES_U64);
            if start >= stop {
                break;
            }
            let within = (start % FRAME_BYTES_U64) as usize;
            let place = (frame + within) as *mut u8;
            work((start - offset) as usize, place, (stop - start) as usize);
            from = stop;
        }
    }

    /// The file has another length: what is behind it goes, in mappings too, and reads as zeros if the file grows.
    pub fn set_len(&mut self, len_bytes: u64) {
        const ZEROS: [u8; FRAME_BYTES] = [0; FRAME_BYTES];
        let old = self
            .frames
            .with(|tree| core::mem::replace(&mut tree.len_bytes, len_bytes));
        // What mappings wrote behind the end is not in the file.
        let end = old.min(len_bytes);
        let rest = end.next_multiple_of(FRAME_BYTES_U64) - end;
        self.write(end, &ZEROS[..rest as usize]);
        if len_bytes < old {
            self.remove(len_bytes.div_ceil(FRAME_BYTES_U64)..u64::MAX);
        }
    }

    /// Removes pages, from mappings too. What was written to them is lost.
    pub fn remove(&mut self, pages: Range<u64>) {
        const BATCH: usize = 128;
        let mut from = pages.start;
        loop {
            let mut batch = [0; BATCH];
            let mut count = 0;
            let first = from;
            self.frames.with(|tree| {
                while count < BATCH
                    && let Some((page, entry)) = tree.next(from)
                    && page < pages.end
                {
                    batch[count] = frame_of(core::mem::take(entry));
                    count += 1;
                    from = page + 1;
                }
            });
            if count == 0 {
                return;
            }
            // A page fault that found a frame before has mapped it by now, and one that comes later finds none.
            if areas::unmap_pages(&self.frames, first..from) {
                tlb::flush_other_cores();
            }
            for &frame in &batch[..count] {
                // SAFETY: it is neither in the tree nor mapped, and nobody reads the pages while they are borrowed mutably.
                unsafe { frames::free(frame, 1) };
            }
        }
    }

    /// Asks the mappings which pages were written to. What is written from now on will be in the next answer.
    pub fn collect_dirty(&mut self) {
        if areas::collect_dirty(&self.frames) {
            tlb::flush_other_cores();
        }
    }

    /// Takes the mark of dirty pages in a range that follow each other, the first there are, at most `max` of them.
    pub fn take_dirty(&mut self, pages: Range<u64>, max: u64) -> Range<u64> {
        self.frames.with(|tree| {
            let mut from = pages.start;
            let mut found = 0..0;
            while let Some((page, entry)) = tree.next(from)
                && page < pages.end
            {
                let is_dirty = *entry & DIRTY != 0;
                if found.is_empty() && is_dirty {
                    found = page..page + 1;
                } else if !found.is_empty() {
                    if !is_dirty || page != found.end || page - found.start == max {
                        break;
                    }
                    found.end += 1;
                }
                *entry &= !DIRTY;
                from = page + 1;
            }
            found
        })
    }

    /// Marks pages that are there as dirty.
    pub fn mark_dirty(&mut self, pages: Range<u64>) {
        for page in pages {
            self.frames.mark_dirty(page);
        }
    }

    /// The first page from `page` on that is there.
    pub fn next(&self, page: u64) -> Option<u64> {
        self.frames.with(|tree| Some(tree.next(page)?.0))
    }

    /// The pages that areas show, sorted, none twice.
    pub fn mapped(&self) -> Vec<Range<u64>> {
        areas::pages_shown(&self.frames)
    }
}
