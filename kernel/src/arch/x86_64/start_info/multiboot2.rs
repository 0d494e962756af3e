//! Multiboot 2 (GNU Multiboot2 Specification 2.0, section 3.6 "Boot information format"): a list of tags.

use super::{
    MAX_ENTRIES, Physical, RootPointer, StartInfo, StartInfoError, at, multiboot_framebuffer,
    u32_at, u64_at,
};

const WHAT: &str = "Multiboot information";
const END: u32 = 0;
const COMMAND_LINE: u32 = 1;
const MEMORY_MAP: u32 = 6;
const FRAMEBUFFER: u32 = 8;
const OLD_ROOT_POINTER: u32 = 14;
const NEW_ROOT_POINTER: u32 = 15;
/// Type and length of a tag.
const TAG_BYTES: u64 = 8;

pub(super) fn read(
    memory: &impl Physical,
    phys: u64,
    info: &mut StartInfo,
) -> Result<(), StartInfoError> {
    let end = phys.saturating_add(u64::from(u32_at(memory, phys, 0, WHAT)?));
    let mut tag = phys.saturating_add(8);
    for _ in 0..MAX_ENTRIES {
        if tag >= end {
            break;
        }
        let kind = u32_at(memory, tag, 0, WHAT)?;
        let len_bytes = u64::from(u32_at(memory, tag, 4, WHAT)?);
        let content = tag.saturating_add(TAG_BYTES);
        match kind {
            END => break,
            COMMAND_LINE => info.copy_command_line(memory, content)?,
            MEMORY_MAP => read_map(memory, tag, len_bytes, info)?,
            FRAMEBUFFER => info.framebuffer = multiboot_framebuffer(memory, content, 24)?,
            OLD_ROOT_POINTER if info.root == RootPointer::Unknown => {
                let mut copy = [0; 36];
                copy[..20].copy_from_slice(&at::<20>(memory, content, 0, WHAT)?);
                info.root = RootPointer::Copy(copy);
            }
            NEW_ROOT_POINTER => info.root = RootPointer::Copy(at(memory, content, 0, WHAT)?),
            _ => {}
        }
        // Tags begin at multiples of eight.
        tag = tag.saturating_add(len_bytes.max(TAG_BYTES).next_multiple_of(8));
    }
    Ok(())
}

fn read_map(
    memory: &impl Physical,
    tag: u64,
    len_bytes: u64,
    info: &mut StartInfo,
) -> Result<(), StartInfoError> {
    const WHAT: &str = "memory map";
    let entry_bytes = u64::from(u32_at(memory, tag, 8, WHAT)?).max(24);
    let mut entry = 16;
    for _ in 0..MAX_ENTRIES {
        if entry + 24 > len_bytes {
            break;
        }
        info.add_range(
            u64_at(memory, tag, entry, WHAT)?,
            u64_at(memory, tag, entry + 8, WHAT)?,
            u32_at(memory, tag, entry + 16, WHAT)?,
        );
        entry += entry_bytes;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::Bytes;
    use super::super::{Protocol, RootPointer, StartInfoError};

    fn memory(tags: &[(u32, &[u8])]) -> Bytes {
        let mut list = vec![0; 8];
        for (kind, content) in tags {
            list.extend(kind.to_le_bytes());
            list.extend((content.len() as u32 + 8).to_le_bytes());
            list.extend(*content);
            list.resize(list.len().next_multiple_of(8), 0);
        }
        let len = list.len() as u32;
        list[..4].copy_from_slice(&len.to_le_bytes());
        let mut memory = Bytes::new(0x1000, list.len() + 64);
        memory.put(0x1000, &list);
        memory
    }

    fn map() -> Vec<u8> {
        let mut map = [24_u32, 0].map(u32::to_le_bytes).concat();
        map.extend(
            [0x10_0000_u64, 0x70_0000, 1]
                .iter()
                .flat_map(|n| n.to_le_bytes()),
        );
        map
    }

    #[test]
    fn tags_are_read_in_any_order() {
        let mut screen = 0xE000_0000_u64.to_le_bytes().to_vec();
        screen.extend([4096_u32, 1024, 768].iter().flat_map(|n| n.to_le_bytes()));
        screen.extend([32, 1, 0, 0, 16, 8, 8, 8, 0, 8]);
        let memory = memory(&[
            (15, &[7; 36]),
            (99, b"?"),
            (8, &screen),
            (6, &map()),
            (14, &[8; 20]),
            (1, b"log=info\0"),
            (0, b""),
            (1, b"behind the end\0"),
        ]);
        let info = memory.read(Protocol::MULTIBOOT2, 0x1000).ok().unwrap();
        assert_eq!(info.command_line(), b"log=info");
        assert_eq!(info.ranges()[0].start, 0x10_0000);
        assert_eq!(info.root, RootPointer::Copy([7; 36]));
        assert_eq!(info.framebuffer.unwrap().width, 1024);
    }

    #[test]
    fn a_text_screen_is_no_framebuffer() {
        let mut screen = [0; 24];
        screen[20..22].copy_from_slice(&[16, 2]);
        let memory = memory(&[(6, &map()), (8, &screen)]);
        let info = memory.read(Protocol::MULTIBOOT2, 0x1000).ok().unwrap();
        assert_eq!(info.framebuffer, None);
    }

    #[test]
    fn without_a_map_nothing_starts() {
        let error = memory(&[(1, b"x\0")])
            .read(Protocol::MULTIBOOT2, 0x1000)
            .err();
        assert_eq!(error, Some(StartInfoError::Lacks("memory map")));
    }
}
