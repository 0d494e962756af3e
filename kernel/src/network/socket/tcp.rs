//! TCP sockets (RFC 9293) as programs hold them: one object from `socket()` on, which becomes a listener or a stream.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tcpip::{CongestionControl, Info, State};

use super::family::Family;
use super::options::{NumberOption, Options};
use super::stream::Stream;
use super::{deadline, wait};
use crate::arch::clock;
use crate::network::Network;
use crate::network::binding::{self, Binding};
use crate::network::error::{Error, Result};
use crate::network::farewell;
use crate::network::interface::Interface;
use crate::network::ports::{FourTuple, Listener};
use crate::network::stack::{Progress, Stack};
use crate::scheduler::{Notifier, Readiness};
use crate::sync::{OnceCell, SpinLock};

#[derive(Clone)]
enum Role {
    /// Neither yet; bound to an address or not.
    Fresh(Option<Binding>),
    Listener(Arc<Listener>),
    /// [`TcpSocket::stream`] says which.
    Stream,
}

/// What there is to tell of a socket (`/proc/net/tcp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its own end.
    pub local: SocketAddr,
    /// The peer's; none of a listener.
    pub remote: SocketAddr,
    /// The state of its connection; `None`: it listens.
    pub state: Option<State>,
    /// Bytes that the peer has not acknowledged.
    pub unsent: usize,
    /// Bytes that wait to be read, or connections to be accepted.
    pub unread: usize,
}

/// A TCP socket as a program holds it.
pub struct TcpSocket {
    network: &'static Network,
    notifier: Arc<Notifier>,
    role: SpinLock<Role>,
    /// What it is once it is a stream.
    first: OnceCell<Stream>,
    /// The program knows that the connection could not be made: it may begin another.
    is_failure_known: AtomicBool,
    options: Options,
    is_read_shut: AtomicBool,
    /// Its version of IP.
    pub family: Family,
    /// `SO_RCVTIMEO` in nanoseconds; 0: none.
    pub read_timeout_ns: AtomicU64,
    /// `SO_SNDTIMEO` in nanoseconds; 0: none.
    pub write_timeout_ns: AtomicU64,
    /// `SO_REUSEADDR`: kept for programs that ask; ports here are free as soon as their socket is closed.
    pub is_address_reused: AtomicBool,
    /// `SO_REUSEPORT`: others that agree to it too may listen at the same address.
    pub is_port_shared: AtomicBool,
    /// `SO_BROADCAST`: kept for programs that ask; a connection is never with all.
    pub is_broadcast_allowed: AtomicBool,
    /// `SO_LINGER` in seconds plus 1; 0: off.
    pub linger: AtomicU64,
    /// `SO_RCVLOWAT`: with less to read it is not readable, unless no more will come.
    pub low_water: AtomicU32,
}

impl TcpSocket {
    /// A socket of a version of IP, without an address.
    pub fn new(network: &'static Network, is_v6: bool) -> Self {
        Self::with(network, is_v6, Arc::default())
    }

    fn with(network: &'static Network, is_v6: bool, notifier: Arc<Notifier>) -> Self {
        Self {
            network,
            notifier,
            role: SpinLock::new(Role::Fresh(None)),
            first: OnceCell::new(),
            is_failure_known: AtomicBool::new(false),
            options: Options::new(),
            is_read_shut: AtomicBool::new(false),
            family: Family::new(is_v6),
            read_timeout_ns: AtomicU64::new(0),
            write_timeout_ns: AtomicU64::new(0),
            is_address_reused: AtomicBool::new(false),
            is_port_shared: AtomicBool::new(false),
            is_broadcast_allowed: AtomicBool::new(false),
            linger: AtomicU64::new(0),
            low_water: AtomicU32::new(1),
        }
    }

    /// What it is now. A copy: no stack is locked while the role is, so the two locks need no order.
    fn role(&self) -> Role {
        self.role.lock().clone()
    }

    #[inline]
    fn stream(&self) -> Result<&Stream> {
        let mut stream = self.first.get().ok_or(Error::NotConnected)?;
        while stream.is_left.load(Ordering::Acquire) {
            stream = stream.next.get().ok_or(Error::NotConnected)?;
        }
        Ok(stream)
    }

    /// Makes it a stream; one that is it already (two threads connect it at once) gives the connection's place back.
    fn become_stream(&self, stream: Stream) -> core::result::Result<(), u32> {
        let mut role = self.role.lock();
        self.first.set(stream).map_err(|stream| stream.slot())?;
        *role = Role::Stream;
        Ok(())
    }

    /// Takes an address.
    ///
    /// # Errors
    /// When it has one, the address is not ours, or the port is taken.
    pub fn bind(&self, address: SocketAddr) -> Result<()> {
        let binding = self.family.binding(address)?;
        if !self.network.is_bindable(address) && !self.family.may_have_any() {
            return Err(Error::AddressNotAvailable);
        }
        let mut role = self.role.lock();
        match *role {
            // One whose port is still to be chosen may be bound anew.
            Role::Fresh(bound) if bound.is_none_or(|bound| bound.address.port() == 0) => {
                let is_late =
                    address.port() == 0 && self.family.is_port_late.load(Ordering::Relaxed);
                *role = Role::Fresh(Some(match is_late {
                    true => binding,
                    false => self.bind_port(binding)?,
                }));
                Ok(())
            }
            _ => Err(Error::Invalid),
        }
    }

    fn bind_port(&self, binding: Binding) -> Result<Binding> {
        let is_shared = self.is_port_shared.load(Ordering::Relaxed);
        self.network.ports.bind_tcp(binding, is_shared)
    }

    /// Accepts connections from now on; at most `backlog` wait.
    ///
    /// # Errors
    /// When it is a stream, or no port is free.
    pub fn listen(&self, backlog: usize) -> Result<()> {
        let mut role = self.role.lock();
        let binding = match &*role {
            Role::Listener(listener) => {
                listener.set_backlog(backlog);
                return Ok(());
            }
            Role::Stream => return Err(Error::Invalid),
            Role::Fresh(Some(binding)) if binding.address.port() == 0 => {
                self.bind_port(*binding)?
            }
            Role::Fresh(Some(binding)) => *binding,
            Role::Fresh(None) => self.bind_port(self.family.binding(self.family.none())?)?,
        };
        let notifier = self.notifier.clone();
        let listener = self.network.ports.listen(binding, backlog, notifier)?;
        self.tell_listener(&listener);
        *role = Role::Listener(listener);
        Ok(())
    }

    /// The connection that has waited longest, and who it is from.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the socket does not listen, [`Error::WouldBlock`].
    pub fn accept(&self, is_nonblocking: bool) -> Result<(Self, SocketAddr)> {
        let Role::Listener(listener) = self.role() else {
            return Err(Error::Invalid);
        };
        let deadline_ns = deadline(self.read_timeout_ns.load(Ordering::Relaxed));
        let pending = listener.pop(is_nonblocking, deadline_ns)?;
        let interface = self
            .network
            .lane(pending.interface, pending.lane)
            .ok_or(Error::NoInterface)?;
        let remote = pending.tuple.remote;
        let stream = Stream::new(interface, pending.slot, pending.tuple, None);
        let accepted = Self::with(self.network, self.family.is_v6, pending.notifier);
        // It is new, so it becomes one.
        let _ = accepted.become_stream(stream);
        self.bequeath(&accepted);
        Ok((accepted, remote))
    }

    /// Gives an accepted socket its options, as Linux does.
    fn bequeath(&self, accepted: &Self) {
        for (own, heirs) in [
            (&self.read_timeout_ns, &accepted.read_timeout_ns),
            (&self.write_timeout_ns, &accepted.write_timeout_ns),
            (&self.linger, &accepted.linger),
        ] {
            heirs.store(own.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        for (own, heirs) in [
            (&self.low_water, &accepted.low_water),
            (&self.family.scope, &accepted.family.scope),
        ] {
            heirs.store(own.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        for (own, heirs) in [
            (&self.is_address_reused, &accepted.is_address_reused),
            (&self.is_port_shared, &accepted.is_port_shared),
            (&self.is_broadcast_allowed, &accepted.is_broadcast_allowed),
        ] {
            heirs.store(own.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        accepted.family.hints.copy_from(&self.family.hints);
        if self.options.is_changed.load(Ordering::Relaxed) {
            accepted.options.copy_from(&self.options);
            accepted.apply_options();
        }
    }

    /// Connects to `remote`, waiting until the handshake is through. If it must not wait and the machine has no address yet, the
    /// connection is begun as soon as there is one.
    ///
    /// # Errors
    /// What kept the connection from being made; [`Error::InProgress`] if it must not wait.
    pub fn connect(&self, remote: SocketAddr, is_nonblocking: bool) -> Result<()> {
        self.family.check(remote)?;
        let bound = match self.role() {
            Role::Fresh(bound) => bound,
            Role::Listener(_) => return Err(Error::AlreadyConnected),
            Role::Stream => return self.connect_again(remote, is_nonblocking),
        };
        let deadline_ns = deadline(self.write_timeout_ns.load(Ordering::Relaxed));
        let interface = self.way(remote, bound, is_nonblocking, deadline_ns)?;
        let (slot, ends) = self.dial(interface, remote, bound)?;
        let stream = Stream::new(interface, slot, ends, bound);
        if let Err(slot) = self.become_stream(stream) {
            let mut stack = interface.lock();
            stack.release(slot, true, clock::now_ns());
            return Err(Error::AlreadyInProgress);
        }
        self.await_connection(is_nonblocking, deadline_ns)
    }

    /// The interface by which a connection is to be made.
    fn way(
        &self,
        remote: SocketAddr,
        bound: Option<Binding>,
        is_nonblocking: bool,
        deadline_ns: Option<u64>,
    ) -> Result<&'static Interface> {
        let remote = binding::destination(remote);
        let from = bound.map(|bound| bound.address.ip());
        let interface = match self.family.device() {
            Some(index) => {
                let interface = self.network.interface(index).ok_or(Error::NoDevice)?;
                if !is_nonblocking {
                    self.network.await_address(interface, remote, deadline_ns)?;
                }
                interface
            }
            None if is_nonblocking => self.network.way(remote, from)?,
            None => self.network.route(remote, from, deadline_ns)?,
        };
        let port = bound.map_or(0, |bound| bound.address.port());
        Ok(interface.lane_for(remote, port))
    }

    /// Begins a connection: its place and its ends.
    fn dial(
        &self,
        interface: &'static Interface,
        remote: SocketAddr,
        bound: Option<Binding>,
    ) -> Result<(u32, FourTuple)> {
        let remote = binding::destination(remote);
        let local = bound.map_or(self.family.none(), |bound| bound.address);
        let mut stack = interface.lock();
        let slot = stack.connect(
            self.notifier.clone(),
            local,
            remote,
            self.options.settings(),
            clock::now_ns(),
        )?;
        let local = stack.tuple(slot).map_or(local, |tuple| tuple.local);
        Ok((slot, FourTuple { local, remote }))
    }

    /// Waits until a connection that was begun is made, if it may wait.
    fn await_connection(&self, is_nonblocking: bool, deadline_ns: Option<u64>) -> Result<()> {
        // Whoever does not wait learns from the socket what came of it, even if it has already, by the loopback.
        if is_nonblocking {
            return Err(Error::InProgress);
        }
        let stream = self.stream()?;
        let mut stack = stream.interface.lock();
        loop {
            let slot = stream.slot();
            match stack.progress(slot) {
                Progress::Connected => return Ok(()),
                Progress::Failed(error) => {
                    stack.take_error(slot);
                    self.is_failure_known.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                Progress::Connecting => {
                    stack = wait(&self.notifier, stack, false, deadline_ns)
                        .map_err(|_| Error::InProgress)?;
                }
            }
        }
    }

    /// Connects a socket that has a connection, if that could not be made. As on Linux, the failure is told first, unless a call of `connect` has
    /// told it.
    #[inline(never)]
    fn connect_again(&self, remote: SocketAddr, is_nonblocking: bool) -> Result<()> {
        let before = self.stream()?;
        let mut stack = before.interface.lock();
        match stack.progress(before.slot()) {
            Progress::Connecting => return Err(Error::AlreadyInProgress),
            Progress::Connected => return Err(Error::AlreadyConnected),
            Progress::Failed(_) if stack.was_made(before.slot()) => {
                return Err(Error::AlreadyConnected);
            }
            Progress::Failed(_) => {}
        }
        // Of threads that try at once, one has its turn.
        if !self.is_failure_known.swap(false, Ordering::Relaxed) {
            self.is_failure_known.store(true, Ordering::Relaxed);
            let error = stack.take_error(before.slot());
            return Err(error.unwrap_or(Error::Aborted));
        }
        drop(stack);
        let deadline_ns = deadline(self.write_timeout_ns.load(Ordering::Relaxed));
        let begun = self.dial_anew(before, remote, is_nonblocking, deadline_ns);
        if let Err(error) = begun {
            self.is_failure_known.store(true, Ordering::Relaxed);
            return Err(error);
        }
        self.await_connection(is_nonblocking, deadline_ns)
    }

    /// Begins a connection in the place of one that could not be made, or behind it, by another interface.
    fn dial_anew(
        &self,
        before: &Stream,
        remote: SocketAddr,
        is_nonblocking: bool,
        deadline_ns: Option<u64>,
    ) -> Result<()> {
        /// No connection.
        const NONE: u32 = u32::MAX;
        let first = self.first.get().ok_or(Error::NotConnected)?;
        let interface = self.way(remote, first.bound, is_nonblocking, deadline_ns)?;
        let mut stack = before.interface.lock();
        stack.release(
            before.slot.swap(NONE, Ordering::Relaxed),
            true,
            clock::now_ns(),
        );
        drop(stack);
        // Places are kept, so there are never more than interfaces.
        let mut place = first;
        while !core::ptr::eq(place.interface, interface) {
            place.is_left.store(true, Ordering::Release);
            let ends = *first.ends.lock();
            let new = || Box::new(Stream::new(interface, NONE, ends, None));
            place = place.next.get_or_find(new);
        }
        let (slot, ends) = self.dial(interface, remote, first.bound)?;
        let stack = interface.lock();
        *place.ends.lock() = ends;
        place.slot.store(slot, Ordering::Relaxed);
        place.is_left.store(false, Ordering::Release);
        drop(stack);
        Ok(())
    }

    /// Takes received bytes; 0 at the end. With `is_peek` they stay.
    ///
    /// # Errors
    /// What broke the connection, or [`Error::WouldBlock`].
    pub fn receive(&self, buf: &mut [u8], is_peek: bool, is_nonblocking: bool) -> Result<usize> {
        let stream = self.stream()?;
        if buf.is_empty() || self.is_read_shut.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let timeout_ns = self.read_timeout_ns.load(Ordering::Relaxed);
        let deadline_ns = deadline(timeout_ns);
        let mut stack = stream.interface.lock();
        let low_water = self.low_water.load(Ordering::Relaxed) as usize;
        if low_water > 1 {
            let wanted = low_water.min(buf.len());
            while !is_nonblocking && !stack.has_as_much(stream.slot(), wanted) {
                match wait(&self.notifier, stack, false, deadline_ns) {
                    Ok(guard) => stack = guard,
                    Err(_) => {
                        stack = stream.interface.lock();
                        break;
                    }
                }
            }
        }
        loop {
            match stack.receive(stream.slot(), buf, is_peek, clock::now_ns()) {
                Err(Error::WouldBlock) if self.is_read_shut.load(Ordering::Relaxed) => {
                    return Ok(0);
                }
                Err(Error::WouldBlock) => {
                    stack = wait(&self.notifier, stack, is_nonblocking, deadline_ns)?;
                }
                result => return result,
            }
        }
    }

    /// The urgent byte; with `is_peek` it stays. None: it will not come any more.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is none, or it is read in line; [`Error::WouldBlock`] when it has not come yet.
    pub fn receive_urgent(&self, is_peek: bool) -> Result<Option<u8>> {
        let stream = self.stream()?;
        stream
            .interface
            .lock()
            .receive_urgent(stream.slot(), is_peek)
    }

    /// Whether the byte to be read next is the urgent one (`SIOCATMARK`).
    ///
    /// # Errors
    /// When it is no stream.
    pub fn is_at_mark(&self) -> Result<bool> {
        let stream = self.stream()?;
        Ok(stream.interface.lock().is_at_mark(stream.slot()))
    }

    /// As [`TcpSocket::send`]; the last byte is urgent.
    ///
    /// # Errors
    /// See there.
    pub fn send_urgent(&self, data: &[u8], is_nonblocking: bool) -> Result<usize> {
        self.send_by(data, is_nonblocking, Stack::send_urgent)
    }

    /// Queues bytes to be sent; how many. Waits until all are queued, unless it must not.
    ///
    /// # Errors
    /// What broke the connection, or [`Error::WouldBlock`] when none could be queued.
    pub fn send(&self, data: &[u8], is_nonblocking: bool) -> Result<usize> {
        self.send_by(data, is_nonblocking, Stack::send)
    }

    #[inline]
    fn send_by(
        &self,
        data: &[u8],
        is_nonblocking: bool,
        queue: impl Fn(&mut Stack, u32, &[u8], u64) -> Result<usize>,
    ) -> Result<usize> {
        let stream = self.stream()?;
        let deadline_ns = deadline(self.write_timeout_ns.load(Ordering::Relaxed));
        let mut sent = 0;
        let mut stack = stream.interface.lock();
        loop {
            match queue(
                &mut stack,
                stream.slot(),
                data.get(sent..).unwrap_or_default(),
                clock::now_ns(),
            ) {
                Ok(len) => {
                    sent += len;
                    if sent == data.len() || is_nonblocking {
                        return Ok(sent);
                    }
                }
                Err(Error::WouldBlock) => {
                    match wait(&self.notifier, stack, is_nonblocking, deadline_ns) {
                        Ok(guard) => stack = guard,
                        Err(_) if sent != 0 => return Ok(sent),
                        Err(error) => return Err(error),
                    }
                }
                Err(_) if sent != 0 => return Ok(sent),
                Err(error) => {
                    drop(stack);
                    farewell::stay_if_said();
                    return Err(error);
                }
            }
        }
    }

    /// Ends reading, writing, or both.
    ///
    /// # Errors
    /// When it is no stream.
    pub fn shutdown(&self, is_read: bool, is_write: bool) -> Result<()> {
        if let Role::Listener(listener) = self.role() {
            self.close_listener(&listener);
            self.notifier.notify();
            return Ok(());
        }
        let stream = self.stream()?;
        let mut stack = stream.interface.lock();
        if is_read {
            // Under the lock, so that one who is about to wait for bytes sees it or is woken.
            self.is_read_shut.store(true, Ordering::Relaxed);
        }
        if is_write {
            stack.shutdown_write(stream.slot(), clock::now_ns());
        }
        drop(stack);
        self.notifier.notify();
        Ok(())
    }

    /// Its own address; unspecified as long as it has none.
    pub fn local(&self) -> SocketAddr {
        match self.role() {
            Role::Fresh(bound) => bound.map_or(self.family.none(), |bound| bound.address),
            Role::Listener(listener) => listener.binding.address,
            Role::Stream => self.stream().map_or(self.family.none(), Stream::local),
        }
    }

    /// Bytes that can wait to be read, and to be sent; what the program chose counts double, as on Linux.
    pub fn buffer_bytes(&self) -> (usize, usize) {
        let limits = &self.network.limits;
        let bytes = |option, most: usize| match self.number(option) {
            u32::MAX => most,
            chosen => 2 * most.min(chosen as usize),
        };
        (
            bytes(NumberOption::ReceiveBytes, limits.receive_bytes),
            bytes(NumberOption::TransmitBytes, limits.transmit_bytes),
        )
    }

    /// The peer's address.
    ///
    /// # Errors
    /// When it is not connected.
    pub fn peer(&self) -> Result<SocketAddr> {
        let stream = self.stream()?;
        match stream.interface.lock().progress(stream.slot()) {
            Progress::Connected => Ok(stream.remote()),
            _ => Err(Error::NotConnected),
        }
    }

    /// What broke the connection, once (`SO_ERROR`).
    pub fn take_error(&self) -> Option<Error> {
        let stream = self.stream().ok()?;
        stream.interface.lock().take_error(stream.slot())
    }

    /// Whether it accepts connections.
    pub fn is_listening(&self) -> bool {
        matches!(&*self.role.lock(), Role::Listener(_))
    }

    /// Bytes that can be read now (`FIONREAD`).
    pub fn unread(&self) -> usize {
        self.stream()
            .map_or(0, |stream| stream.interface.lock().unread(stream.slot()))
    }

    fn apply_options(&self) {
        self.options.is_changed.store(true, Ordering::Relaxed);
        if let Ok(stream) = self.stream() {
            let settings = self.options.settings();
            let mut stack = stream.interface.lock();
            stack.configure(stream.slot(), settings, clock::now_ns());
        }
    }

    /// `TCP_NODELAY`: short segments go out though others are not acknowledged.
    pub fn set_nodelay(&self, is_on: bool) {
        self.options.is_nodelay.store(is_on, Ordering::Relaxed);
        self.apply_options();
    }

    /// See [`TcpSocket::set_nodelay`].
    pub fn nodelay(&self) -> bool {
        self.options.is_nodelay.load(Ordering::Relaxed)
    }

    /// `TCP_QUICKACK`: what comes is acknowledged at once. Unlike on Linux it stays so until it is taken back.
    pub fn set_quick_ack(&self, is_on: bool) {
        self.options.is_quick_ack.store(is_on, Ordering::Relaxed);
        self.apply_options();
    }

    /// See [`TcpSocket::set_quick_ack`].
    pub fn quick_ack(&self) -> bool {
        self.options.is_quick_ack.load(Ordering::Relaxed)
    }

    /// `TCP_CORK`: short segments wait until it is taken back or nothing more comes.
    pub fn set_corked(&self, is_on: bool) {
        self.options.is_corked.store(is_on, Ordering::Relaxed);
        self.apply_options();
    }

    /// See [`TcpSocket::set_corked`].
    pub fn is_corked(&self) -> bool {
        self.options.is_corked.load(Ordering::Relaxed)
    }

    /// `TCP_CONGESTION`: how much may be under way.
    pub fn set_congestion_control(&self, control: CongestionControl) {
        let is_reno = control == CongestionControl::Reno;
        self.options.is_reno.store(is_reno, Ordering::Relaxed);
        self.apply_options();
    }

    /// See [`TcpSocket::set_congestion_control`].
    pub fn congestion_control(&self) -> CongestionControl {
        match self.options.is_reno.load(Ordering::Relaxed) {
            true => CongestionControl::Reno,
            false => CongestionControl::Cubic,
        }
    }

    /// `SO_OOBINLINE`: urgent bytes are read among the others.
    pub fn set_urgent_inline(&self, is_on: bool) {
        let is_inline = &self.options.is_urgent_inline;
        is_inline.store(is_on, Ordering::Relaxed);
        self.apply_options();
    }

    /// See [`TcpSocket::set_urgent_inline`].
    pub fn is_urgent_inline(&self) -> bool {
        self.options.is_urgent_inline.load(Ordering::Relaxed)
    }

    /// How its connection is doing, if it has one.
    pub fn info(&self) -> Option<Info> {
        let stream = self.stream().ok()?;
        stream.interface.lock().info(stream.slot(), clock::now_ns())
    }

    /// Its ends and its state; `None` as long as it neither listens nor has a connection.
    pub fn condition(&self) -> Option<Condition> {
        match self.role() {
            Role::Fresh(_) => None,
            Role::Listener(listener) => Some(Condition {
                local: listener.binding.address,
                remote: self.family.none(),
                state: None,
                unsent: 0,
                unread: listener.waiting(),
            }),
            Role::Stream => {
                let stream = self.stream().ok()?;
                let local = stream.local();
                let mut stack = stream.interface.lock();
                let info = stack.info(stream.slot(), clock::now_ns())?;
                Some(Condition {
                    local,
                    remote: stream.remote(),
                    state: Some(info.state),
                    unsent: stack.unsent(stream.slot()),
                    unread: stack.unread(stream.slot()),
                })
            }
        }
    }

    /// The core on which its segments are handled, if it has a connection.
    pub fn core(&self) -> Option<usize> {
        self.stream().ok()?.interface.lock().home_core()
    }

    /// `IP_TTL`.
    pub fn set_ttl(&self, ttl: u8) {
        self.options.ttl.store(ttl.max(1), Ordering::Relaxed);
        self.apply_options();
    }

    /// See [`TcpSocket::set_ttl`].
    pub fn ttl(&self) -> u8 {
        self.options.ttl.load(Ordering::Relaxed)
    }

    /// `IP_TOS`, `IPV6_TCLASS`: the class of traffic of its packets.
    pub fn set_traffic_class(&self, class: u8) {
        self.options.traffic_class.store(class, Ordering::Relaxed);
        self.apply_options();
    }

    /// See [`TcpSocket::set_traffic_class`].
    pub fn traffic_class(&self) -> u8 {
        self.options.traffic_class.load(Ordering::Relaxed)
    }

    /// Whether it was given an address.
    pub fn is_bound(&self) -> bool {
        !matches!(&*self.role.lock(), Role::Fresh(None))
    }

    /// `SO_KEEPALIVE`: asks a silent peer whether it is still there.
    pub fn set_keep_alive(&self, is_on: bool) {
        self.options.is_keep_alive.store(is_on, Ordering::Relaxed);
        self.apply_options();
    }

    /// A number among its options.
    pub fn number(&self, option: NumberOption) -> u32 {
        self.options.number(option).load(Ordering::Relaxed)
    }

    /// Changes a number among its options.
    pub fn set_number(&self, option: NumberOption, value: u32) {
        self.options.number(option).store(value, Ordering::Relaxed);
        if let Role::Listener(listener) = &*self.role.lock() {
            self.tell_listener(listener);
        }
        self.apply_options();
    }

    /// Has a listener know what counts before its connections are taken.
    fn tell_listener(&self, listener: &Listener) {
        let segment_bytes = self.number(NumberOption::SegmentBytes) as u16;
        let told = &listener.segment_bytes;
        told.store(segment_bytes, Ordering::Relaxed);
        let deferred_s = self.number(NumberOption::DeferredSeconds);
        listener.deferred_s.store(deferred_s, Ordering::Relaxed);
    }

    /// See [`TcpSocket::set_keep_alive`].
    pub fn keep_alive(&self) -> bool {
        self.options.is_keep_alive.load(Ordering::Relaxed)
    }

    /// What would not block.
    pub fn readiness(&self) -> Readiness {
        let Ok(stream) = self.stream() else {
            return match self.role() {
                Role::Listener(listener) if listener.is_ready() => Readiness::READABLE,
                Role::Listener(_) => Readiness::empty(),
                Role::Fresh(_) | Role::Stream => Readiness::HANGUP | Readiness::WRITABLE,
            };
        };
        let mut stack = stream.interface.lock();
        let mut readiness = stack.readiness(stream.slot());
        let low_water = self.low_water.load(Ordering::Relaxed) as usize;
        if low_water > 1 && !stack.has_as_much(stream.slot(), low_water) {
            readiness -= Readiness::READABLE;
        }
        drop(stack);
        if self.is_read_shut.load(Ordering::Relaxed) {
            readiness |= Readiness::READABLE | Readiness::PEER_CLOSED;
        }
        readiness
    }

    /// Who wants to know.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    fn close_listener(&self, listener: &Listener) {
        for pending in listener.close() {
            if let Some(interface) = self.network.lane(pending.interface, pending.lane) {
                interface
                    .lock()
                    .release(pending.slot, true, clock::now_ns());
            }
        }
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        let role = core::mem::replace(&mut *self.role.lock(), Role::Fresh(None));
        match role {
            Role::Fresh(None) => {}
            Role::Fresh(Some(binding)) => self.network.ports.release_tcp(&binding),
            Role::Listener(listener) => {
                self.network.ports.release_listener(&listener);
                self.close_listener(&listener);
            }
            Role::Stream => {
                let Ok(stream) = self.stream() else {
                    return;
                };
                let linger = self.linger.load(Ordering::Relaxed);
                let mut stack = stream.interface.lock();
                if linger > 1 {
                    // Close waits until the peer has everything, or the time is over.
                    let deadline_ns = deadline((linger - 1).saturating_mul(1_000_000_000));
                    while stack.unsent(stream.slot()) != 0 {
                        match self.notifier.wait(stack, deadline_ns) {
                            (guard, crate::scheduler::WaitOutcome::Woken) => stack = guard,
                            (guard, crate::scheduler::WaitOutcome::TimedOut) => {
                                stack = guard;
                                break;
                            }
                        }
                    }
                }
                stack.release(stream.slot(), linger == 1, clock::now_ns());
                drop(stack);
                if let Some(binding) = self.first.get().and_then(|first| first.bound) {
                    self.network.ports.release_tcp(&binding);
                }
            }
        }
    }
}
