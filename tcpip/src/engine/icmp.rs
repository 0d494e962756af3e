//! Errors and echoes (RFC 1122, section 3.2.2; RFC 4443), and what errors mean for connections (RFC 5927).

use alloc::vec;
use core::net::{IpAddr, SocketAddr};

use crate::address::{Address, Tuple};
use crate::device::Device;
use crate::engine::Engine;
use crate::engine::send::Outgoing;
use crate::error::Error;
use crate::ip::neighbors::Word;
use crate::seq::Seq;
use crate::sockets::{Arrival, Manner, Sockets, Undelivered};
use crate::tcp::{News, State};
use crate::wire::groups::MLD_QUERY;
use crate::wire::icmp::{self, Failure, Kind, Message, Quote};
use crate::wire::ip::{self, Packet};
use crate::wire::ndp;
use crate::wire::tcp::HEADER;
use crate::wire::{protocol, put};

/// Messages sent in a row, and a second.
const BURST: u32 = 100;
/// Time for which one more may be sent.
const REFILL_US: u64 = 1_000_000 / BURST as u64;
/// Smallest packets of IPv4 that a path is believed to need, and of IPv6.
const LEAST_V4: usize = 552;
const LEAST_V6: usize = 1280;
/// Longest message that is sent: what IPv4 takes.
const MAX_MESSAGE: usize = 0xFFFF - ip::V4_HEADER;
/// A router that does not say how large packets may be.
const UNKNOWN_MTU: u32 = 576;

/// How many messages may be sent, so that we are no amplifier (RFC 4443, section 2.4).
#[derive(Default)]
pub(super) struct Budget {
    used: u32,
    since: u64,
}

impl Budget {
    fn take(&mut self, now: u64) -> bool {
        let refilled = now.saturating_sub(self.since) / REFILL_US;
        if refilled != 0 {
            self.used = self
                .used
                .saturating_sub(refilled.min(u64::from(BURST)) as u32);
            self.since = now;
        }
        self.used += u32::from(self.used < BURST);
        self.used < BURST
    }
}

impl<D: Device, S: Sockets> Engine<D, S> {
    pub(super) fn receive_icmp(&mut self, packet: &Packet<'_>, is_verified: bool, now: u64) {
        let Some(message) = Message::read(packet, is_verified) else {
            self.stats.damaged += 1;
            return;
        };
        if self.addresses.is_own(packet.destination) {
            self.sockets.message(&Arrival {
                local: SocketAddr::new(packet.destination.into(), 0),
                remote: SocketAddr::new(packet.source.into(), 0),
                hop_limit: packet.hop_limit,
                traffic_class: ip::traffic_class(packet.whole),
                payload: packet.payload,
            });
        }
        match message {
            Message::EchoRequest(code, id, data) => self.echo(packet, code, id, data, now),
            Message::EchoReply([a, b, c, d], content) => {
                let (id, sequence) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                let hop_limit = packet.hop_limit;
                if self.addresses.is_own(packet.destination) {
                    let from = packet.source.into();
                    self.sockets.echoed(from, hop_limit, id, sequence, content);
                }
            }
            Message::Failure(failure, quoted) => {
                self.receive_failure(packet, is_verified, (failure, quoted), now);
            }
            Message::Other(kind, body) => self.receive_ndp(packet, kind, body, now),
        }
    }

    /// Answers a ping, whatever its code, as Linux does. One of IPv4 to a group or to all is not answered, which RFC 1122, section
    /// 3.2.2.6, allows; one of IPv6 to a group is, from an address of this machine (RFC 4443, section 4.2).
    fn echo(&mut self, packet: &Packet<'_>, code: u8, id: [u8; 4], data: &[u8], now: u64) {
        if !packet.source.is_unicast() {
            return;
        }
        let source = match self.addresses.is_own(packet.destination) {
            true => packet.destination,
            false => {
                let is_group = !packet.destination.is_v4() && packet.destination.is_multicast();
                let Some(source) = is_group
                    .then(|| self.addresses.source_for(packet.source))
                    .flatten()
                else {
                    return;
                };
                // Many may answer at once, and the asker may be another than it says.
                if !self.icmp_budget.take(now) {
                    self.stats.icmp_limited += 1;
                    return;
                }
                source
            }
        };
        let out = self.icmp_to(source, packet.source, icmp::HEADER + data.len());
        if ip::header_len(out.source.is_v4()) + out.len > self.capabilities.mtu {
            let mut bytes = vec![0; out.len];
            let (from, to) = (out.source, out.destination);
            icmp::write(&mut bytes, from, to, Kind::EchoReply(code), id, data);
            let _ = self.send_in_parts(out, &bytes, now);
            return;
        }
        let _ = self.send_packet(out, now, &mut |bytes| {
            icmp::write(
                bytes,
                out.source,
                out.destination,
                Kind::EchoReply(code),
                id,
                data,
            );
        });
    }

    /// Sends an echo request.
    ///
    /// # Errors
    /// When it does not fit into a packet, or there is no way.
    pub fn send_echo(
        &mut self,
        to: IpAddr,
        id: u16,
        sequence: u16,
        content: &[u8],
        now: u64,
    ) -> Result<(), Error> {
        let to = Address::from(to);
        let source = self
            .addresses
            .source_for(to)
            .ok_or(Error::NetworkUnreachable)?;
        let out = self.icmp_to(source, to, icmp::HEADER + content.len());
        if ip::header_len(source.is_v4()) + out.len > self.capabilities.mtu {
            return Err(Error::MessageTooLong);
        }
        let ([a, b], [c, d]) = (id.to_be_bytes(), sequence.to_be_bytes());
        self.send_packet(out, now, &mut |bytes| {
            icmp::write(bytes, source, to, Kind::EchoRequest, [a, b, c, d], content);
        })?;
        self.device.flush();
        Ok(())
    }

    /// Sends a message as it is, from an address (any of ours, if it is none in particular); in parts if it is too long for a packet. Its
    /// checksum is made if it `is_open`.
    ///
    /// # Errors
    /// When it is too long altogether, or there is no way or no address to send from.
    pub fn send_message(
        &mut self,
        from: IpAddr,
        to: IpAddr,
        (message, is_open): (&[u8], bool),
        manner: Manner,
        now: u64,
    ) -> Result<(), Error> {
        let to = Address::from(to);
        if message.len() > MAX_MESSAGE {
            return Err(Error::MessageTooLong);
        }
        let from = Address::from(from);
        let source = match from.is_unspecified() {
            true => self.addresses.source_for(to),
            false => {
                Some(from).filter(|from| self.addresses.is_own(*from) && from.is_v4() == to.is_v4())
            }
        };
        let source = source.ok_or(Error::NetworkUnreachable)?;
        let out = Outgoing {
            hop_limit: manner.hop_limit,
            traffic_class: manner.traffic_class,
            ..self.icmp_to(source, to, message.len())
        };
        let write = |bytes: &mut [u8]| {
            put(bytes, 0, message);
            if is_open {
                put(bytes, 2, &[0, 0]);
                icmp::finish(bytes, source, to);
            }
        };
        if ip::header_len(source.is_v4()) + out.len > self.capabilities.mtu {
            let mut bytes = vec![0; out.len];
            write(&mut bytes);
            self.send_in_parts(out, &bytes, now)?;
        } else {
            self.send_packet(out, now, &mut { write })?;
        }
        self.device.flush();
        Ok(())
    }

    fn icmp_to(&self, source: Address, destination: Address, len: usize) -> Outgoing {
        let protocol = match source.is_v4() {
            true => protocol::ICMP,
            false => protocol::ICMP_V6,
        };
        Outgoing {
            source,
            destination,
            protocol,
            hop_limit: 64,
            traffic_class: 0,
            len,
        }
    }

    /// Tells the sender of a packet that nobody takes it; not if it went to many, or is an error itself.
    pub(super) fn refuse(&mut self, packet: &Packet<'_>, kind: Kind, now: u64) {
        if !self.addresses.is_own(packet.destination)
            || !packet.source.is_unicast()
            || packet.whole.is_empty()
        {
            return;
        }
        if !self.icmp_budget.take(now) {
            self.stats.icmp_limited += 1;
            return;
        }
        let is_v4 = packet.source.is_v4();
        // As much as fits into what every link carries.
        let most = if is_v4 { 576 - 28 } else { 1280 - 48 };
        let quote = packet
            .whole
            .get(..packet.whole.len().min(most))
            .unwrap_or_default();
        let out = self.icmp_to(
            packet.destination,
            packet.source,
            icmp::HEADER + quote.len(),
        );
        // For an unknown header the word says where it is.
        let word = match (kind, is_v4) {
            (Kind::ProtocolUnreachable, false) => 6u32.to_be_bytes(),
            _ => [0; 4],
        };
        let _ = self.send_packet(out, now, &mut |bytes| {
            icmp::write(bytes, out.source, out.destination, kind, word, quote);
        });
    }

    /// A packet of ours did not arrive.
    fn receive_failure(
        &mut self,
        packet: &Packet<'_>,
        is_verified: bool,
        (failure, quoted): (Failure, &[u8]),
        now: u64,
    ) {
        let Some(quote) = Quote::read(quoted).filter(|quote| self.addresses.is_own(quote.source))
        else {
            return;
        };
        let error = match failure {
            Failure::Refused => Error::Refused,
            Failure::NoNetwork => Error::NetworkUnreachable,
            Failure::Unreachable | Failure::Prohibited | Failure::Expired => Error::HostUnreachable,
            Failure::TooBig(_) => Error::MessageTooLong,
        };
        let undelivered = Undelivered {
            local: SocketAddr::new(quote.source.into(), quote.source_port),
            remote: SocketAddr::new(quote.destination.into(), quote.destination_port),
            error,
            reporter: packet.source.into(),
            kind: icmp::kind(packet),
            mtu: match failure {
                Failure::TooBig(mtu) => mtu,
                _ => 0,
            },
            payload: quote.payload,
        };
        match quote.protocol {
            protocol::UDP => self.sockets.undeliverable(&undelivered),
            protocol::TCP => {
                let tuple = Tuple {
                    local: quote.source,
                    remote: quote.destination,
                    local_port: quote.source_port,
                    remote_port: quote.destination_port,
                };
                if let Some(lane) = self.steering.other(&tuple) {
                    self.hand_packet(lane, packet, is_verified);
                } else if let Some(slot) = self.table.find(&tuple) {
                    self.fail_segment(slot, Seq(quote.sequence), failure, error, now);
                }
            }
            protocol::ICMP | protocol::ICMP_V6 => {
                // Type and code stand in the place of the ports; then come a checksum, the identifier and the number.
                let is_echo = matches!(quote.source_port >> 8, 8 | 128);
                let (id, sequence) = ((quote.sequence >> 16) as u16, quote.sequence as u16);
                if is_echo {
                    let request = Undelivered {
                        local: SocketAddr::new(quote.source.into(), id),
                        remote: SocketAddr::new(quote.destination.into(), 0),
                        payload: quote.whole,
                        ..undelivered
                    };
                    self.sockets.echo_failed(sequence, &request);
                }
            }
            _ => {}
        }
    }

    fn fail_segment(&mut self, slot: u32, seq: Seq, failure: Failure, error: Error, now: u64) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        // Who does not see our segments cannot know what is under way.
        if !entry.connection.is_under_way(seq) {
            return;
        }
        match failure {
            Failure::TooBig(mtu) => {
                let is_v4 = entry.tuple.local.is_v4();
                let mtu = if mtu == 0 { UNKNOWN_MTU } else { mtu } as usize;
                let least = if is_v4 { LEAST_V4 } else { LEAST_V6 };
                let headers = ip::header_len(is_v4) + HEADER;
                let mss = mtu.max(least).min(self.capabilities.mtu) - headers;
                entry
                    .connection
                    .shorten(mss as u32, (least - headers) as u32, now);
                self.settle(slot, News::empty(), now);
            }
            // An error that may pass ends no connection (RFC 1122, section 4.2.3.9), only one that is being made.
            _ if entry.connection.state() == State::SynSent => self.fail(slot, error, now),
            _ => {}
        }
    }

    /// Neighbour discovery (RFC 4861). Only what no router has passed on counts, and what came in one piece (RFC 6980).
    fn receive_ndp(&mut self, packet: &Packet<'_>, kind: u8, body: &[u8], now: u64) {
        if packet.whole.is_empty() {
            self.stats.damaged += 1;
            return;
        }
        match kind {
            ndp::ROUTER_ADVERTISEMENT => return self.receive_router(packet, body, now),
            // RFC 3810, section 5.1.14.
            MLD_QUERY if !packet.source.is_link_local() => {
                self.stats.damaged += 1;
                return;
            }
            MLD_QUERY => {
                let delay = body
                    .first_chunk::<2>()
                    .map_or(0, |ms| u16::from_be_bytes(*ms));
                return self.answer_query(u64::from(delay) * 1000, now);
            }
            _ => {}
        }
        let (Some(target), Some(options)) = (
            body.get(4..20)
                .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()),
            body.get(20..).and_then(ndp::Options::read),
        ) else {
            return;
        };
        if packet.hop_limit != 255 {
            self.stats.damaged += 1;
            return;
        }
        let target = Address::v6(target);
        match kind {
            ndp::NEIGHBOR_SOLICITATION if self.addresses.is_own(target) => {
                let mac = options
                    .source_mac
                    .filter(|mac| crate::wire::ethernet::is_unicast(*mac));
                if let Some(mac) = mac.filter(|_| packet.source.is_unicast()) {
                    self.learn(packet.source, mac, Word::Asking, now);
                }
                self.advertise(packet.source, target, now);
            }
            ndp::NEIGHBOR_ADVERTISEMENT if target.is_unicast() => {
                let mac = options
                    .target_mac
                    .filter(|mac| crate::wire::ethernet::is_unicast(*mac));
                if let Some(mac) = mac.filter(|_| !self.addresses.is_own(target)) {
                    self.learn(target, mac, Word::Told, now);
                }
            }
            // Who tries an address that we try too asks from none.
            ndp::NEIGHBOR_SOLICITATION if packet.source.is_unspecified() => self.lose_trial(target),
            _ => {}
        }
        if kind == ndp::NEIGHBOR_ADVERTISEMENT {
            self.lose_trial(target);
        }
    }

    /// Tells who asks which hardware address an address of ours has.
    fn advertise(&mut self, asker: Address, target: Address, now: u64) {
        let own = self.capabilities.mac;
        if asker.is_unspecified() {
            let to = Address::ALL_NODES;
            let message = ndp::advertisement(target, to, target, own, false);
            return self.send_ndp(target, to, to.group_mac(), &message);
        }
        let message = ndp::advertisement(target, asker, target, own, true);
        let out = Outgoing {
            hop_limit: 255,
            ..self.icmp_to(target, asker, message.len())
        };
        let _ = self.send_packet(out, now, &mut |bytes| crate::wire::put(bytes, 0, &message));
    }
}
