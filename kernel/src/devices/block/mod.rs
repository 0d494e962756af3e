//! Disks: one folder or file per controller, all behind [`BlockDriver`].
//!
//! Neighbours: [`crate::storage`] stands on this. A call blocks its thread until the disk has answered; a driver with a queue
//! lets several threads be inside at once, each on a wait queue of its own.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::pci;

pub mod ide;

/// Why a disk did not do what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// The sectors are not all on the disk, or the buffer is not a whole number of sectors.
    OutOfRange,
    /// The device did not answer in time.
    Timeout,
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
            Self::Timeout => f.write_str("the disk does not answer"),
            Self::Device { status, error } => {
                write!(
                    f,
                    "the disk reports an error (status {status:#04x}, error {error:#04x})"
                )
            }
        }
    }
}

/// A disk: sectors, numbered from 0.
pub trait BlockDriver: Send + Sync {
    /// What to call the disk in messages: where it is and what it says it is.
    fn name(&self) -> &str;

    /// Size of a sector in bytes: a power of two from 512 to 4096.
    fn sector_len_bytes(&self) -> usize;

    /// How many sectors there are.
    fn sector_count(&self) -> u64;

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

    /// Returns when all that was written before is on the medium.
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

/// Looks for all disks of the machine. Their order is that of bus, slot, channel, drive.
pub fn discover() -> Vec<Arc<dyn BlockDriver>> {
    let mut disks = Vec::new();
    ide::discover(&pci::devices(), &mut disks);
    disks
}
