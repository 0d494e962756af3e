//! What is above the engine: who listens, who holds a connection, where datagrams go.

use core::net::SocketAddr;

use crate::address::Tuple;
use crate::error::Error;

/// Whether a port takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nobody listens: a reset goes back.
    Refused,
    /// No room now: the peer will ask again.
    Full,
    /// It does.
    Open,
}

/// The sockets of a machine.
pub trait Sockets {
    /// What a connection keeps to reach who holds it.
    type Holder;

    /// Whether connections to `local` are taken now.
    fn admits(&mut self, local: SocketAddr) -> Admission;

    /// A connection has been made and will be in `slot`; who is to hold it. None breaks it off.
    fn accept(&mut self, slot: u32, tuple: &Tuple) -> Option<Self::Holder>;

    /// Something has happened to a connection: there are bytes, there is room, or it has come into another state.
    fn notify(&mut self, slot: u32, holder: &Self::Holder);

    /// A datagram has come; whether anybody has the port.
    fn deliver(&mut self, local: SocketAddr, remote: SocketAddr, payload: &[u8]) -> bool;

    /// A datagram from `local` did not reach `remote`.
    fn undeliverable(&mut self, local: SocketAddr, remote: SocketAddr, error: Error);

    /// A port for an outgoing connection that nobody has and that `is_free` agrees with.
    fn ephemeral_port(&mut self, is_free: &dyn Fn(u16) -> bool) -> Option<u16>;
}
