//! Echo requests, and what comes of them (RFC 792).
//!
//! Answers are recognised here, in front of the stack: an echo reply by its identifier, sequence number, sender and content; an error by
//! the request that it quotes. smoltcp only sends (and finds the hardware address). Requests of others are answered by smoltcp.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use smoltcp::iface::SocketSet;
use smoltcp::socket::icmp::{self, PacketBuffer, PacketMetadata};
use smoltcp::wire::IpAddress;

use super::Network;
use super::checksum::Sum;
use super::engine::{Engine, drive};
use super::error::{Error, Result};
use super::frame::ETHERNET_HEADER;
use super::stack::Stack;
use super::timers::Key;
use crate::arch::clock;
use crate::devices::network::Medium;
use crate::scheduler::Notifier;

const IP_HEADER: usize = 20;
const ICMP_HEADER: usize = 8;
const PROTOCOL_ICMP: u8 = 1;
/// Requests without an answer.
const MAX_OPEN: usize = 64;

// Types of messages.
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
/// Of an unreachable destination: the whole network is.
const NETWORK_UNREACHABLE: u8 = 0;

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// From the request to the answer.
    pub round_trip_ns: u64,
    /// How many more routers the answer could have passed.
    pub ttl: u8,
}

/// A request that was sent, or waits for a hardware address.
struct Ping {
    id: u32,
    set: SocketSet<'static>,
    to: Ipv4Addr,
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
    /// Where the timer is set.
    pub(super) timer: Option<u64>,
    open: Vec<Ping>,
    next_id: u32,
}

/// A socket set that sends one message. Each has its own, as one whose neighbour does not answer would hold up all behind it.
fn outgoing(to: Ipv4Addr, message: &[u8]) -> Result<SocketSet<'static>> {
    let out = PacketBuffer::new(vec![PacketMetadata::EMPTY], vec![0; message.len()]);
    let mut socket = icmp::Socket::new(PacketBuffer::new(vec![], vec![]), out);
    // The identifiers of answers are looked at here; smoltcp wants one to let the socket send.
    socket
        .bind(icmp::Endpoint::Ident(0))
        .map_err(|_| Error::Invalid)?;
    socket
        .send_slice(message, IpAddress::Ipv4(to))
        .map_err(|_| Error::Invalid)?;
    let mut set = SocketSet::new(vec![]);
    set.add(socket);
    Ok(set)
}

/// Fields of an IPv4 packet that carries ICMP.
struct Packet<'a> {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    ttl: u8,
    message: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet; none for fragments, other protocols, and lengths that lie. One that is quoted may be cut off.
    fn read(packet: &'a [u8], is_quoted: bool) -> Option<Self> {
        let header: &[u8; IP_HEADER] = packet.first_chunk()?;
        let header_len = usize::from(header[0] & 15) * 4;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3FFF;
        if header[0] >> 4 != 4 || header[9] != PROTOCOL_ICMP || fragment != 0 {
            return None;
        }
        let end = match is_quoted {
            true => total.min(packet.len()),
            false => total,
        };
        let address =
            |at: usize| Ipv4Addr::from(*header[at..].first_chunk::<4>().unwrap_or(&[0; 4]));
        Some(Self {
            source: address(12),
            destination: address(16),
            ttl: header[8],
            message: packet.get(header_len.max(IP_HEADER)..end)?,
        })
    }
}

fn identifier_and_sequence(message: &[u8]) -> Option<(u16, u16)> {
    let header: &[u8; ICMP_HEADER] = message.first_chunk()?;
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    Some((field(4), field(6)))
}

impl Pings {
    /// Takes a message that may answer a request.
    fn look(&mut self, packet: &[u8], now_ns: u64) -> Option<()> {
        let packet = Packet::read(packet, false)?;
        let (kind, code) = (*packet.message.first()?, *packet.message.get(1)?);
        if Sum::default().add(packet.message).checksum() != [0, 0] {
            return None;
        }
        let (ping, outcome) = match kind {
            ECHO_REPLY => {
                let (identifier, sequence) = identifier_and_sequence(packet.message)?;
                let content = packet.message.get(ICMP_HEADER..)?;
                let ping = self.find(identifier, sequence)?;
                if ping.to != packet.source || ping.content != content {
                    return None;
                }
                let pong = Pong {
                    round_trip_ns: now_ns.saturating_sub(ping.sent_ns),
                    ttl: packet.ttl,
                };
                (ping, Ok(pong))
            }
            UNREACHABLE | TIME_EXCEEDED => {
                let quoted = Packet::read(packet.message.get(ICMP_HEADER..)?, true)?;
                if *quoted.message.first()? != ECHO_REQUEST {
                    return None;
                }
                let (identifier, sequence) = identifier_and_sequence(quoted.message)?;
                let ping = self.find(identifier, sequence)?;
                if ping.to != quoted.destination {
                    return None;
                }
                let error = match (kind, code) {
                    (UNREACHABLE, NETWORK_UNREACHABLE) => Error::NetworkUnreachable,
                    _ => Error::HostUnreachable,
                };
                (ping, Err(error))
            }
            _ => return None,
        };
        ping.outcome = Some(outcome);
        ping.notifier.notify();
        Some(())
    }

    fn find(&mut self, identifier: u16, sequence: u16) -> Option<&mut Ping> {
        self.open.iter_mut().find(|ping| {
            ping.identifier == identifier && ping.id as u16 == sequence && ping.outcome.is_none()
        })
    }
}

impl Engine {
    /// Looks whether a frame answers an echo request.
    pub(super) fn look_for_pong(&mut self, frame: &[u8], now_us: u64) {
        if let Some(pings) = self.pings.as_mut().filter(|pings| !pings.open.is_empty()) {
            let header = match self.port.medium() {
                Medium::Ethernet => ETHERNET_HEADER,
                Medium::Ip => 0,
            };
            // Whatever is no answer is nothing to this.
            let _ = frame
                .get(header..)
                .and_then(|packet| pings.look(packet, now_us.saturating_mul(1000)));
        }
    }

    /// Sends the requests that wait.
    pub(super) fn run_pings(&mut self, now_us: u64) {
        let Some(pings) = &mut self.pings else {
            return;
        };
        let mut wanted_us = None;
        for ping in &mut pings.open {
            let (iface, port) = (&mut self.iface, &mut self.port);
            let driven = drive(iface, port, &mut ping.set, false, now_us);
            wanted_us = [wanted_us, driven.wanted_us].into_iter().flatten().min();
            if driven.is_waiting && !self.waiting.contains(&Key::Ping) {
                self.waiting.push(Key::Ping);
            }
        }
        self.timers.arrange(Key::Ping, &mut pings.timer, wanted_us);
    }

    /// Sends a request with `len` bytes of content; its number. `notifier` is told when there is an outcome.
    pub(super) fn begin_ping(
        &mut self,
        to: Ipv4Addr,
        len: usize,
        notifier: Arc<Notifier>,
        now_ns: u64,
    ) -> Result<u32> {
        let mtu = self.port.mtu();
        if len > mtu.saturating_sub(IP_HEADER + ICMP_HEADER) {
            return Err(Error::MessageTooLong);
        }
        if to.is_unspecified() || to.is_multicast() || self.is_broadcast(to) {
            return Err(Error::Invalid);
        }
        if self.iface.get_source_address_ipv4(&to).is_none() {
            return Err(Error::NetworkUnreachable);
        }
        let identifier = self.ports.random_u64() as u16;
        let pings = self.pings.get_or_insert_default();
        if pings.open.len() >= MAX_OPEN {
            return Err(Error::QueueFull);
        }
        pings.next_id = pings.next_id.wrapping_add(1);
        let id = pings.next_id;
        let content: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let mut message = vec![ECHO_REQUEST, 0, 0, 0];
        message.extend_from_slice(&identifier.to_be_bytes());
        message.extend_from_slice(&(id as u16).to_be_bytes());
        message.extend_from_slice(&content);
        let checksum = Sum::default().add(&message).checksum();
        message[2..4].copy_from_slice(&checksum);
        pings.open.push(Ping {
            id,
            set: outgoing(to, &message)?,
            to,
            identifier,
            content,
            sent_ns: now_ns,
            notifier,
            outcome: None,
        });
        self.run_pings(now_ns / 1000);
        Ok(id)
    }
}

impl Stack {
    /// What came of a request so far; one with an outcome, or that `is_over`, is forgotten.
    pub fn ping_outcome(&mut self, id: u32, is_over: bool) -> Option<Result<Pong>> {
        let open = &mut self.pings()?.open;
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
    pub fn ping(&self, to: Ipv4Addr, len: usize, timeout_ns: u64) -> Result<Pong> {
        let interface = self.route(to, None)?;
        let notifier: Arc<Notifier> = Arc::default();
        let begin_ns = clock::now_ns();
        let deadline_ns = Some(begin_ns.saturating_add(timeout_ns));
        let mut stack = interface.lock();
        let id = stack.begin_ping(to, len, notifier.clone(), begin_ns)?;
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
