//! From a place in a file to a place on the device: the map of block pointers.
//!
//! "Inode Table", `i_block`: 12 pointers to data, then one each to a tree of one, two and three
//! levels of indirect blocks. A pointer of 0 is a hole. A tree has a fixed depth, so pointers that
//! lead in circles cost nothing but wrong data.

use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use crate::error::corrupt;
use crate::filesystem::FileSystem;
use crate::layout::DIRECT_BLOCKS;
use crate::{BlockDevice, Error, Inode, Place};

/// How many pointers of an indirect block are read at once.
const CHUNK_POINTERS: u32 = 128;

/// Blocks of a file that lie one after the other on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first one, or none: a hole, to be read as zeros.
    pub(crate) start: Option<u32>,
    /// How many, at least 1.
    pub(crate) count: u32,
}

impl<D: BlockDevice> FileSystem<D> {
    /// Finds block `logical` of a file, with up to `wanted` blocks that follow it directly. It may
    /// stop earlier than the run does.
    pub(crate) fn run(&self, inode: &Inode, logical: u64, wanted: u64) -> Result<Run, Error> {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).max(1);
        let Some(mut index) = logical.checked_sub(u64::from(DIRECT_BLOCKS)) else {
            let (direct, _) = inode.map.split_at(DIRECT_BLOCKS as usize);
            let pointers = direct
                .iter()
                .copied()
                .skip(usize::try_from(logical).unwrap_or(0));
            return self.run_of(inode, pointers, wanted);
        };

        // Which of the three trees, how deep it is, and how many blocks one pointer of its top
        // block stands for.
        let per_block = u64::from(self.geometry.pointers_per_block());
        let mut span = 1u64;
        let mut top = None;
        for (depth, pointer) in inode.map.iter().skip(DIRECT_BLOCKS as usize).enumerate() {
            let tree = span.saturating_mul(per_block);
            if index < tree {
                top = Some((depth, *pointer));
                break;
            }
            index = index.saturating_sub(tree);
            span = tree;
        }
        let Some((depth, mut table)) = top else {
            return Err(corrupt!(
                Place::Inode(inode.number.0),
                "block {logical} of the file is beyond what block pointers reach"
            ));
        };

        for _ in 0..depth {
            let Some(block) = self.check_block(inode, table)? else {
                return Ok(hole(
                    span.saturating_mul(per_block).saturating_sub(index),
                    wanted,
                ));
            };
            let slot = u32::try_from(index.checked_div(span).unwrap_or(0)).unwrap_or(0);
            let mut pointer = [0; 4];
            self.read_block(block, slot.saturating_mul(4), &mut pointer)?;
            table = u32::from_le_bytes(pointer);
            index = index.checked_rem(span).unwrap_or(0);
            span = span.checked_div(per_block).unwrap_or(1);
        }
        let Some(block) = self.check_block(inode, table)? else {
            return Ok(hole(per_block.saturating_sub(index), wanted));
        };
        let slot = u32::try_from(index).unwrap_or(0);
        let left = self.geometry.pointers_per_block().saturating_sub(slot);
        let len = (wanted.min(left).min(CHUNK_POINTERS) as usize).saturating_mul(4);
        let mut chunk = [0; CHUNK_POINTERS as usize * 4];
        let bytes = chunk.get_mut(..len).unwrap_or_default();
        self.read_block(block, slot.saturating_mul(4), bytes)?;
        let pointers = <[U32]>::ref_from_bytes(bytes).unwrap_or_default();
        self.run_of(inode, pointers.iter().map(|pointer| pointer.get()), wanted)
    }

    /// The run that a row of pointers begins with.
    fn run_of(
        &self,
        inode: &Inode,
        mut pointers: impl Iterator<Item = u32>,
        wanted: u32,
    ) -> Result<Run, Error> {
        let start = self.check_block(inode, pointers.next().unwrap_or(0))?;
        let mut count = 1u32;
        for pointer in pointers.take(wanted.saturating_sub(1) as usize) {
            let follows = match start {
                Some(start) => start.checked_add(count) == Some(pointer),
                None => pointer == 0,
            };
            if !follows || self.check_block(inode, pointer).is_err() {
                break;
            }
            count = count.saturating_add(1);
        }
        Ok(Run { start, count })
    }

    /// Checks that a pointer leads into the file system. 0 leads nowhere.
    pub(crate) fn check_block(&self, inode: &Inode, block: u32) -> Result<Option<u32>, Error> {
        if block == 0 {
            return Ok(None);
        }
        let end = self.geometry.blocks_count;
        let place = Place::Inode(inode.number.0);
        if block >= end {
            return Err(corrupt!(
                place,
                "block {block} is beyond the end ({end} blocks)"
            ));
        }
        if block <= self.geometry.first_data_block {
            return Err(corrupt!(place, "block {block} is the superblock"));
        }
        Ok(Some(block))
    }
}

fn hole(blocks: u64, wanted: u32) -> Run {
    let count = u32::try_from(blocks).unwrap_or(u32::MAX).min(wanted).max(1);
    Run { start: None, count }
}
