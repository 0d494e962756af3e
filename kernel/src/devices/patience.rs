//! Waiting for a device by looking at it, for what takes a moment and happens rarely: a reset, the first commands.

/// Looks until `is_so`, for at most `limit_ns` nanoseconds, while other threads run; whether it became so. Never call it with a lock held.
#[cfg(not(test))]
pub(crate) fn wait_until(limit_ns: u64, mut is_so: impl FnMut() -> bool) -> bool {
    use crate::arch::clock;

    let end_ns = clock::now_ns().saturating_add(limit_ns);
    loop {
        // The clock first: who was away for long looks once more.
        let is_late = clock::now_ns() >= end_ns;
        if is_so() {
            return true;
        }
        if is_late {
            return false;
        }
        crate::scheduler::yield_now();
    }
}

/// On the host there is no scheduler, and models of devices need no time.
#[cfg(test)]
pub(crate) fn wait_until(_: u64, mut is_so: impl FnMut() -> bool) -> bool {
    (0..100).any(|_| is_so())
}
