//! Messages of neighbour discovery (RFC 4861).

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::domains::read_domains;
use super::ethernet::Mac;
use super::{icmp, put};
use crate::address::Address;

const ROUTER_SOLICITATION: u8 = 133;
/// What a router says of itself and the link.
pub(crate) const ROUTER_ADVERTISEMENT: u8 = 134;
/// Asks for a hardware address.
pub(crate) const NEIGHBOR_SOLICITATION: u8 = 135;
/// Tells it.
pub(crate) const NEIGHBOR_ADVERTISEMENT: u8 = 136;

const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;
const PREFIX: u8 = 3;
const MTU: u8 = 5;
const DNS_SERVERS: u8 = 25;
const DOMAINS: u8 = 31;
/// Options looked at.
const MAX_OPTIONS: usize = 32;

/// A question for a neighbour's hardware address, with the asker's own unless it has no address yet.
pub(crate) fn solicitation(
    source: Address,
    to: Address,
    target: Address,
    mac: Option<Mac>,
) -> Vec<u8> {
    let mut bytes = vec![0; if mac.is_some() { 32 } else { 24 }];
    put(&mut bytes, 0, &[NEIGHBOR_SOLICITATION]);
    put(&mut bytes, 8, &target.octets_v6());
    if let Some(mac) = mac {
        put(&mut bytes, 24, &[SOURCE_MAC, 1]);
        put(&mut bytes, 26, &mac);
    }
    icmp::finish(&mut bytes, source, to);
    bytes
}

/// The answer, or, if it is not `solicited`, an announcement.
pub(crate) fn advertisement(
    source: Address,
    to: Address,
    target: Address,
    mac: Mac,
    is_solicited: bool,
) -> Vec<u8> {
    let mut bytes = vec![0; 32];
    // That it replaces what was known is said too.
    let flags = 0x20 | if is_solicited { 0x40 } else { 0 };
    put(&mut bytes, 0, &[NEIGHBOR_ADVERTISEMENT]);
    put(&mut bytes, 4, &[flags]);
    put(&mut bytes, 8, &target.octets_v6());
    put(&mut bytes, 24, &[TARGET_MAC, 1]);
    put(&mut bytes, 26, &mac);
    icmp::finish(&mut bytes, source, to);
    bytes
}

/// A question for routers.
pub(crate) fn router_solicitation(source: Address, to: Address, mac: Option<Mac>) -> Vec<u8> {
    let mut bytes = vec![0; if mac.is_some() { 16 } else { 8 }];
    put(&mut bytes, 0, &[ROUTER_SOLICITATION]);
    if let Some(mac) = mac {
        put(&mut bytes, 8, &[SOURCE_MAC, 1]);
        put(&mut bytes, 10, &mac);
    }
    icmp::finish(&mut bytes, source, to);
    bytes
}

/// A network that a router tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PrefixInformation {
    pub(crate) prefix: Address,
    pub(crate) len: u8,
    pub(crate) is_on_link: bool,
    pub(crate) is_autonomous: bool,
    pub(crate) valid_s: u32,
    pub(crate) preferred_s: u32,
}

/// The options of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) source_mac: Option<Mac>,
    pub(crate) target_mac: Option<Mac>,
    pub(crate) mtu: Option<u32>,
    pub(crate) prefixes: Vec<PrefixInformation>,
    /// With the seconds for which they may be asked (RFC 8106, section 5.1).
    pub(crate) dns_servers: Vec<(Address, u32)>,
    /// Domains in which short names are looked for, likewise (section 5.2).
    pub(crate) domains: Vec<(String, u32)>,
}

impl Options {
    /// Reads options; none if one has no length, as such messages are dropped (RFC 4861, section 4.6).
    pub(crate) fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut options = Self::default();
        for _ in 0..MAX_OPTIONS {
            let [kind, len, ..] = bytes else {
                return bytes.is_empty().then_some(options);
            };
            if *len == 0 {
                return None;
            }
            let (option, rest) = bytes.split_at_checked(usize::from(*len) * 8)?;
            options.take(*kind, option);
            bytes = rest;
        }
        Some(options)
    }

    fn take(&mut self, kind: u8, option: &[u8]) {
        let mac = || option.get(2..8)?.try_into().ok();
        let word = |at: usize| {
            let bytes = option.get(at..at + 4)?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?))
        };
        match kind {
            SOURCE_MAC => self.source_mac = mac(),
            TARGET_MAC => self.target_mac = mac(),
            MTU => self.mtu = word(4),
            PREFIX => {
                if let (Some([len, flags]), Some(valid_s), Some(preferred_s), Some(prefix)) =
                    (option.get(2..4), word(4), word(8), option.get(16..32))
                    && let Ok(prefix) = <[u8; 16]>::try_from(prefix)
                {
                    self.prefixes.push(PrefixInformation {
                        prefix: Address::v6(prefix),
                        len: *len,
                        is_on_link: flags & 0x80 != 0,
                        is_autonomous: flags & 0x40 != 0,
                        valid_s,
                        preferred_s,
                    });
                }
            }
            DNS_SERVERS => {
                let servers = option.get(8..).unwrap_or_default();
                let (servers, _) = servers.as_chunks::<16>();
                let seconds = word(4).unwrap_or(0);
                let servers = servers.iter().map(|server| (Address::v6(*server), seconds));
                self.dns_servers.extend(servers);
            }
            DOMAINS => {
                let seconds = word(4).unwrap_or(0);
                let domains = read_domains(option.get(8..).unwrap_or_default()).into_iter();
                self.domains.extend(domains.map(|domain| (domain, seconds)));
            }
            _ => {}
        }
    }
}
