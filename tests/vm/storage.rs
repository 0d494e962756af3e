//! File systems as programs use them: to the same effect as on this host, on memory and on ext2, which e2fsck finds nothing wrong with afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;
use vm_tests::{Boot, DiskBus, Ended, Guest, Machine, Nic, Site, ext2_image};

/// An ext2 disk that stays when its machine is gone.
struct Disk {
    folder: TempDir,
}

impl Disk {
    /// Made by `mke2fs` with these options.
    fn new(options: &str, size: &str) -> Self {
        let disk = Self::empty();
        let made = Command::new("mke2fs")
            .args(["-q", "-F", "-t", "ext2"])
            .args(options.split_whitespace())
            .arg(disk.path())
            .arg(size)
            .output()
            .expect("mke2fs");
        assert!(made.status.success(), "{made:?}");
        disk
    }

    fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk.img")
    }

    /// e2fsck has nothing to say.
    #[track_caller]
    fn is_sound(&self) {
        let checked = Command::new("e2fsck")
            .arg("-fn")
            .arg(self.path())
            .output()
            .expect("e2fsck");
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success(), "{said}");
        assert!(!said.contains('?'), "{said}");
        // Whether it was unmounted is not among what it looks at.
        assert!(self.is_clean(), "it was not unmounted");
    }

    /// The superblock says that it was unmounted ("The Second Extended File System", `s_state`).
    fn is_clean(&self) -> bool {
        let bytes = std::fs::read(self.path()).expect("the image");
        bytes[1024 + 58..1024 + 60] == [1, 0]
    }

    /// The same, and there is a file of that name.
    fn is_clean_with(&self, name: &str) -> bool {
        let found = Command::new("debugfs")
            .args(["-R", &format!("stat {name}")])
            .arg(self.path())
            .output()
            .expect("debugfs");
        self.is_clean() && String::from_utf8_lossy(&found.stdout).contains("Type: regular")
    }

    /// e2fsck repairs it.
    #[track_caller]
    fn is_repaired(&self) {
        let repaired = Command::new("e2fsck")
            .arg("-fy")
            .arg(self.path())
            .output()
            .expect("e2fsck");
        let said = String::from_utf8_lossy(&repaired.stdout);
        let code = repaired.status.code();
        assert!(matches!(code, Some(0 | 1)), "{code:?} {said}");
        self.is_sound();
    }
}

fn guest(args: &[&str]) -> Guest {
    Guest::new("test-storage")
        .args(args)
        .nic(Nic::None)
        .boot(Boot::Kernel)
}

/// What the program shows on this host, in an empty folder.
pub(crate) fn on_host(args: &[&str]) -> String {
    static PROGRAM: OnceLock<()> = OnceLock::new();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let cargo = |verb: &str| {
        let mut command = Command::new(env!("CARGO"));
        command.args([
            verb,
            "--quiet",
            "--release",
            "--package",
            "test-storage",
            "--manifest-path",
        ]);
        command.arg(&manifest);
        command
    };
    PROGRAM.get_or_init(|| {
        let built = cargo("build").status().expect("cargo");
        assert!(built.success());
    });
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = cargo("run");
    command
        .arg("--")
        .arg(args[0])
        .arg(folder.path())
        .args(&args[2..]);
    let output = command.output().expect("cargo");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{args:?} fails here:\n{shown}{errors}"
    );
    shown
}

/// The machine shows what the host shows, line by line.
#[track_caller]
pub(crate) fn same(here: &str, ended: Ended) {
    let there = ended.showing(0, &["all steps done"]);
    let mut rest = there.lines();
    let mut last = "";
    for line in here.lines() {
        assert!(
            rest.any(|other| other == line),
            "after {last:?} the host shows {line:?}, the machine not:\n{there}"
        );
        last = line;
    }
}

#[test]
fn memory_is_a_file_system_as_on_linux() {
    let args = ["steps", "/tmp"];
    same(&on_host(&args), guest(&args).run());
}

#[test]
fn ext2_is_a_file_system_as_on_linux() {
    let args = ["steps", "/"];
    let here = on_host(&args);
    for (options, machine, bus) in [
        ("-b 1024 -O ^resize_inode", Machine::Pc, DiskBus::Ide),
        ("-b 4096", Machine::Q35, DiskBus::Virtio),
        ("-b 4096", Machine::Q35, DiskBus::Ahci),
        ("-b 1024", Machine::Pc, DiskBus::Nvme),
        ("-b 4096", Machine::Pc, DiskBus::Pvscsi),
    ] {
        let disk = Disk::new(options, "24M");
        let guest = guest(&args).machine(machine).disk_bus(bus);
        same(&here, guest.disk_at(&disk.path(), "/").run());
        disk.is_sound();
    }
}

#[test]
fn disks_without_a_cache_of_their_own_are_written_too() {
    let args = ["steps", "/data"];
    let here = on_host(&args);
    for (device, controller) in [
        ("virtio-blk-pci", None),
        ("ide-hd,bus=ide.0", None),
        ("nvme,serial=1", None),
        ("ide-hd,bus=ahci.0", Some("ahci,id=ahci")),
    ] {
        let disk = Disk::new("-b 1024", "24M");
        let drive = format!(
            "if=none,id=data,format=raw,cache=writethrough,file={}",
            disk.path().display()
        );
        let device = format!("{device},drive=data");
        let mut words = Vec::new();
        words.extend(controller.map(|name| ["-device", name]));
        words.extend([["-drive", &drive], ["-device", &device]]);
        let guest = guest(&args).qemu(words.as_flattened());
        let guest = guest.kernel_word("mount=disk0:/data");
        same(&here, guest.run());
        disk.is_sound();
    }
}

#[test]
fn any_sequence_leaves_what_it_leaves_on_linux_and_nothing_to_repair() {
    for (seed, options) in [
        ("1", "-b 1024"),
        ("2", "-b 2048"),
        ("3", "-b 4096"),
        ("4", "-b 1024 -r 0"),
        ("5", "-b 4096 -I 128"),
    ] {
        let args = ["random", "/data", seed, "1500"];
        let disk = Disk::new(options, "16M");
        same(
            &on_host(&args),
            guest(&args).disk_at(&disk.path(), "/data").run(),
        );
        disk.is_sound();
    }
}

#[test]
fn what_is_durable_outlives_a_machine_that_is_cut_off() {
    for (seed, options, bus) in [
        ("1", "-b 1024", DiskBus::Virtio),
        ("2", "-b 4096", DiskBus::Virtio),
        ("3", "-b 1024", DiskBus::Ide),
    ] {
        let disk = Disk::new(options, "16M");
        let mut durable = 0;
        // The same disk again and again, as it was left.
        for round in 0..4_u64 {
            let guest = guest(&["cut", "/", seed]).disk_bus(bus);
            let running = guest.disk_at(&disk.path(), "/").start();
            running.wait_for(&format!("durable {}.", 3 + round * 4));
            // Somewhere in the work that follows.
            std::thread::sleep(std::time::Duration::from_millis(37 * (round + 1)));
            let console = running.cut_off();
            let last = console.rfind("durable ").map(|at| &console[at + 8..]);
            let number = last.and_then(|rest| rest.split_once('.'));
            durable =
                durable.max(number.map_or(0, |(number, _)| number.parse::<u64>().unwrap_or(0)) + 1);
            if round % 2 == 0 {
                disk.is_repaired();
            }
            let count = durable.to_string();
            let verified = self::guest(&["verify", "/", &count])
                .disk_at(&disk.path(), "/")
                .run();
            let console = verified.showing(0, &["all steps done"]);
            assert!(!console.contains("LOST"), "of {durable}:\n{console}");
        }
    }
}

#[test]
fn a_machine_at_rest_leaves_nothing_to_repair() {
    let disk = Disk::new("-b 1024", "16M");
    let running = guest(&["rest", "/"]).disk_at(&disk.path(), "/").start();
    running.wait_for("resting");
    let started = std::time::Instant::now();
    while !disk.is_clean_with("/written") {
        assert!(started.elapsed() < vm_tests::DEADLINE, "it stays as it was");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    running.cut_off();
    disk.is_sound();
}

#[test]
fn however_a_program_ends_its_disk_is_unmounted() {
    for (how, status) in [("exit", 7), ("panic", 101), ("abort", 134)] {
        let disk = Disk::new("-b 1024", "16M");
        guest(&[how, "/"])
            .disk_at(&disk.path(), "/")
            .run()
            .with_status(status);
        disk.is_sound();
        assert!(disk.is_clean_with("/written"), "{how}");
    }
    let disk = Disk::new("-b 1024", "16M");
    let running = guest(&["rest", "/"]).disk_at(&disk.path(), "/").start();
    running.wait_for("resting");
    running.power_button();
    running.end().with_status(130);
    disk.is_sound();
    assert!(disk.is_clean_with("/written"));
}

#[test]
fn a_disk_that_is_full_or_only_to_be_read_is_an_error() {
    let site = Site::new().with("a.txt", "0123456789");
    let args = ["fail", "/"];
    let full = Disk::new("-b 1024 -N 64", "128k");
    let console = guest(&args).disk_at(&full.path(), "/").run();
    console.showing(
        0,
        &[
            "write: error 28",
            "sync: ok",
            "punch a hole: error 95",
            "exchange: error 22",
            "still here",
        ],
    );
    full.is_sound();
    let console = guest(&args).disk(&ext2_image(site.path()), "/,ro").run();
    console.showing(
        0,
        &[
            "create: error 30",
            "mkdir: error 30",
            "read: ok",
            "still here",
        ],
    );
}

#[test]
fn a_disk_that_fails_is_an_error_and_never_the_end() {
    let site = Site::new()
        .with("a.txt", "0123456789")
        .with("large", vec![1; 3_000_000]);
    for (bus, fails, texts) in [
        // The mount fails in no way: nothing is written by it.
        (
            DiskBus::Virtio,
            "write",
            &["create: ok", "sync: error 5", "read: ok"][..],
        ),
        (
            DiskBus::Ide,
            "write",
            &["create: ok", "sync: error 5", "read: ok"],
        ),
        (
            DiskBus::Virtio,
            "flush",
            &["create: ok", "sync: error 5", "read: ok"],
        ),
        (
            DiskBus::Ide,
            "flush",
            &["create: ok", "sync: error 5", "read: ok"],
        ),
    ] {
        let disk = Disk::empty();
        std::fs::write(disk.path(), ext2_image(site.path())).expect("a disk");
        let rule =
            format!("[inject-error]\nevent = \"none\"\niotype = \"{fails}\"\nerrno = \"5\"\n");
        let args = ["fail", "/"];
        let ended = guest(&args)
            .disk_bus(bus)
            .disk_at(&disk.path(), "/")
            .faults(&rule)
            .run();
        let console = ended.showing(0, &["still here", "list: ok"]);
        for text in texts {
            assert!(
                console.contains(text),
                "{bus:?} {fails}: {text:?} is missing:\n{console}"
            );
        }
        // What the disk has not taken is not there, and what was there is.
        disk.is_repaired();
    }
}
