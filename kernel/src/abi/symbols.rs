//! The program's symbols, and who called whom (glibc: dladdr(3), backtrace(3)). Names are in the image, unless it was built without.

use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;

use super::file::write;
use super::memory::malloc;
use crate::fault::UnwindContext;
use crate::image::{self, MAX_NAME_BYTES};
use crate::sync::SpinLock;

/// Names that were given out: they live for ever, so each is made once.
static NAMES: SpinLock<Vec<(usize, &'static CStr)>> = SpinLock::new(Vec::new());

/// Name and start of the function at an address.
fn function_at(address: usize) -> Option<(&'static CStr, usize)> {
    let mut buffer = [0; MAX_NAME_BYTES];
    let (name, offset) = image::symbol(address, &mut buffer)?;
    let start = address - offset;
    let mut names = NAMES.lock();
    if let Some((_, name)) = names.iter().find(|(known, _)| *known == start) {
        return Some((name, start));
    }
    let name: &'static CStr = Box::leak(CString::new(name).ok()?.into_boxed_c_str());
    names.push((start, name));
    Some((name, start))
}

/// Tells which function an address is in; 0 if it is none of the program's.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn dladdr(address: *const c_void, out: *mut libc::Dl_info) -> c_int {
    let address = address as usize;
    if out.is_null() || !image::is_code(address) {
        return 0;
    }
    let found = function_at(address);
    let info = libc::Dl_info {
        dli_fname: c"/dev/program".as_ptr(),
        dli_fbase: image::program_code().start as *mut c_void,
        dli_sname: found.map_or(core::ptr::null(), |(name, _)| name.as_ptr()),
        dli_saddr: found.map_or(null_mut(), |(_, start)| start as *mut c_void),
    };
    // SAFETY: the caller's place.
    unsafe { out.write(info) };
    1
}

/// There is no dynamic linker to tell more.
#[unsafe(no_mangle)]
extern "C" fn dladdr1(_: *const c_void, _: *mut c_void, _: *mut *mut c_void, _: c_int) -> c_int {
    0
}

/// There is no dynamic linker: no library has anything to tell.
#[unsafe(no_mangle)]
extern "C" fn dlinfo(_library: *mut c_void, _request: c_int, _out: *mut c_void) -> c_int {
    -1
}

/// There is no dynamic linker: no library is opened.
#[unsafe(no_mangle)]
extern "C" fn dlmopen(_space: isize, _path: *const c_char, _flags: c_int) -> *mut c_void {
    null_mut()
}

/// There is no dynamic linker: no symbol is found by name.
#[unsafe(no_mangle)]
extern "C" fn dlvsym(_: *mut c_void, _: *const c_char, _: *const c_char) -> *mut c_void {
    null_mut()
}

struct Frames {
    out: *mut *mut c_void,
    count: usize,
    most: usize,
}

unsafe extern "C" {
    fn _Unwind_Backtrace(
        visit: extern "C" fn(*mut UnwindContext, *mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(context: *mut UnwindContext) -> usize;
}

extern "C" fn visit(context: *mut UnwindContext, frames: *mut c_void) -> c_int {
    /// Ends the walk.
    const END: c_int = 5;
    // SAFETY: what `backtrace` gave, and a context of the unwinder's.
    unsafe {
        let frames = &mut *frames.cast::<Frames>();
        if frames.count == frames.most {
            return END;
        }
        let address = _Unwind_GetIP(context);
        frames.out.add(frames.count).write(address as *mut c_void);
        frames.count += 1;
    }
    0
}

/// Tells who called whom: addresses to which calls return, the innermost first; how many.
///
/// # Safety
/// `most` addresses can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn backtrace(out: *mut *mut c_void, most: c_int) -> c_int {
    let mut frames = Frames {
        out,
        count: 0,
        most: usize::try_from(most).unwrap_or(0),
    };
    // SAFETY: a local variable.
    unsafe { _Unwind_Backtrace(visit, (&raw mut frames).cast()) };
    frames.count as c_int
}

fn described(address: usize) -> alloc::string::String {
    match function_at(address) {
        Some((name, start)) => {
            let name = name.to_string_lossy();
            alloc::format!("/dev/program({name}+{:#x}) [{address:#x}]", address - start)
        }
        None => alloc::format!("/dev/program() [{address:#x}]"),
    }
}

/// Names addresses: an array in memory of `malloc`, with the strings behind it.
///
/// # Safety
/// `count` addresses can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn backtrace_symbols(addresses: *const usize, count: c_int) -> *mut *mut c_char {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the caller's addresses.
    let names: Vec<_> = (0..count)
        .map(|index| described(unsafe { addresses.add(index).read() }))
        .collect();
    let strings_bytes: usize = names.iter().map(|name| name.len() + 1).sum();
    let array = malloc(count * size_of::<*mut c_char>() + strings_bytes).cast::<*mut c_char>();
    if array.is_null() {
        return null_mut();
    }
    // SAFETY: as long as what is written to it.
    unsafe {
        let mut next = array.add(count).cast::<c_char>();
        for (index, name) in names.iter().enumerate() {
            array.add(index).write(next);
            next.copy_from_nonoverlapping(name.as_ptr().cast(), name.len());
            next.add(name.len()).write(0);
            next = next.add(name.len() + 1);
        }
    }
    array
}

/// Writes names of addresses, one a line.
///
/// # Safety
/// `count` addresses can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn backtrace_symbols_fd(
    addresses: *const usize,
    count: c_int,
    descriptor: c_int,
) {
    for index in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the caller's addresses.
        let line = described(unsafe { addresses.add(index).read() }) + "\n";
        // SAFETY: the string can be read.
        unsafe { write(descriptor, line.as_ptr().cast(), line.len()) };
    }
}
