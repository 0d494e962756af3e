//! The hold: what the tool hands to the kernel inside the image (ARCHITECTURE.md, "The hold").

/// Bytes that the linker script reserves at `toro_hold`: the hold's own header.
pub(super) const RESERVED: u64 = 16;

const MAGIC: &[u8; 8] = b"TOROHOLD";
const SYMBOLS: u32 = 1;
const COMMAND_LINE: u32 = 2;

/// The hold with its two entries: a symbol table (as `symbols` makes it) and a command line.
pub(super) fn content(symbols: &[u8], command_line: &str) -> Vec<u8> {
    let mut hold = [MAGIC.as_slice(), &[0; 8]].concat();
    for (kind, content) in [(SYMBOLS, symbols), (COMMAND_LINE, command_line.as_bytes())] {
        hold.extend(kind.to_le_bytes());
        hold.extend([0; 4]);
        hold.extend((content.len() as u64).to_le_bytes());
        hold.extend(content);
        hold.resize(hold.len().next_multiple_of(8), 0);
    }
    let len = hold.len() as u64;
    hold[8..16].copy_from_slice(&len.to_le_bytes());
    hold
}

#[cfg(test)]
mod tests {
    use object::{Object as _, ObjectSegment as _};

    use super::super::testing::{Linked, Symbol};
    use super::super::{ImageError, finish};
    use super::content;

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
        assert_eq!(content(b"sym", "net=dhcp"), expected);
        assert_eq!(len, 64);
    }

    #[test]
    fn a_finished_image_ends_with_its_hold() {
        let image = finish(&Linked::sample().build(), "env=A=\"b c\"").unwrap();
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
        let found = finish(&linked.build(), "");
        let what = "toro_hold is not the start of the last segment";
        assert_eq!(found, Err(ImageError::Hold(what)));
    }

    #[test]
    fn a_hold_that_shares_its_segment_is_refused() {
        let mut linked = Linked::sample();
        let hold = linked.loads.last_mut().unwrap();
        hold.content.push(1);
        hold.memsz += 1;
        let found = finish(&linked.build(), "");
        let what = "its segment is not just the 16 bytes reserved for it";
        assert_eq!(found, Err(ImageError::Hold(what)));
    }

    #[test]
    fn a_command_line_with_nul_is_refused() {
        assert_eq!(
            finish(&Linked::sample().build(), "a\0b"),
            Err(ImageError::CommandLineNul)
        );
    }
}
