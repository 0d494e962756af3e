//! Physical memory: a buddy allocator over the usable ranges (Knowlton, "A fast storage allocator", CACM 8(10), 1965).
//!
//! Start-up must not depend on how much memory there is, and memory that was never needed should not be touched (a host gives
//! it to a guest at the first touch). So a region has a `frontier`: frames below it are managed by the buddy lists, frames above were
//! never used, and the frontier moves up when the lists have nothing.
//!
//! Each managed frame has a word of information, by which the heap finds what a pointer belongs to.
//!
//! One region is the kernel's reserve. Programs get nothing of it, so that the kernel has some memory for what it must do when they have taken all
//! the rest.

use core::sync::atomic::{AtomicBool, Ordering};

use super::OutOfMemory;
use crate::sync::SpinLock;

/// Size of a frame, in bytes.
pub const FRAME_BYTES: usize = 4096;
/// Blocks are of 2^0 to 2^`MAX_ORDER` frames (1 GiB).
const MAX_ORDER: usize = 18;
const MAX_REGIONS: usize = 16;

/// The reserve is this part of the memory, ...
const RESERVED_PART: usize = 32;
/// ... and at most as many bytes.
const MAX_RESERVED_BYTES: usize = 1 << 20;

/// Where frames come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stock {
    /// What everybody may have.
    Common,
    /// What the kernel alone may have, when there is nothing else.
    Reserve,
}

/// What a frame is, as the heap wants to know it: in a word of 32 bits, 3 for the kind, 29 for a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameInfo {
    /// Nothing that the heap knows: inside a block, or used by somebody else.
    Other,
    /// First frame of a free block of this order.
    Free(u32),
    /// A frame of a span of small objects.
    Span,
    /// First frame of a run of so many frames, one large object.
    Run(u32),
    /// The same, of the reserve.
    ReservedRun(u32),
}

impl FrameInfo {
    /// A run has fewer frames than this.
    pub const MAX_RUN: usize = 1 << 29;

    const fn encode(self) -> u32 {
        match self {
            Self::Other => 0,
            Self::Free(order) => 1 << 29 | order,
            Self::Span => 2 << 29,
            Self::Run(frames) => 3 << 29 | frames,
            Self::ReservedRun(frames) => 4 << 29 | frames,
        }
    }

    fn decode(word: u32) -> Self {
        let number = word & 0x1FFF_FFFF;
        match word >> 29 {
            1 => Self::Free(number),
            2 => Self::Span,
            3 => Self::Run(number),
            4 => Self::ReservedRun(number),
            _ => Self::Other,
        }
    }
}

/// Links of a free block, in its first bytes.
struct FreeBlock {
    next: *mut FreeBlock,
    previous: *mut FreeBlock,
}

struct Region {
    stock: Stock,
    /// First and last-plus-one managed address.
    start: usize,
    end: usize,
    /// Frames from here on were never used.
    frontier: usize,
    /// One word for each frame of the region; written when the frontier passes the frame.
    info: *mut u32,
    free: [*mut FreeBlock; MAX_ORDER + 1],
}

/// The allocator: all usable physical memory.
pub struct Frames {
    regions: [Region; MAX_REGIONS],
    region_count: usize,
    /// Of each [`Stock`].
    free_frames: [usize; 2],
    total_frames: usize,
}

// SAFETY: the pointers lead to memory that the allocator owns.
unsafe impl Send for Frames {}

static FRAMES: SpinLock<Frames> = SpinLock::new(Frames::new());

/// Whether something of the reserve was ever taken. Until then nobody has to look how much is left of it.
static IS_RESERVE_IN_USE: AtomicBool = AtomicBool::new(false);

impl Region {
    const EMPTY: Self = Self {
        stock: Stock::Common,
        start: 0,
        end: 0,
        frontier: 0,
        info: core::ptr::null_mut(),
        free: [core::ptr::null_mut(); MAX_ORDER + 1],
    };

    fn contains(&self, address: usize) -> bool {
        address >= self.start && address < self.frontier
    }

    fn info(&self, address: usize) -> FrameInfo {
        debug_assert!(self.contains(address));
        // SAFETY: the frame is below the frontier, so its word exists and was written.
        FrameInfo::decode(unsafe { *self.info.add((address - self.start) / FRAME_BYTES) })
    }

    fn set_info(&mut self, address: usize, info: FrameInfo) {
        debug_assert!(address >= self.start && address < self.end);
        // SAFETY: the array has a word for each frame of the region.
        unsafe { *self.info.add((address - self.start) / FRAME_BYTES) = info.encode() };
    }

    /// Has the frames from an address to another be [`FrameInfo::Other`]: at once, as there are a quarter of a million in each GiB.
    fn clear_info(&mut self, from: usize, to: usize) {
        const { assert!(FrameInfo::Other.encode() == 0) };
        debug_assert!(from >= self.start && from <= to && to <= self.end);
        let first = (from - self.start) / FRAME_BYTES;
        // SAFETY: the array has a word for each frame of the region.
        unsafe {
            self.info
                .add(first)
                .write_bytes(0, (to - from) / FRAME_BYTES)
        };
    }

    fn push(&mut self, address: usize, order: usize) {
        self.set_info(address, FrameInfo::Free(order as u32));
        let block = address as *mut FreeBlock;
        let head = self.free[order];
        // SAFETY: the block is free, mapped one to one and owned by the allocator; so is the list's head.
        unsafe {
            block.write(FreeBlock {
                next: head,
                previous: core::ptr::null_mut(),
            });
            if !head.is_null() {
                (*head).previous = block;
            }
        }
        self.free[order] = block;
    }

    fn unlink(&mut self, block: *mut FreeBlock, order: usize) {
        // SAFETY: the block is in the list of this order (its frame's information says so), and so are its neighbours.
        unsafe {
            let FreeBlock { next, previous } = block.read();
            if previous.is_null() {
                self.free[order] = next;
            } else {
                (*previous).next = next;
            }
            if !next.is_null() {
                (*next).previous = previous;
            }
        }
        self.set_info(block as usize, FrameInfo::Other);
    }

    /// Frees a block and joins it with its buddy as long as that one is free too.
    fn free(&mut self, mut address: usize, mut order: usize) {
        while order < MAX_ORDER {
            let size = FRAME_BYTES << order;
            let buddy = address ^ size;
            if buddy < self.start
                || buddy + size > self.frontier
                || self.info(buddy) != FrameInfo::Free(order as u32)
            {
                break;
            }
            self.unlink(buddy as *mut FreeBlock, order);
            address &= !size;
            order += 1;
        }
        self.push(address, order);
    }

    /// Frees any run of frames, in aligned blocks.
    fn free_run(&mut self, mut address: usize, frames: usize) {
        let end = address + frames * FRAME_BYTES;
        while address < end {
            let fits = (end - address).ilog2() as usize - FRAME_BYTES.ilog2() as usize;
            let aligned = address.trailing_zeros() as usize - FRAME_BYTES.ilog2() as usize;
            let order = fits.min(aligned).min(MAX_ORDER);
            self.free(address, order);
            address += FRAME_BYTES << order;
        }
    }

    fn allocate(&mut self, order: usize) -> Option<usize> {
        let Some(found) = (order..=MAX_ORDER).find(|&o| !self.free[o].is_null()) else {
            return self.advance_frontier(order);
        };
        let block = self.free[found];
        self.unlink(block, found);
        let address = block as usize;
        for half in (order..found).rev() {
            self.push(address + (FRAME_BYTES << half), half);
        }
        Some(address)
    }

    /// Takes a block from the memory that was never used.
    fn advance_frontier(&mut self, order: usize) -> Option<usize> {
        let size = FRAME_BYTES << order;
        let address = self.frontier.checked_add(size - 1)? & !(size - 1);
        let new_frontier = address.checked_add(size).filter(|&f| f <= self.end)?;
        let old_frontier = core::mem::replace(&mut self.frontier, new_frontier);
        self.clear_info(old_frontier, new_frontier);
        self.free_run(old_frontier, (address - old_frontier) / FRAME_BYTES);
        Some(address)
    }
}

impl Frames {
    const fn new() -> Self {
        Self {
            regions: [Region::EMPTY; MAX_REGIONS],
            region_count: 0,
            free_frames: [0; 2],
            total_frames: 0,
        }
    }

    fn add_region(&mut self, stock: Stock, start: usize, end: usize) {
        let start = start.next_multiple_of(FRAME_BYTES);
        let end = end & !(FRAME_BYTES - 1);
        if self.region_count == MAX_REGIONS || end <= start {
            return;
        }
        let frames = (end - start) / FRAME_BYTES;
        let info_bytes = (frames * size_of::<u32>()).next_multiple_of(FRAME_BYTES);
        if info_bytes >= end - start {
            return;
        }
        let managed = start + info_bytes;
        // Its lists are empty from the beginning.
        let region = &mut self.regions[self.region_count];
        region.stock = stock;
        region.start = managed;
        region.end = end;
        region.frontier = managed;
        region.info = start as *mut u32;
        self.free_frames[stock as usize] += (end - managed) / FRAME_BYTES;
        self.region_count += 1;
        self.total_frames += frames;
    }

    fn allocate(
        &mut self,
        stock: Stock,
        frames: usize,
        limit: usize,
        info: FrameInfo,
    ) -> Option<usize> {
        let order = frames.checked_next_power_of_two()?.ilog2() as usize;
        if order > MAX_ORDER {
            return None;
        }
        let regions = self.regions[..self.region_count]
            .iter_mut()
            .filter(|r| r.stock == stock && r.end <= limit);
        for region in regions {
            let Some(address) = region.allocate(order) else {
                continue;
            };
            region.set_info(address, info);
            if info == FrameInfo::Span {
                for frame in 1..frames {
                    region.set_info(address + frame * FRAME_BYTES, info);
                }
            }
            region.free_run(address + frames * FRAME_BYTES, (1 << order) - frames);
            self.free_frames[stock as usize] -= frames;
            return Some(address);
        }
        None
    }

    fn free(&mut self, address: usize, frames: usize) {
        let Some(region) = self.region_of(address) else {
            panic!("frame {address:#x} was freed but never allocated");
        };
        region.clear_info(address, address + frames * FRAME_BYTES);
        region.free_run(address, frames);
        let stock = region.stock;
        self.free_frames[stock as usize] += frames;
    }

    /// See [`resize_run`].
    fn resize_run(&mut self, address: usize, old: usize, new: usize) -> bool {
        let (end, wanted) = (address + old * FRAME_BYTES, address + new * FRAME_BYTES);
        if new < old {
            self.free(wanted, old - new);
        }
        let Some(region) = self.region_of(address) else {
            return false;
        };
        let mut taken = end.min(wanted);
        while taken < wanted {
            if taken == region.frontier && wanted <= region.end {
                region.frontier = wanted;
                region.clear_info(taken, wanted);
                taken = wanted;
            } else if taken < region.frontier
                && let FrameInfo::Free(order) = region.info(taken)
            {
                region.unlink(taken as *mut FreeBlock, order as usize);
                taken += FRAME_BYTES << order;
            } else {
                region.free_run(end, (taken - end) / FRAME_BYTES);
                return false;
            }
        }
        if taken > wanted {
            region.free_run(wanted, (taken - wanted) / FRAME_BYTES);
        }
        region.set_info(address, FrameInfo::Run(new as u32));
        let stock = region.stock;
        self.free_frames[stock as usize] -= new.saturating_sub(old);
        true
    }

    fn region_of(&mut self, address: usize) -> Option<&mut Region> {
        self.regions[..self.region_count]
            .iter_mut()
            .find(|r| r.contains(address))
    }
}

/// Gives the allocator the usable memory `start..end` (physical addresses, mapped one to one, used by nobody).
///
/// # Safety
/// 1. Nobody else uses that memory, now or later.
/// 2. It is mapped one to one and writable before anything is allocated from it.
pub unsafe fn add_region(stock: Stock, start: usize, end: usize) {
    FRAMES.lock().add_region(stock, start, end);
}

/// How large the reserve of a machine with so much memory is, in bytes.
pub fn reserve_bytes(memory_bytes: usize) -> usize {
    let bytes = (memory_bytes / RESERVED_PART).min(MAX_RESERVED_BYTES);
    bytes & !(FRAME_BYTES - 1)
}

/// Allocates `frames` physically contiguous frames of a stock that end at `limit` or below, aligned to the next power of two of
/// their size (at most 1 GiB). The content is arbitrary.
///
/// # Errors
/// When there is no such run.
pub fn allocate_from(
    stock: Stock,
    frames: usize,
    limit: usize,
    info: FrameInfo,
) -> Result<usize, OutOfMemory> {
    super::reserve_stack::<FRAME_BYTES>();
    if stock == Stock::Reserve {
        IS_RESERVE_IN_USE.store(true, Ordering::Relaxed);
    }
    FRAMES
        .lock()
        .allocate(stock, frames.max(1), limit, info)
        .ok_or(OutOfMemory)
}

/// As [`allocate_from`], of the common stock.
///
/// # Errors
/// When there is no such run.
pub fn allocate(frames: usize, limit: usize, info: FrameInfo) -> Result<usize, OutOfMemory> {
    allocate_from(Stock::Common, frames, limit, info)
}

/// Frees frames that [`allocate`] gave.
///
/// # Safety
/// 1. `address` and `frames` are a run that was allocated (or a part of one), and nobody uses it any more.
pub unsafe fn free(address: usize, frames: usize) {
    super::reserve_stack::<FRAME_BYTES>();
    FRAMES.lock().free(address, frames);
}

/// Makes a run of `old` frames one of `new` (less than [`FrameInfo::MAX_RUN`]) at the same address, if the frames behind it are free;
/// whether that could be done.
///
/// # Safety
/// 1. The run was allocated as [`FrameInfo::Run`] and has `old` frames; nobody uses those beyond `new`.
pub unsafe fn resize_run(address: usize, old: usize, new: usize) -> bool {
    super::reserve_stack::<FRAME_BYTES>();
    FRAMES.lock().resize_run(address, old, new)
}

/// What the frame at an address (within it) is.
pub fn info(address: usize) -> FrameInfo {
    super::reserve_stack::<FRAME_BYTES>();
    let mut all = FRAMES.lock();
    all.region_of(address).map_or(FrameInfo::Other, |region| {
        region.info(address & !(FRAME_BYTES - 1))
    })
}

/// Memory that is free for everybody, and all memory, in bytes.
pub fn usage() -> (usize, usize) {
    super::reserve_stack::<FRAME_BYTES>();
    let all = FRAMES.lock();
    (
        all.free_frames[Stock::Common as usize] * FRAME_BYTES,
        all.total_frames * FRAME_BYTES,
    )
}

/// Whether the kernel lives on its reserve, and has used half of it.
#[inline]
pub fn is_short() -> bool {
    IS_RESERVE_IN_USE.load(Ordering::Relaxed) && is_reserve_low()
}

#[cold]
fn is_reserve_low() -> bool {
    super::reserve_stack::<FRAME_BYTES>();
    let all = FRAMES.lock();
    let whole = reserve_bytes(all.total_frames * FRAME_BYTES) / FRAME_BYTES;
    all.free_frames[Stock::Reserve as usize] < whole / 2
        && all.free_frames[Stock::Common as usize] < whole
}

#[cfg(test)]
mod tests {
    use std::alloc::{Layout, alloc, dealloc};

    use super::{FRAME_BYTES, FrameInfo, Frames, MAX_ORDER, Stock};

    /// An allocator over `frames` frames of ordinary memory, given back at the end.
    struct Fixture {
        frames: Frames,
        memory: *mut u8,
        layout: Layout,
    }

    impl Fixture {
        fn new(frames: usize) -> Self {
            let layout =
                Layout::from_size_align(frames * FRAME_BYTES, FRAME_BYTES).expect("a layout");
            // SAFETY: the layout is not empty.
            let memory = unsafe { alloc(layout) };
            let mut this = Self {
                frames: Frames::new(),
                memory,
                layout,
            };
            this.frames.add_region(
                Stock::Common,
                memory as usize,
                memory as usize + layout.size(),
            );
            this
        }
    }

    impl Drop for Fixture {
        fn drop(&mut self) {
            // SAFETY: allocated in `new`.
            unsafe { dealloc(self.memory, self.layout) };
        }
    }

    #[test]
    fn runs_do_not_overlap_and_all_memory_comes_back() {
        let mut fixture = Fixture::new(2048);
        let frames = &mut fixture.frames;
        let free_at_start = frames.free_frames[Stock::Common as usize];
        let mut state = 1u64;
        let mut live: Vec<(usize, usize)> = Vec::new();
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let size = 1 + (state >> 33) as usize % 40;
            if state >> 60 < 8
                && let Some(address) =
                    frames.allocate(Stock::Common, size, usize::MAX, FrameInfo::Run(size as u32))
            {
                let end = address + size * FRAME_BYTES;
                assert_eq!(
                    address % (size.next_power_of_two() * FRAME_BYTES).min(FRAME_BYTES),
                    0
                );
                assert!(
                    live.iter()
                        .all(|&(a, s)| end <= a || a + s * FRAME_BYTES <= address)
                );
                live.push((address, size));
            } else if !live.is_empty() {
                let (address, size) = live.swap_remove((state >> 40) as usize % live.len());
                frames.free(address, size);
            }
        }
        for (address, size) in live {
            frames.free(address, size);
        }
        assert_eq!(frames.free_frames[Stock::Common as usize], free_at_start);
        // Everything below the frontier has been joined again: the largest aligned block can be had.
        let largest = 1 << (free_at_start / 2).ilog2().min(MAX_ORDER as u32);
        assert!(
            frames
                .allocate(Stock::Common, largest / 2, usize::MAX, FrameInfo::Other)
                .is_some()
        );
    }

    #[test]
    fn memory_that_was_never_needed_is_not_touched() {
        let mut fixture = Fixture::new(1024);
        let first = fixture
            .frames
            .allocate(Stock::Common, 1, usize::MAX, FrameInfo::Other)
            .expect("a frame");
        let second = fixture
            .frames
            .allocate(Stock::Common, 1, usize::MAX, FrameInfo::Other)
            .expect("a frame");
        assert_eq!(second, first + FRAME_BYTES);
        assert_eq!(fixture.frames.regions[0].frontier, second + FRAME_BYTES);
    }

    #[test]
    fn too_much_is_refused() {
        let mut fixture = Fixture::new(64);
        assert_eq!(
            fixture
                .frames
                .allocate(Stock::Common, 65, usize::MAX, FrameInfo::Other),
            None
        );
        assert_eq!(
            fixture
                .frames
                .allocate(Stock::Common, usize::MAX, usize::MAX, FrameInfo::Other),
            None
        );
        assert_eq!(
            fixture
                .frames
                .allocate(Stock::Common, 1, 4096, FrameInfo::Other),
            None
        );
    }

    #[test]
    fn the_reserve_is_for_those_who_ask_for_it() {
        let mut fixture = Fixture::new(16);
        let frames = &mut fixture.frames;
        let (start, end) = (frames.regions[0].start, frames.regions[0].end);
        *frames = Frames::new();
        frames.add_region(Stock::Common, start, end - 4 * FRAME_BYTES);
        frames.add_region(Stock::Reserve, end - 4 * FRAME_BYTES, end);
        let mut allocate = |stock| frames.allocate(stock, 1, usize::MAX, FrameInfo::Other);
        while allocate(Stock::Common).is_some() {}
        let reserved = allocate(Stock::Reserve).expect("a frame of the reserve");
        assert!(reserved >= end - 4 * FRAME_BYTES);
        while allocate(Stock::Reserve).is_some() {}
        // What was of the reserve is of it again.
        frames.free(reserved, 1);
        let again = frames.allocate(Stock::Common, 1, usize::MAX, FrameInfo::Other);
        assert_eq!(again, None);
        assert_eq!(frames.free_frames[Stock::Reserve as usize], 1);
    }
}
