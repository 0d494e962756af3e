//! Threads, locks and keys as C11 names them (ISO C17, section 7.26), over those of POSIX.

#![allow(
    clashing_extern_declarations,
    reason = "each file declares what it needs of the others, with the types that it knows"
)]

use core::ffi::{c_int, c_uint, c_ulong, c_void};
use core::ptr::{null, null_mut};

use libc::timespec;

/// What these functions answer with (`threads.h`).
const SUCCESS: c_int = 0;
const BUSY: c_int = 1;
const ERROR: c_int = 2;
const NO_MEMORY: c_int = 3;
const TIMED_OUT: c_int = 4;
/// A bit of a lock's kind: the thread that has it may take it again.
const RECURSIVE: c_int = 1;

unsafe extern "C" {
    fn pthread_create(
        thread: *mut c_ulong,
        attributes: *const c_void,
        start: extern "C" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void,
    ) -> c_int;
    fn pthread_join(thread: c_ulong, result: *mut *mut c_void) -> c_int;
    fn pthread_detach(thread: c_ulong) -> c_int;
    fn pthread_exit(result: *mut c_void) -> !;
    fn pthread_self() -> c_ulong;
    fn pthread_mutex_init(lock: *mut c_void, attributes: *const c_void) -> c_int;
    fn pthread_mutex_lock(lock: *mut c_void) -> c_int;
    fn pthread_mutex_trylock(lock: *mut c_void) -> c_int;
    fn pthread_mutex_timedlock(lock: *mut c_void, deadline: *const timespec) -> c_int;
    fn pthread_mutex_unlock(lock: *mut c_void) -> c_int;
    fn pthread_mutex_destroy(lock: *mut c_void) -> c_int;
    fn pthread_mutexattr_init(attributes: *mut c_void) -> c_int;
    fn pthread_mutexattr_settype(attributes: *mut c_void, kind: c_int) -> c_int;
    fn pthread_cond_init(condition: *mut c_void, attributes: *const c_void) -> c_int;
    fn pthread_cond_signal(condition: *mut c_void) -> c_int;
    fn pthread_cond_broadcast(condition: *mut c_void) -> c_int;
    fn pthread_cond_wait(condition: *mut c_void, lock: *mut c_void) -> c_int;
    fn pthread_cond_timedwait(
        condition: *mut c_void,
        lock: *mut c_void,
        deadline: *const timespec,
    ) -> c_int;
    fn pthread_cond_destroy(condition: *mut c_void) -> c_int;
    fn pthread_key_create(
        key: *mut c_uint,
        end: Option<unsafe extern "C" fn(*mut c_void)>,
    ) -> c_int;
    fn pthread_key_delete(key: c_uint) -> c_int;
    fn pthread_getspecific(key: c_uint) -> *mut c_void;
    fn pthread_setspecific(key: c_uint, value: *const c_void) -> c_int;
    fn pthread_once(once: *mut c_int, call: extern "C" fn()) -> c_int;
    fn clock_nanosleep(
        clock: c_int,
        flags: c_int,
        time: *const timespec,
        rest: *mut timespec,
    ) -> c_int;
    fn clock_gettime(clock: c_int, time: *mut timespec) -> c_int;
    fn clock_getres(clock: c_int, time: *mut timespec) -> c_int;
    safe fn sched_yield() -> c_int;
}

fn answer(number: c_int) -> c_int {
    match number {
        0 => SUCCESS,
        libc::EBUSY => BUSY,
        libc::ENOMEM => NO_MEMORY,
        libc::ETIMEDOUT => TIMED_OUT,
        _ => ERROR,
    }
}

/// # Safety
/// `thread` can be written. Start functions give back an `int`, whose register a pointer is read from: the upper half is never looked at.
#[unsafe(no_mangle)]
unsafe extern "C" fn thrd_create(
    thread: *mut c_ulong,
    start: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: the caller's place and function.
    answer(unsafe { pthread_create(thread, null(), start, argument) })
}

/// # Safety
/// `result` is null or can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn thrd_join(thread: c_ulong, result: *mut c_int) -> c_int {
    let mut value = null_mut();
    // SAFETY: the place is our own, and the caller's.
    unsafe {
        let done = pthread_join(thread, &raw mut value);
        if !result.is_null() {
            result.write(value as usize as c_int);
        }
        answer(done)
    }
}

#[unsafe(no_mangle)]
extern "C" fn thrd_detach(thread: c_ulong) -> c_int {
    // SAFETY: any number is looked up.
    answer(unsafe { pthread_detach(thread) })
}

#[unsafe(no_mangle)]
extern "C" fn thrd_exit(result: c_int) -> ! {
    // SAFETY: the value is only handed on.
    unsafe { pthread_exit(result as usize as *mut c_void) }
}

#[unsafe(no_mangle)]
extern "C" fn thrd_current() -> c_ulong {
    // SAFETY: it has no conditions.
    unsafe { pthread_self() }
}

#[unsafe(no_mangle)]
extern "C" fn thrd_equal(first: c_ulong, second: c_ulong) -> c_int {
    c_int::from(first == second)
}

#[unsafe(no_mangle)]
extern "C" fn thrd_yield() {
    sched_yield();
}

/// 0 when the time has passed, -1 when a signal came, less when the time is none.
///
/// # Safety
/// `time` can be read, `rest` is null or can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn thrd_sleep(time: *const timespec, rest: *mut timespec) -> c_int {
    // SAFETY: the caller's places.
    match unsafe { clock_nanosleep(libc::CLOCK_REALTIME, 0, time, rest) } {
        0 => 0,
        libc::EINTR => -1,
        _ => -2,
    }
}

/// # Safety
/// There is room for a lock.
#[unsafe(no_mangle)]
unsafe extern "C" fn mtx_init(lock: *mut c_void, kind: c_int) -> c_int {
    let mut attributes = [0u64; 4];
    let attributes = (&raw mut attributes).cast();
    // SAFETY: room of our own, larger than attributes are, and the caller's.
    unsafe {
        pthread_mutexattr_init(attributes);
        if kind & RECURSIVE != 0 {
            pthread_mutexattr_settype(attributes, libc::PTHREAD_MUTEX_RECURSIVE);
        }
        answer(pthread_mutex_init(lock, attributes))
    }
}

macro_rules! same {
    ($($name:ident = $real:ident;)*) => {$(
        /// # Safety
        /// One that was initialised.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(object: *mut c_void) -> c_int {
            // SAFETY: the same contract.
            answer(unsafe { $real(object) })
        }
    )*};
}

same! {
    mtx_lock = pthread_mutex_lock;
    mtx_trylock = pthread_mutex_trylock;
    mtx_unlock = pthread_mutex_unlock;
    mtx_destroy = pthread_mutex_destroy;
    cnd_signal = pthread_cond_signal;
    cnd_broadcast = pthread_cond_broadcast;
    cnd_destroy = pthread_cond_destroy;
}

/// # Safety
/// A lock, and a time that can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn mtx_timedlock(lock: *mut c_void, deadline: *const timespec) -> c_int {
    // SAFETY: the same contract.
    answer(unsafe { pthread_mutex_timedlock(lock, deadline) })
}

/// # Safety
/// There is room for a condition.
#[unsafe(no_mangle)]
unsafe extern "C" fn cnd_init(condition: *mut c_void) -> c_int {
    // SAFETY: the same contract.
    answer(unsafe { pthread_cond_init(condition, null()) })
}

/// # Safety
/// A condition, and a lock that the caller has.
#[unsafe(no_mangle)]
unsafe extern "C" fn cnd_wait(condition: *mut c_void, lock: *mut c_void) -> c_int {
    // SAFETY: the same contract.
    answer(unsafe { pthread_cond_wait(condition, lock) })
}

/// # Safety
/// As of [`cnd_wait`], and a time that can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn cnd_timedwait(
    condition: *mut c_void,
    lock: *mut c_void,
    deadline: *const timespec,
) -> c_int {
    // SAFETY: the same contract.
    answer(unsafe { pthread_cond_timedwait(condition, lock, deadline) })
}

/// # Safety
/// `key` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn tss_create(
    key: *mut c_uint,
    end: Option<unsafe extern "C" fn(*mut c_void)>,
) -> c_int {
    // SAFETY: the same contract.
    answer(unsafe { pthread_key_create(key, end) })
}

#[unsafe(no_mangle)]
extern "C" fn tss_delete(key: c_uint) {
    // SAFETY: any key is looked up.
    unsafe { pthread_key_delete(key) };
}

#[unsafe(no_mangle)]
extern "C" fn tss_get(key: c_uint) -> *mut c_void {
    // SAFETY: any key is looked up.
    unsafe { pthread_getspecific(key) }
}

#[unsafe(no_mangle)]
extern "C" fn tss_set(key: c_uint, value: *mut c_void) -> c_int {
    // SAFETY: any key is looked up.
    answer(unsafe { pthread_setspecific(key, value) })
}

/// # Safety
/// `once` was zero before the first call.
#[unsafe(no_mangle)]
unsafe extern "C" fn call_once(once: *mut c_int, call: extern "C" fn()) {
    // SAFETY: the same contract.
    unsafe { pthread_once(once, call) };
}

/// The clock of a base of C: `TIME_UTC` (1), and glibc's others.
fn clock_of(base: c_int) -> Option<c_int> {
    Some(match base {
        1 => libc::CLOCK_REALTIME,
        2 => libc::CLOCK_MONOTONIC,
        3 => libc::CLOCK_PROCESS_CPUTIME_ID,
        4 => libc::CLOCK_THREAD_CPUTIME_ID,
        _ => return None,
    })
}

/// The time by a base; that, or 0 when there is none such.
///
/// # Safety
/// `time` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn timespec_get(time: *mut timespec, base: c_int) -> c_int {
    // SAFETY: the caller's place.
    let get = |clock| unsafe { clock_gettime(clock, time) } == 0;
    if clock_of(base).is_some_and(get) {
        base
    } else {
        0
    }
}

/// The resolution of a base.
///
/// # Safety
/// `time` is null or can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn timespec_getres(time: *mut timespec, base: c_int) -> c_int {
    // SAFETY: the caller's place.
    let get = |clock| unsafe { clock_getres(clock, time) } == 0;
    if clock_of(base).is_some_and(get) {
        base
    } else {
        0
    }
}
