//! The kernel's own `alloc`, on the same heap as the program's `malloc`, and on the reserve when that has nothing.

use core::alloc::{GlobalAlloc, Layout};

use super::heap;

struct KernelAllocator;

// SAFETY: the heap gives memory of the size and alignment asked for, that nobody else has.
unsafe impl GlobalAlloc for KernelAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let object = heap::allocate(layout.size(), layout.align());
        if object.is_null() {
            return heap::allocate_reserved(layout.size(), layout.align());
        }
        object
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, _layout: Layout) {
        // SAFETY: the caller gives back what `alloc` gave.
        unsafe { heap::free(pointer) };
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller gives what `alloc` gave, with this alignment.
        let resized = unsafe { heap::resize(pointer, new_size, layout.align()) };
        if !resized.is_null() {
            return resized;
        }
        let reserved = heap::allocate_reserved(new_size, layout.align());
        if !reserved.is_null() {
            // SAFETY: both are as long as what is copied; the old one is used no more (the caller's promise).
            unsafe {
                reserved.copy_from_nonoverlapping(pointer, layout.size().min(new_size));
                heap::free(pointer);
            }
        }
        reserved
    }
}

#[global_allocator]
static ALLOCATOR: KernelAllocator = KernelAllocator;
