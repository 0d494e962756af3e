//! Disks that take SCSI commands, whatever carries them: the few commands that are needed (SCSI Primary Commands 4, SCSI Block Commands 3),
//! and what comes back.

use super::exchange::{Exchange, Interrupt, Kind, Request};
use super::queued::QueuedDisk;
use super::queues::Queues;
use super::slots::{Fault, MAX_DATA_BYTES};
use super::{BlockError, Name};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// An adapter that is not in use yet.
pub(super) trait Adapter {
    /// Does one of the first commands, with nothing else on its way; what came back, or `None` when it does not work.
    fn ask(&mut self, target: u32, cdb: &Cdb, len_bytes: u32) -> Option<&[u8]>;
}

/// Most bytes that are asked for by the first commands.
pub(super) const ANSWER_BYTES: usize = 256;

/// A command descriptor block, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cdb {
    pub(super) bytes: [u8; 16],
    pub(super) len: u8,
}

impl Cdb {
    fn new<const N: usize>(command: [u8; N]) -> Self {
        let mut bytes = [0; 16];
        bytes[..N].copy_from_slice(&command);
        Self {
            bytes,
            len: N as u8,
        }
    }

    /// INQUIRY: what is there?
    pub(super) fn inquiry(len: u8) -> Self {
        Self::new([0x12, 0, 0, 0, len, 0])
    }

    /// MODE SENSE (6) for all pages: only the header is of interest.
    pub(super) fn mode_sense(len: u8) -> Self {
        Self::new([0x1A, 0, 0x3F, 0, len, 0])
    }

    /// REPORT LUNS: which units are there?
    pub(super) fn units() -> Self {
        let [a, b, c, d] = (ANSWER_BYTES as u32).to_be_bytes();
        Self::new([0xA0, 0, 0, 0, 0, 0, a, b, c, d, 0, 0])
    }

    /// What a request is, as a command.
    pub(super) fn of(request: &Request) -> Self {
        let (first, sectors) = (request.first_sector, request.sectors as u16);
        match request.kind {
            Kind::Read => Self::transfer(false, first, sectors),
            Kind::Write => Self::transfer(true, first, sectors),
            Kind::Flush => Self::flush(),
        }
    }

    /// READ CAPACITY (10).
    pub(super) fn capacity() -> Self {
        Self::new([0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// READ CAPACITY (16), for disks that have more sectors than the other can say.
    pub(super) fn long_capacity(len: u8) -> Self {
        Self::new([0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, len, 0, 0])
    }

    /// SYNCHRONIZE CACHE (10) of all sectors.
    pub(super) fn flush() -> Self {
        Self::new([0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// READ or WRITE: of 10 bytes while the address fits, else of 16.
    pub(super) fn transfer(is_write: bool, first_sector: u64, sectors: u16) -> Self {
        let count = sectors.to_be_bytes();
        if let Ok(first) = u32::try_from(first_sector) {
            let [a, b, c, d] = first.to_be_bytes();
            let operation = if is_write { 0x2A } else { 0x28 };
            return Self::new([operation, 0, a, b, c, d, 0, count[0], count[1], 0]);
        }
        let a = first_sector.to_be_bytes();
        let operation = if is_write { 0x8A } else { 0x88 };
        Self::new([
            operation, 0, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], 0, 0, count[0], count[1],
            0, 0,
        ])
    }
}

/// Status: there is sense data that says what is wrong.
pub(super) const CHECK_CONDITION: u16 = 2;
/// Sense keys that another attempt does not change.
const ILLEGAL_REQUEST: u8 = 5;
const DATA_PROTECT: u8 = 7;

/// The sense key in sense data of fixed or descriptor format; 0 in others.
pub(super) fn sense_key(sense: [u8; 4]) -> u8 {
    match sense[0] & 0x7F {
        0x70 | 0x71 => sense[2] & 0xF,
        0x72 | 0x73 => sense[1] & 0xF,
        _ => 0,
    }
}

/// What becomes of a request that ended with this status and sense key.
pub(super) fn judge(status: u8, key: u8, is_flush: bool) -> Result<(), Fault> {
    let error = BlockError::Device { status, error: key };
    match key {
        // What has no cache need not know how to flush one.
        ILLEGAL_REQUEST if is_flush => Ok(()),
        ILLEGAL_REQUEST | DATA_PROTECT => Err(Fault::Lasting(error)),
        _ => Err(Fault::Passing(error)),
    }
}

/// The units in the answer to REPORT LUNS, whose numbers have 14 bits at most (SCSI Architecture Model 5, section 4.7).
pub(super) fn units(answer: &[u8]) -> Vec<u16> {
    let Some((head, entries)) = answer.split_first_chunk::<8>() else {
        return Vec::new();
    };
    let [a, b, c, d, ..] = *head;
    let count = u32::from_be_bytes([a, b, c, d]) as usize / 8;
    let number = |entry: &[u8]| u16::from(entry[0] & 0x3F) << 8 | u16::from(entry[1]);
    entries.chunks_exact(8).take(count).map(number).collect()
}

/// What a disk says of itself.
pub(super) struct Found {
    name: String,
    target: u32,
    sector_count: u64,
    sector_len_bytes: usize,
    is_read_only: bool,
}

/// The disk at a target, if there is one; `name` is what to call it.
pub(super) fn look_at(
    name: &dyn fmt::Display,
    adapter: &mut impl Adapter,
    target: u32,
) -> Option<Found> {
    const INQUIRY_BYTES: u8 = 36;
    const MODE_BYTES: u8 = 192;
    const LONG_CAPACITY_BYTES: u8 = 32;
    let inquiry = adapter.ask(
        target,
        &Cdb::inquiry(INQUIRY_BYTES),
        u32::from(INQUIRY_BYTES),
    )?;
    if !is_disk(inquiry) {
        return None;
    }
    let short = adapter.ask(target, &Cdb::capacity(), 8)?;
    let mut size = short.first_chunk().copied().and_then(capacity);
    if size.is_none() {
        let long = Cdb::long_capacity(LONG_CAPACITY_BYTES);
        let answer = adapter.ask(target, &long, u32::from(LONG_CAPACITY_BYTES));
        size = answer.and_then(|answer| long_capacity(*answer.first_chunk()?));
    }
    let Some((sector_count, sector_len_bytes)) = size else {
        log::warn!("{name}: a disk of impossible size is not used");
        return None;
    };
    let mode = adapter.ask(target, &Cdb::mode_sense(MODE_BYTES), u32::from(MODE_BYTES));
    // The third byte of the header is of the device's own, for disks: bit 7, write protected.
    let is_read_only = mode.is_some_and(|mode| mode.get(2).is_some_and(|byte| byte & 0x80 != 0));
    Some(Found {
        name: name.to_string(),
        target,
        sector_count,
        sector_len_bytes,
        is_read_only,
    })
}

impl Found {
    /// The disk, by the way to its adapter.
    pub(super) fn disk(
        self,
        exchange: &'static Exchange,
        interrupt: Option<&'static Interrupt>,
    ) -> QueuedDisk {
        QueuedDisk {
            name: Name::Told(self.name),
            sector_len_bytes: self.sector_len_bytes,
            sector_count: self.sector_count,
            is_read_only: self.is_read_only,
            has_flush: true,
            max_bytes: MAX_DATA_BYTES,
            target: self.target,
            queues: Queues::one(exchange, interrupt),
        }
    }
}

const _: () = assert!(ANSWER_BYTES >= 192);

/// Whether INQUIRY says that there is a disk.
fn is_disk(inquiry: &[u8]) -> bool {
    inquiry.first() == Some(&0)
}

/// Sectors and their length, from READ CAPACITY (10); `None` where they cannot be, or the long form must be asked.
fn capacity(answer: [u8; 8]) -> Option<(u64, usize)> {
    let [a, b, c, d, rest @ ..] = answer;
    let last = u32::from_be_bytes([a, b, c, d]);
    (last != u32::MAX).then_some(())?;
    sane(u64::from(last), u32::from_be_bytes(rest))
}

/// The same, from READ CAPACITY (16).
fn long_capacity(answer: [u8; 12]) -> Option<(u64, usize)> {
    let [a, b, c, d, e, f, g, h, rest @ ..] = answer;
    let last = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    sane(last, u32::from_be_bytes(rest))
}

fn sane(last: u64, sector_len: u32) -> Option<(u64, usize)> {
    let count = last.checked_add(1)?;
    let is_known = sector_len.is_power_of_two() && (512..=4096).contains(&sector_len);
    count.checked_mul(u64::from(sector_len))?;
    is_known.then_some((count, sector_len as usize))
}

#[cfg(test)]
mod tests {
    use super::{Cdb, capacity, long_capacity, sense_key, units};

    #[test]
    fn addresses_beyond_32_bits_take_the_long_command() {
        let short = Cdb::transfer(false, 0x0102_0304, 0x0506);
        assert_eq!(short.bytes[..10], [0x28, 0, 1, 2, 3, 4, 0, 5, 6, 0]);
        assert_eq!(short.len, 10);
        let long = Cdb::transfer(true, 0x01_0203_0405, 6);
        let bytes = [0x8A, 0, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0, 6, 0, 0];
        assert_eq!((long.bytes, long.len), (bytes, 16));
    }

    #[test]
    fn capacities_that_cannot_be_are_refused() {
        assert_eq!(capacity([0, 0, 0, 9, 0, 0, 2, 0]), Some((10, 512)));
        assert_eq!(capacity([0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 2, 0]), None);
        for len in [[0; 4], [0, 0, 1, 0], [0, 0, 2, 1], [0, 0, 32, 0]] {
            let [a, b, c, d] = len;
            assert_eq!(capacity([0, 0, 0, 9, a, b, c, d]), None);
        }
        let mut long = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 16, 0];
        assert_eq!(long_capacity(long), Some(((1 << 32) + 1, 4096)));
        long[..8].fill(0xFF);
        assert_eq!(long_capacity(long), None);
        long[0] = 0x7F;
        assert_eq!(long_capacity(long), None);
    }

    #[test]
    fn sense_keys_are_found_in_both_formats() {
        assert_eq!(sense_key([0x70, 0, 0x23, 0]), 3);
        assert_eq!(sense_key([0x72, 5, 0x23, 0]), 5);
        assert_eq!(sense_key([0; 4]), 0);
    }

    #[test]
    fn units_are_as_many_as_are_told_and_have_come() {
        let mut answer = vec![0; 8 + 8 * 3];
        answer[3] = 16;
        answer[9] = 5;
        answer[16..18].copy_from_slice(&[0x41, 2]);
        assert_eq!(units(&answer), [5, 0x102]);
        answer[..4].fill(0xFF);
        assert_eq!(units(&answer), [5, 0x102, 0]);
        assert_eq!(units(&answer[..7]), [0; 0]);
    }
}
