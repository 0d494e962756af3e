//! IPv6 addresses and routers from what routers say (RFC 4861, section 6.3; RFC 4862; RFC 8106 for name servers and domains).

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::address::{Address, Prefix};
use crate::device::{Device, Medium};
use crate::engine::Engine;
use crate::ip::addresses::{Own, Route};
use crate::ip::neighbors::Word;
use crate::sockets::Sockets;
use crate::timers::Key;
use crate::wire::domains::MAX_DOMAINS;
use crate::wire::ethernet::{self, Mac};
use crate::wire::ip::Packet;
use crate::wire::ndp::{self, PrefixInformation};

const SECOND: u64 = 1_000_000;
/// The first message of an interface waits for a random time, so that machines that start together do not all speak at once (RFC 4861,
/// section 6.3.7, and RFC 4862, section 5.4.2, where it may be longer): between once and twice this. So what a start is for comes first.
const START_US: u64 = SECOND / 10;
/// How long another host may take to say that it has an address.
const TRIAL_US: u64 = SECOND;
/// Questions for routers, and the time between them.
const MAX_SOLICITATIONS: u8 = 3;
const SOLICITATION_US: u64 = 4 * SECOND;
/// How long routers may take to answer before it is believed that there are none.
const ROUTER_PATIENCE_US: u64 = 3 * SECOND;
/// An address whose router forgets it stays that long at least (RFC 4862, section 5.5.3), so that nobody can take it away at once.
const LEAST_LIFETIME_US: u64 = 2 * 3600 * SECOND;
/// Name servers that are kept.
const MAX_DNS: usize = 4;

/// What has been found out.
pub(super) struct Autoconfiguration {
    /// Addresses that are tried, and when they may be used.
    trials: Vec<(Address, u64)>,
    /// The address for this link, until it is tried.
    first: Option<Prefix>,
    asked: u8,
    ask_at: u64,
    /// Until when the first answer of a router is awaited.
    patience_until: u64,
    /// It is known whether there are routers, and no address is being tried.
    is_settled: bool,
    /// Name servers, and until when they may be asked.
    dns: Vec<(Address, u64)>,
    /// Domains in which short names are looked for, and until when.
    domains: Vec<(String, u64)>,
    /// Another host has our hardware address, or at least its address.
    is_given_up: bool,
}

impl Autoconfiguration {
    /// A router or a server tells of a name server.
    pub(super) fn take_dns(&mut self, server: Address, until: u64, now: u64) {
        let until = if server.is_unicast() { until } else { now };
        take(&mut self.dns, server, until, now, MAX_DNS);
    }

    /// The same of a domain.
    pub(super) fn take_domain(&mut self, domain: &str, until: u64, now: u64) {
        take(&mut self.domains, domain.into(), until, now, MAX_DOMAINS);
    }

    /// Whether a name server is known.
    pub(super) fn has_dns(&self) -> bool {
        !self.dns.is_empty()
    }
}

/// Notes something until its end, in a list of so many at the most. When there are too many, the one that goes first makes room for one
/// that stays longer (RFC 8106, section 6.1).
fn take<T: PartialEq>(list: &mut Vec<(T, u64)>, what: T, until: u64, now: u64, most: usize) {
    list.retain(|(known, end)| *known != what && *end > now);
    if until <= now {
        return;
    }
    if list.len() >= most {
        let ends = list.iter().enumerate();
        match ends.min_by_key(|(_, (_, end))| *end) {
            Some((at, (_, end))) if *end < until => drop(list.remove(at)),
            _ => return,
        }
    }
    list.push((what, until));
}

/// An address of a network for a hardware address (RFC 4291, appendix A).
fn address_of(prefix: Address, mac: Mac) -> Address {
    let [a, b, c, d, e, f] = mac;
    let id = u64::from_be_bytes([a ^ 2, b, c, 0xFF, 0xFE, d, e, f]);
    let network = prefix.bits() >> 64 << 64;
    Address::v6((network | u128::from(id)).to_be_bytes())
}

/// When so many seconds are over, of which the largest number means for ever.
pub(super) fn lifetime(seconds: u32, now: u64) -> u64 {
    match seconds {
        u32::MAX => u64::MAX,
        seconds => now + u64::from(seconds) * SECOND,
    }
}

/// How a router wants to be preferred, by the flags of its advertisement (RFC 4191, section 2.2).
fn preference(flags: u8) -> i8 {
    match flags >> 3 & 3 {
        1 => 1,
        3 => -1,
        _ => 0,
    }
}

impl<D: Device, S: Sockets> Engine<D, S> {
    /// Starts IPv6: an address for this link, and the question which routers there are.
    pub fn start_ipv6(&mut self, now: u64) {
        if self.capabilities.medium != Medium::Ethernet || self.autoconfiguration.is_some() {
            return;
        }
        let link_local = address_of(
            Address::v6([0xFE, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            self.capabilities.mac,
        );
        let starts_at = now + START_US + self.random.next_u64() % START_US;
        self.autoconfiguration = Some(Autoconfiguration {
            trials: Vec::new(),
            first: Some(Prefix::new(link_local, 64)),
            asked: 0,
            ask_at: starts_at,
            patience_until: starts_at + ROUTER_PATIENCE_US,
            is_settled: false,
            dns: Vec::new(),
            domains: Vec::new(),
            is_given_up: false,
        });
        self.timers.set(Key::Autoconfiguration, starts_at);
    }

    /// Name servers that routers, or servers by DHCPv6, told of.
    pub fn router_dns(&self) -> impl Iterator<Item = IpAddr> {
        let known = self.autoconfiguration.as_ref();
        known
            .into_iter()
            .flat_map(|one| one.dns.iter().map(|(dns, _)| IpAddr::from(*dns)))
    }

    /// Domains that they told of, in which short names are looked for.
    pub fn router_domains(&self) -> impl Iterator<Item = &str> {
        let known = self.autoconfiguration.as_ref();
        known
            .into_iter()
            .flat_map(|one| one.domains.iter().map(|(domain, _)| domain.as_str()))
    }

    /// Whether addresses are being tried, or the first answer of a router is awaited.
    pub fn is_configuring_ipv6(&self) -> bool {
        match &self.autoconfiguration {
            Some(one) => !one.is_settled,
            None => self
                .book
                .as_ref()
                .is_some_and(|book| book.is_configuring_ipv6),
        }
    }

    /// Finds out whether another host has an address (RFC 4862, section 5.4); if not, it is ours.
    pub(super) fn try_address(&mut self, prefix: Prefix, valid_until: u64, now: u64) {
        let own = Own {
            prefix,
            is_tentative: true,
            valid_until,
            is_automatic: true,
            is_untold: false,
        };
        if !self.addresses.add(own) {
            return;
        }
        if let Some(one) = &mut self.autoconfiguration {
            one.trials.push((prefix.address, now + TRIAL_US));
        }
        let to = prefix.address.solicited_node();
        let message = ndp::solicitation(Address::ANY_V6, to, prefix.address, None);
        self.send_ndp(Address::ANY_V6, to, to.group_mac(), &message);
    }

    /// Another host has, or tries, an address that we try: it is not ours.
    pub(super) fn lose_trial(&mut self, address: Address) {
        let Some(one) = &mut self.autoconfiguration else {
            return;
        };
        let before = one.trials.len();
        one.trials.retain(|(tried, _)| *tried != address);
        if one.trials.len() != before {
            one.is_given_up |= address.is_link_local();
            self.addresses.retain(|own| own.prefix.address != address);
            self.decline(address);
        }
    }

    /// Does what is due. An address that is made from our hardware address is not announced: no neighbour remembers another station by it.
    pub(super) fn run_autoconfiguration(&mut self, now: u64) {
        let Some(one) = &mut self.autoconfiguration else {
            return;
        };
        if one.ask_at <= now
            && let Some(first) = one.first.take()
        {
            self.try_address(first, u64::MAX, now);
        }
        let mut next = self.next_end();
        let mut has_changed = false;
        if next <= now {
            has_changed = self.end_what_is_over(now);
            next = self.next_end();
        }
        let Some(one) = &mut self.autoconfiguration else {
            return;
        };
        // Who has no address yet asks from none (RFC 4861, section 4.1), and so has its address a second earlier.
        let will_ask = one.asked < MAX_SOLICITATIONS && !one.is_given_up;
        let asks = will_ask && one.ask_at <= now;
        if asks {
            one.asked += 1;
            one.ask_at = now + SOLICITATION_US;
        }
        if one.first.is_some() || one.asked < MAX_SOLICITATIONS && will_ask {
            next = next.min(one.ask_at);
        }
        let of_dhcp = self
            .dhcp6
            .as_ref()
            .map_or(0, |client| client.patience_until);
        let patience_until = one.patience_until.max(of_dhcp);
        let is_patient = patience_until > now;
        if is_patient {
            next = next.min(patience_until);
        }
        let is_settled = one.trials.is_empty() && !is_patient;
        has_changed |= is_settled != core::mem::replace(&mut one.is_settled, is_settled);
        if next != u64::MAX {
            self.timers.set(Key::Autoconfiguration, next.max(now + 1));
        }
        if has_changed {
            self.address_changes = self.address_changes.wrapping_add(1);
            self.forget_paths();
            self.begin_awaiting(now);
        }
        if asks {
            let to = Address::ALL_ROUTERS;
            let source = self.addresses.source_for(to).unwrap_or(Address::ANY_V6);
            let mac = (!source.is_unspecified()).then_some(self.capabilities.mac);
            let message = ndp::router_solicitation(source, to, mac);
            self.send_ndp(source, to, to.group_mac(), &message);
        }
    }

    /// When the next trial, lifetime of an address or a router's word is over; the largest number if none ever is.
    fn next_end(&self) -> u64 {
        let mut next = u64::MAX;
        for own in self.addresses.iter() {
            next = next.min(own.valid_until);
        }
        for route in self.addresses.routes() {
            next = next.min(route.valid_until);
        }
        if let Some(one) = &self.autoconfiguration {
            for (_, at) in one.trials.iter().chain(&one.dns) {
                next = next.min(*at);
            }
            for (_, at) in &one.domains {
                next = next.min(*at);
            }
        }
        next
    }

    /// Takes away what is over, and has addresses that nobody else claimed be ours; whether addresses have changed.
    fn end_what_is_over(&mut self, now: u64) -> bool {
        let Some(one) = &mut self.autoconfiguration else {
            return false;
        };
        let count = self.addresses.iter().count();
        self.addresses
            .retain(|own| !own.is_automatic || own.valid_until > now);
        let mut has_changed = self.addresses.iter().count() != count;
        self.addresses
            .retain_routes(|route| route.valid_until > now);
        one.dns.retain(|(_, until)| *until > now);
        one.domains.retain(|(_, until)| *until > now);
        one.trials.retain(|(address, at)| {
            let is_over = *at <= now;
            if is_over {
                let mut all = self.addresses.iter_mut();
                if let Some(own) = all.find(|own| own.prefix.address == *address) {
                    own.is_tentative = false;
                }
                has_changed = true;
            }
            !is_over
        });
        has_changed
    }

    /// A router tells of itself and its networks. `body` begins behind the checksum.
    pub(super) fn receive_router(&mut self, packet: &Packet<'_>, body: &[u8], now: u64) {
        let (Some(header), Some(options)) = (
            body.first_chunk::<12>(),
            body.get(12..).and_then(ndp::Options::read),
        ) else {
            self.stats.damaged += 1;
            return;
        };
        if !packet.source.is_link_local() || packet.hop_limit != 255 {
            self.stats.damaged += 1;
            return;
        }
        let Some(one) = &mut self.autoconfiguration else {
            return;
        };
        one.asked = MAX_SOLICITATIONS;
        one.patience_until = one.patience_until.min(now);
        for (server, seconds) in &options.dns_servers {
            one.take_dns(*server, lifetime(*seconds, now), now);
        }
        for (domain, seconds) in &options.domains {
            one.take_domain(domain, lifetime(*seconds, now), now);
        }
        let router_lifetime = u32::from(u16::from_be_bytes([header[2], header[3]]));
        let any = Prefix::new(Address::ANY_V6, 0);
        let mut word = Word::Told;
        if router_lifetime == 0 {
            let gateway = Some(packet.source);
            self.addresses
                .retain_routes(|route| route.to != any || route.gateway != gateway);
        } else if self.addresses.add_route(Route {
            valid_until: lifetime(router_lifetime, now),
            preference: preference(header[1]),
            ..Route::new(any, Some(packet.source))
        }) {
            // One that will be used.
            word = Word::Asking;
        }
        self.forget_paths();
        if let Some(mac) = options.source_mac.filter(|mac| ethernet::is_unicast(*mac)) {
            self.learn(packet.source, mac, word, now);
        }
        for prefix in &options.prefixes {
            self.take_prefix(prefix, now);
        }
        self.heed_flags(header[1], now);
        self.run_autoconfiguration(now);
        self.device.flush();
    }

    /// A router tells of a network: it is on this link, or an address can be made from it, or both.
    fn take_prefix(&mut self, prefix: &PrefixInformation, now: u64) {
        if prefix.prefix.is_link_local() || prefix.prefix.is_multicast() || prefix.len > 128 {
            return;
        }
        let network = Prefix::new(prefix.prefix, prefix.len);
        // One for no time at all is no more (RFC 4861, section 6.3.4); it goes with what has ended.
        let is_known = self.addresses.routes().any(|route| route.to == network);
        if prefix.is_on_link && (prefix.valid_s != 0 || is_known) {
            self.addresses.add_route(Route {
                valid_until: lifetime(prefix.valid_s, now),
                ..Route::new(network, None)
            });
        }
        if !prefix.is_autonomous || prefix.len != 64 || prefix.preferred_s > prefix.valid_s {
            return;
        }
        let address = address_of(prefix.prefix, self.capabilities.mac);
        let until = lifetime(prefix.valid_s, now);
        let known = self
            .addresses
            .iter_mut()
            .find(|own| own.prefix.address == address);
        match known {
            Some(own) => {
                let least = own.valid_until.min(now + LEAST_LIFETIME_US);
                own.valid_until = until.max(least);
            }
            // Whether others of the network are on this link is said apart.
            None if prefix.valid_s != 0 => self.try_address(Prefix::new(address, 128), until, now),
            None => {}
        }
    }
}
