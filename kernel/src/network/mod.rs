//! Interfaces, protocol stacks, sockets.
//!
//! The way of a packet: a driver's ring lends a frame to the [`stack`] of its [`interface`], where the engine of the crate `tcpip` finds
//! its connection and does the protocol; whoever waits for it in [`socket`] is notified ([`above`]). On the way back, a socket call hands bytes to the stack, which writes the frame into the driver's buffer at once.
//!
//! All of it starts with the first socket a program makes ([`network`]); a program that makes none links none of it.

mod above;
pub mod binding;
pub mod config;
pub mod dedicate;
pub mod dns;
mod error;
mod farewell;
pub mod interface;
mod lanes;
mod loopback;
mod messages;
pub mod ping;
pub mod ports;
mod random;
pub mod service;
pub mod socket;
pub mod stack;
pub mod statistics;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tcpip::Limits;

pub use self::config::Config;
pub use self::error::{Error, Result};
pub use self::ports::FourTuple;

use self::config::Address;
use self::interface::Interface;
use self::ports::Ports;
use self::stack::Stack;
use crate::arch::clock;
use crate::command_line::{Value, VirtioMmioDevice};
use crate::devices;
use crate::memory::frames;
use crate::scheduler::{Notifier, Turn};
use crate::sync::{OnceCell, SpinLock};

/// The index of the loopback interface.
pub const LOOPBACK: usize = 0;

/// How long programs' calls wait for the machine to get an address, from when one is looked for, and how long a connection that is being made does.
const ADDRESS_PATIENCE_NS: u64 = 10_000_000_000;

/// The interfaces and ports of this machine.
pub struct Network {
    /// Who has which port.
    pub ports: Arc<Ports>,
    /// What an interface may hold.
    pub limits: Limits,
    /// The first is the loopback, the others have devices.
    interfaces: Vec<&'static Interface>,
}

static NETWORK: OnceCell<&'static Network> = OnceCell::new();
/// Drivers may wait while they start.
static STARTING: Turn = Turn::new();

/// What the network needs to know to start.
pub struct Setup<'a> {
    /// The value of `net=`.
    pub net: Value,
    /// The value of `net6=`.
    pub net6: Value,
    /// Virtio devices on the memory bus.
    pub virtio_mmio: &'a [VirtioMmioDevice],
    /// A number nobody can guess.
    pub seed: u64,
    /// Memory of the machine, which says how large buffers are.
    pub memory_bytes: u64,
}

/// The network, started with `setup` if this is the first call. Without a device it is the loopback alone.
pub fn network<'a>(setup: impl FnOnce() -> Setup<'a>) -> &'static Network {
    if let Some(network) = NETWORK.get() {
        return network;
    }
    let _turn = STARTING.take();
    if let Some(network) = NETWORK.get() {
        return network;
    }
    let setup = setup();
    let config = Config::parse(&setup.net).unwrap_or_else(|error| {
        log::error!("network: {error}; the network stays off");
        Config::Off
    });
    let config_v6 = Config::parse(&setup.net6).unwrap_or_else(|error| {
        log::error!("network: {error}; IPv6 stays off");
        Config::Off
    });
    let devices = match config {
        Config::Off => Vec::new(),
        _ => {
            let devices = devices::network::find(setup.virtio_mmio);
            if devices.is_empty() {
                log::warn!(
                    "network: no network interface found, there is only the loopback; supported: virtio-net, e1000, e1000e, vmxnet3, ne2000, tulip, pcnet, rtl8139, xen-netfront"
                );
            }
            devices
        }
    };
    let network: &'static Network =
        Box::leak(Box::new(start(devices, &config, &config_v6, &setup)));
    // Nobody else sets it while the lock is held.
    let network = NETWORK.set(network).copied().unwrap_or(network);
    network.start_lanes();
    network
}

/// Closes what is open and waits a bounded time until what was sent has arrived: to be called when the program ends.
pub fn say_farewell() {
    if let Some(network) = NETWORK.get() {
        farewell::say(network);
    }
}

/// What buffers of connections may take: not the last of the memory, which the stacks of threads need as they grow.
fn room_bytes() -> usize {
    const RESERVED_PART: usize = 16;
    let (free_bytes, all_bytes) = frames::usage();
    free_bytes.saturating_sub(all_bytes / RESERVED_PART)
}

fn start(
    devices: Vec<devices::network::NetworkDevice>,
    config: &Config,
    config_v6: &Config<Ipv6Addr>,
    setup: &Setup<'_>,
) -> Network {
    let ports = Arc::new(Ports::new(setup.seed));
    let limits = Limits {
        room_bytes,
        ..Limits::for_memory(setup.memory_bytes)
    };
    let all = core::iter::once(loopback::device()).chain(devices);
    let mut interfaces = Vec::new();
    for (index, mut device) in all.enumerate() {
        let (driver, mac) = (device.driver, device.mac);
        let more = lanes::take_more(&mut device);
        let limits = limits.of_lane(more.len() + 1);
        let mut stack = Stack::new(index, device, ports.clone(), limits);
        let now_ns = clock::now_ns();
        if index == LOOPBACK {
            stack.set_address(Some(Address::of_host(Ipv4Addr::LOCALHOST, 8)), now_ns);
            stack.add_address_v6(&Address::of_host(Ipv6Addr::LOCALHOST, 128), now_ns);
        } else {
            match config {
                // A static address is that of the first device; others ask for one.
                Config::Static(address) if index == 1 => {
                    stack.set_address(Some(address.clone()), now_ns);
                }
                _ => stack.start_dhcp(now_ns),
            }
            if *config_v6 != Config::Off {
                stack.start_ipv6(now_ns);
            }
            match config_v6 {
                Config::Static(address) if index == 1 => stack.add_address_v6(address, now_ns),
                _ => {}
            }
        }
        stack.set_home();
        let interface = Interface::new(index, driver, mac, stack);
        let interface: &'static Interface = match more.is_empty() {
            true => Box::leak(Box::new(interface)),
            false => {
                let more = more.into_iter().map(|(core, device)| {
                    let stack = Stack::new(index, device, ports.clone(), limits);
                    Interface::new(index, driver, mac, stack).at(core)
                });
                let lanes = core::iter::once(interface).chain(more).collect();
                let key = [ports.random_u64(), ports.random_u64()];
                lanes::link(lanes, key, limits.waiting_bytes)
            }
        };
        if index == 1 && matches!(config, Config::Static(_)) {
            interface::report(interface, &interface.lock(), "the command line");
        }
        // The loopback is served when it is used.
        if index != LOOPBACK {
            interface.register();
        }
        interfaces.push(interface);
    }
    Network {
        ports,
        limits,
        interfaces,
    }
}

/// Grows whenever an interface's addresses have changed.
static ADDRESS_CHANGES: SpinLock<u64> = SpinLock::new(0);
/// Tells those who wait for an address of any interface.
pub(crate) static ADDRESSES_CHANGED: Notifier = Notifier::new();

/// Wakes those who wait for an address of any interface.
fn tell_address_change() {
    *ADDRESS_CHANGES.lock() += 1;
    ADDRESSES_CHANGED.notify();
}

/// Asks again after each change of addresses until there is an answer, or until `patience` is over.
///
/// # Errors
/// [`Error::NetworkUnreachable`] when it takes too long, and those of the question.
fn await_addresses<T>(
    patience: u64,
    deadline_ns: Option<u64>,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline_ns = deadline_ns.map_or(patience, |deadline| deadline.min(patience));
    loop {
        let seen = *ADDRESS_CHANGES.lock();
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        let mut changes = ADDRESS_CHANGES.lock();
        while *changes == seen {
            changes = socket::wait(&ADDRESSES_CHANGED, changes, false, Some(deadline_ns))
                .map_err(|_| Error::NetworkUnreachable)?;
        }
    }
}

impl Network {
    /// The interface at an index, as [`ports::Pending`] names it.
    pub fn interface(&self, index: usize) -> Option<&'static Interface> {
        self.interfaces.get(index).copied()
    }

    /// A lane of the interface at an index, as [`ports::Pending`] names it.
    pub fn lane(&self, index: usize, lane: usize) -> Option<&'static Interface> {
        let interface = self.interface(index)?;
        match interface.lanes_with_steering() {
            Some((lanes, _)) => lanes.get(lane).copied(),
            None => (lane == 0).then_some(interface),
        }
    }

    fn devices(&self) -> &[&'static Interface] {
        self.interfaces.get(1..).unwrap_or_default()
    }

    /// Whether a socket can be bound to the address: none in particular, the loopback's, or one of ours.
    pub fn is_bindable(&self, address: SocketAddr) -> bool {
        let ip = address.ip();
        ip.is_unspecified() || ip.is_loopback() || self.owner(ip).is_some()
    }

    /// Whether packets to an address stay in this machine.
    pub fn is_own(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.owner(ip).is_some()
    }

    /// The index of the interface with a device that has an address.
    fn owner(&self, ip: IpAddr) -> Option<usize> {
        let mut devices = self.devices().iter();
        let owner = devices.find(|interface| interface.lock().has_address(ip));
        owner.map(|interface| interface.index())
    }

    /// The index of the interface of a scope, or of that which has an address; `None` if neither is given.
    ///
    /// # Errors
    /// [`Error::NoDevice`] when there is none.
    pub fn chosen(&self, scope: u32, at: Option<IpAddr>) -> Result<Option<usize>> {
        if let Some(index) = binding::index_of_scope(scope) {
            let interface = self.interface(index).ok_or(Error::NoDevice)?;
            return Ok(Some(interface.index()));
        }
        match at {
            Some(ip) if ip.is_loopback() => Ok(Some(LOOPBACK)),
            Some(ip) if !ip.is_unspecified() => self.owner(ip).map(Some).ok_or(Error::NoDevice),
            _ => Ok(None),
        }
    }

    /// The interface that leads to an address: the one that has the address `from`, if that one does; as long as none does, the first with a device.
    ///
    /// # Errors
    /// [`Error::NetworkUnreachable`] when there is none but the loopback, [`Error::NoDevice`] when there is none of the address's scope, and
    /// [`Error::Invalid`] when it has none, but means another station on each link.
    pub fn way(&self, to: SocketAddr, from: Option<IpAddr>) -> Result<&'static Interface> {
        let ip = to.ip();
        let loopback = self.interface(LOOPBACK).ok_or(Error::NoInterface)?;
        if self.is_own(ip) {
            loopback.start();
            let mut stack = loopback.lock();
            let ends = [Some(ip), from.filter(|from| self.owner(*from).is_some())];
            let ends = ends.into_iter().flatten().filter(|end| !end.is_loopback());
            ends.for_each(|end| stack.add_host_address(end));
            return Ok(loopback);
        }
        if let SocketAddr::V6(v6) = to {
            if let Some(index) = binding::index_of_scope(v6.scope_id()) {
                return self.interface(index).ok_or(Error::NoDevice);
            }
            if v6.ip().is_unicast_link_local() && self.devices().len() > 1 {
                return Err(Error::Invalid);
            }
        }
        let mut best = None;
        for interface in self.devices() {
            let stack = interface.lock();
            // Routers let nothing through that comes from another network than theirs.
            let reach = stack.reach(ip).map(|reach| {
                let has_source = from.is_some_and(|from| stack.has_address(from));
                (has_source, reach)
            });
            if reach > best.and_then(|(reach, _)| reach) || best.is_none() {
                best = Some((reach, *interface));
            }
        }
        best.map(|(_, interface)| interface)
            .ok_or(Error::NetworkUnreachable)
    }

    /// The same. As long as there is no way, but one of the interfaces may still find one, it waits some time.
    ///
    /// # Errors
    /// [`Error::NetworkUnreachable`] when no interface has an address in time; and as [`Network::way`].
    pub fn route(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
        deadline_ns: Option<u64>,
    ) -> Result<&'static Interface> {
        await_addresses(self.patience_ns(), deadline_ns, || {
            let interface = self.way(to, from)?;
            let ip = to.ip();
            let is_settled = interface.index() == LOOPBACK
                || interface.lock().reach(ip).is_some()
                || !self
                    .devices()
                    .iter()
                    .any(|other| other.lock().may_find_way(ip));
            Ok(is_settled.then_some(interface))
        })
    }

    /// Until when it is worth waiting for an address: a server that has been silent for long holds nobody up any more.
    fn patience_ns(&self) -> u64 {
        let now_ns = clock::now_ns();
        let searches = self.devices().iter();
        let begun = searches.map(|one| one.lock().search_began_ns(now_ns)).max();
        begun.unwrap_or(now_ns).saturating_add(ADDRESS_PATIENCE_NS)
    }

    /// Waits until an interface has an address to speak to another from, or will have none.
    ///
    /// # Errors
    /// [`Error::NetworkUnreachable`] when it takes too long.
    pub fn await_address(
        &self,
        interface: &'static Interface,
        to: SocketAddr,
        deadline_ns: Option<u64>,
    ) -> Result<()> {
        await_addresses(self.patience_ns(), deadline_ns, || {
            Ok((!interface.lock().may_find_way(to.ip())).then_some(()))
        })
    }

    /// The servers that know names.
    pub fn dns_servers(&self) -> Vec<SocketAddr> {
        let mut servers = Vec::new();
        for interface in self.devices() {
            for ip in interface.lock().dns_servers() {
                let server = binding::end(SocketAddr::new(ip, dns::PORT), interface.index());
                if !servers.contains(&server) {
                    servers.push(server);
                }
            }
        }
        servers
    }

    /// Waits some time for one, if there is none yet, and for an address to ask it from: a router tells of servers before the address of IPv6
    /// that it lets us make has been tried.
    pub fn await_dns_servers(&self) {
        let [v4, v6] = [Ipv4Addr::BROADCAST.into(), Ipv6Addr::UNSPECIFIED.into()];
        let may_find = |ip| {
            let mut devices = self.devices().iter();
            devices.any(|interface| interface.lock().may_find_way(ip))
        };
        // Without one in time, there are none.
        let _ = await_addresses(self.patience_ns(), None, || {
            let has_v4 = !self.devices().iter().all(|it| it.lock().may_find_way(v4));
            let has_all = !self.dns_servers().is_empty() && (has_v4 || self.ipv6().0);
            let is_settled = has_all || !(may_find(v4) || may_find(v6));
            Ok(is_settled.then_some(()))
        });
    }

    /// Domains in which short names are looked for.
    pub fn domains(&self) -> Vec<String> {
        let mut domains = Vec::new();
        for interface in self.devices() {
            for domain in interface.lock().domains() {
                if !domains.iter().any(|known| known == domain) {
                    domains.push(domain.into());
                }
            }
        }
        domains
    }

    /// Whether there is an address of IPv6 that is good for more than a link, and whether it is one of the whole Internet.
    pub fn ipv6(&self) -> (bool, bool) {
        let (mut has_any, mut has_global) = (false, false);
        for interface in self.devices() {
            for (ip, _) in interface.lock().addresses() {
                if let IpAddr::V6(ip) = ip
                    && !ip.is_unicast_link_local()
                {
                    has_any = true;
                    has_global |= ip.octets()[0] >> 5 == 1;
                }
            }
        }
        (has_any, has_global)
    }
}
