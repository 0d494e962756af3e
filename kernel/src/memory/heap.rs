//! The heap: size classes in spans of 16 KiB, whole frames for what is larger, an area of its own where no run of frames is long enough.
//!
//! A small object's span is found by masking its address; the span's header knows the size. Large objects start on a frame, and the
//! frame's information ([`FrameInfo::Run`]) knows how long they are. Small objects that happen to start on a frame are told apart by it too.

use super::areas;
use super::frames::{self, FRAME_BYTES, FrameInfo};
use super::paging::{self, AREAS_END, AREAS_START};
use super::{OutOfMemory, frames::FrameInfo::Run};
use crate::sync::{SpinGuard, SpinLock};

const SPAN_FRAMES: usize = 4;
const SPAN_BYTES: usize = SPAN_FRAMES * FRAME_BYTES;
const HEADER_BYTES: usize = 64;
/// Every object is aligned to this, as C's `malloc` promises.
pub const MIN_ALIGN: usize = 16;

/// Sizes of small objects: steps of 16, then about a quarter, then what divides a span well.
const CLASSES: [u16; 26] = [
    16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024,
    1360, 1632, 2032, 2720, 3264, 4080,
];
const LARGEST_SMALL: usize = 4080;

/// Class of each size, by multiples of 16.
const CLASS_OF: [u8; LARGEST_SMALL / 16 + 1] = {
    let mut table = [0; LARGEST_SMALL / 16 + 1];
    let mut class = 0;
    let mut index = 0;
    while index < table.len() {
        if index * 16 > CLASSES[class] as usize {
            class += 1;
        }
        table[index] = class as u8;
        index += 1;
    }
    table
};

struct FreeObject {
    next: *mut FreeObject,
}

/// Header of a span, in its first bytes.
#[repr(C, align(64))]
struct Span {
    free: *mut FreeObject,
    next: *mut Span,
    previous: *mut Span,
    /// Objects from this offset on were never used.
    frontier: u16,
    object_bytes: u16,
    used: u16,
    class: u8,
    is_listed: bool,
    /// Some object was handed out by an address inside it, for its alignment.
    has_inner_pointers: bool,
}

const _: () = assert!(size_of::<Span>() == HEADER_BYTES);

/// Figures about the heap.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Bytes in objects, rounded up to their classes.
    pub used_bytes: usize,
    /// Objects.
    pub objects: usize,
}

struct Heap {
    /// Spans with room, by class.
    partial: [*mut Span; CLASSES.len()],
    usage: Usage,
}

// SAFETY: the spans belong to the heap.
unsafe impl Send for Heap {}

static HEAP: SpinLock<Heap> = SpinLock::new(Heap {
    partial: [core::ptr::null_mut(); CLASSES.len()],
    usage: Usage {
        used_bytes: 0,
        objects: 0,
    },
});

/// Takes the heap's lock, with enough stack in place: areas use the heap under a lock that page faults need.
#[inline]
fn lock() -> SpinGuard<'static, Heap> {
    super::reserve_stack::<{ 2 * FRAME_BYTES }>();
    HEAP.lock()
}

impl Span {
    fn is_full(&self) -> bool {
        self.free.is_null()
            && usize::from(self.frontier) + usize::from(self.object_bytes) > SPAN_BYTES
    }
}

impl Heap {
    fn link(&mut self, span: *mut Span) {
        // SAFETY: spans of the heap are mapped and owned by it.
        unsafe {
            let class = usize::from((*span).class);
            (*span).next = self.partial[class];
            (*span).previous = core::ptr::null_mut();
            (*span).is_listed = true;
            if !(*span).next.is_null() {
                (*(*span).next).previous = span;
            }
            self.partial[class] = span;
        }
    }

    fn unlink(&mut self, span: *mut Span) {
        // SAFETY: the span is listed, so its neighbours are spans of the heap.
        unsafe {
            let Span {
                next,
                previous,
                class,
                ..
            } = *span;
            if previous.is_null() {
                self.partial[usize::from(class)] = next;
            } else {
                (*previous).next = next;
            }
            if !next.is_null() {
                (*next).previous = previous;
            }
            (*span).is_listed = false;
        }
    }

    fn new_span(&mut self, class: usize) -> Result<*mut Span, OutOfMemory> {
        let span = frames::allocate(SPAN_FRAMES, usize::MAX, FrameInfo::Span)? as *mut Span;
        // SAFETY: fresh frames, mapped one to one, aligned to their size.
        unsafe {
            span.write(Span {
                free: core::ptr::null_mut(),
                next: core::ptr::null_mut(),
                previous: core::ptr::null_mut(),
                frontier: HEADER_BYTES as u16,
                object_bytes: CLASSES[class],
                used: 0,
                class: class as u8,
                is_listed: false,
                has_inner_pointers: false,
            });
        }
        self.link(span);
        Ok(span)
    }

    fn allocate_small(&mut self, class: usize) -> Result<(*mut u8, *mut Span), OutOfMemory> {
        let mut span = self.partial[class];
        if span.is_null() {
            span = self.new_span(class)?;
        }
        // SAFETY: listed spans are the heap's and have room.
        unsafe {
            let head = (*span).free;
            let object = if head.is_null() {
                let offset = (*span).frontier;
                (*span).frontier = offset + (*span).object_bytes;
                span.cast::<u8>().add(usize::from(offset))
            } else {
                (*span).free = (*head).next;
                head.cast()
            };
            (*span).used += 1;
            self.usage.objects += 1;
            self.usage.used_bytes += usize::from((*span).object_bytes);
            if (*span).is_full() {
                self.unlink(span);
            }
            Ok((object, span))
        }
    }

    /// Counts a large object out.
    fn forget(&mut self, bytes: usize) {
        self.usage.objects -= 1;
        self.usage.used_bytes -= bytes;
    }

    /// # Safety
    /// 1. `object` was allocated in `span` and is not used any more.
    unsafe fn free_small(&mut self, object: *mut u8, span: *mut Span) {
        // SAFETY: (1), and spans belong to the heap.
        unsafe {
            let object_bytes = usize::from((*span).object_bytes);
            let mut start = object;
            if (*span).has_inner_pointers {
                let offset = object as usize - span as usize - HEADER_BYTES;
                start = object.sub(offset % object_bytes);
            }
            let free = start.cast::<FreeObject>();
            free.write(FreeObject { next: (*span).free });
            (*span).free = free;
            (*span).used -= 1;
            self.usage.objects -= 1;
            self.usage.used_bytes -= object_bytes;
            if !(*span).is_listed {
                self.link(span);
            } else if (*span).used == 0 && !((*span).next.is_null() && (*span).previous.is_null()) {
                // The last span of a class is kept, so that one object that comes and goes costs no frames.
                self.unlink(span);
                frames::free(span as usize, SPAN_FRAMES);
            }
        }
    }
}

/// Allocates `size` bytes aligned to `align` (a power of two); null when there is no memory. Never null otherwise, for 0 bytes too.
pub fn allocate(size: usize, align: usize) -> *mut u8 {
    // An object of no bytes has one all the same: aligned, it must not begin behind its place.
    let size = size.max(1);
    let padded = if align > MIN_ALIGN {
        size.saturating_add(align - MIN_ALIGN)
    } else {
        size
    };
    if padded > LARGEST_SMALL {
        return allocate_run(size, align);
    }
    let class = usize::from(CLASS_OF[padded.div_ceil(16)]);
    let mut heap = lock();
    let Ok((object, span)) = heap.allocate_small(class) else {
        return core::ptr::null_mut();
    };
    let offset = object.align_offset(align);
    if offset != 0 {
        // SAFETY: the span is the heap's, which is locked.
        unsafe { (*span).has_inner_pointers = true };
    }
    object.wrapping_add(offset)
}

fn allocate_run(size: usize, align: usize) -> *mut u8 {
    let Some(bytes) = size.checked_next_multiple_of(FRAME_BYTES) else {
        return core::ptr::null_mut();
    };
    let frames = bytes / FRAME_BYTES;
    if frames >= 1 << 29 {
        return core::ptr::null_mut();
    }
    // A block is aligned to its size, rounded up to a power of two; for more alignment, take more and give the rest back.
    let taken = frames.max(align / FRAME_BYTES);
    let Ok(address) = frames::allocate(taken, usize::MAX, Run(frames as u32)) else {
        return allocate_scattered(bytes, align);
    };
    if taken > frames {
        // SAFETY: the frames behind the run were allocated just now.
        unsafe { frames::free(address + frames * FRAME_BYTES, taken - frames) };
    }
    let mut heap = lock();
    heap.usage.objects += 1;
    heap.usage.used_bytes += bytes;
    address as *mut u8
}

/// A large object when no run of frames is long enough: single frames, made to follow each other by the page tables.
fn allocate_scattered(bytes: usize, align: usize) -> *mut u8 {
    if bytes > frames::usage().0 || align > FRAME_BYTES || !paging::is_installed() {
        return core::ptr::null_mut();
    }
    let Ok(address) = areas::create_backed(bytes) else {
        return core::ptr::null_mut();
    };
    let mut heap = lock();
    heap.usage.objects += 1;
    heap.usage.used_bytes += bytes;
    address as *mut u8
}

enum Place {
    Small(*mut Span),
    /// Number of frames.
    Run(usize),
    /// Number of bytes.
    Scattered(usize),
}

/// # Safety
/// 1. `object` is one that [`allocate`] gave and that was not freed.
unsafe fn place_of(object: *mut u8) -> Place {
    if (AREAS_START..AREAS_END).contains(&(object as usize)) {
        return Place::Scattered(areas::len_bytes(object as usize));
    }
    if (object as usize).is_multiple_of(FRAME_BYTES)
        && let Run(frames) = frames::info(object as usize)
    {
        return Place::Run(frames as usize);
    }
    Place::Small((object as usize & !(SPAN_BYTES - 1)) as *mut Span)
}

/// Frees an object; null is ignored.
///
/// # Safety
/// 1. `object` is null or one that [`allocate`] gave, and nobody uses it any more.
pub unsafe fn free(object: *mut u8) {
    if object.is_null() {
        return;
    }
    // SAFETY: the caller's promise (1).
    match unsafe { place_of(object) } {
        // SAFETY: as above.
        Place::Small(span) => unsafe { lock().free_small(object, span) },
        Place::Run(frames) => {
            lock().forget(frames * FRAME_BYTES);
            // SAFETY: as above; the run is as long as its information says.
            unsafe { frames::free(object as usize, frames) };
        }
        Place::Scattered(bytes) => {
            lock().forget(bytes);
            // SAFETY: as above; the area was made for this object.
            unsafe { areas::remove(&[(object as usize, bytes)]) };
        }
    }
}

/// Bytes that may be used from `object` on: at least what was asked for.
///
/// # Safety
/// 1. `object` is one that [`allocate`] gave and that was not freed.
pub unsafe fn usable_bytes(object: *mut u8) -> usize {
    // SAFETY: the caller's promise (1).
    match unsafe { place_of(object) } {
        Place::Run(frames) => frames * FRAME_BYTES,
        Place::Scattered(bytes) => bytes,
        Place::Small(span) => {
            // SAFETY: the span of a live object is the heap's; these fields do not change while it lives.
            let (object_bytes, has_inner) = unsafe {
                (
                    usize::from((*span).object_bytes),
                    (*span).has_inner_pointers,
                )
            };
            let used = if has_inner {
                (object as usize - span as usize - HEADER_BYTES) % object_bytes
            } else {
                0
            };
            object_bytes - used
        }
    }
}

/// How much is allocated.
pub fn usage() -> Usage {
    lock().usage
}

#[cfg(test)]
mod tests {
    use std::alloc::{Layout, alloc};
    use std::sync::{Mutex, Once};

    use super::{allocate, free, usable_bytes, usage};
    use crate::memory::frames;

    /// The heap is one for the whole kernel: tests take turns.
    static TURN: Mutex<()> = Mutex::new(());
    static START: Once = Once::new();

    fn start() {
        const BYTES: usize = 64 << 20;
        START.call_once(|| {
            let layout = Layout::from_size_align(BYTES, 4096).expect("a layout");
            // SAFETY: the memory is given to the frame allocator for ever.
            unsafe {
                let memory = alloc(layout) as usize;
                frames::add_region(memory, memory + BYTES);
            }
        });
    }

    #[test]
    fn objects_keep_their_content_and_alignment_and_all_memory_comes_back() {
        let _turn = TURN.lock();
        start();
        let free_at_start = frames::usage().0;
        let mut state = 7u64;
        let mut live: Vec<(*mut u8, usize, u8)> = Vec::new();
        for round in 0..60_000u32 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            if state >> 61 < 4 {
                let size = ((state >> 33) as usize % 5000) >> ((state >> 20) % 10);
                let align = 16 << ((state >> 50) % 6);
                let pointer = allocate(size, align);
                assert!(!pointer.is_null() && (pointer as usize).is_multiple_of(align));
                let start = pointer as usize;
                for &(other, other_size, _) in &live {
                    let other = other as usize;
                    assert!(
                        start + size <= other || other + other_size <= start,
                        "{start:#x} {size} {align} overlaps {other:#x} {other_size}"
                    );
                }
                // SAFETY: allocated just now.
                unsafe {
                    assert!(usable_bytes(pointer) >= size);
                    pointer.write_bytes(round as u8, size);
                }
                live.push((pointer, size, round as u8));
            } else if !live.is_empty() {
                let (pointer, size, byte) = live.swap_remove((state >> 40) as usize % live.len());
                // SAFETY: live until here.
                unsafe {
                    assert!(
                        std::slice::from_raw_parts(pointer, size)
                            .iter()
                            .all(|&b| b == byte)
                    );
                    free(pointer);
                }
            }
        }
        for (pointer, ..) in live {
            // SAFETY: live until here.
            unsafe { free(pointer) };
        }
        assert_eq!((usage().objects, usage().used_bytes), (0, 0));
        // One span of each class may be kept.
        assert!(free_at_start - frames::usage().0 <= super::CLASSES.len() * super::SPAN_BYTES);
    }

    #[test]
    fn large_and_impossible_sizes() {
        let _turn = TURN.lock();
        start();
        let before = frames::usage().0;
        let pointer = allocate(3 << 20, 1 << 16);
        assert!(!pointer.is_null() && (pointer as usize).is_multiple_of(1 << 12));
        // SAFETY: allocated just now.
        unsafe {
            assert_eq!(usable_bytes(pointer), 3 << 20);
            free(pointer);
        }
        assert_eq!(frames::usage().0, before);
        assert!(allocate(usize::MAX, 16).is_null());
        assert!(allocate(1 << 40, 16).is_null());
    }
}
