//! Counts of links after a power cut.
//!
//! The order of writing lets an inode say more links than it has names, never less (`writeback.rs`). Who removes its last
//! name then would leave it for ever. So before the first time that matters, all names are counted.

use alloc::collections::BTreeSet;

use crate::error::corrupt;
use crate::filesystem::FileSystem;
use crate::inode::FileType;
use crate::layout::ROOT_INODE;
use crate::numbered::Numbered;
use crate::{BlockDevice, Error, Inode, InodeNumber, Place};

impl<D: BlockDevice> FileSystem<D> {
    /// An inode that is about to lose a name, with a count of links that can be relied on.
    pub(crate) fn with_sure_links(&mut self, inode: Inode) -> Result<Inode, Error> {
        let is_sure = self.facts.is_clean || self.write.are_links_counted;
        if is_sure || inode.links < 2 || inode.is_directory() {
            return Ok(inode);
        }
        match self.count_links() {
            // Where there is damage, the counts stay as they are: too high is safe.
            Ok(()) | Err(Error::Corrupt { .. }) => self.write.are_links_counted = true,
            Err(error) => return Err(error),
        }
        self.inode(inode.number)
    }

    /// Corrects the counts of links of all files that say they have several names.
    fn count_links(&mut self) -> Result<(), Error> {
        let mut names: Numbered<(u16, u16)> = Numbered::default();
        let mut seen = BTreeSet::from([ROOT_INODE]);
        let mut to_read = alloc::vec![InodeNumber(ROOT_INODE)];
        // A sound file system cannot have more blocks of directories.
        let mut blocks_left = u64::from(self.facts.blocks);
        while let Some(number) = to_read.pop() {
            let directory = self.inode(number)?;
            let blocks = self.directory_blocks(&directory);
            blocks_left = blocks_left.checked_sub(blocks).ok_or_else(|| {
                corrupt!(
                    Place::Directory(number.0),
                    "shares its blocks with other directories"
                )
            })?;
            let mut entries = self.read_dir(&directory, 0)?;
            while let Some(entry) = entries.next_entry()? {
                if entry.is_dot() {
                    continue;
                }
                let raw = self.raw_inode(entry.inode)?;
                let links = raw.links_count.get();
                let is_directory = FileType::from_mode(raw.mode.get()) == Some(FileType::Directory);
                if is_directory && links > 0 && seen.insert(entry.inode.0) {
                    to_read.push(entry.inode);
                } else if !is_directory && links > 1 {
                    let (_, count) = names.get_or_insert_with(entry.inode.0, || (links, 0));
                    *count = count.saturating_add(1);
                }
            }
        }
        for (number, &(links, count)) in names.iter() {
            if count < links {
                self.change_raw(InodeNumber(number), |raw| raw.links_count = count.into())?;
            }
        }
        Ok(())
    }
}
