//! What the loader tells the kernel: `hvm_start_info` (Xen, xen/include/public/arch-x86/hvm/start_info.h, version 1).
//!
//! Everything is copied out before the memory it lies in can be used for something else.

use alloc::string::String;

/// Physical memory below this is mapped when the kernel starts.
const MAPPED_BYTES: u64 = 1 << 30;
const MAGIC: u32 = 0x336E_C578;
/// As many ranges of the memory map as are kept.
pub const MAX_RANGES: usize = 64;
const MAX_COMMAND_LINE: usize = 4096;
/// Usable memory, in the memory map.
pub const RANGE_RAM: u32 = 1;

/// A range of physical memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryRange {
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub len_bytes: u64,
    /// Type of the ACPI address range (1: RAM, 2: reserved, 3: ACPI tables, 4: ACPI NVS, …).
    pub kind: u32,
}

/// The start information, copied.
pub struct StartInfo {
    ranges: [MemoryRange; MAX_RANGES],
    range_count: usize,
    command_line: [u8; MAX_COMMAND_LINE],
    command_line_len: usize,
    /// Physical address of the ACPI root pointer, 0 if the loader does not know.
    pub rsdp_phys: u64,
}

/// What can be wrong with a start information.
#[derive(Debug, Clone, Copy)]
pub enum StartInfoError {
    /// It, or a table it points to, is outside the memory that is mapped at the start.
    Unreachable(&'static str),
    /// It does not begin with the magic number.
    Magic(u32),
    /// Version 0 has no memory map.
    Version(u32),
}

impl StartInfo {
    /// Reads the start information at a physical address.
    ///
    /// # Errors
    /// When it is not one; see [`StartInfoError`].
    pub fn read(phys: u64) -> Result<Self, StartInfoError> {
        let magic: u32 = read_phys(phys).ok_or(StartInfoError::Unreachable("start information"))?;
        if magic != MAGIC {
            return Err(StartInfoError::Magic(magic));
        }
        let field32 = |offset| {
            read_phys::<u32>(phys + offset).ok_or(StartInfoError::Unreachable("start information"))
        };
        let field64 = |offset| {
            read_phys::<u64>(phys + offset).ok_or(StartInfoError::Unreachable("start information"))
        };
        let version = field32(4)?;
        if version < 1 {
            return Err(StartInfoError::Version(version));
        }
        let mut info = Self {
            ranges: [MemoryRange::default(); MAX_RANGES],
            range_count: 0,
            command_line: [0; MAX_COMMAND_LINE],
            command_line_len: 0,
            rsdp_phys: field64(32)?,
        };
        info.copy_ranges(field64(40)?, field32(48)?)?;
        let command_line = field64(24)?;
        if command_line != 0 {
            info.copy_command_line(command_line)?;
        }
        Ok(info)
    }

    fn copy_ranges(&mut self, table: u64, count: u32) -> Result<(), StartInfoError> {
        const ERROR: StartInfoError = StartInfoError::Unreachable("memory map");
        for index in 0..u64::from(count).min(MAX_RANGES as u64) {
            let entry = table.checked_add(index * 24).ok_or(ERROR)?;
            self.ranges[self.range_count] = MemoryRange {
                start: read_phys(entry).ok_or(ERROR)?,
                len_bytes: read_phys(entry + 8).ok_or(ERROR)?,
                kind: read_phys(entry + 16).ok_or(ERROR)?,
            };
            self.range_count += 1;
        }
        Ok(())
    }

    fn copy_command_line(&mut self, phys: u64) -> Result<(), StartInfoError> {
        for (index, slot) in self.command_line.iter_mut().enumerate() {
            let byte: u8 = read_phys(phys + index as u64)
                .ok_or(StartInfoError::Unreachable("command line"))?;
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

    /// The command line; bytes that are not UTF-8 are replaced.
    pub fn command_line(&self) -> String {
        String::from_utf8_lossy(&self.command_line[..self.command_line_len]).into_owned()
    }
}

/// Reads a value of the loader's from physical memory that is mapped at the start.
fn read_phys<T: Copy>(phys: u64) -> Option<T> {
    let end = phys.checked_add(size_of::<T>() as u64)?;
    if phys == 0 || end > MAPPED_BYTES {
        return None;
    }
    // SAFETY: below 1 GiB everything is mapped one to one at the start; the types read here are integers, and the kernel writes
    // nothing there meanwhile.
    Some(unsafe { (phys as *const T).read_unaligned() })
}
