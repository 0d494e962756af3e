//! Frames that lie, one kind after the other, and answers that lie: what is wrong has no effect, and what is right goes on.

use std::net::Ipv4Addr;
use vm_tests::frame::{Ipv4, Tcp, arp, datagram, ethernet, icmp, protocol};
use vm_tests::relay::GUEST_MAC;
use vm_tests::wire::{GUEST, HOST, HOST_MAC, Plug, Segment, Wire, flag};
use vm_tests::{Boot, Guest, Running};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86DD;
const ARP: u16 = 0x0806;
const PORT: u16 = 5000;

fn plugged(args: &[&str], address: Option<&str>) -> (Running, Wire) {
    let plug = Plug::new();
    let mut guest = Guest::new("test-sockets").args(args).boot(Boot::Kernel);
    if let Some(address) = address {
        guest = guest.address(address);
    }
    let guest = guest.cable(&plug.netdev()).log_info().start();
    (guest, plug.wire())
}

fn v4(packet: &[u8]) -> Vec<u8> {
    ethernet(GUEST_MAC, HOST_MAC, IPV4, packet)
}

/// Packets with wrong headers, each of which would be right but for that: `evil` would come to the connection.
fn packets(evil: &Tcp<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let right = Ipv4::new(HOST, GUEST, protocol::TCP);
    let segment = evil.segment(HOST, GUEST);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = right.packet(&segment);
        change(&mut packet);
        // The sum is right again, so that it is not the sum that is found wrong.
        packet[10..12].fill(0);
        let header = (usize::from(packet[0] & 15) * 4).clamp(20, packet.len());
        let sum = checksum(&packet[..header]);
        packet[10..12].copy_from_slice(&sum);
        v4(&packet)
    };
    let spoilt = |at: usize| {
        let mut packet = right.packet(&segment);
        packet[at] ^= 0x10;
        v4(&packet)
    };
    let from = |from: [u8; 4]| {
        let from = Ipv4Addr::from(from);
        v4(&Ipv4::new(from, GUEST, protocol::TCP).packet(&evil.segment(from, GUEST)))
    };
    let lie = |lie: i16| {
        v4(&Ipv4 {
            lie,
            ..right.clone()
        }
        .packet(&segment))
    };
    vec![
        ("version 5", with(&|packet| packet[0] = 0x55)),
        (
            "version 6 in a frame of version 4",
            with(&|packet| packet[0] = 0x65),
        ),
        ("a header of four words", with(&|packet| packet[0] = 0x44)),
        (
            "a header longer than the packet",
            with(&|packet| packet[0] = 0x4F),
        ),
        ("longer than the frame", lie(1)),
        ("much longer than the frame", lie(9000)),
        ("shorter than it is", lie(-1)),
        (
            "shorter than its header",
            with(&|packet| packet[2..4].copy_from_slice(&[0, 19])),
        ),
        ("no length", with(&|packet| packet[2..4].fill(0))),
        ("a wrong sum of the header", spoilt(8)),
        ("a wrong sum of the segment", spoilt(20 + 20)),
        (
            "a part without the others",
            with(&|packet| packet[6] = 0x20),
        ),
        ("from nobody", from([0; 4])),
        ("from all", from([255; 4])),
        ("from a group", from([224, 0, 0, 1])),
        ("from this machine", from([127, 0, 0, 1])),
        ("from the receiver", from(GUEST.octets())),
        (
            "to another protocol's field",
            ethernet(GUEST_MAC, HOST_MAC, IPV6, &right.packet(&segment)),
        ),
        ("cut off in the header", v4(&right.packet(&segment)[..19])),
        (
            "cut off behind the header",
            v4(&right.packet(&segment)[..20]),
        ),
        ("without anything", v4(&[])),
    ]
}

/// Segments that are wrong in themselves, though their sums are right.
fn segments(evil: Tcp<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let with = |segment: Tcp<'_>| {
        v4(&Ipv4::new(HOST, GUEST, protocol::TCP).packet(&segment.segment(HOST, GUEST)))
    };
    let offset = |words: u8| {
        with(Tcp {
            offset: Some(words),
            ..evil
        })
    };
    let flags = |flags: u8| with(Tcp { flags, ..evil });
    // A reset with just the right number would be one.
    let near = |flags: u8| {
        let sequence = evil.sequence.wrapping_add(5);
        with(Tcp {
            flags,
            sequence,
            ..evil
        })
    };
    let short = |len: usize| {
        let segment = evil.segment(HOST, GUEST);
        v4(&Ipv4::new(HOST, GUEST, protocol::TCP).packet(&segment[..len]))
    };
    vec![
        ("no header", offset(0)),
        ("a header of four words", offset(4)),
        ("a header longer than the segment", offset(15)),
        ("cut off in the header", short(19)),
        ("ports only", short(4)),
        ("nothing", short(0)),
        ("no flags", flags(0)),
        ("all flags", near(0x3F)),
        ("a beginning and an end", flags(flag::SYN | flag::FIN)),
        ("a beginning and a reset", near(flag::SYN | flag::RST)),
        ("without an acknowledgement", flags(flag::PSH)),
        (
            "of what was never sent",
            with(Tcp {
                acknowledgement: evil.acknowledgement.wrapping_add(1 << 30),
                ..evil
            }),
        ),
        (
            "far away",
            with(Tcp {
                sequence: evil.sequence.wrapping_add(1 << 30),
                ..evil
            }),
        ),
        (
            "before the beginning",
            with(Tcp {
                sequence: evil.sequence.wrapping_sub(1 << 30),
                ..evil
            }),
        ),
        (
            "a reset that guesses",
            with(Tcp {
                flags: flag::RST,
                sequence: evil.sequence.wrapping_add(100),
                content: b"",
                ..evil
            }),
        ),
    ]
}

/// What else strangers send.
fn others(evil: &Tcp<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let udp = |bytes: &[u8]| v4(&Ipv4::new(HOST, GUEST, protocol::UDP).packet(bytes));
    let error = |kind: u8, code: u8, word: [u8; 4], quote: &[u8]| {
        v4(&Ipv4::new(HOST, GUEST, protocol::ICMP).packet(&icmp(kind, code, word, quote)))
    };
    let part = |offset: u16, has_more: bool, content: &[u8]| {
        let fragment = (offset / 8) | (u16::from(has_more) << 13);
        v4(&Ipv4 {
            id: 7,
            fragment,
            ..Ipv4::new(HOST, GUEST, protocol::UDP)
        }
        .packet(content))
    };
    let length = |len: u16| {
        let mut bytes = datagram((HOST, 9), (GUEST, 9), b"hello");
        bytes[4..6].copy_from_slice(&len.to_be_bytes());
        udp(&bytes)
    };
    // What the guest may have sent: from its port to ours.
    let sent = Tcp {
        from_port: 80,
        to_port: PORT,
        ..*evil
    };
    let quote = Ipv4::new(GUEST, HOST, protocol::TCP).packet(&sent.segment(GUEST, HOST));
    let mut later = quote.clone();
    later[6..8].copy_from_slice(&[0, 100]);
    let mut longer = quote.clone();
    longer[0] = 0x4F;
    let syn = Tcp {
        from_port: 80,
        flags: flag::SYN,
        content: b"",
        ..*evil
    };
    let to_itself = Ipv4::new(GUEST, GUEST, protocol::TCP).packet(&syn.segment(GUEST, GUEST));
    let question = arp(1, HOST_MAC, HOST, GUEST);
    let mut of_other_lengths = question.clone();
    of_other_lengths[4..6].copy_from_slice(&[8, 16]);
    let with_options = |options: &[u8]| {
        let evil = evil.segment(HOST, GUEST);
        let other = Ipv4 {
            options,
            ..Ipv4::new(HOST, GUEST, 99)
        };
        v4(&other.packet(&evil))
    };
    vec![
        ("a request to itself", v4(&to_itself)),
        ("a datagram shorter than its header", length(7)),
        ("a datagram longer than its packet", length(1000)),
        ("a datagram without length", length(0)),
        (
            "a datagram to port 0",
            udp(&datagram((HOST, 0), (GUEST, 0), b"x")),
        ),
        ("an error that quotes nothing", error(3, 3, [0; 4], b"")),
        (
            "an error that quotes little",
            error(3, 3, [0; 4], &quote[..27]),
        ),
        ("an error about a later part", error(3, 3, [0; 4], &later)),
        (
            "an error that quotes a longer header",
            error(3, 2, [0; 4], &longer),
        ),
        (
            "an error about a number never sent",
            error(3, 3, [0; 4], &quote),
        ),
        ("an error about a size", error(3, 4, [0, 0, 0, 0], &quote)),
        ("an error of no known kind", error(77, 200, [9; 4], &quote)),
        ("a redirection", error(5, 1, [10, 0, 2, 66], &quote)),
        (
            "an error that quotes noise",
            error(3, 1, [0; 4], &[0x45; 200]),
        ),
        ("the first part", part(0, true, &[1; 64])),
        ("a part that overlaps it", part(32, false, &[2; 64])),
        ("a part inside of it", part(8, true, &[3; 8])),
        ("an empty part", part(64, true, b"")),
        (
            "a part that is no multiple of eight",
            part(128, true, &[4; 13]),
        ),
        (
            "a part behind all that there can be",
            part(0xFFF8, false, &[5; 1000]),
        ),
        ("the same with more to come", part(0xFFF8, true, &[5; 1000])),
        (
            "an option longer than the header",
            with_options(&[7, 200, 4, 0]),
        ),
        ("an option without length", with_options(&[0x83, 0, 4, 0])),
        (
            "ARP of other lengths",
            ethernet(GUEST_MAC, HOST_MAC, ARP, &of_other_lengths),
        ),
        (
            "ARP cut off",
            ethernet(GUEST_MAC, HOST_MAC, ARP, &question[..27]),
        ),
        (
            "ARP of the guest's own address",
            ethernet([0xFF; 6], HOST_MAC, ARP, &arp(2, HOST_MAC, GUEST, GUEST)),
        ),
        (
            "ARP of a sender who is all",
            ethernet(GUEST_MAC, HOST_MAC, ARP, &arp(2, [0xFF; 6], HOST, GUEST)),
        ),
        (
            "ARP of a group",
            ethernet(
                GUEST_MAC,
                HOST_MAC,
                ARP,
                &arp(1, HOST_MAC, Ipv4Addr::new(224, 0, 0, 5), GUEST),
            ),
        ),
        (
            "a frame from a group",
            ethernet(GUEST_MAC, [1, 0, 0x5E, 0, 0, 1], IPV4, &quote),
        ),
        (
            "a length instead of a kind",
            ethernet(GUEST_MAC, HOST_MAC, 60, &quote),
        ),
        (
            "a tag without a frame",
            ethernet(GUEST_MAC, HOST_MAC, 0x8100, &[0, 1]),
        ),
    ]
}

/// The Internet checksum of a header.
fn checksum(header: &[u8]) -> [u8; 2] {
    let words = header
        .chunks(2)
        .map(|two| u32::from(two[0]) << 8 | two.get(1).map_or(0, |low| u32::from(*low)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    (!((folded & 0xFFFF) + (folded >> 16)) as u16).to_be_bytes()
}

#[test]
fn frames_that_lie_have_no_effect_on_a_connection() {
    let (guest, mut wire) = plugged(&["listen"], Some("10.0.2.15/24,gateway=10.0.2.2"));
    guest.wait_for("listening");
    wire.find_guest();
    let syn = Segment {
        host_port: PORT,
        guest_port: 80,
        sequence: 1000,
        acknowledgement: 0,
        flags: flag::SYN,
        content: b"",
    };
    let (theirs, acknowledged, flags) = wire.connect(syn);
    assert_eq!((flags, acknowledged), (flag::SYN | flag::ACK, 1001));
    let word = Segment {
        sequence: 1001,
        acknowledgement: theirs.wrapping_add(1),
        flags: flag::ACK | flag::PSH,
        ..syn
    };
    wire.send_segment(word);
    guest.wait_for("accepted");
    let evil = Tcp {
        from_port: PORT,
        to_port: 80,
        sequence: 1001,
        acknowledgement: theirs.wrapping_add(1),
        flags: flag::ACK | flag::PSH,
        offset: None,
        options: &[],
        content: b"evil words",
    };
    let kinds = [packets(&evil), segments(evil), others(&evil)].concat();
    for (number, (name, frame)) in (0_u16..).zip(&kinds) {
        wire.send(frame);
        let answer = wire.ping(number, name.as_bytes());
        assert_eq!(answer, name.as_bytes());
        let console = guest.console();
        assert!(!console.contains("heard"), "{name}: {console}");
    }
    wire.send_segment(Segment {
        content: b"good morning",
        ..word
    });
    guest.wait_for("heard \"good morning\"");
    loop {
        let (_, _, flags, content) = wire.receive_segment(PORT);
        assert_eq!(flags & flag::RST, 0);
        if content == b"good bye" {
            break;
        }
    }
    guest.end().showing(0, &["accepted", "sockets: done"]);
}

/// A server's message of DHCP (RFC 2131), for a client with a number.
fn lease(id: &[u8], mac: [u8; 6], kind: u8, address: [u8; 4], options: &[u8]) -> Vec<u8> {
    let mut message = vec![2, 1, 6, 0];
    message.extend(id);
    message.extend([0; 8]);
    message.extend(address);
    message.extend([0; 8]);
    message.extend(mac);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, kind, 54, 4]);
    message.extend(HOST.octets());
    message.extend(options);
    message
}

const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

#[test]
fn dhcp_answers_that_lie_give_no_address() {
    let (guest, mut wire) = plugged(&["listen"], None);
    let right = [
        1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 2, 2, 51, 4, 0, 0, 14, 16, 255,
    ];
    let evil = [10, 0, 2, 99];
    let send = |wire: &mut Wire, message: &[u8]| {
        let all = Ipv4Addr::BROADCAST;
        let bytes = datagram((HOST, 67), (all, 68), message);
        let packet = Ipv4::new(HOST, all, protocol::UDP).packet(&bytes);
        wire.send(&ethernet([0xFF; 6], HOST_MAC, IPV4, &packet));
    };
    // A card may take nothing at the very first.
    wire.receive_datagram(67);
    let (_, from_port, question) = wire.receive_datagram(67);
    assert_eq!(from_port, 68);
    let id = question[4..8].to_vec();
    let other_id = [id[0] ^ 1, id[1], id[2], id[3]];
    let other_mac = [2, 2, 2, 2, 2, 2];
    let mut of_client = lease(&id, GUEST_MAC, OFFER, evil, &right);
    of_client[0] = 1;
    let mut without_cookie = lease(&id, GUEST_MAC, OFFER, evil, &right);
    without_cookie[236] = 0;
    let whole = lease(&id, GUEST_MAC, OFFER, evil, &right);
    for lie in [
        lease(&other_id, GUEST_MAC, OFFER, evil, &right),
        lease(&id, other_mac, OFFER, evil, &right),
        // What was not asked for yet.
        lease(&id, GUEST_MAC, ACK, evil, &right),
        lease(&id, GUEST_MAC, NAK, evil, &right),
        lease(&id, GUEST_MAC, 77, evil, &right),
        // What no host can have.
        lease(&id, GUEST_MAC, OFFER, [0; 4], &right),
        lease(&id, GUEST_MAC, OFFER, [255; 4], &right),
        lease(&id, GUEST_MAC, OFFER, [239, 1, 1, 1], &right),
        lease(&id, GUEST_MAC, OFFER, [127, 0, 0, 1], &right),
        // An option longer than the message; one without a length.
        lease(&id, GUEST_MAC, OFFER, evil, &[1, 200, 255, 255]),
        lease(&id, GUEST_MAC, OFFER, evil, &[1]),
        of_client,
        without_cookie,
        whole[..239].to_vec(),
        whole[..20].to_vec(),
        Vec::new(),
    ] {
        send(&mut wire, &lie);
    }
    // It keeps asking for an offer, with the same number.
    let (_, _, question) = wire.receive_datagram(67);
    assert_eq!(question[4..8], id, "the number");
    assert_eq!(question[240..243], [53, 1, 1], "still looking");
    send(
        &mut wire,
        &lease(&id, GUEST_MAC, OFFER, GUEST.octets(), &right),
    );
    let (_, _, request) = wire.receive_datagram(67);
    assert_eq!(request[240..243], [53, 1, 3], "a request");
    // It is of another than the one that was offered: refused or not, it is of no host.
    send(
        &mut wire,
        &lease(&id, GUEST_MAC, ACK, [224, 0, 0, 9], &right),
    );
    send(&mut wire, &lease(&other_id, GUEST_MAC, NAK, evil, &right));
    let strange = [
        1, 4, 255, 0, 255, 0, 3, 4, 255, 255, 255, 255, 51, 4, 0, 0, 0, 0, 6, 3, 1, 1, 1, 255,
    ];
    send(
        &mut wire,
        &lease(&id, GUEST_MAC, ACK, GUEST.octets(), &strange),
    );
    guest.wait_for("10.0.2.15/24");
    guest.wait_for("listening");
    wire.find_guest();
    assert_eq!(wire.ping(1, b"here"), b"here");
    assert!(
        !guest.console().contains("10.0.2.99"),
        "{}",
        guest.console()
    );
}

/// An answer to a question of the name system (RFC 1035) with a record.
fn answer(question: &[u8], count: u8, record: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    (answer[2], answer[7]) = (0x81, count);
    answer.extend(record);
    answer
}

#[test]
fn dns_answers_that_lie_resolve_nothing() {
    let (guest, mut wire) = plugged(
        &["resolve", "host.example:80"],
        Some("10.0.2.15/24,gateway=10.0.2.2,dns=10.0.2.2"),
    );
    let record = |owner: &[u8], kind: u8, class: u8, data: &[u8]| {
        let len = data.len() as u8;
        [owner, &[0, kind, 0, class, 0, 0, 0, 60, 0, len], data].concat()
    };
    let (evil, right) = ([66, 66, 66, 66], [10, 1, 2, 3]);
    let itself = &[0xC0, 12][..];
    let (from, port, question) = wire.receive_datagram(53);
    assert_eq!(from, GUEST);
    let evil_record = record(itself, 1, 1, &evil);
    let mut other_id = answer(&question, 1, &evil_record);
    other_id[0] ^= 1;
    let mut other_name = answer(&question, 1, &evil_record);
    other_name[13] ^= 1;
    let mut other_kind = answer(&question, 1, &evil_record);
    other_kind[question.len() - 3] = 15;
    let mut a_question = answer(&question, 1, &evil_record);
    a_question[2] = 1;
    let mut two_questions = answer(&question, 1, &evil_record);
    two_questions[5] = 2;
    let whole = answer(&question, 1, &evil_record);
    let lies = [
        other_id,
        other_name,
        other_kind,
        a_question,
        two_questions,
        whole[..11].to_vec(),
        whole[..20].to_vec(),
        Vec::new(),
    ];
    let send = |wire: &mut Wire, from_port: u16, message: &[u8]| {
        let bytes = datagram((HOST, from_port), (GUEST, port), message);
        wire.send_ipv4(protocol::UDP, &bytes);
    };
    for lie in &lies {
        send(&mut wire, 53, lie);
    }
    // The right one, but from another port.
    send(&mut wire, 54, &whole);
    // It belongs to the question; of its records only one counts.
    let records = [
        record(&[0], 1, 1, &evil),
        record(b"\x04evil\xC0\x11", 1, 1, &evil),
        record(itself, 1, 3, &evil),
        record(itself, 1, 1, &evil[..3]),
        record(itself, 28, 1, &evil),
        record(itself, 1, 1, &right),
        // A name that leads to itself ends what can be read.
        vec![0xC0, (question.len() + 100) as u8],
    ];
    send(&mut wire, 53, &answer(&question, 200, &records.concat()));
    let end = guest.end();
    end.showing(0, &["resolved [10.1.2.3:80]", "sockets: done"]);
}
