//! Multiboot 1 (GNU Multiboot Specification 0.6.96, section 3.3 "Boot information format").

use super::{
    MAX_ENTRIES, Physical, StartInfo, StartInfoError, multiboot_framebuffer, u32_at, u64_at,
};

const WHAT: &str = "Multiboot information";
const HAS_COMMAND_LINE: u32 = 1 << 2;
const HAS_MEMORY_MAP: u32 = 1 << 6;
const HAS_FRAMEBUFFER: u32 = 1 << 12;

pub(super) fn read(
    memory: &impl Physical,
    phys: u64,
    info: &mut StartInfo,
) -> Result<(), StartInfoError> {
    let flags = u32_at(memory, phys, 0, WHAT)?;
    if flags & HAS_MEMORY_MAP == 0 {
        return Err(StartInfoError::Lacks("memory map"));
    }
    let map_bytes = u64::from(u32_at(memory, phys, 44, WHAT)?);
    let map = u64::from(u32_at(memory, phys, 48, WHAT)?);
    let mut entry = 0;
    for _ in 0..MAX_ENTRIES {
        const WHAT: &str = "memory map";
        if entry + 24 > map_bytes {
            break;
        }
        info.add_range(
            u64_at(memory, map, entry + 4, WHAT)?,
            u64_at(memory, map, entry + 12, WHAT)?,
            u32_at(memory, map, entry + 20, WHAT)?,
        );
        // The size of an entry does not count itself.
        entry += u64::from(u32_at(memory, map, entry, WHAT)?) + 4;
    }
    if flags & HAS_COMMAND_LINE != 0 {
        let text = u32_at(memory, phys, 16, WHAT)?;
        info.copy_command_line(memory, u64::from(text))?;
    }
    if flags & HAS_FRAMEBUFFER != 0 {
        info.framebuffer = multiboot_framebuffer(memory, phys.saturating_add(88), 22)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::Bytes;
    use super::super::{Protocol, StartInfoError};

    fn memory(flags: u32) -> Bytes {
        let mut memory = Bytes::new(0x1000, 0x400);
        for (at, value) in [
            (0, flags),
            (16, 0x1300),
            (44, 48),
            (48, 0x1200),
            (0x200, 20),
            (0x204, 0),
            (0x20C, 0xA_0000),
            (0x214, 1),
            (0x218, 20),
            (0x21C, 0x10_0000),
            (0x224, 0x70_0000),
            (0x22C, 1),
        ] {
            memory.put(0x1000 + at, &u32::to_le_bytes(value));
        }
        memory.put(0x1300, b"log=info\0");
        memory
    }

    #[test]
    fn map_and_command_line_are_read() {
        let info = memory(0x44)
            .read(Protocol::MULTIBOOT1, 0x1000)
            .ok()
            .unwrap();
        assert_eq!(info.command_line(), b"log=info");
        let lens: Vec<_> = info.ranges().iter().map(|range| range.len_bytes).collect();
        assert_eq!(lens, [0xA_0000, 0x70_0000]);
    }

    #[test]
    fn without_a_map_nothing_starts() {
        let error = memory(4).read(Protocol::MULTIBOOT1, 0x1000).err();
        assert_eq!(error, Some(StartInfoError::Lacks("memory map")));
    }

    #[test]
    fn an_entry_of_no_size_ends_after_a_number_of_looks() {
        let mut memory = memory(0x40);
        memory.put(0x1200, &0_u32.to_le_bytes());
        assert!(memory.read(Protocol::MULTIBOOT1, 0x1000).is_ok());
    }
}
