//! IPv6: addresses that hosts give themselves, what routers tell, groups, and conversations over it.

mod world;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tcpip::{Error, Manner, Settings, State};
use world::{ANY, LIMITS, MAC_A, MAC_B, Weather, World, frame_of_icmpv6, host, pattern};

/// Datagrams that no router may pass on.
const NEAR: Manner = Manner {
    hop_limit: 1,
    traffic_class: 0,
    is_looped: true,
};
const ANY_V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

const LINK_A: &str = "fe80::5055:aff:fe00:202";
const LINK_B: &str = "fe80::5054:ff:fe12:3456";

fn world() -> World {
    let mut world = World::with(3, LIMITS, 1500);
    world.a.start_ipv6(world.now);
    world.b.start_ipv6(world.now);
    world.pass(2_000_000);
    world
}

/// What a router says: how long it is one, and a network with flags and how long it is valid.
fn advertisement(router_s: u16, flags: u8, valid_s: u32) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, 0];
    message.extend(router_s.to_be_bytes());
    message.extend([0; 8]);
    message.extend([3, 4, 64, flags]);
    message.extend(valid_s.to_be_bytes());
    message.extend(valid_s.to_be_bytes());
    message.extend([0; 4]);
    message.extend(
        "2001:db8::"
            .parse::<Ipv6Addr>()
            .expect("an address")
            .octets(),
    );
    message.extend([25, 3, 0, 0, 0, 0, 1, 0]);
    message.extend(
        "2001:db8::53"
            .parse::<Ipv6Addr>()
            .expect("an address")
            .octets(),
    );
    message
}

#[test]
fn hosts_give_themselves_addresses_and_talk() {
    let mut world = world();
    assert!(world.a.has_address(ip(LINK_A)) && world.b.has_address(ip(LINK_B)));
    world.b.sockets.listening.push(80);
    world.weather = Weather {
        loss: 20,
        delay_us: 500,
        jitter_us: 500,
        ..Weather::default()
    };
    let to = SocketAddr::new(ip(LINK_B), 80);
    let at_a = world
        .a
        .connect((), ANY_V6, to, Settings::default(), world.now)
        .expect("a way");
    let up = pattern(100_000);
    let (mut sent, mut got, mut at_b) = (0, Vec::new(), None);
    for _ in 0..10_000 {
        sent += world.a.write(at_a, &up[sent..], world.now).unwrap_or(0);
        world.pass(1000);
        if let Some((slot, tuple)) = world.b.sockets.accepted.pop_front() {
            assert_eq!(tuple.remote().ip(), ip(LINK_A));
            at_b = Some(slot);
        }
        let mut buf = [0; 5000];
        let count = at_b.map_or(0, |slot| {
            world.b.read(slot, &mut buf, false, world.now).unwrap_or(0)
        });
        got.extend_from_slice(&buf[..count]);
        if got.len() == up.len() {
            break;
        }
    }
    assert!(got == up);
}

#[test]
fn datagrams_of_ipv6_go_whole_and_in_parts_and_refusals_come_back() {
    let mut world = world();
    world.b.sockets.bound.push(53);
    let (from, to) = (
        SocketAddr::new(ip(LINK_A), 9),
        SocketAddr::new(ip(LINK_B), 53),
    );
    for len in [1, 1452, 1453, 20_000] {
        world
            .a
            .send_datagram(from, to, &pattern(len), Manner::default(), world.now)
            .expect("a way");
        world.pass(10_000);
        assert!(
            world
                .b
                .sockets
                .datagrams
                .pop()
                .is_some_and(|one| one.2 == pattern(len)),
            "{len}"
        );
    }
    world
        .a
        .send_datagram(
            from,
            SocketAddr::new(ip(LINK_B), 54),
            b"?",
            Manner::default(),
            world.now,
        )
        .expect("a way");
    world.pass(10_000);
    assert_eq!(
        world.a.sockets.undeliverable.pop().map(|one| one.2),
        Some(Error::Refused)
    );
}

#[test]
fn the_first_message_waits_for_one_to_two_tenths_of_a_second() {
    let mut world = World::with(3, LIMITS, 1500);
    world.is_noting = true;
    world.b.start_ipv6(world.now);
    assert!(world.b.is_configuring_ipv6());
    let messages = |world: &World| {
        let is_v6 = |frame: &[u8]| frame[12..14] == [0x86, 0xDD];
        world.noted.iter().filter(|(_, frame)| is_v6(frame)).count()
    };
    world.pass(99_000);
    assert_eq!(messages(&world), 0);
    world.pass(102_000);
    assert_ne!(messages(&world), 0);
}

#[test]
fn an_address_that_another_has_is_not_taken() {
    let mut world = World::with(3, LIMITS, 1500);
    world.b = host(MAC_A, LIMITS, 1500);
    world.a.start_ipv6(world.now);
    world.pass(2_000_000);
    world.b.start_ipv6(world.now);
    world.pass(2_000_000);
    assert!(world.a.has_address(ip(LINK_A)) && !world.b.has_address(ip(LINK_A)));
}

#[test]
fn a_flood_of_routers_cuts_nobody_off() {
    let mut world = world();
    world.b.sockets.listening.push(80);
    // Longer than the time that a question for a neighbour is on its way.
    world.weather.delay_us = 2000;
    let to = SocketAddr::new(ip(LINK_B), 80);
    let at_a = world
        .a
        .connect((), ANY_V6, to, Settings::default(), world.now)
        .expect("a way");
    let group = [0x33, 0x33, 0, 0, 0, 1];
    let mut message = advertisement(1800, 0xC0, 7200);
    message.extend([1, 1, 2, 0, 0, 0, 0, 9]);
    for round in 0..30_u16 {
        for last in 0..100 {
            let router = Ipv6Addr::new(0xFE80, 0, 0, 0, 9, 9, round, last).into();
            let frame = frame_of_icmpv6(group, router, ip("ff02::1"), 255, &message);
            world.b.receive(&frame, false, world.now);
        }
        world.pass(1000);
    }
    // What was lost would have been sent again after a second only.
    assert_eq!(world.a.state(at_a), State::Established);
}

#[test]
fn another_router_is_used_when_the_first_does_not_answer() {
    let mut world = world();
    let far: IpAddr = ip("2600::1");
    for router in ["fe80::1", "fe80::2"] {
        let message = advertisement(1800, 0xC0, 3600);
        let frame = frame_of_icmpv6(MAC_B, ip(router), ip("ff02::1"), 255, &message);
        world.b.receive(&frame, false, world.now);
    }
    world.pass(2_000_000);
    assert_eq!(world.b.next_hop(far), Some(ip("fe80::1")), "the first");
    // Nobody is at either address: each is asked three times.
    let from = SocketAddr::new(world.b.source_for(far).expect("an address"), 9);
    for (seconds, router) in [(2, "fe80::1"), (2, "fe80::2")] {
        let to = SocketAddr::new(far, 7);
        world
            .b
            .send_datagram(from, to, b"?", Manner::default(), world.now)
            .expect("a way");
        world.pass(seconds * 1_000_000);
        assert_eq!(world.b.next_hop(far), Some(ip(router)));
    }
}

#[test]
fn a_router_gives_a_network_a_way_out_and_name_servers_for_a_time() {
    let mut world = world();
    let (router, all) = (ip("fe80::1"), ip("ff02::1"));
    let ours = ip("2001:db8::5054:ff:fe12:3456");
    let group = [0x33, 0x33, 0, 0, 0, 1];
    // Not from a router of this link, and passed on by one: nothing.
    world.b.receive(
        &frame_of_icmpv6(
            group,
            ip("2001:db8::1"),
            all,
            255,
            &advertisement(1800, 0xC0, 7200),
        ),
        false,
        world.now,
    );
    world.b.receive(
        &frame_of_icmpv6(group, router, all, 254, &advertisement(1800, 0xC0, 7200)),
        false,
        world.now,
    );
    world.pass(2_000_000);
    assert!(!world.b.has_address(ours));
    world.b.receive(
        &frame_of_icmpv6(group, router, all, 255, &advertisement(1800, 0xC0, 7200)),
        false,
        world.now,
    );
    assert!(!world.b.has_address(ours), "tried first");
    world.pass(2_000_000);
    assert!(world.b.has_address(ours));
    assert_eq!(
        world.b.router_dns().collect::<Vec<_>>(),
        [ip("2001:db8::53")]
    );
    let far = SocketAddr::new(ip("2600::1"), 80);
    assert!(
        world
            .b
            .connect((), ANY_V6, far, Settings::default(), world.now)
            .is_ok()
    );
    // Nobody can take the address away at once (RFC 4862, section 5.5.3).
    world.b.receive(
        &frame_of_icmpv6(group, router, all, 255, &advertisement(1800, 0xC0, 1)),
        false,
        world.now,
    );
    world.pass(60_000_000);
    assert!(world.b.has_address(ours));
    // Neither the way out nor the address outlive their times.
    world.pass(1_800_000_000);
    assert_eq!(
        world
            .b
            .connect((), ANY_V6, far, Settings::default(), world.now),
        Err(Error::NetworkUnreachable)
    );
    world.pass(7_200_000_000);
    assert!(!world.b.has_address(ours));
}

/// An option that tells of name servers.
fn name_servers(seconds: u32, servers: &[&str]) -> Vec<u8> {
    let mut option = vec![25, 1 + 2 * servers.len() as u8, 0, 0];
    option.extend(seconds.to_be_bytes());
    for server in servers {
        option.extend(server.parse::<Ipv6Addr>().expect("an address").octets());
    }
    option
}

#[test]
fn name_servers_of_all_routers_are_asked_for_their_own_times() {
    let mut world = world();
    let (all, group) = (ip("ff02::1"), [0x33, 0x33, 0, 0, 0, 1]);
    let tell = |world: &mut World, router: &str, option: &[u8]| {
        let message = [&[134, 0, 0, 0, 64, 0, 0, 0][..], &[0; 8], option].concat();
        let frame = frame_of_icmpv6(group, ip(router), all, 255, &message);
        world.b.receive(&frame, false, world.now);
    };
    let known = |world: &World| world.b.router_dns().collect::<Vec<_>>();
    let (one, two) = ("2001:db8::1", "2001:db8::2");
    tell(&mut world, "fe80::1", &name_servers(100, &[one]));
    tell(&mut world, "fe80::2", &name_servers(50, &[two, "ff02::1"]));
    // One that knows none takes none away.
    tell(&mut world, "fe80::3", &[]);
    assert_eq!(known(&world), [ip(one), ip(two)]);
    world.pass(49_000_000);
    assert_eq!(known(&world), [ip(one), ip(two)]);
    world.pass(2_000_000);
    assert_eq!(known(&world), [ip(one)]);
    // Many for a short time do not push out one that stays longer.
    let many = [
        "2001:db8::11",
        "2001:db8::12",
        "2001:db8::13",
        "2001:db8::14",
    ];
    tell(&mut world, "fe80::4", &name_servers(10, &many));
    assert_eq!(known(&world)[0], ip(one));
    assert_eq!(known(&world).len(), 4);
    tell(&mut world, "fe80::4", &name_servers(0, &[one]));
    assert!(!known(&world).contains(&ip(one)));
    world.pass(60_000_000);
    assert!(known(&world).is_empty());
}

#[test]
fn a_network_that_is_on_this_link_no_more_is_forgotten() {
    let mut world = world();
    let (router, all) = (ip("fe80::1"), ip("ff02::1"));
    let near: IpAddr = ip("2001:db8::99");
    for (valid_s, hop) in [(7200, Some(near)), (0, None)] {
        let message = advertisement(0, 0x80, valid_s);
        let frame = frame_of_icmpv6([0x33, 0x33, 0, 0, 0, 1], router, all, 255, &message);
        world.b.receive(&frame, false, world.now);
        assert_eq!(world.b.next_hop(near), hop);
    }
}

/// RFC 6980: in parts, a message passes those on the way who look at such messages.
#[test]
fn neighbour_discovery_in_parts_is_passed_over() {
    for parts in [1, 2] {
        let mut world = world();
        let (router, all) = (ip("fe80::1"), ip("ff02::1"));
        let message = advertisement(1800, 0xC0, 7200);
        let whole = frame_of_icmpv6([0x33, 0x33, 0, 0, 0, 1], router, all, 255, &message);
        let (head, payload) = whole.split_at(14 + 40);
        let len = (payload.len() / parts).next_multiple_of(8);
        for (at, part) in payload.chunks(len).enumerate() {
            let has_more = (at + 1) * len < payload.len();
            let place = (at * len) as u16 | u16::from(has_more);
            let mut frame = head.to_vec();
            frame[18..20].copy_from_slice(&(8 + part.len() as u16).to_be_bytes());
            frame[20] = 44;
            frame.extend([58, 0]);
            frame.extend(place.to_be_bytes());
            frame.extend([0, 0, 0, 7]);
            frame.extend(part);
            world.b.receive(&frame, false, world.now);
        }
        // A single part that is the whole is none (RFC 6946).
        assert_eq!(world.b.router_dns().count(), usize::from(parts == 1));
        assert_eq!(world.b.stats().reassembled, u64::from(parts == 2));
    }
}

#[test]
fn only_groups_that_were_joined_are_heard_and_routers_are_told() {
    for (group, any, own) in [
        ("224.1.2.3", ANY, world::A),
        ("ff15::77", ANY_V6, ip(LINK_A)),
    ] {
        let mut world = world();
        world.b.sockets.bound.push(5353);
        let to = SocketAddr::new(ip(group), 5353);
        let _ = any;
        let from = SocketAddr::new(own, 5353);
        world
            .a
            .send_datagram(from, to, b"1", NEAR, world.now)
            .expect("a way");
        world.pass(1000);
        assert_eq!(world.b.sockets.datagrams.len(), 0);
        world.is_noting = true;
        world.b.join_group(ip(group), world.now).expect("a group");
        world.pass(3_000_000);
        let is_report = |frame: &[u8]| {
            frame.starts_with(&[1, 0, 0x5E, 0, 0, 22])
                || frame.starts_with(&[0x33, 0x33, 0, 0, 0, 22])
        };
        let noted = world.noted.iter();
        let reports = noted
            .filter(|(from_a, frame)| !from_a && is_report(frame))
            .count();
        assert_eq!(reports, 2, "{group}");
        world
            .a
            .send_datagram(from, to, b"2", NEAR, world.now)
            .expect("a way");
        world.pass(1000);
        assert_eq!(world.b.sockets.datagrams.len(), 1, "{group}");
        world.b.leave_group(ip(group), world.now).expect("joined");
        assert_eq!(
            world.b.leave_group(ip(group), world.now),
            Err(Error::AddressNotAvailable)
        );
        world
            .a
            .send_datagram(from, to, b"3", NEAR, world.now)
            .expect("a way");
        world.pass(3_000_000);
        assert_eq!(world.b.sockets.datagrams.len(), 1);
    }
}

#[test]
fn a_member_hears_what_its_own_machine_says_to_the_group_unless_it_does_not_want_to() {
    for (group, own) in [("224.1.2.3", world::A), ("ff15::77", ip(LINK_A))] {
        let mut world = world();
        world.a.sockets.bound.push(5353);
        let (to, from) = (SocketAddr::new(ip(group), 5353), SocketAddr::new(own, 5353));
        let say = |world: &mut World, manner: Manner| {
            let sent = world.a.send_datagram(from, to, b"1", manner, world.now);
            sent.expect("a way");
            world.a.sockets.datagrams.pop()
        };
        assert_eq!(say(&mut world, NEAR), None, "not joined");
        world.a.join_group(ip(group), world.now).expect("a group");
        assert_eq!(say(&mut world, NEAR), Some((to, from, b"1".to_vec())));
        assert_eq!(
            say(
                &mut world,
                Manner {
                    is_looped: false,
                    ..NEAR
                }
            ),
            None
        );
    }
}

#[test]
fn a_datagram_tells_its_hop_limit_and_its_class_of_traffic() {
    let mut world = world();
    world.b.sockets.bound.push(53);
    for (from, to) in [(world::A, world::B), (ip(LINK_A), ip(LINK_B))] {
        let (from, to) = (SocketAddr::new(from, 9), SocketAddr::new(to, 53));
        let manner = Manner {
            hop_limit: 7,
            traffic_class: 0xB9,
            is_looped: true,
        };
        // What comes in parts has no header any more that says the class.
        for (len, class) in [(10, 0xB9), (4000, 0)] {
            world
                .a
                .send_datagram(from, to, &pattern(len), manner, world.now)
                .expect("a way");
            world.pass(10_000);
            assert_eq!(world.b.sockets.marks.pop(), Some((7, class)), "{to} {len}");
        }
    }
}

#[test]
fn a_connection_waits_for_an_address_but_not_for_ever() {
    let mut world = World::with(3, LIMITS, 1500);
    let far = SocketAddr::new(ip("2600::1"), 80);
    let group = [0x33, 0x33, 0, 0, 0, 1];
    world.b.start_ipv6(world.now);
    assert!(world.b.is_configuring_ipv6());
    let slot = world
        .b
        .connect((), ANY_V6, far, Settings::default(), world.now)
        .expect("soon");
    assert_eq!(world.b.state(slot), State::Awaiting);
    world.pass(500_000);
    world.b.receive(
        &frame_of_icmpv6(
            group,
            ip("fe80::1"),
            ip("ff02::1"),
            255,
            &advertisement(1800, 0xC0, 7200),
        ),
        false,
        world.now,
    );
    world.pass(900_000);
    assert_eq!(world.b.state(slot), State::Awaiting);
    world.pass(200_000);
    assert_eq!(world.b.state(slot), State::SynSent);
    let ours = ip("2001:db8::5054:ff:fe12:3456");
    let local = world.b.tuple(slot).map(|tuple| tuple.local().ip());
    assert_eq!(local, Some(ours), "not from the address of the link");
    assert!(!world.b.is_configuring_ipv6());
    // Where no router answers, that is known after a while.
    let mut world = World::with(4, LIMITS, 1500);
    world.b.start_ipv6(world.now);
    let slot = world
        .b
        .connect((), ANY_V6, far, Settings::default(), world.now)
        .expect("soon");
    world.pass(4_000_000);
    assert_eq!(world.b.error(slot), Some(Error::NetworkUnreachable));
    assert_eq!(
        world
            .b
            .connect((), ANY_V6, far, Settings::default(), world.now),
        Err(Error::NetworkUnreachable)
    );
}

#[test]
fn a_path_that_takes_less_shortens_segments() {
    let mut world = world();
    world.b.sockets.listening.push(80);
    let to = SocketAddr::new(ip(LINK_B), 80);
    let at_a = world
        .a
        .connect((), ANY_V6, to, Settings::default(), world.now)
        .expect("a way");
    world.pass(10_000);
    assert_eq!(world.a.state(at_a), State::Established);
    world.weather.loss = 1000;
    world.is_noting = true;
    world
        .a
        .write(at_a, &pattern(5000), world.now)
        .expect("room");
    world.settle();
    let lost = world
        .noted
        .iter()
        .find(|(from_a, frame)| *from_a && frame.len() > 1400)
        .expect("a full segment");
    let mut message = vec![2, 0, 0, 0, 0, 0, 5, 0];
    message.extend(&lost.1[14..14 + 1232]);
    let tell = frame_of_icmpv6(MAC_A, ip("fe80::1"), ip(LINK_A), 64, &message);
    world.noted.clear();
    world.a.receive(&tell, false, world.now);
    world.settle();
    let longest = world.noted.iter().map(|(_, frame)| frame.len()).max();
    assert_eq!(longest, Some(14 + 1280), "of {}", world.noted.len());
    let _ = MAC_B;
}
