//! ATA disks behind IDE channels, by bus-master DMA or programmed I/O (ATA/ATAPI-7 volume 2; PCI IDE Controller Specification 1.0).
//!
//! [`discover`] finds the channels, [`channel`] speaks the protocol, [`identify`] reads what a drive says of itself,
//! [`registers`] are the ports, [`bus_master`] moves data, [`interrupt`] spares the processor the waiting. Packet devices (CD-ROMs) are left alone.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{BlockDriver, BlockError, check_range};
use crate::arch::interrupts::Irq;
use crate::devices::pci::{Bar, PciDevice};
use crate::scheduler::{Service, Turn, register_interrupt};
use crate::sync::SpinLock;
use bus_master::BusMaster;
use channel::{Channel, Drive, Position};
use interrupt::Interrupt;
use registers::Ports;

pub mod bus_master;
pub mod channel;
#[cfg(test)]
mod fake;
pub mod identify;
pub mod interrupt;
pub mod registers;

/// Class and subclass of an IDE controller; the byte below is its programming interface.
const CLASS_IDE: u32 = 0x0101;
/// Bit of the programming interface: the controller is a bus master.
const CLASS_BUS_MASTER: u32 = 1 << 7;

/// Where channels are on an ISA bus, and in a PCI controller's compatibility mode: ports, and the line of the edge-triggered
/// interrupt.
const LEGACY: [Place; 2] = [
    Place {
        command: 0x1F0,
        control: 0x3F6,
        line: Some(14),
        controller: None,
    },
    Place {
        command: 0x170,
        control: 0x376,
        line: Some(15),
        controller: None,
    },
];

/// Where a channel is.
#[derive(Clone, Copy)]
struct Place {
    command: u16,
    control: u16,
    /// A legacy interrupt line. The channels of a controller in native mode share one line of PCI; they are polled.
    line: Option<u8>,
    /// Its controller on the PCI bus, and which of the two channels it is there.
    controller: Option<(PciDevice, u8)>,
}

impl Place {
    /// First port of the controller's DMA for this channel.
    fn bus_master(&self) -> Option<u16> {
        let (device, index) = self.controller?;
        match device
            .bar(4)
            .filter(|_| device.class & CLASS_BUS_MASTER != 0)?
        {
            Bar::Io { port } => (port & !15).checked_add(8 * u16::from(index)),
            Bar::Memory { .. } => None,
        }
    }
}

/// A disk on an IDE channel.
struct IdeDisk {
    name: String,
    sector_count: u64,
    drive: Drive,
    channel: Arc<SharedChannel>,
}

/// A channel, for one command at a time. It is taken out while one runs, as that may sleep.
struct SharedChannel {
    turn: Turn,
    /// The interrupt of both its drives.
    interrupt: Option<&'static Interrupt>,
    channel: SpinLock<Option<Channel<Ports>>>,
}

impl SharedChannel {
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Channel<Ports>) -> Result<T, BlockError>,
    ) -> Result<T, BlockError> {
        let _turn = self.turn.take();
        let mut channel = self.channel.lock().take().ok_or(BlockError::Timeout)?;
        let result = work(&mut channel);
        *self.channel.lock() = Some(channel);
        result
    }
}

impl BlockDriver for IdeDisk {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn sector_len_bytes(&self) -> usize {
        self.drive.sector_len_bytes
    }

    fn sector_count(&self) -> u64 {
        self.sector_count
    }

    fn interrupt(&self, _core: usize) -> Option<(Irq, &'static dyn Service)> {
        let interrupt = self.channel.interrupt?;
        Some((interrupt.irq(), interrupt))
    }

    fn read(&self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        check_range(self, first_sector, buf.len())?;
        self.channel
            .with(|channel| channel.read(&self.drive, first_sector, buf))
    }

    fn write(&self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError> {
        check_range(self, first_sector, buf.len())?;
        self.channel
            .with(|channel| channel.write(&self.drive, first_sector, buf))
    }

    fn flush(&self) -> Result<(), BlockError> {
        self.channel.with(|channel| channel.flush(&self.drive))
    }
}

/// Whether it is a controller that this drives.
pub(super) fn is_ours(device: &PciDevice) -> bool {
    device.class >> 8 == CLASS_IDE
}

/// Looks for IDE disks at the machine's controllers, or at the legacy ports where there is no PCI.
pub fn discover(devices: &[PciDevice], disks: &mut Vec<Arc<dyn BlockDriver>>) {
    let before = disks.len();
    let mut places: Vec<Place> = Vec::new();
    if devices.is_empty() {
        places.extend(LEGACY);
    }
    let controllers = || devices.iter().filter(|device| is_ours(device));
    for device in controllers() {
        device.enable_ports();
        for index in 0..2 {
            if let Some(place) = place_of(device, index)
                && !places.iter().any(|known| known.command == place.command)
            {
                places.push(place);
            }
        }
    }
    for place in places {
        let ports = Ports {
            command: place.command,
            control: place.control,
            interrupt: None,
            bus_master: None,
        };
        if let Some(channel) = Channel::new(ports) {
            probe(place, channel, disks);
        }
    }
    // Most machines have a controller without disks, which needs no DMA.
    if disks.len() > before {
        controllers().for_each(PciDevice::enable);
    }
}

/// Where a controller's channel is: its programming interface says whether at the legacy ports (bits 0 and 2).
fn place_of(device: &PciDevice, index: u8) -> Option<Place> {
    let is_native = device.class >> (2 * index) & 1 != 0;
    let controller = Some((*device, index));
    if !is_native {
        return Some(Place {
            controller,
            ..LEGACY[usize::from(index)]
        });
    }
    match (device.bar(2 * index)?, device.bar(2 * index + 1)?) {
        (Bar::Io { port: command }, Bar::Io { port: control }) => Some(Place {
            command: command & !7,
            control: (control & !3) + 2,
            line: None,
            controller,
        }),
        _ => None,
    }
}

fn probe(place: Place, mut channel: Channel<Ports>, disks: &mut Vec<Arc<dyn BlockDriver>>) {
    let mut found = Vec::new();
    for position in [Position::Master, Position::Slave] {
        match channel.identify(position) {
            None => {}
            Some(Err(error)) => log::warn!(
                "IDE {:#x} {position:?}: a drive that cannot be used: {error}",
                place.command
            ),
            Some(Ok(identity)) => {
                let drive = Drive {
                    position,
                    sector_len_bytes: identity.sector_len_bytes,
                    has_lba48: identity.has_lba48,
                    has_dma: identity.has_dma,
                    has_flush: identity.has_flush,
                    multiple: channel.set_multiple(position, identity.max_multiple),
                };
                found.push((drive, identity));
            }
        }
    }
    if found.is_empty() {
        return;
    }
    if let Some(irq) = place.line.and_then(|line| Irq::claim_legacy(line, false)) {
        let interrupt: &'static Interrupt =
            Box::leak(Box::new(Interrupt::new(irq, place.command + 7)));
        register_interrupt(irq, interrupt);
        channel.registers_mut().interrupt = Some(interrupt);
        channel.enable_interrupts();
    }
    let wants_dma = found.iter().any(|(drive, _)| drive.has_dma);
    if wants_dma && let Some(ports) = place.bus_master() {
        // Without memory for its buffers, the processor moves the data.
        channel.registers_mut().bus_master = BusMaster::new(ports).ok();
    }
    let channel = Arc::new(SharedChannel {
        turn: Turn::new(),
        interrupt: channel.registers_mut().interrupt,
        channel: SpinLock::new(Some(channel)),
    });
    for (drive, identity) in found {
        disks.push(Arc::new(IdeDisk {
            name: format!(
                "IDE {:#x} {:?} {}",
                place.command, drive.position, identity.model
            ),
            sector_count: identity.sector_count,
            drive,
            channel: channel.clone(),
        }));
    }
}
