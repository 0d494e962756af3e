//! Files in memory: as on this host, on each file system; what is on the disk after a sync and after the end; disks that fail.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use vm_tests::{Boot, Guest, Nic, Site, ext2_image};

use crate::promises::same_as_here;

const PAGE: usize = 4096;

fn guest(args: &[&str]) -> Guest {
    Guest::new("test-mappings")
        .args(args)
        .nic(Nic::None)
        .boot(Boot::Kernel)
}

/// A disk image with an ext2, in a folder that goes with the test.
fn disk(site: &Site) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk.img");
    std::fs::write(&path, ext2_image(site.path())).expect("a disk");
    (folder, path)
}

/// A file of an image, as Linux's own tools read it.
fn content(disk: &Path, path: &str) -> Vec<u8> {
    let read = Command::new("debugfs")
        .args(["-R", &format!("cat {path}")])
        .arg(disk)
        .output();
    read.expect("debugfs, of e2fsprogs").stdout
}

#[test]
fn files_in_memory_are_as_on_linux() {
    same_as_here("test-mappings", guest(&["/"]).cores(2));
}

#[test]
fn files_in_memory_are_as_on_linux_on_ext2() {
    let image = ext2_image(Site::new().path());
    same_as_here("test-mappings", guest(&["/data"]).disk(&image, "/data"));
}

#[test]
fn files_in_memory_are_as_on_linux_on_fat() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk.img");
    let made = Command::new("mkfs.fat")
        .arg("-C")
        .arg(&path)
        .arg("32768")
        .output()
        .expect("mkfs.fat, of dosfstools");
    assert!(made.status.success(), "{made:?}");
    let fat = guest(&["/data"]).env("HOLES=4").disk_at(&path, "/data");
    same_as_here("test-mappings", fat);
}

#[test]
fn what_a_mapping_synced_outlives_a_machine_that_is_cut_off() {
    let (_folder, disk) = disk(&Site::new());
    let running = guest(&["keep", "/kept"]).disk_at(&disk, "/").start();
    running.wait_for("waiting");
    let console = running.cut_off();
    assert!(console.contains("sync 0"), "{console}");
    let kept = content(&disk, "/kept");
    assert_eq!(kept.len(), 3 * PAGE);
    assert_eq!(kept[PAGE..PAGE + 6], *b"synced");
}

#[test]
fn what_a_mapping_wrote_is_in_the_file_after_the_end() {
    let (_folder, disk) = disk(&Site::new());
    let ended = guest(&["end", "/kept"]).disk_at(&disk, "/").run();
    ended.showing(0, &["all steps done"]);
    let kept = content(&disk, "/kept");
    assert_eq!(kept[2 * PAGE..2 * PAGE + 5], *b"ended");
    let checked = Command::new("e2fsck").arg("-fn").arg(&disk).output();
    assert!(checked.expect("e2fsck").status.success());
}

#[test]
fn a_disk_that_fails_is_an_error_of_the_sync_and_nothing_is_forgotten() {
    let (_folder, disk) = disk(&Site::new().with("a.txt", vec![b'a'; PAGE]));
    let rule = "[inject-error]\nevent = \"none\"\niotype = \"write\"\nerrno = \"5\"\n";
    let args = ["fail", "/a.txt"];
    let ended = guest(&args).disk_at(&disk, "/").faults(rule).run();
    let texts = ["sync 5", "of the file false", "read X", "kept X"];
    ended.showing(0, &texts);
}

#[test]
fn the_report_tells_of_a_touch_behind_the_end_of_a_file() {
    let ended = guest(&["beyond"]).run();
    ended.showing(
        139,
        &["page fault", "a mapping of a file, behind the file's end"],
    );
}
