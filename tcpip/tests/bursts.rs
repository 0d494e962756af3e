//! Much at once: answers wait for the peer's hardware address and for the device's buffers, and none is lost.

mod world;

use std::collections::HashSet;
use std::net::SocketAddr;

use tcpip::Settings;
use world::{ANY, B, MAC_B, World};

/// A station that is not known yet.
const STRANGER: u8 = 77;
const STRANGER_MAC: [u8; 6] = [2, 0, 0, 0, 0, STRANGER];
const REQUESTS: u16 = 500;
const SYN: u8 = 2;
const SYN_ACK: u8 = 0x12;
const FLAGS: usize = 47;
const SECOND: u64 = 1_000_000;

/// A world in which B listens, and a request for a connection from a stranger of whom B knows nothing. Its checksums are not right.
fn world_with_request() -> (World, Vec<u8>) {
    let mut world = World::new(1);
    world.connected(80);
    world.is_noting = true;
    let to = SocketAddr::new(B, 80);
    let begun = world.a.connect((), ANY, to, Settings::default(), world.now);
    begun.expect("a way");
    world.settle();
    world.is_noting = false;
    let is_request = |(from_a, frame): &&(bool, Vec<u8>)| *from_a && frame[FLAGS] == SYN;
    let (_, frame) = world.noted.iter().find(is_request).expect("a request");
    let mut request = frame.clone();
    request[29] = STRANGER;
    world.b.sockets.accepted.clear();
    (world, request)
}

/// The same request from another port.
fn from_port(request: &[u8], port: u16) -> Vec<u8> {
    let mut frame = request.to_vec();
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame
}

/// The stranger's answer to ARP.
fn told() -> Vec<u8> {
    let mut frame = [&MAC_B[..], &STRANGER_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]].concat();
    frame.extend(
        [
            &STRANGER_MAC[..],
            &[10, 0, 2, STRANGER],
            &MAC_B,
            &[10, 0, 2, 15],
        ]
        .concat(),
    );
    frame
}

/// The ports to which B has answered, as far as its device has taken the answers.
fn take_answers(world: &mut World, answered: &mut HashSet<u16>) {
    for frame in world.b.device.frames.drain(..) {
        if frame[12..14] == [8, 0] && frame[FLAGS] == SYN_ACK {
            assert_eq!(frame[..6], STRANGER_MAC);
            answered.insert(u16::from_be_bytes([frame[36], frame[37]]));
        }
    }
}

#[test]
fn a_burst_of_requests_from_a_station_that_is_not_known_is_answered_whole() {
    let (mut world, request) = world_with_request();
    let before = *world.b.stats();
    world.b.device.room = 4;
    for port in 1..=REQUESTS {
        world.b.receive(&from_port(&request, port), true, world.now);
    }
    assert_eq!(world.b.device.frames.len(), 1, "a question");
    world.b.receive(&told(), true, world.now);
    let mut answered = HashSet::new();
    let start = world.now;
    while answered.len() < usize::from(REQUESTS) {
        take_answers(&mut world, &mut answered);
        world.now = world.b.next_timer().expect("answers wait").max(world.now);
        assert!(world.now < start + SECOND / 2, "only {}", answered.len());
        world.b.run_timers(world.now);
    }
    let after = world.b.stats();
    assert_eq!(after.neighbor_lost, before.neighbor_lost);
    assert_eq!(after.device_full, before.device_full);
    assert_eq!(after.handshakes_repeated, before.handshakes_repeated);
    assert!(after.device_waits > before.device_waits && !world.b.is_congested());
}

#[test]
fn connections_begun_at_once_are_made_though_the_device_has_few_buffers() {
    const CONNECTIONS: usize = 150;
    let mut world = World::new(2);
    world.b.sockets.listening.push(80);
    (world.a.device.room, world.b.device.room) = (2, 2);
    world.weather.delay_us = 10;
    let to = SocketAddr::new(B, 80);
    for _ in 0..CONNECTIONS {
        let begun = world.a.connect((), ANY, to, Settings::default(), world.now);
        begun.expect("a way");
    }
    world.pass(SECOND / 2);
    assert_eq!(world.b.sockets.accepted.len(), CONNECTIONS);
    for stats in [world.a.stats(), world.b.stats()] {
        assert_eq!((stats.device_full, stats.timeouts), (0, 0));
        assert_eq!((stats.handshakes_repeated, stats.neighbor_lost), (0, 0));
    }
}

#[test]
fn a_device_that_takes_nothing_any_more_holds_nothing_up_and_is_used_again_when_it_does() {
    let (mut world, request) = world_with_request();
    world.b.receive(&from_port(&request, 1), true, world.now);
    world.b.receive(&told(), true, world.now);
    let mut answered = HashSet::new();
    take_answers(&mut world, &mut answered);
    assert_eq!(answered.len(), 1);
    let before = world.b.stats().device_full;
    let lost = |world: &World| world.b.stats().device_full - before;

    world.b.device.room = 0;
    for port in 2..12 {
        world.b.receive(&from_port(&request, port), true, world.now);
    }
    assert!(world.b.is_congested() && lost(&world) == 0);
    for _ in 0..SECOND / 10 {
        world.now += 1;
        world.b.run_timers(world.now);
    }
    assert!(!world.b.is_congested(), "what comes in is taken again");
    assert_eq!(lost(&world), 10);
    world.b.receive(&from_port(&request, 12), true, world.now);
    assert!(!world.b.is_congested() && lost(&world) == 11);

    world.b.device.room = 1;
    world.b.receive(&from_port(&request, 13), true, world.now);
    world.b.receive(&from_port(&request, 14), true, world.now);
    assert!(world.b.is_congested() && lost(&world) == 11);
    take_answers(&mut world, &mut answered);
    world.b.run_timers(world.now);
    take_answers(&mut world, &mut answered);
    assert!(answered.contains(&13) && answered.contains(&14));
}

#[test]
fn what_waits_for_a_device_is_bounded() {
    let (mut world, request) = world_with_request();
    world.b.receive(&told(), true, world.now);
    world.b.receive(&from_port(&request, 1), true, world.now);
    world.b.receive(&told(), true, world.now);
    world.b.device.room = 0;
    for port in 2..20_000 {
        world.b.receive(&from_port(&request, port), true, world.now);
    }
    let stats = world.b.stats();
    assert!(stats.device_full > 15_000, "{}", stats.device_full);
    assert!(stats.device_waits > 1_000, "{}", stats.device_waits);
}

#[test]
fn a_connection_made_from_a_cookie_is_heard_at_once() {
    let (mut world, request) = world_with_request();
    for port in 1..100 {
        world.b.receive(&from_port(&request, port), true, world.now);
    }
    world.b.device.frames.clear();
    world.b.device.room = 256;
    let to = SocketAddr::new(B, 80);
    for round in 0..40 {
        world.now += 1_000;
        let at_a = world.a.connect((), ANY, to, Settings::default(), world.now);
        let at_a = at_a.expect("a way");
        world.settle();
        let (at_b, _) = world.b.sockets.accepted.pop_front().expect("accepted");
        world.b.write(at_b, b"word", world.now).expect("open");
        world.settle();
        let mut word = [0; 4];
        let read = world.a.read(at_a, &mut word, false, world.now);
        assert_eq!((read, &word), (Ok(4), b"word"), "round {round}");
        world.a.release(at_a, true, world.now);
        world.settle();
    }
    assert!(world.b.stats().cookies_taken >= 40);
}
