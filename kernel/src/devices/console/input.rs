//! What is typed on the console, at the serial line or on the keyboard. Bytes of the serial line come as the terminal at the other end
//! sends them; its return key ends a line. What is typed on the keyboard shows on the screen and comes line by line, unless the program
//! wants single keys ([`set_raw`]).
//!
//! Where the program reads lines, two bytes of the serial line mean something (POSIX.1-2017, chapter 11, EOF; LNEXT of Linux's terminals): one is
//! the end of the input, and the other has the one behind it come as it is. Two ends with nothing behind them stay: there will be no more.
//!
//! Nothing is looked at before the program asks for input. From then on both interrupt.
//!
//! The terminal at the other end of the serial line is told that the program asks for input, and how it wants what is typed, by `ESC ] toro ; keys = N BEL`
//! (ARCHITECTURE.md, "What is typed"), as it is that terminal that edits lines and shows what is typed.

use super::keyboard::{self, KeyEvent};
use super::line::{Line, Typed};
use crate::arch::clock;
use crate::arch::interrupts::Irq;
use crate::scheduler::{self, Notifier, Service};
use crate::sync::{OnceCell, SpinLock};

/// Where something cannot interrupt, it is looked at this often while a thread waits.
const POLL_NS: u64 = 10_000_000;
const BUFFER_BYTES: usize = 1024;
const END: u8 = 4;
const LITERAL: u8 = 0x16;
const MAX_KEYS: usize = 128;

/// What came when single keys are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// A byte from the serial line.
    Byte(u8),
    /// A key of the keyboard.
    Event(KeyEvent),
}

/// A queue with a fixed number of places.
struct Ring<T, const N: usize> {
    items: [T; N],
    start: usize,
    len: usize,
}

impl<T: Copy, const N: usize> Ring<T, N> {
    const fn new(filler: T) -> Self {
        Self {
            items: [filler; N],
            start: 0,
            len: 0,
        }
    }

    fn room(&self) -> usize {
        N - self.len
    }

    /// Puts an item behind the others, if there is room.
    fn push(&mut self, item: T) {
        if self.len < N {
            self.items[(self.start + self.len) % N] = item;
            self.len += 1;
        }
    }

    fn pop(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let item = self.items[self.start];
        self.start = (self.start + 1) % N;
        self.len -= 1;
        Some(item)
    }

    fn first(&self) -> Option<T> {
        (self.len != 0).then(|| self.items[self.start])
    }
}

/// How the program wants what is typed (`abi/terminal.rs`).
#[derive(Clone, Copy)]
pub struct Mode {
    /// The keyboard's lines are edited and come whole; else each key comes as what a terminal sends for it.
    pub is_by_lines: bool,
    /// What is typed on the keyboard shows on the screen.
    pub is_shown: bool,
    /// The return key sends a newline, not a carriage return.
    pub return_is_newline: bool,
    /// Some keys interrupt the program, where there is somebody who does that: at the other end of the serial line.
    pub has_interrupts: bool,
    /// A read waits at most so long, and then reads nothing; `None` is until there is something.
    pub wait_ns: Option<u64>,
}

/// What the other end is told, as a digit: 1 for lines, 2 where what is typed is to show, 4 where keys interrupt.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wishes(u8);

impl Wishes {
    /// As a terminal begins.
    const INITIAL: Self = Self(7);

    fn tell(self) {
        let mut text = *b"\x1b]toro;keys=0\x07";
        text[text.len() - 2] += self.0;
        super::write_serial(&text);
    }
}

struct State {
    mode: Mode,
    /// What the other end was told last.
    told: Wishes,
    /// What a terminal sends for a key; there once the program has set a mode, so that others carry none of it.
    sequence: Option<fn(KeyEvent) -> Option<keyboard::Sequence>>,
    /// What was typed; `None` is an end.
    bytes: Ring<Option<u8>, BUFFER_BYTES>,
    keys: Ring<Key, MAX_KEYS>,
    line: Line,
    /// The next byte of the serial line comes as it is.
    is_next_literal: bool,
    is_raw: bool,
}

static STATE: SpinLock<State> = SpinLock::new(State::new());
static ARRIVED: Notifier = Notifier::new();
static INPUT: OnceCell<Input> = OnceCell::new();

/// Serial line and keyboard as a service of the core that first asked for input.
struct Input {
    serial: Option<Irq>,
    keyboard: Option<Irq>,
    /// All that is there interrupts.
    can_interrupt: bool,
}

impl Service for Input {
    fn serve(&self) {
        let pending = |irq: Option<Irq>| irq.is_some_and(|irq| irq.take_pending());
        // Both marks are taken.
        if !(pending(self.serial) | pending(self.keyboard)) {
            return;
        }
        fill(&mut STATE.lock());
        ARRIVED.notify();
    }
}

/// Has what is there interrupt, at the first call, and takes over what is typed from then on; whether it does.
pub fn start() -> bool {
    if let Some(input) = INPUT.get() {
        return input.can_interrupt;
    }
    let serial = super::serial::enable_interrupt();
    let keyboard = keyboard::start();
    match INPUT.set(Input {
        serial,
        keyboard: keyboard.flatten(),
        can_interrupt: serial.is_some() && keyboard.is_none_or(|irq| irq.is_some()),
    }) {
        Ok(input) => {
            for irq in [input.serial, input.keyboard].into_iter().flatten() {
                scheduler::register_interrupt(irq, input);
            }
            // Who is at the other end may have waited for this.
            let told = STATE.lock().told;
            told.tell();
            input.can_interrupt
        }
        // Another core was first.
        Err(_) => true,
    }
}

/// Takes over what serial line and keyboard have, as far as there is room.
fn fill(state: &mut State) {
    let has_room = |state: &State| match state.is_raw {
        true => state.keys.room() != 0,
        false => state.bytes.room() != 0,
    };
    while has_room(state)
        && let Some(byte) = super::receive()
    {
        match (state.is_raw, byte) {
            (true, b'\r') => state.keys.push(Key::Byte(b'\n')),
            (true, byte) => state.keys.push(Key::Byte(byte)),
            (false, byte) => state.take_byte(byte),
        }
    }
    keyboard::drain(|event| {
        state.take_key(event);
        true
    });
}

impl State {
    /// As a terminal begins.
    const fn new() -> Self {
        Self {
            mode: Mode {
                is_by_lines: true,
                is_shown: true,
                return_is_newline: true,
                has_interrupts: true,
                wait_ns: None,
            },
            told: Wishes::INITIAL,
            sequence: None,
            bytes: Ring::new(None),
            keys: Ring::new(Key::Byte(0)),
            line: Line::new(),
            is_next_literal: false,
            is_raw: false,
        }
    }

    /// What is to be told to the other end, if that is news to it.
    fn news(&mut self) -> Option<Wishes> {
        let wishes = Wishes(match self.is_raw {
            true => 4,
            false => {
                u8::from(self.mode.is_by_lines)
                    | u8::from(self.mode.is_shown) << 1
                    | u8::from(self.mode.has_interrupts) << 2
            }
        });
        (core::mem::replace(&mut self.told, wishes) != wishes).then_some(wishes)
    }

    /// Takes a byte of the serial line.
    fn take_byte(&mut self, byte: u8) {
        let is_literal = core::mem::take(&mut self.is_next_literal);
        let is_special = self.mode.is_by_lines && !is_literal;
        match byte {
            LITERAL if is_special => self.is_next_literal = true,
            END if is_special => self.bytes.push(None),
            b'\r' if self.mode.return_is_newline && !is_literal => self.bytes.push(Some(b'\n')),
            byte => self.bytes.push(Some(byte)),
        }
    }

    /// Takes the next byte or end. The second of two ends with nothing behind them is there again.
    fn next(&mut self) -> Option<Option<u8>> {
        let next = self.bytes.pop();
        if next == Some(None) && self.bytes.len == 1 && self.bytes.first() == Some(None) {
            self.bytes.push(None);
        }
        next
    }

    /// Takes what is there, up to an end: how many bytes, or `None` where there is nothing yet.
    fn take(&mut self, buf: &mut [u8]) -> Option<usize> {
        let mut count = 0;
        for slot in buf {
            match self.bytes.first() {
                Some(None) if count != 0 => break,
                None => break,
                Some(_) => match self.next().flatten() {
                    Some(byte) => *slot = byte,
                    None => return Some(0),
                },
            }
            count += 1;
        }
        (count != 0).then_some(count)
    }

    fn take_key(&mut self, event: KeyEvent) {
        if self.is_raw {
            return self.keys.push(Key::Event(event));
        }
        if !self.mode.is_by_lines {
            return self.take_key_alone(event);
        }
        match self.line.take(event) {
            Typed::Nothing => {}
            Typed::Shown(_) | Typed::Erased(_) if !self.mode.is_shown => {}
            Typed::Shown(byte) => super::screen::write(&[byte]),
            Typed::Erased(count) => (0..count).for_each(|_| super::screen::write(b"\x08 \x08")),
            Typed::EndOfFile => self.bytes.push(None),
            Typed::Complete => {
                let line = self.line.finish();
                if line.ends_with(b"\n") {
                    super::screen::write(b"\r\n");
                }
                line.iter().for_each(|&byte| self.bytes.push(Some(byte)));
            }
        }
    }

    /// Takes a key as the bytes that a terminal sends for it.
    fn take_key_alone(&mut self, event: KeyEvent) {
        let Some(sequence) = self.sequence.and_then(|sequence| sequence(event)) else {
            return;
        };
        for &byte in sequence.as_bytes() {
            let is_return = byte == b'\n' && !self.mode.return_is_newline;
            self.bytes.push(Some(if is_return { b'\r' } else { byte }));
        }
        if self.mode.is_shown {
            super::screen::write(sequence.as_bytes());
        }
    }
}

/// Who waits for input.
pub fn notifier() -> &'static Notifier {
    &ARRIVED
}

/// Whether a byte can be read at once, or the end.
pub fn is_ready() -> bool {
    start();
    let mut state = STATE.lock();
    fill(&mut state);
    state.bytes.len != 0
}

/// Reads what is there into `buf`, at least one byte, or none at the end of the input; waits for it, or returns `None` when it must not.
pub fn read(buf: &mut [u8], is_nonblocking: bool) -> Option<usize> {
    let can_interrupt = start();
    let mut state = STATE.lock();
    let end_ns = state
        .mode
        .wait_ns
        .map(|wait_ns| clock::now_ns().saturating_add(wait_ns));
    loop {
        fill(&mut state);
        if let Some(count) = state.take(buf) {
            return Some(count);
        }
        if is_nonblocking {
            return None;
        }
        let now_ns = clock::now_ns();
        if end_ns.is_some_and(|end_ns| end_ns <= now_ns) {
            return Some(0);
        }
        let poll_ns = (!can_interrupt).then(|| now_ns + POLL_NS);
        let until_ns = [end_ns, poll_ns].into_iter().flatten().min();
        (state, _) = ARRIVED.wait(state, until_ns);
    }
}

/// Sets how the program wants what is typed; drops what was typed before and not read, if it is to.
pub fn set_mode(mode: Mode, drops_unread: bool) {
    let news = {
        let state = &mut *STATE.lock();
        if state.mode.is_by_lines && !mode.is_by_lines {
            // Who wants keys wants those of an unfinished line, too.
            let line = state.line.finish();
            line.iter().for_each(|&byte| state.bytes.push(Some(byte)));
        }
        state.mode = mode;
        state.sequence = core::hint::black_box(Some(keyboard::sequence));
        state.news()
    };
    if let Some(wishes) = news {
        wishes.tell();
    }
    if drops_unread {
        drop_unread();
    }
}

/// Drops what was typed and not read.
pub fn drop_unread() {
    start();
    let mut state = STATE.lock();
    fill(&mut state);
    while state.bytes.pop().is_some() {}
    state.line.finish();
}

/// Has single keys come, for [`read_key`], in place of bytes and lines; or bytes and lines again. What was typed before and not read is
/// dropped.
pub fn set_raw(is_raw: bool) {
    start();
    let news = {
        let mut state = STATE.lock();
        if state.is_raw != is_raw {
            state.is_raw = is_raw;
            while state.keys.pop().is_some() {}
            state.line.finish();
        }
        state.news()
    };
    if let Some(wishes) = news {
        wishes.tell();
    }
}

/// The next key; waits for it until `deadline_ns` (since boot), if there is one.
pub fn read_key(deadline_ns: Option<u64>) -> Option<Key> {
    let can_interrupt = start();
    let mut state = STATE.lock();
    loop {
        fill(&mut state);
        if let Some(key) = state.keys.pop() {
            return Some(key);
        }
        let now_ns = clock::now_ns();
        if deadline_ns.is_some_and(|deadline_ns| deadline_ns <= now_ns) {
            return None;
        }
        let poll_ns = (!can_interrupt).then(|| now_ns + POLL_NS);
        let until_ns = [deadline_ns, poll_ns].into_iter().flatten().min();
        (state, _) = ARRIVED.wait(state, until_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What reads of up to 8 bytes give.
    fn reads<const N: usize>(state: &mut State) -> [Option<alloc::vec::Vec<u8>>; N] {
        core::array::from_fn(|_| {
            let mut buf = [0; 8];
            state.take(&mut buf).map(|count| buf[..count].to_vec())
        })
    }

    #[test]
    fn an_end_is_read_once_and_two_stay() {
        let mut state = State::new();
        b"ab\x04c\r\x04"
            .iter()
            .for_each(|&byte| state.take_byte(byte));
        let [first, end, second, last, nothing] = reads(&mut state);
        assert_eq!(first.as_deref(), Some(&b"ab"[..]));
        assert_eq!(end.as_deref(), Some(&b""[..]));
        assert_eq!(second.as_deref(), Some(&b"c\n"[..]));
        assert_eq!((last.as_deref(), nothing), (Some(&b""[..]), None));
        b"d\x04\x04".iter().for_each(|&byte| state.take_byte(byte));
        let [rest, ends @ ..] = reads::<5>(&mut state);
        assert_eq!(rest.as_deref(), Some(&b"d"[..]));
        assert!(ends.iter().all(|end| end.as_deref() == Some(b"")));
        state.take_byte(b'e');
        let [_, _, more, nothing] = reads(&mut state);
        assert_eq!((more.as_deref(), nothing), (Some(&b"e"[..]), None));
    }

    #[test]
    fn what_follows_the_literal_byte_comes_as_it_is_and_keys_have_no_end() {
        let mut state = State::new();
        b"\x16\x04\x16\x16\x16\r\x16a"
            .iter()
            .for_each(|&byte| state.take_byte(byte));
        let [all, nothing] = reads(&mut state);
        assert_eq!((all.as_deref(), nothing), (Some(&b"\x04\x16\ra"[..]), None));
        state.mode.is_by_lines = false;
        b"\x04\x16".iter().for_each(|&byte| state.take_byte(byte));
        let [all] = reads(&mut state);
        assert_eq!(all.as_deref(), Some(&b"\x04\x16"[..]));
    }
}
