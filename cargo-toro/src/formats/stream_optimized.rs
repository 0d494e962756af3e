//! VMDK, stream-optimized: compressed grains in one pass, which is what an OVA contains and ESXi and vSphere import (VMware, Virtual Disk
//! Format 5.0, "Stream-Optimized Compressed Sparse Extents").

use super::vmdk::{
    DESCRIPTOR_SECTORS, GRAIN_BYTES, GRAIN_SECTORS, TABLE_ENTRIES, TABLE_SECTORS, descriptor,
    header, padded,
};
use super::{Fields, Raw, SECTOR_BYTES, narrow};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::{self, Write};

/// Newlines are tested, grains are compressed, there are markers.
const FLAGS: u32 = 1 | 1 << 16 | 1 << 17;
/// The grain directory's place is in the footer.
const AT_END: u64 = u64::MAX;
/// Kinds of markers.
const END_OF_STREAM: u32 = 0;
const GRAIN_TABLE: u32 = 1;
const GRAIN_DIRECTORY: u32 = 2;
const FOOTER: u32 = 3;

/// An output that knows at which sector it is.
struct Sectors<'a> {
    output: &'a mut dyn Write,
    at: u64,
}

impl Sectors<'_> {
    /// Writes content, filled up to whole sectors; returns where.
    fn write(&mut self, content: &[u8]) -> io::Result<u64> {
        let (start, sectors) = (self.at, (content.len() as u64).div_ceil(SECTOR_BYTES));
        self.output.write_all(&padded(content, sectors)?)?;
        self.at += sectors;
        Ok(start)
    }

    fn marker(&mut self, sectors: u64, kind: u32) -> io::Result<()> {
        let mut marker = Fields::new(SECTOR_BYTES as usize);
        marker.le64(0, sectors);
        marker.le32(12, kind);
        self.write(&marker.bytes).map(drop)
    }
}

/// Writes the disk. Grains of zeros take no room.
pub(crate) fn write(raw: &Raw<'_>, output: &mut dyn Write) -> io::Result<()> {
    let capacity = raw.len_bytes() / SECTOR_BYTES;
    let filled = raw.filled_blocks(GRAIN_BYTES)?;
    let tables = capacity.div_ceil(GRAIN_SECTORS * TABLE_ENTRIES);
    let mut header = header(3, FLAGS, capacity);
    // Before the first grain: header and descriptor, and a whole grain's length.
    header.le64(64, GRAIN_SECTORS);
    header.le16(77, 1);
    header.le64(56, AT_END);
    let mut output = Sectors { output, at: 0 };
    output.write(&header.bytes)?;
    output.write(&padded(
        &descriptor(raw, "streamOptimized")?,
        DESCRIPTOR_SECTORS,
    )?)?;
    output.write(&vec![
        0;
        ((GRAIN_SECTORS - 1 - DESCRIPTOR_SECTORS) * SECTOR_BYTES)
            as usize
    ])?;

    let mut directory = vec![0u32; tables as usize];
    let mut grain = vec![0; GRAIN_BYTES as usize];
    let mut rest = filled.iter().peekable();
    for (number, entry) in (0..).zip(&mut directory) {
        let mut table = vec![0u32; TABLE_ENTRIES as usize];
        while let Some(index) = rest.next_if(|index| **index / TABLE_ENTRIES == number) {
            raw.read(index * GRAIN_BYTES, &mut grain)?;
            let mut compressed = Vec::new();
            let mut encoder = ZlibEncoder::new(&mut compressed, Compression::best());
            encoder.write_all(&grain)?;
            encoder.finish()?;
            let mut record = (index * GRAIN_SECTORS).to_le_bytes().to_vec();
            record.extend_from_slice(&narrow(compressed.len() as u64)?.to_le_bytes());
            record.extend_from_slice(&compressed);
            table[(index % TABLE_ENTRIES) as usize] = narrow(output.write(&record)?)?;
        }
        if table.iter().any(|&grain| grain != 0) {
            output.marker(TABLE_SECTORS, GRAIN_TABLE)?;
            *entry = narrow(output.write(&words(&table))?)?;
        }
    }
    let directory = words(&directory);
    output.marker(
        (directory.len() as u64).div_ceil(SECTOR_BYTES),
        GRAIN_DIRECTORY,
    )?;
    let directory_at = output.write(&directory)?;
    output.marker(1, FOOTER)?;
    header.le64(56, directory_at);
    output.write(&header.bytes)?;
    output.marker(0, END_OF_STREAM)
}

fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}
