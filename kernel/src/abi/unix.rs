//! Sockets of the family `AF_UNIX` (POSIX.1-2017, `sys/un.h`; Linux: unix(7)): streams and datagrams, in pairs and by name, and what is sent
//! along with bytes.

mod mailbox;
mod name;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use self::mailbox::{Letter, Mailbox};
use self::name::Binding;
pub(super) use self::name::{Name, load as load_name, store as store_name};
pub(super) use super::channel::Along;
use super::channel::{Channel, Piece, SOCKET_BYTES, is_over};
use super::convert::c_status;
use super::credentials;
use super::object::{self, Description, Object};
use super::pipe::give_two;
use super::signal;
use crate::arch::clock;
use crate::error::{Errno, Result};
use crate::scheduler::{Notifier, Readiness};
use crate::sync::SpinLock;

/// Connections that wait to be accepted, at most: Linux's `somaxconn`.
const MOST_PENDING: usize = 4096;

/// One end of a connection.
struct Stream {
    incoming: Arc<Channel>,
    outgoing: Arc<Channel>,
    peer: Name,
    /// The other end went away without having read everything, and this one has not been told yet; and the same from there.
    is_reset: Arc<AtomicBool>,
    is_peer_reset: Arc<AtomicBool>,
}

impl Stream {
    /// Two ends, of the sockets of a kind that the notifiers and names belong to.
    fn two(kind: c_int, ends: [(Arc<Notifier>, Name); 2]) -> [Self; 2] {
        let [(first, first_name), (second, second_name)] = ends;
        let has_records = kind == libc::SOCK_SEQPACKET;
        let there = Channel::with(SOCKET_BYTES, has_records, second.clone(), first.clone());
        let back = Channel::with(SOCKET_BYTES, has_records, first, second);
        let resets: [Arc<AtomicBool>; 2] = Default::default();
        let end = |incoming: &Arc<Channel>, outgoing: &Arc<Channel>, peer, own: usize| Self {
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
            peer,
            is_reset: resets[own].clone(),
            is_peer_reset: resets[1 - own].clone(),
        };
        [
            end(&back, &there, second_name, 0),
            end(&there, &back, first_name, 1),
        ]
    }

    /// The other end learns that this one did not take what it sent, or was never accepted.
    fn reset_peer(&self) {
        self.is_peer_reset.store(true, Ordering::Release);
    }

    /// Whether the other end did that; told once.
    fn take_reset(&self) -> bool {
        self.is_reset.swap(false, Ordering::AcqRel)
    }

    fn shutdown(&self, is_read: bool, is_write: bool) {
        if is_read {
            self.incoming.close_reader();
        }
        if is_write {
            self.outgoing.close_writer();
        }
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
        if self.is_reset.load(Ordering::Acquire) {
            readiness |= Readiness::ERROR;
        }
        readiness
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.incoming.has_unread() {
            self.reset_peer();
        }
        self.shutdown(true, true);
    }
}

/// Connections that wait to be accepted.
#[derive(Default)]
struct Pending {
    sockets: VecDeque<UnixSocket>,
    /// 0 while nobody listens.
    backlog: usize,
}

/// What others reach of a socket, by its name.
struct Target {
    kind: c_int,
    notifier: Arc<Notifier>,
    pending: SpinLock<Pending>,
    /// Who waits until a connection is accepted.
    room: Notifier,
    mailbox: Mailbox,
}

/// What a socket is connected to.
#[derive(Clone)]
enum Peer {
    None,
    Stream(Arc<Stream>),
    Mailbox(Arc<Target>, Name),
}

/// A socket.
pub(super) struct UnixSocket {
    target: Arc<Target>,
    binding: SpinLock<Option<Arc<Binding>>>,
    /// The name of the listener that accepted it.
    inherited_name: Name,
    peer: SpinLock<Peer>,
    /// How long a read or a write waits, in nanoseconds; 0 is for ever.
    read_timeout_ns: AtomicU64,
    write_timeout_ns: AtomicU64,
    /// Of the socket, and of the path that it is bound to.
    permissions: AtomicU32,
    /// Whoever receives is told who sent (`SO_PASSCRED`).
    pub(super) is_told_credentials: AtomicBool,
}

fn deadline_ns(timeout_ns: &AtomicU64) -> Option<u64> {
    match timeout_ns.load(Ordering::Relaxed) {
        0 => None,
        timeout_ns => Some(clock::now_ns().saturating_add(timeout_ns)),
    }
}

/// What was received: bytes, of how many, and from whom, if that was told.
pub(super) struct Received {
    pub(super) along: Along,
    pub(super) len: usize,
    pub(super) full_len: usize,
    pub(super) from: Option<Name>,
    /// Who sent it, if that is to be told.
    pub(super) credentials: Option<libc::ucred>,
}

/// Linux's users without a number here.
const NOBODY: libc::ucred = libc::ucred {
    pid: 0,
    uid: 65_534,
    gid: 65_534,
};

impl UnixSocket {
    fn new(kind: c_int) -> Self {
        let notifier = Arc::new(Notifier::new());
        Self {
            target: Arc::new(Target {
                kind,
                notifier: notifier.clone(),
                pending: SpinLock::new(Pending::default()),
                room: Notifier::new(),
                mailbox: Mailbox::new(notifier),
            }),
            binding: SpinLock::new(None),
            inherited_name: Name::default(),
            peer: SpinLock::new(Peer::None),
            read_timeout_ns: AtomicU64::new(0),
            write_timeout_ns: AtomicU64::new(0),
            is_told_credentials: AtomicBool::new(false),
            permissions: AtomicU32::new(0o777),
        }
    }

    fn two(kind: c_int) -> [Self; 2] {
        let (first, second) = (Self::new(kind), Self::new(kind));
        if first.is_stream() {
            let [one, other] = Stream::two(
                kind,
                [&first, &second].map(|socket| (socket.target.notifier.clone(), Name::default())),
            );
            *first.peer.lock() = Peer::Stream(Arc::new(one));
            *second.peer.lock() = Peer::Stream(Arc::new(other));
        } else {
            *first.peer.lock() = Peer::Mailbox(second.target.clone(), Name::default());
            *second.peer.lock() = Peer::Mailbox(first.target.clone(), Name::default());
        }
        [first, second]
    }

    /// Whether it has connections.
    fn is_stream(&self) -> bool {
        matches!(self.target.kind, libc::SOCK_STREAM | libc::SOCK_SEQPACKET)
    }

    /// `SOCK_STREAM`, `SOCK_SEQPACKET` or `SOCK_DGRAM`.
    pub(super) fn kind(&self) -> c_int {
        self.target.kind
    }

    /// Its own name; empty if it has none.
    pub(super) fn name(&self) -> Name {
        match &*self.binding.lock() {
            Some(binding) => binding.name.clone(),
            None => self.inherited_name.clone(),
        }
    }

    /// The name of what it is connected to.
    pub(super) fn peer_name(&self) -> Result<Name> {
        match &*self.peer.lock() {
            Peer::None => Err(Errno(libc::ENOTCONN)),
            Peer::Stream(stream) => Ok(stream.peer.clone()),
            Peer::Mailbox(_, name) => Ok(name.clone()),
        }
    }

    /// Whether it accepts connections.
    pub(super) fn is_listening(&self) -> bool {
        self.target.pending.lock().backlog != 0
    }

    /// Gives it a name.
    pub(super) fn bind(&self, name: Name) -> Result<()> {
        if self.binding.lock().is_some() {
            return Err(Errno(libc::EINVAL));
        }
        let binding = Arc::new(Binding::new(
            name,
            &self.target,
            self.permissions.load(Ordering::Relaxed),
        )?);
        // Two calls at once: the later one's name is given back.
        let later = self.binding.lock().replace(binding);
        drop(later);
        Ok(())
    }

    /// Accepts connections from now on.
    pub(super) fn listen(&self, backlog: usize) -> Result<()> {
        if !self.is_stream() {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        if self.binding.lock().is_none() || !matches!(*self.peer.lock(), Peer::None) {
            return Err(Errno(libc::EINVAL));
        }
        self.target.pending.lock().backlog = backlog.saturating_add(1).min(MOST_PENDING);
        self.target.room.notify();
        Ok(())
    }

    /// Takes the next connection: the socket, and the name of its peer.
    pub(super) fn accept(&self, is_nonblocking: bool) -> Result<(Self, Name)> {
        let deadline_ns = deadline_ns(&self.read_timeout_ns);
        let mut pending = self.target.pending.lock();
        loop {
            if !self.is_stream() {
                return Err(Errno(libc::EOPNOTSUPP));
            }
            if pending.backlog == 0 {
                return Err(Errno(libc::EINVAL));
            }
            if let Some(socket) = pending.sockets.pop_front() {
                drop(pending);
                let is_told = self.is_told_credentials.load(Ordering::Relaxed);
                socket.is_told_credentials.store(is_told, Ordering::Relaxed);
                self.target.room.notify();
                let name = socket.peer_name()?;
                return Ok((socket, name));
            }
            if is_nonblocking || is_over(deadline_ns) {
                return Err(Errno(libc::EAGAIN));
            }
            (pending, _) = self.target.notifier.wait(pending, deadline_ns);
        }
    }

    /// Connects to the socket of a name.
    pub(super) fn connect(&self, name: &Name, is_nonblocking: bool) -> Result<()> {
        let target = name::find(name)?;
        if target.kind != self.target.kind {
            return Err(Errno(libc::EPROTOTYPE));
        }
        if !self.is_stream() {
            let old =
                core::mem::replace(&mut *self.peer.lock(), Peer::Mailbox(target, name.clone()));
            drop(old);
            return Ok(());
        }
        if self.is_listening() {
            return Err(Errno(libc::EINVAL));
        }
        if !matches!(*self.peer.lock(), Peer::None) {
            return Err(Errno(libc::EISCONN));
        }
        let mut accepted = Self::new(self.target.kind);
        accepted.inherited_name = name.clone();
        let ends = [
            (self.target.notifier.clone(), self.name()),
            (accepted.target.notifier.clone(), name.clone()),
        ];
        let [own, other] = Stream::two(self.target.kind, ends);
        *accepted.peer.lock() = Peer::Stream(Arc::new(other));
        let deadline_ns = deadline_ns(&self.write_timeout_ns);
        let mut pending = target.pending.lock();
        loop {
            if pending.backlog == 0 {
                drop(pending);
                return Err(Errno(libc::ECONNREFUSED));
            }
            if pending.sockets.len() < pending.backlog {
                break;
            }
            if is_nonblocking || is_over(deadline_ns) {
                drop(pending);
                return Err(Errno(libc::EAGAIN));
            }
            (pending, _) = target.room.wait(pending, deadline_ns);
        }
        *self.peer.lock() = Peer::Stream(Arc::new(own));
        pending.sockets.push_back(accepted);
        drop(pending);
        target.notifier.notify();
        self.target.notifier.notify();
        Ok(())
    }

    /// Undoes the connection of a socket for datagrams.
    pub(super) fn disconnect(&self) -> Result<()> {
        if self.is_stream() {
            return Err(Errno(libc::EAFNOSUPPORT));
        }
        let old = core::mem::replace(&mut *self.peer.lock(), Peer::None);
        drop(old);
        Ok(())
    }

    fn peer(&self) -> Peer {
        self.peer.lock().clone()
    }

    /// Whom to name as the sender of what came with `along`, if that is to be told: nobody of an end.
    fn credentials(&self, along: &Along, is_end: bool) -> Option<libc::ucred> {
        let own = if is_end { NOBODY } else { credentials::told() };
        let is_told = self.is_told_credentials.load(Ordering::Relaxed);
        is_told.then(|| along.credentials.unwrap_or(own))
    }

    /// Receives.
    pub(super) fn receive(
        &self,
        buf: &mut [u8],
        is_peek: bool,
        is_nonblocking: bool,
    ) -> Result<Received> {
        let deadline_ns = deadline_ns(&self.read_timeout_ns);
        if !self.is_stream() {
            let mailbox = &self.target.mailbox;
            let letter = mailbox.receive(buf, is_peek, is_nonblocking, deadline_ns)?;
            let Letter {
                len,
                full_len,
                from,
                along,
            } = letter;
            return Ok(Received {
                credentials: self.credentials(&along, false),
                along,
                len,
                full_len,
                from: Some(from),
            });
        }
        let Peer::Stream(stream) = self.peer() else {
            return Err(Errno(libc::EINVAL));
        };
        let incoming = &stream.incoming;
        let Piece {
            len,
            full_len,
            along,
        } = incoming.read_piece(buf, is_nonblocking, is_peek, deadline_ns)?;
        if full_len == 0 && incoming.closed().1 && !incoming.has_unread() && stream.take_reset() {
            return Err(Errno(libc::ECONNRESET));
        }
        Ok(Received {
            credentials: self.credentials(&along, full_len == 0),
            along,
            len,
            full_len,
            from: None,
        })
    }

    /// Sends, to what it is connected to or to a name, with descriptions that go along.
    pub(super) fn send(
        &self,
        data: &[u8],
        to: Option<&Name>,
        along: Along,
        is_nonblocking: bool,
    ) -> Result<usize> {
        let deadline_ns = deadline_ns(&self.write_timeout_ns);
        let target = match (self.peer(), to) {
            (Peer::Stream(stream), None) => {
                let outgoing = &stream.outgoing;
                return outgoing.write_with(data, along, is_nonblocking, deadline_ns);
            }
            (Peer::Stream(_), Some(_)) => return Err(Errno(libc::EISCONN)),
            (Peer::None, Some(_)) if self.is_stream() => return Err(Errno(libc::EOPNOTSUPP)),
            (Peer::Mailbox(..) | Peer::None, Some(name)) => name::find(name)?,
            (Peer::Mailbox(target, _), None) => target,
            (Peer::None, None) => return Err(Errno(libc::ENOTCONN)),
        };
        if target.kind != self.target.kind {
            return Err(Errno(libc::EPROTOTYPE));
        }
        let own = &self.target.notifier;
        let mailbox = &target.mailbox;
        mailbox.send((data, self.name(), along), own, is_nonblocking, deadline_ns)
    }

    /// Ends a direction, or both.
    pub(super) fn shutdown(&self, is_read: bool, is_write: bool) -> Result<()> {
        match self.peer() {
            Peer::None => return Err(Errno(libc::ENOTCONN)),
            Peer::Stream(stream) => stream.shutdown(is_read, is_write),
            Peer::Mailbox(..) if is_read => self.target.mailbox.close(),
            Peer::Mailbox(..) => return Err(Errno(libc::EOPNOTSUPP)),
        }
        Ok(())
    }

    /// What went wrong with its connection, once (`SO_ERROR`).
    pub(super) fn take_error(&self) -> Option<Errno> {
        match self.peer() {
            Peer::Stream(stream) if stream.take_reset() => Some(Errno(libc::ECONNRESET)),
            _ => None,
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

/// For functions on sockets that found a descriptor of none they know (`error` says so): calls `work` if it is one of these.
pub(super) fn or_unix<R>(
    error: Errno,
    descriptor: c_int,
    work: impl FnOnce(&UnixSocket, &Description) -> Result<R>,
) -> Result<R> {
    if error != Errno(libc::ENOTSOCK) {
        return Err(error);
    }
    let description = object::get(descriptor)?;
    work(description.downcast().ok_or(error)?, &description)
}

impl Object for UnixSocket {
    fn read(&self, buf: &mut [u8], is_nonblocking: bool) -> Result<usize> {
        Ok(self.receive(buf, false, is_nonblocking)?.len)
    }

    fn write(&self, buf: &[u8], is_nonblocking: bool) -> Result<usize> {
        signal::with_broken_pipe(self.send(buf, None, Along::new(), is_nonblocking))
    }

    fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::empty();
        match self.peer() {
            Peer::Stream(stream) => return stream.readiness(),
            Peer::None if self.is_stream() => {
                let pending = self.target.pending.lock();
                if pending.backlog == 0 {
                    return Readiness::WRITABLE | Readiness::HANGUP;
                }
                readiness.set(Readiness::READABLE, !pending.sockets.is_empty());
                return readiness;
            }
            Peer::Mailbox(target, _) => {
                let has_room = target.mailbox.has_room(&self.target.notifier);
                readiness.set(Readiness::WRITABLE, has_room);
            }
            Peer::None => readiness |= Readiness::WRITABLE,
        }
        let is_readable = self.target.mailbox.is_readable();
        readiness.set(Readiness::READABLE, is_readable);
        readiness
    }

    fn notifier(&self) -> Option<&Notifier> {
        Some(&self.target.notifier)
    }

    fn unread(&self) -> Result<usize> {
        match self.peer() {
            Peer::Stream(stream) => Ok(stream.incoming.len()),
            _ if self.is_stream() => Err(Errno(libc::EINVAL)),
            _ => Ok(self.target.mailbox.unread()),
        }
    }

    fn set_permissions(&self, permissions: u32) -> Result<()> {
        self.permissions.store(permissions, Ordering::Relaxed);
        Ok(())
    }

    fn stat(&self, stat: &mut libc::stat64) -> Result<()> {
        object::stat_anonymous(stat);
        stat.st_mode = libc::S_IFSOCK | self.permissions.load(Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // The name goes first, so that nobody new comes.
        *self.binding.lock() = None;
        self.target.mailbox.close();
        let mut pending = self.target.pending.lock();
        pending.backlog = 0;
        let refused = core::mem::take(&mut pending.sockets);
        drop(pending);
        self.target.room.notify();
        for socket in &refused {
            if let Peer::Stream(stream) = socket.peer() {
                stream.reset_peer();
            }
        }
        drop(refused);
        // Connections that others have to it end with the last stream.
        *self.peer.lock() = Peer::None;
    }
}

/// What a kind of socket needs; its flags, which have the values of those of files.
fn kind_and_flags(kind: c_int, protocol: c_int) -> Result<(c_int, c_int)> {
    let flags = kind & (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    match (kind & !flags, protocol) {
        (
            kind @ (libc::SOCK_STREAM | libc::SOCK_DGRAM | libc::SOCK_SEQPACKET),
            0 | libc::PF_UNIX,
        ) => Ok((kind, libc::O_RDWR | flags)),
        (libc::SOCK_STREAM | libc::SOCK_DGRAM | libc::SOCK_SEQPACKET, _) => {
            Err(Errno(libc::EPROTONOSUPPORT))
        }
        _ => Err(Errno(libc::ESOCKTNOSUPPORT)),
    }
}

/// Makes a socket; its descriptor.
pub(super) fn open(kind: c_int, protocol: c_int) -> Result<c_int> {
    let (kind, flags) = kind_and_flags(kind, protocol)?;
    object::insert(Box::new(UnixSocket::new(kind)), flags as u32)
}

/// Puts an accepted socket in the table.
pub(super) fn insert(socket: UnixSocket, flags: c_int) -> Result<c_int> {
    object::insert(Box::new(socket), (libc::O_RDWR | flags) as u32)
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
        let (kind, flags) = match domain {
            libc::AF_UNIX => kind_and_flags(kind, protocol)?,
            libc::AF_INET | libc::AF_INET6 => return Err(Errno(libc::EOPNOTSUPP)),
            _ => return Err(Errno(libc::EAFNOSUPPORT)),
        };
        let [first, second] = UnixSocket::two(kind);
        // SAFETY: the same contract.
        unsafe { give_two(ends, [(Box::new(first), flags), (Box::new(second), flags)]) }
    })())
}
