//! Sockets (POSIX.1-2017, `sys/socket.h`; Linux's socket(7), tcp(7), ip(7), ipv6(7)): TCP and UDP over IPv4 and IPv6.
//!
//! What is not known is refused: `EAFNOSUPPORT` for other families, `ENOPROTOOPT` for other options, `EOPNOTSUPP` for other flags.
//! [`address`] reads and writes addresses; [`transfer`] sends and receives, [`message`] with more than bytes ([`control`]); [`options`] sets
//! and gets options, of which [`groups`] are about multicast and [`connection`] about one of TCP; [`mark`] is where urgent data is.

pub(super) mod address;
pub(super) mod connection;
mod control;
mod device;
mod groups;
mod hints;
pub(super) mod mark;
mod message;
mod options;
pub(super) mod requests;
mod transfer;

use alloc::boxed::Box;
use core::ffi::{c_int, c_ulong, c_void};
use core::net::SocketAddr;

use libc::{sockaddr, socklen_t};

use super::errno;
use super::object::{self, Description, Object};
use super::{netlink, program, resolve, unix};
use crate::arch::x86_64::entropy;
use crate::error::{Errno, Result};
use crate::memory::frames;
use crate::network::socket::family::Family;
use crate::network::socket::tcp::TcpSocket;
use crate::network::socket::udp::{UdpSocket, Wishes};
use crate::network::{self, Error, Network, Setup};
use crate::scheduler::{Notifier, Readiness};
use crate::start::{command_line, virtio_mmio};

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
            Error::NoDevice => libc::ENODEV,
            Error::NotConnected => libc::ENOTCONN,
            Error::Aborted => libc::ECONNABORTED,
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
pub(super) fn start_network() -> &'static Network {
    network::network(|| {
        program::set_farewell(network::say_farewell);
        Setup {
            net: command_line().network(),
            net6: command_line().network6(),
            virtio_mmio: virtio_mmio(),
            seed: entropy::random_u64(),
            memory_bytes: frames::usage().1 as u64,
        }
    })
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

    unsafe fn control(&self, request: c_ulong, argument: *mut c_void) -> Result<()> {
        // SAFETY: the same contract.
        unsafe { toro_socket_requests(request, argument) }
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

    fn write(&self, buf: &[u8], is_nonblocking: bool) -> Result<usize> {
        Ok(self.send(buf, None, &Wishes::default(), is_nonblocking)?)
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

    unsafe fn control(&self, request: c_ulong, argument: *mut c_void) -> Result<()> {
        // SAFETY: the same contract.
        unsafe { toro_socket_requests(request, argument) }
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

impl Socket<'_> {
    fn family(&self) -> &Family {
        match self {
            Socket::Tcp(socket) => &socket.family,
            Socket::Udp(socket) => &socket.family,
        }
    }

    /// Reads an address that the caller gave for it. Sockets for datagrams take both families, as on Linux.
    ///
    /// # Safety
    /// 1. `address` is null or points to `len` bytes.
    unsafe fn load(&self, address: *const sockaddr, len: socklen_t) -> Result<SocketAddr> {
        let takes_both = matches!(self, Socket::Udp(_));
        // SAFETY: (1).
        unsafe { address::load(address, len, self.family().is_v6, takes_both) }
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

unsafe extern "Rust" {
    /// Makes sockets of other kinds than those that `std` makes: one of the two below. The link step chooses, so that a program whose own
    /// objects do not refer to `socket` has none of them in its image.
    safe fn toro_further_sockets(domain: c_int, kind: c_int, protocol: c_int) -> Result<c_int>;
    /// In the same way, what sockets tell of interfaces when they are asked by `ioctl`.
    fn toro_socket_requests(request: c_ulong, argument: *mut c_void) -> Result<()>;
}

/// Makes sockets of ICMP, of ICMPv6 and of the family `AF_NETLINK`.
#[unsafe(no_mangle)]
fn toro_all_further_sockets(domain: c_int, kind: c_int, protocol: c_int) -> Result<c_int> {
    let flags = kind & (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    let is_raw = match kind & !flags {
        _ if domain == libc::AF_NETLINK => return netlink::open(kind, protocol),
        libc::SOCK_DGRAM => false,
        libc::SOCK_RAW => true,
        _ => return toro_no_further_sockets(domain, kind, protocol),
    };
    let is_v6 = match (domain, protocol) {
        (libc::AF_INET, libc::IPPROTO_ICMP) => false,
        (libc::AF_INET6, libc::IPPROTO_ICMPV6) => true,
        _ => return toro_no_further_sockets(domain, kind, protocol),
    };
    let socket = UdpSocket::of_messages(start_network(), is_v6, is_raw)?;
    object::insert(Box::new(socket), status_flags(flags))
}

/// Says why there is no such socket.
#[unsafe(no_mangle)]
fn toro_no_further_sockets(domain: c_int, kind: c_int, _protocol: c_int) -> Result<c_int> {
    Err(Errno(match (domain, kind & 15) {
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM | libc::SOCK_DGRAM | libc::SOCK_RAW) => {
            libc::EPROTONOSUPPORT
        }
        (libc::AF_INET | libc::AF_INET6, _) => libc::ESOCKTNOSUPPORT,
        _ => libc::EAFNOSUPPORT,
    }))
}

/// Answers requests about interfaces.
///
/// # Safety
/// As of [`requests::control`].
#[unsafe(no_mangle)]
unsafe fn toro_all_socket_requests(request: c_ulong, argument: *mut c_void) -> Result<()> {
    // SAFETY: the same contract.
    unsafe { requests::control(request, argument) }
}

/// Answers none.
///
/// # Safety
/// It has no conditions: it has those of the other.
#[unsafe(no_mangle)]
unsafe fn toro_no_socket_requests(_request: c_ulong, _argument: *mut c_void) -> Result<()> {
    Err(Errno(libc::ENOTTY))
}

#[unsafe(no_mangle)]
extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    resolve::bring_files();
    let open = || -> Result<c_int> {
        if domain == libc::AF_UNIX {
            return unix::open(kind, protocol);
        }
        let is_v6 = match domain {
            libc::AF_INET => false,
            libc::AF_INET6 => true,
            _ => return toro_further_sockets(domain, kind, protocol),
        };
        let flags = kind & (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
        let status = status_flags(flags);
        let network = start_network();
        let object: Box<dyn Object> = match (kind & !flags, protocol) {
            (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Box::new(TcpSocket::new(network, is_v6)),
            (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => Box::new(UdpSocket::new(network, is_v6)),
            _ => return toro_further_sockets(domain, kind, protocol),
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
        let address = unsafe { socket.load(address, len)? };
        match socket {
            Socket::Tcp(socket) => socket.bind(address)?,
            Socket::Udp(socket) => socket.bind(address)?,
        }
        Ok(())
    });
    let result = result.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, _| {
            // SAFETY: the caller's.
            socket.bind(unsafe { unix::load_name(address, len)? })
        })
    });
    errno::status(result.or_else(|error| {
        netlink::or_netlink(error, descriptor, |socket, _| {
            // SAFETY: the caller's.
            socket.bind(unsafe { netlink::load(address, len)? })
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
        let is_v6 = accepted.family.is_v6;
        let accepted = object::insert(Box::new(accepted), status_flags(flags))?;
        // SAFETY: the caller's.
        unsafe { address::store(peer, is_v6, address, len) };
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
        let result = unsafe { socket.load(address, len) };
        match socket {
            Socket::Tcp(socket) => {
                let is_nonblocking = description.is_nonblocking();
                Ok(socket.connect(result?, is_nonblocking)?)
            }
            Socket::Udp(socket) => match result {
                Ok(address) => Ok(socket.connect(Some(address))?),
                // SAFETY: the caller's; an address of no family undoes the connection.
                Err(_) if unsafe { address::is_unspecified(address, len) } => {
                    Ok(socket.connect(None)?)
                }
                Err(error) => Err(error),
            },
        }
    });
    let connected = connected.or_else(|error| {
        netlink::or_netlink(error, descriptor, |socket, _| {
            // SAFETY: the caller's.
            match unsafe { netlink::load(address, len)? } {
                // Requests go there anyway.
                (0, 0) => socket.bind((0, 0)),
                _ => Err(Errno(libc::ECONNREFUSED)),
            }
        })
    });
    errno::status(connected.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, description| {
            // SAFETY: the caller's.
            if unsafe { address::is_unspecified(address, len) } {
                return socket.disconnect();
            }
            // SAFETY: the caller's.
            let name = unsafe { unix::load_name(address, len)? };
            socket.connect(&name, description.is_nonblocking())
        })
    }))
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
        let local = match &socket {
            Socket::Tcp(socket) => socket.local(),
            Socket::Udp(socket) => socket.local(),
        };
        // SAFETY: the caller's.
        unsafe { address::store(local, socket.family().is_v6, address, len) };
        Ok(())
    });
    let result = result.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, _| {
            // SAFETY: the caller's.
            unsafe { unix::store_name(&socket.name(), address, len) };
            Ok(())
        })
    });
    errno::status(result.or_else(|error| {
        netlink::or_netlink(error, descriptor, |socket, _| {
            // SAFETY: the caller's.
            unsafe { netlink::store(socket.name(), address, len) };
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
        let peer = match &socket {
            Socket::Tcp(socket) => socket.peer()?,
            Socket::Udp(socket) => socket.peer().ok_or(Errno(libc::ENOTCONN))?,
        };
        // SAFETY: the caller's.
        unsafe { address::store(peer, socket.family().is_v6, address, len) };
        Ok(())
    });
    errno::status(result.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, _| {
            // SAFETY: the caller's.
            unsafe { unix::store_name(&socket.peer_name()?, address, len) };
            Ok(())
        })
        .or_else(|error| {
            netlink::or_netlink(error, descriptor, |_, _| {
                // SAFETY: the caller's.
                unsafe { netlink::store((0, 0), address, len) };
                Ok(())
            })
        })
    }))
}
