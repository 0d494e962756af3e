//! Sockets for datagrams: of UDP (RFC 768), and of messages of ICMP (RFC 792, RFC 4443), which have an identifier or nothing in the place of a
//! port.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering};

use tcpip::Manner;

use super::failure::Failure;
use super::family::Family;
use super::groups::Groups;
use super::mailbox::{Mailbox, Origin, QUEUE_BYTES};
use super::told::{TellWhat, Told};
use super::{deadline, wait};
use crate::arch::clock;
use crate::network::Network;
use crate::network::binding::{self, Binding};
use crate::network::error::{Error, Result};
use crate::network::interface::Interface;
use crate::network::messages::{Messages, Post};
use crate::scheduler::{Notifier, Readiness};
use crate::sync::SpinLock;

/// What a program wants otherwise for one datagram (`IP_PKTINFO` and its kin).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The address to send from.
    pub source: Option<IpAddr>,
    /// The interface to send by.
    pub interface: Option<usize>,
    /// How many routers it may pass.
    pub hop_limit: Option<u8>,
    /// Its class of traffic.
    pub traffic_class: Option<u8>,
    /// The length of the datagrams that its bytes are cut into; 0: of a single one.
    pub segment_bytes: Option<u16>,
}

/// As many datagrams as the bytes of one call may be cut into (Linux: `UDP_MAX_SEGMENTS`), and as many bytes as they may have.
const MAX_SEGMENTS: usize = 128;
const MAX_BYTES: usize = 65_507;
/// Bytes of the headers before the payload, without options.
const HEADERS_V4: usize = 20 + 8;
const HEADERS_V6: usize = 40 + 8;

/// What becomes of a datagram while others wait for the device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenFull {
    /// It is sent later, and so is the program.
    Wait,
    /// It is not sent.
    Refuse,
    /// It waits behind them, as far as their memory goes.
    Queue,
}

/// What the datagrams of a socket are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Datagrams of UDP.
    Udp,
    /// Echo requests that are sent and their answers, as messages of ICMP; what is bound is the identifier.
    Echo,
    /// All messages of ICMP, received ones of IPv4 with the header of IP.
    Messages,
}

#[derive(Default)]
struct Local {
    binding: Option<Binding>,
    /// The address that it speaks to its peer from.
    source: Option<IpAddr>,
}

/// A socket for datagrams as a program holds it.
pub struct UdpSocket {
    /// What it sends and receives.
    pub protocol: Protocol,
    network: &'static Network,
    mailbox: Arc<Mailbox>,
    local: SpinLock<Local>,
    is_read_shut: AtomicBool,
    /// Its version of IP.
    pub family: Family,
    /// What it has to do with groups.
    pub groups: Groups,
    /// What it wants to be told of datagrams.
    pub told: TellWhat,
    /// `SO_REUSEADDR`: others that agree to it too may have the same address.
    pub is_address_reused: AtomicBool,
    /// `SO_REUSEPORT`: likewise.
    pub is_port_shared: AtomicBool,
    /// `SO_BROADCAST`.
    pub is_broadcast_allowed: AtomicBool,
    /// `SO_RCVTIMEO` in nanoseconds; 0: none.
    pub read_timeout_ns: AtomicU64,
    /// `SO_SNDTIMEO` in nanoseconds; 0: none.
    pub write_timeout_ns: AtomicU64,
    /// `IP_TTL`, `IPV6_UNICAST_HOPS`.
    pub ttl: AtomicU8,
    /// `IP_TOS`, `IPV6_TCLASS`.
    pub traffic_class: AtomicU8,
    /// `UDP_SEGMENT`; 0: none.
    pub segment_bytes: AtomicU16,
    /// `SO_SNDBUF`.
    send_bytes: AtomicUsize,
}

impl UdpSocket {
    /// A socket of UDP over a version of IP, without an address.
    pub fn new(network: &'static Network, is_v6: bool) -> Self {
        Self::of(Protocol::Udp, network, is_v6)
    }

    /// A socket for messages of the ICMP of a version of IP: for echoes, or for all of them from now on.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn of_messages(network: &'static Network, is_v6: bool, is_raw: bool) -> Result<Self> {
        let protocol = match is_raw {
            true => Protocol::Messages,
            false => Protocol::Echo,
        };
        let post = &network.ports.messages;
        if post.get().is_none() {
            // Another thread may be quicker.
            let _ = post.set(Box::new(Messages::new(network.ports.random_u64())));
        }
        let socket = Self::of(protocol, network, is_v6);
        // Each version has an ICMP of its own.
        socket.family.is_only.store(true, Ordering::Relaxed);
        if is_raw {
            let all = socket.family.none().into();
            socket.post()?.bind(is_raw, all, &socket.mailbox)?;
        }
        Ok(socket)
    }

    /// `SO_BINDTODEVICE`: keeps to the interface of a scope from now on; 0: to none.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it has an address, [`Error::OutOfMemory`].
    pub fn keep_to(&self, scope: u32) -> Result<()> {
        if self.is_bound() {
            return Err(Error::Invalid);
        }
        self.family.scope.store(scope, Ordering::Relaxed);
        // It hears without an address.
        if self.protocol == Protocol::Messages {
            let all = self.family.binding(self.family.none())?;
            self.post()?.bind(true, all, &self.mailbox)?;
        }
        Ok(())
    }

    /// Who sends messages and gives them out.
    fn post(&self) -> Result<&'static dyn Post> {
        let post = self.network.ports.messages.get();
        post.map(|post| &**post).ok_or(Error::NotSupported)
    }

    fn of(protocol: Protocol, network: &'static Network, is_v6: bool) -> Self {
        Self {
            protocol,
            network,
            mailbox: Arc::default(),
            local: SpinLock::new(Local::default()),
            is_read_shut: AtomicBool::new(false),
            family: Family::new(is_v6),
            groups: Groups::default(),
            told: TellWhat::default(),
            is_address_reused: AtomicBool::new(false),
            is_port_shared: AtomicBool::new(false),
            is_broadcast_allowed: AtomicBool::new(false),
            read_timeout_ns: AtomicU64::new(0),
            write_timeout_ns: AtomicU64::new(0),
            ttl: AtomicU8::new(64),
            traffic_class: AtomicU8::new(0),
            segment_bytes: AtomicU16::new(0),
            send_bytes: AtomicUsize::new(QUEUE_BYTES),
        }
    }

    /// Takes an address: one of this machine, or a group's, to hear nothing else.
    ///
    /// # Errors
    /// When it has one, the address is not ours, or the port is taken.
    pub fn bind(&self, address: SocketAddr) -> Result<()> {
        let binding = self.family.binding(address)?;
        let is_anyones = address.ip().is_multicast() || self.family.may_have_any();
        if !self.network.is_bindable(address) && !is_anyones {
            return Err(Error::AddressNotAvailable);
        }
        let mut local = self.local.lock();
        if local.binding.is_some() {
            return Err(Error::Invalid);
        }
        let is_shared = self.is_address_reused.load(Ordering::Relaxed)
            || self.is_port_shared.load(Ordering::Relaxed);
        self.mailbox.is_shared.store(is_shared, Ordering::Relaxed);
        let is_raw = self.protocol == Protocol::Messages;
        local.binding = Some(match self.protocol {
            Protocol::Udp => self.network.ports.bind_udp(binding, self.mailbox.clone())?,
            _ => self.post()?.bind(is_raw, binding, &self.mailbox)?,
        });
        Ok(())
    }

    fn bound(&self) -> Result<SocketAddr> {
        let bound = || self.local.lock().binding.map(|binding| binding.address);
        match bound() {
            Some(address) => Ok(address),
            None => match self.bind(self.family.none()) {
                // Another thread may have been faster.
                Ok(()) | Err(Error::Invalid) => bound().ok_or(Error::Invalid),
                Err(error) => Err(error),
            },
        }
    }

    /// Talks only to `peer` from now on; `None` undoes that.
    ///
    /// # Errors
    /// When there is no free port, or no way to the peer.
    pub fn connect(&self, peer: Option<SocketAddr>) -> Result<()> {
        let local = self.bound()?;
        let peer = peer.map(|peer| self.destination(peer));
        let mut source = None;
        if let Some(peer) = peer {
            self.family.check(peer)?;
            let interface = self.outgoing(local.ip(), peer, &Wishes::default())?;
            let stack = interface.lock();
            if stack.is_broadcast(peer.ip()) && !self.is_broadcast_allowed.load(Ordering::Relaxed) {
                return Err(Error::BroadcastNotAllowed);
            }
            source = match local.ip() {
                ip if ip.is_unspecified() => stack.source_for(peer.ip()),
                ip => Some(ip),
            };
            if source.is_none() {
                return Err(Error::NetworkUnreachable);
            }
        }
        self.local.lock().source = source;
        self.mailbox.inbox.lock().set_peer(peer);
        Ok(())
    }

    /// Where a datagram to an address goes: messages have no ports.
    fn destination(&self, to: SocketAddr) -> SocketAddr {
        let mut to = binding::destination(to);
        if self.protocol != Protocol::Udp {
            to.set_port(0);
        }
        to
    }

    /// The interface by which datagrams go from an address of ours to another.
    fn outgoing(
        &self,
        from: IpAddr,
        to: SocketAddr,
        wishes: &Wishes,
    ) -> Result<&'static Interface> {
        let is_scoped = matches!(to, SocketAddr::V6(to) if to.scope_id() != 0);
        let chosen = match to.ip().is_multicast() {
            _ if self.family.device().is_some() => self.family.device(),
            _ if is_scoped => None,
            true => wishes.interface.or_else(|| self.groups.interface()),
            // What is for this machine goes out by none.
            false => wishes.interface.filter(|_| !self.network.is_own(to.ip())),
        };
        let deadline_ns = deadline(self.write_timeout_ns.load(Ordering::Relaxed));
        let Some(index) = chosen else {
            return self.network.route(to, Some(from), deadline_ns);
        };
        let interface = self.network.interface(index).ok_or(Error::NoDevice)?;
        self.network.await_address(interface, to, deadline_ns)?;
        Ok(interface)
    }

    /// Sends a datagram to `to`, or to the peer. It waits as long as the device does not keep up, like what Linux charges to `SO_SNDBUF`.
    ///
    /// # Errors
    /// When there is no destination or no way to it, or the datagram is too long; [`Error::WouldBlock`].
    pub fn send(
        &self,
        payload: &[u8],
        to: Option<SocketAddr>,
        wishes: &Wishes,
        is_nonblocking: bool,
    ) -> Result<usize> {
        let own = self.segment_bytes.load(Ordering::Relaxed);
        let when_full = match is_nonblocking {
            true => WhenFull::Refuse,
            false => WhenFull::Wait,
        };
        match usize::from(wishes.segment_bytes.unwrap_or(own)) {
            len if len != 0 && len < payload.len() => {
                self.send_cut(payload, len, to, wishes, when_full)
            }
            _ => self.send_whole(payload, to, wishes, when_full),
        }
    }

    /// Sends datagrams of `len` bytes and one of what is left. If one but the first cannot be sent it is lost, as it may be on the way.
    fn send_cut(
        &self,
        payload: &[u8],
        len: usize,
        to: Option<SocketAddr>,
        wishes: &Wishes,
        when_full: WhenFull,
    ) -> Result<usize> {
        if payload.len() > MAX_BYTES {
            return Err(Error::MessageTooLong);
        }
        if payload.len().div_ceil(len) > MAX_SEGMENTS {
            return Err(Error::Invalid);
        }
        let (first, rest) = payload.split_at(len);
        self.send_whole(first, to, wishes, when_full)?;
        let of_rest = match when_full {
            WhenFull::Refuse => WhenFull::Queue,
            other => other,
        };
        for datagram in rest.chunks(len) {
            let _ = self.send_whole(datagram, to, wishes, of_rest);
        }
        Ok(payload.len())
    }

    fn send_whole(
        &self,
        payload: &[u8],
        to: Option<SocketAddr>,
        wishes: &Wishes,
        when_full: WhenFull,
    ) -> Result<usize> {
        let mut inbox = self.mailbox.inbox.lock();
        if let Some(error) = inbox.error.take() {
            return Err(error);
        }
        let peer = inbox.peer();
        drop(inbox);
        // Linux lets a socket be connected to port 0, and says that nobody is there.
        if to.is_some_and(|to| to.port() == 0) && self.protocol == Protocol::Udp {
            return Err(Error::Invalid);
        }
        let to = to.or(peer).ok_or(Error::NoDestination)?;
        self.family.check(to)?;
        let to = self.destination(to);
        let mut local = self.bound()?;
        if let Some(source) = wishes.source {
            local.set_ip(source);
        }
        let interface = self.outgoing(local.ip(), to, wishes)?;
        let mut stack = interface.lock();
        if stack.is_broadcast(to.ip()) && !self.is_broadcast_allowed.load(Ordering::Relaxed) {
            return Err(Error::BroadcastNotAllowed);
        }
        let is_v6 = to.is_ipv6();
        let headers = if is_v6 { HEADERS_V6 } else { HEADERS_V4 };
        if self.family.hints.is_whole(is_v6) && payload.len() + headers > stack.mtu() {
            return Err(Error::MessageTooLong);
        }
        if when_full != WhenFull::Queue {
            let deadline_ns = deadline(self.write_timeout_ns.load(Ordering::Relaxed));
            while stack.call_when_room(&self.mailbox) {
                let must_not = when_full == WhenFull::Refuse;
                stack = wait(&self.mailbox.notifier, stack, must_not, deadline_ns)?;
            }
        }
        let hop_limit = match to.ip().is_multicast() {
            true => self.groups.hop_limit.load(Ordering::Relaxed),
            false => self.ttl.load(Ordering::Relaxed).max(1),
        };
        let class = self.traffic_class.load(Ordering::Relaxed);
        let manner = Manner {
            hop_limit: wishes.hop_limit.unwrap_or(hop_limit),
            traffic_class: wishes.traffic_class.unwrap_or(class),
            is_looped: self.groups.is_looped.load(Ordering::Relaxed),
        };
        let now_ns = clock::now_ns();
        match self.protocol {
            Protocol::Udp => stack.send_datagram(local, to, payload, manner, now_ns)?,
            protocol => {
                let (is_raw, ends) = (protocol == Protocol::Messages, (local, to));
                self.post()?
                    .send(is_raw, &mut stack, ends, payload, manner)?;
            }
        }
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
    ) -> Result<(usize, SocketAddr)> {
        let (len, _, origin) = self.receive_from(buf, is_peek, is_nonblocking)?;
        Ok((len, origin.map_or(self.family.none(), |origin| origin.from)))
    }

    /// Takes the oldest datagram, as much as fits; how much that is, how long it was, and where it comes from (nowhere, if reading was
    /// shut down). With `is_peek` it stays.
    ///
    /// # Errors
    /// [`Error::WouldBlock`].
    pub fn receive_from(
        &self,
        buf: &mut [u8],
        is_peek: bool,
        is_nonblocking: bool,
    ) -> Result<(usize, usize, Option<Origin>)> {
        let deadline_ns = deadline(self.read_timeout_ns.load(Ordering::Relaxed));
        self.bound()?;
        let mut inbox = self.mailbox.inbox.lock();
        loop {
            if let Some(datagram) = inbox.first() {
                let len = datagram.payload.len().min(buf.len());
                buf[..len].copy_from_slice(&datagram.payload[..len]);
                let (mut origin, full_len) = (datagram.origin, datagram.payload.len());
                if is_peek {
                    return Ok((len, full_len, Some(origin)));
                }
                inbox.pop();
                if self.told.all().contains(Told::SEGMENTS) {
                    let more = inbox.take_alike(&origin, len, &mut buf[len..]);
                    if more != 0 {
                        origin.segment_bytes = len as u16;
                        return Ok((len + more, len + more, Some(origin)));
                    }
                }
                return Ok((len, full_len, Some(origin)));
            }
            if let Some(error) = inbox.error.take() {
                return Err(error);
            }
            if self.is_read_shut.load(Ordering::Relaxed) {
                return Ok((0, 0, None));
            }
            inbox = wait(&self.mailbox.notifier, inbox, is_nonblocking, deadline_ns)?;
        }
    }

    /// Takes the oldest of the datagrams that did not arrive, if it was asked to keep them.
    pub fn take_failure(&self) -> Option<Failure> {
        let mut inbox = self.mailbox.inbox.lock();
        let failure = inbox.failures.pop();
        if failure.is_some() {
            inbox.error = inbox.failures.next_error();
        }
        failure
    }

    /// `IP_RECVERR`, `IPV6_RECVERR`: keeps the datagrams that did not arrive.
    pub fn keep_failures(&self, is_on: bool) {
        let is_told = &self.mailbox.is_told_of_failures;
        is_told.store(is_on, Ordering::Relaxed);
        if !is_on {
            let mut inbox = self.mailbox.inbox.lock();
            while inbox.failures.pop().is_some() {}
        }
    }

    /// See [`UdpSocket::keep_failures`].
    pub fn keeps_failures(&self) -> bool {
        self.mailbox.is_told_of_failures.load(Ordering::Relaxed)
    }

    /// Wants to be told something of each datagram, or does so no more.
    pub fn tell(&self, what: Told, is_on: bool) {
        self.told.set(what, is_on);
        let is_timed = self.told.all().intersects(Told::TIME_US | Told::TIME_NS);
        self.mailbox.is_timed.store(is_timed, Ordering::Relaxed);
    }

    /// Hears a group: on the interface of a scope, on that which has an address, or on that by which the group is reached.
    ///
    /// # Errors
    /// - [`Error::Invalid`]: it is no group of the socket's version.
    /// - [`Error::NoDevice`]: there is no such interface.
    /// - [`Error::AddressInUse`]: it was joined there before.
    /// - [`Error::QueueFull`]: too many are.
    pub fn join(&self, group: IpAddr, scope: u32, at: Option<IpAddr>) -> Result<()> {
        let index = match self.network.chosen(scope, at)? {
            Some(index) => index,
            None => self.network.way(SocketAddr::new(group, 0), None)?.index(),
        };
        self.groups.join(self.network, group, index)
    }

    /// Takes a joining back.
    ///
    /// # Errors
    /// [`Error::AddressNotAvailable`] when there was none, [`Error::NoDevice`].
    pub fn leave(&self, group: IpAddr, scope: u32, at: Option<IpAddr>) -> Result<()> {
        let index = self.network.chosen(scope, at)?;
        self.groups.leave(self.network, group, index)
    }

    /// Chooses the interface by which it speaks to groups; none in particular for neither scope nor address.
    ///
    /// # Errors
    /// [`Error::NoDevice`] when there is none, [`Error::AddressNotAvailable`] when none has the address.
    pub fn speak_by(&self, scope: u32, at: Option<IpAddr>) -> Result<()> {
        let index = self.network.chosen(scope, at)?;
        let scope = index.map_or(0, binding::scope_of);
        self.groups.scope.store(scope, Ordering::Relaxed);
        Ok(())
    }

    /// The address of IPv4 of the interface that was chosen by [`UdpSocket::speak_by`].
    pub fn spoken_by(&self) -> Option<core::net::Ipv4Addr> {
        let interface = self.network.interface(self.groups.interface()?)?;
        let stack = interface.lock();
        stack.address().map(|address| address.ip)
    }

    /// Ends reading.
    pub fn shutdown_read(&self) {
        self.is_read_shut.store(true, Ordering::Relaxed);
        self.mailbox.notifier.notify();
    }

    /// Its own address; unspecified as long as it has none.
    pub fn local(&self) -> SocketAddr {
        let local = self.local.lock();
        let Some(bound) = local.binding else {
            return self.family.none();
        };
        match local.source {
            Some(source) => SocketAddr::new(source, bound.address.port()),
            None => bound.address,
        }
    }

    /// Whether it was given an address.
    pub fn is_bound(&self) -> bool {
        self.local.lock().binding.is_some()
    }

    /// Whom it talks to.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.mailbox.inbox.lock().peer()
    }

    /// Bytes that can wait to be read, and to be sent; what the program chose counts double, as on Linux.
    pub fn buffer_bytes(&self) -> (usize, usize) {
        let bytes = |chosen| match chosen {
            QUEUE_BYTES => QUEUE_BYTES,
            chosen => 2 * chosen,
        };
        let receive = self.mailbox.most_bytes.load(Ordering::Relaxed);
        let send = self.send_bytes.load(Ordering::Relaxed);
        (bytes(receive), bytes(send))
    }

    /// `SO_RCVBUF`: how many bytes may wait to be read, as far as the memory of the machine allows.
    pub fn set_receive_bytes(&self, bytes: usize) {
        let most = self.network.limits.receive_bytes.max(QUEUE_BYTES);
        let mailbox = &self.mailbox;
        mailbox.most_bytes.store(bytes.min(most), Ordering::Relaxed);
    }

    /// `SO_SNDBUF`, to be told again. What is sent goes to the device at once, or waits in the program until it can.
    pub fn set_send_bytes(&self, bytes: usize) {
        self.send_bytes.store(bytes, Ordering::Relaxed);
    }

    /// What kept a datagram from its peer, once (`SO_ERROR`).
    pub fn take_error(&self) -> Option<Error> {
        self.mailbox.inbox.lock().error.take()
    }

    /// Bytes of the datagram that is read next (`FIONREAD`).
    pub fn unread(&self) -> usize {
        let inbox = self.mailbox.inbox.lock();
        inbox.first().map_or(0, |next| next.payload.len())
    }

    /// What would not block.
    pub fn readiness(&self) -> Readiness {
        let inbox = self.mailbox.inbox.lock();
        let is_readable = inbox.first().is_some() || self.is_read_shut.load(Ordering::Relaxed);
        let waits_for_room = self.mailbox.waits_for_room.load(Ordering::Relaxed);
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::WRITABLE, !waits_for_room);
        readiness.set(Readiness::READABLE, is_readable || inbox.error.is_some());
        let has_error = inbox.error.is_some() || !inbox.failures.is_empty();
        readiness.set(Readiness::ERROR, has_error);
        readiness
    }

    /// Who wants to know.
    pub fn notifier(&self) -> &Notifier {
        &self.mailbox.notifier
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.groups.leave_all(self.network);
        let local = self.local.lock();
        match (&local.binding, self.protocol) {
            (Some(binding), Protocol::Udp) => {
                self.network.ports.release_udp(binding, &self.mailbox);
            }
            (None, Protocol::Udp) => {}
            (binding, _) => {
                if let Ok(post) = self.post() {
                    post.release(binding.as_ref(), &self.mailbox);
                }
            }
        }
    }
}
