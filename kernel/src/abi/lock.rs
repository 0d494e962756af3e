//! Locks of C (POSIX.1-2017, `pthread.h`, `semaphore.h`): mutexes, conditions, read-write locks, spin locks, semaphores, things
//! done once. All stand on futexes (Drepper, "Futexes are tricky", 2011). A static initialiser of glibc's is all zero but for the kind of
//! a mutex, which lies where glibc has it.
//!
//! Functions return error numbers, as POSIX has it.

use core::ffi::{c_int, c_uint, c_void};
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use super::clock::{deadline_of, nanoseconds};
use super::convert::{c_status, get};
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

/// What lies in a `pthread_cond_t`.
#[repr(C)]
struct Condition {
    /// Counts signals.
    sequence: AtomicU32,
    waiters: AtomicU32,
    /// Whether times are those of the monotonic clock.
    is_monotonic: AtomicU32,
}

const _: () = assert!(size_of::<Condition>() <= size_of::<libc::pthread_cond_t>());

impl Condition {
    /// # Safety
    /// 1. `pointer` is an initialised condition.
    unsafe fn of<'a>(pointer: *mut libc::pthread_cond_t) -> &'a Self {
        // SAFETY: the caller's promise (1).
        unsafe { &*pointer.cast() }
    }

    fn wait(&self, mutex: &Mutex, deadline_ns: Option<u64>) -> Result<()> {
        let sequence = self.sequence.load(Ordering::Acquire);
        self.waiters.fetch_add(1, Ordering::SeqCst);
        if let Err(error) = mutex.unlock() {
            self.waiters.fetch_sub(1, Ordering::SeqCst);
            return Err(error);
        }
        let result = sleep(&self.sequence, sequence, deadline_ns);
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        mutex.lock(None)?;
        result
    }

    fn wake(&self, most: usize) {
        if self.waiters.load(Ordering::SeqCst) != 0 {
            self.sequence.fetch_add(1, Ordering::Release);
            wake(&self.sequence, most);
        }
    }
}

/// Makes a condition.
///
/// # Safety
/// `out` can be written; `attributes` is null or initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_cond_init(
    out: *mut libc::pthread_cond_t,
    attributes: *const libc::pthread_condattr_t,
) -> c_int {
    // SAFETY: null, or the caller's, whose first word is the clock.
    let clock = unsafe { get(attributes.cast::<c_int>()) };
    // SAFETY: the caller's place, in which a condition has room.
    unsafe {
        out.write(libc::PTHREAD_COND_INITIALIZER);
        let is_monotonic = u32::from(clock == Some(libc::CLOCK_MONOTONIC));
        (*out.cast::<Condition>()).is_monotonic = AtomicU32::new(is_monotonic);
    }
    0
}

/// Ends a condition.
#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_cond_destroy(_: *mut libc::pthread_cond_t) -> c_int {
    0
}

/// Unlocks, waits for a signal, locks.
///
/// # Safety
/// Both are initialised, and the caller holds the mutex.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_cond_wait(
    condition: *mut libc::pthread_cond_t,
    mutex: *mut libc::pthread_mutex_t,
) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { Condition::of(condition).wait(Mutex::of(mutex), None) })
}

/// As [`pthread_cond_wait`], until a time of the condition's clock.
///
/// # Safety
/// As there; `time` can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_cond_timedwait(
    condition: *mut libc::pthread_cond_t,
    mutex: *mut libc::pthread_mutex_t,
    time: *const libc::timespec,
) -> c_int {
    // SAFETY: the caller's.
    let is_monotonic = unsafe { Condition::of(condition) }
        .is_monotonic
        .load(Ordering::Relaxed);
    let clock = if is_monotonic != 0 {
        libc::CLOCK_MONOTONIC
    } else {
        libc::CLOCK_REALTIME
    };
    // SAFETY: the same contract.
    unsafe { pthread_cond_clockwait(condition, mutex, clock, time) }
}

/// As [`pthread_cond_wait`], until a time of a clock.
///
/// # Safety
/// As there; `time` can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_cond_clockwait(
    condition: *mut libc::pthread_cond_t,
    mutex: *mut libc::pthread_mutex_t,
    clock: libc::clockid_t,
    time: *const libc::timespec,
) -> c_int {
    // SAFETY: the caller's.
    code(unsafe {
        deadline(clock, time)
            .and_then(|at_ns| Condition::of(condition).wait(Mutex::of(mutex), at_ns))
    })
}

/// Wakes one who waits.
///
/// # Safety
/// `condition` is initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_cond_signal(condition: *mut libc::pthread_cond_t) -> c_int {
    // SAFETY: the caller's.
    unsafe { Condition::of(condition) }.wake(1);
    0
}

/// Wakes all who wait.
///
/// # Safety
/// `condition` is initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_cond_broadcast(
    condition: *mut libc::pthread_cond_t,
) -> c_int {
    // SAFETY: the caller's.
    unsafe { Condition::of(condition) }.wake(usize::MAX);
    0
}

/// Makes attributes of a condition.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_condattr_init(out: *mut libc::pthread_condattr_t) -> c_int {
    // SAFETY: the caller's place; the attributes are an integer.
    unsafe { out.cast::<c_int>().write(libc::CLOCK_REALTIME) };
    0
}

/// Ends attributes.
#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_condattr_destroy(_: *mut libc::pthread_condattr_t) -> c_int {
    0
}

/// Sets the clock of a condition's times.
///
/// # Safety
/// `out` is initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_condattr_setclock(
    out: *mut libc::pthread_condattr_t,
    clock: libc::clockid_t,
) -> c_int {
    if ![libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC].contains(&clock) {
        return libc::EINVAL;
    }
    // SAFETY: the caller's attributes.
    unsafe { out.cast::<c_int>().write(clock) };
    0
}

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
pub(super) unsafe extern "C" fn pthread_rwlock_init(
    out: *mut libc::pthread_rwlock_t,
    _attributes: *const c_void,
) -> c_int {
    // SAFETY: the caller's place.
    unsafe { out.write(libc::PTHREAD_RWLOCK_INITIALIZER) };
    0
}

/// Ends a read-write lock.
#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_rwlock_destroy(_: *mut libc::pthread_rwlock_t) -> c_int {
    0
}

/// Locks for reading.
///
/// # Safety
/// `lock` is initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_rwlock_rdlock(lock: *mut libc::pthread_rwlock_t) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { ReadWriteLock::of(lock) }.read(None))
}

/// Locks for reading if no writer holds it.
///
/// # Safety
/// `lock` is initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_rwlock_tryrdlock(
    lock: *mut libc::pthread_rwlock_t,
) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { ReadWriteLock::of(lock) }.try_read(true))
}

/// Locks for reading, or gives up at a time of the wall clock.
///
/// # Safety
/// `lock` is initialised; `time` can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_rwlock_timedrdlock(
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
pub(super) unsafe extern "C" fn pthread_rwlock_wrlock(lock: *mut libc::pthread_rwlock_t) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { ReadWriteLock::of(lock) }.write(None))
}

/// Locks for writing if nobody holds it.
///
/// # Safety
/// `lock` is initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_rwlock_trywrlock(
    lock: *mut libc::pthread_rwlock_t,
) -> c_int {
    // SAFETY: the caller's.
    code(unsafe { ReadWriteLock::of(lock) }.try_write())
}

/// Locks for writing, or gives up at a time of the wall clock.
///
/// # Safety
/// `lock` is initialised; `time` can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_rwlock_timedwrlock(
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
pub(super) unsafe extern "C" fn pthread_rwlock_unlock(lock: *mut libc::pthread_rwlock_t) -> c_int {
    // SAFETY: the caller's.
    unsafe { ReadWriteLock::of(lock) }.unlock();
    0
}

/// Calls a function once.
///
/// # Safety
/// `control` was 0 at first.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_once(
    control: *mut libc::pthread_once_t,
    function: extern "C" fn(),
) -> c_int {
    const RUNNING: u32 = 1;
    const DONE: u32 = 2;
    // SAFETY: the caller's integer.
    let word = unsafe { &*control.cast::<AtomicU32>() };
    loop {
        match word.compare_exchange(0, RUNNING, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => {
                function();
                word.store(DONE, Ordering::Release);
                wake(word, usize::MAX);
                return 0;
            }
            Err(DONE) => return 0,
            // Without a deadline this does not fail.
            Err(running) => drop(sleep(word, running, None)),
        }
    }
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

/// What lies in a `sem_t`.
#[repr(C)]
struct Semaphore {
    value: AtomicU32,
    waiters: AtomicU32,
}

const _: () = assert!(size_of::<Semaphore>() <= size_of::<libc::sem_t>());

impl Semaphore {
    /// # Safety
    /// 1. `pointer` is an initialised semaphore.
    unsafe fn of<'a>(pointer: *mut libc::sem_t) -> &'a Self {
        // SAFETY: the caller's promise (1).
        unsafe { &*pointer.cast() }
    }

    fn try_take(&self) -> Result<()> {
        let take = |value: u32| value.checked_sub(1);
        self.value
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .map(drop)
            .map_err(|_| Errno(libc::EAGAIN))
    }

    fn take(&self, deadline_ns: Option<u64>) -> Result<()> {
        while self.try_take().is_err() {
            self.waiters.fetch_add(1, Ordering::SeqCst);
            let result = sleep(&self.value, 0, deadline_ns);
            self.waiters.fetch_sub(1, Ordering::SeqCst);
            result?;
        }
        Ok(())
    }
}

/// Makes a semaphore.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sem_init(
    out: *mut libc::sem_t,
    _is_shared: c_int,
    value: c_uint,
) -> c_int {
    let semaphore = Semaphore {
        value: AtomicU32::new(value),
        waiters: AtomicU32::new(0),
    };
    // SAFETY: the caller's place, in which it has room.
    unsafe { out.cast::<Semaphore>().write(semaphore) };
    0
}

/// Ends a semaphore.
#[unsafe(no_mangle)]
pub(super) extern "C" fn sem_destroy(_: *mut libc::sem_t) -> c_int {
    0
}

/// Takes one, or waits for it.
///
/// # Safety
/// `semaphore` is initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sem_wait(semaphore: *mut libc::sem_t) -> c_int {
    // SAFETY: the caller's.
    c_status(unsafe { Semaphore::of(semaphore) }.take(None))
}

/// Takes one if there is one.
///
/// # Safety
/// `semaphore` is initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sem_trywait(semaphore: *mut libc::sem_t) -> c_int {
    // SAFETY: the caller's.
    c_status(unsafe { Semaphore::of(semaphore) }.try_take())
}

/// Takes one, or gives up at a time of the wall clock.
///
/// # Safety
/// `semaphore` is initialised; `time` can be read.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sem_timedwait(
    semaphore: *mut libc::sem_t,
    time: *const libc::timespec,
) -> c_int {
    // SAFETY: the caller's.
    c_status(unsafe {
        deadline(libc::CLOCK_REALTIME, time).and_then(|at_ns| Semaphore::of(semaphore).take(at_ns))
    })
}

/// Gives one.
///
/// # Safety
/// `semaphore` is initialised.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sem_post(semaphore: *mut libc::sem_t) -> c_int {
    // SAFETY: the caller's.
    let semaphore = unsafe { Semaphore::of(semaphore) };
    let give = |value: u32| {
        value
            .checked_add(1)
            .filter(|value| *value <= i32::MAX as u32)
    };
    let given = semaphore
        .value
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, give);
    if given.is_err() {
        return c_status(Err(Errno(libc::EOVERFLOW)));
    }
    if semaphore.waiters.load(Ordering::SeqCst) != 0 {
        wake(&semaphore.value, 1);
    }
    0
}

/// Tells how many there are.
///
/// # Safety
/// `semaphore` is initialised; `out` can be written.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sem_getvalue(
    semaphore: *mut libc::sem_t,
    out: *mut c_int,
) -> c_int {
    // SAFETY: the caller's.
    unsafe { *out = Semaphore::of(semaphore).value.load(Ordering::Relaxed) as c_int };
    0
}
