//! What the unwinder asks: the image's program headers. The `_Unwind_*` functions are those of the crate `unwinding`.

use core::ffi::{c_char, c_int, c_void};

use crate::image;

// Linked in for its exported functions.
use unwinding as _;

#[unsafe(no_mangle)]
unsafe extern "C" fn dl_iterate_phdr(
    callback: extern "C" fn(*mut libc::dl_phdr_info, usize, *mut c_void) -> c_int,
    data: *mut c_void,
) -> c_int {
    let headers = image::program_headers();
    // SAFETY: a structure of integers and pointers, for which zero is a value.
    let mut info: libc::dl_phdr_info = unsafe { core::mem::zeroed() };
    info.dlpi_name = c"".as_ptr().cast::<c_char>();
    info.dlpi_phdr = headers.as_ptr().cast();
    info.dlpi_phnum = headers.len() as u16;
    callback(&raw mut info, size_of_val(&info), data)
}
