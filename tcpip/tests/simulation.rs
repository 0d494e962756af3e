//! Whole conversations between two engines, in all weathers.

mod world;

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use tcpip::{Error, Manner, Ready, Settings, State};
use world::{A, ANY, B, LIMITS, Weather, World, pattern};

/// Sends `up` from `a` to `b` and `down` the other way at once, then closes; what arrived, and the time it took.
fn exchange(world: &mut World, up: &[u8], down: &[u8], bite: usize) -> (Vec<u8>, Vec<u8>, u64) {
    let ends = world.connected(80);
    converse(world, ends, up, down, bite)
}

/// The same over a connection that is there.
fn converse(
    world: &mut World,
    (at_a, at_b): (u32, u32),
    up: &[u8],
    down: &[u8],
    bite: usize,
) -> (Vec<u8>, Vec<u8>, u64) {
    let start = world.now;
    let (mut sent_a, mut sent_b) = (0, 0);
    let (mut got_a, mut got_b) = (Vec::new(), Vec::new());
    let (mut closed_a, mut closed_b) = (false, false);
    let mut buf = vec![0; bite];
    for _ in 0..2_000_000 {
        let now = world.now;
        let mut has_worked = false;
        for (host, slot, data, sent, got, closed) in [
            (
                &mut world.a,
                at_a,
                up,
                &mut sent_a,
                &mut got_a,
                &mut closed_a,
            ),
            (
                &mut world.b,
                at_b,
                down,
                &mut sent_b,
                &mut got_b,
                &mut closed_b,
            ),
        ] {
            if *sent < data.len() {
                match host.write(slot, &data[*sent..(*sent + bite).min(data.len())], now) {
                    Ok(count) => {
                        *sent += count;
                        has_worked |= count != 0;
                    }
                    Err(Error::WouldBlock) => {}
                    Err(error) => panic!("write: {error}"),
                }
            } else if !*closed {
                *closed = true;
                host.shutdown(slot, now);
                has_worked = true;
            }
            // Nothing is taken while something waits to be read.
            has_worked |= !host.sockets.taken.is_empty();
            got.append(&mut host.sockets.taken);
            match host.read(slot, &mut buf, false, now) {
                Ok(count) => {
                    got.extend_from_slice(&buf[..count]);
                    has_worked |= count != 0;
                }
                Err(Error::WouldBlock) => {}
                Err(error) => panic!("read: {error}"),
            }
        }
        world.settle();
        if has_worked {
            continue;
        }
        if got_a.len() >= down.len() && got_b.len() >= up.len() && closed_a && closed_b {
            break;
        }
        let next = world.next().expect("something is still to happen");
        world.now = next.max(world.now);
        world.settle();
    }
    let took = world.now - start;
    let now = world.now;
    world.a.release(at_a, false, now);
    world.b.release(at_b, false, now);
    (got_a, got_b, took)
}

/// After all is over nothing is left.
fn assert_empty(world: &mut World) {
    world.weather = Weather::default();
    world.pass(200_000_000);
    for host in [&world.a, &world.b] {
        let [connections, _, tuples, orphans, timers, half_open, bytes] = host.census();
        assert_eq!(
            [connections, tuples, orphans, timers, half_open, bytes],
            [0; 6],
            "{:?}",
            host.census()
        );
        assert_eq!(host.time_wait(), 0);
    }
}

#[test]
fn bytes_go_both_ways_and_nothing_is_left() {
    let mut world = World::new(1);
    let (up, down) = (pattern(300_000), pattern(200_000));
    let (got_a, got_b, _) = exchange(&mut world, &up, &down, 10_000);
    assert!(got_a == down && got_b == up);
    assert_empty(&mut world);
}

#[test]
fn bytes_that_programs_take_at_once_come_in_order_with_all_others() {
    for (seed, one_in) in [(1, 1), (2, 2), (3, 3), (4, 1), (5, 2)] {
        let mut world = World::new(seed);
        world.a.sockets.takes_one_in = one_in;
        world.b.sockets.takes_one_in = one_in;
        world.weather = Weather {
            loss: 10,
            repetition: 10,
            delay_us: 1000,
            jitter_us: 300,
            ..Weather::default()
        };
        let (up, down) = (pattern(300_000), pattern(200_000));
        let (got_a, got_b, _) = exchange(&mut world, &up, &down, 10_000);
        assert!(got_a == down && got_b == up, "seed {seed}");
        assert_empty(&mut world);
    }
}

#[test]
fn the_short_way_is_the_usual_one() {
    let mut world = World::new(1);
    let (at_a, at_b) = world.connected(80);
    let before = world.b.stats().predicted;
    for _ in 0..100 {
        let now = world.now;
        world.a.write(at_a, &[1; 100], now).expect("room");
        world.settle();
        let mut buf = [0; 200];
        assert_eq!(world.b.read(at_b, &mut buf, false, now), Ok(100));
        world.b.write(at_b, &[2; 700], now).expect("room");
        world.settle();
        assert_eq!(world.a.read(at_a, &mut [0; 1000], false, now), Ok(700));
        world.pass(1000);
    }
    let predicted = world.b.stats().predicted - before;
    assert_eq!(predicted, 100);
    // A request and an answer are a segment each: acknowledgements go with them.
    assert!(world.b.stats().segments_out < 110, "{:?}", world.b.stats());
}

#[test]
fn a_lost_segment_is_sent_again_without_waiting() {
    for rtt_us in [2_000, 50_000] {
        let mut world = World::new(3);
        world.weather = Weather {
            loss: 5,
            delay_us: rtt_us / 2,
            ..Weather::default()
        };
        let up = pattern(2_000_000);
        let (_, got, took) = exchange(&mut world, &up, &[], 50_000);
        assert!(got == up);
        let stats = world.a.stats();
        assert!(stats.retransmitted >= 3, "{stats:?}");
        // Nearly all of it by fast retransmission: a timeout would take 200 ms at least.
        assert!(
            stats.timeouts <= stats.retransmitted / 3 + 1,
            "{took} us, {stats:?}"
        );
        assert!(stats.retransmitted < 40, "only what was lost: {stats:?}");
    }
}

#[test]
fn reordering_alone_costs_little() {
    let mut world = World::new(4);
    world.weather = Weather {
        delay_us: 5_000,
        jitter_us: 200,
        ..Weather::default()
    };
    let up = pattern(1_000_000);
    let (_, got, _) = exchange(&mut world, &up, &[], 50_000);
    assert!(got == up);
    assert_eq!(world.a.stats().timeouts, 0);
}

#[test]
fn a_program_that_reads_slowly_stops_the_sender_and_lets_it_go_on() {
    let mut world = World::new(5);
    let (at_a, at_b) = world.connected(80);
    let (mut sent, mut got) = (0, 0);
    let up = pattern(3_000_000);
    for round in 0..100_000 {
        let now = world.now;
        if let Ok(count) = world.a.write(at_a, &up[sent..], now) {
            sent += count;
        }
        if round % 40 == 39 {
            let mut buf = vec![0; 30_000];
            if let Ok(count) = world.b.read(at_b, &mut buf, false, now) {
                assert!(buf[..count] == up[got..got + count]);
                got += count;
            }
        }
        world.pass(20_000);
        assert!(world.b.unread(at_b) <= LIMITS.receive_bytes);
        if got == up.len() {
            return;
        }
    }
    panic!("{sent} sent, {got} read");
}

#[test]
fn a_window_that_stays_shut_is_asked_for_and_opens() {
    let mut world = World::new(6);
    let (at_a, at_b) = world.connected(80);
    let up = pattern(200_000);
    let mut sent = 0;
    while let Ok(count) = world.a.write(at_a, &up[sent..], world.now) {
        sent += count;
        world.pass(50_000);
        if sent == up.len() {
            break;
        }
    }
    world.pass(400_000_000);
    assert_eq!(
        world.a.state(at_a),
        State::Established,
        "a peer that answers is not given up"
    );
    // What tells that the window is open again is lost.
    world.weather.loss = 1000;
    let mut got = Vec::new();
    let mut buf = vec![0; 300_000];
    let count = world
        .b
        .read(at_b, &mut buf, false, world.now)
        .expect("bytes");
    got.extend_from_slice(&buf[..count]);
    world.settle();
    world.weather.loss = 0;
    for _ in 0..200 {
        world.pass(1_000_000);
        if let Ok(count) = world.b.read(at_b, &mut buf, false, world.now) {
            got.extend_from_slice(&buf[..count]);
        }
    }
    assert!(got == up[..sent], "{} of {sent}", got.len());
}

#[test]
fn a_connection_to_nobody_is_refused_and_to_no_host_fails() {
    let mut world = World::new(7);
    let refused = world
        .a
        .connect(
            (),
            ANY,
            SocketAddr::new(B, 81),
            Settings::default(),
            world.now,
        )
        .expect("a way");
    world.pass(1000);
    assert_eq!(world.a.take_error(refused), Some(Error::Refused));
    let nobody = SocketAddr::new("10.0.2.99".parse().expect("an address"), 80);
    let lost = world
        .a
        .connect((), ANY, nobody, Settings::default(), world.now)
        .expect("a way");
    let far = SocketAddr::new("1.1.1.1".parse().expect("an address"), 80);
    let unreachable = world
        .a
        .connect((), ANY, far, Settings::default(), world.now);
    assert_eq!(unreachable, Err(Error::NetworkUnreachable));
    world.pass(4_000_000);
    assert_eq!(world.a.take_error(lost), Some(Error::HostUnreachable));
    assert_eq!(world.a.state(lost), State::Closed);
    for slot in [refused, lost] {
        world.a.release(slot, false, world.now);
    }
    assert_empty(&mut world);
}

#[test]
fn a_peer_that_vanishes_is_given_up() {
    let mut world = World::new(8);
    let (at_a, at_b) = world.connected(80);
    world.weather.loss = 1000;
    world.a.write(at_a, b"hello?", world.now).expect("room");
    world.pass(150_000_000);
    assert!(world.a.ready(at_a).contains(Ready::ERROR | Ready::CLOSED));
    assert_eq!(
        world.a.read(at_a, &mut [0; 9], false, world.now),
        Err(Error::TimedOut)
    );
    world.a.release(at_a, false, world.now);
    assert_eq!(world.b.state(at_b), State::Established, "it does not know");
    world.b.release(at_b, false, world.now);
    assert_empty(&mut world);
}

#[test]
fn a_silent_peer_is_asked_whether_it_is_there() {
    for is_there in [true, false] {
        let mut world = World::new(9);
        let (at_a, at_b) = world.connected(80);
        let settings = Settings {
            keep_alive_s: 10,
            keep_alive_interval_s: 5,
            keep_alive_probes: 3,
            ..Settings::default()
        };
        world.a.configure(at_a, settings, world.now);
        world.pass(1_000_000);
        if !is_there {
            world.weather.loss = 1000;
        }
        world.pass(60_000_000);
        let expected = if is_there {
            State::Established
        } else {
            State::Closed
        };
        assert_eq!(world.a.state(at_a), expected);
        assert_eq!(world.b.state(at_b), State::Established);
    }
}

#[test]
fn both_open_at_once() {
    let mut world = World::new(10);
    // The hardware addresses are known, so that the requests cross.
    world.connected(80);
    world.weather.delay_us = 1000;
    let (end_a, end_b) = (SocketAddr::new(A, 5000), SocketAddr::new(B, 6000));
    let at_a = world
        .a
        .connect((), end_a, end_b, Settings::default(), world.now)
        .expect("a way");
    let at_b = world
        .b
        .connect((), end_b, end_a, Settings::default(), world.now)
        .expect("a way");
    world.pass(100_000);
    assert_eq!(
        (world.a.state(at_a), world.b.state(at_b)),
        (State::Established, State::Established)
    );
    world.a.write(at_a, b"hello", world.now).expect("room");
    world.pass(100_000);
    assert_eq!(world.b.read(at_b, &mut [0; 9], false, world.now), Ok(5));
}

#[test]
fn both_close_at_once() {
    let mut world = World::new(11);
    let (at_a, at_b) = world.connected(80);
    world.weather.delay_us = 1000;
    world.a.release(at_a, false, world.now);
    world.b.release(at_b, false, world.now);
    world.pass(50_000);
    assert_eq!((world.a.time_wait(), world.b.time_wait()), (1, 1));
    assert_empty(&mut world);
}

#[test]
fn who_asks_is_told_how_much_a_listener_wants_in_a_segment() {
    for (wanted, told) in [(0, 1460), (500, 500), (9000, 1460)] {
        let mut world = World::new(30);
        world.b.sockets.segment_bytes = wanted;
        world.is_noting = true;
        world.connected(80);
        let is_answer =
            |(from_a, frame): &&(bool, Vec<u8>)| !from_a && frame.get(47) == Some(&0x12);
        let (_, answer) = world.noted.iter().find(is_answer).expect("an answer");
        assert_eq!(
            answer[54..58],
            [&[2, 4][..], &u16::to_be_bytes(told)].concat()
        );
    }
}

#[test]
fn ten_thousand_requests_for_connections_hold_nothing_and_real_ones_get_through() {
    let mut world = World::new(12);
    world.connected(80);
    world.is_noting = true;
    let at_a = world.a.connect(
        (),
        ANY,
        SocketAddr::new(B, 80),
        Settings::default(),
        world.now,
    );
    world.settle();
    let syn = world
        .noted
        .iter()
        .find(|(from_a, frame)| *from_a && frame[47] == 2)
        .expect("a request")
        .1
        .clone();
    world.is_noting = false;
    let _ = at_a;
    // The same request from many ports of a host that never goes on; checksums by the device.
    for port in 0..10_000u16 {
        let mut frame = syn.clone();
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame[29] = 77;
        world.b.receive(&frame, true, world.now);
        world.b.device.frames.clear();
    }
    assert!(world.b.census()[5] <= LIMITS.half_open);
    assert!(world.b.stats().cookies_sent > 9_000);
    // Meanwhile a real one, whose options survive the cookie.
    world.b.sockets.accepted.clear();
    let real = world
        .a
        .connect(
            (),
            ANY,
            SocketAddr::new(B, 80),
            Settings::default(),
            world.now,
        )
        .expect("a way");
    world.settle();
    assert_eq!(world.b.stats().cookies_taken, 1);
    let (at_b, _) = world.b.sockets.accepted.pop_front().expect("accepted");
    let up = pattern(100_000);
    let mut sent = 0;
    let mut got = Vec::new();
    while got.len() < up.len() {
        if let Ok(count) = world.a.write(real, &up[sent..], world.now) {
            sent += count;
        }
        world.pass(1000);
        let mut buf = [0; 10_000];
        if let Ok(count) = world.b.read(at_b, &mut buf, false, world.now) {
            got.extend_from_slice(&buf[..count]);
        }
    }
    assert!(got == up);
}

#[test]
fn a_full_backlog_makes_peers_wait_not_fail() {
    let mut world = World::new(13);
    world.b.sockets.listening.push(80);
    world.b.sockets.backlog = 2;
    let slots: Vec<u32> = (0..5)
        .map(|_| {
            let to = SocketAddr::new(B, 80);
            world
                .a
                .connect((), ANY, to, Settings::default(), world.now)
                .expect("a way")
        })
        .collect();
    world.pass(100_000);
    assert_eq!(world.b.sockets.accepted.len(), 2);
    let mut taken = 0;
    for _ in 0..10 {
        taken += world.b.sockets.accepted.drain(..).count();
        world.pass(5_000_000);
    }
    assert_eq!(taken, 5);
    assert!(
        slots
            .iter()
            .all(|slot| world.a.state(*slot) == State::Established)
    );
}

#[test]
fn a_program_that_is_gone_refuses_what_comes_for_it() {
    let mut world = World::new(14);
    let (at_a, at_b) = world.connected(80);
    world.b.release(at_b, false, world.now);
    world
        .a
        .write(at_a, b"nobody reads this", world.now)
        .expect("room");
    world.pass(1_000_000);
    // The peer had ended its side before, so that is all that is to be read.
    assert_eq!(world.a.state(at_a), State::Closed);
    assert_eq!(world.a.read(at_a, &mut [0; 9], false, world.now), Ok(0));
    assert_eq!(world.a.write(at_a, b"x", world.now), Err(Error::BrokenPipe));
    assert_eq!(world.b.census()[0], 0);
}

#[test]
fn an_idle_connection_holds_no_buffers_and_sets_no_timers() {
    let mut world = World::new(15);
    let (at_a, at_b) = world.connected(80);
    let up = pattern(500_000);
    let mut sent = 0;
    let mut buf = vec![0; 100_000];
    while sent < up.len() {
        sent += world.a.write(at_a, &up[sent..], world.now).unwrap_or(0);
        world.pass(1000);
        let _ = world.b.read(at_b, &mut buf, false, world.now);
    }
    for _ in 0..100 {
        world.pass(10_000);
        let _ = world.b.read(at_b, &mut buf, false, world.now);
    }
    // The hardware addresses are asked for no more either.
    world.pass(100_000_000);
    for host in [&world.a, &world.b] {
        let [connections, _, _, _, timers, _, bytes] = host.census();
        assert_eq!((connections, timers, bytes), (1, 0, 0));
    }
}

#[test]
fn memory_for_buffers_is_bounded_and_everybody_gets_on() {
    let limits = tcpip::Limits {
        buffer_bytes: 200 << 10,
        ..LIMITS
    };
    let mut world = World::with(16, limits, 1500);
    let pairs: Vec<_> = (0..30).map(|_| world.connected(80)).collect();
    let up = pattern(40_000);
    let mut sent = vec![0; pairs.len()];
    let mut got = vec![0; pairs.len()];
    for round in 0..20_000 {
        for (at, (at_a, at_b)) in pairs.iter().enumerate() {
            let now = world.now;
            if sent[at] < up.len() {
                sent[at] += world.a.write(*at_a, &up[sent[at]..], now).unwrap_or(0);
            }
            // Nobody reads for long, so that memory gets short.
            if round > 200 {
                let mut buf = [0; 3000];
                let count = world.b.read(*at_b, &mut buf, false, now).unwrap_or(0);
                assert!(buf[..count] == up[got[at]..got[at] + count]);
                got[at] += count;
            }
        }
        world.pass(10_000);
        let assured = 30 * tcpip::Limits::ASSURED_BYTES;
        for host in [&world.a, &world.b] {
            assert!(
                host.census()[6] <= limits.buffer_bytes + 2 * assured,
                "{:?}",
                host.census()
            );
        }
        if got.iter().all(|count| *count == up.len()) {
            return;
        }
    }
    panic!("{got:?}");
}

#[test]
fn datagrams_go_whole_and_in_parts() {
    let mut world = World::new(17);
    world.b.sockets.bound.push(53);
    let (from, to) = (SocketAddr::new(A, 1000), SocketAddr::new(B, 53));
    for len in [0, 5, 1472, 1473, 5000, 65_000] {
        let payload = pattern(len);
        world
            .a
            .send_datagram(from, to, &payload, Manner::default(), world.now)
            .expect("a way");
        world.pass(1000);
        let (_, sender, got) = world.b.sockets.datagrams.pop().expect("arrived");
        assert!(got == payload && sender == from, "{len}");
    }
    assert_eq!(
        world
            .a
            .send_datagram(from, to, &pattern(65_536), Manner::default(), world.now),
        Err(Error::MessageTooLong)
    );
    world
        .a
        .send_datagram(
            from,
            SocketAddr::new(B, 54),
            b"?",
            Manner::default(),
            world.now,
        )
        .expect("a way");
    world.pass(1000);
    assert_eq!(
        world.a.sockets.undeliverable.pop().map(|one| one.2),
        Some(Error::Refused)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_any_weather_all_bytes_arrive_once_and_in_order(
        seed: u64,
        loss in 0u64..150,
        repetition in 0u64..200,
        damage in 0u64..50,
        delay_us in 0u64..100_000,
        jitter_us in 0u64..50_000,
        up in 0usize..150_000,
        down in 0usize..150_000,
        bite in 1usize..20_000,
        mtu in 100usize..1500,
    ) {
        let mut world = World::with(seed, LIMITS, mtu);
        // The handshake in fair weather: it may fail for good otherwise.
        world.weather = Weather { delay_us, ..Weather::default() };
        let ends = world.connected(80);
        let (up, down) = (pattern(up), pattern(down));
        world.weather = Weather { loss: loss / 4, repetition, damage, delay_us, jitter_us, ..Weather::default() };
        let bite = bite.max(up.len().max(down.len()) / 200);
        let (got_a, got_b, _) = converse(&mut world, ends, &up, &down, bite);
        prop_assert!(got_a == down, "{} of {}", got_a.len(), down.len());
        prop_assert!(got_b == up, "{} of {}", got_b.len(), up.len());
        assert_empty(&mut world);
    }
}

#[test]
fn hosts_that_both_send_again_hear_each_others_acknowledgements() {
    // What a property of this file found: each had what the other sent again, and said so with a number from before.
    let mut world = World::with(9_599_138_139_373_827_441, LIMITS, 588);
    world.weather = Weather {
        delay_us: 6304,
        ..Weather::default()
    };
    world.pass(1);
    world.weather = Weather {
        loss: 27,
        repetition: 36,
        damage: 17,
        delay_us: 6304,
        jitter_us: 47_273,
        ..Weather::default()
    };
    let (up, down) = (pattern(49_370), pattern(70_120));
    let (got_a, got_b, took) = exchange(&mut world, &up, &down, 14_310);
    assert!(got_a == down && got_b == up);
    assert!(took < 60_000_000, "{took} us");
    assert_empty(&mut world);
}

/// What a connection has to send when the way to its peer is lost has no segment under way that would time out.
#[test]
fn a_peer_whose_hardware_address_is_lost_is_asked_for_again_and_given_up_at_last() {
    for comes_back in [true, false] {
        let mut world = World::new(9);
        let (at_a, at_b) = world.connected(80);
        // Longer than any neighbour is believed in without an answer.
        world.pass(600_000_000);
        let silent = |world: &mut World, for_us: u64| {
            let end = world.now + for_us;
            while world.now < end {
                world.b.device.frames.clear();
                world.now += 500_000;
                world.b.run_timers(world.now);
            }
            world.b.device.frames.clear();
        };
        world
            .b
            .write(at_b, b"late", world.now)
            .expect("still connected");
        silent(&mut world, 10_000_000);
        if comes_back {
            world.pass(60_000_000);
            let mut buf = [0; 10];
            assert_eq!(world.a.read(at_a, &mut buf, false, world.now), Ok(4));
        } else {
            silent(&mut world, 300_000_000);
            assert_eq!(
                world.b.write(at_b, b"more", world.now),
                Err(Error::TimedOut)
            );
        }
    }
}

/// Hardware addresses that the frames go to which `a` sends for another connection.
fn addresses_of_another_connection(world: &mut World, port: u16) -> Vec<[u8; 6]> {
    world.is_noting = true;
    let to = SocketAddr::new(B, port);
    let slot = world.a.connect((), ANY, to, Settings::default(), world.now);
    world.settle();
    world.is_noting = false;
    world.a.release(slot.expect("a way"), true, world.now);
    world.settle();
    let frames = std::mem::take(&mut world.noted).into_iter();
    frames
        .filter(|(from_a, frame)| *from_a && frame[12..14] == [8, 0])
        .map(|(_, frame)| frame[..6].try_into().expect("an address"))
        .collect()
}

/// The peer's address is announced by another station (RFC 5227, section 2.3).
fn announce_another(world: &mut World) -> [u8; 6] {
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
    let IpAddr::V4(peer) = B else {
        panic!("of IPv4");
    };
    let parts: [&[u8]; 7] = [
        &[0xFF; 6],
        &OTHER,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &OTHER,
        &peer.octets(),
        &[0; 6],
        &peer.octets(),
    ];
    world.a.receive(&parts.concat(), false, world.now);
    OTHER
}

#[test]
fn who_announces_the_address_of_a_peer_that_is_there_gets_nothing() {
    let mut world = World::new(1);
    world.connected(80);
    for _ in 0..5 {
        world.pass(5_000_000);
        announce_another(&mut world);
        let after = addresses_of_another_connection(&mut world, 80);
        assert!(!after.is_empty());
        assert!(after.iter().all(|mac| *mac == world::MAC_B), "{after:x?}");
    }
}

#[test]
fn new_connections_follow_a_peer_to_another_hardware_address() {
    let mut world = World::new(1);
    world.connected(80);
    world.pass(5_000_000);
    let other = announce_another(&mut world);
    // The station that had it is gone: it is asked at the next use, and a second later everybody is.
    let to = SocketAddr::new(B, 80);
    let slot = world.a.connect((), ANY, to, Settings::default(), world.now);
    world.a.device.frames.clear();
    world.now += 1_000_000;
    world.a.run_timers(world.now);
    world.a.device.frames.clear();
    world.now += 1_000;
    announce_another(&mut world);
    world.a.device.frames.clear();
    let another = world.a.connect((), ANY, to, Settings::default(), world.now);
    let frames: Vec<_> = world.a.device.frames.iter().collect();
    assert!(!frames.is_empty() && frames.iter().all(|frame| frame[..6] == other));
    for slot in [slot, another] {
        world.a.release(slot.expect("a way"), true, world.now);
    }
}

/// Frames of ARP that were noted: whether of `a`, the operation, the sender and the target.
fn noted_arp(world: &mut World) -> Vec<(bool, u8, [u8; 4], [u8; 4])> {
    let frames = std::mem::take(&mut world.noted).into_iter();
    frames
        .filter(|(_, frame)| frame[12..14] == [8, 6])
        .map(|(from_a, frame)| {
            let address = |at: usize| frame[at..at + 4].try_into().expect("four bytes");
            (from_a, frame[21], address(28), address(38))
        })
        .collect()
}

/// RFC 5227, section 2.3.
#[test]
fn a_new_address_is_announced_once_and_not_before_who_asks_at_once_is_answered() {
    const NEW: [u8; 4] = [10, 0, 2, 77];
    let mut world = World::new(1);
    world.pass(1_000_000);
    world.is_noting = true;
    world.b.add_address(IpAddr::from(NEW), 24, world.now);
    world.settle();
    assert_eq!(noted_arp(&mut world), []);
    // Who asks for it tells its own address, so that the answer needs no question.
    world.b.sockets.listening.push(80);
    let to = SocketAddr::new(IpAddr::from(NEW), 80);
    let slot = world.a.connect((), ANY, to, Settings::default(), world.now);
    let slot = slot.expect("a way");
    world.pass(50_000);
    assert_eq!(world.a.state(slot), State::Established);
    let IpAddr::V4(own) = A else {
        panic!("of IPv4");
    };
    let (request, reply) = (1, 2);
    assert_eq!(
        noted_arp(&mut world),
        [
            (true, request, own.octets(), NEW),
            (false, reply, NEW, own.octets())
        ]
    );
    world.pass(5_000_000);
    assert_eq!(noted_arp(&mut world), [(false, request, NEW, NEW)]);
}
