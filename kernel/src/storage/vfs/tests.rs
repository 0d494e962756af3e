//! Names and files on a tmpfs, with what Linux answers as the measure.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::devfs::Devfs;
use super::file::OpenFile;
use super::namespace::{Bounds, Entry, LastLink, Namespace};
use super::node::{FileSystem, NodeKind};
use super::operations;
use super::tmpfs::Tmpfs;
use crate::error::{Errno, Result};
use libc::{
    O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY,
};

/// A tree, with shorthands.
struct Tree {
    names: Namespace,
    base: Arc<Entry>,
}

impl Tree {
    fn new() -> Self {
        Self::with_limit(1 << 20)
    }

    fn with_limit(bytes: u64) -> Self {
        let names = Namespace::new(Arc::new(Tmpfs::new(bytes))).expect("a root");
        let base = names.root().clone();
        Self { names, base }
    }

    fn mount(&mut self, name: &str, file_system: Arc<dyn FileSystem>) {
        let root = self.names.root().clone();
        self.names
            .mount(&root, name.as_bytes(), file_system)
            .expect("a root");
    }

    fn open(&self, path: &str, flags: i32) -> Result<OpenFile> {
        operations::open(&self.names, &self.base, path.as_bytes(), flags, 0o644)
    }

    fn write(&self, path: &str, content: &str) {
        let file = self
            .open(path, O_WRONLY | O_CREAT | O_TRUNC)
            .expect("can be created");
        assert_eq!(file.write(content.as_bytes()), Ok(content.len()));
    }

    fn read(&self, path: &str) -> Result<String> {
        let file = self.open(path, O_RDONLY)?;
        let mut content = vec![0; 100];
        let len = file.read(&mut content)?;
        content.truncate(len);
        Ok(String::from_utf8(content).expect("text"))
    }

    fn mkdir(&self, path: &str) -> Result<()> {
        operations::make_directory(&self.names, &self.base, path.as_bytes(), 0o755)
    }

    fn rmdir(&self, path: &str) -> Result<()> {
        operations::remove_directory(&self.names, &self.base, path.as_bytes())
    }

    fn unlink(&self, path: &str) -> Result<()> {
        operations::unlink(&self.names, &self.base, path.as_bytes())
    }

    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        operations::make_symlink(&self.names, target.as_bytes(), &self.base, path.as_bytes())
    }

    fn link(&self, old: &str, new: &str) -> Result<()> {
        let entry = self
            .names
            .resolve(&self.base, old.as_bytes(), LastLink::Keep)?;
        operations::make_link(&self.names, &entry, &self.base, new.as_bytes())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = ((&self.base, from.as_bytes()), (&self.base, to.as_bytes()));
        operations::rename(&self.names, from, to, true)
    }

    fn path(&self, path: &str) -> Result<String> {
        let entry = self
            .names
            .resolve(&self.base, path.as_bytes(), LastLink::Follow)?;
        Ok(String::from_utf8(entry.path()).expect("text"))
    }

    fn list(&self, path: &str) -> Vec<String> {
        let directory = self
            .open(path, O_RDONLY | O_DIRECTORY)
            .expect("a directory");
        core::iter::from_fn(|| directory.next_entry().expect("readable"))
            .map(|(name, _)| String::from_utf8(name).expect("text"))
            .collect()
    }

    fn links(&self, path: &str) -> u64 {
        let entry = self
            .names
            .resolve(&self.base, path.as_bytes(), LastLink::Keep);
        entry
            .and_then(|entry| entry.node.metadata())
            .expect("there")
            .links
    }
}

fn err<T>(number: i32) -> Result<T> {
    Err(Errno(number))
}

/// `/a/b/file`, `/link` to `a/b`, `/loop` to itself, `/dangling` to nothing.
fn sample() -> Tree {
    let tree = Tree::new();
    tree.mkdir("/a").expect("new");
    tree.mkdir("/a/b").expect("new");
    tree.write("/a/b/file", "content");
    tree.symlink("a/b", "/link").expect("new");
    tree.symlink("/loop", "/loop").expect("new");
    tree.symlink("a/nothing", "/dangling").expect("new");
    tree
}

#[test]
fn a_directory_that_was_removed_has_no_path() {
    let tree = Tree::new();
    tree.mkdir("/here").expect("new");
    let here = tree
        .names
        .resolve(&tree.base, b"/here", LastLink::Follow)
        .expect("there");
    assert_eq!(super::path_of(&here), Ok(Vec::from(b"/here")));
    tree.rmdir("/here").expect("empty");
    assert_eq!(super::path_of(&here), err(libc::ENOENT));
    assert_eq!(super::path_of(&tree.base), Ok(Vec::from(b"/")));
}

#[test]
fn paths_lead_where_linux_leads_them() {
    let tree = sample();
    for (path, expected) in [
        ("/", Ok("/")),
        ("//a///b//", Ok("/a/b")),
        ("a/./b/../b/file", Ok("/a/b/file")),
        ("../../../../a", Ok("/a")),
        ("/a/b/../../../..", Ok("/")),
        ("link/file", Ok("/a/b/file")),
        ("link/..", Ok("/a")),
        ("link/", Ok("/a/b")),
        ("", err(libc::ENOENT)),
        ("/nothing", err(libc::ENOENT)),
        ("/nothing/x", err(libc::ENOENT)),
        ("/dangling", err(libc::ENOENT)),
        ("/a/b/file/", err(libc::ENOTDIR)),
        ("/a/b/file/x", err(libc::ENOTDIR)),
        ("/a/b/file/..", err(libc::ENOTDIR)),
        ("/a/b/file/.", err(libc::ENOTDIR)),
        ("/loop", err(libc::ELOOP)),
        ("/loop/x", err(libc::ELOOP)),
    ] {
        assert_eq!(tree.path(path), expected.map(String::from), "{path}");
    }
    assert_eq!(tree.path(&"x".repeat(256)), err(libc::ENAMETOOLONG));
    assert_eq!(tree.path(&"x".repeat(255)), err(libc::ENOENT));
    assert_eq!(tree.path(&"/".repeat(4096)), err(libc::ENAMETOOLONG));
    assert_eq!(tree.path(&"/".repeat(4095)), Ok(String::from("/")));
}

#[test]
fn forty_links_are_followed_and_one_more_is_not() {
    let tree = Tree::new();
    tree.write("/l0", "end");
    for i in 1..=41 {
        tree.symlink(&format!("l{}", i - 1), &format!("/l{i}"))
            .expect("new");
    }
    assert_eq!(tree.read("/l40"), Ok(String::from("end")));
    assert_eq!(tree.read("/l41"), err(libc::ELOOP));
}

#[test]
fn open_answers_as_linux_does() {
    let tree = sample();
    let result = |path: &str, flags: i32| tree.open(path, flags).map(|_| ());
    for (path, flags, expected) in [
        ("/a/b/file", O_RDONLY, Ok(())),
        ("/a/b/file", O_RDWR | O_CREAT, Ok(())),
        ("/a/b/file", O_RDWR | O_CREAT | O_EXCL, err(libc::EEXIST)),
        ("/dangling", O_RDWR | O_CREAT | O_EXCL, err(libc::EEXIST)),
        ("/a", O_RDWR, err(libc::EISDIR)),
        ("/a", O_RDONLY | O_CREAT, err(libc::EISDIR)),
        ("/a", O_RDONLY | O_TRUNC, err(libc::EISDIR)),
        ("/a", O_RDONLY, Ok(())),
        ("/new/", O_RDWR | O_CREAT, err(libc::EISDIR)),
        ("/new/new", O_RDWR | O_CREAT, err(libc::ENOENT)),
        ("/a/b/file/new", O_RDWR | O_CREAT, err(libc::ENOTDIR)),
        ("/a/b/file", O_DIRECTORY, err(libc::ENOTDIR)),
        ("/link", O_NOFOLLOW, err(libc::ELOOP)),
        ("/link", O_NOFOLLOW | O_DIRECTORY, err(libc::ENOTDIR)),
        ("/link", O_DIRECTORY, Ok(())),
        ("/a/nothing", O_RDONLY, err(libc::ENOENT)),
        // Creating through a dangling link creates what it leads to.
        ("/dangling", O_RDWR | O_CREAT, Ok(())),
        ("/a/nothing", O_RDONLY, Ok(())),
    ] {
        assert_eq!(result(path, flags), expected, "{path} {flags:o}");
    }
}

#[test]
fn reading_and_writing_need_the_right_access() {
    let tree = sample();
    let mut buf = [0; 4];
    let reader = tree.open("/a/b/file", O_RDONLY).expect("there");
    assert_eq!(reader.write(b"x"), err(libc::EBADF));
    assert_eq!(reader.set_len(1), err(libc::EINVAL));
    let writer = tree.open("/a/b/file", O_WRONLY).expect("there");
    assert_eq!(writer.read(&mut buf), err(libc::EBADF));
    let directory = tree.open("/a", O_RDONLY).expect("there");
    assert_eq!(directory.read(&mut buf), err(libc::EISDIR));
}

#[test]
fn offsets_appending_seeking_and_holes() {
    let tree = sample();
    let file = tree.open("/f", O_RDWR | O_CREAT).expect("new");
    assert_eq!(file.write(b"0123456789"), Ok(10));
    assert_eq!(file.seek(-4, libc::SEEK_CUR), Ok(6));
    assert_eq!(file.seek(-7, libc::SEEK_CUR), err(libc::EINVAL));
    assert_eq!(file.seek(0, libc::SEEK_END), Ok(10));
    assert_eq!(file.seek(i64::MAX, libc::SEEK_CUR), err(libc::EINVAL));
    assert_eq!(file.seek(20_000, libc::SEEK_SET), Ok(20_000));
    assert_eq!(file.write(b"end"), Ok(3));
    let mut all = vec![0xFF; 30_000];
    assert_eq!(file.read_at(0, &mut all), Ok(20_003));
    assert_eq!(&all[..10], b"0123456789");
    assert!(all[10..20_000].iter().all(|byte| *byte == 0));
    assert_eq!(&all[20_000..20_003], b"end");

    let appender = tree.open("/f", O_WRONLY | O_APPEND).expect("there");
    assert_eq!(appender.write(b"!"), Ok(1));
    assert_eq!(appender.seek(0, libc::SEEK_CUR), Ok(20_004));
    // Cut off and grown again, the rest is zeros.
    file.set_len(5).expect("can be cut");
    file.set_len(20_003).expect("can grow");
    assert_eq!(file.read_at(0, &mut all), Ok(20_003));
    assert_eq!(&all[..5], b"01234");
    assert!(all[5..20_003].iter().all(|byte| *byte == 0));
}

/// Data at 64 KiB and 192 KiB, 4 KiB each, and a hole at the end of 256 KiB.
#[test]
fn holes_and_what_is_between_them_are_found() {
    let tree = Tree::new();
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

#[test]
fn a_full_file_system_says_so_and_gets_its_room_back() {
    let tree = Tree::with_limit(64 << 10);
    let file = tree.open("/f", O_RDWR | O_CREAT).expect("new");
    let written = file.write(&vec![1; 1 << 20]).expect("some");
    assert!(written > 32 << 10 && written <= 64 << 10);
    assert_eq!(file.write(&[1; 8192]), err(libc::ENOSPC));
    // Growing by a hole takes no room.
    file.set_len(1 << 40).expect("a hole");
    tree.unlink("/f").expect("there");
    // It lives, and takes room, as long as it is open.
    let other = tree.open("/g", O_CREAT | O_RDWR).expect("new");
    assert_ne!(other.write(&[1; 40_000]), Ok(40_000));
    drop(file);
    let written = tree
        .open("/g", O_RDWR | O_TRUNC)
        .expect("there")
        .write(&[1; 40_000]);
    assert_eq!(written, Ok(40_000));
}

#[test]
fn names_are_made_and_removed_as_on_linux() {
    let tree = sample();
    for (result, expected) in [
        (tree.mkdir("/a"), err(libc::EEXIST)),
        (tree.mkdir("/a/"), err(libc::EEXIST)),
        (tree.mkdir("/"), err(libc::EEXIST)),
        (tree.mkdir("/dangling"), err(libc::EEXIST)),
        (tree.mkdir("/x/y"), err(libc::ENOENT)),
        (tree.mkdir("/a/b/file/y"), err(libc::ENOTDIR)),
        (tree.mkdir("/new/"), Ok(())),
        (tree.rmdir("/a"), err(libc::ENOTEMPTY)),
        (tree.rmdir("/a/b/file"), err(libc::ENOTDIR)),
        (tree.rmdir("/a/."), err(libc::EINVAL)),
        (tree.rmdir("/a/.."), err(libc::ENOTEMPTY)),
        (tree.rmdir("/"), err(libc::EBUSY)),
        (tree.rmdir("/link"), err(libc::ENOTDIR)),
        (tree.rmdir("/nothing"), err(libc::ENOENT)),
        (tree.rmdir("/new/"), Ok(())),
        (tree.unlink("/a"), err(libc::EISDIR)),
        (tree.unlink("/a/"), err(libc::EISDIR)),
        (tree.unlink("/a/b/file/"), err(libc::ENOTDIR)),
        (tree.unlink("/nothing"), err(libc::ENOENT)),
        (tree.unlink("/loop"), Ok(())),
        (tree.symlink("", "/empty"), err(libc::ENOENT)),
        (tree.symlink("x", "/a"), err(libc::EEXIST)),
        (tree.link("/a", "/a2"), err(libc::EPERM)),
        (tree.link("/a/b/file", "/a"), err(libc::EEXIST)),
        (tree.link("/a/b/file", "/second"), Ok(())),
    ] {
        assert_eq!(result, expected);
    }
    assert_eq!(tree.links("/second"), 2);
    tree.unlink("/a/b/file").expect("there");
    assert_eq!(tree.read("/second"), Ok(String::from("content")));
    assert_eq!(tree.links("/second"), 1);
    assert_eq!(
        tree.list("/"),
        [".", "..", "a", "link", "dangling", "second"]
    );
}

#[test]
fn rename_moves_and_replaces_as_on_linux() {
    let tree = sample();
    tree.write("/f", "f");
    tree.write("/g", "g");
    tree.mkdir("/empty").expect("new");
    tree.mkdir("/full").expect("new");
    tree.mkdir("/full/x").expect("new");
    for (from, to, expected) in [
        ("/nothing", "/x", err(libc::ENOENT)),
        ("/f", "/nothing/x", err(libc::ENOENT)),
        ("/f", "/a", err(libc::EISDIR)),
        ("/a", "/f", err(libc::ENOTDIR)),
        ("/a", "/full", err(libc::ENOTEMPTY)),
        ("/a/b", "/a", err(libc::ENOTEMPTY)),
        ("/a", "/a/b/c", err(libc::EINVAL)),
        ("/a", "/a", Ok(())),
        ("/", "/x", err(libc::EBUSY)),
        ("/a/.", "/x", err(libc::EBUSY)),
        ("/f", "/x/", err(libc::ENOTDIR)),
        ("/f", "/g", Ok(())),
        ("/a", "/empty", Ok(())),
        ("/empty/b", "/full/x", Ok(())),
    ] {
        assert_eq!(tree.rename(from, to), expected, "{from} to {to}");
    }
    assert_eq!(tree.read("/g"), Ok(String::from("f")));
    assert_eq!(tree.read("/full/x/file"), Ok(String::from("content")));
    assert_eq!(tree.list("/empty"), [".", ".."]);
    assert_eq!(
        (tree.links("/"), tree.links("/full"), tree.links("/empty")),
        (4, 3, 2)
    );
}

#[test]
fn names_are_exchanged_as_on_linux() {
    let tree = sample();
    tree.write("/f", "f");
    tree.mkdir("/d").expect("new");
    let exchange = |from: &str, to: &str| {
        let base = &tree.base;
        operations::exchange(&tree.names, (base, from.as_bytes()), (base, to.as_bytes()))
    };
    for (from, to, expected) in [
        ("/f", "/nothing", err(libc::ENOENT)),
        ("/nothing", "/f", err(libc::ENOENT)),
        ("/f/", "/d", err(libc::ENOTDIR)),
        ("/d", "/f/", err(libc::ENOTDIR)),
        ("/a", "/a/b", err(libc::EINVAL)),
        ("/a/b", "/a", err(libc::EINVAL)),
        ("/f", "/.", err(libc::EBUSY)),
        ("/f", "/f", Ok(())),
        ("/f", "/a/b", Ok(())),
        ("/d", "/a", Ok(())),
    ] {
        assert_eq!(exchange(from, to), expected, "{from} and {to}");
    }
    assert_eq!(tree.read("/f/file"), Ok(String::from("content")));
    assert_eq!(tree.read("/d/b"), Ok(String::from("f")));
    assert_eq!(tree.list("/a"), [".", ".."]);
    assert_eq!(tree.read("/f/../d/b"), Ok(String::from("f")));
    assert_eq!(
        (tree.links("/"), tree.links("/d"), tree.links("/f")),
        (5, 2, 2)
    );
}

#[test]
fn a_way_stays_within_its_bounds() {
    let tree = sample();
    let root = &tree.base;
    for (target, path) in [("/f", "/a/out"), ("b/file", "/a/in"), ("../f", "/a/up")] {
        operations::make_symlink(&tree.names, target.as_bytes(), root, path.as_bytes())
            .expect("new");
    }
    tree.write("/f", "outside");
    let memory = Arc::new(Tmpfs::new(1 << 20));
    let base = tree
        .names
        .resolve(root, b"/a", LastLink::Follow)
        .expect("there");
    tree.names.mount(&base, b"other", memory).expect("mounted");
    let length = |path: &str, bounds: Bounds| {
        let found = tree
            .names
            .find_within(&base, path.as_bytes(), LastLink::Follow, bounds)?;
        let entry = found.entry.ok_or(Errno(libc::ENOENT))?;
        entry.node.metadata().map(|facts| facts.len_bytes)
    };
    let beneath = Bounds {
        is_beneath: true,
        ..Bounds::NONE
    };
    let in_root = Bounds {
        is_in_root: true,
        ..Bounds::NONE
    };
    let no_links = Bounds {
        has_no_links: true,
        ..Bounds::NONE
    };
    let one_mount = Bounds {
        has_one_mount: true,
        ..Bounds::NONE
    };
    let out = Err(Errno(libc::EXDEV));
    let nothing = Err(Errno(libc::ENOENT));
    for (path, bounds, expected) in [
        ("in", beneath, Ok(7)),
        ("b/../b/file", beneath, Ok(7)),
        ("../f", beneath, out),
        ("b/../../a/in", beneath, out),
        ("/f", beneath, out),
        ("out", beneath, out),
        ("up", beneath, out),
        ("/b/file", in_root, Ok(7)),
        ("../../b/file", in_root, Ok(7)),
        ("out", in_root, nothing),
        ("up", in_root, nothing),
        ("in", no_links, Err(Errno(libc::ELOOP))),
        ("b/file", no_links, Ok(7)),
        ("out", one_mount, Ok(7)),
        ("other", one_mount, out),
        ("other/..", Bounds::NONE, length(".", Bounds::NONE)),
    ] {
        assert_eq!(length(path, bounds), expected, "{path} {bounds:?}");
    }
}

#[test]
fn hard_linked_names_of_one_file_are_not_renamed_into_each_other() {
    let tree = sample();
    tree.link("/a/b/file", "/second").expect("new");
    assert_eq!(tree.rename("/second", "/a/b/file"), Ok(()));
    assert_eq!(tree.read("/second"), Ok(String::from("content")));
}

#[test]
fn a_removed_directory_takes_nothing_new() {
    let mut tree = sample();
    tree.mkdir("/gone").expect("new");
    tree.base = tree
        .names
        .resolve(&tree.base, b"/gone", LastLink::Follow)
        .expect("there");
    tree.rmdir("/gone").expect("empty");
    assert_eq!(
        tree.open("x", O_CREAT | O_RDWR).map(|_| ()),
        err(libc::ENOENT)
    );
    assert_eq!(tree.mkdir("x"), err(libc::ENOENT));
    assert_eq!(tree.path(".."), Ok(String::from("/")));
}

#[test]
fn listing_goes_on_while_entries_are_removed() {
    let tree = Tree::new();
    for i in 0..50 {
        tree.write(&format!("/{i}"), "");
    }
    let directory = tree.open("/", O_RDONLY).expect("there");
    let mut seen = 0;
    while let Some((name, kind)) = directory.next_entry().expect("readable") {
        if kind == Some(NodeKind::File) {
            seen += 1;
            tree.unlink(core::str::from_utf8(&name).expect("text"))
                .expect("there");
        }
    }
    assert_eq!(seen, 50);
    assert_eq!(tree.list("/"), [".", ".."]);
}

#[test]
fn a_mount_hides_what_is_below_and_is_a_border() {
    let mut tree = sample();
    tree.mount("a", Arc::new(Tmpfs::new(1 << 20)));
    assert_eq!(tree.list("/a"), [".", ".."]);
    tree.write("/a/inside", "inside");
    tree.write("/outside", "outside");
    assert_eq!(tree.path("/a/../a/inside"), Ok(String::from("/a/inside")));
    assert_eq!(tree.rename("/a/inside", "/inside"), err(libc::EXDEV));
    assert_eq!(tree.link("/a/inside", "/inside"), err(libc::EXDEV));
    assert_eq!(tree.rmdir("/a"), err(libc::EBUSY));
    assert_eq!(tree.rename("/a", "/c"), err(libc::EBUSY));
    let device = |path: &[u8]| {
        tree.names
            .resolve(&tree.base, path, LastLink::Follow)
            .expect("there")
            .mount
            .device
    };
    assert_ne!(device(b"/a"), device(b"/"));
}

#[test]
fn devices_do_what_they_are_for() {
    let mut tree = Tree::new();
    tree.mount("dev", Arc::new(Devfs::new(|buf| buf.fill(7))));
    let mut buf = [1; 8];
    let device = |name: &str| {
        tree.open(&format!("/dev/{name}"), O_RDWR | O_TRUNC | O_CREAT)
            .expect(name)
    };
    assert_eq!(device("null").read(&mut buf), Ok(0));
    assert_eq!(device("null").write(&buf), Ok(8));
    assert_eq!(device("zero").read(&mut buf), Ok(8));
    assert_eq!(buf, [0; 8]);
    assert_eq!(device("urandom").read(&mut buf), Ok(8));
    assert_eq!(buf, [7; 8]);
    assert_eq!(device("full").write(&buf), err(libc::ENOSPC));
    assert_eq!(tree.mkdir("/dev/x"), err(libc::EROFS));
    assert_eq!(tree.unlink("/dev/null"), err(libc::EROFS));
    assert_eq!(
        tree.list("/dev"),
        [
            ".", "..", "null", "zero", "full", "random", "urandom", "tty", "console", "stdin",
            "stdout", "stderr", "program"
        ]
    );
}

/// What a tree should be: directories are `None`, files their content.
type Model = alloc::collections::BTreeMap<String, Option<Vec<u8>>>;

fn model_parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn has_children(model: &Model, path: &str) -> bool {
    model
        .keys()
        .any(|key| !key.is_empty() && key != path && model_parent(key) == path)
}

/// What `rename` should do, from rename(2).
fn model_rename(model: &mut Model, from: &str, to: &str) -> Result<()> {
    let Some(source) = model.get(from).cloned() else {
        return err(libc::ENOENT);
    };
    if from == to {
        return Ok(());
    }
    if source.is_none() && to.starts_with(&format!("{from}/")) {
        return err(libc::EINVAL);
    }
    if from.starts_with(&format!("{to}/")) {
        return err(libc::ENOTEMPTY);
    }
    match (&source, model.get(to)) {
        (None, Some(Some(_))) => return err(libc::ENOTDIR),
        (Some(_), Some(None)) => return err(libc::EISDIR),
        (None, Some(None)) if has_children(model, to) => return err(libc::ENOTEMPTY),
        _ => {}
    }
    let moved: Vec<String> = model
        .keys()
        .filter(|key| *key == from || key.starts_with(&format!("{from}/")))
        .cloned()
        .collect();
    for old in moved {
        let content = model.remove(&old).expect("listed above");
        model.insert(format!("{to}{}", &old[from.len()..]), content);
    }
    Ok(())
}

#[test]
fn a_tree_is_what_a_plain_model_says_after_any_operations() {
    let tree = Tree::with_limit(1 << 30);
    let mut model = Model::from([(String::new(), None)]);
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for step in 0..20_000 {
        let mut path = || {
            (0..1 + random(3))
                .map(|_| format!("/{}", ["a", "b", "c"][random(3)]))
                .collect::<String>()
        };
        let (path, other) = (path(), path());
        // The parents must be directories.
        let is_under_file = |path: &str| {
            let parent = model.get(model_parent(path));
            parent.is_none_or(|content| content.is_some())
        };
        if is_under_file(&path) {
            assert!(matches!(
                tree.mkdir(&path),
                Err(Errno(libc::ENOENT | libc::ENOTDIR))
            ));
            continue;
        }
        if is_under_file(&other) {
            continue;
        }
        let here = model.get(&path).cloned();
        match random(6) {
            0 => {
                let expected = if here.is_some() {
                    err(libc::EEXIST)
                } else {
                    Ok(())
                };
                assert_eq!(tree.mkdir(&path), expected, "mkdir {path}");
                model.entry(path).or_insert(None);
            }
            1 => {
                let expected = match &here {
                    None => err(libc::ENOENT),
                    Some(Some(_)) => err(libc::ENOTDIR),
                    Some(None) if has_children(&model, &path) => err(libc::ENOTEMPTY),
                    Some(None) => Ok(()),
                };
                assert_eq!(tree.rmdir(&path), expected, "rmdir {path}");
                if expected.is_ok() {
                    model.remove(&path);
                }
            }
            2 => {
                let expected = match &here {
                    None => err(libc::ENOENT),
                    Some(None) => err(libc::EISDIR),
                    Some(Some(_)) => Ok(()),
                };
                assert_eq!(tree.unlink(&path), expected, "unlink {path}");
                if expected.is_ok() {
                    model.remove(&path);
                }
            }
            3 => {
                let expected = model_rename(&mut model, &path, &other);
                assert_eq!(
                    tree.rename(&path, &other),
                    expected,
                    "rename {path} {other}"
                );
            }
            _ => {
                let opened = tree.open(&path, O_RDWR | O_CREAT);
                if here == Some(None) {
                    assert_eq!(opened.map(|_| ()), err(libc::EISDIR));
                    continue;
                }
                let file = opened.expect("can be created");
                let content = model.entry(path).or_default().get_or_insert_default();
                let (offset, len) = (random(10_000), random(6_000));
                if random(4) == 0 {
                    file.set_len(offset as u64).expect("has room");
                    content.resize(offset, 0);
                } else {
                    let data = vec![step as u8; len];
                    assert_eq!(file.write_at(offset as u64, &data), Ok(len));
                    if len > 0 {
                        content.resize(content.len().max(offset + len), 0);
                        content[offset..offset + len].copy_from_slice(&data);
                    }
                }
                let mut all = vec![0xEE; content.len() + 1];
                assert_eq!(file.read_at(0, &mut all), Ok(content.len()));
                assert!(
                    all[..content.len()] == content[..],
                    "content at step {step}"
                );
            }
        }
    }
    for (path, content) in &model {
        let entry = tree
            .names
            .resolve(&tree.base, format!("{path}/.").as_bytes(), LastLink::Keep);
        assert_eq!(entry.is_ok(), content.is_none(), "{path}");
    }
}

#[test]
fn nothing_takes_the_place_of_a_directory_it_is_in() {
    let tree = sample();
    assert_eq!(tree.rename("/a/b/file", "/a"), err(libc::ENOTEMPTY));
    assert_eq!(tree.rename("/a/b", "/a"), err(libc::ENOTEMPTY));
    assert_eq!(tree.read("/a/b/file").as_deref(), Ok("content"));
}
