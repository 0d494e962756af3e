//! The cores of the machine.

use crate::sys;

/// How many cores run, at least 1. They are numbered from 0.
#[must_use]
pub fn count() -> usize {
    sys::core::count()
}

/// The number of the core that runs the calling thread. A thread never moves to another core.
#[must_use]
pub fn current() -> usize {
    sys::core::current()
}
