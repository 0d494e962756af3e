//! `malloc` and its kin (POSIX.1-2017; malloc(3)).

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

use super::errno;
use crate::error::Errno;
use crate::memory::heap::{self, MIN_ALIGN};

fn or_no_memory(pointer: *mut u8) -> *mut c_void {
    if pointer.is_null() {
        errno::set(Errno(libc::ENOMEM));
    }
    pointer.cast()
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn malloc(size: usize) -> *mut c_void {
    let pointer = heap::allocate_freed(size);
    match pointer.is_null() {
        true => allocate_or_no_memory(size),
        false => pointer.cast(),
    }
}

#[inline(never)]
fn allocate_or_no_memory(size: usize) -> *mut c_void {
    or_no_memory(heap::allocate(size, MIN_ALIGN))
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else {
        return or_no_memory(null_mut());
    };
    let pointer = heap::allocate(bytes, MIN_ALIGN);
    if !pointer.is_null() {
        // SAFETY: `bytes` bytes were allocated just now.
        unsafe { pointer.write_bytes(0, bytes) };
    }
    or_no_memory(pointer)
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn free(pointer: *mut c_void) {
    // SAFETY: C's rules: a pointer from `malloc` and its kin, used no more.
    unsafe { heap::free(pointer.cast()) };
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn realloc(pointer: *mut c_void, size: usize) -> *mut c_void {
    let old = pointer.cast::<u8>();
    if old.is_null() {
        return malloc(size);
    }
    // SAFETY: C's rules: a live pointer from `malloc` and its kin.
    or_no_memory(unsafe { heap::resize(old, size, MIN_ALIGN) })
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn posix_memalign(
    out: *mut *mut c_void,
    align: usize,
    size: usize,
) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<usize>()) {
        return libc::EINVAL;
    }
    let pointer = heap::allocate(size, align);
    if pointer.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's pointer to a result.
    unsafe { *out = pointer.cast() };
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if !align.is_power_of_two() {
        errno::set(Errno(libc::EINVAL));
        return null_mut();
    }
    or_no_memory(heap::allocate(size, align.max(MIN_ALIGN)))
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    aligned_alloc(align, size)
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn malloc_usable_size(pointer: *mut c_void) -> usize {
    if pointer.is_null() {
        return 0;
    }
    // SAFETY: C's rules: a live pointer from `malloc` and its kin.
    unsafe { heap::usable_bytes(pointer.cast()) }
}
