//! VHD, fixed: Hyper-V of generation 1, Azure (Microsoft, Virtual Hard Disk Image Format Specification 1.0).

use super::{Fields, Raw, SECTOR_BYTES, narrow, write_raw};
use std::io::{self, Write};

/// Readers take the size from the footer's field, and not from its rounded geometry, if this is the creator.
const CREATOR: &[u8; 4] = b"win ";
const CREATOR_VERSION: u32 = 0x000A_0000;
const CREATOR_HOST: &[u8; 4] = b"Wi2k";
/// The largest disk (2040 GiB).
const MOST_BYTES: u64 = 2040 << 30;

/// Writes the disk, zeros and all: the raw disk, and a footer.
pub(crate) fn write(raw: &Raw<'_>, output: &mut dyn Write) -> io::Result<()> {
    let len = raw.len_bytes();
    if len > MOST_BYTES {
        return Err(io::Error::other("a VHD has 2040 GiB at most"));
    }
    write_raw(raw, output)?;
    let (cylinders, heads, sectors) = geometry(narrow(len / SECTOR_BYTES)?);
    let mut footer = Fields::new(512);
    footer.put(0, b"conectix");
    // A bit that is always set.
    footer.be32(8, 2);
    footer.be32(12, 0x0001_0000);
    footer.be64(16, u64::MAX);
    // The time of creation stays the format's epoch, so that equal disks give equal files.
    footer.put(28, CREATOR);
    footer.be32(32, CREATOR_VERSION);
    footer.put(36, CREATOR_HOST);
    footer.be64(40, len);
    footer.be64(48, len);
    footer.be16(56, cylinders);
    footer.put(58, &[heads, sectors]);
    // The kind: fixed.
    footer.be32(60, 2);
    footer.put(68, &raw.uuid("vhd")?);
    let sum: u32 = footer.bytes.iter().map(|&byte| u32::from(byte)).sum();
    footer.be32(64, !sum);
    output.write_all(&footer.bytes)
}

/// Cylinders, heads and sectors of a track (ibid., "CHS Calculation").
fn geometry(sectors: u32) -> (u16, u8, u8) {
    let total = sectors.min(65535 * 16 * 255);
    let (mut track, mut heads, mut cylinder_heads);
    if total >= 65535 * 16 * 63 {
        (track, heads) = (255, 16);
        cylinder_heads = total / track;
    } else {
        track = 17;
        cylinder_heads = total / track;
        heads = cylinder_heads.div_ceil(1024).max(4);
        if cylinder_heads >= heads * 1024 || heads > 16 {
            (track, heads) = (31, 16);
            cylinder_heads = total / track;
        }
        if cylinder_heads >= heads * 1024 {
            (track, heads) = (63, 16);
            cylinder_heads = total / track;
        }
    }
    // All three fit: at most 65535, 16 and 255.
    ((cylinder_heads / heads) as u16, heads as u8, track as u8)
}
