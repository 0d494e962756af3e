//! The QEMU command line of a virtual machine: every device is named, none is there by default.
//!
//! Options are those of QEMU's manual ("Invocation"); they hold for version 6.2 and later.

use crate::address::{AddressV4, Static};
use crate::failure::Failure;
use crate::settings::Settings;
use crate::values::{DiskBus, Machine, Nic, Port, Protocol, Size};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment variable that names another QEMU than the one on the path.
pub const QEMU_VARIABLE: &str = "TORO_QEMU";

/// The environment variable that names the firmware for UEFI.
pub const OVMF_VARIABLE: &str = "TORO_OVMF";

/// Two channels with two disks each.
const MAX_IDE_DISKS: usize = 4;
/// Ports of QEMU's AHCI controller.
const MAX_AHCI_DISKS: usize = 6;
/// Targets of a SCSI adapter.
const MAX_PVSCSI_DISKS: usize = 16;
const MAX_VIRTIO_SCSI_DISKS: usize = 256;

/// Where the image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A disk image, the first disk.
    Disk(PathBuf),
    /// The same, started by UEFI.
    Uefi {
        /// The image.
        image: PathBuf,
        /// OVMF.
        firmware: PathBuf,
    },
    /// An ELF that QEMU loads itself.
    Kernel {
        /// The image.
        elf: PathBuf,
        /// The kernel's command line.
        command_line: String,
    },
}

/// What executes the guest's instructions; see [`crate::accel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Accelerator {
    Tcg,
    Kvm,
}

/// What the network card is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// QEMU's user network, which needs no privileges, with ports of the host that lead into it.
    User(Vec<Port>),
    /// A tap interface that exists.
    Tap {
        /// Its name.
        name: String,
        /// How many queues it is asked for; with more than one it must have been made so.
        queues: u32,
    },
}

/// Where the screen is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// Nowhere.
    None,
    /// On this TCP port, 5900 or above, of the loopback address.
    Vnc(u16),
    /// In a window.
    Window,
}

/// Everything QEMU is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the types say it")]
pub struct Launch {
    pub machine: Machine,
    pub accelerator: Accelerator,
    pub memory: Size,
    pub cores: u32,
    pub source: Source,
    pub disk_bus: DiskBus,
    /// Data disks, raw images: files, or what QEMU knows by a protocol and a colon.
    pub disks: Vec<PathBuf>,
    /// What the guest writes to its data disks is forgotten when it ends.
    pub are_disks_scratch: bool,
    pub nic: Nic,
    pub network: Network,
    /// The guest's address: the user network is laid around it.
    pub address: AddressV4,
    pub screen: Screen,
    /// More words for QEMU, as they are.
    pub extra: Vec<OsString>,
}

impl Launch {
    /// The machine that `settings` describe, without a screen and with its ports published.
    pub fn new(settings: &Settings, source: Source, accelerator: Accelerator) -> Self {
        Self {
            machine: settings.machine,
            accelerator,
            memory: settings.memory,
            cores: settings.cores,
            source,
            disk_bus: settings.disk_bus,
            disks: settings
                .disks
                .iter()
                // QEMU takes what is before a colon for a protocol, unless a slash comes first.
                .map(|disk| Path::new(".").join(&disk.image))
                .collect(),
            are_disks_scratch: false,
            nic: settings.nic,
            network: Network::User(settings.ports.clone()),
            address: settings.address,
            screen: Screen::None,
            extra: Vec::new(),
        }
    }

    /// The command, with QEMU's control socket at `control`.
    pub fn command(&self, control: &str) -> Result<Command> {
        let mut command = Command::new(qemu());
        command.args(self.arguments(control)?);
        Ok(command)
    }

    fn arguments(&self, control: &str) -> Result<Vec<OsString>> {
        let mut words = Words::default();
        words.option("-nodefaults", None);
        words.option("-no-user-config", None);
        words.option("-no-reboot", None);
        words.option("-machine", Some(self.machine_option()));
        words.option("-accel", Some(self.accelerator_option()));
        words.option("-cpu", Some("max".into()));
        words.option("-m", Some(format!("{}K", self.memory.bytes >> 10)));
        words.option("-smp", Some(self.cores.to_string()));
        words.option("-chardev", Some("stdio,id=console,signal=off".into()));
        words.option("-serial", Some("chardev:console".into()));
        words.option("-qmp", Some(control.into()));
        words.option(
            "-device",
            Some("isa-debug-exit,iobase=0xf4,iosize=4".into()),
        );
        self.screen(&mut words);
        self.disks(&mut words)?;
        self.network(&mut words)?;
        if let Source::Kernel { elf, command_line } = &self.source {
            words.0.extend([
                "-kernel".into(),
                elf.into(),
                "-append".into(),
                command_line.into(),
            ]);
        }
        if let Source::Uefi { firmware, .. } = &self.source {
            words.0.extend(["-bios".into(), firmware.into()]);
        }
        words.0.extend(self.extra.iter().cloned());
        Ok(words.0)
    }

    fn machine_option(&self) -> String {
        match self.machine {
            Machine::Pc => "pc".into(),
            Machine::Q35 => "q35".into(),
            Machine::Microvm => "microvm,acpi=off,pit=on,pic=on,rtc=on,isa-serial=on".into(),
        }
    }

    fn accelerator_option(&self) -> String {
        match self.accelerator {
            Accelerator::Tcg => "tcg".into(),
            Accelerator::Kvm => "kvm".into(),
        }
    }

    fn screen(&self, words: &mut Words) {
        if self.machine != Machine::Microvm {
            words.option("-vga", Some("std".into()));
        }
        match self.screen {
            Screen::None => words.option("-display", Some("none".into())),
            Screen::Vnc(port) => {
                let display = port.saturating_sub(5900);
                words.option("-display", Some(format!("vnc=127.0.0.1:{display}")));
            }
            Screen::Window => {}
        }
    }

    /// The boot disk first, so that BIOSes find it as their first, then the data disks.
    fn disks(&self, words: &mut Words) -> Result<()> {
        let boot = match &self.source {
            Source::Disk(image) | Source::Uefi { image, .. } => Some(image),
            Source::Kernel { .. } => None,
        };
        if self.machine == Machine::Microvm && boot.is_some() {
            bail!(Failure::new(
                "the machine microvm has no firmware that boots from a disk",
                "leave --boot away or choose --boot kernel"
            ));
        }
        let count = self.disks.len() + boot.iter().len();
        let (max, kind) = match self.disk_bus {
            DiskBus::Ide => (MAX_IDE_DISKS, "IDE"),
            DiskBus::Ahci => (MAX_AHCI_DISKS, "SATA"),
            DiskBus::Pvscsi => (MAX_PVSCSI_DISKS, "SCSI"),
            DiskBus::VirtioScsi => (MAX_VIRTIO_SCSI_DISKS, "SCSI"),
            DiskBus::Virtio | DiskBus::Nvme => (usize::MAX, ""),
        };
        if count > max {
            bail!(Failure::new(
                format!(
                    "{count} disks are too many: the machine has {max} {kind} disks, boot disk included"
                ),
                "choose --disk-bus virtio, or give fewer disks"
            ));
        }
        match (self.machine, self.disk_bus) {
            (Machine::Q35, DiskBus::Ide) if count > 0 => {
                words.option("-device", Some("piix3-ide,id=legacy".into()));
            }
            (Machine::Pc, DiskBus::Ahci) if count > 0 => {
                words.option("-device", Some("ich9-ahci,id=sata".into()));
            }
            (_, DiskBus::Pvscsi) if count > 0 => {
                words.option("-device", Some("pvscsi,id=scsi".into()));
            }
            (_, DiskBus::VirtioScsi) if count > 0 => {
                words.option("-device", Some("virtio-scsi-pci,id=scsi".into()));
            }
            _ => {}
        }
        for (index, image) in boot.into_iter().chain(&self.disks).enumerate() {
            let is_boot = boot.is_some() && index == 0;
            // The boot disk is never written: two machines may run from one image.
            let is_scratch = is_boot || self.are_disks_scratch;
            let snapshot = if is_scratch { ",snapshot=on" } else { "" };
            // An error of the host is one of the guest's, which knows what to do; QEMU would stop the machine when the host has no space left.
            let errors = "werror=report,rerror=report";
            let drive = format!("if=none,id=disk{index},format=raw,{errors}{snapshot},file=");
            words.path_option("-drive", &drive, image);
            let order = if is_boot { ",bootindex=0" } else { "" };
            let device = self.disk_device(index);
            words.option(
                "-device",
                Some(format!("{device},drive=disk{index}{order}")),
            );
        }
        Ok(())
    }

    /// The device for a disk, with its place. The guest finds disks in the order in which they are named: IDE by channel and unit,
    /// AHCI by port, virtio and NVMe by PCI slot, or by the words that QEMU adds to the kernel's command line.
    fn disk_device(&self, index: usize) -> String {
        let (channel, unit) = (index / 2, index % 2);
        match (self.disk_bus, self.machine) {
            (DiskBus::Virtio, Machine::Microvm) => "virtio-blk-device".into(),
            (DiskBus::Virtio, _) => "virtio-blk-pci".into(),
            (DiskBus::Nvme, _) => format!("nvme,serial=disk{index}"),
            (DiskBus::Pvscsi | DiskBus::VirtioScsi, _) => {
                format!("scsi-hd,bus=scsi.0,scsi-id={index}")
            }
            // The machine has a controller of its own, whose ports are such buses.
            (DiskBus::Ahci, Machine::Q35) => format!("ide-hd,bus=ide.{index}"),
            (DiskBus::Ahci, _) => format!("ide-hd,bus=sata.{index}"),
            (DiskBus::Ide, Machine::Q35) => format!("ide-hd,bus=legacy.{channel},unit={unit}"),
            (DiskBus::Ide, _) => format!("ide-hd,bus=ide.{channel},unit={unit}"),
        }
    }

    fn network(&self, words: &mut Words) -> Result<()> {
        let device = match (self.nic, self.machine) {
            (Nic::None, _) => return Ok(()),
            // An option ROM would only look for a server to boot from.
            (Nic::E1000, _) => "e1000,netdev=net0,romfile=",
            (Nic::E1000e, _) => "e1000e,netdev=net0,romfile=",
            (Nic::Vmxnet3, _) => "vmxnet3,netdev=net0,romfile=",
            (Nic::Ne2000, _) => "ne2k_pci,netdev=net0,romfile=",
            (Nic::Tulip, _) => "tulip,netdev=net0,romfile=",
            (Nic::Pcnet, _) => "pcnet,netdev=net0,romfile=",
            (Nic::Rtl8139, _) => "rtl8139,netdev=net0,romfile=",
            (Nic::Virtio, Machine::Microvm) => "virtio-net-device,netdev=net0",
            (Nic::Virtio, _) => "virtio-net-pci,netdev=net0,romfile=",
        };
        let queues = match self.network {
            Network::Tap { queues, .. } => queues,
            Network::User(_) => 1,
        };
        let several = match queues {
            1 => String::new(),
            count => format!(",queues={count}"),
        };
        words.option(
            "-netdev",
            Some(match &self.network {
                Network::User(ports) => user_network(self.address, ports)?,
                Network::Tap { name, .. } => format!(
                    "tap,id=net0,ifname={},script=no,downscript=no{several}",
                    escaped(name)
                ),
            }),
        );
        let several = match queues {
            1 => String::new(),
            // A message for each queue, one for that of commands and one for the configuration.
            count => format!(",mq=on,vectors={}", 2 * count + 2),
        };
        words.option("-device", Some(format!("{device}{several}")));
        Ok(())
    }
}

/// QEMU's user network around the guest's `address`, with ports of the host that lead into it.
pub(crate) fn user_network(address: AddressV4, ports: &[Port]) -> Result<String> {
    let mut option = "user,id=net0".to_owned();
    let mut guest = String::new();
    if let AddressV4::Static(Static {
        address,
        prefix,
        gateway,
        dns,
    }) = address
    {
        guest = address.to_string();
        let network = |address: Ipv4Addr| {
            u32::from(address)
                .checked_shr(32 - u32::from(prefix))
                .unwrap_or(0)
        };
        option += &format!(",net={address}/{prefix}");
        for (name, server) in [("host", gateway), ("dns", dns)] {
            let Some(server) = server else { continue };
            if network(server) == network(address) {
                option += &format!(",{name}={server}");
            } else if name == "host" {
                bail!(Failure::new(
                    format!("the gateway {server} is not in the network of {address}/{prefix}"),
                    "mend the address in [package.metadata.toro] or --address"
                ));
            }
        }
    }
    for port in ports {
        let protocol = match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        option += &format!(
            ",hostfwd={protocol}:{}:{}-{guest}:{}",
            port.address, port.host, port.guest
        );
    }
    Ok(option)
}

#[derive(Default)]
struct Words(Vec<OsString>);

impl Words {
    fn option(&mut self, name: &str, value: Option<String>) {
        self.0.push(name.into());
        self.0.extend(value.map(OsString::from));
    }

    fn path_option(&mut self, name: &str, before: &str, path: &Path) {
        self.option(
            name,
            Some(format!("{before}{}", escaped(&path.display().to_string()))),
        );
    }
}

/// A comma in a value is doubled.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

/// The QEMU to start.
pub fn qemu() -> PathBuf {
    std::env::var_os(QEMU_VARIABLE).map_or_else(|| "qemu-system-x86_64".into(), PathBuf::from)
}

/// The firmware for UEFI: what the variable names, or OVMF where distributions put it.
pub fn ovmf() -> Result<PathBuf> {
    /// Debian and Ubuntu; Fedora; Arch; openSUSE; what comes with QEMU on macOS.
    const PLACES: [&str; 9] = [
        "/usr/share/ovmf/OVMF.fd",
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/x64/OVMF.4m.fd",
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/qemu/ovmf-x86_64.bin",
        "/opt/homebrew/share/qemu/edk2-x86_64-code.fd",
        "/usr/local/share/qemu/edk2-x86_64-code.fd",
    ];
    let named = std::env::var_os(OVMF_VARIABLE).map(PathBuf::from);
    let found = match &named {
        Some(file) => Some(file.clone()).filter(|file| file.is_file()),
        None => PLACES
            .map(PathBuf::from)
            .into_iter()
            .find(|file| file.is_file()),
    };
    found.ok_or_else(|| {
        let what = match named {
            Some(file) => format!("there is no firmware for UEFI at {}", file.display()),
            None => "there is no firmware for UEFI (OVMF) on this host".into(),
        };
        let help = format!(
            "install it: `apt-get install ovmf`, `dnf install edk2-ovmf`, `pacman -S edk2-ovmf`; one elsewhere is named by {OVMF_VARIABLE}"
        );
        Failure::new(what, help).into()
    })
}

/// QEMU's version line; an error with advice where there is no QEMU.
pub fn version() -> Result<String> {
    let qemu = qemu();
    let output = Command::new(&qemu).arg("--version").output();
    let output = output
        .map_err(|error| missing(&qemu, &error))
        .context("cannot start a virtual machine")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The error for a QEMU that does not start.
pub fn missing(qemu: &Path, error: &std::io::Error) -> Failure {
    let help = format!(
        "install QEMU: `apt-get install qemu-system-x86`, `dnf install qemu-system-x86`, `pacman -S qemu-system-x86`, \
         `brew install qemu`, or the installer of qemu.org; a QEMU elsewhere is named by {QEMU_VARIABLE}"
    );
    Failure::new(
        format!("QEMU (`{}`) cannot be started: {error}", qemu.display()),
        help,
    )
}

#[cfg(test)]
#[path = "qemu_tests.rs"]
mod tests;
