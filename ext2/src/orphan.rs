//! Files that are removed while they are in use.
//!
//! They have no name, but their inodes and blocks stay until nobody uses them. So that a power cut
//! does not leave them on the disk for ever, they are in a list there, as in ext3 (Linux,
//! Documentation/filesystems/ext4/orphan.rst): `s_last_orphan` is the first one, and each has the next
//! one in `i_dtime`. e2fsck and mounting free them. Revision 0 has no such list; there only e2fsck
//! finds them.

use zerocopy::FromBytes;

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

    /// Puts an inode into the list.
    pub(crate) fn add_orphan(&mut self, number: InodeNumber) -> Result<(), Error> {
        self.write.orphans.insert(0, number.0);
        self.link_orphans(0)
    }

    fn free_orphan(&mut self, number: InodeNumber) -> Result<(), Error> {
        let inode = self.inode(number)?;
        // It leaves the list on the disk before it is freed there.
        self.hold(number, 0);
        self.free_inode(inode)?;
        let place = self
            .write
            .orphans
            .iter()
            .position(|other| *other == number.0);
        if let Some(place) = place {
            self.write.orphans.remove(place);
            if let Some(before) = place.checked_sub(1) {
                self.link_orphans(before)?;
            } else {
                self.set_last_orphan();
            }
        }
        Ok(())
    }

    /// Lets the orphan at a place of the list lead to the next one.
    fn link_orphans(&mut self, place: usize) -> Result<(), Error> {
        if self.facts.revision == 0 {
            return Ok(());
        }
        let next = self.write.orphans.get(place.saturating_add(1));
        let next = next.copied().unwrap_or(0);
        if let Some(number) = self.write.orphans.get(place).copied() {
            self.set_delete_time(InodeNumber(number), next)?;
        }
        if place == 0 {
            self.set_last_orphan();
        }
        Ok(())
    }

    fn set_last_orphan(&mut self) {
        if self.facts.revision > 0 {
            let first = self.write.orphans.first().copied().unwrap_or(0);
            put(
                &mut self.write.superblock,
                LAST_ORPHAN,
                &first.to_le_bytes(),
            );
            self.write.is_superblock_changed = true;
        }
    }

    /// Frees what was in the list when the file system was last used.
    pub(crate) fn free_old_orphans(&mut self) -> Result<(), Error> {
        let superblock = Superblock::ref_from_bytes(&self.write.superblock);
        let mut next = superblock.map_or(0, |superblock| superblock.last_orphan.get());
        if self.facts.revision == 0 || next == 0 {
            return Ok(());
        }
        // The list is read first: freeing changes it. An inode that cannot be in it ends it.
        while next >= self.first_inode
            && next <= self.facts.inodes
            && !self.write.orphans.contains(&next)
        {
            let raw = self.raw_inode(InodeNumber(next))?;
            let is_used = self.is_inode_used(InodeNumber(next))?;
            if raw.links_count.get() != 0 || raw.mode.get() == 0 || !is_used {
                break;
            }
            self.write.orphans.push(next);
            next = raw.delete_time.get();
        }
        self.set_last_orphan();
        while let Some(number) = self.write.orphans.last().copied() {
            self.begin(0)?;
            let freed = self.write.freed.inodes.len();
            let result = self.free_orphan(InodeNumber(number));
            // Its last name may still be there: the number is not used again before e2fsck has looked.
            self.write.freed.inodes.truncate(freed);
            self.end(result)?;
        }
        self.write_back_all()
    }
}
