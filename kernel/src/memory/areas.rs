//! Virtual memory areas: stacks and program mappings, which get their frames at the first touch.
//!
//! Each area is surrounded by at least one page that is never mapped. A page fault inside an area maps a frame
//! ([`on_page_fault`]); any other one is an error of the program.
//!
//! A page fault can happen wherever kernel code touches a new page of its stack. So the locks that the fault handler takes (of this
//! module, the page tables and the frames) are only taken after [`super::reserve_stack`] has touched enough stack for what is done under them: most here, less in `paging`, least in `frames`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::frames::{self, FRAME_BYTES, FrameInfo};
use super::paging::{self, AREAS_END, AREAS_START, PageFlags};
use super::{OutOfMemory, reserve_stack};
use crate::arch::x86_64::tlb;
use crate::sync::SpinLock;

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

#[derive(Clone, Copy)]
struct Area {
    end: usize,
    access: Access,
}

/// Addresses for areas of one kind: small ones and large ones have places of their own, so that each find the room that their like left.
/// Addresses are used again before new ones, for each 2 MiB of addresses that were ever touched cost a page table.
struct Zone {
    start: usize,
    end: usize,
    /// Where the search for room starts: not far below the lowest room that was left.
    next: usize,
}

struct Areas {
    map: BTreeMap<usize, Area>,
    /// The area that was made or asked for last, as long as nothing has changed since: whose first page is touched next.
    recent: Option<(usize, Area)>,
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
    fn containing(&mut self, address: usize) -> Option<(usize, Area)> {
        if let Some((start, area)) = self.recent
            && (start..area.end).contains(&address)
        {
            return self.recent;
        }
        let (&start, &area) = self.map.range(..=address).next_back()?;
        self.recent = (address < area.end).then_some((start, area));
        self.recent
    }

    /// The areas, to change them.
    fn changed(&mut self) -> &mut BTreeMap<usize, Area> {
        self.recent = None;
        &mut self.map
    }

    /// Splits the area that contains an address, if one does, so that an area begins there.
    fn split_at(&mut self, address: usize) {
        if let Some((first, area)) = self.containing(address)
            && first < address
        {
            let lower = Area {
                end: address,
                ..area
            };
            self.changed().insert(first, lower);
            self.map.insert(address, area);
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
                Some(area) if area.end <= end => at = area.end,
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
    let len_bytes = len_bytes
        .checked_next_multiple_of(FRAME_BYTES)
        .filter(|&l| l != 0)
        .ok_or(OutOfMemory)?;
    reserve_stack::<{ 4 * FRAME_BYTES }>();
    let mut areas = AREAS.lock();
    let start = areas.find_room(len_bytes).ok_or(OutOfMemory)?;
    let area = Area {
        end: start + len_bytes,
        access,
    };
    areas.map.insert(start, area);
    areas.recent = Some((start, area));
    Ok(start)
}

/// Makes a readable and writable area whose frames are all there.
///
/// # Errors
/// When there are not enough frames.
pub fn create_backed(len_bytes: usize) -> Result<usize, OutOfMemory> {
    let start = create(len_bytes, Access::ReadWrite)?;
    for page in (start..start + len_bytes).step_by(FRAME_BYTES) {
        if on_page_fault(page, true, false) != Fault::Mapped {
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
    let ranges = || {
        ranges
            .iter()
            .map(|&(start, len_bytes)| (start, start.saturating_add(len_bytes)))
    };
    // The addresses stay taken, without access, until no core remembers a translation.
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
    for (start, end) in ranges() {
        reserve_stack::<{ 4 * FRAME_BYTES }>();
        let mut areas = AREAS.lock();
        while let Some((&first, _)) = areas.map.range(start..end).next() {
            areas.changed().remove(&first);
            areas.leave_room(first);
        }
    }
}

/// Start and end of the areas in a range, one at a time, without holding the lock in between.
fn areas_in(start: usize, end: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut from = start;
    core::iter::from_fn(move || {
        reserve_stack::<{ 4 * FRAME_BYTES }>();
        let (first, last) = AREAS
            .lock()
            .map
            .range(from..end.max(from))
            .next()
            .map(|(&first, area)| (first, area.end))?;
        from = last;
        Some((first, last))
    })
}

/// Changes the access of the range; parts outside of areas are left alone.
///
/// # Errors
/// When no area covers the start.
///
/// # Safety
/// 1. The memory is the caller's.
pub unsafe fn protect(start: usize, len_bytes: usize, access: Access) -> Result<(), OutOfMemory> {
    let end = start.checked_add(len_bytes).ok_or(OutOfMemory)?;
    reserve_stack::<{ 4 * FRAME_BYTES }>();
    let mut is_mapped = false;
    {
        let mut areas = AREAS.lock();
        if areas.containing(start).is_none() {
            return Err(OutOfMemory);
        }
        areas.split_at(start);
        areas.split_at(end);
        for (&first, area) in areas.changed().range_mut(start..end) {
            area.access = access;
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

/// Gives back the frames of the range; the next touch finds zeros (`madvise(MADV_DONTNEED)`).
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
    let is_covered = AREAS
        .lock()
        .containing(start)
        .is_some_and(|(_, area)| end <= area.end);
    if is_covered {
        // SAFETY: the caller's promise (1).
        unsafe { free_frames([(start, end)].into_iter()) };
    }
}

/// Unmaps and frees the frames of ranges (start and end), a batch at a time, when no core can reach them any more.
///
/// # Safety
/// 1. Nobody needs the content of the pages any more.
unsafe fn free_frames(ranges: impl Iterator<Item = (usize, usize)>) {
    const BATCH: usize = 128;
    let mut batch = [0; BATCH];
    let mut count = 0;
    let release = |batch: &[usize]| {
        tlb::flush_other_cores();
        for &frame in batch {
            // SAFETY: the frame was mapped in the ranges alone, and no core translates to it any more.
            unsafe { frames::free(frame, 1) };
        }
    };
    for (mut start, end) in ranges {
        while start < end {
            // SAFETY: the caller's promise (1).
            let (more, reached) = unsafe { paging::unmap(start, end, &mut batch[count..]) };
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
}

/// Maps the page at `address` if an area covers it and it is not mapped yet.
pub fn on_page_fault(address: usize, is_write: bool, is_present: bool) -> Fault {
    if is_present || !(AREAS_START..AREAS_END).contains(&address) {
        return Fault::Invalid;
    }
    reserve_stack::<{ 4 * FRAME_BYTES }>();
    let area = AREAS.lock().containing(address);
    let Some((_, area)) = area else {
        return Fault::Invalid;
    };
    if area.access == Access::None || (is_write && area.access != Access::ReadWrite) {
        return Fault::Invalid;
    }
    let Ok(frame) = frames::allocate(1, usize::MAX, FrameInfo::Other) else {
        return Fault::OutOfMemory;
    };
    // SAFETY: a frame of our own, mapped one to one.
    unsafe { core::ptr::write_bytes(frame as *mut u8, 0, FRAME_BYTES) };
    let page = address & !(FRAME_BYTES - 1);
    // SAFETY: the page is in an area and not mapped; the frame is fresh.
    match unsafe { paging::map(page, frame as u64, FRAME_BYTES, area.access.flags()) } {
        Ok(()) => Fault::Mapped,
        Err(OutOfMemory) => {
            // SAFETY: the frame was allocated above and is not mapped.
            unsafe { frames::free(frame, 1) };
            Fault::OutOfMemory
        }
    }
}
