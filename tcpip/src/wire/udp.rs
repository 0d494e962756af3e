//! UDP headers (RFC 768).

use super::{be16, protocol, put};
use crate::address::Address;
use crate::checksum::Sum;
use crate::wire::ip::Packet;

/// Length of the header.
pub(crate) const HEADER: usize = 8;

/// A datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads the payload of a packet; none when its length lies or its checksum is wrong.
    pub(crate) fn read(packet: &Packet<'a>, is_verified: bool) -> Option<Self> {
        let header: &[u8; HEADER] = packet.payload.first_chunk()?;
        let datagram = packet.payload.get(..usize::from(be16!(header, 4)))?;
        let payload = datagram.get(HEADER..)?;
        match be16!(header, 6) {
            // 0 means none, which only IPv4 allows (RFC 8200, section 8.1).
            0 if !packet.source.is_v4() => return None,
            0 => {}
            _ if is_verified => {}
            _ => {
                let len = datagram.len();
                Sum::pseudo_header(packet.source, packet.destination, protocol::UDP, len)
                    .add(datagram)
                    .is_right()
                    .then_some(())?;
            }
        }
        Some(Self {
            source_port: be16!(header, 0),
            destination_port: be16!(header, 2),
            payload,
        })
    }
}

/// Writes header and payload, with the checksum; `bytes` has room for exactly these.
pub(crate) fn write(
    bytes: &mut [u8],
    (source, source_port): (Address, u16),
    (destination, destination_port): (Address, u16),
    payload: &[u8],
) {
    let len = HEADER + payload.len();
    put(bytes, 0, &source_port.to_be_bytes());
    put(bytes, 2, &destination_port.to_be_bytes());
    put(bytes, 4, &(len as u16).to_be_bytes());
    put(bytes, 6, &[0, 0]);
    put(bytes, HEADER, payload);
    let checksum = Sum::pseudo_header(source, destination, protocol::UDP, len)
        .add(bytes)
        .checksum();
    // 0 would mean that there is none.
    put(
        bytes,
        6,
        &if checksum == [0; 2] {
            [0xFF; 2]
        } else {
            checksum
        },
    );
}
