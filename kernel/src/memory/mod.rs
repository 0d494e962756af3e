//! Memory: frames, page tables, areas, the heap, memory for devices.

#[cfg(not(test))]
mod allocator;
pub mod areas;
pub mod dma;
pub mod file_pages;
pub mod frames;
pub mod heap;
pub mod paging;

use crate::arch::x86_64::start_info::{MAPPED_BYTES, MemoryRange, RANGE_RAM};
use frames::{FRAME_BYTES, Stock};

/// There is not enough memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// Memory below this belongs to the firmware and to the start of other cores.
const LOW_MEMORY_END: u64 = 1 << 20;
/// Of the low memory, this is used as frames: behind the BIOS data area and the trampoline of other cores, up to what every PC has.
const LOW_FRAMES: core::ops::Range<u64> = 0x1_0000..0x8_0000;

/// Where the image lies: boundaries of its segments, from the linker script.
pub struct ImageLayout {
    /// First byte (read-only data).
    pub start: usize,
    /// First byte of code.
    pub text: usize,
    /// First byte of writable data.
    pub data: usize,
    /// First byte of the hold (read-only).
    pub hold: usize,
    /// Behind the last byte, page aligned.
    pub end: usize,
}

/// Takes over the usable memory of the machine and builds the final page tables.
///
/// # Errors
/// When there is not even enough for the tables.
///
/// # Safety
/// 1. Called once, at the start, while the first 4 GiB are mapped one to one.
/// 2. `image` is where the image lies.
pub unsafe fn initialise(ranges: &[MemoryRange], image: &ImageLayout) -> Result<(), OutOfMemory> {
    let usable = || ranges.iter().filter(|r| r.kind == RANGE_RAM);
    // Frames come from the first of these that has some: above what is mapped at the start only when all below is taken, whatever the order in
    // which the firmware tells of it.
    let windows = [
        (LOW_MEMORY_END, image.start as u64),
        (image.end as u64, MAPPED_BYTES),
        (MAPPED_BYTES, u64::MAX),
        (LOW_FRAMES.start, LOW_FRAMES.end),
    ];
    let memory_bytes: u64 = usable().map(|range| range.len_bytes).sum();
    let reserve_bytes = frames::reserve_bytes(memory_bytes as usize);
    let mut has_reserve = false;
    for &(from, to) in &windows {
        for range in usable() {
            let (start, mut end) = clip(range, from, to);
            // SAFETY: the firmware says the memory is usable, and it is not the image's, nor what is in use below 1 MiB: what the loader left
            // there was copied. It is mapped below, and until then only the part in the first 4 GiB is used, of which there is more than
            // the tables need. The reserve is cut off the rest.
            unsafe {
                if !has_reserve && (end - start) / 2 > reserve_bytes {
                    frames::add_region(Stock::Reserve, end - reserve_bytes, end);
                    end -= reserve_bytes;
                    has_reserve = true;
                }
                frames::add_region(Stock::Common, start, end);
            }
        }
    }
    // SAFETY: the image, and all memory that frames come from, is mapped one to one.
    unsafe {
        paging::install(|mapper| {
            for range in usable() {
                // Page 0 is left out.
                let (start, end) = clip(range, FRAME_BYTES as u64, u64::MAX);
                mapper.identity(start, end, paging::DATA)?;
            }
            let low = (LOW_FRAMES.end as usize, LOW_MEMORY_END as usize);
            let parts = [
                (low.0, low.1, paging::DATA),
                (image.start, image.text, paging::READ_ONLY),
                (image.text, image.data, paging::CODE),
                (image.data, image.hold, paging::DATA),
                (image.hold, image.end, paging::READ_ONLY),
            ];
            for &(start, end, flags) in &parts {
                mapper.identity(start, end, flags)?;
            }
            Ok(())
        })
    }
}

/// The whole pages of a range inside `from..to`, as addresses; empty (equal) when there are none.
fn clip(range: &MemoryRange, from: u64, to: u64) -> (usize, usize) {
    /// Highest physical address the tables and the areas leave room for (1 TiB).
    const HIGHEST: u64 = paging::AREAS_START as u64;
    let end = range
        .start
        .saturating_add(range.len_bytes)
        .min(to)
        .min(HIGHEST);
    let start = range
        .start
        .max(from)
        .min(HIGHEST)
        .next_multiple_of(FRAME_BYTES as u64);
    let end = end & !(FRAME_BYTES as u64 - 1);
    (start as usize, end.max(start) as usize)
}

/// Maps device memory uncached and gives its virtual address.
///
/// # Errors
/// When there is no memory for page tables, or the address is beyond what can be mapped.
pub fn map_device(phys: u64, len_bytes: usize) -> Result<usize, OutOfMemory> {
    map_physical(phys, len_bytes, paging::DEVICE)
}

/// Maps tables of the firmware, read-only, and gives their virtual address.
///
/// # Errors
/// When there is no memory for page tables, or the address is beyond what can be mapped.
pub fn map_firmware(phys: u64, len_bytes: usize) -> Result<usize, OutOfMemory> {
    let start = usize::try_from(phys).map_err(|_| OutOfMemory)?;
    let end = start.checked_add(len_bytes).ok_or(OutOfMemory)?;
    // `initialise` mapped this.
    if start >= LOW_FRAMES.end as usize && end <= LOW_MEMORY_END as usize {
        return Ok(start);
    }
    if (start & !(FRAME_BYTES - 1)..end)
        .step_by(FRAME_BYTES)
        .all(paging::is_mapped)
    {
        return Ok(start);
    }
    map_physical(phys, len_bytes, paging::READ_ONLY)
}

fn map_physical(
    phys: u64,
    len_bytes: usize,
    flags: paging::PageFlags,
) -> Result<usize, OutOfMemory> {
    let offset = (phys % FRAME_BYTES as u64) as usize;
    let start = phys - offset as u64;
    let len = len_bytes
        .checked_add(offset)
        .ok_or(OutOfMemory)?
        .next_multiple_of(FRAME_BYTES);
    if start
        .checked_add(len as u64)
        .is_none_or(|end| end > paging::AREAS_START as u64)
    {
        return Err(OutOfMemory);
    }
    // SAFETY: one-to-one addresses below the areas belong to physical memory; what is RAM is mapped already and not a device's.
    unsafe { paging::map(start as usize, start, len, flags)? };
    Ok(phys as usize)
}

/// Touches the next `BYTES` of the stack, so that no page fault comes while a lock is held that the fault handler needs.
#[inline]
pub(crate) fn reserve_stack<const BYTES: usize>() {
    #[cfg(not(test))]
    crate::arch::x86_64::context::touch_stack::<BYTES>();
}
