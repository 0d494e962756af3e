//! The kernel's own `alloc`, on the same heap as the program's `malloc`.

use core::alloc::{GlobalAlloc, Layout};

use super::heap;

struct KernelAllocator;

// SAFETY: the heap gives memory of the size and alignment asked for, that nobody else has.
unsafe impl GlobalAlloc for KernelAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        heap::allocate(layout.size(), layout.align())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, _layout: Layout) {
        // SAFETY: the caller gives back what `alloc` gave.
        unsafe { heap::free(pointer) };
    }
}

#[global_allocator]
static ALLOCATOR: KernelAllocator = KernelAllocator;
