//! How the guest gets its addresses: what is written as `address` and `address6`, as `--address` and `--address6`,
//! and as the kernel's words `net=` and `net6=`.

use crate::values::ValueError;
use std::fmt::{self, Display};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// How the guest gets its address of IPv4.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AddressV4 {
    /// From the network's DHCP server.
    #[default]
    Dhcp,
    /// A fixed address.
    Static(Static<Ipv4Addr>),
}

/// How the guest gets its address of IPv6.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AddressV6 {
    /// From the network's routers.
    #[default]
    Auto,
    /// Not at all.
    Off,
    /// A fixed address, besides what routers give.
    Static(Static<Ipv6Addr>),
}

/// A fixed address: `ADDRESS/PREFIX[,gateway=ADDRESS][,dns=ADDRESS]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Static<A> {
    /// The guest's address.
    pub address: A,
    /// Bits of the network's prefix.
    pub prefix: u8,
    /// The router, if there is one, and it is not to be found.
    pub gateway: Option<A>,
    /// The name server, if there is one.
    pub dns: Option<A>,
}

impl<A: FromStr> Static<A> {
    /// Reads an address whose prefix is one of `prefixes`; `is_of_host` says whether an address can be that of a host.
    fn parse(
        text: &str,
        prefixes: impl std::ops::RangeBounds<u8>,
        is_of_host: impl Fn(&A) -> bool,
    ) -> Option<Self> {
        let parse = |text: &str| text.parse::<A>().ok().filter(&is_of_host);
        let mut parts = text.split(',');
        let (address, prefix) = parts.next()?.split_once('/')?;
        let prefix = prefix.parse().ok();
        let mut read = Self {
            address: parse(address)?,
            prefix: prefix.filter(|prefix| prefixes.contains(prefix))?,
            gateway: None,
            dns: None,
        };
        for part in parts {
            match part.split_once('=')? {
                ("gateway", value) => read.gateway = Some(parse(value)?),
                ("dns", value) => read.dns = Some(parse(value)?),
                _ => return None,
            }
        }
        Some(read)
    }
}

impl<A: Display> Display for Static<A> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)?;
        if let Some(gateway) = &self.gateway {
            write!(out, ",gateway={gateway}")?;
        }
        if let Some(dns) = &self.dns {
            write!(out, ",dns={dns}")?;
        }
        Ok(())
    }
}

impl FromStr for AddressV4 {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "dhcp" {
            return Ok(Self::Dhcp);
        }
        let read = Static::parse(text, 0..=32, |_| true);
        read.map(Self::Static)
            .ok_or_else(|| ValueError::Address(text.to_owned()))
    }
}

impl FromStr for AddressV6 {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "auto" => return Ok(Self::Auto),
            "off" => return Ok(Self::Off),
            _ => {}
        }
        let read = Static::parse(text, 1..=128, |ip: &Ipv6Addr| {
            !ip.is_multicast() && !ip.is_unspecified() && ip.to_ipv4_mapped().is_none()
        });
        read.map(Self::Static)
            .ok_or_else(|| ValueError::AddressV6(text.to_owned()))
    }
}

impl Display for AddressV4 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dhcp => out.write_str("dhcp"),
            Self::Static(address) => address.fmt(out),
        }
    }
}

impl Display for AddressV6 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => out.write_str("auto"),
            Self::Off => out.write_str("off"),
            Self::Static(address) => address.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressV4, AddressV6};
    use crate::values::ValueError;

    #[test]
    fn addresses_of_ipv4_read_as_they_are_written() {
        for text in [
            "dhcp",
            "10.0.2.15/24",
            "10.0.2.15/24,gateway=10.0.2.2,dns=10.0.2.3",
        ] {
            assert_eq!(text.parse::<AddressV4>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "10.0.2.15",
            "10.0.2.15/33",
            "10.0.2.15/24,router=1.2.3.4",
            "auto",
        ] {
            assert_eq!(
                text.parse::<AddressV4>(),
                Err(ValueError::Address(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn addresses_of_ipv6_read_as_they_are_written() {
        for text in [
            "auto",
            "off",
            "2001:db8::15/64",
            "2001:db8::15/64,gateway=fe80::1,dns=2001:db8::53",
        ] {
            let address: AddressV6 = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn other_words_are_refused_with_an_example() {
        for text in [
            "",
            "dhcp",
            "10.0.2.15/24",
            "2001:db8::15",
            "2001:db8::15/129",
            "ff02::1/64",
            "2001:db8::1/64,mtu=9",
        ] {
            let error = text.parse::<AddressV6>().unwrap_err().to_string();
            assert!(error.contains("2001:db8::15/64"), "{error}");
        }
    }
}
