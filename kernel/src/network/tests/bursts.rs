//! More at once than the device, or whoever accepts, takes at once.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;

use tcpip::Manner;

use super::super::socket::mailbox::Mailbox;
use super::{SERVER, World, accept, syn_frame, vouch};

#[test]
fn frames_wait_in_the_ring_while_their_answers_would_find_no_room() {
    const REQUESTS: u16 = 400;
    let mut world = World::new();
    let _listener = world.listen(80, 4);
    // Who asks for this station is known to it.
    world.dial(80);
    world.settle();
    let before = world.stack.statistics();
    for port in 2000..2000 + REQUESTS {
        world.to_server.lock().put(vouch(syn_frame(port)));
    }
    for _ in 0..1000 {
        world.stack.serve(world.now_us * 1000);
    }
    let waiting = |world: &World| {
        let frames = world.to_server.lock().len();
        (frames, world.stack.statistics().waited_for_buffer)
    };
    let (frames, waited) = waiting(&world);
    assert!(
        frames > 100 && (1..=8).contains(&waited),
        "{frames} {waited}"
    );
    // The wire takes frames again.
    let mut answers = 0;
    for _ in 0..1000 {
        world.now_us += 100;
        world.stack.serve(world.now_us * 1000);
        answers += u16::from(world.from_server.lock().take().is_some());
    }
    assert_eq!((answers, waiting(&world).0), (REQUESTS, 0));
    let after = world.stack.statistics();
    assert_eq!(after.dropped_no_buffer, before.dropped_no_buffer);
    assert_eq!(after.retransmitted, before.retransmitted);
}

#[test]
fn who_was_answered_is_taken_though_the_queue_is_full_by_then() {
    const CLIENTS: usize = 20;
    let mut world = World::new();
    let listener = world.listen(80, 2);
    world.dial(80);
    world.settle();
    for _ in 1..CLIENTS {
        world.dial(80);
    }
    world.pass(100_000);
    for client in 0..CLIENTS {
        assert!(accept(&listener).is_ok(), "client {client}");
    }
    assert_eq!(world.stack.statistics().dropped_backlog, 0);
}

#[test]
fn a_queue_as_long_as_stds_takes_all_who_come_at_once() {
    let mut world = World::new();
    let (std, few) = (world.listen(80, 128), world.listen(81, 127));
    assert!((std.bound(), few.bound()) == (super::super::ports::MAX_BACKLOG, 127));
}

#[test]
fn who_sends_more_datagrams_than_the_device_takes_is_told_when_it_takes_more() {
    let mut world = World::new();
    let mailbox = Arc::<Mailbox>::default();
    let (mut sent, mut arrived) = (0, 0);
    for round in 0..3 {
        while !world.stack.call_when_room(&mailbox) {
            let (from, to) = ((SERVER, 9), ([10, 0, 2, 255], 9));
            let (from, to) = (SocketAddr::from(from), SocketAddr::from(to));
            let now_ns = world.now_us * 1000;
            world
                .stack
                .send_datagram(from, to, b"much", Manner::default(), now_ns)
                .expect("a way");
            sent += 1;
            assert!(sent < 1000 * (round + 1), "the wire takes so many at most");
        }
        // Nobody is told as long as that is so, however often it is asked.
        assert!(world.stack.call_when_room(&mailbox));
        world.stack.serve(world.now_us * 1000);
        assert!(mailbox.waits_for_room.load(Ordering::Relaxed));
        while world.from_server.lock().take().is_some() {
            arrived += 1;
        }
        world.now_us += 1000;
        world.stack.serve(world.now_us * 1000);
        assert!(!mailbox.waits_for_room.load(Ordering::Relaxed));
        // Only this device held it up, so nothing holds it any more.
        assert_eq!(Arc::strong_count(&mailbox), 1);
    }
    while world.from_server.lock().take().is_some() {
        arrived += 1;
    }
    assert_eq!(arrived, sent + 1, "the address was announced, too");
    assert_eq!(world.stack.statistics().dropped_no_buffer, 0);
}
