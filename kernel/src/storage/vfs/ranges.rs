//! Locks on ranges of files, that programs agree on among themselves (POSIX.1-2017, `fcntl`; Linux: fcntl_locking(2)): those of the process,
//! and those of open files, which keep threads apart too.
//!
//! Who can have files installs the table ([`install`]), so that a program without them has none of its code.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use super::lock::NodeKey;
use crate::error::{Errno, Result};
use crate::scheduler::WaitQueue;
use crate::sorted_map::SortedMap;
use crate::sync::{OnceCell, SpinLock};

/// The last byte that a file can have (`OFFSET_MAX`).
pub const LAST: u64 = i64::MAX as u64;

/// Whose lock it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The process.
    Process,
    /// An open file, by its address.
    File(usize),
}

/// A lock, or one that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// Whose it is.
    pub owner: Owner,
    /// For writing; else for reading, with others who read.
    pub is_exclusive: bool,
    /// The first byte.
    pub start: u64,
    /// The last byte, [`LAST`] for all behind.
    pub end: u64,
}

impl Range {
    fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    fn is_in_the_way_of(&self, other: &Self) -> bool {
        self.owner != other.owner
            && self.overlaps(other)
            && (self.is_exclusive || other.is_exclusive)
    }
}

/// What is done with the locks of a node.
pub trait Table: Sync {
    /// Takes a lock, in place of what its owner has there.
    ///
    /// # Errors
    /// `EAGAIN` when others hold it and the caller may not wait; `ENOLCK` without memory.
    fn take(&self, key: NodeKey, wanted: Range, may_wait: bool) -> Result<()>;

    /// Gives back what the owner has there.
    ///
    /// # Errors
    /// `ENOLCK` without memory for what is left of it.
    fn give_back(&self, key: NodeKey, range: Range) -> Result<()>;

    /// The first lock that keeps this one from being taken.
    fn in_the_way(&self, key: NodeKey, wanted: Range) -> Option<Range>;

    /// All locks of all nodes.
    fn all(&self) -> Vec<(NodeKey, Range)>;
}

static TABLE: OnceCell<&'static dyn Table> = OnceCell::new();
/// Somebody has taken a lock.
static IS_USED: AtomicBool = AtomicBool::new(false);

/// Has locks kept by this table.
pub fn install(table: &'static dyn Table) {
    let _ = TABLE.set(table);
}

/// The table, if there is one.
pub fn table() -> Option<&'static dyn Table> {
    TABLE.get().copied()
}

/// Gives back all that the owner has of a node: who closes a file calls it.
pub(super) fn release(key: NodeKey, owner: Owner) {
    if IS_USED.load(Ordering::Acquire)
        && let Some(table) = table()
    {
        let all = Range {
            owner,
            is_exclusive: false,
            start: 0,
            end: LAST,
        };
        // The whole is given back, so nothing is left that needs memory.
        let _ = table.give_back(key, all);
    }
}

static HELD: SpinLock<SortedMap<NodeKey, Vec<Range>>> = SpinLock::new(SortedMap::new());
static GIVEN_BACK: WaitQueue = WaitQueue::new();

/// The table of all locks.
pub struct Locks;

/// Puts a range in its place in a list by starts, which has room for it.
fn place(list: &mut Vec<Range>, range: Range) {
    let at = list.partition_point(|other| other.start <= range.start);
    list.insert(at, range);
}

/// What an owner has after a lock of `range`, or after the end of it: its other locks, those that stick out on both sides, and, where it
/// `stays`, the new one, as one with its neighbours of the same kind.
fn changed(held: &[Range], range: Range, stays: bool) -> Result<Vec<Range>> {
    let no_memory = |_| Errno(libc::ENOLCK);
    let mut new = Vec::new();
    new.try_reserve_exact(held.len() + 2).map_err(no_memory)?;
    let mut whole = range;
    for &old in held {
        let joins = stays
            && old.is_exclusive == range.is_exclusive
            && old.start <= range.end.saturating_add(1)
            && range.start <= old.end.saturating_add(1);
        if old.owner != range.owner || !(joins || old.overlaps(&range)) {
            place(&mut new, old);
        } else if joins {
            whole.start = whole.start.min(old.start);
            whole.end = whole.end.max(old.end);
        } else {
            if old.start < range.start {
                let end = range.start - 1;
                place(&mut new, Range { end, ..old });
            }
            if old.end > range.end {
                let start = range.end + 1;
                place(&mut new, Range { start, ..old });
            }
        }
    }
    if stays {
        place(&mut new, whole);
    }
    Ok(new)
}

impl Table for Locks {
    fn take(&self, key: NodeKey, wanted: Range, may_wait: bool) -> Result<()> {
        IS_USED.store(true, Ordering::Release);
        let mut held = HELD.lock();
        loop {
            let of_node = held.get_or_insert_with(key, Vec::new);
            if !of_node.iter().any(|lock| lock.is_in_the_way_of(&wanted)) {
                let new = changed(of_node, wanted, true)?;
                *of_node = new;
                break;
            }
            if !may_wait {
                return Err(Errno(libc::EAGAIN));
            }
            (held, _) = GIVEN_BACK.wait(held, None);
        }
        drop(held);
        // What was for writing may be for reading now.
        GIVEN_BACK.wake_all();
        Ok(())
    }

    fn give_back(&self, key: NodeKey, range: Range) -> Result<()> {
        let mut held = HELD.lock();
        let Some(of_node) = held.get_mut(&key) else {
            return Ok(());
        };
        if range.start == 0 && range.end == LAST {
            of_node.retain(|lock| lock.owner != range.owner);
        } else {
            let new = changed(of_node, range, false)?;
            *of_node = new;
        }
        if of_node.is_empty() {
            held.remove(&key);
        }
        drop(held);
        GIVEN_BACK.wake_all();
        Ok(())
    }

    fn in_the_way(&self, key: NodeKey, wanted: Range) -> Option<Range> {
        let held = HELD.lock();
        let mut of_node = held.get(&key)?.iter();
        of_node.find(|lock| lock.is_in_the_way_of(&wanted)).copied()
    }

    fn all(&self) -> Vec<(NodeKey, Range)> {
        let held = HELD.lock();
        let of_nodes = held.iter();
        of_nodes
            .flat_map(|(key, ranges)| ranges.iter().map(|range| (*key, *range)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: NodeKey = (900, 1);

    fn range(owner: Owner, is_exclusive: bool, start: u64, end: u64) -> Range {
        Range {
            owner,
            is_exclusive,
            start,
            end,
        }
    }

    #[test]
    fn a_lock_inside_of_another_kind_splits_it_and_what_touches_is_one() {
        let own = |is_exclusive, start, end| range(Owner::Process, is_exclusive, start, end);
        let mut held = Vec::new();
        for wanted in [own(true, 0, 99), own(false, 40, 49), own(false, 50, 59)] {
            held = changed(&held, wanted, true).unwrap();
        }
        assert_eq!(
            held,
            [own(true, 0, 39), own(false, 40, 59), own(true, 60, 99)]
        );
        held = changed(&held, own(false, 30, 69), false).unwrap();
        assert_eq!(held, [own(true, 0, 29), own(true, 70, 99)]);
        held = changed(&held, own(true, 30, LAST), true).unwrap();
        assert_eq!(held, [own(true, 0, LAST)]);
    }

    #[test]
    fn writers_keep_all_others_out_and_readers_only_writers() {
        install(&Locks);
        let (one, other) = (Owner::File(1), Owner::File(2));
        let take = |owner, is_exclusive, start, end| {
            Locks.take(KEY, range(owner, is_exclusive, start, end), false)
        };
        assert_eq!(take(one, false, 0, 9), Ok(()));
        assert_eq!(take(other, false, 5, 14), Ok(()));
        assert_eq!(take(other, true, 9, 9), Err(Errno(libc::EAGAIN)));
        assert_eq!(take(other, true, 10, 14), Ok(()));
        let asked = range(Owner::Process, false, 0, LAST);
        let found = Locks.in_the_way(KEY, asked);
        assert_eq!(found, Some(range(other, true, 10, 14)));
        assert_eq!(Locks.in_the_way((901, 1), asked), None);
        release(KEY, other);
        assert_eq!(Locks.in_the_way(KEY, asked), None);
        release(KEY, one);
        assert!(Locks.all().iter().all(|(key, _)| *key != KEY));
    }
}
