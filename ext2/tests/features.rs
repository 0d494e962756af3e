//! What mke2fs makes with every feature it has, alone and by chance together: written where ext2 has the feature, only read where it must not be
//! written, refused where it cannot be read; by name.

mod common;

use std::path::Path;
use std::process::Command;

use common::{ImageFile, assert_e2fsck_clean, assert_same_as_folder, fill_folder, noise};
use ext2::{Error, FileSystem, MountOptions, NewAttributes};
use tempfile::tempdir;

/// Features that do not hinder writing, as mke2fs calls them.
const WRITTEN: [&str; 8] = [
    "filetype",
    "sparse_super",
    "sparse_super2",
    "large_file",
    "resize_inode",
    "dir_index",
    "ext_attr",
    "stable_inodes",
];
/// Features that allow reading only.
const READ: [&str; 9] = [
    "huge_file",
    "dir_nlink",
    "extra_isize",
    "uninit_bg",
    "metadata_csum",
    "quota",
    "project",
    "verity",
    "has_journal",
];
/// Features that allow nothing.
const REFUSED: [&str; 11] = [
    "extent",
    "64bit",
    "flex_bg",
    "meta_bg",
    "inline_data",
    "encrypt",
    "casefold",
    "ea_inode",
    "mmp",
    "large_dir",
    "metadata_csum_seed",
];
/// What mke2fs and this crate call otherwise.
const OTHER_NAMES: [(&str, &str); 2] = [("extent", "extents"), ("has_journal", "journal")];

fn our_name(feature: &str) -> &str {
    let other = OTHER_NAMES.iter().find(|names| names.0 == feature);
    other.map_or(feature, |names| names.1)
}

/// The features that an image has, as dumpe2fs names them.
fn features(image: &Path) -> Vec<String> {
    let output = Command::new("dumpe2fs")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-h".as_ref(), image.as_os_str()])
        .output()
        .expect("dumpe2fs starts: install e2fsprogs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("Filesystem features:"));
    let names = line.unwrap_or_default().split_whitespace();
    names
        .filter(|name| *name != "(none)")
        .map(str::to_owned)
        .collect()
}

/// Makes an image of the folder; `false` where mke2fs finds that the options do not go together.
fn make(folder: &Path, image: &Path, options: &[String]) -> bool {
    let _ = std::fs::remove_file(image);
    let output = Command::new("mke2fs")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-q", "-F", "-t", "ext2", "-d"])
        .arg(folder)
        .args(options)
        .arg(image)
        .arg("24M")
        .output()
        .expect("mke2fs starts: install e2fsprogs");
    output.status.success()
}

/// Creates, changes, renames and removes something in every directory, as long as there is space.
fn write_everywhere(disk: &mut FileSystem<ImageFile>) -> Result<(), Error> {
    let mut directories = vec![disk.root()];
    let mut place = 0;
    while let Some(directory) = directories.get(place).copied() {
        place += 1;
        let inode = disk.inode(directory)?;
        for entry in disk.read_dir(&inode, 0)? {
            let entry = entry?;
            if !entry.is_dot() && disk.inode(entry.inode)?.is_directory() {
                directories.push(entry.inode);
            }
        }
        let new = NewAttributes::default();
        for name in [&b"new-file"[..], b"new-gone"] {
            let file = disk.create(directory, name, new)?.number();
            disk.write(file, 3000, &noise(7, 20_000))?;
        }
        let sub = disk.create_directory(directory, b"new-sub", new)?.number();
        disk.create_symlink(sub, b"link", b"../new-file", new)?;
        disk.rename(directory, b"new-file", sub, b"moved", false)?;
        disk.unlink(directory, b"new-gone")?;
    }
    Ok(())
}

fn judge(folder: &Path, image: &Path, options: &[String]) -> &'static str {
    let features = features(image);
    let has = |known: &[&'static str]| -> Vec<&'static str> {
        let is_there = |name: &&&str| features.iter().any(|feature| feature == **name);
        known.iter().filter(is_there).copied().collect()
    };
    let (refused, read) = (has(&REFUSED), has(&READ));
    for feature in &features {
        let all = WRITTEN
            .iter()
            .chain(&READ)
            .chain(&REFUSED)
            .chain(&["bigalloc"]);
        assert!(
            all.into_iter().any(|known| known == feature),
            "{feature} is unknown here"
        );
    }
    let mounted = FileSystem::mount(ImageFile::open(image), MountOptions::default());
    if !refused.is_empty() {
        let error = mounted.expect_err("it cannot be read").to_string();
        for name in refused {
            assert!(
                error.contains(our_name(name)),
                "{options:?}: {error} without {name}"
            );
        }
        return "refused";
    }
    let mut disk = mounted.unwrap_or_else(|error| panic!("{options:?}: {error}"));
    assert_same_as_folder(&disk, folder);
    if !read.is_empty() {
        // What can be wrong in them, this crate does not know.
        let is_judged = disk.check().is_ok();
        assert_eq!(is_judged, read == ["has_journal"], "{options:?}");
        let reason = disk
            .facts()
            .read_only
            .expect("it may not be written")
            .to_string();
        let is_named = |name: &&str| reason.contains(our_name(name));
        assert!(
            read.iter().any(is_named),
            "{options:?}: {reason} without {read:?}"
        );
        return "read";
    }
    assert_eq!(disk.facts().read_only, None, "{options:?}");
    let problems = disk.check().expect("readable");
    assert!(problems.is_empty(), "{options:?}: {problems:?}");
    let written = write_everywhere(&mut disk);
    assert!(
        matches!(written, Ok(()) | Err(Error::NoSpace)),
        "{options:?}: {written:?}"
    );
    disk.unmount().expect("unmount");
    assert_e2fsck_clean(image);
    let disk = common::mount(image);
    let problems = disk.check().expect("readable");
    assert!(problems.is_empty(), "{options:?}: {problems:?}");
    "written"
}

#[test]
fn every_feature_of_mke2fs_is_written_or_read_or_refused_by_name() {
    let work = tempdir().expect("make a folder");
    let (folder, image) = (work.path().join("folder"), work.path().join("image"));
    fill_folder(&folder);
    let rounds = std::env::var("EXT2_TEST_FEATURES").ok();
    let rounds: u64 = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(40);
    let all: Vec<&str> = WRITTEN
        .iter()
        .chain(&READ)
        .chain(&REFUSED)
        .copied()
        .collect();
    let mut counts = std::collections::BTreeMap::new();
    for round in 0..all.len() as u64 + rounds {
        let chance = noise(round + 1, 32);
        let mut options: Vec<String> = Vec::new();
        let mut option = |name: &str, value: &str| options.extend([name.into(), value.into()]);
        if let Some(one) = all.get(round as usize) {
            option("-O", &format!("none,{one}"));
        } else {
            // Mostly those that can be written.
            let chosen = WRITTEN.iter().zip(&chance).filter(|(_, byte)| **byte < 128);
            let mut names: Vec<&str> = chosen.map(|(name, _)| *name).collect();
            if chance[8] < 60 {
                names.push(READ[usize::from(chance[9]) % READ.len()]);
            }
            if chance[10] < 30 {
                names.push(REFUSED[usize::from(chance[11]) % REFUSED.len()]);
            }
            option("-O", &format!("none,{}", names.join(",")));
            option("-b", ["1024", "2048", "4096"][usize::from(chance[12]) % 3]);
            option("-I", ["128", "256", "512"][usize::from(chance[13]) % 3]);
            option("-m", ["0", "5", "50"][usize::from(chance[14]) % 3]);
            option("-N", ["300", "1000", "5000"][usize::from(chance[15]) % 3]);
            match chance[16] % 6 {
                0 => option("-g", "1024"),
                1 => option("-g", "2048"),
                2 => option("-E", "resize=100000"),
                3 => option("-E", "stride=4,stripe_width=16,root_owner=7:8"),
                4 => option("-E", "num_backup_sb=1,no_copy_xattrs"),
                _ => option("-o", "Hurd"),
            }
            if chance[17] < 30 {
                option("-r", "0");
            }
        }
        let outcome = match make(&folder, &image, &options) {
            true => judge(&folder, &image, &options),
            false => "not made",
        };
        *counts.entry(outcome).or_insert(0) += 1;
        if std::env::var_os("EXT2_TEST_FEATURES").is_some() {
            println!("{outcome}: {options:?}");
        }
    }
    println!("{counts:?}");
    for outcome in ["written", "read", "refused"] {
        assert!(
            counts.get(outcome).is_some_and(|count| *count > 3),
            "{counts:?}"
        );
    }
}
