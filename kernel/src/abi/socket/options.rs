//! Options of sockets (`getsockopt`, `setsockopt`; Linux's socket(7), tcp(7), ip(7), ipv6(7)).

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use libc::socklen_t;

use super::transfer::bytes;
use super::{Socket, connection, device, groups, hints, with_socket};
use crate::abi::channel::SOCKET_BYTES;
use crate::abi::netlink::{self, NetlinkSocket};
use crate::abi::{credentials, errno, unix};
use crate::error::{Errno, Result};
use crate::network::socket::options::NumberOption;
use crate::network::socket::told::Told;
use crate::network::socket::udp::Protocol;

/// Reads a value of an option.
///
/// # Safety
/// 1. `value` is null or points to `len` bytes. `T` is valid for all bit patterns.
pub(super) unsafe fn load<T: Copy>(value: *const c_void, len: socklen_t) -> Result<T> {
    if value.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    if (len as usize) < size_of::<T>() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: (1).
    Ok(unsafe { value.cast::<T>().read_unaligned() })
}

/// Gives the caller the value of an option, as much as fits, and its length.
///
/// # Safety
/// 1. `len` is null or points to a length, and `to` points to that many bytes.
pub(super) unsafe fn store<T: Copy>(value: T, to: *mut c_void, len: *mut socklen_t) -> Result<()> {
    if to.is_null() || len.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: no more is written than the caller has room for (1).
    unsafe {
        let room = (*len as usize).min(size_of::<T>());
        core::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), to.cast(), room);
        *len = room as socklen_t;
    }
    Ok(())
}

/// Of `linux/in6.h`.
const IPV6_TRANSPARENT: c_int = 75;
const IPV6_FREEBIND: c_int = 78;

/// A timeout in nanoseconds; 0 is none.
fn timeout_ns(value: libc::timeval) -> Result<u64> {
    if !(0..1_000_000).contains(&value.tv_usec) {
        return Err(Errno(libc::EDOM));
    }
    // A negative time is over at once; the shortest there is comes to the same.
    let Ok(seconds) = u64::try_from(value.tv_sec) else {
        return Ok(1);
    };
    Ok(seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(value.tv_usec as u64 * 1000))
}

fn timeval(timeout_ns: u64) -> libc::timeval {
    libc::timeval {
        tv_sec: (timeout_ns / 1_000_000_000) as i64,
        tv_usec: (timeout_ns / 1000 % 1_000_000) as i64,
    }
}

/// Halves of the least that Linux makes buffers (`SOCK_MIN_RCVBUF`, `SOCK_MIN_SNDBUF`): it doubles what it is told.
const MIN_RECEIVE_BYTES: u32 = 1152;
const MIN_SEND_BYTES: u32 = 2304;

/// The size of a buffer that a program asks for: what is negative means as much as there can be, as on Linux.
fn buffer_bytes(asked: c_int, least: u32) -> u32 {
    u32::try_from(asked).unwrap_or(c_int::MAX as u32).max(least)
}

/// Which number an option of TCP is, and the largest that Linux takes.
fn number_option(option: c_int) -> Result<(NumberOption, c_int)> {
    Ok(match option {
        libc::TCP_KEEPIDLE => (NumberOption::KeepAliveSeconds, 32767),
        libc::TCP_KEEPINTVL => (NumberOption::KeepAliveIntervalSeconds, 32767),
        libc::TCP_KEEPCNT => (NumberOption::KeepAliveProbes, 127),
        libc::TCP_USER_TIMEOUT => (NumberOption::UserTimeoutMs, c_int::MAX),
        libc::TCP_MAXSEG => (NumberOption::SegmentBytes, 32767),
        libc::TCP_SYNCNT => (NumberOption::RequestRepetitions, 127),
        _ => return Err(Errno(libc::ENOPROTOOPT)),
    })
}

/// Which of what a program can be told of datagrams an option is.
fn told_option(level: c_int, option: c_int) -> Option<Told> {
    Some(match (level, option) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => Told::INFO_V4,
        (libc::IPPROTO_IP, libc::IP_RECVTTL) => Told::HOP_LIMIT_V4,
        (libc::IPPROTO_IP, libc::IP_RECVTOS) => Told::CLASS_V4,
        (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO) => Told::INFO_V6,
        (libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT) => Told::HOP_LIMIT_V6,
        (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS) => Told::CLASS_V6,
        (libc::SOL_SOCKET, libc::SO_TIMESTAMP) => Told::TIME_US,
        (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) => Told::TIME_NS,
        (libc::SOL_UDP, libc::UDP_GRO) => Told::SEGMENTS,
        _ => return None,
    })
}

/// The place of an option of a socket of the family `AF_NETLINK`.
fn netlink_switch(socket: &NetlinkSocket, level: c_int, option: c_int) -> Result<&AtomicBool> {
    let place = socket.switch(option).filter(|_| level == libc::SOL_NETLINK);
    place.ok_or(Errno(libc::ENOPROTOOPT))
}

/// A byte as options have it; -1 is the default.
fn byte_or(default: u8, value: c_int) -> Result<u8> {
    match value {
        -1 => Ok(default),
        value => u8::try_from(value).map_err(|_| Errno(libc::EINVAL)),
    }
}

impl Socket<'_> {
    fn timeout(&self, option: c_int) -> &AtomicU64 {
        match (self, option) {
            (Socket::Tcp(socket), libc::SO_RCVTIMEO) => &socket.read_timeout_ns,
            (Socket::Tcp(socket), _) => &socket.write_timeout_ns,
            (Socket::Udp(socket), libc::SO_RCVTIMEO) => &socket.read_timeout_ns,
            (Socket::Udp(socket), _) => &socket.write_timeout_ns,
        }
    }

    /// The place of an option that is on or off, if it is one.
    fn switch(&self, level: c_int, option: c_int) -> Option<&AtomicBool> {
        Some(match (level, option, self) {
            (libc::SOL_SOCKET, libc::SO_REUSEADDR, Socket::Tcp(socket)) => {
                &socket.is_address_reused
            }
            (libc::SOL_SOCKET, libc::SO_REUSEADDR, Socket::Udp(socket)) => {
                &socket.is_address_reused
            }
            (libc::SOL_SOCKET, libc::SO_REUSEPORT, Socket::Tcp(socket)) => &socket.is_port_shared,
            (libc::SOL_SOCKET, libc::SO_REUSEPORT, Socket::Udp(socket)) => &socket.is_port_shared,
            (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, _) => &self.family().is_port_late,
            (libc::IPPROTO_IP, libc::IP_FREEBIND, _) => &self.family().is_bound_freely,
            (libc::IPPROTO_IP, libc::IP_TRANSPARENT, _) => &self.family().is_transparent,
            (libc::IPPROTO_IPV6, IPV6_FREEBIND, _) if self.family().is_v6 => {
                &self.family().is_bound_freely
            }
            (libc::IPPROTO_IPV6, IPV6_TRANSPARENT, _) if self.family().is_v6 => {
                &self.family().is_transparent
            }
            (libc::SOL_SOCKET, libc::SO_BROADCAST, Socket::Tcp(socket)) => {
                &socket.is_broadcast_allowed
            }
            (libc::SOL_SOCKET, libc::SO_BROADCAST, Socket::Udp(socket)) => {
                &socket.is_broadcast_allowed
            }
            _ => return None,
        })
    }

    fn set_hop_limit(&self, hop_limit: u8) {
        match self {
            Socket::Tcp(socket) => socket.set_ttl(hop_limit),
            Socket::Udp(socket) => socket.ttl.store(hop_limit, Ordering::Relaxed),
        }
    }

    fn hop_limit(&self) -> u8 {
        match self {
            Socket::Tcp(socket) => socket.ttl(),
            Socket::Udp(socket) => socket.ttl.load(Ordering::Relaxed),
        }
    }

    fn set_traffic_class(&self, class: u8) {
        match self {
            Socket::Tcp(socket) => socket.set_traffic_class(class),
            Socket::Udp(socket) => socket.traffic_class.store(class, Ordering::Relaxed),
        }
    }

    fn traffic_class(&self) -> u8 {
        match self {
            Socket::Tcp(socket) => socket.traffic_class(),
            Socket::Udp(socket) => socket.traffic_class.load(Ordering::Relaxed),
        }
    }

    pub(super) fn is_bound(&self) -> bool {
        match self {
            Socket::Tcp(socket) => socket.is_bound(),
            Socket::Udp(socket) => socket.is_bound(),
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn setsockopt(
    descriptor: c_int,
    level: c_int,
    option: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // Those of root, whom no limit binds.
    let option = match (level, option) {
        (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE) => libc::SO_RCVBUF,
        (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE) => libc::SO_SNDBUF,
        _ => option,
    };
    let result = with_socket(descriptor, |socket, _| {
        // SAFETY: the caller's; integers and the two structures of integers are valid for all bit patterns.
        let integer = || unsafe { load::<c_int>(value, len) };
        if let Some(switch) = socket.switch(level, option) {
            switch.store(integer()? != 0, Ordering::Relaxed);
            return Ok(());
        }
        if let Some(hint) = hints::find(&socket, level, option) {
            return hints::set(&socket, hint, integer()?);
        }
        let is_v6 = socket.family().is_v6;
        match (level, option, &socket) {
            (libc::SOL_SOCKET, libc::SO_BINDTODEVICE, socket) => {
                // SAFETY: the caller's.
                let name = unsafe { bytes(value.cast(), len as usize)? };
                device::keep_to(socket, device::named(name)?)?;
            }
            (libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, socket) => {
                device::keep_to(socket, device::numbered(integer()?)?)?;
            }
            (libc::SOL_SOCKET, libc::SO_RCVBUF, socket) => {
                let bytes = buffer_bytes(integer()?, MIN_RECEIVE_BYTES);
                match socket {
                    Socket::Tcp(socket) => socket.set_number(NumberOption::ReceiveBytes, bytes),
                    Socket::Udp(socket) => socket.set_receive_bytes(bytes as usize),
                }
            }
            (libc::SOL_SOCKET, libc::SO_SNDBUF, socket) => {
                let bytes = buffer_bytes(integer()?, MIN_SEND_BYTES);
                match socket {
                    Socket::Tcp(socket) => socket.set_number(NumberOption::TransmitBytes, bytes),
                    Socket::Udp(socket) => socket.set_send_bytes(bytes as usize),
                }
            }
            (libc::SOL_SOCKET, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO, _) => {
                // SAFETY: as above.
                let timeout = timeout_ns(unsafe { load(value, len)? })?;
                socket.timeout(option).store(timeout, Ordering::Relaxed);
            }
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE, Socket::Tcp(socket)) => {
                socket.set_keep_alive(integer()? != 0);
            }
            (libc::SOL_SOCKET, libc::SO_OOBINLINE, Socket::Tcp(socket)) => {
                socket.set_urgent_inline(integer()? != 0);
            }
            (libc::SOL_SOCKET, libc::SO_RCVLOWAT, Socket::Tcp(socket)) => {
                // 0 means 1, and what is negative means everything, as on Linux.
                let bytes = u32::try_from(integer()?).unwrap_or(u32::MAX).max(1);
                socket.low_water.store(bytes, Ordering::Relaxed);
            }
            (libc::SOL_SOCKET, libc::SO_LINGER, Socket::Tcp(socket)) => {
                // SAFETY: as above.
                let linger: libc::linger = unsafe { load(value, len)? };
                let seconds = u64::try_from(linger.l_linger).map_err(|_| Errno(libc::EINVAL))?;
                let linger = if linger.l_onoff == 0 { 0 } else { seconds + 1 };
                socket.linger.store(linger, Ordering::Relaxed);
            }
            (libc::IPPROTO_TCP, libc::TCP_NODELAY, Socket::Tcp(socket)) => {
                socket.set_nodelay(integer()? != 0);
            }
            (libc::IPPROTO_TCP, libc::TCP_QUICKACK, Socket::Tcp(socket)) => {
                socket.set_quick_ack(integer()? != 0);
            }
            (libc::IPPROTO_TCP, libc::TCP_CORK, Socket::Tcp(socket)) => {
                socket.set_corked(integer()? != 0);
            }
            (libc::IPPROTO_TCP, _, Socket::Tcp(socket)) => {
                // SAFETY: the caller's.
                if let Some(result) = unsafe { connection::set(socket, option, value, len) } {
                    return result;
                }
                if let Some((option, value)) = connection::fitted(option, integer) {
                    socket.set_number(option, value?);
                    return Ok(());
                }
                let (option, most) = number_option(option)?;
                let least = match option {
                    NumberOption::UserTimeoutMs => 0,
                    // Linux's `TCP_MIN_MSS`.
                    NumberOption::SegmentBytes => 88,
                    _ => 1,
                };
                let value = Some(integer()?).filter(|value| (least..=most).contains(value));
                socket.set_number(option, value.ok_or(Errno(libc::EINVAL))? as u32);
            }
            (libc::IPPROTO_IP, libc::IP_TTL, _) => {
                let ttl = Some(byte_or(64, integer()?)?).filter(|ttl| *ttl != 0);
                socket.set_hop_limit(ttl.ok_or(Errno(libc::EINVAL))?);
            }
            (libc::IPPROTO_IP, libc::IP_TOS, _) => {
                let class = match len {
                    // SAFETY: as above.
                    1..4 => unsafe { load::<u8>(value, len)? },
                    // Linux takes the lowest byte of any number.
                    _ => integer()? as u8,
                };
                socket.set_traffic_class(class);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, _) if is_v6 => {
                socket.set_hop_limit(byte_or(64, integer()?)?);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, _) if is_v6 => {
                socket.set_traffic_class(byte_or(0, integer()?)?);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, _) if is_v6 => {
                if socket.is_bound() {
                    return Err(Errno(libc::EINVAL));
                }
                let is_only = integer()? != 0;
                socket.family().is_only.store(is_only, Ordering::Relaxed);
            }
            (libc::IPPROTO_IPV6, _, _) if !is_v6 => return Err(Errno(libc::ENOPROTOOPT)),
            (libc::IPPROTO_IP, libc::IP_RECVERR, Socket::Udp(socket))
            | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, Socket::Udp(socket)) => {
                socket.keep_failures(integer()? != 0);
            }
            (libc::SOL_UDP, libc::UDP_SEGMENT, Socket::Udp(socket))
                if socket.protocol == Protocol::Udp =>
            {
                let len = u16::try_from(integer()?).map_err(|_| Errno(libc::EINVAL))?;
                socket.segment_bytes.store(len, Ordering::Relaxed);
            }
            (libc::SOL_UDP, _, Socket::Udp(socket)) if socket.protocol != Protocol::Udp => {
                return Err(Errno(libc::ENOPROTOOPT));
            }
            (_, _, Socket::Udp(socket)) => match told_option(level, option) {
                Some(what) => {
                    let is_on = integer()? != 0;
                    // One of the two at most.
                    if is_on && level == libc::SOL_SOCKET {
                        socket.tell(Told::TIME_US | Told::TIME_NS, false);
                    }
                    socket.tell(what, is_on);
                }
                // SAFETY: the caller's.
                None => unsafe { groups::set(socket, level, option, value, len)? },
            },
            _ => return Err(Errno(libc::ENOPROTOOPT)),
        }
        Ok(())
    });
    let result = result.or_else(|error| {
        netlink::or_netlink(error, descriptor, |socket, _| {
            let place = match (level, option) {
                (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => &socket.read_timeout_ns,
                (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => &socket.write_timeout_ns,
                (
                    libc::SOL_NETLINK,
                    libc::NETLINK_ADD_MEMBERSHIP | libc::NETLINK_DROP_MEMBERSHIP,
                ) => {
                    // SAFETY: the caller's; integers are valid for all bit patterns.
                    let number: u32 = unsafe { load(value, len)? };
                    let is_member = option == libc::NETLINK_ADD_MEMBERSHIP;
                    return socket.change_groups(&|now| now.with(number, is_member));
                }
                _ => {
                    // SAFETY: the caller's; integers are valid for all bit patterns.
                    let is_on = unsafe { load::<c_int>(value, len)? } != 0;
                    let switch = netlink_switch(socket, level, option)?;
                    switch.store(is_on, Ordering::Relaxed);
                    return Ok(());
                }
            };
            // SAFETY: the caller's; integers are valid for all bit patterns.
            place.store(timeout_ns(unsafe { load(value, len)? })?, Ordering::Relaxed);
            Ok(())
        })
    });
    errno::status(result.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, _| {
            match (level, option) {
                (libc::SOL_SOCKET, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO) => {
                    // SAFETY: the caller's; integers are valid for all bit patterns.
                    let timeout = timeout_ns(unsafe { load(value, len)? })?;
                    socket.timeout(option).store(timeout, Ordering::Relaxed);
                    Ok(())
                }
                (libc::SOL_SOCKET, libc::SO_PASSCRED) => {
                    // SAFETY: the caller's; integers are valid for all bit patterns.
                    let is_on = unsafe { load::<c_int>(value, len)? } != 0;
                    socket.is_told_credentials.store(is_on, Ordering::Relaxed);
                    Ok(())
                }
                _ => Err(Errno(libc::ENOPROTOOPT)),
            }
        })
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getsockopt(
    descriptor: c_int,
    level: c_int,
    option: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    let result = with_socket(descriptor, |socket, _| {
        let is_v6 = socket.family().is_v6;
        // As Linux has it for reading; what sets one says `ENOPROTOOPT`.
        if level == libc::IPPROTO_IPV6 && !is_v6 {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        if (level, option) == (libc::SOL_SOCKET, libc::SO_LINGER)
            && let Socket::Tcp(socket) = socket
        {
            let linger = socket.linger.load(Ordering::Relaxed);
            let linger = libc::linger {
                l_onoff: c_int::from(linger != 0),
                l_linger: c_int::try_from(linger.saturating_sub(1)).unwrap_or(c_int::MAX),
            };
            // SAFETY: the caller's.
            return unsafe { store(linger, value, len) };
        }
        if level == libc::SOL_SOCKET && matches!(option, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO) {
            let timeout = socket.timeout(option).load(Ordering::Relaxed);
            // SAFETY: the caller's.
            return unsafe { store(timeval(timeout), value, len) };
        }
        if let Some(switch) = socket.switch(level, option) {
            let is_on = switch.load(Ordering::Relaxed);
            // SAFETY: the caller's.
            return unsafe { store(c_int::from(is_on), value, len) };
        }
        if let Some(hint) = hints::find(&socket, level, option) {
            // SAFETY: the caller's.
            return unsafe { store(socket.family().hints.get(hint), value, len) };
        }
        if (level, option) == (libc::SOL_SOCKET, libc::SO_BINDTODEVICE) {
            // SAFETY: the caller's.
            return unsafe { device::store_name(&socket, value, len) };
        }
        let integer = match (level, option, &socket) {
            (libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, _) => device::number(&socket),
            (libc::SOL_SOCKET, libc::SO_ERROR, Socket::Tcp(socket)) => {
                socket.take_error().map_or(0, |error| Errno::from(error).0)
            }
            (libc::SOL_SOCKET, libc::SO_ERROR, Socket::Udp(socket)) => {
                socket.take_error().map_or(0, |error| Errno::from(error).0)
            }
            (libc::SOL_SOCKET, libc::SO_TYPE, Socket::Tcp(_)) => libc::SOCK_STREAM,
            (libc::SOL_SOCKET, libc::SO_TYPE, Socket::Udp(socket)) => match socket.protocol {
                Protocol::Udp | Protocol::Echo => libc::SOCK_DGRAM,
                Protocol::Messages => libc::SOCK_RAW,
            },
            (libc::SOL_SOCKET, libc::SO_DOMAIN, _) if is_v6 => libc::AF_INET6,
            (libc::SOL_SOCKET, libc::SO_DOMAIN, _) => libc::AF_INET,
            (libc::SOL_SOCKET, libc::SO_PROTOCOL, Socket::Tcp(_)) => libc::IPPROTO_TCP,
            (libc::SOL_SOCKET, libc::SO_PROTOCOL, Socket::Udp(socket)) => match socket.protocol {
                Protocol::Udp => libc::IPPROTO_UDP,
                _ if is_v6 => libc::IPPROTO_ICMPV6,
                _ => libc::IPPROTO_ICMP,
            },
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN, Socket::Tcp(socket)) => {
                c_int::from(socket.is_listening())
            }
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN, Socket::Udp(_)) => 0,
            (libc::SOL_SOCKET, libc::SO_RCVLOWAT, Socket::Tcp(socket)) => {
                c_int::try_from(socket.low_water.load(Ordering::Relaxed)).unwrap_or(c_int::MAX)
            }
            (libc::SOL_SOCKET, libc::SO_RCVLOWAT | libc::SO_SNDLOWAT, _) => 1,
            (libc::SOL_SOCKET, libc::SO_RCVBUF | libc::SO_SNDBUF, _) => {
                let (receive, send) = match &socket {
                    Socket::Tcp(socket) => socket.buffer_bytes(),
                    Socket::Udp(socket) => socket.buffer_bytes(),
                };
                let bytes = match option {
                    libc::SO_RCVBUF => receive,
                    _ => send,
                };
                c_int::try_from(bytes).unwrap_or(c_int::MAX)
            }
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE, Socket::Tcp(socket)) => {
                c_int::from(socket.keep_alive())
            }
            (libc::SOL_SOCKET, libc::SO_OOBINLINE, Socket::Tcp(socket)) => {
                c_int::from(socket.is_urgent_inline())
            }
            (libc::SOL_SOCKET, libc::SO_INCOMING_CPU, Socket::Tcp(socket)) => {
                let core = socket.core().and_then(|core| c_int::try_from(core).ok());
                core.unwrap_or(-1)
            }
            (libc::IPPROTO_TCP, libc::TCP_NODELAY, Socket::Tcp(socket)) => {
                c_int::from(socket.nodelay())
            }
            (libc::IPPROTO_TCP, libc::TCP_QUICKACK, Socket::Tcp(socket)) => {
                c_int::from(socket.quick_ack())
            }
            (libc::IPPROTO_TCP, libc::TCP_CORK, Socket::Tcp(socket)) => {
                c_int::from(socket.is_corked())
            }
            (libc::IPPROTO_TCP, _, Socket::Tcp(socket)) => {
                // SAFETY: the caller's.
                if let Some(result) = unsafe { connection::get(socket, option, value, len) } {
                    return result;
                }
                if let Some(told) = connection::told(socket, option) {
                    // SAFETY: the caller's.
                    return unsafe { store(told, value, len) };
                }
                let (option, _) = number_option(option)?;
                c_int::try_from(socket.number(option)).unwrap_or(c_int::MAX)
            }
            // As Linux has it for reading, once more.
            (libc::IPPROTO_TCP, _, Socket::Udp(_)) if !is_v6 => {
                return Err(Errno(libc::EOPNOTSUPP));
            }
            (libc::SOL_UDP, libc::UDP_SEGMENT, Socket::Udp(socket))
                if socket.protocol == Protocol::Udp =>
            {
                c_int::from(socket.segment_bytes.load(Ordering::Relaxed))
            }
            (libc::IPPROTO_IP, libc::IP_TTL, _) => c_int::from(socket.hop_limit()),
            (libc::IPPROTO_IP, libc::IP_TOS, _) => c_int::from(socket.traffic_class()),
            (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, _) if is_v6 => {
                c_int::from(socket.hop_limit())
            }
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, _) if is_v6 => {
                c_int::from(socket.traffic_class())
            }
            (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, _) if is_v6 => {
                c_int::from(socket.family().is_only.load(Ordering::Relaxed))
            }
            (libc::IPPROTO_IPV6, _, _) if !is_v6 => return Err(Errno(libc::ENOPROTOOPT)),
            (libc::IPPROTO_IP, libc::IP_RECVERR, Socket::Udp(socket))
            | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, Socket::Udp(socket)) => {
                c_int::from(socket.keeps_failures())
            }
            (_, _, Socket::Udp(socket)) => match told_option(level, option) {
                Some(what) => c_int::from(socket.told.all().contains(what)),
                // SAFETY: the caller's.
                None => return unsafe { groups::get(socket, level, option, value, len) },
            },
            _ => return Err(Errno(libc::ENOPROTOOPT)),
        };
        // SAFETY: the caller's.
        unsafe { store(integer, value, len) }
    });
    let result = result.or_else(|error| {
        netlink::or_netlink(error, descriptor, |socket, _| {
            let integer = match (level, option) {
                (libc::SOL_SOCKET, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO) => {
                    let place = match option {
                        libc::SO_RCVTIMEO => &socket.read_timeout_ns,
                        _ => &socket.write_timeout_ns,
                    };
                    let timeout = timeval(place.load(Ordering::Relaxed));
                    // SAFETY: the caller's.
                    return unsafe { store(timeout, value, len) };
                }
                (libc::SOL_NETLINK, libc::NETLINK_LIST_MEMBERSHIPS) => {
                    // SAFETY: the caller's.
                    return unsafe { store(socket.groups().0, value, len) };
                }
                (libc::SOL_SOCKET, libc::SO_ERROR | libc::SO_PROTOCOL | libc::SO_ACCEPTCONN) => 0,
                (libc::SOL_SOCKET, libc::SO_TYPE) => socket.kind(),
                (libc::SOL_SOCKET, libc::SO_DOMAIN) => libc::AF_NETLINK,
                (libc::SOL_SOCKET, libc::SO_RCVBUF | libc::SO_SNDBUF) => SOCKET_BYTES as c_int,
                _ => {
                    let switch = netlink_switch(socket, level, option)?;
                    c_int::from(switch.load(Ordering::Relaxed))
                }
            };
            // SAFETY: the caller's.
            unsafe { store(integer, value, len) }
        })
    });
    errno::status(result.or_else(|error| {
        unix::or_unix(error, descriptor, |socket, _| {
            let integer = match (level, option) {
                (libc::SOL_SOCKET, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO) => {
                    let timeout = socket.timeout(option).load(Ordering::Relaxed);
                    // SAFETY: the caller's.
                    return unsafe { store(timeval(timeout), value, len) };
                }
                (libc::SOL_SOCKET, libc::SO_PEERCRED) => {
                    // SAFETY: the caller's.
                    return unsafe { store(credentials::told(), value, len) };
                }
                (libc::SOL_SOCKET, libc::SO_ERROR) => {
                    socket.take_error().map_or(0, |Errno(number)| number)
                }
                (libc::SOL_SOCKET, libc::SO_PASSCRED) => {
                    c_int::from(socket.is_told_credentials.load(Ordering::Relaxed))
                }
                (libc::SOL_SOCKET, libc::SO_PROTOCOL) => 0,
                (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => c_int::from(socket.is_listening()),
                (libc::SOL_SOCKET, libc::SO_TYPE) => socket.kind(),
                (libc::SOL_SOCKET, libc::SO_RCVBUF | libc::SO_SNDBUF) => SOCKET_BYTES as c_int,
                (libc::SOL_SOCKET, libc::SO_DOMAIN) => libc::AF_UNIX,
                _ => return Err(Errno(libc::ENOPROTOOPT)),
            };
            // SAFETY: the caller's.
            unsafe { store(integer, value, len) }
        })
    }))
}
