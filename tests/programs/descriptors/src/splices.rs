//! Bytes from pipes and into them: `splice`, `tee`, `vmsplice`.

use super::{last_error, pair, read, show};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::null_mut;
use std::thread;

fn counted(result: isize) -> Result<isize, i32> {
    if result < 0 {
        Err(last_error())
    } else {
        Ok(result)
    }
}

fn splice(from: &impl AsRawFd, to: &impl AsRawFd, len: usize, flags: u32) -> Result<isize, i32> {
    // SAFETY: no offsets.
    counted(unsafe {
        libc::splice(
            from.as_raw_fd(),
            null_mut(),
            to.as_raw_fd(),
            null_mut(),
            len,
            flags,
        )
    })
}

fn tee(from: &impl AsRawFd, to: &impl AsRawFd, len: usize) -> Result<isize, i32> {
    // SAFETY: numbers.
    counted(unsafe {
        libc::tee(
            from.as_raw_fd(),
            to.as_raw_fd(),
            len,
            libc::SPLICE_F_NONBLOCK,
        )
    })
}

fn pipe() -> (OwnedFd, OwnedFd) {
    // SAFETY: room for two numbers.
    pair(|both| unsafe { libc::pipe(both) })
}

const NOW: u32 = libc::SPLICE_F_NONBLOCK;

pub(crate) fn steps() {
    let (from, into) = pipe();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open("spliced")
        .expect("a file");
    file.write_all(b"some bytes of a file").expect("written");
    file.rewind().expect("sought");
    show("from a file", splice(&file, &into, 4, 0));
    show("it was read", file.stream_position());
    let mut offset = 11_i64;
    // SAFETY: an offset of ours.
    let from_there = unsafe {
        libc::splice(
            file.as_raw_fd(),
            &raw mut offset,
            into.as_raw_fd(),
            null_mut(),
            100,
            0,
        )
    };
    show(
        "from an offset",
        (from_there, offset, file.stream_position()),
    );
    show("is in the pipe", read(&from));
    show("nothing yet", splice(&from, &file, 10, NOW));
    (&File::from(into.try_clone().expect("a descriptor")))
        .write_all(b"back again")
        .expect("written");
    let mut offset = 2_i64;
    // SAFETY: an offset of ours.
    let back = unsafe {
        libc::splice(
            from.as_raw_fd(),
            null_mut(),
            file.as_raw_fd(),
            &raw mut offset,
            4,
            0,
        )
    };
    show("to an offset", (back, offset));
    show("to the place of the file", splice(&from, &file, 100, 0));
    file.rewind().expect("sought");
    let mut content = String::new();
    file.read_to_string(&mut content).expect("read");
    show("the file", content);
    pipes(&file);
    mistakes(&file);
    sockets();
    memory();
    std::fs::remove_file("spliced").expect("removed");
}

fn pipes(file: &File) {
    let ((from, into), (other_from, other_into)) = (pipe(), pipe());
    let write = |bytes: &[u8]| {
        (&File::from(into.try_clone().expect("a descriptor")))
            .write_all(bytes)
            .expect("written")
    };
    write(b"for both");
    show("tee", tee(&from, &other_into, 100));
    show("tee of a part", tee(&from, &other_into, 3));
    show("the copies", read(&other_from));
    show(
        "what was copied is still there",
        splice(&from, &other_into, 100, 0),
    );
    show(
        "and is moved",
        (read(&other_from), tee(&from, &other_into, 1)),
    );
    write(&[7; 60_000]);
    show("much", splice(&from, &other_into, 60_000, 0));
    write(&[8; 60_000]);
    show(
        "as much as there is room for",
        splice(&from, &other_into, 60_000, NOW).is_ok(),
    );
    show("a full pipe", splice(file, &other_into, 10, NOW));
    drop(other_from);
    show("nobody reads any more", splice(&from, &other_into, 10, NOW));
    drop(into);
    let mut rest = Vec::new();
    File::from(from).read_to_end(&mut rest).expect("read");
    show(
        "nothing else was lost",
        rest.iter().all(|byte| *byte == 8) && !rest.is_empty(),
    );
    let (from, into) = pipe();
    drop(into);
    show("the end", splice(&from, file, 10, 0));
    let (from, into) = pipe();
    let writer = thread::spawn(move || File::from(into).write_all(b"late").expect("written"));
    show("waited for", splice(&from, file, 10, 0));
    writer.join().expect("no panic");
}

fn mistakes(file: &File) {
    let (from, into) = pipe();
    show("two files", splice(file, file, 1, 0));
    show("the pipe's own end", splice(&from, &into, 1, 0));
    show(
        "a pipe the wrong way",
        (splice(file, &from, 1, 0), splice(&into, file, 1, 0)),
    );
    show("unknown flags", splice(file, &into, 1, 1 << 20));
    let mut offset = 0_i64;
    // SAFETY: an offset of ours.
    let of_pipe = unsafe {
        libc::splice(
            from.as_raw_fd(),
            &raw mut offset,
            file.as_raw_fd(),
            null_mut(),
            1,
            0,
        )
    };
    show("an offset of a pipe", counted(of_pipe));
    (&File::from(into.try_clone().expect("a descriptor")))
        .write_all(b"x")
        .expect("written");
    let appending = OpenOptions::new()
        .append(true)
        .open("spliced")
        .expect("the file");
    show(
        "a file that is appended to",
        splice(&from, &appending, 1, 0),
    );
    show(
        "tee without two pipes",
        (tee(file, &into, 1), tee(&from, &into, 1)),
    );
    show("it is still there", read(&from));
    file.as_raw_fd();
}

fn sockets() {
    let (mut one, other) = std::os::unix::net::UnixStream::pair().expect("sockets");
    let (from, into) = pipe();
    one.write_all(b"through a socket").expect("written");
    show("from a socket", splice(&other, &into, 100, 0));
    show("to a socket", splice(&from, &other, 7, 0));
    let mut buf = [0; 7];
    one.read_exact(&mut buf).expect("read");
    show("arrived", String::from_utf8_lossy(&buf).into_owned());
    other.set_nonblocking(true).expect("set");
    show("an empty socket", splice(&other, &into, 1, 0));
    show("the rest", read(&from));
    let mut source = File::open("spliced").expect("the file");
    source.seek(SeekFrom::Start(3)).expect("sought");
    let copied = std::io::copy(&mut source, &mut &File::from(into)).expect("copied");
    show("copied by std", (copied, read(&from)));
}

fn memory() {
    let (from, into) = pipe();
    let (mut first, mut second) = (*b"one", *b"two");
    let parts = [&mut first, &mut second].map(|part| libc::iovec {
        iov_base: part.as_mut_ptr().cast(),
        iov_len: 3,
    });
    // SAFETY: two buffers of ours.
    let given = unsafe { libc::vmsplice(into.as_raw_fd(), parts.as_ptr(), 2, 0) };
    show("memory into a pipe", given);
    let mut buf = [0_u8; 4];
    let part = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: 4,
    };
    // SAFETY: a buffer of ours.
    let taken = unsafe { libc::vmsplice(from.as_raw_fd(), &raw const part, 1, 0) };
    show("and out of it", (taken, buf, read(&from)));
    // SAFETY: as above.
    let nothing = counted(unsafe { libc::vmsplice(from.as_raw_fd(), &raw const part, 1, NOW) });
    let file = File::open("spliced").expect("the file");
    // SAFETY: as above.
    let no_pipe = counted(unsafe { libc::vmsplice(file.as_raw_fd(), &raw const part, 1, 0) });
    show("nothing, and no pipe", (nothing, no_pipe));
}
