//! One connection, segment by segment: what the documents say is to be answered.

mod no_window;
mod opening;
mod path;
mod reordering;
mod urgent;

use super::buffer::Pool;
use super::{ACK_DELAY_US, Agreement, Connection, Context, News, Settings, Sizes, State};
use crate::address::Address;
use crate::error::Error;
use crate::limits::{Limits, Stats};
use crate::seq::Seq;
use crate::wire::ip::Packet;
use crate::wire::protocol;
use crate::wire::tcp::{Flags, Options, Segment};

const LIMITS: Limits = Limits {
    room_bytes: || usize::MAX,
    connections: 1,
    receive_bytes: 1 << 20,
    transmit_bytes: 1 << 20,
    buffer_bytes: 16 << 20,
    half_open: 1,
    orphans: 1,
    time_wait: 1,
    neighbors: 1,
    fragment_bytes: 1,
    waiting_bytes: 1,
};
const SIZES: Sizes = Sizes {
    mss: 1000,
    large: 0,
};
/// Our first byte, and the peer's.
const OURS: u32 = 0xFFFF_FF00;
const THEIRS: u32 = 5000;
const ACK: Flags = Flags::ACK;
const FIN: Flags = Flags::FIN.union(Flags::ACK);

/// A connection whose segments the test plays.
struct Bench {
    one: Connection,
    pool: Pool,
    stats: Stats,
    now: u64,
    /// The urgent pointer of what the peer sends.
    pointer: u16,
}

/// What it has sent, relative to the first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    seq: u32,
    ack: u32,
    flags: Flags,
    len: usize,
    urgent: Option<u16>,
    sack: Vec<(u32, u32)>,
}

impl Bench {
    /// A connection that the peer began, with a window of 64 KB and full segments of 1000 bytes.
    fn new() -> Self {
        Self::with(true, None)
    }

    fn with(is_sack_permitted: bool, timestamp: Option<u32>) -> Self {
        let agreement = Agreement {
            isn: Seq(OURS) - 1,
            irs: Seq(THEIRS) - 1,
            mss: 1000,
            own_mss: 1460,
            scales: Some((0, 4)),
            is_sack_permitted,
            timestamp,
            timestamp_offset: 0,
        };
        let mut one = Connection::accepted(&agreement, 60_000, &LIMITS, 1_000_000);
        one.note_round_trip(100_000);
        Self {
            one,
            pool: Pool::new(LIMITS.buffer_bytes, LIMITS.room_bytes),
            stats: Stats::default(),
            now: 1_000_000,
            pointer: 0,
        }
    }

    fn context<R>(&mut self, call: impl FnOnce(&mut Connection, &mut Context<'_>) -> R) -> R {
        let mut cx = Context {
            now_us: self.now,
            pool: &mut self.pool,
            limits: &LIMITS,
            stats: &mut self.stats,
        };
        call(&mut self.one, &mut cx)
    }

    /// The next segment, made as the exit does. If that is by the short way, the long way makes the same.
    fn next_bytes(&mut self) -> Option<Vec<u8>> {
        let mut long = self.one.clone();
        let plan = self.context(|_, cx| long.next_segment(SIZES, cx));
        let bytes = plan.map(|plan| {
            let mut bytes = vec![0; plan.header + plan.len as usize];
            long.write_segment(&plan, 80, 40_000, &mut bytes);
            bytes
        });
        let Some(len) = self.one.predicted(self.now) else {
            self.one = long;
            return bytes;
        };
        let mut usual = vec![0; self.one.usual_header_len() + len as usize];
        let is_made =
            self.context(|one, cx| one.write_predicted((80, 40_000), [0; 2], &mut usual, cx));
        assert!(is_made && bytes.as_ref() == Some(&usual));
        assert_eq!(format!("{:?}", self.one), format!("{long:?}"));
        Some(usual)
    }

    /// All that is to be sent now.
    fn sent(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        while sent.len() < 200
            && let Some(bytes) = self.next_bytes()
        {
            let packet = Packet {
                source: Address::ANY_V4,
                destination: Address::ANY_V4,
                protocol: protocol::TCP,
                hop_limit: 64,
                payload: &bytes,
                fragment: None,
                whole: &bytes,
                has_router_alert: false,
            };
            let segment = Segment::read(&packet, true).expect("right");
            let relative = |seq: Seq| seq - Seq(THEIRS);
            sent.push(Sent {
                seq: segment.seq - Seq(OURS),
                ack: relative(segment.ack),
                flags: segment.flags - Flags::PSH,
                len: segment.payload.len(),
                urgent: segment.flags.contains(Flags::URG).then_some(segment.urgent),
                sack: Options::read(segment.options)
                    .sack()
                    .iter()
                    .map(|(start, end)| (relative(*start), relative(*end)))
                    .collect(),
            });
        }
        sent
    }

    /// Hands a segment over, numbers relative to the first bytes; what is answered at once.
    fn feed(
        &mut self,
        seq: u32,
        ack: u32,
        flags: Flags,
        window: u16,
        payload: &[u8],
        options: &[u8],
    ) -> (News, Vec<Sent>) {
        let segment = Segment {
            source_port: 40_000,
            destination_port: 80,
            seq: Seq(THEIRS) + seq,
            ack: Seq(OURS) + ack,
            flags,
            window,
            urgent: self.pointer,
            options,
            payload,
        };
        let news = self.context(|one, cx| one.receive(&segment, cx, &mut |_| false));
        (news, self.sent())
    }

    fn take(&mut self, seq: u32, ack: u32, flags: Flags, payload: &[u8]) -> Vec<Sent> {
        self.feed(seq, ack, flags, 60_000, payload, &[]).1
    }

    fn write(&mut self, len: usize) -> Vec<Sent> {
        let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let written = self.context(|one, cx| one.write(&bytes, None, cx));
        assert_eq!(written, Ok(len));
        self.sent()
    }

    fn pass(&mut self, us: u64) -> Vec<Sent> {
        let end = self.now + us;
        let mut sent = Vec::new();
        while self.one.deadline() <= end {
            self.now = self.one.deadline().max(self.now);
            self.context(|one, cx| one.tick(cx));
            sent.extend(self.sent());
        }
        self.now = end;
        sent
    }

    fn read(&mut self) -> Result<usize, Error> {
        let mut buf = vec![0; 100_000];
        self.context(|one, cx| one.read(&mut buf, false, cx))
    }
}

fn sent(seq: u32, ack: u32, flags: Flags, len: usize) -> Sent {
    Sent {
        seq,
        ack,
        flags,
        len,
        urgent: None,
        sack: vec![],
    }
}

fn lens(sent: &[Sent]) -> Vec<(u32, usize)> {
    sent.iter().map(|one| (one.seq, one.len)).collect()
}

/// Options of a segment that has these ranges beyond its acknowledgement.
fn sack(ranges: &[(u32, u32)]) -> Vec<u8> {
    let mut options = vec![1, 1, 5, 2 + 8 * ranges.len() as u8];
    for (start, end) in ranges {
        options.extend((Seq(OURS) + *start).0.to_be_bytes());
        options.extend((Seq(OURS) + *end).0.to_be_bytes());
    }
    options
}

#[test]
fn segments_that_are_no_part_of_the_connection_are_answered_as_rfc_9293_and_5961_say() {
    let acknowledged = vec![sent(0, 0, ACK, 0)];
    let nothing = vec![];
    let window = 0xFFFF;
    for (what, seq, ack, flags, answer, state) in [
        (
            "a reset with the next number",
            0,
            0,
            Flags::RST,
            &nothing,
            State::Closed,
        ),
        (
            "a reset in the window",
            10,
            0,
            Flags::RST,
            &acknowledged,
            State::Established,
        ),
        (
            "a reset outside",
            window + 99,
            0,
            Flags::RST,
            &nothing,
            State::Established,
        ),
        (
            "a reset before",
            u32::MAX,
            0,
            Flags::RST,
            &nothing,
            State::Established,
        ),
        (
            "a request for a connection",
            0,
            0,
            Flags::SYN,
            &acknowledged,
            State::Established,
        ),
        (
            "one far away",
            1 << 30,
            0,
            Flags::SYN,
            &acknowledged,
            State::Established,
        ),
        (
            "a byte beyond the window",
            window + 99,
            0,
            ACK,
            &acknowledged,
            State::Established,
        ),
        (
            "an acknowledgement of what was not sent",
            0,
            1,
            ACK,
            &acknowledged,
            State::Established,
        ),
        (
            "one of long ago",
            0,
            0u32.wrapping_sub(100_000),
            ACK,
            &acknowledged,
            State::Established,
        ),
        (
            "a segment without acknowledgement",
            0,
            0,
            Flags::empty(),
            &nothing,
            State::Established,
        ),
        (
            "a probe whether we are there",
            u32::MAX,
            0,
            ACK,
            &acknowledged,
            State::Established,
        ),
    ] {
        let mut bench = Bench::new();
        let payload: &[u8] = if flags == ACK && seq == window + 99 {
            b"x"
        } else {
            b""
        };
        assert_eq!(&bench.take(seq, ack, flags, payload), answer, "{what}");
        assert_eq!(bench.one.state(), state, "{what}");
        assert!(bench.read().is_err(), "{what}");
    }
}

#[test]
fn endless_bare_segments_are_not_answered_for_ever() {
    let mut bench = Bench::new();
    let answers: usize = (0..1000)
        .map(|_| bench.take(u32::MAX, 0, ACK, b"").len())
        .sum();
    assert!((1..=20).contains(&answers), "{answers}");
    bench.now += 2_000_000;
    assert_eq!(bench.take(u32::MAX, 0, ACK, b"").len(), 1);
}

#[test]
fn every_second_full_segment_is_acknowledged_and_a_single_one_a_little_later() {
    let mut bench = Bench::new();
    assert_eq!(bench.take(0, 0, ACK, &[1; 1000]), []);
    assert_eq!(
        bench.take(1000, 0, ACK, &[1; 1000]),
        [sent(0, 2000, ACK, 0)]
    );
    assert_eq!(bench.take(2000, 0, ACK, &[1; 100]), []);
    assert_eq!(bench.pass(100_000), [sent(0, 2100, ACK, 0)]);
    // It goes with data where there is any.
    assert_eq!(bench.write(10), [sent(0, 2100, ACK, 10)]);
    assert_eq!(bench.take(2100, 10, ACK, &[1; 100]), []);
    assert_eq!(bench.write(10), [sent(10, 2200, ACK, 10)]);
    assert_eq!(bench.pass(50_000), []);
}

#[test]
fn small_writes_of_a_peer_that_alone_sends_wait_for_one_delay_only() {
    let mut bench = Bench::new();
    assert_eq!(bench.take(0, 0, ACK, &[1; 10]), []);
    assert_eq!(bench.pass(ACK_DELAY_US), [sent(0, 10, ACK, 0)]);
    // Nobody answered the first: the peer's next, which Nagle holds back until this is acknowledged, shall not wait.
    for end in [20, 30, 40] {
        let answer = bench.take(end - 10, 0, ACK, &[1; 10]);
        assert_eq!(answer, [sent(0, end, ACK, 0)]);
    }
    // Full segments are acknowledged two by two as ever.
    assert_eq!(bench.take(40, 0, ACK, &[1; 1000]), []);
    let both = bench.take(1040, 0, ACK, &[1; 1000]);
    assert_eq!(both, [sent(0, 2040, ACK, 0)]);
    // Bytes go the other way again: an answer may come once more.
    assert_eq!(bench.write(5), [sent(0, 2040, ACK, 5)]);
    assert_eq!(bench.take(2040, 5, ACK, &[1; 10]), []);
    assert_eq!(bench.write(5), [sent(5, 2050, ACK, 5)]);
}

#[test]
fn what_comes_early_is_kept_told_and_put_in_its_place() {
    let mut bench = Bench::new();
    let early = |ranges: &[(u32, u32)]| Sent {
        sack: ranges.to_vec(),
        ..sent(0, 0, ACK, 0)
    };
    assert_eq!(bench.take(100, 0, ACK, &[2; 50]), [early(&[(100, 150)])]);
    assert_eq!(
        bench.take(300, 0, ACK, &[4; 50]),
        [early(&[(300, 350), (100, 150)])]
    );
    assert_eq!(
        bench.take(150, 0, ACK, &[3; 50]),
        [early(&[(100, 200), (300, 350)])]
    );
    // What came before is told as such (RFC 2883).
    assert_eq!(
        bench.take(110, 0, ACK, &[2; 20]),
        [early(&[(110, 130), (100, 200), (300, 350)])]
    );
    assert_eq!(bench.read(), Err(Error::WouldBlock));
    let filled = bench.take(0, 0, ACK, &[1; 120]);
    assert_eq!((filled.len(), filled[0].ack), (1, 200));
    assert_eq!(filled[0].sack, [(300, 350)]);
    assert_eq!(bench.read(), Ok(200));
    assert_eq!(bench.take(200, 0, ACK, &[5; 100])[0], sent(0, 350, ACK, 0));
    assert_eq!(bench.read(), Ok(150));
}

#[test]
fn a_small_segment_waits_for_the_last_unless_it_shall_not() {
    let mut bench = Bench::new();
    assert_eq!(lens(&bench.write(10)), [(0, 10)]);
    assert_eq!(bench.write(10), [], "Nagle");
    assert_eq!(lens(&bench.write(990)), [(10, 1000)], "a full one goes");
    assert_eq!(bench.write(5), []);
    assert_eq!(lens(&bench.take(0, 1010, ACK, b"")), [(1010, 5)]);
    bench.one.configure(Settings {
        is_nodelay: true,
        ..Settings::default()
    });
    assert_eq!(lens(&bench.write(7)), [(1015, 7)]);
}

#[test]
fn behind_a_cork_only_full_segments_go_until_it_is_drawn_or_nothing_more_comes() {
    let mut bench = Bench::new();
    let corked = Settings {
        is_corked: true,
        is_nodelay: true,
        ..Settings::default()
    };
    bench.one.configure(corked);
    assert_eq!(bench.write(10), []);
    assert_eq!(lens(&bench.write(1000)), [(0, 1000)]);
    assert_eq!(bench.take(0, 1000, ACK, b""), [], "the rest stays");
    bench.one.configure(Settings::default());
    assert_eq!(lens(&bench.write(0)), [(1000, 10)]);
    bench.one.configure(corked);
    assert_eq!(bench.write(5), []);
    bench.one.close();
    assert_eq!(lens(&bench.sent()), [(1010, 5)]);
}

#[test]
fn no_more_waits_than_the_program_wants_but_what_was_offered_stays() {
    let mut bench = Bench::new();
    bench.one.configure(Settings {
        receive_bytes: 2304,
        transmit_bytes: 5000,
        ..Settings::default()
    });
    let offered = bench.one.edge;
    bench.take(0, 0, ACK, &[1; 1000]);
    bench.take(1000, 0, ACK, &[1; 1000]);
    assert_eq!(
        bench.one.edge, offered,
        "nothing is taken back, nothing added"
    );
    assert_eq!(bench.one.send_limit(&LIMITS), 5000);
}

#[test]
fn a_single_segment_is_acknowledged_at_once_where_that_is_asked_for() {
    let mut bench = Bench::new();
    bench.one.configure(Settings {
        is_quick_ack: true,
        ..Settings::default()
    });
    assert_eq!(bench.take(0, 0, ACK, &[1; 10]), [sent(0, 10, ACK, 0)]);
    bench.one.configure(Settings::default());
    assert_eq!(bench.take(10, 0, ACK, &[1; 10]), []);
}

#[test]
fn three_duplicates_make_a_segment_lost_without_selective_acknowledgements() {
    let mut bench = Bench::with(false, None);
    assert_eq!(bench.write(10_000).len(), 10);
    let window = bench.one.congestion.window;
    assert_eq!(bench.take(0, 0, ACK, b""), []);
    assert_eq!(bench.take(0, 0, ACK, b""), []);
    assert_eq!(
        lens(&bench.take(0, 0, ACK, b"")),
        [(0, 1000)],
        "RFC 5681, section 3.2"
    );
    assert_eq!(bench.take(0, 0, ACK, b""), [], "once");
    assert!(bench.one.congestion.window <= window * 7 / 10, "RFC 9438");
    // A part of what was under way: the next is lost too (RFC 6582).
    assert_eq!(lens(&bench.take(0, 3000, ACK, b"")), [(3000, 1000)]);
    assert_eq!(bench.take(0, 10_000, ACK, b""), []);
    assert_eq!(bench.pass(10_000_000), [], "nothing is left to be sent");
}

#[test]
fn only_what_is_missing_is_sent_again_with_selective_acknowledgements() {
    let mut bench = Bench::new();
    assert_eq!(bench.write(10_000).len(), 10);
    let feed = |bench: &mut Bench, ack, ranges: &[(u32, u32)]| {
        lens(&bench.feed(0, ack, ACK, 60_000, b"", &sack(ranges)).1)
    };
    // The first, the fourth and the fifth are lost.
    assert_eq!(feed(&mut bench, 0, &[(1000, 2000)]), []);
    assert_eq!(feed(&mut bench, 0, &[(1000, 3000)]), []);
    let first = feed(&mut bench, 0, &[(5000, 6000), (1000, 3000)]);
    assert_eq!(first, [(0, 1000)]);
    let mut rest = Vec::new();
    for end in [7000, 8000, 9000, 10_000] {
        rest.extend(feed(&mut bench, 0, &[(5000, end), (1000, 3000)]));
    }
    assert_eq!(rest, [(3000, 1000), (4000, 1000)]);
    assert_eq!(bench.stats.retransmitted, 3);
    assert_eq!(feed(&mut bench, 10_000, &[]), []);
    assert_eq!(bench.pass(10_000_000), []);
}

#[test]
fn lies_about_what_arrived_are_passed_over() {
    let mut bench = Bench::new();
    bench.write(3000);
    for ranges in [
        [(5000, 6000)],
        [(2000, 1000)],
        [(0u32.wrapping_sub(500), 100)],
        [(0, 1 << 31)],
    ] {
        bench.feed(0, 0, ACK, 60_000, b"", &sack(&ranges));
        assert!(bench.one.sacked.is_empty(), "{ranges:?}");
    }
}

#[test]
fn silence_doubles_the_wait_and_ends_the_connection() {
    let mut bench = Bench::new();
    bench.write(3000);
    // The round-trip took 100 ms: 100 + 4 * 50.
    assert_eq!(bench.pass(299_000), []);
    assert_eq!(lens(&bench.pass(2_000)), [(0, 1000)], "one segment only");
    assert_eq!(bench.pass(590_000), []);
    assert_eq!(bench.pass(20_000).len(), 1);
    bench.pass(100_000_000);
    assert_eq!(bench.one.state(), State::Established);
    bench.pass(40_000_000);
    assert_eq!(
        (bench.one.state(), bench.one.error),
        (State::Closed, Some(Error::TimedOut))
    );
    assert_eq!(bench.one.deadline(), super::NEVER);
}

#[test]
fn what_arrived_after_all_is_not_sent_again() {
    let mut bench = Bench::new();
    bench.write(5000);
    assert_eq!(lens(&bench.pass(301_000)), [(0, 1000)]);
    let again = bench
        .feed(0, 1000, ACK, 60_000, b"", &sack(&[(2000, 4000)]))
        .1;
    assert_eq!(lens(&again), [(1000, 1000), (4000, 1000)]);
    assert_eq!(bench.take(0, 5000, ACK, b""), []);
    assert_eq!(bench.pass(10_000_000), []);
}

#[test]
fn a_window_that_shuts_is_asked_for_and_never_overrun() {
    let mut bench = Bench::new();
    bench.feed(0, 0, ACK, 1500, b"", &[]);
    let first = bench.write(5000);
    assert_eq!(lens(&first), [(0, 1000)], "500 are not worth a segment");
    let (_, none) = bench.feed(0, 1000, ACK, 0, b"", &[]);
    assert_eq!(none, []);
    let asked = bench.pass(400_000);
    assert_eq!(asked, [sent(999, 0, ACK, 0)], "with a number of the past");
    bench.feed(0, 1000, ACK, 0, b"", &[]);
    assert_eq!(
        lens(&bench.feed(0, 1000, ACK, 3000, b"", &[]).1),
        [(1000, 1000), (2000, 1000), (3000, 1000)]
    );
}

#[test]
fn a_window_that_stays_small_is_used_in_the_end() {
    let mut bench = Bench::new();
    bench.write(1000);
    bench.feed(0, 1000, ACK, 300, b"", &[]);
    assert_eq!(bench.write(5000), []);
    assert_eq!(
        lens(&bench.pass(400_000)),
        [(1000, 300)],
        "RFC 1122, section 4.2.3.4"
    );
}

#[test]
fn our_own_window_shuts_and_opens_by_steps_worth_a_segment() {
    let mut bench = Bench::new();
    let mut at = 0;
    while bench.one.incoming.len() < 60_000 {
        bench.take(at, 0, ACK, &[1; 1000]);
        at += 1000;
    }
    let open = bench.one.edge - bench.one.rcv_nxt;
    let overrun = bench.take(at, 0, ACK, &vec![1; open as usize + 500]);
    assert_eq!(
        overrun.last().map(|one| one.ack),
        Some(at + open),
        "what fits is taken"
    );
    assert_eq!(bench.one.edge, bench.one.rcv_nxt);
    assert_eq!(
        bench.take(at + open, 0, ACK, b"x").len(),
        1,
        "a question is answered"
    );
    bench.context(|one, cx| one.consume(100, cx));
    assert_eq!(bench.sent(), [], "not for a hundred bytes");
    bench.context(|one, cx| one.consume(10_000, cx));
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn closing_goes_through_the_states_in_any_order() {
    // We first.
    let mut bench = Bench::new();
    bench.one.close();
    assert_eq!(bench.sent(), [sent(0, 0, FIN, 0)]);
    assert_eq!(bench.one.state(), State::FinWait1);
    assert_eq!(bench.take(0, 1, ACK, b""), []);
    assert_eq!(bench.one.state(), State::FinWait2);
    assert_eq!(bench.take(0, 1, FIN, b"bye"), [sent(1, 4, ACK, 0)]);
    assert_eq!(bench.one.state(), State::TimeWait);
    assert_eq!(bench.take(0, 1, FIN, b"bye"), [sent(1, 4, ACK, 0)], "again");
    assert_eq!((bench.read(), bench.read()), (Ok(3), Ok(0)));
    // The peer first.
    let mut bench = Bench::new();
    assert_eq!(bench.take(0, 0, FIN, b""), [sent(0, 1, ACK, 0)]);
    assert_eq!(bench.one.state(), State::CloseWait);
    assert_eq!(lens(&bench.write(10)), [(0, 10)], "we may still send");
    bench.one.close();
    assert_eq!(bench.sent(), [sent(10, 1, FIN, 0)]);
    assert_eq!(bench.one.state(), State::LastAck);
    bench.take(1, 11, ACK, b"");
    assert_eq!((bench.one.state(), bench.one.error), (State::Closed, None));
    // Both at once.
    let mut bench = Bench::new();
    bench.one.close();
    bench.sent();
    assert_eq!(bench.take(0, 0, FIN, b""), [sent(1, 1, ACK, 0)]);
    assert_eq!(bench.one.state(), State::Closing);
    bench.take(1, 1, ACK, b"");
    assert_eq!(bench.one.state(), State::TimeWait);
}

#[test]
fn an_end_that_got_lost_is_sent_again_with_the_bytes_before_it() {
    let mut bench = Bench::new();
    bench.write(1500);
    bench.one.close();
    assert_eq!(bench.sent(), [sent(1000, 0, FIN, 500)]);
    assert_eq!(lens(&bench.pass(301_000)), [(0, 1000)]);
    assert_eq!(bench.take(0, 1000, ACK, b""), [sent(1000, 0, FIN, 500)]);
    bench.take(0, 1501, ACK, b"");
    assert_eq!(bench.one.state(), State::FinWait2);
    assert_eq!(bench.sent(), [], "only once");
}

#[test]
fn times_of_the_past_are_refused_and_answers_echo_the_last() {
    let mut bench = Bench::with(true, Some(100));
    let time = |value: u8| [1, 1, 8, 10, 0, 0, 0, value, 0, 0, 0, 0];
    bench.feed(0, 0, ACK, 60_000, b"old", &time(99));
    assert_eq!(
        (bench.read(), bench.stats.unacceptable),
        (Err(Error::WouldBlock), 1)
    );
    bench.feed(0, 0, ACK, 60_000, b"none", &[]);
    assert_eq!(
        bench.read(),
        Err(Error::WouldBlock),
        "RFC 7323, section 3.2"
    );
    bench.feed(0, 0, ACK, 60_000, b"new", &time(101));
    assert_eq!((bench.read(), bench.one.ts_recent), (Ok(3), 101));
    // A reset needs no time.
    bench.take(3, 0, Flags::RST, b"");
    assert_eq!(bench.one.error, Some(Error::Reset));
}

#[test]
fn a_device_that_takes_segments_apart_gets_them_whole() {
    let mut bench = Bench::new();
    let bytes = vec![7; 9500];
    bench
        .context(|one, cx| one.write(&bytes, None, cx))
        .expect("room");
    let sizes = Sizes {
        mss: 1000,
        large: 60_000,
    };
    let plan = bench
        .context(|one, cx| one.next_segment(sizes, cx))
        .expect("a segment");
    assert_eq!(plan.len, 9500);
    // Sent again they are single.
    bench.context(|one, cx| while one.next_segment(sizes, cx).is_some() {});
    let (_, _) = bench.feed(0, 0, ACK, 60_000, b"", &[]);
    assert_eq!(lens(&bench.pass(301_000)), [(0, 1000)]);
}

#[test]
fn bytes_that_are_taken_at_once_count_as_read_and_none_may_wait_before_them() {
    let mut bench = Bench::new();
    let segment = |seq: u32, payload: &'static [u8]| Segment {
        source_port: 40_000,
        destination_port: 80,
        seq: Seq(THEIRS) + seq,
        ack: Seq(OURS),
        flags: ACK,
        window: 60_000,
        urgent: 0,
        options: &[],
        payload,
    };
    let mut taken = Vec::new();
    let mut feed = |bench: &mut Bench, seq, payload, takes: bool| {
        bench.context(|one, cx| {
            one.receive(&segment(seq, payload), cx, &mut |bytes: &[u8]| {
                taken.extend_from_slice(bytes);
                takes
            })
        })
    };
    assert_eq!(feed(&mut bench, 0, b"abc", true), News::empty());
    assert_eq!(bench.read(), Err(Error::WouldBlock));
    assert_eq!(bench.pool.used(), 0, "nothing is kept");
    assert_eq!(feed(&mut bench, 3, b"de", false), News::READABLE);
    // Not offered: others wait before them.
    assert_eq!(feed(&mut bench, 5, b"f", true), News::READABLE);
    // Out of order, then again.
    assert_eq!(feed(&mut bench, 7, b"h", true), News::empty());
    assert_eq!(feed(&mut bench, 0, b"abc", true), News::empty());
    assert_eq!(bench.read(), Ok(3));
    assert_eq!(taken, b"abcde");
    let sent = bench.pass(2 * ACK_DELAY_US);
    assert_eq!(sent.last().expect("acknowledged").ack, 6);
}

#[test]
fn bytes_that_stay_where_they_are_are_sent_from_there_again_and_before_others() {
    let mut bench = Bench::new();
    static BYTES: [u8; 700] = [7; 700];
    let write = |bench: &mut Bench, kept| {
        let written = bench.context(|one, cx| one.write(&BYTES, kept, cx));
        assert_eq!(written, Ok(700));
        bench.sent()
    };
    assert_eq!(lens(&write(&mut bench, Some(&BYTES))), [(0, 700)]);
    assert_eq!(bench.pool.used(), 0, "they are not copied");
    // More while these are under way: Nagle keeps it back, and all of it is in one buffer now.
    assert_eq!(write(&mut bench, Some(&BYTES)), []);
    assert!(bench.pool.used() != 0);
    assert_eq!(lens(&bench.pass(2_000_000))[0], (0, 1000), "sent again");
    assert_eq!(lens(&bench.take(0, 1000, ACK, b"")), [(1000, 400)]);
    assert_eq!(lens(&bench.take(0, 1400, ACK, b"")), []);
    assert_eq!(bench.pool.used(), 0);
    // A part of what is kept may be acknowledged.
    assert_eq!(lens(&write(&mut bench, Some(&BYTES))), [(1400, 700)]);
    assert_eq!(lens(&bench.take(0, 1500, ACK, b"")), []);
    assert_eq!(lens(&bench.pass(2_000_000))[0], (1500, 600));
}

#[test]
fn where_there_is_no_memory_bytes_wait_for_those_that_stay_where_they_are() {
    let mut bench = Bench::new();
    bench.pool = Pool::new(0, LIMITS.room_bytes);
    static BYTES: [u8; 5000] = [7; 5000];
    let mut write = |kept| bench.context(|one, cx| one.write(&BYTES, kept, cx));
    assert_eq!(write(Some(&BYTES)), Ok(5000));
    assert_eq!(write(Some(&BYTES)), Err(Error::WouldBlock));
    assert_eq!(write(None), Err(Error::WouldBlock));
    assert_eq!(bench.pool.used(), 0);
}
