//! PVH: `hvm_start_info` (Xen, xen/include/public/arch-x86/hvm/start_info.h, version 1). Our UEFI loader adds a framebuffer to it, as a
//! module whose command line says so (ARCHITECTURE.md, "From a loader to the kernel").

use super::{
    MAX_ENTRIES, Physical, RootPointer, StartInfo, StartInfoError, at, multiboot_framebuffer,
    u32_at, words_at,
};

const WHAT: &str = "start information";
const MAGIC: u32 = 0x336E_C578;
/// Of a word that is two numbers, the first.
const LOW_HALF: u64 = 0xFFFF_FFFF;
/// The command line of the module that is a framebuffer.
const FRAMEBUFFER: &[u8; 17] = b"toro-framebuffer\0";

/// Whether a start information lies there.
pub(super) fn is_magic(memory: &impl Physical, phys: u64) -> bool {
    u32_at(memory, phys, 0, WHAT) == Ok(MAGIC)
}

pub(super) fn read(
    memory: &impl Physical,
    phys: u64,
    info: &mut StartInfo,
) -> Result<(), StartInfoError> {
    // Each structure is read at once.
    let [
        magic_version,
        flags_count,
        modules,
        command_line,
        root,
        map,
        map_count,
    ] = words_at(memory, phys, 0, WHAT)?;
    if magic_version as u32 != MAGIC {
        return Err(StartInfoError::Magic(magic_version as u32));
    }
    if magic_version >> 32 < 1 {
        return Err(StartInfoError::Lacks("memory map: it is of version 0"));
    }
    info.root = match root {
        0 => RootPointer::Unknown,
        address => RootPointer::At(address),
    };
    for index in 0..(map_count & LOW_HALF).min(MAX_ENTRIES) {
        let [start, len_bytes, kind] = words_at(memory, map, index * 24, "memory map")?;
        info.add_range(start, len_bytes, kind as u32);
    }
    if command_line != 0 {
        info.copy_command_line(memory, command_line)?;
    }
    for index in 0..(flags_count >> 32).min(MAX_ENTRIES) {
        const WHAT: &str = "list of modules";
        let [content, _len_bytes, name] = words_at(memory, modules, index * 32, WHAT)?;
        if at(memory, name, 0, WHAT).as_ref() == Ok(FRAMEBUFFER) {
            info.framebuffer = multiboot_framebuffer(memory, content, 24)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::Bytes;
    use super::super::{Protocol, RootPointer, StartInfoError};

    /// A start information at 0x1000 with a memory map of one range at 0x1100, a command line at 0x1200 and a framebuffer.
    fn memory() -> Bytes {
        let mut memory = Bytes::new(0x1000, 0x800);
        memory.put(0x1000, &0x336E_C578_u32.to_le_bytes());
        memory.put(0x1004, &1_u32.to_le_bytes());
        memory.put(0x100C, &1_u32.to_le_bytes());
        for (at, value) in [
            (16, 0x1300_u64),
            (24, 0x1200),
            (32, 0xF_0000),
            (40, 0x1100),
            (48, 1),
            (0x100, 0x10_0000),
            (0x108, 0x70_0000),
            (0x110, 1),
            (0x300, 0x1400),
            (0x308, 32),
            (0x310, 0x1500),
            (0x400, 0xE000_0000),
        ] {
            memory.put(0x1000 + at, &value.to_le_bytes());
        }
        memory.put(0x1200, b"log=info\0");
        memory.put(0x1408, &[0, 20, 0, 0, 0, 5, 0, 0, 32, 3, 0, 0, 32, 1]);
        memory.put(0x1418, &[16, 8, 8, 8, 0, 8]);
        memory.put(0x1500, b"toro-framebuffer\0");
        memory
    }

    #[test]
    fn all_that_a_loader_tells_is_read() {
        let info = memory().read(Protocol(0), 0x1000).ok().unwrap();
        assert_eq!(info.command_line(), b"log=info");
        assert_eq!(info.ranges().len(), 1);
        assert_eq!(info.ranges()[0].len_bytes, 0x70_0000);
        assert_eq!(info.root, RootPointer::At(0xF_0000));
        let screen = info.framebuffer.unwrap();
        assert_eq!(
            (screen.width, screen.height, screen.pitch_bytes),
            (1280, 800, 5120)
        );
    }

    #[test]
    fn a_loader_that_calls_itself_multiboot_is_known_by_what_it_gives() {
        let info = memory().read(Protocol::MULTIBOOT1, 0x1000).ok().unwrap();
        assert_eq!(info.command_line(), b"log=info");
        assert_eq!(info.ranges().len(), 1);
    }

    #[test]
    fn what_points_nowhere_is_named() {
        for (at, what) in [
            (16, "list of modules"),
            (24, "command line"),
            (40, "memory map"),
        ] {
            let mut memory = memory();
            memory.put(0x1000 + at, &u64::MAX.to_le_bytes());
            let error = memory.read(Protocol(0), 0x1000).err();
            assert_eq!(error, Some(StartInfoError::Unreachable(what)));
        }
    }

    #[test]
    fn a_map_of_too_many_ranges_is_cut() {
        let mut memory = Bytes::new(0x1000, 0x1000 + 24 * 1000);
        memory.put(0x1000, &0x336E_C578_u32.to_le_bytes());
        memory.put(0x1004, &1_u32.to_le_bytes());
        memory.put(0x1028, &0x2000_u64.to_le_bytes());
        memory.put(0x1030, &u32::MAX.to_le_bytes());
        let info = memory.read(Protocol(0), 0x1000).ok().unwrap();
        assert_eq!(info.ranges().len(), super::super::MAX_RANGES);
    }
}
