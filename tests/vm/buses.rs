//! Disks on every bus: found, mounted, read, and booted from.

use vm_tests::{Boot, DiskBus, Guest, Machine, Site};

const PLACES: [(Machine, DiskBus); 12] = [
    (Machine::Pc, DiskBus::Ide),
    (Machine::Pc, DiskBus::Ahci),
    (Machine::Pc, DiskBus::Nvme),
    (Machine::Pc, DiskBus::Virtio),
    (Machine::Pc, DiskBus::Pvscsi),
    (Machine::Pc, DiskBus::VirtioScsi),
    (Machine::Q35, DiskBus::Ide),
    (Machine::Q35, DiskBus::Ahci),
    (Machine::Q35, DiskBus::Nvme),
    (Machine::Q35, DiskBus::Virtio),
    (Machine::Q35, DiskBus::Pvscsi),
    (Machine::Q35, DiskBus::VirtioScsi),
];

/// Bytes of no pattern that a block has.
fn content() -> Vec<u8> {
    (0..700_001_u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 23) as u8)
        .collect()
}

/// What the program prints of such a file.
fn sum() -> String {
    let content = content();
    let sum = (1_u64..).zip(&content).fold(0_u64, |sum, (place, byte)| {
        sum.wrapping_add(place.wrapping_mul(u64::from(*byte)))
    });
    format!("forwards {} bytes, sum {sum}", content.len())
}

#[test]
fn a_file_is_read_from_a_disk_on_every_bus() {
    let site = Site::new().with("large", content());
    for (machine, bus) in PLACES {
        for boot in [Boot::Disk, Boot::Kernel] {
            let guest = Guest::new("test-files").args(&["sum", "/large"]);
            let guest = guest.machine(machine).disk_bus(bus).boot(boot);
            let console = guest.disk_of(site.path(), "/").run().with_status(0);
            assert!(
                console.contains(&sum()),
                "{machine:?} {bus:?} {boot:?}: {console}"
            );
        }
    }
}

#[test]
fn a_file_is_read_from_virtio_disks_of_every_make() {
    let site = Site::new().with("large", content());
    let makes: [&[&str]; 5] = [
        &["disable-modern=on"],
        &["disable-legacy=on"],
        &["disable-legacy=on", "iommu_platform=on"],
        &["disable-legacy=on", "packed=on"],
        &["vectors=0"],
    ];
    for make in makes {
        let mut guest = Guest::new("test-files").args(&["sum", "/large"]);
        for property in make {
            guest = guest.qemu(&["-global", &format!("virtio-blk-pci.{property}")]);
        }
        let guest = guest.disk_bus(DiskBus::Virtio).boot(Boot::Kernel);
        let console = guest.disk_of(site.path(), "/").run().with_status(0);
        assert!(console.contains(&sum()), "{make:?}: {console}");
    }
}

#[test]
fn disks_count_in_the_order_in_which_they_are_named() {
    let sites: Vec<_> = (0..3)
        .map(|number| Site::new().with(&format!("this-is-{number}"), ""))
        .collect();
    for (machine, bus) in PLACES {
        let guest = Guest::new("test-files").args(&["tree", "/"]);
        let guest = guest.machine(machine).disk_bus(bus).boot(Boot::Disk);
        let guest = guest.disk_of(sites[0].path(), "/zero");
        let guest = guest.disk_of(sites[1].path(), "/one");
        let console = guest.disk_of(sites[2].path(), "/two").run().with_status(0);
        for file in ["/zero/this-is-0", "/one/this-is-1", "/two/this-is-2"] {
            assert!(
                console.contains(file),
                "{file} {machine:?} {bus:?}: {console}"
            );
        }
    }
}

/// As libvirt and Proxmox have them: several units of one target, and several adapters; and where QEMU puts them by itself.
#[test]
fn files_are_read_and_written_on_disks_behind_virtio_s_scsi_adapter() {
    let site = Site::new().with("large", content());
    for (adapter, places) in [
        ("virtio-scsi-pci", ["scsi-id=0,lun=0", "scsi-id=0,lun=5"]),
        (
            "virtio-scsi-pci,disable-legacy=on,num_queues=4",
            ["scsi-id=0,lun=1", "scsi-id=7,lun=0"],
        ),
        (
            "virtio-scsi-pci,disable-modern=on,vectors=0",
            ["scsi-id=255,lun=0", "scsi-id=255,lun=300"],
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut words = vec!["-device".to_owned(), adapter.to_owned()];
        for (number, place) in places.iter().enumerate() {
            let image = folder.path().join(format!("{number}.img"));
            std::fs::write(&image, vm_tests::ext2_image(site.path())).expect("an image");
            let drive = format!("if=none,id=s{number},format=raw,file={}", image.display());
            words.extend(["-drive".to_owned(), drive, "-device".to_owned()]);
            words.push(format!("scsi-hd,drive=s{number},{place}"));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let guest = Guest::new("test-files").args(&["sum", "/data/large"]);
        let guest = guest.kernel_word("mount=disk0:/ mount=disk1:/data");
        let console = guest.qemu(&words).run().with_status(0);
        assert!(console.contains(&sum()), "{adapter}: {console}");
        for number in 0..places.len() {
            let image = folder.path().join(format!("{number}.img"));
            let checked = std::process::Command::new("e2fsck")
                .arg("-fn")
                .arg(image)
                .output();
            assert!(checked.expect("e2fsck").status.success(), "{adapter}");
        }
    }
}
