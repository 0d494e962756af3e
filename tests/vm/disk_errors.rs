//! Disks that fail: an error reaches the program that reads, a passing one does not, and nothing hangs.

use vm_tests::{Boot, DiskBus, Guest, Machine, Running, Site, ext2_image};

const BUSES: [(Machine, DiskBus); 6] = [
    (Machine::Pc, DiskBus::Ide),
    (Machine::Q35, DiskBus::Ahci),
    (Machine::Pc, DiskBus::Nvme),
    (Machine::Pc, DiskBus::Virtio),
    (Machine::Pc, DiskBus::Pvscsi),
    (Machine::Pc, DiskBus::VirtioScsi),
];

fn content() -> Vec<u8> {
    (0..2_000_000_u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 23) as u8)
        .collect()
}

/// An ext2 image with that file, and the sector that has its middle.
fn image() -> (Vec<u8>, usize) {
    let content = content();
    let image = ext2_image(Site::new().with("large", &content).path());
    let middle = &content[1 << 20..][..512];
    let sector = image.as_chunks::<512>().0.iter();
    let sector = sector.enumerate().find(|(_, sector)| *sector == middle);
    (image.clone(), sector.expect("the file's middle").0)
}

/// Reads of that sector fail: `once`, or always.
fn read_fault(sector: usize, once: &str) -> String {
    format!(
        "[inject-error]\nevent = \"read_aio\"\nerrno = \"5\"\nsector = \"{sector}\"\nonce = \"{once}\"\n"
    )
}

fn reading(machine: Machine, bus: DiskBus, fault: &str, image: &[u8]) -> Guest {
    let guest = Guest::new("test-files").args(&["sum", "/large"]);
    let guest = guest.machine(machine).disk_bus(bus).boot(Boot::Kernel);
    guest.disk(image, "/").faults(fault)
}

#[test]
fn a_sector_that_cannot_be_read_is_an_error_of_the_program_that_reads_it() {
    let (image, sector) = image();
    for (machine, bus) in BUSES {
        let guest = reading(machine, bus, &read_fault(sector, "off"), &image);
        let console = guest.run().with_status(1);
        assert!(console.contains("code: 5"), "{bus:?}: {console}");
        assert!(
            console.contains("the disk reports an error"),
            "{bus:?}: {console}"
        );
    }
}

#[test]
fn an_error_that_passes_is_not_noticed_by_the_program() {
    let (image, sector) = image();
    for (machine, bus) in BUSES {
        let guest = reading(machine, bus, &read_fault(sector, "on"), &image);
        guest.run().showing(0, &["forwards 2000000 bytes"]);
    }
}

/// Writes to a disk on each bus that fails with this error as `rule` says, and returns what the console showed.
fn syncing(errno: i32, rule: &str) -> impl Iterator<Item = (DiskBus, String)> {
    let image = ext2_image(Site::new().with("there", "content").path());
    BUSES.into_iter().map(move |(machine, bus)| {
        let fault = format!("[inject-error]\nerrno = \"{errno}\"\nonce = \"off\"\n{rule}");
        let guest = Guest::new("test-files").args(&["sync", "/"]);
        let guest = guest.machine(machine).disk_bus(bus).boot(Boot::Kernel);
        let console = guest.disk(&image, "/").faults(&fault).run().console;
        assert!(!console.contains("panicked"), "{bus:?}: {console}");
        (bus, console)
    })
}

/// EIO for what was to be durable, EROFS for what comes then: the disk stays as it was, and can be read.
fn stops_writing(bus: DiskBus, console: &str) {
    let expected = [
        "sync: error Some(5)",
        "create: error Some(30)",
        "read: went well",
        "files: done",
    ];
    for line in expected {
        assert!(console.contains(line), "{bus:?}, no {line}: {console}");
    }
}

#[test]
fn a_disk_that_cannot_be_written_fails_the_sync_and_can_still_be_read() {
    for (bus, console) in syncing(5, "event = \"write_aio\"\niotype = \"write\"\n") {
        stops_writing(bus, &console);
    }
}

/// QEMU would stop the machine, if nobody told it otherwise.
#[test]
fn a_host_that_has_no_space_left_for_the_image_fails_the_sync() {
    for (bus, console) in syncing(28, "event = \"write_aio\"\niotype = \"write\"\n") {
        stops_writing(bus, &console);
    }
}

#[test]
fn a_disk_that_cannot_flush_fails_the_sync_and_can_still_be_read() {
    for (bus, console) in syncing(5, "event = \"flush_to_disk\"\niotype = \"flush\"\n") {
        stops_writing(bus, &console);
    }
}

/// A service with a small file, which is in memory, and a large one, which is not.
fn serving(machine: Machine, bus: DiskBus) -> Running {
    let site = Site::new()
        .with("web/index.html", "small")
        .with("web/large.bin", content());
    let guest = Guest::new("static-web").machine(machine).disk_bus(bus);
    let guest = guest.boot(Boot::Kernel).log_info();
    let guest = guest.disk_of(site.path(), "/").start();
    guest.wait_for("Serving /web on port 80");
    guest.wait_for("by DHCP");
    assert_eq!(guest.http().get("/").text(), "small");
    guest
}

/// The large file cannot be read, and the service goes on and ends as it should.
fn survives(guest: Running) {
    let mut client = guest.http();
    client.send("GET /large.bin HTTP/1.1\r\nHost: toro\r\nConnection: close\r\n\r\n");
    let answer = client.rest();
    assert!(answer.len() < 2_000_000, "{} bytes", answer.len());
    guest.wait_for("the disk reports an error");
    for _ in 0..10 {
        assert_eq!(guest.http().get("/").text(), "small");
    }
    guest.power_button();
    let console = guest.end().console;
    assert!(!console.contains("panicked"), "{console}");
}

#[test]
fn a_service_goes_on_when_its_disk_goes_away() {
    for (machine, bus) in BUSES {
        let guest = serving(machine, bus);
        guest.monitor("drive_del disk0");
        survives(guest);
    }
}

/// QEMU lets no other disks shrink while they are in use.
#[test]
fn a_service_goes_on_when_its_disk_shrinks() {
    let guest = serving(Machine::Pc, DiskBus::Virtio);
    assert_eq!(guest.monitor("block_resize disk0 1M"), "");
    survives(guest);
}
