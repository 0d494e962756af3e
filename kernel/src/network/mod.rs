//! Interfaces, protocol stacks, sockets.
//!
//! The way of a packet: a driver's ring lends a frame to the [`stack`] of its [`interface`], where the engine of the crate `tcpip` finds
//! its connection and does the protocol; whoever waits for it in [`socket`] is notified ([`above`]). On the way back, a socket call hands bytes to the stack, which writes the frame into the driver's buffer at once.
//!
//! All of it starts with the first socket a program makes ([`network`]); a program that makes none links none of it.

mod above;
pub mod config;
pub mod dedicate;
pub mod dns;
mod error;
pub mod interface;
mod loopback;
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
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use tcpip::{Limits, Prefix};

pub use self::config::Config;
pub use self::error::{Error, Result};
pub use self::ports::FourTuple;

use self::config::Address;
use self::interface::Interface;
use self::ports::Ports;
use self::stack::Stack;
use crate::arch::clock;
use crate::command_line::VirtioMmioDevice;
use crate::devices;
use crate::sync::{OnceCell, SpinLock};

/// The index of the loopback interface.
pub const LOOPBACK: usize = 0;

/// How long a program's call waits for the machine to get an address, and how long a connection that is being made does.
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
static STARTING: SpinLock<()> = SpinLock::new(());

/// What the network needs to know to start.
pub struct Setup<'a> {
    /// The value of `net=`.
    pub net: &'a str,
    /// Virtio devices on the memory bus.
    pub virtio_mmio: &'a [VirtioMmioDevice],
    /// A number nobody can guess.
    pub seed: u64,
    /// Memory of the machine, which says how large buffers are.
    pub memory_bytes: u64,
}

/// The network, started with `setup` if this is the first call.
///
/// # Errors
/// [`Error::NoInterface`] when there is no device and the network is not switched off.
pub fn network<'a>(setup: impl FnOnce() -> Setup<'a>) -> Result<&'static Network> {
    if let Some(network) = NETWORK.get() {
        return network.usable();
    }
    let _guard = STARTING.lock();
    if let Some(network) = NETWORK.get() {
        return network.usable();
    }
    let setup = setup();
    let config = Config::parse(setup.net).unwrap_or_else(|error| {
        log::error!("network: {error}; the network stays off");
        Config::Off
    });
    let devices = match config {
        Config::Off => Vec::new(),
        _ => {
            let devices = devices::network::find(setup.virtio_mmio);
            if devices.is_empty() {
                log::error!(
                    "network: no network interface found; supported: virtio-net, e1000, e1000e, vmxnet3, ne2000, tulip"
                );
            }
            devices
        }
    };
    let network: &'static Network = Box::leak(Box::new(start(devices, &config, &setup)));
    match NETWORK.set(network) {
        Ok(network) => network.usable(),
        Err(network) => network.usable(),
    }
}

fn start(
    devices: Vec<devices::network::NetworkDevice>,
    config: &Config,
    setup: &Setup<'_>,
) -> Network {
    let ports = Arc::new(Ports::new(setup.seed));
    let limits = Limits::for_memory(setup.memory_bytes);
    let all = core::iter::once(loopback::device()).chain(devices);
    let mut interfaces = Vec::new();
    for (index, device) in all.enumerate() {
        let (driver, mac) = (device.driver, device.mac);
        let mut stack = Stack::new(index, device, ports.clone(), limits);
        let loopback_address = Address {
            ip: Ipv4Addr::LOCALHOST,
            prefix: 8,
            gateway: None,
            dns: vec![],
        };
        match config {
            _ if index == 0 => stack.set_address(Some(loopback_address), clock::now_ns()),
            // A static address is that of the first device; others ask for one.
            Config::Static(address) if index == 1 => {
                stack.set_address(Some(address.clone()), clock::now_ns());
            }
            _ => stack.start_dhcp(clock::now_ns()),
        }
        stack.set_home();
        let interface: &'static Interface = Box::leak(Box::new(Interface::new(driver, mac, stack)));
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

impl Network {
    fn usable(&'static self) -> Result<&'static Self> {
        if self.interfaces.len() < 2 {
            Err(Error::NoInterface)
        } else {
            Ok(self)
        }
    }

    /// The interface at an index, as [`ports::Pending`] names it.
    pub fn interface(&self, index: usize) -> Option<&'static Interface> {
        self.interfaces.get(index).copied()
    }

    fn devices(&self) -> &[&'static Interface] {
        self.interfaces.get(1..).unwrap_or_default()
    }

    /// Whether a socket can be bound to the address: none in particular, the loopback's, or one of ours.
    pub fn is_bindable(&self, ip: Ipv4Addr) -> bool {
        ip.is_unspecified() || ip.is_loopback() || self.is_own(ip)
    }

    fn is_own(&self, ip: Ipv4Addr) -> bool {
        self.devices().iter().any(|interface| {
            interface
                .lock()
                .address()
                .is_some_and(|address| address.ip == ip)
        })
    }

    /// The interface that leads to `ip`; as long as none has an address, the first with a device.
    ///
    /// # Errors
    /// [`Error::NoInterface`] when there is none.
    pub fn way(&self, ip: Ipv4Addr) -> Result<&'static Interface> {
        let loopback = self.interface(LOOPBACK).ok_or(Error::NoInterface)?;
        if ip.is_loopback() {
            loopback.start();
            return Ok(loopback);
        }
        if self.is_own(ip) {
            loopback.start();
            loopback.lock().add_host_address(ip);
            return Ok(loopback);
        }
        let contains =
            |address: &Address| Prefix::new(address.ip, address.prefix).contains(ip.into());
        let has_address = |is_wanted: &dyn Fn(&Address) -> bool| {
            self.devices()
                .iter()
                .copied()
                .find(|interface| interface.lock().address().is_some_and(is_wanted))
        };
        has_address(&contains)
            .or_else(|| has_address(&|address| address.gateway.is_some()))
            .or_else(|| has_address(&|_| true))
            .or_else(|| self.devices().first().copied())
            .ok_or(Error::NoInterface)
    }

    /// The interface that leads to `ip`. Waits some time for an address if there is none yet.
    ///
    /// # Errors
    /// [`Error::NetworkUnreachable`] when no interface has an address in time.
    pub fn route(&self, ip: Ipv4Addr, deadline_ns: Option<u64>) -> Result<&'static Interface> {
        let interface = self.way(ip)?;
        let patience = clock::now_ns().saturating_add(ADDRESS_PATIENCE_NS);
        let deadline_ns = deadline_ns.map_or(patience, |deadline| deadline.min(patience));
        let mut stack = interface.lock();
        while stack.address().is_none() {
            stack = socket::wait(&interface.address_changed, stack, false, Some(deadline_ns))
                .map_err(|_| Error::NetworkUnreachable)?;
        }
        drop(stack);
        self.way(ip)
    }

    /// The servers that know names.
    pub fn dns_servers(&self) -> Vec<Ipv4Addr> {
        let of = |interface: &&'static Interface| {
            interface
                .lock()
                .address()
                .map(|address| address.dns.clone())
                .unwrap_or_default()
        };
        self.devices().iter().flat_map(of).collect()
    }
}
