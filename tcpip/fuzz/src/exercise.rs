//! What is done with an input: it says what a stranger sends to a host, what the programs of that host do meanwhile, and how time
//! passes. Nothing may panic or grow, and in the end all that was made is gone.
//!
//! An input is a byte that says how the host is set up, then steps: a byte for the kind, and what that kind needs. Lengths and
//! checksums are right unless the input spoils them, so that what it says gets deep. What depends on what the host has said before
//! (numbers of sequences and of DHCP, quoted packets) is taken from there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tcpip::{Limits, Manner, Settings};

use crate::world::{A, ANY, B, Host, LIMITS, MAC_A, MAC_B, host};

const STEPS_MAX: usize = 128;
const PORT: u16 = 80;
const BOUND: u16 = 53;
/// Addresses that a host may make of what routers tell.
const ADDRESSES_MAX: usize = 40;

const ARP: u16 = 0x0806;
const V4: u16 = 0x0800;
const V6: u16 = 0x86DD;
const ICMP: u8 = 1;
const IGMP: u8 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP_V6: u8 = 58;

const SYN: u8 = 2;
const FIN: u8 = 1;

/// The input, byte for byte; zeros after its end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn word(&mut self) -> u32 {
        u32::from(self.short()) << 16 | u32::from(self.short())
    }

    /// As many bytes as the next one says, up to a limit, as far as there are any.
    fn bytes(&mut self, limit: usize) -> &'a [u8] {
        let len = usize::from(self.byte()) % (limit + 1);
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }
}

/// The last segment that the host has sent.
#[derive(Clone, Copy)]
struct Heard {
    is_v4: bool,
    host_port: u16,
    port: u16,
    /// The number after its last.
    seq: u32,
    ack: u32,
}

struct Run {
    host: Host,
    now: u64,
    link_local: [u8; 16],
    /// Connections that programs hold, and groups that they have joined.
    held: Vec<u32>,
    groups: Vec<IpAddr>,
    heard: Heard,
    dhcp_id: [u8; 4],
    dhcp6_id: [u8; 3],
    /// The last packet that was sent, with its header.
    sent: Vec<u8>,
}

/// Runs one input.
pub(crate) fn exercise(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut run = Run::new(input.byte());
    for _ in 0..STEPS_MAX {
        if input.0.is_empty() {
            break;
        }
        run.step(&mut input);
        run.look();
        run.judge();
    }
    run.end();
}

fn octets_v4(ip: IpAddr) -> [u8; 4] {
    match ip {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => [0; 4],
    }
}

const PEER_V6: [u8; 16] = [0xFE, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES: [u8; 16] = [0xFF, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xFF15, 0, 0, 0, 0, 0, 0, 0x77);

/// The Internet checksum (RFC 1071) of parts, all of even length but the last.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0u32;
    for two in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(two[0]) << 8 | two.get(1).map_or(0, |low| u32::from(*low));
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

impl Run {
    fn new(setup: u8) -> Self {
        let mut host = host(MAC_B, LIMITS, [1500, 1280][usize::from(setup >> 5 & 1)]);
        let mut now = 1_000_000;
        let is_by_dhcp = setup & 1 != 0;
        if is_by_dhcp {
            host.set_awaiting(true);
            host.start_dhcp(now);
        } else {
            host.add_address(B, 24, now);
            if setup & 4 != 0 {
                host.add_route(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0, Some(A));
            }
        }
        if setup & 2 != 0 {
            host.start_ipv6(now);
        }
        if setup & 8 != 0 {
            now += 2_000_000;
            host.run_timers(now);
        }
        host.sockets.listening.push(PORT);
        host.sockets.bound.extend([BOUND, 0xC001]);
        host.sockets.backlog = 4;
        let [a, b, c, d, e, f] = MAC_B;
        let mut link_local = PEER_V6;
        link_local[8..].copy_from_slice(&[a ^ 2, b, c, 0xFF, 0xFE, d, e, f]);
        let mut run = Self {
            host,
            now,
            link_local,
            held: Vec::new(),
            groups: Vec::new(),
            heard: Heard {
                is_v4: true,
                host_port: PORT,
                port: 1000,
                seq: 0,
                ack: 0,
            },
            dhcp_id: [0; 4],
            dhcp6_id: [0; 3],
            sent: Vec::new(),
        };
        run.look();
        if setup & 16 == 0 {
            // The host knows who it will talk to.
            run.arp(1, MAC_A, octets_v4(A), octets_v4(B));
            run.look();
        }
        run
    }

    /// Takes what the host has sent.
    fn look(&mut self) {
        while let Some(frame) = self.host.device.frames.pop_front() {
            let Some((header, packet)) = frame.split_first_chunk::<14>() else {
                panic!("a frame without a header");
            };
            let (is_v4, start) = match u16::from_be_bytes([header[12], header[13]]) {
                V4 => (true, usize::from(packet[0] & 15) * 4),
                V6 => (false, 40),
                _ => continue,
            };
            self.sent = packet.to_vec();
            let protocol = if is_v4 { packet[9] } else { packet[6] };
            let len = match is_v4 {
                true => usize::from(u16::from_be_bytes([packet[2], packet[3]])),
                false => 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]])),
            };
            assert_eq!(len, packet.len(), "a packet is as long as it says");
            let body = &packet[start..];
            let short = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
            let word = |at: usize| u32::from(short(at)) << 16 | u32::from(short(at + 2));
            match protocol {
                TCP => {
                    let header = usize::from(body[12] >> 4) * 4;
                    let ends = u32::from(body[13] & SYN != 0) + u32::from(body[13] & FIN != 0);
                    self.heard = Heard {
                        is_v4,
                        host_port: short(0),
                        port: short(2),
                        seq: word(4).wrapping_add((body.len() - header) as u32 + ends),
                        ack: word(8),
                    };
                }
                UDP if is_v4 && packet[6] & 0x3F == 0 && packet[7] == 0 && short(2) == 67 => {
                    self.dhcp_id.copy_from_slice(&body[12..16]);
                }
                UDP if !is_v4 && short(2) == 547 => {
                    self.dhcp6_id.copy_from_slice(&body[9..12]);
                }
                _ => {}
            }
        }
    }

    fn judge(&self) {
        let [
            connections,
            slots,
            tuples,
            orphans,
            timers,
            half_open,
            bytes,
        ] = self.host.census();
        assert!(connections <= LIMITS.connections && slots <= LIMITS.connections);
        assert!(tuples <= slots && orphans <= LIMITS.orphans && half_open <= LIMITS.half_open);
        assert!(timers <= connections + 10);
        assert!(bytes <= LIMITS.buffer_bytes + 2 * connections * Limits::ASSURED_BYTES);
        assert!(self.host.time_wait() <= LIMITS.time_wait);
        assert!(self.host.addresses().count() <= ADDRESSES_MAX);
    }

    /// Everybody goes; after five minutes nothing is left.
    fn end(&mut self) {
        for slot in self.held.drain(..) {
            self.host.release(slot, false, self.now);
        }
        self.host.stop_dhcp();
        for _ in 0..300 {
            for (slot, _) in std::mem::take(&mut self.host.sockets.accepted) {
                self.host.release(slot, false, self.now);
            }
            self.host.device.frames.clear();
            self.now += 1_000_000;
            self.host.run_timers(self.now);
        }
        let [connections, _, tuples, orphans, _, half_open, bytes] = self.host.census();
        let left = [
            connections,
            tuples,
            orphans,
            half_open,
            bytes,
            self.host.time_wait(),
        ];
        assert_eq!(left, [0; 6], "all of it ends");
    }

    fn send(&mut self, kind: u16, content: &[u8], is_verified: bool) {
        let mut frame = [&MAC_B[..], &MAC_A].concat();
        frame.extend(kind.to_be_bytes());
        frame.extend(content);
        self.host.receive(&frame, is_verified, self.now);
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 12 {
            0 => {
                let kind = input.choose(&[V4, V6, ARP, 0]);
                let is_verified = input.byte() & 1 != 0;
                let content = input.bytes(200);
                self.send(kind, content, is_verified);
            }
            1 => self.packet_v4(input),
            2 => self.packet_v6(input),
            3 | 4 => self.segment(input),
            5 => {
                self.now += 1 << (input.byte() % 28);
                self.host.run_timers(self.now);
            }
            6 | 7 => self.program(input),
            8 => {
                let operation = u16::from(input.byte() % 4);
                let mac = input.choose(&[MAC_A, MAC_B, [0xFF; 6], [2, 0, 0, 0, 0, 9], [0; 6]]);
                let (sender, target) = (self.address_v4(input), self.address_v4(input));
                self.arp(operation, mac, sender, target);
            }
            9 => self.mirror(input),
            10 => self.dhcp(input),
            _ => self.failure(input),
        }
    }

    fn arp(&mut self, operation: u16, mac: [u8; 6], sender: [u8; 4], target: [u8; 4]) {
        let mut packet = vec![0, 1, 8, 0, 6, 4];
        packet.extend(operation.to_be_bytes());
        packet.extend(mac);
        packet.extend(sender);
        packet.extend([0; 6]);
        packet.extend(target);
        self.send(ARP, &packet, false);
    }

    fn address_v4(&self, input: &mut Input<'_>) -> [u8; 4] {
        match input.byte() % 12 {
            0..3 => octets_v4(A),
            3..6 => octets_v4(B),
            6 => [255; 4],
            7 => [10, 0, 2, 255],
            8 => [224, 0, 0, 1],
            9 => GROUP_V4.octets(),
            10 => [10, 0, 2, input.byte()],
            _ => input.word().to_be_bytes(),
        }
    }

    fn address_v6(&self, input: &mut Input<'_>) -> [u8; 16] {
        match input.byte() % 10 {
            0..3 => PEER_V6,
            3..6 => self.link_local,
            6 => ALL_NODES,
            7 => GROUP_V6.octets(),
            8 => {
                // One of those that the host has made of what routers told.
                let all: Vec<IpAddr> = self.host.addresses().map(|(ip, _)| ip).collect();
                match all.get(usize::from(input.byte()) % all.len().max(1)) {
                    Some(IpAddr::V6(ip)) => ip.octets(),
                    _ => [0; 16],
                }
            }
            _ => {
                let mut octets = [0; 16];
                octets[..2].copy_from_slice(&input.short().to_be_bytes());
                octets[15] = input.byte();
                octets
            }
        }
    }

    /// A packet of IPv4 with right sums, unless its bytes are spoilt.
    fn v4(&mut self, from: [u8; 4], to: [u8; 4], protocol: u8, body: &[u8]) {
        self.v4_with(from, to, protocol, body, &[], 0, 0, 0);
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of a header")]
    fn v4_with(
        &mut self,
        from: [u8; 4],
        to: [u8; 4],
        protocol: u8,
        body: &[u8],
        options: &[u8],
        id: u16,
        fragment: u16,
        lie: i8,
    ) {
        let words = options.len() / 4;
        let header = 20 + words * 4;
        let total = ((header + body.len()) as u16).wrapping_add_signed(i16::from(lie));
        let mut packet = vec![0x45 + words as u8, 0];
        packet.extend(total.to_be_bytes());
        packet.extend(id.to_be_bytes());
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, protocol, 0, 0]);
        packet.extend(from);
        packet.extend(to);
        packet.extend(&options[..words * 4]);
        let sum = checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum);
        packet.extend(body);
        self.send(V4, &packet, true);
    }

    fn packet_v4(&mut self, input: &mut Input<'_>) {
        let (from, to) = (self.address_v4(input), self.address_v4(input));
        let kinds = [ICMP, IGMP, TCP, UDP, 41];
        let protocol = input.choose(&kinds);
        let shape = input.byte();
        let options = if shape & 1 != 0 { input.bytes(40) } else { &[] };
        let id = u16::from(shape >> 6);
        let fragment = match shape & 6 {
            2 => input.short(),
            // Parts that fit together.
            4 => 0x2000,
            6 => 1,
            _ => 0,
        };
        let lie = if shape & 8 != 0 {
            input.byte() as i8
        } else {
            0
        };
        let mut body = self.body(input, protocol);
        if matches!(protocol, ICMP | IGMP) && body.len() >= 4 {
            body[2..4].fill(0);
            let sum = checksum(&[&body]);
            body[2..4].copy_from_slice(&sum);
        }
        self.v4_with(from, to, protocol, &body, options, id, fragment, lie);
    }

    /// What a packet has in it: bytes of the input, behind a header of datagrams that is right if the input wants it.
    fn body(&mut self, input: &mut Input<'_>, protocol: u8) -> Vec<u8> {
        let is_long = input.byte() & 1 != 0;
        let mut body = input.bytes(120).to_vec();
        if is_long {
            body.resize(body.len() + usize::from(input.byte()) * 6, 0x55);
        }
        if protocol == UDP && input.byte() & 1 == 0 {
            let to = input.choose(&[BOUND, 68, 9, 0xC001]);
            let len = (8 + body.len()) as u16;
            let ports = [
                u16::to_be_bytes(BOUND),
                to.to_be_bytes(),
                len.to_be_bytes(),
                [0; 2],
            ];
            body.splice(0..0, ports.concat());
        }
        body
    }

    fn v6(&mut self, from: [u8; 16], to: [u8; 16], hops: u8, next: u8, body: &[u8], lie: i8) {
        let len = (body.len() as u16).wrapping_add_signed(i16::from(lie));
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(len.to_be_bytes());
        packet.extend([next, hops]);
        packet.extend(from);
        packet.extend(to);
        packet.extend(body);
        self.send(V6, &packet, true);
    }

    fn packet_v6(&mut self, input: &mut Input<'_>) {
        let (from, to) = (self.address_v6(input), self.address_v6(input));
        let shape = input.byte();
        let hops = if shape & 1 == 0 { 255 } else { 1 };
        let lie = if shape & 2 != 0 {
            input.byte() as i8
        } else {
            0
        };
        let mut protocol = input.choose(&[ICMP_V6, ICMP_V6, UDP, TCP, 59, 7]);
        let mut body = match protocol {
            // Those that hosts listen to.
            ICMP_V6 => {
                let kind = 128 + input.byte() % 16;
                let mut body = vec![kind, 0, 0, 0];
                if matches!(kind, 135 | 136) {
                    body.extend([input.byte(), 0, 0, 0]);
                    let target = self.address_v6(input);
                    body.extend(target);
                }
                body.extend(input.bytes(120));
                let len = (body.len() as u32).to_be_bytes();
                let sum = checksum(&[&from, &to, &len, &[0, 0, 0, ICMP_V6], &body]);
                body[2..4].copy_from_slice(&sum);
                body
            }
            _ => self.body(input, protocol),
        };
        for _ in 0..shape >> 2 & 3 {
            let kind = input.choose(&[0, 60, 43, 44]);
            let mut header = vec![protocol, 0, 0, 0, 0, 0, 0, 0];
            if kind == 44 {
                let place = input.choose(&[1, 0, 8, 0xFFF8]) | (input.short() % 4);
                header[2..4].copy_from_slice(&place.to_be_bytes());
                header[7] = input.byte() % 4;
            } else {
                let rest = input.bytes(30);
                header.truncate(2);
                header.extend(rest);
                header.resize(header.len().next_multiple_of(8), 0);
                header[1] = (header.len() / 8 - 1) as u8;
            }
            protocol = kind;
            body.splice(0..0, header);
        }
        self.v6(from, to, hops, protocol, &body, lie);
    }

    /// A segment that belongs to what the host has said last, more or less.
    fn segment(&mut self, input: &mut Input<'_>) {
        let heard = self.heard;
        let flags = input.byte();
        let shape = input.byte();
        let near = |input: &mut Input<'_>, number: u32, how: u8| match how & 3 {
            0 => number,
            1 => number.wrapping_add_signed(i32::from(input.byte() as i8)),
            2 => number.wrapping_add_signed(i32::from(input.short() as i16)),
            _ => number.wrapping_add(input.word()),
        };
        let (mut seq, mut ack) = (
            near(input, heard.ack, shape),
            near(input, heard.seq, shape >> 2),
        );
        let (mut port, mut host_port) = (heard.port, heard.host_port);
        if shape & 16 != 0 {
            // Somebody else.
            (port, host_port) = (1000 + u16::from(input.byte() % 16), PORT);
            (seq, ack) = (u32::from(port) << 16, 0);
        }
        let window = if shape & 32 != 0 { input.short() } else { 4096 };
        let options = if shape & 64 != 0 {
            input.bytes(40)
        } else {
            &[]
        };
        let payload = match shape & 128 {
            0 => 0,
            _ => usize::from(input.byte()) * 6,
        };
        let mut header = Vec::new();
        header.extend(port.to_be_bytes());
        header.extend(host_port.to_be_bytes());
        header.extend(seq.to_be_bytes());
        header.extend(ack.to_be_bytes());
        let words = options.len() / 4;
        header.extend([(5 + words as u8) << 4, flags]);
        header.extend(window.to_be_bytes());
        header.extend([0; 4]);
        header.extend(&options[..words * 4]);
        header.resize(header.len() + payload, 0x77);
        match heard.is_v4 {
            true => self.v4(octets_v4(A), octets_v4(B), TCP, &header),
            false => self.v6(PEER_V6, self.link_local, 64, TCP, &header, 0),
        }
    }

    /// What programs of the host do.
    fn program(&mut self, input: &mut Input<'_>) {
        let what = input.byte() % 12;
        if let Some((slot, _)) = self.host.sockets.accepted.pop_front() {
            self.held.push(slot);
        }
        let count = self.held.len();
        let place = usize::from(input.byte()) % count.max(1);
        let slot = self.held.get(place).copied();
        let far = SocketAddr::from((PEER_V6, PORT));
        match (what, slot) {
            (0, Some(slot)) => {
                let _ = self
                    .host
                    .read(slot, &mut [0; 500], input.byte() & 1 != 0, self.now);
            }
            (1, Some(slot)) => {
                let bytes = vec![0x33; usize::from(input.short()) % 40_000];
                let _ = self.host.write(slot, &bytes, self.now);
            }
            (2, Some(slot)) => self.host.shutdown(slot, self.now),
            (3, Some(slot)) => {
                self.held.swap_remove(place);
                self.host.release(slot, input.byte() & 1 != 0, self.now);
            }
            (4, Some(slot)) => {
                if let Some(mut settings) = self.host.settings(slot) {
                    settings.is_nodelay ^= true;
                    self.host.configure(slot, settings, self.now);
                }
            }
            (5, _) => {
                let to = [SocketAddr::new(A, PORT), far][usize::from(input.byte() & 1)];
                let any = match to {
                    SocketAddr::V4(_) => ANY,
                    SocketAddr::V6(_) => SocketAddr::from(([0u16; 8], 0)),
                };
                let settings = Settings::default();
                if let Ok(slot) = self.host.connect((), any, to, settings, self.now) {
                    self.held.push(slot);
                }
            }
            (6, _) => {
                let bytes = vec![0x44; usize::from(input.short()) % 9000];
                let (from, to) = match input.byte() & 1 {
                    0 => (SocketAddr::new(B, BOUND), SocketAddr::new(A, 9)),
                    _ => (SocketAddr::from((self.link_local, BOUND)), far),
                };
                let _ = self
                    .host
                    .send_datagram(from, to, &bytes, Manner::default(), self.now);
            }
            (7, _) => {
                let _ = self.host.send_echo(A, 1, 2, b"echo", self.now);
            }
            (8, _) if self.groups.len() < 4 => {
                let group = [IpAddr::V4(GROUP_V4), IpAddr::V6(GROUP_V6)];
                let group = group[usize::from(input.byte() & 1)];
                if self.host.join_group(group, self.now).is_ok() {
                    self.groups.push(group);
                }
            }
            (9, _) => {
                if let Some(group) = self.groups.pop() {
                    let left = self.host.leave_group(group, self.now);
                    assert!(left.is_ok(), "{group} was joined");
                }
            }
            (10, _) => match self.host.is_looking_for_address() {
                true => self.host.stop_dhcp(),
                false => self.host.start_dhcp(self.now),
            },
            _ => self.host.sockets.backlog = usize::from(input.byte() % 8),
        }
    }

    /// Sends the host's own last packet back to it, from its receiver, with some bytes changed.
    fn mirror(&mut self, input: &mut Input<'_>) {
        let mut packet = self.sent.clone();
        let is_v4 = packet.first().is_some_and(|first| first >> 4 == 4);
        let (from, width) = if is_v4 { (12, 4) } else { (8, 16) };
        if packet.len() < 40 {
            return;
        }
        if input.byte() & 1 != 0 {
            let (sources, targets) = packet.split_at_mut(from + width);
            sources[from..].swap_with_slice(&mut targets[..width]);
        }
        for _ in 0..input.byte() % 8 {
            let at = usize::from(input.byte()) % packet.len();
            packet[at] = input.byte();
        }
        self.send(if is_v4 { V4 } else { V6 }, &packet, true);
    }

    /// What a server of DHCP says.
    fn dhcp(&mut self, input: &mut Input<'_>) {
        let kind = match input.byte() {
            0xC0.. => return self.dhcp6(input),
            kind => [2, 5, 6, 1][usize::from(kind % 4)],
        };
        let address = match input.byte() % 4 {
            0..3 => octets_v4(B),
            _ => input.word().to_be_bytes(),
        };
        let mut message = vec![2, 1, 6, 0];
        message.extend(self.dhcp_id);
        message.extend([0; 8]);
        message.extend(address);
        message.extend([0; 8]);
        message.extend(MAC_B);
        message.resize(236, 0);
        message.extend([99, 130, 83, 99, 53, 1, kind]);
        if input.byte() & 1 == 0 {
            message.extend([54, 4]);
            message.extend(octets_v4(A));
        }
        message.extend(input.bytes(200));
        let len = (8 + message.len()) as u16;
        let ports = [[0, 67], [0, 68], len.to_be_bytes(), [0; 2]];
        message.splice(0..0, ports.concat());
        self.v4(octets_v4(A), [255; 4], UDP, &message);
    }

    /// What a server of DHCPv6 says.
    fn dhcp6(&mut self, input: &mut Input<'_>) {
        let mut message = vec![input.choose(&[2, 7, 7, 1])];
        message.extend(self.dhcp6_id);
        message.extend([0, 1, 0, 10, 0, 3, 0, 1]);
        message.extend(MAC_B);
        message.extend([0, 2, 0, 1, input.byte() % 2]);
        if input.byte() & 1 == 0 {
            // An association with an address; the times are small or large.
            message.extend([0, 3, 0, 40]);
            message.extend(&MAC_B[2..]);
            for _ in 0..2 {
                message.extend((input.word() >> (input.byte() % 32)).to_be_bytes());
            }
            message.extend([0, 5, 0, 24]);
            message.extend(self.address_v6(input));
            for _ in 0..2 {
                message.extend((input.word() >> (input.byte() % 32)).to_be_bytes());
            }
        }
        message.extend(input.bytes(120));
        let (from, to) = (PEER_V6, self.link_local);
        let len = (8 + message.len()) as u16;
        let mut datagram = [[2, 35], [2, 34], len.to_be_bytes(), [0; 2]].concat();
        datagram.extend(message);
        let len = u32::from(len).to_be_bytes();
        let sum = checksum(&[&from, &to, &len, &[0, 0, 0, UDP], &datagram]);
        datagram[6..8].copy_from_slice(&sum);
        self.v6(from, to, 64, UDP, &datagram, 0);
    }

    /// An error of ICMP that quotes what the host has sent last.
    fn failure(&mut self, input: &mut Input<'_>) {
        let mut quote = self.sent.clone();
        quote.truncate(usize::from(input.byte()));
        for _ in 0..input.byte() % 4 {
            let at = usize::from(input.byte());
            if let Some(byte) = quote.get_mut(at) {
                *byte = input.byte();
            }
        }
        let is_v4 = self.sent.first().is_none_or(|first| first >> 4 == 4);
        let (kind, code, word) = (input.byte(), input.byte() % 16, input.word());
        let kind = match is_v4 {
            true => [3, 11, 12, 5][usize::from(kind % 4)],
            false => 1 + kind % 4,
        };
        let mut body = vec![kind, code, 0, 0];
        body.extend(word.to_be_bytes());
        body.extend(quote);
        if is_v4 {
            let sum = checksum(&[&body]);
            body[2..4].copy_from_slice(&sum);
            let from = self.address_v4(input);
            self.v4(from, octets_v4(B), ICMP, &body);
        } else {
            let (from, to) = (self.address_v6(input), self.link_local);
            let len = (body.len() as u32).to_be_bytes();
            let sum = checksum(&[&from, &to, &len, &[0, 0, 0, ICMP_V6], &body]);
            body[2..4].copy_from_slice(&sum);
            self.v6(from, to, 64, ICMP_V6, &body, 0);
        }
    }
}
