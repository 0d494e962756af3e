//! The steps.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::map::{
    Map, PAGE, READ, WRITE, bus_errors, count_bus_errors, errno, map, outcome, private, shared,
};

macro_rules! show {
    ($what:expr, $value:expr) => {
        println!("{}: {:?}", $what, $value)
    };
}

fn open(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    options.open(path).expect("a file")
}

fn filled(path: &Path, len: usize) -> File {
    let file = open(path);
    let content: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
    file.write_all_at(&content, 0).expect("written");
    file
}

fn byte(file: &File, at: u64) -> u8 {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    byte[0]
}

pub(crate) fn all(folder: &Path) {
    count_bus_errors();
    let file = |name: &str| folder.join(name);
    one_content(filled(&file("one"), 3 * PAGE), &file("one"));
    ends(&file("ends"));
    holes(&file("holes"));
    access(&file("access"));
    private_copies(&file("private"));
    moved(&file("moved"));
    parts(&file("parts"));
    calls(&file("calls"));
    removed(&file("removed"));
    threads(&file("threads"));
    nameless();
    many(folder);
}

/// Two mappings, reads and writes: all see the same bytes.
fn one_content(file: File, path: &Path) {
    let (first, second) = (shared(&file, 3 * PAGE), shared(&file, 3 * PAGE));
    first.set(10, 200);
    show!("a mapping is seen by another", second.get(10));
    show!("and by read", byte(&file, 10));
    file.write_all_at(&[201; 5000], 4000).expect("written");
    show!(
        "a write is seen",
        (first.get(4000), second.get(8999), second.get(9000))
    );
    second.set(4001, 202);
    let other = File::open(path).expect("opened");
    show!(
        "by another open file",
        (byte(&other, 4000), byte(&other, 4001))
    );
    let third = map(&other, 0, PAGE, READ, libc::MAP_SHARED, PAGE).expect("a mapping");
    second.set(PAGE + 7, 203);
    show!("and by its mapping", third.get(7));
    show!("sync", first.sync());
    drop((first, second, third));
    show!(
        "afterwards",
        (byte(&file, 10), byte(&file, 4001), byte(&file, 4103))
    );
    // What was written to a mapping that is gone is there, without a sync.
    shared(&file, PAGE).set(20, 204);
    show!(
        "without a sync",
        fs::read(path)
            .map(|content| (content.len(), content[20]))
            .ok()
    );
}

/// The end of the file, and what is behind it.
fn ends(path: &Path) {
    let file = filled(path, PAGE + 100);
    let all = shared(&file, 4 * PAGE);
    show!(
        "zeros behind the end",
        all.bytes(PAGE + 100, PAGE - 100).iter().all(|&b| b == 0)
    );
    all.set(PAGE + 200, 9);
    file.set_len(PAGE as u64 + 300).expect("longer");
    show!(
        "what is behind the end is not the file's",
        byte(&file, PAGE as u64 + 200)
    );
    show!(
        "the last page can be touched",
        (all.get(2 * PAGE - 1), bus_errors())
    );
    file.write_all_at(b"xyz", 3 * PAGE as u64 + 5)
        .expect("written");
    show!(
        "a file that grows is seen",
        (all.get(3 * PAGE + 5), all.get(2 * PAGE + 1), bus_errors())
    );
    let mut end = OpenOptions::new().append(true).open(path).expect("opened");
    end.write_all(b"end").expect("written");
    show!("by append too", all.bytes(3 * PAGE + 5, 6) == b"xyzend");
    all.set(2 * PAGE + 1, 8);
    file.set_len(PAGE as u64 + 10).expect("shorter");
    show!(
        "cut off in the page",
        (all.get(PAGE + 9), all.get(PAGE + 11), bus_errors())
    );
    show!("cut off", (all.get(2 * PAGE + 1), bus_errors()));
    let mut copy = [1; 16];
    copy.copy_from_slice(all.bytes(3 * PAGE + 1000, 16));
    show!("copied from there", (copy[0], bus_errors()));
    file.set_len(4 * PAGE as u64).expect("longer");
    show!(
        "longer again",
        (byte(&file, 2 * PAGE as u64 + 1), byte(&file, 11))
    );
    drop(
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(path)
            .expect("opened"),
    );
    let one = shared(&file, PAGE);
    show!("opened anew", (one.get(0), bus_errors()));
    drop(one);
    let before = map(&file, 0, PAGE, WRITE, libc::MAP_PRIVATE, 0).expect("a mapping");
    show!("a private one of nothing", (before.get(5), bus_errors()));
    let behind = map(&file, 0, PAGE, READ, libc::MAP_SHARED, 64 * PAGE).expect("a mapping");
    show!("all of it behind the end", (behind.get(0), bus_errors()));
}

/// A file with holes, much larger than what is in it.
fn holes(path: &Path) {
    // FAT has no holes, so there it is less.
    let mib = std::env::var("HOLES").map_or(256, |text| text.parse().expect("a number"));
    let len: usize = mib << 20;
    let far = len / 2;
    let file = open(path);
    file.set_len(len as u64).expect("longer");
    let all = shared(&file, len);
    show!("a hole", (all.get(0), all.get(len - 1)));
    all.bytes(far, 5).copy_from_slice(b"hello");
    all.set(len - 1, 7);
    let mut found = [0; 6];
    file.read_exact_at(&mut found, far as u64).expect("read");
    show!("in the hole", found);
    show!("sync", all.sync());
    drop(all);
    show!(
        "afterwards",
        (byte(&file, far as u64 + 4), byte(&file, len as u64 - 1))
    );
    drop(file);
    fs::remove_file(path).expect("removed");
}

/// What may be done follows from how the file is open.
fn access(path: &Path) {
    drop(filled(path, PAGE));
    let only_read = File::open(path).expect("opened");
    let result = |access, flags| map(&only_read, 0, PAGE, access, flags, 0).map(|_| ()).err();
    show!("to be written, shared", result(WRITE, libc::MAP_SHARED));
    show!("to be written, private", result(WRITE, libc::MAP_PRIVATE));
    let one = map(&only_read, 0, PAGE, READ, libc::MAP_SHARED, 0).expect("a mapping");
    // SAFETY: a page of the mapping's own.
    let protect = |access| outcome(unsafe { libc::mprotect(one.start as *mut _, PAGE, access) });
    show!(
        "made so",
        (
            protect(WRITE),
            protect(libc::PROT_NONE),
            protect(READ),
            one.get(3)
        )
    );
    let only_written = OpenOptions::new().write(true).open(path).expect("opened");
    let result = map(&only_written, 0, PAGE, WRITE, libc::MAP_SHARED, 0);
    show!("not to be read", result.map(|_| ()).err());
    let folder = File::open(path.parent().expect("a folder")).expect("opened");
    show!(
        "a folder",
        map(&folder, 0, PAGE, READ, libc::MAP_SHARED, 0)
            .map(|_| ())
            .err()
    );
    let result = map(&only_read, 0, PAGE, READ, libc::MAP_SHARED, 100);
    show!("not at a page", result.map(|_| ()).err());
    let both = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("opened");
    let one = map(&both, 0, PAGE, READ, libc::MAP_SHARED, 0).expect("a mapping");
    drop(both);
    // SAFETY: a page of the mapping's own.
    let protect = |access| outcome(unsafe { libc::mprotect(one.start as *mut _, PAGE, access) });
    show!("read, then written", protect(WRITE));
    one.set(9, 99);
    show!("by a file that is closed", byte(&only_read, 9));
}

/// Private mappings have what they write for themselves.
fn private_copies(path: &Path) {
    let file = filled(path, 2 * PAGE);
    let (own, other) = (private(&file, 2 * PAGE), private(&file, 2 * PAGE));
    let both = shared(&file, 2 * PAGE);
    own.set(5, 100);
    show!(
        "its own",
        (own.get(5), other.get(5), both.get(5), byte(&file, 5))
    );
    both.set(6, 101);
    show!("what was copied stays", own.get(6));
    // SAFETY: a page of the mapping's own.
    let forget =
        |map: &Map| unsafe { libc::madvise(map.start as *mut _, PAGE, libc::MADV_DONTNEED) };
    show!("forgotten", (forget(&own), own.get(5), own.get(6)));
    both.set(7, 102);
    show!(
        "forgotten, shared",
        (forget(&both), both.get(7), byte(&file, 7))
    );
    let read = map(&file, 0, PAGE, READ, libc::MAP_PRIVATE, 0).expect("a mapping");
    show!("read", read.get(7));
    // SAFETY: a page of the mapping's own.
    let protect = unsafe { libc::mprotect(read.start as *mut _, PAGE, WRITE) };
    read.set(7, 103);
    show!(
        "then written",
        (
            protect,
            read.get(7),
            read.get(6),
            both.get(7),
            byte(&file, 7)
        )
    );
}

/// Mappings that move, or go in parts.
fn moved(path: &Path) {
    let file = filled(path, 2 * PAGE);
    let small = shared(&file, 2 * PAGE);
    small.set(1, 50);
    file.set_len(8 * PAGE as u64).expect("longer");
    file.write_all_at(&[51], 6 * PAGE as u64).expect("written");
    let resize = |map: &mut Map, len: usize| {
        let flags = libc::MREMAP_MAYMOVE;
        // SAFETY: the mapping is the caller's, who has no slice of it.
        let start = unsafe { libc::mremap(map.start as *mut _, map.len, len, flags) };
        assert_ne!(start, libc::MAP_FAILED, "{}", errno());
        (map.start, map.len) = (start as usize, len);
    };
    let mut small = small;
    resize(&mut small, 8 * PAGE);
    show!(
        "longer",
        (small.get(1), small.get(6 * PAGE), small.get(5 * PAGE))
    );
    small.set(7 * PAGE, 52);
    show!(
        "still the file",
        (byte(&file, 7 * PAGE as u64), byte(&file, 1))
    );
    resize(&mut small, PAGE);
    show!("shorter", (small.get(1), byte(&file, 7 * PAGE as u64)));
    let mut own = private(&file, PAGE);
    own.set(2, 53);
    resize(&mut own, 7 * PAGE);
    show!(
        "a private one",
        (own.get(2), own.get(1), own.get(6 * PAGE), byte(&file, 2))
    );
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, where there is room.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, WRITE, flags, -1, 0) };
    let mut none = Map {
        start: start as usize,
        len: PAGE,
    };
    none.set(3, 54);
    resize(&mut none, 700 * PAGE);
    none.set(699 * PAGE, 55);
    show!(
        "memory of no file",
        (none.get(3), none.get(PAGE), none.get(699 * PAGE))
    );
}

/// Parts of mappings: taken away, or in place of others.
fn parts(path: &Path) {
    let file = filled(path, 8 * PAGE);
    let all = shared(&file, 8 * PAGE);
    for page in 0..8 {
        all.set(page * PAGE + 1, 60 + page as u8);
    }
    // SAFETY: pages of the mapping's own, which are not touched from here on.
    let hole = unsafe { libc::munmap((all.start + 3 * PAGE) as *mut _, 2 * PAGE) };
    show!(
        "a hole",
        (hole, all.get(2 * PAGE + 1), all.get(5 * PAGE + 1))
    );
    show!(
        "what was there",
        (
            byte(&file, 3 * PAGE as u64 + 1),
            byte(&file, 4 * PAGE as u64 + 1)
        )
    );
    show!("a sync with a hole", all.sync() == libc::ENOMEM);
    let fixed = libc::MAP_SHARED | libc::MAP_FIXED;
    let back = map(&file, all.start + 4 * PAGE, PAGE, WRITE, fixed, 0).expect("a mapping");
    back.set(2, 70);
    show!(
        "another page there",
        (all.get(4 * PAGE + 1), all.get(2), byte(&file, 2))
    );
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, where there is room.
    let room = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            16 * PAGE,
            libc::PROT_NONE,
            flags,
            -1,
            0,
        )
    };
    let room = Map {
        start: room as usize,
        len: 16 * PAGE,
    };
    let one = map(
        &file,
        room.start + 2 * PAGE,
        2 * PAGE,
        WRITE,
        fixed,
        5 * PAGE,
    )
    .expect("a mapping");
    one.set(5, 71);
    show!("in room that was kept", (one.get(1), all.get(5 * PAGE + 5)));
    show!(
        "there already",
        map(
            &file,
            room.start,
            PAGE,
            READ,
            libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE,
            0
        )
        .map(|_| ())
        .err()
    );
    std::mem::forget((back, one));
}

/// Calls that read and write, from and to mappings.
fn calls(path: &Path) {
    let file = filled(path, 4 * PAGE);
    let all = shared(&file, 4 * PAGE);
    all.bytes(0, 5).copy_from_slice(b"first");
    file.read_exact_at(all.bytes(PAGE, 5), 0).expect("read");
    show!("read to it", all.bytes(PAGE, 5) == b"first");
    file.write_all_at(all.bytes(PAGE, 5), 2 * PAGE as u64 - 2)
        .expect("written");
    show!(
        "written from it",
        (
            all.bytes(2 * PAGE - 2, 5) == b"first",
            byte(&file, 2 * PAGE as u64)
        )
    );
    all.set(7, 33);
    let to = path.with_extension("copy");
    show!("copied", fs::copy(path, &to).ok());
    show!(
        "what was copied",
        fs::read(&to)
            .map(|content| (content[7], content.len()))
            .ok()
    );
    let mut copy = &file;
    copy.rewind().expect("begun");
    let mut text = Vec::new();
    copy.read_to_end(&mut text).expect("read");
    show!("all of it", (text.len(), text[7]));
    // SAFETY: it writes no memory, whatever is there.
    let sync = |start: usize, flags| outcome(unsafe { libc::msync(start as *mut _, PAGE, flags) });
    show!("sync not at a page", sync(all.start + 1, libc::MS_SYNC));
    show!(
        "sync of both kinds",
        sync(all.start, libc::MS_SYNC | libc::MS_ASYNC)
    );
    show!("sync later", sync(all.start, libc::MS_ASYNC));
    show!("sync of the file", file.sync_all().is_ok());
    all.set(8, 34);
    show!(
        "and of its data",
        (file.sync_data().is_ok(), byte(&file, 8))
    );
    fs::remove_file(&to).expect("removed");
}

/// A file without a name.
fn removed(path: &Path) {
    let file = filled(path, PAGE);
    let one = shared(&file, PAGE);
    fs::remove_file(path).expect("removed");
    one.set(0, 80);
    show!("removed", (byte(&file, 0), one.sync()));
    drop(file);
    one.set(1, 81);
    show!("and closed", (one.get(0), one.get(1), path.exists()));
    let other = filled(path, PAGE);
    let two = shared(&other, PAGE);
    two.set(1, 82);
    show!("another of that name", (one.get(1), byte(&other, 1)));
}

/// Threads with mappings of their own, and one that writes.
fn threads(path: &Path) {
    const COUNT: u32 = 20_000;
    let file = filled(path, 4 * PAGE);
    file.write_all_at(&[0; 64], 0).expect("written");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let map = shared(&file, 4 * PAGE);
                for _ in 0..COUNT {
                    map.count(16).fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            for round in 0..200_u32 {
                let map = shared(&file, 4 * PAGE);
                file.write_all_at(&[round as u8; 100], 2 * PAGE as u64 - 50)
                    .expect("written");
                assert_eq!(map.get(2 * PAGE), round as u8);
                map.set(2 * PAGE + 1, !(round as u8));
                map.sync();
                assert_eq!(byte(&file, 2 * PAGE as u64 + 1), !(round as u8));
            }
        });
    });
    let map = shared(&file, PAGE);
    show!("counted by threads", map.count(16).load(Ordering::Relaxed));
}

/// Files in memory.
fn nameless() {
    // SAFETY: a C string.
    let made = unsafe { libc::memfd_create(c"pages".as_ptr(), 0) };
    // SAFETY: just made, and nobody else's.
    let file = unsafe { File::from_raw_fd(made) };
    file.set_len(2 * PAGE as u64).expect("longer");
    let (first, second) = (shared(&file, 2 * PAGE), shared(&file, 2 * PAGE));
    first.set(PAGE, 90);
    show!("memfd", (second.get(PAGE), byte(&file, PAGE as u64)));
    let name = c"/test-mappings";
    let open = || {
        // SAFETY: a C string.
        let made = unsafe { libc::shm_open(name.as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600) };
        // SAFETY: just made, and nobody else's.
        unsafe { File::from_raw_fd(made) }
    };
    let (one, other) = (open(), open());
    one.set_len(PAGE as u64).expect("longer");
    let (first, second) = (shared(&one, PAGE), shared(&other, PAGE));
    assert_ne!(one.as_raw_fd(), other.as_raw_fd());
    first.set(0, 91);
    second.set(1, 92);
    // SAFETY: a C string.
    let unlinked = unsafe { libc::shm_unlink(name.as_ptr()) };
    show!("shm_open", (second.get(0), first.get(1), unlinked));
    first.set(2, 93);
    show!("without its name", second.get(2));
}

/// Many files at once, and their content afterwards.
fn many(folder: &Path) {
    let paths: Vec<_> = (0..40)
        .map(|number| folder.join(format!("many-{number}")))
        .collect();
    let files: Vec<_> = paths.iter().map(|path| filled(path, 3 * PAGE)).collect();
    let maps: Vec<_> = files.iter().map(|file| shared(file, 3 * PAGE)).collect();
    for (number, map) in maps.iter().enumerate() {
        map.bytes(PAGE - 2, 4).fill(number as u8);
    }
    drop((maps, files));
    let is_right = |(number, path): (usize, &std::path::PathBuf)| {
        let content = fs::read(path).expect("read");
        content.len() == 3 * PAGE
            && content[PAGE - 2..PAGE + 2] == [number as u8; 4]
            && content[PAGE + 2] == ((PAGE + 2) % 251) as u8
    };
    show!("many files", paths.iter().enumerate().all(is_right));
    for path in paths {
        fs::remove_file(path).expect("removed");
    }
}

/// A file that is mapped and was synced once, by the mapping; then more is written to it.
pub(crate) fn keep(path: &Path) -> Map {
    let file = filled(path, 3 * PAGE);
    let map = shared(&file, 3 * PAGE);
    map.bytes(PAGE, 6).copy_from_slice(b"synced");
    println!("sync {}", map.sync());
    map.bytes(2 * PAGE, 5).copy_from_slice(b"ended");
    map
}

/// A mapping whose file cannot be written: the sync tells, and what was written is still there.
pub(crate) fn fail(path: &Path) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("a file");
    let map = shared(&file, PAGE);
    map.set(0, b'X');
    println!("sync {}", map.sync());
    println!("of the file {}", file.sync_all().is_ok());
    println!("read {}", byte(&file, 0) as char);
    drop(map);
    println!("kept {}", byte(&file, 0) as char);
}

/// Touches what is behind the end of a file, with nobody to deal with it.
pub(crate) fn beyond() {
    let file = filled(Path::new("/beyond"), PAGE);
    let map = shared(&file, 2 * PAGE);
    println!("{}", map.get(PAGE));
}
