//! Windows of 32-bit device registers, as drivers use them: memory of a device, or a model of one in tests.

use crate::arch::mmio::Mmio;

/// A window of 32-bit registers. Copies of it mean the same window.
pub(crate) trait Registers: Clone + Send + 'static {
    /// Reads the register at byte `offset`.
    fn read(&self, offset: usize) -> u32;
    /// Writes the register at byte `offset`.
    fn write(&self, offset: usize, value: u32);
}

impl Registers for Mmio {
    #[inline]
    fn read(&self, offset: usize) -> u32 {
        Mmio::read(self, offset)
    }
    #[inline]
    fn write(&self, offset: usize, value: u32) {
        Mmio::write(self, offset, value);
    }
}
