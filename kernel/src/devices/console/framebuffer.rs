//! A screen of pixels that shows text, where the firmware has no text mode (UEFI): the loader tells where the pixels are.
//!
//! What is shown is kept, so that only what differs from it is drawn, and nothing is read from the screen.

use alloc::vec::Vec;

use crate::arch::mmio::Mmio;
use crate::arch::x86_64::start_info::Framebuffer;

/// Pixels of a glyph, before it is made larger.
const GLYPH_WIDTH: usize = 8;
const GLYPH_HEIGHT: usize = 16;
/// Screens wider than this have larger letters.
const WIDTH_OF_SMALL_LETTERS: u32 = 1920;

/// Glyphs of ASCII from the space on, and one for all else: a bit a pixel, the left one first.
const GLYPHS: usize = 96;
#[unsafe(link_section = ".rodata.toro.front")]
static FONT: [[u8; GLYPH_HEIGHT]; GLYPHS] = font();

/// The colours of VGA (red in the highest byte of the low three).
const COLOURS: [u32; 16] = [
    0x00_0000, 0x00_00AA, 0x00_AA00, 0x00_AAAA, 0xAA_0000, 0xAA_00AA, 0xAA_5500, 0xAA_AAAA,
    0x55_5555, 0x55_55FF, 0x55_FF55, 0x55_FFFF, 0xFF_5555, 0xFF_55FF, 0xFF_FF55, 0xFF_FFFF,
];

/// The glyphs out of the font's file (PC Screen Font 1: four bytes of header, then the glyphs in the order of ASCII).
const fn font() -> [[u8; GLYPH_HEIGHT]; GLYPHS] {
    const HEADER_BYTES: usize = 4;
    const BLOB: usize = 0xFE;
    let file = spleen_font::FONT_8X16;
    let mut glyphs = [[0; GLYPH_HEIGHT]; GLYPHS];
    let mut index = 0;
    while index < GLYPHS {
        let glyph = if index + 1 < GLYPHS { index + 32 } else { BLOB };
        let mut row = 0;
        while row < GLYPH_HEIGHT {
            glyphs[index][row] = file[HEADER_BYTES + glyph * GLYPH_HEIGHT + row];
            row += 1;
        }
        index += 1;
    }
    glyphs
}

pub(super) struct Pixels {
    memory: Mmio,
    pitch_bytes: usize,
    pixel_bytes: usize,
    columns: usize,
    rows: usize,
    /// Pixels of the screen for one of a glyph, in each direction.
    scale: usize,
    /// The colours of VGA as this screen has them.
    colours: [u32; 16],
    /// The cells as they are shown.
    cells: Vec<u16>,
    cursor: usize,
    has_cursor: bool,
}

impl Pixels {
    /// Maps a framebuffer, and clears it; `None` where there is no memory for that, or no room for a line of text.
    pub(super) fn map(framebuffer: &Framebuffer) -> Option<Self> {
        let memory = Mmio::map(framebuffer.phys, framebuffer.len_bytes()).ok()?;
        let pixels = Self::new(framebuffer, memory)?;
        for offset in 0..framebuffer.len_bytes() / 4 {
            pixels.memory.write(offset * 4, 0_u32);
        }
        Some(pixels)
    }

    fn new(framebuffer: &Framebuffer, memory: Mmio) -> Option<Self> {
        let scale = framebuffer.width.div_ceil(WIDTH_OF_SMALL_LETTERS) as usize;
        let columns = framebuffer.width as usize / (GLYPH_WIDTH * scale);
        let rows = framebuffer.height as usize / (GLYPH_HEIGHT * scale);
        if columns == 0 || rows == 0 {
            return None;
        }
        let mut cells = Vec::new();
        cells.try_reserve_exact(columns * rows).ok()?;
        // What no text has: the first clearing draws every cell.
        cells.resize(columns * rows, 0);
        let [red, green, blue] = framebuffer.shifts;
        let colour = |rgb: u32| {
            (rgb >> 16 & 0xFF) << red | (rgb >> 8 & 0xFF) << green | (rgb & 0xFF) << blue
        };
        Some(Self {
            memory,
            pitch_bytes: framebuffer.pitch_bytes as usize,
            pixel_bytes: usize::from(framebuffer.pixel_bytes),
            columns,
            rows,
            scale,
            colours: COLOURS.map(colour),
            cells,
            cursor: 0,
            has_cursor: true,
        })
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.columns, self.rows)
    }

    /// Shows cells, from this one on.
    pub(super) fn draw(&mut self, first: usize, cells: &[u16]) {
        for (cell, &value) in (first..).zip(cells) {
            if let Some(shown) = self.cells.get_mut(cell)
                && *shown != value
            {
                *shown = value;
                self.draw_cell(cell);
            }
        }
    }

    pub(super) fn move_cursor(&mut self, cell: usize) {
        let before = core::mem::replace(&mut self.cursor, cell);
        if before != cell {
            self.draw_cell(before);
            self.draw_cell(cell);
        }
    }

    pub(super) fn show_cursor(&mut self, is_shown: bool) {
        self.has_cursor = is_shown;
        self.draw_cell(self.cursor);
    }

    /// Draws a cell, and the cursor as a line below it.
    fn draw_cell(&self, cell: usize) {
        /// Rows of a glyph that are the cursor.
        const CURSOR: core::ops::Range<usize> = 13..15;
        let Some(&value) = self.cells.get(cell) else {
            return;
        };
        let [character, attribute] = value.to_le_bytes();
        let glyph = usize::from(character.wrapping_sub(b' ')).min(GLYPHS - 1);
        let ink = self.colours[usize::from(attribute & 15)];
        let paper = self.colours[usize::from(attribute >> 4 & 7)];
        let has_cursor = self.has_cursor && cell == self.cursor;
        let (row, column) = (cell / self.columns, cell % self.columns);
        let left = column * GLYPH_WIDTH * self.scale * self.pixel_bytes;
        for y in 0..GLYPH_HEIGHT * self.scale {
            let line = y / self.scale;
            let bits = match FONT[glyph][line] {
                _ if has_cursor && CURSOR.contains(&line) => 0xFF,
                bits => bits,
            };
            let start = (row * GLYPH_HEIGHT * self.scale + y) * self.pitch_bytes + left;
            for x in 0..GLYPH_WIDTH * self.scale {
                let is_ink = bits & 0x80 >> (x / self.scale) != 0;
                self.set(
                    start + x * self.pixel_bytes,
                    if is_ink { ink } else { paper },
                );
            }
        }
    }

    /// Sets a pixel, by its place in bytes.
    fn set(&self, offset: usize, colour: u32) {
        if self.pixel_bytes == 4 {
            return self.memory.write(offset, colour);
        }
        for (index, &byte) in colour.to_le_bytes()[..3].iter().enumerate() {
            self.memory.write(offset + index, byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FONT, Pixels};
    use crate::arch::mmio::Mmio;
    use crate::arch::x86_64::start_info::Framebuffer;
    use crate::devices::console::terminal::{Display, Screen};

    /// A screen of 40 by 5 letters with some pixels to spare, as text: `#` where a pixel has another colour than its cell's paper.
    struct Fake {
        framebuffer: Framebuffer,
        memory: Vec<u32>,
    }

    impl Fake {
        fn new(width: u32, height: u32) -> Self {
            let pitch_bytes = width * 4 + 16;
            let framebuffer = Framebuffer {
                phys: 4096,
                pitch_bytes,
                width,
                height,
                pixel_bytes: 4,
                shifts: [16, 8, 0],
            };
            let memory = vec![0xDEAD_BEEF; framebuffer.len_bytes() / 4];
            Self {
                framebuffer,
                memory,
            }
        }

        fn screen(&mut self) -> Screen {
            let bytes = self.framebuffer.len_bytes();
            let memory = Mmio::model(self.memory.as_mut_ptr() as usize, bytes);
            Screen::new(Display::Pixels(
                Pixels::new(&self.framebuffer, memory).unwrap(),
            ))
            .unwrap()
        }

        /// The characters of a row, by their glyphs; the cursor hides some lines, which are not looked at.
        fn row(&self, row: usize) -> String {
            let pitch = self.framebuffer.pitch_bytes as usize / 4;
            let columns = self.framebuffer.width as usize / 8;
            let character = |column: usize| {
                let glyph: Vec<u8> = (0..13)
                    .map(|y| {
                        let start = (row * 16 + y) * pitch + column * 8;
                        let pixels = &self.memory[start..start + 8];
                        pixels
                            .iter()
                            .fold(0, |bits, &pixel| bits << 1 | u8::from(pixel != 0))
                    })
                    .collect();
                let index = FONT.iter().position(|known| known[..13] == glyph[..]);
                char::from(index.map_or(b'?', |index| index as u8 + b' '))
            };
            let text: String = (0..columns).map(character).collect();
            text.trim_end().to_owned()
        }
    }

    #[test]
    fn letters_of_the_font_are_in_the_order_of_ascii() {
        // The stem of an L, and the dot of a full stop.
        assert_eq!(FONT[0], [0; 16]);
        assert!(FONT[usize::from(b'L' - b' ')][4].count_ones() <= 3);
        assert!(
            FONT[usize::from(b'.' - b' ')][..8]
                .iter()
                .all(|&row| row == 0)
        );
    }

    #[test]
    fn text_scrolls_when_the_screen_is_full() {
        let mut fake = Fake::new(320, 80);
        let mut screen = fake.screen();
        for line in ["one", "two", "three", "four", "five", "six"] {
            screen.write(format!("{line}\r\n").as_bytes());
        }
        screen.draw();
        drop(screen);
        assert_eq!(fake.row(0), "three");
        assert_eq!(fake.row(3), "six");
        assert_eq!(fake.row(4), "");
    }

    #[test]
    fn colours_and_clearing_reach_the_pixels() {
        let mut fake = Fake::new(320, 80);
        let mut screen = fake.screen();
        screen.write(b"gone");
        screen.draw();
        screen.write(b"\x1b[2J\x1b[1;1H\x1b[31mred");
        screen.draw();
        drop(screen);
        assert_eq!(fake.row(0), "red");
        assert!(fake.memory.contains(&0xAA_0000));
        // What is beyond the lines is not touched.
        let pitch = fake.framebuffer.pitch_bytes as usize / 4;
        assert_eq!(fake.memory[320..pitch], [0xDEAD_BEEF; 4]);
    }

    #[test]
    fn pixels_of_three_bytes_lie_side_by_side() {
        let framebuffer = Framebuffer {
            phys: 4096,
            pitch_bytes: 33,
            width: 8,
            height: 16,
            pixel_bytes: 3,
            shifts: [16, 8, 0],
        };
        let mut memory = [0_u8; 33 * 16];
        let window = Mmio::model(memory.as_mut_ptr() as usize, memory.len());
        let mut pixels = Pixels::new(&framebuffer, window).unwrap();
        pixels.show_cursor(false);
        // White on blue.
        pixels.draw(0, &[u16::from_le_bytes([b'L', 0x1F])]);
        drop(pixels);
        for (y, row) in memory.chunks(33).enumerate() {
            for (x, pixel) in row[..24].chunks(3).enumerate() {
                let is_ink = FONT[usize::from(b'L' - b' ')][y] & 0x80 >> x != 0;
                let expected = if is_ink { [0xFF; 3] } else { [0xAA, 0, 0] };
                assert_eq!(pixel, expected);
            }
            assert_eq!(row[24..], [0; 9]);
        }
    }

    #[test]
    fn a_wide_screen_has_larger_letters_and_a_tiny_one_none() {
        let mut wide = Fake::new(3840, 64);
        let Fake { framebuffer, .. } = wide;
        let memory = Mmio::model(wide.memory.as_mut_ptr() as usize, framebuffer.len_bytes());
        assert_eq!(Pixels::new(&framebuffer, memory).unwrap().size(), (240, 2));
        let tiny = Framebuffer {
            width: 7,
            ..framebuffer
        };
        assert!(Pixels::new(&tiny, memory).is_none());
    }
}
