//! The network frame by frame: what a host on the same cable sees.

use std::net::{Ipv4Addr, Ipv6Addr};
use vm_tests::frame::{datagram, protocol};
use vm_tests::wire::{GUEST, HOST, HOST_V6, NETWORK, Plug, Segment, Wire, flag};
use vm_tests::{Boot, Guest, Running};

/// A machine that listens at port 80, and the other end of its cable.
fn listening() -> (Running, Wire) {
    listening_with("e1000")
}

/// The same, with a card of QEMU's.
fn listening_with(card: &str) -> (Running, Wire) {
    let plug = Plug::new();
    let guest = Guest::new("test-sockets")
        .args(&["listen"])
        .boot(Boot::Kernel);
    let guest = guest
        .address("10.0.2.15/24,gateway=10.0.2.2")
        .cable(&plug.netdev())
        .card(card)
        .start();
    let mut wire = plug.wire();
    guest.wait_for("listening");
    wire.find_guest();
    (guest, wire)
}

fn syn(host_port: u16) -> Segment<'static> {
    Segment {
        host_port,
        guest_port: 80,
        sequence: 1000,
        acknowledgement: 0,
        flags: flag::SYN,
        content: b"",
    }
}

/// Connects by hand, says a word, and reads the answer to the end of the connection and of the machine.
fn talk(guest: Running, wire: &mut Wire, host_port: u16) {
    let (theirs, acknowledged, flags) = wire.connect(syn(host_port));
    assert_eq!((flags, acknowledged), (flag::SYN | flag::ACK, 1001));
    let word = Segment {
        sequence: 1001,
        acknowledgement: theirs.wrapping_add(1),
        flags: flag::ACK | flag::PSH,
        content: b"good morning",
        ..syn(host_port)
    };
    wire.send_segment(word);
    guest.wait_for("heard \"good morning\"");
    let mut answer = Vec::new();
    while answer != b"good bye" {
        let (_, _, flags, content) = wire.receive_segment(host_port);
        assert_eq!(flags & flag::RST, 0);
        // What is sent again because nobody acknowledges it is the same.
        if !content.is_empty() {
            answer = content;
        }
    }
    guest.end().showing(0, &["accepted", "sockets: done"]);
}

#[test]
fn a_ping_is_answered() {
    let (_guest, mut wire) = listening();
    for (sequence, len) in [(1, 56), (2, 0), (3, 1), (4, 1400)] {
        let content: Vec<u8> = (0..len).map(|index| (index % 256) as u8).collect();
        assert_eq!(wire.ping(sequence, &content), content);
    }
}

/// QEMU's cards.
const CARDS: [&str; 8] = [
    "virtio-net-pci",
    "e1000",
    "e1000e",
    "vmxnet3",
    "ne2k_pci",
    "tulip",
    "pcnet",
    "rtl8139",
];

#[test]
fn full_frames_that_tell_a_priority_come_through_every_card() {
    let content: Vec<u8> = (0..1472).map(|at| (at % 251) as u8).collect();
    for card in CARDS {
        let (_guest, mut wire) = listening_with(card);
        for (sequence, tags) in [(1, &[][..]), (2, &[0x81, 0, 0xA0, 0]), (3, &[])] {
            wire.tag(tags);
            // More of them than a small ring holds.
            for _ in 0..20 {
                assert_eq!(wire.ping(sequence, &content), content, "{card} {tags:x?}");
            }
        }
    }
}

#[test]
fn bursts_of_frames_that_are_too_long_make_no_card_deaf() {
    let long = vec![0x45; 8986];
    // QEMU's tulip offers a frame of more than 2044 bytes to itself for ever, and all that come behind it wait.
    for card in CARDS.into_iter().filter(|card| *card != "tulip") {
        // It is shown of a test that fails.
        println!("{card}");
        let (_guest, mut wire) = listening_with(card);
        for round in 0..5 {
            for _ in 0..40 {
                wire.send_ethernet(0x0800, &long);
            }
            assert_eq!(
                wire.ping(round, b"still there"),
                b"still there",
                "{card} {round}"
            );
        }
    }
}

#[test]
fn a_closed_port_refuses() {
    let (_guest, mut wire) = listening();
    let closed = Segment {
        guest_port: 81,
        ..syn(5000)
    };
    let (_, acknowledged, flags) = wire.connect(closed);
    assert_eq!((flags & flag::RST, acknowledged), (flag::RST, 1001));
}

#[test]
fn half_open_connections_keep_nobody_out() {
    let (guest, mut wire) = listening();
    for port in 10_000..12_000 {
        wire.send_segment(syn(port));
    }
    assert_eq!(wire.ping(1, b"still there"), b"still there");
    talk(guest, &mut wire, 20_000);
}

#[test]
fn frames_of_nonsense_do_no_harm() {
    let (guest, mut wire) = listening();
    let mut state = 1_u32;
    let mut random = move || {
        // Xorshift (Marsaglia, 2003): any sequence does, as long as it is always the same.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    for round in 0..3000 {
        let kind = [0x0800, 0x0806, 0x86dd, 0x8100, random() as u16][round % 5];
        let mut content: Vec<u8> = (0..random() % 200).map(|_| random() as u8).collect();
        // Most begin like a packet for the guest, so that they come further than the first check.
        for (at, byte) in [
            (0, 0x45),
            (9, [1, 6, 17][round % 3]),
            (16, 10),
            (17, 0),
            (18, 2),
            (19, 15),
        ] {
            if round % 4 != 0 && at < content.len() {
                content[at] = byte;
            }
        }
        wire.send_ethernet(kind, &content);
    }
    wire.send(&[]);
    wire.send(&[0xff; 13]);
    assert_eq!(wire.ping(7, b"alive"), b"alive");
    talk(guest, &mut wire, 5001);
}

#[test]
fn a_machine_is_found_and_reached_over_ipv6() {
    let (guest, mut wire) = listening();
    let on_link = wire.guest_on_link();
    assert_eq!(
        wire.ping_v6(on_link, b"on the link", |_| ()),
        b"on the link"
    );
    let (_, acknowledged, flags) = wire.connect_v6(on_link, syn(5001));
    assert_eq!((flags, acknowledged), (flag::SYN | flag::ACK, 1001));
    // The router tells of a network, and of itself as the way to others.
    let of_network = wire.guest_v6(NETWORK);
    let answer = wire.ping_v6(of_network, b"of the world", Wire::advertise);
    assert_eq!(answer, b"of the world");
    let (_, _, flags) = wire.connect_v6(of_network, syn(5002));
    assert_eq!(flags, flag::SYN | flag::ACK);
    talk(guest, &mut wire, 5003);
}

#[test]
fn an_address_is_had_by_dhcpv6() {
    let plug = Plug::new();
    let guest = Guest::new("ping")
        .args(&["-l"])
        .boot(Boot::Kernel)
        .address("10.0.2.15/24,gateway=10.0.2.2")
        .log_info()
        .cable(&plug.netdev())
        .start();
    let mut wire = plug.wire();
    guest.wait_for("Answering pings to 10.0.2.15");
    wire.find_guest();
    let lent = Ipv6Addr::new(0x2001, 0xDB8, 7, 0, 0, 0, 0, 0x77);
    wire.lend(lent);
    assert_eq!(wire.ping_v6(lent, b"of the lease", |_| ()), b"of the lease");
    guest.wait_for(&format!("{lent} by DHCPv6"));
}

#[test]
fn services_hear_both_versions_of_ip() {
    for (program, word) in [
        ("http", "Serving on port 80"),
        ("static-web", "Serving /web on port 80"),
    ] {
        let plug = Plug::new();
        let guest = Guest::new(program)
            .boot(Boot::Kernel)
            .address("10.0.2.15/24,gateway=10.0.2.2")
            .cable(&plug.netdev())
            .start();
        let mut wire = plug.wire();
        guest.wait_for(word);
        wire.find_guest();
        let (_, _, flags) = wire.connect(syn(5001));
        assert_eq!(flags, flag::SYN | flag::ACK);
        let on_link = wire.guest_on_link();
        let (_, _, flags) = wire.connect_v6(on_link, syn(5002));
        assert_eq!(flags, flag::SYN | flag::ACK);
    }
}

#[test]
fn groups_are_joined_heard_and_left_for_others_to_see() {
    let plug = Plug::new();
    let guest = Guest::new("test-sockets")
        .args(&["hear"])
        .boot(Boot::Kernel)
        .address("10.0.2.15/24,gateway=10.0.2.2")
        .cable(&plug.netdev())
        .start();
    let mut wire = plug.wire();
    let (four, six) = (
        Ipv4Addr::new(239, 1, 2, 3),
        Ipv6Addr::new(0xFF15, 0, 0, 0, 0, 0, 0, 0x77),
    );
    // Records of version 3 and version 2: changed to exclude nobody.
    let joined = |group: &[u8]| [&[4, 0, 0, 0][..], group].concat();
    wire.wait_for([1, 0, 0x5E, 0, 0, 0x16], &joined(&four.octets()));
    wire.wait_for([0x33, 0x33, 0, 0, 0, 0x16], &joined(&six.octets()));
    guest.wait_for("joined");
    wire.find_guest();
    assert_eq!(wire.call_group_v6(six, 5353, b"six"), b"six back");
    guest.wait_for(&format!("heard \"six\" from [{HOST_V6}%2]:4000"));
    assert_eq!(wire.call_group(four, 5454, b"hello"), b"hello back");
    guest.wait_for("heard \"hello\" from 10.0.2.2:4000");
    guest.end().showing(0, &["sockets: done"]);
}

#[test]
fn datagrams_that_outrun_the_card_are_refused_and_none_that_was_taken_is_lost() {
    let plug = Plug::new();
    let guest = Guest::new("test-sockets")
        .args(&["outrun"])
        .boot(Boot::Kernel)
        .address("10.0.2.15/24,gateway=10.0.2.2")
        .cable(&plug.netdev())
        // Other cards of QEMU go on when nobody takes their frames, and drop them.
        .card("virtio-net-pci")
        .start();
    let mut wire = plug.wire();
    guest.wait_for("listening");
    wire.find_guest();
    let call = |wire: &mut Wire, word: &[u8]| {
        wire.send_ipv4(protocol::UDP, &datagram((HOST, 9), (GUEST, 9), word));
    };
    call(&mut wire, b"hello");
    assert_eq!(wire.receive_datagram(9).2, b"first");
    call(&mut wire, b"go on");
    // Nobody reads from the cable now, until it is full, and the card with it.
    let told = guest.wait_for(" were taken");
    let taken = told
        .lines()
        .find_map(|line| line.strip_prefix("refused Some(11), ")?.split(' ').next())
        .and_then(|number| number.parse::<u32>().ok())
        .expect("how many");
    for number in 0..=taken {
        let (_, _, content) = wire.receive_datagram(9);
        assert_eq!(content[..4], number.to_be_bytes(), "of {taken}");
    }
    guest.end().showing(0, &["later true", "sockets: done"]);
}
