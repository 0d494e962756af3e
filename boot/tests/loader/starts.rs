//! The loader starts an ELF in the PVH start state, on the machines and disks that a BIOS knows.

use crate::disk::disk;
use crate::kernel::{Report, data_sum, elf};
use crate::machine::Machine;

const IDE: &str = "-drive file=DISK,format=raw";

/// Boots and checks all that holds on every machine.
fn boot(name: &str, options: &str) -> Report {
    let command_line = "mount=disk0:/data env=TEXT=\"a b\" -- one two";
    let disk = disk(&elf(0), command_line);
    let serial = Machine::boot(name, &disk, options).serial_at_end();
    let report = Report::read(&serial).expect("the report must be whole");
    let expected = [command_line.as_bytes(), b"\0"].concat();
    assert!(report.command_line.starts_with(&expected));
    check_state(&report);
    report
}

/// Boots as `boot`, and counts how often QEMU traced `event`.
fn boot_and_count(name: &str, options: &str, event: &str) -> usize {
    let trace = std::env::temp_dir().join(format!("toro-loader-{}-{name}", std::process::id()));
    let options = format!("{options} -trace enable={event},file={}", trace.display());
    boot(name, &options);
    let count = std::fs::read_to_string(&trace).unwrap().lines().count();
    std::fs::remove_file(&trace).unwrap();
    count
}

/// A machine whose boot disk, a `device`, can't read a sector in the middle of the ELF.
pub(crate) fn faulty(device: &str, when: &str) -> String {
    format!(
        "-M pc -m 32 -blockdev driver=file,node-name=file,filename=DISK \
         -blockdev driver=blkdebug,node-name=disk,image=file,inject-error.0.event=none,inject-error.0.iotype=read,\
         inject-error.0.sector=2600,{when} -device {device},drive=disk,rerror=report,werror=report"
    )
}

/// The kernel is whole and was started in the PVH start state.
pub(crate) fn check_state(report: &Report) {
    assert_eq!(
        report.data_sum,
        data_sum(),
        "the ELF must be loaded byte for byte"
    );
    assert_eq!(report.bss, 0, "what is not in the file must be zero");
    // PVH: protected mode without paging, interrupts, traps and virtual 8086 mode.
    assert_eq!(report.cr0, 0x11);
    assert_eq!(report.cr4, 0);
    assert_eq!(report.eflags & 0x2_0300, 0);
    assert_ne!(report.task_register, 0);
    // Magic, version, flags, modules, their address, RSDP, upper halves, reserved.
    assert_eq!(report.start_info(0), 0x336e_c578);
    assert_eq!(report.start_info(4), 1);
    for at in [8, 12, 16, 20, 28, 32, 36, 44, 52] {
        assert_eq!(report.start_info(at), 0, "hvm_start_info offset {at}");
    }
    assert_eq!(report.start_info(48) as usize, report.memory_map.len());
    let is_listed = |kind| report.memory_map.iter().any(|entry| entry.2 == kind);
    assert!(
        is_listed(1) && is_listed(2),
        "RAM and reserved ranges: {:x?}",
        report.memory_map
    );
}

/// `ram` (bytes below and above 4 GiB) is all of `-m`, but what the BIOS keeps for itself.
fn assert_ram(report: &Report, low_mib: u64, high_mib: u64) {
    let (low, high) = report.ram();
    assert_eq!(high, high_mib << 20);
    assert!(
        low <= low_mib << 20 && low > (low_mib << 20) - (1 << 20),
        "{low:#x}"
    );
}

#[test]
fn pc_with_8_mib() {
    assert_ram(&boot("pc-8", &format!("-M pc -m 8 {IDE}")), 8, 0);
}

#[test]
fn pc_with_4_gib() {
    assert_ram(
        &boot("pc-4096", &format!("-M pc -m 4096 {IDE}")),
        3072,
        1024,
    );
}

#[test]
fn q35_with_8_mib() {
    assert_ram(&boot("q35-8", &format!("-M q35 -m 8 {IDE}")), 8, 0);
}

#[test]
fn q35_with_4_gib() {
    assert_ram(
        &boot("q35-4096", &format!("-M q35 -m 4096 {IDE}")),
        2048,
        2048,
    );
}

#[test]
fn isapc_without_pci() {
    assert_ram(
        &boot("isapc", &format!("-M isapc -cpu qemu64 -m 32 {IDE}")),
        32,
        0,
    );
}

#[test]
fn every_place_of_an_ide_disk_is_read_by_dma() {
    for unit in 0..4 {
        let options = format!(
            "-M pc -m 32 -drive file=DISK,format=raw,if=none,id=d -device ide-hd,drive=d,bus=ide.{},unit={}",
            unit / 2,
            unit % 2,
        );
        let sectors = boot_and_count(&format!("ide-{unit}"), &options, "ide_sector_read");
        // The boot sector and its like, the second stage, the boot header; of the ELF, which has 1,400 sectors, none.
        assert!((5..50).contains(&sectors), "{sectors} sectors word by word");
    }
}

#[test]
fn what_dma_can_not_read_the_bios_reads() {
    // The first read of a sector in the middle of the ELF fails; the loader resets the disk and goes on by the BIOS.
    boot("dma-fails", &faulty("ide-hd", "inject-error.0.once=on"));
}

/// Reads of a virtio disk by the BIOS alone: the ELF's 1,400 sectors in pieces of 127, and more.
const BY_BIOS: usize = 15;

#[test]
fn a_virtio_disk_is_read_at_once_wherever_it_is() {
    let other = disk(&elf(0), "another");
    let path = std::env::temp_dir().join(format!("toro-loader-{}-other", std::process::id()));
    std::fs::write(&path, other).unwrap();
    let machines = [
        (
            "virtio-pc",
            "-M pc -m 32 -drive file=DISK,format=raw,if=virtio",
        ),
        (
            "virtio-q35",
            "-M q35 -m 32 -drive file=DISK,format=raw,if=virtio",
        ),
        // Behind another Toro disk, of which the BIOS does not boot.
        (
            "virtio-second",
            "-M pc -m 32 -drive file=OTHER,format=raw,if=virtio -drive file=DISK,format=raw,if=none,id=d \
             -device virtio-blk-pci,drive=d,bootindex=0",
        ),
    ];
    for (name, options) in machines {
        let options = options.replace("OTHER", path.to_str().unwrap());
        let reads = boot_and_count(name, &options, "virtio_blk_handle_read");
        assert!(reads < BY_BIOS, "{name}: {reads} reads");
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_virtio_disk_without_the_old_interface_is_read_by_the_bios() {
    let options = "-M q35 -m 32 -drive file=DISK,format=raw,if=none,id=d -device virtio-blk-pci,drive=d,disable-legacy=on";
    let reads = boot_and_count("virtio-new", options, "virtio_blk_handle_read");
    assert!(reads >= BY_BIOS, "{reads} reads");
}

#[test]
fn what_a_virtio_disk_can_not_read_is_tried_again() {
    boot(
        "virtio-fails",
        &faulty("virtio-blk-pci", "inject-error.0.once=on"),
    );
}

#[test]
fn the_longest_command_line() {
    let command_line = "x".repeat(4032);
    let disk = disk(&elf(0), &command_line);
    let options = format!("-M pc -m 32 {IDE}");
    let serial = Machine::boot("longest", &disk, &options).serial_at_end();
    let report = Report::read(&serial).expect("the report must be whole");
    assert_eq!(report.command_line[..4032], *command_line.as_bytes());
    assert_eq!(report.command_line[4032], 0);
    check_state(&report);
}
