//! A span: two frames of objects of one class. Its header is in its first bytes, so an object's span is found by masking its address.

use core::cell::Cell;
use core::ptr::null_mut;

use super::classes::CLASSES;
use super::hand_back::FreeObject;
use super::local::LocalHeap;
use crate::memory::frames::FRAME_BYTES;

pub(super) const SPAN_FRAMES: usize = 2;
pub(super) const SPAN_BYTES: usize = SPAN_FRAMES * FRAME_BYTES;
pub(super) const HEADER_BYTES: usize = 64;

/// The header. All but the first and the last two fields is for the owner's core alone, which is why these are cells.
#[repr(C, align(64))]
pub(super) struct Span {
    /// The heap of the core that has the span. Never changes while an object lives.
    pub(super) owner: *const LocalHeap,
    pub(super) free: Cell<*mut FreeObject>,
    pub(super) next: Cell<*mut Span>,
    pub(super) previous: Cell<*mut Span>,
    /// Objects from this offset on were never used.
    frontier: Cell<u16>,
    pub(super) used: Cell<u16>,
    /// In its owner's list of spans that may have room.
    pub(super) is_listed: Cell<bool>,
    /// Some object was handed out by an address inside it, for its alignment.
    pub(super) has_inner_pointers: Cell<bool>,
    pub(super) object_bytes: u16,
    pub(super) class: u8,
}

const _: () = assert!(size_of::<Span>() == HEADER_BYTES);

impl Span {
    /// The header of a span without objects.
    pub(super) fn new(owner: *const LocalHeap, class: usize) -> Self {
        Self {
            owner,
            free: Cell::new(null_mut()),
            next: Cell::new(null_mut()),
            previous: Cell::new(null_mut()),
            frontier: Cell::new(HEADER_BYTES as u16),
            used: Cell::new(0),
            is_listed: Cell::new(false),
            has_inner_pointers: Cell::new(false),
            object_bytes: CLASSES[class],
            class: class as u8,
        }
    }

    /// The span that an object of a span lies in.
    #[inline]
    pub(super) fn of(object: *mut u8) -> *mut Self {
        object.map_addr(|a| a & !(SPAN_BYTES - 1)).cast()
    }

    /// Takes an object that was never used, if there is one. None begins with a frame: that is how large objects are known.
    pub(super) fn carve(this: *mut Self) -> Option<*mut u8> {
        // SAFETY: spans of a heap are there; the caller is the owner.
        let span = unsafe { &*this };
        let mut offset = usize::from(span.frontier.get());
        if offset.is_multiple_of(FRAME_BYTES) {
            offset += usize::from(span.object_bytes);
        }
        let end = offset + usize::from(span.object_bytes);
        if end > SPAN_BYTES {
            return None;
        }
        span.frontier.set(end as u16);
        Some(this.cast::<u8>().wrapping_add(offset))
    }

    /// Whether the span, which is listed, has no neighbours.
    #[inline]
    pub(super) fn is_alone(&self) -> bool {
        self.next.get().is_null() && self.previous.get().is_null()
    }

    /// Bytes between the beginning of the object that an address lies in, and the address.
    pub(super) fn offset_in_object(&self, object: *mut u8) -> usize {
        (object.addr() - (&raw const *self).addr() - HEADER_BYTES) % usize::from(self.object_bytes)
    }
}
