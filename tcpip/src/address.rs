//! Addresses of both versions of IP in one type, and the ends of connections.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The upper 96 bits of an IPv4 address that is written as one of IPv6 (RFC 4291, section 2.5.5.2).
const MAPPED: u128 = 0xFFFF << 32;

/// An IP address. One of IPv4 is kept as the IPv6 address that it maps to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(u128);

impl Address {
    /// `0.0.0.0`.
    pub const ANY_V4: Self = Self(MAPPED);
    /// `::`.
    pub const ANY_V6: Self = Self(0);
    /// `255.255.255.255`.
    pub const BROADCAST: Self = Self(MAPPED | 0xFFFF_FFFF);
    /// `ff02::1`, all nodes of a link.
    pub const ALL_NODES: Self = Self(0xFF02 << 112 | 1);
    /// `ff02::2`, all routers of a link.
    pub const ALL_ROUTERS: Self = Self(0xFF02 << 112 | 2);

    /// An IPv4 address from its bytes.
    #[inline]
    #[must_use]
    pub const fn v4(octets: [u8; 4]) -> Self {
        Self(MAPPED | u32::from_be_bytes(octets) as u128)
    }

    /// An IPv6 address from its bytes.
    #[inline]
    #[must_use]
    pub const fn v6(octets: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(octets))
    }

    /// Whether it is one of IPv4.
    #[inline]
    #[must_use]
    pub const fn is_v4(self) -> bool {
        self.0 >> 32 == 0xFFFF
    }

    /// The bytes of an IPv4 address; of another the last four.
    #[inline]
    #[must_use]
    pub const fn octets_v4(self) -> [u8; 4] {
        (self.0 as u32).to_be_bytes()
    }

    /// The bytes of an IPv6 address.
    #[inline]
    #[must_use]
    pub const fn octets_v6(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// `0.0.0.0` or `::`.
    #[inline]
    #[must_use]
    pub const fn is_unspecified(self) -> bool {
        self.0 == 0 || self.0 == MAPPED
    }

    /// Whether it names a group.
    #[inline]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        if self.is_v4() {
            (self.0 as u32) >> 28 == 0xE
        } else {
            self.0 >> 120 == 0xFF
        }
    }

    /// `127.0.0.0/8` or `::1`.
    #[must_use]
    pub const fn is_loopback(self) -> bool {
        self.0 == 1 || (self.is_v4() && (self.0 as u32) >> 24 == 127)
    }

    /// `169.254.0.0/16` or `fe80::/10`.
    #[must_use]
    pub const fn is_link_local(self) -> bool {
        if self.is_v4() {
            (self.0 as u32) >> 16 == 0xA9FE
        } else {
            self.0 >> 118 == 0xFE80 >> 6
        }
    }

    /// Whether it names a group of one link or of this machine alone (RFC 4291, section 2.7).
    #[must_use]
    pub const fn is_link_group(self) -> bool {
        self.0 >> 120 == 0xFF && matches!((self.0 >> 112) as u8 & 0x0F, 1 | 2)
    }

    /// Whether a host can have it: neither a group, nor all, nor none.
    #[must_use]
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && !self.is_unspecified() && self != Self::BROADCAST
    }

    /// The multicast group that asks for the owner of an IPv6 address (RFC 4291, section 2.7.1).
    #[must_use]
    pub const fn solicited_node(self) -> Self {
        Self(0xFF02 << 112 | 0x1_FF00_0000 | (self.0 & 0xFF_FFFF))
    }

    /// The Ethernet address of a multicast group (RFC 1112, section 6.4; RFC 2464, section 7).
    #[must_use]
    pub const fn group_mac(self) -> [u8; 6] {
        let [a, b, c, d] = (self.0 as u32).to_be_bytes();
        if self.is_v4() {
            [0x01, 0x00, 0x5E, b & 0x7F, c, d]
        } else {
            [0x33, 0x33, a, b, c, d]
        }
    }

    /// The address as a number, for masks.
    #[must_use]
    pub(crate) const fn bits(self) -> u128 {
        self.0
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => ip.into(),
        }
    }
}

impl From<Ipv4Addr> for Address {
    fn from(ip: Ipv4Addr) -> Self {
        Self::v4(ip.octets())
    }
}

impl From<Ipv6Addr> for Address {
    fn from(ip: Ipv6Addr) -> Self {
        Self::v6(ip.octets())
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        if address.is_v4() {
            Self::V4(Ipv4Addr::from(address.octets_v4()))
        } else {
            Self::V6(Ipv6Addr::from(address.octets_v6()))
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

impl Hash for Address {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0 as u64);
        state.write_u64((self.0 >> 64) as u64);
    }
}

/// An address and how many of its bits name the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The address.
    pub address: Address,
    /// Bits of the network, counted as the version does: up to 32 or 128.
    pub len: u8,
}

impl Prefix {
    /// A prefix.
    #[must_use]
    pub fn new(address: impl Into<Address>, len: u8) -> Self {
        Self {
            address: address.into(),
            len,
        }
    }

    /// The bits that tell the hosts of an IPv4 network apart.
    #[inline]
    fn hosts_v4(self) -> u32 {
        u32::MAX.checked_shr(u32::from(self.len)).unwrap_or(0)
    }

    /// Whether an address is in the network.
    #[inline]
    #[must_use]
    pub fn contains(self, address: Address) -> bool {
        let differing = address.bits() ^ self.address.bits();
        if self.address.is_v4() {
            return address.is_v4() && differing as u32 & !self.hosts_v4() == 0;
        }
        let hosts = u128::MAX.checked_shr(u32::from(self.len)).unwrap_or(0);
        !address.is_v4() && differing & !hosts == 0
    }

    /// The address that means all stations of an IPv4 network, if it has one.
    #[inline]
    #[must_use]
    pub fn broadcast(self) -> Option<Address> {
        let hosts = u128::from(self.hosts_v4());
        (self.address.is_v4() && self.len < 31).then(|| Address(self.address.bits() | hosts))
    }
}

/// The two ends of a connection, from here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// Our address.
    pub local: Address,
    /// The peer's address.
    pub remote: Address,
    /// Our port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
}

impl Tuple {
    /// From two ends.
    #[must_use]
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            local: local.ip().into(),
            remote: remote.ip().into(),
            local_port: local.port(),
            remote_port: remote.port(),
        }
    }

    /// Our end.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        SocketAddr::new(self.local.into(), self.local_port)
    }

    /// The peer's end.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.remote.into(), self.remote_port)
    }
}

impl fmt::Debug for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <- {}", self.local(), self.remote())
    }
}

impl Hash for Tuple {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ports = u64::from(self.local_port) << 16 | u64::from(self.remote_port);
        // Most of our connections differ in what the peer chooses; the rest is mixed in all the same.
        state.write_u64(self.remote.bits() as u64 ^ ports << 32);
        state.write_u64(self.local.bits() as u64);
        if !self.remote.is_v4() {
            state.write_u64((self.remote.bits() >> 64) as u64);
            state.write_u64((self.local.bits() >> 64) as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Prefix};
    use core::net::IpAddr;

    fn ip(text: &str) -> Address {
        text.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn addresses_of_both_versions_come_back_as_they_were() {
        for text in [
            "0.0.0.0",
            "10.0.2.15",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1:2",
        ] {
            assert_eq!(ip(text).to_string(), text);
        }
    }

    #[test]
    fn addresses_know_what_they_are_for() {
        assert!(ip("224.0.0.1").is_multicast() && ip("ff02::fb").is_multicast());
        assert!(!ip("10.0.0.1").is_multicast() && !ip("fe80::1").is_multicast());
        assert!(ip("127.3.2.1").is_loopback() && ip("::1").is_loopback());
        assert!(ip("fe80::1").is_link_local() && ip("169.254.1.1").is_link_local());
        assert!(!ip("fec0::1").is_link_local());
        assert!(!ip("255.255.255.255").is_unicast() && ip("1.1.1.1").is_unicast());
    }

    #[test]
    fn groups_have_their_hardware_addresses() {
        assert_eq!(ip("224.128.0.251").group_mac(), [1, 0, 0x5E, 0, 0, 0xFB]);
        assert_eq!(
            ip("ff02::1:ff28:9c5a").group_mac(),
            [0x33, 0x33, 0xFF, 0x28, 0x9C, 0x5A]
        );
        assert_eq!(
            ip("fe80::2aa:ff:fe28:9c5a").solicited_node(),
            ip("ff02::1:ff28:9c5a")
        );
    }

    #[test]
    fn prefixes_contain_what_begins_like_them() {
        let net = Prefix::new(ip("10.0.2.15"), 24);
        assert!(net.contains(ip("10.0.2.2")) && !net.contains(ip("10.0.3.2")));
        assert_eq!(net.broadcast(), Some(ip("10.0.2.255")));
        assert_eq!(Prefix::new(ip("10.0.2.15"), 32).broadcast(), None);
        let net = Prefix::new(ip("2001:db8::1"), 64);
        assert!(net.contains(ip("2001:db8::ffff")) && !net.contains(ip("2001:db9::1")));
        assert!(!net.contains(ip("10.0.2.2")));
        assert!(Prefix::new(ip("::"), 0).contains(ip("2001:db8::1")));
        assert!(!Prefix::new(ip("::"), 0).contains(ip("10.0.2.2")));
        let host = Prefix::new(ip("10.0.2.15"), 32);
        assert!(host.contains(ip("10.0.2.15")) && !host.contains(ip("10.0.2.14")));
        let all = Prefix::new(ip("0.0.0.0"), 0);
        assert!(all.contains(ip("10.0.2.2")) && !all.contains(ip("::1")));
        assert_eq!(all.broadcast(), Some(Address::BROADCAST));
        let host = Prefix::new(ip("::1"), 128);
        assert!(host.contains(ip("::1")) && !host.contains(ip("::2")));
    }
}
