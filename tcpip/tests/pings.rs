//! Echo requests, and what comes back.

mod world;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tcpip::Manner;
use world::{B, World, pattern};

/// RFC 4443, section 4.2, and what Linux does with codes that say nothing.
#[test]
fn a_ping_comes_back_with_its_code_and_from_a_group_of_ipv6() {
    let mut world = World::new(19);
    let (a, b) = ("fe80::a", "fe80::b");
    world.a.add_address(a.parse().expect("one"), 64, world.now);
    world.b.add_address(b.parse().expect("one"), 64, world.now);
    world.pass(1_000_000);
    for (kind, to, from) in [
        (8, "10.0.2.15", B.to_string()),
        (128, b, b.into()),
        (128, "ff02::1", b.into()),
    ] {
        let request = [kind, 9, 0, 0, 0, 7, 0, 1, b'x'];
        let to = to.parse().expect("an address");
        let any = match kind {
            8 => world::ANY.ip(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        world.is_noting = true;
        world.noted.clear();
        let manner = Manner::default();
        let sent = world
            .a
            .send_message(any, to, (&request, true), manner, world.now);
        assert_eq!(sent, Ok(()));
        world.pass(10_000);
        let answer = [if kind == 8 { 0 } else { 129 }, 9];
        let answers = world.noted.iter().filter(|(from_a, frame)| {
            let (message, from_at, len) = match kind {
                8 => (34, 26, 4),
                _ => (54, 22, 16),
            };
            let source: IpAddr = match frame.get(from_at..from_at + len) {
                Some([a, b, c, d]) => [*a, *b, *c, *d].into(),
                Some(octets) => <[u8; 16]>::try_from(octets).expect("16").into(),
                None => return false,
            };
            !from_a
                && source.to_string() == from
                && frame.get(message..message + 2) == Some(&answer)
        });
        assert_eq!(answers.count(), 1, "{to}");
    }
    // One of IPv4 to all is not answered.
    world.noted.clear();
    let all = Ipv4Addr::BROADCAST.into();
    let request = [8, 0, 0, 0, 0, 7, 0, 1];
    let manner = Manner::default();
    let sent = world
        .a
        .send_message(world::ANY.ip(), all, (&request, true), manner, world.now);
    assert_eq!(sent, Ok(()));
    world.pass(10_000);
    assert!(world.noted.iter().all(|(from_a, _)| *from_a));
}

#[test]
fn a_ping_comes_back_however_long_it_is() {
    let mut world = World::new(18);
    for len in [0, 56, 1472] {
        world
            .a
            .send_echo(B, 7, 9, &pattern(len), world.now)
            .expect("a way");
        world.pass(1000);
        let echo = world.a.sockets.echoes.pop().expect("an answer");
        assert_eq!(echo, (B, 7, 9, pattern(len)));
    }
    // One that comes in parts goes back in parts.
    world.is_noting = true;
    let request: Vec<u8> = [&[8, 0, 0, 0, 0, 7, 0, 9][..], &pattern(3000)].concat();
    for (at, part) in request.chunks(1480).enumerate() {
        let mut frame = [&world::MAC_B[..], &world::MAC_A, &[8, 0, 0x45, 0]].concat();
        frame.extend((20 + part.len() as u16).to_be_bytes());
        let place = (at * 185) as u16 | if part.len() == 1480 { 0x2000 } else { 0 };
        frame.extend([0, 77]);
        frame.extend(place.to_be_bytes());
        frame.extend([64, 1, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15]);
        let mut part = part.to_vec();
        if at == 0 {
            let whole = &request;
            let mut sum: u32 = whole
                .chunks(2)
                .map(|two| u32::from(two[0]) << 8 | two.get(1).map_or(0, |low| u32::from(*low)))
                .sum();
            while sum > 0xFFFF {
                sum = (sum & 0xFFFF) + (sum >> 16);
            }
            part[2..4].copy_from_slice(&(!sum as u16).to_be_bytes());
        }
        frame.extend(part);
        world.b.receive(&frame, true, world.now);
    }
    world.pass(1000);
    let echo = world.a.sockets.echoes.pop().expect("an answer");
    assert_eq!(echo, (B, 7, 9, pattern(3000)));
}
