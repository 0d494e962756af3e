//! The protocol stack of one interface, as sockets and the scheduler see it.
//!
//! A frame is sorted first ([`super::frame`]); a segment's connection is found in a hash table ([`super::connections`]), and smoltcp
//! sees only that one socket ([`super::engine`]). What happens later hangs in [`super::timers`]. Nothing in here blocks, and time is
//! always an argument, so tests run it on the host.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::socket::tcp::{self, State};
use smoltcp::wire::{IpCidr, Ipv4Cidr};

use super::config::Address;
use super::connections::Limits;
use super::dhcp::Dhcp;
use super::engine::{Cause, Engine};
use super::error::{Error, Result};
use super::frame::{FourTuple, classify};
use super::ping::Pings;
use super::port::Port;
use super::ports::Ports;
use super::statistics::Statistics;
use crate::arch::interrupts;
use crate::arch::x86_64::core_local::{self, CoreLocal};
use crate::devices::network::{Medium, NetworkDevice, Receiver};
use crate::scheduler::{Notifier, Readiness};

/// Frames handled in one go before another core may take the lock.
const BATCH: usize = 8;
/// An interface's stack.
pub struct Stack {
    receiver: Box<dyn Receiver>,
    engine: Engine,
    /// The core that serves the stack, and what it knows.
    home: Option<Home>,
}

/// The core that serves a stack. Calls may come from other cores, and bring work that it has to be told of.
struct Home {
    core: &'static CoreLocal,
    /// The time that it was told to look next, in microseconds; `u64::MAX`: none.
    announced_us: u64,
    /// It was interrupted and has not looked yet.
    is_called: bool,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The peer has not answered yet.
    Connecting,
    /// The handshake is through (the connection may have ended since).
    Connected,
    /// It did not come to be, or was broken off.
    Failed(Error),
}

impl Stack {
    /// A stack over a device. It has no address yet.
    pub fn new(index: usize, device: NetworkDevice, ports: Arc<Ports>, limits: Limits) -> Self {
        let port = Port::new(
            device.transmitter,
            device.medium,
            device.mtu,
            device.has_checksum_offload,
        );
        Self {
            receiver: device.receiver,
            home: None,
            engine: Engine::new(index, port, device.mac, ports, limits),
        }
    }

    /// Handles frames that have come and timers that are due, a bounded number; whether there was anything.
    pub fn serve(&mut self, now_ns: u64) -> bool {
        let now_us = now_ns / 1000;
        if let Some(home) = &mut self.home {
            home.is_called = false;
        }
        self.receiver.acknowledge();
        let is_due = self.engine.timers.next().is_some_and(|at| at <= now_us);
        if !is_due && !self.receiver.is_ready() {
            return false;
        }
        self.receiver.set_quiet(true);
        for _ in 0..BATCH {
            let Some(frame) = self.receiver.frame() else {
                break;
            };
            self.engine.counters.received_frames += 1;
            self.engine.counters.received_bytes += frame.bytes.len() as u64;
            let class = classify(&frame, self.engine.port.medium());
            self.engine.handle(frame.bytes, class, now_us);
            self.receiver.release();
        }
        self.engine.run_timers(now_us);
        self.engine.port.flush();
        true
    }

    /// When [`Stack::serve`] must run even if no frame comes; asked by the core that serves the stack, before it waits for interrupts.
    pub fn next_deadline_ns(&mut self) -> Option<u64> {
        let next = self.engine.timers.next();
        if let Some(home) = &mut self.home {
            home.announced_us = next.unwrap_or(u64::MAX);
        }
        self.receiver.set_quiet(false);
        if self.receiver.is_ready() {
            return Some(0);
        }
        next.map(|at| at.saturating_mul(1000))
    }

    /// The calling core serves the stack from now on.
    pub fn set_home(&mut self) {
        self.home = Some(Home {
            core: core_local::current(),
            announced_us: u64::MAX,
            is_called: false,
        });
    }

    /// Another core serves the stack from now on, and the device interrupts that core. Whether the device can.
    pub fn move_home(&mut self, core: &'static CoreLocal) -> bool {
        let old = self.home.replace(Home {
            core,
            announced_us: u64::MAX,
            is_called: false,
        });
        match self.receiver.irq() {
            Some(irq) if !irq.move_to(core) => {
                self.home = old;
                false
            }
            Some(_) => true,
            // Without interrupts, the core has to look by itself.
            None => {
                interrupts::wake(core);
                true
            }
        }
    }

    /// Ends a call: what it queued goes out, and the core that serves the stack learns of an earlier time or of frames that only it takes.
    fn finish(&mut self) {
        self.engine.port.flush();
        let Some(home) = &mut self.home else {
            return;
        };
        let is_earlier = self
            .engine
            .timers
            .next()
            .is_some_and(|at| at < home.announced_us);
        let is_looped = self.engine.port.medium() == Medium::Ip && self.receiver.is_ready();
        if (is_earlier || is_looped)
            && !home.is_called
            && !core::ptr::eq(home.core, core_local::current())
        {
            home.is_called = true;
            interrupts::wake(home.core);
        }
    }

    /// Starts looking for an address.
    pub fn start_dhcp(&mut self, now_ns: u64) {
        if self.engine.dhcp.is_some() {
            return;
        }
        self.engine.dhcp = Some(Dhcp::new());
        self.engine.poll_dhcp(None, now_ns / 1000);
        self.finish();
    }

    /// Asks for an address no more.
    pub fn stop_dhcp(&mut self) {
        self.engine.dhcp = None;
    }

    /// Takes an address, or gives it up.
    pub fn set_address(&mut self, address: Option<Address>) {
        self.engine.set_address(address);
    }

    /// The address, when there is one.
    pub fn address(&self) -> Option<&Address> {
        self.engine.address.as_ref()
    }

    /// Grows whenever the address changes.
    pub fn address_changes(&self) -> u32 {
        self.engine.address_changes
    }

    /// Lets the interface have one more address, for itself alone.
    pub fn add_host_address(&mut self, ip: Ipv4Addr) {
        if !self.engine.iface.has_ip_addr(ip) {
            let cidr = IpCidr::Ipv4(Ipv4Cidr::new(ip, 32));
            // Few enough: those of the interfaces. One more than fits is not reachable.
            self.engine.iface.update_ip_addrs(|addresses| {
                let _ = addresses.push(cidr);
            });
        }
    }

    /// Whether the address means all stations.
    pub fn is_broadcast(&self, ip: Ipv4Addr) -> bool {
        self.engine.is_broadcast(ip)
    }

    /// Begins a connection to `remote`, from `local` as far as that is given; when there is an address, if one is being looked for.
    ///
    /// # Errors
    /// When there is no way to the peer, no free port, or no memory.
    pub fn connect(
        &mut self,
        notifier: Arc<Notifier>,
        local: SocketAddrV4,
        remote: SocketAddrV4,
        now_ns: u64,
    ) -> Result<u32> {
        let slot = self
            .engine
            .connect(notifier, local, remote, now_ns / 1000)?;
        self.finish();
        Ok(slot)
    }

    /// Whether the handshake is through.
    pub fn progress(&mut self, slot: u32) -> Progress {
        let Some(connection) = self.engine.connections.get(slot) else {
            return Progress::Failed(Error::NotConnected);
        };
        match (connection.state, connection.error) {
            (State::SynSent | State::SynReceived, _) => Progress::Connecting,
            (_, Some(error)) => Progress::Failed(error),
            _ => Progress::Connected,
        }
    }

    /// Both ends of a connection.
    pub fn tuple(&mut self, slot: u32) -> Option<FourTuple> {
        Some(self.engine.connections.get(slot)?.tuple)
    }

    /// What ended the connection, once.
    pub fn take_error(&mut self, slot: u32) -> Option<Error> {
        self.engine.connections.get(slot)?.error.take()
    }

    /// Takes received bytes; 0 when the peer sends no more. With `is_peek` they stay.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when there is nothing yet, or what broke the connection.
    pub fn receive(
        &mut self,
        slot: u32,
        buf: &mut [u8],
        is_peek: bool,
        now_ns: u64,
    ) -> Result<usize> {
        let connection = self
            .engine
            .connections
            .get(slot)
            .ok_or(Error::NotConnected)?;
        let socket = connection.socket();
        let queued = socket.recv_queue();
        let result = if is_peek {
            socket.peek_slice(buf)
        } else {
            socket.recv_slice(buf)
        };
        match result {
            Ok(0) if !buf.is_empty() => Err(Error::WouldBlock),
            Ok(len) => {
                let capacity = socket.recv_capacity();
                connection.seen_bytes = queued - if is_peek { 0 } else { len };
                // The peer may be waiting for the window to open.
                if !is_peek && queued >= capacity / 2 {
                    self.engine.settle(slot, Cause::Other, now_ns / 1000);
                    self.finish();
                }
                Ok(len)
            }
            Err(tcp::RecvError::Finished) => Ok(0),
            Err(tcp::RecvError::InvalidState) => match connection.state {
                State::SynSent | State::SynReceived => Err(Error::WouldBlock),
                _ => connection.error.take().map_or(Ok(0), Err),
            },
        }
    }

    /// Queues bytes to be sent, as many as fit.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when none fit, or what broke the connection.
    pub fn send(&mut self, slot: u32, data: &[u8], now_ns: u64) -> Result<usize> {
        let connection = self
            .engine
            .connections
            .get(slot)
            .ok_or(Error::NotConnected)?;
        match connection.socket().send_slice(data) {
            Ok(0) if !data.is_empty() => Err(Error::WouldBlock),
            Ok(len) => {
                connection.had_room = connection.socket().can_send();
                self.engine.settle(slot, Cause::Output, now_ns / 1000);
                self.finish();
                Ok(len)
            }
            Err(tcp::SendError::InvalidState) => match connection.state {
                State::SynSent | State::SynReceived => Err(Error::WouldBlock),
                _ => Err(connection.error.take().unwrap_or(Error::BrokenPipe)),
            },
        }
    }

    /// Sends no more, after what is queued.
    pub fn shutdown_write(&mut self, slot: u32, now_ns: u64) {
        if let Some(connection) = self.engine.connections.get(slot) {
            let socket = connection.socket();
            socket.close();
            // The end of the peer's side is acknowledged at once, so that it need not repeat it.
            socket.set_ack_delay(None);
            self.engine.settle(slot, Cause::Output, now_ns / 1000);
            self.finish();
        }
    }

    /// Bytes queued that the peer has not acknowledged.
    pub fn unsent(&mut self, slot: u32) -> usize {
        self.engine
            .connections
            .get(slot)
            .map_or(0, |connection| match connection.state {
                State::Closed => 0,
                _ => connection.socket().send_queue(),
            })
    }

    /// Bytes received that nobody has read.
    pub fn unread(&mut self, slot: u32) -> usize {
        self.engine
            .connections
            .get(slot)
            .map_or(0, |connection| connection.socket().recv_queue())
    }

    /// The program gives the connection up. What is queued is still sent and the connection closed in order; or it is broken off at once,
    /// if `is_abrupt` or if there is something unread, so that the peer does not take it for read.
    pub fn release(&mut self, slot: u32, is_abrupt: bool, now_ns: u64) {
        self.engine.release(slot, is_abrupt, now_ns / 1000);
        self.finish();
    }

    /// What would not block.
    pub fn readiness(&mut self, slot: u32) -> Readiness {
        let Some(connection) = self.engine.connections.get(slot) else {
            return Readiness::HANGUP;
        };
        let (state, has_error) = (connection.state, connection.error.is_some());
        let socket = connection.socket();
        let is_connecting = matches!(state, State::SynSent | State::SynReceived);
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::ERROR, has_error);
        readiness.set(Readiness::HANGUP, state == State::Closed);
        if !is_connecting {
            let is_finished = !socket.may_recv();
            readiness.set(Readiness::READABLE, socket.can_recv() || is_finished);
            // Known as soon as the FIN has come, also while there is data before it: tokio reads what there is and does not ask again.
            let has_fin = matches!(
                state,
                State::CloseWait | State::LastAck | State::Closing | State::TimeWait
            );
            readiness.set(Readiness::PEER_CLOSED, has_fin || is_finished);
            readiness.set(Readiness::WRITABLE, socket.can_send() || !socket.may_send());
        }
        readiness
    }

    /// Changes an option of the connection's socket.
    pub fn configure(&mut self, slot: u32, change: impl FnOnce(&mut tcp::Socket<'static>)) {
        if let Some(connection) = self.engine.connections.get(slot) {
            change(connection.socket());
        }
    }

    /// Sends an echo request with `len` bytes of content; its number, for [`Stack::ping_outcome`].
    ///
    /// # Errors
    /// When it is too long, there is no way to the address, or too many wait to be sent.
    pub fn begin_ping(
        &mut self,
        to: Ipv4Addr,
        len: usize,
        notifier: Arc<Notifier>,
        now_ns: u64,
    ) -> Result<u32> {
        let id = self.engine.begin_ping(to, len, notifier, now_ns)?;
        self.finish();
        Ok(id)
    }

    /// Echo requests, if there were any.
    pub(super) fn pings(&mut self) -> Option<&mut Pings> {
        self.engine.pings.as_mut()
    }

    /// Makes a sender of datagrams from `port`.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn add_sender(&mut self, port: u16) -> Result<u32> {
        self.engine.senders.add(port, self.engine.port.mtu())
    }

    /// Takes a sender away.
    pub fn remove_sender(&mut self, sender: u32) {
        self.engine.senders.remove(sender, &mut self.engine.timers);
    }

    /// Sends a datagram. One that finds the queue full is dropped, as anywhere on its way.
    ///
    /// # Errors
    /// When it is too long, or there is no address to send from.
    pub fn send_datagram(
        &mut self,
        sender: u32,
        source: Option<Ipv4Addr>,
        to: SocketAddrV4,
        payload: &[u8],
        ttl: u8,
        now_ns: u64,
    ) -> Result<()> {
        self.engine
            .send_datagram(sender, source, to, payload, ttl, now_ns / 1000)?;
        self.finish();
        Ok(())
    }

    /// What was counted so far.
    pub fn statistics(&self) -> Statistics {
        let Engine {
            port, connections, ..
        } = &self.engine;
        Statistics {
            sent_frames: port.sent_frames,
            sent_bytes: port.sent_bytes,
            dropped_no_buffer: port.lost_frames,
            connections: connections.len() as u64,
            ..self.engine.counters
        }
    }

    /// Connections in TIME-WAIT, for tests of growth.
    #[cfg(test)]
    pub(super) fn time_wait(&self) -> usize {
        self.engine.time_wait.len()
    }

    /// What is held, for tests of growth: connections, slots, tuples, queued, timers.
    #[cfg(test)]
    pub(super) fn census(&self) -> [usize; 5] {
        let [connections, slots, tuples, queued] = self.engine.connections.census();
        [connections, slots, tuples, queued, self.engine.timers.len()]
    }
}
