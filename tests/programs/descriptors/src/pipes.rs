//! Pipes, pairs of sockets, files without names.

use crate::{check, owned, pair, read, show, write};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

fn pipe(flags: i32) -> (OwnedFd, OwnedFd) {
    // SAFETY: there is room for two descriptors.
    pair(|both| unsafe { libc::pipe2(both, flags) })
}

pub(crate) fn poll(descriptor: &impl AsRawFd, events: i16) -> i16 {
    let mut request = libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: one request.
    check(unsafe { libc::poll(&raw mut request, 1, 0) }).expect("a count");
    request.revents
}

pub(crate) fn steps() {
    small();
    large();
    sockets();
    unnamed();
}

fn small() {
    let (reader, writer) = pipe(libc::O_NONBLOCK);
    show("an empty pipe", read(&reader));
    show("is not readable", poll(&reader, libc::POLLIN));
    show("but writable", poll(&writer, libc::POLLOUT));
    show("written", write(&writer, b"hello"));
    show("readable", poll(&reader, libc::POLLIN));
    show("came through", read(&reader));
    show("the wrong end to write to", write(&reader, b"x"));
    show("the wrong end to read from", read(&writer));
    show("a last word", write(&writer, b"bye"));
    drop(writer);
    show("readable to the end", poll(&reader, libc::POLLIN));
    show("the last word", read(&reader));
    show("then the end", read(&reader));
    show("which hangs up", poll(&reader, libc::POLLIN));
    let (reader, writer) = pipe(0);
    drop(reader);
    show("nobody reads", write(&writer, b"x"));
    show("which is an error", poll(&writer, libc::POLLOUT));
}

fn large() {
    let (reader, writer) = pipe(libc::O_NONBLOCK);
    let mut written = 0;
    while let Ok(count) = write(&writer, &[7; 4096]) {
        written += count;
    }
    show("a pipe holds", written);
    show("and is full", poll(&writer, libc::POLLOUT));
    drop((reader, writer));
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    let data: Vec<u8> = (0..1_000_000_u32)
        .map(|index| (index % 251) as u8)
        .collect();
    let sent = data.clone();
    let sender = thread::spawn(move || writer.write_all(&sent).expect("a reader"));
    let mut received = Vec::new();
    reader.read_to_end(&mut received).expect("an end");
    sender.join().expect("a sender");
    show("a million bytes came through a pipe", received == data);
}

fn sockets() {
    let (mut first, mut second) = UnixStream::pair().expect("two sockets");
    first.write_all(b"there").expect("room");
    let mut buf = [0; 5];
    second.read_exact(&mut buf).expect("five bytes");
    second.write_all(b"and back").expect("room");
    second.shutdown(Shutdown::Write).expect("a shutdown");
    let mut back = String::new();
    first.read_to_string(&mut back).expect("an end");
    show("there and back", (String::from_utf8_lossy(&buf), back));
    first.write_all(b"still").expect("the other half is open");
    second.read_exact(&mut buf).expect("five bytes");
    show("half a socket still carries", String::from_utf8_lossy(&buf));
    let timeout = Some(Duration::from_millis(20));
    second.set_read_timeout(timeout).expect("a timeout");
    let late = second.read(&mut buf).map_err(|error| error.kind());
    show("nothing comes in time", late);
    second.set_nonblocking(true).expect("a flag");
    let none = second.read(&mut buf).map_err(|error| error.kind());
    show("nothing is there", none);
    show(
        "names",
        second.peer_addr().map(|name| name.is_unnamed()).ok(),
    );
    drop(second);
    let gone = first.write_all(b"x").map_err(|error| error.kind());
    show("the other is gone", gone);
    // SAFETY: there is room for two descriptors.
    let wrong =
        unsafe { libc::socketpair(libc::AF_INET, libc::SOCK_STREAM, 0, [0; 2].as_mut_ptr()) };
    show("no pairs of this family", check(wrong));
}

fn unnamed() {
    // SAFETY: a C string.
    let file = owned(unsafe { libc::memfd_create(c"unnamed".as_ptr(), libc::MFD_CLOEXEC) });
    let mut file = std::fs::File::from(file);
    file.write_all(b"a file in memory").expect("room");
    file.seek(SeekFrom::Start(2)).expect("a place");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("text");
    show("read from the third byte", text);
    file.set_len(4).expect("a size");
    let len = file.metadata().expect("facts").len();
    show("cut to four bytes", len);
}
