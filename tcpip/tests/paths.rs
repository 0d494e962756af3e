//! What comes through ways that are narrow, or on which segments overtake each other.

mod world;

use tcpip::Limits;
use world::{LIMITS, Weather, World, pattern};

const MIB: usize = 1 << 20;

/// Sends bytes from `b` to `a`, with a break amid: how many came through in a second, and how many segments were sent again.
fn bring(len: usize, weather: Weather, break_us: u64) -> (u64, u64, u64) {
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
    let (start, mut break_us) = (world.now, break_us);
    while got.len() < len {
        if got.len() > len / 2 {
            // Nothing gets through.
            world.weather.loss = 1000;
            world.pass(std::mem::take(&mut break_us));
            world.weather.loss = 0;
        }
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
fn segments_that_are_overtaken_hold_nothing_up() {
    for (delay_us, late, late_us) in [
        (10_000, 100, 5000),
        (10_000, 10, 20_000),
        (1000, 300, 3000),
        (0, 10, 1000),
    ] {
        let straight = Weather {
            delay_us,
            ..Weather::default()
        };
        let weather = Weather {
            late,
            late_us,
            ..straight
        };
        let (best, ..) = bring(4 * MIB, straight, 0);
        let (rate, again, _) = bring(4 * MIB, weather, 0);
        // A window's bytes wait for the latest in it.
        let least = best * delay_us / (delay_us + late_us) / 2;
        assert!(rate > least, "{weather:?}: {rate} of {best}");
        assert!(again < 4 * MIB as u64 / 1448 / 5, "{weather:?}: {again}");
    }
}

#[test]
fn a_narrow_way_is_filled_and_its_queue_is_not_overrun() {
    let way = |rate, queue_bytes, delay_us| Weather {
        delay_us,
        rate,
        queue_bytes,
        ..Weather::default()
    };
    for (weather, lost_at_most) in [
        (way(1 << 20, 16 << 10, 10_000), 40),
        // There is room for a second and more, which slow start does not fill up.
        (way(1 << 20, 1 << 20, 10_000), 0),
        (way(1 << 20, 16 << 20, 10_000), 0),
    ] {
        let (rate, again, lost) = bring(8 * MIB, weather, 0);
        assert!(rate > 930, "{weather:?}: {rate}");
        assert!(again == lost, "{weather:?}: {again} {lost}");
        assert!(lost <= lost_at_most, "{weather:?}: {lost}");
    }
    // Half a dozen segments fit into it, and many of those sent again are lost again. Which ones hangs on each microsecond: the mean of some.
    let rates = (0..10).map(|step| bring(MIB, way(100 << 10, 8 << 10, 9_500 + 100 * step), 0).0);
    let mean = rates.sum::<u64>() / 10;
    assert!(mean > 76, "{mean}");
}

#[test]
fn a_link_that_was_down_for_a_minute_ends_no_transfer() {
    let weather = Weather {
        delay_us: 10_000,
        ..Weather::default()
    };
    for seconds in [1, 10, 60] {
        let (_, again, _) = bring(4 * MIB, weather, seconds * 1_000_000);
        assert!((1..2000).contains(&again), "{seconds}: {again}");
    }
}
