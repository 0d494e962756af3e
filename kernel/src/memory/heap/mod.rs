//! The heap: each core has small objects of its own, in spans ([`LocalHeap`]); what is larger lies in whole frames (`large`).
//!
//! Allocating and freeing on one core takes no lock. An object that another core frees goes home to the core that allocated it, by a
//! list without a lock (`hand_back`); that core takes it back when it needs memory, or before it halts. So objects in a
//! span are only ever touched by its owner, and the spans that empty are given back to the frames, where all cores find them.
//!
//! What the kernel itself allocates comes from a heap of its own when there is no other memory (`reserve`).
//!
//! A large object begins with a frame, and the frame's information says how long it is. Small objects begin elsewhere, but for the few
//! with a large alignment.

mod classes;
mod hand_back;
mod large;
mod local;
mod reserve;
mod span;
#[cfg(test)]
pub(crate) mod tests;

/// The atomics of the kernel.
mod atomic {
    pub(super) use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
}

use core::ptr::null_mut;

use classes::LARGEST_SMALL;
pub use classes::MIN_ALIGN;
pub use local::LocalHeap;
pub use reserve::{allocate_reserved, is_short};
use span::Span;

use super::frames::FRAME_BYTES;

/// The heap of the core that calls.
#[cfg(not(test))]
#[inline]
fn local() -> &'static LocalHeap {
    &crate::arch::x86_64::core_local::current().heap
}

/// On the host each thread stands for a core.
#[cfg(test)]
use tests::local;

/// Wakes the core that a heap belongs to, if it halts, so that it takes back what waits for it.
fn wake_owner(heap: &LocalHeap) {
    #[cfg(not(test))]
    {
        use crate::arch::{interrupts, x86_64::core_local};
        use core::sync::atomic::Ordering;
        let owner = (0..core_local::count())
            .filter_map(core_local::get)
            .find(|core| core::ptr::eq(&core.heap, heap));
        if let Some(core) = owner.filter(|core| core.is_halted.load(Ordering::Relaxed)) {
            interrupts::wake(core);
        }
    }
    #[cfg(test)]
    let _ = heap;
}

/// Takes back what other cores have freed of this core's. Called before a core halts.
#[inline]
pub fn take_back() {
    local().take_back();
}

/// Allocates `size` bytes aligned to `align` (a power of two); null when there is no memory. Never null otherwise, for 0 bytes too.
#[inline]
pub fn allocate(size: usize, align: usize) -> *mut u8 {
    if size <= LARGEST_SMALL && align <= MIN_ALIGN {
        // SAFETY: the heap is this core's.
        return unsafe { local().allocate(classes::class_of(size)) };
    }
    allocate_unusual(size, align)
}

/// A small object of `size` bytes that was freed before, aligned to [`MIN_ALIGN`]; null when there is none at hand, and [`allocate`] is to be asked.
#[inline]
pub fn allocate_freed(size: usize) -> *mut u8 {
    if size > LARGEST_SMALL {
        return null_mut();
    }
    // SAFETY: the heap is this core's.
    unsafe { local().allocate_freed(classes::class_of(size)) }
}

#[inline(never)]
fn allocate_unusual(size: usize, align: usize) -> *mut u8 {
    // An object of no bytes has one all the same: aligned, it must not begin behind its place.
    let size = size.max(1);
    let padded = size.saturating_add(align.max(MIN_ALIGN) - MIN_ALIGN);
    if padded > LARGEST_SMALL {
        return large::allocate(size, align);
    }
    // SAFETY: the heap is this core's.
    let object = unsafe { local().allocate(classes::class_of(padded)) };
    if object.is_null() {
        return object;
    }
    let offset = object.align_offset(align);
    if offset != 0 {
        // SAFETY: the span is this core's.
        unsafe { (*Span::of(object)).has_inner_pointers.set(true) };
    }
    object.wrapping_add(offset)
}

/// Whether an object may be large, or no object: else it is a small one.
#[inline]
fn begins_with_a_frame(object: *mut u8) -> bool {
    object.addr().is_multiple_of(FRAME_BYTES)
}

/// Frees an object; null is ignored.
///
/// # Safety
/// 1. `object` is null or one that [`allocate`] gave, and nobody uses it any more.
#[inline]
pub unsafe fn free(object: *mut u8) {
    if begins_with_a_frame(object) {
        // SAFETY: the caller's promise (1).
        unsafe { free_unusual(object) };
    } else {
        // SAFETY: as above; large objects begin with a frame.
        unsafe { free_small(object) };
    }
}

/// # Safety
/// 1. `object` is a small object that [`allocate`] gave, and nobody uses it any more.
#[inline]
unsafe fn free_small(object: *mut u8) {
    let span = Span::of(object);
    let heap = local();
    // SAFETY: (1): the span of a live object is there, and its owner stays the same.
    unsafe {
        if core::ptr::eq((*span).owner, heap) {
            heap.free(object, span);
        } else {
            LocalHeap::hand_back(object, span, wake_owner);
        }
    }
}

/// # Safety
/// 1. As for [`free`].
#[inline(never)]
unsafe fn free_unusual(object: *mut u8) {
    if object.is_null() {
        return;
    }
    // SAFETY: (1).
    unsafe {
        match large::place_of(object) {
            Some(place) => large::free(object, place),
            None => free_small(object),
        }
    }
}

/// Makes an object larger or smaller, elsewhere if need be; null, and the object as it was, when there is no memory.
///
/// # Safety
/// 1. `object` is one that [`allocate`] gave with this `align`, or less, and nobody uses it by the old address any more.
pub unsafe fn resize(object: *mut u8, size: usize, align: usize) -> *mut u8 {
    // SAFETY: (1).
    let old_bytes = unsafe { usable_bytes(object) };
    // A much smaller size moves, so that memory comes back.
    if size <= old_bytes && size >= old_bytes / 2 {
        return object;
    }
    if size > LARGEST_SMALL
        && begins_with_a_frame(object)
        && let Some(place) = large::place_of(object)
    {
        // SAFETY: (1), and it lies there.
        let is_done = unsafe { large::resize(object, place, size) };
        if is_done {
            return object;
        }
    }
    let new = allocate(size, align);
    if !new.is_null() {
        // SAFETY: both are as long as what is copied; the old one is used no more (1).
        unsafe {
            new.copy_from_nonoverlapping(object, old_bytes.min(size));
            free(object);
        }
    }
    new
}

/// Bytes that may be used from `object` on: at least what was asked for.
///
/// # Safety
/// 1. `object` is one that [`allocate`] gave and that was not freed.
pub unsafe fn usable_bytes(object: *mut u8) -> usize {
    if begins_with_a_frame(object)
        && let Some(place) = large::place_of(object)
    {
        return place.len_bytes();
    }
    let span = Span::of(object);
    // SAFETY: the span of a live object (1) is there, and its objects' size does not change. An address inside the object is told by
    // arithmetic alone: the header's other fields are for the owner.
    unsafe { usize::from((*span).object_bytes) - (*span).offset_in_object(object) }
}
