//! FAT as programs use it: made by mkfs.fat, judged by fsck.fat, and read back by the tool.

use cargo_toro::volume::device::{Access, FileDevice};
use cargo_toro::volume::{Fat, NewMetadata, Volume, partitions};
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;
use vm_tests::{Boot, DiskBus, Guest, Machine, Nic, Site, ext2_image};

/// A FAT in a file that stays when its machine is gone.
struct Disk {
    folder: TempDir,
    /// Where the file system begins.
    start: u64,
}

const CONTENT: NewMetadata = NewMetadata {
    permissions: 0o644,
    modified: 1_700_000_000,
};

impl Disk {
    /// Made by `mkfs.fat` with these options; `kib` KiB.
    fn new(options: &str, kib: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Self { folder, start: 0 };
        let made = Command::new("mkfs.fat")
            .args(options.split_whitespace())
            .arg("-C")
            .arg(disk.path())
            .arg(kib.to_string())
            .output()
            .expect("mkfs.fat, of dosfstools");
        assert!(made.status.success(), "{made:?}");
        disk
    }

    /// The same as the first partition of a disk.
    fn in_partition(self) -> Self {
        const START: usize = 1 << 20;
        let content = std::fs::read(self.path()).expect("the image");
        let mut disk = vec![0; START];
        let sectors = |bytes: usize| u32::try_from(bytes / 512).expect("small").to_le_bytes();
        disk[450] = 0x0E;
        disk[454..458].copy_from_slice(&sectors(START));
        disk[458..462].copy_from_slice(&sectors(content.len()));
        disk[510..512].copy_from_slice(&[0x55, 0xAA]);
        disk.extend_from_slice(&content);
        std::fs::write(self.path(), disk).expect("room");
        Self {
            start: START as u64,
            ..self
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk.img")
    }

    fn open(&self) -> Fat {
        let device = FileDevice::open(&self.path(), Access::Write).expect("the image");
        let device = match self.start {
            0 => device,
            _ => partitions::open(device, 1).expect("a partition"),
        };
        Fat::open(device).expect("a FAT")
    }

    /// Puts the files there that the program looks for.
    fn filled(self, large: &[u8]) -> Self {
        let mut fat = self.open();
        let mut write = |path: &str, mut content: &[u8]| {
            let written = fat.write(path.as_bytes(), CONTENT, &mut content);
            written.expect("room");
        };
        write("from host.text", b"hello from the host\n");
        fat.make_directory(b"Sub Folder", CONTENT).expect("room");
        let mut write = |path: &str, mut content: &[u8]| {
            let written = fat.write(path.as_bytes(), CONTENT, &mut content);
            written.expect("room");
        };
        write("Sub Folder/LARGE.BIN", large);
        Box::new(fat).finish().expect("room");
        self
    }

    /// The file system alone, in a file of its own: a machine may have the disk.
    fn copy(&self) -> PathBuf {
        let path = self.folder.path().join("copy.img");
        let content = std::fs::read(self.path()).expect("the image");
        let start = usize::try_from(self.start).expect("small");
        std::fs::write(&path, &content[start..]).expect("room");
        path
    }

    /// A file as the tool reads it; none where there is none.
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let device = FileDevice::open(&self.copy(), Access::Read).expect("the image");
        let fat = Fat::open(device).expect("a FAT");
        fat.metadata(path.as_bytes()).expect("readable")?;
        let mut content = Vec::new();
        let read = fat.read(path.as_bytes(), &mut content);
        read.unwrap_or_else(|error| panic!("{path}: {error:#}"));
        Some(content)
    }

    fn judge(&self, option: &str) -> (Option<i32>, String) {
        let path = self.copy();
        let checked = Command::new("fsck.fat").arg(option).arg(&path).output();
        let checked = checked.expect("fsck.fat, of dosfstools");
        if option != "-n" {
            assert_eq!(self.start, 0);
            std::fs::copy(&path, self.path()).expect("room");
        }
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        (checked.status.code(), said)
    }

    /// fsck.fat has nothing to say.
    #[track_caller]
    fn is_sound(&self) {
        let (code, said) = self.judge("-n");
        assert!(code == Some(0) && !said.contains("irty"), "{code:?} {said}");
    }
}

/// As the program makes it.
fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut random = seed;
    let mut next = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn guest(args: &[&str]) -> Guest {
    Guest::new("test-storage")
        .args(args)
        .nic(Nic::None)
        .boot(Boot::Kernel)
}

#[test]
fn every_kind_of_fat_is_read_and_written() {
    for (options, kib, machine, bus, is_partition) in [
        ("-F 12", 2880, Machine::Pc, DiskBus::Ide, false),
        ("-F 16 -s 4", 32 << 10, Machine::Q35, DiskBus::Virtio, true),
        (
            "-F 32 -s 1",
            40 << 10,
            Machine::Microvm,
            DiskBus::Virtio,
            false,
        ),
        (
            "-F 16 -S 4096",
            64 << 10,
            Machine::Q35,
            DiskBus::Nvme,
            false,
        ),
    ] {
        let disk = Disk::new(options, kib);
        let disk = if is_partition {
            disk.in_partition()
        } else {
            disk
        };
        // The tool's own crate for FAT knows no other sectors.
        let disk = disk.filled(&content(7, 300_000));
        let machine = guest(&["fat", "/data"]).machine(machine).disk_bus(bus);
        let machine = match is_partition {
            true => machine
                .disk(&ext2_image(Site::new().path()), "/")
                .disk_at(&disk.path(), "")
                .kernel_word("mount=disk1.1:/data"),
            false => machine.disk_at(&disk.path(), "/data"),
        };
        machine.run().showing(0, &["all steps done"]);
        disk.is_sound();
        for (path, content) in [
            ("größe.text", &b"first"[..]),
            ("removed", b"another one"),
            ("large", &[0; 100_000]),
            ("copied", b"x"),
        ] {
            assert_eq!(
                disk.read(path).as_deref(),
                Some(content),
                "{path}, {options}"
            );
        }
        let names = disk.open().list(b"many").expect("a folder");
        assert_eq!(names.len(), 300, "{options}");
        assert!(
            disk.open()
                .metadata(b"moved up/level 2")
                .expect("readable")
                .is_some()
        );
        let root = disk.open().list(b"").expect("a folder");
        assert!(
            !root.iter().any(|(name, _)| name.starts_with(b".toro")),
            "{root:?}"
        );
    }
}

#[test]
fn any_sequence_leaves_what_it_leaves_on_linux_and_a_sound_fat() {
    for (seed, options, kib) in [
        ("1", "-F 12", 16 << 10),
        ("2", "-F 16 -s 1", 24 << 10),
        ("3", "-F 32 -s 1", 40 << 10),
    ] {
        let args = ["plain", "/data", seed, "1500"];
        let disk = Disk::new(options, kib);
        let ended = guest(&args).disk_at(&disk.path(), "/data").run();
        super::storage::same(&super::storage::on_host(&args), ended);
        disk.is_sound();
    }
}

#[test]
fn what_is_durable_on_a_fat_outlives_a_machine_that_is_cut_off() {
    let disk = Disk::new("-F 16 -s 1", 24 << 10);
    let mut durable = 0;
    for round in 0..3_u64 {
        let running = guest(&["cut", "/", "1"]).disk_at(&disk.path(), "/").start();
        running.wait_for(&format!("durable {}.", 3 + round * 4));
        std::thread::sleep(std::time::Duration::from_millis(37 * (round + 1)));
        let console = running.cut_off();
        let last = console.rfind("durable ").map(|at| &console[at + 8..]);
        let number = last.and_then(|rest| rest.split_once('.'));
        durable =
            durable.max(number.map_or(0, |(number, _)| number.parse::<u64>().unwrap_or(0)) + 1);
        let (code, said) = disk.judge("-a");
        assert!(matches!(code, Some(0 | 1)), "{code:?} {said}");
        disk.is_sound();
        let verified = guest(&["verify", "/", &durable.to_string()]);
        let console = verified.disk_at(&disk.path(), "/").run();
        let console = console.showing(0, &["all steps done"]);
        assert!(!console.contains("LOST"), "of {durable}:\n{console}");
        disk.is_sound();
    }
}

#[test]
fn a_fat_is_unmounted_however_the_program_ends_and_clean_at_rest() {
    let disk = Disk::new("-F 16", 16 << 10);
    for (how, status) in [("exit", 7), ("panic", 101), ("abort", 134)] {
        guest(&[how, "/"])
            .disk_at(&disk.path(), "/")
            .run()
            .with_status(status);
        disk.is_sound();
        assert_eq!(
            disk.read("written").as_deref(),
            Some([how, "/"].concat().as_bytes())
        );
    }
    let running = guest(&["rest", "/"]).disk_at(&disk.path(), "/").start();
    running.wait_for("resting");
    let started = std::time::Instant::now();
    let is_at_rest = || {
        let (code, said) = disk.judge("-n");
        code == Some(0)
            && !said.contains("irty")
            && disk.read("written").as_deref() == Some(b"before the rest")
    };
    while !is_at_rest() {
        assert!(started.elapsed() < vm_tests::DEADLINE, "it stays as it was");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    running.cut_off();
    disk.is_sound();
}

#[test]
fn an_image_without_the_driver_says_how_to_get_it() {
    let disk = Disk::new("-F 16", 16 << 10);
    let console = Guest::new("test-files")
        .args(&["read", "/data"])
        .disk_at(&disk.path(), "/data")
        .run()
        .with_status(70);
    let text = "cannot mount disk0 at /data: it is a FAT, and this image has no driver for it";
    assert!(console.contains(text), "{console}");
    assert!(console.contains("file-systems = [\"fat\"]"), "{console}");
}
