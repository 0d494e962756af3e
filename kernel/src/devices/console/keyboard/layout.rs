//! The keys of a keyboard of the United States, as characters and as the sequences that terminals send (ECMA-48, and xterm's "PC-style function
//! keys").

use super::scan_codes::{EXTENDED, KeyEvent, modifier};

/// Characters by scan code, without and with shift; 0 where there is none.
const PLAIN: &[u8; 0x3A] =
    b"\0\x1b1234567890-=\x7f\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
const SHIFTED: &[u8; 0x3A] =
    b"\0\x1b!@#$%^&*()_+\x7f\tQWERTYUIOP{}\n\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

/// The keypad from 0x47 on with numbers on.
const KEYPAD: &[u8; 13] = b"789-456+1230.";

/// What a terminal would send for a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sequence {
    bytes: [u8; 8],
    len: u8,
}

impl Sequence {
    fn new(parts: &[&[u8]]) -> Self {
        let mut this = Self {
            bytes: [0; 8],
            len: 0,
        };
        for &byte in parts.iter().copied().flatten() {
            if let Some(slot) = this.bytes.get_mut(usize::from(this.len)) {
                *slot = byte;
                this.len += 1;
            }
        }
        this
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// What a terminal sends for a key that was pressed; `None` for a release, and for keys that send nothing.
pub fn sequence(event: KeyEvent) -> Option<Sequence> {
    if !event.is_pressed {
        return None;
    }
    if let Some(character) = character(event) {
        let prefix: &[u8] = if event.modifiers & modifier::ALT != 0 {
            b"\x1b"
        } else {
            b""
        };
        return Some(Sequence::new(&[prefix, &[character]]));
    }
    let held = event.modifiers;
    // 1 for none, and 1 more for shift, 2 for alt, 4 for control.
    let number = 1
        + u8::from(held & modifier::SHIFT != 0)
        + 2 * u8::from(held & modifier::ALT != 0)
        + 4 * u8::from(held & modifier::CONTROL != 0);
    let digit = [b'0' + number];
    let is_plain = number == 1;
    let letter = |letter: u8| match is_plain {
        true => Sequence::new(&[b"\x1b[", &[letter]]),
        false => Sequence::new(&[b"\x1b[1;", &digit, &[letter]]),
    };
    let tilde = |code: &[u8]| match is_plain {
        true => Sequence::new(&[b"\x1b[", code, b"~"]),
        false => Sequence::new(&[b"\x1b[", code, b";", &digit, b"~"]),
    };
    let function = |letter: u8| match is_plain {
        true => Sequence::new(&[b"\x1bO", &[letter]]),
        false => Sequence::new(&[b"\x1b[1;", &digit, &[letter]]),
    };
    Some(match event.code & !EXTENDED {
        0x3B..=0x3E => function(b'P' + (event.code as u8 - 0x3B)),
        0x3F => tilde(b"15"),
        0x40 => tilde(b"17"),
        0x41 => tilde(b"18"),
        0x42 => tilde(b"19"),
        0x43 => tilde(b"20"),
        0x44 => tilde(b"21"),
        0x57 => tilde(b"23"),
        0x58 => tilde(b"24"),
        0x48 => letter(b'A'),
        0x50 => letter(b'B'),
        0x4D => letter(b'C'),
        0x4B => letter(b'D'),
        0x47 => letter(b'H'),
        0x4F => letter(b'F'),
        0x52 => tilde(b"2"),
        0x53 => tilde(b"3"),
        0x49 => tilde(b"5"),
        0x51 => tilde(b"6"),
        _ => return None,
    })
}

/// The character of a key, in ASCII.
pub fn character(event: KeyEvent) -> Option<u8> {
    let code = usize::from(event.code & !EXTENDED);
    let held = event.modifiers;
    let has_shift = held & modifier::SHIFT != 0;
    if event.code & EXTENDED != 0 {
        return match code {
            0x1C => Some(b'\n'),
            0x35 => Some(b'/'),
            _ => None,
        };
    }
    if let Some(index) = code.checked_sub(0x47)
        && let Some(&character) = KEYPAD.get(index)
    {
        let is_operator = matches!(character, b'-' | b'+');
        let is_number = held & modifier::NUM_LOCK != 0 && !has_shift;
        return (is_operator || is_number).then_some(character);
    }
    // The key beside the left shift that keyboards of other countries have.
    if code == 0x56 {
        return Some(if has_shift { b'|' } else { b'\\' });
    }
    let plain = *PLAIN.get(code).filter(|&&c| c != 0)?;
    let is_upper = has_shift != (plain.is_ascii_lowercase() && held & modifier::CAPS_LOCK != 0);
    let character = if is_upper { *SHIFTED.get(code)? } else { plain };
    if held & modifier::CONTROL == 0 {
        return Some(character);
    }
    // Control clears the upper bits of letters and of what stands beside them.
    match character {
        b'@'..=b'_' | b'a'..=b'z' => Some(character & 0x1F),
        b' ' | b'2' => Some(0),
        b'?' | b'/' => Some(0x1F),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::{EXTENDED, KeyEvent, PLAIN, SHIFTED, modifier, sequence};

    fn typed(code: u16, modifiers: u8) -> Option<Vec<u8>> {
        let event = KeyEvent {
            code,
            modifiers,
            is_pressed: true,
        };
        sequence(event).map(|s| s.as_bytes().to_vec())
    }

    #[test]
    fn keys_stand_where_the_layout_has_them() {
        for (code, plain, shifted) in [
            (0x02, b'1', b'!'),
            (0x10, b'q', b'Q'),
            (0x1C, b'\n', b'\n'),
            (0x27, b';', b':'),
            (0x2B, b'\\', b'|'),
            (0x2C, b'z', b'Z'),
            (0x35, b'/', b'?'),
            (0x39, b' ', b' '),
        ] {
            assert_eq!((PLAIN[code], SHIFTED[code]), (plain, shifted), "{code:#x}");
        }
    }

    #[test]
    fn shift_and_capitals_cancel_out_on_letters_alone() {
        let (shift, caps) = (modifier::SHIFT, modifier::CAPS_LOCK);
        assert_eq!(typed(0x1E, caps), Some(b"A".to_vec()));
        assert_eq!(typed(0x1E, caps | shift), Some(b"a".to_vec()));
        assert_eq!(typed(0x02, caps), Some(b"1".to_vec()));
    }

    #[test]
    fn control_and_alt_change_what_is_sent() {
        assert_eq!(typed(0x2E, modifier::CONTROL), Some(vec![3]));
        assert_eq!(typed(0x2E, modifier::ALT), Some(b"\x1bc".to_vec()));
    }

    #[test]
    fn keys_without_characters_send_sequences() {
        assert_eq!(typed(EXTENDED | 0x48, 0), Some(b"\x1b[A".to_vec()));
        assert_eq!(
            typed(EXTENDED | 0x4B, modifier::CONTROL),
            Some(b"\x1b[1;5D".to_vec())
        );
        assert_eq!(typed(EXTENDED | 0x53, 0), Some(b"\x1b[3~".to_vec()));
        assert_eq!(typed(0x3B, 0), Some(b"\x1bOP".to_vec()));
        assert_eq!(typed(0x58, modifier::SHIFT), Some(b"\x1b[24;2~".to_vec()));
        assert_eq!(typed(0x2A, 0), None);
    }

    #[test]
    fn the_keypad_gives_numbers_or_moves() {
        assert_eq!(typed(0x48, modifier::NUM_LOCK), Some(b"8".to_vec()));
        assert_eq!(typed(0x48, 0), Some(b"\x1b[A".to_vec()));
        assert_eq!(typed(0x4E, 0), Some(b"+".to_vec()));
        assert_eq!(typed(EXTENDED | 0x1C, 0), Some(b"\n".to_vec()));
    }

    #[test]
    fn no_code_is_out_of_range() {
        for code in 0..0x200 {
            for modifiers in 0..64 {
                typed(code, modifiers);
            }
        }
    }
}
