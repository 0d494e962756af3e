//! How the guest gets its address of IPv6: what is written as `address6` and `--address6`, and the kernel's word `net6=`.

use crate::values::ValueError;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// How the guest gets its address of IPv6.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AddressV6 {
    /// From the network's routers.
    #[default]
    Auto,
    /// Not at all.
    Off,
    /// A fixed address, besides what routers give.
    Static {
        /// The guest's address.
        address: Ipv6Addr,
        /// Bits of the network's prefix.
        prefix: u8,
        /// The router, if it is not to be found.
        gateway: Option<Ipv6Addr>,
        /// The name server, if there is one.
        dns: Option<Ipv6Addr>,
    },
}

impl FromStr for AddressV6 {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "auto" => return Ok(Self::Auto),
            "off" => return Ok(Self::Off),
            _ => {}
        }
        let error = || ValueError::AddressV6(text.to_owned());
        let parse = |text: &str| {
            let address = text.parse::<Ipv6Addr>().ok();
            let is_of_host = |ip: &Ipv6Addr| {
                !ip.is_multicast() && !ip.is_unspecified() && ip.to_ipv4_mapped().is_none()
            };
            address.filter(is_of_host).ok_or_else(error)
        };
        let mut parts = text.split(',');
        let (address, prefix) = parts
            .next()
            .and_then(|part| part.split_once('/'))
            .ok_or_else(error)?;
        let address = parse(address)?;
        let prefix = prefix.parse().ok();
        let prefix = prefix
            .filter(|prefix| (1..=128).contains(prefix))
            .ok_or_else(error)?;
        let (mut gateway, mut dns) = (None, None);
        for part in parts {
            match part.split_once('=') {
                Some(("gateway", value)) => gateway = Some(parse(value)?),
                Some(("dns", value)) => dns = Some(parse(value)?),
                _ => return Err(error()),
            }
        }
        Ok(Self::Static {
            address,
            prefix,
            gateway,
            dns,
        })
    }
}

impl fmt::Display for AddressV6 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => out.write_str("auto"),
            Self::Off => out.write_str("off"),
            Self::Static {
                address,
                prefix,
                gateway,
                dns,
            } => {
                write!(out, "{address}/{prefix}")?;
                gateway.map_or(Ok(()), |gateway| write!(out, ",gateway={gateway}"))?;
                dns.map_or(Ok(()), |dns| write!(out, ",dns={dns}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AddressV6;

    #[test]
    fn addresses_read_as_they_are_written() {
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
