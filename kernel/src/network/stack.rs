//! The protocol stack of one interface, as sockets and the scheduler see it: the engine of the crate `tcpip`, with the device below it
//! and the ports of this machine above.
//!
//! Nothing in here blocks, and time is always an argument, so tests run it on the host.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::sync::atomic::Ordering;

use tcpip::{
    Capabilities, Engine, Info, Limits, Manner, Prefix, Reach, Ready, Settings, State, Steering,
    UrgentByte,
};

use super::above::Above;
use super::config::Address;
use super::error::{Error, Result};
use super::lanes::{Inbox, MAX_PARCELS, Mail};
use super::ports::{FourTuple, Ports};
use super::socket::mailbox::Mailbox;
use super::statistics::Statistics;
use crate::arch::x86_64::core_local::{self, CoreLocal};
use crate::arch::{clock, interrupts};
use crate::devices::network::{Device, Medium, NetworkDevice, Offload, Receiver, Transmitter};
use crate::scheduler::{Notifier, Readiness};

/// Frames handled in one go before another core may take the lock.
const BATCH: usize = 8;
/// As often so many within a call whose frames come back.
const LOOPED_BATCHES: usize = 4;
/// As many batches hold what can wait in an inbox.
const MAX_ROUNDS: usize = MAX_PARCELS / BATCH;
/// How long a DHCP server may be silent before that is worth a word.
const SILENCE_US: u64 = 6_000_000;

/// The way out, as the engine sees it.
pub(super) struct Below(Box<dyn Transmitter>);

impl Device for Below {
    #[inline]
    fn as_dyn(&mut self) -> &mut dyn Device {
        &mut *self.0
    }

    #[inline]
    fn has_room(&mut self) -> bool {
        self.0.has_room()
    }

    #[inline]
    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        self.0.buffer(len_bytes)
    }

    #[inline]
    fn large_room(&mut self) -> usize {
        self.0.large_room()
    }

    #[inline]
    fn send(&mut self, len_bytes: usize, offload: Offload) {
        self.0.send(len_bytes, offload);
    }

    #[inline]
    fn flush(&mut self) {
        self.0.flush();
    }
}

/// An interface's stack.
pub struct Stack {
    receiver: Box<dyn Receiver>,
    pub(super) engine: Engine<Below, Above>,
    limits: Limits,
    /// The core that serves the stack, and what it knows.
    home: Option<Home>,
    address: Option<Address>,
    /// Counts changes of addresses, by the engine or by calls.
    address_changes: u32,
    /// What the engine had counted when it was looked at.
    seen_changes: u32,
    /// What was lent last.
    leased: Option<Address>,
    /// The lease is another than before.
    is_lease_new: bool,
    /// Addresses of IPv6 that the log knows.
    told: Vec<IpAddr>,
    /// Who knows names, by the command line.
    dns_v6: Vec<Ipv6Addr>,
    /// Since when a DHCP server has been looked for in vain, if nobody was told so yet.
    searching_since: Option<u64>,
    /// When the last search for an address of IPv4 began.
    search_began_us: u64,
    /// Sockets whose datagrams were not taken as the device had no room.
    senders: Vec<Arc<Mailbox>>,
}

/// The core that serves a stack. Calls may come from other cores, and bring work that it has to be told of.
struct Home {
    core: &'static CoreLocal,
    /// The time that it was told to look next, in microseconds; `u64::MAX`: none.
    announced_us: u64,
    /// It was interrupted and has not looked yet.
    is_called: bool,
}

/// What has changed of an interface's addresses.
pub(super) struct Changes {
    /// The DHCP client has found or lost one.
    pub(super) is_lease: bool,
    /// Addresses that routers gave.
    pub(super) new: Vec<IpAddr>,
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
        let capabilities = Capabilities {
            medium: match device.medium {
                Medium::Ethernet => tcpip::Medium::Ethernet,
                Medium::Ip => tcpip::Medium::Ip,
            },
            mac: device.mac,
            mtu: device.mtu,
            fills_checksums: device.has_checksum_offload,
            largest_send: device.transmitter.largest_send(),
        };
        let key = [ports.random_u64(), ports.random_u64()];
        let above = Above::new(index, ports);
        Self {
            receiver: device.receiver,
            engine: Engine::new(Below(device.transmitter), above, capabilities, limits, key),
            limits,
            home: None,
            address: None,
            address_changes: 0,
            seen_changes: 0,
            leased: None,
            is_lease_new: false,
            told: Vec::new(),
            dns_v6: Vec::new(),
            searching_since: None,
            search_began_us: 0,
            senders: Vec::new(),
        }
    }

    /// Handles frames that have come and timers that are due, a bounded number; whether there may be more.
    // What the loopback does within calls is no reason for a call here.
    #[inline(always)]
    pub fn serve(&mut self, now_ns: u64) -> bool {
        let now_us = now_ns / 1000;
        if let Some(home) = &mut self.home {
            home.is_called = false;
        }
        if let Some(pings) = &mut self.engine.sockets.pings {
            pings.now_ns = now_ns;
        }
        let has_more_parcels = self.engine.sockets.mail.is_some() && self.take_parcels(now_us);
        // All that sends tells the device itself, but for frames and timers, of which there may be many.
        let engine = &mut self.engine;
        let sent = engine.stats().frames_out;
        // What waits in the ring is not lost; its answers might be, if there is no room for them. The loopback has room when frames are taken.
        let is_held_back = engine.is_congested() && engine.medium() != tcpip::Medium::Ip;
        let most = if is_held_back { 0 } else { BATCH };
        let frames = self.receiver.serve(most, &mut |frame, is_verified| {
            engine.receive(frame, is_verified, now_us);
        });
        if self.engine.next_timer().is_some_and(|at| at <= now_us) {
            self.engine.run_timers(now_us);
        }
        if self.engine.stats().frames_out != sent {
            self.engine.device.flush();
        }
        if !self.senders.is_empty() && !self.engine.is_congested() {
            self.call_senders();
        }
        if self.engine.address_changes() != self.seen_changes || self.searching_since.is_some() {
            self.look_at_addresses(now_us);
        }
        frames == BATCH || has_more_parcels
    }

    /// Takes what other lanes have handed over, a bounded number of parcels; whether there may be more.
    #[inline(never)]
    fn take_parcels(&mut self, now_us: u64) -> bool {
        let mut room = BATCH;
        while room != 0
            && let Some(inbox) = self.engine.sockets.mail.as_ref().and_then(Mail::own)
            && inbox.has_any()
            && let Some(parcel) = inbox.pop()
        {
            self.engine.take(parcel, now_us);
            room -= 1;
        }
        // Their answers wait for nothing else that is sent.
        self.engine.device.flush();
        room == 0
    }

    /// The stack is one of several lanes of an interface from now on.
    pub(super) fn join_lanes(&mut self, mail: Mail, steering: Steering, lane: usize) {
        self.engine.sockets.mail = Some(mail);
        self.engine.sockets.lane = lane;
        self.engine.set_steering(steering);
    }

    /// Takes note of what the DHCP client and routers have given or taken.
    #[inline(never)]
    fn look_at_addresses(&mut self, now_us: u64) {
        let changes = self.engine.address_changes();
        if changes != self.seen_changes {
            self.seen_changes = changes;
            self.address_changes = self.address_changes.wrapping_add(1);
            let lease = self.engine.lease().map(|lease| Address {
                ip: lease.address,
                prefix: lease.prefix_len,
                gateway: lease.gateway,
                dns: lease.dns.clone(),
            });
            if lease != self.leased {
                self.is_lease_new = true;
                self.leased.clone_from(&lease);
                if lease.is_none() {
                    self.search_began_us = now_us;
                }
                self.keep_address(lease);
            }
            if self.address.is_some() {
                self.searching_since = None;
            }
        }
        if let Some(since) = self.searching_since
            && now_us.saturating_sub(since) >= SILENCE_US
        {
            self.searching_since = None;
            log::warn!(
                "network: no DHCP server answers; there is no address yet (net=ADDRESS/PREFIX gives one)"
            );
        }
    }

    /// When [`Stack::serve`] must run even if no frame comes; asked by the core that serves the stack, before it waits for interrupts.
    pub fn next_deadline_ns(&mut self) -> Option<u64> {
        let next = self.engine.next_timer();
        if let Some(home) = &mut self.home {
            home.announced_us = next.unwrap_or(u64::MAX);
        }
        if self.receiver.listen() {
            return Some(0);
        }
        let inbox = self.engine.sockets.mail.as_ref().and_then(Mail::own);
        if inbox.is_some_and(Inbox::has_any) {
            return Some(0);
        }
        next.map(|at| at.saturating_mul(1000))
    }

    /// The calling core serves the stack from now on.
    pub fn set_home(&mut self) {
        self.set_home_at(core_local::current());
    }

    /// A core serves the stack from now on.
    pub(super) fn set_home_at(&mut self, core: &'static CoreLocal) {
        self.home = Some(Home {
            core,
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
            Some(_) => self.move_inbox(core),
            // Without interrupts, the core has to look by itself.
            None => {
                interrupts::wake(core);
                self.move_inbox(core)
            }
        }
    }

    fn move_inbox(&self, core: &CoreLocal) -> bool {
        if let Some(inbox) = self.engine.sockets.mail.as_ref().and_then(Mail::own) {
            inbox.set_core(core.index());
        }
        true
    }

    /// Ends a call: the core that serves the stack learns of an earlier time or of frames that only it takes.
    #[inline]
    pub(super) fn finish(&mut self) {
        let is_loopback = self.engine.medium() == tcpip::Medium::Ip;
        if is_loopback && self.receiver.is_ready() {
            self.loop_back();
        }
        let Some(home) = &mut self.home else {
            return;
        };
        // The core itself asks for the time before it halts.
        if core::ptr::eq(home.core, core_local::current()) {
            return;
        }
        let next = self.engine.next_timer().unwrap_or(u64::MAX);
        let is_looped = is_loopback && self.receiver.is_ready();
        if (next < home.announced_us || is_looped) && !home.is_called {
            home.is_called = true;
            interrupts::wake(home.core);
        }
    }

    /// What the machine sends itself has arrived when the call returns, as on Linux; a bounded part of much.
    #[inline(never)]
    fn loop_back(&mut self) {
        for _ in 0..LOOPED_BATCHES {
            self.serve(clock::now_ns());
            if !self.receiver.is_ready() {
                break;
            }
        }
    }

    /// Starts looking for an address.
    pub fn start_dhcp(&mut self, now_ns: u64) {
        if self.engine.is_looking_for_address() {
            return;
        }
        self.searching_since = Some(now_ns / 1000);
        self.search_began_us = now_ns / 1000;
        self.engine.start_dhcp(now_ns / 1000);
        self.engine.share_addresses();
        self.finish();
    }

    /// Asks for an address no more.
    pub fn stop_dhcp(&mut self) {
        self.searching_since = None;
        self.engine.stop_dhcp();
        self.engine.share_addresses();
    }

    /// What has changed since this was asked last.
    pub(super) fn take_changes(&mut self) -> Changes {
        let now: Vec<IpAddr> = self
            .engine
            .addresses()
            .map(|(ip, _)| ip)
            .filter(|ip| matches!(ip, IpAddr::V6(ip) if !ip.is_unicast_link_local()))
            .collect();
        let before = core::mem::replace(&mut self.told, now.clone());
        Changes {
            is_lease: core::mem::take(&mut self.is_lease_new),
            new: now.into_iter().filter(|ip| !before.contains(ip)).collect(),
        }
    }

    /// Whether a server has lent an address by DHCPv6.
    pub(super) fn is_by_dhcp6(&self, ip: IpAddr) -> bool {
        self.engine.address_by_dhcp6() == Some(ip)
    }

    fn keep_address(&mut self, address: Option<Address>) {
        let prefix = address
            .as_ref()
            .map(|address| Prefix::new(address.ip, address.prefix));
        let broadcast = prefix.and_then(Prefix::broadcast).map(IpAddr::from);
        self.engine.sockets.broadcast = match broadcast {
            Some(IpAddr::V4(ip)) => Some(ip),
            _ => None,
        };
        self.address = address;
    }

    /// Starts IPv6: an address for this link, and what routers say.
    pub fn start_ipv6(&mut self, now_ns: u64) {
        self.engine.start_ipv6(now_ns / 1000);
        self.engine.share_addresses();
        self.finish();
    }

    /// Takes an address of IPv6 besides those that there are.
    pub fn add_address_v6(&mut self, address: &Address<Ipv6Addr>, now_ns: u64) {
        let ip = IpAddr::V6(address.ip);
        self.engine.add_address(ip, address.prefix, now_ns / 1000);
        if let Some(gateway) = address.gateway {
            let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            self.engine.add_route(any, 0, Some(IpAddr::V6(gateway)));
        }
        self.engine.share_addresses();
        self.told.push(ip);
        self.dns_v6.clone_from(&address.dns);
        self.address_changes = self.address_changes.wrapping_add(1);
    }

    /// All addresses, and how many of their bits name the network.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        self.engine.addresses()
    }

    /// The ways to networks besides those of the addresses: the network, the length of its prefix, and who passes packets on.
    pub fn routes(&self) -> impl Iterator<Item = (IpAddr, u8, Option<IpAddr>)> {
        self.engine.routes()
    }

    /// The stations of the link whose hardware addresses are known, or asked for.
    pub fn neighbors(&self) -> impl Iterator<Item = (IpAddr, Option<[u8; 6]>)> {
        self.engine.neighbors()
    }

    /// The next station on the way to an address: itself, or who passes packets on.
    pub fn next_hop(&self, to: IpAddr) -> Option<IpAddr> {
        self.engine.next_hop(to)
    }

    /// Whether an address is one of the interface's.
    pub fn has_address(&self, ip: IpAddr) -> bool {
        self.engine.has_address(ip)
    }

    /// Who knows names, as far as is known here.
    pub fn dns_servers(&self) -> impl Iterator<Item = IpAddr> {
        let of_v4 = self.address.iter().flat_map(|address| &address.dns);
        let of_v6 = self.dns_v6.iter().copied().map(IpAddr::V6);
        of_v4
            .copied()
            .map(IpAddr::V4)
            .chain(of_v6)
            .chain(self.engine.router_dns())
    }

    /// Domains in which short names are looked for, as servers and routers tell them.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        let of_lease = self.engine.lease().into_iter();
        let of_lease = of_lease.flat_map(|lease| lease.domains.iter().map(String::as_str));
        of_lease.chain(self.engine.router_domains())
    }

    /// How near an address is, if it can be reached at all.
    pub fn reach(&self, ip: IpAddr) -> Option<Reach> {
        self.engine.reach(ip)
    }

    /// Whether a way to an address, if there is none, may yet be found.
    pub fn may_find_way(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(_) => self.address.is_none(),
            IpAddr::V6(_) => self.engine.reach(ip).is_none() && self.engine.is_configuring_ipv6(),
        }
    }

    /// Since when an address has been looked for, or one was when there was none. A search for addresses of IPv6 has an end of its own.
    pub fn search_began_ns(&self, now_ns: u64) -> u64 {
        match self.engine.is_configuring_ipv6() {
            true => now_ns,
            false => self.search_began_us * 1000,
        }
    }

    /// The address from which packets go to another.
    pub fn source_for(&self, ip: IpAddr) -> Option<IpAddr> {
        self.engine.reach(ip)?;
        self.engine.source_for(ip)
    }

    /// Hears a group from now on, until it is left as often.
    ///
    /// # Errors
    /// When it is no group, or there are too many.
    pub fn join_group(&mut self, group: IpAddr, now_ns: u64) -> Result<()> {
        self.engine.join_group(group, now_ns / 1000)?;
        self.finish();
        Ok(())
    }

    /// Takes a joining back.
    pub fn leave_group(&mut self, group: IpAddr, now_ns: u64) {
        // Who calls this has joined it.
        let _ = self.engine.leave_group(group, now_ns / 1000);
        self.finish();
    }

    /// Takes an address of IPv4, or gives it up.
    pub fn set_address(&mut self, address: Option<Address>, now_ns: u64) {
        if let Some(old) = &self.address {
            self.engine.remove_address(IpAddr::V4(old.ip));
        }
        self.engine.remove_routes(true);
        if let Some(address) = &address {
            let ip = IpAddr::V4(address.ip);
            self.engine.add_address(ip, address.prefix, now_ns / 1000);
            if let Some(gateway) = address.gateway {
                let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                self.engine.add_route(any, 0, Some(IpAddr::V4(gateway)));
            }
            self.engine.begin_awaiting(now_ns / 1000);
        }
        self.engine.share_addresses();
        self.keep_address(address);
        self.address_changes = self.address_changes.wrapping_add(1);
    }

    /// The address of IPv4, when there is one.
    pub fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// Grows whenever the address changes.
    pub fn address_changes(&self) -> u32 {
        self.address_changes
    }

    /// Lets the interface have one more address, for itself alone.
    pub fn add_host_address(&mut self, ip: IpAddr) {
        if !self.engine.has_address(ip) {
            let bits = if ip.is_ipv4() { 32 } else { 128 };
            self.engine.add_address(ip, bits, 0);
        }
    }

    /// Whether the address means all stations.
    pub fn is_broadcast(&self, ip: IpAddr) -> bool {
        self.engine.is_broadcast(ip)
    }

    /// Begins a connection to `remote`, from `local` as far as that is given; when there is an address, if one is being looked for.
    ///
    /// # Errors
    /// When there is no way to the peer, no free port, or no memory.
    pub fn connect(
        &mut self,
        notifier: Arc<Notifier>,
        local: SocketAddr,
        remote: SocketAddr,
        settings: Settings,
        now_ns: u64,
    ) -> Result<u32> {
        let now_us = now_ns / 1000;
        // The addresses may be among what the core of this lane has not looked at yet.
        let mut rounds = 0..MAX_ROUNDS;
        while rounds.next().is_some()
            && self.engine.sockets.mail.is_some()
            && self.take_parcels(now_us)
        {}
        let slot = self
            .engine
            .connect(notifier, local, remote, settings, now_us)?;
        self.finish();
        Ok(slot)
    }

    /// Whether the handshake is through.
    pub fn progress(&mut self, slot: u32) -> Progress {
        match (self.engine.state(slot), self.engine.error(slot)) {
            (state, _) if state.is_connecting() => Progress::Connecting,
            (_, Some(error)) => Progress::Failed(error.into()),
            (State::Closed, None) if !self.engine.was_made(slot) => {
                Progress::Failed(Error::NotConnected)
            }
            _ => Progress::Connected,
        }
    }

    /// Whether the handshake was ever through.
    pub fn was_made(&self, slot: u32) -> bool {
        self.engine.was_made(slot)
    }

    /// Both ends of a connection.
    pub fn tuple(&mut self, slot: u32) -> Option<FourTuple> {
        let tuple = self.engine.tuple(slot)?;
        Some(FourTuple::from_tuple(&tuple, self.engine.sockets.index))
    }

    /// What ended the connection, once.
    pub fn take_error(&mut self, slot: u32) -> Option<Error> {
        self.engine.take_error(slot).map(Error::from)
    }

    /// Takes received bytes; 0 when the peer sends no more. With `is_peek` they stay.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when there is nothing yet, or what broke the connection.
    #[inline]
    pub fn receive(
        &mut self,
        slot: u32,
        buf: &mut [u8],
        is_peek: bool,
        now_ns: u64,
    ) -> Result<usize> {
        let len = self.engine.read(slot, buf, is_peek, now_ns / 1000)?;
        self.finish();
        Ok(len)
    }

    /// Queues bytes to be sent, as many as fit.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when none fit, or what broke the connection.
    #[inline]
    pub fn send(&mut self, slot: u32, data: &[u8], now_ns: u64) -> Result<usize> {
        let len = self.engine.write(slot, data, now_ns / 1000)?;
        self.finish();
        Ok(len)
    }

    /// As [`Stack::send`], and marks the last byte as urgent.
    ///
    /// # Errors
    /// See there.
    pub fn send_urgent(&mut self, slot: u32, data: &[u8], now_ns: u64) -> Result<usize> {
        let len = self.engine.write_urgent(slot, data, now_ns / 1000)?;
        self.finish();
        Ok(len)
    }

    /// Queues all of these bytes, behind others if there is no room; those of `kept`, the same bytes, where they are, which is for ever. How many
    /// wait behind the others then.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when as many as `most` wait so already, or what broke the connection: none are queued.
    #[inline(always)]
    pub fn send_all(
        &mut self,
        slot: u32,
        data: &[u8],
        kept: Option<&'static [u8]>,
        most: usize,
        now_ns: u64,
    ) -> Result<usize> {
        let engine = &mut self.engine;
        let waiting = engine.write_all(slot, data, kept, most, now_ns / 1000)?;
        self.finish();
        Ok(waiting)
    }

    /// Has what waits behind others take the room that there is. How many bytes wait then.
    ///
    /// # Errors
    /// What broke the connection: none of them is sent any more.
    pub fn move_up(&mut self, slot: u32, now_ns: u64) -> Result<usize> {
        let waiting = self.engine.move_up(slot, now_ns / 1000);
        self.finish();
        if self.engine.state(slot) == State::Closed {
            return Err(self.take_error(slot).unwrap_or(Error::BrokenPipe));
        }
        Ok(waiting)
    }

    /// The urgent byte of what comes; with `is_peek` it stays.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is none, or it is read in line; [`Error::WouldBlock`] when it has not come yet.
    pub fn receive_urgent(&mut self, slot: u32, is_peek: bool) -> Result<Option<u8>> {
        match self.engine.urgent_byte(slot, is_peek) {
            None | Some(UrgentByte::Taken) => Err(Error::Invalid),
            Some(UrgentByte::Here(byte)) => Ok(Some(byte)),
            Some(UrgentByte::Awaited) if self.engine.may_receive(slot) => Err(Error::WouldBlock),
            Some(UrgentByte::Awaited) => Ok(None),
        }
    }

    /// Whether the byte to be read next is the urgent one.
    pub fn is_at_mark(&self, slot: u32) -> bool {
        self.engine.is_at_mark(slot)
    }

    /// How a connection is doing.
    pub fn info(&self, slot: u32, now_ns: u64) -> Option<Info> {
        self.engine.info(slot, now_ns / 1000)
    }

    /// Bytes of the largest packet.
    pub fn mtu(&self) -> usize {
        self.engine.mtu()
    }

    /// The core that serves the stack, if it has one.
    pub fn home_core(&self) -> Option<usize> {
        self.home.as_ref().map(|home| home.core.index())
    }

    /// Sends no more, after what is queued.
    pub fn shutdown_write(&mut self, slot: u32, now_ns: u64) {
        self.engine.shutdown(slot, now_ns / 1000);
        self.finish();
    }

    /// Closes all connections in order, since the program ends.
    pub(super) fn close_all(&mut self, now_ns: u64) {
        self.engine.close_all(now_ns / 1000);
        self.finish();
    }

    /// Gives lent addresses back, since the machine ends.
    pub(super) fn give_addresses_back(&mut self, now_ns: u64) {
        self.engine.give_addresses_back(now_ns / 1000);
        self.finish();
    }

    /// What peers and the device are still to take ([`tcpip::Engine::unsettled`]).
    pub(super) fn unsettled(&mut self) -> usize {
        self.engine.unsettled() + usize::from(!self.engine.device.0.has_sent_all())
    }

    /// Bytes queued that the peer has not acknowledged.
    pub fn unsent(&mut self, slot: u32) -> usize {
        self.engine.unacknowledged(slot)
    }

    /// Bytes received that nobody has read.
    pub fn unread(&mut self, slot: u32) -> usize {
        self.engine.unread(slot)
    }

    /// Whether so many bytes can be read, or all that there will ever be, or as many as there is room for.
    pub fn has_as_much(&self, slot: u32, bytes: usize) -> bool {
        self.engine.unread(slot) >= bytes.min(self.limits.receive_bytes / 2)
            || !self.engine.may_receive(slot)
    }

    /// The program gives the connection up. What is queued is still sent and the connection closed in order; or it is broken off at once,
    /// if `is_abrupt` or if there is something unread, so that the peer does not take it for read.
    pub fn release(&mut self, slot: u32, is_abrupt: bool, now_ns: u64) {
        self.engine.release(slot, is_abrupt, now_ns / 1000);
        self.finish();
    }

    /// Whether [`Stack::receive`] would not block.
    #[inline]
    pub fn is_readable(&self, slot: u32) -> bool {
        self.engine.is_readable(slot)
    }

    /// What would not block.
    pub fn readiness(&mut self, slot: u32) -> Readiness {
        // Both have the values of `poll`.
        const {
            assert!(Ready::READABLE.bits() == Readiness::READABLE.bits());
            assert!(Ready::URGENT.bits() == Readiness::PRIORITY.bits());
            assert!(Ready::WRITABLE.bits() == Readiness::WRITABLE.bits());
            assert!(Ready::ERROR.bits() == Readiness::ERROR.bits());
            assert!(Ready::CLOSED.bits() == Readiness::HANGUP.bits());
            assert!(Ready::PEER_CLOSED.bits() == Readiness::PEER_CLOSED.bits());
        }
        Readiness::from_bits_retain(self.engine.ready(slot).bits())
    }

    /// Changes the settings of a connection.
    pub fn configure(&mut self, slot: u32, settings: Settings, now_ns: u64) {
        self.engine.configure(slot, settings, now_ns / 1000);
        self.finish();
    }

    /// Sends a datagram from a port of ours. One that finds no room is dropped, as anywhere on its way.
    ///
    /// # Errors
    /// When it is too long, or there is no address to send from.
    pub fn send_datagram(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        manner: Manner,
        now_ns: u64,
    ) -> Result<()> {
        self.engine
            .send_datagram(from, to, payload, manner, now_ns / 1000)?;
        self.finish();
        Ok(())
    }

    /// Whether frames wait for the device: then it sends others later, and the socket of `mailbox` is told when it does.
    pub fn call_when_room(&mut self, mailbox: &Arc<Mailbox>) -> bool {
        if !self.engine.is_congested() {
            return false;
        }
        if !mailbox.waits_for_room.swap(true, Ordering::Relaxed) {
            self.senders.push(mailbox.clone());
        }
        true
    }

    #[cold]
    fn call_senders(&mut self) {
        for mailbox in core::mem::take(&mut self.senders) {
            mailbox.waits_for_room.store(false, Ordering::Relaxed);
            mailbox.notifier.notify();
        }
    }

    /// Sends a message of ICMP from an address of ours, or from any if it is none in particular. Its checksum is made if it `is_open`.
    ///
    /// # Errors
    /// When it is too long, or there is no address to send from.
    pub fn send_message(
        &mut self,
        from: IpAddr,
        to: IpAddr,
        message: (&[u8], bool),
        manner: Manner,
        now_ns: u64,
    ) -> Result<()> {
        self.engine
            .send_message(from, to, message, manner, now_ns / 1000)?;
        self.finish();
        Ok(())
    }

    /// The ends and the states of all connections, whoever holds them.
    pub fn connections(&self) -> impl Iterator<Item = (FourTuple, State)> {
        let index = self.engine.sockets.index;
        let all = self.engine.connections();
        all.map(move |(tuple, state)| (FourTuple::from_tuple(&tuple, index), state))
    }

    /// What the engine has counted so far.
    pub fn counted(&self) -> tcpip::Stats {
        *self.engine.stats()
    }

    /// What was counted so far.
    pub fn statistics(&self) -> Statistics {
        let stats = self.engine.stats();
        let inbox = self.engine.sockets.mail.as_ref().and_then(Mail::own);
        let parcels = inbox.map_or(0, Inbox::dropped);
        Statistics {
            received_frames: stats.frames_in,
            received_bytes: stats.bytes_in,
            sent_frames: stats.frames_out,
            sent_bytes: stats.bytes_out,
            dropped_unusable: stats.damaged + stats.not_for_us + stats.wrong_address,
            dropped_no_buffer: stats.device_full,
            refused: stats.requests_refused,
            dropped_backlog: stats.requests_ignored,
            dropped_no_room: stats.requests_without_room,
            dropped_no_port: stats.no_port,
            connections: self.engine.census()[0] as u64,
            dropped_inbox: self.engine.sockets.inbox_full + parcels,
            dropped_fragments: stats.fragments_lost,
            dropped_no_neighbor: stats.neighbor_lost,
            dropped_no_memory: stats.no_memory,
            dropped_segments: stats.unacceptable + stats.cookies_wrong,
            unsaid: stats.icmp_limited + stats.challenges_limited,
            retransmitted: stats.retransmitted + stats.handshakes_repeated,
            waited_for_buffer: stats.device_waits,
            gave_way: stats.gave_way,
        }
    }

    /// Connections in TIME-WAIT, for tests of growth.
    #[cfg(test)]
    pub(super) fn time_wait(&self) -> usize {
        self.engine.time_wait()
    }

    /// What is held, for tests of growth: connections and handshakes, slots, ends, connections nobody holds, timers.
    #[cfg(test)]
    pub(super) fn census(&self) -> [usize; 5] {
        let [connections, slots, tuples, orphans, timers, half_open, _] = self.engine.census();
        [connections + half_open, slots, tuples, orphans, timers]
    }
}
