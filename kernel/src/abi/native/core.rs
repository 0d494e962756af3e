//! Cores (`api/src/sys/core.rs`).

use crate::scheduler;

/// How many cores run.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_core_count() -> usize {
    scheduler::core_count()
}

/// The core of the calling thread.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_core_current() -> usize {
    scheduler::current_core()
}
