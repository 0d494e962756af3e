//! Which source line an address belongs to: the DWARF sections of a linked program (DWARF 5, appendix B), for std's backtraces. A program
//! whose profile asks for no debug information has none.

use flate2::Compression;
use flate2::write::ZlibEncoder;
use object::LittleEndian;
use object::elf::{ELFCOMPRESS_ZLIB, FileHeader64, SHF_COMPRESSED};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use std::io::Write;

use super::ImageError;

/// Those that lead from an address to functions and lines. What debuggers want of variables and types is left out where it has sections
/// of its own.
const NAMES: [&str; 10] = [
    ".debug_abbrev",
    ".debug_addr",
    ".debug_aranges",
    ".debug_info",
    ".debug_line",
    ".debug_line_str",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_str",
    ".debug_str_offsets",
];

/// A section as an ELF has it that says `SHF_COMPRESSED`: the header of the compression, then the content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) compressed: Vec<u8>,
}

/// The sections of the linked `file`; none where it has no lines.
pub(super) fn sections(file: &[u8]) -> Result<Vec<Section>, ImageError> {
    let outside = |_| ImageError::Outside("the debug information");
    let endian = LittleEndian;
    let header = FileHeader64::<LittleEndian>::parse(file).map_err(outside)?;
    let all = header.sections(endian, file).map_err(outside)?;
    let mut found = Vec::new();
    for section in all.iter() {
        let name = all.section_name(endian, section).map_err(outside)?;
        let Some(name) = NAMES.into_iter().find(|known| known.as_bytes() == name) else {
            continue;
        };
        let content = section.data(endian, file).map_err(outside)?;
        let is_compressed = section.sh_flags(endian) & u64::from(SHF_COMPRESSED) != 0;
        found.push(Section {
            name,
            compressed: if is_compressed {
                content.to_vec()
            } else {
                compressed(content)
            },
        });
    }
    if !found.iter().any(|section| section.name == ".debug_line") {
        found.clear();
    }
    Ok(found)
}

/// The header (`Elf64_Chdr`; System V ABI, "Section Compression") and the content by zlib.
fn compressed(content: &[u8]) -> Vec<u8> {
    let mut out = [ELFCOMPRESS_ZLIB.to_le_bytes(), [0; 4]].concat();
    out.extend((content.len() as u64).to_le_bytes());
    out.extend(1_u64.to_le_bytes());
    // The usual 6 takes three times as long for two parts in a hundred.
    let mut encoder = ZlibEncoder::new(out, Compression::new(3));
    let written = encoder.write_all(content);
    // Memory takes all that is written.
    written
        .and_then(|()| encoder.finish())
        .expect("memory can be written")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::testing::Linked;
    use super::{compressed, sections};

    #[test]
    fn what_is_compressed_says_how_long_it_was() {
        let content = b"line ".repeat(100);
        let found = compressed(&content);
        assert!(found.len() < content.len());
        assert_eq!(found[..8], [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(found[8..16], 500_u64.to_le_bytes());
        let mut back = Vec::new();
        let mut decoder = flate2::read::ZlibDecoder::new(&found[24..]);
        decoder.read_to_end(&mut back).unwrap();
        assert_eq!(back, content);
    }

    #[test]
    fn a_program_without_debug_information_has_none() {
        assert_eq!(sections(&Linked::sample().build()), Ok(Vec::new()));
    }
}
