//! Linux as the peer, over a network that loses, repeats, delays and reorders: what TCP promises holds, and nothing is left behind.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;
use vm_tests::crowd::{
    CALLBACKS, Crowd, THREADS, ask_for, connect, download, echo, pattern, upload,
};
use vm_tests::namespace;
use vm_tests::relay::Weather;

const AT_ONCE: Duration = Duration::ZERO;

#[test]
fn what_goes_over_a_bad_network_arrives_whole_both_ways() {
    let test = "impaired::what_goes_over_a_bad_network_arrives_whole_both_ways";
    if !namespace::enter(test, &["test-crowd"]) {
        return;
    }
    for (seed, card) in [(1, "e1000"), (2, "virtio-net-pci")] {
        let crowd = Crowd::start_patient(seed, card);
        let before = crowd.census();
        crowd.relay.set_weather(Weather::BAD);
        let bytes = pattern(1 << 20);
        // IPv4 and IPv6: an address of the link, which needs no router.
        let ways = [
            crowd.relay.address(THREADS),
            crowd.relay.address_v6(THREADS),
        ];
        thread::scope(|scope| {
            for to in ways {
                scope.spawn(move || {
                    let mut stream = connect(to, None).unwrap();
                    download(&mut stream, 2 << 20, 10_000, AT_ONCE).unwrap();
                });
                let bytes = &bytes;
                scope.spawn(move || upload(&mut connect(to, None).unwrap(), bytes).unwrap());
                scope.spawn(move || {
                    let mut stream = connect(to, None).unwrap();
                    stream.write_all(b"e").unwrap();
                    echo(&stream, &bytes[..300_000]);
                });
            }
            scope.spawn(|| echo(&crowd.connect(CALLBACKS), &bytes[..100_000]));
        });
        crowd.wait_for_rest(before);
    }
}

#[test]
fn small_requests_are_answered_over_a_bad_network() {
    let test = "impaired::small_requests_are_answered_over_a_bad_network";
    if !namespace::enter(test, &["test-crowd"]) {
        return;
    }
    let crowd = Crowd::start_patient(3, "e1000");
    let before = crowd.census();
    crowd.relay.set_weather(Weather::BAD);
    thread::scope(|scope| {
        for port in [THREADS, THREADS, CALLBACKS, CALLBACKS] {
            let crowd = &crowd;
            scope.spawn(move || {
                for round in 0..10 {
                    let mut stream = crowd.connect(port);
                    for request in 0..10 {
                        let words = format!("e{round} {request}, please");
                        let words = &words[usize::from(request != 0)..];
                        stream.write_all(words.as_bytes()).unwrap();
                        // The first byte to the threads says what is wanted and does not come back.
                        let is_wish = request == 0 && port == THREADS;
                        let words = &words[usize::from(is_wish)..];
                        let mut back = vec![0; words.len()];
                        stream.read_exact(&mut back).unwrap();
                        assert_eq!(back, words.as_bytes());
                    }
                }
            });
        }
    });
    crowd.wait_for_rest(before);
}

#[test]
fn peers_with_tiny_windows_and_slow_ones_get_everything() {
    let test = "impaired::peers_with_tiny_windows_and_slow_ones_get_everything";
    if !namespace::enter(test, &["test-crowd"]) {
        return;
    }
    let crowd = Crowd::start_patient(4, "e1000");
    let before = crowd.census();
    for weather in [
        Weather::default(),
        Weather {
            loss: 10,
            ..Weather::default()
        },
    ] {
        crowd.relay.set_weather(weather);
        let to = crowd.relay.address(THREADS);
        thread::scope(|scope| {
            // As small as Linux lets it be: about two segments, or less than one.
            for (window, len, piece, between) in [
                (1, 100_000, 500, AT_ONCE),
                (1500, 100_000, 5000, Duration::from_millis(1)),
                (4096, 200_000, 100_000, Duration::from_millis(5)),
                // The window stays shut for longer than the sender waits before it asks.
                (1, 6000, 10_000, Duration::from_millis(700)),
            ] {
                scope.spawn(move || {
                    let mut stream = connect(to, Some(window)).unwrap();
                    download(&mut stream, len, piece, between).unwrap();
                });
            }
            // Bytes that come one by one.
            scope.spawn(move || {
                let mut stream = connect(to, None).unwrap();
                stream.write_all(b"e").unwrap();
                for byte in 0..100 {
                    stream.write_all(&[byte]).unwrap();
                    thread::sleep(Duration::from_millis(2));
                }
                let mut back = [0; 100];
                stream.read_exact(&mut back).unwrap();
                assert!(back.iter().copied().eq(0..100));
            });
        });
    }
    crowd.wait_for_rest(before);
}

#[test]
fn peers_that_vanish_are_forgotten() {
    let test = "impaired::peers_that_vanish_are_forgotten";
    if !namespace::enter(test, &["test-crowd"]) {
        return;
    }
    let crowd = Crowd::start(5, "e1000");
    let vanish = || {
        let mut streams = Vec::new();
        for round in 0..8 {
            // In the middle of a download, of an upload, of a talk, at rest.
            let port = if round % 4 == 3 { CALLBACKS } else { THREADS };
            let mut stream = crowd.connect(port);
            match round % 4 {
                0 => {
                    ask_for(&mut stream, 4 << 20).unwrap();
                    stream.read_exact(&mut [0; 50_000]).unwrap();
                }
                1 => stream
                    .write_all(&[&b"u"[..], &[7; 30_000]].concat())
                    .unwrap(),
                2 => stream.write_all(b"e").unwrap(),
                _ => echo(&stream, b"still here"),
            }
            crowd.relay.silence(&stream);
            streams.push(stream);
        }
        let here = crowd.census();
        // Of the others the machine may have lost the last word of the handshake.
        assert!(here.connections >= 4, "{here:?}");
        streams
    };
    let start = crowd.census();
    let first = vanish();
    // What the first have made the allocators keep is there for those that come later.
    let before = crowd.wait_for_rest(vm_tests::crowd::Census {
        free_kib: 0,
        ..start
    });
    let second = vanish();
    crowd.wait_for_rest(before);
    // They come back too late. Those that wait for an answer of the machine would ask again in a minute only.
    for (round, mut stream) in first.into_iter().chain(second).enumerate() {
        if matches!(round % 4, 0 | 3) {
            crowd.relay.unsilence(&stream);
            stream.write_all(b"hello?").unwrap();
            let mut buf = [0; 65_536];
            let end = loop {
                match stream.read(&mut buf) {
                    Ok(1..) => {}
                    end => break end.map_err(|error| error.kind()),
                }
            };
            assert_eq!(end, Err(ErrorKind::ConnectionReset));
        }
    }
    crowd.wait_for_rest(before);
}
