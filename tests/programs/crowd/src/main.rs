//! Serves crowds of clients: port 7 by a thread for each connection, port 80 by callbacks, datagrams on port 53. Port 9 tells what there is:
//! connections, threads, free memory in KiB, and how much was dropped of what came for TCP and what was to be sent. Clients that are silent for five seconds, or as many as the first argument says, are given up.
//!
//! The first byte of a connection to port 7 says what the client wants: `e` to have everything sent back, `d` to be sent as many bytes of
//! [`pattern`] as the next four bytes say, `u` to be told count and [`sum`] of all that it sends.

use std::env;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use toro::net::{self, Close, Connection, Service};

fn main() -> io::Result<()> {
    let seconds = env::args().nth(1).and_then(|word| word.parse().ok());
    let patience = Duration::from_secs(seconds.unwrap_or(5));
    let crowd = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 7))?;
    let census = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 9))?;
    let datagrams = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 53))?;
    let _service = net::serve("net0", 80, Echo { patience }).map_err(io::Error::other)?;
    thread::spawn(move || {
        let mut buf = [0; 2048];
        loop {
            if let Ok((len, from)) = datagrams.recv_from(&mut buf) {
                let _ = datagrams.send_to(&buf[..len], from);
            }
        }
    });
    thread::spawn(move || {
        for stream in census.incoming().flatten() {
            // The client may be gone already.
            let _ = tell(stream);
        }
    });
    println!("serving crowds");
    for stream in crowd.incoming().flatten() {
        // Without memory for one more thread, the client is sent away.
        let _ = thread::Builder::new().spawn(move || serve(stream, patience));
    }
    Ok(())
}

fn tell(mut stream: TcpStream) -> io::Result<()> {
    let counted = net::statistics("net0").map_err(io::Error::other)?;
    let mut info = MaybeUninit::uninit();
    // SAFETY: the place can be written.
    if unsafe { libc::sysinfo(info.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has filled it.
    let info: libc::sysinfo = unsafe { info.assume_init() };
    let free_kib = info.freeram >> 10;
    let dropped = [
        counted.dropped_backlog,
        counted.dropped_no_room,
        counted.dropped_no_buffer,
        counted.dropped_no_neighbor,
        counted.dropped_no_memory,
    ];
    let dropped: u64 = dropped.iter().sum();
    let line = format!(
        "{} {} {free_kib} {dropped}\n",
        counted.connections, info.procs
    );
    stream.write_all(line.as_bytes())
}

fn serve(mut stream: TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(patience))?;
    let mut wish = [0];
    stream.read_exact(&mut wish)?;
    let mut buf = [0; 4096];
    match &wish {
        b"d" => {
            let mut len = [0; 4];
            stream.read_exact(&mut len)?;
            let len = u32::from_be_bytes(len);
            for at in (0..len).step_by(buf.len()) {
                for (byte, at) in buf.iter_mut().zip(at..len) {
                    *byte = pattern(at);
                }
                let count = buf.len().min((len - at) as usize);
                stream.write_all(&buf[..count])?;
            }
        }
        b"u" => {
            let (mut count, mut hash) = (0_u32, SUM);
            loop {
                match stream.read(&mut buf)? {
                    0 => break,
                    len => {
                        count += len as u32;
                        hash = sum(hash, &buf[..len]);
                    }
                }
            }
            stream.write_all(&count.to_be_bytes())?;
            stream.write_all(&hash.to_be_bytes())?;
        }
        _ => loop {
            match stream.read(&mut buf)? {
                0 => break,
                len => stream.write_all(&buf[..len])?,
            }
        },
    }
    stream.shutdown(Shutdown::Write)
}

/// The byte at a place of what is sent.
fn pattern(at: u32) -> u8 {
    (at ^ at >> 8 ^ at >> 16) as u8
}

/// Where a sum begins (FNV-1a, 64 bits).
const SUM: u64 = 0xCBF2_9CE4_8422_2325;

fn sum(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// Sends back what comes.
struct Echo {
    /// How long a client may be silent.
    patience: Duration,
}

impl Service for Echo {
    type State = ();

    fn on_accept(&mut self, connection: &mut Connection<'_>) -> Option<()> {
        connection.set_timeout(Some(self.patience));
        Some(())
    }

    fn on_receive(&mut self, connection: &mut Connection<'_>, (): &mut (), data: &[u8]) {
        if connection.send(data).is_err() {
            connection.abort();
        }
    }

    fn on_close(&mut self, _: &mut Connection<'_>, (): &mut (), _: Close) {}
}
