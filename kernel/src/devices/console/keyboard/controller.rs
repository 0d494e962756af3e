//! The keyboard controller (Intel 8042 as in the IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller").
//! Every wait for it ends: a controller that does not answer is none.

use crate::arch::port;

const DATA: u16 = 0x60;
const STATUS: u16 = 0x64;
const COMMAND: u16 = 0x64;

/// Status: a byte can be read; none can be written; what can be read is of the mouse.
const OUTPUT_FULL: u8 = 1;
const INPUT_FULL: u8 = 2;
const FROM_MOUSE: u8 = 0x20;

const READ_CONFIGURATION: u8 = 0x20;
const WRITE_CONFIGURATION: u8 = 0x60;
const DISABLE_MOUSE: u8 = 0xA7;
const DISABLE_KEYBOARD: u8 = 0xAD;
const ENABLE_KEYBOARD: u8 = 0xAE;

/// Configuration: interrupt of the keyboard; of the mouse; clock of the keyboard stopped; scan codes translated to set 1.
const KEYBOARD_INTERRUPT: u8 = 1;
const MOUSE_INTERRUPT: u8 = 2;
const KEYBOARD_STOPPED: u8 = 0x10;
const TRANSLATE: u8 = 0x40;

/// To the keyboard itself: report keys.
const ENABLE_SCANNING: u8 = 0xF4;

/// Looks at the status before the controller is given up.
const MAX_POLLS: u32 = 10_000;
/// Bytes that may lie in it from before.
const MAX_STALE: u32 = 64;

/// A controller with a keyboard.
pub struct Controller(());

impl Controller {
    /// The controller, if there is one that answers, set up to interrupt and to translate to scan code set 1.
    pub(super) fn find() -> Option<Self> {
        // Where nothing is, all bits are set.
        if port::read8(STATUS) == 0xFF {
            return None;
        }
        command(DISABLE_KEYBOARD)?;
        command(DISABLE_MOUSE)?;
        for _ in 0..MAX_STALE {
            if port::read8(STATUS) & OUTPUT_FULL == 0 {
                break;
            }
            port::read8(DATA);
        }
        command(READ_CONFIGURATION)?;
        let configuration = answer()?;
        command(WRITE_CONFIGURATION)?;
        write(
            configuration & !(MOUSE_INTERRUPT | KEYBOARD_STOPPED) | KEYBOARD_INTERRUPT | TRANSLATE,
        )?;
        command(ENABLE_KEYBOARD)?;
        // Its acknowledgement is no scan code, which the decoder knows.
        write(ENABLE_SCANNING)?;
        Some(Self(()))
    }

    /// The next byte of the keyboard. Bytes of a mouse are dropped.
    pub(super) fn read(&self) -> Option<u8> {
        let status = port::read8(STATUS);
        if status & OUTPUT_FULL == 0 || status == 0xFF {
            return None;
        }
        let byte = port::read8(DATA);
        // 0 is no scan code, so the decoder drops it.
        Some(if status & FROM_MOUSE == 0 { byte } else { 0 })
    }
}

/// Waits until the status has a bit set or cleared.
fn wait(bit: u8, is_set: bool) -> Option<()> {
    (0..MAX_POLLS)
        .any(|_| (port::read8(STATUS) & bit != 0) == is_set)
        .then_some(())
}

fn command(byte: u8) -> Option<()> {
    wait(INPUT_FULL, false)?;
    port::write8(COMMAND, byte);
    Some(())
}

fn write(byte: u8) -> Option<()> {
    wait(INPUT_FULL, false)?;
    port::write8(DATA, byte);
    Some(())
}

fn answer() -> Option<u8> {
    wait(OUTPUT_FULL, true)?;
    Some(port::read8(DATA))
}
