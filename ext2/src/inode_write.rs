//! Changing inodes in their table.

use zerocopy::{FromBytes, IntoBytes};

use crate::buffers::Kind;
use crate::error::corrupt;
use crate::filesystem::FileSystem;
use crate::layout::{RawInode, zeroed};
use crate::{BlockDevice, Error, FileType, Inode, InodeNumber, Place};

/// Bytes of the extra fields that a new inode gets, if it is large enough: Linux's
/// `s_want_extra_isize`.
const EXTRA_SIZE: u16 = 32;
/// Most links of an inode: Linux's `EXT2_LINK_MAX`.
const LINKS_MAX: u16 = 32_000;

impl<D: BlockDevice> FileSystem<D> {
    /// An inode as it lies in its table, unchecked.
    pub(crate) fn raw_inode(&self, number: InodeNumber) -> Result<RawInode, Error> {
        let (block, offset) = self.inode_place(number)?;
        let mut raw: RawInode = zeroed();
        let len = usize::from(self.geometry.inode_size).min(size_of::<RawInode>());
        let bytes = raw.as_mut_bytes();
        self.read_block(block, offset, bytes.get_mut(..len).unwrap_or_default())?;
        Ok(raw)
    }

    /// The bytes of an inode in its table, to be changed.
    fn edit_inode(&mut self, number: InodeNumber) -> Result<&mut [u8], Error> {
        let (block, offset) = self.inode_place(number)?;
        let size = self.geometry.inode_size;
        let before = offset.checked_div(u32::from(size)).unwrap_or(0);
        let first = number.0.saturating_sub(before);
        let start = offset as usize;
        self.edit(block, Kind::Inodes(first))?
            .get_mut(start..start.saturating_add(usize::from(size)))
            .ok_or_else(|| corrupt!(Place::Inode(number.0), "is not in its table"))
    }

    /// Changes the raw fields of an inode.
    pub(crate) fn change_raw(
        &mut self,
        number: InodeNumber,
        change: impl FnOnce(&mut RawInode),
    ) -> Result<(), Error> {
        let slot = self.edit_inode(number)?;
        if let Ok((raw, _)) = RawInode::mut_from_prefix(slot) {
            change(raw);
            return Ok(());
        }
        // An inode of 128 bytes ends before the extra fields.
        let mut raw: RawInode = zeroed();
        crate::bytes::put(raw.as_mut_bytes(), 0, slot);
        change(&mut raw);
        let len = slot.len();
        crate::bytes::put(slot, 0, raw.as_bytes().get(..len).unwrap_or_default());
        Ok(())
    }

    /// Begins a new inode: all of it is zero but for its generation.
    pub(crate) fn clear_new_inode(&mut self, number: InodeNumber) -> Result<(), Error> {
        let generation = self.raw_inode(number)?.generation.get();
        let has_extra = self.geometry.has_large_inodes();
        let slot = self.edit_inode(number)?;
        slot.fill(0);
        if let Ok((raw, _)) = RawInode::mut_from_prefix(slot) {
            raw.generation = generation.wrapping_add(1).into();
            if has_extra {
                raw.extra_size = EXTRA_SIZE.into();
            }
        } else {
            // An inode of 128 bytes ends before the extra fields, but has a generation.
            crate::bytes::put(slot, 100, &generation.wrapping_add(1).to_le_bytes());
        }
        Ok(())
    }

    /// Puts the facts of an inode into its table.
    pub(crate) fn store(&mut self, inode: &Inode) -> Result<(), Error> {
        let is_file = inode.file_type == FileType::File && self.facts.revision > 0;
        let has_extra = self.geometry.has_large_inodes();
        self.change_raw(inode.number, |raw| {
            let halves = |value: u32| {
                let low = u16::try_from(value & 0xFFFF).unwrap_or(0);
                (low.into(), u16::try_from(value >> 16).unwrap_or(0).into())
            };
            raw.mode = inode.mode.into();
            (raw.uid, raw.uid_high) = halves(inode.uid);
            (raw.gid, raw.gid_high) = halves(inode.gid);
            raw.links_count = inode.links.into();
            raw.blocks = inode.blocks.into();
            raw.flags = inode.flags.into();
            raw.attributes_block = inode.attributes_block.into();
            raw.block = inode.map.map(Into::into);
            raw.size = u32::try_from(inode.size & 0xFFFF_FFFF).unwrap_or(0).into();
            if is_file {
                raw.size_high = u32::try_from(inode.size >> 32).unwrap_or(0).into();
            }
            let extra_len = if has_extra { raw.extra_size.get() } else { 0 };
            for (time, low, extra, end) in [
                (
                    inode.changed,
                    &mut raw.change_time,
                    &mut raw.change_time_extra,
                    8,
                ),
                (
                    inode.modified,
                    &mut raw.modify_time,
                    &mut raw.modify_time_extra,
                    12,
                ),
                (
                    inode.accessed,
                    &mut raw.access_time,
                    &mut raw.access_time_extra,
                    16,
                ),
            ] {
                let (seconds, rest) = time.to_disk(extra_len >= end);
                *low = seconds.into();
                if extra_len >= end {
                    *extra = rest.into();
                }
            }
            if let Some(created) = inode.created.filter(|_| extra_len >= 24) {
                let (seconds, rest) = created.to_disk(true);
                raw.create_time = seconds.into();
                raw.create_time_extra = rest.into();
            }
        })
    }

    /// Notes that an inode loses names, or is let go: until that is on the disk, they count there. Those of a new inode are not there.
    pub(crate) fn hold(&mut self, number: InodeNumber, names: u16) {
        let is_new = self.write.created.contains_key(number.0);
        let names = if is_new { 0 } else { names };
        let hold = self.write.holds.get_or_insert_with(number.0, || 0);
        *hold = hold.saturating_add(names);
    }

    /// Counts one more link to an inode, unless it has too many.
    pub(crate) fn add_link(&mut self, number: InodeNumber) -> Result<(), Error> {
        let mut inode = self.inode(number)?;
        inode.links = inode.links.saturating_add(1);
        inode.changed = self.write.now;
        self.store(&inode)
    }

    /// Counts one link less. The last one is for [`FileSystem::drop_inode`].
    pub(crate) fn remove_link(&mut self, number: InodeNumber) -> Result<(), Error> {
        let mut inode = self.inode(number)?;
        self.hold(number, 1);
        inode.links = inode.links.saturating_sub(1);
        inode.changed = self.write.now;
        if inode.links == 0 {
            return Err(corrupt!(
                Place::Inode(number.0),
                "has more entries than links"
            ));
        }
        self.store(&inode)
    }

    /// Fails if an inode can have no more links.
    pub(crate) fn check_links(inode: &Inode) -> Result<(), Error> {
        if inode.links >= LINKS_MAX {
            return Err(Error::TooManyLinks);
        }
        Ok(())
    }
}
