//! Urgent bytes (RFC 9293, section 3.8.5; RFC 6093).

use super::{ACK, Bench, Error, FIN, Flags, Settings, sent};
use crate::tcp::UrgentByte;

#[test]
fn an_urgent_byte_is_marked_until_it_is_acknowledged() {
    let mut bench = Bench::new();
    let written = bench.context(|one, cx| one.write(&[7; 1500], None, cx));
    assert_eq!(written, Ok(1500));
    bench.one.mark_urgent();
    let first = bench.sent();
    let urgent: Vec<_> = first.iter().map(|one| (one.seq, one.urgent)).collect();
    // The second goes out although it is short and the first is not acknowledged.
    assert_eq!(urgent, [(0, Some(1500)), (1000, Some(500))]);
    assert_eq!(bench.write(10), [sent(1500, 0, ACK, 10)]);
    assert_eq!(bench.take(0, 1500, ACK, b""), []);
    assert_eq!(bench.write(10), [sent(1510, 0, ACK, 10)]);
    assert_eq!(bench.write(10), [], "and Nagle holds short ones back again");
}

#[test]
fn reading_stops_before_an_urgent_byte_and_passes_over_it() {
    let mut bench = Bench::new();
    bench.pointer = 3;
    bench.take(0, 0, ACK | Flags::URG, b"abXcd");
    let mut buf = [0; 9];
    assert_eq!((bench.one.unread(), bench.one.has_urgent()), (2, true));
    let read = bench.context(|one, cx| one.read(&mut buf, false, cx));
    assert_eq!(
        (read, &buf[..2], bench.one.is_at_mark()),
        (Ok(2), &b"ab"[..], true)
    );
    let byte = Some(UrgentByte::Here(b'X'));
    assert_eq!(bench.one.urgent_byte(true), byte);
    assert_eq!(bench.one.urgent_byte(false), byte);
    assert_eq!(bench.one.urgent_byte(false), Some(UrgentByte::Taken));
    assert!(bench.one.can_read() && !bench.one.has_urgent());
    let read = bench.context(|one, cx| one.read(&mut buf, false, cx));
    assert_eq!((read, &buf[..2]), (Ok(2), &b"cd"[..]));
    assert_eq!(bench.one.urgent_byte(false), None);
    // What comes then takes the short way again.
    let predicted = bench.stats.predicted;
    bench.take(5, 0, ACK, b"e");
    assert_eq!(bench.stats.predicted, predicted + 1);
    assert_eq!(
        bench.context(|one, cx| one.read(&mut buf, false, cx)),
        Ok(1)
    );
}

#[test]
fn an_urgent_byte_in_line_is_read_among_the_others() {
    let mut bench = Bench::new();
    bench.one.configure(Settings {
        is_urgent_inline: true,
        ..Settings::default()
    });
    bench.pointer = 3;
    bench.take(0, 0, ACK | Flags::URG, b"abXcd");
    let mut buf = [0; 9];
    assert_eq!(bench.one.urgent_byte(false), None);
    assert_eq!(
        bench.context(|one, cx| one.read(&mut buf, false, cx)),
        Ok(2)
    );
    assert!(bench.one.is_at_mark());
    let read = bench.context(|one, cx| one.read(&mut buf, false, cx));
    assert_eq!((read, &buf[..3]), (Ok(3), &b"Xcd"[..]));
    assert!(!bench.one.is_at_mark());
}

#[test]
fn an_urgent_byte_alone_is_not_readable_but_ready_by_itself() {
    let mut bench = Bench::new();
    // Told before it comes, as if there were no room for it yet.
    bench.pointer = 4;
    bench.take(0, 0, ACK | Flags::URG, b"");
    assert_eq!(bench.one.urgent_byte(false), Some(UrgentByte::Awaited));
    bench.take(0, 0, ACK | Flags::URG, b"abcX");
    let mut buf = [0; 9];
    assert_eq!(
        bench.context(|one, cx| one.read(&mut buf, false, cx)),
        Ok(3)
    );
    assert!(!bench.one.can_read() && bench.one.has_urgent());
    // The next mark takes the place of the one before.
    bench.pointer = 1;
    bench.take(4, 0, ACK | Flags::URG, b"Y");
    let byte = Some(UrgentByte::Here(b'Y'));
    assert_eq!(bench.one.urgent_byte(false), byte);
    let read = bench.context(|one, cx| one.read(&mut buf, false, cx));
    assert_eq!(read, Err(Error::WouldBlock));
    // One that was read already marks nothing.
    bench.pointer = 2;
    bench.take(3, 0, ACK | Flags::URG, b"XY");
    assert_eq!(bench.one.urgent_byte(false), None);
    bench.pointer = 0;
    bench.take(5, 0, FIN, b"");
    assert_eq!(
        bench.context(|one, cx| one.read(&mut buf, false, cx)),
        Ok(0)
    );
}
