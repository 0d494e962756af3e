//! The program `test-crowd` in a machine whose network is Linux's, over a [`Relay`]; and what its clients do.

use crate::relay::{ADDRESS, Relay, Weather};
use crate::{Boot, DEADLINE, Guest, Running, Size};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Ports of the program: threads, callbacks, datagrams.
pub const THREADS: u16 = 7;
/// See there.
pub const CALLBACKS: u16 = 80;
/// See there.
pub const DATAGRAMS: u16 = 53;
const CENSUS: u16 = 9;

/// How much memory may be missing after everybody has gone: what allocators keep for the next, which differs by chance.
const SLACK_KIB: u64 = 256;

fn guest(args: &[&str]) -> Guest {
    let guest = Guest::new("test-crowd").boot(Boot::Kernel).address(ADDRESS);
    guest.args(args)
}

/// What the program says that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Connections, without the one that asks.
    pub connections: u64,
    /// Threads.
    pub threads: u64,
    /// Free memory.
    pub free_kib: u64,
    /// What the machine itself has lost so far of what came for TCP and what was to be sent.
    pub dropped: u64,
}

/// The machine, and the way to it. The machine goes first.
#[derive(Debug)]
pub struct Crowd {
    guest: Running,
    /// The way to it.
    pub relay: Relay,
}

impl Crowd {
    /// Starts the program, which gives up silent clients soon. The seed says what happens to frames.
    pub fn start(seed: u64, card: &str) -> Self {
        Self::start_with(seed, card, &[])
    }

    /// As [`Crowd::start`], but the program is as patient as its clients: over a bad network, of a host that is busy besides, two losses in
    /// a row may take longer than it waits for the silent.
    pub fn start_patient(seed: u64, card: &str) -> Self {
        Self::start_with(seed, card, &[&DEADLINE.as_secs().to_string()])
    }

    /// As [`Crowd::start_patient`], but neither has the machine heard of Linux yet, nor does Linux ask for it.
    pub fn start_unknown(seed: u64, card: &str) -> Self {
        let relay = Relay::new();
        relay.introduce_guest();
        let guest = guest(&[&DEADLINE.as_secs().to_string()]);
        Self::boot(relay, seed, card, guest)
    }

    /// As [`Crowd::start_patient`], with so much memory.
    pub fn start_small(seed: u64, card: &str, memory: Size) -> Self {
        let guest = guest(&[&DEADLINE.as_secs().to_string()]).memory(memory);
        let crowd = Self::boot(Relay::new(), seed, card, guest);
        crowd.census();
        crowd
    }

    fn start_with(seed: u64, card: &str, args: &[&str]) -> Self {
        let crowd = Self::boot(Relay::new(), seed, card, guest(args));
        // An answer shows that all of the way is there.
        crowd.census();
        crowd
    }

    fn boot(mut relay: Relay, seed: u64, card: &str, guest: Guest) -> Self {
        let guest = guest.cable(&relay.netdev()).card(card).start();
        relay.join(seed);
        guest.wait_for("serving crowds");
        Self { guest, relay }
    }

    /// All that the console has shown.
    pub fn console(&self) -> String {
        self.guest.console()
    }

    /// Connects.
    pub fn connect(&self, port: u16) -> TcpStream {
        connect(self.relay.address(port), None).expect("a listener")
    }

    /// Asks what there is. The network must be good.
    pub fn census(&self) -> Census {
        let mut text = String::new();
        let mut stream = self.connect(CENSUS);
        stream.read_to_string(&mut text).expect("an answer");
        let mut numbers = text.split_whitespace().map(|word| word.parse::<u64>());
        let mut next = || numbers.next().and_then(Result::ok).expect("a number");
        Census {
            connections: next() - 1,
            threads: next(),
            free_kib: next(),
            dropped: next(),
        }
    }

    /// Waits until everybody has gone and all memory is back; returns what there is then.
    pub fn wait_for_rest(&self, before: Census) -> Census {
        self.relay.set_weather(Weather::default());
        let start = Instant::now();
        loop {
            let now = self.census();
            let is_back = now.connections <= before.connections
                && now.threads <= before.threads
                && now.free_kib + SLACK_KIB >= before.free_kib;
            if is_back {
                return now;
            }
            assert!(start.elapsed() < DEADLINE, "before {before:?}, now {now:?}");
            thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Connects, with a receive buffer of so many bytes if it is said (Linux doubles it).
///
/// # Errors
/// What the system says.
pub fn connect(to: SocketAddr, receive_bytes: Option<usize>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(bytes) = receive_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.connect_timeout(&to.into(), DEADLINE)?;
    socket.set_tcp_nodelay(true)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// Begins a connection, without waiting for it: the first write does.
///
/// # Errors
/// What the system says.
pub fn begin(to: SocketAddr) -> io::Result<TcpStream> {
    /// Linux's `EINPROGRESS`: it has begun.
    const IN_PROGRESS: i32 = 115;
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => return Err(error),
        _ => socket.set_nonblocking(false)?,
    }
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// Has a connection end by a reset when it is dropped.
///
/// # Errors
/// What the system says.
pub fn will_reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// The bytes that the program sends, from the first on.
pub fn pattern(len: u32) -> Vec<u8> {
    (0..len).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect()
}

/// Asks for bytes.
///
/// # Errors
/// What the system says.
pub fn ask_for(stream: &mut TcpStream, len: u32) -> io::Result<()> {
    stream.write_all(&[&b"d"[..], &len.to_be_bytes()].concat())
}

/// Asks for bytes, reads them to the end in pieces of at most so many bytes, each after a while; and demands that they are right.
///
/// # Errors
/// What the system says.
pub fn download(
    stream: &mut TcpStream,
    len: u32,
    piece: usize,
    between: Duration,
) -> io::Result<()> {
    ask_for(stream, len)?;
    let (mut all, mut buf) = (Vec::new(), vec![0; piece]);
    loop {
        match stream.read(&mut buf)? {
            0 => break,
            count => all.extend_from_slice(&buf[..count]),
        }
        if !between.is_zero() {
            thread::sleep(between);
        }
    }
    assert!(all == pattern(len), "{} bytes instead of {len}", all.len());
    Ok(())
}

/// Sends bytes and demands that the program got them.
///
/// # Errors
/// What the system says.
pub fn upload(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(b"u")?;
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    // FNV-1a, 64 bits.
    let sum = bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let count = u32::try_from(bytes.len()).expect("not that many");
    let right = [&count.to_be_bytes()[..], &sum.to_be_bytes()].concat();
    assert_eq!(answer, right, "count and sum");
    Ok(())
}

/// Sends bytes and reads them back at the same time.
pub fn echo(stream: &TcpStream, bytes: &[u8]) {
    let (mut writer, mut reader) = (stream, stream);
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(bytes).expect("a service that reads"));
        let mut back = vec![0; bytes.len()];
        reader.read_exact(&mut back).expect("all of it back");
        assert!(back == bytes, "it is not the same");
    });
}
