//! The heap of one core: spans of small objects. Its core uses it without a lock; other cores only hand objects back.

use core::cell::Cell;
use core::ptr::null_mut;

use super::atomic::{AtomicPtr, AtomicUsize, Ordering};
use super::classes::CLASSES;
use super::hand_back::{FreeObject, HandBack};
use super::large::Spares;
use super::span::{SPAN_FRAMES, Span};
use crate::memory::OutOfMemory;
use crate::memory::frames::{self, FrameInfo, Stock};

/// So many bytes wait for a core that halts before it is woken to take them back.
const WAKE_BYTES: usize = 32 << 10;

/// The small objects of a core.
pub struct LocalHeap {
    /// Where its spans come from.
    stock: Stock,
    /// Spans that may have room, by class; the first one is allocated from.
    listed: [Cell<*mut Span>; CLASSES.len()],
    /// Runs that large objects left.
    pub(super) spares: Spares,
    handed_back: Incoming,
}

/// What other cores write, on a cache line of its own.
#[repr(align(64))]
struct Incoming {
    objects: HandBack,
    /// Bytes of what was handed back and not taken yet, about.
    bytes: AtomicUsize,
}

// SAFETY: all but `handed_back`, which is atomic, is used by the heap's core alone: the functions that do say so.
unsafe impl Sync for LocalHeap {}
// SAFETY: a heap moves before its core runs, with no spans.
unsafe impl Send for LocalHeap {}

impl LocalHeap {
    /// A heap without memory.
    pub const fn new(stock: Stock) -> Self {
        Self {
            stock,
            listed: [const { Cell::new(null_mut()) }; CLASSES.len()],
            spares: Spares::new(),
            handed_back: Incoming {
                objects: HandBack(AtomicPtr::new(null_mut())),
                bytes: AtomicUsize::new(0),
            },
        }
    }

    /// Allocates an object; null when there is no memory.
    ///
    /// # Safety
    /// 1. The heap is that of the core that calls.
    #[inline]
    pub(super) unsafe fn allocate(&self, class: usize) -> *mut u8 {
        // SAFETY: (1).
        let object = unsafe { self.allocate_freed(class) };
        match object.is_null() {
            true => self.allocate_fresh(class),
            false => object,
        }
    }

    /// Allocates an object that was freed before in the span that is allocated from; null when there is none.
    ///
    /// # Safety
    /// 1. The heap is that of the core that calls.
    #[inline]
    pub(super) unsafe fn allocate_freed(&self, class: usize) -> *mut u8 {
        let span = self.listed[class].get();
        if span.is_null() {
            return null_mut();
        }
        // SAFETY: listed spans are the heap's; (1).
        unsafe {
            let head = (*span).free.get();
            if !head.is_null() {
                (*span).free.set((*head).next);
                (*span).used.update(|used| used + 1);
            }
            head.cast()
        }
    }

    /// From what was never used, if other cores have handed nothing back.
    #[inline(never)]
    fn allocate_fresh(&self, class: usize) -> *mut u8 {
        let span = self.listed[class].get();
        if !span.is_null()
            && self.handed_back.objects.is_empty()
            && let Some(object) = Span::carve(span)
        {
            // SAFETY: listed spans are the heap's, whose core calls.
            unsafe { (*span).used.update(|used| used + 1) };
            return object;
        }
        self.allocate_slowly(class)
    }

    /// After what other cores have freed, and spans that are full: from the next span, or a new one.
    #[inline(never)]
    fn allocate_slowly(&self, class: usize) -> *mut u8 {
        self.take_back();
        loop {
            let mut span = self.listed[class].get();
            if span.is_null() {
                match self.new_span(class) {
                    Ok(new) => span = new,
                    Err(OutOfMemory) => return null_mut(),
                }
            }
            // SAFETY: listed spans are the heap's, whose core calls.
            unsafe {
                let head = (*span).free.get();
                let object = if head.is_null() {
                    Span::carve(span)
                } else {
                    (*span).free.set((*head).next);
                    Some(head.cast())
                };
                if let Some(object) = object {
                    (*span).used.update(|used| used + 1);
                    return object;
                }
                self.unlink(&*span);
            }
        }
    }

    fn new_span(&self, class: usize) -> Result<*mut Span, OutOfMemory> {
        let allocate =
            || frames::allocate_from(self.stock, SPAN_FRAMES, usize::MAX, FrameInfo::Span);
        let span = allocate().or_else(|OutOfMemory| {
            self.release_unused();
            allocate()
        })? as *mut Span;
        // SAFETY: fresh frames, mapped one to one, aligned to their size.
        unsafe {
            span.write(Span::new(self, class));
            self.link(&*span);
        }
        Ok(span)
    }

    /// Frees an object of a span of this heap.
    ///
    /// # Safety
    /// 1. The heap is that of the core that calls.
    /// 2. The object was allocated in the span, which is of this heap, and nobody uses it any more.
    #[inline]
    pub(super) unsafe fn free(&self, object: *mut u8, span: *mut Span) {
        // SAFETY: (2).
        let span = unsafe { &*span };
        let mut start = object;
        if span.has_inner_pointers.get() {
            start = object.wrapping_sub(span.offset_in_object(object));
        }
        let free = start.cast::<FreeObject>();
        // SAFETY: (2); every object has room for a link.
        unsafe {
            free.write(FreeObject {
                next: span.free.get(),
            });
        }
        span.free.set(free);
        let used = span.used.get() - 1;
        span.used.set(used);
        if !span.is_listed.get() || (used == 0 && !span.is_alone()) {
            self.settle(span);
        }
    }

    /// After an object was freed: a span that was full has room again. One that is empty goes, unless it is its class's only one
    /// with room: so an object that comes and goes costs no frames.
    #[inline(never)]
    fn settle(&self, span: &Span) {
        if !span.is_listed.get() {
            self.link(span);
        }
        if span.used.get() == 0 && !span.is_alone() {
            self.release(span);
        }
    }

    #[inline(never)]
    fn release(&self, span: &Span) {
        self.unlink(span);
        // SAFETY: no object of the span lives, and it is in no list.
        unsafe { frames::free((&raw const *span).addr(), SPAN_FRAMES) };
    }

    /// Gives back the empty spans and the runs that are kept.
    pub(super) fn release_unused(&self) {
        self.spares.release();
        for list in &self.listed {
            let mut span = list.get();
            while !span.is_null() {
                // SAFETY: listed spans are the heap's.
                let this = unsafe { &*span };
                span = this.next.get();
                if this.used.get() == 0 {
                    self.release(this);
                }
            }
        }
    }

    /// Hands an object back from another core; wakes the heap's core, by `wake`, if much waits for it.
    ///
    /// # Safety
    /// 1. The object was allocated in the span, and nobody uses it any more.
    #[inline(never)]
    pub(super) unsafe fn hand_back(object: *mut u8, span: *mut Span, wake: impl FnOnce(&Self)) {
        // SAFETY: (1): while the object lives, owner and size stay what they are.
        let (owner, bytes) = unsafe { (&*(*span).owner, usize::from((*span).object_bytes)) };
        // SAFETY: (1). An address inside an object has at least `MIN_ALIGN` bytes behind it.
        unsafe { owner.handed_back.objects.push(object.cast()) };
        let before = owner.handed_back.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before / WAKE_BYTES != (before + bytes) / WAKE_BYTES {
            wake(owner);
        }
    }

    /// Frees what other cores have handed back. For the heap's core; one load when there is nothing.
    #[inline]
    pub(super) fn take_back(&self) {
        if !self.handed_back.objects.is_empty() {
            self.take_all_back();
        }
    }

    #[inline(never)]
    fn take_all_back(&self) {
        self.handed_back.bytes.store(0, Ordering::Relaxed);
        let mut object = self.handed_back.objects.take_all();
        while !object.is_null() {
            // SAFETY: objects on their way home are linked, and are now this heap's alone.
            unsafe {
                let next = (*object).next;
                self.free(object.cast(), Span::of(object.cast()));
                object = next;
            }
        }
    }

    #[inline(never)]
    fn link(&self, span: &Span) {
        let list = &self.listed[usize::from(span.class)];
        let pointer = (&raw const *span).cast_mut();
        span.next.set(list.get());
        span.previous.set(null_mut());
        span.is_listed.set(true);
        // SAFETY: listed spans are the heap's.
        if let Some(next) = unsafe { list.get().as_ref() } {
            next.previous.set(pointer);
        }
        list.set(pointer);
    }

    fn unlink(&self, span: &Span) {
        let (next, previous) = (span.next.get(), span.previous.get());
        // SAFETY: the span is listed, so its neighbours are spans of the heap.
        unsafe {
            match previous.as_ref() {
                Some(previous) => previous.next.set(next),
                None => self.listed[usize::from(span.class)].set(next),
            }
            if let Some(next) = next.as_ref() {
                next.previous.set(previous);
            }
        }
        span.is_listed.set(false);
    }

    /// Objects that live, of spans that have room; for tests, in which no span is full at the end.
    #[cfg(test)]
    pub(super) fn listed_objects(&self) -> usize {
        let mut count = 0;
        for list in &self.listed {
            let mut span = list.get();
            // SAFETY: listed spans are the heap's.
            while let Some(this) = unsafe { span.as_ref() } {
                count += usize::from(this.used.get());
                span = this.next.get();
            }
        }
        count
    }
}
