//! The console: serial line (or Xen's own console where there is none) and screen (VGA text, or pixels where the firmware has no text) at once, input from the
//! serial line and the keyboard.

mod framebuffer;
pub mod input;
pub mod keyboard;
mod line;
mod serial;
mod terminal;
mod vga;
mod xen;

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch::x86_64::start_info::Framebuffer;
use crate::sync::{SpinGuard, SpinLock};
use terminal::{Display, Screen};

static SCREEN: SpinLock<Option<Screen>> = SpinLock::new(None);

/// Starts the serial line, so that even the first messages are seen.
pub fn initialise_serial() {
    serial::initialise();
}

/// Starts the screen, if there is one: the `framebuffer` that the loader left, or else that of VGA. Needs memory to map it, and so does
/// what stands for a serial line that is not there.
pub fn initialise_screen(framebuffer: Option<&Framebuffer>) {
    if !serial::is_present() {
        xen::initialise();
    }
    let display = match framebuffer {
        // With pixels on, nobody sees the text.
        Some(framebuffer) => framebuffer::Pixels::map(framebuffer).map(Display::Pixels),
        None => vga::TextMode::find().map(Display::Text),
    };
    if let Some(display) = display {
        *SCREEN.lock() = Some(Screen::new(display));
    }
}

/// Writes bytes to serial line and screen; a newline gets its carriage return.
pub fn write(bytes: &[u8]) {
    send(bytes, true);
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
    send(bytes, false);
    write_screen(bytes);
}

/// Looks at a lock before it is left alone. Another core has it while a text goes out, which takes a slow serial line 87 µs a byte; a panic
/// while somebody writes must still be told.
const PATIENCE: usize = 20_000_000;

/// Takes a lock of the console, unless it stays closed.
fn take<T>(lock: &SpinLock<T>) -> Option<SpinGuard<'_, T>> {
    for _ in 0..PATIENCE {
        if let Some(guard) = lock.try_lock() {
            return Some(guard);
        }
        core::hint::spin_loop();
    }
    None
}

/// Writes bytes to the screen alone: what is typed on the keyboard in front of it.
fn write_screen(bytes: &[u8]) {
    if let Some(mut screen) = take(&SCREEN)
        && let Some(screen) = screen.as_mut()
    {
        screen.write(bytes);
    }
}

/// Writes bytes to the serial line alone (control sequences for the host tool).
pub fn write_serial(bytes: &[u8]) {
    send(bytes, true);
}

/// Writes bytes to the serial line, or to what stands for it.
fn send(bytes: &[u8], newline_returns: bool) {
    if serial::is_present() {
        serial::send(bytes, newline_returns);
    } else {
        xen::send(bytes, newline_returns);
    }
}

/// Takes a byte that has come by the serial line, or by what stands for it.
fn receive() -> Option<u8> {
    if serial::is_present() {
        serial::read()
    } else {
        xen::read()
    }
}

/// Waits until all that was written is on the serial line: a machine that is powered off takes along what is still in the FIFO.
pub fn drain_serial() {
    serial::drain();
    xen::drain();
}

/// The console, for `write!`.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }
}
