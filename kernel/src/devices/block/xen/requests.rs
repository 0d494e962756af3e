//! Requests of a disk as they lie on the ring: up to eleven pieces, each in a page. A slot's buffer is lent when it is first used, and for ever:
//! it has never held anything but this disk's data, and never will.

use alloc::collections::VecDeque;

use super::UNIT_BYTES;
use crate::devices::block::BlockError;
use crate::devices::block::exchange::{Controller, Kind, Request};
use crate::devices::block::slots::{Fault, MAX_DATA_BYTES, MAX_SLOTS};
use crate::devices::xen::grants::{PAGE_BYTES, Table};
use crate::devices::xen::ring::Ring;
use crate::memory::OutOfMemory;
use crate::sync::SpinLock;

/// Pieces of a request (`BLKIF_MAX_SEGMENTS_PER_REQUEST`).
const MAX_PIECES: usize = 11;
/// Most bytes of data in a request.
pub(super) const MAX_REQUEST_BYTES: usize = MAX_PIECES * PAGE_BYTES;
const PAGES_PER_SLOT: u32 = (MAX_DATA_BYTES / PAGE_BYTES) as u32;

// `struct blkif_request`.
const ENTRY_BYTES: usize = 112;
const OPERATION: usize = 0;
const PIECE_COUNT: usize = 1;
const HANDLE: usize = 2;
const ID: usize = 8;
const FIRST_UNIT: usize = 16;
const PIECES: usize = 24;
const PIECE_BYTES: usize = 8;
// `struct blkif_response`.
const OPERATION_AND_STATUS: usize = 8;

// Operations.
const READ: u8 = 0;
const WRITE: u8 = 1;
const BARRIER: u8 = 2;
const FLUSH: u8 = 3;

const STATUS_OK: u16 = 0;
/// The number -2.
const STATUS_UNSUPPORTED: u16 = 0xFFFE;

/// The ring of a disk.
pub(super) struct Requests {
    ring: Ring,
    table: &'static SpinLock<Table>,
    domain: u16,
    notify: fn(channel: u32),
    channel: u32,
    /// The first entry of the table for the buffers, which have some each.
    first_entry: u32,
    /// Where the buffer of each slot is that was lent.
    lent: [Option<u64>; MAX_SLOTS as usize],
    /// Slots whose request could not be made.
    refused: VecDeque<u16>,
    units_per_sector: u64,
    /// It flushes by a barrier.
    has_barrier: bool,
}

impl Requests {
    /// An empty ring.
    pub(super) fn new(
        table: &'static SpinLock<Table>,
        domain: u16,
        notify: fn(channel: u32),
        channel: u32,
    ) -> Result<Self, OutOfMemory> {
        let first_entry = table
            .lock()
            .reserve(u32::from(MAX_SLOTS) * PAGES_PER_SLOT)?;
        Ok(Self {
            ring: Ring::new(table, domain, ENTRY_BYTES)?,
            table,
            domain,
            notify,
            channel,
            first_entry,
            lent: [None; MAX_SLOTS as usize],
            refused: VecDeque::with_capacity(usize::from(MAX_SLOTS)),
            units_per_sector: 1,
            has_barrier: false,
        })
    }

    /// Takes note of what the other end says: how many units a sector has, and whether a barrier takes the place of a flush.
    pub(super) fn describe(&mut self, units_per_sector: usize, has_barrier: bool) {
        self.units_per_sector = units_per_sector as u64;
        self.has_barrier = has_barrier;
    }

    /// By what the other end knows the ring.
    pub(super) fn reference(&self) -> u32 {
        self.ring.reference()
    }

    /// Lends the buffer of a slot, if it was not lent so far; the entry of its first page. None for what is no slot's buffer.
    fn lend(&mut self, index: u16, phys: u64, request: &Request) -> Option<u32> {
        let first = self.first_entry + u32::from(index) * PAGES_PER_SLOT;
        let lent = self.lent.get_mut(usize::from(index))?;
        match *lent {
            Some(before) => return (before == phys).then_some(first),
            None => *lent = Some(phys),
        }
        // What was in this memory before is not for others; the data of the request is.
        let kept = match request.kind {
            Kind::Write => (request.len_bytes as usize).min(MAX_DATA_BYTES),
            _ => 0,
        };
        // SAFETY: a slot's buffer has so many bytes, at its physical address as all memory, and is this controller's from `send` on.
        unsafe { ((phys as *mut u8).add(kept)).write_bytes(0, MAX_DATA_BYTES - kept) };
        let mut table = self.table.lock();
        for page in 0..PAGES_PER_SLOT {
            let phys = phys + u64::from(page) * PAGE_BYTES as u64;
            table.lend(first + page, self.domain, phys, false);
        }
        Some(first)
    }

    /// Writes a request; whether there is room, and the buffer can be lent.
    fn write(&mut self, index: u16, phys: u64, request: &Request) -> bool {
        let len = request.len_bytes as usize;
        if self.ring.room() == 0 || len > MAX_REQUEST_BYTES {
            return false;
        }
        let Some(first_entry) = self.lend(index, phys, request) else {
            return false;
        };
        let operation = match request.kind {
            Kind::Read => READ,
            Kind::Write => WRITE,
            Kind::Flush if self.has_barrier => BARRIER,
            Kind::Flush => FLUSH,
        };
        let (_, at) = self.ring.next();
        let page = self.ring.page();
        let pieces = len.div_ceil(PAGE_BYTES);
        page.write(at + OPERATION, operation);
        page.write(at + PIECE_COUNT, pieces as u8);
        page.write(at + HANDLE, 0_u16);
        page.write(at + ID, u64::from(index));
        page.write(
            at + FIRST_UNIT,
            request.first_sector * self.units_per_sector,
        );
        for piece in 0..pieces {
            let units = (len - piece * PAGE_BYTES).min(PAGE_BYTES) / UNIT_BYTES;
            // The first unit of the page is 0; the last is part of it.
            let words = [first_entry + piece as u32, (units as u32 - 1) << 8];
            page.write(at + PIECES + piece * PIECE_BYTES, words);
        }
        self.ring.push();
        if self.ring.publish() {
            (self.notify)(self.channel);
        }
        true
    }
}

impl Controller for Requests {
    fn send(&mut self, index: u16, phys: u64, request: &Request) {
        if !self.write(index, phys, request) {
            self.refused.push_back(index);
        }
    }

    fn next_answer(&mut self) -> Option<(u16, Result<(), Fault>)> {
        if let Some(index) = self.refused.pop_front() {
            return Some((index, Err(Fault::Lasting(BlockError::Gone))));
        }
        if self.ring.waiting() == 0 && !self.ring.listen() {
            return None;
        }
        let (_, at) = self.ring.answer()?;
        let page = self.ring.page();
        let id: u64 = page.read(at);
        let words: u32 = page.read(at + OPERATION_AND_STATUS);
        let status = (words >> 16) as u16;
        self.ring.take();
        let error = BlockError::Device {
            status: status as u8,
            error: 0,
        };
        let answer = match status {
            STATUS_OK => Ok(()),
            STATUS_UNSUPPORTED => Err(Fault::Lasting(error)),
            _ => Err(Fault::Passing(error)),
        };
        Some((u16::try_from(id).unwrap_or(u16::MAX), answer))
    }

    /// There is nothing to take away: events are cleared for all who wait for them.
    fn acknowledge(&mut self) {}
}
