//! `FileSystem::check` against e2fsck: what one finds wrong, the other does too.

mod common;

use std::path::Path;
use std::process::Command;

use common::{fill_folder, make_image, mke2fs, noise, run};
use ext2::make::Options;
use ext2::{Error, FileSystem, MountOptions};
use tempfile::tempdir;

/// What the check says; an image that does not mount is wrong, too.
fn problems(image: &[u8]) -> Vec<String> {
    let options = MountOptions { read_only: true };
    let device = std::cell::RefCell::new(image.to_vec());
    match FileSystem::mount(device, options) {
        Err(error) => vec![error.to_string()],
        Ok(disk) => {
            let problems = disk.check().expect("check");
            problems.iter().map(ToString::to_string).collect()
        }
    }
}

fn assert_clean(image: &Path) {
    common::assert_e2fsck_clean(image);
    let found = problems(&std::fs::read(image).expect("read the image"));
    assert!(found.is_empty(), "{found:#?}");
}

/// What e2fsck says; empty if nothing is wrong.
fn e2fsck(image: &Path) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("e2fsck")
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("E2FSPROGS_FAKE_TIME", "1000000000")
        .arg("-fn")
        .arg(image)
        .output()
        .expect("start e2fsck");
    match output.status.code() {
        Some(0) => String::new(),
        _ => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    }
}

#[test]
fn nothing_is_wrong_with_what_mke2fs_makes() {
    let work = tempdir().expect("make a folder");
    let folder = work.path().join("folder");
    fill_folder(&folder);
    for (options, size) in [
        (["-b", "1024", "-O", "none"].as_slice(), "40M"),
        (&["-b", "1024", "-r", "0"], "40M"),
        (&["-b", "2048", "-O", "^resize_inode,^sparse_super"], "40M"),
        (
            &["-b", "4096", "-O", "dir_index,ext_attr,large_file"],
            "64M",
        ),
        (&["-b", "1024", "-g", "1024", "-O", "^resize_inode"], "40M"),
        (&["-b", "1024", "-j"], "40M"),
        (&["-b", "4096", "-I", "512", "-N", "5000"], "64M"),
    ] {
        let image = work.path().join("image");
        let _ = std::fs::remove_file(&image);
        mke2fs(&folder, &image, size, options);
        assert_clean(&image);
    }
}

#[test]
fn nothing_is_wrong_with_what_genext2fs_makes() {
    if Command::new("genext2fs").arg("--version").output().is_err() {
        eprintln!("left out: there is no genext2fs on this host");
        return;
    }
    let work = tempdir().expect("make a folder");
    let folder = work.path().join("folder");
    fill_folder(&folder);
    for block_size in ["1024", "2048", "4096"] {
        let image = work.path().join("image");
        let _ = std::fs::remove_file(&image);
        let blocks = (40 << 20) / block_size.parse::<u64>().expect("a number");
        let arguments = [
            "-B",
            block_size,
            "-b",
            &blocks.to_string(),
            "-N",
            "2000",
            "-d",
            folder.to_str().expect("text"),
            image.to_str().expect("text"),
        ];
        run("genext2fs", &arguments.map(std::ffi::OsStr::new));
        let found = problems(&std::fs::read(&image).expect("read the image"));
        // genext2fs has faults of its own that depend on its version: the two judges must agree.
        assert_eq!(found.is_empty(), e2fsck(&image).is_empty(), "{found:#?}");
        common::assert_same_as_folder(&common::mount(&image), &folder);
    }
}

#[test]
fn nothing_is_wrong_with_what_we_make() {
    let work = tempdir().expect("make a folder");
    let folder = work.path().join("folder");
    fill_folder(&folder);
    for (block_size, revision) in [(1024, 0), (1024, 1), (2048, 1), (4096, 0), (4096, 1)] {
        let image = work.path().join("image");
        make_image(
            &folder,
            &image,
            Options {
                block_size,
                revision,
                ..Options::default()
            },
        );
        assert_clean(&image);
    }
}

/// The places in a small image where its own tables and directories are.
fn damage_places(image: &[u8], folder_blocks: &[u32]) -> Vec<(usize, usize)> {
    let u32_at = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().expect("4 bytes"));
    let block = |number: u32| number as usize * 1024;
    let (block_bitmap, inode_bitmap, table) = (u32_at(2048), u32_at(2052), u32_at(2056));
    let mut places = vec![
        // Counts of free blocks and inodes and of directories.
        (2048 + 12, 6),
        (block(block_bitmap), 200),
        (block(inode_bitmap), 8),
        // Mode, size, links, blocks and pointers of the root and of what comes after `lost+found`.
        (block(table) + 256, 100),
        (block(table) + 11 * 256, 12 * 256),
    ];
    places.extend(folder_blocks.iter().map(|number| (block(*number), 60)));
    places
}

/// What e2fsck says of a thing that is not looked at here, or judges in another way.
fn is_beyond(said: &str) -> bool {
    const BEYOND: [&str; 8] = [
        // The index of hashed directories, flags of ext4, and fields without a meaning.
        "HTREE",
        "INDEX_FL",
        "EXTENT",
        "imagic",
        "encrypt",
        "should be zero",
        // A number that is no type says nothing: as 0, which e2fsck allows.
        "incorrect filetype",
        // Of `.` and `..`, which have a length as all names.
        "NULL terminated",
    ];
    BEYOND.iter().any(|words| said.contains(words))
}

#[test]
fn what_e2fsck_finds_in_a_damaged_image_is_found() {
    let work = tempdir().expect("make a folder");
    let folder = work.path().join("folder");
    std::fs::create_dir_all(folder.join("a/b")).expect("make folders");
    std::fs::write(folder.join("a/file"), noise(1, 20_000)).expect("write");
    std::fs::write(folder.join("a/b/other"), "other").expect("write");
    std::fs::hard_link(folder.join("a/file"), folder.join("a/b/link")).expect("link");
    std::os::unix::fs::symlink("a/file", folder.join("short")).expect("link");
    std::os::unix::fs::symlink("x".repeat(100), folder.join("long")).expect("link");
    let image = work.path().join("image");
    let options = Options {
        block_size: 1024,
        size_bytes: Some(512 << 10),
        inode_count: Some(32),
        ..Options::default()
    };
    make_image(&folder, &image, options);
    let good = std::fs::read(&image).expect("read the image");
    let disk = common::mount(&image);
    let directories = ["/", "/a", "/a/b"].map(|path| {
        let listed = common::debugfs(&image, &format!("blocks {path}"));
        let listed = String::from_utf8(listed).expect("text");
        let first = listed.split_whitespace().next().expect("a block");
        first.parse::<u32>().expect("a number")
    });
    drop(disk);
    assert!(problems(&good).is_empty());

    let places = damage_places(&good, &directories);
    let random = noise(7, 4000);
    let (mut found, mut missed, mut alarms) = (0, Vec::new(), Vec::new());
    for round in random.chunks_exact(5).take(250) {
        let (start, len) = places[usize::from(round[0]) % places.len()];
        let at = start + usize::from(u16::from_le_bytes([round[1], round[2]])) % len;
        let mut bad = good.clone();
        bad[at] ^= 1 << (round[3] % 8);
        if bad[at] == good[at] {
            continue;
        }
        std::fs::write(&image, &bad).expect("write the image");
        let (said, ours) = (e2fsck(&image), problems(&bad));
        match (said.is_empty(), ours.is_empty()) {
            (false, false) => found += 1,
            (false, true) if !is_beyond(&said) => missed.push((at, bad[at] ^ good[at], said)),
            (true, false) => alarms.push((at, bad[at] ^ good[at], ours)),
            _ => {}
        }
    }
    eprintln!(
        "found {found}, missed {}, alarms {}",
        missed.len(),
        alarms.len()
    );
    assert!(missed.is_empty(), "missed: {missed:#?}");
    assert!(alarms.is_empty(), "false alarms: {alarms:#?}");
    assert!(found > 100, "only {found} damages were found");
}

#[test]
fn a_disk_of_noise_is_refused_or_listed_but_ends() {
    let folder = tempdir().expect("make a folder");
    let image = folder.path().join("image");
    let options = Options {
        block_size: 1024,
        size_bytes: Some(512 << 10),
        ..Options::default()
    };
    make_image(folder.path(), &image, options);
    let good = std::fs::read(&image).expect("read the image");
    for seed in 0..20 {
        let mut bad = good.clone();
        // All but the superblock and the descriptors.
        bad[3072..].copy_from_slice(&noise(seed, good.len() - 3072));
        let device = std::cell::RefCell::new(bad);
        let disk = FileSystem::mount(device, MountOptions { read_only: true });
        let found = disk.and_then(|disk| disk.check());
        assert!(found.is_ok_and(|found| !found.is_empty()));
    }
    let nothing = FileSystem::mount(
        std::cell::RefCell::new(noise(1, 1 << 20)),
        MountOptions::default(),
    );
    assert!(matches!(
        nothing,
        Err(Error::Corrupt { .. } | Error::Unsupported { .. })
    ));
}
