//! What happens to files, as it is told to who watches them.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::{check, last_error, owned, show};

const NAMES: [(u32, &str); 16] = [
    (libc::IN_ACCESS, "ACCESS"),
    (libc::IN_MODIFY, "MODIFY"),
    (libc::IN_ATTRIB, "ATTRIB"),
    (libc::IN_CLOSE_WRITE, "CLOSE_WRITE"),
    (libc::IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"),
    (libc::IN_OPEN, "OPEN"),
    (libc::IN_MOVED_FROM, "MOVED_FROM"),
    (libc::IN_MOVED_TO, "MOVED_TO"),
    (libc::IN_CREATE, "CREATE"),
    (libc::IN_DELETE, "DELETE"),
    (libc::IN_DELETE_SELF, "DELETE_SELF"),
    (libc::IN_MOVE_SELF, "MOVE_SELF"),
    (libc::IN_UNMOUNT, "UNMOUNT"),
    (libc::IN_Q_OVERFLOW, "Q_OVERFLOW"),
    (libc::IN_IGNORED, "IGNORED"),
    (libc::IN_ISDIR, "ISDIR"),
];

fn watch(inotify: &OwnedFd, path: &str, events: u32) -> Result<i32, i32> {
    let path = CString::new(path).expect("no zero");
    // SAFETY: a C string.
    check(unsafe { libc::inotify_add_watch(inotify.as_raw_fd(), path.as_ptr(), events) })
}

/// All that waits: watch, events, whether there is a cookie, the name and its length with the zeros.
fn seen(inotify: &OwnedFd) -> Vec<String> {
    let mut buf = [0_u8; 16 << 10];
    // SAFETY: the buffer is that long.
    let len = unsafe { libc::read(inotify.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
    let Ok(len) = usize::try_from(len) else {
        return vec![format!("error {}", last_error())];
    };
    let mut rest = &buf[..len];
    let mut all = Vec::new();
    while !rest.is_empty() {
        let number =
            |at: usize| u32::from_ne_bytes(rest[at * 4..][..4].try_into().expect("four bytes"));
        let names: Vec<_> = NAMES
            .iter()
            .filter(|(bit, _)| number(1) & bit != 0)
            .map(|(_, name)| *name)
            .collect();
        let name_len = number(3) as usize;
        let name = String::from_utf8_lossy(&rest[16..16 + name_len]).into_owned();
        let cookie = if number(2) != 0 { " cookie" } else { "" };
        all.push(format!(
            "{} {}{cookie} {:?} {name_len}",
            number(0) as i32,
            names.join("|"),
            name.trim_end_matches('\0')
        ));
        rest = &rest[16 + name_len..];
    }
    all
}

pub(super) fn steps() {
    fs::create_dir("watched").expect("a folder");
    fs::create_dir("watched/inner").expect("a folder");
    // SAFETY: no pointers.
    let inotify = owned(unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) });
    show("nothing has happened", seen(&inotify));
    show("a watch", watch(&inotify, "watched", libc::IN_ALL_EVENTS));
    show("again", watch(&inotify, "./watched/", libc::IN_ALL_EVENTS));
    let mask_create = libc::IN_OPEN | libc::IN_MASK_CREATE;
    show("again, as new", watch(&inotify, "watched", mask_create));
    show("nothing to watch for", watch(&inotify, "watched", 0));
    show("nothing there", watch(&inotify, "nothing", libc::IN_OPEN));

    fs::write("watched/file", "content").expect("works");
    show("a file is written", seen(&inotify));
    fs::read("watched/file").expect("works");
    show("a file is read", seen(&inotify));
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .open("watched/file")
        .expect("works");
    file.write_all(b"more").expect("works");
    file.seek(SeekFrom::Start(0)).expect("works");
    file.read_exact(&mut [0; 4]).expect("works");
    file.set_len(3).expect("works");
    file.set_permissions(PermissionsExt::from_mode(0o600))
        .expect("works");
    file.set_modified(std::time::SystemTime::now())
        .expect("works");
    drop(file);
    show("all by one descriptor", seen(&inotify));
    drop(File::create("watched/file").expect("works"));
    show("cut off", seen(&inotify));
    fs::read_dir("watched").expect("works").for_each(drop);
    show("listed", seen(&inotify));

    fs::create_dir("watched/folder").expect("works");
    symlink("file", "watched/link").expect("works");
    fs::hard_link("watched/file", "watched/second").expect("works");
    show("made", seen(&inotify));
    fs::remove_file("watched/second").expect("works");
    show("one name less", seen(&inotify));
    let of_file = watch(&inotify, "watched/file", libc::IN_ALL_EVENTS);
    show("a watch of a file", of_file);
    let only_dir = libc::IN_OPEN | libc::IN_ONLYDIR;
    show("as a folder", watch(&inotify, "watched/file", only_dir));
    fs::rename("watched/file", "watched/inner/file").expect("works");
    show("moved away", seen(&inotify));
    fs::rename("watched/inner/file", "watched/a name that is long").expect("works");
    show("moved back", seen(&inotify));
    fs::write("watched/other", "").expect("works");
    let of_other = watch(&inotify, "watched/other", libc::IN_ALL_EVENTS);
    seen(&inotify);
    fs::rename("watched/a name that is long", "watched/other").expect("works");
    show("moved onto another", (of_other, seen(&inotify)));
    fs::rename("watched/folder", "watched/map").expect("works");
    show("a folder is moved", seen(&inotify));
    let file = File::open("watched/other").expect("works");
    fs::remove_file("watched/other").expect("works");
    show("removed while open", seen(&inotify));
    drop(file);
    show("closed", seen(&inotify));
    fs::remove_file("watched/link").expect("works");
    fs::remove_dir("watched/map").expect("works");
    show("removed", seen(&inotify));

    let once = libc::IN_CREATE | libc::IN_ONESHOT;
    show("once", watch(&inotify, "watched/inner", once));
    fs::write("watched/inner/a", "").expect("works");
    fs::write("watched/inner/b", "").expect("works");
    show("only the first", seen(&inotify));
    let number = watch(&inotify, "watched/inner", libc::IN_DELETE).expect("a watch");
    // SAFETY: no pointers.
    let end = || check(unsafe { libc::inotify_rm_watch(inotify.as_raw_fd(), number) });
    show("ended", (end(), end()));
    fs::remove_file("watched/inner/a").expect("works");
    fs::remove_file("watched/inner/b").expect("works");
    show("nothing of it", seen(&inotify));

    let blocking = {
        // SAFETY: no pointers.
        owned(unsafe { libc::inotify_init1(0) })
    };
    show("another", watch(&blocking, "watched", libc::IN_DELETE));
    let thread = std::thread::spawn(move || seen(&blocking));
    fs::remove_dir("watched/inner").expect("works");
    show("waited for", thread.join().expect("no panic"));
    let mut waiting = 0;
    // SAFETY: the number can be written.
    let result = unsafe { libc::ioctl(inotify.as_raw_fd(), libc::FIONREAD, &mut waiting) };
    show("so many bytes", (check(result), waiting));
    fs::remove_dir("watched").expect("works");
    show("all is gone", seen(&inotify));
    // SAFETY: no pointers.
    show("odd flags", check(unsafe { libc::inotify_init1(1) }));
}
