//! What the loader tells the kernel: memory, command line, where ACPI's tables begin, a framebuffer. Each protocol has a file.
//!
//! Everything is copied out before the memory it lies in can be used for something else.

mod linux;
mod multiboot1;
mod multiboot2;
mod pvh;

/// Physical memory below this is mapped when the kernel starts.
pub const MAPPED_BYTES: u64 = 1 << 32;
/// As many ranges of the memory map as are kept.
pub const MAX_RANGES: usize = 64;
/// As many entries of a loader's table as are looked at.
const MAX_ENTRIES: u64 = 256;
const MAX_COMMAND_LINE: usize = 4096;
/// Usable memory, in the memory map.
pub const RANGE_RAM: u32 = 1;

/// What a loader leaves in `eax`; one that leaves anything else is taken for PVH, which says nothing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Protocol(pub u32);

impl Protocol {
    /// PVH by a hypervisor, which starts the kernel without a disk.
    pub const PVH: Self = Self(0);
    /// Multiboot 1.
    pub const MULTIBOOT1: Self = Self(0x2BAD_B002);
    /// Multiboot 2.
    pub const MULTIBOOT2: Self = Self(0x36D7_6289);
    /// The 64-bit protocol of Linux: our own code says this for it (the letters of its header's magic number).
    pub const LINUX: Self = Self(0x5372_6448);
    /// PVH by our own loaders, which firmware starts from a disk ("TORO").
    pub const DISK: Self = Self(0x4F52_4F54);

    /// Whether firmware has started the loader, and would do so again after a reset. A hypervisor that starts the kernel by itself may take
    /// a reset for the end.
    pub fn has_firmware(self) -> bool {
        matches!(self, Self::DISK | Self::MULTIBOOT1 | Self::MULTIBOOT2)
    }
}

/// A range of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub len_bytes: u64,
    /// Type of the ACPI address range (1: RAM, 2: reserved, 3: ACPI tables, 4: ACPI NVS, …).
    pub kind: u32,
}

impl MemoryRange {
    /// None: a constant, so that an array of it is cleared in place.
    const EMPTY: Self = Self {
        start: 0,
        len_bytes: 0,
        kind: 0,
    };
}

/// Where ACPI's root pointer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RootPointer {
    /// The loader does not know.
    #[default]
    Unknown,
    /// At a physical address.
    At(u64),
    /// Its bytes, as the loader copied them; zeros where version 1 has none.
    Copy([u8; 36]),
}

/// A screen of pixels of 24 or 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framebuffer {
    /// Physical address of the first pixel.
    pub phys: u64,
    /// Bytes from a line to the next.
    pub pitch_bytes: u32,
    /// Pixels of a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Bytes of a pixel: 3 or 4.
    pub pixel_bytes: u8,
    /// The lowest bit of red, green and blue in a pixel; each has eight.
    pub shifts: [u8; 3],
}

impl Framebuffer {
    /// No screen is wider or higher.
    const MAX_PIXELS: u32 = 16384;

    /// A framebuffer that makes sense: pixels of three or four bytes, lines that do not overlap, colours of eight bits inside of their
    /// pixel.
    fn checked(self, colour_bits: [u8; 3]) -> Option<Self> {
        let most_shift = self.pixel_bytes.saturating_sub(1) * 8;
        let has_pixels = matches!(self.pixel_bytes, 3 | 4)
            && colour_bits == [8; 3]
            && self.shifts.iter().all(|&shift| shift <= most_shift);
        let has_lines = (1..=Self::MAX_PIXELS).contains(&self.width)
            && (1..=Self::MAX_PIXELS).contains(&self.height)
            && self.pitch_bytes <= 4 * Self::MAX_PIXELS
            && self.pitch_bytes >= self.width * u32::from(self.pixel_bytes);
        let is_aligned = self.pixel_bytes == 3
            || (self.pitch_bytes.is_multiple_of(4) && self.phys.is_multiple_of(4));
        (has_pixels && has_lines && is_aligned && self.phys != 0).then_some(self)
    }

    /// Its length in bytes.
    pub fn len_bytes(&self) -> usize {
        self.pitch_bytes as usize * self.height as usize
    }
}

/// The start information, copied.
pub struct StartInfo {
    ranges: [MemoryRange; MAX_RANGES],
    range_count: usize,
    command_line: [u8; MAX_COMMAND_LINE],
    command_line_len: usize,
    /// Where ACPI's tables begin.
    pub root: RootPointer,
    /// Where the extended BIOS data area is, if a BIOS says so. It does in page 0, which is not mapped later.
    pub extended_bios_data: Option<u64>,
    /// The screen, where the loader left it with pixels.
    pub framebuffer: Option<Framebuffer>,
    /// Who started the kernel.
    pub protocol: Protocol,
}

/// What can be wrong with a start information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartInfoError {
    /// It, or a table it points to, is outside the memory that is mapped at the start.
    Unreachable(&'static str),
    /// It does not begin with the magic number of PVH.
    Magic(u32),
    /// It lacks something that the kernel cannot do without.
    Lacks(&'static str),
}

impl StartInfo {
    /// One that says nothing yet: all zeros, so that a static one needs no place in the image and no clearing.
    #[allow(clippy::new_without_default, reason = "made once, to be read into")]
    pub const fn new() -> Self {
        Self {
            ranges: [MemoryRange::EMPTY; MAX_RANGES],
            range_count: 0,
            command_line: [0; MAX_COMMAND_LINE],
            command_line_len: 0,
            root: RootPointer::Unknown,
            extended_bios_data: None,
            framebuffer: None,
            protocol: Protocol::PVH,
        }
    }

    /// Reads the start information at a physical address.
    ///
    /// # Errors
    /// When it is not one; see [`StartInfoError`].
    pub fn read(&mut self, protocol: Protocol, phys: u64) -> Result<(), StartInfoError> {
        self.read_from(&Mapped, protocol, phys)
    }

    fn read_from(
        &mut self,
        memory: &impl Physical,
        protocol: Protocol,
        phys: u64,
    ) -> Result<(), StartInfoError> {
        let info = self;
        info.extended_bios_data = extended_bios_data(memory);
        // qboot (QEMU's microvm) says that it were Multiboot 1, and hands over PVH's information. No flags of Multiboot look like that.
        let is_pvh = protocol == Protocol::MULTIBOOT1 && pvh::is_magic(memory, phys);
        info.protocol = if is_pvh { Protocol::PVH } else { protocol };
        match info.protocol {
            Protocol::MULTIBOOT1 => multiboot1::read(memory, phys, info),
            Protocol::MULTIBOOT2 => multiboot2::read(memory, phys, info),
            Protocol::LINUX => linux::read(memory, phys, info),
            _ => pvh::read(memory, phys, info),
        }?;
        if info.range_count == 0 {
            return Err(StartInfoError::Lacks("memory map"));
        }
        // Device registers are mapped in their own way, so a screen must not lie where memory is.
        let is_memory = |screen: &Framebuffer| {
            let end = screen.phys.saturating_add(screen.len_bytes() as u64);
            let ram = info.ranges().iter().filter(|range| range.kind == RANGE_RAM);
            ram.into_iter().any(|range| {
                range.start < end && range.start.saturating_add(range.len_bytes) > screen.phys
            })
        };
        if info.framebuffer.as_ref().is_some_and(is_memory) {
            info.framebuffer = None;
        }
        Ok(())
    }

    /// Keeps a range of the memory map, as long as there is room.
    fn add_range(&mut self, start: u64, len_bytes: u64, kind: u32) {
        if let Some(place) = self.ranges.get_mut(self.range_count) {
            *place = MemoryRange {
                start,
                len_bytes,
                kind,
            };
            self.range_count += 1;
        }
    }

    /// Copies a text up to its NUL, or as far as there is room.
    fn copy_command_line(
        &mut self,
        memory: &impl Physical,
        phys: u64,
    ) -> Result<(), StartInfoError> {
        for (index, slot) in (0..).zip(self.command_line.iter_mut()) {
            let [byte] = at(memory, phys, index, "command line")?;
            if byte == 0 {
                break;
            }
            *slot = byte;
            self.command_line_len += 1;
        }
        Ok(())
    }

    /// The memory map.
    pub fn ranges(&self) -> &[MemoryRange] {
        &self.ranges[..self.range_count]
    }

    /// The command line.
    pub fn command_line(&self) -> &[u8] {
        &self.command_line[..self.command_line_len]
    }
}

/// The segment that the BIOS has in its data area (0x40E), as an address, if one can be there.
fn extended_bios_data(memory: &impl Physical) -> Option<u64> {
    let segment = u16::from_le_bytes(memory.bytes(0x40E)?);
    Some(u64::from(segment) << 4).filter(|address| (0x8_0000..0xA_0000).contains(address))
}

/// Physical memory, as it can be read when the kernel starts.
trait Physical {
    /// Bytes from an address on, if all of them can be read.
    fn bytes<const N: usize>(&self, phys: u64) -> Option<[u8; N]>;

    /// So many numbers of 64 bits, the lowest byte first.
    fn words<const N: usize>(&self, phys: u64) -> Option<[u64; N]> {
        let mut words = [0; N];
        for (offset, word) in (0..).step_by(8).zip(&mut words) {
            *word = u64::from_le_bytes(self.bytes(phys.checked_add(offset)?)?);
        }
        Some(words)
    }
}

/// The bytes at `offset` of what is called `what` and lies at `phys`.
fn at<const N: usize>(
    memory: &impl Physical,
    phys: u64,
    offset: u64,
    what: &'static str,
) -> Result<[u8; N], StartInfoError> {
    let phys = phys.checked_add(offset).filter(|&phys| phys != 0);
    phys.and_then(|phys| memory.bytes(phys))
        .ok_or(StartInfoError::Unreachable(what))
}

/// The same of numbers of 64 bits.
fn words_at<const N: usize>(
    memory: &impl Physical,
    phys: u64,
    offset: u64,
    what: &'static str,
) -> Result<[u64; N], StartInfoError> {
    let phys = phys.checked_add(offset).filter(|&phys| phys != 0);
    phys.and_then(|phys| memory.words(phys))
        .ok_or(StartInfoError::Unreachable(what))
}

fn u32_at(
    memory: &impl Physical,
    phys: u64,
    offset: u64,
    what: &'static str,
) -> Result<u32, StartInfoError> {
    at(memory, phys, offset, what).map(u32::from_le_bytes)
}

fn u64_at(
    memory: &impl Physical,
    phys: u64,
    offset: u64,
    what: &'static str,
) -> Result<u64, StartInfoError> {
    at(memory, phys, offset, what).map(u64::from_le_bytes)
}

/// A framebuffer as both versions of Multiboot tell of it: address, bytes of a line, width, height, bits of a pixel, type (1: colours by
/// their bits), and from `colours` on, for red, green and blue, the lowest bit and how many there are.
fn multiboot_framebuffer(
    memory: &impl Physical,
    phys: u64,
    colours: u64,
) -> Result<Option<Framebuffer>, StartInfoError> {
    const WHAT: &str = "framebuffer";
    const DIRECT_COLOURS: u8 = 1;
    let [bits_per_pixel, kind] = at(memory, phys, 20, WHAT)?;
    if kind != DIRECT_COLOURS {
        return Ok(None);
    }
    let colours: [u8; 6] = at(memory, phys, colours, WHAT)?;
    let framebuffer = Framebuffer {
        phys: u64_at(memory, phys, 0, WHAT)?,
        pitch_bytes: u32_at(memory, phys, 8, WHAT)?,
        width: u32_at(memory, phys, 12, WHAT)?,
        height: u32_at(memory, phys, 16, WHAT)?,
        pixel_bytes: bits_per_pixel / 8,
        shifts: [colours[0], colours[2], colours[4]],
    };
    Ok(framebuffer.checked([colours[1], colours[3], colours[5]]))
}

/// The memory of this machine.
struct Mapped;

impl Mapped {
    /// An address from which so many bytes can be read.
    fn reach(phys: u64, len_bytes: usize) -> Option<u64> {
        // One comparison leaves out 0 too, which becomes the largest number.
        (phys.wrapping_sub(1) < MAPPED_BYTES - len_bytes as u64).then_some(phys)
    }
}

impl Physical for Mapped {
    fn bytes<const N: usize>(&self, phys: u64) -> Option<[u8; N]> {
        let phys = Self::reach(phys, N)?;
        // SAFETY: below 4 GiB everything is mapped one to one at the start; an array of bytes has no alignment and every value, and
        // the kernel writes nothing there meanwhile.
        Some(unsafe { (phys as *const [u8; N]).read() })
    }

    fn words<const N: usize>(&self, phys: u64) -> Option<[u64; N]> {
        let phys = Self::reach(phys, 8 * N)?;
        // SAFETY: as in `bytes`; it need not be aligned. The processor has the lowest byte first, too.
        Some(unsafe { (phys as *const [u64; N]).read_unaligned() })
    }
}

#[cfg(test)]
mod tests {
    use super::{Framebuffer, Physical, Protocol, StartInfo, StartInfoError};

    /// A memory of a test: bytes from an address on.
    pub(super) struct Bytes {
        pub(super) start: u64,
        pub(super) bytes: Vec<u8>,
    }

    impl Bytes {
        pub(super) fn new(start: u64, len: usize) -> Self {
            let bytes = vec![0; len];
            Self { start, bytes }
        }

        pub(super) fn put(&mut self, phys: u64, bytes: &[u8]) {
            let at = (phys - self.start) as usize;
            self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        }

        pub(super) fn read(
            &self,
            protocol: Protocol,
            phys: u64,
        ) -> Result<StartInfo, StartInfoError> {
            let mut info = StartInfo::new();
            info.read_from(self, protocol, phys).map(|()| info)
        }
    }

    impl Physical for Bytes {
        fn bytes<const N: usize>(&self, phys: u64) -> Option<[u8; N]> {
            let at = usize::try_from(phys.checked_sub(self.start)?).ok()?;
            self.bytes.get(at..at.checked_add(N)?)?.try_into().ok()
        }
    }

    #[test]
    fn the_extended_bios_data_area_is_where_the_bios_says_if_it_can_be() {
        let mut memory = Bytes::new(0x400, 0x100);
        for (segment, expected) in [
            (0x9FC0_u16, Some(0x9_FC00)),
            (0, None),
            (0x7FFF, None),
            (0xA000, None),
        ] {
            memory.put(0x40E, &segment.to_le_bytes());
            assert_eq!(super::extended_bios_data(&memory), expected);
        }
        assert_eq!(super::extended_bios_data(&Bytes::new(0x1000, 16)), None);
    }

    #[test]
    fn a_screen_that_cannot_be_is_none() {
        let screen = Framebuffer {
            phys: 0xE000_0000,
            pitch_bytes: 5120,
            width: 1280,
            height: 800,
            pixel_bytes: 4,
            shifts: [16, 8, 0],
        };
        assert!(screen.checked([8; 3]).is_some());
        assert!(screen.checked([5, 6, 5]).is_none());
        for wrong in [
            Framebuffer { phys: 0, ..screen },
            Framebuffer {
                pitch_bytes: 5116,
                ..screen
            },
            Framebuffer {
                width: u32::MAX,
                ..screen
            },
            Framebuffer {
                height: 0,
                ..screen
            },
            Framebuffer {
                shifts: [25, 8, 0],
                ..screen
            },
            Framebuffer {
                shifts: [17, 8, 0],
                pixel_bytes: 3,
                ..screen
            },
            Framebuffer {
                pixel_bytes: 2,
                ..screen
            },
        ] {
            assert!(wrong.checked([8; 3]).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn information_of_noise_is_an_error_and_never_a_panic() {
        let mut seed = 1_u32;
        let mut memory = Bytes::new(0x1000, 8192);
        for _ in 0..2000 {
            for byte in &mut memory.bytes {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (seed >> 24) as u8;
            }
            for protocol in [
                Protocol::MULTIBOOT1,
                Protocol::MULTIBOOT2,
                Protocol::LINUX,
                Protocol(0),
            ] {
                for phys in [0, 0x1000, 0x1FF8, 0x2FFC, u64::MAX] {
                    let _ = memory.read(protocol, phys);
                }
            }
        }
    }
}
