//! VDI, dynamic: VirtualBox (its header VBox/VDICore.h; version 1.1).

use super::{Fields, Raw, narrow, write_zeros};
use std::io::{self, Write};

const BLOCK_BYTES: u64 = 1 << 20;
/// Header with its signature, filled up; the block map follows.
const HEADER_BYTES: u64 = 512;
const TITLE: &[u8] = b"<<< Oracle VM VirtualBox Disk Image >>>\n";
/// A block of zeros that has no room in the file.
const FREE: u32 = u32::MAX;

/// Writes the disk. Blocks of zeros take no room.
pub(crate) fn write(raw: &Raw<'_>, output: &mut dyn Write) -> io::Result<()> {
    let blocks = raw.len_bytes() / BLOCK_BYTES;
    let filled = raw.filled_blocks(BLOCK_BYTES)?;
    let data_at = (HEADER_BYTES + blocks * 4).next_multiple_of(BLOCK_BYTES);
    let mut header = Fields::new(HEADER_BYTES as usize);
    header.put(0, TITLE);
    header.le32(64, 0xBEDA_107F);
    header.le32(68, 0x0001_0001);
    header.le32(72, 0x190);
    // The kind: dynamic.
    header.le32(76, 1);
    header.le32(340, HEADER_BYTES as u32);
    header.le32(344, narrow(data_at)?);
    header.le32(360, 512);
    header.le64(368, raw.len_bytes());
    header.le32(376, BLOCK_BYTES as u32);
    header.le32(384, narrow(blocks)?);
    header.le32(388, narrow(filled.len() as u64)?);
    header.put(392, &raw.uuid("vdi")?);
    header.put(408, &raw.uuid("vdi modification")?);
    // The geometry for BIOSes is unknown but for its sector size, without which VirtualBox does not know the file.
    header.le32(468, 512);
    output.write_all(&header.bytes)?;
    let mut map = vec![FREE; blocks as usize];
    for (place, block) in (0..).zip(&filled) {
        map[*block as usize] = place;
    }
    for entry in map {
        output.write_all(&entry.to_le_bytes())?;
    }
    write_zeros(output, data_at - HEADER_BYTES - blocks * 4)?;
    raw.copy_blocks(&filled, BLOCK_BYTES, output)
}
