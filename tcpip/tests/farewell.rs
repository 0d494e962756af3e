//! The end of a program: its connections are closed, and what others are still to take comes to nothing when they have it all.

mod world;

use std::net::SocketAddr;

use tcpip::Manner;
use world::{A, B, Weather, World, pattern};

const SECOND: u64 = 1_000_000;

#[test]
fn what_is_queued_arrives_after_all_connections_were_closed() {
    let mut world = World::new(3);
    let pairs: Vec<_> = (0..5).map(|_| world.connected(80)).collect();
    assert_eq!(
        world.b.unsettled(),
        0,
        "open connections alone are no matter"
    );
    world.weather = Weather {
        loss: 50,
        delay_us: 10_000,
        ..Weather::default()
    };
    let last = pattern(60_000);
    for (_, slot) in &pairs {
        let sent = world.b.write(*slot, &last, world.now);
        assert_eq!(sent.unwrap(), last.len());
    }
    world.b.close_all(world.now);
    let mut left = world.b.unsettled();
    assert!(left >= 300_000, "{left}");
    let mut received = vec![Vec::new(); pairs.len()];
    while left != 0 && world.now < 100 * SECOND {
        world.pass(50_000);
        for ((slot, _), received) in pairs.iter().zip(&mut received) {
            let mut piece = vec![0; 1 << 20];
            while let Ok(count @ 1..) = world.a.read(*slot, &mut piece, false, world.now) {
                received.extend_from_slice(&piece[..count]);
            }
        }
        assert!(world.b.unsettled() <= left, "it never grows");
        left = world.b.unsettled();
    }
    assert_eq!(left, 0);
    assert!(received.iter().all(|one| *one == last));
    // Their ends have come too.
    assert!(pairs.iter().all(|(slot, _)| !world.a.may_receive(*slot)));
}

#[test]
fn a_datagram_that_waits_for_a_hardware_address_is_not_settled() {
    let mut world = World::new(4);
    world.weather.delay_us = 1000;
    let (from, to) = (SocketAddr::new(B, 9), SocketAddr::new(A, 9));
    let sent = world
        .b
        .send_datagram(from, to, b"last", Manner::default(), world.now);
    sent.unwrap();
    assert_ne!(world.b.unsettled(), 0);
    world.pass(SECOND);
    assert_eq!(world.b.unsettled(), 0);
    // A peer that is not there is given up.
    let nobody = SocketAddr::new("10.0.2.99".parse().unwrap(), 9);
    let sent = world
        .b
        .send_datagram(from, nobody, b"last", Manner::default(), world.now);
    sent.unwrap();
    assert_ne!(world.b.unsettled(), 0);
    world.pass(10 * SECOND);
    assert_eq!(world.b.unsettled(), 0);
}

/// What a service has sent at once: more than a connection has room for, a part of it where it is for ever.
fn send_much(world: &mut World, slot: u32) -> Vec<u8> {
    static PAGE: [u8; 70_000] = [7; 70_000];
    let copied = pattern(200_000);
    let now = world.now;
    let mut send = |bytes: &[u8], kept| world.b.write_all(slot, bytes, kept, 250_000, now);
    assert_eq!(send(b"first", None), Ok(0));
    let waiting = send(&copied, None).expect("room behind");
    assert!((100_000..200_000).contains(&waiting), "{waiting}");
    assert_eq!(send(&PAGE, Some(&PAGE)), Ok(waiting + PAGE.len()));
    assert_eq!(send(&copied[..5], None), Ok(waiting + PAGE.len() + 5));
    assert_eq!(world.b.backlog(slot), waiting + PAGE.len() + 5);
    [b"first", &copied[..], &PAGE, &copied[..5]].concat()
}

#[test]
fn what_waits_behind_arrives_though_the_service_has_gone_or_the_program_ends() {
    // At once, or when there is room and nothing under way whose acknowledgement would tell so again.
    for (is_released, rest_us, seed) in [
        (false, 0, 1),
        (true, 0, 2),
        (false, 5 * SECOND, 3),
        (true, 5 * SECOND, 4),
    ] {
        let mut world = World::new(seed);
        let (at_a, at_b) = world.connected(80);
        world.weather = Weather {
            loss: 20,
            delay_us: 5_000,
            ..Weather::default()
        };
        let all = send_much(&mut world, at_b);
        world.pass(rest_us);
        let taken = all.len() - world.b.unsettled();
        assert_eq!(taken != 0, rest_us != 0);
        if is_released {
            world.b.release(at_b, false, world.now);
        } else {
            world.b.close_all(world.now);
            // The end comes behind: nothing more is taken.
            let more = world.b.write_all(at_b, b"x", None, 1 << 20, world.now);
            assert_eq!(more, Err(tcpip::Error::BrokenPipe));
            assert!(world.b.unsettled() >= all.len() - taken);
        }
        let (mut received, mut piece) = (Vec::new(), vec![0; 1 << 20]);
        while world.a.may_receive(at_a) && world.now < 200 * SECOND {
            world.pass(50_000);
            while let Ok(count @ 1..) = world.a.read(at_a, &mut piece, false, world.now) {
                received.extend_from_slice(&piece[..count]);
            }
        }
        assert!(received == all, "{} of {}", received.len(), all.len());
        world.pass(SECOND);
        assert_eq!((world.b.unsettled(), world.b.census()[6]), (0, 0));
    }
}

#[test]
fn a_service_is_told_as_what_waits_behind_is_taken_and_what_nobody_takes_is_given_up() {
    let mut world = World::new(3);
    let (at_a, at_b) = world.connected(80);
    world.weather.delay_us = 1000;
    let all = send_much(&mut world, at_b);
    let full = world.b.write_all(at_b, b"x", None, 1000, world.now);
    assert_eq!(full, Err(tcpip::Error::WouldBlock));
    let (mut received, mut piece, mut left) = (0, vec![0; 1 << 20], world.b.backlog(at_b));
    world.b.sockets.notified.clear();
    while left != 0 {
        world.pass(50_000);
        received += world
            .a
            .read(at_a, &mut piece, false, world.now)
            .unwrap_or(0);
        let is_told = world.b.sockets.notified.contains(&at_b);
        world.b.sockets.notified.clear();
        let now_left = world.b.move_up(at_b, world.now);
        assert_eq!(now_left < left, is_told);
        left = now_left;
    }
    while received < all.len() && world.now < 100 * SECOND {
        world.pass(50_000);
        received += world
            .a
            .read(at_a, &mut piece, false, world.now)
            .unwrap_or(0);
    }
    assert_eq!(received, all.len());
    // A peer that reads no more.
    let (_, at_b) = world.connected(81);
    send_much(&mut world, at_b);
    world.b.release(at_b, false, world.now);
    world.pass(30 * SECOND);
    assert_ne!(world.b.unsettled(), 0);
    world.pass(120 * SECOND);
    let [connections, .., bytes] = world.b.census();
    assert_eq!((world.b.unsettled(), connections, bytes), (0, 1, 0));
}
