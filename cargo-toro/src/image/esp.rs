//! The EFI system partition of a boot disk: a FAT12 that holds nothing but `\EFI\BOOT\BOOTX64.EFI` (UEFI Specification 2.10,
//! 3.5.1.1 and 13.3; Microsoft, "FAT: General Overview of On-Disk Format", 1.03).
//!
//! Equal loaders make equal bytes: there are no times but the first that FAT can say.

use super::ImageError;

const SECTOR: usize = 512;
/// Sectors of the file system, each a cluster but those in front.
pub(super) const SECTORS: usize = 1920;
/// One table has the 12 bits of each cluster.
const TABLE_SECTORS: usize = 6;
const ROOT_ENTRIES: usize = 16;
const ENTRY: usize = 32;
/// First sector of the first cluster, which has the number 2: boot sector, two tables, root directory.
const DATA: usize = 1 + 2 * TABLE_SECTORS + ROOT_ENTRIES * ENTRY / SECTOR;
const CLUSTERS: usize = SECTORS - DATA;
/// 1 January 1980.
const DATE: [u8; 2] = [0x21, 0];
const DIRECTORY: u8 = 0x10;
const END: u16 = 0xFFF;

const _: () = assert!((CLUSTERS + 2) * 3 / 2 <= TABLE_SECTORS * SECTOR);
const _: () = assert!(CLUSTERS < 4085);

/// Clusters of the directories `EFI` and `BOOT`, and the first one of the file.
const EFI: u16 = 2;
const BOOT: u16 = 3;
const FILE: u16 = 4;

/// Makes the partition with a loader.
///
/// # Errors
/// [`ImageError`] when the loader is too large.
pub(super) fn make(loader: &[u8]) -> Result<Vec<u8>, ImageError> {
    let file_clusters = loader.len().div_ceil(SECTOR);
    let last = usize::from(FILE) + file_clusters - 1;
    if loader.is_empty() || last >= CLUSTERS + 2 {
        return Err(ImageError::Loader(
            "the one for UEFI does not fit its partition",
        ));
    }
    let mut disk = vec![0; SECTORS * SECTOR];
    disk[..SECTOR].copy_from_slice(&boot_sector(crc32fast::hash(loader)));

    let mut table = vec![0; TABLE_SECTORS * SECTOR];
    // The first two numbers are no clusters: the medium, and an end.
    set(&mut table, 0, 0xFF8);
    for cluster in [1, EFI, BOOT, last as u16] {
        set(&mut table, cluster, END);
    }
    for cluster in FILE..last as u16 {
        set(&mut table, cluster, cluster + 1);
    }
    for copy in 0..2 {
        disk[(1 + copy * TABLE_SECTORS) * SECTOR..][..table.len()].copy_from_slice(&table);
    }

    let file_len = loader.len() as u32;
    let root = DATA * SECTOR - ROOT_ENTRIES * ENTRY;
    let mut put = |at: usize, entries: &[[u8; ENTRY]]| {
        for (place, entry) in disk[at..].chunks_exact_mut(ENTRY).zip(entries) {
            place.copy_from_slice(entry);
        }
    };
    put(root, &[entry(b"EFI        ", DIRECTORY, EFI, 0)]);
    // The parent of a directory of the root has the number 0.
    put(
        place(EFI),
        &[
            entry(b".          ", DIRECTORY, EFI, 0),
            entry(b"..         ", DIRECTORY, 0, 0),
            entry(b"BOOT       ", DIRECTORY, BOOT, 0),
        ],
    );
    put(
        place(BOOT),
        &[
            entry(b".          ", DIRECTORY, BOOT, 0),
            entry(b"..         ", DIRECTORY, EFI, 0),
            entry(b"BOOTX64 EFI", 0, FILE, file_len),
        ],
    );
    disk[place(FILE)..][..loader.len()].copy_from_slice(loader);
    Ok(disk)
}

/// Where a cluster starts, in bytes.
fn place(cluster: u16) -> usize {
    (DATA + usize::from(cluster) - 2) * SECTOR
}

/// Sets the 12 bits of a cluster in a table.
fn set(table: &mut [u8], cluster: u16, value: u16) {
    let at = usize::from(cluster) * 3 / 2;
    let [low, high] = value.to_le_bytes();
    if cluster.is_multiple_of(2) {
        table[at] = low;
        table[at + 1] = table[at + 1] & 0xF0 | high & 0x0F;
    } else {
        table[at] = table[at] & 0x0F | low << 4;
        table[at + 1] = low >> 4 | high << 4;
    }
}

/// An entry of a directory: its name in 8 and 3 letters, what it is, its first cluster and its length in bytes.
fn entry(name: &[u8; 11], kind: u8, cluster: u16, len: u32) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..11].copy_from_slice(name);
    entry[11] = kind;
    for date in [16, 18, 24] {
        entry[date..date + 2].copy_from_slice(&DATE);
    }
    entry[26..28].copy_from_slice(&cluster.to_le_bytes());
    entry[28..].copy_from_slice(&len.to_le_bytes());
    entry
}

fn boot_sector(serial: u32) -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0xEB, 0x3C, 0x90]);
    put(3, b"TORO    ");
    // Bytes of a sector, sectors of a cluster, sectors in front, tables, entries of the root, sectors.
    put(11, &(SECTOR as u16).to_le_bytes());
    put(13, &[1, 1, 0, 2]);
    put(17, &(ROOT_ENTRIES as u16).to_le_bytes());
    put(19, &(SECTORS as u16).to_le_bytes());
    // A fixed disk, sectors of a table; a geometry, which nobody uses.
    put(21, &[0xF8]);
    put(22, &(TABLE_SECTORS as u16).to_le_bytes());
    put(24, &[63, 0, 255, 0]);
    put(36, &[0x80, 0, 0x29]);
    put(39, &serial.to_le_bytes());
    put(43, b"TORO       FAT12   ");
    put(510, &[0x55, 0xAA]);
    sector
}

#[cfg(test)]
mod tests {
    use super::{CLUSTERS, SECTOR, SECTORS, make};
    use std::io::Read as _;

    #[test]
    fn another_reader_finds_the_loader() {
        let loader: Vec<u8> = (0..9000_u32).flat_map(u32::to_le_bytes).collect();
        let disk = make(&loader).unwrap();
        assert_eq!(disk.len(), SECTORS * SECTOR);
        let volume =
            fatfs::FileSystem::new(std::io::Cursor::new(disk), fatfs::FsOptions::new()).unwrap();
        assert_eq!(volume.fat_type(), fatfs::FatType::Fat12);
        let mut found = Vec::new();
        let mut file = volume.root_dir().open_file("EFI/BOOT/BOOTX64.EFI").unwrap();
        file.read_to_end(&mut found).unwrap();
        assert_eq!(found, loader);
        let free = volume.stats().unwrap().free_clusters() as usize;
        assert_eq!(free, CLUSTERS - 2 - loader.len().div_ceil(SECTOR));
    }

    #[test]
    fn the_largest_loader_fills_it() {
        let most = (CLUSTERS - 2) * SECTOR;
        assert!(make(&vec![1; most]).is_ok());
        assert!(make(&vec![1; most + 1]).is_err());
        assert!(make(&[]).is_err());
    }
}
