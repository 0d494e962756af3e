//! What congestion control makes of a way that loses: how much comes through.

mod world;

use std::net::SocketAddr;

use tcpip::{CongestionControl, Limits, Settings};
use world::{ANY, B, LIMITS, Weather, World, pattern};

const SECOND: u64 = 1_000_000;

/// Bytes that come through in so many seconds, one segment of a thousand being lost.
fn transfer(control: CongestionControl, delay_us: u64, seconds: u64, seed: u64) -> usize {
    let limits = Limits {
        receive_bytes: 4 << 20,
        transmit_bytes: 4 << 20,
        buffer_bytes: 32 << 20,
        ..LIMITS
    };
    let mut world = World::with(seed, limits, 1500);
    world.weather.delay_us = delay_us;
    world.b.sockets.listening.push(80);
    let settings = Settings {
        congestion_control: control,
        ..Settings::default()
    };
    let to = SocketAddr::new(B, 80);
    let at_a = world.a.connect((), ANY, to, settings, world.now);
    let at_a = at_a.expect("a way");
    world.pass(10 * delay_us);
    let (at_b, _) = world.b.sockets.accepted.pop_front().expect("accepted");
    world.weather = Weather {
        loss: 1,
        ..world.weather
    };
    let block = pattern(1 << 16);
    let (end, mut got) = (world.now + seconds * SECOND, 0);
    let mut buffer = vec![0; 1 << 16];
    while world.now < end {
        while world
            .a
            .write(at_a, &block, world.now)
            .is_ok_and(|len| len == block.len())
        {}
        world.pass(delay_us / 10);
        while let Ok(len @ 1..) = world.b.read(at_b, &mut buffer, false, world.now) {
            got += len;
        }
    }
    got
}

fn rates(delay_us: u64, seconds: u64) -> (usize, usize) {
    let of = |control| {
        (1..3)
            .map(|seed| transfer(control, delay_us, seconds, seed))
            .sum()
    };
    (of(CongestionControl::Cubic), of(CongestionControl::Reno))
}

#[test]
fn on_a_long_way_that_loses_cubic_brings_much_more_than_reno() {
    let (cubic, reno) = rates(150_000, 40);
    assert!(cubic * 2 > reno * 3, "{cubic} {reno}");
}

#[test]
fn on_a_shorter_way_cubic_brings_no_less_than_reno() {
    let (cubic, reno) = rates(5_000, 2);
    assert!(cubic * 10 > reno * 9, "{cubic} {reno}");
}
