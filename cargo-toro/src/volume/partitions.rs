//! Partition tables of images: read as the kernel reads them, and made with one partition.
//!
//! An MBR is that of the PC (UEFI Specification 2.10, 5.2.1); a GPT is made by the crate `gpt`.

use super::device::FileDevice;
use crate::failure::Failure;
use anyhow::{Context, Result, bail};
use ext2::BlockDevice;
use std::collections::BTreeMap;
use std::io::Write;

/// The kernel's own reader: so a number means the same partition to both.
#[allow(
    dead_code,
    unreachable_pub,
    clippy::all,
    reason = "it is the kernel's, where all of it is used"
)]
#[path = "../../../kernel/src/storage/partition.rs"]
mod table;

pub use table::Partition;

/// Bytes of a sector; images have no others.
pub const SECTOR: u64 = 512;
/// Where partitions begin and end, in bytes.
pub const ALIGNMENT: u64 = 1 << 20;

/// A kind of partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Table {
    /// Four partitions in the first sector, as old as the PC
    Mbr,
    /// That of UEFI
    Gpt,
}

/// What is in a partition, for its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file system of Linux.
    Linux,
    /// FAT with so many bits an entry.
    Fat(u8),
}

/// The partitions of a disk, in the order of their table.
pub fn read(disk: &FileDevice) -> Result<Vec<Partition>> {
    let source = table::Source {
        sector_len_bytes: 512,
        sector_count: disk.len_bytes() / SECTOR,
        read: &|sector, buf: &mut [u8]| disk.read(sector.saturating_mul(SECTOR), buf),
    };
    if source.sector_count == 0 {
        return Ok(Vec::new());
    }
    let found = source.partitions();
    let found = found.map_err(|error| anyhow::anyhow!("the partition table: {error}"))?;
    // One that is damaged does not hide the others.
    Ok(found.into_iter().flatten().collect())
}

/// The part of a disk that is a partition.
pub fn open(disk: FileDevice, number: u32) -> Result<FileDevice> {
    let partitions = read(&disk)?;
    let Some(found) = partitions.iter().find(|found| found.number == number) else {
        let numbers: Vec<_> = partitions
            .iter()
            .map(|found| found.number.to_string())
            .collect();
        let help = if numbers.is_empty() {
            "it has no partitions: leave --partition away".to_owned()
        } else {
            format!("it has: {}", numbers.join(", "))
        };
        bail!(Failure::new(
            format!("there is no partition {number}"),
            help
        ));
    };
    let (start, len) = (found.first_sector * SECTOR, found.sector_count * SECTOR);
    disk.part(start, len)
        .with_context(|| format!("partition {number} is not wholly on the disk"))
}

/// Bytes of an image that a table takes before and behind its partition.
pub fn around(table: Table) -> (u64, u64) {
    match table {
        Table::Mbr => (ALIGNMENT, 0),
        Table::Gpt => (ALIGNMENT, ALIGNMENT),
    }
}

/// Writes a table with one partition, which takes all between [`around`]; `id` is a number for the disk.
pub fn write(disk: &FileDevice, table: Table, kind: Kind, id: [u8; 16]) -> Result<()> {
    let (before, behind) = around(table);
    let len = disk.len_bytes();
    let part = len
        .checked_sub(before + behind)
        .filter(|part| *part >= SECTOR)
        .context("the image is too small for a partition")?;
    match table {
        Table::Mbr => write_mbr(disk, before, part, kind, id),
        Table::Gpt => write_gpt(disk, before, part, kind, id),
    }
}

/// The largest address in cylinders, heads and sectors: look at the sector numbers instead.
const CHS_BEYOND: [u8; 3] = [0xFE, 0xFF, 0xFF];

fn write_mbr(disk: &FileDevice, start: u64, len: u64, kind: Kind, id: [u8; 16]) -> Result<()> {
    let sectors =
        |bytes: u64| u32::try_from(bytes / SECTOR).context("larger than an MBR can say: use gpt");
    let type_byte = match kind {
        Kind::Linux => 0x83,
        Kind::Fat(12) => 0x01,
        Kind::Fat(16) => 0x0E,
        Kind::Fat(_) => 0x0C,
    };
    let mut sector = [0; SECTOR as usize];
    sector[440..444].copy_from_slice(&id[..4]);
    let entry = &mut sector[446..462];
    entry[1..4].copy_from_slice(&CHS_BEYOND);
    entry[4] = type_byte;
    entry[5..8].copy_from_slice(&CHS_BEYOND);
    entry[8..12].copy_from_slice(&sectors(start)?.to_le_bytes());
    entry[12..16].copy_from_slice(&sectors(len)?.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xAA]);
    disk.write(0, &sector).context("cannot write the MBR")
}

fn write_gpt(disk: &FileDevice, start: u64, len: u64, kind: Kind, id: [u8; 16]) -> Result<()> {
    let mut stream = super::Stream::new(disk.try_clone()?);
    let total = disk.len_bytes() / SECTOR;
    let protected = u32::try_from(total - 1).unwrap_or(u32::MAX);
    let protective = gpt::mbr::ProtectiveMBR::with_lb_size(protected);
    protective
        .overwrite_lba0(&mut stream)
        .context("cannot write the protective MBR")?;
    let id_of = |last: u8| {
        let mut bytes = id;
        bytes[15] ^= last;
        uuid::Uuid::from_bytes(bytes)
    };
    let mut disk = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(gpt::disk::LogicalBlockSize::Lb512)
        .create_from_device(stream, Some(id_of(1)))
        .context("cannot make a GPT")?;
    let partition = gpt::partition::Partition {
        part_type_guid: match kind {
            Kind::Linux => gpt::partition_types::LINUX_FS,
            Kind::Fat(_) => gpt::partition_types::BASIC,
        },
        part_guid: id_of(2),
        first_lba: start / SECTOR,
        last_lba: (start + len) / SECTOR - 1,
        flags: 0,
        name: "data".into(),
    };
    disk.update_partitions(BTreeMap::from([(1, partition)]))
        .context("cannot make a GPT")?;
    let mut stream = disk.write().context("cannot write the GPT")?;
    Ok(stream.flush()?)
}
