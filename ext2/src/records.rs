//! The chain of records in one block of a directory, for those who change it.
//!
//! "Directory Structure": a record is a header and room for a name; its length leads to the next one,
//! and the last one ends with the block. Inode 0 marks a record that is free.

use crate::bytes::put;
use crate::layout::DIR_ENTRY_HEADER_LEN;

/// Where a record lies, and what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) offset: usize,
    pub(crate) len: usize,
    /// 0 if the record is free.
    pub(crate) inode: u32,
    pub(crate) name_len: usize,
}

impl Record {
    /// What of it is in use.
    pub(crate) fn used(&self) -> usize {
        if self.inode == 0 {
            0
        } else {
            needed(self.name_len)
        }
    }

    /// The name, in the block the record was found in.
    pub(crate) fn name<'a>(&self, block: &'a [u8]) -> &'a [u8] {
        let start = self.offset.saturating_add(DIR_ENTRY_HEADER_LEN);
        block
            .get(start..start.saturating_add(self.name_len))
            .unwrap_or_default()
    }
}

/// A name that is looked for among many. Names of one length mostly differ at the end, so that is compared first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sought<'a> {
    name: &'a [u8],
    end: u64,
}

impl<'a> Sought<'a> {
    pub(crate) fn new(name: &'a [u8]) -> Self {
        let end = end(name);
        Self { name, end }
    }

    /// Is it this one?
    #[inline]
    pub(crate) fn is(&self, other: &[u8]) -> bool {
        end(other) == self.end && other == self.name
    }
}

/// The last bytes of a name as a number.
#[inline]
fn end(name: &[u8]) -> u64 {
    match (name.last_chunk(), name.last_chunk()) {
        (Some(last_8), _) => u64::from_le_bytes(*last_8),
        (None, Some(last_4)) => u32::from_le_bytes(*last_4).into(),
        (None, None) => 0,
    }
}

/// Bytes of a record for a name.
pub(crate) fn needed(name_len: usize) -> usize {
    DIR_ENTRY_HEADER_LEN
        .saturating_add(name_len)
        .next_multiple_of(4)
}

/// The records of a block, in order. One that cannot be ends it with its offset as the error.
pub(crate) fn records(block: &[u8]) -> impl Iterator<Item = Result<Record, usize>> + '_ {
    records_from(block, 0)
}

/// The records of a block from an offset on, at which one must begin.
pub(crate) fn records_from(
    block: &[u8],
    offset: usize,
) -> impl Iterator<Item = Result<Record, usize>> + '_ {
    let mut tail = block.get(offset..).unwrap_or_default();
    core::iter::from_fn(move || {
        if tail.is_empty() {
            return None;
        }
        let offset = block.len().saturating_sub(tail.len());
        let record = tail.first_chunk().map(|header: &[u8; 8]| {
            let [a, b, c, d, low, high, name_len, _] = *header;
            Record {
                offset,
                len: usize::from(u16::from_le_bytes([low, high])),
                inode: u32::from_le_bytes([a, b, c, d]),
                name_len: usize::from(name_len),
            }
        });
        let sound = record.filter(|record| {
            record.len >= 12 && record.len & 3 == 0 && record.used() <= record.len
        });
        let rest = sound.and_then(|record| tail.get(record.len..));
        tail = rest.unwrap_or_default();
        Some(match (sound, rest) {
            (Some(record), Some(_)) => Ok(record),
            _ => Err(offset),
        })
    })
}

/// Sets the inode of the record at an offset; 0 frees it.
pub(crate) fn set_inode(block: &mut [u8], offset: usize, inode: u32) {
    put(block, offset, &inode.to_le_bytes());
}

/// Sets the length of the record at an offset.
pub(crate) fn set_len(block: &mut [u8], offset: usize, len: usize) {
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    put(block, offset.saturating_add(4), &len.to_le_bytes());
}

/// Writes a record whole.
pub(crate) fn write(block: &mut [u8], record: &Record, file_type: u8, name: &[u8]) {
    set_inode(block, record.offset, record.inode);
    set_len(block, record.offset, record.len);
    let name_len = u8::try_from(name.len()).unwrap_or(u8::MAX);
    put(
        block,
        record.offset.saturating_add(6),
        &[name_len, file_type],
    );
    put(
        block,
        record.offset.saturating_add(DIR_ENTRY_HEADER_LEN),
        name,
    );
}

/// Lets every record reach over the free ones behind it. Each change is to the length of one record,
/// and right whether or not the others are on the disk.
pub(crate) fn coalesce(block: &mut [u8]) {
    let mut before: Option<Record> = None;
    let mut offset = 0;
    loop {
        let next = records(block.get(offset..).unwrap_or_default()).next();
        let Some(Ok(record)) = next else {
            return;
        };
        let end = offset.saturating_add(record.len);
        match &mut before {
            Some(before) if record.inode == 0 => {
                before.len = before.len.saturating_add(record.len);
                set_len(block, before.offset, before.len);
            }
            _ => before = Some(Record { offset, ..record }),
        }
        offset = end;
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, coalesce, records, set_inode, set_len, write};
    use alloc::vec;
    use alloc::vec::Vec;

    fn block() -> Vec<u8> {
        let mut block = vec![0; 64];
        for (offset, len, inode) in [(0, 12, 5), (12, 16, 6), (28, 12, 7), (40, 24, 8)] {
            let record = Record {
                offset,
                len,
                inode,
                name_len: 0,
            };
            write(&mut block, &record, 1, b"abc");
        }
        block
    }

    fn lens(block: &[u8]) -> Vec<(usize, u32)> {
        records(block)
            .map(|record| record.map_or((0, 0), |record| (record.len, record.inode)))
            .collect()
    }

    #[test]
    fn free_records_join_the_one_before() {
        let mut block = block();
        set_inode(&mut block, 12, 0);
        set_inode(&mut block, 28, 0);
        coalesce(&mut block);
        assert_eq!(lens(&block), [(40, 5), (24, 8)]);
        set_inode(&mut block, 0, 0);
        set_inode(&mut block, 40, 0);
        coalesce(&mut block);
        assert_eq!(lens(&block), [(64, 0)]);
    }

    #[test]
    fn a_chain_that_leads_out_of_the_block_ends_with_an_error() {
        for len in [0, 8, 13, 28, 1000] {
            let mut block = block();
            set_len(&mut block, 40, len);
            assert_eq!(records(&block).last(), Some(Err(40)), "{len}");
        }
    }
}
