//! Buffers of connections: rings that grow while they are used and are given back when they are empty, from one account.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::limits::Limits;

/// Smallest storage of a ring, kept for the next when it is given back.
const SMALL: usize = 2048;
/// Small storages kept.
const SPARE: usize = 64;

/// Bytes in a queue, with room beyond its end for bytes that come before others.
#[derive(Default)]
#[cfg_attr(test, derive(Clone, Debug))]
pub(crate) struct Ring {
    /// Its length is 0 or a power of two.
    storage: Box<[u8]>,
    /// Without storage: what is queued, where it is for ever.
    kept: &'static [u8],
    head: usize,
    len: usize,
}

impl Ring {
    /// Bytes queued.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that storage is there for.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.storage.len()
    }

    /// Copies bytes to a place `offset` from the first; there must be storage for them.
    #[inline]
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        debug_assert!(offset + bytes.len() <= self.capacity());
        let start = (self.head + offset) & self.capacity().wrapping_sub(1);
        let first = bytes.len().min(self.capacity() - start);
        let (left, right) = bytes.split_at(first);
        self.storage[start..start + first].copy_from_slice(left);
        if !right.is_empty() {
            self.storage[..right.len()].copy_from_slice(right);
        }
    }

    /// Queues bytes that stay where they are, without copying them; nothing may be queued, nor storage be there.
    #[inline]
    pub(crate) fn keep(&mut self, bytes: &'static [u8]) {
        debug_assert!(self.len == 0 && self.capacity() == 0);
        (self.kept, self.len) = (bytes, bytes.len());
    }

    /// Copies bytes from a place `offset` from the first; how many there were.
    #[inline(always)]
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) -> usize {
        let count = bytes.len().min(self.len.saturating_sub(offset));
        if count == 0 {
            return 0;
        }
        if let Some(kept) = self.kept.get(offset..offset + count) {
            bytes[..count].copy_from_slice(kept);
            return count;
        }
        let start = (self.head + offset) & (self.capacity() - 1);
        let first = count.min(self.capacity() - start);
        let (left, right) = bytes[..count].split_at_mut(first);
        left.copy_from_slice(&self.storage[start..start + first]);
        if !right.is_empty() {
            right.copy_from_slice(&self.storage[..count - first]);
        }
        count
    }

    /// The first bytes, as far as they lie in one piece.
    pub(crate) fn front(&self) -> &[u8] {
        if !self.kept.is_empty() {
            return self.kept;
        }
        let end = (self.head + self.len).min(self.capacity());
        self.storage.get(self.head..end).unwrap_or_default()
    }

    /// Counts bytes written beyond the end as queued.
    #[inline]
    pub(crate) fn extend(&mut self, count: usize) {
        debug_assert!(self.len + count <= self.capacity());
        self.len += count;
    }

    /// Forgets the first bytes.
    #[inline]
    pub(crate) fn consume(&mut self, count: usize) {
        let count = count.min(self.len);
        self.len -= count;
        if !self.kept.is_empty() {
            self.kept = self.kept.get(count..).unwrap_or_default();
            return;
        }
        self.head = (self.head + count) & self.capacity().wrapping_sub(1);
    }

    fn set_storage(&mut self, mut storage: Box<[u8]>, kept: usize) -> Box<[u8]> {
        let borrowed = core::mem::take(&mut self.kept);
        if !borrowed.is_empty() {
            storage[..borrowed.len()].copy_from_slice(borrowed);
        }
        let kept = kept.min(self.capacity());
        if kept != 0 {
            let first = kept.min(self.capacity() - self.head);
            storage[..first].copy_from_slice(&self.storage[self.head..self.head + first]);
            storage[first..kept].copy_from_slice(&self.storage[..kept - first]);
        }
        self.head = 0;
        core::mem::replace(&mut self.storage, storage)
    }
}

/// The account of all rings of an engine.
pub(crate) struct Pool {
    spare: Vec<Box<[u8]>>,
    used: usize,
    limit: usize,
    /// See [`Limits::room_bytes`].
    room_bytes: fn() -> usize,
}

impl Pool {
    /// An account that lends up to `limit` bytes, what is assured excepted.
    pub(crate) fn new(limit: usize, room_bytes: fn() -> usize) -> Self {
        Self {
            spare: Vec::new(),
            used: 0,
            limit,
            room_bytes,
        }
    }

    /// Bytes that rings hold.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Whether memory is getting short.
    #[inline]
    pub(crate) fn is_tight(&self) -> bool {
        self.used > self.limit / 4 * 3
    }

    /// Sees to it that a ring has storage for `wanted` bytes, of which `kept` are there already; whether it has.
    #[inline]
    pub(crate) fn reserve(&mut self, ring: &mut Ring, wanted: usize, kept: usize) -> bool {
        if wanted <= ring.capacity() {
            return true;
        }
        // Nearly always: what the last request was in.
        if ring.capacity() == 0
            && ring.kept.is_empty()
            && wanted <= SMALL
            && let Some(storage) = self.spare.pop()
        {
            self.used += SMALL;
            (ring.storage, ring.head) = (storage, 0);
            return true;
        }
        self.grow(ring, wanted, kept)
    }

    #[inline(never)]
    fn grow(&mut self, ring: &mut Ring, wanted: usize, kept: usize) -> bool {
        let capacity = match wanted.max(SMALL).checked_next_power_of_two() {
            Some(capacity) => capacity,
            None => return false,
        };
        let more = capacity - ring.capacity();
        if capacity > Limits::ASSURED_BYTES && self.used + more > self.limit {
            return false;
        }
        let storage = match self.spare.pop_if(|_| capacity == SMALL) {
            Some(storage) => storage,
            None => {
                // Of what there is, what is more than assured leaves half to others each time.
                let room = (self.room_bytes)();
                let is_assured = capacity <= Limits::ASSURED_BYTES;
                if capacity > if is_assured { room } else { room / 2 } {
                    return false;
                }
                let mut bytes = Vec::new();
                if bytes.try_reserve_exact(capacity).is_err() {
                    return false;
                }
                bytes.resize(capacity, 0);
                bytes.into_boxed_slice()
            }
        };
        self.used += more;
        let old = ring.set_storage(storage, kept);
        self.keep(old);
        true
    }

    /// Takes the storage of an empty ring back if it is small, which costs next to nothing.
    #[inline]
    pub(crate) fn rest(&mut self, ring: &mut Ring) {
        if ring.len == 0 && ring.capacity() == SMALL {
            self.take_back(ring);
        }
    }

    /// Takes the storage of a ring back, whatever is in it.
    pub(crate) fn take_back(&mut self, ring: &mut Ring) {
        let ring = core::mem::take(ring);
        self.used -= ring.capacity();
        self.keep(ring.storage);
    }

    #[inline]
    fn keep(&mut self, storage: Box<[u8]>) {
        if storage.len() == SMALL && self.spare.len() < SPARE {
            self.spare.push(storage);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pool, Ring, SMALL};
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn storage_is_given_back_and_used_again() {
        let (mut pool, mut ring) = (Pool::new(1 << 20, || usize::MAX), Ring::default());
        assert!(pool.reserve(&mut ring, 10, 0));
        assert_eq!((ring.capacity(), pool.used()), (SMALL, SMALL));
        ring.write(0, b"hello");
        ring.extend(5);
        assert_eq!(ring.front(), b"hello");
        pool.rest(&mut ring);
        assert_eq!(pool.used(), SMALL, "it is not empty");
        ring.consume(5);
        pool.rest(&mut ring);
        assert_eq!((ring.capacity(), pool.used(), pool.spare.len()), (0, 0, 1));
        assert!(pool.reserve(&mut ring, 1, 0));
        assert!(pool.spare.is_empty());
    }

    #[test]
    fn nothing_but_what_is_assured_is_lent_beyond_the_limit() {
        let (mut pool, mut ring) = (Pool::new(10_000, || usize::MAX), Ring::default());
        assert!(!pool.reserve(&mut ring, 10_001, 0));
        assert!(pool.reserve(&mut ring, 8000, 0));
        let mut other = Ring::default();
        assert!(!pool.reserve(&mut other, 5000, 0));
        assert!(pool.reserve(&mut other, 4096, 0));
        pool.take_back(&mut ring);
        pool.take_back(&mut other);
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn a_machine_that_is_short_of_memory_lends_less() {
        let (mut pool, mut ring) = (Pool::new(1 << 20, || 10_000), Ring::default());
        assert!(!pool.reserve(&mut ring, 5000, 0), "half is left to others");
        assert!(pool.reserve(&mut ring, 4096, 0));
        let (mut pool, mut ring) = (Pool::new(1 << 20, || 0), Ring::default());
        assert!(!pool.reserve(&mut ring, 1, 0));
        assert_eq!(pool.used(), 0);
    }

    proptest! {
        #[test]
        fn a_ring_is_a_queue(steps in proptest::collection::vec((0usize..3000, 0usize..3000, any::<bool>()), 1..60)) {
            let (mut pool, mut ring) = (Pool::new(1 << 20, || usize::MAX), Ring::default());
            let (mut model, mut next) = (VecDeque::new(), 0u8);
            for (more, less, stays) in steps {
                let bytes: Vec<u8> = (0..more).map(|_| { next = next.wrapping_add(7); next }).collect();
                model.extend(&bytes);
                if stays && ring.len() == 0 && ring.capacity() == 0 {
                    // Not copied.
                    ring.keep(bytes.leak());
                    prop_assert_eq!(pool.used(), 0);
                } else {
                    let (at, len) = (ring.len(), ring.len() + more);
                    prop_assert!(pool.reserve(&mut ring, len, at));
                    // Its second half first, as out of order.
                    ring.write(at + more / 2, &bytes[more / 2..]);
                    ring.write(at, &bytes[..more / 2]);
                    ring.extend(more);
                }
                let mut out = vec![0; less];
                let offset = less.min(ring.len()) / 2;
                let got = ring.read(offset, &mut out);
                prop_assert!(out[..got].iter().eq(model.iter().skip(offset).take(got)));
                ring.consume(less);
                model.drain(..less.min(model.len()));
                prop_assert_eq!(ring.len(), model.len());
                pool.rest(&mut ring);
            }
        }
    }
}
