//! The console: colours, the cursor, and single keys.
//!
//! The console is the serial line and, where there is one, the VGA text screen; both show what `print!` writes. Colours and moves of the
//! cursor are ANSI escape sequences (ECMA-48), which the screen and terminals understand:
//!
//! ```no_run
//! use toro::console::{self, Colour};
//!
//! print!("{}{}", console::CLEAR, console::position(2, 10));
//! println!("{}warm{} and cold", Colour::BrightRed.ink(), console::RESET);
//! ```
//!
//! Standard input comes from the serial line and from a PS/2 keyboard (US layout), line by line. Who wants each key as it is pressed and
//! released, arrows and function keys among them, asks for [`Keys`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::sys::console as sys;

/// Clears the screen and moves the cursor to its upper left corner.
pub const CLEAR: &str = "\x1b[2J\x1b[H";
/// Clears the line from the cursor on.
pub const CLEAR_LINE: &str = "\x1b[K";
/// Colours as they were at the start.
pub const RESET: &str = "\x1b[0m";
/// Hides the cursor.
pub const HIDE_CURSOR: &str = "\x1b[?25l";
/// Shows the cursor.
pub const SHOW_CURSOR: &str = "\x1b[?25h";

/// Width of the VGA screen, in characters.
pub const COLUMNS: usize = 80;
/// Height of the VGA screen, in lines.
pub const ROWS: usize = 25;

/// An escape sequence, for `print!`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sequence(u16, u16, char);

impl fmt::Display for Sequence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(row, column, 'H') => write!(out, "\x1b[{row};{column}H"),
            Self(number, _, letter) => write!(out, "\x1b[{number}{letter}"),
        }
    }
}

/// Moves the cursor to a row and a column, which are counted from 1.
#[must_use]
pub fn position(row: u16, column: u16) -> Sequence {
    Sequence(row, column, 'H')
}

/// One of the sixteen colours of the screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are those of the colours")]
pub enum Colour {
    Black,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
    White,
    BrightBlack,
    BrightRed,
    BrightGreen,
    BrightYellow,
    BrightBlue,
    BrightMagenta,
    BrightCyan,
    BrightWhite,
}

impl Colour {
    fn number(self, dark: u16, bright: u16) -> Sequence {
        let number = self as u16;
        let code = if number < 8 {
            dark + number
        } else {
            bright + number - 8
        };
        Sequence(code, 0, 'm')
    }

    /// What follows is written in this colour.
    #[must_use]
    pub fn ink(self) -> Sequence {
        self.number(30, 90)
    }

    /// What follows is written on this colour. The VGA screen has the dark eight as paper, and shows a bright one as its dark one.
    #[must_use]
    pub fn paper(self) -> Sequence {
        self.number(40, 100)
    }
}

/// A key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are those on the keys")]
pub enum Key {
    /// What types a character, with shift and capitals counted in.
    Character(char),
    Enter,
    Backspace,
    Tab,
    Escape,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    Insert,
    Delete,
    /// F1 to F12.
    Function(u8),
    Shift,
    Control,
    Alt,
    Meta,
    CapsLock,
    NumLock,
    /// Another one, by its scan code of set 1; 0x100 is added where 0xE0 goes before it.
    Other(u16),
}

/// What is held down while a key is pressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Modifiers {
    /// Either shift key. From the serial line only with keys that have no character.
    pub shift: bool,
    /// Either control key.
    pub control: bool,
    /// Either alt key.
    pub alt: bool,
    /// Either of the keys beside alt; of the keyboard only.
    pub meta: bool,
}

/// A key was pressed, or released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyEvent {
    /// The key.
    pub key: Key,
    /// What else is held down.
    pub modifiers: Modifiers,
    /// It was pressed (or repeats); else it was released. The serial line tells of presses only.
    pub is_pressed: bool,
}

/// Single keys, as long as this exists: nothing comes from standard input then, and nothing is shown of what is typed.
#[derive(Debug)]
pub struct Keys {
    pending: Pending,
}

/// What has come and was not asked for yet.
#[derive(Debug, Default)]
struct Pending {
    /// Bytes of the serial line that are not looked at yet.
    bytes: VecDeque<u8>,
    /// Keys of the keyboard that came between the bytes of a sequence.
    events: VecDeque<KeyEvent>,
}

static IS_OPEN: AtomicBool = AtomicBool::new(false);

/// A terminal sends the bytes of one key at once; this is long enough for a slow line.
const SEQUENCE_TIME: Duration = Duration::from_millis(30);

impl Keys {
    /// Begins to take single keys.
    ///
    /// # Errors
    /// [`Error::Busy`] when somebody else does.
    pub fn open() -> Result<Self> {
        if IS_OPEN.swap(true, Ordering::Acquire) {
            return Err(Error::Busy("the console's keys".into()));
        }
        sys::set_raw(true);
        Ok(Self {
            pending: Pending::default(),
        })
    }

    /// Waits for the next key.
    pub fn read(&mut self) -> KeyEvent {
        loop {
            if let Some(event) = self.pending.next_within(u64::MAX, &mut receive) {
                return event;
            }
        }
    }

    /// Waits for the next key for at most this time.
    pub fn read_within(&mut self, timeout: Duration) -> Option<KeyEvent> {
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX - 1);
        self.pending.next_within(timeout_ns, &mut receive)
    }
}

impl Pending {
    /// The next key, of what `receive` gives within its nanoseconds.
    fn next_within(
        &mut self,
        timeout_ns: u64,
        receive: &mut dyn FnMut(u64) -> Received,
    ) -> Option<KeyEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if self.bytes.is_empty() {
            match receive(timeout_ns) {
                Received::Nothing => return None,
                Received::Event(event) => return Some(event),
                Received::Byte(byte) => self.bytes.push_back(byte),
            }
        }
        // An escape may be the key, or the beginning of a sequence.
        while is_incomplete(self.bytes.make_contiguous())
            && let Some(byte) = self.next_byte(receive)
        {
            self.bytes.push_back(byte);
        }
        let (event, len) = decode(self.bytes.make_contiguous());
        self.bytes.drain(..len);
        event.or_else(|| self.events.pop_front())
    }

    /// The next byte of a sequence. Keys of the keyboard that come before it are kept: they are no part of it.
    fn next_byte(&mut self, receive: &mut dyn FnMut(u64) -> Received) -> Option<u8> {
        let start = Instant::now();
        loop {
            let left = SEQUENCE_TIME.checked_sub(start.elapsed())?;
            match receive(left.as_nanos() as u64) {
                Received::Byte(byte) => return Some(byte),
                Received::Event(event) => self.events.push_back(event),
                Received::Nothing => return None,
            }
        }
    }
}

fn receive(timeout_ns: u64) -> Received {
    match sys::read_key(timeout_ns) {
        None => Received::Nothing,
        Some(raw) if raw.code == 0 => Received::Byte(raw.character),
        Some(raw) => Received::Event(of_keyboard(raw)),
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        sys::set_raw(false);
        IS_OPEN.store(false, Ordering::Release);
    }
}

enum Received {
    Nothing,
    Byte(u8),
    Event(KeyEvent),
}

/// The event of a key of the keyboard.
fn of_keyboard(raw: sys::RawKey) -> KeyEvent {
    let modifiers = Modifiers {
        shift: raw.modifiers & 1 != 0,
        control: raw.modifiers & 2 != 0,
        alt: raw.modifiers & 4 != 0,
        meta: raw.modifiers & 8 != 0,
    };
    let key = match (raw.character, raw.code) {
        (_, 0x01) => Key::Escape,
        (_, 0x0E) => Key::Backspace,
        (_, 0x0F) => Key::Tab,
        (_, 0x1C | 0x11C) => Key::Enter,
        // Control has made a control character of a letter; the key is the letter.
        (1..=26, _) if modifiers.control => Key::Character(char::from(raw.character + b'a' - 1)),
        (b' '..=b'~', _) => Key::Character(char::from(raw.character)),
        (_, 0x2A | 0x36) => Key::Shift,
        (_, 0x1D | 0x11D) => Key::Control,
        (_, 0x38 | 0x138) => Key::Alt,
        (_, 0x15B | 0x15C) => Key::Meta,
        (_, 0x3A) => Key::CapsLock,
        (_, 0x45) => Key::NumLock,
        (_, code @ 0x3B..=0x44) => Key::Function((code - 0x3A) as u8),
        (_, 0x57) => Key::Function(11),
        (_, 0x58) => Key::Function(12),
        (_, code) => match code & 0xFF {
            0x48 => Key::Up,
            0x50 => Key::Down,
            0x4B => Key::Left,
            0x4D => Key::Right,
            0x47 => Key::Home,
            0x4F => Key::End,
            0x49 => Key::PageUp,
            0x51 => Key::PageDown,
            0x52 => Key::Insert,
            0x53 => Key::Delete,
            _ => Key::Other(code),
        },
    };
    KeyEvent {
        key,
        modifiers,
        is_pressed: raw.is_pressed,
    }
}

/// Longest sequence that a terminal sends for a key.
const MAX_SEQUENCE: usize = 8;

/// Whether more bytes may belong to the key that these begin.
fn is_incomplete(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [0x1B] | [0x1B, b'O'] => true,
        [0x1B, b'[', rest @ ..] => {
            rest.len() < MAX_SEQUENCE && !rest.iter().any(|b| (0x40..=0x7E).contains(b))
        }
        [first, ..] => {
            let text = std::str::from_utf8(bytes);
            *first >= 0x80 && bytes.len() < 4 && text.is_err_and(|e| e.error_len().is_none())
        }
    }
}

/// The key that bytes of a terminal begin with, if they are one, and how many of them it takes.
fn decode(bytes: &[u8]) -> (Option<KeyEvent>, usize) {
    let press = |key, modifiers| {
        Some(KeyEvent {
            key,
            modifiers,
            is_pressed: true,
        })
    };
    let none = Modifiers::default();
    match *bytes {
        [] => (None, 0),
        [0x1B, b'O', letter, ..] => {
            let key = match letter {
                b'P'..=b'S' => Some(Key::Function(letter - b'P' + 1)),
                other => by_letter(other),
            };
            (key.and_then(|key| press(key, none)), 3)
        }
        [0x1B, b'[', ref rest @ ..] => {
            let Some(end) = rest.iter().position(|b| (0x40..=0x7E).contains(b)) else {
                return (None, bytes.len());
            };
            (control_sequence(&rest[..end], rest[end]), end + 3)
        }
        [0x1B, character @ b' '..=b'~', ..] => {
            let alt = Modifiers { alt: true, ..none };
            (press(Key::Character(char::from(character)), alt), 2)
        }
        [0x1B, ..] => (press(Key::Escape, none), 1),
        [b'\n' | b'\r', ..] => (press(Key::Enter, none), 1),
        [b'\t', ..] => (press(Key::Tab, none), 1),
        [8 | 0x7F, ..] => (press(Key::Backspace, none), 1),
        [byte @ 1..=26, ..] => {
            let control = Modifiers {
                control: true,
                ..none
            };
            let letter = char::from(byte + b'a' - 1);
            (press(Key::Character(letter), control), 1)
        }
        [byte, ..] if byte < b' ' => (press(Key::Other(u16::from(byte)), none), 1),
        _ => {
            let text = match std::str::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
            };
            match text.chars().next() {
                Some(character) => (press(Key::Character(character), none), character.len_utf8()),
                // No UTF-8: the byte is dropped.
                None => (None, 1),
            }
        }
    }
}

fn by_letter(letter: u8) -> Option<Key> {
    Some(match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'P'..=b'S' => Key::Function(letter - b'P' + 1),
        _ => return None,
    })
}

/// The key of a control sequence: `ESC [ parameters letter`.
fn control_sequence(parameters: &[u8], letter: u8) -> Option<KeyEvent> {
    let mut numbers = parameters
        .split(|&b| b == b';')
        .map(|number| std::str::from_utf8(number).ok()?.parse::<u8>().ok());
    let first = numbers.next().flatten();
    let held = numbers.next().flatten().unwrap_or(1).saturating_sub(1);
    let key = if letter == b'~' {
        match first? {
            1 | 7 => Key::Home,
            2 => Key::Insert,
            3 => Key::Delete,
            4 | 8 => Key::End,
            5 => Key::PageUp,
            6 => Key::PageDown,
            number @ 11..=15 => Key::Function(number - 10),
            number @ 17..=21 => Key::Function(number - 11),
            number @ 23..=24 => Key::Function(number - 12),
            _ => return None,
        }
    } else {
        by_letter(letter)?
    };
    Some(KeyEvent {
        key,
        modifiers: Modifiers {
            shift: held & 1 != 0,
            alt: held & 2 != 0,
            control: held & 4 != 0,
            meta: false,
        },
        is_pressed: true,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        Colour, Key, KeyEvent, Modifiers, Pending, Received, decode, is_incomplete, position,
    };

    fn key(bytes: &[u8]) -> (Option<Key>, Modifiers, usize) {
        let (event, len) = decode(bytes);
        let modifiers = event.map_or_else(Modifiers::default, |event| event.modifiers);
        (event.map(|event| event.key), modifiers, len)
    }

    #[test]
    fn sequences_of_terminals_are_keys() {
        let none = Modifiers::default();
        assert_eq!(key(b"a"), (Some(Key::Character('a')), none, 1));
        assert_eq!(key("ä!".as_bytes()), (Some(Key::Character('ä')), none, 2));
        assert_eq!(key(b"\x1b[Ax"), (Some(Key::Up), none, 3));
        assert_eq!(key(b"\x1bOP"), (Some(Key::Function(1)), none, 3));
        assert_eq!(key(b"\x1b[24~"), (Some(Key::Function(12)), none, 5));
        assert_eq!(key(b"\x1b"), (Some(Key::Escape), none, 1));
        let control = Modifiers {
            control: true,
            ..none
        };
        assert_eq!(key(b"\x03"), (Some(Key::Character('c')), control, 1));
        assert_eq!(key(b"\x1b[1;5D"), (Some(Key::Left), control, 6));
        let alt = Modifiers { alt: true, ..none };
        assert_eq!(key(b"\x1bx"), (Some(Key::Character('x')), alt, 2));
    }

    #[test]
    fn what_is_no_key_takes_its_bytes_along() {
        assert_eq!(key(b"\x1b[99z").2, 5);
        assert_eq!(key(b"\xff").2, 1);
        for byte in 0..=u8::MAX {
            assert!(key(&[byte, byte]).2 > 0, "{byte}");
            assert!(key(&[0x1B, b'[', byte, byte]).2 > 0, "{byte}");
        }
    }

    #[test]
    fn a_sequence_is_awaited_until_it_is_complete() {
        for bytes in [&b"\x1b"[..], b"\x1b[", b"\x1b[1;5", b"\x1bO", b"\xc3"] {
            assert!(is_incomplete(bytes), "{bytes:x?}");
        }
        for bytes in [&b"a"[..], b"\x1b[A", b"\x1bOP", b"\xff", b"\x1bx"] {
            assert!(!is_incomplete(bytes), "{bytes:x?}");
        }
    }

    #[test]
    fn a_key_of_the_keyboard_does_not_break_a_sequence_of_the_serial_line() {
        let released = KeyEvent {
            key: Key::Delete,
            modifiers: Modifiers::default(),
            is_pressed: false,
        };
        let mut source = vec![
            Received::Byte(0x1B),
            Received::Event(released),
            Received::Byte(b'['),
            Received::Event(released),
            Received::Byte(b'B'),
        ]
        .into_iter();
        let mut receive = |_| source.next().unwrap_or(Received::Nothing);
        let mut pending = Pending::default();
        let mut next = || pending.next_within(u64::MAX, &mut receive);
        assert_eq!(next().map(|event| event.key), Some(Key::Down));
        assert_eq!(next(), Some(released));
        assert_eq!(next(), Some(released));
        assert_eq!(next(), None);
    }

    #[test]
    fn colours_and_places_are_escape_sequences() {
        assert_eq!(Colour::Red.ink().to_string(), "\x1b[31m");
        assert_eq!(Colour::BrightCyan.ink().to_string(), "\x1b[96m");
        assert_eq!(Colour::Blue.paper().to_string(), "\x1b[44m");
        assert_eq!(position(3, 40).to_string(), "\x1b[3;40H");
    }
}
