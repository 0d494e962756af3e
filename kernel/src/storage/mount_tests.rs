//! Mounting real ext2 images, sound and damaged, made by the crate [`ext2`] or by hand.

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use ext2::make::{Attributes, Builder, Options};

use super::block_cache::tests::MemoryDisk;
use super::disks::{Disk, Volume, data_disks};
use super::mount::{MountRequest, mount_all};
use super::vfs::devfs::Devfs;
use super::vfs::namespace::{LastLink, Namespace};
use super::vfs::node::FileSystem;
use super::vfs::operations;
use super::vfs::tmpfs::Tmpfs;
use crate::devices::block::BlockDriver;
use crate::error::{Errno, Result as KernelResult};

fn mount(requests: &[&str], disks: &[Vec<u8>]) -> Result<Namespace, alloc::string::String> {
    let drivers = disks
        .iter()
        .map(|disk| MemoryDisk::new(disk.clone()) as Arc<dyn BlockDriver>);
    let requests: Result<Vec<_>, _> = requests
        .iter()
        .map(|word| MountRequest::parse(word))
        .collect();
    let requests = requests.map_err(|error| error.to_string())?;
    let make_scratch = || -> Arc<dyn FileSystem> { Arc::new(Tmpfs::new(1 << 20)) };
    let devices = Arc::new(Devfs::new(|_| {}));
    mount_all(&requests, &data_disks(drivers, 0), make_scratch, devices)
        .map_err(|error| error.to_string())
}

/// An ext2 image with `/web/index.html`, `/web/link` to it, and a file of 100,000 bytes.
fn sample() -> Vec<u8> {
    let mut builder = Builder::new(Options {
        block_size: 1024,
        ..Options::default()
    });
    let page = b"<h1>Hello</h1>";
    let large: &[u8] = &[7; 100_000];
    builder
        .add_directory("web", Attributes::directory())
        .expect("new");
    builder
        .add_file(
            "web/index.html",
            Attributes::file(),
            page.len() as u64,
            page.as_slice(),
        )
        .expect("new");
    builder
        .add_file("large", Attributes::file(), large.len() as u64, large)
        .expect("new");
    builder
        .add_symlink("web/link", Attributes::symlink(), "/web/index.html")
        .expect("new");
    let plan = builder.plan().expect("fits");
    let disk = MemoryDisk::new(vec![0; plan.size_bytes() as usize]);
    let volume = Volume::whole(Arc::new(Disk::new(disk.clone(), 0)));
    plan.write(&volume).expect("has room");
    core::mem::take(&mut *disk.content.lock())
}

fn read(names: &Namespace, path: &str) -> KernelResult<Vec<u8>> {
    let file = operations::open(names, names.root(), path.as_bytes(), libc::O_RDONLY, 0)?;
    let mut content = vec![0; 200_000];
    let len = file.read(&mut content)?;
    content.truncate(len);
    Ok(content)
}

/// Visits all that can be reached; how much that was.
fn walk(names: &Namespace, path: &str, depth: usize) -> KernelResult<usize> {
    assert!(depth < 100, "a loop in the tree at {path}");
    let at = format!("{path}/");
    let directory = operations::open(names, names.root(), at.as_bytes(), libc::O_DIRECTORY, 0)?;
    let mut count = 0;
    let mut entries = 0;
    while let Some((name, _)) = directory.next_entry()? {
        entries += 1;
        assert!(entries < 10_000, "a directory without an end at {path}");
        if matches!(&*name, b"." | b"..") {
            continue;
        }
        // Names of damaged disks need not be text; those are not followed.
        let Ok(name) = core::str::from_utf8(&name) else {
            continue;
        };
        let child = format!("{path}/{name}");
        let found = names.resolve(names.root(), child.as_bytes(), LastLink::Keep);
        let Ok(found) = found else { continue };
        found.node.metadata()?;
        count += if found.is_directory() {
            walk(names, &child, depth + 1).unwrap_or(0)
        } else {
            read(names, &child).map_or(0, |content| content.len())
        };
    }
    Ok(count + entries)
}

#[test]
fn files_of_a_read_only_disk_can_be_read_and_not_changed() {
    for (request, prefix) in [("disk0:/,ro", ""), ("disk0:/data/disk,ro", "/data/disk")] {
        let names = mount(&[request], &[sample()]).expect("sound");
        assert_eq!(
            read(&names, &format!("{prefix}/web/index.html")).as_deref(),
            Ok(&b"<h1>Hello</h1>"[..])
        );
        assert_eq!(
            read(&names, &format!("{prefix}/large")),
            Ok(vec![7; 100_000])
        );
        let open = |path: &str, flags| {
            let path = format!("{prefix}{path}");
            operations::open(&names, names.root(), path.as_bytes(), flags, 0o644).map(|_| ())
        };
        let read_only = Err(Errno(libc::EROFS));
        assert_eq!(open("/web/index.html", libc::O_RDWR), read_only);
        assert_eq!(open("/web/new", libc::O_RDWR | libc::O_CREAT), read_only);
        assert_eq!(
            open(
                "/web/index.html",
                libc::O_RDWR | libc::O_CREAT | libc::O_EXCL
            ),
            Err(Errno(libc::EEXIST))
        );
        assert_eq!(open("/web/none", libc::O_RDONLY), Err(Errno(libc::ENOENT)));
        let unlinked =
            operations::unlink(&names, names.root(), format!("{prefix}/large").as_bytes());
        assert_eq!(unlinked, read_only);
    }
    // The link is absolute: it leads from the root of all, not of the disk.
    let names = mount(&["disk0:/"], &[sample()]).expect("sound");
    assert_eq!(
        read(&names, "/web/link").as_deref(),
        Ok(&b"<h1>Hello</h1>"[..])
    );
    let names = mount(&["disk0:/data"], &[sample()]).expect("sound");
    assert_eq!(read(&names, "/data/web/link"), Err(Errno(libc::ENOENT)));
}

#[test]
fn a_damaged_disk_ends_in_an_error_or_less_content_and_never_in_a_panic() {
    let sound = sample();
    let names = mount(&["disk0:/"], core::slice::from_ref(&sound)).expect("sound");
    assert!(walk(&names, "", 0).expect("sound") > 100_000);
    let mut random = 1u64;
    for _ in 0..400 {
        let mut damaged = sound.clone();
        for _ in 0..8 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // The superblock, tables and directories are all within the first 64 KiB.
            damaged[(random >> 40) as usize % (64 << 10)] = (random >> 32) as u8;
        }
        if let Ok(names) = mount(&["disk0:/"], &[damaged]) {
            let _ = walk(&names, "", 0);
        }
    }
}

fn refusal(requests: &[&str], disks: &[Vec<u8>]) -> alloc::string::String {
    mount(requests, disks)
        .err()
        .unwrap_or_else(|| format!("{requests:?} was mounted"))
}

#[test]
fn what_cannot_be_mounted_is_refused_with_the_reason() {
    let empty = || vec![0; 1 << 20];
    let mut partitioned = empty();
    partitioned[450] = 0x83;
    partitioned[454..458].copy_from_slice(&100u32.to_le_bytes());
    partitioned[458..462].copy_from_slice(&200u32.to_le_bytes());
    partitioned[466] = 0x83;
    partitioned[470..474].copy_from_slice(&100u32.to_le_bytes());
    partitioned[474..478].copy_from_slice(&20_000u32.to_le_bytes());
    partitioned[510..512].copy_from_slice(&[0x55, 0xAA]);
    for (requests, disks, expected) in [
        (
            &["disk0:/"][..],
            vec![],
            "cannot mount disk0 at /: there is no such disk (0 data disks found)",
        ),
        (
            &["disk1:/"],
            vec![empty()],
            "cannot mount disk1 at /: there is no such disk (1 data disk found)",
        ),
        (
            &["disk0.1:/"],
            vec![empty()],
            "cannot mount disk0.1 at /: the disk has no partition table",
        ),
        (
            &["disk0.3:/"],
            vec![partitioned.clone()],
            "cannot mount disk0.3 at /: there is no such partition (there are: 1)",
        ),
        (
            &["disk0.2:/"],
            vec![partitioned.clone()],
            "cannot mount disk0.2 at /: partition 2 is not wholly on the disk",
        ),
        (
            &["disk0:/", "disk0.1:/x"],
            vec![empty()],
            "cannot mount disk0.1 at /x: it is mounted already",
        ),
        (
            &["disk:/"],
            vec![],
            "cannot mount \"disk:/\": expected diskN:/path or diskN.P:/path, and perhaps ,ro behind it",
        ),
        (
            &["disk0.0:/"],
            vec![],
            "cannot mount \"disk0.0:/\": expected diskN:/path or diskN.P:/path, and perhaps ,ro behind it",
        ),
        (
            &["disk0"],
            vec![],
            "cannot mount \"disk0\": expected diskN:/path or diskN.P:/path, and perhaps ,ro behind it",
        ),
        (
            &["disk0:data"],
            vec![],
            "cannot mount \"disk0:data\": expected diskN:/path or diskN.P:/path, and perhaps ,ro behind it",
        ),
    ] {
        assert_eq!(refusal(requests, &disks), expected);
    }
    // The field that is wrong, as the crate ext2 names it, and what could have been meant.
    let text = refusal(&["disk0:/data"], &[partitioned]);
    assert!(text.starts_with("cannot mount disk0 at /data: "), "{text}");
    assert!(
        text.contains("superblock") && text.contains("magic"),
        "{text}"
    );
    assert!(text.ends_with("(the disk has partitions: 1)"), "{text}");
}

#[test]
fn the_tree_without_files_has_devices_alone() {
    let devices = Arc::new(Devfs::new(|buf| buf.fill(4)));
    let names = super::mount::bare_tree(Arc::new(super::vfs::bare::Bare), devices).unwrap();
    let root = names.root();
    let nothing = root.node.read_dir(0, &mut |_| panic!("an entry"));
    assert_eq!(nothing, Ok(()));
    let find = |path: &[u8]| {
        names
            .find(root, path, LastLink::Follow)
            .map(|found| found.entry.is_some())
    };
    assert_eq!(find(b"/dev/null"), Ok(true));
    assert_eq!(find(b"/tmp"), Ok(false));
    assert!(names.mounts()[0].is_read_only());
}

/// A FAT of 512 KiB without anything in it, made by mkfs.fat.
fn fat() -> Vec<u8> {
    let path = std::env::temp_dir().join(format!("toro-mount-fat-{}", std::process::id()));
    std::fs::write(&path, vec![0; 512 << 10]).expect("a file");
    let made = std::process::Command::new("mkfs.fat").arg(&path).output();
    assert!(made.expect("mkfs.fat, of dosfstools").status.success());
    let content = std::fs::read(&path).expect("the image");
    std::fs::remove_file(&path).expect("there");
    content
}

#[test]
fn a_fat_is_found_by_itself_where_the_image_has_its_driver() {
    let whole = fat();
    let mut partitioned = vec![0; 1 << 20];
    partitioned[450] = 0x0E;
    partitioned[454..458].copy_from_slice(&100u32.to_le_bytes());
    partitioned[458..462].copy_from_slice(&1024u32.to_le_bytes());
    partitioned[510..512].copy_from_slice(&[0x55, 0xAA]);
    partitioned[51_200..51_200 + whole.len()].copy_from_slice(&whole);
    // No other test makes it known.
    let text = refusal(&["disk0:/"], core::slice::from_ref(&whole));
    assert!(
        text.starts_with("cannot mount disk0 at /: it is a FAT") && text.contains("file-systems"),
        "{text}"
    );
    super::mount::support_fat(super::vfs::fat::open);
    for (request, disk) in [("disk0:/", &whole), ("disk0.1:/data", &partitioned)] {
        let names = mount(&[request], core::slice::from_ref(disk)).expect("sound");
        let path = format!("{}/New File", request.split_once(':').expect("a path").1);
        let flags = libc::O_RDWR | libc::O_CREAT;
        let file = operations::open(&names, names.root(), path.as_bytes(), flags, 0o644);
        assert_eq!(file.expect("room").write(b"text"), Ok(4), "{path}");
        assert_eq!(read(&names, &path).as_deref(), Ok(&b"text"[..]));
    }
    // What looks like one and is none.
    let mut damaged = whole;
    damaged[13] = 0x80;
    damaged[14..24].fill(0xFF);
    damaged[16] = 2;
    let text = refusal(&["disk0:/"], &[damaged]);
    assert!(
        text.starts_with("cannot mount disk0 at /: the FAT on it: "),
        "{text}"
    );
}
