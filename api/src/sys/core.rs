//! Cores (`kernel/src/abi/native/core.rs`).

mod c {
    unsafe extern "C" {
        pub(super) safe fn toro_core_count() -> usize;
        pub(super) safe fn toro_core_current() -> usize;
    }
}

pub(crate) fn count() -> usize {
    c::toro_core_count()
}

pub(crate) fn current() -> usize {
    c::toro_core_current()
}
