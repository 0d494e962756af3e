//! The cache over a disk in memory.

use super::{BLOCK_LEN, BlockCache, WAYS};
use crate::devices::block::{BlockDriver, BlockError, check_range};
use crate::sync::SpinLock;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A disk in memory that counts commands and can fail.
pub(crate) struct MemoryDisk {
    pub(crate) content: SpinLock<Vec<u8>>,
    pub(crate) reads: AtomicUsize,
    pub(crate) writes: AtomicUsize,
    pub(crate) is_broken: AtomicBool,
    pub(crate) is_read_only: AtomicBool,
    /// A sector that cannot be read before it is written.
    bad_sector: AtomicU64,
}

impl MemoryDisk {
    pub(crate) fn new(content: Vec<u8>) -> Arc<Self> {
        Arc::new(Self {
            content: SpinLock::new(content),
            reads: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            is_broken: AtomicBool::new(false),
            is_read_only: AtomicBool::new(false),
            bad_sector: AtomicU64::new(u64::MAX),
        })
    }

    fn check(&self, first: u64, len: usize) -> Result<(), BlockError> {
        check_range(self, first, len)?;
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(BlockError::Timeout);
        }
        Ok(())
    }
}

impl BlockDriver for MemoryDisk {
    fn name(&self) -> String {
        String::from("memory")
    }
    fn sector_len_bytes(&self) -> usize {
        512
    }
    fn sector_count(&self) -> u64 {
        self.content.lock().len() as u64 / 512
    }
    fn read(&self, first: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.check(first, buf.len())?;
        let sectors = first..first + buf.len() as u64 / 512;
        if sectors.contains(&self.bad_sector.load(Ordering::Relaxed)) {
            return Err(BlockError::Timeout);
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        buf.copy_from_slice(&self.content.lock()[first as usize * 512..][..buf.len()]);
        Ok(())
    }
    fn write(&self, first: u64, buf: &[u8]) -> Result<(), BlockError> {
        self.check(first, buf.len())?;
        let sectors = first..first + buf.len() as u64 / 512;
        if sectors.contains(&self.bad_sector.load(Ordering::Relaxed)) {
            self.bad_sector.store(u64::MAX, Ordering::Relaxed);
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.content.lock()[first as usize * 512..][..buf.len()].copy_from_slice(buf);
        Ok(())
    }
    fn is_read_only(&self) -> bool {
        self.is_read_only.load(Ordering::Relaxed)
    }
    fn flush(&self) -> Result<(), BlockError> {
        self.check(0, 0)
    }
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 256 + i * 3) as u8).collect()
}

fn cache(len: usize, capacity: usize) -> (Arc<MemoryDisk>, BlockCache) {
    let disk = MemoryDisk::new(content(len));
    (disk.clone(), BlockCache::new(disk, capacity))
}

#[test]
fn any_range_reads_as_it_is_on_the_disk() {
    // The last block is short.
    let len = 50 * BLOCK_LEN + 1536;
    let expected = content(len);
    let (_, cache) = cache(len, 16 * BLOCK_LEN);
    let mut random = 1u64;
    for _ in 0..3000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let start = (random >> 33) as usize % (len + 1);
        let size = (random >> 17) as usize % (len - start + 1).min(5 * BLOCK_LEN);
        let mut buf = vec![0; size];
        cache.read(start as u64, &mut buf).expect("on the disk");
        assert!(
            buf == expected[start..start + size],
            "{size} bytes at {start}"
        );
    }
}

#[test]
fn what_was_read_is_not_read_again() {
    let (disk, cache) = cache(20 * BLOCK_LEN, 64 * BLOCK_LEN);
    let mut buf = [0; 100];
    for _ in 0..5 {
        cache.read(12_345, &mut buf).expect("on the disk");
    }
    assert_eq!(disk.reads.load(Ordering::Relaxed), 1);
}

#[test]
fn small_reads_in_sequence_become_few_large_ones() {
    let (disk, cache) = cache(256 * BLOCK_LEN, 512 * BLOCK_LEN);
    let mut buf = [0; 1024];
    for i in 0..1024 {
        cache.read(i * 1024, &mut buf).expect("on the disk");
    }
    assert!(disk.reads.load(Ordering::Relaxed) < 30);
}

#[test]
fn a_large_read_does_not_push_out_the_rest() {
    let (disk, cache) = cache(256 * BLOCK_LEN, 32 * BLOCK_LEN);
    let mut buf = [0; 100];
    cache.read(0, &mut buf).expect("on the disk");
    let mut large = vec![0; 200 * BLOCK_LEN];
    cache
        .read(20 * BLOCK_LEN as u64, &mut large)
        .expect("on the disk");
    let before = disk.reads.load(Ordering::Relaxed);
    cache.read(0, &mut buf).expect("on the disk");
    assert_eq!(disk.reads.load(Ordering::Relaxed), before);
}

#[test]
fn a_write_is_in_the_cache_and_after_a_flush_on_the_disk() {
    let (disk, cache) = cache(20 * BLOCK_LEN, 64 * BLOCK_LEN);
    let data = vec![0xEE; 3 * BLOCK_LEN];
    cache.write(5000, &data).expect("on the disk");
    cache.flush().expect("works");
    let mut expected = content(20 * BLOCK_LEN);
    expected[5000..5000 + data.len()].copy_from_slice(&data);
    assert!(*disk.content.lock() == expected);
    let mut back = vec![0; 20 * BLOCK_LEN];
    cache.read(0, &mut back).expect("on the disk");
    assert!(back == expected);
}

#[test]
fn an_error_of_the_disk_is_returned_and_not_remembered() {
    let (disk, cache) = cache(20 * BLOCK_LEN, 64 * BLOCK_LEN);
    let mut buf = vec![0; 3 * BLOCK_LEN];
    disk.is_broken.store(true, Ordering::Relaxed);
    assert_eq!(cache.read(100, &mut buf), Err(BlockError::Timeout));
    let large = vec![0; 9 * BLOCK_LEN];
    assert_eq!(cache.write(0, &large), Err(BlockError::Timeout));
    disk.is_broken.store(false, Ordering::Relaxed);
    cache.read(100, &mut buf).expect("works again");
    assert!(buf == content(20 * BLOCK_LEN)[100..][..buf.len()]);
}

#[test]
fn what_lies_beside_a_bad_sector_is_read_and_written() {
    let len = 40 * BLOCK_LEN;
    let expected = content(len);
    let (disk, cache) = cache(len, 64 * BLOCK_LEN);
    // In the middle of block 20.
    let bad = 20 * 8 + 4;
    disk.bad_sector.store(bad, Ordering::Relaxed);
    // In sequence, so that it is read ahead.
    for (at, expected) in (0..).step_by(300).zip(expected.chunks(300)) {
        let mut buf = vec![0; expected.len()];
        let touches = at / 512 <= bad && (at + expected.len() as u64 - 1) / 512 >= bad;
        match cache.read(at, &mut buf) {
            Ok(()) => assert!(buf == expected && !touches, "at {at}"),
            Err(error) => assert!(error == BlockError::Timeout && touches, "at {at}"),
        }
    }
    let place = bad * 512;
    assert_eq!(cache.write(place + 1, &[7]), Err(BlockError::Timeout));
    cache.write(place - 512, &[8; 512]).expect("a good sector");
    let mut buf = [0; 512];
    cache.read(place - 512, &mut buf).expect("a good sector");
    assert_eq!(buf, [8; 512]);
    cache.write(place, &[9; 512]).expect("what mends it");
    cache.read(place, &mut buf).expect("mended");
    assert_eq!(buf, [9; 512]);
    cache.flush().expect("a disk");
    let content = disk.content.lock();
    assert_eq!(
        content[place as usize - 512..][..1024],
        [[8; 512], [9; 512]].concat()
    );
}

#[test]
fn nothing_beyond_the_disk_is_read_or_written() {
    let (_, cache) = cache(BLOCK_LEN, 64 * BLOCK_LEN);
    let mut buf = [0; 2];
    assert_eq!(
        cache.read(BLOCK_LEN as u64 - 1, &mut buf),
        Err(BlockError::OutOfRange)
    );
    assert_eq!(cache.read(u64::MAX, &mut buf), Err(BlockError::OutOfRange));
    assert_eq!(cache.write(u64::MAX - 1, &buf), Err(BlockError::OutOfRange));
}

#[test]
fn any_sequence_of_reads_and_writes_is_as_on_a_plain_disk() {
    // A cache of eight blocks, and one in which all fits; the last block is short.
    for capacity in [8 * BLOCK_LEN, 128 * BLOCK_LEN] {
        let len = 60 * BLOCK_LEN + 1536;
        let (disk, cache) = cache(len, capacity);
        let mut expected = content(len);
        let mut random = 7u64;
        for round in 0..4000u32 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let start = (random >> 33) as usize % (len + 1);
            let most = if round.is_multiple_of(16) { 20 } else { 2 };
            let size = (random >> 17) as usize % (len - start + 1).min(most * BLOCK_LEN);
            match random >> 61 {
                0..=3 => {
                    let data = vec![(random >> 40) as u8; size];
                    cache.write(start as u64, &data).expect("on the disk");
                    expected[start..start + size].copy_from_slice(&data);
                }
                4 => {
                    cache.flush().expect("works");
                    assert!(*disk.content.lock() == expected, "round {round}");
                }
                _ => {
                    let mut buf = vec![0; size];
                    cache.read(start as u64, &mut buf).expect("on the disk");
                    assert!(buf == expected[start..start + size], "round {round}");
                }
            }
        }
    }
}

#[test]
fn small_writes_become_few_large_ones() {
    let (disk, cache) = cache(64 * BLOCK_LEN, 256 * BLOCK_LEN);
    for i in 0..640 {
        cache.write(i * 400, &[9; 400]).expect("on the disk");
    }
    assert_eq!(disk.writes.load(Ordering::Relaxed), 0);
    cache.flush().expect("works");
    assert_eq!(disk.writes.load(Ordering::Relaxed), 1);
    assert!(
        disk.content.lock()[..640 * 400]
            .iter()
            .all(|byte| *byte == 9)
    );
}

#[test]
fn a_log_that_grows_takes_few_blocks_of_the_cache() {
    // As a file system writes it: what fills the last block, whole blocks, the beginning of the next one.
    let (_, cache) = cache(2048 * BLOCK_LEN, 128 * BLOCK_LEN);
    let mut buf = [0; BLOCK_LEN];
    for block in 0..40 {
        cache
            .read(block * BLOCK_LEN as u64, &mut buf)
            .expect("on the disk");
    }
    let used = || cache.state.lock().arena.len() / BLOCK_LEN;
    let before = used();
    let (mut at, end) = (50 * BLOCK_LEN + 100, 2000 * BLOCK_LEN);
    let mut rounds = 0;
    while at + 33_000 < end {
        for len in [
            BLOCK_LEN - at % BLOCK_LEN,
            7 * BLOCK_LEN,
            33_000 % BLOCK_LEN,
        ] {
            cache.write(at as u64, &vec![7; len]).expect("on the disk");
            at += len;
        }
        rounds += 1;
        if rounds % 20 == 0 {
            cache.flush().expect("works");
        }
    }
    assert!(rounds > 200);
    assert!(
        used() - before <= 128 / WAYS + 4,
        "{} blocks",
        used() - before
    );
    // What the program reads is still here.
    let misses = cache.counts().misses;
    for block in 0..40 {
        cache
            .read(block * BLOCK_LEN as u64, &mut buf)
            .expect("on the disk");
    }
    assert_eq!(cache.counts().misses, misses);
}

#[test]
fn a_log_of_small_lines_takes_no_new_memory_once_it_has_its_share() {
    let (disk, cache) = cache(4096 * BLOCK_LEN, 2048 * BLOCK_LEN);
    let mut buf = [0; 100];
    let read = 3000 * BLOCK_LEN as u64;
    cache.write(read, &[3; 100]).expect("on the disk");
    cache.read(read, &mut buf).expect("is here");
    let line = [b'l'; 100];
    let mut at = 0;
    let mut log = |blocks: usize| {
        let end = at + (blocks * BLOCK_LEN) as u64;
        while at < end {
            cache.write(at, &line).expect("on the disk");
            at += line.len() as u64;
            if at.is_multiple_of(line.len() as u64 * 500) {
                cache.flush().expect("works");
            }
        }
        cache.used_bytes()
    };
    let early = log(100);
    assert!(early <= 90 * BLOCK_LEN, "{early} bytes for 2048 blocks");
    assert_eq!(log(2000), early);
    cache.flush().expect("works");
    assert!(
        disk.content.lock()[..at as usize]
            .iter()
            .all(|byte| *byte == b'l')
    );
    // What was read since it was written is no log.
    let misses = cache.counts().misses;
    cache.read(read, &mut buf).expect("is here");
    assert_eq!((buf, cache.counts().misses), ([3; 100], misses));
}

#[test]
fn the_memory_of_a_cache_has_a_bound_whatever_is_read_and_written() {
    let capacity = 64 * BLOCK_LEN;
    let (_, cache) = cache(1000 * BLOCK_LEN, capacity);
    let mut buf = [0; BLOCK_LEN];
    for round in 0..5000u64 {
        let at = round * 7919 % 999 * BLOCK_LEN as u64;
        if round % 3 == 0 {
            cache.write(at, &buf[..100]).expect("on the disk");
        } else {
            cache.read(at, &mut buf).expect("on the disk");
        }
        assert!(cache.used_bytes() <= capacity);
    }
    let state = cache.state.lock();
    assert!(state.arena.len() * BLOCK_LEN <= capacity && state.written.len() <= 128);
}

#[test]
fn what_could_not_be_written_is_told_and_tried_again() {
    let (disk, cache) = cache(20 * BLOCK_LEN, 64 * BLOCK_LEN);
    cache.write(0, &[1; BLOCK_LEN]).expect("in the cache");
    cache
        .write(8 * BLOCK_LEN as u64, &[2; 10])
        .expect("in the cache");
    disk.is_broken.store(true, Ordering::Relaxed);
    assert_eq!(cache.flush(), Err(BlockError::Timeout));
    assert_eq!(cache.flush(), Err(BlockError::Timeout));
    let mut buf = [0; 10];
    cache.read(8 * BLOCK_LEN as u64, &mut buf).expect("is here");
    assert_eq!(buf, [2; 10]);
    disk.is_broken.store(false, Ordering::Relaxed);
    cache.flush().expect("works again");
    assert_eq!(disk.content.lock()[..BLOCK_LEN], [1; BLOCK_LEN]);
    assert_eq!(disk.content.lock()[8 * BLOCK_LEN..][..10], [2; 10]);
}

#[test]
fn a_disk_that_cannot_be_written_says_so_at_once() {
    let (disk, cache) = cache(20 * BLOCK_LEN, 64 * BLOCK_LEN);
    disk.is_read_only.store(true, Ordering::Relaxed);
    assert_eq!(cache.write(0, &[1; 10]), Err(BlockError::ReadOnly));
    cache.flush().expect("nothing to write");
}

#[test]
fn what_was_written_anywhere_in_a_large_cache_gets_to_the_disk() {
    let (disk, cache) = cache(2000 * BLOCK_LEN, 1024 * BLOCK_LEN);
    for round in 0..3u8 {
        let blocks = (usize::from(round)..2000).step_by(37);
        for block in blocks.clone() {
            let at = block * BLOCK_LEN + 5;
            cache.write(at as u64, &[round; 7]).expect("on the disk");
        }
        cache.flush().expect("a sound disk");
        let content = disk.content.lock();
        for block in blocks {
            assert_eq!(content[block * BLOCK_LEN + 5..][..7], [round; 7], "{block}");
        }
    }
    let commands = disk.writes.load(Ordering::Relaxed);
    cache.flush().expect("a sound disk");
    assert_eq!(disk.writes.load(Ordering::Relaxed), commands);
}
