//! std's sockets in both directions, through QEMU's user network (the host is 10.0.2.2).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;
use vm_tests::{Boot, DEADLINE, Guest, Nic};

fn guest(args: &[&str]) -> Guest {
    Guest::new("test-sockets").args(args).boot(Boot::Kernel)
}

/// A listener of this host and its address as the guest sees it.
fn host() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, format!("10.0.2.2:{port}"))
}

/// Runs `guest` with what it says to its first connection to `listener`.
fn with_host(listener: &TcpListener, guest: Guest, talk: impl FnOnce(TcpStream)) -> String {
    let running = guest.start();
    // Waits for the guest's end too, so that one which fails before it connects is seen.
    let stream = {
        listener.set_nonblocking(true).unwrap();
        let start = std::time::Instant::now();
        loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) if start.elapsed() < DEADLINE => thread::sleep(Duration::from_millis(5)),
                Err(error) => panic!("the guest did not connect: {error}"),
            }
        }
    };
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    talk(stream);
    running.end().showing(0, &["sockets: done"])
}

#[test]
fn what_is_sent_to_the_guest_comes_back() {
    let guest = guest(&["tcp echo"]).log_info().publish("7").start();
    guest.wait_for("listening on 0.0.0.0:7");
    guest.wait_for("by DHCP");
    let pattern: Vec<u8> = (0..300_000_u32).map(|index| (index % 249) as u8).collect();
    thread::scope(|scope| {
        for _ in 0..4 {
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
    guest.connect(7).write_all(b"end").unwrap();
    guest.end().showing(0, &["sockets: done"]);
}

#[test]
fn who_listens_at_the_loopback_alone_and_is_asked_for_from_outside_is_told() {
    let guest = guest(&["only here"]).publish("7").publish("8").start();
    guest.wait_for("listening");
    for _ in 0..2 {
        // QEMU takes the connection, and then finds that the guest does not.
        let _ = guest.connect(7).read(&mut [0]);
    }
    drop(guest.connect(8));
    let shown = guest.end().showing(0, &["sockets: done"]);
    let told = "the program listens at 127.0.0.1:7, which nobody outside of the machine reaches";
    assert_eq!(shown.matches(told).count(), 1, "{shown}");
}

#[test]
fn datagrams_come_back() {
    let guest = guest(&["udp echo"]).log_info().publish("7/udp").start();
    guest.wait_for("listening on 0.0.0.0:7");
    guest.wait_for("by DHCP");
    let socket = guest.connect_udp(7);
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    for len in [1_usize, 100, 1400] {
        let sent = vec![len as u8; len];
        let mut received = [0; 2000];
        // Datagrams may be lost; it is enough that one comes back.
        let is_back = (0..60).any(|_| {
            socket.send(&sent).unwrap();
            matches!(socket.recv(&mut received), Ok(count) if received[..count] == sent)
        });
        assert!(is_back, "{len} bytes");
    }
    // The answer to the end may be lost, the end of the machine is not.
    socket.send(b"end").unwrap();
    guest.end().showing(0, &["sockets: done"]);
}

#[test]
fn the_guest_connects_and_receives() {
    let (listener, address) = host();
    let answer: Vec<u8> = (0..3_000_000_u32)
        .map(|index| (index % 251) as u8)
        .collect();
    let sum = answer
        .iter()
        .zip(1_u64..)
        .fold(0_u64, |sum, (byte, place)| {
            sum.wrapping_add(place.wrapping_mul(u64::from(*byte)))
        });
    let console = with_host(&listener, guest(&["connect", &address]), |mut stream| {
        let mut word = Vec::new();
        stream.read_to_end(&mut word).unwrap();
        assert_eq!(word, b"hello");
        stream.write_all(&answer).unwrap();
    });
    assert!(
        console.contains(&format!("connected to {address} from 10.0.2.15")),
        "{console}"
    );
    assert!(
        console.contains(&format!("received 3000000 bytes, sum {sum}")),
        "{console}"
    );
    // As Linux shows it, but for the device's name.
    let neighbour = r#"neighbour ["10.0.2.2", "0x1", "0x2", "52:55:0a:00:02:02", "*", "net0"], 76 columns wide"#;
    assert!(console.contains(neighbour), "{console}");
}

#[test]
fn the_guest_sends_to_a_host_that_reads_slowly() {
    let (listener, address) = host();
    let console = with_host(&listener, guest(&["send", &address]), |mut stream| {
        thread::sleep(Duration::from_millis(300));
        let mut all = Vec::new();
        let mut piece = [0; 5000];
        loop {
            match stream.read(&mut piece).unwrap() {
                0 => break,
                count => all.extend_from_slice(&piece[..count]),
            }
        }
        assert_eq!(all.len(), 2_000_000);
        assert!(
            all.iter()
                .zip(0_u32..)
                .all(|(byte, index)| u32::from(*byte) == index % 251)
        );
    });
    assert!(console.contains("sent, then 0 bytes"), "{console}");
}

#[test]
fn what_is_refused_is_an_error_of_its_kind() {
    // The port was free a moment ago and nobody listens at it.
    let (listener, address) = host();
    drop(listener);
    guest(&["refused", &address]).run().showing(
        0,
        &[
            "connect: ConnectionRefused",
            "bind twice: AddrInUse",
            "bind elsewhere: AddrNotAvailable",
            "send unconnected: ",
            "sockets: done",
        ],
    );
}

#[test]
fn a_socket_that_was_refused_is_connected_again() {
    let (listener, address) = host();
    let console = with_host(&listener, guest(&["again", &address]), |mut stream| {
        let mut word = String::new();
        stream.read_to_string(&mut word).unwrap();
        assert_eq!(word, "hello");
    });
    // The numbers of Linux: refused 111, connected already 106, in progress 115, broken off 103.
    for line in [
        "waiting: 111 111 0 106, from its address true",
        "read there",
        "not waiting: 115 111 115, told Some(111)",
        "after that 103 115",
        "elsewhere: 111 0 106",
        "peer true",
    ] {
        assert!(console.contains(line), "{line}: {console}");
    }
}

#[test]
fn silence_ends_in_a_timeout() {
    let (listener, address) = host();
    guest(&["timeouts", &address]).run().showing(
        0,
        &[
            "timeout Some(50ms)",
            "read: Err(WouldBlock), waited true",
            "at once Err(WouldBlock)",
            "receive: Err(WouldBlock), waited true",
            "connect: Err(TimedOut), waited true",
            "accept Err(WouldBlock)",
            "sockets: done",
        ],
    );
    drop(listener);
}

#[test]
fn a_machine_talks_to_itself() {
    guest(&["loopback"]).run().showing(
        0,
        &[
            "the same came back true",
            "the server read 500000",
            "after the listener Err(ConnectionRefused)",
            "datagram \"datagram\" from the sender true",
            "sockets: done",
        ],
    );
}

#[test]
fn two_cores_use_the_loopback_at_once() {
    let guest = guest(&["two cores"]).cores(2);
    guest.run().showing(0, &["cores [0, 1]", "sockets: done"]);
}

#[test]
fn both_versions_of_ip_are_spoken_by_the_loopback() {
    guest(&["ipv6"]).run().showing(
        0,
        &[
            "by the loopback: ::1 ::1 ::1 ::1",
            "both: from ::1 seen as ::1 at ::1",
            "both: from 127.0.0.1 seen as ::ffff:127.0.0.1 at ::ffff:127.0.0.1",
            "taken for IPv4 too: Err(AddrInUse)",
            "mapped: ::ffff:127.0.0.1 to ::ffff:127.0.0.1 is 127.0.0.1",
            "only at first: false",
            "changed after bind: Err(Some(22))",
            "apart: ::1 and 127.0.0.1",
            "only IPv6 to IPv4: Err(NetworkUnreachable)",
            "datagram \"question\" seen from ::1, sent from ::1",
            "datagram \"question\" seen from ::ffff:127.0.0.1, sent from 127.0.0.1",
            "datagram \"question\" seen from ::ffff:127.0.0.1, sent from ::ffff:127.0.0.1",
            "a large one came whole: true",
            "closed: Err(ConnectionRefused)",
            "not ours: Err(AddrNotAvailable)",
            "datagram to a closed port: Err(ConnectionRefused)",
            "sockets: done",
        ],
    );
}

#[test]
fn messages_of_icmp_are_sent_and_received() {
    let console = guest(&["echoes"]).run();
    console.showing(
        0,
        &[
            "echo of 127.0.0.1:0: 0 true [0, 7, 101, 99, 104, 111]",
            "no request: Err(Some(22))",
            "echo of [::1]:0: 129 true [0, 7, 101, 99, 104, 111]",
            "no request: Err(Some(22))",
            "echo of 10.0.2.2:0: 0 true [0, 7, 101, 99, 104, 111]",
            "of the other version: Some(93)",
            "of everything: SOCK_RAW Some(IPPROTO_ICMP)",
            "127.0.0.1:0: 45 1 [08, 00, 7f, 6a, aa, bb, 00, 07, 65, 63, 68, 6f]",
            "127.0.0.1:0: 45 1 [00, 00, 87, 6a, aa, bb, 00, 07, 65, 63, 68, 6f]",
            "127.0.0.1:0: [3, 3] about [108, 111, 115, 116]",
        ],
    );
}

#[test]
fn the_guest_reaches_a_host_over_ipv6() {
    // QEMU's user network passes connections to its addresses on to the loopback of the host.
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = format!("[fec0::2]:{port}");
    let console = with_host(&listener, guest(&["connect", &address]), |mut stream| {
        let mut word = Vec::new();
        stream.read_to_end(&mut word).unwrap();
        assert_eq!(word, b"hello");
        stream.write_all(b"good morning").unwrap();
    });
    // What the card's address makes of the network's.
    let own = "from fec0::5054:ff:fe12:3456";
    assert!(
        console.contains(&format!("connected to {address} {own}")),
        "{console}"
    );
    assert!(console.contains("received 12 bytes"), "{console}");
}

#[test]
fn a_group_is_heard_while_it_is_joined() {
    guest(&["groups"]).run().showing(
        0,
        &[
            "not shared: Err(AddrInUse)",
            "joined twice: Err(AddrInUse)",
            "no group: Err(InvalidInput)",
            "hops 1 loop true",
            "hops 3, heard \"to all\" \"to all\"",
            "not looped: \"nothing\" \"nothing\"",
            "left twice: Err(AddrNotAvailable)",
            "left: \"nothing\" \"nothing\"",
            "of IPv6: \"to six\"",
            "of IPv6, left: \"nothing\"",
            "by the loopback: \"within\" \"nothing\"",
            "broadcast: Err(PermissionDenied)",
            "allowed: true",
            "sockets: done",
        ],
    );
}

#[test]
fn names_are_looked_up_whatever_servers_answer() {
    // With IPv4 alone there is no second question to be answered first.
    let guest = guest(&["names"]).kernel_word("net6=off");
    guest.run().showing(
        0,
        &[
            "known: 2: 192.0.2.99 2001:db8::99",
            "localhost: 2: 127.0.0.1 ::1",
            "plain.example: 1: 192.0.2.1",
            "alias.example: 1: 192.0.2.2",
            "away.example: 1: 192.0.2.1",
            "circle.example: failed to lookup address information: Temporary failure",
            "large.example: 60: 192.0.2.1 192.0.2.2 192.0.2.3",
            "short: 1: 192.0.2.3",
            "six.example: failed to lookup address information: No address associated",
            "broken.example: failed to lookup address information: No address associated",
            "nobody.example: failed to lookup address information: Name or service not known",
            "silent.example: failed to lookup address information: Temporary failure",
            "plain.example: 1: 192.0.2.1",
            "the second server was asked: true",
            "sockets: done",
        ],
    );
}

#[test]
fn addresses_of_ipv6_are_the_first_for_who_has_one() {
    let guest = guest(&["names"]).kernel_word("net6=2001:db8::15/64,gateway=fe80::1");
    guest.run().showing(
        0,
        &[
            "plain.example: 2: 2001:db8::1 192.0.2.1",
            "alias.example: 2: 2001:db8::2 192.0.2.2",
            "large.example: 120: 2001:db8::1 2001:db8::2 2001:db8::3",
            "six.example: 1: 2001:db8::6",
            "sockets: done",
        ],
    );
}

#[test]
fn programs_can_read_who_knows_names() {
    let guest = guest(&["servers"]).kernel_word("net6=off");
    guest.run().showing(
        0,
        &[
            "nameserver 10.0.2.3",
            "hosts: Err(NotFound)",
            "sockets: done",
        ],
    );
}

#[test]
fn options_keep_their_values_and_messages_what_goes_along() {
    guest(&["options"]).run().showing(
        0,
        &[
            "tcp 0x20 9 true true",
            "congestion cubic reno [Some(2), Some(22)]",
            "udp 0xb8 true true 255",
            "refused Some(92) Some(92) Some(92) Some(92)",
            "hints Ok(6) Ok(77) Err(Some(22)) Ok(128)",
            "accepted 77 Err(Some(22)) Ok(16384)",
            "whole: 1473 Ok(2) 1472 -90",
            "empty Some(11) Some(22) Some(11)",
            "peeked bytes bytes",
            "deferred: 0 7, silent true, speaks true",
            "low water 0: 6 or more true",
            "and the rest 9",
            "4 bytes told: at 7f000001, 7, class b9",
            "4 bytes told: at ::1, 7, b9",
            "many: 3 3 third!",
            "records: 4 cut true, 0, 7",
            "and the end: 0",
            "sent 1 after 6: \"from here and there\"",
            "sockets: done",
        ],
    );
}

#[test]
fn without_a_network_card_a_machine_talks_to_itself_and_to_nobody_else() {
    let itself = guest(&["loopback"]).nic(Nic::None).run();
    itself.showing(
        0,
        &[
            "the same came back true",
            "datagram \"datagram\" from the sender true",
            "sockets: done",
        ],
    );
    let console = guest(&["nothing", "10.0.2.2:80"])
        .nic(Nic::None)
        .run()
        .showing(
            0,
            &[
                "connect: NetworkUnreachable",
                "bind: went well",
                "listen: went well",
                "sockets: done",
            ],
        );
    assert!(!console.contains("resolve: went well"), "{console}");
}

#[test]
fn what_was_sent_arrives_though_the_program_ends() {
    for nic in [
        Nic::Virtio,
        Nic::E1000,
        Nic::Vmxnet3,
        Nic::Ne2000,
        Nic::Tulip,
        Nic::Pcnet,
        Nic::Rtl8139,
    ] {
        let (listener, address) = host();
        let guest = guest(&["leave", &address]).nic(nic).start();
        let read = |mut stream: TcpStream| {
            let mut all = Vec::new();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.read_to_end(&mut all).unwrap();
            all
        };
        let (other, _) = listener.accept().unwrap();
        let other = thread::spawn(move || read(other));
        let (stream, _) = listener.accept().unwrap();
        let all = read(stream);
        assert_eq!(all.len(), 300_000, "{nic:?}");
        assert!(other.join().unwrap().iter().all(|byte| *byte == b'o'));
        let console = guest.end().showing(0, &["sockets: done"]);
        assert!(!console.contains("panicked"), "{console}");
    }
}

#[test]
fn datagrams_arrive_though_the_program_ends() {
    for nic in [Nic::Virtio, Nic::E1000] {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let address = format!("10.0.2.2:{}", socket.local_addr().unwrap().port());
        let guest = guest(&["leave datagrams", &address]).nic(nic).start();
        let mut datagram = [0; 200];
        for index in 0..20 {
            assert_eq!(socket.recv(&mut datagram).unwrap(), 100, "{nic:?}");
            assert_eq!(datagram[0], index);
        }
        guest.end().showing(0, &["sockets: done"]);
    }
}
