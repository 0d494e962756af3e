//! UDP sockets (RFC 768).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::{deadline, wait};
use crate::arch::clock;
use crate::network::Network;
use crate::network::error::{Error, Result};
use crate::scheduler::{Notifier, Readiness};
use crate::sync::SpinLock;

/// How many bytes of datagrams wait to be read before more are dropped.
const QUEUE_BYTES: usize = 64 << 10;
/// What a datagram in the queue counts besides its bytes, so that empty ones are bounded too.
const DATAGRAM_OVERHEAD: usize = 64;

/// A datagram that has come in.
struct Datagram {
    from: SocketAddrV4,
    payload: Box<[u8]>,
}

#[derive(Default)]
struct Inbox {
    queue: VecDeque<Datagram>,
    queued_bytes: usize,
    peer: Option<SocketAddrV4>,
    /// A datagram to the peer did not arrive, until a program asks.
    error: Option<Error>,
}

/// Where datagrams for a port wait to be read.
pub struct Mailbox {
    /// Who waits for datagrams.
    pub notifier: Notifier,
    inbox: SpinLock<Inbox>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            notifier: Notifier::new(),
            inbox: SpinLock::new(Inbox::default()),
        }
    }
}

impl Mailbox {
    /// The oldest datagram, for tests.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Option<Box<[u8]>> {
        self.inbox
            .lock()
            .queue
            .pop_front()
            .map(|datagram| datagram.payload)
    }

    /// A datagram to `to` did not arrive. Who talks to that peer alone is told (RFC 1122, section 4.1.3.3).
    pub(crate) fn fail(&self, to: SocketAddrV4, error: Error) {
        let mut inbox = self.inbox.lock();
        if inbox.peer == Some(to) && error != Error::MessageTooLong {
            inbox.error = Some(error);
            drop(inbox);
            self.notifier.notify();
        }
    }

    /// Puts a datagram in; drops it when the box is full, memory is short, or the socket only talks to somebody else.
    pub(crate) fn deliver(&self, from: SocketAddrV4, payload: &[u8]) {
        let mut inbox = self.inbox.lock();
        let cost = payload.len() + DATAGRAM_OVERHEAD;
        if inbox.queued_bytes + cost > QUEUE_BYTES || inbox.peer.is_some_and(|peer| peer != from) {
            return;
        }
        let mut copy = alloc::vec::Vec::new();
        if copy.try_reserve_exact(payload.len()).is_err() {
            return;
        }
        copy.extend_from_slice(payload);
        inbox.queued_bytes += cost;
        inbox.queue.push_back(Datagram {
            from,
            payload: copy.into_boxed_slice(),
        });
        drop(inbox);
        self.notifier.notify();
    }
}

/// A UDP socket as a program holds it.
pub struct UdpSocket {
    network: &'static Network,
    mailbox: Arc<Mailbox>,
    local: SpinLock<Option<SocketAddrV4>>,
    is_read_shut: AtomicBool,
    /// `SO_REUSEADDR`: kept for programs that ask; ports here are free as soon as their socket is closed.
    pub is_address_reused: AtomicBool,
    /// `SO_BROADCAST`.
    pub is_broadcast_allowed: AtomicBool,
    /// `SO_RCVTIMEO` in nanoseconds; 0: none.
    pub read_timeout_ns: AtomicU64,
    /// `SO_SNDTIMEO` in nanoseconds; 0: none.
    pub write_timeout_ns: AtomicU64,
    /// `IP_TTL`.
    pub ttl: AtomicU8,
}

impl UdpSocket {
    /// A socket without an address.
    pub fn new(network: &'static Network) -> Self {
        Self {
            network,
            mailbox: Arc::default(),
            local: SpinLock::new(None),
            is_read_shut: AtomicBool::new(false),
            is_address_reused: AtomicBool::new(false),
            is_broadcast_allowed: AtomicBool::new(false),
            read_timeout_ns: AtomicU64::new(0),
            write_timeout_ns: AtomicU64::new(0),
            ttl: AtomicU8::new(64),
        }
    }

    /// Takes an address.
    ///
    /// # Errors
    /// When it has one, the address is not ours, or the port is taken.
    pub fn bind(&self, address: SocketAddrV4) -> Result<()> {
        if !self.network.is_bindable(*address.ip()) {
            return Err(Error::AddressNotAvailable);
        }
        let mut local = self.local.lock();
        if local.is_some() {
            return Err(Error::Invalid);
        }
        *local = Some(self.network.ports.bind_udp(address, self.mailbox.clone())?);
        Ok(())
    }

    fn bound(&self) -> Result<SocketAddrV4> {
        let local = *self.local.lock();
        match local {
            Some(address) => Ok(address),
            None => {
                self.bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))?;
                (*self.local.lock()).ok_or(Error::Invalid)
            }
        }
    }

    /// Talks only to `peer` from now on; `None` undoes that.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn connect(&self, peer: Option<SocketAddrV4>) -> Result<()> {
        self.bound()?;
        let mut inbox = self.mailbox.inbox.lock();
        inbox.peer = peer;
        if let Some(peer) = peer {
            inbox.queue.retain(|datagram| datagram.from == peer);
            let queued = inbox
                .queue
                .iter()
                .map(|datagram| datagram.payload.len() + DATAGRAM_OVERHEAD);
            inbox.queued_bytes = queued.sum();
        }
        Ok(())
    }

    /// Sends a datagram to `to`, or to the peer.
    ///
    /// # Errors
    /// When there is no destination or no way to it, or the datagram is too long.
    pub fn send(&self, payload: &[u8], to: Option<SocketAddrV4>) -> Result<usize> {
        let mut inbox = self.mailbox.inbox.lock();
        if let Some(error) = inbox.error.take() {
            return Err(error);
        }
        let peer = inbox.peer;
        drop(inbox);
        let to = to.or(peer).ok_or(Error::NoDestination)?;
        if to.port() == 0 {
            return Err(Error::Invalid);
        }
        let local = self.bound()?;
        let deadline_ns = deadline(self.write_timeout_ns.load(Ordering::Relaxed));
        let interface = self.network.route(*to.ip(), deadline_ns)?;
        let mut stack = interface.lock();
        if stack.is_broadcast(*to.ip()) && !self.is_broadcast_allowed.load(Ordering::Relaxed) {
            return Err(Error::BroadcastNotAllowed);
        }
        let ttl = self.ttl.load(Ordering::Relaxed);
        stack.send_datagram(local, to, payload, ttl, clock::now_ns())?;
        Ok(payload.len())
    }

    /// Takes the oldest datagram, as much as fits; how much that is, and its sender.
    ///
    /// # Errors
    /// [`Error::WouldBlock`].
    pub fn receive(
        &self,
        buf: &mut [u8],
        is_peek: bool,
        is_nonblocking: bool,
    ) -> Result<(usize, SocketAddrV4)> {
        let (len, _, from) = self.receive_from(buf, is_peek, is_nonblocking)?;
        Ok((len, from))
    }

    /// Takes the oldest datagram, as much as fits; how much that is, how long it was, and its sender. With `is_peek` it stays.
    ///
    /// # Errors
    /// [`Error::WouldBlock`].
    pub fn receive_from(
        &self,
        buf: &mut [u8],
        is_peek: bool,
        is_nonblocking: bool,
    ) -> Result<(usize, usize, SocketAddrV4)> {
        let deadline_ns = deadline(self.read_timeout_ns.load(Ordering::Relaxed));
        self.bound()?;
        let mut inbox = self.mailbox.inbox.lock();
        loop {
            if let Some(datagram) = inbox.queue.front() {
                let len = datagram.payload.len().min(buf.len());
                buf[..len].copy_from_slice(&datagram.payload[..len]);
                let (from, full_len) = (datagram.from, datagram.payload.len());
                if !is_peek {
                    inbox.queued_bytes -= full_len + DATAGRAM_OVERHEAD;
                    inbox.queue.pop_front();
                }
                return Ok((len, full_len, from));
            }
            if let Some(error) = inbox.error.take() {
                return Err(error);
            }
            if self.is_read_shut.load(Ordering::Relaxed) {
                return Ok((0, 0, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)));
            }
            inbox = wait(&self.mailbox.notifier, inbox, is_nonblocking, deadline_ns)?;
        }
    }

    /// Ends reading.
    pub fn shutdown_read(&self) {
        self.is_read_shut.store(true, Ordering::Relaxed);
        self.mailbox.notifier.notify();
    }

    /// Its own address; unspecified as long as it has none.
    pub fn local(&self) -> SocketAddrV4 {
        let none = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        (*self.local.lock()).unwrap_or(none)
    }

    /// Whom it talks to.
    pub fn peer(&self) -> Option<SocketAddrV4> {
        self.mailbox.inbox.lock().peer
    }

    /// Bytes that can wait to be read, and to be sent.
    pub fn buffer_bytes(&self) -> (usize, usize) {
        // What is sent goes to the device at once.
        (QUEUE_BYTES, QUEUE_BYTES)
    }

    /// What kept a datagram from its peer, once (`SO_ERROR`).
    pub fn take_error(&self) -> Option<Error> {
        self.mailbox.inbox.lock().error.take()
    }

    /// Bytes of the datagram that is read next (`FIONREAD`).
    pub fn unread(&self) -> usize {
        let inbox = self.mailbox.inbox.lock();
        inbox.queue.front().map_or(0, |next| next.payload.len())
    }

    /// What would not block.
    pub fn readiness(&self) -> Readiness {
        let inbox = self.mailbox.inbox.lock();
        let is_readable = !inbox.queue.is_empty() || self.is_read_shut.load(Ordering::Relaxed);
        let mut readiness = Readiness::WRITABLE;
        readiness.set(Readiness::READABLE, is_readable || inbox.error.is_some());
        readiness.set(Readiness::ERROR, inbox.error.is_some());
        readiness
    }

    /// Who wants to know.
    pub fn notifier(&self) -> &Notifier {
        &self.mailbox.notifier
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        if let Some(local) = *self.local.lock() {
            self.network.ports.release_udp(local);
        }
    }
}
