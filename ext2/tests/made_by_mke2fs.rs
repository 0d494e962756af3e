//! Images made by mke2fs from a folder, read by us and compared with the folder.

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;

use common::{assert_same_as_folder, fill_folder, mke2fs, mount, read_all, run};
use ext2::{Error, FileType};
use tempfile::tempdir;

fn check(options: &[&str], size: &str) {
    let work = tempdir().expect("make a folder");
    let folder = work.path().join("folder");
    fill_folder(&folder);
    let image = work.path().join("image");
    mke2fs(&folder, &image, size, options);
    assert_same_as_folder(&mount(&image), &folder);
}

#[test]
fn blocks_of_1_kib_and_small_inodes() {
    check(&["-b", "1024", "-I", "128"], "40M");
}

#[test]
fn blocks_of_2_kib_and_large_inodes() {
    check(&["-b", "2048", "-I", "512"], "40M");
}

#[test]
fn blocks_of_4_kib() {
    check(&["-b", "4096", "-I", "256"], "64M");
}

#[test]
fn revision_0() {
    check(&["-r", "0", "-b", "1024"], "40M");
}

#[test]
fn small_groups_and_no_features() {
    check(&["-b", "1024", "-g", "1024", "-O", "none"], "40M");
}

#[test]
fn what_the_superblock_says_is_told() {
    let work = tempdir().expect("make a folder");
    let (folder, image) = (work.path().join("folder"), work.path().join("image"));
    std::fs::create_dir(&folder).expect("make a folder");
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    mke2fs(
        &folder,
        &image,
        "8M",
        &[
            "-b", "1024", "-L", "name", "-U", uuid, "-N", "512", "-m", "0",
        ],
    );
    let disk = mount(&image);
    let facts = disk.facts();
    assert_eq!(
        (facts.block_size, facts.blocks, facts.inodes),
        (1024, 8192, 512)
    );
    assert_eq!(
        (facts.revision, facts.label(), facts.read_only),
        (1, b"name".as_slice(), None)
    );
    assert_eq!(facts.uuid[..4], [0x01, 0x23, 0x45, 0x67]);
    assert_eq!((facts.free_inodes, facts.reserved_blocks), (512 - 11, 0));
    assert!(facts.is_clean && facts.free_blocks > 7000);
}

#[test]
fn a_sparse_file_reaches_into_triple_indirect_blocks() {
    let work = tempdir().expect("make a folder");
    let (folder, image) = (work.path().join("folder"), work.path().join("image"));
    std::fs::create_dir(&folder).expect("make a folder");
    // With blocks of 1 KiB, triple indirect blocks begin at 64.3 MiB.
    let far = 3_000_000_000;
    let file = File::create(folder.join("f")).expect("make a file");
    file.write_all_at(b"near", 0).expect("write");
    file.write_all_at(b"far", far).expect("write");
    mke2fs(&folder, &image, "8M", &["-b", "1024"]);
    let disk = mount(&image);
    let inode = disk.resolve(b"/f").expect("find");
    assert_eq!(inode.size(), far + 3);
    let mut buf = [0xFF; 2000];
    assert_eq!(disk.read(&inode, far - 1000, &mut buf), Ok(1003));
    assert_eq!(&buf[1000..1003], b"far");
    assert!(buf[..1000].iter().all(|byte| *byte == 0));
    assert_eq!(disk.read(&inode, far + 3, &mut buf), Ok(0));
    assert_eq!(disk.read(&inode, u64::MAX, &mut buf), Ok(0));
    let mut hole = vec![0xFF; 3_000_000];
    assert_eq!(disk.read(&inode, 1_000_000_001, &mut hole), Ok(3_000_000));
    assert!(hole.iter().all(|byte| *byte == 0));
}

#[test]
fn paths_lead_through_links_and_wrong_ones_fail() {
    let work = tempdir().expect("make a folder");
    let (folder, image) = (work.path().join("folder"), work.path().join("image"));
    fill_folder(&folder);
    mke2fs(&folder, &image, "40M", &[]);
    let disk = mount(&image);
    let deep = disk
        .resolve(b"//a/./b/up/../short/d/e/f/g/h/i/j/deep")
        .expect("find");
    assert_eq!(read_all(&disk, &deep), b"deep");
    assert_eq!(
        read_all(&disk, &disk.resolve(b"a/absolute").expect("find")),
        b"space"
    );
    assert_eq!(disk.resolve(b"/../..").expect("find").number(), disk.root());
    let fails = |path: &[u8]| disk.resolve(path).expect_err("a wrong path is refused");
    assert_eq!(fails(b"/loop"), Error::TooManySymlinks);
    assert_eq!(fails(b"/a/nothing"), Error::NotFound);
    assert_eq!(fails(b"/secret/x"), Error::NotADirectory);
    assert_eq!(fails(b"/secret/"), Error::NotADirectory);
    assert_eq!(fails(&[b'x'; 256]), Error::NameTooLong);
    let root = disk.inode(disk.root()).expect("read the root");
    assert_eq!(disk.read(&root, 0, &mut [0; 8]), Err(Error::IsADirectory));
    assert_eq!(disk.read_link(&root), Err(Error::NotASymlink));
    let secret = disk.resolve(b"secret").expect("find");
    assert!(matches!(
        disk.read_dir(&secret, 0),
        Err(Error::NotADirectory)
    ));
}

#[test]
fn listing_goes_on_from_every_cookie() {
    let work = tempdir().expect("make a folder");
    let (folder, image) = (work.path().join("folder"), work.path().join("image"));
    fill_folder(&folder);
    mke2fs(&folder, &image, "40M", &["-b", "1024"]);
    let disk = mount(&image);
    let many = disk.resolve(b"/many").expect("find");
    let list = |cookie| {
        let entries = disk.read_dir(&many, cookie).expect("list");
        entries
            .map(|entry| entry.expect("list"))
            .collect::<Vec<_>>()
    };
    let all = list(0);
    assert_eq!(all.len(), 302);
    assert!(all[0].is_dot() && all[1].is_dot());
    assert!(
        all[2..]
            .iter()
            .all(|entry| entry.file_type == Some(FileType::File))
    );
    for (index, entry) in all.iter().enumerate() {
        let rest: Vec<_> = list(entry.next_cookie)
            .iter()
            .map(|one| one.inode)
            .collect();
        let expected: Vec<_> = all[index + 1..].iter().map(|one| one.inode).collect();
        assert_eq!(rest, expected);
    }
    assert!(list(u64::MAX).is_empty());
    assert_eq!(list(1).len(), 301);
}

#[test]
fn hashed_directories_read_as_lists() {
    let work = tempdir().expect("make a folder");
    let (folder, image) = (work.path().join("folder"), work.path().join("image"));
    fill_folder(&folder);
    mke2fs(&folder, &image, "40M", &["-b", "1024", "-O", "dir_index"]);
    // -D makes hash trees of what were lists.
    run("e2fsck", &["-fpD".as_ref(), image.as_ref()]);
    let stat = common::debugfs(&image, "htree_dump /many");
    assert!(
        String::from_utf8_lossy(&stat).contains("Root node dump"),
        "/many is not hashed"
    );
    assert_same_as_folder(&mount(&image), &folder);
}

#[test]
fn what_is_no_file_is_told_apart() {
    let work = tempdir().expect("make a folder");
    let (folder, image) = (work.path().join("folder"), work.path().join("image"));
    std::fs::create_dir(&folder).expect("make a folder");
    mke2fs(&folder, &image, "1M", &[]);
    for request in ["mknod pipe p", "mknod console c 5 1", "mknod disk b 8 0"] {
        run(
            "debugfs",
            &[
                "-w".as_ref(),
                "-R".as_ref(),
                request.as_ref(),
                image.as_ref(),
            ],
        );
    }
    let disk = mount(&image);
    for (name, expected) in [
        ("pipe", FileType::Fifo),
        ("console", FileType::CharacterDevice),
        ("disk", FileType::BlockDevice),
    ] {
        let inode = disk.resolve(name.as_bytes()).expect("find");
        assert_eq!(inode.file_type(), expected);
        assert_eq!(disk.read(&inode, 0, &mut [0; 8]), Err(Error::NotAFile));
    }
}

#[test]
fn other_file_systems_of_the_family_are_refused_by_feature() {
    let work = tempdir().expect("make a folder");
    let (folder, image) = (work.path().join("folder"), work.path().join("image"));
    std::fs::create_dir(&folder).expect("make a folder");
    mke2fs(&folder, &image, "8M", &["-O", "extents,64bit"]);
    let device = common::ImageFile::open(&image);
    let error = ext2::FileSystem::mount(device, Default::default()).expect_err("it is refused");
    assert_eq!(
        error.to_string(),
        "superblock: has features that ext2 has not: extents, 64bit"
    );
    // ext3 that was unmounted cleanly can be read.
    mke2fs(&folder, &image, "8M", &["-O", "has_journal"]);
    assert_eq!(
        mount(&image).facts().read_only,
        Some(ext2::ReadOnlyReason::Journal)
    );
}
