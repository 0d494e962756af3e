//! The atomics of what is lock-free here. `kernel/tests/lock_free.rs` puts loom's in their place.

pub(super) use core::sync::atomic::{AtomicUsize, Ordering, fence};
