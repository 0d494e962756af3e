//! Uses std's sockets in the way its argument says; a second argument is an address of the host.

mod again;
mod changes;
mod echoes;
mod groups;
mod homes;
mod leave;
mod names;
mod options;
mod outrun;
mod six;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{
    Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket,
};
use std::thread;
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (what, address) = (
        args.next().unwrap_or_default(),
        args.next().unwrap_or_default(),
    );
    match what.as_str() {
        "tcp echo" => tcp_echo(),
        "udp echo" => udp_echo(),
        "only here" => only_here(),
        "connect" => connect(&address),
        "send" => send(&address),
        "refused" => refused(&address),
        "again" => again::again(&address),
        "timeouts" => timeouts(&address),
        "loopback" => loopback(),
        "echoes" => echoes::echoes([10, 0, 2, 2].into()),
        "ipv6" => six::ipv6(),
        "two cores" => six::two_cores(),
        "changes" => changes::changes(),
        "groups" => groups::own(),
        "homes" => homes::homes(&address),
        "hear" => groups::hear(),
        "names" => names::names(),
        "servers" => names::servers(),
        "options" => options::options(),
        "outrun" => outrun::outrun(),
        "nothing" => nothing(&address),
        "in vain" => in_vain(&address),
        "resolve" => resolve(&address),
        "listen" => listen(),
        "leave" => leave::connections(&address),
        "leave datagrams" => leave::datagrams(&address),
        _ => Err(io::Error::other("say what to do")),
    }?;
    println!("sockets: done");
    Ok(())
}

/// Listens at port 7 of the loopback alone, until a connection comes to port 8.
fn only_here() -> io::Result<()> {
    let _mine = TcpListener::bind((Ipv4Addr::LOCALHOST, 7))?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8))?;
    println!("listening");
    listener.accept().map(drop)
}

/// Sends back what comes to port 7, connection after connection, each in a thread, until one says `end`.
fn tcp_echo() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 7))?;
    println!("listening on {}", listener.local_addr()?);
    thread::scope(|scope| {
        loop {
            let (mut stream, _) = listener.accept()?;
            let mut first = [0; 3];
            stream.read_exact(&mut first)?;
            if &first == b"end" {
                return Ok(());
            }
            scope.spawn(move || -> io::Result<()> {
                stream.write_all(&first)?;
                let mut buffer = [0; 3000];
                loop {
                    match stream.read(&mut buffer)? {
                        0 => return stream.shutdown(Shutdown::Write),
                        count => stream.write_all(&buffer[..count])?,
                    }
                }
            });
        }
    })
}

fn udp_echo() -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 7))?;
    println!("listening on {}", socket.local_addr()?);
    let mut buffer = [0; 2048];
    loop {
        let (count, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..count], from)?;
        if &buffer[..count] == b"end" {
            return Ok(());
        }
    }
}

/// Says a word to the host, reads what it answers to the end, and says how much it was.
fn connect(address: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    println!(
        "connected to {} from {}",
        stream.peer_addr()?,
        stream.local_addr()?.ip()
    );
    stream.write_all(b"hello")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let sum = answer
        .iter()
        .zip(1_u64..)
        .fold(0_u64, |sum, (byte, place)| {
            sum.wrapping_add(place.wrapping_mul(u64::from(*byte)))
        });
    println!("received {} bytes, sum {sum}", answer.len());
    neighbours()
}

/// What `/proc/net/arp` tells of those who have answered.
fn neighbours() -> io::Result<()> {
    let text = std::fs::read_to_string("/proc/net/arp")?;
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        println!("neighbour {words:?}, {} columns wide", line.len());
    }
    Ok(())
}

/// Sends two megabytes to the host, which reads slowly.
fn send(address: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let pattern: Vec<u8> = (0..2_000_000_u32)
        .map(|index| (index % 251) as u8)
        .collect();
    stream.write_all(&pattern)?;
    stream.shutdown(Shutdown::Write)?;
    println!("sent, then {} bytes", stream.read(&mut [0; 10])?);
    Ok(())
}

fn refused(address: &str) -> io::Result<()> {
    show("connect", TcpStream::connect(address).map(drop));
    show(
        "without a name",
        "no.such.name.invalid:80".to_socket_addrs().map(drop),
    );
    let _held = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80))?;
    show(
        "bind twice",
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).map(drop),
    );
    show(
        "bind elsewhere",
        TcpListener::bind("192.0.2.1:81").map(drop),
    );
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    show("send unconnected", socket.send(b"x").map(drop));
    Ok(())
}

/// Talks to a host that never says anything.
fn timeouts(address: &str) -> io::Result<()> {
    let limit = Duration::from_millis(50);
    let waited = |what: &str, work: &mut dyn FnMut() -> io::Result<usize>| {
        let start = Instant::now();
        let kind = work().map_err(|error| error.kind());
        println!("{what}: {kind:?}, waited {}", start.elapsed() >= limit);
    };
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(limit))?;
    println!("timeout {:?}", stream.read_timeout()?);
    waited("read", &mut || stream.read(&mut [0; 10]));
    stream.set_nonblocking(true)?;
    println!(
        "at once {:?}",
        stream.read(&mut [0; 10]).map_err(|error| error.kind())
    );
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(limit))?;
    waited("receive", &mut || socket.recv(&mut [0; 10]));
    // An address kept for documentation: nobody is there.
    let nobody = SocketAddr::from(([10, 0, 2, 77], 9));
    waited("connect", &mut || {
        TcpStream::connect_timeout(&nobody, limit).map(|_| 0)
    });
    let listener = TcpListener::bind("0.0.0.0:0")?;
    listener.set_nonblocking(true)?;
    println!(
        "accept {:?}",
        listener.accept().map_err(|error| error.kind()).map(drop)
    );
    Ok(())
}

/// A client and a server in the same machine.
fn loopback() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let pattern: Vec<u8> = (0..500_000_u32).map(|index| (index % 247) as u8).collect();
    thread::scope(|scope| {
        let server = scope.spawn(|| -> io::Result<usize> {
            let (mut stream, _) = listener.accept()?;
            let mut all = Vec::new();
            stream.read_to_end(&mut all)?;
            stream.write_all(&all)?;
            Ok(all.len())
        });
        let mut client = TcpStream::connect(address)?;
        client.write_all(&pattern)?;
        client.shutdown(Shutdown::Write)?;
        let mut back = Vec::new();
        client.read_to_end(&mut back)?;
        println!("the same came back {}", back == pattern);
        println!(
            "the server read {:?}",
            server
                .join()
                .map(Result::unwrap_or_default)
                .unwrap_or_default()
        );
        Ok::<_, io::Error>(())
    })?;
    drop(listener);
    println!(
        "after the listener {:?}",
        TcpStream::connect(address)
            .map_err(|error| error.kind())
            .map(drop)
    );
    let (one, two) = (
        UdpSocket::bind("127.0.0.1:0")?,
        UdpSocket::bind("127.0.0.1:0")?,
    );
    one.connect(two.local_addr()?)?;
    one.send(b"datagram")?;
    let mut buffer = [0; 100];
    let (count, from) = two.recv_from(&mut buffer)?;
    println!(
        "datagram {:?} from the sender {}",
        String::from_utf8_lossy(&buffer[..count]),
        from == one.local_addr()?
    );
    Ok(())
}

/// Uses the network where there is none.
fn nothing(address: &str) -> io::Result<()> {
    show("connect", TcpStream::connect(address).map(drop));
    show("resolve", "example.com:80".to_socket_addrs().map(drop));
    show("bind", UdpSocket::bind("0.0.0.0:0").map(drop));
    show("listen", TcpListener::bind("0.0.0.0:80").map(drop));
    Ok(())
}

/// Connects where no address of this machine leads to, though a card looks for one: the first waits for it, and the next no more.
fn in_vain(address: &str) -> io::Result<()> {
    for _ in 0..2 {
        let begun = Instant::now();
        show("connect", TcpStream::connect(address).map(drop));
        println!("waited: {}", begun.elapsed() > Duration::from_secs(5));
    }
    Ok(())
}

fn resolve(address: &str) -> io::Result<()> {
    println!(
        "resolved {:?}",
        address.to_socket_addrs()?.collect::<Vec<_>>()
    );
    Ok(())
}

/// Holds a TCP port open and says how many connections came, until one says something.
fn listen() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 80))?;
    println!("listening");
    let (mut stream, _) = listener.accept()?;
    println!("accepted");
    let mut buffer = [0; 100];
    let count = stream.read(&mut buffer)?;
    println!("heard {:?}", String::from_utf8_lossy(&buffer[..count]));
    stream.write_all(b"good bye")
}

fn show(what: &str, result: io::Result<()>) {
    match result {
        Ok(()) => println!("{what}: went well"),
        Err(error) if error.kind() == ErrorKind::Other => println!("{what}: {error}"),
        Err(error) => println!("{what}: {:?}, {error}", error.kind()),
    }
}
