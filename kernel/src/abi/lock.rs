//! Locks of C (POSIX.1-2017, `pthread.h`, `semaphore.h`): mutexes and spin locks; conditions, read-write locks, semaphores and things done
//! once are in the folder. All stand on futexes (Drepper, "Futexes are tricky", 2011). A static initialiser of glibc's is all zero but for the
//! kind of a mutex, which lies where glibc has it.
//!
//! Functions return error numbers, as POSIX has it.

mod condition;
mod once;
mod read_write_lock;
mod semaphore;

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use super::clock::{deadline_of, nanoseconds};
use super::convert::get;
use super::robust::{self, ROBUST};
use crate::error::{Errno, Result};
use crate::scheduler::{WaitOutcome, futex, thread};

/// A lock that nobody holds, that somebody holds, and that somebody holds while others may wait.
const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

pub(super) fn code(result: Result<()>) -> c_int {
    result.map_or_else(|error| error.0, |()| 0)
}

/// Sleeps while `word` is `value`; `ETIMEDOUT` after the deadline.
fn sleep(word: &AtomicU32, value: u32, deadline_ns: Option<u64>) -> Result<()> {
    match futex::wait(word, value, u32::MAX, deadline_ns) {
        Ok(WaitOutcome::TimedOut) => Err(Errno(libc::ETIMEDOUT)),
        Ok(WaitOutcome::Woken) | Err(futex::Changed) => Ok(()),
    }
}

fn wake(word: &AtomicU32, most: usize) {
    futex::wake(word.as_ptr() as usize, most, u32::MAX);
}

/// A deadline by a clock of C's.
///
/// # Safety
/// 1. `time` is null or can be read.
unsafe fn deadline(clock: libc::clockid_t, time: *const libc::timespec) -> Result<Option<u64>> {
    // SAFETY: the caller's promise (1).
    let time = unsafe { get(time) }.ok_or(Errno(libc::EINVAL))?;
    deadline_of(clock, nanoseconds(&time)?).map(Some)
}

/// Of a robust mutex: whoever held it has ended; and what it guards was not put right.
const OWNER_ENDED: u32 = 1;
const LOST: u32 = 2;

/// What lies in a `pthread_mutex_t`. The kind is where glibc has it.
#[repr(C)]
pub(super) struct Mutex {
    word: AtomicU32,
    /// How often its owner holds a recursive one.
    count: AtomicU32,
    owner: AtomicU32,
    /// 0, [`OWNER_ENDED`] or [`LOST`].
    state: AtomicU32,
    kind: AtomicI32,
}

const _: () = assert!(size_of::<Mutex>() <= size_of::<libc::pthread_mutex_t>());

impl Mutex {
    /// # Safety
    /// 1. `pointer` is an initialised mutex.
    pub(super) unsafe fn of<'a>(pointer: *mut libc::pthread_mutex_t) -> &'a Self {
        // SAFETY: the caller's promise (1).
        unsafe { &*pointer.cast() }
    }

    /// Normal, recursive or error-checking.
    fn kind(&self) -> c_int {
        self.kind.load(Ordering::Relaxed) & !ROBUST
    }

    fn is_robust(&self) -> bool {
        self.kind.load(Ordering::Relaxed) & ROBUST != 0
    }

    fn lock(&self, deadline_ns: Option<u64>) -> Result<()> {
        match self.try_lock() {
            Err(Errno(libc::EBUSY)) => {}
            result => return result,
        }
        if self.owner.load(Ordering::Relaxed) == thread::current().id()
            && self.kind() == libc::PTHREAD_MUTEX_ERRORCHECK
        {
            return Err(Errno(libc::EDEADLK));
        }
        while self.word.swap(CONTENDED, Ordering::Acquire) != FREE {
            sleep(&self.word, CONTENDED, deadline_ns)?;
        }
        self.own()
    }

    fn try_lock(&self) -> Result<()> {
        let is_own = self.owner.load(Ordering::Relaxed) == thread::current().id();
        if is_own && self.kind() == libc::PTHREAD_MUTEX_RECURSIVE {
            let count = self.count.load(Ordering::Relaxed);
            let count = count.checked_add(1).ok_or(Errno(libc::EAGAIN))?;
            self.count.store(count, Ordering::Relaxed);
            return Ok(());
        }
        let taken = self
            .word
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_err() {
            return Err(Errno(libc::EBUSY));
        }
        self.own()
    }

    /// The lock is the running thread's, who may have to be told something.
    fn own(&self) -> Result<()> {
        self.owner.store(thread::current().id(), Ordering::Relaxed);
        self.count.store(1, Ordering::Relaxed);
        if !self.is_robust() {
            return Ok(());
        }
        match self.state.load(Ordering::Relaxed) {
            LOST => {
                self.release();
                Err(Errno(libc::ENOTRECOVERABLE))
            }
            state => {
                robust::note(self);
                match state {
                    OWNER_ENDED => Err(Errno(libc::EOWNERDEAD)),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Who holds it ends. The next one is told.
    pub(super) fn owner_ended(&self) {
        self.state.store(OWNER_ENDED, Ordering::Relaxed);
        self.release();
    }

    /// Whoever was told has put right what it guards.
    pub(super) fn put_right(&self) -> Result<()> {
        let is_told = self.is_robust()
            && self.owner.load(Ordering::Relaxed) == thread::current().id()
            && self.state.load(Ordering::Relaxed) == OWNER_ENDED;
        if !is_told {
            return Err(Errno(libc::EINVAL));
        }
        self.state.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn release(&self) {
        self.owner.store(0, Ordering::Relaxed);
        if self.word.swap(FREE, Ordering::Release) == CONTENDED {
            wake(&self.word, 1);
        }
    }

    fn unlock(&self) -> Result<()> {
        if self.kind.load(Ordering::Relaxed) != libc::PTHREAD_MUTEX_NORMAL {
            if self.owner.load(Ordering::Relaxed) != thread::current().id() {
                return Err(Errno(libc::EPERM));
            }
            let count = self.count.load(Ordering::Relaxed) - 1;
            self.count.store(count, Ordering::Relaxed);
            if count != 0 {
                return Ok(());
            }
        }
        if self.is_robust() {
            robust::forget(self);
            if self.state.load(Ordering::Relaxed) == OWNER_ENDED {
                // It was not put right: nobody can have it any more, and all who wait are told.
                self.state.store(LOST, Ordering::Relaxed);
            }
        }
        self.release();
        Ok(())
    }
}

/// Makes a mutex.
///
/// # Safety
/// `out` can be written; `attributes` is null or initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_mutex_init(
    out: *mut libc::pthread_mutex_t,
    attributes: *const libc::pthread_mutexattr_t,
) -> c_int {
    // SAFETY: null, or the caller's, whose first word is the kind.
    let kind = unsafe { get(attributes.cast::<c_int>()) }.unwrap_or(libc::PTHREAD_MUTEX_NORMAL);
    // SAFETY: the caller's place, in which a mutex has room.
    unsafe {
        out.write(libc::PTHREAD_MUTEX_INITIALIZER);
        (*out.cast::<Mutex>()).kind = AtomicI32::new(kind);
    }
    0
}

/// Ends a mutex.
///
/// # Safety
/// As for [`pthread_mutex_lock`].
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_mutex_destroy(mutex: *mut libc::pthread_mutex_t) -> c_int {
    // SAFETY: the caller's mutex.
    match unsafe { Mutex::of(mutex) }.word.load(Ordering::Relaxed) {
        FREE => 0,
        _ => libc::EBUSY,
    }
}

/// Locks.
///
/// # Safety
/// `mutex` is initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_mutex_lock(mutex: *mut libc::pthread_mutex_t) -> c_int {
    // SAFETY: the caller's mutex.
    code(unsafe { Mutex::of(mutex) }.lock(None))
}

/// Locks if nobody holds it.
///
/// # Safety
/// As for [`pthread_mutex_lock`].
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_mutex_trylock(mutex: *mut libc::pthread_mutex_t) -> c_int {
    // SAFETY: the caller's mutex.
    code(unsafe { Mutex::of(mutex) }.try_lock())
}

/// Locks, or gives up at a time of the wall clock.
///
/// # Safety
/// As for [`pthread_mutex_lock`]; `time` can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_mutex_timedlock(
    mutex: *mut libc::pthread_mutex_t,
    time: *const libc::timespec,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { pthread_mutex_clocklock(mutex, libc::CLOCK_REALTIME, time) }
}

/// Locks, or gives up at a time of a clock.
///
/// # Safety
/// As for [`pthread_mutex_timedlock`].
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_mutex_clocklock(
    mutex: *mut libc::pthread_mutex_t,
    clock: libc::clockid_t,
    time: *const libc::timespec,
) -> c_int {
    // SAFETY: the caller's mutex and time.
    code(unsafe { deadline(clock, time).and_then(|at_ns| Mutex::of(mutex).lock(at_ns)) })
}

/// Unlocks.
///
/// # Safety
/// As for [`pthread_mutex_lock`].
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_mutex_unlock(mutex: *mut libc::pthread_mutex_t) -> c_int {
    // SAFETY: the caller's mutex.
    code(unsafe { Mutex::of(mutex) }.unlock())
}

/// Makes attributes of a mutex.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_mutexattr_init(
    out: *mut libc::pthread_mutexattr_t,
) -> c_int {
    // SAFETY: the caller's place; the attributes are an integer.
    unsafe { out.cast::<c_int>().write(libc::PTHREAD_MUTEX_NORMAL) };
    0
}

/// Ends attributes.
#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_mutexattr_destroy(_: *mut libc::pthread_mutexattr_t) -> c_int {
    0
}

/// Sets the kind: normal, recursive, error-checking.
///
/// # Safety
/// `out` is initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_mutexattr_settype(
    out: *mut libc::pthread_mutexattr_t,
    kind: c_int,
) -> c_int {
    let kinds = [
        libc::PTHREAD_MUTEX_NORMAL,
        libc::PTHREAD_MUTEX_RECURSIVE,
        libc::PTHREAD_MUTEX_ERRORCHECK,
    ];
    if !kinds.contains(&kind) {
        return libc::EINVAL;
    }
    let attributes = out.cast::<c_int>();
    // SAFETY: the caller's attributes, which are an integer.
    unsafe { *attributes = *attributes & ROBUST | kind };
    0
}

/// Tells the kind.
///
/// # Safety
/// `attributes` are initialised, `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_mutexattr_gettype(
    attributes: *const libc::pthread_mutexattr_t,
    out: *mut c_int,
) -> c_int {
    // SAFETY: the caller's attributes and place.
    unsafe {
        match get(attributes.cast::<c_int>()) {
            Some(kind) if !out.is_null() => *out = kind & !ROBUST,
            _ => return libc::EINVAL,
        }
    }
    0
}

/// Takes a spin lock. Where threads take turns, waiting means letting the others run.
///
/// # Safety
/// `lock` is initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_spin_lock(lock: *mut c_int) -> c_int {
    // SAFETY: the caller's.
    while unsafe { pthread_spin_trylock(lock) } != 0 {
        crate::scheduler::yield_now();
    }
    0
}

/// Takes a spin lock if nobody holds it.
///
/// # Safety
/// `lock` is initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_spin_trylock(lock: *mut c_int) -> c_int {
    // SAFETY: the caller's integer.
    let word = unsafe { &*lock.cast::<AtomicU32>() };
    match word.swap(HELD, Ordering::Acquire) {
        FREE => 0,
        _ => libc::EBUSY,
    }
}

/// Gives a spin lock back, or makes one.
///
/// # Safety
/// `lock` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_spin_unlock(lock: *mut c_int) -> c_int {
    // SAFETY: the caller's integer.
    unsafe { &*lock.cast::<AtomicU32>() }.store(FREE, Ordering::Release);
    0
}

/// Makes a spin lock.
///
/// # Safety
/// `lock` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_spin_init(lock: *mut c_int, _is_shared: c_int) -> c_int {
    // SAFETY: the same contract.
    unsafe { pthread_spin_unlock(lock) }
}

/// Ends a spin lock.
#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_spin_destroy(_: *mut c_int) -> c_int {
    0
}
