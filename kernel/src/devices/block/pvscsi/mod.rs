//! Disks behind VMware's paravirtual SCSI adapter, which is what its machines have by default.
//!
//! There is no data sheet; what is known is in the public drivers' headers. [`adapter`] has the rings,
//! [`registers`] the registers and the shared memory. Of each target the unit 0 is looked at.

mod adapter;
mod registers;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use self::adapter::Adapter;
use self::registers::WINDOW_BYTES;
use super::BlockDriver;
use super::exchange::{Exchange, Interrupt};
use super::queued::QueuedDisk;
use super::scsi::{Found, look_at};
use super::slots::MAX_SLOTS;
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

/// Starts an adapter; its disks.
fn start<R: Registers>(
    name: &str,
    registers: R,
    claim_irq: impl FnOnce() -> Option<Irq>,
) -> Result<Vec<QueuedDisk>, OutOfMemory> {
    let mut adapter = Adapter::start(registers)?;
    let found: Vec<_> = (0..TARGETS)
        .filter_map(|target| {
            let name = format_args!("{name} target {target}");
            look_at(&name, &mut adapter, target)
        })
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
    let disk = |found: Found| found.disk(exchange, interrupt);
    Ok(found.into_iter().map(disk).collect())
}
