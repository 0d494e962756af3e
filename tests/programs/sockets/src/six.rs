//! IPv6 within the machine: the loopback, and sockets that speak both versions.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use socket2::{Domain, Socket, Type};

/// Connects to an address, says a word and reads it back from the other end; what the two ends say of each other.
fn exchange(listener: &TcpListener, to: SocketAddr) -> io::Result<[SocketAddr; 4]> {
    thread::scope(|scope| {
        let server = scope.spawn(|| -> io::Result<_> {
            let (mut stream, peer) = listener.accept()?;
            let mut word = [0; 4];
            stream.read_exact(&mut word)?;
            stream.write_all(&word)?;
            Ok((stream.local_addr()?, peer))
        });
        let mut client = TcpStream::connect(to)?;
        client.write_all(b"word")?;
        let mut word = [0; 4];
        client.read_exact(&mut word)?;
        assert_eq!(&word, b"word");
        let (local, peer) = server.join().expect("no panic")?;
        assert_eq!(client.local_addr()?.port(), peer.port());
        Ok([client.local_addr()?, client.peer_addr()?, local, peer])
    })
}

/// Two cores talk over the loopback at once, each with itself and with the other.
pub(crate) fn two_cores() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // SAFETY: it has no conditions.
    let core = || unsafe { libc::sched_getcpu() };
    let pattern: Vec<u8> = (0..300_000_u32).map(|index| (index % 241) as u8).collect();
    let mut cores = thread::scope(|scope| -> io::Result<Vec<i32>> {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| -> io::Result<i32> {
                    let mut stream = TcpStream::connect(address)?;
                    let mut writer = stream.try_clone()?;
                    let mut back = Vec::new();
                    thread::scope(|scope| -> io::Result<()> {
                        scope.spawn(|| writer.write_all(&pattern));
                        let mut piece = [0; 5000];
                        while back.len() < pattern.len() {
                            let count = stream.read(&mut piece)?;
                            back.extend_from_slice(&piece[..count]);
                        }
                        Ok(())
                    })?;
                    assert!(back == pattern, "what comes back is what was sent");
                    Ok(core())
                })
            })
            .collect();
        let mut servers = Vec::new();
        for _ in 0..clients.len() {
            let (mut stream, _) = listener.accept()?;
            servers.push(scope.spawn(move || -> io::Result<i32> {
                let mut buffer = [0; 4000];
                loop {
                    match stream.read(&mut buffer)? {
                        0 => return Ok(core()),
                        count => stream.write_all(&buffer[..count])?,
                    }
                }
            }));
        }
        let all = clients.into_iter().chain(servers);
        all.map(|thread| thread.join().expect("no panic")).collect()
    })?;
    cores.sort_unstable();
    cores.dedup();
    println!("cores {cores:?}");
    Ok(())
}

pub(crate) fn ipv6() -> io::Result<()> {
    let listener = TcpListener::bind("[::1]:0")?;
    let [local, peer, there, from] = exchange(&listener, listener.local_addr()?)?;
    println!(
        "by the loopback: {} {} {} {}",
        local.ip(),
        peer.ip(),
        there.ip(),
        from.ip()
    );
    both_versions()?;
    apart()?;
    datagrams()?;
    refusals()
}

/// A listener at `[::]` hears both versions, and sees IPv4 in its own way.
fn both_versions() -> io::Result<()> {
    let listener = TcpListener::bind("[::]:0")?;
    let port = listener.local_addr()?.port();
    for to in [
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
    ] {
        let [local, _, there, from] = exchange(&listener, to)?;
        println!(
            "both: from {} seen as {} at {}",
            local.ip(),
            from.ip(),
            there.ip()
        );
    }
    println!(
        "taken for IPv4 too: {:?}",
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
            .map_err(|error| error.kind())
            .map(drop)
    );
    // A client of IPv6 reaches IPv4 by the same way.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port));
    let [local, peer, _, from] = exchange(&listener, mapped)?;
    println!("mapped: {} to {} is {}", local.ip(), peer.ip(), from.ip());
    Ok(())
}

/// With `IPV6_V6ONLY`, each version has a listener of its own at one port.
fn apart() -> io::Result<()> {
    let six = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    println!("only at first: {}", six.only_v6()?);
    six.set_only_v6(true)?;
    six.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
    println!(
        "changed after bind: {:?}",
        six.set_only_v6(false).map_err(|error| error.raw_os_error())
    );
    six.listen(1)?;
    let six = TcpListener::from(six);
    let port = six.local_addr()?.port();
    let four = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    let [.., from] = exchange(&six, SocketAddr::from((Ipv6Addr::LOCALHOST, port)))?;
    let [.., other] = exchange(&four, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    println!("apart: {} and {}", from.ip(), other.ip());
    let only = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    only.set_only_v6(true)?;
    let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port));
    println!(
        "only IPv6 to IPv4: {:?}",
        only.connect(&mapped.into()).map_err(|error| error.kind())
    );
    Ok(())
}

fn datagrams() -> io::Result<()> {
    let server = UdpSocket::bind("[::]:0")?;
    let port = server.local_addr()?.port();
    let mut buffer = [0; 100];
    for (bind, to) in [
        ("[::1]:0", SocketAddr::from((Ipv6Addr::LOCALHOST, port))),
        ("127.0.0.1:0", SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        (
            "[::]:0",
            SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port)),
        ),
    ] {
        let client = UdpSocket::bind(bind)?;
        client.connect(to)?;
        client.send(b"question")?;
        let (count, from) = server.recv_from(&mut buffer)?;
        server.send_to(&buffer[..count], from)?;
        let count = client.recv(&mut buffer)?;
        println!(
            "datagram {:?} seen from {}, sent from {}",
            String::from_utf8_lossy(&buffer[..count]),
            from.ip(),
            client.local_addr()?.ip()
        );
    }
    // Larger than a packet of the loopback.
    let client = UdpSocket::bind("[::1]:0")?;
    let large = vec![7; 40_000];
    client.send_to(
        &large,
        server
            .local_addr()
            .map(|at| SocketAddr::from((Ipv6Addr::LOCALHOST, at.port())))?,
    )?;
    let mut buffer = vec![0; 65_536];
    let (count, _) = server.recv_from(&mut buffer)?;
    println!("a large one came whole: {}", buffer[..count] == large);
    Ok(())
}

fn refusals() -> io::Result<()> {
    let show = |what: &str, result: io::Result<()>| {
        println!("{what}: {:?}", result.map_err(|error| error.kind()));
    };
    let closed = TcpListener::bind("[::1]:0")?.local_addr()?;
    show("closed", TcpStream::connect(closed).map(drop));
    show("not ours", TcpListener::bind("[2001:db8::1]:0").map(drop));
    let socket = UdpSocket::bind("[::1]:0")?;
    socket.connect(closed)?;
    socket.send(b"?")?;
    show(
        "datagram to a closed port",
        socket.recv(&mut [0; 10]).map(drop),
    );
    Ok(())
}
