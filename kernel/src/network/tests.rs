//! The whole stack against smoltcp as an ordinary client, over a wire that can lose frames. Time is simulated.

use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use proptest::prelude::*;
use smoltcp::iface::{self, SocketHandle, SocketSet};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Cidr};
use tcpip::{Limits, Manner, Settings};

use self::port::Port;
use super::binding::Binding;
use super::config::Address;
use super::error::Error;
use super::loopback::{SharedWire, join, new_wire};
use super::ports::{Listener, Pending, Ports};
use super::socket::mailbox::Mailbox;
use super::stack::{Progress, Stack};
use crate::devices::network::Medium;
use crate::scheduler::Readiness;

mod bursts;
mod closing;
mod leases;
mod pings;
mod port;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const SERVER_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const CLIENT_MAC: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];
const LIMITS: Limits = Limits {
    room_bytes: || usize::MAX,
    connections: 100,
    receive_bytes: 4096,
    transmit_bytes: 4096,
    half_open: 8,
    orphans: 6,
    time_wait: 4,
    buffer_bytes: 1 << 20,
    neighbors: 16,
    fragment_bytes: 128 << 10,
    waiting_bytes: 256 << 10,
};

type Loss = Box<dyn FnMut(usize) -> bool>;

/// A server under test, a client, and the wires between them.
struct World {
    now_us: u64,
    ports: Arc<Ports>,
    stack: Stack,
    to_server: SharedWire,
    from_server: SharedWire,
    from_client: SharedWire,
    client: iface::Interface,
    client_port: Port,
    sockets: SocketSet<'static>,
    /// Frames carried so far, and which of them are lost.
    carried: usize,
    is_lost: Loss,
    /// Frames from the server, newest last.
    seen: Vec<Vec<u8>>,
    next_port: u16,
}

impl World {
    fn new() -> Self {
        let (to_server, from_server, from_client) = (new_wire(), new_wire(), new_wire());
        let ports = Arc::new(Ports::new(42));
        let device = join(
            to_server.clone(),
            from_server.clone(),
            Medium::Ethernet,
            SERVER_MAC,
            1500,
        );
        let mut stack = Stack::new(0, device, ports.clone(), LIMITS);
        stack.set_address(
            Some(Address {
                ip: SERVER,
                prefix: 24,
                gateway: Some(CLIENT),
                dns: vec![],
            }),
            0,
        );
        // The address is announced.
        stack.serve(1_000_000_000);
        let out = join(
            new_wire(),
            from_client.clone(),
            Medium::Ethernet,
            CLIENT_MAC,
            1500,
        );
        let mut client_port = Port::new(out.transmitter, Medium::Ethernet, 1500, false);
        let config = iface::Config::new(HardwareAddress::Ethernet(EthernetAddress(CLIENT_MAC)));
        let mut client =
            iface::Interface::new(config, &mut client_port.device(None), Instant::ZERO);
        client.update_ip_addrs(|addresses| {
            addresses
                .push(IpCidr::Ipv4(Ipv4Cidr::new(CLIENT, 24)))
                .expect("room");
        });
        Self {
            now_us: 1_000_000,
            ports,
            stack,
            to_server,
            from_server,
            from_client,
            client,
            client_port,
            sockets: SocketSet::new(vec![]),
            carried: 0,
            is_lost: Box::new(|_| false),
            seen: Vec::new(),
            next_port: 1024,
        }
    }

    fn now_ns(&self) -> u64 {
        self.now_us * 1000
    }

    fn is_next_lost(&mut self) -> bool {
        self.carried += 1;
        (self.is_lost)(self.carried)
    }

    /// Lets everything happen that can happen at this time.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let now = Instant::from_micros(self.now_us as i64);
            let mut has_worked = false;
            self.client
                .poll_egress(now, &mut self.client_port.device(None), &mut self.sockets);
            while let Some(frame) = {
                let mut wire = self.from_client.lock();
                wire.take()
            } {
                has_worked = true;
                if !self.is_next_lost() {
                    self.to_server.lock().put(frame);
                }
            }
            has_worked |= self.stack.serve(self.now_us * 1000);
            while let Some(frame) = {
                let mut wire = self.from_server.lock();
                wire.take()
            } {
                has_worked = true;
                if !self.is_next_lost() {
                    self.client.poll_ingress_single(
                        now,
                        &mut self.client_port.device(Some(&frame)),
                        &mut self.sockets,
                    );
                }
                self.seen.push(frame);
            }
            if !has_worked {
                return;
            }
        }
        panic!("the two never come to rest");
    }

    /// Lets time pass, in steps at which either side has something to do.
    fn pass(&mut self, us: u64) {
        let end = self.now_us + us;
        self.settle();
        while self.now_us < end {
            let now = Instant::from_micros(self.now_us as i64);
            let client = self
                .client
                .poll_at(now, &self.sockets)
                .map_or(end, |at| at.total_micros() as u64);
            let server = self.stack.next_deadline_ns().map_or(end, |at| at / 1000);
            self.now_us = client.min(server).max(self.now_us + 1000).min(end);
            self.settle();
        }
    }

    fn listen(&mut self, port: u16, backlog: usize) -> Arc<Listener> {
        let address = Binding::all(port);
        self.ports.bind_tcp(address, false).expect("free");
        self.ports
            .listen(address, backlog, Arc::default())
            .expect("bound")
    }

    fn socket(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        self.sockets.add(tcp::Socket::new(buffer(), buffer()))
    }

    fn dial(&mut self, port: u16) -> SocketHandle {
        let handle = self.socket();
        self.next_port = self.next_port.checked_add(1).unwrap_or(1024);
        let local = self.next_port;
        let socket: &mut tcp::Socket = self.sockets.get_mut(handle);
        socket
            .connect(self.client.context(), (SERVER, port), local)
            .expect("fresh");
        handle
    }

    fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    fn receive(&mut self, slot: u32) -> super::Result<Vec<u8>> {
        let mut buf = [0; 2000];
        let now_ns = self.now_ns();
        self.stack
            .receive(slot, &mut buf, false, now_ns)
            .map(|len| buf[..len].to_vec())
    }

    fn send(&mut self, slot: u32, data: &[u8]) -> super::Result<usize> {
        let now_ns = self.now_ns();
        self.stack.send(slot, data, now_ns)
    }

    fn release(&mut self, slot: u32) {
        let now_ns = self.now_ns();
        self.stack.release(slot, false, now_ns);
    }

    /// A connection to `port` that has been accepted.
    fn connected(&mut self, listener: &Listener) -> (SocketHandle, u32) {
        let handle = self.dial(listener.binding.address.port());
        self.settle();
        (handle, accept(listener).expect("connected").slot)
    }
}

fn accept(listener: &Listener) -> super::Result<Pending> {
    listener.pop(true, None)
}

#[test]
fn bytes_go_both_ways_and_both_sides_close() {
    let mut world = World::new();
    let listener = world.listen(80, 4);
    let (client, slot) = world.connected(&listener);
    assert_eq!(world.receive(slot), Err(Error::WouldBlock));
    world.tcp(client).send_slice(b"GET /").expect("open");
    world.settle();
    assert!(
        world
            .stack
            .readiness(slot)
            .contains(Readiness::READABLE | Readiness::WRITABLE)
    );
    assert_eq!(world.receive(slot), Ok(b"GET /".to_vec()));
    assert_eq!(world.send(slot, b"200"), Ok(3));
    world.settle();
    let mut answer = [0; 8];
    assert_eq!(world.tcp(client).recv_slice(&mut answer), Ok(3));
    world.tcp(client).close();
    world.pass(20_000);
    assert_eq!(world.receive(slot), Ok(vec![]), "the peer sends no more");
    world.release(slot);
    world.pass(20_000);
    assert_eq!(world.tcp(client).state(), tcp::State::TimeWait);
    assert_eq!(world.stack.census()[..4], [0, 1, 0, 0]);
}

#[test]
fn an_answer_is_still_sent_after_the_program_has_closed() {
    let mut world = World::new();
    let listener = world.listen(80, 4);
    let (client, slot) = world.connected(&listener);
    let body = vec![7; 4000];
    assert_eq!(world.send(slot, &body), Ok(4000));
    world.release(slot);
    world.pass(1_000_000);
    let mut got = vec![0; 5000];
    assert_eq!(world.tcp(client).recv_slice(&mut got), Ok(4000));
    assert!(!world.tcp(client).may_recv(), "and then the end");
}

#[test]
fn lost_frames_cost_time_but_no_bytes() {
    let mut world = World::new();
    let listener = world.listen(80, 4);
    let (client, slot) = world.connected(&listener);
    // Every fifth frame, in both directions.
    world.is_lost = Box::new(|carried| carried % 5 == 3);
    let upload: Vec<u8> = (0..40_000u32).map(|n| (n / 3) as u8).collect();
    let (mut sent, mut echoed) = (0, 0);
    let (mut at_server, mut at_client) = (Vec::new(), Vec::new());
    for _ in 0..20_000 {
        sent += world.tcp(client).send_slice(&upload[sent..]).expect("open");
        if let Ok(bytes) = world.receive(slot) {
            at_server.extend(bytes);
        }
        if let Ok(len) = world.send(slot, &at_server[echoed..]) {
            echoed += len;
        }
        let mut buf = [0; 4096];
        if let Ok(len) = world.tcp(client).recv_slice(&mut buf) {
            at_client.extend_from_slice(&buf[..len]);
        }
        world.pass(10_000);
        if at_client.len() == upload.len() {
            break;
        }
    }
    assert_eq!(at_server.len(), upload.len());
    assert!(at_server == upload && at_client == upload);
}

#[test]
fn a_thousand_connections_in_sequence_leave_nothing() {
    for closes_first in ["server", "client"] {
        let mut world = World::new();
        let listener = world.listen(80, 4);
        let (mut largest, mut waiting) = ([0; 5], 0);
        for _ in 0..1000 {
            let (client, slot) = world.connected(&listener);
            world.tcp(client).send_slice(b"x").expect("open");
            world.settle();
            assert_eq!(world.receive(slot), Ok(b"x".to_vec()));
            if closes_first == "client" {
                world.tcp(client).close();
                world.settle();
            }
            world.release(slot);
            world.settle();
            world.tcp(client).close();
            world.pass(1_000);
            world.sockets.remove(client);
            for (most, now) in largest.iter_mut().zip(world.stack.census()) {
                *most = now.max(*most);
            }
            waiting = world.stack.time_wait().max(waiting);
        }
        assert!(
            largest.iter().all(|most| *most <= 2),
            "{closes_first}: {largest:?}"
        );
        assert!(waiting <= LIMITS.time_wait);
        world.pass(60_000_000);
        assert_eq!(world.stack.census()[0], 0, "{closes_first} closes first");
        assert_eq!(world.stack.census()[2..], [0, 0, 0]);
    }
}

#[test]
fn a_port_in_time_wait_is_open_to_a_new_connection() {
    let mut world = World::new();
    let listener = world.listen(80, 4);
    let (client, slot) = world.connected(&listener);
    world.release(slot);
    world.settle();
    world.tcp(client).close();
    world.pass(1_000);
    assert_eq!((world.stack.census()[0], world.stack.time_wait()), (0, 1));
    world.next_port -= 1;
    world.sockets.remove(client);
    let (_, slot) = world.connected(&listener);
    assert_eq!(world.stack.progress(slot), Progress::Connected);
}

#[test]
fn a_closed_port_is_refused() {
    let mut world = World::new();
    let client = world.dial(81);
    world.settle();
    assert_eq!(world.tcp(client).state(), tcp::State::Closed);
    assert_eq!(world.stack.census(), [0; 5]);
}

#[test]
fn a_full_backlog_makes_peers_wait_not_fail() {
    let mut world = World::new();
    let listener = world.listen(80, 2);
    let clients: Vec<_> = (0..4).map(|_| world.dial(80)).collect();
    world.settle();
    let is_open = |world: &mut World, client| world.tcp(client).state() == tcp::State::Established;
    let open = |world: &mut World| {
        clients
            .iter()
            .filter(|client| is_open(world, **client))
            .count()
    };
    assert!(accept(&listener).is_ok());
    assert!(accept(&listener).is_ok());
    world.pass(10_000_000);
    assert_eq!(open(&mut world), 4);
    assert!(accept(&listener).is_ok() && accept(&listener).is_ok());
}

#[test]
fn handshakes_that_never_end_are_bounded_and_time_out() {
    let mut world = World::new();
    let _listener = world.listen(80, 100);
    // The answers are lost, ARP excepted, which comes first.
    world.dial(80);
    world.settle();
    world.is_lost = Box::new(|_| false);
    let mut syn = None;
    for source_port in 2000..2100u16 {
        // The client's own request, under ever new ports.
        let frame = syn.get_or_insert_with(|| syn_frame(2000)).clone();
        let mut frame = frame;
        frame[34..36].copy_from_slice(&source_port.to_be_bytes());
        world.to_server.lock().put(vouch(frame));
        world.stack.serve(world.now_us * 1000);
        while world.from_server.lock().take().is_some() {}
    }
    assert!(
        world.stack.census()[0] <= LIMITS.half_open + 1,
        "{:?}",
        world.stack.census()
    );
    for _ in 0..200 {
        world.now_us += 100_000;
        world.stack.serve(world.now_us * 1000);
        while world.from_server.lock().take().is_some() {}
    }
    assert!(world.stack.census()[0] <= 1, "{:?}", world.stack.census());
}

/// A request for a connection to port 80, with checksums.
fn syn_frame(source_port: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(SERVER_MAC);
    frame.extend(CLIENT_MAC);
    frame.extend([8, 0]);
    frame.extend([0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(CLIENT.octets());
    frame.extend(SERVER.octets());
    frame.extend(source_port.to_be_bytes());
    frame.extend(80u16.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xFF, 0xFF, 0, 0, 0, 0]);
    frame
}

/// Makes the checksums of an IPv4 frame right, as far as its lengths allow.
fn vouch(mut frame: Vec<u8>) -> Vec<u8> {
    use smoltcp::wire::checksum;
    if frame.len() < 34 {
        return frame;
    }
    frame[24..26].fill(0);
    let header = !checksum::data(&frame[14..34]);
    frame[24..26].copy_from_slice(&header.to_be_bytes());
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]])) + 14;
    let at = match frame[23] {
        6 => 50,
        17 => 40,
        1 => 36,
        _ => return frame,
    };
    if total > frame.len() || total < at + 2 {
        return frame;
    }
    frame[at..at + 2].fill(0);
    let address = |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
    let sum = match frame[23] {
        1 => 0,
        protocol => {
            let len_bytes = (total - 34) as u32;
            checksum::pseudo_header_v4(&address(26), &address(30), protocol.into(), len_bytes)
        }
    };
    let sum = !checksum::combine(&[sum, checksum::data(&frame[34..total])]);
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn a_reset_ends_a_connection_with_an_error_once() {
    let mut world = World::new();
    let listener = world.listen(80, 4);
    let (client, slot) = world.connected(&listener);
    world.tcp(client).abort();
    world.settle();
    assert!(
        world
            .stack
            .readiness(slot)
            .contains(Readiness::READABLE | Readiness::ERROR | Readiness::HANGUP)
    );
    assert_eq!(world.receive(slot), Err(Error::Reset));
    assert_eq!(world.receive(slot), Ok(vec![]));
    assert_eq!(world.send(slot, b"x"), Err(Error::BrokenPipe));
    world.release(slot);
    assert_eq!(world.stack.census()[0], 0);
}

#[test]
fn a_peer_that_vanishes_is_given_up() {
    let mut world = World::new();
    let listener = world.listen(80, 4);
    let (_, slot) = world.connected(&listener);
    world.is_lost = Box::new(|_| true);
    assert_eq!(world.send(slot, b"hello?"), Ok(6));
    world.pass(150_000_000);
    assert_eq!(world.receive(slot), Err(Error::TimedOut));
    world.release(slot);
    assert_eq!(world.stack.census()[0], 0);
}

#[test]
fn an_idle_connection_lives_on_and_wakes_nobody() {
    let mut world = World::new();
    let listener = world.listen(80, 4);
    let (client, slot) = world.connected(&listener);
    world.pass(3_000_000);
    assert_eq!(world.stack.next_deadline_ns(), None);
    world.pass(600_000_000);
    world.tcp(client).send_slice(b"still here").expect("open");
    world.settle();
    assert_eq!(world.receive(slot), Ok(b"still here".to_vec()));
}

#[test]
fn a_program_that_never_reads_its_orphan_gets_rid_of_it() {
    let mut world = World::new();
    let listener = world.listen(80, 4);
    let (client, slot) = world.connected(&listener);
    world.release(slot);
    world
        .tcp(client)
        .send_slice(b"nobody reads this")
        .expect("open");
    world.pass(1_000_000);
    assert_eq!(world.stack.census()[0], 0);
    assert_eq!(
        world.tcp(client).state(),
        tcp::State::Closed,
        "told by a reset"
    );
}

#[test]
fn a_peer_that_does_not_close_its_side_is_given_up() {
    let mut world = World::new();
    let listener = world.listen(80, 4);
    let (_client, slot) = world.connected(&listener);
    world.release(slot);
    world.pass(1_000_000);
    assert_eq!(world.stack.census()[0], 1, "waits for the peer");
    world.pass(60_000_000);
    assert_eq!(world.stack.census()[0], 0);
}

#[test]
fn a_large_answer_waits_for_a_slow_reader() {
    let mut world = World::new();
    let listener = world.listen(80, 4);
    let (client, slot) = world.connected(&listener);
    let mut sent = 0;
    while let Ok(len) = world.send(slot, &[1; 1000]) {
        sent += len;
        world.pass(20_000);
    }
    // A rest too small to be worth a segment is kept back.
    assert!(sent > 7000, "both buffers are nearly full: {sent}");
    assert!(!world.stack.readiness(slot).contains(Readiness::WRITABLE));
    world.pass(30_000_000);
    let mut got = 0;
    while got < sent {
        let mut buf = [0; 700];
        got += world.tcp(client).recv_slice(&mut buf).expect("open");
        world.pass(20_000);
    }
    assert!(world.stack.readiness(slot).contains(Readiness::WRITABLE));
}

#[test]
fn outgoing_connections_reach_refuse_and_time_out() {
    let mut world = World::new();
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let peer = world.socket();
    world.tcp(peer).listen(8080).expect("fresh");
    let now_ns = world.now_ns();
    let to = |port| SocketAddr::new(IpAddr::V4(CLIENT), port);
    let good = world
        .stack
        .connect(Arc::default(), any, to(8080), Settings::default(), now_ns)
        .expect("sent");
    let refused = world
        .stack
        .connect(Arc::default(), any, to(8081), Settings::default(), now_ns)
        .expect("sent");
    assert_eq!(world.stack.progress(good), Progress::Connecting);
    assert_eq!(world.receive(good), Err(Error::WouldBlock));
    world.settle();
    assert_eq!(world.stack.progress(good), Progress::Connected);
    assert_eq!(
        world.stack.progress(refused),
        Progress::Failed(Error::Refused)
    );
    world.is_lost = Box::new(|_| true);
    let now_ns = world.now_ns();
    let silent = world
        .stack
        .connect(Arc::default(), any, to(8082), Settings::default(), now_ns)
        .expect("sent");
    world.pass(150_000_000);
    assert_eq!(
        world.stack.progress(silent),
        Progress::Failed(Error::TimedOut)
    );
    for slot in [good, refused, silent] {
        world.release(slot);
    }
}

#[test]
fn datagrams_come_and_go() {
    let mut world = World::new();
    let mailbox = Arc::new(Mailbox::default());
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 53);
    world
        .ports
        .bind_udp(address.into(), mailbox.clone())
        .expect("free");
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(5000).expect("fresh");
    socket.send_slice(b"who?", (SERVER, 53)).expect("room");
    let handle = world.sockets.add(socket);
    world.settle();
    assert_eq!(mailbox.take().as_deref(), Some(&b"who?"[..]));
    let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 53);
    let to = SocketAddr::new(IpAddr::V4(CLIENT), 5000);
    let now_ns = world.now_ns();
    assert_eq!(
        world
            .stack
            .send_datagram(from, to, b"me", Manner::default(), now_ns),
        Ok(())
    );
    assert_eq!(
        world
            .stack
            .send_datagram(from, to, &[0; 65_508], Manner::default(), now_ns),
        Err(Error::MessageTooLong)
    );
    world.settle();
    let socket: &mut udp::Socket = world.sockets.get_mut(handle);
    let (payload, from) = socket.recv().expect("an answer");
    assert_eq!(payload, b"me");
    assert_eq!(from.endpoint.port, 53);
}

#[test]
fn a_datagram_waits_for_the_hardware_address() {
    let mut world = World::new();
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(5000).expect("fresh");
    let handle = world.sockets.add(socket);
    let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9);
    let to = SocketAddr::new(IpAddr::V4(CLIENT), 5000);
    let now_ns = world.now_ns();
    world
        .stack
        .send_datagram(from, to, b"first", Manner::default(), now_ns)
        .expect("queued");
    world.settle();
    let socket: &mut udp::Socket = world.sockets.get_mut(handle);
    assert!(
        socket.can_recv(),
        "sent as soon as the neighbour has answered, without waiting for a timer"
    );
}

#[test]
fn a_ping_is_answered() {
    let mut world = World::new();
    // Any connection makes the hardware addresses known.
    world.dial(81);
    world.settle();
    let mut ping = syn_frame(0)[..34].to_vec();
    ping[17] = 20 + 8 + 4;
    ping[23] = 1;
    ping.extend([8, 0, 0, 0, 0x12, 0x34, 0, 1]);
    ping.extend(b"ping");
    world.seen.clear();
    world.to_server.lock().put(vouch(ping));
    world.settle();
    let answer = world.seen.last().expect("an answer");
    assert_eq!((answer[23], answer[34]), (1, 0), "an echo reply");
    assert_eq!(&answer[42..46], b"ping");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Frames of a real conversation, damaged, with checksums made right again so that they get deep.
    #[test]
    fn damaged_frames_never_panic(
        damage in proptest::collection::vec((0usize..70, any::<u8>(), 0usize..90), 1..200),
    ) {
        let mut world = World::new();
        let listener = world.listen(80, 4);
        let (client, slot) = world.connected(&listener);
        world.tcp(client).send_slice(b"hello").expect("open");
        for (at, value, len) in damage {
            world.client.poll_egress(
                Instant::from_micros(world.now_us as i64),
                &mut world.client_port.device(None),
                &mut world.sockets,
            );
            let mut frame = { let mut wire = world.from_client.lock(); wire.take() }.unwrap_or_else(|| syn_frame(3000));
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
            frame.truncate(len.max(14));
            world.to_server.lock().put(vouch(frame));
            world.stack.serve(world.now_us * 1000);
            world.now_us += 50_000;
            let _ = world.receive(slot);
            let _ = world.send(slot, b"answer");
            while world.from_server.lock().take().is_some() {}
        }
    }

    #[test]
    fn random_frames_never_panic(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 1..50)) {
        let mut world = World::new();
        let _listener = world.listen(80, 4);
        for frame in frames {
            let mut whole = syn_frame(1)[..14].to_vec();
            whole.extend(frame);
            world.to_server.lock().put(whole.clone());
            world.to_server.lock().put(vouch(whole));
            world.stack.serve(world.now_us * 1000);
            world.now_us += 1000;
        }
    }
}
