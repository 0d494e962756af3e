//! Services with callbacks, and interfaces that belong to cores: asked by threads of the same machine, through the loopback. Given the
//! argument `serve`, it serves until the power button; with `leave` and how, it ends after one answer; with `queues` and the host's address, on all queues of its card.

mod late;
mod leave;
mod queues;
mod words;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use toro::Error;
use toro::net::{self, Addressing};
use words::{COUNTS, Words};

const PORT: u16 = 80;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        let core = toro::core::count() - 1;
        net::dedicate("net0", core, Addressing::Keep).expect("a card");
        let service = net::serve("net0", PORT, Words::new(core)).expect("a free port");
        println!("serving on core {core}");
        service.join().expect("no panic in on_init");
        return;
    }
    if std::env::args().nth(1).as_deref() == Some("leave") {
        return leave::run(&std::env::args().nth(2).expect("how"));
    }
    if let Some(host) = std::env::args().nth(2) {
        return queues::serve(host.parse().expect("an address"));
    }
    interfaces();
    let core = toro::core::count() - 1;
    let service = net::serve("net0", PORT, Words::new(core)).expect("a free port");
    assert_eq!((service.core(), service.port()), (core, PORT));
    ports();
    talks();
    panics();
    floods();
    silences();
    many();
    late::run();
    service.stop();
    service.join().expect("no panic in on_init");
    assert_eq!(COUNTS.open.load(Ordering::Relaxed), 0, "states are dropped");
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).expect("the port is free again");
    net::print_statistics().expect("interfaces");
    println!("services: done");
}

fn connect() -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).expect("a service");
    stream.set_nodelay(true).expect("a stream");
    stream
}

/// Says something and reads as many bytes.
fn echo(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).expect("a service that reads");
    let mut back = vec![0; text.len()];
    stream
        .read_exact(&mut back)
        .expect("a service that answers");
    assert_eq!(back, text);
}

fn interfaces() {
    let names: Vec<String> = net::interfaces()
        .expect("a network")
        .into_iter()
        .map(|interface| interface.name)
        .collect();
    assert_eq!(names, ["lo", "net0"]);
    let before = net::interface("net0").expect("a card");
    assert!(!before.is_dedicated && before.mac != [0; 6], "{before:?}");
    assert_eq!(
        net::interface("net1"),
        Err(Error::NoSuchDevice("net1".into()))
    );
    assert_eq!(
        net::dedicate("net7", 0, Addressing::Keep),
        Err(Error::NoSuchDevice("net7".into()))
    );
    let count = toro::core::count();
    let none = Error::NoSuchCore { core: 99, count };
    assert_eq!(net::dedicate("net0", 99, Addressing::Keep), Err(none));
    let lo = net::dedicate("lo", 0, Addressing::Keep);
    assert!(matches!(lo, Err(Error::Unsupported(_))), "{lo:?}");
    let nowhere = Addressing::Static {
        address: Ipv4Addr::BROADCAST,
        prefix: 24,
        gateway: None,
    };
    let bad = net::dedicate("net0", 0, nowhere);
    assert!(matches!(bad, Err(Error::Invalid(_))), "{bad:?}");

    let address = Ipv4Addr::new(10, 0, 2, 15);
    let wanted = Addressing::Static {
        address,
        prefix: 24,
        gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
    };
    let core = count - 1;
    let card = net::dedicate("net0", core, wanted).expect("a card");
    assert_eq!((card.core, card.is_dedicated), (core, true));
    assert_eq!(card.address, Some((address, 24)));
    let twice = Error::AlreadyDedicated {
        device: "net0".into(),
        core,
    };
    assert_eq!(net::dedicate("net0", 0, Addressing::Keep), Err(twice));
    // From its new core, it still reaches the world.
    let pong = net::ping(
        Ipv4Addr::new(10, 0, 2, 2).into(),
        Duration::from_secs(10),
        56,
    );
    pong.expect("QEMU answers for its gateway");
    println!("interfaces: done");
}

fn ports() {
    let taken = net::serve("net0", PORT, Words::new(0)).err();
    assert_eq!(taken, Some(Error::PortTaken(PORT)));
    let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT));
    assert_eq!(taken.map(drop).unwrap_err().kind(), ErrorKind::AddrInUse);
    let _socket = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 81)).expect("a free port");
    let taken = net::serve("net0", 81, Words::new(0)).err();
    assert_eq!(taken, Some(Error::PortTaken(81)));
    let none = net::serve("net3", 82, Words::new(0)).err();
    assert_eq!(none, Some(Error::NoSuchDevice("net3".into())));
    println!("ports: done");
}

/// Several at once, and the end in each of its ways.
fn talks() {
    let mut streams: Vec<TcpStream> = (0..8).map(|_| connect()).collect();
    for round in 0..20 {
        for (number, stream) in streams.iter_mut().enumerate() {
            echo(stream, format!("{round} {number}").as_bytes());
        }
    }
    let closed = COUNTS.closed.load(Ordering::Relaxed);
    drop(streams);
    wait_until("eight are closed", || {
        COUNTS.closed.load(Ordering::Relaxed) == closed + 8
    });
    // What is sent in reply to the last words arrives, though no more are sent.
    let mut stream = connect();
    stream.write_all(b"last words").expect("a service");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("a stream");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an end in order");
    assert_eq!(text, "last wordsgood bye");
    let mut stream = connect();
    stream.write_all(b"refuse me").expect("a service");
    let refused = stream.read(&mut [0; 1]).expect_err("a reset");
    assert_eq!(refused.kind(), ErrorKind::ConnectionReset);
    println!("talks: done");
}

fn panics() {
    let mut other = connect();
    echo(&mut other, b"before");
    let mut stream = connect();
    stream.write_all(b"panic").expect("a service");
    let broken = stream.read(&mut [0; 1]).expect_err("a reset");
    assert_eq!(broken.kind(), ErrorKind::ConnectionReset);
    echo(&mut other, b"after");
    echo(&mut connect(), b"and new ones");
    println!("panics: done");
}

/// More than fits anywhere, to one who reads slowly.
fn floods() {
    let mut stream = connect();
    stream.write_all(b"flood").expect("a service");
    let mut buf = vec![0; 10_000];
    let mut received = 0;
    while received < words::FLOOD_BYTES {
        if received < 100_000 {
            thread::sleep(Duration::from_millis(1));
        }
        let len = stream.read(&mut buf).expect("a flood");
        assert_ne!(len, 0, "it ends after {received}");
        for (at, byte) in buf[..len].iter().enumerate() {
            assert_eq!(*byte, words::flood_byte(received + at));
        }
        received += len;
    }
    assert!(COUNTS.full.load(Ordering::Relaxed) > 0, "it never was full");
    assert!(COUNTS.most_waiting.load(Ordering::Relaxed) < 2 * words::LIMIT);
    echo(&mut stream, b"and goes on");
    println!("floods: done");
}

fn silences() {
    let mut stream = connect();
    stream.write_all(b"hurry").expect("a service");
    let start = Instant::now();
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an end in order");
    assert_eq!(text, "too late");
    let waited = start.elapsed();
    assert!(waited >= words::HURRY, "{waited:?}");
    println!("silences: done");
}

fn many() {
    let mut streams: Vec<TcpStream> = (0..200).map(|_| connect()).collect();
    for stream in &mut streams {
        stream.write_all(b"one of many").expect("a service");
    }
    for stream in &mut streams {
        let mut back = [0; 11];
        stream.read_exact(&mut back).expect("an answer");
        assert_eq!(&back, b"one of many");
    }
    assert!(COUNTS.open.load(Ordering::Relaxed) >= 200);
    let counted = net::statistics("lo").expect("the loopback");
    assert!(counted.connections >= 400 && counted.received_frames > 1000);
    println!("many: done");
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}
