//! Memory that a hypervisor writes to while we read: every value comes by one volatile read, and a version tells whether they belong together.

use core::sync::atomic::{Ordering, compiler_fence};

use crate::memory::OutOfMemory;
use crate::memory::dma::{DmaBuffer, Plain};

/// As often a structure is read that changes meanwhile; a hypervisor is done with it in some instructions.
const MAX_TRIES: u32 = 1000;

/// A piece of such memory; it is never given back, for the hypervisor keeps its address.
pub(super) struct Shared(DmaBuffer);

impl Shared {
    /// Zeros.
    pub(super) fn new(len_bytes: usize) -> Result<Self, OutOfMemory> {
        DmaBuffer::new(len_bytes).map(Self)
    }

    /// Its physical address, which is that of a page.
    pub(super) fn phys(&self) -> u64 {
        self.0.phys()
    }

    /// Reads a value, once.
    pub(super) fn read<T: Plain>(&self, offset: usize) -> T {
        self.0.read(offset)
    }
}

/// What `read` reads, if the version before and after is the same, and one that `is_done`. The processor reads in order.
pub(super) fn stable<V: PartialEq + Copy, T>(
    mut version: impl FnMut() -> V,
    is_done: impl Fn(V) -> bool,
    mut read: impl FnMut() -> T,
) -> Option<T> {
    for _ in 0..MAX_TRIES {
        let before = version();
        compiler_fence(Ordering::Acquire);
        let value = read();
        compiler_fence(Ordering::Acquire);
        if is_done(before) && version() == before {
            return Some(value);
        }
        core::hint::spin_loop();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{MAX_TRIES, stable};
    use std::cell::Cell;

    #[test]
    fn what_changes_while_it_is_read_is_read_again() {
        let versions = Cell::new([1, 2, 4, 4, 4].iter());
        let next = || {
            let mut left = versions.take();
            let version = *left.next().unwrap();
            versions.set(left);
            version
        };
        let mut reads = 0;
        let value = stable(
            next,
            |version| version % 2 == 0,
            || {
                reads += 1;
                reads
            },
        );
        // The first is not done, the second changes.
        assert_eq!(value, Some(3));
    }

    #[test]
    fn what_never_rests_is_given_up() {
        let mut reads = 0;
        let value = stable(|| 1, |version| version % 2 == 0, || reads += 1);
        assert_eq!((value, reads), (None, MAX_TRIES));
    }
}
