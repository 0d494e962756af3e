//! Names to addresses for programs: `getaddrinfo` (POSIX.1-2017; RFC 3493) over [`crate::network::dns`].

use alloc::boxed::Box;
use core::ffi::{CStr, c_char, c_int};
use core::net::{Ipv4Addr, SocketAddrV4};
use core::ptr::null_mut;

use libc::{addrinfo, sockaddr_in};

use super::socket::{start_network, to_c};
use crate::network::dns::{self, ResolveError};

/// An entry of the list that [`getaddrinfo`] gives out, with its address.
#[repr(C)]
struct Entry {
    info: addrinfo,
    address: sockaddr_in,
}

/// What the caller asks for.
struct Wish {
    flags: c_int,
    kind: c_int,
    protocol: c_int,
}

/// # Safety
/// 1. `hints` is null or points to hints.
unsafe fn read_hints(hints: *const addrinfo) -> Result<Wish, c_int> {
    if hints.is_null() {
        return Ok(Wish {
            flags: 0,
            kind: 0,
            protocol: 0,
        });
    }
    // SAFETY: (1).
    let hints = unsafe { &*hints };
    // Flags about IPv6 or about which families there are make no difference where IPv4 is all there is.
    let known = libc::AI_PASSIVE
        | libc::AI_NUMERICHOST
        | libc::AI_NUMERICSERV
        | libc::AI_ADDRCONFIG
        | libc::AI_V4MAPPED
        | libc::AI_ALL;
    if hints.ai_flags & !known != 0 {
        return Err(libc::EAI_BADFLAGS);
    }
    if !matches!(hints.ai_family, libc::AF_UNSPEC | libc::AF_INET) {
        return Err(libc::EAI_FAMILY);
    }
    if !matches!(hints.ai_socktype, 0 | libc::SOCK_STREAM | libc::SOCK_DGRAM) {
        return Err(libc::EAI_SOCKTYPE);
    }
    Ok(Wish {
        flags: hints.ai_flags,
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
            service.parse().map_err(|_| libc::EAI_SERVICE)
        })?;
        let addresses = match node {
            None if wish.flags & libc::AI_PASSIVE != 0 => [Ipv4Addr::UNSPECIFIED].into(),
            None => [Ipv4Addr::LOCALHOST].into(),
            Some(node) if wish.flags & libc::AI_NUMERICHOST != 0 => {
                [node.parse().map_err(|_| libc::EAI_NONAME)?].into()
            }
            Some(node) => dns::resolve(node, || {
                start_network().map_err(|_| crate::network::Error::NoInterface)
            })
            .map_err(|error| match error {
                ResolveError::NotFound => libc::EAI_NONAME,
                ResolveError::NoAddress => libc::EAI_NODATA,
                ResolveError::NoAnswer | ResolveError::NoServer => libc::EAI_AGAIN,
            })?,
        };
        let mut first = null_mut();
        for address in addresses.iter().rev() {
            let kinds = [
                (libc::SOCK_DGRAM, libc::IPPROTO_UDP),
                (libc::SOCK_STREAM, libc::IPPROTO_TCP),
            ];
            for (kind, protocol) in kinds {
                let is_wanted = |wish: c_int, offer| wish == 0 || wish == offer;
                if is_wanted(wish.kind, kind) && is_wanted(wish.protocol, protocol) {
                    first = entry(SocketAddrV4::new(*address, port), kind, protocol, first);
                }
            }
        }
        if first.is_null() {
            Err(libc::EAI_SOCKTYPE)
        } else {
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

/// An entry in front of `next`.
fn entry(
    address: SocketAddrV4,
    kind: c_int,
    protocol: c_int,
    next: *mut addrinfo,
) -> *mut addrinfo {
    let entry = Box::into_raw(Box::new(Entry {
        info: addrinfo {
            ai_flags: 0,
            ai_family: libc::AF_INET,
            ai_socktype: kind,
            ai_protocol: protocol,
            ai_addrlen: size_of::<sockaddr_in>() as libc::socklen_t,
            ai_addr: null_mut(),
            ai_canonname: null_mut(),
            ai_next: next,
        },
        address: to_c(address),
    }));
    // SAFETY: the entry was just made; `info` is its first field, so the pointer to it is one to the entry.
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
    }
}

/// What an error of [`getaddrinfo`] means.
#[unsafe(no_mangle)]
extern "C" fn gai_strerror(error: c_int) -> *const c_char {
    let message = match error {
        0 => c"Success",
        libc::EAI_NONAME => c"Name or service not known",
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
