//! A walk through the whole tree, for tools and tests.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use crate::filesystem::FileSystem;
use crate::{BlockDevice, Error, Inode};

impl<D: BlockDevice> FileSystem<D> {
    /// Visits everything below the root, directories before what is in them, with its path
    /// (relative to the root, without a leading `/`).
    ///
    /// It ends on any disk: a directory is entered once, and one that is reached a second time is
    /// an error.
    ///
    /// # Errors
    /// The visitor's, or [`Error::Corrupt`].
    pub fn walk<E: From<Error>>(
        &self,
        mut visit: impl FnMut(&[u8], &Inode) -> Result<(), E>,
    ) -> Result<(), E> {
        let root = self.inode(self.root())?;
        let mut entered = BTreeSet::from([root.number]);
        let mut to_enter = vec![(Vec::new(), root)];
        while let Some((path, directory)) = to_enter.pop() {
            for entry in self.read_dir(&directory, 0)? {
                let entry = entry?;
                if entry.is_dot() {
                    continue;
                }
                let inode = self.enter(&directory, entry.name(), entry.inode, entry.file_type)?;
                let mut inner = path.clone();
                if !inner.is_empty() {
                    inner.push(b'/');
                }
                inner.extend_from_slice(entry.name());
                visit(&inner, &inode)?;
                if inode.is_directory() && entered.insert(inode.number) {
                    to_enter.push((inner, inode));
                }
            }
        }
        Ok(())
    }
}
