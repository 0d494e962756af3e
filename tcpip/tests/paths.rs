//! What comes through ways that are narrow, or on which segments overtake each other.

mod world;

use tcpip::Limits;
use world::{LIMITS, Weather, World, pattern};

const MIB: usize = 1 << 20;

/// Sends bytes from `b` to `a`: how many came through in a second, and how many segments were sent again.
fn bring(len: usize, weather: Weather) -> (u64, u64, u64) {
    let limits = Limits {
        receive_bytes: 4 << 20,
        transmit_bytes: 4 << 20,
        buffer_bytes: 32 << 20,
        ..LIMITS
    };
    let mut world = World::with(5, limits, 1500);
    world.a.device.room = 10_000;
    world.b.device.room = 10_000;
    world.weather = weather;
    let (at_a, at_b) = world.connected(80);
    let (bytes, mut got, mut sent) = (pattern(len), Vec::new(), 0);
    let mut buf = vec![0; 1 << 16];
    let start = world.now;
    while got.len() < len {
        while sent < len
            && let Ok(count @ 1..) = world.b.write(at_b, &bytes[sent..], world.now)
        {
            sent += count;
        }
        world.settle();
        while let Ok(count @ 1..) = world.a.read(at_a, &mut buf, false, world.now) {
            got.extend_from_slice(&buf[..count]);
        }
        world.settle();
        world.now = world.next().expect("something to happen").max(world.now);
        world.settle();
    }
    assert!(got == bytes);
    let rate = len as u64 * 1_000_000 / (world.now - start);
    (rate >> 10, world.b.stats().retransmitted, world.overflown)
}

#[test]
fn show() {
    for (name, rate, queue, delay) in [
        ("16K", 1 << 20, 16 << 10, 10_000),
        ("1M", 1 << 20, 1 << 20, 10_000),
        ("16M", 1 << 20, 16 << 20, 10_000),
        ("100K", 100 << 10, 8 << 10, 10_000),
        ("8M", 8 << 20, 64 << 10, 50_000),
        ("8M1M", 8 << 20, 1 << 20, 50_000),
    ] {
        let weather = Weather {
            delay_us: delay,
            rate,
            queue_bytes: queue,
            ..Weather::default()
        };
        println!("{name} {:?}", bring(4 * MIB, weather));
        if rate >= 1 << 20 {
            println!("{name} 16MiB {:?}", bring(16 * MIB, weather));
        }
    }
    for (name, late, late_us, delay) in [
        ("10% 5ms of 20", 100, 5000, 10_000),
        ("1% 20ms of 20", 10, 20_000, 10_000),
        ("30% 3ms of 2", 300, 3000, 1000),
        ("none", 0, 3000, 10_000),
    ] {
        let weather = Weather {
            delay_us: delay,
            late,
            late_us,
            ..Weather::default()
        };
        println!("{name} {:?}", bring(4 * MIB, weather));
    }
}
