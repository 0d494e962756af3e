//! Symbolic links: short targets lie in the inode, long ones in a block.

use alloc::vec::Vec;

use crate::error::corrupt;
use crate::filesystem::FileSystem;
use crate::{BlockDevice, Error, FileType, Inode, Place};

/// Bytes of `i_block`. A target that is shorter lies there.
pub(crate) const SHORT_TARGET_END: u64 = 60;

impl<D: BlockDevice> FileSystem<D> {
    /// Reads where a symbolic link leads.
    ///
    /// # Errors
    /// [`Error::NotASymlink`]; [`Error::Corrupt`] if the target is empty, too long or holds a NUL.
    pub fn read_link(&self, inode: &Inode) -> Result<Vec<u8>, Error> {
        if inode.file_type != FileType::Symlink {
            return Err(Error::NotASymlink);
        }
        let block_size = u64::from(self.geometry.block_size);
        let is_short = self.is_short_link(inode);
        let limit = if is_short {
            SHORT_TARGET_END
        } else {
            block_size
        };
        if inode.size == 0 || inode.size >= limit {
            return Err(corrupt!(
                Place::Inode(inode.number.0),
                "size of a symbolic link is {}, must be 1 to {}",
                inode.size,
                limit.saturating_sub(1)
            ));
        }
        let len = usize::try_from(inode.size).unwrap_or(0);
        let mut target: Vec<u8> = inode
            .map
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        target.resize(len, 0);
        if !is_short {
            self.read_content(inode, 0, &mut target)?;
        }
        if target.contains(&0) {
            let shown = target.escape_ascii();
            return Err(corrupt!(
                Place::Inode(inode.number.0),
                "symbolic link leads to \"{shown}\""
            ));
        }
        Ok(target)
    }

    /// Does the target of a link lie in its inode? As Linux tells them apart: such a link has no block
    /// but perhaps one of attributes.
    pub(crate) fn is_short_link(&self, inode: &Inode) -> bool {
        let attributes = if inode.attributes_block != 0 {
            u64::from(self.geometry.block_size / 512)
        } else {
            0
        };
        inode.blocks_of_512() == attributes
    }
}
