//! Peers that have no window, for long (RFC 9293, section 3.8.6.1; tcp(7) for the time that a program gives them).

use super::{ACK, Bench, Error, Settings, State};
use crate::limits::Limits;

const SECOND: u64 = 1_000_000;

impl Bench {
    /// The peer closes its window, and is silent for as long.
    fn shut(&mut self, us: u64) {
        self.feed(0, 0, ACK, 0, b"", &[]);
        self.pass(us);
    }

    /// Lets time pass while the peer answers every question by its window of nothing.
    fn pass_answered(&mut self, us: u64) {
        let end = self.now + us;
        while self.now < end && self.one.state() != State::Closed {
            if !self.pass(100_000).is_empty() {
                self.feed(0, 0, ACK, 0, b"", &[]);
            }
        }
    }
}

#[test]
fn a_peer_that_answers_is_waited_for_unless_the_program_says_how_long() {
    for (user_timeout_s, state) in [(0, State::Established), (20, State::Closed)] {
        let mut bench = Bench::new();
        bench.one.configure(Settings {
            user_timeout_s,
            ..Settings::default()
        });
        // The time before there is anything to be taken does not count.
        bench.shut(600 * SECOND);
        assert!(bench.write(100).is_empty());
        bench.pass_answered(15 * SECOND);
        assert_eq!(bench.one.state(), State::Established);
        bench.pass_answered(300 * SECOND);
        assert_eq!(bench.one.state(), state, "{user_timeout_s} s");
        let error = (state == State::Closed).then_some(Error::TimedOut);
        assert_eq!(bench.one.error, error);
    }
}

#[test]
fn what_a_program_leaves_behind_is_offered_for_a_minute_however_long_the_window_was_shut_before() {
    let mut bench = Bench::new();
    bench.shut(600 * SECOND);
    assert!(bench.write(Limits::ASSURED_BYTES).is_empty());
    bench.one.close();
    bench.one.set_orphan(bench.now);
    bench.pass_answered(50 * SECOND);
    assert_eq!(bench.one.state(), State::FinWait1);
    bench.pass_answered(20 * SECOND);
    assert_eq!(bench.one.state(), State::Closed);
}
