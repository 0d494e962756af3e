//! A CD to boot from: the boot disk with an ISO 9660 file system (ECMA-119) and a boot catalogue (El Torito 1.0; UEFI Specification 2.10,
//! 13.3.2) in the sectors that are free between its loader and its EFI system partition. So one file is a CD and, on a USB stick, a disk.
//!
//! The file system shows the EFI system partition and the ELF, which other boot loaders can start. It has no dates: equal programs
//! make equal CDs.

use super::ImageError;
use super::disk::{ELF_LBA, ESP_LBA, SECTOR, STAGE2_LBA, disk_image};
use super::esp;
use super::parts::LOADER;

const CD_SECTOR: usize = 2048;
/// Sectors of a CD, in their order: ECMA-119 wants the first descriptor at 16.
const PRIMARY: usize = 16;
const BOOT_RECORD: usize = 17;
const TERMINATOR: usize = 18;
const CATALOGUE: usize = 19;
const LITTLE_PATHS: usize = 20;
const BIG_PATHS: usize = 21;
const ROOT: usize = 22;
/// The loader for BIOS as a whole, for a disk has it in two pieces.
const BIOS_LOADER: usize = 24;
const ESP: usize = ESP_LBA * SECTOR / CD_SECTOR;
const ELF: usize = ELF_LBA * SECTOR / CD_SECTOR;
/// The byte of the boot sector that says that it was loaded from a CD (`boot/src/mbr.rs`).
const IS_CD: usize = 439;
/// The path table has the root alone.
const PATHS_LEN: u32 = 10;
const DIRECTORY: u8 = 2;

const _: () = assert!(ESP * CD_SECTOR == ESP_LBA * SECTOR);
const _: () = assert!(ELF * CD_SECTOR == ELF_LBA * SECTOR);

/// Makes a CD of a finished ELF; what it says of the command line, and its errors, are those of [`disk_image`].
pub(crate) fn iso_image(elf: &[u8], command_line: &str) -> Result<Vec<u8>, ImageError> {
    let is_apart = STAGE2_LBA * SECTOR + LOADER.len() <= PRIMARY * CD_SECTOR
        && BIOS_LOADER * CD_SECTOR + LOADER.len() <= ESP * CD_SECTOR;
    if !is_apart {
        return Err(ImageError::Loader("it is too long for a CD"));
    }
    let mut disk = disk_image(elf, command_line)?;
    let cd_sectors = number(disk.len() / CD_SECTOR)?;
    let elf_len = number(elf.len())?;
    let mut put = |sector: usize, bytes: &[u8]| {
        disk[sector * CD_SECTOR..][..bytes.len()].copy_from_slice(bytes);
    };
    put(PRIMARY, &primary(cd_sectors));
    put(BOOT_RECORD, &boot_record());
    put(TERMINATOR, b"\xffCD001\x01");
    put(CATALOGUE, &catalogue());
    // Length of the name, of an attribute record; place, parent; the name of the root, and a byte to an even length.
    let paths = |place: [u8; 4], parent: [u8; 2]| {
        let mut paths = vec![1, 0];
        paths.extend(place);
        paths.extend(parent);
        paths.extend([0, 0]);
        paths
    };
    put(
        LITTLE_PATHS,
        &paths((ROOT as u32).to_le_bytes(), 1_u16.to_le_bytes()),
    );
    put(
        BIG_PATHS,
        &paths((ROOT as u32).to_be_bytes(), 1_u16.to_be_bytes()),
    );
    let root = [
        record(&[0], ROOT, CD_SECTOR as u32, DIRECTORY),
        record(&[1], ROOT, CD_SECTOR as u32, DIRECTORY),
        record(b"EFI.IMG;1", ESP, (esp::SECTORS * SECTOR) as u32, 0),
        record(b"TORO.ELF;1", ELF, elf_len, 0),
    ];
    put(ROOT, &root.concat());
    put(BIOS_LOADER, LOADER);
    disk[BIOS_LOADER * CD_SECTOR + IS_CD] = 1;
    Ok(disk)
}

fn number(len: usize) -> Result<u32, ImageError> {
    u32::try_from(len).map_err(|_| ImageError::TooLarge)
}

/// A number in both byte orders (ECMA-119, 7.3.3).
fn both(value: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&value.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// A directory record (9.1).
fn record(name: &[u8], place: usize, len: u32, flags: u8) -> Vec<u8> {
    let mut record = vec![0; (33 + name.len()).next_multiple_of(2)];
    record[0] = record.len() as u8;
    record[2..10].copy_from_slice(&both(place as u32));
    record[10..18].copy_from_slice(&both(len));
    record[25] = flags;
    // The volume, in both byte orders.
    record[28..32].copy_from_slice(&[1, 0, 0, 1]);
    record[32] = name.len() as u8;
    record[33..33 + name.len()].copy_from_slice(name);
    record
}

/// The primary volume descriptor (8.4).
fn primary(cd_sectors: u32) -> [u8; CD_SECTOR] {
    let mut sector = [0; CD_SECTOR];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x01CD001\x01");
    // System and volume; volume set to application; files.
    put(8, &[b' '; 64]);
    put(190, &[b' '; 512]);
    put(702, &[b' '; 111]);
    put(40, b"TORO");
    put(80, &both(cd_sectors));
    // Volumes of the set, the number of this one, bytes of a block.
    put(120, &[1, 0, 0, 1, 1, 0, 0, 1, 0, 8, 8, 0]);
    put(132, &both(PATHS_LEN));
    put(140, &(LITTLE_PATHS as u32).to_le_bytes());
    put(148, &(BIG_PATHS as u32).to_be_bytes());
    put(156, &record(&[0], ROOT, CD_SECTOR as u32, DIRECTORY));
    // Four dates that are not given: digits, and a time zone.
    for date in 0..4 {
        put(813 + date * 17, b"0000000000000000\0");
    }
    put(881, &[1]);
    sector
}

/// The boot record that names the catalogue (El Torito, figure 7).
fn boot_record() -> [u8; CD_SECTOR] {
    let mut sector = [0; CD_SECTOR];
    sector[..7].copy_from_slice(b"\0CD001\x01");
    sector[7..30].copy_from_slice(b"EL TORITO SPECIFICATION");
    sector[71..75].copy_from_slice(&(CATALOGUE as u32).to_le_bytes());
    sector
}

/// The catalogue: what BIOS starts, then a section for UEFI (El Torito, figures 2 to 5).
fn catalogue() -> [u8; 128] {
    const BIOS: u8 = 0;
    const UEFI: u8 = 0xEF;
    const BOOTABLE: u8 = 0x88;
    const LAST_SECTION: u8 = 0x91;
    let mut catalogue = [0; 128];
    catalogue[..2].copy_from_slice(&[1, BIOS]);
    catalogue[4..8].copy_from_slice(b"Toro");
    catalogue[30..32].copy_from_slice(&[0x55, 0xAA]);
    // All 16-bit words together make 0.
    let words = catalogue[..32].chunks_exact(2);
    let sum = words.fold(0_u16, |sum, word| {
        sum.wrapping_add(u16::from_le_bytes([word[0], word[1]]))
    });
    catalogue[28..30].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
    // No emulation, the usual segment; how many sectors of 512 bytes are read, and from where.
    let entry = |sectors: usize, place: usize| {
        let mut entry = [0; 32];
        entry[0] = BOOTABLE;
        entry[6..8].copy_from_slice(&(sectors as u16).to_le_bytes());
        entry[8..12].copy_from_slice(&(place as u32).to_le_bytes());
        entry
    };
    catalogue[32..64].copy_from_slice(&entry(LOADER.len() / SECTOR, BIOS_LOADER));
    catalogue[64..68].copy_from_slice(&[LAST_SECTION, UEFI, 1, 0]);
    catalogue[96..128].copy_from_slice(&entry(esp::SECTORS, ESP));
    catalogue
}

#[cfg(test)]
mod tests {
    use super::{CD_SECTOR, IS_CD, LOADER, catalogue, iso_image};
    use crate::image::disk::disk_image;

    #[test]
    fn a_cd_is_the_disk_but_for_what_lies_between_loader_and_system_partition() {
        let elf: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
        let disk = disk_image(&elf, "net=off").unwrap();
        let cd = iso_image(&elf, "net=off").unwrap();
        assert_eq!(cd.len(), disk.len());
        assert_eq!(cd[..0x8000], disk[..0x8000]);
        assert_eq!(cd[0x1_0000..], disk[0x1_0000..]);
        assert_eq!(&cd[0x8000..0x8006], b"\x01CD001");
    }

    #[test]
    fn the_catalogue_has_a_sum_of_zero_and_names_both_loaders() {
        let catalogue = catalogue();
        let sum = catalogue[..32].chunks_exact(2).fold(0_u16, |sum, word| {
            sum.wrapping_add(u16::from_le_bytes([word[0], word[1]]))
        });
        assert_eq!(sum, 0);
        let cd = iso_image(b"an ELF", "").unwrap();
        let place = |entry: usize| {
            u32::from_le_bytes(catalogue[entry + 8..entry + 12].try_into().unwrap()) as usize
        };
        let loader = &cd[place(32) * CD_SECTOR..][..LOADER.len()];
        assert_eq!(loader[IS_CD], 1);
        assert_eq!(loader[..IS_CD], LOADER[..IS_CD]);
        assert_eq!(loader[IS_CD + 1..], LOADER[IS_CD + 1..]);
        // A FAT begins with a jump, and ends its sector with its mark.
        let system = &cd[place(96) * CD_SECTOR..];
        assert_eq!((system[0], &system[510..512]), (0xEB, &[0x55, 0xAA][..]));
    }
}
