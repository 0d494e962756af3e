//! Virtio disks (OASIS Virtual I/O Device Version 1.2, section 5.2).
//!
//! [`start`] comes to terms with a device, [`requests`] are what is on its queue.

pub(crate) mod requests;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;

use super::exchange::{Exchange, Interrupt};
use super::queued::QueuedDisk;
use super::slots::{MAX_DATA_BYTES, MAX_SLOTS};
use crate::arch::interrupts::Irq;
use crate::devices::virtio::{self, Error, Transport};
use requests::Requests;

// Features (section 5.2.3).
const SIZE_MAX: u64 = 1 << 1;
const RO: u64 = 1 << 5;
const BLK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;

// The configuration (section 5.2.4).
const CAPACITY: usize = 0;
const SIZE_MAX_AT: usize = 8;
const BLK_SIZE_AT: usize = 20;

/// What the device counts in, whatever its sectors.
const UNIT_BYTES: usize = 512;
const QUEUE: u16 = 0;

/// Turns a disk on.
///
/// # Errors
/// When the device does not go along or says impossible things of itself, or there is no memory.
pub(crate) fn start(
    name: String,
    transport: Arc<dyn Transport>,
    claim_irq: impl FnOnce() -> Option<Irq>,
) -> Result<QueuedDisk, Error> {
    let features = virtio::negotiate(&*transport, 0, |_| SIZE_MAX | RO | BLK_SIZE | FLUSH)?;
    let has = |feature| features & feature != 0;
    let sector_len_bytes = match has(BLK_SIZE) {
        true => transport.config32(BLK_SIZE_AT) as usize,
        false => UNIT_BYTES,
    };
    if !sector_len_bytes.is_power_of_two() || !(UNIT_BYTES..=4096).contains(&sector_len_bytes) {
        return Err(Error::BadRegisters);
    }
    let size_max = match has(SIZE_MAX) {
        true => transport.config32(SIZE_MAX_AT) as usize,
        false => MAX_DATA_BYTES,
    };
    let max_bytes = size_max.min(MAX_DATA_BYTES) / sector_len_bytes * sector_len_bytes;
    let half = |at| u64::from(transport.config32(CAPACITY + at));
    let units = half(0) | half(4) << 32;
    if max_bytes == 0 || units > u64::MAX / UNIT_BYTES as u64 {
        return Err(Error::BadRegisters);
    }
    let queue = virtio::make_queue(&*transport, QUEUE, Requests::queue_len(MAX_SLOTS))?;
    let (mut requests, slots) = Requests::new(transport.clone(), queue, sector_len_bytes)?;
    let irq = claim_irq();
    if irq.is_none() {
        requests.set_silent();
    }
    virtio::start(&*transport);
    let exchange = Exchange::new(Box::new(requests), slots, irq.is_some())?;
    let interrupt = irq.map(|irq| Interrupt::register(irq, vec![exchange]));
    Ok(QueuedDisk {
        name,
        sector_len_bytes,
        sector_count: units / (sector_len_bytes / UNIT_BYTES) as u64,
        is_read_only: has(RO),
        // A device without the feature keeps nothing in a cache (section 5.2.6.2).
        has_flush: has(FLUSH),
        max_bytes,
        target: 0,
        exchange,
        interrupt,
    })
}
