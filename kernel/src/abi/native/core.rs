//! Cores (`api/src/sys/core.rs`).

use core::ffi::c_int;

use crate::scheduler::{self, Placement, Statistics, thread};

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

/// The next thread that the calling thread starts goes to `core`; `usize::MAX` takes the choice back. `EINVAL` where there is no such
/// core.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_core_choose(core: usize) -> c_int {
    let chosen = match core {
        usize::MAX => None,
        _ if core < scheduler::core_count() => Some(core),
        _ => return -libc::EINVAL,
    };
    thread::current().next_core.set(chosen);
    0
}

/// What a core has done. `EINVAL` where there is no such core.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn toro_core_statistics(core: usize, out: *mut Statistics) -> c_int {
    match scheduler::statistics(core) {
        Some(statistics) => {
            // SAFETY: the caller's pointer to a result.
            unsafe { out.write(statistics) };
            0
        }
        None => -libc::EINVAL,
    }
}

/// The rule by which threads are placed from now on: 0 least loaded, 1 round robin, 2 same core. `EINVAL` for others.
#[unsafe(no_mangle)]
pub(super) extern "C" fn toro_core_set_placement(rule: c_int) -> c_int {
    scheduler::set_placement(match rule {
        0 => Placement::LeastLoaded,
        1 => Placement::RoundRobin,
        2 => Placement::SameCore,
        _ => return -libc::EINVAL,
    });
    0
}
