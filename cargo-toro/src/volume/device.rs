//! An image file as a disk, or a stretch of it, with a lock that keeps a virtual machine and the tool apart.

use crate::failure::Failure;
use crate::host;
use anyhow::{Context, Result, bail};
use ext2::{BlockDevice, DeviceError};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// For how long a lock of another one is waited for: a fifth of a second.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// What an image is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing is changed; others may read too.
    Read,
    /// Nobody else may have it open.
    Write,
}

/// A stretch of a file as a disk.
#[derive(Debug)]
pub struct FileDevice {
    file: File,
    start_bytes: u64,
    len_bytes: u64,
    is_synced: bool,
}

impl FileDevice {
    /// The first `len_bytes` of `file`.
    pub fn new(file: File, len_bytes: u64) -> Self {
        Self {
            file,
            start_bytes: 0,
            len_bytes,
            is_synced: true,
        }
    }

    /// The same, for a file that is just being made: a flush does not wait for the medium.
    pub fn without_sync(self) -> Self {
        Self {
            is_synced: false,
            ..self
        }
    }

    /// Opens the image at `path`, which must not be in use by a virtual machine.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        let shown = path.display();
        if !path.exists() {
            let help = "make one with `cargo toro mkfs IMAGE --from FOLDER`";
            bail!(Failure::new(
                format!("there is no disk image {shown}"),
                help
            ));
        }
        if path.is_dir() {
            bail!("{shown} is a folder, not a disk image");
        }
        let is_writing = access == Access::Write;
        let file = File::options().read(true).write(is_writing).open(path);
        let file = file.with_context(|| format!("cannot open {shown}"))?;
        let lock =
            || host::lock_image(&file, is_writing).with_context(|| format!("cannot lock {shown}"));
        // A process that is being started holds what its parent had open until it executes its program.
        let mut tries_left = LOCK_TRIES;
        while !lock()? {
            if tries_left > 0 {
                tries_left -= 1;
                std::thread::sleep(LOCK_PAUSE);
                continue;
            }
            let message = format!("{shown} is in use by a virtual machine or another command");
            bail!(Failure::new(message, "end that first"));
        }
        let len_bytes = file.metadata()?.len();
        Ok(Self::new(file, len_bytes))
    }

    /// The `len_bytes` from `start_bytes` on; `None` if they are not all there.
    pub fn part(self, start_bytes: u64, len_bytes: u64) -> Option<Self> {
        let end = start_bytes.checked_add(len_bytes)?;
        (end <= self.len_bytes).then_some(Self {
            file: self.file,
            start_bytes: self.start_bytes + start_bytes,
            len_bytes,
            is_synced: self.is_synced,
        })
    }

    /// Another handle on the same stretch.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self {
            file: self.file.try_clone()?,
            ..*self
        })
    }

    fn place(&self, offset_bytes: u64, len: usize) -> Result<u64, DeviceError> {
        let end = u64::try_from(len)
            .ok()
            .and_then(|len| offset_bytes.checked_add(len));
        if end.is_none_or(|end| end > self.len_bytes) {
            return Err(DeviceError::OUT_OF_RANGE);
        }
        Ok(self.start_bytes + offset_bytes)
    }
}

fn device_error(error: std::io::Error) -> DeviceError {
    error.raw_os_error().map_or(DeviceError::IO, DeviceError)
}

impl BlockDevice for FileDevice {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        let place = self.place(offset_bytes, buf.len())?;
        host::read_exact_at(&self.file, buf, place).map_err(device_error)
    }

    fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), DeviceError> {
        let place = self.place(offset_bytes, buf.len())?;
        host::write_all_at(&self.file, buf, place).map_err(device_error)
    }

    fn flush(&self) -> Result<(), DeviceError> {
        if !self.is_synced {
            return Ok(());
        }
        self.file.sync_data().map_err(device_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_written_by_one_and_read_by_many() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let reader = FileDevice::open(file.path(), Access::Read).unwrap();
        let other = FileDevice::open(file.path(), Access::Read).unwrap();
        let refused = FileDevice::open(file.path(), Access::Write).unwrap_err();
        assert!(refused.to_string().contains("is in use"), "{refused}");
        drop((reader, other));
        let writer = FileDevice::open(file.path(), Access::Write).unwrap();
        assert!(FileDevice::open(file.path(), Access::Read).is_err());
        assert!(FileDevice::open(file.path(), Access::Write).is_err());
        drop(writer);
        assert!(FileDevice::open(file.path(), Access::Write).is_ok());
    }

    #[test]
    fn a_part_ends_where_it_ends() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        let open = || FileDevice::open(file.path(), Access::Write).unwrap();
        assert!(open().part(5, 6).is_none());
        assert!(open().part(u64::MAX, 2).is_none());
        let part = open().part(5, 3).unwrap();
        let mut buf = [0; 3];
        part.read(0, &mut buf).unwrap();
        assert_eq!(&buf, b"567");
        assert_eq!(part.read(1, &mut buf), Err(DeviceError::OUT_OF_RANGE));
        assert_eq!(part.write(3, b"x"), Err(DeviceError::OUT_OF_RANGE));
        part.write(2, b"x").unwrap();
        drop(part);
        assert_eq!(std::fs::read(file.path()).unwrap(), b"0123456x89");
    }
}
