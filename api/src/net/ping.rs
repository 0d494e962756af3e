//! Echo requests (RFC 792, RFC 4443).

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::errno;
use crate::sys;

/// Most bytes of a ping: what fits into one packet of Ethernet over IPv4; over IPv6 20 less do.
pub const MAX_PING_BYTES: usize = 1472;

/// An answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pong {
    /// Time from the request to the answer.
    pub round_trip: Duration,
    /// How many more routers the answer could have passed.
    pub ttl: u8,
}

/// Why there was no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PingError {
    /// Nothing came in time.
    TimedOut(IpAddr),
    /// A router, or the host itself, says that it cannot be reached.
    HostUnreachable(IpAddr),
    /// There is no way to the address: no interface, no address of our own in time, no route, or a router that says so.
    NetworkUnreachable(IpAddr),
    /// So many bytes do not fit into a packet.
    TooLong(usize),
    /// The address is not one of a single host.
    NotAHost(IpAddr),
    /// Too many pings are under way.
    TooMany,
    /// Another error, by the number (`errno`) that the kernel gave.
    Other(i32),
}

impl fmt::Display for PingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(to) => write!(f, "no answer from {to}"),
            Self::HostUnreachable(to) => write!(f, "{to} cannot be reached"),
            Self::NetworkUnreachable(to) => write!(f, "there is no way to {to}"),
            Self::TooLong(len) => write!(
                f,
                "{len} bytes do not fit into a packet: {MAX_PING_BYTES} are the most"
            ),
            Self::NotAHost(to) => write!(f, "{to} is not the address of a host"),
            Self::TooMany => f.write_str("too many pings are under way"),
            Self::Other(errno) => io::Error::from_raw_os_error(*errno).fmt(f),
        }
    }
}

impl std::error::Error for PingError {}

/// Sends an echo request with `len` bytes of content to an address, and waits for the answer. It goes out by the interface that leads
/// there, waiting at most ten seconds for an address of its own. Requests of others are answered as soon as the network runs.
///
/// # Errors
/// See [`PingError`].
pub fn ping(to: IpAddr, timeout: Duration, len: usize) -> Result<Pong, PingError> {
    ping_scoped(SocketAddr::new(to, 0), timeout, len)
}

/// The same to an address that may have a scope, such as `fe80::1%2` (the number of its interface, from 1 on); the port does not count.
///
/// # Errors
/// See [`PingError`].
pub fn ping_scoped(address: SocketAddr, timeout: Duration, len: usize) -> Result<Pong, PingError> {
    let to = address.ip();
    let pong = sys::net::ping(address, len, timeout);
    let pong = pong.map_err(|errno| match errno {
        errno::ETIMEDOUT => PingError::TimedOut(to),
        errno::EHOSTUNREACH => PingError::HostUnreachable(to),
        errno::ENETUNREACH | errno::ENETDOWN => PingError::NetworkUnreachable(to),
        errno::EMSGSIZE => PingError::TooLong(len),
        errno::EINVAL => PingError::NotAHost(to),
        errno::ENOBUFS => PingError::TooMany,
        errno => PingError::Other(errno),
    })?;
    Ok(Pong {
        round_trip: Duration::from_nanos(pong.round_trip_ns),
        ttl: u8::try_from(pong.ttl).unwrap_or(u8::MAX),
    })
}
