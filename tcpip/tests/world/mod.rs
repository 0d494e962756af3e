//! Two engines and the network between them, which loses, repeats, delays, reorders and damages what it is told to. Time is simulated,
//! and chance comes from a seed, so what fails once fails always.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tcpip::{
    Admission, Arrival, Capabilities, Device, Engine, Error, Limits, Medium, Offload, Parcel,
    Settings, Sockets, To, Tuple, Undelivered,
};

pub(crate) const A: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2));
pub(crate) const B: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15));
pub(crate) const MAC_A: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];
pub(crate) const MAC_B: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
pub(crate) const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

pub(crate) const LIMITS: Limits = Limits {
    room_bytes: || usize::MAX,
    connections: 200,
    receive_bytes: 256 << 10,
    transmit_bytes: 256 << 10,
    buffer_bytes: 8 << 20,
    half_open: 8,
    orphans: 50,
    time_wait: 100,
    neighbors: 16,
    fragment_bytes: 128 << 10,
    waiting_bytes: 256 << 10,
};

/// A device that keeps what is sent until the network takes it.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) frames: VecDeque<Vec<u8>>,
    buffer: Vec<u8>,
    /// Frames that it has room for.
    pub(crate) room: usize,
}

impl Device for Outbox {
    fn has_room(&mut self) -> bool {
        self.frames.len() < self.room
    }

    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        // What was there before must not matter.
        self.buffer = vec![0xA5; len_bytes];
        &mut self.buffer
    }

    fn send(&mut self, len_bytes: usize, offload: Offload) {
        assert_eq!(offload, Offload::default());
        assert_eq!(self.buffer.len(), len_bytes);
        self.frames.push_back(std::mem::take(&mut self.buffer));
    }

    fn flush(&mut self) {}
}

/// What is above an engine in tests.
#[derive(Default)]
pub(crate) struct Programs {
    pub(crate) listening: Vec<u16>,
    pub(crate) backlog: usize,
    pub(crate) segment_bytes: u16,
    pub(crate) deferred_s: u32,
    pub(crate) accepted: VecDeque<(u32, Tuple)>,
    pub(crate) notified: Vec<u32>,
    pub(crate) bound: Vec<u16>,
    pub(crate) datagrams: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// Hop limits and classes of traffic of these.
    pub(crate) marks: Vec<(u8, u8)>,
    pub(crate) undeliverable: Vec<(SocketAddr, SocketAddr, Error)>,
    /// Who answered, identifier, number and content.
    pub(crate) echoes: Vec<(IpAddr, u16, u16, Vec<u8>)>,
    /// Of so many offers of bytes one is taken; 0: none.
    pub(crate) takes_one_in: usize,
    offers: usize,
    /// What was taken.
    pub(crate) taken: Vec<u8>,
    /// What was handed to other lanes.
    pub(crate) handed: Vec<(To, Parcel)>,
    next_port: u16,
}

impl Sockets for Programs {
    type Holder = ();

    fn admits(&mut self, local: SocketAddr) -> Admission {
        match self.listening.contains(&local.port()) {
            false => Admission::Refused,
            true if self.accepted.len() >= self.backlog => Admission::Full,
            true => Admission::Open {
                segment_bytes: self.segment_bytes,
                deferred_s: self.deferred_s,
            },
        }
    }

    fn accept(&mut self, slot: u32, tuple: &Tuple) -> Result<(), Admission> {
        match self.admits(tuple.local()) {
            Admission::Open { .. } => {
                self.accepted.push_back((slot, *tuple));
                Ok(())
            }
            refusal => Err(refusal),
        }
    }

    fn notify(&mut self, slot: u32, (): &()) {
        self.notified.push(slot);
    }

    fn take(&mut self, _slot: u32, (): &(), bytes: &[u8]) -> bool {
        self.offers += 1;
        let is_taken = self.takes_one_in != 0 && self.offers.is_multiple_of(self.takes_one_in);
        if is_taken {
            self.taken.extend_from_slice(bytes);
        }
        is_taken
    }

    fn deliver(&mut self, datagram: &Arrival<'_>) -> bool {
        let is_bound = self.bound.contains(&datagram.local.port());
        if is_bound {
            let (local, remote) = (datagram.local, datagram.remote);
            self.marks
                .push((datagram.hop_limit, datagram.traffic_class));
            self.datagrams
                .push((local, remote, datagram.payload.to_vec()));
        }
        is_bound
    }

    fn undeliverable(&mut self, datagram: &Undelivered<'_>) {
        let Undelivered {
            local,
            remote,
            error,
            ..
        } = *datagram;
        self.undeliverable.push((local, remote, error));
    }

    fn echoed(&mut self, from: IpAddr, _: u8, id: u16, sequence: u16, content: &[u8]) {
        self.echoes.push((from, id, sequence, content.to_vec()));
    }

    fn hand_over(&mut self, to: To, parcel: Parcel) {
        self.handed.push((to, parcel));
    }

    fn ephemeral_port(&mut self, is_free: &dyn Fn(u16) -> bool) -> Option<u16> {
        (0..1000).find_map(|_| {
            self.next_port = self.next_port.wrapping_add(1);
            Some(0xC000 | self.next_port).filter(|port| is_free(*port))
        })
    }
}

pub(crate) type Host = Engine<Outbox, Programs>;

/// How a network treats frames; chances in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) loss: u64,
    pub(crate) repetition: u64,
    pub(crate) damage: u64,
    /// Time that each frame takes, and how much more some take.
    pub(crate) delay_us: u64,
    pub(crate) jitter_us: u64,
    /// Chance that others overtake a frame, and how much longer it takes.
    pub(crate) late: u64,
    pub(crate) late_us: u64,
    /// Bytes that go through each way in a second, and bytes that wait to; 0: any.
    pub(crate) rate: u64,
    pub(crate) queue_bytes: u64,
}

/// Chance, by SplitMix64.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) a: Host,
    pub(crate) b: Host,
    pub(crate) weather: Weather,
    pub(crate) chance: Chance,
    /// Frames under way: when they arrive, in which order they were sent, whether they go to `b`.
    wire: Vec<(u64, u64, bool, Vec<u8>)>,
    sent: u64,
    /// When the last frame is through, by the narrowest place of each way.
    through_at: [u64; 2],
    /// Frames for which there was no room before it.
    pub(crate) overflown: u64,
    /// Whether frames are noted, and these, with whether they came from `a`.
    pub(crate) is_noting: bool,
    pub(crate) noted: Vec<(bool, Vec<u8>)>,
    /// What switches on the way put behind the addresses of each frame.
    pub(crate) tags: Vec<u8>,
}

pub(crate) fn host(mac: [u8; 6], limits: Limits, mtu: usize) -> Host {
    let outbox = Outbox {
        room: 256,
        ..Outbox::default()
    };
    let programs = Programs {
        backlog: 1000,
        ..Programs::default()
    };
    let capabilities = Capabilities {
        medium: Medium::Ethernet,
        mac,
        mtu,
        fills_checksums: false,
        largest_send: 0,
    };
    Engine::new(
        outbox,
        programs,
        capabilities,
        limits,
        [u64::from(mac[5]), 7],
    )
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, LIMITS, 1500)
    }

    pub(crate) fn with(seed: u64, limits: Limits, mtu: usize) -> Self {
        let mut world = Self {
            now: 1_000_000,
            a: host(MAC_A, limits, mtu),
            b: host(MAC_B, limits, mtu),
            weather: Weather::default(),
            chance: Chance(seed),
            wire: Vec::new(),
            sent: 0,
            through_at: [0; 2],
            overflown: 0,
            is_noting: false,
            noted: Vec::new(),
            tags: Vec::new(),
        };
        world.a.add_address(A, 24, world.now);
        world.b.add_address(B, 24, world.now);
        world.settle();
        world
    }

    /// Takes what the hosts have sent onto the wire.
    fn collect(&mut self) -> bool {
        let mut has_any = false;
        for from_a in [true, false] {
            let host = if from_a { &mut self.a } else { &mut self.b };
            for frame in host.device.frames.drain(..) {
                has_any = true;
                if self.is_noting {
                    self.noted.push((from_a, frame.clone()));
                }
                let weather = self.weather;
                let mut copies = 1;
                if self.chance.below(1000) < weather.loss {
                    copies = 0;
                } else if self.chance.below(1000) < weather.repetition {
                    copies = 2;
                }
                for _ in 0..copies {
                    let mut frame = frame.clone();
                    if self.chance.below(1000) < weather.damage {
                        // Not the hardware addresses, whose damage Ethernet would find.
                        let at = 14 + self.chance.below(frame.len() as u64 - 14) as usize;
                        frame[at] ^= 1 << self.chance.below(8);
                    }
                    let through_at = &mut self.through_at[usize::from(from_a)];
                    let mut waits_us = 0;
                    if weather.rate != 0 {
                        let begins_at = self.now.max(*through_at);
                        if (begins_at - self.now) * weather.rate / 1_000_000 > weather.queue_bytes {
                            self.overflown += 1;
                            continue;
                        }
                        *through_at = begins_at + frame.len() as u64 * 1_000_000 / weather.rate;
                        waits_us = *through_at - self.now;
                    }
                    if self.chance.below(1000) < weather.late {
                        waits_us += weather.late_us;
                    }
                    let extra = match self.chance.below(3) {
                        0 => self.chance.below(weather.jitter_us + 1),
                        _ => 0,
                    };
                    self.sent += 1;
                    let at = self.now + weather.delay_us + waits_us + extra;
                    self.wire.push((at, self.sent, from_a, frame));
                }
            }
        }
        has_any
    }

    /// Lets everything happen that happens at this time.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            self.a.run_timers(self.now);
            self.b.run_timers(self.now);
            let has_sent = self.collect();
            let (mut due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.wire)
                .into_iter()
                .partition(|one| one.0 <= self.now);
            self.wire = later;
            due.sort_by_key(|one| (one.0, one.1));
            let is_idle = due.is_empty() && !has_sent;
            for (_, _, from_a, mut frame) in due {
                frame.splice(12..12, self.tags.iter().copied());
                let host = if from_a { &mut self.b } else { &mut self.a };
                host.receive(&frame, false, self.now);
            }
            if is_idle {
                return;
            }
        }
        panic!("the two never come to rest");
    }

    /// When something happens next.
    pub(crate) fn next(&self) -> Option<u64> {
        let wire = self.wire.iter().map(|one| one.0);
        let timers = [self.a.next_timer(), self.b.next_timer()];
        wire.chain(timers.into_iter().flatten()).min()
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, us: u64) {
        let end = self.now + us;
        self.settle();
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// A connection from `a` to a listener of `b`: both slots.
    pub(crate) fn connected(&mut self, port: u16) -> (u32, u32) {
        if !self.b.sockets.listening.contains(&port) {
            self.b.sockets.listening.push(port);
        }
        let to = SocketAddr::new(B, port);
        let at_a = self
            .a
            .connect((), ANY, to, Settings::default(), self.now)
            .expect("a way");
        for _ in 0..600 {
            self.pass(100_000);
            if let Some((at_b, _)) = self.b.sockets.accepted.pop_front() {
                return (at_a, at_b);
            }
        }
        panic!("no connection");
    }
}

/// Bytes that are different at each place.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect()
}

/// An Ethernet frame with a message of ICMPv6, its checksum included.
pub(crate) fn frame_of_icmpv6(
    to_mac: [u8; 6],
    from: IpAddr,
    to: IpAddr,
    hop_limit: u8,
    message: &[u8],
) -> Vec<u8> {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (from, to) else {
        panic!("of IPv6");
    };
    let mut message = message.to_vec();
    message[2..4].fill(0);
    let len = message.len() as u16;
    let words = [from.octets(), to.octets()].concat();
    let pseudo = [
        &words[..],
        &[0, 0],
        &len.to_be_bytes(),
        &[0, 0, 0, 58],
        &message,
    ]
    .concat();
    let mut sum: u32 = pseudo
        .chunks(2)
        .map(|two| u32::from(u16::from_be_bytes([two[0], *two.get(1).unwrap_or(&0)])))
        .sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    message[2..4].copy_from_slice(&(!sum as u16).to_be_bytes());
    let mut frame = [
        &to_mac[..],
        &[2, 0, 0, 0, 0, 1],
        &[0x86, 0xDD, 0x60, 0, 0, 0],
    ]
    .concat();
    frame.extend(len.to_be_bytes());
    frame.extend([58, hop_limit]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend(message);
    frame
}
