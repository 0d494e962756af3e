//! What goes along with a message besides its bytes (`cmsg`; POSIX.1-2017, `sys/socket.h`; RFC 3542; Linux: cmsg(3), ip(7), unix(7)).

use alloc::vec::Vec;
use core::ffi::c_int;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libc::{cmsghdr, in_pktinfo, in6_pktinfo, msghdr};

use super::transfer::{Parcel, Received, Sender};
use super::{Socket, with_socket};
use crate::abi::object;
use crate::error::{Errno, Result};
use crate::network::binding;
use crate::network::socket::failure::Failure;
use crate::network::socket::told::Told;

const HEADER: usize = size_of::<cmsghdr>();

/// Reads what a program sends along.
///
/// # Safety
/// 1. The message's control points to as many bytes as it says.
pub(super) unsafe fn read(message: &msghdr, parcel: &mut Parcel<'_>) -> Result<()> {
    if message.msg_control.is_null() {
        return Ok(());
    }
    let control = message.msg_control.cast::<u8>();
    // SAFETY: (1).
    let mut rest = unsafe { core::slice::from_raw_parts(control, message.msg_controllen) };
    while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
        let word = |at: usize| {
            header
                .get(at..)?
                .first_chunk()
                .copied()
                .map(c_int::from_ne_bytes)
        };
        let len = header
            .first_chunk()
            .copied()
            .map_or(0, usize::from_ne_bytes);
        let body = rest.get(HEADER..len).ok_or(Errno(libc::EINVAL))?;
        let (Some(level), Some(kind)) = (word(8), word(12)) else {
            return Err(Errno(libc::EINVAL));
        };
        take(parcel, level, kind, body)?;
        rest = rest
            .get(len.next_multiple_of(align_of::<cmsghdr>())..)
            .unwrap_or_default();
    }
    Ok(())
}

fn take(parcel: &mut Parcel<'_>, level: c_int, kind: c_int, body: &[u8]) -> Result<()> {
    let invalid = Errno(libc::EINVAL);
    let number = || {
        body.first_chunk()
            .copied()
            .map(c_int::from_ne_bytes)
            .ok_or(invalid)
    };
    // -1 asks for the socket's own.
    let byte = || match number()? {
        -1 => Ok(None),
        value => u8::try_from(value).map(Some).map_err(|_| invalid),
    };
    let wishes = &mut parcel.wishes;
    match (level, kind) {
        (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
            let (numbers, rest) = body.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(invalid);
            }
            for descriptor in numbers {
                parcel
                    .along
                    .files
                    .push(object::get(c_int::from_ne_bytes(*descriptor))?);
            }
        }
        (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
            let (numbers, []) = body.as_chunks::<4>() else {
                return Err(invalid);
            };
            let [pid, uid, gid] = numbers else {
                return Err(invalid);
            };
            // The program may call itself what it likes, but there is one process.
            if c_int::from_ne_bytes(*pid) != 1 {
                return Err(Errno(libc::ESRCH));
            }
            parcel.along.credentials = Some(libc::ucred {
                pid: 1,
                uid: u32::from_ne_bytes(*uid),
                gid: u32::from_ne_bytes(*gid),
            });
        }
        (libc::IPPROTO_IP, libc::IP_TTL) => wishes.hop_limit = byte()?,
        (libc::IPPROTO_IP, libc::IP_TOS) => {
            // A byte or a number, as on Linux.
            wishes.traffic_class = match body {
                [class] => Some(*class),
                _ => byte()?,
            };
        }
        (libc::SOL_UDP, libc::UDP_SEGMENT) => {
            let len = body.try_into().map_err(|_| invalid)?;
            wishes.segment_bytes = Some(u16::from_ne_bytes(len));
        }
        (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => wishes.hop_limit = byte()?,
        (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => wishes.traffic_class = byte()?,
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            let info: &[u8; size_of::<in_pktinfo>()] = body.first_chunk().ok_or(invalid)?;
            let [a, b, c, d, e, f, g, h, ..] = *info;
            wishes.interface = binding::index_of_scope(u32::from_ne_bytes([a, b, c, d]));
            let source = Ipv4Addr::new(e, f, g, h);
            wishes.source = (!source.is_unspecified()).then_some(IpAddr::V4(source));
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let info: &[u8; size_of::<in6_pktinfo>()] = body.first_chunk().ok_or(invalid)?;
            let (ip, scope) = info.split_at(16);
            let ip = Ipv6Addr::from(*ip.first_chunk::<16>().ok_or(invalid)?);
            let scope = scope.first_chunk().copied().map_or(0, u32::from_ne_bytes);
            wishes.interface = binding::index_of_scope(scope);
            wishes.source = (!ip.is_unspecified())
                .then(|| ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4));
        }
        _ => return Err(invalid),
    }
    Ok(())
}

/// Gives a program what came along, as much as there is room for, and says so in the message's flags.
///
/// # Safety
/// 1. The message's control points to as many bytes as it says.
pub(super) unsafe fn write(
    descriptor: c_int,
    message: &mut msghdr,
    received: Received,
    is_close_on_exec: bool,
) {
    let room = match message.msg_control.is_null() {
        true => 0,
        false => message.msg_controllen,
    };
    let mut records = Vec::new();
    let mut is_cut = false;
    if let Sender::Undelivered(failure, is_v6) = &received.sender {
        let (level, kind, body) = failure_record(failure, *is_v6);
        is_cut |= !add(&mut records, room, level, kind, &body);
    }
    if let Sender::Host(origin, is_v6) = received.sender {
        let told = with_socket(descriptor, |socket, _| match socket {
            Socket::Udp(socket) => Ok(socket.told.all()),
            Socket::Tcp(_) => Ok(Told::empty()),
        });
        for (level, kind, body) in told.unwrap_or(Told::empty()).of(&origin, is_v6) {
            is_cut |= !add(&mut records, room, level, kind, &body);
        }
    }
    if let Some(libc::ucred { pid, uid, gid }) = received.credentials {
        let words = [pid.cast_unsigned(), uid, gid].map(u32::to_ne_bytes);
        let body = words.as_flattened();
        is_cut |= !add(
            &mut records,
            room,
            libc::SOL_SOCKET,
            libc::SCM_CREDENTIALS,
            body,
        );
    }
    if !received.along.files.is_empty() {
        // As many as there is room for; the others are closed.
        let used = records.len().next_multiple_of(align_of::<cmsghdr>()) + HEADER;
        let count = room.saturating_sub(used) / size_of::<c_int>();
        let mut numbers = Vec::new();
        for file in received.along.files {
            match numbers.len() / size_of::<c_int>() < count {
                true => match object::insert_description(file, 0) {
                    Ok(descriptor) => {
                        // It was just made.
                        let _ = object::set_close_on_exec(descriptor, is_close_on_exec);
                        numbers.extend_from_slice(&descriptor.to_ne_bytes());
                    }
                    Err(_) => is_cut = true,
                },
                false => is_cut = true,
            }
        }
        if !numbers.is_empty() {
            add(
                &mut records,
                room,
                libc::SOL_SOCKET,
                libc::SCM_RIGHTS,
                &numbers,
            );
        }
    }
    // SAFETY: no more is written than there is room for (1).
    unsafe {
        core::ptr::copy_nonoverlapping(
            records.as_ptr(),
            message.msg_control.cast(),
            records.len().min(room),
        );
    }
    message.msg_controllen = records.len().min(room);
    if is_cut {
        message.msg_flags |= libc::MSG_CTRUNC;
    }
}

/// What goes along with a datagram that did not arrive: level, kind and body (`sock_extended_err`, and the address of who says so).
fn failure_record(failure: &Failure, is_v6_socket: bool) -> (c_int, c_int, Vec<u8>) {
    let origin = match failure.reporter {
        IpAddr::V4(_) => libc::SO_EE_ORIGIN_ICMP,
        IpAddr::V6(_) => libc::SO_EE_ORIGIN_ICMP6,
    };
    let (kind, code) = failure.kind;
    let number = Errno::from(failure.error).0 as u32;
    let mut body = Vec::new();
    body.extend_from_slice(&number.to_ne_bytes());
    body.extend_from_slice(&[origin, kind, code, 0]);
    body.extend_from_slice(&failure.mtu.to_ne_bytes());
    body.extend_from_slice(&0u32.to_ne_bytes());
    match (failure.reporter, is_v6_socket) {
        (IpAddr::V4(ip), false) => {
            body.extend_from_slice(&(libc::AF_INET as u32).to_ne_bytes());
            body.extend_from_slice(&ip.octets());
            body.extend_from_slice(&[0; 8]);
            (libc::IPPROTO_IP, libc::IP_RECVERR, body)
        }
        (ip, _) => {
            let ip = match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            body.extend_from_slice(&(libc::AF_INET6 as u64).to_ne_bytes());
            body.extend_from_slice(&ip.octets());
            body.extend_from_slice(&[0; 4]);
            (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, body)
        }
    }
}

/// Adds a record, or as much of it as there is room for; whether it fits.
fn add(records: &mut Vec<u8>, room: usize, level: c_int, kind: c_int, body: &[u8]) -> bool {
    let at = records.len().next_multiple_of(align_of::<cmsghdr>());
    let left = room.saturating_sub(at);
    if left < HEADER {
        return false;
    }
    let len = left.min(HEADER + body.len());
    records.resize(at, 0);
    records.extend_from_slice(&len.to_ne_bytes());
    records.extend_from_slice(&level.to_ne_bytes());
    records.extend_from_slice(&kind.to_ne_bytes());
    records.extend_from_slice(&body[..len - HEADER]);
    // Linux counts the padding of the last too, where there is room for it.
    records.resize(
        (at + len).next_multiple_of(align_of::<cmsghdr>()).min(room),
        0,
    );
    len == HEADER + body.len()
}
