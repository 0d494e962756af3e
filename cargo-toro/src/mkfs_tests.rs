//! Images as they are made: what is in them, and what is refused.

use super::*;
use crate::volume::device::Access;
use crate::volume::{self, FileType, NewMetadata, Volume};
use std::process::Command;

fn site() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let www = home.path().join("www");
    std::fs::create_dir_all(www.join("pages/deep")).unwrap();
    std::fs::write(www.join("index.html"), "hello").unwrap();
    std::fs::write(www.join("pages/empty.html"), "").unwrap();
    std::fs::write(
        www.join("pages/deep/A name that is longer than eleven.text"),
        [7; 100_000],
    )
    .unwrap();
    home
}

fn quiet() -> Shell {
    Shell {
        quiet: true,
        ..Shell::default()
    }
}

fn make_in(home: &Path, name: &str, request: &Request) -> Result<Made> {
    make(&home.join(name), &home.join("www"), request, &quiet())
}

fn read(volume: &dyn Volume, path: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    volume.read(path, &mut content).unwrap();
    content
}

fn requests() -> Vec<Request> {
    let mut all = Vec::new();
    for kind in [Kind::Ext2, Kind::Fat] {
        for partition in [None, Some(Table::Mbr), Some(Table::Gpt)] {
            all.push(Request {
                kind,
                partition,
                label: Some("web".into()),
                ..Request::default()
            });
        }
    }
    all
}

#[test]
fn every_kind_of_image_holds_the_folder_and_can_be_changed() {
    let home = site();
    for (index, request) in requests().iter().enumerate() {
        let name = format!("{index}.img");
        make_in(home.path(), &name, request).unwrap();
        let image = home.path().join(&name);
        let number = request.partition.map(|_| 1);
        let mut volume = volume::open(&image, number, Access::Write).unwrap();
        assert_eq!(read(&*volume, b"/index.html"), b"hello", "{request:?}");
        let deep = b"pages/deep/A name that is longer than eleven.text";
        assert_eq!(read(&*volume, deep), [7; 100_000]);
        assert_eq!(volume.metadata(b"pages/none").unwrap(), None);
        let metadata = volume::NewMetadata {
            permissions: 0o640,
            modified: 1_000_000_000,
        };
        volume.make_directory(b"/new", metadata).unwrap();
        volume
            .write(b"/new/file", metadata, &mut b"one".as_slice())
            .unwrap();
        volume
            .write(b"/new/file", metadata, &mut b"another".as_slice())
            .unwrap();
        assert!(volume.remove(b"/new").is_err());
        volume.rename(b"/new/file", b"/moved").unwrap();
        volume.remove(b"/new").unwrap();
        volume.remove(deep).unwrap();
        volume.finish().unwrap();
        let volume = volume::open(&image, None, Access::Read).unwrap();
        let found = volume.metadata(b"/moved").unwrap().unwrap();
        assert_eq!((found.len_bytes, found.modified), (7, 1_000_000_000));
        assert_eq!(read(&*volume, b"moved"), b"another");
        assert_eq!(volume.list(b"pages/deep").unwrap(), []);
        let names: Vec<_> = volume.list(b"/").unwrap();
        assert!(names.iter().all(|(name, _)| !name.ends_with(b"unfinished")));
        assert_eq!(
            volume.metadata(b"pages").unwrap().unwrap().kind,
            FileType::Directory
        );
        assert!(volume.check().unwrap().unwrap_or_default().is_empty());
    }
}

/// Runs a judge on an image; says so where it is missing on this host.
fn judge(program: &str, arguments: &[&str], image: &Path) {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .args(arguments)
        .arg(image)
        .output();
    match output {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{program}: {said}");
        }
        Err(error) => eprintln!("left out: {program}: {error}"),
    }
}

#[test]
fn others_find_nothing_wrong_with_tables_and_file_systems() {
    let home = site();
    for (index, request) in requests().iter().enumerate() {
        let name = format!("{index}.img");
        make_in(home.path(), &name, request).unwrap();
        let image = home.path().join(&name);
        if request.partition == Some(Table::Gpt) {
            judge("sgdisk", &["-v"], &image);
        }
        if let Some(table) = request.partition {
            // The file system alone.
            let bytes = std::fs::read(&image).unwrap();
            let end = bytes.len() - usize::try_from(partitions::around(table).1).unwrap();
            std::fs::write(&image, &bytes[1 << 20..end]).unwrap();
        }
        match request.kind {
            Kind::Ext2 => judge("e2fsck", &["-fn"], &image),
            Kind::Fat => judge("fsck.fat", &["-n"], &image),
        }
    }
}

#[test]
fn folders_of_a_large_fat_lead_back_to_its_root() {
    let home = site();
    let request = Request {
        kind: Kind::Fat,
        size: Some(Size::mib(512)),
        ..Request::default()
    };
    make_in(home.path(), "large.img", &request).unwrap();
    let image = home.path().join("large.img");
    judge("fsck.fat", &["-n"], &image);
    let mut fat = crate::volume::open(&image, None, Access::Write).unwrap();
    let new = NewMetadata {
        permissions: 0o755,
        modified: 0,
    };
    fat.make_directory(b"new", new).unwrap();
    fat.make_directory(b"/new/below", new).unwrap();
    fat.finish().unwrap();
    judge("fsck.fat", &["-n"], &image);
}

#[test]
fn equal_folders_make_equal_images() {
    let home = site();
    for request in requests() {
        make_in(home.path(), "one.img", &request).unwrap();
        make_in(home.path(), "other.img", &request).unwrap();
        let read = |name: &str| std::fs::read(home.path().join(name)).unwrap();
        assert!(read("one.img") == read("other.img"), "{request:?}");
        // What was made here may be made again.
        make_in(home.path(), "one.img", &Request::default()).unwrap();
    }
}

#[test]
fn a_size_that_is_too_small_says_which_would_do() {
    let home = site();
    std::fs::write(home.path().join("www/large"), vec![1; 3 << 20]).unwrap();
    for request in requests() {
        let small = Request {
            size: Some(Size { bytes: 3 << 20 }),
            ..request
        };
        let error = make_in(home.path(), "small.img", &small).unwrap_err();
        let advice = crate::failure::advice(&error).concat();
        assert!(!home.path().join("small.img").exists());
        let size = advice
            .strip_prefix("give it --size ")
            .unwrap_or_else(|| panic!("{error:#}"));
        let size = size.split(' ').next().unwrap().parse().unwrap();
        let enough = Request {
            size: Some(size),
            ..small
        };
        if enough.kind == Kind::Ext2 {
            make_in(home.path(), "enough.img", &enough).unwrap();
        }
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 2);
}

#[test]
#[cfg_attr(windows, ignore = "Windows is not asked where a file has holes")]
fn sparse_files_stay_sparse() {
    let home = site();
    let file = File::create(home.path().join("www/sparse")).unwrap();
    file.set_len(1 << 30).unwrap();
    crate::host::write_all_at(&file, b"end", (1 << 30) - 3).unwrap();
    let made = make_in(home.path(), "a.img", &Request::default()).unwrap();
    assert!(made.size < Size::mib(20), "{}", made.size);
    let volume = volume::open(&home.path().join("a.img"), None, Access::Read).unwrap();
    let found = volume.metadata(b"sparse").unwrap().unwrap();
    assert_eq!(found.len_bytes, 1 << 30);
}

#[test]
fn an_image_cannot_contain_itself() {
    let home = site();
    let image = home.path().join("www/pages/web.img");
    let error = make(
        &image,
        &home.path().join("www"),
        &Request::default(),
        &quiet(),
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("would lie in the folder"),
        "{error}"
    );
}

#[test]
fn a_file_of_somebody_else_is_not_overwritten() {
    let home = site();
    let image = home.path().join("web.img");
    std::fs::write(&image, "precious").unwrap();
    assert!(make_in(home.path(), "web.img", &Request::default()).is_err());
    assert_eq!(std::fs::read(&image).unwrap(), b"precious");
    let forced = Request {
        is_forced: true,
        ..Request::default()
    };
    assert!(make_in(home.path(), "web.img", &forced).is_ok());
}

#[test]
fn an_image_in_use_is_not_replaced() {
    let home = site();
    make_in(home.path(), "web.img", &Request::default()).unwrap();
    let user = FileDevice::open(&home.path().join("web.img"), Access::Write).unwrap();
    let error = make_in(home.path(), "web.img", &Request::default()).unwrap_err();
    assert!(error.to_string().contains("is in use"), "{error}");
    drop(user);
    make_in(home.path(), "web.img", &Request::default()).unwrap();
}

#[cfg(unix)]
#[test]
fn links_are_kept_in_ext2_and_refused_in_fat() {
    let home = site();
    let www = home.path().join("www");
    std::fs::hard_link(www.join("index.html"), www.join("same.html")).unwrap();
    std::os::unix::fs::symlink("index.html", www.join("link")).unwrap();
    make_in(home.path(), "a.img", &Request::default()).unwrap();
    let volume = volume::open(&home.path().join("a.img"), None, Access::Read).unwrap();
    assert_eq!(volume.metadata(b"same.html").unwrap().unwrap().links, 2);
    assert_eq!(volume.read_link(b"link").unwrap(), b"index.html");
    let fat = Request {
        kind: Kind::Fat,
        ..Request::default()
    };
    let error = make_in(home.path(), "b.img", &fat).unwrap_err();
    assert!(
        format!("{error:#}").contains("FAT has no symbolic links"),
        "{error:#}"
    );
}
