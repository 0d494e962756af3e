//! Options that are kept and told again ([`crate::network::socket::hints`] says why they change nothing; Linux: socket(7), tcp(7), ip(7)).

use core::ffi::c_int;

use super::Socket;
use crate::error::{Errno, Result};
use crate::network::socket::hints::Hint;

/// The largest way of finding out what packets may have: `IP_PMTUDISC_OMIT`.
const DISCOVERY_MAX: c_int = 5;

/// Which of them an option is, if it is one.
pub(super) fn find(socket: &Socket<'_>, level: c_int, option: c_int) -> Option<Hint> {
    let is_tcp = matches!(socket, Socket::Tcp(_));
    Some(match (level, option) {
        (libc::SOL_SOCKET, libc::SO_PRIORITY) => Hint::Priority,
        (libc::SOL_SOCKET, libc::SO_MARK) => Hint::Mark,
        (libc::SOL_SOCKET, libc::SO_BUSY_POLL) => Hint::BusyPoll,
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN) if is_tcp => Hint::FastOpen,
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT) if is_tcp => Hint::FastOpenConnect,
        (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT) if is_tcp => Hint::UnsentLowWater,
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER) => Hint::DiscoveryV4,
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER) if socket.family().is_v6 => Hint::DiscoveryV6,
        _ => return None,
    })
}

/// Keeps what a program says; `EINVAL` for what it cannot say, or not now.
pub(super) fn set(socket: &Socket<'_>, hint: Hint, value: c_int) -> Result<()> {
    let is_connected = matches!(socket, Socket::Tcp(socket) if socket.info().is_some());
    let can_be = match hint {
        Hint::Priority | Hint::Mark | Hint::UnsentLowWater => true,
        Hint::BusyPoll => value >= 0,
        Hint::FastOpen => value >= 0 && !is_connected,
        Hint::FastOpenConnect => matches!(value, 0 | 1) && !is_connected,
        Hint::DiscoveryV4 | Hint::DiscoveryV6 => (0..=DISCOVERY_MAX).contains(&value),
    };
    if !can_be {
        return Err(Errno(libc::EINVAL));
    }
    socket.family().hints.set(hint, value);
    Ok(())
}
