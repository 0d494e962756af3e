//! The one interface that a socket keeps to (`SO_BINDTODEVICE`, `SO_BINDTOIFINDEX`; Linux: socket(7)). It is chosen before the socket has an
//! address.

use core::ffi::{c_int, c_void};
use core::sync::atomic::Ordering;

use libc::socklen_t;

use super::{Socket, start_network};
use crate::error::{Errno, Result};
use crate::network::binding;
use crate::network::dedicate::{name_of, scope_of_name};

/// The scope of the interface of a name, which may end with a zero; 0 of none.
///
/// # Errors
/// `ENODEV` when there is none of the name.
pub(super) fn named(name: &[u8]) -> Result<u32> {
    // No name is longer (Linux: `IFNAMSIZ`).
    let name = name.get(..libc::IFNAMSIZ - 1).unwrap_or(name);
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    if name.is_empty() {
        return Ok(0);
    }
    let scope = str::from_utf8(name).ok().and_then(scope_of_name);
    let index = scope.and_then(binding::index_of_scope);
    match (
        scope,
        index.and_then(|index| start_network().interface(index)),
    ) {
        (Some(scope), Some(_)) => Ok(scope),
        _ => Err(Errno(libc::ENODEV)),
    }
}

/// The scope of the interface of a number; 0 of none. As on Linux, there may be none of the number: then nothing is heard, and there is no way out.
///
/// # Errors
/// `EINVAL` when it is negative.
pub(super) fn numbered(number: c_int) -> Result<u32> {
    u32::try_from(number).map_err(|_| Errno(libc::EINVAL))
}

/// Has a socket speak and hear by the interface of a scope alone; 0: by all.
///
/// # Errors
/// `EINVAL` when it has an address already.
pub(super) fn keep_to(socket: &Socket<'_>, scope: u32) -> Result<()> {
    match socket {
        Socket::Udp(socket) => socket.keep_to(scope)?,
        Socket::Tcp(socket) if socket.is_bound() => return Err(Errno(libc::EINVAL)),
        Socket::Tcp(socket) => socket.family.scope.store(scope, Ordering::Relaxed),
    }
    Ok(())
}

/// The scope of the interface that a socket keeps to; 0: none.
pub(super) fn number(socket: &Socket<'_>) -> c_int {
    socket.family().scope.load(Ordering::Relaxed).cast_signed()
}

/// Gives the caller the name of the interface that a socket keeps to, with a zero, and its length: 0 of none.
///
/// # Safety
/// 1. `len` is null or points to a length, and `to` points to that many bytes.
pub(super) unsafe fn store_name(
    socket: &Socket<'_>,
    to: *mut c_void,
    len: *mut socklen_t,
) -> Result<()> {
    if len.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    let scope = socket.family().scope.load(Ordering::Relaxed);
    let Some(index) = binding::index_of_scope(scope) else {
        // SAFETY: not null; (1).
        unsafe { *len = 0 };
        return Ok(());
    };
    let mut name = name_of(index).into_bytes();
    name.push(0);
    // SAFETY: not null; (1).
    let room = unsafe { *len } as usize;
    // Linux wants room for the longest.
    if room < libc::IFNAMSIZ {
        return Err(Errno(libc::EINVAL));
    }
    if to.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: names are shorter than there is room for (1).
    unsafe {
        core::ptr::copy_nonoverlapping(name.as_ptr(), to.cast(), name.len().min(room));
        *len = name.len().min(room) as socklen_t;
    }
    Ok(())
}
