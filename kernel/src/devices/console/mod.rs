//! The console: serial line and VGA text screen at once, input from the serial line and the keyboard.

pub mod input;
pub mod keyboard;
mod line;
mod serial;
mod vga;

use core::fmt;

use crate::sync::SpinLock;

static SCREEN: SpinLock<Option<vga::Screen>> = SpinLock::new(None);

/// Starts the serial line, so that even the first messages are seen.
pub fn initialise_serial() {
    serial::initialise();
}

/// Starts the screen, if there is one. Needs memory to map it.
pub fn initialise_screen() {
    *SCREEN.lock() = vga::Screen::find();
}

/// Writes bytes to serial line and screen; a newline gets its carriage return.
pub fn write(bytes: &[u8]) {
    serial::write(bytes);
    // A panic while the screen is written to must still reach the serial line.
    if let Some(mut screen) = SCREEN.try_lock()
        && let Some(screen) = screen.as_mut()
    {
        screen.write(bytes);
    }
}

/// Writes bytes to the screen alone: what is typed on the keyboard in front of it.
fn write_screen(bytes: &[u8]) {
    if let Some(mut screen) = SCREEN.try_lock()
        && let Some(screen) = screen.as_mut()
    {
        screen.write(bytes);
    }
}

/// Writes bytes to the serial line alone (control sequences for the host tool).
pub fn write_serial(bytes: &[u8]) {
    serial::write(bytes);
}

/// Waits until all that was written is on the serial line: a machine that is powered off takes along what is still in the FIFO.
pub fn drain_serial() {
    serial::drain();
}

/// The console, for `write!`.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }
}
