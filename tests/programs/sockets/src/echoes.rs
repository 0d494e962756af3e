//! Messages of ICMP: sockets for echoes, and for everything.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// An echo request, with an identifier and a checksum that are not right.
fn request(kind: u8) -> [u8; 12] {
    [kind, 0, 0, 0, 0xAA, 0xBB, 0, 7, b'e', b'c', b'h', b'o']
}

fn with_checksum(mut message: [u8; 12]) -> [u8; 12] {
    let words = message.as_chunks::<2>().0.iter();
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let checksum = !((sum & 0xFFFF) + (sum >> 16)) as u16;
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

fn receive(socket: &Socket) -> io::Result<(Vec<u8>, SocketAddr)> {
    let mut buf = [MaybeUninit::uninit(); 256];
    let (len, from) = socket.recv_from(&mut buf)?;
    // SAFETY: so many bytes were written.
    let bytes = buf[..len].iter().map(|byte| unsafe { byte.assume_init() });
    let from = from.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    Ok((bytes.collect(), from))
}

fn open(domain: Domain, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, Some(protocol))?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(socket)
}

/// Pings with a socket for echoes: its identifier is put in, and what comes back is the answer alone.
fn ping(domain: Domain, protocol: Protocol, to: SocketAddr) -> io::Result<()> {
    let socket = open(domain, Type::DGRAM, protocol)?;
    let request = request(if to.is_ipv4() { 8 } else { 128 });
    socket.send_to(&request, &to.into())?;
    let (answer, from) = receive(&socket)?;
    let own = socket.local_addr()?.as_socket().map_or(0, |own| own.port());
    let has_own = answer.get(4..6) == Some(&own.to_be_bytes());
    println!("echo of {from}: {} {has_own} {:?}", answer[0], &answer[6..]);
    let no_request = socket.send_to(&[0; 8], &to.into());
    println!(
        "no request: {:?}",
        no_request.map_err(|error| error.raw_os_error())
    );
    Ok(())
}

pub(crate) fn echoes(host: Ipv4Addr) -> io::Result<()> {
    let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let loopback_v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0);
    ping(Domain::IPV4, Protocol::ICMPV4, loopback)?;
    ping(Domain::IPV6, Protocol::ICMPV6, loopback_v6)?;
    ping(
        Domain::IPV4,
        Protocol::ICMPV4,
        SocketAddr::new(host.into(), 0),
    )?;
    let wrong = open(Domain::IPV6, Type::DGRAM, Protocol::ICMPV4);
    println!(
        "of the other version: {:?}",
        wrong.err().and_then(|error| error.raw_os_error())
    );
    let socket = open(Domain::IPV4, Type::RAW, Protocol::ICMPV4)?;
    println!(
        "of everything: {:?} {:?}",
        socket.r#type()?,
        socket.protocol()?
    );
    socket.send_to(&with_checksum(request(8)), &loopback.into())?;
    // This machine hears the request, and then its own answer.
    for _ in 0..2 {
        let (packet, from) = receive(&socket)?;
        let (header, message) = packet.split_at(20);
        println!("{from}: {:02x} {} {message:02x?}", header[0], header[9]);
    }
    // That nobody is at a port is told in a message too.
    let sender = std::net::UdpSocket::bind("0.0.0.0:0")?;
    sender.send_to(b"lost", (Ipv4Addr::LOCALHOST, 9))?;
    let (packet, from) = receive(&socket)?;
    println!(
        "{from}: {:?} about {:?}",
        &packet[20..22],
        &packet[packet.len() - 4..]
    );
    Ok(())
}
