//! What was read from a disk lately, in blocks of 4 KiB, with read-ahead.
//!
//! One cache a disk, over a [`BlockDriver`]; file systems come through [`super::disks::Volume`]. It is set-associative: a block can lie in
//! one of eight places, the least recently used of which it takes. So it is bounded, and a look-up costs the same at any size.
//! Writes go through to the disk at once.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::devices::block::{BlockDriver, BlockError};
use crate::scheduler::Turn;
use crate::sync::SpinLock;

/// Bytes in a cached block.
const BLOCK_LEN: usize = 4096;
const BLOCK_LEN_U64: u64 = BLOCK_LEN as u64;
const WAYS: usize = 8;
/// Most blocks that one command reads ahead, or reads into the caller's buffer.
const MAX_AHEAD: usize = 16;
const MAX_RUN: usize = 64;
/// The place in the arena of a way that was never used.
const NOWHERE: usize = usize::MAX;

/// A cache over a disk.
pub struct BlockCache {
    disk: Arc<dyn BlockDriver>,
    len_bytes: u64,
    state: SpinLock<State>,
    /// One writer at a time: to write a part of a block, the rest of it is read before.
    writing: Turn,
}

/// A place for a block.
#[derive(Clone, Copy)]
struct Way {
    block: u64,
    last_use: u64,
    /// Where its bytes are in the arena.
    start: usize,
    /// How many there are: 0 in a place that is empty, less than [`BLOCK_LEN`] for the end of a disk.
    len: usize,
}

struct State {
    sets: Vec<[Way; WAYS]>,
    /// The bytes of all blocks. Its memory is reserved at the start, in one piece, so that the cache does not scatter over the
    /// memory of programs, and filled from the front as blocks come.
    arena: Vec<u8>,
    /// Counts accesses; the smaller a way's number, the longer ago it was used.
    uses: u64,
    /// Counts writes: what was read before one must not be put in the cache after it.
    writes: u64,
    /// The block after the last one read, and how much to read ahead if that is the next: grows with the run.
    next: u64,
    ahead: usize,
}

impl State {
    fn way(&mut self, block: u64) -> Option<&mut Way> {
        let index = block as usize & (self.sets.len() - 1);
        self.sets[index]
            .iter_mut()
            .find(|way| way.block == block && way.len != 0)
    }

    fn find(&mut self, block: u64) -> Option<&[u8]> {
        self.uses += 1;
        let uses = self.uses;
        let way = self.way(block)?;
        way.last_use = uses;
        let (start, len) = (way.start, way.len);
        self.arena.get(start..start + len)
    }

    /// Puts a block in the place of the one of its set that was not used for longest.
    fn insert(&mut self, block: u64, data: &[u8]) {
        self.uses += 1;
        let index = block as usize & (self.sets.len() - 1);
        let ways = &mut self.sets[index];
        let same = ways
            .iter()
            .position(|way| way.block == block && way.len != 0);
        let oldest = || (0..WAYS).min_by_key(|&way| ways[way].last_use);
        let Some(place) = same.or_else(oldest) else {
            return;
        };
        let way = &mut ways[place];
        let data = &data[..data.len().min(BLOCK_LEN)];
        if way.start != NOWHERE {
            self.arena[way.start..way.start + data.len()].copy_from_slice(data);
        } else if self.arena.capacity() - self.arena.len() >= BLOCK_LEN {
            way.start = self.arena.len();
            self.arena.extend_from_slice(data);
            self.arena.resize(way.start + BLOCK_LEN, 0);
        } else {
            return;
        }
        *way = Way {
            block,
            last_use: self.uses,
            start: way.start,
            len: data.len(),
        };
    }

    fn forget(&mut self, block: u64) {
        if let Some(way) = self.way(block) {
            way.len = 0;
        }
    }
}

impl BlockCache {
    /// A cache of about `capacity_bytes`, at least eight blocks, over `disk`; smaller if there is no such memory in one piece.
    pub fn new(disk: Arc<dyn BlockDriver>, capacity_bytes: usize) -> Self {
        let mut set_count = 1 << (capacity_bytes / (WAYS * BLOCK_LEN)).max(1).ilog2();
        let mut arena = Vec::new();
        while arena
            .try_reserve_exact(set_count * WAYS * BLOCK_LEN)
            .is_err()
            && set_count > 1
        {
            set_count /= 2;
        }
        let empty = Way {
            block: 0,
            last_use: 0,
            start: NOWHERE,
            len: 0,
        };
        Self {
            len_bytes: disk
                .sector_count()
                .saturating_mul(disk.sector_len_bytes() as u64),
            disk,
            state: SpinLock::new(State {
                sets: alloc::vec![[empty; WAYS]; set_count],
                arena,
                uses: 0,
                writes: 0,
                next: u64::MAX,
                ahead: 0,
            }),
            writing: Turn::new(),
        }
    }

    /// The disk below.
    pub fn disk(&self) -> &Arc<dyn BlockDriver> {
        &self.disk
    }

    /// Bytes of the disk.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Fills `buf` from byte `offset` on.
    ///
    /// # Errors
    /// When the range is not on the disk, or the disk fails.
    pub fn read(&self, offset: u64, mut buf: &mut [u8]) -> Result<(), BlockError> {
        self.check(offset, buf.len())?;
        let mut at = offset;
        while !buf.is_empty() {
            let (block, within) = (at / BLOCK_LEN_U64, (at % BLOCK_LEN_U64) as usize);
            let len = if let Some(len) = self.copy_cached(block, within, buf) {
                len
            } else {
                match self.missing_run(block, within, buf.len()) {
                    0 | 1 => self.fill(block, within, buf)?,
                    run => self.read_run(block, &mut buf[..run * BLOCK_LEN])?,
                }
            };
            buf = &mut buf[len..];
            at += len as u64;
        }
        Ok(())
    }

    /// Writes `data` from byte `offset` on, to the disk.
    ///
    /// # Errors
    /// When the range is not on the disk, or the disk fails.
    pub fn write(&self, offset: u64, mut data: &[u8]) -> Result<(), BlockError> {
        self.check(offset, data.len())?;
        let _turn = self.writing.take();
        let mut at = offset;
        while !data.is_empty() {
            let (block, within) = (at / BLOCK_LEN_U64, (at % BLOCK_LEN_U64) as usize);
            let len = data.len().min(BLOCK_LEN - within);
            let mut content = alloc::vec![0; self.block_len(block)];
            if len < content.len() {
                self.read(block * BLOCK_LEN_U64, &mut content)?;
            }
            content[within..within + len].copy_from_slice(&data[..len]);
            self.state.lock().writes += 1;
            let written = self.disk.write(self.first_sector(block), &content);
            let mut state = self.state.lock();
            state.writes += 1;
            match written {
                Ok(()) => state.insert(block, &content),
                // Nobody knows what is on the disk now.
                Err(error) => {
                    state.forget(block);
                    return Err(error);
                }
            }
            data = &data[len..];
            at += len as u64;
        }
        Ok(())
    }

    /// Returns when all that was written is on the medium.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn flush(&self) -> Result<(), BlockError> {
        self.disk.flush()
    }

    fn check(&self, offset: u64, len: usize) -> Result<(), BlockError> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.len_bytes => Ok(()),
            _ => Err(BlockError::OutOfRange),
        }
    }

    fn first_sector(&self, block: u64) -> u64 {
        block * BLOCK_LEN_U64 / self.disk.sector_len_bytes() as u64
    }

    fn block_len(&self, block: u64) -> usize {
        let left = self
            .len_bytes
            .saturating_sub(block.saturating_mul(BLOCK_LEN_U64));
        left.min(BLOCK_LEN_U64) as usize
    }

    fn copy_cached(&self, block: u64, within: usize, buf: &mut [u8]) -> Option<usize> {
        let mut state = self.state.lock();
        let data = state.find(block)?.get(within..)?;
        let len = data.len().min(buf.len());
        buf[..len].copy_from_slice(&data[..len]);
        Some(len)
    }

    /// How many whole blocks from `block` on are wanted and not here.
    fn missing_run(&self, block: u64, within: usize, wanted: usize) -> usize {
        if within != 0 {
            return 0;
        }
        let mut state = self.state.lock();
        let whole = (wanted / BLOCK_LEN).min(MAX_RUN);
        (0..whole)
            .take_while(|i| state.way(block + *i as u64).is_none())
            .count()
    }

    /// Reads whole blocks straight into the caller's buffer, and keeps copies unless that would push out much of the rest.
    fn read_run(&self, block: u64, buf: &mut [u8]) -> Result<usize, BlockError> {
        let writes = self.state.lock().writes;
        self.disk.read(self.first_sector(block), buf)?;
        let mut state = self.state.lock();
        let count = buf.len() / BLOCK_LEN;
        state.next = block + count as u64;
        if state.writes == writes && count <= state.sets.len() * WAYS / 4 {
            for (index, data) in (block..).zip(buf.chunks_exact(BLOCK_LEN)) {
                state.insert(index, data);
            }
        }
        Ok(buf.len())
    }

    /// Reads a block that is missing, and the ones behind it if the reads are a sequence, into the cache.
    fn fill(&self, block: u64, within: usize, buf: &mut [u8]) -> Result<usize, BlockError> {
        let (writes, count) = {
            let mut state = self.state.lock();
            let most = MAX_AHEAD.min(state.sets.len() * WAYS / 4);
            state.ahead = if state.next == block {
                (2 * state.ahead + 1).min(most)
            } else {
                0
            };
            let last = self.len_bytes / BLOCK_LEN_U64;
            let ahead = (block + 1..last).take(state.ahead);
            let ahead = ahead.take_while(|next| state.way(*next).is_none()).count();
            state.next = block + 1 + ahead as u64;
            (state.writes, 1 + ahead)
        };
        let len = if count == 1 {
            self.block_len(block)
        } else {
            count * BLOCK_LEN
        };
        let mut data = alloc::vec![0; len];
        self.disk.read(self.first_sector(block), &mut data)?;
        let wanted = &data[within..data.len().min(BLOCK_LEN)];
        let copied = wanted.len().min(buf.len());
        buf[..copied].copy_from_slice(&wanted[..copied]);
        let mut state = self.state.lock();
        if state.writes == writes {
            for (index, data) in (block..).zip(data.chunks(BLOCK_LEN)) {
                state.insert(index, data);
            }
        }
        Ok(copied)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{BLOCK_LEN, BlockCache};
    use crate::devices::block::{BlockDriver, BlockError, check_range};
    use crate::sync::SpinLock;
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// A disk in memory that counts commands and can fail.
    pub(crate) struct MemoryDisk {
        pub(crate) content: SpinLock<Vec<u8>>,
        pub(crate) reads: AtomicUsize,
        pub(crate) is_broken: AtomicBool,
    }

    impl MemoryDisk {
        pub(crate) fn new(content: Vec<u8>) -> Arc<Self> {
            Arc::new(Self {
                content: SpinLock::new(content),
                reads: AtomicUsize::new(0),
                is_broken: AtomicBool::new(false),
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
        fn name(&self) -> &str {
            "memory"
        }
        fn sector_len_bytes(&self) -> usize {
            512
        }
        fn sector_count(&self) -> u64 {
            self.content.lock().len() as u64 / 512
        }
        fn read(&self, first: u64, buf: &mut [u8]) -> Result<(), BlockError> {
            self.check(first, buf.len())?;
            self.reads.fetch_add(1, Ordering::Relaxed);
            buf.copy_from_slice(&self.content.lock()[first as usize * 512..][..buf.len()]);
            Ok(())
        }
        fn write(&self, first: u64, buf: &[u8]) -> Result<(), BlockError> {
            self.check(first, buf.len())?;
            self.content.lock()[first as usize * 512..][..buf.len()].copy_from_slice(buf);
            Ok(())
        }
        fn flush(&self) -> Result<(), BlockError> {
            Ok(())
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
    fn a_write_is_on_the_disk_and_in_the_cache() {
        let (disk, cache) = cache(20 * BLOCK_LEN, 64 * BLOCK_LEN);
        let data = vec![0xEE; 3 * BLOCK_LEN];
        cache.write(5000, &data).expect("on the disk");
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
        assert_eq!(cache.write(100, &buf), Err(BlockError::Timeout));
        disk.is_broken.store(false, Ordering::Relaxed);
        cache.read(100, &mut buf).expect("works again");
        assert!(buf == content(20 * BLOCK_LEN)[100..][..buf.len()]);
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
}
