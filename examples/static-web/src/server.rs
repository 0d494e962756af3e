//! Listens, and gives each connection a thread of its own, up to a limit.

use std::convert::Infallible;
use std::env;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::access_log::AccessLog;
use crate::connection;
use crate::files::Files;
use crate::places::{Guest, Places};

/// Stack of a connection's thread, in bytes: its buffers are on the heap.
const STACK_BYTES: usize = 64 << 10;

/// How long to rest when the system has nothing left for another connection.
const REST: Duration = Duration::from_millis(20);

/// The answer to a connection too many. Nothing of the request has been read, so there is no more to say.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What can be set from outside, by variables of the environment.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `PORT`: the TCP port; 0 lets the system choose one.
    pub(crate) port: u16,
    /// `ROOT`: the folder that is served.
    pub(crate) root: String,
    /// `LOG`: the file of the log; empty for none.
    pub(crate) log: PathBuf,
    /// `CONNECTIONS`: as many at a time.
    pub(crate) max_connections: usize,
    /// `IDLE_SECONDS`: how long a peer may be silent, and how long it may take to send one request.
    pub(crate) idle: Duration,
    /// `STILL_SECONDS`: how long a connection may stand still before it gives its place to another one that finds none.
    pub(crate) still: Duration,
}

impl Settings {
    /// The settings of this process; the error names the variable that cannot be read.
    pub(crate) fn from_environment() -> Result<Self, String> {
        let root = env::var("ROOT").unwrap_or_else(|_| "/web".into());
        let log = env::var_os("LOG").map(PathBuf::from);
        Ok(Self {
            port: number("PORT", 80, 0..=65535)? as u16,
            log: log.unwrap_or_else(|| Path::new(&root).join("logs/access.log")),
            root,
            max_connections: number("CONNECTIONS", 256, 1..=100_000)? as usize,
            idle: Duration::from_secs(number("IDLE_SECONDS", 15, 1..=86_400)?),
            still: Duration::from_secs(number("STILL_SECONDS", 1, 0..=86_400)?),
        })
    }
}

fn number(name: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let Ok(text) = env::var(name) else {
        return Ok(default);
    };
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (first, last) = range.into_inner();
        format!("{name} is `{text}`, which is no number from {first} to {last}")
    })
}

/// Serves until the process ends; the error says why it could not begin.
pub(crate) fn run(settings: &Settings) -> Result<Infallible, String> {
    let files =
        Files::new(&settings.root).map_err(|error| format!("{}: {error}", settings.root))?;
    // Of both versions of IP where the system has both.
    let everywhere = [
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, settings.port)),
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, settings.port)),
    ];
    let listener = TcpListener::bind(&everywhere[..])
        .map_err(|error| format!("port {}: {error}", settings.port))?;
    let port = match settings.port {
        0 => listener
            .local_addr()
            .map_err(|error| error.to_string())?
            .port(),
        port => port,
    };
    let log = AccessLog::new(&settings.log);
    println!("Serving {} on port {port}", settings.root);
    let files = Arc::new(files);
    let places = Arc::new(Places::new(settings.max_connections, settings.still));
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                // In an `Arc`, so that the stream is not lost if there is no thread.
                let guest = Arc::new(Guest::new(stream, peer));
                admit(&guest, settings.idle, &files, &log, &places);
            }
            // The peer is gone again, or the system is short of something: neither ends the service.
            Err(_) => thread::sleep(REST),
        }
    }
}

fn admit(
    guest: &Arc<Guest>,
    idle: Duration,
    files: &Arc<Files>,
    log: &Arc<AccessLog>,
    places: &Arc<Places>,
) {
    let Some(place) = places.take(guest) else {
        return refuse(&guest.stream);
    };
    let (files, log) = (Arc::clone(files), Arc::clone(log));
    let serve = move || {
        // An error of the connection concerns nobody but its peer, who knows.
        let _ = connection::serve(&place.guest, &files, &log, idle);
    };
    // Without a name, which each would have to copy several times.
    let thread = thread::Builder::new().stack_size(STACK_BYTES);
    if thread.spawn(serve).is_err() {
        refuse(&guest.stream);
    }
}

/// Says 503 without ever waiting for the peer: this is the thread that accepts.
fn refuse(mut stream: &TcpStream) {
    if stream.set_nonblocking(true).is_ok() {
        // A stream closed with unread bytes is reset, which could overtake the answer.
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write(BUSY);
    }
}
