//! Which block of a large directory a name is in: an index in memory, so that adding the ten
//! thousandth name does not read the others.
//!
//! It is made when a directory is first changed, holds hashes of names with the numbers of blocks,
//! and may say too much: what it leads to is looked at. Names that were removed stay in it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::filesystem::FileSystem;
use crate::numbered::Numbered;
use crate::records::records;
use crate::{BlockDevice, Error, Inode};

/// Directories of fewer blocks need no index.
const BLOCKS_MIN: u64 = 2;
/// Most directories, and most names of all of them.
const DIRECTORIES_MAX: usize = 16;
const NAMES_MAX: usize = 65_536;

/// Indexes of some directories; none for one that has too many names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    directories: Numbered<Option<BTreeSet<(u32, u32)>>>,
    count: usize,
}

/// FNV-1a.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811C_9DC5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

impl Names {
    /// The blocks that a name of a directory may be in, if the directory has an index.
    pub(crate) fn blocks<'a>(
        &'a self,
        directory: u32,
        name: &[u8],
    ) -> Option<impl Iterator<Item = u64> + use<'a>> {
        let index = self.directories.get(directory)?.as_ref()?;
        let hash = hash(name);
        let found = index.range((hash, 0)..=(hash, u32::MAX));
        Some(found.map(|(_, logical)| u64::from(*logical)))
    }

    /// Notes a new name, if the directory has an index.
    pub(crate) fn add(&mut self, directory: u32, name: &[u8], logical: u64) {
        if let Some(Some(index)) = self.directories.get_mut(directory) {
            let logical = u32::try_from(logical).unwrap_or(u32::MAX);
            if index.insert((hash(name), logical)) {
                self.count = self.count.saturating_add(1);
            }
            if self.count > NAMES_MAX {
                self.clear();
            }
        }
    }

    /// Forgets a directory that is removed.
    pub(crate) fn forget(&mut self, directory: u32) {
        if let Some(Some(index)) = self.directories.remove(directory) {
            self.count = self.count.saturating_sub(index.len());
        }
    }

    pub(crate) fn clear(&mut self) {
        self.directories.clear();
        self.count = 0;
    }
}

impl<D: BlockDevice> FileSystem<D> {
    /// Makes the index of a directory, if it is large and has none.
    pub(crate) fn index_names(&mut self, directory: &Inode) -> Result<(), Error> {
        let blocks = self.directory_blocks(directory);
        let number = directory.number.0;
        if blocks < BLOCKS_MIN || self.write.names.directories.contains_key(number) {
            return Ok(());
        }
        if self.write.names.directories.len() >= DIRECTORIES_MAX {
            self.write.names.clear();
        }
        let mut index = BTreeSet::new();
        let mut scratch = Vec::new();
        for logical in 0..blocks {
            let block = self.directory_block(directory, logical)?;
            let bytes = self.look(block, &mut scratch)?;
            let logical = u32::try_from(logical).unwrap_or(u32::MAX);
            for record in records(bytes).flatten() {
                if record.inode != 0 {
                    index.insert((hash(record.name(bytes)), logical));
                }
            }
            if index.len() > NAMES_MAX / 2 {
                self.write.names.directories.insert(number, None);
                return Ok(());
            }
        }
        let names = &mut self.write.names;
        if names.count.saturating_add(index.len()) > NAMES_MAX {
            names.clear();
        }
        names.count = names.count.saturating_add(index.len());
        names.directories.insert(number, Some(index));
        Ok(())
    }
}
