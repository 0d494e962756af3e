//! Writing back: how what was changed in memory gets to the disk, in an order that loses nothing.
//!
//! # The problem
//!
//! A device may lose, tear (at sectors of 512 bytes) and reorder whatever was written since its last
//! flush. ext2 has no journal, so at every moment the disk itself must be something that holds:
//! whatever was synced is there and reached by its names, and what `e2fsck` (or nobody) repairs
//! afterwards is only what is too much: blocks and inodes marked as used that nothing uses, links
//! counted that are not there, names that lead to no inode, entries of a rename that are there twice.
//!
//! # The rules
//!
//! 1. Nothing on the disk leads to what is not yet there: blocks come before the pointers to them, and
//!    an inode that a name leads to instead of another comes before that.
//! 2. But a new name comes before its new inode, and an inode without names goes before its last name:
//!    e2fsck removes a name that leads to nothing without asking (`-p`), but stops at an inode that no
//!    name leads to. Such a name is taken for free here, see [`FileSystem::is_dead`]. `order.rs` has
//!    the order of what is new or goes, parents and children.
//! 3. Nothing is used again before the last that led to it on the disk is gone. What is freed waits
//!    in `Freed`; the bitmaps in memory know it as used until then. A name that was removed is given
//!    again when it is gone ([`FileSystem::settle_name`]). An inode whose name may be there is marked as used.
//! 4. A name that is moved comes before the old one goes, and links are counted before and uncounted after.
//!
//! So bits of bitmaps are set early and cleared late, and a file system that was not unmounted may be
//! mounted and written without a repair: what is lost is free space, until e2fsck finds it. Links are
//! counted anew before one is removed (`link_counts.rs`).
//!
//! Two things cannot be had without a journal, and `e2fsck -p` asks a human if the power is cut between the
//! flushes of just these: a directory has two names while it is renamed; and what a rename replaced
//! has none until it is gone (nothing is lost then: it is what was to go). Name and inode lie in two sectors, and if what is
//! replaced went first, the name would lead to nothing for a while.
//!
//! # Commit points
//!
//! Each change is made visible by one write within a sector:
//! - A file changes with its inode. Blocks of pointers that are on the disk are never changed, but
//!   written anew elsewhere, up to the inode (`map_write.rs`): so size and pointers change together
//!   when a file grows or becomes shorter. Only data that is overwritten changes in place.
//! - An entry of a directory appears when the header before it becomes shorter, or when a free record
//!   gets its inode; it goes when its inode becomes 0, or the record before it reaches over it. The
//!   space of an entry that goes is not used again before it is gone.
//!
//! # Phases
//!
//! Operations change blocks in memory (`buffers.rs`) and note what the order needs to know
//! (`write_state.rs`): a transaction. It ends with an `fsync`, or when it becomes large, always
//! between operations, by writing back in phases, each followed by a flush (`compose.rs` says what a
//! block looks like in each):
//!
//! 1. *Prepare*: what nothing leads to: new blocks, bits of bitmaps, additional links; what the last
//!    transaction had left to drop; names of new inodes that the disk has as used (`alloc_inodes.rs`
//!    marks some ahead) and that appear whole. (Data of files went to the device when it was written. It is
//!    flushed here.)
//! 2. *Link*: inodes whose blocks changed, new entries, then new inodes behind their names.
//! 3. *Replace*: entries that lead elsewhere now, such as `..` of directories that moved; inodes that
//!    lost all names go.
//! 4. *Unlink*: entries that go. Here the transaction is durable.
//! 5. *Drop*: links that go; then blocks are free, and the bitmaps may say so.
//!
//! A phase with nothing to write costs nothing: an overwritten file is synced with one flush, a new
//! or longer one with two (one more when a directory grows or inodes have to be marked), a removed one with two,
//! a renamed one with three, and each level of new directories in each other costs one. *Drop* is left to the
//! next transaction unless all is asked for (`sync.rs`).
//!
//! A new file cannot be had with one flush. Its name and its inode lie in two sectors, of which a device may write either first, and an
//! inode with content and without a name is what `e2fsck -p` asks a human about (it clears only empty ones by itself). Being in
//! the orphan list does not help: with links it is truncated to its size and still has no name, without links it goes.
//!
//! # The rest
//!
//! Files that are removed while in use stay without links (`orphan.rs`). Counts of free blocks
//! and inodes are written by a full sync; after a power cut mounting counts anew. A write that fails
//! makes the file system read-only, and leaves the disk as it was last made durable.

use alloc::vec::Vec;

use crate::buffers::Kind;
use crate::compose::{Context, Phase, version};
use crate::filesystem::FileSystem;
use crate::layout::{GROUP_DESCRIPTOR_LEN, SUPERBLOCK_OFFSET};
use crate::order::Order;
use crate::{BlockDevice, Error};

/// Most bytes of neighbouring blocks that are written at once.
const ROW_MAX: usize = 256 * 1024;

/// Neighbouring blocks on their way to the device.
#[derive(Default)]
struct Row {
    start: u32,
    /// The block that would be the next.
    next: u32,
    bytes: Vec<u8>,
}

impl<D: BlockDevice> FileSystem<D> {
    /// Makes everything durable.
    pub(crate) fn write_back(&mut self) -> Result<(), Error> {
        let result = self.write_phases(false);
        if result.is_err() {
            self.give_up();
        }
        result
    }

    /// Makes everything durable, frees what was removed, and brings the counts up to date.
    pub(crate) fn write_back_all(&mut self) -> Result<(), Error> {
        let result = self.unmark_inodes().and_then(|()| self.write_phases(true));
        if result.is_err() {
            self.give_up();
        }
        result
    }

    fn write_phases(&mut self, is_all: bool) -> Result<(), Error> {
        let write = &self.write;
        let is_dropping = is_all && !(write.freed.is_empty() && write.freed_before.is_empty());
        let is_counting = is_all && write.are_counts_changed;
        // Bits alone, of what was freed, can wait.
        let has_changes = write.is_superblock_changed
            || write.changed.iter().any(|block| {
                let buffer = write.buffers.get(*block);
                buffer.is_some_and(|buffer| is_all || buffer.kind != Kind::Bitmap)
            });
        if !(has_changes || is_dropping || is_counting) {
            return self.flush();
        }
        self.mark_in_use()?;
        let write = &self.write;
        let order = Order::new(
            &write.created,
            &write.unnamed,
            &write.early,
            &write.replaced,
            &write.buffers,
        );
        self.write_phase(Phase::Prepare, &order)?;
        self.write_changed_superblock()?;
        self.flush()?;
        // What the last transaction dropped was written just now.
        let freed_before = core::mem::take(&mut self.write.freed_before);
        self.release(freed_before)?;
        let links = (0..=order.link_levels).map(Phase::Link);
        let replaces = (0..=order.replace_levels).map(Phase::Replace);
        for phase in links.chain(replaces).chain([Phase::Unlink]) {
            self.write_phase(phase, &order)?;
            if phase == Phase::Unlink {
                self.note_orphans();
                self.write_changed_superblock()?;
            }
            self.flush()?;
        }

        self.write.holds.clear();
        self.write.created.clear();
        self.write.early.clear();
        let mut marking = core::mem::take(&mut self.write.marking);
        self.write.marked.append(&mut marking);
        self.write.unnamed.clear();
        self.write.replaced.clear();
        let order = Order::default();
        // Their space can be used from now on.
        for (directory, _) in core::mem::take(&mut self.write.removed) {
            self.write.room.remove(directory);
        }
        self.write.shrunk.clear();
        if is_all {
            self.write_phase(Phase::Drop, &order)?;
            self.flush()?;
        }
        let freed = core::mem::take(&mut self.write.freed);
        let is_dropped = is_all
            || self.write.changed.iter().all(|block| {
                let buffer = self.write.buffers.get(*block);
                buffer.is_none_or(|buffer| buffer.kind == Kind::Bitmap)
            });
        if is_dropped {
            self.release(freed)?;
        } else {
            self.write.freed_before = freed;
        }
        if is_all {
            self.write_phase(Phase::Prepare, &order)?;
            self.write_counts()?;
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what has to be written in a phase, neighbouring blocks at once.
    fn write_phase(&mut self, phase: Phase, order: &Order) -> Result<(), Error> {
        let inode_size = usize::from(self.geometry.inode_size);
        let block_size = self.geometry.block_size as usize;
        let mut row = Row::default();
        let changed: Vec<u32> = self.write.changed.iter().copied().collect();
        for block in changed {
            let is_over = row.next != block || row.bytes.len() >= ROW_MAX;
            // Without memory for more of it a row is over too.
            if !row.bytes.is_empty() && (is_over || row.bytes.try_reserve(block_size).is_err()) {
                self.write_row(&mut row)?;
            }
            let Some(buffer) = self.write.buffers.get_mut(block) else {
                continue;
            };
            let context = Context {
                holds: &self.write.holds,
                orphans: &self.write.orphans,
                order,
                inode_size,
            };
            let Some(version) = version(buffer, phase, &context) else {
                if buffer.disk.as_ref() == Some(&buffer.memory) {
                    // It was changed and changed back.
                    buffer.disk = None;
                    self.write.changed.remove(&block);
                }
                continue;
            };
            if row.bytes.is_empty() {
                row.start = block;
            }
            row.next = block.saturating_add(1);
            row.bytes.extend_from_slice(&version);
            let version = version.into_owned();
            let is_done = version == buffer.memory;
            buffer.disk = (!is_done).then_some(version);
            buffer.is_fresh = false;
            if is_done {
                self.write.changed.remove(&block);
            }
        }
        self.write_row(&mut row)
    }

    fn write_row(&mut self, row: &mut Row) -> Result<(), Error> {
        if row.bytes.is_empty() {
            return Ok(());
        }
        self.write_device(self.geometry.offset_of(row.start), &row.bytes)?;
        row.bytes.clear();
        Ok(())
    }

    /// Writes the counts of all groups that changed, and the superblock.
    fn write_counts(&mut self) -> Result<(), Error> {
        if !self.write.are_counts_changed {
            return Ok(());
        }
        let table = self.geometry.first_data_block.saturating_add(1);
        let mut offset = self.geometry.offset_of(table);
        for index in 0..self.groups.len() {
            let Some(group) = self.groups.get_mut(index) else {
                break;
            };
            if core::mem::take(&mut group.is_changed) {
                let counts = [group.free_blocks, group.free_inodes, group.directories];
                let mut bytes = [0; 6];
                let fields = counts
                    .into_iter()
                    .flat_map(|count| u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
                for (to, from) in bytes.iter_mut().zip(fields) {
                    *to = from;
                }
                self.write_device(offset.saturating_add(12), &bytes)?;
            }
            offset = offset.saturating_add(u64::from(GROUP_DESCRIPTOR_LEN));
        }
        self.write.are_counts_changed = false;
        self.write_superblock()
    }

    fn write_changed_superblock(&mut self) -> Result<(), Error> {
        match self.write.is_superblock_changed {
            true => self.write_superblock(),
            false => Ok(()),
        }
    }

    /// Writes the superblock with its counts.
    pub(crate) fn write_superblock(&mut self) -> Result<(), Error> {
        self.fill_superblock();
        self.write.is_superblock_changed = false;
        let superblock = self.write.superblock;
        self.write_device(SUPERBLOCK_OFFSET, &superblock)
    }

    /// Writes to the device; not on the medium before [`FileSystem::flush`].
    pub(crate) fn write_device(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.write.needs_flush = true;
        Ok(self.device.write(offset, bytes)?)
    }

    /// Returns when what was written is on the medium.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        if self.write.needs_flush {
            self.device.flush()?;
            self.write.needs_flush = false;
        }
        Ok(())
    }
}
