//! What `std::os::unix::net` promises: sockets with paths, without names, with abstract names.

use crate::{Kind, show};
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(20);

pub(crate) fn steps() {
    let (mut one, mut two) = UnixStream::pair().expect("a pair");
    one.write_all(b"pair").expect("written");
    let mut buf = [0; 4];
    show!("pair", (two.read_exact(&mut buf).kind(), buf));
    show!(
        "names",
        (
            one.local_addr().map(|a| a.is_unnamed()).kind(),
            two.peer_addr().map(|a| a.is_unnamed()).kind()
        )
    );
    two.set_read_timeout(Some(SHORT)).expect("set");
    show!("late", two.read(&mut buf).kind());
    one.shutdown(Shutdown::Write).expect("shut down");
    show!("end", two.read(&mut buf).kind());
    drop(one);
    show!("gone", two.write(b"x").kind());
    streams();
    resets();
    datagrams();
    permissions();
}

/// The permissions that a socket has are those of the path that it is bound to.
fn permissions() {
    let mut address = libc::sockaddr_un {
        sun_family: libc::AF_UNIX as u16,
        sun_path: [0; 108],
    };
    for (place, byte) in address.sun_path.iter_mut().zip(b"guarded") {
        *place = *byte as i8;
    }
    let len = size_of_val(&address) as u32;
    // SAFETY: the descriptor that is made belongs to nobody else, and the address is that long.
    let (socket, results) = unsafe {
        let socket = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        let results = (
            libc::fchmod(socket, 0o640),
            libc::bind(socket, (&raw const address).cast(), len),
        );
        (OwnedFd::from_raw_fd(socket), results)
    };
    let mode = |facts: Metadata| format!("{:o}", facts.mode());
    let of_socket = File::from(socket).metadata().map(mode).kind();
    let of_path = fs::metadata("guarded").map(mode).kind();
    show!("permissions", (results, of_socket, of_path));
}

/// Who is not accepted, and whose words are not read, learns of it.
fn resets() {
    let listener = UnixListener::bind("waiting").expect("a name");
    let mut client = UnixStream::connect("waiting").expect("connected");
    drop(listener);
    let mut buf = [0; 4];
    show!(
        "never accepted",
        client
            .take_error()
            .map(|error| error.map(|error| error.kind()))
            .kind()
    );
    show!("and then the end", client.read(&mut buf).kind());
    std::fs::remove_file("waiting").expect("removed");
    let (mut one, two) = UnixStream::pair().expect("a pair");
    one.write_all(b"unread").expect("written");
    drop(two);
    show!("not read", one.read(&mut buf).kind());
    show!("told once", one.read(&mut buf).kind());
    let (mut one, mut two) = UnixStream::pair().expect("a pair");
    one.write_all(b"unread").expect("written");
    two.write_all(b"last").expect("written");
    drop(two);
    show!(
        "the last words first",
        (one.read(&mut buf).kind(), buf, one.read(&mut buf).kind())
    );
}

fn streams() {
    let listener = UnixListener::bind("socket").expect("a name");
    show!(
        "a name twice",
        UnixListener::bind("socket").map(|_| ()).kind()
    );
    show!(
        "kind",
        std::fs::metadata("socket")
            .map(|data| data.file_type().is_socket())
            .kind()
    );
    show!(
        "address",
        listener
            .local_addr()
            .map(|a| a.as_pathname().map(std::path::Path::to_owned))
            .kind()
    );
    listener.set_nonblocking(true).expect("set");
    show!("nobody", listener.accept().map(|_| ()).kind());
    listener.set_nonblocking(false).expect("set");
    let server = thread::spawn(move || {
        let (mut stream, address) = listener.accept().expect("accepted");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("read");
        stream
            .write_all(text.to_uppercase().as_bytes())
            .expect("written");
        address.is_unnamed()
    });
    let mut client = UnixStream::connect("socket").expect("connected");
    show!(
        "peer",
        client
            .peer_addr()
            .map(|a| a.as_pathname().map(std::path::Path::to_owned))
            .kind()
    );
    client.write_all(b"text").expect("written");
    client.shutdown(Shutdown::Write).expect("shut down");
    let mut answer = String::new();
    show!(
        "answer",
        (client.read_to_string(&mut answer).kind(), answer)
    );
    show!("unnamed", server.join().ok());
    show!(
        "nobody listens",
        UnixStream::connect("socket").map(|_| ()).kind()
    );
    std::fs::remove_file("socket").expect("removed");
    show!(
        "no such name",
        UnixStream::connect("socket").map(|_| ()).kind()
    );
    std::fs::write("plain", "").expect("written");
    show!("a file", UnixStream::connect("plain").map(|_| ()).kind());
    std::fs::remove_file("plain").expect("removed");
    show!(
        "a long name",
        UnixListener::bind("x".repeat(200)).map(|_| ()).kind()
    );

    let name = SocketAddr::from_abstract_name(b"promise").expect("a name");
    let listener = UnixListener::bind_addr(&name).expect("bound");
    show!(
        "abstract twice",
        UnixListener::bind_addr(&name).map(|_| ()).kind()
    );
    let client = UnixStream::connect_addr(&name).expect("connected");
    show!(
        "abstract",
        client
            .peer_addr()
            .map(|a| a.as_abstract_name().map(<[u8]>::to_vec))
            .kind()
    );
    drop((listener, client));
    show!(
        "abstract gone",
        UnixStream::connect_addr(&name).map(|_| ()).kind()
    );
}

fn datagrams() {
    let (one, two) = UnixDatagram::pair().expect("a pair");
    let mut buf = [0; 4];
    show!("sent", (one.send(b"ab").kind(), one.send(b"cdefgh").kind()));
    show!(
        "received",
        (two.recv(&mut buf).kind(), two.recv(&mut buf).kind(), buf)
    );
    let here = UnixDatagram::bind("here").expect("a name");
    let there = UnixDatagram::unbound().expect("a socket");
    show!("to a name", there.send_to(b"hi", "here").kind());
    show!(
        "from none",
        here.recv_from(&mut buf)
            .map(|(len, from)| (len, from.is_unnamed()))
            .kind()
    );
    show!("to nobody", there.send_to(b"hi", "nowhere").kind());
    show!("not connected", there.send(b"hi").kind());
    let named = UnixDatagram::bind("named").expect("a name");
    show!(
        "connected",
        (named.connect("here").kind(), named.send(b"x").kind())
    );
    show!(
        "from a name",
        here.recv_from(&mut buf)
            .map(|(len, from)| (len, from.as_pathname().map(std::path::Path::to_owned)))
            .kind()
    );
    here.set_read_timeout(Some(SHORT)).expect("set");
    show!(
        "late",
        matches!(here.recv(&mut buf).kind(), Err(ErrorKind::WouldBlock))
    );
    drop(here);
    show!("gone", named.send(b"x").kind());
    std::fs::remove_file("here").expect("removed");
    std::fs::remove_file("named").expect("removed");
}
