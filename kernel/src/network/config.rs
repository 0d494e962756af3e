//! The words `net=` and `net6=` of the command line (ARCHITECTURE.md): `dhcp` or `auto`, `off`, or a static address such as
//! `10.0.2.15/24,gateway=10.0.2.2,dns=10.0.2.3` or `2001:db8::15/64,gateway=fe80::1`.

use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use crate::command_line::{cut, decimal};

/// An address of this machine and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address<I = Ipv4Addr> {
    /// The address.
    pub ip: I,
    /// How many of its bits name the network.
    pub prefix: u8,
    /// Who forwards to other networks.
    pub gateway: Option<I>,
    /// Who knows names.
    pub dns: Vec<I>,
}

impl<I> Address<I> {
    /// One without a gateway and name servers.
    pub const fn of_host(ip: I, prefix: u8) -> Self {
        Self {
            ip,
            prefix,
            gateway: None,
            dns: Vec::new(),
        }
    }
}

/// How the network is to be set up, in one version of IP.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Config<I = Ipv4Addr> {
    /// Ask for an address: a DHCP server, or the routers.
    #[default]
    Automatic,
    /// Use this one.
    Static(Address<I>),
    /// Do without.
    Off,
}

/// Addresses of a version of IP, as the command line has them.
pub trait Version: FromStr {
    /// The word.
    const WORD: &'static str;
    /// The value that asks for an address.
    const AUTOMATIC: &'static str;
    /// Bits of an address.
    const BITS: u8;
    /// What a value is expected to be.
    const EXPECTED: &'static str;
    /// Whether a host can have it.
    fn is_of_host(&self) -> bool;
}

impl Version for Ipv4Addr {
    const WORD: &'static str = "net";
    const AUTOMATIC: &'static str = "dhcp";
    const BITS: u8 = 32;
    const EXPECTED: &'static str = "dhcp, off, or ADDRESS/PREFIX such as 10.0.2.15/24";

    fn is_of_host(&self) -> bool {
        !self.is_unspecified() && !self.is_multicast() && !self.is_broadcast()
    }
}

impl Version for Ipv6Addr {
    const WORD: &'static str = "net6";
    const AUTOMATIC: &'static str = "auto";
    const BITS: u8 = 128;
    const EXPECTED: &'static str = "auto, off, or ADDRESS/PREFIX such as 2001:db8::15/64";

    fn is_of_host(&self) -> bool {
        !self.is_unspecified() && !self.is_multicast() && self.to_ipv4_mapped().is_none()
    }
}

/// What is wrong with a setting: the part that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError<'a> {
    word: &'static str,
    part: &'a str,
    expected: &'static str,
}

impl fmt::Display for ConfigError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}: expected {}", self.word, self.part, self.expected)
    }
}

impl<I: Version> Config<I> {
    /// Reads the value of the word.
    ///
    /// # Errors
    /// Names the part that is not understood.
    pub fn parse(value: &str) -> Result<Self, ConfigError<'_>> {
        match value {
            "" => Ok(Self::Automatic),
            "off" => Ok(Self::Off),
            _ if value == I::AUTOMATIC => Ok(Self::Automatic),
            _ => parse_address(value).map(Self::Static),
        }
    }
}

fn parse_address<I: Version>(value: &str) -> Result<Address<I>, ConfigError<'_>> {
    let next = |text| match cut(text, b',') {
        Some((part, rest)) => (part, Some(rest)),
        None => (text, None),
    };
    let (first, mut rest) = next(value);
    let error = |part, expected| ConfigError {
        word: I::WORD,
        part,
        expected,
    };
    let host = |text: &str| text.parse().ok().filter(I::is_of_host);
    let (ip, prefix) = cut(first, b'/')
        .and_then(|(ip, prefix)| Some((host(ip)?, u8::try_from(decimal(prefix)?).ok()?)))
        .filter(|(_, prefix)| (1..=I::BITS).contains(prefix))
        .ok_or_else(|| error(first, I::EXPECTED))?;
    let mut address = Address::of_host(ip, prefix);
    while let Some(text) = rest {
        let (part, further) = next(text);
        rest = further;
        let known = match cut(part, b'=') {
            Some(("gateway", ip)) if address.gateway.is_none() => {
                address.gateway = host(ip);
                address.gateway.is_some()
            }
            Some(("dns", ip)) => host(ip).map(|ip| address.dns.push(ip)).is_some(),
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
    use core::net::{Ipv4Addr, Ipv6Addr};
    use proptest::prelude::*;

    #[test]
    fn words_and_addresses_are_read() {
        assert_eq!(Config::parse("dhcp"), Ok(Config::<Ipv4Addr>::Automatic));
        assert_eq!(Config::parse("off"), Ok(Config::<Ipv4Addr>::Off));
        assert_eq!(
            Config::parse("10.0.2.15/24,gateway=10.0.2.2,dns=10.0.2.3,dns=1.1.1.1"),
            Ok(Config::Static(Address {
                ip: Ipv4Addr::new(10, 0, 2, 15),
                prefix: 24,
                gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
                dns: vec![Ipv4Addr::new(10, 0, 2, 3), Ipv4Addr::new(1, 1, 1, 1)],
            }))
        );
        assert_eq!(Config::parse("auto"), Ok(Config::<Ipv6Addr>::Automatic));
        let ip = |text: &str| text.parse::<Ipv6Addr>().expect("an address");
        assert_eq!(
            Config::parse("2001:db8::15/64,gateway=fe80::1,dns=2001:db8::53"),
            Ok(Config::Static(Address {
                ip: ip("2001:db8::15"),
                prefix: 64,
                gateway: Some(ip("fe80::1")),
                dns: vec![ip("2001:db8::53")],
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
            let error = Config::<Ipv4Addr>::parse(value).expect_err(value);
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("net={part}: expected ")),
                "{error}"
            );
        }
    }

    #[test]
    fn addresses_of_the_other_version_are_not_understood() {
        for value in [
            "10.0.2.15/24",
            "dhcp",
            "2001:db8::1/129",
            "ff02::1/64",
            "::ffff:1.2.3.4/120",
        ] {
            let error = Config::<Ipv6Addr>::parse(value).expect_err(value);
            assert!(error.to_string().starts_with("net6="), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(value in "\\PC{0,60}") {
            let _ = Config::<Ipv4Addr>::parse(&value);
            let _ = Config::<Ipv6Addr>::parse(&value);
        }
    }
}
