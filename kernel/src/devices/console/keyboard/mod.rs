//! The PS/2 keyboard, with the layout of the United States: `controller` talks to the chip, `scan_codes` makes keys of its bytes, `layout`
//! characters and the sequences that terminals send for keys.

mod controller;
mod layout;
mod scan_codes;

use crate::arch::interrupts::Irq;
use crate::sync::SpinLock;
pub use controller::Controller;
pub use layout::{Sequence, character, sequence};
pub use scan_codes::{Decoder, KeyEvent, modifier};

/// The interrupt line of the keyboard.
const LINE: u8 = 1;
/// Bytes that are taken from the controller at once; it holds a few, and a broken one must not keep the core.
const MAX_BYTES: usize = 64;

struct Keyboard {
    controller: Controller,
    decoder: Decoder,
}

static KEYBOARD: SpinLock<Option<Keyboard>> = SpinLock::new(None);

/// Looks for the keyboard and turns it on; `None` if there is none, else its interrupt line, if it has one.
pub(super) fn start() -> Option<Option<Irq>> {
    let controller = Controller::find()?;
    *KEYBOARD.lock() = Some(Keyboard {
        controller,
        decoder: Decoder::new(),
    });
    Some(Irq::claim_legacy(LINE, false))
}

/// Gives what was pressed and released since the last call to `take`, until it has enough.
pub(super) fn drain(mut take: impl FnMut(KeyEvent) -> bool) {
    let mut keyboard = KEYBOARD.lock();
    let Some(keyboard) = keyboard.as_mut() else {
        return;
    };
    for _ in 0..MAX_BYTES {
        let Some(byte) = keyboard.controller.read() else {
            return;
        };
        if let Some(event) = keyboard.decoder.decode(byte)
            && !take(event)
        {
            return;
        }
    }
}
