//! ARP for IPv4 over Ethernet (RFC 826).

use super::ethernet::{self, Mac};
use super::{be16, put};
use crate::address::Address;

/// Length of a packet.
pub(crate) const LEN: usize = 28;
const FIXED: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Asks for a hardware address.
pub(crate) const REQUEST: u16 = 1;
/// Tells it.
pub(crate) const REPLY: u16 = 2;

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arp {
    pub(crate) operation: u16,
    pub(crate) sender_mac: Mac,
    pub(crate) sender: Address,
    pub(crate) target_mac: Mac,
    pub(crate) target: Address,
}

impl Arp {
    /// Reads a packet.
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        let packet: &[u8; LEN] = packet.first_chunk()?;
        if packet[..6] != FIXED {
            return None;
        }
        let [.., a, b, c, d] = *packet.first_chunk::<18>()?;
        let [.., e, f, g, h] = *packet;
        Some(Self {
            operation: be16!(packet, 6),
            sender_mac: *packet[8..14].first_chunk()?,
            sender: Address::v4([a, b, c, d]),
            target_mac: *packet[18..24].first_chunk()?,
            target: Address::v4([e, f, g, h]),
        })
    }

    /// Writes a whole frame to a hardware address.
    pub(crate) fn write(&self, frame: &mut [u8], to: Mac) {
        ethernet::write(frame, to, self.sender_mac, ethernet::ARP);
        put(frame, 14, &FIXED);
        put(frame, 20, &self.operation.to_be_bytes());
        put(frame, 22, &self.sender_mac);
        put(frame, 28, &self.sender.octets_v4());
        put(frame, 32, &self.target_mac);
        put(frame, 38, &self.target.octets_v4());
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Arp, REPLY};

    #[test]
    fn a_packet_comes_back_as_it_was_written() {
        let arp = Arp {
            operation: REPLY,
            sender_mac: [1, 2, 3, 4, 5, 6],
            sender: Address::v4([10, 0, 2, 15]),
            target_mac: [6, 5, 4, 3, 2, 1],
            target: Address::v4([10, 0, 2, 2]),
        };
        let mut frame = [0; 42];
        arp.write(&mut frame, arp.target_mac);
        assert_eq!(Arp::read(&frame[14..]), Some(arp));
        assert_eq!(Arp::read(&frame[14..41]), None);
        frame[14] = 9;
        assert_eq!(Arp::read(&frame[14..]), None);
    }
}
