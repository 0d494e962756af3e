//! As many connections as there may be: who keeps others out by holding them gives way.

mod world;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tcpip::{Error, Limits, Settings, State};
use world::{A, B, LIMITS, World};

const FULL: Limits = Limits {
    connections: 64,
    ..LIMITS
};
/// Places that are kept for who is still to come.
const KEPT: usize = 4;

fn neighbor(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 2, last))
}

/// Asks for a connection from an address of `a`; its slots at both, if it was made within ten milliseconds.
fn ask(world: &mut World, from: IpAddr) -> (u32, Option<u32>) {
    let (from, to) = (SocketAddr::new(from, 0), SocketAddr::new(B, 80));
    let at_a = world
        .a
        .connect((), from, to, Settings::default(), world.now);
    world.pass(10_000);
    let at_b = world.b.sockets.accepted.pop_front().map(|(slot, _)| slot);
    (at_a.expect("a way"), at_b)
}

/// A world in which `b` serves port 80, and `a` has all connections but those that are kept, from one address.
fn crowded() -> (World, Vec<u32>) {
    let mut world = World::with(5, LIMITS, 1500);
    world.b = world::host(world::MAC_B, FULL, 1500);
    world.b.add_address(B, 24, world.now);
    world.b.sockets.backlog = 1000;
    world.b.sockets.listening.push(80);
    (40..50).for_each(|last| world.a.add_address(neighbor(last), 24, world.now));
    world.pass(1_000_000);
    let held = (0..FULL.connections - KEPT).map(|_| ask(&mut world, A).1);
    let held = Vec::from_iter(held.map(|slot| slot.expect("room")));
    (world, held)
}

fn is_over(world: &World, slot: u32) -> bool {
    world.b.state(slot) == State::Closed
}

#[test]
fn who_holds_all_connections_keeps_no_others_out() {
    let (mut world, mut held) = crowded();
    for last in 40..50 {
        let (at_a, at_b) = ask(&mut world, neighbor(last));
        assert!(at_b.is_some() && !held.contains(&at_b.expect("it is made")));
        assert_eq!(world.a.state(at_a), State::Established, "{last}");
        let over = held.iter().position(|slot| is_over(&world, *slot));
        let over = held.swap_remove(over.expect("one gave way"));
        assert!(held.iter().all(|slot| !is_over(&world, *slot)), "only one");
        // Its program is told why, and gives it back.
        let mut buf = [0; 10];
        let told = world.b.read(over, &mut buf, false, world.now);
        assert_eq!(told, Err(Error::Aborted));
        world.b.release(over, false, world.now);
    }
    let stats = world.b.stats();
    assert_eq!((stats.gave_way, stats.requests_without_room), (10, 0));
    let slots = 0..world.a.census()[1] as u32;
    let ends = slots.filter(|slot| world.a.state(*slot) == State::Closed);
    assert_eq!(ends.count(), 10, "the peers are told");
}

#[test]
fn who_has_too_many_displaces_none_that_is_in_use() {
    let (mut world, held) = crowded();
    for _ in 0..10 {
        assert_eq!(ask(&mut world, A).1, None);
    }
    assert!(world.b.stats().requests_without_room >= 10);
    assert_eq!(world.b.stats().gave_way, 0);
    assert!(held.iter().all(|slot| !is_over(&world, *slot)));
    // The places that are kept are for others.
    assert!(ask(&mut world, neighbor(40)).1.is_some());
    // Those of its own that get no further give way to its next.
    world.pass(5_000_000);
    assert!(ask(&mut world, A).1.is_some());
}

#[test]
fn programs_that_keep_what_gave_way_lose_no_more_than_what_was_kept() {
    let (mut world, held) = crowded();
    let made: Vec<_> = (0..10)
        .map(|at| ask(&mut world, neighbor(40 + at)).1)
        .collect();
    assert_eq!(made.iter().flatten().count(), KEPT);
    assert_eq!(world.b.stats().gave_way, KEPT as u64);
    let over = held.iter().filter(|slot| is_over(&world, **slot));
    assert_eq!(over.count(), KEPT);
}

#[test]
fn a_connection_of_its_own_finds_room_too() {
    let (mut world, _) = crowded();
    world.a.sockets.listening.push(90);
    let (any, to) = (world::ANY, SocketAddr::new(A, 90));
    let own = world.b.connect((), any, to, Settings::default(), world.now);
    let own = own.expect("a slot");
    world.pass(10_000);
    assert_eq!(world.b.state(own), State::Established);
    assert_eq!(world.b.stats().gave_way, 1);
}
