//! Writing to an ext2 file system through the tree of names, and finding it again after the next mount.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use ext2::make::{Builder, Options};
use libc::{O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_WRONLY};

use super::ext2::Ext2;
use super::namespace::LastLink;
use super::operations;
use super::test_tree::{Tree, volume};
use crate::error::Errno;
use crate::storage::block_cache::tests::MemoryDisk;
use crate::storage::disks::{Disk, Volume, VolumeName};
use core::sync::atomic::Ordering;

const NAME: VolumeName = VolumeName {
    disk: 0,
    partition: None,
};

fn empty_disk() -> Arc<MemoryDisk> {
    let options = Options {
        block_size: 1024,
        size_bytes: Some(1 << 20),
        ..Options::default()
    };
    let plan = Builder::new(options).plan().expect("fits");
    let disk = MemoryDisk::new(vec![0; plan.size_bytes() as usize]);
    let volume = Volume::whole(Arc::new(Disk::new(disk.clone(), 0)));
    plan.write(&volume).expect("has room");
    ext2::BlockDevice::flush(&volume).expect("works");
    disk
}

fn mount(disk: &Arc<MemoryDisk>) -> Tree {
    Tree::new(Ext2::mount(volume(disk), NAME, false).expect("sound"))
}

#[test]
fn a_directory_that_was_removed_has_no_path() {
    let tree = mount(&empty_disk());
    tree.mkdir("/here").expect("new");
    let here = tree.0.resolve(tree.0.root(), b"/here", LastLink::Follow);
    let here = here.expect("there");
    assert_eq!(super::path_of(&here), Ok(Vec::from(b"/here")));
    tree.rmdir("/here").expect("empty");
    assert_eq!(super::path_of(&here), Err(Errno(libc::ENOENT)));
}

#[test]
fn what_is_written_is_there_after_the_next_mount() {
    let disk = empty_disk();
    let tree = mount(&disk);
    tree.mkdir("/a").expect("new");
    assert_eq!(tree.write("/a/file", b"first"), Ok(5));
    let file = tree.open("/a/file", O_RDWR | O_APPEND).expect("there");
    assert_eq!(file.write(b" second"), Ok(7));
    assert_eq!(file.seek(0, libc::SEEK_CUR), Ok(12));
    file.set_len(8).expect("shorter");
    operations::make_symlink(&tree.0, b"a/file", tree.0.root(), b"/link").expect("new");
    let entry = tree.0.resolve(tree.0.root(), b"/a/file", LastLink::Follow);
    let entry = entry.expect("there");
    operations::make_link(&tree.0, &entry, tree.0.root(), b"/hard").expect("new");
    let facts = entry.node.metadata().expect("readable");
    assert_eq!(facts.links, 2);
    assert!(facts.created.is_some_and(|time| time <= facts.changed));
    tree.unmount();
    let tree = mount(&disk);
    let entry = tree.0.resolve(tree.0.root(), b"/a/file", LastLink::Follow);
    let again = entry.expect("there").node.metadata().expect("readable");
    assert_eq!(again.created, facts.created);
    for path in ["/a/file", "/link", "/hard"] {
        assert_eq!(tree.read(path).as_deref(), Ok(&b"first se"[..]), "{path}");
    }
    assert_eq!(tree.mkdir("/a"), Err(Errno(libc::EEXIST)));
    assert_eq!(tree.rmdir("/a"), Err(Errno(libc::ENOTEMPTY)));
    assert_eq!(tree.rename("/a", "/a/b"), Err(Errno(libc::EINVAL)));
}

#[test]
fn a_name_means_what_it_was_last_given_to() {
    let tree = mount(&empty_disk());
    for round in 0..3 {
        assert_eq!(tree.write("/x", b"x"), Ok(1));
        assert_eq!(tree.write("/y", b"yy"), Ok(2));
        tree.rename("/x", "/y").expect("both there");
        assert_eq!(tree.read("/x"), Err(Errno(libc::ENOENT)), "{round}");
        assert_eq!(tree.read("/y").as_deref(), Ok(&b"x"[..]), "{round}");
        tree.mkdir("/d").expect("new");
        assert_eq!(tree.write("/d/f", b"f"), Ok(1));
        assert_eq!(tree.read("/d/f").as_deref(), Ok(&b"f"[..]));
        tree.rename("/d", "/e").expect("there");
        assert_eq!(tree.read("/d/f"), Err(Errno(libc::ENOENT)), "{round}");
        let file = tree.0.resolve(tree.0.root(), b"/e/f", LastLink::Follow);
        assert_eq!(file.expect("there").path(), b"/e/f");
        for gone in ["/e/f", "/y"] {
            tree.unlink(gone).expect("there");
            assert_eq!(tree.read(gone), Err(Errno(libc::ENOENT)), "{round}");
        }
        tree.rmdir("/e").expect("empty");
    }
}

#[test]
fn a_removed_file_lives_as_long_as_it_is_open() {
    let disk = empty_disk();
    let tree = mount(&disk);
    let before = tree.free_blocks();
    assert_eq!(tree.write("/file", &[7; 50_000]), Ok(50_000));
    let file = tree.open("/file", O_RDWR).expect("there");
    tree.unlink("/file").expect("there");
    assert!(tree.free_blocks() < before);
    let mut buf = [0; 100];
    assert_eq!(file.read_at(49_950, &mut buf), Ok(50));
    assert_eq!(file.write_at(60_000, b"more"), Ok(4));
    assert_eq!(file.entry().node.metadata().expect("readable").links, 0);
    drop(file);
    assert_eq!(tree.free_blocks(), before);
    // One that is replaced, and one that is open when the file system is unmounted.
    assert_eq!(tree.write("/a", b"a"), Ok(1));
    assert_eq!(tree.write("/b", b"b"), Ok(1));
    let replaced = tree.open("/b", O_RDONLY).expect("there");
    tree.rename("/a", "/b").expect("there");
    assert_eq!(replaced.read(&mut buf), Ok(1));
    assert_eq!(buf[0], b'b');
    tree.unlink("/b").expect("there");
    tree.unmount();
    assert_eq!(mount(&disk).free_blocks(), before);
    drop(replaced);
}

#[test]
fn what_no_name_leads_to_is_freed_at_once() {
    let tree = mount(&empty_disk());
    tree.mkdir("/d").expect("new");
    let before = tree.free_blocks();
    for round in 0..300 {
        let path = format!("/d/{round}");
        assert_eq!(tree.write(&path, &[1; 20_000]), Ok(20_000));
        assert_eq!(tree.read(&path).map(|content| content.len()), Ok(20_000));
        if round % 2 == 0 {
            tree.rename(&path, "/d/other").expect("there");
            tree.unlink("/d/other").expect("there");
        } else {
            tree.unlink(&path).expect("there");
        }
    }
    // The directory may have grown.
    let after = tree.free_blocks();
    assert!(before - after < 8, "{before} blocks became {after}");
}

#[test]
fn a_full_disk_and_one_that_fails_are_errors() {
    let disk = empty_disk();
    let tree = mount(&disk);
    let file = tree.open("/large", O_WRONLY | O_CREAT).expect("new");
    let mut written = 0;
    let error = loop {
        match file.write(&[5; 70_000]) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno(libc::ENOSPC));
    assert!(written > 800_000, "{written}");
    tree.unlink("/large").expect("there");
    drop(file);
    assert_eq!(tree.write("/small", b"small"), Ok(5));
    disk.is_broken.store(true, Ordering::Relaxed);
    let file = tree.open("/small", O_RDWR).expect("known");
    assert_eq!(file.entry().node.sync(), Err(Errno(libc::EIO)));
    disk.is_broken.store(false, Ordering::Relaxed);
    // Nothing is written any more, and nobody is told that it was.
    assert_eq!(file.entry().node.sync(), Err(Errno(libc::EIO)));
    assert_eq!(tree.write("/other", b""), Err(Errno(libc::EROFS)));
    assert!(tree.file_system().is_read_only());
}

#[test]
fn at_rest_nothing_is_left_to_repair() {
    let disk = empty_disk();
    let tree = mount(&disk);
    let state = || disk.content.lock()[1024 + 58];
    assert_eq!(tree.write("/file", b"text"), Ok(4));
    assert!(tree.file_system().write_behind());
    assert_eq!(state(), 0);
    assert!(!tree.file_system().write_behind());
    assert_eq!(state(), 1);
    // What is on the disk now is whole.
    let copy = MemoryDisk::new(disk.content.lock().clone());
    assert_eq!(mount(&copy).read("/file").as_deref(), Ok(&b"text"[..]));
    assert_eq!(tree.write("/file", b"longer"), Ok(6));
    tree.unmount();
    assert_eq!(state(), 1);
}

/// Data at 64 KiB and 192 KiB, 4 KiB each, and a hole at the end of 256 KiB.
#[test]
fn holes_and_what_is_between_them_are_found() {
    let tree = mount(&empty_disk());
    let file = tree.open("/sparse", O_RDWR | O_CREAT).expect("new");
    let none = Err(Errno(libc::ENXIO));
    assert_eq!(file.seek(0, libc::SEEK_DATA), none);
    file.write_at(64 << 10, &[1; 4096]).expect("room");
    file.write_at(192 << 10, &[2; 4096]).expect("room");
    file.set_len(256 << 10).expect("longer");
    for (from, data, hole) in [
        (0, Ok(65_536), Ok(0)),
        (5, Ok(65_536), Ok(5)),
        (65_535, Ok(65_536), Ok(65_535)),
        (65_536, Ok(65_536), Ok(69_632)),
        (66_000, Ok(66_000), Ok(69_632)),
        (69_632, Ok(196_608), Ok(69_632)),
        (200_703, Ok(200_703), Ok(200_704)),
        (200_704, none, Ok(200_704)),
        (262_143, none, Ok(262_143)),
        (262_144, none, none),
        (-1, none, none),
    ] {
        assert_eq!(file.seek(from, libc::SEEK_DATA), data, "data from {from}");
        assert_eq!(file.seek(from, libc::SEEK_HOLE), hole, "a hole from {from}");
    }
    // Without one it is at the end.
    let whole = tree.open("/whole", O_RDWR | O_CREAT).expect("new");
    whole.write(&[3; 10_000]).expect("room");
    assert_eq!(whole.seek(0, libc::SEEK_HOLE), Ok(10_000));
    assert_eq!(whole.seek(9999, libc::SEEK_DATA), Ok(9999));
}
