//! VHDX, dynamic: Hyper-V of both generations (Microsoft, [MS-VHDX]).

use super::{Fields, Raw, write_zeros};
use std::io::{self, Write};

const KIB64: usize = 64 << 10;
const MIB: u64 = 1 << 20;
/// Length of a block of data, the unit in which room is taken.
const BLOCK_BYTES: u64 = MIB;
/// Blocks of data for each block of a sector bitmap: 2^23 sectors of 512 bytes.
const CHUNK_RATIO: u64 = (1 << 23) * 512 / BLOCK_BYTES;
/// Places of the parts: the log, the metadata, then the block allocation table.
const LOG_AT: u64 = MIB;
const METADATA_AT: u64 = 2 * MIB;
const TABLE_AT: u64 = 3 * MIB;
/// An entry whose block is in the file.
const FULLY_PRESENT: u64 = 6;
/// Regions and items of metadata, as their identifiers are stored.
const TABLE_REGION: u128 = 0x2DC2_7766_F623_4200_9D64_115E_9BFD_4A08;
const METADATA_REGION: u128 = 0x8B7C_A206_4790_4B9A_B8FE_575F_050F_886E;
const FILE_PARAMETERS: u128 = 0xCAA1_6737_FA36_4D43_B3B6_33F0_AA44_E76B;
const VIRTUAL_DISK_SIZE: u128 = 0x2FA5_4224_CD1B_4876_B211_5DBE_D83B_F4B8;
const VIRTUAL_DISK_ID: u128 = 0xBECA_12AB_B2E6_4523_93EF_C309_E000_C746;
const LOGICAL_SECTOR_SIZE: u128 = 0x8141_BF1D_A96F_4709_BA47_F233_A8FA_AB5F;
const PHYSICAL_SECTOR_SIZE: u128 = 0xCDA3_48C7_445D_4471_9CC9_E988_5251_C556;
/// An item is about the virtual disk; a reader must know it.
const IS_VIRTUAL_DISK: u32 = 1 << 1;
const IS_REQUIRED: u32 = 1 << 2;

/// Writes the disk. Blocks of zeros take no room.
pub(crate) fn write(raw: &Raw<'_>, output: &mut dyn Write) -> io::Result<()> {
    let blocks = raw.len_bytes() / BLOCK_BYTES;
    let filled = raw.filled_blocks(BLOCK_BYTES)?;
    let entries = blocks + (blocks - 1) / CHUNK_RATIO;
    let table_bytes = (entries * 8).next_multiple_of(MIB);
    let data_at = TABLE_AT + table_bytes;

    let mut start = Fields::new(MIB as usize);
    start.put(0, b"vhdxfile");
    let creator = "Toro".encode_utf16().flat_map(u16::to_le_bytes);
    start.put(8, &creator.collect::<Vec<_>>());
    for (place, sequence) in [(1, 0), (2, 1)] {
        start.put(place * KIB64, &header(raw, sequence)?);
    }
    for place in [3, 4] {
        start.put(place * KIB64, &region_table(table_bytes));
    }
    output.write_all(&start.bytes)?;
    write_zeros(output, METADATA_AT - LOG_AT)?;
    output.write_all(&metadata(raw)?)?;

    let mut table = Fields::new(table_bytes as usize);
    for (place, block) in (0..).zip(&filled) {
        let offset_mib = (data_at + place * BLOCK_BYTES) / MIB;
        // Each chunk of blocks is followed by the entry of its sector bitmap.
        let entry = block + block / CHUNK_RATIO;
        table.le64(entry as usize * 8, offset_mib << 20 | FULLY_PRESENT);
    }
    output.write_all(&table.bytes)?;
    raw.copy_blocks(&filled, BLOCK_BYTES, output)
}

/// A header ([MS-VHDX] 2.2.2); the one with the higher number counts.
fn header(raw: &Raw<'_>, sequence: u64) -> io::Result<Vec<u8>> {
    let mut header = Fields::new(4096);
    header.put(0, b"head");
    header.le64(8, sequence);
    header.put(16, &raw.uuid("vhdx file")?);
    header.put(32, &raw.uuid("vhdx data")?);
    // The log's identifier of zeros says that it is empty.
    header.le16(66, 1);
    header.le32(68, MIB as u32);
    header.le64(72, LOG_AT);
    Ok(with_checksum(header))
}

/// Where the table and the metadata are ([MS-VHDX] 2.2.3).
fn region_table(table_bytes: u64) -> Vec<u8> {
    let mut table = Fields::new(KIB64);
    table.put(0, b"regi");
    table.le32(8, 2);
    let regions = [
        (TABLE_REGION, TABLE_AT, table_bytes),
        (METADATA_REGION, METADATA_AT, MIB),
    ];
    for (index, (identifier, at, len)) in regions.into_iter().enumerate() {
        let entry = 16 + index * 32;
        table.put(entry, &stored(identifier));
        table.le64(entry + 16, at);
        // A region of so many mebibytes has a length of 32 bits: a disk of 64 TiB needs 512 MiB.
        table.le32(entry + 24, len as u32);
        table.le32(entry + 28, 1);
    }
    with_checksum(table)
}

/// The metadata region ([MS-VHDX] 2.6): a table of items, then the items.
fn metadata(raw: &Raw<'_>) -> io::Result<Vec<u8>> {
    let of_disk = IS_VIRTUAL_DISK | IS_REQUIRED;
    let items: [(u128, u32, Vec<u8>); 5] = [
        (
            FILE_PARAMETERS,
            IS_REQUIRED,
            BLOCK_BYTES.to_le_bytes().to_vec(),
        ),
        (
            VIRTUAL_DISK_SIZE,
            of_disk,
            raw.len_bytes().to_le_bytes().to_vec(),
        ),
        (VIRTUAL_DISK_ID, of_disk, raw.uuid("vhdx disk")?.to_vec()),
        (LOGICAL_SECTOR_SIZE, of_disk, 512u32.to_le_bytes().to_vec()),
        (
            PHYSICAL_SECTOR_SIZE,
            of_disk,
            4096u32.to_le_bytes().to_vec(),
        ),
    ];
    let mut region = Fields::new(MIB as usize);
    region.put(0, b"metadata");
    region.le16(10, items.len() as u16);
    let mut at = KIB64;
    for (index, (identifier, flags, content)) in items.into_iter().enumerate() {
        let entry = 32 + index * 32;
        region.put(entry, &stored(identifier));
        region.le32(entry + 16, at as u32);
        region.le32(entry + 20, content.len() as u32);
        region.le32(entry + 24, flags);
        region.put(at, &content);
        at += content.len();
    }
    Ok(region.bytes)
}

/// An identifier as Windows stores it: its first three parts in little-endian order.
fn stored(identifier: u128) -> [u8; 16] {
    let mut bytes = identifier.to_be_bytes();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// Fills in the checksum at offset 4, over the whole structure.
fn with_checksum(mut structure: Fields) -> Vec<u8> {
    let sum = crc32c(&structure.bytes);
    structure.le32(4, sum);
    structure.bytes
}

/// CRC-32C (RFC 3720, B.4), bit by bit: there are a few hundred kilobytes.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            sum >> 1 ^ if sum & 1 == 0 { 0 } else { POLYNOMIAL }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, B.4: 32 bytes of zeros.
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
    }
}
