//! Programs that end right after they have sent something: it arrives all the same.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::thread;

/// Bytes that are sent last, and datagrams.
const BYTES: usize = 300_000;
const DATAGRAMS: u8 = 20;

/// Sends by a connection that is never closed, while another thread sends by another.
pub(crate) fn connections(address: &str) -> io::Result<()> {
    let mut other = TcpStream::connect(address)?;
    thread::spawn(move || {
        loop {
            other.write_all(&[b'o'; 10_000]).expect("room");
        }
    });
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&[b'l'; BYTES])?;
    println!("sockets: done");
    std::process::exit(0);
}

/// Sends datagrams to a station whose hardware address is not known yet.
pub(crate) fn datagrams(address: &str) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    for index in 0..DATAGRAMS {
        socket.send_to(&[index; 100], address)?;
    }
    Ok(())
}
