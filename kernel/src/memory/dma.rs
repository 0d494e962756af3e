//! Memory that devices read and write.

use core::sync::atomic::{AtomicU64, Ordering};

use super::OutOfMemory;
use super::frames::{self, FRAME_BYTES, FrameInfo};

/// Physically contiguous memory below 4 GiB, page aligned, for as long as it lives.
/// Its owner must have stopped the device's use of it before dropping it (drivers here live for ever).
pub struct DmaBuffer {
    base: *mut u8,
    len_bytes: usize,
}

// SAFETY: the buffer is owned memory.
unsafe impl Send for DmaBuffer {}
// SAFETY: shared access is by volatile reads, or by `&mut self`.
unsafe impl Sync for DmaBuffer {}

impl DmaBuffer {
    /// Allocates `len_bytes` bytes (rounded up to whole pages), all zero.
    ///
    /// # Errors
    /// When there is no such memory.
    pub fn new(len_bytes: usize) -> Result<Self, OutOfMemory> {
        let buffer = Self::uncleared(len_bytes)?;
        // SAFETY: fresh frames, mapped one to one.
        unsafe { buffer.base.write_bytes(0, buffer.len_bytes) };
        Ok(buffer)
    }

    /// The same, but what is in there is whatever was there before: for rings of buffers, which are written before they are read each
    /// time. A page that nobody has touched costs no time, and a virtual machine's host no memory.
    ///
    /// # Errors
    /// When there is no such memory.
    pub fn uncleared(len_bytes: usize) -> Result<Self, OutOfMemory> {
        // One page at least: nothing that is read or written is longer.
        let len_bytes = len_bytes
            .max(1)
            .checked_next_multiple_of(FRAME_BYTES)
            .ok_or(OutOfMemory)?;
        let base = frames::allocate(len_bytes / FRAME_BYTES, 1 << 32, FrameInfo::Other)? as *mut u8;
        Ok(Self { base, len_bytes })
    }

    /// Physical address of the first byte.
    pub fn phys(&self) -> u64 {
        self.base as u64
    }

    /// Length in bytes.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    #[inline]
    fn pointer<T>(&self, offset: usize) -> *mut T {
        assert!(
            offset.is_multiple_of(align_of::<T>()) & (offset <= self.len_bytes - size_of::<T>()),
            "access outside a DMA buffer"
        );
        self.base.wrapping_add(offset).cast()
    }

    /// Reads a value that the device may be writing (volatile). `T` must be valid for any bit pattern.
    #[inline]
    pub fn read<T: Plain>(&self, offset: usize) -> T {
        // SAFETY: in bounds and aligned (checked); any bit pattern is a `T`.
        unsafe { self.pointer::<T>(offset).read_volatile() }
    }

    /// Writes a value that the device may be reading (volatile).
    #[inline]
    pub fn write<T: Plain>(&self, offset: usize, value: T) {
        // SAFETY: in bounds and aligned (checked); the memory is owned and only accessed by copies.
        unsafe { self.pointer::<T>(offset).write_volatile(value) }
    }

    /// Reads a value that others change at the same time, and puts another in its place, in one step.
    pub fn swap(&self, offset: usize, value: u64) -> u64 {
        // SAFETY: in bounds and aligned (checked), for as long as the buffer lives; all who change such a word do so in one step.
        unsafe { AtomicU64::from_ptr(self.pointer(offset)) }.swap(value, Ordering::SeqCst)
    }

    /// The bytes `range`, which the device does not write just now.
    #[inline]
    pub fn bytes(&self, range: core::ops::Range<usize>) -> &[u8] {
        assert!(
            (range.start <= range.end) & (range.end <= self.len_bytes),
            "range outside a DMA buffer"
        );
        // SAFETY: in bounds; a device that breaks its contract can change the bytes, never the length.
        unsafe { core::slice::from_raw_parts(self.base.add(range.start), range.len()) }
    }

    /// The bytes `range`, which the device does not use just now.
    #[inline]
    pub fn bytes_mut(&mut self, range: core::ops::Range<usize>) -> &mut [u8] {
        assert!(
            (range.start <= range.end) & (range.end <= self.len_bytes),
            "range outside a DMA buffer"
        );
        // SAFETY: in bounds; borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.base.add(range.start), range.len()) }
    }

    /// Copies the bytes `range`, which the device does not write just now, to `to`, where it does not look.
    pub fn copy_within(&mut self, range: core::ops::Range<usize>, to: usize) {
        assert!(
            range.start <= range.end
                && range.end <= self.len_bytes
                && to <= self.len_bytes - (range.end - range.start),
            "copy outside a DMA buffer"
        );
        // SAFETY: both in bounds of the memory, which is borrowed mutably.
        unsafe {
            self.base
                .add(range.start)
                .copy_to(self.base.add(to), range.len())
        };
    }
}

impl Drop for DmaBuffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, and the owner has stopped the device.
        unsafe { frames::free(self.base as usize, self.len_bytes / FRAME_BYTES) };
    }
}

/// Integers that devices and drivers exchange.
pub trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for u16 {}
impl Plain for u32 {}
impl Plain for u64 {}
impl Plain for [u32; 2] {}
impl Plain for [u64; 2] {}
