//! What can go wrong with connections and datagrams.

use core::fmt;

/// Why a call failed or a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It would have to wait.
    WouldBlock,
    /// The peer answered the request for a connection with a reset, or nobody is at the port.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The peer does not answer.
    TimedOut,
    /// Another connection has the ends.
    AddressInUse,
    /// No port is free.
    AddressNotAvailable,
    /// There is no address of our own, or no way to the network.
    NetworkUnreachable,
    /// There is no way to the host.
    HostUnreachable,
    /// There is no such connection.
    NotConnected,
    /// The sending direction is shut down.
    BrokenPipe,
    /// The datagram is larger than can be sent.
    MessageTooLong,
    /// The connection gave way to others, of which there were too many.
    Aborted,
    /// There is no memory, or as much as there may be.
    OutOfMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldBlock => "it would have to wait",
            Self::Refused => "connection refused",
            Self::Reset => "connection reset by the peer",
            Self::TimedOut => "the peer does not answer",
            Self::AddressInUse => "address in use",
            Self::AddressNotAvailable => "no port is free",
            Self::NetworkUnreachable => "network unreachable",
            Self::HostUnreachable => "host unreachable",
            Self::NotConnected => "not connected",
            Self::BrokenPipe => "shut down for sending",
            Self::MessageTooLong => "message too long",
            Self::Aborted => "it gave way to other connections",
            Self::OutOfMemory => "no memory",
        })
    }
}

impl core::error::Error for Error {}
