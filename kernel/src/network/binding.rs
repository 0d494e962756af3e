//! What sockets are bound to, and the ends of connections, in both versions of IP.
//!
//! Inside of the network an address of IPv4 is always one of IPv4, also when a program that has a socket of IPv6 writes it as `::ffff:a.b.c.d`
//! (RFC 4291, section 2.5.5.2). Addresses that mean something else on each link (RFC 4007) carry the number of their interface.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An address that a socket is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The address and the port; an unspecified address stands for all of its version.
    pub address: SocketAddr,
    /// `[::]` stands for all addresses of IPv4 too.
    pub is_dual: bool,
    /// The interface that alone is heard (`SO_BINDTODEVICE`); none: all are.
    pub device: Option<usize>,
}

impl From<SocketAddr> for Binding {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            is_dual: false,
            device: None,
        }
    }
}

impl Binding {
    /// All addresses of both versions, at a port.
    pub const fn all(port: u16) -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
            is_dual: true,
            device: None,
        }
    }

    /// The same at another port.
    pub fn with_port(mut self, port: u16) -> Self {
        self.address.set_port(port);
        self
    }

    /// Whether it stands for all addresses of a version.
    fn is_all(&self, is_v4: bool) -> bool {
        let ip = self.address.ip();
        ip.is_unspecified() && (ip.is_ipv4() == is_v4 || is_v4 && self.is_dual)
    }

    /// How well it suits what comes to an address by an interface: two for the address, if it stands for no others, and three for the interface, if it
    /// hears no others, as Linux counts; `None`: not at all.
    #[inline]
    pub(super) fn suits(&self, ip: IpAddr, interface: usize) -> Option<u8> {
        let by_device = match self.device {
            None => 0,
            Some(own) if own == interface => 3,
            Some(_) => return None,
        };
        match self.address.ip() == ip {
            true => Some(by_device + 2),
            false => self.is_all(ip.is_ipv4()).then_some(by_device + 1),
        }
    }

    /// Whether there is an address, and an interface, that suits both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        if matches!((self.device, other.device), (Some(a), Some(b)) if a != b) {
            return false;
        }
        let (a, b) = (self.address.ip(), other.address.ip());
        a == b
            || [true, false].into_iter().any(|is_v4| {
                let has = |one: &Self, ip: IpAddr| one.is_all(is_v4) || ip.is_ipv4() == is_v4;
                (self.is_all(is_v4) || other.is_all(is_v4)) && has(self, a) && has(other, b)
            })
    }
}

/// The scope of the interface at an index: its number among all, from 1 on, as Linux has it.
pub fn scope_of(index: usize) -> u32 {
    index as u32 + 1
}

/// The index of the interface of a scope.
pub fn index_of_scope(scope: u32) -> Option<usize> {
    (scope as usize).checked_sub(1)
}

/// Whether an address means something else on each link.
pub fn is_of_link(ip: &Ipv6Addr) -> bool {
    let [first, second, ..] = ip.octets();
    ip.is_unicast_link_local() || first == 0xFF && matches!(second & 15, 1 | 2)
}

/// An end of a connection that goes by the interface at an index.
pub fn end(address: SocketAddr, index: usize) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if is_of_link(v6.ip()) => {
            SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope_of(index)))
        }
        address => address,
    }
}

/// The address as it is kept inside: one of IPv4 as such, and no more of one of IPv6 than what tells it from others.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => SocketAddr::new(IpAddr::V4(ip), v6.port()),
            None => {
                let scope = if is_of_link(v6.ip()) {
                    v6.scope_id()
                } else {
                    0
                };
                SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope))
            }
        },
    }
}

/// No address and no port, of a version.
pub const fn none(is_v6: bool) -> SocketAddr {
    match is_v6 {
        true => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        false => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    }
}

/// Where a packet to an address goes: to no address in particular means to this machine.
pub(super) fn destination(address: SocketAddr) -> SocketAddr {
    let loopback = match address {
        _ if !address.ip().is_unspecified() => return address,
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(loopback, address.port())
}

#[cfg(test)]
mod tests {
    use super::{Binding, canonical, end};

    fn bound(address: &str, is_dual: bool) -> Binding {
        Binding {
            address: address.parse().expect("an address"),
            is_dual,
            device: None,
        }
    }

    #[test]
    fn sockets_of_both_versions_meet_only_where_both_hear() {
        let (all, all_v6, all_v4) = (
            bound("[::]:80", true),
            bound("[::]:80", false),
            bound("0.0.0.0:80", false),
        );
        let (v4, v6) = (bound("10.0.2.15:80", false), bound("[fe80::1%2]:80", false));
        for (a, b, is_shared) in [
            (all, all_v4, true),
            (all, all_v6, true),
            (all_v6, all_v4, false),
            (all, v4, true),
            (all, v6, true),
            (all_v6, v4, false),
            (all_v4, v6, false),
            (all_v4, v4, true),
            (v4, v4, true),
            (v4, v6, false),
            (v4, bound("127.0.0.1:80", false), false),
        ] {
            assert_eq!(a.overlaps(&b), is_shared, "{a:?} {b:?}");
            assert_eq!(b.overlaps(&a), is_shared, "{b:?} {a:?}");
        }
        assert_eq!(all.suits(v4.address.ip(), 1), Some(1));
        assert_eq!(v4.suits(v4.address.ip(), 1), Some(2));
        assert_eq!(all_v6.suits(v4.address.ip(), 1), None);
        assert_eq!(all_v4.suits(v6.address.ip(), 1), None);
    }

    #[test]
    fn who_hears_one_interface_hears_no_other_and_comes_first_there() {
        let one = bound("10.0.2.15:80", false);
        let all = bound("0.0.0.0:80", false);
        let of = |device| Binding {
            device: Some(device),
            ..all
        };
        assert_eq!(of(1).suits(one.address.ip(), 2), None);
        assert!(of(1).suits(one.address.ip(), 1) > one.suits(one.address.ip(), 1));
        assert!(!of(1).overlaps(&of(2)));
        assert!(of(1).overlaps(&all) && all.overlaps(&of(1)) && of(1).overlaps(&of(1)));
    }

    #[test]
    fn addresses_are_kept_in_one_way() {
        let read = |text: &str| canonical(text.parse().expect("an address")).to_string();
        assert_eq!(read("[::ffff:10.0.2.15]:80"), "10.0.2.15:80");
        assert_eq!(read("[2001:db8::1%3]:80"), "[2001:db8::1]:80");
        assert_eq!(read("[fe80::1%3]:80"), "[fe80::1%3]:80");
        let at = |text: &str| end(text.parse().expect("an address"), 1).to_string();
        assert_eq!(at("[fe80::1]:80"), "[fe80::1%2]:80");
        assert_eq!(at("[2001:db8::1]:80"), "[2001:db8::1]:80");
    }
}
