//! The way out: which station a packet goes to, and what waits for its hardware address.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use crate::address::Address;
use crate::device::{Device, Medium, Offload};
use crate::engine::Engine;
use crate::error::Error;
use crate::ip::neighbors::{ASK_US, Question, Resolved, Word};
use crate::path::Path;
use crate::sockets::Sockets;
use crate::timers::Key;
use crate::wire::arp::{self, Arp};
use crate::wire::ethernet::{self, Mac};
use crate::wire::ip::Fragment;
use crate::wire::protocol::FRAGMENT;
use crate::wire::{ip, ndp, protocol, put};

/// What a frame that waits for the device counts for besides its bytes.
const LATE_FRAME_BYTES: usize = 64;
/// How often the device is asked whether it has room for them again, and how long it may take none.
const LATE_RETRY_US: u64 = 50;
const LATE_US: u64 = 20_000;

/// A packet to be sent, without its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    pub(super) source: Address,
    pub(super) destination: Address,
    pub(super) protocol: u8,
    pub(super) hop_limit: u8,
    /// Class of traffic.
    pub(super) traffic_class: u8,
    /// Bytes of payload.
    pub(super) len: usize,
}

/// Where the next station is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    /// The medium has no hardware addresses.
    Direct,
    /// At this hardware address, at least until then.
    At(Mac, u64),
    /// This neighbour is being asked.
    Asked(Address),
}

/// The way that was found last: a handshake is followed by a connection with the same peer, and many have few peers.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastHop {
    to: Address,
    mac: Mac,
    /// As for a connection's [`Path`].
    valid_until: u64,
    generation: u32,
}

impl<D: Device, S: Sockets> Engine<D, S> {
    /// The next station on the way to an address.
    #[inline]
    pub(super) fn hop(&mut self, to: Address, now: u64) -> Result<Hop, Error> {
        if let Some(last) = &self.last_hop
            && last.to == to
            && now < last.valid_until
            && last.generation == self.neighbors.generation
        {
            return Ok(Hop::At(last.mac, last.valid_until));
        }
        self.find_hop(to, now)
    }

    #[inline(never)]
    fn find_hop(&mut self, to: Address, now: u64) -> Result<Hop, Error> {
        let next = self.addresses.next_hop(to);
        if self.capabilities.medium == Medium::Ip {
            return Ok(Hop::Direct);
        }
        let next = next.ok_or(Error::NetworkUnreachable)?;
        if next.is_multicast() {
            return Ok(Hop::At(next.group_mac(), u64::MAX));
        }
        if self.addresses.is_broadcast(next) {
            return Ok(Hop::At(ethernet::BROADCAST, u64::MAX));
        }
        let (resolved, question) = self.neighbors.resolve(next, now);
        if let Some(question) = question {
            self.ask(question);
            self.timers.set(Key::Neighbors, now + ASK_US);
        }
        Ok(match resolved {
            Resolved::Known(mac, valid_until) => {
                self.last_hop = Some(LastHop {
                    to,
                    mac,
                    valid_until,
                    generation: self.neighbors.generation,
                });
                Hop::At(mac, valid_until)
            }
            Resolved::Pending => Hop::Asked(next),
        })
    }

    /// The headers of packets to an address; none as long as its neighbour is being asked.
    pub(super) fn path(
        &mut self,
        source: Address,
        destination: Address,
        hop_limit: u8,
        traffic_class: u8,
        now: u64,
    ) -> Result<Option<Path>, Error> {
        let own = self.capabilities.mac;
        Ok(match self.hop(destination, now)? {
            Hop::Direct => Some(Path::new(
                None,
                source,
                destination,
                (hop_limit, traffic_class),
                u64::MAX,
            )),
            Hop::At(mac, until) => Some(Path::new(
                Some((own, mac)),
                source,
                destination,
                (hop_limit, traffic_class),
                until,
            )),
            Hop::Asked(_) => None,
        })
    }

    /// Sends a packet, whose payload `fill` writes. It is lost if the device has no room, as anywhere on its way.
    pub(super) fn send_packet(
        &mut self,
        out: Outgoing,
        now: u64,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), Error> {
        let header = ip::header_len(out.source.is_v4());
        let len = header + out.len;
        let mut write = |packet: &mut [u8]| {
            ip::write_header(
                packet,
                out.source,
                out.destination,
                out.protocol,
                out.hop_limit,
                out.len,
            );
            ip::mark(packet, out.traffic_class);
            fill(packet.get_mut(header..).unwrap_or_default());
        };
        self.send_bytes(out.destination, out.source.is_v4(), len, now, &mut write)
    }

    /// Sends an IP packet of `len` bytes that `write` writes whole.
    pub(super) fn send_bytes(
        &mut self,
        destination: Address,
        is_v4: bool,
        len: usize,
        now: u64,
        write: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), Error> {
        let kind = if is_v4 {
            ethernet::IPV4
        } else {
            ethernet::IPV6
        };
        let (mac, at) = match self.hop(destination, now)? {
            Hop::Direct => (None, 0),
            Hop::At(mac, _) => (Some(mac), ethernet::HEADER),
            Hop::Asked(neighbor) => {
                let mut frame = vec![0; ethernet::HEADER + len];
                ethernet::write(&mut frame, [0; 6], self.capabilities.mac, kind);
                write(frame.get_mut(ethernet::HEADER..).unwrap_or_default());
                if !self.neighbors.hold(neighbor, frame) {
                    self.stats.neighbor_lost += 1;
                }
                return Ok(());
            }
        };
        let own = self.capabilities.mac;
        self.send_frame(at + len, &mut |frame| {
            if let Some(mac) = mac {
                ethernet::write(frame, mac, own, kind);
            }
            write(frame.get_mut(at..).unwrap_or_default());
        });
        Ok(())
    }

    /// Sends what is too long for one packet.
    pub(super) fn send_in_parts(
        &mut self,
        out: Outgoing,
        bytes: &[u8],
        now: u64,
    ) -> Result<(), Error> {
        let Outgoing {
            source,
            destination,
            protocol,
            hop_limit,
            traffic_class,
            ..
        } = out;
        let is_v4 = source.is_v4();
        let id = self.random.next_u64() as u32;
        let extra = if is_v4 { 0 } else { ip::V6_FRAGMENT };
        let room = self.capabilities.mtu - ip::header_len(is_v4) - extra;
        let room = room & !7;
        for (at, part) in bytes.chunks(room).enumerate() {
            let place = Fragment {
                id,
                offset: (at * room) as u16,
                has_more: (at + 1) * room < bytes.len(),
            };
            let len = ip::header_len(is_v4) + extra + part.len();
            self.send_bytes(destination, is_v4, len, now, &mut |packet| {
                if is_v4 {
                    ip::write_v4(
                        packet,
                        source,
                        destination,
                        protocol,
                        hop_limit,
                        part.len(),
                        place,
                        false,
                    );
                    ip::mark(packet, traffic_class);
                    put(packet, ip::V4_HEADER, part);
                } else {
                    let len = extra + part.len();
                    ip::write_v6(packet, source, destination, FRAGMENT, hop_limit, len);
                    ip::mark(packet, traffic_class);
                    let header = packet.get_mut(ip::V6_HEADER..).unwrap_or_default();
                    ip::write_v6_fragment(header, protocol, place);
                    put(packet, ip::V6_HEADER + extra, part);
                }
            })?;
        }
        Ok(())
    }

    /// Sends a frame that `write` writes whole, or has it wait until the device has room.
    pub(super) fn send_frame(&mut self, len: usize, write: &mut dyn FnMut(&mut [u8])) {
        if !self.late.is_empty() || !self.device.has_room() {
            let mut frame = vec![0; len];
            write(&mut frame);
            return self.delay(frame);
        }
        self.is_stuck = false;
        write(self.device.buffer(len));
        self.hand_down(len);
    }

    /// Sends a frame that was made before, or has it wait.
    fn send_made(&mut self, frame: Vec<u8>) {
        if !self.late.is_empty() || !self.device.has_room() {
            return self.delay(frame);
        }
        self.device.buffer(frame.len()).copy_from_slice(&frame);
        self.hand_down(frame.len());
    }

    fn hand_down(&mut self, len: usize) {
        self.stats.frames_out += 1;
        self.stats.bytes_out += len as u64;
        self.device.send(len, Offload::default());
    }

    /// Has a frame wait for the device. It is told what is queued, or it would never have room.
    #[cold]
    fn delay(&mut self, frame: Vec<u8>) {
        self.device.flush();
        let bytes = frame.len() + LATE_FRAME_BYTES;
        if self.is_stuck || self.late_bytes + bytes > self.limits.waiting_bytes {
            self.stats.device_full += 1;
            return;
        }
        self.late_bytes += bytes;
        self.late.push_back(frame);
        self.stats.device_waits += 1;
        self.timers.set(Key::Late, 0);
    }

    /// Whether answers wait for the device. As long as they do, take no frame that may need more of them: others wait better where they came
    /// from. [`Engine::run_timers`] sends them, or gives them up if the device takes none for a while; then none wait until it
    /// has taken one.
    #[inline]
    pub fn is_congested(&self) -> bool {
        !self.late.is_empty()
    }

    /// Sends what waits for the device, as much as that has room for.
    pub(super) fn run_late(&mut self, now: u64) {
        let before = self.late.len();
        while let Some(frame) = self.late.front()
            && self.device.has_room()
        {
            let len = frame.len();
            self.device.buffer(len).copy_from_slice(frame);
            self.hand_down(len);
            self.late_bytes -= len + LATE_FRAME_BYTES;
            self.late.pop_front();
        }
        self.device.flush();
        if self.late.len() < before {
            self.late_since = None;
        }
        if self.late.is_empty() {
            return self.late.shrink_to_fit();
        }
        if now >= *self.late_since.get_or_insert(now) + LATE_US {
            self.stats.device_full += self.late.len() as u64;
            self.late = VecDeque::new();
            (self.late_bytes, self.late_since) = (0, None);
            self.is_stuck = true;
            return;
        }
        self.timers.set(Key::Late, now + LATE_RETRY_US);
    }

    pub(super) fn send_arp(&mut self, arp: &Arp, to: Mac) {
        self.send_frame(ethernet::HEADER + arp::LEN, &mut |frame| {
            arp.write(frame, to)
        });
    }

    /// Asks a neighbour for its hardware address.
    fn ask(&mut self, question: Question) {
        let Some(source) = self.addresses.source_for(question.target) else {
            return;
        };
        let mac = self.capabilities.mac;
        if question.target.is_v4() {
            let arp = Arp {
                operation: arp::REQUEST,
                sender_mac: mac,
                sender: source,
                target_mac: [0; 6],
                target: question.target,
            };
            return self.send_arp(&arp, question.mac.unwrap_or(ethernet::BROADCAST));
        }
        let to = match question.mac {
            Some(_) => question.target,
            None => question.target.solicited_node(),
        };
        let message = ndp::solicitation(source, to, question.target, Some(mac));
        self.send_ndp(
            source,
            to,
            question.mac.unwrap_or_else(|| to.group_mac()),
            &message,
        );
    }

    /// Sends a message of neighbour discovery to a hardware address. Its hop limit shows that no router passed it on.
    pub(super) fn send_ndp(&mut self, source: Address, to: Address, mac: Mac, message: &[u8]) {
        let own = self.capabilities.mac;
        let at = ethernet::HEADER + ip::V6_HEADER;
        self.send_frame(at + message.len(), &mut |frame| {
            ethernet::write(frame, mac, own, ethernet::IPV6);
            let packet = frame.get_mut(ethernet::HEADER..).unwrap_or_default();
            ip::write_v6(packet, source, to, protocol::ICMP_V6, 255, message.len());
            crate::wire::put(packet, ip::V6_HEADER, message);
        });
    }

    /// Tells the neighbours which hardware address an address of ours has (RFC 5227, section 2.3; RFC 4861, section 7.2.6).
    pub(super) fn announce(&mut self, address: Address, _now: u64) {
        let mac = self.capabilities.mac;
        if address.is_v4() {
            let arp = Arp {
                operation: arp::REQUEST,
                sender_mac: mac,
                sender: address,
                target_mac: [0; 6],
                target: address,
            };
            self.send_arp(&arp, ethernet::BROADCAST);
        } else {
            let to = Address::ALL_NODES;
            let message = ndp::advertisement(address, to, address, mac, false);
            self.send_ndp(address, to, to.group_mac(), &message);
        }
        self.device.flush();
    }

    /// A neighbour has told its hardware address: what waits for it goes out, if it is believed.
    pub(super) fn learn(&mut self, address: Address, mac: Mac, word: Word, now: u64) {
        // The other lanes judge for themselves.
        self.tell_neighbor(address, mac);
        let Some(waiting) = self.neighbors.learn(address, mac, word, now) else {
            return;
        };
        if self.addresses.note_answer(address, false) {
            self.forget_paths();
        }
        for mut frame in waiting.packets {
            crate::wire::put(&mut frame, 0, &mac);
            self.send_made(frame);
        }
        for slot in waiting.waiters {
            if let Some(entry) = self.table.get_mut(slot) {
                entry.is_waiting = false;
                self.settle(slot, crate::tcp::News::empty(), now);
            }
        }
    }

    /// Repeats questions, and gives up neighbours that do not answer.
    pub(super) fn run_neighbors(&mut self, now: u64) {
        let (questions, lost) = self.neighbors.tick(now);
        for question in questions {
            self.ask(question);
        }
        self.stats.neighbor_lost += lost.packets;
        let mut has_changed = false;
        for station in lost.silent {
            has_changed |= self.addresses.note_answer(station, true);
        }
        if has_changed {
            self.forget_paths();
        }
        for slot in lost.waiters {
            if let Some(entry) = self.table.get_mut(slot) {
                entry.is_waiting = false;
                // A connection that is being made fails; others wait for their timers.
                if entry.connection.state().is_connecting() {
                    self.fail(slot, Error::HostUnreachable, now);
                }
            }
        }
        if self.neighbors.is_asking() {
            self.timers.set(Key::Neighbors, now + ASK_US);
        }
        self.device.flush();
    }
}
