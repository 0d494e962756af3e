//! Addresses, name servers and domains by DHCPv6 (RFC 8415): `b` asks, `a` is the server, and a router says whether there is one.

mod world;

use std::net::{IpAddr, SocketAddr};

use tcpip::{Manner, Settings};
use world::{LIMITS, MAC_B, World, frame_of_icmpv6};

const SECOND: u64 = 1_000_000;
const LINK_A: &str = "fe80::5055:aff:fe00:202";
const LINK_B: &str = "fe80::5054:ff:fe12:3456";
const LENT: &str = "2001:db8::77";
const FOR_EVER: u32 = u32::MAX;

const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;

/// Kinds of messages.
const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;
const DECLINE: u8 = 9;
const INFORMATION_REQUEST: u8 = 11;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn octets(text: &str) -> [u8; 16] {
    match ip(text) {
        IpAddr::V6(ip) => ip.octets(),
        IpAddr::V4(_) => panic!("of IPv6"),
    }
}

/// Two hosts with addresses of the link, of which the first hears what clients ask.
fn world() -> World {
    let mut world = World::with(11, LIMITS, 1500);
    world.a.start_ipv6(world.now);
    world.b.start_ipv6(world.now);
    world.pass(5 * SECOND);
    world.a.sockets.bound.push(547);
    world
        .a
        .join_group(ip("ff02::1:2"), world.now)
        .expect("a group");
    world
}

/// A router speaks: its flags, and options behind its own word.
fn advertise(world: &mut World, flags: u8, options: &[u8]) {
    let mut message = vec![134, 0, 0, 0, 64, flags, 7, 8];
    message.extend([0; 8]);
    message.extend(options);
    let group = [0x33, 0x33, 0, 0, 0, 1];
    let frame = frame_of_icmpv6(group, ip("fe80::1"), ip("ff02::1"), 255, &message);
    world.b.receive(&frame, false, world.now);
}

fn option(code: u16, body: &[u8]) -> Vec<u8> {
    [
        &code.to_be_bytes()[..],
        &(body.len() as u16).to_be_bytes(),
        body,
    ]
    .concat()
}

/// An association with an address: seconds until it is asked for again, there and everywhere; for which it is preferred, and valid.
fn association(address: &str, [renew, rebind, preferred, valid]: [u32; 4]) -> Vec<u8> {
    let lent = [
        &octets(address)[..],
        &preferred.to_be_bytes(),
        &valid.to_be_bytes(),
    ]
    .concat();
    let body = [
        &MAC_B[2..],
        &renew.to_be_bytes(),
        &rebind.to_be_bytes(),
        &option(5, &lent),
    ]
    .concat();
    option(3, &body)
}

/// A status of the association.
fn refusal(status: u8) -> Vec<u8> {
    let body = [&MAC_B[2..], &[0; 8], &option(13, &[0, status])].concat();
    option(3, &body)
}

/// What was asked since the last time.
fn questions(world: &mut World) -> Vec<Vec<u8>> {
    let (to, from) = (ip("ff02::1:2"), SocketAddr::new(ip(LINK_B), 546));
    let all = std::mem::take(&mut world.a.sockets.datagrams).into_iter();
    let heard = all.inspect(|(at, by, _)| assert_eq!((at.ip(), *by), (to, from)));
    heard.map(|(_, _, question)| question).collect()
}

/// The next question, which must be of a kind; others of that kind before it are repetitions.
fn question(world: &mut World, kind: u8, within_s: u64) -> Vec<u8> {
    for _ in 0..within_s * 20 {
        if let Some(question) = questions(world).pop() {
            assert_eq!(question[0], kind);
            return question;
        }
        world.pass(SECOND / 20);
    }
    panic!("no question of kind {kind}");
}

/// Whether a question has an option with a body.
fn has(question: &[u8], code: u16, body: &[u8]) -> bool {
    let option = option(code, body);
    question.windows(option.len()).any(|part| part == option)
}

const SERVER: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
const OTHER_SERVER: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 2];

fn answer_of(server: &[u8], world: &mut World, question: &[u8], kind: u8, options: &[u8]) {
    let identifier = [&[0, 3, 0, 1][..], &MAC_B].concat();
    let answer = [
        &[kind][..],
        &question[1..4],
        &option(1, &identifier),
        &option(2, server),
        options,
    ]
    .concat();
    let (from, to) = (
        SocketAddr::new(ip(LINK_A), 547),
        SocketAddr::new(ip(LINK_B), 546),
    );
    world
        .a
        .send_datagram(from, to, &answer, Manner::default(), world.now)
        .expect("a way");
    world.pass(1000);
}

fn answer(world: &mut World, question: &[u8], kind: u8, options: &[u8]) {
    answer_of(&SERVER, world, question, kind, options);
}

/// A server gives an address, with what is said of the association.
fn lend(world: &mut World, options: &[u8]) {
    let solicit = question(world, SOLICIT, 3);
    let preference = option(7, &[255]);
    let offer = [options, &preference].concat();
    answer(world, &solicit, ADVERTISE, &offer);
    let request = question(world, REQUEST, 1);
    assert!(has(&request, 2, &SERVER));
    answer(world, &request, REPLY, options);
}

fn is_ours(world: &World, address: &str) -> bool {
    world.b.has_address(ip(address))
}

#[test]
fn an_address_is_lent_used_and_kept() {
    let mut world = world();
    advertise(&mut world, MANAGED, &[]);
    assert!(world.b.is_configuring_ipv6());
    let mut options = association(LENT, [100, 200, 300, 400]);
    options.extend(option(23, &octets("2001:db8::53")));
    options.extend(option(24, b"\x03lan\x07example\x00"));
    lend(&mut world, &options);
    assert!(!is_ours(&world, LENT), "not before nobody else claimed it");
    let changes = world.b.address_changes();
    world.pass(2 * SECOND);
    assert!(is_ours(&world, LENT) && !world.b.is_configuring_ipv6());
    assert_ne!(world.b.address_changes(), changes);
    assert_eq!(world.b.address_by_dhcp6(), Some(ip(LENT)));
    assert_eq!(
        world.b.router_dns().collect::<Vec<_>>(),
        [ip("2001:db8::53")]
    );
    assert_eq!(
        world.b.router_domains().collect::<Vec<_>>(),
        ["lan.example"]
    );
    assert_eq!(world.b.source_for(ip("2001:db8:9::1")), Some(ip(LENT)));
    // What is beside it is reached as the routers say, not because its address looks alike.
    assert_eq!(world.b.next_hop(ip("2001:db8::78")), Some(ip("fe80::1")));
    assert_eq!(questions(&mut world), [[0u8; 0]; 0]);

    // Other words of routers change nothing; at its time the same server is asked, which gives it for longer.
    advertise(&mut world, MANAGED | OTHER, &[]);
    world.pass(95 * SECOND);
    assert_eq!(questions(&mut world), [[0u8; 0]; 0]);
    let renew = question(&mut world, RENEW, 10);
    assert!(has(&renew, 2, &SERVER) && has(&renew, 8, &[0, 0]));
    answer(&mut world, &renew, REPLY, &options);
    world.pass(99 * SECOND);
    assert_eq!(questions(&mut world), [[0u8; 0]; 0]);

    // Nobody answers: the server, then all are asked, until the lease is over and with it address and names.
    question(&mut world, RENEW, 2);
    world.pass(90 * SECOND);
    questions(&mut world);
    let rebind = question(&mut world, REBIND, 130);
    assert!(!has(&rebind, 2, &SERVER));
    world.pass(195 * SECOND);
    assert!(is_ours(&world, LENT));
    questions(&mut world);
    question(&mut world, SOLICIT, 20);
    assert!(!is_ours(&world, LENT));
    assert_eq!(world.b.address_by_dhcp6(), None);
    assert_eq!(
        (
            world.b.router_dns().count(),
            world.b.router_domains().count()
        ),
        (0, 0)
    );
}

#[test]
fn another_server_takes_a_lease_over_and_may_give_another_address() {
    let mut world = world();
    advertise(&mut world, MANAGED, &[]);
    lend(&mut world, &association(LENT, [10, 20, 300, 400]));
    world.pass(21 * SECOND);
    questions(&mut world);
    let rebind = question(&mut world, REBIND, 30);
    let other = "2001:db8:5::1";
    let options = association(other, [50, 80, 100, 100]);
    answer_of(&OTHER_SERVER, &mut world, &rebind, REPLY, &options);
    assert!(!is_ours(&world, LENT));
    world.pass(2 * SECOND);
    assert!(is_ours(&world, other));
    let renew = question(&mut world, RENEW, 60);
    assert!(has(&renew, 2, &OTHER_SERVER));
    // Taken away at once.
    let options = association(other, [0, 0, 0, 0]);
    answer_of(&OTHER_SERVER, &mut world, &renew, REPLY, &options);
    assert!(!is_ours(&world, other));
    question(&mut world, SOLICIT, 12);
}

#[test]
fn a_server_that_has_forgotten_is_asked_anew() {
    let mut world = world();
    advertise(&mut world, MANAGED, &[]);
    lend(&mut world, &association(LENT, [20, 30, 300, 400]));
    let renew = question(&mut world, RENEW, 30);
    answer(&mut world, &renew, REPLY, &refusal(3));
    let request = question(&mut world, REQUEST, 1);
    assert!(is_ours(&world, LENT));
    answer(
        &mut world,
        &request,
        REPLY,
        &association(LENT, [20, 30, 300, 400]),
    );
    world.pass(2 * SECOND);
    assert!(is_ours(&world, LENT));
    assert_eq!(questions(&mut world), [[0u8; 0]; 0]);
}

#[test]
fn of_several_offers_the_preferred_is_taken_after_the_first_wait() {
    let mut world = world();
    advertise(&mut world, MANAGED, &[]);
    let solicit = question(&mut world, SOLICIT, 3);
    for (server, preference) in [(&SERVER, 1), (&OTHER_SERVER, 9), (&[7; 10], 4)] {
        let mut options = association(LENT, [0, 0, 300, 400]);
        options.extend(option(7, &[preference]));
        answer_of(server, &mut world, &solicit, ADVERTISE, &options);
    }
    // One with nothing to give, however it praises itself.
    let options = [refusal(2), option(7, &[200])].concat();
    answer_of(&[8; 10], &mut world, &solicit, ADVERTISE, &options);
    world.pass(SECOND / 2);
    assert_eq!(questions(&mut world), [[0u8; 0]; 0]);
    let request = question(&mut world, REQUEST, 1);
    assert!(has(&request, 2, &OTHER_SERVER));
    // What others say now is not heard.
    answer(
        &mut world,
        &request,
        REPLY,
        &association("2001:db8::66", [0, 0, 9, 9]),
    );
    assert_eq!(world.b.address_by_dhcp6(), None);
    // The server is silent: after ten questions all are asked again, and the first that offers is taken.
    world.pass(250 * SECOND);
    let asked = questions(&mut world);
    assert_eq!(asked.iter().filter(|one| one[0] == REQUEST).count(), 9);
    question(&mut world, SOLICIT, 300);
    let again = question(&mut world, SOLICIT, 300);
    answer(
        &mut world,
        &again,
        ADVERTISE,
        &association(LENT, [0, 0, 300, 400]),
    );
    let request = question(&mut world, REQUEST, 1);
    assert!(has(&request, 2, &SERVER));
}

#[test]
fn a_refused_request_is_not_repeated_at_once() {
    let mut world = world();
    advertise(&mut world, MANAGED, &[]);
    for _ in 0..3 {
        let solicit = question(&mut world, SOLICIT, 11);
        let offer = [association(LENT, [0, 0, 9, 9]), option(7, &[255])].concat();
        answer(&mut world, &solicit, ADVERTISE, &offer);
        let request = question(&mut world, REQUEST, 1);
        answer(&mut world, &request, REPLY, &refusal(2));
        world.pass(9 * SECOND);
        assert_eq!(questions(&mut world), [[0u8; 0]; 0]);
    }
}

#[test]
fn an_address_that_another_host_has_is_declined() {
    let mut world = world();
    world.a.add_address(ip(LENT), 64, world.now);
    world.pass(SECOND);
    advertise(&mut world, MANAGED, &[]);
    lend(&mut world, &association(LENT, [0, 0, 300, 400]));
    let decline = question(&mut world, DECLINE, 1);
    assert!(has(&decline, 2, &SERVER));
    assert!(!is_ours(&world, LENT));
    answer(&mut world, &decline, REPLY, &[]);
    world.pass(9 * SECOND);
    assert_eq!(questions(&mut world), [[0u8; 0]; 0]);
    lend(&mut world, &association("2001:db8::78", [0, 0, 300, 400]));
    world.pass(2 * SECOND);
    assert!(is_ours(&world, "2001:db8::78") && !is_ours(&world, LENT));
}

#[test]
fn an_address_is_given_back_at_the_end() {
    let mut world = world();
    advertise(&mut world, MANAGED, &[]);
    lend(&mut world, &association(LENT, [0, 0, 300, 400]));
    world.pass(2 * SECOND);
    assert!(is_ours(&world, LENT) && world.b.unsettled() == 0);
    world.b.give_addresses_back(world.now);
    assert!(!is_ours(&world, LENT) && world.b.unsettled() != 0);
    let release = question(&mut world, RELEASE, 1);
    assert!(has(&release, 2, &SERVER));
    assert!(release.windows(16).any(|part| part == octets(LENT)));
    // It is told again until the server says that it knows.
    world.pass(2 * SECOND);
    assert_eq!(
        questions(&mut world).pop().expect("again")[..4],
        release[..4]
    );
    answer(&mut world, &release, REPLY, &[]);
    assert_eq!(world.b.unsettled(), 0);
    world.pass(1000 * SECOND);
    assert_eq!(questions(&mut world), [[0u8; 0]; 0]);
}

#[test]
fn who_hears_nothing_of_what_is_given_back_is_told_four_times() {
    let mut world = world();
    advertise(&mut world, MANAGED, &[]);
    lend(&mut world, &association(LENT, [0, 0, 300, 400]));
    world.pass(2 * SECOND);
    world.b.give_addresses_back(world.now);
    world.pass(1000 * SECOND);
    let kinds: Vec<u8> = questions(&mut world).iter().map(|it| it[0]).collect();
    assert_eq!(
        (kinds.as_slice(), world.b.unsettled()),
        (&[RELEASE; 4][..], 0)
    );
}

#[test]
fn a_lease_for_ever_is_never_asked_for_again() {
    let mut world = world();
    advertise(&mut world, MANAGED, &[]);
    lend(&mut world, &association(LENT, [0, 0, FOR_EVER, FOR_EVER]));
    world.pass(100_000 * SECOND);
    assert!(is_ours(&world, LENT));
    assert_eq!(questions(&mut world), [[0u8; 0]; 0]);
}

#[test]
fn names_alone_are_asked_for_only_where_the_router_does_not_tell_them() {
    // A name server for 256 s, and a domain.
    let told = [
        &[25, 3, 0, 0, 0, 0, 1, 0][..],
        &octets("2001:db8::53"),
        &[31, 3, 0, 0, 0, 0, 1, 0],
        b"\x04home\x07example\x00\0\0",
    ]
    .concat();
    let mut world = world();
    advertise(&mut world, OTHER, &told);
    world.pass(10 * SECOND);
    assert_eq!(questions(&mut world), [[0u8; 0]; 0]);
    assert_eq!(
        world.b.router_domains().collect::<Vec<_>>(),
        ["home.example"]
    );
    world.pass(256 * SECOND);
    assert_eq!(world.b.router_domains().count(), 0);

    advertise(&mut world, OTHER, &[]);
    let asked = question(&mut world, INFORMATION_REQUEST, 2);
    assert!(!has(&asked, 3, &[]), "no address is asked for");
    let names = [
        option(23, &octets("2001:db8::35")),
        option(24, b"\x01x\x07example\x00"),
        option(32, &900u32.to_be_bytes()),
    ]
    .concat();
    answer(&mut world, &asked, REPLY, &names);
    let dns = |world: &World| world.b.router_dns().collect::<Vec<_>>();
    assert_eq!(dns(&world), [ip("2001:db8::35")]);
    assert_eq!(world.b.router_domains().collect::<Vec<_>>(), ["x.example"]);
    world.pass(890 * SECOND);
    assert_eq!(questions(&mut world), [[0u8; 0]; 0]);
    question(&mut world, INFORMATION_REQUEST, 11);
    assert_eq!(
        dns(&world),
        [ip("2001:db8::35")],
        "as long as it may be answered"
    );
    world.pass(100 * SECOND);
    assert!(dns(&world).is_empty());
    // Then the router says that there are addresses too.
    questions(&mut world);
    advertise(&mut world, MANAGED, &[]);
    lend(&mut world, &association(LENT, [0, 0, 300, 400]));
    world.pass(2 * SECOND);
    assert!(is_ours(&world, LENT));
}

#[test]
fn connections_wait_for_the_address() {
    let mut world = world();
    advertise(&mut world, MANAGED, &[]);
    world.a.sockets.listening.push(80);
    world.a.add_address(ip("2001:db8::1"), 64, world.now);
    world.b.add_route(ip("2001:db8::"), 64, None);
    let any = SocketAddr::new(ip("::"), 0);
    let to = SocketAddr::new(ip("2001:db8::1"), 80);
    let slot = world
        .b
        .connect((), any, to, Settings::default(), world.now)
        .expect("is begun later");
    lend(&mut world, &association(LENT, [0, 0, 300, 400]));
    world.pass(3 * SECOND);
    let (_, tuple) = world.a.sockets.accepted.pop_front().expect("a connection");
    assert_eq!(tuple.remote().ip(), ip(LENT));
    world.b.release(slot, true, world.now);
}

#[test]
fn what_is_said_without_being_asked_is_not_heard() {
    let mut world = world();
    advertise(&mut world, MANAGED, &[]);
    let solicit = question(&mut world, SOLICIT, 3);
    let mut other = solicit.clone();
    other[3] ^= 1;
    let offer = [association(LENT, [0, 0, 9, 9]), option(7, &[255])].concat();
    answer(&mut world, &other, ADVERTISE, &offer);
    answer(&mut world, &solicit, REPLY, &offer);
    for cut in 4..solicit.len() {
        let (from, to) = (ip(LINK_A), ip(LINK_B));
        let (from, to) = (SocketAddr::new(from, 547), SocketAddr::new(to, 546));
        let mut lie = solicit[..cut].to_vec();
        lie[0] = ADVERTISE;
        let sent = world
            .a
            .send_datagram(from, to, &lie, Manner::default(), world.now);
        assert_eq!(sent, Ok(()));
    }
    world.pass(SECOND / 10);
    assert_eq!(questions(&mut world), [[0u8; 0]; 0]);
    assert_eq!(world.b.address_by_dhcp6(), None);
}
