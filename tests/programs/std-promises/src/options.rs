//! What options of sockets are set to, and what is told of them then.

use crate::show;
use crate::sockets::{checked, get, loopback, pair, set, with_address};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const IPV6_FREEBIND: i32 = 78;

pub(crate) fn steps() {
    numbers();
    of_a_connection();
    congestion();
    foreign();
    shared();
}

fn socket(family: i32, kind: i32) -> OwnedFd {
    // SAFETY: the descriptor that is made belongs to nobody else.
    unsafe { OwnedFd::from_raw_fd(libc::socket(family, kind, 0)) }
}

/// Each option of each kind of socket: what it is at first, and after it was set to this and that.
fn numbers() {
    let options = [
        ("SO_REUSEPORT", libc::SOL_SOCKET, libc::SO_REUSEPORT),
        ("IP_FREEBIND", libc::IPPROTO_IP, libc::IP_FREEBIND),
        ("IPV6_FREEBIND", libc::IPPROTO_IPV6, IPV6_FREEBIND),
        (
            "IP_BIND_ADDRESS_NO_PORT",
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
        ),
        ("TCP_SYNCNT", libc::IPPROTO_TCP, libc::TCP_SYNCNT),
        ("TCP_LINGER2", libc::IPPROTO_TCP, libc::TCP_LINGER2),
        (
            "TCP_WINDOW_CLAMP",
            libc::IPPROTO_TCP,
            libc::TCP_WINDOW_CLAMP,
        ),
        (
            "TCP_USER_TIMEOUT",
            libc::IPPROTO_TCP,
            libc::TCP_USER_TIMEOUT,
        ),
        (
            "TCP_DEFER_ACCEPT",
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
        ),
        ("TCP_FASTOPEN", libc::IPPROTO_TCP, libc::TCP_FASTOPEN),
        (
            "TCP_FASTOPEN_CONNECT",
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN_CONNECT,
        ),
        ("TCP_KEEPIDLE", libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
        ("TCP_KEEPINTVL", libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
        ("TCP_KEEPCNT", libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    ];
    for (kind, family, of) in [
        ("stream", libc::AF_INET, libc::SOCK_STREAM),
        ("stream of IPv6", libc::AF_INET6, libc::SOCK_STREAM),
        ("datagrams", libc::AF_INET, libc::SOCK_DGRAM),
        ("datagrams of IPv6", libc::AF_INET6, libc::SOCK_DGRAM),
    ] {
        for (name, level, option) in options {
            let socket = socket(family, of);
            // How long Linux waits for a peer to close if it is not told is its own business.
            let first = i32::from(option == libc::TCP_LINGER2);
            let told: Vec<_> = [first, 1, 2, 5, 127, 128, 1000, -1]
                .into_iter()
                .map(|value| {
                    (
                        set(&socket, level, option, value),
                        get(&socket, level, option),
                    )
                })
                .collect();
            show!(format!("{name} of {kind}"), told);
        }
    }
}

/// What can be changed of a connection, and what is the same for those that are accepted.
fn of_a_connection() {
    let (client, server) = pair();
    for (name, option) in [
        ("TCP_SYNCNT", libc::TCP_SYNCNT),
        ("TCP_FASTOPEN", libc::TCP_FASTOPEN),
        ("TCP_DEFER_ACCEPT", libc::TCP_DEFER_ACCEPT),
        ("TCP_USER_TIMEOUT", libc::TCP_USER_TIMEOUT),
        ("TCP_LINGER2", libc::TCP_LINGER2),
    ] {
        for end in [&client, &server] {
            show!(name, set(end, libc::IPPROTO_TCP, option, 3));
            show!(name, get(end, libc::IPPROTO_TCP, option));
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    for (option, value) in [
        (libc::TCP_USER_TIMEOUT, 1234),
        (libc::TCP_KEEPIDLE, 77),
        (libc::TCP_SYNCNT, 3),
        (libc::TCP_LINGER2, 7),
    ] {
        set(&listener, libc::IPPROTO_TCP, option, value).expect("taken");
    }
    let _client = TcpStream::connect(listener.local_addr().expect("an address")).expect("one");
    let (accepted, _) = listener.accept().expect("accepted");
    for option in [
        libc::TCP_USER_TIMEOUT,
        libc::TCP_KEEPIDLE,
        libc::TCP_SYNCNT,
        libc::TCP_LINGER2,
    ] {
        show!("accepted", get(&accepted, libc::IPPROTO_TCP, option));
    }
}

fn congestion() {
    let socket = socket(libc::AF_INET, libc::SOCK_STREAM);
    let name = || {
        let (mut name, mut len) = ([0u8; 32], 32);
        // SAFETY: the bytes and their length belong together.
        let done = checked(unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_CONGESTION,
                name.as_mut_ptr().cast(),
                &raw mut len,
            )
        } as isize);
        (done, len, String::from_utf8_lossy(&name[..6]).into_owned())
    };
    for wanted in ["reno", "cubic", "none such", "", "reno\0x"] {
        // SAFETY: the bytes and their length belong together.
        let done = checked(unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_CONGESTION,
                wanted.as_ptr().cast(),
                wanted.len() as u32,
            )
        } as isize);
        show!(format!("control {wanted:?}"), (done, name()));
    }
}

/// An address that this machine does not have.
fn foreign() {
    let address = libc::sockaddr_in {
        sin_addr: libc::in_addr {
            s_addr: u32::from(std::net::Ipv4Addr::new(192, 0, 2, 77)).to_be(),
        },
        ..loopback(0)
    };
    for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
        let bound = |option: Option<i32>| {
            let socket = socket(libc::AF_INET, kind);
            if let Some(option) = option {
                set(&socket, libc::IPPROTO_IP, option, 1).expect("taken");
            }
            let bound = with_address(&socket, &address, libc::bind);
            // SAFETY: no pointers.
            let listens = checked(unsafe { libc::listen(socket.as_raw_fd(), 1) } as isize);
            (bound, listens)
        };
        show!("not ours", bound(None));
        show!("not ours yet", bound(Some(libc::IP_FREEBIND)));
    }
}

/// Several sockets at one port.
fn shared() {
    let bound = |kind, port, is_shared| {
        let socket = socket(libc::AF_INET, kind);
        set(
            &socket,
            libc::SOL_SOCKET,
            libc::SO_REUSEPORT,
            i32::from(is_shared),
        )
        .expect("taken");
        (with_address(&socket, &loopback(port), libc::bind), socket)
    };
    let (_, first) = bound(libc::SOCK_STREAM, 0, true);
    let first = TcpListener::from(first);
    let port = first.local_addr().expect("an address").port();
    let (again, second) = bound(libc::SOCK_STREAM, port, true);
    show!("shared", again);
    show!("not shared", bound(libc::SOCK_STREAM, port, false).0);
    let second = TcpListener::from(second);
    for listener in [&first, &second] {
        // SAFETY: no pointers.
        let listens = checked(unsafe { libc::listen(listener.as_raw_fd(), 64) } as isize);
        show!("listens", listens);
        listener.set_nonblocking(true).expect("set");
    }
    let clients: Vec<_> = (0..64)
        .map(|_| TcpStream::connect(("127.0.0.1", port)))
        .collect();
    show!("all connected", clients.iter().all(Result::is_ok));
    let accepted = |one: &TcpListener| std::iter::from_fn(|| one.accept().ok()).count();
    let (a, b) = (accepted(&first), accepted(&second));
    show!("all accepted", a + b);
    show!("each has some", a > 8 && b > 8);

    let (_, one) = bound(libc::SOCK_DGRAM, 0, true);
    let one = UdpSocket::from(one);
    let to = one.local_addr().expect("an address");
    let (again, other) = bound(libc::SOCK_DGRAM, to.port(), true);
    show!("shared", again);
    let other = UdpSocket::from(other);
    let senders: Vec<_> = (0..64)
        .map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port"))
        .collect();
    for sender in senders.iter().chain(&senders) {
        sender.send_to(b"word", to).expect("sent");
    }
    let mut heard = [&one, &other].map(|socket| {
        socket.set_nonblocking(true).expect("set");
        let received = || socket.recv_from(&mut [0; 8]).ok().map(|(_, from)| from);
        std::iter::from_fn(received).collect::<Vec<_>>()
    });
    show!("all heard", heard[0].len() + heard[1].len());
    show!("each hears some", heard.iter().all(|all| all.len() > 16));
    let mut is_faithful = true;
    for all in &mut heard {
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        is_faithful &= 2 * all.len() == count;
    }
    show!("one peer is heard by one", is_faithful);
}
