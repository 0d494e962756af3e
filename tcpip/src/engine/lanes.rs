//! What an engine that is one of several lanes of an interface has to do with the others ([`crate::steering`]).

use alloc::vec::Vec;

use crate::address::{Address, Tuple};
use crate::device::Device;
use crate::engine::Engine;
use crate::ip::neighbors::Word;
use crate::sockets::Sockets;
use crate::steering::{Book, FIRST, Parcel, Steering, To};
use crate::wire::ethernet::Mac;
use crate::wire::ip::{self, Packet};
use crate::wire::protocol;
use crate::wire::put;
use crate::wire::tcp::Segment;

impl<D: Device, S: Sockets> Engine<D, S> {
    /// The engine is one of several lanes from now on: before it has received anything or has any connection.
    pub fn set_steering(&mut self, steering: Steering) {
        self.steering = steering;
        self.share_addresses();
    }

    /// Has the first lane tell the others the addresses, if they are not what it told last. The engine does it by itself after whatever
    /// comes; call it after calls that change them.
    #[inline]
    pub fn share_addresses(&mut self) {
        if self.steering.has_others() && self.steering.is_first() {
            self.share_changed();
        }
    }

    #[inline(never)]
    fn share_changed(&mut self) {
        let (is_awaiting, is_configuring_ipv6) = (self.is_awaiting, self.is_configuring_ipv6());
        let is_told = self.book.as_ref().is_some_and(|book| {
            book.addresses == self.addresses
                && book.is_awaiting == is_awaiting
                && book.is_configuring_ipv6 == is_configuring_ipv6
                && book.awaited == self.offered.awaited
        });
        if !is_told {
            let book = Book {
                addresses: self.addresses.clone(),
                is_awaiting,
                is_configuring_ipv6,
                awaited: self.offered.awaited,
            };
            self.sockets
                .hand_over(To::Others, Parcel::Addresses(book.clone()));
            self.book = Some(book);
        }
    }

    /// Takes what another lane has handed over.
    pub fn take(&mut self, parcel: Parcel, now: u64) {
        match parcel {
            Parcel::Packet { bytes, is_verified } => self.take_packet(&bytes, is_verified, now),
            Parcel::Arp(message) if self.steering.is_first() => self.receive_arp(&message, now),
            Parcel::Arp(_) => {}
            Parcel::Neighbor(address, mac) => self.learn(address, mac, Word::Told, now),
            Parcel::Addresses(book) => {
                self.addresses = book.addresses.clone();
                self.is_awaiting = book.is_awaiting;
                let awaited = book.awaited;
                self.book = Some(book);
                self.forget_paths();
                self.begin_awaiting(now);
                self.set_awaited(awaited, now);
            }
        }
    }

    /// Takes a packet that the lane that received it has found to be this one's.
    pub(super) fn take_packet(&mut self, bytes: &[u8], is_verified: bool, now: u64) {
        let Some(packet) = Packet::read(bytes, is_verified) else {
            self.stats.damaged += 1;
            return;
        };
        match packet.protocol {
            _ if packet.fragment.is_some() => self.receive_fragment(&packet, now),
            // The first lane has looked at it: it is about a connection of this one.
            protocol::ICMP | protocol::ICMP_V6 if !self.steering.is_first() => {
                self.receive_icmp(&packet, is_verified, now);
            }
            _ => self.receive_packet(&packet, is_verified, now),
        }
    }

    /// A segment of no connection that is known here: it is for another lane, or a stray.
    #[inline(never)]
    pub(super) fn receive_unknown(
        &mut self,
        packet: &Packet<'_>,
        is_verified: bool,
        tuple: &Tuple,
        segment: &Segment<'_>,
        now: u64,
    ) {
        match self.steering.other(tuple) {
            Some(lane) => self.hand_packet(lane, packet, is_verified),
            None if self.keep_for_offered(packet, is_verified) => {}
            None => self.receive_stray(tuple, segment, now),
        }
    }

    /// Hands a packet to another lane.
    #[inline(never)]
    pub(super) fn hand_packet(&mut self, lane: usize, packet: &Packet<'_>, is_verified: bool) {
        let copy = match packet.whole {
            [] => header_again(packet).map(|bytes| (bytes, false)),
            whole => zeros(whole.len()).map(|mut bytes| {
                bytes.copy_from_slice(whole);
                (bytes, is_verified)
            }),
        };
        let Some((bytes, is_verified)) = copy else {
            self.stats.no_memory += 1;
            return;
        };
        self.sockets
            .hand_over(To::Lane(lane), Parcel::Packet { bytes, is_verified });
    }

    /// Hands a message of ARP to the first lane.
    pub(super) fn hand_arp(&mut self, message: &[u8]) {
        self.sockets
            .hand_over(To::Lane(FIRST), Parcel::Arp(message.to_vec()));
    }

    /// Tells the other lanes of a neighbour's hardware address; those that have asked for it want to know.
    pub(super) fn tell_neighbor(&mut self, address: Address, mac: Mac) {
        if self.steering.has_others() && self.steering.is_first() {
            self.sockets
                .hand_over(To::Others, Parcel::Neighbor(address, mac));
        }
    }
}

/// So many bytes, if there is memory for them: strangers choose how many.
fn zeros(len_bytes: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len_bytes).ok()?;
    bytes.resize(len_bytes, 0);
    Some(bytes)
}

/// A packet that was put together from fragments, with a header of its own; none without memory for it.
fn header_again(packet: &Packet<'_>) -> Option<Vec<u8>> {
    let header = ip::header_len(packet.source.is_v4());
    let mut bytes = zeros(header + packet.payload.len())?;
    ip::write_header(
        &mut bytes,
        packet.source,
        packet.destination,
        packet.protocol,
        packet.hop_limit,
        packet.payload.len(),
    );
    put(&mut bytes, header, packet.payload);
    Some(bytes)
}
