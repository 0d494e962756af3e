//! Paths that take shorter packets than the link does (RFC 1191, RFC 8201).

use super::{ACK, Bench, lens};

#[test]
fn a_shorter_path_makes_segments_shorter_and_sends_again() {
    let mut bench = Bench::new();
    bench.write(3000);
    bench.one.shorten(700, 512, bench.now);
    assert_eq!(lens(&bench.sent())[..2], [(0, 700), (700, 700)]);
    bench.one.shorten(10, 512, bench.now);
    assert_eq!(bench.one.mss(), 512, "no router may make it tiny");
}

/// RFC 1191, section 6.3.
#[test]
fn a_path_that_was_shorter_is_tried_again_ten_minutes_later() {
    let mut bench = Bench::new();
    bench.write(1000);
    bench.one.shorten(700, 512, bench.now);
    bench.one.shorten(600, 512, bench.now);
    assert_eq!(lens(&bench.sent()), [(0, 600), (600, 400)]);
    bench.take(0, 1000, ACK, b"");
    bench.now += 599_000_000;
    assert_eq!(lens(&bench.write(1200)), [(1000, 600), (1600, 600)]);
    bench.take(0, 2200, ACK, b"");
    bench.now += 2_000_000;
    assert_eq!(lens(&bench.write(2000)), [(2200, 1000), (3200, 1000)]);
    // It still is: that counts from now.
    bench.one.shorten(600, 512, bench.now);
    assert_eq!(lens(&bench.sent())[..2], [(2200, 600), (2800, 600)]);
    bench.take(0, 4200, ACK, b"");
    bench.now += 599_000_000;
    assert_eq!(lens(&bench.write(1200)), [(4200, 600), (4800, 600)]);
    bench.take(0, 5400, ACK, b"");
    // What was found out without a router's word stays.
    bench.write(1000);
    bench.pass(10_000_000);
    assert_eq!(bench.one.mss(), 536);
    bench.take(0, 6400, ACK, b"");
    bench.now += 700_000_000;
    assert_eq!(bench.write(600)[0].len, 536);
}
