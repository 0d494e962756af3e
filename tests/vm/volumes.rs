//! Disks as programs hold them without files: by name, by core, by block; mounts while the program runs.

use vm_tests::{Boot, DiskBus, Guest, Site};

#[test]
fn disks_belong_to_cores_and_are_mounted_and_written_while_the_program_runs() {
    let pattern: Vec<u8> = (0..1 << 20).map(|index| (index % 251) as u8).collect();
    for (bus, cores) in [
        (DiskBus::Virtio, 1),
        (DiskBus::Virtio, 4),
        (DiskBus::Ide, 2),
        (DiskBus::Ahci, 2),
        (DiskBus::Nvme, 2),
        (DiskBus::Pvscsi, 2),
    ] {
        let site = Site::new().with("greeting", "hello\n");
        let guest = Guest::new("test-volumes").boot(Boot::Kernel).disk_bus(bus);
        let guest = guest
            .cores(cores)
            .disk_of(site.path(), "/data")
            .disk(&pattern, "")
            .disk_of(site.path(), "");
        guest.run().showing(0, &["volumes: done"]);
    }
}
