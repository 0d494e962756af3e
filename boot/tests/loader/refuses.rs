//! What is wrong with a boot disk or a machine is said on COM1, and nothing is started.

use crate::disk::{change_header, disk};
use crate::kernel::elf;
use crate::machine::Machine;
use crate::starts::faulty;

/// Offset of the ELF on the disk.
const ELF: usize = 2056 * 512;

/// What the loader says about a disk with the test's kernel after `damage`.
fn complaint(name: &str, memory_mib: u32, damage: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut disk = disk(&elf(64 << 20), "");
    damage(&mut disk);
    let options = format!("-M pc -m {memory_mib} -drive file=DISK,format=raw");
    Machine::boot(name, &disk, &options).line()
}

#[test]
fn a_header_that_does_not_fit_its_crc() {
    let said = complaint("crc", 128, |disk| disk[2048 * 512 + 12] ^= 1);
    assert_eq!(said, "\r\nToro: the boot header is damaged\r\n");
}

#[test]
fn a_disk_without_header() {
    let said = complaint("no-header", 128, |disk| disk[2048 * 512] = b'X');
    assert_eq!(
        said,
        "\r\nToro: no boot header at sector 2048: this is no Toro boot disk\r\n"
    );
}

#[test]
fn a_header_of_another_version() {
    let version = 4_000_000_009_u32.to_le_bytes();
    let said = complaint("version", 128, |disk| change_header(disk, 8, &version));
    assert_eq!(
        said,
        "\r\nToro: the boot header has version 4000000009, this loader knows 1\r\n"
    );
}

#[test]
fn lengths_that_can_not_be() {
    let damaged = "\r\nToro: the boot header is damaged\r\n";
    let lengths: [(usize, &[u8]); 3] = [
        (12, &4033_u32.to_le_bytes()),
        (16, &0x8000_0000_u32.to_le_bytes()),
        (20, &[1]),
    ];
    for (at, bytes) in lengths {
        let said = complaint("lengths", 128, |disk| change_header(disk, at, bytes));
        assert_eq!(said, damaged, "at {at}");
    }
}

#[test]
fn a_truncated_disk() {
    // The kernel's data begins in sector 2056 + 16; the disk ends 100 sectors later.
    let said = complaint("truncated", 128, |disk| disk.truncate(ELF + 116 * 512));
    let expected = "\r\nToro: the BIOS can't read sector 2172 of the boot disk (INT 13h error ";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn a_virtio_disk_with_a_bad_sector() {
    let disk = disk(&elf(0), "");
    let options = faulty("virtio-blk-pci", "inject-error.0.once=off");
    let said = Machine::boot("virtio-bad", &disk, &options).line();
    // What begins within a sector goes through the buffer, 9 sectors; all behind is read at once. Status 1 is an error.
    assert_eq!(
        said,
        "\r\nToro: the virtio disk can't read from sector 2081 of the boot disk on (status 1)\r\n"
    );
}

#[test]
fn an_image_larger_than_memory() {
    let said = complaint("memory", 32, |_| {});
    // 2 MiB and 515 bytes, data, bss, stack, and 64 MiB more.
    assert_eq!(
        said,
        "\r\nToro: not enough memory: the image needs RAM up to 67 MiB\r\n"
    );
}

#[test]
fn an_image_that_ends_above_4_gib() {
    let said = complaint("above", 32, |disk| {
        disk[ELF + 64 + 2 * 56 + 40..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    });
    assert_eq!(
        said,
        "\r\nToro: not enough memory: the image needs RAM up to 4096 MiB\r\n"
    );
}

#[test]
fn a_segment_over_the_loader() {
    let said = complaint("low", 128, |disk| {
        disk[ELF + 64 + 24..][..4].copy_from_slice(&0x7c00_u32.to_le_bytes());
    });
    assert_eq!(
        said,
        "\r\nToro: the ELF on the boot disk has a damaged program header\r\n"
    );
}

#[test]
fn a_segment_outside_the_file() {
    let said = complaint("outside", 128, |disk| {
        disk[ELF + 64 + 8..][..4].copy_from_slice(&0x7fff_0000_u32.to_le_bytes());
    });
    assert_eq!(
        said,
        "\r\nToro: the ELF on the boot disk has a damaged program header\r\n"
    );
}

#[test]
fn what_is_no_elf() {
    let said = complaint("no-elf", 128, |disk| disk[ELF] = 0);
    assert_eq!(
        said,
        "\r\nToro: the boot disk holds no ELF that can be loaded\r\n"
    );
    let length = 40_u32.to_le_bytes();
    let said = complaint("no-elf", 128, |disk| change_header(disk, 16, &length));
    assert_eq!(
        said,
        "\r\nToro: the boot disk holds no ELF that can be loaded\r\n"
    );
}

#[test]
fn an_elf_without_pvh_entry() {
    // The note's type, behind the code.
    let said = complaint("no-entry", 128, |disk| disk[ELF + 4096 + 150 + 8] = 17);
    assert_eq!(
        said,
        "\r\nToro: the ELF on the boot disk has no PVH entry\r\n"
    );
}

#[test]
fn a_drive_without_lba() {
    // A BIOS reads floppies by cylinder, head and sector only.
    let disk = disk(&elf(0), "");
    let options = "-M pc -m 32 -drive file=DISK,format=raw,if=floppy";
    let said = Machine::boot("floppy", &disk, options).line();
    assert_eq!(
        said,
        "\r\nToro: the BIOS has no INT 13h extensions for this drive\r\n"
    );
}
