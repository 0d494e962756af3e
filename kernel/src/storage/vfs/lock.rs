//! Locks on whole files, that programs agree on among themselves (Linux: flock(2)).
//!
//! A lock belongs to an open file; the table knows how many hold a node.

use crate::error::{Errno, Result};
use crate::scheduler::WaitQueue;
use crate::sorted_map::SortedMap;
use crate::sync::SpinLock;

/// Which node: device number and number in there.
pub type NodeKey = (u64, u64);

/// Who holds a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holders {
    Shared(usize),
    Exclusive,
}

/// All locks, and whether they are for one alone.
pub fn all() -> alloc::vec::Vec<(NodeKey, bool)> {
    let held = HELD.lock();
    let each = held
        .iter()
        .map(|(key, holders)| (*key, *holders == Holders::Exclusive));
    each.collect()
}

static HELD: SpinLock<SortedMap<NodeKey, Holders>> = SpinLock::new(SortedMap::new());
static RELEASED: WaitQueue = WaitQueue::new();

/// Takes a lock.
///
/// # Errors
/// `EWOULDBLOCK` when others hold it and the caller may not wait.
pub(super) fn acquire(key: NodeKey, is_exclusive: bool, may_wait: bool) -> Result<()> {
    let mut held = HELD.lock();
    loop {
        let taken = match (held.get(&key), is_exclusive) {
            (None, true) => Holders::Exclusive,
            (None, false) => Holders::Shared(1),
            (Some(Holders::Shared(count)), false) => Holders::Shared(count + 1),
            _ if !may_wait => return Err(Errno(libc::EWOULDBLOCK)),
            _ => {
                (held, _) = RELEASED.wait(held, None);
                continue;
            }
        };
        held.insert(key, taken);
        return Ok(());
    }
}

/// Gives a lock back that [`acquire`] gave.
pub(super) fn release(key: NodeKey) {
    let mut held = HELD.lock();
    match held.get_mut(&key) {
        Some(Holders::Shared(count)) if *count > 1 => *count -= 1,
        _ => {
            held.remove(&key);
        }
    }
    drop(held);
    RELEASED.wake_all();
}
