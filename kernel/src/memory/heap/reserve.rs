//! The kernel's reserve: a heap that all cores share, for what the kernel allocates when programs have taken all other memory.
//!
//! Most of what the kernel allocates is small, and much of it must be there: a packet is received, an area is split, a file is closed. What makes
//! more of something on a program's behalf (files, descriptors) asks [`is_short`] first, and is refused while the reserve is low.
//!
//! An object of the reserve goes home as one that another core has freed.

use core::ptr::null_mut;

use super::classes::{self, LARGEST_SMALL};
use super::{LocalHeap, MIN_ALIGN, large};
use crate::memory::frames::{self, FRAME_BYTES, Stock};
use crate::memory::reserve_stack;
use crate::sync::SpinLock;

/// Who has the lock is to this heap what a core is to its own.
static RESERVE: SpinLock<LocalHeap> = SpinLock::new(LocalHeap::new(Stock::Reserve));

/// Allocates an object for the kernel when [`super::allocate`] has none; null when the reserve has none either, or the object is
/// too large for it (see [`large::allocate_reserved`]) or is to be aligned to more than a frame.
#[cold]
pub fn allocate_reserved(size: usize, align: usize) -> *mut u8 {
    if align > FRAME_BYTES {
        return null_mut();
    }
    if size > LARGEST_SMALL || align > MIN_ALIGN {
        return large::allocate_reserved(size.max(1));
    }
    reserve_stack::<{ 2 * FRAME_BYTES }>();
    // SAFETY: nobody else uses the heap while it is locked.
    unsafe { RESERVE.lock().allocate(classes::class_of(size)) }
}

/// Whether memory is so short that even the kernel should make nothing that it can refuse.
#[inline]
pub fn is_short() -> bool {
    frames::is_short() && is_short_without_the_unused()
}

/// The same, after what is in the reserve without being used went back.
#[cold]
fn is_short_without_the_unused() -> bool {
    reserve_stack::<{ 2 * FRAME_BYTES }>();
    let reserve = RESERVE.lock();
    reserve.take_back();
    reserve.release_unused();
    drop(reserve);
    frames::is_short()
}
