//! The example `static-web`: an ordinary program on the disk, the network and threads at once.

use std::io::{Read, Write};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use vm_tests::{Boot, Guest, Machine, Nic, Running, Site, Size, ext2_image};

const INDEX: &str = include_str!("../../examples/static-web/disk/web/index.html");

/// Starts the example on its own disk.
fn started(guest: Guest) -> Running {
    let running = guest.log_info().start();
    running.wait_for("Serving /web on port 80");
    // A packet that comes before the address is lost, and QEMU waits six seconds before it sends it again.
    running.wait_for("by DHCP");
    running
}

fn example() -> Running {
    started(Guest::new("static-web"))
}

/// Starts it on a disk of ours.
fn serving(site: &Site) -> Running {
    started(Guest::new("static-web").disk_of(site.path(), "/"))
}

fn large() -> &'static [u8] {
    static LARGE: OnceLock<Vec<u8>> = OnceLock::new();
    LARGE.get_or_init(|| {
        (0..5_u32 << 20)
            .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect()
    })
}

#[test]
fn the_page_is_served_on_every_machine_and_card() {
    for (machine, boot, nic) in [
        (Machine::Pc, Boot::Disk, Nic::E1000),
        (Machine::Pc, Boot::Kernel, Nic::Virtio),
        (Machine::Q35, Boot::Disk, Nic::E1000),
        (Machine::Q35, Boot::Kernel, Nic::Virtio),
        (Machine::Q35, Boot::Uefi, Nic::Virtio),
        (Machine::Microvm, Boot::Kernel, Nic::Virtio),
    ] {
        let mut guest = Guest::new("static-web").machine(machine);
        if boot == Boot::Uefi {
            // The firmware needs it.
            guest = guest.memory(Size::mib(64));
        }
        let page = started(guest.boot(boot).nic(nic)).http().get("/");
        assert_eq!(
            (page.status, page.text().as_str()),
            (200, INDEX),
            "{machine:?} {boot:?} {nic:?}"
        );
    }
}

#[test]
fn twelve_mebibytes_are_enough() {
    let guest = started(Guest::new("static-web").memory(Size::mib(12)));
    for _ in 0..20 {
        assert_eq!(guest.http().get("/").text(), INDEX);
    }
}

#[test]
fn files_have_their_types_and_dates() {
    let guest = example();
    let mut client = guest.http();
    for (target, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/toro.svg", "image/svg+xml"),
        ("/docs/", "text/html; charset=utf-8"),
    ] {
        let page = client.get(target);
        assert_eq!(
            (page.status, page.field("content-type")),
            (200, Some(kind)),
            "{target}"
        );
        let modified = page.field("last-modified").unwrap().to_owned();
        let again = client.ask("GET", target, &format!("If-Modified-Since: {modified}\r\n"));
        assert_eq!((again.status, again.content.len()), (304, 0), "{target}");
    }
}

#[test]
fn head_and_ranges_are_answered() {
    let guest = example();
    let mut client = guest.http();
    let head = client.ask("HEAD", "/", "");
    assert_eq!(
        (head.status, head.field("content-length")),
        (200, Some("612"))
    );
    let part = client.ask("GET", "/", "Range: bytes=10-13\r\n");
    assert_eq!((part.status, part.text().as_str()), (206, &INDEX[10..14]));
    assert_eq!(part.field("content-range"), Some("bytes 10-13/612"));
    let end = client.ask("GET", "/", "Range: bytes=-5\r\n");
    assert_eq!((end.status, end.text().as_str()), (206, &INDEX[607..]));
    assert_eq!(client.ask("GET", "/", "Range: bytes=612-\r\n").status, 416);
    assert_eq!(
        client.ask("GET", "/", "Range: bytes=0-1,5-6\r\n").text(),
        INDEX
    );
}

#[test]
fn what_is_wrong_is_refused() {
    let guest = example();
    let missing = guest.http().get("/none");
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("Not here"), "{}", missing.text());
    let folder = guest.http().get("/docs");
    assert_eq!(
        (folder.status, folder.field("location")),
        (301, Some("/docs/"))
    );
    let post = guest.http().ask("POST", "/", "");
    assert_eq!((post.status, post.field("allow")), (405, Some("GET, HEAD")));
    let mut client = guest.http();
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.response(false).status, 400);
    assert_eq!(client.rest(), b"");
    let long = "a".repeat(10_000);
    let mut client = guest.http();
    client.send(format!("GET /{long} HTTP/1.1\r\n"));
    assert_eq!(client.response(false).status, 414);
    assert_eq!(
        guest
            .http()
            .ask("GET", "/", &format!("Cookie: {long}\r\n"))
            .status,
        431
    );
}

#[test]
fn nothing_outside_of_the_folder_is_served() {
    let site = Site::new()
        .with("web/index.html", INDEX)
        .with("secret", "secret");
    let guest = serving(&site);
    for target in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/a/../../secret",
        "/..%5csecret",
        "//../secret",
        "/secret%00",
    ] {
        let answer = guest.http().get(target);
        assert_eq!(answer.status, 400, "{target}");
        assert!(!answer.text().contains("secret"), "{target}");
    }
    assert_eq!(guest.http().get("/secret").status, 404);
}

#[test]
fn a_connection_carries_two_hundred_requests() {
    let guest = example();
    let mut client = guest.http();
    for _ in 0..200 {
        assert_eq!(client.get("/").text(), INDEX);
    }
}

#[test]
fn requests_that_come_together_are_answered_in_order() {
    let guest = example();
    let mut client = guest.http();
    let requests = "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\nHEAD /style.css HTTP/1.1\r\nHost: x\r\n\r\n";
    client.send(requests.repeat(20));
    for _ in 0..20 {
        assert_eq!(client.response(false).text(), INDEX);
        assert_eq!(client.response(false).status, 404);
        assert_eq!(
            client.response(true).field("content-type"),
            Some("text/css; charset=utf-8")
        );
    }
}

#[test]
fn two_hundred_connections_come_one_after_another() {
    let guest = example();
    for _ in 0..200 {
        assert_eq!(
            guest.http().ask("GET", "/", "Connection: close\r\n").text(),
            INDEX
        );
    }
}

#[test]
fn thirty_two_connections_are_served_at_once() {
    let guest = example();
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let mut client = guest.http();
                for _ in 0..20 {
                    assert_eq!(client.get("/").text(), INDEX);
                }
            });
        }
    });
    assert_eq!(guest.http().get("/").status, 200);
}

#[test]
fn a_large_file_arrives_as_it_is() {
    let guest = serving(&Site::new().with("web/large.bin", large()));
    let answer = guest.http().get("/large.bin");
    assert_eq!(answer.content.len(), large().len());
    assert!(answer.content == large());
    // Two at a time, so that their pieces mix.
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert!(guest.http().get("/large.bin").content == large()));
        }
    });
    let part = guest
        .http()
        .ask("GET", "/large.bin", "Range: bytes=4000000-4000999\r\n");
    assert_eq!(part.content, &large()[4_000_000..4_001_000]);
}

#[test]
fn a_slow_reader_gets_all_and_holds_up_nobody() {
    let guest = serving(
        &Site::new()
            .with("web/large.bin", large())
            .with("web/index.html", INDEX),
    );
    let mut slow = guest.connect(80);
    slow.write_all(b"GET /large.bin HTTP/1.0\r\n\r\n").unwrap();
    let mut first = vec![0; 1000];
    slow.read_exact(&mut first).unwrap();
    for _ in 0..20 {
        assert_eq!(guest.http().get("/").text(), INDEX);
    }
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    first.append(&mut rest);
    assert!(first.ends_with(large()));
}

#[test]
fn a_slow_writer_is_served_in_the_end() {
    let guest = example();
    let mut client = guest.http();
    for byte in "GET / HTTP/1.1\r\nHost: x\r\n\r\n".bytes() {
        client.send([byte]);
    }
    assert_eq!(client.response(false).text(), INDEX);
}

#[test]
fn peers_that_go_away_leave_nothing_behind() {
    let guest = started(
        Guest::new("static-web")
            .env("CONNECTIONS=8")
            .env("IDLE_SECONDS=2"),
    );
    for round in 0..40 {
        let mut stream = guest.connect(80);
        match round % 4 {
            // Says nothing, half a request, a request whose answer is not read, or one with an end behind it.
            0 => {}
            1 => stream.write_all(b"GET / HTT").unwrap(),
            2 => stream
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                .unwrap(),
            _ => {
                stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    .unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                assert!(answer.starts_with(b"HTTP/1.1 "), "{round}");
            }
        }
    }
    assert_eq!(served_in_the_end(&guest), INDEX);
}

#[test]
fn silent_peers_are_let_go() {
    let guest = started(
        Guest::new("static-web")
            .env("CONNECTIONS=4")
            .env("IDLE_SECONDS=1"),
    );
    let mut silent: Vec<_> = (0..4).map(|_| guest.connect(80)).collect();
    assert_eq!(served_in_the_end(&guest), INDEX);
    for stream in &mut silent {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        // QEMU may have handed the last of them on after the one that was served.
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 503 "),
            "{rest:?}"
        );
    }
    let mut half = guest.http();
    half.send("GET /");
    assert_eq!(half.response(false).status, 408);
}

#[test]
fn peers_that_never_read_keep_nobody_out() {
    let site = Site::new().with("web/index.html", INDEX);
    let site = site.with("web/large.bin", large());
    let guest = started(
        Guest::new("static-web")
            .disk_of(site.path(), "/")
            .env("CONNECTIONS=4")
            .env("IDLE_SECONDS=86400"),
    );
    let mut still: Vec<_> = (0..8).map(|_| guest.connect(80)).collect();
    for stream in &mut still {
        let request = b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n".repeat(8);
        stream.write_all(&request).unwrap();
    }
    for _ in 0..8 {
        assert_eq!(served_in_the_end(&guest), INDEX);
    }
}

/// Asks until there is a place for the connection.
fn served_in_the_end(guest: &Running) -> String {
    loop {
        let mut client = guest.http();
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        match client.try_response(false) {
            Ok(answer) if answer.status == 200 => return answer.text(),
            // No place: told so, or the connection is reset.
            Ok(answer) => assert_eq!(answer.status, 503),
            Err(_) => {}
        }
        thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn requests_are_logged_and_the_log_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("web.img");
    std::fs::write(
        &image,
        ext2_image(Site::new().with("web/index.html", INDEX).path()),
    )
    .unwrap();
    for round in 1..=2 {
        let guest = started(Guest::new("static-web").disk_at(&image, "/"));
        let mut client = guest.http();
        assert_eq!(client.get("/").text(), INDEX);
        assert_eq!(client.get("/none").status, 404);
        assert_eq!(client.get("/logs/access.log").status, 404);
        guest.power_button();
        guest.end().with_status(130);
        let checked = Command::new("e2fsck")
            .arg("-fn")
            .arg(&image)
            .output()
            .unwrap();
        assert!(checked.status.success(), "{checked:?}");
        let read = Command::new("debugfs")
            .args(["-R", "cat /web/logs/access.log"])
            .arg(&image)
            .output()
            .unwrap();
        let log = String::from_utf8(read.stdout).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 3 * round, "{log}");
        let last = &lines[lines.len() - 3..];
        assert!(
            last[0].starts_with("10.0.2.2:") && last[0].contains("] \"GET / HTTP/1.1\" 200 "),
            "{log}"
        );
        assert!(last[1].contains("\"GET /none HTTP/1.1\" 404 "), "{log}");
    }
}

#[test]
fn a_disk_that_is_only_read_is_served_without_a_log() {
    let site = Site::new().with("web/index.html", INDEX);
    let guest = Guest::new("static-web").disk(&ext2_image(site.path()), "/,ro");
    // An address that is there at once, and the kernel says nothing of it: what the program says comes in pieces.
    let guest = guest.address("10.0.2.15/24,gateway=10.0.2.2").start();
    guest.wait_for("Serving /web on port 80");
    assert_eq!(guest.http().get("/").text(), INDEX);
    guest.wait_for("static-web: no log at /web/logs/access.log");
}
