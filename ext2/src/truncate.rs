//! Setting the length of a file.

use crate::filesystem::FileSystem;
use crate::{BlockDevice, Error, InodeNumber};

impl<D: BlockDevice> FileSystem<D> {
    /// Makes a regular file as long as said: cuts it off, or lets it go on with zeros that take no
    /// space.
    ///
    /// # Errors
    /// [`Error::FileTooLarge`], [`Error::IsADirectory`], [`Error::NotAFile`], [`Error::ReadOnly`],
    /// [`Error::Device`].
    pub fn set_len(&mut self, number: InodeNumber, len_bytes: u64) -> Result<(), Error> {
        self.begin(0)?;
        let result = self.set_len_of(number, len_bytes);
        self.end(result)
    }

    fn set_len_of(&mut self, number: InodeNumber, len_bytes: u64) -> Result<(), Error> {
        let mut inode = self.regular(number)?;
        if len_bytes > inode.size {
            self.check_size(len_bytes)?;
            self.clear_tail(&inode, len_bytes)?;
            self.note_size(len_bytes);
        } else if len_bytes < inode.size {
            let keep = len_bytes.div_ceil(u64::from(self.geometry.block_size));
            self.cut_blocks(&mut inode, keep)?;
            self.write.shrunk.insert(number.0);
        }
        inode.size = len_bytes;
        inode.modified = self.write.now;
        inode.changed = self.write.now;
        self.store(&inode)
    }
}
