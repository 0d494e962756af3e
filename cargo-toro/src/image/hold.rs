//! The hold: what the tool hands to the kernel inside the image (ARCHITECTURE.md, "The hold").

use super::debug_info::Section;
use crate::embed::{Embedded, Object};

/// Bytes that the linker script reserves at `toro_hold`: the hold's own header.
pub(super) const RESERVED: u64 = 16;

const MAGIC: &[u8; 8] = b"TOROHOLD";
const SYMBOLS: u32 = 1;
const COMMAND_LINE: u32 = 2;
const FILE: u32 = 3;
const MOUNT: u32 = 4;
const DEBUG_SECTION: u32 = 5;

/// Bytes for the name of a section, of which the last is 0.
const SECTION_NAME_BYTES: usize = 24;

/// The hold: a symbol table (as `symbols` makes it), a command line, what is embedded, and sections with source lines.
pub(super) fn content(
    symbols: &[u8],
    command_line: &str,
    embedded: &Embedded,
    lines: &[Section],
) -> Vec<u8> {
    let mut hold = [MAGIC.as_slice(), &[0; 8]].concat();
    add(&mut hold, SYMBOLS, &[symbols]);
    add(&mut hold, COMMAND_LINE, &[command_line.as_bytes()]);
    for mount in &embedded.mounts {
        add(&mut hold, MOUNT, &[mount.as_bytes()]);
    }
    for object in &embedded.objects {
        let Object { path, content, .. } = object;
        // A path of the host has far less than 4 GiB.
        let mut header = (path.len() as u32).to_le_bytes().to_vec();
        header.extend(object.mode.to_le_bytes());
        header.extend(object.modified.to_le_bytes());
        header.extend((content.len() as u64).to_le_bytes());
        let padding = &[0; 8][..path.len().next_multiple_of(8) - path.len()];
        add(&mut hold, FILE, &[&header, path, padding, content]);
    }
    for section in lines {
        let mut name = [0; SECTION_NAME_BYTES];
        name[..section.name.len()].copy_from_slice(section.name.as_bytes());
        add(&mut hold, DEBUG_SECTION, &[&name, &section.compressed]);
    }
    let len = hold.len() as u64;
    hold[8..16].copy_from_slice(&len.to_le_bytes());
    hold
}

/// Adds an entry whose content is `pieces` one after the other.
fn add(hold: &mut Vec<u8>, kind: u32, pieces: &[&[u8]]) {
    let len: usize = pieces.iter().map(|piece| piece.len()).sum();
    hold.extend(kind.to_le_bytes());
    hold.extend([0; 4]);
    hold.extend((len as u64).to_le_bytes());
    for piece in pieces {
        hold.extend(*piece);
    }
    hold.resize(hold.len().next_multiple_of(8), 0);
}

#[cfg(test)]
mod tests {
    use object::{Object as _, ObjectSegment as _};

    use super::super::testing::{Linked, Symbol};
    use super::super::{ImageError, finish};
    use super::{Embedded, Object, Section, content};

    #[test]
    fn the_layout_is_that_of_the_contract() {
        let expected = [
            b"TOROHOLD".as_slice(),
            &72_u64.to_le_bytes(),
            &1_u32.to_le_bytes(),
            &[0; 4],
            &3_u64.to_le_bytes(),
            b"sym\0\0\0\0\0",
            &2_u32.to_le_bytes(),
            &[0; 4],
            &8_u64.to_le_bytes(),
            b"net=dhcp",
        ];
        let mut expected = expected.concat();
        let len = expected.len() as u64;
        expected[8..16].copy_from_slice(&len.to_le_bytes());
        assert_eq!(
            content(b"sym", "net=dhcp", &Embedded::default(), &[]),
            expected
        );
        assert_eq!(len, 64);
    }

    #[test]
    fn embedded_files_follow_their_mounts() {
        let embedded = Embedded {
            mounts: vec!["/www".into()],
            objects: vec![Object {
                path: b"/www/a".to_vec(),
                mode: 0o100_644,
                modified: -2,
                content: b"hello".to_vec(),
            }],
        };
        let plain = content(b"", "", &Embedded::default(), &[]);
        let found = content(b"", "", &embedded, &[]);
        let expected: [&[u8]; 5] = [
            // Kind and length of the mount, and its path.
            b"\x04\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0/www\0\0\0\0",
            // Kind and length of the file; length of its path, and its mode.
            b"\x03\0\0\0\0\0\0\0\x25\0\0\0\0\0\0\0\x06\0\0\0\xA4\x81\0\0",
            // Its time and its length.
            b"\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x05\0\0\0\0\0\0\0",
            b"/www/a\0\0",
            b"hello\0\0\0",
        ];
        assert_eq!(found[plain.len()..], expected.concat());
        assert_eq!(found[8..16], (found.len() as u64).to_le_bytes());
    }

    #[test]
    fn sections_with_lines_come_last() {
        let lines = Section {
            name: ".debug_str_offsets",
            compressed: b"zip".to_vec(),
        };
        let plain = content(b"", "", &Embedded::default(), &[]);
        let found = content(b"", "", &Embedded::default(), &[lines]);
        let expected: [&[u8]; 3] = [
            b"\x05\0\0\0\0\0\0\0\x1B\0\0\0\0\0\0\0",
            b".debug_str_offsets\0\0\0\0\0\0",
            b"zip\0\0\0\0\0",
        ];
        assert_eq!(found[plain.len()..], expected.concat());
    }

    #[test]
    fn a_finished_image_ends_with_its_hold() {
        let image = finish(
            &Linked::sample().build(),
            "env=A=\"b c\"",
            &Embedded::default(),
        )
        .unwrap();
        let file = object::File::parse(&*image).unwrap();
        let hold = file.segments().last().unwrap();
        let data = hold.data().unwrap();
        assert_eq!(hold.address(), 0x20_4000);
        assert_eq!(hold.size(), data.len() as u64);
        assert!(image.ends_with(data));
        assert_eq!(&data[..8], b"TOROHOLD");
        assert_eq!(data[8..16], (data.len() as u64).to_le_bytes());
        assert!(data.windows(11).any(|window| window == b"env=A=\"b c\""));
        assert!(data.windows(4).any(|window| window == b"main"));
    }

    #[test]
    fn a_hold_that_is_not_the_last_segment_is_refused() {
        let mut linked = Linked::sample();
        linked.symbols = vec![Symbol::hold(0x20_1000)];
        let found = finish(&linked.build(), "", &Embedded::default());
        let what = "toro_hold is not the start of the last segment";
        assert_eq!(found, Err(ImageError::Hold(what)));
    }

    #[test]
    fn a_hold_that_shares_its_segment_is_refused() {
        let mut linked = Linked::sample();
        let hold = linked.loads.last_mut().unwrap();
        hold.content.push(1);
        hold.memsz += 1;
        let found = finish(&linked.build(), "", &Embedded::default());
        let what = "its segment is not just the 16 bytes reserved for it";
        assert_eq!(found, Err(ImageError::Hold(what)));
    }

    #[test]
    fn a_command_line_with_nul_is_refused() {
        assert_eq!(
            finish(&Linked::sample().build(), "a\0b", &Embedded::default()),
            Err(ImageError::CommandLineNul)
        );
    }
}
