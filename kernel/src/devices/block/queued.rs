//! Disks behind a controller that takes several requests at once: virtio, AHCI, NVMe.
//!
//! The device has nothing but buffers of the driver's own: data is copied from and to them.

use alloc::string::{String, ToString};

use super::exchange::{Kind, Request};
use super::queues::Queues;
use super::slots::{Fault, MAX_DATA_BYTES};
use super::{BlockDriver, BlockError, Name, check_range};
use crate::arch::clock;
use crate::arch::interrupts::Irq;
use crate::scheduler::Service;
#[cfg(not(test))]
use crate::scheduler::sleep_until;

/// How often a request is sent that the device says it cannot do.
const ATTEMPTS: u32 = 5;
/// The longest pause before the second attempt, in nanoseconds; before each further one twice as long.
const PAUSE_NS: u64 = 1_000_000;
/// How often a request is sent that other requests' errors take down.
const MAX_ABORTS: usize = 16;

/// A disk of a controller.
pub(crate) struct QueuedDisk {
    /// See [`BlockDriver::name`].
    pub(crate) name: Name,
    /// A power of two from 512 to 4096.
    pub(crate) sector_len_bytes: usize,
    /// How many sectors there are.
    pub(crate) sector_count: u64,
    /// It cannot be written.
    pub(crate) is_read_only: bool,
    /// It keeps what is written in a cache that can be flushed.
    pub(crate) has_flush: bool,
    /// Most bytes of data in a request; more than the buffers hold is as good as that.
    pub(crate) max_bytes: usize,
    /// Which of the controller's disks it is.
    pub(crate) target: u32,
    /// The way to the controller, which disks of it may share.
    pub(crate) queues: Queues,
}

/// The data of a request.
enum Data<'a> {
    In(&'a mut [u8]),
    Out(&'a [u8]),
}

impl QueuedDisk {
    /// Whole sectors in a request.
    fn sectors_at_once(&self) -> usize {
        (self.max_bytes.min(MAX_DATA_BYTES) / self.sector_len_bytes).max(1)
    }

    fn execute(&self, kind: Kind, first_sector: u64, mut data: Data<'_>) -> Result<(), BlockError> {
        let len_bytes = match &data {
            Data::In(buf) => buf.len(),
            Data::Out(buf) => buf.len(),
        };
        let request = Request {
            kind,
            target: self.target,
            first_sector,
            sectors: (len_bytes / self.sector_len_bytes) as u32,
            len_bytes: len_bytes as u32,
        };
        let (mut failures, mut aborts) = (0, 0);
        loop {
            let (exchange, mut slot) = self.queues.take_slot()?;
            if let Data::Out(buf) = &data {
                slot.data_mut(len_bytes).copy_from_slice(buf);
            }
            match exchange.execute(slot, &request) {
                Ok(slot) => {
                    if let Data::In(buf) = &mut data {
                        buf.copy_from_slice(slot.data(len_bytes));
                    }
                    exchange.give_back(slot);
                    return Ok(());
                }
                Err(Fault::Lasting(error)) => return Err(error),
                Err(Fault::Passing(error)) => {
                    failures += 1;
                    if failures == ATTEMPTS {
                        return Err(error);
                    }
                    pause(failures);
                }
                Err(Fault::Aborted) => {
                    aborts += 1;
                    if aborts == MAX_ABORTS {
                        return Err(BlockError::Timeout);
                    }
                }
            }
        }
    }
}

/// Waits by chance after so many failures. QEMU makes one of requests for neighbouring sectors that come together, and all fail for one
/// that cannot be done: cores that go on in step would meet again.
fn pause(failures: u32) {
    let now_ns = clock::now_ns();
    // Bits that differ most between times that differ little (Knuth, "The Art of Computer Programming", section 6.4).
    let chance = now_ns.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    sleep_until(now_ns + chance % (PAUSE_NS << (failures - 1)));
}

impl BlockDriver for QueuedDisk {
    fn name(&self) -> String {
        self.name.to_string()
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

    fn interrupt(&self, core: usize) -> Option<(Irq, &'static dyn Service)> {
        let interrupt = self.queues.of(core).interrupt?;
        interrupt.take_over();
        Some((interrupt.irq(), interrupt))
    }

    fn keep_to(&self, core: usize) {
        self.queues.keep_to(core);
    }

    fn queue_count(&self) -> usize {
        self.queues.count()
    }

    fn read(&self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        check_range(self, first_sector, buf.len())?;
        let sectors = self.sectors_at_once();
        let chunks = buf.chunks_mut(sectors * self.sector_len_bytes);
        for (first, chunk) in (first_sector..).step_by(sectors).zip(chunks) {
            self.execute(Kind::Read, first, Data::In(chunk))?;
        }
        Ok(())
    }

    fn write(&self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError> {
        check_range(self, first_sector, buf.len())?;
        if self.is_read_only {
            return Err(BlockError::ReadOnly);
        }
        let sectors = self.sectors_at_once();
        let chunks = buf.chunks(sectors * self.sector_len_bytes);
        for (first, chunk) in (first_sector..).step_by(sectors).zip(chunks) {
            self.execute(Kind::Write, first, Data::Out(chunk))?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), BlockError> {
        if !self.has_flush || self.is_read_only {
            return Ok(());
        }
        self.execute(Kind::Flush, 0, Data::Out(&[]))
    }
}

/// Nobody sleeps in tests, where no other core asks meanwhile.
#[cfg(test)]
fn sleep_until(_deadline_ns: u64) {}
