//! What `std::net` promises, on the machine's own addresses.

use crate::{Kind, show};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs,
    UdpSocket,
};
use std::os::linux::net::TcpStreamExt;
use std::thread;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(20);

pub(crate) fn steps() {
    show!(
        "v4",
        "127.0.0.1".parse::<IpAddr>().map(|ip| ip.is_loopback())
    );
    show!(
        "v6",
        "::ffff:1.2.3.4"
            .parse::<Ipv6Addr>()
            .map(|ip| ip.to_ipv4_mapped())
    );
    show!(
        "bad",
        "1.2.3.256"
            .parse::<Ipv4Addr>()
            .map_err(|error| error.to_string())
    );
    show!(
        "socket address",
        "[::1]:80"
            .parse::<SocketAddr>()
            .map(|address| (address.port(), address.is_ipv6()))
    );
    show!(
        "resolved",
        ("127.0.0.1", 80)
            .to_socket_addrs()
            .map(Iterator::collect::<Vec<_>>)
            .kind()
    );
    show!(
        "localhost",
        ("localhost", 80)
            .to_socket_addrs()
            .map(|mut all| all.any(|a| a == SocketAddr::from(([127, 0, 0, 1], 80))))
            .kind()
    );
    show!("no port", "localhost".to_socket_addrs().map(|_| ()).kind());
    tcp();
    udp();
    at_once();
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    (client, listener.accept().expect("accepted").0)
}

fn tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    show!("port", address.port() != 0);
    show!("in use", TcpListener::bind(address).map(|_| ()).kind());
    show!(
        "not ours",
        TcpListener::bind("192.0.2.1:0").map(|_| ()).kind()
    );
    show!(
        "nonblocking",
        listener
            .set_nonblocking(true)
            .and_then(|()| listener.accept().map(|_| ()))
            .kind()
    );
    listener.set_nonblocking(false).expect("set");
    let echo = thread::spawn(move || {
        let (stream, peer) = listener.accept().expect("accepted");
        let mut lines = BufReader::new(stream.try_clone().expect("a second one"));
        let mut line = String::new();
        while lines.read_line(&mut line).expect("read") != 0 {
            (&stream).write_all(line.as_bytes()).expect("written");
            line.clear();
        }
        (peer, listener)
    });
    let mut client = TcpStream::connect(address).expect("connected");
    show!(
        "addresses",
        (
            client.peer_addr().kind() == Ok(address),
            client.local_addr().is_ok()
        )
    );
    client.write_all(b"one\ntwo\n").expect("written");
    client.shutdown(Shutdown::Write).expect("shut down");
    let mut answer = String::new();
    show!("echo", (client.read_to_string(&mut answer).kind(), answer));
    show!("after shutdown", client.write(b"x").kind());
    let (peer, listener) = echo.join().expect("an end");
    show!("peer", client.local_addr().kind() == Ok(peer));
    drop(listener);
    show!("refused", TcpStream::connect(address).map(|_| ()).kind());
    show!(
        "refused in time",
        TcpStream::connect_timeout(&address, Duration::from_secs(60))
            .map(|_| ())
            .kind()
    );
    show!(
        "no time",
        TcpStream::connect_timeout(&address, Duration::ZERO)
            .map(|_| ())
            .kind()
    );

    let (mut client, mut server) = pair();
    for (name, stream) in [("client", &client), ("server", &server)] {
        show!(
            name,
            (
                stream.nodelay().kind(),
                stream.set_nodelay(true).kind(),
                stream.nodelay().kind()
            )
        );
        show!(
            name,
            (
                stream.set_quickack(true).kind(),
                stream.quickack().kind(),
                stream.set_quickack(false).kind(),
                stream.quickack().kind()
            )
        );
        show!(
            name,
            (
                stream.ttl().kind(),
                stream.set_ttl(7).kind(),
                stream.ttl().kind()
            )
        );
        show!(
            name,
            (
                stream.read_timeout().kind(),
                stream.set_read_timeout(Some(SHORT)).kind(),
                stream.read_timeout().kind().map(|t| t.is_some())
            )
        );
        show!(
            name,
            (
                stream.set_read_timeout(Some(Duration::ZERO)).kind(),
                stream.set_write_timeout(Some(SHORT)).kind()
            )
        );
        show!(
            name,
            stream.take_error().map(|error| error.is_none()).kind()
        );
    }
    let late = client.read(&mut [0]).kind();
    show!(
        "late",
        matches!(late, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut))
    );
    client.set_nonblocking(true).expect("set");
    show!("nonblocking", client.read(&mut [0]).kind());
    client.set_nonblocking(false).expect("set");
    client.set_read_timeout(None).expect("set");
    server.write_all(b"peeked").expect("written");
    let mut buf = [0; 3];
    show!("peek", (client.peek(&mut buf).kind(), buf));
    show!("read", (client.read_exact(&mut buf).kind(), buf));
    show!("nothing", server.write(b"").kind());
    // A sender that nobody reads from waits, and says so when its time is over.
    let mut sent = 0_usize;
    let end = loop {
        match server.write(&[0; 65536]) {
            Ok(count) => sent += count,
            Err(error) => break error.kind(),
        }
    };
    show!(
        "full",
        (
            matches!(end, ErrorKind::WouldBlock | ErrorKind::TimedOut),
            sent > 1000
        )
    );
    drop(server);
    let mut rest = Vec::new();
    show!(
        "all of it",
        client
            .read_to_end(&mut rest)
            .kind()
            .is_ok_and(|count| count == sent + 3)
    );

    let (client, server) = pair();
    client.shutdown(Shutdown::Read).expect("shut down");
    show!("own end", (&client).read(&mut [0; 4]).kind());
    drop(client);
    show!("their end", (&server).read(&mut [0; 4]).kind());
    let (client, server) = pair();
    let reader = thread::spawn(move || (&server).read(&mut [0; 4]).kind());
    client.shutdown(Shutdown::Both).expect("shut down");
    show!("woken", reader.join().expect("an end"));
    show!("incoming", {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let clients: Vec<_> = (0..20)
            .map(|_| TcpStream::connect(address).expect("connected"))
            .collect();
        (
            clients.len(),
            listener.incoming().take(20).filter(Result::is_ok).count(),
        )
    });
}

fn udp() {
    let one = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let two = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let (first, second) = (
        one.local_addr().expect("an address"),
        two.local_addr().expect("an address"),
    );
    show!("in use", UdpSocket::bind(first).map(|_| ()).kind());
    show!("sent", one.send_to(b"datagram", second).kind());
    let mut buf = [0; 4];
    show!(
        "peeked",
        two.peek_from(&mut buf)
            .map(|(len, from)| (len, from == first))
            .kind()
    );
    show!(
        "cut",
        two.recv_from(&mut buf)
            .map(|(len, from)| (len, from == first))
            .kind()
    );
    show!(
        "empty",
        (
            one.send_to(b"", second).kind(),
            two.recv_from(&mut buf).map(|(len, _)| len).kind()
        )
    );
    two.set_read_timeout(Some(SHORT)).expect("set");
    let late = two.recv(&mut buf).kind();
    show!(
        "late",
        matches!(late, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut))
    );
    two.set_nonblocking(true).expect("set");
    show!("nonblocking", two.recv(&mut buf).kind());
    show!("no peer", (two.send(b"x").kind(), two.peer_addr().kind()));
    show!(
        "connected",
        (
            two.connect(first).kind(),
            two.send(b"y").kind(),
            one.recv(&mut buf).kind()
        )
    );
    show!("peer", two.peer_addr().kind() == Ok(first));
    show!(
        "too long",
        one.send_to(&[0; 70_000], second)
            .map_err(|error| error.raw_os_error())
    );
    show!(
        "broadcast",
        (
            one.broadcast().kind(),
            one.set_broadcast(true).kind(),
            one.broadcast().kind()
        )
    );
    show!("ttl", (one.set_ttl(9).kind(), one.ttl().kind()));
    show!(
        "option of the other version",
        one.multicast_loop_v6()
            .map_err(|error| error.raw_os_error())
    );
    show!(
        "set so",
        one.set_multicast_loop_v6(true)
            .map_err(|error| error.raw_os_error())
    );
}

/// What a program sends itself has come when the call returns.
fn at_once() {
    let to = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let from = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    to.set_nonblocking(true).expect("set");
    let mut buf = [0; 16];
    from.connect(to.local_addr().expect("an address"))
        .expect("connected");
    let all = (0..1000).all(|_| from.send(b"now").is_ok() && to.recv(&mut buf).is_ok());
    show!("datagrams", all);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.set_nonblocking(true).expect("set");
    let mut here =
        TcpStream::connect(listener.local_addr().expect("an address")).expect("a stream");
    let (mut there, _) = listener.accept().expect("is there at once");
    there.set_nonblocking(true).expect("set");
    here.set_nodelay(true).expect("set");
    show!(
        "nothing yet",
        there.read(&mut buf).map_err(|error| error.kind())
    );
    let all = (0..1000).all(|_| here.write(b"now").is_ok() && there.read(&mut buf).is_ok());
    show!("bytes", all);
    here.shutdown(Shutdown::Write).expect("shut down");
    show!(
        "the end",
        there.read(&mut buf).map_err(|error| error.kind())
    );
    drop(here);
    let refused = TcpStream::connect(("127.0.0.1", 9));
    show!("nobody", refused.map(drop).map_err(|error| error.kind()));
}
