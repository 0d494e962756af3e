//! A PE32+ for UEFI, made of a position-independent ELF (boot/uefi/loader.ld): rust-lld's PE half wants object files that the only
//! target of this repository does not give.
//!
//! Standards: Microsoft, "PE Format"; UEFI Specification 2.10, 2.1.1; System V ABI, AMD64 supplement (relocations).

use object::{Object as _, ObjectSection as _};

const FILE_ALIGN: usize = 512;
const PAGE: usize = 4096;
/// DOS header with the place of the PE header behind it.
const PE_AT: usize = 64;
const RELATIVE: u32 = 8;
/// "DIR64" in the upper four bits of an entry of base relocations.
const DIR64: u16 = 10 << 12;

const CODE: u32 = 0x6000_0020;
const READ_ONLY: u32 = 0x4000_0040;
const WRITABLE: u32 = 0xC000_0040;
const DISCARDABLE: u32 = 0x4200_0040;

struct Section {
    name: &'static [u8],
    start: usize,
    content: Vec<u8>,
    flags: u32,
}

/// Makes the PE32+.
///
/// # Errors
/// What in the ELF is not as the linker script should make it.
pub(crate) fn from_elf(elf: &[u8]) -> Result<Vec<u8>, String> {
    let file = object::File::parse(elf).map_err(|error| format!("the UEFI loader: {error}"))?;
    let place = |name: &str| {
        let section = file
            .section_by_name(name)
            .ok_or_else(|| format!("the UEFI loader has no {name}"))?;
        let content = section.uncompressed_data();
        let content = content.map_err(|error| format!("the UEFI loader's {name}: {error}"))?;
        Ok::<_, String>((section.address() as usize, content.into_owned()))
    };
    let mut sections = Vec::new();
    for (name, flags) in [(".text", CODE), (".rodata", READ_ONLY), (".data", WRITABLE)] {
        let (start, content) = place(name)?;
        if start % PAGE != 0 {
            return Err(format!("the UEFI loader's {name} does not start a page"));
        }
        let name = name.as_bytes();
        sections.push(Section {
            name,
            start,
            content,
            flags,
        });
    }
    let (_, relocations) = place(".rela.dyn").unwrap_or_default();
    let base = relocate(&mut sections, &relocations)?;
    let last = sections.last().map_or(0, Section::end);
    sections.push(Section {
        name: b".reloc",
        start: last.next_multiple_of(PAGE),
        content: base,
        flags: DISCARDABLE,
    });
    Ok(write(file.entry() as u32, &sections))
}

impl Section {
    fn end(&self) -> usize {
        self.start + self.content.len()
    }
}

/// Writes the addends to their places, as for an image at address 0, and gives the base relocations, a block for each page.
fn relocate(sections: &mut [Section], relocations: &[u8]) -> Result<Vec<u8>, String> {
    let mut places = Vec::new();
    for entry in relocations.chunks_exact(24) {
        let number =
            |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().unwrap_or_default());
        let at = number(0) as usize;
        if number(8) as u32 != RELATIVE {
            return Err(format!(
                "the UEFI loader has a relocation of type {}",
                number(8)
            ));
        }
        let target = sections
            .iter_mut()
            .find(|section| (section.start..section.end()).contains(&at))
            .and_then(|section| section.content.get_mut(at - section.start..)?.get_mut(..8))
            .ok_or("the UEFI loader has a relocation outside of its sections")?;
        target.copy_from_slice(&entry[16..24]);
        places.push(at);
    }
    places.sort_unstable();
    let mut blocks = Vec::new();
    for block in places.chunk_by(|one, other| one / PAGE == other / PAGE) {
        // Of an even number of entries, so that blocks stay aligned; an entry of 0 means nothing.
        let len = 8 + block.len().next_multiple_of(2) * 2;
        blocks.extend(((block[0] / PAGE * PAGE) as u32).to_le_bytes());
        blocks.extend((len as u32).to_le_bytes());
        let end = blocks.len() + len - 8;
        for at in block {
            blocks.extend((DIR64 | (at % PAGE) as u16).to_le_bytes());
        }
        blocks.resize(end, 0);
    }
    // The loader of a firmware may take a table of nothing as an image that cannot be moved.
    if blocks.is_empty() {
        blocks.extend([0_u32.to_le_bytes(), 12_u32.to_le_bytes(), [0; 4]].concat());
    }
    Ok(blocks)
}

/// The file: headers, then the contents of the sections.
fn write(entry: u32, sections: &[Section]) -> Vec<u8> {
    let aligned = |len: usize| len.next_multiple_of(FILE_ALIGN);
    let headers_len = aligned(PE_AT + 24 + 240 + sections.len() * 40);
    let size_of = |flags: u32| -> usize {
        let wanted = sections.iter().filter(|section| section.flags == flags);
        wanted.map(|section| aligned(section.content.len())).sum()
    };
    let image_end = sections
        .last()
        .map_or(0, Section::end)
        .next_multiple_of(PAGE);
    let reloc = sections
        .last()
        .map_or((0, 0), |s| (s.start, s.content.len()));

    let mut file = vec![0; PE_AT];
    file[..2].copy_from_slice(b"MZ");
    file[60] = PE_AT as u8;
    let u16s = |file: &mut Vec<u8>, numbers: &[u16]| {
        file.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    };
    let u32s = |file: &mut Vec<u8>, numbers: &[usize]| {
        file.extend(
            numbers
                .iter()
                .flat_map(|&number| (number as u32).to_le_bytes()),
        );
    };
    file.extend(b"PE\0\0");
    // x86-64; no time, no symbols; executable, knows large addresses, without debugging information.
    u16s(&mut file, &[0x8664, sections.len() as u16]);
    u32s(&mut file, &[0; 3]);
    u16s(&mut file, &[240, 0x022E]);
    // PE32+; linker version; sizes; entry, start of the code, base 0; alignments; versions.
    u16s(&mut file, &[0x020B, 0]);
    let data = size_of(READ_ONLY) + size_of(WRITABLE) + size_of(DISCARDABLE);
    u32s(
        &mut file,
        &[
            size_of(CODE),
            data,
            0,
            entry as usize,
            sections[0].start,
            0,
            0,
        ],
    );
    u32s(
        &mut file,
        &[PAGE, FILE_ALIGN, 0, 0, 0, 0, image_end, headers_len, 0],
    );
    // Subsystem: EFI application. No stack or heap of its own. 16 directories, of which one is used.
    u16s(&mut file, &[10, 0]);
    u32s(&mut file, &[0; 9]);
    u32s(&mut file, &[16]);
    for directory in 0..16 {
        let (start, len) = if directory == 5 { reloc } else { (0, 0) };
        u32s(&mut file, &[start, len]);
    }
    let mut at = headers_len;
    for section in sections {
        let mut name = [0; 8];
        name[..section.name.len()].copy_from_slice(section.name);
        file.extend(name);
        let len = aligned(section.content.len());
        u32s(
            &mut file,
            &[section.content.len(), section.start, len, at, 0, 0, 0],
        );
        u32s(&mut file, &[section.flags as usize]);
        at += len;
    }
    file.resize(headers_len, 0);
    for section in sections {
        file.extend(&section.content);
        file.resize(aligned(file.len()), 0);
    }
    file
}
