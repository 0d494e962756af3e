//! Bus-master DMA of a channel (Programming Interface for Bus Master IDE Controller, revision 1.0): the controller moves data between
//! the drive and memory that a table of regions names.

use crate::arch::port;
#[cfg(test)]
use crate::devices::fake_memory::DmaBuffer;
use crate::memory::OutOfMemory;
#[cfg(not(test))]
use crate::memory::dma::DmaBuffer;

// Registers, from the first port of the channel.
const COMMAND: u16 = 0;
const STATUS: u16 = 2;
const TABLE: u16 = 4;

const COMMAND_START: u8 = 1;
const COMMAND_TO_MEMORY: u8 = 1 << 3;
const STATUS_ACTIVE: u8 = 1;
const STATUS_ERROR: u8 = 1 << 1;
const STATUS_INTERRUPT: u8 = 1 << 2;
/// What the firmware says of the drives; it is kept.
const STATUS_DRIVES: u8 = 3 << 5;

/// Most bytes that are moved at once.
const MAX_BYTES: usize = 64 << 10;
/// A region must not cross a multiple of 64 KiB: pages do not.
const REGION_BYTES: usize = 4096;
const LAST_REGION: u16 = 1 << 15;

/// What moves data by DMA: a controller, or a fake in tests.
pub trait Dma {
    /// Most bytes that can be moved at once.
    fn max_bytes(&self) -> usize;
    /// The first bytes of the memory that is read or written.
    fn buffer(&mut self, len_bytes: usize) -> &mut [u8];
    /// Prepares to move the first bytes of the buffer.
    fn prepare(&mut self, len_bytes: usize, is_to_memory: bool);
    /// Starts; the drive has its command.
    fn start(&mut self);
    /// Whether it is not yet done.
    fn is_active(&mut self) -> bool;
    /// Stops; whether all was moved, without an error on the bus.
    fn stop(&mut self) -> bool;
}

/// The controller's half of a channel.
pub struct BusMaster {
    ports: u16,
    direction: u8,
    data: DmaBuffer,
    table: DmaBuffer,
}

impl BusMaster {
    /// The one at these eight ports.
    ///
    /// # Errors
    /// When there is no memory for the buffers.
    pub fn new(ports: u16) -> Result<Self, OutOfMemory> {
        Ok(Self {
            ports,
            direction: 0,
            data: DmaBuffer::new(MAX_BYTES)?,
            table: DmaBuffer::new(MAX_BYTES / REGION_BYTES * 8)?,
        })
    }
}

impl Dma for BusMaster {
    fn max_bytes(&self) -> usize {
        MAX_BYTES
    }

    fn buffer(&mut self, len_bytes: usize) -> &mut [u8] {
        self.data.bytes_mut(0..len_bytes)
    }

    fn prepare(&mut self, len_bytes: usize, is_to_memory: bool) {
        let len_bytes = len_bytes.min(MAX_BYTES);
        for (index, start) in (0..len_bytes).step_by(REGION_BYTES).enumerate() {
            let left = len_bytes - start;
            let flags = if left <= REGION_BYTES { LAST_REGION } else { 0 };
            // Buffers are below 4 GiB.
            let address = (self.data.phys() + start as u64) as u32;
            self.table.write(index * 8, address);
            self.table
                .write(index * 8 + 4, left.min(REGION_BYTES) as u16);
            self.table.write(index * 8 + 6, flags);
        }
        self.direction = if is_to_memory { COMMAND_TO_MEMORY } else { 0 };
        port::write8(self.ports + COMMAND, self.direction);
        let drives = port::read8(self.ports + STATUS) & STATUS_DRIVES;
        port::write8(
            self.ports + STATUS,
            drives | STATUS_ERROR | STATUS_INTERRUPT,
        );
        port::write32(self.ports + TABLE, self.table.phys() as u32);
    }

    fn start(&mut self) {
        port::write8(self.ports + COMMAND, self.direction | COMMAND_START);
    }

    fn is_active(&mut self) -> bool {
        port::read8(self.ports + STATUS) & (STATUS_ACTIVE | STATUS_ERROR) == STATUS_ACTIVE
    }

    fn stop(&mut self) -> bool {
        let status = port::read8(self.ports + STATUS);
        port::write8(self.ports + COMMAND, self.direction);
        status & (STATUS_ACTIVE | STATUS_ERROR) == 0
    }
}
