//! Locks on ranges of files: those of the process, and those of open files.

use super::{check, show};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc;
use std::thread;

const PATH: &str = "locked";

fn open() -> File {
    let options = OpenOptions::new().read(true).write(true).open(PATH);
    options.expect("the file")
}

/// `fcntl` about a range from the beginning; what it says of it then.
fn ask(file: &File, command: i32, kind: i32, start: i64, len: i64) -> Result<(i32, i64, i64), i32> {
    ask_from(file, command, kind, libc::SEEK_SET, start, len)
}

fn ask_from(
    file: &File,
    command: i32,
    kind: i32,
    whence: i32,
    start: i64,
    len: i64,
) -> Result<(i32, i64, i64), i32> {
    // SAFETY: a structure of integers.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_whence) = (kind as i16, whence as i16);
    (lock.l_start, lock.l_len) = (start, len);
    // SAFETY: the structure can be read and written.
    check(unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) })?;
    if lock.l_type == libc::F_UNLCK as i16 {
        return Ok((libc::F_UNLCK, 0, 0));
    }
    Ok((lock.l_type.into(), lock.l_start, lock.l_len))
}

const READ: i32 = libc::F_RDLCK;
const WRITE: i32 = libc::F_WRLCK;
const UNLOCK: i32 = libc::F_UNLCK;
const SET: i32 = libc::F_OFD_SETLK;
const GET: i32 = libc::F_OFD_GETLK;

pub(crate) fn steps() {
    File::create(PATH)
        .expect("a file")
        .write_all(&[0; 100])
        .expect("written");
    between_files();
    of_the_process();
    waiting();
    mistakes();
    in_memory();
    std::fs::remove_file(PATH).expect("removed");
}

fn between_files() {
    let (one, other) = (open(), open());
    show(
        "a lock of an open file",
        ask(&one, SET, WRITE, 10, 10).is_ok(),
    );
    show(
        "another open file is kept out",
        ask(&other, SET, WRITE, 15, 1),
    );
    show("and not beside it", ask(&other, SET, READ, 20, 5).is_ok());
    show("which lock it is", ask(&other, GET, READ, 0, 0));
    show("and which is the other's", ask(&one, GET, WRITE, 18, 0));
    show(
        "the file's own is not in its way",
        ask(&one, GET, WRITE, 10, 10),
    );
    show("readers share", ask(&one, SET, READ, 20, 5).is_ok());
    show("who reads keeps writers out", ask(&one, SET, WRITE, 20, 5));
    show(
        "a part is given back",
        ask(&one, SET, UNLOCK, 12, 3).is_ok(),
    );
    show("and can be had", ask(&other, SET, WRITE, 12, 3).is_ok());
    show("what is left before it", ask(&other, GET, WRITE, 0, 100));
    show("and behind it", ask(&other, GET, WRITE, 15, 100));
    let again = one.try_clone().expect("a descriptor");
    drop(one);
    show(
        "a second descriptor keeps them",
        ask(&other, SET, WRITE, 10, 1),
    );
    drop(again);
    show(
        "the last one ends them",
        ask(&other, SET, WRITE, 0, 0).is_ok(),
    );
    let listed = std::fs::read_to_string("/proc/locks").expect("/proc/locks");
    let node = format!(":{} 0 EOF", open().metadata().expect("facts").ino());
    let line = listed
        .lines()
        .find(|line| line.ends_with(&node))
        .unwrap_or_default();
    let words: Vec<_> = line.split_whitespace().skip(1).take(4).collect();
    show("the list of locks", words);
}

fn of_the_process() {
    let (one, other) = (open(), open());
    show(
        "a lock of the process",
        ask(&one, libc::F_SETLK, WRITE, 0, 50).is_ok(),
    );
    show(
        "which is everywhere in it",
        ask(&other, libc::F_SETLK, WRITE, 0, 50).is_ok(),
    );
    show("an open file is kept out", ask(&other, SET, WRITE, 40, 20));
    show("and told by whom", ask(&other, GET, READ, 40, 20));
    show(
        "beside it is one to be had",
        ask(&other, SET, WRITE, 50, 10).is_ok(),
    );
    show(
        "which keeps the process out",
        ask(&one, libc::F_SETLK, READ, 0, 0),
    );
    show("and is told", ask(&one, libc::F_GETLK, READ, 0, 0));
    drop(open());
    show(
        "any descriptor's end gives all of the process back",
        ask(&other, SET, WRITE, 0, 50).is_ok(),
    );
}

fn waiting() {
    let (one, other) = (open(), open());
    show("held", ask(&one, SET, WRITE, 0, 0).is_ok());
    let (sender, receiver) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let asked = ask(&other, libc::F_OFD_SETLKW, WRITE, 5, 5).is_ok();
        sender.send(asked).expect("sent");
    });
    let early = receiver.recv_timeout(std::time::Duration::from_millis(30));
    show("another waits", early.is_err());
    show("the holder reads on", ask(&one, SET, READ, 0, 0).is_ok());
    show("and gives back", ask(&one, SET, UNLOCK, 0, 0).is_ok());
    show("then the other has it", receiver.recv());
    waiter.join().expect("no panic");
}

fn mistakes() {
    let mut file = open();
    let reader = File::open(PATH).expect("the file");
    show("writing what is only read", ask(&reader, SET, WRITE, 0, 1));
    show("asking about it is allowed", ask(&reader, GET, WRITE, 0, 1));
    show("before the beginning", ask(&file, SET, WRITE, -1, 1));
    show(
        "backwards before the beginning",
        ask(&file, SET, WRITE, 3, -4),
    );
    show("too far", ask(&file, SET, WRITE, i64::MAX, 2));
    show(
        "to the last byte",
        ask(&file, SET, WRITE, i64::MAX, 1).is_ok(),
    );
    show(
        "asking about no lock",
        ask(&file, libc::F_GETLK, UNLOCK, 0, 1),
    );
    show("an unknown kind", ask(&file, SET, 9, 0, 1));
    show("from an unknown place", ask_from(&file, SET, READ, 9, 0, 1));
    file.seek(SeekFrom::Start(30)).expect("sought");
    show(
        "from the place",
        ask_from(&file, SET, WRITE, libc::SEEK_CUR, 0, -10).is_ok(),
    );
    show("is before it", ask(&reader, GET, READ, 0, 0));
    show(
        "from the end",
        ask_from(&file, SET, WRITE, libc::SEEK_END, -10, 0).is_ok(),
    );
    show("is up to all", ask(&reader, GET, READ, 60, 0));
}

/// A file in memory is another file than those of the tree, whatever their numbers.
fn in_memory() {
    let files: Vec<File> = (0..40)
        .map(|at| File::create(format!("many{at}")).expect("a file"))
        .collect();
    // SAFETY: a C string; the descriptor is new.
    let memory = unsafe { File::from_raw_fd(libc::memfd_create(c"memory".as_ptr(), 0)) };
    let key = |file: &File| {
        file.metadata()
            .map(|facts| (facts.dev(), facts.ino()))
            .expect("facts")
    };
    show(
        "a file in memory is none of the tree's",
        files.iter().all(|file| key(file) != key(&memory)),
    );
    let locked = |file: &File| {
        // SAFETY: numbers.
        check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) })
    };
    show("locked", locked(&memory));
    show(
        "and all others can be",
        files.iter().all(|file| locked(file).is_ok()),
    );
    for at in 0..40 {
        std::fs::remove_file(format!("many{at}")).expect("removed");
    }
}
