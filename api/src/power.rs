//! The end of the machine, and its power button.

use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};

use crate::sys::power as sys;

/// Powers the machine off at once, with an exit status for `cargo toro run`. File systems are synced; destructors do not run, as with
/// [`std::process::exit`], and functions that are registered for the exit do not either.
pub fn off(status: u8) -> ! {
    sys::off(status)
}

/// Resets the machine, which starts again as after power-on. File systems are synced.
///
/// `cargo toro run` starts a machine once: there, a reset is the end, with status 0.
pub fn reboot() -> ! {
    sys::reboot()
}

type Handler = dyn Fn() + Send + Sync;

static HANDLER: Mutex<Option<&'static Handler>> = Mutex::new(None);

extern "C" fn pressed() {
    let handler = *HANDLER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handler) = handler {
        // The kernel, which called, cannot be unwound. The panic was reported; the program goes on.
        let _ = catch_unwind(std::panic::AssertUnwindSafe(handler));
    }
}

/// Has `handler` called, on a thread of its own, each time the power button is pressed (and when Ctrl-C is pressed in `cargo toro run`).
/// The program does not end by itself then: the handler calls [`off`], or tells others to finish. A later handler takes the place of the
/// one before. Without one the button is the signal `SIGINT`.
///
/// ```no_run
/// toro::power::on_button(|| toro::power::off(0));
/// ```
pub fn on_button(handler: impl Fn() + Send + Sync + 'static) {
    // The one before may run just now; there are few of them, so it stays.
    let handler: &'static Handler = Box::leak(Box::new(handler));
    *HANDLER.lock().unwrap_or_else(PoisonError::into_inner) = Some(handler);
    sys::on_button(pressed);
}
