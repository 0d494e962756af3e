//! Virtual memory areas: stacks and program mappings, which get their frames at the first touch.
//!
//! Each area is surrounded by at least one page that is never mapped. A page fault inside an area maps a frame
//! ([`on_page_fault`]); any other one is an error of the program. The frames are the area's own, or those of a file that it shows
//! ([`files`]), which are never freed here.
//!
//! A page fault can happen wherever kernel code touches a new page of its stack. So the locks that the fault handler takes (of this
//! module, the page tables and the frames) are only taken after [`super::reserve_stack`] has touched enough stack for what is done under them: most here, less in `paging`, least in `frames`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::frames::{self, FRAME_BYTES, FrameInfo, Stock};
use super::paging::{self, AREAS_END, AREAS_START, PageFlags, Unmapped};
use super::{OutOfMemory, reserve_stack};
use crate::arch::x86_64::tlb;
use crate::sync::SpinLock;

mod files;

pub use files::{Shown, Source, ids_in, source_at};
pub(super) use files::{collect_dirty, pages_shown, unmap_pages};

/// What may be done with an area's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Nothing: every touch is an error.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
    /// Reading and executing.
    Execute,
}

impl Access {
    fn flags(self) -> PageFlags {
        match self {
            Self::None => PageFlags::empty(),
            Self::Read => paging::READ_ONLY,
            Self::ReadWrite => paging::DATA,
            Self::Execute => paging::CODE,
        }
    }
}

#[derive(Clone)]
struct Area {
    end: usize,
    access: Access,
    /// The file whose pages it shows.
    source: Option<Source>,
}

/// Addresses for areas of one kind: small ones and large ones have places of their own, so that each find the room that their like left.
/// Addresses are used again before new ones, for each 2 MiB of addresses that were ever touched cost a page table.
struct Zone {
    start: usize,
    end: usize,
    /// Where the search for room starts: not far below the lowest room that was left.
    next: usize,
}

/// Where an area of the program's own memory is.
#[derive(Clone, Copy)]
struct Own {
    start: usize,
    end: usize,
    access: Access,
}

struct Areas {
    map: BTreeMap<usize, Area>,
    /// The area that was made or touched last, as long as nothing has changed since and it shows no file: its first page is touched next.
    recent: Option<Own>,
    zones: [Zone; 2],
}

/// Areas of this size and more are large.
const LARGE_BYTES: usize = 1 << 20;
/// Where the zone of large areas begins.
const LARGE_START: usize = AREAS_START * 2;

static AREAS: SpinLock<Areas> = SpinLock::new(Areas {
    map: BTreeMap::new(),
    recent: None,
    zones: [
        Zone {
            start: AREAS_START,
            end: LARGE_START,
            next: AREAS_START,
        },
        Zone {
            start: LARGE_START,
            end: AREAS_END,
            next: LARGE_START,
        },
    ],
});

impl Areas {
    fn containing(&self, address: usize) -> Option<(usize, &Area)> {
        let (&start, area) = self.map.range(..=address).next_back()?;
        (address < area.end).then_some((start, area))
    }

    /// Access of the area that was touched last, if it contains an address.
    fn recent_access(&self, address: usize) -> Option<Access> {
        let own = self.recent?;
        (own.start..own.end)
            .contains(&address)
            .then_some(own.access)
    }

    /// Access of the area of the program's own memory that contains an address. If one that shows a file does, its page is mapped.
    fn touched(&mut self, address: usize, page: usize, is_write: bool) -> Result<Access, Fault> {
        let (start, area) = self.containing(address).ok_or(Fault::Invalid)?;
        let (end, access) = (area.end, area.access);
        match &area.source {
            Some(_) if !is_allowed(access, is_write) => Err(Fault::Invalid),
            // With the areas locked: a page that goes is taken from the file first, then from areas.
            Some(source) => Err(source
                .map(start, page, access)
                .unwrap_or_else(|fault| fault)),
            None => {
                self.recent = Some(Own { start, end, access });
                Ok(access)
            }
        }
    }

    /// The areas, to change them.
    fn changed(&mut self) -> &mut BTreeMap<usize, Area> {
        self.recent = None;
        &mut self.map
    }

    /// Splits the area that contains an address, if one does, so that an area begins there.
    fn split_at(&mut self, address: usize) {
        if let Some((&first, area)) = self.changed().range_mut(..address).next_back()
            && address < area.end
        {
            let mut rest = area.clone();
            area.end = address;
            if let Some(source) = &mut rest.source {
                source.skip(address - first);
            }
            self.map.insert(address, rest);
        }
    }

    /// Takes out what areas begin in a range.
    fn take(&mut self, start: usize, end: usize) {
        while let Some((&first, _)) = self.map.range(start..end).next() {
            self.changed().remove(&first);
            self.leave_room(first);
        }
    }

    /// Finds room for `len_bytes` bytes and an unmapped page on each side.
    fn find_room(&mut self, len_bytes: usize) -> Option<usize> {
        let needed = len_bytes.checked_add(2 * FRAME_BYTES)?;
        let zone = &mut self.zones[usize::from(len_bytes >= LARGE_BYTES)];
        for from in [zone.next, zone.start] {
            let mut start = from;
            while start.checked_add(needed)? <= zone.end {
                match self.map.range(..start + needed).next_back() {
                    Some((_, area)) if area.end + FRAME_BYTES > start => {
                        start = area.end + FRAME_BYTES
                    }
                    _ => {
                        zone.next = start + needed - FRAME_BYTES;
                        return Some(start + FRAME_BYTES);
                    }
                }
            }
        }
        None
    }

    /// Notes that there is room from `start` on.
    fn leave_room(&mut self, start: usize) {
        let zone = &mut self.zones[usize::from(start >= LARGE_START)];
        zone.next = zone.next.min(start - FRAME_BYTES);
    }

    /// Removes the areas of a range if they fill it exactly and no page of theirs was ever touched; whether that was so.
    fn remove_untouched(&mut self, start: usize, end: usize) -> bool {
        let mut at = start;
        while at < end {
            match self.map.get(&at) {
                Some(area) if area.end <= end && area.source.is_none() => at = area.end,
                _ => return false,
            }
        }
        if paging::has_frames(start, end) {
            return false;
        }
        let mut at = start;
        while let Some(area) = (at < end).then(|| self.changed().remove(&at)).flatten() {
            at = area.end;
        }
        self.leave_room(start);
        true
    }
}

/// Reserves an area of `len_bytes` bytes (rounded up to pages) and gives its address. Frames come at the first touch, zeroed.
///
/// # Errors
/// When there are no addresses, or no memory to note the area.
pub fn create(len_bytes: usize, access: Access) -> Result<usize, OutOfMemory> {
    create_from(len_bytes, access, None)
}

/// As [`create`], of an area that shows pages of a file.
///
/// # Errors
/// As [`create`].
pub fn create_from(
    len_bytes: usize,
    access: Access,
    source: Option<Source>,
) -> Result<usize, OutOfMemory> {
    let len_bytes = len_bytes
        .checked_next_multiple_of(FRAME_BYTES)
        .filter(|&l| l != 0)
        .ok_or(OutOfMemory)?;
    reserve_stack::<{ 4 * FRAME_BYTES }>();
    let mut areas = AREAS.lock();
    let start = areas.find_room(len_bytes).ok_or(OutOfMemory)?;
    let is_own = source.is_none();
    areas.changed().insert(
        start,
        Area {
            end: start + len_bytes,
            access,
            source,
        },
    );
    areas.recent = is_own.then_some(Own {
        start,
        end: start + len_bytes,
        access,
    });
    Ok(start)
}

/// Makes a new area of a range (in whole pages), in place of whatever areas were there.
///
/// # Errors
/// When the range is not where areas are.
///
/// # Safety
/// 1. Nobody uses the memory any more that is there.
pub unsafe fn replace(
    start: usize,
    len_bytes: usize,
    access: Access,
    source: Option<Source>,
) -> Result<(), OutOfMemory> {
    let end = start.checked_add(len_bytes).ok_or(OutOfMemory)?;
    if start < AREAS_START + FRAME_BYTES || end > AREAS_END - FRAME_BYTES || start >= end {
        return Err(OutOfMemory);
    }
    // SAFETY: the caller's promise (1).
    unsafe { empty(&[(start, len_bytes)]) };
    reserve_stack::<{ 4 * FRAME_BYTES }>();
    let mut areas = AREAS.lock();
    areas.take(start, end);
    areas.changed().insert(
        start,
        Area {
            end,
            access,
            source,
        },
    );
    Ok(())
}

/// Moves an area, or a part of one, with its content to where there is room for `new_bytes`, and gives the address.
///
/// # Errors
/// When the range is not in one area, or there is no room for the new one.
///
/// # Safety
/// 1. Nobody uses the memory by its old address any more.
pub unsafe fn relocate(
    start: usize,
    len_bytes: usize,
    new_bytes: usize,
) -> Result<usize, OutOfMemory> {
    let end = start.checked_add(len_bytes).ok_or(OutOfMemory)?;
    reserve_stack::<{ 4 * FRAME_BYTES }>();
    let new = {
        let mut areas = AREAS.lock();
        areas.split_at(start);
        areas.split_at(end);
        let area = areas.map.get(&start).filter(|area| area.end == end);
        let area = area.cloned().ok_or(OutOfMemory)?;
        let new = areas.find_room(new_bytes).ok_or(OutOfMemory)?;
        // SAFETY: the caller's promise (1); nobody knows the new area yet, and it is larger.
        unsafe { paging::relocate(start, end, new)? };
        areas.changed().insert(
            new,
            Area {
                end: new + new_bytes,
                ..area
            },
        );
        new
    };
    tlb::flush_other_cores();
    reserve_stack::<{ 4 * FRAME_BYTES }>();
    AREAS.lock().take(start, end);
    Ok(new)
}

/// Makes a readable and writable area whose frames are all there.
///
/// # Errors
/// When there are not enough frames.
pub fn create_backed(len_bytes: usize) -> Result<usize, OutOfMemory> {
    let start = create(len_bytes, Access::ReadWrite)?;
    for page in (start..start + len_bytes).step_by(FRAME_BYTES) {
        if on_page_fault(Stock::Common, page, true, false) != Fault::Mapped {
            // SAFETY: nobody else knows the area yet.
            unsafe { remove(&[(start, len_bytes)]) };
            return Err(OutOfMemory);
        }
    }
    Ok(start)
}

/// Length in bytes of the area that begins at an address; 0 if none does.
pub fn len_bytes(start: usize) -> usize {
    reserve_stack::<{ 4 * FRAME_BYTES }>();
    AREAS
        .lock()
        .map
        .get(&start)
        .map_or(0, |area| area.end - start)
}

/// All areas: start, end and rights.
pub fn list() -> Vec<(usize, usize, Access)> {
    let mut list = Vec::new();
    loop {
        reserve_stack::<{ 4 * FRAME_BYTES }>();
        let areas = AREAS.lock();
        let count = areas.map.len();
        if count <= list.capacity() {
            let all = areas.map.iter();
            list.extend(all.map(|(start, area)| (*start, area.end, area.access)));
            return list;
        }
        // Memory is not asked for with the lock held.
        drop(areas);
        list.reserve(count);
    }
}

/// Removes whatever areas, or parts of areas, are in the ranges (address and length in bytes), and frees their frames.
///
/// # Safety
/// 1. Nobody uses the memory any more.
pub unsafe fn remove(ranges: &[(usize, usize)]) {
    if let &[(start, len_bytes)] = ranges {
        reserve_stack::<{ 4 * FRAME_BYTES }>();
        if AREAS
            .lock()
            .remove_untouched(start, start.saturating_add(len_bytes))
        {
            return;
        }
    }
    // SAFETY: the caller's promise (1).
    unsafe { empty(ranges) };
    for &(start, len_bytes) in ranges {
        reserve_stack::<{ 4 * FRAME_BYTES }>();
        AREAS.lock().take(start, start.saturating_add(len_bytes));
    }
}

/// Leaves of areas in the ranges only that the addresses are taken, without access and without frames; no core remembers a translation.
///
/// # Safety
/// 1. Nobody uses the memory any more.
unsafe fn empty(ranges: &[(usize, usize)]) {
    let ranges = || {
        ranges
            .iter()
            .map(|&(start, len_bytes)| (start, start.saturating_add(len_bytes)))
    };
    for (start, end) in ranges() {
        reserve_stack::<{ 4 * FRAME_BYTES }>();
        let mut areas = AREAS.lock();
        areas.split_at(start);
        areas.split_at(end);
        for (_, area) in areas.changed().range_mut(start..end) {
            area.access = Access::None;
        }
    }
    // SAFETY: the caller's promise (1).
    unsafe { free_frames(ranges().flat_map(|(start, end)| areas_in(start, end))) };
}

/// Start and end of the areas that begin in a range, one at a time, without holding the lock in between; and what they show.
fn areas_in(start: usize, end: usize) -> impl Iterator<Item = (usize, usize, Option<Source>)> {
    let mut from = start;
    core::iter::from_fn(move || {
        reserve_stack::<{ 4 * FRAME_BYTES }>();
        let (first, area) = AREAS
            .lock()
            .map
            .range(from..end.max(from))
            .next()
            .map(|(&first, area)| (first, area.clone()))?;
        from = area.end;
        Some((first, area.end, area.source))
    })
}

/// Why access cannot be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtectError {
    /// No area covers the start.
    NoArea,
    /// An area shows a file that may not be written to in this way.
    Forbidden,
}

/// Changes the access of the range; parts outside of areas are left alone.
///
/// # Errors
/// See [`ProtectError`].
///
/// # Safety
/// 1. The memory is the caller's.
pub unsafe fn protect(start: usize, len_bytes: usize, access: Access) -> Result<(), ProtectError> {
    let end = start.checked_add(len_bytes).ok_or(ProtectError::NoArea)?;
    reserve_stack::<{ 4 * FRAME_BYTES }>();
    let mut is_mapped = false;
    {
        let mut areas = AREAS.lock();
        if areas.containing(start).is_none() {
            return Err(ProtectError::NoArea);
        }
        areas.split_at(start);
        areas.split_at(end);
        let mut range = areas.map.range(start..end);
        if !range.all(|(_, area)| area.source.as_ref().is_none_or(|s| s.may_become(access))) {
            return Err(ProtectError::Forbidden);
        }
        for (&first, area) in areas.changed().range_mut(start..end) {
            area.access = access;
            if access == Access::ReadWrite && area.source.as_ref().is_some_and(Source::is_copied) {
                // From now on the pages that are touched are copies.
                is_mapped |= paging::give_back(first, area.end);
            }
            // SAFETY: pages of the caller's (1).
            is_mapped |= unsafe { paging::protect(first, area.end, access.flags()) };
        }
    }
    // What was never touched is in no core's memory.
    if is_mapped {
        tlb::flush_other_cores();
    }
    Ok(())
}

/// Gives back the frames of the range; the next touch finds zeros, or what the file has (`madvise(MADV_DONTNEED)`).
///
/// # Safety
/// 1. The content is not needed any more.
pub unsafe fn discard(start: usize, len_bytes: usize) {
    let Some(end) = start.checked_add(len_bytes) else {
        return;
    };
    reserve_stack::<{ 4 * FRAME_BYTES }>();
    let start = start.next_multiple_of(FRAME_BYTES);
    let end = end & !(FRAME_BYTES - 1);
    let area = {
        let areas = AREAS.lock();
        let area = areas.containing(start).filter(|(_, area)| end <= area.end);
        area.map(|(first, area)| (first, area.source.clone()))
    };
    if let Some((first, source)) = area {
        let source = source.map(|mut source| {
            source.skip(start - first);
            source
        });
        // SAFETY: the caller's promise (1).
        unsafe { free_frames(core::iter::once((start, end, source))) };
    }
}

/// Unmaps and frees the frames of ranges (start, end, and what they show), a batch at a time, when no core can reach them any more. Those of files are
/// only unmapped.
///
/// # Safety
/// 1. Nobody needs the content of the pages any more.
unsafe fn free_frames(ranges: impl Iterator<Item = (usize, usize, Option<Source>)>) {
    const BATCH: usize = 128;
    let mut batch = [Unmapped::default(); BATCH];
    let mut count = 0;
    let release = |batch: &[Unmapped]| {
        tlb::flush_other_cores();
        for page in batch.iter().filter(|page| !page.is_borrowed()) {
            // SAFETY: the frame was mapped in the ranges alone, and no core translates to it any more.
            unsafe { frames::free(page.frame(), 1) };
        }
    };
    for (first, end, source) in ranges {
        let mut start = first;
        while start < end {
            // SAFETY: the caller's promise (1).
            let (more, reached) = unsafe { paging::unmap(start, end, &mut batch[count..]) };
            if let Some(source) = &source {
                for page in &batch[count..count + more] {
                    source.note_unmapped(first, page);
                }
            }
            count += more;
            start = reached;
            if count == BATCH {
                release(&batch);
                count = 0;
            }
        }
    }
    if count != 0 {
        release(&batch[..count]);
    }
}

/// What a page fault in an address means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The page is there now.
    Mapped,
    /// No area is there, or its access forbids it.
    Invalid,
    /// The page ought to be there, but there is no memory left.
    OutOfMemory,
    /// The area shows a file, which ends before.
    BeyondEnd,
}

/// Maps the page at `address` if an area covers it and it is not mapped yet; its frame comes from a stock.
pub fn on_page_fault(stock: Stock, address: usize, is_write: bool, is_present: bool) -> Fault {
    if is_present || !(AREAS_START..AREAS_END).contains(&address) {
        return Fault::Invalid;
    }
    let page = address & !(FRAME_BYTES - 1);
    reserve_stack::<{ 4 * FRAME_BYTES }>();
    let access = {
        let mut areas = AREAS.lock();
        match areas.recent_access(address) {
            Some(access) => access,
            None => match areas.touched(address, page, is_write) {
                Ok(access) => access,
                Err(fault) => return fault,
            },
        }
    };
    if !is_allowed(access, is_write) {
        return Fault::Invalid;
    }
    map_own(stock, page, access.flags(), None).unwrap_or(Fault::OutOfMemory)
}

fn is_allowed(access: Access, is_write: bool) -> bool {
    access != Access::None && (!is_write || access == Access::ReadWrite)
}

/// Maps a frame of the area's own: a copy of another, or zeros.
fn map_own(
    stock: Stock,
    page: usize,
    flags: PageFlags,
    copied: Option<usize>,
) -> Result<Fault, OutOfMemory> {
    let frame = frames::allocate_from(stock, 1, usize::MAX, FrameInfo::Other)?;
    // SAFETY: a frame of our own, mapped one to one, and one that stays as long as the caller holds the areas.
    unsafe {
        match copied {
            Some(from) => core::ptr::copy(from as *const u8, frame as *mut u8, FRAME_BYTES),
            None => core::ptr::write_bytes(frame as *mut u8, 0, FRAME_BYTES),
        }
    }
    // SAFETY: the page is in an area; the frame is fresh.
    let mapped = unsafe { paging::map_new(page, frame as u64, flags) };
    if mapped != Ok(true) {
        // SAFETY: the frame was allocated above and is not mapped.
        unsafe { frames::free(frame, 1) };
    }
    // Where a page is by now, another core was quicker.
    mapped.map(|_| Fault::Mapped)
}
