//! Frames that come in: what they are and who they are for.

use crate::address::{Address, Tuple};
use crate::device::{Device, Medium};
use crate::engine::Engine;
use crate::ip::fragments::Outcome;
use crate::ip::neighbors::Word;
use crate::sockets::Sockets;
use crate::steering::FIRST;
use crate::timers::Key;
use crate::wire::arp::{self, Arp};
use crate::wire::ethernet;
use crate::wire::ip::Packet;
use crate::wire::protocol;
use crate::wire::tcp::Segment;
use crate::wire::udp::Datagram;
use crate::wire::usual;
use crate::wire::{dhcp, dhcp6};

impl<D: Device, S: Sockets> Engine<D, S> {
    /// Takes a frame. If it `is_verified`, the device has found the checksums of IPv4, TCP and UDP right.
    #[inline]
    pub fn receive(&mut self, frame: &[u8], is_verified: bool, now: u64) {
        self.stats.frames_in += 1;
        self.stats.bytes_in += frame.len() as u64;
        // Nearly always; what is in any way special goes the long way.
        if self.capabilities.medium == Medium::Ethernet
            && let Some((ends, segment)) = usual::read(frame, is_verified)
            && let Some(slot) = self.table.find_next(ends)
        {
            self.stats.segments_in += 1;
            return self.receive_segment(slot, &segment, now);
        }
        self.receive_frame(frame, is_verified, now);
    }

    #[inline(never)]
    fn receive_frame(&mut self, frame: &[u8], is_verified: bool, now: u64) {
        let packet = match self.capabilities.medium {
            Medium::Ip => frame,
            Medium::Ethernet => {
                let Some((to, from)) = frame.split_first_chunk() else {
                    self.stats.damaged += 1;
                    return;
                };
                // Cards that do not choose, and switches that do not know better, bring those of others too.
                if !ethernet::is_for(*to, self.capabilities.mac) {
                    self.stats.not_for_us += 1;
                    return;
                }
                let Some((kind, packet)) = from.get(6..).and_then(ethernet::open) else {
                    self.stats.damaged += 1;
                    return;
                };
                let version = match kind {
                    ethernet::IPV4 => 4,
                    ethernet::IPV6 => 6,
                    ethernet::ARP => return self.receive_arp(packet, now),
                    _ => {
                        self.stats.not_for_us += 1;
                        return;
                    }
                };
                // Filters on the way judge by the frame's type.
                if packet.first().is_none_or(|first| first >> 4 != version) {
                    self.stats.damaged += 1;
                    return;
                }
                packet
            }
        };
        let Some(packet) = Packet::read(packet, is_verified) else {
            self.stats.damaged += 1;
            return;
        };
        match packet.fragment {
            None => self.receive_packet(&packet, is_verified, now),
            Some(_) => self.receive_fragment(&packet, now),
        }
    }

    #[inline]
    pub(super) fn receive_packet(&mut self, packet: &Packet<'_>, is_verified: bool, now: u64) {
        if packet.protocol == protocol::TCP {
            self.stats.segments_in += 1;
            let Some(segment) = Segment::read(packet, is_verified) else {
                self.stats.damaged += 1;
                return;
            };
            let tuple = Tuple {
                local: packet.destination,
                remote: packet.source,
                local_port: segment.destination_port,
                remote_port: segment.source_port,
            };
            return match self.table.find(&tuple) {
                Some(slot) => self.receive_unusual(slot, &segment, now),
                None => self.receive_unknown(packet, is_verified, &tuple, &segment, now),
            };
        }
        self.receive_other(packet, is_verified, now);
    }

    #[inline(never)]
    fn receive_other(&mut self, packet: &Packet<'_>, is_verified: bool, now: u64) {
        if !self.steering.is_first() {
            return self.hand_packet(FIRST, packet, is_verified);
        }
        self.receive_first(packet, is_verified, now);
        self.share_addresses();
    }

    /// What is not of TCP, in the first lane.
    fn receive_first(&mut self, packet: &Packet<'_>, is_verified: bool, now: u64) {
        // Offers of an address come to that address, which is not ours yet.
        if self.dhcp.is_some()
            && packet.protocol == protocol::UDP
            && packet.source.is_v4()
            && let Some(datagram) = Datagram::read(packet, is_verified)
            && datagram.destination_port == dhcp::CLIENT_PORT
        {
            return self.receive_dhcp(datagram.payload, now);
        }
        if !self.is_for_us(packet.destination) || !self.is_possible_source(packet.source) {
            if !self.keep_for_offered(packet, is_verified) {
                self.stats.wrong_address += 1;
            }
            return;
        }
        if self.dhcp6.is_some()
            && packet.protocol == protocol::UDP
            && packet.destination.is_link_local()
            && !packet.destination.is_v4()
            && let Some(datagram) = Datagram::read(packet, is_verified)
            && datagram.destination_port == dhcp6::CLIENT_PORT
        {
            return self.receive_dhcp6(datagram.payload, now);
        }
        match packet.protocol {
            protocol::UDP => self.receive_datagram(packet, is_verified, now),
            protocol::ICMP if packet.source.is_v4() => self.receive_icmp(packet, is_verified, now),
            protocol::ICMP_V6 if !packet.source.is_v4() => {
                self.receive_icmp(packet, is_verified, now)
            }
            protocol::NONE if !packet.source.is_v4() => {}
            protocol::IGMP if packet.source.is_v4() => self.receive_igmp(packet, now),
            _ => {
                self.stats.not_for_us += 1;
                self.refuse(packet, crate::wire::icmp::Kind::ProtocolUnreachable, now);
            }
        }
    }

    /// Whether a packet can come from an address: from nothing that means many stations, and over a link not from this machine itself
    /// (RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3), as which nobody else shall pass.
    pub(super) fn is_possible_source(&self, source: Address) -> bool {
        let is_of_this_machine = || source.is_loopback() || self.addresses.is_own(source);
        !source.is_multicast()
            && !self.addresses.is_broadcast(source)
            && (self.capabilities.medium == Medium::Ip || !is_of_this_machine())
    }

    /// Whether packets to an address are taken here.
    pub(super) fn is_for_us(&self, address: Address) -> bool {
        self.addresses.is_own(address)
            || self.addresses.is_broadcast(address)
            || address.is_multicast() && self.is_member(address)
    }

    pub(super) fn receive_fragment(&mut self, packet: &Packet<'_>, now: u64) {
        let Some(part) = packet.fragment else {
            return;
        };
        if !self.steering.is_first() {
            return self.hand_packet(FIRST, packet, false);
        }
        if !self.is_for_us(packet.destination) || !self.is_possible_source(packet.source) {
            self.stats.wrong_address += 1;
            return;
        }
        let outcome = self.fragments.insert(packet, part, now);
        self.stats.fragments_lost = self.fragments.lost();
        match outcome {
            Outcome::Waiting => self.timers.set(Key::Fragments, now + 30_000_000),
            Outcome::Lost => {}
            Outcome::Whole(whole) => {
                self.stats.reassembled += 1;
                let packet = Packet {
                    source: whole.source,
                    destination: whole.destination,
                    protocol: whole.protocol,
                    hop_limit: whole.hop_limit,
                    payload: &whole.payload,
                    fragment: None,
                    // There is no header any more that could be quoted.
                    whole: &[],
                    has_router_alert: false,
                };
                self.receive_packet(&packet, false, now);
            }
        }
    }

    pub(super) fn receive_arp(&mut self, packet: &[u8], now: u64) {
        if !self.steering.is_first() {
            return self.hand_arp(packet);
        }
        let Some(arp) = Arp::read(packet).filter(|arp| ethernet::is_unicast(arp.sender_mac)) else {
            self.stats.damaged += 1;
            return;
        };
        let is_own = self.addresses.is_own(arp.target);
        if self.addresses.is_own(arp.sender) || !arp.sender.is_unicast() {
            return;
        }
        let is_request = arp.operation == arp::REQUEST && is_own;
        let word = if is_request { Word::Asking } else { Word::Told };
        self.learn(arp.sender, arp.sender_mac, word, now);
        if is_request {
            let answer = Arp {
                operation: arp::REPLY,
                sender_mac: self.capabilities.mac,
                sender: arp.target,
                target_mac: arp.sender_mac,
                target: arp.sender,
            };
            self.send_arp(&answer, arp.sender_mac);
        }
    }
}
