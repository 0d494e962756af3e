//! The raw boot disk: boot sector, second stage, header, command line, ELF (ARCHITECTURE.md, "The
//! boot disk"). Other formats are made of this one.

use super::parts::LOADER;
use super::{ImageError, check_command_line};

const SECTOR: usize = 512;
/// First sector of partition 1, with the header.
const PARTITION_LBA: u32 = 2048;
/// First sector of the ELF.
const ELF_LBA: usize = 2056;
/// Sectors of the boot sector and the second stage.
const LOADER_SECTORS: usize = 63;
/// Length of the header up to its own CRC.
const HEADER_CHECKED: usize = 28;
/// Where the command line starts in the header's sector.
const COMMAND_LINE_AT: usize = 64;
/// Bytes between the header and the ELF.
const COMMAND_LINE_MOST: usize = (ELF_LBA - PARTITION_LBA as usize) * SECTOR - COMMAND_LINE_AT;
/// Disks grow in these steps: some hypervisors refuse other sizes.
const STEP: usize = 1024 * 1024;

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
    let len = (ELF_LBA * SECTOR + elf.len()).next_multiple_of(STEP);
    let sectors = u32::try_from(len / SECTOR).map_err(|_| ImageError::TooLarge)?;
    let elf_crc = crc32fast::hash(elf);

    let mut disk = vec![0; len];
    disk[..LOADER.len()].copy_from_slice(checked_loader(LOADER)?);
    // Disk signature, the same for the same ELF, and never 0.
    disk[440..444].copy_from_slice(&elf_crc.max(1).to_le_bytes());
    disk[446..462].copy_from_slice(&partition(sectors - PARTITION_LBA));
    let header = &mut disk[PARTITION_LBA as usize * SECTOR..];
    header[..HEADER_CHECKED + 4].copy_from_slice(&header_bytes(elf, elf_crc, command_line));
    header[COMMAND_LINE_AT..][..command_line.len()].copy_from_slice(command_line.as_bytes());
    disk[ELF_LBA * SECTOR..][..elf.len()].copy_from_slice(elf);
    Ok(disk)
}

/// The loader, if it leaves room for what an MBR holds and for partition 1.
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

/// The MBR entry of partition 1: active, type 0xDA (non-FS data).
fn partition(sectors: u32) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[0] = 0x80;
    entry[1..4].copy_from_slice(&chs(PARTITION_LBA));
    entry[4] = 0xda;
    entry[5..8].copy_from_slice(&chs(PARTITION_LBA + sectors - 1));
    entry[8..12].copy_from_slice(&PARTITION_LBA.to_le_bytes());
    entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    entry
}

/// Cylinder, head and sector of `lba` for 255 heads and 63 sectors, or the customary largest
/// address if it can't be said.
fn chs(lba: u32) -> [u8; 3] {
    let (cylinder, head, sector) = (lba / (255 * 63), lba / 63 % 255, lba % 63 + 1);
    if cylinder > 1023 {
        return [0xfe, 0xff, 0xff];
    }
    let [low, high, ..] = cylinder.to_le_bytes();
    [
        head.to_le_bytes()[0],
        sector.to_le_bytes()[0] | high << 6,
        low,
    ]
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
    use super::{ImageError, checked_loader, chs, disk_image};

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
    fn partition_1_covers_the_rest_of_the_disk() {
        let disk = disk_image(&[7; 3 << 20], "").unwrap();
        assert_eq!(disk[510..512], [0x55, 0xaa]);
        assert_eq!(disk[446..454], [0x80, 0x20, 0x21, 0, 0xda, 162, 34, 0]);
        assert_eq!(disk[454..458], 2048_u32.to_le_bytes());
        let sectors = u32::from_le_bytes(disk[458..462].try_into().unwrap());
        assert_eq!((2048 + sectors as usize) * 512, disk.len());
        assert!(disk[462..510].iter().all(|&byte| byte == 0));
        assert_ne!(disk[440..444], [0; 4]);
    }

    #[test]
    fn chs_is_capped_where_it_ends() {
        assert_eq!(chs(0), [0, 1, 0]);
        assert_eq!(chs(1024 * 255 * 63 - 1), [254, 0xff, 0xff]);
        assert_eq!(chs(1024 * 255 * 63), [0xfe, 0xff, 0xff]);
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
