//! What a screen shows of a stream of bytes: lines that scroll, colours and moves of the cursor by ANSI escape sequences (ECMA-48).
//!
//! The cells are kept in memory, and drawn when all of a text is in them: to draw is slow, and each access can be an exit of the virtual
//! machine.

use alloc::vec::Vec;
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
    /// Row by row; 0 where nothing was ever put.
    cells: Vec<u16>,
    /// Those that may differ from what is drawn.
    undrawn: Range<usize>,
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

    /// Shows cells, from this one on.
    fn draw(&mut self, first: usize, cells: &[u16]) {
        match self {
            Self::Text(text) => text.draw(first, cells),
            Self::Pixels(pixels) => pixels.draw(first, cells),
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
    /// A screen that the first text clears: each of its cells can cost an exit, which a start that writes nothing need not pay. `None`
    /// where there is no memory.
    pub(super) fn new(display: Display) -> Option<Self> {
        let (columns, rows) = display.size();
        let mut cells = Vec::new();
        cells.try_reserve_exact(columns * rows).ok()?;
        cells.resize(columns * rows, 0);
        Some(Self {
            display,
            columns,
            rows,
            cells,
            undrawn: 0..0,
            row: 0,
            column: 0,
            attribute: DEFAULT_ATTRIBUTE,
            state: State::Text,
            sequence: [0; MAX_SEQUENCE],
            sequence_len: 0,
            is_as_found: true,
        })
    }

    /// Takes in a text, which [`Screen::draw`] shows.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if core::mem::take(&mut self.is_as_found) {
            self.clear(0, self.rows * self.columns);
        }
        for &byte in bytes {
            self.put(byte);
        }
    }

    /// Shows what has changed.
    pub(super) fn draw(&mut self) {
        let undrawn = core::mem::take(&mut self.undrawn);
        if let Some(cells) = self.cells.get(undrawn.clone()) {
            self.display.draw(undrawn.start, cells);
        }
        let column = self.column.min(self.columns - 1);
        self.display.move_cursor(self.row * self.columns + column);
    }

    /// Notes that cells have changed.
    fn change(&mut self, cells: Range<usize>) {
        self.undrawn = match self.undrawn.is_empty() {
            true => cells,
            false => self.undrawn.start.min(cells.start)..self.undrawn.end.max(cells.end),
        };
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
                let cell = self.row * self.columns + self.column;
                if let Some(place) = self.cells.get_mut(cell) {
                    *place = u16::from(self.attribute) << 8 | u16::from(glyph);
                    self.change(cell..cell + 1);
                }
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
        self.cells.copy_within(self.columns.., 0);
        self.change(0..self.cells.len());
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
        let end = to.min(self.cells.len());
        if let Some(cells) = self.cells.get_mut(from..end) {
            cells.fill(blank);
            self.change(from..end);
        }
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
