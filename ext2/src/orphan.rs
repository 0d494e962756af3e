//! Files that are removed while they are in use.
//!
//! They have no name, but their inodes and blocks stay until nobody uses them. So that a power cut does not leave them on the disk for
//! ever, their inodes have no links and no time of removal there: e2fsck frees such an inode without asking. Mounting frees them too; it
//! looks for them where `s_last_orphan` of the superblock, the head of ext3's orphan list (Linux,
//! Documentation/filesystems/ext4/orphan.rst), says that there are some. It leads to one of them, and that to no other: in that list each would lead
//! to the next by its time of removal, and of what a power cut leaves out of the list e2fsck would ask a human. Revision 0 has no such field;
//! there only e2fsck finds them.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use zerocopy::FromBytes;

use crate::bitmap;
use crate::bytes::put;
use crate::filesystem::FileSystem;
use crate::layout::Superblock;
use crate::{BlockDevice, Error, InodeNumber};

/// Where `s_last_orphan` is in the superblock.
const LAST_ORPHAN: usize = core::mem::offset_of!(Superblock, last_orphan);

impl<D: BlockDevice> FileSystem<D> {
    /// Says that an inode is in use, so that it stays when its last name is removed. Each pin needs its
    /// [`FileSystem::unpin`].
    pub fn pin(&mut self, number: InodeNumber) {
        let pins = self.write.pins.entry(number.0).or_default();
        *pins = pins.saturating_add(1);
    }

    /// Takes back a [`FileSystem::pin`]. If it was the last one and the inode has no name any more, it
    /// is freed.
    ///
    /// # Errors
    /// [`Error::Device`] or [`Error::Corrupt`] when it cannot be freed.
    pub fn unpin(&mut self, number: InodeNumber) -> Result<(), Error> {
        let Some(pins) = self.write.pins.get_mut(&number.0) else {
            return Ok(());
        };
        *pins = pins.saturating_sub(1);
        if *pins > 0 {
            return Ok(());
        }
        self.write.pins.remove(&number.0);
        if !self.write.orphans.contains(&number.0) || self.facts.read_only.is_some() {
            return Ok(());
        }
        self.begin(0)?;
        let result = self.free_orphan(number);
        self.end(result)
    }

    /// Notes that an inode without a name stays.
    pub(crate) fn add_orphan(&mut self, number: InodeNumber) -> Result<(), Error> {
        self.write.orphans.insert(number.0);
        self.change_raw(number, |raw| raw.delete_time = 0.into())
    }

    fn free_orphan(&mut self, number: InodeNumber) -> Result<(), Error> {
        let inode = self.inode(number)?;
        // The superblock leads to it no more before it is freed there.
        self.hold(number, 0);
        self.free_inode(inode)?;
        self.write.orphans.remove(&number.0);
        if self.last_orphan() == number.0 {
            self.set_last_orphan(0);
        }
        Ok(())
    }

    fn last_orphan(&self) -> u32 {
        match Superblock::ref_from_bytes(&self.write.superblock) {
            Ok(superblock) if self.facts.revision > 0 => superblock.last_orphan.get(),
            _ => 0,
        }
    }

    fn set_last_orphan(&mut self, number: u32) {
        let place = &mut self.write.superblock;
        put(place, LAST_ORPHAN, &number.to_le_bytes());
        self.write.is_superblock_changed = true;
    }

    /// Has the superblock say that there are such inodes, if there are. Their inodes are on the disk, or go there with it.
    pub(crate) fn note_orphans(&mut self) {
        if let Some(first) = self.write.orphans.first().copied()
            && self.facts.revision > 0
            && self.last_orphan() == 0
        {
            self.set_last_orphan(first);
        }
    }

    /// Frees what had no name but was in use when the file system was last used.
    pub(crate) fn free_old_orphans(&mut self) -> Result<(), Error> {
        if self.last_orphan() == 0 {
            return Ok(());
        }
        self.write.orphans = self.find_orphans()?;
        self.set_last_orphan(0);
        while let Some(number) = self.write.orphans.first().copied() {
            self.begin(0)?;
            let freed = self.write.freed.inodes.len();
            let result = self.free_orphan(InodeNumber(number));
            // Its last name may still be there: the number is not used again before e2fsck has looked.
            self.write.freed.inodes.truncate(freed);
            self.end(result)?;
        }
        self.write_back_all()
    }

    /// Looks for inodes without links that were not freed. The time of removal of one in a list by others is the next one's number.
    fn find_orphans(&self) -> Result<BTreeSet<u32>, Error> {
        let mut found = BTreeSet::new();
        let mut bits = Vec::new();
        let mut number = 0u32;
        for group in &self.groups {
            let bits = self.look(group.inode_bitmap, &mut bits)?;
            for bit in 0..self.geometry.inodes_per_group {
                number = number.saturating_add(1);
                if number < self.first_inode || !bitmap::is_set(bits, bit) {
                    continue;
                }
                let raw = self.raw_inode(InodeNumber(number))?;
                if raw.links_count.get() == 0
                    && raw.mode.get() != 0
                    && raw.delete_time.get() <= self.facts.inodes
                {
                    found.insert(number);
                }
            }
        }
        Ok(found)
    }
}
