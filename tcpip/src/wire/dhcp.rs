//! Messages of DHCP (RFC 2131, RFC 2132), as a client needs them.

use alloc::string::String;
use alloc::vec::Vec;

use super::be32;
use super::domains::{read_domain, read_domains};
use super::ethernet::Mac;
use crate::address::Address;

/// Fixed part of a message, with the cookie.
const FIXED: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// What servers and relays are known to need at least.
const LEAST: usize = 300;
/// Servers for names that are kept.
const MAX_DNS: usize = 4;

/// Port of servers.
pub(crate) const SERVER_PORT: u16 = 67;
/// Port of clients.
pub(crate) const CLIENT_PORT: u16 = 68;

/// Kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Ack = 5,
    Nak = 6,
    Release = 7,
}

/// A client's message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    pub(crate) kind: Kind,
    pub(crate) id: u32,
    pub(crate) mac: Mac,
    /// Seconds since the client began.
    pub(crate) seconds: u16,
    /// The address that the client has and uses.
    pub(crate) current: Option<Address>,
    /// The address that it asks for.
    pub(crate) wanted: Option<Address>,
    /// The server that it asks.
    pub(crate) server: Option<Address>,
}

impl Query {
    /// The message's bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LEAST);
        bytes.extend([1, 1, 6, 0]);
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.seconds.to_be_bytes());
        // Without an address, the answer has to go to all.
        bytes.extend([if self.current.is_none() { 0x80 } else { 0 }, 0]);
        bytes.extend(self.current.map_or([0; 4], Address::octets_v4));
        bytes.extend([0; 12]);
        bytes.extend(self.mac);
        bytes.extend([0; 10 + 192]);
        bytes.extend(COOKIE);
        bytes.extend([53, 1, self.kind as u8]);
        bytes.extend([61, 7, 1]);
        bytes.extend(self.mac);
        for (code, address) in [(50, self.wanted), (54, self.server)] {
            if let Some(address) = address {
                bytes.extend([code, 4]);
                bytes.extend(address.octets_v4());
            }
        }
        if self.kind != Kind::Release {
            // Mask, router, name servers, domains, MTU, times; and how large an answer may be.
            bytes.extend([55, 9, 1, 3, 6, 15, 26, 51, 58, 59, 119]);
            bytes.extend([57, 2, 5, 0xDC]);
        }
        bytes.push(255);
        bytes.resize(bytes.len().max(LEAST), 0);
        bytes
    }
}

/// A server's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    pub(crate) id: u32,
    pub(crate) mac: Mac,
    /// The address for the client.
    pub(crate) address: Address,
    pub(crate) server: Option<Address>,
    pub(crate) prefix_len: Option<u8>,
    pub(crate) router: Option<Address>,
    pub(crate) dns: Vec<Address>,
    /// Domains in which short names are looked for.
    pub(crate) domains: Vec<String>,
    pub(crate) lease_s: Option<u32>,
    pub(crate) renew_s: Option<u32>,
    pub(crate) rebind_s: Option<u32>,
}

impl Answer {
    /// Reads a message; none if it is not a server's or is cut off.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let fixed: &[u8; FIXED] = bytes.first_chunk()?;
        if fixed[..4] != [2, 1, 6, 0] && fixed[..3] != [2, 1, 6] || fixed[236..] != COOKIE {
            return None;
        }
        let mut answer = Self {
            kind: Kind::Discover,
            id: be32!(fixed, 4),
            mac: fixed[28..34].try_into().ok()?,
            address: Address::v4([fixed[16], fixed[17], fixed[18], fixed[19]]),
            server: None,
            prefix_len: None,
            router: None,
            dns: Vec::new(),
            domains: Vec::new(),
            lease_s: None,
            renew_s: None,
            rebind_s: None,
        };
        let mut options = bytes.get(FIXED..)?;
        let mut search = Vec::new();
        while let [code, rest @ ..] = options {
            match code {
                0 => options = rest,
                255 => break,
                _ => {
                    let (len, rest) = rest.split_first()?;
                    let (body, rest) = rest.split_at_checked(usize::from(*len))?;
                    match code {
                        // A long one comes in several options (RFC 3397, section 2).
                        119 => search.extend_from_slice(body),
                        _ => answer.take(*code, body),
                    }
                    options = rest;
                }
            }
        }
        if !search.is_empty() {
            answer.domains = read_domains(&search);
        }
        (answer.kind != Kind::Discover).then_some(answer)
    }

    fn take(&mut self, code: u8, body: &[u8]) {
        let (words, _) = body.as_chunks::<4>();
        let address = words.first().map(|word| Address::v4(*word));
        let number = words.first().map(|word| u32::from_be_bytes(*word));
        match (code, body) {
            (53, [2]) => self.kind = Kind::Offer,
            (53, [5]) => self.kind = Kind::Ack,
            (53, [6]) => self.kind = Kind::Nak,
            // Ones, then zeros: anything else is no mask.
            (1, _) => {
                self.prefix_len = number
                    .filter(|mask| mask.leading_ones() + mask.trailing_zeros() == 32)
                    .map(|mask| mask.leading_ones() as u8);
            }
            (3, _) => self.router = address.filter(|router| router.is_unicast()),
            (6, _) => {
                let servers = words.iter().map(|word| Address::v4(*word));
                self.dns
                    .extend(servers.filter(|server| server.is_unicast()).take(MAX_DNS));
                self.dns.truncate(MAX_DNS);
            }
            (15, _) => self.domains.extend(read_domain(body)),
            (51, _) => self.lease_s = number,
            (54, _) => self.server = address,
            (58, _) => self.renew_s = number,
            (59, _) => self.rebind_s = number,
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests may fail so")]
mod tests {
    use super::{Address, Answer, FIXED, Kind, Query};
    use proptest::prelude::*;

    fn answer(options: &[u8]) -> Vec<u8> {
        let query = Query {
            kind: Kind::Request,
            id: 77,
            mac: [1, 2, 3, 4, 5, 6],
            seconds: 0,
            current: None,
            wanted: Some(Address::v4([10, 0, 2, 15])),
            server: None,
        };
        let mut bytes = query.write();
        assert!(
            bytes.len() >= 300 && Answer::read(&bytes).is_none(),
            "a client's"
        );
        bytes[0] = 2;
        bytes[16..20].copy_from_slice(&[10, 0, 2, 15]);
        bytes.truncate(FIXED);
        bytes.extend(options);
        bytes
    }

    #[test]
    fn a_lease_is_read() {
        let bytes = answer(&[
            53, 1, 5, 0, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 2, 2, 6, 8, 10, 0, 2, 3, 1, 1, 1, 1,
            51, 4, 0, 0, 0, 100, 54, 4, 10, 0, 2, 2, 255,
        ]);
        let answer = Answer::read(&bytes).expect("right");
        assert_eq!(
            (answer.kind, answer.id, answer.mac),
            (Kind::Ack, 77, [1, 2, 3, 4, 5, 6])
        );
        assert_eq!(answer.address, Address::v4([10, 0, 2, 15]));
        assert_eq!((answer.prefix_len, answer.lease_s), (Some(24), Some(100)));
        assert_eq!(answer.router, Some(Address::v4([10, 0, 2, 2])));
        assert_eq!(answer.dns.len(), 2);
    }

    #[test]
    fn domains_are_read_from_both_options_and_from_parts() {
        let domains = |options: &[u8]| {
            let all = [&[53, 1, 5][..], options, &[255]].concat();
            Answer::read(&answer(&all)).expect("right").domains
        };
        assert_eq!(domains(b"\x0f\x09a.example"), ["a.example"]);
        assert_eq!(domains(b"\x0f\x04a..b\x0f\x03a b"), [""; 0]);
        // `b.example`, then `c` with the end of the first, cut in the middle.
        assert_eq!(
            domains(b"\x0f\x01a\x77\x08\x01b\x07examp\x77\x08le\0\x01c\xc0\x02\0"),
            ["b.example", "c.example"]
        );
        for lies in [&[0xC0, 0][..], &[1, b'a', 0xC0, 9], &[63, 1], &[0x80, 0]] {
            let option = [&[119, lies.len() as u8], lies].concat();
            assert_eq!(domains(&option), [""; 0], "{lies:?}");
        }
    }

    #[test]
    fn answers_that_lie_are_refused() {
        assert!(Answer::read(&answer(&[53, 1, 2, 255])).is_some());
        assert!(
            Answer::read(&answer(&[53, 1, 2, 1, 4, 255])).is_none(),
            "cut off"
        );
        assert!(Answer::read(&answer(&[255])).is_none(), "no kind");
        let odd = Answer::read(&answer(&[53, 1, 2, 1, 4, 255, 0, 255, 0])).expect("right");
        assert_eq!(odd.prefix_len, None, "no mask");
    }

    proptest! {
        #[test]
        fn any_options_are_read_without_a_panic(options in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Answer::read(&answer(&options));
        }
    }
}
