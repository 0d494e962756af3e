//! Control over threads (`kernel/src/abi/native/thread.rs`).

use std::ffi::c_void;
use std::os::unix::thread::RawPthread;

mod c {
    use std::ffi::{c_int, c_void};
    use std::os::unix::thread::RawPthread;

    unsafe extern "C" {
        pub(super) safe fn pthread_self() -> RawPthread;
        pub(super) fn toro_thread_retain(handle: RawPthread) -> *const c_void;
        pub(super) fn toro_thread_release(thread: *const c_void);
        pub(super) fn toro_thread_suspend(thread: *const c_void) -> c_int;
        pub(super) fn toro_thread_resume(thread: *const c_void) -> c_int;
        pub(super) fn toro_thread_kill(thread: *const c_void) -> c_int;
        pub(super) fn toro_thread_core(thread: *const c_void) -> usize;
        pub(super) fn toro_thread_has_ended(thread: *const c_void) -> bool;
        pub(super) safe fn toro_thread_take_kill() -> bool;
        pub(super) safe fn toro_thread_sleep(ns: u64) -> c_int;
        pub(super) safe fn toro_thread_yield();
        pub(super) safe fn toro_thread_polling();
        pub(super) safe fn toro_thread_worked();
    }
}

/// A reference to a thread of the kernel.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Reference(*const c_void);

// SAFETY: the kernel counts references atomically, and its functions may be called from every core.
unsafe impl Send for Reference {}
// SAFETY: as for `Send`.
unsafe impl Sync for Reference {}

impl Reference {
    /// To the calling thread.
    pub(crate) fn to_self() -> Self {
        // SAFETY: the handle of a thread that runs.
        Self(unsafe { c::toro_thread_retain(c::pthread_self()) })
    }

    /// To a thread by its handle.
    ///
    /// # Safety
    /// 1. The handle belongs to a thread that runs, or that is neither joined nor detached.
    pub(crate) unsafe fn to(handle: RawPthread) -> Self {
        // SAFETY: the caller's promise (1).
        Self(unsafe { c::toro_thread_retain(handle) })
    }

    /// To the thread of a handle of std, which keeps it from being joined or detached meanwhile.
    pub(crate) fn of<T>(handle: &std::thread::JoinHandle<T>) -> Self {
        use std::os::unix::thread::JoinHandleExt;
        // SAFETY: the handle exists, so its thread is neither joined nor detached.
        unsafe { Self::to(handle.as_pthread_t()) }
    }

    pub(crate) fn suspend(&self) -> i32 {
        // SAFETY: the reference keeps the thread.
        unsafe { c::toro_thread_suspend(self.0) }
    }

    pub(crate) fn resume(&self) -> i32 {
        // SAFETY: as above.
        unsafe { c::toro_thread_resume(self.0) }
    }

    pub(crate) fn kill(&self) -> i32 {
        // SAFETY: as above.
        unsafe { c::toro_thread_kill(self.0) }
    }

    pub(crate) fn core(&self) -> usize {
        // SAFETY: as above.
        unsafe { c::toro_thread_core(self.0) }
    }

    pub(crate) fn has_ended(&self) -> bool {
        // SAFETY: as above.
        unsafe { c::toro_thread_has_ended(self.0) }
    }
}

impl Clone for Reference {
    fn clone(&self) -> Self {
        // SAFETY: the reference keeps the thread; a handle is its address.
        Self(unsafe { c::toro_thread_retain(self.0 as RawPthread) })
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // SAFETY: this reference is given back once.
        unsafe { c::toro_thread_release(self.0) };
    }
}

/// Whether the calling thread shall end; says so once.
pub(crate) fn take_kill() -> bool {
    c::toro_thread_take_kill()
}

/// Sleeps; for good if `ns` is the largest number. A kill ends it.
pub(crate) fn sleep(ns: u64) {
    let _ = c::toro_thread_sleep(ns);
}

pub(crate) fn yield_now() {
    c::toro_thread_yield();
}

pub(crate) fn polling() {
    c::toro_thread_polling();
}

pub(crate) fn worked() {
    c::toro_thread_worked();
}
