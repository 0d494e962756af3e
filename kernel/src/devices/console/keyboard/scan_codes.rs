//! Scan codes of set 1 (IBM PS/2 Hardware Interface Technical Reference, "Keyboards", scan code set 1): bytes to keys that are pressed and
//! released. Any byte may come at any time.

/// Bits of what was held down, or is switched on, when a key was pressed or released.
pub mod modifier {
    /// Either shift key.
    pub const SHIFT: u8 = 1;
    /// Either control key.
    pub const CONTROL: u8 = 2;
    /// Either alt key.
    pub const ALT: u8 = 4;
    /// Either of the keys beside alt.
    pub const META: u8 = 8;
    /// Capitals are on.
    pub const CAPS_LOCK: u8 = 16;
    /// The keypad gives numbers.
    pub const NUM_LOCK: u8 = 32;
}

/// A key that was pressed, released or repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyEvent {
    /// The key: its scan code without the bit of the release; with [`EXTENDED`] if 0xE0 went before.
    pub code: u16,
    /// What else was held down.
    pub modifiers: u8,
    /// It was pressed, not released.
    pub is_pressed: bool,
}

/// Marks the codes of keys that the first keyboards did not have.
pub(super) const EXTENDED: u16 = 0x100;

const LEFT_SHIFT: u16 = 0x2A;
const RIGHT_SHIFT: u16 = 0x36;
const CONTROL: u16 = 0x1D;
const ALT: u16 = 0x38;
const LEFT_META: u16 = EXTENDED | 0x5B;
const RIGHT_META: u16 = EXTENDED | 0x5C;
const CAPS_LOCK: u16 = 0x3A;
const NUM_LOCK: u16 = 0x45;

/// What the keyboard's bytes so far mean for the next.
#[derive(Debug)]
pub struct Decoder {
    is_extended: bool,
    /// Bytes of the pause key, which sends six, that are still to come.
    skip: u8,
    /// Keys of modifiers that are down, a bit each: left, then right.
    down: u8,
    locks: u8,
    /// Locks whose keys are down: a repeated press switches nothing.
    lock_keys: u8,
}

/// The bit of a modifier's key in `down`, and the modifier.
fn modifier_of(code: u16) -> Option<(u8, u8)> {
    Some(match code {
        LEFT_SHIFT => (1, modifier::SHIFT),
        RIGHT_SHIFT => (2, modifier::SHIFT),
        CONTROL => (4, modifier::CONTROL),
        c if c == CONTROL | EXTENDED => (8, modifier::CONTROL),
        ALT => (16, modifier::ALT),
        c if c == ALT | EXTENDED => (32, modifier::ALT),
        LEFT_META => (64, modifier::META),
        RIGHT_META => (128, modifier::META),
        _ => return None,
    })
}

impl Decoder {
    /// A keyboard with no key down.
    pub const fn new() -> Self {
        Self {
            is_extended: false,
            skip: 0,
            down: 0,
            locks: modifier::NUM_LOCK,
            lock_keys: 0,
        }
    }

    /// Takes the next byte; the key that it completes.
    pub fn decode(&mut self, byte: u8) -> Option<KeyEvent> {
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let was_extended = core::mem::take(&mut self.is_extended);
        match byte {
            0xE0 => {
                self.is_extended = true;
                return None;
            }
            0xE1 => {
                self.skip = 5;
                return None;
            }
            // Errors, acknowledgements and results of tests are no keys: what would be a release of 0x7A and above.
            0 | 0x80 | 0xFA..=0xFF => return None,
            _ => {}
        }
        let is_pressed = byte & 0x80 == 0;
        let code = u16::from(byte & 0x7F) | if was_extended { EXTENDED } else { 0 };
        if code == EXTENDED | LEFT_SHIFT || code == EXTENDED | RIGHT_SHIFT {
            // Sent around keys of the middle block, so that old programs see no shift.
            return None;
        }
        if let Some((bit, _)) = modifier_of(code) {
            self.down = if is_pressed {
                self.down | bit
            } else {
                self.down & !bit
            };
        }
        let lock = match code {
            CAPS_LOCK => modifier::CAPS_LOCK,
            NUM_LOCK => modifier::NUM_LOCK,
            _ => 0,
        };
        if is_pressed {
            self.locks ^= lock & !self.lock_keys;
            self.lock_keys |= lock;
        } else {
            self.lock_keys &= !lock;
        }
        Some(KeyEvent {
            code,
            modifiers: self.modifiers(),
            is_pressed,
        })
    }

    fn modifiers(&self) -> u8 {
        let keys = [
            LEFT_SHIFT,
            RIGHT_SHIFT,
            CONTROL,
            CONTROL | EXTENDED,
            ALT,
            ALT | EXTENDED,
            LEFT_META,
            RIGHT_META,
        ];
        keys.into_iter()
            .filter_map(modifier_of)
            .filter(|&(bit, _)| self.down & bit != 0)
            .fold(self.locks, |all, (_, modifier)| all | modifier)
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{Decoder, EXTENDED, KeyEvent, modifier};

    fn events(bytes: &[u8]) -> Vec<KeyEvent> {
        let mut decoder = Decoder::new();
        bytes.iter().filter_map(|&b| decoder.decode(b)).collect()
    }

    fn codes(bytes: &[u8]) -> Vec<(u16, bool)> {
        events(bytes)
            .iter()
            .map(|e| (e.code, e.is_pressed))
            .collect()
    }

    #[test]
    fn keys_are_pressed_and_released() {
        assert_eq!(codes(&[0x1E, 0x9E]), [(0x1E, true), (0x1E, false)]);
        assert_eq!(
            codes(&[0xE0, 0x48, 0xE0, 0xC8, 0x48]),
            [
                (EXTENDED | 0x48, true),
                (EXTENDED | 0x48, false),
                (0x48, true)
            ]
        );
    }

    #[test]
    fn modifiers_hold_while_either_of_their_keys_is_down() {
        let with = |bytes: &[u8]| events(bytes).last().unwrap().modifiers & !modifier::NUM_LOCK;
        assert_eq!(with(&[0x2A, 0x1E]), modifier::SHIFT);
        assert_eq!(with(&[0x2A, 0x36, 0xAA, 0x1E]), modifier::SHIFT);
        assert_eq!(with(&[0x2A, 0x36, 0xAA, 0xB6, 0x1E]), 0);
        assert_eq!(
            with(&[0xE0, 0x1D, 0x38, 0x1E]),
            modifier::CONTROL | modifier::ALT
        );
    }

    #[test]
    fn a_lock_is_switched_once_for_each_press() {
        let with = |bytes: &[u8]| events(bytes).last().unwrap().modifiers;
        let on = modifier::CAPS_LOCK | modifier::NUM_LOCK;
        assert_eq!(with(&[0x3A, 0x3A, 0x3A, 0xBA, 0x1E]), on);
        assert_eq!(with(&[0x3A, 0xBA, 0x3A, 0xBA, 0x1E]), modifier::NUM_LOCK);
    }

    #[test]
    fn what_is_no_key_is_dropped() {
        assert_eq!(codes(&[0xFA, 0xFE, 0x00, 0xFF, 0xAA]), [(0x2A, false)]);
        assert_eq!(
            codes(&[0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5, 0x1E]),
            [(0x1E, true)]
        );
        assert_eq!(codes(&[0xE0, 0x2A, 0xE0, 0x53]), [(EXTENDED | 0x53, true)]);
    }

    #[test]
    fn any_bytes_do_no_harm() {
        let mut decoder = Decoder::new();
        let mut byte = 1_u8;
        for _ in 0..10_000 {
            byte = byte.wrapping_mul(157).wrapping_add(89);
            decoder.decode(byte);
        }
    }
}
