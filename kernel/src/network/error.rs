//! What can go wrong between a program and the network; `abi` turns it into error numbers.

/// Why a socket call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It would have to wait, and shall not (or has waited as long as it may).
    WouldBlock,
    /// The peer answered the connection request with a reset.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The peer does not answer.
    TimedOut,
    /// Another socket has the port.
    AddressInUse,
    /// The address is not one of this machine.
    AddressNotAvailable,
    /// There is no address of our own yet, or no route.
    NetworkUnreachable,
    /// A router or the host itself says that it cannot be reached.
    HostUnreachable,
    /// The machine has no network interface.
    NoInterface,
    /// There is no such interface.
    NoDevice,
    /// The socket is not connected.
    NotConnected,
    /// The socket is connected already.
    AlreadyConnected,
    /// The connection is being made.
    InProgress,
    /// The connection is being made already, and is asked for again.
    AlreadyInProgress,
    /// The connection could not be made, as the program knows already; or it gave way to others, of which there were too many.
    Aborted,
    /// The sending direction is shut down.
    BrokenPipe,
    /// The datagram is larger than the network takes.
    MessageTooLong,
    /// The socket has no destination.
    NoDestination,
    /// Sending to all needs `SO_BROADCAST`.
    BroadcastNotAllowed,
    /// The call does not fit the socket's state or the value its meaning.
    Invalid,
    /// The socket's type does not know the call.
    NotSupported,
    /// There is no memory.
    OutOfMemory,
    /// A queue is full.
    QueueFull,
    /// There is no core of this number.
    NoSuchCore,
    /// The interface belongs to a core for good already.
    AlreadyDedicated,
}

impl From<tcpip::Error> for Error {
    fn from(error: tcpip::Error) -> Self {
        match error {
            tcpip::Error::WouldBlock => Self::WouldBlock,
            tcpip::Error::Refused => Self::Refused,
            tcpip::Error::Reset => Self::Reset,
            tcpip::Error::TimedOut => Self::TimedOut,
            tcpip::Error::AddressInUse => Self::AddressInUse,
            tcpip::Error::AddressNotAvailable => Self::AddressNotAvailable,
            tcpip::Error::NetworkUnreachable => Self::NetworkUnreachable,
            tcpip::Error::HostUnreachable => Self::HostUnreachable,
            tcpip::Error::NotConnected => Self::NotConnected,
            tcpip::Error::BrokenPipe => Self::BrokenPipe,
            tcpip::Error::MessageTooLong => Self::MessageTooLong,
            tcpip::Error::Aborted => Self::Aborted,
            tcpip::Error::OutOfMemory => Self::OutOfMemory,
        }
    }
}

/// Result of a socket call.
pub type Result<T> = core::result::Result<T, Error>;
