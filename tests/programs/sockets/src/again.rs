//! A socket whose connection could not be made is connected again, to whom listens by then, and by another interface.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, Socket, Type};

fn socket() -> io::Result<Socket> {
    Socket::new(Domain::IPV4, Type::STREAM, None)
}

/// The number of the error.
fn number(result: io::Result<()>) -> i32 {
    result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0)
}

/// An address at which nobody listens.
fn nobody() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

pub(crate) fn again(address: &str) -> io::Result<()> {
    let to = nobody()?;
    let socket_kept = socket()?;
    socket_kept.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let own = socket_kept.local_addr()?;
    let connect = || number(socket_kept.connect(&to.into()));
    print!("waiting: {} {}", connect(), connect());
    let listener = TcpListener::bind(to)?;
    print!(" {} {}", connect(), connect());
    let (mut peer, from) = listener.accept()?;
    println!(", from its address {}", Some(from) == own.as_socket());
    peer.write_all(b"there")?;
    drop(peer);
    let mut stream = TcpStream::from(socket_kept);
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    println!("read {text}");

    let to = nobody()?;
    let socket_free = socket()?;
    socket_free.set_nonblocking(true)?;
    let connect = || number(socket_free.connect(&to.into()));
    print!("not waiting: {} {} {}", connect(), connect(), connect());
    println!(
        ", told {:?}",
        socket_free
            .take_error()?
            .and_then(|error| error.raw_os_error())
    );
    println!("after that {} {}", connect(), connect());

    // From the loopback to the network and back.
    socket_free.set_nonblocking(false)?;
    let connect = |to: SocketAddr| number(socket_free.connect(&to.into()));
    print!("elsewhere: {}", connect(to));
    let host: SocketAddr = address.parse().map_err(io::Error::other)?;
    println!(" {} {}", connect(host), connect(host));
    let mut stream = TcpStream::from(socket_free);
    println!("peer {}", stream.peer_addr()? == host);
    stream.write_all(b"hello")
}
