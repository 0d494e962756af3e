//! Barriers (POSIX.1-2017, `pthread.h`): threads wait until so many have come. Functions return error numbers.

use core::ffi::{c_int, c_uint};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::scheduler::futex;

/// What lies in a `pthread_barrier_t`.
#[repr(C)]
struct Barrier {
    /// The round in the upper half, those who have come in the lower: one word, so that nobody comes between two rounds.
    state: AtomicU64,
    /// Those who have come and not gone: the barrier ends with none.
    inside: AtomicU32,
    count: u32,
}

const _: () = assert!(size_of::<Barrier>() <= size_of::<libc::pthread_barrier_t>());
const ONE_ROUND: u64 = 1 << 32;

fn round_of(state: u64) -> u32 {
    (state >> 32) as u32
}

impl Barrier {
    /// # Safety
    /// 1. `pointer` is an initialised barrier.
    unsafe fn of<'a>(pointer: *mut libc::pthread_barrier_t) -> &'a Self {
        // SAFETY: the caller's promise (1).
        unsafe { &*pointer.cast() }
    }

    /// The round as a word of its own.
    fn round(&self) -> &AtomicU32 {
        // SAFETY: the upper half of the state, which lives as long.
        unsafe { AtomicU32::from_ptr(self.state.as_ptr().cast::<u32>().add(1)) }
    }

    /// Waits until all have come; whether this thread was the last.
    fn wait(&self) -> bool {
        self.inside.fetch_add(1, Ordering::Relaxed);
        let before = self.state.fetch_add(1, Ordering::AcqRel);
        let round = round_of(before);
        let is_last = before as u32 + 1 == self.count;
        if is_last {
            // Nobody else comes before this: all others wait for the next round.
            let next = u64::from(round.wrapping_add(1)) * ONE_ROUND;
            self.state.store(next, Ordering::Release);
            futex::wake(self.round().as_ptr() as usize, usize::MAX, u32::MAX);
        } else {
            while round_of(self.state.load(Ordering::Acquire)) == round {
                let _ = futex::wait(self.round(), round, u32::MAX, None);
            }
        }
        if self.inside.fetch_sub(1, Ordering::Release) == 1 {
            futex::wake(self.inside.as_ptr() as usize, usize::MAX, u32::MAX);
        }
        is_last
    }
}

/// Makes a barrier for so many threads.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_barrier_init(
    out: *mut libc::pthread_barrier_t,
    _attributes: *const libc::pthread_barrierattr_t,
    count: c_uint,
) -> c_int {
    if count == 0 {
        return libc::EINVAL;
    }
    // SAFETY: the caller's place, in which a barrier has room.
    unsafe {
        out.cast::<Barrier>().write(Barrier {
            state: AtomicU64::new(0),
            inside: AtomicU32::new(0),
            count,
        });
    }
    0
}

/// Waits until as many threads have come as the barrier is for. One of them gets `PTHREAD_BARRIER_SERIAL_THREAD`, the others 0.
///
/// # Safety
/// `barrier` is initialised.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_barrier_wait(barrier: *mut libc::pthread_barrier_t) -> c_int {
    // SAFETY: the caller's barrier.
    match unsafe { Barrier::of(barrier) }.wait() {
        true => libc::PTHREAD_BARRIER_SERIAL_THREAD,
        false => 0,
    }
}

/// Ends a barrier, when the threads that it has let go have left it.
///
/// # Safety
/// `barrier` is initialised, and no thread waits for others there.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_barrier_destroy(barrier: *mut libc::pthread_barrier_t) -> c_int {
    // SAFETY: the caller's barrier.
    let barrier = unsafe { Barrier::of(barrier) };
    loop {
        match barrier.inside.load(Ordering::Acquire) {
            0 => return 0,
            inside => drop(futex::wait(&barrier.inside, inside, u32::MAX, None)),
        }
    }
}

/// Makes attributes: a barrier is for the threads of the program, which are all there are.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_barrierattr_init(out: *mut libc::pthread_barrierattr_t) -> c_int {
    // SAFETY: the caller's place; the attributes are an integer.
    unsafe { out.cast::<c_int>().write(libc::PTHREAD_PROCESS_PRIVATE) };
    0
}

/// Ends attributes.
#[unsafe(no_mangle)]
extern "C" fn pthread_barrierattr_destroy(_: *mut libc::pthread_barrierattr_t) -> c_int {
    0
}
