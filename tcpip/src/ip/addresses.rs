//! The addresses of an interface and the ways out of it.

use alloc::vec::Vec;

use crate::address::{Address, Prefix};

/// Addresses that an interface may have.
const MAX_ADDRESSES: usize = 32;
/// Routes that it may have.
const MAX_ROUTES: usize = 32;

/// An address of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) prefix: Prefix,
    /// It is being tried whether another has it (RFC 4862, section 5.4), so it is not used yet.
    pub(crate) is_tentative: bool,
    /// When it ends; `u64::MAX`: never.
    pub(crate) valid_until: u64,
    /// It was made from what a router said.
    pub(crate) is_automatic: bool,
    /// The neighbours are still to be told of it.
    pub(crate) is_untold: bool,
}

/// A way to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) to: Prefix,
    /// Who passes it on; none when the network is this link.
    pub(crate) gateway: Option<Address>,
    pub(crate) valid_until: u64,
    /// How it is preferred to others as long (RFC 4191, section 2.1): 1, 0 or -1.
    pub(crate) preference: i8,
    /// Who passes it on did not answer when it was asked for its hardware address.
    pub(crate) is_silent: bool,
}

impl Route {
    /// A way that is there for ever, or until it is changed.
    pub(crate) fn new(to: Prefix, gateway: Option<Address>) -> Self {
        Self {
            to,
            gateway,
            valid_until: u64::MAX,
            preference: 0,
            is_silent: false,
        }
    }
}

/// Addresses and routes.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    own: Vec<Own>,
    routes: Vec<Route>,
}

impl Addresses {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Own> {
        self.own.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Own> {
        self.own.iter_mut()
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// Adds an address, or changes it; whether there was room.
    pub(crate) fn add(&mut self, own: Own) -> bool {
        let is_it = |known: &Own| known.prefix.address == own.prefix.address;
        if let Some(known) = self.own.iter_mut().find(|known| is_it(known)) {
            *known = own;
            return true;
        }
        let has_room = self.own.len() < MAX_ADDRESSES;
        if has_room {
            self.own.push(own);
        }
        has_room
    }

    /// Takes addresses away.
    pub(crate) fn retain(&mut self, is_kept: impl FnMut(&Own) -> bool) {
        self.own.retain(is_kept);
    }

    /// Adds a route, or changes it; whether there was room.
    pub(crate) fn add_route(&mut self, route: Route) -> bool {
        let is_it = |known: &Route| known.to == route.to && known.gateway == route.gateway;
        if let Some(known) = self.routes.iter_mut().find(|known| is_it(known)) {
            *known = route;
            return true;
        }
        let has_room = self.routes.len() < MAX_ROUTES;
        if has_room {
            self.routes.push(route);
        }
        has_room
    }

    /// Takes routes away.
    pub(crate) fn retain_routes(&mut self, is_kept: impl FnMut(&Route) -> bool) {
        self.routes.retain(is_kept);
    }

    /// Whether an address is ours and may be used.
    #[inline]
    pub(crate) fn is_own(&self, address: Address) -> bool {
        self.own
            .iter()
            .any(|own| own.prefix.address == address && !own.is_tentative)
    }

    /// Whether an address means all stations of a network of ours.
    pub(crate) fn is_broadcast(&self, address: Address) -> bool {
        address == Address::BROADCAST
            || self
                .own
                .iter()
                .any(|own| own.prefix.broadcast() == Some(address))
    }

    /// The next station on the way to an address: itself, or who passes it on.
    pub(crate) fn next_hop(&self, to: Address) -> Option<Address> {
        if to.is_multicast() || to == Address::BROADCAST {
            return Some(to);
        }
        // What means all stations of a network of ours lies in it.
        // An IPv6 address of ours says nothing of who else is on the link, but for what routers say or an address that was given.
        if to.is_link_local() || self.own.iter().any(|own| own.prefix.contains(to)) {
            return Some(to);
        }
        // Of equal ones the first, which is in use, as long as it answers (RFC 4861, section 6.3.6; RFC 4191, section 3.2).
        let best = self
            .routes
            .iter()
            .rev()
            .filter(|route| route.to.contains(to))
            .max_by_key(|route| (route.to.len, !route.is_silent, route.preference))?;
        Some(best.gateway.unwrap_or(to))
    }

    /// A station answers, or does not when it is asked; whether that changes a way.
    pub(crate) fn note_answer(&mut self, station: Address, is_silent: bool) -> bool {
        let mut has_changed = false;
        for route in &mut self.routes {
            if route.gateway == Some(station) && route.is_silent != is_silent {
                route.is_silent = is_silent;
                has_changed = true;
            }
        }
        has_changed
    }

    /// The address of ours to speak to another from (RFC 6724, section 5, as far as it matters here).
    pub(crate) fn source_for(&self, to: Address) -> Option<Address> {
        let is_on_link = to.is_link_local() || to.is_link_group();
        let rank = |own: &Own| {
            let address = own.prefix.address;
            let is_same_scope =
                address.is_link_local() == is_on_link && address.is_loopback() == to.is_loopback();
            let shared = (address.bits() ^ to.bits()).leading_zeros();
            (
                address == to,
                is_same_scope,
                own.prefix.contains(to),
                shared,
            )
        };
        self.own
            .iter()
            .filter(|own| own.prefix.address.is_v4() == to.is_v4() && !own.is_tentative)
            .max_by_key(|own| rank(own))
            .map(|own| own.prefix.address)
    }
}

#[cfg(test)]
mod tests {
    use super::{Addresses, Own, Route};
    use crate::address::{Address, Prefix};
    use core::net::IpAddr;

    fn ip(text: &str) -> Address {
        text.parse::<IpAddr>().expect("an address").into()
    }

    fn table() -> Addresses {
        let mut table = Addresses::default();
        for (address, len) in [("10.0.2.15", 24), ("fe80::5", 64), ("2001:db8::5", 64)] {
            table.add(Own {
                prefix: Prefix::new(ip(address), len),
                is_tentative: false,
                valid_until: u64::MAX,
                is_automatic: false,
                is_untold: false,
            });
        }
        for (to, len, gateway) in [
            ("0.0.0.0", 0, "10.0.2.2"),
            ("::", 0, "fe80::1"),
            ("10.9.0.0", 16, "10.0.2.9"),
        ] {
            table.add_route(Route::new(Prefix::new(ip(to), len), Some(ip(gateway))));
        }
        table
    }

    #[test]
    fn of_equal_routers_the_first_leads_as_long_as_it_answers() {
        let mut table = table();
        let far = ip("2001:db9::9");
        let mut other = Route::new(Prefix::new(ip("::"), 0), Some(ip("fe80::2")));
        table.add_route(other);
        assert_eq!(table.next_hop(far), Some(ip("fe80::1")));
        assert!(table.note_answer(ip("fe80::1"), true));
        assert!(!table.note_answer(ip("fe80::1"), true), "nothing new");
        assert_eq!(table.next_hop(far), Some(ip("fe80::2")));
        table.note_answer(ip("fe80::2"), true);
        assert_eq!(table.next_hop(far), Some(ip("fe80::1")), "no worse");
        table.note_answer(ip("fe80::2"), false);
        assert_eq!(table.next_hop(far), Some(ip("fe80::2")));
        table.note_answer(ip("fe80::1"), false);
        other.preference = 1;
        table.add_route(other);
        assert_eq!(table.next_hop(far), Some(ip("fe80::2")), "preferred");
        other.preference = -1;
        table.add_route(other);
        assert_eq!(table.next_hop(far), Some(ip("fe80::1")));
    }

    #[test]
    fn the_longest_route_leads() {
        let table = table();
        for (to, hop) in [
            ("10.0.2.77", "10.0.2.77"),
            ("8.8.8.8", "10.0.2.2"),
            ("10.9.1.1", "10.0.2.9"),
            ("2001:db8::9", "2001:db8::9"),
            ("2001:db9::9", "fe80::1"),
            ("fe80::9", "fe80::9"),
        ] {
            assert_eq!(table.next_hop(ip(to)), Some(ip(hop)), "{to}");
        }
        assert_eq!(Addresses::default().next_hop(ip("8.8.8.8")), None);
    }

    #[test]
    fn the_address_that_suits_the_peer_speaks() {
        let mut table = table();
        assert_eq!(table.source_for(ip("8.8.8.8")), Some(ip("10.0.2.15")));
        assert_eq!(table.source_for(ip("fe80::9")), Some(ip("fe80::5")));
        assert_eq!(table.source_for(ip("2600::1")), Some(ip("2001:db8::5")));
        assert_eq!(table.source_for(ip("ff02::fb")), Some(ip("fe80::5")));
        assert_eq!(table.source_for(ip("ff05::2")), Some(ip("2001:db8::5")));
        table.iter_mut().for_each(|own| own.is_tentative = true);
        assert_eq!(table.source_for(ip("8.8.8.8")), None);
        assert!(!table.is_own(ip("10.0.2.15")));
        assert!(table.is_broadcast(ip("10.0.2.255")) && !table.is_broadcast(ip("10.0.3.255")));
    }
}
