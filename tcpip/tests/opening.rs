//! Connections for which both hosts ask at once (RFC 9293, section 3.5, figure 7), as a peer can have it too that answers a request by one of
//! its own.

mod world;

use proptest::prelude::*;
use std::net::SocketAddr;
use tcpip::{Settings, State};
use world::{A, B, Host, Weather, World};

/// Both ask the other, at ports that both chose; their slots.
fn both_ask(world: &mut World) -> (u32, u32) {
    let (at_a, at_b) = (SocketAddr::new(A, 5000), SocketAddr::new(B, 6000));
    let now = world.now;
    let settings = Settings::default;
    let a = world.a.connect((), at_a, at_b, settings(), now);
    let b = world.b.connect((), at_b, at_a, settings(), now);
    (a.expect("a way"), b.expect("a way"))
}

/// Whether bytes go from one to the other.
fn says(from: &mut Host, slot: u32, bytes: &[u8], now: u64) -> bool {
    from.write(slot, bytes, now) == Ok(bytes.len())
}

fn hears(to: &mut Host, slot: u32, bytes: &[u8], now: u64) -> bool {
    let mut buf = [0; 100];
    to.read(slot, &mut buf, false, now) == Ok(bytes.len()) && buf.starts_with(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn two_that_ask_each_other_at_once_have_one_connection(
        seed in any::<u64>(),
        loss in 0_u64..300,
        jitter_us in 0_u64..50_000,
    ) {
        let mut world = World::new(seed);
        // Each knows where the other is.
        world.connected(80);
        world.weather = Weather { loss, delay_us: 10_000, jitter_us, ..Weather::default() };
        let (a, b) = both_ask(&mut world);
        // Who hears nothing for a minute gives up, which is no more than right; so the weather gets better before.
        for tenth in 0..1200 {
            if tenth == 100 {
                world.weather = Weather::default();
            }
            world.pass(100_000);
            if [world.a.state(a), world.b.state(b)] == [State::Established; 2] {
                break;
            }
        }
        prop_assert_eq!([world.a.state(a), world.b.state(b)], [State::Established; 2]);
        world.weather = Weather::default();
        prop_assert!(says(&mut world.a, a, b"from a", world.now));
        prop_assert!(says(&mut world.b, b, b"from b", world.now));
        world.pass(60_000_000);
        prop_assert!(hears(&mut world.b, b, b"from a", world.now));
        prop_assert!(hears(&mut world.a, a, b"from b", world.now));
        world.a.shutdown(a, world.now);
        world.b.shutdown(b, world.now);
        world.pass(10_000_000);
        world.a.release(a, false, world.now);
        world.b.release(b, false, world.now);
        world.pass(300_000_000);
        // What is left is the first connection.
        prop_assert_eq!([world.a.census()[0], world.b.census()[0]], [1, 1]);
    }
}

/// A listener that takes nobody who has said nothing, for a time.
#[test]
fn a_peer_that_says_nothing_is_taken_later() {
    for (deferred_s, speaks_at, taken_at) in
        [(0, None, 0), (3, Some(2), 2), (3, None, 3), (600, None, 7)]
    {
        let mut world = World::new(7);
        world.b.sockets.listening.push(80);
        world.b.sockets.deferred_s = deferred_s;
        let to = SocketAddr::new(B, 80);
        let now = world.now;
        let slot = world
            .a
            .connect((), world::ANY, to, Settings::default(), now);
        let slot = slot.expect("a way");
        let mut seconds = 0;
        while world.b.sockets.accepted.is_empty() {
            if speaks_at == Some(seconds) {
                world
                    .a
                    .write(slot, b"hello", world.now)
                    .expect("it is made");
                world.settle();
                continue;
            }
            assert!(seconds <= taken_at, "{deferred_s} {speaks_at:?}");
            world.pass(100_000);
            if !world.b.sockets.accepted.is_empty() {
                break;
            }
            world.pass(900_000);
            seconds += 1;
        }
        assert_eq!(seconds, taken_at, "{deferred_s} {speaks_at:?}");
        assert_eq!(world.a.state(slot), State::Established);
    }
}

/// RFC 9293, section 3.10.7.2: segments as a scan for ports sends them.
#[test]
fn who_listens_passes_over_what_is_neither_request_nor_answer() {
    for (port, flags, answers) in [
        (80, 0, 0),
        (80, 0x01, 0),
        (80, 0x29, 0),
        (80, 0x10, 1),
        (81, 0, 1),
        (81, 0x29, 1),
    ] {
        let mut world = World::new(7);
        world.connected(80);
        let mut packet = vec![
            0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15,
        ];
        packet.extend([9, 9, 0, port, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 1, 0]);
        packet.extend([0; 4]);
        let frame = [&world::MAC_B[..], &world::MAC_A, &[8, 0], &packet].concat();
        world.b.receive(&frame, true, world.now);
        assert_eq!(world.b.device.frames.len(), answers, "{port} {flags:#x}");
    }
}
