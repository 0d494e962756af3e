//! ATA disks behind IDE channels, by programmed I/O (ATA/ATAPI-7 volume 2; PCI IDE Controller Specification 1.0).
//!
//! [`discover`] finds the channels, [`channel`] speaks the protocol, [`identify`] reads what a drive says of itself,
//! [`registers`] are the ports. Packet devices (CD-ROMs) are left alone.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{BlockDriver, BlockError, check_range};
use crate::devices::pci::{Bar, PciDevice};
use crate::sync::SpinLock;
use channel::{Channel, Drive, Position};
use registers::Ports;

pub mod channel;
#[cfg(test)]
mod fake;
pub mod identify;
pub mod registers;

/// Class and subclass of an IDE controller; the byte below is its programming interface.
const CLASS_IDE: u32 = 0x0101;

/// Where channels are on an ISA bus, and in a PCI controller's compatibility mode.
const LEGACY: [Ports; 2] = [
    Ports {
        command: 0x1F0,
        control: 0x3F6,
    },
    Ports {
        command: 0x170,
        control: 0x376,
    },
];

/// A disk on an IDE channel.
struct IdeDisk {
    name: String,
    sector_count: u64,
    drive: Drive,
    channel: Arc<SpinLock<Channel<Ports>>>,
}

impl BlockDriver for IdeDisk {
    fn name(&self) -> &str {
        &self.name
    }

    fn sector_len_bytes(&self) -> usize {
        self.drive.sector_len_bytes
    }

    fn sector_count(&self) -> u64 {
        self.sector_count
    }

    fn read(&self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        check_range(self, first_sector, buf.len())?;
        self.channel.lock().read(&self.drive, first_sector, buf)
    }

    fn write(&self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError> {
        check_range(self, first_sector, buf.len())?;
        self.channel.lock().write(&self.drive, first_sector, buf)
    }

    fn flush(&self) -> Result<(), BlockError> {
        self.channel.lock().flush(&self.drive)
    }
}

/// Looks for IDE disks at the machine's controllers, or at the legacy ports where there is no PCI.
pub fn discover(devices: &[PciDevice], disks: &mut Vec<Arc<dyn BlockDriver>>) {
    let mut channels: Vec<Ports> = Vec::new();
    if devices.is_empty() {
        channels.extend(LEGACY);
    }
    for device in devices
        .iter()
        .filter(|device| device.class >> 8 == CLASS_IDE)
    {
        device.enable();
        for index in 0..2 {
            if let Some(ports) = ports_of(device, index)
                && !channels.contains(&ports)
            {
                channels.push(ports);
            }
        }
    }
    for ports in channels {
        if let Some(channel) = Channel::new(ports) {
            probe(ports, channel, disks);
        }
    }
}

/// Ports of a controller's channel: its programming interface says whether they are the legacy ones (bits 0 and 2).
fn ports_of(device: &PciDevice, index: u8) -> Option<Ports> {
    let is_native = device.class >> (2 * index) & 1 != 0;
    if !is_native {
        return Some(LEGACY[usize::from(index)]);
    }
    match (device.bar(2 * index)?, device.bar(2 * index + 1)?) {
        (Bar::Io { port: command }, Bar::Io { port: control }) => Some(Ports {
            command: command & !7,
            control: (control & !3) + 2,
        }),
        _ => None,
    }
}

fn probe(ports: Ports, mut channel: Channel<Ports>, disks: &mut Vec<Arc<dyn BlockDriver>>) {
    let mut found = Vec::new();
    for position in [Position::Master, Position::Slave] {
        match channel.identify(position) {
            None => {}
            Some(Err(error)) => log::warn!(
                "IDE {:#x} {position:?}: a drive that cannot be used ({error:?})",
                ports.command
            ),
            Some(Ok(identity)) => {
                let drive = Drive {
                    position,
                    sector_len_bytes: identity.sector_len_bytes,
                    has_lba48: identity.has_lba48,
                    has_flush: identity.has_flush,
                    multiple: channel.set_multiple(position, identity.max_multiple),
                };
                found.push((drive, identity));
            }
        }
    }
    let channel = Arc::new(SpinLock::new(channel));
    for (drive, identity) in found {
        disks.push(Arc::new(IdeDisk {
            name: format!(
                "IDE {:#x} {:?} {}",
                ports.command, drive.position, identity.model
            ),
            sector_count: identity.sector_count,
            drive,
            channel: channel.clone(),
        }));
    }
}
