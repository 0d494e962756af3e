//! ICMP (RFC 792, RFC 1191) and ICMPv6 (RFC 4443): echo and errors, as far as hosts need them.

use super::{be16, be32, protocol, put};
use crate::address::Address;
use crate::checksum::Sum;
use crate::wire::ip::Packet;

/// Length of the fixed part of a message.
pub(crate) const HEADER: usize = 8;

/// What went wrong on the way, with the packet that it happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No way to the host.
    Unreachable,
    /// No way to the network.
    NoNetwork,
    /// Nobody is at the port, or the protocol is not known.
    Refused,
    /// A router may not pass it on.
    Prohibited,
    /// It is too long for a link; the largest packet that is not, 0 if the router does not say.
    TooBig(u32),
    /// It was passed on too often.
    Expired,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// Asks for an echo; the code, which says nothing but comes back, identifier and sequence number as they are, and the data.
    EchoRequest(u8, [u8; 4], &'a [u8]),
    /// The echo.
    EchoReply([u8; 4], &'a [u8]),
    /// An error about a packet of ours, of which the beginning is quoted.
    Failure(Failure, &'a [u8]),
    /// One of the others, of ICMPv6: neighbour discovery and multicast listeners. Type and body from its fifth byte on.
    Other(u8, &'a [u8]),
}

impl<'a> Message<'a> {
    /// Reads a packet's payload; none if it is damaged or not for hosts.
    pub(crate) fn read(packet: &Packet<'a>, is_verified: bool) -> Option<Self> {
        let bytes = packet.payload;
        let is_v4 = packet.source.is_v4();
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let start = match is_v4 {
            true => Sum::default(),
            false => Sum::pseudo_header(
                packet.source,
                packet.destination,
                protocol::ICMP_V6,
                bytes.len(),
            ),
        };
        // Devices vouch for TCP and UDP; this is short and rare.
        let _ = is_verified;
        if !start.add(bytes).is_right() {
            return None;
        }
        let id = [header[4], header[5], header[6], header[7]];
        Some(match (is_v4, header[0], header[1]) {
            (true, 8, code) | (false, 128, code) => Self::EchoRequest(code, id, rest),
            (true, 0, 0) | (false, 129, 0) => Self::EchoReply(id, rest),
            (true, 3, 4) => Self::Failure(Failure::TooBig(u32::from(be16!(header, 6))), rest),
            (true, 3, 2 | 3) | (false, 1, 4) | (false, 4, 1) => {
                Self::Failure(Failure::Refused, rest)
            }
            (true, 3, 9 | 10 | 13) | (false, 1, 1 | 5 | 6) => {
                Self::Failure(Failure::Prohibited, rest)
            }
            (true, 3, 0 | 6 | 11) | (false, 1, 0) => Self::Failure(Failure::NoNetwork, rest),
            (true, 3, _) | (false, 1, _) => Self::Failure(Failure::Unreachable, rest),
            (true, 11, _) | (false, 3, _) => Self::Failure(Failure::Expired, rest),
            (false, 2, _) => Self::Failure(Failure::TooBig(be32!(header, 4)), rest),
            (false, kind @ 130..=143, 0) => Self::Other(kind, bytes.get(4..)?),
            _ => return None,
        })
    }
}

/// Type and code of a message.
pub(crate) fn kind(packet: &Packet<'_>) -> (u8, u8) {
    match packet.payload {
        [kind, code, ..] => (*kind, *code),
        _ => (0, 0),
    }
}

/// What an error message quotes of a packet of ours, as far as it matters: addresses, protocol, ports and the word behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quote<'a> {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) protocol: u8,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// The sequence number, if it is TCP.
    pub(crate) sequence: u32,
    /// What is behind that: the payload, if it is UDP.
    pub(crate) payload: &'a [u8],
    /// All of it, from the ports on.
    pub(crate) whole: &'a [u8],
}

impl<'a> Quote<'a> {
    /// Reads the beginning of a packet; its end may be missing.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (source, destination, protocol, rest) = match bytes.first()? >> 4 {
            4 => {
                let fixed: &[u8; 20] = bytes.first_chunk()?;
                let rest = bytes.get(usize::from(fixed[0] & 15) * 4..)?;
                // Only the first fragment has ports.
                (be16!(fixed, 6) & 0x1FFF == 0).then_some(())?;
                (
                    Address::v4([fixed[12], fixed[13], fixed[14], fixed[15]]),
                    Address::v4([fixed[16], fixed[17], fixed[18], fixed[19]]),
                    fixed[9],
                    rest,
                )
            }
            6 => {
                let fixed: &[u8; 40] = bytes.first_chunk()?;
                let (source, destination) = fixed[8..].split_at(16);
                (
                    Address::v6(*source.first_chunk()?),
                    Address::v6(*destination.first_chunk()?),
                    fixed[6],
                    bytes.get(40..)?,
                )
            }
            _ => return None,
        };
        let (ports, payload) = rest.split_first_chunk::<8>()?;
        Some(Self {
            source,
            destination,
            protocol,
            source_port: be16!(ports, 0),
            destination_port: be16!(ports, 2),
            sequence: be32!(ports, 4),
            payload,
            whole: rest,
        })
    }
}

/// Types of messages that are written here, for IPv4 and IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    EchoRequest,
    /// With the code of what it answers.
    EchoReply(u8),
    PortUnreachable,
    ProtocolUnreachable,
}

impl Kind {
    fn code(self, is_v4: bool) -> [u8; 2] {
        match (self, is_v4) {
            (Self::EchoRequest, true) => [8, 0],
            (Self::EchoRequest, false) => [128, 0],
            (Self::EchoReply(code), true) => [0, code],
            (Self::EchoReply(code), false) => [129, code],
            (Self::PortUnreachable, true) => [3, 3],
            (Self::PortUnreachable, false) => [1, 4],
            (Self::ProtocolUnreachable, true) => [3, 2],
            // Unrecognised next header.
            (Self::ProtocolUnreachable, false) => [4, 1],
        }
    }
}

/// Writes a message: its type, the word behind the checksum, and the rest.
pub(crate) fn write(
    bytes: &mut [u8],
    source: Address,
    destination: Address,
    kind: Kind,
    word: [u8; 4],
    rest: &[u8],
) {
    put(bytes, 0, &kind.code(source.is_v4()));
    put(bytes, 2, &[0, 0]);
    put(bytes, 4, &word);
    put(bytes, HEADER, rest);
    finish(bytes, source, destination);
}

/// Puts the checksum of a message in its place.
pub(crate) fn finish(bytes: &mut [u8], source: Address, destination: Address) {
    let start = match source.is_v4() {
        true => Sum::default(),
        false => Sum::pseudo_header(source, destination, protocol::ICMP_V6, bytes.len()),
    };
    let checksum = start.add(bytes).checksum();
    put(bytes, 2, &checksum);
}
