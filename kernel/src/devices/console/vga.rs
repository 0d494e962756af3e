//! VGA text mode, 80 by 25 (IBM VGA; FreeVGA project, "VGA Text Mode Operation").

use crate::arch::{mmio::Mmio, port};

const TEXT_PHYS: u64 = 0xB8000;
const CRTC_INDEX: u16 = 0x3D4;
const CRTC_DATA: u16 = 0x3D5;

pub(super) struct TextMode {
    text: Mmio,
}

impl TextMode {
    pub(super) const COLUMNS: usize = 80;
    pub(super) const ROWS: usize = 25;

    /// The screen, if a colour text mode is on.
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
        let text = Mmio::map(TEXT_PHYS, Self::COLUMNS * Self::ROWS * 2).ok()?;
        Some(Self { text })
    }

    /// Shows cells, from this one on, four at a time where there are as many: each access can be an exit of the virtual machine.
    pub(super) fn draw(&mut self, first: usize, cells: &[u16]) {
        // Accesses of eight bytes are aligned.
        let single = cells.len().min(first.wrapping_neg() % 4);
        let (before, rest) = cells.split_at(single);
        let (fours, after) = rest.as_chunks::<4>();
        let mut at = first * 2;
        for &cell in before {
            self.text.write(at, cell);
            at += 2;
        }
        for four in fours {
            let word = four
                .iter()
                .rev()
                .fold(0, |word, &cell| word << 16 | u64::from(cell));
            self.text.write(at, word);
            at += 8;
        }
        for &cell in after {
            self.text.write(at, cell);
            at += 2;
        }
    }

    pub(super) fn move_cursor(&mut self, cell: usize) {
        for (register, value) in [(0x0E, cell >> 8), (0x0F, cell)] {
            port::write8(CRTC_INDEX, register);
            port::write8(CRTC_DATA, value as u8);
        }
    }

    /// Shows or hides the cursor (register "Cursor Start", bit 5).
    pub(super) fn show_cursor(&mut self, is_shown: bool) {
        const CURSOR_START: u8 = 0x0A;
        const HIDDEN: u8 = 0x20;
        port::write8(CRTC_INDEX, CURSOR_START);
        let before = port::read8(CRTC_DATA);
        let hidden = if is_shown { 0 } else { HIDDEN };
        port::write8(CRTC_DATA, before & !HIDDEN | hidden);
    }
}

#[cfg(test)]
mod tests {
    use super::TextMode;
    use crate::arch::mmio::Mmio;

    const CELLS: usize = TextMode::COLUMNS * TextMode::ROWS;

    #[test]
    fn any_run_of_cells_is_drawn_and_no_other() {
        for start in (0..9).chain(CELLS - 9..=CELLS) {
            for end in (start..CELLS.min(start + 9)).chain([CELLS]) {
                let mut cells = vec![0x1234_u16; CELLS + 4];
                // Registers are aligned; so is the screen.
                let skipped = cells.as_ptr().align_offset(8);
                let base = cells[skipped..].as_mut_ptr() as usize;
                let mut screen = TextMode {
                    text: Mmio::model(base, CELLS * 2),
                };
                let new: Vec<u16> = (start..end).map(|cell| 0x0700 + cell as u16).collect();
                screen.draw(start, &new);
                let mut expected = vec![0x1234; CELLS];
                expected[start..end].copy_from_slice(&new);
                assert!(cells[skipped..][..CELLS] == expected, "{start}..{end}");
            }
        }
    }
}
