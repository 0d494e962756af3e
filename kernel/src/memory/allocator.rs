//! The kernel's own `alloc`, on the same heap as the program's `malloc`.

use core::alloc::{GlobalAlloc, Layout};

use super::heap;

struct KernelAllocator;

// SAFETY: the heap gives memory of the size and alignment asked for, that nobody else has.
unsafe impl GlobalAlloc for KernelAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        heap::allocate(layout.size(), layout.align())
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, _layout: Layout) {
        // SAFETY: the caller gives back what `alloc` gave.
        unsafe { heap::free(pointer) };
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller gives what `alloc` gave, with this alignment.
        unsafe { heap::resize(pointer, new_size, layout.align()) }
    }
}

#[global_allocator]
static ALLOCATOR: KernelAllocator = KernelAllocator;
