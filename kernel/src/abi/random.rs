//! Numbers that look random (ISO C17, section 7.22.2; POSIX.1-2017, `random`, `drand48`): equal for equal seeds, not to be relied on for secrets, and
//! not those of glibc.

use core::ffi::{c_int, c_long, c_uint};
use core::sync::atomic::{AtomicU64, Ordering};

/// Where the sequence is: each step adds a constant, so that threads need no lock. A program that sets no seed has that of 1.
static STATE: AtomicU64 = AtomicU64::new(1);
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's function from the state to a number (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
fn mixed(state: u64) -> u64 {
    let state = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ state >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ state >> 31
}

fn next() -> u64 {
    mixed(STATE.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP))
}

#[unsafe(no_mangle)]
extern "C" fn srand(seed: c_uint) {
    STATE.store(u64::from(seed), Ordering::Relaxed);
}

#[unsafe(no_mangle)]
extern "C" fn srandom(seed: c_uint) {
    srand(seed);
}

#[unsafe(no_mangle)]
extern "C" fn srand48(seed: c_long) {
    srand(seed as c_uint);
}

/// A number from 0 to `RAND_MAX`, which is 2³¹ - 1.
#[unsafe(no_mangle)]
extern "C" fn rand() -> c_int {
    (next() >> 33) as c_int
}

#[unsafe(no_mangle)]
extern "C" fn random() -> c_long {
    c_long::from(rand())
}

#[unsafe(no_mangle)]
extern "C" fn lrand48() -> c_long {
    random()
}

/// A number from 0 to below 1.
#[unsafe(no_mangle)]
extern "C" fn drand48() -> f64 {
    (next() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number of the caller's own sequence.
///
/// # Safety
/// `seed` can be read and written.
#[unsafe(no_mangle)]
unsafe extern "C" fn rand_r(seed: *mut c_uint) -> c_int {
    // SAFETY: the caller's place.
    unsafe {
        *seed = (*seed).wrapping_add(STEP as c_uint);
        (mixed(u64::from(*seed)) >> 33) as c_int
    }
}

/// A number from -2³¹ to below 2³¹.
#[unsafe(no_mangle)]
extern "C" fn mrand48() -> c_long {
    c_long::from((next() >> 32) as i32)
}

/// The seed before, in memory that the next call overwrites.
struct Before(core::cell::UnsafeCell<[u16; 3]>);

// SAFETY: only `seed48` uses it, whose contract is that one thread calls it.
unsafe impl Sync for Before {}

static BEFORE: Before = Before(core::cell::UnsafeCell::new([0; 3]));

/// Sets the seed; what it was.
///
/// # Safety
/// Three words can be read; no other thread calls this.
#[unsafe(no_mangle)]
unsafe extern "C" fn seed48(seed: *const [u16; 3]) -> *mut u16 {
    // SAFETY: the caller's.
    let [low, middle, high] = unsafe { seed.read() }.map(u64::from);
    let before = STATE.swap(high << 32 | middle << 16 | low, Ordering::Relaxed);
    let words = [before as u16, (before >> 16) as u16, (before >> 32) as u16];
    // SAFETY: one thread calls this.
    unsafe { BEFORE.0.get().write(words) };
    BEFORE.0.get().cast()
}

/// Sets the seed, and the constants of a generator that this is not.
///
/// # Safety
/// Seven words can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn lcong48(parameters: *const [u16; 7]) {
    // SAFETY: the caller's.
    let parameters = unsafe { parameters.read() };
    let seed = parameters[..3]
        .iter()
        .rev()
        .fold(0, |seed, &word| seed << 16 | u64::from(word));
    STATE.store(seed, Ordering::Relaxed);
}
