//! Moving names.

use alloc::collections::BTreeSet;

use crate::directory_write::{Entry, check_name};
use crate::error::corrupt;
use crate::filesystem::FileSystem;
use crate::layout::ROOT_INODE;
use crate::{BlockDevice, Error, Inode, InodeNumber, Place};

/// Blocks that adding an entry may need.
const BLOCKS_MAX: u32 = 8;

/// A name in a directory.
struct Name<'a> {
    directory: InodeNumber,
    name: &'a [u8],
}

impl<D: BlockDevice> FileSystem<D> {
    /// Moves `name` of `directory` to `to_name` of `to`. If that is there and `may_replace`, it goes: a
    /// directory must be empty for that. At any time what is moved has one of the names, or both, and
    /// `to_name` leads to one of the two.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Exists`] if nothing may be replaced; [`Error::IsADirectory`],
    /// [`Error::NotADirectory`] and [`Error::NotEmpty`] for what cannot be; [`Error::IntoItself`];
    /// else as [`FileSystem::create`].
    pub fn rename(
        &mut self,
        directory: InodeNumber,
        name: &[u8],
        to: InodeNumber,
        to_name: &[u8],
        may_replace: bool,
    ) -> Result<(), Error> {
        check_name(name)?;
        check_name(to_name)?;
        self.begin(BLOCKS_MAX)?;
        let from = Name { directory, name };
        let to = Name {
            directory: to,
            name: to_name,
        };
        let result = self.rename_entry(&from, &to, may_replace);
        self.end(result)
    }

    fn rename_entry(&mut self, from: &Name, to: &Name, may_replace: bool) -> Result<(), Error> {
        let parent = self.directory(from.directory)?;
        let to_parent = self.directory(to.directory)?;
        let entry = self.live_entry(&parent, from.name)?;
        let entry = entry.ok_or(Error::NotFound)?;
        let inode = self.enter(&parent, from.name, entry.inode, None)?;
        let is_moved_directory = inode.is_directory() && from.directory != to.directory;
        if inode.is_directory() {
            self.check_not_inside(&to_parent, inode.number)?;
        }
        let target = match self.live_entry(&to_parent, to.name)? {
            None => None,
            Some(_) if !may_replace => return Err(Error::Exists),
            Some(target) if target.inode == entry.inode => return Ok(()),
            Some(target) => {
                let old = self.enter(&to_parent, to.name, target.inode, None)?;
                self.check_replaceable(&inode, &old)?;
                Some((target, self.with_sure_links(old)?))
            }
        };
        if is_moved_directory && target.is_none() {
            Self::check_links(&to_parent)?;
        }

        let is_new = self.write.created.contains_key(inode.number.0);
        if is_new && (inode.is_directory() || target.is_some()) {
            // What replaces something has to be there, and what is in a directory comes after it.
            self.write_back()?;
        }
        self.settle_name(to.directory, to.name)?;
        let is_replacing = target.is_some();
        self.place_entry(to, &inode, target)?;
        self.add_link(inode.number)?;
        // Adding an entry moves no other, so the old one is where it was.
        self.remove_entry(from.directory, from.name, &entry)?;
        self.remove_link(inode.number)?;
        if is_moved_directory {
            self.set_parent(&inode, to.directory)?;
            self.add_link(to.directory)?;
            self.remove_link(from.directory)?;
        }
        if inode.is_directory() && is_replacing {
            // Until the other one is gone on the disk, both count there.
            self.remove_link(to.directory)?;
        }
        Ok(())
    }

    /// Lets the new name lead to the inode, and lets go what it led to.
    fn place_entry(
        &mut self,
        to: &Name,
        inode: &Inode,
        target: Option<(Entry, Inode)>,
    ) -> Result<(), Error> {
        let Some((entry, old)) = target else {
            let place = self.insert_entry(to.directory, to.name, inode.number, inode.file_type)?;
            if self.write.created.contains_key(inode.number.0) {
                self.note_new(inode.number, to.directory, place);
            }
            return Ok(());
        };
        self.replace_entry(to.directory, &entry, inode)?;
        self.write.replaced.insert(old.number.0);
        if old.is_directory() {
            self.drop_inode(old, to.directory)
        } else {
            self.lose_name(&old, to.directory)
        }
    }

    fn check_replaceable(&self, new: &Inode, old: &Inode) -> Result<(), Error> {
        match (new.is_directory(), old.is_directory()) {
            (true, false) => Err(Error::NotADirectory),
            (false, true) => Err(Error::IsADirectory),
            (true, true) if !self.is_empty(old)? => Err(Error::NotEmpty),
            _ => Ok(()),
        }
    }

    /// Fails if a directory is `top` or lies somewhere below it.
    fn check_not_inside(&self, directory: &Inode, top: InodeNumber) -> Result<(), Error> {
        let mut here = directory.clone();
        let mut seen = BTreeSet::new();
        while here.number != top {
            if here.number.0 == ROOT_INODE {
                return Ok(());
            }
            if !seen.insert(here.number) {
                return Err(corrupt!(
                    Place::Directory(here.number.0),
                    "is its own parent"
                ));
            }
            let parent = self.find_entry(&here, b"..")?;
            let parent = parent.ok_or(Error::NotFound)?;
            here = self.inode(parent.inode)?;
            if !here.is_directory() {
                return Err(Error::NotADirectory);
            }
        }
        Err(Error::IntoItself)
    }
}
