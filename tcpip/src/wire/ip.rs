//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, as one packet type.

use super::{be16, be32, protocol, put};
use crate::address::Address;
use crate::checksum::Sum;

/// Length of an IPv4 header without options.
pub(crate) const V4_HEADER: usize = 20;
/// Length of an IPv6 header without extensions.
pub(crate) const V6_HEADER: usize = 40;
/// Length of a fragment header of IPv6.
pub(crate) const V6_FRAGMENT: usize = 8;
/// Extension headers looked at.
const MAX_EXTENSIONS: usize = 8;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

/// What a packet says that is part of a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) id: u32,
    /// Where its payload begins in the whole, in bytes.
    pub(crate) offset: u16,
    pub(crate) has_more: bool,
}

/// An IP packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    /// What the payload is.
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    pub(crate) payload: &'a [u8],
    pub(crate) fragment: Option<Fragment>,
    /// The packet with its header, for messages that quote it.
    pub(crate) whole: &'a [u8],
    /// It came with options that ask routers to look at it.
    pub(crate) has_router_alert: bool,
}

/// Length of the header without options of an address's version.
pub(crate) fn header_len(is_v4: bool) -> usize {
    if is_v4 { V4_HEADER } else { V6_HEADER }
}

impl<'a> Packet<'a> {
    /// Reads a packet of either version. The header's checksum counts unless it `is_verified`.
    #[inline]
    pub(crate) fn read(bytes: &'a [u8], is_verified: bool) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::read_v4(bytes, is_verified),
            6 => Self::read_v6(bytes),
            _ => None,
        }
    }

    fn read_v4(bytes: &'a [u8], is_verified: bool) -> Option<Self> {
        let fixed: &[u8; V4_HEADER] = bytes.first_chunk()?;
        let header_len = usize::from(fixed[0] & 0x0F) * 4;
        if header_len < V4_HEADER {
            return None;
        }
        let whole = bytes.get(..usize::from(be16!(fixed, 2)))?;
        let (header, payload) = whole.split_at_checked(header_len)?;
        if !is_verified && !Sum::default().add(header).is_right() {
            return None;
        }
        let fragment = be16!(fixed, 6);
        let fragment = (fragment & !DONT_FRAGMENT != 0).then(|| Fragment {
            id: u32::from(be16!(fixed, 4)),
            offset: (fragment & 0x1FFF) << 3,
            has_more: fragment & MORE_FRAGMENTS != 0,
        });
        Some(Self {
            source: Address::v4([fixed[12], fixed[13], fixed[14], fixed[15]]),
            destination: Address::v4([fixed[16], fixed[17], fixed[18], fixed[19]]),
            protocol: fixed[9],
            hop_limit: fixed[8],
            payload,
            fragment,
            whole,
            has_router_alert: header_len > V4_HEADER,
        })
    }

    fn read_v6(bytes: &'a [u8]) -> Option<Self> {
        let fixed: &[u8; V6_HEADER] = bytes.first_chunk()?;
        let whole = bytes.get(..V6_HEADER + usize::from(be16!(fixed, 4)))?;
        let (source, destination) = fixed[8..].split_at(16);
        let mut packet = Self {
            source: Address::v6(*source.first_chunk()?),
            destination: Address::v6(*destination.first_chunk()?),
            protocol: fixed[6],
            hop_limit: fixed[7],
            payload: whole.get(V6_HEADER..)?,
            fragment: None,
            whole,
            has_router_alert: false,
        };
        // An IPv4 address in the guise of IPv6 would be taken for one of IPv4 (RFC 4942, section 2.2).
        if packet.source.is_v4() || packet.destination.is_v4() {
            return None;
        }
        packet.skip_extensions()?;
        Some(packet)
    }

    /// Goes over the extension headers of IPv6 to what they precede.
    fn skip_extensions(&mut self) -> Option<()> {
        for count in 0..MAX_EXTENSIONS {
            match self.protocol {
                protocol::HOP_BY_HOP if count != 0 => return None,
                protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS | protocol::ROUTING => {
                    let [next, len, _, left] = *self.payload.first_chunk()?;
                    let len = 8 + usize::from(len) * 8;
                    let header = self.payload.get(..len)?;
                    match self.protocol {
                        // Only what is at its goal is for us (RFC 5095 forbids type 0 altogether).
                        protocol::ROUTING if left != 0 => return None,
                        protocol::ROUTING => {}
                        _ => are_options_known(header.get(2..)?).then_some(())?,
                    }
                    self.has_router_alert |= self.protocol == protocol::HOP_BY_HOP;
                    self.protocol = next;
                    self.payload = self.payload.get(len..)?;
                }
                protocol::FRAGMENT => {
                    let header: &[u8; V6_FRAGMENT] = self.payload.first_chunk()?;
                    let place = be16!(header, 2);
                    self.protocol = header[0];
                    self.payload = self.payload.get(V6_FRAGMENT..)?;
                    // A single fragment that is the whole is none (RFC 6946).
                    if place & !6 != 0 {
                        self.fragment = Some(Fragment {
                            id: be32!(header, 4),
                            offset: place & !7,
                            has_more: place & 1 != 0,
                        });
                        return Some(());
                    }
                }
                _ => return Some(()),
            }
        }
        None
    }
}

/// Whether options of IPv6 are ones that may be passed over (RFC 8200, section 4.2).
fn are_options_known(mut options: &[u8]) -> bool {
    while let [kind, rest @ ..] = options {
        if *kind == 0 {
            options = rest;
            continue;
        }
        let Some((len, rest)) = rest.split_first() else {
            return false;
        };
        // Router alert (RFC 2711) is known, what begins with 00 may be skipped.
        if kind >> 6 != 0 && *kind != 5 {
            return false;
        }
        match rest.get(usize::from(*len)..) {
            Some(next) => options = next,
            None => return false,
        }
    }
    true
}

/// Writes an IP header without options; `len` is that of what follows.
pub(crate) fn write_header(
    packet: &mut [u8],
    source: Address,
    destination: Address,
    protocol: u8,
    hop_limit: u8,
    len: usize,
) {
    if source.is_v4() {
        let place = Fragment {
            id: 0,
            offset: 0,
            has_more: false,
        };
        write_v4(
            packet,
            source,
            destination,
            protocol,
            hop_limit,
            len,
            place,
            true,
        );
    } else {
        write_v6(packet, source, destination, protocol, hop_limit, len);
    }
}

/// Writes an IPv4 header; a packet of less than a whole must not be one that nobody may take apart.
#[expect(clippy::too_many_arguments, reason = "the fields of a header")]
pub(crate) fn write_v4(
    packet: &mut [u8],
    source: Address,
    destination: Address,
    protocol: u8,
    hop_limit: u8,
    len: usize,
    place: Fragment,
    is_whole: bool,
) {
    let total = (V4_HEADER + len) as u16;
    let flags = match (is_whole, place.has_more) {
        (true, _) => DONT_FRAGMENT,
        (false, true) => MORE_FRAGMENTS,
        (false, false) => 0,
    };
    let mut header = [0; V4_HEADER];
    header[0] = 0x45;
    put(&mut header, 2, &total.to_be_bytes());
    put(&mut header, 4, &(place.id as u16).to_be_bytes());
    put(&mut header, 6, &(flags | place.offset >> 3).to_be_bytes());
    header[8] = hop_limit;
    header[9] = protocol;
    put(&mut header, 12, &source.octets_v4());
    put(&mut header, 16, &destination.octets_v4());
    let checksum = Sum::default().add(&header).checksum();
    put(&mut header, 10, &checksum);
    put(packet, 0, &header);
}

/// Writes an IPv6 header.
pub(crate) fn write_v6(
    packet: &mut [u8],
    source: Address,
    destination: Address,
    protocol: u8,
    hop_limit: u8,
    len: usize,
) {
    put(packet, 0, &[0x60, 0, 0, 0]);
    put(packet, 4, &(len as u16).to_be_bytes());
    put(packet, 6, &[protocol, hop_limit]);
    put(packet, 8, &source.octets_v6());
    put(packet, 24, &destination.octets_v6());
}

/// Gives a packet whose header is written a class of traffic (RFC 2474); 0 is what it has.
#[inline]
pub(crate) fn mark(packet: &mut [u8], class: u8) {
    if class != 0 {
        mark_anew(packet, class);
    }
}

#[inline(never)]
fn mark_anew(packet: &mut [u8], class: u8) {
    match packet.first().map(|first| first >> 4) {
        Some(6) => put(packet, 0, &[0x60 | class >> 4, class << 4]),
        _ => {
            put(packet, 1, &[class]);
            put(packet, 10, &[0, 0]);
            let header = packet.get(..V4_HEADER).unwrap_or_default();
            let checksum = Sum::default().add(header).checksum();
            put(packet, 10, &checksum);
        }
    }
}

/// The class of traffic of a packet; 0 if there is no header.
pub(crate) fn traffic_class(packet: &[u8]) -> u8 {
    match packet {
        [first, second, ..] if first >> 4 == 6 => first << 4 | second >> 4,
        [_, second, ..] => *second,
        _ => 0,
    }
}

/// Writes a fragment header of IPv6.
pub(crate) fn write_v6_fragment(bytes: &mut [u8], protocol: u8, place: Fragment) {
    put(bytes, 0, &[protocol, 0]);
    let more = u16::from(place.has_more);
    put(bytes, 2, &(place.offset | more).to_be_bytes());
    put(bytes, 4, &place.id.to_be_bytes());
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests may fail so")]
mod tests {
    use super::{Address, Fragment, Packet, protocol, write_header, write_v4, write_v6_fragment};
    use proptest::prelude::*;

    const A: Address = Address::v4([10, 0, 2, 2]);
    const B: Address = Address::v4([10, 0, 2, 15]);
    fn six(last: u8) -> Address {
        Address::v6([0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last])
    }

    #[test]
    fn headers_come_back_as_they_were_written() {
        for (from, to, header) in [(A, B, 20), (six(1), six(2), 40)] {
            let mut bytes = vec![0; header + 5];
            write_header(&mut bytes, from, to, protocol::UDP, 63, 5);
            bytes.push(0xFF);
            let packet = Packet::read(&bytes, false).expect("right");
            assert_eq!((packet.source, packet.destination), (from, to));
            assert_eq!((packet.protocol, packet.hop_limit), (protocol::UDP, 63));
            assert_eq!((packet.payload.len(), packet.fragment), (5, None));
            assert!(
                Packet::read(&bytes[..header + 4], false).is_none(),
                "cut off"
            );
        }
    }

    #[test]
    fn a_wrong_header_checksum_is_refused_unless_vouched_for() {
        let mut bytes = [0; 20];
        write_header(&mut bytes, A, B, 6, 64, 0);
        bytes[8] ^= 1;
        assert!(Packet::read(&bytes, false).is_none());
        assert!(Packet::read(&bytes, true).is_some());
    }

    #[test]
    fn fragments_say_where_they_belong() {
        let place = Fragment {
            id: 77,
            offset: 1480,
            has_more: true,
        };
        let mut bytes = [0; 28];
        write_v4(&mut bytes, A, B, 17, 64, 8, place, false);
        assert_eq!(
            Packet::read(&bytes, false).and_then(|p| p.fragment),
            Some(place)
        );
        let mut bytes = [0; 56];
        write_header(&mut bytes, six(1), six(2), protocol::FRAGMENT, 64, 16);
        write_v6_fragment(&mut bytes[40..], 17, place);
        let packet = Packet::read(&bytes, false).expect("right");
        assert_eq!((packet.fragment, packet.protocol), (Some(place), 17));
    }

    #[test]
    fn extension_headers_are_passed_over_or_refused() {
        let with = |kind: u8, option: u8, left: u8| {
            let mut bytes = [0; 52];
            write_header(&mut bytes, six(1), six(2), kind, 64, 12);
            bytes[40..48].copy_from_slice(&[17, 0, option, left, 0, 0, 0, 0]);
            Packet::read(&bytes, false).map(|packet| (packet.protocol, packet.payload.len()))
        };
        assert_eq!(with(protocol::DESTINATION_OPTIONS, 1, 4), Some((17, 4)));
        assert_eq!(
            with(protocol::DESTINATION_OPTIONS, 0xC2, 4),
            None,
            "must be known"
        );
        assert_eq!(
            with(protocol::DESTINATION_OPTIONS, 1, 5),
            None,
            "longer than the header"
        );
        assert_eq!(with(protocol::HOP_BY_HOP, 5, 4), Some((17, 4)));
        assert_eq!(with(protocol::ROUTING, 0, 0), Some((17, 4)));
        assert_eq!(with(protocol::ROUTING, 0, 1), None, "still on its way");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 4u8..7) {
            if let Some(first) = bytes.first_mut() {
                *first = version << 4 | *first & 15;
            }
            let _ = Packet::read(&bytes, true);
            let _ = Packet::read(&bytes, false);
        }
    }
}
