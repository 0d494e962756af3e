//! The examples on tokio and axum: services from outside.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use vm_tests::{Boot, Guest, Running, Size};

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
