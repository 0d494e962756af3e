//! A cable whose other end the test holds: Ethernet frames in and out, no privileges needed.
//!
//! QEMU's socket netdev carries each frame over TCP behind its length, a big-endian u32 (net/socket.c). The test
//! is one host with an address and no more of a protocol stack than is written here: ARP (RFC 826), IPv4 (RFC 791), ICMP
//! echo (RFC 792) and segments of TCP (RFC 9293); and IPv6 in [`six`].

mod six;

pub use six::{HOST_V6, NETWORK};

use crate::DEADLINE;
use crate::frame::{Ipv4, Tcp, checksum, pseudo_header};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// The test's own addresses, of IP and of Ethernet.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// See there.
pub const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The guest's address, which the test gives it.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const HEADER_BYTES: usize = 14;
const MAX_FRAME_BYTES: usize = 64 << 10;
/// How long an answer may take before it is asked for again.
const WHILE: Duration = Duration::from_millis(500);

/// The end of a cable that nothing is plugged into yet.
#[derive(Debug)]
pub struct Plug(TcpListener);

impl Plug {
    /// A new cable.
    #[expect(clippy::new_without_default, reason = "it opens a port")]
    pub fn new() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"))
    }

    /// The words for [`crate::Guest::cable`].
    pub fn netdev(&self) -> String {
        let port = self.0.local_addr().expect("an address").port();
        format!("socket,id=net0,connect=127.0.0.1:{port}")
    }

    /// Takes the end of the cable when a machine is plugged in, and learns its hardware address.
    pub fn wire(self) -> Wire {
        let (stream, _) = self.0.accept().expect("a machine at the cable");
        stream.set_nodelay(true).expect("a TCP stream");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        Wire {
            stream,
            guest_mac: [0xff; 6],
            tags: Vec::new(),
        }
    }
}

/// The end of a cable.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    guest_mac: [u8; 6],
    tags: Vec<u8>,
}

/// A segment of TCP, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the protocol")]
pub struct Segment<'a> {
    pub host_port: u16,
    pub guest_port: u16,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub flags: u8,
    pub content: &'a [u8],
}

/// Flags of a segment.
#[allow(missing_docs, reason = "the names are those of the protocol")]
pub mod flag {
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const PSH: u8 = 8;
    pub const ACK: u8 = 16;
}

impl Wire {
    /// Sends a frame as it is.
    pub fn send(&mut self, frame: &[u8]) {
        let len = u32::try_from(frame.len()).expect("a frame");
        self.stream
            .write_all(&len.to_be_bytes())
            .expect("a machine at the cable");
        self.stream
            .write_all(frame)
            .expect("a machine at the cable");
    }

    /// The next frame.
    pub fn receive(&mut self) -> Vec<u8> {
        let mut len = [0; 4];
        self.stream.read_exact(&mut len).expect("a frame");
        let len = u32::from_be_bytes(len) as usize;
        assert!(len <= MAX_FRAME_BYTES, "a frame of {len} bytes");
        let mut frame = vec![0; len];
        self.stream.read_exact(&mut frame).expect("a whole frame");
        frame
    }

    /// Asks for the guest's hardware address until it answers.
    pub fn find_guest(&mut self) {
        let mut request = vec![0, 1, 8, 0, 6, 4, 0, 1];
        request.extend(HOST_MAC);
        request.extend(HOST.octets());
        request.extend([0; 6]);
        request.extend(GUEST.octets());
        self.guest_mac = [0xff; 6];
        // The card or its driver may not be up at the first.
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            self.send_ethernet(ARP, &request);
            while self.has_frame() {
                let frame = self.receive();
                let is_reply = frame.len() >= 42
                    && frame[12..14] == ARP.to_be_bytes()
                    && frame[20..22] == [0, 2];
                if is_reply && frame[28..32] == GUEST.octets() {
                    self.guest_mac = frame[22..28].try_into().expect("six bytes");
                    return;
                }
            }
        }
        panic!("the guest does not answer ARP");
    }

    /// Sends echo requests until one is answered, as packets may be lost; returns what came back.
    pub fn ping(&mut self, sequence: u16, content: &[u8]) -> Vec<u8> {
        let mut message = vec![8, 0, 0, 0, 0x12, 0x34];
        message.extend(sequence.to_be_bytes());
        message.extend(content);
        let sum = checksum(&[&message]);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            self.send_ipv4(ICMP, &message);
            while self.has_frame() {
                let reply = self.receive_ipv4(ICMP).filter(|reply| {
                    reply.len() >= 8 && reply[0] == 0 && reply[6..8] == sequence.to_be_bytes()
                });
                if let Some(reply) = reply {
                    assert_eq!(checksum(&[&reply]), 0, "the checksum of the reply");
                    assert_eq!(reply[4..6], [0x12, 0x34], "the identifier of the reply");
                    return reply[8..].to_vec();
                }
            }
        }
        panic!("ping {sequence} is not answered");
    }

    /// Sends a segment.
    pub fn send_segment(&mut self, segment: Segment<'_>) {
        let segment = Tcp {
            from_port: segment.host_port,
            to_port: segment.guest_port,
            sequence: segment.sequence,
            acknowledgement: segment.acknowledgement,
            flags: segment.flags,
            offset: None,
            options: &[],
            content: segment.content,
        };
        self.send_ipv4(TCP, &segment.segment(HOST, GUEST));
    }

    /// Sends a segment until one comes back: its sequence, acknowledgement and flags.
    pub fn connect(&mut self, segment: Segment<'_>) -> (u32, u32, u8) {
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            self.send_segment(segment);
            while self.has_frame() {
                if let Some((theirs, acknowledged, flags, _)) = self.try_segment(segment.host_port)
                {
                    return (theirs, acknowledged, flags);
                }
            }
        }
        panic!("port {} does not answer", segment.guest_port);
    }

    /// The next segment to a port of the host, passing over all else: sequence, acknowledgement, flags, content.
    pub fn receive_segment(&mut self, host_port: u16) -> (u32, u32, u8, Vec<u8>) {
        loop {
            if let Some(segment) = self.try_segment(host_port) {
                return segment;
            }
        }
    }

    /// The next frame, if it is a segment to a port of the host.
    fn try_segment(&mut self, host_port: u16) -> Option<(u32, u32, u8, Vec<u8>)> {
        let bytes = self.receive_ipv4(TCP)?;
        if bytes.len() < 20 || bytes[2..4] != host_port.to_be_bytes() {
            return None;
        }
        let len = bytes.len() as u16;
        let sum = checksum(&[&pseudo_header(GUEST, HOST, TCP, len), &bytes]);
        assert_eq!(sum, 0, "the checksum of the segment");
        let number =
            |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let header_bytes = usize::from(bytes[12] >> 4) * 4;
        Some((
            number(4),
            number(8),
            bytes[13],
            bytes[header_bytes..].to_vec(),
        ))
    }

    /// The next datagram to a port, passing over all else; who asks for the test's hardware address is answered. Who sent it, from which port,
    /// and what it says.
    pub fn receive_datagram(&mut self, port: u16) -> (Ipv4Addr, u16, Vec<u8>) {
        loop {
            let frame = self.receive();
            if frame.len() < HEADER_BYTES + 28 {
                continue;
            }
            let (kind, packet) = (&frame[12..14], &frame[HEADER_BYTES..]);
            if kind == ARP.to_be_bytes() {
                self.answer_arp(packet);
            }
            let header_bytes = usize::from(packet[0] & 15) * 4;
            let len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            if kind != IPV4.to_be_bytes() || packet[9] != UDP || packet.len() < len {
                continue;
            }
            let from = Ipv4Addr::from([packet[12], packet[13], packet[14], packet[15]]);
            let datagram = &packet[header_bytes..len];
            if datagram[2..4] == port.to_be_bytes() {
                let from_port = u16::from_be_bytes([datagram[0], datagram[1]]);
                return (from, from_port, datagram[8..].to_vec());
            }
        }
    }

    /// Puts tags (IEEE 802.1Q) behind the addresses of what is sent to the guest from now on.
    pub fn tag(&mut self, tags: &[u8]) {
        self.tags = tags.to_vec();
    }

    /// Sends `content` to the guest in an Ethernet frame.
    pub fn send_ethernet(&mut self, kind: u16, content: &[u8]) {
        let mut frame = Vec::new();
        frame.extend(self.guest_mac);
        frame.extend(HOST_MAC);
        frame.extend(&self.tags);
        frame.extend(kind.to_be_bytes());
        frame.extend(content);
        self.send(&frame);
    }

    /// Sends a packet from the test's address.
    pub fn send_ipv4(&mut self, protocol: u8, content: &[u8]) {
        let packet = Ipv4::new(HOST, GUEST, protocol).packet(content);
        self.send_ethernet(IPV4, &packet);
    }

    /// Whether a frame is there, or comes in a while.
    fn has_frame(&self) -> bool {
        self.stream
            .set_read_timeout(Some(WHILE))
            .expect("a timeout");
        let is_there = self.stream.peek(&mut [0]).is_ok();
        self.stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a timeout");
        is_there
    }

    /// The content of the next frame if it is a packet of `protocol`; answers it if it is an ARP request.
    fn receive_ipv4(&mut self, protocol: u8) -> Option<Vec<u8>> {
        let frame = self.receive();
        if frame.len() < HEADER_BYTES + 20 {
            return None;
        }
        let (kind, content) = (&frame[12..14], &frame[HEADER_BYTES..]);
        if kind == ARP.to_be_bytes() {
            self.answer_arp(content);
        }
        let is_it = kind == IPV4.to_be_bytes()
            && content[9] == protocol
            && content[12..16] == GUEST.octets();
        is_it.then(|| {
            let header_bytes = usize::from(content[0] & 15) * 4;
            let len = usize::from(u16::from_be_bytes([content[2], content[3]]));
            assert_eq!(
                checksum(&[&content[..header_bytes]]),
                0,
                "the checksum of the packet"
            );
            content[header_bytes..len].to_vec()
        })
    }

    fn answer_arp(&mut self, request: &[u8]) {
        if request.len() >= 28 && request[6..8] == [0, 1] && request[24..28] == HOST.octets() {
            let mut reply = vec![0, 1, 8, 0, 6, 4, 0, 2];
            reply.extend(HOST_MAC);
            reply.extend(HOST.octets());
            reply.extend(&request[8..18]);
            self.send_ethernet(ARP, &reply);
        }
    }
}
