//! IPv6 on the cable (RFC 8200): neighbours and routers (RFC 4861), echoes (RFC 4443), datagrams, segments; and datagrams to groups of IPv4.

use super::{GUEST, HEADER_BYTES, HOST, HOST_MAC, IPV4, Segment, Wire};
use crate::DEADLINE;
use crate::frame::checksum;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

/// The test's own address on the link; it is that of a router too.
pub const HOST_V6: Ipv6Addr = Ipv6Addr::new(0xFE80, 0, 0, 0, 0, 0, 0, 1);
/// The network that the test, as a router, tells of.
pub const NETWORK: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 0);

const IPV6: u16 = 0x86DD;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 58;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// The sum over an upper protocol's bytes and its pseudo header.
fn sum(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, bytes: &[u8]) -> u16 {
    let mut pseudo = [from.octets(), to.octets()].concat();
    pseudo.extend(u32::try_from(bytes.len()).expect("a packet").to_be_bytes());
    pseudo.extend([0, 0, 0, protocol]);
    checksum(&[&pseudo, bytes])
}

fn group_mac(group: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

impl Wire {
    /// The guest's address in a network (RFC 4291, appendix A).
    pub fn guest_v6(&self, network: Ipv6Addr) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.guest_mac;
        let id = u64::from_be_bytes([a ^ 2, b, c, 0xFF, 0xFE, d, e, f]);
        Ipv6Addr::from(u128::from(network) | u128::from(id))
    }

    /// The guest's address on the link.
    pub fn guest_on_link(&self) -> Ipv6Addr {
        self.guest_v6(Ipv6Addr::new(0xFE80, 0, 0, 0, 0, 0, 0, 0))
    }

    fn send_ipv6(&mut self, to: Ipv6Addr, protocol: u8, hop_limit: u8, mut content: Vec<u8>) {
        let at = match protocol {
            TCP => 16,
            UDP => 6,
            _ => 2,
        };
        content[at..at + 2].fill(0);
        let sum = sum(HOST_V6, to, protocol, &content);
        content[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(
            u16::try_from(content.len())
                .expect("a packet")
                .to_be_bytes(),
        );
        packet.extend([protocol, hop_limit]);
        packet.extend(HOST_V6.octets());
        packet.extend(to.octets());
        packet.extend(content);
        match to.is_multicast() {
            true => self.send_to(group_mac(to), IPV6, &packet),
            false => self.send_ethernet(IPV6, &packet),
        }
    }

    fn send_to(&mut self, mac: [u8; 6], kind: u16, content: &[u8]) {
        let guest = std::mem::replace(&mut self.guest_mac, mac);
        self.send_ethernet(kind, content);
        self.guest_mac = guest;
    }

    /// The content of the next frame if it is a packet of IPv6 and of `protocol`, with its addresses; answers who asks for the test's
    /// hardware address.
    fn receive_ipv6(&mut self, protocol: u8) -> Option<(Ipv6Addr, Ipv6Addr, Vec<u8>)> {
        let frame = self.receive();
        if frame.len() < HEADER_BYTES + 40 || frame[12..14] != IPV6.to_be_bytes() {
            self.answer(&frame);
            return None;
        }
        let packet = &frame[HEADER_BYTES..];
        let address = |at: usize| {
            let octets: [u8; 16] = packet[at..at + 16].try_into().expect("sixteen bytes");
            Ipv6Addr::from(octets)
        };
        let (from, to) = (address(8), address(24));
        let len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
        let content = packet[40..40 + len].to_vec();
        if packet[6] == ICMP {
            assert_eq!(
                sum(from, to, ICMP, &content),
                0,
                "the checksum of a message"
            );
            if content[0] == SOLICITATION && content[8..24] == HOST_V6.octets() {
                let mut message = vec![ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0];
                message.extend(HOST_V6.octets());
                message.extend([2, 1]);
                message.extend(HOST_MAC);
                self.send_ipv6(from, ICMP, 255, message);
            }
        }
        (packet[6] == protocol).then_some((from, to, content))
    }

    /// Answers a frame that is an ARP request for the test's address.
    fn answer(&mut self, frame: &[u8]) {
        if frame.len() >= HEADER_BYTES && frame[12..14] == super::ARP.to_be_bytes() {
            self.answer_arp(&frame[HEADER_BYTES..]);
        }
    }

    /// Tells of a network, as its router: once.
    pub fn advertise(&mut self) {
        let mut message = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, 64, 0, 7, 8];
        message.extend([0; 8]);
        message.extend([3, 4, 64, 0xC0]);
        message.extend([0, 0, 0x70, 0x80, 0, 0, 0x70, 0x80, 0, 0, 0, 0]);
        message.extend(NETWORK.octets());
        message.extend([1, 1]);
        message.extend(HOST_MAC);
        let all = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1);
        self.send_ipv6(all, ICMP, 255, message);
    }

    /// Says, as a router, that a server has addresses, and is that server (RFC 8415) until it has lent one.
    pub fn lend(&mut self, address: Ipv6Addr) {
        let all = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1);
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            let mut message = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, 64, 0x80, 7, 8];
            message.extend([0; 8]);
            self.send_ipv6(all, ICMP, 255, message);
            while self.has_frame() {
                let Some((from, to, datagram)) = self.receive_ipv6(UDP) else {
                    continue;
                };
                if datagram[2..4] != SERVER_PORT.to_be_bytes() {
                    continue;
                }
                assert_eq!(sum(from, to, UDP, &datagram), 0, "the checksum");
                let (kind, answer) = answer_of_server(&datagram[8..], address);
                self.send_ipv6(from, UDP, 64, answer);
                if kind == REPLY {
                    return;
                }
            }
        }
        panic!("nobody asks for {address}");
    }

    /// Sends echo requests to an address until one is answered; before each `again` is done.
    pub fn ping_v6(&mut self, to: Ipv6Addr, content: &[u8], again: impl Fn(&mut Self)) -> Vec<u8> {
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            again(self);
            let mut message = vec![ECHO_REQUEST, 0, 0, 0, 0x12, 0x34, 0, 9];
            message.extend(content);
            self.send_ipv6(to, ICMP, 64, message);
            while self.has_frame() {
                if let Some((from, _, reply)) = self.receive_ipv6(ICMP)
                    && reply[0] == ECHO_REPLY
                    && from == to
                {
                    assert_eq!(reply[4..8], [0x12, 0x34, 0, 9], "identifier and number");
                    return reply[8..].to_vec();
                }
            }
        }
        panic!("{to} does not answer");
    }

    /// Sends a segment to an address until one comes back: its sequence, acknowledgement and flags.
    pub fn connect_v6(&mut self, to: Ipv6Addr, segment: Segment<'_>) -> (u32, u32, u8) {
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            let mut bytes = Vec::new();
            bytes.extend(segment.host_port.to_be_bytes());
            bytes.extend(segment.guest_port.to_be_bytes());
            bytes.extend(segment.sequence.to_be_bytes());
            bytes.extend(segment.acknowledgement.to_be_bytes());
            bytes.extend([5 << 4, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
            bytes.extend(segment.content);
            self.send_ipv6(to, TCP, 64, bytes);
            while self.has_frame() {
                if let Some((from, host, bytes)) = self.receive_ipv6(TCP)
                    && from == to
                    && bytes[2..4] == segment.host_port.to_be_bytes()
                {
                    assert_eq!(sum(from, host, TCP, &bytes), 0, "the checksum of a segment");
                    let number = |at: usize| {
                        u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
                    };
                    return (number(4), number(8), bytes[13]);
                }
            }
        }
        panic!("port {} of {to} does not answer", segment.guest_port);
    }

    /// Waits for a frame to a hardware address that contains some bytes.
    pub fn wait_for(&mut self, mac: [u8; 6], bytes: &[u8]) {
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            if !self.has_frame() {
                continue;
            }
            let frame = self.receive();
            self.answer(&frame);
            if frame.starts_with(&mac) && frame.windows(bytes.len()).any(|part| part == bytes) {
                return;
            }
        }
        panic!("no frame to {mac:02x?} with {bytes:02x?}");
    }

    /// Sends a datagram to a group of IPv4 until one comes back to its port; what it says.
    pub fn call_group(&mut self, group: Ipv4Addr, port: u16, content: &[u8]) -> Vec<u8> {
        let [_, b, c, d] = group.octets();
        let mut packet = vec![0x45, 0];
        let len = u16::try_from(28 + content.len()).expect("a packet");
        packet.extend(len.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 1, UDP, 0, 0]);
        packet.extend(HOST.octets());
        packet.extend(group.octets());
        let header = checksum(&[&packet]);
        packet[10..12].copy_from_slice(&header.to_be_bytes());
        packet.extend(datagram(port, content));
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            self.send_to([1, 0, 0x5E, b & 0x7F, c, d], IPV4, &packet);
            while self.has_frame() {
                let reply = self.receive_ipv4(UDP);
                if let Some(reply) = reply.filter(|reply| reply[2..4] == OWN_PORT.to_be_bytes()) {
                    return reply[8..].to_vec();
                }
            }
        }
        panic!("nobody of {group} answers; {GUEST} should");
    }

    /// The same of IPv6.
    pub fn call_group_v6(&mut self, group: Ipv6Addr, port: u16, content: &[u8]) -> Vec<u8> {
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            self.send_ipv6(group, UDP, 1, datagram(port, content));
            while self.has_frame() {
                if let Some((from, to, reply)) = self.receive_ipv6(UDP)
                    && reply[2..4] == OWN_PORT.to_be_bytes()
                {
                    assert_eq!(sum(from, to, UDP, &reply), 0, "the checksum of a datagram");
                    return reply[8..].to_vec();
                }
            }
        }
        panic!("nobody of {group} answers");
    }
}

/// Ports of DHCPv6, and what a server says.
const SERVER_PORT: u16 = 547;
const CLIENT_PORT: u16 = 546;
const ADVERTISE: u8 = 2;
const REPLY: u8 = 7;

fn dhcp_option(code: u16, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).expect("an option");
    [&code.to_be_bytes()[..], &len.to_be_bytes(), body].concat()
}

/// The body of the first option of a kind.
fn body_of(mut options: &[u8], code: u16) -> &[u8] {
    loop {
        let (header, rest) = options.split_at(4);
        let (body, rest) = rest.split_at(usize::from(u16::from_be_bytes([header[2], header[3]])));
        if header[..2] == code.to_be_bytes() {
            return body;
        }
        options = rest;
    }
}

/// A server's answer to a question: its kind, and the datagram. What it lends is good for a minute and a half; it knows a name server and a domain.
fn answer_of_server(question: &[u8], address: Ipv6Addr) -> (u8, Vec<u8>) {
    let kind = if question[0] == 1 { ADVERTISE } else { REPLY };
    let lent = [&address.octets()[..], &[0, 0, 0, 60, 0, 0, 0, 90]].concat();
    let association = [
        &body_of(&question[4..], 3)[..4],
        &[0; 8],
        &dhcp_option(5, &lent),
    ]
    .concat();
    let message = [
        &[kind],
        &question[1..4],
        &dhcp_option(1, body_of(&question[4..], 1)),
        &dhcp_option(2, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1]),
        &dhcp_option(3, &association),
        &dhcp_option(7, &[255]),
        &dhcp_option(23, &HOST_V6.octets()),
        &dhcp_option(24, b"\x03lab\x07example\x00"),
    ]
    .concat();
    let len = u16::try_from(8 + message.len()).expect("a datagram");
    let ports = [SERVER_PORT, CLIENT_PORT, len, 0].map(u16::to_be_bytes);
    (kind, [ports.concat(), message].concat())
}

/// The port that datagrams are sent from.
const OWN_PORT: u16 = 4000;

/// A datagram without a checksum.
fn datagram(port: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(OWN_PORT.to_be_bytes());
    bytes.extend(port.to_be_bytes());
    bytes.extend(
        u16::try_from(8 + content.len())
            .expect("a datagram")
            .to_be_bytes(),
    );
    bytes.extend([0, 0]);
    bytes.extend(content);
    bytes
}
