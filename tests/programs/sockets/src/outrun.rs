//! Datagrams that must not wait, faster than the card takes them.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// More than all buffers on the way hold.
const MANY: u32 = 1 << 18;

/// Sends to whoever calls first, once it is known by which hardware address.
pub(crate) fn outrun() -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:9")?;
    println!("listening");
    let (_, from) = socket.recv_from(&mut [0; 9])?;
    socket.connect(from)?;
    socket.send(b"first")?;
    socket.recv(&mut [0; 9])?;
    socket.set_nonblocking(true)?;
    let mut content = [0; 1400];
    let mut send = |number: u32| {
        content[..4].copy_from_slice(&number.to_be_bytes());
        socket.send(&content)
    };
    let mut entry = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    let mut poll = |timeout_ms| {
        // SAFETY: one entry.
        let count = unsafe { libc::poll(&raw mut entry, 1, timeout_ms) };
        (count, entry.revents)
    };
    // The card may have caught up by the time that it is asked for: it is gone on until it has not.
    let refused = (0..MANY).find_map(|number| {
        loop {
            let error = send(number).err()?;
            if error.kind() != ErrorKind::WouldBlock || poll(0) == (0, 0) {
                return Some((number, error));
            }
        }
    });
    let (taken, error) = refused.ok_or(io::Error::other("nothing was refused"))?;
    println!("refused {:?}, {taken} were taken", error.raw_os_error());
    println!("later {:?}", poll(-1) == (1, libc::POLLOUT));
    send(taken).map(drop)
}
