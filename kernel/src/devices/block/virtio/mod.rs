//! Virtio disks (OASIS Virtual I/O Device Version 1.2, section 5.2).
//!
//! [`start`] comes to terms with a device, [`requests`] are what is on each of its queues.

pub(crate) mod requests;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::Name;
use super::exchange::{Exchange, Interrupt};
use super::queued::QueuedDisk;
use super::queues::{Queue, Queues};
use super::slots::{MAX_DATA_BYTES, MAX_SLOTS};
use crate::arch::interrupts::Irq;
use crate::devices::virtio::{self, Error, Transport};
use crate::memory::OutOfMemory;
use requests::Requests;

// Features (section 5.2.3).
const SIZE_MAX: u64 = 1 << 1;
const RO: u64 = 1 << 5;
const BLK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;
const SEVERAL_QUEUES: u64 = 1 << 12;

// The configuration (section 5.2.4).
const CAPACITY: usize = 0;
const SIZE_MAX_AT: usize = 8;
const BLK_SIZE_AT: usize = 20;
const QUEUE_COUNT_AT: usize = 34;

/// What the device counts in, whatever its sectors.
const UNIT_BYTES: usize = 512;

/// How many queues a disk has, as it says; at least one.
pub(crate) fn queue_count(transport: &dyn Transport) -> usize {
    if transport.offered_features() & SEVERAL_QUEUES == 0 {
        return 1;
    }
    let bytes = [0, 1].map(|at| transport.config(QUEUE_COUNT_AT + at));
    usize::from(u16::from_le_bytes(bytes)).max(1)
}

/// Turns a disk on, with so many of its queues, at least one. `claim_irqs` gives an interrupt for each queue, in the order of the cores that they are
/// for; or one for all of them, or none.
///
/// # Errors
/// When the device does not go along or says impossible things of itself, or there is no memory.
pub(crate) fn start(
    name: Name,
    transport: Arc<dyn Transport>,
    queues: usize,
    claim_irqs: impl FnOnce() -> Vec<Irq>,
) -> Result<QueuedDisk, Error> {
    let several = if queues > 1 { SEVERAL_QUEUES } else { 0 };
    let wanted = SIZE_MAX | RO | BLK_SIZE | FLUSH | several;
    let features = virtio::negotiate(&*transport, 0, |_| wanted)?;
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
    let mut first = make_requests(&transport, 0, sector_len_bytes)?;
    let mut others = Vec::new();
    for index in 1..queues.min(usize::from(u16::MAX)) as u16 {
        // A device need not have all that it says, nor is there always memory: with fewer it works, too.
        match make_requests(&transport, index, sector_len_bytes) {
            Ok(made) => others.push(made),
            Err(error) => {
                log::warn!("{name} has {index} queues for {queues} cores: {error}");
                break;
            }
        }
    }
    let irqs = claim_irqs();
    let has_interrupt = !irqs.is_empty();
    for (requests, _) in others.iter_mut().chain([&mut first]) {
        requests.set_silent(!has_interrupt);
    }
    virtio::start(&*transport);
    let queues = make_queues(first, others, irqs)?;
    Ok(QueuedDisk {
        name,
        sector_len_bytes,
        sector_count: units / (sector_len_bytes / UNIT_BYTES) as u64,
        is_read_only: has(RO),
        // A device without the feature keeps nothing in a cache (section 5.2.6.2).
        has_flush: has(FLUSH),
        max_bytes,
        target: 0,
        queues,
    })
}

/// Makes the queue of that number; what it takes, and how many requests at once.
fn make_requests(
    transport: &Arc<dyn Transport>,
    index: u16,
    sector_len_bytes: usize,
) -> Result<(Requests, u16), Error> {
    let queue = virtio::make_queue(&**transport, index, Requests::queue_len(MAX_SLOTS))?;
    Requests::new(transport.clone(), index, queue, sector_len_bytes)
}

/// Has interrupts lead to those who wait: that of each queue, or one for all.
fn make_queues(
    first: (Requests, u16),
    others: Vec<(Requests, u16)>,
    irqs: Vec<Irq>,
) -> Result<Queues, OutOfMemory> {
    let has_interrupt = !irqs.is_empty();
    let mut exchanges = vec![Exchange::new(Box::new(first.0), first.1, has_interrupt)?];
    for (requests, slots) in others {
        exchanges.push(Exchange::further(Box::new(requests), slots, has_interrupt));
    }
    let interrupts: Vec<_> = match irqs[..] {
        [] => Vec::new(),
        [irq] => vec![Interrupt::register(irq, exchanges.clone())],
        _ => irqs
            .into_iter()
            .zip(&exchanges)
            .enumerate()
            .map(|(core, (irq, exchange))| Interrupt::of_first_user(irq, vec![*exchange], core))
            .collect(),
    };
    let last = interrupts.len().saturating_sub(1);
    let mut queues = exchanges
        .into_iter()
        .enumerate()
        .map(|(index, exchange)| Queue {
            exchange,
            interrupt: interrupts.get(index.min(last)).copied(),
        });
    let first = queues.next().ok_or(OutOfMemory)?;
    Ok(Queues::new(first, queues))
}
