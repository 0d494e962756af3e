//! VMDK, monolithic sparse: VMware Workstation, Fusion and Player, VirtualBox (VMware, Virtual Disk Format 5.0, "Hosted Sparse Extents").

use super::{Fields, Raw, SECTOR_BYTES, narrow, write_zeros};
use std::io::{self, Write};

/// Sectors of a grain, the unit in which room is taken.
pub(super) const GRAIN_SECTORS: u64 = 128;
pub(super) const GRAIN_BYTES: u64 = GRAIN_SECTORS * SECTOR_BYTES;
/// Entries of a grain table.
pub(super) const TABLE_ENTRIES: u64 = 512;
pub(super) const TABLE_SECTORS: u64 = TABLE_ENTRIES * 4 / SECTOR_BYTES;
/// Sectors of the descriptor.
pub(super) const DESCRIPTOR_SECTORS: u64 = 20;
/// Newlines are tested, and the redundant grain directory is used.
const FLAGS: u32 = 0b11;

/// Writes the disk. Grains of zeros take no room.
pub(crate) fn write(raw: &Raw<'_>, output: &mut dyn Write) -> io::Result<()> {
    let capacity = raw.len_bytes() / SECTOR_BYTES;
    let filled = raw.filled_blocks(GRAIN_BYTES)?;
    let tables = capacity.div_ceil(GRAIN_SECTORS * TABLE_ENTRIES);
    let directory_sectors = (tables * 4).div_ceil(SECTOR_BYTES);
    let metadata_sectors = directory_sectors + tables * TABLE_SECTORS;
    let redundant_at = 1 + DESCRIPTOR_SECTORS;
    let directory_at = redundant_at + metadata_sectors;
    let data_at = (directory_at + metadata_sectors).next_multiple_of(GRAIN_SECTORS);

    let mut header = header(1, FLAGS, capacity);
    header.le64(48, redundant_at);
    header.le64(56, directory_at);
    header.le64(64, data_at);
    output.write_all(&header.bytes)?;
    let descriptor = descriptor(raw, "monolithicSparse")?;
    output.write_all(&padded(&descriptor, DESCRIPTOR_SECTORS)?)?;
    for start in [redundant_at, directory_at] {
        let mut entries = Vec::new();
        for table in 0..tables {
            let place = start + directory_sectors + table * TABLE_SECTORS;
            entries.extend_from_slice(&narrow(place)?.to_le_bytes());
        }
        output.write_all(&padded(&entries, directory_sectors)?)?;
        let mut grains = vec![0u32; (tables * TABLE_ENTRIES) as usize];
        for (number, grain) in (0..).zip(&filled) {
            grains[*grain as usize] = narrow(data_at + number * GRAIN_SECTORS)?;
        }
        for grain in grains {
            output.write_all(&grain.to_le_bytes())?;
        }
    }
    let written = directory_at + metadata_sectors;
    write_zeros(output, (data_at - written) * SECTOR_BYTES)?;
    raw.copy_blocks(&filled, GRAIN_BYTES, output)
}

/// The header of a sparse extent, without the places of its parts.
pub(super) fn header(version: u32, flags: u32, capacity_sectors: u64) -> Fields {
    let mut header = Fields::new(SECTOR_BYTES as usize);
    header.put(0, b"KDMV");
    header.le32(4, version);
    header.le32(8, flags);
    header.le64(12, capacity_sectors);
    header.le64(20, GRAIN_SECTORS);
    header.le64(28, 1);
    header.le64(36, DESCRIPTOR_SECTORS);
    header.le32(44, TABLE_ENTRIES as u32);
    // So that a transfer as text is noticed.
    header.put(73, b"\n \r\n");
    header
}

/// The descriptor, a text.
pub(super) fn descriptor(raw: &Raw<'_>, kind: &str) -> io::Result<Vec<u8>> {
    let sectors = raw.len_bytes() / SECTOR_BYTES;
    let uuid = raw.uuid("vmdk")?;
    let identifier = u32::from_le_bytes([uuid[0], uuid[1], uuid[2], uuid[3]]) & 0xFFFF_FFFE;
    // VirtualBox's own: it takes a disk without them for another one whenever it looks.
    let image = uuid::Uuid::from_bytes(uuid);
    let modification = uuid::Uuid::from_bytes(raw.uuid("vmdk modification")?);
    let none = uuid::Uuid::nil();
    // The geometry of LSI controllers (ibid., "The Disk Database").
    let (heads, track) = (255, 63);
    let cylinders = sectors.div_ceil(heads * track);
    let text = format!(
        "# Disk DescriptorFile\n\
         version=1\n\
         CID={identifier:08x}\n\
         parentCID=ffffffff\n\
         createType=\"{kind}\"\n\
         \n\
         # Extent description\n\
         RW {sectors} SPARSE \"disk.vmdk\"\n\
         \n\
         # The Disk Data Base\n\
         #DDB\n\
         \n\
         ddb.adapterType = \"ide\"\n\
         ddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"{heads}\"\n\
         ddb.geometry.sectors = \"{track}\"\n\
         ddb.uuid.image = \"{image}\"\n\
         ddb.uuid.modification = \"{modification}\"\n\
         ddb.uuid.parent = \"{none}\"\n\
         ddb.uuid.parentmodification = \"{none}\"\n\
         ddb.virtualHWVersion = \"8\"\n"
    );
    Ok(text.into_bytes())
}

/// Content, filled up with zeros to `sectors`.
pub(super) fn padded(content: &[u8], sectors: u64) -> io::Result<Vec<u8>> {
    let len = (sectors * SECTOR_BYTES) as usize;
    if content.len() > len {
        return Err(io::Error::other("a part of the disk image is too large"));
    }
    let mut padded = content.to_vec();
    padded.resize(len, 0);
    Ok(padded)
}
