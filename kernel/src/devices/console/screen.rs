//! The screen of the console, and what the program wrote that it does not show yet.
//!
//! To draw takes the time of many lines on the serial line. So what the program writes is drawn a moment later, all that has come by
//! then at once, while words of the kernel are there when they have been said.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use super::terminal::{Display, Screen};
use super::{Shared, framebuffer, vga};
use crate::arch::x86_64::clock;
use crate::arch::x86_64::start_info::Framebuffer;
use crate::scheduler::{self, Service};

/// How long what the program writes may wait: as long as nobody sees it.
const DELAY_NS: u64 = 50_000_000;
/// How much of it may.
const WAITING_BYTES: usize = 4096;

static SCREEN: Shared<Option<WithWaiting>> = Shared::new(None);

struct WithWaiting {
    screen: Screen,
    /// Has room for [`WAITING_BYTES`] from the first such text on.
    waiting: Vec<u8>,
}

/// Starts the screen, if there is one: the `framebuffer` that the loader left, or else that of VGA. Needs memory to map it.
pub(super) fn initialise(framebuffer: Option<&Framebuffer>) {
    let display = match framebuffer {
        // With pixels on, nobody sees the text.
        Some(framebuffer) => framebuffer::Pixels::map(framebuffer).map(Display::Pixels),
        None => vga::TextMode::find().map(Display::Text),
    };
    if let Some(screen) = display.and_then(Screen::new) {
        *SCREEN.lock.lock() = Some(WithWaiting {
            screen,
            waiting: Vec::new(),
        });
    }
}

/// Shows bytes, behind all that waits.
pub(super) fn write(bytes: &[u8]) {
    if let Some(mut screen) = SCREEN.take()
        && let Some(screen) = screen.as_mut()
    {
        screen.take_in();
        screen.screen.write(bytes);
        screen.screen.draw();
    }
}

/// Shows all that waits.
pub(super) fn finish() {
    if let Some(mut screen) = SCREEN.take()
        && let Some(screen) = screen.as_mut()
        && !screen.waiting.is_empty()
    {
        screen.take_in();
        screen.screen.draw();
    }
}

/// Has bytes shown soon.
pub(super) fn write_soon(bytes: &[u8]) {
    let Some(mut screen) = SCREEN.take() else {
        return;
    };
    let Some(screen) = screen.as_mut() else {
        return;
    };
    screen.wait(bytes);
    if DRAWER.due_ns.load(Ordering::Relaxed) == u64::MAX {
        let due_ns = clock::now_ns() + DELAY_NS;
        DRAWER.due_ns.store(due_ns, Ordering::Relaxed);
        scheduler::register_service(&DRAWER);
    }
}

impl WithWaiting {
    /// Notes a text that is to be shown soon.
    fn wait(&mut self, bytes: &[u8]) {
        if self.waiting.len() + bytes.len() > WAITING_BYTES {
            self.take_in();
        }
        let has_room = bytes.len() <= WAITING_BYTES
            && self
                .waiting
                .try_reserve_exact(WAITING_BYTES - self.waiting.len())
                .is_ok();
        match has_room {
            true => self.waiting.extend_from_slice(bytes),
            false => self.screen.write(bytes),
        }
    }

    fn take_in(&mut self) {
        self.screen.write(&self.waiting);
        self.waiting.clear();
    }
}

/// Draws what has waited. It is a service of the core that wrote first, until it has.
struct Drawer {
    /// When it is due, in nanoseconds since boot; `u64::MAX` where nothing waits. Changed by who has the screen.
    due_ns: AtomicU64,
}

static DRAWER: Drawer = Drawer {
    due_ns: AtomicU64::new(u64::MAX),
};

impl Service for Drawer {
    fn serve(&self) {
        if clock::now_ns() < self.due_ns.load(Ordering::Relaxed) {
            return;
        }
        // Another core that writes has it for long, and this one asks again.
        if let Some(mut screen) = SCREEN.lock.try_lock() {
            if let Some(screen) = screen.as_mut() {
                screen.take_in();
                screen.screen.draw();
            }
            self.due_ns.store(u64::MAX, Ordering::Relaxed);
            scheduler::remove_service(&DRAWER);
        }
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        Some(self.due_ns.load(Ordering::Relaxed))
    }
}
