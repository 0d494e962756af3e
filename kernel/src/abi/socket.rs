//! Sockets (POSIX.1-2017, `sys/socket.h`; Linux's socket(7), tcp(7), ip(7)): TCP and UDP over IPv4.
//!
//! What is not known is refused: `EAFNOSUPPORT` for other families (programs fall back from `[::]` to `0.0.0.0`), `ENOPROTOOPT` for
//! other options, `EOPNOTSUPP` for other flags.

mod options;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use core::net::{Ipv4Addr, SocketAddrV4};

use libc::{iovec, msghdr, sockaddr, sockaddr_in, socklen_t};

use super::errno;
use super::object::{self, Description, Object};
use super::signal;
use super::unix;
use crate::arch::x86_64::entropy;
use crate::error::{Errno, Result};
use crate::memory::frames;
use crate::network::socket::tcp::TcpSocket;
use crate::network::socket::udp::UdpSocket;
use crate::network::{self, Error, Network, Setup};
use crate::scheduler::{Notifier, Readiness};
use crate::start::command_line;

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        Self(match error {
            Error::WouldBlock => libc::EAGAIN,
            Error::Refused => libc::ECONNREFUSED,
            Error::Reset => libc::ECONNRESET,
            Error::TimedOut => libc::ETIMEDOUT,
            Error::AddressInUse => libc::EADDRINUSE,
            Error::AddressNotAvailable => libc::EADDRNOTAVAIL,
            Error::NetworkUnreachable => libc::ENETUNREACH,
            Error::HostUnreachable => libc::EHOSTUNREACH,
            Error::NoInterface => libc::ENETDOWN,
            Error::NotConnected => libc::ENOTCONN,
            Error::AlreadyConnected => libc::EISCONN,
            Error::InProgress => libc::EINPROGRESS,
            Error::AlreadyInProgress => libc::EALREADY,
            Error::BrokenPipe => libc::EPIPE,
            Error::MessageTooLong => libc::EMSGSIZE,
            Error::NoDestination => libc::EDESTADDRREQ,
            Error::BroadcastNotAllowed => libc::EACCES,
            Error::Invalid => libc::EINVAL,
            Error::NotSupported => libc::EOPNOTSUPP,
            Error::OutOfMemory => libc::ENOMEM,
            Error::QueueFull => libc::ENOBUFS,
            Error::NoSuchCore => libc::ENXIO,
            Error::AlreadyDedicated => libc::EBUSY,
        })
    }
}

/// The network, started at the first call.
pub(super) fn start_network() -> Result<&'static Network> {
    Ok(network::network(|| Setup {
        net: &command_line().network,
        virtio_mmio: &command_line().virtio_mmio,
        seed: entropy::random_u64(),
        memory_bytes: frames::usage().1 as u64,
    })?)
}

fn stat_socket(stat: &mut libc::stat64) {
    stat.st_mode = libc::S_IFSOCK | 0o777;
    stat.st_nlink = 1;
    stat.st_blksize = 4096;
}

impl Object for TcpSocket {
    fn read(&self, buf: &mut [u8], is_nonblocking: bool) -> Result<usize> {
        Ok(self.receive(buf, false, is_nonblocking)?)
    }

    fn write(&self, buf: &[u8], is_nonblocking: bool) -> Result<usize> {
        Ok(self.send(buf, is_nonblocking)?)
    }

    fn readiness(&self) -> Readiness {
        self.readiness()
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(self.notifier())
    }

    fn unread(&self) -> Result<usize> {
        Ok(self.unread())
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        stat_socket(stat);
        Ok(())
    }
}

impl Object for UdpSocket {
    fn read(&self, buf: &mut [u8], is_nonblocking: bool) -> Result<usize> {
        Ok(self.receive(buf, false, is_nonblocking)?.0)
    }

    fn write(&self, buf: &[u8], _is_nonblocking: bool) -> Result<usize> {
        Ok(self.send(buf, None)?)
    }

    fn readiness(&self) -> Readiness {
        self.readiness()
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(self.notifier())
    }

    fn unread(&self) -> Result<usize> {
        Ok(self.unread())
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        stat_socket(stat);
        Ok(())
    }
}

/// A descriptor's socket.
enum Socket<'a> {
    Tcp(&'a TcpSocket),
    Udp(&'a UdpSocket),
}

fn socket_of(description: &Description) -> Result<Socket<'_>> {
    if let Some(socket) = description.downcast::<TcpSocket>() {
        return Ok(Socket::Tcp(socket));
    }
    match description.downcast::<UdpSocket>() {
        Some(socket) => Ok(Socket::Udp(socket)),
        None => Err(Errno(libc::ENOTSOCK)),
    }
}

/// Reads an address that the caller gave.
///
/// # Safety
/// 1. `address` is null or points to `len` bytes.
unsafe fn load_address(address: *const sockaddr, len: socklen_t) -> Result<SocketAddrV4> {
    if address.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    if (len as usize) < size_of::<libc::sa_family_t>() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: the length covers the family (1).
    let family = unsafe { address.cast::<libc::sa_family_t>().read_unaligned() };
    if c_int::from(family) != libc::AF_INET {
        return Err(Errno(libc::EAFNOSUPPORT));
    }
    if (len as usize) < size_of::<sockaddr_in>() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: the length covers the address (1).
    let address = unsafe { address.cast::<sockaddr_in>().read_unaligned() };
    let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
    Ok(SocketAddrV4::new(ip, u16::from_be(address.sin_port)))
}

/// An address as C has it.
pub(super) fn to_c(address: SocketAddrV4) -> sockaddr_in {
    sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

/// Gives the caller an address, as much as fits, and its length. A null pointer wants none.
///
/// # Safety
/// 1. `len` is null or points to a length, and `address` is null or points to that many bytes.
unsafe fn store_address(value: SocketAddrV4, address: *mut sockaddr, len: *mut socklen_t) {
    if address.is_null() || len.is_null() {
        return;
    }
    let value = to_c(value);
    // SAFETY: no more is written than the caller has room for (1).
    unsafe {
        let room = (*len as usize).min(size_of::<sockaddr_in>());
        core::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), address.cast(), room);
        *len = size_of::<sockaddr_in>() as socklen_t;
    }
}

/// Runs `call` on the socket of a descriptor.
fn with_socket<R>(
    descriptor: c_int,
    call: impl FnOnce(Socket<'_>, &Description) -> Result<R>,
) -> Result<R> {
    let description = object::get(descriptor)?;
    call(socket_of(&description)?, &description)
}

#[unsafe(no_mangle)]
extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let open = || -> Result<c_int> {
        if domain == libc::AF_UNIX {
            return unix::open(kind, protocol);
        }
        if domain != libc::AF_INET {
            return Err(Errno(libc::EAFNOSUPPORT));
        }
        let flags = kind & (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
        let status = status_flags(flags);
        let network = start_network();
        let object: Box<dyn Object> = match (kind & !flags, protocol) {
            (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Box::new(TcpSocket::new(network?)),
            (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => Box::new(UdpSocket::new(network?)),
            (libc::SOCK_STREAM | libc::SOCK_DGRAM, _) => {
                return Err(Errno(libc::EPROTONOSUPPORT));
            }
            _ => return Err(Errno(libc::ESOCKTNOSUPPORT)),
        };
        object::insert(object, status)
    };
    open().unwrap_or_else(errno::set)
}

fn status_flags(socket_flags: c_int) -> u32 {
    let nonblock = if socket_flags & libc::SOCK_NONBLOCK != 0 {
        libc::O_NONBLOCK
    } else {
        0
    };
    (libc::O_RDWR | nonblock) as u32
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bind(descriptor: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    let result = with_socket(descriptor, |socket, _| {
        // SAFETY: the caller's.
        let address = unsafe { load_address(address, len)? };
        match socket {
            Socket::Tcp(socket) => socket.bind(address)?,
            Socket::Udp(socket) => socket.bind(address)?,
        }
        Ok(())
    });
    errno::status(result.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, _| {
            // SAFETY: the caller's.
            socket.bind(unsafe { unix::load_name(address, len)? })
        })
    }))
}

#[unsafe(no_mangle)]
extern "C" fn listen(descriptor: c_int, backlog: c_int) -> c_int {
    // A negative backlog asks for the most there can be.
    let backlog = usize::try_from(backlog).unwrap_or(usize::MAX);
    let result = with_socket(descriptor, |socket, _| match socket {
        Socket::Tcp(socket) => Ok(socket.listen(backlog)?),
        Socket::Udp(_) => Err(Errno(libc::EOPNOTSUPP)),
    });
    errno::status(
        result
            .or_else(|error| unix::or_unix(error, descriptor, |socket, _| socket.listen(backlog))),
    )
}

#[unsafe(no_mangle)]
unsafe extern "C" fn accept4(
    descriptor: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    let accepted = with_socket(descriptor, |socket, description| {
        if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
            return Err(Errno(libc::EINVAL));
        }
        let Socket::Tcp(socket) = socket else {
            return Err(Errno(libc::EOPNOTSUPP));
        };
        let (accepted, peer) = socket.accept(description.is_nonblocking())?;
        let accepted = object::insert(Box::new(accepted), status_flags(flags))?;
        // SAFETY: the caller's.
        unsafe { store_address(peer, address, len) };
        Ok(accepted)
    });
    let accepted = accepted.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, description| {
            let (accepted, peer) = socket.accept(description.is_nonblocking())?;
            let accepted = unix::insert(accepted, flags)?;
            // SAFETY: the caller's.
            unsafe { unix::store_name(&peer, address, len) };
            Ok(accepted)
        })
    });
    accepted.unwrap_or_else(errno::set)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn accept(
    descriptor: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's.
    unsafe { accept4(descriptor, address, len, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn connect(descriptor: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    let connected = with_socket(descriptor, |socket, description| {
        // SAFETY: the caller's.
        let result = unsafe { load_address(address, len) };
        match socket {
            Socket::Tcp(socket) => {
                let is_nonblocking = description.is_nonblocking();
                Ok(socket.connect(result?, is_nonblocking)?)
            }
            Socket::Udp(socket) => match result {
                Ok(address) => Ok(socket.connect(Some(address))?),
                // SAFETY: the caller's; an address of no family undoes the connection.
                Err(_) if unsafe { is_unspecified(address, len) } => Ok(socket.connect(None)?),
                Err(error) => Err(error),
            },
        }
    });
    errno::status(connected.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, description| {
            // SAFETY: the caller's.
            if unsafe { is_unspecified(address, len) } {
                return socket.disconnect();
            }
            // SAFETY: the caller's.
            let name = unsafe { unix::load_name(address, len)? };
            socket.connect(&name, description.is_nonblocking())
        })
    }))
}

/// # Safety
/// 1. `address` is null or points to `len` bytes.
unsafe fn is_unspecified(address: *const sockaddr, len: socklen_t) -> bool {
    // SAFETY: the length covers the family (1).
    !address.is_null()
        && len as usize >= size_of::<libc::sa_family_t>()
        && unsafe { address.cast::<libc::sa_family_t>().read_unaligned() } == 0
}

#[unsafe(no_mangle)]
extern "C" fn shutdown(descriptor: c_int, how: c_int) -> c_int {
    let (is_read, is_write) = match how {
        libc::SHUT_RD => (true, false),
        libc::SHUT_WR => (false, true),
        libc::SHUT_RDWR => (true, true),
        _ => return errno::set(Errno(libc::EINVAL)),
    };
    let result = with_socket(descriptor, |socket, _| {
        match socket {
            Socket::Tcp(socket) => socket.shutdown(is_read, is_write)?,
            Socket::Udp(socket) if socket.peer().is_none() => return Err(Errno(libc::ENOTCONN)),
            Socket::Udp(socket) if is_read => socket.shutdown_read(),
            Socket::Udp(_) => {}
        }
        Ok(())
    });
    errno::status(result.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, _| {
            socket.shutdown(is_read, is_write)
        })
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getsockname(
    descriptor: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    let result = with_socket(descriptor, |socket, _| {
        let local = match socket {
            Socket::Tcp(socket) => socket.local(),
            Socket::Udp(socket) => socket.local(),
        };
        // SAFETY: the caller's.
        unsafe { store_address(local, address, len) };
        Ok(())
    });
    errno::status(result.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, _| {
            // SAFETY: the caller's.
            unsafe { unix::store_name(&socket.name(), address, len) };
            Ok(())
        })
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getpeername(
    descriptor: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    let result = with_socket(descriptor, |socket, _| {
        let peer = match socket {
            Socket::Tcp(socket) => socket.peer()?,
            Socket::Udp(socket) => socket.peer().ok_or(Errno(libc::ENOTCONN))?,
        };
        // SAFETY: the caller's.
        unsafe { store_address(peer, address, len) };
        Ok(())
    });
    errno::status(result.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, _| {
            // SAFETY: the caller's.
            unsafe { unix::store_name(&socket.peer_name()?, address, len) };
            Ok(())
        })
    }))
}

/// Flags of a send or receive call, without those that ask for what is so anyway.
fn known_flags(flags: c_int, known: c_int) -> Result<c_int> {
    let harmless = libc::MSG_NOSIGNAL | libc::MSG_CMSG_CLOEXEC;
    if flags & !(known | harmless) != 0 {
        return Err(Errno(libc::EOPNOTSUPP));
    }
    Ok(flags)
}

/// Sends from a buffer.
fn send_bytes(
    descriptor: c_int,
    data: &[u8],
    flags: c_int,
    to: Option<SocketAddrV4>,
) -> Result<usize> {
    let result = with_socket(descriptor, |socket, description| {
        let flags = known_flags(flags, libc::MSG_DONTWAIT | libc::MSG_MORE)?;
        let is_nonblocking = flags & libc::MSG_DONTWAIT != 0 || description.is_nonblocking();
        Ok(match socket {
            Socket::Tcp(socket) => socket.send(data, is_nonblocking)?,
            Socket::Udp(socket) => socket.send(data, to)?,
        })
    });
    result.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, description| {
            if to.is_some() {
                return Err(Errno(libc::EISCONN));
            }
            send_unix(socket, description, data, flags, None)
        })
    })
}

/// Sends from a buffer through a socket of the family `AF_UNIX`.
fn send_unix(
    socket: &unix::UnixSocket,
    description: &Description,
    data: &[u8],
    flags: c_int,
    to: Option<&unix::Name>,
) -> Result<usize> {
    let known = known_flags(flags, libc::MSG_DONTWAIT | libc::MSG_MORE)?;
    let is_nonblocking = known & libc::MSG_DONTWAIT != 0 || description.is_nonblocking();
    let sent = socket.send(data, to, is_nonblocking);
    if flags & libc::MSG_NOSIGNAL != 0 {
        return sent;
    }
    signal::with_broken_pipe(sent)
}

/// Sends to an address of the family `AF_UNIX`; `None` if it is of another one.
///
/// # Safety
/// 1. `address` is null or points to `len` bytes.
unsafe fn send_to_name(
    descriptor: c_int,
    data: &[u8],
    flags: c_int,
    address: *const sockaddr,
    len: socklen_t,
) -> Option<Result<usize>> {
    // SAFETY: (1).
    if !unsafe { unix::is_of_family(address, len) } {
        return None;
    }
    let description = match object::get(descriptor) {
        Ok(description) => description,
        Err(error) => return Some(Err(error)),
    };
    let socket = description.downcast::<unix::UnixSocket>()?;
    // SAFETY: (1).
    let name = unsafe { unix::load_name(address, len) };
    Some(name.and_then(|name| send_unix(socket, &description, data, flags, Some(&name))))
}

/// What a receive call got: bytes, of how many, and from whom.
struct Received {
    len: usize,
    full_len: usize,
    from: Option<SocketAddrV4>,
    /// Of a sender of the family `AF_UNIX`.
    from_name: Option<unix::Name>,
}

/// Receives into a buffer.
fn receive_bytes(descriptor: c_int, buf: &mut [u8], flags: c_int) -> Result<Received> {
    let known = libc::MSG_DONTWAIT | libc::MSG_PEEK | libc::MSG_TRUNC | libc::MSG_WAITALL;
    let result = with_socket(descriptor, |socket, description| {
        let flags = known_flags(flags, known)?;
        let is_nonblocking = flags & libc::MSG_DONTWAIT != 0 || description.is_nonblocking();
        let is_peek = flags & libc::MSG_PEEK != 0;
        match socket {
            Socket::Tcp(socket) => {
                let mut len = socket.receive(buf, is_peek, is_nonblocking)?;
                let is_whole_wanted = flags & libc::MSG_WAITALL != 0 && !is_peek && !is_nonblocking;
                while is_whole_wanted && len != 0 && len < buf.len() {
                    match socket.receive(&mut buf[len..], false, false) {
                        Ok(0) | Err(_) => break,
                        Ok(more) => len += more,
                    }
                }
                Ok(Received {
                    len,
                    full_len: len,
                    from: None,
                    from_name: None,
                })
            }
            Socket::Udp(socket) => {
                let (len, full_len, from) = socket.receive_from(buf, is_peek, is_nonblocking)?;
                Ok(Received {
                    len,
                    full_len,
                    from: Some(from),
                    from_name: None,
                })
            }
        }
    });
    result.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, description| {
            let flags = known_flags(flags, known)?;
            let is_nonblocking = flags & libc::MSG_DONTWAIT != 0 || description.is_nonblocking();
            let is_peek = flags & libc::MSG_PEEK != 0;
            let received = socket.receive(buf, is_peek, is_nonblocking)?;
            let mut len = received.len;
            let is_whole_wanted = flags & libc::MSG_WAITALL != 0
                && received.from.is_none()
                && !is_peek
                && !is_nonblocking;
            while is_whole_wanted && len != 0 && len < buf.len() {
                match socket.receive(&mut buf[len..], false, false) {
                    Ok(unix::Received { len: 0, .. }) | Err(_) => break,
                    Ok(more) => len += more.len,
                }
            }
            Ok(Received {
                len,
                full_len: received.full_len.max(len),
                from: None,
                from_name: received.from,
            })
        })
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn send(
    descriptor: c_int,
    data: *const c_void,
    len: usize,
    flags: c_int,
) -> isize {
    // SAFETY: the caller's.
    unsafe { sendto(descriptor, data, len, flags, core::ptr::null(), 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendto(
    descriptor: c_int,
    data: *const c_void,
    len: usize,
    flags: c_int,
    address: *const sockaddr,
    address_len: socklen_t,
) -> isize {
    let send = || {
        // SAFETY: the caller's.
        let data = unsafe { bytes(data.cast(), len)? };
        // SAFETY: the caller's.
        if let Some(sent) = unsafe { send_to_name(descriptor, data, flags, address, address_len) } {
            return sent;
        }
        let to = if address.is_null() {
            None
        } else {
            // SAFETY: the caller's.
            Some(unsafe { load_address(address, address_len)? })
        };
        send_bytes(descriptor, data, flags, to)
    };
    errno::count(send())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn recv(descriptor: c_int, buf: *mut c_void, len: usize, flags: c_int) -> isize {
    let null = core::ptr::null_mut();
    // SAFETY: the caller's.
    unsafe { recvfrom(descriptor, buf, len, flags, null, core::ptr::null_mut()) }
}

/// Gives the caller the name of a sender; a stream tells none.
///
/// # Safety
/// 1. `len` is null or points to a length, and `address` is null or points to that many bytes.
unsafe fn store_name_or_none(
    name: &Option<unix::Name>,
    address: *mut sockaddr,
    len: *mut socklen_t,
) {
    // SAFETY: (1).
    unsafe {
        match name {
            Some(name) => unix::store_name(name, address, len),
            None if !len.is_null() => *len = 0,
            None => {}
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn recvfrom(
    descriptor: c_int,
    buf: *mut c_void,
    len: usize,
    flags: c_int,
    address: *mut sockaddr,
    address_len: *mut socklen_t,
) -> isize {
    let receive = || {
        // SAFETY: the caller's.
        let buf = unsafe { bytes_mut(buf.cast(), len)? };
        let received = receive_bytes(descriptor, buf, flags)?;
        match received.from {
            // SAFETY: the caller's.
            Some(from) => unsafe { store_address(from, address, address_len) },
            None => {
                // SAFETY: the caller's.
                unsafe { store_name_or_none(&received.from_name, address, address_len) };
            }
        }
        let is_full_wanted = flags & libc::MSG_TRUNC != 0;
        Ok(if is_full_wanted {
            received.full_len
        } else {
            received.len
        })
    };
    errno::count(receive())
}

/// # Safety
/// 1. `data` points to `len` bytes, or `len` is 0.
unsafe fn bytes<'a>(data: *const u8, len: usize) -> Result<&'a [u8]> {
    match (data.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Errno(libc::EFAULT)),
        // SAFETY: (1).
        (false, _) => Ok(unsafe { core::slice::from_raw_parts(data, len) }),
    }
}

/// # Safety
/// 1. `data` points to `len` bytes that nobody else uses during the call, or `len` is 0.
unsafe fn bytes_mut<'a>(data: *mut u8, len: usize) -> Result<&'a mut [u8]> {
    match (data.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(Errno(libc::EFAULT)),
        // SAFETY: (1).
        (false, _) => Ok(unsafe { core::slice::from_raw_parts_mut(data, len) }),
    }
}

/// The parts of a message.
///
/// # Safety
/// 1. `message` is null or points to a message header whose parts are valid.
unsafe fn parts<'a>(message: *const msghdr) -> Result<&'a [iovec]> {
    if message.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: (1).
    let message = unsafe { &*message };
    if message.msg_iovlen > libc::UIO_MAXIOV as usize {
        return Err(Errno(libc::EMSGSIZE));
    }
    if message.msg_iovlen == 0 {
        return Ok(&[]);
    }
    // SAFETY: (1).
    Ok(unsafe { core::slice::from_raw_parts(message.msg_iov, message.msg_iovlen) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendmsg(descriptor: c_int, message: *const msghdr, flags: c_int) -> isize {
    let send = || {
        // SAFETY: the caller's.
        let parts = unsafe { parts(message)? };
        // SAFETY: `parts` found it not to be null; the caller's.
        let message = unsafe { &*message };
        if message.msg_controllen != 0 {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        // SAFETY: the caller's.
        let is_named = unsafe { unix::is_of_family(message.msg_name.cast(), message.msg_namelen) };
        let to = if message.msg_name.is_null() || is_named {
            None
        } else {
            // SAFETY: the caller's.
            Some(unsafe { load_address(message.msg_name.cast(), message.msg_namelen)? })
        };
        let send_data = |data: &[u8]| {
            let (name, len) = (message.msg_name.cast(), message.msg_namelen);
            // SAFETY: the caller's.
            match unsafe { send_to_name(descriptor, data, flags, name, len) } {
                Some(sent) => sent,
                None if is_named => Err(Errno(libc::EAFNOSUPPORT)),
                None => send_bytes(descriptor, data, flags, to),
            }
        };
        if let [part] = parts {
            // SAFETY: the caller's.
            return send_data(unsafe { bytes(part.iov_base.cast(), part.iov_len)? });
        }
        // The parts of a datagram belong together, and a stream's go out in fewer segments.
        let mut data = Vec::new();
        for part in parts {
            // SAFETY: the caller's.
            let bytes = unsafe { bytes(part.iov_base.cast(), part.iov_len)? };
            data.try_reserve(bytes.len())
                .map_err(|_| Errno(libc::ENOBUFS))?;
            data.extend_from_slice(bytes);
        }
        send_data(&data)
    };
    errno::count(send())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn recvmsg(descriptor: c_int, message: *mut msghdr, flags: c_int) -> isize {
    let receive = || {
        // SAFETY: the caller's.
        let parts = unsafe { parts(message)? };
        let total: usize = parts
            .iter()
            .map(|part| part.iov_len)
            .fold(0, usize::saturating_add);
        let received = if let [part] = parts {
            // SAFETY: the caller's.
            let buf = unsafe { bytes_mut(part.iov_base.cast(), part.iov_len)? };
            receive_bytes(descriptor, buf, flags)?
        } else {
            // More than a datagram or a connection's buffer holds cannot come at once.
            let mut buf = vec![0; total.min(64 << 10)];
            let received = receive_bytes(descriptor, &mut buf, flags)?;
            let mut rest = &buf[..received.len];
            for part in parts {
                let (now, later) = rest.split_at(rest.len().min(part.iov_len));
                // SAFETY: the caller's.
                unsafe { bytes_mut(part.iov_base.cast(), now.len())?.copy_from_slice(now) };
                rest = later;
            }
            received
        };
        // SAFETY: the caller's.
        let message = unsafe { &mut *message };
        match received.from {
            Some(from) => {
                // SAFETY: the caller's.
                unsafe { store_address(from, message.msg_name.cast(), &mut message.msg_namelen) };
            }
            None => {
                let len = &mut message.msg_namelen;
                // SAFETY: the caller's.
                unsafe { store_name_or_none(&received.from_name, message.msg_name.cast(), len) };
            }
        }
        message.msg_controllen = 0;
        message.msg_flags = if received.full_len > received.len {
            libc::MSG_TRUNC
        } else {
            0
        };
        Ok(received.len)
    };
    errno::count(receive())
}
