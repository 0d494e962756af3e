//! Memory for rings in host tests: like [`crate::memory::dma::DmaBuffer`], with host addresses in place of physical ones, so that
//! a model of a device can reach it as the device would.

use core::ops::Range;

use crate::memory::OutOfMemory;
use crate::memory::dma::Plain;

/// Zeroed memory that is never freed.
pub(crate) struct DmaBuffer {
    base: *mut u8,
    len_bytes: usize,
}

// SAFETY: the buffer is owned memory.
unsafe impl Send for DmaBuffer {}

impl DmaBuffer {
    pub(crate) fn new(len_bytes: usize) -> Result<Self, OutOfMemory> {
        // Below 4 GiB, as the real ones are: some devices know no other addresses.
        // SAFETY: a new anonymous mapping, whose address the system chooses.
        let base = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                len_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(OutOfMemory);
        }
        Ok(Self {
            base: base.cast(),
            len_bytes,
        })
    }

    /// What was there before is no zeros.
    pub(crate) fn uncleared(len_bytes: usize) -> Result<Self, OutOfMemory> {
        let mut buffer = Self::new(len_bytes)?;
        let len_bytes = buffer.len_bytes();
        buffer.bytes_mut(0..len_bytes).fill(0xA5);
        Ok(buffer)
    }

    pub(crate) fn phys(&self) -> u64 {
        self.base as u64
    }

    pub(crate) fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    fn pointer<T>(&self, offset: usize) -> *mut T {
        assert!(
            offset.is_multiple_of(align_of::<T>()) && offset + size_of::<T>() <= self.len_bytes
        );
        self.base.wrapping_add(offset).cast()
    }

    pub(crate) fn read<T: Plain>(&self, offset: usize) -> T {
        // SAFETY: in bounds and aligned (checked), and never freed.
        unsafe { self.pointer::<T>(offset).read_volatile() }
    }

    pub(crate) fn write<T: Plain>(&self, offset: usize, value: T) {
        // SAFETY: as in `read`.
        unsafe { self.pointer::<T>(offset).write_volatile(value) }
    }

    pub(crate) fn swap(&self, offset: usize, value: u64) -> u64 {
        let before = self.read(offset);
        self.write(offset, value);
        before
    }

    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.start <= range.end && range.end <= self.len_bytes);
        // SAFETY: in bounds, and never freed.
        unsafe { core::slice::from_raw_parts(self.base.add(range.start), range.len()) }
    }

    pub(crate) fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        assert!(range.start <= range.end && range.end <= self.len_bytes);
        // SAFETY: in bounds, never freed, and borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.base.add(range.start), range.len()) }
    }

    pub(crate) fn copy_within(&mut self, range: Range<usize>, to: usize) {
        self.bytes_mut(0..self.len_bytes).copy_within(range, to);
    }
}

/// Reads what a device finds at an address it was told.
pub(crate) fn device_read<const N: usize>(address: u64) -> [u8; N] {
    // SAFETY: models of devices only use addresses of the buffers above, which are never freed.
    unsafe { (address as *const [u8; N]).read_volatile() }
}

/// Writes as a device does.
pub(crate) fn device_write(address: u64, bytes: &[u8]) {
    // SAFETY: as in `device_read`; the tests keep within the buffers.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
}
