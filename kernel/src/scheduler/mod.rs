//! Threads: cooperative, one run queue per core.
//!
//! Interrupts only mark; what a device has to say is served by [`Service`]s of the core it is dedicated to, which
//! the scheduler calls when it looks for work and before it halts.

mod asleep;
mod atomic;
pub mod control;
mod core;
pub mod futex;
pub mod message;
mod notify;
mod placement;
mod preempt;
pub mod registry;
mod ring;
mod shared_turn;
mod sleep_lock;
pub mod thread;
mod timers;
mod turn;
mod wait;

pub use core::{
    Statistics, begin, begin_slice, core_count, current_core, exit, prepare_core,
    register_interrupt, register_service, remove_service, run_core, sleep_until, spawn, spawn_on,
    start, statistics, thread_count, yield_now,
};
pub use notify::{Notifier, Observer, Readiness};
pub use placement::{Placement, place, set_placement};
pub use preempt::enable as enable_preemption;
pub use shared_turn::{Change, Look, SharedTurn};
pub use sleep_lock::{SleepGuard, SleepLock};
pub use thread::{Name, Thread, Waiting};
pub use turn::{Turn, TurnGuard};
pub use wait::{WaitOutcome, WaitQueue};

/// Work of a core besides its threads: a device, a protocol stack. It wakes only threads that wait for something from outside
/// ([`Waiting::Outside`]), and runs no function of the program: else a program that it would wake could be taken for dead.
pub trait Service: Sync {
    /// Does what there is to do now, in a bounded amount. Must be cheap when there is nothing. Runs on some thread's stack with no lock
    /// held; must not block.
    fn serve(&self);

    /// When `serve` must run next even if no interrupt comes (nanoseconds since boot; 0: at once), or `None`. Asked before the core halts,
    /// without `serve` before it if nothing has interrupted: so it has to tell of work that came without an interrupt. Not asked of those
    /// that [`register_interrupt`] registered.
    fn next_deadline_ns(&self) -> Option<u64> {
        None
    }
}
