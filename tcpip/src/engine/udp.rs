//! Datagrams in and out, and those that are too long for a packet in parts.

use core::net::SocketAddr;

use alloc::vec;

use crate::address::Address;
use crate::device::Device;
use crate::engine::Engine;
use crate::engine::send::Outgoing;
use crate::error::Error;
use crate::sockets::Sockets;
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
        if packet.source.is_unspecified() || !self.sockets.deliver(local, remote, datagram.payload)
        {
            self.stats.no_port += 1;
            self.refuse(packet, Kind::PortUnreachable, now);
        }
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
        hop_limit: u8,
        now: u64,
    ) -> Result<(), Error> {
        let to = Address::from(remote.ip());
        if payload.len() > MAX_PAYLOAD {
            return Err(Error::MessageTooLong);
        }
        let source = match Address::from(local.ip()) {
            from if from.is_unspecified() => self.addresses.source_for(to),
            from => {
                Some(from).filter(|from| self.addresses.is_own(*from) && from.is_v4() == to.is_v4())
            }
        };
        let source = source.ok_or(Error::NetworkUnreachable)?;
        let (from, to) = ((source, local.port()), (to, remote.port()));
        let len = udp::HEADER + payload.len();
        if ip::header_len(source.is_v4()) + len > self.capabilities.mtu {
            let mut datagram = vec![0; len];
            udp::write(&mut datagram, from, to, payload);
            let out = Outgoing {
                source,
                destination: to.0,
                protocol: protocol::UDP,
                hop_limit,
                len,
            };
            self.send_in_parts(out, &datagram, now)?;
        } else {
            let out = Outgoing {
                source,
                destination: to.0,
                protocol: protocol::UDP,
                hop_limit,
                len,
            };
            self.send_packet(out, now, &mut |bytes| udp::write(bytes, from, to, payload))?;
        }
        self.device.flush();
        Ok(())
    }
}
