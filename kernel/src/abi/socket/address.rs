//! Addresses of sockets as C has them: `sockaddr_in` and `sockaddr_in6` (Linux: ip(7), ipv6(7)).

use core::ffi::c_int;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use libc::{sa_family_t, sockaddr, sockaddr_in, sockaddr_in6, socklen_t};

use crate::error::{Errno, Result};
use crate::network::binding;

const FAMILY: usize = size_of::<sa_family_t>();
const V4: usize = size_of::<sockaddr_in>();
const V6: usize = size_of::<sockaddr_in6>();
/// What Linux takes too: a `sockaddr_in6` without its scope (RFC 2133).
const V6_WITHOUT_SCOPE: usize = V6 - 4;

/// An address as C has it; the bytes behind its length are zeros.
#[derive(Clone, Copy)]
#[repr(C, align(4))]
pub(in crate::abi) struct Raw {
    bytes: [u8; V6],
    len: usize,
}

impl Raw {
    /// The family.
    pub(in crate::abi) fn family(&self) -> c_int {
        match self.len {
            V4 => libc::AF_INET,
            _ => libc::AF_INET6,
        }
    }

    /// Its length in bytes.
    pub(in crate::abi) fn len(&self) -> usize {
        self.len
    }

    /// Its bytes.
    pub(in crate::abi) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// An address as C has it, of its own family.
pub(in crate::abi) fn to_c(address: SocketAddr) -> Raw {
    let mut bytes = [0; V6];
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    let (family, len) = match address {
        SocketAddr::V4(v4) => {
            bytes[4..8].copy_from_slice(&v4.ip().octets());
            (libc::AF_INET, V4)
        }
        SocketAddr::V6(v6) => {
            bytes[8..24].copy_from_slice(&v6.ip().octets());
            bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            (libc::AF_INET6, V6)
        }
    };
    bytes[..FAMILY].copy_from_slice(&(family as sa_family_t).to_ne_bytes());
    Raw { bytes, len }
}

/// An address as a socket of a family shows it: one of IPv4 has its place in IPv6 too.
pub(super) fn seen_by(address: SocketAddr, is_v6: bool) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if is_v6 => {
            SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port())
        }
        address => address,
    }
}

/// Reads an address that the caller gave to a socket of a family. A socket of IPv6 takes one of IPv4 only if it `takes_both`.
///
/// # Safety
/// 1. `address` is null or points to `len` bytes.
pub(in crate::abi) unsafe fn load(
    address: *const sockaddr,
    len: socklen_t,
    is_v6: bool,
    takes_both: bool,
) -> Result<SocketAddr> {
    if address.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: (1).
    let bytes = unsafe { core::slice::from_raw_parts(address.cast::<u8>(), len as usize) };
    let (family, _) = bytes.split_first_chunk().ok_or(Errno(libc::EINVAL))?;
    let is_known = match c_int::from(sa_family_t::from_ne_bytes(*family)) {
        libc::AF_INET => !is_v6 || takes_both,
        libc::AF_INET6 => is_v6,
        _ => false,
    };
    if !is_known {
        return Err(Errno(libc::EAFNOSUPPORT));
    }
    read(bytes).ok_or(Errno(libc::EINVAL))
}

/// Reads an address of either family; `None` if it is cut off.
fn read(bytes: &[u8]) -> Option<SocketAddr> {
    let (family, _) = bytes.split_first_chunk()?;
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    if c_int::from(sa_family_t::from_ne_bytes(*family)) == libc::AF_INET {
        let (_, ip) = bytes.get(..V4)?.split_at(4);
        let ip = Ipv4Addr::from(*ip.first_chunk::<4>()?);
        return Some(SocketAddr::new(IpAddr::V4(ip), port));
    }
    let (_, rest) = bytes.get(..V6_WITHOUT_SCOPE)?.split_at(8);
    let ip = Ipv6Addr::from(*rest.first_chunk::<16>()?);
    let scope = bytes.get(24..28).and_then(|scope| scope.try_into().ok());
    let scope = scope.map_or(0, u32::from_ne_bytes);
    Some(binding::canonical(SocketAddr::V6(SocketAddrV6::new(
        ip, port, 0, scope,
    ))))
}

/// Gives the caller an address, as much as fits, and its length. A null pointer wants none.
///
/// # Safety
/// 1. `len` is null or points to a length, and `address` is null or points to that many bytes.
pub(super) unsafe fn store(
    value: SocketAddr,
    is_v6: bool,
    address: *mut sockaddr,
    len: *mut socklen_t,
) {
    if address.is_null() || len.is_null() {
        return;
    }
    let value = to_c(seen_by(value, is_v6));
    let bytes = value.bytes();
    // SAFETY: no more is written than the caller has room for (1).
    unsafe {
        let room = (*len as usize).min(bytes.len());
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), address.cast(), room);
        *len = bytes.len() as socklen_t;
    }
}

/// Whether an address is of no family, which undoes a connection.
///
/// # Safety
/// 1. `address` is null or points to `len` bytes.
pub(super) unsafe fn is_unspecified(address: *const sockaddr, len: socklen_t) -> bool {
    // SAFETY: the length covers the family (1).
    !address.is_null()
        && len as usize >= FAMILY
        && unsafe { address.cast::<sa_family_t>().read_unaligned() } == 0
}
