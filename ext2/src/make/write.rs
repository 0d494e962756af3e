//! Putting a planned file system onto a device: content first, then what leads to it, and the
//! superblock last, so that a device that was not written to the end does not mount.
//!
//! Content is handed out one block after the other from the start of the device, past the tables
//! at the start of each group. So the bitmaps need not be kept: all before the next free block is
//! in use, all after it is free.

use alloc::vec;
use alloc::vec::Vec;

use zerocopy::IntoBytes;
use zerocopy::little_endian::U32;

use super::MakeError;
use super::plan::{
    LARGE_FILE_LEN, Plan, directory_content, group_len, has_backup, is_short_symlink, overhead,
};
use super::tree::{Body, Content, Node, ROOT};
use crate::features::{INCOMPATIBLE_FILETYPE, READ_ONLY_LARGE_FILE, READ_ONLY_SPARSE_SUPER};
use crate::geometry::Geometry;
use crate::layout::{
    DIRECT_BLOCKS, FIRST_INODE, GroupDescriptor, MAGIC, RESERVED_INODES, ROOT_INODE, RawInode,
    STATE_CLEAN, SUPERBLOCK_OFFSET, Superblock, zeroed,
};
use crate::{BlockDevice, FileType};

/// How many bytes of a file are read and written at once.
const CHUNK_LEN: usize = 1 << 20;
/// How many bytes after byte 128 of an inode are in use.
const EXTRA_LEN: u16 = 32;

impl Plan<'_> {
    /// Writes the file system and flushes the device. The device must have at least
    /// [`Plan::size_bytes`]; what is on it is overwritten, but free blocks are left as they are.
    ///
    /// # Errors
    /// [`MakeError::TooSmall`] if the device is, [`MakeError::Device`], [`MakeError::Content`],
    /// [`MakeError::LengthChanged`].
    pub fn write(self, device: &impl BlockDevice) -> Result<(), MakeError> {
        self.write_onto(device, false)
    }

    /// As [`Plan::write`], onto a device that reads as zeros throughout, such as a new file: zeros are
    /// not written, so the file stays sparse.
    ///
    /// # Errors
    /// As [`Plan::write`].
    pub fn write_to_blank(self, device: &impl BlockDevice) -> Result<(), MakeError> {
        self.write_onto(device, true)
    }

    fn write_onto(mut self, device: &impl BlockDevice, is_blank: bool) -> Result<(), MakeError> {
        let (needed_bytes, size_bytes) = (self.size_bytes(), device.len_bytes());
        if size_bytes < needed_bytes {
            return Err(MakeError::TooSmall {
                needed_bytes,
                size_bytes,
            });
        }
        let revision = self.options.revision;
        let mut writer = Writer {
            device,
            is_blank,
            geometry: self.geometry,
            revision,
            group: 0,
            next: self.geometry.group_start(0).saturating_add(overhead(
                &self.geometry,
                revision,
                0,
            )),
            placed: vec![Placed::default(); self.nodes.len()],
            buffer: vec![0; CHUNK_LEN],
        };
        // An old superblock must not outlive what it describes.
        writer.put(0, &vec![0; self.geometry.block_size.max(2048) as usize])?;
        let order: Vec<usize> = core::iter::once(ROOT)
            .chain(self.order.iter().copied())
            .collect();
        for index in order {
            writer.write_node(&mut self, index)?;
        }
        writer.write_groups(&self)?;
        device.flush()?;
        Ok(())
    }

    /// The node that an inode belongs to.
    fn node_of(&self, number: u32) -> Option<usize> {
        if number == ROOT_INODE {
            return Some(ROOT);
        }
        self.order
            .get(number.checked_sub(FIRST_INODE)? as usize)
            .copied()
    }

    /// The number of the last inode in use.
    fn last_inode(&self) -> u64 {
        (self.order.len() as u64).saturating_add(u64::from(RESERVED_INODES))
    }
}

/// Where a node's content went.
#[derive(Clone, Copy, Default)]
struct Placed {
    /// `i_block`.
    map: [u32; 15],
    /// Blocks, with indirect ones.
    blocks: u32,
}

/// Neighbouring blocks of a file that are neighbours on the device too.
#[derive(Clone, Copy)]
struct Run {
    /// The number of the first in the file.
    logical: u64,
    start: u32,
    count: u32,
}

struct Writer<'d, D> {
    device: &'d D,
    /// Zeros need not be written.
    is_blank: bool,
    geometry: Geometry,
    revision: u32,
    /// The group of the next free block.
    group: u32,
    /// The next free block.
    next: u32,
    placed: Vec<Placed>,
    /// For content on its way, [`CHUNK_LEN`] bytes.
    buffer: Vec<u8>,
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

impl<D: BlockDevice> Writer<'_, D> {
    fn put(&self, offset: u64, bytes: &[u8]) -> Result<(), MakeError> {
        if self.is_blank && is_zero(bytes) {
            return Ok(());
        }
        Ok(self.device.write(offset, bytes)?)
    }

    fn write_node(&mut self, plan: &mut Plan<'_>, index: usize) -> Result<(), MakeError> {
        let Some(len) = plan.lengths.get(index).copied() else {
            return Ok(());
        };
        let Some(node) = plan.nodes.get_mut(index) else {
            return Ok(());
        };
        if let Body::File { content, .. } = &mut node.body {
            // Taken out, so that it is dropped (and its file closed) when it has been read.
            let Some(mut content) = content.take() else {
                return Ok(());
            };
            let node = &*node;
            return self.write_content(index, node, len, &mut *content);
        }
        let Some(node) = plan.nodes.get(index) else {
            return Ok(());
        };
        match &node.body {
            Body::Directory { .. } => {
                let number_of = |index: usize| {
                    let number = plan.numbers.get(index).copied().unwrap_or(0);
                    let node = plan.nodes.get(index);
                    (number, node.map_or(FileType::File, Node::file_type))
                };
                let bytes = directory_content(index, node, &plan.options, number_of);
                self.write_content(index, node, len, &mut bytes.as_slice())
            }
            Body::Symlink { target } if !is_short_symlink(node, len) => {
                self.write_content(index, node, len, &mut target.as_slice())
            }
            _ => Ok(()),
        }
    }

    /// Writes the content of a node, then what leads to its blocks.
    fn write_content(
        &mut self,
        index: usize,
        node: &Node<'_>,
        len: u64,
        content: &mut dyn Content,
    ) -> Result<(), MakeError> {
        let mut buffer = core::mem::take(&mut self.buffer);
        let runs = self.copy(node, len, content, &mut buffer);
        self.buffer = buffer;
        let runs = runs?;

        let mut placed = Placed::default();
        let data: u64 = runs.iter().map(|run| u64::from(run.count)).sum();
        let mut all = data;
        let (direct, trees) = placed.map.split_at_mut(DIRECT_BLOCKS as usize);
        fill(direct.iter_mut(), 0, &runs);
        let mut logical = u64::from(DIRECT_BLOCKS);
        for (depth, slot) in (0u32..).zip(trees) {
            *slot = self.write_tree(node, depth, &mut logical, &runs, &mut all)?;
        }
        let too_large = || MakeError::FileTooLarge(node.path.clone());
        placed.blocks = u32::try_from(all).map_err(|_| too_large())?;
        if let Some(slot) = self.placed.get_mut(index) {
            *slot = placed;
        }
        Ok(())
    }

    /// Writes an indirect block, with `depth` levels of others below it, for the blocks of a file from
    /// `logical` on, which moves past them; returns where it is, or 0 if it would lead to nothing.
    fn write_tree(
        &mut self,
        node: &Node<'_>,
        depth: u32,
        logical: &mut u64,
        runs: &[Run],
        all: &mut u64,
    ) -> Result<u32, MakeError> {
        let per_block = u64::from(self.geometry.pointers_per_block());
        let start = *logical;
        let end = start.saturating_add(per_block.saturating_pow(depth.saturating_add(1)));
        *logical = end;
        let first = runs.partition_point(|run| run.end() <= start);
        let after = runs.partition_point(|run| run.logical < end);
        let runs = runs.get(first..after).unwrap_or_default();
        if runs.is_empty() {
            return Ok(0);
        }
        let (own, _) = self.allocate(node, 1)?;
        *all = all.saturating_add(1);
        let mut pointers = vec![0; self.geometry.pointers_per_block() as usize];
        if let Some(below) = depth.checked_sub(1) {
            let mut logical = start;
            for pointer in &mut pointers {
                *pointer = self.write_tree(node, below, &mut logical, runs, all)?;
            }
        } else {
            fill(pointers.iter_mut(), start, runs);
        }
        let pointers: Vec<U32> = pointers.into_iter().map(U32::new).collect();
        self.put(self.geometry.offset_of(own), pointers.as_bytes())?;
        Ok(own)
    }

    /// Copies content into new blocks, but for blocks of zeros, and returns where it went.
    fn copy(
        &mut self,
        node: &Node<'_>,
        len: u64,
        content: &mut dyn Content,
        buffer: &mut [u8],
    ) -> Result<Vec<Run>, MakeError> {
        let fail = |message| MakeError::Content {
            path: node.path.clone(),
            message,
        };
        let changed = || MakeError::LengthChanged(node.path.clone());
        let block_size = self.geometry.block_size as usize;
        let unit = u64::from(self.geometry.block_size);
        let mut runs: Vec<Run> = Vec::new();
        let mut logical = 0u64;
        let mut left = len;
        while left > 0 {
            let skipped = content.skip_zeros(unit).map_err(fail)?;
            if skipped > 0 {
                logical = logical.saturating_add(skipped.div_ceil(unit));
                left = left.checked_sub(skipped).ok_or_else(changed)?;
                continue;
            }
            let wanted = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let mut done = 0;
            while done < wanted {
                let target = buffer.get_mut(done..wanted).unwrap_or_default();
                let now = content.read(target).map_err(fail)?;
                if now == 0 || now > target.len() {
                    return Err(changed());
                }
                done = done.saturating_add(now);
            }
            left = left.saturating_sub(wanted as u64);
            let padded = wanted.next_multiple_of(block_size);
            buffer.get_mut(wanted..padded).unwrap_or_default().fill(0);
            let chunk = buffer.get(..padded).unwrap_or_default();
            self.place(node, chunk, &mut logical, &mut runs)?;
        }
        if content.read(&mut [0]).map_err(fail)? != 0 {
            return Err(changed());
        }
        Ok(runs)
    }

    /// Puts whole blocks that come next in a file where there is room.
    fn place(
        &mut self,
        node: &Node<'_>,
        chunk: &[u8],
        logical: &mut u64,
        runs: &mut Vec<Run>,
    ) -> Result<(), MakeError> {
        let block_size = self.geometry.block_size as usize;
        let blocks: Vec<&[u8]> = chunk.chunks(block_size).collect();
        let mut rest = chunk;
        for stretch in blocks.chunk_by(|one, other| is_zero(one) == is_zero(other)) {
            let is_hole = stretch.first().is_some_and(|block| is_zero(block));
            let mut count = u32::try_from(stretch.len()).unwrap_or(u32::MAX);
            let (mut bytes, later) =
                rest.split_at(stretch.len().saturating_mul(block_size).min(rest.len()));
            rest = later;
            while count > 0 {
                let mut now = count;
                if !is_hole {
                    let start;
                    (start, now) = self.allocate(node, count)?;
                    let len = (now as usize).saturating_mul(block_size).min(bytes.len());
                    let (here, others) = bytes.split_at(len);
                    bytes = others;
                    self.device.write(self.geometry.offset_of(start), here)?;
                    push(runs, *logical, start, now);
                }
                *logical = logical.saturating_add(u64::from(now));
                count = count.saturating_sub(now);
            }
        }
        Ok(())
    }

    /// Takes the next free blocks that are neighbours, at most `most`; returns the first and how many.
    fn allocate(&mut self, node: &Node<'_>, most: u32) -> Result<(u32, u32), MakeError> {
        loop {
            let group_end = self
                .geometry
                .group_start(self.group)
                .saturating_add(group_len(&self.geometry, self.group));
            let free = group_end.saturating_sub(self.next);
            if free > 0 {
                let (start, count) = (self.next, free.min(most));
                self.next = self.next.saturating_add(count);
                return Ok((start, count));
            }
            self.group = self.group.saturating_add(1);
            if self.group >= self.geometry.groups_count() {
                // The plan has made room for all that was announced.
                return Err(MakeError::LengthChanged(node.path.clone()));
            }
            let start = self.geometry.group_start(self.group);
            self.next = start.saturating_add(overhead(&self.geometry, self.revision, self.group));
        }
    }

    /// Writes the tables of all groups, then superblock and descriptors, the first copy last.
    fn write_groups(&self, plan: &Plan<'_>) -> Result<(), MakeError> {
        let groups = self.geometry.groups_count();
        let mut descriptors = Vec::with_capacity(groups as usize);
        for group in 0..groups {
            descriptors.push(self.write_group(plan, group)?);
        }
        let free = |count: fn(&GroupDescriptor) -> u16| {
            descriptors
                .iter()
                .map(|group| u32::from(count(group)))
                .sum::<u32>()
        };
        let mut superblock = self.superblock(plan);
        superblock.free_blocks_count = free(|group| group.free_blocks_count.get()).into();
        superblock.free_inodes_count = free(|group| group.free_inodes_count.get()).into();

        let table_len = self.geometry.offset_of(self.geometry.descriptor_blocks());
        let mut table = descriptors.as_bytes().to_vec();
        table.resize(
            usize::try_from(table_len).map_err(|_| MakeError::TooLarge)?,
            0,
        );
        for group in (0..groups)
            .rev()
            .filter(|group| has_backup(self.revision, *group))
        {
            let start = self.geometry.group_start(group);
            self.put(self.geometry.offset_of(start.saturating_add(1)), &table)?;
            if self.revision > 0 {
                superblock.block_group = u16::try_from(group).unwrap_or(u16::MAX).into();
            }
            // The first copy lies behind the boot block; a backup has a block of its own.
            let mut bytes = superblock.as_bytes().to_vec();
            let mut offset = SUPERBLOCK_OFFSET;
            if group != 0 {
                bytes.resize(self.geometry.block_size as usize, 0);
                offset = self.geometry.offset_of(start);
            }
            self.put(offset, &bytes)?;
        }
        Ok(())
    }

    /// Writes a group's bitmaps and inode table and returns its descriptor.
    fn write_group(&self, plan: &Plan<'_>, group: u32) -> Result<GroupDescriptor, MakeError> {
        let geometry = &self.geometry;
        let start = geometry.group_start(group);
        let len = group_len(geometry, group);
        let overhead = overhead(geometry, self.revision, group);
        let inode_table = start
            .saturating_add(overhead)
            .saturating_sub(geometry.inode_table_blocks());
        let (block_bitmap, inode_bitmap) =
            (inode_table.saturating_sub(2), inode_table.saturating_sub(1));

        let used_blocks = self.next.saturating_sub(start).max(overhead).min(len);
        self.write_bitmap(block_bitmap, used_blocks, len)?;
        let inodes = geometry.inodes_per_group;
        let first = u64::from(group)
            .saturating_mul(u64::from(inodes))
            .saturating_add(1);
        let used_inodes = (plan.last_inode().saturating_add(1))
            .saturating_sub(first)
            .min(u64::from(inodes));
        let used_inodes = u32::try_from(used_inodes).unwrap_or(0);
        self.write_bitmap(inode_bitmap, used_inodes, inodes)?;
        let first = u32::try_from(first).map_err(|_| MakeError::TooLarge)?;
        let directories = self.write_inodes(plan, inode_table, first, used_inodes)?;

        // A group has at most 32768 blocks or inodes.
        let count = |number: u32| u16::try_from(number).unwrap_or(u16::MAX).into();
        Ok(GroupDescriptor {
            block_bitmap: block_bitmap.into(),
            inode_bitmap: inode_bitmap.into(),
            inode_table: inode_table.into(),
            free_blocks_count: count(len.saturating_sub(used_blocks)),
            free_inodes_count: count(inodes.saturating_sub(used_inodes)),
            used_directories_count: count(directories),
            ..zeroed()
        })
    }

    /// Writes a bitmap of which the first `used` bits are set, and those that stand for nothing,
    /// from `len` on.
    fn write_bitmap(&self, block: u32, used: u32, len: u32) -> Result<(), MakeError> {
        let bytes: Vec<u8> = (0..self.geometry.block_size)
            .map(|byte| {
                (0..8u32).fold(0, |bits, bit| {
                    let index = byte.saturating_mul(8).saturating_add(bit);
                    if index < used || index >= len {
                        bits | 1u8.wrapping_shl(bit)
                    } else {
                        bits
                    }
                })
            })
            .collect();
        self.put(self.geometry.offset_of(block), &bytes)
    }

    /// Writes a group's inode table and returns how many directories are in it.
    fn write_inodes(
        &self,
        plan: &Plan<'_>,
        table: u32,
        first: u32,
        used: u32,
    ) -> Result<u32, MakeError> {
        let inode_size = usize::from(self.geometry.inode_size);
        let used_blocks = used.div_ceil(self.geometry.inodes_per_block().max(1));
        let len = |blocks| usize::try_from(self.geometry.offset_of(blocks)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len(used_blocks)];
        let mut directories = 0u32;
        let slots = bytes.chunks_mut(inode_size).take(used as usize);
        for (slot, number) in slots.zip(first..) {
            let Some((node, raw)) = plan.node_of(number).and_then(|it| self.raw_inode(plan, it))
            else {
                continue;
            };
            let is_directory = node.file_type() == FileType::Directory;
            directories = directories.saturating_add(u32::from(is_directory));
            for (to, from) in slot.iter_mut().zip(raw.as_bytes()) {
                *to = *from;
            }
        }
        self.put(self.geometry.offset_of(table), &bytes)?;
        let unused = self
            .geometry
            .inode_table_blocks()
            .saturating_sub(used_blocks);
        let behind = self.geometry.offset_of(table.saturating_add(used_blocks));
        self.put(behind, &vec![0; len(unused)])?;
        Ok(directories)
    }

    fn raw_inode<'p>(&self, plan: &'p Plan<'_>, index: usize) -> Option<(&'p Node<'p>, RawInode)> {
        let node = plan.nodes.get(index)?;
        let len = *plan.lengths.get(index)?;
        let placed = self.placed.get(index)?;
        let attributes = &node.attributes;
        let modified = if self.revision == 0 {
            attributes.modified.min(i64::from(i32::MAX))
        } else {
            attributes.modified
        };
        let (seconds, epoch) = encode_time(modified);
        let mut block = placed.map.map(U32::new);
        if let Body::Symlink { target } = &node.body
            && is_short_symlink(node, len)
        {
            for (to, from) in block.as_mut_bytes().iter_mut().zip(target) {
                *to = *from;
            }
        }
        // Cuts a number into its lower and upper 16 or 32 bits.
        let halves = |id: u32| {
            let [a, b, c, d] = id.to_le_bytes();
            (
                u16::from_le_bytes([a, b]).into(),
                u16::from_le_bytes([c, d]).into(),
            )
        };
        let (uid, uid_high) = halves(attributes.uid);
        let (gid, gid_high) = halves(attributes.gid);
        let size_high = u32::try_from(len >> 32).unwrap_or(0);
        let size = u32::try_from(len & 0xFFFF_FFFF).unwrap_or(0);
        let mode = node.file_type().mode_bits() | attributes.permissions & 0o7777;
        let raw = RawInode {
            mode: mode.into(),
            uid,
            uid_high,
            gid,
            gid_high,
            size: size.into(),
            size_high: size_high.into(),
            access_time: seconds.into(),
            change_time: seconds.into(),
            modify_time: seconds.into(),
            create_time: seconds.into(),
            access_time_extra: epoch.into(),
            change_time_extra: epoch.into(),
            modify_time_extra: epoch.into(),
            create_time_extra: epoch.into(),
            extra_size: EXTRA_LEN.into(),
            links_count: u16::try_from(node.links).unwrap_or(u16::MAX).into(),
            blocks: placed
                .blocks
                .saturating_mul(self.geometry.block_size / 512)
                .into(),
            block,
            ..zeroed()
        };
        Some((node, raw))
    }

    /// The superblock without the counts of what is free.
    fn superblock(&self, plan: &Plan<'_>) -> Superblock {
        let geometry = &self.geometry;
        let log_block_size = geometry.block_size.trailing_zeros().saturating_sub(10);
        let has_large_file = plan
            .nodes
            .iter()
            .zip(&plan.lengths)
            .any(|(node, len)| node.file_type() == FileType::File && *len >= LARGE_FILE_LEN);
        let large_file = if has_large_file {
            READ_ONLY_LARGE_FILE
        } else {
            0
        };
        let mut label = [0; 16];
        for (to, from) in label.iter_mut().zip(plan.options.label.bytes()) {
            *to = from;
        }
        let time = plan.options.timestamp;
        let first = Superblock {
            inodes_count: u32::try_from(geometry.inodes_count())
                .unwrap_or(u32::MAX)
                .into(),
            blocks_count: geometry.blocks_count.into(),
            first_data_block: geometry.first_data_block.into(),
            log_block_size: log_block_size.into(),
            log_fragment_size: log_block_size.into(),
            blocks_per_group: geometry.blocks_per_group.into(),
            fragments_per_group: geometry.blocks_per_group.into(),
            inodes_per_group: geometry.inodes_per_group.into(),
            write_time: time.into(),
            last_check_time: time.into(),
            max_mount_count: u16::MAX.into(),
            magic: MAGIC.into(),
            state: STATE_CLEAN.into(),
            // On an error: go on.
            errors: 1.into(),
            ..zeroed()
        };
        if plan.options.revision == 0 {
            return first;
        }
        Superblock {
            revision: 1.into(),
            first_inode: FIRST_INODE.into(),
            inode_size: geometry.inode_size.into(),
            features_incompatible: INCOMPATIBLE_FILETYPE.into(),
            features_read_only: (READ_ONLY_SPARSE_SUPER | large_file).into(),
            uuid: plan.uuid,
            label,
            make_time: time.into(),
            min_extra_inode_size: EXTRA_LEN.into(),
            want_extra_inode_size: EXTRA_LEN.into(),
            ..first
        }
    }
}

impl Run {
    /// Behind the number of the last in the file.
    fn end(&self) -> u64 {
        self.logical.saturating_add(u64::from(self.count))
    }
}

/// Adds blocks to those of a file.
fn push(runs: &mut Vec<Run>, logical: u64, start: u32, count: u32) {
    match runs.last_mut() {
        Some(last)
            if last.end() == logical && last.start.checked_add(last.count) == Some(start) =>
        {
            last.count = last.count.saturating_add(count);
        }
        _ => runs.push(Run {
            logical,
            start,
            count,
        }),
    }
}

/// Fills pointers to the blocks of a file from `logical` on; 0 for those that are not there.
fn fill<'p>(pointers: impl Iterator<Item = &'p mut u32>, logical: u64, runs: &[Run]) {
    let mut runs = runs.iter().peekable();
    for (logical, pointer) in (logical..).zip(pointers) {
        while runs.next_if(|run| run.end() <= logical).is_some() {}
        *pointer = runs
            .peek()
            .and_then(|run| {
                let within = u32::try_from(logical.checked_sub(run.logical)?).ok()?;
                run.start.checked_add(within)
            })
            .unwrap_or(0);
    }
}

/// Seconds since 1970 as the lower 32 bits, signed, and how many times 2³² to add (0 to 3).
fn encode_time(seconds: i64) -> (u32, u32) {
    let latest = i64::from(i32::MAX).saturating_add(3 << 32);
    let seconds = seconds.clamp(i64::from(i32::MIN), latest);
    let low = u32::try_from(seconds & 0xFFFF_FFFF).unwrap_or(0);
    let epoch = seconds.saturating_sub(i64::from(low.cast_signed())) >> 32;
    (low, u32::try_from(epoch).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::encode_time;

    #[test]
    fn times_are_cut_into_signed_seconds_and_epochs() {
        assert_eq!(encode_time(0), (0, 0));
        assert_eq!(encode_time(-1), (u32::MAX, 0));
        assert_eq!(encode_time(0x7FFF_FFFF), (0x7FFF_FFFF, 0));
        // The first second after 2038 is a negative number and one epoch more.
        assert_eq!(encode_time(0x8000_0000), (0x8000_0000, 1));
        assert_eq!(encode_time(i64::MAX), (0x7FFF_FFFF, 3));
        assert_eq!(encode_time(i64::MIN), (0x8000_0000, 0));
    }
}
