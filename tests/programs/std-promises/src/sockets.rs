//! What sockets promise beyond `std::net`: urgent data of TCP, datagrams that did not arrive, times of arrival, and what is told of a connection.

use crate::show;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

pub(crate) fn steps() {
    urgent();
    inherited();
    undelivered();
    timed();
    connection();
    connecting();
    late_port();
    cut();
    alike();
    device();
    counters();
}

/// `connect` of what is connected, is connecting, listens, or was refused.
fn connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = listener.local_addr().expect("an address");
    let again = |socket: &OwnedFd, to: SocketAddr| {
        let SocketAddr::V4(to) = to else {
            unreachable!("bound to IPv4")
        };
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: to.port().to_be(),
            sin_addr: libc::in_addr {
                s_addr: u32::from(*to.ip()).to_be(),
            },
            sin_zero: [0; 8],
        };
        let len = size_of_val(&address) as u32;
        // SAFETY: the address is that long.
        checked(
            unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), len) } as isize,
        )
    };
    let socket = |flags| {
        // SAFETY: the descriptor that is made belongs to nobody else.
        unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_STREAM | flags, 0)) }
    };
    let client = socket(0);
    show!("connect", (again(&client, to), again(&client, to)));
    show!("connect what listens", again(&listener.into(), to));
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let nobody = port.expect("an address");
    let client = socket(0);
    show!("refused", again(&client, nobody));
    let client = socket(libc::SOCK_NONBLOCK);
    let started = again(&client, nobody);
    let writable = wait_for(&client, libc::POLLOUT);
    let error = get(&client, libc::SOL_SOCKET, libc::SO_ERROR);
    show!("refused later", (started, writable, error));
    // Two fill the queue of this one, and the third is not answered.
    let full = socket(0);
    // SAFETY: no pointers but to a local address.
    let bound = unsafe {
        let any = libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: 0,
            sin_addr: libc::in_addr {
                s_addr: u32::from(std::net::Ipv4Addr::LOCALHOST).to_be(),
            },
            sin_zero: [0; 8],
        };
        let len = size_of_val(&any) as u32;
        libc::bind(full.as_raw_fd(), (&raw const any).cast(), len);
        libc::listen(full.as_raw_fd(), 0);
        TcpListener::from(full)
    };
    let to = bound.local_addr().expect("an address");
    let first = socket(0);
    let third = socket(libc::SOCK_NONBLOCK);
    show!("the queue is full", again(&first, to));
    let started = again(&third, to);
    show!("connecting", started);
    show!("is connecting", again(&third, to));
    // SAFETY: no pointers.
    let end = checked(unsafe { libc::shutdown(third.as_raw_fd(), libc::SHUT_RDWR) } as isize);
    show!("given up", end);
}

/// Where an address is bound without a port, `connect` and `listen` choose it.
fn late_port() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = loopback(listener.local_addr().expect("an address").port());
    let late = || {
        // SAFETY: the descriptor that is made belongs to nobody else.
        let socket: TcpStream =
            unsafe { FromRawFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0)) };
        let option = libc::IP_BIND_ADDRESS_NO_PORT;
        show!("late", set(&socket, libc::IPPROTO_IP, option, 1));
        show!("is late", get(&socket, libc::IPPROTO_IP, option));
        show!("bound", with_address(&socket, &loopback(0), libc::bind));
        show!("port", socket.local_addr().expect("an address").port());
        show!(
            "bound again",
            with_address(&socket, &loopback(0), libc::bind)
        );
        socket
    };
    let has_port = |socket: &TcpStream| socket.local_addr().map(|address| address.port() != 0).ok();
    let client = late();
    show!("connected", with_address(&client, &to, libc::connect));
    show!("has a port", has_port(&client));
    let peer = listener.accept().expect("accepted").1;
    show!("the same", Some(peer) == client.local_addr().ok());
    let server = late();
    // SAFETY: no pointers.
    let listens = checked(unsafe { libc::listen(server.as_raw_fd(), 1) } as isize);
    show!("listens", listens);
    show!("has a port", has_port(&server));
    show!(
        "is reached",
        TcpStream::connect(server.local_addr().expect("an address")).is_ok()
    );
}

pub(crate) fn loopback(port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(std::net::Ipv4Addr::LOCALHOST).to_be(),
        },
        sin_zero: [0; 8],
    }
}

pub(crate) type OfAddress = unsafe extern "C" fn(i32, *const libc::sockaddr, u32) -> i32;

pub(crate) fn with_address(
    socket: &impl AsRawFd,
    address: &libc::sockaddr_in,
    call: OfAddress,
) -> Result<isize, Option<i32>> {
    let len = size_of_val(address) as u32;
    // SAFETY: the address is that long.
    checked(unsafe { call(socket.as_raw_fd(), (&raw const *address).cast(), len) } as isize)
}

/// The bytes of one call go out in datagrams of one length.
fn cut() {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let to = receiver.local_addr().expect("an address");
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let segment = |value| set(&sender, libc::SOL_UDP, libc::UDP_SEGMENT, value);
    let mut buf = [0; 64];
    let mut lens = |count: usize| -> Vec<_> {
        (0..count)
            .map(|_| receiver.recv(&mut buf).expect("a datagram"))
            .collect()
    };
    show!("cut into", (segment(-1), segment(1 << 16), segment(10)));
    show!("as set", get(&sender, libc::SOL_UDP, libc::UDP_SEGMENT));
    show!("cut", sender.send_to(&[1; 25], to).ok());
    show!("pieces", lens(3));
    show!("short enough", sender.send_to(&[1; 10], to).ok());
    show!("one piece", lens(1));
    let error = |result: io::Result<usize>| result.map_err(|error| error.raw_os_error());
    show!("128", error(sender.send_to(&[1; 1280], to)));
    show!("pieces of it", lens(128).iter().sum::<usize>());
    show!("more than 128", error(sender.send_to(&[1; 1281], to)));
    show!("too long", error(sender.send_to(&[1; 65508], to)));
    show!(
        "whole again",
        (segment(0), sender.send_to(&[1; 25], to).ok(), lens(1))
    );
}

/// Datagrams that are alike are received at once (`UDP_GRO`), if that is asked for.
fn alike() {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let to = receiver.local_addr().expect("an address");
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
    show!("of none", get(&receiver, libc::SOL_UDP, libc::UDP_GRO));
    show!("asked for", set(&receiver, libc::SOL_UDP, libc::UDP_GRO, 1));
    show!("is", get(&receiver, libc::SOL_UDP, libc::UDP_GRO));
    show!(
        "cut into",
        set(&sender, libc::SOL_UDP, libc::UDP_SEGMENT, 10)
    );
    for len in [25, 10, 40] {
        show!("sent", sender.send_to(&[1; 64][..len], to).ok());
        show!("at once", receive_told(&receiver));
    }
    show!("not again", set(&receiver, libc::SOL_UDP, libc::UDP_GRO, 0));
    show!("sent", sender.send_to(&[1; 25], to).ok());
    show!("one by one", [(); 3].map(|()| receive_told(&receiver)));
}

/// The length of what was received, and of each datagram of it, if that is told.
fn receive_told(socket: &UdpSocket) -> (isize, Option<i32>) {
    let (mut buf, mut control) = ([0_u8; 1000], [0_u64; 8]);
    let mut part = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    // SAFETY: a structure of integers and pointers; all places are there during the call.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        let len = libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0);
        let header = libc::CMSG_FIRSTHDR(&raw const message).as_ref();
        let told = header.filter(|header| {
            (header.cmsg_level, header.cmsg_type) == (libc::SOL_UDP, libc::UDP_GRO)
        });
        (
            len,
            told.map(|header| libc::CMSG_DATA(header).cast::<i32>().read_unaligned()),
        )
    }
}

/// A socket that keeps to one interface.
fn device() {
    let device = |socket: &UdpSocket, name: &str| {
        let (name, len) = (name.as_ptr().cast(), name.len() as u32);
        let option = libc::SO_BINDTODEVICE;
        // SAFETY: the name is that long.
        checked(
            unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, name, len) }
                as isize,
        )
    };
    let name = |socket: &UdpSocket| {
        let (mut name, mut len) = ([0_u8; 16], 16);
        let option = libc::SO_BINDTODEVICE;
        // SAFETY: the place is that long.
        let result = unsafe {
            let place = name.as_mut_ptr().cast();
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                place,
                &raw mut len,
            )
        };
        (
            result,
            String::from_utf8_lossy(&name[..len as usize]).into_owned(),
        )
    };
    let new = || -> UdpSocket {
        // SAFETY: the descriptor that is made belongs to nobody else.
        unsafe { FromRawFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)) }
    };
    let socket = new();
    show!("of none", (name(&socket), device(&socket, "")));
    show!("there is none", device(&socket, "nowhere0"));
    let by_number = |number| set(&socket, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, number);
    show!("nor of these numbers", (by_number(-1), by_number(9999)));
    show!("the loopback", (device(&socket, "lo\0"), name(&socket)));
    let number = get(&socket, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX);
    show!("its number", number);
    show!("bound", with_address(&socket, &loopback(0), libc::bind));
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let to = socket.local_addr().expect("an address");
    show!("hears by it", sender.send_to(b"by lo", to).ok());
    show!("this", socket.recv(&mut [0; 10]).ok());
    show!(
        "speaks by it",
        with_address(&socket, &loopback(9), libc::connect)
    );
    // Others have what they have on another interface.
    let (first, second) = (new(), new());
    show!("one", device(&first, "lo"));
    let place = libc::sockaddr_in {
        sin_addr: libc::in_addr { s_addr: 0 },
        ..loopback(0)
    };
    show!("is bound", with_address(&first, &place, libc::bind));
    let place = libc::sockaddr_in {
        sin_port: first.local_addr().expect("an address").port().to_be(),
        ..place
    };
    show!("another", with_address(&second, &place, libc::bind));
}

/// `/proc/net/snmp` and `netstat` count.
fn counters() {
    let count = |file: &str, group: &str, name: &str| -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/net/{file}")).ok()?;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
        let (names, counts) = (lines.next()?, lines.next()?);
        let at = names.split(' ').position(|known| known == name)?;
        counts.split(' ').nth(at)?.parse().ok()
    };
    let (receiver, sender) = (
        UdpSocket::bind("127.0.0.1:0").expect("a port"),
        UdpSocket::bind("127.0.0.1:0").expect("a port"),
    );
    let to = receiver.local_addr().expect("an address");
    let datagrams = || count("snmp", "Udp:", "InDatagrams");
    let opens = || count("snmp", "Tcp:", "PassiveOpens");
    let (datagrams_before, opens_before) = (datagrams(), opens());
    for _ in 0..3 {
        sender.send_to(b"one more", to).expect("sent");
        receiver.recv(&mut [0; 10]).expect("received");
    }
    let streams = pair();
    show!(
        "three more",
        datagrams() >= datagrams_before.map(|before| before + 3)
    );
    show!("one more", opens() >= opens_before.map(|before| before + 1));
    drop(streams);
    show!("counted", datagrams_before.zip(opens_before).is_some());
    show!(
        "netstat",
        count("netstat", "TcpExt:", "ListenOverflows").is_some()
    );
}

pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    (client, listener.accept().expect("accepted").0)
}

pub(crate) fn checked(result: isize) -> Result<isize, Option<i32>> {
    match result {
        -1 => Err(io::Error::last_os_error().raw_os_error()),
        result => Ok(result),
    }
}

pub(crate) fn set(
    socket: &impl AsRawFd,
    level: i32,
    option: i32,
    value: i32,
) -> Result<isize, Option<i32>> {
    // SAFETY: the value and its length belong together.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            4,
        )
    } as isize)
}

pub(crate) fn get(socket: &impl AsRawFd, level: i32, option: i32) -> Result<i32, Option<i32>> {
    let (mut value, mut len) = (0i32, 4);
    // SAFETY: the value and its length belong together.
    checked(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw mut value).cast(),
            &raw mut len,
        )
    } as isize)
    .map(|_| value)
}

fn receive(socket: &impl AsRawFd, flags: i32) -> Result<String, Option<i32>> {
    let mut buf = [0u8; 16];
    // SAFETY: the buffer and its length belong together.
    let count = checked(unsafe {
        libc::recv(
            socket.as_raw_fd(),
            buf.as_mut_ptr().cast(),
            buf.len(),
            flags,
        )
    })?;
    Ok(String::from_utf8_lossy(&buf[..count as usize]).into_owned())
}

fn send(socket: &impl AsRawFd, bytes: &[u8], flags: i32) -> Result<isize, Option<i32>> {
    // SAFETY: the bytes and their length belong together.
    checked(unsafe {
        libc::send(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            flags,
        )
    })
}

/// Waits for an event; which there are then.
fn wait_for(socket: &impl AsRawFd, events: i16) -> i16 {
    let mut request = libc::pollfd {
        fd: socket.as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: one request.
    unsafe { libc::poll(&raw mut request, 1, 10_000) };
    request.revents
}

fn is_at_mark(socket: &impl AsRawFd) -> Result<i32, Option<i32>> {
    let mut answer: i32 = -1;
    // SAFETY: the request's argument is an `int`.
    let done =
        checked(unsafe { libc::ioctl(socket.as_raw_fd(), 0x8905, &raw mut answer) } as isize);
    done.map(|_| answer)
}

fn urgent() {
    let (client, mut server) = pair();
    show!("no urgent byte", receive(&server, libc::MSG_OOB));
    show!("urgent", send(&client, b"abX", libc::MSG_OOB));
    show!("and more", send(&client, b"cd", 0));
    show!("priority", wait_for(&server, libc::POLLPRI) & libc::POLLPRI);
    while server.peek(&mut [0; 9]).expect("peeked") < 2 {}
    show!("before the mark", receive(&server, 0));
    show!("at the mark", is_at_mark(&server));
    show!("peeked", receive(&server, libc::MSG_OOB | libc::MSG_PEEK));
    show!("taken", receive(&server, libc::MSG_OOB));
    show!("taken twice", receive(&server, libc::MSG_OOB));
    let mut rest = [0; 2];
    show!(
        "behind the mark",
        server.read_exact(&mut rest).map(|()| rest).ok()
    );
    show!("no mark", is_at_mark(&server));
    // In line.
    show!(
        "in line",
        set(&server, libc::SOL_SOCKET, libc::SO_OOBINLINE, 1)
    );
    show!("is so", get(&server, libc::SOL_SOCKET, libc::SO_OOBINLINE));
    show!("urgent in line", send(&client, b"efY", libc::MSG_OOB));
    show!(
        "priority in line",
        wait_for(&server, libc::POLLPRI) & libc::POLLPRI
    );
    show!("not apart", receive(&server, libc::MSG_OOB));
    show!("before it", receive(&server, 0));
    show!("at it", is_at_mark(&server));
    show!("itself", receive(&server, 0));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    show!(
        "of a datagram",
        receive(&socket, libc::MSG_OOB | libc::MSG_DONTWAIT)
    );
}

/// What accepted sockets have from their listener.
fn inherited() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let options = [
        ("keepalive", libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        ("in line", libc::SOL_SOCKET, libc::SO_OOBINLINE, 1),
        ("nodelay", libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
        ("idle", libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 77),
        ("interval", libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 11),
        ("probes", libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3),
        (
            "user timeout",
            libc::IPPROTO_TCP,
            libc::TCP_USER_TIMEOUT,
            9000,
        ),
        ("ttl", libc::IPPROTO_IP, libc::IP_TTL, 33),
        ("low water", libc::SOL_SOCKET, libc::SO_RCVLOWAT, 5),
    ];
    for (what, level, option, value) in options {
        show!(what, set(&listener, level, option, value));
    }
    let mut client =
        TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let (accepted, _) = listener.accept().expect("accepted");
    for (what, level, option, _) in options {
        show!(what, get(&accepted, level, option));
    }
    show!(
        "is no listener",
        get(&accepted, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)
    );
    show!("is blocking", client.write(b"bytes").ok());
}

fn undelivered() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    show!("queue", set(&socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1));
    show!("is on", get(&socket, libc::IPPROTO_IP, libc::IP_RECVERR));
    show!(
        "nothing",
        receive(&socket, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
    );
    let nobody = UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a port");
    show!("sent", socket.send_to(b"to nobody", nobody).ok());
    show!("error", wait_for(&socket, 0) & libc::POLLERR);
    let mut bytes = [0u8; 32];
    let mut control = [0u64; 32];
    // SAFETY: a structure of integers and pointers, for which zeros are values.
    let mut from: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: as above.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = size_of_val(&from) as u32;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: the message's parts are valid.
    let count =
        checked(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_ERRQUEUE) });
    let count = usize::try_from(count.unwrap_or(0)).unwrap_or(0);
    show!("it said", String::from_utf8_lossy(&bytes[..count]));
    show!("flags", message.msg_flags & libc::MSG_ERRQUEUE);
    show!("to that port", u16::from_be(from.sin_port) == nobody.port());
    // SAFETY: the message's control was filled in by the system.
    let record = unsafe { libc::CMSG_FIRSTHDR(&raw const message).as_ref() };
    show!(
        "record",
        record.map(|record| (record.cmsg_level, record.cmsg_type, record.cmsg_len))
    );
    let words: &[u64] = &control[2..6];
    show!("what", (words[0] as u32, words[0] >> 32, words[1]));
    show!("who", (words[2] as u16, (words[2] >> 32) as u32));
    show!(
        "no more",
        receive(&socket, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
    );
    show!("no error", get(&socket, libc::SOL_SOCKET, libc::SO_ERROR));
    show!("nothing waits", wait_for_now(&socket));
}

fn wait_for_now(socket: &impl AsRawFd) -> i16 {
    let mut request = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one request.
    unsafe { libc::poll(&raw mut request, 1, 0) };
    request.revents
}

fn timed() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    show!(
        "times",
        set(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
    );
    show!(
        "are on",
        get(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)
    );
    let own: SocketAddr = socket.local_addr().expect("an address");
    socket.send_to(b"now", own).expect("sent");
    let mut bytes = [0u8; 32];
    let mut control = [0u64; 16];
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: a structure of integers and pointers, for which zeros are values.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: the message's parts are valid.
    let count = checked(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) });
    show!("timed", count);
    // SAFETY: the message's control was filled in by the system.
    let record = unsafe { libc::CMSG_FIRSTHDR(&raw const message).as_ref() };
    show!(
        "record",
        record.map(|record| (record.cmsg_level, record.cmsg_type, record.cmsg_len))
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let age = now.map_or(u64::MAX, |now| now.as_secs().wrapping_sub(control[2]));
    show!("lately", age < 60 && control[3] < 1_000_000_000);
}

fn connection() {
    let (client, server) = pair();
    let mut info = [0u32; 26];
    let mut len = size_of_val(&info) as u32;
    // SAFETY: the value and its length belong together.
    let done = checked(unsafe {
        libc::getsockopt(
            client.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    } as isize);
    // The state; a round-trip was measured; segments have a size, and some may be sent.
    show!(
        "info",
        (
            done,
            len,
            info[0] & 0xFF,
            info[17] != 0,
            info[4] > 500,
            info[20] > 1
        )
    );
    show!(
        "segments",
        get(&server, libc::IPPROTO_TCP, libc::TCP_MAXSEG).map(|bytes| bytes > 500)
    );
    show!(
        "too small",
        set(&server, libc::IPPROTO_TCP, libc::TCP_MAXSEG, 10)
    );
    show!("unknown", set(&server, libc::IPPROTO_TCP, 999, 1));
    show!("not known either", get(&server, libc::SOL_SOCKET, 999));
}
