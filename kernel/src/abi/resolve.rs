//! Names to addresses for programs: `getaddrinfo` (POSIX.1-2017; RFC 3493) over [`crate::network::dns`], with the files that say
//! names and servers (hosts(5), resolv.conf(5)) where the file system has them.

use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::ptr::null_mut;

use libc::addrinfo;

use super::databases::service_port;
use super::generated::Generated;
use super::memfd;
use super::settings;
use super::socket::address::{Raw, to_c};
use super::socket::start_network;
use crate::network::dedicate;
use crate::network::dns::settings::Settings;
use crate::network::dns::{self, ResolveError, Wanted, hosts};

/// The host has no address of the family (glibc's number; the crate `libc` has none).
const EAI_ADDRFAMILY: c_int = -9;

/// An entry of the list that [`getaddrinfo`] gives out, with its address.
#[repr(C)]
struct Entry {
    info: addrinfo,
    address: Raw,
}

/// What the caller asks for.
struct Wish {
    flags: c_int,
    family: c_int,
    kind: c_int,
    protocol: c_int,
}

/// # Safety
/// 1. `hints` is null or points to hints.
unsafe fn read_hints(hints: *const addrinfo) -> Result<Wish, c_int> {
    if hints.is_null() {
        return Ok(Wish {
            flags: 0,
            family: libc::AF_UNSPEC,
            kind: 0,
            protocol: 0,
        });
    }
    // SAFETY: (1).
    let hints = unsafe { &*hints };
    let known = libc::AI_PASSIVE
        | libc::AI_NUMERICHOST
        | libc::AI_NUMERICSERV
        | libc::AI_ADDRCONFIG
        | libc::AI_V4MAPPED
        | libc::AI_CANONNAME
        | libc::AI_ALL;
    if hints.ai_flags & !known != 0 {
        return Err(libc::EAI_BADFLAGS);
    }
    if !matches!(
        hints.ai_family,
        libc::AF_UNSPEC | libc::AF_INET | libc::AF_INET6
    ) {
        return Err(libc::EAI_FAMILY);
    }
    if !matches!(hints.ai_socktype, 0 | libc::SOCK_STREAM | libc::SOCK_DGRAM) {
        return Err(libc::EAI_SOCKTYPE);
    }
    Ok(Wish {
        flags: hints.ai_flags,
        family: hints.ai_family,
        kind: hints.ai_socktype,
        protocol: hints.ai_protocol,
    })
}

/// # Safety
/// 1. `text` is null or points to a C string that lives as long as the result is used.
unsafe fn text<'a>(text: *const c_char, error: c_int) -> Result<Option<&'a str>, c_int> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: (1).
    unsafe { CStr::from_ptr(text) }
        .to_str()
        .map(Some)
        .map_err(|_| error)
}

/// # Safety
/// 1. `node` and `service` are null or point to C strings.
/// 2. `hints` is null or points to hints.
/// 3. `result` points to room for a pointer.
#[unsafe(no_mangle)]
unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    result: *mut *mut addrinfo,
) -> c_int {
    let find = || {
        // SAFETY: (1), (2).
        let (node, service, wish) = unsafe {
            (
                text(node, libc::EAI_NONAME)?,
                text(service, libc::EAI_SERVICE)?,
                read_hints(hints)?,
            )
        };
        if node.is_none() && service.is_none() {
            return Err(libc::EAI_NONAME);
        }
        let port = service.map_or(Ok(0), |service| {
            let known = || match wish.flags & libc::AI_NUMERICSERV {
                0 => service_port(service).ok_or(libc::EAI_SERVICE),
                _ => Err(libc::EAI_NONAME),
            };
            service.parse().or_else(|_| known())
        })?;
        let addresses = find_addresses(node, &wish)?;
        let mut first = null_mut();
        for address in addresses.iter().rev() {
            let kinds = [
                (libc::SOCK_DGRAM, libc::IPPROTO_UDP),
                (libc::SOCK_STREAM, libc::IPPROTO_TCP),
            ];
            for (kind, protocol) in kinds {
                let is_wanted = |wish: c_int, offer| wish == 0 || wish == offer;
                if is_wanted(wish.kind, kind) && is_wanted(wish.protocol, protocol) {
                    let mut address = *address;
                    address.set_port(port);
                    first = entry(address, kind, protocol, first);
                }
            }
        }
        if first.is_null() {
            Err(libc::EAI_SOCKTYPE)
        } else {
            if let Some(node) = node.filter(|_| wish.flags & libc::AI_CANONNAME != 0) {
                let name = CString::new(node).map_err(|_| libc::EAI_NONAME)?;
                // SAFETY: the entry was just made.
                unsafe { (*first).ai_canonname = name.into_raw() };
            }
            Ok(first)
        }
    };
    match find() {
        Ok(first) => {
            // SAFETY: (3).
            unsafe { *result = first };
            0
        }
        Err(error) => error,
    }
}

/// The addresses of a name in a family, for programs that ask in the older way.
///
/// # Errors
/// As of [`getaddrinfo`].
pub(super) fn addresses_of(name: &str, family: c_int) -> Result<Vec<SocketAddr>, c_int> {
    let wish = Wish {
        flags: 0,
        family,
        kind: 0,
        protocol: 0,
    };
    find_addresses(Some(name), &wish)
}

/// The addresses of a node, without ports.
fn find_addresses(node: Option<&str>, wish: &Wish) -> Result<Vec<SocketAddr>, c_int> {
    let with_mapped = wish.family == libc::AF_INET6 && wish.flags & libc::AI_V4MAPPED != 0;
    let wanted = Wanted {
        v4: wish.family != libc::AF_INET6,
        v6: wish.family != libc::AF_INET,
    };
    let both = Wanted { v4: true, v6: true };
    let Some(node) = node else {
        let own = match wish.flags & libc::AI_PASSIVE != 0 {
            true => [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            false => [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        };
        return plain(wanted.of(own.into()));
    };
    if let Some(scoped) = read_scoped(node) {
        return match wanted.v6 {
            true => Ok(Vec::from([scoped])),
            false => Err(EAI_ADDRFAMILY),
        };
    }
    let find = |wanted: Wanted| -> Result<Vec<IpAddr>, ResolveError> {
        if let Some(known) = dns::without_server(node) {
            return wanted.of(known);
        }
        if wish.flags & libc::AI_NUMERICHOST != 0 {
            return Err(ResolveError::NotFound);
        }
        let known = settings::read("/etc/hosts").map(|text| hosts::find(&text, node));
        if let Some(known) = known.filter(|known| !known.is_empty()) {
            return wanted.of(known);
        }
        let network = start_network();
        let settings = match settings::read("/etc/resolv.conf").map(|text| Settings::parse(&text)) {
            Some(settings) if !settings.servers.is_empty() => settings,
            Some(settings) => Settings {
                servers: dns::of_network(network).servers,
                ..settings
            },
            None => dns::of_network(network),
        };
        dns::ask(network, &settings, node, wanted)
    };
    let found = find(wanted);
    match (&found, with_mapped) {
        (Err(ResolveError::NoAddress | ResolveError::NotFound), true) => {
            let mapped = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
                IpAddr::V6(_) => ip,
            };
            plain(find(both).map(|found| found.into_iter().map(mapped).collect()))
        }
        _ => plain(found),
    }
}

fn plain(found: Result<Vec<IpAddr>, ResolveError>) -> Result<Vec<SocketAddr>, c_int> {
    let found = found.map_err(|error| match error {
        ResolveError::NotFound => libc::EAI_NONAME,
        ResolveError::NoAddress => libc::EAI_NODATA,
        ResolveError::NoAnswer | ResolveError::NoServer => libc::EAI_AGAIN,
    })?;
    let with_port = |ip| SocketAddr::new(ip, 0);
    Ok(found.into_iter().map(with_port).collect())
}

/// Reads an address with its scope, by number or by name: `fe80::1%2`, `fe80::1%net0` (RFC 4007, section 11).
fn read_scoped(node: &str) -> Option<SocketAddr> {
    let (ip, scope) = node.split_once('%')?;
    let ip: Ipv6Addr = ip.parse().ok()?;
    let scope = match scope.parse() {
        Ok(number) => number,
        Err(_) => dedicate::scope_of_name(scope)?,
    };
    Some(SocketAddr::V6(SocketAddrV6::new(ip, 0, 0, scope)))
}

/// Whom to ask, for programs that do so by themselves: what the lease, routers and command line say. Waits for an address.
#[unsafe(link_section = ".toro.generated.names")]
static SERVERS: Generated = Generated::at(b"/etc/resolv.conf", |flags| {
    let settings = dns::of_network(start_network());
    memfd::of_content(b"resolv.conf", settings.to_text().as_bytes(), flags)
});

/// Programs that make sockets have the files of this family.
pub(super) fn bring_files() {
    core::hint::black_box(&raw const SERVERS);
}

/// An entry in front of `next`.
fn entry(address: SocketAddr, kind: c_int, protocol: c_int, next: *mut addrinfo) -> *mut addrinfo {
    let address = to_c(address);
    let entry = Box::into_raw(Box::new(Entry {
        info: addrinfo {
            ai_flags: 0,
            ai_family: address.family(),
            ai_socktype: kind,
            ai_protocol: protocol,
            ai_addrlen: address.len() as libc::socklen_t,
            ai_addr: null_mut(),
            ai_canonname: null_mut(),
            ai_next: next,
        },
        address,
    }));
    // SAFETY: the entry was just made; `info` is its first field, so the pointer to it is one to the entry, and an address begins with
    // its bytes.
    unsafe {
        (*entry).info.ai_addr = (&raw mut (*entry).address).cast();
        entry.cast()
    }
}

/// # Safety
/// 1. `first` is null or from [`getaddrinfo`], and not used any more.
#[unsafe(no_mangle)]
unsafe extern "C" fn freeaddrinfo(first: *mut addrinfo) {
    let mut next = first;
    while !next.is_null() {
        // SAFETY: each entry came from `entry` (1).
        let entry = unsafe { Box::from_raw(next.cast::<Entry>()) };
        next = entry.info.ai_next;
        if !entry.info.ai_canonname.is_null() {
            // SAFETY: the name came from `getaddrinfo`.
            drop(unsafe { CString::from_raw(entry.info.ai_canonname) });
        }
    }
}

/// What an error of [`getaddrinfo`] means.
#[unsafe(no_mangle)]
extern "C" fn gai_strerror(error: c_int) -> *const c_char {
    let message = match error {
        0 => c"Success",
        libc::EAI_NONAME => c"Name or service not known",
        EAI_ADDRFAMILY => c"Address family for hostname not supported",
        libc::EAI_NODATA => c"No address associated with hostname",
        libc::EAI_AGAIN => c"Temporary failure in name resolution",
        libc::EAI_FAMILY => c"ai_family not supported",
        libc::EAI_SOCKTYPE => c"ai_socktype not supported",
        libc::EAI_SERVICE => c"Servname not supported for ai_socktype",
        libc::EAI_BADFLAGS => c"Bad value for ai_flags",
        _ => c"Unknown error",
    };
    message.as_ptr()
}

/// Reads the resolver's settings anew: they are never kept, so there is nothing to do.
#[unsafe(no_mangle)]
extern "C" fn __res_init() -> c_int {
    0
}
