//! What those who watch are told, in the order of Linux.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use libc::{O_CREAT, O_RDONLY, O_RDWR};

use super::inotify::{MAX_QUEUED, Queue};
use crate::error::{Errno, Result};
use crate::storage::vfs::namespace::LastLink;
use crate::storage::vfs::operations;
use crate::storage::vfs::test_tree::Tree;
use crate::storage::vfs::tmpfs::Tmpfs;

fn tree() -> Tree {
    Tree::new(Tmpfs::new(1 << 20))
}

fn watch(tree: &Tree, queue: &Arc<Queue>, path: &str, events: u32) -> Result<i32> {
    let entry = tree
        .0
        .resolve(tree.0.root(), path.as_bytes(), LastLink::Follow)?;
    queue.watch(&entry, events)
}

/// What waits: watch, event and name, one after the other.
fn seen(queue: &Queue) -> Vec<String> {
    const NAMES: [(u32, &str); 16] = [
        (libc::IN_ACCESS, "access"),
        (libc::IN_MODIFY, "modify"),
        (libc::IN_ATTRIB, "attrib"),
        (libc::IN_CLOSE_WRITE, "close-write"),
        (libc::IN_CLOSE_NOWRITE, "close"),
        (libc::IN_OPEN, "open"),
        (libc::IN_MOVED_FROM, "from"),
        (libc::IN_MOVED_TO, "to"),
        (libc::IN_CREATE, "create"),
        (libc::IN_DELETE, "delete"),
        (libc::IN_DELETE_SELF, "delete-self"),
        (libc::IN_MOVE_SELF, "move-self"),
        (libc::IN_UNMOUNT, "unmount"),
        (libc::IN_Q_OVERFLOW, "overflow"),
        (libc::IN_IGNORED, "ignored"),
        (libc::IN_ISDIR, "dir"),
    ];
    let mut buf = vec![0; 64 << 10];
    let len = queue.read(&mut buf, false).unwrap_or(0);
    let mut all = Vec::new();
    let mut rest = &buf[..len];
    while !rest.is_empty() {
        let number =
            |at: usize| u32::from_ne_bytes(rest[at * 4..][..4].try_into().expect("4 bytes"));
        let names: Vec<_> = NAMES
            .iter()
            .filter(|(bit, _)| number(1) & bit != 0)
            .collect();
        let names: Vec<_> = names.iter().map(|(_, name)| *name).collect();
        let name_len = number(3) as usize;
        let name = String::from_utf8_lossy(&rest[16..16 + name_len]).into_owned();
        let name = name.trim_end_matches('\0');
        all.push(
            format!("{} {} {name}", number(0) as i32, names.join("+"))
                .trim_end()
                .into(),
        );
        rest = &rest[16 + name_len..];
    }
    all
}

#[test]
fn a_directory_tells_of_what_is_done_in_it() {
    let tree = tree();
    tree.mkdir("d").expect("works");
    let queue = Queue::new();
    assert_eq!(watch(&tree, &queue, "d", libc::IN_ALL_EVENTS), Ok(1));
    tree.write("d/f", b"x").expect("works");
    assert_eq!(
        seen(&queue),
        ["1 create f", "1 open f", "1 modify f", "1 close-write f"]
    );
    tree.read("d/f").expect("works");
    assert_eq!(seen(&queue), ["1 open f", "1 access f", "1 close f"]);
    tree.mkdir("d/e").expect("works");
    tree.rename("d/f", "d/e/g").expect("works");
    tree.rename("d/e/g", "d/h").expect("works");
    tree.unlink("d/h").expect("works");
    tree.rmdir("d/e").expect("works");
    assert_eq!(
        seen(&queue),
        [
            "1 create+dir e",
            "1 from f",
            "1 to h",
            "1 delete h",
            "1 delete+dir e"
        ]
    );
    tree.rmdir("d").expect("works");
    assert_eq!(seen(&queue), ["1 delete-self", "1 ignored"]);
    queue.close();
}

#[test]
fn a_removed_file_is_gone_when_nobody_has_it_open() {
    let tree = tree();
    let file = tree.open("f", O_RDWR | O_CREAT).expect("works");
    let queue = Queue::new();
    watch(&tree, &queue, "f", libc::IN_ALL_EVENTS).expect("works");
    tree.unlink("f").expect("works");
    file.write(b"x").expect("works");
    assert_eq!(seen(&queue), ["1 attrib", "1 modify"]);
    drop(file);
    assert_eq!(
        seen(&queue),
        ["1 close-write", "1 delete-self", "1 ignored"]
    );
    assert_eq!(queue.unwatch(1), Err(Errno(libc::EINVAL)));
}

#[test]
fn an_open_file_is_told_of_by_the_name_that_it_has_now() {
    let tree = tree();
    let queue = Queue::new();
    watch(&tree, &queue, "/", libc::IN_MODIFY).expect("works");
    let file = tree.open("new", O_RDWR | O_CREAT).expect("works");
    tree.rename("new", "f").expect("works");
    file.write(b"x").expect("works");
    assert_eq!(seen(&queue), ["1 modify f"]);
    tree.rename("f", "new").expect("works");
    file.write(b"x").expect("works");
    assert_eq!(seen(&queue), ["1 modify new"]);
    queue.close();
}

#[test]
fn what_is_replaced_by_a_move_is_gone() {
    let tree = tree();
    tree.write("a", b"").expect("works");
    tree.write("b", b"").expect("works");
    let queue = Queue::new();
    watch(&tree, &queue, "a", libc::IN_ALL_EVENTS).expect("works");
    watch(&tree, &queue, "b", libc::IN_ALL_EVENTS).expect("works");
    tree.rename("a", "b").expect("works");
    assert_eq!(
        seen(&queue),
        ["2 attrib", "1 move-self", "2 delete-self", "2 ignored"]
    );
    queue.close();
}

#[test]
fn a_watch_is_changed_by_its_node_and_ends_after_one_event_where_that_was_asked() {
    let tree = tree();
    tree.write("a", b"").expect("works");
    let root = tree.0.root();
    let entry = tree.0.resolve(root, b"a", LastLink::Follow).expect("there");
    operations::make_link(&tree.0, &entry, root, b"b").expect("works");
    drop(entry);
    let queue = Queue::new();
    assert_eq!(watch(&tree, &queue, "a", libc::IN_OPEN), Ok(1));
    assert_eq!(
        watch(&tree, &queue, "b", libc::IN_CLOSE | libc::IN_MASK_ADD),
        Ok(1)
    );
    let is_new = libc::IN_OPEN | libc::IN_MASK_CREATE;
    assert_eq!(watch(&tree, &queue, "b", is_new), Err(Errno(libc::EEXIST)));
    assert_eq!(watch(&tree, &queue, "b", 0), Err(Errno(libc::EINVAL)));
    drop(tree.open("b", O_RDONLY).expect("works"));
    assert_eq!(seen(&queue), ["1 open", "1 close"]);
    let once = libc::IN_OPEN | libc::IN_ONESHOT;
    assert_eq!(watch(&tree, &queue, "a", once), Ok(1));
    drop(tree.open("a", O_RDONLY).expect("works"));
    drop(tree.open("a", O_RDONLY).expect("works"));
    assert_eq!(seen(&queue), ["1 open", "1 ignored"]);
    assert_eq!(watch(&tree, &queue, "a", once), Ok(2));
    assert_eq!(queue.unwatch(2), Ok(()));
    assert_eq!(seen(&queue), ["2 ignored"]);
}

#[test]
fn what_is_not_read_is_not_kept_for_ever() {
    let tree = tree();
    tree.write("a", b"").expect("works");
    let queue = Queue::new();
    watch(&tree, &queue, "a", libc::IN_OPEN | libc::IN_CLOSE).expect("works");
    for _ in 0..MAX_QUEUED {
        drop(tree.open("a", O_RDONLY).expect("works"));
    }
    assert_eq!(queue.unread(), MAX_QUEUED * 16);
    let mut last = Vec::new();
    loop {
        let more = seen(&queue);
        if more.is_empty() {
            break;
        }
        last = more;
    }
    assert_eq!(last.last().map(String::as_str), Some("-1 overflow"));
    let mut small = [0; 15];
    drop(tree.open("a", O_RDONLY).expect("works"));
    assert_eq!(queue.read(&mut small, false), Err(Errno(libc::EINVAL)));
    queue.close();
    drop(tree.open("a", O_RDONLY).expect("works"));
    assert_eq!(seen(&queue), ["1 open", "1 close"]);
}
