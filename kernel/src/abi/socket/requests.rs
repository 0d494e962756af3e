//! Requests of `ioctl` that sockets answer about interfaces (Linux: netdevice(7)). None is changed by them (`EPERM`).

use alloc::vec::Vec;
use core::ffi::{c_int, c_ulong, c_void};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::address::to_c;
use super::start_network;
use crate::abi::interfaces::{ETHERNET, Facts, LOOP, facts, mask_of};
use crate::error::{Errno, Result};
use crate::network::{LOOPBACK, binding};

/// `struct ifreq`: the name of an interface, and what is told of it.
const NAME: usize = libc::IFNAMSIZ;
const REQUEST: usize = 40;

/// `struct ifconf`.
#[repr(C)]
struct List {
    len_bytes: c_int,
    requests: *mut [u8; REQUEST],
}

/// The first address of IPv4, with its prefix.
fn address_of(facts: &Facts) -> Result<(Ipv4Addr, u8)> {
    let v4 = |(ip, prefix): &(IpAddr, u8)| match ip {
        IpAddr::V4(ip) => Some((*ip, *prefix)),
        IpAddr::V6(_) => None,
    };
    let first = facts.addresses.iter().find_map(v4);
    first.ok_or(Errno(libc::EADDRNOTAVAIL))
}

/// An address as `struct sockaddr`.
fn put_address(place: &mut [u8], ip: Ipv4Addr) {
    let raw = to_c(SocketAddr::new(ip.into(), 0));
    for (to, from) in place.iter_mut().zip(raw.bytes()) {
        *to = *from;
    }
}

/// Writes what a request asks of an interface.
fn tell(facts: &Facts, request: c_ulong, place: &mut [u8]) -> Result<()> {
    let mut put = |bytes: &[u8]| {
        for (to, from) in place.iter_mut().zip(bytes) {
            *to = *from;
        }
    };
    match request {
        libc::SIOCGIFINDEX => put(&binding::scope_of(facts.index).to_ne_bytes()),
        libc::SIOCGIFFLAGS => put(&(facts.flags() as u16).to_ne_bytes()),
        libc::SIOCGIFMTU => {
            let interface = start_network().interface(facts.index);
            let mtu = interface.map_or(0, |interface| interface.lock().mtu());
            put(&(mtu as c_int).to_ne_bytes());
        }
        libc::SIOCGIFMETRIC => put(&0i32.to_ne_bytes()),
        libc::SIOCGIFHWADDR => {
            let kind = if facts.index == LOOPBACK {
                LOOP
            } else {
                ETHERNET
            };
            let mut link = [0; 16];
            link[..2].copy_from_slice(&kind.to_ne_bytes());
            link[2..8].copy_from_slice(&facts.mac);
            put(&link);
        }
        libc::SIOCGIFADDR => put_address(place, address_of(facts)?.0),
        libc::SIOCGIFNETMASK | libc::SIOCGIFBRDADDR => {
            let (ip, prefix) = address_of(facts)?;
            let IpAddr::V4(mask) = mask_of(ip.into(), prefix) else {
                return Err(Errno(libc::EADDRNOTAVAIL));
            };
            let broadcast = match facts.index {
                LOOPBACK => Ipv4Addr::UNSPECIFIED,
                _ => ip | !mask,
            };
            let is_mask = request == libc::SIOCGIFNETMASK;
            put_address(place, if is_mask { mask } else { broadcast });
        }
        _ => return Err(Errno(libc::ENOTTY)),
    }
    Ok(())
}

/// An interface's name, with zeros behind it.
fn name_of(facts: &Facts) -> [u8; NAME] {
    let mut name = [0; NAME];
    for (to, from) in name[..NAME - 1].iter_mut().zip(facts.name.bytes()) {
        *to = from;
    }
    name
}

/// Answers a request; `ENOTTY` for others.
///
/// # Safety
/// 1. `argument` points to what the request says.
pub(in crate::abi) unsafe fn control(request: c_ulong, argument: *mut c_void) -> Result<()> {
    match request {
        libc::SIOCGIFNAME
        | libc::SIOCGIFINDEX
        | libc::SIOCGIFFLAGS
        | libc::SIOCGIFMTU
        | libc::SIOCGIFMETRIC
        | libc::SIOCGIFHWADDR
        | libc::SIOCGIFADDR
        | libc::SIOCGIFNETMASK
        | libc::SIOCGIFBRDADDR => {
            if argument.is_null() {
                return Err(Errno(libc::EFAULT));
            }
            // SAFETY: (1): a `struct ifreq`.
            let place = unsafe { &mut *argument.cast::<[u8; REQUEST]>() };
            let (name, told) = place.split_at_mut(NAME);
            let all = facts(start_network());
            if request == libc::SIOCGIFNAME {
                let number = told.first_chunk().copied().map_or(0, u32::from_ne_bytes);
                let is_it = |facts: &&Facts| binding::scope_of(facts.index) == number;
                let found = all.iter().find(is_it).ok_or(Errno(libc::ENODEV))?;
                name.copy_from_slice(&name_of(found));
                return Ok(());
            }
            let wanted = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let is_it = |facts: &&Facts| facts.name.as_bytes() == wanted;
            let found = all.iter().find(is_it).ok_or(Errno(libc::ENODEV))?;
            tell(found, request, told)
        }
        // SAFETY: the same contract.
        libc::SIOCGIFCONF => unsafe { list(argument.cast()) },
        libc::SIOCSIFADDR | libc::SIOCSIFFLAGS | libc::SIOCSIFMTU | libc::SIOCSIFNETMASK => {
            Err(Errno(libc::EPERM))
        }
        _ => Err(Errno(libc::ENOTTY)),
    }
}

/// Lists the interfaces that have addresses of IPv4, as many as there is room for; without a place, how much room they need.
///
/// # Safety
/// 1. `list` is null or points to a `struct ifconf`, whose place is null or has as many bytes as it says.
unsafe fn list(list: *mut List) -> Result<()> {
    if list.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: (1).
    let list = unsafe { &mut *list };
    let mut requests = Vec::new();
    for facts in facts(start_network()) {
        let mut request = [0; REQUEST];
        let (name, told) = request.split_at_mut(NAME);
        name.copy_from_slice(&name_of(&facts));
        if tell(&facts, libc::SIOCGIFADDR, told).is_ok() {
            requests.push(request);
        }
    }
    let mut count = requests.len();
    if !list.requests.is_null() {
        let room = usize::try_from(list.len_bytes).map_err(|_| Errno(libc::EINVAL))?;
        count = count.min(room / REQUEST);
        // SAFETY: no more than there is room for (1).
        unsafe { core::ptr::copy_nonoverlapping(requests.as_ptr(), list.requests, count) };
    }
    list.len_bytes = (count * REQUEST) as c_int;
    Ok(())
}
