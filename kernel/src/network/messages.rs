//! Who gets messages of ICMP and ICMPv6: answers to echo requests go to the socket of their identifier, which is to it what a port is to UDP
//! (Linux: icmp(7)); copies of all go to who asked for everything (Linux: raw(7)).
//!
//! It is there once a socket for messages was made ([`Post`]), and in no image of a program that makes none.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use tcpip::{Arrival, Manner, Undelivered};

use super::binding::Binding;
use super::error::{Error, Result};
use super::ports::{claim, remove};
use super::random::Random;
use super::socket::mailbox::Mailbox;
use super::stack::Stack;
use crate::arch::clock;
use crate::sync::SpinLock;

/// Length of a header of IPv4 without options, and the number of ICMP in there.
const V4_HEADER: usize = 20;
const ICMP: u8 = 1;
/// Length of the header of an echo, its types in ICMP and in ICMPv6, and where its identifier is.
const ECHO_HEADER: usize = 8;
const ECHO_REPLIES: [u8; 2] = [0, 129];
const ECHO_REQUESTS: [u8; 2] = [8, 128];
const IDENTIFIER: core::ops::Range<usize> = 4..6;

struct Tables {
    echoes: BTreeMap<u16, Vec<(Binding, Arc<Mailbox>)>>,
    raw: Vec<(Binding, Arc<Mailbox>)>,
    random: Random,
}

/// Sends messages, and gives those that come to who wants them.
pub(super) trait Post: Send + Sync {
    /// Has the answers to an identifier (any free one if it is 0) go to `mailbox`, or copies of all messages that come to an address if it
    /// `is_raw`, and then of none to where they went before; what it is bound to then.
    fn bind(&self, is_raw: bool, binding: Binding, mailbox: &Arc<Mailbox>) -> Result<Binding>;

    /// Gives `mailbox` no more; an identifier that it was bound to is free.
    fn release(&self, binding: Option<&Binding>, mailbox: &Arc<Mailbox>);

    /// Sends a message of the socket that is bound to `from`: an echo request, with the socket's identifier, or any if it `is_raw`.
    fn send(
        &self,
        is_raw: bool,
        stack: &mut Stack,
        ends: (SocketAddr, SocketAddr),
        message: &[u8],
        manner: Manner,
    ) -> Result<()>;

    /// Gives a message to all who want it; how many had no room.
    fn deliver(&self, arrival: &Arrival<'_>, interface: usize) -> u64;

    /// Tells who sent an echo request by an interface that it did not arrive.
    fn echo_failed(&self, request: &Undelivered<'_>, interface: usize);
}

/// Who gets messages.
pub(super) struct Messages {
    tables: SpinLock<Tables>,
}

/// The identifier of a message that is an echo's answer.
fn answered(message: &[u8]) -> Option<u16> {
    let (header, _) = message.split_first_chunk::<ECHO_HEADER>()?;
    let is_answer = ECHO_REPLIES.contains(&header[0]) && header[1] == 0;
    is_answer.then_some(u16::from_be_bytes([header[4], header[5]]))
}

/// A message that a socket for echoes sends, with the socket's identifier instead of what the program wrote there.
///
/// # Errors
/// - [`Error::Invalid`]: it is no echo request of the version.
/// - [`Error::OutOfMemory`].
fn echo_request(message: &[u8], is_v6: bool, identifier: u16) -> Result<Vec<u8>> {
    match message {
        [kind, 0, _, _, _, _, _, _, ..] if *kind == ECHO_REQUESTS[usize::from(is_v6)] => {}
        _ => return Err(Error::Invalid),
    }
    let mut copy = Vec::new();
    copy.try_reserve_exact(message.len())
        .map_err(|_| Error::OutOfMemory)?;
    copy.extend_from_slice(message);
    if let Some(place) = copy.get_mut(IDENTIFIER) {
        place.copy_from_slice(&identifier.to_be_bytes());
    }
    Ok(copy)
}

/// A message of IPv4 with a header in front, as who asks for everything gets it: without the options that there may have been.
fn with_header(arrival: &Arrival<'_>, from: Ipv4Addr, to: Ipv4Addr) -> Option<Vec<u8>> {
    let len = V4_HEADER + arrival.payload.len();
    let [high, low] = u16::try_from(len).ok()?.to_be_bytes();
    let mut header = [
        0x45,
        arrival.traffic_class,
        high,
        low,
        0,
        0,
        0,
        0,
        arrival.hop_limit,
        ICMP,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    header[12..16].copy_from_slice(&from.octets());
    header[16..].copy_from_slice(&to.octets());
    let words = header.as_chunks::<2>().0.iter();
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    header[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    let mut packet = Vec::new();
    packet.try_reserve_exact(len).ok()?;
    packet.extend_from_slice(&header);
    packet.extend_from_slice(arrival.payload);
    Some(packet)
}

impl Messages {
    /// Nobody; `seed` makes identifiers hard to guess.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            tables: SpinLock::new(Tables {
                echoes: BTreeMap::new(),
                raw: Vec::new(),
                random: Random::new(seed),
            }),
        }
    }

    fn bind_echo(&self, binding: Binding, mailbox: Arc<Mailbox>) -> Result<Binding> {
        let tables = &mut *self.tables.lock();
        claim(&mut tables.echoes, &mut tables.random, binding, mailbox)
    }

    fn release_echo(&self, binding: &Binding, mailbox: &Arc<Mailbox>) {
        let is_wanted = |known: &Arc<Mailbox>| Arc::ptr_eq(known, mailbox);
        remove(&mut self.tables.lock().echoes, binding, is_wanted);
    }

    fn bind_raw(&self, binding: Binding, mailbox: Arc<Mailbox>) -> Result<Binding> {
        let raw = &mut self.tables.lock().raw;
        raw.retain(|(_, known)| !Arc::ptr_eq(known, &mailbox));
        raw.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        raw.push((binding, mailbox));
        Ok(binding)
    }

    fn release_raw(&self, mailbox: &Arc<Mailbox>) {
        let raw = &mut self.tables.lock().raw;
        raw.retain(|(_, known)| !Arc::ptr_eq(known, mailbox));
    }

    fn echo(&self, identifier: u16, ip: IpAddr, interface: usize) -> Option<Arc<Mailbox>> {
        let tables = self.tables.lock();
        let mut entries = tables.echoes.get(&identifier)?.iter();
        let (_, mailbox) = entries.find(|(binding, _)| binding.suits(ip, interface).is_some())?;
        Some(mailbox.clone())
    }
}

impl Post for Messages {
    fn bind(&self, is_raw: bool, binding: Binding, mailbox: &Arc<Mailbox>) -> Result<Binding> {
        match is_raw {
            true => self.bind_raw(binding.with_port(0), mailbox.clone()),
            false => self.bind_echo(binding, mailbox.clone()),
        }
    }

    fn release(&self, binding: Option<&Binding>, mailbox: &Arc<Mailbox>) {
        self.release_raw(mailbox);
        if let Some(binding) = binding {
            self.release_echo(binding, mailbox);
        }
    }

    fn send(
        &self,
        is_raw: bool,
        stack: &mut Stack,
        (from, to): (SocketAddr, SocketAddr),
        message: &[u8],
        manner: Manner,
    ) -> Result<()> {
        let now_ns = clock::now_ns();
        let is_v6 = to.is_ipv6();
        if is_raw {
            // Of IPv4 the checksum is the program's.
            return stack.send_message(from.ip(), to.ip(), (message, is_v6), manner, now_ns);
        }
        let request = echo_request(message, is_v6, from.port())?;
        stack.send_message(from.ip(), to.ip(), (&request, true), manner, now_ns)
    }

    fn deliver(&self, arrival: &Arrival<'_>, interface: usize) -> u64 {
        let mut lost = 0;
        let ip = arrival.local.ip();
        let echo =
            answered(arrival.payload).and_then(|identifier| self.echo(identifier, ip, interface));
        if let Some(mailbox) = echo {
            lost += u64::from(!mailbox.deliver(arrival, interface));
        }
        let tables = self.tables.lock();
        if tables.raw.is_empty() {
            return lost;
        }
        let suits = |entry: &&(Binding, Arc<Mailbox>)| entry.0.suits(ip, interface).is_some();
        let all: Vec<_> = tables.raw.iter().filter(suits).cloned().collect();
        drop(tables);
        let packet = match (arrival.remote.ip(), ip) {
            (IpAddr::V4(from), IpAddr::V4(to)) => match with_header(arrival, from, to) {
                Some(packet) => packet,
                None => return lost + all.len() as u64,
            },
            _ => Vec::new(),
        };
        let payload = match packet.is_empty() {
            true => arrival.payload,
            false => &packet,
        };
        let whole = Arrival {
            payload,
            ..*arrival
        };
        for (_, mailbox) in all {
            lost += u64::from(!mailbox.deliver(&whole, interface));
        }
        lost
    }

    fn echo_failed(&self, request: &Undelivered<'_>, interface: usize) {
        let (identifier, ip) = (request.local.port(), request.local.ip());
        if let Some(mailbox) = self.echo(identifier, ip, interface) {
            mailbox.fail(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Binding, Error, Mailbox, Messages, Post, echo_request};
    use alloc::sync::Arc;
    use core::net::SocketAddr;

    const OWN: [u8; 4] = [10, 0, 2, 15];
    const PEER: [u8; 4] = [10, 0, 2, 2];

    fn arrival(payload: &[u8]) -> Arrival<'_> {
        Arrival {
            local: SocketAddr::new(OWN.into(), 0),
            remote: SocketAddr::new(PEER.into(), 0),
            hop_limit: 64,
            traffic_class: 0,
            payload,
        }
    }

    fn any(identifier: u16) -> Binding {
        SocketAddr::new([0; 4].into(), identifier).into()
    }

    #[test]
    fn answers_go_to_the_socket_of_their_identifier() {
        let messages = Messages::new(1);
        let (first, second): (Arc<Mailbox>, Arc<Mailbox>) = Default::default();
        let free = messages.bind_echo(any(0), first.clone()).expect("free");
        let other = free.address.port() ^ 1;
        assert!(messages.bind_echo(any(other), second.clone()).is_ok());
        let taken = messages.bind_echo(any(other), first.clone());
        assert_eq!(taken, Err(Error::AddressInUse));
        let [high, low] = free.address.port().to_be_bytes();
        let answer = [0, 0, 0, 0, high, low, 0, 7, b'x'];
        assert_eq!(messages.deliver(&arrival(&answer), 1), 0);
        assert_eq!(first.take().as_deref(), Some(&answer[..]));
        assert_eq!(second.take(), None);
        // Requests, and what is cut off, are for nobody.
        messages.deliver(&arrival(&[8, 0, 0, 0, high, low, 0, 7]), 1);
        messages.deliver(&arrival(&[0, 0, 0, 0, high, low, 0]), 1);
        assert_eq!(first.take(), None);
        messages.release_echo(&free, &first);
        messages.deliver(&arrival(&answer), 1);
        assert_eq!(first.take(), None);
    }

    #[test]
    fn who_asks_for_everything_gets_it_with_its_header() {
        let messages = Messages::new(1);
        let mailbox: Arc<Mailbox> = Arc::default();
        messages.bind_raw(any(0), mailbox.clone()).expect("memory");
        messages.deliver(&arrival(&[3, 1, 0, 0, 0, 0, 0, 0]), 1);
        let packet = mailbox.take().expect("a packet");
        let (header, message) = packet.split_at(20);
        assert_eq!(message, [3, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            (header[0], header[3], header[8], header[9]),
            (0x45, 28, 64, 1)
        );
        assert_eq!((&header[12..16], &header[16..]), (&PEER[..], &OWN[..]));
        let words = header.as_chunks::<2>().0.iter();
        let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
        assert_eq!((sum & 0xFFFF) + (sum >> 16), 0xFFFF, "the checksum");
        messages.release_raw(&mailbox);
        messages.deliver(&arrival(&[3, 1, 0, 0, 0, 0, 0, 0]), 1);
        assert_eq!(mailbox.take(), None);
    }

    #[test]
    fn only_requests_are_sent_and_bear_the_identifier_of_their_socket() {
        let request = [8, 0, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(
            echo_request(&request, false, 0xABCD),
            Ok([8, 0, 1, 2, 0xAB, 0xCD, 5, 6, 7].into())
        );
        assert_eq!(echo_request(&request, true, 1), Err(Error::Invalid));
        assert_eq!(echo_request(&request[..7], false, 1), Err(Error::Invalid));
        assert_eq!(echo_request(&[0; 8], false, 1), Err(Error::Invalid));
        assert_eq!(
            echo_request(&[8, 1, 0, 0, 0, 0, 0, 0], false, 1),
            Err(Error::Invalid)
        );
    }
}
