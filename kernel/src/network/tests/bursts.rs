//! More at once than the device, or whoever accepts, takes at once.

use super::{World, accept, syn_frame, vouch};

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
