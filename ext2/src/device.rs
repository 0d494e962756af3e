//! What a file system lies on: bytes that can be read and written at an offset.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

/// A disk, a partition, or an image file.
///
/// Offsets and lengths are in bytes and need not be aligned to anything: [`crate::FileSystem`]
/// reads an inode as 160 bytes and asks again for what it has read before. An implementation on
/// hardware therefore wants a cache of sectors or pages below it. References are shared, so it does
/// its own locking.
pub trait BlockDevice {
    /// The size of the device in bytes.
    fn len_bytes(&self) -> u64;

    /// Fills `buf` with what lies at `offset_bytes`.
    ///
    /// # Errors
    /// When the medium fails, or the range is not wholly on the device.
    fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError>;

    /// Puts `buf` at `offset_bytes`. It need not be on the medium before [`BlockDevice::flush`].
    ///
    /// # Errors
    /// When the medium fails or cannot be written, or the range is not wholly on the device.
    fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), DeviceError>;

    /// Returns when everything written is on the medium.
    ///
    /// # Errors
    /// When the medium fails.
    fn flush(&self) -> Result<(), DeviceError>;
}

/// A device failed. The code is the device's own (an errno, by custom); it is only passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceError(pub i32);

impl DeviceError {
    /// Input or output failed (EIO).
    pub const IO: Self = Self(5);
    /// The range is not on the device (EINVAL).
    pub const OUT_OF_RANGE: Self = Self(22);
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device error {}", self.0)
    }
}

impl core::error::Error for DeviceError {}

/// Lets a pointer to a device be a device.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<D: BlockDevice + ?Sized> BlockDevice for $pointer {
            fn len_bytes(&self) -> u64 {
                (**self).len_bytes()
            }
            fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
                (**self).read(offset_bytes, buf)
            }
            fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), DeviceError> {
                (**self).write(offset_bytes, buf)
            }
            fn flush(&self) -> Result<(), DeviceError> {
                (**self).flush()
            }
        }
    )*};
}

forward!(&D, Box<D>, Arc<D>);

/// A device in memory, for tests and small images.
impl BlockDevice for RefCell<Vec<u8>> {
    fn len_bytes(&self) -> u64 {
        self.try_borrow().map_or(0, |bytes| bytes.len() as u64)
    }

    fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        let bytes = self.try_borrow().map_err(|_| DeviceError::IO)?;
        let start = usize::try_from(offset_bytes).map_err(|_| DeviceError::OUT_OF_RANGE)?;
        let from = bytes
            .get(start..)
            .and_then(|tail| tail.get(..buf.len()))
            .ok_or(DeviceError::OUT_OF_RANGE)?;
        buf.copy_from_slice(from);
        Ok(())
    }

    fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), DeviceError> {
        let mut bytes = self.try_borrow_mut().map_err(|_| DeviceError::IO)?;
        let start = usize::try_from(offset_bytes).map_err(|_| DeviceError::OUT_OF_RANGE)?;
        bytes
            .get_mut(start..)
            .and_then(|tail| tail.get_mut(..buf.len()))
            .ok_or(DeviceError::OUT_OF_RANGE)?
            .copy_from_slice(buf);
        Ok(())
    }

    fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}
