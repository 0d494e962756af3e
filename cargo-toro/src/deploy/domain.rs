//! The machine of a service as libvirt's domain XML (libvirt.org/formatdomain.html).
//!
//! Its network is QEMU's user network, as in `cargo toro run`. It needs no bridge, no DHCP server and no rule of the host's
//! firewall that other software may undo; the forwarded ports come and go with the machine. libvirt's own element for
//! it forwards ports only with passt, which older distributions lack, so QEMU is told directly. A service that needs more
//! throughput gets a bridge.

use super::options::Restart;
use super::service::Service;
use crate::failure::Failure;
use crate::qemu::{Accelerator, user_network};
use crate::settings::Settings;
use crate::values::{DiskBus, Machine, Nic};
use anyhow::{Result, bail};
use std::fmt::Write;

/// Of the element that marks a machine as one of these services.
pub(super) const NAMESPACE: &str = "urn:toro:deployment";

/// A machine to be defined.
pub(super) struct Domain<'a> {
    pub(super) service: &'a Service,
    pub(super) release: u32,
    pub(super) settings: &'a Settings,
    pub(super) accelerator: Accelerator,
    pub(super) bridge: Option<&'a str>,
    pub(super) restart: Restart,
    /// Paths of the data disks on the host.
    pub(super) disks: &'a [String],
}

impl Domain<'_> {
    /// The XML.
    pub(super) fn xml(&self) -> Result<String> {
        let settings = self.settings;
        let machine = match settings.machine {
            Machine::Pc => "pc",
            Machine::Q35 => "q35",
            Machine::Microvm => bail!(Failure::new(
                "libvirt has no machine `microvm`",
                "choose --machine pc or q35"
            )),
        };
        let (kind, cpu) = match self.accelerator {
            Accelerator::Kvm => ("kvm", "host-passthrough"),
            Accelerator::Tcg => ("qemu", "maximum"),
        };
        let again = match self.restart {
            Restart::Always => "restart",
            Restart::Never => "destroy",
        };
        let (name, release) = (escaped(&self.service.name), self.release);
        let mut xml = format!(
            "<domain type='{kind}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n  \
               <name>{name}</name>\n  \
               <uuid>{}</uuid>\n  \
               <metadata><toro:deployment xmlns:toro='{NAMESPACE}' release='{release}'/></metadata>\n  \
               <memory unit='KiB'>{}</memory>\n  \
               <vcpu>{}</vcpu>\n  \
               <os><type arch='x86_64' machine='{machine}'>hvm</type></os>\n  \
               <features><acpi/><apic/></features>\n  \
               <cpu mode='{cpu}'/>\n  \
               <clock offset='utc'/>\n  \
               <on_poweroff>{again}</on_poweroff>\n  \
               <on_reboot>restart</on_reboot>\n  \
               <on_crash>{again}</on_crash>\n  \
               <devices>\n",
            self.service.uuid(),
            settings.memory.bytes >> 10,
            settings.cores,
        );
        self.add_disks(&mut xml)?;
        if let (Some(bridge), Some(model)) = (self.bridge, model(settings.nic)) {
            let bridge = escaped(bridge);
            // libvirt's name for it.
            let model = if model == "virtio-net-pci" {
                "virtio"
            } else {
                model
            };
            let _ = writeln!(
                xml,
                "    <interface type='bridge'><source bridge='{bridge}'/><model type='{model}'/><rom enabled='no'/></interface>"
            );
        }
        let log = escaped(&self.service.log());
        let _ = write!(
            xml,
            "    <serial type='pty'><log file='{log}' append='on'/><target port='0'/></serial>\n    \
             <console type='pty'><target type='serial' port='0'/></console>\n    \
             <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>\n    \
             <video><model type='vga'/></video>\n    \
             <controller type='usb' model='none'/>\n    \
             <memballoon model='none'/>\n  \
             </devices>\n"
        );
        self.add_user_network(&mut xml)?;
        xml.push_str("</domain>\n");
        Ok(xml)
    }

    fn add_disks(&self, xml: &mut String) -> Result<()> {
        let (bus, prefix, most) = match self.settings.disk_bus {
            DiskBus::Virtio => ("virtio", "vd", 20),
            DiskBus::Ide => ("ide", "hd", 4),
            DiskBus::Ahci => ("sata", "sd", 6),
            DiskBus::Nvme | DiskBus::Pvscsi | DiskBus::VirtioScsi => bail!(Failure::new(
                "services have no NVMe or SCSI disks",
                "choose --disk-bus virtio, ahci or ide"
            )),
        };
        let boot = self.service.boot_image(self.release);
        let images: Vec<_> = std::iter::once(&boot).chain(self.disks).collect();
        if images.len() > most {
            let help = "choose --disk-bus virtio, or give fewer disks";
            let message = format!(
                "{} disks are too many: {most} are possible, boot disk included",
                images.len()
            );
            bail!(Failure::new(message, help));
        }
        for ((index, image), letter) in images.into_iter().enumerate().zip('a'..='z') {
            let image = escaped(image);
            let boot = match (index, self.settings.disk_bus) {
                // QEMU's IDE and SATA disks cannot be read-only.
                (0, DiskBus::Virtio) => "<boot order='1'/><readonly/>",
                (0, _) => "<boot order='1'/>",
                _ => "",
            };
            let _ = writeln!(
                xml,
                "    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>\
                 <target dev='{prefix}{letter}' bus='{bus}'/>{boot}</disk>"
            );
        }
        Ok(())
    }

    fn add_user_network(&self, xml: &mut String) -> Result<()> {
        let (None, Some(model)) = (self.bridge, model(self.settings.nic)) else {
            return Ok(());
        };
        let network = user_network(self.settings.address, &self.settings.ports)?;
        // A slot that libvirt, which gives them out from the first, does not reach.
        let bus = match self.settings.machine {
            Machine::Q35 => "pcie.0",
            _ => "pci.0",
        };
        let device = format!("{model},netdev=net0,bus={bus},addr=0x1c,romfile=");
        xml.push_str("  <qemu:commandline>\n");
        for word in ["-netdev", &network, "-device", &device] {
            let _ = writeln!(xml, "    <qemu:arg value='{}'/>", escaped(word));
        }
        xml.push_str("  </qemu:commandline>\n");
        Ok(())
    }
}

/// QEMU's name of a network card.
fn model(nic: Nic) -> Option<&'static str> {
    Some(match nic {
        Nic::None => return None,
        Nic::Virtio => "virtio-net-pci",
        Nic::E1000 => "e1000",
        Nic::E1000e => "e1000e",
        Nic::Vmxnet3 => "vmxnet3",
        Nic::Ne2000 => "ne2k_pci",
        Nic::Tulip => "tulip",
        Nic::Pcnet => "pcnet",
        Nic::Rtl8139 => "rtl8139",
    })
}

/// Text for an XML attribute or element.
fn escaped(text: &str) -> String {
    let mut xml = String::new();
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '\'' => xml.push_str("&apos;"),
            '"' => xml.push_str("&quot;"),
            c => xml.push(c),
        }
    }
    xml
}

/// The release in the element that marks a machine; `None` without one.
pub(super) fn release_of(xml: &str) -> Option<u32> {
    let (_, rest) = xml.split_once("release=")?;
    rest.split(['\'', '"']).nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;
    use crate::settings::Overrides;
    use std::path::Path;

    fn xml(overrides: Overrides, disks: &[String]) -> Result<String> {
        let settings = Settings::new(&Metadata::default(), Path::new("/p"), overrides).unwrap();
        let service = Service {
            name: "web".into(),
            folder: "/var/lib/toro/web".into(),
        };
        Domain {
            service: &service,
            release: 7,
            settings: &settings,
            accelerator: Accelerator::Tcg,
            bridge: None,
            restart: Restart::Always,
            disks,
        }
        .xml()
    }

    #[test]
    fn a_machine_says_which_release_of_which_service_it_is() {
        let xml = xml(Overrides::default(), &[]).unwrap();
        assert!(xml.contains("<name>web</name>"));
        assert!(
            xml.contains("<source file='/var/lib/toro/web/releases/7/boot.img'/>"),
            "{xml}"
        );
        assert_eq!(release_of(&xml), Some(7));
        assert_eq!(release_of("<deployment release=\"12\"/>"), Some(12));
        assert_eq!(release_of("error: metadata not found"), None);
    }

    #[test]
    fn ports_lead_into_the_user_network() {
        let ports = vec![
            "0.0.0.0:80:8080".parse().unwrap(),
            "53:53/udp".parse().unwrap(),
        ];
        let xml = xml(
            Overrides {
                ports,
                ..Overrides::default()
            },
            &[],
        )
        .unwrap();
        let network = "user,id=net0,hostfwd=tcp:0.0.0.0:80-:8080,hostfwd=udp:127.0.0.1:53-:53";
        assert!(xml.contains(network), "{xml}");
    }

    #[test]
    fn only_the_boot_disk_is_booted_and_names_are_escaped() {
        let xml = xml(Overrides::default(), &["/d/a&b'.img".into()]).unwrap();
        assert_eq!(xml.matches("<boot order='1'/>").count(), 1);
        assert!(
            xml.contains("<source file='/d/a&amp;b&apos;.img'/><target dev='vdb'"),
            "{xml}"
        );
    }

    #[test]
    fn what_libvirt_cannot_make_is_refused() {
        let machine = Overrides {
            machine: Some(Machine::Microvm),
            ..Overrides::default()
        };
        assert!(
            xml(machine, &[])
                .unwrap_err()
                .to_string()
                .contains("microvm")
        );
        let bus = Overrides {
            disk_bus: Some(DiskBus::Nvme),
            ..Overrides::default()
        };
        assert!(xml(bus, &[]).unwrap_err().to_string().contains("NVMe"));
        let ide = Overrides {
            disk_bus: Some(DiskBus::Ide),
            ..Overrides::default()
        };
        let disks = ["1", "2", "3", "4"].map(String::from);
        assert!(
            xml(ide, &disks)
                .unwrap_err()
                .to_string()
                .contains("5 disks")
        );
    }
}
