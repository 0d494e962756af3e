//! Images made by `ext2::make`, judged by e2fsck, debugfs and our own reader.

mod common;

use std::fs;

use common::{
    ImageFile, add_folder, assert_e2fsck_clean, assert_same_as_folder, debugfs, fill_folder,
    make_image, mount, noise, read_all, write_image,
};
use ext2::make::{Attributes, Builder, Content, MakeError, Options};
use ext2::{BlockDevice, DeviceError};
use tempfile::tempdir;

#[test]
fn every_block_size_is_clean_and_holds_the_folder() {
    let work = tempdir().expect("make a folder");
    let folder = work.path().join("folder");
    fill_folder(&folder);
    for block_size in [1024, 2048, 4096] {
        let image = work.path().join(format!("{block_size}.ext2"));
        make_image(
            &folder,
            &image,
            Options {
                block_size,
                ..Options::default()
            },
        );
        assert_e2fsck_clean(&image);
        let disk = mount(&image);
        assert_eq!(disk.facts().block_size, block_size);
        assert_same_as_folder(&disk, &folder);
    }
}

#[test]
fn revision_0_is_clean_and_holds_the_folder() {
    let work = tempdir().expect("make a folder");
    let folder = work.path().join("folder");
    fill_folder(&folder);
    for block_size in [1024, 4096] {
        let image = work.path().join(format!("{block_size}.ext2"));
        let options = Options {
            block_size,
            revision: 0,
            // Several groups, each with a backup.
            size_bytes: Some(40 << 20),
            ..Options::default()
        };
        make_image(&folder, &image, options);
        assert_e2fsck_clean(&image);
        let disk = mount(&image);
        assert_eq!(disk.facts().revision, 0);
        assert_same_as_folder(&disk, &folder);
    }
    let refused = Builder::new(Options {
        revision: 2,
        ..Options::default()
    });
    assert_eq!(refused.plan().map(drop), Err(MakeError::Revision(2)));
}

/// A file of `len` bytes, of which only the last few are not zeros, that knows so.
struct Sparse {
    len: u64,
    at: u64,
}

impl Content for Sparse {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, String> {
        let now = buf.len().min((self.len - self.at) as usize);
        for byte in &mut buf[..now] {
            *byte = u8::from(self.at >= self.len - 3);
            self.at += 1;
        }
        Ok(now)
    }

    fn skip_zeros(&mut self, unit: u64) -> Result<u64, String> {
        let skipped = (self.len - 3 - self.at) / unit * unit;
        self.at += skipped;
        Ok(skipped)
    }
}

#[test]
fn blocks_of_zeros_take_no_room() {
    let work = tempdir().expect("make a folder");
    let image = work.path().join("image");
    for block_size in [1024, 4096] {
        let mut content = vec![0; 100_000];
        content[50_000] = 1;
        let mut builder = Builder::new(Options {
            block_size,
            size_bytes: Some(2 << 20),
            ..Options::default()
        });
        // It reaches into the triple indirect tree.
        let len = 5 << 30;
        let sparse = Sparse { len, at: 0 };
        builder
            .add_sparse_file("sparse", Attributes::file(), len, 1, sparse)
            .expect("add a file");
        builder
            .add_file("zeros", Attributes::file(), 100_000, &*content)
            .expect("add a file");
        write_image(builder, &image);
        assert_e2fsck_clean(&image);
        let disk = mount(&image);
        let file = disk.resolve(b"/sparse").expect("find the file");
        assert_eq!(file.size(), len);
        assert!(file.blocks_of_512() <= u64::from(block_size / 512 * 4));
        let mut end = [9; 10];
        disk.read(&file, len - 10, &mut end).expect("read");
        assert_eq!(end, [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
        let file = disk.resolve(b"/zeros").expect("find the file");
        assert_eq!(read_all(&disk, &file), content);
        assert!(file.blocks_of_512() <= u64::from(block_size / 512 * 2));
    }
}

#[test]
fn a_blank_device_gets_the_same_image_with_less_writing() {
    struct Counting(std::cell::RefCell<Vec<u8>>, std::cell::Cell<usize>);
    impl BlockDevice for Counting {
        fn len_bytes(&self) -> u64 {
            self.0.len_bytes()
        }
        fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
            self.0.read(offset, buf)
        }
        fn write(&self, offset: u64, buf: &[u8]) -> Result<(), DeviceError> {
            self.1.set(self.1.get() + buf.len());
            self.0.write(offset, buf)
        }
        fn flush(&self) -> Result<(), DeviceError> {
            Ok(())
        }
    }
    let device = || Counting(vec![0; 32 << 20].into(), 0.into());
    let plan = || {
        let mut builder = Builder::new(Options {
            size_bytes: Some(32 << 20),
            ..Options::default()
        });
        let content = noise(1, 100_000);
        let content = std::io::Cursor::new(content);
        struct Reader(std::io::Cursor<Vec<u8>>);
        impl Content for Reader {
            fn read(&mut self, buf: &mut [u8]) -> Result<usize, String> {
                std::io::Read::read(&mut self.0, buf).map_err(|error| error.to_string())
            }
        }
        builder
            .add_file("f", Attributes::file(), 100_000, Reader(content))
            .expect("add a file");
        builder.plan().expect("plan")
    };
    let (all, blank) = (device(), device());
    plan().write(&all).expect("write");
    plan().write_to_blank(&blank).expect("write");
    assert!(all.0 == blank.0, "the images differ");
    assert!(blank.1.get() < 200_000, "{} bytes", blank.1.get());
}

#[test]
fn debugfs_reads_the_same_content() {
    let work = tempdir().expect("make a folder");
    let folder = work.path().join("folder");
    fill_folder(&folder);
    for block_size in [1024, 4096] {
        let image = work.path().join("image");
        make_image(
            &folder,
            &image,
            Options {
                block_size,
                ..Options::default()
            },
        );
        for name in [
            "sizes/0",
            "sizes/12289",
            "sizes/single",
            "sizes/double",
            "many/file-0299",
        ] {
            let expected = fs::read(folder.join(name)).expect("read a file");
            assert!(
                debugfs(&image, &format!("cat /{name}")) == expected,
                "{name} differs"
            );
        }
        let stat = String::from_utf8(debugfs(&image, "stat /shortest-long")).expect("text");
        assert!(stat.contains("Type: symlink"), "{stat}");
        let list = String::from_utf8(debugfs(&image, "ls -p /many")).expect("text");
        assert_eq!(
            list.lines().filter(|line| line.contains("file-")).count(),
            300
        );
    }
}

#[test]
fn equal_input_gives_equal_bytes_in_any_order_of_adding() {
    let make = |names: &[&str], fill: u8| {
        let mut builder = Builder::new(Options::default());
        builder
            .add_directory("d", Attributes::directory())
            .expect("add");
        for name in names {
            let path = format!("d/{name}");
            builder
                .add_file(path, Attributes::file(), 5, name.as_bytes())
                .expect("add");
        }
        let plan = builder.plan().expect("plan");
        let image = std::cell::RefCell::new(vec![fill; plan.size_bytes() as usize]);
        plan.write(&image).expect("write");
        image.into_inner()
    };
    let one = make(&["first", "other", "third"], 0);
    assert!(
        one == make(&["third", "first", "other"], 0),
        "the order of adding shows"
    );
    assert!(
        one != make(&["third", "first", "OTHER"], 0),
        "a name does not show"
    );
}

#[test]
fn many_groups_have_backups_that_e2fsck_takes() {
    let work = tempdir().expect("make a folder");
    let image = work.path().join("image");
    let content = noise(9, 30 * 1024 * 1024);
    let mut builder = Builder::new(Options {
        block_size: 1024,
        size_bytes: Some(100 * 1024 * 1024 + 511),
        label: "a label too long to fit".into(),
        uuid: Some(*b"0123456789abcdef"),
        timestamp: 1_700_000_000,
        ..Options::default()
    });
    builder
        .add_file("f", Attributes::file(), content.len() as u64, &*content)
        .expect("add");
    let plan = builder.plan().expect("plan");
    let size_bytes = plan.size_bytes();
    assert_eq!(size_bytes, 100 * 1024 * 1024 + 511);
    plan.write(&ImageFile::create(&image, size_bytes))
        .expect("write");
    assert_e2fsck_clean(&image);
    let disk = mount(&image);
    assert_eq!(disk.facts().label(), b"a label too long");
    assert_eq!(&disk.facts().uuid, b"0123456789abcdef");
    assert!(disk.facts().is_clean);
    assert!(read_all(&disk, &disk.resolve(b"/f").expect("find")) == content);
    // Group 1 begins at block 8193 and has a copy of the superblock.
    common::run(
        "e2fsck",
        &["-fn", "-b", "8193", "-B", "1024"]
            .map(AsRef::as_ref)
            .into_iter()
            .chain([image.as_ref()])
            .collect::<Vec<_>>(),
    );
}

#[test]
fn ten_thousand_entries_and_subdirectories() {
    let work = tempdir().expect("make a folder");
    let image = work.path().join("image");
    let mut builder = Builder::new(Options::default());
    builder
        .add_directory("d", Attributes::directory())
        .expect("add");
    for index in 0..10_000 {
        let path = format!("d/{}{index}", "long name ".repeat(index % 20));
        if index % 10 == 0 {
            builder
                .add_directory(path, Attributes::directory())
                .expect("add");
        } else {
            builder
                .add_file(path, Attributes::file(), 4, b"1234".as_slice())
                .expect("add");
        }
    }
    write_image(builder, &image);
    assert_e2fsck_clean(&image);
    let disk = mount(&image);
    let directory = disk.resolve(b"/d").expect("find");
    assert_eq!(disk.read_dir(&directory, 0).expect("list").count(), 10_002);
    assert_eq!(directory.links(), 1002);
    let last = disk.resolve(b"/d/9999");
    assert_eq!(last.map(|inode| inode.size()), Err(ext2::Error::NotFound));
    let name = format!("/d/{}9999", "long name ".repeat(19));
    assert_eq!(disk.resolve(name.as_bytes()).expect("find").size(), 4);
}

#[test]
fn hard_links_share_an_inode() {
    let work = tempdir().expect("make a folder");
    let image = work.path().join("image");
    let mut builder = Builder::new(Options::default());
    builder
        .add_directory("d", Attributes::directory())
        .expect("add");
    builder
        .add_file("one", Attributes::file(), 3, b"abc".as_slice())
        .expect("add");
    builder.add_hard_link("d/two", "one").expect("add");
    assert_eq!(
        builder.add_hard_link("three", "d"),
        Err(MakeError::LinkTarget(b"three".to_vec()))
    );
    write_image(builder, &image);
    assert_e2fsck_clean(&image);
    let disk = mount(&image);
    let (one, two) = (
        disk.resolve(b"one").expect("find"),
        disk.resolve(b"d/two").expect("find"),
    );
    assert_eq!((one.number(), one.links()), (two.number(), 2));
}

#[test]
fn times_before_1970_and_after_2038_are_kept() {
    let work = tempdir().expect("make a folder");
    let image = work.path().join("image");
    let times = [
        -2_147_483_648,
        -1,
        0,
        2_147_483_647,
        2_147_483_648,
        4_294_967_296,
        15_032_385_535,
    ];
    let mut builder = Builder::new(Options::default());
    for time in times {
        let attributes = Attributes {
            modified: time,
            ..Attributes::file()
        };
        builder
            .add_file(format!("t{time}"), attributes, 0, [].as_slice())
            .expect("add");
    }
    write_image(builder, &image);
    assert_e2fsck_clean(&image);
    let disk = mount(&image);
    for time in times {
        let inode = disk.resolve(format!("t{time}").as_bytes()).expect("find");
        assert_eq!(
            (inode.modified(), inode.changed(), inode.accessed()),
            (time, time, time)
        );
    }
}

#[test]
fn a_folder_that_does_not_fit_names_the_size_that_does() {
    let work = tempdir().expect("make a folder");
    let folder = work.path().join("folder");
    fill_folder(&folder);
    let plan = |size_bytes| {
        let options = Options {
            size_bytes: Some(size_bytes),
            ..Options::default()
        };
        let mut builder = Builder::new(options);
        add_folder(&mut builder, &folder, b"");
        builder.plan()
    };
    let Err(MakeError::TooSmall {
        needed_bytes,
        size_bytes: 2_000_000,
    }) = plan(2_000_000)
    else {
        panic!("28 MB fit in 2 MB");
    };
    assert!(matches!(
        plan(needed_bytes - 4096),
        Err(MakeError::TooSmall { .. })
    ));
    let plan = plan(needed_bytes).expect("the size named is enough");
    let image = work.path().join("image");
    plan.write(&ImageFile::create(&image, needed_bytes))
        .expect("write");
    assert_e2fsck_clean(&image);
    assert_same_as_folder(&mount(&image), &folder);
}

#[test]
fn the_inodes_that_were_asked_for_are_there_or_the_size_that_they_need_is_named() {
    let plan = |block_size, inodes, size_bytes| {
        let options = Options {
            block_size,
            inode_count: Some(inodes),
            size_bytes,
            ..Options::default()
        };
        Builder::new(options).plan()
    };
    let work = tempdir().expect("make a folder");
    let image = work.path().join("image");
    for block_size in [1024, 2048, 4096] {
        for asked in [11, 300, 8192, 40_000, 100_000] {
            let (size, is_enough) = match plan(block_size, asked, Some(10 << 20)) {
                Ok(_) => (10 << 20, true),
                Err(MakeError::TooSmall { needed_bytes, .. }) => (needed_bytes, false),
                Err(error) => panic!("{asked} inodes: {error}"),
            };
            assert_eq!(is_enough, asked <= 8192, "{asked} inodes");
            let plan = plan(block_size, asked, Some(size)).expect("the size named is enough");
            plan.write(&ImageFile::create(&image, size)).expect("write");
            assert_e2fsck_clean(&image);
            assert!(mount(&image).facts().inodes >= asked);
        }
        let any_size = plan(block_size, 100_000, None).expect("as large as it must be");
        let device = ImageFile::create(&image, any_size.size_bytes());
        any_size.write(&device).expect("write");
        assert!(mount(&image).facts().inodes >= 100_000);
    }
    let too_many = plan(4096, u32::MAX, Some(10 << 20));
    assert!(matches!(
        too_many,
        Err(MakeError::TooLarge | MakeError::TooSmall { .. })
    ));
}

#[test]
fn an_image_over_garbage_is_clean() {
    let work = tempdir().expect("make a folder");
    let image = work.path().join("image");
    let mut builder = Builder::new(Options {
        block_size: 1024,
        ..Options::default()
    });
    builder
        .add_file("f", Attributes::file(), 1, b"x".as_slice())
        .expect("add");
    let plan = builder.plan().expect("plan");
    fs::write(&image, noise(5, plan.size_bytes() as usize)).expect("write garbage");
    plan.write(&ImageFile::open(&image)).expect("write");
    assert_e2fsck_clean(&image);
}

#[test]
fn nothing_but_lost_and_found_is_clean() {
    let work = tempdir().expect("make a folder");
    let image = work.path().join("image");
    for block_size in [1024, 2048, 4096] {
        write_image(
            Builder::new(Options {
                block_size,
                ..Options::default()
            }),
            &image,
        );
        assert_e2fsck_clean(&image);
    }
}

/// Zeros, then a mark as the last bytes.
struct Zeros {
    left: u64,
}

const MARK: &[u8] = b"the end";

impl Content for Zeros {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, String> {
        if self.left == MARK.len() as u64 {
            self.left = 0;
            buf[..MARK.len()].copy_from_slice(MARK);
            return Ok(MARK.len());
        }
        let len = buf
            .len()
            .min(self.left.saturating_sub(MARK.len() as u64) as usize);
        buf[..len].fill(0);
        self.left -= len as u64;
        Ok(len)
    }
}

/// A new image file that stays sparse: zeros are not written.
struct SparseImage(ImageFile);

impl BlockDevice for SparseImage {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }
    fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read(offset_bytes, buf)
    }
    fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), DeviceError> {
        static ZEROS: [u8; 1 << 18] = [0; 1 << 18];
        if ZEROS.get(..buf.len()) == Some(buf) {
            return Ok(());
        }
        self.0.write(offset_bytes, buf)
    }
    fn flush(&self) -> Result<(), DeviceError> {
        self.0.flush()
    }
}

#[test]
fn a_file_of_more_than_2_gib_is_clean_and_read_to_its_end() {
    let work = tempdir().expect("make a folder");
    let image = work.path().join("image");
    let len = (1 << 31) + 4321;
    let mut builder = Builder::new(Options {
        block_size: 1024,
        ..Options::default()
    });
    builder
        .add_file("large", Attributes::file(), len, Zeros { left: len })
        .expect("add");
    let plan = builder.plan().expect("plan");
    let device = SparseImage(ImageFile::create(&image, plan.size_bytes()));
    plan.write(&device).expect("write");
    assert_e2fsck_clean(&image);
    let disk = mount(&image);
    let inode = disk.resolve(b"large").expect("find");
    assert_eq!(inode.size(), len);
    let mut buf = [1; 32];
    assert_eq!(disk.read(&inode, len - 10, &mut buf), Ok(10));
    assert_eq!(&buf[..10], [&[0; 3], MARK].concat());
}

#[test]
fn what_can_not_be_added_is_refused_by_its_path() {
    let mut builder = Builder::new(Options::default());
    let mut add = |path: &[u8]| builder.add_file(path, Attributes::file(), 0, [].as_slice());
    let path = |path: &[u8]| path.to_vec();
    assert_eq!(add(b"/f"), Ok(()));
    assert_eq!(add(b"f"), Err(MakeError::Exists(path(b"f"))));
    assert_eq!(add(b"f/x"), Err(MakeError::NoParent(path(b"f/x"))));
    assert_eq!(add(b"no/x"), Err(MakeError::NoParent(path(b"no/x"))));
    for name in [b"".as_slice(), b"/", b"..", b"x/.", b"a\0b", &[b'x'; 256]] {
        assert!(
            matches!(add(name), Err(MakeError::Name(_) | MakeError::NoParent(_))),
            "{name:?}"
        );
    }
    assert_eq!(add(b"lost+found/x"), Ok(()));
    assert_eq!(
        builder.add_directory("f", Attributes::directory()),
        Err(MakeError::Exists(path(b"f")))
    );
    for target in [[b'x'; 4096].as_slice(), b"", b"a\0b"] {
        let result = builder.add_symlink("l", Attributes::symlink(), target);
        assert_eq!(result, Err(MakeError::SymlinkTarget(path(b"l"))));
    }
    assert_eq!(
        builder.add_directory(
            "/",
            Attributes {
                uid: 7,
                ..Attributes::directory()
            }
        ),
        Ok(())
    );
}

#[test]
fn options_that_can_not_be_are_refused() {
    let plan = |options| Builder::new(options).plan().map(|_| ());
    let standard = Options::default;
    assert_eq!(
        plan(Options {
            block_size: 512,
            ..standard()
        }),
        Err(MakeError::BlockSize(512))
    );
    assert_eq!(
        plan(Options {
            inode_count: Some(5),
            ..standard()
        }),
        Err(MakeError::TooFewInodes {
            needed: 11,
            asked: 5
        })
    );
    for size_bytes in [0, 1, 1024, 8192] {
        let result = plan(Options {
            size_bytes: Some(size_bytes),
            ..standard()
        });
        assert!(
            matches!(result, Err(MakeError::TooSmall { .. })),
            "{size_bytes}: {result:?}"
        );
    }
    assert_eq!(
        plan(Options {
            size_bytes: Some(1 << 50),
            ..standard()
        }),
        Err(MakeError::TooLarge)
    );
}

#[test]
fn a_file_that_changes_or_fails_is_named() {
    struct Fails;
    impl Content for Fails {
        fn read(&mut self, _: &mut [u8]) -> Result<usize, String> {
            Err("no permission".into())
        }
    }
    let write = |add: &dyn Fn(&mut Builder<'_>) -> Result<(), MakeError>| {
        let mut builder = Builder::new(Options::default());
        add(&mut builder).expect("add");
        let plan = builder.plan().expect("plan");
        let image = std::cell::RefCell::new(vec![0; plan.size_bytes() as usize]);
        plan.write(&image).expect_err("it is refused").to_string()
    };
    let file = Attributes::file;
    assert_eq!(
        write(&|builder| builder.add_file("f", file(), 1, Fails)),
        "f: no permission"
    );
    for len in [2, 4] {
        assert_eq!(
            write(&|builder| builder.add_file("f", file(), len, b"abc".as_slice())),
            "f: it changed while it was read"
        );
    }
}

#[test]
fn a_device_that_is_too_small_is_refused() {
    let plan = Builder::new(Options::default()).plan().expect("plan");
    let needed_bytes = plan.size_bytes();
    let image = std::cell::RefCell::new(vec![0; 5000]);
    assert_eq!(
        plan.write(&image),
        Err(MakeError::TooSmall {
            needed_bytes,
            size_bytes: 5000
        })
    );
}

/// Unmounts when the test ends, however it does.
struct Mounted<'a>(&'a std::path::Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // A mount that stays shows as a folder that can not be removed.
        let _ = std::process::Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn linux_reads_the_same_content() {
    let work = tempdir().expect("make a folder");
    let (folder, point) = (work.path().join("folder"), work.path().join("point"));
    let image = work.path().join("image");
    fill_folder(&folder);
    fs::create_dir(&point).expect("make a folder");
    make_image(&folder, &image, Options::default());
    let mut mount = std::process::Command::new("mount");
    mount.args(["-o", "loop,ro"]).arg(&image).arg(&point);
    let output = mount.output().expect("start mount");
    if !output.status.success() {
        // It takes root and a loop device, which not every machine has.
        eprintln!(
            "left out: mount said {}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    let _mounted = Mounted(&point);
    let mut diff = std::process::Command::new("diff");
    diff.args(["-r", "--no-dereference", "--exclude=lost+found"])
        .arg(&folder)
        .arg(&point);
    let output = diff.output().expect("start diff");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
