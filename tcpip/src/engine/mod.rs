//! The engine of one interface: what it does with frames, calls and timers.
//!
//! [`receive`] sorts frames; [`tcp`] is what it does with segments and connections, [`calls`] what programs do with these; [`udp`] and
//! [`icmp`] are the other protocols, [`send`] the way out. Nothing blocks, and time is always an argument, in microseconds from any start.

mod autoconfiguration;
mod calls;
mod crowding;
mod dhcp;
mod dhcp6;
mod groups;
mod icmp;
mod lanes;
pub(crate) mod offered;
mod receive;
mod send;
mod tcp;
mod udp;

pub use self::calls::Ready;
pub use self::dhcp::Lease;

/// How near an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Somebody passes packets on.
    Router,
    /// It is on this link.
    Link,
}

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::address::{Address, Prefix, Tuple};
use crate::device::{Capabilities, Device, Medium};
use crate::half_open::{HalfOpens, SWEEP_US, words};
use crate::hash::{Random, Secret};
use crate::ip::addresses::{Addresses, Own, Route};
use crate::ip::fragments::Fragments;
use crate::ip::neighbors::Neighbors;
use crate::limits::{Limits, Stats};
use crate::seq::Seq;
use crate::sockets::Sockets;
use crate::steering::{Book, Steering};
use crate::table::Table;
use crate::tcp::buffer::Pool;
use crate::tcp::{Connection, Context, State};
use crate::time_wait::TimeWait;
use crate::timers::{Key, Timers, UNSET};

/// Timers handled in one go.
const TIMER_BATCH: usize = 64;
/// How long after an address came it is told to the neighbours.
const ANNOUNCE_US: u64 = 100_000;

/// The protocols of one interface.
pub struct Engine<D, S: Sockets> {
    /// The way out.
    pub device: D,
    /// What is above.
    pub sockets: S,
    capabilities: Capabilities,
    limits: Limits,
    stats: Stats,
    pool: Pool,
    table: Table<S::Holder>,
    half_open: HalfOpens,
    time_wait: TimeWait,
    timers: Timers,
    neighbors: Neighbors,
    addresses: Addresses,
    last_hop: Option<send::LastHop>,
    /// Frames that wait for the device to have room, their bytes, and since when it has taken none.
    late: VecDeque<Vec<u8>>,
    late_bytes: usize,
    late_since: Option<u64>,
    /// The device has taken none for so long that none wait for it.
    is_stuck: bool,
    fragments: Fragments,
    icmp_budget: icmp::Budget,
    random: Random,
    secret: Secret,
    /// Connections that are begun when there is an address, and whether one is being looked for.
    awaiting: Vec<u32>,
    is_awaiting: bool,
    dhcp: Option<dhcp::Client>,
    offered: offered::Offered,
    autoconfiguration: Option<autoconfiguration::Autoconfiguration>,
    dhcp6: Option<Box<dhcp6::Client>>,
    groups: groups::Groups,
    /// Grows whenever the lease or an address of IPv6 changes.
    address_changes: u32,
    steering: Steering,
    /// What the lane knows of the addresses by others, or has told them last.
    book: Option<Book>,
}

impl<D: Device, S: Sockets> Engine<D, S> {
    /// An engine without an address. The key must be one that nobody can guess.
    pub fn new(
        device: D,
        sockets: S,
        capabilities: Capabilities,
        limits: Limits,
        key: [u64; 2],
    ) -> Self {
        let secret = Secret::new(key);
        let mut random = Random::new(secret);
        Self {
            device,
            sockets,
            capabilities,
            limits,
            stats: Stats::default(),
            pool: Pool::new(limits.buffer_bytes, limits.room_bytes),
            table: Table::new(limits.connections, random.next_u64()),
            half_open: HalfOpens::new(
                limits.half_open,
                random.next_u64(),
                Secret::new([random.next_u64(), random.next_u64()]),
            ),
            time_wait: TimeWait::new(limits.time_wait, random.next_u64()),
            timers: Timers::new(),
            neighbors: Neighbors::new(limits.neighbors, limits.waiting_bytes, random.next_u64()),
            addresses: Addresses::default(),
            last_hop: None,
            late: VecDeque::new(),
            late_bytes: 0,
            late_since: None,
            is_stuck: false,
            fragments: Fragments::new(limits.fragment_bytes),
            icmp_budget: icmp::Budget::default(),
            secret: Secret::new([random.next_u64(), random.next_u64()]),
            random,
            awaiting: Vec::new(),
            is_awaiting: false,
            dhcp: None,
            offered: offered::Offered::default(),
            autoconfiguration: None,
            dhcp6: None,
            groups: groups::Groups::default(),
            address_changes: 0,
            steering: Steering::alone(),
            book: None,
        }
    }

    /// What has happened so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What travels on the device.
    pub fn medium(&self) -> Medium {
        self.capabilities.medium
    }

    /// Bytes of the largest packet.
    pub fn mtu(&self) -> usize {
        self.capabilities.mtu
    }

    /// When [`Engine::run_timers`] is to be called next.
    #[inline]
    pub fn next_timer(&self) -> Option<u64> {
        Some(self.timers.next()).filter(|at| *at != UNSET)
    }

    /// Does what is due, a bounded amount.
    pub fn run_timers(&mut self, now: u64) {
        for _ in 0..TIMER_BATCH {
            let table = &self.table;
            let Some(key) = self.timers.pop(now, |slot| table.timer(slot)) else {
                break;
            };
            match key {
                Key::Connection(slot) => self.run_connection(slot, now),
                Key::HalfOpen => {
                    for (tuple, agreement) in self.half_open.sweep(now) {
                        self.stats.handshakes_repeated += 1;
                        self.send_handshake(&tuple, &agreement, false, now);
                    }
                    if self.half_open.len() != 0 {
                        self.timers.set(Key::HalfOpen, now + SWEEP_US);
                    }
                }
                Key::TimeWait => {
                    if let Some(at) = self.time_wait.expire(now) {
                        self.timers.set(Key::TimeWait, at);
                    }
                }
                Key::Neighbors => self.run_neighbors(now),
                Key::Fragments => {
                    let next = self.fragments.tick(now);
                    self.stats.fragments_lost = self.fragments.lost();
                    if let Some(at) = next {
                        self.timers.set(Key::Fragments, at);
                    }
                }
                Key::Dhcp => self.run_dhcp(now),
                Key::Dhcp6 => self.run_dhcp6(now),
                Key::Autoconfiguration => self.run_autoconfiguration(now),
                Key::Groups => self.run_groups(now),
                Key::Late => self.run_late(now),
                Key::Announcements => self.run_announcements(now),
            }
        }
        self.timers.sweep(|slot| self.table.timer(slot));
        self.share_addresses();
    }

    fn run_connection(&mut self, slot: u32, now: u64) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        entry.timer = UNSET;
        let deadline = entry.connection.deadline();
        if deadline > now && !entry.connection.wants_output() {
            // What it was set for has happened.
            entry.connection.rest_buffers(&mut self.pool);
            let wanted = deadline | tcp::GRAIN_US;
            let key = Key::Connection(slot);
            return self.timers.arrange(key, &mut entry.timer, wanted);
        }
        let mut cx = Context {
            now_us: now,
            pool: &mut self.pool,
            limits: &self.limits,
            stats: &mut self.stats,
        };
        let news = match deadline <= now {
            true => entry.connection.tick(&mut cx),
            false => crate::tcp::News::empty(),
        };
        entry.connection.rest_buffers(&mut self.pool);
        self.settle(slot, news, now);
    }

    /// Gives the interface an address. Neighbours that remember another station by it are told a moment later (RFC 5227, section 2.3, lets
    /// two seconds pass): who wants something before asks, and so tells its own hardware address, which need not be asked for then.
    pub fn add_address(&mut self, ip: IpAddr, prefix_len: u8, now: u64) {
        let prefix = Prefix::new(ip, prefix_len);
        let is_new = !self.addresses.is_own(prefix.address);
        let is_untold = is_new && self.capabilities.medium == Medium::Ethernet;
        self.addresses.add(Own {
            prefix,
            is_tentative: false,
            valid_until: u64::MAX,
            is_automatic: false,
            is_untold,
        });
        if is_untold {
            self.timers.set(Key::Announcements, now + ANNOUNCE_US);
        }
        self.forget_paths();
    }

    fn run_announcements(&mut self, now: u64) {
        let untold = self.addresses.iter_mut().filter(|own| own.is_untold);
        let untold = untold.map(|own| {
            own.is_untold = false;
            own.prefix.address
        });
        for address in Vec::from_iter(untold) {
            self.announce(address, now);
        }
    }

    /// Takes an address away.
    pub fn remove_address(&mut self, ip: IpAddr) {
        let address = Address::from(ip);
        self.addresses.retain(|own| own.prefix.address != address);
        self.forget_paths();
    }

    /// Has packets to other networks go by `gateway`.
    pub fn add_route(&mut self, to: IpAddr, prefix_len: u8, gateway: Option<IpAddr>) {
        let route = Route::new(Prefix::new(to, prefix_len), gateway.map(Address::from));
        self.addresses.add_route(route);
        self.forget_paths();
    }

    /// Takes the ways by other stations away, of one version.
    pub fn remove_routes(&mut self, is_v4: bool) {
        self.addresses
            .retain_routes(|route| route.to.address.is_v4() != is_v4);
        self.forget_paths();
    }

    fn forget_paths(&mut self) {
        self.neighbors.generation = self.neighbors.generation.wrapping_add(1);
    }

    /// Grows whenever the lease changes, an address of IPv6 has come or gone, or none is awaited any more.
    #[inline]
    pub fn address_changes(&self) -> u32 {
        self.address_changes
    }

    /// Whether an address is ours.
    pub fn has_address(&self, ip: IpAddr) -> bool {
        self.addresses.is_own(ip.into())
    }

    /// The addresses that may be used, and the lengths of their prefixes.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        self.addresses
            .iter()
            .filter(|own| !own.is_tentative)
            .map(|own| (own.prefix.address.into(), own.prefix.len))
    }

    /// The ways to networks besides those of the addresses: the network, the length of its prefix, and who passes packets on.
    pub fn routes(&self) -> impl Iterator<Item = (IpAddr, u8, Option<IpAddr>)> {
        self.addresses.routes().map(|route| {
            let gateway = route.gateway.map(IpAddr::from);
            (route.to.address.into(), route.to.len, gateway)
        })
    }

    /// The stations of the link whose hardware addresses are known, or asked for.
    pub fn neighbors(&self) -> impl Iterator<Item = (IpAddr, Option<[u8; 6]>)> {
        let all = self.neighbors.iter();
        all.map(|(address, mac)| (address.into(), mac))
    }

    /// The next station on the way to an address: itself, or who passes packets on.
    pub fn next_hop(&self, to: IpAddr) -> Option<IpAddr> {
        self.addresses.next_hop(to.into()).map(IpAddr::from)
    }

    /// How near an address is, if there is a way to it and an address of ours to speak from.
    pub fn reach(&self, to: IpAddr) -> Option<Reach> {
        let to = Address::from(to);
        self.speaker_for(to)?;
        Some(match self.addresses.next_hop(to)? {
            next if next == to => Reach::Link,
            _ => Reach::Router,
        })
    }

    /// The address of ours from which packets to another go.
    pub fn source_for(&self, to: IpAddr) -> Option<IpAddr> {
        self.speaker_for(to.into()).map(IpAddr::from)
    }

    /// The same. As long as a router may yet give an address that is good for more than this link, that of the link is not used for more.
    fn speaker_for(&self, to: Address) -> Option<Address> {
        let source = self.addresses.source_for(to)?;
        let is_narrow = source.is_link_local() && !to.is_link_local() && !to.is_link_group();
        let is_too_early = is_narrow && !to.is_v4() && self.is_configuring_ipv6();
        (!is_too_early).then_some(source)
    }

    /// Whether an address means all stations.
    pub fn is_broadcast(&self, ip: IpAddr) -> bool {
        self.addresses.is_broadcast(ip.into())
    }

    /// Whether an address is looked for, for which connections wait; when none is any more, those that wait fail.
    pub fn set_awaiting(&mut self, is_awaiting: bool) {
        self.is_awaiting = is_awaiting;
    }

    /// The first number of a connection between two ends (RFC 6528), and what is added to its times (RFC 7323, section 5.4).
    fn first_numbers(&self, tuple: &Tuple, now: u64) -> (Seq, u32) {
        // IPv4 fits into fewer words; how many there are goes into the hash.
        let [local, _, remote, _, ports] = words(tuple);
        let hash = match tuple.local.is_v4() {
            true => self
                .secret
                .hash(&[local << 32 | remote & 0xFFFF_FFFF, ports]),
            false => self.secret.hash(&words(tuple)),
        };
        let clock = (now >> 2) as u32;
        (Seq(clock.wrapping_add(hash as u32)), (hash >> 32) as u32)
    }

    /// Room for a segment's payload in a packet of this version, and in one that the device takes apart.
    fn payload_room(&self, is_v4: bool) -> (u16, u32) {
        let headers = crate::wire::ip::header_len(is_v4) + crate::wire::tcp::HEADER;
        let mss = self
            .capabilities
            .mtu
            .saturating_sub(headers)
            .clamp(48, 0xFFFF);
        let large = self.capabilities.largest_send.saturating_sub(headers + 40);
        (mss as u16, large as u32)
    }

    /// What is held, for tests of growth: connections, slots, ends, connections nobody holds, timers, handshakes, bytes of buffers.
    pub fn census(&self) -> [usize; 7] {
        let [connections, slots, tuples] = self.table.census();
        [
            connections,
            slots,
            tuples,
            self.table.orphans(),
            self.timers.len(),
            self.half_open.len(),
            self.pool.used(),
        ]
    }

    /// The ends and the states of all connections: those of [`Engine::connect`] and those that were accepted, handshakes that peers began,
    /// and what is in TIME-WAIT.
    pub fn connections(&self) -> impl Iterator<Item = (Tuple, State)> {
        let waiting = |tuple: &Tuple| (*tuple, State::TimeWait);
        let begun = |tuple: &Tuple| (*tuple, State::SynReceived);
        self.table
            .iter()
            .map(|entry| (entry.tuple, entry.connection.state()))
            .filter(|(_, state)| *state != State::Closed)
            .chain(self.half_open.tuples().map(begun))
            .chain(self.time_wait.tuples().map(waiting))
    }

    /// Connections in TIME-WAIT.
    pub fn time_wait(&self) -> usize {
        self.time_wait.len()
    }

    fn state_of(&self, slot: u32) -> State {
        self.table
            .get(slot)
            .map_or(State::Closed, |entry| entry.connection.state())
    }

    fn new_connection(now: u64) -> Connection {
        Connection::new(now)
    }
}
