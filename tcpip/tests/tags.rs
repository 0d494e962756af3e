//! Frames with tags (IEEE 802.1Q), which switches that tell a priority put behind the addresses.

mod world;

use tcpip::Manner;
use world::{A, B, World, pattern};

/// A priority of 5 that may be dropped, and one of 0, of no virtual network.
const PRIORITY: [u8; 4] = [0x81, 0, 0xB0, 0];
const PLAIN: [u8; 4] = [0x81, 0, 0, 0];

#[test]
fn all_is_taken_from_frames_that_tell_a_priority() {
    for tags in [&PRIORITY[..], &PLAIN, &[PRIORITY, PLAIN].concat()] {
        let mut world = World::new(5);
        world.tags = tags.to_vec();
        world.b.sockets.bound.push(53);
        // With it ARP; checksums count.
        let (at_a, at_b) = world.connected(80);
        let sent = pattern(20_000);
        assert_eq!(world.a.write(at_a, &sent, world.now), Ok(sent.len()));
        world.pass(100_000);
        let mut read = vec![0; sent.len()];
        assert_eq!(
            world.b.read(at_b, &mut read, false, world.now),
            Ok(sent.len())
        );
        assert!(read == sent);
        let (from, to) = ((A, 1000).into(), (B, 53).into());
        let manner = Manner::default();
        let parts = world
            .a
            .send_datagram(from, to, &pattern(4000), manner, world.now);
        assert_eq!(parts, Ok(()));
        world
            .a
            .send_echo(B, 7, 9, b"ping", world.now)
            .expect("a way");
        world.pass(10_000);
        assert_eq!(world.b.sockets.datagrams, [(to, from, pattern(4000))]);
        assert_eq!(world.a.sockets.echoes, [(B, 7, 9, b"ping".to_vec())]);
        assert_eq!(world.b.stats().retransmitted, 0);
    }
}

#[test]
fn other_tags_are_of_networks_that_the_machine_has_no_part_in() {
    let of_network_1 = [0x81, 0, 0xA0, 1];
    let of_network_256 = [0x81, 0, 1, 0];
    let of_provider = [0x88, 0xA8, 0, 0];
    for tags in [
        &of_network_1[..],
        &of_network_256,
        &of_provider,
        &[PRIORITY, of_network_1].concat(),
        &[PRIORITY; 3].concat(),
    ] {
        let mut world = World::new(5);
        world
            .a
            .send_echo(B, 7, 9, b"ping", world.now)
            .expect("a way");
        world.tags = tags.to_vec();
        world.pass(5_000_000);
        assert!(world.a.sockets.echoes.is_empty(), "{tags:x?}");
        let stats = world.b.stats();
        assert_eq!(stats.not_for_us, stats.frames_in, "{tags:x?}");
        assert_ne!(stats.frames_in, 0);
    }
}

/// The frame is the request of a ping and cut anywhere, or its tag is not whole.
#[test]
fn tagged_frames_that_end_early_are_dropped() {
    let mut world = World::new(5);
    world.a.send_echo(B, 7, 9, b"", world.now).expect("a way");
    world.pass(10_000);
    world.is_noting = true;
    world.a.send_echo(B, 7, 9, b"", world.now).expect("a way");
    world.pass(10_000);
    world.is_noting = false;
    let (_, mut frame) = world.noted.remove(0);
    for tags in [&PRIORITY[..], &[PRIORITY, PLAIN].concat()] {
        frame.splice(12..12, tags.iter().copied());
        // Of what a tap pads nothing counts.
        let whole = frame.len();
        for len in 0..=whole {
            let dropped = |world: &World| world.b.stats().damaged + world.b.stats().not_for_us;
            let before = dropped(&world);
            world.b.receive(&frame[..len], false, world.now);
            let more = dropped(&world) - before;
            assert_eq!(more, u64::from(len != whole), "{len}");
            assert_eq!(world.b.device.frames.len(), usize::from(len == whole));
        }
        world.b.device.frames.clear();
        frame.drain(12..12 + tags.len());
    }
}
