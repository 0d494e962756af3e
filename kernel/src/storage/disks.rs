//! The machine's data disks, and volumes: what a file system lies on.
//!
//! A disk that holds a Toro image is not a data disk: its first partition has the type of such images, or starts with `TOROBOOT`
//! (ARCHITECTURE.md, "The boot disk").

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use ext2::DeviceError;

use super::block_cache::{BlockCache, Counts};
use super::partition::{Partition, PartitionError, Partitions, Source};
use crate::devices::block::{BlockDriver, BlockError};

/// What the boot disk's first partition starts with.
const BOOT_MAGIC: &[u8; 8] = b"TOROBOOT";
/// What the header of a GPT starts with, in sector 1 (UEFI Specification 2.10, section 5.3.2).
const GPT_MAGIC: &[u8; 8] = b"EFI PART";
/// What the first entry of such a table starts with on a boot disk, in sector 2: the first half of the type of its first partition,
/// A4D6B1F2-6C3E-4B57-….
const BOOT_TYPE: &[u8; 8] = &[0xF2, 0xB1, 0xD6, 0xA4, 0x3E, 0x6C, 0x57, 0x4B];

/// A disk's partition table, as far as it could be read.
type Table = Result<Partitions<BlockError>, PartitionError<BlockError>>;

/// A data disk.
pub struct Disk {
    /// Its cache, through which all reads go.
    pub cache: BlockCache,
    /// Its partitions.
    pub table: Table,
    /// The core that it belongs to.
    core: AtomicUsize,
}

impl Disk {
    /// Takes a disk over, and reads its partition table.
    pub fn new(driver: Arc<dyn BlockDriver>, cache_bytes: usize) -> Self {
        Self::of(BlockCache::new(driver, cache_bytes))
    }

    fn of(cache: BlockCache) -> Self {
        let sector_len = cache.disk().sector_len_bytes();
        let table = Source {
            sector_len_bytes: sector_len,
            sector_count: cache.disk().sector_count(),
            read: &|sector, buf| cache.read(sector.saturating_mul(sector_len as u64), buf),
        }
        .partitions();
        Self {
            cache,
            table,
            core: AtomicUsize::new(0),
        }
    }

    /// The core that it belongs to: what nobody waits for, its write-back, is done there.
    pub fn core(&self) -> usize {
        self.core.load(Ordering::Relaxed)
    }

    /// Has it belong to another core. Its interrupts are the caller's business.
    pub(super) fn set_core(&self, core: usize) {
        self.core.store(core, Ordering::Relaxed);
    }

    /// Whether this disk holds the image that runs here, or another one.
    pub fn is_boot_disk(&self) -> bool {
        let first = self.partitions().find(|partition| partition.number == 1);
        first.is_some_and(|it| starts_with(&self.cache, it.first_sector, BOOT_MAGIC))
    }

    /// The partitions that are sound.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.table.iter().flatten().flatten()
    }

    /// First byte and length of a partition.
    fn bytes_of(&self, partition: &Partition) -> (u64, u64) {
        let sector_len = self.cache.disk().sector_len_bytes() as u64;
        (
            partition.first_sector.saturating_mul(sector_len),
            partition.sector_count.saturating_mul(sector_len),
        )
    }
}

/// The data disks among these, in their order.
pub fn data_disks(
    drivers: impl IntoIterator<Item = Arc<dyn BlockDriver>>,
    cache_bytes: usize,
) -> Vec<Arc<Disk>> {
    let mut disks = Vec::new();
    for driver in drivers {
        let cache = BlockCache::new(driver, cache_bytes);
        // Nearly each start comes along here with a boot disk that the tool made: one read tells, of the disk's first sectors.
        if starts_with(&cache, 1, GPT_MAGIC) && starts_with(&cache, 2, BOOT_TYPE) {
            continue;
        }
        let disk = Disk::of(cache);
        if !disk.is_boot_disk() {
            disks.push(Arc::new(disk));
        }
    }
    disks
}

/// Whether a sector starts with these bytes.
fn starts_with(cache: &BlockCache, sector: u64, magic: &[u8; 8]) -> bool {
    let start = sector.saturating_mul(cache.disk().sector_len_bytes() as u64);
    let mut found = [0; 8];
    cache.read(start, &mut found).is_ok() && found == *magic
}

/// What a volume is called: `disk0`, `disk0.1`. It becomes words when somebody needs them, which no start does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeName {
    /// The number of a data disk, from 0.
    pub disk: usize,
    /// The number of one of its partitions, from 1; `None` is the whole disk.
    pub partition: Option<u32>,
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk{}", self.disk)?;
        match self.partition {
            Some(partition) => write!(f, ".{partition}"),
            None => Ok(()),
        }
    }
}

/// A disk or a part of it.
pub struct Volume {
    disk: Arc<Disk>,
    start: u64,
    len_bytes: u64,
}

impl Volume {
    /// All of a disk.
    pub fn whole(disk: Arc<Disk>) -> Self {
        let len_bytes = disk.cache.len_bytes();
        Self {
            disk,
            start: 0,
            len_bytes,
        }
    }

    /// A partition of a disk.
    pub fn partition(disk: Arc<Disk>, partition: &Partition) -> Self {
        let (start, len_bytes) = disk.bytes_of(partition);
        Self {
            disk,
            start,
            len_bytes,
        }
    }

    /// The disk that it is on.
    pub fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// Bytes of a sector of the disk.
    pub fn sector_len_bytes(&self) -> usize {
        self.disk.cache.disk().sector_len_bytes()
    }

    /// Whether the disk cannot be written.
    pub fn is_read_only(&self) -> bool {
        self.disk.cache.disk().is_read_only()
    }

    /// How useful the disk's cache was so far.
    pub fn counts(&self) -> Counts {
        self.disk.cache.counts()
    }

    /// Where a range of this volume lies on the disk.
    fn on_disk(&self, offset: u64, len: usize) -> Result<u64, DeviceError> {
        let end = offset
            .checked_add(len as u64)
            .filter(|end| *end <= self.len_bytes);
        end.and_then(|_| self.start.checked_add(offset))
            .ok_or(DeviceError::OUT_OF_RANGE)
    }

    fn report(&self, error: BlockError) -> DeviceError {
        log::error!("{}: {error}", self.disk.cache.disk().name());
        match error {
            BlockError::ReadOnly => DeviceError(libc::EROFS),
            _ => DeviceError::IO,
        }
    }
}

impl ext2::BlockDevice for Volume {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        let at = self.on_disk(offset_bytes, buf.len())?;
        self.disk
            .cache
            .read(at, buf)
            .map_err(|error| self.report(error))
    }

    fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), DeviceError> {
        let at = self.on_disk(offset_bytes, buf.len())?;
        self.disk
            .cache
            .write(at, buf)
            .map_err(|error| self.report(error))
    }

    fn flush(&self) -> Result<(), DeviceError> {
        self.disk.cache.flush().map_err(|error| self.report(error))
    }
}

#[cfg(test)]
mod tests {
    use super::{Disk, Volume, data_disks};
    use crate::devices::block::BlockDriver;
    use crate::storage::block_cache::tests::MemoryDisk;
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::sync::atomic::Ordering;
    use ext2::{BlockDevice, DeviceError};

    /// A disk of 1 MiB with a partition at sector 100, which starts with this text.
    fn image(start: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1 << 20];
        image[450] = 0xDA;
        image[454..458].copy_from_slice(&100u32.to_le_bytes());
        image[458..462].copy_from_slice(&200u32.to_le_bytes());
        image[510..512].copy_from_slice(&[0x55, 0xAA]);
        image[51_200..51_200 + start.len()].copy_from_slice(start);
        image
    }

    #[test]
    fn a_disk_with_an_image_of_toro_is_not_counted() {
        let disks = [
            image(b"data"),
            image(b"TOROBOOT"),
            vec![0; 4096],
            image(b"TOROBOO"),
        ];
        let drivers = disks.map(|disk| MemoryDisk::new(disk) as Arc<dyn BlockDriver>);
        assert_eq!(data_disks(drivers, 0).len(), 3);
    }

    #[test]
    fn a_boot_disk_of_the_tool_is_known_by_its_first_sectors() {
        let mut boot = vec![0; 1 << 20];
        boot[512..520].copy_from_slice(b"EFI PART");
        // The numbers of a GUID are little-endian, the rest are bytes (UEFI Specification 2.10, appendix A).
        boot[1024..1028].copy_from_slice(&0xA4D6_B1F2_u32.to_le_bytes());
        boot[1028..1030].copy_from_slice(&0x6C3E_u16.to_le_bytes());
        boot[1030..1032].copy_from_slice(&0x4B57_u16.to_le_bytes());
        // Without a GPT the entry is a file system's, and with another type the partition is.
        let (mut bare, mut other) = (boot.clone(), boot.clone());
        bare[512] = 0;
        other[1024] = 0;
        let disks = [boot, bare, other].map(MemoryDisk::new);
        let drivers = disks.clone().map(|disk| disk as Arc<dyn BlockDriver>);
        assert_eq!(data_disks(drivers, 0).len(), 2);
        assert_eq!(disks[0].reads.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_partition_is_a_border() {
        let disk = Arc::new(Disk::new(MemoryDisk::new(image(b"data")), 0));
        let partition = *disk.partitions().next().expect("a partition");
        let volume = Volume::partition(disk, &partition);
        let mut buf = [0; 4];
        volume.read(0, &mut buf).expect("inside");
        assert_eq!(&buf, b"data");
        assert_eq!(volume.len_bytes(), 102_400);
        assert_eq!(
            volume.read(102_397, &mut buf),
            Err(DeviceError::OUT_OF_RANGE)
        );
        assert_eq!(volume.write(u64::MAX, &buf), Err(DeviceError::OUT_OF_RANGE));
    }
}
