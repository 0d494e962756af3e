//! Names to addresses: a stub resolver (RFC 1035, section 5.3.1) that asks the servers of the lease or the command line for A records.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

use super::Network;
use super::error::Error;
use super::socket::udp::UdpSocket;

const PORT: u16 = 53;
/// How often all servers are asked.
const ROUNDS: usize = 3;
/// How long a server may take, in nanoseconds.
const PATIENCE_NS: u64 = 2_000_000_000;
/// Answers that are not to our question, from one server, before it is given up.
const MAX_STRAY: usize = 16;
/// Largest message over UDP that a resolver without extensions gets.
const MESSAGE_BYTES: usize = 512;
const HEADER: usize = 12;
const IS_RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const RECURSION_DESIRED: u8 = 1;
const NO_SUCH_NAME: u8 = 3;
const TYPE_A: u8 = 1;
const CLASS_INTERNET: u8 = 1;
/// Addresses taken from an answer.
const MAX_ADDRESSES: usize = 16;

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// There is no such name.
    NotFound,
    /// The name exists, but has no IPv4 address.
    NoAddress,
    /// No server answered, or none could; asking later may help.
    NoAnswer,
    /// No server is known.
    NoServer,
}

/// The addresses of `name`. Addresses in text form and `localhost` need no server.
///
/// # Errors
/// See [`ResolveError`].
pub fn resolve(
    name: &str,
    network: impl FnOnce() -> super::Result<&'static Network>,
) -> Result<Vec<Ipv4Addr>, ResolveError> {
    if let Some(address) = without_server(name) {
        return Ok(Vec::from([address]));
    }
    let name = encode(name).ok_or(ResolveError::NotFound)?;
    let network = network().map_err(|_| ResolveError::NoServer)?;
    // The servers come with the address.
    let _ = network.route(Ipv4Addr::BROADCAST, None);
    let servers = network.dns_servers();
    if servers.is_empty() {
        return Err(ResolveError::NoServer);
    }
    for _ in 0..ROUNDS {
        for server in &servers {
            match ask(network, *server, &name) {
                Err(ResolveError::NoAnswer) => {}
                result => return result,
            }
        }
    }
    Err(ResolveError::NoAnswer)
}

/// The address of a name that says it itself (RFC 6761, section 6.3 for `localhost`).
fn without_server(name: &str) -> Option<Ipv4Addr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_localhost = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case("localhost"));
    if is_localhost {
        return Some(Ipv4Addr::LOCALHOST);
    }
    name.parse().ok()
}

/// A name as messages have it: labels with their lengths, and an empty one at the end.
fn encode(name: &str) -> Option<Vec<u8>> {
    const MAX_LABEL: usize = 63;
    const MAX_NAME: usize = 255;
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

fn ask(
    network: &'static Network,
    server: Ipv4Addr,
    name: &[u8],
) -> Result<Vec<Ipv4Addr>, ResolveError> {
    let failed = |_: Error| ResolveError::NoAnswer;
    let id = network.ports.random_u64() as u16;
    let query = query(id, name);
    // A port of its own for each question, so that an answer is hard to forge (RFC 5452).
    let socket = UdpSocket::new(network);
    socket
        .connect(Some(SocketAddrV4::new(server, PORT)))
        .map_err(failed)?;
    socket
        .read_timeout_ns
        .store(PATIENCE_NS, core::sync::atomic::Ordering::Relaxed);
    socket.send(&query, None).map_err(failed)?;
    let mut message = [0; MESSAGE_BYTES];
    for _ in 0..MAX_STRAY {
        let (len, _) = socket.receive(&mut message, false, false).map_err(failed)?;
        if let Some(answer) = read_answer(id, name, &message[..len]) {
            return answer;
        }
    }
    Err(ResolveError::NoAnswer)
}

/// A question for the IPv4 addresses of an encoded name (RFC 1035, section 4.1).
fn query(id: u16, name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + name.len() + 4);
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend_from_slice(&[RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&[0, TYPE_A, 0, CLASS_INTERNET]);
    bytes
}

/// What a message answers to the question; `None` if it is not an answer to it.
fn read_answer(
    id: u16,
    name: &[u8],
    message: &[u8],
) -> Option<Result<Vec<Ipv4Addr>, ResolveError>> {
    let (header, rest) = message.split_first_chunk::<HEADER>()?;
    let [a, b, flags, code, _, questions, answers @ ..] = *header;
    let is_answer = flags & (IS_RESPONSE | OPCODE) == IS_RESPONSE;
    if [a, b] != id.to_be_bytes() || !is_answer || header[4] != 0 || questions != 1 {
        return None;
    }
    let (asked, rest) = rest.split_at_checked(name.len())?;
    let (kind, mut rest) = rest.split_first_chunk::<4>()?;
    if *kind != [0, TYPE_A, 0, CLASS_INTERNET] || !asked.eq_ignore_ascii_case(name) {
        return None;
    }
    match code & 15 {
        0 => {}
        NO_SUCH_NAME => return Some(Err(ResolveError::NotFound)),
        _ => return Some(Err(ResolveError::NoAnswer)),
    }
    // A server that recurses puts the aliases and the addresses of the last of them into one answer.
    let mut addresses = Vec::new();
    for _ in 0..u16::from_be_bytes([answers[0], answers[1]]) {
        let Some((record, next)) = read_record(rest) else {
            break;
        };
        rest = next;
        if let Some(address) = record
            && addresses.len() < MAX_ADDRESSES
        {
            addresses.push(address);
        }
    }
    Some(if addresses.is_empty() {
        Err(ResolveError::NoAddress)
    } else {
        Ok(addresses)
    })
}

/// Reads a resource record: its address, if it has one, and what follows.
fn read_record(bytes: &[u8]) -> Option<(Option<Ipv4Addr>, &[u8])> {
    let rest = skip_name(bytes)?;
    let (header, rest) = rest.split_first_chunk::<10>()?;
    let len = u16::from_be_bytes([header[8], header[9]]);
    let (data, rest) = rest.split_at_checked(usize::from(len))?;
    let is_address = header[..4] == [0, TYPE_A, 0, CLASS_INTERNET];
    let address = data.first_chunk::<4>().filter(|_| is_address && len == 4);
    Some((address.map(|octets| Ipv4Addr::from(*octets)), rest))
}

/// Goes over a name, of which the end may be somewhere else in the message.
fn skip_name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        match bytes.split_first()? {
            (0, rest) => return Some(rest),
            (pointer, rest) if pointer >> 6 == 3 => return rest.get(1..),
            (len, rest) if len >> 6 == 0 => bytes = rest.get(usize::from(*len)..)?,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ResolveError, encode, query, read_answer, without_server};
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    const NAME: &[u8] = b"\x07example\x03com\0";

    /// The answer to `query(7, NAME)` with an alias and two addresses.
    fn answer() -> Vec<u8> {
        let mut message = query(7, NAME);
        message[2] |= 0x80;
        message[7] = 3;
        message.extend(b"\xC0\x0C\0\x05\0\x01\0\0\0\x3C\0\x02\xC0\x14");
        for last in [34, 35] {
            message.extend(b"\xC0\x0C\0\x01\0\x01\0\0\0\x3C\0\x04");
            message.extend([93, 184, 216, last]);
        }
        message
    }

    #[test]
    fn names_that_say_their_address_need_no_server() {
        assert_eq!(without_server("localhost"), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(without_server("App.LocalHost."), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(without_server("10.0.2.2"), Some(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(without_server("localhost.example"), None);
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
    fn all_addresses_of_an_answer_are_read() {
        let addresses = [34, 35].map(|last| Ipv4Addr::new(93, 184, 216, last));
        assert_eq!(
            read_answer(7, NAME, &answer()),
            Some(Ok(addresses.to_vec()))
        );
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        assert_eq!(read_answer(8, NAME, &answer()), None);
        assert_eq!(read_answer(7, b"\x07exbmple\x03com\0", &answer()), None);
        assert_eq!(
            read_answer(7, NAME, &query(7, NAME)),
            None,
            "a question is no answer"
        );
    }

    #[test]
    fn a_name_that_does_not_exist_is_told_from_a_server_that_fails() {
        for (rcode, error) in [(3, ResolveError::NotFound), (2, ResolveError::NoAnswer)] {
            let mut message = answer();
            message[3] |= rcode;
            assert_eq!(read_answer(7, NAME, &message), Some(Err(error)));
        }
        let mut message = answer();
        message[7] = 1;
        assert_eq!(
            read_answer(7, NAME, &message),
            Some(Err(ResolveError::NoAddress))
        );
    }

    proptest! {
        #[test]
        fn damaged_answers_never_panic(at in 0usize..80, value: u8, len in 0usize..90) {
            let mut message = answer();
            if let Some(byte) = message.get_mut(at) {
                *byte = value;
            }
            message.truncate(len);
            let _ = read_answer(7, NAME, &message);
        }
    }
}
