//! Ethernet frames as a stranger makes them: right where nothing else is said, so that what is wrong about one is what the test says.

use std::net::Ipv4Addr;

/// The header of a packet of IPv4 (RFC 791), with what may be wrong about it.
#[derive(Clone, Debug)]
pub struct Ipv4<'a> {
    /// Sender.
    pub from: Ipv4Addr,
    /// Receiver.
    pub to: Ipv4Addr,
    /// What is in it.
    pub protocol: u8,
    /// The number that parts of one packet share.
    pub id: u16,
    /// Flags and place of a part, as they are in the header.
    pub fragment: u16,
    /// Whole words of options.
    pub options: &'a [u8],
    /// How far the total length is from the truth.
    pub lie: i16,
}

/// Protocols.
pub mod protocol {
    /// Messages of the network (RFC 792).
    pub const ICMP: u8 = 1;
    /// Connections.
    pub const TCP: u8 = 6;
    /// Datagrams.
    pub const UDP: u8 = 17;
}

impl Ipv4<'_> {
    /// A packet that is not out of the ordinary.
    pub fn new(from: Ipv4Addr, to: Ipv4Addr, protocol: u8) -> Self {
        Self {
            from,
            to,
            protocol,
            id: 0,
            fragment: 0x4000,
            options: &[],
            lie: 0,
        }
    }

    /// The packet.
    pub fn packet(&self, content: &[u8]) -> Vec<u8> {
        let words = self.options.len() / 4;
        let total = 20 + words * 4 + content.len();
        let total = u16::try_from(total).expect("a packet");
        let mut packet = vec![0x45 + words as u8, 0];
        packet.extend(total.wrapping_add_signed(self.lie).to_be_bytes());
        packet.extend(self.id.to_be_bytes());
        packet.extend(self.fragment.to_be_bytes());
        packet.extend([64, self.protocol, 0, 0]);
        packet.extend(self.from.octets());
        packet.extend(self.to.octets());
        packet.extend(&self.options[..words * 4]);
        let sum = checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(content);
        packet
    }
}

/// A frame with `content` between two stations.
pub fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16, content: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), content].concat()
}

/// A question or an answer of ARP (RFC 826): 1 or 2.
pub fn arp(operation: u16, mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    packet.extend(mac);
    packet.extend(sender.octets());
    packet.extend([0; 6]);
    packet.extend(target.octets());
    packet
}

/// A message of ICMP.
pub fn icmp(kind: u8, code: u8, word: [u8; 4], rest: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], &word[..], rest].concat();
    let sum = checksum(&[&message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// A datagram between two ports.
pub fn datagram(
    (from, from_port): (Ipv4Addr, u16),
    (to, to_port): (Ipv4Addr, u16),
    content: &[u8],
) -> Vec<u8> {
    let len = u16::try_from(8 + content.len()).expect("a datagram");
    let words = [from_port, to_port, len, 0].map(u16::to_be_bytes);
    let mut datagram = [&words.concat()[..], content].concat();
    let sum = checksum(&[&pseudo_header(from, to, protocol::UDP, len), &datagram]);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

/// A segment of TCP (RFC 9293), with whole words of options and what may be wrong about it.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// Port of the sender.
    pub from_port: u16,
    /// Port of the receiver.
    pub to_port: u16,
    /// Number of its first byte.
    pub sequence: u32,
    /// Number of the byte that its sender waits for.
    pub acknowledgement: u32,
    /// Its flags ([`crate::wire::flag`]).
    pub flags: u8,
    /// Words of its header that it says there are, if they are not those that there are.
    pub offset: Option<u8>,
    /// Options.
    pub options: &'a [u8],
    /// Bytes.
    pub content: &'a [u8],
}

impl Tcp<'_> {
    /// The segment between two hosts.
    pub fn segment(&self, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
        let words = self.options.len() / 4;
        let mut segment = Vec::new();
        segment.extend(self.from_port.to_be_bytes());
        segment.extend(self.to_port.to_be_bytes());
        segment.extend(self.sequence.to_be_bytes());
        segment.extend(self.acknowledgement.to_be_bytes());
        let offset = self.offset.unwrap_or(5 + words as u8);
        segment.extend([offset << 4, self.flags, 0xFF, 0xFF, 0, 0, 0, 0]);
        segment.extend(&self.options[..words * 4]);
        segment.extend(self.content);
        let len = u16::try_from(segment.len()).expect("a segment");
        let sum = checksum(&[&pseudo_header(from, to, protocol::TCP, len), &segment]);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        segment
    }
}

pub(crate) fn pseudo_header(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, len: u16) -> Vec<u8> {
    let mut header = [from.octets(), to.octets()].concat();
    header.extend([0, protocol]);
    header.extend(len.to_be_bytes());
    header
}

/// The Internet checksum (RFC 1071) of parts of even length, except the last.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}
