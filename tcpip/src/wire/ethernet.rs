//! Ethernet II headers (RFC 894, RFC 2464).

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

/// Writes a header.
pub(crate) fn write(frame: &mut [u8], to: Mac, from: Mac, kind: [u8; 2]) {
    put(frame, 0, &to);
    put(frame, 6, &from);
    put(frame, 12, &kind);
}

/// Whether a frame is for the station of an address, or for many.
#[inline]
pub(crate) fn is_for(header: &[u8; HEADER], mac: Mac) -> bool {
    header[0] & 1 != 0 || header.first_chunk() == Some(&mac)
}

/// Whether a hardware address can be that of one station.
pub(crate) fn is_unicast(mac: Mac) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6]
}
