//! Futexes: what std's locks, condition variables and parking stand on (Drepper, "Futexes are tricky", 2011; futex(2)).
//!
//! Waiters hang in a table of queues by the address they wait at.

use core::sync::atomic::{AtomicU32, Ordering};

use super::core::InterruptsHeld;
use super::thread::Waiting;
use super::wait::{Key, WaitOutcome, WaitQueue};
use crate::sync::SpinLock;

const BUCKETS: usize = 64;

struct Bucket {
    /// Held while a value is compared and its waiter queued, and while wakers look: so that no wake-up comes between the two.
    lock: SpinLock<()>,
    queue: WaitQueue,
}

static TABLE: [Bucket; BUCKETS] = [const {
    Bucket {
        lock: SpinLock::new(()),
        queue: WaitQueue::new(),
    }
}; BUCKETS];

/// The value was not the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed;

fn bucket(address: usize) -> &'static Bucket {
    let hash = (address >> 2).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58;
    &TABLE[hash % BUCKETS]
}

/// Sleeps at `futex` while it holds `expected`, until woken for one of `bits` or until the deadline.
///
/// # Errors
/// [`Changed`] when it holds something else.
pub fn wait(
    futex: &AtomicU32,
    expected: u32,
    bits: u32,
    deadline_ns: Option<u64>,
) -> Result<WaitOutcome, Changed> {
    let address = futex.as_ptr() as usize;
    let bucket = bucket(address);
    let guard = bucket.lock.lock();
    if futex.load(Ordering::SeqCst) != expected {
        return Err(Changed);
    }
    Ok(bucket.queue.wait_keyed(
        Key { address, bits },
        Waiting::Futex(address),
        deadline_ns,
        || drop(guard),
    ))
}

/// Wakes up to `most` threads that sleep at an address for one of `bits`; how many.
pub fn wake(address: usize, most: usize, bits: u32) -> usize {
    let bucket = bucket(address);
    let _held = InterruptsHeld::new();
    let _guard = bucket.lock.lock();
    bucket
        .queue
        .wake_where(most, |key| key.address == address && key.bits & bits != 0)
}
