//! Page tables (Intel SDM volume 3A, chapter 4: 4-level paging).
//!
//! Memory is mapped one to one, writable and not executable, with the largest pages that fit; the image with the rights of its
//! segments; page 0 not at all. Above [`AREAS_START`] lie stacks and program mappings, see [`super::areas`].

use core::sync::atomic::{AtomicU64, Ordering};

use bitflags::bitflags;

use super::OutOfMemory;
use super::frames::{self, FRAME_BYTES, FrameInfo};
use crate::arch::x86_64::cpu;
use crate::sync::SpinLock;

/// Virtual addresses from here on are stacks and program mappings; below, memory is mapped one to one.
pub const AREAS_START: usize = 1 << 40;
/// End of the virtual addresses in use (the lower half of 48 bits).
pub const AREAS_END: usize = 1 << 46;

bitflags! {
    /// Rights and attributes of a page.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct PageFlags: u64 {
        /// Mapped.
        const PRESENT = 1;
        /// Writable.
        const WRITABLE = 1 << 1;
        /// Not cached: device registers.
        const UNCACHED = 1 << 4 | 1 << 3;
        /// It was written to: set by the processor.
        const DIRTY = 1 << 6;
        /// A page of 2 MiB or 1 GiB.
        const LARGE = 1 << 7;
        /// The frame is not the area's own but a file's (a bit that processors leave to us).
        const BORROWED = 1 << 9;
        /// Not executable.
        const NO_EXECUTE = 1 << 63;
    }
}

/// Rights of data.
pub const DATA: PageFlags = PageFlags::PRESENT
    .union(PageFlags::WRITABLE)
    .union(PageFlags::NO_EXECUTE);
/// Rights of constants.
pub const READ_ONLY: PageFlags = PageFlags::PRESENT.union(PageFlags::NO_EXECUTE);
/// Rights of code.
pub const CODE: PageFlags = PageFlags::PRESENT;
/// Rights of device registers.
pub const DEVICE: PageFlags = DATA.union(PageFlags::UNCACHED);

const ADDRESS_MASK: u64 = 0x000F_FFFF_FFFF_F000;

/// A page that was unmapped.
#[derive(Clone, Copy, Default)]
pub struct Unmapped {
    /// Its virtual address.
    pub page: usize,
    entry: u64,
}

impl Unmapped {
    /// The frame that it led to.
    pub fn frame(&self) -> usize {
        (self.entry & ADDRESS_MASK) as usize
    }

    /// Whether the frame is not the area's own.
    pub fn is_borrowed(&self) -> bool {
        self.entry & PageFlags::BORROWED.bits() != 0
    }

    /// Whether it was written to.
    pub fn is_dirty(&self) -> bool {
        self.entry & PageFlags::DIRTY.bits() != 0
    }
}

type Table = [u64; 512];

/// A tree of page tables.
pub struct PageTables {
    root: *mut Table,
    has_gigabyte_pages: bool,
}

// SAFETY: the tables belong to the tree alone.
unsafe impl Send for PageTables {}

static TABLES: SpinLock<Option<PageTables>> = SpinLock::new(None);

fn new_table() -> Result<*mut Table, OutOfMemory> {
    new_table_below(usize::MAX)
}

fn new_table_below(limit: usize) -> Result<*mut Table, OutOfMemory> {
    let table = frames::allocate(1, limit, FrameInfo::Other)? as *mut Table;
    // SAFETY: a frame of our own, mapped one to one.
    unsafe { table.write_bytes(0, 1) };
    Ok(table)
}

/// Size of the pages that entries of a level map (level 1: 4 KiB, 2: 2 MiB, 3: 1 GiB).
const fn level_bytes(level: u32) -> usize {
    FRAME_BYTES << (9 * (level - 1))
}

impl PageTables {
    fn new() -> Result<Self, OutOfMemory> {
        let has_gigabyte_pages = cpu::cpuid(0x8000_0001).edx & 1 << 26 != 0;
        Ok(Self {
            // Other cores load the root while they have 32 bits.
            root: new_table_below(1 << 32)?,
            has_gigabyte_pages,
        })
    }

    /// The entry for `virt` at `level`, with tables made on the way (a larger page on the way is split).
    fn entry(&mut self, virt: usize, level: u32) -> Result<*mut u64, OutOfMemory> {
        let mut table = self.root;
        let mut at = 4;
        loop {
            let index = virt >> (12 + 9 * (at - 1)) & 511;
            // SAFETY: the index is below 512 and the table is ours.
            let entry = unsafe { &raw mut (*table)[index] };
            if at == level {
                return Ok(entry);
            }
            // SAFETY: as above.
            let value = unsafe { *entry };
            if value & PageFlags::PRESENT.bits() == 0 {
                let next = new_table()?;
                // SAFETY: as above.
                unsafe { *entry = next as u64 | (PageFlags::PRESENT | PageFlags::WRITABLE).bits() };
                table = next;
            } else if value & PageFlags::LARGE.bits() != 0 {
                table = split(entry, at)?;
                cpu::flush_page(virt);
            } else {
                table = (value & ADDRESS_MASK) as *mut Table;
            }
            at -= 1;
        }
    }

    /// Maps `len_bytes` bytes (all page aligned) with the largest pages that fit.
    fn map(
        &mut self,
        mut virt: usize,
        mut phys: u64,
        mut len_bytes: usize,
        flags: PageFlags,
    ) -> Result<(), OutOfMemory> {
        while len_bytes != 0 {
            let highest = if self.has_gigabyte_pages { 3 } else { 2 };
            let level = (1..=highest)
                .rev()
                .find(|&level| {
                    let bytes = level_bytes(level);
                    len_bytes >= bytes
                        && virt.is_multiple_of(bytes)
                        && phys.is_multiple_of(bytes as u64)
                })
                .unwrap_or(1);
            let first = self.entry(virt, level)?;
            let large = if level > 1 {
                PageFlags::LARGE
            } else {
                PageFlags::empty()
            };
            let rights = (flags | large).bits();
            // What follows in the same table has the same level: larger pages begin where tables do.
            let bytes = level_bytes(level);
            let room = 512 - ((virt / bytes) & 511);
            for index in 0..room.min(len_bytes / bytes) {
                // SAFETY: an entry of our tables.
                let old = unsafe { first.add(index).replace(phys | rights) };
                if old & PageFlags::PRESENT.bits() != 0 {
                    cpu::flush_page(virt);
                }
                virt += bytes;
                phys += bytes as u64;
                len_bytes -= bytes;
            }
        }
        Ok(())
    }

    /// The table of 4 KiB pages that `virt` lies in; else how many bytes, aligned to themselves, have none there.
    fn lowest_table(&self, virt: usize) -> Result<*mut Table, usize> {
        let mut table = self.root;
        for level in (2..=4).rev() {
            // SAFETY: the index is below 512 and the table is ours.
            let value = unsafe { (*table)[virt >> (12 + 9 * (level - 1)) & 511] };
            if value & PageFlags::PRESENT.bits() == 0 || value & PageFlags::LARGE.bits() != 0 {
                return Err(level_bytes(level));
            }
            table = (value & ADDRESS_MASK) as *mut Table;
        }
        Ok(table)
    }

    /// Visits the entries in use of 4 KiB pages in a range, until a visit says `false`; how far that went. An entry with an address but
    /// without rights is a page that may not be touched just now.
    fn visit(
        &mut self,
        start: usize,
        end: usize,
        mut visit: impl FnMut(usize, &AtomicU64) -> bool,
    ) -> usize {
        let mut virt = start;
        while virt < end {
            let table = match self.lowest_table(virt) {
                Ok(table) => table,
                Err(hole) => {
                    virt = (virt | (hole - 1)) + 1;
                    continue;
                }
            };
            let stop = ((virt | (level_bytes(2) - 1)) + 1).min(end);
            while virt < stop {
                // SAFETY: the index is below 512 and the table is ours; other cores may mark the page as written to.
                let entry = unsafe { AtomicU64::from_ptr(&raw mut (*table)[virt >> 12 & 511]) };
                let at = virt;
                virt += FRAME_BYTES;
                if entry.load(Ordering::Relaxed) != 0 && !visit(at, entry) {
                    return virt;
                }
            }
        }
        end
    }

    /// The first page of 4 KiB in a range that is in use.
    fn next_used(&mut self, start: usize, end: usize) -> Option<usize> {
        let mut found = None;
        self.visit(start, end, |page, _| {
            found = Some(page);
            false
        });
        found
    }

    fn is_mapped(&self, virt: usize) -> bool {
        let mut table = self.root;
        for at in (1..=4).rev() {
            // SAFETY: the index is below 512 and the table is ours.
            let value = unsafe { (*table)[virt >> (12 + 9 * (at - 1)) & 511] };
            if value & PageFlags::PRESENT.bits() == 0 {
                return false;
            }
            if at == 1 || value & PageFlags::LARGE.bits() != 0 {
                return true;
            }
            table = (value & ADDRESS_MASK) as *mut Table;
        }
        false
    }
}

/// Replaces a large page by a table of smaller ones with the same rights.
fn split(entry: *mut u64, level: u32) -> Result<*mut Table, OutOfMemory> {
    // SAFETY: `entry` is an entry of our tables.
    let old = unsafe { *entry };
    let table = new_table()?;
    let bytes = level_bytes(level - 1) as u64;
    let rights = old & !ADDRESS_MASK & !PageFlags::LARGE.bits();
    let large = if level > 2 {
        PageFlags::LARGE.bits()
    } else {
        0
    };
    for index in 0..512 {
        // SAFETY: the index is below 512 and the table is ours.
        unsafe {
            (*table)[index as usize] = ((old & ADDRESS_MASK) + index * bytes) | rights | large
        };
    }
    // SAFETY: as for `old`; the new table translates as the large page did.
    unsafe { *entry = table as u64 | (PageFlags::PRESENT | PageFlags::WRITABLE).bits() };
    Ok(table)
}

/// Builds the final tables and switches to them.
///
/// # Errors
/// When there is not enough memory for the tables.
///
/// # Safety
/// 1. `build` maps at least the image, the stack in use and all frames handed out so far, one to one.
pub unsafe fn install(
    build: impl FnOnce(&mut Mapper<'_>) -> Result<(), OutOfMemory>,
) -> Result<(), OutOfMemory> {
    let mut tables = PageTables::new()?;
    build(&mut Mapper(&mut tables))?;
    // SAFETY: the caller's promise (1).
    unsafe { cpu::set_page_tables(tables.root as u64) };
    *TABLES.lock() = Some(tables);
    Ok(())
}

/// Page tables under construction.
pub struct Mapper<'a>(&'a mut PageTables);

impl Mapper<'_> {
    /// Maps whole pages one to one.
    ///
    /// # Errors
    /// When there is no memory for tables.
    pub fn identity(
        &mut self,
        start: usize,
        end: usize,
        flags: PageFlags,
    ) -> Result<(), OutOfMemory> {
        let start = start & !(FRAME_BYTES - 1);
        let end = end.next_multiple_of(FRAME_BYTES);
        self.0.map(start, start as u64, end - start, flags)
    }
}

fn with_tables<R>(work: impl FnOnce(&mut PageTables) -> R) -> R {
    super::reserve_stack::<{ 2 * FRAME_BYTES }>();
    let mut tables = TABLES.lock();
    match tables.as_mut() {
        Some(tables) => work(tables),
        None => panic!("page tables are used before they are installed"),
    }
}

/// Whether the final tables are in use.
pub fn is_installed() -> bool {
    super::reserve_stack::<{ 2 * FRAME_BYTES }>();
    TABLES.lock().is_some()
}

/// Physical address of the root of the tables.
pub fn root() -> u64 {
    with_tables(|tables| tables.root as u64)
}

/// Maps whole pages.
///
/// # Errors
/// When there is no memory for tables.
///
/// # Safety
/// 1. The range of virtual addresses is the caller's.
/// 2. The physical range may be accessed with these rights.
pub unsafe fn map(
    virt: usize,
    phys: u64,
    len_bytes: usize,
    flags: PageFlags,
) -> Result<(), OutOfMemory> {
    with_tables(|tables| tables.map(virt, phys, len_bytes, flags))
}

/// Maps a page of 4 KiB if there is none; whether there was none.
///
/// # Errors
/// When there is no memory for tables.
///
/// # Safety
/// 1. The page is the caller's.
/// 2. The frame may be accessed with these rights.
pub unsafe fn map_new(page: usize, frame: u64, flags: PageFlags) -> Result<bool, OutOfMemory> {
    with_tables(|tables| {
        let entry = tables.entry(page, 1)?;
        // SAFETY: an entry of our tables.
        let entry = unsafe { AtomicU64::from_ptr(entry) };
        let is_new = entry.load(Ordering::Relaxed) == 0;
        if is_new {
            entry.store(frame | flags.bits(), Ordering::Relaxed);
        }
        Ok(is_new)
    })
}

/// Unmaps pages of 4 KiB in a range, and writes down what they were until `pages` is full: how many, and where to go on.
///
/// # Safety
/// 1. Nobody uses the pages any more.
pub unsafe fn unmap(start: usize, end: usize, pages: &mut [Unmapped]) -> (usize, usize) {
    let mut count = 0;
    if pages.is_empty() {
        return (0, end);
    }
    let reached = with_tables(|tables| {
        tables.visit(start, end, |page, entry| {
            let entry = entry.swap(0, Ordering::Relaxed);
            pages[count] = Unmapped { page, entry };
            cpu::flush_page(page);
            count += 1;
            count < pages.len()
        })
    });
    (count, reached)
}

/// Unmaps the pages of 4 KiB in a range whose frames are not the area's own; whether there were any.
pub fn give_back(start: usize, end: usize) -> bool {
    let mut has_any = false;
    with_tables(|tables| {
        tables.visit(start, end, |page, entry| {
            if entry.load(Ordering::Relaxed) & PageFlags::BORROWED.bits() != 0 {
                entry.store(0, Ordering::Relaxed);
                cpu::flush_page(page);
                has_any = true;
            }
            true
        })
    });
    has_any
}

/// Changes the rights of the pages of 4 KiB in a range that are mapped; whether there were any.
///
/// # Safety
/// 1. The pages are the caller's.
pub unsafe fn protect(start: usize, end: usize, flags: PageFlags) -> bool {
    const KEPT: u64 = ADDRESS_MASK | PageFlags::DIRTY.union(PageFlags::BORROWED).bits();
    let mut has_any = false;
    with_tables(|tables| {
        tables.visit(start, end, |page, entry| {
            // Another core may be marking it as written to.
            let mut old = entry.load(Ordering::Relaxed);
            while let Err(changed) = entry.compare_exchange_weak(
                old,
                old & KEPT | flags.bits(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                old = changed;
            }
            cpu::flush_page(page);
            has_any = true;
            true
        })
    });
    has_any
}

/// Takes the marks of pages in a range that were written to and whose frames are not the area's own, and calls `found` with their addresses.
/// The processors that remember the marks must forget them before the content is looked at.
pub fn take_dirty(start: usize, end: usize, mut found: impl FnMut(usize)) {
    const WRITTEN: u64 = PageFlags::DIRTY.union(PageFlags::BORROWED).bits();
    with_tables(|tables| {
        tables.visit(start, end, |page, entry| {
            if entry.load(Ordering::Relaxed) & WRITTEN == WRITTEN {
                entry.fetch_and(!PageFlags::DIRTY.bits(), Ordering::Relaxed);
                cpu::flush_page(page);
                found(page);
            }
            true
        })
    });
}

/// Has the pages of a range at another place, which is as long and empty; all of them or none.
///
/// # Errors
/// When there is no memory for tables.
///
/// # Safety
/// 1. Both ranges are the caller's, and nobody uses the old one any more.
pub unsafe fn relocate(start: usize, end: usize, to: usize) -> Result<(), OutOfMemory> {
    with_tables(|tables| {
        let mut from = start;
        while let Some(page) = tables.next_used(from, end) {
            tables.entry(page - start + to, 1)?;
            from = page + FRAME_BYTES;
        }
        let mut from = start;
        while let Some(page) = tables.next_used(from, end) {
            // Both are there.
            let (old, new) = (tables.entry(page, 1)?, tables.entry(page - start + to, 1)?);
            // SAFETY: entries of our tables.
            unsafe { *new = AtomicU64::from_ptr(old).swap(0, Ordering::Relaxed) };
            cpu::flush_page(page);
            from = page + FRAME_BYTES;
        }
        Ok(())
    })
}

/// Whether a page of 4 KiB in a range has a frame.
pub fn has_frames(start: usize, end: usize) -> bool {
    let mut has_any = false;
    with_tables(|tables| {
        tables.visit(start, end, |_, _| {
            has_any = true;
            false
        })
    });
    has_any
}

/// Whether an address is mapped, by a page of any size.
pub fn is_mapped(virt: usize) -> bool {
    with_tables(|tables| tables.is_mapped(virt))
}

/// Whether an address may be read; for reports: `false` too when the tables stay in use, as they do if it is who has them that reports.
pub fn is_readable(virt: usize) -> bool {
    const PATIENCE: usize = 1 << 20;
    let tables = (0..PATIENCE).find_map(|_| {
        let tables = TABLES.try_lock();
        if tables.is_none() {
            core::hint::spin_loop();
        }
        tables
    });
    tables.is_some_and(|tables| tables.as_ref().is_none_or(|tables| tables.is_mapped(virt)))
}

/// Tables on the host, which no processor uses.
#[cfg(test)]
pub(crate) mod tests {
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::super::frames::FRAME_BYTES;
    use super::{ADDRESS_MASK, PageFlags, PageTables, TABLES, new_table};

    /// Makes the tables, once; the caller has the frames to itself.
    pub(crate) fn start() {
        let mut tables = TABLES.lock();
        if tables.is_none() {
            *tables = Some(PageTables {
                root: new_table().expect("a frame"),
                has_gigabyte_pages: false,
            });
        }
    }

    /// What a processor finds when it reads or writes: the memory, if the page is there and may be used so. It marks what is written.
    pub(crate) fn access(virt: usize, is_write: bool) -> Option<*mut u8> {
        let mut tables = TABLES.lock();
        let table = tables.as_mut()?.lowest_table(virt).ok()?;
        // SAFETY: the index is below 512, and the table is in use as long as the tables are locked.
        let entry = unsafe { AtomicU64::from_ptr(&raw mut (*table)[virt >> 12 & 511]) };
        let flags = PageFlags::from_bits_truncate(entry.load(Ordering::Relaxed));
        let is_allowed = flags.contains(PageFlags::PRESENT)
            && (!is_write || flags.contains(PageFlags::WRITABLE));
        if is_allowed && is_write {
            entry.fetch_or(PageFlags::DIRTY.bits(), Ordering::Relaxed);
        }
        let frame = (entry.load(Ordering::Relaxed) & ADDRESS_MASK) as usize;
        is_allowed.then_some((frame + virt % FRAME_BYTES) as *mut u8)
    }
}
