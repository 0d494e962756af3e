//! What a screen shows of a stream of bytes: lines that scroll, colours and moves of the cursor by ANSI escape sequences (ECMA-48).

use core::ops::Range;

use super::framebuffer::Pixels;
use super::vga::TextMode;

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

/// A grid of cells, each with a character in the low byte and its colours in the high byte, as VGA has them.
pub(super) enum Display {
    Text(TextMode),
    Pixels(Pixels),
}

pub(super) struct Screen {
    display: Display,
    columns: usize,
    rows: usize,
    row: usize,
    column: usize,
    attribute: u8,
    state: State,
    sequence: [u8; MAX_SEQUENCE],
    sequence_len: usize,
    /// Whether it still shows what was there before the kernel.
    is_as_found: bool,
}

impl Display {
    /// Columns and rows.
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Text(_) => (TextMode::COLUMNS, TextMode::ROWS),
            Self::Pixels(pixels) => pixels.size(),
        }
    }

    fn put(&mut self, cell: usize, value: u16) {
        match self {
            Self::Text(text) => text.put(cell, value),
            Self::Pixels(pixels) => pixels.put(cell, value),
        }
    }

    fn fill(&mut self, cells: Range<usize>, value: u16) {
        match self {
            Self::Text(text) => text.fill(cells, value),
            Self::Pixels(pixels) => cells.for_each(|cell| pixels.put(cell, value)),
        }
    }

    /// Moves all rows but the first one up by one.
    fn scroll(&mut self) {
        match self {
            Self::Text(text) => text.scroll(),
            Self::Pixels(pixels) => pixels.scroll(),
        }
    }

    fn move_cursor(&mut self, cell: usize) {
        match self {
            Self::Text(text) => text.move_cursor(cell),
            Self::Pixels(pixels) => pixels.move_cursor(cell),
        }
    }

    fn show_cursor(&mut self, is_shown: bool) {
        match self {
            Self::Text(text) => text.show_cursor(is_shown),
            Self::Pixels(pixels) => pixels.show_cursor(is_shown),
        }
    }
}

impl Screen {
    /// A screen that the first text clears: each of its cells can cost an exit, which a start that writes nothing need not pay.
    pub(super) fn new(display: Display) -> Self {
        let (columns, rows) = display.size();
        Self {
            display,
            columns,
            rows,
            row: 0,
            column: 0,
            attribute: DEFAULT_ATTRIBUTE,
            state: State::Text,
            sequence: [0; MAX_SEQUENCE],
            sequence_len: 0,
            is_as_found: true,
        }
    }

    fn move_cursor(&mut self) {
        let column = self.column.min(self.columns - 1);
        self.display.move_cursor(self.row * self.columns + column);
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        if core::mem::take(&mut self.is_as_found) {
            self.clear(0, self.rows * self.columns);
        }
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
            b'\t' => self.column = ((self.column + 8) & !7).min(self.columns),
            // UTF-8: one blob for the first byte, nothing for the rest.
            0x80..=0xBF => {}
            0..=0x1F => {}
            _ => {
                if self.column >= self.columns {
                    self.new_line();
                }
                let glyph = if byte < 0x80 { byte } else { 0xFE };
                let cell = u16::from(self.attribute) << 8 | u16::from(glyph);
                self.display
                    .put(self.row * self.columns + self.column, cell);
                self.column += 1;
            }
        }
    }

    fn new_line(&mut self) {
        self.column = 0;
        if self.row + 1 < self.rows {
            self.row += 1;
            return;
        }
        self.display.scroll();
        self.clear((self.rows - 1) * self.columns, self.rows * self.columns);
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
                b"1" => self.clear(0, self.row * self.columns + self.column + 1),
                b"2" | b"3" => self.clear(0, self.rows * self.columns),
                _ => self.clear(
                    self.row * self.columns + self.column,
                    self.rows * self.columns,
                ),
            },
            b'K' => {
                let row = self.row * self.columns;
                match parameters {
                    b"1" => self.clear(row, row + self.column + 1),
                    b"2" => self.clear(row, row + self.columns),
                    _ => self.clear(row + self.column, row + self.columns),
                }
            }
            b'H' | b'f' => {
                self.row = (place() - 1).min(self.rows - 1);
                self.column = (place() - 1).min(self.columns - 1);
            }
            b'G' => self.column = (place() - 1).min(self.columns - 1),
            b'A' => self.row = self.row.saturating_sub(place()),
            b'B' => self.row = (self.row + place()).min(self.rows - 1),
            b'C' => self.column = (self.column + place()).min(self.columns - 1),
            b'D' => self.column = self.column.saturating_sub(place()),
            b'h' if parameters == b"?25" => self.display.show_cursor(true),
            b'l' if parameters == b"?25" => self.display.show_cursor(false),
            _ => {}
        }
    }

    /// Blanks cells, by their numbers.
    fn clear(&mut self, from: usize, to: usize) {
        let blank = u16::from(self.attribute) << 8 | u16::from(b' ');
        let end = to.min(self.rows * self.columns);
        self.display.fill(from..end, blank);
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
