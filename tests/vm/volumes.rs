//! Disks as programs hold them without files: by name, by core, by block; mounts while the program runs.

use vm_tests::{Boot, DiskBus, Guest, Machine, Running, Site};

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
        (DiskBus::VirtioScsi, 2),
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

/// Bytes that count up to 250, for reading and writing by four cores.
fn counting() -> Vec<u8> {
    (0..4 << 20).map(|index| (index % 251) as u8).collect()
}

/// All cores at once on a disk with so many queues.
fn crowded(machine: Machine, cores: u32, queues: u32, more: &[&str], args: &[&str]) -> Guest {
    let several = format!("virtio-blk-device.num-queues={queues}");
    Guest::new("test-volumes")
        .machine(machine)
        .boot(Boot::Kernel)
        .disk_bus(DiskBus::Virtio)
        .cores(cores)
        .qemu(&["-global", &several])
        .qemu(more)
        .args(args)
        .disk_of(Site::new().with("a", "b").path(), "/data")
        .disk(&counting(), "")
}

/// How many requests came by each queue of the disk that had most, as QEMU saw it; none where it is too old to say (7.2 does).
fn requests(guest: &Running) -> Option<Vec<u32>> {
    let devices = guest.monitor("info virtio");
    let disks = devices.lines().filter(|line| line.contains("[virtio-blk]"));
    let of_disk = |line: &str| {
        let path = line.split_whitespace().next().expect("a path");
        let used = |queue| {
            let status = guest.monitor(&format!("info virtio-queue-status {path} {queue}"));
            let mut lines = status.lines().map(str::trim);
            let used = lines.find_map(|line| line.strip_prefix("used_idx:"))?;
            used.trim().parse().ok()
        };
        (0..).map_while(used).collect()
    };
    disks
        .map(of_disk)
        .max_by_key(|used: &Vec<u32>| used.iter().sum::<u32>())
}

#[test]
fn each_core_has_a_queue_of_the_disk_where_there_are_as_many() {
    let one_message = ["-global", "virtio-blk-pci.vectors=2"];
    let no_message = ["-global", "virtio-blk-pci.vectors=0"];
    for (machine, cores, queues, more) in [
        (Machine::Pc, 4, 1, &[][..]),
        (Machine::Pc, 4, 2, &[]),
        (Machine::Pc, 4, 4, &[]),
        (Machine::Pc, 2, 4, &[]),
        (Machine::Pc, 4, 4, &one_message),
        (Machine::Pc, 4, 4, &no_message),
        (Machine::Microvm, 4, 4, &[]),
    ] {
        let mut guest = crowded(machine, cores, queues, more, &["queues"]).start();
        guest.wait_for("queues: done");
        if let Some(requests) = requests(&guest) {
            // What none of our cores has is not there, or was never used.
            let used: Vec<_> = requests.iter().filter(|count| **count > 0).collect();
            assert_eq!(used.len(), cores.min(queues) as usize, "{requests:?}");
            // Each core reads 64 blocks, of which some of the disk's first 16 came with the first of all.
            assert!(used.iter().all(|count| **count >= 48), "{requests:?}");
        }
        guest.send("\n");
        guest.end().with_status(0);
    }
}

#[test]
fn a_sector_that_one_queue_cannot_read_no_queue_can_and_all_else_goes_on() {
    // In the middle of what is read, by the second core.
    let block = 65;
    let fault = format!(
        "[inject-error]\nevent = \"read_aio\"\nerrno = \"5\"\nsector = \"{}\"\nonce = \"off\"\n",
        block * 8
    );
    for (cores, queues) in [(2, 2), (4, 4), (4, 2), (4, 1)] {
        let args = ["queues", &block.to_string()];
        let guest = crowded(Machine::Pc, cores, queues, &[], &args).faults(&fault);
        let mut guest = guest.start();
        guest.wait_for("queues: done");
        guest.send("\n");
        guest.end().with_status(0);
    }
}
