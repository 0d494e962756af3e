//! Disks behind virtio's SCSI adapter (OASIS Virtual I/O Device Version 1.2, section 5.6), which some clouds and managers of machines have by
//! default.
//!
//! [`adapter`] has the queue of commands. Neither the queue of control nor that of events is used: disks are looked for once.

mod adapter;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use self::adapter::{Adapter, COMMANDS};
use super::BlockDriver;
use super::exchange::{Exchange, Interrupt};
use super::queued::QueuedDisk;
use super::scsi::{Adapter as _, Cdb, Found, look_at, units};
use crate::arch::interrupts::Irq;
use crate::devices::pci::PciDevice;
use crate::devices::virtio::pci::{PciTransport, device_id};
use crate::devices::virtio::pci_legacy::LegacyPciTransport;
use crate::devices::virtio::{self, Error, Transport};

// The configuration (section 5.6.4).
const MAX_TARGET_AT: usize = 30;
/// Targets that addresses have room for.
const MAX_TARGETS: u16 = 256;

/// Whether it is an adapter that this drives.
pub(super) fn is_ours(device: &PciDevice) -> bool {
    device_id(device) == Some(virtio::SCSI)
}

/// Looks for disks at the machine's adapters.
pub(super) fn discover(devices: &[PciDevice], disks: &mut Vec<Arc<dyn BlockDriver>>) {
    for device in devices.iter().filter(|device| is_ours(device)) {
        let name = format!("virtio-scsi {device}");
        let started = carry(device).and_then(|(transport, irq)| start(&name, transport, irq));
        match started {
            Ok(found) => disks.extend(found.into_iter().map(|disk| Arc::new(disk) as Arc<_>)),
            Err(error) => log::error!("{name} did not start: {error}"),
        }
    }
}

/// What carries the adapter, and its interrupt, if it has one of its own.
fn carry(device: &PciDevice) -> Result<(Arc<dyn Transport>, Option<Irq>), Error> {
    let Ok(mut transport) = PciTransport::new(device) else {
        let transport = LegacyPciTransport::new(device)?;
        device.disable_pin();
        return Ok((Arc::new(transport), None));
    };
    let irq = transport.claim_message(device);
    if irq.is_none() {
        // Its line may be shared with a device that would have to answer for this one.
        device.disable_pin();
    }
    Ok((Arc::new(transport), irq))
}

/// Starts an adapter; its disks.
fn start(
    name: &str,
    transport: Arc<dyn Transport>,
    irq: Option<Irq>,
) -> Result<Vec<QueuedDisk>, Error> {
    virtio::negotiate(&*transport, 0, |_| 0)?;
    let queue = virtio::make_queue(&*transport, COMMANDS, Adapter::QUEUE_LEN)?;
    let (mut adapter, slots) = Adapter::new(transport.clone(), queue, irq.is_some())?;
    virtio::start(&*transport);
    let last = [0, 1].map(|at| transport.config(MAX_TARGET_AT + at));
    let last = u16::from_le_bytes(last).min(MAX_TARGETS - 1);
    let mut found: Vec<Found> = Vec::new();
    for target in 0..=u32::from(last) {
        let first_unit = target << 16;
        let answer = adapter.ask(first_unit, &Cdb::units(), super::scsi::ANSWER_BYTES as u32);
        for unit in answer.map(units).unwrap_or_default() {
            let name = format_args!("{name} target {target} unit {unit}");
            found.extend(look_at(&name, &mut adapter, first_unit | u32::from(unit)));
        }
    }
    let exchange = Exchange::new(Box::new(adapter), slots, irq.is_some())?;
    let interrupt = irq.map(|irq| Interrupt::register(irq, vec![exchange]));
    let disk = |found: Found| found.disk(exchange, interrupt);
    Ok(found.into_iter().map(disk).collect())
}
