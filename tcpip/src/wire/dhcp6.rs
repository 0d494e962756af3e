//! Messages of DHCPv6 (RFC 8415), as a client needs them that wants one address, name servers and domains.

use alloc::string::String;
use alloc::vec::Vec;

use super::domains::read_domains;
use super::ethernet::Mac;
use crate::address::Address;

/// Port of servers.
pub(crate) const SERVER_PORT: u16 = 547;
/// Port of clients.
pub(crate) const CLIENT_PORT: u16 = 546;
/// All servers and relays of the link (section 7.1).
pub(crate) const ALL_SERVERS: Address =
    Address::v6([0xFF, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2]);

/// Longest identifier (section 11.1): its type, and 128 bytes.
const MAX_IDENTIFIER: usize = 130;
/// Servers for names that are kept.
const MAX_DNS: usize = 4;

const CLIENT_IDENTIFIER: u16 = 1;
const SERVER_IDENTIFIER: u16 = 2;
const IA_NA: u16 = 3;
const IA_ADDRESS: u16 = 5;
const OPTION_REQUEST: u16 = 6;
const PREFERENCE: u16 = 7;
const ELAPSED_TIME: u16 = 8;
const STATUS: u16 = 13;
const DNS_SERVERS: u16 = 23;
const DOMAINS: u16 = 24;
const REFRESH_TIME: u16 = 32;
const SOLICIT_MOST_WAIT: u16 = 82;
const INFORMATION_MOST_WAIT: u16 = 83;

/// A status of a server: it does not know of what it has lent (section 21.13).
pub(crate) const NO_BINDING: u16 = 3;

/// Kinds of messages (section 7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Solicit = 1,
    Advertise = 2,
    Request = 3,
    Renew = 5,
    Rebind = 6,
    Reply = 7,
    Release = 8,
    Decline = 9,
    InformationRequest = 11,
}

/// A client's message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) kind: Kind,
    /// 24 bits.
    pub(crate) id: u32,
    pub(crate) mac: Mac,
    /// Hundredths of a second since the exchange began.
    pub(crate) elapsed: u16,
    /// The identifier of the server that is asked, if it is one alone.
    pub(crate) server: Option<&'a [u8]>,
    /// The address that the message is about.
    pub(crate) address: Option<Address>,
}

/// Our identifier, of the kind that stays without being stored: made from the hardware address (section 11.4).
fn identifier([a, b, c, d, e, f]: Mac) -> [u8; 10] {
    [0, 3, 0, 1, a, b, c, d, e, f]
}

/// The number of our only association of addresses.
fn association([_, _, c, d, e, f]: Mac) -> [u8; 4] {
    [c, d, e, f]
}

fn put_option(bytes: &mut Vec<u8>, code: u16, body: &[u8]) {
    bytes.extend(code.to_be_bytes());
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend(body);
}

impl Query<'_> {
    /// The message's bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend(self.id.to_be_bytes());
        if let Some(kind) = bytes.first_mut() {
            *kind = self.kind as u8;
        }
        put_option(&mut bytes, CLIENT_IDENTIFIER, &identifier(self.mac));
        if let Some(server) = self.server {
            put_option(&mut bytes, SERVER_IDENTIFIER, server);
        }
        put_option(&mut bytes, ELAPSED_TIME, &self.elapsed.to_be_bytes());
        let is_about_address = self.kind != Kind::InformationRequest;
        if is_about_address {
            // Without times of our own: the server knows better.
            let mut body = Vec::with_capacity(40);
            body.extend(association(self.mac));
            body.extend([0; 8]);
            if let Some(address) = self.address {
                let mut lent = [0; 24];
                super::put(&mut lent, 0, &address.octets_v6());
                put_option(&mut body, IA_ADDRESS, &lent);
            }
            put_option(&mut bytes, IA_NA, &body);
        }
        if !matches!(self.kind, Kind::Decline | Kind::Release) {
            let wanted: &[u16] = match is_about_address {
                true => &[DNS_SERVERS, DOMAINS, SOLICIT_MOST_WAIT],
                false => &[DNS_SERVERS, DOMAINS, REFRESH_TIME, INFORMATION_MOST_WAIT],
            };
            let codes: Vec<u8> = wanted.iter().flat_map(|code| code.to_be_bytes()).collect();
            put_option(&mut bytes, OPTION_REQUEST, &codes);
        }
        bytes
    }
}

/// An address that a server lends; the times are seconds, and the largest number means for ever (section 7.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lent {
    pub(crate) address: Address,
    pub(crate) preferred_s: u32,
    /// 0: it is taken away.
    pub(crate) valid_s: u32,
    /// When this server, and when any, is to be asked for longer; 0 leaves it to the client.
    pub(crate) renew_s: u32,
    pub(crate) rebind_s: u32,
}

/// A server's message to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    pub(crate) id: u32,
    /// The server's identifier.
    pub(crate) server: Vec<u8>,
    pub(crate) preference: u8,
    /// What went wrong, in the message or with the association; 0: nothing.
    pub(crate) status: u16,
    pub(crate) lent: Option<Lent>,
    pub(crate) dns: Vec<Address>,
    /// Domains in which short names are looked for.
    pub(crate) domains: Vec<String>,
    /// Seconds until what is not about addresses is to be asked for again.
    pub(crate) refresh_s: Option<u32>,
    /// Seconds of the longest wait between questions that nobody answers (section 21.24).
    pub(crate) most_wait_s: Option<u32>,
}

/// The options of a message, or in one: code and body. An error where one is cut off.
fn options(mut bytes: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), ()>> {
    core::iter::from_fn(move || {
        let (header, rest) = match bytes.split_first_chunk::<4>() {
            None if bytes.is_empty() => return None,
            None => {
                bytes = &[];
                return Some(Err(()));
            }
            Some(parts) => parts,
        };
        let [a, b, c, d] = *header;
        let len = usize::from(u16::from_be_bytes([c, d]));
        let Some((body, rest)) = rest.split_at_checked(len) else {
            bytes = &[];
            return Some(Err(()));
        };
        bytes = rest;
        Some(Ok((u16::from_be_bytes([a, b]), body)))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

fn status(body: &[u8]) -> Option<u16> {
    body.first_chunk::<2>()
        .map(|code| u16::from_be_bytes(*code))
}

/// An address that a host can have, by which more than a link knows it.
fn is_usable(address: Address) -> bool {
    address.is_unicast() && !address.is_v4() && !address.is_loopback() && !address.is_link_local()
}

impl Answer {
    /// Reads a message; none if it is not a server's, is cut off, or is for another client.
    pub(crate) fn read(bytes: &[u8], mac: Mac) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<4>()?;
        let [kind, a, b, c] = *header;
        let mut answer = Self {
            kind: match kind {
                2 => Kind::Advertise,
                7 => Kind::Reply,
                _ => return None,
            },
            id: u32::from_be_bytes([0, a, b, c]),
            server: Vec::new(),
            preference: 0,
            status: 0,
            lent: None,
            dns: Vec::new(),
            domains: Vec::new(),
            refresh_s: None,
            most_wait_s: None,
        };
        let mut is_ours = false;
        for option in options(rest) {
            let (code, body) = option.ok()?;
            match code {
                CLIENT_IDENTIFIER => is_ours = body == identifier(mac),
                SERVER_IDENTIFIER if (1..=MAX_IDENTIFIER).contains(&body.len()) => {
                    answer.server = body.to_vec();
                }
                // Some are for other clients' other associations, or of other kinds.
                IA_NA if body.first_chunk() == Some(&association(mac)) => {
                    answer.take_association(body)?;
                }
                PREFERENCE => answer.preference = *body.first()?,
                STATUS => answer.note(status(body)?),
                DNS_SERVERS => {
                    let (servers, _) = body.as_chunks::<16>();
                    let servers = servers.iter().map(|server| Address::v6(*server));
                    let usable = servers.filter(|server| server.is_unicast());
                    answer.dns = usable.take(MAX_DNS).collect();
                }
                DOMAINS => answer.domains = read_domains(body),
                REFRESH_TIME => answer.refresh_s = word(body, 0),
                SOLICIT_MOST_WAIT | INFORMATION_MOST_WAIT => answer.most_wait_s = word(body, 0),
                _ => {}
            }
        }
        if answer.status != 0 {
            answer.lent = None;
        }
        (is_ours && !answer.server.is_empty()).then_some(answer)
    }

    /// A message may say that it went well, and one of its associations that it did not.
    fn note(&mut self, status: u16) {
        if status != 0 {
            self.status = status;
        }
    }

    /// Reads an association of addresses (section 21.4). Of several addresses the first that is not taken away counts.
    fn take_association(&mut self, body: &[u8]) -> Option<()> {
        let (renew_s, rebind_s) = (word(body, 4)?, word(body, 8)?);
        if renew_s > rebind_s && rebind_s != 0 {
            return Some(());
        }
        for option in options(body.get(12..)?) {
            let (code, body) = option.ok()?;
            match code {
                STATUS => self.note(status(body)?),
                IA_ADDRESS => {
                    let address = Address::v6(*body.first_chunk()?);
                    let (preferred_s, valid_s) = (word(body, 16)?, word(body, 20)?);
                    // One may be refused apart (section 21.6).
                    let refused = options(body.get(24..)?).any(
                        |option| matches!(option, Ok((STATUS, body)) if status(body) != Some(0)),
                    );
                    let is_better = self.lent.is_none_or(|lent| lent.valid_s == 0);
                    if is_usable(address) && preferred_s <= valid_s && !refused && is_better {
                        self.lent = Some(Lent {
                            address,
                            preferred_s,
                            valid_s,
                            renew_s,
                            rebind_s,
                        });
                    }
                }
                _ => {}
            }
        }
        Some(())
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests may fail so")]
mod tests {
    use super::{Address, Answer, Kind, Query, identifier, put_option};
    use proptest::prelude::*;

    const MAC: [u8; 6] = [2, 0, 0, 4, 5, 6];

    fn ip(text: &str) -> Address {
        core::net::IpAddr::V6(text.parse().expect("an address")).into()
    }

    fn answer(kind: u8, options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 1, 2, 3];
        put_option(&mut bytes, 1, &identifier(MAC));
        put_option(&mut bytes, 2, &[0, 1, 9]);
        bytes.extend(options);
        bytes
    }

    /// An association with addresses and the seconds for which they are preferred and valid.
    fn association(times: [u32; 2], addresses: &[(&str, u32, u32)]) -> Vec<u8> {
        let mut body = vec![0, 4, 5, 6];
        for time in times {
            body.extend(time.to_be_bytes());
        }
        for (address, preferred_s, valid_s) in addresses {
            let mut lent = ip(address).octets_v6().to_vec();
            lent.extend(preferred_s.to_be_bytes());
            lent.extend(valid_s.to_be_bytes());
            put_option(&mut body, 5, &lent);
        }
        let mut option = Vec::new();
        put_option(&mut option, 3, &body);
        option
    }

    #[test]
    fn a_question_has_what_servers_ask_for() {
        let query = Query {
            kind: Kind::Request,
            id: 0x01_02_03,
            mac: MAC,
            elapsed: 7,
            server: Some(&[9, 9]),
            address: Some(ip("2001:db8::77")),
        };
        let bytes = query.write();
        assert_eq!(
            bytes,
            [
                &[3, 1, 2, 3, 0, 1, 0, 10, 0, 3, 0, 1][..],
                &MAC,
                &[0, 2, 0, 2, 9, 9, 0, 8, 0, 2, 0, 7],
                &[0, 3, 0, 40, 0, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 24],
                &ip("2001:db8::77").octets_v6(),
                &[0; 8],
                &[0, 6, 0, 6, 0, 23, 0, 24, 0, 82],
            ]
            .concat()
        );
        assert!(Answer::read(&bytes, MAC).is_none(), "a client's");
    }

    #[test]
    fn a_lease_is_read() {
        let mut options = association([50, 80], &[("2001:db8::9", 100, 200)]);
        put_option(&mut options, 23, &ip("2001:db8::53").octets_v6());
        put_option(&mut options, 24, b"\x03lan\x07example\x00");
        put_option(&mut options, 7, &[255]);
        let read = Answer::read(&answer(2, &options), MAC).expect("right");
        assert_eq!((read.kind, read.id), (Kind::Advertise, 0x01_02_03));
        assert_eq!((read.server, read.preference), (vec![0, 1, 9], 255));
        let lent = read.lent.expect("an address");
        assert_eq!(lent.address, ip("2001:db8::9"));
        assert_eq!((lent.preferred_s, lent.valid_s), (100, 200));
        assert_eq!((lent.renew_s, lent.rebind_s), (50, 80));
        assert_eq!(
            (read.dns, read.domains),
            (vec![ip("2001:db8::53")], vec!["lan.example".to_owned()])
        );
    }

    #[test]
    fn what_no_host_can_have_is_not_lent() {
        let lent = |times, addresses: &[_]| {
            let bytes = answer(7, &association(times, addresses));
            Answer::read(&bytes, MAC).expect("a message").lent
        };
        for bad in ["fe80::9", "ff02::1", "::", "::1", "::ffff:1.2.3.4"] {
            assert_eq!(lent([0, 0], &[(bad, 1, 2)]), None, "{bad}");
        }
        assert_eq!(
            lent([0, 0], &[("2001:db8::9", 3, 2)]),
            None,
            "preferred after its end"
        );
        assert_eq!(lent([9, 8], &[("2001:db8::9", 1, 2)]), None, "times");
        let both = [("2001:db8::8", 0, 0), ("2001:db8::9", 1, 2)];
        assert_eq!(lent([0, 0], &both).expect("one").address, ip("2001:db8::9"));
        let mut refused = association([0, 0], &[("2001:db8::9", 1, 2)]);
        let status = [0, 13, 0, 2, 0, 2];
        refused.extend(status);
        refused[3] += status.len() as u8;
        let read = Answer::read(&answer(7, &refused), MAC).expect("a message");
        assert_eq!((read.status, read.lent), (2, None));
    }

    #[test]
    fn what_is_not_for_us_or_cut_off_is_refused() {
        let right = answer(7, &association([0, 0], &[("2001:db8::9", 1, 2)]));
        assert!(Answer::read(&right, MAC).is_some());
        assert!(Answer::read(&right, [0; 6]).is_none());
        // Behind the identifiers: the header of the association.
        for len in (0..25).chain(26..right.len()) {
            assert!(Answer::read(&right[..len], MAC).is_none(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_options_are_read_without_a_panic(
            kind in prop_oneof![Just(2u8), Just(7)],
            options in proptest::collection::vec((0u16..40, proptest::collection::vec(any::<u8>(), 0..60)), 0..6),
            rest in proptest::collection::vec(any::<u8>(), 0..8),
        ) {
            let mut bytes = Vec::new();
            for (code, body) in options {
                put_option(&mut bytes, code, &body);
            }
            bytes.extend(rest);
            let _ = Answer::read(&answer(kind, &bytes), MAC);
        }
    }
}
