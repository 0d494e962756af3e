//! How large the file system must be, and which inode everything gets.

use alloc::vec;
use alloc::vec::Vec;

use super::entries::Entries;
use super::tree::{Body, Builder, LOST_AND_FOUND, Node, Options, ROOT, names};
use super::{Attributes, MakeError};
use crate::FileType;
use crate::geometry::Geometry;
use crate::layout::{DIRECT_BLOCKS, FIRST_INODE, INODE_LEN_MIN, RESERVED_INODES, ROOT_INODE};
use crate::symlink::SHORT_TARGET_END;

/// Bytes of an inode in revision 1: room for times after 2038.
const INODE_SIZE: u16 = 256;
/// Files from this size on need revision 1 and the feature `large_file`.
pub(super) const LARGE_FILE_LEN: u64 = 1 << 31;
/// Unless told otherwise, there is one inode for as many bytes.
const BYTES_PER_INODE: u64 = 16 * 1024;
/// A last group with less room than this for content is left out.
const GROUP_ROOM_MIN: u32 = 50;
/// `lost+found` has room from the start, so that e2fsck need not find it.
const LOST_AND_FOUND_LEN: u64 = 16 * 1024;

/// A file system that is ready to be written.
pub struct Plan<'a> {
    pub(super) options: Options,
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) geometry: Geometry,
    pub(super) uuid: [u8; 16],
    /// The inode of each node.
    pub(super) numbers: Vec<u32>,
    /// The nodes of the inodes from [`FIRST_INODE`] on.
    pub(super) order: Vec<usize>,
    /// The length of each node's content in bytes.
    pub(super) lengths: Vec<u64>,
}

impl core::fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Plan")
            .field("options", &self.options)
            .field("geometry", &self.geometry)
            .field("inodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

impl Plan<'_> {
    /// How many bytes the device must have.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.options
            .size_bytes
            .unwrap_or_else(|| self.geometry.len_bytes())
    }

    /// How many files, directories and symbolic links there will be, without the root directory
    /// and `lost+found`.
    #[must_use]
    pub fn inodes_used(&self) -> usize {
        self.nodes.len().saturating_sub(2)
    }
}

impl<'a> Builder<'a> {
    /// Works out how large the file system must be and where everything goes.
    ///
    /// # Errors
    /// [`MakeError::TooSmall`] if [`Options::size_bytes`] is, [`MakeError::TooFewInodes`],
    /// [`MakeError::TooLarge`], [`MakeError::FileTooLarge`], [`MakeError::BlockSize`],
    /// [`MakeError::Revision`].
    pub fn plan(self) -> Result<Plan<'a>, MakeError> {
        let Self { options, nodes } = self;
        if !matches!(options.block_size, 1024 | 2048 | 4096) {
            return Err(MakeError::BlockSize(options.block_size));
        }
        if options.revision > 1 {
            return Err(MakeError::Revision(options.revision));
        }
        let (order, numbers) = number(&nodes);
        let mut lengths = Vec::with_capacity(nodes.len());
        let mut blocks = 0u64;
        for (index, node) in nodes.iter().enumerate() {
            let len = content_len(index, node, &options);
            let is_too_long = options.revision == 0 && len >= LARGE_FILE_LEN;
            if is_too_long && matches!(node.body, Body::File { .. }) {
                return Err(MakeError::FileTooLarge(node.path.clone()));
            }
            blocks = blocks.saturating_add(blocks_of(len, node, options.block_size)?);
            lengths.push(len);
        }
        let sizing = Sizing {
            options: &options,
            inodes_used: (order.len() as u64).saturating_add(u64::from(RESERVED_INODES)),
        };
        let geometry = sizing.choose(blocks)?;
        let uuid = options
            .uuid
            .unwrap_or_else(|| uuid_of(&options, &nodes, &lengths));
        Ok(Plan {
            options,
            nodes,
            geometry,
            uuid,
            numbers,
            order,
            lengths,
        })
    }
}

/// Gives inodes to all nodes, directory after directory, so that those of one directory are
/// neighbours. Returns the order and the number of each node.
fn number(nodes: &[Node<'_>]) -> (Vec<usize>, Vec<u32>) {
    let mut order = vec![LOST_AND_FOUND];
    let mut numbers = vec![0; nodes.len()];
    let mut next = FIRST_INODE;
    let mut give = |index: usize, next: &mut u32| -> bool {
        let slot = numbers.get_mut(index).filter(|slot| **slot == 0);
        slot.map(|slot| {
            *slot = *next;
            *next = next.saturating_add(1);
        })
        .is_some()
    };
    give(ROOT, &mut ROOT_INODE.clone());
    give(LOST_AND_FOUND, &mut next);
    let mut directories = vec![ROOT];
    while let Some(directory) = directories.pop() {
        let Some(Body::Directory { children, .. }) = nodes.get(directory).map(|node| &node.body)
        else {
            continue;
        };
        order.extend(children.values().filter(|child| give(**child, &mut next)));
        let is_directory = |index: &&usize| {
            nodes
                .get(**index)
                .is_some_and(|node| matches!(node.body, Body::Directory { .. }))
        };
        directories.extend(children.values().rev().filter(is_directory));
    }
    (order, numbers)
}

/// The length of a node's content in bytes, as far as it takes blocks.
fn content_len(index: usize, node: &Node<'_>, options: &Options) -> u64 {
    match &node.body {
        Body::Directory { .. } => {
            directory_content(index, node, options, |_| (0, FileType::File)).len() as u64
        }
        Body::File { len_bytes, .. } => *len_bytes,
        Body::Symlink { target } => target.len() as u64,
    }
}

/// The content of a directory, with inodes as `number_of` has them.
pub(super) fn directory_content(
    index: usize,
    node: &Node<'_>,
    options: &Options,
    number_of: impl Fn(usize) -> (u32, FileType),
) -> Vec<u8> {
    let mut entries = Entries::new(options.block_size, options.revision > 0);
    if let Body::Directory { parent, children } = &node.body {
        let names = [(b".".as_slice(), index), (b"..", *parent)]
            .into_iter()
            .chain(
                children
                    .iter()
                    .map(|(name, child)| (name.as_slice(), *child)),
            );
        for (name, child) in names {
            let (inode, file_type) = number_of(child);
            entries.push(name, inode, file_type);
        }
    }
    let len_min = if index == LOST_AND_FOUND {
        LOST_AND_FOUND_LEN
    } else {
        0
    };
    entries.finish(usize::try_from(len_min).unwrap_or(0))
}

/// Does a symbolic link of this length lie in its inode?
pub(super) fn is_short_symlink(node: &Node<'_>, len: u64) -> bool {
    matches!(node.body, Body::Symlink { .. }) && len < SHORT_TARGET_END
}

/// Most blocks that a node's content takes, with indirect ones.
fn blocks_of(len: u64, node: &Node<'_>, block_size: u32) -> Result<u64, MakeError> {
    if is_short_symlink(node, len) {
        return Ok(0);
    }
    let reach = len.div_ceil(u64::from(block_size));
    let data = match node.body {
        Body::File { data_blocks, .. } => data_blocks.map_or(reach, |data| data.min(reach)),
        _ => reach,
    };
    // Each block of data has at most three indirect ones over it.
    let all = indirect_blocks(reach, u64::from(block_size / 4))
        .map(|count| count.min(data.saturating_mul(3)).saturating_add(data));
    // An inode counts its blocks in units of 512 bytes, in 32 bits.
    let per_block = u64::from(block_size / 512);
    all.filter(|all| all.saturating_mul(per_block) <= u64::from(u32::MAX))
        .ok_or_else(|| MakeError::FileTooLarge(node.path.clone()))
}

/// How many indirect blocks so many blocks of data need; none if that is too many.
pub(super) fn indirect_blocks(data: u64, per_block: u64) -> Option<u64> {
    let mut left = data.saturating_sub(u64::from(DIRECT_BLOCKS));
    let mut count = 0u64;
    let mut reach = 1u64;
    for _ in 0..3 {
        reach = reach.saturating_mul(per_block);
        // The blocks of each level of this tree, the lowest first.
        let mut level = left.min(reach);
        left = left.saturating_sub(level);
        let mut span = reach;
        while span > 1 && level > 0 {
            level = level.div_ceil(per_block);
            span = span.checked_div(per_block).unwrap_or(0);
            count = count.saturating_add(level);
        }
    }
    (left == 0).then_some(count)
}

/// Has the group a copy of superblock and descriptors? In revision 0 all have; in revision 1 there is
/// the feature `sparse_super`: 0, 1 and the powers of 3, 5 and 7.
pub(crate) fn has_backup(revision: u32, group: u32) -> bool {
    let is_power_of = |base: u32| {
        let mut power = 1u32;
        while power < group {
            power = power.saturating_mul(base);
        }
        power == group
    };
    revision == 0 || group <= 1 || [3, 5, 7].into_iter().any(is_power_of)
}

/// Blocks at the start of a group that hold no content.
pub(super) fn overhead(geometry: &Geometry, revision: u32, group: u32) -> u32 {
    let backup = if has_backup(revision, group) {
        geometry.descriptor_blocks().saturating_add(1)
    } else {
        0
    };
    backup
        .saturating_add(geometry.inode_table_blocks())
        .saturating_add(2)
}

/// Blocks of a group.
pub(super) fn group_len(geometry: &Geometry, group: u32) -> u32 {
    geometry
        .blocks_count
        .saturating_sub(geometry.group_start(group))
        .min(geometry.blocks_per_group)
}

/// Chooses sizes.
struct Sizing<'o> {
    options: &'o Options,
    inodes_used: u64,
}

impl Sizing<'_> {
    /// The geometry for so many blocks of content.
    fn choose(&self, content: u64) -> Result<Geometry, MakeError> {
        let block_size = u64::from(self.options.block_size);
        if let Some(asked) = self.options.inode_count
            && u64::from(asked) < self.inodes_used
        {
            return Err(MakeError::TooFewInodes {
                needed: self.inodes_used,
                asked,
            });
        }
        let Some(size_bytes) = self.options.size_bytes else {
            let room = (content / 4).max((1024 * 1024u64).div_ceil(block_size));
            return self.least(content.saturating_add(room));
        };
        let blocks = size_bytes.checked_div(block_size).unwrap_or(0);
        let geometry = self.geometry(u32::try_from(blocks).map_err(|_| MakeError::TooLarge)?);
        if self.room(&geometry) < content {
            let needed_bytes = self.least(content)?.len_bytes();
            return Err(MakeError::TooSmall {
                needed_bytes,
                size_bytes,
            });
        }
        Ok(geometry)
    }

    /// The least geometry that has room for so many blocks of content.
    fn least(&self, content: u64) -> Result<Geometry, MakeError> {
        let mut blocks = content;
        loop {
            let geometry = self.geometry(u32::try_from(blocks).map_err(|_| MakeError::TooLarge)?);
            let missing = content.saturating_sub(self.room(&geometry));
            // A group has no more inodes than blocks.
            let missing_inodes = self.inodes_needed().saturating_sub(geometry.inodes_count());
            if missing == 0 && missing_inodes == 0 {
                return Ok(geometry);
            }
            blocks = blocks.saturating_add(missing.max(missing_inodes));
        }
    }

    /// The geometry of a file system of so many blocks, or a few less if the last group would
    /// have no room.
    fn geometry(&self, blocks_count: u32) -> Geometry {
        let block_size = self.options.block_size;
        let mut geometry = Geometry {
            block_size,
            blocks_count,
            first_data_block: u32::from(block_size == 1024),
            blocks_per_group: block_size.saturating_mul(8),
            inodes_per_group: 0,
            inode_size: if self.options.revision == 0 {
                INODE_LEN_MIN
            } else {
                INODE_SIZE
            },
        };
        loop {
            let groups = u64::from(geometry.groups_count().max(1));
            // Whole blocks of inodes, and whole bytes of the bitmap, which is one block.
            let step = u64::from(geometry.inodes_per_block()).max(8);
            let per_group = self
                .inodes_wanted(geometry.len_bytes())
                .div_ceil(groups)
                .next_multiple_of(step)
                .min(u64::from(geometry.blocks_per_group));
            geometry.inodes_per_group = u32::try_from(per_group).unwrap_or(0);

            let last = geometry.groups_count().saturating_sub(1);
            let least =
                overhead(&geometry, self.options.revision, last).saturating_add(GROUP_ROOM_MIN);
            if last == 0 || group_len(&geometry, last) >= least {
                return geometry;
            }
            geometry.blocks_count = geometry.group_start(last);
        }
    }

    fn inodes_wanted(&self, len_bytes: u64) -> u64 {
        self.options.inode_count.map_or_else(
            || {
                let spare = (self.inodes_used / 4).max(16);
                (len_bytes / BYTES_PER_INODE).max(self.inodes_used.saturating_add(spare))
            },
            u64::from,
        )
    }

    /// How many inodes there must be: those in use, and those that were asked for.
    fn inodes_needed(&self) -> u64 {
        let asked = self.options.inode_count.map_or(0, u64::from);
        asked.max(self.inodes_used)
    }

    /// How many blocks of content a geometry has room for; none if the inodes do not fit.
    fn room(&self, geometry: &Geometry) -> u64 {
        if geometry.inodes_count() < self.inodes_needed() {
            return 0;
        }
        (0..geometry.groups_count())
            .map(|group| {
                group_len(geometry, group).saturating_sub(overhead(
                    geometry,
                    self.options.revision,
                    group,
                ))
            })
            .map(u64::from)
            .sum()
    }
}

/// A number that follows from what is in the file system: the FNV-1a hash of it, marked as a UUID
/// of version 8 (RFC 9562, section 5.8).
fn uuid_of(options: &Options, nodes: &[Node<'_>], lengths: &[u64]) -> [u8; 16] {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
    const BASIS: u128 = 0x6C62_272E_07BB_0142_62B8_2175_6295_C58D;
    let hash = |start: u128, bytes: &[u8]| {
        bytes.iter().fold(start, |hash, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
        })
    };
    let base = hash(
        hash(BASIS, options.label.as_bytes()),
        &options.timestamp.to_le_bytes(),
    );
    // Added up, so that the order of adding does not matter.
    let sum = nodes.iter().zip(lengths).fold(base, |sum, (node, len)| {
        let Attributes {
            permissions,
            uid,
            gid,
            modified,
        } = node.attributes;
        let mut one = names(&node.path).fold(BASIS, |one, name| hash(hash(one, b"/"), name));
        if let Body::Symlink { target } = &node.body {
            one = hash(one, target);
        }
        one = hash(one, &len.to_le_bytes());
        one = hash(one, &permissions.to_le_bytes());
        one = hash(one, &uid.to_le_bytes());
        one = hash(one, &gid.to_le_bytes());
        sum.wrapping_add(hash(one, &modified.to_le_bytes()))
    });
    let version = 0x0000_0000_0000_8000_8000_0000_0000_0000;
    let mask: u128 = 0xFFFF_FFFF_FFFF_0FFF_3FFF_FFFF_FFFF_FFFF;
    (sum & mask | version).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::{has_backup, indirect_blocks};
    use alloc::vec::Vec;

    #[test]
    fn indirect_blocks_are_counted_at_the_edge_of_each_tree() {
        for (data, expected) in [
            (0, Some(0)),
            (12, Some(0)),
            (13, Some(1)),
            (12 + 256, Some(1)),
            (12 + 256 + 1, Some(1 + 2)),
            (12 + 256 + 65_536, Some(1 + 257)),
            (12 + 256 + 65_536 + 1, Some(1 + 257 + 3)),
            (12 + 256 + 65_536 + 16_777_216, Some(1 + 257 + 65_793)),
            (12 + 256 + 65_536 + 16_777_216 + 1, None),
        ] {
            assert_eq!(indirect_blocks(data, 256), expected, "{data} blocks");
        }
    }

    #[test]
    fn backups_lie_in_powers_of_three_five_and_seven() {
        let groups: Vec<u32> = (0..130).filter(|group| has_backup(1, *group)).collect();
        assert_eq!(groups, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
        assert!((0..130).all(|group| has_backup(0, group)));
    }
}
