//! Options of sockets, and what goes along with messages.

use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr::null_mut;
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

pub(crate) fn options() -> io::Result<()> {
    switches()?;
    flags()?;
    deferred()?;
    low_water()?;
    told()?;
    many()?;
    records()?;
    descriptors()
}

/// Every option keeps what it is set to, and unknown ones are refused.
fn switches() -> io::Result<()> {
    let tcp = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    tcp.set_tos_v4(0x10)?;
    tcp.set_tclass_v6(0x20)?;
    tcp.set_unicast_hops_v6(9)?;
    tcp.set_out_of_band_inline(true)?;
    tcp.set_reuse_port(true)?;
    println!(
        "tcp {:#x} {} {} {}",
        tcp.tclass_v6()?,
        tcp.unicast_hops_v6()?,
        tcp.out_of_band_inline()?,
        tcp.reuse_port()?
    );
    let name = || {
        tcp.tcp_congestion().map(|name| {
            String::from_utf8_lossy(&name)
                .trim_end_matches('\0')
                .to_string()
        })
    };
    print!("congestion {}", name()?);
    tcp.set_tcp_congestion(b"reno")?;
    let refused = [&b"none such"[..], b""].map(|name| {
        let result = tcp.set_tcp_congestion(name);
        result.err().and_then(|error| error.raw_os_error())
    });
    println!(" {} {refused:?}", name()?);
    let udp = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    udp.set_tos_v4(0xB8)?;
    udp.set_recv_tos_v4(true)?;
    udp.set_reuse_port(true)?;
    udp.set_multicast_ttl_v4(255)?;
    println!(
        "udp {:#x} {} {} {}",
        udp.tos_v4()?,
        udp.recv_tos_v4()?,
        udp.reuse_port()?,
        udp.multicast_ttl_v4()?
    );
    let set = |level, option| {
        let one: libc::c_int = 1;
        // SAFETY: the value and its length belong together.
        let result =
            unsafe { libc::setsockopt(udp.as_raw_fd(), level, option, (&raw const one).cast(), 4) };
        match result {
            0 => "taken".to_string(),
            _ => format!("{:?}", io::Error::last_os_error().raw_os_error()),
        }
    };
    println!(
        "refused {} {} {} {}",
        set(libc::SOL_SOCKET, libc::SO_INCOMING_CPU),
        set(libc::SOL_SOCKET, libc::SO_ZEROCOPY),
        set(libc::IPPROTO_IP, libc::IP_XFRM_POLICY),
        set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)
    );
    hints()
}

/// Sets an option to a number; what it says then, or the error.
fn kept(socket: &impl AsRawFd, level: i32, option: i32, value: i32) -> Result<i32, Option<i32>> {
    let mut told = -1;
    let mut len = 4;
    let socket = socket.as_raw_fd();
    // SAFETY: the values and their lengths belong together.
    let result = unsafe {
        libc::setsockopt(socket, level, option, (&raw const value).cast(), 4)
            | libc::getsockopt(socket, level, option, (&raw mut told).cast(), &mut len)
    };
    match result {
        0 => Ok(told),
        _ => Err(io::Error::last_os_error().raw_os_error()),
    }
}

/// What changes nothing is kept all the same, and comes along to accepted sockets; datagrams go in one packet where that is wanted.
fn hints() -> io::Result<()> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    println!(
        "hints {:?} {:?} {:?} {:?}",
        kept(&listener, libc::SOL_SOCKET, libc::SO_PRIORITY, 6),
        kept(&listener, libc::SOL_SOCKET, libc::SO_MARK, 77),
        kept(&listener, libc::SOL_SOCKET, libc::SO_BUSY_POLL, -1),
        kept(&listener, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 128)
    );
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    listener.listen(1)?;
    let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    client.connect(&listener.local_addr()?)?;
    let (accepted, _) = listener.accept()?;
    println!(
        "accepted {} {:?} {:?}",
        accepted.mark()?,
        kept(&accepted, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 1),
        kept(
            &accepted,
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            16_384
        )
    );
    // By the card, whose packets have 1,500 bytes.
    let udp = UdpSocket::bind("0.0.0.0:0")?;
    let send = |len: usize| match udp.send_to(&vec![0; len], "10.0.2.2:9") {
        Ok(sent) => sent as i32,
        Err(error) => -error.raw_os_error().unwrap_or(0),
    };
    let in_parts = send(1473);
    let option = kept(
        &udp,
        libc::IPPROTO_IP,
        libc::IP_MTU_DISCOVER,
        libc::IP_PMTUDISC_DO,
    );
    println!("whole: {in_parts} {option:?} {} {}", send(1472), send(1473));
    Ok(())
}

/// A listener whose connections come to it when they say something (`TCP_DEFER_ACCEPT`).
fn deferred() -> io::Result<()> {
    let listener = TcpListener::bind("[::1]:0")?;
    let seconds: libc::c_int = 5;
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);
    // SAFETY: the value and its length belong together.
    let set = unsafe {
        let value = (&raw const seconds).cast();
        libc::setsockopt(listener.as_raw_fd(), level, option, value, 4)
    };
    let (mut told, mut len) = (0, 4);
    // SAFETY: the value and its length belong together.
    unsafe {
        let value = (&raw mut told as *mut libc::c_int).cast();
        libc::getsockopt(listener.as_raw_fd(), level, option, value, &raw mut len)
    };
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    listener.set_nonblocking(true)?;
    let silent = listener.accept().is_err();
    client.write_all(b"x")?;
    let speaks = listener.accept().is_ok();
    println!("deferred: {set} {told}, silent {silent}, speaks {speaks}");
    Ok(())
}

fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("[::1]:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    Ok((client, listener.accept()?.0))
}

fn flags() -> io::Result<()> {
    let (mut client, server) = pair()?;
    let receive = |flags| {
        let mut buffer = [0_u8; 10];
        // SAFETY: the buffer and its length belong together.
        let count = unsafe {
            libc::recv(
                server.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                flags,
            )
        };
        match usize::try_from(count) {
            Ok(count) => String::from_utf8_lossy(&buffer[..count]).into_owned(),
            Err(_) => format!("{:?}", io::Error::last_os_error().raw_os_error()),
        }
    };
    println!(
        "empty {} {} {}",
        receive(libc::MSG_DONTWAIT),
        receive(libc::MSG_OOB),
        receive(libc::MSG_ERRQUEUE)
    );
    client.write_all(b"bytes")?;
    while server.peek(&mut [0; 10])? < 5 {}
    println!("peeked {} {}", receive(libc::MSG_PEEK), receive(0));
    Ok(())
}

/// With a low-water mark, nothing is read until so much is there.
fn low_water() -> io::Result<()> {
    let (mut client, mut server) = pair()?;
    let mark: libc::c_int = 6;
    // SAFETY: the value and its length belong together.
    let set = unsafe {
        libc::setsockopt(
            server.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const mark).cast(),
            4,
        )
    };
    let writer = thread::spawn(move || -> io::Result<()> {
        client.write_all(b"one")?;
        thread::sleep(Duration::from_millis(50));
        client.write_all(b"two")?;
        thread::sleep(Duration::from_millis(50));
        client.write_all(b"end")
    });
    let mut buffer = [0; 10];
    let count = server.read(&mut buffer)?;
    println!("low water {set}: {} or more {}", mark, count >= 6);
    // The end comes with less.
    let mut rest = Vec::new();
    server.read_to_end(&mut rest)?;
    println!("and the rest {}", count + rest.len());
    writer.join().expect("no panic")
}

/// What a datagram tells of itself: address, interface, hops and class.
fn told() -> io::Result<()> {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let address: SocketAddr = address.parse().expect("an address");
        let server = UdpSocket::bind(address)?;
        let on: libc::c_int = 1;
        let wanted = match address {
            SocketAddr::V4(_) => [libc::IP_PKTINFO, libc::IP_RECVTTL, libc::IP_RECVTOS],
            SocketAddr::V6(_) => [
                libc::IPV6_RECVPKTINFO,
                libc::IPV6_RECVHOPLIMIT,
                libc::IPV6_RECVTCLASS,
            ],
        };
        let level = match address {
            SocketAddr::V4(_) => libc::IPPROTO_IP,
            SocketAddr::V6(_) => libc::IPPROTO_IPV6,
        };
        for option in wanted {
            // SAFETY: the value and its length belong together.
            let result = unsafe {
                libc::setsockopt(server.as_raw_fd(), level, option, (&raw const on).cast(), 4)
            };
            assert_eq!(result, 0);
        }
        let client = UdpSocket::bind(address)?;
        match address {
            SocketAddr::V4(_) => {
                client.set_ttl(7)?;
                SockRef::from(&client).set_tos_v4(0xB9)?;
            }
            SocketAddr::V6(_) => {
                SockRef::from(&client).set_unicast_hops_v6(7)?;
                SockRef::from(&client).set_tclass_v6(0xB9)?;
            }
        }
        client.send_to(b"told", server.local_addr()?)?;
        let mut buffer = [0_u8; 10];
        let mut control = [0_u64; 32];
        let mut part = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        // SAFETY: zeros are a message without parts.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: all that the message points to is there.
        let count = unsafe { libc::recvmsg(server.as_raw_fd(), &raw mut message, 0) };
        let mut told = Vec::new();
        // SAFETY: the kernel has written whole records.
        unsafe {
            let mut record = libc::CMSG_FIRSTHDR(&raw const message);
            while !record.is_null() {
                let data = libc::CMSG_DATA(record);
                told.push(match (*record).cmsg_type {
                    libc::IP_PKTINFO if level == libc::IPPROTO_IP => {
                        let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                        format!("at {:x}", info.ipi_addr.s_addr.to_be())
                    }
                    libc::IPV6_PKTINFO if level == libc::IPPROTO_IPV6 => {
                        let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                        format!("at {}", Ipv6Addr::from(info.ipi6_addr.s6_addr))
                    }
                    libc::IP_TOS if level == libc::IPPROTO_IP => format!("class {:x}", *data),
                    _ => format!("{:x}", data.cast::<libc::c_int>().read_unaligned()),
                });
                record = libc::CMSG_NXTHDR(&raw const message, record);
            }
        }
        println!("{count} bytes told: {}", told.join(", "));
    }
    Ok(())
}

/// Several datagrams with one call each way.
fn many() -> io::Result<()> {
    let (one, two) = (
        UdpSocket::bind("127.0.0.1:0")?,
        UdpSocket::bind("127.0.0.1:0")?,
    );
    one.connect(two.local_addr()?)?;
    let mut words = [*b"first!", *b"second", *b"third!"];
    let mut parts = words.each_mut().map(|word| libc::iovec {
        iov_base: word.as_mut_ptr().cast(),
        iov_len: 6,
    });
    let mut messages = parts.each_mut().map(|part| {
        // SAFETY: zeros are a message without parts.
        let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
        message
    });
    // SAFETY: all that the messages point to is there.
    let sent = unsafe { libc::sendmmsg(one.as_raw_fd(), messages.as_mut_ptr(), 3, 0) };
    words = [[0; 6]; 3];
    let mut parts = words.each_mut().map(|word| libc::iovec {
        iov_base: word.as_mut_ptr().cast(),
        iov_len: 6,
    });
    for (message, part) in messages.iter_mut().zip(&mut parts) {
        message.msg_hdr.msg_iov = part;
    }
    // SAFETY: as above.
    let received = unsafe {
        libc::recvmmsg(
            two.as_raw_fd(),
            messages.as_mut_ptr(),
            3,
            libc::MSG_WAITFORONE,
            null_mut(),
        )
    };
    println!(
        "many: {sent} {received} {}",
        String::from_utf8_lossy(&words[2])
    );
    Ok(())
}

/// Records of a Unix socket stay apart, and say when they were cut.
fn records() -> io::Result<()> {
    let (one, two) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
    one.send(b"a record")?;
    one.send(b"")?;
    one.send(b"another")?;
    let mut cut = [MaybeUninit::uninit(); 4];
    let mut parts = [socket2::MaybeUninitSlice::new(&mut cut)];
    let (count, flags) = two.recv_vectored(&mut parts)?;
    let mut whole = [0; 20];
    let (empty, next) = ((&two).read(&mut whole)?, (&two).read(&mut whole)?);
    println!(
        "records: {count} cut {}, {empty}, {next}",
        flags.is_truncated()
    );
    drop(one);
    println!("and the end: {}", (&two).read(&mut whole)?);
    Ok(())
}

/// A descriptor goes to the other end of a Unix socket with the byte it was sent with.
fn descriptors() -> io::Result<()> {
    let (mut one, mut two) = UnixStream::pair()?;
    let (mut sent, mut kept) = UnixStream::pair()?;
    one.write_all(b"before")?;
    let mut control = [0_u64; 4];
    let mut byte = *b"!";
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    // SAFETY: zeros are a message without parts; the record is written where there is room for it.
    let count = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let record = libc::CMSG_FIRSTHDR(&raw const message);
        (*record).cmsg_level = libc::SOL_SOCKET;
        (*record).cmsg_type = libc::SCM_RIGHTS;
        (*record).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(record)
            .cast::<i32>()
            .write_unaligned(sent.as_raw_fd());
        libc::sendmsg(one.as_raw_fd(), &raw const message, 0)
    };
    sent.write_all(b"from here")?;
    drop(sent);
    let mut before = [0; 20];
    let first = two.read_vectored(&mut [IoSliceMut::new(&mut before)])?;
    control = [0; 4];
    // SAFETY: as above; the descriptor is new and nobody else's.
    let mut came = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        assert_eq!(libc::recvmsg(two.as_raw_fd(), &raw mut message, 0), 1);
        let record = libc::CMSG_FIRSTHDR(&raw const message);
        assert!(!record.is_null());
        let descriptor = libc::CMSG_DATA(record).cast::<i32>().read_unaligned();
        UnixStream::from(OwnedFd::from_raw_fd(descriptor))
    };
    came.write_all(b" and there")?;
    drop(came);
    let mut all = String::new();
    kept.read_to_string(&mut all)?;
    println!("sent {count} after {first}: {all:?}");
    Ok(())
}
