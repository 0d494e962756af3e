//! Cores (`kernel/src/abi/native/core.rs`).

/// What a core has done, as the kernel has it.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Statistics {
    pub(crate) halted_ns: u64,
    pub(crate) switches: u64,
    pub(crate) interrupts: u64,
    pub(crate) threads: u64,
}

mod c {
    use super::Statistics;

    unsafe extern "C" {
        pub(super) safe fn toro_core_count() -> usize;
        pub(super) safe fn toro_core_current() -> usize;
        pub(super) safe fn toro_core_choose(core: usize) -> i32;
        pub(super) safe fn toro_core_statistics(core: usize, out: &mut Statistics) -> i32;
        pub(super) safe fn toro_core_set_placement(rule: i32) -> i32;
    }
}

pub(crate) fn count() -> usize {
    c::toro_core_count()
}

pub(crate) fn current() -> usize {
    c::toro_core_current()
}

/// `None` where there is no such core.
pub(crate) fn statistics(core: usize) -> Option<Statistics> {
    let mut statistics = Statistics::default();
    (c::toro_core_statistics(core, &mut statistics) == 0).then_some(statistics)
}

pub(crate) fn set_placement(rule: i32) {
    // The kernel knows all rules that `Placement` has.
    let _ = c::toro_core_set_placement(rule);
}

/// The next thread that this one starts goes to a core, until dropped.
pub(crate) struct Choice(());

impl Choice {
    /// `None` where there is no such core.
    pub(crate) fn new(core: usize) -> Option<Self> {
        (core < count() && c::toro_core_choose(core) == 0).then_some(Self(()))
    }
}

impl Drop for Choice {
    fn drop(&mut self) {
        let _ = c::toro_core_choose(usize::MAX);
    }
}
