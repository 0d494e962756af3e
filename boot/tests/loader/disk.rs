//! The boot disk, laid out as ARCHITECTURE.md says.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

#[path = "../../recipe.rs"]
mod recipe;

/// The loader, built once for all tests.
static LOADER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let toolchain = recipe::Toolchain::find().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("loader");
    std::fs::read(toolchain.boot_loader(folder, &out).unwrap()).unwrap()
});

/// A raw boot disk with `elf`.
pub(crate) fn disk(elf: &[u8], command_line: &str) -> Vec<u8> {
    assert!(LOADER.len() <= 63 * 512);
    let mut disk = vec![0; 2048 * 512];
    disk[..512].copy_from_slice(&LOADER[..512]);
    disk[34 * 512..][..LOADER.len() - 512].copy_from_slice(&LOADER[512..]);
    // Partition 1: active, type 0xDA, from LBA 2048.
    let sectors = u32::try_from(8 + elf.len().div_ceil(512)).unwrap();
    disk[446..454].copy_from_slice(&[0x80, 0x20, 0x21, 0, 0xda, 0xfe, 0xff, 0xff]);
    disk[454..458].copy_from_slice(&2048_u32.to_le_bytes());
    disk[458..462].copy_from_slice(&sectors.to_le_bytes());
    let mut header = b"TOROBOOT".to_vec();
    header.extend(1_u32.to_le_bytes());
    header.extend(u32::try_from(command_line.len()).unwrap().to_le_bytes());
    header.extend((elf.len() as u64).to_le_bytes());
    header.extend(crc(elf).to_le_bytes());
    header.extend(crc(&header).to_le_bytes());
    disk.extend(header);
    disk.resize(2048 * 512 + 64, 0);
    disk.extend(command_line.as_bytes());
    assert!(disk.len() <= 2056 * 512);
    disk.resize(2056 * 512, 0);
    disk.extend(elf);
    disk.resize(disk.len().next_multiple_of(1 << 20), 0);
    disk
}

/// Changes the header of a disk and gives it a CRC that fits.
pub(crate) fn change_header(disk: &mut [u8], at: usize, bytes: &[u8]) {
    let header = &mut disk[2048 * 512..][..512];
    header[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc(&header[..28]);
    header[28..32].copy_from_slice(&crc.to_le_bytes());
}

/// CRC-32 (IEEE 802.3).
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
    !bytes
        .iter()
        .fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}
