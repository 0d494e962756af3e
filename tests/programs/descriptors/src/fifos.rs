//! Pipes with names.

use crate::pipes::poll;
use crate::{check, last_error, owned, read, show, write};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

fn make(path: &Path) -> Result<i32, i32> {
    let path = CString::new(path.to_str().expect("text")).expect("no zeros");
    // SAFETY: a C string.
    check(unsafe { libc::mkfifo(path.as_ptr(), 0o640) })
}

fn open(path: &Path, flags: i32) -> Result<OwnedFd, i32> {
    let path = CString::new(path.to_str().expect("text")).expect("no zeros");
    // SAFETY: a C string.
    check(unsafe { libc::open(path.as_ptr(), flags) }).map(owned)
}

pub(crate) fn steps() {
    let folder = std::env::temp_dir().join(format!("fifos-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("pipe");
    show("a pipe with a name", make(&path));
    show("its name is taken", make(&path));
    let kind = fs::symlink_metadata(&path).expect("facts").file_type();
    show("is a pipe", (kind.is_fifo(), kind.is_file()));
    without_waiting(&path);
    with_waiting(&path);
    many_writers(&path);
    others(&folder, &path);
    fs::remove_dir_all(&folder).expect("removed");
}

fn without_waiting(path: &Path) {
    let nonblocking = libc::O_NONBLOCK;
    show(
        "nobody reads",
        open(path, libc::O_WRONLY | nonblocking).map(drop),
    );
    let reader = open(path, libc::O_RDONLY | nonblocking).expect("an end to read from");
    show("nobody writes", read(&reader));
    show(
        "no hang-up before the first writer",
        poll(&reader, libc::POLLIN),
    );
    let writer = open(path, libc::O_WRONLY | nonblocking).expect("an end to write to");
    show("nothing yet", read(&reader));
    show("written", write(&writer, b"hello"));
    show("readable", poll(&reader, libc::POLLIN));
    let mut unread = 0;
    // SAFETY: there is room for a number.
    let count = unsafe { libc::ioctl(reader.as_raw_fd(), libc::FIONREAD, &raw mut unread) };
    show("unread", (count, unread));
    show("the wrong end to write to", write(&reader, b"x"));
    show("the wrong end to read from", read(&writer));
    drop(writer);
    show("hangs up with something left", poll(&reader, libc::POLLIN));
    show("what is left", read(&reader));
    show("then the end", read(&reader));
    let writer = open(path, libc::O_WRONLY | nonblocking).expect("another writer");
    show("the end is over", read(&reader));
    show("and so is the hang-up", poll(&reader, libc::POLLIN));
    drop(reader);
    show("nobody reads any more", write(&writer, b"x"));
    show("which is an error", poll(&writer, libc::POLLOUT));
    let reader = open(path, libc::O_RDONLY | nonblocking).expect("another reader");
    show("is mended by a reader", write(&writer, b"again"));
    show("who reads", read(&reader));
    // SAFETY: it is a descriptor.
    let flags = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETFL) };
    show(
        "the way it was opened",
        flags & libc::O_ACCMODE == libc::O_WRONLY,
    );
    drop((reader, writer));
    let both = open(path, libc::O_RDWR).expect("both ends");
    show("to oneself", (write(&both, b"self"), read(&both)));
}

fn with_waiting(path: &Path) {
    let name = PathBuf::from(path);
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        let mut file = File::options().write(true).open(name).expect("an end");
        file.write_all(&[7; 200_000]).expect("written");
    });
    let mut content = Vec::new();
    let mut file = File::open(path).expect("opened when somebody writes");
    let count = file.read_to_end(&mut content).expect("read");
    writer.join().expect("no panic");
    show("read to the end", (count, content.iter().all(|b| *b == 7)));
}

fn many_writers(path: &Path) {
    let reader = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .expect("a reader");
    let writers = [0_u8, 1, 2, 3].map(|number| {
        let name = PathBuf::from(path);
        thread::spawn(move || {
            let mut file = File::options().write(true).open(name).expect("an end");
            for _ in 0..16 {
                file.write_all(&[number; 1024]).expect("written");
            }
        })
    });
    for writer in writers {
        writer.join().expect("no panic");
    }
    let mut records = [0; 4];
    let mut record = [0; 1024];
    while let Ok(1024) = (&reader).read(&mut record) {
        let is_whole = record.iter().all(|byte| *byte == record[0]);
        records[usize::from(record[0])] += usize::from(is_whole);
    }
    show("records of each that are whole", records);
}

fn others(folder: &Path, path: &Path) {
    let descriptor = open(path, libc::O_PATH).expect("its name only");
    show("is not read", read(&descriptor));
    show(
        "cannot be a folder",
        open(path, libc::O_DIRECTORY).map(drop),
    );
    let here = open(folder, libc::O_RDONLY).expect("the folder");
    // SAFETY: C strings.
    let made = unsafe {
        [
            libc::mkfifoat(here.as_raw_fd(), c"there".as_ptr(), 0o600),
            libc::mknodat(here.as_raw_fd(), c"node".as_ptr(), libc::S_IFIFO | 0o600, 0),
            libc::mkfifoat(here.as_raw_fd(), c"no/where".as_ptr(), 0o600),
        ]
    };
    show("from a folder", (made, last_error()));
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    show("names", names);
}
