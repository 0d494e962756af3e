//! What `AF_NETLINK` and `ioctl` tell of interfaces, and `/proc/net` of sockets: as far as it is the same on every machine.

use crate::show;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

pub(crate) fn steps() {
    dumps();
    requests();
    tables();
}

type Outcome<T> = Result<T, Option<i32>>;

fn checked(result: isize) -> Outcome<isize> {
    match result {
        -1 => Err(io::Error::last_os_error().raw_os_error()),
        result => Ok(result),
    }
}

fn open(protocol: i32) -> Outcome<OwnedFd> {
    // SAFETY: a descriptor that nobody else has.
    unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let descriptor = checked(libc::socket(libc::AF_NETLINK, kind, protocol) as isize)?;
        Ok(OwnedFd::from_raw_fd(descriptor as i32))
    }
}

/// A message as it came: its kind, its flags, and what is behind the header.
struct Message {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Message {
    fn word(&self, at: usize) -> i32 {
        i32::from_ne_bytes(self.body[at..at + 4].try_into().expect("four bytes"))
    }

    fn attribute(&self, fixed: usize, wanted: u16) -> Option<&[u8]> {
        let mut rest = &self.body[fixed..];
        while rest.len() >= 4 {
            let len = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
            if u16::from_ne_bytes([rest[2], rest[3]]) == wanted {
                return Some(&rest[4..len]);
            }
            rest = &rest[len.next_multiple_of(4).min(rest.len())..];
        }
        None
    }
}

/// Sends a request and takes what comes until the end of it.
fn ask(kind: u16, flags: u16, body: &[u8]) -> Outcome<Vec<Message>> {
    let socket = open(0)?;
    let mut request = Vec::new();
    request.extend_from_slice(&(16 + body.len() as u32).to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
    request.extend_from_slice(&7u32.to_ne_bytes());
    request.extend_from_slice(&0u32.to_ne_bytes());
    request.extend_from_slice(body);
    let descriptor = socket.as_raw_fd();
    // SAFETY: the buffer and its length belong together.
    checked(unsafe { libc::send(descriptor, request.as_ptr().cast(), request.len(), 0) })?;
    let mut messages = Vec::new();
    loop {
        let mut buf = vec![0u8; 64 << 10];
        // SAFETY: as above.
        let len =
            checked(unsafe { libc::recv(descriptor, buf.as_mut_ptr().cast(), buf.len(), 0) })?;
        let mut rest = &buf[..len as usize];
        while rest.len() >= 16 {
            let len = u32::from_ne_bytes(rest[..4].try_into().expect("four bytes")) as usize;
            let message = Message {
                kind: u16::from_ne_bytes([rest[4], rest[5]]),
                flags: u16::from_ne_bytes([rest[6], rest[7]]),
                body: rest[16..len].to_vec(),
            };
            assert_eq!(rest[8..12], 7u32.to_ne_bytes(), "the number of the request");
            let is_last = message.flags & libc::NLM_F_MULTI as u16 == 0
                || i32::from(message.kind) == libc::NLMSG_DONE;
            messages.push(message);
            if is_last {
                return Ok(messages);
            }
            rest = &rest[len.next_multiple_of(4).min(rest.len())..];
        }
    }
}

fn dumps() {
    let dump = (libc::NLM_F_ROOT | libc::NLM_F_MATCH) as u16;
    let links = ask(libc::RTM_GETLINK, dump, &[0; 16]).expect("links");
    let ends = links
        .last()
        .map(|last| (i32::from(last.kind), last.word(0)));
    show!("the end of what was asked for", ends);
    let is_loopback =
        |message: &&Message| message.attribute(16, libc::IFLA_IFNAME) == Some(b"lo\0");
    let loopback = links.iter().find(is_loopback).expect("the loopback");
    show!(
        "its number and flags",
        (loopback.word(4), loopback.word(8) & 0x9),
    );
    show!(
        "its hardware address",
        loopback.attribute(16, libc::IFLA_ADDRESS),
    );
    let addresses = ask(
        libc::RTM_GETADDR,
        dump,
        &[libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0],
    );
    let addresses = addresses.expect("addresses");
    let own = addresses
        .iter()
        .find(|one| one.kind == libc::RTM_NEWADDR && one.word(4) == 1);
    let own = own.expect("the loopback's");
    show!("its address", own.attribute(8, libc::IFA_LOCAL));
    show!("family, prefix, flags and scope", &own.body[..4]);
    let mut way = vec![libc::AF_INET as u8, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    way.extend_from_slice(&[8, 0, libc::RTA_DST as u8, 0, 127, 0, 0, 1]);
    let way = ask(libc::RTM_GETROUTE, 0, &way).expect("a way");
    show!(
        "the interface to ourselves",
        way[0].attribute(12, libc::RTA_OIF),
    );
    show!("and the address", way[0].attribute(12, libc::RTA_PREFSRC));
    let mut named = vec![0; 16];
    named.extend_from_slice(b"\x0b\0\x03\0nobody\0\0");
    let unknown = ask(libc::RTM_GETLINK, 0, &named).expect("an answer");
    show!(
        "an unknown interface",
        (unknown[0].kind, unknown[0].word(0)),
    );
    let short = ask(libc::RTM_GETLINK, 0, &[0; 4]).expect("an answer");
    show!(
        "a request that is cut off",
        (short[0].kind, short[0].word(0)),
    );
    let confirmed = ask(libc::NLMSG_NOOP as u16, libc::NLM_F_ACK as u16, &[]).expect("an answer");
    show!(
        "a confirmation",
        (
            confirmed[0].kind,
            confirmed[0].word(0),
            confirmed[0].body.len(),
        ),
    );
    show!("an unknown protocol", open(31).err());
    memberships();
    let socket = open(0).expect("a socket");
    let mut buf = [0u8; 4];
    // SAFETY: the buffer and its length belong together.
    let nothing = checked(unsafe {
        libc::recv(
            socket.as_raw_fd(),
            buf.as_mut_ptr().cast(),
            4,
            libc::MSG_DONTWAIT,
        )
    });
    show!("nothing to read", nothing);
}

/// Groups are joined by the address and by options; who changes nothing tells nothing.
fn memberships() {
    let socket = open(0).expect("a socket");
    let descriptor = socket.as_raw_fd();
    let name = || {
        // SAFETY: a structure of integers, for which zeros are values; the pointers lead to it and its length.
        unsafe {
            let mut address: libc::sockaddr_nl = std::mem::zeroed();
            let mut len = size_of_val(&address) as libc::socklen_t;
            let place = (&raw mut address).cast();
            checked(libc::getsockname(descriptor, place, &raw mut len) as isize)?;
            Ok::<_, Option<i32>>((address.nl_pid != 0, address.nl_groups))
        }
    };
    show!("before it is bound", name());
    // SAFETY: as above.
    let bound = unsafe {
        let mut address: libc::sockaddr_nl = std::mem::zeroed();
        address.nl_family = libc::AF_NETLINK as u16;
        address.nl_groups = (libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_ROUTE) as u32;
        let len = size_of_val(&address) as libc::socklen_t;
        checked(libc::bind(descriptor, (&raw const address).cast(), len) as isize)
    };
    show!("bound to groups", (bound, name()));
    let member = |option, group: u32| {
        let len = size_of_val(&group) as libc::socklen_t;
        // SAFETY: the pointer leads to a number, and its length.
        checked(unsafe {
            let value = (&raw const group).cast();
            libc::setsockopt(descriptor, libc::SOL_NETLINK, option, value, len) as isize
        })
    };
    let joined =
        [0, libc::RTNLGRP_LINK, 1000].map(|group| member(libc::NETLINK_ADD_MEMBERSHIP, group));
    show!("more groups", (joined, name()));
    let left = member(libc::NETLINK_DROP_MEMBERSHIP, libc::RTNLGRP_IPV4_IFADDR);
    show!("one less", (left, name()));
    for option in [
        libc::NETLINK_BROADCAST_ERROR,
        libc::NETLINK_NO_ENOBUFS,
        libc::NETLINK_CAP_ACK,
        libc::NETLINK_EXT_ACK,
        libc::NETLINK_GET_STRICT_CHK,
        99,
    ] {
        show!("an option that is on or off", member(option, 1));
    }
    let mut list = [0u32; 2];
    let mut len = size_of_val(&list) as libc::socklen_t;
    // SAFETY: the pointers lead to numbers and their length.
    let listed = checked(unsafe {
        let option = libc::NETLINK_LIST_MEMBERSHIPS;
        let value = list.as_mut_ptr().cast();
        libc::getsockopt(descriptor, libc::SOL_NETLINK, option, value, &raw mut len) as isize
    });
    show!("the list of them", (listed, list[0]));
    let mut poll = libc::pollfd {
        fd: descriptor,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one structure, as is said.
    let ready = checked(unsafe { libc::poll(&raw mut poll, 1, 0) } as isize);
    show!("nothing has changed", (ready, poll.revents));
}

fn requests() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let ask = |request, name: &str| {
        let mut place = [0u8; 40];
        place[..name.len()].copy_from_slice(name.as_bytes());
        // SAFETY: a `struct ifreq`.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), request, place.as_mut_ptr()) };
        checked(result as isize).map(|_| place[16..24].to_vec())
    };
    show!(
        "its number",
        ask(libc::SIOCGIFINDEX, "lo").map(|told| told[..4].to_vec()),
    );
    show!("its address", ask(libc::SIOCGIFADDR, "lo"));
    show!("its mask", ask(libc::SIOCGIFNETMASK, "lo"));
    show!("its hardware", ask(libc::SIOCGIFHWADDR, "lo"));
    show!("up", ask(libc::SIOCGIFFLAGS, "lo").map(|told| told[0] & 9));
    show!("of nobody", ask(libc::SIOCGIFMTU, "nobody"));
}

/// The row of a table that has a port, in columns.
fn row(table: &str, port: u16, state: &str) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/net/{table}")).expect("a table");
    let words = |line: &str| {
        line.split_whitespace()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    let port = format!(":{port:04X}");
    let rows = text.lines().skip(1).map(words);
    let is_it = |row: &Vec<String>| row[1].ends_with(&port) && row[3] == state;
    rows.into_iter().find(is_it).unwrap_or_default()
}

fn tables() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let client = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    let known = row("tcp", port, "0A");
    show!("a listener", (known.len(), &known[2], &known[4]));
    let link = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd()));
    let link = link.expect("a link").to_string_lossy().into_owned();
    show!(
        "is the descriptor's",
        link == format!("socket:[{}]", known[9]),
    );
    // SAFETY: a structure of integers, for which zeros are values.
    let number = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        libc::fstat(listener.as_raw_fd(), &raw mut stat);
        stat.st_ino
    };
    show!("and its number", number.to_string() == known[9]);
    let waiting = row("tcp", port, "01");
    show!(
        "a connection that nobody accepted",
        (&waiting[9], &waiting[4]),
    );
    let (mut server, _) = listener.accept().expect("accepted");
    io::Write::write_all(&mut &client, b"seven b").expect("sent");
    let mut one = [0];
    io::Read::read_exact(&mut server, &mut one).expect("one byte");
    show!("what waits to be read", &row("tcp", port, "01")[4]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = socket.local_addr().expect("an address").port();
    let known = row("udp", port, "07");
    show!("datagrams", (known.len(), &known[2]));
    let wide = UdpSocket::bind("[::1]:0").expect("a port");
    let port = wide.local_addr().expect("an address").port();
    let known = row("udp6", port, "07");
    show!("of IPv6", known[1].split(':').next());
}
