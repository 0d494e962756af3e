//! A small HTTP/1.1 client (RFC 9112) that loads a server: some connections at a time, each on a thread of its own.
//!
//! Two properties of QEMU's user network would be measured in place of the guest, and are worked around. It lets one
//! connection wait at a port that it listens to, and the host drops what comes beyond, which then takes seconds: so each
//! thread has a port of its own that leads to the guest. And it hands the port that a client calls from on to the guest:
//! so a client never calls from a port that another used, or two connections to different ports of the host could be
//! one to the guest.

use anyhow::Result;
use socket2::{Domain, Socket, Type};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_LINE_BYTES: u64 = 16 << 10;
const MAX_LINES: usize = 100;
/// The ports to call from: those that need no privileges, below the one that systems keep for nobody.
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 55_000;
const PORT_TRIES: usize = 1000;
const MAX_BODY_BYTES: u64 = 64 << 20;

/// What is requested.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Ports of the host that lead to the guest; at least one.
    pub(super) addresses: Vec<SocketAddr>,
    /// The path.
    pub(super) path: String,
}

/// How much is requested.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Connections at a time.
    pub(super) connections: usize,
    /// Requests in all.
    pub(super) requests: usize,
    /// Many requests on a connection, or one on each.
    pub(super) is_kept_alive: bool,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Requests that were not answered with the status 200.
    pub(super) failures: usize,
    /// What happened to the first of these.
    pub(super) first_failure: Option<String>,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
    /// How long each answer took, with its connection where it had one of its own; shortest first.
    pub(super) times: Vec<Duration>,
}

impl Outcome {
    /// In which time so many hundredths of all answers came.
    pub(super) fn percentile(&self, hundredths: usize) -> Option<Duration> {
        let place = (self.times.len() * hundredths).div_ceil(100);
        self.times.get(place.saturating_sub(1)).copied()
    }
}

/// Loads `target`. Failures are counted, and the load goes on.
pub(super) fn run(target: &Target, plan: Plan) -> Result<Outcome> {
    let taken = AtomicUsize::new(0);
    let failures = Mutex::new((0, None));
    let times = Mutex::new(Vec::with_capacity(plan.requests));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let (taken, failures, times) = (&taken, &failures, &times);
        for address in target.addresses.iter().cycle().take(plan.connections) {
            scope.spawn(move || {
                let mut client = None;
                let mut own_times = Vec::with_capacity(plan.requests / plan.connections.max(1));
                while taken.fetch_add(1, Ordering::Relaxed) < plan.requests
                    && crate::interrupt::count() == 0
                {
                    let begin = Instant::now();
                    match request(&mut client, *address, &target.path, plan.is_kept_alive) {
                        Ok(()) => own_times.push(begin.elapsed()),
                        Err(error) => {
                            client = None;
                            let mut failures =
                                failures.lock().unwrap_or_else(PoisonError::into_inner);
                            failures.0 += 1;
                            failures.1.get_or_insert_with(|| error.to_string());
                        }
                    }
                }
                let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
                times.extend(own_times);
            });
        }
    });
    let elapsed = start.elapsed();
    super::check_interrupt()?;
    let (failures, first_failure) = failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let mut times = times.into_inner().unwrap_or_else(PoisonError::into_inner);
    times.sort_unstable();
    Ok(Outcome {
        failures,
        first_failure,
        elapsed,
        times,
    })
}

/// One request on a new connection of its own.
pub(super) fn once(target: &Target, patience: Duration) -> io::Result<()> {
    let address = *target
        .addresses
        .first()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    Client::connect(address, patience)?
        .get(&target.path, false)
        .map(drop)
}

fn request(
    client: &mut Option<Client>,
    address: SocketAddr,
    path: &str,
    is_kept_alive: bool,
) -> io::Result<()> {
    let mut connected = match client.take() {
        Some(client) => client,
        None => Client::connect(address, PATIENCE)?,
    };
    let is_open = connected.get(path, is_kept_alive)?;
    if is_kept_alive && is_open {
        *client = Some(connected);
    }
    Ok(())
}

/// Connects from a port that was not used before, as long as there are such.
fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..PORT_TRIES {
        let port = source_port(std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        result = connect_from(port, address, patience);
        match &result {
            // Somebody else has this port, or had it with this address a moment ago.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable
                ) => {}
            _ => break,
        }
    }
    result
}

fn connect_from(port: u16, address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if cfg!(unix) {
        // Elsewhere this would allow what is forbidden here: to share the port with another.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.connect_timeout(&address.into(), patience)?;
    Ok(socket.into())
}

/// The port to call from for the `index`-th time: each once before the first again, from a different one on in each
/// process.
fn source_port(process: u32, index: usize) -> u16 {
    let start = (process as usize).wrapping_mul(7919);
    FIRST_PORT.saturating_add((start.wrapping_add(index) % usize::from(PORTS)) as u16)
}

/// A connection.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = connect(address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Requests `path` and reads the answer, which must be 200; tells whether the connection stays open.
    fn get(&mut self, path: &str, is_kept_alive: bool) -> io::Result<bool> {
        let close = if is_kept_alive {
            ""
        } else {
            "Connection: close\r\n"
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: toro\r\n{close}\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let head = read_head(&mut self.stream)?;
        let body = io::copy(
            &mut self.stream.by_ref().take(head.len_bytes),
            &mut io::sink(),
        )?;
        if body < head.len_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if head.status != 200 {
            return Err(io::Error::other(format!(
                "the answer to {path} has the status {}",
                head.status
            )));
        }
        Ok(!head.closes)
    }
}

/// What matters of an answer's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    len_bytes: u64,
    closes: bool,
}

fn read_head(stream: &mut impl BufRead) -> io::Result<Head> {
    let invalid =
        |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the answer has {what}"));
    let status_line = read_line(stream)?;
    let status = status_line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| invalid("no HTTP/1 status"))?;
    let (mut len_bytes, mut closes) = (None, false);
    for _ in 0..MAX_LINES {
        let line = read_line(stream)?;
        if line.is_empty() {
            let len_bytes = len_bytes.ok_or_else(|| invalid("no Content-Length"))?;
            return Ok(Head {
                status,
                len_bytes,
                closes,
            });
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| invalid("a malformed header field"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let len = value.parse().ok().filter(|&len| len <= MAX_BODY_BYTES);
            len_bytes = Some(len.ok_or_else(|| invalid("a bad Content-Length"))?);
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.eq_ignore_ascii_case("close");
        }
    }
    Err(invalid("too many header fields"))
}

/// A line without its end.
fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    stream.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        let message = "the connection was closed without an answer";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    let line = line.strip_suffix(b"\n").ok_or(io::ErrorKind::InvalidData)?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8(line.to_vec()).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that answers `script(connection, request)` until that returns nothing; returns its address.
    fn serve(script: fn(usize, usize) -> Option<&'static str>) -> Target {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let mut stream = BufReader::new(stream.unwrap());
                for request in 0.. {
                    let mut line = String::new();
                    while line != "\r\n" {
                        line.clear();
                        if stream.read_line(&mut line).unwrap_or(0) == 0 {
                            break;
                        }
                    }
                    let Some(answer) = script(connection, request).filter(|_| !line.is_empty())
                    else {
                        break;
                    };
                    stream.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        Target {
            addresses: vec![address],
            path: "/".into(),
        }
    }

    const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";

    fn plan(requests: usize, is_kept_alive: bool) -> Plan {
        Plan {
            connections: 1,
            requests,
            is_kept_alive,
        }
    }

    fn head(text: &str) -> io::Result<Head> {
        read_head(&mut text.as_bytes())
    }

    #[test]
    fn every_port_is_called_from_before_one_is_again() {
        let ports: std::collections::BTreeSet<_> = (0..usize::from(PORTS))
            .map(|index| source_port(4_194_304, index))
            .collect();
        assert_eq!(ports.len(), usize::from(PORTS));
        assert_eq!(ports.first(), Some(&FIRST_PORT));
    }

    #[test]
    fn heads_are_read() {
        let expected = Head {
            status: 404,
            len_bytes: 7,
            closes: true,
        };
        let text =
            "HTTP/1.1 404 Not Found\r\ncontent-length:7\r\nConnection: Close\r\nX: y\r\n\r\n";
        assert_eq!(head(text).unwrap(), expected);
    }

    #[test]
    fn broken_heads_are_refused() {
        for text in [
            "",
            "HTTP/1.1 200 OK",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n",
        ] {
            assert!(head(text).is_err(), "{text:?}");
        }
        assert!(head(&("HTTP/1.1 200 OK\r\n".to_owned() + &"a: b\r\n".repeat(1000))).is_err());
    }

    #[test]
    fn a_kept_connection_is_used_again() {
        let target = serve(|connection, _| (connection == 0).then_some(PAGE));
        assert_eq!(run(&target, plan(20, true)).unwrap().failures, 0);
    }

    #[test]
    fn of_a_hundred_times_the_percentile_is_that_many_from_the_shortest() {
        let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        let outcome = |times: &[Duration]| Outcome {
            failures: 0,
            first_failure: None,
            elapsed: Duration::ZERO,
            times: times.to_vec(),
        };
        assert_eq!(outcome(&times).percentile(99), Some(times[98]));
        assert_eq!(outcome(&times[..3]).percentile(99), Some(times[2]));
        assert_eq!(outcome(&[]).percentile(99), None);
    }

    #[test]
    fn every_answer_has_its_time() {
        let target = serve(|_, _| Some(PAGE));
        assert_eq!(run(&target, plan(20, true)).unwrap().times.len(), 20);
    }

    #[test]
    fn each_request_can_have_a_connection_of_its_own() {
        let target = serve(|_, request| (request == 0).then_some(PAGE));
        assert_eq!(run(&target, plan(20, false)).unwrap().failures, 0);
    }

    #[test]
    fn requests_without_a_good_answer_are_counted() {
        let target = serve(|connection, _| match connection {
            0 => Some("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
            1 => None,
            _ => Some(PAGE),
        });
        let outcome = run(&target, plan(5, false)).unwrap();
        assert_eq!(outcome.failures, 2);
        assert_eq!(
            outcome.first_failure.as_deref(),
            Some("the answer to / has the status 500")
        );
    }
}
