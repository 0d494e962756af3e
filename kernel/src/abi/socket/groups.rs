//! Options about groups (multicast; Linux: ip(7), ipv6(7); RFC 3493, section 5.2).

use core::ffi::{c_int, c_void};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::Ordering;

use libc::{in_addr, ip_mreq, ip_mreqn, ipv6_mreq, socklen_t};

use super::options::{load, store};
use crate::error::{Errno, Result};
use crate::network::socket::udp::UdpSocket;

fn v4(address: in_addr) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(address.s_addr.to_ne_bytes()))
}

/// What a request to join or leave a group says: group, scope, and address of the interface.
///
/// # Safety
/// 1. `value` is null or points to `len` bytes.
unsafe fn request_v4(
    value: *const c_void,
    len: socklen_t,
) -> Result<(IpAddr, u32, Option<IpAddr>)> {
    if len as usize >= size_of::<ip_mreqn>() {
        // SAFETY: (1); structures of integers are valid for all bit patterns.
        let request: ip_mreqn = unsafe { load(value, len)? };
        let scope = u32::try_from(request.imr_ifindex).map_err(|_| Errno(libc::EINVAL))?;
        return Ok((
            v4(request.imr_multiaddr),
            scope,
            Some(v4(request.imr_address)),
        ));
    }
    // SAFETY: (1); as above.
    let request: ip_mreq = unsafe { load(value, len)? };
    Ok((
        v4(request.imr_multiaddr),
        0,
        Some(v4(request.imr_interface)),
    ))
}

/// # Safety
/// 1. `value` is null or points to `len` bytes.
unsafe fn request_v6(
    value: *const c_void,
    len: socklen_t,
) -> Result<(IpAddr, u32, Option<IpAddr>)> {
    // SAFETY: (1); a structure of integers is valid for all bit patterns.
    let request: ipv6_mreq = unsafe { load(value, len)? };
    let group = Ipv6Addr::from(request.ipv6mr_multiaddr.s6_addr);
    Ok((IpAddr::V6(group), request.ipv6mr_interface, None))
}

/// A number from 0 to 255, given as a byte or as a number.
///
/// # Safety
/// 1. `value` is null or points to `len` bytes.
unsafe fn number(value: *const c_void, len: socklen_t) -> Result<c_int> {
    // SAFETY: (1).
    unsafe {
        match len as usize {
            1..4 => load::<u8>(value, len).map(c_int::from),
            _ => load::<c_int>(value, len),
        }
    }
}

/// Sets an option; `ENOPROTOOPT` when it is none about groups.
///
/// # Safety
/// 1. `value` is null or points to `len` bytes.
pub(super) unsafe fn set(
    socket: &UdpSocket,
    level: c_int,
    option: c_int,
    value: *const c_void,
    len: socklen_t,
) -> Result<()> {
    let groups = &socket.groups;
    let is_v6 = socket.family.is_v6;
    // SAFETY: (1), for all calls below.
    let integer = || unsafe { number(value, len) };
    match (level, option) {
        (libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP) => {
            // SAFETY: (1).
            let (group, scope, at) = unsafe { request_v4(value, len)? };
            socket.join(group, scope, at)?;
        }
        (libc::IPPROTO_IP, libc::IP_DROP_MEMBERSHIP) => {
            // SAFETY: (1).
            let (group, scope, at) = unsafe { request_v4(value, len)? };
            socket.leave(group, scope, at)?;
        }
        (libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP) if is_v6 => {
            // SAFETY: (1).
            let (group, scope, at) = unsafe { request_v6(value, len)? };
            socket.join(group, scope, at)?;
        }
        (libc::IPPROTO_IPV6, libc::IPV6_DROP_MEMBERSHIP) if is_v6 => {
            // SAFETY: (1).
            let (group, scope, at) = unsafe { request_v6(value, len)? };
            socket.leave(group, scope, at)?;
        }
        (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL)
        | (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS) => {
            let hops = match integer()? {
                // The default.
                -1 => 1,
                hops => u8::try_from(hops).map_err(|_| Errno(libc::EINVAL))?,
            };
            groups.hop_limit.store(hops, Ordering::Relaxed);
        }
        (libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP)
        | (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP) => {
            groups.is_looped.store(integer()? != 0, Ordering::Relaxed);
        }
        (libc::IPPROTO_IP, libc::IP_MULTICAST_IF) => {
            if len as usize >= size_of::<ip_mreq>() {
                // SAFETY: (1).
                let (_, scope, at) = unsafe { request_v4(value, len)? };
                socket.speak_by(scope, at)?;
            } else {
                // SAFETY: (1); a structure of integers is valid for all bit patterns.
                let at: in_addr = unsafe { load(value, len)? };
                socket.speak_by(0, Some(v4(at)))?;
            }
        }
        (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF) if is_v6 => {
            let scope = u32::try_from(integer()?).map_err(|_| Errno(libc::ENODEV))?;
            socket.speak_by(scope, None)?;
        }
        _ => return Err(Errno(libc::ENOPROTOOPT)),
    }
    Ok(())
}

/// Gets an option; `ENOPROTOOPT` when it is none about groups.
///
/// # Safety
/// 1. `len` is null or points to a length, and `to` points to that many bytes.
pub(super) unsafe fn get(
    socket: &UdpSocket,
    level: c_int,
    option: c_int,
    to: *mut c_void,
    len: *mut socklen_t,
) -> Result<()> {
    let groups = &socket.groups;
    let integer = match (level, option) {
        (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL)
        | (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS) => {
            c_int::from(groups.hop_limit.load(Ordering::Relaxed))
        }
        (libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP)
        | (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP) => {
            c_int::from(groups.is_looped.load(Ordering::Relaxed))
        }
        (libc::IPPROTO_IP, libc::IP_MULTICAST_IF) => {
            let ip = socket.spoken_by().unwrap_or(Ipv4Addr::UNSPECIFIED);
            let s_addr = u32::from_ne_bytes(ip.octets());
            // SAFETY: (1).
            return unsafe { store(in_addr { s_addr }, to, len) };
        }
        (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF) => {
            groups.scope.load(Ordering::Relaxed) as c_int
        }
        _ => return Err(Errno(libc::ENOPROTOOPT)),
    };
    // SAFETY: (1).
    unsafe { store(integer, to, len) }
}
