//! Values that can be given as an option and as a key of `[package.metadata.toro]`, each with one way to be written.

use crate::address::{AddressV4, AddressV6};
use clap::ValueEnum;
use serde::{Deserialize, Deserializer, de};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Why a value could not be read. The message names the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a number with a unit.
    #[error("`{0}` is not a size: write it as 64M, 2G or a number of MiB")]
    Size(String),
    /// Not `HOST:GUEST`.
    #[error(
        "`{0}` is not a port mapping: write it as HOST:GUEST or HOST:GUEST/udp, for example 8080:80"
    )]
    Port(String),
    /// Neither `dhcp` nor an address with a prefix.
    #[error(
        "`{0}` is not an address: write it as dhcp or ADDRESS/PREFIX[,gateway=ADDRESS][,dns=ADDRESS], \
         for example 10.0.2.15/24,gateway=10.0.2.2,dns=10.0.2.3"
    )]
    Address(String),
    /// Neither `auto` nor `off` nor an address of IPv6 with a prefix.
    #[error(
        "`{0}` is not an address of IPv6: write it as auto, off or ADDRESS/PREFIX[,gateway=ADDRESS][,dns=ADDRESS], \
         for example 2001:db8::15/64,gateway=fe80::1"
    )]
    AddressV6(String),
    /// Not `IMAGE[:/mount]`.
    #[error("`{0}` is not a disk: write it as IMAGE or IMAGE:/mount")]
    Disk(String),
    /// Not `FOLDER:/path`.
    #[error(
        "`{0}` is not a folder and its place in the guest: write it as FOLDER:/PATH, for example site:/www"
    )]
    Embed(String),
    /// Not `NAME=VALUE`.
    #[error("`{0}` is not an environment variable: write it as NAME=VALUE")]
    Variable(String),
}

/// A machine model of QEMU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    /// i440FX with PIIX3: the machine that every hypervisor resembles
    #[default]
    Pc,
    /// A PCI Express machine
    Q35,
    /// No PCI, no firmware: the smallest and quickest
    Microvm,
}

/// A network card.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nic {
    /// Intel 82540EM; QEMU's receives nothing in the first second
    E1000,
    /// virtio-net
    #[default]
    Virtio,
    /// Intel 82574L
    E1000e,
    /// What VMware gives its machines
    Vmxnet3,
    /// RTL8029, an NE2000 on PCI
    Ne2000,
    /// DEC 21143, as Hyper-V's legacy card
    Tulip,
    /// AMD PCnet, as VirtualBox and older VMware machines have it
    Pcnet,
    /// RTL8139, what Xen gives its fully virtualised machines
    Rtl8139,
    /// No network
    None,
}

/// What disks hang on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskBus {
    /// An IDE controller
    Ide,
    /// virtio-blk
    #[default]
    Virtio,
    /// SATA disks at an AHCI controller
    Ahci,
    /// NVMe, a controller for each disk
    Nvme,
    /// VMware's paravirtual SCSI adapter
    Pvscsi,
    /// virtio-scsi, as Google's machines and Proxmox have it
    VirtioScsi,
}

/// How the image gets into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Boot {
    /// From a disk image, by BIOS and Toro's own loader
    Disk,
    /// QEMU loads the kernel itself (PVH)
    Kernel,
    /// From the same disk image, by UEFI: needs OVMF on this host
    Uefi,
}

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// KVM where it can run this guest, else emulation
    #[default]
    Auto,
    /// Emulation: works everywhere
    Tcg,
    /// Linux's hypervisor; an error where it cannot run this guest
    Kvm,
}

/// Where the guest's screen is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Display {
    /// Nowhere
    #[default]
    None,
    /// On a VNC port of this host; the port is printed
    Vnc,
    /// In a window
    Window,
}

/// On which core a thread starts whose creator does not choose one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// The core with the fewest threads
    LeastLoaded,
    /// One core after the other
    RoundRobin,
    /// The core of the creator
    SameCore,
}

impl fmt::Display for Placement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::LeastLoaded => "least-loaded",
            Self::RoundRobin => "round-robin",
            Self::SameCore => "same-core",
        })
    }
}

/// How much the kernel says on the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        })
    }
}

/// A number of bytes. Written as a number of MiB, or with a unit: `512K`, `64M`, `2G`, `1T` (also `MiB`, `MB`; all are powers of 1024).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// The size in bytes.
    pub bytes: u64,
}

impl Size {
    /// A size of `count` MiB.
    pub const fn mib(count: u64) -> Self {
        Self { bytes: count << 20 }
    }

    /// As it is written in an option: `64M`, `512K`.
    pub fn option(self) -> String {
        if self.bytes.is_multiple_of(1 << 20) {
            format!("{}M", self.bytes >> 20)
        } else {
            format!("{}K", self.bytes.div_ceil(1 << 10))
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bytes.is_multiple_of(1 << 20) {
            write!(out, "{} MiB", self.bytes >> 20)
        } else {
            write!(out, "{} KiB", self.bytes >> 10)
        }
    }
}

impl FromStr for Size {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::Size(text.to_owned());
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let shift = match unit.trim().to_ascii_uppercase().as_str() {
            "" | "M" | "MB" | "MIB" => 20,
            "K" | "KB" | "KIB" => 10,
            "G" | "GB" | "GIB" => 30,
            "T" | "TB" | "TIB" => 40,
            _ => return Err(error()),
        };
        let number: u64 = number.parse().map_err(|_| error())?;
        let bytes = number
            .checked_mul(1 << shift)
            .filter(|&bytes| bytes > 0)
            .ok_or_else(error)?;
        Ok(Self { bytes })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a size such as \"64M\", or a number of MiB")]
        enum Written {
            Number(u64),
            Text(String),
        }
        let text = match Written::deserialize(from)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(de::Error::custom)
    }
}

/// A transport protocol whose ports can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A port of the host that leads to a port of the guest: `[ADDRESS:]HOST:GUEST[/udp]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// The protocol.
    pub protocol: Protocol,
    /// The host's address to listen at; the loopback address where none is written.
    pub address: Ipv4Addr,
    /// The host's port; 0 lets the operating system choose one.
    pub host: u16,
    /// The guest's port.
    pub guest: u16,
}

impl Port {
    /// Whether both want the same port of the host.
    pub fn clashes(&self, other: &Self) -> bool {
        let is_of_all = self.address.is_unspecified() || other.address.is_unspecified();
        self.host != 0
            && (self.host, self.protocol) == (other.host, other.protocol)
            && (is_of_all || self.address == other.address)
    }
}

impl FromStr for Port {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::Port(text.to_owned());
        let (mapping, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Protocol::Tcp),
            Some((mapping, "udp")) => (mapping, Protocol::Udp),
            Some(_) => return Err(error()),
        };
        let (host, guest) = mapping.rsplit_once(':').ok_or_else(error)?;
        let (address, host) = match host.rsplit_once(':') {
            Some((address, host)) => (address.parse().map_err(|_| error())?, host),
            None => (Ipv4Addr::LOCALHOST, host),
        };
        let host = host.parse().map_err(|_| error())?;
        let guest = guest
            .parse()
            .ok()
            .filter(|&guest| guest != 0)
            .ok_or_else(error)?;
        Ok(Self {
            protocol,
            address,
            host,
            guest,
        })
    }
}

/// A disk given as an option: `IMAGE[:/mount]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskOption {
    /// The image file, as written.
    pub image: String,
    /// Where the guest mounts it.
    pub mount: Option<String>,
}

impl FromStr for DiskOption {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        // `C:/x.img` is a Windows path: one letter before the colon is a drive.
        let (image, mount) = match text.rsplit_once(":/") {
            Some((image, mount)) if image.len() != 1 => (image, Some(format!("/{mount}"))),
            _ => (text, None),
        };
        if image.is_empty() {
            return Err(ValueError::Disk(text.to_owned()));
        }
        Ok(Self {
            image: image.to_owned(),
            mount,
        })
    }
}

/// A folder that goes into the image: `FOLDER:/path`, as an option and as a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedOption {
    /// The folder of the host.
    pub folder: String,
    /// Where the guest has it: absolute, without a slash at the end.
    pub path: String,
}

impl FromStr for EmbedOption {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bad = || ValueError::Embed(text.to_owned());
        let (folder, path) = text.rsplit_once(":/").ok_or_else(bad)?;
        if folder.is_empty() {
            return Err(bad());
        }
        let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
        let is_plain = |name: &&str| !matches!(*name, "." | "..") && !name.contains('\0');
        if names.is_empty() || !names.iter().all(is_plain) {
            return Err(bad());
        }
        Ok(Self {
            folder: folder.to_owned(),
            path: format!("/{}", names.join("/")),
        })
    }
}

/// An environment variable given as an option: `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The part before the first `=`.
    pub name: String,
    /// The part after it.
    pub value: String,
}

impl FromStr for Variable {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(ValueError::Variable(text.to_owned())),
        }
    }
}

macro_rules! deserialize_from_text {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
deserialize_from_text!(Port, AddressV4, AddressV6, EmbedOption);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_without_a_unit_are_mib() {
        assert_eq!("64".parse(), Ok(Size::mib(64)));
        assert_eq!("2G".parse(), Ok(Size::mib(2048)));
        assert_eq!("1T".parse(), Ok(Size::mib(1 << 20)));
        assert_eq!("64MiB".parse(), Ok(Size::mib(64)));
        assert_eq!("512k".parse(), Ok(Size { bytes: 512 << 10 }));
    }

    #[test]
    fn sizes_that_make_no_sense_are_refused() {
        for text in [
            "",
            "M",
            "-1",
            "0",
            "1.5G",
            "64X",
            "99999999999999999999",
            "18446744073709551615G",
            "16777216T",
        ] {
            assert_eq!(
                text.parse::<Size>(),
                Err(ValueError::Size(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn ports_listen_on_loopback_unless_told() {
        let port: Port = "8080:80".parse().unwrap();
        assert_eq!(
            (port.protocol, port.host, port.guest),
            (Protocol::Tcp, 8080, 80)
        );
        assert!(port.address.is_loopback());
        let port: Port = "0.0.0.0:5353:53/udp".parse().unwrap();
        assert_eq!(
            (port.protocol, port.address),
            (Protocol::Udp, Ipv4Addr::UNSPECIFIED)
        );
    }

    #[test]
    fn ports_that_make_no_sense_are_refused() {
        for text in [
            "80",
            "x:80",
            "8080:",
            "8080:0",
            "8080:99999",
            "8080:80/sctp",
            "host:1:2",
        ] {
            assert_eq!(
                text.parse::<Port>(),
                Err(ValueError::Port(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn an_embedded_folder_has_a_place_below_the_root() {
        let embed = |text: &str| {
            let embed = text.parse::<EmbedOption>();
            embed.map(|embed| (embed.folder, embed.path))
        };
        assert_eq!(embed("site:/www"), Ok(("site".into(), "/www".into())));
        assert_eq!(
            embed("a/b:/srv//www/"),
            Ok(("a/b".into(), "/srv/www".into()))
        );
        assert_eq!(embed("C:/site:/www"), Ok(("C:/site".into(), "/www".into())));
        for text in ["", "site", "site:www", "site:/", ":/www", "site:/../etc"] {
            assert_eq!(embed(text), Err(ValueError::Embed(text.into())), "{text}");
        }
    }

    #[test]
    fn a_drive_letter_is_not_a_mount() {
        let disk = |text: &str| {
            text.parse::<DiskOption>()
                .map(|disk| (disk.image, disk.mount))
        };
        assert_eq!(
            disk("web.img:/www"),
            Ok(("web.img".into(), Some("/www".into())))
        );
        assert_eq!(disk("web.img"), Ok(("web.img".into(), None)));
        assert_eq!(disk("C:/web.img"), Ok(("C:/web.img".into(), None)));
        assert_eq!(
            disk("C:/web.img:/"),
            Ok(("C:/web.img".into(), Some("/".into())))
        );
        assert!(disk(":/www").is_err());
    }
}
