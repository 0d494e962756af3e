//! Crowds of Linux's clients that come and go in all ways, and floods of frames from strangers: those who behave are served, and
//! afterwards everything is as it was, memory too.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use vm_tests::crowd::{
    CALLBACKS, Census, Crowd, DATAGRAMS, THREADS, ask_for, begin, connect, download, echo, pattern,
    upload, will_reset,
};
use vm_tests::frame::{Ipv4, Tcp, arp, datagram, ethernet, icmp, protocol};
use vm_tests::relay::{Chance, GUEST, GUEST_MAC, LINUX, LINUX_MAC};
use vm_tests::wire::flag;
use vm_tests::{Size, namespace};

/// Clients at the same time, and those of them that vanish in a test.
const AT_ONCE: u64 = 8;
const VANISHING: usize = 300;

/// How many come: as the environment variable TORO_CROWD says, or few thousand.
fn size_of_crowd() -> u64 {
    let size = std::env::var("TORO_CROWD").ok();
    size.and_then(|text| text.parse().ok()).unwrap_or(3000)
}

/// One client's visit. Those who vanish stay in `vanished`, so that nobody else gets their ports.
fn visit(
    crowd: &Crowd,
    chance: &mut Chance,
    vanished: &Mutex<Vec<TcpStream>>,
) -> std::io::Result<()> {
    let port = [THREADS, CALLBACKS][usize::from(chance.below(3) == 0)];
    let to = crowd.relay.address(port);
    let bytes = pattern(2 + chance.below(3000) as u32);
    match chance.below(20) {
        0..6 => {
            let mut stream = connect(to, None)?;
            let wish = usize::from(port == THREADS);
            stream.write_all(&[&b"e"[1 - wish..], &bytes].concat())?;
            let mut back = vec![0; bytes.len()];
            stream.read_exact(&mut back)?;
            assert!(back == bytes, "it is not the same");
        }
        // Come and gone, in order and by a reset.
        6 => drop(connect(to, None)?),
        7 => will_reset(&connect(to, None)?)?,
        8 | 9 => {
            let mut stream = connect(to, None)?;
            will_reset(&stream)?;
            stream.write_all(&bytes)?;
            if chance.below(2) == 0 {
                stream.read_exact(&mut [0; 1])?;
            }
        }
        // Sends, then listens only.
        10 | 11 => upload(&mut connect(crowd.relay.address(THREADS), None)?, &bytes)?,
        12 => {
            let mut stream = connect(crowd.relay.address(CALLBACKS), None)?;
            stream.write_all(&bytes)?;
            stream.shutdown(Shutdown::Write)?;
            let mut back = Vec::new();
            stream.read_to_end(&mut back)?;
            assert!(back == bytes, "it is not the same");
        }
        // Asks for much and goes before it has come.
        13 | 14 => {
            let mut stream = connect(crowd.relay.address(THREADS), None)?;
            ask_for(&mut stream, 1 << 20)?;
            stream.read_exact(&mut vec![0; 1 + chance.below(5000) as usize])?;
        }
        15 | 16 => {
            let mut stream = connect(crowd.relay.address(THREADS), Some(1500))?;
            let between = Duration::from_millis(chance.below(3));
            download(&mut stream, 20_000, 3000, between)?;
        }
        // Writes slowly.
        17 | 18 => {
            let mut stream = connect(crowd.relay.address(THREADS), None)?;
            stream.write_all(b"e")?;
            for byte in 0..8 {
                stream.write_all(&[byte])?;
                thread::sleep(Duration::from_millis(chance.below(4)));
            }
            stream.read_exact(&mut [0; 8])?;
        }
        _ => {
            let mut stream = connect(to, None)?;
            if chance.below(2) == 0 {
                stream.write_all(&bytes)?;
            }
            let mut vanished = vanished.lock().expect("nobody panics with it");
            if vanished.len() < VANISHING {
                crowd.relay.silence(&stream);
                vanished.push(stream);
            }
        }
    }
    Ok(())
}

/// So many visits.
fn visits(crowd: &Crowd, count: u64, seed: u64, vanished: &Mutex<Vec<TcpStream>>) {
    thread::scope(|scope| {
        for client in 0..AT_ONCE {
            scope.spawn(move || {
                let mut chance = Chance::new(seed + client);
                for number in 0..count / AT_ONCE {
                    let visit = visit(crowd, &mut chance, vanished);
                    visit.unwrap_or_else(|error| panic!("client {client}, {number}: {error}"));
                }
            });
        }
    });
}

/// Waits until all of the first have gone, whatever the allocators keep then for those that come later.
fn settled(crowd: &Crowd, start: Census) -> Census {
    crowd.wait_for_rest(Census {
        free_kib: 0,
        ..start
    })
}

/// Rounds of visits, one of which must cost less memory than this.
const ROUNDS_MAX: u64 = 6;
const LOSS_KIB: u64 = 48;

#[test]
fn thousands_of_clients_come_and_go_in_all_ways_and_leave_nothing() {
    let test = "crowds::thousands_of_clients_come_and_go_in_all_ways_and_leave_nothing";
    if !namespace::enter(test, &["test-crowd"]) {
        return;
    }
    let crowd = Crowd::start(1, "virtio-net-pci");
    let vanished = Mutex::default();
    let start = crowd.census();
    // The first crowds have tables and caches grow, as far as the luckiest meeting of clients has them grow. What is lost by each client is
    // lost in every round.
    let mut free_kib = Vec::new();
    for round in 0..ROUNDS_MAX {
        visits(&crowd, size_of_crowd(), 1000 * round, &vanished);
        free_kib.push(settled(&crowd, start).free_kib);
        if let [.., before, after] = free_kib[..]
            && after + LOSS_KIB >= before
        {
            return;
        }
    }
    panic!("free memory in KiB after each round: {free_kib:?}");
}

#[test]
fn many_connections_at_once_are_served_and_leave_nothing() {
    let test = "crowds::many_connections_at_once_are_served_and_leave_nothing";
    if !namespace::enter(test, &["test-crowd"]) {
        return;
    }
    let crowd = Crowd::start(2, "virtio-net-pci");
    let start = crowd.census();
    let together = || {
        let ports = [(CALLBACKS, 500), (THREADS, 100)];
        let ports = ports
            .into_iter()
            .flat_map(|(port, count)| std::iter::repeat_n(port, count));
        let streams: Vec<TcpStream> = ports.map(|port| crowd.connect(port)).collect();
        for (number, mut stream) in streams.iter().enumerate() {
            stream
                .write_all(format!("client {number:4}").as_bytes())
                .unwrap();
        }
        for (number, mut stream) in streams.iter().enumerate() {
            // The first byte says what is wanted of a thread.
            let mut back = [0; 11];
            let back = &mut back[usize::from(number >= 500)..];
            stream.read_exact(back).unwrap();
            assert!(format!("client {number:4}").as_bytes().ends_with(back));
            if number % 2 == 0 {
                will_reset(stream).unwrap();
            }
        }
        let here = crowd.census();
        assert!(here.connections >= 600, "{here:?}");
    };
    together();
    let before = settled(&crowd, start);
    together();
    crowd.wait_for_rest(before);
}

/// Connections begun at once.
const BURST: usize = 512;

#[test]
fn a_burst_of_connections_of_a_host_that_is_not_known_yet_loses_none() {
    let test = "crowds::a_burst_of_connections_of_a_host_that_is_not_known_yet_loses_none";
    if !namespace::enter(test, &["test-crowd"]) {
        return;
    }
    for (seed, card) in [
        (20, "virtio-net-pci"),
        (21, "e1000"),
        (22, "tulip"),
        (23, "pcnet"),
        (24, "rtl8139"),
    ] {
        // Nobody has spoken with the machine, and Linux need not ask for it, so that it has to ask.
        let crowd = Crowd::start_unknown(seed, card);
        let to = crowd.relay.address(THREADS);
        let mut streams: Vec<TcpStream> = (0..BURST).map(|_| begin(to).unwrap()).collect();
        for stream in &mut streams {
            stream.write_all(b"e and back").unwrap();
        }
        for stream in &mut streams {
            let mut back = [0; 9];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(&back, b" and back");
        }
        let here = crowd.census();
        assert_eq!(here.dropped, 0, "{card}: {here:?}");
    }
}

/// Frames of strangers, by number.
type Flood = fn(&mut Chance, peer: u16) -> Vec<u8>;

fn v4(packet: &[u8]) -> Vec<u8> {
    ethernet(GUEST_MAC, LINUX_MAC, 0x0800, packet)
}

/// Anybody: on the link or far away.
fn anybody(chance: &mut Chance) -> Ipv4Addr {
    let [.., a, b, c, d] = chance.next().to_be_bytes();
    match d % 2 {
        0 => Ipv4Addr::new(10, 78, 0, 3 + c % 250),
        _ => Ipv4Addr::new(1 + a % 200, a, b, c),
    }
}

fn segment(chance: &mut Chance, from: Ipv4Addr, from_port: u16, flags: u8) -> Vec<u8> {
    let segment = Tcp {
        from_port,
        to_port: [THREADS, CALLBACKS][chance.below(2) as usize],
        sequence: chance.next() as u32,
        acknowledgement: chance.next() as u32,
        flags,
        offset: None,
        options: &[],
        content: &[0x20; 8][..chance.below(8) as usize],
    };
    let segment = segment.segment(from, GUEST);
    v4(&Ipv4::new(from, GUEST, protocol::TCP).packet(&segment))
}

const FLOODS: [(&str, Flood); 9] = [
    ("requests for connections", |chance, _| {
        let from = anybody(chance);
        let port = chance.next() as u16;
        segment(chance, from, port, flag::SYN)
    }),
    ("resets", |chance, peer| {
        segment(chance, LINUX, peer, flag::RST)
    }),
    (
        "requests and acknowledgements of a connection",
        |chance, peer| {
            let flags = [flag::SYN, flag::ACK, flag::FIN | flag::ACK, 0, 0xFF];
            let flags = flags[chance.below(5) as usize];
            segment(chance, LINUX, peer, flags)
        },
    ),
    ("questions of ARP", |chance, _| {
        let sender = anybody(chance);
        let [.., a, b, c, d] = chance.next().to_be_bytes();
        let packet = arp(1, [2, 9, a, b, c, d], sender, GUEST);
        ethernet(GUEST_MAC, LINUX_MAC, 0x0806, &packet)
    }),
    ("answers of ARP", |chance, _| {
        let sender = anybody(chance);
        let packet = arp(2, [2, 9, 0, 0, 0, 1], sender, anybody(chance));
        ethernet([0xFF; 6], LINUX_MAC, 0x0806, &packet)
    }),
    ("pings", |chance, _| {
        let from = anybody(chance);
        let message = icmp(8, 0, [1, 2, 3, 4], &[0x55; 1000]);
        v4(&Ipv4::new(from, GUEST, protocol::ICMP).packet(&message))
    }),
    ("datagrams to nobody and to a slow reader", |chance, _| {
        let from = anybody(chance);
        let port = [DATAGRAMS, chance.next() as u16][chance.below(2) as usize];
        let datagram = datagram((from, 9), (GUEST, port), &[0x66; 500]);
        v4(&Ipv4::new(from, GUEST, protocol::UDP).packet(&datagram))
    }),
    ("parts of packets that never are whole", |chance, _| {
        let packet = Ipv4 {
            id: chance.next() as u16,
            fragment: 0x2000 | chance.below(0x1FFF) as u16,
            ..Ipv4::new(anybody(chance), GUEST, protocol::UDP)
        };
        v4(&packet.packet(&[0x77; 800]))
    }),
    ("errors about what was never sent", |chance, peer| {
        let quoted = segment(chance, GUEST, THREADS, flag::ACK);
        let mut quoted = quoted[14..].to_vec();
        quoted[12..20].copy_from_slice(&[GUEST.octets(), LINUX.octets()].concat());
        quoted[22..24].copy_from_slice(&peer.to_be_bytes());
        let (kind, code) = [(3, 1), (3, 3), (3, 4), (11, 0)][chance.below(4) as usize];
        let message = icmp(kind, code, [0, 0, 0, 68], &quoted);
        v4(&Ipv4::new(LINUX, GUEST, protocol::ICMP).packet(&message))
    }),
];

#[test]
fn who_holds_all_connections_keeps_nobody_out() {
    let test = "crowds::who_holds_all_connections_keeps_nobody_out";
    if !namespace::enter(test, &["test-crowd"]) {
        return;
    }
    let crowd = Crowd::start_small(5, "virtio-net-pci", Size::mib(12));
    let start = crowd.census();
    crowd_out(&crowd);
    let before = settled(&crowd, start);
    crowd_out(&crowd);
    crowd.wait_for_rest(before);
}

/// One address asks for more connections than there is room for, and others come from another network.
fn crowd_out(crowd: &Crowd) {
    let mut idle: Vec<_> = (0..960).map(|_| crowd.connect(CALLBACKS)).collect();
    for stream in &mut idle {
        // It may have given way already.
        let _ = stream.write_all(b"GET");
    }
    let others: Vec<_> = (0..10)
        .map(|_| {
            let stream = connect(crowd.relay.address_v6(CALLBACKS), None).unwrap();
            echo(&stream, b"served all the same");
            stream
        })
        .collect();
    others.iter().for_each(|stream| echo(stream, b"still"));
    let gave_way = idle.iter().filter(|stream| {
        stream.set_nonblocking(true).unwrap();
        // What was sent may come back before the end does.
        let read = || Read::read(&mut &**stream, &mut [0; 3]);
        let end = read().and_then(|_| read());
        end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
    });
    assert!(gave_way.count() >= others.len());
}

#[test]
fn floods_of_frames_harm_nobody_and_leave_nothing() {
    let test = "crowds::floods_of_frames_harm_nobody_and_leave_nothing";
    if !namespace::enter(test, &["test-crowd"]) {
        return;
    }
    let crowd = Crowd::start(3, "virtio-net-pci");
    let start = crowd.census();
    let bytes = pattern(20_000);
    let flood = |frames: u64, seed: u64| {
        let mut living = crowd.connect(THREADS);
        living.write_all(b"e").unwrap();
        let SocketAddr::V4(own) = living.local_addr().unwrap() else {
            panic!("of IPv4");
        };
        let mut chance = Chance::new(seed);
        for (name, flood) in FLOODS {
            thread::scope(|scope| {
                scope.spawn(|| echo(&living, &bytes));
                for _ in 0..frames {
                    crowd.relay.inject(flood(&mut chance, own.port()));
                }
            });
            // And those who come now are served.
            upload(&mut crowd.connect(THREADS), &bytes).unwrap();
            echo(&crowd.connect(CALLBACKS), name.as_bytes());
        }
        echo(&living, b"to the end");
    };
    flood(1000, 1);
    let before = settled(&crowd, start);
    flood(size_of_crowd(), 2);
    crowd.wait_for_rest(before);
}
