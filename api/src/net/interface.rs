//! Interfaces: what there is, and which core has it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::errno;
use crate::error::{Error, Result};
use crate::{core, sys};

/// A network interface, as it was when it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name: `net0`, `net1`, …; `lo` is the loopback.
    pub name: String,
    /// Name of its driver.
    pub driver: String,
    /// Hardware address; all zeros for the loopback.
    pub mac: [u8; 6],
    /// The core that serves it.
    pub core: usize,
    /// Whether it was given to that core by [`dedicate`].
    pub is_dedicated: bool,
    /// All its addresses, of both versions of IP, and how many of their bits name the network.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Its address of IPv4 and how many bits of that name the network; none as long as it has none.
    pub address: Option<(Ipv4Addr, u8)>,
    /// Who forwards to other networks.
    pub gateway: Option<Ipv4Addr>,
    /// Pairs of queues of its card that are used. Each is served by a core of its own, the first by [`Interface::core`].
    pub queues: usize,
}

/// How a dedicated interface gets its address of IPv4; those of IPv6 stay what they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Addressing {
    /// As the command line says (`--net`): by DHCP, if it does not say.
    #[default]
    Keep,
    /// It asks a DHCP server.
    Dhcp,
    /// It has this one.
    Static {
        /// The address.
        address: Ipv4Addr,
        /// How many bits of it name the network, from 1 to 32.
        prefix: u8,
        /// Who forwards to other networks.
        gateway: Option<Ipv4Addr>,
    },
}

fn error(name: &str, errno: i32) -> Error {
    match errno {
        errno::ENODEV | errno::ENETDOWN => Error::NoSuchDevice(name.to_owned()),
        errno::ENOMEM => Error::OutOfMemory,
        errno => Error::Device {
            device: name.to_owned(),
            errno,
        },
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

fn at(index: usize) -> std::result::Result<Interface, i32> {
    let info = sys::net::interface(index)?;
    let some = |address: u32| (address != 0).then(|| Ipv4Addr::from_bits(address));
    let addresses = sys::net::addresses(index)?;
    let addresses = addresses.iter().map(|address| {
        let ip = SocketAddr::from(*address).ip();
        (ip, address.prefix)
    });
    Ok(Interface {
        addresses: addresses.collect(),
        name: text(&info.name),
        driver: text(&info.driver),
        mac: info.mac,
        core: info.core as usize,
        is_dedicated: info.is_dedicated,
        address: some(info.address).map(|address| (address, info.prefix)),
        gateway: some(info.gateway),
        queues: info.queues as usize,
    })
}

/// All interfaces, the loopback first.
///
/// # Errors
/// [`Error::NoSuchDevice`] when the machine has no network card that Toro knows, or `--net off` was asked for.
pub fn interfaces() -> Result<Vec<Interface>> {
    let count = sys::net::interface_count().map_err(|errno| error("net0", errno))?;
    let each = (0..count).map(|index| at(index).map_err(|errno| error("net", errno)));
    each.collect()
}

/// The index and the interface of a name.
pub(super) fn find(name: &str) -> Result<(usize, Interface)> {
    let mut all = interfaces()?.into_iter().enumerate();
    all.find(|(_, interface)| interface.name == name)
        .ok_or_else(|| Error::NoSuchDevice(name.to_owned()))
}

/// The interface of a name.
///
/// # Errors
/// [`Error::NoSuchDevice`] when there is none.
pub fn interface(name: &str) -> Result<Interface> {
    find(name).map(|(_, interface)| interface)
}

/// Gives an interface with all its queues to a core for good, and an address. Its interrupts go to that core and its protocol stack runs there from
/// then on; sockets and connections that there are stay as they are. Returns as soon as that is so; an address by DHCP may come later.
///
/// # Errors
/// - [`Error::NoSuchDevice`] and [`Error::NoSuchCore`].
/// - [`Error::AlreadyDedicated`]: by an earlier call, to whatever core.
/// - [`Error::Unsupported`]: the loopback belongs to no device; and the interrupts of an old device cannot reach every core.
/// - [`Error::Invalid`]: an address that no host can have, or a prefix out of range.
/// - [`Error::OutOfMemory`].
pub fn dedicate(name: &str, core: usize, addressing: Addressing) -> Result<Interface> {
    let (index, before) = find(name)?;
    let addressing = match addressing {
        Addressing::Keep => (0, 0, 0, 0),
        Addressing::Dhcp => (1, 0, 0, 0),
        Addressing::Static {
            address,
            prefix,
            gateway,
        } => {
            let gateway = gateway.map_or(0, Ipv4Addr::to_bits);
            (2, address.to_bits(), prefix.into(), gateway)
        }
    };
    let (kind, address, prefix, gateway) = addressing;
    let wanted = sys::net::Addressing {
        kind,
        address,
        prefix,
        gateway,
    };
    sys::net::dedicate(index, core, &wanted).map_err(|errno| match errno {
        errno::ENXIO => Error::NoSuchCore {
            core,
            count: core::count(),
        },
        errno::EBUSY => Error::AlreadyDedicated {
            device: before.name.clone(),
            core: at(index).map_or(before.core, |interface| interface.core),
        },
        errno::EINVAL => Error::Invalid(format!(
            "{}/{prefix} with that gateway is no address that an interface can have",
            Ipv4Addr::from_bits(address)
        )),
        errno::EOPNOTSUPP => Error::Unsupported(format!("`{name}` on core {core}")),
        errno => error(name, errno),
    })?;
    at(index).map_err(|errno| error(name, errno))
}
