//! What is above the engine: who listens, who holds a connection, where datagrams go.

use core::net::{IpAddr, SocketAddr};

use crate::address::Tuple;
use crate::error::Error;
use crate::steering::{Parcel, To};

/// Whether a port takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nobody listens: a reset goes back.
    Refused,
    /// No room now: the peer will ask again.
    Full,
    /// It does.
    Open {
        /// Bytes of payload that segments to it shall have at most; 0: as many as fit.
        segment_bytes: u16,
        /// For so many seconds a peer that has said nothing yet is not taken (Linux's `TCP_DEFER_ACCEPT`).
        deferred_s: u32,
    },
}

/// A datagram that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Where it went to: an address of ours, a group, or all.
    pub local: SocketAddr,
    /// Who sent it.
    pub remote: SocketAddr,
    /// How many more routers it could have passed.
    pub hop_limit: u8,
    /// Its class of traffic (RFC 2474, RFC 3168).
    pub traffic_class: u8,
    /// What it says.
    pub payload: &'a [u8],
}

/// A datagram of ours that did not arrive, as a router or its host says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undelivered<'a> {
    /// Where it came from: an end of ours.
    pub local: SocketAddr,
    /// Where it was to go.
    pub remote: SocketAddr,
    /// What kept it.
    pub error: Error,
    /// Who says so.
    pub reporter: IpAddr,
    /// Type and code of the message of ICMP, or of ICMPv6.
    pub kind: (u8, u8),
    /// The largest packet that would get through; 0: that is not the reason, or it is not known.
    pub mtu: u32,
    /// The beginning of its payload, as much as the message has of it.
    pub payload: &'a [u8],
}

/// How a datagram is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// How many routers it may pass.
    pub hop_limit: u8,
    /// Its class of traffic.
    pub traffic_class: u8,
    /// One to a group is heard by this machine too, if it has joined the group.
    pub is_looped: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            hop_limit: 64,
            traffic_class: 0,
            is_looped: true,
        }
    }
}

/// The sockets of a machine.
pub trait Sockets {
    /// What a connection keeps to reach who holds it.
    type Holder;

    /// Whether connections to `local` are taken now.
    fn admits(&mut self, local: SocketAddr) -> Admission;

    /// A connection has been made and will be in `slot`; who is to hold it.
    ///
    /// # Errors
    /// Nobody does: why connections are not taken any more.
    fn accept(&mut self, slot: u32, tuple: &Tuple) -> Result<Self::Holder, Admission>;

    /// Something has happened to a connection: there are bytes, there is room, or it has come into another state.
    fn notify(&mut self, slot: u32, holder: &Self::Holder);

    /// Bytes have come for a connection, in order, and no others wait to be read; whether who holds it has taken them, so that they count
    /// as read. Else they wait, and [`Sockets::notify`] follows.
    #[inline]
    fn take(&mut self, slot: u32, holder: &Self::Holder, bytes: &[u8]) -> bool {
        let _ = (slot, holder, bytes);
        false
    }

    /// A datagram has come; whether anybody has the port.
    fn deliver(&mut self, datagram: &Arrival<'_>) -> bool;

    /// A datagram did not arrive.
    fn undeliverable(&mut self, datagram: &Undelivered<'_>);

    /// A host has answered an echo request: its address, how many more routers the answer could have passed, identifier, sequence
    /// number, and content.
    fn echoed(&mut self, from: IpAddr, hop_limit: u8, id: u16, sequence: u16, content: &[u8]) {
        let _ = (from, hop_limit, id, sequence, content);
    }

    /// An echo request did not reach its host: its sequence number, and what became of it. Its identifier stands where the local port would,
    /// and what is quoted of it begins with its header.
    fn echo_failed(&mut self, sequence: u16, request: &Undelivered<'_>) {
        let _ = (sequence, request);
    }

    /// A message of ICMP has come to an address of ours, of whatever kind; it is handled besides. Both ports are 0.
    fn message(&mut self, message: &Arrival<'_>) {
        let _ = message;
    }

    /// Hands something to other lanes of the interface ([`crate::Steering`]). What finds no room there is lost, as anywhere on its way. An
    /// engine that is alone never calls it.
    fn hand_over(&mut self, to: To, parcel: Parcel) {
        let _ = (to, parcel);
    }

    /// A port for an outgoing connection that nobody has and that `is_free` agrees with.
    fn ephemeral_port(&mut self, is_free: &dyn Fn(u16) -> bool) -> Option<u16>;
}
