//! Sending and receiving (`send`, `recv` and their kin; POSIX.1-2017, Linux's send(2), recv(2)).

use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use core::net::SocketAddr;

use libc::{sockaddr, socklen_t};

use super::{Socket, address, with_socket};
use crate::abi::object::{self, Description};
use crate::abi::{errno, netlink, signal, unix};
use crate::error::{Errno, Result};
use crate::network;
use crate::network::socket::failure::Failure;
use crate::network::socket::mailbox::Origin;
use crate::network::socket::tcp::TcpSocket;
use crate::network::socket::udp::Wishes;

/// Where something is sent to, and how.
#[derive(Default)]
pub(super) struct Parcel<'a> {
    /// The address; of the socket's family or of `AF_UNIX`.
    pub(super) to: Option<&'a [u8]>,
    /// What is wanted otherwise than the socket has it.
    pub(super) wishes: Wishes,
    /// Descriptions that go along, to sockets of the family `AF_UNIX`.
    pub(super) along: unix::Along,
}

impl<'a> Parcel<'a> {
    /// To an address, or to where the socket is connected to.
    ///
    /// # Safety
    /// 1. `address` is null or points to `len` bytes, for as long as the parcel is used.
    pub(super) unsafe fn to(address: *const sockaddr, len: socklen_t) -> Self {
        let to = (!address.is_null()).then(|| {
            // SAFETY: (1).
            unsafe { core::slice::from_raw_parts(address.cast::<u8>(), len as usize) }
        });
        Self {
            to,
            ..Self::default()
        }
    }

    fn pointer(&self) -> (*const sockaddr, socklen_t) {
        match self.to {
            Some(bytes) => (bytes.as_ptr().cast(), bytes.len() as socklen_t),
            None => (core::ptr::null(), 0),
        }
    }

    fn address(&self, socket: &Socket<'_>) -> Result<Option<SocketAddr>> {
        let (pointer, len) = self.pointer();
        match self.to {
            // SAFETY: it points to the bytes of a slice.
            Some(_) => unsafe { socket.load(pointer, len) }.map(Some),
            None => Ok(None),
        }
    }

    fn name(&self) -> Result<Option<unix::Name>> {
        let (pointer, len) = self.pointer();
        match self.to {
            // SAFETY: it points to the bytes of a slice.
            Some(_) => unsafe { unix::load_name(pointer, len) }.map(Some),
            None => Ok(None),
        }
    }
}

/// Flags of a send or receive call, without those that ask for what is so anyway.
fn known_flags(flags: c_int, known: c_int) -> Result<c_int> {
    let harmless =
        libc::MSG_NOSIGNAL | libc::MSG_CMSG_CLOEXEC | libc::MSG_CONFIRM | libc::MSG_ZEROCOPY;
    if flags & !(known | harmless) != 0 {
        return Err(Errno(libc::EOPNOTSUPP));
    }
    Ok(flags)
}

/// What may be asked for when something is sent. `MSG_MORE` is taken for a hint.
const SEND_FLAGS: c_int = libc::MSG_DONTWAIT | libc::MSG_MORE | libc::MSG_EOR | libc::MSG_OOB;
/// What may be asked for when something is received.
const RECEIVE_FLAGS: c_int = libc::MSG_DONTWAIT
    | libc::MSG_PEEK
    | libc::MSG_TRUNC
    | libc::MSG_WAITALL
    | libc::MSG_OOB
    | libc::MSG_ERRQUEUE;

fn is_nonblocking(flags: c_int, description: &Description) -> bool {
    flags & libc::MSG_DONTWAIT != 0 || description.is_nonblocking()
}

/// Runs `call` on a TCP socket, told whether it must not wait, if that is all that the flags ask for: most calls go this short way.
#[inline]
fn with_stream(
    descriptor: c_int,
    flags: c_int,
    call: impl FnOnce(&TcpSocket, bool) -> network::Result<usize>,
) -> Option<Result<usize>> {
    if flags & !(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) != 0 {
        return None;
    }
    let description = object::get(descriptor).ok()?;
    let socket = description.downcast::<TcpSocket>()?;
    Some(call(socket, is_nonblocking(flags, &description)).map_err(Errno::from))
}

/// Sends from a buffer.
pub(super) fn send_bytes(
    descriptor: c_int,
    data: &[u8],
    flags: c_int,
    parcel: Parcel<'_>,
) -> Result<usize> {
    let result = with_socket(descriptor, |socket, description| {
        let flags = known_flags(flags, SEND_FLAGS)?;
        let to = parcel.address(&socket)?;
        Ok(match socket {
            Socket::Tcp(socket) if flags & libc::MSG_OOB != 0 => {
                socket.send_urgent(data, is_nonblocking(flags, description))?
            }
            Socket::Tcp(socket) => socket.send(data, is_nonblocking(flags, description))?,
            Socket::Udp(_) if flags & libc::MSG_OOB != 0 => return Err(Errno(libc::EOPNOTSUPP)),
            Socket::Udp(socket) => {
                let is_nonblocking = is_nonblocking(flags, description);
                socket.send(data, to, &parcel.wishes, is_nonblocking)?
            }
        })
    });
    let result = result.or_else(|error| {
        netlink::or_netlink(error, descriptor, |socket, _| {
            known_flags(flags, SEND_FLAGS & !libc::MSG_OOB)?;
            let (pointer, len) = parcel.pointer();
            let to = match parcel.to {
                // SAFETY: it points to the bytes of a slice.
                Some(_) => Some(unsafe { netlink::load(pointer, len)? }),
                None => None,
            };
            socket.send(data, to)
        })
    });
    result.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, description| {
            let known = known_flags(flags, SEND_FLAGS & !libc::MSG_OOB)?;
            let name = parcel.name()?;
            let is_nonblocking = is_nonblocking(known, description);
            let sent = socket.send(data, name.as_ref(), parcel.along, is_nonblocking);
            if flags & libc::MSG_NOSIGNAL != 0 {
                return sent;
            }
            signal::with_broken_pipe(sent)
        })
    })
}

/// Who sent something.
pub(super) enum Sender {
    /// It is not told: the other end of a connection.
    Unnamed,
    /// A host, as a socket of a family (IPv6 or not) sees it.
    Host(Origin, bool),
    /// Nobody: it is what was sent to that address and did not arrive.
    Undelivered(Failure, bool),
    /// A socket of the family `AF_UNIX`.
    Name(unix::Name),
    /// The kernel, to a socket of the family `AF_NETLINK`.
    Kernel,
}

impl Sender {
    /// Gives the caller the address of the sender; of one that is not told, its length alone: 0.
    ///
    /// # Safety
    /// 1. `len` is null or points to a length, and `address` is null or points to that many bytes.
    pub(super) unsafe fn store(&self, address: *mut sockaddr, len: *mut socklen_t) {
        // SAFETY: (1).
        unsafe {
            match self {
                Self::Host(origin, is_v6) => address::store(origin.from, *is_v6, address, len),
                Self::Undelivered(failure, is_v6) => {
                    address::store(failure.to, *is_v6, address, len)
                }
                Self::Name(name) => unix::store_name(name, address, len),
                Self::Kernel => netlink::store((0, 0), address, len),
                Self::Unnamed if !len.is_null() => *len = 0,
                Self::Unnamed => {}
            }
        }
    }
}

/// What a receive call got: bytes, of how many, and from whom.
pub(super) struct Received {
    pub(super) len: usize,
    pub(super) full_len: usize,
    pub(super) sender: Sender,
    /// What came along.
    pub(super) along: unix::Along,
    /// Who sent it, if that is to be told.
    pub(super) credentials: Option<libc::ucred>,
}

impl Received {
    fn of_stream(len: usize) -> Self {
        Self {
            len,
            full_len: len,
            sender: Sender::Unnamed,
            along: unix::Along::new(),
            credentials: None,
        }
    }
}

/// Goes on receiving from a stream until the buffer is full, if that `is_wanted`; how much there is then.
fn fill(
    buf: &mut [u8],
    mut len: usize,
    is_wanted: bool,
    mut receive: impl FnMut(&mut [u8]) -> Result<usize>,
) -> usize {
    while is_wanted && len != 0 && len < buf.len() {
        match receive(&mut buf[len..]) {
            Ok(0) | Err(_) => break,
            Ok(more) => len += more,
        }
    }
    len
}

/// Receives into a buffer.
pub(super) fn receive_bytes(descriptor: c_int, buf: &mut [u8], flags: c_int) -> Result<Received> {
    let is_peek = flags & libc::MSG_PEEK != 0;
    let is_whole_wanted = |is_nonblocking: bool| {
        flags & libc::MSG_WAITALL != 0 && flags & libc::MSG_PEEK == 0 && !is_nonblocking
    };
    let check = || known_flags(flags, RECEIVE_FLAGS);
    let is_urgent = flags & libc::MSG_OOB != 0;
    let is_failure = flags & libc::MSG_ERRQUEUE != 0;
    let result = with_socket(descriptor, |socket, description| {
        let is_nonblocking = is_nonblocking(check()?, description);
        match socket {
            Socket::Udp(socket) if is_failure => {
                let failure = socket.take_failure().ok_or(Errno(libc::EAGAIN))?;
                let len = buf.len().min(failure.payload.len());
                buf[..len].copy_from_slice(&failure.payload[..len]);
                Ok(Received {
                    full_len: failure.payload.len(),
                    sender: Sender::Undelivered(failure, socket.family.is_v6),
                    ..Received::of_stream(len)
                })
            }
            // What goes wrong with a connection is not kept apart: there is never anything in that queue.
            Socket::Tcp(_) if is_failure => Err(Errno(libc::EAGAIN)),
            Socket::Tcp(socket) if is_urgent => {
                let byte = socket.receive_urgent(is_peek)?;
                let taken: Vec<u8> = byte.into_iter().take(buf.len()).collect();
                buf[..taken.len()].copy_from_slice(&taken);
                Ok(Received {
                    full_len: usize::from(byte.is_some()),
                    ..Received::of_stream(taken.len())
                })
            }
            Socket::Tcp(socket) => {
                let len = socket.receive(buf, is_peek, is_nonblocking)?;
                let len = fill(buf, len, is_whole_wanted(is_nonblocking), |rest| {
                    Ok(socket.receive(rest, false, false)?)
                });
                Ok(Received::of_stream(len))
            }
            Socket::Udp(socket) => {
                let (len, full_len, origin) = socket.receive_from(buf, is_peek, is_nonblocking)?;
                let is_v6 = socket.family.is_v6;
                Ok(Received {
                    full_len,
                    sender: origin.map_or(Sender::Unnamed, |origin| Sender::Host(origin, is_v6)),
                    ..Received::of_stream(len)
                })
            }
        }
    });
    let result = result.or_else(|error| {
        netlink::or_netlink(error, descriptor, |socket, description| {
            let is_nonblocking = is_nonblocking(check()?, description);
            if is_urgent || is_failure {
                return Err(Errno(libc::EOPNOTSUPP));
            }
            let (len, full_len) = socket.receive(buf, is_peek, is_nonblocking)?;
            Ok(Received {
                full_len,
                sender: Sender::Kernel,
                ..Received::of_stream(len)
            })
        })
    });
    result.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, description| {
            let is_nonblocking = is_nonblocking(check()?, description);
            if is_urgent {
                return Err(Errno(libc::EOPNOTSUPP));
            }
            if is_failure {
                return Err(Errno(libc::EAGAIN));
            }
            let received = socket.receive(buf, is_peek, is_nonblocking)?;
            let is_wanted = received.from.is_none() && is_whole_wanted(is_nonblocking);
            let len = fill(buf, received.len, is_wanted, |rest| {
                Ok(socket.receive(rest, false, false)?.len)
            });
            Ok(Received {
                len,
                full_len: received.full_len.max(len),
                sender: received.from.map_or(Sender::Unnamed, Sender::Name),
                along: received.along,
                credentials: received.credentials,
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
    let data = unsafe { bytes(data.cast(), len) };
    errno::count(data.and_then(|data| {
        with_stream(descriptor, flags, |socket, is_nonblocking| {
            socket.send(data, is_nonblocking)
        })
        .unwrap_or_else(|| send_bytes(descriptor, data, flags, Parcel::default()))
    }))
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
    // SAFETY: the caller's.
    let (data, parcel) = unsafe { (bytes(data.cast(), len), Parcel::to(address, address_len)) };
    errno::count(data.and_then(|data| send_bytes(descriptor, data, flags, parcel)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn recv(descriptor: c_int, buf: *mut c_void, len: usize, flags: c_int) -> isize {
    // SAFETY: the caller's.
    let result = unsafe { bytes_mut(buf.cast(), len) }.and_then(|buf| {
        let receive =
            |socket: &TcpSocket, is_nonblocking| socket.receive(buf, false, is_nonblocking);
        with_stream(descriptor, flags, receive).transpose()
    });
    match result {
        Ok(None) => {
            let null = core::ptr::null_mut();
            // SAFETY: the caller's.
            unsafe { recvfrom(descriptor, buf, len, flags, null, core::ptr::null_mut()) }
        }
        Ok(Some(len)) => len as isize,
        Err(error) => errno::set(error) as isize,
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
        // SAFETY: the caller's.
        unsafe { received.sender.store(address, address_len) };
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
pub(super) unsafe fn bytes<'a>(data: *const u8, len: usize) -> Result<&'a [u8]> {
    match (data.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Errno(libc::EFAULT)),
        // SAFETY: (1).
        (false, _) => Ok(unsafe { core::slice::from_raw_parts(data, len) }),
    }
}

/// # Safety
/// 1. `data` points to `len` bytes that nobody else uses during the call, or `len` is 0.
pub(super) unsafe fn bytes_mut<'a>(data: *mut u8, len: usize) -> Result<&'a mut [u8]> {
    match (data.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(Errno(libc::EFAULT)),
        // SAFETY: (1).
        (false, _) => Ok(unsafe { core::slice::from_raw_parts_mut(data, len) }),
    }
}
