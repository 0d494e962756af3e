//! Echo requests, and what comes of them (RFC 792, RFC 4443).
//!
//! Answers are recognised here: an echo reply by its identifier, sequence number, sender and content; an error by the request that it
//! quotes. Requests of others are answered by the engine.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::Network;
use super::error::{Error, Result};
use super::stack::Stack;
use crate::arch::clock;
use crate::scheduler::Notifier;

const IP_HEADER: usize = 20;
const ICMP_HEADER: usize = 8;
/// Requests without an answer.
const MAX_OPEN: usize = 64;

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// From the request to the answer.
    pub round_trip_ns: u64,
    /// How many more routers the answer could have passed.
    pub ttl: u8,
}

/// A request that was sent.
struct Ping {
    id: u32,
    to: IpAddr,
    identifier: u16,
    /// What the request says, after its header.
    content: Vec<u8>,
    sent_ns: u64,
    notifier: Arc<Notifier>,
    outcome: Option<Result<Pong>>,
}

/// The requests of an interface.
#[derive(Default)]
pub(super) struct Pings {
    open: Vec<Ping>,
    next_id: u32,
    /// The time, as the stack knows it when it is served.
    pub(super) now_ns: u64,
}

impl Pings {
    /// A host has answered.
    pub(super) fn answered(
        &mut self,
        from: IpAddr,
        ttl: u8,
        identifier: u16,
        sequence: u16,
        content: &[u8],
    ) {
        let now_ns = self.now_ns;
        if let Some(ping) = self.find(identifier, sequence)
            && ping.to == from
            && ping.content == content
        {
            let round_trip_ns = now_ns.saturating_sub(ping.sent_ns);
            ping.end(Ok(Pong { round_trip_ns, ttl }));
        }
    }

    /// A request did not arrive.
    pub(super) fn failed(&mut self, to: IpAddr, identifier: u16, sequence: u16, error: Error) {
        if let Some(ping) = self.find(identifier, sequence)
            && ping.to == to
        {
            ping.end(Err(error));
        }
    }

    fn find(&mut self, identifier: u16, sequence: u16) -> Option<&mut Ping> {
        self.open.iter_mut().find(|ping| {
            ping.identifier == identifier && ping.id as u16 == sequence && ping.outcome.is_none()
        })
    }
}

impl Ping {
    fn end(&mut self, outcome: Result<Pong>) {
        self.outcome = Some(outcome);
        self.notifier.notify();
    }
}

impl Stack {
    /// Sends an echo request with `len` bytes of content; its number, for [`Stack::ping_outcome`]. `notifier` is told when there is an
    /// outcome.
    ///
    /// # Errors
    /// When it is too long, there is no way to the address, or too many wait for answers.
    pub fn begin_ping(
        &mut self,
        to: IpAddr,
        len: usize,
        notifier: Arc<Notifier>,
        now_ns: u64,
    ) -> Result<u32> {
        if to.is_unspecified() || to.is_multicast() || self.is_broadcast(to) {
            return Err(Error::Invalid);
        }
        if len > usize::from(u16::MAX) - IP_HEADER - ICMP_HEADER {
            return Err(Error::MessageTooLong);
        }
        let above = &mut self.engine.sockets;
        let identifier = above.random_u64() as u16;
        let pings = above.pings.get_or_insert_default();
        if pings.open.len() >= MAX_OPEN {
            return Err(Error::QueueFull);
        }
        pings.next_id = pings.next_id.wrapping_add(1);
        let id = pings.next_id;
        let content: Vec<u8> = (0..len).map(|at| at as u8).collect();
        self.engine
            .send_echo(to, identifier, id as u16, &content, now_ns / 1000)?;
        if let Some(pings) = &mut self.engine.sockets.pings {
            pings.open.push(Ping {
                id,
                to,
                identifier,
                content,
                sent_ns: now_ns,
                notifier,
                outcome: None,
            });
        }
        self.finish();
        Ok(id)
    }

    /// What came of a request so far; one with an outcome, or that `is_over`, is forgotten.
    pub fn ping_outcome(&mut self, id: u32, is_over: bool) -> Option<Result<Pong>> {
        let open = &mut self.engine.sockets.pings.as_mut()?.open;
        let at = open.iter().position(|ping| ping.id == id)?;
        if open[at].outcome.is_none() && !is_over {
            return None;
        }
        open.swap_remove(at).outcome
    }
}

impl Network {
    /// Sends an echo request with `len` bytes to an address, and waits for the answer.
    ///
    /// # Errors
    /// - [`Error::TimedOut`]: no answer in time.
    /// - [`Error::HostUnreachable`], [`Error::NetworkUnreachable`]: a router says so; the latter also when there is no way to begin with.
    /// - [`Error::MessageTooLong`]: it would not fit into one packet.
    /// - [`Error::Invalid`]: the address is not one of a single host.
    pub fn ping(&self, to: SocketAddr, len: usize, timeout_ns: u64) -> Result<Pong> {
        let interface = self.route(to, None, None)?;
        let notifier: Arc<Notifier> = Arc::default();
        let begin_ns = clock::now_ns();
        let deadline_ns = Some(begin_ns.saturating_add(timeout_ns));
        let mut stack = interface.lock();
        let id = stack.begin_ping(to.ip(), len, notifier.clone(), begin_ns)?;
        loop {
            if let Some(outcome) = stack.ping_outcome(id, false) {
                return outcome;
            }
            match super::socket::wait(&notifier, stack, false, deadline_ns) {
                Ok(guard) => stack = guard,
                Err(_) => {
                    // It may have come at the last moment.
                    let outcome = interface.lock().ping_outcome(id, true);
                    return outcome.unwrap_or(Err(Error::TimedOut));
                }
            }
        }
    }
}
