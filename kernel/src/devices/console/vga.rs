//! VGA text mode, 80 by 25 (IBM VGA; FreeVGA project, "VGA Text Mode Operation"), with the colours of ANSI escape sequences (ECMA-48, SGR).

use crate::arch::{mmio::Mmio, port};

const COLUMNS: usize = 80;
const ROWS: usize = 25;
const TEXT_PHYS: u64 = 0xB8000;
const CRTC_INDEX: u16 = 0x3D4;
const CRTC_DATA: u16 = 0x3D5;
const DEFAULT_ATTRIBUTE: u8 = 0x07;
/// Longest escape sequence that is kept; longer ones are dropped.
const MAX_SEQUENCE: usize = 32;

enum State {
    Text,
    Escape,
    /// Control sequence: parameters so far.
    Control,
    /// Operating system command: ends with BEL or ESC.
    Command,
}

pub(super) struct Screen {
    text: Mmio,
    row: usize,
    column: usize,
    attribute: u8,
    state: State,
    sequence: [u8; MAX_SEQUENCE],
    sequence_len: usize,
}

impl Screen {
    /// The screen, if a colour text mode is on; continues below what the firmware wrote, on a cleared screen.
    pub(super) fn find() -> Option<Self> {
        // The CRT controller of a VGA card remembers the cursor position; where there is none, reads give all ones.
        port::write8(CRTC_INDEX, 0x0F);
        let before = port::read8(CRTC_DATA);
        port::write8(CRTC_DATA, before ^ 0x55);
        let is_there = port::read8(CRTC_DATA) == before ^ 0x55;
        port::write8(CRTC_DATA, before);
        if !is_there {
            return None;
        }
        let text = Mmio::map(TEXT_PHYS, COLUMNS * ROWS * 2).ok()?;
        let mut screen = Self {
            text,
            row: 0,
            column: 0,
            attribute: DEFAULT_ATTRIBUTE,
            state: State::Text,
            sequence: [0; MAX_SEQUENCE],
            sequence_len: 0,
        };
        screen.clear(0, ROWS * COLUMNS);
        screen.move_cursor();
        Some(screen)
    }

    fn cell(&self, row: usize, column: usize) -> usize {
        (row * COLUMNS + column) * 2
    }

    fn move_cursor(&self) {
        let position = self.row * COLUMNS + self.column.min(COLUMNS - 1);
        for (register, value) in [(0x0E, position >> 8), (0x0F, position)] {
            port::write8(CRTC_INDEX, register);
            port::write8(CRTC_DATA, value as u8);
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.put(byte);
        }
        self.move_cursor();
    }

    fn put(&mut self, byte: u8) {
        match self.state {
            State::Text if byte == 0x1B => self.state = State::Escape,
            State::Text => self.put_text(byte),
            State::Escape => {
                self.sequence_len = 0;
                self.state = match byte {
                    b'[' => State::Control,
                    b']' => State::Command,
                    _ => State::Text,
                };
            }
            State::Control if (0x40..=0x7E).contains(&byte) => {
                self.state = State::Text;
                self.control(byte);
            }
            State::Control => {
                if self.sequence_len < MAX_SEQUENCE {
                    self.sequence[self.sequence_len] = byte;
                    self.sequence_len += 1;
                }
            }
            State::Command if byte == 7 || byte == b'\\' => self.state = State::Text,
            State::Command => {}
        }
    }

    fn put_text(&mut self, byte: u8) {
        match byte {
            b'\n' => self.new_line(),
            b'\r' => self.column = 0,
            8 => self.column = self.column.saturating_sub(1),
            b'\t' => self.column = ((self.column + 8) & !7).min(COLUMNS),
            // UTF-8: one blob for the first byte, nothing for the rest.
            0x80..=0xBF => {}
            0..=0x1F => {}
            _ => {
                if self.column >= COLUMNS {
                    self.new_line();
                }
                let glyph = if byte < 0x80 { byte } else { 0xFE };
                let cell = u16::from(self.attribute) << 8 | u16::from(glyph);
                self.text.write(self.cell(self.row, self.column), cell);
                self.column += 1;
            }
        }
    }

    fn new_line(&mut self) {
        self.column = 0;
        if self.row + 1 < ROWS {
            self.row += 1;
            return;
        }
        // Four cells at a time: each access can be an exit of the virtual machine.
        for offset in (0..self.cell(ROWS - 1, 0)).step_by(8) {
            let below: u64 = self.text.read(offset + COLUMNS * 2);
            self.text.write(offset, below);
        }
        self.clear((ROWS - 1) * COLUMNS, ROWS * COLUMNS);
    }

    /// Carries out a control sequence: colours (`m`), clear (`J`, `K`), moves of the cursor (`H`, `f`, `A` to `D`, `G`), the cursor
    /// itself (`?25h`, `?25l`).
    fn control(&mut self, final_byte: u8) {
        let sequence = self.sequence;
        let parameters = &sequence[..self.sequence_len];
        let mut numbers = parameters.split(|&b| b == b';').map(|parameter| {
            parameter.iter().try_fold(0u8, |n, &digit| {
                n.checked_mul(10)?
                    .checked_add(digit.checked_sub(b'0').filter(|d| *d < 10)?)
            })
        });
        // Places and distances are 1 where nothing is said, or 0.
        let mut place = || usize::from(numbers.next().flatten().unwrap_or(1).max(1));
        match final_byte {
            b'm' => numbers
                .flatten()
                .for_each(|number| self.select_rendition(number)),
            b'J' => match parameters {
                b"1" => self.clear(0, self.row * COLUMNS + self.column + 1),
                b"2" | b"3" => self.clear(0, ROWS * COLUMNS),
                _ => self.clear(self.row * COLUMNS + self.column, ROWS * COLUMNS),
            },
            b'K' => {
                let row = self.row * COLUMNS;
                match parameters {
                    b"1" => self.clear(row, row + self.column + 1),
                    b"2" => self.clear(row, row + COLUMNS),
                    _ => self.clear(row + self.column, row + COLUMNS),
                }
            }
            b'H' | b'f' => {
                self.row = (place() - 1).min(ROWS - 1);
                self.column = (place() - 1).min(COLUMNS - 1);
            }
            b'G' => self.column = (place() - 1).min(COLUMNS - 1),
            b'A' => self.row = self.row.saturating_sub(place()),
            b'B' => self.row = (self.row + place()).min(ROWS - 1),
            b'C' => self.column = (self.column + place()).min(COLUMNS - 1),
            b'D' => self.column = self.column.saturating_sub(place()),
            b'h' if parameters == b"?25" => Self::show_cursor(true),
            b'l' if parameters == b"?25" => Self::show_cursor(false),
            _ => {}
        }
    }

    /// Blanks cells, by their numbers.
    fn clear(&mut self, from: usize, to: usize) {
        let blank = u16::from(self.attribute) << 8 | u16::from(b' ');
        for cell in from..to.min(ROWS * COLUMNS) {
            self.text.write(cell * 2, blank);
        }
    }

    /// Shows or hides the cursor (register "Cursor Start", bit 5).
    fn show_cursor(is_shown: bool) {
        const CURSOR_START: u8 = 0x0A;
        const HIDDEN: u8 = 0x20;
        port::write8(CRTC_INDEX, CURSOR_START);
        let before = port::read8(CRTC_DATA);
        port::write8(
            CRTC_DATA,
            if is_shown {
                before & !HIDDEN
            } else {
                before | HIDDEN
            },
        );
    }

    fn select_rendition(&mut self, number: u8) {
        /// VGA numbers of the ANSI colours: red and blue change places.
        const COLOURS: [u8; 8] = [0, 4, 2, 6, 1, 5, 3, 7];
        let colour = |base: u8| COLOURS[usize::from(number - base)];
        match number {
            0 => self.attribute = DEFAULT_ATTRIBUTE,
            1 => self.attribute |= 8,
            // Ink and paper change places; the cell's uppermost bit would make it blink.
            7 => self.attribute = (self.attribute & 0x07) << 4 | self.attribute >> 4 & 0x07,
            22 => self.attribute &= !8,
            30..=37 => self.attribute = self.attribute & 0xF8 | colour(30),
            39 => self.attribute = self.attribute & 0xF8 | DEFAULT_ATTRIBUTE & 7,
            40..=47 => self.attribute = self.attribute & 0x8F | colour(40) << 4,
            49 => self.attribute &= 0x8F,
            // The bit that would make a bright paper makes the text blink: it is the dark one.
            100..=107 => self.attribute = self.attribute & 0x8F | colour(100) << 4,
            90..=97 => self.attribute = self.attribute & 0xF0 | colour(90) | 8,
            _ => {}
        }
    }
}
