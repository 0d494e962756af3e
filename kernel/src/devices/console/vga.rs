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

    pub(super) fn put(&mut self, cell: usize, value: u16) {
        self.text.write(cell * 2, value);
    }

    pub(super) fn scroll(&mut self) {
        let row_bytes = Self::COLUMNS * 2;
        // Four cells at a time: each access can be an exit of the virtual machine.
        for offset in (0..(Self::ROWS - 1) * row_bytes).step_by(8) {
            let below: u64 = self.text.read(offset + row_bytes);
            self.text.write(offset, below);
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
