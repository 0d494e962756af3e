//! Disks: one folder or file per controller, all behind [`BlockDriver`].
//!
//! Neighbours: [`crate::storage`] stands on this. A call blocks its thread until the disk has answered; a driver with a queue
//! lets several threads be inside at once, each on a wait queue of its own.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use self::queued::QueuedDisk;
use super::pci;
use super::virtio as virtio_bus;
use super::virtio::Transport;
use super::virtio::mmio::MmioTransport;
use super::virtio::pci::PciTransport;
use super::virtio::pci_legacy::LegacyPciTransport;
use crate::arch::interrupts::Irq;
use crate::arch::x86_64::core_local::{self, CoreLocal};
use crate::command_line::VirtioMmioDevice;
use crate::scheduler::Service;

pub mod ahci;
mod exchange;
pub mod ide;
pub mod nvme;
mod pvscsi;
mod queued;
mod queues;
mod scsi;
mod slots;
pub mod virtio;
mod virtio_scsi;
mod xen;

/// Interrupt lines that all disks with several queues take, at most: a machine has 64, and network cards want one for each core, too.
const QUEUE_LINES: usize = 24;

/// Why a disk did not do what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// The sectors are not all on the disk, or the buffer is not a whole number of sectors.
    OutOfRange,
    /// The disk cannot be written.
    ReadOnly,
    /// The device did not answer in time.
    Timeout,
    /// The device stopped answering some time ago, and a reset did not help.
    Gone,
    /// The device reported an error, after retries: its status and error registers.
    Device {
        /// Status register.
        status: u8,
        /// Error register.
        error: u8,
    },
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange => f.write_str("access beyond the end of the disk"),
            Self::ReadOnly => f.write_str("the disk cannot be written"),
            Self::Timeout => f.write_str("the disk does not answer"),
            Self::Gone => f.write_str("the disk is gone"),
            Self::Device { status, error } => {
                write!(
                    f,
                    "the disk reports an error (status {status:#04x}, error {error:#04x})"
                )
            }
        }
    }
}

/// What a disk is called in messages.
#[derive(Debug)]
pub(crate) enum Name {
    /// What it says it is, and where it is.
    Told(String),
    /// A virtio disk on the PCI bus, and one in memory. They are named when somebody asks: a start is too short for words.
    VirtioPci(pci::PciDevice),
    VirtioMmio(u64),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(name) => f.write_str(name),
            Self::VirtioPci(device) => write!(f, "virtio-blk {device}"),
            Self::VirtioMmio(phys) => write!(f, "virtio-blk {phys:#x}"),
        }
    }
}

/// A disk: sectors, numbered from 0.
pub trait BlockDriver: Send + Sync {
    /// What to call the disk in messages: where it is and what it says it is.
    fn name(&self) -> String;

    /// Size of a sector in bytes: a power of two from 512 to 4096.
    fn sector_len_bytes(&self) -> usize;

    /// How many sectors there are.
    fn sector_count(&self) -> u64;

    /// Whether writing fails.
    fn is_read_only(&self) -> bool {
        false
    }

    /// The line by which the disk answers to a core, and what serves it on the core of that line; none for a disk that is asked again and
    /// again. Whoever asks for it sees to it that some core serves it.
    fn interrupt(&self, _core: usize) -> Option<(Irq, &'static dyn Service)> {
        None
    }

    /// How many queues it has, of which each core uses one.
    fn queue_count(&self) -> usize {
        1
    }

    /// Has all cores use the queue of this one from now on, where there are several.
    fn keep_to(&self, _core: usize) {}

    /// Reads sectors from `first_sector` on until `buf`, a whole number of sectors, is full.
    ///
    /// # Errors
    /// See [`BlockError`]; the contents of `buf` are unspecified then.
    fn read(&self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError>;

    /// Writes `buf`, a whole number of sectors, from `first_sector` on. The disk may keep it in a cache of its own.
    ///
    /// # Errors
    /// See [`BlockError`]; any of the sectors may have been written then.
    fn write(&self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError>;

    /// Returns when all that was written before is on the medium: all for which [`BlockDriver::write`] has returned, on whatever core.
    ///
    /// # Errors
    /// See [`BlockError`].
    fn flush(&self) -> Result<(), BlockError>;
}

/// Whether an access of `len_bytes` bytes is inside a disk and a whole number of sectors.
pub(crate) fn check_range(
    disk: &(impl BlockDriver + ?Sized),
    first_sector: u64,
    len_bytes: usize,
) -> Result<(), BlockError> {
    let sector_len = disk.sector_len_bytes();
    let sectors = (len_bytes / sector_len) as u64;
    let is_inside = first_sector
        .checked_add(sectors)
        .is_some_and(|end| end <= disk.sector_count());
    if len_bytes.is_multiple_of(sector_len) && is_inside {
        Ok(())
    } else {
        Err(BlockError::OutOfRange)
    }
}

/// Starts a virtio disk on the PCI bus, with so many queues as there are cores and `lines_left` for their interrupts.
fn start_virtio(
    device: &pci::PciDevice,
    lines_left: &mut usize,
) -> Result<QueuedDisk, virtio_bus::Error> {
    let name = Name::VirtioPci(*device);
    let Ok(mut transport) = PciTransport::new(device) else {
        let transport = LegacyPciTransport::new(device)?;
        device.disable_pin();
        return virtio::start(name, Arc::new(transport), 1, Vec::new);
    };
    let most = core_local::count().min(*lines_left);
    let cores: Vec<_> = cores().take(queue_count(&transport, most)).collect();
    let irqs = match cores.len() {
        2.. => transport.claim_messages(device, &cores, 1),
        _ => None,
    };
    let irqs = irqs
        .inspect(|irqs| *lines_left -= irqs.len())
        .or_else(|| Some(vec![transport.claim_message(device)?]))
        .unwrap_or_default();
    if irqs.is_empty() {
        // Its line may be shared with a device that would have to answer for this one.
        device.disable_pin();
    }
    virtio::start(name, Arc::new(transport), cores.len(), || irqs)
}

/// Looks for all disks of the machine. Their order: IDE, by bus, slot, channel and drive; AHCI, by bus, slot and port; NVMe, by bus, slot
/// and namespace; pvscsi, by bus, slot and target; virtio on the PCI bus, by bus and slot; virtio in memory, as the loader tells of them; virtio-scsi, by bus, slot, target and unit; where there is none of these, those of Xen's. A disk that does not start is left
/// out, with an error in the log.
pub fn discover(virtio_mmio: &[VirtioMmioDevice]) -> Vec<Arc<dyn BlockDriver>> {
    let mut disks = Vec::new();
    let devices = pci::devices();
    ide::discover(devices, &mut disks);
    ahci::discover(devices, &mut disks);
    nvme::discover(devices, &mut disks);
    pvscsi::discover(devices, &mut disks);
    let mut lines_left = QUEUE_LINES;
    for device in devices.iter().filter(|device| is_virtio(device)) {
        let started = start_virtio(device, &mut lines_left);
        keep(Name::VirtioPci(*device), started, &mut disks);
    }
    for place in virtio_mmio {
        // Most places have no device, and others not a disk.
        if let Ok((transport, virtio_bus::BLOCK)) =
            MmioTransport::probe(place.phys, place.len_bytes)
        {
            let claim = || Vec::from_iter(Irq::claim_global(place.interrupt, false));
            let queues = queue_count(&transport, core_local::count());
            keep(
                Name::VirtioMmio(place.phys),
                virtio::start(
                    Name::VirtioMmio(place.phys),
                    Arc::new(transport),
                    queues,
                    claim,
                ),
                &mut disks,
            );
        }
    }
    virtio_scsi::discover(devices, &mut disks);
    #[cfg(not(test))]
    if disks.is_empty() {
        xen::discover(&mut disks);
    }
    disks
}

/// Whether it is a virtio disk.
fn is_virtio(device: &pci::PciDevice) -> bool {
    virtio_bus::pci::device_id(device) == Some(virtio_bus::BLOCK)
}

/// Warns of controllers of disks that nothing here drives: for who misses a disk.
pub fn warn_of_unknown() {
    for device in pci::devices().iter().filter(|device| is_unknown(device)) {
        log::warn!(
            "there is no driver for the disk controller {device} ({:04x}:{:04x})",
            device.vendor,
            device.device
        );
    }
}

fn is_unknown(device: &pci::PciDevice) -> bool {
    const MASS_STORAGE: u32 = 1;
    let drivers = [
        ide::is_ours,
        ahci::is_ours,
        nvme::is_ours,
        pvscsi::is_ours,
        virtio_scsi::is_ours,
        is_virtio,
    ];
    device.class >> 16 == MASS_STORAGE && !drivers.iter().any(|is_ours| is_ours(device))
}

/// How many queues of a disk are used: at most so many, and at least one.
fn queue_count(transport: &dyn Transport, most: usize) -> usize {
    match most {
        // Not asked for nothing: each register costs an exit to the host.
        0 | 1 => 1,
        _ => virtio::queue_count(transport).min(most),
    }
}

/// All cores, in the order of their numbers: that of their queues.
fn cores() -> impl Iterator<Item = &'static CoreLocal> {
    (0..core_local::count()).filter_map(core_local::get)
}

fn keep(
    name: Name,
    started: Result<QueuedDisk, virtio_bus::Error>,
    disks: &mut Vec<Arc<dyn BlockDriver>>,
) {
    match started {
        Ok(disk) => disks.push(Arc::new(disk)),
        Err(error) => log::error!("{name} did not start: {error}"),
    }
}
