//! What the unwinder asks: the image's program headers, and the frames of code that the program made itself. The `_Unwind_*` functions are
//! those of the crate `unwinding`.
//!
//! A compiler at run time tells of the frames of its functions by [`__register_frame`] (libgcc, unwind-dw2-fde.h). They are shown to the unwinder as
//! an object of their own, with a header that has no table: so it looks for a function among them one by one.

use alloc::vec::Vec;
use core::ffi::{CStr, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::image;
use crate::memory::paging::{AREAS_END, AREAS_START};
use crate::sync::SpinLock;

// Linked in for its exported functions.
use unwinding as _;

type Callback = extern "C" fn(*mut libc::dl_phdr_info, usize, *mut c_void) -> c_int;
type Visit = fn(Callback, *mut c_void) -> c_int;

/// Where the sections of frames are that the program told of.
static SECTIONS: SpinLock<Vec<usize>> = SpinLock::new(Vec::new());

/// [`visit_sections`], once there was a section: programs that make no code have none of this.
static VISIT_SECTIONS: AtomicPtr<()> = AtomicPtr::new(null_mut());

#[unsafe(no_mangle)]
unsafe extern "C" fn dl_iterate_phdr(callback: Callback, data: *mut c_void) -> c_int {
    let result = tell(callback, data, c"", image::program_headers());
    let visit = VISIT_SECTIONS.load(Ordering::Acquire);
    if result != 0 || visit.is_null() {
        return result;
    }
    // SAFETY: only `__register_frame` stores here.
    unsafe { core::mem::transmute::<*mut (), Visit>(visit)(callback, data) }
}

fn tell<Header>(callback: Callback, data: *mut c_void, name: &CStr, headers: &[Header]) -> c_int {
    // SAFETY: a structure of integers and pointers, for which zero is a value.
    let mut info: libc::dl_phdr_info = unsafe { core::mem::zeroed() };
    info.dlpi_name = name.as_ptr();
    info.dlpi_phdr = headers.as_ptr().cast();
    info.dlpi_phnum = headers.len() as u16;
    callback(&raw mut info, size_of_val(&info), data)
}

/// A header of frames without a table (Linux Standard Base, Core, section 10.6.2): version 1, an address as it is, no count, no table.
#[repr(C)]
struct FrameHeader {
    version: u8,
    encodings: [u8; 3],
    /// Where the frames are: 8 bytes, not aligned.
    frames: [u8; 8],
}

fn visit_sections(callback: Callback, data: *mut c_void) -> c_int {
    const ADDRESS: u8 = 0;
    const OMITTED: u8 = 0xff;
    let mut index = 0;
    loop {
        // The callback may be the program's: it is called without the lock.
        let Some(section) = SECTIONS.lock().get(index).copied() else {
            return 0;
        };
        let header = FrameHeader {
            version: 1,
            encodings: [ADDRESS, OMITTED, OMITTED],
            frames: section.to_ne_bytes(),
        };
        let of_kind = |kind, start: usize, len: usize| libc::Elf64_Phdr {
            p_type: kind,
            p_flags: libc::PF_R,
            p_offset: 0,
            p_vaddr: start as u64,
            p_paddr: 0,
            p_filesz: len as u64,
            p_memsz: len as u64,
            p_align: 1,
        };
        // Code that a program makes can be anywhere there.
        let headers = [
            of_kind(libc::PT_LOAD, AREAS_START, AREAS_END - AREAS_START),
            of_kind(
                libc::PT_GNU_EH_FRAME,
                &raw const header as usize,
                size_of_val(&header),
            ),
        ];
        let result = tell(callback, data, c"code made at run time", &headers);
        if result != 0 {
            return result;
        }
        index += 1;
    }
}

/// # Safety
/// From `section` on there are frames as in `.eh_frame`, with a length of zero at their end, until [`__deregister_frame`] is called for them.
#[unsafe(no_mangle)]
unsafe extern "C" fn __register_frame(section: *const c_void) {
    // SAFETY: the caller's; a length is 4 bytes.
    if section.is_null() || unsafe { section.cast::<u32>().read_unaligned() } == 0 {
        return;
    }
    SECTIONS.lock().push(section as usize);
    VISIT_SECTIONS.store(visit_sections as Visit as *mut (), Ordering::Release);
}

#[unsafe(no_mangle)]
extern "C" fn __deregister_frame(section: *const c_void) {
    let mut sections = SECTIONS.lock();
    if let Some(index) = sections
        .iter()
        .rposition(|&known| known == section as usize)
    {
        sections.remove(index);
    }
}
