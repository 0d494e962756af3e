//! The few SCSI commands that a disk needs (SCSI Primary Commands 4, SCSI Block Commands 3), and what comes back.

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
pub(super) const ILLEGAL_REQUEST: u8 = 5;
pub(super) const DATA_PROTECT: u8 = 7;

/// The sense key in sense data of fixed or descriptor format; 0 in others.
pub(super) fn sense_key(sense: [u8; 4]) -> u8 {
    match sense[0] & 0x7F {
        0x70 | 0x71 => sense[2] & 0xF,
        0x72 | 0x73 => sense[1] & 0xF,
        _ => 0,
    }
}

/// Whether INQUIRY says that there is a disk.
pub(super) fn is_disk(inquiry: &[u8]) -> bool {
    inquiry.first() == Some(&0)
}

/// Sectors and their length, from READ CAPACITY (10); `None` where they cannot be, or the long form must be asked.
pub(super) fn capacity(answer: [u8; 8]) -> Option<(u64, usize)> {
    let [a, b, c, d, rest @ ..] = answer;
    let last = u32::from_be_bytes([a, b, c, d]);
    (last != u32::MAX).then_some(())?;
    sane(u64::from(last), u32::from_be_bytes(rest))
}

/// The same, from READ CAPACITY (16).
pub(super) fn long_capacity(answer: [u8; 12]) -> Option<(u64, usize)> {
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
    use super::{Cdb, capacity, long_capacity, sense_key};

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
}
