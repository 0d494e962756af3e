//! Files: reading an ext2 disk, writing to the memory file system, and what cannot be done.

use std::process::Command;

use vm_tests::{Boot, DiskBus, Guest, Machine, Site, ext2_image};

fn site() -> Site {
    Site::new()
        .with("a.txt", "0123456789")
        .with("empty", "")
        .with(
            "lines",
            (0..1000)
                .map(|index| format!("line {index}\n"))
                .collect::<String>(),
        )
        .with("sub/deep/b.txt", "below")
}

fn guest(what: &str, folder: &str) -> Guest {
    Guest::new("test-files").args(&[what, folder])
}

#[test]
fn files_of_a_disk_are_read() {
    for (machine, boot, bus) in [
        (Machine::Pc, Boot::Disk, DiskBus::Ide),
        (Machine::Pc, Boot::Disk, DiskBus::Virtio),
        (Machine::Q35, Boot::Kernel, DiskBus::Ide),
        (Machine::Q35, Boot::Disk, DiskBus::Virtio),
        (Machine::Microvm, Boot::Kernel, DiskBus::Virtio),
    ] {
        let guest = guest("read", "/data").machine(machine).boot(boot);
        let guest = guest.disk_bus(bus);
        guest.disk_of(site().path(), "/data").run().showing(
            0,
            &[
                "text \"0123456789\"",
                "from 3 \"3456\"",
                "at 8",
                "rest \"89\", then 0 bytes",
                "behind 99, 0 bytes",
                "before the start Err(InvalidInput)",
                "a.txt: file true folder false len 10",
                "modified is known true",
                "sub: folder true",
                "through the folder \"below\"",
                "exists true false",
                "empty []",
                "lines 1000",
                "files: done",
            ],
        );
    }
}

#[test]
fn folders_of_a_disk_are_listed() {
    let mut site = site();
    for index in 0..300 {
        site = site.with(
            &format!("many/a file with a long name, number {index:03}"),
            "x".repeat(index),
        );
    }
    std::os::unix::fs::symlink("../a.txt", site.path().join("sub/link")).unwrap();
    let console = guest("tree", "/")
        .disk_of(site.path(), "/")
        .run()
        .with_status(0);
    for line in [
        "/a.txt 10",
        "/empty 0",
        "/sub/",
        "/sub/deep/b.txt 5",
        "/sub/link -> ../a.txt",
    ] {
        assert!(
            console.contains(&format!("{line}\r\n")),
            "{line} is missing:\n{console}"
        );
    }
    for index in 0..300 {
        let line = format!("/many/a file with a long name, number {index:03} {index}\r\n");
        assert!(console.contains(&line), "{line} is missing:\n{console}");
    }
}

#[test]
fn a_large_file_is_read_forwards_and_backwards() {
    // Beyond the direct and single indirect blocks of any block size that mkfs chooses.
    let content: Vec<u8> = (0..6_000_000_u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let sum = content
        .iter()
        .zip(1_u64..)
        .fold(0_u64, |sum, (byte, place)| {
            sum.wrapping_add(place.wrapping_mul(u64::from(*byte)))
        });
    let site = Site::new().with("large", &content);
    for bus in [DiskBus::Ide, DiskBus::Virtio] {
        guest("sum", "/large")
            .disk_bus(bus)
            .disk_of(site.path(), "/")
            .run()
            .showing(
                0,
                &[
                    &format!("forwards 6000000 bytes, sum {sum}"),
                    &format!("backwards 6000000 bytes, sum {sum}"),
                ],
            );
    }
}

#[test]
fn two_disks_are_mounted_where_they_are_named() {
    let (first, second) = (Site::new().with("one", "1"), Site::new().with("two", "22"));
    for (machine, bus) in [
        (Machine::Pc, DiskBus::Ide),
        (Machine::Pc, DiskBus::Virtio),
        (Machine::Microvm, DiskBus::Virtio),
    ] {
        let guest = guest("tree", "/")
            .machine(machine)
            .disk_bus(bus)
            .disk_of(first.path(), "/first")
            .disk_of(second.path(), "/second");
        guest
            .run()
            .showing(0, &["/first/one 1\r\n", "/second/two 2\r\n"]);
    }
}

#[test]
fn a_disk_without_a_folder_for_a_while_has_one_in_memory() {
    let home = tempfile::tempdir().expect("a folder");
    let disk = home.path().join("disk.img");
    let names = || {
        let mut listing = Command::new("debugfs");
        let listing = listing.args(["-R", "ls -p /"]).arg(&disk).output();
        let listing = listing.expect("debugfs, of e2fsprogs").stdout;
        String::from_utf8_lossy(&listing).into_owned()
    };
    std::fs::write(&disk, ext2_image(site().path())).expect("a disk");
    let ended = guest("write", "/tmp").disk_at(&disk, "/").run();
    ended.showing(0, &["files: done"]);
    assert!(!names().contains("/tmp/"), "{}", names());
    // One that it has is used.
    let own = site().with("tmp/a.txt", "");
    std::fs::write(&disk, ext2_image(own.path())).expect("a disk");
    let ended = guest("list", "/tmp").disk_at(&disk, "/").run();
    ended.showing(0, &["1 names, 1 of them different"]);
}

#[test]
fn the_memory_file_system_is_written() {
    guest("write", "/").run().showing(
        0,
        &[
            "appended \"first second\"",
            "changed \"fIRSt se\"",
            "longer \"fIRSt se\\0\\0\"",
            "again Err(AlreadyExists)\r\nagain Err(AlreadyExists)",
            "moved false 10",
            "/dev/tty is shown\r\n/dev/tty is a terminal true",
            "/dev/console is shown\r\n/dev/console is a terminal true",
            "not empty Err(DirectoryNotEmpty)",
            "large is whole true",
            "copied 1000000",
            "entries 201",
            "removed but open [0, 1, 2] false",
            "gone true",
            "files: done",
        ],
    );
}

#[test]
fn what_cannot_be_done_with_a_disk_is_an_error_of_its_kind() {
    guest("fail", "/data")
        .disk_of(site().path(), "/data,ro")
        .run()
        .showing(
            0,
            &[
                "open none: NotFound",
                "open below a file: NotADirectory",
                "read a folder: IsADirectory",
                "list a file: NotADirectory",
                "long name: InvalidFilename",
                "empty path: NotFound",
                "NUL in a path: InvalidInput",
                "write: ReadOnlyFilesystem",
                "append: ReadOnlyFilesystem",
                "create a folder: ReadOnlyFilesystem",
                "remove: ReadOnlyFilesystem",
                "rename: ReadOnlyFilesystem",
                "write what is open for reading: true",
            ],
        );
}

#[test]
fn files_of_the_image_are_read_and_not_changed() {
    let site = site();
    std::os::unix::fs::symlink("../a.txt", site.path().join("sub/link")).unwrap();
    for (machine, boot) in [(Machine::Pc, Boot::Disk), (Machine::Microvm, Boot::Kernel)] {
        let guest = |what: &str, folder: &str| {
            let guest = guest(what, folder).machine(machine).boot(boot);
            guest.embed(site.path(), "/srv/data")
        };
        guest("read", "/srv/data").run().showing(
            0,
            &[
                "text \"0123456789\"",
                "through the folder \"below\"",
                "lines 1000",
                "files: done",
            ],
        );
        guest("tree", "/").run().showing(
            0,
            &[
                "/srv/data/a.txt 10\r\n",
                "/srv/data/sub/deep/b.txt 5\r\n",
                "/srv/data/sub/link -> ../a.txt\r\n",
            ],
        );
    }
    guest("fail", "/srv/data")
        .embed(site.path(), "/srv/data")
        .run()
        .showing(
            0,
            &[
                "write: ReadOnlyFilesystem",
                "remove: ReadOnlyFilesystem",
                "open none: NotFound",
            ],
        );
    // The rest of the tree is written as ever.
    guest("write", "/tmp")
        .embed(site.path(), "/srv/data")
        .run()
        .showing(0, &["files: done"]);
}

#[test]
fn a_folder_of_ten_thousand_names_lists_each_of_them_once() {
    let mut site = Site::new();
    for index in 0..10_000 {
        site = site.with(&format!("many/name-{index:05}"), "");
    }
    let guest = Guest::new("test-files").args(&["list", "/many"]);
    let image = ext2_image(site.path());
    guest.disk(&image, "/").run().showing(
        0,
        &[
            "10000 names, 10000 of them different",
            "first Some(\"name-00000\"), last Some(\"name-09999\")",
        ],
    );
}
