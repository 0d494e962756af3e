//! The machine's network interfaces (Linux: getifaddrs(3); POSIX.1-2017, `net/if.h`). Index 1 is the loopback, the others follow as the devices
//! were found.

use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_uint};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ptr::null_mut;

use libc::{ifaddrs, sockaddr_ll};

use super::convert::{c_status, put};
use super::errno;
use super::memory::{calloc, free};
use super::socket::address::to_c;
use super::socket::start_network;
use crate::error::{Errno, Result};
use crate::network::dedicate::name_of;
use crate::network::{LOOPBACK, Network, binding};

/// `ARPHRD_ETHER` and `ARPHRD_LOOPBACK` (Linux, `net/if_arp.h`).
pub(super) const ETHERNET: u16 = 1;
pub(super) const LOOP: u16 = 772;

/// An entry of the list that [`getifaddrs`] gives out, with what its pointers lead to. The entry is the first field.
#[repr(C)]
struct Entry {
    list: ifaddrs,
    name: CString,
    address: Place,
    mask: Place,
    broadcast: Place,
}

/// An address of any of the families.
#[derive(Clone, Copy)]
#[repr(C, align(4))]
struct Place([u8; size_of::<libc::sockaddr_in6>()]);

const NONE: Place = Place([0; size_of::<Place>()]);

impl Place {
    fn of(address: SocketAddr) -> Self {
        let mut place = NONE;
        let raw = to_c(address);
        place.0[..raw.len()].copy_from_slice(raw.bytes());
        place
    }

    /// The hardware's (Linux: packet(7)).
    fn of_link(facts: &Facts) -> Self {
        // SAFETY: a structure of integers, for which zeros are values.
        let mut link: sockaddr_ll = unsafe { core::mem::zeroed() };
        link.sll_family = libc::AF_PACKET as u16;
        link.sll_ifindex = facts.index as c_int + 1;
        link.sll_hatype = if facts.index == LOOPBACK {
            LOOP
        } else {
            ETHERNET
        };
        link.sll_halen = 6;
        link.sll_addr[..6].copy_from_slice(&facts.mac);
        let mut place = NONE;
        // SAFETY: the structure is shorter than the place, and aligned alike.
        unsafe { (&raw mut place).cast::<sockaddr_ll>().write(link) };
        place
    }
}

const _: () = assert!(size_of::<sockaddr_ll>() <= size_of::<Place>());

/// The highest `prefix` bits, as an address of the family.
pub(super) fn mask_of(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(_) => {
            let clear = 32_u32.saturating_sub(prefix.into());
            Ipv4Addr::from_bits(u32::MAX.checked_shl(clear).unwrap_or(0)).into()
        }
        IpAddr::V6(_) => {
            let clear = 128_u32.saturating_sub(prefix.into());
            Ipv6Addr::from_bits(u128::MAX.checked_shl(clear).unwrap_or(0)).into()
        }
    }
}

/// What there is to know of an interface.
pub(super) struct Facts {
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) mac: [u8; 6],
    pub(super) addresses: Vec<(IpAddr, u8)>,
}

impl Facts {
    /// `IFF_UP` and its kin.
    pub(super) fn flags(&self) -> c_uint {
        let kind = match self.index {
            LOOPBACK => libc::IFF_LOOPBACK,
            _ => libc::IFF_BROADCAST | libc::IFF_MULTICAST,
        };
        (libc::IFF_UP | libc::IFF_RUNNING | kind) as c_uint
    }
}

pub(super) fn facts(network: &'static Network) -> Vec<Facts> {
    (0..network.interface_count())
        .filter_map(|index| {
            let interface = network.interface(index)?;
            let stack = interface.lock();
            let addresses = stack.addresses().collect();
            Some(Facts {
                index,
                name: name_of(index),
                mac: interface.mac,
                addresses,
            })
        })
        .collect()
}

/// An entry in front of `next`.
fn entry(
    facts: &Facts,
    [address, mask, broadcast]: [Place; 3],
    next: *mut ifaddrs,
) -> *mut ifaddrs {
    let entry = Box::into_raw(Box::new(Entry {
        // SAFETY: a structure of integers and pointers, for which zeros are values.
        list: unsafe { core::mem::zeroed() },
        name: CString::new(facts.name.as_str()).unwrap_or_default(),
        address,
        mask,
        broadcast,
    }));
    // SAFETY: made just now.
    let entry = unsafe { &mut *entry };
    entry.list.ifa_next = next;
    entry.list.ifa_name = entry.name.as_ptr().cast_mut();
    entry.list.ifa_flags = facts.flags();
    entry.list.ifa_addr = (&raw mut entry.address).cast();
    (&raw mut *entry).cast()
}

/// Lists the addresses of all interfaces: of each the hardware's, and those of IPv4 and IPv6.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn getifaddrs(out: *mut *mut ifaddrs) -> c_int {
    let all = facts(start_network());
    let mut first: *mut ifaddrs = null_mut();
    for facts in all.iter().rev() {
        for &(ip, prefix) in facts.addresses.iter().rev() {
            let mask = mask_of(ip, prefix);
            let broadcast = match (ip, mask) {
                (IpAddr::V4(ip), IpAddr::V4(mask)) if facts.index != LOOPBACK => {
                    Some(SocketAddr::new((ip | !mask).into(), 0))
                }
                _ => None,
            };
            let places = [
                Place::of(binding::end(SocketAddr::new(ip, 0), facts.index)),
                Place::of(SocketAddr::new(mask, 0)),
                broadcast.map_or(NONE, Place::of),
            ];
            first = entry(facts, places, first);
            // SAFETY: `entry` made it, and the list is its first field.
            let whole = unsafe { &mut *first.cast::<Entry>() };
            whole.list.ifa_netmask = (&raw mut whole.mask).cast();
            if broadcast.is_some() {
                whole.list.ifa_ifu = (&raw mut whole.broadcast).cast();
            }
        }
    }
    for facts in all.iter().rev() {
        first = entry(facts, [Place::of_link(facts), NONE, NONE], first);
    }
    // SAFETY: the caller's place.
    c_status(unsafe { put(out, first) })
}

/// Frees a list.
///
/// # Safety
/// `first` is null or from [`getifaddrs`], and not used any more.
#[unsafe(no_mangle)]
unsafe extern "C" fn freeifaddrs(first: *mut ifaddrs) {
    let mut next = first;
    while !next.is_null() {
        // SAFETY: each entry came from `entry`.
        let entry = unsafe { Box::from_raw(next.cast::<Entry>()) };
        next = entry.list.ifa_next;
    }
}

/// The index of an interface; 0 if there is none of the name.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn if_nametoindex(name: *const c_char) -> c_uint {
    // SAFETY: the caller's string.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    let mut indices = 0..start_network().interface_count();
    match indices.find(|&index| name_of(index).as_bytes() == name) {
        Some(index) => index as c_uint + 1,
        None => {
            errno::set(Errno(libc::ENODEV));
            0
        }
    }
}

fn name_at(index: c_uint) -> Result<String> {
    let network = start_network();
    let index = (index as usize).checked_sub(1);
    let index = index.filter(|&index| index < network.interface_count());
    index.map(name_of).ok_or(Errno(libc::ENXIO))
}

/// The name of an interface, in the caller's 16 bytes.
///
/// # Safety
/// 16 bytes can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn if_indextoname(index: c_uint, out: *mut c_char) -> *mut c_char {
    match name_at(index) {
        Ok(name) if name.len() < libc::IF_NAMESIZE => {
            // SAFETY: with the zero not more than the caller's room.
            unsafe {
                out.copy_from_nonoverlapping(name.as_ptr().cast(), name.len());
                out.add(name.len()).write(0);
            }
            out
        }
        Ok(_) => null_mut(),
        Err(error) => {
            errno::set(error);
            null_mut()
        }
    }
}

/// Lists the interfaces, with an entry of zeros at the end.
#[unsafe(no_mangle)]
extern "C" fn if_nameindex() -> *mut libc::if_nameindex {
    let all = facts(start_network());
    // The names lie behind the entries, in the same memory.
    let entries_bytes = (all.len() + 1) * size_of::<libc::if_nameindex>();
    let list =
        calloc(1, entries_bytes + all.len() * libc::IF_NAMESIZE).cast::<libc::if_nameindex>();
    if list.is_null() {
        return null_mut();
    }
    for (position, facts) in all.iter().enumerate() {
        let len = facts.name.len().min(libc::IF_NAMESIZE - 1);
        // SAFETY: inside of the memory, which is zero.
        unsafe {
            let name = list
                .cast::<c_char>()
                .add(entries_bytes + position * libc::IF_NAMESIZE);
            name.copy_from_nonoverlapping(facts.name.as_ptr().cast(), len);
            list.add(position).write(libc::if_nameindex {
                if_index: facts.index as c_uint + 1,
                if_name: name,
            });
        }
    }
    list
}

/// Frees a list.
///
/// # Safety
/// `list` is null or from [`if_nameindex`], and not used any more.
#[unsafe(no_mangle)]
unsafe extern "C" fn if_freenameindex(list: *mut libc::if_nameindex) {
    // SAFETY: memory of `calloc`.
    unsafe { free(list.cast()) };
}
