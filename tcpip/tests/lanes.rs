//! A host whose interface has several lanes, and a peer. Frames for the host come by any queue, so that most have to be handed over.

#![allow(clippy::indexing_slicing, reason = "tests may fail so")]

mod world;

use std::collections::VecDeque;
use std::net::SocketAddr;

use tcpip::{Parcel, Settings, Steering, To, Tuple};
use world::{A, ANY, B, Chance, Host, LIMITS, MAC_A, MAC_B, host, pattern};

const LANES: usize = 3;
const KEY: [u64; 2] = [5, 6];
const PORT: u16 = 80;

struct Net {
    now: u64,
    peer: Host,
    lanes: Vec<Host>,
    chance: Chance,
    /// Frames are cut into parts before they reach the host.
    is_cut: bool,
    /// Length of the largest frame that the host has sent.
    largest: usize,
}

impl Net {
    fn new(seed: u64) -> Self {
        let mut lanes: Vec<Host> = (0..LANES).map(|_| host(MAC_B, LIMITS, 1500)).collect();
        lanes[0].add_address(B, 24, 0);
        for (own, lane) in lanes.iter_mut().enumerate() {
            lane.set_steering(Steering::new(own, LANES, KEY));
            lane.sockets.listening.push(PORT);
        }
        let mut peer = host(MAC_A, LIMITS, 1500);
        peer.add_address(A, 24, 0);
        peer.sockets.listening.push(PORT);
        let mut net = Self {
            now: 1_000_000,
            peer,
            lanes,
            chance: Chance::new(seed),
            is_cut: false,
            largest: 0,
        };
        net.settle();
        net
    }

    /// Puts what lanes handed over where it belongs; whether there was any.
    fn deliver(&mut self) -> bool {
        let mut all = Vec::new();
        for (from, lane) in self.lanes.iter_mut().enumerate() {
            all.extend(lane.sockets.handed.drain(..).map(|handed| (from, handed)));
        }
        for (from, (to, parcel)) in &all {
            for lane in 0..LANES {
                let is_meant = match to {
                    To::Lane(wanted) => *wanted == lane,
                    To::Others => lane != *from,
                };
                if is_meant {
                    assert_ne!(lane, *from, "nothing is handed to oneself");
                    self.lanes[lane].take(parcel.clone(), self.now);
                }
            }
        }
        !all.is_empty()
    }

    /// Lets everything happen that happens at this time.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.peer.run_timers(self.now);
            let mut frames: VecDeque<_> = self.peer.device.frames.drain(..).collect();
            let mut is_idle = frames.is_empty();
            while let Some(frame) = frames.pop_front() {
                for part in self.cut(frame) {
                    let lane = self.chance.below(LANES as u64) as usize;
                    self.lanes[lane].receive(&part, false, self.now);
                }
            }
            is_idle &= !self.deliver();
            for lane in &mut self.lanes {
                lane.run_timers(self.now);
                for frame in lane.device.frames.drain(..) {
                    is_idle = false;
                    self.largest = self.largest.max(frame.len());
                    self.peer.receive(&frame, false, self.now);
                }
            }
            if is_idle {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// A frame, or two parts of it: of IPv4, without options.
    fn cut(&self, frame: Vec<u8>) -> Vec<Vec<u8>> {
        let is_v4 = frame[12..14] == [8, 0];
        if !self.is_cut || !is_v4 || frame.len() < 14 + 20 + 16 {
            return vec![frame];
        }
        let (header, payload) = frame[14..].split_at(20);
        let part = |offset: u16, more: u16, bytes: &[u8]| {
            let mut header = header.to_vec();
            header[2..4].copy_from_slice(&(20 + bytes.len() as u16).to_be_bytes());
            header[6..8].copy_from_slice(&(more << 13 | offset >> 3).to_be_bytes());
            // Each packet needs a number of its own: that of the segment will do.
            header[4..6].copy_from_slice(&[payload[6], payload[7]]);
            header[10..12].fill(0);
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum);
            [&frame[..14], &header, bytes].concat()
        };
        vec![part(0, 1, &payload[..8]), part(8, 0, &payload[8..])]
    }

    /// Lets time pass.
    fn pass(&mut self, us: u64) {
        let end = self.now + us;
        self.settle();
        loop {
            let timers = self.lanes.iter().chain([&self.peer]);
            match timers.filter_map(Host::next_timer).min() {
                Some(next) if next <= end => self.now = next.max(self.now),
                _ => break,
            }
            self.settle();
        }
        self.now = end;
    }

    /// A connection from the peer: its slot there, its lane, its slot in that.
    fn accepted(&mut self) -> (u32, usize, u32) {
        let to = SocketAddr::new(B, PORT);
        let settings = Settings::default();
        let at_peer = self.peer.connect((), ANY, to, settings, self.now);
        let at_peer = at_peer.expect("a way");
        self.pass(100_000);
        let lanes = self.lanes.iter_mut().enumerate();
        let mut found = lanes.filter_map(|(lane, host)| {
            let (slot, _) = host.sockets.accepted.pop_front()?;
            Some((at_peer, lane, slot))
        });
        let one = found.next().expect("a connection");
        assert_eq!(found.next(), None, "one connection is in one lane");
        one
    }
}

/// The checksum of the Internet over an even number of bytes (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2);
    let mut sum: u32 = words
        .map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])))
        .sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// What a router says of a packet that is too large for the way (RFC 1191): as a frame from the peer.
fn too_big(frame: &[u8], mtu: u16) -> Vec<u8> {
    let quote = &frame[14..14 + 28];
    let mut message = [&[3, 4, 0, 0, 0, 0], mtu.to_be_bytes().as_slice(), quote].concat();
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    let mut packet = frame[14..34].to_vec();
    packet[2..4].copy_from_slice(&(20 + message.len() as u16).to_be_bytes());
    packet[9] = 1;
    packet[10..12].fill(0);
    let (source, destination) = (frame[26..30].to_vec(), frame[30..34].to_vec());
    packet[12..16].copy_from_slice(&destination);
    packet[16..20].copy_from_slice(&source);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    [&MAC_B, &MAC_A, &frame[12..14], &packet, &message].concat()
}

/// Sends bytes from one end to the other, both of which `reach` leads to.
fn carry(net: &mut Net, bytes: &[u8], (at_peer, lane, slot): (u32, usize, u32), is_up: bool) {
    let (mut sent, mut got) = (0, Vec::new());
    for _ in 0..10_000 {
        let now = net.now;
        let (from, to) = match is_up {
            true => (&mut net.peer, at_peer),
            false => (&mut net.lanes[lane], slot),
        };
        if sent < bytes.len() {
            sent += from.write(to, &bytes[sent..], now).unwrap_or(0);
        }
        net.pass(1000);
        let now = net.now;
        let (at, of) = match is_up {
            true => (&mut net.lanes[lane], slot),
            false => (&mut net.peer, at_peer),
        };
        let mut buf = [0; 4096];
        while let Ok(count @ 1..) = at.read(of, &mut buf, false, now) {
            got.extend_from_slice(&buf[..count]);
        }
        if got.len() == bytes.len() {
            break;
        }
    }
    assert!(got == bytes, "{} of {} bytes", got.len(), bytes.len());
}

#[test]
fn connections_are_spread_over_the_lanes_and_carry_bytes_whatever_queue_frames_come_by() {
    let mut net = Net::new(1);
    let mut counts = [0; LANES];
    let bytes = pattern(30_000);
    for _ in 0..40 {
        let connection = net.accepted();
        counts[connection.1] += 1;
        carry(&mut net, &bytes, connection, true);
        carry(&mut net, &bytes, connection, false);
        net.peer.release(connection.0, false, net.now);
        net.pass(50_000);
        net.lanes[connection.1].release(connection.2, false, net.now);
        net.pass(50_000);
    }
    assert!(counts.iter().all(|count| *count >= 5), "{counts:?}");
    for lane in &net.lanes {
        assert_eq!(lane.census()[0], 0, "no connection is left");
        assert_eq!(lane.stats().resets_sent, 0);
    }
}

#[test]
fn each_lane_can_begin_connections_whose_answers_find_it() {
    let mut net = Net::new(2);
    let to = SocketAddr::new(A, PORT);
    for lane in 0..LANES {
        for _ in 0..10 {
            let now = net.now;
            let slot = net.lanes[lane].connect((), ANY, to, Settings::default(), now);
            let slot = slot.expect("a way and a port");
            net.pass(100_000);
            let (at_peer, tuple): (u32, Tuple) = net.peer.sockets.accepted.pop_front().expect("it");
            let steering = Steering::new(0, LANES, KEY);
            let of = steering.lane(tuple.local, tuple.local_port, tuple.remote_port);
            assert_eq!(of, lane);
            carry(&mut net, b"question", (at_peer, lane, slot), false);
            carry(&mut net, b"answer", (at_peer, lane, slot), true);
        }
    }
}

#[test]
fn a_port_that_leads_to_another_lane_is_refused() {
    let mut net = Net::new(3);
    let to = SocketAddr::new(A, PORT);
    let mut results = [0; 2];
    for port in 5000..5020 {
        let from = SocketAddr::new(B, port);
        let lane = Steering::new(0, LANES, KEY).lane(A.into(), PORT, port);
        let made = net.lanes[0].connect((), from, to, Settings::default(), net.now);
        assert_eq!(made.is_ok(), lane == 0);
        results[usize::from(made.is_ok())] += 1;
    }
    assert!(results.iter().all(|count| *count != 0));
}

#[test]
fn segments_in_fragments_reach_the_lane_of_their_connection() {
    let mut net = Net::new(4);
    net.is_cut = true;
    for _ in 0..6 {
        let connection = net.accepted();
        carry(&mut net, &pattern(5000), connection, true);
    }
    assert!(net.lanes[0].stats().reassembled > 20);
}

#[test]
fn a_port_where_nobody_listens_refuses_from_one_lane() {
    let mut net = Net::new(5);
    for port in 100..110 {
        let to = SocketAddr::new(B, port);
        let slot = net.peer.connect((), ANY, to, Settings::default(), net.now);
        let slot = slot.expect("a way");
        net.pass(200_000);
        assert_eq!(net.peer.error(slot), Some(tcpip::Error::Refused));
    }
    let resets: u64 = net.lanes.iter().map(|lane| lane.stats().resets_sent).sum();
    assert_eq!(resets, 10);
}

#[test]
fn datagrams_and_pings_are_the_first_lanes() {
    let mut net = Net::new(6);
    net.lanes[0].sockets.bound.push(53);
    let to = SocketAddr::new(B, 53);
    let from = SocketAddr::new(A, 4000);
    for number in 0..10u16 {
        let manner = tcpip::Manner::default();
        let sent = net
            .peer
            .send_datagram(from, to, b"question", manner, net.now);
        sent.expect("a way");
        let echo = net.peer.send_echo(B, 7, number, b"echo", net.now);
        echo.expect("a way");
        net.pass(10_000);
    }
    assert_eq!(net.lanes[0].sockets.datagrams.len(), 10);
    assert_eq!(net.peer.sockets.echoes.len(), 10);
}

#[test]
fn a_router_that_knows_of_a_narrow_way_is_heard_whatever_queue_it_speaks_by() {
    for queue in 0..LANES {
        let mut net = Net::new(9);
        let lanes: Vec<_> = (0..8).map(|_| net.accepted()).collect();
        assert!(lanes.iter().any(|connection| connection.1 != 0));
        for connection in lanes {
            let (_, lane, slot) = connection;
            let sent = net.lanes[lane].write(slot, &pattern(4000), net.now);
            assert_eq!(sent, Ok(4000));
            // They get lost.
            let frames: Vec<_> = net.lanes[lane].device.frames.drain(..).collect();
            assert!(frames[0].len() > 1400);
            net.largest = 0;
            net.lanes[queue].receive(&too_big(&frames[0], 700), false, net.now);
            net.pass(2_000_000);
            assert!((600..=714).contains(&net.largest), "{}", net.largest);
        }
    }
}

#[test]
fn addresses_that_change_are_known_to_all_lanes() {
    let mut net = Net::new(7);
    let other: std::net::IpAddr = "10.0.2.77".parse().expect("an address");
    net.lanes[0].add_address(other, 24, net.now);
    net.lanes[0].remove_address(B);
    net.lanes[0].share_addresses();
    net.pass(1000);
    for lane in &net.lanes {
        assert!(lane.has_address(other) && !lane.has_address(B));
    }
    // Nothing has changed since.
    net.lanes[0].share_addresses();
    assert!(net.lanes[0].sockets.handed.is_empty());
}

#[test]
fn what_a_stranger_hands_in_harms_no_lane() {
    let mut net = Net::new(8);
    for round in 0..2000 {
        let mut bytes: Vec<u8> = (0..round % 90).map(|_| net.chance.next() as u8).collect();
        if let Some(first) = bytes.first_mut() {
            *first = [0x45, 0x60][usize::from(*first & 1)];
        }
        let lane = round % LANES;
        let parcel = match round % 4 {
            0 => Parcel::Arp(bytes),
            _ => Parcel::Packet {
                bytes,
                is_verified: round % 3 == 0,
            },
        };
        net.lanes[lane].take(parcel, net.now);
        net.settle();
    }
    let connection = net.accepted();
    carry(&mut net, b"still here", connection, true);
}

/// What a DHCP server (RFC 2131) on the peer says to a question of the host: it lends `B`.
fn lends(question: &[u8], kind: u8) -> Vec<u8> {
    let mut message = vec![0; 236];
    message[..4].copy_from_slice(&[2, 1, 6, 0]);
    message[4..8].copy_from_slice(&question[46..50]);
    message[16..20].copy_from_slice(&[10, 0, 2, 15]);
    message[28..34].copy_from_slice(&MAC_B);
    message.extend([0x63, 0x82, 0x53, 0x63]);
    message.extend([53, 1, kind, 54, 4, 10, 0, 2, 2, 51, 4, 0, 0, 14, 16]);
    message.extend([1, 4, 255, 255, 255, 0, 255]);
    message.resize(300, 0);
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 2, 2];
    packet.extend([255; 4]);
    packet[2..4].copy_from_slice(&328u16.to_be_bytes());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    let udp = [0, 67, 0, 68, 1, 52, 0, 0];
    [&[255; 6], &MAC_A[..], &[8, 0], &packet, &udp, &message].concat()
}

#[test]
fn connections_to_an_address_on_offer_wait_for_it_in_their_lanes() {
    // QEMU's user network speaks to the address as soon as it has heard the question.
    for before_offer in [6, 3, 0] {
        let mut net = Net::new(10);
        // The peer knows the host's hardware address.
        net.accepted();
        net.lanes[0].remove_address(B);
        net.lanes[0].start_dhcp(net.now);
        net.lanes[0].share_addresses();
        let question = net.lanes[0].device.frames.pop_back().expect("a question");
        while net.deliver() {}
        let connect = |net: &mut Net, count| {
            for _ in 0..count {
                let to = SocketAddr::new(B, PORT);
                let slot = net.peer.connect((), ANY, to, Settings::default(), net.now);
                slot.expect("a way");
            }
            net.settle();
        };
        connect(&mut net, before_offer);
        net.lanes[1].receive(&lends(&question, 2), false, net.now);
        while net.deliver() {}
        let request = net.lanes[0].device.frames.pop_back().expect("a request");
        connect(&mut net, 6 - before_offer);
        let accepted = |net: &Net| -> Vec<usize> {
            let lanes = net.lanes.iter();
            lanes.map(|lane| lane.sockets.accepted.len()).collect()
        };
        assert_eq!(accepted(&net), [0; LANES]);
        net.lanes[0].receive(&lends(&request, 5), false, net.now);
        net.settle();
        let counts = accepted(&net);
        assert_eq!(counts.iter().sum::<usize>(), 6, "{counts:?}");
        assert!(counts[1..].iter().any(|count| *count != 0), "{counts:?}");
        let dropped = net.lanes.iter().map(|lane| lane.stats().wrong_address);
        assert_eq!(dropped.sum::<u64>(), 0);
    }
}
