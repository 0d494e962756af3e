//! What a stack does with frames, calls and timers: smoltcp's interface in the middle, and around it what it needs to stay fast and
//! bounded with thousands of connections. [`super::stack`] is its face.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::iface::{self, SocketSet};
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, IpEndpoint, Ipv4Cidr};

use super::config::Address;
use super::connections::{Connections, Limits, Queue, Seed};
use super::dhcp::{self, Dhcp};
use super::error::{Error, Result};
use super::frame::{
    ACKNOWLEDGEMENT, Class, ETHERNET_HEADER, FourTuple, Segment, write_acknowledgement,
};
use super::ping::Pings;
use super::port::Port;
use super::ports::{Listener, Pending, Ports};
use super::sender::Senders;
use super::statistics::Statistics;
use super::time_wait::{Rest, TimeWait, Verdict};
use super::timers::{Key, Timers};
use crate::devices::network::Medium;
use crate::scheduler::Notifier;

/// Timers handled in one go.
const TIMER_BATCH: usize = 64;
/// Segments one connection sends in one go.
const BURST: usize = 64;
/// When to try again after the device had no free buffer.
const RETRY_US: u64 = 1_000;
/// How long smoltcp leaves a socket alone that waits for its neighbour's hardware address.
const NEIGHBOR_SILENCE_US: u64 = 1_000_000;
/// As many sockets are remembered to wait for a neighbour; more have to wait for their timer.
const MAX_WAITING: usize = 1024;

/// How long an acknowledgement waits for data to go with (smoltcp's own value).
const ACK_DELAY: Duration = Duration::from_millis(10);
/// How long a handshake that a peer began may take.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may leave unanswered what we sent, a request for a connection included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a peer may take to close its side after we closed ours for good (Linux's `tcp_fin_timeout` is 60 s).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A stack without its receiver, which lends the frame that is being handled.
pub(super) struct Engine {
    /// Which of the network's interfaces this is.
    pub(super) index: usize,
    pub(super) iface: iface::Interface,
    pub(super) port: Port,
    pub(super) connections: Connections,
    pub(super) time_wait: TimeWait,
    /// When the connections in TIME-WAIT are looked through.
    pub(super) time_wait_timer: Option<u64>,
    pub(super) senders: Senders,
    pub(super) pings: Option<Pings>,
    pub(super) timers: Timers,
    pub(super) ports: Arc<Ports>,
    pub(super) dhcp: Option<Dhcp>,
    /// For frames that no socket shall see.
    pub(super) nobody: SocketSet<'static>,
    /// Waits for the connections that no program holds.
    no_one: Arc<Notifier>,
    /// Who may wait for a neighbour's hardware address.
    pub(super) waiting: Vec<Key>,
    pub(super) address: Option<Address>,
    /// Connections, by slot, that are begun when there is an address.
    awaiting: Vec<u32>,
    /// How often the address has changed.
    pub(super) address_changes: u32,
    pub(super) counters: Statistics,
}

fn instant(now_us: u64) -> Instant {
    Instant::from_micros(now_us.min(i64::MAX as u64) as i64)
}

/// What came of letting a socket set send.
pub(super) struct Driven {
    /// When to look again.
    pub(super) wanted_us: Option<u64>,
    /// Nothing could be sent for want of a hardware address.
    pub(super) is_waiting: bool,
}

/// Lets a socket set send what it has to send now. When it surely `has_output`, it is not asked first.
pub(super) fn drive(
    iface: &mut iface::Interface,
    port: &mut Port,
    set: &mut SocketSet<'static>,
    has_output: bool,
    now_us: u64,
) -> Driven {
    let now = instant(now_us);
    let mut has_sent = false;
    let mut stalls = 0;
    for round in 0..BURST {
        let next = match has_output && round == 0 {
            true => Some(now),
            false => iface.poll_at(now, set),
        };
        let wanted_us = match next {
            None => None,
            Some(at) if at > now => Some(at.total_micros().max(0) as u64),
            Some(_) => {
                let before = port.sent_packets;
                iface.poll_egress(now, &mut port.device(None), set);
                if port.sent_packets != before {
                    has_sent = true;
                } else {
                    stalls += 1;
                }
                if stalls < 3 {
                    continue;
                }
                // Sockets note the time, or a state they leave, without sending; more than that is a full ring.
                Some(now_us + RETRY_US)
            }
        };
        let is_waiting = !has_sent && wanted_us == Some(now_us + NEIGHBOR_SILENCE_US);
        return Driven {
            wanted_us,
            is_waiting,
        };
    }
    Driven {
        wanted_us: Some(now_us),
        is_waiting: false,
    }
}

/// Why a connection is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A call has left something to be sent.
    Output,
    /// The peer has reset it.
    Reset,
    /// Anything else.
    Other,
}

/// What becomes of a request for a connection.
enum Opening {
    Accepted(u32),
    /// Nobody listens: a reset goes back.
    Refused,
    /// No room now: the peer will ask again.
    Ignored,
}

impl Engine {
    /// An engine that sends through `port`. It has no address yet.
    pub(super) fn new(
        index: usize,
        mut port: Port,
        mac: [u8; 6],
        ports: Arc<Ports>,
        limits: Limits,
    ) -> Self {
        let address = match port.medium() {
            Medium::Ethernet => HardwareAddress::Ethernet(EthernetAddress(mac)),
            Medium::Ip => HardwareAddress::Ip,
        };
        let mut config = iface::Config::new(address);
        config.random_seed = ports.random_u64();
        let iface = iface::Interface::new(config, &mut port.device(None), Instant::ZERO);
        let connections = Connections::new(limits, ports.random_u64());
        Self {
            index,
            iface,
            port,
            connections,
            time_wait: TimeWait::new(limits.time_wait, Seed::new(ports.random_u64())),
            time_wait_timer: None,
            senders: Senders::default(),
            pings: None,
            timers: Timers::default(),
            ports,
            dhcp: None,
            nobody: SocketSet::new(vec![]),
            no_one: Arc::default(),
            waiting: Vec::new(),
            address: None,
            awaiting: Vec::new(),
            address_changes: 0,
            counters: Statistics::default(),
        }
    }

    pub(super) fn is_broadcast(&self, ip: Ipv4Addr) -> bool {
        ip.is_broadcast()
            || self.iface.ip_addrs().iter().any(|cidr| {
                let IpCidr::Ipv4(cidr) = cidr;
                cidr.broadcast() == Some(ip)
            })
    }

    pub(super) fn handle(&mut self, frame: &[u8], class: Class<'_>, now_us: u64) {
        match class {
            Class::Drop => self.counters.dropped_unusable += 1,
            Class::Tcp(tuple, segment) => self.handle_tcp(frame, tuple, &segment, now_us),
            Class::Udp(tuple, payload) => self.handle_udp(frame, tuple, payload, now_us),
            Class::Other => {
                self.look_for_pong(frame, now_us);
                self.ingress_for_nobody(frame, now_us);
            }
            Class::Arp => {
                self.ingress_for_nobody(frame, now_us);
                for key in core::mem::take(&mut self.waiting) {
                    self.run(key, now_us);
                }
            }
        }
    }

    /// Lets the interface answer a frame without any socket: ARP, ping, resets, port unreachable.
    fn ingress_for_nobody(&mut self, frame: &[u8], now_us: u64) {
        let mut device = self.port.device(Some(frame));
        self.iface
            .poll_ingress_single(instant(now_us), &mut device, &mut self.nobody);
    }

    fn handle_tcp(&mut self, frame: &[u8], tuple: FourTuple, segment: &Segment, now_us: u64) {
        let mut slot = self.connections.find(&tuple);
        if slot.is_none()
            && let Some((verdict, rest)) = self.time_wait.judge(&tuple, segment)
        {
            match verdict {
                Verdict::Anew => {}
                Verdict::Over | Verdict::Ignore => return,
                Verdict::Acknowledge => return self.acknowledge(frame, tuple, rest),
            }
        }
        if segment.is_opening() {
            // A peer that begins anew has forgotten the connection that is in TIME-WAIT here (RFC 9293, section 3.6.1).
            if let Some(old) = slot
                && let Some(connection) = self.connections.get(old)
                && connection.state == State::TimeWait
            {
                self.connections.forget_tuple(old);
                slot = None;
            }
            if slot.is_none() {
                match self.open(tuple, now_us) {
                    Opening::Accepted(new) => slot = Some(new),
                    Opening::Refused => self.counters.refused += 1,
                    Opening::Ignored => return,
                }
            }
        }
        let Some(slot) = slot else {
            if self.iface.has_ip_addr(*tuple.local.ip()) {
                self.ingress_for_nobody(frame, now_us);
            }
            return;
        };
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        let before = connection.state;
        // A peer that closed at the same time says that it has our FIN by repeating its own. Of a segment that was received
        // before, smoltcp takes nothing; the acknowledgement counts all the same (RFC 9293, section 3.10.7.4 would drop it, but
        // Berkeley's TCP, which does this, cuts off what is old and goes on).
        let is_repeated = matches!(before, State::Closing | State::LastAck)
            && segment.is_closing()
            && segment.end() == connection.rest.next_receive;
        let mut bare = [0; ETHERNET_HEADER + ACKNOWLEDGEMENT];
        let fed = if is_repeated {
            let (acknowledgement, window) = (segment.acknowledgement, segment.window);
            let rest = Segment::acknowledging(segment.end(), acknowledgement, window);
            let medium = self.port.medium();
            copy_bare(&mut bare, frame, medium, tuple.remote, tuple.local, &rest)
        } else {
            frame
        };
        let mut device = self.port.device(Some(fed));
        self.iface
            .poll_ingress_single(instant(now_us), &mut device, &mut connection.set);
        let after = connection.socket().state();
        if after != before
            && matches!(
                after,
                State::CloseWait | State::Closing | State::LastAck | State::TimeWait
            )
        {
            // The peer has sent all; in TIME-WAIT, it also has acknowledged all.
            connection.rest = Rest {
                next_send: segment.acknowledgement,
                next_receive: segment.end(),
            };
        }
        let rest = connection.rest;
        let cause = match segment.is_reset() {
            true => Cause::Reset,
            false => Cause::Other,
        };
        self.settle(slot, cause, now_us);
        if is_repeated {
            self.acknowledge(frame, tuple, rest);
        }
    }

    /// Answers a segment of a connection that both sides have closed.
    fn acknowledge(&mut self, frame: &[u8], tuple: FourTuple, rest: Rest) {
        let medium = self.port.medium();
        let segment = Segment::acknowledging(rest.next_send, rest.next_receive, 0);
        let mut bare = [0; ETHERNET_HEADER + ACKNOWLEDGEMENT];
        let answer = copy_bare(
            &mut bare,
            frame,
            medium,
            tuple.local,
            tuple.remote,
            &segment,
        );
        if medium == Medium::Ethernet {
            let (to, from) = answer.split_at_mut(6);
            to.swap_with_slice(&mut from[..6]);
        }
        self.port.send(answer);
    }

    /// Makes a connection, for which another has to give way if there are too many.
    fn insert(
        &mut self,
        tuple: FourTuple,
        notifier: &Arc<Notifier>,
        listener: Option<&Arc<Listener>>,
        now_us: u64,
    ) -> Result<u32> {
        let insert = |connections: &mut Connections| {
            connections.insert(tuple, notifier.clone(), listener.cloned())
        };
        match insert(&mut self.connections) {
            Err(Error::OutOfMemory) => {
                let sparest = self.connections.sparest().ok_or(Error::OutOfMemory)?;
                self.give_up(sparest, now_us);
                insert(&mut self.connections)
            }
            other => other,
        }
    }

    /// Has a connection make room for others. A peer that lacks data is told by a reset; one that has everything is not, since a
    /// reset could cost it what it has not read yet.
    fn give_up(&mut self, slot: u32, now_us: u64) {
        if let Some(connection) = self.connections.get(slot)
            && connection.is_orphan
            && connection.socket().send_queue() != 0
        {
            connection.socket().abort();
            drive(
                &mut self.iface,
                &mut self.port,
                &mut connection.set,
                true,
                now_us,
            );
        }
        self.destroy(slot);
    }

    /// The program gives a connection up; see [`super::stack::Stack::release`].
    pub(super) fn release(&mut self, slot: u32, is_abrupt: bool, now_us: u64) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        connection.is_orphan = true;
        connection.notifier = self.no_one.clone();
        let socket = connection.socket();
        socket.set_ack_delay(None);
        if is_abrupt || socket.can_recv() {
            socket.abort();
        } else {
            socket.close();
        }
        // The state is looked at as if it were new, so that what is over goes now.
        connection.state = State::Listen;
        if let Some(oldest) = self.connections.enqueue(slot, Queue::Orphan) {
            self.give_up(oldest, now_us);
        }
        self.settle(slot, Cause::Output, now_us);
    }

    fn open(&mut self, tuple: FourTuple, now_us: u64) -> Opening {
        if !self.iface.has_ip_addr(*tuple.local.ip()) {
            return Opening::Ignored;
        }
        let Some(listener) = self.ports.listener(tuple.local, self.index) else {
            return Opening::Refused;
        };
        if !listener.has_room() {
            self.counters.dropped_backlog += 1;
            return Opening::Ignored;
        }
        let Ok(slot) = self.insert(tuple, &Arc::default(), Some(&listener), now_us) else {
            self.counters.dropped_no_room += 1;
            return Opening::Ignored;
        };
        let Some(connection) = self.connections.get(slot) else {
            return Opening::Ignored;
        };
        let socket = connection.socket();
        reset_options(socket);
        let is_listening = socket.listen(IpEndpoint::from(tuple.local)).is_ok();
        // What becomes of it otherwise is a change that `settle` acts on.
        connection.state = State::SynReceived;
        if !is_listening {
            self.destroy(slot);
            return Opening::Ignored;
        }
        if let Some(oldest) = self.connections.enqueue(slot, Queue::HalfOpen) {
            self.destroy(oldest);
        }
        Opening::Accepted(slot)
    }

    fn handle_udp(&mut self, frame: &[u8], tuple: FourTuple, payload: &[u8], now_us: u64) {
        let destination = *tuple.local.ip();
        if self.dhcp.is_some() && tuple.local.port() == dhcp::CLIENT_PORT {
            self.poll_dhcp(Some(frame), now_us);
            return;
        }
        let is_own = self.iface.has_ip_addr(destination);
        if tuple.remote.ip().is_unspecified() || !is_own && !self.is_broadcast(destination) {
            return;
        }
        match self.ports.mailbox(tuple.local) {
            Some(mailbox) => mailbox.deliver(tuple.remote, payload),
            None if is_own => {
                self.counters.dropped_no_port += 1;
                self.ingress_for_nobody(frame, now_us);
            }
            None => {}
        }
    }

    pub(super) fn connect(
        &mut self,
        notifier: Arc<Notifier>,
        local: SocketAddrV4,
        remote: SocketAddrV4,
        now_us: u64,
    ) -> Result<u32> {
        let to = *remote.ip();
        if remote.port() == 0 || to.is_unspecified() || to.is_multicast() || self.is_broadcast(to) {
            return Err(Error::NetworkUnreachable);
        }
        let is_awaiting = self.address.is_none() && self.dhcp.is_some();
        let from = match *local.ip() {
            ip if ip.is_unspecified() && is_awaiting => Some(ip),
            ip if ip.is_unspecified() => self.iface.get_source_address_ipv4(&to),
            ip => Some(ip).filter(|ip| self.iface.has_ip_addr(*ip)),
        };
        let from = from.ok_or(Error::NetworkUnreachable)?;
        let tuple = |port| FourTuple {
            local: SocketAddrV4::new(from, port),
            remote,
        };
        let port = match local.port() {
            0 => {
                let is_free = |port| {
                    let tuple = tuple(port);
                    self.connections.find(&tuple).is_none() && !self.time_wait.contains(&tuple)
                };
                self.ports
                    .ephemeral_tcp(is_free)
                    .ok_or(Error::AddressNotAvailable)?
            }
            port if self.time_wait.contains(&tuple(port)) => return Err(Error::AddressInUse),
            port => port,
        };
        let slot = self.insert(tuple(port), &notifier, None, now_us)?;
        let connection = self.connections.get(slot).ok_or(Error::OutOfMemory)?;
        connection.state = State::SynSent;
        reset_options(connection.socket());
        if from.is_unspecified() {
            self.awaiting.push(slot);
            let end_us = now_us.saturating_add(super::ADDRESS_PATIENCE_NS / 1000);
            let key = Key::Connection(slot);
            self.timers
                .arrange(key, &mut connection.timer, Some(end_us));
            return Ok(slot);
        }
        if let Err(error) = self.begin(slot, now_us) {
            self.destroy(slot);
            return Err(error);
        }
        Ok(slot)
    }

    /// Sends the request for a connection whose ends are known.
    fn begin(&mut self, slot: u32, now_us: u64) -> Result<()> {
        let connection = self.connections.get(slot).ok_or(Error::NotConnected)?;
        let FourTuple { local, remote } = connection.tuple;
        connection
            .socket()
            .connect(self.iface.context(), remote, local)
            .map_err(|_| Error::NetworkUnreachable)?;
        self.settle(slot, Cause::Output, now_us);
        Ok(())
    }

    /// There is an address: the connections that wait for one are begun.
    fn begin_awaiting(&mut self, now_us: u64) {
        for slot in core::mem::take(&mut self.awaiting) {
            // The slot may have been given up, and be another connection's.
            let Some(connection) = self.connections.get(slot).filter(|one| one.is_awaiting())
            else {
                continue;
            };
            let (key, mut tuple) = (Key::Connection(slot), connection.tuple);
            self.timers.cancel(key, &mut connection.timer);
            let source = self.iface.get_source_address_ipv4(tuple.remote.ip());
            tuple.local.set_ip(source.unwrap_or(Ipv4Addr::UNSPECIFIED));
            let begun = self.connections.rename(slot, tuple);
            if let Err(error) = begun.and_then(|()| self.begin(slot, now_us)) {
                self.fail(slot, error);
            }
        }
    }

    /// A connection that a program holds is over.
    fn fail(&mut self, slot: u32, error: Error) {
        if let Some(connection) = self.connections.get(slot) {
            connection.state = State::Closed;
            connection.error = Some(error);
            connection.notifier.notify();
            self.connections.forget_tuple(slot);
        }
    }

    /// After anything happened to a connection: sends what there is to send, sets its timer, and acts on what has changed.
    pub(super) fn settle(&mut self, slot: u32, cause: Cause, now_us: u64) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        let is_orphan = connection.is_orphan;
        if connection.is_awaiting() {
            if is_orphan {
                self.destroy(slot);
            } else if connection.timer.is_none() {
                self.fail(slot, Error::NetworkUnreachable);
            }
            return;
        }
        let socket = connection.socket();
        // Data for a program that is gone is refused, or its peer would wait for ever for the window to open.
        if is_orphan && socket.can_recv() {
            socket.abort();
        }
        socket.set_timeout(match socket.state() {
            State::SynReceived => Some(ACCEPT_TIMEOUT),
            // An idle peer is only given up when it is asked and does not answer.
            State::Established | State::CloseWait if socket.send_queue() == 0 => socket
                .keep_alive()
                .map(|interval| interval + ANSWER_TIMEOUT),
            State::FinWait2 if !is_orphan => None,
            State::FinWait2 => Some(CLOSE_TIMEOUT),
            State::Closed | State::Listen | State::TimeWait => None,
            _ => Some(ANSWER_TIMEOUT),
        });
        let (set, has_output) = (&mut connection.set, cause == Cause::Output);
        let driven = drive(&mut self.iface, &mut self.port, set, has_output, now_us);
        let key = Key::Connection(slot);
        self.timers
            .arrange(key, &mut connection.timer, driven.wanted_us);
        if driven.is_waiting && self.waiting.len() < MAX_WAITING {
            self.waiting.push(key);
        }
        let socket: &tcp::Socket = connection.set.get(connection.handle);
        let (state, unread, has_room) = (socket.state(), socket.recv_queue(), socket.can_send());
        let is_news = unread > connection.seen_bytes || has_room && !connection.had_room;
        connection.seen_bytes = unread;
        connection.had_room = has_room;
        if state != connection.state {
            self.enter(slot, state, cause == Cause::Reset, now_us);
        } else if is_news {
            connection.notifier.notify();
        }
    }

    /// A connection has come into another state.
    fn enter(&mut self, slot: u32, state: State, was_reset: bool, now_us: u64) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        let before = core::mem::replace(&mut connection.state, state);
        let is_held = !connection.is_orphan && connection.listener.is_none();
        match state {
            // Back to where it came from: the peer reset the handshake.
            State::Listen => self.destroy(slot),
            State::Closed if !is_held => self.destroy(slot),
            State::Closed => {
                connection.error = match before {
                    State::LastAck | State::TimeWait | State::Closing => None,
                    // The peer had ended its side: reading has come to the end, and writing breaks off.
                    State::CloseWait if was_reset => None,
                    State::SynSent if was_reset => Some(Error::Refused),
                    _ if was_reset => Some(Error::Reset),
                    _ => Some(Error::TimedOut),
                };
                self.timers
                    .cancel(Key::Connection(slot), &mut connection.timer);
                connection.notifier.notify();
                self.connections.forget_tuple(slot);
            }
            State::TimeWait if connection.is_orphan => {
                let (tuple, rest) = (connection.tuple, connection.rest);
                // Another connection may have taken the tuple over.
                if self.connections.find(&tuple) == Some(slot) {
                    self.time_wait.insert(tuple, rest, now_us);
                }
                self.destroy(slot);
                self.run(Key::TimeWait, now_us);
            }
            State::SynSent | State::SynReceived => {}
            _ => {
                connection.notifier.notify();
                if let Some(listener) = connection.listener.take() {
                    let pending = Pending {
                        interface: self.index,
                        slot,
                        tuple: connection.tuple,
                        notifier: connection.notifier.clone(),
                    };
                    self.connections.dequeue(slot);
                    if listener.push(pending).is_err()
                        && let Some(connection) = self.connections.get(slot)
                    {
                        connection.is_orphan = true;
                        connection.socket().abort();
                        self.settle(slot, Cause::Other, now_us);
                    }
                }
            }
        }
    }

    /// Forgets a connection, whatever its state.
    fn destroy(&mut self, slot: u32) {
        if let Some(connection) = self.connections.get(slot) {
            self.timers
                .cancel(Key::Connection(slot), &mut connection.timer);
            self.connections.remove(slot);
        }
    }

    pub(super) fn send_datagram(
        &mut self,
        sender: u32,
        source: Option<Ipv4Addr>,
        to: SocketAddrV4,
        payload: &[u8],
        ttl: u8,
        now_us: u64,
    ) -> Result<()> {
        const HEADERS: usize = 28;
        if payload.len() + HEADERS > self.port.mtu() {
            return Err(Error::MessageTooLong);
        }
        let source = match source {
            Some(source) => Some(source).filter(|source| self.iface.has_ip_addr(*source)),
            None => self.iface.get_source_address_ipv4(to.ip()),
        };
        let source = source.ok_or(Error::NetworkUnreachable)?;
        self.senders.queue(sender, source, to, payload, ttl)?;
        self.run(Key::Sender(sender), now_us);
        Ok(())
    }

    pub(super) fn run_timers(&mut self, now_us: u64) {
        for _ in 0..TIMER_BATCH {
            let Some(key) = self.timers.pop(now_us) else {
                return;
            };
            match key {
                Key::Connection(slot) => {
                    if let Some(connection) = self.connections.get(slot) {
                        connection.timer = None;
                    }
                }
                Key::Sender(slot) => self.senders.timer_fired(slot),
                Key::Dhcp => {
                    if let Some(dhcp) = &mut self.dhcp {
                        dhcp.timer = None;
                    }
                }
                Key::TimeWait => self.time_wait_timer = None,
                Key::Ping => {
                    if let Some(pings) = &mut self.pings {
                        pings.timer = None;
                    }
                }
            }
            self.run(key, now_us);
        }
    }

    /// Lets one socket do what it has to do now.
    fn run(&mut self, key: Key, now_us: u64) {
        match key {
            Key::Connection(slot) => self.settle(slot, Cause::Other, now_us),
            Key::Dhcp => self.poll_dhcp(None, now_us),
            Key::Ping => self.run_pings(now_us),
            Key::TimeWait => {
                let wanted = self.time_wait.expire(now_us);
                self.timers
                    .arrange(Key::TimeWait, &mut self.time_wait_timer, wanted);
            }
            Key::Sender(slot) => {
                let is_waiting = self.senders.run(
                    slot,
                    &mut self.iface,
                    &mut self.port,
                    &mut self.timers,
                    now_us,
                );
                if is_waiting && self.waiting.len() < MAX_WAITING {
                    self.waiting.push(key);
                }
            }
        }
    }

    pub(super) fn poll_dhcp(&mut self, frame: Option<&[u8]>, now_us: u64) {
        let Some(dhcp) = &mut self.dhcp else {
            return;
        };
        if frame.is_some() {
            let mut device = self.port.device(frame);
            self.iface
                .poll_ingress_single(instant(now_us), &mut device, &mut dhcp.set);
        }
        let driven = drive(
            &mut self.iface,
            &mut self.port,
            &mut dhcp.set,
            false,
            now_us,
        );
        self.timers
            .arrange(Key::Dhcp, &mut dhcp.timer, driven.wanted_us);
        match dhcp.event() {
            Some(dhcp::Event::Leased(address)) => {
                self.set_address(Some(address));
                self.begin_awaiting(now_us);
            }
            Some(dhcp::Event::Lost) => self.set_address(None),
            None => {}
        }
    }

    pub(super) fn set_address(&mut self, address: Option<Address>) {
        let cidr = address
            .as_ref()
            .map(|address| Ipv4Cidr::new(address.ip, address.prefix));
        self.iface.update_ip_addrs(|addresses| {
            addresses.clear();
            if let Some(cidr) = cidr {
                // The list is empty, so there is room.
                let _ = addresses.push(IpCidr::Ipv4(cidr));
            }
        });
        let routes = self.iface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(gateway) = address.as_ref().and_then(|address| address.gateway) {
            // The table is empty, so there is room.
            let _ = routes.add_default_ipv4_route(gateway);
        }
        if let Some(cidr) = cidr
            && self.port.medium() == Medium::Ethernet
            && let HardwareAddress::Ethernet(mac) = self.iface.hardware_addr()
        {
            self.port.announce(mac, cidr.address());
        }
        self.address = address;
        self.address_changes = self.address_changes.wrapping_add(1);
    }
}

/// Writes a frame with a bare acknowledgement and the Ethernet addresses of another frame; the part of `buffer` that it takes.
fn copy_bare<'a>(
    buffer: &'a mut [u8; ETHERNET_HEADER + ACKNOWLEDGEMENT],
    frame: &[u8],
    medium: Medium,
    from: SocketAddrV4,
    to: SocketAddrV4,
    segment: &Segment,
) -> &'a mut [u8] {
    let (ethernet, packet) = buffer.split_at_mut(ETHERNET_HEADER);
    if let Some(packet) = packet.first_chunk_mut() {
        write_acknowledgement(packet, from, to, segment);
    }
    if let Some(header) = frame.first_chunk::<ETHERNET_HEADER>() {
        ethernet.copy_from_slice(header);
    }
    match medium {
        Medium::Ip => &mut buffer[ETHERNET_HEADER..],
        Medium::Ethernet => buffer,
    }
}

/// Options of a socket that may have served another connection.
fn reset_options(socket: &mut tcp::Socket<'static>) {
    socket.set_congestion_control(tcp::CongestionControl::Reno);
    socket.set_nagle_enabled(true);
    socket.set_keep_alive(None);
    socket.set_hop_limit(None);
    socket.set_timeout(None);
    socket.set_ack_delay(Some(ACK_DELAY));
}
