//! The network: `/proc/net` (Linux: proc_net(5)) and `/sys/class/net` (Linux: Documentation/ABI/testing/sysfs-class-net). Apart from the rest, so
//! that a program that only asks for other things need not have the network in its image. Asking starts it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::IpAddr;

use super::{PROC_MAGIC, SYS_MAGIC, counters, line, sockets, text};
use crate::abi::socket::start_network;
use crate::error::{Errno, Result};
use crate::network::dedicate::name_of;
use crate::network::interface::Interface;
use crate::network::statistics::Statistics;
use crate::network::{LOOPBACK, binding};
use crate::storage::vfs;
use crate::storage::vfs::made::{Item, Made};
use crate::storage::vfs::namespace::LastLink;

static PROC_NET: Item = Item::Directory(&[
    ("arp", Item::File(neighbors)),
    ("dev", Item::File(devices)),
    ("if_inet6", Item::File(addresses_v6)),
    ("netstat", Item::File(counters::more)),
    ("route", Item::File(routes)),
    ("snmp", Item::File(counters::all)),
    ("tcp", Item::File(|_| sockets::tcp(false))),
    ("tcp6", Item::File(|_| sockets::tcp(true))),
    ("udp", Item::File(|_| sockets::udp(false))),
    ("udp6", Item::File(|_| sockets::udp(true))),
    ("unix", Item::File(sockets::unix)),
]);

static SYS_CLASS: Item = Item::Directory(&[("net", Item::Named(names, &Item::Directory(&CLASS)))]);

static CLASS: [(&str, Item); 7] = [
    ("address", Item::File(hardware_address)),
    ("carrier", Item::File(|_| line(1))),
    ("ifindex", Item::File(|index| line(index + 1))),
    (
        "mtu",
        Item::File(|index| line(interface(index)?.lock().mtu())),
    ),
    (
        "operstate",
        Item::File(|index| line(if is_loopback(index) { "unknown" } else { "up" })),
    ),
    ("statistics", Item::Directory(&COUNTERS)),
    // `ARPHRD_LOOPBACK`, `ARPHRD_ETHER`.
    (
        "type",
        Item::File(|index| line(if is_loopback(index) { 772 } else { 1 })),
    ),
];

static COUNTERS: [(&str, Item); 8] = [
    (
        "rx_bytes",
        Item::File(|index| count(index, |counted| counted.received_bytes)),
    ),
    ("rx_dropped", Item::File(|index| count(index, dropped))),
    (
        "rx_errors",
        Item::File(|index| count(index, |counted| counted.dropped_unusable)),
    ),
    (
        "rx_packets",
        Item::File(|index| count(index, |counted| counted.received_frames)),
    ),
    (
        "tx_bytes",
        Item::File(|index| count(index, |counted| counted.sent_bytes)),
    ),
    (
        "tx_dropped",
        Item::File(|index| count(index, |counted| counted.dropped_no_buffer)),
    ),
    ("tx_errors", Item::File(|index| count(index, |_| 0))),
    (
        "tx_packets",
        Item::File(|index| count(index, |counted| counted.sent_frames)),
    ),
];

/// Mounts both.
///
/// # Errors
/// `ENOENT` before there are file systems, or without `/proc` and `/sys`.
pub(crate) fn mount() -> Result<()> {
    let names = vfs::names()?;
    for (folder, name, root, magic) in [
        (&b"/proc"[..], &b"net"[..], &PROC_NET, PROC_MAGIC),
        (b"/sys", b"class", &SYS_CLASS, SYS_MAGIC),
    ] {
        let folder = vfs::resolve(folder, LastLink::Follow)?;
        names.mount(&folder, name, Arc::new(Made { root, magic }))?;
    }
    Ok(())
}

fn interface(index: u64) -> Result<&'static Interface> {
    let index = usize::try_from(index).ok();
    let found = index.and_then(|index| start_network().interface(index));
    found.ok_or(Errno(libc::ENODEV))
}

pub(super) fn all() -> impl Iterator<Item = (usize, &'static Interface)> {
    let network = start_network();
    (0..network.interface_count()).filter_map(|index| Some((index, network.interface(index)?)))
}

fn is_loopback(index: u64) -> bool {
    index == LOOPBACK as u64
}

fn names() -> Vec<String> {
    all().map(|(index, _)| name_of(index)).collect()
}

fn hardware_address(index: u64) -> Result<Vec<u8>> {
    let [a, b, c, d, e, f] = interface(index)?.mac;
    line(format_args!(
        "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"
    ))
}

fn dropped(counted: &Statistics) -> u64 {
    counted.dropped_inbox + counted.dropped_no_memory + counted.dropped_backlog
}

fn count(index: u64, which: fn(&Statistics) -> u64) -> Result<Vec<u8>> {
    line(which(&interface(index)?.statistics()))
}

fn devices(_: u64) -> Result<Vec<u8>> {
    text(|out| {
        writeln!(
            out,
            "Inter-|   Receive                                                |  Transmit\n \
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed"
        )?;
        for (index, interface) in all() {
            let counted = interface.statistics();
            writeln!(
                out,
                "{:>6}: {:7} {:7} {:4} {:4}    0     0          0         0 {:8} {:7}    0 {:4}    0     0       0          0",
                name_of(index),
                counted.received_bytes,
                counted.received_frames,
                counted.dropped_unusable,
                dropped(&counted),
                counted.sent_bytes,
                counted.sent_frames,
                counted.dropped_no_buffer,
            )?;
        }
        Ok(())
    })
}

/// A number of an address as it lies in memory, in the order of the machine, as Linux shows it.
fn shown(ip: core::net::Ipv4Addr) -> u32 {
    u32::from_ne_bytes(ip.octets())
}

fn routes(_: u64) -> Result<Vec<u8>> {
    // `RTF_UP`, `RTF_GATEWAY`.
    const UP: u32 = 1;
    const GATEWAY: u32 = 2;
    text(|out| {
        writeln!(
            out,
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
        )?;
        for (index, interface) in all().filter(|(index, _)| *index != LOOPBACK) {
            let stack = interface.lock();
            let Some(address) = stack.address().cloned() else {
                continue;
            };
            drop(stack);
            let name = name_of(index);
            if let Some(gateway) = address.gateway {
                let (gateway, flags) = (shown(gateway), UP | GATEWAY);
                writeln!(
                    out,
                    "{name}\t00000000\t{gateway:08X}\t{flags:04X}\t0\t0\t0\t00000000\t0\t0\t0"
                )?;
            }
            let clear = 32 - u32::from(address.prefix.min(32));
            let mask = u32::MAX.checked_shl(clear).unwrap_or(0);
            let network = shown((address.ip.to_bits() & mask).into());
            let mask = shown(mask.into());
            writeln!(
                out,
                "{name}\t{network:08X}\t00000000\t{UP:04X}\t0\t0\t0\t{mask:08X}\t0\t0\t0"
            )?;
        }
        Ok(())
    })
}

/// Neighbours of IPv4, by address.
fn neighbors(_: u64) -> Result<Vec<u8>> {
    // `ARPHRD_ETHER`, `ATF_COM`.
    const ETHERNET: u32 = 1;
    const COMPLETE: u32 = 2;
    text(|out| {
        writeln!(
            out,
            "IP address       HW type     Flags       HW address            Mask     Device"
        )?;
        for (index, interface) in all() {
            let mut known: Vec<_> = interface.lock().neighbors().collect();
            known.sort_unstable();
            for (ip, mac) in known.into_iter().filter(|(ip, _)| ip.is_ipv4()) {
                let flags = if mac.is_some() { COMPLETE } else { 0 };
                let [a, b, c, d, e, f] = mac.unwrap_or_default();
                writeln!(
                    out,
                    "{ip:<16} 0x{ETHERNET:<10x}0x{flags:<10x}{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}     *        {}",
                    name_of(index)
                )?;
            }
        }
        Ok(())
    })
}

fn addresses_v6(_: u64) -> Result<Vec<u8>> {
    text(|out| {
        for (index, interface) in all() {
            let addresses: Vec<_> = interface.lock().addresses().collect();
            for (ip, prefix) in addresses {
                let IpAddr::V6(ip) = ip else {
                    continue;
                };
                // Linux's `IPV6_ADDR_LOOPBACK` and `IPV6_ADDR_LINKLOCAL`, else the whole world; `IFA_F_PERMANENT`.
                let scope = match (ip.is_loopback(), ip.is_unicast_link_local()) {
                    (true, _) => 0x10,
                    (_, true) => 0x20,
                    _ => 0,
                };
                let (bits, number) = (ip.to_bits(), binding::scope_of(index));
                let name = name_of(index);
                writeln!(
                    out,
                    "{bits:032x} {number:02x} {prefix:02x} {scope:02x} 80 {name:>8}"
                )?;
            }
        }
        Ok(())
    })
}
