//! Segments that come late (RFC 8985, RFC 3522), and those that are lost again.

use super::*;

const START: u64 = 1_000_000;

/// Options with a time of the peer, the echo of ours, and what it has.
fn times_and_sack(echo_ms: u64, ranges: &[(u32, u32)]) -> Vec<u8> {
    let mut options = vec![1, 1, 8, 10, 0, 0, 0, 1];
    options.extend((echo_ms as u32).to_be_bytes());
    if !ranges.is_empty() {
        options.extend(sack(ranges));
    }
    options
}

impl Bench {
    fn hear(&mut self, ack: u32, options: &[u8]) -> Vec<(u32, usize)> {
        lens(&self.feed(0, ack, Flags::ACK, 60_000, &[], options).1)
    }
}

#[test]
fn who_was_overtaken_once_is_waited_for_the_next_time() {
    let mut bench = Bench::new();
    bench.write(10_000);
    assert_eq!(bench.hear(0, &sack(&[(1000, 3000)])), []);
    // Nobody has sent it again, so it was late. By now an answer takes 87 ms on average.
    assert_eq!(bench.hear(3000, &[]), []);
    for end in 5..10 {
        assert_eq!(bench.hear(3000, &sack(&[(4000, end * 1000)])), []);
    }
    assert_eq!(bench.pass(21_000), []);
    assert_eq!(lens(&bench.pass(2000)), [(3000, 1000)]);
    assert_eq!(bench.one.congestion.windows().0, 4900);
}

#[test]
fn the_window_grows_by_all_that_comes_in_whatever_order() {
    let mut bench = Bench::new();
    bench.write(10_000);
    bench.hear(0, &sack(&[(1000, 3000)]));
    bench.hear(3000, &[]);
    assert!(bench.one.is_reordered());
    bench.write(30_000);
    let before = bench.one.congestion.windows().0;
    for end in 5..=10 {
        bench.hear(3000, &sack(&[(4000, end * 1000)]));
    }
    assert_eq!(bench.one.congestion.windows().0, before + 6000);
    // Of these only the late one is new.
    bench.hear(10_000, &[]);
    assert_eq!(bench.one.congestion.windows().0, before + 7000);
}

#[test]
fn without_that_three_others_make_it_lost_at_once() {
    let mut bench = Bench::new();
    bench.write(10_000);
    assert_eq!(bench.hear(0, &sack(&[(1000, 3000)])), []);
    assert_eq!(bench.hear(0, &sack(&[(1000, 4000)])), [(0, 1000)]);
}

#[test]
fn who_comes_after_it_was_sent_again_was_not_lost() {
    for (echo_us, is_late) in [(START, true), (START + 100_000, false)] {
        let mut bench = Bench::with(true, Some(1));
        let mss = bench.one.mss;
        bench.write(10 * mss as usize);
        let before = bench.one.congestion.windows();
        bench.pass(100_000);
        let three = sack(&[(mss, 4 * mss)]);
        let three = [times_and_sack(START / 1000, &[]), three].concat();
        let again = bench.hear(0, &three);
        assert_eq!(again, [(0, mss as usize)]);
        assert!(bench.one.congestion.windows() < before);
        bench.hear(4 * mss, &times_and_sack(echo_us / 1000, &[]));
        let window = bench.one.congestion.windows().0;
        assert_eq!(window >= before.0, is_late);
        assert_eq!(bench.one.is_reordered(), is_late);
    }
}

#[test]
fn after_a_silence_that_was_a_delay_nothing_more_is_sent_again() {
    let mut bench = Bench::with(true, Some(1));
    let mss = bench.one.mss;
    bench.write(10 * mss as usize);
    let before = bench.one.congestion.windows();
    let again = bench.pass(400_000);
    assert_eq!(lens(&again), [(0, mss as usize)]);
    // The first was on its way for half a second.
    let sent = bench.hear(2 * mss, &times_and_sack(START / 1000, &[]));
    assert_eq!(sent, []);
    assert!(bench.one.congestion.windows().0 >= before.0);
}

#[test]
fn what_is_lost_again_is_sent_once_more() {
    let mut bench = Bench::new();
    bench.write(10_000);
    assert_eq!(bench.hear(0, &sack(&[(1000, 4000)])), [(0, 1000)]);
    bench.hear(0, &sack(&[(1000, 10_000)]));
    let new = bench.write(5000);
    assert_ne!(new, []);
    // All of these left after it had.
    let end = new.iter().map(|one| one.seq + one.len as u32).max();
    let mut sent = bench.hear(0, &sack(&[(1000, 13_000)]));
    sent.extend(bench.hear(0, &sack(&[(1000, end.expect("one"))])));
    assert!(sent.contains(&(0, 1000)), "{sent:?}");
}

#[test]
fn an_end_that_overtakes_bytes_is_kept_told_and_taken_in_its_place() {
    let mut bench = Bench::new();
    let tells = |sent: &[Sent]| sent[0].sack.clone();
    let end = bench.take(300, 0, FIN, b"");
    assert_eq!(
        tells(&end),
        [(300, 301)],
        "its number is told like a byte's"
    );
    assert_eq!(tells(&bench.take(100, 0, ACK, &[2; 200])), [(100, 301)]);
    let filled = bench.take(0, 0, ACK, &[1; 100]);
    assert_eq!(filled, [sent(0, 301, ACK, 0)]);
    assert_eq!((bench.read(), bench.read()), (Ok(300), Ok(0)));
    assert_eq!(bench.one.state(), State::CloseWait);
}

#[test]
fn nothing_comes_behind_an_end() {
    for (seq, len, expected) in [(0, 100, 200), (0, 400, 200), (150, 400, 0)] {
        let mut bench = Bench::new();
        bench.take(100, 0, FIN, &[2; 100]);
        bench.take(201, 0, ACK, &[3; 100]);
        bench.take(400, 0, FIN, b"");
        bench.take(seq, 0, ACK, &vec![1; len]);
        if expected == 0 {
            assert_eq!(bench.read(), Err(Error::WouldBlock));
            continue;
        }
        assert_eq!((bench.read(), bench.read()), (Ok(expected), Ok(0)));
        assert_eq!(bench.one.state(), State::CloseWait);
    }
}

#[test]
fn what_comes_again_is_told_though_its_time_is_past() {
    let mut bench = Bench::with(true, Some(1));
    let time = |value: u8| [1, 1, 8, 10, 0, 0, 0, value, 0, 0, 0, 0];
    bench.feed(0, 0, ACK, 60_000, &[1; 100], &time(9));
    bench.pass(100_000);
    let (_, answer) = bench.feed(0, 0, ACK, 60_000, &[1; 100], &time(2));
    let told = Sent {
        sack: vec![(0, 100)],
        ..sent(0, 100, ACK, 0)
    };
    assert_eq!(answer, [told]);
    assert_eq!(bench.read(), Ok(100));
    // What never came is not said to have come.
    let (_, answer) = bench.feed(200, 0, ACK, 60_000, &[1; 100], &time(2));
    assert_eq!(answer, [sent(0, 100, ACK, 0)]);
}

#[test]
fn the_timer_for_who_was_late_is_not_taken_for_silence() {
    let mut bench = Bench::new();
    bench.write(10_000);
    bench.hear(0, &sack(&[(1000, 3000)]));
    bench.hear(3000, &[]);
    bench.hear(3000, &sack(&[(4000, 5000)]));
    // The next answers come when it should have gone off, and others are late by then.
    for end in [6000, 7000, 8000] {
        bench.now += 30_000;
        bench.hear(3000, &sack(&[(4000, end)]));
    }
    bench.pass(1000);
    assert_eq!(bench.stats.timeouts, 0);
    // Silence is noticed all the same.
    bench.pass(500_000);
    assert_eq!(bench.stats.timeouts, 1);
}
