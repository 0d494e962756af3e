//! Sockets as programs hold them: they block, time out, and say what they are ready for. What they stand on never blocks.

pub mod failure;
pub mod family;
pub mod groups;
pub mod hints;
pub mod mailbox;
pub mod options;
mod stream;
pub mod tcp;
pub mod told;
pub mod udp;

use super::error::{Error, Result};
use crate::arch::clock;
use crate::scheduler::{Notifier, WaitOutcome};
use crate::sync::SpinGuard;

/// Waits for a notification, or fails with [`Error::WouldBlock`] when it must not or has waited long enough.
pub(super) fn wait<'a, T: ?Sized>(
    notifier: &Notifier,
    guard: SpinGuard<'a, T>,
    is_nonblocking: bool,
    deadline_ns: Option<u64>,
) -> Result<SpinGuard<'a, T>> {
    if is_nonblocking {
        return Err(Error::WouldBlock);
    }
    match notifier.wait(guard, deadline_ns) {
        (guard, WaitOutcome::Woken) => Ok(guard),
        (_, WaitOutcome::TimedOut) => Err(Error::WouldBlock),
    }
}

/// The deadline of something that may take `timeout_ns` from now on (0: for ever).
pub(super) fn deadline(timeout_ns: u64) -> Option<u64> {
    (timeout_ns != 0).then(|| clock::now_ns().saturating_add(timeout_ns))
}
