//! Ethernet II headers (RFC 894, RFC 2464) and tags that tell a priority (IEEE 802.1Q).

use super::put;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// All stations.
pub(crate) const BROADCAST: Mac = [0xFF; 6];
/// Length of the header.
pub(crate) const HEADER: usize = 14;
/// The type of IPv4 packets.
pub(crate) const IPV4: [u8; 2] = [0x08, 0x00];
/// The type of ARP packets.
pub(crate) const ARP: [u8; 2] = [0x08, 0x06];
/// The type of IPv6 packets.
pub(crate) const IPV6: [u8; 2] = [0x86, 0xDD];

/// The type of a tag.
const TAG: [u8; 2] = [0x81, 0x00];
/// One within the other.
const MAX_TAGS: usize = 2;

/// What a frame is, and what is in it, of all that is behind its addresses; none if it ends before. A tag that names no virtual network
/// (IEEE 802.1Q, section 9.6: identifier 0) tells a priority alone, and what it is before is read as if it were not there, as
/// on Linux. All others are left as the frame's type: it is of a network that this station has no part in.
pub(crate) fn open(frame: &[u8]) -> Option<([u8; 2], &[u8])> {
    let (kind, mut packet) = frame.split_first_chunk()?;
    let mut kind = *kind;
    for _ in 0..MAX_TAGS {
        let [priority, 0, a, b, rest @ ..] = packet else {
            break;
        };
        if kind != TAG || priority & 0x0F != 0 {
            break;
        }
        (kind, packet) = ([*a, *b], rest);
    }
    Some((kind, packet))
}

/// Writes a header.
pub(crate) fn write(frame: &mut [u8], to: Mac, from: Mac, kind: [u8; 2]) {
    put(frame, 0, &to);
    put(frame, 6, &from);
    put(frame, 12, &kind);
}

/// Whether a frame is for the station of an address, or for many.
#[inline]
pub(crate) fn is_for(to: Mac, mac: Mac) -> bool {
    to[0] & 1 != 0 || to == mac
}

/// Whether a hardware address can be that of one station.
pub(crate) fn is_unicast(mac: Mac) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6]
}
