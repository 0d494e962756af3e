//! Where urgent data of TCP is (`sockatmark`, POSIX.1-2017; `SIOCATMARK`, Linux: tcp(7)).

use core::ffi::{c_int, c_ulong};

use crate::abi::errno;
use crate::abi::object::{self, Description};
use crate::error::{Errno, Result};
use crate::network::socket::tcp::TcpSocket;

/// Asks the same by `ioctl`.
pub(in crate::abi) const SIOCATMARK: c_ulong = 0x8905;

/// Whether the next byte to be read from a socket is the urgent one.
///
/// # Errors
/// `ENOTTY` when it is no socket of TCP, `EINVAL` when that has no connection.
pub(in crate::abi) fn is_at_mark(description: &Description) -> Result<c_int> {
    let socket = description
        .downcast::<TcpSocket>()
        .ok_or(Errno(libc::ENOTTY))?;
    let is_at_mark = socket.is_at_mark().map_err(|_| Errno(libc::EINVAL))?;
    Ok(c_int::from(is_at_mark))
}

#[unsafe(no_mangle)]
extern "C" fn sockatmark(descriptor: c_int) -> c_int {
    let result = object::get(descriptor).and_then(|description| is_at_mark(&description));
    result.unwrap_or_else(errno::set)
}
