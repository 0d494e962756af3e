//! The examples on tokio and axum: services from outside.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use vm_tests::crowd::{connect, will_reset};
use vm_tests::http::Client;
use vm_tests::relay::{ADDRESS, Relay};
use vm_tests::{Boot, Guest, Running, Size, namespace, stress_time};

fn axum(guest: Guest) -> Running {
    let running = guest.boot(Boot::Kernel).log_info().start();
    running.wait_for("Serving on port 80");
    running.wait_for("by DHCP");
    running
}

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn axum_keeps_notes_and_serves_files() {
    let guest = axum(Guest::new("axum-service"));
    let mut client = guest.http();
    let page = client.get("/");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<h1>Notes</h1>"), "{}", page.text());
    assert_eq!(client.get("/api/notes").text(), "[]");
    let note = r#"{"text":"buy milk"}"#;
    let fields = format!("{JSON}Content-Length: {}\r\n", note.len());
    client.send(format!(
        "POST /api/notes HTTP/1.1\r\nHost: toro\r\n{fields}\r\n{note}"
    ));
    let made = client.response(false);
    let kept = r#"{"id":1,"text":"buy milk"}"#;
    assert_eq!((made.status, made.text().as_str()), (201, kept));
    // Another connection sees the same state.
    assert_eq!(guest.http().get("/api/notes/1").text(), kept);
    client.send("POST /api/notes HTTP/1.1\r\nHost: toro\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response(false).status, 415);
    assert_eq!(guest.http().get("/no/such/file").status, 404);
    guest.power_button();
    guest
        .end()
        .showing(0, &["Asked to end", "All requests are answered"]);
}

#[test]
fn axum_serves_many_at_once_in_twelve_mebibytes() {
    let guest = axum(Guest::new("axum-service").memory(Size::mib(12)));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = guest.http();
                for _ in 0..20 {
                    assert_eq!(client.get("/api/notes").text(), "[]");
                }
            });
        }
    });
    guest.power_button();
    guest.end().with_status(0);
}

/// What strangers send to a web server. None may be answered as if it were a request for something that is there.
const NONSENSE: [&str; 12] = [
    "\0\x01\x02\x16\x03\x01\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : toro\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: toro\r\n folded\r\n\r\n",
    "GET /../../../etc/hosts HTTP/1.1\r\nHost: toro\r\nConnection: close\r\n\r\n",
    "GET /%2e%2e/%2e%2e/etc/hosts HTTP/1.1\r\nHost: toro\r\nConnection: close\r\n\r\n",
    "GET /%00 HTTP/1.1\r\nHost: toro\r\nConnection: close\r\n\r\n",
    "POST /api/notes HTTP/1.1\r\nHost: toro\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "POST /api/notes HTTP/1.1\r\nHost: toro\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "POST /api/notes HTTP/1.1\r\nHost: toro\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFFF\r\n",
    "POST /api/notes HTTP/1.1\r\nHost: toro\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"text\":[",
    "PUT /api/notes/18446744073709551616 HTTP/1.1\r\nHost: toro\r\nConnection: close\r\n\r\n",
];

/// Those who trouble a service: each of them goes about his way once.
fn trouble(mut stream: TcpStream, way: usize) {
    let mut answer = Vec::new();
    match way % 6 {
        // Asks for much and is gone before it comes: the end is a reset.
        0 => {
            will_reset(&stream).unwrap();
            let wish = "GET / HTTP/1.1\r\nHost: toro\r\n\r\n".repeat(50);
            let _ = stream.write_all(wish.as_bytes());
        }
        // Vanishes in the midst of a request, in order.
        1 => {
            let _ = stream.write_all(
                b"POST /api/notes HTTP/1.1\r\nHost: toro\r\nContent-Length: 1000\r\n\r\n{",
            );
        }
        // Sends byte by byte, and reads byte by byte.
        2 => {
            for byte in b"GET /api/notes HTTP/1.1\r\nHost: toro\r\nConnection: close\r\n\r\n" {
                stream.write_all(&[*byte]).unwrap();
                thread::sleep(Duration::from_millis(5));
            }
            let mut byte = [0];
            while stream.read(&mut byte).unwrap() == 1 {
                answer.push(byte[0]);
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");
        }
        // A head without an end.
        3 => {
            let field = format!("X-Much: {}\r\n", "x".repeat(4000));
            let _ = stream.write_all(b"GET / HTTP/1.1\r\n");
            while stream.write_all(field.as_bytes()).is_ok() {}
        }
        // A body without an end, in pieces of one byte.
        4 => {
            let _ = stream.write_all(b"POST /api/notes HTTP/1.1\r\nHost: toro\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
            for _ in 0..200 {
                let _ = stream.write_all(b"1\r\n \r\n");
            }
        }
        _ => {
            let text = NONSENSE[way / 6 % NONSENSE.len()];
            let _ = stream.write_all(text.as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut answer);
            let is_success = answer.starts_with(b"HTTP/1.1 2");
            assert!(!is_success, "{text:?} is answered: {answer:?}");
        }
    }
}

/// Clients who take nothing of what they ask for, until they are dropped.
fn greedy(to: SocketAddr) -> Vec<TcpStream> {
    let wish = "GET /api/notes HTTP/1.1\r\nHost: toro\r\n\r\n".repeat(100);
    let ask = |_| {
        let mut stream = come(to);
        stream.set_nonblocking(true).unwrap();
        for _ in 0..100 {
            match stream.write(wish.as_bytes()) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("a client who reads nothing: {error}"),
            }
        }
        stream
    };
    (0..20).map(ask).collect()
}

/// How often the crowd below comes at most, until its memory is the same after two of its visits.
const ROUNDS_MAX: usize = 10;
/// What a round may add: how much is needed at a time differs by chance.
const SLACK_BYTES: u64 = 256 << 10;

#[test]
fn axum_serves_on_among_slow_broken_and_malicious_clients_and_its_memory_stays() {
    let test =
        "services::axum_serves_on_among_slow_broken_and_malicious_clients_and_its_memory_stays";
    if !namespace::enter(test, &["axum-service"]) {
        return;
    }
    let mut relay = Relay::new();
    let guest = Guest::new("axum-service")
        .boot(Boot::Kernel)
        .address(ADDRESS)
        .cable(&relay.netdev())
        .card("virtio-net-pci")
        .count_memory(Size::mib(32))
        .start();
    relay.join(1);
    guest.wait_for("Serving on port 80");
    let to = relay.address(80);
    let mut memory = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let (served, troubled) = round(to);
        memory.push(guest.touched_memory());
        println!(
            "{served} requests served, {troubled} clients that trouble, {memory:?} bytes of memory"
        );
        assert!(served != 0, "nobody was served");
        if let [.., before, after] = memory[..]
            && after <= before + SLACK_BYTES
        {
            guest.power_button();
            guest
                .end()
                .showing(0, &["Asked to end", "All requests are answered"]);
            return;
        }
    }
    panic!("memory grows: {memory:?} bytes");
}

/// A while with all kinds of clients at once: how many requests were served, and how many clients troubled.
fn round(to: SocketAddr) -> (usize, usize) {
    let (served, troubled) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (is_over, greedy) = (AtomicBool::new(false), greedy(to));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::new(come(to));
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/api/notes").text(), "[]");
                    assert_eq!(Client::new(come(to)).get("/").status, 200);
                    served.fetch_add(2, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..6 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    trouble(come(to), troubled.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        thread::sleep(stress_time());
        is_over.store(true, Ordering::Relaxed);
    });
    drop(greedy);
    (served.into_inner(), troubled.into_inner())
}

fn come(to: SocketAddr) -> TcpStream {
    connect(to, None).expect("a connection")
}

#[test]
fn a_client_and_a_service_speak_https() {
    let service = Guest::new("https").boot(Boot::Kernel).log_info().start();
    service.wait_for("Serving on port 443");
    service.wait_for("by DHCP");
    // What is no TLS is refused, and the next client is served.
    let mut plain = service.connect(443);
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // An alert, or a reset.
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
    let port = service.address(443).port();
    let trusted = format!("https://10.0.2.2:{port}/");
    let url = trusted.as_str();
    let client = Guest::new("client").boot(Boot::Kernel);
    // Nobody listens at the second.
    let client = client.args(&[url, "http://127.0.0.1:9/", url]).run();
    let console = client.showing(1, &["Connection refused"]);
    let page = format!("{url}: HTTP/2.0 200 OK");
    assert_eq!(console.matches(&page).count(), 2, "{console}");
    let said = "this is HTTP/2.0 over TLS";
    assert_eq!(console.matches(said).count(), 2, "{console}");
    service.power_button();
    service
        .end()
        .showing(0, &["Asked to end", "All requests are answered"]);
}

#[test]
fn tokio_echoes_what_it_receives() {
    let guest = Guest::new("tokio-echo").boot(Boot::Kernel).log_info();
    let guest = guest.start();
    guest.wait_for("Listening on port 7");
    guest.wait_for("by DHCP");
    let pattern: Vec<u8> = (0..200_000_u32).map(|index| (index % 249) as u8).collect();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut stream = guest.connect(7);
                let mut writer = stream.try_clone().unwrap();
                thread::scope(|scope| {
                    scope.spawn(|| {
                        writer.write_all(&pattern).unwrap();
                        writer.shutdown(Shutdown::Write).unwrap();
                    });
                    let mut back = Vec::new();
                    stream.read_to_end(&mut back).unwrap();
                    assert!(back == pattern);
                });
            });
        }
    });
    guest.power_button();
    guest.end().showing(0, &["200000 bytes", "Asked to end"]);
}
