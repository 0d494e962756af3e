//! Partition tables: the MBR and its chain of logical partitions, and GPT (UEFI Specification 2.10, 5.2 and 5.3).
//!
//! What is read here was written by strangers: every number is checked, every chain is bounded, and a partition that is not
//! wholly on the disk does not exist. Numbers are those of Linux: 1–4 primary, from 5 logical; in a GPT the entry's number.
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// A partition: sectors of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1.
    pub number: u32,
    /// Its first sector.
    pub first_sector: u64,
    /// How many sectors it has; never 0.
    pub sector_count: u64,
    /// The type byte of an MBR entry; `None` in a GPT.
    pub mbr_type: Option<u8>,
}

/// Why a partition table is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionError<E> {
    /// The disk could not be read.
    Disk(E),
    /// An entry that is in use lies outside the disk: its number.
    OutOfDisk(u32),
    /// The chain of logical partitions does not end, or leaves its extended partition.
    LogicalChain,
    /// A field of the GPT header has a value that cannot be.
    GptHeader(&'static str),
}

impl<E: fmt::Display> fmt::Display for PartitionError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(f),
            Self::OutOfDisk(number) => write!(f, "partition {number} is not wholly on the disk"),
            Self::LogicalChain => f.write_str("the chain of logical partitions is damaged"),
            Self::GptHeader(field) => write!(f, "the GPT header has an impossible {field}"),
        }
    }
}

/// The partitions of a disk in the order of their table, each of which may be damaged by itself.
pub type Partitions<E> = Vec<Result<Partition, PartitionError<E>>>;

/// Partitions that are looked at, at most.
const MAX_PARTITIONS: u32 = 128;

/// Bytes of a GPT header that have a meaning.
const GPT_HEADER_BYTES: usize = 92;
/// Bytes of a table of partition entries, at most: eight times what is usual.
const MAX_GPT_TABLE_BYTES: usize = 128 << 10;

const TYPE_EMPTY: u8 = 0;
const TYPES_EXTENDED: [u8; 3] = [0x05, 0x0F, 0x85];
const TYPE_GPT_PROTECTIVE: u8 = 0xEE;

/// What fills a buffer, of one sector, from the sector of a number.
pub type ReadSector<'a, E> = dyn Fn(u64, &mut [u8]) -> Result<(), E> + 'a;

/// A disk as this module sees it: a size, and a way to read sectors.
pub struct Source<'a, E> {
    /// Bytes in a sector, at least 512.
    pub sector_len_bytes: usize,
    /// Sectors of the disk.
    pub sector_count: u64,
    /// Reads a sector.
    pub read: &'a ReadSector<'a, E>,
}

impl<E> Source<'_, E> {
    fn sector(&self, number: u64) -> Result<Vec<u8>, PartitionError<E>> {
        let mut sector = vec![0; self.sector_len_bytes];
        (self.read)(number, &mut sector).map_err(PartitionError::Disk)?;
        Ok(sector)
    }

    /// A partition, if all of it is on the disk.
    fn partition(
        &self,
        number: u32,
        first_sector: u64,
        sector_count: u64,
        mbr_type: Option<u8>,
    ) -> Result<Partition, PartitionError<E>> {
        let is_on_disk = first_sector != 0
            && sector_count != 0
            && first_sector
                .checked_add(sector_count)
                .is_some_and(|end| end <= self.sector_count);
        if !is_on_disk {
            return Err(PartitionError::OutOfDisk(number));
        }
        Ok(Partition {
            number,
            first_sector,
            sector_count,
            mbr_type,
        })
    }

    /// Reads the disk's partition table; empty where there is none. A partition that is not right is an error of its own, so that
    /// the others can be used.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn partitions(&self) -> Result<Partitions<E>, PartitionError<E>> {
        let mut found = Vec::new();
        let Some(entries) = entries_of(&self.sector(0)?) else {
            return Ok(found);
        };
        if entries
            .iter()
            .any(|entry| entry.kind == TYPE_GPT_PROTECTIVE)
        {
            return self.gpt();
        }
        for (entry, number) in entries.iter().zip(1..) {
            if entry.is_used() {
                found.push(self.partition(number, entry.first, entry.count, Some(entry.kind)));
            }
        }
        if let Some(extended) = entries.iter().find(|entry| entry.is_extended()) {
            let logical = self.logical(extended, &mut found);
            found.extend(logical.err().map(Err));
        }
        Ok(found)
    }

    /// Follows the chain of extended boot records. Each holds one partition, relative to itself, and a link, relative to the
    /// extended partition.
    fn logical(
        &self,
        extended: &Entry,
        found: &mut Partitions<E>,
    ) -> Result<(), PartitionError<E>> {
        let mut record = extended.first;
        for number in 5..MAX_PARTITIONS {
            if record >= self.sector_count {
                return Err(PartitionError::LogicalChain);
            }
            let [logical, link, ..] =
                entries_of(&self.sector(record)?).ok_or(PartitionError::LogicalChain)?;
            if logical.is_used() && !logical.is_extended() {
                let first = record.saturating_add(logical.first);
                found.push(self.partition(number, first, logical.count, Some(logical.kind)));
            }
            if !link.is_extended() {
                return Ok(());
            }
            // Links only go forward; so the chain ends.
            let next = extended.first.saturating_add(link.first);
            if next <= record || link.first >= extended.count {
                return Err(PartitionError::LogicalChain);
            }
            record = next;
        }
        Err(PartitionError::LogicalChain)
    }

    /// Reads a GPT: the primary, or the backup in the last sector where the primary is damaged.
    fn gpt(&self) -> Result<Partitions<E>, PartitionError<E>> {
        let primary = match self.gpt_at(1) {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let backup = self.sector_count.saturating_sub(1);
        // What is wrong with the primary is what its owner needs to know.
        self.gpt_at(backup).map_err(|_| primary)
    }

    /// Reads the GPT whose header is in that sector.
    fn gpt_at(&self, at: u64) -> Result<Partitions<E>, PartitionError<E>> {
        let header = self.sector(at)?;
        let bad = |field| Err(PartitionError::GptHeader(field));
        if header.get(..8) != Some(b"EFI PART") {
            return bad("signature");
        }
        let header_len = u32_at(&header, 12) as usize;
        let Some(covered) = header
            .get(..header_len)
            .filter(|it| it.len() >= GPT_HEADER_BYTES)
        else {
            return bad("size");
        };
        // The checksum is over the header with zeros in its own place.
        let mut covered = covered.to_vec();
        let checksum = u32_at(&covered, 16);
        if let Some(place) = covered.get_mut(16..20) {
            place.fill(0);
        }
        if crc32(&covered) != checksum {
            return bad("checksum");
        }
        if u64_at(&header, 24) != at {
            return bad("own LBA");
        }
        let entries_at = u64_at(&header, 72);
        let count = u32_at(&header, 80) as usize;
        let entry_len = u32_at(&header, 84) as usize;
        if !(128..=4096).contains(&entry_len) || !entry_len.is_power_of_two() {
            return bad("size of partition entry");
        }
        let Some(table_len) = count
            .checked_mul(entry_len)
            .filter(|len| *len <= MAX_GPT_TABLE_BYTES)
        else {
            return bad("number of partition entries");
        };
        let sectors = table_len.div_ceil(self.sector_len_bytes) as u64;
        let is_on_disk = |end: u64| end <= self.sector_count;
        if entries_at < 2 || !entries_at.checked_add(sectors).is_some_and(is_on_disk) {
            return bad("partition entry LBA");
        }
        let mut table = Vec::with_capacity(table_len);
        for sector in (entries_at..self.sector_count).take(sectors as usize) {
            table.extend(self.sector(sector)?);
        }
        table.truncate(table_len);
        if crc32(&table) != u32_at(&header, 88) {
            return bad("checksum of partition entries");
        }
        let mut found = Vec::new();
        for (entry, number) in table.chunks_exact(entry_len).zip(1..=MAX_PARTITIONS) {
            if entry.iter().take(16).all(|byte| *byte == 0) {
                continue;
            }
            let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
            let len = last.checked_sub(first).and_then(|len| len.checked_add(1));
            found.push(self.partition(number, first, len.unwrap_or(0), None));
        }
        Ok(found)
    }
}

/// An entry of an MBR.
struct Entry {
    kind: u8,
    first: u64,
    count: u64,
}

impl Entry {
    fn is_used(&self) -> bool {
        self.kind != TYPE_EMPTY && self.count != 0
    }

    fn is_extended(&self) -> bool {
        TYPES_EXTENDED.contains(&self.kind)
    }
}

/// The four entries of a master or extended boot record, if it is one.
///
/// A boot sector of a file system has the same signature and text or code where the table would be; the first byte of a table's
/// entry is only ever 0 or 0x80.
fn entries_of(sector: &[u8]) -> Option<[Entry; 4]> {
    if sector.get(510..512) != Some(&[0x55, 0xAA]) {
        return None;
    }
    let table = sector.get(446..510)?;
    if table
        .chunks_exact(16)
        .any(|raw| raw.first().is_none_or(|flag| flag & 0x7F != 0))
    {
        return None;
    }
    let entry = |index: usize| {
        let raw = table.chunks_exact(16).nth(index).unwrap_or_default();
        Entry {
            kind: raw.get(4).copied().unwrap_or(0),
            first: u64::from(u32_at(raw, 8)),
            count: u64::from(u32_at(raw, 12)),
        }
    };
    Some([entry(0), entry(1), entry(2), entry(3)])
}

/// CRC-32 as in Ethernet (polynomial 0xEDB88320, reflected), which GPT uses.
fn crc32(bytes: &[u8]) -> u32 {
    // What four bits that leave the sum add to it, by the bits: a table of bytes would be quicker, and a kilobyte.
    #[expect(clippy::indexing_slicing, reason = "four bits are less than 16")]
    let step = |sum: u32| sum >> 4 ^ REMAINDERS[sum as usize & 15];
    !bytes
        .iter()
        .fold(u32::MAX, |sum, byte| step(step(sum ^ u32::from(*byte))))
}

/// The remainders of the numbers below 16, of four bits each.
#[expect(
    clippy::indexing_slicing,
    reason = "it is computed when it is compiled"
)]
const REMAINDERS: [u32; 16] = {
    let mut remainders = [0; 16];
    let mut bits = 0;
    while bits < 16 {
        let mut sum = bits as u32;
        let mut step = 0;
        while step < 4 {
            sum = sum >> 1 ^ if sum & 1 == 0 { 0 } else { 0xEDB8_8320 };
            step += 1;
        }
        remainders[bits] = sum;
        bits += 1;
    }
    remainders
};

/// A little-endian number; 0 where the bytes end before it.
fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let rest = bytes.get(offset..).unwrap_or_default();
    rest.first_chunk().map_or(0, |raw| u32::from_le_bytes(*raw))
}

/// See [`u32_at`].
fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let rest = bytes.get(offset..).unwrap_or_default();
    rest.first_chunk().map_or(0, |raw| u64::from_le_bytes(*raw))
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]
mod tests {
    use super::{Partition, PartitionError, Source, crc32};
    use alloc::vec;
    use alloc::vec::Vec;

    const SECTORS: u64 = 10_000;

    struct Disk(Vec<u8>);

    impl Disk {
        fn new() -> Self {
            Self(vec![0; SECTORS as usize * 512])
        }

        fn entry(mut self, sector: u64, index: usize, kind: u8, first: u32, count: u32) -> Self {
            let base = sector as usize * 512;
            let at = base + 446 + 16 * index;
            self.0[at + 4] = kind;
            self.0[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
            self.0[at + 12..at + 16].copy_from_slice(&count.to_le_bytes());
            self.0[base + 510..base + 512].copy_from_slice(&[0x55, 0xAA]);
            self
        }

        fn put(mut self, at: usize, bytes: &[u8]) -> Self {
            self.0[at..at + bytes.len()].copy_from_slice(bytes);
            self
        }

        fn partitions(
            &self,
        ) -> Result<Vec<Result<Partition, PartitionError<()>>>, PartitionError<()>> {
            Source {
                sector_len_bytes: 512,
                sector_count: SECTORS,
                read: &|sector, buf: &mut [u8]| {
                    assert!(sector < SECTORS, "read beyond the disk");
                    buf.copy_from_slice(&self.0[sector as usize * 512..][..512]);
                    Ok(())
                },
            }
            .partitions()
        }

        fn ranges(&self) -> Vec<(u32, u64, u64)> {
            let found = self.partitions().expect("a table");
            found
                .into_iter()
                .flatten()
                .map(|p| (p.number, p.first_sector, p.sector_count))
                .collect()
        }
    }

    #[test]
    fn primary_and_logical_partitions_get_linux_numbers() {
        let disk = Disk::new()
            .entry(0, 0, 0x83, 63, 1000)
            .entry(0, 2, 0x05, 2000, 3000)
            .entry(2000, 0, 0x83, 10, 100)
            .entry(2000, 1, 0x05, 1000, 500)
            .entry(3000, 0, 0x83, 10, 200);
        assert_eq!(
            disk.ranges(),
            [
                (1, 63, 1000),
                (3, 2000, 3000),
                (5, 2010, 100),
                (6, 3010, 200)
            ]
        );
    }

    #[test]
    fn a_disk_without_a_table_has_no_partitions() {
        assert_eq!(Disk::new().ranges(), []);
        let fat_boot_sector = Disk::new()
            .entry(0, 0, 0x83, 63, 1000)
            .put(446, b"Non-system disk");
        assert_eq!(fat_boot_sector.ranges(), []);
    }

    #[test]
    fn a_partition_beyond_the_disk_is_refused_and_the_others_are_not() {
        let disk =
            Disk::new()
                .entry(0, 0, 0x83, 9_000, 1_001)
                .entry(0, 1, 0x83, u32::MAX, u32::MAX);
        let disk = disk
            .entry(0, 2, 0x83, 0, 100)
            .entry(0, 3, 0x83, 9_000, 1_000);
        let found = disk.partitions().expect("a table");
        assert_eq!(found[0], Err(PartitionError::OutOfDisk(1)));
        assert_eq!(found[1], Err(PartitionError::OutOfDisk(2)));
        assert_eq!(found[2], Err(PartitionError::OutOfDisk(3)));
        assert_eq!(found[3].expect("on the disk").sector_count, 1_000);
    }

    #[test]
    fn a_chain_of_logical_partitions_that_loops_or_leaves_ends() {
        for (first, count) in [(0, 500), (5_000, 500), (u32::MAX, 1)] {
            let disk = Disk::new()
                .entry(0, 0, 0x05, 2000, 3000)
                .entry(2000, 0, 0x83, 10, 100)
                .entry(2000, 1, 0x05, first, count);
            let found = disk.partitions().expect("a table");
            assert_eq!(found.last(), Some(&Err(PartitionError::LogicalChain)));
            assert!(found.contains(&Ok(Partition {
                number: 5,
                first_sector: 2010,
                sector_count: 100,
                mbr_type: Some(0x83),
            })));
        }
    }

    const LAST: u64 = SECTORS - 1;

    impl Disk {
        /// Puts a GPT header there, with the checksums that fit.
        fn header(self, at: u64, entry_len: u32, entries_at: u64, count: u32) -> Self {
            let len = (count.min(1024) * entry_len.min(4096)) as usize;
            let start = (entries_at.min(SECTORS) * 512) as usize;
            let table = crc32(self.0.get(start..start + len).unwrap_or_default());
            let base = at as usize * 512;
            self.put(base, b"EFI PART")
                .put(base + 12, &92u32.to_le_bytes())
                .put(base + 24, &at.to_le_bytes())
                .put(base + 72, &entries_at.to_le_bytes())
                .put(base + 80, &count.to_le_bytes())
                .put(base + 84, &entry_len.to_le_bytes())
                .put(base + 88, &table.to_le_bytes())
                .sealed(at)
        }

        /// Makes the checksum of a header fit.
        fn sealed(self, at: u64) -> Self {
            let base = at as usize * 512;
            let disk = self.put(base + 16, &[0; 4]);
            let checksum = crc32(&disk.0[base..base + 92]);
            disk.put(base + 16, &checksum.to_le_bytes())
        }

        fn gpt_entry(self, sector: u64, index: usize, first: u64, last: u64) -> Self {
            let at = sector as usize * 512 + index * 128;
            self.put(at, &[1; 16])
                .put(at + 32, &first.to_le_bytes())
                .put(at + 40, &last.to_le_bytes())
        }
    }

    fn protective() -> Disk {
        Disk::new().entry(0, 0, 0xEE, 1, u32::MAX)
    }

    /// Primary and backup, with partition 2 in the primary and 3 in the backup, so that one sees which was read.
    fn gpt() -> Disk {
        protective()
            .gpt_entry(2, 1, 2048, 4095)
            .gpt_entry(LAST - 32, 2, 2048, 4095)
            .header(1, 128, 2, 128)
            .header(LAST, 128, LAST - 32, 128)
    }

    const PRIMARY: [(u32, u64, u64); 1] = [(2, 2048, 2048)];
    const BACKUP: [(u32, u64, u64); 1] = [(3, 2048, 2048)];

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn a_gpt_is_read() {
        assert_eq!(gpt().ranges(), PRIMARY);
        let large_entries = protective()
            .gpt_entry(2, 16, 2048, 4095)
            .header(1, 2048, 2, 4);
        assert_eq!(large_entries.ranges(), PRIMARY);
    }

    #[test]
    fn a_damaged_primary_gpt_is_replaced_by_the_backup() {
        for at in [
            512,
            512 + 16,
            512 + 24,
            512 + 80,
            512 + 88,
            1024,
            1024 + 128 + 40,
        ] {
            let mut disk = gpt();
            disk.0[at] ^= 0x10;
            assert_eq!(disk.ranges(), BACKUP, "damaged at {at}");
        }
    }

    #[test]
    fn where_both_are_damaged_the_primary_is_blamed() {
        let mut disk = gpt();
        disk.0[512 + 40] ^= 1;
        disk.0[LAST as usize * 512 + 40] ^= 1;
        assert_eq!(
            disk.partitions(),
            Err(PartitionError::GptHeader("checksum"))
        );
    }

    #[test]
    fn an_impossible_gpt_is_refused_with_the_field() {
        let field = |disk: Disk| disk.partitions().expect_err("damaged");
        let size = PartitionError::GptHeader("size of partition entry");
        let place = PartitionError::GptHeader("partition entry LBA");
        let count = PartitionError::GptHeader("number of partition entries");
        assert_eq!(field(protective().header(1, 0, 2, 128)), size);
        assert_eq!(field(protective().header(1, 1 << 31, 2, 9)), size);
        assert_eq!(field(protective().header(1, 128, u64::MAX, 9)), place);
        assert_eq!(field(protective().header(1, 128, 1, 9)), place);
        assert_eq!(field(protective().header(1, 128, LAST, 9)), place);
        assert_eq!(field(protective().header(1, 128, 2, u32::MAX)), count);
        assert_eq!(field(protective()), PartitionError::GptHeader("signature"));
        for len in [0u32, 91, 513, u32::MAX] {
            let disk = protective()
                .header(1, 128, 2, 9)
                .put(512 + 12, &len.to_le_bytes());
            assert_eq!(field(disk), PartitionError::GptHeader("size"));
        }
        let elsewhere = protective().header(1, 128, 2, 9).put(512 + 24, &[9]);
        assert_eq!(
            field(elsewhere.sealed(1)),
            PartitionError::GptHeader("own LBA")
        );
    }

    #[test]
    fn a_partition_that_ends_before_it_begins_is_refused() {
        let disk = protective()
            .gpt_entry(2, 0, 9, 8)
            .gpt_entry(2, 1, 9, u64::MAX)
            .gpt_entry(2, 2, 0, u64::MAX)
            .header(1, 128, 2, 4);
        let found = disk.partitions().expect("a table");
        let wanted: Vec<_> = (1..4).map(|n| Err(PartitionError::OutOfDisk(n))).collect();
        assert_eq!(found, wanted);
    }

    /// Numbers of no pattern, the same each time.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: u64) -> u64 {
            // Xorshift64*.
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit
        }
    }

    #[test]
    fn whatever_a_table_holds_its_partitions_are_on_the_disk() {
        let mbr = || {
            let disk = Disk::new().entry(0, 0, 0x05, 1, 9_000);
            disk.entry(1, 1, 0x05, 2, 100).entry(3, 0, 0x83, 1, 5)
        };
        let (sound, mut numbers) = ([gpt(), mbr()], Numbers(1));
        for round in 0..200 {
            let mut disk = Disk(sound[round % 2].0.clone());
            for _ in 0..numbers.below(12) {
                // Small and large numbers are worth more than those between.
                let value = u64::MAX >> numbers.below(64) ^ numbers.below(3);
                let len = 1 << numbers.below(4);
                let at = numbers.below(6 * 512) as usize;
                disk = disk.put(at, &value.to_le_bytes()[..len]);
            }
            if numbers.below(2) == 0 {
                disk = disk.sealed(1);
            }
            // The reader of this disk fails the test when a sector beyond its end is read.
            for partition in disk.partitions().into_iter().flatten().flatten() {
                assert!(partition.sector_count > 0, "round {round}");
                assert!(partition.first_sector + partition.sector_count <= SECTORS);
            }
        }
    }
}
