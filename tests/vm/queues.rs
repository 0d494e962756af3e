//! Network cards with several queues, on a tap that has as many.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use vm_tests::namespace::{enter, ip};
use vm_tests::{Boot, Guest, Running};

const CORES: u32 = 2;
/// The tap, the host's address on it, and the guest's.
const TAP: &str = "toro0";
const HOST: &str = "10.79.0.1";
const GUEST: &str = "10.79.0.2";

/// The program that is booted.
const PROGRAM: &str = "test-services";

/// Makes a tap of as many queues as there are cores.
fn make_tap() {
    ip("link set lo up");
    ip(&format!("tuntap add dev {TAP} mode tap multi_queue"));
    ip(&format!("addr add {HOST}/24 dev {TAP}"));
    ip(&format!("link set {TAP} up"));
}

/// A machine with a queue for each core, that serves by all of them.
fn started() -> Running {
    let guest = booted(&["queues", HOST]);
    guest.wait_for("2 queues");
    guest
}

/// A machine with a queue for each core, and a program with these arguments.
fn booted(args: &[&str]) -> Running {
    let netdev = format!("tap,id=net0,ifname={TAP},script=no,downscript=no,queues={CORES}");
    let vectors = 2 * CORES + 2;
    Guest::new(PROGRAM)
        .args(args)
        .boot(Boot::Kernel)
        .cores(CORES)
        .address(&format!("{GUEST}/24"))
        .cable(&netdev)
        .card(&format!("virtio-net-pci,mq=on,vectors={vectors}"))
        .start()
}

fn connect(port: u16) -> TcpStream {
    let ip: IpAddr = GUEST.parse().expect("an address");
    let stream = TcpStream::connect_timeout(&SocketAddr::new(ip, port), Duration::from_secs(60));
    let stream = stream.expect("somebody listens");
    stream.set_nodelay(true).expect("a stream");
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).expect("a stream");
    stream
}

/// Says something and reads an answer of so many bytes.
fn ask(stream: &mut TcpStream, words: &[u8], len: usize) -> Vec<u8> {
    stream.write_all(words).expect("a service that reads");
    let mut answer = vec![0; len];
    stream.read_exact(&mut answer).expect("an answer");
    answer
}

#[test]
fn each_core_serves_the_connections_of_its_queue() {
    if !enter(
        "queues::each_core_serves_the_connections_of_its_queue",
        &[PROGRAM],
    ) {
        return;
    }
    make_tap();
    let guest = started();
    let mut counts = [0; CORES as usize];
    let mut streams: Vec<TcpStream> = (0..60).map(|_| connect(80)).collect();
    let answers: Vec<u8> = streams
        .iter_mut()
        .map(|stream| ask(stream, b"which core", 1)[0])
        .collect();
    for core in &answers {
        counts[usize::from(*core)] += 1;
    }
    assert!(counts.iter().all(|count| *count >= 10), "{counts:?}");
    // It stays there, and more than a segment goes both ways.
    let text = vec![b'x'; 10_000];
    for (stream, core) in streams.iter_mut().zip(&answers) {
        assert_eq!(ask(stream, &text, text.len()), text);
        assert_eq!(ask(stream, b"which core", 1)[0], *core);
    }
    for stream in &mut streams {
        stream.shutdown(Shutdown::Write).expect("a stream");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("an end in order");
        assert_eq!(rest, "good bye");
    }
    guest.power_button();
    guest.end().with_status(130);
}

#[test]
fn sockets_of_std_work_on_all_queues_both_ways() {
    if !enter(
        "queues::sockets_of_std_work_on_all_queues_both_ways",
        &[PROGRAM],
    ) {
        return;
    }
    make_tap();
    let home = TcpListener::bind((HOST, 9000)).expect("a free port");
    let guest = started();
    let mut streams: Vec<TcpStream> = (0..30).map(|_| connect(81)).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        let words = format!("word {number:04}");
        assert_eq!(ask(stream, words.as_bytes(), 9), words.as_bytes());
    }
    // Each core calls ten times.
    connect(82);
    for _ in 0..20 {
        let (mut caller, _) = home.accept().expect("a caller");
        let mut word = [0; 5];
        caller.read_exact(&mut word).expect("a word");
        assert_eq!(&word, b"hello");
        caller.write_all(b"and you").expect("a reader");
    }
    guest.wait_for("calls: done");
    guest.power_button();
    guest.end().with_status(130);
}

#[test]
fn all_queues_can_be_given_to_one_core() {
    let test = "queues::all_queues_can_be_given_to_one_core";
    if !enter(test, &[PROGRAM]) {
        return;
    }
    make_tap();
    let guest = booted(&["serve"]);
    guest.wait_for("serving on core 1");
    let mut streams: Vec<TcpStream> = (0..40).map(|_| connect(80)).collect();
    for _ in 0..3 {
        for stream in &mut streams {
            assert_eq!(ask(stream, b"which core", 1), [1]);
        }
    }
    guest.power_button();
    guest.end().with_status(130);
}
