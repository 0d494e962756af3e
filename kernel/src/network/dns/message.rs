//! Messages of the name system (RFC 1035, section 4; RFC 3596 for IPv6), as a stub resolver needs them.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tcpip::{MAX_NAME, read_name};

use super::ResolveError;

const HEADER: usize = 12;
const IS_RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const IS_TRUNCATED: u8 = 2;
const RECURSION_DESIRED: u8 = 1;
const NO_SUCH_NAME: u8 = 3;
const TYPE_CNAME: u16 = 5;
const CLASS_INTERNET: u16 = 1;
/// Records of an answer that are looked at: a name may stand for hundreds of stations.
const MAX_RECORDS: usize = 1024;
/// Aliases of aliases that are followed in one answer.
const MAX_ALIASES: usize = 16;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Addresses of IPv4.
    A = 1,
    /// Addresses of IPv6.
    Aaaa = 28,
}

/// A question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) id: u16,
    /// The name, encoded.
    pub(super) name: &'a [u8],
    pub(super) kind: Kind,
}

/// What a server says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// These addresses.
    Addresses(Vec<IpAddr>),
    /// The name, encoded, is another's alias; of that one the server does not say more.
    Alias(Vec<u8>),
    /// It did not fit.
    Truncated,
    /// There is none, or the server cannot say.
    Failed(ResolveError),
}

/// A name as messages have it: labels with their lengths, and an empty one at the end.
pub(super) fn encode(name: &str) -> Option<Vec<u8>> {
    const MAX_LABEL: usize = 63;
    let mut encoded = Vec::new();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        if label.is_empty() || label.len() > MAX_LABEL || !label.is_ascii() {
            return None;
        }
        encoded.push(label.len() as u8);
        encoded.extend_from_slice(label.as_bytes());
    }
    encoded.push(0);
    (encoded.len() <= MAX_NAME).then_some(encoded)
}

impl Question<'_> {
    /// The message that asks it.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.name.len() + 4);
        bytes.extend_from_slice(&self.id.to_be_bytes());
        bytes.extend_from_slice(&[RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(self.name);
        bytes.extend_from_slice(&(self.kind as u16).to_be_bytes());
        bytes.extend_from_slice(&CLASS_INTERNET.to_be_bytes());
        bytes
    }

    /// What a message answers to the question; `None` if it is not an answer to it.
    pub(super) fn read_answer(&self, message: &[u8]) -> Option<Answer> {
        let (header, rest) = message.split_first_chunk::<HEADER>()?;
        let [a, b, flags, code, c, d, e, f, ..] = *header;
        let is_answer = flags & (IS_RESPONSE | OPCODE) == IS_RESPONSE;
        if [a, b] != self.id.to_be_bytes() || !is_answer || [c, d] != [0, 1] {
            return None;
        }
        let (asked, rest) = rest.split_at_checked(self.name.len())?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let [k, l] = (self.kind as u16).to_be_bytes();
        if *kind != [k, l, 0, 1] || !asked.eq_ignore_ascii_case(self.name) {
            return None;
        }
        if flags & IS_TRUNCATED != 0 {
            return Some(Answer::Truncated);
        }
        Some(match code & 15 {
            0 => self.collect(
                message,
                message.len() - rest.len(),
                u16::from_be_bytes([e, f]),
            ),
            NO_SUCH_NAME => Answer::Failed(ResolveError::NotFound),
            _ => Answer::Failed(ResolveError::NoAnswer),
        })
    }

    /// Follows the aliases from the name that was asked for to addresses. A server that recurses puts both into one answer, in any
    /// order; records of other names are no answer.
    fn collect(&self, message: &[u8], mut at: usize, count: u16) -> Answer {
        let mut records = Vec::new();
        for _ in 0..usize::from(count).min(MAX_RECORDS) {
            let Some((record, next)) = Record::read(message, at) else {
                break;
            };
            at = next;
            records.push(record);
        }
        let mut name = self.name.to_vec();
        for _ in 0..MAX_ALIASES {
            let of_name = || {
                let records = records.iter();
                records.filter(|record| record.owner.eq_ignore_ascii_case(&name))
            };
            let addresses: Vec<IpAddr> = of_name()
                .filter(|record| record.kind == self.kind as u16)
                .filter_map(|record| record.address())
                .collect();
            if !addresses.is_empty() {
                return Answer::Addresses(addresses);
            }
            let alias = of_name()
                .find(|record| record.kind == TYPE_CNAME)
                .and_then(|record| Some(read_name(message, record.data_at)?.0));
            match alias {
                Some(alias) => name = alias,
                None if name.eq_ignore_ascii_case(self.name) => {
                    return Answer::Failed(ResolveError::NoAddress);
                }
                None => return Answer::Alias(name),
            }
        }
        // They lead in a circle.
        Answer::Failed(ResolveError::NoAnswer)
    }
}

/// A resource record of the class Internet.
struct Record<'a> {
    owner: Vec<u8>,
    kind: u16,
    data: &'a [u8],
    /// Where the data is in the message, for names in it.
    data_at: usize,
}

impl<'a> Record<'a> {
    /// Reads the record at a place in the message, and where the next is. One of another class has no kind.
    fn read(message: &'a [u8], at: usize) -> Option<(Self, usize)> {
        let (owner, at) = read_name(message, at)?;
        let (header, rest) = message.get(at..)?.split_first_chunk::<10>()?;
        let [a, b, c, d, _, _, _, _, e, f] = *header;
        let data = rest.get(..usize::from(u16::from_be_bytes([e, f])))?;
        let is_internet = u16::from_be_bytes([c, d]) == CLASS_INTERNET;
        let record = Self {
            owner,
            kind: if is_internet {
                u16::from_be_bytes([a, b])
            } else {
                0
            },
            data,
            data_at: at + 10,
        };
        Some((record, at + 10 + data.len()))
    }

    /// The address that it tells; none that no host can have.
    fn address(&self) -> Option<IpAddr> {
        if let Ok(octets) = <[u8; 4]>::try_from(self.data) {
            return Some(IpAddr::V4(Ipv4Addr::from(octets)));
        }
        let octets = <[u8; 16]>::try_from(self.data).ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(octets)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Kind, Question, ResolveError, encode};
    use core::net::IpAddr;
    use proptest::prelude::*;

    const NAME: &[u8] = b"\x07example\x03com\0";
    const QUESTION: Question<'static> = Question {
        id: 7,
        name: NAME,
        kind: Kind::A,
    };

    fn answer(question: &Question<'_>, records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = question.write();
        bytes[2] |= 0x80;
        bytes[7] = records.len() as u8;
        bytes.extend(records.concat());
        bytes
    }

    /// A record of the name at a place in the message.
    fn record(owner_at: u8, kind: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![
            0xC0,
            owner_at,
            0,
            kind,
            0,
            1,
            0,
            0,
            0,
            60,
            0,
            data.len() as u8,
        ];
        bytes.extend(data);
        bytes
    }

    fn addresses(texts: &[&str]) -> Option<Answer> {
        let read = |text: &&str| text.parse::<IpAddr>().expect("an address");
        Some(Answer::Addresses(texts.iter().map(read).collect()))
    }

    #[test]
    fn names_are_encoded_or_refused() {
        assert_eq!(encode("example.com").as_deref(), Some(NAME));
        assert_eq!(encode("example.com.").as_deref(), Some(NAME));
        for name in ["", ".", "a..b", &"x".repeat(64), &"abcdefg.".repeat(40)] {
            assert_eq!(encode(name), None, "{name}");
        }
    }

    #[test]
    fn addresses_of_both_versions_are_read() {
        let (a, b) = (
            record(12, 1, &[93, 184, 216, 34]),
            record(12, 1, &[93, 184, 216, 35]),
        );
        assert_eq!(
            QUESTION.read_answer(&answer(&QUESTION, &[&a, &b])),
            addresses(&["93.184.216.34", "93.184.216.35"])
        );
        let question = Question {
            kind: Kind::Aaaa,
            ..QUESTION
        };
        let ip: IpAddr = "2001:db8::5".parse().expect("an address");
        let IpAddr::V6(octets) = ip else {
            panic!("of IPv6")
        };
        let six = record(12, 28, &octets.octets());
        assert_eq!(
            question.read_answer(&answer(&question, &[&six, &a])),
            addresses(&["2001:db8::5"])
        );
    }

    #[test]
    fn a_name_may_have_hundreds_of_addresses() {
        let question = Question {
            id: 3,
            name: &encode("many.example").expect("a name"),
            kind: Kind::A,
        };
        let all: Vec<Vec<u8>> = (0..255)
            .map(|last| record(12, 1, &[10, 0, 7, last]))
            .collect();
        let records: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        let Some(Answer::Addresses(addresses)) = question.read_answer(&answer(&question, &records))
        else {
            panic!("no addresses");
        };
        assert_eq!(addresses.len(), 255);
        assert_eq!(addresses[254].to_string(), "10.0.7.254");
    }

    #[test]
    fn aliases_are_followed_in_any_order_and_to_where_the_answer_leads() {
        // `www.example.com` is at 12; the alias' data begins 12 bytes behind the record.
        let name = encode("www.example.com").expect("a name");
        let question = Question {
            name: &name,
            ..QUESTION
        };
        let first_record = 12 + name.len() as u8 + 4;
        let alias = record(12, 5, b"\x03cdn\xC0\x10");
        let (target, other) = (
            record(first_record + 12, 1, &[10, 1, 1, 1]),
            record(0x10, 1, &[10, 9, 9, 9]),
        );
        assert_eq!(
            question.read_answer(&answer(&question, &[&alias, &other, &target])),
            addresses(&["10.1.1.1"]),
            "and records of other names do not count"
        );
        assert_eq!(
            question.read_answer(&answer(&question, &[&alias])),
            Some(Answer::Alias(encode("cdn.example.com").expect("a name")))
        );
        let circle = record(12, 5, &[0xC0, 12]);
        assert_eq!(
            question.read_answer(&answer(&question, &[&circle])),
            Some(Answer::Failed(ResolveError::NoAnswer))
        );
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let right = answer(&QUESTION, &[&record(12, 1, &[1, 2, 3, 4])]);
        for question in [
            Question { id: 8, ..QUESTION },
            Question {
                name: b"\x07exbmple\x03com\0",
                ..QUESTION
            },
            Question {
                kind: Kind::Aaaa,
                ..QUESTION
            },
        ] {
            assert_eq!(question.read_answer(&right), None, "{question:?}");
        }
        assert_eq!(
            QUESTION.read_answer(&QUESTION.write()),
            None,
            "a question is no answer"
        );
    }

    #[test]
    fn what_a_server_cannot_say_is_told_apart() {
        for (rcode, error) in [(3, ResolveError::NotFound), (2, ResolveError::NoAnswer)] {
            let mut message = answer(&QUESTION, &[]);
            message[3] |= rcode;
            assert_eq!(QUESTION.read_answer(&message), Some(Answer::Failed(error)));
        }
        assert_eq!(
            QUESTION.read_answer(&answer(&QUESTION, &[])),
            Some(Answer::Failed(ResolveError::NoAddress))
        );
        let mut message = answer(&QUESTION, &[]);
        message[2] |= 2;
        assert_eq!(QUESTION.read_answer(&message), Some(Answer::Truncated));
    }

    #[test]
    fn names_that_lead_forward_or_in_circles_are_refused() {
        for owner in [[0xC0, 29], [0xC0, 40], [0xFF, 0xFF], [0x80, 12]] {
            let mut message = answer(&QUESTION, &[&record(12, 1, &[1, 2, 3, 4])]);
            message[29..31].copy_from_slice(&owner);
            assert_eq!(
                QUESTION.read_answer(&message),
                Some(Answer::Failed(ResolveError::NoAddress)),
                "{owner:?}"
            );
        }
    }

    /// What fuzzing has found (`tcpip/fuzz/names`): records behind a question, and how many they are said to be.
    #[test]
    fn every_input_of_the_corpus_is_read_without_a_panic() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../tcpip/fuzz/names");
        let name = encode("www.example.com").expect("a name");
        let mut count = 0;
        for entry in std::fs::read_dir(corpus).expect("list the corpus") {
            let bytes = std::fs::read(entry.expect("list the corpus").path()).expect("an input");
            let Some((first, rest)) = bytes.split_first() else {
                continue;
            };
            let kind = if first & 1 == 0 { Kind::A } else { Kind::Aaaa };
            let question = Question {
                id: 7,
                name: &name,
                kind,
            };
            let mut message = answer(&question, &[]);
            message[7] = first >> 1;
            message.extend(rest);
            let _ = question.read_answer(&message);
            let _ = question.read_answer(rest);
            count += 1;
        }
        assert!(count > 10, "only {count} inputs");
    }

    proptest! {
        #[test]
        fn damaged_answers_never_panic(at in 0usize..80, value: u8, len in 0usize..90, count: u8) {
            let mut message = answer(&QUESTION, &[&record(12, 5, &[0xC0, 12]), &record(12, 1, &[1, 2, 3, 4])]);
            message[7] = count;
            if let Some(byte) = message.get_mut(at) {
                *byte = value;
            }
            message.truncate(len);
            let _ = QUESTION.read_answer(&message);
        }
    }
}
