//! Changing facts about a file: permissions, owner, times.
//!
//! Times are what the caller says: what happens happens at the time that [`FileSystem::set_time`] was
//! told last. Reading changes no time (as with Linux's `noatime`): it goes through `&self`.

use crate::filesystem::FileSystem;
use crate::{BlockDevice, Error, InodeNumber, Time};

/// Facts to change; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The low twelve bits of `st_mode`.
    pub permissions: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Time of the last read.
    pub accessed: Option<Time>,
    /// Time of the last change of content.
    pub modified: Option<Time>,
}

impl<D: BlockDevice> FileSystem<D> {
    /// Sets the time for what is done from now on.
    pub fn set_time(&mut self, now: Time) {
        self.write.now = now;
    }

    /// Changes facts about a file, directory or link.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Device`], [`Error::Corrupt`].
    pub fn change(&mut self, number: InodeNumber, changes: &Changes) -> Result<(), Error> {
        self.begin(0)?;
        let result = self.change_inode(number, changes);
        self.end(result)
    }

    fn change_inode(&mut self, number: InodeNumber, changes: &Changes) -> Result<(), Error> {
        let mut inode = self.inode(number)?;
        if let Some(permissions) = changes.permissions {
            inode.mode = inode.file_type.mode_bits() | permissions & 0o7777;
        }
        inode.uid = changes.uid.unwrap_or(inode.uid);
        inode.gid = changes.gid.unwrap_or(inode.gid);
        inode.accessed = changes.accessed.unwrap_or(inode.accessed);
        inode.modified = changes.modified.unwrap_or(inode.modified);
        inode.changed = self.write.now;
        self.store(&inode)
    }
}
