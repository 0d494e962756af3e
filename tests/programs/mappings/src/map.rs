//! A mapping, by the system's own calls.

use std::fs::File;
use std::io::Error;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Length of a page.
pub(crate) const PAGE: usize = 4096;
pub(crate) const READ: i32 = libc::PROT_READ;
pub(crate) const WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// A mapping of a file.
pub(crate) struct Map {
    pub(crate) start: usize,
    pub(crate) len: usize,
}

// SAFETY: the tests use it as memory that is shared.
unsafe impl Sync for Map {}

/// `mmap`; the number of the error.
pub(crate) fn map(
    file: &impl AsRawFd,
    at: usize,
    len: usize,
    access: i32,
    flags: i32,
    offset: usize,
) -> Result<Map, i32> {
    let file = file.as_raw_fd();
    // SAFETY: where `at` is not 0, it is in a mapping of the caller's that is to be replaced.
    let start = unsafe { libc::mmap(at as *mut _, len, access, flags, file, offset as i64) };
    if start == libc::MAP_FAILED {
        return Err(errno());
    }
    Ok(Map {
        start: start as usize,
        len,
    })
}

pub(crate) fn errno() -> i32 {
    Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// A shared mapping from the start of the file.
pub(crate) fn shared(file: &File, len: usize) -> Map {
    map(file, 0, len, WRITE, libc::MAP_SHARED, 0).expect("a mapping")
}

/// A private one.
pub(crate) fn private(file: &File, len: usize) -> Map {
    map(file, 0, len, WRITE, libc::MAP_PRIVATE, 0).expect("a mapping")
}

impl Map {
    pub(crate) fn get(&self, at: usize) -> u8 {
        assert!(at < self.len);
        // SAFETY: within the mapping, which is there as long as this.
        unsafe { (self.start as *const u8).add(at).read_volatile() }
    }

    pub(crate) fn set(&self, at: usize, value: u8) {
        assert!(at < self.len);
        // SAFETY: as above.
        unsafe { (self.start as *mut u8).add(at).write_volatile(value) };
    }

    #[allow(
        clippy::mut_from_ref,
        reason = "memory that is shared, as C has it; each slice ends with its statement"
    )]
    pub(crate) fn bytes(&self, at: usize, len: usize) -> &mut [u8] {
        assert!(at + len <= self.len);
        // SAFETY: as above; no two slices of the same bytes are used at once.
        unsafe { std::slice::from_raw_parts_mut((self.start + at) as *mut u8, len) }
    }

    pub(crate) fn count(&self, at: usize) -> &std::sync::atomic::AtomicU32 {
        assert!(at + 4 <= self.len);
        // SAFETY: as above, at a multiple of four.
        unsafe { std::sync::atomic::AtomicU32::from_ptr((self.start + at) as *mut u32) }
    }

    pub(crate) fn sync(&self) -> i32 {
        // SAFETY: the whole mapping.
        outcome(unsafe { libc::msync(self.start as *mut _, self.len, libc::MS_SYNC) })
    }
}

/// 0, or the number of the error.
pub(crate) fn outcome(result: i32) -> i32 {
    if result == 0 { 0 } else { errno() }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's, which nobody uses any more.
        unsafe { libc::munmap(self.start as *mut _, self.len) };
    }
}

static BUS_ERRORS: AtomicUsize = AtomicUsize::new(0);

/// Puts zeros where there is no file.
extern "C" fn on_bus_error(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the system gives a handler what happened.
    let (page, is_address) = unsafe {
        let page = (*info).si_addr() as usize & !(PAGE - 1);
        (page, (*info).si_code == libc::BUS_ADRERR)
    };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the page that is replaced has no content that could be read.
    let there = unsafe { libc::mmap(page as *mut _, PAGE, WRITE, flags, -1, 0) };
    if is_address && there as usize == page {
        BUS_ERRORS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Has touches of what is behind the end of a file counted.
pub(crate) fn count_bus_errors() {
    let handler = on_bus_error as *const () as usize;
    // SAFETY: zeros are a value of the structure; the handler has the form that its flags say.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGBUS, &raw const action, null_mut());
    }
}

/// How many there were since the last call.
pub(crate) fn bus_errors() -> usize {
    BUS_ERRORS.swap(0, Ordering::Relaxed)
}
