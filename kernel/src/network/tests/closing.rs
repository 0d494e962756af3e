//! How connections end, segment by segment: the peer is played by hand.

use smoltcp::socket::tcp;

use super::{LIMITS, World, accept, syn_frame, vouch};
use crate::network::error::Error;
use crate::network::ports::Listener;
use crate::network::stack::Progress;

/// A segment of a client that the test plays itself.
fn segment(port: u16, sequence: u32, acknowledgement: u32, flags: u8) -> Vec<u8> {
    let mut frame = syn_frame(port);
    frame[38..42].copy_from_slice(&sequence.to_be_bytes());
    frame[42..46].copy_from_slice(&acknowledgement.to_be_bytes());
    frame[47] = flags;
    vouch(frame)
}

const FIN_ACK: u8 = 0x11;
const ACK: u8 = 0x10;
const RST: u8 = 0x04;
const SYN: u8 = 0x02;

impl World {
    /// Hands a segment to the stack; sequence number, acknowledgement and flags of the answers.
    fn exchange(&mut self, sequence: u32, acknowledgement: u32, flags: u8) -> Vec<(u32, u32, u8)> {
        let now_ns = self.now_ns();
        self.to_server
            .lock()
            .put(segment(self.next_port, sequence, acknowledgement, flags));
        while self.stack.serve(now_ns) {}
        self.answers()
    }

    fn answers(&mut self) -> Vec<(u32, u32, u8)> {
        let mut answers = Vec::new();
        while let Some(frame) = {
            let mut wire = self.from_server.lock();
            wire.take()
        } {
            let word = |at: usize| {
                u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
            };
            assert_eq!(vouch(frame.clone()), frame, "checksums are right");
            answers.push((word(38), word(42), frame[47]));
        }
        answers
    }

    /// A connection from port `next_port`, accepted; its slot and the number of the first byte we send. The client's first is `first`.
    fn by_hand(&mut self, listener: &Listener, first: u32) -> (u32, u32) {
        let answers = self.exchange(first.wrapping_sub(1), 0, SYN);
        let ours = answers[0].0.wrapping_add(1);
        assert_eq!(self.exchange(first, ours, ACK), []);
        (accept(listener).expect("connected").slot, ours)
    }

    /// A world whose server knows the client's hardware address.
    fn acquainted() -> Self {
        let mut world = Self::new();
        world.dial(81);
        world.settle();
        world
    }
}

#[test]
fn a_close_from_both_sides_at_once_is_over_with_the_repeated_fin() {
    let mut world = World::acquainted();
    let listener = world.listen(80, 4);
    let (slot, ours) = world.by_hand(&listener, 1000);
    world.release(slot);
    assert_eq!(world.answers(), [(ours, 1000, FIN_ACK)]);
    // The peer's FIN has crossed ours.
    assert_eq!(world.exchange(1000, ours, FIN_ACK), [(ours + 1, 1001, ACK)]);
    assert_eq!(world.stack.census()[0], 1, "CLOSING");
    assert_eq!(
        world.exchange(1000, ours + 1, FIN_ACK),
        [(ours + 1, 1001, ACK)],
        "and the repeated FIN is answered"
    );
    assert_eq!((world.stack.census()[0], world.stack.time_wait()), (0, 1));
}

#[test]
fn a_reset_after_the_end_is_no_error_for_a_reader() {
    let mut world = World::acquainted();
    let listener = world.listen(80, 4);
    let (slot, ours) = world.by_hand(&listener, 1000);
    world.exchange(1000, ours, FIN_ACK);
    world.exchange(1001, 0, RST);
    assert_eq!(world.receive(slot), Ok(vec![]));
    assert_eq!(world.send(slot, b"x"), Err(Error::BrokenPipe));
    assert_eq!(world.receive(slot), Ok(vec![]));
}

#[test]
fn a_repeated_fin_that_acknowledges_ours_ends_a_passive_close() {
    let mut world = World::acquainted();
    let listener = world.listen(80, 4);
    let (slot, ours) = world.by_hand(&listener, 1000);
    world.exchange(1000, ours, FIN_ACK);
    world.release(slot);
    assert_eq!(world.answers().last(), Some(&(ours, 1001, FIN_ACK)));
    world.exchange(1000, ours + 1, FIN_ACK);
    assert_eq!((world.stack.census()[0], world.stack.time_wait()), (0, 0));
}

#[test]
fn time_wait_answers_a_repeated_fin_and_knows_strays_from_a_new_connection() {
    let mut world = World::acquainted();
    let listener = world.listen(80, 4);
    let (slot, ours) = world.by_hand(&listener, 1000);
    world.release(slot);
    world.answers();
    world.exchange(1000, ours + 1, ACK);
    let last = [(ours + 1, 1001, ACK)];
    assert_eq!(world.exchange(1000, ours + 1, FIN_ACK), last);
    assert_eq!((world.stack.census()[0], world.stack.time_wait()), (0, 1));
    assert_eq!(world.exchange(1000, ours + 1, FIN_ACK), last, "again");
    assert_eq!(world.exchange(1001, ours + 1, ACK), [], "a stray");
    assert_eq!(world.exchange(999, 0, SYN), last, "an old request");
    assert_eq!(world.exchange(5, 0, RST), [], "a reset out of place");
    assert_eq!(world.stack.time_wait(), 1);
    // A later number cannot be a stray's.
    let (slot, ours) = world.by_hand(&listener, 5000);
    assert_eq!(world.stack.progress(slot), Progress::Connected);
    world.release(slot);
    world.exchange(5000, ours + 1, FIN_ACK);
    assert_eq!(world.exchange(100, 0, SYN), [(ours + 1, 5001, ACK)]);
    world.exchange(5001, 0, RST);
    let answers = world.exchange(100, 0, SYN);
    assert_eq!(
        answers[0].2,
        SYN | ACK,
        "the peer has forgotten it: {answers:?}"
    );
}

#[test]
fn twenty_thousand_connections_closed_at_once_leave_room_for_the_next() {
    let mut world = World::acquainted();
    let listener = world.listen(80, 4);
    let mut first = 1000u32;
    for round in 0..20_000u32 {
        let (slot, ours) = world.by_hand(&listener, first);
        world.release(slot);
        world.answers();
        // The peer closes at the same time, or never, or vanishes before it has our FIN, by turns.
        match round % 4 {
            0 => {
                world.exchange(first, ours, FIN_ACK);
                world.exchange(first, ours + 1, FIN_ACK);
            }
            1 => drop(world.exchange(first, ours, FIN_ACK)),
            2 => drop(world.exchange(first, ours + 1, ACK)),
            _ => {}
        }
        world.next_port = 2000 + (round % 10_000) as u16;
        first = first.wrapping_add(64_000);
        let [connections, slots, tuples, queued, timers] = world.stack.census();
        assert!(connections.max(slots).max(tuples).max(queued) <= LIMITS.orphans + 1);
        assert!(timers <= LIMITS.orphans + 3);
        assert!(world.stack.time_wait() <= LIMITS.time_wait);
        world.now_us += 50;
    }
}

#[test]
fn a_closed_connection_gives_way_when_the_table_is_full() {
    let mut world = World::acquainted();
    let listener = world.listen(80, 200);
    let mut held = Vec::new();
    // Those that are kept are not for one that has all others.
    for _ in LIMITS.connections / 16..LIMITS.connections {
        held.push(world.connected(&listener));
    }
    let late = world.dial(80);
    world.pass(3_000_000);
    assert!(accept(&listener).is_err());
    let (reader, slot) = held[0];
    assert_eq!(world.send(slot, b"all of it"), Ok(9));
    world.settle();
    world.release(slot);
    world.pass(10_000_000);
    assert!(accept(&listener).is_ok());
    assert_eq!(world.tcp(late).state(), tcp::State::Established);
    let mut got = [0; 16];
    assert_eq!(
        world.tcp(reader).recv_slice(&mut got),
        Ok(9),
        "no reset took away what was sent"
    );
}
