//! The 64-bit boot protocol of Linux: the "zero page", `struct boot_params` (Linux, Documentation/arch/x86/boot.rst and zero-page.rst).
//! Firecracker, Cloud Hypervisor and crosvm can start an ELF so.

use super::{Framebuffer, Physical, RootPointer, StartInfo, StartInfoError, at, u32_at, u64_at};

const WHAT: &str = "zero page";
/// Offsets of `struct boot_params` and of the structures inside.
mod offset {
    pub(super) const SCREEN_WIDTH: u64 = 0x12;
    pub(super) const SCREEN_HEIGHT: u64 = 0x14;
    pub(super) const SCREEN_DEPTH: u64 = 0x16;
    pub(super) const SCREEN_BASE: u64 = 0x18;
    pub(super) const SCREEN_LINE: u64 = 0x24;
    pub(super) const SCREEN_COLOURS: u64 = 0x26;
    pub(super) const SCREEN_BASE_HIGH: u64 = 0x3A;
    pub(super) const SCREEN_KIND: u64 = 0x0F;
    pub(super) const ROOT_POINTER: u64 = 0x70;
    pub(super) const COMMAND_LINE_HIGH: u64 = 0xC8;
    pub(super) const MAP_COUNT: u64 = 0x1E8;
    pub(super) const COMMAND_LINE: u64 = 0x228;
    pub(super) const MAP: u64 = 0x2D0;
}
const MOST_RANGES: u8 = 128;
const RANGE_BYTES: u64 = 20;
/// Kinds of screens with pixels: of VESA, of EFI.
const PIXELS: [u8; 2] = [0x23, 0x70];

pub(super) fn read(
    memory: &impl Physical,
    phys: u64,
    info: &mut StartInfo,
) -> Result<(), StartInfoError> {
    // The page itself may lie at 0, but none that is known does so.
    let [count] = at(memory, phys, offset::MAP_COUNT, WHAT)?;
    if phys == 0 {
        return Err(StartInfoError::Unreachable(WHAT));
    }
    for index in 0..u64::from(count.min(MOST_RANGES)) {
        let range = offset::MAP + index * RANGE_BYTES;
        info.add_range(
            u64_at(memory, phys, range, WHAT)?,
            u64_at(memory, phys, range + 8, WHAT)?,
            u32_at(memory, phys, range + 16, WHAT)?,
        );
    }
    let low = u32_at(memory, phys, offset::COMMAND_LINE, WHAT)?;
    let high = u32_at(memory, phys, offset::COMMAND_LINE_HIGH, WHAT)?;
    let command_line = u64::from(high) << 32 | u64::from(low);
    if command_line != 0 {
        info.copy_command_line(memory, command_line)?;
    }
    info.root = match u64_at(memory, phys, offset::ROOT_POINTER, WHAT)? {
        0 => RootPointer::Unknown,
        address => RootPointer::At(address),
    };
    info.framebuffer = screen(memory, phys)?;
    Ok(())
}

/// The screen (`struct screen_info`), if it has pixels.
fn screen(memory: &impl Physical, phys: u64) -> Result<Option<Framebuffer>, StartInfoError> {
    let u16_at =
        |offset| at(memory, phys, offset, WHAT).map(|bytes| u32::from(u16::from_le_bytes(bytes)));
    let [kind] = at(memory, phys, offset::SCREEN_KIND, WHAT)?;
    if !PIXELS.contains(&kind) {
        return Ok(None);
    }
    // Size and place of red, green, blue.
    let colours: [u8; 6] = at(memory, phys, offset::SCREEN_COLOURS, WHAT)?;
    let low = u32_at(memory, phys, offset::SCREEN_BASE, WHAT)?;
    let high = u32_at(memory, phys, offset::SCREEN_BASE_HIGH, WHAT)?;
    let framebuffer = Framebuffer {
        phys: u64::from(high) << 32 | u64::from(low),
        pitch_bytes: u16_at(offset::SCREEN_LINE)?,
        width: u16_at(offset::SCREEN_WIDTH)?,
        height: u16_at(offset::SCREEN_HEIGHT)?,
        pixel_bytes: u8::try_from(u16_at(offset::SCREEN_DEPTH)? / 8).unwrap_or(0),
        shifts: [colours[1], colours[3], colours[5]],
    };
    Ok(framebuffer.checked([colours[0], colours[2], colours[4]]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Bytes;
    use super::super::{Protocol, RootPointer, StartInfoError};

    fn memory() -> Bytes {
        let mut memory = Bytes::new(0x7000, 0x2000);
        memory.put(0x71E8, &[2]);
        memory.put(0x7228, &0x8000_u32.to_le_bytes());
        memory.put(0x7070, &0xE_0000_u64.to_le_bytes());
        for (index, len_bytes) in [(0, 0x9_FC00_u64), (1, 0x70_0000)] {
            memory.put(0x72D0 + index * 20 + 8, &len_bytes.to_le_bytes());
            memory.put(0x72D0 + index * 20 + 16, &[1]);
        }
        memory.put(0x8000, b"log=info\0");
        memory
    }

    #[test]
    fn a_zero_page_is_read() {
        let mut memory = memory();
        memory.put(0x700F, &[0x70, 0, 0, 0, 4, 0, 3, 32, 0]);
        memory.put(0x7018, &0xE000_0000_u32.to_le_bytes());
        memory.put(0x7024, &[0, 16, 8, 16, 8, 8, 8, 0]);
        let info = memory.read(Protocol::LINUX, 0x7000).ok().unwrap();
        assert_eq!(info.command_line(), b"log=info");
        let lens: Vec<_> = info.ranges().iter().map(|range| range.len_bytes).collect();
        assert_eq!(lens, [0x9_FC00, 0x70_0000]);
        assert_eq!(info.root, RootPointer::At(0xE_0000));
        let screen = info.framebuffer.unwrap();
        assert_eq!((screen.width, screen.height), (1024, 768));
        assert_eq!(screen.pitch_bytes, 4096);
    }

    #[test]
    fn a_zero_page_without_memory_is_refused() {
        let mut memory = memory();
        memory.put(0x71E8, &[0]);
        let error = memory.read(Protocol::LINUX, 0x7000).err();
        assert_eq!(error, Some(StartInfoError::Lacks("memory map")));
    }
}
