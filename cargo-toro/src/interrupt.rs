//! Ctrl-C: counted, so that the one who waits for a machine can end it in good order first and at once the second time.

use anyhow::{Context, Result};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// From now on Ctrl-C, a termination signal and a hang-up do not end the tool but are counted.
pub fn watch() -> Result<()> {
    static RESULT: OnceLock<Result<(), ctrlc::Error>> = OnceLock::new();
    let result = RESULT.get_or_init(|| ctrlc::set_handler(raise));
    result.as_ref().copied().context("cannot handle Ctrl-C")
}

/// Counts as one Ctrl-C.
pub fn raise() {
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// How often there was a Ctrl-C.
pub fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}
