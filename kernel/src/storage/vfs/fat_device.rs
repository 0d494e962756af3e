//! What a FAT lies on, as the crate `hadris_fat` wants it: a [`Volume`] in sectors.

use ext2::{BlockDevice as _, DeviceError};
use hadris_io::{Error, ErrorKind, ErrorType, Location};
use hadris_storage::sync::BlockDevice;
use hadris_storage::{BlockIndex, BlockSize};

use crate::storage::disks::Volume;

/// A volume, in sectors of its disk.
pub(super) struct Device {
    volume: Volume,
    sector_len: BlockSize,
}

impl Device {
    /// Takes a volume over; `None` if its disk has no sectors of a size that can be.
    pub(super) fn new(volume: Volume) -> Option<Self> {
        let sector_len = u32::try_from(volume.sector_len_bytes()).ok();
        let sector_len = sector_len.and_then(BlockSize::new)?;
        Some(Self { volume, sector_len })
    }

    /// Where a sector begins, in bytes.
    fn offset(&self, first: BlockIndex) -> u64 {
        // What is too large lies on no volume.
        first.get().saturating_mul(u64::from(self.sector_len.get()))
    }
}

/// A failure of the disk, at this byte.
fn failure(offset: u64) -> impl FnOnce(DeviceError) -> Error<DeviceError> {
    move |error| {
        let kind = match error.0 {
            libc::EROFS => ErrorKind::ReadOnly,
            _ => ErrorKind::Io,
        };
        Error::device(error, "the disk failed")
            .with_kind(kind)
            .with_location(Location::Byte(offset))
    }
}

impl ErrorType for Device {
    type Error = DeviceError;
}

impl BlockDevice for Device {
    fn block_size(&self) -> BlockSize {
        self.sector_len
    }

    fn block_count(&self) -> u64 {
        self.volume.len_bytes() / u64::from(self.sector_len.get())
    }

    fn writable(&self) -> bool {
        !self.volume.is_read_only()
    }

    fn read_blocks(&mut self, first: BlockIndex, buf: &mut [u8]) -> Result<(), Error<DeviceError>> {
        let offset = self.offset(first);
        self.volume.read(offset, buf).map_err(failure(offset))
    }

    fn write_blocks(&mut self, first: BlockIndex, buf: &[u8]) -> Result<(), Error<DeviceError>> {
        let offset = self.offset(first);
        self.volume.write(offset, buf).map_err(failure(offset))
    }

    fn flush(&mut self) -> Result<(), Error<DeviceError>> {
        self.volume.flush().map_err(failure(0))
    }
}
