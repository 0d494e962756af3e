//! Ctrl-C: counted, so that the one who waits for a machine can end it in good order first and at once the second time.
//! Where nobody waits for one, it ends the tool, and leaves no file that is not whole.

use crate::failure::exit_code;
use crate::unfinished;
use anyhow::{Context, Result};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

static COUNT: AtomicUsize = AtomicUsize::new(0);
static IS_WATCHED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C, a termination signal and a hang-up do not end the tool but are counted.
pub fn watch() -> Result<()> {
    IS_WATCHED.store(true, Ordering::Relaxed);
    handle()
}

/// From now on they remove what is [`unfinished`] before they end the tool, unless they are counted.
pub fn handle() -> Result<()> {
    static RESULT: OnceLock<Result<(), ctrlc::Error>> = OnceLock::new();
    let result = RESULT.get_or_init(|| {
        ctrlc::set_handler(|| {
            if IS_WATCHED.load(Ordering::Relaxed) {
                return raise();
            }
            let _held = unfinished::remove_all();
            std::process::exit(i32::from(exit_code::INTERRUPTED));
        })
    });
    result.as_ref().copied().context("cannot handle Ctrl-C")
}

/// Counts as one Ctrl-C.
pub fn raise() {
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// An error if there was a Ctrl-C since the last call: who takes back what it began is not broken off once more.
///
/// # Errors
/// [`Interrupted`], if there was one.
pub fn check() -> Result<(), Interrupted> {
    match COUNT.swap(0, Ordering::Relaxed) {
        0 => Ok(()),
        _ => Err(Interrupted),
    }
}

/// The error of what was broken off by Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// How often there was a Ctrl-C.
pub fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}
