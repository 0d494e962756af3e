//! The word `net=` of the command line (ARCHITECTURE.md): `dhcp`, `off`, or a static address such as
//! `10.0.2.15/24,gateway=10.0.2.2,dns=10.0.2.3`.

use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv4Addr;

/// An address of this machine and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: Ipv4Addr,
    /// How many of its bits name the network.
    pub prefix: u8,
    /// Who forwards to other networks.
    pub gateway: Option<Ipv4Addr>,
    /// Who knows names.
    pub dns: Vec<Ipv4Addr>,
}

/// How the network is to be set up.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Config {
    /// Ask for an address.
    #[default]
    Dhcp,
    /// Use this one.
    Static(Address),
    /// Leave the interfaces alone.
    Off,
}

/// What is wrong with a setting: the part that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError<'a> {
    part: &'a str,
    expected: &'static str,
}

impl fmt::Display for ConfigError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "net={}: expected {}", self.part, self.expected)
    }
}

impl Config {
    /// Reads the value of `net=`.
    ///
    /// # Errors
    /// Names the part that is not understood.
    pub fn parse(value: &str) -> Result<Self, ConfigError<'_>> {
        match value {
            "" | "dhcp" => Ok(Self::Dhcp),
            "off" => Ok(Self::Off),
            _ => parse_address(value).map(Self::Static),
        }
    }
}

fn parse_address(value: &str) -> Result<Address, ConfigError<'_>> {
    let mut parts = value.split(',');
    let first = parts.next().unwrap_or_default();
    let error = |part, expected| ConfigError { part, expected };
    let unicast = |text: &str| {
        text.parse().ok().filter(|ip: &Ipv4Addr| {
            !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast()
        })
    };
    let (ip, prefix) = first
        .split_once('/')
        .and_then(|(ip, prefix)| Some((unicast(ip)?, prefix.parse().ok()?)))
        .filter(|(_, prefix)| (1..=32).contains(prefix))
        .ok_or_else(|| error(first, "dhcp, off, or ADDRESS/PREFIX such as 10.0.2.15/24"))?;
    let mut address = Address {
        ip,
        prefix,
        gateway: None,
        dns: Vec::new(),
    };
    for part in parts {
        let known = match part.split_once('=') {
            Some(("gateway", ip)) if address.gateway.is_none() => {
                address.gateway = unicast(ip);
                address.gateway.is_some()
            }
            Some(("dns", ip)) => unicast(ip).map(|ip| address.dns.push(ip)).is_some(),
            _ => false,
        };
        if !known {
            return Err(error(part, "gateway=ADDRESS (once) or dns=ADDRESS"));
        }
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::{Address, Config};
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    #[test]
    fn words_and_addresses_are_read() {
        assert_eq!(Config::parse("dhcp"), Ok(Config::Dhcp));
        assert_eq!(Config::parse("off"), Ok(Config::Off));
        assert_eq!(
            Config::parse("10.0.2.15/24,gateway=10.0.2.2,dns=10.0.2.3,dns=1.1.1.1"),
            Ok(Config::Static(Address {
                ip: Ipv4Addr::new(10, 0, 2, 15),
                prefix: 24,
                gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
                dns: vec![Ipv4Addr::new(10, 0, 2, 3), Ipv4Addr::new(1, 1, 1, 1)],
            }))
        );
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (value, part) in [
            ("10.0.2.15", "10.0.2.15"),
            ("10.0.2.15/0", "10.0.2.15/0"),
            ("10.0.2.15/33", "10.0.2.15/33"),
            ("224.0.0.1/24", "224.0.0.1/24"),
            ("10.0.2.15/24,gateway=x", "gateway=x"),
            (
                "10.0.2.15/24,gateway=10.0.2.2,gateway=10.0.2.3",
                "gateway=10.0.2.3",
            ),
            ("10.0.2.15/24,mtu=9000", "mtu=9000"),
            ("DHCP", "DHCP"),
        ] {
            let error = Config::parse(value).expect_err(value);
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("net={part}: expected ")),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(value in "\\PC{0,60}") {
            let _ = Config::parse(&value);
        }
    }
}
