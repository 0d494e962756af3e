//! How connections begin: both ends ask at once (RFC 9293, section 3.5, figure 7), or nobody answers.

use super::{ACK, Bench, Connection, Error, FIN, Flags, LIMITS, OURS, Seq, Settings, State, lens};

/// A connection that both have asked for, as the peer's acknowledgement makes it.
fn made_by_both() -> Bench {
    let mut bench = Bench::new();
    bench.one = Connection::new(bench.now);
    bench.one.configure(Settings {
        is_nodelay: true,
        ..Settings::default()
    });
    bench.one.open(Seq(OURS) - 1, 0, 1000, &LIMITS, bench.now);
    assert_eq!(bench.sent()[0].flags, Flags::SYN);
    let ours = 0u32.wrapping_sub(1);
    let answer = bench.take(ours, 0, Flags::SYN, b"");
    assert_eq!(answer[0].flags, Flags::SYN | Flags::ACK);
    assert_eq!(bench.one.state(), State::SynReceived);
    assert!(!bench.one.was_made());
    assert!(bench.take(0, 0, ACK, b"").is_empty());
    assert_eq!(bench.one.state(), State::Established);
    bench
}

#[test]
fn it_counts_as_made_and_knows_of_no_loss() {
    let mut bench = made_by_both();
    assert!(bench.one.was_made());
    // Without the option of the peer's request segments are of 536 bytes.
    let sent = bench.write(1500);
    assert_eq!(lens(&sent), [(0, 536), (536, 536), (1072, 428)]);
    // One acknowledgement that comes twice is no loss.
    assert_eq!(lens(&bench.take(0, 0, ACK, b"")), []);
    assert_eq!(lens(&bench.take(0, 536, ACK, b"")), []);
    assert_eq!(lens(&bench.take(0, 536, ACK, b"")), []);
    assert_eq!(bench.stats.retransmitted, 0);
}

#[test]
fn a_request_is_repeated_as_often_as_the_program_wants() {
    let mut bench = Bench::new();
    bench.one = Connection::new(bench.now);
    bench.one.configure(Settings {
        request_repetitions: 2,
        ..Settings::default()
    });
    bench.one.open(Seq(OURS) - 1, 0, 1000, &LIMITS, bench.now);
    assert_eq!(bench.sent().len(), 1);
    // After one second, and two more; nobody answers within another four.
    assert_eq!(bench.pass(6_900_000).len(), 2);
    assert_eq!(bench.one.state(), State::SynSent);
    assert_eq!(bench.pass(200_000), []);
    assert_eq!(
        (bench.one.state(), bench.one.error),
        (State::Closed, Some(Error::TimedOut))
    );
}

#[test]
fn a_peer_that_does_not_close_is_waited_for_as_long_as_the_program_wants() {
    for seconds in [0, 7] {
        let mut bench = Bench::new();
        bench.one.configure(Settings {
            close_timeout_s: seconds,
            ..Settings::default()
        });
        bench.one.close();
        bench.one.set_orphan(bench.now);
        assert_eq!(bench.sent()[0].flags, FIN);
        bench.take(0, 1, ACK, b"");
        assert_eq!(bench.one.state(), State::FinWait2);
        bench.pass((u64::from(seconds) * 1_000_000).saturating_sub(1));
        assert_eq!(bench.one.state() == State::Closed, seconds == 0);
        bench.pass(1);
        assert_eq!(bench.one.state(), State::Closed);
    }
}
