//! Virtio disks (OASIS Virtual I/O Device Version 1.2, section 5.2).
//!
//! [`start`] comes to terms with a device, [`requests`] are what is on its queue, [`exchange`] lets threads wait for the answers.
//! The device has nothing but buffers of the driver's own: data is copied from and to them.

pub(crate) mod exchange;
pub(crate) mod requests;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

use super::{BlockDriver, BlockError, check_range};
use crate::arch::interrupts::Irq;
use crate::devices::virtio::{self, Error, Transport};
use crate::scheduler::Service;
use exchange::Exchange;
use requests::{Kind, MAX_DATA_BYTES, MAX_SLOTS, Requests};

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

/// A virtio disk.
pub struct VirtioDisk {
    name: String,
    sector_len_bytes: usize,
    sector_count: u64,
    is_read_only: bool,
    has_flush: bool,
    /// Most bytes of data in a request: whole sectors.
    max_bytes: usize,
    exchange: &'static Exchange,
}

/// Turns a disk on.
///
/// # Errors
/// When the device does not go along or says impossible things of itself, or there is no memory.
pub fn start(
    name: String,
    transport: Arc<dyn Transport>,
    claim_irq: impl FnOnce() -> Option<Irq>,
) -> Result<VirtioDisk, Error> {
    let features = virtio::negotiate(&*transport, 0, SIZE_MAX | RO | BLK_SIZE | FLUSH)?;
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
    let requests = Requests::new(queue)?;
    let irq = claim_irq();
    virtio::start(&*transport);
    let exchange = Box::leak(Box::new(Exchange::new(transport, requests, irq)));
    exchange.register();
    Ok(VirtioDisk {
        name,
        sector_len_bytes,
        sector_count: units / (sector_len_bytes / UNIT_BYTES) as u64,
        is_read_only: has(RO),
        has_flush: has(FLUSH),
        max_bytes,
        exchange,
    })
}

impl VirtioDisk {
    /// The unit in which each request begins that moves sectors from `first_sector` on; the range has been checked.
    fn units(&self, first_sector: u64) -> impl Iterator<Item = u64> {
        let first = first_sector * (self.sector_len_bytes / UNIT_BYTES) as u64;
        (first..).step_by(self.max_bytes / UNIT_BYTES)
    }
}

impl BlockDriver for VirtioDisk {
    fn name(&self) -> &str {
        &self.name
    }

    fn sector_len_bytes(&self) -> usize {
        self.sector_len_bytes
    }

    fn sector_count(&self) -> u64 {
        self.sector_count
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn interrupt(&self) -> Option<(Irq, &'static dyn Service)> {
        let exchange: &'static Exchange = self.exchange;
        Some((exchange.irq()?, exchange))
    }

    fn read(&self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        check_range(self, first_sector, buf.len())?;
        let chunks = buf.chunks_mut(self.max_bytes);
        for (unit, chunk) in self.units(first_sector).zip(chunks) {
            let slot = self.exchange.take_slot()?;
            let slot = self.exchange.execute(slot, Kind::Read, unit, chunk.len())?;
            chunk.copy_from_slice(slot.data(chunk.len()));
            self.exchange.give_back(slot);
        }
        Ok(())
    }

    fn write(&self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError> {
        check_range(self, first_sector, buf.len())?;
        if self.is_read_only {
            return Err(BlockError::ReadOnly);
        }
        let chunks = buf.chunks(self.max_bytes);
        for (unit, chunk) in self.units(first_sector).zip(chunks) {
            let mut slot = self.exchange.take_slot()?;
            slot.data_mut(chunk.len()).copy_from_slice(chunk);
            let slot = self
                .exchange
                .execute(slot, Kind::Write, unit, chunk.len())?;
            self.exchange.give_back(slot);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), BlockError> {
        // A device without the feature keeps nothing in a cache (section 5.2.6.2).
        if !self.has_flush {
            return Ok(());
        }
        let slot = self.exchange.take_slot()?;
        let slot = self.exchange.execute(slot, Kind::Flush, 0, 0)?;
        self.exchange.give_back(slot);
        Ok(())
    }
}
