//! Datagrams that did not arrive, kept for programs that ask for them (`IP_RECVERR`, `MSG_ERRQUEUE`; Linux: ip(7), ipv6(7)).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use tcpip::Undelivered;

use crate::network::error::Error;

/// Failures that wait to be read; the oldest give way.
const MAX_FAILURES: usize = 64;

/// A datagram that did not arrive.
#[derive(Debug)]
pub struct Failure {
    /// Where it was to go.
    pub to: SocketAddr,
    /// The beginning of what it said.
    pub payload: Box<[u8]>,
    /// What kept it.
    pub error: Error,
    /// Who says so.
    pub reporter: IpAddr,
    /// Type and code of the message of ICMP, or of ICMPv6.
    pub kind: (u8, u8),
    /// The largest packet that would get through; 0: that is not the reason, or it is not known.
    pub mtu: u32,
}

/// Those that wait to be read.
#[derive(Default)]
pub(super) struct Failures(VecDeque<Failure>);

impl Failures {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, failure: Failure) {
        if self.0.len() == MAX_FAILURES {
            self.0.pop_front();
        }
        if self.0.try_reserve(1).is_ok() {
            self.0.push_back(failure);
        }
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Failure> {
        self.0.pop_front()
    }

    /// Why the oldest did not arrive.
    pub(super) fn next_error(&self) -> Option<Error> {
        self.0.front().map(|failure| failure.error)
    }
}

impl Failure {
    /// Keeps what was told; none if there is no memory.
    pub(super) fn new(datagram: &Undelivered<'_>) -> Option<Self> {
        let mut payload = Vec::new();
        payload.try_reserve_exact(datagram.payload.len()).ok()?;
        payload.extend_from_slice(datagram.payload);
        Some(Self {
            to: datagram.remote,
            payload: payload.into_boxed_slice(),
            error: datagram.error.into(),
            reporter: datagram.reporter,
            kind: datagram.kind,
            mtu: datagram.mtu,
        })
    }
}
