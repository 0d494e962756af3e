//! What `NETLINK_ROUTE` tells (Linux: rtnetlink(7), `linux/rtnetlink.h`, `linux/if_link.h`, `linux/if_addr.h`): interfaces, addresses, routes. Nothing is
//! changed by it: the network is configured by the command line, DHCP and routers.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::message::{Answer, Heading, Request};
use crate::abi::interfaces::{ETHERNET, Facts, LOOP, facts, mask_of};
use crate::abi::socket::start_network;
use crate::error::{Errno, Result};
use crate::network::{LOOPBACK, binding};

/// `RTM_NEWLINK` and its kin: of each object one to make, to remove, to ask for and to change it.
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
pub(super) const NEW_ADDRESS: u16 = 20;
pub(super) const DELETED_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
pub(super) const NEW_ROUTE: u16 = 24;
pub(super) const DELETED_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
/// Lengths of `ifinfomsg`, `ifaddrmsg` and `rtmsg`.
const LINK: usize = 16;
const ADDRESS: usize = 8;
const ROUTE: usize = 12;
/// `IFF_LOWER_UP`.
const LOWER_UP: u32 = 1 << 16;
/// `IF_OPER_UNKNOWN`, `IF_OPER_UP`.
const UNKNOWN: u8 = 0;
const UP: u8 = 6;
/// `IFA_F_PERMANENT`.
const PERMANENT: u8 = 0x80;
/// `RT_SCOPE_UNIVERSE`, `RT_SCOPE_LINK`, `RT_SCOPE_HOST`.
const UNIVERSE: u8 = 0;
const OF_LINK: u8 = 253;
const OF_HOST: u8 = 254;
/// `RT_TABLE_MAIN`, `RT_TABLE_LOCAL`.
const MAIN: u8 = 254;
const LOCAL: u8 = 255;
/// `RTPROT_UNSPEC`, `RTPROT_KERNEL`, `RTPROT_BOOT`.
const NOBODY: u8 = 0;
const KERNEL: u8 = 2;
const BOOT: u8 = 3;
/// `RTN_UNICAST`, `RTN_LOCAL`.
const UNICAST: u8 = 1;
const OWN: u8 = 2;

/// Who asks: the number of its socket, whether it wants only what it names (`NETLINK_GET_STRICT_CHK`), and no more of a refused request than the header
/// (`NETLINK_CAP_ACK`).
#[derive(Clone, Copy)]
pub(super) struct Asker {
    pub(super) port: u32,
    pub(super) is_strict: bool,
    pub(super) is_brief: bool,
}

/// What is answered to a request: messages, each whole.
///
/// # Errors
/// - `EPERM`: it would change something.
/// - `EOPNOTSUPP`: it asks for something that is not kept.
/// - `EINVAL`: it is cut off.
/// - `ENODEV`, `ENETUNREACH`: there is no such interface, no such way.
pub(super) fn answer(request: &Request<'_>, asker: Asker) -> Result<Vec<Vec<u8>>> {
    match request.kind {
        GET_LINK => links(request, asker),
        GET_ADDRESS if request.is_dump() => addresses(request, asker),
        GET_ROUTE if request.is_dump() => routes(request, asker),
        GET_ROUTE => way(request, asker),
        // Kinds come by fours; the third asks.
        kind if kind >= NEW_LINK && kind % 4 != 2 => Err(Errno(libc::EPERM)),
        _ => Err(Errno(libc::EOPNOTSUPP)),
    }
}

fn family(ip: IpAddr) -> u8 {
    (if ip.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    }) as u8
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => Vec::from(ip.octets()),
        IpAddr::V6(ip) => Vec::from(ip.octets()),
    }
}

/// An address of a family, as an attribute has it.
fn read_ip(family: u8, content: &[u8]) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => Some(IpAddr::from(*content.first_chunk::<4>()?)),
        libc::AF_INET6 => Some(IpAddr::from(*content.first_chunk::<16>()?)),
        _ => None,
    }
}

fn text(name: &str) -> Vec<u8> {
    let mut bytes = Vec::from(name);
    bytes.push(0);
    bytes
}

fn links(request: &Request<'_>, asker: Asker) -> Result<Vec<Vec<u8>>> {
    let [_, _, _, _, a, b, c, d, ..] = request.fixed::<LINK>()?;
    let number = u32::from_ne_bytes([a, b, c, d]);
    let name = request.attribute(LINK, libc::IFLA_IFNAME);
    let is_wanted = |facts: &Facts| {
        let has_name =
            |name: &[u8]| name.strip_suffix(b"\0").unwrap_or(name) == facts.name.as_bytes();
        match number {
            _ if request.is_dump() && !asker.is_strict => true,
            0 => name.map_or(request.is_dump(), has_name),
            number => number == binding::scope_of(facts.index),
        }
    };
    let network = start_network();
    let found = facts(network).into_iter().filter(is_wanted);
    let found: Vec<_> = found.map(|facts| link(request, asker, &facts)).collect();
    match found.is_empty() && !request.is_dump() {
        true => Err(Errno(libc::ENODEV)),
        false => Ok(found),
    }
}

fn link(request: &Request<'_>, asker: Asker, facts: &Facts) -> Vec<u8> {
    let is_loopback = facts.index == LOOPBACK;
    let interface = start_network().interface(facts.index);
    let mtu = interface.map_or(0, |interface| interface.lock().mtu());
    let counted = interface.map(|interface| interface.statistics());
    let counted = counted.unwrap_or_default();
    let mut body = [0; LINK];
    let kind = if is_loopback { LOOP } else { ETHERNET };
    body[2..4].copy_from_slice(&kind.to_ne_bytes());
    body[4..8].copy_from_slice(&binding::scope_of(facts.index).to_ne_bytes());
    body[8..12].copy_from_slice(&(facts.flags() | LOWER_UP).to_ne_bytes());
    // `rtnl_link_stats64`, 24 numbers: what is not counted is 0.
    let mut numbers = [0u64; 24];
    numbers[..8].copy_from_slice(&[
        counted.received_frames,
        counted.sent_frames,
        counted.received_bytes,
        counted.sent_bytes,
        counted.dropped_unusable,
        0,
        counted.dropped_inbox + counted.dropped_no_memory + counted.dropped_backlog,
        counted.dropped_no_buffer,
    ]);
    let numbers: Vec<u8> = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
    let broadcast = if is_loopback { [0; 6] } else { [0xFF; 6] };
    let state = if is_loopback { UNKNOWN } else { UP };
    Answer::new(NEW_LINK, request.heading(asker.port), &body)
        .with(libc::IFLA_IFNAME, &text(&facts.name))
        .with(libc::IFLA_OPERSTATE, &[state])
        .with_word(libc::IFLA_MTU, mtu as u32)
        .with(libc::IFLA_CARRIER, &[1])
        .with(libc::IFLA_ADDRESS, &facts.mac)
        .with(libc::IFLA_BROADCAST, &broadcast)
        .with(libc::IFLA_STATS64, &numbers)
        .finish()
}

fn scope_of(ip: IpAddr) -> u8 {
    match ip {
        ip if ip.is_loopback() => OF_HOST,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => OF_LINK,
        _ => UNIVERSE,
    }
}

/// An address of ours as it is told.
#[derive(PartialEq)]
pub(super) struct OwnAddress {
    pub(super) interface: usize,
    pub(super) name: String,
    pub(super) ip: IpAddr,
    pub(super) prefix: u8,
}

impl OwnAddress {
    /// As a message: [`NEW_ADDRESS`] or [`DELETED_ADDRESS`].
    #[inline(never)]
    pub(super) fn write(&self, kind: u16, heading: Heading) -> Vec<u8> {
        let Self { ip, prefix, .. } = *self;
        let [a, b, c, d] = binding::scope_of(self.interface).to_ne_bytes();
        let body = [family(ip), prefix, PERMANENT, scope_of(ip), a, b, c, d];
        let mut answer = Answer::new(kind, heading, &body).with(libc::IFA_ADDRESS, &octets(ip));
        if let (IpAddr::V4(v4), IpAddr::V4(mask)) = (ip, mask_of(ip, prefix)) {
            answer = answer.with(libc::IFA_LOCAL, &octets(ip));
            if self.interface != LOOPBACK {
                answer = answer.with(libc::IFA_BROADCAST, &octets((v4 | !mask).into()));
            }
            answer = answer.with(libc::IFA_LABEL, &text(&self.name));
        }
        answer.with_word(IFA_FLAGS, PERMANENT.into()).finish()
    }
}

/// The addresses of all interfaces.
#[inline(never)]
pub(super) fn own_addresses() -> Vec<OwnAddress> {
    let all = facts(start_network()).into_iter();
    let of_one = |facts: Facts| {
        facts
            .addresses
            .into_iter()
            .map(move |(ip, prefix)| OwnAddress {
                interface: facts.index,
                name: facts.name.clone(),
                ip,
                prefix,
            })
    };
    all.flat_map(of_one).collect()
}

fn addresses(request: &Request<'_>, asker: Asker) -> Result<Vec<Vec<u8>>> {
    let [wanted, _, _, _, a, b, c, d] = request.fixed::<ADDRESS>()?;
    let number = u32::from_ne_bytes([a, b, c, d]);
    let is_wanted = |own: &OwnAddress| {
        let is_one = !asker.is_strict || number == 0 || number == binding::scope_of(own.interface);
        is_one && (wanted == 0 || wanted == family(own.ip))
    };
    let all = own_addresses().into_iter().filter(is_wanted);
    let heading = request.heading(asker.port);
    Ok(all.map(|own| own.write(NEW_ADDRESS, heading)).collect())
}

/// Attributes that the crate of bindings does not have: `IFA_FLAGS`.
const IFA_FLAGS: u16 = 8;

/// A way as it is told.
#[derive(PartialEq)]
pub(super) struct Route {
    pub(super) to: IpAddr,
    prefix: u8,
    table: u8,
    by: u8,
    scope: u8,
    kind: u8,
    interface: usize,
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
}

impl Route {
    /// As a message: [`NEW_ROUTE`] or [`DELETED_ROUTE`].
    #[inline(never)]
    pub(super) fn write(&self, kind: u16, heading: Heading) -> Vec<u8> {
        let (family, prefix) = (family(self.to), self.prefix);
        let body: [u8; ROUTE] = [
            family, prefix, 0, 0, self.table, self.by, self.scope, self.kind, 0, 0, 0, 0,
        ];
        let mut answer =
            Answer::new(kind, heading, &body).with_word(libc::RTA_TABLE, self.table.into());
        if prefix != 0 {
            answer = answer.with(libc::RTA_DST, &octets(self.to));
        }
        if let Some(gateway) = self.gateway {
            answer = answer.with(libc::RTA_GATEWAY, &octets(gateway));
        }
        answer = answer.with_word(libc::RTA_OIF, binding::scope_of(self.interface));
        if let Some(source) = self.source {
            answer = answer.with(libc::RTA_PREFSRC, &octets(source));
        }
        answer.finish()
    }
}

fn network_of(ip: IpAddr, prefix: u8) -> IpAddr {
    match (ip, mask_of(ip, prefix)) {
        (IpAddr::V4(ip), IpAddr::V4(mask)) => (ip & mask).into(),
        (IpAddr::V6(ip), IpAddr::V6(mask)) => (ip & mask).into(),
        (ip, _) => ip,
    }
}

/// All ways out of the machine.
#[inline(never)]
pub(super) fn all_routes() -> Vec<Route> {
    let network = start_network();
    let mut all = Vec::new();
    for facts in facts(network) {
        let index = facts.index;
        let Some(interface) = network.interface(index).filter(|_| index != LOOPBACK) else {
            continue;
        };
        let further: Vec<_> = interface.lock().routes().collect();
        for (to, prefix, gateway) in further {
            all.push(Route {
                to,
                prefix,
                table: MAIN,
                by: BOOT,
                scope: if gateway.is_some() { UNIVERSE } else { OF_LINK },
                kind: UNICAST,
                interface: index,
                gateway,
                source: None,
            });
        }
        for &(ip, prefix) in &facts.addresses {
            all.push(Route {
                to: network_of(ip, prefix),
                prefix,
                table: MAIN,
                by: KERNEL,
                scope: if ip.is_ipv4() { OF_LINK } else { UNIVERSE },
                kind: UNICAST,
                interface: index,
                gateway: None,
                source: ip.is_ipv4().then_some(ip),
            });
        }
    }
    all
}

fn routes(request: &Request<'_>, asker: Asker) -> Result<Vec<Vec<u8>>> {
    let [wanted, ..] = request.fixed::<ROUTE>()?;
    let is_wanted = |route: &Route| wanted == 0 || wanted == family(route.to);
    let all = all_routes().into_iter().filter(is_wanted);
    let heading = request.heading(asker.port);
    Ok(all.map(|route| route.write(NEW_ROUTE, heading)).collect())
}

/// The way to an address. Waits some time for an address of ours if there is none yet, as a connection does.
fn way(request: &Request<'_>, asker: Asker) -> Result<Vec<Vec<u8>>> {
    let [family, ..] = request.fixed::<ROUTE>()?;
    let to = request.attribute(ROUTE, libc::RTA_DST);
    let to = to.and_then(|content| read_ip(family, content));
    let to = to.ok_or(Errno(libc::EINVAL))?;
    let interface = start_network().route(SocketAddr::new(to, 0), None, None)?;
    let stack = interface.lock();
    let source = stack.source_for(to).ok_or(Errno(libc::ENETUNREACH))?;
    let next = stack.next_hop(to);
    let is_own = interface.index() == LOOPBACK;
    drop(stack);
    let route = Route {
        to,
        prefix: if to.is_ipv4() { 32 } else { 128 },
        table: if is_own { LOCAL } else { MAIN },
        by: NOBODY,
        scope: UNIVERSE,
        kind: if is_own { OWN } else { UNICAST },
        interface: interface.index(),
        gateway: next.filter(|next| *next != to),
        source: Some(source),
    };
    Ok(Vec::from([
        route.write(NEW_ROUTE, request.heading(asker.port))
    ]))
}
