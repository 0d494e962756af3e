//! The raw boot disk: a GPT with what a BIOS and what UEFI starts, and the partition with header, command line and ELF
//! (ARCHITECTURE.md, "The boot disk"). Other formats are made of this one.

use std::collections::BTreeMap;
use std::io::Cursor;

use gpt::partition::Partition;
use gpt::partition_types::{self, Type};
use uuid::Uuid;

use super::parts::{LOADER, UEFI_LOADER};
use super::{ImageError, check_command_line, esp};

pub(super) const SECTOR: usize = 512;
/// First sector of the BIOS loader's second stage: the first one behind the GPT. Its partition ends where the next one begins.
pub(super) const STAGE2_LBA: usize = 34;
/// First sector of the EFI system partition.
pub(super) const ESP_LBA: usize = 128;
/// First sector of partition 1, with the header.
const PARTITION_LBA: usize = ESP_LBA + esp::SECTORS;
/// First sector of the ELF.
pub(super) const ELF_LBA: usize = PARTITION_LBA + 8;
/// Sectors of the second GPT, at the end of the disk: 33, and what makes partition 1 end with a block of 4 KiB.
const BACKUP_SECTORS: usize = 40;
/// Most sectors of the boot sector and the second stage.
const LOADER_SECTORS: usize = 63;
/// Length of the header up to its own CRC.
const HEADER_CHECKED: usize = 28;
/// Where the command line starts in the header's sector.
const COMMAND_LINE_AT: usize = 64;
/// Bytes between the header and the ELF.
const COMMAND_LINE_MOST: usize = (ELF_LBA - PARTITION_LBA) * SECTOR - COMMAND_LINE_AT;
/// Disks grow in these steps: some hypervisors refuse other sizes.
const STEP: usize = 1024 * 1024;
/// The type of partition 1, Toro's own.
const KERNEL_TYPE: Type = Type {
    guid: Uuid::from_u128(0xa4d6_b1f2_6c3e_4b57_9e0d_7f5c_2a19_83e6),
    os: partition_types::OperatingSystem::None,
};

const _: () = assert!(PARTITION_LBA == 2048);
const _: () = assert!(STAGE2_LBA + LOADER_SECTORS - 1 <= ESP_LBA);

/// Makes a boot disk of a finished ELF. `command_line` is the loader's, read after the default.
///
/// # Errors
/// [`ImageError`] if the command line or the ELF does not fit.
pub(crate) fn disk_image(elf: &[u8], command_line: &str) -> Result<Vec<u8>, ImageError> {
    check_command_line(command_line)?;
    if command_line.len() > COMMAND_LINE_MOST {
        let len = command_line.len();
        return Err(ImageError::CommandLineTooLong {
            len,
            most: COMMAND_LINE_MOST,
        });
    }
    if elf.len() > i32::MAX as usize {
        return Err(ImageError::TooLarge);
    }
    let elf_sectors = elf.len().div_ceil(SECTOR);
    let len = ((ELF_LBA + elf_sectors + BACKUP_SECTORS) * SECTOR).next_multiple_of(STEP);
    let elf_crc = crc32fast::hash(elf);

    let mut disk = vec![0; len];
    let (boot_sector, stage2) = checked_loader(LOADER)?.split_at(SECTOR);
    disk[..SECTOR].copy_from_slice(boot_sector);
    disk[446..462].copy_from_slice(&protective(len / SECTOR));
    disk[STAGE2_LBA * SECTOR..][..stage2.len()].copy_from_slice(stage2);
    let system = esp::make(UEFI_LOADER)?;
    disk[ESP_LBA * SECTOR..][..system.len()].copy_from_slice(&system);
    let header = &mut disk[PARTITION_LBA * SECTOR..];
    header[..HEADER_CHECKED + 4].copy_from_slice(&header_bytes(elf, elf_crc, command_line));
    header[COMMAND_LINE_AT..][..command_line.len()].copy_from_slice(command_line.as_bytes());
    disk[ELF_LBA * SECTOR..][..elf.len()].copy_from_slice(elf);
    with_partitions(disk, elf_crc).map_err(|error| ImageError::Partitions(error.to_string()))
}

/// Writes the two GPTs of a boot disk. `id` is a number for the disk, the same for the same ELF.
fn with_partitions(disk: Vec<u8>, id: u32) -> Result<Vec<u8>, gpt::GptError> {
    let end = disk.len() / SECTOR - BACKUP_SECTORS;
    // Version 8 is for what its maker makes up (RFC 9562, 5.8).
    let guid = |part: u16| Uuid::from_fields(id, part, 0x8000, b"\x80\0TOROBT");
    let partition = |number: u16, kind: Type, name: &str, start: usize, end: usize| Partition {
        part_type_guid: kind,
        part_guid: guid(number),
        first_lba: start as u64,
        last_lba: end as u64 - 1,
        flags: 0,
        name: name.to_owned(),
    };
    let partitions = [
        partition(1, KERNEL_TYPE, "toro", PARTITION_LBA, end),
        partition(2, partition_types::EFI, "efi", ESP_LBA, PARTITION_LBA),
        partition(3, partition_types::BIOS, "bios", STAGE2_LBA, ESP_LBA),
    ];
    let mut table = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(gpt::disk::LogicalBlockSize::Lb512)
        .create_from_device(Cursor::new(disk), Some(guid(0)))?;
    table.update_partitions((1..).zip(partitions).collect::<BTreeMap<_, _>>())?;
    Ok(table.write()?.into_inner())
}

/// The loader, if it leaves room for what an MBR holds and for the EFI system partition.
fn checked_loader(loader: &[u8]) -> Result<&[u8], ImageError> {
    if loader.len() <= SECTOR || loader.len() > LOADER_SECTORS * SECTOR {
        return Err(ImageError::Loader(
            "its size is not that of 2 to 63 sectors",
        ));
    }
    if loader[510..512] != [0x55, 0xaa] {
        return Err(ImageError::Loader("its boot sector has no signature"));
    }
    if loader[440..510].iter().any(|&byte| byte != 0) {
        return Err(ImageError::Loader(
            "its code reaches into the partition table",
        ));
    }
    Ok(loader)
}

/// The entry of the protective MBR: all of the disk, type 0xEE, and not active, or UEFI would see no GPT behind it (UEFI
/// Specification 2.10, 5.2.3).
fn protective(sectors: usize) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[1..8].copy_from_slice(&[0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&1_u32.to_le_bytes());
    let behind = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    entry[12..16].copy_from_slice(&behind.to_le_bytes());
    entry
}

fn header_bytes(elf: &[u8], elf_crc: u32, command_line: &str) -> [u8; HEADER_CHECKED + 4] {
    let mut header = [0; HEADER_CHECKED + 4];
    header[..8].copy_from_slice(b"TOROBOOT");
    header[8..12].copy_from_slice(&1_u32.to_le_bytes());
    // The caller has checked that it fits.
    let [a, b, ..] = command_line.len().to_le_bytes();
    header[12..16].copy_from_slice(&[a, b, 0, 0]);
    header[16..24].copy_from_slice(&(elf.len() as u64).to_le_bytes());
    header[24..28].copy_from_slice(&elf_crc.to_le_bytes());
    let crc = crc32fast::hash(&header[..HEADER_CHECKED]);
    header[28..32].copy_from_slice(&crc.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::{ImageError, checked_loader, disk_image};

    /// CRC-32 (IEEE 802.3) bit by bit, as a check that does not depend on the crate used above.
    fn crc(bytes: &[u8]) -> u32 {
        let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
        !bytes
            .iter()
            .fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
    }

    #[test]
    fn header_command_line_and_elf_are_where_the_contract_says() {
        let elf: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
        let disk = disk_image(&elf, "net=off").unwrap();
        assert_eq!(disk.len() % (1024 * 1024), 0);
        let header = &disk[2048 * 512..];
        assert_eq!(&header[..8], b"TOROBOOT");
        assert_eq!(header[8..12], 1_u32.to_le_bytes());
        assert_eq!(header[12..16], 7_u32.to_le_bytes());
        assert_eq!(header[16..24], 20_000_u64.to_le_bytes());
        assert_eq!(header[24..28], crc(&elf).to_le_bytes());
        assert_eq!(header[28..32], crc(&header[..28]).to_le_bytes());
        assert_eq!(&header[64..72], b"net=off\0");
        assert_eq!(disk[2056 * 512..][..elf.len()], elf);
    }

    #[test]
    fn the_partitions_cover_the_disk_between_the_tables() {
        let disk = disk_image(&[7; 3 << 20], "").unwrap();
        assert_eq!(disk.len(), 5 << 20);
        assert_eq!(disk[440..451], [0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0xee]);
        assert!(disk[462..510].iter().all(|&byte| byte == 0));
        assert_eq!(disk[510..512], [0x55, 0xaa]);
        let sectors = disk.len() as u64 / 512;
        let table = gpt::GptConfig::new()
            .writable(false)
            .open_from_device(std::io::Cursor::new(disk))
            .unwrap();
        let places: Vec<_> = table
            .partitions()
            .values()
            .map(|found| (found.name.as_str(), found.first_lba, found.last_lba))
            .collect();
        let last = sectors - 41;
        let wanted = [("toro", 2048, last), ("efi", 128, 2047), ("bios", 34, 127)];
        assert_eq!(places, wanted);
        // Both tables are there.
        assert_eq!(table.primary_header().unwrap().backup_lba, sectors - 1);
        assert_eq!(table.backup_header().unwrap().current_lba, sectors - 1);
    }

    #[test]
    fn equal_programs_make_equal_disks() {
        assert_eq!(disk_image(b"ELF", "a"), disk_image(b"ELF", "a"));
    }

    #[test]
    fn the_longest_command_line_ends_where_the_elf_begins() {
        let disk = disk_image(b"ELF", &"x".repeat(4032)).unwrap();
        assert_eq!(&disk[2056 * 512 - 1..][..4], b"xELF");
        let longer = disk_image(b"ELF", &"x".repeat(4033));
        assert_eq!(
            longer,
            Err(ImageError::CommandLineTooLong {
                len: 4033,
                most: 4032
            })
        );
        assert_eq!(disk_image(b"ELF", "\0"), Err(ImageError::CommandLineNul));
    }

    #[test]
    fn a_loader_that_does_not_fit_is_refused() {
        let mut loader = vec![0; 1024];
        assert!(checked_loader(&loader).is_err());
        loader[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert!(checked_loader(&loader).is_ok());
        loader[446] = 1;
        assert!(checked_loader(&loader).is_err());
        loader[446] = 0;
        loader.resize(64 * 512, 0);
        assert!(checked_loader(&loader).is_err());
    }
}
