//! What writing does, case by case.

#[path = "common/check.rs"]
mod check;
mod common;

use std::cell::{Cell, RefCell};

use common::{ImageFile, assert_e2fsck_clean, debugfs, mke2fs, mount, noise, read_all};
use ext2::make::{Builder, Options};
use ext2::{
    BlockDevice, DeviceError, Error, FileSystem, Inode, MountOptions, NewAttributes,
    ReadOnlyReason, Time,
};
use tempfile::tempdir;

type Memory = RefCell<Vec<u8>>;

fn empty(block_size: u32, blocks: u64, inodes: u32) -> FileSystem<Memory> {
    let builder = Builder::new(Options {
        block_size,
        size_bytes: Some(u64::from(block_size) * blocks),
        inode_count: Some(inodes),
        ..Options::default()
    });
    let plan = builder.plan().expect("plan");
    let image = RefCell::new(vec![0; plan.size_bytes() as usize]);
    plan.write(&image).expect("write");
    FileSystem::mount(image, MountOptions::default()).expect("mount")
}

fn create<D: BlockDevice>(disk: &mut FileSystem<D>, name: &str) -> Inode {
    let root = disk.root();
    disk.create(root, name.as_bytes(), NewAttributes::default())
        .expect("create")
}

/// Unmounts, checks with e2fsck, and mounts again.
fn remount(disk: FileSystem<Memory>) -> FileSystem<Memory> {
    let image = disk.unmount().expect("unmount");
    let work = tempdir().expect("make a folder");
    let file = work.path().join("image");
    std::fs::write(&file, image.borrow().as_slice()).expect("write the image");
    assert_e2fsck_clean(&file);
    FileSystem::mount(image, MountOptions::default()).expect("mount")
}

#[test]
fn ten_thousand_entries_come_and_go_and_their_space_is_used_again() {
    let mut disk = empty(4096, 8000, 12_000);
    let root = disk.root();
    let directory = disk
        .create_directory(root, b"many", NewAttributes::default())
        .expect("create")
        .number();
    let name = |index: usize| format!("file-{index:05}").into_bytes();
    for index in 0..10_000 {
        disk.create(directory, &name(index), NewAttributes::default())
            .expect("create");
    }
    let mut disk = remount(disk);
    let inode = disk.inode(directory).expect("read");
    let size = inode.size();
    assert_eq!(disk.read_dir(&inode, 0).expect("list").count(), 10_002);
    assert!(disk.find(&inode, &name(9_999)).is_ok());
    for index in (0..10_000).step_by(2) {
        disk.unlink(directory, &name(index)).expect("unlink");
    }
    disk.sync().expect("sync");
    for index in 0..5_000 {
        let name = format!("next-{index:05}").into_bytes();
        disk.create(directory, &name, NewAttributes::default())
            .expect("create");
    }
    let disk = remount(disk);
    let inode = disk.inode(directory).expect("read");
    assert_eq!(disk.read_dir(&inode, 0).expect("list").count(), 10_002);
    assert_eq!(inode.size(), size, "the directory grew");
}

#[test]
fn files_beyond_two_and_four_gibibytes_are_sparse_and_marked() {
    let mut disk = empty(1024, 4000, 32);
    let file = create(&mut disk, "large").number();
    let places = [
        0u64,
        12 * 1024 - 3,
        268 * 1024 - 5,
        (268 + 65_536) * 1024 - 7,
        (1 << 31) - 9,
        (1 << 32) + 1,
        12 << 30,
    ];
    for (index, place) in places.iter().enumerate() {
        let data = noise(index as u64, 3000);
        assert_eq!(disk.write(file, *place, &data), Ok(3000));
    }
    let disk = remount(disk);
    let inode = disk.inode(file).expect("read");
    assert_eq!(inode.size(), (12 << 30) + 3000);
    assert!(inode.blocks_of_512() < 200, "{}", inode.blocks_of_512());
    for (index, place) in places.iter().enumerate().rev() {
        let mut data = vec![0; 3000];
        disk.read(&inode, *place, &mut data).expect("read");
        assert!(data == noise(index as u64, 3000), "at {place}");
    }
    let mut disk = remount(disk);
    for len in [(1 << 32) + 100, 70_000_000, 268 * 1024, 5000, 0] {
        disk.set_len(file, len).expect("cut");
        disk = remount(disk);
        assert_eq!(disk.inode(file).expect("read").size(), len);
    }
    assert_eq!(disk.inode(file).expect("read").blocks_of_512(), 0);
    let reach = 1024 * (12 + 256 + 256 * 256 + 256 * 256 * 256u64);
    assert_eq!(disk.write(file, reach, b"x"), Err(Error::FileTooLarge));
}

#[test]
fn what_was_cut_off_reads_as_zeros_when_the_file_grows_again() {
    let mut disk = empty(1024, 500, 32);
    let file = create(&mut disk, "file").number();
    disk.write(file, 0, &[7; 3000]).expect("write");
    disk.set_len(file, 100).expect("cut");
    disk.set_len(file, 2000).expect("extend");
    disk.write(file, 2500, b"end").expect("write");
    let disk = remount(disk);
    let inode = disk.inode(file).expect("read");
    let mut expected = vec![0; 2503];
    expected[..100].fill(7);
    expected[2500..].copy_from_slice(b"end");
    assert!(read_all(&disk, &inode) == expected);
}

#[test]
fn what_follows_a_cut_does_not_show_in_the_file_as_it_was_before() {
    let mut disk = empty(1024, 500, 32);
    let file = create(&mut disk, "file").number();
    disk.write(file, 0, b"hello world").expect("write");
    disk.fsync(file).expect("sync");
    disk.set_len(file, 5).expect("cut");
    disk.write(file, 5, b"XYZ").expect("write");
    // The power is cut.
    let disk = FileSystem::mount(disk.into_device(), MountOptions::default()).expect("mount");
    let inode = disk.inode(file).expect("read");
    assert_eq!(read_all(&disk, &inode), b"hello");
}

#[test]
fn a_full_disk_is_an_error_that_changes_nothing_and_space_comes_back() {
    let mut disk = empty(1024, 600, 64);
    let file = create(&mut disk, "file").number();
    let data = noise(1, 2_000_000);
    let done = disk.write(file, 0, &data).expect("write a part");
    assert!(done > 300_000 && done < data.len(), "{done}");
    assert_eq!(disk.write(file, done as u64, b"x"), Err(Error::NoSpace));
    let root = disk.root();
    let new = disk.create_directory(root, b"directory", NewAttributes::default());
    assert_eq!(new.err(), Some(Error::NoSpace));
    assert_eq!(disk.lookup(root, b"directory"), Err(Error::NotFound));
    let mut disk = remount(disk);
    let inode = disk.inode(file).expect("read");
    assert!(read_all(&disk, &inode) == data[..done]);
    // A full disk can be made emptier, and what is freed can be used at once.
    disk.set_len(file, 100_001).expect("cut");
    assert_eq!(disk.write(file, 100_001, &data[..250_000]), Ok(250_000));
    disk.unlink(root, b"file").expect("unlink");
    let other = create(&mut disk, "other").number();
    assert_eq!(disk.write(other, 0, &data[..300_000]), Ok(300_000));
    remount(disk);
}

#[test]
fn inodes_run_out_without_a_trace() {
    let mut disk = empty(1024, 600, 16);
    let root = disk.root();
    let mut count = 0;
    let error = loop {
        let name = format!("file-{count}");
        match disk.create(root, name.as_bytes(), NewAttributes::default()) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::NoSpace);
    assert_eq!(disk.facts().free_inodes, 0);
    disk.unlink(root, b"file-0").expect("unlink");
    create(&mut disk, "again");
    remount(disk);
}

#[test]
fn names_and_targets_are_checked() {
    let mut disk = empty(1024, 500, 32);
    let root = disk.root();
    let attributes = NewAttributes::default();
    for (name, error) in [
        (b"".as_slice(), Error::InvalidName),
        (b".", Error::InvalidName),
        (b"..", Error::InvalidName),
        (b"a/b", Error::InvalidName),
        (b"a\0", Error::InvalidName),
        (&[b'n'; 256], Error::NameTooLong),
    ] {
        assert_eq!(disk.create(root, name, attributes).err(), Some(error));
    }
    disk.create(root, &[b'n'; 255], attributes).expect("create");
    for len in [1, 59, 60, 1023] {
        let name = format!("link-{len}");
        let target = vec![b't'; len];
        disk.create_symlink(root, name.as_bytes(), &target, attributes)
            .expect("create");
        let inode = disk.resolve(b"/").expect("root");
        let link = disk.find(&inode, name.as_bytes()).expect("find");
        assert_eq!(disk.read_link(&link), Ok(target));
    }
    let long = disk.create_symlink(root, b"long", &[b't'; 1024], attributes);
    assert_eq!(long.err(), Some(Error::NameTooLong));
    remount(disk);
}

#[test]
fn names_of_pipes_and_sockets_have_no_content() {
    let mut disk = empty(1024, 400, 64);
    let (root, attributes) = (disk.root(), NewAttributes::default());
    disk.create_fifo(root, b"pipe", attributes).expect("create");
    disk.create_socket(root, b"socket", attributes)
        .expect("create");
    let mut disk = remount(disk);
    for (name, file_type) in [
        ("/pipe", ext2::FileType::Fifo),
        ("/socket", ext2::FileType::Socket),
    ] {
        let inode = disk.resolve(name.as_bytes()).expect("there");
        assert_eq!((inode.file_type(), inode.size()), (file_type, 0));
    }
    disk.unlink(root, b"pipe").expect("unlink");
    remount(disk);
}

#[test]
fn links_end_at_32_000() {
    let mut disk = empty(4096, 3000, 800);
    let root = disk.root();
    let file = create(&mut disk, "file").number();
    // Names are short and spread over directories, so that looking for them takes no time.
    let mut made = 1;
    let mut directory = root;
    let error = loop {
        if made % 50 == 1 {
            let name = format!("d{made}");
            directory = match disk.create_directory(root, name.as_bytes(), NewAttributes::default())
            {
                Ok(inode) => inode.number(),
                Err(_) => directory,
            };
        }
        match disk.link(directory, format!("{made}").as_bytes(), file) {
            Ok(()) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error, made), (Error::TooManyLinks, 32_000));
    remount(disk);
}

#[test]
fn times_and_owners_are_kept_with_nanoseconds() {
    let mut disk = empty(1024, 500, 32);
    let time = |seconds, nanoseconds| Time {
        seconds,
        nanoseconds,
    };
    disk.set_time(time(5_000_000_000, 123_456_789));
    let root = disk.root();
    let attributes = NewAttributes {
        permissions: 0o4751,
        uid: 0x1_0002,
        gid: 0x3_0004,
    };
    let file = disk
        .create(root, b"file", attributes)
        .expect("create")
        .number();
    let changes = ext2::Changes {
        accessed: Some(time(-5, 7)),
        modified: Some(time(1, 2)),
        ..ext2::Changes::default()
    };
    disk.change(file, &changes).expect("change");
    let disk = remount(disk);
    let inode = disk.inode(file).expect("read");
    assert_eq!(inode.mode(), 0o10_4751 & 0o7777 | 0x8000);
    assert_eq!((inode.uid(), inode.gid()), (0x1_0002, 0x3_0004));
    assert_eq!(inode.accessed_time(), time(-5, 7));
    assert_eq!(inode.modified_time(), time(1, 2));
    assert_eq!(inode.changed_time(), time(5_000_000_000, 123_456_789));
}

#[test]
fn the_time_of_creation_stays_where_inodes_have_room_for_it() {
    for (inode_size, has_room) in [("128", false), ("256", true)] {
        let work = tempdir().expect("make a folder");
        let (folder, image) = (work.path().join("folder"), work.path().join("image"));
        std::fs::create_dir_all(folder.join("from-mke2fs")).expect("make a folder");
        mke2fs(&folder, &image, "4M", &["-I", inode_size]);
        let mut disk = mount(&image);
        let time = |seconds, nanoseconds| Time {
            seconds,
            nanoseconds,
        };
        let created = time(5_000_000_000, 123_456_789);
        disk.set_time(created);
        let root = disk.root();
        let file = disk
            .create(root, b"file", NewAttributes::default())
            .expect("create");
        let expected = has_room.then_some(created);
        assert_eq!(file.created_time(), expected);
        disk.set_time(time(6_000_000_000, 0));
        disk.write(file.number(), 0, b"later").expect("write");
        disk.unmount().expect("unmount");
        assert_e2fsck_clean(&image);
        let disk = mount(&image);
        let file = disk.inode(file.number()).expect("read");
        assert_eq!(file.created_time(), expected);
        assert_eq!(file.modified_time().seconds == 6_000_000_000, has_room);
        let theirs = disk.resolve(b"from-mke2fs").expect("find");
        assert_eq!(theirs.created_time().is_some(), has_room);
        let shown = String::from_utf8(debugfs(&image, "stat file")).expect("text");
        assert_eq!(shown.contains("crtime"), has_room, "{shown}");
    }
}

#[test]
fn an_index_of_names_is_taken_away_from_a_directory_that_changes() {
    let work = tempdir().expect("make a folder");
    let (folder, image) = (work.path().join("folder"), work.path().join("image"));
    std::fs::create_dir_all(folder.join("many")).expect("make a folder");
    for index in 0..400 {
        std::fs::write(folder.join(format!("many/name-{index}")), b"x").expect("write");
    }
    mke2fs(&folder, &image, "4M", &["-b", "1024", "-O", "dir_index"]);
    // e2fsck makes the index. It ends with 1, because it changed something.
    let status = std::process::Command::new("/usr/sbin/e2fsck")
        .args(["-fyD".as_ref(), image.as_os_str()])
        .output()
        .expect("run e2fsck")
        .status;
    assert!(status.code().is_some_and(|code| code <= 1), "{status}");
    let shows_index = || {
        let text = debugfs(&image, "stat many");
        String::from_utf8_lossy(&text).contains("Flags: 0x1000")
    };
    assert!(shows_index());
    let mut disk = mount(&image);
    let many = disk.resolve(b"many").expect("find").number();
    for index in 0..100 {
        let (old, new) = (format!("name-{index}"), format!("another-{index}"));
        disk.rename(many, old.as_bytes(), many, new.as_bytes(), false)
            .expect("rename");
    }
    disk.unmount().expect("unmount");
    assert_e2fsck_clean(&image);
    assert!(!shows_index());
    let disk = mount(&image);
    let inode = disk.inode(many).expect("read");
    assert_eq!(disk.read_dir(&inode, 0).expect("list").count(), 402);
}

#[test]
fn an_open_file_outlives_its_name_and_a_power_cut_frees_it() {
    let mut disk = empty(1024, 500, 32);
    let free = (disk.facts().free_blocks, disk.facts().free_inodes);
    let root = disk.root();
    let mut files = Vec::new();
    for name in ["a", "b", "c"] {
        let file = create(&mut disk, name).number();
        disk.write(file, 0, &[3; 50_000]).expect("write");
        disk.pin(file);
        disk.unlink(root, name.as_bytes()).expect("unlink");
        files.push(file);
    }
    disk.sync().expect("sync");
    disk.unpin(files[1]).expect("close");
    disk.sync().expect("sync");
    let inode = disk.inode(files[0]).expect("is still there");
    assert_eq!(read_all(&disk, &inode), [3; 50_000]);
    assert_eq!(disk.link(root, b"back", files[0]), Err(Error::NotFound));
    // No unmount: the power is cut.
    let disk = FileSystem::mount(disk.into_device(), MountOptions::default()).expect("mount");
    assert!(!disk.facts().is_clean);
    // Their numbers stay as used until e2fsck has looked whether their names are gone too.
    let left = (free.0, free.1 - 2);
    assert_eq!((disk.facts().free_blocks, disk.facts().free_inodes), left);
    let image = disk.unmount().expect("unmount").into_inner();
    assert_eq!(check::check(&image), Ok(()));
    let work = tempdir().expect("make a folder");
    let file = work.path().join("image");
    std::fs::write(&file, image).expect("write the image");
    let repair = std::process::Command::new("e2fsck")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-p".as_ref(), file.as_os_str()])
        .output()
        .expect("e2fsck starts: install e2fsprogs");
    let text = String::from_utf8_lossy(&repair.stdout);
    assert_eq!(repair.status.code(), Some(1), "{text}");
    assert_e2fsck_clean(&file);
}

#[test]
fn only_a_change_marks_the_disk_as_in_use_and_unmounting_takes_the_mark_back() {
    let disk = empty(1024, 500, 32);
    let before = disk.device().borrow().clone();
    let mut disk = FileSystem::mount(disk.unmount().expect("unmount"), MountOptions::default())
        .expect("mount");
    disk.sync().expect("sync");
    assert!(
        *disk.device().borrow() == before,
        "reading changed the disk"
    );
    disk.set_time(Time {
        seconds: 1234,
        nanoseconds: 0,
    });
    let root = disk.root();
    create(&mut disk, "file");
    disk.fsync(root).expect("sync");
    let u16_at = |disk: &FileSystem<Memory>, at: usize| {
        let image = disk.device().borrow();
        u16::from_le_bytes([image[at], image[at + 1]])
    };
    assert_eq!(u16_at(&disk, 1024 + 58), 0, "state");
    assert_eq!(u16_at(&disk, 1024 + 52), 1, "mount count");
    assert_eq!(u16_at(&disk, 1024 + 44), 1234, "mount time");
    disk.mark_clean().expect("unmount");
    assert_eq!(u16_at(&disk, 1024 + 58), 1, "state");
    assert_eq!(u16_at(&disk, 1024 + 48), 1234, "write time");
}

#[test]
fn what_may_not_be_written_says_why() {
    let image = empty(1024, 500, 32).into_device();
    let mut disk = FileSystem::mount(&image, MountOptions { read_only: true }).expect("mount");
    let root = disk.root();
    let refused = disk.create(root, b"file", NewAttributes::default());
    assert_eq!(refused.err(), Some(Error::ReadOnly(ReadOnlyReason::Asked)));
    // huge_file, which is not known.
    image.borrow_mut()[1024 + 100] |= 8;
    let mut disk = FileSystem::mount(&image, MountOptions::default()).expect("mount");
    let error = disk
        .set_len(root, 0)
        .expect_err("it is read-only")
        .to_string();
    assert!(error.contains("huge_file"), "{error}");
}

#[test]
fn what_another_system_did_not_unmount_is_not_written() {
    let mut disk = empty(1024, 500, 32);
    let root = disk.root();
    create(&mut disk, "file");
    disk.fsync(root).expect("sync");
    let image = disk.into_device();
    let reason = || {
        let disk = FileSystem::mount(&image, MountOptions::default()).expect("mount");
        disk.facts().read_only
    };
    assert_eq!(reason(), None, "we did not unmount it");
    // Another system counts its mount.
    image.borrow_mut()[1024 + 52] += 1;
    assert_eq!(reason(), Some(ReadOnlyReason::NotUnmounted));
    image.borrow_mut()[1024 + 58] = 1;
    assert_eq!(reason(), None, "it unmounted it");
}

/// A device that counts.
#[derive(Default)]
struct Counting {
    image: Memory,
    writes: RefCell<Vec<usize>>,
    flushes: Cell<usize>,
}

impl BlockDevice for &Counting {
    fn len_bytes(&self) -> u64 {
        self.image.len_bytes()
    }
    fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.image.read(offset_bytes, buf)
    }
    fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), DeviceError> {
        self.writes.borrow_mut().push(buf.len());
        self.image.write(offset_bytes, buf)
    }
    fn flush(&self) -> Result<(), DeviceError> {
        self.flushes.set(self.flushes.get() + 1);
        Ok(())
    }
}

#[test]
fn few_flushes_and_writes_are_needed() {
    let device = Counting {
        image: empty(4096, 4000, 512).into_device(),
        ..Counting::default()
    };
    let mut disk = FileSystem::mount(&device, MountOptions::default()).expect("mount");
    let root = disk.root();
    let first = create(&mut disk, "first").number();
    disk.fsync(first).expect("sync");
    let count = |disk: &mut FileSystem<&Counting>, what: &dyn Fn(&mut FileSystem<&Counting>)| {
        device.writes.borrow_mut().clear();
        device.flushes.set(0);
        what(disk);
        disk.fsync(first).expect("sync");
        device.flushes.get()
    };
    let flushes = count(&mut disk, &|disk| {
        let file = create(disk, "small").number();
        disk.write(file, 0, &[1; 4096]).expect("write");
    });
    assert_eq!(flushes, 2, "a new file");
    let writes = device.writes.borrow().clone();
    assert!(writes.len() <= 8, "{writes:?}");
    let appended = count(&mut disk, &|disk| {
        disk.write(first, 0, &[2; 100]).expect("write");
    });
    assert_eq!(appended, 2, "a longer file");
    let overwritten = count(&mut disk, &|disk| {
        disk.write(first, 0, &[3; 100]).expect("write");
    });
    assert_eq!(overwritten, 1, "an overwritten file");
    let removed = count(&mut disk, &|disk| {
        disk.unlink(root, b"small").expect("unlink")
    });
    assert_eq!(removed, 2, "a removed file: the inode, then its name");
    let nothing = count(&mut disk, &|_| {});
    assert!(nothing <= 1, "what the removal left");
    assert_eq!(count(&mut disk, &|_| {}), 0, "nothing");

    // A long row is written in pieces as long as the pointers to it lie together.
    let long = create(&mut disk, "long").number();
    device.writes.borrow_mut().clear();
    disk.write(long, 0, &vec![5; 4 << 20]).expect("write");
    let writes = device.writes.borrow();
    assert!(writes.len() <= 4, "{writes:?}");
}

#[test]
fn a_host_file_serves_as_a_device() {
    let work = tempdir().expect("make a folder");
    let image = work.path().join("image");
    mke2fs(work.path(), &image, "2M", &["-b", "4096"]);
    let mut disk =
        FileSystem::mount(ImageFile::open(&image), MountOptions::default()).expect("mount");
    let file = create(&mut disk, "file").number();
    disk.write(file, 0, b"content").expect("write");
    disk.unmount().expect("unmount");
    assert_e2fsck_clean(&image);
    assert_eq!(debugfs(&image, "cat file"), b"content");
}
