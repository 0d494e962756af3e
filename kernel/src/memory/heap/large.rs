//! Large objects: runs of whole frames, or an area of single frames where no run is long enough.
//!
//! A short run that is freed may wait for the next object of its length ([`Spares`]): buffers come and go with each request.

use core::cell::Cell;
use core::ptr::null_mut;

use super::local;
use crate::memory::frames::{self, FRAME_BYTES, FrameInfo, Stock};
use crate::memory::paging::{self, AREAS_END, AREAS_START};
use crate::memory::{OutOfMemory, areas};

/// The longest run that is kept, in frames.
const LONGEST_SPARE: usize = 4;
/// As many bytes as a core keeps in such runs at most.
#[cfg(test)]
pub(super) const MOST_SPARE_BYTES: usize = LONGEST_SPARE * (LONGEST_SPARE + 1) / 2 * FRAME_BYTES;

/// For each length in frames, from 1 on, a run that was freed, or null. Of one core alone.
pub(super) struct Spares([Cell<*mut u8>; LONGEST_SPARE]);

impl Spares {
    /// None.
    pub(super) const fn new() -> Self {
        Self([const { Cell::new(null_mut()) }; LONGEST_SPARE])
    }

    /// The run of that length, or null.
    #[inline]
    fn take(&self, frames: usize) -> *mut u8 {
        let place = self.0.get(frames.wrapping_sub(1));
        place.map_or(null_mut(), |place| place.replace(null_mut()))
    }

    /// Keeps a run, whose frame says how long it is; whether there is room for it.
    #[inline]
    fn keep(&self, run: *mut u8, frames: usize) -> bool {
        match self.0.get(frames.wrapping_sub(1)) {
            Some(place) if place.get().is_null() => {
                place.set(run);
                true
            }
            _ => false,
        }
    }

    /// Gives the runs back to the frames.
    pub(super) fn release(&self) {
        for (place, frames) in self.0.iter().zip(1..) {
            let run = place.replace(null_mut());
            if !run.is_null() {
                // SAFETY: a run of that length, which nobody uses.
                unsafe { frames::free(run.addr(), frames) };
            }
        }
    }
}

/// A large object's memory.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// Number of frames that follow each other in physical memory.
    Run(usize),
    /// The same, of the reserve: nothing else is to have them.
    ReservedRun(usize),
    /// Number of bytes of an area.
    Area(usize),
}

impl Place {
    pub(super) fn len_bytes(self) -> usize {
        match self {
            Self::Run(frames) | Self::ReservedRun(frames) => frames * FRAME_BYTES,
            Self::Area(bytes) => bytes,
        }
    }
}

/// Where an object lies that begins with a frame; `None` if it is a small one all the same.
pub(super) fn place_of(object: *mut u8) -> Option<Place> {
    let address = object.addr();
    if (AREAS_START..AREAS_END).contains(&address) {
        return Some(Place::Area(areas::len_bytes(address)));
    }
    match frames::info(address) {
        FrameInfo::Run(frames) => Some(Place::Run(frames as usize)),
        FrameInfo::ReservedRun(frames) => Some(Place::ReservedRun(frames as usize)),
        _ => None,
    }
}

/// As many frames as `size` bytes take, if that is possible at all.
fn frames_of(size: usize) -> Option<usize> {
    let frames = size.checked_next_multiple_of(FRAME_BYTES)? / FRAME_BYTES;
    (frames < FrameInfo::MAX_RUN).then_some(frames)
}

/// Allocates; null when there is no memory.
pub(super) fn allocate(size: usize, align: usize) -> *mut u8 {
    let Some(frames) = frames_of(size) else {
        return null_mut();
    };
    if align <= FRAME_BYTES {
        let spare = local().spares.take(frames);
        if !spare.is_null() {
            return spare;
        }
    }
    // A block is aligned to its size, rounded up to a power of two; for more alignment, take more and give the rest back.
    let taken = frames.max(align / FRAME_BYTES);
    let allocate = || frames::allocate(taken, usize::MAX, FrameInfo::Run(frames as u32));
    let address = allocate().or_else(|OutOfMemory| {
        local().release_unused();
        allocate()
    });
    let Ok(address) = address else {
        return allocate_area(frames * FRAME_BYTES, align);
    };
    if taken > frames {
        // SAFETY: the frames behind the run were allocated just now.
        unsafe { frames::free(address + frames * FRAME_BYTES, taken - frames) };
    }
    address as *mut u8
}

/// Allocates from the reserve; null when it has no such run, or the object has more than 64 KiB.
pub(super) fn allocate_reserved(size: usize) -> *mut u8 {
    const MOST_FRAMES: usize = 16;
    let frames = size.div_ceil(FRAME_BYTES);
    if frames > MOST_FRAMES {
        return null_mut();
    }
    let info = FrameInfo::ReservedRun(frames as u32);
    frames::allocate_from(Stock::Reserve, frames, usize::MAX, info)
        .map_or(null_mut(), |address| address as *mut u8)
}

/// A large object when no run of frames is long enough: single frames, made to follow each other by the page tables.
fn allocate_area(bytes: usize, align: usize) -> *mut u8 {
    if bytes > frames::usage().0 || align > FRAME_BYTES || !paging::is_installed() {
        return null_mut();
    }
    areas::create_backed(bytes).map_or(null_mut(), |address| address as *mut u8)
}

/// Frees.
///
/// # Safety
/// 1. `object` lies at `place`, and nobody uses it any more.
pub(super) unsafe fn free(object: *mut u8, place: Place) {
    let address = object.addr();
    match place {
        Place::Run(frames) if local().spares.keep(object, frames) => {}
        // SAFETY: (1); the run is as long as its information says.
        Place::Run(frames) | Place::ReservedRun(frames) => unsafe {
            frames::free(address, frames);
        },
        // SAFETY: (1); the area was made for this object.
        Place::Area(bytes) => unsafe { areas::remove(&[(address, bytes)]) },
    }
}

/// Makes a run longer or shorter where it is; whether that could be done.
///
/// # Safety
/// 1. `object` lies at `place`, and nobody uses what is beyond `size`.
pub(super) unsafe fn resize(object: *mut u8, place: Place, size: usize) -> bool {
    let (Place::Run(old), Some(new)) = (place, frames_of(size)) else {
        return false;
    };
    if new == old {
        return true;
    }
    // SAFETY: (1).
    unsafe { frames::resize_run(object.addr(), old, new) }
}
