//! A path from the root to an inode, for tools and tests. (A kernel walks paths itself, because of
//! its mount points.)

use alloc::vec;
use alloc::vec::Vec;

use crate::filesystem::FileSystem;
use crate::{BlockDevice, Error, FileType, Inode};

/// How many symbolic links a path may lead through, as on Linux.
const SYMLINKS_MAX: u32 = 40;

impl<D: BlockDevice> FileSystem<D> {
    /// Follows a path from the root, and symbolic links on the way and at its end. Empty names and
    /// `.` stay where they are, but only in a directory; `..` of the root is the root.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotADirectory`], [`Error::NameTooLong`],
    /// [`Error::TooManySymlinks`], [`Error::Corrupt`].
    pub fn resolve(&self, path: &[u8]) -> Result<Inode, Error> {
        // The way from the root to where we are, and the names still to go, the next one last.
        let mut way = vec![self.inode(self.root())?];
        let mut names = Vec::new();
        let push = |names: &mut Vec<Vec<u8>>, path: &[u8]| {
            names.extend(path.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
        };
        push(&mut names, path);
        let mut symlinks = 0u32;
        while let Some(name) = names.pop() {
            let here = way.last().ok_or(Error::NotFound)?;
            if !here.is_directory() {
                return Err(Error::NotADirectory);
            }
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    way.truncate(way.len().saturating_sub(1).max(1));
                    continue;
                }
                _ => {}
            }
            let inode = self.find(here, &name)?;
            if inode.file_type != FileType::Symlink {
                way.push(inode);
                continue;
            }
            symlinks = symlinks.saturating_add(1);
            if symlinks > SYMLINKS_MAX {
                return Err(Error::TooManySymlinks);
            }
            let target = self.read_link(&inode)?;
            if target.starts_with(b"/") {
                way.truncate(1);
            }
            push(&mut names, &target);
        }
        way.pop().ok_or(Error::NotFound)
    }
}
