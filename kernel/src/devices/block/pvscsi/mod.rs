//! Disks behind VMware's paravirtual SCSI adapter, which is what its machines have by default.
//!
//! There is no data sheet; what is known is in the public drivers' headers. [`adapter`] has the rings, [`scsi`] the commands in them,
//! [`registers`] the registers and the shared memory. Of each target the unit 0 is looked at.

mod adapter;
mod registers;
mod scsi;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use self::adapter::{ANSWER_BYTES, Adapter};
use self::registers::WINDOW_BYTES;
use self::scsi::Cdb;
use super::BlockDriver;
use super::Name;
use super::exchange::{Exchange, Interrupt};
use super::queued::QueuedDisk;
use super::queues::Queues;
use super::slots::{MAX_DATA_BYTES, MAX_SLOTS};
use crate::arch::interrupts::Irq;
use crate::arch::mmio::Mmio;
use crate::devices::pci::{Bar, PciDevice};
use crate::devices::registers::Registers;
use crate::memory::OutOfMemory;

const VMWARE: u16 = 0x15AD;
const PVSCSI: u16 = 0x07C0;
/// Targets that adapters of all versions have.
const TARGETS: u32 = 16;

/// Whether it is a controller that this drives.
pub(super) fn is_ours(device: &PciDevice) -> bool {
    (device.vendor, device.device) == (VMWARE, PVSCSI)
}

/// Looks for disks at the machine's pvscsi adapters.
pub(super) fn discover(devices: &[PciDevice], disks: &mut Vec<Arc<dyn BlockDriver>>) {
    for device in devices.iter().filter(|device| is_ours(device)) {
        device.enable();
        // The window is the memory among the BARs.
        let window = (0..6).find_map(|index| match device.bar(index)? {
            Bar::Memory { phys, len_bytes } if len_bytes >= WINDOW_BYTES as u64 => Some(phys),
            _ => None,
        });
        let Some(phys) = window else {
            log::error!("pvscsi {device} did not start: it shows no register window");
            continue;
        };
        let name = format!("pvscsi {device}");
        let started = Mmio::map(phys, WINDOW_BYTES)
            .and_then(|window| start(&name, window, || device.claim_interrupt()));
        match started {
            Ok(found) => disks.extend(found.into_iter().map(|disk| Arc::new(disk) as Arc<_>)),
            Err(OutOfMemory) => log::error!("{name} did not start: out of memory"),
        }
    }
}

/// What a disk says of itself.
struct Found {
    target: u32,
    sector_count: u64,
    sector_len_bytes: usize,
    is_read_only: bool,
}

/// Starts an adapter; its disks.
fn start<R: Registers>(
    name: &str,
    registers: R,
    claim_irq: impl FnOnce() -> Option<Irq>,
) -> Result<Vec<QueuedDisk>, OutOfMemory> {
    let mut adapter = Adapter::start(registers)?;
    let found: Vec<_> = (0..TARGETS)
        .filter_map(|target| look_at(&mut adapter, target))
        .collect();
    if found.is_empty() {
        adapter.give_up();
        return Ok(Vec::new());
    }
    let irq = claim_irq();
    if irq.is_some() {
        adapter.enable_interrupts();
    }
    let exchange = Exchange::new(Box::new(adapter), MAX_SLOTS, irq.is_some())?;
    let interrupt = irq.map(|irq| Interrupt::register(irq, vec![exchange]));
    let disk = |found: Found| QueuedDisk {
        name: Name::Told(format!("{name} target {}", found.target)),
        sector_len_bytes: found.sector_len_bytes,
        sector_count: found.sector_count,
        is_read_only: found.is_read_only,
        has_flush: true,
        max_bytes: MAX_DATA_BYTES,
        target: found.target,
        queues: Queues::one(exchange, interrupt),
    };
    Ok(found.into_iter().map(disk).collect())
}

/// The disk at a target, if there is one.
fn look_at<R: Registers>(adapter: &mut Adapter<R>, target: u32) -> Option<Found> {
    const INQUIRY_BYTES: u8 = 36;
    const MODE_BYTES: u8 = 192;
    const LONG_CAPACITY_BYTES: u8 = 32;
    let inquiry = adapter.ask(
        target,
        &Cdb::inquiry(INQUIRY_BYTES),
        u32::from(INQUIRY_BYTES),
    )?;
    if !scsi::is_disk(inquiry) {
        return None;
    }
    let short = adapter.ask(target, &Cdb::capacity(), 8)?;
    let mut size = short.first_chunk().copied().and_then(scsi::capacity);
    if size.is_none() {
        let long = Cdb::long_capacity(LONG_CAPACITY_BYTES);
        let answer = adapter.ask(target, &long, u32::from(LONG_CAPACITY_BYTES));
        size = answer.and_then(|answer| scsi::long_capacity(*answer.first_chunk()?));
    }
    let Some((sector_count, sector_len_bytes)) = size else {
        log::warn!("pvscsi target {target}: a disk of impossible size is not used");
        return None;
    };
    let mode = adapter.ask(target, &Cdb::mode_sense(MODE_BYTES), u32::from(MODE_BYTES));
    // The third byte of the header is of the device's own, for disks: bit 7, write protected.
    let is_read_only = mode.is_some_and(|mode| mode.get(2).is_some_and(|byte| byte & 0x80 != 0));
    Some(Found {
        target,
        sector_count,
        sector_len_bytes,
        is_read_only,
    })
}

const _: () = assert!(ANSWER_BYTES >= 192);
