//! The content of a directory, as it lies on the disk.
//!
//! "Directory Structure", linked entry lists: an entry does not cross the end of a block, and the
//! last one of a block reaches to its end.

use alloc::vec::Vec;

use zerocopy::IntoBytes;

use crate::FileType;
use crate::layout::{DIR_ENTRY_HEADER_LEN, DirEntryHeader};

/// Puts entries one after the other into blocks.
pub(super) struct Entries {
    block_size: usize,
    has_types: bool,
    bytes: Vec<u8>,
    /// Where the last entry begins.
    last: usize,
}

impl Entries {
    pub(super) fn new(block_size: u32, has_types: bool) -> Self {
        Self {
            block_size: block_size as usize,
            has_types,
            bytes: Vec::new(),
            last: 0,
        }
    }

    /// Appends an entry.
    pub(super) fn push(&mut self, name: &[u8], inode: u32, file_type: FileType) {
        let len = DIR_ENTRY_HEADER_LEN
            .saturating_add(name.len())
            .next_multiple_of(4);
        let used = self.bytes.len().checked_rem(self.block_size).unwrap_or(0);
        if used != 0 && used.saturating_add(len) > self.block_size {
            self.end_block();
        }
        self.last = self.bytes.len();
        let header = DirEntryHeader {
            inode: inode.into(),
            record_len: u16::try_from(len).unwrap_or(u16::MAX).into(),
            name_len: u8::try_from(name.len()).unwrap_or(u8::MAX),
            file_type: if self.has_types {
                file_type.entry_number()
            } else {
                0
            },
        };
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name);
        self.bytes.resize(self.last.saturating_add(len), 0);
    }

    /// Fills up the block, makes it at least `len` bytes with blocks of one unused entry each, and
    /// returns the content.
    pub(super) fn finish(mut self, len: usize) -> Vec<u8> {
        self.end_block();
        while self.bytes.len() < len {
            self.last = self.bytes.len();
            self.bytes
                .resize(self.last.saturating_add(DIR_ENTRY_HEADER_LEN), 0);
            self.end_block();
        }
        self.bytes
    }

    /// Lets the last entry reach to the end of its block.
    fn end_block(&mut self) {
        let end = self.bytes.len().next_multiple_of(self.block_size);
        self.bytes.resize(end, 0);
        let record_len = u16::try_from(end.saturating_sub(self.last)).unwrap_or(u16::MAX);
        let field = self.bytes.iter_mut().skip(self.last.saturating_add(4));
        for (to, from) in field.zip(record_len.to_le_bytes()) {
            *to = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Entries;
    use crate::FileType;

    /// The offset, record length and inode of each entry.
    fn records(bytes: &[u8]) -> alloc::vec::Vec<(usize, usize, u8)> {
        let mut found = alloc::vec::Vec::new();
        let mut offset = 0;
        while offset < bytes.len() {
            let len = usize::from(u16::from_le_bytes([bytes[offset + 4], bytes[offset + 5]]));
            found.push((offset, len, bytes[offset]));
            offset += len;
        }
        found
    }

    #[test]
    fn entries_do_not_cross_blocks_and_fill_them() {
        let mut entries = Entries::new(1024, true);
        for inode in 1..=5 {
            entries.push(&[b'n'; 255], inode, FileType::File);
        }
        entries.push(b"12345", 6, FileType::File);
        let expected = [
            (0, 264, 1),
            (264, 264, 2),
            (528, 496, 3),
            (1024, 264, 4),
            (1288, 264, 5),
            (1552, 496, 6),
        ];
        assert_eq!(records(&entries.finish(0)), expected);
    }

    #[test]
    fn a_full_block_is_not_followed_by_an_empty_one() {
        let mut entries = Entries::new(1024, true);
        for inode in 1..=4 {
            entries.push(&[b'n'; 248], inode, FileType::File);
        }
        assert_eq!(entries.finish(0).len(), 1024);
    }

    #[test]
    fn room_is_made_of_unused_entries() {
        let mut entries = Entries::new(1024, true);
        entries.push(b".", 1, FileType::Directory);
        let expected = [(0, 1024, 1), (1024, 1024, 0), (2048, 1024, 0)];
        assert_eq!(records(&entries.finish(3000)), expected);
    }
}
