//! Echo requests from here, their answers, and what looks like answers.

use super::{CLIENT, SERVER, World};
use crate::network::error::Error;
use crate::network::ping::Pong;
use alloc::sync::Arc;
use core::net::Ipv4Addr;
use smoltcp::wire::checksum;

impl World {
    fn begin_ping(&mut self, to: Ipv4Addr, len: usize) -> Result<u32, Error> {
        let now_ns = self.now_ns();
        self.stack
            .begin_ping(to.into(), len, Arc::default(), now_ns)
    }

    /// The request in the last frame from the server, made an answer by `change`.
    fn answer_with(&mut self, change: impl FnOnce(&mut [u8])) {
        let mut frame = self.seen.last().expect("a request").clone();
        for at in 0..6 {
            frame.swap(at, 6 + at);
        }
        for at in 26..30 {
            frame.swap(at, 4 + at);
        }
        frame[34] = 0;
        change(&mut frame[14..]);
        let fix = |bytes: &mut [u8], at: usize| {
            bytes[at..at + 2].fill(0);
            let sum = !checksum::data(bytes);
            bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        };
        fix(&mut frame[14..34], 10);
        fix(&mut frame[34..], 2);
        self.to_server.lock().put(frame);
        self.settle();
    }
}

#[test]
fn a_ping_is_answered_and_timed() {
    let mut world = World::new();
    for len in [0, 1, 56, 1472] {
        let id = world.begin_ping(CLIENT, len).expect("a way");
        assert_eq!(world.stack.ping_outcome(id, false), None);
        world.now_us += 250;
        world.settle();
        let outcome = world.stack.ping_outcome(id, false);
        let Some(Ok(Pong { round_trip_ns, ttl })) = outcome else {
            panic!("{len} bytes: {outcome:?}");
        };
        assert_eq!((round_trip_ns, ttl), (250_000, 64), "{len} bytes");
        assert_eq!(world.stack.ping_outcome(id, true), None, "told once");
    }
    assert_eq!(world.begin_ping(CLIENT, 1473), Err(Error::MessageTooLong));
    assert_eq!(
        world.begin_ping(Ipv4Addr::BROADCAST, 1),
        Err(Error::Invalid)
    );
}

#[test]
fn what_a_router_says_of_a_ping_is_believed_only_if_it_quotes_the_request() {
    for (kind, code, quotes, wanted) in [
        (3, 1, true, Some(Err(Error::HostUnreachable))),
        (3, 0, true, Some(Err(Error::NetworkUnreachable))),
        (11, 0, true, Some(Err(Error::HostUnreachable))),
        (3, 1, false, None),
        (5, 1, true, None),
    ] {
        let mut world = World::new();
        world.is_lost = Box::new(|_| false);
        let far = Ipv4Addr::new(192, 0, 2, 7);
        let id = world.begin_ping(far, 20).expect("a way");
        world.settle();
        world.answer_with(|packet| {
            let mut quoted = packet[..48].to_vec();
            // The answer that this became was swapped; the quotation is what was sent.
            for at in 12..16 {
                quoted.swap(at, 4 + at);
            }
            quoted[20] = 8;
            if !quotes {
                quoted[24] ^= 1;
            }
            packet[20..28].copy_from_slice(&[kind, code, 0, 0, 0, 0, 0, 0]);
            packet[28..48].copy_from_slice(&quoted[..20]);
        });
        // Twenty bytes of content hold the quoted IP header, not the request: nothing can be told from that.
        assert_eq!(world.stack.ping_outcome(id, false), None);

        let id = world.begin_ping(far, 100).expect("a way");
        world.settle();
        world.answer_with(|packet| {
            let mut quoted = packet[..48].to_vec();
            for at in 12..16 {
                quoted.swap(at, 4 + at);
            }
            quoted[20] = 8;
            if !quotes {
                quoted[24] ^= 1;
            }
            packet[20..28].copy_from_slice(&[kind, code, 0, 0, 0, 0, 0, 0]);
            packet[28..76].copy_from_slice(&quoted);
        });
        assert_eq!(
            world.stack.ping_outcome(id, false),
            wanted,
            "type {kind}, code {code}"
        );
    }
}

#[test]
fn answers_that_were_not_asked_for_are_nothing() {
    let mut world = World::new();
    let far = Ipv4Addr::new(192, 0, 2, 7);
    let id = world.begin_ping(far, 56).expect("a way");
    world.settle();
    // Another identifier, another sequence number, other content, another sender.
    for at in [24, 27, 40, 15] {
        world.answer_with(|packet| packet[at] ^= 1);
        assert_eq!(world.stack.ping_outcome(id, false), None, "byte {at}");
    }
    // Its own address as the sender's is no better.
    world.answer_with(|packet| packet[12..16].copy_from_slice(&SERVER.octets()));
    assert_eq!(world.stack.ping_outcome(id, false), None);
    world.answer_with(|_| {});
    assert!(matches!(
        world.stack.ping_outcome(id, false),
        Some(Ok(Pong { ttl: 64, .. }))
    ));
}

#[test]
fn a_host_that_is_not_there_holds_up_nobody() {
    let mut world = World::new();
    let nobody = Ipv4Addr::new(10, 0, 2, 99);
    let lost: Vec<u32> = (0..64)
        .map(|_| world.begin_ping(nobody, 8).expect("room"))
        .collect();
    assert_eq!(world.begin_ping(CLIENT, 8), Err(Error::QueueFull));
    for id in &lost[1..] {
        assert_eq!(world.stack.ping_outcome(*id, true), None);
    }
    let id = world.begin_ping(CLIENT, 8).expect("room again");
    // smoltcp asks for one hardware address a second, and the ping before may be the first to ask again.
    for _ in 0..3 {
        world.now_us += 1_100_000;
        world.settle();
    }
    assert!(matches!(world.stack.ping_outcome(id, false), Some(Ok(_))));
}

#[test]
fn frames_are_counted_and_what_is_dropped_by_its_reason() {
    let mut world = World::new();
    let id = world.begin_ping(CLIENT, 56).expect("a way");
    world.settle();
    assert!(world.stack.ping_outcome(id, false).is_some());
    // Hardware addresses each way first, then the ping each way.
    let counted = world.stack.statistics();
    assert!(counted.received_frames >= 2 && counted.sent_frames >= 2);
    assert!(counted.received_bytes >= 98 && counted.sent_bytes >= 98);
    assert_eq!(counted.dropped_unusable, 0);
    world.to_server.lock().put(vec![0xFF; 60]);
    world.settle();
    let after = world.stack.statistics();
    assert_eq!(after.dropped_unusable, 1);
    assert_eq!(after.received_frames, counted.received_frames + 1);
}
