//! The native network: services with callbacks, interfaces that belong to cores, ping.

use std::io::{Read, Write};
use std::process::Command;
use std::thread;
use vm_tests::{Boot, Guest, Machine, Nic, Running, Site, ext2_image};

/// An address that is there at once: messages of the kernel about one that comes later would mix with what other cores print.
const ADDRESS: &str = "10.0.2.15/24,gateway=10.0.2.2";

#[test]
fn services_do_what_their_callbacks_say_on_the_core_of_the_interface() {
    for (machine, nic, cores) in [
        (Machine::Microvm, Nic::Virtio, 1),
        (Machine::Pc, Nic::Virtio, 2),
        (Machine::Q35, Nic::E1000, 4),
        (Machine::Q35, Nic::E1000e, 2),
        (Machine::Pc, Nic::Vmxnet3, 2),
        (Machine::Pc, Nic::Tulip, 2),
        (Machine::Pc, Nic::Ne2000, 2),
        (Machine::Pc, Nic::Pcnet, 2),
        (Machine::Pc, Nic::Rtl8139, 2),
    ] {
        let guest = Guest::new("test-services")
            .machine(machine)
            .nic(nic)
            .boot(Boot::Kernel);
        let guest = guest.cores(cores).run();
        guest.showing(0, &["services: done", "net0: received"]);
    }
}

#[test]
fn a_service_on_another_core_serves_the_host() {
    let guest = Guest::new("test-services")
        .args(&["serve"])
        .boot(Boot::Kernel)
        .cores(2)
        .address(ADDRESS)
        .start();
    guest.wait_for("serving on core 1");
    let pattern: Vec<u8> = (0..100_000_u32).map(|index| (index % 249) as u8).collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut stream = guest.connect(80);
                let mut writer = stream.try_clone().unwrap();
                thread::scope(|scope| {
                    scope.spawn(|| writer.write_all(&pattern).unwrap());
                    let mut back = vec![0; pattern.len()];
                    stream.read_exact(&mut back).unwrap();
                    assert!(back == pattern);
                });
            });
        }
    });
    guest.power_button();
    guest.end().with_status(130);
}

#[test]
fn what_a_service_has_sent_arrives_though_the_program_ends() {
    for (how, cores) in [
        ("in the callback", 1),
        ("while the service runs", 2),
        ("after the service", 2),
    ] {
        let guest = Guest::new("test-services")
            .args(&["leave", how])
            .boot(Boot::Kernel)
            .cores(cores)
            .address(ADDRESS)
            .start();
        guest.wait_for("leave: ready");
        let mut stream = guest.connect(80);
        stream.write_all(b"go").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let console = guest.end().showing(0, &["leave: "]);
        let numbers = console.split("leave: ").last().expect("just seen");
        let numbers: Vec<usize> = numbers
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        let [sent, waiting] = numbers[..] else {
            panic!("{console}");
        };
        assert!(waiting >= 200_000, "{how}: {console}");
        assert_eq!(all.len(), sent, "{how}: {console}");
    }
}

fn http() -> Running {
    let guest = Guest::new("http").boot(Boot::Kernel).log_info().start();
    guest.wait_for("Serving on port 80 of net0 on core 0");
    guest.wait_for("by DHCP");
    guest
}

#[test]
fn the_example_http_answers_in_order_whatever_is_asked() {
    let guest = http();
    let mut client = guest.http();
    let page = client.get("/");
    assert_eq!((page.status, page.content.len()), (200, 612));
    let head = client.ask("HEAD", "/style.css?v=1", "");
    assert_eq!((head.status, head.content.len()), (200, 0));
    assert_eq!(head.field("content-type"), Some("text/css"));
    assert_eq!(client.get("/nothing").status, 404);
    // Pipelined, and cut where it hurts.
    let many = "GET / HTTP/1.1\r\nHost: toro\r\n\r\nGET /style.css HTTP/1.1\r\nHost: toro\r\n\r\n";
    let many = many.repeat(50);
    let (front, back) = many.split_at(1234);
    client.send(front);
    client.send(back);
    for _ in 0..50 {
        assert_eq!(client.response(false).content.len(), 612);
        assert_eq!(
            client.response(false).field("content-type"),
            Some("text/css")
        );
    }
    // As `ab -k` asks, and waits for the connection's end where it is not told that there is none; as `wrk` does and counts an end that it is not told of.
    for (version, option) in [("1.0", "keep-alive"), ("1.1", "close")] {
        client.send(format!(
            "GET / HTTP/{version}\r\nHost: toro\r\nConnection: {option}\r\n\r\n"
        ));
        let answer = client.response(false);
        assert_eq!(
            (answer.status, answer.field("connection")),
            (200, Some(option))
        );
    }
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: toro\r\n\r\n".to_owned(), 501),
        (format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000)), 431),
    ] {
        let mut client = guest.http();
        client.send(request);
        let answer = client.response(false);
        assert_eq!(
            (answer.status, answer.field("connection")),
            (status, Some("close"))
        );
    }
    guest.power_button();
    guest.end().with_status(130);
}

#[test]
fn the_example_http_answers_all_who_ask_at_once() {
    let guest = http();
    // More than are looked at in one go, and more bytes than are put aside.
    let mut clients: Vec<_> = (0..60).map(|_| guest.http()).collect();
    let field = format!("X: {}\r\n", "x".repeat(1000));
    for _ in 0..5 {
        for client in &mut clients {
            client.send(format!("GET / HTTP/1.1\r\n{field}Host: toro\r\n\r\n"));
        }
        for client in &mut clients {
            assert_eq!(client.response(false).content.len(), 612);
        }
    }
}

#[test]
fn the_example_http_gets_rid_of_clients_that_are_too_slow() {
    let guest = http();
    let mut silent = guest.connect(80);
    let mut slow = guest.connect(80);
    slow.write_all(b"GET / HT").unwrap();
    let mut text = String::new();
    slow.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(guest.http().get("/").status, 200);
}

#[test]
fn the_example_http_holds_back_a_client_that_asks_and_does_not_read() {
    let guest = http();
    let mut greedy = guest.connect(80);
    let mut reader = greedy.try_clone().unwrap();
    const REQUESTS: usize = 20_000;
    let request = b"GET / HTTP/1.1\r\nHost: toro\r\n\r\n";
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..REQUESTS / 100 {
                greedy.write_all(&request.repeat(100)).unwrap();
            }
        });
        // Others are served meanwhile.
        for _ in 0..50 {
            assert_eq!(guest.http().get("/").status, 200);
        }
        let head = "HTTP/1.1 200 OK\r\nServer: toro\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 612\r\n\r\n";
        let mut all = vec![0; (head.len() + 612) * REQUESTS];
        reader.read_exact(&mut all).unwrap();
        for answer in all.chunks(head.len() + 612) {
            assert!(answer.starts_with(head.as_bytes()));
        }
    });
}

#[test]
fn the_example_ping_counts_what_comes_back() {
    let guest = Guest::new("ping").boot(Boot::Kernel);
    let arguments = [
        "-c",
        "3",
        "-i",
        "0.05",
        "-s",
        "1472",
        "10.0.2.2",
        "127.0.0.1",
    ];
    let console = guest.args(&arguments).run().showing(
        0,
        &[
            "PING 10.0.2.2 (10.0.2.2): 1472 bytes",
            "1472 bytes from 10.0.2.2: seq=3 ttl=",
            "1472 bytes from 127.0.0.1: seq=1 ttl=64",
            "3 packets transmitted, 3 received, 0% packet loss",
            "rtt min/avg/max/mdev = ",
        ],
    );
    assert_eq!(console.matches("3 received").count(), 2);
    let guest = Guest::new("ping").boot(Boot::Kernel);
    let six = guest.args(&["-c", "3", "-i", "0.05", "-s", "1400", "fec0::2", "::1"]);
    let console = six.run().showing(
        0,
        &[
            "PING fec0::2 (fec0::2): 1400 bytes",
            "1400 bytes from fec0::2: seq=3 ttl=",
            "1400 bytes from ::1: seq=1 ttl=64",
        ],
    );
    assert_eq!(console.matches("3 received").count(), 2);
    // Nobody has this address.
    let guest = Guest::new("ping").boot(Boot::Kernel);
    let lonely = guest.args(&["-c", "2", "-i", "0.01", "-W", "0.1", "10.0.2.77"]);
    lonely.run().showing(
        1,
        &[
            "seq=2: no answer from 10.0.2.77",
            "2 packets transmitted, 0 received, 100% packet loss",
        ],
    );
    let guest = Guest::new("ping")
        .boot(Boot::Kernel)
        .args(&["-s", "2000", "x"]);
    guest
        .run()
        .showing(2, &["1472 bytes are the most", "usage: ping"]);
}

#[test]
fn the_example_affinity_answers_on_one_core_and_logs_on_another() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("log.img");
    std::fs::write(
        &image,
        ext2_image(Site::new().with("README", "a disk").path()),
    )
    .unwrap();
    let guest = Guest::new("affinity").disk_at(&image, "/");
    let guest = guest.boot(Boot::Kernel).address(ADDRESS).start();
    guest.wait_for("net0 (virtio-net) belongs to core 0");
    guest.wait_for("belongs to core 1");
    guest.wait_for("The journal is on core 1");
    guest.wait_for("logging to /log/requests.log");
    let mut client = guest.http();
    for number in 1..=20 {
        let answer = client.get(&format!("/page/{number}"));
        let wanted = format!("Request {number}, answered on core 0.\n");
        assert_eq!(answer.text(), wanted);
    }
    guest.wait_for("20 requests are on the disk");
    guest.power_button();
    guest.end().with_status(130);
    let read = Command::new("debugfs")
        .args(["-R", "cat /log/requests.log"])
        .arg(&image)
        .output()
        .expect("debugfs");
    let log = String::from_utf8_lossy(&read.stdout);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 20, "{log}");
    assert!(lines[6].ends_with(" GET /page/7"), "{log}");
}
