//! Datagrams in and out, and those that are too long for a packet in parts.

use core::net::SocketAddr;

use alloc::vec;

use crate::address::Address;
use crate::device::{Device, Medium};
use crate::engine::Engine;
use crate::engine::send::Outgoing;
use crate::error::Error;
use crate::sockets::{Arrival, Manner, Sockets};
use crate::wire::icmp::Kind;
use crate::wire::ip::{self, Packet};
use crate::wire::protocol;
use crate::wire::udp::{self, Datagram};

/// Largest payload of a datagram over IPv4; IPv6 would take 20 more.
const MAX_PAYLOAD: usize = 0xFFFF - ip::V4_HEADER - udp::HEADER;

impl<D: Device, S: Sockets> Engine<D, S> {
    pub(super) fn receive_datagram(&mut self, packet: &Packet<'_>, is_verified: bool, now: u64) {
        let Some(datagram) = Datagram::read(packet, is_verified) else {
            self.stats.damaged += 1;
            return;
        };
        let local = SocketAddr::new(packet.destination.into(), datagram.destination_port);
        let remote = SocketAddr::new(packet.source.into(), datagram.source_port);
        let arrival = Arrival {
            local,
            remote,
            hop_limit: packet.hop_limit,
            traffic_class: ip::traffic_class(packet.whole),
            payload: datagram.payload,
        };
        if packet.source.is_unspecified() || !self.sockets.deliver(&arrival) {
            self.stats.no_port += 1;
            self.refuse(packet, Kind::PortUnreachable, now);
            return;
        }
        self.stats.datagrams_in += 1;
    }

    /// Sends a datagram; in parts if it is too long for a packet.
    ///
    /// # Errors
    /// When it is too long altogether, or there is no way or no address to send from.
    pub fn send_datagram(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        payload: &[u8],
        manner: Manner,
        now: u64,
    ) -> Result<(), Error> {
        let to = Address::from(remote.ip());
        if payload.len() > MAX_PAYLOAD {
            return Err(Error::MessageTooLong);
        }
        let source = match Address::from(local.ip()) {
            from if from.is_unspecified() => self.addresses.source_for(to),
            // A socket may be bound to a group to hear nothing else; it speaks from an address of a host.
            from if from.is_multicast() => self.addresses.source_for(to),
            from => {
                Some(from).filter(|from| self.addresses.is_own(*from) && from.is_v4() == to.is_v4())
            }
        };
        let source = source.ok_or(Error::NetworkUnreachable)?;
        let (from, to) = ((source, local.port()), (to, remote.port()));
        let len = udp::HEADER + payload.len();
        let out = Outgoing {
            source,
            destination: to.0,
            protocol: protocol::UDP,
            hop_limit: manner.hop_limit,
            traffic_class: manner.traffic_class,
            len,
        };
        if to.0.is_multicast() {
            // What goes into a loopback comes back by itself.
            let is_loopback = self.capabilities.medium == Medium::Ip;
            if manner.is_looped && !is_loopback && self.is_member(to.0) {
                self.sockets.deliver(&Arrival {
                    local: remote,
                    remote: SocketAddr::new(source.into(), local.port()),
                    hop_limit: manner.hop_limit,
                    traffic_class: manner.traffic_class,
                    payload,
                });
            }
            // One without a single hop stays on this machine (RFC 1112, section 6.1).
            let is_for_nobody = is_loopback && !manner.is_looped;
            if is_for_nobody || !is_loopback && manner.hop_limit == 0 {
                return Ok(());
            }
        }
        if ip::header_len(source.is_v4()) + len > self.capabilities.mtu {
            let mut datagram = vec![0; len];
            udp::write(&mut datagram, from, to, payload);
            self.send_in_parts(out, &datagram, now)?;
        } else {
            self.send_packet(out, now, &mut |bytes| udp::write(bytes, from, to, payload))?;
        }
        self.stats.datagrams_out += 1;
        self.device.flush();
        Ok(())
    }
}
