//! Read-write locks (POSIX.1-2017, `pthread_rwlock_rdlock` and its kin): many who read, or one who writes.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicU32, Ordering};

use super::{FREE, code, deadline, sleep, wake};
use crate::error::{Errno, Result};
use crate::scheduler::thread;

/// What lies in a `pthread_rwlock_t`.
#[repr(C)]
struct ReadWriteLock {
    /// How many readers hold it, or `WRITER`.
    holders: AtomicU32,
    /// Counts releases; those who wait sleep on it.
    releases: AtomicU32,
    waiters: AtomicU32,
    /// Writers that wait, before which no new reader gets in.
    waiting_writers: AtomicU32,
    owner: AtomicU32,
}

const _: () = assert!(size_of::<ReadWriteLock>() <= size_of::<libc::pthread_rwlock_t>());

const WRITER: u32 = u32::MAX;

impl ReadWriteLock {
    /// # Safety
    /// 1. `pointer` is an initialised lock.
    unsafe fn of<'a>(pointer: *mut libc::pthread_rwlock_t) -> &'a Self {
        // SAFETY: the caller's promise (1).
        unsafe { &*pointer.cast() }
    }

    fn try_read(&self, may_pass_writers: bool) -> Result<()> {
        loop {
            let holders = self.holders.load(Ordering::Relaxed);
            let writers = self.waiting_writers.load(Ordering::Relaxed);
            if holders >= WRITER - 1 || writers != 0 && !may_pass_writers {
                return Err(Errno(libc::EBUSY));
            }
            let new = holders + 1;
            let taken = self.holders.compare_exchange_weak(
                holders,
                new,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            if taken.is_ok() {
                return Ok(());
            }
        }
    }

    fn try_write(&self) -> Result<()> {
        let taken =
            self.holders
                .compare_exchange(FREE, WRITER, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_err() {
            return Err(Errno(libc::EBUSY));
        }
        self.owner.store(thread::current().id(), Ordering::Relaxed);
        Ok(())
    }

    fn wait(&self, attempt: impl Fn() -> Result<()>, deadline_ns: Option<u64>) -> Result<()> {
        loop {
            let releases = self.releases.load(Ordering::SeqCst);
            self.waiters.fetch_add(1, Ordering::SeqCst);
            let result = match attempt() {
                Ok(()) => Ok(true),
                Err(_) => sleep(&self.releases, releases, deadline_ns).map(|()| false),
            };
            self.waiters.fetch_sub(1, Ordering::SeqCst);
            if result? {
                return Ok(());
            }
        }
    }

    fn read(&self, deadline_ns: Option<u64>) -> Result<()> {
        if self.owner.load(Ordering::Relaxed) == thread::current().id() {
            return Err(Errno(libc::EDEADLK));
        }
        self.try_read(false)
            .or_else(|_| self.wait(|| self.try_read(false), deadline_ns))
    }

    fn write(&self, deadline_ns: Option<u64>) -> Result<()> {
        if self.owner.load(Ordering::Relaxed) == thread::current().id() {
            return Err(Errno(libc::EDEADLK));
        }
        if self.try_write().is_ok() {
            return Ok(());
        }
        self.waiting_writers.fetch_add(1, Ordering::SeqCst);
        let result = self.wait(|| self.try_write(), deadline_ns);
        self.waiting_writers.fetch_sub(1, Ordering::SeqCst);
        if result.is_err() {
            // Readers may have waited for this writer alone.
            self.tell_waiters();
        }
        result
    }

    fn unlock(&self) {
        if self.holders.load(Ordering::Relaxed) == WRITER {
            self.owner.store(0, Ordering::Relaxed);
            self.holders.store(FREE, Ordering::SeqCst);
            self.tell_waiters();
        } else if self.holders.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.tell_waiters();
        }
    }

    fn tell_waiters(&self) {
        if self.waiters.load(Ordering::SeqCst) != 0 {
            self.releases.fetch_add(1, Ordering::SeqCst);
            wake(&self.releases, usize::MAX);
        }
    }
}

/// Makes a read-write lock.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_rwlock_init(
    out: *mut libc::pthread_rwlock_t,
    _attributes: *const c_void,
) -> c_int {
    // SAFETY: the caller's place.
    unsafe { out.write(libc::PTHREAD_RWLOCK_INITIALIZER) };
    0
}

/// Ends a read-write lock.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_destroy(_: *mut libc::pthread_rwlock_t) -> c_int {
    0
}

/// Locks for reading.
///
/// # Safety
/// `lock` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_rwlock_rdlock(lock: *mut libc::pthread_rwlock_t) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { ReadWriteLock::of(lock) }.read(None))
}

/// Locks for reading if no writer holds it.
///
/// # Safety
/// `lock` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_rwlock_tryrdlock(lock: *mut libc::pthread_rwlock_t) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { ReadWriteLock::of(lock) }.try_read(true))
}

/// Locks for reading, or gives up at a time of the wall clock.
///
/// # Safety
/// `lock` is initialised; `time` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_rwlock_timedrdlock(
    lock: *mut libc::pthread_rwlock_t,
    time: *const libc::timespec,
) -> c_int {
    // SAFETY: the caller's.
    code(unsafe {
        deadline(libc::CLOCK_REALTIME, time).and_then(|at_ns| ReadWriteLock::of(lock).read(at_ns))
    })
}

/// Locks for writing.
///
/// # Safety
/// `lock` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_rwlock_wrlock(lock: *mut libc::pthread_rwlock_t) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { ReadWriteLock::of(lock) }.write(None))
}

/// Locks for writing if nobody holds it.
///
/// # Safety
/// `lock` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_rwlock_trywrlock(lock: *mut libc::pthread_rwlock_t) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { ReadWriteLock::of(lock) }.try_write())
}

/// Locks for writing, or gives up at a time of the wall clock.
///
/// # Safety
/// `lock` is initialised; `time` can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_rwlock_timedwrlock(
    lock: *mut libc::pthread_rwlock_t,
    time: *const libc::timespec,
) -> c_int {
    // SAFETY: the caller's.
    code(unsafe {
        deadline(libc::CLOCK_REALTIME, time).and_then(|at_ns| ReadWriteLock::of(lock).write(at_ns))
    })
}

/// Unlocks.
///
/// # Safety
/// `lock` is initialised, and the caller holds it.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_rwlock_unlock(lock: *mut libc::pthread_rwlock_t) -> c_int {
    // SAFETY: the caller's.
    unsafe { ReadWriteLock::of(lock) }.unlock();
    0
}
