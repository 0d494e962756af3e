//! Device registers in memory.

use crate::memory::OutOfMemory;

/// A window of device registers, mapped uncached. Accesses are volatile, of the width given, and bounds-checked; registers within its first
/// `LEAST` bytes, which the window has for sure, are checked by the compiler.
#[derive(Clone, Copy, Debug)]
pub struct Mmio<const LEAST: usize = 0> {
    base: usize,
    len_bytes: usize,
}

// SAFETY: the window is device memory that no Rust object lives in.
unsafe impl<const LEAST: usize> Send for Mmio<LEAST> {}
// SAFETY: as for `Send`; volatile accesses from several cores are ordered by whoever owns the device.
unsafe impl<const LEAST: usize> Sync for Mmio<LEAST> {}

impl Mmio {
    /// Maps `len_bytes` bytes of device memory at physical address `phys`, uncached.
    ///
    /// # Errors
    /// When there is no memory for page tables.
    pub fn map(phys: u64, len_bytes: usize) -> Result<Self, OutOfMemory> {
        let base = crate::memory::map_device(phys, len_bytes)?;
        Ok(Self { base, len_bytes })
    }

    /// A window on memory of a test, which outlives it.
    #[cfg(test)]
    pub(crate) fn model(base: usize, len_bytes: usize) -> Self {
        Self { base, len_bytes }
    }

    /// The same window, if it has at least so many bytes.
    pub fn at_least<const LEAST: usize>(self) -> Option<Mmio<LEAST>> {
        let Self { base, len_bytes } = self;
        (len_bytes >= LEAST).then_some(Mmio { base, len_bytes })
    }
}

impl<const LEAST: usize> Mmio<LEAST> {
    /// Length of the window, in bytes.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Virtual address of the register at byte `offset`, for code that cannot call.
    pub(in crate::arch) fn address_of(&self, offset: usize) -> usize {
        self.base + offset
    }

    #[inline]
    fn address<T>(&self, offset: usize) -> *mut T {
        let size = size_of::<T>();
        let is_inside = offset + size <= LEAST || offset + size <= self.len_bytes;
        // One branch for both, here and in `memory/dma.rs`.
        assert!(
            offset.is_multiple_of(size) & is_inside,
            "device register out of its window"
        );
        (self.base + offset) as *mut T
    }

    /// Reads the register at byte `offset`.
    #[inline]
    pub fn read<T: RegisterWidth>(&self, offset: usize) -> T {
        // SAFETY: `address` checked alignment and bounds; the window is mapped as long as the kernel runs.
        unsafe { self.address::<T>(offset).read_volatile() }
    }

    /// Writes the register at byte `offset`.
    #[inline]
    pub fn write<T: RegisterWidth>(&self, offset: usize, value: T) {
        // SAFETY: as in `read`; device registers are not Rust memory.
        unsafe { self.address::<T>(offset).write_volatile(value) }
    }
}

/// The widths of device registers.
pub trait RegisterWidth: Copy {}
impl RegisterWidth for u8 {}
impl RegisterWidth for u16 {}
impl RegisterWidth for u32 {}
impl RegisterWidth for u64 {}
