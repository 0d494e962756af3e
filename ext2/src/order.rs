//! In which phase of a write-back a new inode may come to the disk, and one without a name must go.
//!
//! At no time may the disk have an inode that no name leads to: `e2fsck -p` stops at those and asks a human. (A name that
//! leads to an inode that is not there it removes without a word.) So a new inode comes after its name, and after the directory that
//! the name is in; an inode goes before its last name, and before that directory. Hence levels: each is on the medium before the next.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::buffers::Buffer;
use crate::compose::{Phase, early_offsets};
use crate::numbered::Numbered;

/// Where the name of a new inode is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewName {
    /// Counts up: what is in a directory has a larger one than the directory.
    pub(crate) order: u64,
    pub(crate) directory: u32,
    pub(crate) block: u32,
    pub(crate) offset: usize,
}

/// The order of a transaction. Inodes that are not in it are neither new nor without a name.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// The level of [`Phase::Link`] in which a new inode may come.
    pub(crate) births: BTreeMap<u32, u32>,
    /// New inodes that the disk has as used already. Their names may be there before them.
    pub(crate) early: BTreeSet<u32>,
    /// The phase in which an inode goes.
    pub(crate) ends: Numbered<Phase>,
    /// The highest levels of [`Phase::Link`] and [`Phase::Replace`].
    pub(crate) link_levels: u32,
    pub(crate) replace_levels: u32,
}

impl Order {
    pub(crate) fn new(
        created: &Numbered<NewName>,
        unnamed: &[Unnamed],
        early: &BTreeSet<u32>,
        replaced: &BTreeSet<u32>,
        buffers: &Numbered<Buffer>,
    ) -> Self {
        let mut order = Self::default();
        let early = early.iter().filter(|number| created.contains_key(**number));
        order.early = early.copied().collect();
        order.add_births(created, buffers);
        order.add_ends(unnamed, replaced);
        order
    }

    fn add_births(&mut self, created: &Numbered<NewName>, buffers: &Numbered<Buffer>) {
        let early = core::mem::take(&mut self.early);
        let is_early = |number: u32| early.contains(&number);
        let mut places: Numbered<Vec<usize>> = Numbered::default();
        let mut names: Vec<_> = created.iter().collect();
        names.sort_unstable_by_key(|(_, name)| name.order);
        for (number, name) in names {
            let level = if let Some(parent) = self.births.get(&name.directory) {
                parent.saturating_add(1)
            } else {
                let offsets = places.get_or_insert_with(name.block, || {
                    let buffer = buffers.get(name.block);
                    let disk = buffer.and_then(|buffer| Some((buffer, buffer.disk.as_ref()?)));
                    disk.map_or_else(Vec::new, |(buffer, disk)| {
                        early_offsets(&buffer.memory, disk, &is_early)
                    })
                });
                u32::from(offsets.binary_search(&name.offset).is_err())
            };
            self.link_levels = self.link_levels.max(level);
            self.births.insert(number, level);
        }
        self.early = early;
    }

    fn add_ends(&mut self, unnamed: &[Unnamed], replaced: &BTreeSet<u32>) {
        let mut levels: BTreeMap<u32, u32> = BTreeMap::new();
        for gone in unnamed {
            // What had names in a directory may be given others by `Replace(0)`, so that goes later.
            let own = levels.get(&gone.number).copied().unwrap_or(0);
            let own = own.max(u32::from(gone.is_directory));
            let parent = levels.entry(gone.directory).or_default();
            *parent = own.saturating_add(1).max(*parent);
            let phase = if replaced.contains(&gone.number) {
                Phase::Unlink
            } else {
                self.replace_levels = self.replace_levels.max(own);
                Phase::Replace(own)
            };
            self.ends.insert(gone.number, phase);
        }
    }
}

/// An inode that lost its last name. What was in a directory stands before the directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unnamed {
    pub(crate) number: u32,
    pub(crate) is_directory: bool,
    /// Where that name was.
    pub(crate) directory: u32,
}
