//! Pairs of connected sockets of the family `AF_UNIX` (POSIX.1-2017, `socketpair`; Linux: unix(7)): streams.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering};

use super::channel::{Channel, SOCKET_BYTES};
use super::convert::c_status;
use super::object::{self, Description, Object};
use super::pipe::give_two;
use super::signal;
use crate::arch::clock;
use crate::error::{Errno, Result};
use crate::scheduler::{Notifier, Readiness};

/// One of two sockets.
pub(super) struct PairSocket {
    incoming: Arc<Channel>,
    outgoing: Arc<Channel>,
    notifier: Arc<Notifier>,
    /// How long a read or a write waits, in nanoseconds; 0 is for ever.
    read_timeout_ns: AtomicU64,
    write_timeout_ns: AtomicU64,
}

fn deadline_ns(timeout_ns: &AtomicU64) -> Option<u64> {
    match timeout_ns.load(Ordering::Relaxed) {
        0 => None,
        timeout_ns => Some(clock::now_ns().saturating_add(timeout_ns)),
    }
}

impl PairSocket {
    fn two() -> [Self; 2] {
        let (first, second) = (Arc::new(Notifier::new()), Arc::new(Notifier::new()));
        let there = Channel::new(SOCKET_BYTES, second.clone(), first.clone());
        let back = Channel::new(SOCKET_BYTES, first.clone(), second.clone());
        let socket = |incoming: &Arc<Channel>, outgoing: &Arc<Channel>, notifier| Self {
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
            notifier,
            read_timeout_ns: AtomicU64::new(0),
            write_timeout_ns: AtomicU64::new(0),
        };
        [socket(&back, &there, first), socket(&there, &back, second)]
    }

    /// Receives.
    pub(super) fn receive(
        &self,
        buf: &mut [u8],
        is_peek: bool,
        is_nonblocking: bool,
    ) -> Result<usize> {
        let deadline_ns = deadline_ns(&self.read_timeout_ns);
        self.incoming
            .read(buf, is_nonblocking, is_peek, deadline_ns)
    }

    /// Sends.
    pub(super) fn send(&self, data: &[u8], is_nonblocking: bool) -> Result<usize> {
        let deadline_ns = deadline_ns(&self.write_timeout_ns);
        self.outgoing.write(data, is_nonblocking, deadline_ns)
    }

    /// Ends a direction, or both.
    pub(super) fn shutdown(&self, is_read: bool, is_write: bool) {
        if is_read {
            self.incoming.close_reader();
        }
        if is_write {
            self.outgoing.close_writer();
        }
    }

    /// The timeout that an option (`SO_RCVTIMEO` or `SO_SNDTIMEO`) sets.
    pub(super) fn timeout(&self, option: c_int) -> &AtomicU64 {
        match option {
            libc::SO_RCVTIMEO => &self.read_timeout_ns,
            _ => &self.write_timeout_ns,
        }
    }
}

/// For functions on sockets that found a descriptor of none they know (`error` says so): calls `work` if it is one of a pair.
pub(super) fn or_pair<R>(
    error: Errno,
    descriptor: c_int,
    work: impl FnOnce(&PairSocket, &Description) -> Result<R>,
) -> Result<R> {
    if error != Errno(libc::ENOTSOCK) {
        return Err(error);
    }
    let description = object::get(descriptor)?;
    work(description.downcast().ok_or(error)?, &description)
}

/// Tells the name of a socket of a pair, which is none: the family alone.
///
/// # Safety
/// 1. `len` is null or points to a length, and `address` is null or points to that many bytes.
pub(super) unsafe fn give_name(
    address: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
) -> Result<()> {
    if address.is_null() || len.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    let family = (libc::AF_UNIX as libc::sa_family_t).to_ne_bytes();
    // SAFETY: no more is written than the caller has room for (1).
    unsafe {
        let room = (*len as usize).min(family.len());
        core::ptr::copy_nonoverlapping(family.as_ptr(), address.cast(), room);
        *len = family.len() as libc::socklen_t;
    }
    Ok(())
}

impl Object for PairSocket {
    fn read(&self, buf: &mut [u8], is_nonblocking: bool) -> Result<usize> {
        self.receive(buf, false, is_nonblocking)
    }

    fn write(&self, buf: &[u8], is_nonblocking: bool) -> Result<usize> {
        signal::with_broken_pipe(self.send(buf, is_nonblocking))
    }

    fn readiness(&self) -> Readiness {
        let (is_read_closed, is_peer_done) = self.incoming.closed();
        let (is_peer_deaf, is_write_closed) = self.outgoing.closed();
        let mut readiness = self.incoming.readable() | self.outgoing.writable();
        readiness -= Readiness::HANGUP | Readiness::ERROR;
        if is_read_closed || is_peer_done {
            readiness |= Readiness::READABLE | Readiness::PEER_CLOSED;
        }
        if is_peer_deaf || is_write_closed {
            readiness |= Readiness::WRITABLE;
        }
        if (is_read_closed || is_peer_done) && (is_peer_deaf || is_write_closed) {
            readiness |= Readiness::HANGUP;
        }
        readiness
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(&self.notifier)
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        object::stat_anonymous(stat);
        stat.st_mode = libc::S_IFSOCK | 0o777;
        Ok(())
    }
}

impl Drop for PairSocket {
    fn drop(&mut self) {
        self.shutdown(true, true);
    }
}

/// Makes two sockets that are connected to each other.
///
/// # Safety
/// Two numbers can be written at `ends`.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn socketpair(
    domain: c_int,
    kind: c_int,
    protocol: c_int,
    ends: *mut [c_int; 2],
) -> c_int {
    c_status((|| {
        let flags = kind & (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
        let error = match (domain, kind & !flags, protocol) {
            (libc::AF_UNIX, libc::SOCK_STREAM, 0 | libc::PF_UNIX) => None,
            (libc::AF_UNIX, libc::SOCK_STREAM, _) => Some(libc::EPROTONOSUPPORT),
            (libc::AF_UNIX, ..) => Some(libc::ESOCKTNOSUPPORT),
            (libc::AF_INET | libc::AF_INET6, ..) => Some(libc::EOPNOTSUPP),
            _ => Some(libc::EAFNOSUPPORT),
        };
        if let Some(error) = error {
            return Err(Errno(error));
        }
        // The flags of sockets have the values of those of files.
        let flags = libc::O_RDWR | flags;
        let [first, second] = PairSocket::two();
        // SAFETY: the same contract.
        unsafe { give_two(ends, [(Box::new(first), flags), (Box::new(second), flags)]) }
    })())
}
