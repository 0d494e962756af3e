//! The DHCP client (RFC 2131, section 4.4): looks for an address, keeps it, and gives it up when its lease is over.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use crate::address::{Address, Prefix};
use crate::device::Device;
use crate::engine::Engine;
use crate::engine::offered::{Awaited, Offered};
use crate::engine::send::Outgoing;
use crate::ip::addresses::{Own, Route};
use crate::sockets::Sockets;
use crate::timers::Key;
use crate::wire::dhcp::{Answer, CLIENT_PORT, Kind, Query, SERVER_PORT};
use crate::wire::{protocol, udp};

const SECOND: u64 = 1_000_000;
/// Time before the first repetition. A server on the same machine answers at once, and a lost first packet should not cost long.
const FIRST_WAIT_US: u64 = 2 * SECOND;
/// Longest time between repetitions.
const MAX_WAIT_US: u64 = 64 * SECOND;
/// Requests for one offer.
const MAX_REQUESTS: u8 = 4;
/// Shortest time between repetitions that keep a lease (section 4.4.5).
const LEAST_RENEWAL_US: u64 = 60 * SECOND;
/// Shortest lease that is believed.
const LEAST_LEASE_S: u32 = 10;

/// What a server has lent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Our address.
    pub address: Ipv4Addr,
    /// How many of its bits name the network.
    pub prefix_len: u8,
    /// Who passes packets on to other networks.
    pub gateway: Option<Ipv4Addr>,
    /// Who knows names.
    pub dns: Vec<Ipv4Addr>,
    /// Domains in which short names are looked for.
    pub domains: Vec<String>,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Asks all for an address.
    Selecting,
    /// Asks a server for what it offered.
    Requesting {
        address: Address,
        server: Address,
        asked: u8,
    },
    /// Has an address; asks for a longer lease from `renew_at` on, all servers from `rebind_at` on.
    Bound {
        address: Address,
        server: Address,
        renew_at: u64,
        rebind_at: u64,
        until: u64,
    },
}

/// The client.
pub(super) struct Client {
    phase: Phase,
    id: u32,
    began_at: u64,
    next_at: u64,
    wait: u64,
    lease: Option<Lease>,
}

fn v4(address: Address) -> Ipv4Addr {
    address.octets_v4().into()
}

impl<D: Device, S: Sockets> Engine<D, S> {
    /// Starts looking for an address.
    pub fn start_dhcp(&mut self, now: u64) {
        self.dhcp = Some(Client {
            phase: Phase::Selecting,
            id: self.random.next_u64() as u32,
            began_at: now,
            next_at: now,
            wait: FIRST_WAIT_US,
            lease: None,
        });
        self.is_awaiting = true;
        self.run_dhcp(now);
        self.device.flush();
    }

    /// Looks for an address no more; what was lent stays.
    pub fn stop_dhcp(&mut self) {
        self.dhcp = None;
        self.offered = Offered::default();
        self.is_awaiting = false;
    }

    /// Tells the server that what it has lent is of use to nobody any more (section 4.4.6), and asks for no more. Nobody answers that.
    pub(super) fn give_lease_back(&mut self, now: u64) {
        let id = self.random.next_u64() as u32;
        if let Some(client) = self.dhcp.take()
            && let Phase::Bound {
                address, server, ..
            } = client.phase
        {
            let query = Query {
                kind: Kind::Release,
                id,
                mac: self.capabilities.mac,
                seconds: 0,
                current: Some(address),
                wanted: None,
                server: Some(server),
            };
            self.send_query(&query, server, now);
        }
        self.stop_dhcp();
    }

    /// Whether an address is looked for, or one that was lent is kept.
    pub fn is_looking_for_address(&self) -> bool {
        self.dhcp.is_some()
    }

    /// What a server has lent, if one has.
    pub fn lease(&self) -> Option<&Lease> {
        self.dhcp.as_ref()?.lease.as_ref()
    }

    /// Does what is due.
    pub(super) fn run_dhcp(&mut self, now: u64) {
        let wobble = self.random.next_u64() % SECOND;
        let id = self.random.next_u64() as u32;
        let Some(client) = &mut self.dhcp else {
            return;
        };
        if let Phase::Bound { until, .. } = client.phase
            && until <= now
        {
            self.lose_lease(now);
            return self.run_dhcp(now);
        }
        if client.next_at <= now {
            if let Phase::Requesting { asked, .. } = &mut client.phase {
                *asked += 1;
                if *asked > MAX_REQUESTS {
                    client.phase = Phase::Selecting;
                    client.wait = FIRST_WAIT_US;
                }
            }
            if matches!(client.phase, Phase::Bound { .. }) {
                // All have seen the number of the first question; this one goes to one server.
                client.id = id;
            }
            let mut query = Query {
                kind: Kind::Request,
                id: client.id,
                mac: self.capabilities.mac,
                seconds: ((now - client.began_at) / SECOND).min(0xFFFF) as u16,
                current: None,
                wanted: None,
                server: None,
            };
            let mut to = Address::BROADCAST;
            match client.phase {
                Phase::Selecting => query.kind = Kind::Discover,
                Phase::Requesting {
                    address, server, ..
                } => {
                    (query.wanted, query.server) = (Some(address), Some(server));
                }
                Phase::Bound {
                    address,
                    server,
                    rebind_at,
                    ..
                } => {
                    query.current = Some(address);
                    if now < rebind_at {
                        to = server;
                    }
                }
            }
            client.next_at = match client.phase {
                Phase::Bound {
                    rebind_at, until, ..
                } => {
                    // Half of what is left, each time.
                    let end = if now < rebind_at { rebind_at } else { until };
                    (now + ((end - now) / 2).max(LEAST_RENEWAL_US)).min(end)
                }
                _ => now + client.wait + wobble,
            };
            client.wait = (client.wait * 2).min(MAX_WAIT_US);
            if query.kind == Kind::Discover {
                self.forget_waiting();
            }
            self.send_query(&query, to, now);
        }
        if let Some(client) = &self.dhcp {
            let next = match client.phase {
                Phase::Bound { until, .. } => client.next_at.min(until),
                _ => client.next_at,
            };
            let awaited = match client.phase {
                Phase::Selecting => Awaited::Any,
                Phase::Requesting { address, .. } => Awaited::One(address),
                Phase::Bound { .. } => Awaited::Nothing,
            };
            self.timers.set(Key::Dhcp, next.max(now + 1));
            self.set_awaited(awaited, now);
        }
    }

    fn send_query(&mut self, query: &Query, to: Address, now: u64) {
        let message = query.write();
        let from = query.current.unwrap_or(Address::ANY_V4);
        let out = Outgoing {
            source: from,
            destination: to,
            protocol: protocol::UDP,
            hop_limit: 64,
            traffic_class: 0,
            len: udp::HEADER + message.len(),
        };
        // What is lost is repeated.
        let _ = self.send_packet(out, now, &mut |bytes| {
            udp::write(bytes, (from, CLIENT_PORT), (to, SERVER_PORT), &message);
        });
    }

    /// A server has answered.
    pub(super) fn receive_dhcp(&mut self, payload: &[u8], now: u64) {
        let Some(answer) = Answer::read(payload) else {
            self.stats.damaged += 1;
            return;
        };
        let mac = self.capabilities.mac;
        let Some(client) = &mut self.dhcp else {
            return;
        };
        if answer.id != client.id || answer.mac != mac {
            return;
        }
        match (&client.phase, answer.kind) {
            (Phase::Selecting, Kind::Offer) => {
                // The server is a stranger too: an address that no host can have is no offer.
                let Some(server) = answer.server.filter(|_| is_usable(answer.address)) else {
                    return;
                };
                client.phase = Phase::Requesting {
                    address: answer.address,
                    server,
                    asked: 0,
                };
                (client.wait, client.next_at) = (FIRST_WAIT_US, now);
            }
            // RFC 2131, figure 5: who is bound and has not asked again takes no answer.
            (Phase::Bound { renew_at, .. }, _) if now < *renew_at => return,
            // A server that was asked by itself answers itself.
            (Phase::Requesting { server, .. }, kind)
                if answer.server.is_none_or(|it| it == *server) =>
            {
                let server = *server;
                self.take_answer(&answer, kind, server, now);
            }
            (
                Phase::Bound {
                    server, rebind_at, ..
                },
                kind,
            ) if now >= *rebind_at || answer.server.is_none_or(|it| it == *server) => {
                let server = answer.server.unwrap_or(*server);
                self.take_answer(&answer, kind, server, now);
            }
            _ => return,
        }
        self.run_dhcp(now);
        self.device.flush();
    }

    /// What a server says to a request.
    fn take_answer(&mut self, answer: &Answer, kind: Kind, server: Address, now: u64) {
        match kind {
            Kind::Ack => self.take_lease(answer, server, now),
            Kind::Nak => self.lose_lease(now),
            _ => {}
        }
    }

    fn take_lease(&mut self, answer: &Answer, server: Address, now: u64) {
        if !is_usable(answer.address) {
            return;
        }
        let lease = Lease {
            address: v4(answer.address),
            prefix_len: answer
                .prefix_len
                .filter(|len| (1..=32).contains(len))
                .unwrap_or(24),
            gateway: answer.router.map(v4),
            dns: answer.dns.iter().copied().map(v4).collect(),
            domains: answer.domains.clone(),
        };
        let seconds = answer.lease_s.unwrap_or(3600).max(LEAST_LEASE_S);
        let is_endless = seconds == u32::MAX;
        let part = |wanted: Option<u32>, eighths: u64| {
            let default = u64::from(seconds) * eighths / 8;
            let us = wanted
                .map(u64::from)
                .filter(|wanted| *wanted < u64::from(seconds));
            now + us.unwrap_or(default) * SECOND
        };
        let (renew_at, rebind_at) = (part(answer.renew_s, 4), part(answer.rebind_s, 7));
        let until = now + u64::from(seconds) * SECOND;
        let Some(client) = &mut self.dhcp else {
            return;
        };
        client.phase = match is_endless {
            true => Phase::Bound {
                address: answer.address,
                server,
                renew_at: u64::MAX - 1,
                rebind_at: u64::MAX - 1,
                until: u64::MAX - 1,
            },
            false => Phase::Bound {
                address: answer.address,
                server,
                renew_at: renew_at.min(rebind_at),
                rebind_at,
                until,
            },
        };
        let Phase::Bound { renew_at, .. } = client.phase else {
            return;
        };
        client.next_at = renew_at;
        client.began_at = now;
        if client.lease.as_ref() == Some(&lease) {
            return;
        }
        let old = client.lease.replace(lease.clone());
        self.address_changes = self.address_changes.wrapping_add(1);
        self.is_awaiting = false;
        self.drop_lease(old.as_ref());
        self.addresses.add(Own {
            prefix: Prefix::new(lease.address, lease.prefix_len),
            is_tentative: false,
            valid_until: u64::MAX,
            is_automatic: true,
            is_untold: false,
        });
        if let Some(gateway) = lease.gateway {
            let any = Prefix::new(Ipv4Addr::UNSPECIFIED, 0);
            self.addresses
                .add_route(Route::new(any, Some(gateway.into())));
        }
        self.forget_paths();
        self.announce(lease.address.into(), now);
        self.begin_awaiting(now);
    }

    fn drop_lease(&mut self, lease: Option<&Lease>) {
        let Some(lease) = lease else {
            return;
        };
        let address = Address::from(lease.address);
        self.addresses.retain(|own| own.prefix.address != address);
        let gateway = lease.gateway.map(Address::from);
        self.addresses
            .retain_routes(|route| route.to.len != 0 || route.gateway != gateway);
        self.forget_paths();
    }

    /// The lease is over: the address must not be used any more.
    fn lose_lease(&mut self, now: u64) {
        let Some(client) = &mut self.dhcp else {
            return;
        };
        client.phase = Phase::Selecting;
        client.id = self.random.next_u64() as u32;
        (client.began_at, client.next_at, client.wait) = (now, now, FIRST_WAIT_US);
        let old = client.lease.take();
        if old.is_some() {
            self.address_changes = self.address_changes.wrapping_add(1);
        }
        self.is_awaiting = true;
        self.drop_lease(old.as_ref());
    }
}

fn is_usable(address: Address) -> bool {
    address.is_unicast() && !address.is_loopback()
}
