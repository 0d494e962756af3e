//! What was read from a disk lately, and what is to be written to it, in blocks of 4 KiB.
//!
//! One cache a disk, over a [`BlockDriver`]; file systems come through [`super::disks::Volume`]. It is set-associative: a block can lie in
//! one of eight places, the least recently used of which it takes. So it is bounded, and a look-up costs the same at any size.
//! What was only ever written gives way to what is written next: a log that grows for ever takes a few blocks ([`WRITTEN_SHARE`]), not the
//! whole cache, and no new memory once it has those.
//!
//! Reads that follow each other read ahead. What is large goes between the disk and the caller's buffer. Small writes stay here until
//! [`BlockCache::flush`], or until there are too many of them; between two flushes they get to the disk in any order, so whoever needs an order flushes.
//! A block that could not be written stays, and is tried again by the next flush, which says so if it fails: no write is lost without a word.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::devices::block::{BlockDriver, BlockError};
use crate::scheduler::Turn;
use crate::sync::SpinLock;

mod arena;

use arena::Arena;

/// Bytes in a cached block.
const BLOCK_LEN: usize = 4096;
const BLOCK_LEN_U64: u64 = BLOCK_LEN as u64;
const WAYS: usize = 8;
/// Most blocks that one command reads ahead, or reads into the caller's buffer, or writes from here.
const MAX_AHEAD: usize = 16;
const MAX_RUN: usize = 64;
/// From how many whole blocks on a write goes to the disk at once.
const DIRECT_RUN: usize = 4;
/// Which part of the cache blocks take that were written, are on the disk, and were never read; and how many there can be in any case.
const WRITTEN_SHARE: usize = 32;
const WRITTEN_MIN: usize = 16;
/// Of those, how many go at most when one comes.
const LEAVE_AT_ONCE: usize = 4;

/// A cache over a disk.
pub struct BlockCache {
    disk: Arc<dyn BlockDriver>,
    len_bytes: u64,
    state: SpinLock<State>,
    /// One writer at a time: to write a part of a block, the rest of it is read before.
    writing: Turn,
}

/// How useful the cache was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks that were here when they were read.
    pub hits: u64,
    /// Blocks that came from the disk.
    pub misses: u64,
    /// Blocks that were written here.
    pub written: u64,
    /// Commands that wrote to the disk.
    pub write_commands: u64,
}

/// A block that is here.
struct Way {
    block: u64,
    last_use: u64,
    /// The block of the arena that has its bytes.
    place: usize,
    /// How many there are: less than [`BLOCK_LEN`] for the end of a disk.
    len: usize,
    /// Whether it differs from the disk.
    is_dirty: bool,
    /// Whether it was written, and not read since it came.
    is_unread: bool,
}

struct State {
    /// Each of at most [`WAYS`].
    sets: Vec<Vec<Way>>,
    /// The bytes of all blocks.
    arena: Arena,
    /// Blocks of the arena that nothing has any more.
    idle: Vec<usize>,
    /// Blocks that came by being written, the oldest first; some of them may be gone or were read since.
    written: VecDeque<u64>,
    /// Counts accesses; the smaller a way's number, the longer ago it was used.
    uses: u64,
    /// Counts writes: what was read before one must not be put in the cache after it.
    writes: u64,
    /// How many ways are dirty, and in which sets there are some, or were: a bit for each.
    dirty: usize,
    dirty_sets: Vec<u64>,
    /// The block after the last one read, and how much to read ahead if that is the next: grows with the run.
    next: u64,
    ahead: usize,
    counts: Counts,
}

impl State {
    fn set_of(&self, block: u64) -> usize {
        block as usize & (self.sets.len() - 1)
    }

    /// Notes that the way of a block has become dirty.
    fn note_dirty(&mut self, block: u64) {
        let set = self.set_of(block);
        self.dirty_sets[set / 64] |= 1 << (set % 64);
        self.dirty += 1;
    }

    /// The dirty blocks, in ascending order: all of them, or as many as there is memory for.
    fn dirty_blocks(&mut self) -> Vec<u64> {
        let mut blocks = Vec::new();
        let mut room = self.dirty;
        while room > 1 && blocks.try_reserve_exact(room).is_err() {
            room /= 2;
        }
        for (index, word) in self.dirty_sets.iter_mut().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                let ways = &self.sets[index * 64 + bit as usize];
                let mut dirty = ways.iter().filter(|way| way.is_dirty).peekable();
                if dirty.peek().is_none() {
                    *word &= !(1 << bit);
                }
                blocks.extend(dirty.map(|way| way.block).take(room - blocks.len()));
            }
        }
        blocks.sort_unstable();
        blocks
    }

    fn way(&mut self, block: u64) -> Option<&mut Way> {
        let index = self.set_of(block);
        self.sets[index].iter_mut().find(|way| way.block == block)
    }

    fn find(&mut self, block: u64) -> Option<&[u8]> {
        self.uses += 1;
        let uses = self.uses;
        let way = self.way(block)?;
        way.last_use = uses;
        way.is_unread = false;
        let (place, len) = (way.place, way.len);
        self.arena.block(place).get(..len)
    }

    /// Puts a block in its place, or one that is new, or that of the one of its set that was not used for longest and is on the disk; one
    /// that is written, if it can, in that of another that was only written. There may be none.
    fn insert(&mut self, block: u64, data: &[u8], is_written: bool) -> Option<&mut Way> {
        self.uses += 1;
        let index = self.set_of(block);
        let ways = &self.sets[index];
        let same = ways.iter().position(|way| way.block == block);
        let clean = (0..ways.len()).filter(|&way| !ways[way].is_dirty);
        let oldest = clean.min_by_key(|&way| {
            let way = &ways[way];
            (!(is_written && way.is_unread), way.last_use)
        });
        let alike = oldest.filter(|&way| is_written && ways[way].is_unread);
        let way = match same.or(alike) {
            Some(way) => way,
            None => self.add_way(index).or(oldest)?,
        };
        let way = &mut self.sets[index][way];
        let data = &data[..data.len().min(BLOCK_LEN)];
        self.arena.block(way.place)[..data.len()].copy_from_slice(data);
        self.dirty -= usize::from(way.is_dirty);
        *way = Way {
            block,
            last_use: self.uses,
            place: way.place,
            len: data.len(),
            is_dirty: false,
            is_unread: is_written && (same.is_none() || way.is_unread),
        };
        Some(way)
    }

    /// One way more in a set, of no block yet, if it has not all and there is memory.
    fn add_way(&mut self, set: usize) -> Option<usize> {
        let ways = &mut self.sets[set];
        let count = ways.len();
        if count == WAYS || ways.try_reserve(1).is_err() {
            return None;
        }
        let place = self.idle.pop().or_else(|| self.arena.grow())?;
        ways.push(Way {
            block: u64::MAX,
            last_use: 0,
            place,
            len: 0,
            is_dirty: false,
            is_unread: false,
        });
        Some(count)
    }

    /// Lets go of a block.
    fn remove(&mut self, block: u64) {
        let set = self.set_of(block);
        let ways = &mut self.sets[set];
        if let Some(index) = ways.iter().position(|way| way.block == block) {
            let way = ways.swap_remove(index);
            self.dirty -= usize::from(way.is_dirty);
            // Without memory for the note, its place is lost.
            if self.idle.try_reserve(1).is_ok() {
                self.idle.push(way.place);
            }
        }
    }

    /// Notes that a block came by being written, and lets the oldest of its kind go where there are many.
    fn note_written(&mut self, block: u64) {
        let most = (self.sets.len() * WAYS / WRITTEN_SHARE).max(WRITTEN_MIN);
        for _ in 0..LEAVE_AT_ONCE {
            if self.written.len() < most {
                break;
            }
            let Some(oldest) = self.written.front().copied() else {
                break;
            };
            match self.way(oldest) {
                Some(way) if way.is_unread && way.is_dirty => break,
                Some(way) if way.is_unread => self.remove(oldest),
                _ => {}
            }
            self.written.pop_front();
        }
        self.written.push_back(block);
    }

    /// Writes to a block that is here; `data` reaches not beyond it. Whether it was here.
    fn overwrite(&mut self, block: u64, within: usize, data: &[u8]) -> bool {
        self.uses += 1;
        let uses = self.uses;
        let Some(way) = self.way(block) else {
            return false;
        };
        way.last_use = uses;
        let place = way.place;
        let is_new = !core::mem::replace(&mut way.is_dirty, true);
        self.arena.block(place)[within..within + data.len()].copy_from_slice(data);
        self.writes += 1;
        if is_new {
            self.note_dirty(block);
        }
        true
    }
}

impl BlockCache {
    /// A cache of about `capacity_bytes`, at least eight blocks, over `disk`; smaller while there is no such memory.
    pub fn new(disk: Arc<dyn BlockDriver>, capacity_bytes: usize) -> Self {
        let set_count = 1 << (capacity_bytes / (WAYS * BLOCK_LEN)).max(1).ilog2();
        Self {
            len_bytes: disk
                .sector_count()
                .saturating_mul(disk.sector_len_bytes() as u64),
            disk,
            state: SpinLock::new(State {
                sets: (0..set_count).map(|_| Vec::new()).collect(),
                arena: Arena::new(set_count * WAYS),
                idle: Vec::new(),
                written: VecDeque::new(),
                uses: 0,
                writes: 0,
                dirty: 0,
                dirty_sets: alloc::vec![0; set_count.div_ceil(64)],
                // Who mounts a disk reads what lies at its start, piece by piece.
                next: 0,
                ahead: MAX_AHEAD / 2 - 1,
                counts: Counts::default(),
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

    /// Bytes of memory that it has used for blocks so far: at most its capacity.
    pub fn used_bytes(&self) -> usize {
        self.state.lock().arena.len() * BLOCK_LEN
    }

    /// How useful it was so far.
    pub fn counts(&self) -> Counts {
        self.state.lock().counts
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

    /// Writes `data` from byte `offset` on: large pieces to the disk, small ones here, until [`BlockCache::flush`].
    ///
    /// # Errors
    /// When the range is not on the disk, or the disk fails or cannot be written.
    pub fn write(&self, offset: u64, mut data: &[u8]) -> Result<(), BlockError> {
        self.check(offset, data.len())?;
        if self.disk.is_read_only() {
            return Err(BlockError::ReadOnly);
        }
        let _turn = self.writing.take();
        let mut at = offset;
        while !data.is_empty() {
            let (block, within) = (at / BLOCK_LEN_U64, (at % BLOCK_LEN_U64) as usize);
            let whole = if within == 0 {
                data.len() / BLOCK_LEN
            } else {
                0
            };
            let len = if whole >= DIRECT_RUN {
                let len = whole.min(MAX_RUN) * BLOCK_LEN;
                self.finish_before(block);
                self.write_run(block, &data[..len])?;
                len
            } else {
                let len = data.len().min(BLOCK_LEN - within);
                self.write_block(block, within, &data[..len])?;
                len
            };
            data = &data[len..];
            at += len as u64;
        }
        Ok(())
    }

    /// Returns when all that was written is on the medium.
    ///
    /// # Errors
    /// When the disk fails. What is not yet on it stays here for the next flush.
    pub fn flush(&self) -> Result<(), BlockError> {
        {
            let _turn = self.writing.take();
            self.write_dirty()?;
        }
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
        state.counts.hits += 1;
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
        state.counts.misses += count as u64;
        if state.writes == writes && count <= state.sets.len() * WAYS / 4 {
            for (index, data) in (block..).zip(buf.chunks_exact(BLOCK_LEN)) {
                state.insert(index, data, false);
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
        // Ahead only where there is memory for it.
        let mut data = Vec::new();
        if data.try_reserve_exact(len).is_ok() {
            data.resize(len, 0);
        } else {
            data.resize(self.block_len(block), 0);
        }
        if self.disk.read(self.first_sector(block), &mut data).is_err() {
            return self.read_sectors(block, within, buf);
        }
        let wanted = &data[within..data.len().min(BLOCK_LEN)];
        let copied = wanted.len().min(buf.len());
        buf[..copied].copy_from_slice(&wanted[..copied]);
        let mut state = self.state.lock();
        state.counts.misses += 1;
        if state.writes == writes {
            for (index, data) in (block..).zip(data.chunks(BLOCK_LEN)) {
                state.insert(index, data, false);
            }
        }
        Ok(copied)
    }

    /// Reads what is wanted of a block and no sector more, past the cache: what lies beside a bad sector can be read all the same.
    fn read_sectors(&self, block: u64, within: usize, buf: &mut [u8]) -> Result<usize, BlockError> {
        let sector_len = self.disk.sector_len_bytes();
        let end = self.block_len(block).min(within.saturating_add(buf.len()));
        let first = within / sector_len;
        let mut data = alloc::vec![0; end.next_multiple_of(sector_len) - first * sector_len];
        let sector = self.first_sector(block) + first as u64;
        self.disk.read(sector, &mut data)?;
        let wanted = &data[within - first * sector_len..][..end - within];
        buf[..wanted.len()].copy_from_slice(wanted);
        self.state.lock().counts.misses += 1;
        Ok(wanted.len())
    }

    /// Writes a part of a block, or all of it, into the cache. The caller has the turn.
    fn write_block(&self, block: u64, within: usize, data: &[u8]) -> Result<(), BlockError> {
        let block_len = self.block_len(block);
        {
            let mut state = self.state.lock();
            state.counts.written += 1;
            if state.overwrite(block, within, data) {
                return Ok(());
            }
        }
        let mut content = alloc::vec![0; block_len];
        if data.len() < block_len
            && let Err(error) = self.disk.read(self.first_sector(block), &mut content)
        {
            // Whole sectors need nothing of those beside them; and to be written is what mends a bad one.
            let sector_len = self.disk.sector_len_bytes();
            if !within.is_multiple_of(sector_len) || !data.len().is_multiple_of(sector_len) {
                return Err(error);
            }
            let sector = self.first_sector(block) + (within / sector_len) as u64;
            self.state.lock().writes += 1;
            let written = self.disk.write(sector, data);
            self.state.lock().writes += 1;
            return written;
        }
        content[within..within + data.len()].copy_from_slice(data);
        for _ in 0..2 {
            let is_full = {
                let mut state = self.state.lock();
                let limit = state.sets.len() * WAYS / 2;
                state.writes += 1;
                if let Some(way) = state.insert(block, &content, true) {
                    way.is_dirty = true;
                    state.note_dirty(block);
                    state.note_written(block);
                    if state.dirty <= limit {
                        return Ok(());
                    }
                }
                state.dirty > 0
            };
            if !is_full {
                break;
            }
            // This block may be among them; if so it is in the cache, and clean, afterwards.
            self.write_dirty()?;
            if self.state.lock().way(block).is_some() {
                return Ok(());
            }
        }
        // The cache has no memory.
        self.write_run(block, &content)
    }

    /// Writes whole blocks to the disk. The caller has the turn.
    fn write_run(&self, block: u64, data: &[u8]) -> Result<(), BlockError> {
        self.state.lock().writes += 1;
        let written = self.disk.write(self.first_sector(block), data);
        let mut state = self.state.lock();
        state.writes += 1;
        state.counts.write_commands += 1;
        for (index, data) in (block..).zip(data.chunks(BLOCK_LEN)) {
            match written {
                Ok(()) if state.way(index).is_some() => {
                    state.insert(index, data, true);
                }
                Ok(()) => {}
                // Nobody knows what is on the disk now.
                Err(_) => state.remove(index),
            }
        }
        written
    }

    /// Writes to the disk what differs from it, neighbours at once. The caller has the turn, so nothing changes meanwhile.
    fn write_dirty(&self) -> Result<(), BlockError> {
        loop {
            let (blocks, all) = {
                let mut state = self.state.lock();
                if state.dirty == 0 {
                    return Ok(());
                }
                (state.dirty_blocks(), state.dirty)
            };
            let mut result = Ok(());
            let mut rest = &blocks[..];
            let mut row = Vec::new();
            while let Some(&first) = rest.first() {
                let mut count = rest
                    .iter()
                    .zip(first..)
                    .take(MAX_RUN)
                    .take_while(|(block, next)| **block == *next)
                    .count();
                row.clear();
                while count > 1 && row.try_reserve(count * BLOCK_LEN).is_err() {
                    count /= 2;
                }
                result = result.and(self.write_row(first, count, &mut row));
                rest = &rest[count..];
            }
            if result.is_err() || blocks.len() == all {
                return result;
            }
        }
    }

    /// Writes neighbours, all of them dirty, to the disk. `row` is for their bytes.
    fn write_row(&self, first: u64, count: usize, row: &mut Vec<u8>) -> Result<(), BlockError> {
        let blocks = || (first..).take(count);
        row.clear();
        let mut state = self.state.lock();
        for block in blocks() {
            if let Some(&mut Way { place, len, .. }) = state.way(block) {
                row.extend_from_slice(&state.arena.block(place)[..len]);
            }
        }
        drop(state);
        let written = self.disk.write(self.first_sector(first), row);
        let mut state = self.state.lock();
        state.counts.write_commands += 1;
        for block in blocks() {
            if written.is_ok()
                && let Some(way) = state.way(block)
            {
                way.is_dirty = false;
                state.dirty -= 1;
            }
        }
        written
    }

    /// Writes the block before one from which on much is written, if it is dirty: what grows has been through with it.
    fn finish_before(&self, block: u64) {
        let Some(before) = block.checked_sub(1) else {
            return;
        };
        let is_dirty = self
            .state
            .lock()
            .way(before)
            .is_some_and(|way| way.is_dirty);
        if is_dirty {
            // If that fails it stays dirty, and the flush says so.
            let _ = self.write_row(before, 1, &mut Vec::new());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
