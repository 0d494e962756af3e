//! Functions that GNU and BSD have beside the standard ones: random numbers, folders as lists, memory, devices, sets of signals, and more.

#![allow(
    clashing_extern_declarations,
    reason = "each file declares what it needs of the others, with the types that it knows"
)]

use core::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};
use core::ptr::null_mut;

use super::convert::c_result;
use super::errno;
use crate::arch::x86_64::entropy;
use crate::error::Errno;

unsafe extern "C" {
    fn malloc(len: usize) -> *mut c_void;
    fn realloc(old: *mut c_void, len: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
    fn memalign(align: usize, len: usize) -> *mut c_void;
    fn realpath(path: *const c_char, resolved: *mut c_char) -> *mut c_char;
    fn getcwd(buf: *mut c_char, len: usize) -> *mut c_char;
    fn opendir(path: *const c_char) -> *mut c_void;
    fn readdir64(stream: *mut c_void) -> *mut libc::dirent64;
    fn closedir(stream: *mut c_void) -> c_int;
    fn qsort(base: *mut c_void, count: usize, size: usize, compare: Compare);
    fn strcmp(first: *const c_char, second: *const c_char) -> c_int;
    fn strverscmp(first: *const c_char, second: *const c_char) -> c_int;
    fn wait4(pid: c_int, status: *mut c_int, options: c_int, usage: *mut c_void) -> c_int;
    fn sysconf(name: c_int) -> c_long;
    fn setvbuf(file: *mut c_void, buf: *mut c_char, mode: c_int, len: usize) -> c_int;
}

type Compare = unsafe extern "C" fn(*const c_void, *const c_void) -> c_int;

/// A number that nobody can guess.
#[unsafe(no_mangle)]
extern "C" fn arc4random() -> u32 {
    entropy::random_u64() as u32
}

/// # Safety
/// `len` bytes can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn arc4random_buf(buf: *mut u8, len: usize) {
    for at in (0..len).step_by(8) {
        let bytes = entropy::random_u64().to_ne_bytes();
        let count = (len - at).min(8);
        // SAFETY: inside of the caller's memory.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), buf.add(at), count) };
    }
}

/// A number below `bound`, all equally likely (Lemire: Fast Random Integer Generation in an Interval, 2019); 0 for 0.
#[unsafe(no_mangle)]
extern "C" fn arc4random_uniform(bound: u32) -> u32 {
    if bound == 0 {
        return 0;
    }
    loop {
        let product = u64::from(arc4random()) * u64::from(bound);
        if product as u32 >= bound.wrapping_neg() % bound {
            return (product >> 32) as u32;
        }
    }
}

/// The next of a sequence of 48 bits, of which the caller keeps the state (POSIX.1-2017, `erand48`).
///
/// # Safety
/// Three numbers that can be written.
unsafe fn next_of(state: *mut [u16; 3]) -> u64 {
    // SAFETY: the caller's state.
    let [low, middle, high] = unsafe { state.read() };
    let x = u64::from(low) | u64::from(middle) << 16 | u64::from(high) << 32;
    let x = x.wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB) & 0xFFFF_FFFF_FFFF;
    // SAFETY: as above.
    unsafe { state.write([x as u16, (x >> 16) as u16, (x >> 32) as u16]) };
    x
}

/// From 0 to below 1.
///
/// # Safety
/// Three numbers that can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn erand48(state: *mut [u16; 3]) -> f64 {
    // SAFETY: the same contract.
    unsafe { next_of(state) as f64 / (1u64 << 48) as f64 }
}

/// From 0 to below 2³¹.
///
/// # Safety
/// Three numbers that can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn nrand48(state: *mut [u16; 3]) -> c_long {
    // SAFETY: the same contract.
    unsafe { (next_of(state) >> 17) as c_long }
}

/// From -2³¹ to below 2³¹.
///
/// # Safety
/// Three numbers that can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn jrand48(state: *mut [u16; 3]) -> c_long {
    // SAFETY: the same contract.
    unsafe { c_long::from((next_of(state) >> 16) as u32 as i32) }
}

/// # Safety
/// A C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn canonicalize_file_name(path: *const c_char) -> *mut c_char {
    // SAFETY: the same contract.
    unsafe { realpath(path, null_mut()) }
}

#[unsafe(no_mangle)]
extern "C" fn get_current_dir_name() -> *mut c_char {
    // SAFETY: without room it makes its own.
    unsafe { getcwd(null_mut(), 0) }
}

/// A list of entries of a folder, which `select` takes, in the order of `compare`; how many.
///
/// # Safety
/// 1. `path` is a C string, `list` can be written; the functions take entries.
unsafe fn list_entries(
    path: *const c_char,
    list: *mut *mut *mut libc::dirent64,
    select: Option<unsafe extern "C" fn(*const libc::dirent64) -> c_int>,
    compare: Option<Compare>,
) -> crate::error::Result<c_int> {
    let no_memory = || Errno(libc::ENOMEM);
    // SAFETY: (1); what is made is freed on every way that does not give it out.
    unsafe {
        let stream = opendir(path);
        if stream.is_null() {
            return Err(Errno(errno::get()));
        }
        let (mut entries, mut count, mut room): (*mut *mut libc::dirent64, _, _) =
            (null_mut(), 0, 0);
        let failure = loop {
            *errno::__errno_location() = 0;
            let entry = readdir64(stream);
            if entry.is_null() {
                break Some(Errno(errno::get())).filter(|error| error.0 != 0);
            }
            if select.is_some_and(|select| select(entry) == 0) {
                continue;
            }
            if count == room {
                room = (room * 2).max(16);
                let more = realloc(entries.cast(), room * size_of::<*mut c_void>());
                if more.is_null() {
                    break Some(no_memory());
                }
                entries = more.cast();
            }
            let len = usize::from((*entry).d_reclen);
            let copy = malloc(len.max(size_of::<libc::dirent64>()));
            if copy.is_null() {
                break Some(no_memory());
            }
            core::ptr::copy_nonoverlapping(entry.cast::<u8>(), copy.cast(), len);
            entries.add(count).write(copy.cast());
            count += 1;
        };
        closedir(stream);
        if let Some(error) = failure {
            (0..count).for_each(|at| free(entries.add(at).read().cast()));
            free(entries.cast());
            return Err(error);
        }
        if let Some(compare) = compare
            && count != 0
        {
            qsort(entries.cast(), count, size_of::<*mut c_void>(), compare);
        }
        list.write(entries);
        Ok(count as c_int)
    }
}

macro_rules! folders {
    ($($list:ident $by_name:ident $by_version:ident;)*) => {$(
        /// See [`list_entries`].
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $list(
            path: *const c_char,
            list: *mut *mut *mut libc::dirent64,
            select: Option<unsafe extern "C" fn(*const libc::dirent64) -> c_int>,
            compare: Option<Compare>,
        ) -> c_int {
            // SAFETY: the same contract.
            c_result(unsafe { list_entries(path, list, select, compare) })
        }

        /// The order of names.
        ///
        /// # Safety
        /// Places of two entries.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $by_name(
            first: *const *const libc::dirent64,
            second: *const *const libc::dirent64,
        ) -> c_int {
            // SAFETY: the caller's entries.
            unsafe { strcmp((&raw const (**first).d_name).cast(), (&raw const (**second).d_name).cast()) }
        }

        /// The order of names with numbers.
        ///
        /// # Safety
        /// Places of two entries.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $by_version(
            first: *const *const libc::dirent64,
            second: *const *const libc::dirent64,
        ) -> c_int {
            // SAFETY: the caller's entries.
            unsafe { strverscmp((&raw const (**first).d_name).cast(), (&raw const (**second).d_name).cast()) }
        }
    )*};
}

folders! {
    scandir alphasort versionsort;
    scandir64 alphasort64 versionsort64;
}

/// Memory at the beginning of a page.
#[unsafe(no_mangle)]
extern "C" fn valloc(len: usize) -> *mut c_void {
    // SAFETY: a power of two.
    unsafe { memalign(4096, len) }
}

/// Whole pages.
#[unsafe(no_mangle)]
extern "C" fn pvalloc(len: usize) -> *mut c_void {
    match len.checked_next_multiple_of(4096) {
        Some(len) => valloc(len),
        None => {
            errno::set(Errno(libc::ENOMEM));
            null_mut()
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn get_phys_pages() -> c_long {
    // SAFETY: any name may be asked.
    unsafe { sysconf(libc::_SC_PHYS_PAGES) }
}

#[unsafe(no_mangle)]
extern "C" fn get_avphys_pages() -> c_long {
    // SAFETY: any name may be asked.
    unsafe { sysconf(libc::_SC_AVPHYS_PAGES) }
}

#[unsafe(no_mangle)]
extern "C" fn gnu_dev_major(device: c_ulong) -> c_uint {
    libc::major(device)
}

#[unsafe(no_mangle)]
extern "C" fn gnu_dev_minor(device: c_ulong) -> c_uint {
    libc::minor(device)
}

#[unsafe(no_mangle)]
extern "C" fn gnu_dev_makedev(major: c_uint, minor: c_uint) -> c_ulong {
    libc::makedev(major, minor)
}

/// # Safety
/// As of `wait4`.
#[unsafe(no_mangle)]
unsafe extern "C" fn wait3(status: *mut c_int, options: c_int, usage: *mut c_void) -> c_int {
    // SAFETY: the same contract.
    unsafe { wait4(-1, status, options, usage) }
}

/// Going on without a terminal in the background would need another process.
#[unsafe(no_mangle)]
extern "C" fn daemon(_keeps_directory: c_int, _keeps_streams: c_int) -> c_int {
    errno::set(Errno(libc::ENOSYS))
}

/// # Safety
/// As of `setvbuf`.
#[unsafe(no_mangle)]
unsafe extern "C" fn setbuffer(file: *mut c_void, buf: *mut c_char, len: usize) {
    let mode = if buf.is_null() {
        libc::_IONBF
    } else {
        libc::_IOFBF
    };
    // SAFETY: the same contract.
    unsafe { setvbuf(file, buf, mode, len) };
}

/// A set of signals, of which the first word counts.
type Signals = [u64; 16];

/// # Safety
/// A set that can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn sigisemptyset(signals: *const Signals) -> c_int {
    // SAFETY: the caller's set.
    c_int::from(unsafe { (*signals).iter().all(|word| *word == 0) })
}

macro_rules! of_two_sets {
    ($($name:ident $operator:tt;)*) => {$(
        /// # Safety
        /// Sets, of which the first can be written.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(
            to: *mut Signals,
            first: *const Signals,
            second: *const Signals,
        ) -> c_int {
            // SAFETY: the caller's sets.
            unsafe {
                let (first, second) = (first.read(), second.read());
                to.write(core::array::from_fn(|at| first[at] $operator second[at]));
            }
            0
        }
    )*};
}

of_two_sets! {
    sigandset &;
    sigorset |;
}

/// The next of a list of options in a text, `name=value,name`: its number among `tokens`; -1 when it is none of them.
///
/// # Safety
/// `text` leads to a C string that can be written, `tokens` is a list that ends with null, `value` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn getsubopt(
    text: *mut *mut c_char,
    tokens: *const *mut c_char,
    value: *mut *mut c_char,
) -> c_int {
    // SAFETY: the caller's strings.
    unsafe {
        let start = *text;
        let option = core::ffi::CStr::from_ptr(start).to_bytes();
        let len = option
            .iter()
            .position(|byte| *byte == b',')
            .unwrap_or(option.len());
        let has_more = len < option.len();
        let name_len = option[..len].iter().position(|byte| *byte == b'=');
        let is_token = |token: *mut c_char| {
            core::ffi::CStr::from_ptr(token).to_bytes() == &option[..name_len.unwrap_or(len)]
        };
        let found = (0..)
            .map(|at| tokens.add(at).read())
            .take_while(|token| !token.is_null())
            .position(is_token);
        *text = start.add(len + usize::from(has_more));
        if has_more {
            start.add(len).write(0);
        }
        *value = match (found, name_len) {
            (None, _) => start,
            (Some(_), Some(name_len)) => start.add(name_len + 1),
            (Some(_), None) => null_mut(),
        };
        found.map_or(-1, |at| at as c_int)
    }
}

/// Threads cannot be cancelled, so what is to be done then never is (`pthread_cleanup_push` in C).
#[unsafe(no_mangle)]
extern "C" fn __pthread_register_cancel(_buf: *mut c_void) {}

/// See [`__pthread_register_cancel`].
#[unsafe(no_mangle)]
extern "C" fn __pthread_unregister_cancel(_buf: *mut c_void) {}

/// Is never reached: nobody is cancelled.
#[unsafe(no_mangle)]
extern "C" fn __pthread_unwind_next(_buf: *mut c_void) -> ! {
    super::program::abort()
}
