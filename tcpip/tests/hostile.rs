//! What strangers may send: nothing of it panics, and what it makes an engine keep is bounded.

mod world;

use proptest::prelude::*;
use tcpip::{Limits, Manner, State};
use world::{A, B, LIMITS, World, pattern};

/// Real frames from `a` to `b`: a handshake, requests, datagrams in parts, a ping, an end.
fn conversation() -> Vec<Vec<u8>> {
    let mut world = World::new(5);
    world.is_noting = true;
    world.b.sockets.bound.push(53);
    let (at_a, at_b) = world.connected(80);
    for _ in 0..3 {
        world
            .a
            .write(at_a, &pattern(3000), world.now)
            .expect("room");
        world.pass(20_000);
        world.b.write(at_b, &pattern(500), world.now).expect("room");
        world.pass(20_000);
    }
    let (from, to) = ((A, 1000).into(), (B, 53).into());
    world
        .a
        .send_datagram(from, to, &pattern(4000), Manner::default(), world.now)
        .expect("a way");
    world
        .a
        .send_datagram(from, to, b"hi", Manner::default(), world.now)
        .expect("a way");
    world
        .a
        .send_echo(B, 1, 2, b"ping", world.now)
        .expect("a way");
    world.pass(20_000);
    world.a.release(at_a, false, world.now);
    world.pass(20_000);
    let noted = world.noted.into_iter();
    noted
        .filter(|(from_a, _)| *from_a)
        .map(|(_, frame)| frame)
        .collect()
}

fn assert_bounded(world: &World) {
    let [
        connections,
        slots,
        tuples,
        orphans,
        timers,
        half_open,
        bytes,
    ] = world.b.census();
    assert!(connections <= LIMITS.connections && slots <= LIMITS.connections && tuples <= slots);
    assert!(
        orphans <= LIMITS.orphans && timers <= connections + 10 && half_open <= LIMITS.half_open
    );
    assert!(bytes <= LIMITS.buffer_bytes + 2 * connections * Limits::ASSURED_BYTES);
    assert!(world.b.time_wait() <= LIMITS.time_wait);
}

/// A request from the peer of a connection that its program still holds in TIME-WAIT, older than that connection.
#[test]
fn an_old_request_for_a_connection_that_is_over_leaves_nothing() {
    let mut world = World::new(5);
    let (at_a, at_b) = world.connected(80);
    world.a.shutdown(at_a, world.now);
    world.pass(20_000);
    world.b.release(at_b, false, world.now);
    world.pass(20_000);
    assert_eq!(world.a.state(at_a), State::TimeWait);
    let tuple = world.a.tuple(at_a).expect("it is held");
    let mut packet = vec![
        0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2,
    ];
    packet.extend(tuple.remote_port.to_be_bytes());
    packet.extend(tuple.local_port.to_be_bytes());
    packet.extend([0; 8]);
    packet.extend([0x50, 2, 1, 0, 0, 0, 0, 0]);
    let frame = [&world::MAC_A[..], &world::MAC_B, &[8, 0], &packet].concat();
    // Both halves of the numbers: one of them is older.
    for sequence in [0_u32, 1 << 31] {
        let mut frame = frame.clone();
        frame[38..42].copy_from_slice(&sequence.to_be_bytes());
        world.a.receive(&frame, true, world.now);
    }
    world.a.release(at_a, false, world.now);
    world.pass(60_000_000);
    let [connections, _, tuples, _, timers, half_open, _] = world.a.census();
    let left = [connections, tuples, timers, half_open, world.a.time_wait()];
    assert_eq!(left, [0; 5]);
}

/// Packets on the link from addresses that only this machine has, or that mean many: a request from the machine to itself (LAND) among them,
/// and what would pass for a program of this machine.
#[test]
fn nobody_else_passes_as_this_machine_or_as_many() {
    for (source, is_taken) in [
        ([10, 0, 2, 2], true),
        ([10, 0, 2, 15], false),
        ([127, 0, 0, 1], false),
        ([10, 0, 2, 255], false),
        ([255; 4], false),
        ([224, 0, 0, 1], false),
    ] {
        let mut world = World::new(5);
        world.connected(80);
        world.b.sockets.bound.push(53);
        let datagram = [&[0, 53, 0, 53, 0, 9, 0, 0, b'x'][..]].concat();
        let request = [&[0, 80, 0, 80][..], &[0; 8], &[0x50, 2, 1, 0, 0, 0, 0, 0]].concat();
        for (protocol, content) in [(17, datagram), (6, request)] {
            let mut packet = vec![0x45, 0, 0, 20 + content.len() as u8, 0, 0, 0, 0, 64];
            packet.extend([protocol, 0, 0]);
            packet.extend([source, [10, 0, 2, 15]].concat());
            packet.extend(content);
            let frame = [&world::MAC_B[..], &world::MAC_A, &[8, 0], &packet].concat();
            world.b.receive(&frame, true, world.now);
        }
        let taken = usize::from(is_taken);
        assert_eq!(world.b.sockets.datagrams.len(), taken, "{source:?}");
        assert_eq!(world.b.device.frames.len(), taken, "{source:?}");
        assert_eq!(world.b.stats().wrong_address, 2 - 2 * taken as u64);
    }
}

/// Frames whose type says another version of IP than the packet.
#[test]
fn a_packet_in_a_frame_of_the_other_version_is_dropped() {
    for (frame_type, is_taken) in [([8, 0], true), ([0x86, 0xDD], false)] {
        let mut world = World::new(5);
        world.b.sockets.bound.push(53);
        let datagram = [0, 53, 0, 53, 0, 9, 0, 0, b'x'];
        let mut packet = vec![
            0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15,
        ];
        packet.extend(datagram);
        let frame = [&world::MAC_B[..], &world::MAC_A, &frame_type, &packet].concat();
        world.b.receive(&frame, true, world.now);
        assert_eq!(world.b.sockets.datagrams.len(), usize::from(is_taken));
    }
}

/// A card that does not choose brings frames for other stations, though the packet in it is for an address of this one.
#[test]
fn a_frame_for_another_station_is_dropped() {
    for (station, is_taken) in [
        (world::MAC_B, true),
        ([0xFF; 6], true),
        ([2, 0, 0, 0, 0, 9], false),
        ([0; 6], false),
    ] {
        let mut world = World::new(5);
        world.b.sockets.bound.push(53);
        let mut packet = vec![
            0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15,
        ];
        packet.extend([0, 53, 0, 53, 0, 9, 0, 0, b'x']);
        let frame = [&station[..], &world::MAC_A, &[8, 0], &packet].concat();
        world.b.receive(&frame, true, world.now);
        let taken = usize::from(is_taken);
        assert_eq!(world.b.sockets.datagrams.len(), taken, "{station:?}");
        assert_eq!(world.b.stats().not_for_us, 1 - taken as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Frames of a real conversation, damaged, in any order, with checksums that the device vouches for so that they get deep.
    #[test]
    fn damaged_frames_do_no_harm(
        steps in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..90, any::<u8>(), 0usize..1600, any::<bool>(), 0u64..2_000_000), 1..150),
    ) {
        let frames = conversation();
        let mut world = World::new(5);
        world.b.sockets.bound.push(53);
        let (_, at_b) = world.connected(80);
        for (which, at, value, len, is_whole, us) in steps {
            let mut frame = which.get(&frames).clone();
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
            if !is_whole {
                frame.truncate(len);
            }
            world.b.receive(&frame, true, world.now);
            let _ = world.b.read(at_b, &mut [0; 100], false, world.now);
            let _ = world.b.write(at_b, b"answer", world.now);
            for (slot, _) in std::mem::take(&mut world.b.sockets.accepted) {
                world.b.release(slot, us % 2 == 0, world.now);
            }
            world.b.device.frames.clear();
            world.now += us;
            world.b.run_timers(world.now);
            world.b.device.frames.clear();
            assert_bounded(&world);
        }
        world.b.release(at_b, false, world.now);
        for _ in 0..300 {
            world.now += 1_000_000;
            world.b.run_timers(world.now);
            world.b.device.frames.clear();
        }
        let [connections, _, tuples, _, timers, half_open, bytes] = world.b.census();
        assert_eq!([connections, tuples, timers, half_open, bytes], [0; 5], "all of it ends");
    }

    #[test]
    fn random_frames_do_no_harm(
        frames in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..150), 0usize..4, any::<bool>()), 1..50),
    ) {
        let mut world = World::new(5);
        for (bytes, kind, is_verified) in frames {
            let mut frame = [&world::MAC_B[..], &world::MAC_A].concat();
            frame.extend([[8, 0], [8, 6], [0x86, 0xDD], [bytes.len() as u8, 0]][kind]);
            frame.extend(&bytes);
            if let Some(first) = frame.get_mut(14) {
                *first = [0x45, *first, 0x60, *first][kind];
            }
            world.b.receive(&frame, is_verified, world.now);
            world.now += 1000;
            assert_bounded(&world);
        }
    }
}
