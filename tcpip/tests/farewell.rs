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
