//! A quick check of an image after a power cut, by reading its bytes: it must hold so well that it
//! could be written without a repair. More may be marked as used, or counted, than is; never less.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) struct Raw<'a> {
    image: &'a [u8],
    block_size: usize,
    blocks: u32,
    first_block: u32,
    blocks_per_group: u32,
    inodes_per_group: u32,
    inodes: u32,
    inode_size: usize,
    has_types: bool,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

impl<'a> Raw<'a> {
    fn new(image: &'a [u8]) -> Self {
        let superblock = &image[1024..2048];
        let is_dynamic = u32_at(superblock, 76) > 0;
        Self {
            image,
            block_size: 1024 << u32_at(superblock, 24),
            blocks: u32_at(superblock, 4),
            first_block: u32_at(superblock, 20),
            blocks_per_group: u32_at(superblock, 32),
            inodes_per_group: u32_at(superblock, 40),
            inodes: u32_at(superblock, 0),
            inode_size: if is_dynamic {
                u16_at(superblock, 88).into()
            } else {
                128
            },
            has_types: is_dynamic && u32_at(superblock, 96) & 2 != 0,
        }
    }

    fn block(&self, number: u32) -> &'a [u8] {
        let start = number as usize * self.block_size;
        &self.image[start..start + self.block_size]
    }

    fn descriptor(&self, group: u32, field: usize) -> u32 {
        let table = (self.first_block as usize + 1) * self.block_size;
        u32_at(self.image, table + group as usize * 32 + field)
    }

    fn is_set(&self, bitmap: u32, bit: u32) -> bool {
        self.block(bitmap)[bit as usize / 8] & (1 << (bit % 8)) != 0
    }

    fn is_inode_used(&self, number: u32) -> bool {
        let (group, bit) = (
            (number - 1) / self.inodes_per_group,
            (number - 1) % self.inodes_per_group,
        );
        self.is_set(self.descriptor(group, 4), bit)
    }

    fn is_block_used(&self, block: u32) -> bool {
        let at = block - self.first_block;
        self.is_set(
            self.descriptor(at / self.blocks_per_group, 0),
            at % self.blocks_per_group,
        )
    }

    fn inode(&self, number: u32) -> &'a [u8] {
        let (group, slot) = (
            (number - 1) / self.inodes_per_group,
            (number - 1) % self.inodes_per_group,
        );
        let table = self.descriptor(group, 8) as usize * self.block_size;
        &self.image[table + slot as usize * self.inode_size..][..self.inode_size]
    }

    /// All blocks below a pointer; those with data by their place in the file.
    fn tree(
        &self,
        pointer: u32,
        depth: u32,
        place: &mut u64,
        all: &mut Vec<(u32, Option<u64>)>,
    ) -> Result<(), String> {
        let per_block = self.block_size as u64 / 4;
        if pointer == 0 {
            *place += per_block.pow(depth);
            return Ok(());
        }
        if pointer >= self.blocks {
            return Err(format!("pointer to block {pointer}"));
        }
        if depth == 0 {
            all.push((pointer, Some(*place)));
            *place += 1;
            return Ok(());
        }
        all.push((pointer, None));
        for at in 0..per_block as usize {
            self.tree(u32_at(self.block(pointer), at * 4), depth - 1, place, all)?;
        }
        Ok(())
    }

    fn blocks_of(&self, inode: &[u8]) -> Result<Vec<(u32, Option<u64>)>, String> {
        let mode = u16_at(inode, 0) >> 12;
        let mut all = Vec::new();
        if !(matches!(mode, 4 | 8) || mode == 10 && u32_at(inode, 28) > 0) {
            return Ok(all);
        }
        let mut place = 0;
        for index in 0..15 {
            let depth = (index as u32).saturating_sub(11);
            self.tree(u32_at(inode, 40 + index * 4), depth, &mut place, &mut all)?;
        }
        Ok(all)
    }

    fn entries(&self, inode: &[u8]) -> Result<Vec<(Vec<u8>, u32, u8)>, String> {
        let mut entries = Vec::new();
        for (block, place) in self.blocks_of(inode)? {
            if place.is_none() {
                continue;
            }
            let bytes = self.block(block);
            let mut at = 0;
            while at < bytes.len() {
                let len = usize::from(u16_at(bytes, at + 4));
                let name_len = usize::from(bytes[at + 6]);
                let target = u32_at(bytes, at);
                let used = if target == 0 { 0 } else { name_len + 8 };
                if len < 12 || len % 4 != 0 || at + len > bytes.len() || used > len {
                    return Err(format!("record of {len} at {at} in block {block}"));
                }
                if target != 0 {
                    let name = bytes[at + 8..at + 8 + name_len].to_vec();
                    entries.push((name, target, bytes[at + 7]));
                }
                at += len;
            }
        }
        Ok(entries)
    }
}

/// Checks an image.
pub(crate) fn check(image: &[u8]) -> Result<(), String> {
    let raw = Raw::new(image);
    let mut users: BTreeMap<u32, u32> = BTreeMap::new();
    let mut names: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    // Names in directories that have none themselves do not count.
    let mut reached = BTreeSet::from([2]);
    let mut to_enter = vec![2];
    while let Some(number) = to_enter.pop() {
        for (_, target, _) in raw.entries(raw.inode(number))? {
            let inode = raw.inode(target);
            if u16_at(inode, 26) > 0 && u16_at(inode, 0) >> 12 == 4 && reached.insert(target) {
                to_enter.push(target);
            }
        }
    }
    for number in (1..=raw.inodes).filter(|number| *number == 2 || *number > 10) {
        let inode = raw.inode(number);
        let links = u16_at(inode, 26);
        if links == 0 {
            continue;
        }
        if !raw.is_inode_used(number) {
            return Err(format!(
                "inode {number} has {links} links but is marked as free"
            ));
        }
        let blocks = raw
            .blocks_of(inode)
            .map_err(|e| format!("inode {number}: {e}"))?;
        let is_file = u16_at(inode, 0) >> 12 == 8;
        let high = if is_file { u32_at(inode, 108) } else { 0 };
        let size = u64::from(high) << 32 | u64::from(u32_at(inode, 4));
        let counted = u32_at(inode, 28) as usize;
        let is_link = u16_at(inode, 0) >> 12 == 10;
        if !is_link && counted != blocks.len() * raw.block_size / 512 {
            return Err(format!(
                "inode {number} has {} blocks, counts {counted}",
                blocks.len()
            ));
        }
        for (block, place) in blocks {
            if let Some(other) = users.insert(block, number) {
                return Err(format!(
                    "block {block} belongs to inodes {other} and {number}"
                ));
            }
            if !raw.is_block_used(block) {
                return Err(format!("block {block} of inode {number} is marked as free"));
            }
            if place.is_some_and(|place| place * raw.block_size as u64 >= size) {
                return Err(format!(
                    "inode {number} of {size} bytes has a block at {place:?}"
                ));
            }
        }
        if u16_at(inode, 0) >> 12 == 4 {
            let entries = raw
                .entries(inode)
                .map_err(|e| format!("directory {number}: {e}"))?;
            let mut seen = BTreeMap::new();
            for (name, target, file_type) in entries {
                let inode = raw.inode(target);
                let shown = name.escape_ascii().to_string();
                if u16_at(inode, 26) == 0 {
                    // A new name whose inode was not yet there: as if it were not.
                    continue;
                }
                let expected = match u16_at(inode, 0) >> 12 {
                    4 => 2,
                    8 => 1,
                    10 => 7,
                    _ => 0,
                };
                if raw.has_types && file_type != expected {
                    return Err(format!("entry {shown} of {number} has type {file_type}"));
                }
                if seen.insert(name.clone(), target).is_some() {
                    return Err(format!("directory {number} has {shown} twice"));
                }
                let name = format!("{shown} of {number}");
                if reached.contains(&number) {
                    names.entry(target).or_default().push(name);
                }
            }
        }
    }
    for (number, names) in names {
        let links = u32::from(u16_at(raw.inode(number), 26));
        if (links as usize) < names.len() {
            return Err(format!(
                "inode {number} has {links} links, but the names {names:?}"
            ));
        }
    }
    Ok(())
}
