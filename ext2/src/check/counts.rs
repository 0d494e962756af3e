//! Bitmaps and counts against what was found in use. (The superblock has sums of the groups' counts, which mounting
//! makes anew; e2fsck does not report them either.)

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::{Checker, note};
use crate::bitmap;
use crate::{BlockDevice, Error, FileType, Place};

/// Neighbours among numbers, in order.
fn ranges(numbers: impl Iterator<Item = u32>) -> Vec<Range<u32>> {
    let mut found: Vec<Range<u32>> = Vec::new();
    for number in numbers {
        let end = number.saturating_add(1);
        match found.last_mut() {
            Some(last) if last.end == number => last.end = end,
            _ => found.push(number..end),
        }
    }
    found
}

/// What bitmaps of a group are about.
struct Bits<'a> {
    what: &'static str,
    group: u32,
    /// The number of the first bit.
    first: u32,
    len: u32,
    bitmap: &'a [u8],
}

impl<D: BlockDevice> Checker<'_, D> {
    pub(super) fn check_counts(&mut self) -> Result<(), Error> {
        let geometry = self.disk.geometry;
        let mut bitmap = vec![0; geometry.block_size as usize];
        for (index, group) in (0u32..).zip(&self.disk.groups) {
            self.disk.read_block(group.block_bitmap, 0, &mut bitmap)?;
            let start = geometry.group_start(index);
            let blocks = Bits {
                what: "block",
                group: index,
                first: start,
                len: geometry
                    .blocks_count
                    .saturating_sub(start)
                    .min(geometry.blocks_per_group),
                bitmap: &bitmap,
            };
            let free = self.compare(&blocks, |checker, block| {
                bitmap::is_set(&checker.blocks, block)
            });
            self.compare_count(index, "free blocks", group.free_blocks, free);

            self.disk.read_block(group.inode_bitmap, 0, &mut bitmap)?;
            let inodes = Bits {
                what: "inode",
                group: index,
                first: index
                    .saturating_mul(geometry.inodes_per_group)
                    .saturating_add(1),
                len: geometry.inodes_per_group,
                bitmap: &bitmap,
            };
            let free = self.compare(&inodes, |checker, number| {
                checker.inodes.contains_key(&number) || checker.nameless.contains(&number)
            });
            self.compare_count(index, "free inodes", group.free_inodes, free);

            let end = inodes.first.saturating_add(inodes.len);
            let own = self.inodes.range(inodes.first..end);
            let directories = own.filter(|(_, known)| known.file_type == FileType::Directory);
            let directories = u32::try_from(directories.count()).unwrap_or(u32::MAX);
            self.compare_count(index, "directories", group.directories, directories);
        }
        Ok(())
    }

    /// Compares a bitmap with what is in use; returns how many are free.
    fn compare(&mut self, bits: &Bits<'_>, is_used: impl Fn(&Self, u32) -> bool) -> u32 {
        let mut wrongly_used = Vec::new();
        let mut wrongly_free = Vec::new();
        let mut free = 0u32;
        for bit in 0..bits.len {
            let number = bits.first.saturating_add(bit);
            match (bitmap::is_set(bits.bitmap, bit), is_used(self, number)) {
                (true, false) => wrongly_used.push(number),
                (false, true) => wrongly_free.push(number),
                _ => {}
            }
            free = free.saturating_add(u32::from(!is_used(self, number)));
        }
        let (what, place) = (bits.what, Place::Group(bits.group));
        for (wrong, as_what) in [
            (wrongly_used, "used, and nothing uses them"),
            (wrongly_free, "free, and are in use"),
        ] {
            for range in ranges(wrong.into_iter()) {
                let last = range.end.saturating_sub(1);
                let first = range.start;
                note!(
                    self,
                    place,
                    "{what}s {first} to {last} are marked as {as_what}"
                );
            }
        }
        let all = u32::try_from(bits.bitmap.len().saturating_mul(8)).unwrap_or(u32::MAX);
        if (bits.len..all).any(|bit| !bitmap::is_set(bits.bitmap, bit)) {
            note!(
                self,
                place,
                "the {what} bitmap has bits behind its end that are not set"
            );
        }
        free
    }

    fn compare_count(&mut self, group: u32, what: &str, stated: u32, found: u32) {
        if stated != found {
            note!(
                self,
                Place::Group(group),
                "counts {stated} {what}, and there are {found}"
            );
        }
    }
}
