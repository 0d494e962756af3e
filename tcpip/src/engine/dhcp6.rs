//! The DHCPv6 client (RFC 8415, section 18.2): asks for one address, name servers and domains where routers say that a server has them
//! (RFC 4861, section 4.2).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::address::{Address, Prefix};
use crate::device::Device;
use crate::engine::Engine;
use crate::engine::autoconfiguration::lifetime;
use crate::engine::send::Outgoing;
use crate::sockets::Sockets;
use crate::tcp::NEVER;
use crate::timers::Key;
use crate::wire::dhcp6::{
    ALL_SERVERS, Answer, CLIENT_PORT, Kind, Lent, NO_BINDING, Query, SERVER_PORT,
};
use crate::wire::{protocol, udp};

/// A router's flags: addresses are to be had by DHCPv6, or other things are (RFC 4861, section 4.2).
const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;

const SECOND: u64 = 1_000_000;
/// The first question waits for a random time up to this, since a router's word comes to many machines at once.
const START_US: u64 = SECOND;
/// How long an address by DHCPv6 may take before it is believed that there will be none soon.
const PATIENCE_US: u64 = 4 * SECOND;
/// How long a server that gave nothing is left alone.
const PAUSE_US: u64 = 10 * SECOND;
/// A lease is kept that long at least before longer is asked for.
const LEAST_RENEWAL_US: u64 = 10 * SECOND;
/// Preference of a server that need not be compared with others (section 21.8).
const BEST: u8 = 255;
/// How long what is not about addresses is believed without a word about it, and at least (section 21.23).
const REFRESH_S: u32 = 86_400;
const LEAST_REFRESH_S: u32 = 600;
/// What a server may say of the longest wait between questions that nobody answers, in seconds (section 21.24).
const MOST_WAITS_S: core::ops::RangeInclusive<u32> = 60..=86_400;
const MOST_WAIT_US: u64 = 3600 * SECOND;

/// What a server has lent, until when, and when all are asked for longer.
#[derive(Clone, Copy, Debug)]
struct Lease {
    address: Address,
    rebind_at: u64,
    until: u64,
}

#[derive(Debug)]
enum Phase {
    /// Asks all for an address, and compares what they offer until the first wait is over.
    Soliciting { best: Option<Answer> },
    /// Asks a server for what it offered.
    Requesting { server: Vec<u8>, address: Address },
    /// Has an address.
    Bound { server: Vec<u8>, lease: Lease },
    /// Tells that another host has what was lent.
    Declining { server: Vec<u8>, address: Address },
    /// Gives back what was lent, and is done then.
    Releasing { server: Vec<u8>, address: Address },
    /// Asks for name servers and domains alone.
    Asking,
    /// Has them.
    Informed,
}

/// A question and its repetitions.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    kind: Kind,
    id: u32,
    began_at: u64,
    wait_us: u64,
    count: u8,
}

/// The client.
pub(super) struct Client {
    phase: Phase,
    exchange: Option<Exchange>,
    next_at: u64,
    most_wait_us: u64,
    /// Until when connections wait for an address.
    pub(super) patience_until: u64,
}

impl Kind {
    /// The first wait before a repetition, the longest, and how often is asked at the most (section 7.6); 0: for ever.
    fn waits(self, most_wait_us: u64) -> (u64, u64, u8) {
        match self {
            Self::Request => (SECOND, 30 * SECOND, 10),
            Self::Renew | Self::Rebind => (10 * SECOND, 600 * SECOND, 0),
            Self::Decline | Self::Release => (SECOND, most_wait_us, 4),
            _ => (SECOND, most_wait_us, 0),
        }
    }
}

impl Client {
    /// Does something else, from a time on.
    fn turn(&mut self, phase: Phase, next_at: u64) {
        (self.phase, self.exchange, self.next_at) = (phase, None, next_at);
    }

    /// Looks for an address anew, after a while.
    fn start_over(&mut self, now: u64) {
        self.turn(Phase::Soliciting { best: None }, now + PAUSE_US);
    }

    /// Asks for nothing any more.
    fn end(&mut self) {
        self.turn(Phase::Soliciting { best: None }, NEVER);
    }

    /// The address that is lent.
    fn address(&self) -> Option<Address> {
        match &self.phase {
            Phase::Bound { lease, .. } => Some(lease.address),
            _ => None,
        }
    }

    /// Keeps what a server has lent.
    fn bind(&mut self, lent: Lent, server: Vec<u8>, now: u64) {
        let until = lifetime(lent.valid_s, now);
        let part = |wanted: u32, tenths: u64| match (wanted, lent.preferred_s) {
            (0, u32::MAX) => u64::MAX,
            (0, preferred) => now + u64::from(preferred) * SECOND / 10 * tenths,
            (wanted, _) => lifetime(wanted, now),
        };
        let least = now + LEAST_RENEWAL_US;
        let renew_at = part(lent.renew_s, 5).max(least).min(until);
        let lease = Lease {
            address: lent.address,
            rebind_at: part(lent.rebind_s, 8).clamp(renew_at, until),
            until,
        };
        self.turn(Phase::Bound { server, lease }, renew_at);
        self.patience_until = now;
    }

    /// What is over ends, and what an answer was awaited for in vain.
    fn give_up_what_is_over(&mut self, now: u64) {
        let is_exhausted = self.exchange.is_some_and(|exchange| {
            let (_, _, most) = exchange.kind.waits(self.most_wait_us);
            most != 0 && exchange.count >= most
        });
        match &mut self.phase {
            Phase::Soliciting { best } => {
                if let Some(best) = best.take()
                    && let Some(lent) = best.lent
                {
                    let (server, address) = (best.server, lent.address);
                    self.turn(Phase::Requesting { server, address }, now);
                }
            }
            Phase::Bound { lease, .. } if lease.until <= now => {
                self.turn(Phase::Soliciting { best: None }, now);
            }
            Phase::Requesting { .. } | Phase::Declining { .. } if is_exhausted => {
                self.turn(Phase::Soliciting { best: None }, now);
            }
            Phase::Releasing { .. } if is_exhausted => self.end(),
            Phase::Informed => self.turn(Phase::Asking, now),
            _ => {}
        }
    }

    /// The question that is due; the next one will be later.
    fn ask(&mut self, chance: u64, now: u64) -> (Exchange, Option<&[u8]>, Option<Address>) {
        let (kind, server, address, end) = match &self.phase {
            Phase::Soliciting { .. } => (Kind::Solicit, None, None, u64::MAX),
            Phase::Requesting { server, address } => {
                (Kind::Request, Some(server), Some(*address), u64::MAX)
            }
            Phase::Bound { server, lease } => match now < lease.rebind_at {
                true => (
                    Kind::Renew,
                    Some(server),
                    Some(lease.address),
                    lease.rebind_at,
                ),
                false => (Kind::Rebind, None, Some(lease.address), lease.until),
            },
            Phase::Declining { server, address } => {
                (Kind::Decline, Some(server), Some(*address), u64::MAX)
            }
            Phase::Releasing { server, address } => {
                (Kind::Release, Some(server), Some(*address), u64::MAX)
            }
            Phase::Asking | Phase::Informed => (Kind::InformationRequest, None, None, u64::MAX),
        };
        let (first_us, most_us, _) = kind.waits(self.most_wait_us);
        let exchange = match self.exchange.filter(|known| known.kind == kind) {
            Some(known) => Exchange {
                wait_us: (known.wait_us * 2).min(most_us),
                count: known.count.saturating_add(1),
                ..known
            },
            None => Exchange {
                kind,
                id: (chance >> 40) as u32,
                began_at: now,
                wait_us: first_us,
                count: 1,
            },
        };
        // Up to a tenth more, so that machines that began together do not go on together.
        let wobble = chance % (exchange.wait_us / 10);
        self.next_at = (now + exchange.wait_us + wobble).min(end);
        self.exchange = Some(exchange);
        (exchange, server.map(Vec::as_slice), address)
    }
}

impl<D: Device, S: Sockets> Engine<D, S> {
    /// The address that a server has lent by DHCPv6, if one has.
    pub fn address_by_dhcp6(&self) -> Option<IpAddr> {
        let client = self.dhcp6.as_ref()?;
        client.address().map(IpAddr::from)
    }

    /// A router says by its flags whether a server has addresses, or other things that are not known yet.
    pub(super) fn heed_flags(&mut self, flags: u8, now: u64) {
        let is_managed = flags & MANAGED != 0;
        let has_names = self
            .autoconfiguration
            .as_ref()
            .is_some_and(|one| one.has_dns());
        let is_enough = match self.dhcp6.as_ref().map(|client| &client.phase) {
            Some(Phase::Asking | Phase::Informed) => !is_managed,
            Some(_) => true,
            None => !is_managed && (flags & OTHER == 0 || has_names),
        };
        if is_enough {
            return;
        }
        let phase = match is_managed {
            true => Phase::Soliciting { best: None },
            false => Phase::Asking,
        };
        let next_at = now + self.random.next_u64() % START_US;
        self.dhcp6 = Some(Box::new(Client {
            phase,
            exchange: None,
            next_at,
            most_wait_us: MOST_WAIT_US,
            patience_until: if is_managed { now + PATIENCE_US } else { 0 },
        }));
        self.timers.set(Key::Dhcp6, next_at);
    }

    /// Another host has an address that was lent: that is told, and the server gives another one.
    pub(super) fn decline(&mut self, address: Address) {
        if let Some(client) = &mut self.dhcp6
            && let Phase::Bound { server, lease } = &mut client.phase
            && lease.address == address
        {
            let server = core::mem::take(server);
            client.turn(Phase::Declining { server, address }, 0);
            self.timers.set(Key::Dhcp6, 0);
        }
    }

    /// Gives the address back, which is used no more from now on (section 18.2.7), and asks for nothing else.
    pub(super) fn give_lease_of_dhcp6_back(&mut self, now: u64) {
        let Some(client) = &mut self.dhcp6 else {
            return;
        };
        match &mut client.phase {
            Phase::Bound { server, lease } => {
                let (server, address) = (core::mem::take(server), lease.address);
                client.turn(Phase::Releasing { server, address }, now);
                self.addresses
                    .retain(|own| own.prefix.address != address || !own.is_automatic);
                self.forget_paths();
            }
            _ => client.end(),
        }
        self.run_dhcp6(now);
    }

    /// Whether a server is still to say that it has an address back.
    pub(super) fn is_giving_lease_back(&self) -> bool {
        let phase = self.dhcp6.as_ref().map(|client| &client.phase);
        matches!(phase, Some(Phase::Releasing { .. }))
    }

    /// Does what is due.
    pub(super) fn run_dhcp6(&mut self, now: u64) {
        let chance = self.random.next_u64();
        let source = self.addresses.source_for(ALL_SERVERS);
        let mac = self.capabilities.mac;
        let Some(client) = &mut self.dhcp6 else {
            return;
        };
        let mut question = None;
        if client.next_at <= now {
            client.give_up_what_is_over(now);
        }
        if client.next_at <= now {
            match source {
                // The address for this link is still being tried.
                None => client.next_at = now + SECOND,
                Some(source) => {
                    let (exchange, server, address) = client.ask(chance, now);
                    let query = Query {
                        kind: exchange.kind,
                        id: exchange.id,
                        mac,
                        elapsed: ((now - exchange.began_at) / (SECOND / 100)).min(0xFFFF) as u16,
                        server,
                        address,
                    };
                    question = Some((source, query.write()));
                }
            }
        }
        self.timers.set(Key::Dhcp6, client.next_at.max(now + 1));
        if let Some((source, message)) = question {
            let out = Outgoing {
                source,
                destination: ALL_SERVERS,
                protocol: protocol::UDP,
                hop_limit: 1,
                traffic_class: 0,
                len: udp::HEADER + message.len(),
            };
            // What is lost is repeated.
            let _ = self.send_packet(out, now, &mut |bytes| {
                let (from, to) = ((source, CLIENT_PORT), (ALL_SERVERS, SERVER_PORT));
                udp::write(bytes, from, to, &message);
            });
            self.device.flush();
        }
    }

    /// A server has answered.
    pub(super) fn receive_dhcp6(&mut self, payload: &[u8], now: u64) {
        let Some(answer) = Answer::read(payload, self.capabilities.mac) else {
            self.stats.damaged += 1;
            return;
        };
        let Some(client) = &mut self.dhcp6 else {
            return;
        };
        let Some(exchange) = client.exchange.filter(|one| one.id == answer.id) else {
            return;
        };
        if let Some(seconds) = answer.most_wait_s.filter(|it| MOST_WAITS_S.contains(it)) {
            client.most_wait_us = u64::from(seconds) * SECOND;
        }
        match (&mut client.phase, answer.kind) {
            (Phase::Soliciting { best }, Kind::Advertise) => {
                let is_lent = answer.lent.is_some_and(|lent| lent.valid_s != 0);
                let is_better = best
                    .as_ref()
                    .is_none_or(|best| best.preference < answer.preference);
                if is_lent && is_better {
                    // Who has waited once takes what comes first.
                    if answer.preference == BEST || exchange.count > 1 {
                        client.next_at = now;
                    }
                    *best = Some(answer);
                }
            }
            (Phase::Requesting { server, .. }, Kind::Reply) if *server == answer.server => {
                self.take_reply(&answer, now);
            }
            (Phase::Bound { server, lease }, Kind::Reply)
                if exchange.kind == Kind::Rebind || *server == answer.server =>
            {
                match answer.status {
                    NO_BINDING => {
                        let (server, address) = (answer.server, lease.address);
                        client.turn(Phase::Requesting { server, address }, now);
                    }
                    // Without an address it is asked for again, until the lease is over (section 18.2.10.1).
                    _ if answer.lent.is_none() => {}
                    _ => self.take_reply(&answer, now),
                }
            }
            (Phase::Declining { .. }, Kind::Reply) => client.start_over(now),
            // Whatever the server says of it (section 18.2.10.2).
            (Phase::Releasing { .. }, Kind::Reply) => client.end(),
            (Phase::Asking, Kind::Reply) => {
                let seconds = answer.refresh_s.unwrap_or(REFRESH_S).max(LEAST_REFRESH_S);
                // A moment longer than until the next answer, so that nothing is unknown meanwhile.
                let until = lifetime(seconds, now).saturating_add(60 * SECOND);
                client.turn(Phase::Informed, lifetime(seconds, now));
                self.take_names(&answer, until, now);
            }
            _ => return,
        }
        self.run_dhcp6(now);
    }

    /// Name servers and domains of an answer are good until a time.
    fn take_names(&mut self, answer: &Answer, until: u64, now: u64) {
        let Some(one) = &mut self.autoconfiguration else {
            return;
        };
        for server in &answer.dns {
            one.take_dns(*server, until, now);
        }
        for domain in &answer.domains {
            one.take_domain(domain, until, now);
        }
        self.timers.set(Key::Autoconfiguration, until);
    }

    /// What a server lends, or takes away.
    fn take_reply(&mut self, answer: &Answer, now: u64) {
        let Some(client) = &mut self.dhcp6 else {
            return;
        };
        let lent = answer.lent.filter(|lent| lent.valid_s != 0);
        let old = client.address();
        match lent {
            Some(lent) => client.bind(lent, answer.server.clone(), now),
            None => client.start_over(now),
        }
        if let Some(old) = old.filter(|old| lent.is_none_or(|lent| lent.address != *old)) {
            self.addresses
                .retain(|own| own.prefix.address != old || !own.is_automatic);
            self.address_changes = self.address_changes.wrapping_add(1);
            self.forget_paths();
        }
        let Some(lent) = lent else {
            return;
        };
        let until = lifetime(lent.valid_s, now);
        let is_known = self.addresses.iter_mut().any(|own| {
            let is_it = own.prefix.address == lent.address;
            if is_it && own.is_automatic {
                own.valid_until = until;
            }
            is_it
        });
        if !is_known {
            // Whether others of the network are on this link is for the routers to say.
            self.try_address(Prefix::new(lent.address, 128), until, now);
        }
        self.take_names(answer, until, now);
        self.run_autoconfiguration(now);
    }
}
