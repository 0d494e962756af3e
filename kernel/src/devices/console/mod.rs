//! The console: serial line (or Xen's own console where there is none) and screen (VGA text, or pixels where the firmware has no text) at once, input from the
//! serial line and the keyboard.

mod framebuffer;
pub mod input;
pub mod keyboard;
mod line;
mod screen;
mod serial;
mod terminal;
mod vga;
mod xen;

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch::x86_64::start_info::Framebuffer;
use crate::sync::{SpinGuard, SpinLock};

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
    screen::initialise(framebuffer);
}

/// Writes bytes to serial line and screen; a newline gets its carriage return.
pub fn write(bytes: &[u8]) {
    send(bytes, true);
    screen::write(bytes);
}

/// Whether a newline of the program gets a carriage return on the serial line.
static NEWLINE_RETURNS: AtomicBool = AtomicBool::new(true);

/// Has newlines that the program writes get a carriage return, or not. The screen begins a line in any case, and so does the kernel.
pub fn set_newline_returns(returns: bool) {
    NEWLINE_RETURNS.store(returns, Ordering::Relaxed);
}

/// As [`write`], for the program: newlines as it wants them, on the screen a moment later.
pub fn write_of_program(bytes: &[u8]) {
    send(bytes, NEWLINE_RETURNS.load(Ordering::Relaxed));
    screen::write_soon(bytes);
}

/// What writers take in turns. A panic while somebody writes must still be told, and so must where a core stands that is interrupted
/// while it writes: who finds this closed for too long goes on without it.
struct Shared<T> {
    lock: SpinLock<T>,
    /// The last one found it closed for too long. A report is many pieces, so the next one looks only once.
    stays_closed: AtomicBool,
}

impl<T> Shared<T> {
    /// Looks at the lock before it is left alone. Another core has it while a text goes out, which takes a slow serial line 87 µs a byte.
    const PATIENCE: usize = 20_000_000;

    const fn new(value: T) -> Self {
        Self {
            lock: SpinLock::new(value),
            stays_closed: AtomicBool::new(false),
        }
    }

    /// How often the next one looks.
    fn looks(&self) -> usize {
        match self.stays_closed.load(Ordering::Relaxed) {
            false => Self::PATIENCE,
            true => 1,
        }
    }

    /// Takes it, unless it stays closed.
    fn take(&self) -> Option<SpinGuard<'_, T>> {
        for _ in 0..self.looks() {
            if let Some(guard) = self.lock.try_lock() {
                self.stays_closed.store(false, Ordering::Relaxed);
                return Some(guard);
            }
            core::hint::spin_loop();
        }
        self.stays_closed.store(true, Ordering::Relaxed);
        None
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

/// Returns when all that was written is shown and on the serial line: a machine that is powered off takes along what is still in the FIFO.
pub fn finish() {
    screen::finish();
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

#[cfg(test)]
mod tests {
    use super::Shared;

    #[test]
    fn who_finds_it_closed_for_long_waits_for_it_once() {
        let shared = Shared::new(7);
        let holder = shared.lock.try_lock();
        assert!(shared.take().is_none());
        assert_eq!(shared.looks(), 1);
        assert!(shared.take().is_none());
        drop(holder);
        assert_eq!(shared.take().as_deref(), Some(&7));
        assert!(shared.looks() > 1);
    }
}
