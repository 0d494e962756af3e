//! What a received frame is about, as far as one must know to find who it is for (RFC 791, 768, 9293).
//!
//! Everything here comes from strangers: each field is checked before it is used, and what does not fit is dropped. Checksums of
//! IPv4, TCP and UDP are verified here unless the device has done it, so the stack behind need not.

use core::net::{Ipv4Addr, SocketAddrV4};

use super::checksum::Sum;
use crate::devices::network::{Frame, Medium};

/// Length of an Ethernet header.
pub(super) const ETHERNET_HEADER: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const IPV4_MIN_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const TCP_MIN_HEADER: usize = 20;
/// Protocol number of TCP.
pub(super) const PROTOCOL_TCP: u8 = 6;
/// Protocol number of UDP.
pub(super) const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMP: u8 = 1;

/// The two ends of a connection, from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FourTuple {
    /// Our end.
    pub local: SocketAddrV4,
    /// The peer's end.
    pub remote: SocketAddrV4,
}

/// What a TCP segment says that matters outside of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Sequence number of its first byte.
    pub(super) sequence: u32,
    /// The sequence number that its sender expects next; nothing without the flag.
    pub(super) acknowledgement: u32,
    /// How much its sender would take.
    pub(super) window: u16,
    /// Bytes of data.
    len_bytes: u16,
    flags: u8,
}

impl Segment {
    const FIN: u8 = 1 << 0;
    const SYN: u8 = 1 << 1;
    const RST: u8 = 1 << 2;
    const ACK: u8 = 1 << 4;

    /// Reads the header of a segment; none when its lengths lie.
    fn read(segment: &[u8]) -> Option<Self> {
        let header: &[u8; TCP_MIN_HEADER] = segment.first_chunk()?;
        let header_len = usize::from(header[12] >> 4) * 4;
        if header_len < TCP_MIN_HEADER {
            return None;
        }
        Some(Self {
            sequence: be32(header, 4),
            acknowledgement: be32(header, 8),
            window: be16(header, 14),
            len_bytes: segment.len().checked_sub(header_len)? as u16,
            flags: header[13],
        })
    }

    /// One that only acknowledges, for [`write_acknowledgement`].
    pub(super) fn acknowledging(sequence: u32, acknowledgement: u32, window: u16) -> Self {
        Self {
            sequence,
            acknowledgement,
            window,
            len_bytes: 0,
            flags: Self::ACK,
        }
    }

    /// A request for a new connection.
    pub(super) fn is_opening(&self) -> bool {
        self.flags & (Self::SYN | Self::RST | Self::ACK) == Self::SYN
    }

    /// A reset.
    pub(super) fn is_reset(&self) -> bool {
        self.flags & Self::RST != 0
    }

    /// The last of its sender, with an acknowledgement as any.
    pub(super) fn is_closing(&self) -> bool {
        self.flags & (Self::FIN | Self::SYN | Self::RST | Self::ACK) == Self::FIN | Self::ACK
    }

    /// It takes room in the sequence, so it wants to be acknowledged.
    pub(super) fn is_long(&self) -> bool {
        self.end() != self.sequence
    }

    /// The sequence number after it.
    pub(super) fn end(&self) -> u32 {
        let flags = (self.flags & Self::FIN) + (self.flags >> 1 & 1);
        self.sequence
            .wrapping_add(u32::from(self.len_bytes))
            .wrapping_add(u32::from(flags))
    }
}

/// Length of an IPv4 packet that [`write_acknowledgement`] writes.
pub(super) const ACKNOWLEDGEMENT: usize = IPV4_MIN_HEADER + TCP_MIN_HEADER;

/// Writes an IPv4 packet with a segment that is nothing but an acknowledgement, its checksum of TCP left out.
pub(super) fn write_acknowledgement(
    packet: &mut [u8; ACKNOWLEDGEMENT],
    from: SocketAddrV4,
    to: SocketAddrV4,
    segment: &Segment,
) {
    let (header, tcp) = packet.split_at_mut(IPV4_MIN_HEADER);
    header[..12].copy_from_slice(&[
        0x45,
        0,
        0,
        ACKNOWLEDGEMENT as u8,
        0,
        0,
        0x40, // Not to be taken apart.
        0,
        64,
        PROTOCOL_TCP,
        0,
        0,
    ]);
    header[12..16].copy_from_slice(&from.ip().octets());
    header[16..20].copy_from_slice(&to.ip().octets());
    let checksum = Sum::default().add(header).checksum();
    header[10..12].copy_from_slice(&checksum);
    tcp[..2].copy_from_slice(&from.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&to.port().to_be_bytes());
    tcp[4..8].copy_from_slice(&segment.sequence.to_be_bytes());
    tcp[8..12].copy_from_slice(&segment.acknowledgement.to_be_bytes());
    tcp[12..14].copy_from_slice(&[(TCP_MIN_HEADER as u8 / 4) << 4, Segment::ACK]);
    tcp[14..16].copy_from_slice(&segment.window.to_be_bytes());
    tcp[16..].fill(0);
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class<'a> {
    /// A TCP segment.
    Tcp(FourTuple, Segment),
    /// A UDP datagram and its payload.
    Udp(FourTuple, &'a [u8]),
    /// An ARP packet.
    Arp,
    /// Something else for the stack: ICMP.
    Other,
    /// Nothing for us, or damaged.
    Drop,
}

/// Sorts a frame.
pub(super) fn classify<'a>(frame: &Frame<'a>, medium: Medium) -> Class<'a> {
    let packet = match medium {
        Medium::Ip => frame.bytes,
        Medium::Ethernet => match frame.bytes.split_at_checked(ETHERNET_HEADER) {
            Some((header, packet)) if header[12..14] == ETHERTYPE_IPV4 => packet,
            Some((header, _)) if header[12..14] == ETHERTYPE_ARP => return Class::Arp,
            _ => return Class::Drop,
        },
    };
    classify_ipv4(packet, frame.is_verified).unwrap_or(Class::Drop)
}

fn classify_ipv4(packet: &[u8], is_verified: bool) -> Option<Class<'_>> {
    let fixed: &[u8; IPV4_MIN_HEADER] = packet.first_chunk()?;
    let header_len = usize::from(fixed[0] & 0x0F) * 4;
    let total_len = usize::from(be16(fixed, 2));
    if fixed[0] >> 4 != 4 || header_len < IPV4_MIN_HEADER {
        return None;
    }
    let (header, payload) = packet.get(..total_len)?.split_at_checked(header_len)?;
    if !is_verified && !Sum::default().add(header).is_right() {
        return None;
    }
    // Fragments are not put together: whoever sends to us finds the path's size (RFC 1191) or sends small datagrams.
    let is_fragment = be16(fixed, 6) & 0x3FFF != 0;
    let source = Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]);
    let destination = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
    if is_fragment || source.is_multicast() || source.is_broadcast() {
        return None;
    }
    let ends = |payload: &[u8]| FourTuple {
        local: SocketAddrV4::new(destination, be16(payload, 2)),
        remote: SocketAddrV4::new(source, be16(payload, 0)),
    };
    let is_right = |segment: &[u8]| {
        is_verified
            || Sum::pseudo_header(source, destination, fixed[9], segment.len() as u16)
                .add(segment)
                .is_right()
    };
    match fixed[9] {
        PROTOCOL_TCP => {
            if payload.len() < TCP_MIN_HEADER || source.is_unspecified() || !is_right(payload) {
                return None;
            }
            Some(Class::Tcp(ends(payload), Segment::read(payload)?))
        }
        PROTOCOL_UDP => {
            let len = usize::from(be16(payload.first_chunk::<UDP_HEADER>()?, 4));
            let datagram = payload.get(..len)?;
            let body = datagram.get(UDP_HEADER..)?;
            // A checksum of 0 means none.
            if datagram[6..8] != [0; 2] && !is_right(datagram) {
                return None;
            }
            Some(Class::Udp(ends(datagram), body))
        }
        PROTOCOL_ICMP if !source.is_unspecified() => Some(Class::Other),
        _ => None,
    }
}

/// The big-endian word at `at`, which the caller has checked to be there.
#[inline]
fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline]
fn be32(bytes: &[u8; TCP_MIN_HEADER], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::{Class, classify};
    use crate::devices::network::{Frame, Medium};
    use proptest::prelude::*;

    /// A UDP datagram "hi" from 10.0.2.2:53 to 10.0.2.15:1000 in an Ethernet frame that is padded to 60 bytes.
    fn datagram() -> Vec<u8> {
        let mut frame = vec![
            0x52, 0x54, 0, 0x12, 0x34, 0x56, 0x52, 0x55, 10, 0, 2, 2, 8, 0,
        ];
        frame.extend([
            0x45, 0, 0, 30, 0, 0, 0x40, 0, 64, 17, 0x22, 0xBB, 10, 0, 2, 2, 10, 0, 2, 15,
        ]);
        frame.extend([0, 53, 0x03, 0xE8, 0, 10, 0, 0, b'h', b'i']);
        frame.resize(60, 0);
        make_header_right(&mut frame);
        frame
    }

    fn make_header_right(frame: &mut [u8]) {
        frame[24..26].fill(0);
        let sum = super::Sum::default().add(&frame[14..34]).checksum();
        frame[24..26].copy_from_slice(&sum);
    }

    fn class(bytes: &[u8]) -> Class<'_> {
        classify(
            &Frame {
                bytes,
                is_verified: false,
            },
            Medium::Ethernet,
        )
    }

    #[test]
    fn a_datagram_is_found_without_its_padding() {
        let frame = datagram();
        let Class::Udp(tuple, payload) = class(&frame) else {
            panic!("not a datagram: {:?}", class(&frame));
        };
        assert_eq!(tuple.local.to_string(), "10.0.2.15:1000");
        assert_eq!(tuple.remote.to_string(), "10.0.2.2:53");
        assert_eq!(payload, b"hi");
    }

    #[test]
    fn lengths_that_lie_are_dropped() {
        for (at, value) in [(14, 0x4F), (14, 0x44), (16, 0x01), (38, 0x01), (39, 7)] {
            let mut frame = datagram();
            frame[at] = value;
            // The header's sum is made right again, so that only the lie is left.
            make_header_right(&mut frame);
            assert_eq!(class(&frame), Class::Drop, "byte {at} = {value:#x}");
        }
    }

    #[test]
    fn a_wrong_checksum_is_dropped_unless_the_device_vouches() {
        let mut frame = datagram();
        frame[24] ^= 1;
        assert_eq!(class(&frame), Class::Drop);
        let vouched = Frame {
            bytes: &frame,
            is_verified: true,
        };
        assert!(matches!(
            classify(&vouched, Medium::Ethernet),
            Class::Udp(..)
        ));
    }

    #[test]
    fn fragments_are_dropped() {
        let mut frame = datagram();
        frame[20] = 0x20;
        make_header_right(&mut frame);
        assert_eq!(class(&frame), Class::Drop);
    }

    proptest! {
        #[test]
        fn any_bytes_are_sorted_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), is_verified: bool) {
            classify(&Frame { bytes: &bytes, is_verified }, Medium::Ip);
            classify(&Frame { bytes: &bytes, is_verified }, Medium::Ethernet);
        }

        #[test]
        fn damaged_datagrams_are_sorted_without_a_panic(flips in proptest::collection::vec((0usize..60, any::<u8>()), 1..6), len in 0usize..60) {
            let mut frame = datagram();
            for (at, value) in flips {
                frame[at] = value;
            }
            classify(&Frame { bytes: &frame[..len], is_verified: true }, Medium::Ethernet);
        }
    }
}
