//! Names to addresses: a stub resolver (RFC 1035, section 5.3.1).
//!
//! [`settings`] says whom to ask and for which names, [`exchange`] asks, [`message`] is what is said; [`hosts`] are names that need no asking.

mod exchange;
pub mod hosts;
mod message;
pub mod settings;

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use self::message::{Answer, Kind, encode};
use self::settings::Settings;
use super::Network;

/// The port of servers.
pub(super) const PORT: u16 = 53;
/// Aliases that are followed over several answers.
const MAX_ALIASES: usize = 8;

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// There is no such name.
    NotFound,
    /// The name exists, but has no address that was asked for.
    NoAddress,
    /// No server answered, or none could; asking later may help.
    NoAnswer,
    /// No server is known.
    NoServer,
}

/// Versions of IP whose addresses are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Addresses of IPv4.
    pub v4: bool,
    /// Addresses of IPv6.
    pub v6: bool,
}

impl Wanted {
    fn suits(self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }

    /// Those of `addresses` that are wanted.
    ///
    /// # Errors
    /// [`ResolveError::NoAddress`] when there is none.
    pub fn of(self, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, ResolveError> {
        let wanted: Vec<IpAddr> = addresses.into_iter().filter(|ip| self.suits(*ip)).collect();
        match wanted.is_empty() {
            true => Err(ResolveError::NoAddress),
            false => Ok(wanted),
        }
    }
}

/// The addresses of a name that says them itself: in text form, or `localhost` (RFC 6761, section 6.3).
pub fn without_server(name: &str) -> Option<Vec<IpAddr>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_localhost = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case("localhost"));
    if is_localhost {
        return Some(Vec::from([
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]));
    }
    name.parse().ok().map(|ip| Vec::from([ip]))
}

/// What the network itself knows of servers and domains; waits for a server if none is known yet.
pub fn of_network(network: &'static Network) -> Settings {
    network.await_dns_servers();
    Settings {
        servers: network.dns_servers(),
        search: network.domains(),
        ..Settings::default()
    }
}

/// Asks the servers for the addresses of `name`. Those of IPv6 are the first if this machine has one that all the world knows (RFC 6724).
///
/// # Errors
/// See [`ResolveError`].
pub fn ask(
    network: &'static Network,
    settings: &Settings,
    name: &str,
    wanted: Wanted,
) -> Result<Vec<IpAddr>, ResolveError> {
    if settings.servers.is_empty() {
        return Err(ResolveError::NoServer);
    }
    let (has_v6, is_v6_first) = network.ipv6();
    // Who has no address of IPv6 has no use for one of another, unless it wants nothing else.
    let kinds = match (wanted.v4, wanted.v6) {
        (true, true) if has_v6 && is_v6_first => &[Kind::Aaaa, Kind::A][..],
        (true, true) if has_v6 => &[Kind::A, Kind::Aaaa],
        (true, _) => &[Kind::A],
        (false, _) => &[Kind::Aaaa],
    };
    let mut outcome = ResolveError::NotFound;
    for candidate in settings.candidates(name) {
        match ask_for(network, settings, &candidate, kinds) {
            Ok(addresses) => return Ok(addresses),
            // The name may be another's in another domain, but not if nobody answers.
            Err(ResolveError::NotFound) => {}
            Err(error @ ResolveError::NoAddress) => outcome = error,
            Err(error) => return Err(error),
        }
    }
    Err(outcome)
}

fn ask_for(
    network: &'static Network,
    settings: &Settings,
    name: &str,
    kinds: &[Kind],
) -> Result<Vec<IpAddr>, ResolveError> {
    let name = encode(name).ok_or(ResolveError::NotFound)?;
    let timeout_ns = settings.timeout_s * 1_000_000_000;
    for _ in 0..settings.attempts {
        for server in &settings.servers {
            match ask_server(network, *server, &name, kinds, timeout_ns) {
                Err(ResolveError::NoAnswer) => {}
                result => return result,
            }
        }
    }
    Err(ResolveError::NoAnswer)
}

/// What one server says, aliases followed.
fn ask_server(
    network: &'static Network,
    server: SocketAddr,
    name: &[u8],
    kinds: &[Kind],
    timeout_ns: u64,
) -> Result<Vec<IpAddr>, ResolveError> {
    let mut addresses = Vec::new();
    let (mut outcome, mut is_silent) = (None, false);
    let answers = exchange::ask(network, server, name, kinds, timeout_ns)?;
    for (kind, mut answer) in kinds.iter().zip(answers) {
        for _ in 0..MAX_ALIASES {
            let Answer::Alias(alias) = &answer else {
                break;
            };
            let next = exchange::ask(network, server, alias, &[*kind], timeout_ns)?;
            answer = next.into_iter().next().ok_or(ResolveError::NoAnswer)?;
        }
        match answer {
            Answer::Addresses(more) => addresses.extend(more),
            // Of several, the one that leaves most hope.
            Answer::Failed(ResolveError::NotFound) => {
                outcome.get_or_insert(ResolveError::NotFound);
            }
            Answer::Failed(ResolveError::NoAddress) => outcome = Some(ResolveError::NoAddress),
            _ => is_silent = true,
        }
    }
    // Better some addresses than none.
    match addresses.is_empty() {
        false => Ok(addresses),
        true if is_silent => Err(ResolveError::NoAnswer),
        true => Err(outcome.unwrap_or(ResolveError::NoAnswer)),
    }
}

#[cfg(test)]
mod tests {
    use super::{ResolveError, Wanted, without_server};

    #[test]
    fn addresses_and_localhost_need_no_server() {
        let texts = |name: &str| -> Vec<String> {
            let known = without_server(name).unwrap_or_default();
            known.iter().map(ToString::to_string).collect()
        };
        for name in ["localhost", "LOCALHOST.", "a.localhost"] {
            assert_eq!(texts(name), ["127.0.0.1", "::1"], "{name}");
        }
        assert_eq!(texts("10.0.2.2"), ["10.0.2.2"]);
        assert_eq!(texts("fec0::2"), ["fec0::2"]);
        assert!(without_server("localhost.example").is_none());
    }

    #[test]
    fn only_wanted_versions_are_given_out() {
        let both = without_server("localhost").expect("known");
        let v6 = Wanted {
            v4: false,
            v6: true,
        };
        assert_eq!(v6.of(both).map(|some| some.len()), Ok(1));
        let v4 = without_server("10.0.2.2").expect("known");
        assert_eq!(v6.of(v4), Err(ResolveError::NoAddress));
    }
}
