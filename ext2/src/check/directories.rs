//! The entries of directories: where they lead, and whether everything in use is reached.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use super::{Checker, note};
use crate::layout::ROOT_INODE;
use crate::{BlockDevice, DirEntry, Error, FileType, InodeNumber, Place};

impl<D: BlockDevice> Checker<'_, D> {
    pub(super) fn check_directories(&mut self) -> Result<(), Error> {
        let all = self.inodes.iter();
        let directories = all.filter(|(_, known)| known.file_type == FileType::Directory);
        let directories: Vec<u32> = directories.map(|(number, _)| *number).collect();
        if !directories.contains(&ROOT_INODE) {
            note!(self, Place::Inode(ROOT_INODE), "is no directory");
        }
        for number in &directories {
            self.check_directory(*number)?;
        }
        self.check_reached(&directories);
        self.check_links();
        Ok(())
    }

    fn check_directory(&mut self, number: u32) -> Result<(), Error> {
        let place = Place::Directory(number);
        let disk = self.disk;
        let directory = disk.inode(InodeNumber(number))?;
        let entries = match disk.read_dir(&directory, 0) {
            Ok(entries) => entries,
            Err(error) => return self.note_error(place, error),
        };
        let mut names = BTreeSet::new();
        let mut dots = [false; 2];
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.note_error(place, error),
            };
            let name = entry.name();
            if !names.insert(name.to_vec()) {
                note!(self, place, "has the name {} twice", name.escape_ascii());
            }
            match name {
                b"." => {
                    dots = [true, dots.last() == Some(&true)];
                    if entry.inode.0 != number {
                        note!(self, place, "its . leads to inode {}", entry.inode);
                    }
                    self.count_name(number, &entry);
                }
                b".." => {
                    dots = [dots.first() == Some(&true), true];
                    if let Some(known) = self.inodes.get_mut(&number) {
                        known.stated_parent = Some(entry.inode.0);
                    }
                    self.count_name(number, &entry);
                }
                _ => self.check_entry(number, &entry),
            }
        }
        if dots != [true; 2] {
            note!(self, place, "has no . or no ..");
        }
        Ok(())
    }

    /// Counts an entry for the inode it leads to; false if that is not in use.
    fn count_name(&mut self, directory: u32, entry: &DirEntry) -> bool {
        let place = Place::Directory(directory);
        let name = entry.name().escape_ascii();
        let target = entry.inode;
        let Some(known) = self.inodes.get_mut(&target.0) else {
            note!(
                self,
                place,
                "{name} leads to inode {target}, which is not in use"
            );
            return false;
        };
        known.names = known.names.saturating_add(1);
        let found = known.file_type;
        if entry.file_type.is_some_and(|stated| stated != found) {
            note!(
                self,
                place,
                "{name} does not say that inode {target} is a {found}"
            );
        }
        true
    }

    fn check_entry(&mut self, directory: u32, entry: &DirEntry) {
        if !self.count_name(directory, entry) {
            return;
        }
        let Some(known) = self.inodes.get_mut(&entry.inode.0) else {
            return;
        };
        if known.file_type != FileType::Directory {
            return;
        }
        let name = entry.name().escape_ascii();
        if entry.inode.0 == ROOT_INODE || known.parent.is_some() {
            let place = Place::Directory(directory);
            note!(
                self,
                place,
                "{name} is a second name of directory {}",
                entry.inode
            );
        } else {
            known.parent = Some(directory);
        }
    }

    /// Checks that all directories hang together below the root, and that `..` leads back.
    fn check_reached(&mut self, directories: &[u32]) {
        let mut children: Vec<(u32, u32)> = Vec::new();
        for number in directories {
            let Some(known) = self.inodes.get(number) else {
                continue;
            };
            let parent = if *number == ROOT_INODE {
                Some(ROOT_INODE)
            } else {
                known.parent
            };
            let stated = known.stated_parent;
            if let (Some(parent), Some(stated)) = (parent, stated)
                && parent != stated
            {
                let place = Place::Directory(*number);
                note!(
                    self,
                    place,
                    "its .. leads to inode {stated}, and it is in {parent}"
                );
            }
            if let Some(parent) = parent.filter(|_| *number != ROOT_INODE) {
                children.push((parent, *number));
            }
        }
        children.sort_unstable();
        let mut reached = BTreeSet::from([ROOT_INODE]);
        let mut to_enter = vec![ROOT_INODE];
        while let Some(directory) = to_enter.pop() {
            let first = children.partition_point(|(parent, _)| *parent < directory);
            let own = children.iter().skip(first);
            for (_, child) in own.take_while(|(parent, _)| *parent == directory) {
                if reached.insert(*child) {
                    to_enter.push(*child);
                }
            }
        }
        for number in directories {
            if !reached.contains(number) {
                note!(
                    self,
                    Place::Inode(*number),
                    "is a directory that is not below the root"
                );
            }
        }
    }

    fn check_links(&mut self) {
        let wrong = self.inodes.iter().filter_map(|(number, known)| {
            (u32::from(known.links) != known.names).then_some((*number, known.links, known.names))
        });
        let wrong: Vec<_> = wrong.collect();
        for (number, links, names) in wrong {
            let place = Place::Inode(number);
            match names {
                0 => note!(self, place, "is in use, but has no name"),
                _ => note!(self, place, "counts {links} links, and has {names}"),
            }
        }
    }
}
