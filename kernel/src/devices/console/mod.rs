//! The console: serial line and screen (VGA text, or pixels where the firmware has no text) at once, input from the serial line and the keyboard.

mod framebuffer;
pub mod input;
pub mod keyboard;
mod line;
mod serial;
mod terminal;
mod vga;

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch::x86_64::start_info::Framebuffer;
use crate::sync::SpinLock;
use terminal::{Display, Screen};

static SCREEN: SpinLock<Option<Screen>> = SpinLock::new(None);

/// Starts the serial line, so that even the first messages are seen.
pub fn initialise_serial() {
    serial::initialise();
}

/// Starts the screen, if there is one: the `framebuffer` that the loader left, or else that of VGA. Needs memory to map it.
pub fn initialise_screen(framebuffer: Option<&Framebuffer>) {
    let display = match framebuffer {
        // With pixels on, nobody sees the text.
        Some(framebuffer) => framebuffer::Pixels::map(framebuffer).map(Display::Pixels),
        None => vga::TextMode::find().map(Display::Text),
    };
    *SCREEN.lock() = display.map(Screen::new);
}

/// Writes bytes to serial line and screen; a newline gets its carriage return.
pub fn write(bytes: &[u8]) {
    serial::write(bytes);
    write_screen(bytes);
}

/// Whether a newline of the program gets a carriage return on the serial line.
static NEWLINE_RETURNS: AtomicBool = AtomicBool::new(true);

/// Has newlines that the program writes get a carriage return, or not. The screen begins a line in any case, and so does the kernel.
pub fn set_newline_returns(returns: bool) {
    NEWLINE_RETURNS.store(returns, Ordering::Relaxed);
}

/// As [`write`], for the program: newlines as it wants them.
pub fn write_of_program(bytes: &[u8]) {
    if NEWLINE_RETURNS.load(Ordering::Relaxed) {
        return write(bytes);
    }
    serial::write_plain(bytes);
    write_screen(bytes);
}

/// Looks at the lock of the screen before it is left alone. Another core has it for a moment; a panic while the screen is written to must
/// still reach the serial line.
const PATIENCE: usize = 100_000;

/// Writes bytes to the screen alone: what is typed on the keyboard in front of it.
fn write_screen(bytes: &[u8]) {
    let mut looks = 0..PATIENCE;
    let screen = looks.find_map(|_| {
        let screen = SCREEN.try_lock();
        if screen.is_none() {
            core::hint::spin_loop();
        }
        screen
    });
    if let Some(mut screen) = screen
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
