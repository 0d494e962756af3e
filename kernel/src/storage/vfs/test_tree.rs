//! A tree of names over one file system, with shorthands for tests. Paths start at its root; files are made with permissions 0o644.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use libc::{O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY};

use super::file::OpenFile;
use super::namespace::Namespace;
use super::node::FileSystem;
use super::operations;
use crate::error::Result;
use crate::storage::block_cache::tests::MemoryDisk;
use crate::storage::disks::{Disk, Volume};

/// All of a disk, behind a cache of 64 KiB.
pub(super) fn volume(disk: &Arc<MemoryDisk>) -> Volume {
    Volume::whole(Arc::new(Disk::new(disk.clone(), 1 << 16)))
}

/// A mounted file system.
pub(super) struct Tree(pub(super) Namespace);

impl Tree {
    pub(super) fn new(file_system: impl FileSystem + 'static) -> Self {
        Self(Namespace::new(Arc::new(file_system)).expect("a root"))
    }

    pub(super) fn unmount(self) {
        self.file_system().unmount().expect("works");
    }

    pub(super) fn file_system(&self) -> &dyn FileSystem {
        &*self.0.root().mount.file_system
    }

    pub(super) fn open(&self, path: &str, flags: i32) -> Result<OpenFile> {
        operations::open(&self.0, self.0.root(), path.as_bytes(), flags, 0o644)
    }

    pub(super) fn write(&self, path: &str, content: &[u8]) -> Result<usize> {
        self.open(path, O_WRONLY | O_CREAT | O_TRUNC)?
            .write(content)
    }

    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.open(path, O_RDONLY)?;
        let mut content = vec![0; 200_000];
        let len = file.read(&mut content)?;
        content.truncate(len);
        Ok(content)
    }

    pub(super) fn mkdir(&self, path: &str) -> Result<()> {
        operations::make_directory(&self.0, self.0.root(), path.as_bytes(), 0o755)
    }

    pub(super) fn unlink(&self, path: &str) -> Result<()> {
        operations::unlink(&self.0, self.0.root(), path.as_bytes())
    }

    pub(super) fn rmdir(&self, path: &str) -> Result<()> {
        operations::remove_directory(&self.0, self.0.root(), path.as_bytes())
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.rename_as(from, to, true)
    }

    pub(super) fn rename_as(&self, from: &str, to: &str, may_replace: bool) -> Result<()> {
        let root = self.0.root();
        let (from, to) = ((root, from.as_bytes()), (root, to.as_bytes()));
        operations::rename(&self.0, from, to, may_replace)
    }

    /// Names in a directory, in its order, without dots.
    pub(super) fn names(&self, path: &str) -> Result<Vec<String>> {
        let directory = self.open(path, O_RDONLY)?;
        let mut names = Vec::new();
        while let Some((name, _)) = directory.next_entry()? {
            let name = String::from_utf8_lossy(&name).into_owned();
            if !matches!(&*name, "." | "..") {
                names.push(name);
            }
        }
        Ok(names)
    }

    pub(super) fn free_blocks(&self) -> u64 {
        self.file_system().sync().expect("works");
        self.file_system().usage().free_blocks
    }
}
